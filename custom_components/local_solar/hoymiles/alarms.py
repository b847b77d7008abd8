"""Alarm codes of Hoymiles microinverters, and the word that carries them.

The codes are those that public projects (OpenDTU, ioBroker.hoymiles) know. Some
mean something else on three-phase inverters. Those from 5000 on belong to the
radio protocol of older inverters and do not fit into the word of the local one.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum, auto
from typing import Final, NamedTuple


class Scope(StrEnum):
    """Which inverters a code is of."""

    ALL = auto()
    THREE_PHASE = auto()
    NOT_THREE_PHASE = auto()
    OLDER_MI = auto()


class Category(StrEnum):
    """What a code is about."""

    FAULT = auto()
    GRID = auto()
    INPUT = auto()
    DERATING = auto()
    INFO = auto()


class AlarmKind(StrEnum):
    """How much a code matters."""

    FAULT = auto()
    WARNING = auto()
    INFO = auto()


_KINDS: Final[Mapping[Category, AlarmKind]] = {
    Category.FAULT: AlarmKind.FAULT,
    Category.GRID: AlarmKind.WARNING,
    Category.INPUT: AlarmKind.WARNING,
    Category.DERATING: AlarmKind.WARNING,
    Category.INFO: AlarmKind.INFO,
}


class Row(NamedTuple):
    """A code: the inverters it is of, its slug, what it is about, English words."""

    code: int
    scope: Scope
    key: str
    category: Category
    text: str


@dataclass(frozen=True, slots=True)
class Meaning:
    """What a code says on one inverter."""

    key: str
    """One of ``SLUGS``."""
    kind: AlarmKind
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AlarmWord:
    """What an alarm's word tells. Times of the alarm itself stand beside the word."""

    code: int
    finished: bool
    """Whether it has an end, and has come to it."""
    momentary: bool
    """Whether it happened at one moment."""
    start_pm: bool
    end_pm: bool


