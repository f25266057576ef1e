"""A session to which wrong messages are sent; none of them changes it."""

from __future__ import annotations

import pytest

from boed.live import LiveSession
from tests.live.sessions import begun


@pytest.fixture(scope="session")
def untouched(tmp_path_factory: pytest.TempPathFactory) -> LiveSession:
    """Its look 0 is pending, its look 1 was taken."""
    return begun(tmp_path_factory.mktemp("live") / "log")
