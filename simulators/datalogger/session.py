"""One connection of a datalogger to its server."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace
import logging
from typing import TYPE_CHECKING, Final

from .bodies import Record, serial_field
from .commands import answers_to
from .faults import RogueKind
from .inverters import SimulatedInverter
from .packets import COMMANDS, Kind, Packet, PacketError, PacketReader
from .sending import Sender

if TYPE_CHECKING:
    from .stick import Entry, SimulatedStick

_LOGGER = logging.getLogger(__name__)

_KEY_TEXT: Final = b"TempPassword&*"
"""Begins what newer firmware sends before it encrypts; the rest is not known."""

_CIPHER_BLOCK: Final = 16


class _Over(Exception):
    """The connection is to end."""


@dataclass(slots=True)
class _Message:
    """What the server has to acknowledge."""

    packet: Packet
    entry: Entry | None
    sent_at: float
    repeats: bool = True


class Session:
    """One connection: what is said on it, and what the server still has to acknowledge."""

    def __init__(
        self,
        stick: SimulatedStick,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        """Prepare to talk."""
        self._stick = stick
        self._reader, self._writer = reader, writer
        self._sender = Sender(writer, stick.rogues, self._has_left)
        self._over = asyncio.Event()
        self._stays_open = False
        self._tasks: asyncio.TaskGroup | None = None
        self._awaiting: dict[tuple[int, int], _Message] = {}
        self.announced: set[int] = set()
        """Units whose announcement was acknowledged."""
        self.unanswered = 0
        """Messages that were sent since the server answered last."""
        self.heard = False
        """Whether the server said anything."""

    async def run(self) -> None:
        """Talk until the connection ends."""
        self.update_reading()
        try:
            async with asyncio.TaskGroup() as tasks:
                self._tasks = tasks
                tasks.create_task(self._sender.run())
                tasks.create_task(self._open())
                tasks.create_task(self._listen())
                tasks.create_task(self._keep_pinging())
                tasks.create_task(self._keep_repeating())
                tasks.create_task(self._keep_flooding())
                tasks.create_task(self._end())
        except* _Over, OSError:
            pass
        except* PacketError as err:
            _LOGGER.info("%s: hangs up: %s", self._stick.serial, err.exceptions[0])
        finally:
            self._tasks = None
            self._keep_what_is_left()
            if self._stays_open:
                self._stick.abandoned.append(self._writer)
            elif self._writer.transport.get_write_buffer_size():
                self._writer.transport.abort()
            else:
                self._writer.close()

    async def _end(self) -> None:
        await self._over.wait()
        raise _Over

    def hang_up(self, *, stays_open: bool = False) -> None:
        """End it; perhaps without closing the connection, as real sticks may."""
        self._stays_open = stays_open
        self._over.set()

    def update_reading(self) -> None:
        """Read from the connection or not, as the stick does now."""
        transport = self._writer.transport
        assert isinstance(transport, asyncio.Transport)
        if transport.is_closing():
            return
        if self._stick.rogues.has(RogueKind.NEVER_READS):
            transport.pause_reading()
        else:
            transport.resume_reading()

    # -- what it says ------------------------------------------------------------------

    def post(self, packet: Packet | bytes) -> None:
        """Send something that needs no answer."""
        stick = self._stick
        if stick.encrypted and isinstance(packet, Packet) and packet.kind != Kind.KEY:
            blocks = len(packet.body) // _CIPHER_BLOCK + 1
            body = stick.random.randbytes(_CIPHER_BLOCK * blocks)
            packet = replace(packet, body=body)
        self._sender.put(packet)

    def ask(self, packet: Packet, entry: Entry | None = None) -> None:
        """Send something that the server has to acknowledge.

        It is said again until that happens. It takes the place of an older one that
        is of the same kind and of the same inverter; a live record of those is kept.
        """
        for message in self._awaiting.values():
            older = message.packet
            if (older.kind, older.unit) == (packet.kind, packet.unit):
                message.repeats = False
                if older.kind == Kind.LIVE and message.entry is not None:
                    self._stick.keep(message.entry)
        now = asyncio.get_running_loop().time()
        self._awaiting[packet.kind, packet.tid] = _Message(packet, entry, now)
        self.post(packet)

    def may_report(self, inverter: SimulatedInverter) -> bool:
        """Tell whether live records of an inverter can be sent."""
        waits = self._stick.rogues.has(RogueKind.WAITS_FOR_CLOCK)
        if waits and not self._stick.clock.was_set:
            return False
        return inverter.unit_id in self.announced and not self._over.is_set()

    def send_history(self) -> None:
        """Send the oldest record that was kept, if none is on its way."""
        stick = self._stick
        if any(kind == Kind.BUFFERED for kind, _ in self._awaiting):
            return
        entry = next(
            (each for each in stick.kept if self.may_report(each.inverter)), None
        )
        if entry is not None:
            unit = entry.inverter.unit_id
            self.ask(stick.packet(Kind.BUFFERED, entry.body, unit), entry)

    def _has_left(self, packet: Packet) -> None:
        """Take note that a packet is on the wire."""
        stick = self._stick
        stick.note_sent(packet)
        if packet.kind == Kind.PING or (packet.kind, packet.tid) in self._awaiting:
            self.unanswered += 1
            if self.unanswered >= stick.timing.patience:
                _LOGGER.info("%s: no answers: connects anew", stick.serial)
                self.hang_up()

    async def _open(self) -> None:
        """Say who is there: a ping at once, and then the inverters."""
        stick = self._stick
        if stick.encrypted:
            body = serial_field(stick.protocol, stick.serial) + _KEY_TEXT
            body += bytes(-len(body) % _CIPHER_BLOCK)
            self.post(stick.packet(Kind.KEY, body))
        self._ping()
        await asyncio.sleep(stick.timing.announce)
        for inverter in stick.inverters.values():
            if not inverter.unit.silent:
                self._announce(inverter)

    def _announce(self, inverter: SimulatedInverter) -> None:
        stick = self._stick
        record = Record(
            stick.serial,
            inverter.serial,
            stick.clock.stamp(),
            inverter.announcement(),
        )
        body = record.body(stick.protocol)
        self.ask(stick.packet(Kind.ANNOUNCE, body, inverter.unit_id))

    def _ping(self) -> None:
        stick = self._stick
        body = serial_field(stick.protocol, stick.serial)
        self.post(stick.packet(Kind.PING, body))

    async def _keep_pinging(self) -> None:
        while True:
            await asyncio.sleep(self._stick.timing.ping / self._stick.pace)
            self._ping()

    async def _keep_repeating(self) -> None:
        stick, loop = self._stick, asyncio.get_running_loop()
        every = stick.timing.repeat
        while True:
            await asyncio.sleep(every)
            self._announce_the_awake()
            for message in tuple(self._awaiting.values()):
                if message.repeats and loop.time() - message.sent_at >= 0.9 * every:
                    message.sent_at = loop.time()
                    self.post(message.packet)

    def _announce_the_awake(self) -> None:
        """Announce inverters that slept when the connection began."""
        said = {packet.unit for packet in self._waiting_for(Kind.ANNOUNCE)}
        for unit, inverter in self._stick.inverters.items():
            if unit not in said | self.announced and not inverter.unit.silent:
                self._announce(inverter)

    def _waiting_for(self, kind: Kind) -> list[Packet]:
        return [
            each.packet for each in self._awaiting.values() if each.packet.kind == kind
        ]

    async def _keep_flooding(self) -> None:
        stick = self._stick
        while True:
            await stick.waiting.until(
                lambda: stick.rogues.has(RogueKind.FLOOD), timeout=None
            )
            for inverter in stick.inverters.values():
                body = stick.record_of(inverter).body(stick.protocol)
                packet = stick.packet(Kind.LIVE, body, inverter.unit_id)
                await self._sender.flood(packet)
            await asyncio.sleep(0)

    # -- what it hears -----------------------------------------------------------------

    async def _listen(self) -> None:
        reader = PacketReader()
        while data := await self._reader.read(0x10000):
            self.heard = True
            for packet in reader.feed(data):
                self._take(packet)
        raise _Over

    def _take(self, packet: Packet) -> None:
        stick = self._stick
        stick.note_received(packet)
        if packet.kind == Kind.PING:
            self.unanswered = 0
        elif packet.is_ack:
            self._acknowledged(packet)
        elif packet.kind in COMMANDS and not stick.encrypted:
            self._obey(packet)
        stick.waiting.notify()

    def _acknowledged(self, packet: Packet) -> None:
        message = self._awaiting.pop((packet.kind, packet.tid), None)
        if message is None:
            return
        self.unanswered = 0
        if packet.kind == Kind.ANNOUNCE:
            self.announced.add(message.packet.unit)
        if (entry := message.entry) is not None:
            self._awaiting = {
                key: other
                for key, other in self._awaiting.items()
                if other.entry is not entry
            }
            self._stick.delivered(entry)
        self.send_history()

    def _obey(self, packet: Packet) -> None:
        stick = self._stick
        _LOGGER.info("%s: is told %s", stick.serial, packet.name)
        answers = answers_to(stick, packet)
        met = stick.rogues.met
        if met(RogueKind.NO_ANSWERS, packet.kind) is not None:
            answers = []
        seconds = met(RogueKind.LATE, packet.kind)
        assert self._tasks is not None
        if seconds is None:
            self._answer(answers)
        else:
            self._tasks.create_task(self._answer_late(answers, seconds))

    async def _answer_late(self, answers: Sequence[Packet], seconds: float) -> None:
        await asyncio.sleep(seconds)
        self._answer(answers)

    def _answer(self, answers: Sequence[Packet]) -> None:
        for answer in answers:
            self.post(answer)
        if self._stick.restarts_soon:
            self._stick.restarts_soon = False
            self._sender.put(self._stick.restart)

    def _keep_what_is_left(self) -> None:
        """Keep the live records that were not acknowledged."""
        for message in self._awaiting.values():
            if message.entry is not None:
                self._stick.keep(message.entry)
        self._awaiting.clear()
