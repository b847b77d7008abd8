"""What the VPP protocol lays over a family's map: the registers from 30000 and 31000 on.

Facts: "VPP protocol" V2.03, and what other programs and owners tell. Most rows show once
more what the family's own map shows, and are kept for dumps. What is written is taken
only while ``vpp_control_authority`` is on, and kept in EEPROM unless a note says that it
is not. No unit was recorded.
"""

from collections.abc import Mapping
from functools import partial
from typing import Final

from ...modbus.codecs import CLOCK, S16, S32, U16, U32, Text, Words
from ...modbus.image import Space
from ...modbus.register import Register
from ...points import BATTERY_COMMAND, Quantity as Q, Rhythm, Setting
from ..remote_power import AUTHORITY, COMMAND
from .profile import OFFERED, SHOWN, Group, Part, Section, holding_row, input_row
from .protocol_2 import (
    BAUD_RATE,
    CHOICE,
    EVERYDAY_CHOICE,
    GRID_CODE,
    NO_YES,
    counters,
    diag_row,
    identity_row,
    limits,
)
from .tl_xh import APPLIANCES
from .tl_xh_battery import PRIORITY
from .vpp_slots import VPP_SLOTS

STATUS: Final[Mapping[int, str]] = {
    0: "standby",
    1: "self_test",
    3: "fault",
    4: "firmware_update",
    5: "pv_online_battery_offline_on_grid",
    6: "battery_online_on_grid",
    7: "pv_and_battery_off_grid",
    8: "battery_off_grid",
    9: "bypass",
}

BATTERY_STATUS: Final[Mapping[int, str]] = {
    0: "standby",
    1: "disconnected",
    2: "charging",
    3: "discharging",
    4: "fault",
    5: "firmware_update",
}

ON_OFF: Final[Mapping[int, str]] = {0: "off", 1: "on", 9: "bypass"}

EPS_FREQUENCY: Final[Mapping[int, str]] = {0: "50_hz", 1: "60_hz"}

EPS_VOLTAGE: Final[Mapping[int, str]] = {
    0: "230_v",
    1: "208_v",
    2: "240_v",
    3: "220_v",
}

REACTIVE_MODE: Final[Mapping[int, str]] = {
    0: "pf_one",
    1: "pf_set",
    4: "lagging",
    5: "leading",
}

EXPORT_PROTECTION: Final[Mapping[int, str]] = {
    0: "default",
    1: "combined",
    2: "software",
    3: "hardware",
}

SWITCH_MODE: Final[Mapping[int, str]] = {0: "automatic", 1: "manual"}

SWITCH: Final[Mapping[int, str]] = {0: "on_grid", 1: "off_grid", 2: "generator"}

GRID_CHARGE: Final[Mapping[int, str]] = {0: "disabled", 1: "pv_first", 2: "grid_first"}

STRINGS: Final = 16

CLUSTERS: Final = 4
"""Battery clusters that the protocol tells apart; the first one is the battery."""

VOLATILE_CHOICE: Final = Setting(persistent=False)
"""A setting whose limits are its options, and that is not stored."""

VOLATILE_PERCENT: Final = Setting(minimum=0, maximum=100, step=1, persistent=False)

_BY_COMMAND: Final = "written by the commands to the battery only, which give it back in the end; not stored"
_OTHER_LAYOUT: Final = (
    "so says V2.03; another program has voltage, current and power of each string from 31012"
    " on for SPH and TL-XH"
)
_OTHER_ENERGY: Final = (
    "so says V2.03; another program has the load at 31118 and the energy of today and in"
    " total at 31120 and 31122 for SPH; owners of MOD-XH saw it fall"
)

diag_holding: Final = partial(holding_row, diagnostic=True)


