"""An inverter behind a logger as a Modbus unit, and all that the driver does with one."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import time
import inspect
import math
from typing import Any, Final

from hypothesis import given, strategies as st
from modbus_connection import (
    IllegalDataAddressError,
    IllegalDataValueError,
    IllegalFunctionError,
    ModbusConnectionError,
    ModbusExceptionError,
    ModbusProtocolError,
    ModbusTimeoutError,
    ModbusUnit,
    ServerDeviceFailureError,
)
import pytest

from custom_components.local_solar import write_gate
from custom_components.local_solar.growatt.datalogger import (
    commands,
    session as session_module,
    unit as module,
)
from custom_components.local_solar.growatt.datalogger.records import Block
from custom_components.local_solar.growatt.datalogger.server import Server
from custom_components.local_solar.growatt.datalogger.session import Session
from custom_components.local_solar.growatt.datalogger.unit import (
    RecordedUnit,
    RegistersOnly,
    StickUnit,
    words_in,
)
from custom_components.local_solar.growatt.inverter import Inverter
from custom_components.local_solar.growatt.known_inverter import SYNC_CLOCK
from custom_components.local_solar.growatt.settings import InverterSettings
from custom_components.local_solar.points import TimeSlotChange
from custom_components.local_solar.write_budget import WriteBudget
from custom_components.local_solar.write_errors import (
    OutcomeUnknownError,
    RefusedError,
    WriteError,
    WrongDeviceError,
)
from custom_components.local_solar.write_gate import Outcome, WriteGate, Written
from simulators.datalogger import bodies as their_bodies
from simulators.datalogger.inverters import SimulatedInverter
from simulators.datalogger.packets import Kind
from simulators.datalogger.stick import SimulatedStick
from simulators.datasets import Table
from tests.simulated import IDENTIFIED

from .helpers import (
    INVERTER,
    LOGGER,
    NOON,
    OTHER_INVERTER,
    Notes,
    ping,
    serving,
    stick_at,
    until,
    wire,
)

AT_ONCE: Final = 0.02
"""Seconds, where waiting is to be over soon."""

LIMIT: Final = 3
"""Holding register of ``active_power_limit``."""


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let nothing wait; a session says nothing by itself."""
    monkeypatch.setattr(session_module, "CLOCK_AFTER", math.inf)
    monkeypatch.setattr(session_module, "ASK_AFTER", math.inf)
    monkeypatch.setattr(commands, "SPACING", 0.0)
    monkeypatch.setattr(write_gate, "SETTLE", (0.0, 0.0))


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let nobody wait for an inverter for long."""
    monkeypatch.setattr(commands, "INVERTER_TIMEOUT", AT_ONCE)


async def _forget(ledger: object) -> None:
    """Keep no count of writes."""


@dataclass
class Rig:
    """A stick, the unit that its inverter is, its driver, and the gate in front of it."""

    server: Server
    notes: Notes
    stick: SimulatedStick
    unit: StickUnit = field(default_factory=StickUnit)
    records: list[Written[str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Set it up."""
        self.unit.attach(self.session, 1)
        self.inverter = Inverter(self.unit, IDENTIFIED, spacing=0.0)
        self.settings = InverterSettings(self.unit, self.inverter, lambda: NOON)
        self.gate: WriteGate[str] = WriteGate(
            self.settings,
            WriteBudget({}, _forget),
            lambda _, written: self.records.append(written),
        )

    @property
    def session(self) -> Session:
        """The session of the stick."""
        return self.server.sessions[LOGGER]

    @property
    def behind(self) -> SimulatedInverter:
        """The inverter at unit 1."""
        return self.stick.inverters[1]

    def holding(self, address: int, count: int = 1) -> tuple[int, ...]:
        """Return what the inverter holds."""
        words = self.behind.unit.dataset.words[Table.HOLDING]
        return tuple(words.get(at, 0) for at in range(address, address + count))

    @property
    def told(self) -> list[tuple[int, tuple[int, ...]]]:
        """What the inverter was told to hold."""
        return [(write.address, write.words) for write in self.behind.writes]


@asynccontextmanager
async def _rig(*inverters: SimulatedInverter, **options: Any) -> AsyncIterator[Rig]:
    notes = Notes()
    behind = inverters or (SimulatedInverter(serial=INVERTER),)
    async with (
        serving(Server(notes, lambda: NOON)) as server,
        stick_at(server.port, inverters=behind, **options) as stick,
    ):
        await stick.wait_until(lambda: stick.is_announced)
        stick.inverters[1].unit.checks_limits = False
        rig = Rig(server, notes, stick)
        yield rig
        rig.settings.stop_watching()


