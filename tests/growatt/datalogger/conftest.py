"""Real sockets on this computer."""

import pytest


@pytest.fixture(autouse=True)
def sockets(socket_enabled: None) -> None:
    """Let tests use sockets, which Home Assistant's test kit forbids."""
