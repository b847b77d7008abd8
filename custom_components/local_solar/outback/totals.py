"""Sums over devices of one kind: what the whole system generates, draws and feeds in.

Counters start at 0 again at the gateway's midnight, but not all devices at the same poll. A
sum of new and old counters would look like a reset of its own, and statistics would count
what follows twice; so there is none until every device has started anew.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
import logging
import time
from typing import Final

from ..points import Point, Quantity, Visibility
from .block import Family

_LOGGER = logging.getLogger(__name__)

HELD_FOR: Final = 1800.0
"""Seconds after which a counter that fell alone is believed: a device was exchanged."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Total:
    """A point of the gateway that sums one of all devices of a family."""

    point: Point
    family: Family
    of: str
    """Key of the devices' point."""


def _total(
    family: Family, key: str, name: str, quantity: Quantity, unit: str, of: str = ""
) -> Total:
    # Controllers count whole kWh in all, and tenths today.
    decimals = 0 if quantity is Quantity.ENERGY_TOTAL else None
    point = Point(
        key=key,
        name=name,
        quantity=quantity,
        unit=unit,
        visibility=Visibility.SHOWN,
        decimals=decimals,
    )
    return Total(point=point, family=family, of=of or key)


TOTALS: Final = (
    _total(Family.CHARGE_CONTROLLER, "pv_power", "PV power", Quantity.POWER, "W"),
    *(
        _total(Family.CHARGE_CONTROLLER, key, name, quantity, "kWh")
        for key, name, quantity in (
            ("pv_energy_today", "PV energy today", Quantity.ENERGY_TODAY),
            ("pv_energy_total", "PV energy total", Quantity.ENERGY_TOTAL),
        )
    ),
    *(
        _total(Family.INVERTER, key, name, Quantity.POWER, "kW")
        for key, name in (
            ("ac_power", "Output power"),
            ("load_power", "Load power"),
            ("grid_import_power", "Grid import power"),
            ("grid_export_power", "Grid export power"),
        )
    ),
    *(
        _total(Family.INVERTER, key, name, Quantity.ENERGY_TODAY, "kWh")
        for key, name in (
            ("energy_today", "Output energy today"),
            ("grid_import_energy_today", "Grid import energy today"),
            ("grid_export_energy_today", "Grid export energy today"),
        )
    ),
)
"""All sums there are, of the families that a system has."""


@dataclass(slots=True)
class _Members:
    """The counters of a sum, and which of them have started anew."""

    last: dict[str, float] = field(default_factory=dict)
    fallen: dict[str, float] = field(default_factory=dict)
    """What those that have started anew had counted before."""
    expected: frozenset[str] = frozenset()
    """Those that can be seen to start anew: what stands at 0 cannot."""
    since: float = 0.0


class TotalGuard:
    """Adds members up, as long as that means something."""

    def __init__(self) -> None:
        """Know nothing yet."""
        self._members: dict[str, _Members] = {}

    def add_up(self, total: Total, values: Mapping[str, float | None]) -> float | None:
        """Return the sum of values by member, ``None`` if there is none now.

        There is none if a member has no value, or has started anew before the others.
        """
        known = {member: value for member, value in values.items() if value is not None}
        if not known or len(known) != len(values):
            return None
        if total.point.quantity.is_counter and not self._agree(total.point.key, known):
            return None
        return round(sum(known.values()), 3)

    def _agree(self, key: str, values: Mapping[str, float]) -> bool:
        """Return whether the counters are all of the same day, as far as can be told."""
        members = self._members.setdefault(key, _Members())
        now = time.monotonic()
        fallen = {
            member: before
            for member, before in members.last.items()
            if values.get(member, before) < before
        }
        if fallen and not members.fallen:
            members.expected = frozenset(
                member for member, value in members.last.items() if value > 0
            )
            members.since = now
        members.last = dict(values)
        # What is back where it was had only been misread.
        members.fallen = {
            member: before
            for member, before in {**fallen, **members.fallen}.items()
            if values.get(member, before) < before
        }
        waiting = members.expected & values.keys() - members.fallen.keys()
        if not members.fallen or not waiting:
            members.fallen = {}
            return True
        if now - members.since < HELD_FOR:
            return False
        _LOGGER.info(
            "%s: a counter started anew without those of %s",
            key,
            ", ".join(sorted(waiting)),
        )
        members.fallen = {}
        return True
