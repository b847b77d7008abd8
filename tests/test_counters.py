"""Counters: they only grow, whatever a device answers in between."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from math import inf, isfinite, nan
from typing import Final
from zoneinfo import ZoneInfo

from hypothesis import example, given, settings, strategies as st
import pytest

from custom_components.local_solar.counters import (
    MAX_POWER,
    MAX_STEP,
    PERSISTS_AFTER,
    PERSISTS_COUNT,
    CounterGuard,
)
from custom_components.local_solar.points import PointId, Quantity

ZONE: Final = ZoneInfo("Europe/Amsterdam")
NOON: Final = datetime(2026, 6, 1, 12, tzinfo=ZONE)
POINT: Final[PointId] = ("inverter", "energy")
TOTAL: Final = Quantity.ENERGY_TOTAL
TODAY: Final = Quantity.ENERGY_TODAY

POLL: Final = timedelta(seconds=10)
SECOND: Final = timedelta(seconds=1)


@dataclass
class Watch:
    """A guard of one counter, and the time."""

    quantity: Quantity
    now: datetime = NOON

    def __post_init__(self) -> None:
        """Start with a guard that knows nothing."""
        self.guard = CounterGuard()

    def read(self, value: float | None, after: timedelta = POLL) -> float | None:
        """Let time pass, read a value and return what is shown."""
        self.now += after
        return self.guard.accept(POINT, self.quantity, value, self.now)

    def restore(self, value: float, at: datetime | None = None) -> None:
        """Bring back the value of an earlier run."""
        self.guard.restore(POINT, self.quantity, value, at or self.now, self.now)


@pytest.fixture(name="total")
def make_total() -> Watch:
    """A lifetime counter at 1000 kWh."""
    watch = Watch(TOTAL)
    assert watch.read(1000.0) == 1000.0
    return watch


@pytest.fixture(name="today")
def make_today() -> Watch:
    """A daily counter at 10 kWh, at noon."""
    watch = Watch(TODAY)
    assert watch.read(10.0) == 10.0
    return watch


# -- whatever is read -----------------------------------------------------------------------

readings = st.one_of(
    st.none(),
    st.sampled_from((0.0, 0.1, 5.0, 999.0, 1000.0, 1000.2, 1030.0, 5000.0, 4e8)),
    st.sampled_from((nan, inf, -inf, -1.0, -0.1)),
    st.floats(0, 2000),
)
pauses = st.sampled_from(
    [timedelta(seconds=seconds) for seconds in (1, 10, 10, 60, 400, 600, 3600, 40_000)]
)
histories = st.lists(st.tuples(pauses, readings), max_size=60)

type History = list[tuple[datetime, float]]
"""Readings that are numbers, and when they were made."""


def persisted(history: History, shown: float) -> bool:
    """Return whether the last readings all claimed otherwise, often and long enough."""
    value = history[-1][1]
    run: History = []
    for at, earlier in reversed(history):
        if earlier == shown or (earlier < shown) is not (value < shown):
            break
        run.append((at, earlier))
    return len(run) >= PERSISTS_COUNT and run[0][0] - run[-1][0] >= PERSISTS_AFTER


@settings(max_examples=200)
@given(st.sampled_from((TOTAL, TODAY)), histories)
def test_a_counter_is_shown_from_the_first_number_on_and_only_as_it_was_read(
    quantity: Quantity, steps: list[tuple[timedelta, float | None]]
) -> None:
    watch = Watch(quantity)
    shown: float | None = None
    for pause, value in steps:
        before = shown
        shown = watch.read(value, pause)
        assert shown == watch.guard.value(POINT)
        assert shown in (before, value)
        if value is None or not isfinite(value) or value < 0:
            assert shown == before
        if before is not None:
            assert shown is not None
        if shown is not None:
            assert isfinite(shown)
            assert shown >= 0


@settings(max_examples=200)
@given(histories)
@example([(timedelta(minutes=7), 1000.0), *[(timedelta(minutes=8), 3.0)] * 6])
@example([(timedelta(minutes=7), 1000.0), *[(timedelta(minutes=20), 3.0)] * 5])
@example([(POLL, 1000.0), *[(POLL, 3.0)] * 60])
def test_a_lifetime_counter_falls_only_to_what_persists(
    steps: list[tuple[timedelta, float | None]],
) -> None:
    watch = Watch(TOTAL)
    shown: float | None = None
    history: History = []
    for pause, value in steps:
        before, shown = shown, watch.read(value, pause)
        if value is not None and isfinite(value) and value >= 0:
            history.append((watch.now, value))
        if before is not None and shown is not None and shown < before:
            assert persisted(history, before)


@settings(max_examples=200)
@given(st.sampled_from((TOTAL, TODAY)), histories)
def test_a_counter_rises_no_faster_than_a_house_can_draw_unless_it_persists(
    quantity: Quantity, steps: list[tuple[timedelta, float | None]]
) -> None:
    watch = Watch(quantity)
    shown: float | None = None
    believed_at = watch.now
    history: History = []
    for pause, value in steps:
        before, shown = shown, watch.read(value, pause)
        if value is not None and isfinite(value) and value >= 0:
            history.append((watch.now, value))
        if shown == value:
            hours = (watch.now - believed_at).total_seconds() / 3600
            believed_at = watch.now
            if before is not None and shown is not None:
                most = MAX_STEP + MAX_POWER * hours
                assert shown - before <= most or persisted(history, before)


@settings(max_examples=200)
@given(histories)
def test_a_daily_counter_falls_once_a_day_unless_it_persists(
    steps: list[tuple[timedelta, float | None]],
) -> None:
    watch = Watch(TODAY)
    shown: float | None = None
    history: History = []
    last_fall: datetime | None = None
    for pause, value in steps:
        before, shown = shown, watch.read(value, pause)
        if value is not None and isfinite(value) and value >= 0:
            history.append((watch.now, value))
        if before is None and shown is not None:
            last_fall = watch.now
        if before is not None and shown is not None and shown < before:
            assert last_fall is not None
            assert watch.now.date() > last_fall.date() or persisted(history, before)
            last_fall = watch.now


@given(
    st.lists(st.tuples(pauses, st.floats(0, MAX_STEP)), min_size=1),
    st.sampled_from((TOTAL, TODAY)),
)
def test_a_counter_that_counts_is_shown_as_it_is(
    steps: list[tuple[timedelta, float]], quantity: Quantity
) -> None:
    watch = Watch(quantity)
    value = 100.0
    for pause, growth in steps:
        value = round(value + growth / 2, 3)
        assert watch.read(value, pause) == value


# -- lifetime counters --------------------------------------------------------------------------


def test_nothing_is_known_before_the_first_number() -> None:
    watch = Watch(TOTAL)
    assert watch.guard.value(POINT) is None
    for value in (None, nan, inf, -inf, -1.0):
        assert watch.read(value) is None
    assert watch.read(0.0) == 0.0


def test_a_failed_read_keeps_the_last_value(total: Watch) -> None:
    for _ in range(1000):
        assert total.read(None) == 1000.0


@pytest.mark.parametrize("value", [nan, inf, -inf, -0.1])
def test_what_is_no_count_keeps_the_last_value(total: Watch, value: float) -> None:
    for _ in range(20):
        assert total.read(value, timedelta(hours=1)) == 1000.0


def test_a_glitch_to_zero_is_not_shown(total: Watch) -> None:
    assert total.read(0.0) == 1000.0
    assert total.read(1000.1) == 1000.1


def test_a_lower_value_is_believed_after_half_an_hour_and_five_sightings(
    total: Watch,
) -> None:
    """An inverter was replaced."""
    shown = [total.read(3.0, timedelta(minutes=6)) for _ in range(6)]
    assert shown == [1000.0] * 5 + [3.0]


def test_many_sightings_in_a_short_time_prove_nothing(total: Watch) -> None:
    shown = [total.read(3.0, SECOND) for _ in range(1800)]
    assert set(shown) == {1000.0}
    assert total.read(3.0, SECOND) == 3.0


def test_few_sightings_in_a_long_time_prove_nothing(total: Watch) -> None:
    shown = [total.read(3.0, timedelta(hours=5)) for _ in range(5)]
    assert shown == [1000.0] * 4 + [3.0]


def test_a_replaced_counter_counts_while_it_is_doubted(total: Watch) -> None:
    shown = [total.read(3.0 + n, timedelta(minutes=6)) for n in range(6)]
    assert shown == [1000.0] * 5 + [8.0]


def test_a_true_value_in_between_clears_the_doubt(total: Watch) -> None:
    for _ in range(5):
        total.read(3.0, timedelta(minutes=8))
        assert total.read(1000.0, timedelta(minutes=8)) == 1000.0


def test_falling_further_starts_the_doubt_anew(total: Watch) -> None:
    for value in (500.0, 400.0, 300.0, 200.0, 100.0, 50.0):
        assert total.read(value, timedelta(minutes=10)) == 1000.0


def test_doubts_up_and_down_do_not_add_up(total: Watch) -> None:
    for _ in range(10):
        assert total.read(3.0, timedelta(minutes=4)) == 1000.0
        assert total.read(9e6, timedelta(minutes=4)) == 1000.0


def test_failed_reads_do_not_clear_a_doubt(total: Watch) -> None:
    for _ in range(4):
        total.read(3.0, timedelta(minutes=5))
        assert total.read(None, timedelta(minutes=5)) == 1000.0
    assert total.read(3.0, timedelta(minutes=5)) == 3.0


def test_an_implausible_jump_is_not_shown(total: Watch) -> None:
    assert total.read(429496729.5) == 1000.0
    assert total.read(1000.1) == 1000.1


def test_a_jump_that_persists_is_believed(total: Watch) -> None:
    shown = [total.read(5000.0, timedelta(minutes=6)) for _ in range(6)]
    assert shown == [1000.0] * 5 + [5000.0]


def test_what_was_counted_during_a_long_silence_is_believed(total: Watch) -> None:
    assert total.read(1040.0, timedelta(hours=10)) == 1040.0


def test_a_counter_may_advance_in_coarse_steps(total: Watch) -> None:
    assert total.read(1000.0 + MAX_STEP, SECOND) == 1000.0 + MAX_STEP


def test_a_clock_that_is_set_back_stops_no_counter(total: Watch) -> None:
    assert total.read(1000.2, timedelta(hours=-2)) == 1000.2


def test_counters_do_not_mix() -> None:
    guard = CounterGuard()
    points: list[PointId] = [("a", "energy"), ("b", "energy"), ("a", "import")]
    for number, point in enumerate(points):
        assert guard.accept(point, TOTAL, float(number), NOON) == number
    assert [guard.value(point) for point in points] == [0.0, 1.0, 2.0]


# -- daily counters -------------------------------------------------------------------------------


def test_a_daily_counter_falls_freely_once_after_midnight(today: Watch) -> None:
    assert today.read(0.0, timedelta(hours=12, minutes=5)) == 0.0
    assert today.read(0.4) == 0.4
    # A second fall on the same day is a glitch.
    assert today.read(0.0, timedelta(hours=2)) == 0.4


def test_a_reset_just_before_midnight_is_believed_just_after(today: Watch) -> None:
    """The inverter's clock is a minute ahead."""
    today.now = NOON.replace(hour=23, minute=59)
    assert today.read(10.2) == 10.2
    assert today.read(0.0, 20 * SECOND) == 10.2
    assert today.read(0.0, 40 * SECOND) == 0.0


