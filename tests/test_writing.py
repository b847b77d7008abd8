"""Changing a control asks for a confirmation; what is written is told and shown."""

from datetime import UTC, datetime, time, timedelta
from typing import Any

from freezegun.api import FrozenDateTimeFactory
from modbus_connection import (
    IllegalDataAddressError,
    IllegalDataValueError,
    ModbusTimeoutError,
)
import pytest
from pytest_homeassistant_custom_component.common import (
    MockConfigEntry,
    MockUser,
    async_capture_events,
)

from custom_components.local_solar.write_budget import PER_DAY
from custom_components.local_solar.writing import EVENT_WRITE
from homeassistant.const import STATE_UNAVAILABLE
from homeassistant.core import Context, Event, HomeAssistant
from homeassistant.exceptions import HomeAssistantError, ServiceValidationError
from homeassistant.helpers import device_registry as dr, entity_registry as er

from .common import pass_time, set_up
from .writing_helpers import (
    AC_CHARGE,
    ACTIVE_POWER,
    CHARGE_STOP_SOC,
    SLOT_1,
    SLOT_2,
    SPACING,
    Writable,
    act,
    act_as,
    ask,
    control_of,
    device_of,
    issues,
    move,
    refused,
    shown,
)

pytestmark = pytest.mark.usefixtures("settled")

POWER = {"register": "active_power_limit", "confirm": True}
SOC = {"register": "charge_stop_soc", "confirm": True}


@pytest.fixture
def events(hass: HomeAssistant) -> list[Event[dict[str, Any]]]:
    """The events of writes from now on."""
    captured: list[Event[dict[str, Any]]] = async_capture_events(hass, EVENT_WRITE)
    return captured


# -- controls -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("key", "domain"),
    [
        ("active_power_limit", "number"),
        ("export_limit_mode", "select"),
        ("ac_charge_enable", "switch"),
        ("tou1_start", "time"),
        ("sync_clock", "button"),
    ],
)
async def test_settings_become_controls_when_writing_is_switched_on(
    hass: HomeAssistant,
    unit: Writable,
    entity_registry: er.EntityRegistry,
    key: str,
    domain: str,
) -> None:
    entry = await set_up(hass, unit)
    if domain != "button":
        assert control_of(hass, entry, key).split(".")[0] in ("sensor", "binary_sensor")
    hass.config_entries.async_update_entry(entry, options={"write_access": "confirm"})
    await hass.config_entries.async_reload(entry.entry_id)
    entity_id = control_of(hass, entry, key)
    assert entity_id.startswith(f"{domain}.")
    entity = entity_registry.async_get(entity_id)
    assert entity is not None
    assert entity.disabled_by is None
    assert entity.entity_category == "config"


@pytest.mark.parametrize(
    ("key", "value", "before", "after"),
    [
        ("active_power_limit", 80, "100 %", "80 %"),
        ("export_limit_rate", 12.5, "100 %", "12.5 %"),
        ("export_limit_mode", "rs485_meter", "disabled", "rs485 meter"),
        ("ac_charge_enable", True, "off", "on"),
        ("tou2_enabled", True, "off", "00:00–05:00, battery first, on"),
        ("tou2_start", time(2, 45), "01:30", "02:45"),
        ("tou2_mode", "grid_first", "battery first", "grid first"),
    ],
)
async def test_change_of_a_control_writes_nothing_and_asks(
    hass: HomeAssistant,
    unit: Writable,
    entry: MockConfigEntry,
    key: str,
    value: object,
    before: str,
    after: str,
) -> None:
    unit.holding[SLOT_1] = 0
    held = shown(hass, entry, key)
    err = await refused(move(hass, entry, key, value))
    assert isinstance(err, ServiceValidationError)
    assert err.translation_key == "confirmation_pending"
    assert before in str(err)
    assert (after if key != "tou2_enabled" else "on") in str(err)
    assert not unit.writes
    assert len(issues(hass)) == 1
    assert shown(hass, entry, key) == held


