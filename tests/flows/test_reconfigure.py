"""Moving an inverter: another link, another speed, but the same inverter."""

import pytest
from pytest_homeassistant_custom_component.common import MockConfigEntry

from custom_components.local_solar.modbus_link import ModbusLink
from homeassistant.config_entries import ConfigEntryState, ConfigFlow, ConfigFlowResult
from homeassistant.core import HomeAssistant
from homeassistant.data_entry_flow import AbortFlow, FlowResultType
from homeassistant.helpers import device_registry as dr, entity_registry as er
from tests.common import HOST, TL_XH, Link, Network, Unit, set_up, setup_state, state_of

from .common import abort_text, choose, error_text, go_on, more, search, suggested

PORT = "/dev/serial/by-id/usb-adapter"
NEW_HOST = "gateway"
NEW_PLACE = {"host": NEW_HOST, "port": 503, **more(4)}

AT_9600 = ModbusLink(device=PORT, baudrate=9600)
AT_38400 = {"device": PORT, "baudrate": "38400", **more()}


@pytest.fixture
def serial_link(network: Network) -> Link:
    """A serial line with a MIN 6000TL-XH as unit 1."""
    return network.add_serial(PORT, {1: TL_XH})


async def reconfigure(
    hass: HomeAssistant, entry: MockConfigEntry, step: str
) -> ConfigFlowResult:
    """Start to move an inverter."""
    return await choose(hass, await entry.start_reconfigure_flow(hass), step)


async def test_same_inverter_moves_with_its_history(
    hass: HomeAssistant,
    link: Link,
    network: Network,
    device_registry: dr.DeviceRegistry,
    entity_registry: er.EntityRegistry,
) -> None:
    entry = await set_up(hass, link.units[1], options={"message_spacing": 70})
    entities = er.async_entries_for_config_entry(entity_registry, entry.entry_id)
    devices = dr.async_entries_for_config_entry(device_registry, entry.entry_id)
    moved = network.add_tcp(NEW_HOST, {4: link.units[1].copy()}, port=503)

    result = await reconfigure(hass, entry, "growatt_tcp")
    result = await go_on(hass, result, NEW_PLACE)
    await hass.async_block_till_done()

    assert await abort_text(hass, result) == "Reconfiguration was successful"
    assert entry.state is ConfigEntryState.LOADED
    assert entry.data["link"] == {"host": NEW_HOST, "port": 503}
    assert entry.data["unit_id"] == 4
    assert entry.options == {"message_spacing": 70}
    assert link.open_connections == 0
    assert moved.open_connections == 1
    assert moved.units[4].read_events
    assert entities == er.async_entries_for_config_entry(
        entity_registry, entry.entry_id
    )
    assert [device.id for device in devices] == [
        device.id
        for device in dr.async_entries_for_config_entry(device_registry, entry.entry_id)
    ]


async def test_form_holds_how_the_inverter_is_reached_now(
    hass: HomeAssistant, network: Network
) -> None:
    link = network.add_serial("socket://[fe80::1]:8899", {3: TL_XH})
    entry = await set_up(
        hass, link.units[3], link=ModbusLink.rtu_over_tcp("fe80::1", 8899), unit_id=3
    )
    result = await reconfigure(hass, entry, "growatt_rtu_tcp")
    assert suggested(result)["host"] == "fe80::1"
    assert suggested(result)["port"] == 8899
    # The unit id lies in a section, whose fields get their suggestions from it.
    assert result["data_schema"] is not None
    (section,) = [
        value
        for field, value in result["data_schema"].schema.items()
        if field == "more_options"
    ]
    assert {
        str(field): (field.description or {}).get("suggested_value")
        for field in section.schema.schema
    } == {"unit_id": 3, "search": False}


@pytest.mark.parametrize("step", ["growatt_rtu_tcp", "growatt_serial"])
async def test_form_for_another_kind_of_link_starts_empty(
    hass: HomeAssistant, link: Link, step: str
) -> None:
    entry = await set_up(hass, link.units[1])
    result = await reconfigure(hass, entry, step)
    assert not any(suggested(result).values())


async def test_form_holds_the_serial_port_and_its_speed(
    hass: HomeAssistant, serial_link: Link
) -> None:
    entry = await set_up(hass, serial_link.units[1], link=AT_9600)
    result = await reconfigure(hass, entry, "growatt_serial")
    assert suggested(result)["device"] == PORT
    assert suggested(result)["baudrate"] == "9600"


