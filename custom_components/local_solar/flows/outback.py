"""Steps that add or change an OutBack MATE3 or MATE3s."""

from collections.abc import Mapping
from typing import Any, Final

from modbus_connection import ModbusError
import probatio

from homeassistant.config_entries import ConfigEntry, ConfigFlowResult
from homeassistant.const import CONF_HOST, CONF_PORT
from homeassistant.data_entry_flow import section
from homeassistant.helpers.selector import TextSelector
from homeassistant.helpers.service_info.dhcp import DhcpServiceInfo

from ..const import (
    CONF_KIND,
    CONF_LINK,
    CONF_UNIT_ID,
    DEFAULT_UNIT_ID,
    KIND_OUTBACK,
    LOGGER,
)
from ..coordinators.outback import (
    CONNECT_DELAY,
    MESSAGE_SPACING,
    REQUEST_TIMEOUT,
    text_of_error,
)
from ..modbus_link import LinkProblem, ModbusLink, explain
from ..outback.errors import Mate3Error
from ..outback.system import MANUFACTURER, System, async_identify
from .mate3_page import async_ask_page
from .modbus_link import SECTION_MORE, number
from .reconfigured import ReconfigurableFlow
from .trial import FormError, needs_relink, temporary_unit

PORT: Final = 502
"""Where a gateway listens from the factory, once that is switched on."""

ADDRESS: Final = probatio.Schema(
    {
        probatio.Required(CONF_HOST): TextSelector(),
        probatio.Required(CONF_PORT, default=PORT): number(1, 65535),
        probatio.Required(SECTION_MORE): section(
            probatio.Schema(
                {
                    probatio.Required(CONF_UNIT_ID, default=DEFAULT_UNIT_ID): number(
                        0, 255
                    )
                }
            ),
            {"collapsed": True},
        ),
    }
)

_PROBLEMS: Final[Mapping[LinkProblem, str]] = {
    LinkProblem.REFUSED: "mate3_refused",
    LinkProblem.NO_ANSWER: "mate3_no_answer",
    LinkProblem.REQUEST_REFUSED: "not_a_mate3",
    LinkProblem.GARBAGE: "not_a_mate3",
}
"""What the form says about problems of which it knows more than of other devices."""


