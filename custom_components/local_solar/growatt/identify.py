"""Finds out what inverter answers, in an order that is safe for every model.

Off-grid models (SPF, SPE) reset, and cut their output, when an address from
30000 on is touched, so they are recognised first, from addresses that all
models share; nothing here ever goes that high. Every answer that counted is
kept as evidence.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
import logging
from typing import Final, Self

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
    PROFILE_OF,
    SERIAL_PREFIXES,
    Family,
    Model,
)

_LOGGER = logging.getLogger(__name__)

DEVICE_TYPE_CODE: Final = 43
"""Holding register of the type code: the one register every model answers at the same place."""

_NAMEPLATE: Final = (6, 39)
"""Holding 6-44: rated power, firmware, serial number, maker, type code, trackers and phases.
Inside the first group of every model, also of those with groups of 45."""

_NAMEPLATE_PIECES: Final = ((43, 2), (23, 5), (9, 6), (6, 2))
"""The same for bridges that only pass short answers."""

_SERIAL_3000: Final = (3001, 15)
_SERIAL_LONG: Final = (209, 15)
_SERIAL_SHORT: Final = (23, 5)
_BATTERY_PLATE: Final = (3087, 19)
"""Holding 3087-3105: serial number, codes and versions of battery and converter."""

_BATTERY_SERIAL: Final = (3087, 8)

_SERIAL_AND_BATTERY: Final = (3001, 105)
"""Holding 3001-3105: both name plates in one answer. Growatt's loggers ask for as much."""

FAMILIES_AT_3000: Final = frozenset(
    {Family.MIN_TL_X, Family.MIN_TL_XH, Family.MIN_TL_XH_US, Family.MOD_TL3_XH}
)
"""Families with their own registers from 3000 on."""

_WITH_BATTERY: Final = FAMILIES_AT_3000 - {Family.MIN_TL_X}

_SIZED_NAMES: Final[Mapping[Family, str]] = {
    Family.MIN_TL_X: "MIN {:g}TL-X",
    Family.MIN_TL_XH: "MIN {:g}TL-XH",
    Family.MIN_TL_XH_US: "MIN {:g}TL-XH-US",
}
"""Names that the maker forms with the rated power in VA."""

_MIC_NAME: Final = "MIC {:g}TL-X"
"""Shares its type code with the MIN TL-X, but has one PV input only."""

MAX_STRINGS: Final = 4
"""PV inputs the tables know; a larger count is no count."""


class IdentificationError(Exception):
    """The unit answers, but not as an inverter that can be used."""


class NoSerialNumberError(IdentificationError):
    """No serial number: the inverter is still starting, or this is no Growatt."""


class UnsupportedFamilyError(IdentificationError):
    """A known model whose register map is not built in: its values would be wrong."""

    def __init__(self, model: str, family: Family) -> None:
        """Name the model."""
        super().__init__(f"{model} ({family})")
        self.model = model
        self.family = family


@dataclass(frozen=True, slots=True)
class Evidence:
    """One answer and what it was taken to say."""

    source: str
    answer: str
    meaning: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Identification:
    """What is known of an inverter. Storable as JSON (``to_json``)."""

    serial_number: str
    family: Family
    profile: str
    model: str
    firmware: str = ""
    strings: int = 2
    phases: int = 1
    rated_power: float | None = None
    """Rated apparent power in VA."""
    battery: bool = False
    battery_serial: str | None = None
    battery_code: str | None = None
    """Software code of the battery monitor: ZEBA is an ARK, ZECA an APX."""
    battery_firmware: str | None = None
    modules: int = 0
    meter: bool = True
    """Whether a meter or current transformer measures the grid connection."""
    backup_box: bool = False
    monitored_strings: int = 0
    """Strings that are measured one by one behind the PV inputs."""
    vpp: bool = False
    """Whether it speaks the VPP protocol, which has its registers from 30000 on."""
    guessed: bool = field(default=False, compare=False)
    """Whether the family was told from what the unit answers, for want of a name."""
    evidence: tuple[Evidence, ...] = field(default=(), compare=False)

    @property
    def knows_settings(self) -> bool:
        """Whether the register map is the family's own, so that settings mean what it says.

        A map that is only the closest one is good enough to look, not to change.
        """
        return not self.guessed and self.profile == self.family.value

    def to_json(self) -> dict[str, object]:
        """Return it as JSON types."""
        return {**asdict(self), "evidence": [asdict(item) for item in self.evidence]}

    @classmethod
    def from_json(cls, stored: Mapping[str, object]) -> Self:
        """Return what ``to_json`` stored; fields of other versions are ignored."""
        known = {
            key: value
            for key, value in stored.items()
            if key in cls.__dataclass_fields__ and key not in ("evidence", "family")
        }
        evidence = stored.get("evidence")
        return cls(
            **known,  # type: ignore[arg-type]
            family=Family(str(stored["family"])),
            evidence=tuple(
                Evidence(*(str(item.get(name, "")) for name in Evidence.__slots__))
                for item in evidence
                if isinstance(item, dict)
            )
            if isinstance(evidence, list)
            else (),
        )


