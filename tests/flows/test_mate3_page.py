"""What the page of a MATE3s tells of its Modbus port, whatever web servers do."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from typing import Any, Final
from unittest.mock import patch

import pytest

from custom_components.local_solar.flows import mate3_page
from custom_components.local_solar.flows.mate3_page import ModbusPage, async_ask_page
from homeassistant.core import HomeAssistant

HOST: Final = "127.0.0.1"

type Answer = Callable[[asyncio.StreamWriter], Coroutine[Any, Any, None]]

pytestmark = pytest.mark.usefixtures("socket_enabled")


@asynccontextmanager
async def serving(answer: Answer) -> AsyncIterator[list[str]]:
    """Run a web server on loopback; what it is asked for is noted."""
    asked: list[str] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            head = await reader.readuntil(b"\r\n\r\n")
            asked.append(head.decode().partition("\r\n")[0])
            await answer(writer)
        writer.close()

    server = await asyncio.start_server(serve, HOST, 0)
    try:
        port = server.sockets[0].getsockname()[1]
        with (
            patch.object(mate3_page, "PAGE", f"http://{{host}}:{port}/CONFIG.xml"),
            patch.object(mate3_page, "TIMEOUT", 0.5),
        ):
            yield asked
    finally:
        server.close()
        server.close_clients()


def page(content: bytes, *headers: str, status: str = "200 OK") -> Answer:
    """Return a server's answer."""

    async def answer(writer: asyncio.StreamWriter) -> None:
        head = [f"HTTP/1.1 {status}", f"Content-Length: {len(content)}", *headers]
        writer.write("\r\n".join([*head, "", ""]).encode() + content)
        await writer.drain()

    return answer


def raw(content: bytes) -> Answer:
    """Return what is no HTTP."""

    async def answer(writer: asyncio.StreamWriter) -> None:
        writer.write(content)
        await writer.drain()

    return answer


def config(
    state: str, port: str = "<SunSpec_Port>502</SunSpec_Port>", more: str = ""
) -> bytes:
    """Return a page in the form of a MATE3s."""
    return f"<System_Config>{more}<SunSpec>{state}</SunSpec>{port}</System>".encode()


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (config("Disabled"), ModbusPage(is_modbus_on=False, port=502)),
        (config("Enabled"), ModbusPage(is_modbus_on=True, port=502)),
        (config("ENABLED"), ModbusPage(is_modbus_on=True, port=502)),
        (config(" Enabled\r\n "), ModbusPage(is_modbus_on=True, port=502)),
        (config("Enabled", ""), ModbusPage(is_modbus_on=True, port=None)),
        (
            config("Enabled", "<SunSpec_Port>\n1502 </SunSpec_Port>"),
            ModbusPage(is_modbus_on=True, port=1502),
        ),
        (
            config("Enabled", "<SunSpec_Port>none</SunSpec_Port>"),
            ModbusPage(is_modbus_on=True, port=None),
        ),
        # In whatever encoding the owner's name of the system is.
        (
            config("Disabled").replace(b"<System_Config>", b"<\xff\xfe\x00\x80>"),
            ModbusPage(is_modbus_on=False, port=502),
        ),
        (b"", None),
        (b"<html><body>Login</body></html>", None),
        (b"<SunSpec></SunSpec>", None),
        (b"<SunSpec>Enabled", None),
        (bytes(range(256)) * 8, None),
    ],
)
async def test_page_is_read(
    hass: HomeAssistant, content: bytes, found: ModbusPage | None
) -> None:
    async with serving(page(content)) as asked:
        assert await async_ask_page(hass, HOST) == found
    assert asked == ["GET /CONFIG.xml HTTP/1.1"]


async def test_only_the_beginning_of_a_huge_page_is_read(hass: HomeAssistant) -> None:
    sent = 0

    async def answer(writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n" + config("Disabled"))
        with suppress(ConnectionError):
            while sent < 512 * mate3_page.MOST_BYTES:
                writer.write(b" " * 65536)
                sent += 65536
                await writer.drain()

    async with serving(answer):
        found = await async_ask_page(hass, HOST)
    assert found == ModbusPage(is_modbus_on=False, port=502)
    assert sent < 512 * mate3_page.MOST_BYTES


async def test_what_stands_far_behind_is_not_waited_for(hass: HomeAssistant) -> None:
    content = b" " * (mate3_page.MOST_BYTES + 8192) + config("Disabled")
    async with serving(page(content)):
        assert await async_ask_page(hass, HOST) is None


async def test_page_that_never_ends_is_given_up(hass: HomeAssistant) -> None:
    gone = asyncio.Event()

    async def answer(writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\n")
        await gone.wait()

    async with serving(answer):
        assert await async_ask_page(hass, HOST) is None
        gone.set()


@pytest.mark.parametrize(
    "answer",
    [
        raw(b""),
        raw(b"\0\1\0\0\0\3\1\x83\2"),
        raw(b"220 ftp ready\r\n"),
        raw(b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n<SunSpec>"),
        page(b"not compressed", "Content-Encoding: gzip"),
        page(b"", "Location: http://127.0.0.1:9/", status="302 Found"),
    ],
    ids=["closes", "modbus", "ftp", "breaks_off", "bad_gzip", "redirect"],
)
async def test_other_servers_have_no_such_page(
    hass: HomeAssistant, answer: Answer
) -> None:
    async with serving(answer) as asked:
        assert await async_ask_page(hass, HOST) is None
        # A redirect to somewhere else is not followed.
        assert set(asked) == {"GET /CONFIG.xml HTTP/1.1"}


@pytest.mark.parametrize("host", ["", "[", "user@:1/#?"])
async def test_hosts_that_make_no_address_have_no_page(
    hass: HomeAssistant, host: str
) -> None:
    async with serving(page(b"")):
        assert await async_ask_page(hass, host) is None


async def test_nobody_there_has_no_page(hass: HomeAssistant) -> None:
    async with serving(page(b"")):
        pass
    with patch.object(mate3_page, "PAGE", "http://{host}:1/CONFIG.xml"):
        assert await async_ask_page(hass, HOST) is None


async def test_page_is_asked_for_where_gateways_have_it() -> None:
    assert mate3_page.PAGE.format(host="mate3.lan") == "http://mate3.lan/CONFIG.xml"
