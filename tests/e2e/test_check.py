"""What the demo's check objects to."""

from dataclasses import replace

import pytest

from custom_components.local_solar.growatt.profiles.catalogue import PROFILES
from demo.check import Reading, doubts, table
from demo.families import FAMILIES, ON_REQUEST
from demo.home_assistant import complaints_in
from simulators.datasets import SHIPPED

PV_POWER = Reading(
    entity_id="sensor.inverter_pv_power",
    entry_id="entry",
    device_id="inverter",
    via_id=None,
    device="Inverter",
    entity="PV power",
    key="pv_power",
    value="3000.0",
    unit="W",
    reported="",
)
STRINGS = [
    replace(PV_POWER, entity=f"PV{n} power", key="pv_n_power", value=value)
    for n, value in ((1, "1800.0"), (2, "1200.0"))
]

BUTTON = replace(
    PV_POWER, entity_id="button.inverter_x", entity="X", value="unknown", unit=""
)
AC_POWER = replace(PV_POWER, key="ac_power", entity="Output power", value="2850.0")
DTU_POWER = replace(AC_POWER, device_id="dtu", device="DTU")
BEHIND = [
    replace(AC_POWER, device_id=name, device=name, via_id="dtu", value=value)
    for name, value in (("One", "1900.0"), ("Two", "950.0"))
]
OTHER = replace(PV_POWER, entity="Another", key="load_power")


def test_values_that_can_be_true_raise_no_doubts() -> None:
    assert doubts([PV_POWER, *STRINGS]) == []


def test_a_button_that_was_never_pressed_raises_no_doubts() -> None:
    assert doubts([PV_POWER, BUTTON]) == []
    unavailable = replace(BUTTON, value="unavailable")
    assert doubts([PV_POWER, unavailable]) == ["Inverter: X shows unavailable"]


@pytest.mark.parametrize(
    "reading",
    [
        replace(OTHER, value="unavailable"),
        replace(OTHER, value="unknown"),
        replace(OTHER, value="65535.0"),
        replace(OTHER, value="6553.5", unit="kW"),
        replace(OTHER, value="normal"),
        replace(OTHER, key="grid_l1_voltage", value="23.4", unit="V"),
        replace(OTHER, key="connected", value="off", unit=""),
        replace(OTHER, key="energy_total", value="0.0", unit="kWh"),
    ],
)
def test_a_value_that_cannot_be_true_is_named(reading: Reading) -> None:
    named = f"Inverter: Another shows {reading.value} {reading.unit}".rstrip()
    assert doubts([PV_POWER, *STRINGS, reading]) == [named]


def test_strings_must_add_up() -> None:
    assert doubts([PV_POWER, STRINGS[0]]) == [
        "Inverter: the strings give 1800 W, together 3000 W"
    ]


def test_what_an_inverter_gives_is_what_its_strings_give_less_its_losses() -> None:
    assert doubts([AC_POWER, *STRINGS]) == []
    assert doubts([replace(AC_POWER, value="2600.0"), *STRINGS]) == [
        "Inverter: the strings give 3000 W, together 2600 W"
    ]


def test_energies_of_strings_must_add_up() -> None:
    energies = [
        replace(reading, key=reading.key.replace("power", "energy_total"), unit="kWh")
        for reading in STRINGS
    ]
    total = replace(PV_POWER, key="energy_total", unit="kWh", value="3000")
    assert doubts([PV_POWER, total, *energies]) == []
    assert doubts([PV_POWER, total, energies[0]]) == [
        "Inverter: the strings give 1800 kWh, together 3000 kWh"
    ]


def test_a_dtu_gives_what_the_inverters_behind_it_give() -> None:
    assert doubts([DTU_POWER, *BEHIND]) == []
    assert doubts([DTU_POWER, BEHIND[0]]) == [
        "DTU: the devices behind it give 1900 W, together 2850 W"
    ]


def test_a_gateway_gives_what_the_charge_controllers_behind_it_give() -> None:
    gateway = replace(PV_POWER, device_id="gateway", device="Gateway")
    behind = [
        replace(PV_POWER, device_id=name, device=name, via_id="gateway", value=value)
        for name, value in (("One", "1800.0"), ("Two", "1200.0"))
    ]
    assert doubts([gateway, *behind]) == []
    assert doubts([gateway, behind[0]]) == [
        "Gateway: the devices behind it give 1800 W, together 3000 W"
    ]


def test_a_device_without_any_power_is_named() -> None:
    for unit in ("W", "kW"):
        assert doubts([replace(PV_POWER, value="0.0", unit=unit)]) == [
            "Inverter: no power anywhere, although the sun shines"
        ]


def test_the_table_names_each_device_once() -> None:
    assert table([PV_POWER, STRINGS[0]]) == [
        "device    entity      value  unit",
        "---------------------------------",
        "Inverter  PV power   3000.0  W",
        "          PV1 power  1800.0  W",
    ]


WHEN = "2026-06-21 10:30:00.000+00:00"


def test_the_log_is_searched_for_complaints() -> None:
    warning = f"{WHEN} WARNING (MainThread) [custom_components.local_solar] Oh"
    about = f"{WHEN} WARNING (MainThread) [homeassistant.x] integration 'local_solar'"
    failure = f"{WHEN} ERROR (MainThread) [aiohttp.server] Error handling request"
    lines = [
        f"{WHEN} INFO (MainThread) [custom_components.local_solar] Fine",
        f"{WHEN} WARNING (SyncWorker_0) [homeassistant.loader] We found a custom"
        " integration local_solar which has not been tested by Home Assistant",
        f"{WHEN} WARNING (MainThread) [homeassistant.helpers.entity] Updating state for"
        " sensor.x (<class 'custom_components.local_solar.sensor.X'>) took 0.474 seconds",
        warning,
        f"{WHEN} ERROR (MainThread) [homeassistant.components.camera] No library",
        "Traceback (most recent call last):",
        '  File "camera.py", line 1, in load',
        about,
        failure,
        "Traceback (most recent call last):",
        '  File "custom_components/local_solar/diagnostics.py", line 25, in get',
        '  File "custom_components/local_solar/diagnostics.py", line 26, in get',
    ]
    assert complaints_in(lines) == [warning, about, failure]


# -- families on request ------------------------------------------------------------------


def test_every_register_map_can_be_shown() -> None:
    assert set(PROFILES) == set(ON_REQUEST)
    assert not set(ON_REQUEST) & set(FAMILIES)


@pytest.mark.parametrize("family", ON_REQUEST)
def test_what_is_shown_of_a_map_is_a_shipped_dataset(family: str) -> None:
    for addition in ON_REQUEST[family]:
        assert (SHIPPED / f"{addition.simulator.name}.json").is_file()


def test_a_full_battery_may_rest_while_the_sun_shines() -> None:
    power = replace(PV_POWER, key="battery_power", value="0.0")
    charge = replace(PV_POWER, key="battery_soc", unit="%")
    assert doubts([power, replace(charge, value="80")])
    assert doubts([power, replace(charge, value="100")]) == []


def test_what_was_never_commanded_may_be_unknown() -> None:
    moment = replace(PV_POWER, key="commanded_until", unit="", value="unknown")
    assert doubts([PV_POWER, moment]) == []
    assert doubts([PV_POWER, replace(moment, value="unavailable")])
