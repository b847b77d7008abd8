"""The bus: transports, faults as clients see them, timing, capture, listening."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from itertools import pairwise
import json
import os
from pathlib import Path
import socket
import time

from modbus_connection import ModbusTimeoutError
from modbus_connection.tmodbus import connect_serial, connect_tcp
from pymodbus import FramerType
from pymodbus.client import AsyncModbusSerialClient
import pytest
import serial

from simulators.datasets import Dataset, Table
from simulators.errors import SimulatorError
from simulators.growatt import GrowattSimulator
from simulators.modbus import UnknownUnit
from simulators.wire import SerialLine

from .clients import PATIENCE, bare, crc, mbap, no_answer, read_pdu, rtu, tcp_client

WORDS = {
    "holding": {"3": 100, "43": 5100, "44": 0x0201},
    "input": {str(address): address for address in range(3000, 3125)},
    "fc20": {"14": 0, "15": 1079},
}


@pytest.fixture
async def bus() -> AsyncIterator[GrowattSimulator]:
    async with GrowattSimulator({1: WORDS, 2: {**WORDS, "holding": {"3": 55}}}) as bus:
        yield bus


@pytest.fixture
async def pty(bus: GrowattSimulator, tmp_path: Path) -> Path:
    return await bus.start_pty(tmp_path / "pty")


# --- transports ---


async def test_pymodbus_reads_and_writes_over_tcp(bus: GrowattSimulator) -> None:
    async with tcp_client(await bus.start_tcp()) as client:
        answer = await client.read_input_registers(3000, count=125, device_id=1)
        assert answer.registers == list(range(3000, 3125))
        answer = await client.read_holding_registers(43, count=2, device_id=1)
        assert answer.registers == [5100, 0x0201]
        assert not (await client.write_register(3, 80, device_id=1)).isError()
        assert not (await client.write_registers(4, [7, 8], device_id=1)).isError()
        answer = await client.read_holding_registers(3, count=3, device_id=1)
        assert answer.registers == [80, 7, 8]


async def test_pymodbus_reads_and_writes_rtu_over_tcp(bus: GrowattSimulator) -> None:
    async with tcp_client(await bus.start_rtu_tcp(), FramerType.RTU) as client:
        answer = await client.read_input_registers(3000, count=125, device_id=1)
        assert answer.registers == list(range(3000, 3125))
        assert not (await client.write_registers(4, [7, 8], device_id=1)).isError()
        assert bus.word(1, Table.HOLDING, 5) == 8


async def test_pymodbus_reads_a_pty(bus: GrowattSimulator, pty: Path) -> None:
    client = AsyncModbusSerialClient(
        str(pty), baudrate=9600, timeout=1, retries=0, reconnect_delay=0
    )
    assert await client.connect()
    try:
        answer = await client.read_input_registers(3000, count=125, device_id=1)
        assert answer.registers == list(range(3000, 3125))
    finally:
        client.close()


async def test_pyserial_reads_a_pty(bus: GrowattSimulator, pty: Path) -> None:
    def ask() -> bytes:
        with serial.Serial(str(pty), 9600, timeout=2, exclusive=True) as port:
            port.write(rtu(1, read_pdu(3, 43, 2)))
            return port.read(9)

    expected = rtu(1, bytes((3, 4)) + (5100).to_bytes(2) + (0x0201).to_bytes(2))
    for _ in range(2):
        assert await asyncio.to_thread(ask) == expected


async def test_modbus_connection_reads_all_transports(
    bus: GrowattSimulator, pty: Path
) -> None:
    tcp, rtu_tcp = await bus.start_tcp(), await bus.start_rtu_tcp()
    for connection in (
        await connect_tcp("127.0.0.1", port=tcp),
        await connect_serial(f"socket://127.0.0.1:{rtu_tcp}"),
        await connect_serial(str(pty)),
    ):
        try:
            unit = connection.for_unit(1)
            assert await unit.read_input_registers(3000, 2) == [3000, 3001]
            await unit.write_register(3, 70)
            await unit.write_registers(4, [1, 2])
            assert await unit.read_holding_registers(3, 3) == [70, 1, 2]
        finally:
            await connection.close()
    assert [request.listener for request in bus.requests[::4]] == [
        *("tcp", "rtu-tcp", "pty"),
    ]


async def test_units_have_registers_of_their_own(bus: GrowattSimulator) -> None:
    async with tcp_client(await bus.start_tcp()) as client:
        for unit, word in ((1, 100), (2, 55)):
            answer = await client.read_holding_registers(3, device_id=unit)
            assert answer.registers == [word]
        await client.write_register(3, 60, device_id=2)
    assert [bus.word(unit, "holding", 3) for unit in (1, 2)] == [100, 60]


async def test_meter_function_is_served(bus: GrowattSimulator) -> None:
    expected = bytes((0x20, 4)) + (0).to_bytes(2) + (1079).to_bytes(2)
    async with bare(await bus.start_tcp()) as client:
        frame = mbap(1, read_pdu(0x20, 14, 2))
        assert await client.ask(frame, 13) == mbap(1, expected)
    async with bare(await bus.start_rtu_tcp()) as client:
        frame = rtu(1, read_pdu(0x20, 14, 2))
        assert await client.ask(frame, 9) == rtu(1, expected)


# --- requests that are odd ---


async def test_requests_sent_at_once_are_all_answered_in_order(
    bus: GrowattSimulator,
) -> None:
    frames = [mbap(1, read_pdu(4, 3000 + n, 1), transaction=n) for n in range(50)]
    async with bare(await bus.start_tcp()) as client:
        answers = await client.ask(b"".join(frames), 50 * 11)
    for n in range(50):
        answer = answers[11 * n : 11 * n + 11]
        assert answer == mbap(1, bytes((4, 2)) + (3000 + n).to_bytes(2), transaction=n)


async def test_requests_may_come_in_pieces(bus: GrowattSimulator) -> None:
    tcp, rtu_tcp = await bus.start_tcp(), await bus.start_rtu_tcp()
    for port, frame, size in (
        (tcp, mbap(1, read_pdu(4, 3000, 1)), 11),
        (rtu_tcp, rtu(1, read_pdu(4, 3000, 1)), 7),
    ):
        async with bare(port) as client:
            for octet in frame[:-1]:
                client.send(bytes((octet,)))
                await asyncio.sleep(0.002)
            assert len(await client.ask(frame[-1:], size)) == size


async def test_rtu_finds_back_after_an_unfinished_request(
    bus: GrowattSimulator,
) -> None:
    async with bare(await bus.start_rtu_tcp()) as client:
        client.send(bytes((1, 16, 0, 0, 0, 100, 200)))
        await asyncio.sleep(0.25)
        assert len(await client.ask(rtu(1, read_pdu(4, 3000, 1)), 7)) == 7


async def test_rtu_ignores_a_request_with_a_wrong_checksum(
    bus: GrowattSimulator,
) -> None:
    frame = rtu(1, read_pdu(4, 3000, 1))
    async with bare(await bus.start_rtu_tcp()) as client:
        client.send(frame[:-1] + bytes((frame[-1] ^ 1,)))
        assert await client.rest() == b""
    assert bus.requests == []


async def test_tcp_hangs_up_on_what_is_not_modbus(bus: GrowattSimulator) -> None:
    port = await bus.start_tcp()
    for nonsense in (b"GET / HTTP/1.1\r\n\r\n", bytes((0, 1, 0, 0, 0xFF, 0xFF))):
        async with bare(port) as client:
            client.send(nonsense)
            assert await client.ends()


@pytest.mark.parametrize("function", [1, 2, 5, 7, 8, 15, 17, 22, 23, 24, 43, 65, 100])
async def test_other_functions_are_refused(
    bus: GrowattSimulator, function: int
) -> None:
    pdu = bytes((function,)) + bytes(4)
    async with bare(await bus.start_tcp()) as client:
        assert await client.ask(mbap(1, pdu), 9) == mbap(1, bytes((function | 0x80, 1)))
    assert bus.requests[0].op == f"function_{function}"


async def test_rtu_refuses_a_function_it_does_not_know(bus: GrowattSimulator) -> None:
    async with bare(await bus.start_rtu_tcp()) as client:
        frame = rtu(1, bytes((65, 1, 2, 3)))
        assert await client.ask(frame, 5) == rtu(1, bytes((0xC1, 1)))


@pytest.mark.parametrize(
    ("pdu", "code"),
    [
        (read_pdu(4, 3000, 0), 3),
        (read_pdu(4, 3000, 126), 3),
        (read_pdu(4, 65535, 2), 2),
        (bytes((3, 0)), 3),
        (bytes((16, 0, 3, 0, 2, 4, 0, 1)), 3),
        (bytes((16, 0, 3, 0, 0, 0)), 3),
    ],
)
async def test_senseless_requests_are_refused(
    bus: GrowattSimulator, pdu: bytes, code: int
) -> None:
    async with bare(await bus.start_tcp()) as client:
        assert await client.ask(mbap(1, pdu), 9) == mbap(
            1, bytes((pdu[0] | 0x80, code))
        )


async def test_unknown_unit_is_silent_by_default(bus: GrowattSimulator) -> None:
    async with tcp_client(await bus.start_tcp()) as client:
        with no_answer(client):
            await client.read_holding_registers(3, device_id=9)
        answer = await client.read_holding_registers(3, device_id=1)
        assert answer.registers == [100]
    assert [request.answered is None for request in bus.requests] == [True, False]


async def test_gateway_answers_for_an_unknown_unit() -> None:
    async with (
        GrowattSimulator({1: WORDS}, unknown_unit=UnknownUnit.GATEWAY) as bus,
        tcp_client(await bus.start_tcp()) as client,
    ):
        answer = await client.read_holding_registers(3, device_id=9)
        assert answer.exception_code == 11
        assert bus.requests[0].exception == 11


async def test_a_silent_unit_hears_nothing(bus: GrowattSimulator) -> None:
    async with tcp_client(await bus.start_tcp()) as client:
        bus.units[1].silent = True
        with no_answer(client):
            await client.write_register(3, 1, device_id=1)
        assert (await client.read_holding_registers(3, device_id=2)).registers == [55]
        bus.units[1].silent = False
        assert (await client.read_holding_registers(3, device_id=1)).registers == [100]


async def test_write_to_unit_0_reaches_all_and_is_not_answered(
    bus: GrowattSimulator,
) -> None:
    async with bare(await bus.start_rtu_tcp()) as client:
        client.send(rtu(0, bytes((6, 0, 3, 0, 33))))
        assert await client.rest() == b""
    assert [bus.word(unit, "holding", 3) for unit in (1, 2)] == [33, 33]


async def test_unit_that_refuses_does_not_keep_others_from_a_write_to_all() -> None:
    with_group = {"holding": {"3": 1, "500": 1}}
    async with (
        GrowattSimulator({1: {"holding": {"3": 1}}, 2: with_group}) as bus,
        bare(await bus.start_rtu_tcp()) as client,
    ):
        client.send(rtu(0, bytes((6, 500 >> 8, 500 & 0xFF, 0, 33))))
        assert await client.rest() == b""
        assert bus.word(2, "holding", 500) == 33
        assert bus.requests[0].words == [33]
        assert bus.requests[0].exception is None


# --- faults ---

READ = read_pdu(4, 3000, 2)
ANSWER = bytes((4, 4)) + (3000).to_bytes(2) + (3001).to_bytes(2)


async def test_lost_answer_still_does_what_was_asked(bus: GrowattSimulator) -> None:
    bus.faults = ["drop,times=1"]
    async with tcp_client(await bus.start_tcp()) as client:
        with no_answer(client):
            await client.write_register(3, 42, device_id=1)
        assert (await client.read_holding_registers(3, device_id=1)).registers == [42]
    assert [request.fault for request in bus.requests] == ["drop", None]


async def test_lost_request_does_nothing(bus: GrowattSimulator) -> None:
    bus.faults = ["deaf,times=1"]
    async with tcp_client(await bus.start_tcp()) as client:
        with no_answer(client):
            await client.write_register(3, 42, device_id=1)
        assert (await client.read_holding_registers(3, device_id=1)).registers == [100]


async def test_ignored_write_is_answered_but_not_done(bus: GrowattSimulator) -> None:
    bus.faults = ["ignore"]
    async with tcp_client(await bus.start_tcp()) as client:
        assert not (await client.write_register(3, 42, device_id=1)).isError()
        assert not (await client.write_registers(3, [42], device_id=1)).isError()
        assert (await client.read_holding_registers(3, device_id=1)).registers == [100]
    assert bus.writes == []


async def test_late_write_is_answered_before_it_takes_effect(
    bus: GrowattSimulator,
) -> None:
    bus.faults = ["late=60"]
    async with tcp_client(await bus.start_tcp()) as client:
        assert not (await client.write_register(3, 42, device_id=1)).isError()
        answer = await client.read_holding_registers(3, device_id=1)
        assert answer.registers == [100]
    assert bus.writes == []


async def test_late_write_takes_effect_in_the_end(bus: GrowattSimulator) -> None:
    bus.faults = ["late=0.1"]
    async with tcp_client(await bus.start_tcp()) as client:
        before = time.monotonic()
        await client.write_register(3, 42, device_id=1)
        async with asyncio.timeout(PATIENCE):
            while not bus.writes:
                await client.read_holding_registers(3, device_id=1)
        assert time.monotonic() - before >= 0.1
        answer = await client.read_holding_registers(3, device_id=1)
        assert answer.registers == [42]
    assert [write.words for write in bus.writes] == [[42]]


async def test_late_write_that_is_wrong_is_refused_at_once(
    bus: GrowattSimulator,
) -> None:
    bus.faults = ["late=0.01"]
    async with tcp_client(await bus.start_tcp()) as client:
        answer = await client.write_register(500, 42, device_id=1)
        assert answer.exception_code == 2


@pytest.mark.parametrize("end", ["stop", "power"])
async def test_late_write_is_lost_when_something_ends_before(
    bus: GrowattSimulator, end: str
) -> None:
    bus.faults = ["late=0.3"]
    async with tcp_client(await bus.start_tcp()) as client:
        await client.write_register(3, 42, device_id=1)
    if end == "stop":
        await bus.stop()
    else:
        bus.units[1].power_cycle(60)
    await asyncio.sleep(0.4)
    assert bus.word(1, "holding", 3) == 100
    assert bus.writes == []


async def test_clamped_write_stores_another_last_word(bus: GrowattSimulator) -> None:
    bus.faults = ["clamp=20"]
    async with tcp_client(await bus.start_tcp()) as client:
        answer = await client.write_register(3, 5, device_id=1)
        assert answer.registers == [5]
        assert not (await client.write_registers(4, [7, 8], device_id=1)).isError()
        answer = await client.read_holding_registers(3, count=3, device_id=1)
        assert answer.registers == [20, 7, 20]
    assert [write.words for write in bus.writes] == [[5], [7, 8]]


async def test_delayed_answer_comes_late(bus: GrowattSimulator) -> None:
    bus.faults = ["delay=0.15"]
    async with tcp_client(await bus.start_tcp()) as client:
        before = time.monotonic()
        answer = await client.read_input_registers(3000, count=2, device_id=1)
        assert 0.15 <= time.monotonic() - before < 0.5
        assert answer.registers == [3000, 3001]


async def test_late_answer_keeps_its_transaction_and_its_place(
    bus: GrowattSimulator,
) -> None:
    bus.faults = ["delay=0.1,times=1"]
    async with bare(await bus.start_tcp()) as client:
        client.send(mbap(1, read_pdu(4, 3000, 1), transaction=7))
        await asyncio.sleep(0.02)
        client.send(mbap(1, read_pdu(4, 3001, 1), transaction=8))
        answers = await client.ask(b"", 22)
    assert answers == mbap(1, bytes((4, 2)) + (3000).to_bytes(2), 7) + mbap(
        1, bytes((4, 2)) + (3001).to_bytes(2), 8
    )
    assert bus.overlaps == 1
    assert [request.overlapped for request in bus.requests] == [False, True]


async def _asked(bus: GrowattSimulator, count: int) -> None:
    """Wait until the bus has had so many requests."""
    async with asyncio.timeout(PATIENCE):
        while len(bus.requests) < count:
            await asyncio.sleep(0.001)


@pytest.mark.parametrize("wire", [None, SerialLine(115200)])
async def test_a_late_unit_does_not_hold_up_the_others(
    bus: GrowattSimulator, wire: SerialLine | None
) -> None:
    bus.wire = wire
    bus.faults = ["delay=0.3,unit=1,times=1"]
    async with bare(await bus.start_rtu_tcp()) as client:
        client.send(rtu(1, read_pdu(4, 3000, 1)))
        await _asked(bus, 1)
        for word in range(3001, 3006):
            expected = rtu(2, bytes((4, 2)) + word.to_bytes(2))
            assert await client.ask(rtu(2, read_pdu(4, word, 1)), 7) == expected
        assert bus.requests[0].answered is not None
        assert all(request.overlapped for request in bus.requests[1:])
        late = rtu(1, bytes((4, 2)) + (3000).to_bytes(2))
        assert await client.ask(b"", 7) == late
        await client.ask(rtu(2, read_pdu(4, 3000, 1)), 7)
    took = bus.requests[0].answered - bus.requests[0].received
    # Clocks that have gone for long are not exact to the last bit.
    assert 0.3 - 1e-6 < took < 0.4
    assert not bus.requests[-1].overlapped


async def test_a_late_answer_waits_for_the_line(bus: GrowattSimulator) -> None:
    line = bus.wire = SerialLine(9600)
    bus.faults = ["delay=0.1,unit=1"]
    async with bare(await bus.start_rtu_tcp()) as client:
        client.send(rtu(1, read_pdu(4, 3000, 10)))
        await _asked(bus, 1)
        octets = await client.ask(rtu(2, read_pdu(4, 3000, 125)), 255 + 25)
    assert (octets[0], octets[255]) == (2, 1)
    late, other = bus.requests
    assert late.answered is not None
    assert other.answered is not None
    assert late.answered - other.answered == pytest.approx(line.frame(25))


async def test_wrong_checksum_makes_an_rtu_client_time_out(
    bus: GrowattSimulator,
) -> None:
    bus.faults = ["crc,times=2"]
    port = await bus.start_rtu_tcp()
    async with tcp_client(port, FramerType.RTU) as client:
        with no_answer(client):
            await client.read_input_registers(3000, count=2, device_id=1)
    async with bare(port) as raw:
        answer = await raw.ask(rtu(1, READ), 9)
        assert answer[:-2] == rtu(1, ANSWER)[:-2]
        assert answer[-2:] != crc(answer[:-2])
        assert await raw.ask(rtu(1, READ), 9) == rtu(1, ANSWER)


async def test_modbus_tcp_has_no_checksum_to_be_wrong(bus: GrowattSimulator) -> None:
    bus.faults = ["crc"]
    async with tcp_client(await bus.start_tcp()) as client:
        answer = await client.read_input_registers(3000, count=2, device_id=1)
        assert answer.registers == [3000, 3001]
    assert bus.requests[0].fault is None


@pytest.mark.parametrize("framer", [FramerType.SOCKET, FramerType.RTU])
async def test_short_answer_is_sound_but_lacks_words(
    bus: GrowattSimulator, framer: FramerType
) -> None:
    bus.faults = ["short=3"]
    start = bus.start_tcp if framer is FramerType.SOCKET else bus.start_rtu_tcp
    async with tcp_client(await start(), framer) as client:
        answer = await client.read_input_registers(3000, count=5, device_id=1)
        assert answer.registers == [3000, 3001]


async def test_cut_answer_lacks_its_end(bus: GrowattSimulator) -> None:
    bus.faults = ["cut=4"]
    async with bare(await bus.start_rtu_tcp()) as client:
        client.send(rtu(1, READ))
        assert await client.rest() == rtu(1, ANSWER)[:-4]
    async with bare(await bus.start_tcp()) as client:
        client.send(mbap(1, READ))
        assert await client.rest() == mbap(1, ANSWER)[:-4]
    async with tcp_client(await bus.start_tcp()) as client:
        with no_answer(client):
            await client.read_input_registers(3000, count=2, device_id=1)


async def test_exception_refuses_a_range_and_does_nothing(
    bus: GrowattSimulator,
) -> None:
    bus.faults = ["exception=6,address=3-9"]
    async with tcp_client(await bus.start_tcp()) as client:
        answer = await client.write_register(3, 42, device_id=1)
        assert answer.exception_code == 6
        assert (await client.read_input_registers(3000, device_id=1)).registers == [
            3000
        ]
    assert bus.word(1, "holding", 3) == 100
    assert [request.exception for request in bus.requests] == [6, None]


async def test_garbage_comes_in_the_place_of_the_answer() -> None:
    async with GrowattSimulator({1: WORDS}, faults=["garbage=20"], seed=1) as bus:
        async with bare(await bus.start_rtu_tcp()) as client:
            client.send(rtu(1, READ))
            garbage = await client.rest()
            assert len(garbage) == 20
            assert rtu(1, ANSWER) not in garbage
        async with tcp_client(await bus.start_tcp()) as modbus_client:
            with no_answer(modbus_client):
                await modbus_client.read_input_registers(3000, device_id=1)


async def test_stale_answer_is_that_of_the_request_before(
    bus: GrowattSimulator,
) -> None:
    bus.faults = ["stale,every=2"]
    async with tcp_client(await bus.start_rtu_tcp(), FramerType.RTU) as client:
        await client.read_input_registers(3000, count=2, device_id=1)
        answer = await client.read_input_registers(3010, count=2, device_id=1)
        assert answer.registers == [3000, 3001]
        answer = await client.read_input_registers(3010, count=2, device_id=1)
        assert answer.registers == [3010, 3011]


async def test_disconnect_closes_a_tcp_connection(bus: GrowattSimulator) -> None:
    bus.faults = ["disconnect,times=1"]
    port = await bus.start_tcp()
    async with bare(port) as client:
        client.send(mbap(1, READ))
        assert await client.ends()
    async with bare(port) as client:
        assert await client.ask(mbap(1, READ), 13) == mbap(1, ANSWER)


async def test_disconnect_hangs_up_a_pty_and_offers_a_new_one(
    bus: GrowattSimulator, pty: Path
) -> None:
    bus.faults = ["disconnect,times=1"]

    def ask() -> bytes:
        port = os.open(pty, os.O_RDWR | os.O_NOCTTY)
        try:
            os.write(port, rtu(1, READ))
            return os.read(port, 100)
        finally:
            os.close(port)

    before = pty.readlink()
    with suppress(OSError):  # EIO; some systems give the end of the file instead
        assert await asyncio.to_thread(ask) == b""
    assert bus.requests[0].fault == "disconnect"
    assert pty.readlink() != before or pty.resolve().is_char_device()
    assert await asyncio.to_thread(ask) == rtu(1, ANSWER)


async def test_modbus_connection_sees_faults(bus: GrowattSimulator) -> None:
    connection = await connect_tcp("127.0.0.1", port=await bus.start_tcp(), timeout=0.2)
    try:
        unit = connection.for_unit(1)
        bus.faults = ["drop"]
        with pytest.raises(ModbusTimeoutError):
            await unit.read_input_registers(3000, 2)
        bus.faults = []
        assert await unit.read_input_registers(3000, 2) == [3000, 3001]
    finally:
        await connection.close()


async def test_faults_can_be_combined(bus: GrowattSimulator) -> None:
    bus.faults = ["delay=0.05", "short"]
    async with tcp_client(await bus.start_tcp()) as client:
        before = time.monotonic()
        answer = await client.read_input_registers(3000, count=2, device_id=1)
        assert time.monotonic() - before >= 0.05
        assert answer.registers == [3000]
    assert bus.requests[0].fault == "delay+short"


# --- timing ---


def test_line_takes_the_time_of_its_characters() -> None:
    line = SerialLine(9600)
    assert line.silence == pytest.approx(3.5 * 10 / 9600)
    # Request of 8 bytes, answer of 255: 125 registers.
    assert line.exchange(8, 255) == pytest.approx(263 * 10 / 9600 + 2 * line.silence)
    assert line.exchange(8, 0) == pytest.approx(80 / 9600 + line.silence)
    assert SerialLine(115200).silence == 0.00175


@pytest.mark.parametrize("start", ["start_tcp", "start_rtu_tcp"])
async def test_answers_take_the_time_of_the_wire(start: str) -> None:
    line = SerialLine(9600)
    async with GrowattSimulator({1: WORDS}, wire=line) as bus:
        port = await getattr(bus, start)()
        framer = FramerType.SOCKET if start == "start_tcp" else FramerType.RTU
        async with tcp_client(port, framer) as client:
            before = time.monotonic()
            for count in (1, 60):
                await client.read_input_registers(3000, count=count, device_id=1)
            taken = time.monotonic() - before
    expected = line.exchange(8, 7) + line.exchange(8, 125)
    assert expected <= taken < expected + 0.1


async def test_one_bus_serves_all_clients_one_after_the_other() -> None:
    line = SerialLine(9600)
    async with GrowattSimulator({1: WORDS}, wire=line) as bus:
        port = await bus.start_tcp()
        async with bare(port) as one, bare(port) as other:
            before = time.monotonic()
            await asyncio.gather(
                *(
                    client.ask(mbap(1, read_pdu(4, 3000, 10)), 29)
                    for client in (one, other)
                )
            )
            taken = time.monotonic() - before
    assert taken >= 2 * line.exchange(8, 25)
    assert bus.overlaps == 1


@pytest.mark.parametrize("baud", [1200, 9600, 115200, 4_000_000])
@pytest.mark.parametrize("size", [1, 5, 61, 62, 63, 255])
def test_an_adapter_hands_on_what_the_line_has_brought(baud: int, size: int) -> None:
    line = SerialLine(baud, 0.016)
    packet = bytes(range(size))
    pieces = list(line.pieces(packet))
    assert b"".join(piece for _, piece in pieces) == packet
    assert all(1 <= len(piece) <= 62 for _, piece in pieces)
    moments = [moment for moment, _ in pieces]
    assert moments == sorted(moments)
    assert 0 <= moments[-1] <= 0.016
    came = 0
    for moment, piece in pieces:
        came += len(piece)
        assert came * 10 / baud <= moment + size * 10 / baud + 1e-6


def test_an_adapter_hands_on_a_slow_answer_every_16_ms() -> None:
    pieces = list(SerialLine(9600, 0.016).pieces(bytes(255)))
    assert {len(piece) for _, piece in pieces[:-1]} == {15, 16}
    gaps = [after[0] - before[0] for before, after in pairwise(pieces)]
    assert gaps == pytest.approx([0.016] * 16)


async def test_answers_come_in_bursts(bus: GrowattSimulator, pty: Path) -> None:
    bus.wire = SerialLine(9600, 0.016)
    expected = rtu(
        1, bytes((4, 250)) + b"".join(n.to_bytes(2) for n in range(3000, 3125))
    )
    async with bare(await bus.start_rtu_tcp()) as client:
        client.send(rtu(1, read_pdu(4, 3000, 125)))
        pieces: list[bytes] = []
        while sum(map(len, pieces)) < 255:
            pieces.append(await client.reader.read(255))
    assert b"".join(pieces) == expected
    assert len(pieces) > 5
    unit = (connection := await connect_serial(str(pty))).for_unit(1)
    try:
        assert await unit.read_input_registers(3000, 125) == list(range(3000, 3125))
    finally:
        await connection.close()


async def test_modbus_tcp_comes_in_one_piece(bus: GrowattSimulator) -> None:
    bus.wire = SerialLine(115200, 0.016)
    async with bare(await bus.start_tcp()) as client:
        client.send(mbap(1, READ))
        assert await client.reader.read(255) == mbap(1, ANSWER)


# --- records ---


async def test_requests_are_recorded(bus: GrowattSimulator) -> None:
    async with tcp_client(await bus.start_tcp()) as client:
        before = time.time()
        await client.read_input_registers(3000, count=2, device_id=1)
        await client.write_registers(4, [7, 8], device_id=2)
    read, write = bus.requests
    assert (read.listener, read.unit, read.function, read.op) == (
        "tcp",
        1,
        4,
        "read_input",
    )
    assert (read.address, read.count, read.words) == (3000, 2, [3000, 3001])
    assert read.client.startswith("127.0.0.1:")
    assert before <= read.time <= time.time()
    assert read.answered is not None
    assert read.received <= read.answered <= write.received
    assert (write.op, write.address, write.count) == ("write_multiple", 4, 2)
    assert write.words == [7, 8]
    assert bus.overlaps == 0


async def test_writes_are_those_that_were_carried_out(bus: GrowattSimulator) -> None:
    bus.faults = ["deaf,address=3,times=1", "ignore,address=4", "drop,address=5"]
    async with tcp_client(await bus.start_tcp()) as client:
        with no_answer(client):
            await client.write_register(3, 1, device_id=1)
        await client.write_register(4, 2, device_id=1)
        with no_answer(client):
            await client.write_register(5, 3, device_id=2)
        assert (await client.write_register(500, 4, device_id=1)).isError()
        await client.write_register(6, 5, device_id=1)
        await client.read_holding_registers(6, device_id=1)
        with no_answer(client):
            await client.write_register(6, 6, device_id=9)
    assert [(write.unit, write.address, write.words) for write in bus.writes] == [
        (2, 5, [3]),
        (1, 6, [5]),
    ]


async def test_recording_can_be_switched_off() -> None:
    async with (
        GrowattSimulator({1: WORDS}, record=False) as bus,
        tcp_client(await bus.start_tcp()) as client,
    ):
        await client.read_input_registers(3000, device_id=1)
        assert bus.requests == []


async def test_capture_has_a_line_per_request_and_is_a_dataset(tmp_path: Path) -> None:
    capture = tmp_path / "capture.jsonl"
    async with (
        GrowattSimulator(
            {1: WORDS}, capture=capture, faults=["drop,unit=1,every=4"]
        ) as bus,
        tcp_client(await bus.start_tcp()) as client,
    ):
        await client.read_input_registers(3000, count=2, device_id=1)
        await client.write_register(3, 42, device_id=1)
        await client.read_input_registers(3124, count=2, device_id=1)
        with no_answer(client):
            await client.read_holding_registers(3, device_id=1)
    records = [json.loads(line) for line in capture.read_text().splitlines()]
    assert [abs(record.pop("ts") - time.time()) < 10 for record in records] == [
        True
    ] * 4
    assert records == [
        {"op": "read_input", "unit": 1, "addr": 3000, "count": 2, "regs": [3000, 3001]},
        {"op": "write_single", "unit": 1, "addr": 3, "count": 1, "regs": [42]},
        {
            "op": "read_input",
            "unit": 1,
            "addr": 3124,
            "count": 2,
            "regs": [],
            "error": 2,
        },
        {
            "op": "read_holding",
            "unit": 1,
            "addr": 3,
            "count": 1,
            "regs": [42],
            "fault": "drop",
        },
    ]
    dataset = Dataset.load(capture)
    assert dataset.words[Table.INPUT] == {3000: 3000, 3001: 3001}
    assert dataset.words[Table.HOLDING] == {3: 42}


async def test_capture_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SimulatorError, match="cannot be written: No such file"):
        GrowattSimulator({1: WORDS}, capture=tmp_path / "no" / "capture")


# --- listening ---


async def test_a_port_in_use_is_refused(bus: GrowattSimulator) -> None:
    port = await bus.start_tcp()
    with pytest.raises(SimulatorError) as caught:
        await bus.start_rtu_tcp("127.0.0.1", port)
    assert str(caught.value) == (
        f"cannot listen on 127.0.0.1:{port}: Address already in use"
    )


async def test_a_stopped_simulator_can_start_again_on_the_same_port() -> None:
    simulator = GrowattSimulator({1: WORDS})
    port = await simulator.start_tcp()
    async with bare(port) as client:
        await client.ask(mbap(1, READ), 13)
        await simulator.stop()
        assert await client.ends()
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("127.0.0.1", port)
    assert await simulator.start_tcp(port=port) == port
    async with bare(port) as client:
        assert await client.ask(mbap(1, READ), 13) == mbap(1, ANSWER)
    await simulator.stop()


async def test_stopping_drops_what_has_not_left(bus: GrowattSimulator) -> None:
    bus.faults = ["delay=60"]
    async with bare(await bus.start_tcp()) as client:
        client.send(mbap(1, READ))
        while not bus.requests:
            await asyncio.sleep(0.001)
        await bus.stop()
        assert await client.ends()


async def test_all_clients_can_be_hung_up(bus: GrowattSimulator) -> None:
    port = await bus.start_tcp()
    async with bare(port) as one, bare(port) as other:
        for client in (one, other):
            await client.ask(mbap(1, READ), 13)
        bus.disconnect_clients()
        assert await one.ends()
        assert await other.ends()
    async with bare(port) as client:
        await client.ask(mbap(1, READ), 13)


async def test_a_client_that_never_reads_does_not_stop_the_others(
    bus: GrowattSimulator,
) -> None:
    port = await bus.start_tcp()
    with socket.create_connection(("127.0.0.1", port)) as deaf:
        deaf.setblocking(False)
        for _ in range(200):
            deaf.send(mbap(1, read_pdu(4, 3000, 125)))
        async with bare(port) as client:
            assert await client.ask(mbap(1, READ), 13) == mbap(1, ANSWER)
        await bus.stop()


async def test_pty_link_comes_and_goes(tmp_path: Path) -> None:
    path = tmp_path / "pty"
    path.symlink_to("/nowhere")
    async with GrowattSimulator({1: WORDS}) as simulator:
        assert await simulator.start_pty(path) == path
        assert path.is_symlink()
        assert path.resolve().is_char_device()
    assert not path.is_symlink()


async def test_pty_spares_files_and_reports_missing_folders(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("mine")
    simulator = GrowattSimulator({1: WORDS})
    with pytest.raises(SimulatorError, match="exists and is not a symbolic link"):
        await simulator.start_pty(path)
    assert path.read_text() == "mine"
    with pytest.raises(SimulatorError, match=r"cannot listen on .*: No such file"):
        await simulator.start_pty(tmp_path / "no" / "pty")
    await simulator.stop()


async def test_pty_with_nobody_there_does_not_block(
    bus: GrowattSimulator, pty: Path
) -> None:
    port = os.open(pty, os.O_RDWR | os.O_NOCTTY)
    try:
        for _ in range(100):
            os.write(port, rtu(1, read_pdu(4, 3000, 125)))
            await asyncio.sleep(0)
    finally:
        os.close(port)
    async with bare(await bus.start_tcp()) as client:
        assert await client.ask(mbap(1, READ), 13) == mbap(1, ANSWER)
