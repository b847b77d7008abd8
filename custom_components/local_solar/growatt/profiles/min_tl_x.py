"""MIN TL-X and MIC TL-X: PV inverters with the 3000 block.

Facts: "Protocol II" V1.20 to V1.39.
"""

from typing import Final

from ...modbus.image import Space
from .profile import Part, Profile, Section
from .protocol_2 import HOLDING, MAX_WORDS, groups
from .tl_x_3000 import HOLDING_3000, INPUT, STRINGS

PROFILE: Final = Profile(
    key="min_tl_x",
    name="MIN TL-X",
    sections=(
        Section(part=Part.INVERTER, rows=INPUT),
        Section(part=Part.STRING, rows=STRINGS),
        Section(part=Part.INVERTER, rows=HOLDING),
        Section(part=Part.INVERTER, rows=HOLDING_3000),
    ),
    groups={
        Space.INPUT: groups(3000, 3125),
        Space.HOLDING: groups(0, 125, 250, 3000),
    },
    max_words=MAX_WORDS,
)
"""Register map of MIN and MIC TL-X."""
