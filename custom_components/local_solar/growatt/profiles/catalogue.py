"""All register maps, by the key that ``models.py`` chooses and a config entry stores."""

from collections.abc import Mapping
from typing import Final

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
