"""What the tests of the integration share: datasets, links in memory, config entries."""

import asyncio
from collections.abc import Mapping
from datetime import timedelta
import json
from pathlib import Path
import socket
from typing import Any, Self, override
from unittest.mock import patch

from freezegun.api import FrozenDateTimeFactory
from modbus_connection import (
    ModbusConnectionError,
    ModbusDesyncError,
    ModbusSerialParams,
    ModbusTcpParams,
    ModbusTimeoutError,
)
from modbus_connection.mock import MockModbusConnection, MockModbusUnit, ReadEvent
from modbus_connection.model._const import Space
from pytest_homeassistant_custom_component.common import (
    MockConfigEntry,
    async_fire_time_changed,
)

from custom_components.local_solar.const import (
    CONF_IDENTIFICATION,
    CONF_KIND,
    CONF_LINK,
    CONF_UNIT_ID,
    DOMAIN,
    KIND_GROWATT,
)
from custom_components.local_solar.coordinators.growatt import GrowattCoordinator
from custom_components.local_solar.growatt.identify import identify
from custom_components.local_solar.growatt.known_inverter import MANUFACTURER
from custom_components.local_solar.modbus.codecs import Text
from custom_components.local_solar.modbus_link import SOCKET_PREFIX, ModbusLink
from homeassistant.config_entries import ConfigEntry, ConfigEntryState
from homeassistant.core import HomeAssistant, State
from homeassistant.helpers import entity_registry as er

ROOT = Path(__file__).parents[1]
DATASETS = ROOT / "simulators" / "datasets"
TRANSLATIONS = ROOT / "custom_components" / "local_solar" / "translations" / "en.json"
LIVE_TL_XH = (
    ROOT.parent / "shared/captures/growatt/derived_min_6000tl_xh_live_2025-09-21.json"
)
"""Registers of a real MIN 6000TL-XH; not part of the repository."""

TL_XH = "min_6000tl_xh"
TL_XH_US = "min_7600tl_xh_us"
TL_X = "min_5000tl_x"

HOST = "inverter"

SERIAL_NUMBERS = {23: 5, 209: 15, 3001: 15}
"""Where an inverter keeps its serial number: first holding register and words."""

type Endpoint = tuple[str, ...] | tuple[str, str, int]
type Registers = Mapping[str, Mapping[int | str, int | bool]]


def load_dataset(name: str | Path) -> Registers:
    """Return the registers of a dataset: one of the simulators', or a file."""
    path = name if isinstance(name, Path) else DATASETS / f"{name}.json"
    document = json.loads(path.read_text())
    return {space: document[space] for space in ("holding", "input")}


# -- links in memory ------------------------------------------------------------------


class Unit(MockModbusUnit):
    """A unit in memory that outlives the connections it is reached through."""

    def __init__(self, dataset: str | Path | None = None) -> None:
        """Hold the registers of a dataset; a unit without one never answers."""
        super().__init__(MockModbusConnection(), 0)
        if dataset is None:
            self.fall_silent()
        else:
            self.load_raw(load_dataset(dataset))

    def reached_through(self, connection: MockModbusConnection) -> Self:
        """Belong to the connection that Home Assistant has just opened."""
        self._conn = connection
        return self

    @override
    async def _dispatch_read(
        self, register_type: Space, address: int, count: int
    ) -> None:
        await asyncio.sleep(0)  # no real answer is there at once
        try:
            await super()._dispatch_read(register_type, address, count)
        except ModbusDesyncError:
            self._conn.simulate_connection_lost()  # as the real connection does
            raise

    def fall_silent(self) -> None:
        """Answer nothing from now on."""
        self.fail_requests(ModbusTimeoutError("no answer within 3 s"))

    def answer(self) -> None:
        """Answer again."""
        self.fail_requests(None)

    def fill(self, word: int) -> None:
        """Put the same word into every register that any model has."""
        for registers in (self.holding, self.input):
            registers.update(dict.fromkeys(range(6000), word))

    def put32(self, address: int, raw: int) -> None:
        """Set two input registers, high word first."""
        self.input[address], self.input[address + 1] = raw >> 16, raw & 0xFFFF

    def taken_reads(self) -> list[ReadEvent]:
        """Return what was read since the last call."""
        reads = self.read_events.copy()
        self.read_events.clear()
        return reads

    @property
    def serial_number(self) -> str:
        """The serial number in the place where new models keep it."""
        words = [self.holding[address] for address in range(3001, 3001 + 5)]
        return Text(5).decode([word for word in words if isinstance(word, int)]) or ""

    def set_serial_number(self, serial_number: str) -> None:
        """Be another inverter of the same model: set all places of the serial number."""
        for address, words in SERIAL_NUMBERS.items():
            text = Text(words).encode(serial_number[: 2 * words])
            self.holding.update(enumerate(text, address))

    def copy(self) -> Unit:
        """Return another unit with the same registers."""
        twin = Unit()
        twin.answer()
        twin.holding.update(self.holding)
        twin.input.update(self.input)
        return twin


