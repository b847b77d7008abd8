"""What a logger kept while nobody listened, brought into the gaps of long-term statistics.

Such a record tells of an earlier time. It never becomes the state of a sensor: states are of
now. Long-term statistics have a row for each hour, and where one is missing, the record has
its place.

What Home Assistant does about a gap decides what may be put into it. The sum of a counter goes
on from its newest row of five minutes: it grows by what the counter grew since, however long
that took. So sum less state stays the same as long as a counter is not reset, on both sides of
the gap, and a row in between gets the sum that follows from its state. What was grown in the
gap was counted in the first hour after it, as a difference of two sums. It is spread over the
gap now, and nothing is counted twice, because the sums on both sides are left alone.

An hour for which there is a row is Home Assistant's own. That is also so where it held the last
state for as long as it was off, which it does when it starts again, for sensors that were
available when it stopped.

Counters of the day are left out. They fall once a day, which no two rows tell the time of.
"""

import asyncio
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum, auto
from math import isfinite
from operator import attrgetter
from typing import Final, NamedTuple

from sqlalchemy.exc import SQLAlchemyError

from homeassistant.components.recorder import DOMAIN as RECORDER, get_instance
from homeassistant.components.recorder.models import (
    StatisticData,
    StatisticMeanType,
    StatisticMetaData,
)
from homeassistant.components.recorder.statistics import (
    UNIT_CLASS_TO_UNIT_CONVERTER,
    StatisticsRow,
    async_import_statistics,
    get_last_short_term_statistics,
    get_last_statistics,
    get_metadata,
)
from homeassistant.components.sensor import SensorStateClass
from homeassistant.const import Platform
from homeassistant.core import HomeAssistant, callback
from homeassistant.helpers import entity_registry as er
from homeassistant.util import dt as dt_util

from .buffered_hours import HOUR, Count, Hour, Level, in_order
from .const import DOMAIN, LOGGER
from .coordinators.base import LocalSolarConfigEntry, unique_id
from .points import Device, Point, Quantity, Value
from .quantities import presentation
from .recorder_queue import async_wait_for_recorder

OLDEST: Final = timedelta(days=60)
"""Records of an earlier time are not believed: no logger keeps so much."""

AHEAD: Final = timedelta(minutes=5)
"""By so much a logger's clock may be ahead of ours."""

OVER_FOR: Final = timedelta(minutes=15)
"""An hour must have been over for so long. By then Home Assistant has written its own row,
and a second one would be refused along with all that is written at the same time."""

QUIET_FOR: Final = timedelta(minutes=2)
"""More records of the same hours may come until a device has told nothing for so long."""

MAX_HOURS: Final = 60 * 24
"""Hours that are kept at most, those of all devices together."""

_ROUNDING: Final = 1e-6
"""Relative error of sums and of conversions between units."""


class Unused(StrEnum):
    """Why a record was of no use."""

    NO_TIME = auto()
    """It has none, or one that the local time leaves out."""
    IN_THE_FUTURE = auto()
    TOO_OLD = auto()
    NO_RECORDER = auto()
    NOTHING_SHOWN = auto()
    """It tells of nothing that has a sensor with statistics."""
    REPEATED = auto()
    TOO_MANY = auto()
    OUT_OF_ORDER = auto()
    """A counter fell within it, or between it and another one."""
    CONTRADICTED = auto()
    """A counter was lower or higher than Home Assistant knows it to have been."""
    KNOWN = auto()
    """There are rows of its hour already."""
    NO_PLACE = auto()
    """There is no row before, the counter was reset, or the unit is another one."""


class _Verdict(StrEnum):
    """What rows of a counter say of an hour."""

    FITS = auto()
    CONTRADICTS = auto()
    TOO_SOON = auto()
    """Nothing that was read after it is known yet."""


class _Row(NamedTuple):
    """What a counter showed at the end of an hour, in the unit of its statistic."""

    start: datetime
    state: float
    sum: float


@dataclass(frozen=True, slots=True, kw_only=True)
class _Series:
    """The statistic of a sensor: its newest rows, and the last one before these."""

    metadata: StatisticMetaData
    starts: frozenset[datetime]
    first: datetime
    rows: tuple[_Row, ...]
    """Of a counter, in order of time. The last one may be of five minutes."""
    convert: Callable[[float], float]
    """From the unit of the point to that of the statistic."""

    def before(self, start: datetime) -> _Row | None:
        """Return the last row before an hour."""
        place = self._place(start)
        return self.rows[place - 1] if place else None

    def since(self, start: datetime) -> Iterator[_Row]:
        """Go through the rows from an hour on."""
        return map(self.rows.__getitem__, range(self._place(start), len(self.rows)))

    def _place(self, start: datetime) -> int:
        return bisect_left(self.rows, start, key=attrgetter("start"))


