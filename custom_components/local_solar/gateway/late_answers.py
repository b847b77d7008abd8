"""Answers that may still come although nobody waits for them any more.

RTU has no transaction ids. An answer that comes after its request was given up would be
taken for that to the next request of the same shape: same unit, function and length. So
after a request was given up, none of that shape is sent until its answer cannot come any
more, but for the same request, once: clients repeat themselves, and the late answer is right
for that. The library of the link sorts out answers of other functions and units by itself.
"""

from collections.abc import Collection
from time import monotonic
from typing import Final, NamedTuple

from .pdu import Request

LATEST: Final = 4.0
"""Seconds after a request at which its answer cannot come any more. What is recorded of late
answers lies below 3 s."""

type _Shape = tuple[int, int, int]


class _Awaited(NamedTuple):
    until: float
    repeatable: int | None
    """The address for which it would be right, if that may be asked for again."""


class LateAnswers:
    """What may come late, of all units of a link."""

    def __init__(self) -> None:
        """Expect nothing."""
        self.awaited: dict[_Shape, _Awaited] = {}
        """What may come, and what no longer may."""

    def expect(self, request: Request, sent: float) -> None:
        """Expect the answer to a request that was sent then, until it cannot come any more."""
        shape = _shape(request)
        known = self.awaited.get(shape)
        is_first = known is None or known.until <= monotonic()
        self.awaited[shape] = _Awaited(
            sent + LATEST, request.address if is_first else None
        )

    def sure_at(self, request: Request, now: float) -> float:
        """Return when the answer to a request will surely be its own (monotonic seconds)."""
        self.awaited = {
            shape: awaited
            for shape, awaited in self.awaited.items()
            if awaited.until > now
        }
        known = self.awaited.get(_shape(request))
        if known is None or known.repeatable == request.address:
            return now
        return known.until

    def may_fit(self, request: Request, now: float) -> bool:
        """Return whether a request may get the answer to the same one, sent before."""
        known = self.awaited.get(_shape(request))
        return known is not None and known.until > now

    def may_meet(self, request: Request, functions: Collection[int]) -> bool:
        """Return whether a request may get what is for one of another shape."""
        now, own = monotonic(), _shape(request)
        return any(
            shape != own
            and shape[0] == request.unit
            and shape[1] in functions
            and awaited.until > now
            for shape, awaited in self.awaited.items()
        )

    def forget(self, unit: int) -> None:
        """Take none of a unit's for right any more: it has been written to."""
        for shape, awaited in self.awaited.items():
            if shape[0] == unit:
                self.awaited[shape] = awaited._replace(repeatable=None)

    def over_at(self, unit: int, now: float) -> float:
        """Return when none of a unit's can come any more."""
        return max(
            (
                awaited.until
                for shape, awaited in self.awaited.items()
                if shape[0] == unit
            ),
            default=now,
        )


def _shape(request: Request) -> _Shape:
    return request.unit, request.function, request.length
