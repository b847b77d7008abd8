"""Ten inverters on one bus: they take turns, and one that is dead does not hold up the rest.

A simulator with ten units and one listener, Home Assistant's real shared connection, ten
entries. Times are compared with each other only.
"""

import asyncio
from collections.abc import AsyncIterator
from itertools import pairwise

import pytest
from pytest_homeassistant_custom_component.common import MockConfigEntry

from custom_components.local_solar.const import DOMAIN
from custom_components.local_solar.modbus_link import ModbusLink
from homeassistant.components.modbus.connection import async_get_connection_info
from homeassistant.config_entries import ConfigEntryState
from homeassistant.core import HomeAssistant
from homeassistant.setup import async_setup_component
from simulators.growatt import GrowattSimulator
from simulators.requests import Request
from simulators.wire import SerialLine

from .common import load_unit, make_entry, poll_all, state_of

HOST = "127.0.0.1"
UNITS = range(1, 11)
DEAD = 4
TIMEOUT = 0.4
"""Seconds to wait for an answer: many times what an answer takes on this line."""

LINE = SerialLine(baud=115200)
SPACING = 1
"""Milliseconds between messages."""


@pytest.fixture
async def bus(
    socket_enabled: None, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[GrowattSimulator]:
    """Ten MIN 6000TL-XH on a serial line."""
    monkeypatch.setattr(
        "custom_components.local_solar.coordinators.growatt.REQUEST_TIMEOUT", TIMEOUT
    )
    # Reads are planned for the line that there is.
    monkeypatch.setattr(
        "custom_components.local_solar.modbus_link.BEHIND_A_BRIDGE", LINE.baud
    )
    datasets = {}
    for unit_id in UNITS:
        unit = load_unit(serial_number=f"SNL0DEMO{unit_id:02}")
        datasets[unit_id] = {"holding": unit.holding, "input": unit.input}
    async with GrowattSimulator(datasets, wire=LINE) as simulator:
        yield simulator


@pytest.fixture
async def entries(
    hass: HomeAssistant, bus: GrowattSimulator
) -> dict[int, MockConfigEntry]:
    """An entry for each of them, all set up."""
    link = ModbusLink(host=HOST, port=await bus.start_tcp())
    entries = {
        unit_id: await make_entry(
            hass,
            load_unit(serial_number=f"SNL0DEMO{unit_id:02}"),
            link=link,
            unit_id=unit_id,
            options={"message_spacing": SPACING},
        )
        for unit_id in UNITS
    }
    assert await async_setup_component(hass, DOMAIN, {})  # with all of its entries
    await hass.async_block_till_done()
    return entries


async def round_of_polls(
    bus: GrowattSimulator, entries: dict[int, MockConfigEntry]
) -> list[Request]:
    """Let all poll at the same time and return what was asked, in order."""
    bus.requests.clear()
    await asyncio.gather(*(poll_all(entry) for entry in entries.values()))
    return list(bus.requests)


def duration(requests: list[Request]) -> float:
    """Return the seconds from the first request to the last."""
    return requests[-1].received - requests[0].received


async def test_ten_inverters_share_one_connection_and_take_turns(
    hass: HomeAssistant, bus: GrowattSimulator, entries: dict[int, MockConfigEntry]
) -> None:
    assert all(entry.state is ConfigEntryState.LOADED for entry in entries.values())
    assert {request.unit for request in bus.requests} == set(UNITS)
    assert bus.overlaps == 0  # not even while they were set up all at once

    clients = {request.client for request in bus.requests}
    for _ in range(3):
        requests = await round_of_polls(bus, entries)
        assert bus.overlaps == 0
        # Nobody gets a second turn before all have had their first.
        assert {request.unit for request in requests[: len(UNITS)]} == set(UNITS)
        clients |= {request.client for request in requests}
    assert len(clients) == 1
    (info,) = async_get_connection_info(hass)
    assert sorted(unit for units in info.units.values() for unit in units) == [*UNITS]
    for entry in entries.values():
        assert state_of(hass, entry, "ac_power").state == "1796.0"

    # One that is unloaded leaves the connection to the others.
    await hass.config_entries.async_unload(entries.pop(DEAD).entry_id)
    requests = await round_of_polls(bus, entries)
    assert {request.unit for request in requests} == set(UNITS) - {DEAD}
    assert {request.client for request in requests} == clients


async def test_simulator_sees_requests_that_overlap(bus: GrowattSimulator) -> None:
    """Without the shared connection the other tests would fail."""
    port = await bus.start_tcp()
    ask = bytes.fromhex("0001 0000 0006 01 03 0000 0064")
    connections = [await asyncio.open_connection(HOST, port) for _ in range(2)]
    for _, writer in connections:
        writer.write(ask)
    for reader, writer in connections:
        await reader.readexactly(9 + 200)
        writer.close()
        await writer.wait_closed()
    assert bus.overlaps == 1


async def test_dead_inverter_costs_the_others_no_more_than_its_probe(
    hass: HomeAssistant, bus: GrowattSimulator, entries: dict[int, MockConfigEntry]
) -> None:
    await round_of_polls(bus, entries)  # which tells how fast the line is
    takes = duration(await round_of_polls(bus, entries))
    bus.units[DEAD].silent = True

    # The round in which it dies: asked once more, then given up.
    requests = await round_of_polls(bus, entries)
    asked = [request for request in requests if request.unit == DEAD]
    assert len(asked) == 2
    assert duration(requests) < 2 * takes + 2 * TIMEOUT

    # Rounds in which it is probed: one register, one wait.
    requests = await round_of_polls(bus, entries)
    asked = [request for request in requests if request.unit == DEAD]
    assert [(request.address, request.count) for request in asked] == [(43, 1)]
    assert duration(requests) < 2 * takes + TIMEOUT
    waits = [later.received - earlier.received for earlier, later in pairwise(requests)]
    assert sum(wait > TIMEOUT / 2 for wait in waits) <= 1

    # Rounds between its probes: as if it was not there.
    others = {unit: entry for unit, entry in entries.items() if unit != DEAD}
    requests = await round_of_polls(bus, others)
    assert duration(requests) < 2 * takes
    assert bus.overlaps == 0
    for unit, entry in entries.items():
        connected = state_of(hass, entry, "connected").state
        assert connected == ("off" if unit == DEAD else "on")

    # And it comes back while the others go on.
    bus.units[DEAD].silent = False
    await round_of_polls(bus, entries)
    assert state_of(hass, entries[DEAD], "connected").state == "on"
