import csv
import json
import re
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

from strrn.core.files import write_json
from strrn.core.landmarks import LandmarkScheme, load_scheme, scheme_to_dict
from strrn.core.summary import DATASETS, Cell
from strrn.core.video import probe
from strrn.data.sources.record import split_of
from strrn.evaluation.clips import FaceInView, datasets_with_truth, validation_clips
from strrn.evaluation.predictions import read_truth
from strrn.evaluation.report import ReportParameters, markdown_lines, summary_rows
from strrn.evaluation.rounds import EvaluateParameters, extreme_frames, read_frames_table, score_round
from strrn.evaluation.stills import rendered_stills
from strrn.stages import evaluate, refine, report
from strrn.stages.parameters import load_section
from tests.data.test_videos import film, write_300vw
from tests.evaluation.small_run import FRAMES, SCHEME, STILLS, make_run


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """The folder of a small run after the stage `report`."""
    root = tmp_path_factory.mktemp("run")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        make_run(root)
        parameters = load_section("evaluate", EvaluateParameters)
        clips = [*evaluate.load_clips(parameters, SCHEME), *evaluate.load_stills(SCHEME)]
        for name in ("r0", "r1"):
            validation = validation_clips(evaluate.RENDERED)
            score_round(evaluate.PREDICTIONS / name, [*clips, *validation], SCHEME, parameters, evaluate.SCORES / f"{name}.json")
        refine.compare(clips, SCHEME, parameters)
        report.main()
    return root


def test_metrics_are_of_the_agreed_form(run):
    metrics = json.loads((run / "reports/metrics.json").read_text())
    assert list(metrics["rounds"]) == ["r0", "r1"] and metrics["exported"] == "r1"
    for systems in metrics["rounds"].values():
        assert list(systems) == ["detector", "tracker"]
        for datasets in systems.values():
            assert list(datasets) == ["rendered_test", "head_scan", "rendered_val", "stills_test", "real_clips"]
            named = {"nme_inter_ocular", "nme_inter_pupil", "auc_0.08_inter_ocular", "jitter_e3", "residual_jitter", "lag_e1"}
            assert named <= set(datasets["rendered_test"]) and named <= set(datasets["head_scan"])
            assert datasets["real_clips"]["cycle_error"] == pytest.approx(0.02)
            assert datasets["real_clips"]["lost"] == datasets["real_clips"]["false_tracks"] == 0
            assert datasets["rendered_test"]["missing"] == pytest.approx(1 / FRAMES, abs=1e-6)
            assert "nme" not in datasets["rendered_test"]
            assert datasets["stills_test"]["frames"] == STILLS and datasets["stills_test"]["missing"] == 1 / STILLS
            assert datasets["stills_test"]["lag_e1"] is datasets["stills_test"]["residual_jitter"] is None
    # The noise halves from detector to tracker and from round to round.
    first, last = metrics["rounds"]["r0"]["detector"], metrics["rounds"]["r1"]["tracker"]
    for dataset in ("rendered_test", "head_scan"):
        for name in ("nme_inter_ocular", "residual_jitter"):
            assert last[dataset][name] / first[dataset][name] == pytest.approx(0.25, abs=0.03)


def test_seed_and_environment_of_every_model_are_written_down(run):
    made_with = json.loads((run / "reports/environment.json").read_text())
    assert list(made_with) == ["r0 detector", "r0 tracker", "r1 detector", "r1 tracker"]
    for about in made_with.values():
        assert about["train_seed"] == 7 and about["torch"] == torch.__version__ and about["device"]
    line = re.search(
        r"r0 detector, r0 tracker, r1 detector, r1 tracker trained with train_seed 7, (.*)\.", (run / "reports/report.html").read_text()
    )
    assert line and f"torch {torch.__version__}" in line[1]


def test_the_report_says_how_many_frames_were_kept_by_their_neighbours(run):
    assert "followed by their neighbours in time: 7" in (run / "reports/report.html").read_text()


