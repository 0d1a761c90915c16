from tests.render.conftest import studio, tiny, toy_mesh, toy_raw

__all__ = ["studio", "tiny", "toy_mesh", "toy_raw"]
