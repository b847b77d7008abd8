"""Adding an OutBack gateway: by its address, by discovery, and after it has moved."""

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
import socket
from typing import Any, Final
from unittest.mock import patch

from modbus_connection import ModbusTlsParams
import pytest
from pytest_homeassistant_custom_component.common import MockConfigEntry

from custom_components.local_solar.const import CONF_LINK, DOMAIN
from homeassistant.components.modbus import async_get_unit
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
from homeassistant.setup import async_setup_component
from simulators.datasets import Table
from simulators.modbus import ModbusSimulator
from simulators.requests import ILLEGAL_ADDRESS, RefusedError
from tests.common import entry_of, setup_state
from tests.outback_helpers import (
    HOST,
    Reached,
    all_gone,
    clients,
    coordinator_of,
    impatient,
    make_entry,
    reached,
    set_up,
)

from .common import UserInput, abort_text, error_text, go_on, open_form, suggested

MAC: Final = "0090ea000001"
OTHER_MAC: Final = "0090ea000002"
SERIAL: Final = "MA0000F0000001"

GATEWAY: Final = 64110
COMMON: Final = 1

ADDED_ALREADY: Final = "This device has been added already."
ANOTHER_GATEWAY: Final = (
    "Another gateway answers there. Its hardware address differs from the one of this"
    " entry."
)
NOT_A_MATE3: Final = (
    "No OutBack gateway answers there. Modbus may be switched off in its network"
    " settings."
)

BASE: Final = 40000
SUNS: Final = (0x5375, 0x6E53)
END: Final = (0xFFFF, 0)

pytestmark = pytest.mark.usefixtures("socket_enabled", "without_pauses")


@pytest.fixture
def without_pauses(socket_enabled: None) -> Iterator[None]:
    """Leave out the pauses that real gateways need, and wait for no answer for long."""
    flow = "custom_components.local_solar.flows"
    with (
        impatient(),
        patch(f"{flow}.outback.REQUEST_TIMEOUT", 0.3),
        # Nothing on this computer's own web server is meant.
        patch(f"{flow}.mate3_page.PAGE", f"http://{HOST}:{_closed_port()}/{{host}}"),
    ):
        yield


@pytest.fixture
async def there(socket_enabled: None) -> AsyncIterator[Reached]:
    """A gateway."""
    async with reached() as there:
        yield there


@pytest.fixture
async def other(socket_enabled: None) -> AsyncIterator[Reached]:
    """Another gateway, with the same devices behind it."""
    async with reached() as other:
        set_mac(other, "0090EA-000002")
        yield other


def _closed_port() -> int:
    with socket.socket() as free:
        free.bind((HOST, 0))
        port: int = free.getsockname()[1]
        return port


def set_text(there: Reached, did: int, offset: int, words: int, text: str) -> None:
    """Put a text into a block."""
    octets = text.encode().ljust(2 * words, b"\0")
    for place in range(words):
        word = int.from_bytes(octets[2 * place : 2 * place + 2])
        there.simulator.mate3.set_word(did, offset + place, word)


def set_mac(there: Reached, text: str) -> None:
    """Let a gateway tell another hardware address."""
    set_text(there, GATEWAY, 7, 7, text)


def input_for(there: Reached, host: str = HOST, unit_id: int = 1) -> UserInput:
    """Return what is filled in to add a gateway."""
    return {
        "host": host,
        "port": there.port,
        "more_options": {"unit_id": unit_id},
    }


async def fill_in(hass: HomeAssistant, user_input: UserInput) -> ConfigFlowResult:
    """Fill in the form that adds a gateway."""
    return await go_on(hass, await open_form(hass, "outback"), user_input)


async def added(hass: HomeAssistant, result: ConfigFlowResult) -> ConfigEntry:
    """Return the entry that a flow has made, which must be loaded."""
    assert result["type"] is FlowResultType.CREATE_ENTRY
    await hass.async_block_till_done()
    entry = entry_of(hass)
    assert result["result"] is entry
    assert entry.state is ConfigEntryState.LOADED
    return entry


