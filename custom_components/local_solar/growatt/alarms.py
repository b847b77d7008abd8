"""Fault and warning codes of Growatt's Protocol II inverters.

Codes are those of Growatt's user manuals. An inverter tells its main code (base
registers 105 and 112, or 3105 and 3106 on TL-X and TL-XH) and a sub-code beside it.
"""

from collections.abc import Mapping
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
# fmt: on

_TABLES: Final[Mapping[AlarmKind, Mapping[int, Meaning]]] = {
    AlarmKind.FAULT: FAULTS,
    AlarmKind.WARNING: WARNINGS,
}


def _options(meanings: Mapping[int, Meaning]) -> Mapping[int, str]:
    return {0: "none"} | {code: meaning.slug for code, meaning in meanings.items()}


FAULT_OPTIONS: Final = _options(FAULTS)
"""Main code -> slug, with ``none`` for 0: the options of a fault row."""

WARNING_OPTIONS: Final = _options(WARNINGS)
"""Main code -> slug, with ``none`` for 0: the options of a warning row."""


def alarm_text(kind: AlarmKind, code: int) -> str:
    """Return English words for a main code; an unknown one is named by its number."""
    if code == 0:
        return f"No {kind}"
    if (meaning := _TABLES[kind].get(code)) is None:
        return f"Unknown {kind} {code}"
    return meaning.text


def alarms_of(values: Values) -> frozenset[Alarm]:
    """Return the alarms that an inverter's code rows report; code 0 is none."""
    return frozenset(
        Alarm(
            kind=kind,
            code=code,
            subcode=_code(values, f"{kind}_subcode"),
            text=alarm_text(kind, code),
        )
        for kind in AlarmKind
        if (code := _code(values, f"{kind}_code"))
    )


def _code(values: Values, key: str) -> int:
    code = values.get(key)
    return code if isinstance(code, int) else 0
