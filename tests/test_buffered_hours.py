"""Summing up what was reported of earlier hours."""

from datetime import UTC, datetime, timedelta
from itertools import accumulate

from hypothesis import given, strategies as st
import pytest

from custom_components.local_solar.buffered_hours import Hour, in_order

NOON = datetime(2026, 4, 18, 12, tzinfo=UTC)

type Record = tuple[int, float, float]
"""Second, power, lifetime counter."""


def hour_of(*records: Record) -> Hour:
    hour = Hour()
    for second, power, counter in records:
        hour.add(second, {"power": power}, {"counter": counter})
    return hour


def hours_of(*counters: tuple[float, float]) -> dict[datetime, Hour]:
    """Return hours in a row, each with a first and a last reading of a counter."""
    return {
        NOON + timedelta(hours=n): hour_of((0, 1.0, first), (3599, 1.0, last))
        for n, (first, last) in enumerate(counters)
    }


def believed(*counters: tuple[float, float]) -> list[int]:
    """Return the numbers of the hours that are believed."""
    return sorted(
        (start - NOON).seconds // 3600 for start in in_order(hours_of(*counters))
    )


@st.composite
def records(draw: st.DrawFn) -> list[Record]:
    """Records of an hour in which a counter grew, in order of time."""
    seconds = sorted(draw(st.sets(st.integers(0, 3599), min_size=1, max_size=20)))
    steps = draw(
        st.lists(st.integers(0, 5), min_size=len(seconds), max_size=len(seconds))
    )
    powers = draw(
        st.lists(st.integers(-9000, 9000), min_size=len(seconds), max_size=len(seconds))
    )
    return [
        (second, float(power), counter / 10)
        for second, power, counter in zip(
            seconds, powers, accumulate(steps), strict=True
        )
    ]


@given(records(), st.randoms(use_true_random=False), st.integers(1, 3))
def test_neither_order_nor_repetition_matters(
    taken: list[Record], random: object, times: int
) -> None:
    shuffled = taken * times
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    expected = hour_of(*taken)
    hour = hour_of(*shuffled)
    assert hour.is_consistent
    assert hour.records == expected.records == len(taken)
    assert hour.counts == expected.counts
    assert hour.counts["counter"].last == (taken[-1][0], taken[-1][2])
    level = hour.levels["power"]
    assert level.mean == pytest.approx(sum(power for _, power, _ in taken) / len(taken))
    assert level.low <= level.mean <= level.high


def test_a_repeated_record_is_told() -> None:
    hour = Hour()
    assert hour.add(5, {"power": 1.0}, {})
    assert not hour.add(5, {"power": 9.0}, {})
    assert hour.levels["power"].high == 1.0


def test_a_counter_that_falls_contradicts_itself() -> None:
    assert not hour_of((0, 1.0, 5.0), (300, 1.0, 4.0)).is_consistent
    assert hour_of((300, 1.0, 5.0), (0, 1.0, 5.0)).is_consistent


def test_another_counter_at_the_same_second_is_a_contradiction() -> None:
    """A clock that stands still, or the hour that comes twice."""
    assert not hour_of((0, 1.0, 5.0), (0, 1.0, 7.0)).is_consistent
    assert hour_of((0, 1.0, 5.0), (0, 1.0, 5.0)).is_consistent


@pytest.mark.parametrize(
    ("counters", "expected"),
    [
        ([(1, 2), (2, 3), (3, 3), (3, 4)], [0, 1, 2, 3]),
        ([(1, 2), (9, 9), (2, 3), (3, 4)], [0, 3]),
        ([(1, 2), (2, 3), (0, 0), (3, 4)], [0, 3]),
        ([(1, 2), (5, 3), (2, 3)], [0, 2]),
        ([(4, 4), (3, 3), (2, 2)], [2]),
        ([], []),
    ],
)
def test_of_two_hours_that_disagree_neither_is_believed(
    counters: list[tuple[float, float]], expected: list[int]
) -> None:
    assert believed(*counters) == expected


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), max_size=12))
def test_believed_hours_never_fall(steps: list[tuple[int, int]]) -> None:
    hours = hours_of(*((first, first + more) for first, more in steps))
    kept = [hours[start].counts["counter"] for start in sorted(in_order(hours))]
    readings = [value for count in kept for value in (count.low, count.high)]
    assert readings == sorted(readings)
