"""Trying a Modbus link while a form is open."""

from collections.abc import AsyncIterator, Container
from contextlib import asynccontextmanager

from modbus_connection import ModbusUnit

from homeassistant.components.modbus import async_get_temporary_unit
from homeassistant.components.modbus.connection import async_get_connection_info
from homeassistant.config_entries import ConfigEntry, ConfigEntryState
from homeassistant.core import HomeAssistant
from homeassistant.exceptions import HomeAssistantError

from ..const import CONF_LINK
from ..modbus_link import ModbusLink


class FormError(Exception):
    """What a form must show instead of going on."""

    def __init__(self, key: str, *, field: str = "base", **placeholders: str) -> None:
        """Name the text of the message, the field it is shown at, and what stands in it."""
        super().__init__(key)
        self.key = key
        self.field = field
        self.placeholders = placeholders


@asynccontextmanager
async def temporary_unit(
    hass: HomeAssistant,
    link: ModbusLink,
    unit_id: int,
    timeout: float,
    spacing: float = 0.0,
    connect_delay: float = 0.0,
) -> AsyncIterator[ModbusUnit]:
    """Hold a unit for a while. Raises ``FormError`` if the link has other settings.

    ``timeout``, ``spacing`` of messages and ``connect_delay`` are in seconds. A unit that
    an entry holds, of this integration or another, keeps the settings that it has there.
    """
    try:
        async with async_get_temporary_unit(hass, link.params, unit_id) as unit:
            if unit_id in held_units(hass, link):
                yield unit
                return
            unit.require_timeout(timeout)
            unit.set_message_spacing(spacing)
            unit.require_connect_delay(connect_delay)
            try:
                yield unit
            finally:
                unit.require_timeout(None)
                unit.set_message_spacing(0.0)
                unit.require_connect_delay(None)
    except HomeAssistantError:
        raise FormError(
            "link_in_use", address=link.address, unit_id=str(unit_id)
        ) from None


def held_units(
    hass: HomeAssistant, link: ModbusLink, *, besides: Container[str] = ()
) -> set[int]:
    """Return the unit ids that config entries hold on a link, ``besides`` some of them."""
    return {
        unit_id
        for connection in async_get_connection_info(hass)
        if connection.endpoint == link.params.endpoint
        for entry_id, held in connection.units.items()
        if entry_id not in besides
        for unit_id in held
    }


def needs_relink(entry: ConfigEntry, link: ModbusLink) -> bool:
    """Whether an entry must let go of its link before another can be tried.

    One device cannot be opened with two different settings at once, and many
    gateways take one connection only.
    """
    return (
        entry.state in (ConfigEntryState.LOADED, ConfigEntryState.SETUP_RETRY)
        and ModbusLink.from_json(entry.data[CONF_LINK]) != link
    )