# -- by address -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("variant", "title"),
    [
        ("mate3s", "OutBack MATE3s"),
        ("mate3-311", "OutBack MATE3"),
        ("fx", "OutBack MATE3"),
        ("split-stack", "OutBack MATE3s"),
        ("new-firmware", "OutBack MATE3s"),
    ],
)
async def test_gateway_is_added_by_its_address(
    hass: HomeAssistant, variant: str, title: str
) -> None:
    async with reached(variant=variant) as there:
        entry = await added(hass, await fill_in(hass, input_for(there)))
        assert entry.title == title
        assert entry.unique_id == MAC
        assert entry.data == {
            "kind": "outback",
            "link": {"host": HOST, "port": there.port},
            "unit_id": 1,
        }
        assert not entry.options
        # One connection at a time, in the flow and for the entry.
        assert not there.simulator.door.turned_away
        assert not there.simulator.overlaps
        assert not there.simulator.writes
        devices = len(there.simulator.mate3.chain.devices())
        assert len(coordinator_of_entry(entry).devices) == 1 + devices
        await hass.config_entries.async_unload(entry.entry_id)


def coordinator_of_entry(entry: ConfigEntry) -> Any:
    """Return the coordinator of an entry that a flow has made."""
    return entry.runtime_data


@pytest.mark.parametrize("unit_id", [0, 1, 247, 255])
async def test_unit_id_that_something_in_between_wants_is_used(
    hass: HomeAssistant, there: Reached, unit_id: int
) -> None:
    entry = await added(hass, await fill_in(hass, input_for(there, unit_id=unit_id)))
    assert entry.data["unit_id"] == unit_id
    assert isinstance(entry.data["unit_id"], int)
    assert {request.unit for request in there.simulator.requests} == {unit_id}
    await hass.config_entries.async_unload(entry.entry_id)


@pytest.mark.parametrize("typed", [f" {HOST} ", f"[{HOST}]"])
async def test_host_is_stored_in_one_spelling(
    hass: HomeAssistant, there: Reached, typed: str
) -> None:
    entry = await added(hass, await fill_in(hass, input_for(there, typed)))
    assert entry.data[CONF_LINK]["host"] == HOST
    await hass.config_entries.async_unload(entry.entry_id)


async def test_form_holds_the_usual_port_at_first(hass: HomeAssistant) -> None:
    result = await open_form(hass, "outback")
    assert result["data_schema"] is not None
    filled_in = result["data_schema"]({"host": HOST, "more_options": {}})
    assert filled_in == {"host": HOST, "port": 502, "more_options": {"unit_id": 1}}
    for wrong in ({"port": 0}, {"port": 65536}, {"more_options": {"unit_id": 256}}):
        with pytest.raises(InvalidData):
            await go_on(hass, result, filled_in | wrong)


async def test_gateway_that_tells_no_hardware_address_goes_by_its_serial_number(
    hass: HomeAssistant, there: Reached
) -> None:
    set_mac(there, "")
    entry = await added(hass, await fill_in(hass, input_for(there)))
    assert entry.unique_id == SERIAL
    await hass.config_entries.async_unload(entry.entry_id)


async def test_only_registers_of_the_map_are_asked_for(
    hass: HomeAssistant, there: Reached
) -> None:
    result = await fill_in(hass, input_for(there))
    end = there.simulator.mate3.chain.end
    assert all(
        request.exception is None and request.address + (request.count or 0) <= end
        for request in there.simulator.requests
        # Behind the block that ends the map there is nothing.
        if request.address < end - 2
    )
    await hass.config_entries.async_unload((await added(hass, result)).entry_id)


# -- what goes wrong ----------------------------------------------------------------------


class Words:
    """A Modbus device that holds some words and refuses all other addresses."""

    silent = False

    def __init__(self, words: Mapping[int, int]) -> None:
        """Hold these."""
        self.words = dict(words)

    def read(self, table: Table, address: int, count: int) -> list[int]:
        """Return words."""
        wanted = range(address, address + count)
        if table is not Table.HOLDING or not self.words.keys() >= {*wanted}:
            raise RefusedError(ILLEGAL_ADDRESS)
        return [self.words[place] for place in wanted]

    def check_write(self, address: int, words: Sequence[int], *, single: bool) -> None:
        """Refuse."""
        raise RefusedError(ILLEGAL_ADDRESS)

    def store(self, address: int, words: Sequence[int]) -> bool:
        """Do nothing."""
        return False


def chain_of(*blocks: tuple[int, int], end: bool = True) -> dict[int, int]:
    """Return the registers of a map of blocks: number and length, filled with 0."""
    words = [*SUNS]
    for did, length in blocks:
        words += [did, length, *[0] * length]
    return dict(enumerate([*words, *(END if end else ())], BASE))


