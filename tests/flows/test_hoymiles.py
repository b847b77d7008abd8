"""Adding a Hoymiles DTU: by its address, by discovery, and after it has moved."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from typing import Any, Final
from unittest.mock import patch

import pytest
from pytest_homeassistant_custom_component.common import MockConfigEntry

from custom_components.local_solar.const import CONF_INVENTORY, DOMAIN
from custom_components.local_solar.hoymiles import client
from custom_components.local_solar.hoymiles.inventory import Inventory
from custom_components.local_solar.hoymiles.models import dtu_model
from custom_components.local_solar.hoymiles.probe import stored_inventory
from custom_components.local_solar.hoymiles.storage import StorageInventory
from homeassistant.config_entries import (
    SOURCE_DHCP,
    SOURCE_IGNORE,
    SOURCE_RECONFIGURE,
    ConfigEntry,
    ConfigEntryState,
    ConfigFlowResult,
)
from homeassistant.core import HomeAssistant
from homeassistant.data_entry_flow import FlowResultType, InvalidData
from homeassistant.helpers.service_info.dhcp import DhcpServiceInfo
from homeassistant.helpers.translation import async_get_translations
from simulators.hoymiles.faults import Fault
from tests.common import entry_of
from tests.hoymiles_helpers import (
    INTEGRATED,
    STICK,
    STORAGE,
    Reached,
    coordinator_of,
    impatient,
    make_entry,
    reached,
)

from .common import UserInput, abort_text, error_text, go_on, open_form, suggested

HOST: Final = "dtu.lan"
IP: Final = "192.168.1.50"
NEW_IP: Final = "192.168.1.77"
INPUT: Final = {"host": HOST, "port": 10081}

INTEGRATED_SERIAL: Final = "414393100001"
STICK_SERIAL: Final = "413093100010"

ADDED_ALREADY: Final = "This device has been added already."
ANOTHER_DTU: Final = (
    "Another DTU answers there. Its serial number differs from the one of this entry."
)


class Lan:
    """The home network: DTUs by host and port; nobody else answers."""

    def __init__(self) -> None:
        """Start without any DTU."""
        self.known: dict[tuple[str, int], tuple[str, int]] = {}
        self.asked: list[str] = []
        """Hosts that a connection was opened to."""
        self._connect = asyncio.open_connection
        self._running = AsyncExitStack()

    async def add(
        self, inventory: str = INTEGRATED, host: str = HOST, **kwargs: Any
    ) -> Reached:
        """Put a simulated DTU into the network."""
        there = await self._running.enter_async_context(reached(inventory, **kwargs))
        self.put(there, host)
        self.put(there, there.host, there.port)
        return there

    def put(self, there: Reached, host: str, port: int = client.PORT) -> None:
        """Let a DTU be reached at an address; it keeps those it has."""
        self.known[host, port] = there.host, there.port

    async def open_connection(
        self, host: str, port: int
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Connect to a DTU of this network."""
        self.asked.append(host)
        if (where := self.known.get((host, port))) is None:
            raise OSError(113, "No route to host")
        return await self._connect(*where)

    async def stop(self) -> None:
        """Switch all DTUs off."""
        await self._running.aclose()


@pytest.fixture
async def lan(socket_enabled: None) -> AsyncIterator[Lan]:
    """A home network in which DTUs are found."""
    lan = Lan()
    with patch(
        "custom_components.local_solar.hoymiles.client.asyncio.open_connection",
        lan.open_connection,
    ):
        yield lan
    await lan.stop()


@pytest.fixture
def short_wait() -> Iterator[None]:
    """Wait for an answer no longer than a test can."""
    with impatient():
        yield


async def fill_in(hass: HomeAssistant, user_input: UserInput) -> ConfigFlowResult:
    """Fill in the form that adds a DTU."""
    return await go_on(hass, await open_form(hass, "hoymiles"), user_input)


async def added(hass: HomeAssistant, result: ConfigFlowResult) -> ConfigEntry:
    """Return the entry that a flow has made, which must be loaded."""
    assert result["type"] is FlowResultType.CREATE_ENTRY
    await hass.async_block_till_done()
    entry = entry_of(hass)
    assert result["result"] is entry
    assert entry.state is ConfigEntryState.LOADED
    return entry


