"""The battery of a MIN TL-XH: converter, battery management, modules, time slots.

Facts: "Protocol II" V1.24 and V1.39; the recording of a MIN 6000TL-XH with an ARK battery.
"""

from collections.abc import Mapping
from typing import Final

from ...modbus.codecs import HIGH_BYTE, LOW_BYTE, S16, U16, U32, Bits, Hex, Text, Words
from ...modbus.register import Register
from ...points import AC_CHARGE, Quantity as Q, Rhythm
from ..time_slots import xh_slot
from .profile import OFFERED, SHOWN, holding_row, input_row
from .protocol_2 import (
    CHOICE,
    EVERYDAY_CHOICE,
    NO_LIMIT,
    NO_YES,
    counters,
    diag_row,
    identity_row,
    limits,
)
from .slot_rows import EVERYDAY_SLOTS, slot_rows

BATTERY_SAFETY: Final = "guards the battery: only its maker knows a safe value"

PRIORITY: Final[Mapping[int, str]] = {
    0: "load_first",
    1: "battery_first",
    2: "grid_first",
}

BATTERY_STATE: Final[Mapping[int, str]] = {0: "idle", 1: "charging", 2: "discharging"}

CONVERTER_STATE: Final[Mapping[int, str]] = {
    0: "standby",
    1: "normal",
    2: "fault",
    3: "firmware_update",
}

BATTERY_DERATING: Final[Mapping[int, str]] = {
    0: "none",
    1: "system_fault",
    2: "system_warning",
    3: "charge_battery_current_max",
    4: "charge_battery_hot",
    6: "charge_soc_limit",
    7: "charge_battery_cold",
    8: "charge_bus_voltage_high",
    9: "charge_full",
    11: "charge_warning_block",
    12: "charge_user_limit",
    13: "charge_bms_limit",
    17: "discharge_battery_current_max",
    18: "discharge_enable",
    19: "discharge_bus_voltage_high",
    20: "discharge_hot",
    21: "discharge_warning_block",
    22: "discharge_user_limit",
    23: "discharge_bms_limit",
}

BMS_STATE: Final[Mapping[int, str]] = {
    0: "dormant",
    1: "charging",
    2: "discharging",
    3: "free",
    4: "standby",
    5: "soft_start",
    6: "fault",
    7: "update",
}

ISOLATION_CHECK: Final[Mapping[int, str]] = {0: "not_detected", 1: "completed"}

MODULE_STATE: Final[Mapping[int, str]] = {
    0: "initialize",
    1: "standby",
    2: "charging",
    3: "discharging",
    4: "shutdown",
    5: "fault",
    6: "update",
    7: "sleeping",
}

BATTERY_FAMILY: Final[Mapping[int, str]] = {
    0: "ark",
    1: "lg_v3",
    2: "apx_hv",
    3: "lg_v4",
}

BATTERY_TYPE: Final[Mapping[int, str]] = {0: "lithium", 1: "lead_acid", 2: "other"}

BMS_LINK: Final[Mapping[int, str]] = {0: "rs485", 1: "can"}

SOC_NOT_AVAILABLE: Final = (0xFFFF, 65276)
"""What some firmware answers instead of a state of charge it does not know."""

MODULES: Final = 6
"""Battery modules with rows; V1.39 has room for 64."""

