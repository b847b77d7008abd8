"""A simulated Growatt inverter in Home Assistant: added as an owner does, seen by two clients.

What Home Assistant shows is held against what pymodbus reads from the same simulator, so
that no mistake in the integration's own decoding can hide on both sides.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Final, override

from pymodbus.client import AsyncModbusTcpClient

from custom_components.local_solar.const import (
    CONF_IDENTIFICATION,
    CONF_WRITE_ACCESS,
    WRITE_CONFIRM,
)
from homeassistant.config_entries import ConfigEntry, ConfigEntryState
from homeassistant.const import STATE_UNAVAILABLE, STATE_UNKNOWN
from homeassistant.core import HomeAssistant, State
from homeassistant.data_entry_flow import FlowResultType
from homeassistant.helpers import entity_registry as er
from homeassistant.util.json import JsonObjectType
from simulators.clock import SimulatedClock
from simulators.datasets import Dataset, Table
from simulators.growatt import GrowattSimulator, GrowattUnit
from simulators.listeners import Connection
from simulators.modbus import UnknownUnit
from simulators.requests import Request

from .common import DATASETS, poll_all
from .flows.common import go_on, more, open_form
from .simulators.clients import PATIENCE, tcp_client
from .writing_helpers import act, device_of

HOST: Final = "127.0.0.1"
UNIT: Final = 1

NAMES: Final = tuple(sorted(path.stem for path in DATASETS.glob("*.json")))
"""All datasets that are shipped."""

MORNING: Final = datetime(2026, 6, 21, 8, 30, 30)
"""There is sun for the house, and what is left charges a battery."""

LATE_MORNING: Final = datetime(2026, 6, 21, 9, 40, 30)
"""Some of it is sold as well."""

WRITING_ON: Final = {CONF_WRITE_ACCESS: WRITE_CONFIRM}

_WRITES: Final = (6, 16)


class WatchedSimulator(GrowattSimulator):
    """Knows who is connected. Silent units are told as by a gateway: nobody waits."""

    def __init__(
        self,
        dataset: Dataset | str,
        *,
        at: datetime = MORNING,
        sleeps: bool = False,
        lives: bool = True,
    ) -> None:
        """Be one inverter, living at a time that stands still, or not at all."""
        super().__init__(
            {UNIT: dataset},
            mutate=lives,
            clock=SimulatedClock(at, speed=0),
            sleeps=sleeps,
            unknown_unit=UnknownUnit.GATEWAY,
        )
        self._connections: set[Connection] = set()

    @override
    def receive(
        self, connection: Connection, unit: int, transaction: int, octets: bytes
    ) -> None:
        self._connections.add(connection)
        super().receive(connection, unit, transaction, octets)

    async def async_wait_until_alone(self) -> None:
        """Wait until all who ever asked something have gone. Raises ``TimeoutError``."""
        async with asyncio.timeout(PATIENCE):
            while any(connection.open for connection in self._connections):
                await asyncio.sleep(0)


@dataclass(frozen=True)
class Peer:
    """Another program that reads the inverter, with another library."""

    client: AsyncModbusTcpClient

    async def holding(self, address: int, count: int = 1) -> list[int]:
        """Return holding registers."""
        answer = await self.client.read_holding_registers(
            address, count=count, device_id=UNIT
        )
        assert not answer.isError(), answer
        return list(answer.registers)

    async def input(self, address: int, count: int = 1) -> list[int]:
        """Return input registers."""
        answer = await self.client.read_input_registers(
            address, count=count, device_id=UNIT
        )
        assert not answer.isError(), answer
        return list(answer.registers)


@dataclass
class Home:
    """A Home Assistant with an inverter."""

    hass: HomeAssistant
    simulator: WatchedSimulator
    port: int
    entry: ConfigEntry

    @property
    def unit(self) -> GrowattUnit:
        """The inverter."""
        return self.simulator.units[UNIT]

    @property
    def identification(self) -> Mapping[str, object]:
        """What the entry keeps of who it is."""
        stored: Mapping[str, object] = self.entry.data[CONF_IDENTIFICATION]
        return stored

    @property
    def entities(self) -> list[er.RegistryEntry]:
        """All entities, in the order of their ids."""
        registry = er.async_get(self.hass)
        return sorted(
            er.async_entries_for_config_entry(registry, self.entry.entry_id),
            key=lambda entity: entity.entity_id,
        )

    def find(self, key: str) -> er.RegistryEntry | None:
        """Return the entity of a point of the inverter or its battery."""
        ids = {f"{self.entry.unique_id}_{key}", f"{self.entry.unique_id}_battery_{key}"}
        return next(
            (entity for entity in self.entities if entity.unique_id in ids), None
        )

    def state(self, key: str) -> State:
        """Return the state of a point's entity, which must be there and enabled."""
        entity = self.find(key)
        assert entity is not None, key
        state = self.hass.states.get(entity.entity_id)
        assert state is not None, entity
        return state

    def number(self, key: str) -> float | None:
        """Return what a point's entity shows, ``None`` if there is no such enabled entity."""
        entity = self.find(key)
        if entity is None or entity.disabled_by is not None:
            return None
        return float(self.state(key).state)

    def missing(self) -> dict[str, str]:
        """Return the enabled entities that show nothing, but for those that rightly may."""
        return {
            state.entity_id: state.state
            for state in self.hass.states.async_all()
            if state.state in (STATE_UNAVAILABLE, STATE_UNKNOWN)
            and not (
                state.state == STATE_UNKNOWN
                and (
                    state.domain in ("event", "button")
                    or state.entity_id.endswith("commanded_until")
                )
            )
        }

    async def poll(self) -> None:
        """Read everything again that is wanted."""
        await poll_all(self.entry)
        await self.hass.async_block_till_done()

    async def reload(self) -> None:
        """Set the entry up anew."""
        await self.hass.config_entries.async_reload(self.entry.entry_id)
        await self.hass.async_block_till_done()

    async def set_options(self, **options: object) -> None:
        """Change options; the entry must be fine with them."""
        result = await self.hass.config_entries.options.async_init(self.entry.entry_id)
        result = await self.hass.config_entries.options.async_configure(
            result["flow_id"],
            {"message_spacing": 0, "max_words": 125, "profile": "automatic", **options},
        )
        if result["type"] is FlowResultType.FORM and result["step_id"] == "acknowledge":
            result = await self.hass.config_entries.options.async_configure(
                result["flow_id"], {"acknowledged": True}
            )
        assert result["type"] is FlowResultType.CREATE_ENTRY, result
        await self.hass.async_block_till_done()

    async def let_write(self) -> None:
        """Switch writing on, as the owner does, and wait for the controls."""
        await self.set_options(**WRITING_ON)
        await self.poll()

    def put(self, table: Table, words: Mapping[int, int]) -> None:
        """Let registers hold words, whatever the inverter would say to that."""
        self.unit.dataset.words[table].update(words)

    @property
    def writes(self) -> list[Request]:
        """The writes that were asked for so far."""
        return [each for each in self.simulator.requests if each.function in _WRITES]

    @asynccontextmanager
    async def peer(self) -> AsyncIterator[Peer]:
        """Connect another program to the inverter."""
        async with tcp_client(self.port) as client:
            yield Peer(client)