async def add_entry(
    hass: HomeAssistant, there: Reached, host: str = HOST, *, load: bool = True
) -> MockConfigEntry:
    """Add the entry of a DTU, and set it up unless told otherwise."""
    entry = await make_entry(there)
    data = {**entry.data, "host": host, "port": client.PORT}
    entry.add_to_hass(hass)
    hass.config_entries.async_update_entry(entry, data=data)
    if load:
        await hass.config_entries.async_setup(entry.entry_id)
        await hass.async_block_till_done()
        assert entry.state is ConfigEntryState.LOADED
    return entry


# -- by address -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("inventory", "title", "serial", "inverters"),
    [
        (INTEGRATED, "Hoymiles HMS-800W-2T", INTEGRATED_SERIAL, 1),
        ("hms-2000dw-4t", "Hoymiles HMS-2000DW-4T", "122293100001", 1),
        (STICK, "Hoymiles DTU-WLite / Lite-S / W100", STICK_SERIAL, 3),
    ],
)
async def test_dtu_is_added_by_its_address(
    hass: HomeAssistant,
    lan: Lan,
    inventory: str,
    title: str,
    serial: str,
    inverters: int,
) -> None:
    there = await lan.add(inventory)
    entry = await added(hass, await fill_in(hass, INPUT))
    assert entry.title == title
    assert entry.unique_id == serial
    assert dict(entry.data) | {CONF_INVENTORY: None} == {
        "kind": "hoymiles",
        **INPUT,
        CONF_INVENTORY: None,
    }
    known = Inventory.from_json(entry.data[CONF_INVENTORY])
    assert known.serial == serial
    assert [item.serial for item in known.inverters] == sorted(there.dtu.inverters)
    assert len(known.inverters) == inverters
    assert not entry.options
    # One connection for the form, one for the first poll.
    assert there.dtu.counters.connections == 2
    assert not there.dtu.counters.evictions


async def test_dtu_that_lists_nothing_yet_is_named_by_itself(
    hass: HomeAssistant, lan: Lan
) -> None:
    there = await lan.add()
    inverters = dict(there.dtu.inverters)
    there.dtu.inverters.clear()
    entry = await added(hass, await fill_in(hass, INPUT))
    assert entry.title == f"Hoymiles {dtu_model(INTEGRATED_SERIAL).name}"
    assert not entry.data[CONF_INVENTORY]["inverters"]
    # What is behind it appears by itself.
    there.dtu.inverters.update(inverters)
    await coordinator_of(entry).async_refresh()
    await hass.async_block_till_done()
    assert len(entry.data[CONF_INVENTORY]["inverters"]) == 1
    assert hass.states.get("binary_sensor.hoymiles_hms_800w_2t_connection") is not None


@pytest.mark.usefixtures("short_wait")
async def test_storage_gateway_is_added_by_its_address(
    hass: HomeAssistant, lan: Lan
) -> None:
    there = await lan.add(STORAGE)
    entry = await added(hass, await fill_in(hass, INPUT))
    assert entry.title == "Hoymiles DTS-WIFI-G1"
    assert entry.unique_id == there.dtu.serial
    known = stored_inventory(entry.data[CONF_INVENTORY])
    assert isinstance(known, StorageInventory)
    assert len(known.inverters) == 1
    # It is found again where it has moved to.
    lan.put(there, NEW_IP)
    result = await reconfigure(hass, entry, NEW_IP)
    assert await abort_text(hass, result) == "Reconfiguration was successful"
    assert entry.data["host"] == NEW_IP


@pytest.mark.parametrize("encrypt", [False, True], ids=["plain", "encrypted"])
async def test_dtu_in_another_place_of_the_network_is_added(
    hass: HomeAssistant, lan: Lan, encrypt: bool
) -> None:
    there = await lan.add(encrypt=encrypt)
    lan.put(there, HOST, 20081)
    entry = await added(hass, await fill_in(hass, {"host": HOST, "port": 20081.0}))
    assert entry.data["port"] == 20081
    assert isinstance(entry.data["port"], int)


@pytest.mark.parametrize(
    ("typed", "stored"),
    [(" DTU.Lan ", "dtu.lan"), ("[FE80::1]", "fe80::1"), (f"{IP} ", IP)],
)
async def test_host_is_stored_in_one_spelling(
    hass: HomeAssistant, lan: Lan, typed: str, stored: str
) -> None:
    await lan.add(host=stored)
    entry = await added(hass, await fill_in(hass, {"host": typed, "port": 10081}))
    assert entry.data["host"] == stored


async def test_form_holds_the_usual_port_at_first(hass: HomeAssistant) -> None:
    result = await open_form(hass, "hoymiles")
    assert result["data_schema"] is not None
    filled_in = result["data_schema"]({"host": HOST})
    assert filled_in == INPUT
    for port in (0, 65536):
        with pytest.raises(InvalidData):
            await go_on(hass, result, {"host": HOST, "port": port})


