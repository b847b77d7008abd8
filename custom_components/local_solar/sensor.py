"""Sensors: every point that is a number, a state, a text or a time."""

from datetime import datetime, time
from typing import override

from homeassistant.components.sensor import (
    RestoreSensor,
    SensorDeviceClass,
    SensorEntity,
)
from homeassistant.const import Platform
from homeassistant.core import HomeAssistant
from homeassistant.helpers.entity_platform import AddConfigEntryEntitiesCallback
from homeassistant.helpers.typing import StateType
from homeassistant.util import dt as dt_util

from .coordinators.base import LocalSolarConfigEntry, LocalSolarCoordinator
from .entity import LocalSolarEntity, async_add_points
from .points import Device, Occurrence, Point, PowerCommand, TimeSlot
from .quantities import precision, presentation

PARALLEL_UPDATES = 0


async def async_setup_entry(
    hass: HomeAssistant,
    entry: LocalSolarConfigEntry,
    async_add_entities: AddConfigEntryEntitiesCallback,
) -> None:
    """Add a sensor for each point that is shown as one."""
    async_add_points(entry, Platform.SENSOR, async_add_entities, _sensor)


def _sensor(
    coordinator: LocalSolarCoordinator, device: Device, point: Point
) -> LocalSolarSensor:
    """Return the sensor of a point; counters must not forget."""
    kind = CounterSensor if point.quantity.is_counter else LocalSolarSensor
    return kind(coordinator, device, point)


class LocalSolarSensor(LocalSolarEntity, SensorEntity):
    """Shows one point."""

    def __init__(
        self, coordinator: LocalSolarCoordinator, device: Device, point: Point
    ) -> None:
        """Take classes, unit and precision from the point's quantity."""
        super().__init__(coordinator, device, point)
        shown = presentation(point)
        self._attr_device_class = shown.device_class
        self._attr_state_class = shown.state_class
        self._attr_native_unit_of_measurement = point.unit
        self._attr_suggested_display_precision = precision(point)
        if shown.device_class is SensorDeviceClass.ENUM:
            self._attr_options = list(point.options)

    @property
    @override
    def native_value(self) -> StateType | datetime:
        """The reading in a form that a state can have."""
        value = self.reading
        if isinstance(value, datetime) and value.tzinfo is None:
            return value.replace(tzinfo=dt_util.get_default_time_zone())
        if isinstance(value, time):
            return value.isoformat("minutes")
        if isinstance(value, frozenset | Occurrence | TimeSlot | PowerCommand):
            return None
        return value


class CounterSensor(LocalSolarSensor, RestoreSensor):
    """A counter: keeps its value at night and over restarts."""

    @override
    async def async_added_to_hass(self) -> None:
        """Bring back the value from before the restart."""
        await super().async_added_to_hass()
        data = await self.async_get_last_sensor_data()
        state = await self.async_get_last_state()
        if (
            data is None
            or state is None
            or not isinstance(data.native_value, int | float)
        ):
            return
        if data.native_unit_of_measurement != self.native_unit_of_measurement:
            return
        self.coordinator.restore_counter(
            self.point_id,
            self.point.quantity,
            float(data.native_value),
            state.last_updated,
        )
