"""All register maps, by the key that ``models.py`` chooses and a config entry stores."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import cache
from itertools import chain
from typing import Final

from ...modbus.image import Space
from ...modbus.register import Register
from . import (
    max_tl3,
    min_tl_x,
    min_tl_xh,
    min_tl_xh_us,
    mod_tl3_x,
    mod_tl3_xh,
    spa,
    spf,
    sph,
    sph_tl3,
    tl_x_base,
    v3_pv,
    wit,
)
from .profile import Profile
from .vpp import GROUPS, OVERLAY

PROFILES: Final[Mapping[str, Profile]] = {
    profile.key: profile
    for profile in (
        v3_pv.PROFILE,
        tl_x_base.PROFILE,
        min_tl_x.PROFILE,
        min_tl_xh.PROFILE,
        min_tl_xh_us.PROFILE,
        mod_tl3_x.PROFILE,
        mod_tl3_xh.PROFILE,
        sph.PROFILE,
        sph_tl3.PROFILE,
        spa.PROFILE,
        spf.PROFILE,
        max_tl3.PROFILE,
        wit.PROFILE,
    )
}


def with_vpp(profile: Profile) -> Profile:
    """Return a map with the registers of the VPP protocol laid over it.

    Raises ``ValueError`` if the family must not be asked for these: off-grid models reset.
    """
    return replace(
        profile,
        sections=(*profile.sections, *OVERLAY),
        groups={
            space: tuple(sorted((*profile.groups.get(space, ()), *GROUPS[space])))
            for space in Space
        },
    )


@cache
def profile_of(key: str, *, vpp: bool) -> Profile:
    """Return the map of a key, with what the VPP protocol adds if an inverter speaks it.

    Raises ``KeyError`` if there is none, ``ValueError`` as ``with_vpp`` does.
    """
    return with_vpp(PROFILES[key]) if vpp else PROFILES[key]


def every_row() -> Iterator[Register]:
    """Go through the rows of all maps, and of what is laid over them."""
    return chain(*PROFILES.values(), *(section.rows for section in OVERLAY))
