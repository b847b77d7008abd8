"""The lists of energies that an inverter keeps, made into a chain of readings."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
import json
from typing import Final
from zoneinfo import ZoneInfo

from hypothesis import given, strategies as st
import pytest

from custom_components.local_solar.growatt.energy_history import (
    HOUR,
    ROWS,
    Chain,
    ClockError,
    Doubt,
    EnergyHistory,
    HistoryError,
    InconsistentError,
    LeftOut,
    Memory,
    Span,
    chain,
    entries,
    history_before,
    starts,
)
from custom_components.local_solar.growatt.profiles.catalogue import PROFILES

from .helpers import SHARED

SCAN: Final = SHARED / "captures" / "growatt" / "seed_dataset_min_6000xh_tl_masked.json"
BERLIN: Final = ZoneInfo("Europe/Berlin")
NOW: Final = datetime(2026, 7, 10, 14, 20, tzinfo=BERLIN)
SIZES: Final[Mapping[Span, int]] = {
    Span.HOUR: 24,
    Span.DAY: 7,
    Span.MONTH: 12,
    Span.YEAR: 20,
}
LATE: Final = datetime(2026, 7, 10, 10, tzinfo=UTC)
"""An hour of today: noon in Berlin."""


def remember(readings: Mapping[datetime, int], clock: datetime, total: int) -> Memory:
    """Return what an inverter remembers whose counter showed this at these times.

    Between two of them it showed the earlier one.
    """

    def shown(at: datetime) -> int:
        return max((n for time, n in readings.items() if time <= at), default=0)

    def listed(span: Span) -> Iterator[int]:
        after = total
        for at, _ in zip(starts(clock, span), range(SIZES[span]), strict=False):
            yield after - shown(at)
            after = shown(at)

    lists = {span: tuple(listed(span)) for span in Span}
    return Memory(clock=clock, today=lists[Span.DAY][0], total=total, lists=lists)


def counters(end: datetime, days: int, each: int = 24) -> dict[datetime, int]:
    """Return hourly readings of a counter that grows by ``each`` a day, 1 an hour."""
    first = end.replace(hour=0, minute=0, second=0) - timedelta(days=days)
    hours = int((end - first) / HOUR)
    return {first + n * HOUR: n * each // 24 for n in range(hours + 1)}


CLOCK: Final = NOW.replace(tzinfo=None)
READINGS: Final = counters(CLOCK, 900)
GOOD: Final = remember(READINGS, CLOCK, 900 * 24 + 15)


def changed(memory: Memory, span: Span, place: int, energy: int) -> Memory:
    """Return a memory with another entry."""
    entry = list(memory.lists[span])
    entry[place] = energy
    return replace(memory, lists={**memory.lists, span: tuple(entry)})


def spans(history: EnergyHistory) -> list[tuple[Span, int]]:
    return [(period.span, period.energy) for period in history.periods]


# -- where the lists are -----------------------------------------------------------------


def test_entries_take_two_words_each() -> None:
    assert entries([0, 275, 1, 2]) == (275, 0x10002)
    with pytest.raises(ValueError, match="argument"):
        entries([1])


def test_rows_of_maps_are_whole_entries() -> None:
    """A map that has one of the lists has all of them."""
    for profile in PROFILES.values():
        rows = {row.key: row for row in profile if row.key in ROWS.values()}
        assert not rows or rows.keys() == set(ROWS.values())
        assert all(row.words % 2 == 0 for row in rows.values())


def test_an_inverter_of_another_map_may_have_other_sizes() -> None:
    short = replace(
        GOOD, lists={span: GOOD.lists[span][:5] for span in Span} | {Span.HOUR: ()}
    )
    found = chain(short, NOW)
    assert found.hours is Doubt.HOURS_DISAGREE
    assert history_before(found, LATE, GOOD.total - 3).left_out


# -- a history that agrees ---------------------------------------------------------------


def test_each_list_tells_what_no_finer_one_does() -> None:
    found = chain(GOOD, NOW)
    history = history_before(found, LATE, GOOD.total - 3)
    assert spans(history) == [
        (Span.YEAR, 345 * 24),  # 2024, since the inverter is there
        (Span.YEAR, 212 * 24),  # 2025 until August
        *((Span.MONTH, days * 24) for days in (31, 30, 31, 30, 31)),  # to December
        *((Span.MONTH, days * 24) for days in (31, 28, 31, 30, 31)),  # to May
        (Span.MONTH, 30 * 24),
        (Span.MONTH, 3 * 24),  # July, without the last days
        *[(Span.DAY, 24)] * 6,
        *[(Span.HOUR, 1)] * 12,
    ]
    assert history.left_out == ()


def test_each_period_lies_on_the_day_it_is_about() -> None:
    history = history_before(chain(GOOD, NOW), LATE, GOOD.total - 3)
    for period in history.periods:
        start, hour = (at.astimezone(BERLIN) for at in (period.start, period.hour))
        if period.span is Span.YEAR:
            assert start.year == hour.year
        elif period.span is Span.MONTH:
            assert (start.year, start.month) == (hour.year, hour.month)
        else:
            assert start.date() == hour.date()


def test_the_last_period_ends_where_the_series_begins() -> None:
    history = history_before(chain(GOOD, NOW), LATE, GOOD.total - 2)
    last = history.periods[-1]
    assert (last.hour, last.energy) == (LATE, 1)
    assert last.counter == history.energy == GOOD.total - 2


@pytest.mark.parametrize("days", [0, 1, 5, 6, 8, 20, 45, 200, 360, 700, 899])
def test_no_energy_is_lost_or_counted_twice_whenever_a_series_begins(days: int) -> None:
    begun = (NOW - timedelta(days=days)).replace(hour=12, minute=0).astimezone(UTC)
    counter = READINGS[begun.astimezone(BERLIN).replace(tzinfo=None)]
    history = history_before(chain(GOOD, NOW), begun, counter)
    assert history.energy + sum(part.energy for part in history.left_out) == counter
    assert all(period.hour <= begun for period in history.periods)


def test_nothing_before_the_lists_is_made_up() -> None:
    begun = datetime(2000, 1, 1, tzinfo=UTC)
    history = history_before(chain(GOOD, NOW), begun, 0)
    assert history == EnergyHistory(periods=(), left_out=())


def test_an_inverter_that_never_worked_has_no_history() -> None:
    zero = remember({}, CLOCK, 0)
    assert history_before(chain(zero, NOW), LATE, 0) == EnergyHistory(
        periods=(), left_out=()
    )


def test_what_was_counted_before_the_lists_is_left_out() -> None:
    older = replace(GOOD, total=GOOD.total + 700)
    history = history_before(chain(older, NOW), LATE, older.total - 3)
    assert history.left_out == (
        LeftOut(
            doubt=Doubt.BEYOND_LISTS,
            energy=700,
            before=datetime(2007, 1, 1, tzinfo=BERLIN).astimezone(UTC),
        ),
    )
    assert history.energy == GOOD.total - 3


# -- zones and clocks ----------------------------------------------------------------------


@pytest.mark.parametrize("day", [29, 30])
def test_the_days_around_a_change_of_clocks_are_whole(day: int) -> None:
    """Summer time began on 2026-03-29 in Berlin: that day has 23 hours."""
    now = datetime(2026, 3, day, 14, 20, tzinfo=BERLIN)
    clock = now.replace(tzinfo=None)
    memory = remember(counters(clock, 60), clock, 60 * 24 + 15)
    begun = now.replace(hour=12, minute=0).astimezone(UTC)
    history = history_before(chain(memory, now), begun, memory.total - 3)
    days = [p for p in history.periods if p.span is Span.DAY]
    assert [p.energy for p in days[:6]] == [24] * 6
    for period in days[:6]:
        assert period.start.astimezone(BERLIN).hour == 0
        assert period.hour.astimezone(BERLIN).hour == 23
    assert [part.doubt for part in history.left_out] == (
        [Doubt.HOURS_DISAGREE] if day == 29 else []
    )


def test_half_hours_of_a_zone_are_no_hours_of_statistics() -> None:
    zone = ZoneInfo("Asia/Kolkata")
    now = CLOCK.replace(tzinfo=zone)
    begun = now.replace(minute=0, hour=12).astimezone(UTC).replace(minute=0)
    history = history_before(chain(GOOD, now), begun, GOOD.total - 3)
    hours = [period.hour for period in history.periods]
    assert len(set(hours)) == len(hours)
    assert all(hour.minute == 0 for hour in hours)
    day = next(p for p in history.periods if p.span is Span.DAY)
    assert day.hour.astimezone(zone).date() == day.start.astimezone(zone).date()


@pytest.mark.parametrize("off", [timedelta(days=365), timedelta(hours=-2)])
def test_a_wrong_clock_dates_nothing(off: timedelta) -> None:
    with pytest.raises(ClockError, match="2026-07-10 14:20"):
        chain(GOOD, NOW + off)


def test_a_clock_without_summer_time_tells_days_but_no_hours() -> None:
    history = history_before(chain(GOOD, NOW + HOUR), LATE, GOOD.total - 3)
    assert history.left_out == (LeftOut(doubt=Doubt.CLOCK_OFF),)
    assert spans(history)[-2:] == [(Span.DAY, 24), (Span.DAY, 12)]


def test_hours_that_are_not_of_today_are_not_missed() -> None:
    begun = LATE - timedelta(days=1)
    history = history_before(chain(GOOD, NOW + HOUR), begun, GOOD.total - 27)
    assert history.left_out == ()


def test_the_time_needs_a_zone() -> None:
    with pytest.raises(ValueError, match="zone"):
        chain(GOOD, CLOCK)


# -- what does not agree -----------------------------------------------------------------


def test_the_day_must_be_that_of_the_counter() -> None:
    with pytest.raises(InconsistentError, match=r"1\.5 and 0\.7 kWh"):
        chain(replace(GOOD, today=7), NOW)


def test_hours_that_do_not_add_up_are_not_used() -> None:
    found = chain(changed(GOOD, Span.HOUR, 3, 20), NOW)
    history = history_before(found, LATE, GOOD.total - 3)
    assert history.left_out == (LeftOut(doubt=Doubt.HOURS_DISAGREE),)
    assert spans(history)[-1] == (Span.DAY, 12)
    assert history.energy == GOOD.total - 3


def test_an_hour_that_began_a_little_late_does_no_harm() -> None:
    """Hours of the inverter may begin minutes before or after ours."""
    history = history_before(chain(GOOD, NOW), LATE, GOOD.total - 4)
    assert history.energy == GOOD.total - 4
    assert history.left_out == ()


def test_a_coarser_list_that_counted_more_ends_the_chain() -> None:
    found = chain(changed(GOOD, Span.MONTH, 4, 300), NOW)  # March has too little
    history = history_before(found, LATE, GOOD.total - 3)
    months = [p for p in history.periods if p.span is Span.MONTH]
    assert months[0].start.astimezone(BERLIN) == datetime(2026, 2, 1, tzinfo=BERLIN)
    (left_out,) = history.left_out
    assert left_out.doubt is Doubt.LISTS_DISAGREE
    assert left_out.before == months[0].start
    assert history.energy + left_out.energy == GOOD.total - 3
    assert left_out.disagreeing == {
        Span.MONTH: 190 * 24 + 15 - (31 * 24 - 300),
        Span.YEAR: 190 * 24 + 15,
    }


@pytest.mark.parametrize(
    ("span", "place", "energy"),
    [
        (Span.MONTH, 0, 10),  # less than its days
        (Span.MONTH, 4, 9000),  # more than the year
        (Span.YEAR, 0, 10),
        (Span.YEAR, 2, 90000),  # more than the lifetime
        (Span.DAY, 3, 900),
    ],
)
def test_a_counter_that_fell_is_refused(span: Span, place: int, energy: int) -> None:
    with pytest.raises(InconsistentError, match="kWh"):
        chain(changed(GOOD, span, place, energy), NOW)


def test_lists_that_part_today_leave_nothing_to_use() -> None:
    now = datetime(2026, 7, 1, 14, 20, tzinfo=BERLIN)
    clock = now.replace(tzinfo=None)
    memory = remember(counters(clock, 60), clock, 60 * 24 + 15)
    memory = changed(memory, Span.MONTH, 0, 500)
    begun = now.replace(hour=0, minute=0).astimezone(UTC)
    history = history_before(chain(memory, now), begun, memory.total - 15)
    assert history.periods == ()
    (left_out,) = history.left_out
    assert left_out.doubt is Doubt.LISTS_DISAGREE
    assert left_out.energy == memory.total - 15


@pytest.mark.parametrize("counter", [GOOD.total - 16, GOOD.total + 1])
def test_lists_of_other_days_than_they_seem_are_refused(counter: int) -> None:
    """The first reading of our own is a witness of when lists begin."""
    with pytest.raises(InconsistentError, match="first reading"):
        history_before(chain(GOOD, NOW), LATE, counter)


def test_lists_that_were_not_moved_on_yet_are_refused() -> None:
    """Some inverters show yesterday until they wake up."""
    tomorrow = NOW + timedelta(days=1)
    stale = replace(GOOD, clock=tomorrow.replace(tzinfo=None))
    with pytest.raises(InconsistentError, match="first reading"):
        history_before(chain(stale, tomorrow), LATE, GOOD.total - 3)


# -- anything ----------------------------------------------------------------------------

WORDS = st.integers(0, 0xFFFF)


@given(
    lists=st.fixed_dictionaries(
        {
            span: st.lists(WORDS, min_size=2 * size, max_size=2 * size)
            for span, size in SIZES.items()
        }
    ),
    total=st.integers(0, 0xFFFFFFFF),
    now=st.datetimes(datetime(2001, 1, 1), datetime(2099, 1, 1)),
)
def test_any_words_are_refused_or_used(
    lists: dict[Span, list[int]], total: int, now: datetime
) -> None:
    memory = Memory(
        clock=now,
        today=entries(lists[Span.DAY])[0],
        total=total,
        lists={span: entries(words) for span, words in lists.items()},
    )
    check_any(memory, now.replace(tzinfo=BERLIN))


SMALL = st.integers(0, 5)


@given(
    lists=st.fixed_dictionaries(
        {
            span: st.lists(SMALL, min_size=size, max_size=size)
            for span, size in SIZES.items()
        }
    ),
    total=st.integers(0, 200),
    now=st.datetimes(datetime(2001, 1, 1), datetime(2099, 1, 1)),
)
def test_any_entries_are_refused_or_used(
    lists: dict[Span, Sequence[int]], total: int, now: datetime
) -> None:
    memory = Memory(clock=now, today=lists[Span.DAY][0], total=total, lists=lists)
    check_any(memory, now.replace(tzinfo=BERLIN))


@given(
    steps=st.lists(st.integers(0, 3000), min_size=1, max_size=60),
    growth=st.integers(0, 400),
    hours=st.integers(0, 40000),
    now=st.datetimes(datetime(2010, 1, 1), datetime(2099, 1, 1)),
)
def test_what_a_counter_went_through_is_found_again(
    steps: list[int], growth: int, hours: int, now: datetime
) -> None:
    """Of an inverter that remembers well, all is imported, and all of it once."""
    clock = now.replace(minute=0, second=0, microsecond=0)
    readings = {
        clock - (len(steps) - n) * 700 * HOUR: sum(steps[: n + 1])
        for n in range(len(steps))
    }
    total = sum(steps) + growth
    found = chain(remember(readings, clock, total), clock.replace(tzinfo=UTC))
    begun = clock - hours * HOUR
    counter = max((n for at, n in readings.items() if at <= begun), default=0)
    history = history_before(found, begun.replace(tzinfo=UTC), counter)
    check(found, history, counter)
    assert not history.left_out or begun < clock - timedelta(days=300)


def check_any(memory: Memory, now: datetime) -> None:
    """Check what comes of a memory, for series that begin at some times."""
    try:
        found = chain(memory, now)
    except HistoryError:
        return
    for hours in (1, 5, 30, 100, 1000, 20000):
        begun = (now - hours * HOUR).astimezone(UTC).replace(minute=0, second=0)
        begun = begun.replace(microsecond=0)
        for counter in {0, memory.total, memory.total - memory.today}:
            try:
                history = history_before(found, begun, counter)
            except InconsistentError:
                continue
            check(found, history, counter)


def check(found: Chain, history: EnergyHistory, counter: int) -> None:
    """Check that no energy is lost, made up or counted twice."""
    left_out = sum(part.energy for part in history.left_out)
    assert history.energy + left_out == counter <= found.total
    assert all(period.energy > 0 for period in history.periods)
    assert all(a.end <= b.start for a, b in pairwise(history.periods))
    hours = [period.hour for period in history.periods]
    assert hours == sorted(set(hours))


# -- a real one --------------------------------------------------------------------------


@pytest.mark.skipif(not SCAN.exists(), reason="the scan is not part of the repository")
class TestScan:
    """A MIN 6000TL-XH on 2023-09-06 in the evening, two months after it was set up."""

    @staticmethod
    def memory(hour: int) -> Memory:
        words = json.loads(SCAN.read_text())["input"]
        rows = {row.key: row for row in PROFILES["min_tl_xh"]}
        return Memory(
            clock=datetime(2023, 9, 6, hour, 24, 2),
            today=words["3050"],
            total=words["3052"],
            lists={
                span: entries(
                    [
                        words.get(str(address), 0)
                        for address in range(rows[key].address, rows[key].end)
                    ]
                )
                for span, key in ROWS.items()
            },
        )

    def test_present_entries_come_first(self) -> None:
        memory = self.memory(21)
        days, months = memory.lists[Span.DAY], memory.lists[Span.MONTH]
        assert days[0] == memory.today == 275
        assert sum(days[:6]) == months[0]  # 1 to 6 September
        assert sum(months) == sum(memory.lists[Span.YEAR]) == memory.total == 14039

    @pytest.mark.parametrize(
        ("hour", "doubt"), [(21, Doubt.HOURS_DISAGREE), (22, None)]
    )
    def test_hours_are_used_where_they_are_those_of_today(
        self, hour: int, doubt: Doubt | None
    ) -> None:
        """The clock was read at 21:24; a while later the hours add up to the day."""
        memory = self.memory(hour)
        assert chain(memory, memory.clock.replace(tzinfo=BERLIN)).hours is doubt

    def test_energy_whose_month_is_not_certain_is_left_out(self) -> None:
        """The months know 34.1 kWh of December 2022, the years say that they are of 2023."""
        memory = self.memory(21)
        found = chain(memory, memory.clock.replace(tzinfo=BERLIN))
        begun = datetime(2023, 9, 6, 12, tzinfo=UTC)
        history = history_before(found, begun, memory.total - 100)
        assert spans(history) == [
            (Span.MONTH, 5659),
            (Span.MONTH, 6772 - 248),
            *((Span.DAY, energy) for energy in (248, 99, 142, 225, 258, 268, 175)),
        ]
        assert history.left_out == (
            LeftOut(
                doubt=Doubt.LISTS_DISAGREE,
                energy=341,
                before=datetime(2023, 2, 1, tzinfo=BERLIN).astimezone(UTC),
                disagreeing={Span.MONTH: 13698, Span.YEAR: 14039},
            ),
            LeftOut(doubt=Doubt.HOURS_DISAGREE),
        )
