"""Polls one OutBack gateway over Home Assistant's shared Modbus connection."""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from typing import Final, override

from modbus_connection import ModbusError, ModbusUnit

from homeassistant.components.modbus import async_get_unit
from homeassistant.core import HomeAssistant, callback
from homeassistant.exceptions import (
    ConfigEntryError,
    ConfigEntryNotReady,
    HomeAssistantError,
)
from homeassistant.helpers import device_registry as dr
from homeassistant.helpers.update_coordinator import UpdateFailed
from homeassistant.util import dt as dt_util

from ..const import (
    CONF_INSTALLER_SETTINGS,
    CONF_LINK,
    CONF_LIVE_INTERVAL,
    CONF_UNIT_ID,
    DOMAIN,
    LOGGER,
)
from ..modbus.image import Space
from ..modbus_link import ModbusLink, explain
from ..outback.errors import EncryptedError, MapChangedError, Mate3Error, NoDataError
from ..outback.masking import mask
from ..outback.mate3 import Mate3
from ..outback.settings import DeviceSettings
from ..outback.system import MANUFACTURER, System, async_identify
from ..points import Device, PointId, Value
from ..registers import RegisterDump, RegisterReading
from ..write_gate import Driver
from .base import (
    AsleepError,
    LocalSolarConfigEntry,
    LocalSolarCoordinator,
    with_connection,
)

REQUEST_TIMEOUT: Final = 5.0
"""Seconds to wait for an answer; a gateway answers within a fraction of one."""

MESSAGE_SPACING: Final = 0.05
"""Seconds between messages: gateways that were asked without a pause had to be restarted."""

CONNECT_DELAY: Final = 2.0
"""Seconds to leave a gateway alone behind a connect: right after another client it is not
ready at once."""

DEFAULT_POLL_INTERVAL: Final = 10
LEAST_POLL_INTERVAL: Final = 5
MOST_POLL_INTERVAL: Final = 300
"""Seconds between two polls."""

GONE_AFTER: Final = timedelta(minutes=15)
"""A device that the gateway has not listed for so long is taken out of Home Assistant. While
the gateway starts, it finds its devices one after the other."""

DOUBT_LASTS: Final = timedelta(minutes=5)
"""When blocks are refused, the map is looked at again no more often than that: the refusal
may be all there is to it, and each look takes dozens of requests."""

ERROR_TEXTS: Final[Mapping[type[Mate3Error], str]] = {
    EncryptedError: "mate3_encrypted",
    NoDataError: "mate3_no_data",
}
"""Messages about a gateway; all others are not one."""


def text_of_error(err: Mate3Error) -> str:
    """Return the key of the message about what is wrong with a gateway."""
    return next(
        (key for kind, key in ERROR_TEXTS.items() if isinstance(err, kind)),
        "not_a_mate3",
    )


def use_gently(unit: ModbusUnit) -> None:
    """Tell the shared link what a gateway needs."""
    unit.require_timeout(REQUEST_TIMEOUT)
    unit.require_connect_delay(CONNECT_DELAY)
    unit.set_message_spacing(MESSAGE_SPACING)


def release(unit: ModbusUnit) -> None:
    """Take back what ``use_gently`` told: the link may outlive us in others' hands."""
    unit.require_timeout(None)
    unit.require_connect_delay(None)


