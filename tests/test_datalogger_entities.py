"""What an owner of Growatt dataloggers sees and does: entities, devices, changes."""

from collections.abc import AsyncIterator
from copy import deepcopy
from http import HTTPStatus
from typing import Any, Final
from unittest.mock import patch

import pytest
from pytest_homeassistant_custom_component.common import MockConfigEntry
from pytest_homeassistant_custom_component.typing import ClientSessionGenerator
from syrupy.assertion import SnapshotAssertion

from custom_components.local_solar.const import CONF_INVENTORY, DOMAIN
from homeassistant.const import STATE_UNAVAILABLE, STATE_UNKNOWN
from homeassistant.core import HomeAssistant, State
from homeassistant.exceptions import ServiceValidationError
from homeassistant.helpers import device_registry as dr, entity_registry as er
from homeassistant.setup import async_setup_component
from simulators.datalogger import parameters
from simulators.datalogger.inverters import SimulatedInverter, Write
from simulators.datalogger.packets import Kind
from simulators.datalogger.stick import SimulatedStick
from simulators.datasets import Table

from .datalogger_helpers import (
    BATTERY,
    HOST,
    INVERTER,
    LOGGER,
    LOGGER_ID,
    coordinator_of,
    device_of,
    entity_id_of,
    impatient,
    poll,
    reporting,
    set_up,
    set_up_writable,
    soon,
    state_of,
    states,
    until,
)
from .writing_helpers import act, issues, refused

pytestmark = pytest.mark.usefixtures("socket_enabled", "prompt_sessions", "settled")

SECOND: Final = "SNL0CE5678"
METER: Final = f"{INVERTER}_meter"

LIMIT: Final = 3
"""Holding register of the active power limit."""

OF_THE_MOMENT: Final = frozenset(
    f"{LOGGER_ID}_{key}" for key in ("last_record", "clock_offset", "records")
)
"""Entities whose values are others in each run."""


@pytest.fixture
async def entry(hass: HomeAssistant) -> MockConfigEntry:
    """A listener, with writing switched on."""
    return await set_up_writable(hass)


@pytest.fixture
async def stick(
    hass: HomeAssistant, entry: MockConfigEntry
) -> AsyncIterator[SimulatedStick]:
    """A stick with a hybrid that is known."""
    async with reporting(hass, entry) as stick:
        await until_told(hass, entry)
        yield stick


async def until_told(hass: HomeAssistant, entry: MockConfigEntry) -> None:
    """Wait until a logger has told all its parameters."""
    logger = coordinator_of(entry).fleet.loggers[LOGGER]
    await soon(lambda: 21 in logger.parameters)
    await hass.async_block_till_done()


def described(entity: er.RegistryEntry, state: State | None) -> str:
    """Return in a line what an entity is and shows."""
    assert state is not None
    attributes = state.attributes
    is_of_the_moment = entity.unique_id in OF_THE_MOMENT
    words = (
        "..." if is_of_the_moment else state.state,
        attributes.get("unit_of_measurement"),
        attributes.get("device_class"),
        attributes.get("state_class"),
        entity.entity_category,
        entity.translation_key,
    )
    return " | ".join("" if word is None else str(word) for word in words)


def written_to(stick: SimulatedStick) -> list[tuple[int, str, int]]:
    """Return what was written of a logger's parameters, but its clock."""
    return [write for write in stick.parameter_writes if write[0] != parameters.CLOCK]


async def change(
    hass: HomeAssistant,
    entry: MockConfigEntry,
    device: str,
    register: str,
    value: object,
) -> Any:
    """Change a setting with the action, which is its own confirmation."""
    return await act(
        hass,
        "set_register",
        device_of(hass, entry, device),
        register=register,
        value=value,
        confirm=True,
    )


# -- what there is --------------------------------------------------------------------


