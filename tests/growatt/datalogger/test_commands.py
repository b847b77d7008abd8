"""Commands to one logger: one at a time, each with its own answer and no other's."""

import asyncio
from typing import Final

from hypothesis import given, strategies as st
import pytest

from custom_components.local_solar.growatt.datalogger import commands as module
from custom_components.local_solar.growatt.datalogger.commands import (
    FIRST_TRANSACTION,
    KEPT,
    LAST_TRANSACTION,
    Commands,
    GoneError,
    NoAnswerError,
)
from custom_components.local_solar.growatt.datalogger.records import (
    Answer,
    Command,
    Parameter,
    read_holding,
    read_parameters,
    write_holding,
    write_holdings,
    write_parameter,
)
from simulators.datalogger import bodies as their_bodies
from simulators.datalogger.packets import Kind, Packet

from .helpers import LOGGER, said, taken, until

AT_ONCE: Final = 0.01
"""Seconds, where waiting is to be over soon."""

CLOUD_ID: Final = 1


@pytest.fixture(autouse=True)
def no_spacing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let commands follow each other at once."""
    monkeypatch.setattr(module, "SPACING", 0.0)


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let nobody wait for long."""
    monkeypatch.setattr(module, "INVERTER_TIMEOUT", AT_ONCE)
    monkeypatch.setattr(module, "LOGGER_TIMEOUT", AT_ONCE)


def _asked(command: Command, tid: int) -> Packet:
    """Return the packet of a command."""
    body = their_bodies.serial_field(6, LOGGER) + command.tail
    return Packet(kind=command.type, body=body, unit=command.unit, tid=tid)


def _answer(
    command: Command, tid: int, *, words: tuple[int, ...] | None = None, status: int = 0
) -> list[Packet]:
    """Return what a logger answers."""
    bodies: list[their_bodies.Body]
    match command.type:
        case Kind.READ:
            count = command.last - command.first + 1
            words = tuple(range(count)) if words is None else words
            bodies = [their_bodies.Span(LOGGER, command.first, command.last, words)]
        case Kind.WRITE:
            bodies = [their_bodies.SingleDone(LOGGER, command.first, status, 7)]
        case Kind.WRITE_RANGE:
            bodies = [
                their_bodies.SpanDone(LOGGER, command.first, command.last, status)
            ]
        case Kind.SET_PARAMETER:
            bodies = [their_bodies.ParameterDone(LOGGER, command.first, status)]
        case _:
            bodies = [
                their_bodies.Parameter(LOGGER, number, f"text {number}")
                for number in range(command.first, command.last + 1)
            ]
    return [
        Packet(kind=command.type, body=body.body(6), unit=command.unit, tid=tid)
        for body in bodies
    ]


class Line:
    """A logger that says what it is made to say."""

    def __init__(self) -> None:
        """Have been told nothing yet."""
        self.told: list[tuple[Command, int]] = []
        self.commands = Commands(lambda command, tid: self.told.append((command, tid)))

    def says(self, *packets: Packet) -> list[bool]:
        """Let it say something; return for each packet whether it answers us."""
        answers = []
        for packet in packets:
            record = said(packet)
            assert isinstance(record, Answer | Parameter)
            answers.append(self.commands.take(taken(packet), record))
        return answers

    def cloud_says(self, command: Command, tid: int = CLOUD_ID) -> None:
        """Let the maker's server tell it something."""
        self.commands.server_sent(taken(_asked(command, tid)))

    async def asked(self, number: int = 1) -> tuple[Command, int]:
        """Wait until it has been told so many commands; return the last."""
        await until(lambda: len(self.told) >= number)
        return self.told[number - 1]


@pytest.fixture
def line() -> Line:
    """A logger."""
    return Line()


READ: Final = read_holding(1, 45, 2)
ALL: Final = (
    READ,
    write_holding(1, 3, 80),
    write_holdings(1, 3038, [1, 2]),
    write_parameter(31, "2026-06-21 12:00:30"),
    read_parameters(4, 4),
)


