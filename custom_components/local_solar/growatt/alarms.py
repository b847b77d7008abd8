"""Fault and warning codes of Growatt's inverters, and the rows that report them.

Codes are those of Growatt's user manuals. An inverter of Protocol II tells its main
code (base registers 105 and 112, or 3105 and 3106 on TL-X and TL-XH) and a sub-code
beside it. The old string inverters (protocol V3.14) and the off-grid models (protocol
V0.26) have words of bits instead, or as well; a bit stands for the code that the display
shows.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum, auto
from typing import Final

from ..points import Alarm, Values


class AlarmKind(StrEnum):
    """The two lists of codes; the same number means something else in each."""

    FAULT = auto()
    WARNING = auto()


@dataclass(frozen=True, slots=True)
class Meaning:
    """What a code says: a slug, unique among the codes of its kind, and English words."""

    slug: str
    text: str


# fmt: off
FAULTS: Final[Mapping[int, Meaning]] = {
    # PV side
    200: Meaning("pv_arc", "Arc on the PV side"),
    201: Meaning("leakage_current", "Leakage current too high"),
    202: Meaning("pv_voltage", "PV voltage too high"),
    203: Meaning("pv_insulation", "PV insulation too low"),
    204: Meaning("pv_reversed", "PV string connected the wrong way round"),
    # Grid side
    300: Meaning("grid_voltage", "Grid voltage outside its limits"),
    301: Meaning("ac_reversed", "AC terminals connected the wrong way round"),
    302: Meaning("no_grid", "Grid missing"),
    304: Meaning("grid_frequency", "Grid frequency outside its limits"),
    305: Meaning("overload", "Output overloaded"),
    309: Meaning("rocof", "Grid frequency changed too fast (ROCOF)"),
    311: Meaning("export_limit_fail_safe", "Export limit in its fail-safe state"),
    # Inverter
    401: Meaning("dc_in_output_voltage", "Too much DC in the output voltage"),
    402: Meaning("dc_in_output_current", "Too much DC in the output current"),
    403: Meaning("output_unbalanced", "Output currents not balanced"),
    404: Meaning("bus_voltage_sampling", "Bus voltage measured wrongly"),
    405: Meaning("relay", "Relay out of order"),
    407: Meaning("auto_test", "Auto-test not passed"),
    408: Meaning("over_temperature", "Inverter too hot"),
    409: Meaning("bus_voltage", "Bus voltage not normal"),
    411: Meaning("internal_link", "Internal communication lost"),
    412: Meaning("temperature_sensor", "Temperature sensor disconnected"),
    416: Meaning("over_current", "Over-current protection tripped"),
    420: Meaning("leakage_sensor", "Leakage current module out of order"),
    424: Meaning("output_waveform", "Output current waveform not normal"),
    425: Meaning("arc_detector_test", "Arc detector failed its self-test"),
    426: Meaning("pv_current_sampling", "PV current measured wrongly"),
    427: Meaning("ac_current_sampling", "AC current measured wrongly"),
    428: Meaning("boost_shorted", "Boost stage shorted"),
    429: Meaning("bus_soft_start", "Bus did not start up"),
    # Off grid
    600: Meaning("off_grid_shorted", "Off-grid output shorted"),
    601: Meaning("off_grid_bus_voltage", "Bus voltage too low off grid"),
    602: Meaning("off_grid_terminal_voltage", "Voltage at the off-grid terminals not normal"),
    603: Meaning("soft_start", "Soft start failed"),
    604: Meaning("off_grid_output_voltage", "Off-grid output voltage not normal"),
    605: Meaning("balance_circuit_test", "Balance circuit failed its self-test"),
    606: Meaning("off_grid_dc", "Too much DC in the off-grid output"),
    607: Meaning("off_grid_overload", "Off-grid output overloaded"),
    608: Meaning("off_grid_parallel_signal", "Signal between parallel inverters not normal"),
    609: Meaning("backup_box_missing", "Backup box not found"),
    610: Meaning("split_phase_voltage", "Split-phase voltage not normal"),
    # Backup box
    700: Meaning("backup_box_link", "Link to the backup box disturbed"),
    701: Meaning("backup_box_grid_relay", "Grid relay of the backup box out of order"),
    703: Meaning("backup_box_overload", "Backup box overloaded on grid"),
    705: Meaning("backup_box_over_temperature", "Backup box too hot"),
}
"""Fault codes by main code."""

WARNINGS: Final[Mapping[int, Meaning]] = {
    # PV side and battery
    200: Meaning("pv_string", "PV string out of order"),
    201: Meaning("pv_connector", "PV string or PID connector not normal"),
    202: Meaning("dc_surge_arrester", "DC surge arrester out of order"),
    203: Meaning("pv_shorted", "PV1 or PV2 shorted"),
    204: Meaning("dry_contact", "Dry contact not normal"),
    205: Meaning("boost_driver", "PV boost driver not normal"),
    206: Meaning("ac_surge_arrester", "AC surge arrester out of order"),
    207: Meaning("usb_over_current", "Too much current on the USB port"),
    208: Meaning("dc_fuse", "DC fuse blown"),
    209: Meaning("pv_voltage", "PV voltage too high"),
    210: Meaning("pv_wiring", "PV wiring not normal"),
    217: Meaning("bms", "Battery management not normal"),
    # Known with sub-code 1 only.
    218: Meaning("bms_bus", "Bus to the battery management disconnected"),
    219: Meaning("pid", "PID function not normal"),
    220: Meaning("pv_disconnected", "PV string disconnected"),
    221: Meaning("pv_unbalanced", "PV string currents not balanced"),
    # Grid side
    300: Meaning("no_grid", "Grid missing"),
    301: Meaning("grid_voltage", "Grid voltage outside its limits"),
    302: Meaning("grid_frequency", "Grid frequency outside its limits"),
    303: Meaning("off_grid_overload", "Off-grid output overloaded"),
    # Inverter
    400: Meaning("fan", "Fan out of order"),
    401: Meaning("meter", "Meter not normal"),
    406: Meaning("boost_circuit", "Boost circuit out of order"),
    407: Meaning("over_temperature", "Inverter too hot"),
    408: Meaning("temperature_sensor", "Temperature sensor broken"),
    409: Meaning("reactive_power_link", "Link for reactive power commands lost"),
    411: Meaning("sync_signal", "Synchronisation signal not normal"),
    # Off grid and backup box
    600: Meaning("dc_in_output_current", "Much DC in the output current"),
    601: Meaning("dc_in_output_voltage", "Much DC in the output voltage"),
    602: Meaning("off_grid_voltage_low", "Off-grid voltage low"),
    603: Meaning("off_grid_voltage_high", "Off-grid voltage high"),
    604: Meaning("off_grid_over_current", "Off-grid current too high"),
    605: Meaning("off_grid_bus_voltage", "Bus voltage low off grid"),
    # The manuals give 606 the same words as 303.
    606: Meaning("off_grid_overload_606", "Off-grid output overloaded (606)"),
    607: Meaning("backup_box_link", "Link to the backup box disturbed"),
    608: Meaning("backup_box", "Backup box not normal"),
    609: Meaning("balance_circuit", "Balance circuit not normal"),
}
"""Warning codes by main code."""

V3_FAULTS: Final[Mapping[int, Meaning]] = {
    # Up to 23 the display shows 99 more: "Error: 101" for 2.
    2: Meaning("internal_link", "Internal communication lost"),
    4: Meaning("string_reversed_or_shorted", "PV string reversed or shorted"),
    5: Meaning("initialization", "Model not initialized"),
    6: Meaning("grid_voltage_sampling", "Grid voltage measured differently by the two processors"),
    7: Meaning("insulation_sampling", "PV insulation measured differently by the two processors"),
    8: Meaning("leakage_sampling", "Leakage current measured differently by the two processors"),
    13: Meaning("pv_arc", "Arc on the PV side"),
    15: Meaning("arc_detector", "Arc detector out of order"),
    18: Meaning("relay", "Relay out of order"),
    # The document gives 22 the same words as 2.
    22: Meaning("internal_link_22", "Internal communication lost (22)"),
    23: Meaning("bus_voltage", "Bus voltage not normal"),
    24: Meaning("auto_test", "Auto-test not passed"),
    25: Meaning("no_grid", "Grid missing"),
    26: Meaning("pv_insulation", "PV insulation too low"),
    27: Meaning("leakage_current", "Leakage current too high"),
    28: Meaning("dc_in_output_current", "Too much DC in the output current"),
    29: Meaning("pv_voltage", "PV voltage too high"),
    30: Meaning("grid_voltage", "Grid voltage outside its limits"),
    31: Meaning("grid_frequency", "Grid frequency outside its limits"),
    32: Meaning("over_temperature", "Inverter too hot"),
}
"""Fault codes of the old string inverters. Code n is bit n - 1 of the fault bits."""

V3_WARNINGS: Final[Mapping[int, Meaning]] = {
    100: Meaning("fan", "Fan out of order"),
    101: Meaning("string_link", "Communication with the string monitor not normal"),
    102: Meaning("string_pid_setup", "PID of the strings set up wrongly"),
    103: Meaning("eeprom_read", "EEPROM cannot be read"),
    104: Meaning("firmware_mismatch", "Firmware of the processors does not match"),
    105: Meaning("eeprom_write", "EEPROM cannot be written"),
    106: Meaning("surge_arrester", "Surge arrester out of order"),
    107: Meaning("ground_neutral", "Connection of ground and neutral not normal"),
    108: Meaning("pv_shorted", "PV1 or PV2 shorted"),
    109: Meaning("boost_driver", "PV boost driver not normal"),
}
"""Warning codes of the old string inverters. Code 100 + n is bit n of the warning bits."""

OFF_GRID_FAULTS: Final[Mapping[int, Meaning]] = {
    1: Meaning("fan_locked", "Fan locked"),
    2: Meaning("over_temperature", "Inverter too hot"),
    3: Meaning("battery_voltage_high", "Battery voltage too high"),
    4: Meaning("battery_voltage_low", "Battery voltage too low"),
    5: Meaning("output_shorted", "Output shorted"),
    6: Meaning("output_voltage_high", "Output voltage too high"),
    7: Meaning("overload", "Output overloaded"),
    8: Meaning("bus_voltage_high", "Bus voltage too high"),
    9: Meaning("bus_soft_start", "Bus did not start up"),
    11: Meaning("main_relay", "Main relay out of order"),
    51: Meaning("over_current", "Over-current protection tripped"),
    52: Meaning("bus_voltage_low", "Bus voltage too low"),
    53: Meaning("inverter_soft_start", "Inverter did not start up"),
    56: Meaning("igbt_over_current", "Too much current in the power transistors"),
    58: Meaning("output_voltage_low", "Output voltage too low"),
    60: Meaning("negative_power", "Power flows back into the output"),
    61: Meaning("pv_voltage", "PV voltage too high"),
    62: Meaning("internal_link", "Internal communication lost"),
    80: Meaning("parallel_bus", "CAN bus between parallel inverters disturbed"),
    81: Meaning("parallel_host", "First of the parallel inverters not found"),
}
"""Fault codes of off-grid models."""

OFF_GRID_WARNINGS: Final[Mapping[int, Meaning]] = {
    1: Meaning("fan_locked", "Fan locked"),
    2: Meaning("over_temperature", "Inverter too hot"),
    3: Meaning("over_charge", "Battery charged too far"),
    4: Meaning("battery_voltage_low", "Battery voltage too low"),
    7: Meaning("overload", "Output overloaded"),
    10: Meaning("output_derating", "Output power reduced"),
    12: Meaning("pv_off_battery_low", "PV charging stopped: battery voltage too low"),
    13: Meaning("pv_off_voltage_high", "PV charging stopped: PV voltage too high"),
    14: Meaning("pv_off_overload", "PV charging stopped: overload"),
    15: Meaning("parallel_grid_differs", "Parallel inverters see different grids"),
    16: Meaning("parallel_grid_phase", "Grid phases of the parallel inverters wrong"),
    17: Meaning("parallel_phase_lost", "Output phase of the parallel inverters missing"),
    18: Meaning("buck_over_current", "Too much current in the PV charger"),
    19: Meaning("battery_disconnected", "Battery disconnected"),
    20: Meaning("bms_link", "Link to the battery management lost"),
    21: Meaning("pv_power_low", "Not enough PV power"),
    22: Meaning("parallel_without_battery", "No parallel operation without a battery"),
    23: Meaning("parallel_firmware", "Firmware of the parallel inverters differs"),
    25: Meaning("parallel_capacity", "Sizes of the parallel inverters differ"),
    34: Meaning("bms_cell_voltage", "Battery management: cell voltage too high"),
    36: Meaning("bms_voltage", "Battery management: voltage too high"),
    38: Meaning("bms_discharge_current", "Battery management: discharge current too high"),
    39: Meaning("bms_charge_current", "Battery management: charge current too high"),
    43: Meaning("bms_temperature", "Battery management: battery too hot"),
    63: Meaning("battery_voltage_differs", "Battery voltages differ"),
    81: Meaning("parallel_host", "First of the parallel inverters not found"),
}
"""Warning codes of off-grid models."""
# fmt: on

OFF_GRID_WARNING_BITS: Final = dict(
    enumerate((1, 3, 4, 7, 10, 12, 13, 14, 15, 16, 17, 2, 18, 19, 20, 21))
)
"""Bit of the warning word of off-grid models -> warning code."""

_HIGH: Final = (22, 23, None, 25, 81, 34, 36, 38, 39, 43, 63)

OFF_GRID_WARNING_BITS_HIGH: Final = {
    bit: code for bit, code in enumerate(_HIGH) if code is not None
}
"""Bit of the second warning word that new firmware has -> warning code."""

type _Reported = tuple[AlarmKind, int, int]
"""What is reported: kind, code and sub-code."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AlarmTable:
    """The codes of a family and how its rows report them.

    ``fault_rows`` are the keys of the rows that tell whether there is a fault, ``rows``
    those that tell all alarms. ``reported`` takes from their values what is reported.
    """

    faults: Mapping[int, Meaning]
    warnings: Mapping[int, Meaning]
    fault_rows: tuple[str, ...]
    rows: tuple[str, ...]
    reported: Callable[[Values], Iterator[_Reported]]

    def meanings(self, kind: AlarmKind) -> Mapping[int, Meaning]:
        """Return the codes of a kind."""
        return self.faults if kind is AlarmKind.FAULT else self.warnings

    def options(self, kind: AlarmKind) -> Mapping[int, str]:
        """Return code -> slug, with ``none`` for 0: the options of a row of this kind."""
        return {0: "none"} | {
            code: meaning.slug for code, meaning in self.meanings(kind).items()
        }

    def text(self, kind: AlarmKind, code: int) -> str:
        """Return English words for a code; an unknown one is named by its number."""
        if (meaning := self.meanings(kind).get(code)) is not None:
            return meaning.text
        return (
            f"Unknown {kind} {code}" if code else f"{kind} without a code".capitalize()
        )

    def alarms(self, values: Values) -> frozenset[Alarm]:
        """Return the alarms that ``values`` report."""
        return frozenset(
            [
                Alarm(kind=kind, code=code, subcode=subcode, text=self.text(kind, code))
                for kind, code, subcode in self.reported(values)
            ]
        )

    def has_fault(self, values: Values) -> bool:
        """Return whether ``values`` report a fault."""
        return any(kind is AlarmKind.FAULT for kind, _, _ in self.reported(values))


