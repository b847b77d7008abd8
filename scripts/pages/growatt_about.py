"""What no table says of a Growatt family: its name on pages, its sources, its doubts."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from custom_components.local_solar.growatt.models import Family

NAMES: Final[Mapping[Family, str]] = {
    Family.V3_PV: "Old string inverters (protocol V3)",
    Family.TL_X_BASE: "PV inverters, base registers",
    Family.MIN_TL_X: "MIN TL-X, MIC TL-X",
    Family.MIN_TL_XH: "MIN TL-XH",
    Family.MIN_TL_XH_US: "MIN TL-XH-US",
    Family.MOD_TL3_X: "MOD, MID, MAC TL3-X",
    Family.MOD_TL3_XH: "MOD, MID TL3-XH and HU",
    Family.SPH: "SPH, single-phase",
    Family.SPH_TL3: "SPH and SPA TL3, three-phase",
    Family.SPA: "SPA, single-phase",
    Family.SPF: "SPF, SPE (off-grid)",
    Family.MAX_TL3: "MAX",
    Family.WIT: "WIT, WIS",
}
"""How pages name the families."""


@dataclass(frozen=True, slots=True)
class About:
    """What no table says of a family: where its facts are from, and what to doubt."""

    facts: str
    doubts: tuple[str, ...] = ()


_PROTOCOL_2: Final = "documents V1.13 to V1.39"

ABOUT: Final[Mapping[Family, About]] = {
    Family.V3_PV: About(
        "document V3.14",
        (
            "The sign of the reactive power is not documented.",
            "Several warnings at once show as unknown; *Alarms* tells them all.",
            "The energy lists of the document are in the diagnostics only.",
        ),
    ),
    Family.TL_X_BASE: About(
        _PROTOCOL_2,
        (
            "For models that nothing names, and for a MIN or MIC TL-X whose firmware has no"
            " registers from 3000 on.",
            "No phases 2 and 3, no import, export or load, and no battery.",
            "Settings only if you chose this map yourself, or if the type code names a MIN or"
            " MIC TL-X.",
        ),
    ),
    Family.MIN_TL_X: About("documents V1.20 to V1.39"),
    Family.MIN_TL_XH: About(
        "documents V1.24 and V1.39, **a scan and a bus recording of a MIN 6000TL-XH**",
        (
            "Work mode (3018): a setting only after you have said what it means on yours.",
            "Peak shaving is in no public document.",
        ),
    ),
    Family.MIN_TL_XH_US: About(
        "documents V1.24 and V1.39",
        (
            "Months of the seasons and special days are read only.",
            "The nine slots of other MIN TL-XH are read only: nobody knows what they do here.",
            "Whether slots may overlap is not documented: it is refused on the same days.",
        ),
    ),
    Family.MOD_TL3_X: About(
        _PROTOCOL_2,
        (
            "Import, export and load are known with VPP firmware only.",
            "PV inputs beyond the fourth are not read.",
        ),
    ),
    Family.MOD_TL3_XH: About(
        "documents V1.24 and V1.39, other programs and their owners",
        (
            "Work mode (3018) is read only.",
            "The battery's voltage: see [Battery](#battery).",
            "Import and export of VPP run backwards on some; those that are shown do not.",
        ),
    ),
    Family.SPH: About(
        f"{_PROTOCOL_2}, other programs",
        (
            "The energy and power of charging from the grid have no scale in the documents.",
            "With VPP firmware *Status* 5 and 6 show as normal, 7 and 8 as off grid; *System work"
            " mode* tells more.",
            "Load-first slots are reserved here by the documents.",
            "*Load-first minimum SOC* is known from other programs only.",
        ),
    ),
    Family.SPH_TL3: About(
        f"{_PROTOCOL_2}, other programs",
        (
            "As SPH. A SPA TL3 has the same map, without PV.",
            "One in standby was seen with *Status* 5, which shows as normal.",
        ),
    ),
    Family.SPA: About(
        f"{_PROTOCOL_2}, scans of owners",
        (
            "No fault or warning codes: *Problem* and *Alarms* tell by the status that there is a"
            " fault, not which.",
            "PV is that of the inverter beside it, if a second meter measures it.",
        ),
    ),
    Family.SPF: About(
        "document OffGrid V0.26, owners",
        (
            "See [Off-grid inverters](#off-grid-inverters-spf-spe).",
            "Voltages of charging, cut-off level and battery type are read only.",
            "Which source counts at which level, and in which steps, differs by source: both"
            " levels are read only.",
            "Newer firmware may have more warnings where older ones have the fault; *Alarms*"
            " tells one from the other, *Fault* does not.",
            "The export counters mean something else before V0.17.",
        ),
    ),
    Family.MAX_TL3: About(
        "documents V1.13 to V1.39 alone",
        (
            "No other program has this map.",
            "Energy of the day of PV inputs 9 to 16 is in the diagnostics only.",
            "Import, export and load are known with VPP firmware only.",
        ),
    ),
    Family.WIT: About(
        "document V1.39, a part of it; owners of other programs",
        (
            "See [WIT and WIS](#wit-and-wis): the sign of the battery's power is not known.",
            "No time slots but those of VPP, and no settings of the battery of its own.",
            "PV inputs beyond the fourth of large ones are not read.",
        ),
    ),
}
