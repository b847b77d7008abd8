"""What the families of Growatt's Protocol II share: holding registers 0 to 374, option words.

Facts: "Growatt Inverter Modbus RTU Protocol II" V1.13 to V1.39, and the recording of a
MIN 6000TL-XH (DTC 5100, firmware AL1.0).
"""

from collections.abc import Mapping
from functools import partial
from typing import Final

from ...modbus.codecs import (
    CLOCK,
    HIGH_BYTE,
    LOW_BYTE,
    S16,
    S32,
    U16,
    U32,
    Hex,
    Text,
    Words,
)
from ...modbus.register import Register
from ...points import Quantity as Q, Rhythm, Setting, Visibility
from ..alarms import FAULT_OPTIONS, WARNING_OPTIONS
from .profile import OFFERED, RAW, SHOWN, Group, holding_row, input_row, with_rows

MAX_WORDS: Final = 125
"""The most words a read may ask for."""


def groups(*starts: int) -> tuple[Group, ...]:
    """Return the groups that start at these addresses; in Protocol II all are 125 words wide."""
    return tuple((start, start + 124) for start in starts)


identity_row: Final = partial(holding_row, rhythm=Rhythm.IDENTITY)
"""A holding row that never changes while the device runs."""

diag_row: Final = partial(input_row, diagnostic=True)
"""An input row for finding faults."""

CHOICE: Final = Setting()
"""A setting whose limits are its options."""

EVERYDAY_CHOICE: Final = Setting(everyday=True)
"""A setting whose limits are its options, and that many owners change."""

POWER_SWITCH: Final = Setting(everyday=True, reads_back=False)
"""Switching on and off: some firmware does not show what was written."""


def limits(
    minimum: float,
    maximum: float,
    step: float,
    *,
    everyday: bool = False,
    found: tuple[float, float] | None = None,
) -> Setting:
    """Return the rule of a numeric setting, in engineering units."""
    return Setting(
        minimum=minimum, maximum=maximum, step=step, everyday=everyday, found=found
    )


NO_LIMIT: Final = 255
"""What stands in a limit in per cent that does not limit."""

POWER_COMMAND_MEMORY: Final = "power_command_memory"


POWER_COMMAND: Final = Setting(
    minimum=0,
    maximum=100,
    step=1,
    persistent=False,
    persistent_while=POWER_COMMAND_MEMORY,
    everyday=True,
    found=(0, NO_LIMIT),
)
"""A power command in per cent: kept in flash only if the owner wants so."""


# Why a register must not be written although the documents call many of them writable.
GRID_CODE: Final = "belongs to the grid code: a wrong value defeats the grid protection"
CUTS_LINK: Final = "would cut the link it is written through"

NO_YES: Final[Mapping[int, bool]] = {0: False, 1: True}

ON_OFF_WITH_BATTERY: Final[Mapping[int, str]] = {
    0: "inverter_off",
    1: "inverter_on",
    2: "battery_converter_off",
    3: "battery_converter_on",
}

AFCI_STATE: Final[Mapping[int, str]] = {
    0: "waiting",
    1: "self_check",
    2: "detecting_arc",
    3: "fault",
    4: "update",
}

BAUD_RATE: Final[Mapping[int, str]] = {0: "9600", 1: "38400"}

EXPORT_LIMIT_MODE: Final[Mapping[int, str]] = {
    0: "disabled",
    1: "rs485_meter",
    2: "rs232_meter",
    3: "ct",
}

LANGUAGE: Final[Mapping[int, str]] = {
    0: "italian",
    1: "english",
    2: "german",
    3: "spanish",
    4: "french",
    5: "chinese",
    6: "polish",
    7: "portuguese",
    8: "hungarian",
}

PID_MODE: Final[Mapping[int, str]] = {0: "automatic", 1: "continuous", 2: "all_night"}

POWER_FACTOR_MODE: Final[Mapping[int, str]] = {
    0: "pf_one",
    1: "pf_fixed",
    2: "pf_default_curve",
    3: "pf_user_curve",
    4: "under_excited_q",
    5: "over_excited_q",
    6: "q_of_v",
    7: "direct_control",
    8: "static_capacitive_qv",
    9: "static_inductive_qv",
}