def test_a_daily_counter_that_has_not_fallen_by_noon_may_fall_then(
    today: Watch,
) -> None:
    """The inverter's clock is hours behind."""
    assert today.read(10.0, timedelta(hours=23)) == 10.0
    assert today.read(0.0, timedelta(hours=2)) == 0.0


def test_a_glitch_to_zero_at_noon_is_not_shown(today: Watch) -> None:
    assert today.read(0.0) == 10.0
    assert today.read(10.1) == 10.1


def test_a_glitch_to_zero_at_noon_is_not_shown_on_later_days(today: Watch) -> None:
    for _ in range(3):
        assert today.read(0.0, timedelta(hours=12, minutes=5)) == 0.0
        assert today.read(7.0, timedelta(hours=11)) == 7.0
        assert today.read(0.0) == 7.0
        assert today.read(7.0, timedelta(minutes=54, seconds=50)) == 7.0


def test_yesterdays_value_after_the_reset_is_not_shown(today: Watch) -> None:
    """A starting inverter shows it for a while."""
    today.read(0.0, timedelta(hours=12, minutes=5))
    for _ in range(20):
        assert today.read(10.0, timedelta(seconds=10)) == 0.0
    assert today.read(0.1) == 0.1


def test_a_daily_counter_that_resets_twice_is_believed_when_it_persists(
    today: Watch,
) -> None:
    shown = [today.read(0.0, timedelta(minutes=6)) for _ in range(6)]
    assert shown == [10.0] * 5 + [0.0]


