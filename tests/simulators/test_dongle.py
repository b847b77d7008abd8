"""The simulated dongle: what it asks and when, and how it takes the answers.

pymodbus plays the inverter and reads what the dongle sends.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime
import json
import os
from pathlib import Path
from typing import override

from hypothesis import given, strategies as st
from pymodbus.datastore import ModbusServerContext
from pymodbus.framer import FramerRTU, FramerType
from pymodbus.pdu import DecodePDU, ModbusPDU
from pymodbus.pdu.register_message import (
    ReadHoldingRegistersRequest,
    ReadHoldingRegistersResponse,
)
from pymodbus.server import ModbusSerialServer, ModbusTcpServer
from pymodbus.simulator import DataType, SimData, SimDevice
import pytest

from simulators.datasets import Table
from simulators.dongle.dongle import Exchange, SimulatedDongle
from simulators.dongle.lines import StreamLine, TerminalLine
from simulators.dongle.steps import BOOT, CONTROL, CYCLE, REPEAT, Step, clock_steps
from simulators.errors import SimulatorError
from simulators.growatt import GrowattSimulator

from .clients import PATIENCE, crc, rtu

RECORDING = (
    Path(__file__).parents[3]
    / "shared/captures/growatt/derived_wire_sample_masked.jsonl"
)
NOW = datetime(2026, 11, 21, 18, 45, 7)
METER = Step(function=0x20, address=0, word=100)
BLOCK = Step(function=4, address=3000, word=125, repeats=1)
SHORT = Step(function=3, address=88, word=2)
WRITE = Step(function=6, address=188, word=0)
FAST = 1e6
"""A speed at which there are no pauses."""


class MeterAnswer(ReadHoldingRegistersResponse):
    """The answer to function 0x20."""

    function_code = 0x20


class MeterRequest(ReadHoldingRegistersRequest):
    """Function 0x20, which reads the same words as function 3 here."""

    function_code = 0x20

    @override
    async def datastore_update(
        self, context: ModbusServerContext, device_id: int
    ) -> ModbusPDU:
        words = await context.async_getValues(device_id, 3, self.address, self.count)
        assert isinstance(words, list)
        return MeterAnswer(registers=[int(word) for word in words])


# --- an inverter that pymodbus plays, and one that says what a test tells it to -------


def _registers() -> SimDevice:
    """Return a device with 32768 registers, each of which holds its address."""
    words = SimData(0, values=list(range(32768)), datatype=DataType.REGISTERS)
    return SimDevice(0, simdata=words)


@asynccontextmanager
async def pymodbus_inverter() -> AsyncIterator[tuple[ModbusTcpServer, int]]:
    """Serve RTU over TCP."""
    server = ModbusTcpServer(
        _registers(),
        framer=FramerType.RTU,
        address=("127.0.0.1", 0),
        custom_pdu=[MeterRequest],
    )
    await server.listen()
    assert isinstance(server.transport, asyncio.Server)
    try:
        yield server, server.transport.sockets[0].getsockname()[1]
    finally:
        await server.shutdown()  # type: ignore[no-untyped-call]


type Talk = Callable[[bytes], Sequence[bytes]]
"""Takes a request and returns the pieces of the answer."""


@dataclass
class Puppet:
    """Hears a dongle and says what it is told to."""

    talk: Talk
    pieces: list[bytes] = field(default_factory=list)
    """What came, as it came."""
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    async def __call__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        """Serve one connection."""
        with suppress(ConnectionError):
            while piece := await reader.read(4096):
                self.pieces.append(piece)
                self.changed.set()
                for answer in self.talk(piece):
                    writer.write(answer)
                    await asyncio.sleep(0)
        writer.close()


@asynccontextmanager
async def puppet(
    talk: Talk = lambda request: (), repeat: float = PATIENCE
) -> AsyncIterator[tuple[Puppet, SimulatedDongle]]:
    """Put a dongle before a puppet."""
    inverter = Puppet(talk)
    server = await asyncio.start_server(inverter, "127.0.0.1", 0)
    line = await StreamLine.connect("127.0.0.1", server.sockets[0].getsockname()[1])
    dongle = SimulatedDongle(line, speed=FAST, repeat=repeat)
    try:
        async with dongle.listening():
            yield inverter, dongle
    finally:
        line.close()
        server.close()
        await server.wait_closed()


def right_answer(step: Step, unit: int = 1) -> bytes:
    """Return an answer whose words are 0, 1, 2 ..."""
    if not step.is_read:
        return rtu(unit, step.pdu)
    words = b"".join(number.to_bytes(2) for number in range(step.word))
    return rtu(unit, bytes((step.function, len(words))) + words)


# --- what it asks ----------------------------------------------------------------------


def test_a_cycle_takes_as_long_as_the_recorded_one() -> None:
    assert sum(step.spacing for step in CYCLE) == pytest.approx(9.5)
    assert sum(step.spacing for step in BOOT[:2]) == pytest.approx(2.3)


@pytest.mark.skipif(not RECORDING.is_file(), reason="needs the recorded bus")
def test_boot_and_cycle_are_the_recorded_ones() -> None:
    records = [json.loads(line) for line in RECORDING.read_text().splitlines()]
    asked = [
        bytes.fromhex(record["hex"])
        for record in records
        if record["role"] == "REQ" and record["from_client"] == "SHINE"
    ]
    cycles = (*BOOT, *(3 * CYCLE))
    assert asked[: len(cycles)] == [rtu(step.unit, step.pdu) for step in cycles]
    known = [*BOOT, *CYCLE]
    assert all(
        any(rtu(step.unit, step.pdu) == frame for step in known)
        for frame in asked
        if frame[1] != 6
    )


@pytest.mark.skipif(not RECORDING.is_file(), reason="needs the recorded bus")
def test_times_are_the_recorded_ones_where_nothing_disturbed_them() -> None:
    records = [json.loads(line) for line in RECORDING.read_text().splitlines()]
    at = [
        (datetime.fromisoformat(record["ts"]), record["hex"])
        for record in records
        if record["role"] == "REQ" and record["from_client"] == "SHINE"
    ]
    anchors = (3, 4, 5, 6)  # Input 3000, 3125, 3250, the meter: never put off.
    first = len(BOOT) + anchors[0]
    for cycle in range(3):
        begins = first + cycle * len(CYCLE)
        expected = 0.0
        for place in anchors:
            moment = at[begins + place - anchors[0]][0]
            assert (moment - at[begins][0]).total_seconds() == pytest.approx(
                expected, abs=0.02
            )
            expected += CYCLE[place].spacing
    assert (at[first + 7][0] - at[first][0]).total_seconds() == pytest.approx(
        9.5, abs=0.02
    )


def test_the_clock_is_set_with_a_year_of_two_digits() -> None:
    steps = clock_steps(NOW)
    assert [(step.function, step.address, step.word) for step in steps] == [
        *((6, 45, 26), (6, 46, 11), (6, 47, 21)),
        *((6, 48, 18), (6, 49, 45), (6, 50, 7)),
    ]


async def test_pymodbus_answers_a_dongle_all_day_long() -> None:
    exchanges: list[Exchange] = []
    async with pymodbus_inverter() as (server, port):
        line = await StreamLine.connect("127.0.0.1", port)
        dongle = SimulatedDongle(
            line, speed=FAST, clock=lambda: NOW, exchanged=exchanges.append
        )
        tally = await dongle.run(12)
        line.close()
        clock = await server.context.async_getValues(1, 3, 45, 6)
        written = {
            step.address: step.word
            for step in (*BOOT, *clock_steps(NOW), CONTROL)
            if not step.is_read
        }
    assert clock == [26, 11, 21, 18, 45, 7]
    asked = [exchange.step for exchange in exchanges]
    boot = [*BOOT, *clock_steps(NOW), CONTROL]
    assert asked[: len(boot)] == boot
    assert asked[len(boot) :] == [*(11 * CYCLE), CONTROL, *CYCLE]
    assert (tally.requests, tally.answered, tally.exceptions) == (len(asked),) * 2 + (
        0,
    )
    assert (tally.repeats, tally.gave_up, tally.damaged, tally.strays) == (0, 0, 0, 0)
    assert 0 < tally.longest_wait < REPEAT
    for exchange in exchanges[-len(CYCLE) :]:
        addresses = range(
            exchange.step.address, exchange.step.address + exchange.step.word
        )
        assert exchange.words == tuple(
            written.get(address, address) for address in addresses
        )


def test_pymodbus_understands_what_it_sends() -> None:
    decoder = DecodePDU(True)
    decoder.register(MeterRequest)
    framer = FramerRTU(decoder)
    for step in (*BOOT, *CYCLE, *clock_steps(NOW), CONTROL):
        frame = rtu(step.unit, step.pdu)
        used, unit, _, octets = framer.decode(frame)
        assert (used, unit) == (len(frame), step.unit)
        request = decoder.decode(octets)
        assert request is not None
        assert (request.function_code, request.address) == (step.function, step.address)
        if step.is_read:
            assert request.count == step.word
            # And how long the answer will be.
            assert step.answer_octets == request.get_response_pdu_size() + 3
        else:
            assert request.registers == [step.word]


async def test_the_simulated_inverter_answers_it() -> None:
    words = {"holding": {"43": 5100}, "input": {"3000": 1}, "fc20": {"14": 1}}
    async with GrowattSimulator({1: words}) as bus:
        line = await StreamLine.connect("127.0.0.1", await bus.start_rtu_tcp())
        tally = await SimulatedDongle(line, speed=FAST).run(1)
        line.close()
        assert bus.overlaps == 0
        assert bus.requests[0].unit == 0
        assert bus.requests[0].words == [5100]
        assert bus.word(1, Table.HOLDING, 45) >= 2026
        assert tally.gave_up == 0
        assert tally.exceptions == sum(
            request.exception is not None for request in bus.requests
        )


async def test_its_pauses_are_shortened_but_not_its_patience() -> None:
    def seconds() -> float:
        return asyncio.get_running_loop().time()

    async with puppet(lambda request: (right_answer(SHORT),)) as (_, dongle):
        dongle.speed = 10
        began = seconds()
        await dongle.take((SHORT,))
        assert 0.15 <= seconds() - began < 0.3
    async with puppet(repeat=0.1) as (_, dongle):
        began = seconds()
        await dongle.take((SHORT,))
        assert 0.1 <= seconds() - began < 0.3


# --- silence ---------------------------------------------------------------------------


async def test_a_block_is_asked_for_once_more_after_silence() -> None:
    async with puppet(repeat=0.05) as (inverter, dongle):
        exchange = await dongle.ask(BLOCK)
    assert inverter.pieces == [rtu(1, BLOCK.pdu)] * 2
    assert (exchange.requests, exchange.is_answered) == (2, False)
    assert (dongle.tally.requests, dongle.tally.repeats, dongle.tally.gave_up) == (
        *(2, 1),
        1,
    )


@pytest.mark.parametrize("step", [METER, WRITE, SHORT])
async def test_meter_and_writes_are_asked_once(step: Step) -> None:
    async with puppet(repeat=0.03) as (inverter, dongle):
        await dongle.ask(step)
    assert inverter.pieces == [rtu(1, step.pdu)]
    assert (dongle.tally.repeats, dongle.tally.gave_up) == (0, 1)


async def test_a_repeat_is_answered() -> None:
    answers = iter([(), (right_answer(BLOCK),)])
    async with puppet(lambda request: next(answers), repeat=0.1) as (_, dongle):
        exchange = await dongle.ask(BLOCK)
    assert exchange.words == tuple(range(125))
    assert exchange.wait >= 0.1 > exchange.since_last
    assert dongle.tally.longest_wait == exchange.wait
    assert (dongle.tally.answered, dongle.tally.repeats, dongle.tally.gave_up) == (
        *(1, 1),
        0,
    )


async def test_a_repeat_may_be_glued_to_itself() -> None:
    async with puppet(repeat=0.05) as (inverter, dongle):
        dongle.glued = True
        await dongle.ask(BLOCK)
    frame = rtu(1, BLOCK.pdu)
    assert inverter.pieces == [frame, 2 * frame]


async def test_the_second_answer_to_a_repeat_is_a_stray() -> None:
    answers = iter([(), 2 * (right_answer(BLOCK),), (right_answer(SHORT),)])
    async with puppet(lambda request: next(answers), repeat=0.1) as (_, dongle):
        assert (await dongle.ask(BLOCK)).is_answered
        await _until(lambda: dongle.tally.strays == 1)
        assert (await dongle.ask(SHORT)).words == (0, 1)
    assert dongle.tally.damaged == 0


async def _until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not condition():
            await asyncio.sleep(0.001)


# --- answers that are wrong --------------------------------------------------------------


def _damaged(answer: bytes) -> bytes:
    return answer[:-1] + bytes((answer[-1] ^ 1,))


@pytest.mark.parametrize(
    ("answer", "counter"),
    [
        (_damaged(right_answer(SHORT)), "damaged"),
        (b"\x01\x63\x00\x00\x00", "damaged"),
        (rtu(2, right_answer(SHORT)[1:-2]), "strays"),
        (rtu(1, bytes((4, 4)) + bytes(4)), "strays"),
        (rtu(1, bytes((3, 2)) + bytes(2)), "strays"),
        (rtu(1, WRITE.pdu), "strays"),
        (rtu(1, bytes((0x84, 2))), "strays"),
    ],
)
async def test_only_the_right_answer_is_taken(answer: bytes, counter: str) -> None:
    async with puppet(lambda request: (answer,), repeat=0.1) as (_, dongle):
        exchange = await dongle.ask(SHORT)
    assert not exchange.is_answered
    assert (dongle.tally.damaged, dongle.tally.strays) == (
        counter == "damaged",
        counter == "strays",
    )


async def test_the_echo_of_a_write_must_be_the_same() -> None:
    echo = rtu(1, WRITE.pdu[:-1] + b"\x09")
    async with puppet(lambda request: (echo,), repeat=0.1) as (_, dongle):
        assert not (await dongle.ask(WRITE)).is_answered
    async with puppet(lambda request: (request,)) as (_, dongle):
        assert (await dongle.ask(WRITE)).words == (0,)


async def test_an_exception_is_an_answer() -> None:
    async with puppet(lambda request: (rtu(1, b"\x86\x01"),)) as (_, dongle):
        exchange = await dongle.ask(CONTROL)
    assert (exchange.words, exchange.exception) == (None, 1)
    assert (dongle.tally.answered, dongle.tally.exceptions) == (1, 1)


async def test_whoever_is_there_may_answer_for_unit_0() -> None:
    step = BOOT[0]
    answer = right_answer(step, unit=7)
    async with puppet(lambda request: (answer,)) as (_, dongle):
        assert (await dongle.ask(step)).words == (0,)


@given(
    data=st.data(),
    step=st.sampled_from([*BOOT, *CYCLE, CONTROL]),
    noise=st.binary(max_size=2),
)
def test_answers_may_come_in_any_pieces(
    data: st.DataObject, step: Step, noise: bytes
) -> None:
    """Cut them anywhere; what is too short to be an answer does not end what follows."""
    answer = right_answer(step)
    cuts = sorted(data.draw(st.sets(st.integers(1, len(answer) - 1), max_size=20)))
    pieces = [
        answer[start:end]
        for start, end in zip([0, *cuts], [*cuts, len(answer)], strict=True)
    ]

    async def ask() -> None:
        line = _Echo(pieces)
        dongle = SimulatedDongle(line, speed=FAST)
        async with dongle.listening():
            # What is left of before is forgotten when the next request is sent.
            line.say(noise)
            while not line.is_quiet:
                await asyncio.sleep(0)
            exchange = await dongle.ask(step)
        assert exchange.is_answered
        assert (dongle.tally.damaged, dongle.tally.strays) == (0, 0)

    asyncio.run(ask())


class _Echo:
    """A line that answers with pieces."""

    def __init__(self, pieces: Sequence[bytes]) -> None:
        self._pieces = pieces
        self._queue: asyncio.Queue[bytes] = asyncio.Queue()

    @property
    def is_quiet(self) -> bool:
        return self._queue.empty()

    def say(self, octets: bytes) -> None:
        if octets:
            self._queue.put_nowait(octets)

    def send(self, octets: bytes) -> None:
        for piece in self._pieces:
            self.say(piece)

    async def receive(self) -> bytes:
        return await self._queue.get()

    def close(self) -> None:
        pass


# --- lines -------------------------------------------------------------------------------


async def test_a_line_that_is_lost_ends_the_run() -> None:
    inverter = Puppet(lambda request: ())
    server = await asyncio.start_server(inverter, "127.0.0.1", 0)
    line = await StreamLine.connect("127.0.0.1", server.sockets[0].getsockname()[1])
    running = asyncio.create_task(SimulatedDongle(line).run())
    async with asyncio.timeout(PATIENCE):
        await inverter.changed.wait()
    server.close()
    server.close_clients()
    with pytest.raises(ConnectionResetError, match="the line is closed"):
        await running
    line.close()


async def test_a_run_can_be_cancelled() -> None:
    async with puppet() as (inverter, _), AsyncExitStack() as stack:
        server = await asyncio.start_server(inverter, "127.0.0.1", 0)
        stack.callback(server.close)
        port = server.sockets[0].getsockname()[1]
        line = await StreamLine.connect("127.0.0.1", port)
        running = asyncio.create_task(SimulatedDongle(line).run())
        await inverter.changed.wait()
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        line.close()


async def test_it_asks_at_a_serial_port(tmp_path: Path) -> None:
    async with GrowattSimulator() as bus:
        line = TerminalLine.open(str(await bus.start_pty(tmp_path / "pty")), 115200)
        tally = await SimulatedDongle(line, speed=FAST).run(2)
        line.close()
    assert tally.gave_up == tally.damaged == tally.strays == 0
    assert tally.answered == tally.requests == len(bus.requests)


async def test_it_offers_a_pseudo_terminal(tmp_path: Path) -> None:
    path = tmp_path / "dongle"
    line = TerminalLine.offer(path)
    assert path.is_symlink()
    server = ModbusSerialServer(
        _registers(),
        framer=FramerType.RTU,
        port=str(path),
        baudrate=115200,
        custom_pdu=[MeterRequest],
    )
    await server.serve_forever(background=True)
    try:
        tally = await SimulatedDongle(line, speed=FAST).run(1)
    finally:
        await server.shutdown()  # type: ignore[no-untyped-call]
        line.close()
    assert tally.answered == tally.requests
    assert not path.is_symlink()
    line.close()
    with pytest.raises(ConnectionResetError):
        line.send(b"?")


async def test_requests_that_nobody_reads_are_lost(tmp_path: Path) -> None:
    line = TerminalLine.offer(tmp_path / "dongle")
    for _ in range(2000):
        line.send(bytes(8))
    line.close()


async def test_a_serial_port_that_goes_away_is_noticed() -> None:
    ours, theirs = os.openpty()
    line = TerminalLine.open(os.ttyname(theirs), 9600)
    os.close(theirs)
    running = asyncio.create_task(SimulatedDongle(line).run())
    await asyncio.sleep(0)
    os.close(ours)
    with pytest.raises(OSError, match=r"closed|error"):
        await asyncio.wait_for(running, PATIENCE)
    line.close()


async def _open_missing(path: Path) -> None:
    TerminalLine.open(str(path / "no"), 9600)


async def _open_file(path: Path) -> None:
    (path / "file").touch()
    TerminalLine.open(str(path / "file"), 9600)


async def _open_odd(path: Path) -> None:
    TerminalLine.open(str(path / "no"), 9601)


async def _offer_file(path: Path) -> None:
    (path / "file").touch()
    TerminalLine.offer(path / "file")


async def _offer_nowhere(path: Path) -> None:
    TerminalLine.offer(path / "no" / "pty")


async def _connect_nowhere(path: Path) -> None:
    await StreamLine.connect("127.0.0.1", 1)


@pytest.mark.parametrize(
    ("opened", "message"),
    [
        (_open_missing, "cannot open .*/no: No such file or directory"),
        (_open_file, "cannot open .*/file: Inappropriate ioctl for device"),
        (_open_odd, "no serial port has 9601 baud"),
        (_offer_file, "file: exists and is not a symbolic link"),
        (_offer_nowhere, "cannot make .*: No such file or directory"),
        (_connect_nowhere, "cannot connect to 127.0.0.1:1: Connection refused"),
    ],
)
async def test_what_cannot_be_opened_is_told_in_one_line(
    opened: Callable[[Path], Awaitable[None]], message: str, tmp_path: Path
) -> None:
    with pytest.raises(SimulatorError, match=message):
        await opened(tmp_path)


def test_our_checksum_is_the_standards() -> None:
    assert rtu(1, METER.pdu).hex() == "01200000006481e6"
    assert crc(bytes.fromhex("0003002b0001")).hex() == "f5d3"
