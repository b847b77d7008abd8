"""Shows what Growatt dataloggers report to a listener of ours."""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta
import time
from typing import Final, override

from homeassistant.const import CONF_HOST, CONF_PORT, EVENT_HOMEASSISTANT_STOP
from homeassistant.core import Event, HomeAssistant, callback
from homeassistant.exceptions import ConfigEntryNotReady
from homeassistant.helpers.event import async_call_later, async_track_time_change
from homeassistant.util import dt as dt_util

from ..buffered_records import BufferedRecords, utc_time
from ..const import (
    CONF_ALLOWED,
    CONF_CLOUD_HOST,
    CONF_CLOUD_PORT,
    CONF_CLOUD_SETTINGS,
    CONF_CLOUD_TAKEOVER,
    CONF_INVENTORY,
    CONF_KIND,
    CONF_MODE,
    CONF_TAKE_DAMAGED,
    DOMAIN,
    KIND_DATALOGGER,
    KIND_GROWATT,
    LOGGER,
    MODE_WITH_CLOUD,
)
from ..growatt.datalogger.commands import GoneError, NoAnswerError
from ..growatt.datalogger.devices import (
    fleet_devices,
    logger_id,
    logger_values,
    occurrence,
    server_device,
    server_values,
)
from ..growatt.datalogger.fleet import (
    Fleet,
    Logger,
    Reported,
    ReportedInverter,
    ReportedMeter,
)
from ..growatt.datalogger.packets import Type
from ..growatt.datalogger.parameters import SECRET
from ..growatt.datalogger.points import PARAMETERS
from ..growatt.datalogger.policy import Policy, Verdict
from ..growatt.datalogger.records import Parameter, read_parameters
from ..growatt.datalogger.relay import Cloud
from ..growatt.datalogger.server import Server
from ..growatt.datalogger.settings import SETTINGS, LoggerSettings, value_of
from ..growatt.datalogger.stored import inverters_in, restore, to_json
from ..growatt.inverter import Inverter
from ..growatt.masking import mask_text
from ..growatt.settings import InverterSettings
from ..guarded import why_not
from ..modbus.image import Space
from ..points import CONNECTED, Device, Occurrence, PointId, Value
from ..registers import ParameterReading, RegisterDump, RegisterReading
from ..write_errors import WriteError
from ..write_gate import Driver
from .base import LocalSolarConfigEntry, LocalSolarCoordinator
from .datalogger_diagnosis import diagnosed_fleet
from .datalogger_issues import report_encryption, report_loop
from .inverter_registers import (
    async_dump_registers,
    async_read_register,
    async_read_registers,
)
from .record_event import fire_record
from .settings_rounds import SettingsRounds

CLOCK_HOUR: Final = 4
"""At which loggers' clocks are set each day: any change to or from summer time is over."""

MOST_OFFSET: Final = 600.0
"""Seconds by which a logger's clock may be off for its buffered records to be believed."""

SETTINGS_AFTER: Final = 3.0
"""Seconds after an announcement at which the settings are read that it does not tell."""


