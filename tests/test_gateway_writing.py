"""Writes of a gateway's clients: all checks, and nothing that the tables do not know."""

from collections.abc import AsyncIterator
import logging
from typing import Any

from modbus_connection import IllegalDataValueError, ModbusTimeoutError
from pymodbus.client import AsyncModbusTcpClient
import pytest
from pytest_homeassistant_custom_component.common import (
    MockConfigEntry,
    async_capture_events,
)

from custom_components.local_solar.const import CONF_WRITE_ACCESS
from custom_components.local_solar.coordinators.gateway_blocked import (
    AGAIN_AFTER,
    EVENT_BLOCKED,
    MOST_TOLD,
    BlockedWrites,
)
from custom_components.local_solar.coordinators.gateway_writes import (
    setting_of,
    value_of,
)
from custom_components.local_solar.gateway.clients import Client, ClientKind
from custom_components.local_solar.gateway.gateway import WriteRefusedError
from custom_components.local_solar.gateway.pdu import Request
from custom_components.local_solar.modbus.errors import RegisterValueError
from custom_components.local_solar.writing import EVENT_WRITE
from homeassistant.core import HomeAssistant
from homeassistant.helpers import device_registry as dr

from .common import (
    HOST as LINK_HOST,
    Network,
    coordinator_of as inverter_of,
    set_up as set_up_inverter,
)
from .gateway_helpers import (
    HOST,
    WRITERS,
    client_of,
    coordinator_of,
    exception_of,
    set_up,
)
from .simulated import VPP
from .writing_helpers import (
    AC_CHARGE,
    ACTIVE_POWER,
    BATTERY_FIRST,
    CHARGE_STOP_SOC,
    ON,
    POWER_COMMAND_MEMORY,
    SLOT_1,
    SLOT_2,
    Writable,
    act,
    add_unit,
    device_of,
    set_up_writable,
)

pytestmark = pytest.mark.usefixtures("socket_enabled", "settled")

ILLEGAL_FUNCTION, ILLEGAL_ADDRESS, ILLEGAL_VALUE, FAILURE, BUSY = 1, 2, 3, 4, 6

NIGHT_WORDS = [ON | BATTERY_FIRST | 1 << 8, 5 << 8]
"""A slot from 1:00 to 5:00."""


@pytest.fixture
async def gateway(hass: HomeAssistant, entry: MockConfigEntry) -> MockConfigEntry:
    """A gateway on the link of an inverter; its clients may write."""
    return await set_up(hass, options=WRITERS)