def _number(values: Values, key: str) -> int:
    number = values.get(key)
    return number if isinstance(number, int) else 0


def _bits(word: int) -> Iterable[int]:
    """Go through the numbers of the bits that are set."""
    return [bit for bit in range(word.bit_length()) if word >> bit & 1] if word else ()


_CODE_KEYS: Final = tuple(
    (kind, f"{kind}_code", f"{kind}_subcode") for kind in AlarmKind
)


def _reported_by_codes(values: Values) -> Iterator[_Reported]:
    """Protocol II: a code and a sub-code of each kind."""
    for kind, code_key, subcode_key in _CODE_KEYS:
        if code := _number(values, code_key):
            yield kind, code, _number(values, subcode_key)


def _reported_by_v3(values: Values) -> Iterator[_Reported]:
    """Old string inverters: a fault code, the same as bits from V3.13, warning bits."""
    if code := _number(values, "fault_code"):
        yield AlarmKind.FAULT, code, 0
    for bit in _bits(_number(values, "fault_bits")):
        yield AlarmKind.FAULT, bit + 1, 0
    for bit in _bits(_number(values, "warning_bits")):
        yield AlarmKind.WARNING, bit + 100, 0


def _reported_off_grid(values: Values) -> Iterator[_Reported]:
    """Off-grid models: what was the fault code is more warnings in new firmware.

    It is taken for the code while the status or the fault bits say that there is a fault,
    unless it is none and the fault bits are: in new firmware the code may be there.
    The warning code counts where no bit is set.
    """
    bits, code = _number(values, "fault_bits"), _number(values, "fault_code")
    warnings = code
    if bits or values.get("status") == "fault":
        moved = code not in OFF_GRID_FAULTS and bits in OFF_GRID_FAULTS
        yield AlarmKind.FAULT, (bits if moved else code or bits), 0
        warnings = code if moved else 0
    codes = {
        *_known(_number(values, "warning_bits"), OFF_GRID_WARNING_BITS),
        *_known(warnings, OFF_GRID_WARNING_BITS_HIGH),
    }
    if not codes and (warning := _number(values, "warning_code")):
        codes = {warning}
    for found in codes:
        yield AlarmKind.WARNING, found, 0


