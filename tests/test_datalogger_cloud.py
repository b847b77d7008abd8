"""Dataloggers whose reports go on to Growatt: shown here, and what it may tell them."""

from collections.abc import AsyncIterator
from typing import Any, Final

import pytest
from pytest_homeassistant_custom_component.common import MockConfigEntry

from homeassistant.const import STATE_UNKNOWN
from homeassistant.core import HomeAssistant
from simulators.datalogger import parameters
from simulators.datalogger.cloud import SimulatedCloud
from simulators.datalogger.packets import Kind
from simulators.datalogger.stick import SimulatedStick

from .datalogger_helpers import (
    INVERTER,
    LOGGER,
    LOGGER_ID,
    coordinator_of,
    device_of,
    make_entry,
    report,
    reporting,
    set_up,
    soon,
    state_of,
)
from .writing_helpers import act

pytestmark = pytest.mark.usefixtures(
    "socket_enabled", "prompt_sessions", "settled", "all_entities_enabled"
)

LIMIT: Final = 3
"""Holding register of the active power limit."""


@pytest.fixture
async def cloud(socket_enabled: None) -> AsyncIterator[SimulatedCloud]:
    """Growatt's server."""
    async with SimulatedCloud() as cloud:
        yield cloud


async def relayed(
    hass: HomeAssistant, cloud: SimulatedCloud, **options: Any
) -> MockConfigEntry:
    """Return a listener whose reports go on to the cloud."""
    return await set_up(hass, make_entry(cloud_port=cloud.port, options=options))


async def until_blocked(
    hass: HomeAssistant, entry: MockConfigEntry, number: int
) -> None:
    """Wait until so many commands were blocked."""
    logger = coordinator_of(entry).fleet.loggers[LOGGER]
    await soon(lambda: logger.blocked >= number)
    await hass.async_block_till_done()


async def until_connected(hass: HomeAssistant, cloud: SimulatedCloud) -> None:
    """Wait until the cloud has the values of the logger."""
    await cloud.wait_for(Kind.LIVE)
    await hass.async_block_till_done()


def written_to(stick: SimulatedStick) -> list[int]:
    """Return the parameters that were written, but the clock."""
    return [
        number for number, _, _ in stick.parameter_writes if number != parameters.CLOCK
    ]


async def test_values_are_shown_here_and_go_on(
    hass: HomeAssistant, cloud: SimulatedCloud
) -> None:
    entry = await relayed(hass, cloud)
    async with reporting(hass, entry) as stick:
        await until_connected(hass, cloud)
        assert state_of(hass, INVERTER, "pv_power").state == "4411.6"
        await report(hass, entry, stick)
        assert state_of(hass, LOGGER_ID, "cloud_connected").state == "on"
        # Byte for byte, and in order.
        sent = [packet for packet in stick.sent if packet.kind == Kind.LIVE]
        await cloud.wait_for(Kind.LIVE, len(sent))
        assert cloud.received_of(Kind.LIVE) == sent
        # What the cloud asks for every day passes, and is no event.
        await cloud.wait_for(Kind.PARAMETER)
        assert state_of(hass, LOGGER_ID, "blocked_commands").state == "0"
        assert state_of(hass, LOGGER_ID, "server_command").state == STATE_UNKNOWN
        response: Any = await hass.services.async_call(
            "local_solar", "list_dataloggers", {}, blocking=True, return_response=True
        )
        (logger,) = response["dataloggers"]
        assert logger["answered_by"] == "cloud"


async def test_commands_of_the_cloud_are_blocked_counted_and_told(
    hass: HomeAssistant, cloud: SimulatedCloud
) -> None:
    entry = await relayed(hass, cloud)
    async with reporting(hass, entry) as stick:
        await until_connected(hass, cloud)
        line = cloud.connection(LOGGER)
        line.write_register(LIMIT, 50)
        await until_blocked(hass, entry, 1)
        state = state_of(hass, LOGGER_ID, "server_command")
        assert state.state != STATE_UNKNOWN
        told = {
            key: state.attributes[key]
            for key in ("event_type", "command", "needs", "unit", "first", "last")
        }
        assert told == {
            "event_type": "blocked",
            "command": "write_holding",
            "needs": "settings",
            "unit": 1,
            "first": LIMIT,
            "last": LIMIT,
        }
        # The same again is counted; another one is another event.
        line.write_register(LIMIT, 50)
        line.write_register(LIMIT + 1, 50)
        await until_blocked(hass, entry, 3)
        assert state_of(hass, LOGGER_ID, "server_command").attributes["first"] == 4
        line.move_server("192.0.2.9", 5279)
        line.start_update("http://192.0.2.9/firmware.bin")
        line.read_wifi_password()
        await until_blocked(hass, entry, 9)
        assert state_of(hass, LOGGER_ID, "blocked_commands").state == "9"
        attributes = state_of(hass, LOGGER_ID, "server_command").attributes
        assert (attributes["needs"], attributes["first"]) == ("never", 57)
        assert not stick.inverters[1].writes
        assert not written_to(stick)


