"""Points of hybrid inverters: named as everywhere, and only of what is sure."""

from collections.abc import Iterator, Mapping
from dataclasses import fields as fields_of, is_dataclass
from typing import Any, Final

from hypothesis import given, strategies as st
import pytest

from custom_components.local_solar.growatt.profiles.catalogue import PROFILES
from custom_components.local_solar.hoymiles import points as dtu_points
from custom_components.local_solar.hoymiles.points import Row
from custom_components.local_solar.hoymiles.storage_points import (
    BATTERY,
    BATTERY_FLOW,
    CONSUMPTION,
    FLOW,
    GRID,
    INVERTER,
    OUTPUT,
    PRODUCTION,
    PV,
    battery_rows,
    battery_values,
    eps_rows,
    grid_rows,
    input_rows,
    inverter_rows,
    inverter_values,
    load_rows,
)
from custom_components.local_solar.hoymiles.storage_records import (
    Battery,
    Consumption,
    Flow,
    Grid,
    GridPhase,
    InverterData,
    InverterParameters,
    InverterPhase,
    LoadPhase,
    Production,
    StorageData,
    StoragePanel,
)
from custom_components.local_solar.points import Point, Quantity, Visibility

from .test_storage_records import AFTERNOON, data_of, flows

SINGLE_PHASE: Final = (*inverter_rows((1, 2), (1,)), *battery_rows())
LARGEST: Final = (*inverter_rows(tuple(range(1, 9)), (1, 2, 3)), *battery_rows())

PLACES: Final = (
    (PV, StorageData),
    (tuple(input_rows(1)), StoragePanel),
    (FLOW, Flow),
    (BATTERY_FLOW, Flow),
    (CONSUMPTION, Consumption),
    (PRODUCTION, Production),
    (GRID, Grid),
    (grid_rows(1, alone=False), GridPhase),
    (load_rows(1), LoadPhase),
    (eps_rows(1), InverterPhase),
    (OUTPUT, InverterData),
    (INVERTER, InverterParameters),
    (BATTERY, Battery),
)
"""Rows, and the record that they are of."""


def shown(rows: tuple[Row, ...]) -> set[str]:
    return {row.point.key for row in rows if row.point.visibility is Visibility.SHOWN}


def visibility_of(key: str) -> Visibility | None:
    return next((row.point.visibility for row in LARGEST if row.point.key == key), None)


def points_of_others() -> Iterator[Point]:
    for profile in PROFILES.values():
        yield from (row.point for row in profile)
    rows = (*dtu_points.THREE_PHASE, *dtu_points.meter_rows(three_phase=True))
    yield from (row.point for row in rows)
    for port in range(1, 9):
        yield from (row.point for row in dtu_points.input_rows(port))
    yield from (
        dtu_points.AC_POWER,
        dtu_points.PV_POWER,
        dtu_points.GRID_IMPORT_POWER,
        dtu_points.GRID_EXPORT_POWER,
    )


# -- names ----------------------------------------------------------------------------


def test_the_same_thing_has_the_same_name_and_unit_in_every_family() -> None:
    known = {point.key: point for point in points_of_others()}
    ours = [row.point for row in LARGEST]
    assert {"battery_soc", "pv8_voltage", "grid_l3_current", "load_power"} <= {
        point.key for point in ours if point.key in known
    }
    for point in ours:
        if (other := known.get(point.key)) is not None:
            assert (point.name, point.quantity, point.unit) == (
                other.name,
                other.quantity,
                other.unit,
            ), point.key
            assert point.translation_key == other.translation_key


def test_each_name_and_key_is_there_once() -> None:
    for rows in (tuple(inverter_rows((1, 2), (1, 2, 3))), battery_rows()):
        keys = [row.point.key for row in rows]
        names = [(row.point.name, row.point.index) for row in rows]
        assert len(set(keys)) == len(keys)
        assert len(set(names)) == len(names)


@pytest.mark.parametrize(("rows", "record"), PLACES)
def test_each_row_has_a_field(rows: tuple[Row, ...], record: type[Any]) -> None:
    names = (
        {field.name for field in fields_of(record)}
        if is_dataclass(record)
        else set(record._fields)
    )
    for row in rows:
        is_property = isinstance(getattr(record, row.field, None), property)
        assert row.field in names or is_property, row.field


