"""What may be written to a device of OutBack's, and writing it: the driver of the write gate.

A gateway moves its blocks when a device is added, removed or plugged into another port, so
each write reads the block again first and holds what it says it is, the port, the model and
the firmware against what they were. What the gateway makes of a value it tells in a register
of its own, and in the setting.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from math import inf
import time
from typing import Final, NoReturn

from modbus_connection import ModbusError, ModbusUnit

from ..modbus.image import RegisterImage, Space
from ..modbus.reader import is_refusal, read_words
from ..modbus.register import Register
from ..modbus.writing import async_patiently, does_not_fit, encode_setting, failure_of
from ..points import IN_FLASH, Release, TimeSlotChange, Value, Wanted
from ..values import as_text
from ..write_errors import (
    DeviceError,
    InstallerError,
    InvalidValueError,
    NeverWriteError,
    NotASettingError,
    NotIdentifiedError,
    NotReadableError,
    UnknownSettingError,
    WrongDeviceError,
)
from ..write_gate import Change, GuardedSetting, Reading
from .blocks.gateway import GATEWAY
from .chain import Place
from .errors import BlankError, MapChangedError
from .mate3 import Mate3
from .placed import PlacedRow, exponent_of, spans_of
from .reading import check_header, firmware_of, gateway_id, text_of, words_of
from .system import IDENTITY_WORDS

SETTLE: Final = (0.4, 0.6, 1.0)
"""Seconds before each look at a setting: 0.4, 1 and 2 s after the write, as owners found."""

COMMAND_SETTLE: Final = (0.4, 0.6, 1.0, 3.0, 5.0)
"""The same for a command, which all devices of the HUB have to carry out."""

COMPLAINTS: Final[Mapping[int, str]] = {
    0x0001: "the value is above the device's limit",
    0x0002: "the value is below the device's limit",
    0x0004: "the value is not valid",
    0x0400: "settings are locked on the gateway's display",
}
"""What the bits of the gateway's error register say against the last write."""

ERROR: Final = "error"


COMPLAINS_FOR: Final = 15.0
"""Seconds after a write for which what the gateway says against it is asked for."""


@dataclass(frozen=True, slots=True)
class _Found:
    """The register of a setting with the scale that its block told, and its words."""

    register: Register
    words: tuple[int, ...]
    others: Mapping[str, float]
    """Values of rows of the block that it is held against, by the maker's name."""