@pytest.fixture
async def rig() -> AsyncIterator[Rig]:
    """A MIN 6000TL-XH behind a stick."""
    async with _rig() as made:
        yield made


# -- registers ---------------------------------------------------------------------------


@pytest.mark.parametrize("unit", [StickUnit(), RecordedUnit((), ())])
def test_it_is_a_modbus_unit(unit: object) -> None:
    assert isinstance(unit, ModbusUnit)


async def test_other_functions_are_refused() -> None:
    unit: Any = RegistersOnly()
    for name, method in inspect.getmembers(unit, inspect.iscoroutinefunction):
        if name == "disconnect":
            continue
        count = sum(
            parameter.default is parameter.empty
            for parameter in inspect.signature(method).parameters.values()
        )
        with pytest.raises(IllegalFunctionError):
            await method(*[1] * count)
    unit.set_message_spacing(1.0)
    unit.require_timeout(None)
    unit.require_connect_delay(None)
    unit.on_connection_lost(lambda: None)()
    await unit.disconnect()
    assert unit.connected


async def test_holding_registers_are_read(rig: Rig) -> None:
    assert tuple(await rig.unit.read_holding_registers(0, 125)) == rig.holding(0, 125)
    assert await rig.unit.read_holding_registers(43, 1) == [5100]


async def test_holding_registers_are_written(rig: Rig) -> None:
    await rig.unit.write_register(LIMIT, 80)
    await rig.unit.write_registers(3038, [1, 2])
    writes = [(each.address, each.words, each.single) for each in rig.behind.writes]
    assert writes == [(LIMIT, (80,), True), (3038, (1, 2), False)]
    assert rig.holding(3038, 2) == (1, 2)


@pytest.mark.parametrize("status", [*range(1, 9), 10, 11, 0x80, 0xFF])
async def test_refusal_is_the_modbus_error_of_its_status(rig: Rig, status: int) -> None:
    rig.stick.start_rogue(f"refuses={status}")
    expected = type(ModbusExceptionError.from_code(status))
    for write in (
        rig.unit.write_register(LIMIT, 80),
        rig.unit.write_registers(LIMIT, [80, 1]),
    ):
        with pytest.raises(ModbusExceptionError) as caught:
            await write
        assert type(caught.value) is expected
        assert caught.value.exception_code == status
    assert [type(ModbusExceptionError.from_code(code)) for code in (1, 2, 3, 4)] == [
        *(IllegalFunctionError, IllegalDataAddressError),
        *(IllegalDataValueError, ServerDeviceFailureError),
    ]


async def test_answer_without_values_is_an_illegal_address(rig: Rig) -> None:
    rig.stick.start_rogue("refuses,type=05")
    with pytest.raises(IllegalDataAddressError):
        await rig.unit.read_holding_registers(0, 10)


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("rogue", ["no-answers", "wrong-serial", "late=0.05"])
async def test_silence_is_a_timeout_and_the_line_stays(rig: Rig, rogue: str) -> None:
    rig.stick.start_rogue(rogue)
    with pytest.raises(ModbusTimeoutError):
        await rig.unit.read_holding_registers(0, 10)
    with pytest.raises(ModbusTimeoutError):
        await rig.unit.write_register(LIMIT, 80)
    assert rig.unit.connected
    rig.stick.stop_rogue()
    assert await rig.unit.read_holding_registers(43, 1) == [5100]


async def test_answer_about_more_registers_is_an_error() -> None:
    async with (
        serving(Server(Notes(), lambda: NOON)) as server,
        wire(server.port, ping()) as logger,
    ):
        await logger.receive()
        unit = StickUnit()
        unit.attach(server.sessions[LOGGER], 1)
        reading = asyncio.create_task(unit.read_holding_registers(3, 2))
        asked = await logger.receive()
        answer = their_bodies.Span(LOGGER, 3, 5, (1, 2, 3))
        logger.send(asked.answer(answer.body(6)))
        with pytest.raises(ModbusProtocolError):
            await reading


async def test_there_is_nothing_without_a_line() -> None:
    unit = StickUnit()
    assert not unit.connected
    for call in (
        unit.read_holding_registers(0, 1),
        unit.write_register(0, 1),
        unit.write_registers(0, [1]),
    ):
        with pytest.raises(ModbusConnectionError):
            await call
    with pytest.raises(ModbusTimeoutError):
        await unit.read_input_registers(0, 1)


