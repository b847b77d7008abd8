"""What a MATE3s says of its Modbus port on its own web page, when that port is shut.

Facts: the ``CONFIG.xml`` of a MATE3s with firmware 1.4.7, as a user has published it.
"""

from dataclasses import dataclass
import re
from typing import Final

from aiohttp import ClientError, ClientTimeout

from homeassistant.core import HomeAssistant
from homeassistant.helpers.aiohttp_client import async_get_clientsession

from ..const import LOGGER

PAGE: Final = "http://{host}/CONFIG.xml"

TIMEOUT: Final = 5.0
"""Seconds to wait for the page; it is only a hint."""

MOST_BYTES: Final = 256 * 1024
"""The page has some 30 KB; what is behind so many bytes is not read."""

_SWITCH: Final = re.compile(rb"<SunSpec>\s*(\w{1,16})\s*</SunSpec>")
_PORT: Final = re.compile(rb"<SunSpec_Port>\s*(\d{1,5})\s*</SunSpec_Port>")


@dataclass(frozen=True, slots=True, kw_only=True)
class ModbusPage:
    """Whether the gateway's Modbus is on, and the TCP port that it has."""

    is_modbus_on: bool
    port: int | None


async def async_ask_page(hass: HomeAssistant, host: str) -> ModbusPage | None:
    """Return what the gateway's page says, ``None`` if it says nothing about Modbus."""
    name = f"[{host}]" if ":" in host else host
    session = async_get_clientsession(hass)
    try:
        async with session.get(
            PAGE.format(host=name),
            timeout=ClientTimeout(total=TIMEOUT),
            allow_redirects=False,
        ) as response:
            content = b""
            async for chunk in response.content.iter_chunked(4096):
                content += chunk
                if len(content) > MOST_BYTES:
                    break
    except (TimeoutError, ClientError, ValueError) as err:
        LOGGER.debug("%s has no page that tells of Modbus: %s", host, err)
        return None
    if (switch := _SWITCH.search(content)) is None:
        return None
    port = _PORT.search(content)
    number = int(port[1]) if port else 0
    return ModbusPage(
        is_modbus_on=switch[1].lower() == b"enabled",
        port=number if 0 < number <= 0xFFFF else None,
    )