@pytest.mark.usefixtures("all_entities_enabled")
async def test_all_entities_and_devices(
    hass: HomeAssistant,
    entity_registry: er.EntityRegistry,
    device_registry: dr.DeviceRegistry,
    snapshot: SnapshotAssertion,
) -> None:
    entry = await set_up(hass)
    server = coordinator_of(entry).server_id
    async with reporting(hass, entry, meter="words"):
        await until_told(hass, entry)
        await until(coordinator_of(entry), lambda: METER in coordinator_of(entry).data)
        await poll(hass, entry)
        entities = er.async_entries_for_config_entry(entity_registry, entry.entry_id)
        shown = {
            entity.entity_id: described(entity, hass.states.get(entity.entity_id))
            for entity in sorted(entities, key=lambda entity: entity.entity_id)
        }
        assert shown == snapshot(name="entities")
        assert {
            device.name: {
                "manufacturer": device.manufacturer,
                "model": device.model,
                "serial_number": device.serial_number,
                "sw_version": device.sw_version,
            }
            for device in dr.async_entries_for_config_entry(
                device_registry, entry.entry_id
            )
        } == snapshot(name="devices")
        assert not [
            state.entity_id
            for state in hass.states.async_all()
            if state.state == STATE_UNKNOWN and state.domain != "event"
        ]
        # What a stick does not report and is not asked for; nothing of the stick itself.
        for device in (server, LOGGER_ID, METER):
            assert STATE_UNAVAILABLE not in states(hass, device).values()
        names = [(entity.device_id, entity.original_name) for entity in entities]
        assert len(set(names)) == len(names)
        assert all(device and name and "{" not in name for device, name in names)


async def test_entities_that_are_enabled_at_first(
    hass: HomeAssistant,
    entity_registry: er.EntityRegistry,
    snapshot: SnapshotAssertion,
) -> None:
    entry = await set_up(hass)
    async with reporting(hass, entry, meter="words"):
        await until_told(hass, entry)
        await until(coordinator_of(entry), lambda: METER in coordinator_of(entry).data)
        await hass.async_block_till_done()
        entities = er.async_entries_for_config_entry(entity_registry, entry.entry_id)
        enabled = [entity for entity in entities if entity.disabled_by is None]
        assert sorted(entity.entity_id for entity in enabled) == snapshot
        assert not [
            state.entity_id
            for state in hass.states.async_all()
            if state.state in (STATE_UNKNOWN, STATE_UNAVAILABLE)
            and state.domain != "event"
        ]


async def test_controls_take_the_place_of_what_was_shown_when_writing_is_on(
    hass: HomeAssistant,
    entry: MockConfigEntry,
    stick: SimulatedStick,
    entity_registry: er.EntityRegistry,
    snapshot: SnapshotAssertion,
) -> None:
    controls = {
        entity.entity_id: "disabled"
        if (state := hass.states.get(entity.entity_id)) is None
        else state.state
        for entity in er.async_entries_for_config_entry(entity_registry, entry.entry_id)
        if entity.domain not in ("sensor", "binary_sensor", "event")
    }
    assert controls == snapshot
    # To look at them has changed nothing.
    assert not written_to(stick)
    assert not stick.inverters[1].writes


# -- asking in the repairs ------------------------------------------------------------


async def ask(hass: HomeAssistant, domain: str, action: str, **data: object) -> None:
    """Use a control, which asks for a confirmation."""
    with pytest.raises(ServiceValidationError) as question:
        await hass.services.async_call(domain, action, data, blocking=True)
    assert question.value.translation_key == "confirmation_pending"


async def confirm(hass: HomeAssistant, hass_client: ClientSessionGenerator) -> None:
    """Submit the only issue there is in the repairs."""
    assert await async_setup_component(hass, "repairs", {})
    client = await hass_client()
    (issue,) = issues(hass)
    url = "/api/repairs/issues/fix"
    response = await client.post(
        url, json={"handler": DOMAIN, "issue_id": issue.issue_id}
    )
    assert response.status == HTTPStatus.OK
    form = await response.json()
    response = await client.post(f"{url}/{form['flow_id']}", json={})
    assert (await response.json())["type"] == "create_entry"
    await hass.async_block_till_done()


