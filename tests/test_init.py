"""Setting entries up and taking them down; what is stored of an inverter; its devices."""

import socket

from freezegun.api import FrozenDateTimeFactory
from modbus_connection import (
    GatewayTargetError,
    IllegalDataAddressError,
    ModbusDesyncError,
    ModbusTimeoutError,
)
import pytest
from pytest_homeassistant_custom_component.common import (
    MockConfigEntry,
    mock_restore_cache_with_extra_data,
)
from pytest_homeassistant_custom_component.typing import WebSocketGenerator

from custom_components.local_solar.const import DOMAIN
from custom_components.local_solar.modbus_link import ModbusLink
from homeassistant.components.modbus.connection import async_get_connection_info
from homeassistant.config_entries import ConfigEntryState
from homeassistant.const import STATE_UNAVAILABLE
from homeassistant.core import HomeAssistant, State
from homeassistant.helpers import device_registry as dr, entity_registry as er
from homeassistant.helpers.translation import async_get_translations
from homeassistant.setup import async_setup_component

from .common import (
    HOST,
    TL_X,
    Link,
    Network,
    entity_id_of,
    load_unit,
    make_entry,
    pass_time,
    set_up,
    setup_state,
    state_of,
)
from .simulated import VPP


async def reason(hass: HomeAssistant, entry: MockConfigEntry) -> str:
    """Return why an entry is not set up, as the owner reads it."""
    key = entry.error_reason_translation_key
    texts = await async_get_translations(hass, "en", "exceptions", [DOMAIN])
    text = texts[f"component.{DOMAIN}.exceptions.{key}.message"]
    return text.format(**(entry.error_reason_translation_placeholders or {}))


# -- up and down ----------------------------------------------------------------------


async def test_entry_is_loaded_with_entities(hass: HomeAssistant, link: Link) -> None:
    entry = await set_up(hass, link.units[1])
    assert entry.state is ConfigEntryState.LOADED
    assert state_of(hass, entry, "connected").state == "on"
    assert state_of(hass, entry, "battery_soc", battery=True).state == "68"


async def test_unloading_gives_the_link_back_and_stops_asking(
    hass: HomeAssistant, link: Link, freezer: FrozenDateTimeFactory
) -> None:
    unit = link.units[1]
    entry = await set_up(hass, unit)
    assert [info.units for info in async_get_connection_info(hass)] == [
        {entry.entry_id: [1]}
    ]
    assert await hass.config_entries.async_unload(entry.entry_id)
    assert entry.state is ConfigEntryState.NOT_LOADED
    assert async_get_connection_info(hass) == []
    assert link.open_connections == 0
    assert state_of(hass, entry, "ac_power").state == STATE_UNAVAILABLE
    await pass_time(hass, freezer, 3600)
    assert unit.taken_reads() == []


async def test_reload_opens_the_link_anew(hass: HomeAssistant, link: Link) -> None:
    entry = await set_up(hass, link.units[1])
    link.units[1].put32(3023, 12345)
    await hass.config_entries.async_reload(entry.entry_id)
    assert entry.state is ConfigEntryState.LOADED
    assert state_of(hass, entry, "ac_power").state == "1234.5"
    assert len(link.connections) == 2
    assert link.open_connections == 1


async def test_inverters_of_one_bus_share_the_link_until_the_last_goes(
    hass: HomeAssistant, link: Link
) -> None:
    second = link.units[2] = load_unit(serial_number="SNL0DEMO99")
    entries = [
        await set_up(hass, link.units[1]),
        await set_up(hass, second, unit_id=2),
    ]
    assert len(link.connections) == 1
    for left, entry in zip((1, 0), entries, strict=True):
        await hass.config_entries.async_unload(entry.entry_id)
        assert link.open_connections == left


async def test_removed_entry_leaves_nothing_behind(
    hass: HomeAssistant,
    link: Link,
    device_registry: dr.DeviceRegistry,
    entity_registry: er.EntityRegistry,
) -> None:
    entry = await set_up(hass, link.units[1])
    await hass.config_entries.async_remove(entry.entry_id)
    await hass.async_block_till_done()
    assert not hass.states.async_all()
    assert not er.async_entries_for_config_entry(entity_registry, entry.entry_id)
    assert not dr.async_entries_for_config_entry(device_registry, entry.entry_id)
    assert link.open_connections == 0


