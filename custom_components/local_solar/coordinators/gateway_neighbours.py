"""Who else is on a link: entries with devices on it, and the gateway that shares it."""

from collections.abc import Iterator

from homeassistant.config_entries import ConfigEntryState
from homeassistant.core import HomeAssistant, callback
from homeassistant.helpers import device_registry as dr

from ..const import CONF_KIND, CONF_LINK, CONF_UNIT_ID, CONF_UNITS, DOMAIN, KIND_GATEWAY
from ..modbus_link import ModbusLink
from .base import LocalSolarConfigEntry


@callback
def entries_on(
    hass: HomeAssistant, link: ModbusLink, unit: int
) -> Iterator[LocalSolarConfigEntry]:
    """Go through the entries whose device is a unit of a link, also those not set up."""
    for entry in hass.config_entries.async_entries(DOMAIN):
        if entry.data.get(CONF_UNIT_ID) != unit or CONF_LINK not in entry.data:
            continue
        other = ModbusLink.from_json(entry.data[CONF_LINK])
        if other.params.endpoint == link.params.endpoint:
            yield entry


@callback
def loaded_on(
    hass: HomeAssistant, link: ModbusLink, unit: int
) -> Iterator[LocalSolarConfigEntry]:
    """Go through those of them that are set up."""
    for entry in entries_on(hass, link, unit):
        if entry.state is ConfigEntryState.LOADED:
            yield entry


@callback
def has_device(
    hass: HomeAssistant, entry: LocalSolarConfigEntry, device_id: str
) -> bool:
    """Return whether a registered device is one of an entry's."""
    return any(
        device.id == device_id
        for device in dr.async_entries_for_config_entry(
            dr.async_get(hass), entry.entry_id
        )
    )


@callback
def is_shared(hass: HomeAssistant, link: ModbusLink, unit: int) -> bool:
    """Return whether a gateway that is set up shares a unit, and keeps its pauses."""
    return any(
        entry.data[CONF_KIND] == KIND_GATEWAY
        and unit in entry.data[CONF_UNITS]
        and ModbusLink.from_json(entry.data[CONF_LINK]).params.endpoint
        == link.params.endpoint
        for entry in hass.config_entries.async_loaded_entries(DOMAIN)
    )