async def test_interval_of_a_logger_is_changed_with_its_number(
    hass: HomeAssistant,
    entry: MockConfigEntry,
    stick: SimulatedStick,
    hass_client: ClientSessionGenerator,
) -> None:
    number = entity_id_of(hass, LOGGER_ID, "report_interval")
    assert number.startswith("number.")
    assert state_of(hass, LOGGER_ID, "report_interval").state == "5.0"
    await ask(hass, "number", "set_value", entity_id=number, value=0.5)
    assert not written_to(stick)
    await confirm(hass, hass_client)
    assert written_to(stick) == [(parameters.INTERVAL, "0.5", 0)]
    assert stick.interval == 30
    assert state_of(hass, LOGGER_ID, "report_interval").state == "0.5"


@pytest.mark.usefixtures("all_entities_enabled")
@pytest.mark.parametrize("key", ["restart", "sync_clock"])
async def test_commands_of_a_logger_are_given_with_buttons(
    hass: HomeAssistant, hass_client: ClientSessionGenerator, key: str
) -> None:
    entry = await set_up_writable(hass)
    async with reporting(hass, entry) as stick:
        await until_told(hass, entry)
        clocks = len(stick.parameter_writes)
        button = entity_id_of(hass, LOGGER_ID, key)
        assert state_of(hass, LOGGER_ID, key).state != STATE_UNAVAILABLE
        await ask(hass, "button", "press", entity_id=button)
        assert len(stick.parameter_writes) == clocks
        await confirm(hass, hass_client)
        number, _, status = stick.parameter_writes[clocks]
        wanted = parameters.RESTART if key == "restart" else parameters.CLOCK
        assert (number, status) == (wanted, 0)
        if key == "restart":
            await stick.wait_until(lambda: stick.restarts == 1)
        stick.disconnect()
        logger = coordinator_of(entry).fleet.loggers[LOGGER]
        await soon(lambda: logger.session is None)
        await hass.async_block_till_done()
        assert state_of(hass, LOGGER_ID, key).state == STATE_UNAVAILABLE


# -- settings of the inverter ---------------------------------------------------------


async def test_setting_of_an_inverter_is_changed_through_its_stick(
    hass: HomeAssistant, entry: MockConfigEntry, stick: SimulatedStick
) -> None:
    device = device_of(hass, entry, INVERTER)
    inverter = stick.inverters[1]
    reading = await act(hass, "read_register", device, register="active_power_limit")
    assert (reading["raw"], reading["value"], reading["unit"]) == ([100], 100, "%")
    preview = await act(
        hass, "preview_write", device, register="active_power_limit", value=80
    )
    assert (preview["current"], preview["value"]) == (100, 80)
    assert not inverter.writes
    done = await act(hass, "confirm_write", device, token=preview["token"])
    assert (done["outcome"], done["after"]) == ("written", 80)
    assert inverter.writes == [Write(LIMIT, (80,), True, 0)]
    assert state_of(hass, INVERTER, "active_power_limit").state == "80"
    # By any register, too.
    reading = await act(hass, "read_register", device, space="holding", address=LIMIT)
    assert reading["raw"] == [80]
    reading = await act(
        hass, "read_register", device, space="input", address=3001, count=2
    )
    assert reading["raw"] == [0, 44116]
    assert reading["values"] == {"pv_power": 4411.6}


async def test_time_slot_is_written_at_once(
    hass: HomeAssistant, entry: MockConfigEntry, stick: SimulatedStick
) -> None:
    # A slot counts all day: another one would overlap with it.
    stick.inverters[1].unit.dataset.words[Table.HOLDING][3038] = 0
    done = await act(
        hass,
        "set_time_slot",
        device_of(hass, entry, BATTERY),
        slot=2,
        start="01:00",
        end="05:00",
        mode="battery_first",
        enabled=True,
        grid_charge=True,
        confirm=True,
    )
    assert done["outcome"] == "written"
    slots = [write for write in stick.inverters[1].writes if write.address == 3040]
    assert slots == [Write(3040, (0xA100, 0x0500), False, 0)]


