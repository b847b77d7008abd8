"""What can be true of values."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from hypothesis import given, strategies as st
import pytest

from custom_components.local_solar.growatt.plausibility import (
    UNKNOWN_POWER,
    impossible as impossible_values,
    limits_of,
)
from custom_components.local_solar.points import (
    Point,
    Quantity,
    Setting,
    Value,
    Visibility,
)


def point(key: str, quantity: Quantity, unit: str | None) -> Point:
    """Return a point that is shown."""
    return Point(
        key=key, name="Point", quantity=quantity, unit=unit, visibility=Visibility.SHOWN
    )


POINTS: Final = (
    point("voltage", Quantity.VOLTAGE, "V"),
    point("current", Quantity.CURRENT, "A"),
    point("frequency", Quantity.FREQUENCY, "Hz"),
    point("temperature", Quantity.TEMPERATURE, "°C"),
    point("soc", Quantity.STATE_OF_CHARGE, "%"),
    point("power", Quantity.POWER, "W"),
    point("apparent", Quantity.APPARENT_POWER, "VA"),
    point("reactive", Quantity.REACTIVE_POWER, "var"),
    point("today", Quantity.ENERGY_TODAY, "kWh"),
    point("state", Quantity.STATE, None),
)
KEYS: Final = [each.key for each in POINTS]

TRUE: Final[dict[str, Value | None]] = {
    "voltage": 230.1,
    "current": -12.5,
    "frequency": 50.0,
    "temperature": -5.5,
    "soc": 100,
    "power": -4000.0,
    "apparent": 6000,
    "reactive": -500.0,
    "today": 43.2,
    "state": "normal",
}


def impossible(
    values: Mapping[str, Value | None], rated: float | None = 6000.0
) -> set[str]:
    """Return what of some values cannot be."""
    return set(impossible_values(values, limits_of(POINTS, rated)))


def test_what_an_inverter_shows_can_be() -> None:
    assert not impossible(TRUE)
    assert not impossible({**TRUE, "power": None, "voltage": None})
    assert not impossible({"power": 0.0})
    assert not impossible({})


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("voltage", 6553.5),
        ("voltage", -0.1),
        ("current", 6000.0),
        ("current", -1501.0),
        ("frequency", 655.35),
        ("temperature", 201.0),
        ("temperature", -61.0),
        ("soc", 101),
        ("soc", -1),
        ("power", 393_216_000.0),
        ("power", -393_216_000.0),
        ("apparent", 1e7),
        ("reactive", -1e7),
        ("today", 347_346.2),
        ("today", -0.1),
    ],
)
def test_what_no_inverter_shows_is_named_with_what_it_claims(
    key: str, value: float
) -> None:
    limits = limits_of(POINTS, None)
    for others in (TRUE, {**TRUE, "state": None, "power": TRUE["power"]}):
        found = impossible_values({**others, key: value}, limits)
        assert found == {key: f"{value:g} cannot be"}
    # With a value that is not available, or not there, it shows as well.
    assert impossible(
        {"reactive" if key != "reactive" else "soc": None, key: value}
    ) == {key}


def test_a_small_inverter_may_tell_its_rated_power_ten_times_too_low() -> None:
    """A recorded SPH of ten kilowatts tells 1000 VA."""
    assert not impossible({"power": 15_000.0, "today": 120.0}, rated=1000.0)


def test_a_large_inverter_may_show_more_than_a_small_one() -> None:
    large = {"power": 3 * UNKNOWN_POWER}
    assert impossible(large)
    assert not impossible(large, rated=UNKNOWN_POWER)
    assert not impossible(large, rated=None)


@pytest.mark.parametrize(
    "changed",
    [
        replace(POINTS[1], unit="mA"),
        replace(POINTS[1], visibility=Visibility.RAW),
        replace(POINTS[1], setting=Setting(minimum=0, maximum=9000)),
        replace(POINTS[1], quantity=Quantity.CODE),
    ],
)
def test_nothing_is_said_of_what_is_not_measured_in_known_units(changed: Point) -> None:
    assert changed.key not in limits_of([changed], None)


numbers = st.none() | st.integers(-(1 << 31), 1 << 32) | st.floats(-1e9, 1e9)


@given(st.dictionaries(st.sampled_from(KEYS), numbers))
def test_each_value_is_judged_by_its_own_limits(
    values: dict[str, Value | None],
) -> None:
    limits = limits_of(POINTS, 6000.0)
    assert set(impossible_values(values, limits)) == {
        key
        for key in limits
        if isinstance(value := values.get(key), int | float)
        and not limits[key][0] <= value <= limits[key][1]
    }
