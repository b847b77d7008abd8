"""Registers from 3000 on that TL-X and TL-XH share.

Facts: "Protocol II" V1.20, V1.24 and V1.39; the recording of a MIN 6000TL-XH. V1.20 gave
3107 to 3114 another meaning (fault words); here they are as since V1.24.
"""

from collections.abc import Mapping
from typing import Final

from ...modbus.codecs import HIGH_BYTE, LOW_BYTE, S16, S32, U16, U32, Bits, Text
from ...modbus.register import Register
from ...points import Quantity as Q, Rhythm
from .profile import OFFERED, SHOWN, holding_row, input_row
from .protocol_2 import (
    AFCI_STATE,
    BAUD_RATE,
    CHOICE,
    CUTS_LINK,
    NO_YES,
    alarm_rows,
    counters,
    diag_row,
    identity_row,
    limits,
    string_rows,
)

STATUS: Final[Mapping[int, str]] = {
    0: "standby",
    1: "normal",
    2: "off_grid",
    3: "fault",
    4: "firmware_update",
}

STATUS_MODE: Final[Mapping[int, str]] = {
    0: "waiting",
    1: "self_test",
    3: "fault",
    4: "firmware_update",
    5: "pv_battery_online",
    6: "battery_online",
    7: "pv_offline_mode",
    8: "battery_offline_mode",
}

DERATING: Final[Mapping[int, str]] = {
    0: "none",
    1: "pv_or_bus_voltage_high",
    2: "constant_power_test",
    3: "grid_voltage_high",
    4: "grid_frequency_high",
    5: "single_dc_source_mode",
    6: "inverter_temperature",
    7: "active_power_command",
    8: "load_speed_ramp",
    9: "over_back_by_time",
    10: "internal_temperature",
    11: "external_temperature",
    12: "wire_impedance",
    13: "parallel_export_limit",
    14: "export_limit",
    15: "load_first_mode",
    16: "ct_installation",
    17: "zero_current_mode",
    18: "boost_temperature",
    19: "zero_power_mode",
    20: "under_frequency_increase",
    21: "bus_current_limit",
}

# The counters of the fourth string came later and lie apart.
_STRING_ENERGY: Final[Mapping[int, int]] = {1: 3055, 2: 3059, 3: 3063, 4: 3079}

STRINGS: Final[tuple[Register, ...]] = tuple(
    row
    for n, energy_address in _STRING_ENERGY.items()
    for row in string_rows(n, 3003 + 4 * (n - 1), energy_address)
)
"""Input rows of the PV strings 1 to 4."""