# fmt: off
INPUT: Final[tuple[Register, ...]] = (
    # State
    input_row(31000, U16, "vpp_operating_status", "Status (VPP)", Q.STATE, options=STATUS,
              note="`vpp_status` is holding 187, whether there is the protocol"),
    input_row(31002, U16, "vpp_priority", "Priority (VPP)", Q.STATE, options=PRIORITY),
    diag_row(31005, U16, "vpp_fault_code",      "Fault code (VPP)",       Q.CODE),
    diag_row(31006, U16, "vpp_fault_subcode",   "Fault sub-code (VPP)",   Q.CODE),
    diag_row(31007, U16, "vpp_warning_code",    "Warning code (VPP)",     Q.CODE),
    diag_row(31008, U16, "vpp_warning_subcode", "Warning sub-code (VPP)", Q.CODE),

    # Power
    input_row(31058, S32, "vpp_pv_power", "PV power (VPP)", Q.POWER, 0.1),
    input_row(31100, S32, "vpp_active_power", "Active power (VPP)", Q.POWER, 0.1,
              note="positive = export"),
    input_row(31102, S32, "vpp_reactive_power", "Reactive power (VPP)", Q.REACTIVE_POWER, 0.1,
              note="the document says VA"),
    input_row(31105, U16, "vpp_grid_frequency", "Grid frequency (VPP)", Q.FREQUENCY, 0.01),
    input_row(31106, U16, "vpp_grid_voltage", "Grid voltage (VPP)", Q.VOLTAGE, 0.1,
              note="with three phases between L1 and L2"),
    input_row(31109, S16, "vpp_grid_current_l1", "Grid L1 current (VPP)", Q.CURRENT, 0.1),
    input_row(31112, S32, "vpp_meter_power", "Meter power (VPP)", Q.POWER, 0.1,
              note="positive = import: not as 31100"),
    diag_row(31114, S16, "vpp_inverter_temperature", "Inverter temperature (VPP)", Q.TEMPERATURE,
             0.1),

    # Energy
    *counters(31118, "vpp_grid_import_energy", "Grid import energy (VPP)", note=_OTHER_ENERGY),
    *counters(31122, "vpp_grid_export_energy", "Grid export energy (VPP)", note=_OTHER_ENERGY),
)
"""Input registers of the inverter."""

PHASES: Final[tuple[Register, ...]] = (
    input_row(31107, U16, "vpp_grid_voltage_bc", "Grid L2-L3 voltage (VPP)", Q.VOLTAGE, 0.1),
    input_row(31108, U16, "vpp_grid_voltage_ca", "Grid L3-L1 voltage (VPP)", Q.VOLTAGE, 0.1),
    input_row(31110, S16, "vpp_grid_current_l2", "Grid L2 current (VPP)", Q.CURRENT, 0.1),
    input_row(31111, S16, "vpp_grid_current_l3", "Grid L3 current (VPP)", Q.CURRENT, 0.1),
)
"""Input registers of inverters with three phases."""


def _string(n: int) -> tuple[Register, ...]:
    """Return the rows of PV string ``n``."""
    address, note = 31010 + 2 * (n - 1), "" if n == 1 else _OTHER_LAYOUT
    return (
        input_row(address, U16, f"vpp_pv{n}_voltage", "PV{n} voltage (VPP)", Q.VOLTAGE, 0.1,
                  index=n, note=note),
        input_row(address + 1, S16, f"vpp_pv{n}_current", "PV{n} current (VPP)", Q.CURRENT, 0.1,
                  index=n, note=note),
    )


