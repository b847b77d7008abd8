"""A stand-in for Growatt's server: what dataloggers report to and obey.

On the first ping of a logger it reads parameters 4 to 21, on the first live record the
clock (31), and sets that when it has the answer: as was recorded.
"""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
import logging
from typing import Final, Self

from simulators.clock import SimulatedClock

from . import parameters
from .bodies import Body, Parameter, Single, Span
from .packets import REPORTS, Kind, Packet, PacketError, PacketReader
from .stick_clock import TEXT
from .waiting import PATIENCE, Waiting

_LOGGER = logging.getLogger(__name__)

COMMAND_TID: Final = 1
"""The number of every command that the real server starts."""

FIRST_PARAMETERS: Final = (4, 21)
"""What it reads of a logger that has just connected."""


@dataclass(slots=True, kw_only=True)
class Habits:
    """What a server does by itself. May be changed while it runs."""

    acknowledges: bool = True
    echoes: bool = True
    """Whether it answers pings."""
    reads_parameters: bool = True
    sets_clock: bool = True
    glues: bool = False
    """Whether it sends an answer and the command after it in one segment."""
    delay: float = 0.0
    """Seconds that its answers come late."""


class CloudConnection:
    """One logger that is connected, and all that went over the wire."""

    def __init__(self, cloud: SimulatedCloud, writer: asyncio.StreamWriter) -> None:
        """Serve one logger."""
        self._cloud = cloud
        self._writer = writer
        self._later: set[asyncio.Task[None]] = set()
        self._glued = b""
        self._kinds: set[int] = set()
        self._packets = PacketReader()
        self.octets = b""
        """All bytes that came."""
        self.reads = 0
        """In how many pieces they came."""
        self.sent_octets = b""
        """All bytes that were sent."""
        self.received: list[Packet] = []
        self.sent: list[Packet] = []
        self.logger = ""
        """Serial number, empty before the first packet."""
        self.protocol = 6
        self.is_open = True

    @property
    def bad(self) -> int:
        """How many packets had a wrong checksum."""
        return self._packets.bad

    async def serve(self, reader: asyncio.StreamReader) -> None:
        """Take what comes until the logger leaves."""
        try:
            while data := await reader.read(0x10000):
                self.reads += 1
                if self._cloud.record:
                    self.octets += data
                for packet in self._packets.feed(data):
                    self._take(packet)
                self._cloud.waiting.notify()
        except (OSError, PacketError) as err:
            _LOGGER.info("%s: hangs up: %s", self.logger or "a logger", err)
        finally:
            self.is_open = False
            for task in self._later:
                task.cancel()
            self._writer.close()
            self._cloud.waiting.notify()

    def hang_up(self) -> None:
        """Close the connection."""
        self._writer.close()

    # -- what it is told ---------------------------------------------------------------

    def _take(self, packet: Packet) -> None:
        habits, cloud = self._cloud.habits, self._cloud
        is_first = packet.kind not in self._kinds
        self._kinds.add(packet.kind)
        self._recognise(packet)
        if cloud.record:
            self.received.append(packet)
            cloud.received.append(packet)
        _LOGGER.info("%s: %s", self.logger, packet.name)
        if packet.kind == Kind.PING:
            if habits.echoes:
                self._answer(packet)
            if is_first and habits.reads_parameters:
                self.read_parameters(*FIRST_PARAMETERS)
        elif packet.kind in REPORTS:
            if packet.kind == Kind.LIVE and is_first and habits.sets_clock:
                self.read_parameters(parameters.CLOCK, parameters.CLOCK)
            if habits.acknowledges:
                self._answer(packet.ack())
        elif packet.kind == Kind.PARAMETER and habits.sets_clock:
            with suppress(PacketError):
                if Parameter.parse(packet).number == parameters.CLOCK:
                    self.set_clock()
        cloud.obey_wishes(self, packet)

    def _recognise(self, packet: Packet) -> None:
        if not self.logger:
            self.protocol = packet.protocol
            try:
                self.logger = packet.logger
            except PacketError:
                self.logger = ""

    def _answer(self, packet: Packet) -> None:
        if not self._cloud.habits.delay:
            self.send(packet)
            return
        task = asyncio.create_task(self._answer_late(packet))
        self._later.add(task)
        task.add_done_callback(self._later.discard)

    async def _answer_late(self, packet: Packet) -> None:
        await asyncio.sleep(self._cloud.habits.delay)
        self.send(packet)

    # -- what it says ------------------------------------------------------------------

    def send(self, *packets: Packet | bytes) -> None:
        """Send packets, or any bytes, in one piece."""
        if self._cloud.record:
            self.sent += [each for each in packets if isinstance(each, Packet)]
        octets = b"".join(
            each.encode() if isinstance(each, Packet) else each for each in packets
        )
        if self._cloud.habits.glues:
            # All of one turn of the event loop makes one segment.
            if not self._glued:
                asyncio.get_running_loop().call_soon(self._send_glued)
            self._glued += octets
        else:
            self._write(octets)

    def _send_glued(self) -> None:
        octets, self._glued = self._glued, b""
        self._write(octets)

    def _write(self, octets: bytes) -> None:
        if self._writer.is_closing():
            return
        if self._cloud.record:
            self.sent_octets += octets
        self._writer.write(octets)

    def command(
        self, kind: Kind, body: Body, *, unit: int = 1, tid: int = COMMAND_TID
    ) -> Packet:
        """Send a command and return it."""
        packet = Packet(
            kind=kind,
            body=body.body(self.protocol),
            unit=unit,
            tid=tid,
            protocol=self.protocol,
        )
        self.send(packet)
        return packet

    def read_parameters(self, first: int, last: int) -> Packet:
        """Ask for parameters of the logger."""
        return self.command(Kind.PARAMETER, Span(self.logger, first, last))

    def read_wifi_password(self) -> Packet:
        """Ask for what is nobody's business."""
        secret = parameters.WIFI_PASSWORD
        return self.read_parameters(secret, secret)

    def set_parameter(self, number: int, text: str) -> Packet:
        """Set a parameter of the logger."""
        return self.command(Kind.SET_PARAMETER, Parameter(self.logger, number, text))

    def set_clock(self, when: datetime | None = None) -> Packet:
        """Set the logger's clock, by default to the cloud's time."""
        text = (when or self._cloud.clock.now()).strftime(TEXT)
        return self.set_parameter(parameters.CLOCK, text)

    def set_interval(self, minutes: str) -> Packet:
        """Set how often the logger reports."""
        return self.set_parameter(parameters.INTERVAL, minutes)

    def restart_logger(self) -> Packet:
        """Let the logger restart."""
        return self.set_parameter(parameters.RESTART, "1")

    def move_server(self, host: str, port: int) -> None:
        """Send the logger to another server, which takes a restart."""
        self.set_parameter(parameters.SERVER_ADDRESS, host)
        self.set_parameter(parameters.SERVER_PORT, str(port))
        self.set_parameter(parameters.SERVER_NAME, host)

    def start_update(
        self, url: str, server: str = "##192.0.2.9/app/xml/#8081#"
    ) -> None:
        """Start an update of the logger's firmware."""
        self.set_parameter(parameters.UPDATE_SERVER, server)
        self.set_parameter(parameters.UPDATE_URL, url)

    def read_registers(self, first: int, last: int, *, unit: int = 1) -> Packet:
        """Ask for holding registers of an inverter."""
        return self.command(Kind.READ, Span(self.logger, first, last), unit=unit)

    def write_register(self, register: int, value: int, *, unit: int = 1) -> Packet:
        """Write a holding register of an inverter."""
        return self.command(Kind.WRITE, Single(self.logger, register, value), unit=unit)

    def write_registers(
        self, first: int, words: Sequence[int], *, unit: int = 1
    ) -> Packet:
        """Write holding registers of an inverter at once."""
        span = Span(self.logger, first, first + len(words) - 1, tuple(words))
        return self.command(Kind.WRITE_RANGE, span, unit=unit)