class DataloggerCoordinator(LocalSolarCoordinator):
    """Listens to loggers. There is nothing to poll but what they have to be asked for."""

    poll_interval = timedelta(seconds=30)

    def __init__(self, hass: HomeAssistant, entry: LocalSolarConfigEntry) -> None:
        """Listen as ``entry`` says."""
        super().__init__(hass, entry)
        self.server_id = f"datalogger_server_{entry.entry_id}"
        self.fleet = Fleet(
            self,
            dt_util.utcnow,
            _local_time,
            lambda work: entry.async_create_background_task(
                hass, work, f"{entry.title}: what an inverter is"
            ),
        )
        self.server = Server(
            self.fleet,
            _local_time,
            cloud=_cloud(entry) if self.is_relayed else None,
            allowed=frozenset(entry.data[CONF_ALLOWED]),
            takes_damaged=entry.options.get(CONF_TAKE_DAMAGED, False),
        )
        self.buffered = BufferedRecords(hass, entry)
        self._values: dict[str, dict[str, Value | None]] = {}
        """The last values of each device."""
        self._commands: dict[str, Occurrence] = {}
        self._drivers: dict[str, Driver] = {}
        self._settings: dict[str, InverterSettings] = {}
        self._rounds = SettingsRounds(
            lambda work: entry.async_create_background_task(
                hass, work, f"{entry.title}: settings"
            ),
            self._report_settings,
        )
        restore(self.fleet, entry.data[CONF_INVENTORY])
        for inverter in self.fleet.inverters.values():
            inverter.is_elsewhere = self.is_elsewhere(inverter.serial)
            self._expect(inverter)
        self.set_devices(self._all_devices())

    @property
    def is_relayed(self) -> bool:
        """Whether reports go on to the maker's server."""
        return bool(self.config_entry.data[CONF_MODE] == MODE_WITH_CLOUD)

    @property
    @override
    def address(self) -> str:
        host, port = (
            self.config_entry.data[CONF_HOST],
            self.config_entry.data[CONF_PORT],
        )
        return f"{host}:{port}"

    @override
    async def _async_setup(self) -> None:
        """Listen, until the entry is unloaded."""
        entry = self.config_entry
        report_loop(self.hass, entry, loops=False)
        try:
            await self.server.start(entry.data[CONF_HOST], entry.data[CONF_PORT])
        except OSError as err:
            raise ConfigEntryNotReady(
                translation_domain=DOMAIN,
                translation_key="cannot_listen",
                translation_placeholders={
                    "address": self.address,
                    "error": why_not(err),
                },
            ) from err
        entry.async_on_unload(self._async_stop)
        # What is not acknowledged any more will be sent again.
        entry.async_on_unload(
            self.hass.bus.async_listen_once(
                EVENT_HOMEASSISTANT_STOP, self._async_shut_down
            )
        )
        entry.async_on_unload(
            async_track_time_change(
                self.hass, self._async_set_clocks, hour=CLOCK_HOUR, minute=0, second=0
            )
        )

    async def _async_shut_down(self, _: Event) -> None:
        """Stop listening, and show nothing any more before Home Assistant ends.

        When it starts again it takes what was shown last for what was true in between, and
        there would be no place for what loggers keep meanwhile.
        """
        await self._async_stop()
        self.last_update_success = False
        self.async_update_listeners()

    async def _async_stop(self) -> None:
        await self.server.stop()
        for settings in self._settings.values():
            settings.stop_watching()
        await self.buffered.async_flush(last=True)

    async def _async_set_clocks(self, _: datetime) -> None:
        """Set the clocks of all loggers that we answer; they drift by minutes."""
        for session in list(self.server.sessions.values()):
            if session.answers_itself and not session.is_encrypted:
                with suppress(NoAnswerError, GoneError):
                    await session.async_set_clock()

    # -- devices ------------------------------------------------------------------

    def _all_devices(self) -> tuple[Device, ...]:
        return (
            server_device(self.server_id),
            *fleet_devices(self.fleet, self.server_id, is_relayed=self.is_relayed),
        )

    @callback
    def _look_at_devices(self) -> None:
        """Show devices that have appeared; set up anew if one is not what it was."""
        before = {device.identity.id: device for device in self.devices}
        now = self._all_devices()
        if any(
            device.points != before[device.identity.id].points
            for device in now
            if device.identity.id in before
        ):
            LOGGER.info("%s: an inverter is not what it was, reloading", self.name)
            self.hass.config_entries.async_schedule_reload(self.config_entry.entry_id)
        elif now != self.devices:
            self.show_devices(now)
        self._save()

    @callback
    def _save(self) -> None:
        """Keep what is known for the next start."""
        data = {**self.config_entry.data, CONF_INVENTORY: to_json(self.fleet)}
        self.hass.config_entries.async_update_entry(self.config_entry, data=data)

    def is_elsewhere(self, serial: str) -> bool:
        """Return whether another entry has an inverter: over Modbus there is more of it."""
        for entry in self.hass.config_entries.async_entries(
            DOMAIN, include_disabled=False
        ):
            if entry.entry_id == self.config_entry.entry_id:
                continue
            kind = entry.data.get(CONF_KIND)
            if kind == KIND_GROWATT and entry.unique_id == serial:
                return True
            if kind == KIND_DATALOGGER and serial in inverters_in(
                entry.data[CONF_INVENTORY]
            ):
                return True
        return False

    @override
    def answers(self, device: str) -> bool:
        return self._values.get(device, {}).get(CONNECTED.key) is True

    @callback
    @override
    def forget(self, device: str) -> bool:
        """Forget what has not reported for long; it comes back if it reports again."""
        fleet = self.fleet
        if (logger := self._logger_of(device)) is not None:
            if logger.session is not None:
                return False
            del fleet.loggers[logger.serial]
            self._commands.pop(logger.serial, None)
        else:
            inverter, meter = fleet.inverters.get(device), fleet.meters.get(device)
            if inverter is not None and not self._is_silent(inverter):
                return False
            if inverter is None and meter is None:
                return False
            fleet.inverters.pop(device, None)
            fleet.meters.pop(device, None)
        self._forget_drivers(device)
        self.set_devices(self._all_devices())
        self._save()
        return True

    def _forget_drivers(self, device: str) -> None:
        """Forget what writes to a device: if it comes back, it is reached anew."""
        self._rounds.forget(device)
        if (settings := self._settings.pop(device, None)) is not None:
            settings.stop_watching()
        self._drivers = {
            other: driver
            for other, driver in self._drivers.items()
            if other != device and driver is not settings
        }

    # -- what the fleet reports ---------------------------------------------------

    @callback
    def logger_changed(self, logger: Logger) -> None:
        """Show a logger that has appeared, come, gone, or told something of itself."""
        self._look_at_devices()
        self._show_logger(logger)

    @callback
    def _show_logger(self, logger: Logger) -> None:
        self._report(
            {
                self.server_id: server_values(self.server),
                logger_id(logger.serial): logger_values(logger, self._commands),
            }
        )

    @callback
    def inverter_identified(self, inverter: ReportedInverter) -> None:
        """Show an inverter that has become known."""
        self._expect(inverter)
        self._look_at_devices()

    def _expect(self, inverter: ReportedInverter) -> None:
        if inverter.inverter is not None:
            self.expect_power_of(inverter.inverter.identified.rated_power)

    @callback
    def inverter_reported(self, reported: Reported) -> None:
        """Show the values of a record, or keep those of an earlier time."""
        fire_record(self.hass, self.config_entry, reported)
        if reported.is_buffered:
            self._keep_for_statistics(reported)
            return
        snapshot = reported.poll.snapshot
        serial = reported.inverter.serial
        begins = reported.record.type == Type.ANNOUNCE
        if reported.record.type == Type.LIVE:
            # What settings were answered before could not be shown.
            begins = not self.answers(serial)
            snapshot.setdefault(serial, {})[CONNECTED.key] = True
        self._report(snapshot)
        self._show_logger(reported.logger)
        if begins:
            # By then the entities are there that tell which settings are wanted.
            self._ask_later(reported.inverter)

    def _keep_for_statistics(self, reported: Reported) -> None:
        """Hand over what is of an earlier time, unless nobody knows of which."""
        known = reported.inverter.inverter
        assert known is not None
        offset = reported.logger.clock_offset
        is_right = offset is None or abs(offset) <= MOST_OFFSET
        at = utc_time(reported.record.at) if is_right else None
        for device in known.devices:
            values = reported.poll.snapshot.get(device.identity.id, {})
            if values:
                self.buffered.take(device, values, at)

    def _ask_later(self, inverter: ReportedInverter) -> None:
        @callback
        def ask(_: datetime) -> None:
            self._rounds.ask(inverter, self.wanted())

        self.config_entry.async_on_unload(
            async_call_later(self.hass, SETTINGS_AFTER, ask)
        )

    @callback
    def meter_appeared(self, meter: ReportedMeter) -> None:
        """Show a meter that has reported for the first time."""
        self._look_at_devices()

    @callback
    def meter_reported(
        self, meter: ReportedMeter, values: Mapping[str, Value | None]
    ) -> None:
        """Show the values of a meter."""
        self._report({meter.id: dict(values)})

    @callback
    def server_commanded(self, logger: Logger, verdict: Verdict) -> None:
        """Show what the maker's server wants of a logger."""
        before = self._commands.get(logger.serial)
        number = before.number + 1 if before else 1
        self._commands[logger.serial] = occurrence(verdict, number)
        LOGGER.info(
            "%s: Growatt's server wants logger %s to %s %s: %s",
            self.name,
            mask_text(logger.serial),
            verdict.name,
            "" if verdict.first is None else verdict.first,
            "let through" if verdict.passes else "blocked",
        )
        self._show_logger(logger)

    @callback
    def _report(self, snapshot: dict[str, dict[str, Value | None]]) -> None:
        for device, values in snapshot.items():
            self._values.setdefault(device, {}).update(values)
        self.take_report(snapshot)

    @callback
    def logger_encrypts(self, name: str, *, encrypts: bool) -> None:
        """Say that a logger cannot be understood, or can be again."""
        report_encryption(self.hass, self.config_entry, name, encrypts=encrypts)

    # -- polling ------------------------------------------------------------------

    @override
    async def _async_poll(
        self, wanted: set[PointId]
    ) -> dict[str, dict[str, Value | None]]:
        """Return the last values of what is not silent, and ask for settings that are due."""
        if self.server.statistics.loops:
            report_loop(self.hass, self.config_entry, loops=True)
        await self.buffered.async_flush()
        for inverter in self.fleet.inverters.values():
            self._rounds.ask(inverter, wanted)
        snapshot: dict[str, dict[str, Value | None]] = {
            self.server_id: server_values(self.server)
        }
        for logger in self.fleet.loggers.values():
            snapshot[logger_id(logger.serial)] = logger_values(logger, self._commands)
        for inverter in self.fleet.inverters.values():
            self._add_values(snapshot, inverter)
        for meter in self.fleet.meters.values():
            if not self._is_over(meter.live_at, meter.logger):
                snapshot[meter.id] = dict(self._values.get(meter.id, {}))
        self._values = {device: dict(values) for device, values in snapshot.items()}
        # The guard counts readings, and these are none.
        for (device, key), _ in self._counters:
            snapshot.get(device, {}).pop(key, None)
        return snapshot

    def _add_values(
        self,
        snapshot: dict[str, dict[str, Value | None]],
        inverter: ReportedInverter,
    ) -> None:
        if inverter.inverter is None or inverter.is_elsewhere:
            return
        silent = self._is_silent(inverter)
        if not silent:
            for device in inverter.inverter.devices:
                known = self._values.get(device.identity.id, {})
                snapshot[device.identity.id] = dict(known)
        snapshot.setdefault(inverter.serial, {})[CONNECTED.key] = not silent

    def _is_silent(self, inverter: ReportedInverter) -> bool:
        return self._is_over(inverter.live_at, inverter.logger)

    def _is_over(self, live_at: float | None, logger_serial: str) -> bool:
        """Return whether a report is missing for longer than a logger may take."""
        logger = self.fleet.loggers.get(logger_serial)
        patience = logger.patience if logger is not None else 0.0
        return live_at is None or time.monotonic() - live_at > patience

    @override
    async def _async_probe(self) -> bool:
        return True

    # -- settings -----------------------------------------------------------------

    @callback
    def _report_settings(
        self, inverter: ReportedInverter, snapshot: dict[str, dict[str, Value | None]]
    ) -> None:
        """Show settings that were answered, unless the inverter has fallen silent since."""
        if not self._is_silent(inverter):
            self._report(snapshot)

    @override
    def drivers(self) -> Mapping[str, Driver]:
        for logger in self.fleet.loggers.values():
            self._drivers.setdefault(
                logger_id(logger.serial), LoggerSettings(logger, _local_time)
            )
        for inverter in self.fleet.inverters.values():
            known = inverter.inverter
            if known is None or inverter.is_elsewhere:
                continue
            if (settings := self._settings.get(known.id)) is None:
                settings = InverterSettings(inverter.unit, known, _local_time)
                self._settings[known.id] = settings
            for device in known.devices:
                self._drivers[device.identity.id] = settings
        return self._drivers

    @override
    def show_setting(self, key: str) -> None:
        for serial, settings in self._settings.items():
            known = self.fleet.inverters[serial].inverter
            if known is not None:
                with suppress(WriteError):
                    self.show(known.values_at(settings.rows(key)))

    # -- registers ----------------------------------------------------------------

    def _inverter_of(self, device: str) -> Inverter:
        """Return the inverter of a device. Raises ``ServiceValidationError``."""
        for inverter in self.fleet.inverters.values():
            known = inverter.inverter
            if known is not None and device in (known.id, known.battery_id):
                return known
        raise self.refusal("no_registers")

    @override
    async def async_read_register(
        self, device: str, key: str
    ) -> RegisterReading | ParameterReading:
        if self._logger_of(device) is not None:
            if (point := SETTINGS.get(key)) is None or key not in PARAMETERS:
                raise self.refusal("unknown_register", register=key)
            reading = await self.async_read_parameter(device, PARAMETERS[key])
            value = value_of(point, reading.text)
            return replace(reading, point=point, value=value)
        return await async_read_register(self, self._inverter_of(device), key)

    @override
    async def async_read_registers(
        self, device: str, space: Space, address: int, count: int
    ) -> RegisterReading:
        inverter = self._inverter_of(device)
        return await async_read_registers(self, inverter, space, address, count)

    @override
    async def async_dump_registers(self, device: str) -> RegisterDump:
        return await async_dump_registers(self._inverter_of(device))

    def _logger_of(self, device: str) -> Logger | None:
        for logger in self.fleet.loggers.values():
            if logger_id(logger.serial) == device:
                return logger
        return None

    @override
    async def async_read_parameter(self, device: str, number: int) -> ParameterReading:
        if (logger := self._logger_of(device)) is None:
            raise self.refusal("no_parameters")
        if number in SECRET:
            raise self.refusal("secret_parameter", register=str(number))
        place = f"parameter {number}"
        if logger.session is None:
            raise self.read_failed(place, GoneError("it is not connected"))
        try:
            answer = await logger.session.commands.run(read_parameters(number, number))
        except NoAnswerError as err:
            raise self.read_failed(place, err) from err
        except GoneError as err:
            raise self.read_failed(place, GoneError("it hung up")) from err
        if not isinstance(answer, Parameter):
            raise self.read_failed(place, ValueError("another answer came"))
        return ParameterReading(number=number, text=answer.text)

    # -- diagnostics --------------------------------------------------------------

    @override
    async def async_diagnose(self) -> Mapping[str, object]:
        return {
            **diagnosed_fleet(self.server, self.fleet, self._is_silent),
            "buffered": self.buffered.statistics,
        }


def _local_time() -> datetime:
    """Return the time of this place, as clocks show it."""
    return dt_util.now().replace(tzinfo=None)


def _cloud(entry: LocalSolarConfigEntry) -> Cloud:
    options = entry.options
    return Cloud(
        host=entry.data[CONF_CLOUD_HOST],
        port=entry.data[CONF_CLOUD_PORT],
        policy=Policy(
            settings=options.get(CONF_CLOUD_SETTINGS, False),
            takeover=options.get(CONF_CLOUD_TAKEOVER, False),
        ),
    )
