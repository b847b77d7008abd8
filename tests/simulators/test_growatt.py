"""Growatt's own rules: groups, unit 0, off-grid models, and who a dataset is."""

from collections.abc import AsyncIterator
import logging

from modbus_connection import IllegalDataAddressError, ModbusTimeoutError
from modbus_connection.tmodbus import connect_tcp
import pytest

from custom_components.local_solar.growatt.identify import identify
from simulators.datasets import Dataset, Table
from simulators.growatt import GrowattSimulator, GrowattUnit
from simulators.requests import NoAnswerError, RefusedError

from .clients import bare, mbap, no_answer, read_pdu, rtu, tcp_client

SPF = {
    "holding": {"0": 1, "43": 3400, "45": 2026},
    "input": {"0": 12, "44": 3400, "45": 7},
}


@pytest.fixture
async def hybrid() -> AsyncIterator[GrowattSimulator]:
    async with GrowattSimulator() as simulator:
        yield simulator


def _read(unit: GrowattUnit, table: Table, address: int, count: int) -> list[int] | int:
    """Return the words, or the exception code."""
    try:
        return unit.read(table, address, count)
    except RefusedError as err:
        return err.code


@pytest.mark.parametrize(
    ("table", "address", "count", "answered"),
    [
        (Table.INPUT, 0, 125, True),
        (Table.INPUT, 3000, 125, True),
        (Table.INPUT, 3125, 125, True),
        (Table.INPUT, 3124, 1, True),
        (Table.INPUT, 3124, 2, False),
        (Table.INPUT, 3100, 50, False),
        (Table.INPUT, 124, 2, False),
        (Table.HOLDING, 0, 125, True),
        (Table.HOLDING, 3001, 15, True),
        (Table.HOLDING, 120, 10, False),
        # Groups that this model does not have.
        (Table.INPUT, 1000, 1, False),
        (Table.INPUT, 31000, 1, False),
        (Table.HOLDING, 30099, 1, False),
    ],
)
def test_reads_must_stay_inside_a_group_that_exists(
    table: Table, address: int, count: int, answered: bool
) -> None:
    result = _read(GrowattUnit(Dataset.load("min_6000tl_xh")), table, address, count)
    assert (len(result) == count) if isinstance(result, list) else result == 2
    assert isinstance(result, list) == answered


def test_addresses_that_mean_nothing_read_0() -> None:
    unit = GrowattUnit(Dataset.load("min_6000tl_xh"))
    assert _read(unit, Table.HOLDING, 26, 4) == [19791, 12337, 0, 0]


@pytest.mark.parametrize("count", [1, 2])
async def test_writes_obey_the_groups_too(hybrid: GrowattSimulator, count: int) -> None:
    async with tcp_client(await hybrid.start_tcp()) as client:
        answer = await client.write_registers(124, [5] * count, device_id=1)
    assert answer.isError() == (count == 2)
    assert hybrid.word(1, "holding", 124) == (5 if count == 1 else 0)


def test_vpp_sections_are_groups_of_their_own() -> None:
    words = {"holding": {"43": 5100, "30100": 1, "30150": 2}, "input": {"31010": 1}}
    unit = GrowattUnit(Dataset.parse(words))
    assert _read(unit, Table.HOLDING, 30100, 50) == [1] + [0] * 49
    assert _read(unit, Table.HOLDING, 30149, 2) == 2
    assert _read(unit, Table.INPUT, 31000, 1) == 2
    assert _read(unit, Table.INPUT, 31010, 90) == [1] + [0] * 89


@pytest.mark.parametrize("code", [3400, 3403, 64541, 210, 2049])
def test_old_and_off_grid_models_have_groups_of_45(code: int) -> None:
    words = {"holding": {"43": code, "45": 1}, "input": {"0": 1}}
    unit = GrowattUnit(Dataset.parse(words))
    assert _read(unit, Table.INPUT, 0, 45) == [1] + [0] * 44
    assert _read(unit, Table.INPUT, 0, 46) == 2
    assert _read(unit, Table.HOLDING, 43, 2) == [code, 0]
    assert _read(unit, Table.HOLDING, 44, 2) == 2