async def test_input_registers_are_those_of_the_last_record_while_it_is_fresh(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    unit = StickUnit()
    unit.reported((Block(3000, (1, 2, 3)), Block(3003, (4, 5))))
    assert await unit.read_input_registers(3001, 4) == [2, 3, 4, 5]
    with pytest.raises(IllegalDataAddressError):
        await unit.read_input_registers(3004, 2)
    unit.reported((Block(3000, (9,)),))
    assert await unit.read_input_registers(3000, 1) == [9]
    with pytest.raises(IllegalDataAddressError):
        await unit.read_input_registers(3001, 1)
    monkeypatch.setattr(module, "FRESH", -1.0)
    with pytest.raises(ModbusTimeoutError):
        await unit.read_input_registers(3000, 1)


async def test_recorded_unit_gives_what_was_reported() -> None:
    unit = RecordedUnit([Block(0, (1, 2))], [Block(0, (3, 4))])
    assert await unit.read_holding_registers(0, 2) == [1, 2]
    assert await unit.read_input_registers(1, 1) == [4]
    with pytest.raises(IllegalDataAddressError):
        await unit.read_holding_registers(1, 2)


@given(
    words=st.dictionaries(st.integers(0, 40), st.integers(0, 0xFFFF)),
    address=st.integers(0, 45),
    count=st.integers(1, 20),
    order=st.randoms(use_true_random=False),
)
def test_words_are_found_wherever_blocks_begin(
    words: dict[int, int], address: int, count: int, order: Any
) -> None:
    blocks: list[Block] = []
    for at in sorted(words):
        last = blocks[-1] if blocks else None
        if last and last.first + len(last.words) == at and order.random() < 0.5:
            blocks[-1] = Block(last.first, (*last.words, words[at]))
        else:
            blocks.append(Block(at, (words[at],)))
    order.shuffle(blocks)
    wanted = range(address, address + count)
    if all(at in words for at in wanted):
        assert words_in(blocks, address, count) == [words[at] for at in wanted]
    else:
        with pytest.raises(IllegalDataAddressError):
            words_in(blocks, address, count)


# -- its line ----------------------------------------------------------------------------


async def test_who_wants_to_know_is_told_when_the_line_breaks(rig: Rig) -> None:
    lost: list[str] = []
    stop = rig.unit.on_connection_lost(lambda: lost.append("one"))
    rig.unit.on_connection_lost(lambda: lost.append("other"))
    rig.unit.attach(rig.session, 1)
    assert lost == []
    rig.unit.attach(rig.session, 2)
    assert lost == ["one", "other"]
    assert (rig.unit.connected, rig.unit.number) == (True, 2)
    stop()
    stop()
    rig.unit.detach()
    rig.unit.detach()
    assert lost == ["one", "other", "other"]
    assert not rig.unit.connected


async def test_request_ends_with_the_connection(rig: Rig) -> None:
    rig.stick.start_rogue("no-answers")
    reading = asyncio.create_task(rig.unit.read_holding_registers(0, 1))
    await rig.stick.wait_until(lambda: rig.stick.received_of(Kind.READ))
    rig.stick.disconnect()
    with pytest.raises(ModbusConnectionError):
        await reading


@pytest.mark.parametrize("moves", [True, False])
async def test_what_waits_for_its_turn_is_not_told_to_another_inverter(
    rig: Rig, moves: bool
) -> None:
    rig.stick.start_rogue("no-answers")
    first = asyncio.create_task(rig.unit.read_holding_registers(0, 1))
    await rig.stick.wait_until(lambda: rig.stick.received_of(Kind.READ))
    write = asyncio.create_task(rig.unit.write_register(LIMIT, 80))
    await asyncio.sleep(0)
    if moves:
        rig.unit.attach(rig.session, 2)
    else:
        rig.unit.detach()
    first.cancel()
    with pytest.raises(ModbusConnectionError):
        await write
    assert rig.told == []
    assert not rig.stick.received_of(Kind.WRITE)


async def test_answer_is_not_believed_if_the_line_changed_meanwhile(rig: Rig) -> None:
    rig.stick.start_rogue("late=0.02")
    reading = asyncio.create_task(rig.unit.read_holding_registers(43, 1))
    await rig.stick.wait_until(lambda: rig.stick.received_of(Kind.READ))
    rig.unit.attach(rig.session, 2)
    with pytest.raises(ModbusConnectionError):
        await reading


# -- the driver, and the gate ------------------------------------------------------------


async def test_setting_is_written_and_read_back(rig: Rig) -> None:
    written = await rig.gate.async_write("active_power_limit", 80, "me")
    assert written.outcome is Outcome.WRITTEN
    assert rig.told == [(LIMIT, (80,))]
    again = await rig.gate.async_write("active_power_limit", 80, "me")
    assert again.outcome is Outcome.UNCHANGED
    assert len(rig.told) == 1


async def test_preview_is_confirmed(rig: Rig) -> None:
    pending = await rig.gate.async_preview("active_power_limit", 70, "me")
    assert rig.told == []
    written = await rig.gate.async_confirm(pending.token, "me")
    assert (written.outcome, rig.holding(LIMIT)) == (Outcome.WRITTEN, (70,))


async def test_time_slot_is_written_as_a_whole(rig: Rig) -> None:
    slot = TimeSlotChange(
        start=time(1), end=time(2), mode="battery_first", enabled=False
    )
    rig.behind.unit.dataset.words[Table.HOLDING].update({3038: 5, 3039: 6})
    written = await rig.gate.async_write("tou1", slot, "me")
    assert written.outcome is Outcome.WRITTEN
    (told,) = rig.behind.writes
    assert (told.address, len(told.words), told.single) == (3038, 2, False)


async def test_clock_is_set(rig: Rig) -> None:
    written = await rig.gate.async_write(SYNC_CLOCK.key, True, "me")
    assert written.outcome is Outcome.WRITTEN
    assert rig.told == [(45, (26, 6, 21, 12, 0, 30))]


async def test_refused_write_is_told(rig: Rig) -> None:
    rig.stick.start_rogue("refuses=3,type=06")
    with pytest.raises(RefusedError):
        await rig.gate.async_write("active_power_limit", 80, "me")
    assert [record.outcome for record in rig.records] == [Outcome.NOT_WRITTEN]


async def test_other_inverter_is_not_written_to() -> None:
    async with _rig(SimulatedInverter(serial=OTHER_INVERTER)) as rig:
        with pytest.raises(WrongDeviceError):
            await rig.gate.async_write("active_power_limit", 80, "me")
        assert rig.told == []


@pytest.mark.usefixtures("impatient")
async def test_stick_that_cannot_read_registers_is_not_written_to(rig: Rig) -> None:
    """Who the inverter is, and what it holds, is not known then."""
    rig.stick.start_rogue("no-answers,type=05")
    with pytest.raises(WriteError):
        await rig.gate.async_write("active_power_limit", 80, "me")
    assert rig.told == []


@pytest.mark.usefixtures("impatient")
async def test_write_whose_answer_is_lost_is_judged_by_reading_back(rig: Rig) -> None:
    rig.stick.start_rogue("no-answers,type=06")
    written = await rig.gate.async_write("active_power_limit", 80, "me")
    assert written.outcome is Outcome.WRITTEN
    assert rig.holding(LIMIT) == (80,)


async def test_stick_that_is_cut_off_before_the_answer_leaves_the_outcome_open(
    rig: Rig,
) -> None:
    rig.stick.start_rogue("no-answers,type=06")
    writing = asyncio.create_task(rig.gate.async_write("active_power_limit", 80, "me"))
    await rig.stick.wait_until(lambda: rig.told)
    rig.stick.disconnect()
    await until(lambda: LOGGER not in rig.server.sessions)
    rig.unit.detach()
    with pytest.raises(WriteError):
        await writing
    assert [record.outcome for record in rig.records] == [Outcome.UNKNOWN]


async def test_stick_that_is_cut_off_between_write_and_reading_back(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = rig.unit.write_register

    async def cut(address: int, value: int) -> None:
        await write(address, value)
        rig.stick.disconnect()
        await until(lambda: LOGGER not in rig.server.sessions)
        rig.unit.detach()

    monkeypatch.setattr(rig.unit, "write_register", cut)
    with pytest.raises(OutcomeUnknownError):
        await rig.gate.async_write("active_power_limit", 80, "me")
    (record,) = rig.records
    assert (record.outcome, record.after) == (Outcome.UNKNOWN, None)


async def test_stick_that_comes_back_meanwhile_is_asked_who_it_is_again(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = rig.unit.write_register

    async def cut(address: int, value: int) -> None:
        await write(address, value)
        older = rig.session
        rig.stick.reconnect()
        await until(lambda: rig.server.sessions.get(LOGGER, older) is not older)
        rig.unit.detach()
        rig.unit.attach(rig.session, 1)

    monkeypatch.setattr(rig.unit, "write_register", cut)
    written = await rig.gate.async_write("active_power_limit", 80, "me")
    assert written.outcome is Outcome.WRITTEN
    reads = [
        their_bodies.Span.parse(packet).first
        for packet in rig.stick.received_of(Kind.READ)
    ]
    before = reads[: len(reads) // 2]
    assert reads == [*before, *before], "identity and value, before and after"
