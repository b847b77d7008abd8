"""Local Solar: reads and controls solar hardware on the home network."""

from collections.abc import Callable, Mapping
from typing import Final

from homeassistant.const import Platform
from homeassistant.core import HomeAssistant
from homeassistant.helpers import config_validation as cv, device_registry as dr

from .const import CONF_KIND, DOMAIN, KIND_GROWATT
from .coordinators.base import LocalSolarConfigEntry, LocalSolarCoordinator
from .coordinators.growatt import GrowattCoordinator
from .devices import is_present, register_devices

CONFIG_SCHEMA = cv.config_entry_only_config_schema(DOMAIN)

PLATFORMS: Final = (Platform.BINARY_SENSOR, Platform.EVENT, Platform.SENSOR)

COORDINATORS: Final[
    Mapping[
        str, Callable[[HomeAssistant, LocalSolarConfigEntry], LocalSolarCoordinator]
    ]
] = {KIND_GROWATT: GrowattCoordinator}


async def async_setup_entry(hass: HomeAssistant, entry: LocalSolarConfigEntry) -> bool:
    """Set up the devices of an entry."""
    coordinator = COORDINATORS[entry.data[CONF_KIND]](hass, entry)
    await coordinator.async_config_entry_first_refresh()
    entry.runtime_data = coordinator
    register_devices(hass, entry)
    await hass.config_entries.async_forward_entry_setups(entry, PLATFORMS)
    return True


async def async_unload_entry(hass: HomeAssistant, entry: LocalSolarConfigEntry) -> bool:
    """Release everything an entry holds; the shared link goes with its last user."""
    return await hass.config_entries.async_unload_platforms(entry, PLATFORMS)


async def async_remove_config_entry_device(
    hass: HomeAssistant, entry: LocalSolarConfigEntry, device: dr.DeviceEntry
) -> bool:
    """Let the owner remove a device that the inverter no longer has."""
    return not is_present(entry, device)