def test_days_change_at_local_midnight() -> None:
    """At 23:30 in Amsterdam it is another day than at 00:30, though not in UTC."""
    watch = Watch(TODAY, now=datetime(2026, 6, 1, 23, 30, tzinfo=ZONE))
    watch.read(10.0)
    assert watch.read(0.0, timedelta(hours=1)) == 0.0


@pytest.mark.parametrize("month", [3, 10])
def test_days_on_which_clocks_change_are_days(month: int) -> None:
    day = 29 if month == 3 else 25
    watch = Watch(TODAY, now=datetime(2026, month, day - 1, 20, tzinfo=ZONE))
    watch.read(10.0)
    assert watch.read(0.0, timedelta(hours=4, minutes=5)) == 0.0
    assert watch.read(0.2, timedelta(hours=3)) == 0.2
    assert watch.read(0.0, timedelta(hours=3)) == 0.2


# -- restarts -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("quantity", [TOTAL, TODAY])
def test_the_value_from_before_a_restart_is_shown_until_one_is_read(
    quantity: Quantity,
) -> None:
    watch = Watch(quantity)
    watch.restore(1000.0)
    assert watch.guard.value(POINT) == 1000.0
    assert watch.read(None) == 1000.0
    assert watch.read(0.0) == 1000.0
    assert watch.read(1000.2) == 1000.2


