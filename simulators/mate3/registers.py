"""Registers of an OutBack gateway that act or move in a simulation.

They are written down here once more, from OutBack's document (2019-07), so that a mistake in
the integration's tables does not hide behind the same mistake in the simulator.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from .chain import (
    CHARGE_CONTROLLER,
    CHARGE_CONTROLLER_CONFIG,
    FLEXNET_DC,
    FLEXNET_DC_CONFIG,
    FX,
    FX_CONFIG,
    GATEWAY,
    RADIAN_CONFIG,
    SINGLE_PHASE,
    SPLIT_PHASE,
    SYSTEM_CONTROL,
    Block,
)


@dataclass(frozen=True, slots=True)
class Place:
    """Where a register is in its block, and where its scale factor is, 0 for none."""

    offset: int
    scale: int = 0
    signed: bool = False

    @property
    def nothing(self) -> int:
        """The word that stands for "not available" (SunSpec 12041)."""
        return 0x8000 if self.signed else 0xFFFF


def _row(start: int, scale: int, *names: str) -> dict[str, Place]:
    """Return unsigned registers that follow each other, with one scale factor."""
    return {name: Place(offset, scale) for offset, name in enumerate(names, start)}


def _signed(start: int, scale: int, *names: str) -> dict[str, Place]:
    """Return registers in two's complement that follow each other."""
    return {
        name: Place(offset, scale, signed=True)
        for offset, name in enumerate(names, start)
    }


_AGGREGATE: Final = {
    **_row(3, 7, "ac_current", "ac_current_a"),
    **_row(11, 14, "ac_voltage_an"),
    **_signed(15, 16, "ac_power"),
    **_row(17, 18, "ac_frequency"),
    **_signed(19, 20, "ac_va"),
    **_row(30, 31, "dc_voltage"),
    **_row(39, 0, "status", "status_vendor"),
}