# -- what keeps an entry from being set up --------------------------------------------


@pytest.mark.parametrize(
    ("because", "says"),
    [
        (
            socket.gaierror(-2, "Name or service not known"),
            f"No device named like this was found in your network ({HOST}:502).",
        ),
        (
            ConnectionRefusedError(111, "Connect call failed"),
            f"{HOST}:502 refuses the connection.",
        ),
        (OSError(113, "No route to host"), f"No connection to {HOST}:502"),
    ],
    ids=["host_not_found", "connection_refused", "cannot_connect"],
)
async def test_link_that_is_down_is_tried_again_and_says_why(
    hass: HomeAssistant,
    link: Link,
    freezer: FrozenDateTimeFactory,
    because: Exception,
    says: str,
) -> None:
    link.go_down(because)
    entry = await set_up(hass, link.units[1])
    assert entry.state is ConfigEntryState.SETUP_RETRY
    assert says in await reason(hass, entry)
    assert async_get_connection_info(hass) == []

    link.come_up()
    await pass_time(hass, freezer, 60)
    assert setup_state(entry) is ConfigEntryState.LOADED


@pytest.mark.parametrize(
    ("because", "says"),
    [
        (
            FileNotFoundError(2, "No such file or directory"),
            "There is no serial port /dev/ttyUSB0. Is the adapter plugged in?",
        ),
        (
            BlockingIOError(11, "Resource temporarily unavailable"),
            "The serial port /dev/ttyUSB0 cannot be opened.",
        ),
    ],
    ids=["port_missing", "port_taken"],
)
async def test_serial_port_that_cannot_be_opened_is_tried_again_and_says_why(
    hass: HomeAssistant, network: Network, because: Exception, says: str
) -> None:
    port = ModbusLink(device="/dev/ttyUSB0", baudrate=9600)
    link = network.add_serial("/dev/ttyUSB0", {1: TL_X})
    link.go_down(because)
    entry = await set_up(hass, link.units[1], link=port)
    assert entry.state is ConfigEntryState.SETUP_RETRY
    assert says in await reason(hass, entry)


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (
            IllegalDataAddressError(),
            f"Unit 1 on {HOST}:502 refuses to tell who it is",
        ),
        (
            ModbusDesyncError("header mismatch"),
            f"What comes from {HOST}:502 is no Modbus answer",
        ),
    ],
    ids=["request_refused", "garbage"],
)
async def test_unit_that_makes_no_sense_is_tried_again_and_says_why(
    hass: HomeAssistant, link: Link, error: Exception, says: str
) -> None:
    unit = link.units[1]
    unit.fail_requests(error)
    entry = await set_up(hass, unit)
    assert entry.state is ConfigEntryState.SETUP_RETRY
    assert says in await reason(hass, entry)


async def test_gateway_that_takes_no_connection_in_time_is_not_mistaken_for_night(
    hass: HomeAssistant, link: Link
) -> None:
    link.times_out = True
    entry = await set_up(hass, link.units[1])
    assert entry.state is ConfigEntryState.SETUP_RETRY
    assert f"No connection to {HOST}:502" in await reason(hass, entry)


async def test_other_inverter_in_its_place_is_named_and_not_used(
    hass: HomeAssistant, link: Link, freezer: FrozenDateTimeFactory
) -> None:
    unit = link.units[1]
    entry = await make_entry(hass, unit)
    expected = unit.serial_number
    unit.set_serial_number("SNL0DEMO99")
    await hass.config_entries.async_setup(entry.entry_id)
    assert entry.state is ConfigEntryState.SETUP_RETRY
    said = await reason(hass, entry)
    assert f"Expected the inverter {expected} at unit ID 1 on {HOST}:502" in said
    assert "but SNL0DEMO99 answers" in said
    assert async_get_connection_info(hass) == []
    assert not hass.states.async_all()

    unit.set_serial_number(expected)
    await pass_time(hass, freezer, 60)
    assert setup_state(entry) is ConfigEntryState.LOADED


