"""Which values cannot be true: what a logger reports may be garbage with a right checksum.

Facts: a recorded report of an off-grid model that claims 393 MW of a panel. Inverters are
read by their stick over a serial line that the packet's checksum says nothing about.
"""

from collections.abc import Iterable, Mapping
from typing import Final

from ..modbus.decoder import Limits
from ..points import Point, Quantity, Value, Visibility

UNKNOWN_POWER: Final = 250_000.0
"""VA that an inverter is taken for whose rated power is not known: the largest of the maker."""

_TIMES_RATED: Final = 4.0
"""So many times its rated power an inverter may show: panels, loads and grid are larger."""

_LEAST_POWER: Final = 250_000.0
"""W that any inverter may show: a recorded SPH tells a tenth of its rated power."""

_HOURS: Final = 24

_NUMBER: Final = (int, float)

_UNITS: Final = frozenset({"V", "A", "Hz", "°C", "%", "W", "VA", "var", "kWh"})
"""What limits are told in: a current in mA is another thing."""

_FIXED: Final[Mapping[Quantity, tuple[float, float]]] = {
    Quantity.VOLTAGE: (0.0, 1700.0),
    Quantity.CURRENT: (-1500.0, 1500.0),
    Quantity.FREQUENCY: (0.0, 75.0),
    Quantity.TEMPERATURE: (-60.0, 200.0),
    Quantity.STATE_OF_CHARGE: (0.0, 100.0),
}


def limits_of(points: Iterable[Point], rated_power: float | None) -> Limits:
    """Return what can be true of points that measure, and are shown.

    ``rated_power`` is in VA. Registers that hardly any firmware has may hold anything.
    """
    power = max(_LEAST_POWER, _TIMES_RATED * (rated_power or UNKNOWN_POWER))
    of_size: Mapping[Quantity, tuple[float, float]] = {
        Quantity.POWER: (-power, power),
        Quantity.APPARENT_POWER: (-power, power),
        Quantity.REACTIVE_POWER: (-power, power),
        Quantity.ENERGY_TODAY: (0.0, _HOURS * power / 1000),
    }
    limits = {**_FIXED, **of_size}
    return {
        point.key: limits[point.quantity]
        for point in points
        if point.quantity in limits
        and point.unit in _UNITS
        and point.setting is None
        and point.visibility is not Visibility.RAW
    }


def impossible(values: Mapping[str, Value | None], limits: Limits) -> dict[str, str]:
    """Return the keys of values that cannot be true, with what they claim."""
    return {
        key: f"{value:g} cannot be"
        for key, (low, high) in limits.items()
        if isinstance(value := values.get(key), _NUMBER) and not low <= value <= high
    }
