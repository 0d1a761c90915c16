"""YouTube Celebrities (seqam.rutgers.edu, Kim et al., CVPR 2008): short clips, for research only. The user brings the folder."""

import re
from pathlib import Path

from strrn.data.sources.record import ClipRecord, readable_clips, split_of

NAME = re.compile(r"\d+_\d+_\d+_(?P<person>.+)")


def youtube_celebrities(folder: Path, val: float, test: float) -> tuple[list[ClipRecord], list[dict]]:
    """Records of the files such as 0217_03_006_alanis_morissette.avi, sorted, and rejected rows. People are divided by `split_of`.

    Raises FileNotFoundError where there is none, ValueError for an AVI file of another name, since its person is unknown.
    """
    paths = sorted(folder.glob("*.avi"))
    if not paths:
        raise FileNotFoundError(
            f"{folder} of params.yaml, videos.youtube_celebrities, has no .avi file: put the clips of YouTube Celebrities there, such as "
            "0217_03_006_alanis_morissette.avi; or set videos.youtube_celebrities to null"
        )
    return readable_clips(
        {
            "path": path,
            "clip_id": f"youtube_celebrities.{path.stem}",
            "split": split_of(_person(path), val, test),
            "identity": _person(path),
            "source": "youtube_celebrities",
            "licence": "research only (YouTube Celebrities)",
        }
        for path in paths
    )


def _person(path: Path) -> str:
    name = NAME.fullmatch(path.stem)
    if name is None:
        raise ValueError(f"{path}: a clip of YouTube Celebrities is called like 0217_03_006_alanis_morissette.avi; move other videos away")
    return name["person"].lower()