def _reported_by_status(values: Values) -> Iterator[_Reported]:
    """Families without codes: the status says that there is a fault, not which."""
    if values.get("status") == "fault":
        yield AlarmKind.FAULT, 0, 0


def _known(word: int, codes: Mapping[int, int]) -> Iterator[int]:
    """Go through the codes of the bits that are set, as far as they are known."""
    return (codes[bit] for bit in _bits(word) if bit in codes)


PROTOCOL_2: Final = AlarmTable(
    faults=FAULTS,
    warnings=WARNINGS,
    fault_rows=("fault_code",),
    rows=("fault_code", "fault_subcode", "warning_code", "warning_subcode"),
    reported=_reported_by_codes,
)
"""Alarms of all families that have no table of their own."""

FAULT_OPTIONS: Final = PROTOCOL_2.options(AlarmKind.FAULT)
"""Main code -> slug, with ``none`` for 0: the options of a fault row of Protocol II."""

WARNING_OPTIONS: Final = PROTOCOL_2.options(AlarmKind.WARNING)
"""Main code -> slug, with ``none`` for 0: the options of a warning row of Protocol II."""

V3: Final = AlarmTable(
    faults=V3_FAULTS,
    warnings=V3_WARNINGS,
    fault_rows=("fault_code", "fault_bits"),
    rows=("fault_code", "fault_bits", "warning_bits"),
    reported=_reported_by_v3,
)
"""Alarms of the old string inverters."""

OFF_GRID: Final = AlarmTable(
    faults=OFF_GRID_FAULTS,
    warnings=OFF_GRID_WARNINGS,
    fault_rows=("status", "fault_bits", "fault_code"),
    rows=("status", "fault_bits", "fault_code", "warning_bits", "warning_code"),
    reported=_reported_off_grid,
)
"""Alarms of off-grid models."""

STATUS_ALONE: Final = AlarmTable(
    faults={},
    warnings={},
    fault_rows=("status",),
    rows=("status",),
    reported=_reported_by_status,
)
"""Alarms of storage inverters whose map has no codes."""

TABLES: Final[Mapping[str, AlarmTable]] = {
    "Protocol II": PROTOCOL_2,
    "old string inverters": V3,
    "off-grid models": OFF_GRID,
}
"""All tables by whose they are. The same slug of a kind has the same words in all."""


def slug_texts(kind: AlarmKind) -> Mapping[str, str]:
    """Return the words of every slug of a kind, whatever family has it."""
    return {
        meaning.slug: meaning.text
        for table in TABLES.values()
        for meaning in table.meanings(kind).values()
    }
