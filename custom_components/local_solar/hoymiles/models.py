"""Which model a device is: prefixes of serial numbers, part numbers, versions.

The first four digits of a serial number tell kind, family and class of power;
the exact model only comes from the hardware part number in AppInfo. The tables
join those of hoymiles-wifi and OpenDTU with reports of owners. Where they
disagree about the power of a prefix, it has none here. A prefix that is not
here is no reason to refuse a device.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum, auto
import re
from typing import Final

from .serial_number import as_text, normalise_dtu


class Kind(StrEnum):
    """What a device with a serial number is."""

    INVERTER = auto()
    INVERTER_DTU = auto()
    """A microinverter that is its own DTU."""
    DTU = auto()
    GATEWAY = auto()
    """A gateway to storage."""
    STORAGE = auto()
    METER = auto()
    REPEATER = auto()


@dataclass(frozen=True, slots=True)
class Prefix:
    """What the first four digits of a serial number tell."""

    kind: Kind
    family: str
    inputs: int | None = None
    """DC inputs."""
    power_class: str | None = None
    """The rated powers there are, as names of models write them."""


@dataclass(frozen=True, slots=True)
class Model:
    """What a part number tells. ``rated_power`` is in W."""

    name: str
    rated_power: int


@dataclass(frozen=True, slots=True, kw_only=True)
class InverterModel:
    """What is known of a microinverter. ``None``: not for certain."""

    name: str
    rated_power: int | None
    """In W."""
    inputs: int | None
    """DC inputs."""
    three_phase: bool
    integrated: bool
    """Whether it is its own DTU."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DtuModel:
    """What is known of a DTU."""

    name: str
    integrated: bool
    """Whether it lives inside an inverter: fed by the panels, it is gone at night."""


# fmt: off
PREFIXES: Final[Mapping[str, Prefix]] = {
    # Microinverters
    "1011": Prefix(Kind.INVERTER, "MI", 1, "100 W"),
    "1020": Prefix(Kind.INVERTER, "MI/HM", 1, "250 W"),
    "1021": Prefix(Kind.INVERTER, "HM", 1, "300/350/400 W"),
    "1121": Prefix(Kind.INVERTER, "HM", 1, "300/350/400 W"),
    "1040": Prefix(Kind.INVERTER, "MI/HM", 2, "500 W"),
    "1041": Prefix(Kind.INVERTER, "HM", 2, "600/700/800 W"),
    "1042": Prefix(Kind.INVERTER, "HM", 2, "600/700/800 W"),
    "1141": Prefix(Kind.INVERTER, "HM", 2, "600/700/800 W"),
    "1060": Prefix(Kind.INVERTER, "MI/HM", 4, "1000 W"),
    "1061": Prefix(Kind.INVERTER, "HM", 4, "1200/1500 W"),
    "1161": Prefix(Kind.INVERTER, "HM", 4, "1000/1200/1500 W"),
    "1124": Prefix(Kind.INVERTER, "HMS", 1, "300/350/400/450/500 W"),
    "1125": Prefix(Kind.INVERTER, "HMS", 1),
    "1400": Prefix(Kind.INVERTER, "HMS", 1),
    "1403": Prefix(Kind.INVERTER_DTU, "HMS-W", 1, "400W/500W"),
    "1143": Prefix(Kind.INVERTER, "HMS", 2, "600/700/800/900/1000 W"),
    "1144": Prefix(Kind.INVERTER, "HMS", 2),
    "114A": Prefix(Kind.INVERTER, "HMS", 2, "600-1000 W"),
    "1410": Prefix(Kind.INVERTER, "HMS", 2),
    "1412": Prefix(Kind.INVERTER_DTU, "HMS-W", 2, "800W/1000W"),
    "1164": Prefix(Kind.INVERTER, "HMS", 4, "1600/1800/2000 W"),
    "1166": Prefix(Kind.INVERTER, "HMS", 4, "1600/1800/2000 W"),
    "1420": Prefix(Kind.INVERTER, "HMS", 4, "1600/1800/2000 W"),
    "1222": Prefix(Kind.INVERTER_DTU, "HMS-DW", 4, "2000DW"),
    "1361": Prefix(Kind.INVERTER, "HMT", 4),
    "1382": Prefix(Kind.INVERTER, "HMT", 6),
    "2821": Prefix(Kind.INVERTER, "SOL-H / HERF", 2),
    "2841": Prefix(Kind.INVERTER, "HERF", 1, "300 W"),
    "2801": Prefix(Kind.INVERTER, "HERF", 4, "1600/1800 W"),
    "1520": Prefix(Kind.INVERTER, "MIT", None, "4000/5000 W"),
    # DTUs
    "10F7": Prefix(Kind.DTU, "DTU-Pro"),
    "10F8": Prefix(Kind.DTU, "DTU-Pro"),
    "10FB": Prefix(Kind.DTU, "DTU-Pro"),
    "10FC": Prefix(Kind.DTU, "DTU-Pro"),
    "10FD": Prefix(Kind.DTU, "DTU-Pro(-S)"),
    "4100": Prefix(Kind.DTU, "DTU-Pro(-S)"),
    "4101": Prefix(Kind.DTU, "DTU-Pro(-S)"),
    "4120": Prefix(Kind.DTU, "DTU-Pro(-S)"),
    "4121": Prefix(Kind.DTU, "DTU-Pro(-S)"),
    "10D2": Prefix(Kind.DTU, "DTU-G100"),
    "10D3": Prefix(Kind.DTU, "DTU-W100"),
    "10D6": Prefix(Kind.DTU, "DTU-Lite"),
    "10D7": Prefix(Kind.DTU, "DTU-Lite"),
    "4131": Prefix(Kind.DTU, "DTU-Lite"),
    "10D8": Prefix(Kind.DTU, "DTU-WLite / Lite-S / W100"),
    "10D9": Prefix(Kind.DTU, "DTU-WLite / Lite-S / W100"),
    "4110": Prefix(Kind.DTU, "DTU-WLite / Lite-S / W100"),
    "4111": Prefix(Kind.DTU, "DTU-WLite / Lite-S / W100"),
    "4130": Prefix(Kind.DTU, "DTU-WLite / Lite-S / W100"),
    "4132": Prefix(Kind.DTU, "DTU-WLite / Lite-S / W100"),
    "4133": Prefix(Kind.DTU, "DTU-WLite / Lite-S / W100"),
    "4141": Prefix(Kind.DTU, "DTUBI"),
    "4143": Prefix(Kind.DTU, "DTUBI"),
    "4144": Prefix(Kind.DTU, "DTUBI"),
    "D030": Prefix(Kind.DTU, "DTU-SLS"),
    # Others
    "4301": Prefix(Kind.GATEWAY, "DTS-WIFI-G1"),
    "2003": Prefix(Kind.STORAGE, "HYS"),
    "10C0": Prefix(Kind.METER, "DDSU666"),
    "37FF": Prefix(Kind.METER, "DTSU666"),
    "10F0": Prefix(Kind.REPEATER, "Repeater"),
}
"""First four digits of a serial number -> what they tell."""