# fmt: off
ROWS: Final[tuple[Row, ...]] = (
    # Operation
    Row(1, Scope.ALL, "started", Category.INFO, "Inverter started"),
    Row(2, Scope.ALL, "time_set", Category.INFO, "Clock was set"),
    Row(3, Scope.ALL, "memory_error_running", Category.FAULT, "Memory fault while running"),
    Row(4, Scope.ALL, "offline_4", Category.INFO, "No radio contact with inverter (4)"),
    # Grid
    Row(11, Scope.ALL, "grid_swell", Category.GRID, "Grid voltage jumped up"),
    Row(12, Scope.ALL, "grid_dip", Category.GRID, "Grid voltage dropped suddenly"),
    Row(13, Scope.ALL, "grid_frequency_jump", Category.GRID, "Grid frequency jumped"),
    Row(14, Scope.ALL, "grid_phase_jump", Category.GRID, "Grid phase jumped"),
    Row(15, Scope.ALL, "grid_transient", Category.GRID, "Brief disturbance of the grid"),
    # Inverter
    Row(36, Scope.ALL, "output_stage_limit", Category.FAULT, "Output stage: voltage or current too high"),
    Row(38, Scope.ALL, "low_input_shutdown", Category.INFO, "Stopped, too little power from the panels"),  # inferred from when it was seen
    Row(46, Scope.ALL, "converter_overvoltage", Category.FAULT, "DC converter: voltage too high"),
    Row(47, Scope.ALL, "converter_overcurrent", Category.FAULT, "DC converter: current too high"),
    Row(48, Scope.ALL, "clamp_overvoltage_a", Category.FAULT, "Clamp circuit A: voltage too high"),
    Row(49, Scope.ALL, "clamp_overvoltage_b", Category.FAULT, "Clamp circuit B: voltage too high"),
    Row(61, Scope.ALL, "calibration_data", Category.FAULT, "Calibration data invalid"),
    Row(62, Scope.ALL, "system_config", Category.FAULT, "System settings invalid"),
    Row(63, Scope.ALL, "energy_counter", Category.FAULT, "Energy counters not plausible"),
    # Derating and shading
    Row(71, Scope.ALL, "volt_watt", Category.DERATING, "Power reduced, grid voltage high"),
    Row(72, Scope.ALL, "freq_watt", Category.DERATING, "Power reduced, grid frequency high"),
    Row(73, Scope.ALL, "temp_watt", Category.DERATING, "Power reduced, inverter hot"),
    Row(95, Scope.ALL, "pv1_shadow", Category.INFO, "PV1 may be shaded"),
    Row(96, Scope.ALL, "pv2_shadow", Category.INFO, "PV2 may be shaded"),
    Row(97, Scope.ALL, "pv3_shadow", Category.INFO, "PV3 may be shaded"),
    Row(98, Scope.ALL, "pv4_shadow", Category.INFO, "PV4 may be shaded"),
    # Stops
    Row(121, Scope.ALL, "overtemperature", Category.FAULT, "Stopped, inverter too hot"),
    Row(122, Scope.ALL, "theft_suspected", Category.FAULT, "Theft protection triggered"),
    Row(123, Scope.ALL, "locked", Category.FAULT, "Locked remotely"),
    Row(124, Scope.ALL, "remote_off", Category.INFO, "Turned off remotely"),
    Row(125, Scope.ALL, "grid_profile_invalid", Category.FAULT, "Grid profile invalid"),
    Row(126, Scope.ALL, "memory_error", Category.FAULT, "Firmware fault in memory"),
    Row(127, Scope.ALL, "firmware_error", Category.FAULT, "Firmware fault"),
    Row(128, Scope.ALL, "hardware_config", Category.FAULT, "Hardware settings invalid"),
    Row(129, Scope.ALL, "bias_error", Category.FAULT, "Bias measured wrongly"),
    Row(130, Scope.ALL, "offline_130", Category.INFO, "No radio contact with inverter (130)"),
    # Grid
    Row(141, Scope.ALL, "grid_ov", Category.GRID, "Grid voltage too high"),
    Row(142, Scope.ALL, "grid_ov_10min", Category.GRID, "Grid voltage too high, average of 10 minutes"),
    Row(143, Scope.ALL, "grid_uv", Category.GRID, "Grid voltage too low"),
    Row(144, Scope.ALL, "grid_of", Category.GRID, "Grid frequency too high"),
    Row(145, Scope.ALL, "grid_uf", Category.GRID, "Grid frequency too low"),
    Row(146, Scope.ALL, "grid_rocof", Category.GRID, "Grid frequency changed too fast (ROCOF)"),
    Row(147, Scope.ALL, "grid_outage", Category.GRID, "Grid missing"),
    Row(148, Scope.ALL, "grid_disconnected", Category.GRID, "Disconnected from the grid"),
    Row(149, Scope.ALL, "islanding", Category.GRID, "Islanding detected"),
    Row(150, Scope.ALL, "dc_injection", Category.GRID, "Too much DC in the output current"),
    Row(152, Scope.ALL, "phase_angle", Category.GRID, "Angle between two phases often wrong"),
    Row(171, Scope.THREE_PHASE, "phase_difference", Category.GRID, "Difference between the phases wrong"),
    # PV side
    Row(181, Scope.ALL, "insulation", Category.FAULT, "PV insulation too low"),
    Row(182, Scope.ALL, "grounding", Category.FAULT, "Earth connection wrong"),
    Row(205, Scope.ALL, "mppt_a_ov", Category.INPUT, "MPPT A: voltage too high"),
    Row(206, Scope.ALL, "mppt_b_ov", Category.INPUT, "MPPT B: voltage too high"),
    Row(207, Scope.ALL, "mppt_a_uv", Category.INPUT, "MPPT A: voltage too low"),
    Row(208, Scope.ALL, "mppt_b_uv", Category.INPUT, "MPPT B: voltage too low"),
    Row(209, Scope.ALL, "pv1_no_input", Category.INPUT, "PV1 gives no power"),
    Row(210, Scope.ALL, "pv2_no_input", Category.INPUT, "PV2 gives no power"),
    Row(211, Scope.ALL, "pv3_no_input", Category.INPUT, "PV3 gives no power"),
    Row(212, Scope.ALL, "pv4_no_input", Category.INPUT, "PV4 gives no power"),
    Row(213, Scope.ALL, "mppt_a_wiring", Category.INPUT, "Wiring of PV1 and PV2 not correct"),
    Row(214, Scope.ALL, "mppt_b_wiring", Category.INPUT, "Wiring of PV3 and PV4 not correct"),
    Row(215, Scope.NOT_THREE_PHASE, "pv1_ov", Category.INPUT, "PV1 voltage too high"),
    Row(216, Scope.NOT_THREE_PHASE, "pv1_uv", Category.INPUT, "PV1 voltage too low"),
    Row(217, Scope.NOT_THREE_PHASE, "pv2_ov", Category.INPUT, "PV2 voltage too high"),
    Row(218, Scope.NOT_THREE_PHASE, "pv2_uv", Category.INPUT, "PV2 voltage too low"),
    Row(219, Scope.NOT_THREE_PHASE, "pv3_ov", Category.INPUT, "PV3 voltage too high"),
    Row(220, Scope.NOT_THREE_PHASE, "pv3_uv", Category.INPUT, "PV3 voltage too low"),
    Row(221, Scope.NOT_THREE_PHASE, "pv4_ov", Category.INPUT, "PV4 voltage too high"),
    Row(222, Scope.NOT_THREE_PHASE, "pv4_uv", Category.INPUT, "PV4 voltage too low"),
    Row(215, Scope.THREE_PHASE, "mppt_c_ov", Category.INPUT, "MPPT C: voltage too high"),
    Row(216, Scope.THREE_PHASE, "mppt_c_uv", Category.INPUT, "MPPT C: voltage too low"),
    Row(217, Scope.THREE_PHASE, "pv5_no_input", Category.INPUT, "PV5 gives no power"),
    Row(218, Scope.THREE_PHASE, "pv6_no_input", Category.INPUT, "PV6 gives no power"),
    Row(219, Scope.THREE_PHASE, "mppt_c_wiring", Category.INPUT, "Wiring of PV5 and PV6 not correct"),
    Row(221, Scope.THREE_PHASE, "neutral_wiring", Category.GRID, "Grid neutral not connected correctly"),
    # Hardware
    Row(301, Scope.ALL, "hardware_301", Category.FAULT, "DC converter A shorted"),
    Row(302, Scope.ALL, "hardware_302", Category.FAULT, "DC converter B shorted"),
    Row(303, Scope.ALL, "hardware_303", Category.FAULT, "DC converter A: current protection faulty"),
    Row(304, Scope.ALL, "hardware_304", Category.FAULT, "DC converter B: current protection faulty"),
    Row(305, Scope.ALL, "hardware_305", Category.FAULT, "Clamp circuit A faulty"),
    Row(306, Scope.ALL, "hardware_306", Category.FAULT, "Clamp circuit B faulty"),
    Row(307, Scope.ALL, "hardware_307", Category.FAULT, "Output stage: power device faulty"),
    Row(308, Scope.ALL, "hardware_308", Category.FAULT, "Output stage: protection faulty"),
    Row(309, Scope.ALL, "hardware_309", Category.FAULT, "Hardware fault 309"),
    Row(310, Scope.ALL, "hardware_310", Category.FAULT, "Hardware fault 310"),
    Row(311, Scope.ALL, "hardware_311", Category.FAULT, "Hardware fault 311"),
    Row(312, Scope.ALL, "hardware_312", Category.FAULT, "Hardware fault 312"),
    Row(313, Scope.ALL, "hardware_313", Category.FAULT, "Hardware fault 313"),
    Row(314, Scope.ALL, "hardware_314", Category.FAULT, "Hardware fault 314"),
    # State
    Row(1111, Scope.ALL, "repeater", Category.INFO, "Event of a repeater"),
    Row(2000, Scope.ALL, "standby_2000", Category.INFO, "Standby (2000)"),
    Row(2001, Scope.ALL, "standby_2001", Category.INFO, "Standby (2001)"),
    Row(2002, Scope.ALL, "standby_2002", Category.INFO, "Standby (2002)"),
    Row(2003, Scope.ALL, "standby_2003", Category.INFO, "Standby (2003)"),
    Row(2004, Scope.ALL, "standby_2004", Category.INFO, "Standby (2004)"),
    Row(3001, Scope.ALL, "reset_3001", Category.INFO, "Reset (3001)"),
    Row(3002, Scope.ALL, "reset_3002", Category.INFO, "Reset (3002)"),
    Row(3003, Scope.ALL, "reset_3003", Category.INFO, "Reset (3003)"),
    Row(3004, Scope.ALL, "reset_3004", Category.INFO, "Reset (3004)"),
    # Older MI, which only their radio protocol can tell
    Row(5011, Scope.OLDER_MI, "mi_pv1_mosfet_oc", Category.FAULT, "MI: PV1 switch current too high"),
    Row(5012, Scope.OLDER_MI, "mi_pv2_mosfet_oc", Category.FAULT, "MI: PV2 switch current too high"),
    Row(5013, Scope.OLDER_MI, "mi_pv3_mosfet_oc", Category.FAULT, "MI: PV3 switch current too high"),
    Row(5014, Scope.OLDER_MI, "mi_pv4_mosfet_oc", Category.FAULT, "MI: PV4 switch current too high"),
    Row(5020, Scope.OLDER_MI, "mi_bridge_oc", Category.FAULT, "MI: bridge current or voltage too high"),
    Row(5041, Scope.OLDER_MI, "mi_pv1_oc", Category.FAULT, "MI: PV1 current too high"),
    Row(5042, Scope.OLDER_MI, "mi_pv2_oc", Category.FAULT, "MI: PV2 current too high"),
    Row(5043, Scope.OLDER_MI, "mi_pv3_oc", Category.FAULT, "MI: PV3 current too high"),
    Row(5044, Scope.OLDER_MI, "mi_pv4_oc", Category.FAULT, "MI: PV4 current too high"),
    Row(5051, Scope.OLDER_MI, "mi_pv1_voltage", Category.FAULT, "MI: PV1 voltage outside its limits"),
    Row(5052, Scope.OLDER_MI, "mi_pv2_voltage", Category.FAULT, "MI: PV2 voltage outside its limits"),
    Row(5053, Scope.OLDER_MI, "mi_pv3_voltage", Category.FAULT, "MI: PV3 voltage outside its limits"),
    Row(5054, Scope.OLDER_MI, "mi_pv4_voltage", Category.FAULT, "MI: PV4 voltage outside its limits"),
    Row(5060, Scope.OLDER_MI, "mi_bias", Category.FAULT, "MI: bias measured wrongly"),
    Row(5070, Scope.OLDER_MI, "mi_overtemperature", Category.FAULT, "MI: too hot"),
    Row(5080, Scope.OLDER_MI, "mi_grid_voltage", Category.FAULT, "MI: grid voltage outside its limits"),
    Row(5090, Scope.OLDER_MI, "mi_grid_frequency", Category.FAULT, "MI: grid frequency outside its limits"),
    Row(5100, Scope.OLDER_MI, "mi_islanding", Category.FAULT, "MI: islanding detected"),
    Row(5110, Scope.OLDER_MI, "mi_ground_fault", Category.FAULT, "MI: earth fault detected"),
    Row(5120, Scope.OLDER_MI, "mi_memory", Category.FAULT, "MI: memory fault"),
    Row(5141, Scope.OLDER_MI, "mi_clamp_1", Category.FAULT, "MI: clamp circuit 1: voltage too high"),
    Row(5142, Scope.OLDER_MI, "mi_clamp_2", Category.FAULT, "MI: clamp circuit 2: voltage too high"),
    Row(5143, Scope.OLDER_MI, "mi_clamp_3", Category.FAULT, "MI: clamp circuit 3: voltage too high"),
    Row(5144, Scope.OLDER_MI, "mi_clamp_4", Category.FAULT, "MI: clamp circuit 4: voltage too high"),
    Row(5150, Scope.OLDER_MI, "mi_grid_ov_10min", Category.FAULT, "MI: grid voltage too high, average of 10 minutes"),
    Row(5160, Scope.OLDER_MI, "mi_grid_transient", Category.FAULT, "MI: brief disturbance of the grid"),
    Row(5200, Scope.OLDER_MI, "mi_firmware", Category.FAULT, "MI: firmware fault"),
    Row(5511, Scope.OLDER_MI, "mi_pv1_mosfet_oc_hw", Category.FAULT, "MI: PV1 switch current too high (hardware)"),
    Row(5512, Scope.OLDER_MI, "mi_pv2_mosfet_oc_hw", Category.FAULT, "MI: PV2 switch current too high (hardware)"),
    Row(5513, Scope.OLDER_MI, "mi_pv3_mosfet_oc_hw", Category.FAULT, "MI: PV3 switch current too high (hardware)"),
    Row(5514, Scope.OLDER_MI, "mi_pv4_mosfet_oc_hw", Category.FAULT, "MI: PV4 switch current too high (hardware)"),
    Row(5520, Scope.OLDER_MI, "mi_bridge_oc_hw", Category.FAULT, "MI: bridge current or voltage too high (hardware)"),
    Row(8310, Scope.OLDER_MI, "mi_remote_off", Category.INFO, "MI: turned off remotely"),
    Row(8320, Scope.OLDER_MI, "mi_locked", Category.FAULT, "MI: locked remotely"),
    Row(9000, Scope.OLDER_MI, "mi_theft", Category.FAULT, "MI: theft protection triggered"),
)
# fmt: on

