"""SPF and SPE: off-grid inverters with a battery, and the grid as one more source.

Facts: "OffGrid Modbus RTU Protocol" V0.26, and what owners of SPF and SPE report. Nothing of
theirs is at 30000 or above: touched there, they reset and cut their output.
"""

from collections.abc import Mapping
from typing import Final

from ...modbus.codecs import HIGH_BYTE, LOW_BYTE, S16, S32, U16, U32, Bits, Text, Words
from ...modbus.image import Space
from ...modbus.register import Register
from ...points import Quantity as Q, Rhythm
from ..alarms import OFF_GRID, AlarmKind
from .battery_management import bms_status_rows
from .off_grid_slots import OFF_GRID_SLOTS
from .profile import OFFERED, SHOWN, Part, Profile, Section, holding_row, input_row
from .protocol_2 import (
    CHOICE,
    EVERYDAY_CHOICE,
    GRID_CODE,
    NO_YES,
    counters,
    diag_row,
    identity_row,
    limits,
)
from .protocol_3 import (
    FORBIDDEN,
    MAX_WORDS,
    NAME_PLATE,
    narrow_groups,
    same_as_protocol_2,
)

BATTERY_DAMAGE: Final = "a wrong value damages the battery"
APPLIANCES: Final = "must suit the appliances on the output"
ERASES_COUNTERS: Final = "erases the energy counters"

STATUS: Final[Mapping[int, str]] = {
    0: "standby",
    1: "pv_grid_supporting_loads",
    2: "battery_discharging",
    3: "fault",
    4: "firmware_update",
    5: "pv_charging",
    6: "grid_charging",
    7: "pv_grid_charging",
    8: "pv_grid_charging_bypass",
    9: "pv_charging_bypass",
    10: "grid_charging_bypass",
    11: "grid_bypass",
    12: "pv_charging_and_loads",
    13: "pv_discharging_or_export",
    14: "pv_battery_discharging",
    15: "generator_charging",
    16: "generator_charging_bypass",
}

PARALLEL_ROLE: Final[Mapping[int, str]] = {
    0: "new",
    1: "master",
    2: "slave",
    3: "slave_l1",
    4: "slave_l2",
    5: "slave_l3",
}

BMS_PARALLEL: Final[Mapping[int, str]] = {0: "single", 1: "parallel", 2: "preparing"}

STANDBY_OUTPUT: Final[Mapping[int, str]] = {
    0x0000: "output_enabled",
    0x0100: "output_disabled",
    0x0001: "standby_output_enabled",
    0x0101: "standby_output_disabled",
}

AC_OUTPUT: Final[Mapping[int, bool]] = {0x0000: True, 0x0100: False}
"""The two states of ``STANDBY_OUTPUT`` without standby."""

OUTPUT_PRIORITY: Final[Mapping[int, str]] = {
    0: "battery_first",
    1: "pv_first",
    2: "grid_first",
    3: "pv_and_grid_first",
}

CHARGE_PRIORITY: Final[Mapping[int, str]] = {
    0: "pv_first",
    1: "pv_and_grid",
    2: "pv_only",
}

PV_INPUT_MODE: Final[Mapping[int, str]] = {0: "independent", 1: "parallel"}

AC_INPUT_MODE: Final[Mapping[int, str]] = {0: "appliance", 1: "ups", 2: "generator"}

OUTPUT_VOLTAGE: Final[Mapping[int, str]] = {
    0: "208_v",
    1: "230_v",
    2: "240_v",
    3: "220_v",
    4: "100_v",
    5: "110_v",
    6: "120_v",
}

OUTPUT_FREQUENCY: Final[Mapping[int, str]] = {0: "50_hz", 1: "60_hz"}

OVERLOAD_RESTART: Final[Mapping[int, str]] = {0: "yes", 1: "no", 2: "switch_to_grid"}

BATTERY_TYPE: Final[Mapping[int, str]] = {
    0: "agm",
    1: "flooded",
    2: "user_defined",
    3: "lithium",
    4: "user_defined_2",
}

ENERGY_PRIORITY: Final[Mapping[int, str]] = {
    0: "charge_first",
    1: "load_first",
    2: "feed_first",
}

