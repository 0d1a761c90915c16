"""The page of a small project with awkward names, written by the command and opened in a real headless Chromium, offline."""

import json
import shutil
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import pytest
import yaml
from playwright.sync_api import sync_playwright

from flows import charts, page, state
from strrn.core.summary import MINUS
from strrn.core.video import VideoFormat, VideoWriter

ROOT = Path(__file__).parents[2]
NASTY = '"><script>document.title = "run"</script>'
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
SIZES = {"overlay.mp4": 64, "overlay.webm": 96}  # a Chromium without H.264 plays the second one


def scores(error: float, jitter: float = 0.02) -> dict:
    """Metrics of a system: with truth (twice the error on the head scan), and without."""
    return {
        "rendered_test": {"nme_inter_ocular": error, "residual_jitter": jitter, "lag_e1": -0.001, "missing": 0.0},
        "head_scan": {"nme_inter_ocular": 2 * error, "residual_jitter": None, "lag_e1": 0.1, "missing": 0.5},
        "real_clips": {"rt_jitter": jitter, "cycle_error": 0.01, "lost": 0.0},
    }


def metrics(*errors: float) -> dict:
    """Rounds r0, r1, … whose trackers have these errors; the detector of r0 has 5 %, those of later rounds 4 %."""
    return {f"r{i}": {"detector": scores(0.04 if i else 0.05), "tracker": scores(error, 0.01)} for i, error in enumerate(errors)}


def git(folder: Path, *arguments: str) -> str:
    command = ["git", "-c", "user.name=t", "-c", "user.email=t@example.org", *arguments]
    return subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True).stdout.strip()


def commit(folder: Path, values: dict, rounds: dict | None, subject: str) -> str:
    (folder / "params.yaml").write_text(yaml.safe_dump(values))
    if rounds is not None:
        (folder / "reports/metrics.json").write_text(json.dumps({"rounds": rounds}))
    git(folder, "add", "--all")
    git(folder, "commit", "-q", "-m", subject)
    return git(folder, "rev-parse", "HEAD")


def experiment(folder: Path, base: str, name: str, values: dict, rounds: dict, baseline: str | None = None) -> None:
    """A git reference as `dvc exp run` leaves it; the working tree goes back to the base."""
    tip, baseline = commit(folder, values, rounds, name), baseline or base
    git(folder, "update-ref", f"refs/exps/{baseline[:2]}/{baseline[2:]}/{name}", tip)
    git(folder, "reset", "-q", "--hard", base)


def write_page(folder: Path, *arguments: str) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "flows.page", *arguments]
    environment = {
        "PYTHONPATH": str(ROOT),
        "PATH": "/usr/bin:/bin",
        "HOME": str(folder.parent),
        "GIT_CEILING_DIRECTORIES": str(folder.parent),
    }
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """Two rounds, four experiments, two releases, an overlay in both formats; its page lies in `shown/`."""
    folder = tmp_path_factory.mktemp("project")
    (folder / "reports").mkdir()
    git(folder, "init", "-q")
    subprocess.run([sys.executable, "-m", "dvc", "init", "-q"], cwd=folder, check=True)
    stage = {"cmd": "true", "deps": ["source"], "metrics": [{"reports/metrics.json": {"cache": False}}]}
    artifacts = {name: {"path": name} for name in ("tracker", "detector", "pseudo-labels")}
    (folder / "dvc.yaml").write_text(yaml.safe_dump({"stages": {"score": stage}, "artifacts": artifacts}))
    (folder / "source").write_text("1")
    (folder / ".gitignore").write_text("/data/\n/shown/\noverlay.*\nreport.html\n")
    values = {"train_seed": 0, "mine": {"gate": "box"}}
    (folder / "params.yaml").write_text(yaml.safe_dump(values))
    (folder / "reports/metrics.json").write_text(json.dumps({"rounds": metrics(0.04, 0.03)}))
    subprocess.run([sys.executable, "-m", "dvc", "commit", "-q", "--force"], cwd=folder, check=True)
    base = commit(folder, values, None, NASTY)

    experiment(folder, base, "seed-b", {**values, "train_seed": 2}, metrics(0.04, 0.02))
    experiment(folder, base, "seed-a", {**values, "train_seed": 1}, metrics(0.04, 0.045))
    experiment(folder, base, "gate<b>", {**values, "mine": {"gate": NASTY}}, {})
    experiment(folder, base, "lost", values, metrics(0.01), baseline="f" * 40)
    git(folder, "update-ref", "refs/exps/exec/EXEC_HEAD", base)
    git(folder, "tag", "-a", "tracker@v1.10.0", "-m", "one")
    git(folder, "tag", "detector@v0.9.0")
    git(folder, "tag", "detector@v0.9.0!")  # as `gto deprecate` does
    git(folder, "tag", "v3")

    (folder / "reports/report.html").write_text("<title>report</title>")
    summary = folder / "data/pseudo/r1/summary.json"
    summary.parent.mkdir(parents=True)
    summary.write_text(json.dumps({"frames_seen": 2000, "kept": 1500}))
    for name, size in SIZES.items():
        kind = VideoFormat.vp9 if name.endswith("webm") else VideoFormat.h264
        with VideoWriter(folder / "reports" / name, 10, 30, kind) as writer:
            for i in range(20):
                writer.write(np.full((48, size, 3), 10 * i, np.uint8))
    result = write_page(folder, "-o", "shown/index.html")
    assert result.returncode == 0, result.stderr
    return folder