@dataclass(slots=True)
class _Kept:
    """What is kept of a device until it can be used."""

    device: Device
    taken_at: datetime
    hours: dict[datetime, Hour] = field(default_factory=dict)
    unused: Counter[Unused] = field(default_factory=Counter)
    """Records of no use that were not logged yet."""


def utc_time(shown: datetime | None) -> datetime | None:
    """Return when the clock of a logger showed a local time.

    ``None`` if it never did: summer time leaves out an hour. Of the hour that comes twice
    the first is meant. Records of both then meet in one hour, which is not believed if a
    counter grew meanwhile.
    """
    if shown is None:
        return None
    zone = dt_util.get_default_time_zone()
    shown = shown.replace(tzinfo=None, fold=0)
    at = shown.replace(tzinfo=zone).astimezone(UTC)
    return at if at.astimezone(zone).replace(tzinfo=None, fold=0) == shown else None


class BufferedRecords:
    """Collects what was reported of earlier times, and fills gaps of statistics with it."""

    def __init__(self, hass: HomeAssistant, entry: LocalSolarConfigEntry) -> None:
        """Fill the statistics of the sensors of ``entry``."""
        self._hass = hass
        self._entry = entry
        self._kept: dict[str, _Kept] = {}
        self._taken = 0
        self._used = 0
        self._filled = 0
        self._unused: Counter[Unused] = Counter()
        self._lock = asyncio.Lock()

    @property
    def statistics(self) -> Mapping[str, object]:
        """What became of the records so far, as JSON types."""
        return {
            "taken": self._taken,
            "used": self._used,
            "waiting": sum(
                hour.records
                for kept in self._kept.values()
                for hour in kept.hours.values()
            ),
            "hours_filled": self._filled,
            "unused": {str(why): count for why, count in sorted(self._unused.items())},
        }

    @callback
    def take(
        self, device: Device, values: Mapping[str, Value | None], at: datetime | None
    ) -> bool:
        """Take in a record of ``at``, and return whether it can be of use.

        ``None`` stands for a record without a time that can be believed.
        """
        self._taken += 1
        now = dt_util.utcnow()
        kept = self._kept.setdefault(device.identity.id, _Kept(device, now))
        kept.device = device
        why = self._collect(kept, values, at, now)
        if why is not None:
            self._drop(kept, why)
        return why is None

    def _collect(
        self,
        kept: _Kept,
        values: Mapping[str, Value | None],
        at: datetime | None,
        now: datetime,
    ) -> Unused | None:
        """Add a record to its hour, and return why not if it cannot be of use."""
        if at is None:
            return Unused.NO_TIME
        if at > now + AHEAD:
            return Unused.IN_THE_FUTURE
        if at < now - OLDEST:
            return Unused.TOO_OLD
        if RECORDER not in self._hass.config.components:
            return Unused.NO_RECORDER
        levels, counts = self._readings(kept.device, values)
        if not levels and not counts:
            return Unused.NOTHING_SHOWN
        at = at.astimezone(UTC)
        start = at.replace(minute=0, second=0, microsecond=0)
        if start not in kept.hours:
            if sum(len(other.hours) for other in self._kept.values()) >= MAX_HOURS:
                return Unused.TOO_MANY
            kept.hours[start] = Hour()
        if not kept.hours[start].add(60 * at.minute + at.second, levels, counts):
            return Unused.REPEATED
        kept.taken_at = now
        return None

    def _readings(
        self, device: Device, values: Mapping[str, Value | None]
    ) -> tuple[dict[str, float], dict[str, float]]:
        """Return what a record tells of measurements and of lifetime counters."""
        levels: dict[str, float] = {}
        counts: dict[str, float] = {}
        for point in device.points:
            value = values.get(point.key)
            if (
                isinstance(value, bool)
                or not isinstance(value, int | float)
                or not isfinite(value)
                or self._entity_id(device, point) is None
            ):
                continue
            if point.quantity is Quantity.ENERGY_TOTAL:
                counts[point.key] = value
            elif presentation(point).state_class is SensorStateClass.MEASUREMENT:
                levels[point.key] = value
        return levels, counts

    def _entity_id(self, device: Device, point: Point) -> str | None:
        """Return the sensor of a point, ``None`` if it has none that is enabled."""
        registry = er.async_get(self._hass)
        entity_id = registry.async_get_entity_id(
            Platform.SENSOR, DOMAIN, unique_id((device.identity.id, point.key))
        )
        if entity_id is None:
            return None
        entity = registry.entities[entity_id]
        is_shown = (
            not entity.disabled and entity.config_entry_id == self._entry.entry_id
        )
        return entity_id if is_shown else None

    def _drop(self, kept: _Kept, why: Unused, records: int = 1) -> None:
        kept.unused[why] += records
        self._unused[why] += records

    # -- filling ------------------------------------------------------------------

    async def async_flush(self, *, last: bool = False) -> None:
        """Fill what can be filled now, and keep what has to wait.

        Nothing happens as long as the recorder is starting, is busy or fails. ``last`` says
        that no more records will come.
        """
        if RECORDER not in self._hass.config.components:
            return
        async with self._lock:
            now = dt_util.utcnow()
            due = [
                kept
                for kept in self._kept.values()
                if (kept.hours or kept.unused)
                and (last or now - kept.taken_at >= QUIET_FOR)
            ]
            # When it is ready, it has been told to write the rows that it missed.
            if (
                due
                and get_instance(self._hass).async_recorder_ready.is_set()
                and await async_wait_for_recorder(self._hass)
            ):
                for kept in due:
                    await self._async_fill(kept, now)

    async def _async_fill(self, kept: _Kept, now: datetime) -> None:
        """Fill the gaps in the statistics of a device."""
        starts = sorted(start for start in kept.hours if start + HOUR + OVER_FOR <= now)
        if not starts:
            _log(kept, 0, 0)
            return
        sensors = {
            point.key: (entity_id, point.unit)
            for point in kept.device.points
            if any(_tells(kept.hours[start], point.key) for start in starts)
            and (entity_id := self._entity_id(kept.device, point)) is not None
        }
        # A statistic has one row an hour at most: one more is before the first hour.
        count = (now - starts[0]) // HOUR + 2
        try:
            series = await get_instance(self._hass).async_add_executor_job(
                _read, self._hass, sensors, count
            )
        except SQLAlchemyError as err:
            LOGGER.warning("Statistics cannot be read: %s", err)
        else:
            self._fill(kept, starts, series, now)

    def _fill(
        self,
        kept: _Kept,
        starts: Iterable[datetime],
        series: Mapping[str, _Series],
        now: datetime,
    ) -> None:
        """Import what the records tell of hours without rows."""
        ordered = in_order(kept.hours)
        rows: dict[str, list[StatisticData]] = {}
        filled = used = 0
        for start in starts:
            hour = kept.hours[start]
            found = _rows_or_why(hour, start, series, start in ordered)
            if found is None and start >= now - OLDEST:
                continue
            del kept.hours[start]
            if found is None or isinstance(found, Unused):
                self._drop(kept, found or Unused.TOO_OLD, hour.records)
                continue
            for key, row in found.items():
                rows.setdefault(key, []).append(row)
            filled, used = filled + 1, used + hour.records
        for key, data in rows.items():
            async_import_statistics(self._hass, {**series[key].metadata}, data)
        self._filled += filled
        self._used += used
        _log(kept, filled, used)