PART_NUMBERS: Final[Mapping[str, Model]] = {
    "101010": Model("HM-300-1T", 300),
    "101020": Model("HM-350-1T", 350),
    "101030": Model("HM-400-1T", 400),
    "101040": Model("HM-400-1T", 400),
    "101110": Model("HM-600-2T", 600),
    "101120": Model("HM-700-2T", 700),
    "101130": Model("HM-800-2T", 800),
    "101140": Model("HM-800-2T", 800),
    "101210": Model("HM-1200-4T", 1200),
    "101230": Model("HM-1500-4T", 1500),
    "100230": Model("MI-1500-4T", 1500),
    "102011": Model("HMS-300-1T", 300),
    "102021": Model("HMS-350-1T", 350),
    "102041": Model("HMS-400-1T", 400),
    "101051": Model("HMS-450-1T", 450),
    "102051": Model("HMS-450-1T", 450),
    "101071": Model("HMS-500-1T", 500),
    "102071": Model("HMS-500-1T v2", 500),
    "102111": Model("HMS-600-2T", 600),
    "102121": Model("HMS-700-2T", 700),
    "102141": Model("HMS-800-2T", 800),
    "102142": Model("HMS-800W-2T", 800),  # reported by an owner as 0x10214201
    "101141": Model("HMS-800-2T-LV", 800),
    "101151": Model("HMS-900-2T", 900),
    "102151": Model("HMS-900-2T", 900),
    "102171": Model("HMS-1000-2T", 1000),
    "101171": Model("HMS-1000-2T", 1000),
    "102241": Model("HMS-1600-4T", 1600),
    "101251": Model("HMS-1800-4T", 1800),
    "102251": Model("HMS-1800-4T", 1800),
    "101271": Model("HMS-2000-4T", 2000),
    "102271": Model("HMS-2000-4T", 2000),
    "103241": Model("HMT-1600-4T", 1600),
    "103251": Model("HMT-1800-4T", 1800),
    "103271": Model("HMT-2000-4T", 2000),
    "103311": Model("HMT-1800-6T", 1800),
    "103331": Model("HMT-2250-6T", 2250),
    "F10110": Model("HERF-600", 600),
    "F10114": Model("HERF-800", 800),
    "F10124": Model("HERF-1600", 1600),
    "F10122": Model("HERF-1800", 1800),
}
"""First three bytes of a hardware part number -> model. The fourth is a revision."""
# fmt: on

