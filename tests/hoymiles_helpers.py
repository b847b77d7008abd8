"""A simulated DTU behind a real socket, and its entry in Home Assistant."""

from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractContextManager, asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from unittest.mock import patch

from pytest_homeassistant_custom_component.common import MockConfigEntry

from custom_components.local_solar.const import (
    CONF_INVENTORY,
    CONF_KIND,
    CONF_WRITE_ACCESS,
    DOMAIN,
    KIND_HOYMILES,
    WRITE_CONFIRM,
)
from custom_components.local_solar.coordinators.hoymiles import HoymilesCoordinator
from custom_components.local_solar.hoymiles.client import DtuClient
from custom_components.local_solar.hoymiles.dtu import Dtu
from custom_components.local_solar.hoymiles.probe import async_identify
from homeassistant.core import HomeAssistant
from homeassistant.util import dt as dt_util
from simulators.clock import SimulatedClock
from simulators.hoymiles.dtu import SimulatedDtu
from simulators.hoymiles.server import running_dtu

NOON: Final = datetime(2026, 6, 21, 13)
"""The sun stands high, and no report to the cloud is near."""

INTEGRATED: Final = "hms-800w-2t"
STICK: Final = "stick-3"
STORAGE: Final = "storage"


@dataclass(frozen=True, slots=True, kw_only=True)
class Reached:
    """A simulated DTU and where it is reached."""

    dtu: SimulatedDtu
    host: str
    port: int


@asynccontextmanager
async def reached(
    inventory: str = INTEGRATED, at: datetime = NOON, **kwargs: Any
) -> AsyncIterator[Reached]:
    """Run a DTU whose values are those of now and whose commands are done at once."""
    clock = SimulatedClock(at, 0)
    dtu = SimulatedDtu(inventory, clock=clock, refresh=0, command_time=0, **kwargs)
    async with running_dtu(dtu, port=0) as address:
        yield Reached(dtu=dtu, host=address.host, port=address.port)


def impatient() -> AbstractContextManager[object]:
    """Wait for an answer that does not come no longer than a test can."""
    return patch("custom_components.local_solar.hoymiles.client.REQUEST_TIMEOUT", 0.5)


async def make_entry(
    there: Reached, options: Mapping[str, Any] | None = None
) -> MockConfigEntry:
    """Return an entry as the config flow makes it."""
    client = DtuClient(there.host, there.port, dt_util.now)
    inventory = await async_identify(client)
    return MockConfigEntry(
        domain=DOMAIN,
        title="Hoymiles",
        unique_id=inventory.serial,
        data={
            CONF_KIND: KIND_HOYMILES,
            "host": there.host,
            "port": there.port,
            CONF_INVENTORY: inventory.to_json(),
        },
        options=dict(options or {}),
    )


async def set_up(
    hass: HomeAssistant, there: Reached, **options: Any
) -> MockConfigEntry:
    """Add an entry for a DTU and set it up."""
    entry = await make_entry(there, options)
    entry.add_to_hass(hass)
    await hass.config_entries.async_setup(entry.entry_id)
    await hass.async_block_till_done()
    return entry


async def set_up_writable(hass: HomeAssistant, there: Reached) -> MockConfigEntry:
    """Set an entry up with writing switched on."""
    return await set_up(hass, there, **{CONF_WRITE_ACCESS: WRITE_CONFIRM})


def coordinator_of(entry: MockConfigEntry) -> HoymilesCoordinator:
    """Return the coordinator of an entry that is set up."""
    coordinator = entry.runtime_data
    assert isinstance(coordinator, HoymilesCoordinator)
    return coordinator


def dtu_of(entry: MockConfigEntry) -> Dtu:
    """Return the driver of an entry with microinverters that is set up."""
    dtu = coordinator_of(entry).dtu
    assert isinstance(dtu, Dtu)
    return dtu
