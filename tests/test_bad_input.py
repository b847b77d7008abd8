"""What no device should do, over real sockets and ports: each has an outcome, nothing hangs.

Home Assistant's real connection talks to the simulators and to listeners that are no
Modbus devices at all.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random
import socket
from typing import Any

from modbus_connection import tmodbus
import pytest
from pytest_homeassistant_custom_component.common import MockConfigEntry
import serial
from tenacity import stop_after_delay, wait_none

from custom_components.local_solar.modbus_link import ModbusLink
from homeassistant.config_entries import ConfigEntryState
from homeassistant.const import STATE_UNAVAILABLE
from homeassistant.core import HomeAssistant
from homeassistant.data_entry_flow import FlowResultType
from simulators.faults import Fault
from simulators.growatt import GrowattSimulator
from simulators.modbus import UnknownUnit

from .common import (
    TL_XH,
    coordinator_of,
    enable,
    load_unit,
    make_entry,
    poll_all,
    state_of,
)
from .flows.common import error_text, go_on, more, open_form

HOST = "127.0.0.1"
TIMEOUT = 0.35
"""Seconds to wait for an answer; the simulator needs some milliseconds."""

PATIENCE = 5.0
"""Seconds in which everything must have its outcome."""

KINDS = ["growatt_tcp", "growatt_rtu_tcp"]


@pytest.fixture(autouse=True)
def real_links_in_a_hurry(
    socket_enabled: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Wait for no longer than needed."""
    for module in ("flows.growatt", "coordinators.growatt"):
        at = f"custom_components.local_solar.{module}"
        monkeypatch.setattr(f"{at}.REQUEST_TIMEOUT", TIMEOUT)
        monkeypatch.setattr(f"{at}.DEFAULT_SPACING", 0)
    # A busy device is asked again for a minute, in growing intervals.
    monkeypatch.setattr(tmodbus._RESPONSE_RETRIES, "stop", stop_after_delay(TIMEOUT))  # noqa: SLF001
    monkeypatch.setattr(tmodbus._RESPONSE_RETRIES, "wait", wait_none())  # noqa: SLF001


@pytest.fixture
async def simulator() -> AsyncIterator[GrowattSimulator]:
    """A MIN 6000TL-XH as unit 1."""
    async with GrowattSimulator({1: TL_XH}) as simulator:
        yield simulator


async def listen(simulator: GrowattSimulator, kind: str) -> int:
    """Let a simulator listen in a way that a step of the flow is for."""
    if kind == "growatt_tcp":
        return await simulator.start_tcp()
    return await simulator.start_rtu_tcp()


def link_to(port: int, kind: str = "growatt_tcp") -> ModbusLink:
    """Return the link that such a step makes."""
    if kind == "growatt_tcp":
        return ModbusLink(host=HOST, port=port)
    return ModbusLink.rtu_over_tcp(HOST, port)


async def set_up(
    hass: HomeAssistant, link: ModbusLink, unit_id: int = 1
) -> MockConfigEntry:
    """Set up an entry; it must take no longer than it should."""
    entry = await make_entry(hass, load_unit(), link=link, unit_id=unit_id)
    async with asyncio.timeout(PATIENCE):
        await hass.config_entries.async_setup(entry.entry_id)
        await hass.async_block_till_done()
    return entry


async def poll(entry: MockConfigEntry) -> None:
    """Poll everything; it must take no longer than it should."""
    async with asyncio.timeout(PATIENCE):
        await poll_all(entry)


# -- listeners that are no Modbus devices ---------------------------------------------

type Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]

BAD_REQUEST = (
    b"HTTP/1.1 400 Bad Request\r\nContent-Type: text/html\r\nContent-Length: 19\r\n\r\n"
    b"<html>Sorry.</html>"
)


