"""Options of a Growatt inverter."""

from collections.abc import Mapping
from typing import Any, Final, override

import probatio

from homeassistant.helpers.selector import BooleanSelector

from ..const import (
    AUTOMATIC,
    CONF_IDENTIFICATION,
    CONF_MAX_WORDS,
    CONF_PROFILE,
    CONF_SPACING,
    CONF_SYNC_CLOCK,
    CONF_WORK_MODE,
    CONF_WRITE_ACCESS,
    DEFAULT_MAX_WORDS,
    DEFAULT_SPACING,
    WORK_MODE_UNKNOWN,
    WRITE_CONFIRM,
)
from ..coordinators.growatt import WORK_MODES
from ..growatt.identify import Identification
from ..growatt.profiles.catalogue import PROFILES
from ..growatt.profiles.profile import Part, Profile
from .modbus_link import number
from .write_access import WRITING, WriteAccessFlow, choice

MAX_SPACING: Final = 5000

READING: Final = {
    probatio.Required(CONF_SPACING, default=DEFAULT_SPACING): number(
        0, MAX_SPACING, "ms"
    ),
    probatio.Required(CONF_MAX_WORDS, default=DEFAULT_MAX_WORDS): number(
        2, DEFAULT_MAX_WORDS
    ),
    probatio.Required(CONF_PROFILE, default=AUTOMATIC): choice(
        AUTOMATIC, *PROFILES, key="profile"
    ),
}

CLOCK: Final = {
    probatio.Required(CONF_SYNC_CLOCK, default=False): BooleanSelector(),
}

WRITING_OF_HYBRIDS: Final = {
    probatio.Required(CONF_WORK_MODE, default=WORK_MODE_UNKNOWN): choice(
        WORK_MODE_UNKNOWN, *WORK_MODES, key="work_mode"
    ),
}


class GrowattOptionsFlow(WriteAccessFlow):
    """How gently an inverter is read, with which register map, and whether it is changed."""

    @override
    def _errors(self, user_input: Mapping[str, Any]) -> dict[str, str]:
        may_write = user_input.get(CONF_WRITE_ACCESS) == WRITE_CONFIRM
        if user_input.get(CONF_SYNC_CLOCK) and not may_write:
            return {CONF_SYNC_CLOCK: "needs_write_access"}
        return {}

    @property
    @override
    def _schema(self) -> probatio.Schema:
        identified = Identification.from_json(
            self.config_entry.data[CONF_IDENTIFICATION]
        )
        fields = dict(READING)
        if identified.knows_settings:
            fields |= {**WRITING, **CLOCK}
            if _has_work_mode(PROFILES[identified.profile]):
                fields |= WRITING_OF_HYBRIDS
        return probatio.Schema(fields)


def _has_work_mode(profile: Profile) -> bool:
    """Return whether a map has the register whose meaning only the owner knows."""
    return any(section.part is Part.PRIORITY_MODE for section in profile.sections)