@pytest.mark.parametrize(
    ("fault", "key", "says"),
    [
        (None, "dtu_unreachable", "No connection to dtu.lan. "),
        ("silent", "dtu_silent", "takes a connection but does not answer"),
        ("evict", "dtu_busy", "A DTU talks to one program at a time"),
        ("disconnect", "dtu_busy", "A DTU talks to one program at a time"),
        # What may come before a frame is waited out.
        ("zero-bytes", "dtu_silent", "takes a connection but does not answer"),
        ("garbage=65536", "dtu_garbage", "is no answer of a Hoymiles DTU"),
        ("crc", "dtu_garbage", "is no answer of a Hoymiles DTU"),
    ],
)
@pytest.mark.usefixtures("short_wait")
async def test_what_goes_wrong_is_said_and_can_be_put_right(
    hass: HomeAssistant, lan: Lan, fault: str | None, key: str, says: str
) -> None:
    there = await lan.add()
    known = dict(lan.known)
    if fault is None:
        lan.known.clear()
    else:
        there.dtu.faults.append(Fault.parse(fault))
    result = await fill_in(hass, INPUT)
    text = await error_text(hass, result, key)
    assert says in text
    assert HOST in text
    # What was filled in is still there.
    assert suggested(result) == INPUT

    there.dtu.faults.clear()
    lan.known.update(known)
    result = await go_on(hass, result, INPUT)
    assert (await added(hass, result)).unique_id == INTEGRATED_SERIAL
    assert not there.dtu.is_client_connected


@pytest.mark.parametrize(
    "answer",
    [b"", b"HTTP/1.1 400 Bad Request\r\n\r\n"],
    ids=["closes", "another_protocol"],
)
async def test_other_servers_are_no_dtus(
    hass: HomeAssistant, lan: Lan, answer: bytes
) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(answer)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        lan.known[HOST, client.PORT] = server.sockets[0].getsockname()
        result = await fill_in(hass, INPUT)
    assert HOST in await error_text(hass, result, "dtu_busy")


@pytest.mark.parametrize("load", [True, False], ids=["loaded", "not_loaded"])
async def test_known_address_is_not_connected_to_again(
    hass: HomeAssistant, lan: Lan, load: bool
) -> None:
    there = await lan.add()
    entry = await add_entry(hass, there, load=load)
    connections = there.dtu.counters.connections
    for host in (HOST, " DTU.LAN"):
        result = await fill_in(hass, {**INPUT, "host": host})
        assert await abort_text(hass, result) == ADDED_ALREADY
    assert there.dtu.counters.connections == connections
    assert entry_of(hass) is entry


async def test_known_dtu_at_another_address_is_not_added_twice(
    hass: HomeAssistant, lan: Lan
) -> None:
    there = await lan.add()
    entry = await add_entry(hass, there)
    lan.put(there, IP)
    result = await fill_in(hass, {**INPUT, "host": IP})
    assert await abort_text(hass, result) == ADDED_ALREADY
    assert entry_of(hass) is entry
    assert entry.data["host"] == HOST


# -- by discovery ---------------------------------------------------------------------


async def discover(
    hass: HomeAssistant, ip: str = IP, hostname: str = f"dtubi-{INTEGRATED_SERIAL}"
) -> ConfigFlowResult:
    """Let a device ask for an address in the network."""
    return await hass.config_entries.flow.async_init(
        DOMAIN,
        context={"source": SOURCE_DHCP},
        data=DhcpServiceInfo(ip=ip, hostname=hostname, macaddress="ac1900720001"),
    )


@pytest.mark.parametrize("hostname", ["dtubi-414393100001", "DTUBI-414393100001"])
async def test_dtu_that_is_found_is_asked_who_it_is_before_it_is_offered(
    hass: HomeAssistant, lan: Lan, hostname: str
) -> None:
    there = await lan.add(host=IP)
    result = await discover(hass, hostname=hostname)
    assert result["type"] is FlowResultType.FORM
    assert result["step_id"] == "hoymiles_discovered"
    assert there.dtu.counters.connections == 1
    assert not hass.config_entries.async_entries(DOMAIN)

    texts = await async_get_translations(hass, "en", "config", [DOMAIN])
    config = f"component.{DOMAIN}.config"
    said = texts[f"{config}.step.hoymiles_discovered.description"].format(
        **(result["description_placeholders"] or {})
    )
    assert "Hoymiles HMS-800W-2T" in said
    assert INTEGRATED_SERIAL in said
    assert IP in said
    (flow,) = hass.config_entries.flow.async_progress()
    title = texts[f"{config}.flow_title"].format(
        **flow["context"]["title_placeholders"]
    )
    assert title == "Hoymiles HMS-800W-2T"
    assert flow["context"].get("confirm_only")

    entry = await added(hass, await go_on(hass, result, {}))
    assert entry.title == "Hoymiles HMS-800W-2T"
    assert entry.unique_id == INTEGRATED_SERIAL
    assert entry.data["host"] == IP
    assert entry.data["port"] == 10081
    # It was not asked who it is once more; the second connection is the first poll.
    assert there.dtu.counters.connections == 2


