"""Where to listen: choosing an address of this computer, and seeing whether it can be had."""

import asyncio
from collections.abc import Collection
from typing import Final

from homeassistant.components.network import async_get_adapters
from homeassistant.config_entries import ConfigEntry, ConfigEntryState
from homeassistant.core import HomeAssistant
from homeassistant.helpers.selector import (
    SelectOptionDict,
    SelectSelector,
    SelectSelectorConfig,
    SelectSelectorMode,
)

from ..guarded import why_not
from .trial import FormError

LOOPBACK: Final = "127.0.0.1"
EVERYWHERE: Final = "0.0.0.0"
ANY_PORT: Final = 0


async def async_address_selector(
    hass: HomeAssistant, *, loopback_first: bool = False
) -> SelectSelector:
    """Return a drop-down of the addresses that this computer has.

    Those in the network come first, or the one that no other computer reaches.
    """
    found = [
        SelectOptionDict(
            value=address["address"],
            label=f"{address['address']} ({adapter['name']})",
        )
        for adapter in await async_get_adapters(hass)
        if adapter["enabled"]
        for address in adapter["ipv4"]
        if address["address"] != LOOPBACK
    ]
    here = SelectOptionDict(value=LOOPBACK, label=f"{LOOPBACK} (this computer only)")
    return SelectSelector(
        SelectSelectorConfig(
            options=[
                *([here, *found] if loopback_first else [*found, here]),
                SelectOptionDict(
                    value=EVERYWHERE, label=f"{EVERYWHERE} (all networks)"
                ),
            ],
            custom_value=True,
            mode=SelectSelectorMode.DROPDOWN,
        )
    )


def own_ports(entry: ConfigEntry | None, *keys: str) -> frozenset[int]:
    """Return the ports that an entry holds now, by the names that it stores them under."""
    if entry is None or entry.state is not ConfigEntryState.LOADED:
        return frozenset()
    return frozenset(entry.data[key] for key in keys)


async def async_try_listening(
    host: str, port: int, own: Collection[int] = frozenset()
) -> None:
    """Listen for a moment. Raises ``FormError`` if that cannot be.

    A port of the entry that is changed (``own``) cannot be tried, as the entry holds it:
    any that is free shows whether the address is one of this computer.
    """
    try:
        await _async_listen(host, ANY_PORT if port in own else port)
    except OSError as err:
        raise FormError(
            "cannot_listen", address=f"{host}:{port}", error=why_not(err)
        ) from None


async def _async_listen(host: str, port: int) -> None:
    if not host:
        # It would be taken for all addresses.
        raise OSError(0, "no address is given")
    try:
        server = await asyncio.get_running_loop().create_server(
            asyncio.Protocol, host, port
        )
    except UnicodeError as err:
        raise OSError(0, "that is no address") from err
    server.close()
    await server.wait_closed()
