"""Config flow: what to add. The steps of each family live in ``flows/``."""

from collections.abc import Callable, Mapping
from typing import Any, Final, override

from homeassistant.config_entries import ConfigEntry, ConfigFlowResult, OptionsFlow
from homeassistant.core import callback
from homeassistant.helpers.service_info.dhcp import DhcpServiceInfo

from .const import (
    CONF_KIND,
    DOMAIN,
    KIND_DATALOGGER,
    KIND_GATEWAY,
    KIND_GROWATT,
    KIND_HOYMILES,
    KIND_OUTBACK,
)
from .flows.datalogger import DataloggerFlow
from .flows.datalogger_options import DataloggerOptionsFlow
from .flows.gateway import GatewayFlow
from .flows.gateway_options import GatewayOptionsFlow
from .flows.growatt import GrowattFlow
from .flows.growatt_options import GrowattOptionsFlow
from .flows.hoymiles import HOST_NAME_PREFIX, HoymilesFlow
from .flows.hoymiles_options import HoymilesOptionsFlow
from .flows.outback import OutBackFlow
from .flows.outback_options import OutBackOptionsFlow

OPTIONS: Final[Mapping[str, Callable[[], OptionsFlow]]] = {
    KIND_GROWATT: GrowattOptionsFlow,
    KIND_DATALOGGER: DataloggerOptionsFlow,
    KIND_HOYMILES: HoymilesOptionsFlow,
    KIND_OUTBACK: OutBackOptionsFlow,
    KIND_GATEWAY: GatewayOptionsFlow,
}


class LocalSolarConfigFlow(
    GrowattFlow, DataloggerFlow, HoymilesFlow, OutBackFlow, GatewayFlow, domain=DOMAIN
):
    """Adds and changes entries."""

    VERSION = 1
    MINOR_VERSION = 1

    @override
    async def async_step_user(
        self, user_input: dict[str, Any] | None = None
    ) -> ConfigFlowResult:
        """Ask what to add."""
        return self.async_show_menu(
            step_id="user",
            menu_options=[
                *self._growatt_menu(),
                "datalogger",
                "hoymiles",
                "outback",
                "gateway",
            ],
        )

    async def async_step_reconfigure(
        self, user_input: dict[str, Any] | None = None
    ) -> ConfigFlowResult:
        """Ask how the same device is reached now."""
        kind = self._get_reconfigure_entry().data[CONF_KIND]
        if kind == KIND_DATALOGGER:
            return await self.async_step_datalogger()
        if kind == KIND_HOYMILES:
            return await self.async_step_hoymiles()
        if kind == KIND_OUTBACK:
            return await self.async_step_outback()
        if kind == KIND_GATEWAY:
            return await self.async_step_gateway_reconfigure()
        return self.async_show_menu(
            step_id="reconfigure", menu_options=self._growatt_menu()
        )

    @override
    async def async_step_dhcp(
        self, discovery_info: DhcpServiceInfo
    ) -> ConfigFlowResult:
        """A device has asked for an address in the network."""
        if discovery_info.hostname.lower().startswith(HOST_NAME_PREFIX):
            return await self._async_dtu_discovered(discovery_info)
        return await self._async_gateway_discovered(discovery_info)

    @staticmethod
    @callback
    @override
    def async_get_options_flow(config_entry: ConfigEntry) -> OptionsFlow:
        """Return the options of an entry's kind."""
        return OPTIONS[config_entry.data[CONF_KIND]]()
