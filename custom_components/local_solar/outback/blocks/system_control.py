"""The block with what acts on all devices of the HUB at once."""

from typing import Final

from ...modbus.codecs import U16, U32_LOW_FIRST
from ...points import Quantity as Q
from ..block import Block, Family, Half
from ..codecs import BITS, MOMENT, Shown
from ..rows import (
    OFFERED,
    SHOWN,
    Options,
    battery_volts,
    bit,
    choice,
    command,
    header,
    live_row,
    number,
    scales,
)

SET_AGS_OP_MODE: Final[Options] = {0: "off", 1: "on", 2: "auto"}

AGS_OPERATIONAL_STATE: Final[Options] = {
    0: "stopped",
    1: "starting",
    2: "running",
    3: "warm_up",
    4: "cool_down",
    5: "awaiting_ac",
}

INVERTER_MODE: Final[Options] = {1: "off", 2: "search", 3: "on"}

CHARGER_MODE: Final[Options] = {1: "off", 2: "auto", 3: "on"}

# fmt: off
SYSTEM_CONTROL: Final = Block(
    did=64120,
    name="outback_system_control",
    family=Family.GATEWAY,
    half=Half.LIVE,
    length=27,
    rows=(
        *header(prefix="control_"),
        *scales(3, "dc_voltage", "ac_current", "time"),
        live_row(6, U16, "bulk_charge_enable_disable", "Bulk charge enable disable command",
                 Q.CODE, write_only=True),
        live_row(7, U16, "inverter_ac_drop_use", "Inverter AC drop use command", Q.CODE,
                 write_only=True),
        live_row(8, U16, "set_inverter_mode", "Set inverter mode command", Q.CODE,
                 write_only=True),
        live_row(9, U16, "grid_tie_mode", "Grid tie mode command", Q.CODE, write_only=True),
        live_row(10, U16, "set_inverter_charger_mode", "Set inverter charger mode command",
                 Q.CODE, write_only=True),
        live_row(11, BITS, "control_status", "Control status", Q.CODE),
        command(11, 8, "inverter_mode", "Inverter mode", INVERTER_MODE,
                Shown(((1, 0x0008), (2, 0x0010), (3, 0x0020)))),
        command(11, 7, "ac_input_use", "Use of the AC input", {1: True, 2: False},
                Shown(((1, 0x0004),), otherwise=2)),
        command(11, 9, "grid_tie", "Grid tie of all inverters", {1: True, 2: False},
                Shown(((1, 0x0040),), otherwise=2)),
        command(11, 10, "inverter_charger_mode", "Charger mode of all inverters", CHARGER_MODE,
                Shown(((1, 0x0080), (2, 0x0100), (3, 0x0200)))),
        command(11, 6, "bulk_charge", "Bulk charge", {1: True, 2: False},
                Shown(((1, 0x0800),), otherwise=2), reads_back=False),
        command(11, 6, "equalize", "Equalize", {3: True, 4: False},
                Shown(((3, 0x0400),), otherwise=4), reads_back=False),
        bit(11, 0x0001, "absorb_charging", "Absorb charging", Q.FLAG, OFFERED),
        bit(11, 0x0002, "float_charging", "Float charging", Q.FLAG, OFFERED),
        bit(11, 0x1000, "sd_card_present", "SD card present"),
        bit(11, 0x2000, "replay_file_present", "Replay file present"),
        bit(11, 0x4000, "status_sd_card_error", "SD card error"),
        battery_volts(12, "set_sell_voltage", "Sell voltage of all inverters",
                      "dc_voltage_scale_factor", OFFERED),
        number(13, U16, "set_radian_inverter_sell_current_limit",
               "Sell current limit of all inverters", Q.CURRENT, (0, 200),
               "ac_current_scale_factor", OFFERED),
        battery_volts(14, "set_absorb_voltage", "Absorb voltage of all chargers",
                      "dc_voltage_scale_factor", OFFERED,
                      at_least="set_float_voltage"),
        number(15, U16, "set_absorb_time", "Absorb time of all chargers", Q.DURATION, (0, 24),
               "time_scale_factor", OFFERED, unit="h"),
        battery_volts(16, "set_float_voltage", "Float voltage of all chargers",
                      "dc_voltage_scale_factor", OFFERED,
                      at_most="set_absorb_voltage"),
        number(17, U16, "set_float_time", "Float time of all chargers", Q.DURATION, (0, 24),
               "time_scale_factor", OFFERED, unit="h"),
        number(18, U16, "set_inverter_charger_current_limit",
               "Charger current limit of all inverters", Q.CURRENT, (0, 200),
               "ac_current_scale_factor", OFFERED),
        number(19, U16, "set_inverter_ac1_current_limit",
               "Grid current limit of all inverters", Q.CURRENT, (0, 200),
               "ac_current_scale_factor", OFFERED),
        number(20, U16, "set_inverter_ac2_current_limit",
               "Generator current limit of all inverters", Q.CURRENT, (0, 200),
               "ac_current_scale_factor", OFFERED),
        choice(21, "set_ags_op_mode", "Generator command", SET_AGS_OP_MODE, OFFERED,
               persistent=False),
        live_row(22, U16, "ags_operational_state", "Generator state", Q.STATE, "", SHOWN,
                 key="generator_state", options=AGS_OPERATIONAL_STATE),
        live_row(23, U16, "ags_operational_state_timer", "Generator state timer", Q.DURATION,
                 "", OFFERED, key="generator_state_timer", unit="s"),
        live_row(24, MOMENT, "gen_last_run_start_time_gmt", "Generator last start", Q.CLOCK,
                 "", OFFERED, key="generator_last_start"),
        live_row(26, U32_LOW_FIRST, "gen_last_start_run_duration", "Generator last run time",
                 Q.DURATION, "", OFFERED, key="generator_last_run_time", unit="s"),
        number(28, U16, "set_ac_output_freq_offline_mode",
               "Set AC output frequency offline mode", Q.CODE, (0, 255), installer=True),
        number(29, U16, "set_ac_output_offline_freq", "Set AC output offline frequency",
               Q.FREQUENCY, (46.5, 64.9), "dc_voltage_scale_factor", installer=True),
    ),
)

# fmt: on
