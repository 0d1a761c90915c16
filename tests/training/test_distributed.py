"""Two processes that torchrun starts, on the CPU, against one."""

import csv
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from strrn.models import checkpoint
from tests.training.several import normed, prepare, train_all


def torchrun(folder: Path, *fault: str, processes: int = 2) -> subprocess.CompletedProcess:
    command = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes), "-m", "tests.training.several"]
    environment = os.environ | {"CUDA_VISIBLE_DEVICES": ""}
    return subprocess.run([sys.executable, *command, folder, *fault], capture_output=True, text=True, timeout=300, env=environment)


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """What one process and what two came to."""
    made = [tmp_path_factory.mktemp(name) for name in ("one", "two")]
    for folder in made:
        prepare(folder)
    train_all(made[0])
    done = torchrun(made[1])
    assert done.returncode == 0, done.stderr
    return (*made, done.stderr)


def losses(file: Path) -> list[tuple[str, str, float]]:
    with open(file.with_suffix(".log.csv"), encoding="utf-8") as log:
        return [(row["epoch"], row["name"], float(row["value"])) for row in csv.DictReader(log)]


@pytest.mark.parametrize(
    ("name", "tolerance"),
    [
        ("mdm", 1e-4),
        ("hgn", 0.03),
        ("strrn", 1e-4),
        ("distil", 1e-4),
        ("sbr", 1e-4),
        ("tsal/start", 1e-4),
        ("tsal/supervised", 1e-4),
        ("tsal/self_training", 1e-4),
        ("tsal/asynchronous", 1e-4),
        ("tsal/mean_teacher", 1e-4),
    ],
)
def test_two_processes_follow_the_loss_curve_of_one_with_the_whole_batch(folders, name, tolerance):
    """An untrained hourglass's maxima are near ties, which the order of a sum decides."""
    one, two = (folder / f"{name}.safetensors" for folder in folders[:2])
    curves = [losses(file) for file in (one, two)]
    assert [row[:2] for row in curves[0]] == [row[:2] for row in curves[1]] and len(curves[0]) >= 9
    assert [row[2] for row in curves[1]] == pytest.approx([row[2] for row in curves[0]], rel=tolerance)
    if name == "hgn":
        return
    weights = [checkpoint.load(file)[0].state_dict() for file in (one, two)]
    for key, values in weights[0].items():
        torch.testing.assert_close(weights[1][key], values, rtol=1e-3, atol=1e-5, msg=lambda text, key=key: f"{key}: {text}")


def test_batch_norm_sees_the_whole_batch(folders):
    expected = normed(torch.nn.BatchNorm2d(3), slice(None))
    parts = [np.load(folders[1] / f"norm_{number}.npz") for number in range(2)]
    for name, values in expected.items():
        rows = name in ("answer", "gradient")
        for number, part in enumerate(parts):
            own = values[number::2] if rows else values
            found = parts[0][name] + parts[1][name] if name in ("weight", "bias") else part[name]
            np.testing.assert_allclose(found, own, rtol=1e-4, atol=1e-5, err_msg=name)


def test_one_of_the_processes_tells_what_goes_on(folders):
    assert folders[2].count("pretrain mdm: epoch 0, validation error") == 1


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("no file", "error: .*nowhere"),
        ("small batch", "error: pretrain mdm: a batch has no sample for process 1 of 2: raise batch_size, or start fewer"),
        ("not finite", r"error: pretrain mdm: loss is not finite in epoch 0, step \d: .*Lower the learning_rate"),
    ],
)
def test_an_error_of_one_process_ends_all(folders, fault, message):
    done = torchrun(folders[1], fault)
    assert done.returncode != 0
    assert re.search(message, done.stderr), done.stderr
    assert not (folders[1] / "fault.safetensors").exists()
