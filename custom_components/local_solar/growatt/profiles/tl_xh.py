"""PV inverters with a battery converter (TL-XH): what one and three phases share.

Facts: "Protocol II" V1.24 and V1.39; a scan and a recording of a MIN 6000TL-XH (DTC 5100,
firmware AL1.0, ARK battery). What only these or other programs tell is noted.
"""

from collections.abc import Mapping
from typing import Final

from ...modbus.codecs import S16, S32, U16, U32, Text
from ...modbus.register import Register
from ...points import Quantity as Q, Rhythm
from . import base_block
from .profile import OFFERED, SHOWN, Part, Section, holding_row, input_row, with_rows
from .protocol_2 import (
    CHOICE,
    EVERYDAY_CHOICE,
    HOLDING_WITH_BATTERY,
    NO_YES,
    counters,
    diag_row,
)
from .tl_x_3000 import HOLDING_3000, INPUT, STRINGS
from .tl_xh_battery import BATTERY_HOLDING, BATTERY_INPUT, CONVERTER, MODULE, SLOTS

CONVERTERS_CONNECTED: Final[Mapping[int, str]] = {
    0: "none",
    1: "bdc1",
    2: "bdc2",
    3: "both",
}

BACKUP_BOX_MODE: Final[Mapping[int, str]] = {
    0: "off_grid",
    1: "on_grid",
    2: "generator",
}

RELAY_STATE: Final[Mapping[int, str]] = {0: "unknown", 1: "open", 2: "closed"}

EXPORT_LIMIT_DEVICE: Final[Mapping[int, str]] = {1: "meter", 3: "ct"}

ONE_KEY_MODE: Final[Mapping[int, str]] = {
    0: "self_use",
    1: "battery_priority",
    2: "grid_priority",
    255: "disabled",
}

APPLIANCES: Final = "must suit the appliances on the emergency output"

PRIORITY_MODE: Final[Mapping[int, str]] = {
    0: "load_first",
    2: "battery_first",
    3: "grid_first",
}

SYSTEM_MODE: Final[Mapping[int, str]] = {0: "default", 1: "retrofit", 2: "parallel"}

GRID_TYPE: Final[Mapping[int, str]] = {
    0: "single_phase",
    1: "three_phase",
    2: "split_phase",
}

EPS_VOLTAGE: Final[Mapping[int, str]] = {0: "230_v", 1: "208_v", 2: "240_v"}

EPS_FREQUENCY: Final[Mapping[int, str]] = {0: "50_hz", 1: "60_hz"}

GENERATOR_COMMAND: Final[Mapping[int, str]] = {
    0: "automatic",
    1: "force_on",
    2: "disabled",
}

# fmt: off
_BASE_BLOCK: Final[tuple[Register, ...]] = (
    # Mirrors. V1.24 gives these families the 3000 block only, yet units answer here as well.
    input_row(0,  U16, "base_status", "Status (base block)", Q.STATE, options=base_block.STATUS),
    input_row(1,  U32, "base_pv_power", "PV power (base block)", Q.POWER, 0.1),
    input_row(35, S32, "base_ac_power", "Output power (base block)", Q.POWER, 0.1),
    input_row(37, U16, "base_grid_frequency", "Grid frequency (base block)", Q.FREQUENCY, 0.01),
    input_row(38, U16, "base_grid_l1_voltage", "Grid L1 voltage (base block)", Q.VOLTAGE, 0.1),
    input_row(39, S16, "base_grid_l1_current", "Grid L1 current (base block)", Q.CURRENT, 0.1),
    input_row(40, S32, "base_grid_l1_power", "Grid L1 apparent power (base block)",
              Q.APPARENT_POWER, 0.1),
    *counters(53, "base_energy", "Output energy (base block)"),
    input_row(57, U32, "base_run_time", "Run time (base block)", Q.DURATION, 0.5),
    *counters(59, "base_pv1_energy", "PV{n} energy (base block)", index=1),
    *counters(63, "base_pv2_energy", "PV{n} energy (base block)", index=2),
    input_row(91, U32, "base_pv_energy_total", "PV energy total (base block)", Q.ENERGY_TOTAL, 0.1),
    input_row(93, S16, "base_inverter_temperature", "Inverter temperature (base block)",
              Q.TEMPERATURE, 0.1),
    input_row(94, S16, "base_ipm_temperature", "Power module temperature (base block)",
              Q.TEMPERATURE, 0.1),
    input_row(98, U16, "base_bus_voltage_p", "Positive bus voltage (base block)", Q.VOLTAGE, 0.1),
    input_row(100, U16, "base_power_factor", "Power factor (base block)", Q.POWER_FACTOR, 0.0001,
              offset=-10000),
    input_row(105, U16, "base_fault_code",      "Fault code (base block)",       Q.CODE),
    input_row(107, U16, "base_fault_subcode",   "Fault sub-code (base block)",   Q.CODE),
    input_row(111, U16, "base_warning_subcode", "Warning sub-code (base block)", Q.CODE),
    input_row(112, U16, "base_warning_code", "Warning code (base block)", Q.CODE,
              note="on storage inverters 112 to 115 count AC charge energy"),
)
"""What both have of the base block: input registers 0 to 124."""

