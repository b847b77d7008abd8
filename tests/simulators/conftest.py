"""Real sockets on this computer, and clients of other libraries than the simulators'."""

import pytest


@pytest.fixture(autouse=True)
def sockets(socket_enabled: None) -> None:
    """Let tests use sockets, which Home Assistant's test kit forbids."""
