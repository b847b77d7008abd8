"""A recorded inverter, served by the simulator, through Home Assistant's real connection."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from custom_components.local_solar.const import CONF_SPACING
from custom_components.local_solar.modbus_link import ModbusLink
from homeassistant.config_entries import ConfigEntryState
from homeassistant.core import HomeAssistant
from simulators.growatt import GrowattSimulator

from .common import LIVE_TL_XH, entity_id_of, load_unit, make_entry

pytestmark = pytest.mark.skipif(
    not LIVE_TL_XH.exists(), reason="the recording is not part of the repository"
)

INVERTER = {
    "status": "normal",
    "pv_power": "0.0",
    "pv1_power": "0.0",
    "ac_power": "498.8",
    "grid_l1_voltage": "228.4",
    "grid_import_power": "113.8",
    "grid_export_power": "0.0",
    "load_power": "647.8",
    "inverter_temperature": "28.2",
    "energy_today": "0.2",
    "energy_total": "14068.2",
    "pv_energy_total": "13731.9",
    "grid_import_energy_total": "3833.1",
    "grid_export_energy_total": "8296.5",
    "load_energy_today": "0.3",
    "load_energy_total": "9165.1",
    "fault": "none",
    "warning": "none",
    "problem": "off",
    "connected": "on",
}
BATTERY = {
    "battery_soc": "49",
    "battery_state": "discharging",
    "battery_discharge_power": "536.0",
    "battery_charge_power": "0.0",
    "battery_discharge_energy_today": "0.3",
    "battery_discharge_energy_total": "2203.2",
    "battery_charge_energy_total": "2306.6",
    "priority": "load_first",
}
"""What the inverter's own display and the facts about the recording say."""


@pytest.fixture
async def simulator(socket_enabled: None) -> AsyncIterator[GrowattSimulator]:
    """The recorded inverter as unit 1."""
    async with GrowattSimulator({1: LIVE_TL_XH}) as simulator:
        yield simulator


async def test_values_over_modbus_tcp(
    hass: HomeAssistant, simulator: GrowattSimulator
) -> None:
    """Every live value is right, and the model is known although it claims an old map."""
    port = await simulator.start_tcp("127.0.0.1", 0)
    await check_values(hass, ModbusLink(host="127.0.0.1", port=port))


async def test_values_over_rtu_over_tcp(
    hass: HomeAssistant, simulator: GrowattSimulator
) -> None:
    """The same through a bridge in transparent mode."""
    port = await simulator.start_rtu_tcp("127.0.0.1", 0)
    await check_values(hass, ModbusLink.rtu_over_tcp("127.0.0.1", port))


async def test_values_over_a_serial_line(
    hass: HomeAssistant, simulator: GrowattSimulator, tmp_path: Path
) -> None:
    """The same over a serial port."""
    device = await simulator.start_pty(tmp_path / "inverter")
    await check_values(hass, ModbusLink(device=str(device), baudrate=9600))


async def test_live_values_and_counters_take_two_requests(
    hass: HomeAssistant, simulator: GrowattSimulator
) -> None:
    """One poll of all that is enabled is two requests at the documented spacing."""
    port = await simulator.start_tcp("127.0.0.1", 0)
    link = ModbusLink(host="127.0.0.1", port=port)
    entry = await make_entry(hass, load_unit(LIVE_TL_XH), link=link)
    assert await hass.config_entries.async_setup(entry.entry_id)
    polled = [
        (request.address, request.count)
        for request in simulator.requests
        if request.function == 4 and request.count > 10
    ]
    assert polled == [(3000, 109), (3125, 57)]


async def check_values(hass: HomeAssistant, link: ModbusLink) -> None:
    """Set the inverter up over a link and compare its entities."""
    entry = await make_entry(
        hass, load_unit(LIVE_TL_XH), link=link, options={CONF_SPACING: 0}
    )
    assert await hass.config_entries.async_setup(entry.entry_id)
    assert entry.state is ConfigEntryState.LOADED
    assert entry.data["identification"]["profile"] == "min_tl_xh"
    for expected, battery in ((INVERTER, False), (BATTERY, True)):
        shown = {
            key: hass.states.get(entity_id_of(hass, entry, key, battery=battery))
            for key in expected
        }
        assert {key: state and state.state for key, state in shown.items()} == expected
    assert await hass.config_entries.async_unload(entry.entry_id)