def load_unit(dataset: str | Path = TL_XH, *, serial_number: str | None = None) -> Unit:
    """Return a unit of a dataset, perhaps with a serial number of its own."""
    unit = Unit(dataset)
    if serial_number is not None:
        unit.set_serial_number(serial_number)
    return unit


class Link:
    """A far end and the units behind it."""

    def __init__(self, units: Mapping[int, Unit]) -> None:
        """Put units behind it; all other unit ids are silent."""
        self.units = dict(units)
        self.down_because: Exception | None = None
        """What connecting fails with."""
        self.times_out = False
        """Whether connecting takes too long."""
        self.baudrate: int | None = None
        """The one speed at which the units of a serial line answer."""
        self.connections: list[Connection] = []
        self.nobody: dict[int, Unit] = {}
        """Units that were asked although there is nobody."""

    @property
    def open_connections(self) -> int:
        """How many connections are open now."""
        return sum(connection.connected for connection in self.connections)

    def unit(self, unit_id: int, baudrate: int | None = None) -> Unit:
        """Return a unit; a silent one if there is none, or none at that speed."""
        if (unit := self.units.get(unit_id)) is not None and (
            self.baudrate in (None, baudrate)
        ):
            return unit
        return self.nobody.setdefault(unit_id, Unit())

    def go_down(self, why: Exception) -> None:
        """Drop the connection and refuse new ones."""
        self.down_because = why
        for connection in self.connections:
            connection.simulate_connection_lost()

    def come_up(self) -> None:
        """Take connections again."""
        self.down_because = None


class Connection(MockModbusConnection):
    """What Home Assistant opens to a link."""

    def __init__(
        self, link: Link, params: ModbusTcpParams | ModbusSerialParams
    ) -> None:
        """Connect to a link with these settings."""
        super().__init__()
        self._link = link
        self._address = ":".join(map(str, params.endpoint[1:]))
        self._baudrate = getattr(params, "baudrate", None)
        link.connections.append(self)

    @override
    def for_unit(self, unit_id: int) -> Unit:
        return self._link.unit(unit_id, self._baudrate).reached_through(self)

    @override
    async def _connect_client(self) -> object:
        if self._link.times_out:
            raise ModbusTimeoutError(f"could not connect to {self._address}")
        if (why := self._link.down_because) is not None:
            raise ModbusConnectionError(
                f"could not connect to {self._address}"
            ) from why
        return await super()._connect_client()


class Network:
    """All links that there are, by endpoint. Patches Home Assistant's connections."""

    def __init__(self) -> None:
        """Start without any link."""
        self.links: dict[Endpoint, Link] = {}
        self._patch = patch(
            "homeassistant.components.modbus.connection.ModbusConnection",
            self._connect,
        )

    def __enter__(self) -> Self:
        """Stand in for the real links."""
        self._patch.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Give way to the real links."""
        self._patch.stop()

    def add_tcp(
        self, host: str, units: Mapping[int, str | Path | Unit], port: int = 502
    ) -> Link:
        """Put a Modbus TCP link into the network."""
        return self._add(("tcp", host, port), units)

    def add_serial(self, device: str, units: Mapping[int, str | Path | Unit]) -> Link:
        """Put a serial link into the network; ``socket://host:port`` is RTU over TCP."""
        return self._add(("serial", device), units)

    def _add(self, endpoint: Endpoint, units: Mapping[int, str | Path | Unit]) -> Link:
        link = self.links[endpoint] = Link(
            {
                unit_id: unit if isinstance(unit, Unit) else Unit(unit)
                for unit_id, unit in units.items()
            }
        )
        return link

    def _connect(self, params: ModbusTcpParams | ModbusSerialParams) -> Connection:
        if (link := self.links.get(params.endpoint)) is None:
            link = self.links[params.endpoint] = Link({})
            link.down_because = (
                FileNotFoundError(2, "No such file or directory")
                if isinstance(params, ModbusSerialParams)
                and not params.device.startswith(SOCKET_PREFIX)
                else socket.gaierror(-2, "Name or service not known")
            )
        return Connection(link, params)


