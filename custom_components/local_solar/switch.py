"""Switches: settings that are on or off."""

from typing import Any, override

from homeassistant.components.switch import SwitchEntity
from homeassistant.const import Platform
from homeassistant.core import HomeAssistant
from homeassistant.helpers.entity_platform import AddConfigEntryEntitiesCallback

from .coordinators.base import LocalSolarConfigEntry
from .entity import LocalSolarControl, async_add_points

PARALLEL_UPDATES = 1


async def async_setup_entry(
    hass: HomeAssistant,
    entry: LocalSolarConfigEntry,
    async_add_entities: AddConfigEntryEntitiesCallback,
) -> None:
    """Add a switch for each setting that is changed with one."""
    async_add_points(entry, Platform.SWITCH, async_add_entities, LocalSolarSwitch)


class LocalSolarSwitch(LocalSolarControl, SwitchEntity):
    """Changes one setting."""

    @property
    @override
    def is_on(self) -> bool | None:
        """What the device holds."""
        value = self.reading
        return value if isinstance(value, bool) else None

    @override
    async def async_turn_on(self, **kwargs: Any) -> None:
        """Ask for it to be on."""
        await self.async_ask_for(True)

    @override
    async def async_turn_off(self, **kwargs: Any) -> None:
        """Ask for it to be off."""
        await self.async_ask_for(False)
