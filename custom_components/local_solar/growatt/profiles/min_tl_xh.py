"""MIN TL-XH: single-phase PV inverters with a battery converter.

Facts: "Protocol II" V1.24 and V1.39; a scan and a recording of a MIN 6000TL-XH (DTC 5100,
firmware AL1.0, ARK battery). What only these, V1.13 or other programs tell is noted.
"""

from typing import Final

from ...modbus.codecs import S16, U16, Words
from ...modbus.image import Space
from ...modbus.register import Register
from ...points import Quantity as Q
from .profile import Part, Profile, Section, input_row
from .protocol_2 import MAX_WORDS, groups
from .tl_xh import SECTIONS
from .tl_xh_battery import PRIORITY

# fmt: off
_BASE_BLOCK: Final[tuple[Register, ...]] = (
    # Mirrors, as found in a scan
    input_row(97, S16, "base_communication_board_temperature",
              "Communication board temperature (base block)", Q.TEMPERATURE, 0.1,
              note="as 3097 in a scan; documents: battery voltage, others: boost temperature"),
    input_row(113, U16, "base_output_power_percent", "Output power level (base block)", Q.PERCENT,
              note="equals 3101 in a scan"),
    input_row(114, U16, "base_start_delay", "Start countdown (base block)", Q.DURATION,
              note="equals 3115 in a scan"),
    input_row(118, U16, "base_priority",     "Priority (base block)", Q.STATE, options=PRIORITY),
    input_row(200, U16, "base_pv_isolation", "PV insulation resistance (base block)", Q.RESISTANCE),

    # What the inverter remembers: in V1.13 only, all but the faults found in a scan, too
    input_row(250, Words(25), "grid_fault_history", "Grid fault history", Q.TEXT,
              note="5 records of 5 words: code, year since 2000 and month, day and hour, minute and"
                   " second, value"),
    input_row(284, Words(48), "energy_by_hour", "Output energy by hour", Q.TEXT,
              note="24 hours of today, two words each, 0.1 kWh"),
    input_row(332, Words(14), "energy_by_day", "Output energy by day", Q.TEXT,
              note="7 days, today first, two words each, 0.1 kWh"),
    input_row(346, Words(24), "energy_by_month", "Output energy by month", Q.TEXT,
              note="12 months, two words each, 0.1 kWh"),
    input_row(375, Words(40), "energy_by_year", "Output energy by year", Q.TEXT,
              note="20 years, two words each, 0.1 kWh"),
)
# fmt: on

PROFILE: Final = Profile(
    key="min_tl_xh",
    name="MIN TL-XH",
    sections=(*SECTIONS, Section(part=Part.INVERTER, rows=_BASE_BLOCK)),
    groups={
        Space.INPUT: groups(
            0, 125, 250, 375, 3000, 3125, 3250, 4000, 4125, 5000, 5125, 5250, 5375, 5500
        ),
        Space.HOLDING: groups(
            0, 125, 250, 500, 625, 3000, 3125, 3250, 5000, 5125, 5375, 5500
        ),
    },
    max_words=MAX_WORDS,
)
"""Register map of MIN TL-XH and XH2; those of the US have more rows."""