# fmt: off
INPUT: Final[tuple[Register, ...]] = (
    # State: two bytes that must never be compared as one word
    input_row(3000, LOW_BYTE, "status", "Status", Q.STATE, 1, SHOWN, options=STATUS),
    input_row(3000, HIGH_BYTE, "status_mode", "Operating mode", Q.STATE,
              options=STATUS_MODE, note="from V1.24"),

    # Power
    input_row(3001, U32, "pv_power",        "PV power", Q.POWER, 0.1, SHOWN),
    input_row(3019, U32, "system_power",    "System output power", Q.POWER, 0.1),
    input_row(3021, S32, "reactive_power",  "Reactive power", Q.REACTIVE_POWER, 0.1, OFFERED),
    input_row(3023, U32, "ac_power",        "Output power", Q.POWER, 0.1, SHOWN),
    input_row(3025, U16, "grid_frequency",  "Grid frequency", Q.FREQUENCY, 0.01, OFFERED),
    input_row(3026, U16, "grid_l1_voltage", "Grid L1 voltage", Q.VOLTAGE, 0.1, SHOWN),
    input_row(3027, U16, "grid_l1_current", "Grid L1 current", Q.CURRENT, 0.1, OFFERED),
    input_row(3028, U32, "grid_l1_power",   "Grid L1 apparent power", Q.APPARENT_POWER, 0.1),
    input_row(3041, U32, "grid_import_power", "Grid import power", Q.POWER, 0.1, SHOWN,
              note="0 without a meter"),
    input_row(3043, U32, "grid_export_power", "Grid export power", Q.POWER, 0.1, SHOWN,
              note="0 without a meter; never above 0 together with the import"),
    input_row(3045, U32, "load_power", "Load power", Q.POWER, 0.1, SHOWN),
    input_row(3121, U32, "self_use_power", "Self-consumption power", Q.POWER, 0.1, OFFERED,
              note="from V1.24"),

    # Energy
    diag_row(3047, U32, "run_time", "Run time", Q.DURATION, 0.5, OFFERED, rhythm=Rhythm.ENERGY),
    *counters(3049, "energy", "Output energy", SHOWN,
              note="with what a battery gave: the yield of the strings is 3053 and 3083"),
    input_row(3053, U32, "pv_energy_total", "PV energy total", Q.ENERGY_TOTAL, 0.1, SHOWN,
              note="0 on some TL-XH, which tell it at 91 only"),
    *counters(3067, "grid_import_energy", "Grid import energy", SHOWN),
    *counters(3071, "grid_export_energy", "Grid export energy", SHOWN),
    *counters(3075, "load_energy", "Load energy", SHOWN),
    input_row(3083, U32, "pv_energy_today", "PV energy today", Q.ENERGY_TODAY, 0.1, SHOWN),
    input_row(3123, U32, "system_energy_today", "System output energy today", Q.ENERGY_TODAY,
              0.1, note="from V1.24"),

    # Safety measurements, temperatures, buses
    diag_row(3086, U16, "derating_mode", "Derating reason", Q.STATE, 1, OFFERED, options=DERATING),
    diag_row(3087, U16, "pv_isolation", "PV insulation resistance", Q.RESISTANCE, 1, OFFERED),
    diag_row(3088, S16, "dc_injection_l1", "DC injection L1", Q.CURRENT, 0.1, unit="mA"),
    diag_row(3091, U16, "leakage_current", "Leakage current", Q.CURRENT, unit="mA"),
    diag_row(3092, U16, "bus_voltage", "Bus voltage", Q.VOLTAGE, 0.1),
    diag_row(3093, S16, "inverter_temperature", "Inverter temperature", Q.TEMPERATURE, 0.1, SHOWN),
    diag_row(3094, S16, "ipm_temperature", "Power module temperature", Q.TEMPERATURE, 0.1, OFFERED),
    diag_row(3095, S16, "boost_temperature", "Boost temperature", Q.TEMPERATURE, 0.1,
             note="0 on some TL-XH"),
    diag_row(3097, S16, "communication_board_temperature", "Communication board temperature",
             Q.TEMPERATURE, 0.1),
    diag_row(3098, U16, "bus_voltage_p", "Positive bus voltage", Q.VOLTAGE, 0.1, OFFERED),
    diag_row(3099, U16, "bus_voltage_n", "Negative bus voltage", Q.VOLTAGE, 0.1),
    input_row(3100, U16, "power_factor", "Power factor", Q.POWER_FACTOR, 0.0001, OFFERED,
              offset=-10000),
    input_row(3101, U16, "output_power_percent", "Output power level",   Q.PERCENT),
    input_row(3102, U32, "output_power_max",     "Output power allowed", Q.POWER, 0.1),

    # Alarms
    diag_row(3104, U16,     "standby_flags", "Standby reasons", Q.CODE),
    diag_row(3104, Bits(0), "standby_by_command", "Standby by command", Q.FLAG, options=NO_YES),
    diag_row(3104, Bits(1), "standby_pv_low", "Standby for low PV voltage", Q.FLAG, options=NO_YES),
    diag_row(3104, Bits(2), "standby_grid", "Standby for grid out of range", Q.FLAG,
             options=NO_YES),
    *alarm_rows(3105, 3106),
    diag_row(3107, U16, "fault_subcode",   "Fault sub-code",         Q.CODE),
    diag_row(3108, U16, "warning_subcode", "Warning sub-code",       Q.CODE),
    diag_row(3111, U16, "afci_fft",        "Arc detection spectrum", Q.CODE),
    diag_row(3112, U16, "afci_status",     "Arc detection",          Q.STATE, options=AFCI_STATE),
    input_row(3115, U16, "start_delay",       "Start countdown", Q.DURATION),
    input_row(3119, U16, "dry_contact_state", "Dry contact",     Q.FLAG, options=NO_YES),
)
"""Input registers 3000 to 3124 but those of the strings; powers are unsigned, as on a TL-X."""

HOLDING_3000: Final[tuple[Register, ...]] = (
    holding_row(3000, U16, "export_limit_fail_rate", "Export limit fallback", Q.PERCENT, 0.1,
                setting=limits(0, 100, 0.1), note="power allowed while the meter does not answer"),
    identity_row(3001, Text(15), "serial_number_3000", "Serial number (3000 block)", Q.TEXT),
    holding_row(3016, U16, "dry_contact_enable", "Dry contact in use", Q.FLAG,
                options=NO_YES, setting=CHOICE),
    holding_row(3017, U16, "dry_contact_on_power", "Dry contact on level", Q.PERCENT, 0.1,
                setting=limits(0, 100, 0.1)),
    holding_row(3019, U16, "dry_contact_off_power", "Dry contact off level", Q.PERCENT, 0.1,
                setting=limits(0, 100, 0.1)),
    holding_row(3085, U16, "modbus_address_3000", "Unit id (3000 block)", Q.CODE,
                never_write=CUTS_LINK),
    holding_row(3086, U16, "baud_rate_3000", "Baud rate (3000 block)", Q.STATE, options=BAUD_RATE,
                never_write=CUTS_LINK),
)
"""Holding registers from 3000 on that a TL-X has."""
# fmt: on
