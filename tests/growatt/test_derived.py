"""What no register holds: derived where a family lacks it, and never from half of it."""

from collections.abc import Mapping

from hypothesis import given, strategies as st
import pytest

from custom_components.local_solar.growatt.derived import FORMULAS, Formula, derivations
from custom_components.local_solar.points import Value

numbers = st.floats(0, 100_000).map(lambda number: round(number, 1))


def derived(
    values: Mapping[str, Value | None], *, battery: bool = False
) -> dict[str, Value | None]:
    """Return what follows from the values of a device that has rows for just these keys."""
    result = dict(values)
    for derivation in derivations(values, of_battery=battery):
        derivation.add_to(result)
    return {key: value for key, value in result.items() if key not in values}


@pytest.mark.parametrize(
    ("values", "battery", "expected"),
    [
        (
            {"battery_charge_power": 1500.2, "battery_discharge_power": 0.0},
            True,
            {"battery_power": 1500.2},
        ),
        (
            {"battery_charge_power": 0.0, "battery_discharge_power": 700.5},
            True,
            {"battery_power": -700.5},
        ),
        (
            {"ac_power": 3000.0, "grid_import_power": 0.0, "grid_export_power": 1200.1},
            False,
            {"grid_power": -1200.1, "self_use_power": 1799.9},
        ),
        (
            {"ac_power": 500.0, "vpp_meter_power": 900.0},
            False,
            {"grid_power": 900.0, "load_power": 1400.0, "self_use_power": 500.0},
        ),
        (
            {"ac_power": 500.0, "vpp_meter_power": -200.0},
            False,
            {"grid_power": -200.0, "load_power": 300.0, "self_use_power": 300.0},
        ),
        (
            {"pv1_power": 100.1, "pv2_power": 200.2, "pv3_power": 0.0},
            False,
            {"pv_power": 300.3},
        ),
        ({"ac_output_power": 640.0}, False, {"load_power": 640.0}),
    ],
)
def test_points_follow_from_their_parts(
    values: dict[str, Value | None], battery: bool, expected: dict[str, Value]
) -> None:
    assert derived(values, battery=battery) == expected


def test_a_battery_that_charges_counts_as_positive_and_so_does_import() -> None:
    assert (
        derived(
            {"battery_charge_power": 1.0, "battery_discharge_power": 0.0}, battery=True
        )["battery_power"]
        == 1.0
    )
    assert (
        derived({"grid_import_power": 1.0, "grid_export_power": 0.0})["grid_power"]
        == 1.0
    )


def test_a_point_that_the_family_has_itself_is_not_derived() -> None:
    values = {
        "battery_power": 5.0,
        "battery_charge_power": 1.0,
        "battery_discharge_power": 0.0,
    }
    assert derived(values, battery=True) == {}


def test_self_consumption_is_never_below_zero() -> None:
    assert (
        derived(
            {"ac_power": 100.0, "grid_import_power": 0.0, "grid_export_power": 130.0}
        )["self_use_power"]
        == 0
    )


@pytest.mark.parametrize(
    "formula", FORMULAS, ids=lambda it: f"{it.point.key}: {it.text}"
)
def test_without_one_part_there_is_no_value(formula: Formula) -> None:
    parts = [
        part.format(n=n)
        for part in formula.parts
        for n in ((1, 2) if "{n}" in part else (1,))
    ]
    for missing in parts:
        (derivation,) = (
            it
            for it in derivations(parts, of_battery=formula.of_battery)
            if it.point is formula.point
        )
        values: dict[str, Value | None] = dict.fromkeys(parts, 1.0)
        values[missing] = None
        derivation.add_to(values)
        assert values[formula.point.key] is None
        del values[formula.point.key], values[missing]
        derivation.add_to(values)
        assert formula.point.key not in values


@given(numbers, numbers)
def test_a_signed_power_is_exact_to_a_tenth(gained: float, lost: float) -> None:
    found = derived({"grid_import_power": gained, "grid_export_power": lost})[
        "grid_power"
    ]
    assert found == round(gained - lost, 1)


def test_a_direction_that_turns_negative_does_not_count_twice() -> None:
    """Some SPH show an import as a negative export as well."""
    found = derived({"grid_import_power": 500.0, "grid_export_power": -500.0})
    assert found == {"grid_power": 500.0}
