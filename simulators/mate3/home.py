"""The home behind a simulated OutBack gateway: sun, house, battery and grid.

Charge controllers feed the battery's bus; inverters draw from it for the house and sell what
is left, or let the grid through. Of the AC powers of one moment always holds
load = output + buy - sell - charge. All powers are in watts.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
import math
from typing import Final

from simulators.sun import clouds, house_load, sunshine

from .commands import Phase

INVERTING: Final = 0.93
"""Efficiency from the battery's bus to AC, and back."""

_CHARGE_RATE: Final = 0.3
"""Share of its capacity that a battery takes in an hour."""

_TAPER: Final = 15.0
"""So many percent below full, a battery begins to take less."""

_EMPTY: Final = 15.0
"""Percent at which inverters without a grid give up."""

_RESERVE: Final = 55.0
"""Percent above which the house lives on the battery though there is a grid."""

_ABSORB_FROM: Final = 90.0
_FLOAT_FROM: Final = 98.0
_RESISTANCE: Final = 0.012
"""Ohms of the battery."""

_NOMINAL: Final = 48.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Equipment:
    """What a home has. Capacity in Wh; ``peaks`` are the most that controllers give."""

    peaks: tuple[float, ...]
    capacity: float
    nominal_voltage: float
    charger_power: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Controls:
    """What inverters and chargers are told to do."""

    inverting: bool
    ac_use: bool
    grid_tie: bool
    charger: bool
    forced: Phase | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Flows:
    """The powers of one moment.

    ``pv`` by controller, on the side of the battery. ``charge`` is what the inverters'
    chargers draw from the grid.
    """

    pv: tuple[float, ...]
    output: float = 0
    buy: float = 0
    sell: float = 0
    charge: float = 0

    @property
    def load(self) -> float:
        """What the house draws."""
        return self.output + self.buy - self.sell - self.charge

    @property
    def inverters(self) -> float:
        """What inverters draw from the battery's bus; negative while they charge."""
        return self.output / INVERTING - self.charge * INVERTING

    @property
    def battery(self) -> float:
        """What goes into the battery; negative while it gives."""
        return sum(self.pv) - self.inverters


class Home:
    """Decides about powers, and keeps the battery's charge in percent."""

    def __init__(self, equipment: Equipment, soc: float) -> None:
        """Start with a state of charge."""
        self.equipment = equipment
        self.soc = soc

    def flows(self, at: datetime, controls: Controls) -> Flows:
        """Return the powers of a moment, with the battery as it is."""
        pv = tuple(
            peak * sunshine(at) * clouds(at, place)
            for place, peak in enumerate(self.equipment.peaks)
        )
        load = house_load(at)
        accepted = self._accepted(controls.forced)
        if not controls.inverting:
            # Without inverters the house has what the grid gives.
            return _curtailed(
                Flows(pv=pv, buy=load if controls.ac_use else 0), accepted
            )
        if not controls.ac_use:
            if self.soc <= _EMPTY and sum(pv) < load / INVERTING:
                return _curtailed(Flows(pv=pv), accepted)
            return _curtailed(Flows(pv=pv, output=load), accepted)
        return self._with_grid(pv, load, accepted, controls)

    def _with_grid(
        self, pv: tuple[float, ...], load: float, accepted: float, controls: Controls
    ) -> Flows:
        charging = controls.forced in (Phase.BULK, Phase.EQUALIZE)
        if charging and controls.charger:
            charge = min(
                self.equipment.charger_power, max(0, accepted - sum(pv)) / INVERTING
            )
            flows = Flows(pv=pv, buy=load + charge, charge=charge)
            return _curtailed(flows, accepted)
        spare = sum(pv) - load / INVERTING
        if spare < 0 and self.soc <= _RESERVE:
            output = sum(pv) * INVERTING
            return Flows(pv=pv, output=output, buy=load - output)
        if spare <= accepted or not controls.grid_tie:
            return _curtailed(Flows(pv=pv, output=load), accepted)
        sell = (spare - accepted) * INVERTING
        return Flows(pv=pv, output=load + sell, sell=sell)

    def _accepted(self, forced: Phase | None) -> float:
        """Return the most that the battery takes."""
        most = self.equipment.capacity * _CHARGE_RATE
        full_in = (100 - self.soc) / _TAPER
        least = 0.04 if forced is Phase.EQUALIZE else 0.005
        return most * min(1.0, max(least, full_in))

    def charge(self, watts: float, time: timedelta) -> None:
        """Let a power go into the battery, or out of it, for a time."""
        stored = watts * time / timedelta(hours=1) * (0.95 if watts > 0 else 1)
        soc = self.soc + 100 * stored / self.equipment.capacity
        self.soc = min(100.0, max(0.0, soc))

    def phase(self, flows: Flows, forced: Phase | None) -> Phase | None:
        """Return how the battery is charged, ``None`` while it is not."""
        if not any(flows.pv) and not flows.charge:
            return None
        if forced is not None:
            return forced
        if self.soc >= _FLOAT_FROM:
            return Phase.FLOAT
        return Phase.ABSORB if self.soc >= _ABSORB_FROM else Phase.BULK

    def voltage(self, flows: Flows, phase: Phase | None) -> float:
        """Return the voltage of the battery's bus."""
        rest = 48.6 + 0.03 * self.soc
        current = flows.battery * _NOMINAL / self.equipment.nominal_voltage / rest
        volts = rest + current * _RESISTANCE
        if phase is Phase.ABSORB and flows.battery >= 0:
            # It nears the set-point as the battery takes less.
            volts = max(volts, 52.5 + (self.soc - _ABSORB_FROM) * 0.6)
        elif phase is Phase.FLOAT and flows.battery >= 0:
            volts = 54.4
        elif phase is Phase.EQUALIZE:
            volts = max(volts, 57.6)
        return min(60.0, volts) * self.equipment.nominal_voltage / _NOMINAL


def _curtailed(flows: Flows, accepted: float) -> Flows:
    """Return flows whose controllers give no more than is wanted."""
    wanted = max(0.0, flows.inverters + accepted)
    total = math.fsum(flows.pv)
    if total <= wanted or not total:
        return flows
    return Flows(
        pv=tuple(power * wanted / total for power in flows.pv),
        output=flows.output,
        buy=flows.buy,
        sell=flows.sell,
        charge=flows.charge,
    )
