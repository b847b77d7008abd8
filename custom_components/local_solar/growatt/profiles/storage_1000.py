"""What the storage families SPH, SPH TL3 and SPA share: registers from 1000 on.

Facts: "Protocol II" V1.13 to V1.39, and what other programs and scans of owners tell. No unit
was recorded. The documents give the rows of the battery management no scales.
"""

from collections.abc import Mapping
from typing import Final

from ...modbus.codecs import S16, S32, U16, U32, Text, Words
from ...modbus.register import Register
from ...points import AC_CHARGE, Quantity as Q, Rhythm
from .battery_management import bms_status_rows
from .profile import OFFERED, SHOWN, Group, Part, Section, holding_row, input_row
from .protocol_2 import (
    CHOICE,
    EVERYDAY_CHOICE,
    HOLDING_WITH_BATTERY,
    NO_LIMIT,
    NO_YES,
    counters,
    diag_row,
    groups,
    identity_row,
    limits,
)
from .storage_slots import STORAGE_SLOTS
from .tl_xh import APPLIANCES, EPS_FREQUENCY, EPS_VOLTAGE
from .tl_xh_battery import BATTERY_SAFETY, BATTERY_TYPE, PRIORITY, SOC_NOT_AVAILABLE

STATUS: Final[Mapping[int, str]] = {
    0: "waiting",
    1: "normal",
    3: "fault",
    5: "normal",
    6: "normal",
    7: "off_grid",
    8: "off_grid",
    9: "bypass",
}
"""The status word: with VPP firmware it holds codes of the work mode from 5 on.

What exactly 5 is differs by document and model, an SPH TL3 in standby has it, too. All of
them agree that it works on the grid without a fault.
"""

STATUS_NOTE: Final = "5 to 9 with VPP firmware: the work mode tells more"

WORK_MODE: Final[Mapping[int, str]] = {
    0: "waiting",
    1: "self_test",
    2: "reserved",
    3: "fault",
    4: "firmware_update",
    5: "pv_battery_online",
    6: "battery_online",
    7: "pv_offline_mode",
    8: "battery_offline_mode",
    9: "bypass",
}

BATTERY_TYPE_STATE: Final[Mapping[int, str]] = {0: "lead_acid", 1: "lithium"}

METER_TYPE: Final[Mapping[int, str]] = {0: "wired_ct", 1: "wireless_ct", 2: "meter"}

PACKS: Final = 10
"""Battery packs whose serial numbers have a place."""

NO_SCALE: Final = "the documents give no scale"
COARSER: Final = f"{NO_SCALE}; another program has 0.1 for an SPH HU"

