"""What only the coordinator of a gateway does."""

import asyncio
from pathlib import Path
from unittest.mock import patch

from modbus_connection import ModbusTimeoutError
from pymodbus import FramerType
import pytest
from pytest_homeassistant_custom_component.common import MockConfigEntry

from custom_components.local_solar.const import CONF_NEVER, DOMAIN
from custom_components.local_solar.coordinators.gateway_listeners import (
    RTU_OVER_TCP,
    TCP,
    TERMINALS,
    Opened,
    listener_issue,
)
from custom_components.local_solar.growatt.models import Certainty
from custom_components.local_solar.modbus_link import ModbusLink
from homeassistant.components.modbus import async_get_unit
from homeassistant.config_entries import ConfigEntryDisabler, ConfigEntryState
from homeassistant.const import EVENT_HOMEASSISTANT_STOP
from homeassistant.core import HomeAssistant
from homeassistant.helpers import issue_registry as ir
from simulators.growatt import GrowattSimulator
from tests.common import (
    HOST as LINK_HOST,
    TL_XH,
    Link,
    Network,
    Unit,
    coordinator_of as inverter_of,
    load_unit,
    make_entry as make_inverter_entry,
    set_up as set_up_inverter,
    setup_state,
)
from tests.gateway_helpers import (
    HOST,
    client_of,
    coordinator_of,
    device_of,
    exception_of,
    free_port,
    make_entry,
    poll,
    port_of,
    set_up,
    soon,
    state_of,
    take_port,
)
from tests.outback_helpers import reached, set_up as set_up_mate3
from tests.writing_helpers import issues, texts_of

pytestmark = pytest.mark.usefixtures("socket_enabled")

SPF = "spf_5000es"
VPP_VERSION = 30099


@pytest.fixture
def hass_config_dir(hass_tmp_config_dir: str) -> str:
    """Keep what is made in the configuration folder apart from other tests."""
    return hass_tmp_config_dir


# -- listening ------------------------------------------------------------------------


async def test_outside_client_reads_what_home_assistant_reads(
    hass: HomeAssistant, link: Link
) -> None:
    inverter = await set_up_inverter(hass, link.units[1])
    entry = await set_up(hass)
    async with client_of(entry) as client:
        answer = await client.read_holding_registers(23, count=5)
        assert answer.registers == [link.units[1].holding[23 + n] for n in range(5)]
        answer = await client.read_input_registers(3000, count=125)
        assert len(answer.registers) == 125
    # All of that through one connection.
    assert link.open_connections == 1
    assert inverter.state is ConfigEntryState.LOADED


async def test_the_gateway_keeps_the_pauses_of_an_inverter_that_it_shares(
    hass: HomeAssistant, link: Link
) -> None:
    unit = link.units[1]
    inverter = await set_up_inverter(hass, unit)
    assert unit.message_spacing == 0.85
    entry = await set_up(hass)
    gateway = coordinator_of(entry).gateway
    async with client_of(entry) as client:
        for address in range(20, 40):
            await client.read_holding_registers(address, count=1)
    assert gateway.gap == 0.0
    await inverter_of(inverter).async_refresh()
    assert unit.message_spacing == 0.0
    await hass.config_entries.async_unload(entry.entry_id)
    await inverter_of(inverter).async_refresh()
    assert unit.message_spacing == 0.85


async def test_clients_may_speak_rtu_over_tcp(hass: HomeAssistant, link: Link) -> None:
    entry = await set_up(hass, rtu_port=free_port())
    async with client_of(entry, RTU_OVER_TCP, FramerType.RTU) as client:
        answer = await client.read_holding_registers(43, count=1)
        assert answer.registers == [5100]


async def test_programs_may_use_terminals(hass: HomeAssistant, link: Link) -> None:
    folder = Path(hass.config.path(DOMAIN, "ports"))
    entry = await set_up(hass, terminals=2)
    assert sorted(path.name for path in folder.iterdir()) == ["1", "2"]
    # Another gateway has ports of its own.
    other = await set_up(hass, terminals=1)
    names = Path(hass.config.path(DOMAIN, f"ports_{other.entry_id}"))
    assert [path.name for path in names.iterdir()] == ["1"]
    await hass.config_entries.async_unload(entry.entry_id)
    assert not list(folder.iterdir())
    await hass.config_entries.async_unload(other.entry_id)
    assert not list(names.iterdir())


