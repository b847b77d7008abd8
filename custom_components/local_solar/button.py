"""Buttons: what a device can be told to do."""

from typing import override

from homeassistant.components.button import ButtonEntity
from homeassistant.const import Platform
from homeassistant.core import HomeAssistant
from homeassistant.helpers.entity_platform import AddConfigEntryEntitiesCallback

from .coordinators.base import LocalSolarConfigEntry, LocalSolarCoordinator
from .entity import LocalSolarControl, async_add_points
from .points import CONNECTED, Device, Point

PARALLEL_UPDATES = 1


async def async_setup_entry(
    hass: HomeAssistant,
    entry: LocalSolarConfigEntry,
    async_add_entities: AddConfigEntryEntitiesCallback,
) -> None:
    """Add a button for each setting that is changed with one."""
    async_add_points(entry, Platform.BUTTON, async_add_entities, LocalSolarButton)


class LocalSolarButton(LocalSolarControl, ButtonEntity):
    """Gives one command."""

    def __init__(
        self, coordinator: LocalSolarCoordinator, device: Device, point: Point
    ) -> None:
        """Follow whether the device answers: a command has no value that could change."""
        super().__init__(coordinator, device, point)
        self.coordinator_context = (device.identity.id, CONNECTED.key)

    @property
    @override
    def available(self) -> bool:
        """Whether the device answers: a command has no value that could be missing."""
        coordinator = self.coordinator
        return coordinator.last_update_success and coordinator.answers(self.point_id[0])

    @override
    async def async_press(self) -> None:
        """Ask for the command."""
        await self.async_ask_for(True)
