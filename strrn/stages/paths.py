"""Where the stages keep what they hand to each other; the outs of dvc.yaml."""

from pathlib import Path

INPUTS = Path("data/inputs")
RAW = Path("data/raw")
RENDERED = Path("data/rendered")
CROPS = Path("data/crops")
PSEUDO = Path("data/pseudo")
PREDICTIONS = Path("data/predictions")
MODELS = Path("models/rounds")
EXPORTED = Path("models/export")
REPORTS = Path("reports")
SCORES = REPORTS / "rounds"
BASELINES, BASELINE_SCORES = Path("models/baselines"), REPORTS / "baselines"
# Not below data/predictions and reports/rounds, which the report reads whole.
REFINER, BRF_PREDICTIONS, BRF_SCORES = Path("models/refine/refiner.safetensors"), Path("data/refined"), REPORTS / "brf.json"
