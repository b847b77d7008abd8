"""What inverters of all kinds tell in the same rows, numbers and bits."""

from collections.abc import Mapping
from typing import Final

from ...modbus.codecs import U16, Codec
from ...points import Quantity as Q
from ..block import Row
from ..rows import OFFERED, SHOWN, Options, battery_volts, live_row, number

INVERTER_OPERATING_MODE: Final[Options] = {
    0: "off",
    1: "searching",
    2: "inverting",
    3: "charging",
    4: "silent",
    5: "float",
    6: "equalize",
    7: "charger_off",
    8: "support",
    9: "selling",
    10: "pass_through",
    11: "slave_on",
    12: "slave_off",
    14: "offsetting",
}

AC_INPUT_STATE: Final[Options] = {0: "dropped", 1: "in_use"}

ERRORS: Final[Mapping[int, str]] = {
    0x01: "low_ac_output_voltage",
    0x02: "stacking_error",
    0x04: "over_temperature_error",
    0x08: "low_battery_voltage",
    0x10: "phase_loss",
    0x20: "high_battery_voltage",
    0x40: "ac_output_shorted",
    0x80: "ac_backfeed",
}

WARNINGS: Final[Mapping[int, str]] = {
    0x01: "ac_input_frequency_too_high",
    0x02: "ac_input_frequency_too_low",
    0x04: "ac_input_voltage_too_low",
    0x08: "ac_input_voltage_too_high",
    0x10: "ac_input_current_exceeds_max",
    0x20: "temperature_sensor_bad",
    0x40: "communications_error",
    0x80: "cooling_fan_fault",
}


def current_rows(at: int, codec: Codec, leg: str, prefix: str = "") -> tuple[Row, ...]:
    """Return the currents of a leg, from offset ``at``."""
    # fmt: off
    return (
        live_row(at, codec, f"{prefix}inverter_output_current", f"Output {leg} current",
                 Q.CURRENT,
                 "ac_current_scale_factor", OFFERED, key=f"output_{leg.lower()}_current",
                 decimals=0),
        live_row(at + 1, codec, f"{prefix}inverter_charge_current", f"Charger {leg} current",
                 Q.CURRENT,
                 "ac_current_scale_factor", OFFERED, key=f"charger_{leg.lower()}_current",
                 decimals=0),
        live_row(at + 2, codec, f"{prefix}inverter_buy_current", f"Grid import {leg} current",
                 Q.CURRENT,
                 "ac_current_scale_factor", OFFERED, key=f"grid_import_{leg.lower()}_current",
                 decimals=0),
        live_row(at + 3, codec, f"{prefix}inverter_sell_current",
                 f"Grid export {leg} current", Q.CURRENT,
                 "ac_current_scale_factor", OFFERED, key=f"grid_export_{leg.lower()}_current",
                 decimals=0),
    )
    # fmt: on


def power_rows(at: int) -> tuple[Row, ...]:
    """Return the powers of an inverter, from offset ``at``."""
    # fmt: off
    return (
        live_row(at, U16, "output_kw", "Output power", Q.POWER, "kwh_scale_factor", SHOWN,
                 key="ac_power"),
        live_row(at + 1, U16, "buy_kw", "Grid import power", Q.POWER, "kwh_scale_factor", SHOWN,
                 key="grid_import_power"),
        live_row(at + 2, U16, "sell_kw", "Grid export power", Q.POWER, "kwh_scale_factor",
                 SHOWN,
                 key="grid_export_power"),
        live_row(at + 3, U16, "charge_kw", "Charger power", Q.POWER, "kwh_scale_factor", SHOWN,
                 key="charger_power"),
        live_row(at + 4, U16, "load_kw", "Load power", Q.POWER, "kwh_scale_factor", SHOWN,
                 key="load_power"),
        live_row(at + 5, U16, "ac_couple_kw", "AC-coupled power", Q.POWER, "kwh_scale_factor",
                 OFFERED, key="ac_coupled_power"),
    )
    # fmt: on


def charger_rows() -> tuple[Row, ...]:
    """Return the settings of charging and search mode, which begin at offset 11."""
    # fmt: off
    return (
        battery_volts(11, "absorb_volts", "Absorb voltage", "dc_voltage_scale_factor", SHOWN,
                      everyday=True,
                      at_least="float_volts"),
        number(12, U16, "absorb_time_hours", "Absorb time", Q.DURATION, (0, 24),
               "time_scale_factor", OFFERED, unit="h", everyday=True),
        battery_volts(13, "float_volts", "Float voltage", "dc_voltage_scale_factor", SHOWN,
                      everyday=True,
                      at_most="absorb_volts"),
        number(14, U16, "float_time_hours", "Float time", Q.DURATION, (0, 24),
               "time_scale_factor", OFFERED, unit="h", everyday=True),
        battery_volts(15, "re_float_volts", "Re-float voltage", "dc_voltage_scale_factor",
                      OFFERED, everyday=True),
        battery_volts(16, "eq_volts", "Equalize voltage", "dc_voltage_scale_factor", OFFERED),
        number(17, U16, "eq_time_hours", "Equalize time", Q.DURATION, (0, 24),
               "time_scale_factor", OFFERED, unit="h"),
        number(18, U16, "search_sensitivity", "Search sensitivity", Q.CODE, (0, 255), "",
               OFFERED),
        number(19, U16, "search_pulse_length", "Search pulse length", Q.COUNT, (0, 255),
               unit="cycles"),
        number(20, U16, "search_pulse_spacing", "Search pulse spacing", Q.COUNT, (0, 255),
               unit="cycles"),
    )
    # fmt: on
