"""What inverters of all kinds report in the same numbers and bits."""

from collections.abc import Mapping
from typing import Final

from ..rows import Options

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
