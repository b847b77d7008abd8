"""Sensors: what is shown, what stays out of sight, and values that need care."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from unittest.mock import patch

from freezegun.api import FrozenDateTimeFactory
from modbus_connection import ModbusTimeoutError
import pytest
from pytest_homeassistant_custom_component.common import (
    MockConfigEntry,
    mock_restore_cache_with_extra_data,
    snapshot_platform,
)
from syrupy.assertion import SnapshotAssertion

from custom_components.local_solar.const import DOMAIN
from homeassistant.const import (
    STATE_UNAVAILABLE,
    STATE_UNKNOWN,
    EntityCategory,
    Platform,
)
from homeassistant.core import HomeAssistant, State
from homeassistant.helpers import entity_registry as er
from homeassistant.util import dt as dt_util

from .common import (
    HOST,
    LIVE_TL_XH,
    TL_X,
    TL_XH,
    Link,
    Network,
    Unit,
    enable,
    entity_id_of,
    make_entry,
    pass_time,
    poll_all,
    set_up,
    state_of,
)

ENERGY_TODAY = 3049
ENERGY_TOTAL = 3051


@pytest.fixture
def only_sensors() -> Iterator[None]:
    """Set up no other platform."""
    with patch("custom_components.local_solar.PLATFORMS", (Platform.SENSOR,)):
        yield


# -- what there is --------------------------------------------------------------------


@pytest.mark.usefixtures("only_sensors")
@pytest.mark.parametrize("dataset", [TL_XH, TL_X])
async def test_all_sensors(
    hass: HomeAssistant,
    network: Network,
    entity_registry: er.EntityRegistry,
    snapshot: SnapshotAssertion,
    dataset: str,
) -> None:
    link = network.add_tcp(HOST, {1: dataset})
    entry = await set_up(hass, link.units[1])
    entities = er.async_entries_for_config_entry(entity_registry, entry.entry_id)
    disabled = [entity for entity in entities if entity.disabled_by is not None]
    assert {entity.entity_id: entity.original_name for entity in disabled} == snapshot(
        name="disabled at first"
    )
    for entity in disabled:
        entity_registry.async_remove(entity.entity_id)
    await snapshot_platform(hass, entity_registry, snapshot, entry.entry_id)


@pytest.mark.skipif(not LIVE_TL_XH.exists(), reason="recordings are not at hand")
async def test_recorded_inverter_shows_what_its_owner_saw(
    hass: HomeAssistant, network: Network
) -> None:
    link = network.add_tcp(HOST, {1: LIVE_TL_XH})
    entry = await set_up(hass, link.units[1])
    assert state_of(hass, entry, "battery_soc", battery=True).state == "49"
    assert (
        state_of(hass, entry, "battery_discharge_power", battery=True).state == "536.0"
    )
    assert state_of(hass, entry, "pv_power").state == "0.0"
    assert not [
        state.entity_id
        for state in hass.states.async_all("sensor")
        if state.state in (STATE_UNKNOWN, STATE_UNAVAILABLE)
    ]


@pytest.mark.usefixtures("all_entities_enabled")
@pytest.mark.parametrize("dataset", [TL_XH, TL_X])
async def test_every_sensor_has_a_value_a_name_and_a_place(
    hass: HomeAssistant,
    network: Network,
    entity_registry: er.EntityRegistry,
    dataset: str,
) -> None:
    link = network.add_tcp(HOST, {1: dataset})
    entry = await set_up(hass, link.units[1])
    # They are enabled since the first poll only.
    await poll_all(entry)
    entities = er.async_entries_for_config_entry(entity_registry, entry.entry_id)
    names = [(entity.device_id, entity.original_name or "") for entity in entities]
    assert len(set(names)) == len(names)
    assert all(name and "{" not in name for _, name in names)
    assert all(device for device, _ in names)
    assert not [
        state.entity_id
        for state in hass.states.async_all("sensor")
        if state.state in (STATE_UNKNOWN, STATE_UNAVAILABLE)
    ]


async def test_diagnostic_sensors_stand_apart(
    hass: HomeAssistant, link: Link, entity_registry: er.EntityRegistry
) -> None:
    entry = await set_up(hass, link.units[1])
    categories = {
        key: entity_registry.entities[entity_id_of(hass, entry, key)].entity_category
        for key in ("ac_power", "energy_total", "inverter_temperature", "fault_code")
    }
    assert categories == {
        "ac_power": None,
        "energy_total": None,
        "inverter_temperature": EntityCategory.DIAGNOSTIC,
        "fault_code": EntityCategory.DIAGNOSTIC,
    }


# -- values ---------------------------------------------------------------------------


async def test_clock_of_the_inverter_is_local_time(
    hass: HomeAssistant, link: Link
) -> None:
    await hass.config.async_set_time_zone("Europe/Berlin")
    entry = await set_up(hass, link.units[1])
    await enable(hass, entry, "clock")
    # The dataset says 2026-04-18 10:34:56, in summer time.
    assert state_of(hass, entry, "clock").state == "2026-04-18T08:34:56+00:00"


async def test_clock_far_in_the_future_is_shown_as_it_is(
    hass: HomeAssistant, link: Link
) -> None:
    await hass.config.async_set_time_zone("UTC")
    unit = link.units[1]
    unit.holding[45] = 2051
    entry = await set_up(hass, unit)
    await enable(hass, entry, "clock")
    assert state_of(hass, entry, "clock").state == "2051-04-18T10:34:56+00:00"


async def test_impossible_clock_is_unknown(hass: HomeAssistant, link: Link) -> None:
    unit = link.units[1]
    unit.holding.update({46: 13, 47: 45})
    entry = await set_up(hass, unit)
    await enable(hass, entry, "clock")
    assert state_of(hass, entry, "clock").state == STATE_UNKNOWN


async def test_time_slot_is_shown_in_hours_and_minutes(
    hass: HomeAssistant, link: Link
) -> None:
    unit = link.units[1]
    entry = await set_up(hass, unit)
    await enable(hass, entry, "tou1_end", battery=True)
    assert state_of(hass, entry, "tou1_end", battery=True).state == "23:59"


async def test_state_of_newer_firmware_is_unknown(
    hass: HomeAssistant, link: Link, freezer: FrozenDateTimeFactory
) -> None:
    unit = link.units[1]
    entry = await set_up(hass, unit)
    assert state_of(hass, entry, "status").state == "normal"
    unit.input[3000] = 0x00EE
    await pass_time(hass, freezer, 10)
    assert state_of(hass, entry, "status").state == STATE_UNKNOWN


async def test_value_that_changes_is_shown_after_the_next_poll(
    hass: HomeAssistant, link: Link, freezer: FrozenDateTimeFactory
) -> None:
    unit = link.units[1]
    entry = await set_up(hass, unit)
    assert state_of(hass, entry, "ac_power").state == "1796.0"
    unit.put32(3023, 5)
    await pass_time(hass, freezer, 10)
    assert state_of(hass, entry, "ac_power").state == "0.5"


# -- counters -------------------------------------------------------------------------


def _restore(
    hass: HomeAssistant,
    entry: MockConfigEntry,
    counters: dict[str, tuple[object, datetime]],
    unit_of_measurement: str = "kWh",
) -> None:
    """Let counters (key -> value, last seen) come from an earlier run."""
    registry = er.async_get(hass)
    stored = []
    for key, (value, seen) in counters.items():
        entity = registry.async_get_or_create(
            "sensor", DOMAIN, f"{entry.unique_id}_{key}", config_entry=entry
        )
        data = {
            "native_value": value,
            "native_unit_of_measurement": unit_of_measurement,
        }
        state = State(entity.entity_id, str(value), last_updated=seen)
        stored.append((state, data))
    mock_restore_cache_with_extra_data(hass, stored)


async def _start(hass: HomeAssistant, entry: MockConfigEntry) -> None:
    await hass.config_entries.async_setup(entry.entry_id)
    await hass.async_block_till_done()


async def test_counters_stay_over_night_and_power_does_not(
    hass: HomeAssistant, link: Link, freezer: FrozenDateTimeFactory
) -> None:
    unit = link.units[1]
    entry = await set_up(hass, unit)
    before = {
        key: state_of(hass, entry, key).state
        for key in ("energy_total", "energy_today", "grid_export_energy_total")
    }
    unit.fall_silent()
    for _ in range(8):
        await pass_time(hass, freezer, 300)
    assert {key: state_of(hass, entry, key).state for key in before} == before
    for key in ("ac_power", "status", "inverter_temperature"):
        assert state_of(hass, entry, key).state == STATE_UNAVAILABLE


async def test_counters_come_back_after_a_restart_at_night(
    hass: HomeAssistant, link: Link
) -> None:
    unit = link.units[1]
    entry = await make_entry(hass, unit)
    yesterday = dt_util.utcnow() - timedelta(hours=8)
    _restore(
        hass,
        entry,
        {"energy_total": (9999.9, yesterday), "energy_today": (17.3, yesterday)},
    )
    unit.fall_silent()
    await _start(hass, entry)
    assert state_of(hass, entry, "energy_total").state == "9999.9"
    assert state_of(hass, entry, "energy_today").state == "17.3"
    # Nothing was stored of this one.
    assert state_of(hass, entry, "grid_export_energy_total").state == STATE_UNAVAILABLE


async def test_morning_after_a_night_restart_starts_the_day_at_what_it_made(
    hass: HomeAssistant, link: Link, freezer: FrozenDateTimeFactory
) -> None:
    await hass.config.async_set_time_zone("UTC")
    freezer.move_to("2026-06-02 02:00:00+00:00")
    unit = link.units[1]
    entry = await make_entry(hass, unit)
    evening = dt_util.utcnow() - timedelta(hours=6)
    _restore(
        hass,
        entry,
        {"energy_total": (9999.9, evening), "energy_today": (17.3, evening)},
    )
    unit.fall_silent()
    await _start(hass, entry)

    unit.answer()
    unit.put32(ENERGY_TODAY, 2)
    unit.put32(ENERGY_TOTAL, 100001)
    await pass_time(hass, freezer, 4 * 3600)
    assert state_of(hass, entry, "energy_today").state == "0.2"
    assert state_of(hass, entry, "energy_total").state == "10000.1"


async def test_restart_by_day_goes_on_from_what_the_inverter_says(
    hass: HomeAssistant, link: Link
) -> None:
    unit = link.units[1]
    unit.put32(ENERGY_TOTAL, 100004)
    entry = await make_entry(hass, unit)
    _restore(
        hass,
        entry,
        {"energy_total": (10000.0, dt_util.utcnow() - timedelta(minutes=3))},
    )
    await _start(hass, entry)
    assert state_of(hass, entry, "energy_total").state == "10000.4"


async def test_restart_never_sets_a_counter_back(
    hass: HomeAssistant, link: Link, freezer: FrozenDateTimeFactory
) -> None:
    unit = link.units[1]
    unit.put32(ENERGY_TOTAL, 100)
    entry = await make_entry(hass, unit)
    _restore(hass, entry, {"energy_total": (10000.0, dt_util.utcnow())})
    await _start(hass, entry)
    assert state_of(hass, entry, "energy_total").state == "10000.0"
    await pass_time(hass, freezer, 60)
    assert state_of(hass, entry, "energy_total").state == "10000.0"


@pytest.mark.parametrize(
    ("value", "unit_of_measurement"),
    [(None, "kWh"), ("broken", "kWh"), (-5.0, "kWh"), (9999000.0, "Wh")],
    ids=["nothing", "no_number", "negative", "other_unit"],
)
async def test_what_was_stored_badly_is_not_restored(
    hass: HomeAssistant, link: Link, value: object, unit_of_measurement: str
) -> None:
    unit = link.units[1]
    entry = await make_entry(hass, unit)
    _restore(
        hass,
        entry,
        {"energy_total": (value, dt_util.utcnow())},
        unit_of_measurement,
    )
    await _start(hass, entry)
    assert float(state_of(hass, entry, "energy_total").state) == pytest.approx(11843.1)


async def test_counters_never_go_back_nor_to_zero_through_a_failed_read(
    hass: HomeAssistant, link: Link, freezer: FrozenDateTimeFactory
) -> None:
    unit = link.units[1]
    entry = await set_up(hass, unit)
    total = state_of(hass, entry, "energy_total").state
    seen: list[str] = []
    entity_id = entity_id_of(hass, entry, "energy_total")

    def note() -> None:
        state = hass.states.get(entity_id)
        assert state is not None
        seen.append(state.state)

    def fail(unit: Unit) -> None:
        unit.fail_read(3051, ModbusTimeoutError(), register_type="input")

    def answer_zero(unit: Unit) -> None:
        unit.put32(ENERGY_TOTAL, 0)

    def go_back(unit: Unit) -> None:
        unit.put32(ENERGY_TOTAL, 90000)

    def rush(unit: Unit) -> None:
        unit.put32(ENERGY_TOTAL, 0x7FFF0000)

    good = {address: unit.input[address] for address in (3051, 3052)}
    for trouble in (fail, answer_zero, go_back, rush, Unit.fall_silent):
        trouble(unit)
        for _ in range(3):
            await pass_time(hass, freezer, 60)
            note()
        unit.answer()
        unit.fail_read(3051, None, register_type="input")
        unit.input.update(good)
        await pass_time(hass, freezer, 60)
        note()
    assert set(seen) == {total}


async def test_counter_of_a_replaced_inverter_board_is_believed_in_the_end(
    hass: HomeAssistant, link: Link, freezer: FrozenDateTimeFactory
) -> None:
    unit = link.units[1]
    entry = await set_up(hass, unit)
    unit.put32(ENERGY_TOTAL, 30)
    shown = set()
    for minute in range(35):
        await pass_time(hass, freezer, 60)
        if minute < 25:
            shown.add(state_of(hass, entry, "energy_total").state)
    assert len(shown) == 1
    assert state_of(hass, entry, "energy_total").state == "3.0"


async def test_daily_counter_falls_once_after_midnight(
    hass: HomeAssistant, link: Link, freezer: FrozenDateTimeFactory
) -> None:
    await hass.config.async_set_time_zone("UTC")
    freezer.move_to("2026-06-01 23:50:00+00:00")
    unit = link.units[1]
    entry = await set_up(hass, unit)
    last = state_of(hass, entry, "energy_today").state
    unit.put32(ENERGY_TODAY, 0)  # the inverter's clock is fast
    await pass_time(hass, freezer, 60)
    assert state_of(hass, entry, "energy_today").state == last
    await pass_time(hass, freezer, 600)  # 00:01
    assert state_of(hass, entry, "energy_today").state == "0.0"
    unit.put32(ENERGY_TODAY, 5)
    await pass_time(hass, freezer, 60)
    assert state_of(hass, entry, "energy_today").state == "0.5"
    unit.put32(ENERGY_TODAY, 0)
    await pass_time(hass, freezer, 60)
    assert state_of(hass, entry, "energy_today").state == "0.5"