# fmt: off
INPUT: Final[tuple[Register, ...]] = (
    # State
    input_row(1000, U16, "system_work_mode", "System work mode", Q.STATE, 1, SHOWN,
              options=WORK_MODE, note="9 is known from another program only"),
    diag_row(1001, Words(8), "system_fault_words", "System fault words", Q.TEXT),

    # Grid and load
    input_row(1015, S32, "grid_import_power_l1", "Grid import power L1", Q.POWER, 0.1, OFFERED),
    input_row(1021, S32, "grid_import_power",    "Grid import power",    Q.POWER, 0.1, SHOWN),
    input_row(1023, S32, "grid_export_power_l1", "Grid export power L1", Q.POWER, 0.1, OFFERED),
    input_row(1029, S32, "grid_export_power",    "Grid export power",    Q.POWER, 0.1, SHOWN,
              note="some firmware turns it negative while 1021 tells the import: count only one"),
    input_row(1031, S32, "load_power_l1",        "Load power L1",        Q.POWER, 0.1, OFFERED,
              note="another program takes it for the load of a single-phase house"),
    input_row(1037, U32, "load_power",           "Load power",           Q.POWER, 0.1, SHOWN,
              note="what the inverter gives to the local load"),
    *counters(1044, "grid_import_energy", "Grid import energy", SHOWN),
    *counters(1048, "grid_export_energy", "Grid export energy", SHOWN),
    *counters(1060, "load_energy",        "Load energy",        SHOWN),
    input_row(1064, U32, "export_limit_apparent_power", "Export limit apparent power",
              Q.APPARENT_POWER, 0.1, note="the documents print 0.1 kWh"),

    # Converter
    diag_row(1039, S16, "rectifier_temperature", "Rectifier temperature", Q.TEMPERATURE, 0.1,
             note="not used, say the documents; another program: self-consumption in per cent"),
    diag_row(1041, U16, "storage_dsp_state", "Storage DSP state", Q.CODE,
             note="charging or discharging, without the codes; another program: battery type"),
    diag_row(1042, U16, "storage_bus_voltage", "Storage bus voltage", Q.VOLTAGE, 0.1),

    # Inverters of others that a second meter measures
    input_row(1131, U32, "extra_pv_power", "External inverter power", Q.POWER, 0.1, OFFERED),
    *counters(1133, "extra_pv_energy", "External inverter energy", OFFERED),

    # Sums over PV, battery and grid
    *counters(1137, "system_energy", "System output energy"),
    *counters(1141, "self_use_energy", "Self-consumption energy", OFFERED, note="from V1.24"),
    input_row(1145, U32, "system_power", "System output power", Q.POWER, 0.1, note="from V1.24"),
    input_row(1147, U32, "self_use_power", "Self-consumption power", Q.POWER, 0.1, OFFERED,
              note="from V1.24"),
    input_row(1149, U32, "pv_energy_today", "PV energy today", Q.ENERGY_TODAY, 0.1, OFFERED,
              note=f"from V1.24; {NO_SCALE}"),
)
"""Input registers of the system as a whole."""

PHASES: Final[tuple[Register, ...]] = (
    input_row(1017, S32, "grid_import_power_l2", "Grid import power L2", Q.POWER, 0.1, OFFERED),
    input_row(1019, S32, "grid_import_power_l3", "Grid import power L3", Q.POWER, 0.1, OFFERED),
    input_row(1025, S32, "grid_export_power_l2", "Grid export power L2", Q.POWER, 0.1, OFFERED),
    input_row(1027, S32, "grid_export_power_l3", "Grid export power L3", Q.POWER, 0.1, OFFERED),
    input_row(1033, S32, "load_power_l2",        "Load power L2",        Q.POWER, 0.1, OFFERED),
    input_row(1035, S32, "load_power_l3",        "Load power L3",        Q.POWER, 0.1, OFFERED),
    input_row(1072, U16, "eps_l2_voltage", "EPS L2 voltage", Q.VOLTAGE, 0.1, OFFERED),
    input_row(1073, U16, "eps_l2_current", "EPS L2 current", Q.CURRENT, 0.1, OFFERED),
    input_row(1074, U32, "eps_l2_power",   "EPS L2 apparent power", Q.APPARENT_POWER, 0.1, OFFERED),
    input_row(1076, U16, "eps_l3_voltage", "EPS L3 voltage", Q.VOLTAGE, 0.1, OFFERED),
    input_row(1077, U16, "eps_l3_current", "EPS L3 current", Q.CURRENT, 0.1, OFFERED),
    input_row(1078, U32, "eps_l3_power",   "EPS L3 apparent power", Q.APPARENT_POWER, 0.1, OFFERED),
)
"""Input registers of the phases 2 and 3, grid and emergency output."""

