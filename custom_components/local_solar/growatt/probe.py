"""The questions that tell what inverter answers, and the answers so far.

Every answer that counted is kept as evidence. What must not be asked of which model is
the business of ``identify.py``, which puts the questions in an order.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from modbus_connection import (
    ModbusConnectionError,
    ModbusError,
    ModbusProtocolError,
    ModbusUnit,
)

from ..modbus.codecs import Text
from ..modbus.image import RegisterImage, Space
from ..modbus.reader import is_refusal, read_words
from .models import (
    DEVICE_TYPE_CODES,
    FIRMWARE_PREFIXES,
    OFF_GRID_CODES,
    SERIAL_PREFIXES,
    THREE_PHASE,
    V3_CODES,
    Certainty,
    Family,
    Model,
)

DEVICE_TYPE_CODE: Final = 43
"""Holding register of the type code: the one register every model answers at the same place."""

type Place = tuple[int, int]
"""Address and words."""

_NAMEPLATE: Final[Place] = (6, 39)
"""Holding 6-44: rated power, firmware, serial number, maker, type code, trackers and phases.
Inside the first group of every model, also of those with groups of 45."""

_NAMEPLATE_PIECES: Final[tuple[Place, ...]] = ((43, 2), (23, 5), (9, 6), (6, 2))
"""The same for bridges that only pass short answers."""

SERIAL_3000: Final[Place] = (3001, 15)
SERIAL_LONG: Final[Place] = (209, 15)
SERIAL_SHORT: Final[Place] = (23, 5)

_SERIAL_AND_BATTERY: Final[Place] = (3001, 105)
"""Holding 3001-3105: both name plates in one answer. Growatt's loggers ask for as much."""

_BATTERY_PLATE: Final[Place] = (3087, 18)
"""Holding 3087-3104: serial number, codes and versions of battery and converter.
Inside one group of every width: the owner may have a V3 inverter read as a hybrid."""

_BATTERY_SERIAL: Final[Place] = (3087, 8)

_STORAGE_PLATE: Final[Place] = (1125, 125)
"""Holding 1125-1249: serial numbers and firmware of the battery of a storage inverter."""

_STORAGE_SERIAL: Final[Place] = (1125, 8)

_ACCESSORIES: Final[Place] = (180, 6)
"""Holding 180-185: meter, optimizers, monitored strings, battery modules."""

_ACCESSORIES_AND_SERIAL: Final[Place] = (180, 44)
"""The same, and the long serial number that ends at 223."""

_OLD_PLATE: Final[Place] = (59, 21)
"""Holding 59-79 of the older protocols: maker, firmware, protocol version, an off-grid
model's rated power."""

_OLD_MAKER: Final[Place] = (59, 8)
_OLD_RATED_POWER: Final[Place] = (78, 2)

_BATTERY_STATE: Final[Mapping[Family, tuple[Place, int, int]]] = {
    Family.SPH: ((1013, 2), 1013, 1014),
    Family.SPH_TL3: ((1013, 2), 1013, 1014),
    Family.SPA: ((1013, 2), 1013, 1014),
    Family.SPF: ((17, 2), 17, 18),
    Family.WIT: ((8093, 3), 8095, 8093),
}
"""Input registers that tell whether there is a battery: what to read, and where in it
are its voltage and its state of charge."""

_LEAST_VOLTAGE: Final = 100
"""What a battery's voltage register holds at least: 10 V, or 1 V where it counts finer."""

STORAGE: Final = frozenset({Family.SPH, Family.SPH_TL3, Family.SPA})

VPP_VERSION: Final = 30099
_VPP_VERSIONS: Final = range(200, 300)
"""What the holding register of the VPP protocol's version holds where there is one."""

