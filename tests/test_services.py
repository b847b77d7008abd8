"""Actions: reading registers, and changing settings with an explicit confirmation."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from freezegun.api import FrozenDateTimeFactory
from modbus_connection import IllegalDataAddressError, ModbusTimeoutError
import probatio
import pytest
from pytest_homeassistant_custom_component.common import MockConfigEntry, MockUser

from custom_components.local_solar import write_errors
from custom_components.local_solar.const import DOMAIN
from custom_components.local_solar.growatt.models import Certainty
from custom_components.local_solar.services import ACTIONS
from custom_components.local_solar.write_errors import (
    ClosedError,
    DeviceError,
    DoubtfulError,
    HoldsOtherValueError,
    InstallerError,
    InvalidValueError,
    KeptOldValueError,
    NeverWriteError,
    NotASettingError,
    NotIdentifiedError,
    NotReadableError,
    NotSentError,
    NotWrittenError,
    OutcomeUnknownError,
    RefusedError,
    TooOftenError,
    UnknownSettingError,
    UnknownTokenError,
    ValueChangedError,
    WriteError,
    WrongDeviceError,
)
from custom_components.local_solar.write_gate import WriteGate
from homeassistant.config_entries import ConfigEntryState
from homeassistant.core import Context, HomeAssistant
from homeassistant.exceptions import ServiceValidationError, Unauthorized
from homeassistant.helpers import device_registry as dr, issue_registry as ir
from homeassistant.helpers.service import async_get_all_descriptions
from homeassistant.setup import async_setup_component
from simulators.growatt_rules import VPP_VERSION

from .common import HOST, TL_XH, Network, coordinator_of, pass_time, set_up, setup_state
from .simulated import VPP
from .writing_helpers import (
    AC_CHARGE,
    ACTIVE_POWER,
    BATTERY_FIRST,
    CHARGE_STOP_SOC,
    EXPORT_LIMIT,
    ON,
    POWER_COMMAND_MEMORY,
    SLOT_1,
    SLOT_2,
    SPACING,
    Writable,
    act,
    act_as,
    add_unit,
    device_of,
    issues,
    refused,
    set_up_writable,
    texts_of,
)

pytestmark = pytest.mark.usefixtures("settled")

NIGHT = {"start": "01:00", "end": "05:00", "mode": "battery_first", "enabled": True}
NIGHT_WORDS = [ON | BATTERY_FIRST | 1 << 8, 5 << 8]

ARGUMENTS: Mapping[str, Mapping[str, object]] = {
    "read_register": {"register": "active_power_limit"},
    "preview_write": {"register": "active_power_limit", "value": 80},
    "confirm_write": {"token": "0f3c2a9d5b7e4c61"},
    "cancel_write": {"token": "0f3c2a9d5b7e4c61"},
    "set_register": {"register": "active_power_limit", "value": 80, "confirm": True},
    "set_time_slot": {"slot": 2, "start": "01:00", "confirm": True},
    "dump_registers": {},
    "list_devices": {},
    "control_battery": {"power": 50, "duration": 30, "confirm": True},
    "release_battery": {"confirm": True},
    "import_energy_history": {},
    "start_capture": {"max_size": 10},
    "stop_capture": {},
}
WITHOUT_DEVICE = {"list_dataloggers"}
"""Actions that are about all devices there are; tested with what they are about."""

WRITING = sorted(
    ARGUMENTS.keys()
    - {
        "read_register",
        "dump_registers",
        "list_devices",
        "release_battery",
        "import_energy_history",
        "start_capture",
        "stop_capture",
    }
)
"""Actions that need writing to be switched on. Who commanded a battery may always release it."""

CONFIRMED = [action for action in ARGUMENTS if "confirm" in ARGUMENTS[action]]


async def preview(
    hass: HomeAssistant, device: dr.DeviceEntry, value: object = 80
) -> str:
    """Preview another active power limit and return the token."""
    response = await act(
        hass, "preview_write", device, register="active_power_limit", value=value
    )
    return str(response["token"])


def test_all_actions_are_tested() -> None:
    assert ARGUMENTS.keys() | WITHOUT_DEVICE == ACTIONS.keys()


# -- reading --------------------------------------------------------------------------


async def test_register_is_read_by_its_key(
    hass: HomeAssistant, unit: Writable, device: dr.DeviceEntry
) -> None:
    unit.holding[ACTIVE_POWER] = 70
    response = await act(hass, "read_register", device, register="active_power_limit")
    assert response == {
        "space": "holding",
        "address": ACTIVE_POWER,
        "raw": [70],
        "register": "active_power_limit",
        "value": 70,
        "unit": "%",
        "setting": {"minimum": 0, "maximum": 100, "step": 1, "options": []},
    }


async def test_register_that_is_no_setting_is_read_without_limits(
    hass: HomeAssistant, device: dr.DeviceEntry
) -> None:
    response = await act(hass, "read_register", device, register="battery_soc")
    assert response["space"] == "input"
    assert "setting" not in response


async def test_time_slot_is_read_as_a_whole(
    hass: HomeAssistant, device: dr.DeviceEntry
) -> None:
    response = await act(hass, "read_register", device, register="tou1")
    assert response["value"] == {
        "start": "00:00",
        "end": "23:59",
        "mode": "load_first",
        "enabled": True,
    }


async def test_registers_are_read_by_address(
    hass: HomeAssistant, unit: Writable, device: dr.DeviceEntry
) -> None:
    response = await act(
        hass, "read_register", device, space="holding", address=CHARGE_STOP_SOC, count=2
    )
    assert response == {
        "space": "holding",
        "address": CHARGE_STOP_SOC,
        "raw": [96, 0],
        "values": {"charge_stop_soc": 96, "ac_charge_enable": False},
    }


async def test_registers_without_a_name_are_read_by_address(
    hass: HomeAssistant, unit: Writable, device: dr.DeviceEntry
) -> None:
    unit.holding[1234] = 5678
    response = await act(hass, "read_register", device, space="holding", address=1234)
    assert response["raw"] == [5678]
    assert response["values"] == {}


@pytest.mark.parametrize(
    "data",
    [
        {},
        {"space": "holding"},
        {"address": 3},
        {"register": "active_power_limit", "space": "holding", "address": 3},
        {"register": "active_power_limit", "address": 3},
    ],
    ids=str,
)
async def test_either_a_key_or_an_address_is_read(
    hass: HomeAssistant, unit: Writable, device: dr.DeviceEntry, data: dict[str, object]
) -> None:
    unit.taken_requests()
    err = await refused(act(hass, "read_register", device, **data))
    assert err.translation_key == "register_or_address"
    assert unit.taken_requests() == 0


async def test_unknown_register_is_not_read(
    hass: HomeAssistant, device: dr.DeviceEntry
) -> None:
    err = await refused(act(hass, "read_register", device, register="no_such_thing"))
    assert isinstance(err, ServiceValidationError)
    assert err.translation_key == "unknown_register"


@pytest.mark.parametrize(
    "data",
    [
        {"space": "coil", "address": 3},
        {"space": "holding", "address": 65536},
        {"space": "holding", "address": -1},
        {"space": "holding", "address": 3, "count": 0},
        {"space": "holding", "address": 3, "count": 126},
        {"register": "No such key!"},
    ],
    ids=str,
)
async def test_what_cannot_be_read_is_an_error_of_the_schema(
    hass: HomeAssistant, device: dr.DeviceEntry, data: dict[str, object]
) -> None:
    with pytest.raises(probatio.Invalid):
        await act(hass, "read_register", device, **data)


@pytest.mark.parametrize(
    ("address", "count"), [(30000, 1), (31999, 1), (29999, 2), (31900, 125), (65535, 1)]
)
async def test_guessed_model_is_not_asked_for_registers_that_reset_others(
    hass: HomeAssistant,
    unit: Writable,
    entry: MockConfigEntry,
    device: dr.DeviceEntry,
    address: int,
    count: int,
) -> None:
    inverter = coordinator_of(entry).inverter
    inverter.identified = replace(inverter.identified, certainty=Certainty.GUESSED)
    unit.taken_requests()
    err = await refused(
        act(
            hass,
            "read_register",
            device,
            space="holding",
            address=address,
            count=count,
        )
    )
    assert err.translation_key == "forbidden_registers"
    assert unit.taken_requests() == 0


async def test_guessed_model_is_asked_for_all_other_registers(
    hass: HomeAssistant, entry: MockConfigEntry, device: dr.DeviceEntry
) -> None:
    inverter = coordinator_of(entry).inverter
    inverter.identified = replace(inverter.identified, certainty=Certainty.GUESSED)
    response = await act(hass, "read_register", device, space="holding", address=29999)
    assert response["raw"] == [0]


async def test_register_that_is_not_answered_says_why(
    hass: HomeAssistant, unit: Writable, device: dr.DeviceEntry
) -> None:
    unit.fail_read(ACTIVE_POWER, IllegalDataAddressError())
    err = await refused(
        act(hass, "read_register", device, register="active_power_limit")
    )
    assert not isinstance(err, ServiceValidationError)
    assert err.translation_key == "read_failed"
    assert "Modbus exception code 2" in str(err)


# -- who may call, and what ------------------------------------------------------------


@pytest.mark.parametrize("action", ARGUMENTS)
async def test_only_administrators_may_act(
    hass: HomeAssistant,
    unit: Writable,
    device: dr.DeviceEntry,
    hass_read_only_user: MockUser,
    action: str,
) -> None:
    unit.taken_requests()
    context = Context(user_id=hass_read_only_user.id)
    with pytest.raises(Unauthorized):
        await act_as(hass, context, action, device, **ARGUMENTS[action])
    assert unit.taken_requests() == 0


@pytest.mark.parametrize("by_user", [True, False], ids=["administrator", "automation"])
async def test_administrators_and_automations_may_write(
    hass: HomeAssistant,
    unit: Writable,
    device: dr.DeviceEntry,
    hass_admin_user: MockUser,
    by_user: bool,
) -> None:
    context = Context(user_id=hass_admin_user.id if by_user else None)
    response = await act_as(
        hass, context, "set_register", device, **ARGUMENTS["set_register"]
    )
    assert response == {
        "register": "active_power_limit",
        "address": ACTIVE_POWER,
        "before": 100,
        "after": 80,
        "unit": "%",
        "outcome": "written",
        "written": True,
        "verified": True,
    }
    assert unit.written == [(ACTIVE_POWER, [80])]


@pytest.mark.parametrize("action", CONFIRMED)
async def test_forgotten_confirmation_is_an_error_of_the_schema(
    hass: HomeAssistant, unit: Writable, device: dr.DeviceEntry, action: str
) -> None:
    data = {**ARGUMENTS[action]}
    del data["confirm"]
    with pytest.raises(probatio.Invalid, match="confirm"):
        await act(hass, action, device, **data)
    assert not unit.writes


@pytest.mark.parametrize("action", CONFIRMED)
async def test_missing_consent_writes_nothing(
    hass: HomeAssistant, unit: Writable, device: dr.DeviceEntry, action: str
) -> None:
    unit.taken_requests()
    data = {**ARGUMENTS[action], "confirm": False}
    err = await refused(act(hass, action, device, **data))
    assert err.translation_key == "confirmation_required"
    assert f"{DOMAIN}.{action}" in str(err)
    assert unit.taken_requests() == 0


@pytest.mark.parametrize("action", ARGUMENTS)
async def test_fields_that_do_not_exist_are_refused(
    hass: HomeAssistant, device: dr.DeviceEntry, action: str
) -> None:
    with pytest.raises(probatio.Invalid):
        await act(hass, action, device, **ARGUMENTS[action], force=True)


@pytest.mark.parametrize(
    ("register", "value", "words"),
    [
        ("active_power_limit", 80, [80]),
        ("active_power_limit", 80.0, [80]),
        ("active_power_limit", "80", [80]),
        ("active_power_limit", " 8e1 ", [80]),
        ("export_limit_rate", 12.5, [125]),
        ("export_limit_rate", "12.5", [125]),
        ("ac_charge_enable", True, [1]),
        ("ac_charge_enable", "on", [1]),
        ("ac_charge_enable", "Yes", [1]),
        ("ac_charge_enable", 1, [1]),
        ("tou2_start", "02:45", [0x222D, 0x0500]),
        ("tou2_start", "02:45:00", [0x222D, 0x0500]),
        ("tou2_mode", "grid_first", [0x411E, 0x0500]),
        ("tou2", {"end": "06:15"}, [0x211E, 0x060F]),
    ],
    ids=str,
)
async def test_values_are_taken_as_people_write_them(
    hass: HomeAssistant,
    unit: Writable,
    device: dr.DeviceEntry,
    register: str,
    value: object,
    words: list[int],
) -> None:
    response = await act(hass, "preview_write", device, register=register, value=value)
    assert response["raw_value"] == words


@pytest.mark.parametrize(
    ("register", "value", "key"),
    [
        ("active_power_limit", 101, "value_out_of_range"),
        ("active_power_limit", -1, "value_out_of_range"),
        ("active_power_limit", float("nan"), "value_out_of_range"),
        ("active_power_limit", 80.5, "value_not_representable"),
        ("active_power_limit", "a lot", "value_not_representable"),
        ("active_power_limit", True, "value_not_representable"),
        ("active_power_limit", {"start": "01:00"}, "value_not_representable"),
        ("export_limit_mode", "no_such_mode", "value_not_an_option"),
        ("ac_charge_enable", "perhaps", "value_not_representable"),
        ("tou2_start", "25:00", "value_not_representable"),
        ("tou2", "01:00", "value_not_representable"),
        ("tou2", {"begin": "01:00"}, "value_not_representable"),
        ("tou2", {"mode": "no_such_mode"}, "value_not_representable"),
        ("tou2_mode", "no_such_mode", "value_not_representable"),
        ("no_such_thing", 1, "unknown_register"),
        ("tou10", {"enabled": False}, "unknown_register"),
        ("battery_soc", 50, "not_a_setting"),
        ("serial_number", "ABC", "not_a_setting"),
        ("country_selected", True, "never_write"),
    ],
    ids=str,
)
async def test_what_no_table_allows_is_refused(
    hass: HomeAssistant,
    unit: Writable,
    device: dr.DeviceEntry,
    register: str,
    value: object,
    key: str,
) -> None:
    data = {"register": register, "value": value}
    for err in (
        await refused(act(hass, "preview_write", device, **data)),
        await refused(act(hass, "set_register", device, **data, confirm=True)),
    ):
        assert isinstance(err, ServiceValidationError)
        assert err.translation_key == key
    assert not unit.writes


@pytest.mark.parametrize("action", WRITING)
async def test_nothing_is_written_while_writing_is_switched_off(
    hass: HomeAssistant, unit: Writable, action: str
) -> None:
    entry = await set_up(hass, unit)
    err = await refused(act(hass, action, device_of(hass, entry), **ARGUMENTS[action]))
    assert isinstance(err, ServiceValidationError)
    assert err.translation_key == "writes_disabled"
    assert unit.taken_requests() == 0


async def test_registers_are_read_while_writing_is_switched_off(
    hass: HomeAssistant, unit: Writable
) -> None:
    entry = await set_up(hass, unit)
    response = await act(
        hass, "read_register", device_of(hass, entry), register="active_power_limit"
    )
    assert response["value"] == 100


@pytest.mark.parametrize("action", ["start_capture", "stop_capture"])
async def test_only_gateways_record_what_clients_say(
    hass: HomeAssistant, unit: Writable, device: dr.DeviceEntry, action: str
) -> None:
    unit.taken_requests()
    err = await refused(act(hass, action, device, **ARGUMENTS[action]))
    assert isinstance(err, ServiceValidationError)
    assert err.translation_key == "not_a_gateway"
    assert "MIN 6000TL-XH" in str(err)
    assert unit.taken_requests() == 0


@pytest.mark.parametrize("action", ARGUMENTS)
async def test_entry_must_be_set_up(
    hass: HomeAssistant,
    unit: Writable,
    entry: MockConfigEntry,
    device: dr.DeviceEntry,
    action: str,
) -> None:
    await hass.config_entries.async_unload(entry.entry_id)
    unit.taken_requests()
    with pytest.raises(ServiceValidationError) as refusal:
        await act(hass, action, device, **ARGUMENTS[action])
    assert refusal.value.translation_key == "service_config_entry_not_loaded"
    assert unit.taken_requests() == 0


@pytest.mark.parametrize("action", ARGUMENTS)
async def test_device_must_exist_and_be_ours(
    hass: HomeAssistant,
    entry: MockConfigEntry,
    device_registry: dr.DeviceRegistry,
    action: str,
) -> None:
    other = MockConfigEntry(domain="other")
    other.add_to_hass(hass)
    stranger = device_registry.async_get_or_create(
        config_entry_id=other.entry_id, identifiers={("other", "1")}
    )
    for device_id, key in (
        ("nobody", "service_device_not_found"),
        (stranger.id, "service_device_wrong_domain"),
    ):
        with pytest.raises(ServiceValidationError) as refusal:
            await act(hass, action, device_id, **ARGUMENTS[action])
        assert refusal.value.translation_key == key


async def test_battery_stands_for_the_inverter_it_is_behind(
    hass: HomeAssistant, unit: Writable, entry: MockConfigEntry
) -> None:
    inverter, battery = (
        device_of(hass, entry, battery=is_battery) for is_battery in (False, True)
    )
    token = await preview(hass, battery)
    response = await act(hass, "confirm_write", inverter, token=token)
    assert response["outcome"] == "written"
    response = await act(
        hass,
        "set_register",
        inverter,
        register="charge_stop_soc",
        value=90,
        confirm=True,
    )
    assert response["outcome"] == "written"
    assert unit.written == [(ACTIVE_POWER, [80]), (CHARGE_STOP_SOC, [90])]


# -- preview, confirm, cancel ----------------------------------------------------------


async def test_preview_says_what_would_be_written(
    hass: HomeAssistant, unit: Writable, device: dr.DeviceEntry
) -> None:
    response = await act(
        hass, "preview_write", device, register="active_power_limit", value=80
    )
    expires = datetime.fromisoformat(str(response.pop("expires")))
    assert timedelta(seconds=290) < expires - datetime.now(UTC) <= timedelta(minutes=5)
    assert "register 2" in str(response.pop("note"))
    assert len(str(response.pop("token"))) == 16
    assert response == {
        "register": "active_power_limit",
        "address": ACTIVE_POWER,
        "current": 100,
        "value": 80,
        "unit": "%",
        "raw_current": [100],
        "raw_value": [80],
        "persistent": False,
        "warnings": [],
    }
    assert not unit.writes
    assert not issues(hass)


async def test_preview_of_a_part_of_a_slot_shows_both_words(
    hass: HomeAssistant, unit: Writable, device: dr.DeviceEntry
) -> None:
    unit.holding[SLOT_1] = 0
    response = await act(
        hass, "preview_write", device, register="tou2_enabled", value=True
    )
    assert (response["current"], response["value"]) == (False, True)
    assert response["address"] == SLOT_2
    assert response["raw_current"] == [0x211E, 0x0500]
    assert response["raw_value"] == [0xA11E, 0x0500]
    assert response["persistent"] is True
    assert response["warnings"] == ["in_flash", "slot_without_grid_charge"]


async def test_change_is_kept_in_flash_while_another_setting_says_so(
    hass: HomeAssistant, unit: Writable, device: dr.DeviceEntry
) -> None:
    unit.holding[POWER_COMMAND_MEMORY] = 1
    response = await act(
        hass, "preview_write", device, register="active_power_limit", value=80
    )
    assert response["persistent"] is True
    assert response["warnings"] == ["in_flash"]


async def test_confirmed_change_is_written_once(
    hass: HomeAssistant, unit: Writable, device: dr.DeviceEntry
) -> None:
    token = await preview(hass, device)
    response = await act(hass, "confirm_write", device, token=token)
    assert (response["before"], response["after"]) == (100, 80)
    assert response["written"] is True
    assert response["verified"] is True
    err = await refused(act(hass, "confirm_write", device, token=token))
    assert err.translation_key == "unknown_token"
    assert unit.written == [(ACTIVE_POWER, [80])]


async def test_action_is_answered_only_if_asked_for(
    hass: HomeAssistant, unit: Writable, device: dr.DeviceEntry
) -> None:
    data = {"device_id": device.id, **ARGUMENTS["set_register"]}
    await hass.services.async_call(DOMAIN, "set_register", data, blocking=True)
    assert unit.written == [(ACTIVE_POWER, [80])]


async def test_cancelled_change_cannot_be_confirmed(
    hass: HomeAssistant, unit: Writable, device: dr.DeviceEntry
) -> None:
    token = await preview(hass, device)
    await act(hass, "cancel_write", device, token=token)
    for action in ("confirm_write", "cancel_write"):
        err = await refused(act(hass, action, device, token=token))
        assert err.translation_key == "unknown_token"
    assert not unit.writes


@pytest.mark.parametrize(("seconds", "is_valid"), [(299, True), (301, False)])
async def test_token_expires_after_five_minutes(
    hass: HomeAssistant,
    unit: Writable,
    device: dr.DeviceEntry,
    freezer: FrozenDateTimeFactory,
    seconds: int,
    is_valid: bool,
) -> None:
    token = await preview(hass, device)
    freezer.tick(seconds)
    if is_valid:
        await act(hass, "confirm_write", device, token=token)
    else:
        err = await refused(act(hass, "confirm_write", device, token=token))
        assert err.translation_key == "unknown_token"
    assert bool(unit.writes) is is_valid


async def test_token_does_not_outlive_a_reload(
    hass: HomeAssistant, unit: Writable, entry: MockConfigEntry, device: dr.DeviceEntry
) -> None:
    token = await preview(hass, device)
    await hass.config_entries.async_reload(entry.entry_id)
    assert entry.state is ConfigEntryState.LOADED
    err = await refused(act(hass, "confirm_write", device, token=token))
    assert err.translation_key == "unknown_token"
    assert not unit.writes


async def test_token_of_another_inverter_is_unknown(
    hass: HomeAssistant,
    network: Network,
    unit: Writable,
    device: dr.DeviceEntry,
) -> None:
    other = Writable(TL_XH)
    other.set_serial_number("BBB0000002")
    network.links["tcp", HOST, 502].units[2] = other
    other_entry = await set_up(
        hass, other, unit_id=2, options={"write_access": "confirm"}
    )
    token = await preview(hass, device)
    err = await refused(
        act(hass, "confirm_write", device_of(hass, other_entry), token=token)
    )
    assert err.translation_key == "unknown_token"
    assert not other.writes
    await act(hass, "confirm_write", device, token=token)
    assert unit.written == [(ACTIVE_POWER, [80])]


async def test_value_that_changed_since_the_preview_is_left_alone(
    hass: HomeAssistant, unit: Writable, device: dr.DeviceEntry
) -> None:
    token = await preview(hass, device)
    unit.holding[ACTIVE_POWER] = 60
    err = await refused(act(hass, "confirm_write", device, token=token))
    assert isinstance(err, ServiceValidationError)
    assert err.translation_key == "value_changed"
    assert "active_power_limit" in str(err)
    assert "60 %" in str(err)
    assert "100 %" in str(err)
    unit.holding[ACTIVE_POWER] = 100
    err = await refused(act(hass, "confirm_write", device, token=token))
    assert err.translation_key == "unknown_token"
    assert not unit.writes


async def test_other_device_is_not_written_to(
    hass: HomeAssistant, unit: Writable, entry: MockConfigEntry, device: dr.DeviceEntry
) -> None:
    token = await preview(hass, device)
    unit.set_serial_number("BBB0000002")
    err = await refused(act(hass, "confirm_write", device, token=token))
    assert not isinstance(err, ServiceValidationError)
    assert err.translation_key == "wrong_device"
    assert not unit.writes
    (issue,) = issues(hass)
    assert issue.translation_key == "wrong_device"
    assert issue.is_fixable is False
    assert issue.severity is ir.IssueSeverity.ERROR
    assert texts_of(issue)["expected"] == entry.unique_id
    assert texts_of(issue)["found"] == "BBB0000002"


async def test_other_device_is_not_polled_either(
    hass: HomeAssistant, unit: Writable, entry: MockConfigEntry, device: dr.DeviceEntry
) -> None:
    unit.set_serial_number("BBB0000002")
    await refused(act(hass, "set_register", device, **ARGUMENTS["set_register"]))
    await hass.async_block_till_done()
    assert setup_state(entry) is ConfigEntryState.SETUP_RETRY
    assert len(issues(hass)) == 1


async def test_other_device_is_reported_until_the_right_one_answers(
    hass: HomeAssistant, unit: Writable, entry: MockConfigEntry, device: dr.DeviceEntry
) -> None:
    assert entry.unique_id is not None
    unit.set_serial_number("BBB0000002")
    await refused(act(hass, "set_register", device, **ARGUMENTS["set_register"]))
    await hass.async_block_till_done()
    unit.set_serial_number(entry.unique_id)
    await hass.config_entries.async_reload(entry.entry_id)
    assert setup_state(entry) is ConfigEntryState.LOADED
    assert not issues(hass)
    await act(hass, "set_register", device, **ARGUMENTS["set_register"])
    assert unit.written == [(ACTIVE_POWER, [80])]


async def test_report_of_another_device_goes_with_the_entry(
    hass: HomeAssistant, unit: Writable, entry: MockConfigEntry, device: dr.DeviceEntry
) -> None:
    unit.set_serial_number("BBB0000002")
    await refused(act(hass, "set_register", device, **ARGUMENTS["set_register"]))
    await hass.async_block_till_done()
    await hass.config_entries.async_remove(entry.entry_id)
    assert not issues(hass)


# -- compare and set -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("register", "expected", "value"),
    [
        ("active_power_limit", 100, 80),
        ("active_power_limit", "100", 80),
        ("ac_charge_enable", False, True),
        ("ac_charge_enable", "off", True),
        ("tou2_start", "01:30", "02:00"),
        ("tou2_mode", "battery_first", "load_first"),
        ("export_limit_rate", 100, 50),
    ],
    ids=str,
)
async def test_expected_value_is_written_over(
    hass: HomeAssistant,
    unit: Writable,
    device: dr.DeviceEntry,
    register: str,
    expected: object,
    value: object,
) -> None:
    data = {"register": register, "value": value, "confirm": True}
    response = await act(hass, "set_register", device, **data, expected=expected)
    assert response["outcome"] == "written"
    assert len(unit.writes) == 1


async def test_unexpected_value_is_left_alone(
    hass: HomeAssistant, unit: Writable, device: dr.DeviceEntry
) -> None:
    data = ARGUMENTS["set_register"]
    err = await refused(act(hass, "set_register", device, **data, expected=90))
    assert err.translation_key == "value_changed"
    assert not unit.writes


async def test_slot_cannot_be_expected_as_a_whole(
    hass: HomeAssistant, unit: Writable, device: dr.DeviceEntry
) -> None:
    data = {"register": "tou2", "value": {"enabled": False}, "confirm": True}
    err = await refused(act(hass, "set_register", device, **data, expected=NIGHT))
    assert err.translation_key == "expected_of_slot"
    assert not unit.writes


async def test_value_that_is_held_is_not_written_again(
    hass: HomeAssistant, unit: Writable, device: dr.DeviceEntry
) -> None:
    data = {"register": "active_power_limit", "value": 100, "confirm": True}
    response = await act(hass, "set_register", device, **data)
    assert response["outcome"] == "unchanged"
    assert response["written"] is False
    assert response["verified"] is True
    assert not unit.writes


async def test_value_that_is_held_is_written_again_if_wanted(
    hass: HomeAssistant, unit: Writable, device: dr.DeviceEntry
) -> None:
    data = {"register": "active_power_limit", "value": 100, "confirm": True}
    response = await act(hass, "set_register", device, **data, only_if_different=False)
    assert response["outcome"] == "written"
    assert unit.written == [(ACTIVE_POWER, [100])]


# -- time slots ------------------------------------------------------------------------


async def test_slot_is_written_in_one_message(
    hass: HomeAssistant, unit: Writable, device: dr.DeviceEntry
) -> None:
    unit.holding[SLOT_1] = 0
    response = await act(
        hass, "set_time_slot", device, slot=2, **NIGHT, confirm=True, grid_charge=False
    )
    assert unit.written == [(SLOT_2, NIGHT_WORDS)]
    assert unit.writes[0].function_code == 16
    assert response["register"] == "tou2"
    assert response["before"] == {**NIGHT, "start": "01:30", "enabled": False}
    assert response["after"] == NIGHT


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"start": "02:00"}, [0x2200, 0x0500]),
        ({"end": "06:00"}, [0x211E, 0x0600]),
        ({"mode": "grid_first"}, [0x411E, 0x0500]),
        ({"start": "02:00:00", "end": "06:00:00"}, [0x2200, 0x0600]),
    ],
    ids=str,
)
async def test_slot_keeps_what_is_not_given(
    hass: HomeAssistant,
    unit: Writable,
    device: dr.DeviceEntry,
    change: dict[str, object],
    words: list[int],
) -> None:
    await act(hass, "set_time_slot", device, slot=2, **change, confirm=True)
    assert unit.written == [(SLOT_2, words)]


@pytest.mark.parametrize("grid_charge", [True, False])
async def test_overlapping_slot_changes_nothing_at_all(
    hass: HomeAssistant, unit: Writable, device: dr.DeviceEntry, grid_charge: bool
) -> None:
    err = await refused(
        act(
            hass,
            "set_time_slot",
            device,
            slot=2,
            **NIGHT,
            confirm=True,
            grid_charge=grid_charge,
        )
    )
    assert isinstance(err, ServiceValidationError)
    assert err.translation_key == "slot_overlaps"
    assert "tou1" in str(err)
    assert not unit.writes


@pytest.mark.parametrize(
    ("data", "key"),
    [
        ({"start": "23:00", "end": "05:00"}, "slot_crosses_midnight"),
        ({"start": "05:00", "end": "05:00"}, "slot_crosses_midnight"),
        ({"mode": "no_such_mode"}, "slot_mode_needed"),
        ({"mode": "vpp"}, "slot_mode_needed"),
        ({"power": 50}, "slot_has_no_part"),
        ({"days": "week"}, "slot_has_no_part"),
        ({"start": "01:00:30"}, "value_not_representable"),
    ],
    ids=str,
)
async def test_slot_that_makes_no_sense_changes_nothing_at_all(
    hass: HomeAssistant,
    unit: Writable,
    device: dr.DeviceEntry,
    data: dict[str, object],
    key: str,
) -> None:
    unit.holding[SLOT_1] = 0
    slot = {**NIGHT, **data, "grid_charge": True}
    err = await refused(
        act(hass, "set_time_slot", device, slot=2, **slot, confirm=True)
    )
    assert err.translation_key == key
    assert not unit.writes


async def test_charging_slot_needs_a_word_on_the_grid(
    hass: HomeAssistant, unit: Writable, device: dr.DeviceEntry
) -> None:
    unit.holding[SLOT_1] = 0
    err = await refused(
        act(hass, "set_time_slot", device, slot=2, **NIGHT, confirm=True)
    )
    assert isinstance(err, ServiceValidationError)
    assert err.translation_key == "slot_without_grid_charge"
    assert not unit.writes


async def test_slot_may_charge_from_pv_only(
    hass: HomeAssistant, unit: Writable, device: dr.DeviceEntry
) -> None:
    unit.holding[SLOT_1] = 0
    await act(
        hass, "set_time_slot", device, slot=2, **NIGHT, confirm=True, grid_charge=False
    )
    assert unit.written == [(SLOT_2, NIGHT_WORDS)]
    assert not unit.holding.get(AC_CHARGE)


async def test_charging_from_the_grid_is_switched_on_before_the_slot(
    hass: HomeAssistant, unit: Writable, device: dr.DeviceEntry
) -> None:
    unit.holding[SLOT_1] = 0
    response = await act(
        hass, "set_time_slot", device, slot=2, **NIGHT, confirm=True, grid_charge=True
    )
    assert unit.written == [(AC_CHARGE, [1]), (SLOT_2, NIGHT_WORDS)]
    assert response["register"] == "tou2"


async def test_charging_from_the_grid_is_switched_off_before_the_slot(
    hass: HomeAssistant, unit: Writable, device: dr.DeviceEntry
) -> None:
    unit.holding.update({SLOT_1: 0, AC_CHARGE: 1})
    await act(
        hass, "set_time_slot", device, slot=2, **NIGHT, confirm=True, grid_charge=False
    )
    assert unit.written == [(AC_CHARGE, [0]), (SLOT_2, NIGHT_WORDS)]


@pytest.mark.parametrize(
    ("charges", "key"), [(0, "slot_failed_after_grid_charge"), (1, "write_refused")]
)
async def test_slot_that_is_refused_after_charging_was_switched_on_is_told(
    hass: HomeAssistant, unit: Writable, device: dr.DeviceEntry, charges: int, key: str
) -> None:
    unit.holding.update({SLOT_1: 0, AC_CHARGE: charges})
    for address in (SLOT_2, SLOT_2 + 1):
        unit.fail_write(address, IllegalDataAddressError())
    err = await refused(
        act(
            hass,
            "set_time_slot",
            device,
            slot=2,
            **NIGHT,
            confirm=True,
            grid_charge=True,
        )
    )
    assert not isinstance(err, ServiceValidationError)
    assert err.translation_key == key
    assert "refused to change" in str(err)
    assert unit.holding[AC_CHARGE] == 1


async def test_charging_slot_is_written_while_the_grid_may_charge(
    hass: HomeAssistant, unit: Writable, device: dr.DeviceEntry
) -> None:
    unit.holding.update({SLOT_1: 0, AC_CHARGE: 1})
    await act(hass, "set_time_slot", device, slot=2, **NIGHT, confirm=True)
    assert unit.written == [(SLOT_2, NIGHT_WORDS)]


async def test_slot_that_is_held_costs_no_write(
    hass: HomeAssistant, unit: Writable, device: dr.DeviceEntry
) -> None:
    unit.holding.update({SLOT_1: 0, AC_CHARGE: 1})
    unit.holding.update(enumerate(NIGHT_WORDS, SLOT_2))
    response = await act(
        hass, "set_time_slot", device, slot=2, **NIGHT, confirm=True, grid_charge=True
    )
    assert response["outcome"] == "unchanged"
    assert not unit.writes


@pytest.mark.parametrize("slot", [0, -1, "two"], ids=str)
async def test_slots_are_counted_from_one(
    hass: HomeAssistant, device: dr.DeviceEntry, slot: object
) -> None:
    with pytest.raises(probatio.Invalid):
        await act(hass, "set_time_slot", device, slot=slot, confirm=True)


async def test_mode_says_which_of_two_schedules_is_meant(
    hass: HomeAssistant, unit: Writable
) -> None:
    unit.holding.update(VPP)
    unit.holding.update({SLOT_1: 0, 30411: 1, 30412: 60, 30413: 120, 30414: 50})
    device = device_of(hass, await set_up_writable(hass, unit))
    await act(
        hass, "set_time_slot", device, slot=1, mode="vpp", power=-20, confirm=True
    )
    ((address, words),) = unit.written
    assert (address, words[:4], len(words)) == (30411, [1, 60, 120, 0x10000 - 20], 61)
    unit.writes.clear()
    await act(
        hass, "set_time_slot", device, slot=2, start="02:00", end="03:00", confirm=True
    )
    assert [address for address, _ in unit.written] == [SLOT_2]
    # A power alone does not choose the other schedule.
    unit.writes.clear()
    err = await refused(
        act(hass, "set_time_slot", device, slot=1, power=10, confirm=True)
    )
    assert err.translation_key == "slot_has_no_part"
    assert "power" in str(err)
    assert not unit.writes


async def test_mode_is_the_block_where_each_has_its_own_slots(
    hass: HomeAssistant, network: Network
) -> None:
    unit = add_unit(network, "sph_5000")
    unit.holding[VPP_VERSION] = 0
    for block in (range(1017, 1035), range(1080, 1089), range(1100, 1119)):
        unit.holding.update(dict.fromkeys(block, 0))
    device = device_of(hass, await set_up_writable(hass, unit))
    slot = {"start": "01:00", "end": "05:00", "enabled": True, "confirm": True}
    await act(hass, "set_time_slot", device, slot=4, mode="grid_first", **slot)
    assert unit.written == [(1026, [1 << 8, 5 << 8, 1])]
    unit.writes.clear()
    for data, key, says in (
        ({"slot": 4}, "slot_mode_needed", "battery_first, grid_first, load_first"),
        ({"slot": 4, "mode": "vpp"}, "slot_mode_needed", "load_first"),
        ({"slot": 4, "mode": "load_first"}, "no_such_slot", "1, 2, 3"),
        ({"slot": 1, "mode": "load_first", "days": "week"}, "slot_has_no_part", "days"),
        ({"slot": 1, "mode": "load_first"}, "slot_overlaps", "grid_first4"),
    ):
        err = await refused(act(hass, "set_time_slot", device, **slot, **data))
        assert isinstance(err, ServiceValidationError)
        assert err.translation_key == key
        assert says in str(err)
    assert not unit.writes


async def test_slot_that_there_is_not_is_told_with_those_there_are(
    hass: HomeAssistant, unit: Writable, device: dr.DeviceEntry
) -> None:
    err = await refused(
        act(hass, "set_time_slot", device, slot=10, end="06:00", confirm=True)
    )
    assert err.translation_key == "no_such_slot"
    assert "1, 2, 3, 4, 5, 6, 7, 8, 9" in str(err)
    assert not unit.writes


async def test_inverter_without_time_slots_says_so(
    hass: HomeAssistant, network: Network
) -> None:
    unit = add_unit(network, "min_5000tl_x")
    device = device_of(hass, await set_up_writable(hass, unit))
    err = await refused(
        act(hass, "set_time_slot", device, slot=1, end="06:00", confirm=True)
    )
    assert err.translation_key == "no_time_slots"


# -- what it costs ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("register", "value"),
    [
        ("active_power_limit", 80),
        ("export_limit_rate", 50),
        ("charge_stop_soc", 90),
        ("ac_charge_enable", True),
        ("tou2", {"end": "06:00"}),
        ("tou3_start", "18:00"),
        ("tou9", {"start": "01:00", "end": "02:00", "mode": "load_first"}),
        ("on_off", "inverter_off"),
    ],
    ids=str,
)
async def test_confirmed_change_takes_at_most_four_requests(
    hass: HomeAssistant,
    unit: Writable,
    device: dr.DeviceEntry,
    register: str,
    value: object,
) -> None:
    response = await act(hass, "preview_write", device, register=register, value=value)
    assert unit.taken_requests() <= 2
    response = await act(hass, "confirm_write", device, token=response["token"])
    assert response["outcome"] == "written"
    assert unit.taken_requests() <= 4


async def test_change_in_one_call_takes_at_most_four_requests(
    hass: HomeAssistant, unit: Writable, device: dr.DeviceEntry
) -> None:
    unit.taken_requests()
    await act(hass, "set_register", device, **ARGUMENTS["set_register"])
    assert unit.taken_requests() <= 4


async def test_flash_is_spared(
    hass: HomeAssistant,
    unit: Writable,
    device: dr.DeviceEntry,
    freezer: FrozenDateTimeFactory,
) -> None:
    data = {"register": "charge_stop_soc", "confirm": True}
    await act(hass, "set_register", device, **data, value=90)
    err = await refused(act(hass, "set_register", device, **data, value=91))
    assert isinstance(err, ServiceValidationError)
    assert err.translation_key == "write_rate_limited"
    err = await refused(
        act(hass, "preview_write", device, register="charge_stop_soc", value=91)
    )
    assert err.translation_key == "write_rate_limited"
    freezer.tick(SPACING)
    await act(hass, "set_register", device, **data, value=91)
    assert unit.written == [(CHARGE_STOP_SOC, [90]), (CHARGE_STOP_SOC, [91])]


async def test_what_is_not_kept_in_flash_may_be_written_often(
    hass: HomeAssistant, unit: Writable, device: dr.DeviceEntry
) -> None:
    data = {"register": "active_power_limit", "confirm": True}
    for value in (90, 80, 70):
        await act(hass, "set_register", device, **data, value=value)
    assert len(unit.writes) == 3


# -- what became of it -----------------------------------------------------------------


async def test_refusal_of_the_device_is_told(
    hass: HomeAssistant, unit: Writable, device: dr.DeviceEntry
) -> None:
    unit.fail_write(EXPORT_LIMIT, IllegalDataAddressError())
    data = {"register": "export_limit_rate", "value": 50, "confirm": True}
    err = await refused(act(hass, "set_register", device, **data))
    assert not isinstance(err, ServiceValidationError)
    assert err.translation_key == "write_refused"
    assert unit.holding[EXPORT_LIMIT] == 1000


async def test_value_that_the_device_kept_is_told(
    hass: HomeAssistant, unit: Writable, device: dr.DeviceEntry
) -> None:
    unit.keeps_old_values = True
    err = await refused(act(hass, "set_register", device, **ARGUMENTS["set_register"]))
    assert err.translation_key == "kept_old_value"
    assert "100 %" in str(err)


async def test_other_value_that_the_device_took_is_told(
    hass: HomeAssistant, unit: Writable, device: dr.DeviceEntry
) -> None:
    unit.after_write = lambda: unit.holding.update({ACTIVE_POWER: 85})
    err = await refused(act(hass, "set_register", device, **ARGUMENTS["set_register"]))
    assert err.translation_key == "holds_other_value"
    assert "85 %" in str(err)


async def test_lost_answer_to_a_write_is_no_failure(
    hass: HomeAssistant, unit: Writable, device: dr.DeviceEntry
) -> None:
    def lose() -> None:
        raise ModbusTimeoutError("no answer within 3 s")

    unit.after_write = lose
    response = await act(hass, "set_register", device, **ARGUMENTS["set_register"])
    assert response["outcome"] == "written"


async def test_lost_write_is_told(
    hass: HomeAssistant, unit: Writable, device: dr.DeviceEntry
) -> None:
    unit.fail_write(ACTIVE_POWER, ModbusTimeoutError("no answer within 3 s"))
    err = await refused(act(hass, "set_register", device, **ARGUMENTS["set_register"]))
    assert err.translation_key == "not_written"
    assert "100 %" in str(err)


async def test_silence_after_a_write_is_told_as_unknown(
    hass: HomeAssistant, unit: Writable, device: dr.DeviceEntry
) -> None:
    unit.after_write = unit.fall_silent
    err = await refused(act(hass, "set_register", device, **ARGUMENTS["set_register"]))
    assert err.translation_key == "outcome_unknown"


async def test_silent_device_is_not_written_to(
    hass: HomeAssistant, unit: Writable, device: dr.DeviceEntry
) -> None:
    unit.fall_silent()
    err = await refused(act(hass, "set_register", device, **ARGUMENTS["set_register"]))
    assert not isinstance(err, ServiceValidationError)
    assert err.translation_key == "communication_error"
    assert not unit.writes


ERRORS: list[WriteError] = [
    UnknownSettingError(register="x"),
    NotASettingError(register="x"),
    InstallerError(register="x"),
    NeverWriteError("resets to factory settings", register="x"),
    InvalidValueError("value_out_of_range", "is too much", register="x", value="1"),
    InvalidValueError("value_not_an_option", "is no option", register="x", value="1"),
    InvalidValueError("value_not_representable", "is text", register="x", value="1"),
    InvalidValueError("slot_crosses_midnight", register="x", value="23:00-05:00"),
    InvalidValueError("slot_not_valid", register="x", parts="y"),
    InvalidValueError("slot_has_no_part", register="x", part="y", parts="z"),
    InvalidValueError("slot_minutes_unknown", register="x", value="1"),
    InvalidValueError("slot_hours_only", register="x", value="1"),
    InvalidValueError(
        "slot_overlaps", register="x", value="1", other="y", other_value="2"
    ),
    UnknownTokenError(),
    ValueChangedError(expected="1", current="2"),
    DoubtfulError("slot_without_grid_charge", register="x"),
    TooOftenError("often", limit="often", until="2026-01-01T00:00:00+00:00"),
    ClosedError(),
    WrongDeviceError("AAA", "BBB"),
    DeviceError("timeout"),
    NotReadableError("illegal data address"),
    NotIdentifiedError("illegal data address"),
    NotSentError("timeout"),
    RefusedError("illegal data address"),
    KeptOldValueError(current="1"),
    NotWrittenError("timeout", current="1"),
    HoldsOtherValueError(current="1"),
    OutcomeUnknownError("timeout"),
]


def test_all_errors_of_the_gate_are_tested() -> None:
    kinds = {
        kind
        for kind in vars(write_errors).values()
        if isinstance(kind, type) and issubclass(kind, WriteError)
    }
    assert {type(err) for err in ERRORS} == kinds - {WriteError}


@pytest.mark.parametrize("error", ERRORS, ids=lambda err: str(err.key))
async def test_all_errors_of_the_gate_have_a_text(
    hass: HomeAssistant,
    device: dr.DeviceEntry,
    monkeypatch: pytest.MonkeyPatch,
    error: WriteError,
) -> None:
    async def fail(*_: object, **__: object) -> None:
        raise error

    token = await preview(hass, device)
    monkeypatch.setattr(hass.config_entries, "async_schedule_reload", lambda _: None)
    for name in ("async_preview", "async_confirm", "async_write"):
        monkeypatch.setattr(WriteGate, name, fail)
    for err in (
        await refused(act(hass, "preview_write", device, **ARGUMENTS["preview_write"])),
        await refused(act(hass, "confirm_write", device, token=token)),
        await refused(act(hass, "set_register", device, **ARGUMENTS["set_register"])),
    ):
        assert err.translation_key == error.key
        assert isinstance(err, ServiceValidationError) is error.callers_fault


async def test_device_that_is_asked_while_it_is_unloaded_says_so(
    hass: HomeAssistant, unit: Writable, entry: MockConfigEntry, device: dr.DeviceEntry
) -> None:
    await coordinator_of(entry).async_close_writing()
    err = await refused(act(hass, "set_register", device, **ARGUMENTS["set_register"]))
    assert err.translation_key == "writes_closed"
    assert not unit.writes


async def test_device_that_sleeps_may_be_asked(
    hass: HomeAssistant,
    unit: Writable,
    entry: MockConfigEntry,
    device: dr.DeviceEntry,
    freezer: FrozenDateTimeFactory,
) -> None:
    unit.fall_silent()
    await pass_time(hass, freezer, 10)
    assert not coordinator_of(entry).awake
    unit.answer()
    response = await act(hass, "set_register", device, **ARGUMENTS["set_register"])
    assert response["outcome"] == "written"


async def test_home_assistant_can_read_the_descriptions_of_all_actions(
    hass: HomeAssistant,
) -> None:
    """One option that a selector does not know, and no action has any field left."""
    assert await async_setup_component(hass, DOMAIN, {})
    descriptions = (await async_get_all_descriptions(hass))[DOMAIN]
    assert descriptions.keys() == ACTIONS.keys()
    assert {
        action for action, description in descriptions.items() if description["fields"]
    } == set(ARGUMENTS)