async def test_off_grid_model_in_its_place_is_read_with_its_own_map(
    hass: HomeAssistant, link: Link
) -> None:
    unit = link.units[1]
    unit.holding.update(VPP)
    entry = await make_entry(hass, unit)
    assert entry.data["identification"]["vpp"]
    unit.holding[43] = 3400
    await hass.config_entries.async_setup(entry.entry_id)
    assert entry.state is ConfigEntryState.LOADED
    identified = entry.data["identification"]
    assert (identified["profile"], identified["vpp"]) == ("spf", False)
    # An SPF that is asked for an address from 30000 on cuts its output.
    for read in unit.taken_reads():
        assert read.address // 45 == (read.address + read.count - 1) // 45
        assert read.address < 30000


async def test_inverter_that_is_still_starting_is_what_it_was(
    hass: HomeAssistant, link: Link
) -> None:
    unit = link.units[1]
    entry = await make_entry(hass, unit)
    before = dict(entry.data["identification"])
    # Only the long serial number is there yet.
    for address in (*range(9, 15), *range(23, 28), 43):
        unit.holding[address] = 0
    await hass.config_entries.async_setup(entry.entry_id)
    await hass.async_block_till_done()
    assert entry.state is ConfigEntryState.LOADED
    assert entry.data["identification"] == before


async def test_inverter_that_does_not_tell_its_size_is_set_up(
    hass: HomeAssistant, link: Link
) -> None:
    unit = link.units[1]
    unit.holding.update({6: 0, 7: 0})
    entry = await set_up(hass, unit)
    assert entry.state is ConfigEntryState.LOADED
    assert entry.data["identification"]["rated_power"] is None


async def test_port_that_is_open_at_another_speed_stops_the_set_up(
    hass: HomeAssistant, network: Network
) -> None:
    device = "/dev/ttyUSB0"
    link = network.add_serial(device, {1: TL_X, 2: load_unit()})
    slow, fast = (ModbusLink(device=device, baudrate=baud) for baud in (9600, 38400))
    await set_up(hass, link.units[1], link=slow)
    entry = await set_up(hass, link.units[2], link=fast, unit_id=2)
    assert entry.state is ConfigEntryState.SETUP_ERROR
    assert f"{device} is already open with other settings" in await reason(hass, entry)


# -- at night -------------------------------------------------------------------------


@pytest.mark.parametrize(
    "silence",
    [ModbusTimeoutError("no answer"), GatewayTargetError()],
    ids=["nothing", "gateway_answers"],
)
async def test_silent_inverter_is_set_up_from_what_is_stored(
    hass: HomeAssistant, link: Link, silence: Exception
) -> None:
    unit = link.units[1]
    entry = await make_entry(hass, unit)
    unit.fail_requests(silence)
    await hass.config_entries.async_setup(entry.entry_id)
    await hass.async_block_till_done()
    assert entry.state is ConfigEntryState.LOADED
    assert state_of(hass, entry, "connected").state == "off"
    assert state_of(hass, entry, "ac_power").state == STATE_UNAVAILABLE
    assert entity_id_of(hass, entry, "battery_soc", battery=True)


async def test_gateway_that_answers_zeros_for_a_sleeping_inverter_is_night_too(
    hass: HomeAssistant, link: Link, freezer: FrozenDateTimeFactory
) -> None:
    unit = link.units[1]
    entry = await make_entry(hass, unit)
    awake = unit.copy()
    unit.fill(0)
    await hass.config_entries.async_setup(entry.entry_id)
    await hass.async_block_till_done()
    assert entry.state is ConfigEntryState.LOADED
    assert state_of(hass, entry, "connected").state == "off"
    assert state_of(hass, entry, "energy_total").state == STATE_UNAVAILABLE  # not 0

    unit.holding, unit.input = awake.holding, awake.input
    await pass_time(hass, freezer, 60)
    assert state_of(hass, entry, "connected").state == "on"


