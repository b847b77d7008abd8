"""A simulated inverter with the VPP protocol: who may write what, and what the battery does."""

from datetime import datetime
from typing import Final

import pytest

from simulators.clock import SimulatedClock
from simulators.datasets import Table, as_dataset
from simulators.growatt import GrowattUnit
from simulators.requests import (
    ILLEGAL_FUNCTION,
    ILLEGAL_VALUE,
    NoAnswerError,
    RefusedError,
)
from tests.common import TL_XH, load_dataset
from tests.simulated import VPP

AUTHORITY: Final = 30100
REMOTE: Final = 30407
LATE: Final = datetime(2026, 6, 21, 23, 0)

MINUTE: Final = 60.0


def make_unit(*, speaks_vpp: bool = True) -> GrowattUnit:
    """Return a MIN 6000TL-XH."""
    registers = load_dataset(TL_XH)
    holding = {str(address): word for address, word in registers["holding"].items()}
    if speaks_vpp:
        holding |= {str(address): word for address, word in VPP.items()}
    inputs = {str(address): word for address, word in registers["input"].items()}
    inputs |= dict.fromkeys(map(str, range(31000, 31300)), 0)
    return GrowattUnit(as_dataset({"holding": holding, "input": inputs}, 1))


@pytest.fixture
def unit() -> GrowattUnit:
    return make_unit()


@pytest.fixture
def clock() -> SimulatedClock:
    return SimulatedClock(LATE, speed=0)


@pytest.fixture
def live(unit: GrowattUnit, clock: SimulatedClock) -> GrowattUnit:
    """The unit at night, with sun, house and battery."""
    unit.live(clock)
    return unit


def code_of(unit: GrowattUnit, address: int, *words: int) -> int:
    """Return the exception that a write is answered with."""
    with pytest.raises(RefusedError) as refusal:
        unit.write(address, words)
    return refusal.value.code


def charge_power(unit: GrowattUnit) -> float:
    """Return what charges the battery, in watts: what discharges it is less than 0."""
    high, low = unit.read(Table.INPUT, 31200, 2)
    raw = high << 16 | low
    return ((raw ^ 1 << 31) - (1 << 31)) / 10


def meter(unit: GrowattUnit) -> int:
    """Return the energy of today's output, in 0.1 kWh."""
    return unit.read(Table.INPUT, 3050, 1)[0]


@pytest.mark.parametrize("address", [AUTHORITY, REMOTE, 30154])
def test_unit_without_the_protocol_takes_nothing(address: int) -> None:
    unit = make_unit(speaks_vpp=False)
    assert code_of(unit, address, 1) == ILLEGAL_FUNCTION


@pytest.mark.parametrize("address", [REMOTE, 30154, 30412])
def test_nothing_is_taken_without_control(unit: GrowattUnit, address: int) -> None:
    assert code_of(unit, address, 1) == ILLEGAL_FUNCTION
    unit.write(AUTHORITY, [1])
    unit.write(address, [1])
    assert unit.read(Table.HOLDING, address, 1) == [1]


@pytest.mark.parametrize(
    ("address", "word"),
    [(AUTHORITY, 2), (REMOTE, 2), (REMOTE + 1, 1441), (REMOTE + 2, 101)],
)
def test_values_beyond_the_limits_are_refused(
    unit: GrowattUnit, address: int, word: int
) -> None:
    unit.write(AUTHORITY, [1])
    assert code_of(unit, address, word) == ILLEGAL_VALUE


def test_off_grid_unit_resets_all_the_same() -> None:
    registers = load_dataset(TL_XH)
    holding = {str(address): word for address, word in registers["holding"].items()}
    unit = GrowattUnit(as_dataset({"holding": {**holding, "43": 3400}}, 1))
    with pytest.raises(NoAnswerError):
        unit.write(AUTHORITY, [1])
    assert unit.resets == 1


@pytest.mark.parametrize("power", [40, -40, 0])
def test_battery_does_what_it_is_told_until_the_time_is_over(
    live: GrowattUnit, clock: SimulatedClock, power: int
) -> None:
    live.write(AUTHORITY, [1])
    own = charge_power(live)
    assert own < 0
    words = [1, 30, power & 0xFFFF]
    live.write(REMOTE, words)
    assert charge_power(live) == pytest.approx(6000 * power / 100)
    clock.advance(29 * MINUTE)
    assert charge_power(live) == pytest.approx(6000 * power / 100)
    clock.advance(2 * MINUTE)
    assert -1000 < charge_power(live) < 0
    assert live.read(Table.HOLDING, REMOTE, 3) == words
    assert live.read(Table.HOLDING, AUTHORITY, 1) == [1]


def test_command_ends_when_it_is_switched_off(
    live: GrowattUnit, clock: SimulatedClock
) -> None:
    live.write(AUTHORITY, [1])
    live.write(REMOTE, [1, 30, 40])
    live.write(REMOTE, [0])
    assert charge_power(live) < 0


def test_command_without_end_goes_on(live: GrowattUnit, clock: SimulatedClock) -> None:
    live.write(AUTHORITY, [1])
    live.write(REMOTE, [1, 0, 20])
    clock.advance(60 * MINUTE)
    assert charge_power(live) == pytest.approx(1200)


def test_charging_from_the_grid_takes_nothing_from_the_output_s_counter(
    live: GrowattUnit, clock: SimulatedClock
) -> None:
    before = meter(live)
    live.write(AUTHORITY, [1])
    live.write(REMOTE, [1, 30, 40])
    clock.advance(30 * MINUTE)
    assert meter(live) >= before


def test_a_long_time_counts_the_command_for_its_minutes_only(
    live: GrowattUnit, clock: SimulatedClock
) -> None:
    assert live.mutation is not None
    plant = live.mutation.plant
    before = plant.today.get("battery_charge", 0.0)
    live.write(AUTHORITY, [1])
    live.write(REMOTE, [1, 15, 40])
    clock.advance(50 * MINUTE)
    live.update()
    assert plant.today["battery_charge"] - before == pytest.approx(600, rel=0.01)
