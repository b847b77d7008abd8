"""Times of day: when time slots begin and end."""

from datetime import time
from typing import override

from homeassistant.components.time import TimeEntity
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
    """Add a time for each setting that is changed with one."""
    async_add_points(entry, Platform.TIME, async_add_entities, LocalSolarTime)


class LocalSolarTime(LocalSolarControl, TimeEntity):
    """Changes one setting."""

    @property
    @override
    def native_value(self) -> time | None:
        """What the device holds."""
        value = self.reading
        return value if isinstance(value, time) else None

    @override
    async def async_set_value(self, value: time) -> None:
        """Ask for another time; devices know whole minutes only."""
        await self.async_ask_for(value.replace(second=0, microsecond=0))