@pytest.mark.parametrize("command", ALL, ids=lambda command: command.name)
async def test_answer_with_our_id_is_ours(line: Line, command: Command) -> None:
    running = asyncio.create_task(line.commands.run(command))
    _, tid = await line.asked()
    assert tid == FIRST_TRANSACTION
    assert line.says(*_answer(command, tid)) == [True]
    answer = await running
    assert isinstance(answer, Parameter if command == ALL[-1] else Answer)


@pytest.mark.parametrize("command", ALL, ids=lambda command: command.name)
@pytest.mark.parametrize("tid", [0, 1, 77, 0x7FFF])
async def test_answer_of_firmware_that_repeats_no_id_is_ours_by_what_it_is_about(
    line: Line, command: Command, tid: int
) -> None:
    running = asyncio.create_task(line.commands.run(command))
    await line.asked()
    assert line.says(*_answer(command, tid)) == [True]
    await running


@pytest.mark.parametrize(
    "other",
    [
        read_holding(2, 45, 2),
        read_holding(1, 46, 2),
        write_holding(1, 45, 2),
        write_holdings(1, 45, [1, 2]),
    ],
    ids=["unit", "register", "type", "range"],
)
async def test_answer_about_something_else_is_not_ours(
    line: Line, other: Command
) -> None:
    running = asyncio.create_task(line.commands.run(READ))
    _, tid = await line.asked()
    assert line.says(*_answer(other, CLOUD_ID)) == [False]
    assert not running.done()
    assert line.says(*_answer(READ, tid)) == [True]
    await running


async def test_parameters_are_answered_one_by_one(line: Line) -> None:
    asking = asyncio.create_task(line.commands.collect(read_parameters(4, 21), 18))
    command, tid = await line.asked()
    assert line.says(*_answer(command, tid)) == [True] * 18
    answers = await asking
    assert [answer.number for answer in answers if isinstance(answer, Parameter)] == [
        *range(4, 22)
    ]


@pytest.mark.usefixtures("impatient")
async def test_parameters_that_are_not_told_are_not_waited_for_long(line: Line) -> None:
    asking = asyncio.create_task(line.commands.collect(read_parameters(4, 21), 18))
    command, tid = await line.asked()
    packets = _answer(command, tid)
    line.says(*packets[:5])
    assert len(await asking) == 5
    # The rest belongs to us all the same, with our id or without.
    assert line.says(packets[5], *_answer(read_parameters(20, 20), CLOUD_ID)) == [
        True,
        True,
    ]


async def test_commands_wait_for_each_other(line: Line) -> None:
    running = [asyncio.create_task(line.commands.run(command)) for command in ALL]
    for number, command in enumerate(ALL, 1):
        told, tid = await line.asked(number)
        assert (told, len(line.told)) == (command, number)
        line.says(*_answer(command, tid))
    await asyncio.gather(*running)
    assert [tid for _, tid in line.told] == [FIRST_TRANSACTION + n for n in range(5)]