@asynccontextmanager
async def serving(words: Mapping[int, int]) -> AsyncIterator[int]:
    """Serve registers and return the port."""
    async with ModbusSimulator(dict.fromkeys(range(256), Words(words))) as simulator:
        yield await simulator.start_tcp(HOST)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ({}, "register 40000 is refused"),
        (dict.fromkeys(range(100), 0), "register 40000 is refused"),
        (dict.fromkeys(range(BASE, BASE + 200), 0), "holds 0000 0000 instead of SunS"),
        (
            # What is not there, not a key.
            dict.fromkeys(range(BASE, BASE + 200), 0xFFFF),
            "holds FFFF FFFF instead of SunS",
        ),
        (chain_of((1, 66), (103, 50), (120, 26)), "only 1, 103, 120"),
        (chain_of(), "only none"),
        (chain_of((64110, 420)), "only 64110"),
        (chain_of((1, 65), end=False), "the map ends at 40069"),
        (chain_of(*[(7, 1)] * 200), "no end after 100 blocks"),
        (chain_of((1, 65)) | {BASE + 3: 0xFFF0}, "beyond all registers"),
        (chain_of(*[(0, 0)] * 200), "no end after 100 blocks"),
    ],
    ids=[
        "no_registers",
        "another_maker",
        "zeros",
        "ones",
        "another_sunspec_device",
        "no_blocks",
        "half_a_gateway",
        "no_end",
        "endless",
        "too_long",
        "endless_zeros",
    ],
)
async def test_what_is_no_gateway_is_not_added(
    hass: HomeAssistant, words: dict[int, int], says: str
) -> None:
    async with serving(words) as port:
        result = await fill_in(
            hass, {"host": HOST, "port": port, "more_options": {"unit_id": 1}}
        )
        text = await error_text(hass, result, "not_a_mate3")
    assert says in text
    assert f"{HOST}:{port}" in text