BATTERY_INPUT: Final[tuple[Register, ...]] = (
    # Power, energy
    input_row(1009, U32, "battery_discharge_power", "Discharge power", Q.POWER, 0.1, SHOWN),
    input_row(1011, U32, "battery_charge_power",    "Charge power", Q.POWER, 0.1, SHOWN),
    input_row(1013, U16, "battery_voltage",         "Voltage", Q.VOLTAGE, 0.1, OFFERED,
              note="the same for low and high voltage packs; another program reads 97 instead"),
    input_row(1014, U16, "battery_soc", "State of charge", Q.STATE_OF_CHARGE, 1, SHOWN,
              sentinels=SOC_NOT_AVAILABLE),
    input_row(1040, S16, "battery_pack_temperature", "Temperature", Q.TEMPERATURE, 0.1, SHOWN),
    *counters(1052, "battery_discharge_energy", "Discharge energy", SHOWN),
    *counters(1056, "battery_charge_energy",    "Charge energy",    SHOWN),
    input_row(1125, U16, "ac_charge_energy_today", "Grid charge energy today", Q.ENERGY_TODAY, 0.1,
              OFFERED,
              note="the low word of 1124: that is in another group, and 0 up to 6553 kWh a day."
                   f" Not certain: {NO_SCALE}"),
    input_row(1126, U32, "ac_charge_energy_total", "Grid charge energy total", Q.ENERGY_TOTAL, 0.1,
              OFFERED, note=f"not certain: {NO_SCALE}"),
    input_row(1128, U32, "ac_charge_power", "Grid charge power", Q.POWER, 0.1, OFFERED,
              note=f"not certain: {NO_SCALE}"),

    # Battery management
    diag_row(1082, U16, "bms_status_old", "BMS status (old)", Q.CODE),
    *bms_status_rows(1083, note="its bits are documented for off-grid models only"),
    diag_row(1084, U16, "bms_error_old", "BMS error bits (old)", Q.CODE),
    diag_row(1085, U16, "bms_error",     "BMS error bits",       Q.CODE),
    input_row(1086, U16, "bms_soc", "BMS state of charge", Q.STATE_OF_CHARGE,
              sentinels=SOC_NOT_AVAILABLE),
    input_row(1087, U16, "bms_voltage", "BMS voltage", Q.VOLTAGE, 0.01, note=COARSER),
    input_row(1088, S16, "bms_current", "BMS current", Q.CURRENT, 0.01,
              note=f"negative = discharging in a scan of an SPA; {COARSER}"),
    diag_row(1089, S16, "bms_battery_temperature", "BMS temperature", Q.TEMPERATURE, 0.1,
             note=f"{NO_SCALE}, nor say of which cells"),
    diag_row(1090, U16, "bms_current_limit", "BMS current limit", Q.CURRENT, 0.01, note=COARSER),
    input_row(1091, U16, "bms_remaining_capacity", "Remaining capacity", Q.CAPACITY,
              note=f"{NO_SCALE}; 0.01 Ah is likely"),
    input_row(1092, U16, "bms_full_capacity", "Full capacity", Q.CAPACITY,
              note=f"{NO_SCALE}; 0.01 Ah is likely"),
    diag_row(1094, U16, "bms_delta_voltage", "Difference of the cell voltages", Q.VOLTAGE, 0.001,
             note=NO_SCALE),
    diag_row(1095, U16, "bms_cycle_count", "Cycle count", Q.COUNT, 1, OFFERED,
             rhythm=Rhythm.ENERGY),
    diag_row(1096, U16, "battery_soh", "State of health", Q.PERCENT, 1, OFFERED,
             rhythm=Rhythm.ENERGY),
    diag_row(1097, U16, "bms_cv_voltage", "BMS constant voltage", Q.VOLTAGE, 0.01, note=COARSER),
    diag_row(1099, U16, "bms_warning",    "BMS warning bits",     Q.CODE),
    diag_row(1108, U16, "bms_cell_voltage_max", "Highest cell voltage", Q.VOLTAGE, 0.001, OFFERED),
    diag_row(1109, U16, "bms_cell_voltage_min", "Lowest cell voltage",  Q.VOLTAGE, 0.001, OFFERED),

    # From V1.24
    input_row(1110, U16, "battery_parallel_count", "Batteries in parallel", Q.COUNT),
    input_row(1111, U16, "battery_cell_count",     "Cell count",            Q.COUNT),
    diag_row(1112, U16, "bms_max_voltage_cell", "Cell with the highest voltage", Q.CODE),
    diag_row(1113, U16, "bms_min_voltage_cell", "Cell with the lowest voltage",  Q.CODE,
             note="in a scan of an SPA the grid frequency, 0.01 Hz"),
    diag_row(1114, S16, "bms_max_cell_temperature", "Highest cell temperature", Q.TEMPERATURE, 0.1),
    diag_row(1115, S16, "bms_min_cell_temperature", "Lowest cell temperature",  Q.TEMPERATURE, 0.1),
    input_row(1119, U16, "bms_max_soc", "Highest pack state of charge", Q.STATE_OF_CHARGE),
    input_row(1120, U16, "bms_min_soc", "Lowest pack state of charge",  Q.STATE_OF_CHARGE),
    diag_row(1200, U16, "bms2_cell_voltage_max", "Highest cell voltage (new block)", Q.VOLTAGE,
             0.001),
    diag_row(1201, U16, "bms2_cell_voltage_min", "Lowest cell voltage (new block)", Q.VOLTAGE,
             0.001),
    diag_row(1206, S16, "bms2_max_cell_temperature", "Highest cell temperature (new block)",
             Q.TEMPERATURE, 0.1),
    diag_row(1207, S16, "bms2_min_cell_temperature", "Lowest cell temperature (new block)",
             Q.TEMPERATURE, 0.1),
    input_row(1211, U16, "bms2_max_soc", "Highest pack state of charge (new block)",
              Q.STATE_OF_CHARGE),
    input_row(1212, U16, "bms2_min_soc", "Lowest pack state of charge (new block)",
              Q.STATE_OF_CHARGE),
)
"""Input registers of the battery."""

