"""MOD, MID and MAC TL3-X: three-phase PV inverters.

Facts: "Protocol II" V1.13 to V1.39. No unit was recorded.
"""

from typing import Final

from ...modbus.image import Space
from .base_block import (
    INPUT,
    MEASURED,
    PHASES,
    STRING_CHECK,
    monitored_strings,
    strings,
)
from .profile import Part, Profile, Section
from .protocol_2 import HOLDING, MAX_WORDS, groups

PROFILE: Final = Profile(
    key="mod_tl3_x",
    name="MOD, MID, MAC TL3-X",
    sections=(
        Section(part=Part.INVERTER, rows=INPUT),
        Section(part=Part.THREE_PHASE, rows=PHASES),
        Section(part=Part.INVERTER, rows=MEASURED),
        Section(part=Part.INVERTER, rows=STRING_CHECK),
        Section(part=Part.STRING, rows=strings(4)),
        Section(part=Part.STRING_MONITOR, rows=monitored_strings(8)),
        Section(part=Part.INVERTER, rows=HOLDING),
    ),
    groups={Space.INPUT: groups(0, 125), Space.HOLDING: groups(0, 125, 250)},
    max_words=MAX_WORDS,
)
"""Register map of MOD, MID and MAC TL3-X."""
