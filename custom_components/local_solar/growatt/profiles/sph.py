"""SPH: single-phase PV inverters with a battery.

Facts: "Protocol II" V1.13 to V1.39, and what other programs and owners tell. No unit was
recorded.
"""

from typing import Final

from ...modbus.codecs import U16, U32
from ...modbus.image import Space
from ...modbus.register import Register
from ...points import Quantity as Q
from . import base_block
from .profile import OFFERED, SHOWN, Part, Profile, Section, input_row, with_rows
from .protocol_2 import MAX_WORDS, counters, diag_row, groups
from .storage_1000 import (
    BATTERY_TYPE_STATE,
    HOLDING_GROUPS,
    SECTIONS,
    STATUS,
    STATUS_NOTE,
)
from .tl_xh_battery import PRIORITY

# fmt: off
INPUT: Final[tuple[Register, ...]] = (
    *with_rows(
        base_block.INPUT,
        input_row(0, U16, "status", "Status", Q.STATE, 1, SHOWN, options=STATUS, note=STATUS_NOTE),
        *counters(53, "energy", "Output energy", SHOWN,
                  note="with what the battery gave: the yield of the strings is 91"),
        diag_row(97, U16, "battery_voltage_dsp", "Battery voltage (DSP)", Q.VOLTAGE, 0.1, OFFERED,
                 note="another program takes it for 1013"),
        diag_row(112, U16, "warning_code", "Warning code", Q.CODE, 1, OFFERED,
                 note="V1.24: the main code of a warning; before, 112 and 113 are the energy charged"
                      " from the grid today, and this stays 0"),
    ),
    input_row(108, U16, "remote_control_mode", "Remote control mode", Q.STATE, options=PRIORITY),
    input_row(109, U16, "remote_control_power", "Remote control power", Q.CODE,
              note="the documents give no unit"),
    input_row(116, U32, "grid_to_load_power", "Grid to load power", Q.POWER, 0.1,
              note="the documents print 0.1 kWh, and describe a power"),
)
"""Input registers of the base block, as storage inverters have them, but strings and phases."""

BATTERY_INPUT: Final[tuple[Register, ...]] = (
    input_row(114, U32, "ac_charge_energy_total_base", "Grid charge energy total (base block)",
              Q.ENERGY_TOTAL, 0.1,
              note="not certain: the documents have the labels between the rows. Another program"
                   " reads 115 alone"),
    input_row(118, U16, "priority", "Priority", Q.STATE, 1, SHOWN, options=PRIORITY,
              note="that of the time slot in force; a result, not a setting"),
    input_row(119, U16, "battery_type_state", "Type in use", Q.STATE, options=BATTERY_TYPE_STATE,
              note="numbered the other way round than holding 1048"),
)
"""Input registers of the battery in the base block."""
# fmt: on

PROFILE: Final = Profile(
    key="sph",
    name="SPH",
    sections=(
        Section(part=Part.INVERTER, rows=INPUT),
        Section(part=Part.STRING, rows=base_block.strings(2)),
        Section(part=Part.BATTERY, rows=BATTERY_INPUT),
        *SECTIONS,
    ),
    groups={Space.INPUT: groups(0, 1000, 1125), Space.HOLDING: HOLDING_GROUPS},
    max_words=MAX_WORDS,
)
"""Register map of SPH."""