async def test_button_writes_nothing_and_asks(
    hass: HomeAssistant, unit: Writable, entry: MockConfigEntry
) -> None:
    await ask(hass, entry, "sync_clock", None)
    assert not unit.writes
    assert len(issues(hass)) == 1


async def test_seconds_of_a_time_are_left_out(
    hass: HomeAssistant, unit: Writable, entry: MockConfigEntry, device: dr.DeviceEntry
) -> None:
    token = await ask(hass, entry, "tou2_start", time(2, 45, 30))
    await act(hass, "confirm_write", device, token=token)
    assert unit.written == [(SLOT_2, [0x222D, 0x0500])]


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("active_power_limit", 100),
        ("ac_charge_enable", False),
        ("tou2_start", time(1, 30)),
        ("tou2_mode", "battery_first"),
    ],
)
async def test_value_that_is_held_asks_nothing(
    hass: HomeAssistant,
    unit: Writable,
    entry: MockConfigEntry,
    key: str,
    value: object,
) -> None:
    await move(hass, entry, key, value)
    assert not issues(hass)
    assert not unit.writes


async def test_change_that_cannot_be_is_refused_at_once(
    hass: HomeAssistant, unit: Writable, entry: MockConfigEntry
) -> None:
    err = await refused(move(hass, entry, "tou2_enabled", True))
    assert err.translation_key == "slot_overlaps"
    assert not issues(hass)


async def test_change_of_a_silent_device_is_refused_at_once(
    hass: HomeAssistant, unit: Writable, entry: MockConfigEntry
) -> None:
    unit.fall_silent()
    err = await refused(move(hass, entry, "active_power_limit", 80))
    assert err.translation_key == "communication_error"
    assert not issues(hass)


async def test_control_does_not_show_old_values_of_a_sleeping_device(
    hass: HomeAssistant,
    unit: Writable,
    entry: MockConfigEntry,
    device: dr.DeviceEntry,
    freezer: FrozenDateTimeFactory,
) -> None:
    unit.fall_silent()
    await pass_time(hass, freezer, 10)
    assert shown(hass, entry, "active_power_limit") == STATE_UNAVAILABLE
    await refused(act(hass, "set_register", device, **POWER, value=80))
    assert shown(hass, entry, "active_power_limit") == STATE_UNAVAILABLE


async def test_control_shows_the_new_value_at_once_and_without_a_poll(
    hass: HomeAssistant, unit: Writable, entry: MockConfigEntry, device: dr.DeviceEntry
) -> None:
    token = await ask(hass, entry, "active_power_limit", 80)
    assert shown(hass, entry, "active_power_limit") == "100"
    unit.taken_requests()
    await act(hass, "confirm_write", device, token=token)
    assert shown(hass, entry, "active_power_limit") == "80"
    await hass.async_block_till_done()
    assert unit.taken_requests() == 4


async def test_all_parts_of_a_slot_show_what_was_written(
    hass: HomeAssistant, unit: Writable, entry: MockConfigEntry, device: dr.DeviceEntry
) -> None:
    await act(
        hass,
        "set_time_slot",
        device,
        slot=2,
        start="03:00",
        end="04:00",
        mode="load_first",
        confirm=True,
    )
    parts = {
        part: shown(hass, entry, f"tou2_{part}")
        for part in ("start", "end", "mode", "enabled")
    }
    assert parts == {
        "start": "03:00:00",
        "end": "04:00:00",
        "mode": "load_first",
        "enabled": "off",
    }


async def test_control_shows_what_a_preview_has_seen(
    hass: HomeAssistant, unit: Writable, entry: MockConfigEntry, device: dr.DeviceEntry
) -> None:
    unit.holding[ACTIVE_POWER] = 60
    await act(hass, "preview_write", device, register="active_power_limit", value=80)
    assert shown(hass, entry, "active_power_limit") == "60"


