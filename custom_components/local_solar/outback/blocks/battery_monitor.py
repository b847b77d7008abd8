"""The blocks of the FLEXnet DC battery monitor."""

from collections.abc import Callable, Iterator
from typing import Final

from ...modbus.codecs import S16, U16
from ...points import Quantity as Q
from ..block import Block, Family, Half, Row
from ..codecs import BITS, MOMENT
from ..rows import (
    ENABLED_DISABLED,
    OFFERED,
    SHOWN,
    Options,
    battery_volts,
    bit,
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
from .reasons import COUNTER_RESET

RELAY_CONTROL: Final[Options] = {0: "off", 1: "auto", 2: "on"}

RELAY_INVERT_LOGIC: Final[Options] = {0: "invert", 1: "normal"}


def _today(at: int, shunt: str) -> tuple[Row, ...]:
    """Return what went through a shunt today, from offset ``at``."""
    key, name = f"shunt_{shunt}", f"Shunt {shunt.upper()}"
    # fmt: off
    return (
        live_row(at, S16, f"{key}_accumulated_ah", f"{name} charge", Q.CAPACITY, "", OFFERED),
        live_row(at + 1, S16, f"{key}_accumulated_kwh", f"{name} energy", Q.CAPACITY,
                 "kwh_scale_factor", OFFERED, unit="kWh", decimals=2),
    )
    # fmt: on


def _history(at: int, shunt: str) -> tuple[Row, ...]:
    """Return what went through a shunt ever, and how fast, from offset ``at``."""
    key, name = f"shunt_{shunt}", f"Shunt {shunt.upper()}"
    # fmt: off
    return (
        live_row(at, U16, f"{key}_historical_returned_to_battery_ah",
                 f"{name} historical returned to battery Ah", Q.CAPACITY),
        live_row(at + 1, U16, f"{key}_historical_returned_to_battery_kwh",
                 f"{name} historical returned to battery kWh", Q.CAPACITY, "kwh_scale_factor",
                 unit="kWh", decimals=2),
        live_row(at + 2, U16, f"{key}_historical_removed_from_battery_ah",
                 f"{name} historical removed from battery Ah", Q.CAPACITY),
        live_row(at + 3, U16, f"{key}_historical_removed_from_battery_kwh",
                 f"{name} historical removed from battery kWh", Q.CAPACITY, "kwh_scale_factor",
                 unit="kWh", decimals=2),
        live_row(at + 4, U16, f"{key}_maximum_charge_rate", f"{name} maximum charge rate",
                 Q.CURRENT, "dc_current_scale_factor"),
        live_row(at + 5, U16, f"{key}_maximum_charge_rate_kw", f"{name} maximum charge rate kW",
                 Q.POWER, "kwh_scale_factor", decimals=2),
        live_row(at + 6, S16, f"{key}_maximum_discharge_rate", f"{name} maximum discharge rate",
                 Q.CURRENT, "dc_current_scale_factor"),
        live_row(at + 7, S16, f"{key}_maximum_discharge_rate_kw",
                 f"{name} maximum discharge rate kW", Q.POWER, "kwh_scale_factor", decimals=2),
    )
    # fmt: on


def _resets(at: int, shunt: str) -> tuple[Row, ...]:
    """Return the registers that clear the maxima of a shunt, from offset ``at``."""
    key, name = f"shunt_{shunt}", f"Shunt {shunt.upper()}"
    # fmt: off
    return (
        live_row(at, U16, f"{key}_reset_maximum_data", f"{name} reset maximum data", Q.CODE),
        live_row(at + 1, U16, f"{key}_reset_maximum_data_write_complement",
                 f"{name} reset maximum data write complement", Q.CODE, write_only=True,
                 never_write=COUNTER_RESET),
    )
    # fmt: on


def _of_shunts(
    at: int, rows_of: Callable[[int, str], tuple[Row, ...]]
) -> Iterator[Row]:
    """Go through the rows of the three shunts, which follow each other from ``at``."""
    for shunt in "abc":
        for row in rows_of(at, shunt):
            yield row
            at += row.words


# fmt: off
BATTERY_MONITOR: Final = Block(
    did=64118,
    name="flexnet_dc_real_time",
    family=Family.BATTERY_MONITOR,
    half=Half.LIVE,
    length=76,
    rows=(
        *device_header(),
        *scales(4, "dc_voltage", "dc_current", "time", "kwh", "kw"),
        live_row(9, S16, "shunt_a_current", "Shunt A current", Q.CURRENT,
                 "dc_current_scale_factor", SHOWN),
        live_row(10, S16, "shunt_b_current", "Shunt B current", Q.CURRENT,
                 "dc_current_scale_factor", SHOWN),
        live_row(11, S16, "shunt_c_current", "Shunt C current", Q.CURRENT,
                 "dc_current_scale_factor", SHOWN),
        live_row(12, U16, "battery_voltage", "Voltage", Q.VOLTAGE, "dc_voltage_scale_factor",
                 SHOWN),
        live_row(13, S16, "battery_current", "Current", Q.CURRENT, "dc_current_scale_factor",
                 SHOWN),
        live_row(14, S16, "battery_temperature", "Battery temperature", Q.TEMPERATURE, "",
                 SHOWN),
        live_row(15, BITS, "status_flags", "Status flags", Q.CODE),
        bit(15, 0x0001, "aux_relay_enabled", "Relay", Q.FLAG, SHOWN),
        bit(15, 0x0002, "charged_parms_met", "Fully charged", Q.FLAG, SHOWN),
        *_of_shunts(16, _today),
        live_row(22, U16, "input_current", "Charging current in total", Q.CURRENT,
                 "dc_current_scale_factor", OFFERED),
        live_row(23, U16, "output_current", "Discharging current in total", Q.CURRENT,
                 "dc_current_scale_factor", OFFERED),
        live_row(24, U16, "input_kw", "Charging power in total", Q.POWER, "kw_scale_factor",
                 OFFERED, key="input_power", decimals=2),
        live_row(25, U16, "output_kw", "Discharging power in total", Q.POWER,
                 "kw_scale_factor", OFFERED, key="output_power", decimals=2),
        live_row(26, S16, "net_kw", "Power", Q.POWER, "kw_scale_factor", SHOWN,
                 key="battery_power", decimals=2),
        live_row(27, U16, "days_since_charge_parameters_met", "Time since fully charged",
                 Q.DURATION, "time_scale_factor", SHOWN, unit="d"),
        live_row(28, U16, "state_of_charge", "State of charge", Q.STATE_OF_CHARGE, "", SHOWN,
                 key="battery_soc"),
        live_row(29, U16, "todays_minimum_soc", "Lowest state of charge today", Q.PERCENT, "",
                 SHOWN, key="battery_soc_min_today"),
        live_row(30, U16, "todays_maximum_soc", "Highest state of charge today", Q.PERCENT, "",
                 SHOWN, key="battery_soc_max_today"),
        live_row(31, U16, "todays_net_input_ah", "Charge today", Q.CAPACITY, "", OFFERED),
        live_row(32, U16, "todays_net_input_kwh", "Charge energy today", Q.ENERGY_TODAY,
                 "kwh_scale_factor", SHOWN, key="battery_charge_energy_today", decimals=2),
        live_row(33, U16, "todays_net_output_ah", "Discharge today", Q.CAPACITY, "", OFFERED),
        live_row(34, U16, "todays_net_output_kwh", "Discharge energy today", Q.ENERGY_TODAY,
                 "kwh_scale_factor", SHOWN, key="battery_discharge_energy_today", decimals=2),
        live_row(35, S16, "todays_net_battery_ah", "Net charge today", Q.CAPACITY, "", OFFERED),
        live_row(36, S16, "todays_net_battery_kwh", "Net energy today", Q.CAPACITY,
                 "kwh_scale_factor", OFFERED, unit="kWh", decimals=2),
        live_row(37, S16, "charge_factor_corrected_net_battery_ah", "Corrected net charge",
                 Q.CAPACITY, "", OFFERED),
        live_row(38, S16, "charge_factor_corrected_net_battery_kwh",
                 "Charge factor corrected net battery kWh", Q.CAPACITY, "kwh_scale_factor",
                 unit="kWh", decimals=2),
        live_row(39, U16, "todays_minimum_battery_voltage", "Lowest voltage today", Q.VOLTAGE,
                 "dc_voltage_scale_factor", OFFERED),
        live_row(40, MOMENT, "todays_minimum_battery_time", "Time of lowest voltage today",
                 Q.CLOCK, "", OFFERED),
        live_row(42, U16, "todays_maximum_battery_voltage", "Highest voltage today", Q.VOLTAGE,
                 "dc_voltage_scale_factor", OFFERED),
        live_row(43, MOMENT, "todays_maximum_battery_time", "Time of highest voltage today",
                 Q.CLOCK, "", OFFERED),
        live_row(45, U16, "cycle_charge_factor", "Cycle charge factor", Q.PERCENT, "", OFFERED),
        live_row(46, U16, "cycle_kwh_charge_efficiency", "Cycle charge efficiency", Q.PERCENT,
                 "", OFFERED),
        live_row(47, U16, "total_days_at_100_percent", "Time fully charged", Q.DURATION,
                 "time_scale_factor", OFFERED, unit="d"),
        live_row(48, U16, "lifetime_k_ah_removed", "Charge removed ever", Q.CAPACITY, "",
                 OFFERED, unit="kAh"),
        *_of_shunts(49, _history),
        *_of_shunts(73, _resets),
    ),
)

BATTERY_MONITOR_CONFIG: Final = Block(
    did=64119,
    name="flexnet_dc_configuration",
    family=Family.BATTERY_MONITOR,
    half=Half.CONFIG,
    length=52,
    rows=(
        *config_header(),
        *config_scales(4, "dc_voltage", "dc_current", "kwh"),
        *firmware(7),
        number(10, U16, "battery_capacity", "Battery capacity", Q.CAPACITY, (0, 20000), "",
               OFFERED, installer=True),
        battery_volts(11, "charged_volts", "Fully charged voltage", "dc_voltage_scale_factor",
                      OFFERED, installer=True),
        number(12, U16, "charged_time", "Fully charged time", Q.DURATION, (0, 240), "",
               OFFERED, unit="min", installer=True),
        number(13, U16, "battery_charged_amps", "Fully charged current", Q.CURRENT, (0, 200),
               "dc_current_scale_factor", OFFERED, installer=True),
        number(14, U16, "charge_factor", "Charge factor", Q.PERCENT, (0, 100), "", OFFERED,
               installer=True),
        switch(15, "shunt_a_enabled", "Shunt A enabled", options=ENABLED_DISABLED,
               installer=True),
        switch(16, "shunt_b_enabled", "Shunt B enabled", options=ENABLED_DISABLED,
               installer=True),
        switch(17, "shunt_c_enabled", "Shunt C enabled", options=ENABLED_DISABLED,
               installer=True),
        choice(18, "relay_control", "Relay control", RELAY_CONTROL, OFFERED, everyday=True),
        choice(19, "relay_invert_logic", "Relay invert logic", RELAY_INVERT_LOGIC),
        battery_volts(20, "relay_high_voltage", "Relay high voltage",
                      "dc_voltage_scale_factor", OFFERED),
        battery_volts(21, "relay_low_voltage", "Relay low voltage", "dc_voltage_scale_factor",
                      OFFERED),
        number(22, U16, "relay_soc_high", "Relay high state of charge", Q.PERCENT, (0, 100),
               "", OFFERED),
        number(23, U16, "relay_soc_low", "Relay low state of charge", Q.PERCENT, (0, 100), "",
               OFFERED),
        number(24, U16, "relay_high_enable_delay", "Relay high enable delay", Q.DURATION,
               (0, 240), unit="min"),
        number(25, U16, "relay_low_enable_delay", "Relay low enable delay", Q.DURATION,
               (0, 240), unit="min"),
        number(26, U16, "set_data_log_day_offset", "Set data log day offset", Q.DURATION,
               (0, 400), unit="d", persistent=False),
        config_row(27, U16, "get_current_data_log_day_offset",
                   "Get current data log day offset", Q.DURATION, unit="d"),
        config_row(28, U16, "datalog_minimum_soc", "Datalog minimum SOC", Q.PERCENT),
        config_row(29, U16, "datalog_input_ah", "Datalog input Ah", Q.CAPACITY),
        config_row(30, U16, "datalog_input_kwh", "Datalog input kWh", Q.CAPACITY,
                   "kwh_scale_factor", unit="kWh"),
        config_row(31, U16, "datalog_output_ah", "Datalog output Ah", Q.CAPACITY),
        config_row(32, U16, "datalog_output_kwh", "Datalog output kWh", Q.CAPACITY,
                   "kwh_scale_factor", unit="kWh"),
        config_row(33, U16, "datalog_net_ah", "Datalog net Ah", Q.CAPACITY),
        config_row(34, U16, "datalog_net_kwh", "Datalog net kWh", Q.CAPACITY,
                   "kwh_scale_factor", unit="kWh"),
        config_row(35, U16, "clear_data_log_read", "Clear data log read", Q.CODE),
        config_row(36, U16, "clear_data_log_write_complement",
                   "Clear data log write complement", Q.CODE, write_only=True,
                   never_write=COUNTER_RESET),
        text(37, 9, "serial_number", "Serial number"),
        text(46, 9, "model_number", "Model number"),
    ),
)

# fmt: on
