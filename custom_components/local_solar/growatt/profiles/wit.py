"""WIT and WIS: three-phase storage inverters with registers of their own at 8000.

Facts: "Protocol II" V1.39, of which these are a part, and what owners of other programs
found. No unit was recorded. The VPP protocol tells power and voltage of the battery, too,
but not in the same steps on all units: 8091 and 8095 are to be trusted.
"""

from collections.abc import Mapping
from typing import Final

from ...modbus.codecs import S16, S32, U16, U32
from ...modbus.image import Space
from ...modbus.register import Register
from ...points import Quantity as Q, Rhythm
from . import base_block
from .base_block import PHASES, strings
from .profile import OFFERED, SHOWN, Part, Profile, Section, input_row, with_rows
from .protocol_2 import HOLDING_WITH_BATTERY, MAX_WORDS, counters, diag_row, groups
from .tl_xh_battery import SOC_NOT_AVAILABLE

_SIGN: Final = (
    "signed in V1.39, which does not say when it is negative; another program reads it unsigned,"
    " which its owners would notice if it ever was"
)

STATUS: Final[Mapping[int, str]] = {**base_block.STATUS, 5: "standby"}

# fmt: off
_INPUT: Final = with_rows(
    base_block.INPUT,
    input_row(0, U16, "status", "Status", Q.STATE, 1, SHOWN, options=STATUS,
              note="5 is in no document: owners saw it"),
    *counters(53, "energy", "Output energy", SHOWN,
              note="with what the battery gave: the yield of the strings is 91"),
)

_SYSTEM: Final[tuple[Register, ...]] = (
    # Power
    input_row(8045, U32, "self_use_power", "Self-consumption power", Q.POWER, 0.1, OFFERED),
    input_row(8079, S32, "load_power", "Load power", Q.POWER, 0.1, SHOWN,
              note=_SIGN),
    input_row(8081, S32, "grid_import_power", "Grid import power", Q.POWER, 0.1, SHOWN,
              note=_SIGN),
    input_row(8083, S32, "grid_export_power", "Grid export power", Q.POWER, 0.1, SHOWN,
              note=_SIGN),
    input_row(8085, S32, "system_power", "System output power", Q.POWER, 0.1,
              note=_SIGN),

    # Energy
    input_row(8047, U32, "system_energy_today", "System output energy today", Q.ENERGY_TODAY, 0.1),
    input_row(8061, U32, "system_energy_total", "System output energy total", Q.ENERGY_TOTAL, 0.1),
    *counters(8063, "self_use_energy",    "Self-consumption energy", OFFERED),
    *counters(8067, "grid_import_energy", "Grid import energy", SHOWN),
    *counters(8071, "grid_export_energy", "Grid export energy", SHOWN),
    *counters(8075, "load_energy",        "Load energy",        SHOWN),
    diag_row(8089, U32, "run_time_hours", "Run time in hours", Q.DURATION, unit="h",
             rhythm=Rhythm.ENERGY),

    # Connections
    input_row(8036, U16, "grid_port_l1_voltage", "Grid port L1 voltage", Q.VOLTAGE, 0.1),
    input_row(8042, U16, "load_l1_current",      "Load L1 current",      Q.CURRENT, 0.1, OFFERED),
)

_PHASES: Final[tuple[Register, ...]] = (
    *PHASES,
    input_row(8037, U16, "grid_port_l2_voltage", "Grid port L2 voltage", Q.VOLTAGE, 0.1),
    input_row(8038, U16, "grid_port_l3_voltage", "Grid port L3 voltage", Q.VOLTAGE, 0.1),
    input_row(8043, U16, "load_l2_current",      "Load L2 current",      Q.CURRENT, 0.1, OFFERED),
    input_row(8044, U16, "load_l3_current",      "Load L3 current",      Q.CURRENT, 0.1, OFFERED),
)

_BATTERY: Final[tuple[Register, ...]] = (
    input_row(8034, U16, "battery_voltage_dc", "Voltage (DC side)", Q.VOLTAGE, 0.1, OFFERED),
    input_row(8035, S16, "battery_current", "Current", Q.CURRENT, 0.1, OFFERED,
              note="which sign is charging is not documented"),
    *counters(8049, "battery_discharge_energy", "Discharge energy", SHOWN),
    *counters(8053, "battery_charge_energy", "Charge energy", SHOWN),
    *counters(8057, "ac_charge_energy", "Grid charge energy", OFFERED),
    input_row(8091, S32, "battery_power_raw", "Power (sign not known)", Q.POWER, 0.1, OFFERED,
              note="which sign is charging is not documented: not `battery_power`, which promises"
                   " that it is the positive one"),
    input_row(8093, U16, "battery_soc", "State of charge", Q.STATE_OF_CHARGE, 1, SHOWN,
              sentinels=SOC_NOT_AVAILABLE),
    diag_row(8094, U16, "battery_soh", "State of health", Q.PERCENT, 1, OFFERED,
             rhythm=Rhythm.ENERGY),
    input_row(8095, U16, "battery_voltage", "Voltage", Q.VOLTAGE, 0.1, OFFERED,
              note="whole volts with some batteries, as another program found: compare 8034"),
)
# fmt: on

PROFILE: Final = Profile(
    key="wit",
    name="WIT, WIS",
    sections=(
        Section(part=Part.INVERTER, rows=_INPUT),
        Section(part=Part.INVERTER, rows=_SYSTEM),
        Section(part=Part.THREE_PHASE, rows=_PHASES),
        Section(part=Part.STRING, rows=strings(4)),
        Section(part=Part.BATTERY, rows=_BATTERY),
        Section(part=Part.INVERTER, rows=HOLDING_WITH_BATTERY),
    ),
    groups={
        Space.INPUT: groups(0, 125, 8000),
        Space.HOLDING: groups(0, 125, 250, 875),
    },
    max_words=MAX_WORDS,
)
"""Register map of WIT and WIS."""
