"""When answers leave a simulated bus.

The line carries one frame at a time. A unit that takes its time (the fault ``delay``) does
not hold the line meanwhile: other units are asked and answer before it, but its own next
answer waits. What would collide on a real line comes one after the other here.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Final

from .listeners import Connection
from .requests import Request
from .wire import SerialLine

_ORDER: Final = 1e-6
"""Seconds between answers that leave together, so that they leave in order."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What leaves for a client: bytes, or nothing at all, and perhaps the connection."""

    connection: Connection
    request: Request
    packet: bytes
    hang_up: bool


@dataclass(slots=True)
class _Slow:
    """A unit that has late answers to give."""

    answers: int = 0
    until: float = 0.0
    """When it will have given them, as a time of the loop."""


class Outlet:
    """Sends answers when their time comes."""

    def __init__(self, wire: SerialLine | None) -> None:
        """Keep to the pace of a line; without one answers take no time."""
        self.wire = wire
        self._free_at = 0.0
        self._slow: dict[int, _Slow] = {}
        self._leaving: set[asyncio.TimerHandle] = set()
        self._pending: set[asyncio.TimerHandle] = set()

    def is_busy(self, now: float) -> bool:
        """Tell whether a request is still being answered."""
        return now < self._free_at or bool(self._slow)

    def stop(self) -> None:
        """Forget what has not left, and what was to be done later."""
        for handle in self._leaving | self._pending:
            handle.cancel()
        self._leaving.clear()
        self._pending.clear()
        self._slow.clear()
        self._free_at = 0.0

    def call_later(
        self,
        loop: asyncio.AbstractEventLoop,
        seconds: float,
        action: Callable[[], None],
    ) -> None:
        """Do something after so many seconds, unless stopped before."""
        _call_at(loop, loop.time() + seconds, action, self._pending)

    def send(self, answer: Answer, request_octets: int, late: float) -> None:
        """Send an answer as soon as request and answer are through, or ``late`` seconds later.

        ``request_octets`` are those of the request as an RTU frame.
        """
        unit = answer.request.unit
        heard = max(answer.request.received, self._free_at)
        if self.wire is not None:
            heard += self.wire.frame(request_octets)
        if late or unit in self._slow:
            self._free_at = heard
            self._hold_back(answer, heard, late)
        else:
            self._leave(answer, heard)

    def _hold_back(self, answer: Answer, heard: float, late: float) -> None:
        """Let a unit think about a request it has heard, while the line is free."""
        unit = answer.request.unit
        slow = self._slow.setdefault(unit, _Slow())
        due = max(heard, slow.until + _ORDER) + late
        slow.answers += 1
        slow.until = due + self._seconds(answer)
        if answer.packet:
            answer.request.answered = slow.until

        def speak() -> None:
            slow.answers -= 1
            if not slow.answers:
                del self._slow[unit]
            self._leave(answer, max(due, self._free_at))

        _call_at(answer.connection.loop, due, speak, self._pending)

    def _seconds(self, answer: Answer) -> float:
        """Return how long the line takes for an answer."""
        if self.wire is None:
            return 0.0
        octets = len(answer.packet)
        if not answer.connection.rtu:
            octets = max(0, octets - 4)
        return self.wire.frame(octets)

    def _leave(self, answer: Answer, begins: float) -> None:
        """Put an answer on the line from a time on, or later if others leave then."""
        leaves = begins + self._seconds(answer)
        if self._leaving:
            leaves = max(leaves, self._free_at + _ORDER)
        self._free_at = leaves
        connection = answer.connection
        if answer.hang_up:
            self._at(connection.loop, leaves, connection.hang_up)
        if answer.packet:
            answer.request.answered = leaves
            self._deliver(connection, leaves, answer.packet)

    def _deliver(self, connection: Connection, leaves: float, packet: bytes) -> None:
        """Hand a frame that is through at a time to a client, in pieces if need be."""
        if self.wire is None or not self.wire.burst or not connection.rtu:
            self._at(connection.loop, leaves, partial(connection.transmit, packet))
            return
        for moment, piece in self.wire.pieces(packet):
            connection.delivered = max(leaves + moment, connection.delivered + _ORDER)
            self._at(
                connection.loop,
                connection.delivered,
                partial(connection.transmit, piece),
            )

    def _at(
        self, loop: asyncio.AbstractEventLoop, when: float, action: Callable[[], None]
    ) -> None:
        """Do something at a time of the loop: now, if that has come."""
        if when <= loop.time() and not self._leaving:
            action()
            return
        _call_at(loop, when, action, self._leaving)


def _call_at(
    loop: asyncio.AbstractEventLoop,
    when: float,
    action: Callable[[], None],
    handles: set[asyncio.TimerHandle],
) -> None:
    """Do something at a time of the loop; until then its timer is among ``handles``."""

    def act() -> None:
        handles.discard(handle)
        action()

    handle = loop.call_at(when, act)
    handles.add(handle)