EPS_INPUT: Final[tuple[Register, ...]] = (
    input_row(1067, U16, "eps_frequency",    "EPS frequency", Q.FREQUENCY, 0.01, OFFERED),
    input_row(1068, U16, "eps_l1_voltage",   "EPS L1 voltage", Q.VOLTAGE, 0.1, OFFERED),
    input_row(1069, U16, "eps_l1_current",   "EPS L1 current", Q.CURRENT, 0.1, OFFERED),
    input_row(1070, U32, "eps_l1_power",     "EPS L1 apparent power", Q.APPARENT_POWER, 0.1,
              OFFERED),
    input_row(1080, U16, "eps_load_percent", "EPS load", Q.PERCENT, 1, OFFERED),
    input_row(1081, U16, "eps_power_factor_raw", "EPS power factor (raw)", Q.CODE,
              note="coding not known: the documents say 0.1, and 0 to 2"),
)
"""Input registers of the emergency output."""

HOLDING: Final[tuple[Register, ...]] = (
    *HOLDING_WITH_BATTERY,
    holding_row(1008, U16, "system_enable", "System functions", Q.CODE,
                note="bit 5 discharge, 6 forced discharge, 7 charge, 8 forced charge, 9 backup,"
                     " 10 inverter load limit, 12 grid charge, 13 PV load limit (V1.24)"),
    holding_row(1037, U16, "ct_mode", "Meter type", Q.STATE, options=METER_TYPE),
    holding_row(1044, U16, "priority_setting", "Priority (setting)", Q.STATE, options=PRIORITY,
                note="no setting but a result of the time slots: firmware ignores what is written"),
)
"""Holding registers of the system as a whole, those of the base block among them."""