def test_brf_stands_beside_the_rounds(run):
    metrics = json.loads((run / "reports/metrics.json").read_text())
    brf, tracker = metrics["brf"], metrics["rounds"]["r1"]["tracker"]
    assert list(brf) == ["backbone", "exponential", "face_average", "one_euro", "brf"]
    detector = metrics["rounds"]["r1"]["detector"]
    for system in (detector, tracker):
        del system["rendered_val"]
    assert brf["brf"] == tracker and brf["backbone"] == detector  # their predictions are the same files
    for system in ("exponential", "face_average", "one_euro"):
        assert list(brf[system]) == list(tracker) and set(brf[system]["rendered_test"]) == set(tracker["rendered_test"])
        assert brf[system]["rendered_test"]["residual_jitter"] <= brf["backbone"]["rendered_test"]["residual_jitter"]
        assert brf[system]["real_clips"]["cycle_error"] is None
    with (run / "reports/plots/tradeoff.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert {row["panel"] for row in rows} == {"rendered_test", "head_scan"}
    assert {row["series"] for row in rows if row["setting"]} == {"exponential", "face_average", "one_euro"}
    (own,) = [row for row in rows if row["series"] == "brf" and row["panel"] == "rendered_test"]
    assert float(own["jitter"]) == brf["brf"]["rendered_test"]["residual_jitter"]
    html = (run / "reports/report.html").read_text()
    assert "<b>BRF</b> over r1 detector" in html and "What calm costs" in html
    assert re.search(r"Exported: r1, .* validation clips \(area under the curve up to 8 %: r0 0\.\d+, r1 0\.\d+\)\.", html)
    assert "rendered_val" not in (run / "reports/plots/ced.csv").read_text()


def test_report_is_one_file_that_needs_no_network(run):
    html = (run / "reports/report.html").read_text()
    addresses = [url for url in re.findall(r"https?://[^\s\"'<>]+", html) if not url.startswith("http://www.w3.org/")]
    assert addresses == []
    sources = re.findall(r"""(?:src|href)=["']([^"']{1,60})""", html)
    assert sources and all(source.startswith(("data:", "#")) for source in sources)
    assert html.count("<svg") == 5 and "<script" not in html
    assert "first &lt;source&gt;" in html
    assert 30_000 < len(html) < 15_000_000


def test_the_curves_are_files_too(run):
    html = (run / "reports/report.html").read_text()
    for name in ("ced", "error_over_time", "acceptance", "training"):
        assert (run / f"reports/plots/{name}.svg").read_text() in html


def test_overlay_plays_and_shows_both_systems(run):
    info = probe(run / "reports/overlay.mp4")
    assert (info.height, info.width, info.num_frames) == (96, 192, FRAMES)


def test_plot_files_have_named_columns(run):
    columns = {}
    for path in sorted((run / "reports/plots").glob("*.csv")):
        with path.open(newline="") as file:
            columns[path.name] = next(csv.reader(file))
    assert columns == {
        "acceptance.csv": ["round", "outcome", "frames"],
        "ced.csv": ["threshold", "share", "panel", "series", "round", "system"],
        "error_over_time.csv": ["frame", "nme", "panel", "series", "round", "system"],
        "tradeoff.csv": ["panel", "series", "setting", "lag", "jitter", "error"],
        "training.csv": ["epoch", "validation_error", "panel", "series", "round", "system"],
    }
    with (run / "reports/plots/acceptance.csv").open(newline="") as file:
        assert sum(int(row["frames"]) for row in csv.DictReader(file)) == 100


def test_a_second_report_is_the_same(run, monkeypatch):
    monkeypatch.chdir(run)
    before = Path("reports/report.html").read_bytes()
    report.main()
    assert Path("reports/report.html").read_bytes() == before


def test_worst_frames_are_those_without_prediction(run):
    columns = read_frames_table(run / "data/predictions/r1")
    worst = extreme_frames(columns, "tracker", 2, worst=True)
    assert worst[0] == ("first", FRAMES - 1, np.inf)
    best = extreme_frames(columns, "tracker", 2, worst=False)
    assert best[0][2] == columns["nme"][columns["system"] == "tracker"].min()
    assert {clip_id for clip_id, _, _ in best} == {"first", "scan"}  # neighbours of a shown frame are left out


def test_unknown_clips_are_named(run, monkeypatch):
    monkeypatch.chdir(run)
    text = Path("params.yaml").read_text()
    for key, wrong in (("overlay_clip: shown", "overlay_clip: nobody"), ("error_clip: scan", "error_clip: nobody")):
        Path("params.yaml").write_text(text.replace(key, wrong))
        with pytest.raises(ValueError, match=r"report\.(overlay|error)_clip.*'nobody' is no test clip"):
            report.main()
    Path("params.yaml").write_text(text)


def test_changes_are_against_the_first_detector():
    def datasets(value):
        scores = {"nme_inter_ocular": value, "residual_jitter": value, "lag_e1": 0.1, "rt_jitter": value, "cycle_error": None}
        return {name: scores | {"lost": 0.0} for name in ("rendered_test", "head_scan", "real_clips")}

    rows = summary_rows({"r0": {"detector": datasets(0.04), "tracker": datasets(0.05)}, "r1": {"detector": datasets(0.03)}}, DATASETS)
    cells = [row["cells"][0][0] for row in rows]
    assert [cell.text for cell in cells] == ["4.00\u00a0%", "5.00\u00a0%", "3.00\u00a0%"]
    assert [cell.change_text for cell in cells] == ["", "+25 %", "\u221225 %"]
    assert [cell.tone for cell in cells] == ["same", "worse", "better"]
    assert rows[2]["cells"][2][1] == Cell("\u2013", None)


@pytest.mark.parametrize(
    ("section", "changes", "message"),
    [
        (ReportParameters, {"overlay_quality": 60}, "overlay_quality: found 60"),
        (ReportParameters, {"num_frames": 0}, "num_frames: found 0"),
        (EvaluateParameters, {"workers": -1}, "workers: found -1"),
        (EvaluateParameters, {"max_frames_per_clip": 2}, "max_frames_per_clip: found 2"),
        (EvaluateParameters, {"failure_threshold": 0.0}, "failure_threshold: found 0"),
        (EvaluateParameters, {"real_clips": {}}, "real_clips: found {}"),
    ],
)
def test_ranges_of_the_parameters(section, changes, message, run, monkeypatch):
    monkeypatch.chdir(run)
    values = vars(load_section("report" if section is ReportParameters else "evaluate", section))
    with pytest.raises(ValueError, match=message):
        section(**(values | changes))


def test_data_card_markdown():
    html = markdown_lines("# Title\n- a <b>\n- c\ntext\n| x | y |\n|---|---|\n| 1 | 2 |\n")
    assert "<h4>Title</h4>" in html and "<ul><li>a &lt;b&gt;</li>\n<li>c</li>\n</ul>\n<p>text</p>" in html
    assert "<tr><th>x</th><th>y</th></tr>\n<tr><td>1</td><td>2</td></tr>\n</table>" in html


def test_a_run_without_rounds_has_a_report_too(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    make_run(tmp_path)
    text = Path("params.yaml").read_text()
    Path("params.yaml").write_text(text.replace("rounds:\n  r1: {from: r0}", "rounds: {}"))
    parameters = load_section("evaluate", EvaluateParameters)
    clips = evaluate.load_clips(parameters, SCHEME)
    score_round(evaluate.PREDICTIONS / "r0", clips, SCHEME, parameters, evaluate.SCORES / "r0.json")
    refine.compare(clips, SCHEME, parameters)
    report.main()
    assert list(json.loads(Path("reports/metrics.json").read_text())["rounds"]) == ["r0"]
    assert "What the rounds mined" not in Path("reports/report.html").read_text()


def run_of_own_scheme(folder: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[EvaluateParameters, LandmarkScheme]:
    """A small run in `folder`, the working directory from then on, with a scheme that the rendered faces have no labels for."""
    monkeypatch.chdir(folder)
    make_run(folder)
    Path("own.yaml").write_text(yaml.safe_dump(scheme_to_dict(replace(SCHEME, name="own"))))
    text = Path("params.yaml").read_text().replace("scheme: ibug68", "scheme: own.yaml").replace("rendered: true", "rendered: false")
    Path("params.yaml").write_text(text)
    return load_section("evaluate", EvaluateParameters), load_scheme("own.yaml")


def test_a_scheme_that_nothing_is_labelled_with_has_a_report_without_truth(tmp_path, monkeypatch):
    parameters, scheme = run_of_own_scheme(tmp_path, monkeypatch)
    clips = evaluate.load_clips(parameters, scheme)
    assert {clip.dataset for clip in clips} == {"real_clips"}
    for name in ("r0", "r1"):
        score_round(evaluate.PREDICTIONS / name, clips, scheme, parameters, evaluate.SCORES / f"{name}.json")
    refine.compare(clips, scheme, parameters)
    report.main()
    html = Path("reports/report.html").read_text()
    assert "On a real clip" in html
    assert not any(title in html for title in ("Cumulative error", "Best and worst frames", "Contact sheet"))


def test_pictures_stand_in_table_and_curves_but_not_among_the_frames(run):
    html = (run / "reports/report.html").read_text()
    assert html.count(">rendered stills</th>") == 2 and "All metrics of stills_test" in html  # of trackers and of detectors
    assert "image_id" not in html
    with (run / "reports/plots/ced.csv").open(newline="") as file:
        shares = {(row["panel"], row["series"]): float(row["share"]) for row in csv.DictReader(file) if row["threshold"] == "0.08"}
    assert {panel for panel, _ in shares} == {"rendered_test", "head_scan", "stills_test"}
    assert shares["stills_test", "r1 tracker"] == 1 - 1 / STILLS


def test_own_pictures_give_a_scheme_without_labelled_clips_an_error(tmp_path, monkeypatch):
    parameters, scheme = run_of_own_scheme(tmp_path, monkeypatch)
    stills = rendered_stills(Path("data/rendered/stills_test.parquet"), scheme)
    tested = [*evaluate.load_clips(parameters, scheme), *(replace(still, dataset="own_test") for still in stills)]
    for name in ("r0", "r1"):
        score_round(evaluate.PREDICTIONS / name, tested, scheme, parameters, evaluate.SCORES / f"{name}.json")
    refine.compare(tested, scheme, parameters)
    report.main()
    html = Path("reports/report.html").read_text()
    assert "error on own pictures" in html and "Cumulative error" in html and ">own pictures</th>" in html
    assert not any(title in html for title in ("error on rendered clips", "Error over time", "Best and worst frames", "What calm costs"))


def test_the_test_clips_of_300vw_are_scored_by_category(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    make_run(tmp_path)
    write_300vw(tmp_path / "vw", {"001": 4, "114": 4, "203": 4})
    Path("params.yaml").write_text(Path("params.yaml").read_text().replace("ibug_300vw: null", f"ibug_300vw: {tmp_path / 'vw'}"))
    clips = evaluate.load_clips(load_section("evaluate", EvaluateParameters), SCHEME)
    assert datasets_with_truth(clips) == ["rendered_test", "head_scan", "300vw_category_1", "300vw_category_2"]
    (clip,) = [clip for clip in clips if clip.dataset == "300vw_category_1"]
    assert (clip.clip_id, clip.num_frames) == ("300vw.114", 4)
    truth = read_truth(clip.truth, SCHEME)
    assert truth.valid.all() and truth.points_frame[3, 2].tolist() == [5, 2]


def test_held_back_people_of_a_research_set_are_real_clips(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    make_run(tmp_path)
    (tmp_path / "yt").mkdir()
    people = {name: split_of(name, 0.0, 0.5) for name in ("alanis_morissette", "bill_clinton", "al_gore", "jet_li")}
    for number, name in enumerate(people):
        film(tmp_path / f"yt/000{number}_01_001_{name}.avi", 3)
    params = Path("params.yaml").read_text().replace("youtube_celebrities: null", f"youtube_celebrities: {tmp_path / 'yt'}")
    Path("params.yaml").write_text(params.replace("val: 0.0, test: 0.0", "val: 0.0, test: 0.5"))
    clips = evaluate.load_clips(load_section("evaluate", EvaluateParameters), SCHEME)
    held_back = [clip for clip in clips if clip.path.parent.name == "yt"]
    assert set(people.values()) == {"train", "test"}
    assert {clip.path.stem.split("_001_")[1] for clip in held_back} == {name for name, split in people.items() if split == "test"}
    assert all(clip.dataset == "real_clips" and clip.truth is None and clip.face is FaceInView.always for clip in held_back)


def test_a_sibling_stands_beside_the_rounds_in_metrics_and_report(run, tmp_path, monkeypatch):
    root = tmp_path / "run"
    shutil.copytree(run, root)
    monkeypatch.chdir(root)
    params = root / "params.yaml"
    params.write_text(params.read_text().replace("baselines: []", "baselines: [sbr, tsal, sa]"))
    with pytest.raises(FileNotFoundError, match=r"tsal.json: there are no scores of 'tsal'; run `dvc repro`"):
        report.main()
    detector = json.loads((root / "reports/rounds/r1.json").read_text())["detector"]
    detector["rendered_test"]["nme_inter_ocular"] = 0.12345
    write_json(root / "reports/baselines/tsal.json", {"supervised": {"detector": detector}, "asynchronous": {"detector": detector}})
    with pytest.raises(FileNotFoundError, match=r"sa.json: there are no scores of 'sa'"):
        report.main()
    labelled = detector | {"training_labels": {"recovered_error": 0.4}}
    write_json(root / "reports/baselines/sa.json", {"supervised": {"detector": detector}, "semantic": {"detector": labelled}})
    report.main()
    metrics = json.loads((root / "reports/metrics.json").read_text())
    assert list(metrics) == ["rounds", "exported", "brf", "tsal", "sa"] and list(metrics["rounds"]) == ["r0", "r1"]
    assert list(metrics["tsal"]) == ["supervised", "asynchronous"]
    assert metrics["tsal"]["asynchronous"]["detector"] == detector
    assert metrics["sa"]["semantic"]["detector"] == labelled
    html = (root / "reports/report.html").read_text()
    assert html.count("<b>sa semantic</b> detector") == 2
    assert html.count("<b>tsal asynchronous</b> detector") == 2 and "12.35\u00a0%" in html  # the first table and that of all detectors
    assert "other methods on the same clips" in html and "other methods on the same clips" not in (run / "reports/report.html").read_text()