FULL: Final = 100
"""Percent. A state of charge beyond it means "not available"."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """One answer and what it was taken to say."""

    source: str
    answer: str
    meaning: str


class Probe:
    """Asks one unit."""

    def __init__(self, unit: ModbusUnit) -> None:
        """Ask ``unit``, of which nothing is known yet."""
        self._unit = unit
        self._image = RegisterImage()
        self._short_answers = False
        self._refused: set[Place] = set()
        self.names_size = False
        """Whether the short serial number has a prefix that is known."""
        self.evidence: list[Evidence] = []

    def note(self, source: str, answer: object, meaning: str) -> None:
        """Keep an answer that counted."""
        self.evidence.append(Evidence(source, str(answer), meaning))

    def seen(self) -> str:
        """Return what was answered so far, for an error message."""
        return "; ".join(f"{item.source}: {item.answer}" for item in self.evidence)

    def word(self, address: int, space: Space = Space.HOLDING) -> int | None:
        """Return a word that was read."""
        words = self._image.get(space, address, 1)
        return words[0] if words else None

    def text(self, address: int, count: int) -> str | None:
        """Return a text that was read from the holding registers."""
        words = self._image.get(Space.HOLDING, address, count)
        return Text(count).decode(words) if words else None

    async def _read(self, space: Space, address: int, count: int) -> None:
        """Read words; a garbled answer is asked for once more."""
        try:
            words = await read_words(self._unit, space, address, count)
        except ModbusProtocolError:
            words = await read_words(self._unit, space, address, count)
        self._image.store(space, address, words, 0.0)

    async def try_to_read(
        self, space: Space, address: int, count: int, *, may_get_lost: bool = True
    ) -> bool:
        """Read what not every model has, unless it is known; return whether it is now.

        A link that is down raises ``ModbusConnectionError``; a lost answer raises
        ``ModbusError`` unless it may get lost.
        """
        if self._image.get(space, address, count) is not None:
            return True
        try:
            await self._read(space, address, count)
        except ModbusConnectionError:
            raise
        except ModbusError as err:
            if not (may_get_lost or is_refusal(err)):
                raise
            self.note(f"{space} {address}-{address + count - 1}", err, "not answered")
            if is_refusal(err):
                self._refused.add((address, count))
            return False
        return True

    # -- who it is ----------------------------------------------------------------

    async def nameplate(self) -> None:
        """Read what every model has at the same place. Raises ``ModbusError``."""
        try:
            await self._read(Space.HOLDING, *_NAMEPLATE)
        except ModbusConnectionError:
            raise
        except ModbusError as err:
            # Some bridges say nothing at all instead of a long answer.
            self.note("holding 6-44", err, "asking in small pieces")
            self._short_answers = True
            for address, count in _NAMEPLATE_PIECES:
                await self._read(Space.HOLDING, address, count)

    async def named_model(self) -> tuple[Model, Certainty] | None:
        """Find the model by its names: type code, then serial number and firmware."""
        code = self.word(DEVICE_TYPE_CODE) or 0
        by_code = _of_code(code)
        by_serial = _longest_prefix(SERIAL_PREFIXES, self.text(*SERIAL_SHORT))
        self.names_size = by_serial is not None
        by_firmware = _longest_prefix(FIRMWARE_PREFIXES, self.text(9, 3))
        self.note(
            "type code (holding 43)", code, by_code.family if by_code else "unknown"
        )
        self.note(
            "serial number (holding 23-27)",
            self.text(*SERIAL_SHORT) or "",
            by_serial.family if by_serial else "unknown prefix",
        )
        self.note(
            "firmware (holding 9-11)",
            self.text(9, 3) or "",
            by_firmware.family if by_firmware else "unknown prefix",
        )
        if by_code is not None:
            return refined(by_code, self.text(*SERIAL_SHORT)), Certainty.CODED
        if await self.try_to_read(Space.INPUT, 44, 1):
            code = self.word(44, Space.INPUT) or 0
            if (off_grid := _off_grid(code)) is not None:
                self.note("type code (input 44)", code, off_grid.family)
                return off_grid, Certainty.CODED
        if by_serial is not None:
            return by_serial, Certainty.NAMED
        if by_firmware is not None:
            return by_firmware, Certainty.GUESSED
        return None

    async def closest_family(self) -> Family:
        """Tell the family of an unknown model from the blocks it answers."""
        family = await self._family_by_blocks()
        self.note("answered blocks", family, "closest family")
        return family

    async def _family_by_blocks(self) -> Family:
        three_phase = (self.word(44) or 0) & 0xFF == 3
        if await self._has_name_plates():
            await self.try_to_read(Space.INPUT, 3165, 7)
            if not self._is_charged(3171):
                return Family.MIN_TL_X
            return Family.MOD_TL3_XH if three_phase else Family.MIN_TL_XH
        if await self.is_of_old_protocol():
            return Family.V3_PV
        if await self.has_battery(Family.SPH):
            return Family.SPH_TL3 if three_phase else Family.SPH
        return Family.MOD_TL3_X if three_phase else Family.TL_X_BASE

    async def _has_name_plates(self) -> bool:
        """Read both name plates from 3000 on; return whether there is a serial number.

        A unit that refuses them has no such block: it is not asked for a part of it.
        """
        await self.name_plates()
        return _SERIAL_AND_BATTERY not in self._refused and await self.has_3000_block()

    async def name_plates(self) -> None:
        """Read both name plates from 3000 on, if the bridge may pass so long an answer."""
        if not self._short_answers:
            await self.try_to_read(Space.HOLDING, *_SERIAL_AND_BATTERY)

    async def has_3000_block(self, *, may_get_lost: bool = True) -> bool:
        """Return whether the registers from 3000 on name a serial number."""
        answered = await self.try_to_read(
            Space.HOLDING, *SERIAL_3000, may_get_lost=may_get_lost
        )
        return answered and bool(self.text(*SERIAL_3000))

    async def is_of_old_protocol(self, *, may_get_lost: bool = True) -> bool:
        """Return whether the maker's name stands where the protocol V3 has it."""
        answered = await self.try_to_read(
            Space.HOLDING, *_OLD_PLATE, may_get_lost=may_get_lost
        )
        maker = self.text(*_OLD_MAKER) if answered else None
        if maker is not None:
            self.note("maker (holding 59-66)", maker, "protocol V3")
        return maker is not None

    async def old_plate(self) -> None:
        """Read the name plate of an off-grid model that others have elsewhere."""
        await self.try_to_read(Space.HOLDING, *_OLD_PLATE)

    async def accessories_and_serial(self) -> None:
        """Read what is linked and the long serial number in one answer."""
        if not self._short_answers:
            await self.try_to_read(Space.HOLDING, *_ACCESSORIES_AND_SERIAL)

    async def serial_number(
        self, places: tuple[Place, ...]
    ) -> tuple[str, Place] | None:
        """Return the serial number of the first place that has one, and the place.

        A lost answer must not make the short one, which new units keep stale, pass for
        another inverter's: it raises ``ModbusError``.
        """
        for place in places:
            await self.try_to_read(Space.HOLDING, *place, may_get_lost=False)
            if serial := self.text(*place):
                return serial, place
        return None

    def firmware(self) -> str:
        """Return firmware and control firmware: ``AL1.0 / ZAba-0029``."""
        control = self.text(12, 2)
        number = self.word(14)
        parts = [self.text(9, 3)]
        if control:
            parts.append(f"{control}-{number:04d}" if number is not None else control)
        return " / ".join(part for part in parts if part)

    # -- how it is built ----------------------------------------------------------

    def strings(self, model: Model, known: int) -> int:
        """Return the number of PV inputs, of which the register map knows ``known``."""
        counted = (self.word(44) or 0) >> 8
        if model.family is Family.SPF or not 0 < counted <= known:
            counted = model.strings or 2
        return min(counted, known)

    def phases(self, model: Model) -> int:
        """Return the number of grid phases."""
        if model.family in THREE_PHASE:
            return 3
        counted = (self.word(44) or 0) & 0xFF
        if model.family is Family.SPF or not 0 < counted <= 3:
            return model.phases or 1
        return counted

    def rated_power(self, family: Family) -> float | None:
        """Return the rated apparent power in VA."""
        place = _OLD_RATED_POWER if family is Family.SPF else (6, 2)
        words = self._image.get(Space.HOLDING, *place)
        power = (words[0] << 16 | words[1]) / 10 if words else 0
        return power if 100 <= power <= 1_000_000 else None

    async def accessories(self) -> None:
        """Read what is linked: meter (180), monitored strings (183), battery modules (185)."""
        await self.try_to_read(Space.HOLDING, *_ACCESSORIES)

    def monitored_strings(self) -> int:
        """Return how many strings are measured one by one, if that can be true."""
        count = self.word(183) or 0
        return count if count in (8, 16, 32) else 0

    async def backup_box(self) -> bool:
        """Return whether a backup box is installed."""
        answered = await self.try_to_read(Space.INPUT, 3320, 4)
        return answered and self.word(3323, Space.INPUT) == 1

    async def speaks_vpp(self) -> bool:
        """Return whether the VPP protocol's registers are there.

        Never to be asked of what may be an off-grid model, which resets when it is.
        """
        answered = await self.try_to_read(Space.HOLDING, VPP_VERSION, 1)
        version = (self.word(VPP_VERSION) or 0) if answered else 0
        found = version in _VPP_VERSIONS
        self.note("VPP version (holding 30099)", version, "VPP" if found else "none")
        return found

    # -- the battery --------------------------------------------------------------

    def _is_charged(self, address: int) -> bool:
        """Return whether an input register holds a state of charge."""
        return 0 < (self.word(address, Space.INPUT) or 0) <= FULL

    async def has_battery(self, family: Family, *, may_get_lost: bool = True) -> bool:
        """Return whether a battery shows in the registers where ``family`` has it.

        An empty one shows by its voltage.
        """
        place, voltage, charge = _BATTERY_STATE[family]
        answered = await self.try_to_read(
            Space.INPUT, *place, may_get_lost=may_get_lost
        )
        volts = (self.word(voltage, Space.INPUT) or 0) if answered else 0
        full = self.word(charge, Space.INPUT) or 0
        found = volts >= _LEAST_VOLTAGE and full <= FULL
        self.note(
            f"battery (input {voltage} and {charge})",
            f"{volts}, {self.word(charge, Space.INPUT)}",
            "battery" if found else "none",
        )
        return found

    async def has_named_battery(self) -> bool:
        """Return whether a TL-XH has a battery, and read its name plate."""
        named = await self.try_to_read(Space.HOLDING, *_BATTERY_PLATE) and self.text(
            *_BATTERY_SERIAL
        )
        # Only an unknown model was asked for its state of charge.
        connected = self._is_charged(3171) or (
            await self.try_to_read(Space.INPUT, 3118, 1)
            and self.word(3118, Space.INPUT)
        )
        found = bool(named or connected)
        self.note(
            "battery (named at holding 3087, connected by input 3118)",
            f"{bool(named)}, {connected}",
            "battery" if found else "none",
        )
        return found

    async def battery_plate(self) -> None:
        """Read the name plate of a storage inverter's battery."""
        if not self._short_answers:
            await self.try_to_read(Space.HOLDING, *_STORAGE_PLATE)

    def battery_serial(self, family: Family) -> str | None:
        """Return the battery's serial number."""
        return self.text(*(_STORAGE_SERIAL if family in STORAGE else _BATTERY_SERIAL))

    def battery_code(self) -> str | None:
        """Return the code of a TL-XH battery's monitor."""
        return self.text(3096, 2)

    def battery_firmware(self, family: Family) -> str | None:
        """Return code and version of the battery's monitor: ``ZEBA-0002``."""
        code_at, version_at = (
            ((1247, 2), 1249) if family in STORAGE else ((3096, 2), 3103)
        )
        code, version = self.text(*code_at), self.word(version_at)
        return f"{code}-{version:04d}" if code and version is not None else code