def serial_number_places(family: Family) -> tuple[tuple[int, int], ...]:
    """Return where a family keeps its serial number: holding address and words, best first."""
    if family in FAMILIES_AT_3000:
        return (_SERIAL_3000, _SERIAL_SHORT)
    if family in (Family.SPF, Family.V3_PV):
        return (_SERIAL_SHORT,)
    return (_SERIAL_LONG, _SERIAL_SHORT)


async def read_serial_number(
    unit: ModbusUnit, identified: Identification
) -> str | None:
    """Return the serial number by the way that ``identified`` got it: is it still the same?

    Raises ``ModbusError`` if the unit does not answer.
    """
    return await _Probe(unit).serial_number(identified.family)


async def identify(unit: ModbusUnit, *, profile: str | None = None) -> Identification:
    """Ask ``unit`` who it is, with at most 6 requests if all of them are answered.

    ``profile`` is the owner's choice of register map; it overrides what was
    found, except that an off-grid model is never read with another's map. It may
    take one request more.
    Raises ``ModbusError`` when the unit does not answer, ``NoSerialNumberError``
    and ``UnsupportedFamilyError`` when it answers but cannot be used.
    """
    probe = _Probe(unit)
    await probe.nameplate()
    model = await probe.model()
    if model.family in _WITH_BATTERY:
        await probe.name_plates()
    serial = await probe.serial_number(model.family)
    if serial is None:
        raise NoSerialNumberError(probe.seen())
    known_profile = PROFILE_OF[model.family]
    if profile is not None and model.family is not Family.SPF:
        probe.note("owner", profile, "chosen by the owner")
        known_profile = profile
    if known_profile is None:
        raise UnsupportedFamilyError(model.name, model.family)
    with_battery = known_profile.startswith("min_tl_xh")
    battery = with_battery and await probe.battery()
    if known_profile != "tl_x_base":
        await probe.accessories()
    return Identification(
        serial_number=serial,
        family=model.family,
        profile=known_profile,
        model=probe.model_name(model),
        firmware=probe.firmware(),
        strings=probe.strings(model),
        phases=probe.phases(model),
        rated_power=probe.rated_power(),
        battery=battery,
        battery_serial=probe.text(*_BATTERY_SERIAL) if battery else None,
        battery_code=probe.text(3096, 2) if battery else None,
        battery_firmware=probe.battery_firmware() if battery else None,
        modules=probe.word(185) or 0 if battery else 0,
        meter=with_battery or probe.word(180) != 0,
        backup_box=with_battery and await probe.backup_box(),
        guessed=probe.guessed,
        evidence=tuple(probe.evidence),
    )