async def test_other_inverter_is_refused_and_the_entry_stays(
    hass: HomeAssistant, link: Link, network: Network
) -> None:
    entry = await set_up(hass, link.units[1])
    other = link.units[1].copy()
    other.set_serial_number("SNL0DEMO99")
    network.add_tcp(NEW_HOST, {4: other}, port=503)
    before = dict(entry.data)

    result = await reconfigure(hass, entry, "growatt_tcp")
    result = await go_on(hass, result, NEW_PLACE)
    assert result["reason"] == "wrong_inverter"
    assert "Its serial number differs" in await abort_text(hass, result)
    assert entry.data == before
    assert entry.state is ConfigEntryState.LOADED
    assert link.open_connections == 1


async def test_move_that_fails_is_explained_and_can_be_tried_again(
    hass: HomeAssistant, link: Link, network: Network
) -> None:
    entry = await set_up(hass, link.units[1])
    result = await reconfigure(hass, entry, "growatt_tcp")
    result = await go_on(hass, result, NEW_PLACE)
    assert f"{NEW_HOST}:503" in await error_text(hass, result, "host_not_found")
    assert entry.state is ConfigEntryState.LOADED
    assert entry.data["link"]["host"] == HOST

    network.add_tcp(NEW_HOST, {4: link.units[1].copy()}, port=503)
    result = await go_on(hass, result, NEW_PLACE)
    assert result["reason"] == "reconfigure_successful"
    await hass.async_block_till_done()
    assert entry.state is ConfigEntryState.LOADED


async def test_old_link_is_let_go_before_the_new_one_is_tried(
    hass: HomeAssistant, link: Link, network: Network
) -> None:
    # It may be the same gateway under another name, and take one connection only.
    entry = await set_up(hass, link.units[1])
    moved = link.units[1].copy()
    open_meanwhile: list[int] = []

    def type_code() -> int:
        open_meanwhile.append(link.open_connections)
        return 5100

    moved.holding[43] = type_code
    network.add_tcp(NEW_HOST, {4: moved}, port=503)
    result = await reconfigure(hass, entry, "growatt_tcp")
    assert link.open_connections == 1
    result = await go_on(hass, result, NEW_PLACE)
    await hass.async_block_till_done()
    assert result["reason"] == "reconfigure_successful"
    assert set(open_meanwhile) == {0}


async def test_move_by_search(
    hass: HomeAssistant, link: Link, network: Network
) -> None:
    entry = await set_up(hass, link.units[1])
    network.add_tcp(NEW_HOST, {6: link.units[1].copy()})
    result = await reconfigure(hass, entry, "growatt_tcp")
    result = await search(
        hass, result, {"host": NEW_HOST, "port": 502, **more(search=True)}
    )
    result = await go_on(hass, result, {"unit_id": "6"})
    assert result["reason"] == "reconfigure_successful"
    assert entry.data["unit_id"] == 6


# -- another speed of the same port ---------------------------------------------------


async def test_own_port_is_opened_at_another_speed(
    hass: HomeAssistant, serial_link: Link
) -> None:
    entry = await set_up(hass, serial_link.units[1], link=AT_9600)
    serial_link.baudrate = 38400  # changed on the inverter's display
    result = await reconfigure(hass, entry, "growatt_serial")
    result = await go_on(hass, result, AT_38400)
    await hass.async_block_till_done()
    assert result["reason"] == "reconfigure_successful"
    assert entry.data["link"] == {"device": PORT, "baudrate": 38400}
    assert entry.state is ConfigEntryState.LOADED
    assert state_of(hass, entry, "connected").state == "on"
    assert serial_link.open_connections == 1


async def test_wrong_speed_brings_the_entry_back_at_the_old_one(
    hass: HomeAssistant, serial_link: Link
) -> None:
    entry = await set_up(hass, serial_link.units[1], link=AT_9600)
    serial_link.baudrate = 9600
    result = await reconfigure(hass, entry, "growatt_serial")
    result = await go_on(hass, result, AT_38400)
    await error_text(hass, result, "no_answer")
    assert entry.state is ConfigEntryState.LOADED
    assert entry.data["link"] == {"device": PORT, "baudrate": 9600}
    assert state_of(hass, entry, "connected").state == "on"

    # Once more in the same flow, after the inverter's speed was changed.
    serial_link.baudrate = 38400
    result = await go_on(hass, result, AT_38400)
    await hass.async_block_till_done()
    assert result["reason"] == "reconfigure_successful"
    assert entry.state is ConfigEntryState.LOADED
    assert state_of(hass, entry, "connected").state == "on"