async def test_two_inverters_behind_one_logger_are_not_mixed_up(
    hass: HomeAssistant, entry: MockConfigEntry
) -> None:
    inverters = [
        SimulatedInverter(1, "min_6000tl_xh", INVERTER),
        SimulatedInverter(2, "min_6000tl_xh", SECOND),
    ]
    async with reporting(hass, entry, inverters=inverters):
        inverters[1].unit.dataset.words[Table.HOLDING][LIMIT] = 60
        first, second = (device_of(hass, entry, each.serial) for each in inverters)
        for device, value in ((first, 100), (second, 60)):
            reading = await act(
                hass, "read_register", device, register="active_power_limit"
            )
            assert reading["value"] == value
        await change(hass, entry, SECOND, "active_power_limit", 70)
        assert not inverters[0].writes
        assert inverters[1].writes == [Write(LIMIT, (70,), True, 0)]
        assert state_of(hass, INVERTER, "active_power_limit").state == "100"
        assert state_of(hass, SECOND, "active_power_limit").state == "70"
        await change(hass, entry, INVERTER, "active_power_limit", 90)
        assert inverters[0].writes == [Write(LIMIT, (90,), True, 0)]
        assert len(inverters[1].writes) == 1


async def test_swapped_inverters_are_not_written_to_by_their_old_units(
    hass: HomeAssistant, entry: MockConfigEntry
) -> None:
    """The installer has given the inverters each other's addresses on the bus."""
    inverters = [
        SimulatedInverter(1, "min_6000tl_xh", INVERTER),
        SimulatedInverter(2, "min_6000tl_xh", SECOND),
    ]
    async with reporting(hass, entry, inverters=inverters) as stick:
        one, two = inverters
        one.unit_id, two.unit_id = 2, 1
        stick.inverters.clear()
        stick.inverters.update({1: two, 2: one})
        # Nothing was reported yet: the serial number behind the unit tells.
        err = await refused(change(hass, entry, INVERTER, "active_power_limit", 70))
        assert err.translation_key == "wrong_device"
        assert not one.writes
        assert not two.writes


# -- settings of the logger -----------------------------------------------------------


@pytest.mark.parametrize(
    ("key", "value", "number", "text"),
    [
        ("report_interval", 1, parameters.INTERVAL, "1"),
        ("server_address", "192.0.2.7", parameters.SERVER_ADDRESS, "192.0.2.7"),
        ("server_port", 5280, parameters.SERVER_PORT, "5280"),
        ("server_name", "ha.example.net", parameters.SERVER_NAME, "ha.example.net"),
    ],
)
async def test_setting_of_a_logger_is_changed(
    hass: HomeAssistant,
    entry: MockConfigEntry,
    stick: SimulatedStick,
    key: str,
    value: object,
    number: int,
    text: str,
) -> None:
    device = device_of(hass, entry, LOGGER_ID)
    before = await act(hass, "read_register", device, register=key)
    assert before["address"] == number
    assert before["space"] == "parameter"
    preview = await act(hass, "preview_write", device, register=key, value=value)
    assert preview["current"] == before["value"]
    assert preview["value"] == value
    assert not written_to(stick)
    done = await change(hass, entry, LOGGER_ID, key, value)
    assert (done["outcome"], done["after"]) == ("written", value)
    assert written_to(stick) == [(number, text, 0)]
    assert stick.parameters[number] == text


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("report_interval", 0),
        ("report_interval", 61),
        ("server_port", 0),
        ("server_port", 65536),
        ("server_port", 80.5),
        ("server_address", ""),
        ("server_address", "a b"),
        ("server_address", "x" * 64),
        ("server_name", "#"),
        ("restart", False),
        ("wifi_password", "12345678"),
    ],
)
async def test_values_that_a_logger_cannot_have_are_refused(
    hass: HomeAssistant,
    entry: MockConfigEntry,
    stick: SimulatedStick,
    key: str,
    value: object,
) -> None:
    await refused(change(hass, entry, LOGGER_ID, key, value))
    assert not written_to(stick)


