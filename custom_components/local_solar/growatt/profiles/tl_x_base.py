"""Grid-tied inverters that answer in the base block alone: the map for unknown ones.

Facts: "Protocol II" V1.13 to V1.39.
"""

from typing import Final

from ...modbus.image import Space
from .base_block import INPUT, MEASURED, strings
from .profile import Part, Profile, Section
from .protocol_2 import HOLDING, MAX_WORDS, groups

PROFILE: Final = Profile(
    key="tl_x_base",
    name="TL-X (base block)",
    sections=(
        Section(part=Part.INVERTER, rows=INPUT),
        Section(part=Part.INVERTER, rows=MEASURED),
        Section(part=Part.STRING, rows=strings(3)),
        Section(part=Part.INVERTER, rows=HOLDING),
    ),
    groups={Space.INPUT: groups(0, 125), Space.HOLDING: groups(0, 125, 250)},
    max_words=MAX_WORDS,
)
"""Register map of grid-tied inverters without the 3000 block."""