# fmt: off
BATTERY_INPUT: Final[tuple[Register, ...]] = (
    # Energy
    *counters(3125, "battery_discharge_energy", "Discharge energy", SHOWN),
    *counters(3129, "battery_charge_energy", "Charge energy", SHOWN),
    *counters(3133, "ac_charge_energy", "Grid charge energy", OFFERED),

    # Battery converter
    input_row(3144, U16, "priority", "Priority", Q.STATE, 1, SHOWN, options=PRIORITY,
              note="that of the time slot in force; a result, not a setting"),
    input_row(3164, U16, "bdc_separate", "Data of each converter", Q.FLAG, options=NO_YES,
              note="from V1.24; true = there are blocks at 4000"),
    diag_row(3165, U16, "battery_derating_mode", "Derating reason", Q.STATE, 1, OFFERED,
             options=BATTERY_DERATING, note="numbered as in V1.39, not as in V1.24"),
    input_row(3166, HIGH_BYTE, "battery_state", "State", Q.STATE, 1, SHOWN, options=BATTERY_STATE),
    diag_row(3166, LOW_BYTE, "battery_converter_state", "Converter state", Q.STATE,
             options=CONVERTER_STATE),
    diag_row(3167, U16, "battery_fault_code",   "Fault code",   Q.CODE, 1, OFFERED),
    diag_row(3168, U16, "battery_warning_code", "Warning code", Q.CODE, 1, OFFERED),
    input_row(3169, U16, "battery_voltage", "Voltage", Q.VOLTAGE, 0.01, OFFERED,
              note="0.1 V with an APX battery: battery.py finds out"),
    input_row(3170, S16, "battery_current", "Current", Q.CURRENT, 0.1, OFFERED,
              note="the sign differs by firmware: 3178 and 3180 tell the direction"),
    input_row(3171, U16, "battery_soc", "State of charge", Q.STATE_OF_CHARGE, 1, SHOWN,
              sentinels=SOC_NOT_AVAILABLE),
    diag_row(3172, U16, "battery_bus_voltage",       "Converter bus voltage",       Q.VOLTAGE, 0.1),
    diag_row(3173, U16, "battery_bus_voltage_upper", "Converter upper bus voltage", Q.VOLTAGE, 0.1),
    diag_row(3174, S16, "buck_boost_current",        "Buck-boost current",          Q.CURRENT, 0.1),
    diag_row(3175, S16, "llc_current",               "LLC current",                 Q.CURRENT, 0.1),
    diag_row(3176, S16, "battery_converter_temperature_a", "Converter temperature A", Q.TEMPERATURE,
             0.1, note="not of the cells"),
    diag_row(3177, S16, "battery_converter_temperature_b", "Converter temperature B", Q.TEMPERATURE,
             0.1),
    input_row(3178, U32, "battery_discharge_power", "Discharge power", Q.POWER, 0.1, SHOWN),
    input_row(3180, U32, "battery_charge_power",    "Charge power",    Q.POWER, 0.1, SHOWN),
    input_row(3182, U32, "storage_discharge_energy_total", "Storage discharge energy total",
              Q.ENERGY_TOTAL, 0.1),
    input_row(3184, U32, "storage_charge_energy_total", "Storage charge energy total",
              Q.ENERGY_TOTAL, 0.1),
    diag_row(3187, U16, "battery_converter_flags", "Converter flags", Q.CODE),
    input_row(3187, Bits(0), "battery_charge_allowed", "Charge allowed", Q.FLAG, options=NO_YES),
    input_row(3187, Bits(1), "battery_discharge_allowed", "Discharge allowed", Q.FLAG,
              options=NO_YES),
    diag_row(3187, Bits(8, 4),  "battery_warning_subcode", "Warning sub-code", Q.CODE),
    diag_row(3187, Bits(12, 4), "battery_fault_subcode",   "Fault sub-code",   Q.CODE),

    # Battery management. In V1.20, 3189 to 3211 are a second battery converter.
    diag_row(3189, U16, "bms_max_voltage_cell", "Cell with the highest voltage", Q.CODE),
    diag_row(3190, U16, "bms_min_voltage_cell", "Cell with the lowest voltage",  Q.CODE),
    diag_row(3191, S16, "bms_average_temperature", "Average temperature", Q.TEMPERATURE, 0.1,
             note="the documents give no scale"),
    diag_row(3192, S16, "bms_max_cell_temperature", "Highest cell temperature", Q.TEMPERATURE, 0.1),
    diag_row(3193, S16, "bms_average_temperature_2", "Average temperature 2", Q.TEMPERATURE, 0.1,
             note="not certain: the documents repeat the names at 3192 to 3195"),
    input_row(3196, U16, "bms_max_soc", "Highest pack state of charge", Q.STATE_OF_CHARGE),
    input_row(3197, U16, "bms_min_soc", "Lowest pack state of charge", Q.STATE_OF_CHARGE),
    input_row(3198, U16, "battery_parallel_count", "Batteries in parallel", Q.COUNT),
    diag_row(3199, U16, "bms_derate_reason", "BMS derating reason", Q.CODE),
    input_row(3200, U16, "bms_full_capacity", "Full capacity", Q.CAPACITY,
              note="no scale in V1.24, 0.1 Ah in V1.13 and V1.20"),
    input_row(3201, U16, "bms_remaining_capacity", "Remaining capacity", Q.CAPACITY),
    diag_row(3202, U16, "bms_protection", "BMS protection bits", Q.CODE),
    diag_row(3203, U16, "bms_warning",    "BMS warning bits",    Q.CODE),
    diag_row(3204, U16, "bms_fault",      "BMS fault bits",      Q.CODE),
    diag_row(3205, U16, "bms_fault_2",    "BMS fault bits 2",    Q.CODE),
    diag_row(3210, U16, "battery_isolation_status", "Isolation check", Q.STATE,
             options=ISOLATION_CHECK),
    diag_row(3211, U16, "battery_request", "Requests", Q.CODE),
    input_row(3211, Bits(0), "battery_charge_forbidden", "Charge forbidden", Q.FLAG,
              options=NO_YES),
    input_row(3211, Bits(1), "battery_strong_charge", "Strong charge requested", Q.FLAG,
              options=NO_YES),
    input_row(3211, Bits(2), "battery_strong_charge_2", "Strong charge 2 requested", Q.FLAG,
              options=NO_YES),
    input_row(3211, Bits(8), "battery_discharge_forbidden", "Discharge forbidden", Q.FLAG,
              options=NO_YES),
    input_row(3211, Bits(9), "battery_power_reduction", "Less power requested", Q.FLAG,
              options=NO_YES),
    diag_row(3212, U16, "bms_status", "BMS state", Q.STATE, 1, OFFERED, options=BMS_STATE,
             note="V1.20: the status word of the BMS as it is"),
    diag_row(3213, U16, "bms_protection_2", "BMS protection bits 2", Q.CODE),
    diag_row(3214, U16, "bms_warning_2",    "BMS warning bits 2",    Q.CODE),
    input_row(3215, U16, "bms_soc", "BMS state of charge", Q.STATE_OF_CHARGE,
              sentinels=SOC_NOT_AVAILABLE),
    input_row(3216, U16, "bms_voltage", "BMS voltage", Q.VOLTAGE, 0.01,
              note="0.1 V with an APX battery, like 3169"),
    input_row(3217, S16, "bms_current", "BMS current", Q.CURRENT, 0.01,
              note="negative = discharging, as recorded"),
    diag_row(3218, S16, "bms_temperature", "BMS highest cell temperature", Q.TEMPERATURE, 0.1,
             OFFERED),
    diag_row(3219, U16, "bms_charge_current_limit", "Charge current limit", Q.CURRENT, 0.01,
             OFFERED),
    diag_row(3220, U16, "bms_discharge_current_limit", "Discharge current limit", Q.CURRENT, 0.01,
             OFFERED, note="as in V1.24 and recorded; V1.20: difference of the cell voltages"),
    diag_row(3221, U16, "bms_cycle_count", "Cycle count", Q.COUNT, 1, OFFERED,
             rhythm=Rhythm.ENERGY),
    diag_row(3222, U16, "battery_soh", "State of health", Q.PERCENT, 1, OFFERED,
             rhythm=Rhythm.ENERGY),
    diag_row(3223, U16, "bms_charge_voltage_limit", "Charge voltage limit", Q.VOLTAGE, 0.01),
    diag_row(3224, U16, "bms_discharge_voltage_limit", "Discharge voltage limit", Q.VOLTAGE, 0.01),
    diag_row(3230, U16, "bms_cell_voltage_max", "Highest cell voltage", Q.VOLTAGE, 0.001, OFFERED),
    diag_row(3231, U16, "bms_cell_voltage_min", "Lowest cell voltage", Q.VOLTAGE, 0.001, OFFERED),
    diag_row(3232, U16, "battery_load_voltage", "Load-side voltage", Q.VOLTAGE, 0.01),
    input_row(3262, U16, "battery_pack_number", "Pack shown", Q.CODE,
              note="3262 to 3270 go round the packs, one every 15 minutes or so"),
    input_row(3263, Text(8), "battery_pack_serial", "Serial number of the pack shown", Q.TEXT),
)
"""Input registers of the battery as a whole."""