def _tells(hour: Hour, key: str) -> bool:
    return key in hour.levels or key in hour.counts


def _log(kept: _Kept, filled: int, used: int) -> None:
    """Log once what became of the records that were kept of a device."""
    unused = ", ".join(f"{count} {why}" for why, count in sorted(kept.unused.items()))
    kept.unused.clear()
    if filled or unused:
        LOGGER.info(
            "%s: %d hours of statistics were filled with %d records of earlier times;"
            " not used: %s",
            kept.device.identity.id,
            filled,
            used,
            unused or "none",
        )


# -- what is stored -----------------------------------------------------------------------


def _read(
    hass: HomeAssistant, sensors: Mapping[str, tuple[str, str | None]], count: int
) -> dict[str, _Series]:
    """Return the statistics that sensors have, by the keys of their points."""
    metadata = get_metadata(
        hass, statistic_ids={entity_id for entity_id, _ in sensors.values()}
    )
    found: dict[str, _Series] = {}
    for key, (entity_id, unit) in sensors.items():
        if entity_id not in metadata:
            continue
        _, about = metadata[entity_id]
        if (convert := _converter(unit, about)) is None:
            continue
        rows = get_last_statistics(hass, count, entity_id, False, {"state", "sum"})
        newest = get_last_short_term_statistics(
            hass, 1, entity_id, False, {"state", "sum"}
        )
        if not (hours := rows.get(entity_id)):
            continue
        starts = frozenset(map(_start, hours))
        known = {row.start: row for row in _counted(newest.get(entity_id, []))}
        known |= {row.start: row for row in _counted(hours)}
        found[key] = _Series(
            metadata=about,
            starts=starts,
            first=min(starts),
            rows=tuple(sorted(known.values())),
            convert=convert,
        )
    return found


def _start(row: StatisticsRow) -> datetime:
    return datetime.fromtimestamp(row["start"], UTC)


