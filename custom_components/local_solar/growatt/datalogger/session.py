"""The conversation with one logger: who it is, what it reports, what it is told.

Facts: recorded sessions, and what other servers for these loggers found out. A logger
repeats what is not acknowledged and drops the connection in the end, so a report is
acknowledged before it is looked at. It may not send any values before its clock was set.
"""

import asyncio
from collections.abc import Callable, Coroutine, Iterable
from datetime import datetime
import logging
import time
from typing import Any, Final, Protocol as Interface

from .commands import Commands, GoneError, NoAnswerError
from .packets import Packet, Protocol, Type
from .parameters import (
    CLOCK_FORMAT,
    LAST_NUMBER,
    SECRET,
    WORTH_KNOWING,
    ParameterNumber,
)
from .policy import Verdict
from .records import (
    ACCEPTED,
    UNANSWERED,
    Answer,
    Command,
    Parameter,
    Record,
    RecordError,
    acknowledgement,
    decode,
    read_parameters,
    serial_in,
    write_parameter,
)

CLOCK_AFTER: Final = 1.0
"""Seconds after an announcement at which the clock is set: a logger is busy before."""

ASK_AFTER: Final = 5.0
"""Seconds after the first announcement at which parameters are read."""

OVERHEAR_FOR: Final = 60.0
"""Seconds for which the maker's server may ask for them instead."""

_ENCRYPTION_BLOCK: Final = 16


class Listener(Interface):
    """Who is told of what loggers say. Nothing it does may hold up the connection."""

    def session_began(self, session: Session) -> None:
        """A logger has said who it is."""

    def session_ended(self, session: Session) -> None:
        """Its connection is closed."""

    def reported(self, session: Session, record: Record) -> None:
        """A logger has reported something, or answered what nobody here asked."""

    def rejected(self, session: Session, packet: Packet, why: str) -> None:
        """A packet says nothing that can be used."""

    def judged(self, session: Session, verdict: Verdict) -> None:
        """The maker's server has told a logger something that is not for everyday."""

    def encrypted(self, session: Session) -> None:
        """A logger has firmware whose packets only its maker can read."""


