"""Where exported models are."""

from pathlib import Path

TRACKER_FILE, DETECTOR_FILE = "tracker.onnx", "detector.onnx"
REPRO_MODELS = Path("models/export")  # of the last `dvc repro`
PACKAGE_MODELS = Path(__file__).parents[1] / "runtime" / "weights"
CURE = "run `dvc repro` to train and export the models, name a folder that holds them (--models), or none for those of the package"


def default_models() -> Path:
    """models/export of the working directory, else what the package brings. Raises FileNotFoundError where there is neither."""
    for folder in (REPRO_MODELS, PACKAGE_MODELS):
        if (folder / TRACKER_FILE).is_file():
            return folder
    raise FileNotFoundError(f"no models in {REPRO_MODELS.absolute()}: {CURE}")
