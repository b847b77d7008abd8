"""The blocks of Radian inverters, and of FXR and VFXR, which tell the same."""

from collections.abc import Mapping
from typing import Final

from ...modbus.codecs import S16, U16, Codec
from ...points import Quantity as Q
from ..block import Block, Family, Half, Row
from ..rows import (
    DISABLED_ENABLED,
    OFFERED,
    SHOWN,
    Options,
    battery_volts,
    bit_field,
    choice,
    config_header,
    config_row,
    config_scales,
    device_header,
    firmware,
    live_row,
    number,
    scales,
    switch,
    text,
)
from .inverters import (
    AC_INPUT_STATE,
    ERRORS,
    INVERTER_OPERATING_MODE,
    WARNINGS,
    charger_rows,
    current_rows,
    power_rows,
)
from .reasons import CALIBRATION, HARDWARE, RELAY_ORDER, STACKING, WRITE_CLEARS

AC_INPUT_SELECTION: Final[Options] = {0: "grid", 1: "generator"}

AC_INPUT_SELECT_PRIORITY: Final[Options] = {0: "grid", 1: "generator"}

CHARGER_OPERATING_MODE: Final[Options] = {
    0: "all_charging_disabled",
    1: "bulk_and_float_enabled",
}

GRID_INPUT_MODE: Final[Options] = {
    0: "generator",
    1: "support",
    2: "grid_tied",
    3: "ups",
    4: "backup",
    5: "mini_grid",
    6: "grid_zero",
}

AUX_MODE: Final[Options] = {
    1: "load_shed",
    2: "generator_alert",
    3: "fault",
    4: "vent_fan",
    5: "cool_fan",
    6: "dc_divert",
    7: "grid_limit_ieee",
    8: "ac_source_status",
    9: "ac_divert",
}

AUX_CONTROL: Final[Options] = {0: "off", 1: "auto", 2: "on"}

AUX_RELAY_CONTROL: Final[Options] = {0: "off", 1: "on", 2: "auto"}

STACKING_MODE: Final[Options] = {
    10: "master",
    12: "slave",
    17: "b_phase_master",
    18: "c_phase_master",
}

GRID_TIE_WINDOW: Final[Options] = {0: "ieee", 1: "user"}

MODULE_CONTROL: Final[Options] = {0: "auto", 1: "left", 2: "right", 3: "both"}

MODEL_SELECT: Final[Options] = {0: "full_dual_module", 1: "half_single_module"}

SELL_STATUS: Final[Mapping[int, str]] = {
    0x01: "ac_input_frequency_too_high",
    0x02: "ac_input_frequency_too_low",
    0x04: "ac_input_voltage_too_low",
    0x08: "ac_input_voltage_too_high",
    0x10: "awaiting_sell_delay",
    0x20: "sell_disabled",
    0x40: "battery_voltage_less_than_target",
}


def _leg_rows(at: int, codec: Codec, leg: str, prefix: str = "") -> tuple[Row, ...]:
    """Return currents and voltages of a leg, from offset ``at``."""
    # fmt: off
    return (
        *current_rows(at, codec, leg, prefix),
        live_row(at + 4, codec, f"{prefix}grid_input_ac_voltage", f"Grid {leg} voltage",
                 Q.VOLTAGE,
                 "ac_voltage_scale_factor", OFFERED, key=f"grid_{leg.lower()}_voltage"),
        live_row(at + 5, codec, f"{prefix}gen_input_ac_voltage", f"Generator {leg} voltage",
                 Q.VOLTAGE,
                 "ac_voltage_scale_factor", OFFERED, key=f"generator_{leg.lower()}_voltage"),
        live_row(at + 6, codec, f"{prefix}output_ac_voltage", f"Output {leg} voltage",
                 Q.VOLTAGE,
                 "ac_voltage_scale_factor", SHOWN, key=f"output_{leg.lower()}_voltage"),
    )
    # fmt: on


