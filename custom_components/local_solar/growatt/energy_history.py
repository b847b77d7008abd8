"""The energy that an inverter remembers by hour, day, month and year, put in order of time.

Some maps keep four lists of the output energy, the newest entry first, two words each,
in 0.1 kWh: hours, 7 days, 12 months, 20 years. Facts: "Protocol II" V1.13 (input 284 to 414)
and V3.14 (450 to 575), and a scan of a MIN 6000TL-XH of 2023-09-06. There, day 0 is the counter of
the day, days 0 to 5 add up to month 0, so that both are the present ones; the months add up to the
lifetime counter, and so do the years. Hours 0 to 22 add up to the day; the sun is in the right place
if hour 0 is the running one. That a year is so many years ago was not seen: the scan has one year.

An entry is the difference of two readings of the lifetime counter, so the lists tell what that
counter showed when an hour, day, month or year began. This is what they are made into here: a chain
of readings, in which no kWh can be counted twice. Lists that tell the same moment must tell
the same reading.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, tzinfo
from enum import StrEnum
from itertools import count, pairwise
from typing import Final

HOUR: Final = timedelta(hours=1)

CLOCK_TOLERANCE: Final = timedelta(minutes=70)
"""A clock may be wrong by so much: many are never set to summer time. Days then begin
an hour early or late, at night."""

HOURS_TOLERANCE: Final = timedelta(minutes=5)
"""By so much for hours."""


class Span(StrEnum):
    """What an entry of a list is about, from the finest list to the coarsest."""

    HOUR = "hour"
    DAY = "day"
    MONTH = "month"
    YEAR = "year"


ROWS: Final[Mapping[Span, str]] = {span: f"energy_by_{span}" for span in Span}
"""The rows of the lists; a register map says where they are and how long."""


class Doubt(StrEnum):
    """Why something that an inverter remembers is not used."""

    HOURS_DISAGREE = "hours_disagree"
    """The hours of today do not add up to today, or clocks change today."""
    CLOCK_OFF = "clock_off"
    """The inverter's clock is not right enough for hours."""
    LISTS_DISAGREE = "lists_disagree"
    """A coarser list counted more since then: nobody knows when before that was."""
    BEYOND_LISTS = "beyond_lists"
    """Counted before the lists begin."""


class HistoryError(Exception):
    """What an inverter remembers cannot be used."""


class ClockError(HistoryError):
    """The inverter's clock is wrong, and with it the dates of all entries."""

    def __init__(self, shown: datetime, now: datetime) -> None:
        """Keep what it shows and what time it is."""
        super().__init__(f"the inverter's clock shows {shown}, it is {now}")
        self.shown = shown
        self.now = now


class InconsistentError(HistoryError):
    """Two numbers that must agree do not. Both are in 0.1 kWh."""

    def __init__(self, what: str, first: int, second: int) -> None:
        """Name them."""
        super().__init__(f"{what}: {first / 10} and {second / 10} kWh")
        self.what = what
        self.first = first
        self.second = second


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """What an inverter said, at one time. All energies are in 0.1 kWh."""

    clock: datetime
    """The inverter's own, without a zone."""
    today: int
    total: int
    """The lifetime counter."""
    lists: Mapping[Span, Sequence[int]]
    """Newest entry first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What the lifetime counter showed (0.1 kWh) when a span of time began."""

    at: datetime
    """Of the inverter's clock, without a zone."""
    counter: int
    span: Span