FEED_REGION: Final[Mapping[int, str]] = {
    0: "asia",
    1: "europe",
    2: "south_america",
    3: "south_africa",
}

TYPICAL_SETUP: Final[Mapping[int, str]] = {
    0: "user_defined",
    1: "on_grid",
    2: "zero_export",
    3: "off_grid",
}

DRY_CONTACT_MODE: Final[Mapping[int, str]] = {0: "auto", 1: "enabled", 2: "disabled"}

CELLS: Final = 16

# fmt: off
_INPUT: Final[tuple[Register, ...]] = (
    # State
    input_row(0, U16, "status", "Status", Q.STATE, 1, SHOWN, options=STATUS,
              note="1 is unused in older documents; 13 has two meanings in V0.26; above 12 from newer"
                   " firmware only"),

    # Output
    input_row(9,  U32, "ac_output_power",     "AC output power", Q.POWER, 0.1, SHOWN),
    input_row(11, U32, "ac_output_apparent_power", "AC output apparent power", Q.APPARENT_POWER, 0.1,
              OFFERED),
    input_row(22, U16, "ac_output_voltage",   "AC output voltage",   Q.VOLTAGE, 0.1, SHOWN),
    input_row(23, U16, "ac_output_frequency", "AC output frequency", Q.FREQUENCY, 0.01, OFFERED),
    input_row(34, U16, "ac_output_current",   "AC output current",   Q.CURRENT, 0.1, OFFERED),
    input_row(27, U16, "load_percent",        "Load level",          Q.PERCENT, 0.1, SHOWN),
    input_row(35, U16, "inverter_current",    "Inverter current",    Q.CURRENT, 0.1),
    diag_row(24, S16, "output_dc_voltage",    "Output DC offset",    Q.VOLTAGE, 0.1),
    input_row(69, U32, "ac_discharge_power",  "Inverter power from battery", Q.POWER, 0.1, OFFERED),
    input_row(71, U32, "ac_discharge_apparent_power", "Inverter apparent power from battery",
              Q.APPARENT_POWER, 0.1),

    # Input: grid or generator
    input_row(20, U16, "ac_input_voltage",   "AC input voltage",   Q.VOLTAGE, 0.1, SHOWN),
    input_row(21, U16, "ac_input_frequency", "AC input frequency", Q.FREQUENCY, 0.01, OFFERED),
    input_row(36, S32, "ac_input_power",     "AC input power",     Q.POWER, 0.1, SHOWN,
              note="positive = from the grid; negative, which is export, from V0.26"),
    input_row(38, U32, "ac_input_apparent_power", "AC input apparent power", Q.APPARENT_POWER, 0.1),
    input_row(96, U16, "generator_power",   "Generator power",   Q.POWER, 1, OFFERED),
    input_row(97, U16, "generator_voltage", "Generator voltage", Q.VOLTAGE, 0.1),
    input_row(102, S32, "ct_power", "External CT power", Q.POWER, 0.1, OFFERED,
              note="V0.26, which does not say which sign is which"),
    input_row(104, U32, "ct_load_power",   "External CT load power", Q.POWER, 0.1, OFFERED),
    input_row(106, U16, "ct_load_percent", "External CT load level", Q.PERCENT, 0.1),

    # Energy
    *counters(85, "ac_output_energy", "AC output energy", SHOWN),
    *counters(64, "ac_discharge_energy", "Inverter energy from battery", OFFERED),
    *counters(92, "generator_energy", "Generator energy", OFFERED),
    input_row(45, U16, "grid_export_energy_today", "Grid export energy today", Q.ENERGY_TODAY, 0.1,
              OFFERED, note="from V0.17; before, 45 to 47 are of the production line"),
    input_row(46, U32, "grid_export_energy_total", "Grid export energy total", Q.ENERGY_TOTAL, 0.1,
              OFFERED, note="as 45"),
    diag_row(30, U32, "run_time", "Run time", Q.DURATION, 0.5, OFFERED, rhythm=Rhythm.ENERGY),

    # Temperatures, buses, fans
    diag_row(25, S16, "inverter_temperature", "Inverter temperature", Q.TEMPERATURE, 0.1, SHOWN),
    diag_row(26, S16, "dcdc_temperature",  "DC-DC temperature", Q.TEMPERATURE, 0.1, OFFERED),
    diag_row(32, S16, "buck1_temperature", "PV charger 1 temperature", Q.TEMPERATURE, 0.1, OFFERED),
    diag_row(33, S16, "buck2_temperature", "PV charger 2 temperature", Q.TEMPERATURE, 0.1),
    diag_row(107, S16, "transformer_temperature", "Transformer temperature", Q.TEMPERATURE, 0.1,
             OFFERED),
    diag_row(108, S16, "llc_temperature",     "LLC temperature",     Q.TEMPERATURE, 0.1),
    diag_row(111, S16, "ambient_temperature", "Ambient temperature", Q.TEMPERATURE, 0.1, OFFERED),
    diag_row(19,  U16, "bus_voltage",         "Bus voltage",         Q.VOLTAGE, 0.1),
    diag_row(109, U16, "llc_bus_voltage",     "LLC bus voltage",     Q.VOLTAGE, 0.1),
    diag_row(110, U16, "llc_battery_voltage", "LLC battery voltage", Q.VOLTAGE, 0.01),
    diag_row(81, U16, "mppt_fan_speed",     "MPPT fan speed",     Q.PERCENT, 1, OFFERED,
             note="0.1 % in another program"),
    diag_row(82, U16, "inverter_fan_speed", "Inverter fan speed", Q.PERCENT, 1, OFFERED,
             note="0.1 % in another program"),

    # Alarms
    diag_row(40, U16, "fault_bits",   "Fault bits",   Q.CODE,
             note="the code itself in new firmware, some say"),
    diag_row(41, U16, "warning_bits", "Warning bits", Q.CODE, 1, OFFERED),
    diag_row(42, U16, "fault", "Fault", Q.FAULT, 1, OFFERED,
             options=OFF_GRID.options(AlarmKind.FAULT),
             note="so say older documents and all programs; V0.26 has more warning bits here. The"
                  " alarms tell one from the other, this does not"),
    diag_row(42, U16, "fault_code", "Fault code", Q.CODE, 1, OFFERED, note="as the fault"),
    diag_row(43, U16, "warning", "Warning", Q.FAULT, 1, SHOWN,
             options=OFF_GRID.options(AlarmKind.WARNING)),
    diag_row(43, U16, "warning_code", "Warning code", Q.CODE, 1, OFFERED,
             note="one of those at 41"),

    # Several inverters
    input_row(79, U16, "parallel_slave_count", "Parallel inverters behind this one", Q.COUNT),
    input_row(90, U16, "parallel_charge_current", "Charge current of all inverters", Q.CURRENT, 0.1),
    input_row(91, U16, "parallel_status", "Role among parallel inverters", Q.STATE,
              options=PARALLEL_ROLE),
    input_row(44, U16, "device_type_code_input", "Device type code (input register)", Q.CODE,
              rhythm=Rhythm.IDENTITY, note="some firmware has no valid code here"),
)
"""Input registers but those of the PV inputs and of the battery."""