type Wish = Callable[[CloudConnection], object]
"""Something that the cloud does to a logger."""


class SimulatedCloud:
    """The server. As a context manager it listens."""

    def __init__(
        self,
        host: str = "127.0.0.1",
        port: int = 0,
        *,
        clock: SimulatedClock | None = None,
        habits: Habits | None = None,
        wishes: Sequence[Wish] = (),
        record: bool = True,
    ) -> None:
        """Prepare to listen; port 0 takes a free one.

        ``wishes`` are done to each logger once, after its first live record.
        ``record`` is whether to keep what came and went.
        """
        self.host, self.port = host, port
        self.clock = clock or SimulatedClock()
        self.habits = habits or Habits()
        self.record = record
        self.connections: list[CloudConnection] = []
        """All that there were, in order."""
        self.received: list[Packet] = []
        """What came from all loggers, in order."""
        self.waiting = Waiting()
        self._wishes = tuple(wishes)
        self._fulfilled: set[str] = set()
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        """Listen."""
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        """Stop and release everything."""
        await self.stop()

    async def start(self) -> None:
        """Listen, at the port of before if it did. Raises ``OSError`` if it cannot."""
        self._server = await asyncio.start_server(self._serve, self.host, self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Listen no longer, and hang up on all."""
        server, self._server = self._server, None
        if server is None:
            return
        server.close()
        server.abort_clients()
        await server.wait_closed()
        if self._tasks:
            await asyncio.wait(self._tasks)

    def _serve(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        connection = CloudConnection(self, writer)
        self.connections = [
            each for each in self.connections if self.record or each.is_open
        ]
        self.connections.append(connection)
        self.waiting.notify()
        task = asyncio.create_task(connection.serve(reader))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    @property
    def address(self) -> tuple[str, int]:
        """Host and port, as a stick wants it."""
        return self.host, self.port

    def connection(self, logger: str | None = None) -> CloudConnection:
        """Return the newest open connection, of a logger if it is named.

        Raises ``ConnectionError`` if there is none.
        """
        for connection in reversed(self.connections):
            if connection.is_open and logger in (None, connection.logger):
                return connection
        raise ConnectionError(f"{logger or 'no logger'} is not connected")

    def received_of(self, kind: Kind) -> list[Packet]:
        """Return what came of a kind, in order."""
        return [packet for packet in self.received if packet.kind == kind]

    def obey_wishes(self, connection: CloudConnection, packet: Packet) -> None:
        """Do to a logger what is to be done once."""
        if packet.kind == Kind.LIVE and connection.logger not in self._fulfilled:
            self._fulfilled.add(connection.logger)
            for wish in self._wishes:
                wish(connection)

    def hang_up(self) -> None:
        """Close all connections."""
        for connection in self.connections:
            connection.hang_up()

    async def wait_until(
        self, predicate: Callable[[], object], timeout: float | None = PATIENCE
    ) -> None:
        """Wait until something is true. Raises ``TimeoutError`` if that takes too long."""
        await self.waiting.until(predicate, timeout)

    async def wait_for(self, kind: Kind, number: int = 1) -> Packet:
        """Wait for a packet of a kind: the first one, or the one of that number."""
        await self.wait_until(lambda: len(self.received_of(kind)) >= number)
        return self.received_of(kind)[number - 1]
