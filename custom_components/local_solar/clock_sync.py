"""Setting a device's clock every day, if the owner has asked for that in the options."""

from datetime import datetime
from typing import Final

from homeassistant.core import HomeAssistant, callback
from homeassistant.exceptions import HomeAssistantError
from homeassistant.helpers.event import async_track_time_change

from .const import CONF_SYNC_CLOCK, LOGGER
from .coordinators.base import LocalSolarConfigEntry
from .growatt.known_inverter import SYNC_CLOCK
from .points import Device
from .writing import Asker, Writing

HOUR: Final = 12
"""At noon PV inverters are awake, and a change to summer time is long over."""

THROUGH: Final = "daily clock option"


@callback
def async_start_clock_sync(hass: HomeAssistant, entry: LocalSolarConfigEntry) -> None:
    """Set the clocks of an entry's devices every day, until it is unloaded."""
    coordinator = entry.runtime_data
    writing = coordinator.writing
    if writing is None or not entry.options.get(CONF_SYNC_CLOCK, False):
        return

    async def set_clocks(_: datetime) -> None:
        for device in coordinator.devices:
            if SYNC_CLOCK in device.points and coordinator.awake:
                await _async_set_clock(hass, writing, device)

    entry.async_on_unload(
        async_track_time_change(hass, set_clocks, hour=HOUR, minute=0, second=0)
    )


async def _async_set_clock(
    hass: HomeAssistant, writing: Writing, device: Device
) -> None:
    """Set one clock; a failure is logged, and it is tried again the next day."""
    by = await Asker.async_of(hass, None, THROUGH)
    try:
        await writing.async_write(device.identity.id, SYNC_CLOCK.key, True, by)
    except HomeAssistantError as err:
        LOGGER.warning("The clock could not be set today: %s", err)
