"""Points of a device that no register holds, and what they follow from."""

from collections.abc import Iterator
from typing import Final

from ..points import ALARMS, PROBLEM, Point, Quantity, Value, Visibility
from .alarms import FIELDS, alarms_of
from .placed import PlacedRows

CHARGE_POWER: Final = Point(
    key="battery_charge_power",
    name="Charge power",
    quantity=Quantity.POWER,
    unit="kW",
    visibility=Visibility.SHOWN,
    decimals=2,
)
DISCHARGE_POWER: Final = Point(
    key="battery_discharge_power",
    name="Discharge power",
    quantity=Quantity.POWER,
    unit="kW",
    visibility=Visibility.SHOWN,
    decimals=2,
)
"""The two directions of the battery's power."""

BATTERY_POWER: Final = "battery_power"


def _legs(key: str, name: str, leg: str) -> tuple[Point, tuple[str, str]]:
    point = Point(
        key=key,
        name=name,
        quantity=Quantity.ENERGY_TODAY,
        unit="kWh",
        visibility=Visibility.SHOWN,
    )
    return point, (leg.format("l1"), leg.format("l2"))


LEGS: Final = (
    _legs("energy_today", "Output energy today", "output_{}_energy_today"),
    _legs(
        "grid_import_energy_today",
        "Grid import energy today",
        "grid_{}_import_energy_today",
    ),
    _legs(
        "grid_export_energy_today",
        "Grid export energy today",
        "grid_{}_export_energy_today",
    ),
    _legs(
        "generator_energy_today", "Generator energy today", "generator_{}_energy_today"
    ),
)
"""What a split-phase inverter counts for each leg, and what the legs are together."""


def derived_points(rows: PlacedRows) -> Iterator[Point]:
    """Go through the points that follow from the rows of a device."""
    if any(key in rows for key in FIELDS):
        yield from (PROBLEM, ALARMS)
    if BATTERY_POWER in rows:
        yield from (CHARGE_POWER, DISCHARGE_POWER)
    for point, legs in LEGS:
        if all(leg in rows for leg in legs):
            yield point


def has(rows: PlacedRows, key: str) -> bool:
    """Return whether a device has a point, be it in a register or not."""
    return key in rows or any(point.key == key for point in derived_points(rows))


def needs(rows: PlacedRows, key: str) -> Iterator[str]:
    """Go through the keys of the rows that a point's value is made of."""
    if key in rows:
        yield key
        return
    if key in (PROBLEM.key, ALARMS.key):
        yield from (name for name in FIELDS if name in rows)
    elif key in (CHARGE_POWER.key, DISCHARGE_POWER.key) and BATTERY_POWER in rows:
        yield BATTERY_POWER
    for point, legs in LEGS:
        if point.key == key:
            yield from (leg for leg in legs if leg in rows)


def derive(values: dict[str, Value | None], rows: PlacedRows) -> None:
    """Add what follows from the values of a device."""
    fields = {key: values[key] for key in FIELDS if key in values}
    if any(bits is not None for bits in fields.values()):
        alarms = alarms_of(fields)
        values[ALARMS.key] = alarms
        values[PROBLEM.key] = any(alarm.kind == "fault" for alarm in alarms)
    elif fields:
        values[ALARMS.key] = values[PROBLEM.key] = None
    if BATTERY_POWER in values:
        power = number_of(values[BATTERY_POWER])
        values[CHARGE_POWER.key] = None if power is None else max(power, 0)
        values[DISCHARGE_POWER.key] = None if power is None else max(-power, 0)
    for point, legs in LEGS:
        if point.key in rows or not all(leg in values for leg in legs):
            continue
        first, second = (number_of(values[leg]) for leg in legs)
        values[point.key] = (
            None if first is None or second is None else round(first + second, 2)
        )


def number_of(value: Value | None) -> float | None:
    """Return a value if it is a number."""
    return value if isinstance(value, int | float) else None
