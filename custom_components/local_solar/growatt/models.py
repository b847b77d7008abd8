"""Which family an inverter belongs to: device type codes, serial and firmware prefixes.

Codes are of table 3-1 of the VPP protocol V2.03 and of field reports; prefixes
are those that owners of the model reported. A code or prefix that is not here
is no reason to refuse a device: ``identify.py`` then looks at what it answers.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum, StrEnum, auto
from typing import Final


class Family(StrEnum):
    """Families whose register maps differ; each has the profile of its name."""

    V3_PV = auto()
    TL_X_BASE = auto()
    MIN_TL_X = auto()
    MIN_TL_XH = auto()
    MIN_TL_XH_US = auto()
    MOD_TL3_X = auto()
    MOD_TL3_XH = auto()
    SPH = auto()
    SPH_TL3 = auto()
    SPA = auto()
    SPF = auto()
    MAX_TL3 = auto()
    WIT = auto()


class Certainty(IntEnum):
    """How sure it is which family an inverter belongs to; more is surer."""

    GUESSED = 0
    """Told from what it answers, or from the prefix of its firmware, which others share."""
    CHOSEN = 1
    """The owner says so of a model that nothing surer names."""
    NAMED = 2
    """The prefix of its serial number says so."""
    CODED = 3
    """Its type code says so."""


@dataclass(frozen=True, slots=True)
class Model:
    """What a code or prefix tells. ``confirmed``: an owner has reported it."""

    family: Family
    name: str
    phases: int | None = None
    strings: int | None = None
    confirmed: bool = True


THREE_PHASE: Final = frozenset(
    {
        Family.MOD_TL3_X,
        Family.MOD_TL3_XH,
        Family.SPH_TL3,
        Family.MAX_TL3,
        Family.WIT,
    }
)
"""Families that feed three phases, whatever a unit counts."""

NARROW: Final = frozenset({Family.SPF, Family.V3_PV})
"""Families of the older protocols: groups of 45 words, and nothing from 30000 on."""

OFF_GRID_CODES: Final = range(3400, 3500)
"""Type codes of the SPF family, also those not seen yet."""

V3_CODES: Final = frozenset(
    base + size for base in (100, 200, 700, 800) for size in range(1, 11)
)
"""Type codes of the protocol V3.14: 1xx and 2xx have one and two trackers on one phase,
7xx and 8xx on three. One of them was reported."""

# fmt: off
DEVICE_TYPE_CODES: Final[Mapping[int, Model]] = {
    3501: Model(Family.SPH, "SPH 3000-6000TL BL", confirmed=False),
    3502: Model(Family.SPH, "SPH 3000-6000TL BL-UP"),
    3503: Model(Family.SPH, "SPH 3000-6000TL HU", confirmed=False),
    3504: Model(Family.SPH, "SPH 3000-6000TL HUB"),
    3601: Model(Family.SPH_TL3, "SPH 4-10KTL3 BH-UP"),
    3701: Model(Family.SPA, "SPA 1000-3000TL BL", confirmed=False),
    3715: Model(Family.SPA, "SPA 3000-6000TL AU", confirmed=False),
    3716: Model(Family.SPA, "SPA 3000-6000TL AUB", confirmed=False),
    3725: Model(Family.SPH_TL3, "SPA 4-10KTL3 BH-UP"),  # answers the SPH-TL3 map, without PV
    3735: Model(Family.SPA, "SPA 3000TL BL-UP", confirmed=False),
    5000: Model(Family.MAX_TL3, "MAX 50-100KTL3 LV/MV", confirmed=False),
    5001: Model(Family.MOD_TL3_X, "MID 17-50KTL3-X family"),
    5002: Model(Family.MOD_TL3_X, "MOD 3-20KTL3-X family", confirmed=False),
    5003: Model(Family.MOD_TL3_X, "MAC 15-70KTL3-X family", confirmed=False),
    5100: Model(Family.MIN_TL_XH, "MIN 2500-6000TL-XH/XH2/XHE/XA"),
    5200: Model(Family.MIN_TL_X, "MIC 600-3300TL-X or MIN 2500-6000TL-X", confirmed=False),  # the code does not tell MIC from MIN
    5201: Model(Family.MIN_TL_X, "MIN 7-10KTL-X"),
    5400: Model(Family.MOD_TL3_XH, "MOD 3-10KTL3-XH/BP, MID 11-30KTL3-XH, MID 8-15KTL3-XHL/JP"),
    5401: Model(Family.MOD_TL3_XH, "MOD 3-15KTL3-HU, MID 33-50KTL3-HU"),
    5500: Model(Family.MAX_TL3, "MAX 175-253KTL3-X HV", confirmed=False),
    5501: Model(Family.MAX_TL3, "MAX 80-150KTL3-X LV/MV", confirmed=False),
    5502: Model(Family.MAX_TL3, "MAX 320-350KTL3-X", confirmed=False),
    5600: Model(Family.WIT, "WIT 28-100K, WIS 100K-AM", confirmed=False),
    5601: Model(Family.WIT, "WIT 29.9-50K-XHU"),
    5800: Model(Family.WIT, "WIS 210K", confirmed=False),
    5801: Model(Family.WIT, "WIS 215K-AM", confirmed=False),
    210: Model(Family.V3_PV, "MIC 2500-5500MTL-S"),
    2049: Model(Family.V3_PV, "TL3-S 3000-15000"),
    21303: Model(Family.SPH, "SPH/SPM 8000-10000TL-HU"),
    3400: Model(Family.SPF, "SPF 3000-6000 ES PLUS", confirmed=False),
    3401: Model(Family.SPF, "SPF ES PLUS", confirmed=False),
    3402: Model(Family.SPF, "SPF ES PLUS", confirmed=False),
    3403: Model(Family.SPF, "SPF ES PLUS", confirmed=False),
    64541: Model(Family.SPF, "SPE 8000-12000 ES"),
    5603: Model(Family.WIT, "WIT 4-15kW"),
}

SERIAL_PREFIXES: Final[Mapping[str, Model]] = {
    "ABJ": Model(Family.MIN_TL_XH, "MIN 2500TL-XH", phases=1, strings=2),
    "SKL": Model(Family.MIN_TL_XH, "MIN 3600TL-XH", phases=1, strings=2),
    "XVM": Model(Family.MIN_TL_XH, "MIN 5000TL-XH", phases=1, strings=2),
    "SMN": Model(Family.MIN_TL_XH_US, "MIN TL-XH-US", phases=1, strings=4),
    "JGQ": Model(Family.MIN_TL_XH_US, "MIN 7600TL-XH-US (Split Phase)", phases=1, strings=3),
    "HJU": Model(Family.MIN_TL_XH, "MIN 4200TL-XH2", phases=1, strings=2),
    "VFJ": Model(Family.MIN_TL_XH_US, "MIN 10000TL-XH-US (Split Phase)", phases=1, strings=4),
    "XHL": Model(Family.MOD_TL3_XH, "MOD 4000 TL3-XH", phases=3, strings=2),  # the source says one phase; TL3 has three
    "DPS": Model(Family.MOD_TL3_XH, "MOD 5000 TL3-HU", phases=3, strings=2),
    "DMS": Model(Family.MOD_TL3_XH, "MOD 8000 TL3-HU", phases=3, strings=3),
    "DKS": Model(Family.MOD_TL3_XH, "MOD 10000 TL3-HU", phases=3, strings=3),
    "DO1": Model(Family.MOD_TL3_XH, "MOD 12000 TL3-HU", phases=3, strings=3),
    "TTS": Model(Family.MOD_TL3_XH, "KTL3-HU 12kW", phases=3, strings=3),
    "TSS": Model(Family.MOD_TL3_XH, "KTL3-HU 12kW", phases=3, strings=3),
    "PYL": Model(Family.MOD_TL3_XH, "MOD 5000 TL3-XH", phases=3, strings=2),
    "JCM": Model(Family.MOD_TL3_XH, "MOD 6000 TL3-XH", phases=3, strings=2),
    "MEK": Model(Family.MOD_TL3_XH, "MOD 7000 TL3-XH", phases=3, strings=2),
    "MFK": Model(Family.MOD_TL3_XH, "MOD 8000 TL3-XH", phases=3, strings=2),  # the source says one phase; TL3 has three
    "DFK": Model(Family.MOD_TL3_XH, "MOD 10000 TL3-XH", phases=3, strings=2),  # the source names ten times the power
    "EGR": Model(Family.MOD_TL3_XH, "MOD 15000 TL3-HU", phases=3, strings=3),  # the source names ten times the power
    "KLN": Model(Family.MOD_TL3_XH, "MID 15000 TL3-XH", phases=3, strings=2),
    "KMN": Model(Family.MOD_TL3_XH, "MID 17000 TL3-XH", phases=3, strings=2),
    "KNN": Model(Family.MOD_TL3_XH, "MID 25000 TL3-XH", phases=3, strings=3),
    "RKM": Model(Family.MOD_TL3_XH, "MID 30000 TL3-XH", phases=3, strings=3),
    "DLP": Model(Family.MOD_TL3_XH, "MID 30000 TL3-XH", phases=3, strings=3),
    "FMP": Model(Family.MOD_TL3_XH, "MOD 5000 TL3-XH (BP)", phases=3, strings=2),
    "FPP": Model(Family.MOD_TL3_XH, "MOD 7000 TL3-XH (BP)", phases=3, strings=2),
    "FQP": Model(Family.MOD_TL3_XH, "MOD 8000 TL3-XH (BP)", phases=3, strings=2),
    "CZM": Model(Family.MOD_TL3_XH, "MOD 10000 TL3-XH (BP)", phases=3, strings=2),
    "YRP": Model(Family.SPH, "SPH 5000 TL-HUB", phases=1, strings=2),
    "NFR": Model(Family.SPF, "SPE 8000 ES", phases=1, strings=2),
    "WPD": Model(Family.SPA, "SPA 3000TL BL", phases=1),
    "YRE": Model(Family.SPF, "SPF 5000 ES", phases=1, strings=1),
    "TTJ": Model(Family.SPF, "SPF 5000 ES", phases=1, strings=1),
    "BNJ": Model(Family.SPF, "SPF 3000 TL LVM 24P", phases=1, strings=1),
    "KAM": Model(Family.SPF, "SPF 5000 ES", phases=1, strings=1),
    "NUK": Model(Family.SPF, "SPF 12000T DVM-US MPV", phases=1, strings=2),
    "0PE": Model(Family.WIT, "WIT 8000-HU", phases=3, strings=2),
    "0PC": Model(Family.WIT, "WIT 12000-HU", phases=3, strings=2),
    "0PH": Model(Family.WIT, "WIT 100000-HU", phases=3, strings=10),
    "0HU": Model(Family.WIT, "WIT 15K-HU", phases=3, strings=2),
    "FPH": Model(Family.MIN_TL_X, "MIC 2000TL-X", phases=1, strings=1),
    "FWJ": Model(Family.MIN_TL_X, "MIC 3300TL-X", phases=1, strings=1),
    "QYL": Model(Family.MIN_TL_X, "MIN 2500TL-X", phases=1, strings=2),
    "XTD": Model(Family.MIN_TL_X, "MIN 5000TL-X", phases=1, strings=2),
    "BDK": Model(Family.MIN_TL_X, "MIN 4200TL-XE", phases=1, strings=2),
    "WVN": Model(Family.MIN_TL_X, "MIN 8000TL-X2", phases=1, strings=3),
    "RDH": Model(Family.MOD_TL3_X, "MOD 4000 TL3-X", phases=3, strings=2),
    "QEH": Model(Family.MOD_TL3_X, "MOD 8000 TL3-X", phases=3, strings=2),
    "RPH": Model(Family.MOD_TL3_X, "MOD 15000 TL3-X", phases=3, strings=2),
    "GXF": Model(Family.MOD_TL3_X, "MID 12000 TL3-XL", phases=3, strings=2),
    "NAH": Model(Family.MAX_TL3, "MAX 60000 TL3 LV", phases=3, strings=6),
    "DIE": Model(Family.SPH, "SPH 1000-S", phases=1, strings=1),
    "PYH": Model(Family.SPH, "SPH 1500 TL-X", phases=1, strings=1),
    "NLC": Model(Family.SPH, "SPH 3000 BP", phases=1, strings=1),
    "NRC": Model(Family.SPH, "SPH 5000", phases=1, strings=1),
    "BZP": Model(Family.V3_PV, "Neo 800M-X", phases=1, strings=2),
    "QNB": Model(Family.V3_PV, "1000-S", phases=1, strings=1),
    "QMB": Model(Family.V3_PV, "1500-S", phases=1, strings=1),
    "JLE": Model(Family.V3_PV, "5000 TL3-S", phases=1),
    "MVC": Model(Family.V3_PV, "12000 TL3-S", phases=3),
    "4FZ": Model(Family.V3_PV, "5000 MTL-S", phases=1, strings=2),
    "BY3": Model(Family.V3_PV, "5000", phases=1),
    "SZG": Model(Family.MOD_TL3_X, "3-phase PV, 2 MPPT (exact model not known)", phases=3, strings=2),
    "SNL": Model(Family.MIN_TL_XH, "MIN 6000TL-XH", phases=1, strings=2),
}

FIRMWARE_PREFIXES: Final[Mapping[str, Model]] = {
    "dha": Model(Family.V3_PV, "PV TL3-SL 10-22kW", phases=3),
    "DL1": Model(Family.MOD_TL3_X, "PV TL3-X 15kW 3Phase (MOD)", phases=3),
    "DM1": Model(Family.MOD_TL3_X, "PV TL3-X 35kW 3Phase (MID)", phases=3, strings=4),
    "AH1": Model(Family.SPH, "SPH 4kW - 10kW", phases=1),  # also seen on a MIC MTL-S
    "AJ1": Model(Family.MIN_TL_X, "PV TL-X 2.5kW - 6kW (MIN)", phases=1),
    "GH1": Model(Family.MIN_TL_X, "PV TL-X 2.5kW - 6kW (MIN)", phases=1),
    "AK1": Model(Family.MIN_TL_X, "MIN 3600TL-X2", phases=1, strings=2),
    "AM1": Model(Family.MIN_TL_X, "PV TL-X2 7kW - 120kW (MIN)", phases=1, strings=3),
    "RAA": Model(Family.SPH, "SPH 3kW - 6kW", phases=1),
    "RA1": Model(Family.SPH, "SPH 3kW - 6kW", phases=1),
    "SPH": Model(Family.SPH_TL3, "SPH 4kW - 10kW", phases=3),
    "YA1": Model(Family.SPH_TL3, "SPH 4kW - 10kW 3P TL UP", phases=3),
    "RH1": Model(Family.SPA, "SPA 3000TL BL", phases=1),
    "AL1": Model(Family.MIN_TL_XH, "TL-XH 2.5kW - 6kW (MIN)", phases=1),  # also on TL-XE without a battery: proves no battery
    "DN1": Model(Family.MOD_TL3_XH, "TL3-XH (BP) 3kW - 10kW (MOD), 11kW - 30kW (MID)", phases=3),
    "V": Model(Family.MOD_TL3_XH, "TL3-XH 3kW - 10kW (MOD)", phases=3),
    "067": Model(Family.SPF, "SPF 5kW / SPF5000ES", phases=1, strings=1),
    "113": Model(Family.SPF, "SPF 5kW / SPF5000ES", phases=1, strings=1),
    "500": Model(Family.SPF, "SPF 5kW / SPF5000ES", phases=1, strings=1),
    "040": Model(Family.SPF, "SPF 5kW / SPF5000ES", phases=1, strings=1),
    "TJ1": Model(Family.MOD_TL3_X, "3-phase PV", phases=3),
    "DO1": Model(Family.MOD_TL3_XH, "MOD/MID 3-phase HU hybrids (DO1.0ZBDC)", phases=3, strings=3),
}
# fmt: on
