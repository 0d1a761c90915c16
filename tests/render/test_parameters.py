from pathlib import Path

import pytest

from strrn.render.parameters import RenderParameters
from strrn.stages.parameters import load_section
from tests.render.conftest import TINY


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("supersampling: 1.0", "supersampling: 9", "supersampling is 9.0, expected 1 to 4"),
        ("glasses: 0.15", "glasses: 1.5", "look.glasses is 1.5, expected a share"),
        ("face_pixels: [80, 100]", "face_pixels: [100, 80]", "stills.face_pixels"),
        ("width: 160\n    face_pixels: [50", "width: 161\n    face_pixels: [50", "even"),
        ("per_identity: 4", "per_identity: 0", "stills.per_identity is 0"),
    ],
)
def test_values_out_of_range_are_named(tmp_path: Path, old: str, new: str, message: str):
    content = TINY.read_text()
    assert old in content
    (tmp_path / "params.yaml").write_text(content.replace(old, new))
    with pytest.raises(ValueError, match=message):
        load_section("render", RenderParameters, tmp_path / "params.yaml")