TRACKER_MODE: Final[Mapping[int, str]] = {
    0: "independent",
    1: "dc_source",
    2: "parallel",
}


# fmt: off
def counters(
    address: int, key: str, name: str, visibility: Visibility = RAW,
    *, index: int | None = None, note: str = "",
) -> tuple[Register, ...]:
    """Return the rows ``{key}_today`` and ``{key}_total`` that follow each other in 0.1 kWh."""
    return (
        input_row(address, U32, f"{key}_today", f"{name} today",
                  Q.ENERGY_TODAY, 0.1, visibility, index=index, note=note),
        input_row(address + 2, U32, f"{key}_total", f"{name} total",
                  Q.ENERGY_TOTAL, 0.1, visibility, index=index, note=note),
    )


def string_rows(n: int, address: int, energy_address: int) -> tuple[Register, ...]:
    """Return the input rows of PV string ``n``.

    Voltage, current and power lie at ``address``, its counters at ``energy_address``.
    """
    return (
        input_row(address, U16, f"pv{n}_voltage", "PV{n} voltage", Q.VOLTAGE, 0.1, OFFERED,
                  index=n),
        input_row(address + 1, U16, f"pv{n}_current", "PV{n} current", Q.CURRENT, 0.1, OFFERED,
                  index=n),
        input_row(address + 2, U32, f"pv{n}_power", "PV{n} power", Q.POWER, 0.1, SHOWN, index=n),
        *counters(energy_address, f"pv{n}_energy", "PV{n} energy", OFFERED, index=n),
    )


def alarm_rows(fault_address: int, warning_address: int) -> tuple[Register, ...]:
    """Return the rows of the two main codes: each as its meaning and as its number."""
    return (
        diag_row(fault_address, U16, "fault", "Fault", Q.FAULT, 1, SHOWN, options=FAULT_OPTIONS),
        diag_row(fault_address, U16, "fault_code", "Fault code", Q.CODE, 1, OFFERED,
                 note="tells codes that no manual lists, too"),
        diag_row(warning_address, U16, "warning", "Warning", Q.FAULT, 1, SHOWN,
                 options=WARNING_OPTIONS),
        diag_row(warning_address, U16, "warning_code", "Warning code", Q.CODE, 1, OFFERED,
                 note="tells codes that no manual lists, too"),
    )