@pytest.mark.parametrize("option", ["none", "settings", "move"])
async def test_options_let_commands_through_and_tell_them_all_the_same(
    hass: HomeAssistant, cloud: SimulatedCloud, option: str
) -> None:
    entry = await relayed(
        hass,
        cloud,
        cloud_may_change_settings=option == "settings",
        cloud_may_move_datalogger=option == "move",
    )
    async with reporting(hass, entry) as stick:
        await until_connected(hass, cloud)
        line = cloud.connection(LOGGER)
        line.set_interval("1")
        line.set_parameter(parameters.SERVER_NAME, "192.0.2.9")
        line.write_register(LIMIT, 50)
        allowed = {"none": 0, "settings": 2, "move": 1}[option]
        await until_blocked(hass, entry, 3 - allowed)
        if allowed:
            await stick.wait_until(
                lambda: (
                    len(written_to(stick)) + len(stick.inverters[1].writes) == allowed
                )
            )
        expected = {
            "none": [],
            "settings": [parameters.INTERVAL],
            "move": [parameters.SERVER_NAME],
        }
        assert written_to(stick) == expected[option]
        assert len(stick.inverters[1].writes) == (option == "settings")
        event = state_of(hass, LOGGER_ID, "server_command").attributes
        # The last one was about the inverter.
        assert event["command"] == "write_holding"
        assert event["event_type"] == ("allowed" if option == "settings" else "blocked")


async def test_option_counts_after_a_reload(
    hass: HomeAssistant, cloud: SimulatedCloud
) -> None:
    entry = await relayed(hass, cloud)
    async with reporting(hass, entry):
        await until_connected(hass, cloud)
        cloud.connection(LOGGER).write_register(LIMIT, 50)
        await until_blocked(hass, entry, 1)
    hass.config_entries.async_update_entry(
        entry, options={"cloud_may_change_settings": True}
    )
    await hass.config_entries.async_reload(entry.entry_id)
    async with reporting(hass, entry) as stick:
        await stick.wait_until(lambda: stick.acknowledged)
        cloud.connection(LOGGER).write_register(LIMIT, 50)
        await stick.wait_until(lambda: stick.inverters[1].writes)


async def test_logger_is_answered_here_while_the_cloud_is_away(
    hass: HomeAssistant, cloud: SimulatedCloud
) -> None:
    await cloud.stop()
    entry = await relayed(hass, cloud)
    async with reporting(hass, entry) as stick:
        await stick.wait_until(lambda: stick.acknowledged)
        assert state_of(hass, LOGGER_ID, "connected").state == "on"
        assert state_of(hass, LOGGER_ID, "cloud_connected").state == "off"
        assert state_of(hass, INVERTER, "pv_power").state == "4411.6"
    # From the next connection on it reports there again.
    await cloud.start()
    async with reporting(hass, entry):
        await until_connected(hass, cloud)
        await soon(
            lambda: not coordinator_of(entry).server.sessions[LOGGER].answers_itself
        )
        await hass.async_block_till_done()
        assert state_of(hass, LOGGER_ID, "cloud_connected").state == "on"


async def test_cloud_that_leaves_is_shown(
    hass: HomeAssistant, cloud: SimulatedCloud
) -> None:
    entry = await relayed(hass, cloud)
    async with reporting(hass, entry) as stick:
        await until_connected(hass, cloud)
        await report(hass, entry, stick)
        assert state_of(hass, LOGGER_ID, "cloud_connected").state == "on"
        await cloud.stop()
        session = coordinator_of(entry).server.sessions[LOGGER]
        await soon(lambda: session.answers_itself)
        await report(hass, entry, stick)
        assert state_of(hass, LOGGER_ID, "cloud_connected").state == "off"


async def test_answers_to_our_commands_do_not_reach_the_cloud(
    hass: HomeAssistant, cloud: SimulatedCloud
) -> None:
    entry = await relayed(hass, cloud, write_access="confirm")
    async with reporting(hass, entry) as stick:
        await until_connected(hass, cloud)
        done = await act(
            hass,
            "set_register",
            device_of(hass, entry, INVERTER),
            register="active_power_limit",
            value=80,
            confirm=True,
        )
        assert done["outcome"] == "written"
        await report(hass, entry, stick)
        await cloud.wait_for(Kind.LIVE, 2)
        for kind in (Kind.READ, Kind.WRITE, Kind.WRITE_RANGE):
            assert not cloud.received_of(kind)