class _Probe:
    """The questions, and the answers so far."""

    def __init__(self, unit: ModbusUnit) -> None:
        self._unit = unit
        self._image = RegisterImage()
        self._short_answers = False
        self.guessed = False
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

    async def _try(
        self, space: Space, address: int, count: int, *, may_get_lost: bool = True
    ) -> bool:
        """Read what not every model has, unless it is known; return whether it is now.

        A link that is down ends the identification, and so does a lost answer
        unless it may get lost.
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
            return False
        return True

    async def nameplate(self) -> None:
        """Read what every model has at the same place."""
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

    async def name_plates(self) -> None:
        """Read both name plates from 3000 on, if the bridge may pass so long an answer."""
        if not self._short_answers:
            await self._try(Space.HOLDING, *_SERIAL_AND_BATTERY)

    async def model(self) -> Model:
        """Find the model: type code, then serial number and firmware, then what answers."""
        code = self.word(DEVICE_TYPE_CODE) or 0
        by_code = DEVICE_TYPE_CODES.get(code) or _off_grid(code)
        by_serial = _longest_prefix(SERIAL_PREFIXES, self.text(23, 5))
        by_firmware = _longest_prefix(FIRMWARE_PREFIXES, self.text(9, 3))
        self.note(
            "type code (holding 43)", code, by_code.family if by_code else "unknown"
        )
        self.note(
            "serial number (holding 23-27)",
            self.text(23, 5) or "",
            by_serial.family if by_serial else "unknown prefix",
        )
        self.note(
            "firmware (holding 9-11)",
            self.text(9, 3) or "",
            by_firmware.family if by_firmware else "unknown prefix",
        )
        if by_code is not None:
            return _refine(by_code, by_serial)
        if await self._try(Space.INPUT, 44, 1):
            code = self.word(44, Space.INPUT) or 0
            if (off_grid := _off_grid(code)) is not None:
                self.note("type code (input 44)", code, off_grid.family)
                return off_grid
        if (found := by_serial or by_firmware) is not None:
            return found
        return await self._closest()

    async def _closest(self) -> Model:
        """Tell the family of an unknown model from the blocks it answers."""
        family = Family.TL_X_BASE
        await self.name_plates()
        if await self._try(Space.HOLDING, *_SERIAL_3000) and self.text(*_SERIAL_3000):
            await self._try(Space.INPUT, 3165, 7)
            family = Family.MIN_TL_XH if self._is_charged else Family.MIN_TL_X
        self.guessed = True
        self.note("answered blocks", family, "closest family")
        return Model(family, "Growatt inverter", confirmed=False)

    @property
    def _is_charged(self) -> bool:
        """Whether a battery was seen to be charged: more than 100 % is "not available"."""
        return 0 < (self.word(3171, Space.INPUT) or 0) <= 100

    async def serial_number(self, family: Family) -> str | None:
        """Return the serial number; the long one, as new units keep the short one stale.

        A lost answer must not make the short one pass for another inverter's.
        """
        for place in serial_number_places(family):
            await self._try(Space.HOLDING, *place, may_get_lost=False)
            if serial := self.text(*place):
                return serial
        return None

    def model_name(self, model: Model) -> str:
        """Return the name to show. A type code stands for several sizes: add the power."""
        power = self.rated_power()
        if model.strings is not None or power is None:
            return model.name
        if (sized := _SIZED_NAMES.get(model.family)) is None:
            return f"{model.name} ({power:g} VA)"
        if model.family is Family.MIN_TL_X and self.strings(model) == 1:
            sized = _MIC_NAME
        return sized.format(power)

    def firmware(self) -> str:
        """Return firmware and control firmware: ``AL1.0 / ZAba-0029``."""
        control = self.text(12, 2)
        number = self.word(14)
        parts = [self.text(9, 3)]
        if control:
            parts.append(f"{control}-{number:04d}" if number is not None else control)
        return " / ".join(part for part in parts if part)

    def strings(self, model: Model) -> int:
        """Return the number of PV inputs."""
        counted = (self.word(44) or 0) >> 8
        return counted if 0 < counted <= MAX_STRINGS else model.strings or 2

    def phases(self, model: Model) -> int:
        """Return the number of grid phases."""
        counted = (self.word(44) or 0) & 0xFF
        return counted if 0 < counted <= 3 else model.phases or 1

    def rated_power(self) -> float | None:
        """Return the rated apparent power in VA."""
        words = self._image.get(Space.HOLDING, 6, 2)
        power = (words[0] << 16 | words[1]) / 10 if words else 0
        return power if 100 <= power <= 1_000_000 else None

    async def battery(self) -> bool:
        """Return whether a battery is connected, and read its name plate."""
        named = await self._try(Space.HOLDING, *_BATTERY_PLATE) and self.text(
            *_BATTERY_SERIAL
        )
        # Only an unknown model was asked for its state of charge.
        connected = self._is_charged or (
            await self._try(Space.INPUT, 3118, 1) and self.word(3118, Space.INPUT)
        )
        found = bool(named or connected)
        self.note(
            "battery (named at holding 3087, connected by input 3118)",
            f"{bool(named)}, {connected}",
            "battery" if found else "none",
        )
        return found

    def battery_firmware(self) -> str | None:
        """Return monitor code and version of the battery: ``ZEBA-0002``."""
        code, version = self.text(3096, 2), self.word(3103)
        return f"{code}-{version:04d}" if code and version is not None else code

    async def accessories(self) -> None:
        """Read which accessories are linked: meter (180) and battery modules (185)."""
        await self._try(Space.HOLDING, 180, 6)

    async def backup_box(self) -> bool:
        """Return whether a backup box is installed."""
        answered = await self._try(Space.INPUT, 3320, 4)
        return answered and self.word(3323, Space.INPUT) == 1


def _off_grid(code: int) -> Model | None:
    """Return the off-grid model of a type code. Its whole range is theirs: better safe."""
    model = DEVICE_TYPE_CODES.get(code)
    if model is None and code in OFF_GRID_CODES:
        return Model(Family.SPF, "SPF", confirmed=False)
    return model if model and model.family is Family.SPF else None


def _refine(by_code: Model, by_serial: Model | None) -> Model:
    """Take the serial number's word for sizes and variants that share a type code."""
    if by_serial is not None and (
        by_serial.family is by_code.family
        or {by_serial.family, by_code.family} == {Family.MIN_TL_XH, Family.MIN_TL_XH_US}
    ):
        return by_serial
    return by_code


def _longest_prefix(prefixes: Mapping[str, Model], text: str | None) -> Model | None:
    """Return what the longest prefix of ``text`` stands for."""
    for length in range(len(text or ""), 0, -1):
        if text is not None and (model := prefixes.get(text[:length])) is not None:
            return model
    return None
