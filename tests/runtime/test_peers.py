"""`strrn bench` runs other trackers where they are installed, and says why where it does not."""

from contextlib import contextmanager

import numpy as np
import pytest

from strrn.runtime import peers
from strrn.runtime.peers import Peer, peer_speeds

FRAMES = [np.zeros((8, 8, 3), np.uint8)] * 4


@contextmanager
def every_second(model, num_faces, video):
    calls = []

    def follow(frame, milliseconds):
        assert not calls or milliseconds > calls[-1]
        calls.append(milliseconds)
        return [np.zeros((3, 2))] * num_faces if len(calls) % 2 and video else []

    yield follow


@contextmanager
def broken(model, num_faces, video):
    raise ImportError("libGL.so.1: no such file")
    yield


def test_speeds_and_reasons(tmp_path, monkeypatch):
    (tmp_path / "model").touch()
    monkeypatch.setattr(
        peers,
        "PEERS",
        (
            Peer("good", "json", "model", every_second),
            Peer("broken", "json", "model", broken),
            Peer("no model", "json", "other", every_second),
            Peer("not installed", "no_such_module", "model", every_second),
        ),
    )
    speeds = peer_speeds(tmp_path, FRAMES)
    assert speeds["good"]["frames_per_second"] > 0 and speeds["good"]["share_with_face"] == 0.5
    assert speeds["broken"] == {"missing": "ImportError: libGL.so.1: no such file"}
    assert "benchmarks.peers" in speeds["no model"]["missing"] and "no other in" in speeds["no model"]["missing"]
    assert speeds["not installed"]["missing"] == "pip install '.[bench]' in a clone"


@pytest.mark.parametrize("peer", peers.PEERS, ids=lambda peer: peer.module)
def test_the_real_ones_say_what_they_need(peer, tmp_path):
    assert peer.missing(tmp_path)
