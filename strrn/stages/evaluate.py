"""Stage `evaluate`: runs a round's models over the test clips, as detector and as tracker, and scores what they said."""

import argparse
from functools import partial

from strrn.core.landmarks import load_scheme
from strrn.core.processes import num_workers
from strrn.evaluation.clips import EvaluationClip, real_clips, rendered_clips
from strrn.evaluation.predict import predict, torch_models
from strrn.evaluation.rounds import EvaluateParameters, score_round
from strrn.runtime.parameters import RuntimeParameters
from strrn.stages import logs
from strrn.stages.parameters import load_section, load_value
from strrn.stages.paths import MODELS, PREDICTIONS, RAW, RENDERED, SCORES
from strrn.stages.rounds import round_names


def load_clips(parameters: EvaluateParameters) -> list[EvaluationClip]:
    return rendered_clips(RENDERED) + real_clips(RAW, parameters.real_clips)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--round", required=True)
    name = parser.parse_args().round
    if name not in round_names():
        raise ValueError(f"there is no round {name!r} in params.yaml; there are {round_names()}")
    parameters = load_section("evaluate", EvaluateParameters)
    scheme, clips = load_scheme(load_value("scheme", str)), load_clips(parameters)
    predict(
        clips,
        partial(torch_models, MODELS / name),
        scheme,
        load_section("runtime", RuntimeParameters),
        PREDICTIONS / name,
        max_frames=parameters.max_frames_per_clip,
        workers=num_workers(parameters.workers),
    )
    score_round(PREDICTIONS / name, clips, scheme, parameters, SCORES / f"{name}.json")


if __name__ == "__main__":
    logs.run(main)