def _string(n: int) -> tuple[Register, ...]:
    """Return the rows of PV input ``n``, 1 or 2."""
    return (
        input_row(n, U16, f"pv{n}_voltage", "PV{n} voltage", Q.VOLTAGE, 0.1, OFFERED, index=n),
        input_row(6 + n, U16, f"pv{n}_current", "PV{n} current", Q.CURRENT, 0.1, OFFERED, index=n),
        input_row(1 + 2 * n, U32, f"pv{n}_power", "PV{n} power", Q.POWER, 0.1, SHOWN, index=n),
        *counters(44 + 4 * n, f"pv{n}_energy", "PV{n} energy", SHOWN, index=n),
    )


_BATTERY_INPUT: Final[tuple[Register, ...]] = (
    # Power
    input_row(17, U16, "battery_voltage", "Voltage", Q.VOLTAGE, 0.01, SHOWN),
    input_row(18, U16, "battery_soc", "State of charge", Q.STATE_OF_CHARGE, 1, SHOWN),
    input_row(77, S32, "battery_power", "Power", Q.POWER, -0.1, SHOWN,
              note="positive = charging; the register has it the other way round"),
    input_row(73, U32, "battery_discharge_power", "Discharge power", Q.POWER, 0.1, OFFERED),
    input_row(75, U32, "battery_discharge_apparent_power", "Discharge apparent power",
              Q.APPARENT_POWER, 0.1),
    input_row(13, U32, "ac_charge_power", "Grid charge power", Q.POWER, 0.1, SHOWN),
    input_row(15, U32, "ac_charge_apparent_power", "Grid charge apparent power", Q.APPARENT_POWER,
              0.1),
    input_row(83, U16, "battery_charge_current",    "Charge current",    Q.CURRENT, 0.1, OFFERED),
    input_row(84, U16, "battery_discharge_current", "Discharge current", Q.CURRENT, 0.1, OFFERED),
    input_row(68, U16, "ac_charge_battery_current", "Grid charge current", Q.CURRENT, 0.1, OFFERED,
              note="0 unless the grid charges: no current of the battery as such"),
    diag_row(28, U16, "battery_port_voltage", "Voltage at the port", Q.VOLTAGE, 0.01,
             note="0.1 V in another program"),
    diag_row(29, U16, "battery_voltage_at_bus", "Voltage at the bus", Q.VOLTAGE, 0.01,
             note="0.1 V in another program"),
    diag_row(80, U16, "battery_overcharge", "Overcharge", Q.PROBLEM, 1, OFFERED, options=NO_YES),

    # Energy
    *counters(98, "battery_charge_energy", "Charge energy", SHOWN,
              note="from PV and grid; from V0.21"),
    *counters(60, "battery_discharge_energy", "Discharge energy", SHOWN),
    *counters(56, "ac_charge_energy", "Grid charge energy", SHOWN),

    # Battery management, from V0.18
    *bms_status_rows(200),
    diag_row(200, Bits(2), "bms_error_valid", "BMS error bits valid", Q.FLAG, options=NO_YES),
    diag_row(200, Bits(8, 2), "bms_parallel_state", "Parallel operation", Q.STATE,
             options=BMS_PARALLEL),
    diag_row(200, Bits(10, 2), "bms_sp_state", "SP state", Q.CODE),
    diag_row(201, U16, "bms_error",   "BMS error bits",   Q.CODE),
    diag_row(202, U16, "bms_warning", "BMS warning bits", Q.CODE),
    input_row(203, U16, "bms_soc", "BMS state of charge", Q.STATE_OF_CHARGE),
    input_row(204, U16, "bms_voltage", "BMS voltage", Q.VOLTAGE, 0.01, OFFERED),
    input_row(205, S16, "bms_current", "BMS current", Q.CURRENT, 0.1, OFFERED,
              note="the document does not say which sign is which"),
    diag_row(206, S16, "bms_battery_temperature", "BMS temperature", Q.TEMPERATURE, 0.1, OFFERED),
    diag_row(207, U16, "bms_charge_current_limit", "Charge current limit", Q.CURRENT, 0.1, OFFERED),
    diag_row(208, U16, "bms_cv_voltage", "BMS constant voltage", Q.VOLTAGE, 0.01, OFFERED),
    input_row(228, U16, "module_id", "Module shown", Q.CODE,
              note="1 to 12; 228 to 231 go round the modules"),
    input_row(229, U16, "module_voltage", "Voltage of the module shown", Q.VOLTAGE, 0.01),
    input_row(230, S16, "module_current", "Current of the module shown", Q.CURRENT, 0.1),
    input_row(231, U16, "module_soc", "State of charge of the module shown", Q.STATE_OF_CHARGE),
    input_row(235, U16, "battery_parallel_count", "Batteries in parallel", Q.COUNT),
    diag_row(237, Bits(0, 7), "battery_soh", "State of health", Q.PERCENT, 1, OFFERED,
             rhythm=Rhythm.ENERGY),
    diag_row(237, Bits(7), "battery_life_warning", "Worn out", Q.PROBLEM, options=NO_YES),
    input_row(238, U16, "bms_remaining_capacity", "Remaining capacity", Q.CAPACITY, 0.01),
    input_row(239, U16, "bms_full_capacity",      "Full capacity",      Q.CAPACITY, 0.01),
    diag_row(240, U16, "bms_delta_voltage", "Difference of the cell voltages", Q.VOLTAGE, 0.001),
    diag_row(241, U16, "bms_cycle_count", "Cycle count", Q.COUNT, 1, OFFERED, rhythm=Rhythm.ENERGY),
    diag_row(243, U16, "bms_cell_voltage_max", "Highest cell voltage", Q.VOLTAGE, 0.001, OFFERED),
    diag_row(244, U16, "bms_cell_voltage_min", "Lowest cell voltage",  Q.VOLTAGE, 0.001, OFFERED),
    diag_row(251, S16, "bms_max_cell_temperature", "Highest cell temperature", Q.TEMPERATURE, 0.1),
    diag_row(252, S16, "bms_min_cell_temperature", "Lowest cell temperature",  Q.TEMPERATURE, 0.1),
    input_row(254, HIGH_BYTE, "bms_max_soc", "Highest pack state of charge", Q.STATE_OF_CHARGE),
    input_row(254, LOW_BYTE,  "bms_min_soc", "Lowest pack state of charge",  Q.STATE_OF_CHARGE),
    input_row(263, Text(7), "battery_serial_number_start", "Beginning of the serial number", Q.TEXT,
              rhythm=Rhythm.IDENTITY,
              note="14 of 20 characters: the others are behind the end of the group, and two"
                   " reads can be of two batteries"),
    *(
        diag_row(211 + n, U16, f"cell{n}_voltage", "Cell {n} voltage", Q.VOLTAGE, 0.001, index=n)
        for n in range(1, CELLS + 1)
    ),
)
"""Input registers of the battery and what manages it."""

