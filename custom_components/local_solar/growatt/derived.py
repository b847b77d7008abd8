"""Points of an inverter that no register of its family holds, and what they follow from.

Every maker's map lacks something that people look for: the battery's power with a sign,
what the grid gives or takes as one number, the sum of the strings. A point is derived
only where the family has no row for it, and has no value while a part of it has none.

Signs: the battery's power is positive while it charges, the grid's while the house
draws from it.
"""

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from typing import Final, cast

from ..points import Point, Quantity, Rhythm, Value, Visibility
from .profiles.profile import OFFERED, SHOWN, UNITS

DECIMALS: Final = 1
"""Of the sums: registers of powers and energies have tenths."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Formula:
    """How a point follows from others of the same device.

    ``parts`` are keys of rows; ``{n}`` in one stands for each PV string there is.
    """

    point: Point
    parts: tuple[str, ...]
    text: str
    """The formula as documentation shows it."""
    compute: Callable[[tuple[float, ...]], float]
    of_battery: bool = False

    def parts_in(self, keys: Collection[str]) -> tuple[str, ...]:
        """Return the keys of all parts, none if one of them is not among ``keys``."""
        found: list[str] = []
        for part in self.parts:
            if "{n}" in part:
                numbered = _numbered(part, keys)
            else:
                numbered = [part] if part in keys else []
            if not numbered:
                return ()
            found += numbered
        return tuple(found)


@dataclass(frozen=True, slots=True, kw_only=True)
class Derivation:
    """A formula with the parts that one inverter has."""

    formula: Formula
    parts: tuple[str, ...]

    @property
    def point(self) -> Point:
        """The point that it gives."""
        return self.formula.point

    def add_to(self, values: dict[str, Value | None]) -> None:
        """Add the value, unless a part was not read. ``None``: a part is not available."""
        try:
            numbers = tuple([values[part] for part in self.parts])
        except KeyError:
            return
        values[self.point.key] = (
            None
            if None in numbers
            # Formulas have no other parts than powers and energies.
            else round(self.formula.compute(cast(tuple[float, ...], numbers)), DECIMALS)
        )


def _numbered(part: str, keys: Collection[str]) -> list[str]:
    """Return the keys of a numbered part: 1, 2, 3, as long as there are any."""
    found: list[str] = []
    while (key := part.format(n=len(found) + 1)) in keys:
        found.append(key)
    return found


def _point(
    key: str,
    name: str,
    quantity: Quantity,
    visibility: Visibility,
) -> Point:
    return Point(
        key=key,
        name=name,
        quantity=quantity,
        unit=UNITS[quantity],
        visibility=visibility,
        rhythm=Rhythm.ENERGY if quantity.is_counter else Rhythm.LIVE,
    )


def _difference(numbers: tuple[float, ...]) -> float:
    """Return one direction less the other.

    Some firmware turns a direction negative while the other one counts it: it must not
    count twice.
    """
    gained, lost = numbers
    return max(0.0, gained) - max(0.0, lost)


def _not_exported(numbers: tuple[float, ...]) -> float:
    output, exported = numbers
    return max(0.0, output - max(0.0, exported))


_PV_POWER: Final = _point("pv_power", "PV power", Quantity.POWER, SHOWN)
_PV_TODAY: Final = _point(
    "pv_energy_today", "PV energy today", Quantity.ENERGY_TODAY, SHOWN
)
_PV_TOTAL: Final = _point(
    "pv_energy_total", "PV energy total", Quantity.ENERGY_TOTAL, SHOWN
)
_BATTERY_POWER: Final = _point("battery_power", "Power", Quantity.POWER, SHOWN)
_GRID_POWER: Final = _point("grid_power", "Grid power", Quantity.POWER, SHOWN)
_LOAD_POWER: Final = _point("load_power", "Load power", Quantity.POWER, SHOWN)
_SELF_USE_POWER: Final = _point(
    "self_use_power", "Self-consumption power", Quantity.POWER, OFFERED
)

FORMULAS: Final[tuple[Formula, ...]] = (
    Formula(
        point=_PV_POWER,
        parts=("pv{n}_power",),
        text="sum of the strings' powers",
        compute=sum,
    ),
    Formula(
        point=_PV_TODAY,
        parts=("pv{n}_energy_today",),
        text="sum of the strings' energies of today",
        compute=sum,
    ),
    Formula(
        point=_PV_TOTAL,
        parts=("pv{n}_energy_total",),
        text="sum of the strings' energies",
        compute=sum,
    ),
    Formula(
        point=_BATTERY_POWER,
        parts=("battery_charge_power", "battery_discharge_power"),
        text="charge power - discharge power",
        compute=_difference,
        of_battery=True,
    ),
    Formula(
        point=_GRID_POWER,
        parts=("grid_import_power", "grid_export_power"),
        text="grid import power - grid export power",
        compute=_difference,
    ),
    Formula(
        point=_GRID_POWER,
        parts=("vpp_meter_power",),
        text="the meter's power in the VPP registers",
        compute=sum,
    ),
    Formula(
        point=_LOAD_POWER,
        parts=("ac_output_power",),
        text="output power of an off-grid inverter",
        compute=sum,
    ),
    Formula(
        point=_LOAD_POWER,
        parts=("ac_power", "vpp_meter_power"),
        text="output power + the meter's power in the VPP registers",
        compute=sum,
    ),
    Formula(
        point=_SELF_USE_POWER,
        parts=("ac_power", "grid_export_power"),
        text="output power - grid export power, at least 0",
        compute=_not_exported,
    ),
    Formula(
        point=_SELF_USE_POWER,
        parts=("ac_power", "vpp_meter_power"),
        text="output power - what the meter in the VPP registers shows as export, at least 0",
        compute=lambda numbers: _not_exported((numbers[0], -numbers[1])),
    ),
)
"""All formulas; of several for one point, the first that an inverter has all parts of."""


def derivations(keys: Collection[str], *, of_battery: bool) -> Iterator[Derivation]:
    """Go through what follows from the rows ``keys`` of a device and is not among them."""
    done = set(keys)
    for formula in FORMULAS:
        if formula.of_battery is not of_battery or formula.point.key in done:
            continue
        if parts := formula.parts_in(keys):
            done.add(formula.point.key)
            yield Derivation(formula=formula, parts=parts)