def _state_rows(at: int, codec: Codec) -> tuple[Row, ...]:
    """Return mode, errors, temperatures and AC input, from offset ``at``."""
    # fmt: off
    return (
        live_row(at, U16, "inverter_operating_mode", "Status", Q.STATE, "", SHOWN,
                 key="status", options=INVERTER_OPERATING_MODE),
        *bit_field(at + 1, "error_flags", "Error flags", ERRORS, Q.PROBLEM, prefix="error_"),
        *bit_field(at + 2, "warning_flags", "Warning flags", WARNINGS, Q.PROBLEM,
                   prefix="warning_"),
        live_row(at + 3, codec, "battery_voltage", "Battery voltage", Q.VOLTAGE,
                 "dc_voltage_scale_factor", SHOWN, key="dc_voltage"),
        live_row(at + 4, codec, "temp_compensated_target_voltage", "Battery target voltage",
                 Q.VOLTAGE, "dc_voltage_scale_factor", OFFERED, key="dc_target_voltage"),
        live_row(at + 5, U16, "aux_output_state", "AUX output", Q.FLAG, "", SHOWN,
                 key="aux_output", options=DISABLED_ENABLED),
        live_row(at + 6, U16, "aux_relay_output_state", "AUX relay", Q.FLAG, "", OFFERED,
                 key="aux_relay", options=DISABLED_ENABLED),
        live_row(at + 7, S16, "l_module_transformer_temperature",
                 "Left transformer temperature",
                 Q.TEMPERATURE, "", OFFERED),
        live_row(at + 8, S16, "l_module_capacitor_temperature", "Left capacitor temperature",
                 Q.TEMPERATURE, "", OFFERED),
        live_row(at + 9, S16, "l_module_fet_temperature", "Left transistor temperature",
                 Q.TEMPERATURE, "", SHOWN),
        live_row(at + 10, S16, "r_module_transformer_temperature",
                 "Right transformer temperature",
                 Q.TEMPERATURE, "", OFFERED),
        live_row(at + 11, S16, "r_module_capacitor_temperature", "Right capacitor temperature",
                 Q.TEMPERATURE, "", OFFERED),
        live_row(at + 12, S16, "r_module_fet_temperature", "Right transistor temperature",
                 Q.TEMPERATURE, "", OFFERED),
        live_row(at + 13, S16, "battery_temperature", "Battery temperature", Q.TEMPERATURE, "",
                 SHOWN),
        live_row(at + 14, U16, "ac_input_selection", "AC input selected", Q.STATE, "", SHOWN,
                 options=AC_INPUT_SELECTION),
        live_row(at + 15, codec, "ac_input_frequency", "AC input frequency", Q.FREQUENCY,
                 "ac_frequency_scale_factor", SHOWN),
        live_row(at + 16, codec, "ac_input_voltage", "AC input voltage", Q.VOLTAGE,
                 "ac_voltage_scale_factor", SHOWN),
        live_row(at + 17, U16, "ac_input_state", "AC input", Q.STATE, "", SHOWN, key="ac_input",
                 options=AC_INPUT_STATE),
        live_row(at + 18, codec, "minimum_ac_input_voltage", "Lowest AC input voltage",
                 Q.VOLTAGE,
                 "ac_voltage_scale_factor", OFFERED, never_write=WRITE_CLEARS),
        live_row(at + 19, codec, "maximum_ac_input_voltage", "Highest AC input voltage",
                 Q.VOLTAGE,
                 "ac_voltage_scale_factor", OFFERED, never_write=WRITE_CLEARS),
        *bit_field(at + 20, "sell_status", "Sell status", SELL_STATUS, Q.FLAG, prefix="sell_"),
        *scales(at + 21, "kwh"),
    )
    # fmt: on


