"""Entries of gateways for tests of forms: they hold their bus, but serve nobody."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any, Final
from unittest.mock import patch

from pytest_homeassistant_custom_component.common import MockConfigEntry

from custom_components import local_solar
from custom_components.local_solar.const import (
    CONF_KIND,
    CONF_LINK,
    CONF_UNITS,
    DOMAIN,
    KIND_GATEWAY,
)
from custom_components.local_solar.modbus_link import ModbusLink
from homeassistant.components.modbus import async_get_unit
from homeassistant.config_entries import ConfigEntry, ConfigEntryState, ConfigFlowResult
from homeassistant.core import HomeAssistant
from homeassistant.data_entry_flow import FlowResultType
from tests.common import HOST

from .common import UserInput, go_on, start

LOOPBACK: Final = "127.0.0.1"

LISTENERS: Final = {
    "host": LOOPBACK,
    "port": 5020,
    "rtu_port": 0,
    "terminals": 0,
    "dongle_device": "",
    "dongle_baudrate": "115200",
}
"""What is stored of the second form if it is left as it is."""


WAYS: Final = ["gateway_tcp", "gateway_rtu_tcp", "gateway_serial"]
"""Steps that ask for a link."""


def make_gateway(
    hass: HomeAssistant,
    link: ModbusLink | None = None,
    *,
    options: dict[str, Any] | None = None,
    **changed: Any,
) -> MockConfigEntry:
    """Add the entry that the config flow makes, without setting it up."""
    link = link or ModbusLink(host=HOST)
    entry = MockConfigEntry(
        domain=DOMAIN,
        title=f"Modbus gateway ({link.address})",
        data={
            CONF_KIND: KIND_GATEWAY,
            CONF_LINK: link.to_json(),
            CONF_UNITS: [1],
            **LISTENERS,
            **changed,
        },
        options=options or {},
    )
    entry.add_to_hass(hass)
    return entry


async def set_up_gateway(
    hass: HomeAssistant, link: ModbusLink | None = None, **kwargs: Any
) -> MockConfigEntry:
    """Add the entry and set it up; to be used within ``gateways_that_only_hold_units``."""
    entry = make_gateway(hass, link, **kwargs)
    await hass.config_entries.async_setup(entry.entry_id)
    await hass.async_block_till_done()
    return entry


@contextmanager
def gateways_that_only_hold_units() -> Iterator[None]:
    """Leave out of gateways what only matters to their clients. Other entries are real."""
    set_up, unload = local_solar.async_setup_entry, local_solar.async_unload_entry

    async def set_up_entry(hass: HomeAssistant, entry: ConfigEntry) -> bool:
        if entry.data[CONF_KIND] != KIND_GATEWAY:
            return await set_up(hass, entry)
        link = ModbusLink.from_json(entry.data[CONF_LINK])
        for unit_id in entry.data[CONF_UNITS]:
            async_get_unit(hass, entry, link.params, unit_id)
        return True

    async def unload_entry(hass: HomeAssistant, entry: ConfigEntry) -> bool:
        return entry.data[CONF_KIND] == KIND_GATEWAY or await unload(hass, entry)

    with (
        patch.object(local_solar, "async_setup_entry", set_up_entry),
        patch.object(local_solar, "async_unload_entry", unload_entry),
    ):
        yield


@asynccontextmanager
async def taken(port: int) -> AsyncIterator[None]:
    """Let another program listen on a port."""
    server = await asyncio.start_server(lambda *_: None, LOOPBACK, port)
    async with server:
        yield


# -- going through the forms ----------------------------------------------------------


def filled_in(units: str = "1", *, anyway: bool = False, **fields: Any) -> UserInput:
    """Return a form as it is filled in."""
    link = fields or {"host": HOST, "port": 502}
    return {**link, "units": units, "more_options": {"set_up_anyway": anyway}}


async def open_gateway(hass: HomeAssistant, step: str) -> ConfigFlowResult:
    """Go through both menus to a form."""
    result = await go_on(hass, await start(hass), {"next_step_id": "gateway"})
    assert result["type"] is FlowResultType.MENU
    result = await go_on(hass, result, {"next_step_id": step})
    assert result["type"] is FlowResultType.FORM
    assert result["step_id"] == step
    assert not result["errors"]
    return result


async def added(
    hass: HomeAssistant, result: ConfigFlowResult, **listeners: Any
) -> MockConfigEntry:
    """Fill in the second form, or leave it as it is, and return the entry that is made."""
    assert result["type"] is FlowResultType.FORM
    assert result["step_id"] == "gateway_listeners"
    assert result["data_schema"] is not None
    untouched = result["data_schema"](listeners)
    result = await go_on(hass, result, untouched)
    assert result["type"] is FlowResultType.CREATE_ENTRY
    await hass.async_block_till_done()
    entry: MockConfigEntry = result["result"]
    assert entry.state is ConfigEntryState.LOADED
    return entry