_HOLDING: Final[tuple[Register, ...]] = (
    *NAME_PLATE,

    # Output and its sources
    holding_row(0, U16, "standby_output", "Standby and output", Q.STATE, options=STANDBY_OUTPUT,
                note="low byte standby, high byte output off: 1 is not on, as it is elsewhere"),
    holding_row(0, U16, "ac_output", "AC output", Q.FLAG, 1, OFFERED, options=AC_OUTPUT,
                setting=CHOICE,
                note="off cuts all that the output feeds, perhaps the network and the computer that"
                     " could switch it on again. Not in standby, which is left at the inverter"),
    holding_row(1, U16, "output_priority", "Output source priority", Q.STATE, 1, OFFERED,
                options=OUTPUT_PRIORITY, setting=EVERYDAY_CHOICE,
                note="SBU, SOL, UTI, SUB on the display; the last one on newer firmware only"),
    holding_row(2, U16, "charge_priority", "Charge source priority", Q.STATE, 1, OFFERED,
                options=CHARGE_PRIORITY, setting=EVERYDAY_CHOICE,
                note="CSO, SNU, OSO on the display"),
    holding_row(7, U16, "pv_input_mode", "PV input mode", Q.STATE, options=PV_INPUT_MODE,
                never_write="must fit how the strings are wired"),
    holding_row(8, U16, "ac_input_mode", "AC input mode", Q.STATE, 1, OFFERED,
                options=AC_INPUT_MODE, setting=CHOICE,
                note="input of 90 to 280 V for appliances, of 170 to 280 V as a UPS"),
    holding_row(18, U16, "output_voltage_type", "AC output voltage setting", Q.STATE,
                options=OUTPUT_VOLTAGE, never_write=APPLIANCES, note="in standby only"),
    holding_row(19, U16, "output_frequency_type", "AC output frequency setting", Q.STATE,
                options=OUTPUT_FREQUENCY, never_write=APPLIANCES, note="in standby only"),
    holding_row(20, U16, "overload_restart", "Restart after overload", Q.STATE, 1, OFFERED,
                options=OVERLOAD_RESTART, setting=CHOICE),
    holding_row(21, U16, "over_temperature_restart", "Restart after over-temperature", Q.FLAG, 1,
                OFFERED, options={0: True, 1: False}, setting=CHOICE),
    holding_row(116, U16, "energy_priority", "Energy priority", Q.STATE, 1, OFFERED,
                options=ENERGY_PRIORITY, setting=CHOICE,
                note="an SPF 6000 ES Plus has the first two only"),
    holding_row(137, U16, "generator_run_time_max", "Generator run time limit", Q.DURATION, unit="h",
                setting=limits(0, 23, 1)),
    holding_row(141, U16, "second_output_always_on", "Second output always on with the grid", Q.FLAG,
                1, OFFERED, options=NO_YES, setting=CHOICE),
    holding_row(149, U16, "second_output_stop_soc", "Second output stop SOC", Q.PERCENT, 1, OFFERED,
                setting=limits(10, 100, 1)),
    holding_row(151, U16, "second_output_resume_soc", "Second output resume SOC", Q.PERCENT, 1,
                OFFERED, setting=limits(10, 100, 1)),
    holding_row(169, U16, "dry_contact_mode", "Dry contact mode", Q.STATE, 1, OFFERED,
                options=DRY_CONTACT_MODE, setting=CHOICE, note="V0.26"),

    # Grid
    holding_row(115, U16, "grid_feed_enable", "Feed into the grid", Q.FLAG, 1, OFFERED,
                options=NO_YES, setting=CHOICE, note="from V0.19"),
    holding_row(117, U16, "feed_region", "Feed region", Q.STATE, options=FEED_REGION,
                never_write=GRID_CODE, note="the firmware chooses; an SPE was seen with 7"),
    holding_row(119, U16, "feed_power_limit", "Feed power limit", Q.POWER, 0.1, OFFERED, unit="kW",
                setting=limits(0, 12, 0.1)),
    holding_row(155, U16, "external_ct_enable", "External CT", Q.FLAG, options=NO_YES),
    holding_row(157, U16, "peak_shaving_power", "Peak shaving power", Q.POWER, 0.1, OFFERED,
                unit="kW", setting=limits(0, 24, 0.1), note="from V0.24"),
    holding_row(158, U16, "export_limit_power", "Export power limit", Q.POWER, 0.1, OFFERED,
                unit="kW", setting=limits(0, 12, 0.1), note="from V0.24"),
    holding_row(159, U16, "typical_setup", "Typical setup", Q.STATE, options=TYPICAL_SETUP,
                note="from V0.24"),
    holding_row(168, U16, "peak_shaving_enable", "Peak shaving", Q.FLAG, 1, OFFERED, options=NO_YES,
                setting=CHOICE, note="V0.26"),

    # Display, ratings, triggers
    holding_row(15, U16, "lcd_language", "Display language", Q.STATE, options={1: "english"}),
    holding_row(22, U16, "buzzer_enable", "Buzzer", Q.FLAG, 1, OFFERED, options=NO_YES,
                setting=CHOICE, note="where other families have the baud rate"),
    identity_row(76, U32, "rated_power",          "Rated power",          Q.POWER, 0.1),
    identity_row(78, U32, "rated_apparent_power", "Rated apparent power", Q.APPARENT_POWER, 0.1),
    holding_row(99, U16, "clear_energy_today", "Trigger to clear the energy of today", Q.CODE,
                never_write=ERASES_COUNTERS),
    holding_row(100, U16, "clear_energy_all", "Trigger to clear all energy", Q.CODE,
                never_write=ERASES_COUNTERS),
    *same_as_protocol_2("serial_number_long"),

    # Grid code, from V0.23, a row for each group
    *(
        holding_row(first, Words(count), f"grid_code_parameters_{first}",
                    f"Grid code parameters from {first}", Q.TEXT, never_write=GRID_CODE)
        for first, count in ((300, 15), (315, 45), (360, 45), (405, 22))
    ),
)
"""Holding registers of the inverter but those of the time windows."""

