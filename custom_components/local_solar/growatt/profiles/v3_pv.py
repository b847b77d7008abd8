"""Old string inverters: TL-S, MTL-S, TL3-S and their like.

Facts: "Growatt Inverter Modbus RTU Protocol" V3.14.
"""

from collections.abc import Mapping
from typing import Final

from ...modbus.codecs import HIGH_BYTE, S16, S32, U16, U32, Words
from ...modbus.image import Space
from ...modbus.register import Register
from ...points import Quantity as Q, Rhythm
from ..alarms import V3, AlarmKind
from .base_block import DERATING, STATUS
from .profile import OFFERED, SHOWN, Part, Profile, Section, holding_row, input_row
from .protocol_2 import (
    GRID_CODE,
    LANGUAGE,
    NO_YES,
    POWER_FACTOR_MODE,
    POWER_SWITCH,
    counters,
    diag_row,
    string_rows,
)
from .protocol_3 import (
    FORBIDDEN,
    MAX_WORDS,
    NAME_PLATE,
    narrow_groups,
    same_as_protocol_2,
)

ON_OFF: Final[Mapping[int, bool]] = {0x0101: True, 0x0100: False, 1: True, 0: False}
"""The high byte is the automatic start. Only what keeps it is written: what comes first."""

WARNING: Final[Mapping[int, str]] = {
    0: "none",
    **{1 << code - 100: meaning.slug for code, meaning in V3.warnings.items()},
}
"""The warning bits as one state: there is none for several at once."""

MONITORED_STRINGS: Final = 8

# fmt: off
_INPUT: Final[tuple[Register, ...]] = (
    # Power
    input_row(0,  U16, "status",          "Status", Q.STATE, 1, SHOWN, options=STATUS),
    input_row(1,  U32, "pv_power",        "PV power", Q.POWER, 0.1, SHOWN),
    input_row(11, U32, "ac_power",        "Output power", Q.POWER, 0.1, SHOWN),
    input_row(13, U16, "grid_frequency",  "Grid frequency", Q.FREQUENCY, 0.01, OFFERED),
    input_row(14, U16, "grid_l1_voltage", "Grid L1 voltage", Q.VOLTAGE, 0.1, SHOWN),
    input_row(15, U16, "grid_l1_current", "Grid L1 current", Q.CURRENT, 0.1, OFFERED),
    input_row(16, U32, "grid_l1_power",   "Grid L1 apparent power", Q.APPARENT_POWER, 0.1, OFFERED),
    input_row(45, U16, "power_factor", "Power factor", Q.POWER_FACTOR, 0.0001, OFFERED,
              offset=-10000),
    input_row(58, S32, "reactive_power", "Reactive power", Q.REACTIVE_POWER, 0.1, OFFERED,
              note="the document does not say which sign is which"),
    input_row(66, U16, "output_power_percent", "Output power level", Q.PERCENT, 1, OFFERED),
    input_row(67, U32, "output_power_max",     "Output power allowed", Q.POWER, 0.1),

    # Energy
    *counters(26, "energy", "Output energy", SHOWN),
    input_row(56, U32, "pv_energy_total", "PV energy total", Q.ENERGY_TOTAL, 0.1, SHOWN),
    input_row(60, U32, "reactive_energy_today", "Reactive energy today", Q.REACTIVE_ENERGY, 0.1),
    input_row(62, U32, "reactive_energy_total", "Reactive energy total", Q.REACTIVE_ENERGY, 0.1),
    diag_row(30, U32, "run_time", "Run time", Q.DURATION, 0.5, OFFERED, rhythm=Rhythm.ENERGY),
    input_row(450, Words(44), "energy_by_hour_to_21", "Output energy by hour (until 22:00)", Q.TEXT,
              note="22 hours of today, two words each, 0.1 kWh; the next is on both sides of the"
                   " end of a group. The document has 7 days at 498, 12 months at 512, 20 years"
                   " at 536"),
    input_row(496, Words(2), "energy_by_hour_23", "Output energy from 23:00", Q.TEXT,
              note="the last of the hours at 450"),

    # Temperatures, buses
    diag_row(32, S16, "inverter_temperature", "Inverter temperature", Q.TEMPERATURE, 0.1, SHOWN),
    diag_row(41, S16, "ipm_temperature", "Power module temperature", Q.TEMPERATURE, 0.1, OFFERED),
    diag_row(42, U16, "bus_voltage_p",   "Positive bus voltage", Q.VOLTAGE, 0.1, OFFERED),
    diag_row(43, U16, "bus_voltage_n",   "Negative bus voltage", Q.VOLTAGE, 0.1, OFFERED),

    # Alarms
    diag_row(40, U16, "fault", "Fault", Q.FAULT, 1, SHOWN, options=V3.options(AlarmKind.FAULT)),
    diag_row(40, U16, "fault_code", "Fault code", Q.CODE, 1, OFFERED,
             note="the display shows 99 more for 1 to 23"),
    diag_row(128, U32, "fault_bits", "Fault bits", Q.CODE,
             note="from V3.13; bit n stands for fault code n + 1"),
    diag_row(64, U16, "warning", "Warning", Q.FAULT, 1, SHOWN, options=WARNING,
             note="unknown while there are several: the alarms tell them all"),
    diag_row(64, U16, "warning_bits",  "Warning bits", Q.CODE, 1, OFFERED,
             note="the display shows 100 + n for bit n"),
    diag_row(65, U16, "warning_value", "Warning value", Q.CODE),
    diag_row(47, U16, "derating_mode", "Derating reason", Q.STATE, 1, OFFERED, options=DERATING),
    diag_row(86, U16, "string_fault",        "String fault bits",   Q.CODE),
    diag_row(87, U16, "string_warning",      "String warning bits", Q.CODE),
    diag_row(88, U16, "string_disconnected", "Strings disconnected", Q.CODE),

    # What was measured when the last fault came
    diag_row(33, U16, "fault_isolation",    "Isolation value at the fault",  Q.VOLTAGE, 0.1),
    diag_row(34, U16, "fault_leakage",      "Leakage current at the fault", Q.CURRENT, unit="mA"),
    diag_row(35, U16, "fault_dc_injection", "DC injection at the fault",   Q.CURRENT, 0.01),
    diag_row(36, U16, "fault_pv_voltage",   "PV voltage at the fault",     Q.VOLTAGE, 0.1),
    diag_row(37, U16, "fault_grid_voltage", "Grid voltage at the fault",   Q.VOLTAGE, 0.1),
    diag_row(38, U16, "fault_grid_frequency", "Grid frequency at the fault", Q.FREQUENCY, 0.01),
    diag_row(39, U16, "fault_temperature",  "Temperature at the fault",    Q.TEMPERATURE, 0.1),
    input_row(90, Words(25), "grid_fault_history", "Grid fault history", Q.TEXT,
              note="5 records of 5 words: code, year since 2000 and month, day and hour, minute and"
                   " second, value"),
)
"""Input registers but those of the strings and of the phases 2 and 3."""