def _energy_rows(at: int, leg: str) -> tuple[Row, ...]:
    """Return the energies of a leg today, from offset ``at``."""
    # fmt: off
    return (
        live_row(at, U16, f"ac1_{leg.lower()}_buy_kwh", f"Grid {leg} import energy today",
                 Q.ENERGY_TODAY,
                 "kwh_scale_factor", OFFERED, key=f"grid_{leg.lower()}_import_energy_today"),
        live_row(at + 1, U16, f"ac2_{leg.lower()}_buy_kwh", f"Generator {leg} energy today",
                 Q.ENERGY_TODAY,
                 "kwh_scale_factor", OFFERED, key=f"generator_{leg.lower()}_energy_today"),
        live_row(at + 2, U16, f"ac1_{leg.lower()}_sell_kwh",
                 f"Grid {leg} export energy today", Q.ENERGY_TODAY,
                 "kwh_scale_factor", OFFERED, key=f"grid_{leg.lower()}_export_energy_today"),
        live_row(at + 3, U16, f"ac2_{leg.lower()}_sell_kwh", f"AC2 {leg} sell kWh",
                 Q.CAPACITY, "kwh_scale_factor",
                 unit="kWh"),
        live_row(at + 4, U16, f"{leg.lower()}_output_kwh", f"Output {leg} energy today",
                 Q.ENERGY_TODAY,
                 "kwh_scale_factor", OFFERED, key=f"output_{leg.lower()}_energy_today"),
    )
    # fmt: on


# fmt: off
SPLIT_PHASE: Final = Block(
    did=64115,
    name="split_phase_radian_inverter_real_time",
    family=Family.INVERTER,
    half=Half.LIVE,
    length=59,
    rows=(
        *device_header(),
        *scales(4, "dc_voltage", "ac_current", "ac_voltage", "ac_frequency"),
        *_leg_rows(8, S16, "L1", "l1_"),
        *_leg_rows(15, S16, "L2", "l2_"),
        *_state_rows(22, S16),
        *_energy_rows(44, "L1"),
        *_energy_rows(49, "L2"),
        live_row(54, U16, "charger_kwh", "Grid charge energy today", Q.ENERGY_TODAY,
                 "kwh_scale_factor", SHOWN, key="ac_charge_energy_today"),
        *power_rows(55),
        live_row(61, U16, "gt_number", "GT number", Q.CODE),
    ),
)

SINGLE_PHASE: Final = Block(
    did=64117,
    name="single_phase_radian_inverter_real_time",
    family=Family.INVERTER,
    half=Half.LIVE,
    length=46,
    rows=(
        *device_header(),
        *scales(4, "dc_voltage", "ac_current", "ac_voltage", "ac_frequency"),
        *_leg_rows(8, U16, "L1"),
        *_state_rows(15, U16),
        live_row(37, U16, "ac1_buy_kwh", "Grid import energy today", Q.ENERGY_TODAY,
                 "kwh_scale_factor", SHOWN, key="grid_import_energy_today"),
        live_row(38, U16, "ac2_buy_kwh", "Generator energy today", Q.ENERGY_TODAY,
                 "kwh_scale_factor", SHOWN, key="generator_energy_today"),
        live_row(39, U16, "ac1_sell_kwh", "Grid export energy today", Q.ENERGY_TODAY,
                 "kwh_scale_factor", SHOWN, key="grid_export_energy_today"),
        live_row(40, U16, "ac2_sell_kwh", "Second AC input export energy today",
                 Q.ENERGY_TODAY, "kwh_scale_factor", OFFERED, key="ac2_export_energy_today"),
        live_row(41, U16, "output_kwh", "Output energy today", Q.ENERGY_TODAY,
                 "kwh_scale_factor", SHOWN, key="energy_today"),
        live_row(42, U16, "charger_kwh", "Grid charge energy today", Q.ENERGY_TODAY,
                 "kwh_scale_factor", SHOWN, key="ac_charge_energy_today"),
        *power_rows(43),
        live_row(49, U16, "gt_number", "GT number", Q.CODE),
    ),
)

