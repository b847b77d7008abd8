"""A gateway in Home Assistant, and outside clients of it."""

import asyncio
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractAsyncContextManager
import socket
from typing import Any, Final

from pymodbus import FramerType
from pymodbus.client import AsyncModbusTcpClient
from pymodbus.pdu import ModbusPDU
from pytest_homeassistant_custom_component.common import MockConfigEntry

from custom_components.local_solar.const import (
    CONF_DONGLE_BAUDRATE,
    CONF_DONGLE_DEVICE,
    CONF_KIND,
    CONF_LINK,
    CONF_RTU_PORT,
    CONF_TERMINALS,
    CONF_UNITS,
    CONF_WRITE_ACCESS,
    DOMAIN,
    KIND_GATEWAY,
    WRITE_CONFIRM,
)
from custom_components.local_solar.coordinators.gateway import GatewayCoordinator
from custom_components.local_solar.coordinators.gateway_listeners import TCP
from custom_components.local_solar.gateway.server import Server
from custom_components.local_solar.modbus_link import ModbusLink
from homeassistant.core import HomeAssistant, State
from homeassistant.helpers import device_registry as dr, entity_registry as er

from .common import HOST as LINK_HOST
from .simulators.clients import tcp_client

HOST: Final = "127.0.0.1"
TITLE: Final = "Modbus gateway"
TIMEOUT: Final = 10.0

WRITERS: Final[Mapping[str, Any]] = {
    CONF_WRITE_ACCESS: WRITE_CONFIRM,
    "writers": [HOST],
}
"""Options with which all clients of these tests may write."""


def make_entry(
    *,
    link: ModbusLink | None = None,
    host: str = HOST,
    port: int = 0,
    units: Iterable[int] = (1,),
    options: Mapping[str, Any] | None = None,
    **data: object,
) -> MockConfigEntry:
    """Return an entry as the config flow makes it, on any free port."""
    return MockConfigEntry(
        domain=DOMAIN,
        title=TITLE,
        data={
            CONF_KIND: KIND_GATEWAY,
            CONF_LINK: (link or ModbusLink(host=LINK_HOST)).to_json(),
            "host": host,
            "port": port,
            CONF_RTU_PORT: 0,
            CONF_DONGLE_DEVICE: "",
            CONF_DONGLE_BAUDRATE: "115200",
            CONF_TERMINALS: 0,
            CONF_UNITS: [*units],
            **data,
        },
        options=dict(options or {}),
    )


async def set_up(
    hass: HomeAssistant, entry: MockConfigEntry | None = None, **kwargs: Any
) -> MockConfigEntry:
    """Set a gateway up, and let it find out what its units are."""
    entry = entry or make_entry(**kwargs)
    entry.add_to_hass(hass)
    await hass.config_entries.async_setup(entry.entry_id)
    await hass.async_block_till_done(wait_background_tasks=True)
    return entry


def coordinator_of(entry: MockConfigEntry) -> GatewayCoordinator:
    """Return the coordinator of an entry that is set up."""
    coordinator = entry.runtime_data
    assert isinstance(coordinator, GatewayCoordinator)
    return coordinator


async def poll(hass: HomeAssistant, entry: MockConfigEntry) -> None:
    """Poll now, and let what follows from that happen."""
    await coordinator_of(entry).async_refresh()
    await hass.async_block_till_done(wait_background_tasks=True)


def port_of(entry: MockConfigEntry, name: str = TCP) -> int:
    """Return the port on which clients are expected."""
    (server,) = (
        listener.opened
        for listener in coordinator_of(entry).listeners.listeners
        if listener.name == name
    )
    assert isinstance(server, Server)
    return server.port


def client_of(
    entry: MockConfigEntry, name: str = TCP, framer: FramerType = FramerType.SOCKET
) -> AbstractAsyncContextManager[AsyncModbusTcpClient]:
    """Connect an outside client."""
    return tcp_client(port_of(entry, name), framer)


def exception_of(answer: ModbusPDU) -> int | None:
    """Return the exception code of an answer, ``None`` if it is none."""
    return answer.exception_code if answer.isError() else None


async def soon(is_true: Callable[[], object]) -> None:
    """Wait until something is true that nobody tells of."""
    async with asyncio.timeout(TIMEOUT):
        while not is_true():
            await asyncio.sleep(0.001)


def take_port() -> socket.socket:
    """Return a socket that listens on a port of its own."""
    taken = socket.socket()
    taken.bind((HOST, 0))
    taken.listen()
    return taken


def free_port() -> int:
    """Return a port on which nobody listens."""
    with take_port() as taken:
        return int(taken.getsockname()[1])


# -- what the owner sees --------------------------------------------------------------


def device_of(hass: HomeAssistant, entry: MockConfigEntry) -> dr.DeviceEntry:
    """Return the device of a gateway."""
    name = f"gateway_{entry.entry_id}"
    device = dr.async_get(hass).async_get_device_by_identifier(
        (DOMAIN, name), entry.entry_id
    )
    assert device is not None
    return device


def state_of(hass: HomeAssistant, entry: MockConfigEntry, key: str) -> State:
    """Return the state of a point's entity."""
    (entity_id,) = (
        entity.entity_id
        for entity in er.async_entries_for_config_entry(
            er.async_get(hass), entry.entry_id
        )
        if entity.unique_id == f"gateway_{entry.entry_id}_{key}"
    )
    state = hass.states.get(entity_id)
    assert state is not None
    return state