def _cluster(n: int | None = None) -> tuple[Register, ...]:
    """Return the rows of battery cluster ``n``, by default of the first: the battery itself."""
    address = 31200 + 100 * ((n or 1) - 1)
    key = f"vpp_battery{n or ''}"

    def name(what: str) -> str:
        return f"Cluster {{n}} {what} (VPP)" if n else f"{what.capitalize()} (VPP)"

    return (
        input_row(address, S32, f"{key}_power", name("power"), Q.POWER, 0.1, index=n,
                  note="positive = charging; some WIT firmware has whole watts"),
        *counters(address + 2, f"{key}_charge_energy", name("charge energy"), index=n),
        *counters(address + 6, f"{key}_discharge_energy", name("discharge energy"), index=n),
        input_row(address + 10, U32, f"{key}_charge_power_max", name("charge power limit"),
                  Q.POWER, 0.1, index=n),
        input_row(address + 12, U32, f"{key}_discharge_power_max", name("discharge power limit"),
                  Q.POWER, 0.1, index=n),
        input_row(address + 14, U16, f"{key}_voltage", name("voltage"), Q.VOLTAGE, 0.1, index=n,
                  note="too low on some WIT"),
        input_row(address + 15, S32, f"{key}_current", name("current"), Q.CURRENT, 0.1, index=n,
                  note="positive = charging"),
        input_row(address + 17, U16, f"{key}_soc", name("state of charge"), Q.STATE_OF_CHARGE,
                  index=n),
        diag_row(address + 18, U16, f"{key}_soh", name("state of health"), Q.PERCENT, index=n,
                 rhythm=Rhythm.ENERGY),
        diag_row(address + 19, U32, f"{key}_full_capacity", name("full capacity"), Q.CAPACITY,
                 index=n, rhythm=Rhythm.ENERGY),
        diag_row(address + 23, S16, f"{key}_temperature", name("temperature"), Q.TEMPERATURE, 0.1,
                 index=n),
    )


BATTERY_INPUT: Final[tuple[Register, ...]] = (
    input_row(31001, U16, "vpp_battery_status", "Status (VPP)", Q.STATE, options=BATTERY_STATUS,
              note="so says V2.03; another program has 1 charging, 2 discharging for MOD"),
    *_cluster(),
    diag_row(31225, U16, "vpp_cluster_count", "Cluster count (VPP)", Q.COUNT),
    diag_row(31226, U16, "vpp_module_count", "Module count (VPP)", Q.COUNT),
    diag_row(31227, U16, "vpp_module_rated_voltage", "Module rated voltage (VPP)", Q.VOLTAGE, 0.1),
    diag_row(31228, U16, "vpp_module_rated_capacity", "Module rated capacity (VPP)", Q.CAPACITY,
             0.1),
)
"""Input registers of the battery."""

