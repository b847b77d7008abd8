"""Polls one Growatt inverter over Home Assistant's shared Modbus connection."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import datetime
from functools import partial
from typing import Final, override

from modbus_connection import ModbusError, ModbusUnit

from homeassistant.components.modbus import async_get_temporary_unit, async_get_unit
from homeassistant.core import HomeAssistant
from homeassistant.exceptions import (
    ConfigEntryError,
    ConfigEntryNotReady,
    HomeAssistantError,
)
from homeassistant.helpers.update_coordinator import UpdateFailed
from homeassistant.util import dt as dt_util

from ..const import (
    AUTOMATIC,
    CONF_IDENTIFICATION,
    CONF_LINK,
    CONF_MAX_WORDS,
    CONF_PROFILE,
    CONF_SPACING,
    CONF_UNIT_ID,
    CONF_WORK_MODE,
    DEFAULT_SPACING,
    DOMAIN,
    LOGGER,
)
from ..growatt.energy_history import ROWS, Memory, entries
from ..growatt.identify import (
    Identification,
    IdentificationError,
    NoSerialNumberError,
    identify,
)
from ..growatt.inverter import Inverter, WrongInverterError
from ..growatt.masking import mask_serial_numbers
from ..growatt.profiles.profile import Part
from ..growatt.settings import InverterSettings
from ..modbus.image import Space
from ..modbus.reader import is_silence
from ..modbus.register import Register
from ..modbus_link import REQUEST_TIMEOUT, ModbusLink, explain
from ..points import PointId, Value
from ..registers import RegisterDump, RegisterReading
from ..write_errors import WriteError
from ..write_gate import Driver
from .base import (
    AsleepError,
    LocalSolarConfigEntry,
    LocalSolarCoordinator,
    with_connection,
)
from .gateway_neighbours import is_shared
from .inverter_registers import (
    async_dump_registers,
    async_read_register,
    async_read_registers,
    diagnosed,
)

WORK_MODES: Final[Mapping[str, Part]] = {
    "priority": Part.PRIORITY_MODE,
    "system": Part.SYSTEM_MODE,
}
"""Meanings of the work mode, as the option names them."""


READ_AGAIN: Final = 2
"""So often the remembered energy is read if the counter moves on meanwhile."""


class GrowattCoordinator(LocalSolarCoordinator):
    """Polls one inverter and the battery behind it."""

    inverter: Inverter
    _settings: InverterSettings
    _unit: ModbusUnit

    def __init__(self, hass: HomeAssistant, entry: LocalSolarConfigEntry) -> None:
        """Poll the inverter of ``entry``."""
        super().__init__(hass, entry)
        self.link = ModbusLink.from_json(entry.data[CONF_LINK])
        self.unit_id: int = entry.data[CONF_UNIT_ID]
        self._chosen = self._profile_choice()

    @override
    async def _async_setup(self) -> None:
        """Find out who answers; a sleeping inverter is set up from what is stored."""
        unit = self._get_unit()
        stored = Identification.from_json(self.config_entry.data[CONF_IDENTIFICATION])
        try:
            identified = await identify(unit, profile=self._profile_choice())
        except ModbusError as err:
            if not (is_silence(err) and unit.connected):
                raise self._not_ready(err, connected=unit.connected) from err
            LOGGER.debug("%s is silent, using what was stored of it", self.name)
            identified = stored
            self._fall_asleep(str(err))
        except NoSerialNumberError as err:
            # Some bridges answer zeros for an inverter that sleeps.
            LOGGER.debug("%s: %s, using what was stored of it", self.name, err)
            identified = stored
        if identified.serial_number != stored.serial_number:
            raise ConfigEntryNotReady(
                translation_domain=DOMAIN,
                translation_key="wrong_inverter",
                translation_placeholders=self._wrong(
                    stored.serial_number, identified.serial_number
                ),
            )
        if identified is not stored:
            self.right_device_answered()
        if identified is stored:
            identified = stored.read_with(self._profile_choice())
        else:
            identified = identified.after(stored, self._profile_choice())
        self._store(identified)
        self._use(unit, identified)

    @property
    @override
    def address(self) -> str:
        return self.link.address

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
        self._unit = unit
        self._keep_pace()
        # The link may outlive this entry in others' hands.
        self.config_entry.async_on_unload(partial(unit.require_timeout, None))
        return unit

    def _keep_pace(self) -> None:
        """Tell the shared link what the unit needs: a flow that asks the same unit changes it."""
        if is_shared(self.hass, self.link, self.unit_id):
            # The gateway keeps the pace for all: it finds out which pauses the inverter
            # needs, and its owner says how long others may be kept waiting.
            return
        self._unit.require_timeout(REQUEST_TIMEOUT)
        self._unit.set_message_spacing(self._spacing)

    @property
    def _spacing(self) -> float:
        """Quiet time between messages, in seconds."""
        milliseconds: int = self.config_entry.options.get(CONF_SPACING, DEFAULT_SPACING)
        return milliseconds / 1000

    def _profile_choice(self) -> str | None:
        chosen: str = self.config_entry.options.get(CONF_PROFILE, AUTOMATIC)
        return None if chosen == AUTOMATIC else chosen

    def _not_ready(self, err: ModbusError, *, connected: bool) -> ConfigEntryNotReady:
        return ConfigEntryNotReady(
            translation_domain=DOMAIN,
            translation_key=explain(err, self.link, connected=connected),
            translation_placeholders={**self._where, "error": str(err)},
        )

    def _store(self, identified: Identification) -> None:
        """Keep what was found for the next start at night."""
        data = {
            **self.config_entry.data,
            CONF_IDENTIFICATION: identified.to_json(),
        }
        self.hass.config_entries.async_update_entry(self.config_entry, data=data)

    def _use(self, unit: ModbusUnit, identified: Identification) -> None:
        self.inverter = Inverter(
            unit,
            identified,
            spacing=self._spacing,
            max_words=self.config_entry.options.get(CONF_MAX_WORDS),
            baud=self.link.line_baud,
            work_mode=WORK_MODES.get(self.config_entry.options.get(CONF_WORK_MODE, "")),
        )
        self.expect_power_of(identified.rated_power)
        self._settings = InverterSettings(
            unit, self.inverter, lambda: dt_util.now().replace(tzinfo=None)
        )
        self.config_entry.async_on_unload(self._settings.stop_watching)
        inverter, *others = self.inverter.devices
        self.set_devices((with_connection(inverter), *others))

    @asynccontextmanager
    @override
    async def async_outside_setup(self) -> AsyncIterator[None]:
        params = self.link.params
        async with async_get_temporary_unit(self.hass, params, self.unit_id) as unit:
            self._unit = unit
            self._keep_pace()
            stored = self.config_entry.data[CONF_IDENTIFICATION]
            self._use(unit, Identification.from_json(stored))
            try:
                yield
            finally:
                self._settings.stop_watching()
                unit.require_timeout(None)

    @override
    async def _async_poll(
        self, wanted: set[PointId]
    ) -> dict[str, dict[str, Value | None]]:
        self._keep_pace()
        poll = await self.inverter.async_poll(wanted)
        if poll.asleep is not None:
            raise AsleepError(poll.asleep)
        self._note_failures(poll.failed)
        for device, key in poll.unread:
            # The guard must count readings, not polls.
            poll.snapshot[device].pop(key, None)
        return poll.snapshot

    @override
    async def _async_probe(self) -> bool:
        self._keep_pace()
        try:
            answers = await self.inverter.async_probe()
        except WrongInverterError as err:
            raise UpdateFailed(
                translation_domain=DOMAIN,
                translation_key="wrong_inverter",
                translation_placeholders=self._wrong(err.expected, err.found),
            ) from err
        if answers:
            self.right_device_answered()
            await self._look_for_new_equipment()
        return answers

    async def _look_for_new_equipment(self) -> None:
        """Reload with what was added: an installer switches the inverter off for that."""
        known = self.inverter.identified
        try:
            found = await identify(self._unit, profile=self._profile_choice())
        except ModbusError, IdentificationError:
            return
        merged = found.after(known, self._profile_choice())
        if merged.differs_from(known):
            LOGGER.info("%s has new equipment, reloading", self.name)
            self._store(merged)
            self.hass.config_entries.async_schedule_reload(self.config_entry.entry_id)

    @override
    def drivers(self) -> Mapping[str, Driver]:
        return dict.fromkeys(
            (device.identity.id for device in self.devices), self._settings
        )

    @property
    @override
    def is_to_change(self) -> bool:
        return self._profile_choice() != self._chosen

    @override
    def rows_of(self, key: str) -> Sequence[Register]:
        with suppress(WriteError):
            return self._settings.rows(key)
        return ()

    @override
    def show_setting(self, key: str) -> None:
        with suppress(WriteError):
            self.show(self.inverter.values_at(self._settings.rows(key)))

    @override
    async def async_read_register(self, device: str, key: str) -> RegisterReading:
        self._keep_pace()
        return await async_read_register(self, self.inverter, key)

    @override
    async def async_read_registers(
        self, device: str, space: Space, address: int, count: int
    ) -> RegisterReading:
        self._keep_pace()
        return await async_read_registers(self, self.inverter, space, address, count)

    @property
    def remembers_energy(self) -> bool:
        """Whether the inverter's map has lists of past energy."""
        return None not in map(self.inverter.register, ROWS.values())

    async def async_read_energy_memory(self) -> Memory:
        """Read what the inverter remembers of its output energy, as of one moment.

        Raises ``HomeAssistantError`` if it does not give it.
        """
        memory = await self._read_energy_memory()
        for _ in range(READ_AGAIN):
            if memory.total == await self._read_tenths("energy_total"):
                break
            memory = await self._read_energy_memory()
        return memory

    async def _read_energy_memory(self) -> Memory:
        total = await self._read_tenths("energy_total")
        lists = {
            span: entries((await self._read(key)).words) for span, key in ROWS.items()
        }
        clock = (await self._read("clock")).values["clock"]
        if not isinstance(clock, datetime):
            raise self.read_failed("clock", ValueError("no date"))
        today = await self._read_tenths("energy_today")
        return Memory(clock=clock, today=today, total=total, lists=lists)

    async def _read(self, key: str) -> RegisterReading:
        self._keep_pace()
        return await async_read_register(self, self.inverter, key)

    async def _read_tenths(self, key: str) -> int:
        """Read a counter, in 0.1 kWh."""
        value = (await self._read(key)).values[key]
        assert isinstance(value, int | float), "a counter is a number without options"
        return round(10 * value)

    @override
    async def async_dump_registers(self, device: str) -> RegisterDump:
        self._keep_pace()
        return await async_dump_registers(self.inverter)

    @override
    async def async_diagnose(self) -> Mapping[str, object]:
        identified, reader = self.inverter.identified, self.inverter.reader
        self._keep_pace()
        image, missing = await self.inverter.async_dump()
        mask_serial_numbers(image, self.inverter.profile)
        return {
            "identification": diagnosed(identified),
            "link": {
                "latency_ms": round(reader.timing.latency * 1000, 1),
                "message_spacing_ms": round(reader.timing.spacing * 1000),
                "line_baud": reader.timing.baud,
                "reads": [
                    str(read)
                    for read in reader.plan(self.inverter.wanted_rows(self.wanted()))
                ],
            },
            "missing": dict(missing),
            "registers": image.dump(),
        }

    def _wrong(self, expected: str, found: str) -> dict[str, str]:
        return {**self._where, "expected": expected, "found": found}

    @property
    def _where(self) -> dict[str, str]:
        """Where the inverter is, for messages."""
        return {"address": self.link.address, "unit_id": str(self.unit_id)}