# -- what is shown --------------------------------------------------------------------


def test_what_is_shown_of_a_usual_installation() -> None:
    assert shown(SINGLE_PHASE) == {
        "pv_power",
        "pv1_power",
        "pv2_power",
        "pv_energy_today",
        "load_power",
        "load_energy_today",
        "grid_import_power",
        "grid_export_power",
        "grid_import_energy_today",
        "grid_export_energy_today",
        "grid_l1_voltage",
        "battery_soc",
        "battery_charge_power",
        "battery_discharge_power",
        "battery_charge_energy_today",
        "battery_discharge_energy_today",
    }


def test_nothing_is_a_lifetime_counter() -> None:
    """That of the battery is 0 in the morning: the guard would hold it for ever."""
    quantities = {row.point.quantity for row in LARGEST}
    assert Quantity.ENERGY_TODAY in quantities
    assert Quantity.ENERGY_TOTAL not in quantities


@pytest.mark.parametrize(
    "key",
    [
        "battery_current",
        "pv1_current",
        "grid_l1_current",
        "grid_l1_active_power",
        "load_l1_power",
        "ac_power",
        "inverter_temperature",
        "bus_voltage",
        "battery_to_grid_power",
    ],
)
def test_what_is_not_sure_is_offered_only(key: str) -> None:
    assert visibility_of(key) is Visibility.OFFERED


@pytest.mark.parametrize("key", ["battery_power", "power_factor", "status"])
def test_what_nobody_can_explain_is_left_out(key: str) -> None:
    assert visibility_of(key) is None


def test_there_are_not_too_many() -> None:
    assert len(tuple(inverter_rows(tuple(range(1, 9)), (1, 2, 3)))) <= 100
    assert len(shown(LARGEST)) <= 30


def test_nothing_can_be_set() -> None:
    assert not [row for row in LARGEST if row.point.setting is not None]


def test_a_single_phase_has_no_energies_besides_the_sums() -> None:
    assert "grid_l1_import_energy_today" not in {
        row.point.key for row in inverter_rows((1,), (1,))
    }
    assert "grid_l2_import_energy_today" in {
        row.point.key for row in inverter_rows((1,), (1, 2, 3))
    }


# -- values ---------------------------------------------------------------------------


def test_the_values_of_an_afternoon() -> None:
    values = inverter_values(data_of(AFTERNOON))
    expected: Mapping[str, object] = {
        "pv_power": 439,
        "pv_energy_today": 7.9,
        "pv1_power": 439,
        "pv1_voltage": 528.8,
        "pv1_current": 1.26,
        "pv1_energy_today": 7.9,
        "pv2_power": 0,
        "pv2_voltage": 38.3,
        "pv2_current": -0.06,
        "load_energy_today": 7.9,
        "battery_to_load_energy_today": 0.2,
        "grid_to_load_energy_today": 3.2,
        "pv_to_load_energy_today": 4.5,
        "pv_to_battery_energy_today": 3.5,
        "grid_frequency": 49.98,
        "grid_l1_voltage": 232.9,
        "grid_l1_current": 0.46,
        "grid_l1_active_power": 0,
        "grid_l1_reactive_power": -22,
        "grid_import_energy_today": 1.2,
        "grid_export_energy_today": 0.1,
        "grid_l1_import_energy_today": 1.2,
        "grid_l1_export_energy_today": 0.1,
    }
    assert values == expected


def test_the_values_of_a_battery() -> None:
    assert battery_values(data_of(AFTERNOON)) == {
        "battery_soc": 45,
        "battery_soh": 99,
        "battery_voltage": 238.6,
        "battery_current": 0,
        "battery_charge_energy_today": 3.8,
        "battery_discharge_energy_today": 0.2,
        "bms_charge_current_limit": 25,
        "bms_discharge_current_limit": 25,
        "bms_charge_voltage_limit": 259.2,
        "bms_discharge_voltage_limit": 201.6,
        "bms_cell_voltage_max": 3.309,
        "bms_cell_voltage_min": 3.305,
        "bms_module_voltage_max": 39.7,
        "bms_module_voltage_min": 39.68,
        "bms_max_cell_temperature": 24,
        "bms_min_cell_temperature": 20,
        "bms_max_module_temperature": 24,
        "bms_min_module_temperature": 20,
        "bms_fault": 0,
    }