async def test_other_inverter_at_another_speed_brings_the_entry_back(
    hass: HomeAssistant, serial_link: Link
) -> None:
    unit = serial_link.units[1]
    serial_number = unit.serial_number
    entry = await set_up(hass, unit, link=AT_9600)
    unit.set_serial_number("SNL0DEMO99")
    result = await reconfigure(hass, entry, "growatt_serial")
    unit.taken_reads()
    result = await go_on(hass, result, AT_38400)
    assert result["reason"] == "wrong_inverter"
    assert entry.data["link"] == {"device": PORT, "baudrate": 9600}
    # It was set up again, and found that its inverter is not there any more.
    assert entry.state is ConfigEntryState.SETUP_RETRY
    assert entry.error_reason_translation_placeholders == {
        "expected": serial_number,
        "found": "SNL0DEMO99",
        "address": PORT,
        "unit_id": "1",
    }


async def test_own_port_is_relinked_while_the_entry_waits_for_its_next_try(
    hass: HomeAssistant, serial_link: Link
) -> None:
    unit = serial_link.units[1]
    entry = await set_up(hass, unit, link=AT_9600)
    serial_link.go_down(OSError("unplugged"))
    await hass.config_entries.async_reload(entry.entry_id)
    assert entry.state is ConfigEntryState.SETUP_RETRY

    serial_link.come_up()
    serial_link.baudrate = 38400
    result = await reconfigure(hass, entry, "growatt_serial")
    result = await go_on(hass, result, AT_38400)
    await hass.async_block_till_done()
    assert result["reason"] == "reconfigure_successful"
    assert setup_state(entry) is ConfigEntryState.LOADED


async def test_entry_that_is_not_loaded_can_be_moved(
    hass: HomeAssistant, serial_link: Link
) -> None:
    entry = await set_up(hass, serial_link.units[1], link=AT_9600)
    await hass.config_entries.async_unload(entry.entry_id)
    serial_link.baudrate = 38400
    result = await reconfigure(hass, entry, "growatt_serial")
    result = await go_on(hass, result, AT_38400)
    await hass.async_block_till_done()
    assert result["reason"] == "reconfigure_successful"
    assert entry.state is ConfigEntryState.LOADED


async def test_speed_of_a_shared_port_cannot_be_changed_for_one_inverter_only(
    hass: HomeAssistant, serial_link: Link
) -> None:
    second = serial_link.units[1].copy()
    second.set_serial_number("SNL0DEMO99")
    serial_link.units[2] = second
    entry = await set_up(hass, serial_link.units[1], link=AT_9600)
    other = await set_up(hass, second, link=AT_9600, unit_id=2)
    result = await reconfigure(hass, entry, "growatt_serial")
    result = await go_on(hass, result, AT_38400)
    await error_text(hass, result, "link_in_use")
    assert entry.state is ConfigEntryState.LOADED
    assert other.state is ConfigEntryState.LOADED
    assert state_of(hass, entry, "connected").state == "on"


async def test_entry_comes_back_when_another_flow_has_the_same_inverter(
    hass: HomeAssistant, serial_link: Link, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry = await set_up(hass, serial_link.units[1], link=AT_9600)
    result = await reconfigure(hass, entry, "growatt_serial")

    async def refuse(*_: object) -> None:
        raise AbortFlow("already_in_progress")

    monkeypatch.setattr(ConfigFlow, "async_set_unique_id", refuse)
    result = await go_on(hass, result, AT_38400)
    await hass.async_block_till_done()
    assert result["type"] is FlowResultType.ABORT
    assert entry.state is ConfigEntryState.LOADED
    assert entry.data["link"] == {"device": PORT, "baudrate": 9600}


async def test_move_looks_anew_at_what_the_inverter_has(
    hass: HomeAssistant,
    link: Link,
    device_registry: dr.DeviceRegistry,
) -> None:
    unit: Unit = link.units[1]
    entry = await set_up(hass, unit)
    assert entry.data["identification"]["battery"]
    for address in range(3087, 3106):
        unit.holding[address] = 0
    unit.input[3118] = 0
    result = await reconfigure(hass, entry, "growatt_tcp")
    result = await go_on(hass, result, {"host": HOST, "port": 502, **more()})
    await hass.async_block_till_done()
    assert result["reason"] == "reconfigure_successful"
    assert not entry.data["identification"]["battery"]