CONVERTER: Final[tuple[Register, ...]] = (
    # Converter n has 108 words from 4000 + 108 * (n - 1): a serial number, then what 3165 to
    # 3233 are of the first
    input_row(4000, Text(8), "bdc1_serial", "Converter {n} serial number", Q.TEXT, index=1,
              rhythm=Rhythm.IDENTITY),
    input_row(4041, U16, "bdc1_module_count", "Converter {n} module count", Q.COUNT, index=1),
    input_row(4055, U16, "bdc1_bms_status", "Converter {n} BMS state", Q.STATE, options=BMS_STATE,
              index=1),
    identity_row(5000, Words(40), "bdc_info", "Converter information", Q.TEXT,
                 note="the layout of 3085 to 3124; converter n has it at 5000 + 40 * (n - 1)"),
)


def _module(n: int) -> tuple[Register, ...]:
    """Return the rows of battery module ``n`` of an APX battery (V1.39)."""
    start = 5080 + 40 * (n - 1)
    return (
        input_row(start, U16, f"module{n}_state", "Module {n} state", Q.STATE, options=MODULE_STATE,
                  index=n, note="sleeping is known from other programs only"),
        input_row(start + 1, LOW_BYTE, f"module{n}_soc", "Module {n} state of charge",
                  Q.STATE_OF_CHARGE, 1, OFFERED, index=n),
        input_row(start + 1, HIGH_BYTE, f"module{n}_mapped_soc",
                  "Module {n} mapped state of charge", Q.STATE_OF_CHARGE, index=n),
        diag_row(start + 2, Bits(0, 7), f"module{n}_soh", "Module {n} state of health", Q.PERCENT,
                 1, OFFERED, index=n, rhythm=Rhythm.ENERGY),
        diag_row(start + 2, Bits(7), f"module{n}_scrapped", "Module {n} scrapped", Q.PROBLEM,
                 options=NO_YES, index=n),
        input_row(start + 3, U16, f"module{n}_voltage", "Module {n} voltage", Q.VOLTAGE, 0.1,
                  index=n),
        input_row(start + 4, S16, f"module{n}_current", "Module {n} current", Q.CURRENT, 0.1,
                  index=n),
        input_row(start + 5, S16, f"module{n}_power", "Module {n} power", Q.POWER, 1, OFFERED,
                  index=n),
        input_row(start + 6, U32, f"module{n}_discharge_energy_total",
                  "Module {n} discharge energy total", Q.ENERGY_TOTAL, 0.1, index=n),
        diag_row(start + 8, U16, f"module{n}_cell_voltage_max", "Module {n} highest cell voltage",
                 Q.VOLTAGE, 0.001, index=n),
        diag_row(start + 9, U16, f"module{n}_cell_voltage_min", "Module {n} lowest cell voltage",
                 Q.VOLTAGE, 0.001, index=n),
        diag_row(start + 10, S16, f"module{n}_temperature_max", "Module {n} highest temperature",
                 Q.TEMPERATURE, 0.1, OFFERED, index=n),
        diag_row(start + 11, S16, f"module{n}_temperature_min", "Module {n} lowest temperature",
                 Q.TEMPERATURE, 0.1, index=n),
        diag_row(start + 12, U16, f"module{n}_charge_limit", "Module {n} charge current limit",
                 Q.CURRENT, 0.1, index=n),
        diag_row(start + 13, U16, f"module{n}_discharge_limit",
                 "Module {n} discharge current limit", Q.CURRENT, 0.1, index=n),
        diag_row(start + 17, U16, f"module{n}_fault_code", "Module {n} fault code", Q.CODE,
                 index=n),
        diag_row(start + 18, U16, f"module{n}_warning_code", "Module {n} warning code", Q.CODE,
                 index=n),
        input_row(start + 20, U32, f"module{n}_charge_energy_total",
                  "Module {n} charge energy total", Q.ENERGY_TOTAL, 0.1, index=n),
        diag_row(start + 28, U16, f"module{n}_cycle_count", "Module {n} cycle count", Q.COUNT, 0.1,
                 index=n, rhythm=Rhythm.ENERGY),
        identity_row(5400 + 40 * (n - 1), Text(8), f"module{n}_serial_number",
                     "Module {n} serial number", Q.TEXT, index=n),
    )