async def test_dtu_that_asks_for_an_address_again_is_offered_once(
    hass: HomeAssistant, lan: Lan
) -> None:
    there = await lan.add(host=IP)
    await discover(hass)
    result = await discover(hass)
    assert result["type"] is FlowResultType.ABORT
    assert result["reason"] == "already_in_progress"
    assert there.dtu.counters.connections == 1


async def test_dtu_that_is_offered_can_be_added_by_its_address_all_the_same(
    hass: HomeAssistant, lan: Lan
) -> None:
    there = await lan.add(host=IP)
    lan.put(there, HOST)
    await discover(hass)
    entry = await added(hass, await fill_in(hass, INPUT))
    assert entry.unique_id == INTEGRATED_SERIAL
    # Nothing is left to be offered.
    assert not hass.config_entries.flow.async_progress()


async def test_dtu_that_was_ignored_is_not_offered_but_can_be_added(
    hass: HomeAssistant, lan: Lan
) -> None:
    there = await lan.add(host=IP)
    MockConfigEntry(
        domain=DOMAIN, unique_id=INTEGRATED_SERIAL, source=SOURCE_IGNORE
    ).add_to_hass(hass)
    assert await abort_text(hass, await discover(hass)) == ADDED_ALREADY
    assert not there.dtu.counters.connections
    result = await fill_in(hass, {**INPUT, "host": IP})
    await added(hass, result)


async def test_known_dtu_is_followed_to_its_new_address_without_a_connection(
    hass: HomeAssistant, lan: Lan
) -> None:
    there = await lan.add(host=IP)
    entry = await add_entry(hass, there, IP, load=False)
    lan.put(there, NEW_IP)
    connections = there.dtu.counters.connections
    result = await discover(hass, NEW_IP, hostname="DTUBI-414393100001")
    assert await abort_text(hass, result) == ADDED_ALREADY
    assert there.dtu.counters.connections == connections
    assert entry.data["host"] == NEW_IP
    assert entry.data["port"] == 10081
    assert Inventory.from_json(entry.data[CONF_INVENTORY]).serial == INTEGRATED_SERIAL


async def test_known_dtu_that_is_loaded_is_polled_at_its_new_address(
    hass: HomeAssistant, lan: Lan
) -> None:
    there = await lan.add(host=IP)
    entry = await add_entry(hass, there, IP)
    lan.put(there, NEW_IP)
    connections = there.dtu.counters.connections
    lan.asked.clear()

    # At the same address there is nothing to do.
    assert await abort_text(hass, await discover(hass)) == ADDED_ALREADY
    await hass.async_block_till_done()
    assert there.dtu.counters.connections == connections

    assert await abort_text(hass, await discover(hass, NEW_IP)) == ADDED_ALREADY
    await hass.async_block_till_done()
    assert entry.state is ConfigEntryState.LOADED
    assert lan.asked == [NEW_IP]
    assert coordinator_of(entry).address == NEW_IP


@pytest.mark.parametrize("fault", [None, "silent", "evict"])
@pytest.mark.usefixtures("short_wait")
async def test_what_is_no_dtu_is_not_offered(
    hass: HomeAssistant, lan: Lan, fault: str | None
) -> None:
    if fault is not None:
        there = await lan.add(host=IP)
        there.dtu.faults.append(Fault.parse(fault))
    result = await discover(hass)
    assert await abort_text(hass, result) == "No Hoymiles DTU answers there."
    assert not hass.config_entries.flow.async_progress()


