"""SPH TL3: three-phase PV inverters with a battery, and SPA TL3, which have the same map.

Facts: "Protocol II" V1.13 to V1.39, and what other programs and owners tell. No unit was
recorded.
"""

from typing import Final

from ...modbus.image import Space
from . import base_block
from .profile import Part, Profile, Section
from .protocol_2 import MAX_WORDS, groups
from .sph import BATTERY_INPUT, INPUT
from .storage_1000 import HOLDING_GROUPS, PHASES, SECTIONS

PROFILE: Final = Profile(
    key="sph_tl3",
    name="SPH TL3",
    sections=(
        Section(part=Part.INVERTER, rows=INPUT),
        Section(part=Part.THREE_PHASE, rows=base_block.PHASES),
        Section(part=Part.STRING, rows=base_block.strings(3)),
        Section(part=Part.BATTERY, rows=BATTERY_INPUT),
        Section(part=Part.THREE_PHASE, rows=PHASES),
        *SECTIONS,
    ),
    groups={Space.INPUT: groups(0, 1000, 1125), Space.HOLDING: HOLDING_GROUPS},
    max_words=MAX_WORDS,
)
"""Register map of SPH TL3 and SPA TL3."""