async def test_counters_come_back_when_home_assistant_starts_at_night(
    hass: HomeAssistant, link: Link
) -> None:
    unit = link.units[1]
    entry = await make_entry(hass, unit)
    entity_id = "sensor.growatt_min_6000tl_xh_energy_total"
    er.async_get(hass).async_get_or_create(
        "sensor",
        DOMAIN,
        f"{entry.unique_id}_energy_total",
        suggested_object_id=entity_id.removeprefix("sensor."),
        config_entry=entry,
    )
    mock_restore_cache_with_extra_data(
        hass,
        [
            (
                State(entity_id, "11843.1"),
                {"native_value": 11843.1, "native_unit_of_measurement": "kWh"},
            )
        ],
    )
    unit.fall_silent()
    await hass.config_entries.async_setup(entry.entry_id)
    await hass.async_block_till_done()
    assert state_of(hass, entry, "energy_total").state == "11843.1"
    assert state_of(hass, entry, "connected").state == "off"


async def test_set_up_at_night_asks_twice_and_again_in_a_while(
    hass: HomeAssistant, link: Link, freezer: FrozenDateTimeFactory
) -> None:
    unit = link.units[1]
    entry = await make_entry(hass, unit)
    unit.fall_silent()
    await hass.config_entries.async_setup(entry.entry_id)
    await hass.async_block_till_done()
    assert len(unit.taken_reads()) == 2
    unit.answer()
    await pass_time(hass, freezer, 20)
    assert state_of(hass, entry, "connected").state == "on"
    assert state_of(hass, entry, "ac_power").state == "1796.0"


# -- what is stored -------------------------------------------------------------------


async def test_what_the_inverter_is_now_is_stored(
    hass: HomeAssistant, link: Link
) -> None:
    unit = link.units[1]
    entry = await set_up(hass, unit)
    assert entry.data["identification"]["firmware"] == "AL1.0 / ZAba-0031"
    unit.holding[14] = 32  # an update of the control firmware
    await hass.config_entries.async_reload(entry.entry_id)
    assert entry.data["identification"]["firmware"] == "AL1.0 / ZAba-0032"
    assert entry.unique_id == entry.data["identification"]["serial_number"]


async def test_battery_that_is_switched_off_stays(
    hass: HomeAssistant, link: Link, device_registry: dr.DeviceRegistry
) -> None:
    unit = link.units[1]
    entry = await set_up(hass, unit)
    battery = entry.data["identification"]["battery_serial"]
    assert battery
    unit.input[3118] = 0
    unit.holding.update(dict.fromkeys(range(3087, 3106), 0))
    await hass.config_entries.async_reload(entry.entry_id)
    stored = entry.data["identification"]
    assert stored["battery"]
    assert stored["battery_serial"] == battery
    assert stored["battery_code"] == "ZEBA"
    assert device_registry.async_get_device_by_identifier(
        (DOMAIN, f"{entry.unique_id}_battery"), config_entry_id=entry.entry_id
    )
    assert state_of(hass, entry, "battery_soc", battery=True).state == "68"


async def test_battery_that_is_added_appears_after_a_reload(
    hass: HomeAssistant, link: Link
) -> None:
    unit = link.units[1]
    with_battery = unit.copy()
    unit.input[3118] = 0
    unit.holding.update(dict.fromkeys(range(3087, 3106), 0))
    entry = await set_up(hass, unit)
    with pytest.raises(KeyError):
        entity_id_of(hass, entry, "battery_soc", battery=True)

    unit.holding, unit.input = with_battery.holding, with_battery.input
    await hass.config_entries.async_reload(entry.entry_id)
    await hass.async_block_till_done()
    assert state_of(hass, entry, "battery_soc", battery=True).state == "68"


# -- devices --------------------------------------------------------------------------