class OutBackCoordinator(LocalSolarCoordinator):
    """Polls one gateway and all that is behind it."""

    mate3: Mate3
    _unit: ModbusUnit

    def __init__(self, hass: HomeAssistant, entry: LocalSolarConfigEntry) -> None:
        """Poll the gateway of ``entry``."""
        self.poll_interval = timedelta(
            seconds=entry.options.get(CONF_LIVE_INTERVAL, DEFAULT_POLL_INTERVAL)
        )
        super().__init__(hass, entry)
        self.link = ModbusLink.from_json(entry.data[CONF_LINK])
        self.unit_id: int = entry.data[CONF_UNIT_ID]
        self._settings: dict[str, DeviceSettings] = {}
        self._missing: dict[str, datetime] = {}
        self._in_doubt_until = dt_util.utcnow()

    # -- who is there -----------------------------------------------------------------

    @override
    async def _async_setup(self) -> None:
        """Find out what gateway answers and what is behind it."""
        self._unit = unit = self._get_unit()
        try:
            system = await async_identify(unit)
        except Mate3Error as err:
            raise self._not_ready(text_of_error(err), error=str(err)) from err
        except ModbusError as err:
            key = explain(err, self.link, connected=unit.connected)
            raise self._not_ready(key, error=str(err)) from err
        if system.id != self.config_entry.unique_id:
            raise self._not_ready(
                "wrong_mate3",
                expected=self.config_entry.unique_id or "",
                found=system.id,
            )
        self.right_device_answered()
        self._use(system)
        self._note_missing()

    def _get_unit(self) -> ModbusUnit:
        try:
            unit = async_get_unit(
                self.hass, self.config_entry, self.link.params, self.unit_id
            )
        except HomeAssistantError as err:
            raise ConfigEntryError(
                translation_domain=DOMAIN,
                translation_key="link_in_use",
                translation_placeholders={"address": self.link.address},
            ) from err
        use_gently(unit)
        self.config_entry.async_on_unload(partial(release, unit))
        return unit

    def _not_ready(self, key: str, **placeholders: str) -> ConfigEntryNotReady:
        return ConfigEntryNotReady(
            translation_domain=DOMAIN,
            translation_key=key,
            translation_placeholders={**self._where, **placeholders},
        )

    @property
    def _where(self) -> dict[str, str]:
        """Where the gateway is, for messages."""
        return {"address": self.link.address, "unit_id": str(self.unit_id)}

    def _use(self, system: System) -> None:
        self.mate3 = Mate3(self._unit, system, spacing=MESSAGE_SPACING)
        devices = self.mate3.devices
        if not self._may_install:
            devices = tuple(map(_without_installer_settings, devices))
        # Each charge controller counts whole kWh, and their sum may take all steps at once.
        self.counters.max_step = 1 + len(system.equipment)
        gateway, *others = devices
        self.set_devices((with_connection(gateway), *others))

    @property
    def _may_install(self) -> bool:
        """Whether the owner allows settings that are for who installed the system."""
        return bool(self.config_entry.options.get(CONF_INSTALLER_SETTINGS, False))

    @property
    @override
    def address(self) -> str:
        return self.link.address

    # -- polling ----------------------------------------------------------------------

    @override
    async def _async_poll(
        self, wanted: set[PointId]
    ) -> dict[str, dict[str, Value | None]]:
        use_gently(self._unit)
        try:
            poll = await self.mate3.async_poll(wanted)
        except MapChangedError as err:
            await self._async_look_again(str(err))
            return {}
        if poll.asleep is not None:
            raise AsleepError(poll.asleep)
        if poll.doubt and dt_util.utcnow() >= self._in_doubt_until:
            # What was read is right all the same.
            self._in_doubt_until = dt_util.utcnow() + DOUBT_LASTS
            with suppress(UpdateFailed, AsleepError):
                await self._async_look_again(poll.doubt)
        self._note_failures(poll.failed)
        self._forget_missing()
        return poll.snapshot

    async def _async_look_again(self, why: str) -> None:
        """Find out what is behind the gateway now, and set up anew if that has changed.

        Raises ``UpdateFailed``.
        """
        LOGGER.info("%s: its map may have changed: %s", self.name, why)
        try:
            system = await async_identify(self._unit)
        except Mate3Error as err:
            raise self._failed(text_of_error(err), error=str(err)) from err
        except ModbusError as err:
            raise AsleepError(str(err)) from err
        known = self.mate3.system
        if system.id != known.id:
            raise self._failed("wrong_mate3", expected=known.id, found=system.id)
        if system == known:
            LOGGER.info("%s: everything is where it was", self.name)
            self.mate3.forget()
            return
        # The drivers of settings know the old places: they go with a reload.
        self.hass.config_entries.async_schedule_reload(self.config_entry.entry_id)

    def _failed(self, key: str, **placeholders: str) -> UpdateFailed:
        return UpdateFailed(
            translation_domain=DOMAIN,
            translation_key=key,
            translation_placeholders={**self._where, **placeholders},
        )

    @override
    async def _async_probe(self) -> bool:
        """Leave it to the poll itself, which begins with one request."""
        return True

    @override
    def _report_silence(self, reason: str) -> None:
        LOGGER.warning(
            "%s does not answer (%s). It is asked again every few minutes",
            self.name,
            reason,
        )

    # -- devices that have gone --------------------------------------------------------

    def _note_missing(self) -> None:
        """Note which registered devices the gateway does not list."""
        now = dt_util.utcnow()
        present = {device.identity.id for device in self.devices}
        self._missing = {
            entry.id: now
            for entry in dr.async_entries_for_config_entry(
                dr.async_get(self.hass), self.config_entry.entry_id
            )
            if not present & {name for _, name in entry.identifiers}
        }

    @callback
    def _forget_missing(self) -> None:
        """Take devices out of Home Assistant that have been missing for long."""
        now = dt_util.utcnow()
        for device, since in list(self._missing.items()):
            if now - since >= GONE_AFTER:
                del self._missing[device]
                registry = dr.async_get(self.hass)
                if registry.async_get(device) is not None:
                    registry.async_remove_device(device)

    # -- settings -----------------------------------------------------------------------

    @override
    def drivers(self) -> Mapping[str, Driver]:
        if not self._settings:
            for device in self.devices:
                driver = DeviceSettings(
                    self._unit,
                    self.mate3,
                    device.identity.id,
                    installer=self._may_install,
                )
                self.config_entry.async_on_unload(driver.stop_watching)
                self._settings[device.identity.id] = driver
        return dict(self._settings)

    @override
    def show_setting(self, key: str) -> None:
        self.show(self.mate3.known_settings())

    # -- registers ------------------------------------------------------------------------

    @override
    async def async_read_register(self, device: str, key: str) -> RegisterReading:
        use_gently(self._unit)
        try:
            reading = await self.mate3.async_read_register(device, key)
        except (ModbusError, MapChangedError) as err:
            raise self.read_failed(key, err) from err
        if reading is None:
            raise self.refusal("unknown_register", register=key)
        return reading

    @override
    async def async_read_registers(
        self, device: str, space: Space, address: int, count: int
    ) -> RegisterReading:
        place = f"{space} {address}-{address + count - 1}"
        if space is not Space.HOLDING or not self.mate3.may_read(address, count):
            raise self.refusal("outside_map", register=place)
        use_gently(self._unit)
        try:
            words = await self.mate3.async_read_words(address, count)
        except ModbusError as err:
            raise self.read_failed(place, err) from err
        return RegisterReading(
            space=space, address=address, words=tuple(words), values={}
        )

    @override
    async def async_dump_registers(self, device: str) -> RegisterDump:
        use_gently(self._unit)
        image, missing = await self.mate3.async_dump()
        mask(image, self.mate3.system.places)
        system = self.mate3.system
        return RegisterDump(
            image=image,
            missing=missing,
            source=f"{MANUFACTURER} {system.model}, addresses and names masked",
            is_flat=True,
        )

    # -- diagnostics -------------------------------------------------------------------

    @override
    async def async_diagnose(self) -> Mapping[str, object]:
        use_gently(self._unit)
        reader, system = self.mate3.reader, self.mate3.system
        image, missing = await self.mate3.async_dump()
        mask(image, system.places)
        return {
            "model": system.model,
            "firmware": system.firmware,
            "nominal_voltage": system.nominal_voltage,
            "devices": [
                {
                    "family": item.family,
                    "port": item.port,
                    "model": item.model,
                    "firmware": item.firmware,
                }
                for item in system.equipment
            ],
            "blocks": [
                {
                    "did": place.did,
                    "address": place.address,
                    "length": place.length,
                    "port": place.port,
                }
                for place in system.places
            ],
            "link": {
                "latency_ms": round(reader.timing.latency * 1000, 1),
                "message_spacing_ms": round(reader.timing.spacing * 1000),
                "reads": [str(read) for read in self.mate3.planned(self.wanted())],
            },
            "missing": dict(missing),
            "registers": image.dump(),
        }


def _without_installer_settings(device: Device) -> Device:
    """Make settings for installers points that can only be read."""
    return replace(
        device,
        points=tuple(
            replace(point, setting=None)
            if point.setting is not None and point.setting.installer
            else point
            for point in device.points
        ),
    )
