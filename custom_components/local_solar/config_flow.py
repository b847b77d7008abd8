"""Config flow: what to add. The steps of each family live in ``flows/``."""

from typing import Any, override

from homeassistant.config_entries import ConfigEntry, ConfigFlowResult, OptionsFlow
from homeassistant.core import callback

from .const import DOMAIN
from .flows.growatt import GrowattFlow
from .flows.growatt_options import GrowattOptionsFlow


class LocalSolarConfigFlow(GrowattFlow, domain=DOMAIN):
    """Adds and changes entries."""

    VERSION = 1
    MINOR_VERSION = 1

    @override
    async def async_step_user(
        self, user_input: dict[str, Any] | None = None
    ) -> ConfigFlowResult:
        """Ask what to add."""
        return self.async_show_menu(step_id="user", menu_options=self._growatt_menu())

    async def async_step_reconfigure(
        self, user_input: dict[str, Any] | None = None
    ) -> ConfigFlowResult:
        """Ask how the same device is reached now."""
        return self.async_show_menu(
            step_id="reconfigure", menu_options=self._growatt_menu()
        )

    @staticmethod
    @callback
    @override
    def async_get_options_flow(config_entry: ConfigEntry) -> OptionsFlow:
        """Return the options of an entry's kind."""
        return GrowattOptionsFlow()
