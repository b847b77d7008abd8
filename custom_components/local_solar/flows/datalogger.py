"""Steps that add or change a listener for Growatt dataloggers."""

from collections.abc import Mapping
import re
from typing import Any, Final

import probatio

from homeassistant.config_entries import ConfigEntry, ConfigFlowResult
from homeassistant.const import CONF_HOST, CONF_PORT
from homeassistant.data_entry_flow import section
from homeassistant.helpers.selector import TextSelector, TextSelectorConfig

from ..const import (
    CONF_ALLOWED,
    CONF_CLOUD_HOST,
    CONF_CLOUD_PORT,
    CONF_INVENTORY,
    CONF_KIND,
    CONF_MODE,
    KIND_DATALOGGER,
    MODE_STAND_ALONE,
    MODE_WITH_CLOUD,
)
from ..growatt.datalogger.server import PORT
from .listening import LOOPBACK, async_address_selector, async_try_listening, own_ports
from .modbus_link import SECTION_MORE, number
from .reconfigured import ReconfigurableFlow
from .trial import FormError
from .write_access import choice

CLOUD_HOST: Final = "server.growatt.com"
"""Of the region Europe; there are others for America, China and Australia."""

TITLE: Final = "Growatt datalogger server"

_SERIAL: Final = re.compile(r"[0-9A-Z]{6,30}")

MORE: Final = probatio.Schema(
    {
        probatio.Required(CONF_CLOUD_HOST, default=CLOUD_HOST): TextSelector(),
        probatio.Required(CONF_CLOUD_PORT, default=PORT): number(1, 65535),
        probatio.Required(CONF_ALLOWED, default=list): TextSelector(
            TextSelectorConfig(multiple=True)
        ),
    }
)


class DataloggerFlow(ReconfigurableFlow):
    """Adds a listener, or has one listen elsewhere."""

    async def async_step_datalogger(
        self, user_input: dict[str, Any] | None = None
    ) -> ConfigFlowResult:
        """Ask where to listen, and see whether that can be."""
        err: FormError | None = None
        entry = self._reconfigured
        if user_input is not None:
            data = _cleaned(user_input)
            address = {CONF_HOST: data[CONF_HOST], CONF_PORT: data[CONF_PORT]}
            if entry is None:
                self._async_abort_entries_match({CONF_KIND: KIND_DATALOGGER, **address})
            try:
                _check(data)
                await async_try_listening(
                    data[CONF_HOST], data[CONF_PORT], own_ports(entry, CONF_PORT)
                )
                return await self._async_finish_datalogger(data, entry)
            except FormError as failure:
                err = failure
        suggested = user_input or (_as_input(entry.data) if entry is not None else {})
        return self.async_show_form(
            step_id="datalogger",
            data_schema=self.add_suggested_values_to_schema(
                await self._schema(), suggested
            ),
            errors={"base": err.key} if err else {},
            description_placeholders=err.placeholders if err else {},
        )

    async def _schema(self) -> probatio.Schema:
        return probatio.Schema(
            {
                probatio.Required(CONF_HOST): await async_address_selector(self.hass),
                probatio.Required(CONF_PORT, default=PORT): number(1, 65535),
                probatio.Required(CONF_MODE): choice(
                    MODE_WITH_CLOUD, MODE_STAND_ALONE, key="datalogger_mode"
                ),
                probatio.Required(SECTION_MORE): section(MORE, {"collapsed": True}),
            }
        )

    async def _async_finish_datalogger(
        self, data: Mapping[str, Any], entry: ConfigEntry | None
    ) -> ConfigFlowResult:
        if entry is not None:
            return self.async_update_reload_and_abort(entry, data_updates=data)
        return self.async_create_entry(
            title=TITLE,
            data={CONF_KIND: KIND_DATALOGGER, **data, CONF_INVENTORY: {}},
        )


def _cleaned(user_input: Mapping[str, Any]) -> dict[str, Any]:
    """Return what is stored of a form."""
    more = user_input[SECTION_MORE]
    return {
        CONF_HOST: user_input[CONF_HOST].strip(),
        CONF_PORT: user_input[CONF_PORT],
        CONF_MODE: user_input[CONF_MODE],
        CONF_CLOUD_HOST: more[CONF_CLOUD_HOST].strip().lower(),
        CONF_CLOUD_PORT: more[CONF_CLOUD_PORT],
        CONF_ALLOWED: [serial.strip().upper() for serial in more[CONF_ALLOWED]],
    }


def _as_input(data: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a form is filled in with to give what is stored."""
    more = (CONF_CLOUD_HOST, CONF_CLOUD_PORT, CONF_ALLOWED)
    return {
        **{key: data[key] for key in (CONF_HOST, CONF_PORT, CONF_MODE)},
        SECTION_MORE: {key: data[key] for key in more},
    }


def _check(data: Mapping[str, Any]) -> None:
    """Raise ``FormError`` if something is wrong with what was filled in."""
    if not all(_SERIAL.fullmatch(serial) for serial in data[CONF_ALLOWED]):
        raise FormError("no_datalogger_serial")
    if data[CONF_MODE] == MODE_WITH_CLOUD and (
        data[CONF_CLOUD_HOST] in (data[CONF_HOST], LOOPBACK, "localhost", "")
        and data[CONF_CLOUD_PORT] == data[CONF_PORT]
    ):
        raise FormError("cloud_is_here")