class DeviceSettings:
    """Writes the settings of the gateway, or of one device behind it."""

    def __init__(
        self, unit: ModbusUnit, mate3: Mate3, device: str, *, installer: bool
    ) -> None:
        """Write to ``device`` of a gateway on ``unit``.

        ``installer`` allows settings that are for who installed it.
        """
        self._unit = unit
        self._mate3 = mate3
        self._device = device
        self._installer = installer
        self._equipment = next(
            (item for item in mate3.system.equipment if item.id == device), None
        )
        self._breaks = 0
        self._identified_at: int | None = None
        self._wrote_at = -inf
        self.stop_watching = unit.on_connection_lost(self._note_break)
        """Ends what was begun here; to be called when the driver is not used any more."""

    def _note_break(self) -> None:
        self._breaks += 1

    @property
    def breaks(self) -> int:
        """How often the link was lost."""
        return self._breaks

    # -- what may be written ------------------------------------------------------

    def setting(self, key: str) -> GuardedSetting:
        """Return the setting of a key. Raises ``WriteError`` if there is none."""
        placed = self._placed(key)
        row = placed.row
        assert row.setting is not None
        return GuardedSetting(
            point=row.register.point,
            address=self._target(placed),
            wears=f"{self._device} {row.name}",
            note=row.register.note,
            reads_back=row.setting.reads_back,
            settle=SETTLE if row.sends_to is None else COMMAND_SETTLE,
            shows_late=row.sends_to is not None,
        )

    def _placed(self, key: str) -> PlacedRow:
        """Return the row of a setting, or raise why it is none."""
        if (placed := self._mate3.rows[self._device].get(key)) is None:
            raise UnknownSettingError(register=key)
        register = placed.row.register
        if register.never_write:
            raise NeverWriteError(register.never_write, register=key)
        if (setting := placed.row.setting) is None:
            raise NotASettingError(register=key)
        if setting.installer and not self._installer:
            raise InstallerError(register=key)
        return placed

    def _target(self, placed: PlacedRow) -> int:
        """Return the register that is written to."""
        return placed.place.address + (placed.row.sends_to or placed.row.offset) - 1

    # -- who and what ---------------------------------------------------------------

    async def async_check_identity(self) -> None:
        """Ask the gateway who it is, once for each connection.

        What a device is comes with each reading of its block. Raises ``WrongDeviceError``
        or ``DeviceError``.
        """
        if self._identified_at == self._breaks:
            return
        breaks = self._breaks
        system = self._mate3.system
        gateway = system.gateway
        image = RegisterImage()
        await self._async_read_into(image, gateway.address, IDENTITY_WORDS)
        self._check_header(gateway, image)
        if (found := gateway_id(gateway, image)) != system.id:
            if not system.goes_by_serial_number:
                self._raise_wrong(found)
            common = system.common
            await self._async_read_into(
                image, common.address, common.end - common.address
            )
            if (found := text_of(common, "serial_number", image)) != system.id:
                self._raise_wrong(found)
        self._identified_at = breaks

    def _raise_wrong(self, found: str) -> NoReturn:
        """Raise that the gateway calls itself otherwise, or not at all."""
        if not found:
            raise NotIdentifiedError("it tells no hardware address")
        raise WrongDeviceError(self._mate3.system.id, found)

    async def async_read(self, key: str) -> Reading:
        """Read the block of a setting, and make sure that it still is of this device.

        Raises ``WrongDeviceError`` or ``DeviceError``.
        """
        placed = self._placed(key)
        place, row = placed.place, placed.row
        await self.async_check_identity()
        image = RegisterImage()
        complaint = await self._async_complaint(image) if self._has_written else ""
        for address, count in spans_of(placed):
            await self._async_read_into(image, address, count)
        self._check_header(place, image)
        self._check_model(place, image)
        exponent = exponent_of(place, row, image)
        if exponent is None:
            raise DeviceError(f"the scale of {row.key} is not available")
        register = row.at(place.address, exponent)
        words = image.get(register.space, register.address, register.words)
        if words is None:
            raise NotReadableError("it was not answered", register=key)
        self._store(image, placed)
        value = register.decode(words)
        assert row.setting is not None
        return Reading(
            value=value,
            raw=self._raw(placed, value, words),
            persistent=row.setting.persistent,
            around=_Found(register, tuple(words), self._others(placed, image)),
            complaint=complaint,
            is_blank=self._has_written and value is None,
        )

    def _others(self, placed: PlacedRow, image: RegisterImage) -> dict[str, float]:
        """Return the values that a setting is held against."""
        place, row = placed.place, placed.row
        others: dict[str, float] = {}
        for name in filter(None, (row.at_most, row.at_least)):
            assert place.block is not None
            other = place.block.row(name)
            exponent = exponent_of(place, other, image)
            words = words_of(place, name, image)
            if exponent is None or words is None:
                continue
            value = other.at(place.address, exponent).decode(words)
            if isinstance(value, int | float):
                others[name] = value
        return others

    @property
    def _has_written(self) -> bool:
        return time.monotonic() - self._wrote_at < COMPLAINS_FOR

    def _raw(
        self, placed: PlacedRow, value: Value | None, words: list[int]
    ) -> tuple[int, ...]:
        """Return what two readings are compared by: of a command only what it brings about."""
        if placed.row.sends_to is None:
            return tuple(words)
        return () if value is None else encode_setting(placed.row.register, value)

    async def _async_read_into(
        self, image: RegisterImage, address: int, count: int
    ) -> None:
        """Read registers into an image. Raises ``DeviceError``."""
        try:
            words = await read_words(self._unit, Space.HOLDING, address, count)
        except ModbusError as err:
            kind = NotReadableError if is_refusal(err) else DeviceError
            raise kind(str(err), register="") from err
        image.store(Space.HOLDING, address, words, time.monotonic())

    def _check_header(self, place: Place, image: RegisterImage) -> None:
        """Raise if a block is not what it was."""
        try:
            check_header(place, image)
        except BlankError:
            raise DeviceError("the gateway has no data of the device now") from None
        except MapChangedError as err:
            raise WrongDeviceError(self._name, f"something else ({err})") from err

    def _check_model(self, place: Place, image: RegisterImage) -> None:
        """Raise if a device behind the gateway is another one than it was."""
        known = self._equipment
        if known is None or known.config != place:
            return
        found = text_of(place, "model_number", image), firmware_of(place, image)
        if found != (known.model, known.firmware):
            raise WrongDeviceError(
                f"{self._name} with firmware {known.firmware or 'unknown'}",
                f"model {found[0] or 'unknown'} with firmware {found[1] or 'unknown'}",
            )

    @property
    def _name(self) -> str:
        """Name of the device, for messages."""
        return str(self._equipment or f"gateway {self._mate3.system.id}")

    def _store(self, image: RegisterImage, placed: PlacedRow) -> None:
        """Take what was just read over into what is shown."""
        register = placed.register
        if words := image.get(register.space, register.address, register.words):
            self._mate3.image.store(
                register.space, register.address, words, time.monotonic()
            )

    async def _async_complaint(self, image: RegisterImage) -> str:
        """Return what the gateway says against the last write."""
        gateway = self._mate3.system.gateway
        register = GATEWAY.row(ERROR).at(gateway.address)
        if register.end > gateway.end:
            return ""
        await self._async_read_into(image, register.address, register.words)
        bits = (words_of(gateway, ERROR, image) or [0])[0]
        if bits & 0x8000:
            return ""
        return ", ".join(text for mask, text in COMPLAINTS.items() if bits & mask)

    # -- changing -------------------------------------------------------------------

    def change(self, key: str, wanted: Wanted, current: Reading) -> Change:
        """Return the change that gives what is wanted. Raises ``InvalidValueError``."""
        placed = self._placed(key)
        if isinstance(wanted, TimeSlotChange):
            raise does_not_fit(placed.row.register, wanted, "is a time slot")
        if isinstance(wanted, Release):
            raise does_not_fit(placed.row.register, wanted, "is not its value")
        found = current.around
        assert isinstance(found, _Found)
        is_command = placed.row.sends_to is not None
        # Of a command nothing need show yet; but the status must mean something.
        is_there = not found.words[0] & 0x8000 if is_command else True
        if not is_there or (current.value is None and not is_command):
            raise InvalidValueError(
                "not_on_this_device", register=key, raw=" ".join(map(str, found.words))
            )
        raw = encode_setting(found.register, wanted)
        self._check_others(placed, wanted, found)
        return Change(
            key=key,
            value=wanted,
            raw=raw,
            warnings=(IN_FLASH,) if current.persistent else (),
        )

    def _check_others(self, placed: PlacedRow, wanted: Value, found: _Found) -> None:
        """Raise ``InvalidValueError`` if a value does not go with others of its block."""
        row = placed.row
        if not isinstance(wanted, int | float):
            return
        unit = row.register.point.unit
        most, least = found.others.get(row.at_most), found.others.get(row.at_least)
        if most is not None and wanted > most:
            raise InvalidValueError(
                "value_above_other",
                register=row.key,
                value=as_text(wanted, unit),
                other=row.at_most,
                other_value=as_text(most, unit),
            )
        if least is not None and wanted < least:
            raise InvalidValueError(
                "value_below_other",
                register=row.key,
                value=as_text(wanted, unit),
                other=row.at_least,
                other_value=as_text(least, unit),
            )

    def holds(self, change: Change, reading: Reading) -> bool:
        """Return whether a reading shows what a change is for."""
        return reading.raw == change.raw

    def is_unchanged(self, before: Reading, after: Reading) -> bool:
        """Return whether nothing was changed between two readings."""
        return before.raw == after.raw

    def as_whole(self, key: str, wanted: Wanted) -> tuple[str, Wanted]:
        """Return what is wanted: no setting of OutBack's is a part of another."""
        return key, wanted

    async def async_write(self, change: Change) -> bool:
        """Send a change once. Raises ``RefusedError`` or ``DeviceError``.

        The gateway only says that it has understood.
        """
        placed = self._placed(change.key)
        address = self._target(placed)
        self._wrote_at = time.monotonic()
        try:
            if len(change.raw) == 1:
                message = self._unit.write_register(address, change.raw[0])
            else:
                message = self._unit.write_registers(address, list(change.raw))
            await async_patiently(self._unit, message)
        except ModbusError as err:
            raise failure_of(err) from err
        return False
