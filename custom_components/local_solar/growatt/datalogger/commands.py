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
"""Seconds after which a command of the server is not waited for any more."""

_OF_LOGGER: Final = frozenset({Type.READ_PARAMETERS, Type.WRITE_PARAMETER})


class NoAnswerError(Exception):
    """A logger is silent about a command."""


class GoneError(Exception):
    """The connection of a logger ended."""


class _About(NamedTuple):
    """What a command and its answers have in common."""

    type: int
    unit: int
    first: int


class Commands:
    """What one connection is told, and what it answers."""

    __slots__ = (
        "_answers",
        "_free_at",
        "_gone",
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
        self._pending: tuple[Command, int] | None = None
        self._answers: asyncio.Queue[Answer | Parameter] | None = None
        self._of_server: list[tuple[_About, int, float]] = []
        self._free_at = 0.0
        self._gone = False

    async def run(self, command: Command) -> Answer | Parameter:
        """Tell a logger something and return its answer.

        Raises ``NoAnswerError`` or ``GoneError``.
        """
        return (await self.collect(command, 1))[0]

    async def collect(self, command: Command, most: int) -> list[Answer | Parameter]:
        """Tell a logger something; return its answers, at least one and ``most`` at most.

        Raises ``NoAnswerError`` or ``GoneError``.
        """
        async with self._lock:
            if (wait := self._free_at - time.monotonic()) > 0:
                await asyncio.sleep(wait)
            if self._gone:
                raise GoneError
            queue: asyncio.Queue[Answer | Parameter] = asyncio.Queue()
            transaction = self._take_transaction()
            self._pending, self._answers = (command, transaction), queue
            self._send(command, transaction)
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
        about = commanded(packet)
        if about is None:
            return
        now = time.monotonic()
        self._forget_old(now)
        if len(self._of_server) < KEPT:
            key = _About(packet.type, packet.unit, about[0])
            self._of_server.append((key, about[1], now))

    def take(self, packet: Packet, answer: Answer | Parameter) -> bool:
        """Take an answer if it is to a command of ours; return whether it is."""
        number = answer.number if isinstance(answer, Parameter) else answer.first
        has_our_id = packet.transaction in self._used
        if not has_our_id and self._answers_server(packet, number):
            return False
        if self._pending is not None and self._is_pending(packet, number):
            self._deliver(answer)
            return True
        # One that comes too late is ours, too.
        return has_our_id

    def _is_pending(self, packet: Packet, number: int) -> bool:
        """Return whether a packet is about what we have asked for."""
        assert self._pending is not None
        command, transaction = self._pending
        if packet.type != command.type:
            return False
        if packet.transaction in self._used and packet.transaction != transaction:
            return False
        if command.type not in _OF_LOGGER and packet.unit != command.unit:
            return False
        if command.type == Type.READ_PARAMETERS:
            return command.first <= number <= command.last
        return number == command.first

    def _deliver(self, answer: Answer | Parameter) -> None:
        if self._answers is not None:
            self._answers.put_nowait(answer)

    def _answers_server(self, packet: Packet, number: int) -> bool:
        """Return whether a packet answers the server, which waits for that no more."""
        self._forget_old(time.monotonic())
        for place, (about, last, _) in enumerate(self._of_server):
            if about.type != packet.type:
                continue
            if about.type == Type.READ_PARAMETERS:
                if about.first <= number <= last:
                    if number == last:
                        del self._of_server[place]
                    return True
            elif (about.unit, about.first) == (packet.unit, number):
                del self._of_server[place]
                return True
        return False

    def _forget_old(self, now: float) -> None:
        self._of_server = [
            item for item in self._of_server if now - item[2] < FORGOTTEN_AFTER
        ]
