"""Loggers to test with: a listener that takes notes, and connections made by hand.

Packets are made by the simulator's codec, which knows nothing of the one under test.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
import math
import socket
from typing import Any, Final

from custom_components.local_solar.growatt.datalogger import packets as ours
from custom_components.local_solar.growatt.datalogger.policy import Verdict
from custom_components.local_solar.growatt.datalogger.records import Record, decode
from custom_components.local_solar.growatt.datalogger.relay import Relay
from custom_components.local_solar.growatt.datalogger.server import Server
from custom_components.local_solar.growatt.datalogger.session import Listener, Session
from simulators.clock import SimulatedClock
from simulators.datalogger import bodies as their_bodies
from simulators.datalogger.bodies import Group
from simulators.datalogger.packets import Kind, Packet, PacketReader
from simulators.datalogger.stick import EAGER, SimulatedStick
from simulators.datalogger.waiting import PATIENCE, Waiting

HOST: Final = "127.0.0.1"
LOGGER: Final = "XGD0SIM001"
OTHER_LOGGER: Final = "XGD0SIM002"
NARROW: Final = 8192
"""Bytes that wait in a socket by hand: so it shows soon that nobody reads."""

INVERTER: Final = "SNL0CE1234"
OTHER_INVERTER: Final = "SNL0CE9999"
NOON: Final = datetime(2026, 6, 21, 12, 0, 30)
STAMP: Final = their_bodies.stamp_of(NOON)


# -- packets -----------------------------------------------------------------------------


def ping(logger: str = LOGGER, *, tid: int = 1, protocol: int = 6) -> Packet:
    """Return what a logger says when it connects."""
    body = their_bodies.serial_field(protocol, logger)
    return Packet(kind=Kind.PING, body=body, tid=tid, protocol=protocol)


def report(
    kind: int = Kind.LIVE,
    *groups: Group,
    logger: str = LOGGER,
    inverter: str = INVERTER,
    unit: int = 1,
    tid: int = 1,
    protocol: int = 6,
    stamp: bytes = STAMP,
) -> Packet:
    """Return a record of registers, by default of a few."""
    record = their_bodies.Record(
        logger, inverter, stamp, groups or (Group(3000, (1, 2, 3)),)
    )
    return Packet(
        kind=kind, body=record.body(protocol), unit=unit, tid=tid, protocol=protocol
    )


def taken(packet: Packet) -> ours.Packet:
    """Return a packet as the code under test takes it in."""
    raw = packet.encode()
    return ours.parse(raw, ours.HEADER.unpack_from(raw))


def said(packet: Packet) -> Record:
    """Return what a packet says to the code under test."""
    return decode(taken(packet))


# -- who is told -------------------------------------------------------------------------


@dataclass
class Notes(Listener):
    """A listener that takes notes."""

    began: list[Session] = field(default_factory=list)
    ended: list[Session] = field(default_factory=list)
    records: list[tuple[str, Record]] = field(default_factory=list)
    """Who has reported, and what."""
    rejections: list[tuple[str, int, str]] = field(default_factory=list)
    """Of whom, the type of the packet, and why."""
    verdicts: list[tuple[str, Verdict]] = field(default_factory=list)
    encrypted_ones: list[str] = field(default_factory=list)
    waiting: Waiting = field(default_factory=Waiting)

    def session_began(self, session: Session) -> None:
        """Take note."""
        self.began.append(session)
        self.waiting.notify()

    def session_ended(self, session: Session) -> None:
        """Take note."""
        self.ended.append(session)
        self.waiting.notify()

    def reported(self, session: Session, record: Record) -> None:
        """Take note."""
        self.records.append((session.logger, record))
        self.waiting.notify()

    def rejected(self, session: Session, packet: ours.Packet, why: str) -> None:
        """Take note."""
        self.rejections.append((session.logger, packet.type, why))
        self.waiting.notify()

    def judged(self, session: Session, verdict: Verdict) -> None:
        """Take note."""
        self.verdicts.append((session.logger, verdict))
        self.waiting.notify()

    def encrypted(self, session: Session) -> None:
        """Take note."""
        self.encrypted_ones.append(session.logger)
        self.waiting.notify()

    async def until(self, predicate: Callable[[], object]) -> None:
        """Wait until something is true. Raises ``TimeoutError`` if that takes too long."""
        await self.waiting.until(predicate)

    def of[Kind_](self, kind: type[Kind_]) -> list[Kind_]:
        """Return the records of a kind."""
        return [record for _, record in self.records if isinstance(record, kind)]


# -- connections -------------------------------------------------------------------------


class Wire:
    """A connection that is made by hand."""

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        """Have nothing said yet."""
        self._reader, self._writer = reader, writer
        self._packets = PacketReader()
        self._coming: list[Packet] = []
        self.octets = b""
        """All bytes that came."""

    def send(self, *items: Packet | bytes) -> bytes:
        """Send packets, or any bytes, in one piece, and return that."""
        octets = b"".join(
            item if isinstance(item, bytes) else item.encode() for item in items
        )
        self._writer.write(octets)
        return octets

    @property
    def _transport(self) -> asyncio.Transport:
        transport = self._writer.transport
        assert isinstance(transport, asyncio.Transport)
        return transport

    @property
    def unsent(self) -> int:
        """How many bytes the other side has not taken yet."""
        return self._transport.get_write_buffer_size()

    @property
    def port(self) -> int:
        """The port it is connected to."""
        port: int = self._transport.get_extra_info("peername")[1]
        return port

    def read_no_more(self) -> None:
        """Leave what comes where it is."""
        self._transport.pause_reading()

    async def receive(self) -> Packet:
        """Return the next packet. Raises ``EOFError`` when the other side hangs up."""
        async with asyncio.timeout(PATIENCE):
            while not self._coming:
                data = await self._reader.read(0x10000)
                if not data:
                    raise EOFError
                self.octets += data
                self._coming += self._packets.feed(data)
            return self._coming.pop(0)

    async def receive_bytes(self, count: int) -> bytes:
        """Return so many bytes, whatever they are."""
        async with asyncio.timeout(PATIENCE):
            return await self._reader.readexactly(count)

    async def ask(self, packet: Packet) -> Packet:
        """Send a packet and return the next one that comes."""
        self.send(packet)
        return await self.receive()

    async def closed(self) -> list[Packet]:
        """Wait until the other side hangs up; return what it said before."""
        found = []
        try:
            while True:
                found.append(await self.receive())
        except EOFError, ConnectionError:
            return found

    def end(self) -> None:
        """Say that nothing more will come."""
        self._writer.write_eof()

    def abort(self) -> None:
        """Break the connection."""
        self._transport.abort()


def _narrow_socket() -> socket.socket:
    """Return a socket that takes little in before somebody reads."""
    made = socket.socket()
    made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, NARROW)
    made.setblocking(False)
    return made


def narrow(transport: asyncio.BaseTransport | None) -> asyncio.Transport:
    """Let a transport's socket take little that the other side does not read."""
    assert isinstance(transport, asyncio.Transport)
    made = transport.get_extra_info("socket")
    made.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, NARROW)
    return transport