_INPUT: Final = with_rows(
    INPUT,
    # A battery that charges from the grid turns these negative.
    input_row(3019, S32, "system_power", "System output power", Q.POWER, 0.1,
              note="PV and battery on the DC side, before the inverter's losses"),
    input_row(3023, S32, "ac_power",        "Output power",           Q.POWER, 0.1, SHOWN),
    input_row(3027, S16, "grid_l1_current", "Grid L1 current",        Q.CURRENT, 0.1, OFFERED),
    input_row(3028, S32, "grid_l1_power",   "Grid L1 apparent power", Q.APPARENT_POWER, 0.1),
)

_EQUIPMENT: Final[tuple[Register, ...]] = (
    # Which parts there are; the rest of their rows is in the sections of the parts
    input_row(3118, U16, "battery_converter_connected", "Battery converters connected", Q.STATE,
              options=CONVERTERS_CONNECTED),
    input_row(3320, U16, "backup_box_connected", "Backup box link", Q.CONNECTIVITY, options=NO_YES),
    input_row(3322, U16, "meter_connected",      "Meter connected", Q.CONNECTIVITY, options=NO_YES),
    input_row(3323, U16, "backup_box_installed", "Backup box installed", Q.FLAG, options=NO_YES),

    # Sums over PV, battery and grid
    input_row(3137, U32, "system_energy_total", "System output energy total", Q.ENERGY_TOTAL, 0.1),
    *counters(3139, "self_use_energy", "Self-consumption energy", OFFERED),
    input_row(3280, U16, "clear_daily_flag", "Daily data cleared", Q.FLAG, options=NO_YES),
)

_EPS_INPUT: Final[tuple[Register, ...]] = (
    input_row(3145, U16, "eps_frequency",    "EPS frequency", Q.FREQUENCY, 0.01, OFFERED),
    input_row(3146, U16, "eps_l1_voltage",   "EPS L1 voltage", Q.VOLTAGE, 0.1, OFFERED),
    input_row(3147, U16, "eps_l1_current",   "EPS L1 current", Q.CURRENT, 0.1, OFFERED),
    input_row(3148, U32, "eps_l1_power",     "EPS L1 apparent power", Q.APPARENT_POWER, 0.1),
    input_row(3158, U32, "eps_power",        "EPS apparent power", Q.APPARENT_POWER, 0.1, OFFERED),
    input_row(3160, U16, "eps_load_percent", "EPS load", Q.PERCENT, 0.1),
    input_row(3161, U16, "eps_power_factor_raw", "EPS power factor (raw)", Q.CODE,
              note="coding not known: the documents say 0.1, 10000 was recorded without a load"),
    diag_row(3162, U16, "eps_dc_offset", "EPS DC offset", Q.VOLTAGE, 0.001),
)

