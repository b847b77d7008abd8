"""Microinverters and meters whose values follow the simulated sun.

Powers are kept as messages have them, in tenths of a watt, so that what one moment shows
belongs together: the AC power is 0.955 of the sum of the inputs. Energy is the integral
of power.
"""

from dataclasses import dataclass
from datetime import datetime
import math
from typing import Final

from simulators.sun import clouds, house_load, sunshine

from .inventory import InverterSpec, MeterSpec

EFFICIENCY: Final = 0.955
"""Of a microinverter, from DC to AC."""

FULL_LIMIT: Final = 1000
"""No limit, in tenths of a percent of the rated power."""

HISTORY_STEP: Final = 300
"""Seconds that one value of the power's history stands for."""

_OVERSIZE: Final = 1.05
"""Panels of that share of the rated power."""

_OPEN_CIRCUIT: Final = 1.15
"""Voltage of a panel that is not drawn from, in terms of that at work."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PanelValues:
    """One input at one moment, scaled as in messages."""

    voltage: int
    """0.1 V."""
    current: int
    """0.01 A."""
    power: int
    """0.1 W."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GridValues:
    """The AC side at one moment, scaled as in messages."""

    voltage: int
    """0.1 V, of a phase."""
    frequency: int
    """0.01 Hz."""
    active_power: int
    """0.1 W."""
    reactive_power: int
    """0.1 var."""
    current: int
    """0.01 A, of a phase."""
    power_factor: int
    """0.001."""
    temperature: int
    """0.1 °C."""


def grid_voltage(at: datetime) -> float:
    """Return the voltage of the grid."""
    return 231 * (1 + 0.006 * math.sin(at.minute / 4.1))


class SimulatedInverter:
    """One microinverter with its panels."""

    def __init__(self, spec: InverterSpec, place: int = 0) -> None:
        """Put it at a place, where the clouds pass a little later than at the others."""
        self.spec = spec
        self.place = place
        self.on = True
        """Whether it may produce; switched off by command, until it is switched on or
        restarts."""
        self.stored_limit = FULL_LIMIT
        """Tenths of a percent of the rated power, kept for good."""
        self.temporary_limit: int | None = None
        """Tenths of a watt, kept until it restarts."""
        self.out_of_reach = False
        """Whether the radio does not get through. For tests to set."""
        self.away_until: datetime | None = None
        """When a restart will be over."""
        self.warning_count = 0
        """Events so far."""
        inputs = spec.model.inputs
        self.energy_total = [
            294_112.0 - 7_919 * place - 793 * port for port in range(inputs)
        ]
        """Watt-hours of a life, by input."""
        self.energy_today = [0.0] * inputs
        """Watt-hours since midnight, or since an integrated DTU started."""

    @property
    def serial(self) -> int:
        """Its serial number."""
        return self.spec.serial

    @property
    def limit(self) -> int:
        """The power that it must not exceed, in tenths of a watt."""
        stored = self.spec.model.rated_power * 10 * self.stored_limit // FULL_LIMIT
        return (
            stored
            if self.temporary_limit is None
            else min(stored, self.temporary_limit)
        )

    @property
    def limit_in_force(self) -> int:
        """The limit in tenths of a percent of the rated power, as the inverter tells it."""
        rated = self.spec.model.rated_power * 10
        return min(FULL_LIMIT, round(self.limit * FULL_LIMIT / rated))

    def is_reachable(self, at: datetime) -> bool:
        """Return whether the DTU gets an answer from it: it has sun and is there."""
        away = self.away_until is not None and at < self.away_until
        return not (self.out_of_reach or away) and sunshine(at) > 0

    def restart(self, until: datetime) -> None:
        """Be away until a moment and forget what is kept in RAM."""
        self.away_until = until
        self.temporary_limit = None
        self.on = True

    def input_powers(self, at: datetime) -> list[int]:
        """Return the power of each input, in tenths of a watt."""
        model = self.spec.model
        away = self.away_until is not None and at < self.away_until
        sun = sunshine(at)
        if not self.on or away or not sun:
            return [0] * model.inputs
        peak = 10 * model.rated_power / EFFICIENCY / model.inputs * _OVERSIZE * sun
        powers = [
            int(peak * clouds(at, self.place + port) * (1 - 0.03 * port))
            for port in range(model.inputs)
        ]
        most, found = int(self.limit / EFFICIENCY), sum(powers)
        if found > most:
            powers = [power * most // found for power in powers]
        return powers

    def panels(self, at: datetime) -> list[PanelValues]:
        """Return what the inputs show."""
        values = []
        for port, power in enumerate(self.input_powers(at)):
            voltage = 36.5 + 0.6 * math.sin(at.minute / 5 + port + self.place)
            if not power:
                voltage *= _OPEN_CIRCUIT
            current = power / 10 / voltage
            values.append(
                PanelValues(
                    voltage=round(10 * voltage),
                    current=round(100 * current),
                    power=power,
                )
            )
        return values

    def grid(self, at: datetime) -> GridValues:
        """Return what the AC side shows."""
        power = ac_power(self.input_powers(at))
        voltage = grid_voltage(at)
        model = self.spec.model
        return GridValues(
            voltage=round(10 * voltage),
            frequency=round(5000 + 2 * math.sin(at.second / 7 + at.minute)),
            active_power=power,
            reactive_power=power // 250,
            current=round(100 * power / 10 / voltage / model.phases),
            power_factor=999 if power else 0,
            temperature=round(150 + 250 * power / 10 / model.rated_power),
        )

    def pass_time(self, middle: datetime, hours: float) -> float:
        """Produce for so many hours as in their middle. Return the AC watt-hours."""
        powers = self.input_powers(middle)
        for port, power in enumerate(powers):
            self.energy_total[port] += power / 10 * hours
            self.energy_today[port] += power / 10 * hours
        return ac_power(powers) / 10 * hours

    def begin_day(self) -> None:
        """Let the energy of the day begin at 0."""
        self.energy_today = [0.0] * self.spec.model.inputs


def ac_power(inputs: list[int]) -> int:
    """Return the AC power that the inputs' powers give, in tenths of a watt."""
    return round(EFFICIENCY * sum(inputs))


class SimulatedMeter:
    """A meter where the house meets the grid. Watts and watt-hours; export is negative."""

    def __init__(self, spec: MeterSpec) -> None:
        """Start with what it has counted before."""
        self.spec = spec
        self.exported = [355_490.0 / spec.phases] * spec.phases
        self.imported = [717_730.0 / spec.phases] * spec.phases

    @staticmethod
    def house_load(at: datetime) -> float:
        """Return what the house draws, in watts."""
        return house_load(at)

    def powers(self, at: datetime, produced: float) -> list[float]:
        """Return the power of each phase while the inverters produce so many watts."""
        phases = self.spec.phases
        shares = [1.0] if phases == 1 else [0.5, 0.3, 0.2]
        load = self.house_load(at)
        return [load * share - produced / phases for share in shares]

    def pass_time(self, middle: datetime, hours: float, produced: float) -> None:
        """Count what flows in so many hours; ``produced`` is the watts of their middle."""
        for phase, power in enumerate(self.powers(middle, produced)):
            if power < 0:
                self.exported[phase] -= power * hours
            else:
                self.imported[phase] += power * hours
