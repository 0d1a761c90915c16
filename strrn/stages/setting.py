"""What the training stages share: the setting, the labelled stills and the unlabelled tracks, from params.yaml and data/crops."""

from pathlib import Path

from strrn.core.files import read_json_lines
from strrn.core.landmarks import load_scheme
from strrn.data.augmentation import AugmentationParameters
from strrn.data.datasets import Track, load_track
from strrn.data.motion import MotionParameters
from strrn.stages.parameters import load_section, load_value
from strrn.stages.paths import CROPS
from strrn.training.flicker import FlickerParameters
from strrn.training.pretrain import Setting
from strrn.training.reference import load_reference


def load_setting() -> Setting:
    scheme = load_scheme(load_value("scheme", str))
    return Setting(
        scheme=scheme,
        reference=load_reference(CROPS / "reference.json", scheme),
        augmentation=load_section("augmentation", AugmentationParameters),
        motion=load_section("motion", MotionParameters),
        flicker=load_section("flicker", FlickerParameters),
        seed=load_value("train_seed", int),
    )


def stills_folder() -> Path:
    """Where the labelled crops lie that the models learn from (`stills_train.parquet`) and are validated on (`stills_val.parquet`)."""
    return Path(load_value("stills", str))


def unlabelled_tracks(size: int) -> list[Track]:
    """The tracks of training clips, in the order of their ids. Their labels, where a clip has any, are not read."""
    return [load_track(CROPS / row["path"], row["track_id"], row["clip_id"], size) for row in unlabelled_rows()]


def unlabelled_rows() -> list[dict]:
    """Their rows of tracks.jsonl."""
    rows = [row for row in read_json_lines(CROPS / "tracks.jsonl") if row["split"] == "train"]
    return sorted(rows, key=lambda row: row["track_id"])
