"""Commands of ours to a logger: one at a time, each matched with its own answer.

A relay carries two conversations on one line. Answers to our commands must not reach the
maker's server, and answers to its commands must not be taken for ours. Ours have
transaction ids from 0x8000 on; it uses 1. Some firmware may not repeat the id it was
given: then type, unit and register tell, unless the server has asked for the same.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from contextlib import suppress
import time
from typing import Final, NamedTuple

from .packets import Packet, Type
from .records import Answer, Command, Parameter, commanded

FIRST_TRANSACTION: Final = 0x8000
LAST_TRANSACTION: Final = 0xFFFF

SPACING: Final = 0.15
"""Seconds between two commands."""

INVERTER_TIMEOUT: Final = 10.0
"""Seconds to wait for an inverter: the logger asks it when its own round allows."""

LOGGER_TIMEOUT: Final = 5.0

KEPT: Final = 64
"""Commands of which late answers are still recognised."""

FORGOTTEN_AFTER: Final = 60.0
"""Seconds after which an answer is not expected any more."""

_OF_LOGGER: Final = frozenset({Type.READ_PARAMETERS, Type.WRITE_PARAMETER})


class NoAnswerError(Exception):
    """A logger is silent about a command."""


class GoneError(Exception):
    """The connection of a logger ended, or it leads elsewhere than it did."""


class _Open(NamedTuple):
    """A command that has not been answered yet, or not all of it."""

    type: int
    unit: int
    first: int
    last: int
    transaction: int
    at: float
    """Monotonic seconds at which it was sent."""

    def is_answered_by(self, packet: Packet, number: int) -> bool:
        """Return whether a packet that begins with a register or parameter is about it."""
        if packet.type != self.type:
            return False
        if self.type == Type.READ_PARAMETERS:
            return self.first <= number <= self.last
        is_of_unit = self.type in _OF_LOGGER or packet.unit == self.unit
        return is_of_unit and number == self.first


def _always() -> bool:
    return True


class Commands:
    """What one connection is told, and what it answers."""

    __slots__ = (
        "_answers",
        "_free_at",
        "_gone",
        "_late",
        "_lock",
        "_next",
        "_of_server",
        "_pending",
        "_send",
        "_used",
    )

    def __init__(self, send: Callable[[Command, int], None]) -> None:
        """Send commands by ``send``, with a transaction id for each."""
        self._send = send
        self._lock = asyncio.Lock()
        self._next = FIRST_TRANSACTION
        self._used: deque[int] = deque(maxlen=KEPT)
        self._pending: _Open | None = None
        self._answers: asyncio.Queue[Answer | Parameter] | None = None
        self._late: deque[_Open] = deque(maxlen=KEPT)
        """Commands of ours that nobody waits for any more."""
        self._of_server: deque[_Open] = deque(maxlen=KEPT)
        self._free_at = 0.0
        self._gone = False

    async def run(
        self, command: Command, is_wanted: Callable[[], bool] = _always
    ) -> Answer | Parameter:
        """Tell a logger something and return its answer. For errors see ``collect``."""
        return (await self.collect(command, 1, is_wanted))[0]

    async def collect(
        self, command: Command, most: int, is_wanted: Callable[[], bool] = _always
    ) -> list[Answer | Parameter]:
        """Tell a logger something; return its answers, at least one and ``most`` at most.

        Commands wait for each other: ``is_wanted`` is asked when it is this one's turn.
        Raises ``NoAnswerError``, or ``GoneError`` if it is not or the connection ended.
        """
        async with self._lock:
            if (wait := self._free_at - time.monotonic()) > 0:
                await asyncio.sleep(wait)
            if self._gone or not is_wanted():
                raise GoneError
            queue: asyncio.Queue[Answer | Parameter] = asyncio.Queue()
            pending = _Open(
                command.type,
                command.unit,
                command.first,
                command.last,
                self._take_transaction(),
                time.monotonic(),
            )
            self._pending, self._answers = pending, queue
            self._send(command, pending.transaction)
            answers: list[Answer | Parameter] = []
            timeout = LOGGER_TIMEOUT if command.type in _OF_LOGGER else INVERTER_TIMEOUT
            try:
                with suppress(TimeoutError):
                    while len(answers) < most:
                        async with asyncio.timeout(timeout):
                            answers.append(await queue.get())
            except asyncio.QueueShutDown:
                raise GoneError from None
            finally:
                self._pending = self._answers = None
                self._free_at = time.monotonic() + SPACING
                if len(answers) < most:
                    self._late.append(pending)
            if not answers:
                raise NoAnswerError(f"{command.name}: no answer within {timeout:g} s")
            return answers

    def _take_transaction(self) -> int:
        transaction = self._next
        self._next = (
            FIRST_TRANSACTION if transaction == LAST_TRANSACTION else transaction + 1
        )
        self._used.append(transaction)
        return transaction

    def end(self) -> None:
        """Tell who waits that the connection has ended."""
        self._gone = True
        if self._answers is not None:
            self._answers.shutdown()

    # -- telling answers apart ----------------------------------------------------

    def server_sent(self, packet: Packet) -> None:
        """Note a command of the maker's server that was let through."""
        if (about := commanded(packet)) is not None:
            self._of_server.append(
                _Open(
                    packet.type,
                    packet.unit,
                    *about,
                    packet.transaction,
                    time.monotonic(),
                )
            )

    def take(self, packet: Packet, answer: Answer | Parameter) -> bool:
        """Take an answer if it is to a command of ours; return whether it is.

        An id that was repeated tells. Without one, the server's commands go first, and
        then comes what is waited for here before what no longer is.
        """
        number = answer.number if isinstance(answer, Parameter) else answer.first
        pending = self._pending
        if pending is not None and not pending.is_answered_by(packet, number):
            pending = None
        if packet.transaction in self._used:
            is_ours = pending is not None and pending.transaction == packet.transaction
            if not is_ours:
                pending = None
                if _strike(self._of_server, packet, number, packet.transaction):
                    return False
        elif _strike(self._of_server, packet, number):
            return False
        if pending is None:
            # One that comes too late is ours, too.
            was_ours = _strike(self._late, packet, number)
            return was_ours or packet.transaction in self._used
        if self._answers is not None:
            self._answers.put_nowait(answer)
        return True


def _strike(
    commands: deque[_Open], packet: Packet, number: int, transaction: int | None = None
) -> bool:
    """Return whether a packet answers one of some commands, which then waits no more.

    With ``transaction`` only one that had this id counts.
    """
    oldest = time.monotonic() - FORGOTTEN_AFTER
    while commands and commands[0].at < oldest:
        commands.popleft()
    for place, command in enumerate(commands):
        if transaction not in (None, command.transaction):
            continue
        if command.is_answered_by(packet, number):
            if number == command.last or command.type != Type.READ_PARAMETERS:
                del commands[place]
            return True
    return False