@pytest.fixture(scope="module")
def browser():
    with sync_playwright() as playwright:
        path = next(filter(None, map(shutil.which, BROWSERS)), None)
        if path is None and not Path(playwright.chromium.executable_path).is_file():
            pytest.skip(
                f"NO BROWSER: none of {', '.join(BROWSERS)} is in PATH. `apt install chromium` or `playwright install chromium` brings one"
            )
        browser = playwright.chromium.launch(executable_path=path)
        yield browser
        browser.close()


@pytest.fixture
def opened(browser, project):
    """The page in a window. At the end nothing may have been complained about, and nothing but files been asked for."""
    window = browser.new_page()
    complaints, asked = [], []
    window.on("console", lambda message: complaints.append(message.text))
    window.on("pageerror", lambda error: complaints.append(str(error)))
    window.on("request", lambda request: asked.append(request.url))
    window.goto((project / "shown/index.html").as_uri())
    yield window
    window.close()
    assert complaints == []
    assert {urlsplit(url).scheme for url in asked} == {"file"}, asked


def shown_names(window) -> list[str]:
    return window.locator("#experiments-table tbody.rows tr:visible th").all_inner_texts()


def test_the_overlay_plays(opened):
    opened.wait_for_function("() => document.querySelector('video').currentTime > 0.1")
    video = "document.querySelector('video')"
    assert opened.evaluate(f"{video}.getVideoPlaybackQuality().totalVideoFrames") > 0
    name = opened.evaluate(f"{video}.currentSrc").rsplit("/", 1)[1]
    assert opened.evaluate(f"{video}.videoWidth") == SIZES[name]
    assert opened.evaluate(f"[{video}.muted, {video}.loop, {video}.controls]") == [True, True, True]


def test_the_overlay_waits_for_those_who_want_less_motion(browser, project):
    window = browser.new_page(reduced_motion="reduce")
    window.goto((project / "shown/index.html").as_uri())
    window.wait_for_timeout(300)
    assert window.evaluate("document.querySelector('video').paused") is True
    window.close()


def test_the_filter_hides_rows(opened):
    assert sorted(shown_names(opened)) == ["gate<b>", "lost", "seed-a", "seed-b"]
    field = opened.get_by_label("Name, commit or value")
    field.fill("SEED")
    assert sorted(shown_names(opened)) == ["seed-a", "seed-b"]
    field.fill("seed train_seed=2")
    assert shown_names(opened) == ["seed-b"]
    assert opened.locator("#count").inner_text() == "1 of 4 experiments"
    field.fill("nothing like it")
    assert shown_names(opened) == []
    assert opened.get_by_text("No experiment matches.").is_visible()
    field.fill("")
    assert len(shown_names(opened)) == 4
    assert opened.locator("#count").inner_text() == "4 experiments"


