"""What every coordinator does: counters that last, publishing only what changed, sleep.

An entity registers with the id of its point as context. That tells the
coordinator which points are worth reading, and which entities to write after a
poll: only those whose own value or availability changed.
"""

from abc import abstractmethod
from collections.abc import (
    AsyncIterator,
    Callable,
    Collection,
    Iterable,
    Iterator,
    Mapping,
    Sequence,
)
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from time import monotonic
from typing import Final, override

from homeassistant.config_entries import ConfigEntry
from homeassistant.const import Platform
from homeassistant.core import CALLBACK_TYPE, HomeAssistant, callback
from homeassistant.exceptions import HomeAssistantError, ServiceValidationError
from homeassistant.helpers import entity_registry as er, issue_registry as ir
from homeassistant.helpers.update_coordinator import DataUpdateCoordinator
from homeassistant.util import dt as dt_util

from ..battery_control import BatteryControl
from ..const import CONF_WRITE_ACCESS, DOMAIN, LOGGER, WRITE_CONFIRM, WRITE_DISABLED
from ..counters import CounterGuard
from ..modbus.image import Space
from ..modbus.register import Register
from ..points import (
    CONNECTED,
    Device,
    Point,
    PointId,
    Quantity,
    Snapshot,
    Value,
    Visibility,
)
from ..registers import ParameterReading, RegisterDump, RegisterReading
from ..write_gate import Driver
from ..writing import Writing, wrong_device_issue

type LocalSolarConfigEntry = ConfigEntry[LocalSolarCoordinator]

LAST_PROBE: Final = timedelta(minutes=5)
"""A silent device is asked ever more seldom, but not more seldom than that."""

SENSORS: Final = frozenset({Platform.SENSOR, Platform.BINARY_SENSOR})
"""Platforms whose entities only show."""

REPORTED: Final = frozenset({Quantity.POWER})
"""Quantities written now and then although they did not change: integrals over power need
to know that a value still holds."""

REPORT_INTERVAL: Final = 60.0
"""Seconds after which an unchanged value of these is written again."""

_NOTHING: Final[Mapping[str, Value | None]] = {}
_MISSING: Final = object()
"""Stands for a reading that is not there; ``None`` is one."""


class AsleepError(Exception):
    """A device does not answer. The message says what happened instead."""


def unique_id(point: PointId) -> str:
    """Return the unique id of an entity: never built from an address."""
    return "_".join(point)


