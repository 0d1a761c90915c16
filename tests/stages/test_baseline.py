"""Stage `baseline`, its last step for SA: which scores stand where. The tracking loop and the charts are tested elsewhere."""

from pathlib import Path

import pytest

from strrn.core.files import read_json, write_json
from strrn.core.tables import read_table, still_crops_schema, write_table
from strrn.stages import baseline
from strrn.training.sa import CORRECTED, Task, arms_of, train_sa
from tests.models.small import header
from tests.training.material import loop, setting, write_stills
from tests.training.test_sa import CORRECTION, NOISE, SEARCH, SAParameters


def test_sa_is_scored_on_clips_and_on_stills(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("data/crops").mkdir(parents=True)
    write_stills(Path("data/crops"))
    columns = read_table(Path("data/crops/stills_val.parquet"), still_crops_schema(68))
    write_table(Path("data/crops/stills_test.parquet"), columns, still_crops_schema(68))
    Path("params.yaml").write_text("scheme: ibug68\ntrain_seed: 0\nsa:\n  noise: {component: cheek, deviation: 0.1}\n")
    once = loop(num_batches=1, max_epochs=1)
    out = Path("models/baselines/sa")
    train_sa(Task(setting(), header("hgn"), Path("data/crops"), SAParameters(0, 1), NOISE, SEARCH, once, once), CORRECTION, once, out)
    loaded = {}

    def score(detector: Path, predictions: Path, scores: Path, models: object = baseline.torch_models) -> None:
        loaded[detector.stem] = models
        write_json(scores, {"detector": {"rendered_test": {"frames": len(loaded)}}})

    monkeypatch.setattr(baseline, "score", score)
    monkeypatch.setattr(baseline, "draw", lambda path, shown, folders: path.write_text(str(shown)))
    Path("reports/baselines").mkdir(parents=True)
    baseline.finish_aligned("sa")
    scores = read_json(Path("reports/baselines/sa.json"))
    assert list(scores) == list(loaded) == arms_of(NOISE)
    assert [arm for arm, models in loaded.items() if models is not baseline.torch_models] == [CORRECTED]
    for number, arm in enumerate(scores, 1):
        datasets = scores[arm]["detector"]
        assert datasets["rendered_test"] == {"frames": number} and datasets["crops_test"]["nme_inter_ocular"] > 0
        assert set(datasets["hidden_stills"]) == {"random_box_nme_inter_pupil", "mouth_nme_inter_pupil"}
        assert ("training_labels" in datasets) == (arm == "semantic")
    labels = scores["semantic"]["detector"]["training_labels"]
    assert labels["recovered_error"] == pytest.approx(1 - labels["error_after"] / labels["error_before"])
    assert "semantic" in Path("reports/baselines/sa.svg").read_text()
