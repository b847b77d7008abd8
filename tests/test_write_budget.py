"""The budget of writes to flash: spacing, writes per day, restarts, clocks that are wrong."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, tzinfo
import json
from typing import cast, override
from unittest.mock import patch

from hypothesis import example, given, settings, strategies as st
import pytest

from custom_components.local_solar import write_budget
from custom_components.local_solar.write_budget import (
    PER_DAY,
    SPACING,
    BudgetSpentError,
    Ledger,
    WriteBudget,
)

CELLS = "SNL0CE1234/3048"
OTHER = "SNL0CE1234/3049"
DAY = timedelta(days=1)


@dataclass
class Bench:
    """A budget, the clock it looks at, and what it has saved."""

    now: datetime = datetime(2026, 3, 1, 12, tzinfo=UTC)
    saved: str = "{}"
    spent: list[datetime] = field(default_factory=list)
    """Times of the writes, as this clock has them."""
    budget: WriteBudget = field(init=False)

    def __post_init__(self) -> None:
        """Start with nothing written."""
        self.restart()

    async def save(self, ledger: Ledger) -> None:
        self.saved = json.dumps(ledger)

    def restart(self) -> None:
        """Go on with what was saved."""
        self.budget = WriteBudget(json.loads(self.saved), self.save)

    def passes(self, delay: timedelta) -> None:
        """Let time pass; less than none sets the clock back."""
        self.now += delay

    def refusal(self, cells: str = CELLS) -> BudgetSpentError | None:
        """Return why a register must not be written now."""
        try:
            self.budget.check(cells)
        except BudgetSpentError as err:
            return err
        return None

    def write(self, cells: str = CELLS) -> bool:
        """Write if that is allowed; return whether it was."""
        if self.refusal(cells) is not None:
            return False
        _run(self.budget.async_spend(cells))
        if cells == CELLS:
            self.spent.append(self.now)
        return True

    def fill(self, count: int = PER_DAY) -> None:
        """Write as often and as fast as allowed."""
        for _ in range(count):
            assert self.write()
            self.passes(SPACING)


def _run(spending: object) -> None:
    """Run a coroutine that waits for nothing."""
    with pytest.raises(StopIteration):
        spending.send(None)  # type: ignore[attr-defined]


@contextmanager
def running() -> Iterator[Bench]:
    """Give a budget the clock of a bench."""

    class Clock(datetime):
        @classmethod
        @override
        def now(cls, tz: tzinfo | None = None) -> datetime:  # type: ignore[override]
            assert tz is UTC
            return bench.now

    with patch.object(write_budget, "datetime", Clock):
        bench = Bench()
        yield bench


@pytest.fixture(name="bench")
def make_bench() -> Iterator[Bench]:
    """A budget with nothing spent."""
    with running() as bench:
        yield bench


# -- limits ---------------------------------------------------------------------------


def test_the_flash_lasts_for_years() -> None:
    writes_a_year = 365 * PER_DAY
    assert 100_000 / writes_a_year > 5


def test_first_write_is_allowed(bench: Bench) -> None:
    assert bench.refusal() is None


def test_two_writes_of_a_register_are_apart(bench: Bench) -> None:
    assert bench.write()
    bench.passes(SPACING - timedelta(microseconds=1))
    err = bench.refusal()
    assert err is not None
    assert err.limit == "written less than 10 s ago"
    assert err.until == bench.spent[0] + SPACING
    bench.now = err.until
    assert bench.write()


@pytest.mark.parametrize("seconds", [5, 10, 60, 3600])
def test_register_that_needs_more_time_between_writes_gets_it(
    bench: Bench, seconds: int
) -> None:
    spacing = timedelta(seconds=seconds)
    assert bench.write()
    bench.passes(spacing - timedelta(seconds=1))
    for _ in range(2):
        with pytest.raises(BudgetSpentError) as caught:
            bench.budget.check(CELLS, spacing)
        assert f"{seconds} s" in caught.value.limit
        assert caught.value.until == bench.spent[0] + spacing
        bench.restart()
    bench.budget.check(OTHER, spacing)
    bench.passes(timedelta(seconds=1))
    bench.budget.check(CELLS, spacing)


def test_a_day_has_no_more_writes_than_the_flash_bears(bench: Bench) -> None:
    bench.fill()
    err = bench.refusal()
    assert err is not None
    assert err.limit == f"written {PER_DAY} times in 24 hours"
    assert err.until == bench.spent[0] + DAY
    assert f"{err.until:%Y-%m-%d %H:%M:%S} UTC" in str(err)
    bench.now = err.until
    assert bench.write()
    bench.passes(SPACING / 2)
    # The next one makes room when the second write is a day old.
    bench.now = bench.spent[1] + DAY
    assert bench.write()


def test_registers_have_budgets_of_their_own(bench: Bench) -> None:
    bench.fill()
    assert bench.refusal() is not None
    assert bench.write(OTHER)
    bench.restart()
    assert bench.refusal() is not None
    assert bench.refusal(OTHER) is not None
    bench.passes(SPACING)
    assert bench.refusal(OTHER) is None


def test_asking_costs_nothing(bench: Bench) -> None:
    for _ in range(2 * PER_DAY):
        assert bench.refusal() is None
    assert json.loads(bench.saved) == {}


def test_what_is_saved_does_not_grow_for_ever(bench: Bench) -> None:
    for _ in range(5):
        bench.fill()
        bench.passes(DAY)
    bench.write(OTHER)
    saved = json.loads(bench.saved)
    assert sum(map(len, saved.values())) <= PER_DAY + 1
    assert len(saved[OTHER]) == 1


delays = st.one_of(
    st.integers(0, 25),
    st.integers(0, 3600),
    st.sampled_from([10, 24 * 3600 - 500, 24 * 3600]),
).map(lambda seconds: timedelta(seconds=seconds))

steps = st.lists(
    st.tuples(
        delays,
        st.integers(1, 60).map(lambda count: count if count > 40 else 1),
        st.booleans(),
    ),
    max_size=12,
)
"""Wait, try to write so many times as fast as allowed, then restart or not."""


@settings(max_examples=300)
@given(steps)
def test_whatever_is_tried_the_limits_hold_and_no_more_than_they(
    steps: list[tuple[timedelta, int, bool]],
) -> None:
    with running() as bench:
        for delay, tries, restarts in steps:
            bench.passes(delay)
            if restarts:
                bench.restart()
            for _ in range(tries):
                recent = [at for at in bench.spent if at > bench.now - DAY]
                too_soon = bool(recent) and bench.now - recent[-1] < SPACING
                err = bench.refusal()
                assert (err is not None) is (too_soon or len(recent) >= PER_DAY)
                if err is not None:
                    assert err.until > bench.now
                else:
                    assert bench.write()
                bench.passes(SPACING)


@settings(max_examples=100)
@given(steps)
def test_a_refusal_tells_when_it_is_over(
    steps: list[tuple[timedelta, int, bool]],
) -> None:
    with running() as bench:
        for delay, tries, _ in steps:
            bench.passes(delay)
            for _ in range(tries):
                bench.write()
                bench.passes(SPACING / 2)
        for _ in range(2):  # the spacing may be over before the day is
            if (err := bench.refusal()) is not None:
                bench.now = err.until - timedelta(microseconds=1)
                assert bench.refusal() is not None
                bench.now = err.until
        assert bench.refusal() is None


# -- clocks that are wrong -------------------------------------------------------------


@given(st.integers(1, 400 * 24 * 3600))
@example(1)
@example(24 * 3600)
def test_a_clock_that_is_set_back_gives_no_more_writes(back: int) -> None:
    with running() as bench:
        bench.fill()
        bench.passes(-timedelta(seconds=back))
        written = 0
        for _ in range(PER_DAY):
            bench.passes(SPACING)
            written += bench.write()
        assert written == 0


@pytest.mark.parametrize("restarts", [False, True])
@pytest.mark.parametrize(
    "back", [timedelta(hours=1), timedelta(days=2), timedelta(days=365)], ids=str
)
def test_a_clock_that_was_far_ahead_does_not_lock_a_register_for_as_long(
    bench: Bench, back: timedelta, restarts: bool
) -> None:
    bench.fill(3)
    bench.passes(-back)
    if restarts:
        bench.restart()
    err = bench.refusal()
    assert err is not None
    assert err.until == bench.now + SPACING
    bench.now = err.until
    assert bench.write()


def test_a_full_budget_of_a_clock_that_was_ahead_is_over_a_day_later(
    bench: Bench,
) -> None:
    bench.fill()
    bench.passes(timedelta(days=-365))
    assert bench.refusal() is not None
    bench.passes(SPACING)
    err = bench.refusal()
    assert err is not None
    assert err.until == bench.now - SPACING + DAY
    bench.now = err.until
    assert bench.write()


# -- what was saved --------------------------------------------------------------------


def test_a_write_is_saved_before_it_is_sent(bench: Bench) -> None:
    assert bench.write()
    assert json.loads(bench.saved) == {CELLS: [bench.now.isoformat()]}


type Json = Mapping[str, Json] | list[Json] | str | int | float | bool | None

junk = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=5,
)
times = st.datetimes(timezones=st.none() | st.just(UTC) | st.timezones()).map(
    datetime.isoformat
)


@given(
    st.dictionaries(
        st.sampled_from([CELLS, OTHER, ""]), st.lists(times | junk, max_size=5) | junk
    )
)
def test_what_cannot_be_read_is_left_out(stored: Mapping[str, Json]) -> None:
    with running() as bench:
        budget = WriteBudget(cast(Ledger, stored), bench.save)
        bench.budget = budget
        if bench.refusal() is not None:
            bench.passes(SPACING)
        assert bench.write()
        assert bench.now.isoformat() in json.loads(bench.saved)[CELLS]


def test_what_can_be_read_counts_beside_what_cannot(bench: Bench) -> None:
    known = bench.now - timedelta(hours=1)
    stored = [
        "yesterday",
        known.replace(tzinfo=None).isoformat(),  # of which zone?
        *(
            (known + index * timedelta(seconds=20)).isoformat()
            for index in range(PER_DAY)
        ),
    ]
    bench.saved = json.dumps({CELLS: stored})
    bench.restart()
    err = bench.refusal()
    assert err is not None
    assert err.until == known + DAY