HOLDING: Final[tuple[Register, ...]] = (
    # Who it is
    identity_row(30000, U16,      "vpp_device_type_code", "Device type code (VPP)", Q.CODE),
    identity_row(30001, Text(15), "vpp_serial_number",    "Serial number (VPP)",    Q.TEXT),
    identity_row(30016, U32,      "vpp_rated_power",      "Rated power (VPP)",      Q.POWER, 0.1),
    identity_row(30060, Words(24), "vpp_versions", "Versions (VPP)", Q.TEXT,
                 note="30060 inverter, 30068 battery, 30080 meter: texts and numbers"),
    identity_row(30099, U16, "vpp_version", "VPP protocol version", Q.CODE, 0.01),

    # Commands
    diag_holding(30100, U16, AUTHORITY, "VPP control", Q.FLAG, 1, SHOWN, options=NO_YES,
                 setting=EVERYDAY_CHOICE,
                 note="must be on for all else that is written here; while it is on, other time"
                      " slots do not charge from the grid. Commands to the battery switch it on"
                      " for their time"),
    holding_row(30101, U16, "vpp_on_off", "On or off (VPP)", Q.STATE, options=ON_OFF,
                setting=VOLATILE_CHOICE, note="not stored"),
    holding_row(30104, CLOCK, "vpp_clock", "Clock (VPP)", Q.CLOCK,
                note="set by the command `sync_clock` in the family's own place"),
    holding_row(30112, U16, "vpp_address", "Unit id (VPP)", Q.CODE),
    holding_row(30113, U16, "vpp_baud_rate", "Baud rate (VPP)", Q.STATE, options=BAUD_RATE),
    holding_row(30115, U16, "vpp_syn_enable", "Off-grid box (VPP)", Q.FLAG, options=NO_YES),

    # Power
    holding_row(30151, U16, "vpp_active_power_percent", "Active power limit (VPP)", Q.PERCENT,
                setting=limits(0, 100, 1)),
    holding_row(30154, U16, "vpp_active_power_limit_dynamic", "Active power limit (not stored)",
                Q.PERCENT, 1, OFFERED, setting=VOLATILE_PERCENT,
                note="not stored; the smaller one of this and 30151 counts"),
    holding_row(30155, U16, "vpp_eps_enable", "EPS (VPP)", Q.FLAG, options=NO_YES, setting=CHOICE),
    holding_row(30156, U16, "vpp_eps_frequency", "EPS frequency (VPP)", Q.STATE,
                options=EPS_FREQUENCY, never_write=APPLIANCES),
    holding_row(30157, U16, "vpp_eps_voltage", "EPS voltage (VPP)", Q.STATE, options=EPS_VOLTAGE),
    holding_row(30160, U16, "vpp_reactive_percent", "Reactive power (VPP)", Q.PERCENT,
                never_write=GRID_CODE),
    holding_row(30161, U16, "vpp_reactive_mode", "Reactive power mode (VPP)", Q.STATE,
                options=REACTIVE_MODE, never_write=GRID_CODE),
    holding_row(30162, U16, "vpp_power_factor", "Power factor setting (VPP)", Q.POWER_FACTOR,
                0.0001, offset=-10000, never_write=GRID_CODE),

    # Export limit
    holding_row(30200, U16, "vpp_export_limit_enable", "Export limit on (VPP)", Q.FLAG,
                options=NO_YES, setting=CHOICE),
    holding_row(30201, S16, "vpp_export_limit_rate", "Export limit (VPP)", Q.PERCENT,
                note="positive = export; V2.03 says 1 %, another program has 0.1 %: not a setting"),
    holding_row(30202, U16, "vpp_export_fail_rate", "Export limit fallback (VPP)", Q.PERCENT,
                note="as doubtful as the unit of 30201: not a setting"),
    holding_row(30203, U16, "vpp_ems_timeout", "Energy manager timeout", Q.DURATION,
                setting=limits(1, 300, 1)),
    holding_row(30204, U16, "vpp_ems_timeout_enable", "Energy manager watch", Q.FLAG,
                options=NO_YES, setting=CHOICE),
    holding_row(30208, U16, "vpp_export_protection_mode", "Export limit protection (VPP)", Q.STATE,
                options=EXPORT_PROTECTION, note="not of SPH, SPA, WIT and WIS"),
    holding_row(30209, U16, "vpp_grid_switch_mode", "Off-grid switch mode (VPP)", Q.STATE,
                options=SWITCH_MODE),
    holding_row(30210, U16, "vpp_grid_switch", "Off-grid switch (VPP)", Q.STATE, options=SWITCH),
    holding_row(30215, U16, "vpp_ac_charge_power_max", "Grid charge power limit (VPP)", Q.POWER,
                0.1, unit="kW", note="used while 30410 is on"),

    # Demand
    holding_row(30301, U16, "vpp_demand_enable", "Demand limits on (VPP)", Q.FLAG, options=NO_YES,
                note="no setting, as the limits that it puts in force are none"),
    holding_row(30302, U16, "vpp_demand_export_limit", "Grid export limit (VPP)", Q.POWER, 0.1,
                unit="kW"),
    holding_row(30303, U16, "vpp_demand_import_limit", "Grid import limit (VPP)", Q.POWER, 0.1,
                unit="kW"),
)
"""Holding registers of the inverter."""

