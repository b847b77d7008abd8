"""The meter block: what an inverter knows of its meter, read by Growatt's own function 0x20.

Facts: "Protocol II" V1.39 for the powers and currents, the bus recording of a MIN 6000TL-XH
for the rest. A Shine stick reads words 0 to 99 in every cycle. No profile has these rows and
no poll reads them: the Modbus connection that integrations share sends no function of a
maker's own. They explain recordings.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from ...modbus.codecs import S16, S32, U16, U32, Integer
from ...points import Point, Quantity as Q
from .profile import UNITS


@dataclass(frozen=True, slots=True, kw_only=True)
class MeterRow:
    """A row of the meter block: where a point lies in it and how it is encoded.

    It is no ``Register``: what is neither an input nor a holding register must not get
    into a profile, whose rows are read. ``value = raw * scale``, the scale a part of 1.
    """

    point: Point
    address: int
    codec: Integer
    scale: float
    note: str = ""

    @property
    def end(self) -> int:
        """First address after the row."""
        return self.address + self.codec.words

    def decode(self, words: Mapping[int, int]) -> float:
        """Return the value. Raises ``KeyError`` if a word of it is missing."""
        raw = self.codec.decode(
            [words[place] for place in range(self.address, self.end)]
        )
        # A division by a whole number gives the nearest double.
        return raw / round(1 / self.scale)


def _row(
    address: int,
    codec: Integer,
    key: str,
    name: str,
    quantity: Q,
    scale: float,
    note: str = "",
) -> MeterRow:
    return MeterRow(
        point=Point(key=key, name=name, quantity=quantity, unit=UNITS.get(quantity)),
        address=address,
        codec=codec,
        scale=scale,
        note=note,
    )


# fmt: off
METER: Final[tuple[MeterRow, ...]] = (
    _row(3,  U16, "meter_voltage",    "Meter voltage",    Q.VOLTAGE, 0.1, "in the recording only"),
    _row(8,  U32, "meter_l1_current", "Meter L1 current", Q.CURRENT, 0.1,
         "scale not certain: 1.4 A was recorded where power and voltage give 1.0 A"),
    _row(10, U32, "meter_l2_current", "Meter L2 current", Q.CURRENT, 0.1),
    _row(14, S32, "meter_l1_power",   "Meter L1 power",   Q.POWER, 0.1),
    _row(16, S32, "meter_l2_power",   "Meter L2 power",   Q.POWER, 0.1),
    _row(20, U32, "meter_apparent_power", "Meter apparent power", Q.APPARENT_POWER, 0.1,
         "inferred from the recording, like all that follow but 38"),
    _row(26, S32, "meter_reactive_power", "Meter reactive power", Q.REACTIVE_POWER, 0.1),
    _row(33, S16, "meter_power_factor",   "Meter power factor",   Q.POWER_FACTOR, 0.001),

    # All phases
    _row(38, S32, "meter_power", "Meter power", Q.POWER, 0.1, "positive = import, as recorded"),
    _row(40, U32, "meter_apparent_power_total", "Meter total apparent power", Q.APPARENT_POWER,
         0.1),
    _row(42, S32, "meter_reactive_power_total", "Meter total reactive power", Q.REACTIVE_POWER,
         0.1),
    _row(45, S16, "meter_power_factor_total", "Meter total power factor", Q.POWER_FACTOR, 0.001),
    _row(47, U16, "meter_frequency", "Meter frequency", Q.FREQUENCY, 0.1),
    _row(54, U32, "meter_import_energy_total", "Meter import energy total", Q.ENERGY_TOTAL, 0.1,
         "import by elimination: the inverter's own counter of it says something else"),
    _row(56, U32, "meter_export_energy_total", "Meter export energy total", Q.ENERGY_TOTAL, 0.1,
         "as the inverter's own counter, within 0.1 %"),
)
# fmt: on
"""The rows of the meter block, words counted from 0."""


def decode_meter_block(words: Mapping[int, int]) -> dict[str, float]:
    """Return key -> value for every row whose words are there, by address."""
    return {
        row.point.key: row.decode(words)
        for row in METER
        if all(place in words for place in range(row.address, row.end))
    }