async def test_control_shows_the_value_that_the_device_kept(
    hass: HomeAssistant, unit: Writable, entry: MockConfigEntry, device: dr.DeviceEntry
) -> None:
    unit.after_write = lambda: unit.holding.update({ACTIVE_POWER: 85})
    await refused(act(hass, "set_register", device, **POWER, value=80))
    assert shown(hass, entry, "active_power_limit") == "85"


# -- what is told ---------------------------------------------------------------------


async def test_written_change_is_told(
    hass: HomeAssistant,
    entry: MockConfigEntry,
    device: dr.DeviceEntry,
    events: list[Event[dict[str, Any]]],
    hass_admin_user: MockUser,
) -> None:
    context = Context(user_id=hass_admin_user.id)
    await act_as(hass, context, "set_register", device, **POWER, value=80)
    (event,) = events
    assert event.context is context
    assert event.data == {
        "device_id": device.id,
        "name": "Growatt MIN 6000TL-XH",
        "register": "active_power_limit",
        "setting": "Active power limit",
        "before": 100,
        "value": 80,
        "after": 80,
        "unit": "%",
        "outcome": "written",
        "error": None,
        "asked_by": hass_admin_user.name,
        "asked_through": "local_solar.set_register",
        "confirmed_by": hass_admin_user.name,
        "confirmed_through": "local_solar.set_register",
    }


async def test_event_of_a_battery_setting_names_the_battery(
    hass: HomeAssistant,
    entry: MockConfigEntry,
    device: dr.DeviceEntry,
    events: list[Event[dict[str, Any]]],
) -> None:
    await act(hass, "set_register", device, **SOC, value=90)
    battery = device_of(hass, entry, battery=True)
    assert events[0].data["device_id"] == battery.id
    assert events[0].data["name"] == battery.name


async def test_event_gives_the_name_that_the_owner_gave(
    hass: HomeAssistant,
    device: dr.DeviceEntry,
    device_registry: dr.DeviceRegistry,
    events: list[Event[dict[str, Any]]],
) -> None:
    device_registry.async_update_device(device.id, name_by_user="On the roof")
    await act(hass, "set_register", device, **POWER, value=80)
    assert events[0].data["name"] == "On the roof"


async def test_event_tells_slots_as_json(
    hass: HomeAssistant,
    device: dr.DeviceEntry,
    events: list[Event[dict[str, Any]]],
) -> None:
    await act(hass, "set_time_slot", device, slot=2, end="06:00", confirm=True)
    slot = {"start": "01:30", "end": "06:00", "mode": "battery_first", "enabled": False}
    assert events[0].data["before"] == {**slot, "end": "05:00"}
    assert events[0].data["value"] == events[0].data["after"] == slot
    assert events[0].data["setting"] == "Time slot 2 (all of it)"


async def test_change_by_an_automation_has_no_name(
    hass: HomeAssistant, device: dr.DeviceEntry, events: list[Event[dict[str, Any]]]
) -> None:
    context = Context(parent_id="01M7Y1E88E4V4VG9M6M641FCFH")
    await act_as(hass, context, "set_register", device, **POWER, value=80)
    (event,) = events
    assert event.context is context
    assert event.data["asked_by"] is None
    assert event.data["confirmed_by"] is None


async def test_event_is_of_the_one_who_asked_and_names_who_confirmed(
    hass: HomeAssistant,
    entry: MockConfigEntry,
    device: dr.DeviceEntry,
    events: list[Event[dict[str, Any]]],
    hass_admin_user: MockUser,
    hass_read_only_user: MockUser,
) -> None:
    asked = Context(user_id=hass_read_only_user.id)
    # Who may control entities may ask; only an administrator can confirm.
    hass_read_only_user.groups = hass_admin_user.groups
    token = await ask(hass, entry, "active_power_limit", 80, context=asked)
    await act_as(
        hass,
        Context(user_id=hass_admin_user.id),
        "confirm_write",
        device,
        token=token,
    )
    (event,) = events
    assert event.context is asked
    assert event.data["asked_by"] == hass_read_only_user.name
    assert event.data["asked_through"] == control_of(hass, entry, "active_power_limit")
    assert event.data["confirmed_by"] == hass_admin_user.name
    assert event.data["confirmed_through"] == "local_solar.confirm_write"


