"""What only the coordinator of a Growatt inverter does."""

from freezegun.api import FrozenDateTimeFactory
from modbus_connection import ModbusTimeoutError
import pytest

from homeassistant.config_entries import ConfigEntryState
from homeassistant.const import STATE_UNAVAILABLE
from homeassistant.core import HomeAssistant
from tests.common import (
    TL_XH_US,
    Link,
    coordinator_of,
    load_unit,
    pass_time,
    set_up,
    state_of,
)

POLL = 10


async def test_other_inverter_that_wakes_up_in_its_place_is_not_mixed_in(
    hass: HomeAssistant,
    link: Link,
    freezer: FrozenDateTimeFactory,
    caplog: pytest.LogCaptureFixture,
) -> None:
    unit = link.units[1]
    serial_number = unit.serial_number
    entry = await set_up(hass, unit)
    unit.fall_silent()
    await pass_time(hass, freezer, POLL)

    unit.set_serial_number("SNL0DEMO99")
    unit.put32(3051, 999999)
    unit.answer()
    caplog.clear()
    for _ in range(4):
        await pass_time(hass, freezer, 300)
    for key in ("ac_power", "energy_total", "connected"):
        assert state_of(hass, entry, key).state == STATE_UNAVAILABLE
    said = [
        record.getMessage() for record in caplog.records if record.levelname == "ERROR"
    ]
    assert len(said) == 1
    assert f"Expected the inverter {serial_number}" in said[0]
    assert "but SNL0DEMO99 answers" in said[0]

    unit.set_serial_number(serial_number)
    await pass_time(hass, freezer, 300)
    assert state_of(hass, entry, "connected").state == "on"
    assert state_of(hass, entry, "ac_power").state != STATE_UNAVAILABLE


async def test_stored_equipment_is_not_forgotten(
    hass: HomeAssistant, link: Link
) -> None:
    unit = link.units[1]
    unit.holding[185] = 2  # battery modules that report
    unit.input[3323] = 1  # a backup box
    entry = await set_up(hass, unit)
    assert entry.data["identification"]["modules"] == 2
    assert entry.data["identification"]["backup_box"]
    unit.holding[185] = 1
    unit.input[3323] = 0
    await hass.config_entries.async_reload(entry.entry_id)
    assert coordinator_of(entry).inverter.identified.modules == 2
    assert coordinator_of(entry).inverter.identified.backup_box


async def test_battery_that_is_added_over_night_is_noticed_in_the_morning(
    hass: HomeAssistant, link: Link, freezer: FrozenDateTimeFactory
) -> None:
    unit = link.units[1]
    with_battery = unit.copy()
    unit.input[3118] = 0
    unit.holding.update(dict.fromkeys(range(3087, 3106), 0))
    entry = await set_up(hass, unit)
    unit.fall_silent()
    await pass_time(hass, freezer, POLL)
    unit.holding, unit.input = with_battery.holding, with_battery.input
    unit.answer()
    await pass_time(hass, freezer, 300)
    assert entry.data["identification"]["battery"]
    assert state_of(hass, entry, "battery_soc", battery=True).state == "68"
    assert entry.state is ConfigEntryState.LOADED


async def test_ordinary_morning_is_no_reason_to_reload(
    hass: HomeAssistant, link: Link, freezer: FrozenDateTimeFactory
) -> None:
    unit = link.units[1]
    entry = await set_up(hass, unit)
    before = coordinator_of(entry)
    for _ in range(3):
        unit.fall_silent()
        await pass_time(hass, freezer, POLL)
        unit.answer()
        await pass_time(hass, freezer, 300)
    assert coordinator_of(entry) is before


async def test_inverter_that_does_not_say_who_it_is_in_the_morning_is_polled_all_the_same(
    hass: HomeAssistant, link: Link, freezer: FrozenDateTimeFactory
) -> None:
    unit = link.units[1]
    entry = await set_up(hass, unit)
    unit.fall_silent()
    await pass_time(hass, freezer, POLL)
    unit.answer()
    unit.fail_read(9, ModbusTimeoutError())  # of the name plate
    await pass_time(hass, freezer, 300)
    assert state_of(hass, entry, "connected").state == "on"


async def test_options_are_used(hass: HomeAssistant, link: Link) -> None:
    unit = link.units[1]
    entry = await set_up(
        hass,
        unit,
        options={"message_spacing": 120, "max_words": 20, "profile": "min_tl_x"},
    )
    coordinator = coordinator_of(entry)
    assert unit.message_spacing == 0.12
    assert coordinator.inverter.reader.timing.spacing == 0.12
    assert coordinator.inverter.profile.key == "min_tl_x"
    await coordinator.async_refresh()
    plan = coordinator.inverter.reader.plan(
        coordinator.inverter.wanted_rows(coordinator.wanted())
    )
    assert max(read.count for read in plan) <= 20


async def test_speed_of_a_serial_port_goes_into_the_plan(
    hass: HomeAssistant, link: Link
) -> None:
    entry = await set_up(hass, link.units[1])
    # Behind a TCP gateway: the maker's default.
    assert coordinator_of(entry).inverter.reader.timing.baud == 9600


async def test_split_phase_model_is_set_up(hass: HomeAssistant, link: Link) -> None:
    link.units[1] = load_unit(TL_XH_US)
    entry = await set_up(hass, link.units[1])
    assert coordinator_of(entry).inverter.profile.key == "min_tl_xh_us"
    assert state_of(hass, entry, "connected").state == "on"
    assert not [
        state.entity_id
        for state in hass.states.async_all()
        if state.state == STATE_UNAVAILABLE
    ]
