"""The devices of an entry in Home Assistant's registry."""

from homeassistant.config_entries import ConfigEntryState
from homeassistant.core import HomeAssistant, callback
from homeassistant.helpers import device_registry as dr

from .const import DOMAIN
from .coordinators.base import LocalSolarConfigEntry


@callback
def register_devices(hass: HomeAssistant, entry: LocalSolarConfigEntry) -> None:
    """Register the devices in order: one that others are reached through comes first."""
    registry = dr.async_get(hass)
    registered: dict[str, str] = {}
    for device in entry.runtime_data.devices:
        identity = device.identity
        registered[identity.id] = registry.async_get_or_create(
            config_entry_id=entry.entry_id,
            identifiers={(DOMAIN, identity.id)},
            manufacturer=identity.manufacturer,
            model=identity.model,
            translation_key=identity.kind,
            translation_placeholders={
                "manufacturer": identity.manufacturer,
                "model": identity.model,
                "serial_number": identity.serial_number or "",
                "port": str(identity.port),
            },
            serial_number=identity.serial_number,
            sw_version=identity.firmware,
            hw_version=identity.hardware,
            via_device_id=registered.get(identity.via) if identity.via else None,
        ).id


@callback
def is_present(entry: LocalSolarConfigEntry, device: dr.DeviceEntry) -> bool:
    """Return whether a registered device is still one of the entry's.

    While the entry is not set up nobody knows, so all of its devices are.
    """
    return entry.state is not ConfigEntryState.LOADED or any(
        (DOMAIN, present.identity.id) in device.identifiers
        for present in entry.runtime_data.devices
    )