class OutBackFlow(ReconfigurableFlow):
    """Adds a gateway, or finds one again that has moved."""

    _found_system: System | None = None
    _found_at: ModbusLink | None = None

    async def async_step_outback(
        self, user_input: dict[str, Any] | None = None
    ) -> ConfigFlowResult:
        """Ask for the address of a gateway, and see what is behind it."""
        err: FormError | None = None
        entry = self._reconfigured
        if user_input is not None:
            host = user_input[CONF_HOST].strip().strip("[]").lower()
            link = ModbusLink(host=host, port=user_input[CONF_PORT])
            unit_id: int = user_input[SECTION_MORE][CONF_UNIT_ID]
            try:
                return await self._async_try(link, unit_id, entry)
            except FormError as failure:
                err = failure
        suggested = user_input or (_input_of(entry) if entry is not None else {})
        return self.async_show_form(
            step_id="outback",
            data_schema=self.add_suggested_values_to_schema(ADDRESS, suggested),
            errors={"base": err.key} if err else {},
            description_placeholders=err.placeholders if err else {},
        )

    async def _async_gateway_discovered(
        self, discovery_info: DhcpServiceInfo
    ) -> ConfigFlowResult:
        """Take in a gateway that has asked for an address in the network."""
        known = await self.async_set_unique_id(discovery_info.macaddress)
        link = ModbusLink(host=discovery_info.ip, port=PORT)
        if known is not None and known.data.get(CONF_KIND) == KIND_OUTBACK:
            port = ModbusLink.from_json(known.data[CONF_LINK]).port
            link = ModbusLink(host=discovery_info.ip, port=port)
        # One that is known is followed to its new address, without another connection.
        self._abort_if_unique_id_configured(updates={CONF_LINK: link.to_json()})
        try:
            found = await self._async_identify_gateway(link, DEFAULT_UNIT_ID)
        except FormError as err:
            LOGGER.debug("%s: %s %s", discovery_info.ip, err.key, err.placeholders)
            return self.async_abort(reason="not_a_mate3")
        await self.async_set_unique_id(found.id)
        self._abort_if_unique_id_configured(updates={CONF_LINK: link.to_json()})
        self._found_system, self._found_at = found, link
        self.context["title_placeholders"] = {"name": _title(found)}
        return await self.async_step_outback_discovered()

    async def async_step_outback_discovered(
        self, user_input: dict[str, Any] | None = None
    ) -> ConfigFlowResult:
        """Ask whether a gateway that was found shall be added."""
        assert self._found_system is not None
        assert self._found_at is not None
        if user_input is not None:
            return self._finish(self._found_system, self._found_at, DEFAULT_UNIT_ID)
        self._set_confirm_only()
        return self.async_show_form(
            step_id="outback_discovered",
            description_placeholders={
                "device": _title(self._found_system),
                "address": self._found_at.address,
                "devices": ", ".join(map(str, self._found_system.equipment)) or "-",
            },
        )

    async def _async_try(
        self, link: ModbusLink, unit_id: int, entry: ConfigEntry | None
    ) -> ConfigFlowResult:
        """Finish with the gateway that answers. Raises ``FormError``."""
        relinking = entry is not None and needs_relink(entry, link)
        if relinking and entry is not None:
            # A gateway takes one connection only.
            await self.hass.config_entries.async_unload(entry.entry_id)
        try:
            found = await self._async_identify_gateway(link, unit_id)
            await self.async_set_unique_id(found.id, raise_on_progress=False)
        finally:
            if relinking and entry is not None and self.unique_id != entry.unique_id:
                await self.hass.config_entries.async_setup(entry.entry_id)
        if entry is not None:
            self._abort_if_unique_id_mismatch(reason="wrong_mate3")
            return self.async_update_reload_and_abort(
                entry, data_updates=_data(link, unit_id)
            )
        return self._finish(found, link, unit_id)

    def _finish(
        self, found: System, link: ModbusLink, unit_id: int
    ) -> ConfigFlowResult:
        self._abort_if_unique_id_configured()
        return self.async_create_entry(title=_title(found), data=_data(link, unit_id))

    async def _async_identify_gateway(self, link: ModbusLink, unit_id: int) -> System:
        """Ask who is there. Raises ``FormError`` with what the owner can do."""
        where = {"address": link.address, "host": link.host or ""}
        async with temporary_unit(
            self.hass, link, unit_id, REQUEST_TIMEOUT, MESSAGE_SPACING, CONNECT_DELAY
        ) as unit:
            try:
                return await async_identify(unit)
            except Mate3Error as err:
                LOGGER.debug("%s: %s", link.address, err)
                raise FormError(text_of_error(err), **where, error=str(err)) from None
            except ModbusError as err:
                LOGGER.debug("%s: %s", link.address, err)
                problem = explain(err, link, connected=unit.connected)
                error = str(err)
        if problem in (LinkProblem.REFUSED, LinkProblem.CANNOT_CONNECT):
            page = await async_ask_page(self.hass, link.host or "")
            if page is not None and not page.is_modbus_on:
                raise FormError("mate3_modbus_off", **where, error=error)
            if page is not None and page.port not in (None, link.port):
                raise FormError(
                    "mate3_other_port", **where, port=str(page.port), error=error
                )
        raise FormError(_PROBLEMS.get(problem, problem), **where, error=error)


def _data(link: ModbusLink, unit_id: int) -> dict[str, Any]:
    return {
        CONF_KIND: KIND_OUTBACK,
        CONF_LINK: link.to_json(),
        CONF_UNIT_ID: unit_id,
    }


def _input_of(entry: ConfigEntry) -> dict[str, Any]:
    """Return what the form must hold to describe an entry."""
    link = ModbusLink.from_json(entry.data[CONF_LINK])
    return {
        CONF_HOST: link.host,
        CONF_PORT: link.port,
        SECTION_MORE: {CONF_UNIT_ID: entry.data[CONF_UNIT_ID]},
    }


def _title(system: System) -> str:
    return f"{MANUFACTURER} {system.model}"