async def test_everything_is_closed_when_the_entry_is_unloaded(
    hass: HomeAssistant, link: Link
) -> None:
    entry = await set_up(hass, rtu_port=free_port())
    ports = [port_of(entry), port_of(entry, RTU_OVER_TCP)]
    async with client_of(entry) as client:
        await client.read_holding_registers(43, count=1)
        assert link.open_connections == 1
        assert await hass.config_entries.async_unload(entry.entry_id)
        await soon(lambda: not client.connected)
    await hass.async_block_till_done()
    assert link.open_connections == 0
    for port in ports:
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection(HOST, port)


async def test_nobody_is_served_after_home_assistant_stops(
    hass: HomeAssistant, link: Link
) -> None:
    entry = await set_up(hass)
    port = port_of(entry)
    hass.bus.async_fire(EVENT_HOMEASSISTANT_STOP)
    await hass.async_block_till_done()
    await poll(hass, entry)
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection(HOST, port)


async def test_link_that_is_open_with_other_settings_is_not_shared(
    hass: HomeAssistant, network: Network
) -> None:
    device = "/dev/ttyUSB0"
    network.add_serial(device, {1: TL_XH})
    await set_up_inverter(
        hass, load_unit(), link=ModbusLink(device=device, baudrate=9600)
    )
    entry = await set_up(hass, link=ModbusLink(device=device, baudrate=19200))
    assert entry.state is ConfigEntryState.SETUP_ERROR
    assert device in (entry.reason or "")


async def test_taken_port_is_told_and_tried_again(
    hass: HomeAssistant, link: Link, caplog: pytest.LogCaptureFixture
) -> None:
    with take_port() as taken:
        port = taken.getsockname()[1]
        entry = await set_up(hass, port=port, rtu_port=free_port())
        assert setup_state(entry) is ConfigEntryState.LOADED
        (issue,) = issues(hass)
        assert issue.translation_key == "gateway_cannot_listen"
        assert not issue.is_fixable
        assert texts_of(issue) == {
            "gateway": "Modbus gateway",
            "listener": "Modbus TCP",
            "address": f"{HOST}:{port}",
            "error": "Address already in use",
        }
        # The other way in is open.
        async with client_of(entry, RTU_OVER_TCP, FramerType.RTU) as client:
            assert not (await client.read_holding_registers(43, count=1)).isError()
        await poll(hass, entry)
        assert len(issues(hass)) == 1
        assert caplog.text.count("cannot be opened") == 1
    await poll(hass, entry)
    assert not issues(hass)
    assert "Modbus TCP is open" in caplog.text
    async with client_of(entry) as client:
        assert not (await client.read_holding_registers(43, count=1)).isError()


async def test_way_in_that_opens_while_the_entry_is_unloaded_is_closed_again(
    hass: HomeAssistant, link: Link
) -> None:
    with take_port() as taken:
        entry = await set_up(hass, port=taken.getsockname()[1])
    listeners = coordinator_of(entry).listeners
    (listener,) = listeners.listeners
    really_open = listener.open

    async def open_slowly() -> Opened:
        opened = await really_open()
        await listeners.async_close()
        return opened

    listener.open = open_slowly
    await listeners.async_open()
    assert not listener.is_open
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection(HOST, entry.data["port"])
    assert not issues(hass)


async def test_address_of_another_computer_is_told(
    hass: HomeAssistant, link: Link
) -> None:
    await set_up(hass, host="192.0.2.1", port=5020)
    (issue,) = issues(hass)
    assert texts_of(issue)["address"] == "192.0.2.1:5020"
    assert "192.0.2.1" not in texts_of(issue)["error"]


async def test_terminals_that_cannot_be_made_are_told(
    hass: HomeAssistant, link: Link
) -> None:
    failure = PermissionError(13, "Permission denied")
    with patch(
        "custom_components.local_solar.coordinators.gateway_listeners.Terminals.start",
        side_effect=failure,
    ):
        entry = await set_up(hass, terminals=1)
    assert [issue.issue_id for issue in issues(hass)] == [
        listener_issue(entry, TERMINALS)
    ]
    await poll(hass, entry)
    assert not issues(hass)


