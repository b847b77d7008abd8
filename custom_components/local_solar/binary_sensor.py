"""Binary sensors: flags, problems and whether a device answers."""

from typing import override

from homeassistant.components.binary_sensor import BinarySensorEntity
from homeassistant.const import Platform
from homeassistant.core import HomeAssistant
from homeassistant.helpers.entity_platform import AddConfigEntryEntitiesCallback

from .coordinators.base import LocalSolarConfigEntry, LocalSolarCoordinator
from .entity import LocalSolarEntity, async_add_points
from .points import Device, Point
from .quantities import presentation

PARALLEL_UPDATES = 0


async def async_setup_entry(
    hass: HomeAssistant,
    entry: LocalSolarConfigEntry,
    async_add_entities: AddConfigEntryEntitiesCallback,
) -> None:
    """Add a binary sensor for each point that is shown as one."""
    async_add_points(
        entry, Platform.BINARY_SENSOR, async_add_entities, LocalSolarBinarySensor
    )


class LocalSolarBinarySensor(LocalSolarEntity, BinarySensorEntity):
    """Shows one point that is true or false."""

    def __init__(
        self, coordinator: LocalSolarCoordinator, device: Device, point: Point
    ) -> None:
        """Take the class from the point's quantity."""
        super().__init__(coordinator, device, point)
        self._attr_device_class = presentation(point).binary_class

    @property
    @override
    def is_on(self) -> bool | None:
        """The reading."""
        value = self.reading
        return value if isinstance(value, bool) else None