async def web_server(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    await reader.read(256)
    writer.write(BAD_REQUEST)
    await writer.drain()
    writer.close()


async def patient_web_server(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    while await reader.read(256):
        writer.write(BAD_REQUEST)


async def closes_at_once(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.close()


async def resets_at_once(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.transport.abort()


async def says_nothing(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
    while await reader.read(256):
        pass


async def ssh_server(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    writer.write(b"SSH-2.0-OpenSSH_9.9\r\n")
    await says_nothing(reader, writer)


async def random_bytes(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    random = Random(2026)
    while await reader.read(256):
        writer.write(random.randbytes(300))


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while octets := await reader.read(256):
        writer.write(octets)


@asynccontextmanager
async def listener(handler: Handler) -> AsyncIterator[int]:
    """Listen and yield the port."""

    async def handle(
        reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        try:
            await handler(reader, writer)
        except ConnectionError:
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(handle, HOST, 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        server.close_clients()
        await server.wait_closed()


STRANGERS = {
    "web_server": (web_server, "connection_refused"),
    "patient_web_server": (patient_web_server, "no_answer"),
    "closes_at_once": (closes_at_once, "connection_refused"),
    "resets_at_once": (resets_at_once, "connection_refused"),
    "says_nothing": (says_nothing, "no_answer"),
    "ssh_server": (ssh_server, "no_answer"),
    "random_bytes": (random_bytes, "no_answer"),
    "echo": (echo, "garbage"),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("handler", "error"), STRANGERS.values(), ids=STRANGERS)
async def test_flow_that_meets_a_stranger_says_so_and_goes_on(
    hass: HomeAssistant,
    simulator: GrowattSimulator,
    handler: Handler,
    error: str,
    kind: str,
) -> None:
    async with listener(handler) as port:
        result = await open_form(hass, kind)
        async with asyncio.timeout(PATIENCE):
            result = await go_on(hass, result, {"host": HOST, "port": port, **more()})
        assert f"{HOST}:{port}" in await error_text(hass, result, error)

    port = await listen(simulator, kind)
    result = await go_on(hass, result, {"host": HOST, "port": port, **more()})
    assert result["type"] is FlowResultType.CREATE_ENTRY
    await hass.async_block_till_done()


@pytest.mark.parametrize(
    ("handler", "reason"),
    [
        (handler, None if error == "no_answer" else error)
        for handler, error in STRANGERS.values()
    ],
    ids=STRANGERS,
)
async def test_entry_whose_inverter_was_replaced_by_a_stranger_waits_for_it(
    hass: HomeAssistant, handler: Handler, reason: str | None
) -> None:
    async with listener(handler) as port:
        entry = await set_up(hass, link_to(port))
        assert entry.error_reason_translation_key == reason
        if reason is not None:
            assert entry.state is ConfigEntryState.SETUP_RETRY
        else:
            # As good as a sleeping inverter.
            assert entry.state is ConfigEntryState.LOADED
            assert state_of(hass, entry, "connected").state == "off"
        await hass.config_entries.async_unload(entry.entry_id)


# -- hosts and ports that are not there -----------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
async def test_host_name_that_nobody_knows(
    hass: HomeAssistant, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    def unknown(*_: object, **__: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    result = await open_form(hass, kind)
    async with asyncio.timeout(PATIENCE):
        result = await go_on(
            hass, result, {"host": "nonexistent.invalid", "port": 502, **more()}
        )
    assert "(nonexistent.invalid:502)" in await error_text(
        hass, result, "host_not_found"
    )


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("addresses", [1, 2])
async def test_host_that_refuses_on_all_of_its_addresses(
    hass: HomeAssistant, monkeypatch: pytest.MonkeyPatch, kind: str, addresses: int
) -> None:
    async with listener(says_nothing) as one, listener(says_nothing) as other:
        ports = (one, other)  # they are free now

    def resolve(*_: object, **__: object) -> list[tuple[Any, ...]]:
        return [
            (socket.AF_INET, socket.SOCK_STREAM, 6, "", (HOST, port))
            for port in ports[:addresses]
        ]

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    result = await open_form(hass, kind)
    async with asyncio.timeout(PATIENCE):
        result = await go_on(hass, result, {"host": "gateway", "port": one, **more()})
    assert f"gateway:{one}" in await error_text(hass, result, "connection_refused")


async def test_serial_port_that_is_not_there(
    hass: HomeAssistant, tmp_path: Path
) -> None:
    path = str(tmp_path / "ttyUSB0")
    result = await open_form(hass, "growatt_serial")
    result = await go_on(hass, result, {"device": path, "baudrate": "9600", **more()})
    assert path in await error_text(hass, result, "port_missing")

    entry = await set_up(hass, ModbusLink(device=path, baudrate=9600))
    assert entry.state is ConfigEntryState.SETUP_RETRY
    assert entry.error_reason_translation_key == "port_missing"


async def test_serial_port_that_another_program_has(
    hass: HomeAssistant, simulator: GrowattSimulator, tmp_path: Path
) -> None:
    path = str(await simulator.start_pty(tmp_path / "ttyUSB0"))
    serial_input = {"device": path, "baudrate": "115200", **more()}
    with serial.Serial(path, exclusive=True):
        result = await open_form(hass, "growatt_serial")
        result = await go_on(hass, result, serial_input)
        assert path in await error_text(hass, result, "port_taken")
        entry = await set_up(hass, ModbusLink(device=path, baudrate=115200))
        assert entry.error_reason_translation_key == "port_taken"
        await hass.config_entries.async_remove(entry.entry_id)

    result = await go_on(hass, result, serial_input)
    assert result["type"] is FlowResultType.CREATE_ENTRY
    await hass.async_block_till_done()


async def test_directory_is_no_serial_port(hass: HomeAssistant, tmp_path: Path) -> None:
    result = await open_form(hass, "growatt_serial")
    result = await go_on(
        hass, result, {"device": str(tmp_path), "baudrate": "9600", **more()}
    )
    assert result["errors"] == {"base": "port_taken"}


async def test_serial_adapter_that_is_unplugged_and_plugged_in_again(
    hass: HomeAssistant, simulator: GrowattSimulator, tmp_path: Path
) -> None:
    path = await simulator.start_pty(tmp_path / "ttyUSB0")
    entry = await set_up(hass, ModbusLink(device=str(path), baudrate=115200))
    assert state_of(hass, entry, "connected").state == "on"
    await simulator.stop()
    await poll(entry)
    assert state_of(hass, entry, "connected").state == "off"
    await simulator.start_pty(path)
    await poll(entry)
    assert state_of(hass, entry, "connected").state == "on"


# -- answers that are wrong -----------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("fault", "error"),
    [
        ("drop", "no_answer"),
        ("delay=0.45", "no_answer"),
        ("cut", "no_answer"),  # half a frame
        ("garbage", "no_answer"),
        ("short", "garbage"),
        ("exception=2", "request_refused"),
        ("exception=6", "request_refused"),
        ("exception=0", "request_refused"),
        ("exception=11", "no_answer"),
        ("disconnect", "connection_refused"),
    ],
)
async def test_flow_that_gets_wrong_answers_says_so_and_goes_on(
    hass: HomeAssistant,
    simulator: GrowattSimulator,
    kind: str,
    fault: str,
    error: str,
) -> None:
    port = await listen(simulator, kind)
    simulator.faults = [Fault.parse(fault)]
    result = await open_form(hass, kind)
    user_input = {"host": HOST, "port": port, **more()}
    async with asyncio.timeout(PATIENCE):
        result = await go_on(hass, result, user_input)
    assert f"{HOST}:{port}" in await error_text(hass, result, error)

    simulator.faults = []
    async with asyncio.timeout(PATIENCE):
        result = await go_on(hass, result, user_input)
    assert result["type"] is FlowResultType.CREATE_ENTRY
    await hass.async_block_till_done()


async def test_answers_to_earlier_requests_are_not_taken_for_new_ones(
    hass: HomeAssistant, simulator: GrowattSimulator
) -> None:
    port = await simulator.start_tcp()
    simulator.faults = [Fault.parse("stale")]
    result = await open_form(hass, "growatt_tcp")
    async with asyncio.timeout(PATIENCE):
        result = await go_on(hass, result, {"host": HOST, "port": port, **more()})
    await error_text(hass, result, "no_answer")


async def test_wrong_checksum_on_rtu(
    hass: HomeAssistant, simulator: GrowattSimulator
) -> None:
    port = await simulator.start_rtu_tcp()
    simulator.faults = [Fault.parse("crc")]
    result = await open_form(hass, "growatt_rtu_tcp")
    result = await go_on(hass, result, {"host": HOST, "port": port, **more()})
    await error_text(hass, result, "garbage")


@pytest.mark.parametrize(("spoken", "expected"), [KINDS, KINDS[::-1]])
async def test_bridge_in_the_other_mode(
    hass: HomeAssistant, simulator: GrowattSimulator, spoken: str, expected: str
) -> None:
    port = await listen(simulator, spoken)
    result = await open_form(hass, expected)
    async with asyncio.timeout(PATIENCE):
        result = await go_on(hass, result, {"host": HOST, "port": port, **more()})
    # A bridge in Modbus TCP mode hangs up, one in transparent mode keeps silent.
    assert result["errors"] in ({"base": "no_answer"}, {"base": "connection_refused"})


@pytest.mark.parametrize("unknown_unit", UnknownUnit)
async def test_wrong_unit_id(hass: HomeAssistant, unknown_unit: UnknownUnit) -> None:
    async with GrowattSimulator({1: TL_XH}, unknown_unit=unknown_unit) as simulator:
        port = await simulator.start_tcp()
        result = await open_form(hass, "growatt_tcp")
        result = await go_on(hass, result, {"host": HOST, "port": port, **more(2)})
        assert "unit ID 2" in await error_text(hass, result, "no_answer")
        entry = await set_up(hass, link_to(port), unit_id=2)
        assert state_of(hass, entry, "connected").state == "off"


# -- polls that go wrong --------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("fault", ["drop", "disconnect", "short", "exception=6"])
async def test_answer_that_is_lost_once_is_not_noticed(
    hass: HomeAssistant, simulator: GrowattSimulator, fault: str, kind: str
) -> None:
    entry = await set_up(hass, link_to(await listen(simulator, kind), kind))
    for address in (3000, 3125):
        simulator.faults = [Fault.parse(f"{fault},times=1,address={address}-3249")]
        await poll(entry)
        assert simulator.faults[0].struck == 1
        assert state_of(hass, entry, "connected").state == "on"
        assert state_of(hass, entry, "ac_power").state == "1796.0"
        assert state_of(hass, entry, "battery_soc", battery=True).state == "68"


@pytest.mark.parametrize("kind", KINDS)
async def test_half_a_frame_spoils_one_poll_at_most(
    hass: HomeAssistant, simulator: GrowattSimulator, kind: str
) -> None:
    entry = await set_up(hass, link_to(await listen(simulator, kind), kind))
    simulator.faults = [Fault.parse("cut,times=1")]
    await poll(entry)
    assert state_of(hass, entry, "energy_total").state == "11843.1"
    await poll(entry)
    assert state_of(hass, entry, "connected").state == "on"
    assert state_of(hass, entry, "ac_power").state == "1796.0"
    assert state_of(hass, entry, "battery_soc", battery=True).state == "68"


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("fault", ["drop", "disconnect", "cut", "exception=11"])
async def test_inverter_that_does_not_answer_is_off_and_keeps_its_counters(
    hass: HomeAssistant, simulator: GrowattSimulator, fault: str, kind: str
) -> None:
    entry = await set_up(hass, link_to(await listen(simulator, kind), kind))
    simulator.faults = [Fault.parse(fault)]
    await poll(entry)
    assert state_of(hass, entry, "connected").state == "off"
    assert state_of(hass, entry, "ac_power").state == STATE_UNAVAILABLE
    assert state_of(hass, entry, "energy_total").state == "11843.1"

    simulator.faults = []
    await poll(entry)
    assert state_of(hass, entry, "connected").state == "on"
    assert state_of(hass, entry, "ac_power").state == "1796.0"


@pytest.mark.parametrize(
    "fault", ["short", "exception=6", "exception=2", "exception=4"]
)
async def test_block_that_is_answered_wrongly_is_unavailable_and_others_stay(
    hass: HomeAssistant, simulator: GrowattSimulator, fault: str
) -> None:
    entry = await set_up(hass, link_to(await simulator.start_tcp()))
    simulator.faults = [Fault.parse(f"{fault},address=3171")]
    await poll(entry)
    soc = state_of(hass, entry, "battery_soc", battery=True)
    assert soc.state == STATE_UNAVAILABLE
    assert state_of(hass, entry, "connected").state == "on"
    assert state_of(hass, entry, "ac_power").state == "1796.0"
    total = state_of(hass, entry, "battery_charge_energy_total", battery=True)
    assert total.state == "3125.4"


async def test_link_that_drops_in_the_middle_of_a_poll(
    hass: HomeAssistant, simulator: GrowattSimulator
) -> None:
    entry = await set_up(hass, link_to(await simulator.start_tcp()))
    simulator.faults = [Fault.parse("disconnect,address=3125-3249,times=2")]
    await poll(entry)
    assert state_of(hass, entry, "connected").state == "on"
    assert state_of(hass, entry, "ac_power").state == "1796.0"
    soc = state_of(hass, entry, "battery_soc", battery=True)
    assert soc.state == STATE_UNAVAILABLE
    await poll(entry)
    assert state_of(hass, entry, "battery_soc", battery=True).state == "68"


async def test_gateway_that_goes_and_comes_back(
    hass: HomeAssistant, simulator: GrowattSimulator
) -> None:
    port = await simulator.start_tcp()
    entry = await set_up(hass, link_to(port))
    await simulator.stop()
    for _ in range(2):
        await poll(entry)
        assert state_of(hass, entry, "connected").state == "off"
    await simulator.start_tcp(port=port)
    await poll(entry)
    assert state_of(hass, entry, "connected").state == "on"


@pytest.mark.parametrize("word", [0, 0xFFFF], ids=hex)
async def test_registers_that_are_all_the_same_are_no_measurement(
    hass: HomeAssistant, simulator: GrowattSimulator, word: int
) -> None:
    entry = await set_up(hass, link_to(await simulator.start_tcp()))
    unit = simulator.units[1]
    good = unit.dataset.copy()
    for words in unit.dataset.words.values():
        words.update(dict.fromkeys(range(4000), word))
    for _ in range(3):
        await poll(entry)
        for key in ("ac_power", "grid_l1_voltage", "status", "inverter_temperature"):
            assert state_of(hass, entry, key).state == STATE_UNAVAILABLE
        assert state_of(hass, entry, "energy_total").state == "11843.1"
        assert state_of(hass, entry, "energy_today").state == "6.7"

    unit.dataset = good
    await poll(entry)
    assert state_of(hass, entry, "connected").state == "on"
    assert state_of(hass, entry, "ac_power").state == "1796.0"


@pytest.mark.parametrize("word", [0, 0xFFFF], ids=hex)
async def test_unit_whose_registers_are_all_the_same_is_not_added(
    hass: HomeAssistant, simulator: GrowattSimulator, word: int
) -> None:
    for table in simulator.units[1].dataset.words:
        simulator.units[1].dataset.words[table] = dict.fromkeys(range(4000), word)
    port = await simulator.start_tcp()
    result = await open_form(hass, "growatt_tcp")
    result = await go_on(hass, result, {"host": HOST, "port": port, **more()})
    await error_text(hass, result, "garbage" if word else "no_serial_number")


@pytest.mark.parametrize("total", [0, 1, 118430, 0x7FFFFFFF, 0xFFFFFFFF])
async def test_lifetime_counter_that_jumps_is_not_believed_at_once(
    hass: HomeAssistant, simulator: GrowattSimulator, total: int
) -> None:
    entry = await set_up(hass, link_to(await simulator.start_tcp()))
    assert state_of(hass, entry, "energy_total").state == "11843.1"
    simulator.set_word(1, "input", 3051, total >> 16)
    simulator.set_word(1, "input", 3052, total)
    for _ in range(3):
        await poll(entry)
        assert state_of(hass, entry, "energy_total").state == "11843.1"


async def test_clock_in_2051_does_no_harm(
    hass: HomeAssistant, simulator: GrowattSimulator
) -> None:
    await hass.config.async_set_time_zone("UTC")
    simulator.set_word(1, "holding", 45, 2051)
    entry = await set_up(hass, link_to(await simulator.start_tcp()))
    await enable(hass, entry, "clock")
    assert state_of(hass, entry, "clock").state.startswith("2051-04-18T10:34:5")
    assert state_of(hass, entry, "energy_today").state == "6.7"


async def test_every_word_random_breaks_nothing(
    hass: HomeAssistant,
    simulator: GrowattSimulator,
    all_entities_enabled: None,
    caplog: pytest.LogCaptureFixture,
) -> None:
    entry = await set_up(hass, link_to(await simulator.start_tcp()))
    await poll(entry)
    random = Random(51)
    for _ in range(5):
        for words in simulator.units[1].dataset.words.values():
            words.update({address: random.getrandbits(16) for address in words})
        await poll(entry)
        assert state_of(hass, entry, "connected").state == "on"
    assert coordinator_of(entry).last_update_success
    assert not [
        record.getMessage() for record in caplog.records if record.levelname == "ERROR"
    ]
