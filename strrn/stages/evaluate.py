"""Stage `evaluate`: runs a round's models over test clips, validation clips and held-out labelled pictures, as detector and tracker, and
scores them."""

import argparse
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from strrn.core.landmarks import LandmarkScheme, load_scheme
from strrn.core.processes import num_workers
from strrn.core.tables import read_table
from strrn.data.sources.labels import LabelParameters
from strrn.data.sources.videos import VideoParameters, research_clips
from strrn.evaluation.clips import EvaluationClip, real_clips, rendered_clips, research_test_clips, validation_clips
from strrn.evaluation.predict import SYSTEMS, predict, torch_models
from strrn.evaluation.rounds import EvaluateParameters, score_round
from strrn.evaluation.stills import EvaluationStill, held_out_stills
from strrn.runtime.loop import Models
from strrn.runtime.parameters import RuntimeParameters
from strrn.stages import logs
from strrn.stages.parameters import load_section, load_value
from strrn.stages.paths import CROPS, MODELS, PREDICTIONS, RAW, RENDERED, SCORES
from strrn.stages.rounds import round_names


def load_clips(parameters: EvaluateParameters, scheme: LandmarkScheme) -> list[EvaluationClip]:
    """Clips with truth where the scheme's points can be had from the 68 that they are labelled with, and the real clips; of the research
    sets the split `test`."""
    records, _ = research_clips(load_section("videos", VideoParameters))
    clips = [*real_clips(RAW, parameters.real_clips), *research_test_clips(records)]
    if scheme.knows_ibug68:
        return [*rendered_clips(RENDERED), *clips]
    return [clip for clip in clips if clip.truth is None]


def load_stills(scheme: LandmarkScheme) -> list[EvaluationStill]:
    """The held-out labelled pictures, whole; those that the stage `crop` could use."""
    usable = read_table(CROPS / "stills_test.parquet", columns=["image_id"])["image_id"]
    return held_out_stills(RENDERED / "stills_test.parquet", set(usable), load_section("labels", LabelParameters), scheme)


def evaluate(
    load_models: Callable[[], Models], predictions: Path, scores: Path, systems: Sequence[str], validation: Sequence[EvaluationClip] = ()
) -> None:
    """Run models, loaded as `predict` wants it, over the test clips and pictures and the clips `validation`, and score what `systems` (of
    detector and tracker) said."""
    parameters = load_section("evaluate", EvaluateParameters)
    scheme = load_scheme(load_value("scheme", str))
    clips = [*validation, *load_clips(parameters, scheme), *load_stills(scheme)]
    predict(
        clips,
        load_models,
        scheme,
        load_section("runtime", RuntimeParameters),
        predictions,
        max_frames=parameters.max_frames_per_clip,
        workers=num_workers(parameters.workers),
        systems=systems,
    )
    score_round(predictions, clips, scheme, parameters, scores, systems)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--round", required=True)
    name = parser.parse_args().round
    if name not in round_names():
        raise ValueError(f"there is no round {name!r} in params.yaml; there are {round_names()}")
    pair = (MODELS / name / f"{role}.safetensors" for role in ("detector", "tracker"))
    validation = validation_clips(RENDERED) if load_scheme(load_value("scheme", str)).knows_ibug68 else []
    evaluate(partial(torch_models, *pair), PREDICTIONS / name, SCORES / f"{name}.json", tuple(SYSTEMS), validation)


if __name__ == "__main__":
    logs.run(main)
