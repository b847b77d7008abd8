"""The simulated plant: ``python -m simulators plant`` as a child."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
import signal
from typing import Final

from .process import Child

MORNING: Final = "2026-06-21T10:30"
"""When the plant's time starts, whatever the time is: the sun shines, the battery charges,
and what is left goes to the grid."""

READY_WITHIN: Final = 30.0
"""Seconds; it imports Home Assistant for the register tables."""

LISTENERS: Final = ("tcp", "rtu-tcp")
ANY_PORT: Final = "127.0.0.1:0"


@dataclass(frozen=True, slots=True)
class Address:
    """Where a simulated device listens."""

    host: str
    port: int

    def __str__(self) -> str:
        """Return it as it is given to a person."""
        return f"{self.host}:{self.port}"


class Plant:
    """A plant that runs. ``addresses`` tells where each kind of listener is."""

    def __init__(self, child: Child, addresses: Mapping[str, Address]) -> None:
        """Take the process and what it said."""
        self.addresses = addresses
        self._child = child

    def hold(self) -> None:
        """Make all devices silent: connections are accepted, nothing is answered."""
        self._child.signal(signal.SIGSTOP)

    def release(self) -> None:
        """Let held devices answer again."""
        self._child.signal(signal.SIGCONT)


@asynccontextmanager
async def running_plant(python: Path, log: Path) -> AsyncIterator[Plant]:
    """Run a plant on ``python``, writing to ``log``. Raises ``DemoError``."""
    command = (
        *(python, "-m", "simulators", "plant", "--start", MORNING),
        *("--growatt-tcp", ANY_PORT, "--growatt-rtu-tcp", ANY_PORT),
    )

    async def all_listeners() -> Mapping[str, Address] | None:
        found = listeners(child.output)
        return found if found.keys() >= {*LISTENERS} else None

    async with Child("the simulated plant", command, log) as child:
        yield Plant(
            child, await child.wait_for(all_listeners, READY_WITHIN, "does not listen")
        )


def listeners(lines: list[str]) -> dict[str, Address]:
    """Return what a simulator says where it listens, by kind of listener."""
    found = {}
    for line in lines:
        match line.split():
            case ["listening", kind, address]:
                host, _, port = address.rpartition(":")
                found[kind] = Address(host, int(port))
    return found