BATTERY_HOLDING: Final[tuple[Register, ...]] = (
    # Battery limits
    holding_row(1000, U16, "float_charge_current", "Float charge current", Q.CURRENT, 0.1,
                never_write=BATTERY_SAFETY, note="lead-acid"),
    holding_row(1009, U16, "battery_discharge_temperature_min", "Discharge temperature minimum",
                Q.TEMPERATURE, 0.1, never_write=BATTERY_SAFETY),
    holding_row(1010, U16, "battery_discharge_temperature_max", "Discharge temperature maximum",
                Q.TEMPERATURE, 0.1, never_write=BATTERY_SAFETY),
    holding_row(1011, U16, "battery_charge_temperature_min", "Charge temperature minimum",
                Q.TEMPERATURE, 0.1, never_write=BATTERY_SAFETY),
    holding_row(1012, U16, "battery_charge_temperature_max", "Charge temperature maximum",
                Q.TEMPERATURE, 0.1, never_write=BATTERY_SAFETY),
    holding_row(1048, U16, "battery_type", "Type", Q.STATE, options=BATTERY_TYPE),

    # Charge and discharge
    holding_row(608, U16, "load_first_min_soc", "Load-first minimum SOC", Q.PERCENT, 1, OFFERED,
                setting=limits(10, 100, 1, everyday=True),
                note="in no document: known from other programs, on SPH; on TL-XH US a mode"),
    holding_row(1070, U16, "discharge_power_rate", "Grid-first discharge power", Q.PERCENT, 1,
                OFFERED, setting=limits(0, 100, 1, everyday=True, found=(0, NO_LIMIT)),
                note="255 = no limit on some"),
    holding_row(1071, U16, "discharge_stop_soc", "Discharge stop SOC", Q.PERCENT, 1, OFFERED,
                setting=limits(10, 100, 1, everyday=True, found=(0, 100)),
                note="grid first. The documents begin at 0 %, which is hard on a battery"),
    holding_row(1090, U16, "charge_power_rate", "Battery-first charge power", Q.PERCENT, 1, OFFERED,
                setting=limits(0, 100, 1, everyday=True)),
    holding_row(1091, U16, "charge_stop_soc", "Charge stop SOC", Q.PERCENT, 1, OFFERED,
                setting=limits(10, 100, 1, everyday=True, found=(0, 100)), note="battery first"),
    holding_row(1092, U16, AC_CHARGE, "Charge from the grid", Q.FLAG, 1, OFFERED,
                options=NO_YES, setting=EVERYDAY_CHOICE,
                note="battery first; with VPP firmware, 30100 must be 0, too"),

    # Who it is
    identity_row(1125, Text(8), "battery_serial_number", "Serial number", Q.TEXT,
                 note="that of pack 1"),
    *(
        identity_row(1125 + 8 * (n - 1), Text(8), f"battery_pack{n}_serial_number",
                     "Pack {n} serial number", Q.TEXT, index=n)
        for n in range(2, PACKS + 1)
    ),
    identity_row(1244, Text(2), "battery_main_firmware",    "Main firmware",         Q.TEXT),
    identity_row(1246, U16,     "battery_main_version",     "Main firmware version", Q.CODE),
    identity_row(1247, Text(2), "battery_monitor_firmware", "Monitor firmware",      Q.TEXT),
    identity_row(1249, U16,     "battery_monitor_version",  "Monitor version",       Q.CODE),
)
"""Holding registers of the battery but the time slots."""

EPS_HOLDING: Final[tuple[Register, ...]] = (
    holding_row(1060, U16, "eps_enable", "EPS", Q.FLAG, 1, OFFERED, options=NO_YES, setting=CHOICE),
    holding_row(1061, U16, "eps_voltage", "EPS voltage setting", Q.STATE, options=EPS_VOLTAGE,
                never_write=APPLIANCES),
    holding_row(1062, U16, "eps_frequency_setting", "EPS frequency setting", Q.STATE,
                options=EPS_FREQUENCY, never_write=APPLIANCES),
    holding_row(1120, U16, "backup_enable", "Backup", Q.FLAG, options=NO_YES, note="US"),
)
"""Holding registers of the emergency output."""
# fmt: on

SECTIONS: Final[tuple[Section, ...]] = (
    Section(part=Part.INVERTER, rows=INPUT),
    Section(part=Part.BATTERY, rows=BATTERY_INPUT),
    Section(part=Part.BACKUP, rows=EPS_INPUT),
    Section(part=Part.INVERTER, rows=HOLDING),
    Section(part=Part.BATTERY, rows=BATTERY_HOLDING),
    Section(part=Part.BATTERY, rows=STORAGE_SLOTS),
    Section(part=Part.BACKUP, rows=EPS_HOLDING),
)
"""The sections that every storage family has."""

HOLDING_GROUPS: Final[tuple[Group, ...]] = groups(0, 125, 250, 500, 1000, 1125)
"""Groups of holding registers of every storage family."""