def test_what_was_read_before_the_value_came_back_is_judged_by_it() -> None:
    watch = Watch(TOTAL)
    assert watch.read(0.0) == 0.0
    watch.restore(1000.0, watch.now - timedelta(minutes=5))
    assert watch.guard.value(POINT) == 1000.0
    assert watch.read(1000.3) == 1000.3


def test_what_was_read_before_the_value_came_back_stays_if_it_is_true() -> None:
    watch = Watch(TOTAL)
    assert watch.read(1001.0) == 1001.0
    watch.restore(1000.0, watch.now - timedelta(minutes=5))
    assert watch.guard.value(POINT) == 1001.0


def test_a_lower_value_read_before_the_restore_is_one_sighting() -> None:
    watch = Watch(TOTAL)
    watch.read(3.0)
    watch.restore(1000.0, watch.now - timedelta(days=1))
    shown = [watch.read(3.0, timedelta(minutes=8)) for _ in range(4)]
    assert shown == [1000.0] * 3 + [3.0]


def test_a_daily_counter_falls_freely_if_the_restart_was_over_midnight() -> None:
    watch = Watch(TODAY)
    watch.restore(10.0, NOON - timedelta(days=1))
    assert watch.read(0.2) == 0.2


def test_a_daily_counter_read_before_the_restore_over_midnight_stays() -> None:
    watch = Watch(TODAY)
    assert watch.read(0.2) == 0.2
    watch.restore(10.0, NOON - timedelta(days=1))
    assert watch.guard.value(POINT) == 0.2
    assert watch.read(0.0) == 0.2


def test_a_daily_counter_does_not_fall_freely_if_the_restart_was_today() -> None:
    watch = Watch(TODAY)
    watch.restore(10.0, NOON - timedelta(hours=1))
    assert watch.read(0.0) == 10.0


@pytest.mark.parametrize("value", [nan, inf, -inf, -1.0])
def test_what_is_no_count_cannot_be_restored(value: float) -> None:
    watch = Watch(TOTAL)
    watch.restore(value)
    assert watch.guard.value(POINT) is None
    watch.read(5.0)
    watch.restore(value)
    assert watch.read(None) == 5.0


def test_only_energy_counters_are_counters() -> None:
    assert {quantity for quantity in Quantity if quantity.is_counter} == {TOTAL, TODAY}
