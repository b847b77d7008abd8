"""One client on a serial line, or on what looks like one: from octets to octets.

Modbus RTU has no transaction ids. Which request an answer belongs to a client knows from
the order alone: it asks, waits, and asks again or for something else when it has waited for
too long. So answers go out in the order of the requests, a repeated request is answered
once, and what a client has given up is not answered at all: it would take that for the
answer to its next request.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from time import monotonic
from typing import Final, Protocol

from .capture import Recorder
from .clients import Client
from .framing import Frame, Noise, RtuRequests, rtu_frame
from .pdu import BROADCAST, READ_METER, READS
from .statistics import Statistics

SILENCE: Final = 0.05
"""Seconds without octets after which nothing more belongs to what was begun. The standard's
3.5 characters are less than the 16 ms in which a USB adapter collects what comes."""

MOST_WAITING: Final = 8
"""Requests of one line that may be without an answer. A client has one at a time; a few are
there when it repeats itself or gives up."""

_ASKED_OF_ANYBODY: Final = READS | {READ_METER}
"""What unit 0 can be asked for. All else to it is a broadcast."""


class Taker(Protocol):
    """What a session asks: the gateway."""

    @property
    def statistics(self) -> Statistics:
        """What is counted."""

    @property
    def recorder(self) -> Recorder | None:
        """Who is told what came."""

    def take(
        self,
        client: Client,
        unit: int,
        pdu: bytes,
        reply: Callable[[bytes | None], None],
    ) -> None:
        """Answer a request, now or later, at most once; ``None`` is silence."""


class Host(Taker, Protocol):
    """What a port asks, and where it says who comes and goes: the gateway."""

    def join(self, client: Client) -> None:
        """Take in a client."""

    def leave(self, client: Client) -> None:
        """Forget a client and what it waits for."""


@dataclass(slots=True, eq=False)
class _Waiting:
    """A request that has not been answered to the client."""

    request: Frame
    is_answered: bool = False
    """Whether the gateway has said what it has to say."""
    answer: bytes | None = None


class RtuSession:
    """Cuts requests out of what a client sends, and has them answered."""

    def __init__(
        self,
        gateway: Taker,
        client: Client,
        write: Callable[[bytes], None],
        *,
        stand_in: int | None = None,
        silence: float = SILENCE,
    ) -> None:
        """Answer a client by ``write``. It has joined the gateway and leaves by itself.

        Args:
            gateway: is asked.
            client: who asks.
            write: sends octets to the client; must return at once and not raise.
            stand_in: the unit that reads of unit 0 are asked of, and answered as; without
                one they are not answered.
            silence: seconds without octets after which a client begins anew.

        """
        self.garbage = 0
        """Octets since the last request that were none."""
        self._gateway = gateway
        self._client = client
        self._write = write
        self._stand_in = stand_in
        self._silence = silence
        self._requests = RtuRequests()
        self._waiting: deque[_Waiting] = deque()
        """Requests that the client waits for, in the order of their answers."""
        self._taken = 0
        """Requests that the gateway has not answered, given up or not."""
        self._heard = -silence
        self._begins_anew = True
        """Whether the client was silent before what comes now."""
        self._timer: asyncio.TimerHandle | None = None
        self._is_closed = False

    @property
    def is_silent(self) -> bool:
        """Whether nothing has come for so long that what comes next begins anew."""
        return monotonic() - self._heard >= self._silence

    @property
    def is_unfinished(self) -> bool:
        """Whether something has come that is no complete request yet."""
        return self._requests.is_unfinished

    def feed(self, data: bytes) -> None:
        """Take in octets."""
        if self._is_closed:
            return
        if self.is_silent:
            self._begins_anew = True
        self._heard = monotonic()
        self._take_all(self._requests.feed(data))
        if self._requests.is_unfinished and self._timer is None:
            self._wait(self._silence)

    def close(self) -> None:
        """Answer nothing any more."""
        self._is_closed = True
        self._waiting.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    # -- silence --------------------------------------------------------------------

    def _wait(self, seconds: float) -> None:
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(seconds, self._look_for_silence)

    def _look_for_silence(self) -> None:
        """Give up what is not complete, unless something came meanwhile."""
        self._timer = None
        rest = self._heard + self._silence - monotonic()
        if rest > 0:
            if self._requests.is_unfinished:
                self._wait(rest)
            return
        self._take_all(self._requests.give_up())

    # -- requests -------------------------------------------------------------------

    def _take_all(self, items: list[Frame | Noise]) -> None:
        for item in items:
            if self._is_closed:
                return
            if isinstance(item, Noise):
                self._note(item.octets)
            else:
                self.garbage = 0
                self._take(item)

    def _note(self, octets: bytes) -> None:
        self.garbage += len(octets)
        self._gateway.statistics.garbage += 1
        if (recorder := self._gateway.recorder) is not None:
            recorder.garbage(self._client, octets)

    def _take(self, request: Frame) -> None:
        if request.unit == BROADCAST:
            if self._stand_in is None or request.pdu[0] not in _ASKED_OF_ANYBODY:
                self._drop_broadcast(request)
                return
            request = request._replace(unit=self._stand_in)
        statistics = self._gateway.statistics
        begins_anew, self._begins_anew = self._begins_anew, False
        if any(waiting.request == request for waiting in self._waiting):
            statistics.repeated += 1
            return
        if begins_anew:
            statistics.superseded += len(self._waiting)
            self._waiting.clear()
        if self._taken >= MOST_WAITING:
            statistics.dropped += 1
            return
        waiting = _Waiting(request)
        self._waiting.append(waiting)
        self._taken += 1
        reply = partial(self._answered, waiting)
        self._gateway.take(self._client, *request, reply)

    def _drop_broadcast(self, request: Frame) -> None:
        """Take note of what is for all units: it goes no further, and nobody answers it."""
        self._gateway.statistics.broadcasts += 1
        if (recorder := self._gateway.recorder) is not None:
            recorder.request(self._client, *request)
            recorder.answer(self._client, *request, None)

    # -- answers --------------------------------------------------------------------

    def _answered(self, waiting: _Waiting, answer: bytes | None) -> None:
        """Send what the gateway says, when all before it have been answered."""
        self._taken -= 1
        waiting.answer, waiting.is_answered = answer, True
        while self._waiting and self._waiting[0].is_answered:
            first = self._waiting.popleft()
            if first.answer is not None:
                self._write(rtu_frame(first.request.unit, first.answer))