_BATTERY_HOLDING: Final[tuple[Register, ...]] = (
    # Charging
    holding_row(34, U16, "max_charge_current", "Maximum charge current", Q.CURRENT, 1, OFFERED,
                sentinels=(0xFFFF,), setting=limits(10, 100, 1, everyday=True, found=(0, 400)),
                note="not available while a lithium battery's management controls it. V0.26 has 0"
                     " to 400 A for all models; a model's limit is lower"),
    holding_row(38, U16, "ac_charge_current", "Grid charge current limit", Q.CURRENT, 1, OFFERED,
                setting=limits(0, 80, 1, everyday=True, found=(0, 400)),
                note="V0.26 has 0 to 400 A for all models; an SPF 6000 goes up to 80 A"),
    holding_row(83, U16, "generator_charge_current", "Generator charge current limit", Q.CURRENT, 1,
                OFFERED, setting=limits(0, 80, 1, found=(0, 400))),
    holding_row(35, U16, "bulk_charge_voltage", "Bulk charge voltage", Q.VOLTAGE, 0.1, OFFERED,
                never_write=BATTERY_DAMAGE),
    holding_row(36, U16, "float_charge_voltage", "Float charge voltage", Q.VOLTAGE, 0.1, OFFERED,
                never_write=BATTERY_DAMAGE),
    holding_row(39, U16, "battery_type", "Type", Q.STATE, 1, OFFERED, options=BATTERY_TYPE,
                never_write="must be what the battery is", note="in standby only"),
    holding_row(106, U16, "lithium_protocol", "Lithium protocol number", Q.CODE, note="1 to 99"),

    # Levels: volts, or the state of charge of a lithium battery, for which sources differ
    holding_row(37, U16, "battery_to_grid_level", "Level to switch to the grid", Q.CODE, 0.1,
                OFFERED, note="V; with a lithium battery %, in steps that the sources disagree on"),
    holding_row(95, U16, "grid_to_battery_level", "Level to switch back from the grid", Q.CODE, 0.1,
                OFFERED, note="as 37"),
    holding_row(82, U16, "battery_cut_off_level", "Cut-off level", Q.CODE, 0.1, OFFERED,
                never_write=BATTERY_DAMAGE, note="as 37"),

    # Feeding into the grid
    holding_row(118, U16, "battery_feed_enable", "Discharge into the grid", Q.FLAG, 1, OFFERED,
                options=NO_YES, setting=CHOICE),
    holding_row(120, U16, "battery_feed_current", "Feed current limit", Q.CURRENT, 1, OFFERED,
                setting=limits(0, 280, 1, found=(0, 400)),
                note="V0.26 goes on to 400 A; an SPE 12000 to 280 A"),
    holding_row(121, U16, "battery_feed_stop_voltage", "Feed stop voltage", Q.VOLTAGE, 0.1,
                never_write=BATTERY_DAMAGE),
    holding_row(122, U16, "battery_feed_resume_voltage", "Feed resume voltage", Q.VOLTAGE, 0.1,
                never_write=BATTERY_DAMAGE),
    holding_row(123, U16, "battery_feed_stop_soc", "Feed stop SOC", Q.PERCENT, 1, OFFERED,
                setting=limits(10, 90, 1, found=(5, 90)),
                note="the document begins at 5 %, which is hard on a battery"),
    holding_row(124, U16, "battery_feed_resume_soc", "Feed resume SOC", Q.PERCENT, 1, OFFERED,
                setting=limits(15, 100, 1)),
)
"""Holding registers of the battery."""
# fmt: on

PROFILE: Final = Profile(
    key="spf",
    name="SPF, SPE",
    sections=(
        Section(part=Part.INVERTER, rows=_INPUT),
        Section(part=Part.STRING, rows=(*_string(1), *_string(2))),
        Section(part=Part.BATTERY, rows=_BATTERY_INPUT),
        Section(part=Part.INVERTER, rows=_HOLDING),
        Section(part=Part.BATTERY, rows=_BATTERY_HOLDING),
        Section(part=Part.INVERTER, rows=OFF_GRID_SLOTS),
    ),
    groups={
        Space.INPUT: narrow_groups(0, 45, 90, 180, 225),
        Space.HOLDING: narrow_groups(0, 45, 90, 135, 180, 270, 315, 360, 405),
    },
    max_words=MAX_WORDS,
    forbidden=FORBIDDEN,
    alarms=OFF_GRID,
)
"""Register map of SPF and SPE."""
