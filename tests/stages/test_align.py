"""Stage `align`: what it writes can be read in the place of data/crops, and differs from that in its labels only."""

from pathlib import Path

import numpy as np
import yaml

from strrn.core.files import read_json
from strrn.core.tables import read_table, still_crops_schema
from strrn.stages import align
from tests.models.small import header
from tests.training.material import setting, write_stills


def test_aligned_stills_are_those_of_data_crops_with_other_labels(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("data/crops").mkdir(parents=True)
    write_stills(Path("data/crops"))
    sa = yaml.safe_load((Path(__file__).parents[2] / "params.yaml").read_text())["sa"]
    hgn = header("hgn")["parameters"]
    sa["data"] = {"stills": 5, "rounds": 1}
    for part in ("start", "detector"):
        sa[part] |= {"batch_size": 2, "num_batches": 1, "max_epochs": 1}
    Path("params.yaml").write_text(yaml.safe_dump({"hgn": hgn, "sa": sa}, default_flow_style=False))
    monkeypatch.setattr(align, "load_setting", setting)
    monkeypatch.setattr("sys.argv", ["align", "--name", "sa"])
    align.main()

    before = {split: read_table(Path(f"data/crops/stills_{split}.parquet"), still_crops_schema(68)) for split in ("train", "val")}
    moved, labels = {}, {}
    for name in ("annotated", "searched"):
        for split, columns in before.items():
            found = read_table(Path(f"data/aligned/sa/{name}/stills_{split}.parquet"), still_crops_schema(68))
            assert len(found["image"]) == (5 if split == "train" else len(columns["image"]))
            rows = [list(columns["image"]).index(image) for image in found["image"]]
            for key in set(columns) - {"points_crop"}:
                assert np.array_equal(found[key], columns[key][rows]), key
            moved[name, split] = np.linalg.norm(found["points_crop"] - columns["points_crop"][rows], axis=-1) > 1e-3
            if split == "train":
                labels[name] = found["points_crop"]
    contour = np.arange(68) < 17
    assert (labels["searched"] != labels["annotated"])[:, contour].any()  # an untrained network moves them little
    assert all((where[:, contour].mean() > 0.9) and not where[:, ~contour].any() for where in moved.values())
    measured = read_json(Path("data/aligned/sa/labels.json"))
    assert len(measured) == 3 and measured[0]["error"] > 0.05
