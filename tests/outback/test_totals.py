"""Sums over devices: there while they mean something, and no dip but that of a new day."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from hypothesis import given, settings, strategies as st
import pytest

from custom_components.local_solar.outback.block import Family
from custom_components.local_solar.outback.totals import (
    HELD_FOR,
    TOTALS,
    Total,
    TotalGuard,
)
from custom_components.local_solar.points import Quantity
from tests.modbus.helpers import FakeClock

from .helpers import GatewayUnit, identified, still, time_of, wanted_of

POLL: Final = 10.0


def total_of(key: str) -> Total:
    """Return the sum of a key."""
    (found,) = (total for total in TOTALS if total.point.key == key)
    return found


TODAY: Final = total_of("pv_energy_today")
POWER: Final = total_of("pv_power")


@pytest.fixture
def clock() -> Iterator[FakeClock]:
    """The time that the guard sees."""
    clock = FakeClock()
    with time_of(clock):
        yield clock


def feed(
    guard: TotalGuard,
    clock: FakeClock,
    *polls: Mapping[str, float | None],
    total: Total = TODAY,
    every: float = POLL,
) -> list[float | None]:
    """Return the sums of some polls."""
    sums = []
    for values in polls:
        sums.append(guard.add_up(total, values))
        clock.now += every
    return sums


# -- fresh members ------------------------------------------------------------------------------


@given(
    st.dictionaries(
        st.sampled_from("abcde"),
        st.one_of(st.none(), st.integers(0, 60000).map(lambda tenths: tenths / 10)),
        max_size=5,
    )
)
def test_a_power_is_the_sum_of_all_members_or_nothing(
    values: dict[str, float | None],
) -> None:
    added = TotalGuard().add_up(POWER, values)
    if not values or None in values.values():
        assert added is None
    else:
        assert added == pytest.approx(sum(v for v in values.values() if v is not None))


def test_a_power_may_fall(clock: FakeClock) -> None:
    polls = ({"a": 900.0, "b": 800.0}, {"a": 10.0, "b": 800.0}, {"a": 0.0, "b": 0.0})
    assert feed(TotalGuard(), clock, *polls, total=POWER) == [1700, 810, 0]


def test_a_member_that_is_missing_leaves_no_sum(clock: FakeClock) -> None:
    sums = feed(
        TotalGuard(),
        clock,
        {"a": 5.0, "b": 3.0},
        {"a": 5.1, "b": None},
        {"a": 5.2, "b": 3.1},
    )
    assert sums == [8.0, None, 8.3]


def test_sums_have_no_more_digits_than_their_members(clock: FakeClock) -> None:
    assert feed(TotalGuard(), clock, {"a": 0.1, "b": 0.2}) == [0.3]


# -- a new day ----------------------------------------------------------------------------------


def test_there_is_no_sum_until_all_have_started_anew(clock: FakeClock) -> None:
    sums = feed(
        TotalGuard(),
        clock,
        {"a": 5.0, "b": 3.0, "c": 1.0},
        {"a": 0.0, "b": 3.0, "c": 1.0},
        {"a": 0.0, "b": 3.0, "c": 0.0},
        {"a": 0.1, "b": 3.0, "c": 0.0},
        {"a": 0.1, "b": 0.0, "c": 0.0},
        {"a": 0.2, "b": 0.1, "c": 0.0},
    )
    assert sums == [9.0, None, None, None, 0.1, 0.3]


def test_all_may_start_anew_at_once(clock: FakeClock) -> None:
    sums = feed(TotalGuard(), clock, {"a": 5.0, "b": 3.0}, {"a": 0.0, "b": 0.0})
    assert sums == [8.0, 0.0]


def test_what_stands_at_zero_is_not_waited_for(clock: FakeClock) -> None:
    sums = feed(
        TotalGuard(),
        clock,
        {"a": 5.0, "b": 0.0},
        {"a": 0.0, "b": 0.0},
        {"a": 0.1, "b": 0.0},
    )
    assert sums == [5.0, 0.0, 0.1]


def test_a_day_may_begin_while_nobody_looks(clock: FakeClock) -> None:
    sums = feed(
        TotalGuard(),
        clock,
        {"a": 5.0, "b": 3.0},
        {"a": None, "b": 3.0},
        {"a": None, "b": 0.0},
        {"a": 0.2, "b": 0.1},
    )
    assert sums == [8.0, None, None, 0.3]


def test_a_counter_that_was_misread_once_has_not_started_anew(clock: FakeClock) -> None:
    sums = feed(
        TotalGuard(),
        clock,
        {"a": 5.0, "b": 3.0},
        {"a": 0.0, "b": 3.0},
        {"a": 5.0, "b": 3.0},
        {"a": 5.1, "b": 3.1},
    )
    assert sums == [8.0, None, 8.0, 8.2]


def test_one_counter_that_fell_alone_is_believed_in_the_end(clock: FakeClock) -> None:
    guard = TotalGuard()
    polls = [{"a": 5.0, "b": 3.0}, *([{"a": 0.0, "b": 3.0}] * 400)]
    sums = feed(guard, clock, *polls)
    held = [value for value in sums[1:] if value is None]
    assert len(held) * POLL == HELD_FOR
    assert sums[1 + len(held) :] == [3.0] * (400 - len(held))


def test_sums_do_not_wait_for_each_other(clock: FakeClock) -> None:
    guard = TotalGuard()
    other = total_of("grid_import_energy_today")
    feed(guard, clock, {"a": 5.0, "b": 3.0})
    feed(guard, clock, {"x": 5.0, "y": 3.0}, total=other)
    assert feed(guard, clock, {"a": 0.0, "b": 3.0}) == [None]
    assert feed(guard, clock, {"x": 5.1, "y": 3.0}, total=other) == [8.1]


@dataclass(slots=True)
class Diary:
    """What members count, and in which day each of them is."""

    polls: list[dict[str, float | None]] = field(default_factory=list)
    days: list[dict[str, int]] = field(default_factory=list)


@st.composite
def diaries(draw: st.DrawFn) -> Diary:
    """Draw what members count over a few days, each with a midnight of its own.

    Those midnights lie apart by less than what a counter is waited for, and each of them
    is seen before the counter is where it was.
    """
    members = draw(st.lists(st.sampled_from("abcd"), min_size=1, unique=True))
    counts = {member: draw(st.integers(0, 50)) for member in members}
    days = dict.fromkeys(members, 0)
    diary = Diary()

    def poll(*, whole: bool = False) -> None:
        for member in members:
            counts[member] += draw(st.integers(0, 1))
        gap = len(members) if whole else draw(st.integers(0, 9))
        diary.days.append(dict(days))
        diary.polls.append(
            {
                member: None if place == gap else counts[member] / 10
                for place, member in enumerate(members)
            }
        )

    for _ in range(draw(st.integers(1, 3))):
        for member in members:
            # So much that it shows that it starts anew.
            counts[member] += 200
        poll(whole=True)
        for _ in range(draw(st.integers(0, 5))):
            poll()
        for member in draw(st.permutations(members)):
            counts[member] = 0
            days[member] += 1
            poll(whole=True)
            for _ in range(draw(st.integers(0, 4))):
                poll()
    return diary


@settings(max_examples=200)
@given(diaries())
def test_a_sum_never_mixes_two_days(diary: Diary) -> None:
    clock = FakeClock()
    with time_of(clock):
        sums = feed(TotalGuard(), clock, *diary.polls)
    there = 0
    for values, days, added in zip(diary.polls, diary.days, sums, strict=True):
        if added is None:
            continue
        there += 1
        present = [value for value in values.values() if value is not None]
        assert len(present) == len(values)
        assert added == pytest.approx(sum(present))
        assert len(set(days.values())) == 1
    # At least the first poll of each day, and the first one after all have started anew.
    assert there >= 2 * max(diary.days[-1].values())


amounts = st.one_of(st.none(), st.integers(0, 3).map(float))


@settings(max_examples=200)
@given(st.lists(st.fixed_dictionaries({"a": amounts, "b": amounts}), max_size=30))
def test_no_sum_is_held_for_longer_than_that(
    polls: list[dict[str, float | None]],
) -> None:
    """Whatever counters do, a sum is back after that time without another fall."""
    clock = FakeClock()
    with time_of(clock):
        guard = TotalGuard()
        feed(guard, clock, *polls)
        full = {"a": 9.0, "b": 9.0}
        feed(guard, clock, full)
        clock.now += HELD_FOR
        assert feed(guard, clock, full) == [18.0]


# -- in a system --------------------------------------------------------------------------------


def test_sums_are_points_of_their_own() -> None:
    keys = [total.point.key for total in TOTALS]
    assert len(set(keys)) == len(keys)
    for total in TOTALS:
        assert total.family in (Family.CHARGE_CONTROLLER, Family.INVERTER)
        is_counter = total.point.quantity in (
            *(Quantity.ENERGY_TODAY, Quantity.ENERGY_TOTAL),
        )
        assert total.point.quantity.is_counter is is_counter
        assert total.point.unit == ("kWh" if is_counter else total.point.unit)


@pytest.mark.parametrize("variant", ["mate3s", "fx", "split-stack", "mate3-311"])
async def test_a_gateway_has_the_sums_of_its_devices(
    variant: str, clock: FakeClock
) -> None:
    mate3 = await identified(GatewayUnit(still(variant)))
    snapshot = (await mate3.async_poll(wanted_of(mate3))).snapshot
    gateway = mate3.devices[0]
    points = {point.key: point for point in gateway.points}
    found = 0
    for total in TOTALS:
        values = [
            snapshot[item.id].get(total.of)
            for item in mate3.system.equipment
            if item.family is total.family and total.of in snapshot[item.id]
        ]
        numbers = [value for value in values if isinstance(value, int | float)]
        if not values:
            assert total.point.key not in points
            continue
        assert len(numbers) == len(values)
        assert snapshot[mate3.system.id][total.point.key] == pytest.approx(sum(numbers))
        found += 1
    assert found >= 3


async def test_units_of_members_are_that_of_the_sum() -> None:
    for variant in ("mate3s", "fx", "mate3-311"):
        mate3 = await identified(GatewayUnit(still(variant)))
        for total in TOTALS:
            for device in mate3.devices[1:]:
                for point in device.points:
                    family = device.identity.kind.removesuffix("_on_port")
                    if point.key == total.of and family == total.family:
                        assert point.unit == total.point.unit


async def test_a_sum_is_read_for_its_own_sake(clock: FakeClock) -> None:
    mate3 = await identified(GatewayUnit(still()))
    wanted = frozenset({(mate3.system.id, "pv_power")})
    poll = await mate3.async_poll(wanted)
    assert poll.snapshot[mate3.system.id] == {"pv_power": 3000}


async def test_a_sum_that_nobody_wants_is_not_made(clock: FakeClock) -> None:
    mate3 = await identified(GatewayUnit(still()))
    devices = {
        (item.id, "pv_power")
        for item in mate3.system.equipment
        if item.family is Family.CHARGE_CONTROLLER
    }
    poll = await mate3.async_poll(devices)
    assert "pv_power" not in poll.snapshot.get(mate3.system.id, {})


async def test_a_device_that_starts_its_day_alone_leaves_no_sum(
    clock: FakeClock,
) -> None:
    gateway = still()
    mate3 = await identified(GatewayUnit(gateway))
    wanted = frozenset({(mate3.system.id, "pv_energy_today")})

    async def added() -> object:
        clock.now += POLL
        snapshot = (await mate3.async_poll(wanted)).snapshot
        return snapshot.get(mate3.system.id, {}).get("pv_energy_today")

    before = await added()
    assert isinstance(before, float)
    assert before > 0
    gateway.reset_day(3)
    assert await added() is None
    gateway.reset_day(4)
    assert await added() == 0
