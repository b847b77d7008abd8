"""A running house of the demo, shared by the tests of a module."""

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime
import os
from pathlib import Path

import pytest
import pytest_socket

from demo.families import FAMILIES
from demo.home_assistant import free_port
from demo.house import House, running_house, simulators_of
from demo.process import ROOT

ENVIRONMENT = Path(os.environ.get("LOCAL_SOLAR_ENV", ROOT / ".env")) / "hass"
PYTHON = ENVIRONMENT / "bin" / "python"


def _zone_where_it_is(hour: int) -> str:
    """Return the name of a time zone in which it is that hour now."""
    ahead = (hour - datetime.now(UTC).hour + 12) % 24 - 12
    return f"Etc/GMT{-ahead:+d}"


TIME_ZONE = _zone_where_it_is(11)
"""Of Home Assistant and of the browser, so that tests do not run over midnight: just after
it, energy is still shown for the day before."""


@pytest.fixture(autouse=True)
def sockets(socket_enabled: None) -> None:
    """Let tests reach this computer, which Home Assistant's test kit forbids."""
    allow_sockets()


def allow_sockets() -> None:
    """Let fixtures reach it, too, that live longer than a test."""
    pytest_socket.enable_socket()
    pytest_socket.socket_allow_hosts(["127.0.0.1", "::1"])


@pytest.fixture(scope="module")
def runner() -> Iterator[asyncio.Runner]:
    """An event loop that lasts as long as the house."""
    allow_sockets()
    with asyncio.Runner(loop_factory=asyncio.new_event_loop) as runner:
        yield runner


@pytest.fixture(scope="module")
def house(
    runner: asyncio.Runner, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[House]:
    """All simulators and a new Home Assistant with nothing set up in it."""
    if not PYTHON.exists():
        pytest.skip(f"{ENVIRONMENT} is missing; scripts/setup hass makes it")
    folder = tmp_path_factory.mktemp("house")
    running = running_house(
        folder, free_port(), PYTHON, simulators_of(FAMILIES), time_zone=TIME_ZONE
    )
    house = runner.run(running.__aenter__())
    try:
        yield house
    finally:
        allow_sockets()
        runner.run(running.__aexit__(None, None, None))