PLACES: Final[Mapping[int, Mapping[str, Place]]] = {
    101: _AGGREGATE,
    102: _AGGREGATE,
    103: _AGGREGATE,
    GATEWAY: {
        **_signed(272, 420, "set_time_zone"),
        **_row(278, 0, "ags_mode"),
        **_row(393, 0, "year", "month", "day", "hour", "minute", "second"),
        **_signed(399, 0, "temp_battery"),
        **_row(402, 0, "error"),
        **_row(405, 0, "gateway_type", "system_voltage"),
        **_row(407, 276, "measured_system_voltage"),
    },
    CHARGE_CONTROLLER: {
        **_row(9, 4, "battery_voltage", "array_voltage"),
        **_row(11, 5, "battery_current"),
        **_row(12, 6, "array_current"),
        **_row(13, 0, "charger_state"),
        **_row(14, 6, "watts"),
        **_row(15, 4, "todays_min_battery_volts", "todays_max_battery_volts", "voc"),
        **_row(18, 0, "todays_peak_voc"),
        **_row(19, 8, "todays_kwh"),
        **_row(20, 7, "todays_ah"),
        **_row(21, 0, "lifetime_kwh_hours"),
        **_row(22, 8, "lifetime_k_amp_hours"),
    },
    CHARGE_CONTROLLER_CONFIG: {
        **_row(16, 5, "bulk_current"),
        **_row(34, 0, "aux_control", "aux_state"),
    },
    FX: {
        **_row(8, 5, "inverter_output_current", "inverter_charge_current"),
        **_row(10, 5, "inverter_buy_current", "inverter_sell_current"),
        **_row(12, 6, "output_ac_voltage"),
        **_row(13, 0, "inverter_operating_mode"),
        **_row(16, 4, "battery_voltage"),
        **_row(18, 0, "aux_output_state"),
        **_signed(19, 0, "transformer_temperature", "capacitor_temperature"),
        **_signed(21, 0, "fet_temperature"),
        **_row(22, 7, "ac_input_frequency"),
        **_row(23, 6, "ac_input_voltage"),
        **_row(24, 0, "ac_input_state"),
        **_row(27, 0, "sell_status"),
        **_row(29, 28, "buy_kwh", "sell_kwh", "output_kwh", "charger_kwh"),
        **_row(33, 28, "output_kw", "buy_kw", "sell_kw", "charge_kw", "load_kw"),
    },
    FX_CONFIG: {
        **_row(11, 4, "absorb_volts"),
        **_row(12, 7, "absorb_time_hours"),
        **_row(13, 4, "float_volts"),
        **_row(14, 7, "float_time_hours"),
        **_row(23, 5, "grid_ac_input_current_limit", "gen_ac_input_current_limit"),
        **_row(25, 5, "charger_ac_input_current_limit"),
        **_row(26, 0, "charger_operating_mode"),
        **_row(34, 6, "ac_output_voltage"),
        **_row(38, 0, "aux_control"),
        **_row(51, 4, "sell_volts"),
    },
    SPLIT_PHASE: {
        **_signed(8, 5, "l1_inverter_output_current", "l1_inverter_charge_current"),
        **_signed(10, 5, "l1_inverter_buy_current", "l1_inverter_sell_current"),
        **_signed(12, 6, "l1_grid_input_ac_voltage"),
        **_signed(14, 6, "l1_output_ac_voltage"),
        **_signed(15, 5, "l2_inverter_output_current", "l2_inverter_charge_current"),
        **_signed(17, 5, "l2_inverter_buy_current", "l2_inverter_sell_current"),
        **_signed(19, 6, "l2_grid_input_ac_voltage"),
        **_signed(21, 6, "l2_output_ac_voltage"),
        **_signed(22, 0, "inverter_operating_mode"),
        **_signed(25, 4, "battery_voltage"),
        **_signed(27, 0, "aux_output_state", "aux_relay_output_state"),
        **_signed(29, 0, "l_module_transformer_temperature"),
        **_signed(30, 0, "l_module_capacitor_temperature"),
        **_signed(31, 0, "l_module_fet_temperature"),
        **_signed(32, 0, "r_module_transformer_temperature"),
        **_signed(33, 0, "r_module_capacitor_temperature"),
        **_signed(34, 0, "r_module_fet_temperature"),
        **_signed(35, 0, "battery_temperature"),
        **_signed(36, 0, "ac_input_selection"),
        **_signed(37, 7, "ac_input_frequency"),
        **_signed(38, 6, "ac_input_voltage"),
        **_signed(39, 0, "ac_input_state"),
        **_signed(42, 0, "sell_status"),
        **_row(44, 43, "ac1_l1_buy_kwh", "ac2_l1_buy_kwh", "ac1_l1_sell_kwh"),
        **_row(47, 43, "ac2_l1_sell_kwh", "l1_output_kwh", "ac1_l2_buy_kwh"),
        **_row(50, 43, "ac2_l2_buy_kwh", "ac1_l2_sell_kwh", "ac2_l2_sell_kwh"),
        **_row(53, 43, "l2_output_kwh", "charger_kwh"),
        **_row(55, 43, "output_kw", "buy_kw", "sell_kw", "charge_kw", "load_kw"),
    },
    RADIAN_CONFIG: {
        **_row(11, 4, "absorb_volts"),
        **_row(12, 7, "absorb_time_hours"),
        **_row(13, 4, "float_volts"),
        **_row(14, 7, "float_time_hours"),
        **_row(22, 5, "grid_ac_input_current_limit", "gen_ac_input_current_limit"),
        **_row(24, 5, "charger_ac_input_current_limit"),
        **_row(25, 0, "charger_operating_mode"),
        **_row(37, 6, "ac_output_voltage"),
        **_row(41, 0, "aux_control"),
        **_row(47, 0, "aux_relay_control"),
        **_row(55, 4, "sell_volts"),
    },
    SINGLE_PHASE: {
        **_row(8, 5, "inverter_output_current", "inverter_charge_current"),
        **_row(10, 5, "inverter_buy_current", "inverter_sell_current"),
        **_row(12, 6, "grid_input_ac_voltage"),
        **_row(14, 6, "output_ac_voltage"),
        **_row(15, 0, "inverter_operating_mode"),
        **_row(18, 4, "battery_voltage"),
        **_row(20, 0, "aux_output_state", "aux_relay_output_state"),
        **_signed(22, 0, "l_module_transformer_temperature"),
        **_signed(23, 0, "l_module_capacitor_temperature"),
        **_signed(24, 0, "l_module_fet_temperature"),
        **_signed(25, 0, "r_module_transformer_temperature"),
        **_signed(26, 0, "r_module_capacitor_temperature"),
        **_signed(27, 0, "r_module_fet_temperature"),
        **_signed(28, 0, "battery_temperature"),
        **_row(29, 0, "ac_input_selection"),
        **_row(30, 7, "ac_input_frequency"),
        **_row(31, 6, "ac_input_voltage"),
        **_row(32, 0, "ac_input_state"),
        **_row(35, 0, "sell_status"),
        **_row(37, 36, "ac1_buy_kwh", "ac2_buy_kwh", "ac1_sell_kwh", "ac2_sell_kwh"),
        **_row(41, 36, "output_kwh", "charger_kwh"),
        **_row(43, 36, "output_kw", "buy_kw", "sell_kw", "charge_kw", "load_kw"),
    },
    FLEXNET_DC: {
        **_signed(9, 5, "shunt_a_current", "shunt_b_current", "shunt_c_current"),
        **_row(12, 4, "battery_voltage"),
        **_signed(13, 5, "battery_current"),
        **_signed(14, 0, "battery_temperature"),
        **_row(15, 0, "status_flags"),
        **_row(22, 5, "input_current", "output_current"),
        **_row(24, 8, "input_kw", "output_kw"),
        **_signed(26, 8, "net_kw"),
        **_row(27, 6, "days_since_charge_parameters_met"),
        **_row(28, 0, "state_of_charge", "todays_minimum_soc", "todays_maximum_soc"),
        **_row(31, 0, "todays_net_input_ah"),
        **_row(32, 7, "todays_net_input_kwh"),
        **_row(33, 0, "todays_net_output_ah"),
        **_row(34, 7, "todays_net_output_kwh"),
        **_signed(35, 0, "todays_net_battery_ah"),
        **_signed(36, 7, "todays_net_battery_kwh"),
        **_row(39, 4, "todays_minimum_battery_voltage"),
        **_row(40, 0, "todays_minimum_battery_time"),
        **_row(42, 4, "todays_maximum_battery_voltage"),
        **_row(43, 0, "todays_maximum_battery_time"),
    },
    FLEXNET_DC_CONFIG: {
        **_row(10, 0, "battery_capacity"),
        **_row(18, 0, "relay_control"),
    },
    SYSTEM_CONTROL: {
        **_row(6, 0, "bulk_charge_enable_disable", "inverter_ac_drop_use"),
        **_row(8, 0, "set_inverter_mode", "grid_tie_mode"),
        **_row(10, 0, "set_inverter_charger_mode", "control_status"),
        **_row(12, 3, "set_sell_voltage"),
        **_row(14, 3, "set_absorb_voltage"),
        **_row(15, 5, "set_absorb_time"),
        **_row(16, 3, "set_float_voltage"),
        **_row(17, 5, "set_float_time"),
        **_row(18, 4, "set_inverter_charger_current_limit"),
        **_row(19, 4, "set_inverter_ac1_current_limit"),
        **_row(20, 4, "set_inverter_ac2_current_limit"),
        **_row(21, 0, "set_ags_op_mode"),
        **_row(22, 0, "ags_operational_state"),
        **_row(23, 0, "ags_operational_state_timer"),
        **_row(24, 0, "gen_last_run_start_time_gmt"),
        **_row(26, 0, "gen_last_start_run_duration"),
    },
}
"""DID -> OutBack's name of a register -> where it is."""

