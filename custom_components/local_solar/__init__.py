"""Local Solar: reads and controls solar hardware on the home network."""

from collections.abc import Callable, Mapping
from typing import Final

from homeassistant.config_entries import ConfigEntryState
from homeassistant.const import Platform
from homeassistant.core import HomeAssistant
from homeassistant.exceptions import (
    ConfigEntryError,
    ConfigEntryNotReady,
    HomeAssistantError,
)
from homeassistant.helpers import (
    config_validation as cv,
    device_registry as dr,
    issue_registry as ir,
)
from homeassistant.helpers.typing import ConfigType

from .battery_control import (
    async_release_for_good,
    async_report_overdue,
    command_store,
    report_not_released,
)
from .clock_sync import async_start_clock_sync
from .const import (
    CONF_KIND,
    DOMAIN,
    KIND_DATALOGGER,
    KIND_GATEWAY,
    KIND_GROWATT,
    KIND_HOYMILES,
    KIND_OUTBACK,
)
from .coordinators.base import LocalSolarConfigEntry, LocalSolarCoordinator
from .coordinators.datalogger import DataloggerCoordinator
from .coordinators.datalogger_issues import forget_issues
from .coordinators.gateway import GatewayCoordinator
from .coordinators.gateway_listeners import forget_listener_issues
from .coordinators.growatt import GrowattCoordinator
from .coordinators.hoymiles import HoymilesCoordinator, silent_dtu_issue
from .coordinators.outback import OutBackCoordinator
from .devices import is_present, register_devices
from .entity import forget_replaced_entities
from .services import async_setup_services
from .writing import ledger_store, wrong_device_issue

CONFIG_SCHEMA = cv.config_entry_only_config_schema(DOMAIN)

PLATFORMS: Final = (
    Platform.BINARY_SENSOR,
    Platform.BUTTON,
    Platform.EVENT,
    Platform.NUMBER,
    Platform.SELECT,
    Platform.SENSOR,
    Platform.SWITCH,
    Platform.TIME,
)

COORDINATORS: Final[
    Mapping[
        str, Callable[[HomeAssistant, LocalSolarConfigEntry], LocalSolarCoordinator]
    ]
] = {
    KIND_GROWATT: GrowattCoordinator,
    KIND_DATALOGGER: DataloggerCoordinator,
    KIND_GATEWAY: GatewayCoordinator,
    KIND_HOYMILES: HoymilesCoordinator,
    KIND_OUTBACK: OutBackCoordinator,
}


async def async_setup(hass: HomeAssistant, config: ConfigType) -> bool:
    """Register the actions: they are there also while no entry is set up."""
    async_setup_services(hass)
    return True


async def async_setup_entry(hass: HomeAssistant, entry: LocalSolarConfigEntry) -> bool:
    """Set up the devices of an entry."""
    coordinator = COORDINATORS[entry.data[CONF_KIND]](hass, entry)
    try:
        await coordinator.async_config_entry_first_refresh()
    except (ConfigEntryError, ConfigEntryNotReady) as err:
        await async_report_overdue(hass, entry, str(err))
        raise
    entry.runtime_data = coordinator
    register_devices(hass, entry)
    entry.async_on_unload(
        coordinator.on_devices_added(lambda _: register_devices(hass, entry))
    )
    forget_replaced_entities(hass, entry)
    await coordinator.async_open_writing()
    async_start_clock_sync(hass, entry)
    await hass.config_entries.async_forward_entry_setups(entry, PLATFORMS)
    return True


async def async_unload_entry(hass: HomeAssistant, entry: LocalSolarConfigEntry) -> bool:
    """Release everything an entry holds; the shared link goes with its last user."""
    await entry.runtime_data.async_close_writing()
    return await hass.config_entries.async_unload_platforms(entry, PLATFORMS)


async def async_remove_entry(hass: HomeAssistant, entry: LocalSolarConfigEntry) -> None:
    """Forget what is kept of its devices beside the entry."""
    await _async_release_battery(hass, entry)
    for issue in (wrong_device_issue(entry), silent_dtu_issue(entry)):
        ir.async_delete_issue(hass, DOMAIN, issue)
    forget_issues(hass, entry)
    forget_listener_issues(hass, entry)
    await ledger_store(hass, entry).async_remove()


async def _async_release_battery(
    hass: HomeAssistant, entry: LocalSolarConfigEntry
) -> None:
    """End a command to the battery of an entry that is deleted, or say that it goes on."""
    store = command_store(hass, entry)
    if await store.async_load() is None:
        return
    coordinator = COORDINATORS[entry.data[CONF_KIND]](hass, entry)
    reason = "the entry was deleted while the device did not answer"
    try:
        async with coordinator.async_outside_setup():
            is_released = await async_release_for_good(hass, coordinator)
    except HomeAssistantError as err:
        is_released, reason = False, str(err)
    if not is_released:
        report_not_released(hass, entry, reason)
    await store.async_remove()


async def async_remove_config_entry_device(
    hass: HomeAssistant, entry: LocalSolarConfigEntry, device: dr.DeviceEntry
) -> bool:
    """Let the owner remove a device that is not there any more."""
    if not is_present(entry, device):
        return True
    return entry.state is ConfigEntryState.LOADED and any(
        entry.runtime_data.forget(name)
        for domain, name in device.identifiers
        if domain == DOMAIN
    )