class Session:
    """One logger on one connection."""

    __slots__ = (
        "_ask",
        "_clock_task",
        "_listener",
        "_local_time",
        "_log",
        "_tasks",
        "_write",
        "answers_itself",
        "began",
        "commands",
        "heard",
        "is_encrypted",
        "logger",
        "parameters",
        "peer",
        "protocol",
        "records",
        "takes_damaged",
    )

    def __init__(
        self,
        first: Packet,
        peer: str,
        write: Callable[[bytes], None],
        listener: Listener,
        local_time: Callable[[], datetime],
        *,
        answers_itself: bool,
        takes_damaged: bool = False,
    ) -> None:
        """Begin with the first packet of a logger. Raises ``RecordError`` if it is of none.

        Args:
            first: says who it is; it is to be handed to ``take`` as well.
            peer: its address, for people.
            write: sends bytes to it.
            listener: is told what it says.
            local_time: the time of its place, which its clock is set to.
            answers_itself: whether we answer it, rather than the maker's server.
            takes_damaged: whether packets count whose checksum is wrong.

        """
        self.protocol: Protocol = first.protocol
        self.is_encrypted = is_encrypted(first)
        self.logger = _serial_in_clear(first) if self.is_encrypted else _serial(first)
        self.peer = peer
        self.answers_itself = answers_itself
        self.takes_damaged = takes_damaged
        self.began = self.heard = time.monotonic()
        self.records = 0
        """Reports that were understood."""
        self.parameters: dict[int, str] = {}
        self.commands = Commands(self._send)
        self._write = write
        self._listener = listener
        self._local_time = local_time
        self._tasks: set[asyncio.Task[None]] = set()
        self._ask = True
        """Whether parameters are still to be read: nothing was announced yet."""
        self._clock_task: asyncio.Task[None] | None = None
        self._log = logging.getLogger(f"{__name__}.{self.logger}")
        if self.is_encrypted:
            self.end()

    # -- what it says -------------------------------------------------------------

    def take(self, packet: Packet) -> bool:
        """Take in a packet; return whether it is for the maker's server, too.

        What is not, is an answer to a command of ours.
        """
        self.heard = time.monotonic()
        if self.is_encrypted:
            return True
        if not packet.is_intact and not self.takes_damaged:
            self._reject(packet, "its checksum is wrong")
            return True
        is_understood = self.records and packet.type != Type.SESSION_KEY
        if not is_understood and is_encrypted(packet):
            self.is_encrypted = True
            self.end()
            self._listener.encrypted(self)
            return True
        if self.answers_itself:
            self.answer(packet)
        try:
            record = decode(packet)
        except RecordError as err:
            self._reject(packet, str(err))
            return True
        if record.logger != self.logger:
            self._reject(packet, f"it names another logger, {record.logger}")
            return True
        if self._log.isEnabledFor(logging.DEBUG):
            self._log.debug("%s", packet.summary)
        if isinstance(record, Answer | Parameter):
            return self._answered(packet, record)
        self.records += 1
        if packet.type == Type.ANNOUNCE:
            self._announced()
        self._listener.reported(self, record)
        return True

    def _answered(self, packet: Packet, record: Answer | Parameter) -> bool:
        if isinstance(record, Parameter):
            is_to_be_known = record.number <= LAST_NUMBER
            if is_to_be_known and record.number not in SECRET:
                self.parameters[record.number] = record.text
        is_ours = self.commands.take(packet, record)
        self._listener.reported(self, record)
        return not is_ours

    def _reject(self, packet: Packet, why: str) -> None:
        self._log.debug("%s: %s", packet.summary, why)
        self._listener.rejected(self, packet, why)

    def answer(self, packet: Packet) -> None:
        """Give the answer that a logger expects of its server."""
        if packet.type == Type.PING:
            self._write(packet.raw)
        elif packet.type not in UNANSWERED:
            self._write(acknowledgement(packet))

    def _announced(self) -> None:
        """Do what is to be done once a logger has introduced an inverter."""
        if self.answers_itself:
            self._set_clock_soon()
        if self._ask:
            self._ask = False
            wait = ASK_AFTER if self.answers_itself else OVERHEAR_FOR
            self._later(wait, self._async_ask_for_parameters)

    def take_over(self, unanswered: Iterable[Packet]) -> None:
        """Answer from now on, and what the maker's server has left open."""
        if self.is_encrypted:
            return
        self.answers_itself = True
        for packet in unanswered:
            self.answer(packet)
        if not self._ask:
            self._set_clock_soon()

    def _set_clock_soon(self) -> None:
        """Set the clock after a while, once however much is announced until then."""
        if self._clock_task is None or self._clock_task.done():
            self._clock_task = self._later(CLOCK_AFTER, self.async_set_clock)

    # -- what it is told ----------------------------------------------------------

    def _send(self, command: Command, transaction: int) -> None:
        self._log.debug("%s, transaction %d", command.name, transaction)
        self._write(command.encode(transaction, self.protocol, self.logger))

    async def async_set_clock(self) -> bool:
        """Set the logger's clock; return whether it says that it took it.

        Raises ``NoAnswerError`` or ``GoneError``.
        """
        now = self._local_time().strftime(CLOCK_FORMAT)
        answer = await self.commands.run(write_parameter(ParameterNumber.CLOCK, now))
        return isinstance(answer, Answer) and answer.status == ACCEPTED

    async def _async_ask_for_parameters(self) -> None:
        if ParameterNumber.INTERVAL in self.parameters:
            return
        first, last = WORTH_KNOWING
        await self.commands.collect(read_parameters(first, last), last - first + 1)

    def _later(
        self, seconds: float, work: Callable[[], Coroutine[Any, Any, object]]
    ) -> asyncio.Task[None]:
        """Do something after a while, unless the session ends before."""

        async def do() -> None:
            await asyncio.sleep(seconds)
            try:
                await work()
            except (NoAnswerError, GoneError) as err:
                self._log.debug("%s", err)

        task = asyncio.get_running_loop().create_task(do())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def end(self) -> None:
        """End everything that was begun here."""
        for task in self._tasks:
            task.cancel()
        self.commands.end()


def _serial(packet: Packet) -> str:
    return serial_in(packet.body, 0, packet.protocol.serial_bytes)


def _serial_in_clear(packet: Packet) -> str:
    """Return the serial number in a packet of new firmware, nothing if it is encrypted."""
    try:
        return _serial(packet)
    except RecordError:
        return ""


def is_encrypted(packet: Packet) -> bool:
    """Return whether a packet is of firmware that encrypts what it says.

    Such firmware begins with a packet of its own. Later ones have bodies of whole blocks,
    in which there is no serial number.
    """
    if packet.type == Type.SESSION_KEY:
        return True
    return (
        packet.protocol is Protocol.LONG_SERIALS
        and len(packet.body) % _ENCRYPTION_BLOCK == 0
        and len(packet.body) > 0
        and not packet.body[: packet.protocol.serial_bytes].rstrip(b"\0 ").isalnum()
    )
