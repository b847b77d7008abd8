"""A simulated MATE3 behind a real socket, and its entry in Home Assistant."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from unittest.mock import patch

from modbus_connection import ModbusTcpParams
from modbus_connection.tmodbus import ModbusConnection, TmodbusUnit
import pytest
from pytest_homeassistant_custom_component.common import MockConfigEntry

from custom_components.local_solar.const import (
    CONF_KIND,
    CONF_LINK,
    CONF_UNIT_ID,
    CONF_WRITE_ACCESS,
    DOMAIN,
    KIND_OUTBACK,
    WRITE_CONFIRM,
)
from custom_components.local_solar.coordinators.outback import OutBackCoordinator
from custom_components.local_solar.modbus_link import ModbusLink
from custom_components.local_solar.outback.system import async_identify
from homeassistant.core import HomeAssistant
from simulators.mate3.gateway import Mate3Simulator

HOST: Final = "127.0.0.1"

CAPTURES: Final = Path(__file__).parents[2] / "shared" / "captures" / "outback"
"""Recorded dumps, which are not everywhere."""

RECORDED: Final = CAPTURES / "mate3s_dump.json"

needs_captures: Final = pytest.mark.skipif(
    not CAPTURES.is_dir(), reason="needs the recorded dumps of ../shared/captures"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reached:
    """A simulated gateway and where it is reached."""

    simulator: Mate3Simulator
    host: str
    port: int

    @property
    def link(self) -> ModbusLink:
        """The link to it."""
        return ModbusLink(host=self.host, port=self.port)


@asynccontextmanager
async def reached(
    source: Path | dict[str, int] | None = None, **kwargs: Any
) -> AsyncIterator[Reached]:
    """Run a gateway on loopback: a system of its own, a variant of it, or a dump."""
    async with Mate3Simulator(source, **kwargs) as simulator:
        port = await simulator.start_tcp(HOST)
        yield Reached(simulator=simulator, host=HOST, port=port)


def clients(there: Reached) -> int:
    """Return how many connections are open."""
    return sum(
        connection.open
        for listener in there.simulator._listeners  # noqa: SLF001
        for connection in getattr(listener, "connections", ())
    )


async def all_gone(there: Reached) -> None:
    """Wait until nobody is connected any more."""
    async with asyncio.timeout(5):
        while clients(there):
            await asyncio.sleep(0)


@asynccontextmanager
async def connected(there: Reached) -> AsyncIterator[TmodbusUnit]:
    """Connect to a gateway without Home Assistant."""
    connection = ModbusConnection(
        ModbusTcpParams(host=there.host, port=there.port), timeout=5.0
    )
    try:
        yield connection.for_unit(1)
    finally:
        await connection.close()
        # It takes one client at a time, and the next one may come at once.
        await all_gone(there)


@contextmanager
def impatient() -> Iterator[None]:
    """Leave out the pauses that real gateways need."""
    base = "custom_components.local_solar"
    with (
        patch(f"{base}.coordinators.outback.CONNECT_DELAY", 0.0),
        patch(f"{base}.coordinators.outback.MESSAGE_SPACING", 0.0),
        patch(f"{base}.flows.outback.CONNECT_DELAY", 0.0),
        patch(f"{base}.flows.outback.MESSAGE_SPACING", 0.0),
        patch(f"{base}.outback.mate3.RETRY_AFTER", 0.0),
        patch(f"{base}.outback.settings.SETTLE", (0.0,) * 3),
        patch(f"{base}.outback.settings.COMMAND_SETTLE", (0.0,) * 3),
    ):
        yield


async def make_entry(there: Reached, **options: Any) -> MockConfigEntry:
    """Return an entry as the config flow makes it."""
    async with connected(there) as unit:
        system = await async_identify(unit)
    return MockConfigEntry(
        domain=DOMAIN,
        title="OutBack",
        unique_id=system.id,
        data={
            CONF_KIND: KIND_OUTBACK,
            CONF_LINK: there.link.to_json(),
            CONF_UNIT_ID: 1,
        },
        options=options,
    )


async def set_up(
    hass: HomeAssistant, there: Reached, **options: Any
) -> MockConfigEntry:
    """Add an entry for a gateway and set it up."""
    entry = await make_entry(there, **options)
    entry.add_to_hass(hass)
    await hass.config_entries.async_setup(entry.entry_id)
    await hass.async_block_till_done()
    return entry


async def set_up_writable(
    hass: HomeAssistant, there: Reached, **options: Any
) -> MockConfigEntry:
    """Set an entry up with writing switched on."""
    return await set_up(hass, there, **{CONF_WRITE_ACCESS: WRITE_CONFIRM, **options})


def coordinator_of(entry: MockConfigEntry) -> OutBackCoordinator:
    """Return the coordinator of an entry that is set up."""
    coordinator = entry.runtime_data
    assert isinstance(coordinator, OutBackCoordinator)
    return coordinator
