"""Selects: settings with a few options."""

from typing import override

from homeassistant.components.select import SelectEntity
from homeassistant.const import Platform
from homeassistant.core import HomeAssistant
from homeassistant.helpers.entity_platform import AddConfigEntryEntitiesCallback

from .coordinators.base import LocalSolarConfigEntry, LocalSolarCoordinator
from .entity import LocalSolarControl, async_add_points
from .points import Device, Point

PARALLEL_UPDATES = 1


async def async_setup_entry(
    hass: HomeAssistant,
    entry: LocalSolarConfigEntry,
    async_add_entities: AddConfigEntryEntitiesCallback,
) -> None:
    """Add a select for each setting that is changed with one."""
    async_add_points(entry, Platform.SELECT, async_add_entities, LocalSolarSelect)


class LocalSolarSelect(LocalSolarControl, SelectEntity):
    """Changes one setting."""

    def __init__(
        self, coordinator: LocalSolarCoordinator, device: Device, point: Point
    ) -> None:
        """Take the options from the point."""
        super().__init__(coordinator, device, point)
        self._attr_options = list(point.options)

    @property
    @override
    def current_option(self) -> str | None:
        """What the device holds."""
        value = self.reading
        return value if isinstance(value, str) else None

    @override
    async def async_select_option(self, option: str) -> None:
        """Ask for another option."""
        await self.async_ask_for(option)