async def test_inverter_and_battery_are_devices(
    hass: HomeAssistant, link: Link, device_registry: dr.DeviceRegistry
) -> None:
    entry = await set_up(hass, link.units[1])
    inverter = device_registry.async_get_device_by_identifier(
        (DOMAIN, str(entry.unique_id)), config_entry_id=entry.entry_id
    )
    assert inverter is not None
    assert inverter.name == "Growatt MIN 6000TL-XH"
    assert inverter.manufacturer == "Growatt"
    assert inverter.model == "MIN 6000TL-XH"
    assert inverter.serial_number == link.units[1].serial_number
    assert inverter.sw_version == "AL1.0 / ZAba-0031"
    assert inverter.via_device_id is None

    battery = device_registry.async_get_device_by_identifier(
        (DOMAIN, f"{entry.unique_id}_battery"), config_entry_id=entry.entry_id
    )
    assert battery is not None
    assert battery.name == "Growatt ARK battery"
    assert battery.model == "ARK battery"
    assert battery.serial_number == "0ARKDEMO00000001"
    assert battery.sw_version == "ZEBA-0012"
    assert battery.via_device_id == inverter.id


async def test_inverter_without_battery_is_one_device(
    hass: HomeAssistant, network: Network, device_registry: dr.DeviceRegistry
) -> None:
    link = network.add_tcp(HOST, {1: TL_X})
    entry = await set_up(hass, link.units[1])
    (device,) = dr.async_entries_for_config_entry(device_registry, entry.entry_id)
    assert device.serial_number == link.units[1].serial_number


async def remove_device(
    hass: HomeAssistant, hass_ws_client: WebSocketGenerator, device_id: str
) -> bool:
    """Remove a device as the owner does; return whether that was allowed."""
    assert await async_setup_component(hass, "config", {})
    client = await hass_ws_client(hass)
    await client.send_json_auto_id(
        {"type": "config/device_registry/remove", "device_id": device_id}
    )
    response = await client.receive_json()
    if not response["success"]:
        assert "rejected by integration" in response["error"]["message"]
    return bool(response["success"])


async def test_devices_that_are_there_cannot_be_removed(
    hass: HomeAssistant,
    link: Link,
    device_registry: dr.DeviceRegistry,
    hass_ws_client: WebSocketGenerator,
) -> None:
    entry = await set_up(hass, link.units[1])
    devices = dr.async_entries_for_config_entry(device_registry, entry.entry_id)
    assert len(devices) == 2
    for device in devices:
        assert not await remove_device(hass, hass_ws_client, device.id)


async def test_sold_battery_can_be_removed_after_its_inverter_was_asked_anew(
    hass: HomeAssistant,
    link: Link,
    device_registry: dr.DeviceRegistry,
    hass_ws_client: WebSocketGenerator,
) -> None:
    unit = link.units[1]
    entry = await set_up(hass, unit)
    unit.input[3118] = 0
    unit.holding.update(dict.fromkeys(range(3087, 3106), 0))
    result = await entry.start_reconfigure_flow(hass)
    result = await hass.config_entries.flow.async_configure(
        result["flow_id"], {"next_step_id": "growatt_tcp"}
    )
    await hass.config_entries.flow.async_configure(
        result["flow_id"],
        {
            "host": HOST,
            "port": 502,
            "more_options": {"unit_id": 1, "search": False},
        },
    )
    await hass.async_block_till_done()
    battery = device_registry.async_get_device_by_identifier(
        (DOMAIN, f"{entry.unique_id}_battery"), config_entry_id=entry.entry_id
    )
    assert battery is not None
    assert await remove_device(hass, hass_ws_client, battery.id)
    assert device_registry.async_get(battery.id) is None


async def test_no_device_is_removed_while_nobody_knows_what_is_there(
    hass: HomeAssistant,
    link: Link,
    device_registry: dr.DeviceRegistry,
    hass_ws_client: WebSocketGenerator,
) -> None:
    entry = await set_up(hass, link.units[1])
    link.go_down(OSError("unplugged"))
    await hass.config_entries.async_reload(entry.entry_id)
    assert entry.state is ConfigEntryState.SETUP_RETRY
    for device in dr.async_entries_for_config_entry(device_registry, entry.entry_id):
        assert not await remove_device(hass, hass_ws_client, device.id)