def refuse(unit: Writable) -> None:
    """Answer writes with an exception."""
    unit.fail_write(ACTIVE_POWER, IllegalDataValueError())


def keep(unit: Writable) -> None:
    """Answer writes as if they had been done."""
    unit.keeps_old_values = True


def lose(unit: Writable) -> None:
    """Never get writes."""
    unit.fail_write(ACTIVE_POWER, ModbusTimeoutError("no answer within 3 s"))


def go_silent(unit: Writable) -> None:
    """Answer nothing any more once something was written."""
    unit.after_write = unit.fall_silent


def bend(unit: Writable) -> None:
    """Take another value."""
    unit.after_write = lambda: unit.holding.update({ACTIVE_POWER: 85})


@pytest.mark.parametrize(
    ("trouble", "outcome", "after", "error"),
    [
        (refuse, "not_written", 100, "write_refused"),
        (keep, "kept_old_value", 100, "kept_old_value"),
        (lose, "not_written", 100, "not_written"),
        (go_silent, "unknown", None, "outcome_unknown"),
        (bend, "unknown", 85, "holds_other_value"),
    ],
)
async def test_failed_change_is_told(
    hass: HomeAssistant,
    unit: Writable,
    device: dr.DeviceEntry,
    events: list[Event[dict[str, Any]]],
    trouble: Any,
    outcome: str,
    after: int | None,
    error: str,
) -> None:
    trouble(unit)
    await refused(act(hass, "set_register", device, **POWER, value=80))
    (event,) = events
    assert (event.data["before"], event.data["value"]) == (100, 80)
    assert event.data["outcome"] == outcome
    assert event.data["after"] == after
    assert event.data["error"] == error


async def test_what_was_never_sent_is_not_told(
    hass: HomeAssistant,
    unit: Writable,
    device: dr.DeviceEntry,
    events: list[Event[dict[str, Any]]],
) -> None:
    await act(hass, "set_register", device, **POWER, value=100)
    await refused(act(hass, "set_register", device, **POWER, value=101))
    await refused(act(hass, "set_register", device, **POWER, value=80, expected=1))
    unit.fail_read(ACTIVE_POWER, IllegalDataAddressError())
    await refused(act(hass, "set_register", device, **POWER, value=80))
    assert not events


async def test_change_is_logged(
    hass: HomeAssistant, device: dr.DeviceEntry, caplog: pytest.LogCaptureFixture
) -> None:
    await act(hass, "set_register", device, **POWER, value=80)
    assert (
        "Growatt MIN 6000TL-XH: active_power_limit: an automation asked through"
        " local_solar.set_register for 80 % instead of 100 %: written" in caplog.text
    )


# -- flash ----------------------------------------------------------------------------


async def spend(hass: HomeAssistant, device: dr.DeviceEntry, value: int) -> bool:
    """Write a setting that is kept in flash; return whether it was allowed."""
    try:
        await act(hass, "set_register", device, **SOC, value=value)
    except HomeAssistantError as err:
        if err.translation_key == "write_rate_limited":
            return False
        raise
    return True


async def test_spacing_holds_over_a_reload(
    hass: HomeAssistant,
    entry: MockConfigEntry,
    device: dr.DeviceEntry,
    freezer: FrozenDateTimeFactory,
) -> None:
    assert await spend(hass, device, 90)
    await hass.config_entries.async_reload(entry.entry_id)
    assert not await spend(hass, device, 91)
    freezer.tick(SPACING)
    assert await spend(hass, device, 91)


async def test_settings_do_not_share_a_budget(
    hass: HomeAssistant, unit: Writable, device: dr.DeviceEntry
) -> None:
    assert await spend(hass, device, 90)
    data = {"register": "ac_charge_enable", "value": True, "confirm": True}
    await act(hass, "set_register", device, **data)
    assert unit.written == [(CHARGE_STOP_SOC, [90]), (AC_CHARGE, [1])]