async def test_dtu_counts_by_what_it_says_and_not_by_its_name_in_the_network(
    hass: HomeAssistant, lan: Lan
) -> None:
    there = await lan.add(host=NEW_IP)
    lan.put(there, IP)
    result = await discover(hass, NEW_IP, hostname="dtubi-renamed")
    assert result["type"] is FlowResultType.FORM
    (flow,) = hass.config_entries.flow.async_progress()
    assert flow["context"]["unique_id"] == INTEGRATED_SERIAL
    hass.config_entries.flow.async_abort(flow["flow_id"])

    entry = await add_entry(hass, there, IP, load=False)
    result = await discover(hass, NEW_IP, hostname="dtubi-renamed")
    assert await abort_text(hass, result) == ADDED_ALREADY
    assert entry.data["host"] == NEW_IP


# -- after it has moved ---------------------------------------------------------------


async def reconfigure(
    hass: HomeAssistant, entry: ConfigEntry, host: str, port: int = client.PORT
) -> ConfigFlowResult:
    """Say where a DTU is now."""
    result = await hass.config_entries.flow.async_init(
        DOMAIN, context={"source": SOURCE_RECONFIGURE, "entry_id": entry.entry_id}
    )
    assert result["type"] is FlowResultType.FORM
    assert result["step_id"] == "hoymiles"
    assert suggested(result) == {key: entry.data[key] for key in ("host", "port")}
    result = await go_on(hass, result, {"host": host, "port": port})
    await hass.async_block_till_done()
    return result


@pytest.mark.parametrize("load", [True, False], ids=["loaded", "not_loaded"])
async def test_dtu_moves_with_what_is_known_of_it(
    hass: HomeAssistant, lan: Lan, load: bool
) -> None:
    there = await lan.add(STICK)
    entry = await add_entry(hass, there, load=load)
    hass.config_entries.async_update_entry(entry, options={"poll_interval": 120})
    before = dict(entry.data)
    lan.put(there, NEW_IP, 20081)
    lan.asked.clear()
    result = await reconfigure(hass, entry, f" {NEW_IP}", 20081)
    assert await abort_text(hass, result) == "Reconfiguration was successful"
    assert dict(entry.data) == before | {"host": NEW_IP, "port": 20081}
    assert entry.options == {"poll_interval": 120}
    assert lan.asked == [NEW_IP, NEW_IP]
    assert entry.state is ConfigEntryState.LOADED
    assert coordinator_of(entry).address == NEW_IP


async def test_another_dtu_does_not_take_the_place_of_an_entrys(
    hass: HomeAssistant, lan: Lan
) -> None:
    entry = await add_entry(hass, await lan.add())
    before = dict(entry.data)
    await lan.add(STICK, host=NEW_IP)
    result = await reconfigure(hass, entry, NEW_IP)
    assert await abort_text(hass, result) == ANOTHER_DTU
    assert dict(entry.data) == before


async def test_another_dtu_at_the_same_address_does_neither(
    hass: HomeAssistant, lan: Lan
) -> None:
    """The connection of the entry, which is used then, has an opinion of its own."""
    entry = await add_entry(hass, await lan.add())
    await lan.add(STICK)
    result = await reconfigure(hass, entry, HOST)
    assert await abort_text(hass, result) == ANOTHER_DTU
    assert entry.data["host"] == HOST


async def test_address_that_is_wrong_can_be_put_right(
    hass: HomeAssistant, lan: Lan
) -> None:
    there = await lan.add()
    entry = await add_entry(hass, there)
    lan.put(there, NEW_IP)
    result = await reconfigure(hass, entry, "192.168.1.99")
    assert "192.168.1.99" in await error_text(hass, result, "dtu_unreachable")
    assert suggested(result) == {"host": "192.168.1.99", "port": 10081}
    assert entry.data["host"] == HOST
    result = await go_on(hass, result, {"host": NEW_IP, "port": 10081})
    await hass.async_block_till_done()
    assert await abort_text(hass, result) == "Reconfiguration was successful"
    assert entry.data["host"] == NEW_IP


async def test_dtu_at_the_same_address_is_asked_after_the_poll_that_is_under_way(
    hass: HomeAssistant, lan: Lan
) -> None:
    """A second connection would end the one of the poll."""
    there = await lan.add()
    entry = await add_entry(hass, there)
    coordinator = coordinator_of(entry)
    there.dtu.faults.append(Fault.parse("delay=0.1,times=1"))
    poll = hass.async_create_task(coordinator.async_refresh())
    await asyncio.sleep(0)
    result = await reconfigure(hass, entry, HOST)
    assert poll.done()
    assert coordinator.awake
    assert coordinator.last_update_success
    assert await abort_text(hass, result) == "Reconfiguration was successful"
    assert not there.dtu.counters.evictions