def test_counters_are_never_taken_for_0() -> None:
    data = data_of(
        {
            "production": {},
            "consumption": {},
            "panels": [{"input": 1, "voltage": 3600}],
            "battery": {"voltage": 512},
            "grid": {"phases": [{"phase": 1, "voltage": 2300}]},
        }
    )
    values = inverter_values(data) | battery_values(data)
    assert not [key for key in values if "energy" in key]
    assert values["pv1_power"] == 0
    assert values["battery_soc"] == 0


def test_a_counter_is_never_negative() -> None:
    phases = [{"phase": 1, "energy_import": -5}, {"phase": 2, "energy_import": 12}]
    values = inverter_values(data_of({"grid": {"phases": phases}}))
    assert "grid_l1_import_energy_today" not in values
    assert values["grid_import_energy_today"] == 1.2


def test_the_grid_charges_the_battery_at_night() -> None:
    flow = {"grid_to_load": 300, "battery_to_grid": -2000, "soc": 40}
    data = data_of({"flow": flow, "battery": {"voltage": 512, "soc": 40}})
    values = inverter_values(data)
    assert values["load_power"] == 300
    assert values["grid_import_power"] == values["grid_power"] == 2300
    assert values["grid_export_power"] == 0
    assert values["battery_to_grid_power"] == -2000
    battery = battery_values(data)
    assert battery["battery_charge_power"] == 2000
    assert battery["battery_discharge_power"] == 0


def test_powers_of_the_grid_keep_their_sign() -> None:
    phase = {"phase": 3, "active_power": -1200, "reactive_power": -30}
    values = inverter_values(data_of({"grid": {"phases": [phase]}}))
    assert values["grid_l3_active_power"] == -1200
    assert values["grid_l3_reactive_power"] == -30


def test_the_backup_output() -> None:
    phase = {
        "phase": 1,
        "active_power": 900,
        "backup_voltage": 13,
        "backup_current": 41,
        "backup_power": 5,
    }
    parameters = {
        "insulation_resistance": 5000,
        "leakage_current": 2,
        "temperature_inside": -35,
    }
    data = data_of({"inverter": {"parameters": parameters, "phases": [phase]}})
    assert inverter_values(data) == {
        "ac_power": 900,
        "eps_l1_voltage": 1.3,
        "eps_l1_current": 0.41,
        "eps_l1_active_power": 5,
        "pv_isolation": 5000,
        "leakage_current": 2,
        "inverter_temperature": -3.5,
        "fault_bits": 0,
        "secondary_fault_bits": 0,
    }


def test_the_loads_of_each_phase() -> None:
    phases = [{"phase": 1, "active_power": 200}, {"phase": 2}]
    assert inverter_values(data_of({"load": {"phases": phases}})) == {
        "load_l1_power": 200,
        "load_l2_power": 0,
    }


def test_blocks_that_are_missing_have_no_values() -> None:
    nothing = data_of({"serial": 1})
    assert inverter_values(nothing) == {}
    assert battery_values(nothing) == {}


def test_a_battery_that_does_not_answer_has_no_zeros() -> None:
    assert battery_values(data_of({"battery": {}, "flow": {"pv_to_load": 1}})) == {
        "battery_charge_power": 0,
        "battery_discharge_power": 0,
    }


def test_the_charge_of_a_battery_may_come_with_the_flows() -> None:
    assert battery_values(data_of({"flow": {"soc": 40}}))["battery_soc"] == 40


@given(flow=flows, battery_power=st.integers(-9000, 9000))
def test_only_flows_tell_which_way_power_goes(flow: Flow, battery_power: int) -> None:
    battery = {"voltage": 512, "power": battery_power}
    data = data_of({"flow": flow._asdict(), "battery": battery})
    values = inverter_values(data) | battery_values(data)
    for key in ("grid_import_power", "grid_export_power", "load_power"):
        assert isinstance(value := values[key], int)
        assert value >= 0
    assert values["battery_charge_power"] == flow.battery_charge
    assert values["battery_discharge_power"] == flow.battery_discharge