def test_the_data_set_changes_the_figures(opened):
    row = opened.locator("#experiments-table tbody.rows tr", has_text="seed-b")
    # 2 % against 5 % of r0's detector.
    assert row.locator("td:visible").first.inner_text().split("\n") == ["2.00\u00a0%", f"{MINUS}60 %"]
    opened.get_by_label("Data set").select_option(label="head scan")
    assert row.locator("td:visible").first.inner_text().split("\n") == ["4.00\u00a0%", f"{MINUS}60 %"]
    opened.get_by_label("Data set").select_option(label="real clips")
    assert opened.locator("#experiments-table thead th:visible").all_inner_texts()[1:5] == ["jitter", "cycle error", "lost", "false tracks"]


def test_a_heading_sorts_and_no_value_stays_last(opened):
    heading = opened.locator("#experiments-table th", has_text="error").first
    heading.get_by_role("button").click()
    assert shown_names(opened) == ["lost", "seed-b", "seed-a", "gate<b>"]  # 1, 2, 4.5 %, none
    assert heading.get_attribute("aria-sort") == "ascending"
    heading.get_by_role("button").press("Enter")
    assert shown_names(opened) == ["seed-a", "seed-b", "lost", "gate<b>"]
    assert heading.get_attribute("aria-sort") == "descending"
    opened.locator("#experiments-table th", has_text="name").get_by_role("button").click()
    assert shown_names(opened) == ["gate<b>", "lost", "seed-a", "seed-b"]
    assert heading.get_attribute("aria-sort") is None
    names = opened.locator("#rounds-table tbody th")
    opened.locator("#rounds-table th", has_text="error").first.get_by_role("button").click()
    assert names.all_inner_texts() == ["r1 tracker", "r0 tracker", "r1 detector", "r0 detector"]


def test_what_the_page_says(opened):
    assert opened.title() == "STRRN: state of the project"
    facts = opened.locator(".facts").inner_text()
    assert "dvc.lock is up to date" in facts and "Exported round: r1" in facts and NASTY in facts and "changed since" not in facts
    # 3 % against 5 % of r0's detector.
    assert opened.locator(".tile").first.inner_text().split("\n") == [
        "error, rendered clips",
        f"3.00\u00a0% {MINUS}40 %",
        "r0 detector: 5.00\u00a0%",
    ]
    row = opened.locator("#rounds-table tr", has_text="r1 tracker").locator("td")
    assert row.all_inner_texts()[:6] == ["2\u202f000", "75\u00a0%", "3.00\u00a0%", "1.00\u00a0%", "0.00", "0.0\u00a0%"]
    changed = opened.locator("#experiments-table tbody.rows")
    assert f"mine.gate: box → {NASTY}" in changed.inner_text()
    assert "unknown: its commit is not in this clone" in changed.inner_text()
    releases = opened.locator("#releases-table tbody tr").all_inner_texts()
    assert sorted(text.split("\t")[:2] for text in releases) == [["detector", "0.9.0 taken back"], ["tracker", "1.10.0"]]
    assert "None yet of pseudo-labels: python -m flows.release makes one." in opened.locator("#releases").inner_text()
    assert opened.get_by_role("link", name="The report", exact=True).get_attribute("href") == "../reports/report.html"


@pytest.mark.parametrize("width", [360, 1280])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_hangs_over_the_edge_and_text_can_be_read(browser, project, width, scheme):
    window = browser.new_page(viewport={"width": width, "height": 800}, color_scheme=scheme)
    window.goto((project / "shown/index.html").as_uri())
    assert window.evaluate("document.documentElement.scrollWidth") == width
    # WCAG 2: 4.5 for text. Colours are opaque, so the first background upwards that is not transparent is the one behind.
    contrasts = window.evaluate("""() => {
        const linear = (v) => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4;
        const light = (colour) => {
            const [r, g, b] = colour.match(/[\\d.]+/g).map((v) => linear(v / 255));
            return 0.2126 * r + 0.7152 * g + 0.0722 * b;
        };
        const behind = (e) => {
            const colour = getComputedStyle(e).backgroundColor;
            return colour === "rgba(0, 0, 0, 0)" ? behind(e.parentElement) : colour;
        };
        const found = [];
        for (const e of document.querySelectorAll("main *")) {
            if (!e.offsetParent || ![...e.childNodes].some((n) => n.nodeType === 3 && n.data.trim())) continue;
            const [a, b] = [light(getComputedStyle(e).color), light(behind(e))];
            found.push([(Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05), e.textContent.slice(0, 40)]);
        }
        return found; }""")
    assert len(contrasts) > 50
    assert min(contrasts)[0] >= 4.5, min(contrasts)
    window.close()


