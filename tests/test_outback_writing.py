"""Changing a gateway and what is behind it from Home Assistant."""

from collections.abc import AsyncIterator, Iterator
from typing import Any, Final

from freezegun.api import FrozenDateTimeFactory
import pytest
from pytest_homeassistant_custom_component.common import (
    MockConfigEntry,
    async_capture_events,
)

from custom_components.local_solar.const import DOMAIN
from custom_components.local_solar.writing import EVENT_WRITE
from homeassistant.config_entries import ConfigEntryState
from homeassistant.core import HomeAssistant
from homeassistant.exceptions import HomeAssistantError, ServiceValidationError
from homeassistant.helpers import device_registry as dr, entity_registry as er
from simulators.mate3.commands import Status
from simulators.requests import Request

from .common import pass_time, setup_state
from .outback_helpers import (
    Reached,
    coordinator_of,
    impatient,
    reached,
    set_up,
    set_up_writable,
)
from .writing_helpers import act, issues, refused, texts_of

MAC: Final = "0090ea000001"
INVERTER: Final = f"{MAC}_inverter_1"
FIRST: Final = f"{MAC}_charge_controller_3"
SECOND: Final = f"{MAC}_charge_controller_4"
MONITOR: Final = f"{MAC}_battery_monitor_5"

GATEWAY: Final = 64110
SYSTEM_CONTROL: Final = 64120
CONTROLLER: Final = 64111
CONTROLLER_CONFIG: Final = 64112
RADIAN_CONFIG: Final = 64116
MONITOR_CONFIG: Final = 64119

STATUS: Final = 11

_CALLS: Final = {
    "number": ("set_value", "value"),
    "select": ("select_option", "option"),
    "time": ("set_value", "time"),
}


@pytest.fixture(autouse=True)
def without_pauses(
    socket_enabled: None, hass_storage: dict[str, Any]
) -> Iterator[None]:
    """Leave out the pauses that real gateways need."""
    with impatient():
        yield


@pytest.fixture
async def there(socket_enabled: None) -> AsyncIterator[Reached]:
    """A MATE3s whose commands are carried out at once."""
    async with reached() as there:
        there.simulator.mate3.command_delay = 0.0
        yield there


@pytest.fixture
async def entry(hass: HomeAssistant, there: Reached) -> AsyncIterator[MockConfigEntry]:
    """Its entry, with writing switched on."""
    entry = await set_up_writable(hass, there)
    yield entry
    await hass.config_entries.async_unload(entry.entry_id)


@pytest.fixture
async def installer(
    hass: HomeAssistant, there: Reached
) -> AsyncIterator[MockConfigEntry]:
    """Its entry, with the settings for installers."""
    entry = await set_up_writable(hass, there, installer_settings=True)
    yield entry
    await hass.config_entries.async_unload(entry.entry_id)


def device_of(hass: HomeAssistant, entry: MockConfigEntry, name: str) -> dr.DeviceEntry:
    """Return the registered device of an id."""
    device = dr.async_get(hass).async_get_device_by_identifier(
        (DOMAIN, name), entry.entry_id
    )
    assert device is not None
    return device


def entity_of(hass: HomeAssistant, name: str, key: str) -> er.RegistryEntry:
    """Return the entity of a point."""
    (entity,) = (
        entity
        for entity in er.async_get(hass).entities.values()
        if entity.unique_id == f"{name}_{key}"
    )
    return entity


def written(there: Reached) -> list[tuple[int, int, list[int] | None]]:
    """Return function, address and words of all writes."""
    return [
        (request.function, request.address, list(request.words or ()))
        for request in there.simulator.requests
        if is_write(request)
    ]


def is_write(request: Request) -> bool:
    """Return whether a request asks for a change."""
    return request.function not in (3, 4)


async def set_register(
    hass: HomeAssistant,
    entry: MockConfigEntry,
    name: str,
    key: str,
    value: object,
    **more: object,
) -> dict[str, Any]:
    """Change a setting as an automation does."""
    return dict(
        await act(
            hass,
            "set_register",
            device_of(hass, entry, name),
            register=key,
            value=value,
            confirm=True,
            **more,
        )
    )