@asynccontextmanager
async def wire(port: int, *first: Packet | bytes) -> AsyncIterator[Wire]:
    """Connect to a port and say something."""
    connecting = _narrow_socket()
    await asyncio.get_running_loop().sock_connect(connecting, (HOST, port))
    reader, writer = await asyncio.open_connection(sock=connecting)
    made = Wire(reader, writer)
    try:
        made.send(*first)
        yield made
    finally:
        made.abort()


class Upstream:
    """A maker's server that does nothing by itself; its connections are wires."""

    def __init__(self) -> None:
        """Have no connection yet."""
        self.port = 0
        self._wires: asyncio.Queue[Wire] = asyncio.Queue()

    def take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Take a connection in."""
        self._wires.put_nowait(Wire(reader, writer))

    async def connection(self) -> Wire:
        """Return the next connection that is made to it."""
        async with asyncio.timeout(PATIENCE):
            return await self._wires.get()


@asynccontextmanager
async def upstream() -> AsyncIterator[Upstream]:
    """Run a maker's server that does nothing by itself."""
    made = Upstream()
    listening = _narrow_socket()
    listening.bind((HOST, 0))
    server = await asyncio.start_server(made.take, sock=listening)
    made.port = listening.getsockname()[1]
    try:
        yield made
    finally:
        server.close()
        server.abort_clients()
        await server.wait_closed()


@asynccontextmanager
async def serving(server: Server) -> AsyncIterator[Server]:
    """Run a listener on a free port, and see that nothing is left of it."""
    loop = asyncio.get_running_loop()
    before = asyncio.all_tasks()
    await server.start(HOST, 0)
    try:
        yield server
    finally:
        await server.stop()
        await until(lambda: not server.outgoing)
        assert not server.sessions
    await until(lambda: not _work_of_loggers(asyncio.all_tasks() - before))
    assert not list(_timers_of_loggers(loop))


def stick_at(port: int, logger: str = LOGGER, **options: Any) -> SimulatedStick:
    """Return a stick that says nothing by itself but ping and announcements."""
    settings: dict[str, Any] = {
        "interval": math.inf,
        "timing": EAGER,
        "clock": SimulatedClock(NOON, speed=0),
        "seed": 1,
    }
    return SimulatedStick(logger, (HOST, port), **(settings | options))


async def until(predicate: Callable[[], object]) -> None:
    """Wait for what nobody tells of, a turn of the event loop at a time."""
    async with asyncio.timeout(PATIENCE):
        while not predicate():
            await asyncio.sleep(0)


def _work_of_loggers(tasks: Iterable[asyncio.Task[object]]) -> list[str]:
    """Return the tasks that sessions and relays have begun."""
    names = [getattr(task.get_coro(), "__qualname__", "") for task in tasks]
    return [
        name for name in names if name.startswith((Session.__name__, Relay.__name__))
    ]


def _timers_of_loggers(loop: asyncio.AbstractEventLoop) -> Iterable[object]:
    """Go through what listeners and connections still want to do later."""
    for timer in loop._scheduled:  # type: ignore[attr-defined]  # noqa: SLF001
        owner = getattr(timer._callback, "__self__", None)  # noqa: SLF001
        module = type(owner).__module__
        if not timer.cancelled() and ".growatt.datalogger." in module:
            yield timer