_STRINGS: Final[tuple[Register, ...]] = (
    *string_rows(1, 3, 48),
    *string_rows(2, 7, 52),
    *string_rows(3, 120, 124),  # from V3.12
)


def _phase(n: int, address: int) -> tuple[Register, ...]:
    """Return the rows of grid phase ``n``."""
    return (
        input_row(address, U16, f"grid_l{n}_voltage", f"Grid L{n} voltage", Q.VOLTAGE, 0.1, SHOWN),
        input_row(address + 1, U16, f"grid_l{n}_current", f"Grid L{n} current", Q.CURRENT, 0.1,
                  OFFERED),
        input_row(address + 2, U32, f"grid_l{n}_power", f"Grid L{n} apparent power",
                  Q.APPARENT_POWER, 0.1, OFFERED),
    )


_STRING_MONITOR: Final[tuple[Register, ...]] = tuple(
    row
    for n in range(1, MONITORED_STRINGS + 1)
    for row in (
        input_row(68 + 2 * n, U16, f"string{n}_voltage", "String {n} voltage", Q.VOLTAGE, 0.1,
                  index=n),
        input_row(69 + 2 * n, S16, f"string{n}_current", "String {n} current", Q.CURRENT, 0.1,
                  index=n),
    )
)

_HOLDING: Final[tuple[Register, ...]] = (
    *NAME_PLATE,

    # Commands
    holding_row(0, U16, "on_off", "Inverter on", Q.FLAG, 1, OFFERED, options=ON_OFF,
                setting=POWER_SWITCH,
                note="the high byte is the automatic start: writing switches it on, as an inverter"
                     " without it stays off after the first night"),
    holding_row(0, HIGH_BYTE, "auto_start", "Automatic start", Q.FLAG, options=NO_YES),
    holding_row(1, U16, "spi_enable", "SPI function", Q.FLAG, options=NO_YES,
                never_write=GRID_CODE),
    *same_as_protocol_2(
        "power_command_memory", "active_power_limit", "reactive_power_limit",
        "power_factor_setting",
    ),

    # Ratings, start
    *same_as_protocol_2(
        "rated_apparent_power", "rated_pv_voltage", "pv_start_voltage", "start_time",
        "tracker_count", "phase_count",
    ),
    holding_row(15, U16, "lcd_language", "Display language", Q.STATE, options=LANGUAGE),
    holding_row(75, U16, "rs232_to_rs485", "RS232 works as RS485", Q.FLAG, options=NO_YES),

    # Grid protection. In Protocol II 22 is the baud rate.
    holding_row(19, Words(4), "grid_protection_limits", "Grid protection limits", Q.TEXT,
                never_write=GRID_CODE, note="limits of voltage and frequency"),
    holding_row(34, U16, "auto_test_start", "Auto-test trigger", Q.CODE,
                never_write="takes the inverter off the grid for a test of its protection"),
    holding_row(35, Words(8), "grid_protection_limits_2", "Grid protection limits 2", Q.TEXT,
                never_write=GRID_CODE, note="second limits, and those for connecting"),
    holding_row(99, U16, "power_factor_mode", "Power factor mode", Q.STATE,
                options=POWER_FACTOR_MODE, never_write=GRID_CODE),
)
# fmt: on

PROFILE: Final = Profile(
    key="v3_pv",
    name="TL-S, MTL-S, TL3-S",
    sections=(
        Section(part=Part.INVERTER, rows=_INPUT),
        Section(part=Part.STRING, rows=_STRINGS),
        Section(part=Part.THREE_PHASE, rows=(*_phase(2, 18), *_phase(3, 22))),
        Section(part=Part.STRING_MONITOR, rows=_STRING_MONITOR),
        Section(part=Part.INVERTER, rows=_HOLDING),
    ),
    groups={
        Space.INPUT: narrow_groups(0, 45, 90, 450, 495),
        Space.HOLDING: narrow_groups(0, 45, 90),
    },
    max_words=MAX_WORDS,
    forbidden=FORBIDDEN,
    alarms=V3,
)
"""Register map of the old string inverters."""
