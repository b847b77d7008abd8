"""Steps that add or change a Hoymiles DTU."""

from collections.abc import Mapping
from typing import Any, Final

import probatio

from homeassistant.config_entries import ConfigEntry, ConfigEntryState, ConfigFlowResult
from homeassistant.const import CONF_HOST, CONF_PORT
from homeassistant.helpers.selector import TextSelector
from homeassistant.helpers.service_info.dhcp import DhcpServiceInfo
from homeassistant.util import dt as dt_util

from ..const import CONF_INVENTORY, CONF_KIND, KIND_HOYMILES, LOGGER
from ..coordinators.hoymiles import HoymilesCoordinator
from ..hoymiles.client import PORT, DtuClient
from ..hoymiles.devices import MANUFACTURER
from ..hoymiles.errors import (
    DtuError,
    EvictedError,
    FrameError,
    SilentError,
    UnreachableError,
    WrongDtuError,
)
from ..hoymiles.inventory import Inventory
from ..hoymiles.models import dtu_model
from ..hoymiles.probe import AnyInventory, async_identify
from ..hoymiles.serial_number import normalise_dtu
from .modbus_link import number
from .reconfigured import ReconfigurableFlow

HOST_NAME_PREFIX: Final = "dtubi-"
"""How integrated DTUs call themselves in the network; their serial number follows."""

ADDRESS: Final = probatio.Schema(
    {
        probatio.Required(CONF_HOST): TextSelector(),
        probatio.Required(CONF_PORT, default=PORT): number(1, 65535),
    }
)

_ERRORS: Final[Mapping[type[DtuError], str]] = {
    UnreachableError: "dtu_unreachable",
    SilentError: "dtu_silent",
    EvictedError: "dtu_busy",
    FrameError: "dtu_garbage",
}
"""What a form says about what went wrong."""


class HoymilesFlow(ReconfigurableFlow):
    """Adds a DTU, or finds one again that has moved."""

    _discovered: AnyInventory | None = None
    _address: Mapping[str, Any] = {}

    async def async_step_hoymiles(
        self, user_input: dict[str, Any] | None = None
    ) -> ConfigFlowResult:
        """Ask for the address of a DTU, and see who is there."""
        errors: dict[str, str] = {}
        placeholders: dict[str, str] = {}
        entry = self._reconfigured
        if user_input is not None:
            address = _cleaned(user_input)
            if entry is None:
                self._async_abort_entries_match({CONF_KIND: KIND_HOYMILES, **address})
            try:
                found = await self._async_identify(address, entry)
            except WrongDtuError:
                return self.async_abort(reason="wrong_dtu")
            except DtuError as err:
                LOGGER.debug("%s: %s", address[CONF_HOST], err)
                errors["base"] = _key_of(err)
                placeholders = {"address": address[CONF_HOST], "error": str(err)}
            else:
                return await self._async_finish(found, address, entry)
        suggested = user_input or (entry.data if entry is not None else {})
        return self.async_show_form(
            step_id="hoymiles",
            data_schema=self.add_suggested_values_to_schema(ADDRESS, suggested),
            errors=errors,
            description_placeholders=placeholders,
        )

    async def _async_dtu_discovered(
        self, discovery_info: DhcpServiceInfo
    ) -> ConfigFlowResult:
        """Take in an integrated DTU that has asked for an address in the network."""
        serial = discovery_info.hostname.lower().removeprefix(HOST_NAME_PREFIX)
        await self.async_set_unique_id(normalise_dtu(serial))
        # One that is known is followed to its new address, without a further connection.
        self._abort_if_unique_id_configured(updates={CONF_HOST: discovery_info.ip})
        address = {CONF_HOST: discovery_info.ip, CONF_PORT: PORT}
        try:
            found = await self._async_identify(address, None)
        except DtuError as err:
            LOGGER.debug("%s: %s", discovery_info.ip, err)
            return self.async_abort(reason="not_a_dtu")
        await self.async_set_unique_id(found.serial)
        self._abort_if_unique_id_configured(updates={CONF_HOST: discovery_info.ip})
        self._discovered, self._address = found, address
        self.context["title_placeholders"] = {"name": _title(found)}
        return await self.async_step_hoymiles_discovered()

    async def async_step_hoymiles_discovered(
        self, user_input: dict[str, Any] | None = None
    ) -> ConfigFlowResult:
        """Ask whether a DTU that was found shall be added."""
        assert self._discovered is not None
        if user_input is not None:
            return await self._async_finish(self._discovered, self._address, None)
        self._set_confirm_only()
        return self.async_show_form(
            step_id="hoymiles_discovered",
            description_placeholders={
                "device": _title(self._discovered),
                "serial": self._discovered.serial,
                "address": self._address[CONF_HOST],
            },
        )

    async def _async_identify(
        self, address: Mapping[str, Any], entry: ConfigEntry | None
    ) -> AnyInventory:
        """Ask who is there. Raises ``DtuError``."""
        client = DtuClient(address[CONF_HOST], address[CONF_PORT], dt_util.now)
        if (
            entry is not None
            and entry.state is ConfigEntryState.LOADED
            and isinstance(entry.runtime_data, HoymilesCoordinator)
            and (entry.data[CONF_HOST], entry.data[CONF_PORT])
            == (address[CONF_HOST], address[CONF_PORT])
        ):
            # A second connection would close the one of a poll that is under way.
            client = entry.runtime_data.client
        return await async_identify(client)

    async def _async_finish(
        self,
        found: AnyInventory,
        address: Mapping[str, Any],
        entry: ConfigEntry | None,
    ) -> ConfigFlowResult:
        # It may be offered at the same time, as it was discovered.
        await self.async_set_unique_id(found.serial, raise_on_progress=False)
        if entry is not None:
            self._abort_if_unique_id_mismatch(reason="wrong_dtu")
            return self.async_update_reload_and_abort(entry, data_updates=address)
        self._abort_if_unique_id_configured()
        return self.async_create_entry(
            title=_title(found),
            data={
                CONF_KIND: KIND_HOYMILES,
                **address,
                CONF_INVENTORY: found.to_json(),
            },
        )


def _cleaned(user_input: Mapping[str, Any]) -> dict[str, Any]:
    """Return an address in the one spelling that is stored."""
    return {
        CONF_HOST: user_input[CONF_HOST].strip().strip("[]").lower(),
        CONF_PORT: user_input[CONF_PORT],
    }


def _key_of(err: DtuError) -> str:
    return next(
        (key for kind, key in _ERRORS.items() if isinstance(err, kind)), "dtu_garbage"
    )


def _title(inventory: AnyInventory) -> str:
    """Return the name of an entry: the inverter's if the DTU is a part of it."""
    if isinstance(inventory, Inventory) and inventory.is_integrated:
        for inverter in inventory.inverters:
            return f"{MANUFACTURER} {inverter.model.name}"
    return f"{MANUFACTURER} {dtu_model(inventory.serial).name}"
