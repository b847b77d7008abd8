"""What the tests of serial ports share: a gateway that a test holds up, and a cable."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
import os
from pathlib import Path
from struct import pack, unpack_from
import tty
from typing import Final

from custom_components.local_solar.gateway.capture import Recorder
from custom_components.local_solar.gateway.clients import Client
from custom_components.local_solar.gateway.framing import rtu_frame
from custom_components.local_solar.gateway.pdu import READS, WRITES, exception_answer
from custom_components.local_solar.gateway.statistics import Statistics
from custom_components.local_solar.gateway.watch import Watch

PATIENCE: Final = 10.0
"""Seconds after which a test has waited in vain."""

type Reply = Callable[[bytes | None], None]


def read_pdu(address: int, length: int = 1, function: int = 3) -> bytes:
    """Return a request for registers."""
    return pack(">BHH", function, address, length)


def write_pdu(address: int, word: int) -> bytes:
    """Return a request to write a register."""
    return pack(">BHH", 6, address, word)


def answer_to(pdu: bytes) -> bytes:
    """Return how the gateway of the tests answers: each register holds its own address."""
    if pdu[0] in WRITES:
        return pdu[:5]
    if pdu[0] not in READS:
        return exception_answer(pdu[0], 1)
    _, address, length = unpack_from(">BHH", pdu)
    return pack(f">BB{length}H", pdu[0], 2 * length, *range(address, address + length))


def request(pdu: bytes, unit: int = 1) -> bytes:
    """Return a request as it goes over the line."""
    return rtu_frame(unit, pdu)


def answer(pdu: bytes, unit: int = 1) -> bytes:
    """Return what goes back over the line."""
    return rtu_frame(unit, answer_to(pdu))


class Notes(Recorder):
    """Keeps what it is told."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self.requests: list[tuple[int, bytes]] = []
        self.unanswered: list[bytes] = []
        self.noise: list[bytes] = []

    def request(self, client: Client, unit: int, pdu: bytes) -> None:
        """Keep a request."""
        self.requests.append((unit, pdu))

    def answer(
        self, client: Client, unit: int, request: bytes, answer: bytes | None
    ) -> None:
        """Keep what is not answered."""
        if answer is None:
            self.unanswered.append(request)

    def garbage(self, client: Client, octets: bytes) -> None:
        """Keep noise."""
        self.noise.append(octets)


class HeldGateway:
    """A gateway that answers at once, or when a test says so."""

    def __init__(self) -> None:
        """Answer at once."""
        self.statistics = Statistics()
        self.notes = Notes()
        self.clients: list[Client] = []
        self.taken: list[tuple[int, bytes]] = []
        """Unit and PDU of all that was asked."""
        self.is_held = False
        self._waiting: list[tuple[bytes, Reply]] = []

    @property
    def recorder(self) -> Recorder:
        """Who is told what comes."""
        return self.notes

    def join(self, client: Client) -> None:
        """Take in a client."""
        assert client.name not in {other.name for other in self.clients}
        self.clients.append(client)

    def leave(self, client: Client) -> None:
        """Forget a client."""
        self.clients.remove(client)

    def take(self, client: Client, unit: int, pdu: bytes, reply: Reply) -> None:
        """Answer, or hold back."""
        self.taken.append((unit, pdu))
        if self.is_held:
            self._waiting.append((pdu, reply))
        else:
            reply(answer_to(pdu))

    def settle(self, place: int = 0, *, is_silent: bool = False) -> None:
        """Answer what was held back."""
        pdu, reply = self._waiting.pop(place)
        reply(None if is_silent else answer_to(pdu))


class Cable:
    """A serial port with a name, and whatever is plugged into it."""

    def __init__(self, path: Path) -> None:
        """Give the port a name; nothing is plugged in."""
        self.path = path
        self._ends: tuple[int, int] | None = None

    def plug_in(self) -> None:
        """Let the port be there."""
        self._ends = far, near = os.openpty()
        tty.setraw(near)
        os.set_blocking(far, False)
        self.path.symlink_to(os.ttyname(near))

    def pull_out(self) -> None:
        """Let the port vanish, whoever has it open."""
        if self._ends is not None:
            self.path.unlink()
            for end in self._ends:
                os.close(end)
            self._ends = None

    def send(self, octets: bytes) -> None:
        """Send octets to who has the port open."""
        assert self._ends is not None
        assert os.write(self._ends[0], octets) == len(octets)

    async def receive(self, length: int) -> bytes:
        """Return so many octets when they have come."""
        assert self._ends is not None
        octets = b""

        def has_come() -> bool:
            nonlocal octets
            octets += read_all(self._far)
            return len(octets) >= length

        await until(has_come)
        return octets

    def received(self) -> bytes:
        """Return what has come until now."""
        return read_all(self._far)

    @property
    def _far(self) -> int:
        assert self._ends is not None
        return self._ends[0]


def read_all(descriptor: int) -> bytes:
    """Return what can be read at once."""
    try:
        return os.read(descriptor, 65_536)
    except BlockingIOError:
        return b""


async def until(predicate: Callable[[], object]) -> None:
    """Wait for what nobody tells of."""
    async with asyncio.timeout(PATIENCE):
        while not predicate():
            await asyncio.sleep(0.001)


def _descriptors() -> set[tuple[str, str]]:
    """Return what this process has open."""
    found = set()
    for link in Path("/proc/self/fd").iterdir():
        try:
            found.add((link.name, str(link.readlink())))
        except FileNotFoundError:
            continue  # that of the list itself
    return found


def _other_tasks() -> set[asyncio.Task[object]]:
    """Return all tasks but the one that asks: that of a fixture is another each time."""
    return {task for task in asyncio.all_tasks() if task is not asyncio.current_task()}


def _timers(loop: asyncio.AbstractEventLoop) -> list[object]:
    """Return what ports and sessions still want to do later."""
    found = []
    for timer in loop._scheduled:  # type: ignore[attr-defined]  # noqa: SLF001
        callback = timer._callback  # noqa: SLF001
        if isinstance(callback, partial):
            callback = callback.func
        owner = getattr(callback, "__self__", None)
        if timer.cancelled() or isinstance(owner, Watch):
            continue  # that of the gateway, which goes on
        if ".gateway." in type(owner).__module__:
            found.append(callback)
    return found


@contextmanager
def nothing_is_left() -> Iterator[None]:
    """See that all that was begun within has been ended there: files, readers, timers, tasks."""
    loop = asyncio.get_running_loop()
    readers = loop._selector.get_map()  # type: ignore[attr-defined]  # noqa: SLF001
    before = _descriptors(), set(readers), _other_tasks()
    yield
    assert (_descriptors(), set(readers), _other_tasks()) == before
    assert _timers(loop) == []