NONE: Final = "none"
UNKNOWN: Final = "unknown"

TEXTS: Final[Mapping[str, str]] = {
    NONE: "No event",
    **{row.key: row.text for row in ROWS},
    UNKNOWN: "Unknown event",
}
"""Slug -> English words."""

SLUGS: Final[tuple[str, ...]] = tuple(TEXTS)
"""All that the last event of an inverter can be."""


def _meanings(without: Scope) -> Mapping[int, Meaning]:
    return {
        row.code: Meaning(row.key, _KINDS[row.category], row.text)
        for row in ROWS
        if row.scope is not without
    }


_THREE_PHASE: Final = _meanings(without=Scope.NOT_THREE_PHASE)
_NOT_THREE_PHASE: Final = _meanings(without=Scope.THREE_PHASE)


def describe(code: int, *, three_phase: bool) -> Meaning:
    """Return what a code says on a three-phase inverter, or on another one."""
    meanings = _THREE_PHASE if three_phase else _NOT_THREE_PHASE
    if (meaning := meanings.get(code)) is None:
        return Meaning(UNKNOWN, AlarmKind.INFO, f"Unknown event {code}")
    return meaning


def decode_word(word: int) -> AlarmWord:
    """Take an alarm's word apart: 12 bits of code, then four flags.

    That bits 14 and 15 mean finished and momentary is inferred from samples.
    """
    return AlarmWord(
        code=word & 0x0FFF,
        finished=bool(word & 1 << 14),
        momentary=bool(word & 1 << 15),
        start_pm=bool(word & 1 << 13),
        end_pm=bool(word & 1 << 12),
    )