HOLDING: Final[tuple[Register, ...]] = (
    # Commands
    holding_row(0, U16, "on_off", "Inverter on", Q.FLAG, 1, OFFERED, options=NO_YES,
                setting=POWER_SWITCH,
                note="some firmware takes writes but does not read back the state"),
    holding_row(1, U16, "safety_function_enable", "Safety functions", Q.CODE, never_write=GRID_CODE,
                note="bit 0 SPI, 1 auto-test, 2 LVFRT, 3 frequency derating, 4 soft start, 5 DRMS,"
                     " 6 volt-power, 7 HVFRT, 8 ROCOF, 9 derating after recovery"),
    holding_row(2, U16, POWER_COMMAND_MEMORY, "Keep power commands after restart", Q.FLAG,
                options=NO_YES, setting=CHOICE,
                note="while 0, the default, power-off forgets 3 and 4, which spares the flash"),
    holding_row(3, U16, "active_power_limit", "Active power limit", Q.PERCENT, 1, OFFERED,
                setting=POWER_COMMAND,
                note="of rated power; 255 = no limit; kept in flash only while register 2 is 1"),
    holding_row(4, S16, "reactive_power_limit", "Reactive power limit", Q.PERCENT,
                never_write=GRID_CODE, note="255 = no limit"),
    holding_row(5, U16, "power_factor_setting", "Power factor setting", Q.CODE,
                never_write=GRID_CODE,
                note="10000 = 1, less is under-excited, more over-excited: not coded as input 100"),

    # Ratings, firmware
    identity_row(6, U32,     "rated_apparent_power", "Rated apparent power", Q.APPARENT_POWER, 0.1),
    identity_row(8, U16,     "rated_pv_voltage",     "Rated PV voltage",     Q.VOLTAGE,        0.1),
    identity_row(9, Text(3), "firmware_version",     "Firmware version",     Q.TEXT),
    identity_row(12, Text(3), "control_firmware_version", "Control firmware version", Q.TEXT,
                 note="14 often holds a number instead of text"),

    # Display, start
    holding_row(15, U16, "lcd_language", "Display language", Q.STATE, options=LANGUAGE,
                setting=CHOICE),
    holding_row(16, U16, "country_selected", "Country selected", Q.FLAG, options=NO_YES,
                never_write=GRID_CODE),
    holding_row(17, U16, "pv_start_voltage", "PV start voltage", Q.VOLTAGE, 0.1,
                note="the documents let it be set, up to values at which no PV starts"),
    holding_row(18, U16, "start_time",    "Start delay",               Q.DURATION),
    holding_row(19, U16, "restart_delay", "Restart delay after fault", Q.DURATION),
    holding_row(20, U16, "power_start_slope", "Power slope at start", Q.PERCENT, 0.1,
                never_write=GRID_CODE),
    holding_row(21, U16, "power_restart_slope", "Power slope at restart", Q.PERCENT, 0.1,
                never_write=GRID_CODE),

    # Serial line, who the inverter is
    holding_row(22, U16, "baud_rate", "Baud rate", Q.STATE, options=BAUD_RATE,
                never_write=CUTS_LINK),
    identity_row(23, Text(5), "serial_number", "Serial number (10 characters)", Q.TEXT,
                 note="empty or stale on units with longer serial numbers: see 209 and 3001"),
    identity_row(28, Hex(2), "module_code", "Module code", Q.TEXT, note="superseded by 118"),
    holding_row(30, U16, "modbus_address", "Unit id", Q.CODE, never_write=CUTS_LINK),
    holding_row(31, U16, "firmware_update_start", "Firmware update trigger", Q.CODE,
                never_write="starts a firmware update"),
    holding_row(32, U16, "reset_user_data", "User data reset trigger", Q.CODE,
                never_write="resets the user data"),
    holding_row(33, U16, "factory_reset", "Factory reset trigger", Q.CODE,
                never_write="resets to factory settings"),
    identity_row(34, Text(8), "manufacturer", "Manufacturer", Q.TEXT),
    holding_row(42, U16, "g100_fail_safe", "G100 fail-safe", Q.FLAG, options=NO_YES,
                note="from V1.24"),
    identity_row(43, U16,       "device_type_code", "Device type code (DTC)", Q.CODE),
    identity_row(44, HIGH_BYTE, "tracker_count",    "MPPT count",             Q.COUNT),
    identity_row(44, LOW_BYTE,  "phase_count",      "Phase count",            Q.COUNT),

    # Clock
    holding_row(45, CLOCK, "clock", "Clock", Q.CLOCK, 1, OFFERED, diagnostic=True,
                note="local time; does not change to summer time by itself; reads four digits of the"
                     " year, but dongles write two; set by the command `sync_clock` only, because"
                     " the time goes on while a change waits for its confirmation"),
    holding_row(51, U16, "clock_weekday", "Clock weekday", Q.CODE, note="0 to 6"),

    # Grid protection
    holding_row(52, Words(28), "grid_protection_limits", "Grid protection limits", Q.TEXT,
                never_write=GRID_CODE,
                note="limits of voltage and frequency, and their trip times"),
    holding_row(80, U16, "grid_voltage_10min_limit", "Ten-minute average voltage limit", Q.VOLTAGE,
                0.1, never_write=GRID_CODE),
    holding_row(81, U16, "pv_voltage_fault_limit", "PV over-voltage limit", Q.VOLTAGE, 0.1,
                never_write=GRID_CODE),
    identity_row(82, Text(6), "firmware_build", "Firmware build", Q.TEXT,
                 note="a word each: model, its version, DSP1, DSP2 or M0, CPLD or AFCI, M3"),
    identity_row(88, U16, "modbus_version", "Modbus protocol version", Q.CODE, 0.01,
                 note="a MIN 6000TL-XH says 3.05 and still has this map, not the one of V3"),
    holding_row(89, U16, "power_factor_mode", "Power factor mode", Q.STATE,
                options=POWER_FACTOR_MODE, never_write=GRID_CODE),
    holding_row(91, Words(27), "grid_support_curves", "Grid support curves", Q.TEXT,
                never_write=GRID_CODE, note="frequency derating, Q(V) and power factor curves"),
    identity_row(118, Hex(4), "module_code_ext", "Module code (long)", Q.TEXT,
                 note="118 SxxBxx, 119 DxxTxx, 120 PxxUxx, 121 Mxxxx (power)"),

    # Export limit, trackers, texts
    holding_row(122, U16, "export_limit_mode", "Export limit source", Q.STATE, 1, OFFERED,
                options=EXPORT_LIMIT_MODE, setting=EVERYDAY_CHOICE, note="V1.20 knows 0 and 1 only"),
    holding_row(123, S16, "export_limit_rate", "Export limit", Q.PERCENT, 0.1, OFFERED,
                setting=limits(0, 100, 0.1, everyday=True, found=(-100, 100)),
                note="of rated power; 0 = no export. The documents have -100 to 0 as well, which"
                     " forces import"),
    holding_row(124, U16, "tracker_mode", "MPPT mode", Q.STATE, options=TRACKER_MODE,
                never_write="must fit how the strings are wired"),
    identity_row(125, Text(8), "inverter_type_text", "Inverter type", Q.TEXT,
                 note="reserved since V1.24, often empty"),
    identity_row(133, Text(4), "bootloader_version", "Boot loader version", Q.TEXT),
    holding_row(137, S32, "reactive_power_setting", "Reactive power setting", Q.REACTIVE_POWER, 0.1,
                never_write=GRID_CODE),
    holding_row(141, U16, "svg_night_enable", "Reactive power at night (SVG)", Q.FLAG,
                options=NO_YES),

    # Equipment
    holding_row(180, U16, "meter_link",      "Meter link",      Q.CONNECTIVITY, options=NO_YES),
    holding_row(181, U16, "optimizer_count", "Optimizer count", Q.COUNT),
    holding_row(183, U16, "pv_string_scan", "PV string scan", Q.COUNT,
                note="strings that are scanned: 8, 16 or 32; 0 = cannot scan"),
    holding_row(184, U16, "battery_converter_count", "Battery converter count", Q.COUNT),
    holding_row(185, U16, "battery_module_count",    "Battery module count",    Q.COUNT),
    holding_row(187, U16, "vpp_status", "VPP function", Q.FLAG, options=NO_YES,
                note="from V1.24; 1 = the VPP registers from 30000 on exist"),
    holding_row(188, U16, "datalogger_server_status", "Datalogger server link", Q.CONNECTIVITY,
                options={0: True, 1: False}, note="the datalogger writes it"),
    holding_row(201, U16, "pid_mode",    "PID mode", Q.STATE, options=PID_MODE),
    holding_row(202, U16, "pid_control", "PID on",   Q.FLAG,  options={0: True, 1: False}),
    identity_row(209, Text(15), "serial_number_long", "Serial number (30 characters)", Q.TEXT),
    holding_row(229, U16, "energy_adjust", "Energy calibration", Q.PERCENT, 0.1,
                never_write="calibrates the energy counters"),
    holding_row(230, U16, "island_disable", "Anti-islanding disable", Q.CODE,
                never_write=GRID_CODE),
    holding_row(235, U16, "ntog_detect", "Neutral-to-ground detection", Q.FLAG, options=NO_YES,
                never_write=GRID_CODE),
    holding_row(304, U16, "export_limit_fail_rate_base", "Export limit fallback (base block)",
                Q.PERCENT, 0.1, setting=limits(0, 100, 0.1),
                note="from V1.24; TL-X and TL-XH use 3000"),
    holding_row(307, U16, "export_limit_fail_delay", "Export limit fallback delay", Q.DURATION),
)
"""Holding registers 0 to 374."""

HOLDING_WITH_BATTERY: Final = with_rows(
    HOLDING,
    holding_row(0, U16, "on_off", "Power command", Q.STATE, 1, OFFERED,
                options=ON_OFF_WITH_BATTERY, setting=POWER_SWITCH,
                note="V1.20 knows 0 and 1 only; some firmware does not read back the state"),
)
"""The same of an inverter with a battery converter, which the power command switches, too."""
# fmt: on
