"""MOD and MID TL3-XH and HU: three-phase PV inverters with a battery converter.

Facts: "Protocol II" V1.24 and V1.39, and what owners of other programs found. No unit was
recorded. The VPP protocol tells import and export, too, but there they run backwards on
some units: 3067 to 3074 do not.
"""

from typing import Final

from ...modbus.codecs import S16, S32, U16, U32
from ...modbus.image import Space
from ...modbus.register import Register
from ...points import Quantity as Q
from . import base_block
from .profile import OFFERED, RAW, Part, Profile, Section, input_row
from .protocol_2 import MAX_WORDS, counters, diag_row, groups
from .tl_xh import SECTIONS

# fmt: off
_PHASES: Final[tuple[Register, ...]] = (
    # Grid; the apparent power of L1 is not offered either
    *base_block.phases(3030, power=RAW),
    diag_row(3089, S16, "dc_injection_l2", "DC injection L2", Q.CURRENT, 0.1, unit="mA"),
    diag_row(3090, S16, "dc_injection_l3", "DC injection L3", Q.CURRENT, 0.1, unit="mA"),

    # Emergency output
    input_row(3150, U16, "eps_l2_voltage", "EPS L2 voltage", Q.VOLTAGE, 0.1, OFFERED),
    input_row(3151, U16, "eps_l2_current", "EPS L2 current", Q.CURRENT, 0.1, OFFERED),
    input_row(3152, U32, "eps_l2_power",   "EPS L2 apparent power", Q.APPARENT_POWER, 0.1),
    input_row(3154, U16, "eps_l3_voltage", "EPS L3 voltage", Q.VOLTAGE, 0.1, OFFERED),
    input_row(3155, U16, "eps_l3_current", "EPS L3 current", Q.CURRENT, 0.1, OFFERED),
    input_row(3156, U32, "eps_l3_power",   "EPS L3 apparent power", Q.APPARENT_POWER, 0.1),
)


def _base_string(n: int) -> tuple[Register, ...]:
    """Return the mirrors of PV string ``n``, its counters apart."""
    address = 3 + 4 * (n - 1)
    return (
        input_row(address, U16, f"base_pv{n}_voltage", "PV{n} voltage (base block)", Q.VOLTAGE,
                  0.1, index=n),
        input_row(address + 1, U16, f"base_pv{n}_current", "PV{n} current (base block)", Q.CURRENT,
                  0.1, index=n),
        input_row(address + 2, U32, f"base_pv{n}_power", "PV{n} power (base block)", Q.POWER, 0.1,
                  index=n),
    )


def _base_phase(n: int) -> tuple[Register, ...]:
    """Return the mirrors of grid phase ``n``."""
    address = 38 + 4 * (n - 1)
    return (
        input_row(address, U16, f"base_grid_l{n}_voltage", f"Grid L{n} voltage (base block)",
                  Q.VOLTAGE, 0.1),
        input_row(address + 1, S16, f"base_grid_l{n}_current", f"Grid L{n} current (base block)",
                  Q.CURRENT, 0.1),
        input_row(address + 2, S32, f"base_grid_l{n}_power",
                  f"Grid L{n} apparent power (base block)", Q.APPARENT_POWER, 0.1),
    )


_BASE_PHASES: Final[tuple[Register, ...]] = (
    *_base_phase(2),
    *_base_phase(3),
    input_row(50, U16, "base_grid_l1_l2_voltage", "Grid L1-L2 voltage (base block)", Q.VOLTAGE,
              0.1),
    input_row(51, U16, "base_grid_l2_l3_voltage", "Grid L2-L3 voltage (base block)", Q.VOLTAGE,
              0.1),
    input_row(52, U16, "base_grid_l3_l1_voltage", "Grid L3-L1 voltage (base block)", Q.VOLTAGE,
              0.1),
)

_BASE_BLOCK: Final[tuple[Register, ...]] = (
    # Mirrors, as other programs read them
    *_base_string(1),
    *_base_string(2),
    *_base_string(3),
    *counters(67, "base_pv3_energy", "PV{n} energy (base block)", index=3),
    input_row(95, S16, "base_boost_temperature", "Boost temperature (base block)", Q.TEMPERATURE,
              0.1),
    input_row(97, U16, "base_battery_voltage_dsp", "Battery voltage (DSP, base block)", Q.VOLTAGE,
              0.1,
              note="so say all documents; another program takes it for the boost temperature, and"
                   " on a MIN 6000TL-XH it is that of the communication board"),
    input_row(99, U16, "base_bus_voltage_n", "Negative bus voltage (base block)", Q.VOLTAGE, 0.1),
    input_row(101, U16, "base_output_power_percent", "Output power level (base block)", Q.PERCENT),
    input_row(102, U32, "base_output_power_max", "Output power allowed (base block)", Q.POWER,
              0.1),
    input_row(104, U16, "base_derating_mode", "Derating reason (base block)", Q.STATE,
              options=base_block.DERATING),
    input_row(110, U16, "base_warning_bits", "Warning bits (base block)", Q.CODE,
              note="V1.20: the high half of 32 bits with 111"),
)
# fmt: on

PROFILE: Final = Profile(
    key="mod_tl3_xh",
    name="MOD, MID TL3-XH and HU",
    sections=(
        *SECTIONS,
        Section(part=Part.THREE_PHASE, rows=_PHASES),
        Section(part=Part.THREE_PHASE, rows=_BASE_PHASES),
        Section(part=Part.INVERTER, rows=_BASE_BLOCK),
    ),
    groups={
        Space.INPUT: groups(0, 125, 3000, 3125, 3250, 4000, 4125, 5000, 5125, 5250),
        Space.HOLDING: groups(0, 125, 250, 500, 625, 3000, 3250, 5000, 5375, 5500),
    },
    max_words=MAX_WORDS,
)
"""Register map of MOD and MID TL3-XH and HU."""
