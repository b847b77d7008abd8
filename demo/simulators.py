"""The simulated devices: ``python -m simulators`` as children."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
import signal
from typing import Final

from .home_assistant import HOST, free_port
from .process import Child

MORNING: Final = ("--start", "2026-06-21T10:30")
"""When simulated time starts, whatever the time is: the sun shines, the battery charges,
and what is left goes to the grid."""

READY_WITHIN: Final = 30.0
ANY_PORT: Final = "127.0.0.1:0"


@dataclass(frozen=True, slots=True)
class Address:
    """Where a simulated device listens."""

    host: str
    port: int

    def __str__(self) -> str:
        """Return it as it is given to a person."""
        return f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Simulator:
    """What one process simulates.

    ``arguments`` are those of ``python -m simulators``; ``listeners`` are the kinds that
    it says it has, once it is ready.
    """

    name: str
    arguments: tuple[str, ...]
    listeners: frozenset[str]
    reports: bool = False
    """Whether it connects to Home Assistant, rather than the other way round: then
    ``SERVER`` is where it looks for it."""


PLANT: Final = Simulator(
    name="plant",
    arguments=(
        *("plant", *MORNING),
        *("--growatt-tcp", ANY_PORT, "--growatt-rtu-tcp", ANY_PORT),
    ),
    listeners=frozenset({"tcp", "rtu-tcp"}),
)


def growatt(dataset: str) -> Simulator:
    """Return a Growatt inverter of a shipped dataset, driven by sun and house."""
    return Simulator(
        name=dataset,
        arguments=(
            *("growatt", "--dataset", dataset, "--mutate", *MORNING),
            *("--tcp", ANY_PORT),
        ),
        listeners=frozenset({"tcp"}),
    )


HURRIED: Final = ("--refresh", "0", "--fault", "slow-command=0.5")
"""What spares the time of who waits: a DTU has new values each time that it is asked, not
every 30 s, and carries out commands in half a second instead of 4 s."""


def _dtu(name: str, *arguments: str) -> Simulator:
    return Simulator(
        name=name,
        arguments=("hoymiles", *MORNING, "--port", "0", *HURRIED, *arguments),
        listeners=frozenset({"hoymiles"}),
    )


INTEGRATED_DTU: Final = _dtu(
    "integrated DTU", "--inventory", "hms-800w-2t", "--encrypt"
)
"""A microinverter that is its own DTU."""

DTU_STICK: Final = _dtu("DTU stick", "--inventory", "stick-3")
"""A DTU with three microinverters and a meter."""


MATE3: Final = Simulator(
    name="MATE3s",
    arguments=("mate3", "--live", *MORNING, "--tcp", ANY_PORT),
    listeners=frozenset({"tcp"}),
)
"""A system controller with an inverter, two charge controllers and a battery monitor."""


SERVER: Final = "server"
"""What is called a listener that a simulator reports to."""

DATALOGGER: Final = Simulator(
    name="datalogger",
    arguments=(
        *("datalogger", "--stick", "XGD0DEMO01", "--mutate", *MORNING),
        *("--inverter", "KDJ0DEMO01=sph_5000", "--meter", "words"),
        *("--interval", "6", "--reconnect", "2"),
    ),
    listeners=frozenset(),
    reports=True,
)
"""A stick with a hybrid, its battery and its meter."""


OUTSIDER: Final = Simulator(
    name="bus client",
    arguments=(
        "client",
        *("--read", "input:3000:47", "--read", "holding:0:20"),
        *("--interval", "1"),
    ),
    listeners=frozenset(),
    reports=True,
)
"""Another program that reads the hybrid of the plant through the gateway."""


class RunningSimulator:
    """A simulator that runs. ``addresses`` tells where each kind of listener is."""

    def __init__(self, child: Child, addresses: Mapping[str, Address]) -> None:
        """Take the process and what it said."""
        self.addresses = addresses
        self._child = child

    def hold(self) -> None:
        """Make its devices silent: connections are accepted, nothing is answered."""
        self._child.signal(signal.SIGSTOP)

    def release(self) -> None:
        """Let held devices answer again."""
        self._child.signal(signal.SIGCONT)


@asynccontextmanager
async def running_simulator(
    simulator: Simulator, python: Path, folder: Path
) -> AsyncIterator[RunningSimulator]:
    """Run a simulator on ``python``, with its log in ``folder``. Raises ``DemoError``."""
    command: Sequence[str | Path] = (
        *(python, "-m", "simulators"),
        *simulator.arguments,
    )
    log = folder / f"{simulator.name.replace(' ', '_')}.log"
    reserved: dict[str, Address] = {}
    if simulator.reports:
        reserved[SERVER] = Address(HOST, free_port())
        command = (*command, "--server", str(reserved[SERVER]))

    async def all_listeners() -> Mapping[str, Address] | None:
        found = listeners(child.output)
        return {**found, **reserved} if found.keys() >= simulator.listeners else None

    async with Child(f"the simulated {simulator.name}", command, log) as child:
        yield RunningSimulator(
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
