"""Config flow: what to add. The steps of each family live in ``flows/``."""

from collections.abc import Callable, Mapping
from typing import Any, Final, override

from homeassistant.config_entries import ConfigEntry, ConfigFlowResult, OptionsFlow
from homeassistant.core import callback

from .const import CONF_KIND, DOMAIN, KIND_GROWATT, KIND_HOYMILES
from .flows.growatt import GrowattFlow
from .flows.growatt_options import GrowattOptionsFlow
from .flows.hoymiles import HoymilesFlow
from .flows.hoymiles_options import HoymilesOptionsFlow

OPTIONS: Final[Mapping[str, Callable[[], OptionsFlow]]] = {
    KIND_GROWATT: GrowattOptionsFlow,
    KIND_HOYMILES: HoymilesOptionsFlow,
}


class LocalSolarConfigFlow(GrowattFlow, HoymilesFlow, domain=DOMAIN):
    """Adds and changes entries."""

    VERSION = 1
    MINOR_VERSION = 1

    @override
    async def async_step_user(
        self, user_input: dict[str, Any] | None = None
    ) -> ConfigFlowResult:
        """Ask what to add."""
        return self.async_show_menu(
            step_id="user", menu_options=[*self._growatt_menu(), "hoymiles"]
        )

    async def async_step_reconfigure(
        self, user_input: dict[str, Any] | None = None
    ) -> ConfigFlowResult:
        """Ask how the same device is reached now."""
        if self._get_reconfigure_entry().data[CONF_KIND] == KIND_HOYMILES:
            return await self.async_step_hoymiles()
        return self.async_show_menu(
            step_id="reconfigure", menu_options=self._growatt_menu()
        )

    @staticmethod
    @callback
    @override
    def async_get_options_flow(config_entry: ConfigEntry) -> OptionsFlow:
        """Return the options of an entry's kind."""
        return OPTIONS[config_entry.data[CONF_KIND]]()
