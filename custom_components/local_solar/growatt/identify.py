"""Finds out what inverter answers, in an order that is safe for every model.

Off-grid models (SPF, SPE) reset, and cut their output, when an address from
30000 on is touched, so they are recognised first, from addresses that all
models share. Only a unit whose type code names another family is asked for the VPP
protocol, which lives there.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Final, Self

from modbus_connection import ModbusUnit

from .models import NARROW, Certainty, Family, Model
from .probe import (
    SERIAL_3000,
    SERIAL_LONG,
    SERIAL_SHORT,
    STORAGE,
    Evidence,
    Place,
    Probe,
    refined,
)
from .profiles.catalogue import PROFILES
from .profiles.profile import Part

HYBRIDS_AT_3000: Final = frozenset(
    {Family.MIN_TL_XH, Family.MIN_TL_XH_US, Family.MOD_TL3_XH}
)
"""Families with a battery and their own registers from 3000 on."""

_AT_3000: Final = HYBRIDS_AT_3000 | {Family.MIN_TL_X}

_STORAGE_STATE: Final = STORAGE | {Family.SPF, Family.WIT}
"""Families whose battery shows in its state alone."""

_ALWAYS_METERED: Final = HYBRIDS_AT_3000 | STORAGE | {Family.WIT}
"""Families that do not work without knowing what flows from and to the grid."""

_SIZED_NAMES: Final[Mapping[Family, str]] = {
    Family.MIN_TL_X: "MIN {:g}TL-X",
    Family.MIN_TL_XH: "MIN {:g}TL-XH",
    Family.MIN_TL_XH_US: "MIN {:g}TL-XH-US",
}
"""Names that the maker forms with the rated power in VA."""

_MIC_NAME: Final = "MIC {:g}TL-X"
"""Shares its type code with the MIN TL-X, but has one PV input only."""

UNKNOWN_NAME: Final = "inverter"


class IdentificationError(Exception):
    """The unit answers, but not as an inverter that can be used."""


class NoSerialNumberError(IdentificationError):
    """No serial number: the inverter is still starting, or this is no Growatt."""


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
    serial_place: int | None = None
    """Holding address of the serial number."""
    certainty: Certainty = Certainty.NAMED
    """How sure the family is."""
    evidence: tuple[Evidence, ...] = field(default=(), compare=False)

    @property
    def knows_settings(self) -> bool:
        """Whether the register map is the family's own, so that settings mean what it says.

        A map that is only the closest one is good enough to look, not to change.
        """
        return self.certainty > Certainty.GUESSED and self.profile == self.family

    def read_with(self, profile: str | None) -> Self:
        """Return the same inverter, read with the owner's choice of map, or with its own.

        An off-grid model is never read with another's.
        """
        if profile is None or self.family is Family.SPF:
            profile = self.family
        if profile == self.profile:
            return self
        return replace(self, profile=profile, vpp=False)

    def with_equipment_of(self, known: Self) -> Self:
        """Return it with equipment that was once found with the same map.

        A battery that is off is still there. ``known`` is of another time.
        """
        if self.profile != known.profile:
            return self
        return replace(
            self,
            battery=self.battery or known.battery,
            battery_serial=self.battery_serial or known.battery_serial,
            battery_code=self.battery_code or known.battery_code,
            battery_firmware=self.battery_firmware or known.battery_firmware,
            modules=max(self.modules, known.modules),
            meter=self.meter or known.meter,
            backup_box=self.backup_box or known.backup_box,
            monitored_strings=max(self.monitored_strings, known.monitored_strings),
            vpp=self.vpp or known.vpp,
        )

    def after(self, known: Self, profile: str | None) -> Self:
        """Return what to go by, if ``known`` is what was known before this was found.

        An inverter that is still starting tells less than it did: then what was known
        stays. ``profile`` is the owner's choice of map.
        """
        if self.certainty < known.certainty:
            return known.read_with(profile).with_equipment_of(self)
        return self.with_equipment_of(known)

    def differs_from(self, known: Self) -> bool:
        """Return whether there is another map, or equipment that was not known."""
        return self.profile != known.profile or known.with_equipment_of(self) != known

    def to_json(self) -> dict[str, object]:
        """Return it as JSON types."""
        return {**asdict(self), "evidence": [asdict(item) for item in self.evidence]}

    @classmethod
    def from_json(cls, stored: Mapping[str, object]) -> Self:
        """Return what ``to_json`` stored; fields of other versions are ignored."""
        known = {
            key: value
            for key, value in stored.items()
            if key in cls.__dataclass_fields__
            and key not in ("evidence", "family", "certainty")
        }
        evidence = stored.get("evidence")
        return cls(
            **known,  # type: ignore[arg-type]
            family=Family(str(stored["family"])),
            certainty=_certainty_of(stored),
            evidence=tuple(
                Evidence(*(str(item.get(name, "")) for name in Evidence.__slots__))
                for item in evidence
                if isinstance(item, dict)
            )
            if isinstance(evidence, list)
            else (),
        )


def _certainty_of(stored: Mapping[str, object]) -> Certainty:
    """Return how sure an identification was; an earlier version knew of guesses only."""
    certainty = stored.get("certainty")
    if isinstance(certainty, int):
        return Certainty(certainty)
    return Certainty.GUESSED if stored.get("guessed") else Certainty.NAMED


def serial_number_places(family: Family) -> tuple[Place, ...]:
    """Return where a family may keep its serial number, best first."""
    if family in _AT_3000:
        return (SERIAL_3000, SERIAL_SHORT)
    if family is Family.V3_PV:
        return (SERIAL_SHORT,)
    return (SERIAL_LONG, SERIAL_SHORT)


def identity_place(identified: Identification) -> Place:
    """Return where an inverter must show its serial number before it is changed.

    A family that has it at 3001 and shows it elsewhere has firmware whose registers may
    mean something else; others have long serial numbers or short ones.
    """
    best, *others = serial_number_places(identified.family)
    if identified.family not in _AT_3000:
        for place in others:
            if place[0] == identified.serial_place:
                return place
    return best


async def read_serial_number(
    unit: ModbusUnit, identified: Identification
) -> str | None:
    """Return the serial number by the way that ``identified`` got it: is it still the same?

    Raises ``ModbusError`` if the unit does not answer.
    """
    found = await Probe(unit).serial_number(serial_number_places(identified.family))
    return found and found[0]


async def identify(
    unit: ModbusUnit, *, profile: str | None = None, serial_number: str | None = None
) -> Identification:
    """Ask ``unit`` who it is, with at most 6 requests if all of them are answered.

    ``profile`` is the owner's choice of register map; it overrides what was
    found, except that an off-grid model is never read with another's map. It may
    take one request more. Where nothing names the model, the choice names its family.
    ``serial_number`` is set where it is known from elsewhere; then it is that.
    Raises ``ModbusError`` when the unit does not answer, ``NoSerialNumberError``
    when it answers but does not say who it is.
    """
    probe = Probe(unit)
    await probe.nameplate()
    model, certainty = await _model(probe, profile)
    if profile is not None and model.family is not Family.SPF:
        probe.note("owner", profile, "chosen by the owner")
    else:
        profile = None
    model = await _with_its_own_block(probe, model, profile)
    if model.family in HYBRIDS_AT_3000:
        await probe.name_plates()
    elif model.family not in _AT_3000 and not {model.family, profile} & NARROW:
        await probe.accessories_and_serial()
    serial: tuple[str, Place | None] | None = await probe.serial_number(
        serial_number_places(model.family)
    )
    if serial_number is not None and (serial is None or serial[0] != serial_number):
        serial = serial_number, None
    if serial is None:
        raise NoSerialNumberError(probe.seen())
    if certainty is Certainty.CODED and not probe.names_size:
        # New units keep the short serial number, which was looked at before, empty.
        model = refined(model, serial[0])
    read_as = Family(profile or model.family)
    if read_as is Family.SPF:
        await probe.old_plate()
    if not {model.family, read_as} & NARROW:
        await probe.accessories()
    battery = await _has_battery(probe, read_as)
    sure = certainty > Certainty.GUESSED
    if battery and read_as in STORAGE and sure and model.family not in NARROW:
        await probe.battery_plate()
    return Identification(
        serial_number=serial[0],
        serial_place=serial[1] and serial[1][0],
        family=model.family,
        profile=read_as,
        model=_name(probe, model),
        firmware=probe.firmware(),
        strings=probe.strings(model, _known_strings(read_as)),
        phases=probe.phases(model),
        rated_power=probe.rated_power(model.family),
        battery=battery,
        battery_serial=probe.battery_serial(read_as) if battery else None,
        battery_code=probe.battery_code() if battery else None,
        battery_firmware=probe.battery_firmware(read_as) if battery else None,
        modules=probe.word(185) or 0 if battery else 0,
        meter=read_as in _ALWAYS_METERED or probe.word(180) != 0,
        backup_box=read_as in HYBRIDS_AT_3000 and await probe.backup_box(),
        monitored_strings=probe.monitored_strings(),
        vpp=certainty is Certainty.CODED
        and not {model.family, read_as} & NARROW
        and await probe.speaks_vpp(),
        certainty=certainty,
        evidence=tuple(probe.evidence),
    )


async def _model(probe: Probe, profile: str | None) -> tuple[Model, Certainty]:
    """Return the model, by its names or by what it answers, and how sure that is.

    The prefix of the firmware alone is shared by families: an owner's choice beats it, but
    for an off-grid model.
    """
    named = await probe.named_model()
    if named is not None and named[1] > Certainty.GUESSED:
        return named
    off_grid = named is not None and named[0].family is Family.SPF
    if profile is not None and (not off_grid or profile == Family.SPF):
        model = Model(Family(profile), UNKNOWN_NAME, confirmed=False)
        return model, Certainty.CHOSEN
    if named is not None:
        return named
    family = await probe.closest_family()
    return Model(family, UNKNOWN_NAME, confirmed=False), Certainty.GUESSED


async def _with_its_own_block(probe: Probe, model: Model, profile: str | None) -> Model:
    """Return the model, or what one without the registers of its family from 3000 on is.

    A MIC or MIN TL-X with old firmware has the same type code and another map.
    """
    if model.family is not Family.MIN_TL_X:
        return model
    if profile in HYBRIDS_AT_3000:
        await probe.name_plates()
    # A lost answer must not make another family of it.
    if await probe.has_3000_block(may_get_lost=False):
        return model
    old = await probe.is_of_old_protocol(may_get_lost=False)
    family = Family.V3_PV if old else Family.TL_X_BASE
    return replace(model, family=family)


async def _has_battery(probe: Probe, family: Family) -> bool:
    """Return whether there is a battery."""
    if family in HYBRIDS_AT_3000:
        return await probe.has_named_battery()
    return family in _STORAGE_STATE and await probe.has_battery(
        family, may_get_lost=False
    )


def _known_strings(family: Family) -> int:
    """Return for how many PV inputs the register map of a family has rows."""
    return max(
        (
            row.point.index or 0
            for section in PROFILES[family].sections
            if section.part is Part.STRING
            for row in section.rows
        ),
        default=0,
    )


def _name(probe: Probe, model: Model) -> str:
    """Return the name to show. A type code stands for several sizes: add the power."""
    power = probe.rated_power(model.family)
    if model.strings is not None or power is None:
        return model.name
    if (sized := _SIZED_NAMES.get(model.family)) is None:
        return f"{model.name} ({power:g} VA)"
    if model.family is Family.MIN_TL_X and probe.strings(model, 4) == 1:
        sized = _MIC_NAME
    return sized.format(power)