async def test_unit_0_is_answered_as_unit_1_for_the_type_code_only(
    hybrid: GrowattSimulator,
) -> None:
    answer = bytes((3, 2)) + (5100).to_bytes(2)
    async with bare(await hybrid.start_rtu_tcp()) as client:
        assert await client.ask(rtu(0, read_pdu(3, 43, 1)), 7) == rtu(1, answer)
        client.send(rtu(0, read_pdu(3, 44, 1)))
        assert await client.rest() == b""
    async with bare(await hybrid.start_tcp()) as client:
        assert await client.ask(mbap(0, read_pdu(3, 43, 1)), 11) == mbap(0, answer)
        hybrid.units[1].silent = True
        client.send(mbap(0, read_pdu(3, 43, 1)))
        assert await client.rest() == b""


async def test_touching_30000_resets_an_spf(caplog: pytest.LogCaptureFixture) -> None:
    async with (
        GrowattSimulator({1: SPF}) as simulator,
        tcp_client(await simulator.start_tcp()) as client,
    ):
        unit = simulator.units[1]
        unit.reset_seconds = 0.3
        assert (await client.read_input_registers(44, device_id=1)).registers == [3400]
        with caplog.at_level(logging.WARNING), no_answer(client):
            await client.read_holding_registers(30000, count=2, device_id=1)
        assert unit.resets == 1
        assert "unit 1: touching holding 30000-30001 resets an SPF" in caplog.text
        with no_answer(client):
            await client.read_input_registers(44, device_id=1)
        while unit.silent:
            await client.read_input_registers(
                44, device_id=2, no_response_expected=True
            )
        assert (await client.read_input_registers(44, device_id=1)).registers == [3400]


def test_spf_is_silent_for_a_minute_after_a_write_too() -> None:
    unit = GrowattUnit(Dataset.parse(SPF))
    assert unit.reset_seconds == 60
    with pytest.raises(NoAnswerError):
        unit.write(31999, [1])
    assert unit.silent
    assert unit.resets == 1


async def test_other_models_survive_touching_30000(hybrid: GrowattSimulator) -> None:
    connection = await connect_tcp("127.0.0.1", port=await hybrid.start_tcp())
    try:
        with pytest.raises(IllegalDataAddressError):
            await connection.for_unit(1).read_holding_registers(30000, 2)
    finally:
        await connection.close()
    assert hybrid.units[1].resets == 0


def test_words_can_be_set_from_outside() -> None:
    hybrid = GrowattSimulator()
    hybrid.set_word(1, "input", 3171, 33)
    assert _read(hybrid.units[1], Table.INPUT, 3171, 1) == [33]
    assert hybrid.word(1, "input", 3171) == 33


async def test_a_simulator_changes_its_own_copy_only() -> None:
    dataset = Dataset.parse({"holding": {"3": 1}})
    async with (
        GrowattSimulator({1: dataset}) as simulator,
        tcp_client(await simulator.start_tcp()) as client,
    ):
        await client.write_register(3, 9, device_id=1)
        assert simulator.word(1, "holding", 3) == 9
    assert dataset.get(Table.HOLDING, 3) == 1


async def test_modbus_connection_sees_refusals_and_silence(
    hybrid: GrowattSimulator,
) -> None:
    connection = await connect_tcp(
        "127.0.0.1", port=await hybrid.start_tcp(), timeout=0.2
    )
    try:
        with pytest.raises(IllegalDataAddressError):
            await connection.for_unit(1).read_input_registers(3124, 2)
        with pytest.raises(ModbusTimeoutError):
            await connection.for_unit(7).read_input_registers(3000, 2)
    finally:
        await connection.close()


@pytest.mark.parametrize(
    ("name", "profile", "serial", "strings", "battery"),
    [
        ("min_6000tl_xh", "min_tl_xh", "SNL0DEMO01", 2, True),
        ("min_5000tl_x", "min_tl_x", "XTD0DEMO01", 2, False),
        ("min_7600tl_xh_us", "min_tl_xh_us", "JGQ0DEMO01", 3, True),
    ],
)
async def test_shipped_datasets_are_recognised(
    name: str, profile: str, serial: str, strings: int, battery: bool
) -> None:
    async with GrowattSimulator({1: name}) as simulator:
        connection = await connect_tcp("127.0.0.1", port=await simulator.start_tcp())
        try:
            found = await identify(connection.for_unit(1))
        finally:
            await connection.close()
    assert (found.profile, found.serial_number) == (profile, serial)
    assert (found.strings, found.phases, found.battery) == (strings, 1, battery)
