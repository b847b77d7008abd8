"""Numbers: settings with limits and a step."""

from typing import override

from homeassistant.components.number import NumberDeviceClass, NumberEntity, NumberMode
from homeassistant.const import Platform
from homeassistant.core import HomeAssistant
from homeassistant.helpers.entity_platform import AddConfigEntryEntitiesCallback

from .coordinators.base import LocalSolarConfigEntry, LocalSolarCoordinator
from .entity import LocalSolarControl, async_add_points
from .points import Device, Point
from .quantities import presentation

PARALLEL_UPDATES = 1


async def async_setup_entry(
    hass: HomeAssistant,
    entry: LocalSolarConfigEntry,
    async_add_entities: AddConfigEntryEntitiesCallback,
) -> None:
    """Add a number for each setting that is changed with one."""
    async_add_points(entry, Platform.NUMBER, async_add_entities, LocalSolarNumber)


class LocalSolarNumber(LocalSolarControl, NumberEntity):
    """Changes one setting. It is typed in: a slider moves too easily."""

    _attr_mode = NumberMode.BOX

    def __init__(
        self, coordinator: LocalSolarCoordinator, device: Device, point: Point
    ) -> None:
        """Take limits, step and unit from the point."""
        super().__init__(coordinator, device, point)
        assert point.setting is not None
        self._attr_native_unit_of_measurement = point.unit
        if (shown := presentation(point).device_class) is not None:
            self._attr_device_class = NumberDeviceClass(shown.value)
        if (minimum := point.setting.minimum) is not None:
            self._attr_native_min_value = minimum
        if (maximum := point.setting.maximum) is not None:
            self._attr_native_max_value = maximum
        if (step := point.setting.step) is not None:
            self._attr_native_step = step

    @property
    @override
    def native_value(self) -> float | None:
        """What the device holds."""
        value = self.reading
        return value if isinstance(value, int | float) else None

    @override
    async def async_set_native_value(self, value: float) -> None:
        """Ask for another value."""
        await self.async_ask_for(value)
