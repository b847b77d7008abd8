"""Events: faults and warnings that come and go, and what happens now and then."""

from typing import Final, override

from homeassistant.components.event import EventEntity
from homeassistant.const import Platform
from homeassistant.core import HomeAssistant, callback
from homeassistant.helpers.entity_platform import AddConfigEntryEntitiesCallback

from .coordinators.base import LocalSolarConfigEntry, LocalSolarCoordinator
from .entity import LocalSolarEntity, async_add_points
from .points import Alarm, Device, Occurrence, Point, Quantity

PARALLEL_UPDATES = 0

CLEARED: Final = "cleared"


async def async_setup_entry(
    hass: HomeAssistant,
    entry: LocalSolarConfigEntry,
    async_add_entities: AddConfigEntryEntitiesCallback,
) -> None:
    """Add an event entity for each point that is shown as one."""
    async_add_points(entry, Platform.EVENT, async_add_entities, _event)


def _event(
    coordinator: LocalSolarCoordinator, device: Device, point: Point
) -> AlarmEvent | OccurrenceEvent:
    """Return the entity of a point that is shown as events."""
    kind = AlarmEvent if point.quantity is Quantity.ALARMS else OccurrenceEvent
    return kind(coordinator, device, point)


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


class OccurrenceEvent(LocalSolarEntity, EventEntity):
    """Fires when something happens."""

    def __init__(
        self, coordinator: LocalSolarCoordinator, device: Device, point: Point
    ) -> None:
        """Start from what has happened so far."""
        super().__init__(coordinator, device, point)
        self._attr_event_types = list(point.options)
        self._known = self.reading

    @property
    @override
    def available(self) -> bool:
        """Whether it is heard of: mostly nothing has happened yet."""
        return self.coordinator.last_update_success

    @callback
    @override
    def _handle_coordinator_update(self) -> None:
        """Fire for what is new."""
        happened = self.reading
        if isinstance(happened, Occurrence) and happened != self._known:
            self._known = happened
            self._trigger_event(happened.kind, dict(happened.details))
        self.async_write_ha_state()
