"""Events: faults and warnings that come and go."""

from typing import Final, override

from homeassistant.components.event import EventEntity
from homeassistant.const import Platform
from homeassistant.core import HomeAssistant, callback
from homeassistant.helpers.entity_platform import AddConfigEntryEntitiesCallback

from .coordinators.base import LocalSolarConfigEntry, LocalSolarCoordinator
from .entity import LocalSolarEntity, points_on
from .points import Alarm, Device, Point

PARALLEL_UPDATES = 0

CLEARED: Final = "cleared"


async def async_setup_entry(
    hass: HomeAssistant,
    entry: LocalSolarConfigEntry,
    async_add_entities: AddConfigEntryEntitiesCallback,
) -> None:
    """Add an event entity for each device that reports alarms."""
    coordinator = entry.runtime_data
    async_add_entities(
        AlarmEvent(coordinator, device, point)
        for device, point in points_on(coordinator, Platform.EVENT)
    )


class AlarmEvent(LocalSolarEntity, EventEntity):
    """Fires when a fault or warning appears, and when the last one is gone.

    What a device reports at start is not new; it is taken as it is.
    """

    _attr_event_types = ["fault", "warning", "info", CLEARED]

    def __init__(
        self, coordinator: LocalSolarCoordinator, device: Device, point: Point
    ) -> None:
        """Start from what is reported now."""
        super().__init__(coordinator, device, point)
        self._known = self._alarms()

    def _alarms(self) -> frozenset[Alarm] | None:
        value = self.reading
        return value if isinstance(value, frozenset) else None

    @callback
    @override
    def _handle_coordinator_update(self) -> None:
        """Fire for each new alarm; write the state as availability may have changed."""
        alarms, known = self._alarms(), self._known
        if alarms is not None:
            self._known = alarms
            if known is not None:
                for alarm in sorted(alarms - known):
                    self._fire(alarm)
                if known and not alarms:
                    self._trigger_event(CLEARED)
        self.async_write_ha_state()

    def _fire(self, alarm: Alarm) -> None:
        self._trigger_event(
            alarm.kind,
            {"code": alarm.code, "subcode": alarm.subcode, "text": alarm.text},
        )
        self.async_write_ha_state()