BATTERY_HOLDING: Final[tuple[Register, ...]] = (
    holding_row(30300, U16, "vpp_battery_cluster", "Cluster selector (VPP)", Q.CODE,
                note="what 30400 to 30406, 30474, 30475 and 30496 to 30499 are about"),
    holding_row(30304, U16, "vpp_peak_shaving_soc", "Peak shaving reserve SOC (VPP)", Q.PERCENT,
                setting=limits(0, 100, 1)),
    holding_row(30305, U16, "vpp_peak_shaving_enable", "Peak shaving (VPP)", Q.FLAG,
                options=NO_YES, setting=CHOICE),
    holding_row(30404, U16, "vpp_charge_stop_soc", "Charge stop SOC (VPP)", Q.PERCENT,
                setting=limits(10, 100, 1)),
    holding_row(30405, U16, "vpp_discharge_stop_soc", "On-grid discharge stop SOC (VPP)",
                Q.PERCENT, setting=limits(10, 100, 1)),
    holding_row(30406, U16, "vpp_load_first_stop_soc", "Load-first stop SOC (VPP)", Q.PERCENT,
                setting=limits(10, 100, 1), note="SPH and SPA only"),

    # Remote control
    holding_row(30407, COMMAND, BATTERY_COMMAND, "Power command", Q.POWER_COMMAND,
                note="written as a whole, by the action `control_battery` only"),
    holding_row(30407, U16, "vpp_remote_enable", "Remote control", Q.FLAG, options=NO_YES,
                note=_BY_COMMAND),
    holding_row(30408, U16, "vpp_remote_duration", "Remote control duration", Q.DURATION,
                unit="min", note=f"{_BY_COMMAND}; 0 = without end"),
    holding_row(30409, S16, "vpp_remote_power", "Remote control power", Q.PERCENT,
                note=f"{_BY_COMMAND}; of rated power, positive = charge; kept when the duration is"
                     " over"),

    holding_row(30410, U16, "vpp_ac_charge", "Grid charge mode (VPP)", Q.STATE, 1, OFFERED,
                options=GRID_CHARGE, setting=CHOICE),
    holding_row(30474, S16, "vpp_power_setpoint", "Power setpoint (VPP)", Q.PERCENT, 1, OFFERED,
                rhythm=Rhythm.LIVE, note="of rated power, positive = charge"),
    holding_row(30475, U16, "vpp_off_grid_stop_soc", "Off-grid discharge stop SOC (VPP)",
                Q.PERCENT, setting=limits(10, 100, 1)),
    holding_row(30476, U16, "vpp_tou_default_mode", "Mode outside slots (VPP)", Q.STATE,
                options=PRIORITY, setting=CHOICE),
    holding_row(30477, U16, "vpp_tou_reset", "Clear slots at the next write", Q.FLAG,
                options=NO_YES, note="part of writing the slots"),
)
"""Holding registers of the battery, but for the time slots."""
# fmt: on

OVERLAY: Final[tuple[Section, ...]] = (
    Section(part=Part.VPP, rows=INPUT),
    Section(part=Part.THREE_PHASE, rows=PHASES),
    Section(
        part=Part.STRING,
        rows=tuple(row for n in range(1, STRINGS + 1) for row in _string(n)),
    ),
    Section(part=Part.BATTERY, rows=BATTERY_INPUT),
    Section(
        part=Part.VPP_CLUSTER,
        rows=tuple(row for n in range(2, CLUSTERS + 1) for row in _cluster(n)),
    ),
    Section(part=Part.VPP, rows=HOLDING),
    Section(part=Part.BATTERY, rows=BATTERY_HOLDING),
    Section(part=Part.BATTERY, rows=VPP_SLOTS),
)
"""All rows, by the equipment that they are about."""

GROUPS: Final[Mapping[Space, tuple[Group, ...]]] = {
    Space.INPUT: (
        (31000, 31009),
        *((31010, 31099), (31100, 31199)),
        *((first, first + 99) for first in range(31200, 31600, 100)),
    ),
    Space.HOLDING: (
        *((30000, 30099), (30100, 30149), (30150, 30249), (30250, 30299)),
        *((30300, 30410), (30411, 30471), (30472, 30499)),
    ),
}
"""The sections of the protocol, which are shorter than the groups of the families."""
