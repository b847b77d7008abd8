"""The energy meter of a plant as a datalogger reports it.

As words (20) it comes through the inverter; as text (1b) from an Eastron SDM630 at the
logger itself. Both show the same.
"""

from dataclasses import dataclass
import math
from typing import Final

from simulators.datasets import Table

from .inverters import SimulatedInverter

WORDS: Final = 100
"""Words of the block that function 0x20 reads."""

TEXT_UNIT: Final = 0x22
"""Unit byte of a meter on RS485; boxes with radio have 0x50."""

TEXT_MODEL: Final = 0x0043
"""Word in front of the text, as recorded of an SDM630."""

_MARK: Final = 0x84
"""First number of the block; what it means is not known."""

_FIELDS: Final = 41


@dataclass(frozen=True, slots=True)
class Meter:
    """What a meter shows: three phases, import positive."""

    powers: tuple[float, float, float]
    imported: float
    """Energy in kWh."""
    exported: float
    voltages: tuple[float, float, float] = (231.2, 232.4, 230.1)
    frequency: float = 50.0

    @classmethod
    def of(cls, inverter: SimulatedInverter) -> Meter:
        """Return the one of an inverter's plant; of one that does not live, made up."""
        inverter.unit.update()
        mutation = inverter.unit.mutation
        if mutation is None:
            return cls((412.5, -128.3, 96.4), 1843.2, 5271.9)
        flows, grown = mutation.plant.flows(), mutation.plant.grown
        power = (flows.grid_import - flows.grid_export) / 10
        third = round(power / 3, 1)
        return cls(
            (third, third, round(power - 2 * third, 1)),
            1843.2 + grown.get("grid_import", 0) / 1000,
            5271.9 + grown.get("grid_export", 0) / 1000,
        )

    @property
    def power(self) -> float:
        """Power of all phases."""
        return sum(self.powers)

    @property
    def currents(self) -> tuple[float, ...]:
        """Currents of the phases."""
        pairs = zip(self.powers, self.voltages, strict=True)
        return tuple(abs(power) / voltage for power, voltage in pairs)

    def words(self) -> tuple[int, ...]:
        """Return it as function 0x20 reads it: numbers of 32 bits."""
        shown = {0: _MARK}

        def show(address: int, values: tuple[float, ...], scale: float = 10) -> None:
            for place, value in enumerate(values):
                shown[address + 2 * place] = round(value * scale)

        show(2, self.voltages)
        show(8, self.currents)
        show(14, self.powers)
        show(20, tuple(map(abs, self.powers)))
        show(32, tuple(math.copysign(1, power) for power in self.powers), 1000)
        show(38, (self.power, abs(self.power)))
        show(44, (math.copysign(1, self.power),), 1000)
        v1, v2, v3 = self.between
        show(46, (self.frequency, v1, v2, v3, self.imported, self.exported))
        words = [0] * WORDS
        for address, value in shown.items():
            words[address] = value >> 16 & 0xFFFF
            words[address + 1] = value & 0xFFFF
        return tuple(words)

    def text(self) -> bytes:
        """Return it as the text of an SDM630, whose last fields are not all known."""
        total = self.imported + self.exported
        numbers = (
            *(total, 0.0),
            *self.powers,
            *(0.0, 0.0, 0.0),
            *map(abs, self.powers),
            *(math.copysign(1, power) for power in self.powers),
            *self.voltages,
            *self.currents,
            *(self.power, abs(self.power), 0.0, math.copysign(1, self.power)),
            *(self.frequency, self.imported, self.exported),
        )
        fields = [f"{number:.1f}" for number in numbers]
        fields[:2] = f"{total:.2f}", "0.00"
        between = [f"{voltage:.1f}" for voltage in self.between]
        unknown = ["0.0"] * (_FIELDS - 1 - len(fields) - len(between))
        return (",".join([*fields, *unknown, *between]) + ",").encode("ascii")

    @property
    def between(self) -> tuple[float, ...]:
        """Voltages between the phases."""
        v1, v2, v3 = self.voltages
        return tuple(
            (one + other) / 2 * math.sqrt(3)
            for one, other in ((v1, v2), (v2, v3), (v3, v1))
        )


def words_of(inverter: SimulatedInverter) -> tuple[int, ...]:
    """Return the block of an inverter's meter: that of its dataset, if it has one."""
    recorded = inverter.unit.dataset.words[Table.METER]
    if not recorded:
        return Meter.of(inverter).words()
    return tuple(recorded.get(address, 0) for address in range(WORDS))