async def move(
    hass: HomeAssistant, name: str, key: str, value: object
) -> ServiceValidationError:
    """Change a control in a dashboard, which asks for a confirmation."""
    entity = entity_of(hass, name, key)
    data: dict[str, object] = {"entity_id": entity.entity_id}
    if entity.domain == "switch":
        action = "turn_on" if value else "turn_off"
    else:
        action, field = _CALLS[entity.domain]
        data[field] = value
    with pytest.raises(ServiceValidationError) as question:
        await hass.services.async_call(entity.domain, action, data, blocking=True)
    return question.value


async def enable(hass: HomeAssistant, entry: MockConfigEntry, entity_id: str) -> None:
    """Enable an entity, as the owner does."""
    er.async_get(hass).async_update_entity(entity_id, disabled_by=None)
    await hass.config_entries.async_reload(entry.entry_id)
    await hass.async_block_till_done()


# -- controls: nothing without a confirmation ------------------------------------------


@pytest.mark.parametrize(
    ("name", "key", "value", "domain", "place", "words"),
    [
        (FIRST, "absorb_volts", 56.8, "number", (CONTROLLER_CONFIG, 11, 3), [568]),
        (SECOND, "bulk_current", 60, "number", (CONTROLLER_CONFIG, 16, 4), [600]),
        (FIRST, "aux_control", "on", "select", (CONTROLLER_CONFIG, 34, 3), [2]),
        (MONITOR, "relay_control", "auto", "select", (MONITOR_CONFIG, 18, 5), [1]),
        (
            MAC,
            "grid_use_interval_1_mode",
            True,
            "switch",
            (GATEWAY, 337, None),
            [1],
        ),
        (
            MAC,
            "grid_use_interval_1_weekday_start",
            "21:45:00",
            "time",
            (GATEWAY, 338, None),
            [21, 45],
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
async def test_control_writes_nothing_until_it_is_confirmed(
    hass: HomeAssistant,
    there: Reached,
    entry: MockConfigEntry,
    name: str,
    key: str,
    value: object,
    domain: str,
    place: tuple[int, int, int | None],
    words: list[int],
) -> None:
    mate3 = there.simulator.mate3
    did, offset, port = place
    if key == "relay_control":
        mate3.set_word(did, offset, 0, port)
    entity = entity_of(hass, name, key)
    assert entity.domain == domain
    if entity.disabled_by is not None:
        await enable(hass, entry, entity.entity_id)
    before = [mate3.word(did, offset + at, port) for at in range(len(words))]
    assert before != words
    question = await move(hass, name, key, value)
    assert question.translation_key == "confirmation_pending"
    assert not written(there)
    (issue,) = issues(hass)
    assert issue.is_fixable
    device = device_of(hass, entry, name)
    assert texts_of(issue)["device"] == device.name
    assert [mate3.word(did, offset + at, port) for at in range(len(words))] == before

    token = (question.translation_placeholders or {})["token"]
    response = await act(hass, "confirm_write", device, token=token)
    assert response["outcome"] == "written"
    assert [mate3.word(did, offset + at, port) for at in range(len(words))] == words
    function = 6 if len(words) == 1 else 16
    assert written(there) == [(function, mate3.address_of(did, offset, port), words)]
    assert not issues(hass)
    # Once only.
    err = await refused(act(hass, "confirm_write", device, token=token))
    assert err.translation_key == "unknown_token"
    assert len(written(there)) == 1


async def test_all_controls_only_ask(
    hass: HomeAssistant,
    there: Reached,
    installer: MockConfigEntry,
) -> None:
    """Whatever is changed in a dashboard: nothing is sent before the confirmation."""
    registry = er.async_get(hass)
    controls = [
        entity
        for entity in er.async_entries_for_config_entry(registry, installer.entry_id)
        if entity.domain in ("number", "select", "switch", "time")
    ]
    assert len(controls) > 80
    for entity in controls:
        registry.async_update_entity(entity.entity_id, disabled_by=None)
    await hass.config_entries.async_reload(installer.entry_id)
    await hass.async_block_till_done()
    asked = 0
    for entity in controls:
        state = hass.states.get(entity.entity_id)
        assert state is not None, entity.entity_id
        data: dict[str, object] = {"entity_id": entity.entity_id}
        match entity.domain:
            case "number":
                limits = state.attributes
                wanted = limits["max"] if state.state == str(limits["min"]) else None
                data["value"] = wanted or limits["min"]
            case "select":
                options = state.attributes["options"]
                data["option"] = next(
                    option for option in options if option != state.state
                )
            case "time":
                data["time"] = "13:37:00"
        action = (
            {"on": "turn_off"}.get(state.state, "turn_on")
            if entity.domain == "switch"
            else _CALLS[entity.domain][0]
        )
        with pytest.raises(HomeAssistantError) as err:
            await hass.services.async_call(entity.domain, action, data, blocking=True)
        asked += err.value.translation_key == "confirmation_pending"
    assert asked > 0.9 * len(controls)
    assert not written(there)


async def test_without_write_access_there_is_no_way(
    hass: HomeAssistant, there: Reached
) -> None:
    entry = await set_up(hass, there)
    domains = {
        entity.domain
        for entity in er.async_entries_for_config_entry(
            er.async_get(hass), entry.entry_id
        )
    }
    assert domains <= {"sensor", "binary_sensor", "event"}
    for action, more in (
        ("preview_write", {"value": 50}),
        ("set_register", {"value": 50, "confirm": True}),
    ):
        err = await refused(
            act(
                hass,
                action,
                device_of(hass, entry, FIRST),
                register="absorb_volts",
                **more,
            )
        )
        assert err.translation_key == "writes_disabled"
    assert not written(there)
    await hass.config_entries.async_unload(entry.entry_id)


# -- in one call -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "key", "value", "place", "words"),
    [
        (FIRST, "absorb_volts", 56.8, (CONTROLLER_CONFIG, 11, 3), [568]),
        (SECOND, "float_volts", 53.6, (CONTROLLER_CONFIG, 15, 4), [536]),
        (FIRST, "aux_control", "auto", (CONTROLLER_CONFIG, 34, 3), [1]),
        (FIRST, "aux_control", "on", (CONTROLLER_CONFIG, 34, 3), [2]),
        (INVERTER, "absorb_volts", 56.0, (RADIAN_CONFIG, 11, 1), [560]),
        (MAC, "set_ags_op_mode", "auto", (SYSTEM_CONTROL, 21, None), [2]),
        (MAC, "ags_2_min_start_voltage", 43.5, (GATEWAY, 295, None), [435]),
        (MAC, "sched_1_ac_mode", "backup", (GATEWAY, 410, None), [4]),
        (
            MAC,
            "grid_use_interval_2_weekday_stop",
            "23:59",
            (GATEWAY, 349, None),
            [23, 59],
        ),
        (
            MAC,
            "grid_use_interval_3_weekday_start",
            "00:01",
            (GATEWAY, 352, None),
            [0, 1],
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
async def test_setting_is_written_and_read_back(
    hass: HomeAssistant,
    there: Reached,
    entry: MockConfigEntry,
    name: str,
    key: str,
    value: object,
    place: tuple[int, int, int | None],
    words: list[int],
) -> None:
    events = async_capture_events(hass, EVENT_WRITE)
    mate3 = there.simulator.mate3
    did, offset, port = place
    before = mate3.chain.copy()
    response = await set_register(hass, entry, name, key, value)
    assert response["outcome"] == "written"
    assert response["verified"]
    assert response["address"] == mate3.address_of(did, offset, port)
    function = 6 if len(words) == 1 else 16
    assert written(there) == [(function, response["address"], words)]
    assert [mate3.word(did, offset + at, port) for at in range(len(words))] == words
    (event,) = events
    assert event.data["register"] == key
    assert event.data["device_id"] == device_of(hass, entry, name).id
    # Nothing else has changed, on no other device.
    changed = {
        place
        for place, (old, new) in enumerate(
            zip(before.as_words(), mate3.chain.as_words(), strict=True), 40000
        )
        if old != new
    }
    clock = mate3.address_of(GATEWAY, 393)
    aux = {mate3.address_of(CONTROLLER_CONFIG, 35, p) for p in (3, 4)}
    assert changed - {*range(clock, clock + 6)} - aux <= {
        response["address"] + at for at in range(len(words))
    }
    # The same once more is not sent.
    again = await set_register(hass, entry, name, key, value)
    assert again["outcome"] == "unchanged"
    assert len(written(there)) == 1


@pytest.mark.parametrize(
    ("key", "value", "command", "bits"),
    [
        ("inverter_mode", "off", (8, 1), Status.INVERTER_OFF),
        ("inverter_mode", "search", (8, 2), Status.INVERTER_SEARCH),
        ("ac_input_use", False, (7, 2), None),
        ("grid_tie", False, (9, 2), None),
        ("inverter_charger_mode", "off", (10, 1), Status.CHARGER_OFF),
        ("inverter_charger_mode", "on", (10, 3), Status.CHARGER_ON),
    ],
)
async def test_command_is_sent_and_shows_in_the_status(
    hass: HomeAssistant,
    there: Reached,
    entry: MockConfigEntry,
    key: str,
    value: object,
    command: tuple[int, int],
    bits: Status | None,
) -> None:
    mate3 = there.simulator.mate3
    offset, word = command
    response = await set_register(hass, entry, MAC, key, value)
    assert response["outcome"] == "written"
    assert response["after"] == value
    assert written(there) == [(6, mate3.address_of(SYSTEM_CONTROL, offset), [word])]
    status = Status(mate3.word(SYSTEM_CONTROL, STATUS))
    if bits is not None:
        assert bits in status
    assert mate3.word(SYSTEM_CONTROL, offset) == 0
    again = await set_register(hass, entry, MAC, key, value)
    assert again["outcome"] == "unchanged"
    assert len(written(there)) == 1


async def test_ac_input_is_dropped_and_used_again(
    hass: HomeAssistant, there: Reached, entry: MockConfigEntry
) -> None:
    mate3 = there.simulator.mate3
    for value in (False, True, False):
        response = await set_register(hass, entry, MAC, "ac_input_use", value)
        assert response["outcome"] == "written"
        status = Status(mate3.word(SYSTEM_CONTROL, STATUS))
        assert (Status.AC_USE in status) is value
    words = [words for _, _, words in written(there)]
    assert words == [[2], [1], [2]]


@pytest.mark.parametrize("is_full", [False, True], ids=["takes_it", "is_full"])
async def test_bulk_charge_is_sent_whatever_becomes_of_it(
    hass: HomeAssistant, there: Reached, entry: MockConfigEntry, is_full: bool
) -> None:
    mate3 = there.simulator.mate3
    mate3.set_word(SYSTEM_CONTROL, STATUS, 0x0002 | 0x0020 | 0x0040 | 0x0100)
    if is_full:
        mate3.command_delay = 1e9
    response = await set_register(hass, entry, MAC, "bulk_charge", True)
    assert response["outcome"] == ("carried_out" if is_full else "written") or (
        is_full and response["outcome"] == "unknown"
    )
    assert written(there) == [(6, mate3.address_of(SYSTEM_CONTROL, 6), [1])]


async def test_generator_is_started_and_stopped(
    hass: HomeAssistant, there: Reached, entry: MockConfigEntry
) -> None:
    mate3 = there.simulator.mate3
    mate3.set_word(GATEWAY, 278, 1)
    response = await set_register(hass, entry, MAC, "set_ags_op_mode", "on")
    assert response["outcome"] == "written"
    assert mate3.word(SYSTEM_CONTROL, 22) in (1, 2)
    response = await set_register(hass, entry, MAC, "set_ags_op_mode", "off")
    assert response["outcome"] == "written"
    assert mate3.word(SYSTEM_CONTROL, 22) == 0


async def test_command_shows_late(
    hass: HomeAssistant, there: Reached, entry: MockConfigEntry
) -> None:
    """What the status still shows right after a command does not prove that it failed."""
    there.simulator.mate3.command_delay = 1e9
    err = None
    response: dict[str, Any] = {}
    try:
        response = await set_register(hass, entry, MAC, "ac_input_use", False)
    except HomeAssistantError as failed:
        err = failed
    assert len(written(there)) == 1
    assert response.get("outcome") != "written"
    if err is not None:
        assert err.translation_key not in ("not_written", "write_refused")


# -- what must not be written ------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "key", "value", "error"),
    [
        (MAC, "write_password", "hello", "never_write"),
        (MAC, "modbus_port", 503, "never_write"),
        (MAC, "enable_dhcp", False, "never_write"),
        (MAC, "update_device_firmware_port", 1, "never_write"),
        (MAC, "tcpip_address", "10.0.0.1", "never_write"),
        (FIRST, "battery_voltage_calibrate_offset", 1, "never_write"),
        (FIRST, "stats_totals_write_complement", 1, "never_write"),
        (FIRST, "pv_power", 1, "not_a_setting"),
        (MAC, "dc_voltage", 50, "not_a_setting"),
        (FIRST, "no_such_thing", 1, "unknown_register"),
        # Of another device on the same gateway.
        (FIRST, "inverter_mode", "off", "unknown_register"),
    ],
)
async def test_what_is_no_setting_is_refused(
    hass: HomeAssistant,
    there: Reached,
    installer: MockConfigEntry,
    name: str,
    key: str,
    value: object,
    error: str,
) -> None:
    err = await refused(set_register(hass, installer, name, key, value))
    assert err.translation_key == error
    assert not written(there)


@pytest.mark.parametrize("variant", ["mate3s", "mate3-311", "fx"])
async def test_nothing_that_must_never_be_written_can_be(
    hass: HomeAssistant, variant: str
) -> None:
    """These have all kinds of blocks; the others repeat them."""
    async with reached(variant=variant) as there:
        entry = await set_up_writable(hass, there, installer_settings=True)
        coordinator = coordinator_of(entry)
        assert coordinator.writing is not None
        refused_keys = 0
        for device, rows in coordinator.mate3.rows.items():
            for key, placed in rows.items():
                if placed.row.setting is not None and not placed.register.never_write:
                    continue
                err = await refused(set_register(hass, entry, device, key, 1))
                assert err.translation_key in ("never_write", "not_a_setting")
                refused_keys += 1
        assert refused_keys > 100
        assert not written(there)
        await hass.config_entries.async_unload(entry.entry_id)


@pytest.mark.parametrize(
    ("name", "key", "value", "error"),
    [
        (FIRST, "absorb_volts", 68.3, "value_out_of_range"),
        (FIRST, "absorb_volts", 35.9, None),
        (FIRST, "absorb_volts", 56.85, "value_not_representable"),
        (FIRST, "absorb_volts", "high", "value_not_representable"),
        (FIRST, "aux_control", "sometimes", "value_not_an_option"),
        (FIRST, "bulk_current", -1, "value_out_of_range"),
        (MAC, "ags_soc_start_percentage", 101, "value_out_of_range"),
        (MAC, "grid_use_interval_1_weekday_start", "25:00", None),
        (MAC, "grid_use_interval_1_weekday_start", "12:00:30", None),
        (MAC, "inverter_mode", "sell", "value_not_an_option"),
    ],
)
async def test_values_that_make_no_sense_are_refused(
    hass: HomeAssistant,
    there: Reached,
    entry: MockConfigEntry,
    name: str,
    key: str,
    value: object,
    error: str | None,
) -> None:
    err = await refused(set_register(hass, entry, name, key, value))
    assert isinstance(err, ServiceValidationError)
    if error is not None:
        assert err.translation_key == error
    assert not written(there)


async def test_setting_that_the_device_does_not_have_is_not_written(
    hass: HomeAssistant, there: Reached, entry: MockConfigEntry
) -> None:
    there.simulator.mate3.set_word(CONTROLLER_CONFIG, 11, 0xFFFF, port=3)
    err = await refused(set_register(hass, entry, FIRST, "absorb_volts", 56.8))
    assert err.translation_key == "not_on_this_device"
    assert not written(there)


async def test_value_that_was_expected_must_be_there(
    hass: HomeAssistant, there: Reached, entry: MockConfigEntry
) -> None:
    err = await refused(
        set_register(hass, entry, FIRST, "absorb_volts", 56.8, expected=57.0)
    )
    assert err.translation_key == "value_changed"
    assert not written(there)
    response = await set_register(
        hass, entry, FIRST, "absorb_volts", 56.8, expected=57.6
    )
    assert response["outcome"] == "written"


# -- installers --------------------------------------------------------------------------


def installer_settings(entry: MockConfigEntry) -> list[tuple[str, str]]:
    """Return device and key of the settings that are for installers."""
    return [
        (device, key)
        for device, rows in coordinator_of(entry).mate3.rows.items()
        for key, placed in rows.items()
        if placed.row.setting is not None and placed.row.setting.installer
    ]


async def test_settings_for_installers_are_plain_until_they_are_allowed(
    hass: HomeAssistant, there: Reached, entry: MockConfigEntry
) -> None:
    guarded = installer_settings(entry)
    assert len(guarded) > 10
    for name, key in guarded:
        err = await refused(set_register(hass, entry, name, key, 1))
        assert err.translation_key == "installer_only"
    assert not written(there)
    registry = er.async_get(hass)
    names = {f"{name}_{key}" for name, key in guarded}

    def shown() -> dict[str, str]:
        return {
            entity.unique_id: entity.domain
            for entity in er.async_entries_for_config_entry(registry, entry.entry_id)
            if entity.unique_id in names
        }

    before = shown()
    assert before
    assert set(before.values()) <= {"sensor", "binary_sensor"}
    hass.config_entries.async_update_entry(
        entry, options={**entry.options, "installer_settings": True}
    )
    await hass.config_entries.async_reload(entry.entry_id)
    await hass.async_block_till_done()
    assert shown().keys() == before.keys()
    assert set(shown().values()) <= {"number", "select", "switch", "time"}
    assert not written(there)


async def test_setting_for_installers_is_written_once_it_is_allowed(
    hass: HomeAssistant, there: Reached, installer: MockConfigEntry
) -> None:
    response = await set_register(hass, installer, MAC, "auto_reboot", "24_hours")
    assert response["outcome"] == "written"
    assert there.simulator.mate3.word(GATEWAY, 419) == 1


# -- what the gateway says ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("limits", "says"),
    [
        ((500, 560), "above the device's limit"),
        ((580, 600), "below the device's limit"),
    ],
)
async def test_limit_of_the_device_is_told_in_its_words(
    hass: HomeAssistant,
    there: Reached,
    entry: MockConfigEntry,
    limits: tuple[int, int],
    says: str,
) -> None:
    there.simulator.mate3.limits[CONTROLLER_CONFIG, 11] = limits
    err = await refused(set_register(hass, entry, FIRST, "absorb_volts", 57.0))
    assert says in str(err)
    assert there.simulator.mate3.word(CONTROLLER_CONFIG, 11, 3) == 576
    assert len(written(there)) == 1


async def test_locked_settings_are_told(
    hass: HomeAssistant, there: Reached, entry: MockConfigEntry
) -> None:
    there.simulator.faults = ["ignore,op=write"]
    there.simulator.mate3.set_word(GATEWAY, 402, 0x0400)
    err = await refused(set_register(hass, entry, FIRST, "absorb_volts", 57.0))
    assert "locked on the gateway's display" in str(err)


async def test_complaint_about_an_earlier_write_is_not_held_against_this_one(
    hass: HomeAssistant, there: Reached, entry: MockConfigEntry
) -> None:
    """The register keeps what it said to whoever wrote last."""
    there.simulator.mate3.set_word(GATEWAY, 402, 0x0001)
    response = await act(
        hass,
        "preview_write",
        device_of(hass, entry, FIRST),
        register="absorb_volts",
        value=57.0,
    )
    assert response["current"] == 57.6
    response = await set_register(hass, entry, FIRST, "absorb_volts", 57.0)
    assert response["outcome"] == "written"


async def test_register_that_is_blank_after_a_write_is_no_failure(
    hass: HomeAssistant, there: Reached, entry: MockConfigEntry
) -> None:
    there.simulator.mate3.sentinels_after_write = 1e9
    response = await set_register(hass, entry, FIRST, "absorb_volts", 57.0)
    assert response["written"] or response["outcome"] == "unknown"
    assert not response["verified"]
    there.simulator.mate3._masks.clear()  # noqa: SLF001
    assert there.simulator.mate3.word(CONTROLLER_CONFIG, 11, 3) == 570


@pytest.mark.parametrize("fault", ["drop,op=write", "disconnect,op=write,times=1"])
async def test_answer_that_is_lost_is_looked_for(
    hass: HomeAssistant, there: Reached, entry: MockConfigEntry, fault: str
) -> None:
    there.simulator.faults = [fault]
    base = "custom_components.local_solar.coordinators.outback.REQUEST_TIMEOUT"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(base, 0.3)
        coordinator_of(entry)._unit.require_timeout(0.3)  # noqa: SLF001
        try:
            response = await set_register(hass, entry, FIRST, "absorb_volts", 57.0)
        except HomeAssistantError as err:
            assert err.translation_key in ("not_written", "outcome_unknown")  # noqa: PT017
        else:
            assert response["after"] == 57.0
    # A write is sent once, whatever happens: what it does may not be harmless twice.
    assert len(written(there)) == 1


# -- something else answers ----------------------------------------------------------------


@pytest.mark.parametrize(
    "change",
    [
        lambda chain: chain.move_port(CONTROLLER, 3, 7),
        lambda chain: chain.remove_device(1),
        lambda chain: chain.add_device(like=3, port=2),
        lambda chain: chain.reorder([4, 3]),
    ],
    ids=["moved", "removed", "added", "reordered"],
)
async def test_device_that_is_no_longer_there_is_not_written_to(
    hass: HomeAssistant, there: Reached, entry: MockConfigEntry, change: Any
) -> None:
    device = device_of(hass, entry, FIRST)
    preview = await act(
        hass, "preview_write", device, register="absorb_volts", value=56.8
    )
    change(there.simulator.mate3.chain)
    before = there.simulator.mate3.chain.copy()
    err = await refused(act(hass, "confirm_write", device, token=preview["token"]))
    assert err.translation_key == "wrong_device"
    assert not written(there)
    # The entry recovers by itself.
    for _ in range(5):
        await hass.async_block_till_done(wait_background_tasks=True)
    assert entry.state is ConfigEntryState.LOADED
    assert not [issue for issue in issues(hass) if "wrong" in issue.issue_id]
    chain = there.simulator.mate3.chain
    known = {device.identity.id for device in coordinator_of(entry).devices}
    assert len(known) == 1 + len(chain.devices())
    # And then writes to the device on the port, wherever that is now.
    if FIRST in known:
        response = await set_register(hass, entry, FIRST, "absorb_volts", 56.8)
        assert response["outcome"] == "written"
        assert there.simulator.mate3.word(CONTROLLER_CONFIG, 11, 3) == 568
        assert there.simulator.mate3.word(CONTROLLER_CONFIG, 11, 4) == 576
    else:
        assert chain.as_words()[500:] == before.as_words()[500:]
    assert not there.simulator.door.turned_away


async def test_models_that_have_changed_places_are_not_written_to(
    hass: HomeAssistant,
) -> None:
    """Each lies where the other was, on the other's port."""
    async with reached(variant="split-stack") as there:
        entry = await set_up_writable(hass, there)
        name = f"{MAC}_charge_controller_4"
        device = device_of(hass, entry, name)
        preview = await act(
            hass, "preview_write", device, register="absorb_volts", value=56.8
        )
        there.simulator.mate3.chain.swap_ports(4, 5)
        err = await refused(act(hass, "confirm_write", device, token=preview["token"]))
        assert err.translation_key == "wrong_device"
        assert "FM100-300VDC" in str(err)
        assert not written(there)
        for _ in range(5):
            await hass.async_block_till_done(wait_background_tasks=True)
        assert entry.state is ConfigEntryState.LOADED
        assert device_of(hass, entry, name).model == "FM80-150VDC"
        await hass.config_entries.async_unload(entry.entry_id)


async def test_issue_says_what_answers_instead(
    hass: HomeAssistant, there: Reached, entry: MockConfigEntry
) -> None:
    there.simulator.mate3.chain.move_port(CONTROLLER, 3, 7)
    there.simulator.mate3.command_delay = 0
    found: list[str] = []

    def note(event: Any) -> None:
        found.append(event.data["issue_id"])

    hass.bus.async_listen("repairs_issue_registry_updated", note)
    err = await refused(set_register(hass, entry, FIRST, "absorb_volts", 56.8))
    assert err.translation_key == "wrong_device"
    assert "charge controller on port 3 (FM80-150VDC)" in str(err)
    for _ in range(5):
        await hass.async_block_till_done(wait_background_tasks=True)
    # It came, and went again with the reload.
    assert len(found) >= 2
    assert not issues(hass)


async def test_exchanged_device_on_the_same_port_is_not_written_to(
    hass: HomeAssistant, there: Reached, entry: MockConfigEntry
) -> None:
    """Another model at the same addresses: 64112 begins as before."""
    mate3 = there.simulator.mate3
    for at, word in enumerate((0x464D, 0x3630)):  # FM60
        mate3.set_word(CONTROLLER_CONFIG, 82 + at, word, port=3)
    err = await refused(set_register(hass, entry, FIRST, "absorb_volts", 56.8))
    assert err.translation_key == "wrong_device"
    assert not written(there)
    for _ in range(5):
        await hass.async_block_till_done(wait_background_tasks=True)
    assert entry.state is ConfigEntryState.LOADED
    response = await set_register(hass, entry, FIRST, "absorb_volts", 56.8)
    assert response["outcome"] == "written"


async def test_another_gateway_behind_the_same_address_is_not_written_to(
    hass: HomeAssistant, there: Reached, entry: MockConfigEntry
) -> None:
    await set_register(hass, entry, FIRST, "absorb_volts", 56.8)
    mate3 = there.simulator.mate3
    mate3.set_word(GATEWAY, 12, int.from_bytes(b"99"))
    # It is another one only behind a connection of its own.
    there.simulator.disconnect_clients()
    errors: list[str | None] = []
    while "wrong_device" not in errors and len(errors) < 3:
        err = await refused(set_register(hass, entry, FIRST, "absorb_volts", 56.0))
        errors.append(err.translation_key)
    assert errors[-1] == "wrong_device"
    assert len(written(there)) == 1
    assert mate3.word(CONTROLLER_CONFIG, 11, 3) == 568
    for _ in range(5):
        await hass.async_block_till_done(wait_background_tasks=True)
    assert setup_state(entry) is ConfigEntryState.SETUP_RETRY
    assert entry.error_reason_translation_key == "wrong_mate3"
    # When the right one is back, all is well, and nothing is left to be repaired.
    mate3.set_word(GATEWAY, 12, int.from_bytes(b"00"))
    await hass.config_entries.async_reload(entry.entry_id)
    assert setup_state(entry) is ConfigEntryState.LOADED
    assert not issues(hass)


async def test_block_without_data_is_not_written_to(
    hass: HomeAssistant, there: Reached, entry: MockConfigEntry
) -> None:
    there.simulator.mate3.lose_data(3, 600)
    err = await refused(set_register(hass, entry, FIRST, "absorb_volts", 56.8))
    assert err.translation_key == "communication_error"
    assert not written(there)
    # That is no reason to look for another device.
    assert not issues(hass)


async def test_polls_and_writes_keep_out_of_each_others_way(
    hass: HomeAssistant,
    there: Reached,
    entry: MockConfigEntry,
    freezer: FrozenDateTimeFactory,
) -> None:
    for volts in (57.0, 57.1, 57.2):
        poll = hass.async_create_task(coordinator_of(entry).async_refresh())
        freezer.tick(11)
        response = await set_register(hass, entry, FIRST, "absorb_volts", volts)
        await poll
        assert response["outcome"] == "written"
        await pass_time(hass, freezer, 60)
    assert not there.simulator.overlaps
    assert not there.simulator.door.turned_away
    assert len(written(there)) == 3