@pytest.mark.parametrize(
    "answer",
    [b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n", b"\0" * 300],
    ids=["web_server", "zeros"],
)
async def test_other_servers_are_no_gateways(
    hass: HomeAssistant, answer: bytes
) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(answer)
        await writer.drain()
        await reader.read()
        writer.close()

    server = await asyncio.start_server(serve, HOST, 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        result = await fill_in(
            hass, {"host": HOST, "port": port, "more_options": {"unit_id": 1}}
        )
        assert result["errors"] is not None
        assert result["errors"]["base"] in ("not_a_mate3", "mate3_no_answer")
        assert HOST in await error_text(hass, result, result["errors"]["base"])


@dataclass(frozen=True, slots=True, kw_only=True)
class Trouble:
    """What is wrong with a gateway, and what is said then."""

    key: str
    says: str
    begin: Any
    end: Any


def _silent(there: Reached) -> None:
    there.simulator.mate3.silent = True


def _answering(there: Reached) -> None:
    there.simulator.mate3.silent = False


def _encrypted(there: Reached) -> None:
    there.simulator.mate3.encryption_key = 0x1234


def _plain(there: Reached) -> None:
    there.simulator.mate3.encryption_key = 0


def _no_data(there: Reached) -> None:
    there.simulator.mate3.lose_data(3, 600)


def _no_data_of_one_half(there: Reached) -> None:
    there.simulator.mate3.lose_data(3, 600, did=64112)


def _has_data(there: Reached) -> None:
    there.simulator.mate3._masks.clear()  # noqa: SLF001


def _no_port(there: Reached) -> None:
    there.simulator.mate3.set_word(64112, 3, 0xFFFF, port=3)


def _has_port(there: Reached) -> None:
    for block in there.simulator.mate3.chain.blocks:
        if block.did == 64112 and block.port == 0xFFFF:
            block.port = 3


def _same_port(there: Reached) -> None:
    for did in (64111, 64112):
        there.simulator.mate3.set_word(did, 3, 3, port=4)


def _own_port(there: Reached) -> None:
    chain = there.simulator.mate3.chain
    for did in (64111, 64112):
        block = [block for block in chain.blocks if block.did == did][1]
        block.port = 4


def _nobody(there: Reached) -> None:
    set_mac(there, "")
    set_text(there, COMMON, 51, 16, "")


def _somebody(there: Reached) -> None:
    set_mac(there, "0090EA-000001")


def _away(there: Reached) -> None:
    there.simulator.reboot(600)


def _back(there: Reached) -> None:
    there.simulator.door._shut_until = 0.0  # noqa: SLF001


def _confused(there: Reached) -> None:
    there.simulator.faults = ["short=2"]


def _refusing(there: Reached) -> None:
    there.simulator.faults = ["exception=4"]


def _sound(there: Reached) -> None:
    there.simulator.faults = []


TROUBLES: Final = {
    "silent": Trouble(
        key="mate3_no_answer",
        says="takes the connection but does not answer",
        begin=_silent,
        end=_answering,
    ),
    "encrypted": Trouble(
        key="mate3_encrypted",
        says="has its registers encrypted",
        begin=_encrypted,
        end=_plain,
    ),
    "no_data": Trouble(
        key="mate3_no_data",
        says="has no data of its devices yet",
        begin=_no_data,
        end=_has_data,
    ),
    "no_data_of_one_half": Trouble(
        key="mate3_no_data",
        says="has no data of its devices yet",
        begin=_no_data_of_one_half,
        end=_has_data,
    ),
    "no_port": Trouble(
        key="mate3_no_data",
        says="does not tell its port",
        begin=_no_port,
        end=_has_port,
    ),
    "same_port_twice": Trouble(
        key="mate3_no_data",
        says="are both of the charge controller on port 3",
        begin=_same_port,
        end=_own_port,
    ),
    "nobody": Trouble(
        key="mate3_no_data",
        says="does not tell its hardware address yet",
        begin=_nobody,
        end=_somebody,
    ),
    "shut": Trouble(
        key="mate3_refused",
        says="another program holds the one connection",
        begin=_away,
        end=_back,
    ),
    "garbage": Trouble(
        key="not_a_mate3",
        says="not as an OutBack gateway does",
        begin=_confused,
        end=_sound,
    ),
}


@pytest.mark.parametrize("trouble", TROUBLES)
async def test_what_goes_wrong_is_said_and_can_be_put_right(
    hass: HomeAssistant, there: Reached, trouble: str
) -> None:
    what = TROUBLES[trouble]
    what.begin(there)
    user_input = input_for(there)
    result = await fill_in(hass, user_input)
    text = await error_text(hass, result, what.key)
    assert what.says in text
    assert f"{HOST}:{there.port}" in text
    # What was filled in is still there.
    assert suggested(result) | {"more_options": None} == {
        **user_input,
        "more_options": None,
    }
    # Nothing keeps the one connection that the gateway takes.
    await all_gone(there)
    what.end(there)
    entry = await added(hass, await go_on(hass, result, user_input))
    assert entry.unique_id == MAC
    assert not there.simulator.writes
    await hass.config_entries.async_unload(entry.entry_id)


async def test_gateway_that_is_busy_is_refused_until_it_is_free(
    hass: HomeAssistant, there: Reached
) -> None:
    _, writer = await asyncio.open_connection(there.host, there.port)
    async with asyncio.timeout(5):
        while not clients(there):
            await asyncio.sleep(0)
    result = await fill_in(hass, input_for(there))
    text = await error_text(hass, result, "mate3_refused")
    assert "another program holds the one connection" in text
    writer.close()
    await all_gone(there)
    entry = await added(hass, await go_on(hass, result, input_for(there)))
    await hass.config_entries.async_unload(entry.entry_id)


async def test_host_that_is_not_found_is_told(hass: HomeAssistant) -> None:
    with patch(
        "socket.getaddrinfo",
        side_effect=socket.gaierror(-2, "Name or service not known"),
    ):
        result = await fill_in(
            hass, {"host": "mate3.lan", "port": 502, "more_options": {"unit_id": 1}}
        )
    assert "(mate3.lan:502)" in await error_text(hass, result, "host_not_found")


async def test_gateway_that_refuses_to_tell_who_it_is_is_told(
    hass: HomeAssistant, there: Reached
) -> None:
    _refusing(there)
    result = await fill_in(hass, input_for(there))
    await error_text(hass, result, "not_a_mate3")


async def test_link_that_is_open_with_other_settings_is_told(
    hass: HomeAssistant, there: Reached
) -> None:
    """Another integration speaks to the same port in its own way."""
    assert await async_setup_component(hass, "modbus", {})
    holder = MockConfigEntry(domain="holder")
    holder.add_to_hass(hass)
    link = ModbusTlsParams(host=there.host, port=there.port)
    async_get_unit(hass, holder, link, 1)
    result = await fill_in(hass, input_for(there))
    text = await error_text(hass, result, "link_in_use")
    assert f"{HOST}:{there.port} is already open" in text
    # An entry of ours is not set up then, either.
    entry = await make_entry(there)
    entry.add_to_hass(hass)
    there.simulator.requests.clear()
    await hass.config_entries.async_setup(entry.entry_id)
    assert entry.state is ConfigEntryState.SETUP_ERROR
    assert entry.error_reason_translation_key == "link_in_use"
    assert not there.simulator.requests


# -- what its page says ------------------------------------------------------------------


@asynccontextmanager
async def page(content: bytes) -> AsyncIterator[list[bytes]]:
    """Serve a page as the gateway's web server, and note what is asked for."""
    asked: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append(await reader.readuntil(b"\r\n\r\n"))
        head = f"HTTP/1.1 200 OK\r\nContent-Length: {len(content)}\r\n\r\n"
        writer.write(head.encode() + content)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, HOST, 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        with patch(
            "custom_components.local_solar.flows.mate3_page.PAGE",
            f"http://{{host}}:{port}/CONFIG.xml",
        ):
            yield asked


def config(state: str, port: int = 502) -> bytes:
    """Return a page as a MATE3s has it."""
    return (
        f"<System_Config><Network><SunSpec>{state}</SunSpec>"
        f"<SunSpec_Port>{port}</SunSpec_Port></Network></System_Config>"
    ).encode()


async def test_page_tells_that_modbus_is_off(hass: HomeAssistant) -> None:
    async with page(config("Disabled")) as asked:
        port = _closed_port()
        result = await fill_in(
            hass, {"host": HOST, "port": port, "more_options": {"unit_id": 1}}
        )
    text = await error_text(hass, result, "mate3_modbus_off")
    assert text.startswith(f"{HOST} says on its web page that Modbus is switched off")
    assert len(asked) == 1
    assert asked[0].startswith(b"GET /CONFIG.xml ")


async def test_page_tells_another_port_which_then_works(
    hass: HomeAssistant, there: Reached
) -> None:
    async with page(config("Enabled", there.port)):
        result = await fill_in(
            hass,
            {"host": HOST, "port": _closed_port(), "more_options": {"unit_id": 1}},
        )
        text = await error_text(hass, result, "mate3_other_port")
        assert f"its Modbus port is {there.port}" in text
        entry = await added(hass, await go_on(hass, result, input_for(there)))
        await hass.config_entries.async_unload(entry.entry_id)


@pytest.mark.parametrize("content", [None, b"", b"<html>404</html>"])
async def test_without_such_a_page_the_usual_is_said(
    hass: HomeAssistant, content: bytes | None
) -> None:
    port = _closed_port()
    user_input = {"host": HOST, "port": port, "more_options": {"unit_id": 1}}
    if content is None:
        result = await fill_in(hass, user_input)
    else:
        async with page(content):
            result = await fill_in(hass, user_input)
    text = await error_text(hass, result, "mate3_refused")
    assert "Modbus is off from the factory" in text
    assert f"{HOST}:{port}" in text


async def test_page_that_says_that_all_is_well_leaves_the_other_program(
    hass: HomeAssistant,
) -> None:
    port = _closed_port()
    async with page(config("Enabled", port)):
        result = await fill_in(
            hass, {"host": HOST, "port": port, "more_options": {"unit_id": 1}}
        )
    text = await error_text(hass, result, "mate3_refused")
    assert "another program holds the one connection" in text


async def test_page_is_not_asked_for_where_a_gateway_answers(
    hass: HomeAssistant, there: Reached
) -> None:
    async with page(config("Disabled")) as asked:
        _silent(there)
        result = await fill_in(hass, input_for(there))
        await error_text(hass, result, "mate3_no_answer")
        _answering(there)
        entry = await added(hass, await go_on(hass, result, input_for(there)))
        assert not asked
        await hass.config_entries.async_unload(entry.entry_id)


# -- that is known already ----------------------------------------------------------------


@pytest.mark.parametrize("load", [True, False], ids=["loaded", "not_loaded"])
async def test_known_gateway_is_not_added_twice(
    hass: HomeAssistant, there: Reached, load: bool
) -> None:
    entry = await make_entry(there)
    entry.add_to_hass(hass)
    if load:
        await hass.config_entries.async_setup(entry.entry_id)
        await hass.async_block_till_done()
    result = await fill_in(hass, input_for(there))
    assert await abort_text(hass, result) == ADDED_ALREADY
    assert entry_of(hass) is entry
    # Through the entry's own connection, if it has one.
    assert not there.simulator.door.turned_away
    if load:
        assert entry.state is ConfigEntryState.LOADED
        await coordinator_of(entry).async_refresh()
        assert coordinator_of(entry).awake
        await hass.config_entries.async_unload(entry.entry_id)


async def test_known_gateway_with_another_unit_id_is_not_added_twice(
    hass: HomeAssistant, there: Reached
) -> None:
    entry = await set_up(hass, there)
    result = await fill_in(hass, input_for(there, unit_id=7))
    assert await abort_text(hass, result) == ADDED_ALREADY
    assert not there.simulator.door.turned_away
    await hass.config_entries.async_unload(entry.entry_id)


async def test_two_gateways_are_two_entries(
    hass: HomeAssistant, there: Reached, other: Reached
) -> None:
    entry = await set_up(hass, there)
    result = await fill_in(hass, input_for(other))
    assert result["type"] is FlowResultType.CREATE_ENTRY
    await hass.async_block_till_done()
    second = result["result"]
    assert second.unique_id == OTHER_MAC
    assert {entry.state, second.state} == {ConfigEntryState.LOADED}
    for loaded in (entry, second):
        await hass.config_entries.async_unload(loaded.entry_id)


# -- by discovery ---------------------------------------------------------------------


async def discover(
    hass: HomeAssistant, ip: str = HOST, mac: str = MAC, hostname: str = "mate3s"
) -> ConfigFlowResult:
    """Let a device ask for an address in the network."""
    return await hass.config_entries.flow.async_init(
        DOMAIN,
        context={"source": SOURCE_DHCP},
        data=DhcpServiceInfo(ip=ip, hostname=hostname, macaddress=mac),
    )


@pytest.fixture
def at_usual_port(there: Reached) -> Iterator[None]:
    """Let the gateway be where gateways are from the factory."""
    with patch("custom_components.local_solar.flows.outback.PORT", there.port):
        yield


@pytest.mark.usefixtures("at_usual_port")
async def test_gateway_that_is_found_is_asked_who_it_is_before_it_is_offered(
    hass: HomeAssistant, there: Reached
) -> None:
    result = await discover(hass)
    assert result["type"] is FlowResultType.FORM
    assert result["step_id"] == "outback_discovered"
    assert not hass.config_entries.async_entries(DOMAIN)
    await all_gone(there)

    texts = await async_get_translations(hass, "en", "config", [DOMAIN])
    step = f"component.{DOMAIN}.config"
    said = texts[f"{step}.step.outback_discovered.description"].format(
        **(result["description_placeholders"] or {})
    )
    assert "OutBack MATE3s" in said
    assert f"{HOST}:{there.port}" in said
    for device in (
        "inverter on port 1 (GS8048A)",
        "charge controller on port 3 (FM80-150VDC)",
        "battery monitor on port 5 (FLEXnet DC)",
    ):
        assert device in said
    (flow,) = hass.config_entries.flow.async_progress()
    assert flow["context"]["title_placeholders"] == {"name": "OutBack MATE3s"}
    assert flow["context"].get("confirm_only")
    assert flow["context"]["unique_id"] == MAC

    asked = len(there.simulator.requests)
    entry = await added(hass, await go_on(hass, result, {}))
    assert entry.title == "OutBack MATE3s"
    assert entry.unique_id == MAC
    assert entry.data[CONF_LINK] == {"host": HOST, "port": there.port}
    assert len(there.simulator.requests) > asked
    await hass.config_entries.async_unload(entry.entry_id)


@pytest.mark.usefixtures("at_usual_port")
async def test_gateway_with_nothing_on_its_hub_is_offered(
    hass: HomeAssistant, there: Reached
) -> None:
    chain = there.simulator.mate3.chain
    for device in chain.devices():
        chain.remove_device(device.port)
    result = await discover(hass)
    assert result["description_placeholders"] is not None
    assert result["description_placeholders"]["devices"] == "-"
    entry = await added(hass, await go_on(hass, result, {}))
    await hass.config_entries.async_unload(entry.entry_id)


@pytest.mark.usefixtures("at_usual_port")
async def test_gateway_that_asks_for_an_address_again_is_offered_once(
    hass: HomeAssistant, there: Reached
) -> None:
    await discover(hass)
    asked = len(there.simulator.requests)
    result = await discover(hass)
    assert result["type"] is FlowResultType.ABORT
    assert result["reason"] == "already_in_progress"
    assert len(there.simulator.requests) == asked


@pytest.mark.usefixtures("at_usual_port")
async def test_gateway_that_is_offered_can_be_added_by_its_address_all_the_same(
    hass: HomeAssistant, there: Reached
) -> None:
    await discover(hass)
    entry = await added(hass, await fill_in(hass, input_for(there)))
    assert entry.unique_id == MAC
    assert not hass.config_entries.flow.async_progress()
    await hass.config_entries.async_unload(entry.entry_id)


@pytest.mark.usefixtures("at_usual_port")
async def test_gateway_that_was_ignored_is_not_offered_but_can_be_added(
    hass: HomeAssistant, there: Reached
) -> None:
    MockConfigEntry(domain=DOMAIN, unique_id=MAC, source=SOURCE_IGNORE).add_to_hass(
        hass
    )
    assert await abort_text(hass, await discover(hass)) == ADDED_ALREADY
    assert not there.simulator.requests
    result = await fill_in(hass, input_for(there))
    assert result["type"] is FlowResultType.CREATE_ENTRY
    await hass.async_block_till_done()
    await hass.config_entries.async_unload(result["result"].entry_id)


async def test_known_gateway_is_followed_without_another_connection(
    hass: HomeAssistant, there: Reached
) -> None:
    entry = await make_entry(there)
    entry.add_to_hass(hass)
    port = entry.data[CONF_LINK]["port"]
    hass.config_entries.async_update_entry(
        entry, data={**entry.data, CONF_LINK: {"host": "192.168.1.50", "port": port}}
    )
    await all_gone(there)
    there.simulator.requests.clear()
    assert await abort_text(hass, await discover(hass)) == ADDED_ALREADY
    await hass.async_block_till_done()
    # Its own port, which is not the usual one.
    assert entry.data[CONF_LINK] == {"host": HOST, "port": port}
    assert not there.simulator.requests
    assert not clients(there)


async def test_known_gateway_that_was_lost_is_polled_at_its_new_address(
    hass: HomeAssistant, there: Reached
) -> None:
    entry = await make_entry(there)
    entry.add_to_hass(hass)
    lost = {"host": "localhost", "port": there.port}
    hass.config_entries.async_update_entry(entry, data={**entry.data, CONF_LINK: lost})
    there.simulator.reboot(600)
    await hass.config_entries.async_setup(entry.entry_id)
    assert setup_state(entry) is ConfigEntryState.SETUP_RETRY
    _back(there)
    assert await abort_text(hass, await discover(hass)) == ADDED_ALREADY
    await hass.async_block_till_done()
    assert setup_state(entry) is ConfigEntryState.LOADED
    assert entry.data[CONF_LINK]["host"] == HOST
    # At the same address there is nothing to do.
    asked = len(there.simulator.requests)
    assert await abort_text(hass, await discover(hass)) == ADDED_ALREADY
    await hass.async_block_till_done()
    assert len(there.simulator.requests) == asked
    assert not there.simulator.door.turned_away - 1
    await hass.config_entries.async_unload(entry.entry_id)


@pytest.mark.usefixtures("at_usual_port")
async def test_gateway_that_answers_as_a_known_one_is_followed(
    hass: HomeAssistant, there: Reached
) -> None:
    """Behind a repeater the network sees another hardware address."""
    entry = await make_entry(there)
    entry.add_to_hass(hass)
    hass.config_entries.async_update_entry(
        entry,
        data={**entry.data, CONF_LINK: {"host": "192.168.1.50", "port": there.port}},
    )
    result = await discover(hass, mac="0090eaffffff")
    assert await abort_text(hass, result) == ADDED_ALREADY
    await hass.async_block_till_done()
    assert entry.data[CONF_LINK] == {"host": HOST, "port": there.port}


@pytest.mark.parametrize(
    "trouble", ["silent", "encrypted", "no_data", "shut", "garbage"]
)
@pytest.mark.usefixtures("at_usual_port")
async def test_what_is_no_gateway_is_not_offered(
    hass: HomeAssistant, there: Reached, trouble: str
) -> None:
    TROUBLES[trouble].begin(there)
    result = await discover(hass)
    assert await abort_text(hass, result) == NOT_A_MATE3
    assert not hass.config_entries.flow.async_progress()
    await all_gone(there)


async def test_something_else_of_the_maker_is_not_offered(hass: HomeAssistant) -> None:
    with patch("custom_components.local_solar.flows.outback.PORT", _closed_port()):
        result = await discover(hass, hostname="")
    assert await abort_text(hass, result) == NOT_A_MATE3


# -- after it has moved ---------------------------------------------------------------


async def reconfigure(
    hass: HomeAssistant, entry: ConfigEntry, user_input: UserInput
) -> ConfigFlowResult:
    """Say where a gateway is now."""
    result = await hass.config_entries.flow.async_init(
        DOMAIN, context={"source": SOURCE_RECONFIGURE, "entry_id": entry.entry_id}
    )
    assert result["type"] is FlowResultType.FORM
    assert result["step_id"] == "outback"
    shown = suggested(result)
    assert {"host": shown["host"], "port": shown["port"]} == entry.data[CONF_LINK]
    result = await go_on(hass, result, user_input)
    await hass.async_block_till_done()
    return result


@pytest.mark.parametrize("load", [True, False], ids=["loaded", "not_loaded"])
async def test_gateway_moves_to_another_port(
    hass: HomeAssistant, there: Reached, load: bool
) -> None:
    entry = await make_entry(there, live_interval=30)
    entry.add_to_hass(hass)
    if load:
        await hass.config_entries.async_setup(entry.entry_id)
        await hass.async_block_till_done()
    port = await there.simulator.start_tcp(HOST)
    moved = input_for(there, unit_id=3) | {"port": port}
    result = await reconfigure(hass, entry, moved)
    assert await abort_text(hass, result) == "Reconfiguration was successful"
    assert entry.state is ConfigEntryState.LOADED
    assert entry.unique_id == MAC
    assert entry.data == {
        "kind": "outback",
        "link": {"host": HOST, "port": port},
        "unit_id": 3,
    }
    assert entry.options == {"live_interval": 30}
    assert coordinator_of(entry).address == f"{HOST}:{port}"
    # The old connection was closed before the new one was tried.
    assert clients(there) == 1
    assert not there.simulator.door.turned_away
    await hass.config_entries.async_unload(entry.entry_id)


async def test_gateway_at_the_same_place_is_asked_through_the_entrys_connection(
    hass: HomeAssistant, there: Reached
) -> None:
    entry = await set_up(hass, there)
    result = await reconfigure(hass, entry, input_for(there))
    assert await abort_text(hass, result) == "Reconfiguration was successful"
    assert entry.state is ConfigEntryState.LOADED
    assert not there.simulator.door.turned_away
    await hass.config_entries.async_unload(entry.entry_id)


async def test_another_gateway_does_not_take_the_place_of_an_entrys(
    hass: HomeAssistant, there: Reached, other: Reached
) -> None:
    entry = await set_up(hass, there)
    before = dict(entry.data)
    result = await reconfigure(hass, entry, input_for(other))
    assert await abort_text(hass, result) == ANOTHER_GATEWAY
    assert entry.data == before
    # The entry goes on where it was.
    assert entry.state is ConfigEntryState.LOADED
    await coordinator_of(entry).async_refresh()
    assert coordinator_of(entry).awake
    await all_gone(other)
    assert not other.simulator.writes
    await hass.config_entries.async_unload(entry.entry_id)


@pytest.mark.parametrize("load", [True, False], ids=["loaded", "not_loaded"])
async def test_address_that_is_wrong_can_be_put_right(
    hass: HomeAssistant, there: Reached, load: bool
) -> None:
    entry = await make_entry(there)
    entry.add_to_hass(hass)
    if load:
        await hass.config_entries.async_setup(entry.entry_id)
        await hass.async_block_till_done()
    before = dict(entry.data)
    nowhere = input_for(there) | {"port": _closed_port()}
    result = await reconfigure(hass, entry, nowhere)
    await error_text(hass, result, "mate3_refused")
    assert suggested(result)["port"] == nowhere["port"]
    assert entry.data == before
    state = ConfigEntryState.LOADED if load else ConfigEntryState.NOT_LOADED
    assert entry.state is state

    port = await there.simulator.start_tcp(HOST)
    result = await go_on(hass, result, input_for(there) | {"port": port})
    await hass.async_block_till_done()
    assert await abort_text(hass, result) == "Reconfiguration was successful"
    assert entry.data[CONF_LINK]["port"] == port
    assert setup_state(entry) is ConfigEntryState.LOADED
    await hass.config_entries.async_unload(entry.entry_id)


async def test_entry_that_could_not_be_set_up_is_moved(
    hass: HomeAssistant, there: Reached
) -> None:
    entry = await make_entry(there)
    entry.add_to_hass(hass)
    there.simulator.mate3.silent = True
    with patch(
        "custom_components.local_solar.coordinators.outback.REQUEST_TIMEOUT", 0.2
    ):
        await hass.config_entries.async_setup(entry.entry_id)
    assert setup_state(entry) is ConfigEntryState.SETUP_RETRY
    there.simulator.mate3.silent = False
    port = await there.simulator.start_tcp(HOST)
    result = await reconfigure(hass, entry, input_for(there) | {"port": port})
    assert await abort_text(hass, result) == "Reconfiguration was successful"
    assert setup_state(entry) is ConfigEntryState.LOADED
    await hass.config_entries.async_unload(entry.entry_id)