RADIAN_CONFIG: Final = Block(
    did=64116,
    name="radian_inverter_configuration",
    family=Family.INVERTER,
    half=Half.CONFIG,
    length=89,
    rows=(
        *config_header(),
        *config_scales(4, "dc_voltage", "ac_current", "ac_voltage", "time"),
        *firmware(8),
        *charger_rows(),
        choice(21, "ac_input_select_priority", "Preferred AC input", AC_INPUT_SELECT_PRIORITY,
               OFFERED),
        number(22, U16, "grid_ac_input_current_limit", "Grid current limit", Q.CURRENT,
               (0, 200), "ac_current_scale_factor", OFFERED, everyday=True),
        number(23, U16, "gen_ac_input_current_limit", "Generator current limit", Q.CURRENT,
               (0, 200), "ac_current_scale_factor", OFFERED, everyday=True),
        number(24, U16, "charger_ac_input_current_limit", "Charger current limit", Q.CURRENT,
               (0, 200), "ac_current_scale_factor", OFFERED, everyday=True),
        choice(25, "charger_operating_mode", "Charger mode", CHARGER_OPERATING_MODE, OFFERED,
               everyday=True),
        config_row(26, U16, "ac_coupled", "AC coupled", Q.FLAG, options=DISABLED_ENABLED),
        choice(27, "grid_input_mode", "Grid input mode", GRID_INPUT_MODE, SHOWN, everyday=True),
        number(28, U16, "grid_lower_input_voltage_limit", "Lowest grid voltage accepted",
               Q.VOLTAGE, (80, 300), "ac_voltage_scale_factor", OFFERED, installer=True,
               step=1),
        number(29, U16, "grid_upper_input_voltage_limit", "Highest grid voltage accepted",
               Q.VOLTAGE, (80, 300), "ac_voltage_scale_factor", OFFERED, installer=True,
               step=1),
        number(30, U16, "grid_transfer_delay", "Grid transfer delay", Q.DURATION, (0, 10000),
               unit="ms", installer=True),
        number(31, U16, "grid_connect_delay", "Grid connect delay", Q.DURATION, (0, 240),
               "time_scale_factor", unit="min", installer=True),
        choice(32, "gen_input_mode", "Generator input mode", GRID_INPUT_MODE, OFFERED),
        number(33, U16, "gen_lower_input_voltage_limit", "Generator lower input voltage limit",
               Q.VOLTAGE, (80, 300), "ac_voltage_scale_factor", installer=True, step=1),
        number(34, U16, "gen_upper_input_voltage_limit", "Generator upper input voltage limit",
               Q.VOLTAGE, (80, 300), "ac_voltage_scale_factor", installer=True, step=1),
        number(35, U16, "gen_transfer_delay", "Generator transfer delay", Q.DURATION,
               (0, 10000), unit="ms", installer=True),
        number(36, U16, "gen_connect_delay", "Generator connect delay", Q.DURATION, (0, 240),
               "time_scale_factor", unit="min", installer=True),
        number(37, U16, "ac_output_voltage", "AC output voltage", Q.VOLTAGE, (80, 300),
               "ac_voltage_scale_factor", OFFERED, installer=True, step=1),
        battery_volts(38, "low_battery_cut_out_voltage", "Low battery cut-out voltage",
                      "dc_voltage_scale_factor", OFFERED, everyday=True,
                      at_most="low_battery_cut_in_voltage"),
        battery_volts(39, "low_battery_cut_in_voltage", "Low battery cut-in voltage",
                      "dc_voltage_scale_factor", OFFERED, everyday=True,
                      at_least="low_battery_cut_out_voltage"),
        choice(40, "aux_mode", "AUX mode", AUX_MODE, OFFERED),
        choice(41, "aux_control", "AUX control", AUX_CONTROL, OFFERED, everyday=True),
        battery_volts(42, "aux_on_battery_voltage", "AUX on battery voltage"),
        number(43, U16, "aux_on_delay_time", "AUX on delay time", Q.DURATION, (0, 240),
               "time_scale_factor", unit="min"),
        battery_volts(44, "aux_off_battery_voltage", "AUX off battery voltage"),
        number(45, U16, "aux_off_delay_time", "AUX off delay time", Q.DURATION, (0, 240),
               "time_scale_factor", unit="min"),
        choice(46, "aux_relay_mode", "AUX relay mode", AUX_MODE, OFFERED),
        choice(47, "aux_relay_control", "AUX relay control", AUX_RELAY_CONTROL, OFFERED,
               note=RELAY_ORDER),
        battery_volts(48, "aux_relay_on_battery_voltage", "AUX relay on battery voltage"),
        number(49, U16, "aux_relay_on_delay_time", "AUX relay on delay time", Q.DURATION,
               (0, 240), "time_scale_factor", unit="min"),
        battery_volts(50, "aux_relay_off_battery_voltage", "AUX relay off battery voltage"),
        number(51, U16, "aux_relay_off_delay_time", "AUX relay off delay time", Q.DURATION,
               (0, 240), "time_scale_factor", unit="min"),
        config_row(52, U16, "stacking_mode", "Stacking mode", Q.STATE, options=STACKING_MODE,
                   never_write=STACKING),
        config_row(53, U16, "master_power_save_level", "Master power save level", Q.CODE,
                   never_write=STACKING),
        config_row(54, U16, "slave_power_save_level", "Slave power save level", Q.CODE,
                   never_write=STACKING),
        battery_volts(55, "sell_volts", "Sell voltage", "dc_voltage_scale_factor", OFFERED,
                      everyday=True),
        choice(56, "grid_tie_window", "Grid tie window", GRID_TIE_WINDOW, installer=True),
        switch(57, "grid_tie_enable", "Grid tie", OFFERED, installer=True),
        config_row(58, S16, "grid_ac_input_voltage_calibrate_factor",
                   "Grid AC input voltage calibrate factor", Q.VOLTAGE,
                   never_write=CALIBRATION),
        config_row(59, S16, "gen_ac_input_voltage_calibrate_factor",
                   "Generator AC input voltage calibrate factor", Q.VOLTAGE,
                   never_write=CALIBRATION),
        config_row(60, S16, "ac_output_voltage_calibrate_factor",
                   "AC output voltage calibrate factor", Q.VOLTAGE, never_write=CALIBRATION),
        config_row(61, S16, "battery_voltage_calibrate_factor",
                   "Battery voltage calibrate factor", Q.VOLTAGE, "dc_voltage_scale_factor",
                   never_write=CALIBRATION),
        battery_volts(62, "re_bulk_volts", "Re-bulk voltage", "dc_voltage_scale_factor",
                      OFFERED, everyday=True),
        battery_volts(63, "mini_grid_lbx_volts", "Mini-grid connect voltage",
                      "dc_voltage_scale_factor", OFFERED),
        number(64, U16, "mini_grid_lbx_delay", "Mini-grid connect delay", Q.DURATION, (0, 24),
               "", OFFERED, unit="h"),
        battery_volts(65, "grid_zero_do_d_volts", "Grid-zero discharge voltage",
                      "dc_voltage_scale_factor", OFFERED),
        number(66, U16, "grid_zero_do_d_max_offset_ac_amps", "Grid-zero offset current",
               Q.CURRENT, (0, 200), "ac_current_scale_factor", OFFERED),
        text(67, 9, "serial_number", "Serial number"),
        text(76, 9, "model_number", "Model number"),
        config_row(85, U16, "module_control", "Module control", Q.STATE,
                   options=MODULE_CONTROL, never_write=HARDWARE),
        config_row(86, U16, "model_select", "Model select", Q.STATE, options=MODEL_SELECT,
                   never_write=HARDWARE),
        number(87, U16, "low_battery_cut_out_delay", "Low battery cut out delay", Q.DURATION,
               (0, 900), "dc_voltage_scale_factor", unit="s"),
        battery_volts(88, "high_battery_cut_out_voltage", "High battery cut out voltage"),
        battery_volts(89, "high_battery_cut_in_voltage", "High battery cut in voltage"),
        number(90, U16, "high_battery_cut_out_delay", "High battery cut out delay", Q.DURATION,
               (0, 900), "dc_voltage_scale_factor", unit="s"),
        config_row(91, U16, "ee_write_enable", "EEPROM write enable", Q.FLAG,
                   options=DISABLED_ENABLED, never_write=HARDWARE),
    ),
)

# fmt: on
