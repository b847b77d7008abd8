"""Meters that loggers report: their points, and where a report tells each.

A stick passes on the meter block of its inverter, words counted from 0; a box with a meter
on its own bus, or on its radio, tells an SDM630's values as numbers in a row. Facts: two
recorded blocks, whose powers, currents and apparent powers fit each other, and four lists,
in which import and export add up to the total.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from ...modbus.codecs import S32, U32, Integer
from ...points import Point, Quantity, Value, Visibility
from .records import MeterLog, MeterRecord

MOST_VOLTS: Final = 500.0
"""No meter of these shows more: what does is garbage with a right checksum."""

_SHOWN: Final = Visibility.SHOWN
_OFFERED: Final = Visibility.OFFERED

LISTED: Final = 40
"""Numbers that the shortest list of an SDM630 has. Lists of other meters have 25."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MeterRow:
    """A point of a meter.

    ``word`` and ``codec`` are of the block, in steps of one ``divisor``-th; ``place`` is
    that in the list, which needs no scale.
    """

    point: Point
    word: int
    codec: Integer = U32
    divisor: int = 10
    place: int


def _row(
    key: str,
    name: str,
    quantity: Quantity,
    unit: str | None,
    visibility: Visibility,
    *,
    word: int,
    place: int,
    codec: Integer = U32,
    divisor: int = 10,
) -> MeterRow:
    return MeterRow(
        point=Point(
            key=key,
            name=name,
            quantity=quantity,
            unit=unit,
            visibility=visibility,
        ),
        word=word,
        codec=codec,
        divisor=divisor,
        place=place,
    )


def _phase(phase: int) -> tuple[MeterRow, ...]:
    step = phase - 1
    return (
        _row(
            f"grid_l{phase}_voltage",
            f"Grid L{phase} voltage",
            Quantity.VOLTAGE,
            "V",
            _OFFERED,
            word=2 + 2 * step,
            place=14 + step,
        ),
        _row(
            f"grid_l{phase}_current",
            f"Grid L{phase} current",
            Quantity.CURRENT,
            "A",
            _OFFERED,
            word=8 + 2 * step,
            place=17 + step,
        ),
        _row(
            f"grid_l{phase}_active_power",
            f"Grid L{phase} power",
            Quantity.POWER,
            "W",
            _OFFERED,
            word=14 + 2 * step,
            place=2 + step,
            codec=S32,
        ),
    )


METER: Final[tuple[MeterRow, ...]] = (
    _row(
        "grid_power",
        "Grid power",
        Quantity.POWER,
        "W",
        _SHOWN,
        word=38,
        place=20,
        codec=S32,
    ),
    _row(
        "power_factor",
        "Power factor",
        Quantity.POWER_FACTOR,
        None,
        _OFFERED,
        word=44,
        place=23,
        codec=S32,
        divisor=1000,
    ),
    _row(
        "grid_frequency",
        "Grid frequency",
        Quantity.FREQUENCY,
        "Hz",
        _OFFERED,
        word=46,
        place=24,
    ),
    _row(
        "grid_import_energy_total",
        "Grid import energy total",
        Quantity.ENERGY_TOTAL,
        "kWh",
        _SHOWN,
        word=54,
        place=25,
    ),
    _row(
        "grid_export_energy_total",
        "Grid export energy total",
        Quantity.ENERGY_TOTAL,
        "kWh",
        _SHOWN,
        word=56,
        place=26,
    ),
    *_phase(1),
    *_phase(2),
    *_phase(3),
)

POINTS: Final = tuple(row.point for row in METER)


def meter_values(record: MeterRecord | MeterLog) -> Mapping[str, Value | None] | None:
    """Return the values of a meter's report, ``None`` if it cannot be true or read.

    A meter that reports nothing but zeros was not heard: counters must not fall to 0.
    """
    told = record.words if isinstance(record, MeterRecord) else record.numbers
    if not any(told):
        return None
    if isinstance(record, MeterRecord):
        values: dict[str, Value | None] = {
            row.point.key: row.codec.decode(record.words[row.word : row.word + 2])
            / row.divisor
            for row in METER
        }
    elif len(record.numbers) >= LISTED:
        values = {row.point.key: record.numbers[row.place] for row in METER}
    else:
        return None
    volts = [values[f"grid_l{phase}_voltage"] for phase in (1, 2, 3)]
    if any(isinstance(volt, int | float) and volt > MOST_VOLTS for volt in volts):
        return None
    return values
