import pytest


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest first: where several processes share the tests, none is left alone with them at the end."""
    items.sort(key=lambda item: item.get_closest_marker("e2e") is None)
