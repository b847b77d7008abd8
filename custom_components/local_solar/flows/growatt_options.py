"""Options of a Growatt inverter."""

from typing import Any, Final

import probatio

from homeassistant.config_entries import ConfigFlowResult, OptionsFlowWithReload
from homeassistant.helpers.selector import (
    SelectSelector,
    SelectSelectorConfig,
    SelectSelectorMode,
)

from ..const import (
    AUTOMATIC,
    CONF_MAX_WORDS,
    CONF_PROFILE,
    CONF_SPACING,
    DEFAULT_MAX_WORDS,
    DEFAULT_SPACING,
)
from ..growatt.profiles.catalogue import PROFILES
from .modbus_link import number

MAX_SPACING: Final = 5000

OPTIONS: Final = probatio.Schema(
    {
        probatio.Required(CONF_SPACING, default=DEFAULT_SPACING): number(
            0, MAX_SPACING, "ms"
        ),
        probatio.Required(CONF_MAX_WORDS, default=DEFAULT_MAX_WORDS): number(
            2, DEFAULT_MAX_WORDS
        ),
        probatio.Required(CONF_PROFILE, default=AUTOMATIC): SelectSelector(
            SelectSelectorConfig(
                options=[AUTOMATIC, *PROFILES],
                mode=SelectSelectorMode.DROPDOWN,
                translation_key="profile",
            )
        ),
    }
)


class GrowattOptionsFlow(OptionsFlowWithReload):
    """How gently an inverter is read, and with which register map."""

    async def async_step_init(
        self, user_input: dict[str, Any] | None = None
    ) -> ConfigFlowResult:
        """Ask for the options."""
        if user_input is not None:
            return self.async_create_entry(data=user_input)
        return self.async_show_form(
            step_id="init",
            data_schema=self.add_suggested_values_to_schema(
                OPTIONS, self.config_entry.options
            ),
        )
