"""One entity = one device + one point."""

from collections.abc import Iterator
from typing import override

from homeassistant.const import Platform
from homeassistant.helpers.device_registry import DeviceInfo
from homeassistant.helpers.update_coordinator import CoordinatorEntity

from .const import DOMAIN
from .coordinators.base import LocalSolarCoordinator, unique_id
from .points import Device, Point, PointId, Value, Visibility
from .quantities import entity_category, presentation


def points_on(
    coordinator: LocalSolarCoordinator, platform: Platform
) -> Iterator[tuple[Device, Point]]:
    """Go through the points that become entities of ``platform``."""
    return (
        (device, point)
        for device, point in coordinator.points()
        if presentation(point).platform is platform
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
        self._attr_entity_category = entity_category(point)
        self._attr_entity_registry_enabled_default = (
            point.visibility is Visibility.SHOWN
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
