"""A training that was killed goes on, and comes to the weights that it would have come to."""

import logging

import pytest
import torch
from torch import nn

from strrn.models import checkpoint
from strrn.training import resume
from strrn.training.loop import Schedule, train
from strrn.training.pretrain import pretrain
from tests.models.small import header
from tests.training.material import loop, setting, write_stills


class KillError(Exception):
    pass


def run(folder, kill_after=None, errors=(1.0, 0.8, 0.9, 0.7, 0.9, 0.9, 0.9), **changes):
    """A small network that learns from random numbers; (weights, rows, epochs that it trained)."""
    torch.manual_seed(3)
    model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2))
    trained = []

    def epoch_batches(epoch):
        if epoch == kill_after:
            raise KillError
        trained.append(epoch)
        return [{"x": torch.full((2, 1, 4, 4), float(epoch + k))} for k in range(3)]

    def step(module, batch):
        return {"loss": (module(batch["x"] + torch.randn(2, 1, 4, 4)) - 1).square().mean()}

    parameters = loop(**{"average": 0.9, "max_epochs": 6, **changes})
    snapshot = resume.Snapshot("test", parameters, folder=folder) if folder else None
    history = train(model, epoch_batches, step, lambda _: errors[trained[-1]], parameters, "test", snapshot)
    return checkpoint.weights_hash(model), history.rows, trained


@pytest.mark.parametrize("changes", [{"schedule": Schedule.cosine}, {"patience": 1, "num_drops": 1}, {"average": 0.0}])
def test_a_killed_training_ends_as_if_nothing_had_happened(tmp_path, changes):
    whole = run(None, **changes)
    with pytest.raises(KillError):
        run(tmp_path, kill_after=3, **changes)
    weights, rows, trained = run(tmp_path, **changes)
    assert trained == whole[2][3:] and (weights, rows) == whole[:2]
    # It is kept until `clear`: a stage that is killed later does not train this model again.
    assert run(tmp_path, kill_after=0, **changes) == (*whole[:2], [])


def test_another_value_or_a_broken_file_starts_anew(tmp_path, caplog):
    with pytest.raises(KillError):
        run(tmp_path, kill_after=3)
    assert run(tmp_path, learning_rate=0.5)[2] == run(None, learning_rate=0.5)[2]
    (kept, _) = sorted(tmp_path.iterdir(), key=lambda path: path.stat().st_mtime)
    kept.write_bytes(kept.read_bytes()[:1000])
    with caplog.at_level(logging.WARNING):
        assert run(tmp_path) == run(None)
    assert "training starts anew" in caplog.text


def test_pretraining_goes_on_with_the_crops_of_its_epoch(tmp_path):
    write_stills(tmp_path)
    seen = []

    def refresh(kill_after):
        def note(crops, epoch):
            if epoch == kill_after:
                raise KillError
            seen.append(epoch)

        return note

    def hash_of(folder, kill_after=None):
        parameters = loop(batch_size=2, num_batches=2, max_epochs=3)
        pretrain(setting(), header("mdm"), tmp_path, parameters, tmp_path / "m.safetensors", refresh=refresh(kill_after), snapshots=folder)
        return checkpoint.weights_hash(checkpoint.load(tmp_path / "m.safetensors")[0])

    whole = hash_of(tmp_path / "a")
    with pytest.raises(KillError):
        hash_of(tmp_path / "b", kill_after=2)
    assert hash_of(tmp_path / "b") == whole and seen == [0, 1, 2, 0, 1, 2]
    resume.clear(tmp_path / "b")
    assert not (tmp_path / "b").exists()
