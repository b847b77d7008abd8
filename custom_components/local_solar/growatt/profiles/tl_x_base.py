"""Grid-tied inverters that answer in the base block: input registers 0 to 249.

Facts: "Protocol II" V1.13 to V1.39.
"""

from collections.abc import Mapping
from typing import Final

from ...modbus.codecs import S16, S32, U16, U32
from ...modbus.image import Space
from ...modbus.register import Register
from ...points import Quantity as Q, Rhythm
from .profile import OFFERED, SHOWN, Part, Profile, Section, input_row
from .protocol_2 import (
    AFCI_STATE,
    HOLDING,
    MAX_WORDS,
    alarm_rows,
    counters,
    diag_row,
    groups,
    string_rows,
)

STATUS: Final[Mapping[int, str]] = {0: "waiting", 1: "normal", 3: "fault"}

DERATING: Final[Mapping[int, str]] = {
    0: "none",
    1: "pv",
    3: "grid_voltage",
    4: "grid_frequency",
    5: "boost_temperature",
    6: "inverter_temperature",
    7: "control",
    8: "load_speed",
    9: "over_back_by_time",
}
"""Of the base block: 3086 numbers the reasons differently."""

_STRINGS: Final = tuple(
    row
    for n in range(1, 4)
    for row in string_rows(n, 3 + 4 * (n - 1), 59 + 4 * (n - 1))
)

# fmt: off
_INPUT: Final[tuple[Register, ...]] = (
    # Power
    input_row(0,  U16, "status",          "Status", Q.STATE, 1, SHOWN, options=STATUS),
    input_row(1,  U32, "pv_power",        "PV power", Q.POWER, 0.1, SHOWN),
    input_row(35, S32, "ac_power",        "Output power", Q.POWER, 0.1, SHOWN),
    input_row(37, U16, "grid_frequency",  "Grid frequency", Q.FREQUENCY, 0.01, OFFERED),
    input_row(38, U16, "grid_l1_voltage", "Grid L1 voltage", Q.VOLTAGE, 0.1, SHOWN),
    input_row(39, S16, "grid_l1_current", "Grid L1 current", Q.CURRENT, 0.1, OFFERED),
    input_row(40, S32, "grid_l1_power",   "Grid L1 apparent power", Q.APPARENT_POWER, 0.1, OFFERED),
    input_row(100, U16, "power_factor", "Power factor", Q.POWER_FACTOR, 0.0001, OFFERED,
              offset=-10000),
    input_row(101, U16, "output_power_percent", "Output power level", Q.PERCENT, 1, OFFERED),
    input_row(102, U32, "output_power_max",     "Output power allowed", Q.POWER, 0.1),
    input_row(230, U32, "apparent_power",       "Apparent power", Q.APPARENT_POWER, 0.1, OFFERED),
    input_row(232, S32, "reactive_power",       "Reactive power", Q.REACTIVE_POWER, 0.1, OFFERED),
    input_row(234, U32, "reactive_power_max", "Rated reactive power", Q.REACTIVE_POWER, 0.1,
              note="a rating, though some programs read it as the value"),

    # Energy
    *counters(53, "energy", "Output energy", SHOWN),
    input_row(91,  U32, "pv_energy_total",       "PV energy total", Q.ENERGY_TOTAL, 0.1, SHOWN),
    input_row(236, U32, "reactive_energy_total", "Reactive energy total", Q.REACTIVE_ENERGY, 0.1),
    diag_row(57, U32, "run_time", "Run time", Q.DURATION, 0.5, OFFERED, rhythm=Rhythm.ENERGY),

    # Temperatures, buses
    diag_row(93, S16, "inverter_temperature", "Inverter temperature", Q.TEMPERATURE, 0.1, SHOWN),
    diag_row(94, S16, "ipm_temperature", "Power module temperature", Q.TEMPERATURE, 0.1, OFFERED),
    diag_row(95, S16, "boost_temperature", "Boost temperature", Q.TEMPERATURE, 0.1, OFFERED),
    diag_row(97, U16, "battery_voltage_dsp", "Battery voltage (DSP)", Q.VOLTAGE, 0.1,
             note="so say all documents; without a battery it means nothing, and on a MIN 6000TL-XH"
                  " it is the temperature of the communication board"),
    diag_row(98, U16, "bus_voltage_p", "Positive bus voltage", Q.VOLTAGE, 0.1, OFFERED),
    diag_row(99, U16, "bus_voltage_n", "Negative bus voltage", Q.VOLTAGE, 0.1, OFFERED),

    # Alarms
    diag_row(104, U16, "derating_mode", "Derating reason", Q.STATE, 1, OFFERED, options=DERATING),
    *alarm_rows(105, 112),
    diag_row(107, U16, "fault_subcode", "Fault sub-code", Q.CODE,
             note="from V1.24; before, 106 and 107 are fault bits"),
    diag_row(110, U16, "warning_bits", "Warning bits", Q.CODE,
             note="V1.20: the high half of 32 bits with 111"),
    diag_row(111, U16, "warning_subcode", "Warning sub-code", Q.CODE, note="from V1.24"),

    # Safety measurements
    diag_row(200, U16, "pv_isolation",    "PV insulation resistance", Q.RESISTANCE, 1, OFFERED),
    diag_row(201, S16, "dc_injection_l1", "DC injection L1", Q.CURRENT, 0.1, unit="mA"),
    diag_row(202, S16, "dc_injection_l2", "DC injection L2", Q.CURRENT, 0.1, unit="mA"),
    diag_row(203, S16, "dc_injection_l3", "DC injection L3", Q.CURRENT, 0.1, unit="mA"),
    diag_row(204, U16, "pid_bus_voltage", "PID bus voltage", Q.VOLTAGE, 0.1),
    diag_row(205, U16, "leakage_current", "Leakage current", Q.CURRENT, 1, OFFERED, unit="mA"),
    diag_row(238, U16, "afci_status",     "Arc detection", Q.STATE, options=AFCI_STATE),
)
# fmt: on

PROFILE: Final = Profile(
    key="tl_x_base",
    name="TL-X (base block)",
    sections=(
        Section(part=Part.INVERTER, rows=_INPUT),
        Section(part=Part.STRING, rows=_STRINGS),
        Section(part=Part.INVERTER, rows=HOLDING),
    ),
    groups={Space.INPUT: groups(0, 125), Space.HOLDING: groups(0, 125, 250)},
    max_words=MAX_WORDS,
)
"""Register map of grid-tied inverters without the 3000 block."""