def _of_code(code: int) -> Model | None:
    """Return the model of a type code."""
    if (model := DEVICE_TYPE_CODES.get(code) or _off_grid(code)) is not None:
        return model
    if code in V3_CODES:
        phases = 1 if code < 700 else 3
        trackers = 1 if code // 100 in (1, 7) else 2
        return Model(Family.V3_PV, "V3 inverter", phases, trackers, confirmed=False)
    return None


def _off_grid(code: int) -> Model | None:
    """Return the off-grid model of a type code. Its whole range is theirs: better safe."""
    model = DEVICE_TYPE_CODES.get(code)
    if model is None and code in OFF_GRID_CODES:
        return Model(Family.SPF, "SPF", confirmed=False)
    return model if model and model.family is Family.SPF else None


def refined(model: Model, serial_number: str | None) -> Model:
    """Take a serial number's word for sizes and variants that share a type code."""
    by_serial = _longest_prefix(SERIAL_PREFIXES, serial_number)
    if by_serial is not None and (
        by_serial.family is model.family
        or {by_serial.family, model.family} == {Family.MIN_TL_XH, Family.MIN_TL_XH_US}
    ):
        return by_serial
    return model


def _longest_prefix(prefixes: Mapping[str, Model], text: str | None) -> Model | None:
    """Return what the longest prefix of ``text`` stands for."""
    for length in range(len(text or ""), 0, -1):
        if text is not None and (model := prefixes.get(text[:length])) is not None:
            return model
    return None
