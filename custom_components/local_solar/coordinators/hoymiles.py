"""Polls one Hoymiles DTU or storage gateway in short sessions."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Final, override

from homeassistant.const import CONF_HOST, CONF_PORT
from homeassistant.core import HomeAssistant
from homeassistant.helpers import device_registry as dr, issue_registry as ir, sun
from homeassistant.helpers.update_coordinator import UpdateFailed
from homeassistant.util import dt as dt_util

from ..const import (
    CONF_INVENTORY,
    CONF_LEAVE_CLOUD_FREE,
    CONF_METER_FACTOR,
    CONF_POLL_INTERVAL,
    DEFAULT_METER_FACTOR,
    DEFAULT_POLL_INTERVAL,
    DOMAIN,
    LOGGER,
)
from ..hoymiles.client import DtuClient
from ..hoymiles.dtu import Dtu
from ..hoymiles.errors import DtuError, EvictedError, WrongDtuError
from ..hoymiles.masking import masked_dataset
from ..hoymiles.probe import stored_inventory
from ..hoymiles.settings import DtuSettings, InverterSettings
from ..hoymiles.snapshot import dtu_id
from ..hoymiles.storage import StorageGateway, StorageInventory
from ..points import Device, PointId, Value
from ..write_gate import Driver
from .base import AsleepError, LocalSolarConfigEntry, LocalSolarCoordinator

FREE_BEFORE: Final = 35
FREE_AFTER: Final = 40
"""Seconds around a report to the maker's cloud in which a DTU is left alone: with a
connection of ours open it does not report, and seemingly not for half a minute after one."""

USUAL_UPLOAD_INTERVAL: Final = 5
"""Minutes between these reports as long as the DTU has not said; every multiple of the 15 of
older firmware is one of 5, too."""

TWILIGHT: Final = timedelta(hours=1)
"""After sunrise and before sunset the panels may not feed a DTU yet, or no longer."""

MISSED_AFTER: Final = timedelta(minutes=30)
"""A DTU that should answer and does not becomes a repair issue after that."""


class HoymilesCoordinator(LocalSolarCoordinator):
    """Polls one DTU and all that is behind it."""

    first_probe = timedelta(seconds=30)

    def __init__(self, hass: HomeAssistant, entry: LocalSolarConfigEntry) -> None:
        """Poll the DTU of ``entry``."""
        self.poll_interval = timedelta(
            seconds=entry.options.get(CONF_POLL_INTERVAL, DEFAULT_POLL_INTERVAL)
        )
        super().__init__(hass, entry)
        inventory = stored_inventory(entry.data[CONF_INVENTORY])
        self.client = DtuClient(
            entry.data[CONF_HOST],
            entry.data[CONF_PORT],
            dt_util.now,
            inventory.serial,
        )
        factor = entry.options.get(CONF_METER_FACTOR, DEFAULT_METER_FACTOR)
        self.dtu: Dtu | StorageGateway = (
            StorageGateway(self.client, inventory)
            if isinstance(inventory, StorageInventory)
            else Dtu(self.client, inventory, meter_factor=factor)
        )
        self._missed_since = dt_util.utcnow()
        self._was_evicted = False
        self.set_devices(self.dtu.devices)

    @property
    @override
    def address(self) -> str:
        return self.client.host

    # -- polling ------------------------------------------------------------------

    @override
    async def _async_poll(
        self, wanted: set[PointId]
    ) -> dict[str, dict[str, Value | None]]:
        try:
            poll = await self.dtu.async_poll(wanted)
        except WrongDtuError as err:
            raise UpdateFailed(
                translation_domain=DOMAIN,
                translation_key="wrong_dtu",
                translation_placeholders={
                    "address": self.address,
                    "expected": err.expected,
                    "found": err.found,
                },
            ) from err
        except EvictedError as err:
            if not self.awake or self._was_evicted or not self.data:
                raise AsleepError(str(err)) from err
            # Most likely the maker's app has connected: it is not to be thrown out.
            LOGGER.debug("%s: %s; keeping its values for one poll", self.name, err)
            self._was_evicted = True
            return self.dtu.snapshot()
        except DtuError as err:
            raise AsleepError(str(err)) from err
        self._was_evicted = False
        self.right_device_answered()
        self._note_failures(poll.failed)
        self._keep_inventory()
        return poll.snapshot

    @override
    async def _async_probe(self) -> bool:
        """Leave it to the poll itself: each connection is one more that disturbs the DTU."""
        return True

    def _keep_inventory(self) -> None:
        """Store what is behind the DTU; set up anew if there is more or less than before."""
        stored = self.dtu.inventory.to_json()
        if stored != self.config_entry.data[CONF_INVENTORY]:
            data = {**self.config_entry.data, CONF_INVENTORY: stored}
            self.hass.config_entries.async_update_entry(self.config_entry, data=data)
        before, devices = self.devices, self.dtu.devices
        if devices == before:
            return
        if not self._listeners:
            self.set_devices(devices)
            return
        LOGGER.info("%s: what is behind it has changed, reloading", self.name)
        self._forget_devices(before, devices)
        self.hass.config_entries.async_schedule_reload(self.config_entry.entry_id)

    def _forget_devices(
        self, before: tuple[Device, ...], now: tuple[Device, ...]
    ) -> None:
        """Take devices that are gone out of Home Assistant."""
        registry = dr.async_get(self.hass)
        still = {device.identity.id for device in now}
        for device in before:
            if device.identity.id in still:
                continue
            entry = registry.async_get_device_by_identifier(
                (DOMAIN, device.identity.id), self.config_entry.entry_id
            )
            if entry is not None:
                registry.async_remove_device(entry.id)

    @override
    def _until_next_poll(self, took: timedelta) -> timedelta:
        return self._past_report(super()._until_next_poll(took))

    def _past_report(self, wait: timedelta) -> timedelta:
        """Return how long to wait, and longer if a report to the cloud is near then."""
        if isinstance(self.dtu, StorageGateway) or not self.config_entry.options.get(
            CONF_LEAVE_CLOUD_FREE, True
        ):
            return wait
        minutes = self.dtu.upload_interval or USUAL_UPLOAD_INTERVAL
        return wait + _until_free((dt_util.utcnow() + wait).timestamp(), 60 * minutes)

    # -- silence ------------------------------------------------------------------

    @property
    def _may_be_silent(self) -> bool:
        """Whether it is night for a DTU that the panels feed, or nearly so."""
        now = dt_util.utcnow()
        return self.dtu.inventory.is_integrated and not (
            sun.is_up(self.hass, now - TWILIGHT)
            and sun.is_up(self.hass, now + TWILIGHT)
        )

    @override
    def _report_silence(self, reason: str) -> None:
        if self._may_be_silent:
            super()._report_silence(reason)
            return
        LOGGER.warning(
            "%s does not answer (%s). It is asked again every few minutes",
            self.name,
            reason,
        )

    @override
    def _fall_asleep(self, reason: str) -> None:
        super()._fall_asleep(reason)
        assert self.update_interval is not None
        self.update_interval = self._past_report(self.update_interval)
        if self._may_be_silent:
            self._miss_nothing()
        elif dt_util.utcnow() - self._missed_since >= MISSED_AFTER:
            ir.async_create_issue(
                self.hass,
                DOMAIN,
                silent_dtu_issue(self.config_entry),
                is_fixable=False,
                severity=ir.IssueSeverity.WARNING,
                translation_key="silent_dtu",
                translation_placeholders={
                    "device": self.name,
                    "address": self.address,
                    "reason": reason,
                },
            )

    @override
    def _wake_up(self, spent: float) -> None:
        super()._wake_up(spent)
        self._miss_nothing()

    def _miss_nothing(self) -> None:
        """Note that all is as it should be."""
        self._missed_since = dt_util.utcnow()
        ir.async_delete_issue(self.hass, DOMAIN, silent_dtu_issue(self.config_entry))

    # -- settings -----------------------------------------------------------------

    @override
    def drivers(self) -> Mapping[str, Driver]:
        if isinstance(self.dtu, StorageGateway):
            return {}
        return {
            dtu_id(self.dtu.inventory): DtuSettings(self.dtu),
            **{
                inverter.id: InverterSettings(self.dtu, inverter)
                for inverter in self.dtu.inventory.inverters
            },
        }

    @override
    def show_setting(self, key: str) -> None:
        self.show(self.dtu.snapshot())

    # -- diagnostics --------------------------------------------------------------

    @override
    async def async_diagnose(self) -> Mapping[str, object]:
        return {
            "encrypted": self.client.is_encrypted,
            "upload_interval": self.dtu.upload_interval,
            "poll_interval": self.poll_interval.total_seconds(),
            "dataset": masked_dataset(self.client.heard),
        }


def _until_free(due: float, period: int) -> timedelta:
    """Return how much later than ``due`` the time around a report is over.

    ``due`` is in seconds of the epoch; reports come at multiples of ``period`` seconds.
    """
    into = due % period
    if into < FREE_AFTER:
        return timedelta(seconds=FREE_AFTER - into)
    if into > period - FREE_BEFORE:
        return timedelta(seconds=period - into + FREE_AFTER)
    return timedelta()


def silent_dtu_issue(entry: LocalSolarConfigEntry) -> str:
    """Return the id of the issue that a DTU does not answer."""
    return f"silent_dtu_{entry.entry_id}"
