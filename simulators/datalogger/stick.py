"""A datalogger: a stick or box that reports inverters to a server, and obeys it."""

import asyncio
from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
import logging
import math
from random import Random
from typing import Final, Self

from simulators.clock import SimulatedClock
from simulators.datasets import Table
from simulators.errors import SimulatorError

from . import meters, parameters
from .bodies import Group, Linked, MeterLog, MeterWords, Record
from .faults import Rogue, RogueKind, Rogues
from .inverters import EXTRA_BLOCKS, VPP_BLOCKS, SimulatedInverter, check_serial
from .packets import PROTOCOLS, Kind, Packet, serial_width
from .session import Session
from .stick_clock import StickClock
from .waiting import PATIENCE, Waiting

_LOGGER = logging.getLogger(__name__)

SERIAL: Final = "XGD0SIM001"
"""Serial number of a stick that was not given any; made up."""

INTERVAL: Final = 300.0
"""Seconds between live records, unless the server says otherwise."""

MOST_KEPT: Final = 2000
"""Records that a stick keeps for later: a week of them. How many real ones do is not known."""

_BREATH: Final = 0.02
"""Seconds before it connects again "at once"."""

_REPORT_MODEL: Final = 0x0045
"""Word in front of a report 1e, as recorded."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """How long a stick waits, in seconds. What was seen or reported of real ones."""

    announce: float = 2.0
    """From the connection to the announcements."""
    ping: float = 180.0
    repeat: float = 30.0
    """Until what was not acknowledged is said again."""
    reconnect: float = 1.0
    """Before the second attempt to connect; it doubles from there on."""
    longest_reconnect: float = 30.0
    patience: int = 15
    """Messages without an answer after which it connects anew."""


EAGER: Final = Timing(
    announce=0.0, ping=math.inf, repeat=math.inf, reconnect=0.01, longest_reconnect=0.01
)
"""For tests: at once what is said once, and nothing again."""


class MeterKind(StrEnum):
    """How a stick reports a meter."""

    WORDS = "words"
    TEXT = "text"


@dataclass(slots=True, eq=False)
class Entry:
    """Live values of a moment, until they are acknowledged."""

    inverter: SimulatedInverter
    body: bytes
    is_acknowledged: bool = False
    is_lost: bool = False


class SimulatedStick:
    """A datalogger with its inverters. As a context manager it reports to its server."""

    def __init__(
        self,
        serial: str = SERIAL,
        server: tuple[str, int] = ("127.0.0.1", 5279),
        inverters: Iterable[SimulatedInverter] | None = None,
        *,
        protocol: int = 6,
        interval: float = INTERVAL,
        timing: Timing | None = None,
        clock: SimulatedClock | None = None,
        stick_clock: str | None = None,
        meter: MeterKind | str | None = None,
        extra_blocks: bool = False,
        encrypted: bool = False,
        rogues: Iterable[Rogue | str] = (),
        most_kept: int = MOST_KEPT,
        seed: int | None = None,
        record: bool = True,
    ) -> None:
        """Make one; without ``inverters`` a MIN 6000TL-XH is behind it.

        Args:
            serial: its serial number.
            server: host and port of the server.
            inverters: what is behind it, each at a unit of its own.
            protocol: 0, 2, 5 or 6.
            interval: seconds between live records; ``math.inf`` until the server sets one.
            timing: the other times.
            clock: the simulated time. Interval and pings go by its speed, unless that is 0.
            stick_clock: what the stick's own clock is like, see ``StickClock.parse``; by
                default right, and zero with protocol 2.
            meter: whether and how it reports a meter (protocol 6).
            extra_blocks: whether it sends records 38 as well.
            encrypted: whether it has the firmware that nobody can read.
            rogues: what it does wrong, see ``faults.py``.
            most_kept: how many records it keeps while nobody acknowledges them.
            seed: makes what is random the same in every run.
            record: whether to keep ``sent`` and ``received``.

        Raises:
            SimulatorError: if something of it cannot be.

        """
        check_serial(serial)
        if protocol not in PROTOCOLS:
            raise SimulatorError(f"protocol {protocol} is not one of 0, 2, 5, 6")
        self.serial = serial
        self.protocol = protocol
        self.inverters = self._by_unit(
            [SimulatedInverter()] if inverters is None else inverters
        )
        self.server = server
        self.timing = timing or Timing()
        simulated = clock or SimulatedClock()
        self.pace = simulated.speed or 1.0
        default_clock = "zero" if protocol == 2 else "right"
        self.clock = StickClock.parse(simulated, stick_clock or default_clock)
        self.meter = None if meter is None else MeterKind(meter)
        if self.meter is not None and protocol != 6:
            raise SimulatorError(
                f"protocol {protocol} has no records of meters: only 6"
            )
        self.extra_blocks = extra_blocks
        self.encrypted = encrypted
        self.random = Random(seed)
        self.rogues = Rogues(rogues, self.random)
        self.interval = interval
        self.parameters = parameters.parameters_of(serial, protocol, *server, interval)
        self.parameter_writes: list[tuple[int, str, int]] = []
        """What the server wrote of parameters: number, text and status."""
        self.record = record
        self.sent: list[Packet] = []
        self.received: list[Packet] = []
        self.acknowledged = 0
        """Live and buffered records that the server has acknowledged."""
        self.lost = 0
        """Records that it could not keep."""
        self.connections = 0
        """How often it has connected."""
        self.restarts = 0
        self.restarts_soon = False
        self.abandoned: list[asyncio.StreamWriter] = []
        """Connections that it has left open."""
        self.waiting = Waiting()
        self._most_kept = most_kept
        self._kept: dict[int, Entry] = {}
        self._session: Session | None = None
        self._numbers: Counter[int] = Counter()
        self._may_connect = asyncio.Event()
        self._may_connect.set()
        self._new_interval = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def _by_unit(
        self, inverters: Iterable[SimulatedInverter]
    ) -> dict[int, SimulatedInverter]:
        found: dict[int, SimulatedInverter] = {}
        serials = set()
        width = serial_width(self.protocol)
        for inverter in inverters:
            if inverter.unit_id in found:
                raise SimulatorError(
                    f"{self.serial}: unit {inverter.unit_id} is given twice"
                )
            if inverter.serial in serials:
                raise SimulatorError(
                    f"{self.serial}: two inverters have the serial number"
                    f" {inverter.serial}"
                )
            found[inverter.unit_id] = inverter
            serials.add(inverter.serial)
        for serial in (self.serial, *sorted(serials)):
            if len(serial) > width:
                raise SimulatorError(
                    f"{serial} is too long for protocol {self.protocol}:"
                    f" {width} characters"
                )
        return found

    # -- its life ----------------------------------------------------------------------

    async def __aenter__(self) -> Self:
        """Begin to connect and to report."""
        self._task = asyncio.create_task(self._run(), name=f"stick {self.serial}")
        return self

    async def __aexit__(self, *_: object) -> None:
        """Hang up and stop. Raises what made it stop by itself."""
        assert self._task is not None
        self._task.cancel()
        try:
            with suppress(asyncio.CancelledError):
                await self._task
        finally:
            for writer in self.abandoned:
                writer.transport.abort()
            self.abandoned.clear()

    async def _run(self) -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._keep_connected())
            tasks.create_task(self._keep_reporting())

    async def _keep_connected(self) -> None:
        delay = self.timing.reconnect
        while True:
            await self._may_connect.wait()
            heard = await self._converse()
            if heard:
                delay = self.timing.reconnect
                await asyncio.sleep(_BREATH)
            elif self._may_connect.is_set():
                await asyncio.sleep(delay)
                delay = min(2 * delay, self.timing.longest_reconnect)

    async def _converse(self) -> bool:
        """Connect and talk; return whether the server said anything."""
        try:
            reader, writer = await asyncio.open_connection(*self.server)
        except (OSError, UnicodeError) as err:
            # A name that cannot be one is no better than one that nobody has.
            _LOGGER.info("%s: cannot connect: %s", self.serial, err)
            return False
        if not self._may_connect.is_set():
            writer.close()
            return False
        self._session = session = Session(self, reader, writer)
        self.connections += 1
        self.waiting.notify()
        try:
            await session.run()
        finally:
            self._session = None
            self.waiting.notify()
        return session.heard

    async def _keep_reporting(self) -> None:
        with suppress(TimeoutError):
            await self.wait_until(lambda: self.is_announced, self._pause)
        while True:
            if self.interval < math.inf:
                self.report()
            with suppress(TimeoutError):
                async with asyncio.timeout(self._pause):
                    await self._new_interval.wait()
            self._new_interval.clear()

    @property
    def _pause(self) -> float | None:
        """Seconds until the next live record, as a timeout."""
        return None if self.interval == math.inf else self.interval / self.pace

    async def wait_until(
        self, predicate: Callable[[], object], timeout: float | None = PATIENCE
    ) -> None:
        """Wait until something is true. Raises ``TimeoutError`` if that takes too long."""
        await self.waiting.until(predicate, timeout)

    # -- the connection ----------------------------------------------------------------

    @property
    def connected(self) -> bool:
        """Whether it is connected."""
        return self._session is not None

    @property
    def is_announced(self) -> bool:
        """Whether the server has acknowledged all its inverters on this connection."""
        session = self._session
        return session is not None and session.announced == set(self.inverters)

    @property
    def unanswered(self) -> int:
        """Messages that were sent since the server answered last."""
        return self._session.unanswered if self._session else 0

    def disconnect(self) -> None:
        """Hang up, and stay away until ``reconnect``."""
        self._may_connect.clear()
        if self._session is not None:
            self._session.hang_up()

    def reconnect(self) -> None:
        """Hang up if it is connected, and connect."""
        if self._session is not None:
            self._session.hang_up()
        self._may_connect.set()

    def duplicate(self) -> None:
        """Connect once more, and leave the connection of now open."""
        if self._session is not None:
            self._session.hang_up(stays_open=True)

    def restart(self) -> None:
        """Restart: it connects anew, to the server that its parameters name."""
        self.restarts += 1
        host = self.parameters[parameters.SERVER_ADDRESS]
        host = host or self.parameters[parameters.SERVER_NAME]
        self.server = host, int(self.parameters[parameters.SERVER_PORT])
        self.reconnect()

    # -- what it does wrong ------------------------------------------------------------

    def start_rogue(self, rogue: Rogue | str) -> Rogue:
        """Let something go wrong from now on. Raises ``SimulatorError``."""
        started = self.rogues.start(rogue)
        self._rogues_changed()
        return started

    def stop_rogue(self, kind: RogueKind | str | None = None) -> None:
        """Let a kind go wrong no longer, or everything."""
        self.rogues.stop(kind)
        self._rogues_changed()

    def _rogues_changed(self) -> None:
        if self._session is not None:
            self._session.update_reading()
        self.waiting.notify()

    # -- what it says ------------------------------------------------------------------

    def packet(self, kind: Kind, body: bytes, unit: int = 1) -> Packet:
        """Return a packet of its own, with the next number of its kind."""
        self._numbers[kind] = self._numbers[kind] % 0xFFFF + 1
        return Packet(
            kind=kind,
            body=body,
            unit=unit,
            tid=self._numbers[kind],
            protocol=self.protocol,
        )

    def send(self, packet: Packet | bytes) -> None:
        """Send a packet or any bytes now. Raises ``ConnectionError`` if it is not connected."""
        if self._session is None:
            raise ConnectionError(f"{self.serial} is not connected")
        self._session.post(packet)

    def report(self) -> list[Entry]:
        """Report everything now; what cannot be sent is kept for later."""
        session = self._session
        if session is not None and (
            self.rogues.met(RogueKind.DUPLICATE, Kind.LIVE) is not None
        ):
            self.duplicate()
        entries = []
        for inverter in self.inverters.values():
            if inverter.unit.silent:
                continue
            entry = Entry(inverter, self.record_of(inverter).body(self.protocol))
            entries.append(entry)
            if session is not None and session.may_report(inverter):
                packet = self.packet(Kind.LIVE, entry.body, inverter.unit_id)
                session.ask(packet, entry)
                self._report_more(session, inverter)
            else:
                self.keep(entry)
        if session is not None:
            if self.meter is not None and session.announced:
                self.report_meter()
            session.send_history()
        self.waiting.notify()
        return entries

    def record_of(self, inverter: SimulatedInverter) -> Record:
        """Return the live values of an inverter."""
        return self._record(inverter, inverter.values())

    def _record(self, inverter: SimulatedInverter, groups: tuple[Group, ...]) -> Record:
        return Record(self.serial, inverter.serial, self.clock.stamp(), groups)

    def _report_more(self, session: Session, inverter: SimulatedInverter) -> None:
        """Send the blocks that only some inverters have."""
        if inverter.speaks_vpp:
            groups = inverter.groups(Table.INPUT, VPP_BLOCKS)
            body = self._record(inverter, groups).body(self.protocol)
            session.ask(self.packet(Kind.VPP, body, inverter.unit_id))
        if self.extra_blocks:
            groups = inverter.groups(Table.INPUT, EXTRA_BLOCKS)
            body = self._record(inverter, groups).body(self.protocol)
            session.ask(self.packet(Kind.BLOCKS, body, inverter.unit_id))

    def report_meter(self, kind: MeterKind | None = None) -> None:
        """Report the meter of the first inverter's plant now.

        Raises ``ConnectionError`` if it is not connected.
        """
        if self._session is None:
            raise ConnectionError(f"{self.serial} is not connected")
        inverter = next(iter(self.inverters.values()))
        stamp = self.clock.stamp()
        if (kind or self.meter) is MeterKind.TEXT:
            log = MeterLog(
                self.serial, meters.TEXT_MODEL, stamp, meters.Meter.of(inverter).text()
            )
            packet = self.packet(
                Kind.METER_TEXT, log.body(self.protocol), meters.TEXT_UNIT
            )
        else:
            words = MeterWords(
                self.serial, inverter.serial, stamp, meters.words_of(inverter)
            )
            packet = self.packet(
                Kind.METER, words.body(self.protocol), inverter.unit_id
            )
        self._session.ask(packet)

    def report_box_meter(self, serial: str = "DAK0SIM001") -> None:
        """Send what a ShineLink box says of a meter (1e); what its bytes mean is not known.

        Raises ``ConnectionError`` if it is not connected.
        """
        octets = bytes((0, 0, 1, 0, 0, 0, 0x36)) + serial.encode("ascii").ljust(
            30, b"\0"
        )
        log = MeterLog(
            self.serial, _REPORT_MODEL, self.clock.stamp(), octets.ljust(160, b"\0")
        )
        self.send(self.packet(Kind.METER_REPORT, log.body(self.protocol), 0x50))

    def report_linked(self, inverter: SimulatedInverter, stick: str) -> None:
        """Tell of a stick that is linked by radio (29).

        Raises ``ConnectionError`` if it is not connected.
        """
        linked = Linked(self.serial, stick, inverter.serial, inverter.code)
        self.send(
            self.packet(Kind.LINKED, linked.body(self.protocol), inverter.unit_id)
        )

    def note_sent(self, packet: Packet) -> None:
        """Take note of a packet that has left."""
        if self.record:
            self.sent.append(packet)
        self.waiting.notify()

    def note_received(self, packet: Packet) -> None:
        """Take note of a packet that has come."""
        if self.record:
            self.received.append(packet)

    def sent_of(self, kind: Kind) -> list[Packet]:
        """Return what it has sent of a kind, in order."""
        return [packet for packet in self.sent if packet.kind == kind]

    def received_of(self, kind: Kind) -> list[Packet]:
        """Return what it was told of a kind, in order."""
        return [packet for packet in self.received if packet.kind == kind]

    # -- what it keeps -----------------------------------------------------------------

    @property
    def kept(self) -> Iterable[Entry]:
        """Records that nobody has acknowledged yet, the oldest first."""
        return self._kept.values()

    @property
    def buffered(self) -> int:
        """How many records it keeps."""
        return len(self._kept)

    def keep(self, entry: Entry) -> None:
        """Keep a record for later. The oldest one goes if there are too many."""
        if entry.is_acknowledged:
            return
        self._kept[id(entry)] = entry
        if len(self._kept) > self._most_kept:
            oldest = self._kept.pop(next(iter(self._kept)))
            oldest.is_lost = True
            self.lost += 1

    def delivered(self, entry: Entry) -> None:
        """Take note that the server has a record."""
        entry.is_acknowledged = True
        self._kept.pop(id(entry), None)
        self.acknowledged += 1
        self.lost -= entry.is_lost

    # -- its parameters ----------------------------------------------------------------

    def parameter(self, number: int) -> str:
        """Return what a parameter reads. Raises ``KeyError`` if there is none."""
        if number == parameters.CLOCK:
            return self.clock.text()
        return self.parameters[number]

    def set_parameter(self, number: int, text: str) -> None:
        """Set a parameter to a value that ``parameters.is_allowed``."""
        if number == parameters.RESTART:
            self.restarts_soon = text == "1"
            return
        if number == parameters.CLOCK:
            when = parameters.time_of(text)
            assert when is not None
            self._set_clock(when)
            return
        self.parameters[number] = text
        if number == parameters.INTERVAL:
            seconds = parameters.seconds(text)
            assert seconds is not None
            self.interval = seconds
            self._new_interval.set()

    def _set_clock(self, when: datetime) -> None:
        """Set its clock, and with it those of the inverters."""
        self.clock.set(when)
        numbers = (when.month, when.day, when.hour, when.minute, when.second)
        for inverter in self.inverters.values():
            inverter.set_clock((when.year % 100, *numbers))
