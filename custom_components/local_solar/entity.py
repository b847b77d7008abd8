"""One entity = one device + one point."""

from collections.abc import Callable, Iterable
from typing import override

from homeassistant.const import Platform
from homeassistant.core import HomeAssistant, callback
from homeassistant.helpers import entity_registry as er
from homeassistant.helpers.device_registry import DeviceInfo
from homeassistant.helpers.entity import Entity
from homeassistant.helpers.entity_platform import AddConfigEntryEntitiesCallback
from homeassistant.helpers.update_coordinator import CoordinatorEntity

from . import quantities
from .const import DOMAIN
from .coordinators.base import (
    LocalSolarConfigEntry,
    LocalSolarCoordinator,
    shown_points,
    unique_id,
)
from .points import Device, Point, PointId, Value, Wanted
from .writing import Asker


@callback
def async_add_points(
    entry: LocalSolarConfigEntry,
    platform: Platform,
    async_add_entities: AddConfigEntryEntitiesCallback,
    make: Callable[[LocalSolarCoordinator, Device, Point], Entity],
) -> None:
    """Add an entity for each point that is shown on a platform, now and when devices appear."""
    coordinator = entry.runtime_data

    @callback
    def add(devices: Iterable[Device]) -> None:
        async_add_entities(
            make(coordinator, device, point)
            for device, point in shown_points(devices)
            if quantities.platform(point, may_write=coordinator.may_write) is platform
        )

    add(coordinator.devices)
    entry.async_on_unload(coordinator.on_devices_added(add))


@callback
def forget_replaced_entities(hass: HomeAssistant, entry: LocalSolarConfigEntry) -> None:
    """Remove sensors that have become controls, or the other way round.

    Switching writing on or off does that. A control is enabled if the
    sensor was; a sensor that comes back is as it was before.
    """
    coordinator = entry.runtime_data
    platforms = {
        unique_id((device.identity.id, point.key)): quantities.platform(
            point, may_write=coordinator.may_write
        )
        for device, point in coordinator.points()
    }
    registry = er.async_get(hass)
    for old in er.async_entries_for_config_entry(registry, entry.entry_id):
        platform = platforms.get(old.unique_id, old.domain)
        if platform == old.domain:
            continue
        registry.async_remove(old.entity_id)
        if platform is not None and old.disabled_by is None:
            registry.async_get_or_create(
                platform,
                DOMAIN,
                old.unique_id,
                suggested_object_id=old.entity_id.partition(".")[2],
                config_entry=entry,
            )


class LocalSolarEntity(CoordinatorEntity[LocalSolarCoordinator]):
    """Base of all entities. It is written only when its point changes."""

    _attr_has_entity_name = True

    def __init__(
        self, coordinator: LocalSolarCoordinator, device: Device, point: Point
    ) -> None:
        """Show ``point`` of ``device``."""
        self.point_id: PointId = (device.identity.id, point.key)
        super().__init__(coordinator, context=self.point_id)
        self.point = point
        self._attr_unique_id = unique_id(self.point_id)
        self._attr_translation_key = point.translation_key
        if point.index is not None:
            self._attr_translation_placeholders = {"n": str(point.index)}
        self._attr_entity_category = quantities.entity_category(
            point, may_write=coordinator.may_write
        )
        self._attr_entity_registry_enabled_default = coordinator.is_enabled_at_first(
            point
        )
        self._attr_device_info = DeviceInfo(identifiers={(DOMAIN, device.identity.id)})

    @property
    def reading(self) -> Value | None:
        """The point's value, ``None`` if the device says it is not available."""
        return self.coordinator.value(self.point_id)

    @property
    @override
    def available(self) -> bool:
        """Whether the last read of this very point succeeded."""
        return super().available and self.coordinator.has(self.point_id)


class LocalSolarControl(LocalSolarEntity):
    """Base of entities that change something. They keep showing what the device holds."""

    async def async_ask_for(self, wanted: Wanted) -> None:
        """Ask for a change: it waits in the repairs, and this raises that it does.

        Raises ``ServiceValidationError`` or ``HomeAssistantError``.
        """
        writing = self.coordinator.writing
        assert writing is not None, "there are no controls while writing is off"
        by = await Asker.async_of(self.hass, self._context, self.entity_id)
        await writing.async_ask(*self.point_id, wanted, by)