_THREE_PHASE_FAMILIES: Final = ("HMT", "MIT")
_THREE_PHASE_METERS: Final = frozenset({"DTSU666"})
_INTEGRATED_FAMILIES: Final = frozenset({"HMS-W", "HMS-DW", "DTUBI"})

_RATED_HMS: Final = re.compile(r"HMS-\d+(?=-)")
_INPUTS: Final = re.compile(r"-(\d)T\b")


def inverter_model(serial: int, part_number: int | None) -> InverterModel:
    """Return what serial number and hardware part number (an int32) tell of an inverter."""
    prefix = _inverter_prefix(serial)
    part = _part(part_number)
    return InverterModel(
        name=_inverter_name(serial, prefix, part),
        rated_power=part.rated_power if part else None,
        inputs=_inputs(prefix, part),
        three_phase=_is_three_phase(prefix, part),
        integrated=prefix is not None and prefix.kind is Kind.INVERTER_DTU,
    )


def dtu_model(serial_text: str) -> DtuModel:
    """Return what the serial number that a DTU tells of itself says about it."""
    digits = normalise_dtu(serial_text)[:4]
    prefix = PREFIXES.get(digits)
    if prefix is not None and prefix.family in _INTEGRATED_FAMILIES:
        return DtuModel(name="integrated DTU", integrated=True)
    if prefix is not None and prefix.kind in (Kind.DTU, Kind.GATEWAY):
        return DtuModel(name=prefix.family, integrated=False)
    return DtuModel(name=f"DTU ({digits})" if digits else "DTU", integrated=False)


def meter_model(serial: int) -> str:
    """Return the model of an energy meter."""
    prefix = _prefix(serial)
    if prefix is None or prefix.kind is not Kind.METER:
        return f"Meter ({_digits(serial)})"
    return prefix.family


def is_three_phase_meter(serial: int) -> bool:
    """Return whether a meter is known to measure three phases."""
    return meter_model(serial) in _THREE_PHASE_METERS


def _digits(serial: int) -> str:
    return as_text(serial)[:4]


def _prefix(serial: int) -> Prefix | None:
    return PREFIXES.get(_digits(serial))


def _inverter_prefix(serial: int) -> Prefix | None:
    prefix = _prefix(serial)
    if prefix is None or prefix.kind not in (Kind.INVERTER, Kind.INVERTER_DTU):
        return None
    return prefix


def _part(part_number: int | None) -> Model | None:
    # Numbers from F1... on arrive negative.
    digits = f"{(part_number or 0) & 0xFFFF_FFFF:08X}"
    return PART_NUMBERS.get(digits[:6])


def _inverter_name(serial: int, prefix: Prefix | None, part: Model | None) -> str:
    if part is not None:
        return _with_radio(part.name, prefix)
    if prefix is None:
        return f"Microinverter ({_digits(serial)})"
    if prefix.power_class is None:
        return prefix.family
    return f"{prefix.family} {prefix.power_class}"


def _with_radio(name: str, prefix: Prefix | None) -> str:
    """Put the W or DW of an inverter that is its own DTU into the name of its part."""
    if prefix is None or prefix.kind is not Kind.INVERTER_DTU:
        return name
    mark = prefix.family.removeprefix("HMS-")
    return _RATED_HMS.sub(lambda rated: rated[0] + mark, name)


def _inputs(prefix: Prefix | None, part: Model | None) -> int | None:
    if part is not None and (match := _INPUTS.search(part.name)):
        return int(match[1])
    return prefix.inputs if prefix else None


def _is_three_phase(prefix: Prefix | None, part: Model | None) -> bool:
    if part is not None:
        return part.name.startswith(_THREE_PHASE_FAMILIES)
    return prefix is not None and prefix.family in _THREE_PHASE_FAMILIES


# -- versions -------------------------------------------------------------------------


def dtu_version(version: int | None) -> str | None:
    """Return software or hardware version of a DTU, ``None`` if it tells none."""
    if not version:
        return None
    number = version & 0xFFFF_FFFF
    return _dotted(number >> 12, number >> 8 & 15, number & 255)


def inverter_software(version: int | None) -> str | None:
    """Return the firmware version of an inverter, ``None`` if it tells none."""
    if not version:
        return None
    number = version & 0xFFFF_FFFF
    return _dotted(number // 10000, number // 100 % 100, number % 100)


def inverter_hardware(version: int | None) -> str | None:
    """Return the hardware version of an inverter, ``None`` if it tells none."""
    if not version:
        return None
    number = version & 0xFFFF_FFFF
    return _dotted(number >> 11, number >> 6 & 31, number & 63)


def _dotted(*parts: int) -> str:
    return ".".join(f"{part:02}" for part in parts)