DAILY: Final[Mapping[int, tuple[str, ...]]] = {
    CHARGE_CONTROLLER: ("todays_kwh", "todays_ah"),
    FX: ("buy_kwh", "sell_kwh", "output_kwh", "charger_kwh"),
    SPLIT_PHASE: tuple(name for name in PLACES[SPLIT_PHASE] if name.endswith("_kwh")),
    SINGLE_PHASE: tuple(name for name in PLACES[SINGLE_PHASE] if name.endswith("_kwh")),
    FLEXNET_DC: tuple(
        name for name in PLACES[FLEXNET_DC] if name.startswith("todays_net_")
    ),
}
"""DID -> counters that begin anew at the gateway's midnight."""


def reads(block: Block, name: str) -> int | None:
    """Return the word of a register, ``None`` if the block lacks it or it is no number."""
    place = PLACES[block.did].get(name)
    if place is None or not block.has(place.offset):
        return None
    word = block[place.offset]
    return None if word == place.nothing else word


def number(block: Block, name: str) -> float | None:
    """Return the value of a register, scaled, ``None`` if there is none."""
    if (word := reads(block, name)) is None:
        return None
    place = PLACES[block.did][name]
    return (_as_signed(word) if place.signed else word) * _unit(block, place)


def show(block: Block, name: str, value: float) -> None:
    """Let a register show a value, scaled, as far as it goes.

    Nothing happens if the block lacks the register or the equipment has no value for it.
    """
    if reads(block, name) is None:
        return
    place = PLACES[block.did][name]
    raw = round(value / _unit(block, place))
    low, high = (-0x7FFF, 0x7FFF) if place.signed else (0, 0xFFFE)
    block[place.offset] = max(low, min(high, raw))


def show_pair(block: Block, name: str, number: int) -> None:
    """Let two registers show a number of 32 bits, the low word first."""
    offset = PLACES[block.did][name].offset
    if block.has(offset + 1):
        block[offset], block[offset + 1] = number & 0xFFFF, number >> 16 & 0xFFFF


def _unit(block: Block, place: Place) -> float:
    """Return what 1 in a register stands for, 1 while its scale factor is no number."""
    if not place.scale or not block.has(place.scale) or block[place.scale] == 0x8000:
        return 1.0
    return float(f"1e{_as_signed(block[place.scale])}")


def _as_signed(word: int) -> int:
    return word - 0x10000 if word & 0x8000 else word
