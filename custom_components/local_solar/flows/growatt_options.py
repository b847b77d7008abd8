"""Options of a Growatt inverter."""

from typing import Any, Final

import probatio

from homeassistant.config_entries import ConfigFlowResult, OptionsFlowWithReload
from homeassistant.helpers.selector import (
    BooleanSelector,
    SelectSelector,
    SelectSelectorConfig,
    SelectSelectorMode,
)

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
    WRITE_DISABLED,
)
from ..coordinators.growatt import WORK_MODES
from ..growatt.identify import Identification
from ..growatt.profiles.catalogue import PROFILES
from .modbus_link import number

MAX_SPACING: Final = 5000

ACKNOWLEDGED: Final = "acknowledged"


def _choice(*options: str, key: str) -> SelectSelector:
    return SelectSelector(
        SelectSelectorConfig(
            options=list(options),
            mode=SelectSelectorMode.DROPDOWN,
            translation_key=key,
        )
    )


READING: Final = {
    probatio.Required(CONF_SPACING, default=DEFAULT_SPACING): number(
        0, MAX_SPACING, "ms"
    ),
    probatio.Required(CONF_MAX_WORDS, default=DEFAULT_MAX_WORDS): number(
        2, DEFAULT_MAX_WORDS
    ),
    probatio.Required(CONF_PROFILE, default=AUTOMATIC): _choice(
        AUTOMATIC, *PROFILES, key="profile"
    ),
}

WRITING: Final = {
    probatio.Required(CONF_WRITE_ACCESS, default=WRITE_DISABLED): _choice(
        WRITE_DISABLED, WRITE_CONFIRM, key="write_access"
    ),
    probatio.Required(CONF_SYNC_CLOCK, default=False): BooleanSelector(),
}

WRITING_OF_HYBRIDS: Final = {
    probatio.Required(CONF_WORK_MODE, default=WORK_MODE_UNKNOWN): _choice(
        WORK_MODE_UNKNOWN, *WORK_MODES, key="work_mode"
    ),
}

ACKNOWLEDGEMENT: Final = probatio.Schema(
    {probatio.Required(ACKNOWLEDGED, default=False): BooleanSelector()}
)


class GrowattOptionsFlow(OptionsFlowWithReload):
    """How gently an inverter is read, with which register map, and whether it is changed."""

    _chosen: dict[str, Any]

    async def async_step_init(
        self, user_input: dict[str, Any] | None = None
    ) -> ConfigFlowResult:
        """Ask for the options."""
        errors: dict[str, str] = {}
        known = self.config_entry.options
        if user_input is not None:
            may_write = user_input.get(CONF_WRITE_ACCESS) == WRITE_CONFIRM
            if user_input.get(CONF_SYNC_CLOCK) and not may_write:
                errors[CONF_SYNC_CLOCK] = "needs_write_access"
            elif may_write and known.get(CONF_WRITE_ACCESS) != WRITE_CONFIRM:
                self._chosen = user_input
                return await self.async_step_acknowledge()
            else:
                return self.async_create_entry(data=user_input)
        return self.async_show_form(
            step_id="init",
            data_schema=self.add_suggested_values_to_schema(
                self._schema, user_input or known
            ),
            errors=errors,
        )

    async def async_step_acknowledge(
        self, user_input: dict[str, Any] | None = None
    ) -> ConfigFlowResult:
        """Say what can go wrong, and ask whether that is understood."""
        errors: dict[str, str] = {}
        if user_input is not None:
            if user_input[ACKNOWLEDGED]:
                return self.async_create_entry(data=self._chosen)
            errors[ACKNOWLEDGED] = "not_acknowledged"
        return self.async_show_form(
            step_id="acknowledge",
            data_schema=ACKNOWLEDGEMENT,
            errors=errors,
            description_placeholders={"device": self.config_entry.title},
        )

    @property
    def _schema(self) -> probatio.Schema:
        identified = Identification.from_json(
            self.config_entry.data[CONF_IDENTIFICATION]
        )
        fields = dict(READING)
        if identified.knows_settings:
            fields |= WRITING
            if identified.profile.startswith("min_tl_xh"):
                fields |= WRITING_OF_HYBRIDS
        return probatio.Schema(fields)
