"""Time of publishing 150 entities in a real Home Assistant when a tenth changed.

The anchor is a plain coordinator with plain coordinator entities, which write
every state after every poll, in the same Home Assistant and the same run.
"""

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
import logging
from time import perf_counter
from typing import Final, override
from unittest.mock import patch

from pytest_homeassistant_custom_component.common import (
    MockConfigEntry,
    MockEntityPlatform,
    async_test_home_assistant,
)

from custom_components.local_solar.const import DOMAIN
from custom_components.local_solar.coordinators import base
from custom_components.local_solar.coordinators.base import LocalSolarCoordinator
from custom_components.local_solar.growatt.profiles.catalogue import PROFILES
from custom_components.local_solar.points import (
    Device,
    DeviceIdentity,
    Point,
    PointId,
    Quantity,
    Value,
    Visibility,
)
from custom_components.local_solar.quantities import presentation
from custom_components.local_solar.sensor import LocalSolarSensor
from homeassistant.components.sensor import SensorEntity
from homeassistant.const import Platform
from homeassistant.core import HomeAssistant
from homeassistant.helpers.update_coordinator import (
    CoordinatorEntity,
    DataUpdateCoordinator,
)

from .report import Metric, run
from .simulated_line import SimulatedClock

ENTITIES: Final = 150
ANCHOR_MS: Final = 1.3
GOAL_MS: Final = 0.25
"""The goal is 0.25 ms where the plain coordinator takes 1.3 ms in the same run."""

ROUNDS: Final = 9
POLL_SECONDS: Final = LocalSolarCoordinator.poll_interval.total_seconds()
DEVICE: Final = "SNL0BENCH1"

type Data = dict[str, dict[str, Value | None]]


class _Coordinator(LocalSolarCoordinator):
    """Ours, with devices but without a link."""

    @property
    @override
    def address(self) -> str:
        raise NotImplementedError

    @override
    async def async_diagnose(self) -> Mapping[str, object]:
        raise NotImplementedError

    @override
    async def _async_poll(self, wanted: set[PointId]) -> Data:
        raise NotImplementedError

    @override
    async def _async_probe(self) -> bool:
        raise NotImplementedError


class _PlainEntity(CoordinatorEntity[DataUpdateCoordinator[Data]], SensorEntity):
    """What most integrations have: written after every update."""

    _attr_has_entity_name = True

    def __init__(self, coordinator: DataUpdateCoordinator[Data], point: Point) -> None:
        super().__init__(coordinator)
        self._key = point.key
        shown = presentation(point)
        self._attr_unique_id = f"plain_{point.key}"
        self._attr_name = f"Plain {point.key}"
        self._attr_device_class = shown.device_class
        self._attr_state_class = shown.state_class
        self._attr_native_unit_of_measurement = point.unit

    @property
    @override
    def available(self) -> bool:
        return super().available and self._key in self.coordinator.data[DEVICE]

    @property
    @override
    def native_value(self) -> float | None:
        value = self.coordinator.data[DEVICE][self._key]
        return value if isinstance(value, int | float) else None


def measure(quick: bool) -> Iterator[Metric]:
    """Measure both kinds in one Home Assistant."""
    logging.disable(logging.WARNING)
    yield from asyncio.run(_measure(20 if quick else 100))


async def _measure(updates: int) -> list[Metric]:
    points = _points()
    async with async_test_home_assistant() as hass:
        # The test kit debugs its loop, which an owner's Home Assistant does not.
        hass.loop.set_debug(False)
        entry = MockConfigEntry(domain=DOMAIN, title="bench")
        entry.add_to_hass(hass)
        ours = _Coordinator(hass, entry)
        device = Device(
            identity=DeviceIdentity(
                id=DEVICE, kind="inverter", manufacturer="Growatt", model="bench"
            ),
            points=points,
        )
        ours.set_devices((device,))
        ours.update_interval = None
        plain = DataUpdateCoordinator[Data](
            hass,
            logging.getLogger("plain"),
            config_entry=None,
            name="plain",
            update_interval=None,
        )
        ours.data = plain.data = {
            DEVICE: dict.fromkeys((point.key for point in points), 0.0)
        }
        await _add(
            hass, entry, [LocalSolarSensor(ours, device, point) for point in points]
        )
        await _add(hass, entry, [_PlainEntity(plain, point) for point in points])
        assert len(hass.states.async_all("sensor")) == 2 * ENTITIES
        metrics = []
        clock = SimulatedClock()
        for share, name in ((0.0, "nothing"), (0.1, "a tenth"), (1.0, "everything")):
            anchor = await _time(plain, points, share, updates, clock)
            figure = await _time(ours, points, share, updates, clock)
            metrics.append(
                Metric(
                    metric=f"publish {ENTITIES} entities, {name} changed",
                    value=figure,
                    unit="ms",
                    reference=anchor,
                    goal=anchor * GOAL_MS / ANCHOR_MS if name == "a tenth" else None,
                )
            )
        await ours.async_shutdown()
        await plain.async_shutdown()
        await hass.async_stop(force=True)
    return metrics


def _points() -> tuple[Point, ...]:
    """Return 150 number points: all that an owner may enable, topped up with hidden ones."""
    points = sorted(
        (
            row.point
            for row in PROFILES["min_tl_xh"]
            if row.point.unit and presentation(row.point).platform is Platform.SENSOR
        ),
        key=lambda point: point.visibility is Visibility.RAW,
    )
    chosen = tuple(
        replace(point, visibility=Visibility.SHOWN) for point in points[:ENTITIES]
    )
    assert len(chosen) == ENTITIES
    assert any(point.quantity is Quantity.POWER for point in chosen)
    return chosen


async def _add(
    hass: HomeAssistant, entry: MockConfigEntry, entities: Sequence[SensorEntity]
) -> None:
    platform = MockEntityPlatform(hass, domain="sensor", platform_name=DOMAIN)
    platform.config_entry = entry
    await platform.async_add_entities(entities)
    await hass.async_block_till_done()


async def _time(
    coordinator: DataUpdateCoordinator[Data] | LocalSolarCoordinator,
    points: tuple[Point, ...],
    share: float,
    updates: int,
    clock: SimulatedClock,
) -> float:
    """Return the milliseconds of one publication in the best of several rounds."""
    best = float("inf")
    value = 0.0
    changing = [point.key for point in points[:: round(1 / share)]] if share else []
    for _ in range(ROUNDS):
        spent = 0.0
        for _ in range(updates):
            value += 1.0
            values = dict(coordinator.data[DEVICE])
            values.update(dict.fromkeys(changing, value))
            coordinator.data = {DEVICE: values}
            clock.now += POLL_SECONDS
            with patch.object(base, "monotonic", clock.monotonic):
                spent += _elapsed(coordinator.async_update_listeners)
            await asyncio.sleep(0)
        best = min(best, spent / updates)
    return best * 1000


def _elapsed(function: Callable[[], None]) -> float:
    started = perf_counter()
    function()
    return perf_counter() - started


if __name__ == "__main__":
    run(measure, __doc__ or "")