# -- entries --------------------------------------------------------------------------


async def make_entry(
    hass: HomeAssistant,
    unit: Unit,
    *,
    link: ModbusLink | None = None,
    unit_id: int = 1,
    options: Mapping[str, Any] | None = None,
) -> MockConfigEntry:
    """Add the entry that the config flow makes of a unit, without setting it up."""
    identified = await identify(unit.copy())
    entry = MockConfigEntry(
        domain=DOMAIN,
        title=f"{MANUFACTURER} {identified.model}",
        unique_id=identified.serial_number,
        data={
            CONF_KIND: KIND_GROWATT,
            CONF_LINK: (link or ModbusLink(host=HOST)).to_json(),
            CONF_UNIT_ID: unit_id,
            CONF_IDENTIFICATION: identified.to_json(),
        },
        options=dict(options or {}),
    )
    entry.add_to_hass(hass)
    return entry


async def set_up(hass: HomeAssistant, unit: Unit, **kwargs: Any) -> MockConfigEntry:
    """Add the entry of a unit and set it up. Reads until then are forgotten."""
    entry = await make_entry(hass, unit, **kwargs)
    await hass.config_entries.async_setup(entry.entry_id)
    await hass.async_block_till_done()
    unit.taken_reads()
    return entry


def entry_of(hass: HomeAssistant) -> ConfigEntry:
    """Return the only entry there is."""
    (entry,) = hass.config_entries.async_entries(DOMAIN)
    return entry


def coordinator_of(entry: ConfigEntry) -> GrowattCoordinator:
    """Return the coordinator of an entry that is set up."""
    coordinator = entry.runtime_data
    assert isinstance(coordinator, GrowattCoordinator)
    return coordinator


async def poll_all(entry: ConfigEntry) -> None:
    """Poll now, and read everything as if it was due."""
    coordinator = coordinator_of(entry)
    coordinator.inverter.forget_words()
    await coordinator.async_refresh()


def entity_id_of(
    hass: HomeAssistant, entry: ConfigEntry, key: str, *, battery: bool = False
) -> str:
    """Return the entity id of a point."""
    device = f"{entry.unique_id}_battery" if battery else entry.unique_id
    registry = er.async_get(hass)
    for domain in ("sensor", "binary_sensor", "switch", "event"):
        if entity_id := registry.async_get_entity_id(domain, DOMAIN, f"{device}_{key}"):
            return entity_id
    raise KeyError(key)


def setup_state(entry: ConfigEntry) -> ConfigEntryState:
    """Return the state of an entry; it may change at any time."""
    return entry.state


async def enable(
    hass: HomeAssistant, entry: ConfigEntry, *keys: str, battery: bool = False
) -> None:
    """Enable entities that are disabled at first, as the owner does."""
    registry = er.async_get(hass)
    for key in keys:
        registry.async_update_entity(
            entity_id_of(hass, entry, key, battery=battery), disabled_by=None
        )
    await hass.config_entries.async_reload(entry.entry_id)
    await hass.async_block_till_done()


def state_of(
    hass: HomeAssistant, entry: ConfigEntry, key: str, *, battery: bool = False
) -> State:
    """Return the state of a point's entity."""
    state = hass.states.get(entity_id_of(hass, entry, key, battery=battery))
    assert state is not None
    return state


async def pass_time(
    hass: HomeAssistant, freezer: FrozenDateTimeFactory, seconds: float
) -> None:
    """Let time pass and what falls due happen, once."""
    freezer.tick(timedelta(seconds=seconds))
    async_fire_time_changed(hass)
    await hass.async_block_till_done(wait_background_tasks=True)
