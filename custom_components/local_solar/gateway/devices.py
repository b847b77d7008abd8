"""A gateway in the words that every device is described with, and the values of its points."""

from collections.abc import Iterator
from typing import Final, NamedTuple, Self

from ..points import CONNECTED, Device, DeviceIdentity, Point, Value
from . import points
from .gateway import Gateway
from .pdu import GATEWAYS_OWN, ExceptionCode
from .statistics import Statistics

_ERRORS: Final = GATEWAYS_OWN | {ExceptionCode.DEVICE_FAILURE}
"""Exceptions that are not the fault of who asked."""


def every_point() -> Iterator[Point]:
    """Go through all points that a gateway has."""
    yield from points.POINTS
    yield CONNECTED


def gateway_device(device_id: str) -> Device:
    """Return the gateway itself."""
    return Device(
        identity=DeviceIdentity(
            id=device_id,
            kind="gateway",
            manufacturer="Local Solar",
            model="Modbus gateway",
        ),
        points=tuple(every_point()),
    )


class _Look(NamedTuple):
    """What had been counted at a time (monotonic seconds)."""

    at: float
    requests: float
    answers: float
    spared: float
    joined: float
    bus_requests: float
    bus_errors: float
    bus_busy: float
    waited: float

    @classmethod
    def of(cls, statistics: Statistics, now: float) -> Self:
        return cls(
            at=now,
            requests=statistics.requests,
            answers=statistics.answers,
            spared=statistics.from_cache + statistics.joined,
            joined=statistics.joined,
            bus_requests=statistics.bus_requests,
            bus_errors=statistics.bus_errors,
            bus_busy=statistics.bus_busy,
            waited=statistics.waited,
        )

    def since(self, earlier: Self) -> Self:
        """Return what was counted in between, and the seconds that it took."""
        pairs = zip(self, earlier, strict=True)
        return type(self)(*(now - before for now, before in pairs))


class Observer:
    """Looks at a gateway now and then: rates are of the time since the last look."""

    def __init__(self, gateway: Gateway, now: float) -> None:
        """Begin to look at a gateway at a time (monotonic seconds)."""
        self._gateway = gateway
        self._last = _Look.of(gateway.statistics, now)
        self._answers: bool | None = None

    @property
    def is_known(self) -> bool:
        """Whether anybody has asked a unit for anything yet."""
        return self._answers is not None

    def values(self, now: float, *, is_capturing: bool) -> dict[str, Value | None]:
        """Return the values of all points at a time (monotonic seconds)."""
        gateway, statistics = self._gateway, self._gateway.statistics
        look = _Look.of(statistics, now)
        passed = look.since(self._last)
        self._last = look
        self._note_answers(passed)
        return {
            points.CLIENTS.key: len(gateway.clients),
            points.REQUEST_RATE.key: _share(passed.requests, passed.at, digits=2),
            points.BUS_LOAD.key: min(100.0, _percent(passed.bus_busy, passed.at)),
            points.WAITING_TIME.key: _share(
                1000 * passed.waited, passed.bus_requests + passed.joined, digits=0
            ),
            points.ERRORS.key: errors(statistics),
            points.BLOCKED_WRITES.key: statistics.blocked_writes,
            points.CACHE_SHARE.key: _percent(passed.spared, passed.answers),
            points.REFUSED_CONNECTIONS.key: statistics.refused_connections,
            points.MESSAGE_GAP.key: round(1000 * gateway.gap),
            points.SILENT_UNITS.key: len(gateway.units_silent),
            points.BLOCKED_READS.key: statistics.blocked_reads,
            points.REPEATED_REQUESTS.key: statistics.repeated,
            points.CAPTURING.key: is_capturing,
            CONNECTED.key: self._answers,
        }

    def _note_answers(self, passed: _Look) -> None:
        """Find out whether units answer; as long as nobody asks them, nothing is known anew."""
        gateway = self._gateway
        if not gateway.is_reachable or len(gateway.units_silent) == len(gateway.units):
            self._answers = False
        elif passed.bus_requests > passed.bus_errors:
            self._answers = True
        elif passed.bus_requests:
            self._answers = False


def errors(statistics: Statistics) -> int:
    """Return how many requests the device, the link or the queue failed.

    Each request to the bus that failed is among them: whoever waited for it was told so.
    """
    return sum(statistics.exceptions[code] for code in _ERRORS)


def _share(part: float, whole: float, *, digits: int) -> float:
    return round(part / whole, digits) if whole else 0.0


def _percent(part: float, whole: float) -> float:
    return _share(100 * part, whole, digits=1)