async def test_parameters_of_a_logger_are_read_by_their_number(
    hass: HomeAssistant, entry: MockConfigEntry, stick: SimulatedStick
) -> None:
    device = device_of(hass, entry, LOGGER_ID)
    reading = await act(hass, "read_register", device, space="parameter", address=21)
    assert reading == {"space": "parameter", "address": 21, "raw": "1.0.8.3"}
    asked = len(stick.received_of(Kind.PARAMETER))
    for secret in (56, 57):
        err = await refused(
            act(hass, "read_register", device, space="parameter", address=secret)
        )
        assert err.translation_key == "secret_parameter"
    assert len(stick.received_of(Kind.PARAMETER)) == asked
    for other in (INVERTER, coordinator_of(entry).server_id):
        err = await refused(
            act(
                hass,
                "read_register",
                device_of(hass, entry, other),
                space="parameter",
                address=21,
            )
        )
        assert err.translation_key == "no_parameters"


async def test_what_a_logger_does_not_have_is_said(
    hass: HomeAssistant, entry: MockConfigEntry, stick: SimulatedStick
) -> None:
    device = device_of(hass, entry, LOGGER_ID)
    for register in ("restart", "pv_power"):
        err = await refused(act(hass, "read_register", device, register=register))
        assert err.translation_key == "unknown_register"
    for data in ({"space": "holding", "address": 3}, {"space": "input", "address": 3}):
        err = await refused(act(hass, "read_register", device, **data))
        assert err.translation_key == "no_registers"
    err = await refused(act(hass, "dump_registers", device))
    assert err.translation_key == "no_registers"


# -- what goes wrong ------------------------------------------------------------------


async def test_nothing_is_written_while_writing_is_off(hass: HomeAssistant) -> None:
    entry = await set_up(hass)
    async with reporting(hass, entry) as stick:
        for device, register, value in (
            (INVERTER, "active_power_limit", 80),
            (LOGGER_ID, "report_interval", 1),
            (LOGGER_ID, "restart", True),
        ):
            err = await refused(change(hass, entry, device, register, value))
            assert err.translation_key == "writes_disabled"
        assert not written_to(stick)
        assert not stick.inverters[1].writes
        for domain in ("number", "button", "switch", "select", "time"):
            assert not hass.states.async_all(domain)
        # Looking is allowed.
        reading = await act(
            hass,
            "read_register",
            device_of(hass, entry, INVERTER),
            register="active_power_limit",
        )
        assert reading["value"] == 100


async def test_stick_that_leaves_between_write_and_read_back_leaves_it_unknown(
    hass: HomeAssistant, entry: MockConfigEntry, stick: SimulatedStick
) -> None:
    inverter = stick.inverters[1]
    write = inverter.write

    def write_and_leave(*args: Any, **kwargs: Any) -> int:
        status = write(*args, **kwargs)
        stick.disconnect()
        return status

    with patch.object(inverter, "write", write_and_leave):
        err = await refused(change(hass, entry, INVERTER, "active_power_limit", 80))
    assert err.translation_key == "outcome_unknown"
    # It was sent once, whatever became of it.
    assert len(inverter.writes) == 1


@pytest.mark.parametrize(
    ("device", "register", "value"),
    [(INVERTER, "active_power_limit", 80), (LOGGER_ID, "report_interval", 1)],
)
async def test_stick_that_is_not_there_is_not_written_to(
    hass: HomeAssistant,
    entry: MockConfigEntry,
    stick: SimulatedStick,
    device: str,
    register: str,
    value: object,
) -> None:
    stick.disconnect()
    logger = coordinator_of(entry).fleet.loggers[LOGGER]
    await soon(lambda: logger.session is None)
    err = await refused(change(hass, entry, device, register, value))
    assert err.translation_key == "communication_error"
    err = await refused(
        act(hass, "read_register", device_of(hass, entry, device), register=register)
    )
    assert err.translation_key == "read_failed"


@pytest.mark.parametrize("rogue", ["refuses,type=06", "refuses=1,type=06"])
async def test_refusal_is_said(
    hass: HomeAssistant, entry: MockConfigEntry, stick: SimulatedStick, rogue: str
) -> None:
    stick.start_rogue(rogue)
    stick.start_rogue("refuses,type=10")
    await refused(change(hass, entry, INVERTER, "active_power_limit", 80))
    assert stick.inverters[1].unit.dataset.words[Table.HOLDING][LIMIT] == 100