def test_a_changed_file_is_seen(project):
    (project / "source").write_text("2")
    try:
        assert write_page(project).returncode == 0
    finally:
        git(project, "checkout", "-q", "source")
    text = (project / "reports/index.html").read_text()
    assert "1 stage is not up to date" in text
    assert "(1 file changed since)" in text
    (project / "reports/index.html").unlink()


def test_an_empty_project_is_described_in_words(tmp_path, browser):
    git(tmp_path, "init", "-q")
    git(tmp_path, "commit", "-q", "--allow-empty", "-m", "start")
    result = write_page(tmp_path)
    assert result.returncode == 0, result.stderr
    window = browser.new_page()
    window.goto((tmp_path / "reports/index.html").as_uri())
    text = window.locator("main").inner_text()
    window.close()
    for words in (
        "DVC could not say what is up to date",
        "No round yet",
        "No overlay video yet: dvc repro report writes reports/overlay.mp4.",
        "None yet: make run trains and scores them",
        "None yet: dvc exp run -n NAME",
        "None yet: python -m flows.release makes one.",
    ):
        assert words in text


def test_errors_name_the_file_and_the_cure(tmp_path):
    outside = write_page(tmp_path)
    assert outside.returncode == 1 and "not a git repository" in outside.stderr
    git(tmp_path, "init", "-q")
    git(tmp_path, "commit", "-q", "--allow-empty", "-m", "start")
    (tmp_path / "reports").mkdir()
    (tmp_path / "reports/metrics.json").write_text("{")
    damaged = write_page(tmp_path)
    assert damaged.returncode == 1 and "error: ValueError: reports/metrics.json is not JSON" in damaged.stderr
    assert not (tmp_path / "reports/index.html").exists()


def test_experiments_and_releases_are_read_from_git(project, monkeypatch):
    monkeypatch.chdir(project)
    found = {one.name: one for one in state.experiments()}
    assert set(found) == {"seed-a", "seed-b", "gate<b>", "lost"}
    assert found["seed-a"].values == {"train_seed": (0, 1)} and found["seed-a"].files == []
    assert (found["lost"].values, found["gate<b>"].rounds) == (None, {})
    versions = {(one.artifact, one.version, one.taken_back) for one in state.releases()}
    assert versions == {("tracker", "1.10.0", False), ("detector", "0.9.0", True)}
    assert all(one.commit == state.head().name and list(one.rounds) == ["r0", "r1"] and one.exported == "r1" for one in state.releases())
    assert state.contents(["HEAD:source", "HEAD:nothing", "HEAD:source"]) == {"HEAD:source": "1", "HEAD:nothing": None}


def test_best_is_what_is_written_best():
    rounds = metrics(0.04, 0.03)
    rounds["r0"]["tracker"]["rendered_test"]["nme_inter_ocular"] = 0.0300004
    rows = page.round_rows(rounds, {}, page.datasets([rounds]))
    assert [row["cells"][0].best for row in rows] == [False, True, False, True]
    assert not any(row["cells"][2].best for row in rows)  # all the same


def test_charts_have_bars_from_zero():
    rounds = {f"r{i}": systems for i, systems in enumerate(metrics(*[0.025] * 12).values())}
    chart = page.drawn(rounds, page.datasets([rounds]))[0]
    heights = {height for system, *_, height in chart.bars if system == "tracker"}
    assert heights == {(charts.BOTTOM - charts.TOP) / 2}  # 2.5 % where the highest is 5 %
    assert all(x >= 0 and x + chart.width <= charts.WIDTH for _, _, x, _, _ in chart.bars)
    assert [name for name, _ in chart.names] == ["r0", "r11"]


def test_of_pictures_error_and_missing_are_shown_and_the_error_is_drawn():
    rounds = metrics(0.04)
    for scores_of_system in rounds["r0"].values():
        scores_of_system["own_test"] = {"nme_inter_ocular": 0.02, "missing": 0.1, "residual_jitter": None}
    shown = page.datasets([rounds])
    assert (shown[-1].title, [figure.heading for figure in shown[-1].figures]) == ("own pictures", ["error", "missing"])
    assert [chart.title for chart in page.drawn(rounds, shown)][-1] == "own pictures: error"
