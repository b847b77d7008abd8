"""Counters that only grow, whatever the device answers in between.

Energy statistics take every fall of a counter for a reset and add what follows
to the sum, so one wrong 0 doubles a day. The guard lets a value pass only if it
can be true: lifetime counters never fall, daily counters fall once a day, and
neither rises faster than any house can draw. A value that looks wrong is
believed when it persists, because devices do get replaced and clocks are wrong.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
import logging
from math import isfinite
from typing import Final

from .points import PointId, Quantity

_LOGGER = logging.getLogger(__name__)

PERSISTS_AFTER: Final = timedelta(minutes=30)
"""An implausible value that stays for so long is true."""

PERSISTS_COUNT: Final = 5
"""It must have been seen so often as well: one value after a long pause proves nothing."""

MAX_POWER: Final = 100.0
"""kW that no counter of a household exceeds on average; larger inverters raise it."""

MAX_STEP: Final = 0.5
"""kWh that a counter may jump at once: counters of some firmware advance in such steps."""


@dataclass(slots=True)
class _Doubt:
    """An implausible value and how long it has been claimed."""

    value: float
    since: datetime
    count: int = 1


@dataclass(slots=True)
class _Counter:
    value: float
    at: datetime
    reset_at: datetime
    doubt: _Doubt | None = None


class CounterGuard:
    """Remembers counters (kWh) and decides which new values to believe.

    All times are local times with a zone, as days change at local midnight.
    """

    def __init__(self) -> None:
        """Know nothing yet."""
        self.max_power = MAX_POWER
        self.max_step = MAX_STEP
        self._counters: dict[PointId, _Counter] = {}

    def value(self, point: PointId) -> float | None:
        """Return the last believed value."""
        counter = self._counters.get(point)
        return counter.value if counter else None

    def restore(
        self,
        point: PointId,
        quantity: Quantity,
        value: float,
        at: datetime,
        now: datetime,
    ) -> None:
        """Take in the value of an earlier run, last seen at ``at``.

        What has been read in this run is judged anew against it.
        """
        if not _can_be_counted(value):
            return
        current = self.value(point)
        self._counters[point] = _Counter(value, at, reset_at=at)
        if current is not None:
            self.accept(point, quantity, current, now)

    def accept(
        self, point: PointId, quantity: Quantity, value: float | None, now: datetime
    ) -> float | None:
        """Return the value to show after the device has answered ``value``."""
        counter = self._counters.get(point)
        if value is None or not _can_be_counted(value):
            return counter.value if counter else None
        if counter is None:
            self._counters[point] = _Counter(value, now, reset_at=now)
            return value
        fell = value < counter.value
        if self._is_plausible(counter, quantity, value, now) or _persists(
            point, counter, value, now
        ):
            counter.value, counter.at, counter.doubt = value, now, None
            # Near 0 on a new day is a reset too, though nothing fell: it was 0 before.
            if fell or (value <= MAX_STEP and counter.reset_at.date() < now.date()):
                counter.reset_at = now
        return counter.value

    def _is_plausible(
        self, counter: _Counter, quantity: Quantity, value: float, now: datetime
    ) -> bool:
        if value < counter.value:
            return (
                quantity is Quantity.ENERGY_TODAY
                and counter.reset_at.date() < now.date()
            )
        hours = max(0.0, (now - counter.at).total_seconds() / 3600)
        return value - counter.value <= self.max_step + self.max_power * hours


def _can_be_counted(value: float) -> bool:
    return isfinite(value) and value >= 0


def _persists(point: PointId, counter: _Counter, value: float, now: datetime) -> bool:
    """Note a doubtful value; return whether it has been claimed long enough."""
    doubt = counter.doubt
    if (
        doubt is None
        or value < doubt.value
        or (value > counter.value) != (doubt.value > counter.value)
    ):
        counter.doubt = _Doubt(value, now)
        _LOGGER.debug(
            "%s: %s after %s is implausible, waiting",
            "/".join(point),
            value,
            counter.value,
        )
        return False
    doubt.value = value
    doubt.count += 1
    if doubt.count < PERSISTS_COUNT or now - doubt.since < PERSISTS_AFTER:
        return False
    _LOGGER.info(
        "%s: %s after %s persists, the counter was reset",
        "/".join(point),
        value,
        counter.value,
    )
    return True
