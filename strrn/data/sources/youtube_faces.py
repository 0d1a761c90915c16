"""YouTube Faces (cs.tau.ac.il/~wolf/ytfaces): videos of celebrities as folders of frames, for research only. The user brings the folder."""

from pathlib import Path

from strrn.core.images import IMAGE_SUFFIXES
from strrn.data.sources.record import ClipRecord, readable_clips, split_of


def youtube_faces(folder: Path, val: float, test: float) -> tuple[list[ClipRecord], list[dict]]:
    """Records of PERSON/VIDEO/ with frames as images (frame_images_DB), sorted, and rejected rows. People are divided by `split_of`.

    Raises FileNotFoundError where there is none.
    """
    videos = sorted(
        path for path in folder.glob("*/*") if path.is_dir() and any(file.suffix.lower() in IMAGE_SUFFIXES for file in path.iterdir())
    )
    if not videos:
        raise FileNotFoundError(
            f"{folder} of params.yaml, videos.youtube_faces, has no frames: name the folder frame_images_DB of YouTube Faces, with frames "
            "such as Aaron_Eckhart/0/0.555.jpg in it; or set videos.youtube_faces to null"
        )
    return readable_clips(
        {
            "path": video,
            "clip_id": f"youtube_faces.{video.parent.name}.{video.name}",
            # The person's name alone: who is in YouTube Celebrities too gets the same split there.
            "split": split_of(video.parent.name.lower(), val, test),
            "identity": video.parent.name.lower(),
            "source": "youtube_faces",
            "licence": "research only (YouTube Faces)",
        }
        for video in videos
    )
