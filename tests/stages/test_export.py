"""The export stage on models that follow a bright square."""

import json

import cv2
import numpy as np
import pytest

from strrn.core.files import write_json_lines
from strrn.core.geometry import fit_similarity
from strrn.core.tables import crops_schema, still_crops_schema, write_table
from strrn.models import checkpoint
from strrn.runtime.models import open_model
from strrn.runtime.parameters import Mode, RuntimeParameters
from strrn.stages import export
from strrn.stages.parameters import PARAMS_FILE, load_section
from tests.runtime import tiny

PARAMS = """
rounds: {r1: {from: r0}, r2: {from: r1}}
runtime: {mode: detector, detector_share: 0.0, detect_every: 1, cycle_every: 3, max_cycle_error: 0.1, verify_every: 3, max_disagreement: 0.2,
  min_confidence: 0.5, face_every: 1000, max_shape_distance: 0.5, max_scale_jump: 1.3, min_inside: 0.7, patience: 3, search_every: 1,
  smoothing: 0.06, steadiness: 0.02, new_face_every: 5, remember: 10, cut_difference: 100.0}
refine: {backbone: detector}
export: {round: last, max_parity_px: 0.05, parity_frames: 4, benchmark_frames: 5}
"""


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A folder in which rounds r1 and r2 are trained: two tracks of three crops, one test clip."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "params.yaml").write_text(PARAMS)
    loaded, contract = [], None

    def load(path, build=None):
        loaded.append(str(path))
        if build is not None:
            return tiny.small_head(trained=True), {"contract": contract, "data_hashes": {}}
        header = {key: tiny.METADATA[key] for key in ("scheme", "reference_shape", "face_template", "size")}
        return tiny.SquareTracker() if "tracker" in path.name else tiny.SquareDetector(), {
            **header,
            "round": path.parent.name,
            "data_hashes": {},
        }

    monkeypatch.setattr(checkpoint, "load", load)
    rows = []
    for track_id, split, licence in (("a.0", "train", "CC0-1.0"), ("b.0", "train", "MIT"), ("c.0", "test", "secret")):
        transforms = [fit_similarity(tiny.truth(frame), tiny.REFERENCE, tiny.SIZE) for frame in range(3)]
        columns = {
            "frame": [0, 1, 2],
            "image": [
                cv2.imencode(".jpg", transform.crop(tiny.picture(frame, True)))[1].tobytes() for frame, transform in enumerate(transforms)
            ],
            "transform": [[t.a, t.b, t.tx, t.ty] for t in transforms],
            "box": np.zeros((3, 4)),
            "face_probability": np.ones(3, np.float32),
            "detected": [True] * 3,
            "repeats": [False] * 3,
        }
        write_table(tmp_path / f"data/crops/tracks/{track_id}.parquet", columns, crops_schema())
        clip, path = track_id[0], f"tracks/{track_id}.parquet"
        rows.append({"track_id": track_id, "clip_id": clip, "split": split, "licence": licence, "path": path})
    write_json_lines(tmp_path / "data/crops/tracks.jsonl", rows)
    schema = still_crops_schema(5)
    empty = {field.name: np.zeros((1, 10)) if field.name == "points_crop" else ["CC-BY-4.0"] for field in schema}
    empty |= {"image": [b""], "valid": np.ones((1, 5), bool), "visible": np.ones((1, 5), bool)}
    write_table(tmp_path / "data/crops/stills_train.parquet", empty, schema)
    tiny.write_video(tmp_path / "data/rendered/clips/test.mp4", [True] * 8)
    write_json_lines(tmp_path / "data/rendered/clips.jsonl", [{"split": "test", "path": "clips/test.mp4"}])
    return tmp_path, loaded


def test_export_writes_the_last_round_with_its_metadata_and_benchmark(project):
    folder, loaded = project
    export.main()
    assert loaded == [*(str(export.MODELS / f"r2/{kind}.safetensors") for kind in ("detector", "tracker")), str(export.REFINER)]
    for kind in ("tracker", "detector", "refiner"):
        _, info = open_model(folder / export.EXPORTED / f"{kind}.onnx")
        assert (info.kind, info.round, info.runtime.mode) == (kind, "r2", Mode.detector)
        assert info.licence == "CC-BY-4.0, CC0-1.0, MIT"  # of what trained, not of what tests
        assert set(info.versions) == {"strrn", "torch", "onnx", "onnxruntime"}
    report = json.loads((folder / "reports/benchmark.json").read_text())
    assert report["round"] == "r2" and report["machine"]
    assert report["tracker"]["parity_px"] < 0.05 and report["detector"]["step_ms_median"] > 0
    assert report["tracker"]["size_mb"] > 0 and report["loop_frames_per_second"] > 0
    assert report["refiner"]["parity_px"] < 0.05 and report["refined_loop_frames_per_second"] > 0


def test_too_large_a_difference_fails(project):
    folder, _ = project
    (folder / "params.yaml").write_text(PARAMS.replace("max_parity_px: 0.05", "max_parity_px: 1.0e-12"))
    with pytest.raises(ValueError, match=r"the exported tracker gives points .* px from the network's, export.max_parity_px allows 1e-12"):
        export.main()
    assert not (folder / "reports/benchmark.json").exists() and not (folder / "models/export").exists()


def test_the_sections_of_params_yaml_are_valid(request):
    path = request.config.rootpath / PARAMS_FILE
    load_section("export", export.ExportParameters, path)
    assert load_section("runtime", RuntimeParameters, path).mode is Mode.tracker