async def test_parts_of_a_slot_share_its_budget(
    hass: HomeAssistant, device: dr.DeviceEntry
) -> None:
    data = {"confirm": True}
    await act(
        hass, "set_register", device, register="tou2_start", value="02:00", **data
    )
    err = await refused(
        act(hass, "set_register", device, register="tou2_end", value="06:00", **data)
    )
    assert err.translation_key == "write_rate_limited"


async def test_value_that_is_held_spends_nothing(
    hass: HomeAssistant, device: dr.DeviceEntry
) -> None:
    assert await spend(hass, device, 96)
    assert await spend(hass, device, 90)
    assert await spend(hass, device, 90)


def ledger_of(entry: MockConfigEntry, writes: list[datetime]) -> dict[str, Any]:
    """Return what was stored when so many writes had been made."""
    cells = f"{entry.unique_id}/{CHARGE_STOP_SOC}"
    return {"version": 1, "data": {cells: [at.isoformat() for at in writes]}}


@pytest.mark.parametrize(
    ("writes", "youngest", "is_allowed"),
    [
        (1, timedelta(seconds=5), False),
        (1, timedelta(seconds=11), True),
        (PER_DAY - 1, timedelta(minutes=5), True),
        (PER_DAY, timedelta(minutes=5), False),
        (PER_DAY, timedelta(hours=23), False),
        (PER_DAY, timedelta(hours=25), True),
    ],
    ids=str,
)
async def test_writes_are_counted_over_a_restart(
    hass: HomeAssistant,
    unit: Writable,
    hass_storage: dict[str, Any],
    freezer: FrozenDateTimeFactory,
    writes: int,
    youngest: timedelta,
    is_allowed: bool,
) -> None:
    entry = await set_up(hass, unit)
    at = datetime.now(UTC) - youngest
    hass_storage[f"local_solar.writes.{entry.entry_id}"] = ledger_of(
        entry, [at - timedelta(seconds=11 * n) for n in range(writes)]
    )
    hass.config_entries.async_update_entry(entry, options={"write_access": "confirm"})
    await hass.config_entries.async_reload(entry.entry_id)
    assert await spend(hass, device_of(hass, entry), 90) is is_allowed


async def test_day_allows_so_many_writes_and_no_more(
    hass: HomeAssistant,
    unit: Writable,
    device: dr.DeviceEntry,
    freezer: FrozenDateTimeFactory,
) -> None:
    for n in range(PER_DAY):
        assert await spend(hass, device, 90 + n % 2)
        freezer.tick(SPACING)
    assert not await spend(hass, device, 50)
    freezer.tick(timedelta(hours=24) - PER_DAY * SPACING)
    assert await spend(hass, device, 50)
    assert len(unit.writes) == PER_DAY + 1


async def test_write_is_counted_before_it_is_sent(
    hass: HomeAssistant,
    unit: Writable,
    entry: MockConfigEntry,
    device: dr.DeviceEntry,
    hass_storage: dict[str, Any],
) -> None:
    stored: list[object] = []
    name = f"local_solar.writes.{entry.entry_id}"
    unit.after_write = lambda: stored.append(hass_storage[name]["data"])
    assert await spend(hass, device, 90)
    (data,) = stored
    assert isinstance(data, dict)
    assert list(data) == [f"{entry.unique_id}/{CHARGE_STOP_SOC}"]


async def test_counts_go_with_the_entry(
    hass: HomeAssistant,
    entry: MockConfigEntry,
    device: dr.DeviceEntry,
    hass_storage: dict[str, Any],
) -> None:
    assert await spend(hass, device, 90)
    assert f"local_solar.writes.{entry.entry_id}" in hass_storage
    await hass.config_entries.async_remove(entry.entry_id)
    assert f"local_solar.writes.{entry.entry_id}" not in hass_storage