async def test_serial_port_that_is_not_there_is_told(
    hass: HomeAssistant,
    link: Link,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    device = str(tmp_path / "ttyDongle")
    entry = await set_up(hass, dongle_device=device)
    # It is looked for in the background.
    await soon(lambda: "The dongle is not answered" in caplog.text)
    await poll(hass, entry)
    (issue,) = issues(hass)
    assert texts_of(issue)["address"] == device
    assert texts_of(issue)["listener"] == "Serial port of the stick"


@pytest.mark.parametrize("how", ["unload", "remove"])
async def test_what_was_said_of_listeners_goes_with_the_entry(
    hass: HomeAssistant, link: Link, how: str
) -> None:
    with take_port() as taken:
        entry = await set_up(hass, port=taken.getsockname()[1])
        assert issues(hass)
        if how == "remove":
            await hass.config_entries.async_remove(entry.entry_id)
        else:
            await hass.config_entries.async_unload(entry.entry_id)
        await hass.async_block_till_done()
        assert not issues(hass)


# -- units that do not answer ---------------------------------------------------------


async def test_bus_that_cannot_be_reached_does_not_stop_the_gateway(
    hass: HomeAssistant, network: Network
) -> None:
    link = network.add_tcp(LINK_HOST, {1: TL_XH})
    link.go_down(ConnectionRefusedError(111, "Connection refused"))
    entry = await set_up(hass)
    assert entry.state is ConfigEntryState.LOADED
    async with client_of(entry) as client:
        answer = await client.read_holding_registers(43, count=1)
        assert exception_of(answer) == 10
        await poll(hass, entry)
        assert state_of(hass, entry, "connected").state == "off"
        assert state_of(hass, entry, "clients").state == "1"
        assert state_of(hass, entry, "gateway_errors").state == "1"


async def test_silent_unit_is_answered_for(hass: HomeAssistant, link: Link) -> None:
    link.units[1].fall_silent()
    entry = await set_up(hass)
    async with client_of(entry) as client:
        answer = await client.read_holding_registers(43, count=1)
        assert exception_of(answer) == 11
        await poll(hass, entry)
        assert state_of(hass, entry, "connected").state == "off"


async def test_connection_is_unknown_until_somebody_asks(
    hass: HomeAssistant, link: Link
) -> None:
    entry = await set_up(hass)
    await poll(hass, entry)
    assert state_of(hass, entry, "connected").state == "unknown"
    async with client_of(entry) as client:
        await client.read_holding_registers(43, count=1)
    await poll(hass, entry)
    assert state_of(hass, entry, "connected").state == "on"


# -- what the owner allows ------------------------------------------------------------


async def test_options_are_heeded(hass: HomeAssistant, link: Link) -> None:
    entry = await set_up(
        hass,
        options={
            "peers": ["127.0.0.0/8", "192.0.2.1"],
            "ranges": ["holding 0-44", "input 3000"],
            "max_age": 0,
            "request_timeout": 2.5,
            "least_gap": 40,
            "writers": ["192.0.2.0/24"],
            "dongle_writes": True,
        },
    )
    assert link.units[1].required_timeout == 2.5
    policy = coordinator_of(entry).gateway.policy
    assert [str(peer) for peer in policy.peers] == ["127.0.0.0/8", "192.0.2.1/32"]
    # Writing has not been switched on.
    assert (policy.writers, policy.dongle_writes) == ((), False)
    async with client_of(entry) as client:
        assert not (await client.read_holding_registers(0, count=45)).isError()
        assert not (await client.read_input_registers(3000, count=1)).isError()
        answer = await client.read_holding_registers(0, count=46)
        assert exception_of(answer) == 2
        before = len(link.units[1].read_events)
        for _ in range(3):
            await client.read_holding_registers(3, count=1)
        assert len(link.units[1].read_events) == before + 3


async def test_unexpected_peers_are_turned_away(
    hass: HomeAssistant, link: Link
) -> None:
    entry = await set_up(hass, options={"peers": ["192.0.2.1"]})
    reader, writer = await asyncio.open_connection(HOST, port_of(entry))
    try:
        assert not await reader.read()
    except ConnectionResetError:
        pass
    finally:
        writer.close()
    assert coordinator_of(entry).gateway.statistics.refused_connections == 1


# -- registers that must not be touched -----------------------------------------------


async def vpp_answer(entry: MockConfigEntry, unit: int = 1) -> int | None:
    """Return the exception code that a client gets for a register beyond 30000."""
    async with client_of(entry) as client:
        answer = await client.read_holding_registers(
            VPP_VERSION, count=1, device_id=unit
        )
        return exception_of(answer)


def touched(unit: Unit) -> bool:
    """Return whether a unit was asked for what resets off-grid inverters."""
    return any(
        event.address + event.count > 30000 and event.address < 32000
        for event in unit.read_events
    )


async def test_off_grid_inverter_is_never_touched(
    hass: HomeAssistant, network: Network
) -> None:
    link = network.add_tcp(LINK_HOST, {1: SPF})
    entry = await set_up(hass)
    assert await vpp_answer(entry) == 2
    async with client_of(entry) as client:
        for address, count in ((29999, 2), (30000, 1), (31999, 1), (31990, 20)):
            for read in (client.read_holding_registers, client.read_input_registers):
                assert exception_of(await read(address, count=count)) == 2
    assert not touched(link.units[1])
    assert entry.data[CONF_NEVER]["units"] == {"1": ["30000-31999"]}


async def test_inverter_that_is_none_may_be_read_everywhere(
    hass: HomeAssistant, link: Link
) -> None:
    link.units[1].holding[VPP_VERSION] = 202
    entry = await set_up(hass)
    assert await vpp_answer(entry) is None
    assert entry.data[CONF_NEVER]["units"] == {"1": []}


async def test_what_nobody_knows_is_left_alone(
    hass: HomeAssistant, network: Network
) -> None:
    """A device that is no Growatt says nothing that could be believed."""
    unit = load_unit()
    unit.fill(0)
    link = network.add_tcp(LINK_HOST, {1: unit, 2: TL_XH})
    entry = await set_up(hass, units=[1, 2])
    assert await vpp_answer(entry, 1) == 2
    assert await vpp_answer(entry, 2) != 11
    assert not touched(link.units[1])
    assert entry.data[CONF_NEVER]["units"] == {"2": []}


async def test_silent_unit_is_not_known_until_it_answers(
    hass: HomeAssistant, link: Link
) -> None:
    unit = link.units[1]
    unit.holding[VPP_VERSION] = 202
    unit.fall_silent()
    entry = await set_up(hass)
    assert CONF_NEVER not in entry.data
    assert await vpp_answer(entry) == 2
    unit.answer()
    # It is not asked again at once.
    asked = len(unit.read_events)
    await poll(hass, entry)
    assert len(unit.read_events) == asked
    clock = "custom_components.local_solar.coordinators.gateway_safety.monotonic"
    with patch(clock, return_value=1e9):
        await poll(hass, entry)
    assert await vpp_answer(entry) is None


async def test_what_was_found_out_is_known_after_a_restart(
    hass: HomeAssistant, link: Link
) -> None:
    unit = link.units[1]
    unit.holding[VPP_VERSION] = 202
    entry = await set_up(hass)
    unit.fail_requests(ModbusTimeoutError("no answer"))
    await hass.config_entries.async_reload(entry.entry_id)
    await hass.async_block_till_done(wait_background_tasks=True)
    assert coordinator_of(entry).gateway.policy.never == {}


async def test_what_was_found_out_on_another_link_counts_for_nothing(
    hass: HomeAssistant, network: Network
) -> None:
    known = {"link": ModbusLink(host="other").to_json(), "units": {"1": []}}
    network.add_tcp(LINK_HOST, {1: SPF}).units[1].fall_silent()
    entry = await set_up(hass, never=known)
    assert await vpp_answer(entry) == 2


@pytest.mark.parametrize("spans", [["30000-"], ["nonsense"]])
async def test_what_cannot_be_read_of_it_counts_for_nothing(
    hass: HomeAssistant, link: Link, spans: list[str]
) -> None:
    link.units[1].fall_silent()
    known = {
        "link": ModbusLink(host=LINK_HOST).to_json(),
        "units": {"1": spans, "one": []},
    }
    entry = await set_up(hass, never=known)
    assert await vpp_answer(entry) == 2


async def test_inverter_with_an_entry_need_not_be_asked(
    hass: HomeAssistant, link: Link
) -> None:
    unit = link.units[1]
    await set_up_inverter(hass, unit)
    entry = await set_up(hass)
    assert not unit.read_events
    assert coordinator_of(entry).gateway.policy.never == {}
    assert entry.data[CONF_NEVER]["units"] == {"1": []}


async def test_off_grid_inverter_counts_also_while_its_entry_is_off(
    hass: HomeAssistant, network: Network
) -> None:
    link = network.add_tcp(LINK_HOST, {1: SPF})
    inverter = await make_inverter_entry(hass, link.units[1])
    await hass.config_entries.async_set_disabled_by(
        inverter.entry_id, ConfigEntryDisabler.USER
    )
    known = {"link": ModbusLink(host=LINK_HOST).to_json(), "units": {"1": []}}
    link.units[1].taken_reads()
    entry = await set_up(hass, never=known)
    assert inverter.state is ConfigEntryState.NOT_LOADED
    assert await vpp_answer(entry) == 2
    assert not touched(link.units[1])


async def test_inverter_that_is_only_guessed_is_left_alone(
    hass: HomeAssistant, network: Network
) -> None:
    unit = load_unit()
    unit.holding[43] = 1  # a type code that nobody knows
    network.add_tcp(LINK_HOST, {1: unit})
    inverter = await set_up_inverter(hass, unit)
    assert inverter_of(inverter).inverter.identified.certainty is not Certainty.CODED
    entry = await set_up(hass)
    assert await vpp_answer(entry) == 2


async def test_other_makers_devices_with_an_entry_are_not_asked_as_if_inverters(
    hass: HomeAssistant,
) -> None:
    async with reached() as there:
        mate3 = await set_up_mate3(hass, there)
        there.simulator.requests.clear()
        entry = await set_up(hass, link=there.link)
        assert not there.simulator.requests
        assert await vpp_answer(entry) == 2
        async with client_of(entry) as client:
            answer = await client.read_holding_registers(40000, count=2)
            assert answer.registers == [0x5375, 0x6E53]  # "SunS"
        for each in (entry, mate3):
            await hass.config_entries.async_unload(each.entry_id)


async def test_entry_that_is_set_up_later_is_heeded(
    hass: HomeAssistant, link: Link
) -> None:
    unit = link.units[1]
    unit.fall_silent()
    entry = await set_up(hass)
    assert coordinator_of(entry).gateway.policy.never
    unit.answer()
    await set_up_inverter(hass, unit)
    await poll(hass, entry)
    assert coordinator_of(entry).gateway.policy.never == {}


async def test_registers_of_a_simulated_inverter_are_safe_from_all_ways_in(
    hass: HomeAssistant,
) -> None:
    """The simulated one resets, and the real link asks it who it is."""
    async with GrowattSimulator({1: SPF}) as simulator:
        link = ModbusLink(host=HOST, port=await simulator.start_tcp())
        entry = await set_up(hass, link=link, rtu_port=free_port())
        for name, framer in (
            (TCP, FramerType.SOCKET),
            (RTU_OVER_TCP, FramerType.RTU),
        ):
            async with client_of(entry, name, framer) as client:
                answer = await client.read_input_registers(30016, count=1)
                assert exception_of(answer) == 2
                answer = await client.read_holding_registers(43, count=1)
                assert not answer.isError()
        assert not [
            request for request in simulator.requests if request.address >= 30000
        ]
        await hass.config_entries.async_unload(entry.entry_id)
        await hass.async_block_till_done()


# -- beside others on the link --------------------------------------------------------


def timeout_of(unit: Unit) -> float | None:
    """Return the timeout that was last asked for a unit; it may change at any time."""
    return unit.required_timeout


async def test_the_gateway_says_how_long_to_wait_for_an_inverter_that_it_shares(
    hass: HomeAssistant, link: Link
) -> None:
    unit = link.units[1]
    inverter = await set_up_inverter(hass, unit)
    assert timeout_of(unit) == 3.0
    entry = await set_up(hass)
    await inverter_of(inverter).async_refresh()
    assert timeout_of(unit) == 1.2
    await hass.config_entries.async_unload(entry.entry_id)
    await inverter_of(inverter).async_refresh()
    assert timeout_of(unit) == 3.0
    await hass.config_entries.async_setup(entry.entry_id)
    await hass.config_entries.async_unload(inverter.entry_id)
    assert timeout_of(unit) is None
    await poll(hass, entry)
    assert timeout_of(unit) == 1.2
    await hass.config_entries.async_unload(entry.entry_id)
    await hass.async_block_till_done()
    assert timeout_of(unit) is None


async def test_link_stays_open_for_others(hass: HomeAssistant, link: Link) -> None:
    other = make_entry(port=free_port())
    other.add_to_hass(hass)
    unit = async_get_unit(hass, other, ModbusLink(host=LINK_HOST).params, 1)
    entry = await set_up(hass)
    await unit.read_holding_registers(43, 1)
    await hass.config_entries.async_unload(entry.entry_id)
    await hass.async_block_till_done()
    assert link.open_connections == 1


async def test_gateway_has_a_device(hass: HomeAssistant, link: Link) -> None:
    entry = await set_up(hass)
    device = device_of(hass, entry)
    assert (device.manufacturer, device.model) == ("Local Solar", "Modbus gateway")
    assert device.name == "Local Solar Modbus gateway"


async def test_owner_is_told_nothing_when_all_is_well(
    hass: HomeAssistant, link: Link
) -> None:
    await set_up(hass, rtu_port=free_port(), terminals=1)
    assert not [issue for issue in ir.async_get(hass).issues if issue[0] == DOMAIN]
