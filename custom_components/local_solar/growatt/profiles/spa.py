"""SPA: single-phase battery inverters without PV, beside an inverter of another kind.

They have no base block: what it would tell lies from 2000 on.

Facts: "Protocol II" V1.13 to V1.39, and scans and reports of owners. No unit was recorded.
"""

from typing import Final

from ...modbus.codecs import S16, S32, U16, U32
from ...modbus.image import Space
from ...modbus.register import Register
from ...points import Quantity as Q, Rhythm
from ..alarms import STATUS_ALONE
from .profile import OFFERED, SHOWN, Part, Profile, Section, input_row
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
_INPUT: Final[tuple[Register, ...]] = (
    # Power
    input_row(2000, U16, "status", "Status", Q.STATE, 1, SHOWN, options=STATUS, note=STATUS_NOTE),
    input_row(2035, S32, "ac_power",        "Output power", Q.POWER, 0.1, SHOWN),
    input_row(2037, U16, "grid_frequency",  "Grid frequency", Q.FREQUENCY, 0.01, OFFERED),
    input_row(2038, U16, "grid_l1_voltage", "Grid L1 voltage", Q.VOLTAGE, 0.1, SHOWN),
    input_row(2039, S16, "grid_l1_current", "Grid L1 current", Q.CURRENT, 0.1, OFFERED),
    input_row(2040, S32, "grid_l1_power", "Grid L1 apparent power", Q.APPARENT_POWER, 0.1, OFFERED),
    input_row(2100, U16, "remote_control_mode", "Remote control mode", Q.STATE, options=PRIORITY),
    input_row(2102, U32, "extra_pv_power_2", "External inverter power (2000 block)", Q.POWER, 0.1),
    input_row(2116, U32, "grid_to_load_power", "Grid to load power", Q.POWER, 0.1,
              note="the documents print 0.1 kWh"),

    # Energy
    *counters(2053, "energy", "Output energy", SHOWN),
    diag_row(2057, U32, "run_time", "Run time", Q.DURATION, 0.5, OFFERED, rhythm=Rhythm.ENERGY),

    # Temperatures, buses
    diag_row(2093, S16, "inverter_temperature", "Inverter temperature", Q.TEMPERATURE, 0.1, SHOWN),
    diag_row(2094, S16, "ipm_temperature", "Power module temperature", Q.TEMPERATURE, 0.1, OFFERED),
    diag_row(2095, S16, "boost_temperature", "Boost temperature", Q.TEMPERATURE, 0.1, OFFERED),
    diag_row(2097, U16, "battery_voltage_dsp", "Battery voltage (DSP)", Q.VOLTAGE, 0.1, OFFERED),
    diag_row(2098, U16, "bus_voltage_p", "Positive bus voltage", Q.VOLTAGE, 0.1, OFFERED),
    diag_row(2099, U16, "bus_voltage_n", "Negative bus voltage", Q.VOLTAGE, 0.1, OFFERED),
)

_BATTERY_INPUT: Final[tuple[Register, ...]] = (
    input_row(2112, U32, "ac_charge_energy_today_2", "Grid charge energy today (2000 block)",
              Q.ENERGY_TODAY, 0.1),
    input_row(2114, U32, "ac_charge_energy_total_2", "Grid charge energy total (2000 block)",
              Q.ENERGY_TOTAL, 0.1),
    input_row(2118, U16, "priority", "Priority", Q.STATE, 1, SHOWN, options=PRIORITY,
              note="that of the time slot in force; a result, not a setting"),
    input_row(2119, U16, "battery_type_state", "Type in use", Q.STATE, options=BATTERY_TYPE_STATE,
              note="numbered the other way round than holding 1048"),
)
# fmt: on

PROFILE: Final = Profile(
    key="spa",
    name="SPA",
    sections=(
        Section(part=Part.INVERTER, rows=_INPUT),
        Section(part=Part.BATTERY, rows=_BATTERY_INPUT),
        *SECTIONS,
    ),
    groups={Space.INPUT: groups(1000, 1125, 2000), Space.HOLDING: HOLDING_GROUPS},
    max_words=MAX_WORDS,
    alarms=STATUS_ALONE,
)
"""Register map of SPA."""