_EXTERNAL_PV: Final[tuple[Register, ...]] = tuple(
    row
    for n in (1, 2)
    for row in (
        input_row(3248 + 2 * n, U32, f"external_pv{n}_power", "External PV{n} power", Q.POWER, 0.1,
                  OFFERED, index=n),
        input_row(3252 + 2 * n, U32, f"external_pv{n}_energy_today", "External PV{n} energy today",
                  Q.ENERGY_TODAY, 0.1, index=n),
        input_row(3256 + 2 * n, U32, f"external_pv{n}_energy_total", "External PV{n} energy total",
                  Q.ENERGY_TOTAL, 0.1, OFFERED, index=n),
    )
)

_BACKUP_BOX_INPUT: Final[tuple[Register, ...]] = (
    input_row(3281, U16, "backup_box_bypass", "Backup box bypass", Q.FLAG, options=NO_YES),
    input_row(3282, U16, "backup_box_mode", "Backup box mode", Q.STATE, 1, OFFERED,
              options=BACKUP_BOX_MODE),
    diag_row(3283, U16, "backup_box_fan",     "Backup box fan",          Q.FLAG, options=NO_YES),
    diag_row(3284, U16, "backup_box_error",   "Backup box error code",   Q.CODE, note="700 to 800"),
    diag_row(3285, U16, "backup_box_warning", "Backup box warning code", Q.CODE, note="700 to 800"),
    diag_row(3286, S16, "backup_box_temperature", "Backup box temperature", Q.TEMPERATURE,
             note="a signed byte; nothing below 0 was recorded"),
    input_row(3287, U16, "backup_box_grid_voltage", "Backup box grid voltage", Q.VOLTAGE, 0.1),
    input_row(3288, U16, "backup_box_grid_current", "Backup box grid current", Q.CURRENT, 0.1),
    input_row(3289, S32, "backup_box_grid_power", "Backup box grid power", Q.POWER, 0.1, OFFERED,
              note="positive = import"),
    input_row(3291, U16, "backup_box_grid_frequency", "Backup box grid frequency", Q.FREQUENCY,
              0.01),
    input_row(3292, U16, "generator_voltage",     "Generator voltage",     Q.VOLTAGE, 0.1),
    input_row(3293, U16, "generator_current",     "Generator current",     Q.CURRENT, 0.1),
    input_row(3294, S32, "generator_power",       "Generator power",       Q.POWER, 0.1, OFFERED),
    input_row(3296, U16, "generator_frequency",   "Generator frequency",   Q.FREQUENCY, 0.01),
    input_row(3297, U32, "backup_box_load_power", "Backup box load power", Q.POWER, 0.1, OFFERED),
    input_row(3299, Text(2), "backup_box_firmware", "Backup box firmware code", Q.TEXT,
              rhythm=Rhythm.IDENTITY),
    input_row(3301, U16, "backup_box_firmware_number", "Backup box firmware number", Q.CODE,
              rhythm=Rhythm.IDENTITY),
    input_row(3302, Text(15), "backup_box_serial", "Backup box serial number", Q.TEXT,
              rhythm=Rhythm.IDENTITY),
    input_row(3342, U16, "backup_relay_state",    "Backup relay",    Q.STATE, options=RELAY_STATE),
    input_row(3343, U16, "generator_relay_state", "Generator relay", Q.STATE, options=RELAY_STATE),
)

