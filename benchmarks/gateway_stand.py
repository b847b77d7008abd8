"""Where the parts of ``benchmarks.gateway`` meet: lines, gateways, anchors, clients."""

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from functools import partial
import os
from pathlib import Path
import socket
import subprocess
import sys
from threading import RLock
from time import monotonic, sleep
from typing import Any, Final, NamedTuple

from .asking import HEAP, Answer, Peer, peer
from .gateway_words import MOST_WORDS, READ_HOLDING, READ_INPUT, REGISTERS, Block

HOST: Final = "127.0.0.1"
BAUD: Final = 9600
PATIENCE: Final = 20.0
LINKS: Final = {"pty": "serial", "rtu": "RTU over TCP", "tcp": "Modbus TCP"}

_PER_SPACE: Final = REGISTERS // MOST_WORDS
_TICKS: Final = os.sysconf("SC_CLK_TCK")

gateway_peer = partial(peer, benchmark="gateway")

type Plan = Sequence[Block]


def distinct(clients: int, each: int, count: int, unit: int = 1) -> list[Plan]:
    """Return so many blocks of ``count`` registers for each client, none of them twice."""
    per_space = REGISTERS // count

    def block(number: int) -> Block:
        space, place = divmod(number, per_space)
        return Block(unit, (READ_HOLDING, READ_INPUT)[space], place * count, count)

    return [
        [block(client * each + turn) for turn in range(each)]
        for client in range(clients)
    ]


def free_port() -> int:
    """Return a port that nobody listens on."""
    with closing(socket.socket()) as listener:
        listener.bind((HOST, 0))
        port: int = listener.getsockname()[1]
        return port


def cpu_of(pid: int) -> float:
    """Return the seconds of processor time that a process has had."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rsplit(")", 1)[1]
    user, system = fields.split()[11:13]
    return (int(user) + int(system)) / _TICKS


def resident_of(pid: int) -> int:
    """Return how many bytes of memory a process takes."""
    for line in Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024
    raise RuntimeError("the kernel does not tell")


class Proxy(NamedTuple):
    """What serves clients: the gateway, or modbus-proxy."""

    port: int
    pid: int
    peer: Peer | None = None
    name: str = ""

    def report(self) -> Answer:
        """Return what the gateway knows of itself."""
        assert self.peer is not None
        return self.peer.ask(do="report", name=self.name)


@dataclass(slots=True)
class Tally:
    """What all clients of a kind of proxy have checked."""

    answers: int = 0
    mismatches: int = 0
    wrong: list[str] = field(default_factory=list)


class Clients:
    """A group of clients."""

    def __init__(self, load: Peer, name: str, began: float, tally: Tally) -> None:
        """Ask ``load`` for them. ``began`` is when they were connected."""
        self._load = load
        self._tally = tally
        self._name = name
        self.began: Final = began

    def reset(self) -> None:
        """Count anew."""
        self._load.ask(do="reset", name=self._name)

    def report(self) -> Answer:
        """Return what they have seen."""
        return self._load.ask(do="report", name=self._name)

    def stop(self) -> Answer:
        """Let them leave; return what they have seen."""
        report = self._load.ask(do="stop", name=self._name)
        self._tally.answers += report["all_checked"]
        self._tally.mismatches += report["all_mismatches"]
        self._tally.wrong += report["wrong"]
        return report


class Stand:
    """A process for all devices, one for all clients, and one for each proxy.

    Parts that are measured at the same time use it from threads of their own.
    """

    def __init__(self, stack: ExitStack) -> None:
        """Begin with the devices and the clients."""
        self._stack = stack
        self._lock = RLock()
        self.device: Final = stack.enter_context(gateway_peer("device"))
        self.load: Final = stack.enter_context(gateway_peer("load"))
        self.bare: Final = stack.enter_context(gateway_peer("gateway"))
        self.ours: Final = Tally()
        self.anchors: Final = Tally()
        self._names = 0

    def enter[T](self, context: AbstractContextManager[T]) -> T:
        """Enter something that is left when all is over."""
        with self._lock:
            return self._stack.enter_context(context)

    def _name(self) -> str:
        with self._lock:
            self._names += 1
            return str(self._names)

    def line(self, link: str, baud: int | None = BAUD, **options: Any) -> Answer:
        """Return a new line with a device."""
        name = self._name()
        where = self.device.ask(do="open", name=name, link=link, baud=baud, **options)
        return {**where, "link": link, "name": name, "baud": baud}

    def process(self) -> Peer:
        """Return a process that can be a gateway, or a bare loop."""
        return self.enter(gateway_peer("gateway"))

    def gateway(
        self, to: Answer, *, process: Peer | None = None, units: int = 3, **options: Any
    ) -> Proxy:
        """Start a gateway for some units of a line; its pace is the default one."""
        process, name = process or self.process(), self._name()
        pace = {"has_transactions": to["link"] == "tcp"} | options.pop("pace", {})
        port = process.ask(
            do="open",
            name=name,
            to=to,
            units=list(range(1, units + 1)),
            pace=pace,
            **options,
        )["port"]
        return Proxy(port, process.pid, process, name)

    def minimal(self, to: Answer) -> Proxy:
        """Start the least server that there can be."""
        process = self.process()
        return Proxy(process.ask(do="minimal", to=to)["port"], process.pid)

    def anchor(self, to: Answer) -> Proxy:
        """Start modbus-proxy, with its own settings, for a line by Modbus TCP."""
        port = free_port()
        process = self.enter(_modbus_proxy(port, to["port"]))
        until = monotonic() + PATIENCE
        while True:
            try:
                socket.create_connection((HOST, port), 1.0).close()
            except OSError:
                if monotonic() > until:
                    raise
                sleep(0.05)
            else:
                return Proxy(port, process.pid)

    def clients(self, proxy: Proxy, plans: Sequence[Plan], **options: Any) -> Clients:
        """Connect a client for each plan, at once."""
        name = self._name()
        answer = self.load.ask(
            do="start", name=name, port=proxy.port, plans=plans, **options
        )
        tally = self.anchors if proxy.peer is None else self.ours
        return Clients(self.load, name, answer["at"], tally)

    def seen(self, to: Answer, since: float = float("inf")) -> Answer:
        """Return what a device has seen."""
        return self.device.ask(do="report", name=to["name"], since=since)

    def set_faults(self, to: Answer, **faults: Any) -> None:
        """Set what goes wrong, by unit."""
        self.device.ask(
            do="faults",
            name=to["name"],
            faults={unit.removeprefix("unit"): fault for unit, fault in faults.items()},
        )


@contextmanager
def _modbus_proxy(port: int, device: int) -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(
        [
            *(sys.executable, "-m", "modbus_proxy"),
            *("--bind", f"tcp://{HOST}:{port}"),
            *("--modbus", f"tcp://{HOST}:{device}"),
        ],
        env=os.environ | HEAP,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as process:
        try:
            yield process
        finally:
            process.kill()