async def test_refusal_of_a_logger_is_said(
    hass: HomeAssistant, entry: MockConfigEntry, stick: SimulatedStick
) -> None:
    stick.start_rogue("refuses,type=18")
    err = await refused(change(hass, entry, LOGGER_ID, "report_interval", 1))
    assert "status 3" in str(err)


async def test_silent_stick_is_said_not_to_answer(
    hass: HomeAssistant, entry: MockConfigEntry, stick: SimulatedStick
) -> None:
    stick.start_rogue("no-answers")
    with impatient():
        for device, register, value in (
            (INVERTER, "active_power_limit", 80),
            (LOGGER_ID, "report_interval", 1),
        ):
            err = await refused(change(hass, entry, device, register, value))
            assert err.translation_key == "communication_error"
            err = await refused(
                act(
                    hass,
                    "read_register",
                    device_of(hass, entry, device),
                    register=register,
                )
            )
            assert err.translation_key == "read_failed"
    assert not written_to(stick)
    assert not stick.inverters[1].writes


# -- commands to the battery ----------------------------------------------------------


async def test_command_goes_to_the_battery_of_the_inverter_that_was_named(
    hass: HomeAssistant, entry: MockConfigEntry
) -> None:
    """Never to the first one there is: an entry has several inverters here."""
    inverters = [
        SimulatedInverter(1, "mod_10000tl3_xh", INVERTER),
        SimulatedInverter(2, "mod_10000tl3_xh", SECOND),
    ]
    async with reporting(hass, entry, inverters=inverters):
        pass
    await hass.config_entries.async_unload(entry.entry_id)
    inventory = deepcopy(entry.data[CONF_INVENTORY])
    for known in inventory["inverters"]:
        known["identification"]["vpp"] = True
    hass.config_entries.async_update_entry(
        entry, data={**entry.data, CONF_INVENTORY: inventory}
    )
    await hass.config_entries.async_setup(entry.entry_id)
    await hass.async_block_till_done()
    assert coordinator_of(entry).battery_control is not None

    for device, key in (
        (INVERTER, "communication_error"),
        (SECOND, "no_battery_control"),
        (f"{SECOND}_battery", "no_battery_control"),
        (LOGGER_ID, "no_battery_control"),
    ):
        err = await refused(
            act(
                hass,
                "control_battery",
                device_of(hass, entry, device),
                power=50,
                duration=10,
                confirm=True,
            )
        )
        assert err.translation_key == key


# -- the list of dataloggers ----------------------------------------------------------


async def test_dataloggers_are_listed(
    hass: HomeAssistant, entry: MockConfigEntry, stick: SimulatedStick
) -> None:
    async def listed() -> Any:
        return await hass.services.async_call(
            DOMAIN, "list_dataloggers", {}, blocking=True, return_response=True
        )

    response = await listed()
    (logger,) = response["dataloggers"]
    assert logger.pop("last_record")
    assert logger == {
        "device_id": device_of(hass, entry, LOGGER_ID).id,
        "serial_number": LOGGER,
        "connected": True,
        "address": HOST,
        "protocol": 6,
        "answered_by": "local_solar",
        "inverters": [
            {
                "device_id": device_of(hass, entry, INVERTER).id,
                "serial_number": INVERTER,
                "unit": 1,
                "model": "MIN 6000TL-XH",
            }
        ],
    }
    stick.disconnect()
    known = coordinator_of(entry).fleet.loggers[LOGGER]
    await soon(lambda: known.session is None)
    (logger,) = (await listed())["dataloggers"]
    assert (logger["connected"], logger["address"], logger["answered_by"]) == (
        False,
        None,
        None,
    )
    assert entry.data[CONF_INVENTORY]["loggers"]
    await hass.config_entries.async_unload(entry.entry_id)
    assert await listed() == {"dataloggers": []}