class LocalSolarCoordinator(DataUpdateCoordinator[Snapshot]):
    """Polls the devices of one entry.

    A family's coordinator calls ``set_devices`` before the first refresh and
    implements ``_async_poll`` and ``_async_probe``.
    """

    config_entry: LocalSolarConfigEntry

    poll_interval = timedelta(seconds=10)
    first_probe = timedelta(seconds=20)
    """A silent device is asked again after that, then after twice as long and so on."""

    def __init__(self, hass: HomeAssistant, entry: LocalSolarConfigEntry) -> None:
        """Poll for ``entry``."""
        super().__init__(
            hass,
            LOGGER,
            config_entry=entry,
            name=entry.title,
            update_interval=self.poll_interval,
        )
        self.devices: tuple[Device, ...] = ()
        self.counters = CounterGuard()
        self.awake = True
        self.asleep_because = ""
        self.failed: Mapping[str, str] = {}
        self.writing: Writing | None = None
        """How settings are changed, ``None`` while writing is switched off."""
        self.battery_control: BatteryControl | None = None
        """Commands to the battery, ``None`` if there is none that takes them."""
        self._on_devices_added: list[Callable[[Iterable[Device]], None]] = []
        self._counters: tuple[tuple[PointId, Quantity], ...] = ()
        self._reported: frozenset[PointId] = frozenset()
        self._report_due = 0.0
        self._published: Snapshot = {}

    # -- to be given by the family ------------------------------------------------

    @abstractmethod
    async def _async_poll(
        self, wanted: set[PointId]
    ) -> dict[str, dict[str, Value | None]]:
        """Return what is known of the ``wanted`` points. Raises ``AsleepError``."""

    @abstractmethod
    async def _async_probe(self) -> bool:
        """Return whether a silent device answers again, at the least cost to the bus."""

    @property
    @abstractmethod
    def address(self) -> str:
        """Where the device is. Diagnostics hide it wherever it stands."""

    @abstractmethod
    async def async_diagnose(self) -> Mapping[str, object]:
        """Return what else is known of the devices, as JSON types without secrets."""

    # -- may be given by the family -----------------------------------------------

    def drivers(self) -> Mapping[str, Driver]:
        """Return the driver of each device that has settings, by device id."""
        return {}

    @property
    def is_to_change(self) -> bool:
        """Whether the owner has chosen since that the devices are to be taken for others."""
        return False

    def rows_of(self, key: str) -> Sequence[Register]:
        """Return the registers that a setting is written to, as far as they are its own."""
        return ()

    def show_setting(self, key: str) -> None:
        """Show what was just read of a setting, without asking the device again."""

    async def async_read_register(
        self, device: str, key: str
    ) -> RegisterReading | ParameterReading:
        """Read the registers of a device's point now. Raises ``HomeAssistantError``, as these all do."""
        raise self.refusal("no_registers")

    async def async_read_registers(
        self, device: str, space: Space, address: int, count: int
    ) -> RegisterReading:
        """Read any registers of a device now, known or not."""
        raise self.refusal("no_registers")

    async def async_dump_registers(self, device: str) -> RegisterDump:
        """Read all registers that are known of a device."""
        raise self.refusal("no_registers")

    async def async_read_parameter(self, device: str, number: int) -> ParameterReading:
        """Read a numbered parameter of a device that has some."""
        raise self.refusal("no_parameters")

    def refusal(self, key: str, **placeholders: str) -> ServiceValidationError:
        """Return that what was asked for is not to be had, and why."""
        return ServiceValidationError(
            translation_domain=DOMAIN,
            translation_key=key,
            translation_placeholders={"device": self.name, **placeholders},
        )

    def read_failed(
        self, what: str, err: Exception, device: str | None = None
    ) -> HomeAssistantError:
        """Return that registers could not be read, and why.

        ``device`` is its name, where the entry has several.
        """
        return HomeAssistantError(
            translation_domain=DOMAIN,
            translation_key="read_failed",
            translation_placeholders={
                "device": device or self.name,
                "register": what,
                "reason": str(err),
            },
        )

    # -- writing ------------------------------------------------------------------

    @property
    def may_write(self) -> bool:
        """Whether the owner has switched writing on."""
        access = self.config_entry.options.get(CONF_WRITE_ACCESS, WRITE_DISABLED)
        return bool(access == WRITE_CONFIRM)

    async def async_open_writing(self) -> None:
        """Open the gates, if the owner has switched writing on.

        A command that is in force is gone on with, and ended, in any case.
        """
        if self.may_write:
            self.writing = await Writing.async_open(self.hass, self)
        self.battery_control = await BatteryControl.async_open(self.hass, self)

    @asynccontextmanager
    async def async_outside_setup(self) -> AsyncIterator[None]:
        """Reach the devices although the entry is not set up, by what is stored of them.

        Raises ``HomeAssistantError`` if the link is in use with other settings.
        """
        yield

    def answers(self, device: str) -> bool:
        """Return whether a device answers."""
        return self.awake

    @callback
    def forget(self, device: str) -> bool:
        """Forget a device that the owner removes, if that can be; return whether it is so."""
        return False

    @callback
    def right_device_answered(self) -> None:
        """Take back the issue that another device answers in its place."""
        ir.async_delete_issue(self.hass, DOMAIN, wrong_device_issue(self.config_entry))

    async def async_close_writing(self) -> None:
        """Let no more changes through.

        A command that nobody could end by hand any more, or that the next set-up may not
        know how to end, is ended before.
        """
        if self.battery_control is not None:
            is_last = (
                not self.may_write
                or self.config_entry.disabled_by is not None
                or self.is_to_change
            )
            await self.battery_control.async_close(release=is_last)
        if self.writing is not None:
            await self.writing.async_close()

    # -- points -------------------------------------------------------------------

    def set_devices(self, devices: tuple[Device, ...]) -> None:
        """Say what devices there are."""
        self.devices = devices
        points = [
            ((device.identity.id, point.key), point.quantity)
            for device, point in self.points()
        ]
        self._counters = tuple(item for item in points if item[1].is_counter)
        self._reported = frozenset(
            point for point, quantity in points if quantity in REPORTED
        )

    def points(self) -> Iterator[tuple[Device, Point]]:
        """Go through all points that may become entities."""
        return shown_points(self.devices)

    @callback
    def on_devices_added(
        self, tell: Callable[[Iterable[Device]], None]
    ) -> CALLBACK_TYPE:
        """Tell somebody when devices appear while others are shown; return what ends that."""
        self._on_devices_added.append(tell)
        return partial(self._on_devices_added.remove, tell)

    @callback
    def show_devices(self, devices: tuple[Device, ...]) -> None:
        """Say what devices there are now, and show those that have appeared."""
        before = {device.identity.id for device in self.devices}
        self.set_devices(devices)
        if self.writing is not None:
            self.writing.take_up_drivers()
        added = [device for device in devices if device.identity.id not in before]
        for tell in list(self._on_devices_added):
            tell(added)

    def wanted(self) -> set[PointId]:
        """Return the points of enabled entities.

        Before there are entities: those that will be, by the registry.
        """
        if self._listeners:
            return set(self.async_contexts())
        registry = er.async_get(self.hass)
        known = {
            entity.unique_id: entity
            for entity in er.async_entries_for_config_entry(
                registry, self.config_entry.entry_id
            )
        }
        return {
            (device.identity.id, point.key)
            for device, point in self.points()
            if self._will_be_shown(
                point, known.get(unique_id((device.identity.id, point.key)))
            )
        }

    def _will_be_shown(self, point: Point, known: er.RegistryEntry | None) -> bool:
        """Return whether the entity of a point will be enabled.

        A disabled sensor that becomes a control is forgotten soon.
        """
        if known is not None and known.disabled_by is None:
            return True
        becomes_control = self._is_control(point) and known and known.domain in SENSORS
        if known is None or becomes_control:
            return self.is_enabled_at_first(point)
        return False

    def _is_control(self, point: Point) -> bool:
        """Return whether the entity of a point can change it."""
        return self.may_write and point.setting is not None

    def is_enabled_at_first(self, point: Point) -> bool:
        """Return whether the entity of a point is enabled before the owner says so."""
        return point.visibility is Visibility.SHOWN or (
            self.may_write and point.setting is not None and point.setting.everyday
        )

    def has(self, point: PointId) -> bool:
        """Return whether there is a current reading of a point (it may be ``None``)."""
        return point[1] in self.data.get(point[0], {})

    def value(self, point: PointId) -> Value | None:
        """Return the value of a point."""
        return self.data.get(point[0], {}).get(point[1])

    # -- polling ------------------------------------------------------------------

    @override
    async def _async_update_data(self) -> Snapshot:
        """Poll, or ask a silent device whether it is back."""
        snapshot: dict[str, dict[str, Value | None]] = {}
        # As long as there are no entities, the set-up has just found it silent.
        if self.awake or (self._listeners and await self._async_probe()):
            snapshot = await self._async_poll_awake()
        elif self._listeners:
            self._fall_asleep(self.asleep_because)
        self._keep_counters(snapshot)
        for device in self.devices:
            if CONNECTED in device.points:
                # What is reached through another device says itself whether it answers.
                values = snapshot.setdefault(device.identity.id, {})
                values.setdefault(CONNECTED.key, self.awake)
        if self.battery_control is not None:
            for battery, values in self.battery_control.values.items():
                snapshot.setdefault(battery, {}).update(values)
        return snapshot

    async def _async_poll_awake(self) -> dict[str, dict[str, Value | None]]:
        """Poll a device that is thought to be awake, and note if it is not."""
        started = monotonic()
        try:
            snapshot = await self._async_poll(self.wanted())
        except AsleepError as err:
            self._fall_asleep(str(err))
            return {}
        self._wake_up(monotonic() - started)
        return snapshot

    def _wake_up(self, spent: float) -> None:
        """Poll again in the rhythm, but leave a crowded bus alone for as long as it took."""
        if not self.awake:
            LOGGER.info("%s answers again", self.name)
        self.awake, self.asleep_because = True, ""
        self.update_interval = self._until_next_poll(timedelta(seconds=spent))

    def _until_next_poll(self, took: timedelta) -> timedelta:
        """Return how long to wait after a poll that took so long."""
        return max(self.poll_interval - took, min(took, LAST_PROBE))

    def _fall_asleep(self, reason: str) -> None:
        """Probe ever less often; say once why."""
        if self.awake:
            self._report_silence(reason)
            self.update_interval = self.first_probe
        else:
            interval = self.update_interval or self.first_probe
            self.update_interval = min(2 * interval, LAST_PROBE)
        self.awake, self.asleep_because = False, reason

    def _report_silence(self, reason: str) -> None:
        """Log that the device has fallen silent."""
        LOGGER.info(
            "%s does not answer (%s). This is normal at night; it is asked again every"
            " few minutes",
            self.name,
            reason,
        )

    def _note_failures(self, failed: Mapping[str, str]) -> None:
        """Log once what cannot be read, and once when it can be again."""
        for reason in {
            reason for key, reason in failed.items() if key not in self.failed
        }:
            keys = sorted(key for key in failed if failed[key] == reason)
            LOGGER.info("%s: cannot read %s: %s", self.name, ", ".join(keys), reason)
        if self.failed and not failed:
            LOGGER.info("%s: everything can be read again", self.name)
        self.failed = failed

    def expect_power_of(self, rated_power: float | None) -> None:
        """Let counters grow as fast as an inverter of that size makes them, in VA."""
        if rated_power is not None:
            most = 2 * rated_power / 1000
            self.counters.max_power = max(self.counters.max_power, most)

    def _keep_counters(
        self,
        snapshot: dict[str, dict[str, Value | None]],
        devices: Collection[str] | None = None,
    ) -> None:
        """Pass counters through the guard; those not read keep their last value.

        ``devices`` are those that the snapshot is about; all, if none are named.
        """
        now = dt_util.now()
        for point, quantity in self._counters:
            device, key = point
            if devices is not None and device not in devices:
                continue
            read = snapshot.get(device, _NOTHING).get(key)
            counted = self.counters.accept(
                point, quantity, read if isinstance(read, int | float) else None, now
            )
            if counted is not None:
                snapshot.setdefault(device, {})[key] = counted

    @callback
    def restore_counter(
        self, point: PointId, quantity: Quantity, value: float, at: datetime
    ) -> None:
        """Take in the value that an entity had before the restart."""
        device, key = point
        self.counters.restore(
            point, quantity, value, dt_util.as_local(at), dt_util.now()
        )
        self._take_in({device: {key: self.counters.value(point)}})

    @callback
    def take_report(self, snapshot: dict[str, dict[str, Value | None]]) -> None:
        """Show what devices have just reported by themselves."""
        self._keep_counters(snapshot, snapshot.keys())
        if self.data:
            self._take_in(snapshot)
            self.async_update_listeners()

    @callback
    def show(self, snapshot: Snapshot) -> None:
        """Show values that are newer than the last poll, of points that are shown anyway."""
        if not self.data:
            return
        wanted = self.wanted()
        self._take_in(
            {
                device: {
                    key: value
                    for key, value in values.items()
                    if (device, key) in wanted
                }
                for device, values in snapshot.items()
            }
        )
        self.async_update_listeners()

    def _take_in(self, snapshot: Snapshot) -> None:
        """Put values into the data without touching the others."""
        newer = {
            device: {**self.data.get(device, _NOTHING), **values}
            for device, values in snapshot.items()
        }
        self.data = {**self.data, **newer}

    # -- publishing ---------------------------------------------------------------

    @callback
    @override
    def async_update_listeners(self) -> None:
        """Tell the entities whose value or availability changed, and few others."""
        current: Snapshot = self.data if self.last_update_success else {}
        changed = _changed_points(self._published, current)
        self._published = current
        if (now := monotonic()) >= self._report_due:
            changed |= self._reported
            self._report_due = now + REPORT_INTERVAL
        for update, point in list(self._listeners.values()):
            if point is not None and point not in changed:
                continue
            try:
                update()
            except Exception:
                self.logger.exception("%s: cannot show %s", self.name, point)


def shown_points(devices: Iterable[Device]) -> Iterator[tuple[Device, Point]]:
    """Go through all points of devices that may become entities."""
    for device in devices:
        for point in device.points:
            if point.visibility is not Visibility.RAW:
                yield device, point


def with_connection(device: Device) -> Device:
    """Add the point that says whether the device answers."""
    return replace(device, points=(*device.points, CONNECTED))


def _changed_points(before: Snapshot, after: Snapshot) -> set[PointId]:
    """Return the points whose reading differs, appeared or went."""
    changed: set[PointId] = set()
    for device in before.keys() | after.keys():
        old, new = before.get(device, _NOTHING), after.get(device, _NOTHING)
        changed.update((device, key) for key in old.keys() - new.keys())
        changed.update(
            (device, key)
            for key, value in new.items()
            if old.get(key, _MISSING) != value
        )
    return changed