@pytest.fixture
async def client(gateway: MockConfigEntry) -> AsyncIterator[AsyncModbusTcpClient]:
    """One of them."""
    async with client_of(gateway) as client:
        # What a write changes takes some looks at the device.
        client.ctx.comm_params.timeout_connect = 10.0
        yield client


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Return what the log warns of."""
    return [
        record.getMessage()
        for record in caplog.records
        if record.levelno == logging.WARNING and "local_solar" in record.name
    ]


def name_of(gateway: MockConfigEntry) -> str:
    """Return the name of the only client."""
    (client,) = coordinator_of(gateway).gateway.clients
    return client.name


# -- what is carried out --------------------------------------------------------------


async def test_word_of_a_setting_is_written_and_recorded(
    hass: HomeAssistant,
    unit: Writable,
    gateway: MockConfigEntry,
    client: AsyncModbusTcpClient,
    caplog: pytest.LogCaptureFixture,
) -> None:
    events = async_capture_events(hass, EVENT_WRITE)
    answer = await client.write_register(ACTIVE_POWER, 70)
    assert not answer.isError()
    assert unit.written == [(ACTIVE_POWER, [70])]
    (event,) = events
    assert event.data["register"] == "active_power_limit"
    assert event.data["value"] == 70
    assert event.data["asked_through"] == f"gateway client {name_of(gateway)}"
    assert event.data["outcome"] == "written"
    told = [
        record.getMessage()
        for record in caplog.records
        if name_of(gateway) in record.getMessage()
    ]
    assert len(told) == 1
    assert coordinator_of(gateway).gateway.statistics.writes == 1


async def test_function_16_writes_one_word_or_a_whole_slot(
    unit: Writable, client: AsyncModbusTcpClient
) -> None:
    assert not (await client.write_registers(CHARGE_STOP_SOC, [80])).isError()
    unit.holding.update({AC_CHARGE: 1, SLOT_1: 0, SLOT_1 + 1: 0})
    assert not (await client.write_registers(SLOT_2, NIGHT_WORDS)).isError()
    assert unit.written == [(CHARGE_STOP_SOC, [80]), (SLOT_2, NIGHT_WORDS)]


async def test_value_that_is_there_is_not_written_again(
    unit: Writable, client: AsyncModbusTcpClient, caplog: pytest.LogCaptureFixture
) -> None:
    unit.holding[ACTIVE_POWER] = 70
    assert not (await client.write_register(ACTIVE_POWER, 70)).isError()
    assert not unit.written
    assert "wrote nothing: active_power_limit is as wanted" in caplog.text


async def test_what_was_written_is_read_at_once(
    unit: Writable, client: AsyncModbusTcpClient
) -> None:
    before = await client.read_holding_registers(ACTIVE_POWER)
    assert before.registers == [100]
    await client.write_register(ACTIVE_POWER, 70)
    after = await client.read_holding_registers(ACTIVE_POWER)
    assert after.registers == [70]


async def test_what_home_assistant_writes_is_read_by_clients_at_once(
    hass: HomeAssistant,
    client: AsyncModbusTcpClient,
    device: dr.DeviceEntry,
) -> None:
    before = await client.read_holding_registers(ACTIVE_POWER)
    assert before.registers == [100]
    await act(
        hass,
        "set_register",
        device,
        register="active_power_limit",
        value=70,
        confirm=True,
    )
    await hass.async_block_till_done()
    after = await client.read_holding_registers(ACTIVE_POWER)
    assert after.registers == [70]


async def test_only_what_was_read_of_that_unit_is_forgotten(
    hass: HomeAssistant, network: Network, unit: Writable
) -> None:
    link = network.add_tcp(LINK_HOST, {1: unit, 2: unit.copy()})
    inverter = await set_up_writable(hass, unit)
    gateway = await set_up(hass, units=[1, 2], options={"max_age": 10})
    async with client_of(gateway) as client:
        for unit_id in (1, 2):
            await client.read_holding_registers(ACTIVE_POWER, device_id=unit_id)
        link.units[2].taken_reads()
        await act(
            hass,
            "set_register",
            device_of(hass, inverter),
            register="active_power_limit",
            value=70,
            confirm=True,
        )
        await hass.async_block_till_done()
        answer = await client.read_holding_registers(ACTIVE_POWER, device_id=1)
        assert answer.registers == [70]
        await client.read_holding_registers(ACTIVE_POWER, device_id=2)
    assert not link.units[2].taken_reads()


# -- what is not ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("address", "words", "code"),
    [
        pytest.param(5000, [1], ILLEGAL_ADDRESS, id="nothing known"),
        pytest.param(43, [5100], ILLEGAL_ADDRESS, id="no setting"),
        pytest.param(2, [1, 70], ILLEGAL_ADDRESS, id="two settings"),
        pytest.param(
            ACTIVE_POWER, [70, 0], ILLEGAL_ADDRESS, id="more than the setting"
        ),
        pytest.param(SLOT_2, NIGHT_WORDS[:1], ILLEGAL_ADDRESS, id="half a slot"),
        pytest.param(SLOT_2 + 1, NIGHT_WORDS[1:], ILLEGAL_ADDRESS, id="its other half"),
        pytest.param(45, [26, 11, 21, 12, 0, 0], ILLEGAL_ADDRESS, id="clock"),
        pytest.param(ACTIVE_POWER, [101], ILLEGAL_VALUE, id="too much"),
        pytest.param(ACTIVE_POWER, [0xFFFF], ILLEGAL_VALUE, id="much too much"),
        pytest.param(AC_CHARGE, [2], ILLEGAL_VALUE, id="neither on nor off"),
        pytest.param(SLOT_2, [ON | 25 << 8, 26 << 8], ILLEGAL_VALUE, id="25 o'clock"),
        pytest.param(SLOT_2, NIGHT_WORDS, ILLEGAL_VALUE, id="needs a second thought"),
    ],
)
async def test_what_the_tables_do_not_allow_is_refused(
    hass: HomeAssistant,
    unit: Writable,
    gateway: MockConfigEntry,
    client: AsyncModbusTcpClient,
    address: int,
    words: list[int],
    code: int,
    caplog: pytest.LogCaptureFixture,
) -> None:
    unit.holding.update({AC_CHARGE: 0, SLOT_1: 0, SLOT_1 + 1: 0})
    events = async_capture_events(hass, EVENT_BLOCKED)
    if len(words) == 1:
        answer = await client.write_register(address, words[0])
    else:
        answer = await client.write_registers(address, words)
    assert exception_of(answer) == code
    assert not unit.written
    await hass.async_block_till_done()
    (event,) = events
    assert event.data["client"] == name_of(gateway)
    assert (event.data["unit"], event.data["address"]) == (1, address)
    assert event.data["words"] == words
    assert event.data["reason"]
    (warning,) = warnings(caplog)
    assert name_of(gateway) in warning
    assert event.data["reason"] in warning


async def test_budget_of_flash_counts_for_clients_as_well(
    unit: Writable, client: AsyncModbusTcpClient
) -> None:
    unit.holding[POWER_COMMAND_MEMORY] = 1
    assert not (await client.write_register(ACTIVE_POWER, 70)).isError()
    answer = await client.write_register(ACTIVE_POWER, 60)
    assert exception_of(answer) == BUSY
    assert unit.written == [(ACTIVE_POWER, [70])]


async def test_refusal_and_silence_of_the_device_are_its_failures(
    hass: HomeAssistant,
    unit: Writable,
    client: AsyncModbusTcpClient,
    caplog: pytest.LogCaptureFixture,
) -> None:
    events = async_capture_events(hass, EVENT_BLOCKED)

    def refuse() -> None:
        raise IllegalDataValueError

    unit.after_write = refuse
    assert exception_of(await client.write_register(ACTIVE_POWER, 70)) == FAILURE
    unit.after_write = None
    unit.fail_requests(ModbusTimeoutError("no answer"))
    assert exception_of(await client.write_register(ACTIVE_POWER, 60)) == FAILURE
    await hass.async_block_till_done()
    # It was not we who blocked it.
    assert not events
    assert len(warnings(caplog)) >= 2


async def test_another_device_is_not_written_to(
    unit: Writable, client: AsyncModbusTcpClient
) -> None:
    unit.set_serial_number("SNL0CE9999")
    assert exception_of(await client.write_register(ACTIVE_POWER, 70)) == FAILURE
    assert not unit.written


def test_only_whole_settings_are_taken_from_all_that_could_be_written(
    entry: MockConfigEntry,
) -> None:
    """Go through all places and lengths around all settings of a hybrid."""
    coordinator = inverter_of(entry)
    assert coordinator.writing is not None
    rows = {
        (row.address, row.words): row.key
        for device in coordinator.devices
        for point in device.points
        if point.setting is not None
        for row in coordinator.rows_of(point.key)
        if row.key == point.key
    }
    assert len(rows) > 30
    tried = {
        (address, length)
        for first, words in rows
        for address in range(max(0, first - 2), first + words + 2)
        for length in range(1, words + 3)
    }
    for address, length in sorted(tried):
        request = Request(1, 16, address, length, (0,) * length)
        if (address, length) in rows:
            found = setting_of(coordinator, coordinator.writing, request)
            assert found.row.key == rows[address, length]
            continue
        with pytest.raises(WriteRefusedError) as refusal:
            setting_of(coordinator, coordinator.writing, request)
        assert refusal.value.code == ILLEGAL_ADDRESS


def test_words_are_taken_for_the_value_they_stand_for(entry: MockConfigEntry) -> None:
    coordinator = inverter_of(entry)
    checked = 0
    for device in coordinator.devices:
        for point in device.points:
            for row in coordinator.rows_of(point.key) if point.setting else ():
                if row.key != point.key or row.words != 1:
                    continue
                for word in (*range(300), 0x7FFF, 0x8000, 0xFFFF):
                    try:
                        value = value_of(row, Request(1, 6, row.address, 1, (word,)))
                        words = row.encode(value)
                    except WriteRefusedError, RegisterValueError:
                        continue
                    assert words == (word,), row.key
                    checked += 1
    assert checked > 1000


# -- who may not ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        pytest.param({}, "switched off in the options of the gateway", id="nobody"),
        pytest.param(
            {**WRITERS, CONF_WRITE_ACCESS: "disabled"},
            "switched off in the options of the gateway",
            id="switched off",
        ),
        pytest.param(
            {**WRITERS, "writers": ["192.0.2.1"]}, "not among those", id="others only"
        ),
    ],
)
async def test_nobody_writes_unless_the_owner_says_so(
    hass: HomeAssistant,
    unit: Writable,
    entry: MockConfigEntry,
    options: dict[str, Any],
    reason: str,
) -> None:
    events = async_capture_events(hass, EVENT_BLOCKED)
    gateway = await set_up(hass, options=options)
    async with client_of(gateway) as client:
        answer = await client.write_register(ACTIVE_POWER, 70)
    assert exception_of(answer) == ILLEGAL_FUNCTION
    assert not unit.written
    await hass.async_block_till_done()
    assert reason in events[0].data["reason"]


async def test_inverter_whose_owner_has_not_switched_writing_on_is_left_alone(
    hass: HomeAssistant, unit: Writable
) -> None:
    await set_up_inverter(hass, unit)
    events = async_capture_events(hass, EVENT_BLOCKED)
    gateway = await set_up(hass, options=WRITERS)
    async with client_of(gateway) as client:
        answer = await client.write_register(ACTIVE_POWER, 70)
    assert exception_of(answer) == ILLEGAL_FUNCTION
    assert not unit.written
    await hass.async_block_till_done()
    assert "options of the inverter" in events[0].data["reason"]


async def test_unit_without_an_entry_is_not_written_to(
    hass: HomeAssistant, network: Network, unit: Writable
) -> None:
    """What it is and what its registers mean is not known."""
    link = network.add_tcp(LINK_HOST, {1: unit, 2: unit.copy()})
    await set_up_writable(hass, unit)
    gateway = await set_up(hass, units=[1, 2], options=WRITERS)
    async with client_of(gateway) as client:
        answer = await client.write_register(ACTIVE_POWER, 70, device_id=2)
        assert exception_of(answer) == ILLEGAL_FUNCTION
    assert link.units[2].holding[ACTIVE_POWER] == 100
    assert not unit.written


@pytest.mark.parametrize(
    ("address", "words"),
    [
        pytest.param(30100, [1], id="control"),
        pytest.param(30407, [1, 60, 50], id="command"),
        pytest.param(30407, [1], id="part of it"),
        pytest.param(30409, [50], id="power"),
    ],
)
async def test_battery_is_never_commanded_by_clients(
    hass: HomeAssistant, network: Network, address: int, words: list[int]
) -> None:
    """Nothing would end the command when its client is gone."""
    unit = add_unit(network, "min_6000tl_xh")
    unit.holding.update(VPP)
    inverter = await set_up_writable(hass, unit)
    assert inverter.runtime_data.battery_control is not None
    events = async_capture_events(hass, EVENT_BLOCKED)
    gateway = await set_up(hass, options=WRITERS)
    async with client_of(gateway) as client:
        answer = await client.write_registers(address, words)
    assert exception_of(answer) == ILLEGAL_ADDRESS
    assert not unit.written
    await hass.async_block_till_done()
    assert "control_battery" in events[0].data["reason"]


# -- what is told ---------------------------------------------------------------------


def make_client(peer: str = HOST) -> Client:
    """Return a client."""
    return Client(name=f"{peer}:50312", kind=ClientKind.TCP, peer=peer)


async def test_same_blocked_write_is_told_now_and_then(
    hass: HomeAssistant,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = 1000.0
    monkeypatch.setattr(
        "custom_components.local_solar.coordinators.gateway_blocked.monotonic",
        lambda: now,
    )
    events = async_capture_events(hass, EVENT_BLOCKED)
    blocked = BlockedWrites(hass, "Modbus gateway")
    request = Request(1, 6, ACTIVE_POWER, 1, (70,))
    for _ in range(5):
        blocked.tell(request, make_client(), "why")
    blocked.tell(request, make_client("192.0.2.1"), "why")
    assert len(warnings(caplog)) == 2
    now += AGAIN_AFTER + 1
    blocked.tell(request, make_client(), "why")
    await hass.async_block_till_done()
    assert len(events) == 3
    assert len(warnings(caplog)) == 3
    assert "4 more" in warnings(caplog)[1]


async def test_flood_of_different_writes_does_not_flood_the_log(
    hass: HomeAssistant, caplog: pytest.LogCaptureFixture
) -> None:
    blocked = BlockedWrites(hass, "Modbus gateway")
    for address in range(1000):
        blocked.tell(Request(1, 6, address, 1, (1,)), make_client(), "why")
    assert len(warnings(caplog)) == MOST_TOLD
