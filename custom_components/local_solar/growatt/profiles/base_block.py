"""The base block of grid-tied inverters: input registers 0 to 249.

Storage inverters have its first half, with powers that a battery turns negative.

Facts: "Protocol II" V1.13 to V1.39.
"""

from collections.abc import Mapping
from typing import Final

from ...modbus.codecs import LOW_BYTE, S16, S32, U16, U32
from ...modbus.register import Register
from ...points import Quantity as Q, Rhythm, Visibility
from .profile import OFFERED, SHOWN, input_row
from .protocol_2 import AFCI_STATE, alarm_rows, counters, diag_row, string_rows

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

PID_STATUS: Final[Mapping[int, str]] = {1: "waiting", 2: "normal", 3: "fault"}

# fmt: off
INPUT: Final[tuple[Register, ...]] = (
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

    # Energy
    *counters(53, "energy", "Output energy", SHOWN),
    input_row(91,  U32, "pv_energy_total",       "PV energy total", Q.ENERGY_TOTAL, 0.1, SHOWN),
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
)
"""Input registers 0 to 124 but those of the strings and of the phases 2 and 3.

Powers and currents are signed: a battery that charges from the grid turns them negative,
and no inverter reaches the values where it makes a difference.
"""


def _phase(n: int, address: int, power: Visibility) -> tuple[Register, ...]:
    """Return the rows of grid phase ``n``; its apparent power reaches as far as ``power``."""
    return (
        input_row(address, U16, f"grid_l{n}_voltage", f"Grid L{n} voltage", Q.VOLTAGE, 0.1, SHOWN),
        input_row(address + 1, S16, f"grid_l{n}_current", f"Grid L{n} current", Q.CURRENT, 0.1,
                  OFFERED),
        input_row(address + 2, S32, f"grid_l{n}_power", f"Grid L{n} apparent power",
                  Q.APPARENT_POWER, 0.1, power),
    )


def phases(address: int, power: Visibility = OFFERED) -> tuple[Register, ...]:
    """Return the rows of the grid phases 2 and 3 from ``address`` on, and what is between them.

    Their apparent power reaches as far as ``power``: as that of phase 1 does.
    """
    return (
        *_phase(2, address, power),
        *_phase(3, address + 4, power),
        input_row(address + 8, U16, "grid_l1_l2_voltage", "Grid L1-L2 voltage", Q.VOLTAGE, 0.1),
        input_row(address + 9, U16, "grid_l2_l3_voltage", "Grid L2-L3 voltage", Q.VOLTAGE, 0.1),
        input_row(address + 10, U16, "grid_l3_l1_voltage", "Grid L3-L1 voltage", Q.VOLTAGE, 0.1),
    )


PHASES: Final = phases(42)
"""Input registers 42 to 52."""

MEASURED: Final[tuple[Register, ...]] = (
    # Safety measurements
    diag_row(200, U16, "pv_isolation",    "PV insulation resistance", Q.RESISTANCE, 1, OFFERED),
    diag_row(201, S16, "dc_injection_l1", "DC injection L1", Q.CURRENT, 0.1, unit="mA"),
    diag_row(202, S16, "dc_injection_l2", "DC injection L2", Q.CURRENT, 0.1, unit="mA"),
    diag_row(203, S16, "dc_injection_l3", "DC injection L3", Q.CURRENT, 0.1, unit="mA"),
    diag_row(204, U16, "pid_bus_voltage", "PID bus voltage", Q.VOLTAGE, 0.1),
    diag_row(205, U16, "leakage_current", "Leakage current", Q.CURRENT, 1, OFFERED, unit="mA"),
    diag_row(238, U16, "afci_status",     "Arc detection", Q.STATE, options=AFCI_STATE),

    # Apparent and reactive power
    input_row(230, U32, "apparent_power",       "Apparent power", Q.APPARENT_POWER, 0.1, OFFERED),
    input_row(232, S32, "reactive_power",       "Reactive power", Q.REACTIVE_POWER, 0.1, OFFERED),
    input_row(234, U32, "reactive_power_max", "Rated reactive power", Q.REACTIVE_POWER, 0.1,
              note="a rating, though some programs read it as the value"),
    input_row(236, U32, "reactive_energy_total", "Reactive energy total", Q.REACTIVE_ENERGY, 0.1),
)
"""Input registers 200 to 238."""

STRING_CHECK: Final[tuple[Register, ...]] = (
    # PID: a voltage against the wear that the strings' own voltage causes
    diag_row(125, U16, "pid_1_voltage", "PID PV1 voltage", Q.VOLTAGE, 0.1,
             note="the pairs of PV2 to PV8 follow, up to 140"),
    diag_row(126, S16, "pid_1_current", "PID PV1 current", Q.CURRENT, 0.1, unit="mA"),
    diag_row(141, LOW_BYTE, "pid_status", "PID status", Q.STATE, 1, OFFERED, options=PID_STATUS),
    diag_row(177, U16, "pid_fault", "PID fault bits", Q.CODE,
             note="bit 0 over-voltage, 1 isolation, 2 bus voltage"),

    # What the inverter thinks of single strings, a bit for each
    diag_row(174, U16, "string_unmatched",    "Strings unmatched",    Q.CODE),
    diag_row(175, U16, "string_unbalanced",   "Strings unbalanced",   Q.CODE, note="in current"),
    diag_row(176, U16, "string_disconnected", "Strings disconnected", Q.CODE, 1, OFFERED),
    diag_row(178, U16, "string_prompt", "String check bits", Q.CODE,
             note="bit 0 unmatched, 1 disconnected, 2 unbalanced"),
)
"""Input registers 125 to 141 and 174 to 178."""


def monitored_strings(count: int) -> tuple[Register, ...]:
    """Return the input rows of the strings 1 to ``count``, at most 16, behind the PV inputs.

    Input registers 142 to 173. The current tells a string that fails; the voltage is much
    like that of its PV input.
    """
    return tuple(
        row
        for n in range(1, count + 1)
        for row in (
            diag_row(140 + 2 * n, U16, f"string{n}_voltage", "String {n} voltage", Q.VOLTAGE, 0.1,
                     index=n),
            diag_row(141 + 2 * n, S16, f"string{n}_current", "String {n} current", Q.CURRENT, 0.1,
                     OFFERED, index=n),
        )
    )


def strings(count: int) -> tuple[Register, ...]:
    """Return the input rows of the PV strings 1 to ``count``, at most 8: those of the base block."""
    return tuple(
        row
        for n in range(1, count + 1)
        for row in string_rows(n, 3 + 4 * (n - 1), 59 + 4 * (n - 1))
    )
# fmt: on
