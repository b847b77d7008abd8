"""Names of the grid profiles: what the rules of a country ask of an inverter.

AppInfo tells id and version of the profile an inverter runs. The ids are those
OpenDTU lists; profiles it knows without the standard are named by the country.
"""

from collections.abc import Mapping
from typing import Final

# fmt: off
GRID_PROFILES: Final[Mapping[int, str]] = {
    0x0200: "US IEEE 1547",
    0x0300: "DE VDE-AR-N 4105:2018",
    0x0301: "DE VDE-AR-N 4105:2011",
    0x0A00: "EN 50549-1",
    0x0C00: "AT TOR",
    0x0D04: "FR NF EN 50549",
    0x1000: "ES RD 1699",
    0x1200: "PL EN 50438",
    0x2900: "NL",
    0x3700: "CH",
}
# fmt: on


def grid_profile(profile_id: int, version: int) -> str | None:
    """Return name and version of a grid profile, its id if it has no name here.

    An id of 0 is no profile: proto3 does not send a 0, so it is also what a device
    that says nothing about it leaves.
    """
    if not profile_id:
        return None
    name = GRID_PROFILES.get(profile_id, f"0x{profile_id & 0xFFFF_FFFF:04X}")
    if not version:
        return name
    return f"{name} {version >> 12 & 15}.{version >> 8 & 15}.{version & 255}"