def _counted(rows: Iterable[StatisticsRow]) -> Iterator[_Row]:
    for row in rows:
        match row:
            case {"state": float(state), "sum": float(total)}:
                yield _Row(_start(row), state, total)


def _converter(
    unit: str | None, metadata: StatisticMetaData
) -> Callable[[float], float] | None:
    """Return what turns the unit of a point into that of its statistic, if it can be."""
    wanted = metadata["unit_of_measurement"]
    if unit == wanted:
        return float
    converter = UNIT_CLASS_TO_UNIT_CONVERTER.get(metadata["unit_class"])
    if converter is None or not {unit, wanted} <= converter.VALID_UNITS:
        return None
    return converter.converter_factory(unit, wanted)


# -- what may be believed -----------------------------------------------------------------


def _judge(hour: Hour, start: datetime, series: Mapping[str, _Series]) -> _Verdict:
    """Say whether an hour's counters lie between those that are known from before and after.

    If one does not, the clock was wrong, and nothing that it tells of this hour is right.
    """
    verdicts = {
        _judge_count(count, start, series[key])
        for key, count in hour.counts.items()
        if key in series
    }
    for verdict in _Verdict.CONTRADICTS, _Verdict.TOO_SOON:
        if verdict in verdicts:
            return verdict
    return _Verdict.FITS


def _judge_count(count: Count, start: datetime, series: _Series) -> _Verdict:
    """Say whether a counter lies between what was shown before and what was read after.

    A row in which the counter stood still may show what was read long before, so it tells
    no upper limit. One in which it grew was read in its hour.
    """
    if (before := series.before(start)) is None:
        return _Verdict.FITS
    low, high = series.convert(count.low), series.convert(count.high)
    if low < before.state - _slack(low):
        return _Verdict.CONTRADICTS
    shown = before.state
    for row in series.since(start):
        if row.start >= start + HOUR:
            if high <= row.state + _slack(high):
                return _Verdict.FITS
            if row.state > shown + _slack(shown):
                return _Verdict.CONTRADICTS
        shown = row.state
    return _Verdict.TOO_SOON


def _slack(value: float) -> float:
    return _ROUNDING * max(1.0, abs(value))


# -- what is written ----------------------------------------------------------------------


def _rows_or_why(
    hour: Hour, start: datetime, series: Mapping[str, _Series], is_in_order: bool
) -> dict[str, StatisticData] | Unused | None:
    """Return the rows that an hour gives, or why there are none; ``None`` to wait."""
    told = [known for key, known in series.items() if _tells(hour, key)]
    if told and all(start in known.starts for known in told):
        return Unused.KNOWN
    if not is_in_order:
        return Unused.OUT_OF_ORDER
    verdict = _judge(hour, start, series)
    if verdict is _Verdict.CONTRADICTS:
        return Unused.CONTRADICTED
    if verdict is _Verdict.TOO_SOON:
        return None
    return _rows(hour, start, series) or Unused.NO_PLACE


def _rows(
    hour: Hour, start: datetime, series: Mapping[str, _Series]
) -> dict[str, StatisticData]:
    """Return the rows that an hour gives, by the keys of the points."""
    rows = {
        key: row
        for key, level in hour.levels.items()
        if key in series and (row := _level_row(level, start, series[key])) is not None
    }
    rows |= {
        key: row
        for key, count in hour.counts.items()
        if key in series and (row := _count_row(count, start, series[key])) is not None
    }
    return rows


def _level_row(level: Level, start: datetime, series: _Series) -> StatisticData | None:
    """Return the row of a measurement, ``None`` if there is one or nothing before it."""
    if (
        series.metadata["mean_type"] is not StatisticMeanType.ARITHMETIC
        or start in series.starts
        or start < series.first
    ):
        return None
    return StatisticData(
        start=start,
        mean=series.convert(level.mean),
        min=series.convert(level.low),
        max=series.convert(level.high),
    )


def _count_row(count: Count, start: datetime, series: _Series) -> StatisticData | None:
    """Return the row of a counter, ``None`` if no sum fits between its neighbours.

    None does if a counter was reset between them or somebody corrected its sum, or if the
    next row still shows what was read before the gap.
    """
    before = series.before(start)
    after = next(series.since(start + HOUR), None)
    if start in series.starts or before is None or after is None:
        return None
    state = series.convert(count.last[1])
    slack = _slack(state)
    grown, summed = after.state - before.state, after.sum - before.sum
    if abs(grown - summed) > slack or not (
        before.state - slack <= state <= after.state + slack
    ):
        return None
    state = min(max(state, before.state), after.state)
    return StatisticData(
        start=start, state=state, sum=before.sum + (state - before.state)
    )
