"""What only the coordinator of a listener for dataloggers does."""

import pytest

from homeassistant.config_entries import ConfigEntryState
from homeassistant.core import HomeAssistant
from tests.datalogger_helpers import LOGGER, coordinator_of, reporting, set_up

pytestmark = pytest.mark.usefixtures("socket_enabled")


async def test_logger_and_inverter_appear_by_themselves(hass: HomeAssistant) -> None:
    entry = await set_up(hass)
    assert entry.state is ConfigEntryState.LOADED
    async with reporting(hass, entry):
        state = hass.states.get("sensor.growatt_min_6000tl_xh_pv_power")
        assert state is not None and state.state == "4411.6"
        assert coordinator_of(entry).value((f"datalogger_{LOGGER}", "connected"))
    await hass.config_entries.async_unload(entry.entry_id)
