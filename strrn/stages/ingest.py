"""Not a stage of dvc.yaml, but what the flow `ingest` calls: check new videos and put them into data/videos/NAME."""

import argparse
from pathlib import Path

from strrn.data.ingest import ingest, known_videos
from strrn.stages import logs
from strrn.stages.parameters import load_mapping, load_value
from strrn.stages.paths import RAW

VIDEOS = Path("data/videos")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("source", type=Path)
    parser.add_argument("--name", required=True)
    parser.add_argument("--record", type=Path, required=True)
    parser.add_argument("--max-megabytes", type=int, required=True)
    arguments = parser.parse_args()
    min_frames, workers = load_value("crop.min_track_frames", int), load_value("crop.workers", int)
    # What the pipeline is tested on must not train it.
    known = known_videos(VIDEOS, [RAW / clip for clip in load_mapping("evaluate.real_clips")])
    max_bytes = arguments.max_megabytes * 10**6
    ingest(arguments.source, VIDEOS / arguments.name, arguments.record, known, min_frames=min_frames, max_bytes=max_bytes, workers=workers)


if __name__ == "__main__":
    logs.run(main)