@dataclass(frozen=True, slots=True, kw_only=True)
class LeftOut:
    """Energy that is not used, and why."""

    doubt: Doubt
    energy: int = 0
    """In 0.1 kWh; 0 if only its distribution over time is not used."""
    before: datetime | None = None
    """It was counted before this time (UTC)."""
    disagreeing: Mapping[Span, int] = field(default_factory=dict)
    """What two lists say that was counted since they part, in 0.1 kWh."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Chain:
    """Readings of the lifetime counter, the oldest first."""

    readings: tuple[Reading, ...]
    zone: tzinfo
    """Of the inverter's clock."""
    midnight: datetime
    """When the day began; readings after it are those of hours."""
    total: int
    """What the counter shows now."""
    hours: Doubt | None
    """Why there are none of hours."""
    disagreeing: Mapping[Span, int]
    """What two lists say that was counted since the moment at which the chain ends because
    of that; empty if it ends where the lists do."""

    def instant(self, reading: Reading) -> datetime:
        """Return when a reading was due, in UTC."""
        return reading.at.replace(tzinfo=self.zone).astimezone(UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Period:
    """Energy (0.1 kWh) of a time from ``start`` to ``end``, in UTC."""

    start: datetime
    end: datetime
    energy: int
    span: Span
    """The list that tells where it starts."""
    counter: int
    """What the lifetime counter showed at the end."""

    @property
    def hour(self) -> datetime:
        """The last hour of the period, which is when statistics keep its energy."""
        return (self.end - timedelta.resolution).replace(
            minute=0, second=0, microsecond=0
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class EnergyHistory:
    """What was counted before a series of one's own begins: periods, the oldest first."""

    periods: tuple[Period, ...]
    left_out: tuple[LeftOut, ...]

    @property
    def energy(self) -> int:
        """The sum of the periods, in 0.1 kWh."""
        return sum(period.energy for period in self.periods)


def entries(words: Sequence[int]) -> tuple[int, ...]:
    """Return the entries of a list; each takes two words, the high one first."""
    return tuple(
        high << 16 | low for high, low in zip(words[::2], words[1::2], strict=True)
    )


def chain(memory: Memory, now: datetime) -> Chain:
    """Make readings of the lists. ``now`` is the local time, with its zone.

    Lists are gone through from the finest to the coarsest, each back in time. If a coarser one
    counted more since a moment than the finer one, that lacks something, and the chain
    goes back no further. Raises ``ClockError``, or ``InconsistentError`` where the
    counter would have fallen.
    """
    zone = now.tzinfo
    if zone is None:
        raise ValueError("the time it is must have a zone")
    off = abs(memory.clock - now.replace(tzinfo=None))
    if off > CLOCK_TOLERANCE:
        raise ClockError(memory.clock, now)
    latest = next(iter(memory.lists[Span.DAY]), 0)
    if latest != memory.today:
        raise InconsistentError("day 0, counter of today", latest, memory.today)
    midnight = memory.clock.replace(hour=0, minute=0, second=0, microsecond=0)
    hours: Doubt | None = None
    if off > HOURS_TOLERANCE:
        hours = Doubt.CLOCK_OFF
    elif not _hours_agree(memory, midnight, zone):
        hours = Doubt.HOURS_DISAGREE
    known, disagreeing = _merge(
        reading
        for span in Span
        if span is not Span.HOUR or hours is None
        for reading in _readings(memory, span)
    )
    return Chain(
        readings=known[::-1],
        zone=zone,
        midnight=midnight,
        total=memory.total,
        hours=hours,
        disagreeing={
            reading.span: memory.total - reading.counter for reading in disagreeing
        },
    )


def history_before(found: Chain, begun: datetime, counter: int) -> EnergyHistory:
    """Return what was counted before a series of one's own, which has the same counter.

    The series begins within the hour ``begun`` (UTC) with the reading ``counter``, and the last
    period ends in that hour with it. Raises ``InconsistentError`` if the counter cannot
    have shown that then: the lists are of other days than they seem.
    """
    end = begun + HOUR
    # Hours may begin a little earlier or later than ours: they only refine.
    firm = [r for r in found.readings if r.at <= found.midnight]
    after = [r.counter for r in firm if found.instant(r) >= end]
    if counter > (most := min([*after, found.total])):
        raise InconsistentError("first reading, readings after it", counter, most)
    earlier = [r.counter for r in firm if found.instant(r) <= begun]
    if earlier and counter < earlier[-1]:
        raise InconsistentError(
            "first reading, readings before it", counter, earlier[-1]
        )
    before = [
        r for r in found.readings if found.instant(r) <= begun and r.counter <= counter
    ]
    marks = [(found.instant(r), r.counter, r.span) for r in before]
    return EnergyHistory(
        periods=tuple(
            Period(start=start, end=stop, energy=next_ - last, span=span, counter=next_)
            for (start, last, span), (stop, next_, _) in pairwise(
                [*marks, (end, counter, Span.HOUR)]
            )
            if next_ > last
        ),
        left_out=tuple(
            _left_out(found, marks[0][:2] if marks else (end, counter), end)
        ),
    )


def _left_out(
    found: Chain, oldest: tuple[datetime, int], end: datetime
) -> Iterator[LeftOut]:
    """Say what was counted before the ``oldest`` reading, and whether hours are missed."""
    before, energy = oldest
    if energy:
        yield LeftOut(
            doubt=Doubt.LISTS_DISAGREE if found.disagreeing else Doubt.BEYOND_LISTS,
            energy=energy,
            before=before,
            disagreeing=found.disagreeing,
        )
    if found.hours and end.astimezone(found.zone).replace(tzinfo=None) > found.midnight:
        yield LeftOut(doubt=found.hours)


def _merge(
    readings: Iterable[Reading],
) -> tuple[tuple[Reading, ...], tuple[Reading, ...]]:
    """Return one reading for each moment, the newest first, and two that disagree.

    Raises ``InconsistentError`` where the counter would have fallen.
    """
    known: dict[datetime, Reading] = {}
    last: Reading | None = None
    for reading in readings:
        other = known.get(reading.at, last)
        if other is not None and reading.counter > other.counter:
            raise InconsistentError(
                f"{other.span}, {reading.span} before {other.at}",
                other.counter,
                reading.counter,
            )
        if reading.at not in known:
            known[reading.at] = last = reading
        elif other is not None and reading.counter < other.counter:
            kept = tuple(r for at, r in known.items() if at > reading.at)
            return kept, (other, reading)
    return tuple(known.values()), ()


def _readings(memory: Memory, span: Span) -> Iterator[Reading]:
    """Go back in time through a list: what the counter showed when each entry began."""
    counter = memory.total
    entries_ = memory.lists[span]
    if span is Span.HOUR:
        entries_ = entries_[: memory.clock.hour + 1]
    for at, energy in zip(starts(memory.clock, span), entries_, strict=False):
        counter -= energy
        if counter < 0:
            raise InconsistentError(
                f"{span} since {at}, total", memory.total - counter, memory.total
            )
        yield Reading(at=at, counter=counter, span=span)


def starts(clock: datetime, span: Span) -> Iterator[datetime]:
    """Go back through the moments at which the entries of a list begin."""
    hour = clock.replace(minute=0, second=0, microsecond=0)
    midnight = hour.replace(hour=0)
    match span:
        case Span.HOUR:
            yield from (hour - n * HOUR for n in count())
        case Span.DAY:
            yield from (midnight - timedelta(days=n) for n in count())
        case Span.MONTH:
            months = (
                divmod(12 * clock.year + clock.month - 1 - n, 12) for n in count()
            )
            yield from (
                midnight.replace(year=year, month=month + 1, day=1)
                for year, month in months
            )
        case Span.YEAR:
            yield from (
                midnight.replace(year=clock.year - n, month=1, day=1) for n in count()
            )


def _hours_agree(memory: Memory, midnight: datetime, zone: tzinfo) -> bool:
    """Whether the hours of today add up to today. A day with a change of clocks cannot tell."""
    local = midnight.replace(tzinfo=zone)
    length = (local + timedelta(days=1)).astimezone(UTC) - local.astimezone(UTC)
    hours = memory.lists[Span.HOUR][: memory.clock.hour + 1]
    return length == 24 * HOUR and sum(hours) == memory.today
