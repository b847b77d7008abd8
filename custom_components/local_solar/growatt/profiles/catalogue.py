"""All register maps, by the key that ``models.py`` chooses and a config entry stores."""

from collections.abc import Mapping
from typing import Final

from . import min_tl_x, min_tl_xh, min_tl_xh_us, spf, tl_x_base, v3_pv
from .profile import Profile

PROFILES: Final[Mapping[str, Profile]] = {
    profile.key: profile
    for profile in (
        tl_x_base.PROFILE,
        min_tl_x.PROFILE,
        min_tl_xh.PROFILE,
        min_tl_xh_us.PROFILE,
        spf.PROFILE,
        v3_pv.PROFILE,
    )
}
