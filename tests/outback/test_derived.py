"""Points that no register holds."""

from collections.abc import Iterator
from itertools import product

import pytest

from custom_components.local_solar.outback.derived import (
    LEGS,
    derive,
    derived_points,
    has,
    needs,
)
from custom_components.local_solar.points import Alarm, Value
from tests.modbus.helpers import FakeClock

from .helpers import GatewayUnit, identified, still, time_of, wanted_of


@pytest.fixture(autouse=True)
def clock() -> Iterator[FakeClock]:
    """The time that the driver sees."""
    clock = FakeClock()
    with time_of(clock):
        yield clock


@pytest.mark.parametrize(
    ("net", "charge", "discharge"),
    [(-0.18, 0, 0.18), (2.5, 2.5, 0), (0.0, 0, 0), (None, None, None)],
)
def test_the_battery_is_charged_or_discharged(
    net: float | None, charge: float | None, discharge: float | None
) -> None:
    values: dict[str, Value | None] = {"battery_power": net}
    derive(values, {})
    assert values["battery_charge_power"] == charge
    assert values["battery_discharge_power"] == discharge


def test_what_was_not_read_says_nothing() -> None:
    values: dict[str, Value | None] = {}
    derive(values, {})
    assert values == {}


@pytest.mark.parametrize(("point", "legs"), LEGS, ids=[point.key for point, _ in LEGS])
@pytest.mark.parametrize(
    ("first", "second", "both"),
    [
        (1.1, 2.2, 3.3),
        (0.0, 0.0, 0.0),
        (None, 2.2, None),
        (1.1, None, None),
        (None, None, None),
    ],
)
def test_legs_are_added_if_both_are_known(
    point: object,
    legs: tuple[str, str],
    first: float | None,
    second: float | None,
    both: float | None,
) -> None:
    key = next(of.key for of, names in LEGS if names == legs)
    values: dict[str, Value | None] = dict(zip(legs, (first, second), strict=True))
    derive(values, {})
    assert values[key] == both


@pytest.mark.parametrize(("point", "legs"), LEGS, ids=[point.key for point, _ in LEGS])
def test_one_leg_alone_is_no_sum(point: object, legs: tuple[str, str]) -> None:
    for leg in legs:
        values: dict[str, Value | None] = {leg: 1.0}
        derive(values, {})
        assert values == {leg: 1.0}


@pytest.mark.parametrize("variant", ["mate3s", "fx", "mate3-311", "split-stack"])
async def test_every_derived_point_has_rows_that_it_needs(variant: str) -> None:
    mate3 = await identified(GatewayUnit(still(variant)))
    for rows in mate3.rows.values():
        for point in derived_points(rows):
            assert has(rows, point.key)
            assert point.key not in rows, "which of both is it?"
            names = list(needs(rows, point.key))
            assert names
            assert set(names) <= set(rows)
        for key in rows:
            assert list(needs(rows, key)) == [key]
        assert not has(rows, "nonsense")
        assert list(needs(rows, "nonsense")) == []


@pytest.mark.parametrize("variant", ["mate3s", "fx", "mate3-311", "split-stack"])
async def test_derived_points_are_read_for_their_own_sake(variant: str) -> None:
    mate3 = await identified(GatewayUnit(still(variant)))
    whole = (await mate3.async_poll(wanted_of(mate3))).snapshot
    for device, rows in mate3.rows.items():
        for point in derived_points(rows):
            mate3.forget()
            poll = await mate3.async_poll({(device, point.key)})
            assert poll.snapshot[device][point.key] == whole[device][point.key]


@pytest.mark.parametrize(
    ("errors", "warnings"), product((0, 0x0008, 0xFFFF), (0, 0x0021, 0xFFFF))
)
async def test_errors_and_warnings_are_alarms(errors: int, warnings: int) -> None:
    gateway = still()
    gateway.set_word(64115, 23, errors, 1)
    gateway.set_word(64115, 24, warnings, 1)
    mate3 = await identified(GatewayUnit(gateway))
    inverter = mate3.system.equipment[0].id
    values = (await mate3.async_poll(wanted_of(mate3))).snapshot[inverter]
    expected = set()
    if errors == 0x0008:
        expected.add(Alarm("fault", 8, 0, "Low battery voltage"))
    if warnings == 0x0021:
        expected |= {
            Alarm("warning", 0x01, 0, "AC input frequency too high"),
            Alarm("warning", 0x20, 0, "Temperature sensor bad"),
        }
    if (errors, warnings) == (0xFFFF, 0xFFFF):
        assert values["alarms"] is values["problem"] is None
    else:
        assert values["alarms"] == expected
        assert values["problem"] is (errors == 0x0008)
