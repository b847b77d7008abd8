"""MAX TL3: three-phase PV inverters with up to 16 PV inputs.

Facts: "Protocol II" V1.13 to V1.39, for the PV inputs 9 to 16 V1.24 and V1.39. No unit was
recorded, and no other program has this map.
"""

from typing import Final

from ...modbus.codecs import U32
from ...modbus.image import Space
from ...modbus.register import Register
from ...points import Quantity as Q
from .base_block import (
    INPUT,
    MEASURED,
    PHASES,
    STRING_CHECK,
    monitored_strings,
    strings,
)
from .profile import Part, Profile, Section, input_row, with_rows
from .protocol_2 import HOLDING, MAX_WORDS, groups, string_rows


# fmt: off
def _further_string(n: int) -> tuple[Register, ...]:
    """Return the input rows of PV string ``n``, 9 to 16: MAX 1500 V and MAX-X.

    Those of the day get no entity: with them there would be more than 100.
    """
    place = n - 9
    energy = 907 + 4 * place
    return with_rows(
        string_rows(n, 875 + 4 * place, energy),
        input_row(energy, U32, f"pv{n}_energy_today", "PV{n} energy today", Q.ENERGY_TODAY, 0.1,
                  index=n),
    )
# fmt: on


FURTHER_STRINGS: Final = tuple(row for n in range(9, 17) for row in _further_string(n))
"""Input registers 875 to 938."""

PROFILE: Final = Profile(
    key="max_tl3",
    name="MAX TL3",
    sections=(
        Section(part=Part.INVERTER, rows=INPUT),
        Section(part=Part.THREE_PHASE, rows=PHASES),
        Section(part=Part.INVERTER, rows=MEASURED),
        Section(part=Part.INVERTER, rows=STRING_CHECK),
        Section(part=Part.STRING, rows=(*strings(8), *FURTHER_STRINGS)),
        Section(part=Part.STRING_MONITOR, rows=monitored_strings(16)),
        Section(part=Part.INVERTER, rows=HOLDING),
    ),
    groups={Space.INPUT: groups(0, 125, 875), Space.HOLDING: groups(0, 125, 250)},
    max_words=MAX_WORDS,
)
"""Register map of MAX."""