@asynccontextmanager
async def home_with(
    hass: HomeAssistant,
    dataset: Dataset | str,
    *,
    at: datetime = MORNING,
    sleeps: bool = False,
) -> AsyncIterator[Home]:
    """Start a living inverter, and add it by its address as an owner does."""
    simulator = WatchedSimulator(dataset, at=at, sleeps=sleeps)
    async with home_of(hass, simulator) as home:
        yield home


@asynccontextmanager
async def home_of(
    hass: HomeAssistant, simulator: WatchedSimulator
) -> AsyncIterator[Home]:
    """Start a simulator, and add its inverter by its address as an owner does."""
    # Keeping track of where each task was made takes five times as long as what they do.
    asyncio.get_running_loop().set_debug(False)
    async with simulator:
        port = await simulator.start_tcp(HOST)
        form = await open_form(hass, "growatt_tcp")
        result = await go_on(hass, form, {"host": HOST, "port": port, **more()})
        assert result["type"] is FlowResultType.CREATE_ENTRY, result
        await hass.async_block_till_done()
        home = Home(hass, simulator, port, result["result"])
        assert home.entry.state is ConfigEntryState.LOADED
        try:
            yield home
        finally:
            await hass.config_entries.async_unload(home.entry.entry_id)
            await hass.async_block_till_done()


async def set_slot(home: Home, slot: int, **parts: object) -> JsonObjectType:
    """Set a time slot with a confirmation, and return what became of it."""
    device = device_of(home.hass, home.entry)
    return await act(
        home.hass, "set_time_slot", device, slot=slot, confirm=True, **parts
    )
