"""What a register map of a family consists of, and the words its tables are written with."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum, auto
from functools import partial
from typing import Final

from ...modbus.codecs import Codec
from ...modbus.image import Space
from ...modbus.register import Register
from ...points import Point, Quantity, Rhythm, Setting, Visibility
from ..alarms import PROTOCOL_2, AlarmTable

type Group = tuple[int, int]
"""First and last address of a group. A read that leaves its group is refused."""

SHOWN: Final = Visibility.SHOWN
OFFERED: Final = Visibility.OFFERED
RAW: Final = Visibility.RAW

UNITS: Final[Mapping[Quantity, str]] = {
    Quantity.POWER: "W",
    Quantity.APPARENT_POWER: "VA",
    Quantity.REACTIVE_POWER: "var",
    Quantity.ENERGY_TOTAL: "kWh",
    Quantity.ENERGY_TODAY: "kWh",
    Quantity.REACTIVE_ENERGY: "kvarh",
    Quantity.VOLTAGE: "V",
    Quantity.CURRENT: "A",
    Quantity.FREQUENCY: "Hz",
    Quantity.TEMPERATURE: "°C",
    Quantity.STATE_OF_CHARGE: "%",
    Quantity.PERCENT: "%",
    Quantity.RESISTANCE: "kΩ",
    Quantity.CAPACITY: "Ah",
    Quantity.DURATION: "s",
}
"""The unit of a row that names none."""


class Part(StrEnum):
    """Equipment that an inverter may have or lack; rows of a missing part are not read."""

    INVERTER = auto()
    STRING = auto()
    """PV inputs, numbered by the row's index."""
    STRING_MONITOR = auto()
    """Measurements of single strings behind the inputs, numbered by the row's index."""
    THREE_PHASE = auto()
    """Grid and backup phases 2 and 3, and what is between the phases."""
    BATTERY = auto()
    CONVERTER = auto()
    """Battery converters beyond the summary, numbered by the row's index."""
    MODULE = auto()
    """Battery modules, numbered by the row's index."""
    BACKUP = auto()
    """Emergency output (EPS)."""
    BACKUP_BOX = auto()
    EXTERNAL_PV = auto()
    """Inverters of others on the backup box."""
    PRIORITY_MODE = auto()
    """The meaning of the work mode that the owner found: what comes first."""
    SYSTEM_MODE = auto()
    """The other meaning: how the system is built."""
    VPP = auto()
    """What energy managers use: the registers of the VPP protocol, from 30000 on."""
    VPP_CLUSTER = auto()
    """Battery clusters that the VPP protocol tells apart, numbered by the row's index."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """Rows of one part."""

    part: Part
    rows: tuple[Register, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """The register map of one family.

    ``groups`` are the address ranges that a read must stay inside, ``max_words``
    the most a read may ask for, ``forbidden`` holding and input addresses that
    must never be touched, not even by a read. ``read_only`` names rows whose settings
    are not taken over from a map that this one extends. ``alarms`` says what faults and
    warnings mean, and which rows report them.
    """

    key: str
    name: str
    sections: tuple[Section, ...]
    groups: Mapping[Space, tuple[Group, ...]]
    max_words: int = 125
    forbidden: tuple[Group, ...] = ()
    read_only: frozenset[str] = frozenset()
    alarms: AlarmTable = PROTOCOL_2

    def __post_init__(self) -> None:
        """Check that nothing can be planned that must not be touched.

        Raises ``ValueError`` if a group overlaps a forbidden range.
        """
        for groups in self.groups.values():
            for first, last in groups:
                for low, high in self.forbidden:
                    if first <= high and low <= last:
                        raise ValueError(
                            f"{self.key}: group {first}-{last} overlaps {low}-{high}"
                        )

    def __iter__(self) -> Iterator[Register]:
        """Go through all rows."""
        for section in self.sections:
            yield from section.rows


def _rhythm(space: Space, quantity: Quantity) -> Rhythm:
    if quantity.is_counter:
        return Rhythm.ENERGY
    return Rhythm.SETTINGS if space is Space.HOLDING else Rhythm.LIVE


def _row(
    space: Space,
    address: int,
    codec: Codec,
    key: str,
    name: str,
    quantity: Quantity,
    scale: float = 1,
    visibility: Visibility = RAW,
    /,
    *,
    unit: str | None = None,
    offset: int = 0,
    index: int | None = None,
    options: Mapping[int, str | bool] | None = None,
    sentinels: Iterable[int] = (),
    rhythm: Rhythm | None = None,
    setting: Setting | None = None,
    diagnostic: bool = False,
    note: str = "",
    never_write: str = "",
    part_of: tuple[str, str] | None = None,
) -> Register:
    return Register(
        point=Point(
            key=key,
            name=name,
            quantity=quantity,
            unit=unit or UNITS.get(quantity),
            visibility=visibility,
            rhythm=rhythm or _rhythm(space, quantity),
            index=index,
            options=tuple(
                dict.fromkeys(
                    text for text in (options or {}).values() if isinstance(text, str)
                )
            ),
            setting=setting,
            diagnostic=diagnostic,
        ),
        space=space,
        address=address,
        codec=codec,
        scale=scale,
        offset=offset,
        options=options,
        sentinels=frozenset(sentinels),
        note=note,
        never_write=never_write,
        part_of=part_of,
    )


input_row: Final = partial(_row, Space.INPUT)
"""A row of the input registers (function 4)."""

holding_row: Final = partial(_row, Space.HOLDING)
"""A row of the holding registers (function 3)."""


def with_rows(
    rows: Iterable[Register], *replacements: Register
) -> tuple[Register, ...]:
    """Return ``rows`` with those of the same key replaced: a family's own meaning of a row.

    Raises ``KeyError`` if a replacement replaces nothing.
    """
    changed = {row.key: row for row in replacements}
    result = tuple(changed.pop(row.key, row) for row in rows)
    if changed:
        raise KeyError(f"no rows named {', '.join(changed)}")
    return result