async def test_commands_are_spaced(line: Line, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SPACING", 0.05)
    loop, times = asyncio.get_running_loop(), []
    for number in (1, 2):
        running = asyncio.create_task(line.commands.run(READ))
        _, tid = await line.asked(number)
        times.append(loop.time())
        line.says(*_answer(READ, tid))
        await running
    assert times[1] - times[0] >= 0.045


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("command", ALL, ids=lambda command: command.name)
async def test_silence_is_told(line: Line, command: Command) -> None:
    with pytest.raises(NoAnswerError, match=command.name):
        await line.commands.run(command)


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("repeats_id", [True, False])
@pytest.mark.parametrize("command", ALL, ids=lambda command: command.name)
async def test_late_answer_is_ours_and_nobodys_answer(
    line: Line, command: Command, repeats_id: bool
) -> None:
    with pytest.raises(NoAnswerError):
        await line.commands.run(command)
    tid = FIRST_TRANSACTION if repeats_id else CLOUD_ID
    assert line.says(*_answer(command, tid)) == [True]
    # The next question is not answered by it.
    with pytest.raises(NoAnswerError):
        await line.commands.run(read_holding(1, 100, 1))


@pytest.mark.usefixtures("impatient")
async def test_late_answer_does_not_answer_the_same_question_asked_again(
    line: Line,
) -> None:
    with pytest.raises(NoAnswerError):
        await line.commands.run(READ)
    running = asyncio.create_task(line.commands.run(READ))
    await line.asked(2)
    assert line.says(*_answer(READ, FIRST_TRANSACTION, words=(1, 1))) == [True]
    assert line.says(*_answer(READ, FIRST_TRANSACTION + 1, words=(2, 2))) == [True]
    answer = await running
    assert isinstance(answer, Answer)
    assert answer.words == (2, 2)


async def test_question_that_is_given_up_leaves_the_line_free(line: Line) -> None:
    running = asyncio.create_task(line.commands.run(READ))
    await line.asked()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    again = asyncio.create_task(line.commands.run(ALL[1]))
    _, tid = await line.asked(2)
    assert line.says(*_answer(READ, FIRST_TRANSACTION)) == [True]
    line.says(*_answer(ALL[1], tid))
    await again


@pytest.mark.parametrize("cloud_id", [0, CLOUD_ID, FIRST_TRANSACTION + 500])
@pytest.mark.parametrize("ours_first", [True, False])
async def test_both_ask_the_same_and_each_gets_its_own(
    line: Line, cloud_id: int, ours_first: bool
) -> None:
    running = asyncio.create_task(line.commands.run(READ))
    _, tid = await line.asked()
    line.cloud_says(READ, cloud_id)
    to_us, to_cloud = _answer(READ, tid, words=(1, 1)), _answer(READ, cloud_id)
    if ours_first:
        assert line.says(*to_us, *to_cloud) == [True, False]
    else:
        assert line.says(*to_cloud, *to_us) == [False, True]
    answer = await running
    assert isinstance(answer, Answer)
    assert answer.words == (1, 1)


async def test_both_ask_the_same_without_ids_and_each_gets_one(line: Line) -> None:
    running = asyncio.create_task(line.commands.run(READ))
    await line.asked()
    line.cloud_says(READ)
    assert line.says(*_answer(READ, 0), *_answer(READ, 0)) == [False, True]
    await running


async def test_cloud_that_uses_an_id_of_ours_gets_its_answer(line: Line) -> None:
    for number in (1, 2):
        running = asyncio.create_task(line.commands.run(READ))
        _, tid = await line.asked(number)
        line.says(*_answer(READ, tid))
        await running
    other = read_holding(1, 200, 1)
    line.cloud_says(other, FIRST_TRANSACTION)
    running = asyncio.create_task(line.commands.run(READ))
    _, tid = await line.asked(3)
    assert line.says(*_answer(other, FIRST_TRANSACTION)) == [False]
    assert line.says(*_answer(READ, tid)) == [True]
    await running


async def test_cloud_reads_parameters_while_we_do(line: Line) -> None:
    line.cloud_says(read_parameters(4, 21))
    asking = asyncio.create_task(line.commands.collect(read_parameters(4, 21), 18))
    command, tid = await line.asked()
    mixed: list[Packet] = []
    for to_cloud, to_us in zip(
        _answer(command, CLOUD_ID), _answer(command, tid), strict=True
    ):
        mixed += (to_cloud, to_us)
    assert line.says(*mixed) == [False, True] * 18
    assert len(await asking) == 18
    # It has got what it asked for.
    assert line.says(*_answer(read_parameters(4, 4), CLOUD_ID)) == [False]


async def test_answer_to_the_cloud_that_does_not_come_is_not_expected_for_ever(
    line: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    line.cloud_says(READ)
    monkeypatch.setattr(module, "FORGOTTEN_AFTER", -1.0)
    running = asyncio.create_task(line.commands.run(READ))
    await line.asked()
    assert line.says(*_answer(READ, CLOUD_ID)) == [True]
    await running


def test_unreadable_and_countless_commands_of_the_cloud_do_no_harm(line: Line) -> None:
    line.commands.server_sent(taken(Packet(kind=Kind.READ, body=b"short")))
    for register in range(10 * KEPT):
        line.cloud_says(read_holding(1, register, 1))
    newest = read_holding(1, 10 * KEPT - 1, 1)
    assert line.says(*_answer(newest, CLOUD_ID)) == [False]
    assert len(line.commands._of_server) < KEPT  # noqa: SLF001


async def test_what_waits_ends_with_the_connection(line: Line) -> None:
    running = [asyncio.create_task(line.commands.run(command)) for command in ALL]
    await line.asked()
    line.commands.end()
    for task in running:
        with pytest.raises(GoneError):
            await task
    with pytest.raises(GoneError):
        await line.commands.run(READ)
    assert len(line.told) == 1


async def test_command_that_is_not_wanted_when_its_turn_comes_is_not_sent(
    line: Line,
) -> None:
    is_wanted = True
    first = asyncio.create_task(line.commands.run(READ))
    second = asyncio.create_task(line.commands.run(ALL[1], lambda: is_wanted))
    _, tid = await line.asked()
    is_wanted = False
    line.says(*_answer(READ, tid))
    await first
    with pytest.raises(GoneError):
        await second
    assert len(line.told) == 1


async def test_ids_go_round_in_our_half(
    line: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "LAST_TRANSACTION", FIRST_TRANSACTION + 2)
    for number in range(1, 6):
        running = asyncio.create_task(line.commands.run(READ))
        _, tid = await line.asked(number)
        line.says(*_answer(READ, tid))
        await running
    ids = [tid - FIRST_TRANSACTION for _, tid in line.told]
    assert ids == [0, 1, 2, 0, 1]
    assert LAST_TRANSACTION == 0xFFFF


type Step = tuple[str, int]


@given(
    steps=st.lists(
        st.tuples(st.sampled_from(["us", "cloud", "answer"]), st.integers(0, 3)),
        max_size=24,
    )
)
async def test_no_answer_crosses_where_ids_are_repeated(steps: list[Step]) -> None:
    """Both sides ask few registers again and again; the logger answers in any order."""
    spacing, module.SPACING = module.SPACING, 0.0  # type: ignore[misc]
    line = Line()
    open_: list[tuple[Command, int, bool]] = []
    wanted: dict[int, asyncio.Task[Answer | Parameter]] = {}
    cloud_id = 0

    def answer(place: int) -> None:
        command, tid, is_ours = open_.pop(place)
        (taken_by_us,) = line.says(*_answer(command, tid, words=(tid,)))
        assert taken_by_us is is_ours

    async def ask(register: int) -> None:
        command = read_holding(1, register, 1)
        task = asyncio.create_task(line.commands.run(command))
        _, tid = await line.asked(len(line.told) + 1)
        wanted[tid] = task
        open_.append((command, tid, True))

    try:
        for who, number in steps:
            if who == "us" and not any(is_ours for *_, is_ours in open_):
                await ask(number)
            elif who == "cloud":
                cloud_id += 1
                command = read_holding(1, number, 1)
                line.cloud_says(command, cloud_id)
                open_.append((command, cloud_id, False))
            elif open_:
                answer(number % len(open_))
        while open_:
            answer(0)
        for tid, task in wanted.items():
            found = await task
            assert isinstance(found, Answer)
            assert found.words == (tid,)
    finally:
        module.SPACING = spacing  # type: ignore[misc]