def _slot(n: int) -> tuple[Register, ...]:
    """Return the rows of time slot ``n``: 1 to 4 before the charge settings, 5 to 9 after them."""
    start = 3038 + 2 * (n - 1) if n < 5 else 3050 + 2 * (n - 5)
    return slot_rows(start, xh_slot(PRIORITY), f"tou{n}", "Time slot {n}", n,
                     everyday=n <= EVERYDAY_SLOTS,
                     note="some firmware takes both words at once only",
                     notes={"mode": "battery first charges from the grid only while 3049 is on",
                            "end": "23:59 = until midnight"})


SLOTS: Final = tuple(row for n in range(1, 10) for row in _slot(n))
"""Holding registers of the time slots."""

BATTERY_HOLDING: Final[tuple[Register, ...]] = (
    # Battery limits
    holding_row(700, U16, "battery_family", "Family", Q.STATE, options=BATTERY_FAMILY,
                rhythm=Rhythm.IDENTITY, note="V1.39; other programs have 4 for LG v4"),
    holding_row(3024, U16, "float_charge_current", "Float charge current", Q.CURRENT, 0.1,
                never_write=BATTERY_SAFETY),
    holding_row(3025, U16, "lead_battery_low_warning", "Lead-acid low voltage warning", Q.VOLTAGE,
                0.1, never_write=BATTERY_SAFETY),
    holding_row(3026, U16, "lead_battery_low_clear", "Lead-acid low voltage cleared", Q.VOLTAGE,
                0.1, never_write=BATTERY_SAFETY),
    holding_row(3027, U16, "lead_battery_cut_off", "Lead-acid cut-off voltage", Q.VOLTAGE, 0.1,
                never_write=BATTERY_SAFETY),
    holding_row(3028, U16, "lead_battery_charge_stop_voltage", "Lead-acid charge stop voltage",
                Q.VOLTAGE, 0.01, never_write=BATTERY_SAFETY),
    holding_row(3029, U16, "lead_battery_discharge_start_voltage",
                "Lead-acid discharge start voltage", Q.VOLTAGE, 0.01, never_write=BATTERY_SAFETY),
    holding_row(3030, U16, "lead_battery_cv_voltage", "Lead-acid constant voltage", Q.VOLTAGE, 0.01,
                never_write=BATTERY_SAFETY),
    holding_row(3031, U16, "battery_discharge_temperature_min", "Discharge temperature minimum",
                Q.TEMPERATURE, 0.1, never_write=BATTERY_SAFETY,
                note="100 to 140 stand for -40 to 0 °C"),
    holding_row(3032, U16, "battery_discharge_temperature_max", "Discharge temperature maximum",
                Q.TEMPERATURE, 0.1, never_write=BATTERY_SAFETY),
    holding_row(3033, U16, "battery_charge_temperature_min", "Charge temperature minimum",
                Q.TEMPERATURE, 0.1, never_write=BATTERY_SAFETY,
                note="100 to 140 stand for -40 to 0 °C"),
    holding_row(3034, U16, "battery_charge_temperature_max", "Charge temperature maximum",
                Q.TEMPERATURE, 0.1, never_write=BATTERY_SAFETY),

    # Charge and discharge
    holding_row(3036, U16, "discharge_power_rate", "Grid-first discharge power", Q.PERCENT, 1,
                OFFERED, setting=limits(1, 100, 1, everyday=True, found=(1, NO_LIMIT)),
                note="the documents go on to 255 = no limit"),
    holding_row(3037, U16, "discharge_stop_soc", "Discharge stop SOC", Q.PERCENT, 1, OFFERED,
                setting=limits(10, 100, 1, everyday=True, found=(1, 100)),
                note="grid first; with V1.39 firmware off grid, and 3067 on grid. The documents"
                     " begin at 1 %, which is hard on a battery; others begin at 10 %, too"),
    holding_row(3047, U16, "charge_power_rate", "Battery-first charge power", Q.PERCENT, 1, OFFERED,
                setting=limits(1, 100, 1, everyday=True)),
    holding_row(3048, U16, "charge_stop_soc", "Charge stop SOC", Q.PERCENT, 1, OFFERED,
                setting=limits(10, 100, 1, everyday=True, found=(1, 100))),
    holding_row(3049, U16, AC_CHARGE, "Charge from the grid", Q.FLAG, 1, OFFERED,
                options=NO_YES, setting=EVERYDAY_CHOICE,
                note="with VPP firmware, 30100 must be 0, too"),
    holding_row(3067, U16, "on_grid_discharge_stop_soc", "On-grid discharge stop SOC", Q.PERCENT, 1,
                OFFERED, setting=limits(10, 100, 1, everyday=True),
                note="from V1.29; load first, too; firmware may have a higher floor"),
    holding_row(3070, U16,       "battery_type",           "Type", Q.STATE, options=BATTERY_TYPE),
    holding_row(3071, HIGH_BYTE, "battery_wired_series",   "Wired in series", Q.COUNT),
    holding_row(3071, LOW_BYTE,  "battery_wired_parallel", "Wired in parallel", Q.COUNT),

    # Battery and converter: who they are
    identity_row(3087, Text(8), "battery_serial_number", "Serial number", Q.TEXT),
    holding_row(3095, U16, "battery_reset_command", "Converter reset trigger", Q.CODE,
                never_write="resets the battery converter"),
    identity_row(3096, Text(2), "battery_monitor_code", "Monitor code", Q.TEXT,
                 note="ZEBA = ARK class, ZECA = APX HV"),
    identity_row(3098, U16,     "battery_dtc",         "Converter DTC",         Q.CODE),
    identity_row(3099, Text(2), "battery_dsp_code",    "Converter DSP code",    Q.TEXT),
    identity_row(3101, U16,     "battery_dsp_version", "Converter DSP version", Q.CODE),
    holding_row(3102, U16, "battery_bus_reference", "Minimum bus voltage", Q.CODE,
                never_write=BATTERY_SAFETY),
    identity_row(3103, U16,       "battery_monitor_version", "Monitor version", Q.CODE),
    identity_row(3104, U16,       "bms_hardware_version",    "BMS hardware version", Q.CODE),
    identity_row(3105, U16,       "bms_firmware_version",    "BMS firmware version", Q.CODE),
    identity_row(3106, U16,       "bms_manufacturer",        "BMS manufacturer", Q.CODE),
    identity_row(3107, U16,       "bms_link_type",           "BMS link", Q.STATE, options=BMS_LINK),
    identity_row(3108, Hex(4),    "battery_module_code",     "Converter module code", Q.TEXT),
    identity_row(3113, HIGH_BYTE, "bdc_protocol_major",      "Converter protocol (major)", Q.CODE),
    identity_row(3113, LOW_BYTE,  "bdc_protocol_minor",      "Converter protocol (minor)", Q.CODE),

    # Peak shaving: in no public document, found by tests against Growatt's portal
    holding_row(3306, U16, "peak_shaving_enable", "Peak shaving", Q.FLAG, 1, OFFERED,
                options=NO_YES, setting=CHOICE),
    holding_row(3307, U16, "demand_import_limit", "Grid import limit", Q.POWER, 0.1, OFFERED,
                unit="kW", setting=limits(0, 100, 0.1)),
    holding_row(3308, U16, "demand_export_limit", "Grid export limit", Q.POWER, 0.1, unit="kW",
                setting=limits(0, 100, 0.1)),
    holding_row(3309, U16, "peak_shaving_reserve_enable", "Peak shaving reserve", Q.FLAG,
                options=NO_YES, setting=CHOICE),
    holding_row(3310, U16, "peak_shaving_reserve_soc", "Peak shaving reserve SOC", Q.PERCENT),
    holding_row(3311, U16, "grid_charge_power_max", "Grid charge power limit", Q.POWER, 0.1,
                unit="kW"),
    holding_row(3312, U16, "grid_charge_stop_soc", "Grid charge stop SOC", Q.PERCENT,
                setting=limits(10, 100, 1, found=(0, 100))),
)
"""Holding registers of the battery."""

MODULE: Final[tuple[Register, ...]] = tuple(
    row for n in range(1, MODULES + 1) for row in _module(n)
)
"""Registers of the battery modules."""
# fmt: on