_HOLDING_MORE: Final[tuple[Register, ...]] = (
    holding_row(533, U16, "export_limit_device", "Export limit device", Q.STATE,
                options=EXPORT_LIMIT_DEVICE),
    holding_row(608, U16, "one_key_mode", "One-key mode", Q.STATE, options=ONE_KEY_MODE,
                note="TL-XH US; a state of charge on SPH"),
    holding_row(3018, U16, "work_mode_xh", "Work mode", Q.CODE,
                note="two meanings: V1.24 has 0 default, 1 retrofit, 2 parallel; another program has"
                     " 0 load, 2 battery, 3 grid first. A setting once the owner says which it is"),
    holding_row(3021, U16, "manual_off_grid_enable", "Manual off-grid switch", Q.FLAG,
                options=NO_YES),
    holding_row(3023, U16, "grid_type", "Grid type", Q.STATE, options=GRID_TYPE),
    holding_row(3072, U16, "pre_pto_enable", "Pre-PTO (no export)", Q.FLAG, options=NO_YES,
                note="US"),
    holding_row(3079, U16, "eps_enable", "EPS", Q.FLAG, 1, OFFERED, options=NO_YES, setting=CHOICE),
    holding_row(3082, U16, "load_first_stop_soc", "Load-first stop SOC or backup box", Q.CODE,
                note="V1.24: load-first stop SOC, 13 to 100 %; V1.39: backup box in use"),
    holding_row(3272, U16, "busbar_protection_enable", "Busbar protection", Q.FLAG, options=NO_YES,
                never_write="is a protection that the installer sets"),
)

_PRIORITY_MODE: Final[tuple[Register, ...]] = (
    holding_row(3018, U16, "priority_mode", "Work mode (priority)", Q.STATE, 1, OFFERED,
                options=PRIORITY_MODE, setting=EVERYDAY_CHOICE),
)

_SYSTEM_MODE: Final[tuple[Register, ...]] = (
    holding_row(3018, U16, "system_mode", "Work mode (system)", Q.STATE, 1, OFFERED,
                options=SYSTEM_MODE, setting=CHOICE),
)

_EPS_HOLDING: Final[tuple[Register, ...]] = (
    holding_row(3080, U16, "eps_voltage", "EPS voltage setting", Q.STATE, options=EPS_VOLTAGE,
                never_write=APPLIANCES),
    holding_row(3081, U16, "eps_frequency_setting", "EPS frequency setting", Q.STATE,
                options=EPS_FREQUENCY, never_write=APPLIANCES),
)

_BACKUP_BOX_HOLDING: Final[tuple[Register, ...]] = (
    holding_row(3073, U16, "generator_charge_enable", "Charge from the generator", Q.FLAG,
                options=NO_YES, note="US"),
    holding_row(3074, U16, "generator_command", "Generator command", Q.STATE,
                options=GENERATOR_COMMAND, note="US"),
)
# fmt: on

SECTIONS: Final[tuple[Section, ...]] = (
    Section(part=Part.INVERTER, rows=_INPUT),
    Section(part=Part.INVERTER, rows=_EQUIPMENT),
    Section(part=Part.STRING, rows=STRINGS),
    Section(part=Part.BATTERY, rows=BATTERY_INPUT),
    Section(part=Part.BACKUP, rows=_EPS_INPUT),
    Section(part=Part.EXTERNAL_PV, rows=_EXTERNAL_PV),
    Section(part=Part.BACKUP_BOX, rows=_BACKUP_BOX_INPUT),
    Section(part=Part.CONVERTER, rows=CONVERTER),
    Section(part=Part.MODULE, rows=MODULE),
    Section(part=Part.INVERTER, rows=_BASE_BLOCK),
    Section(part=Part.INVERTER, rows=HOLDING_WITH_BATTERY),
    Section(part=Part.INVERTER, rows=HOLDING_3000),
    Section(part=Part.INVERTER, rows=_HOLDING_MORE),
    Section(part=Part.PRIORITY_MODE, rows=_PRIORITY_MODE),
    Section(part=Part.SYSTEM_MODE, rows=_SYSTEM_MODE),
    Section(part=Part.BATTERY, rows=BATTERY_HOLDING),
    Section(part=Part.BATTERY, rows=SLOTS),
    Section(part=Part.BACKUP, rows=_EPS_HOLDING),
    Section(part=Part.BACKUP_BOX, rows=_BACKUP_BOX_HOLDING),
)
"""The rows that a TL-XH has, whatever its number of phases."""
