"""What devices reported of earlier hours, summed up as it comes.

Long-term statistics have a row for each hour of UTC. What is reported of an hour is added
up at once, so that a burst of hundreds of records takes no more memory than its hours.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

HOUR: Final = timedelta(hours=1)


@dataclass(slots=True)
class Level:
    """A measurement in an hour."""

    low: float
    high: float
    total: float = 0.0
    count: int = 0

    @property
    def mean(self) -> float:
        """Mean of the readings. A logger takes them at regular intervals."""
        return min(max(self.total / self.count, self.low), self.high)

    def add(self, value: float) -> None:
        """Take in a reading."""
        self.low, self.high = min(self.low, value), max(self.high, value)
        self.total += value
        self.count += 1


@dataclass(slots=True)
class Count:
    """A lifetime counter in an hour: readings with the second at which they were taken."""

    first: tuple[int, float]
    last: tuple[int, float]
    low: float
    high: float

    @property
    def is_ordered(self) -> bool:
        """Whether the first reading is the lowest and the last one the highest."""
        return self.first[1] == self.low and self.last[1] == self.high

    def add(self, second: int, value: float) -> None:
        """Take in a reading."""
        reading = second, value
        self.first, self.last = min(self.first, reading), max(self.last, reading)
        self.low, self.high = min(self.low, value), max(self.high, value)


@dataclass(slots=True)
class Hour:
    """What a device reported of an hour, by the keys of its points."""

    levels: dict[str, Level] = field(default_factory=dict)
    counts: dict[str, Count] = field(default_factory=dict)
    records: int = 0
    _seconds: int = 0
    """A bit for each second of which there is a record."""
    _is_contradicted: bool = False

    @property
    def is_consistent(self) -> bool:
        """Whether all counters only grew. If not, the clock was wrong or has been set."""
        return not self._is_contradicted and all(
            count.is_ordered for count in self.counts.values()
        )

    def add(
        self, second: int, levels: Mapping[str, float], counts: Mapping[str, float]
    ) -> bool:
        """Take in a record, and return whether it is not one that was there before."""
        bit = 1 << second
        if self._seconds & bit:
            self._is_contradicted |= any(
                (known := self.counts.get(key)) is not None
                and not known.low <= value <= known.high
                for key, value in counts.items()
            )
            return False
        self._seconds |= bit
        self.records += 1
        for key, value in levels.items():
            self.levels.setdefault(key, Level(value, value)).add(value)
        for key, value in counts.items():
            reading = second, value
            self.counts.setdefault(key, Count(reading, reading, value, value)).add(
                second, value
            )
        return True

    def may_precede(self, later: Hour) -> bool:
        """Return whether no counter is lower in a later hour."""
        return all(
            count.high <= later.counts[key].low
            for key, count in self.counts.items()
            if key in later.counts
        )


def in_order(hours: Mapping[datetime, Hour]) -> frozenset[datetime]:
    """Return those hours that agree with each other on how counters grew.

    Of two that do not agree, neither is believed: one has the wrong time, and nothing
    tells which.
    """
    believed: list[datetime] = []
    for start in sorted(hours):
        if not hours[start].is_consistent:
            continue
        if believed and not hours[believed[-1]].may_precede(hours[start]):
            believed.pop()
        else:
            believed.append(start)
    return frozenset(believed)
