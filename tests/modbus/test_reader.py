"""Reading a unit: retries, silence, refusals, garbage, and learning its latency."""

from collections.abc import Callable, Iterator
import logging
from types import SimpleNamespace
from typing import Final

from modbus_connection import (
    GatewayPathUnavailableError,
    GatewayTargetError,
    IllegalDataAddressError,
    IllegalDataValueError,
    IllegalFunctionError,
    ModbusConnectionError,
    ModbusDesyncError,
    ModbusError,
    ModbusExceptionError,
    ModbusProtocolError,
    ModbusTimeoutError,
    ServerDeviceBusyError,
    ServerDeviceFailureError,
)
import pytest

from custom_components.local_solar.modbus import reader as reader_module
from custom_components.local_solar.modbus.codecs import U32
from custom_components.local_solar.modbus.image import RegisterImage, Space
from custom_components.local_solar.modbus.reader import (
    ATTEMPTS,
    LATENCY_SAMPLES,
    PATIENCE_IF_ALL,
    PLANS_KEPT,
    REFUSED_FOR,
    GarbageError,
    RegisterReader,
    is_silence,
    read_words,
)
from custom_components.local_solar.modbus.register import Register

from .helpers import (
    HOLDING,
    INPUT,
    FakeClock,
    Request,
    ScriptedUnit,
    failed_keys,
    make_row,
    requests_of,
)

GROUPS = {INPUT: ((0, 99), (100, 199), (200, 299)), HOLDING: ((0, 99),)}

REFUSALS: Final[list[Callable[[], ModbusExceptionError]]] = [
    IllegalFunctionError,
    IllegalDataAddressError,
    IllegalDataValueError,
]
SILENCES = [ModbusTimeoutError, GatewayTargetError, GatewayPathUnavailableError]
PASSING = [
    ServerDeviceBusyError,
    ServerDeviceFailureError,
    ModbusProtocolError,
    ModbusDesyncError,
]


@pytest.fixture(name="unit")
def make_unit(monkeypatch: pytest.MonkeyPatch) -> ScriptedUnit:
    """A unit that answers each register with its address, by a clock that stands still."""
    unit = ScriptedUnit()
    monkeypatch.setattr(
        reader_module, "time", SimpleNamespace(monotonic=unit.clock.monotonic)
    )
    unit.input.update({address: address for address in range(300)})
    unit.holding.update({address: address for address in range(100)})
    return unit


@pytest.fixture(name="image")
def make_image() -> RegisterImage:
    """An image that knows nothing."""
    return RegisterImage()


def reader_of(
    unit: ScriptedUnit, spacing: float = 0.85, patience: int = 1
) -> RegisterReader:
    """Return a reader that prefers few requests and takes a refusal at its word."""
    return RegisterReader(unit, GROUPS, spacing=spacing, patience=patience)


def one_row_per_group() -> list[Register]:
    """Return rows that take three requests."""
    return [make_row(10), make_row(110), make_row(210)]


def refuse(
    unit: ScriptedUnit, *addresses: int, error: ModbusError | None = None
) -> None:
    """Let the unit refuse each read that touches one of these input registers."""
    for address in addresses:
        unit.fail_read(
            address, error or IllegalDataAddressError(), register_type="input"
        )


# -- when all goes well ---------------------------------------------------------------------


async def test_rows_are_read_into_the_image(
    unit: ScriptedUnit, image: RegisterImage
) -> None:
    report = await reader_of(unit).read(
        [make_row(10), make_row(12, U32), make_row(7, space=HOLDING)], image
    )
    assert unit.requests == [(HOLDING, 7, 1), (INPUT, 10, 4)]
    assert requests_of(report.reads) == unit.requests
    assert image.get(INPUT, 10, 4) == [10, 11, 12, 13]
    assert image.get(HOLDING, 7, 1) == [7]
    assert image.seen_at(INPUT, 13) == unit.clock.now
    assert not report.failed
    assert not report.silent
    assert failed_keys(report) == frozenset()


async def test_nothing_wanted_is_nothing_asked(
    unit: ScriptedUnit, image: RegisterImage
) -> None:
    report = await reader_of(unit).read([], image)
    assert unit.requests == []
    assert not report.silent


def test_the_spacing_is_told_to_the_unit(unit: ScriptedUnit) -> None:
    reader = reader_of(unit, spacing=0.25)
    assert unit.message_spacing == 0.25
    assert reader.timing.spacing == 0.25


def test_plans_keep_to_the_length_that_a_bridge_takes(unit: ScriptedUnit) -> None:
    reader = RegisterReader(unit, GROUPS, max_words=10, spacing=0.85)
    reads = reader.plan(make_row(address) for address in range(30))
    assert [read.count for read in reads] == [10, 10, 10]


def test_a_plan_is_made_once_for_a_set_of_rows(unit: ScriptedUnit) -> None:
    reader, rows = reader_of(unit), one_row_per_group()
    first = reader.plan(rows)
    assert reader.plan(reversed(rows)) is first
    for place in range(PLANS_KEPT):
        reader.plan([make_row(place)])
    assert reader.plan(rows) == first


# -- lost and garbled answers ---------------------------------------------------------------


@pytest.mark.parametrize("error", [*SILENCES, *PASSING])
async def test_a_read_that_gets_lost_is_tried_once_more(
    unit: ScriptedUnit, image: RegisterImage, error: type[ModbusError]
) -> None:
    unit.losses = [error()]
    report = await reader_of(unit).read(one_row_per_group(), image)
    assert unit.requests == [
        (INPUT, 10, 1),
        (INPUT, 10, 1),
        (INPUT, 110, 1),
        (INPUT, 210, 1),
    ]
    assert not report.failed
    assert image.get(INPUT, 10, 1) == [10]


@pytest.mark.parametrize("error", SILENCES)
async def test_a_unit_that_is_silent_at_first_is_not_asked_for_the_rest(
    unit: ScriptedUnit, image: RegisterImage, error: type[ModbusError]
) -> None:
    image.store(INPUT, 210, [1], 0.0)
    unit.fail_requests(error())
    report = await reader_of(unit).read(one_row_per_group(), image)
    assert unit.requests == [(INPUT, 10, 1)] * ATTEMPTS
    assert report.silent
    assert len(report.failed) == 3
    assert failed_keys(report) == {"input_10", "input_110", "input_210"}
    assert image.words[INPUT] == {}


@pytest.mark.parametrize("error", PASSING[:3])
async def test_a_busy_or_garbled_unit_is_asked_for_the_rest(
    unit: ScriptedUnit, image: RegisterImage, error: type[ModbusError]
) -> None:
    unit.losses = [error(), error()]
    report = await reader_of(unit).read(one_row_per_group(), image)
    assert len(unit.requests) == ATTEMPTS + 2
    assert not report.silent
    assert failed_keys(report) == {"input_10"}
    assert image.get(INPUT, 110, 1) == [110]


async def test_silence_in_the_middle_is_the_failure_of_that_read_only(
    unit: ScriptedUnit, image: RegisterImage
) -> None:
    image.store(INPUT, 110, [7], 0.0)
    unit.losses = [None, ModbusTimeoutError(), ModbusTimeoutError()]
    report = await reader_of(unit).read(one_row_per_group(), image)
    assert failed_keys(report) == {"input_110"}
    assert not report.silent
    assert image.get(INPUT, 10, 1) == [10]
    assert image.get(INPUT, 110, 1) is None
    assert image.seen_at(INPUT, 110) is None
    assert image.get(INPUT, 210, 1) == [210]


async def test_a_refusal_is_an_answer_so_silence_after_it_is_no_sleep(
    unit: ScriptedUnit, image: RegisterImage
) -> None:
    unit.losses = [
        IllegalDataAddressError(),
        ModbusTimeoutError(),
        ModbusTimeoutError(),
    ]
    report = await reader_of(unit).read(one_row_per_group(), image)
    assert failed_keys(report) == {"input_10", "input_110"}
    assert image.get(INPUT, 210, 1) == [210]


@pytest.mark.parametrize("place", range(3))
async def test_a_read_over_a_broken_link_is_tried_again_over_a_new_one(
    unit: ScriptedUnit, image: RegisterImage, place: int
) -> None:
    unit.losses = [*[None] * place, ModbusConnectionError("gone")]
    report = await reader_of(unit).read(one_row_per_group(), image)
    assert len(unit.requests) == 4
    assert not report.failed


@pytest.mark.parametrize("place", range(3))
async def test_a_link_that_stays_down_fails_what_is_left(
    unit: ScriptedUnit, image: RegisterImage, place: int
) -> None:
    for address in (10, 110, 210):
        image.store(INPUT, address, [99], 0.0)
    down = ModbusConnectionError("gone")
    unit.losses = [*[None] * place, down, down]
    report = await reader_of(unit).read(one_row_per_group(), image)
    assert len(unit.requests) == place + ATTEMPTS
    assert list(report.failed.values()) == [down] * (3 - place)
    assert len(image.words[INPUT]) == place
    assert report.silent is (place == 0)


async def test_a_short_answer_is_garbage(
    unit: ScriptedUnit, image: RegisterImage
) -> None:
    unit.intercept = lambda request, words: words[:-1]
    report = await reader_of(unit).read([make_row(1), make_row(2)], image)
    (failure,) = report.failed.values()
    assert isinstance(failure, GarbageError)
    assert "asked for 2 words, got 1" in str(failure)
    assert image.words[INPUT] == {}


async def test_a_block_of_an_idle_line_is_garbage(
    unit: ScriptedUnit, image: RegisterImage
) -> None:
    unit.input.update(dict.fromkeys(range(10, 14), 0xFFFF))
    rows = [make_row(10, U32), make_row(12, U32)]
    report = await reader_of(unit).read(rows, image)
    (failure,) = report.failed.values()
    assert isinstance(failure, GarbageError)
    assert len(unit.requests) == ATTEMPTS
    assert image.words[INPUT] == {}


async def test_a_few_words_of_ones_may_be_a_number(
    unit: ScriptedUnit, image: RegisterImage
) -> None:
    unit.input.update({10: 0xFFFF, 11: 0xFFFF, 12: 0xFFFF})
    report = await reader_of(unit).read([make_row(10), make_row(11, U32)], image)
    assert not report.failed
    assert image.get(INPUT, 10, 3) == [0xFFFF] * 3


async def test_words_are_read_from_the_space_that_is_asked_for(
    unit: ScriptedUnit,
) -> None:
    unit.holding[5] = 77
    assert await read_words(unit, HOLDING, 5, 1) == [77]
    assert await read_words(unit, INPUT, 5, 1) == [5]


@pytest.mark.parametrize("error", SILENCES)
def test_no_answer_from_the_unit_or_from_behind_the_bridge_is_silence(
    error: type[ModbusError],
) -> None:
    assert is_silence(error())


@pytest.mark.parametrize(
    "error",
    [
        ModbusConnectionError("down"),
        ModbusProtocolError("bad"),
        GarbageError("garbage"),
        ModbusExceptionError(0),
        IllegalDataAddressError(),
        ServerDeviceBusyError(),
    ],
)
def test_other_errors_are_no_silence(error: ModbusError) -> None:
    assert not is_silence(error)


# -- refused registers ------------------------------------------------------------------------


@pytest.mark.parametrize("error", REFUSALS)
async def test_a_refused_register_is_left_out_after_some_rounds(
    unit: ScriptedUnit,
    image: RegisterImage,
    error: Callable[[], ModbusExceptionError],
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    rows = [make_row(address) for address in range(40)]
    refuse(unit, 13, error=error())
    reader = reader_of(unit)
    rounds = 0
    while (await reader.read(rows, image)).failed:
        rounds += 1
        assert rounds <= 7  # log2 of 40 rows, and one to see it alone

    assert set(reader.refused) == {"input_13"}
    assert "exception code" in reader.refused["input_13"]
    assert sorted(image.words[INPUT]) == [n for n in range(40) if n != 13]
    unit.read_events.clear()
    assert not (await reader.read(rows, image)).failed
    assert all(
        not address <= 13 < address + count for _, address, count in unit.requests
    )
    assert caplog.text.count("refuses input_13") == 1


async def test_a_refusal_is_not_tried_again_in_the_same_round(
    unit: ScriptedUnit, image: RegisterImage
) -> None:
    refuse(unit, 10)
    await reader_of(unit).read([make_row(10)], image)
    assert unit.requests == [(INPUT, 10, 1)]


async def test_several_refused_registers_are_all_found(
    unit: ScriptedUnit, image: RegisterImage
) -> None:
    rows = [make_row(address) for address in range(0, 60, 2)]
    refuse(unit, 4, 6, 44)
    reader = reader_of(unit)
    for _ in range(40):
        if not (await reader.read(rows, image)).failed:
            break
    assert set(reader.refused) == {"input_4", "input_6", "input_44"}
    assert all(
        (address in image.words[INPUT]) is (address not in (4, 6, 44))
        for address in range(0, 60, 2)
    )


async def test_a_refused_hole_costs_no_row(
    unit: ScriptedUnit, image: RegisterImage
) -> None:
    rows = [make_row(0), make_row(20)]
    refuse(unit, 10)
    reader = reader_of(unit)
    assert (await reader.read(rows, image)).failed
    assert not (await reader.read(rows, image)).failed
    assert not reader.refused
    assert image.get(INPUT, 0, 1) == [0]
    assert image.get(INPUT, 20, 1) == [20]


async def test_all_rows_of_a_refused_word_are_left_out(
    unit: ScriptedUnit, image: RegisterImage
) -> None:
    rows = [make_row(10, key="high"), make_row(10, key="low"), make_row(11)]
    refuse(unit, 10)
    reader = reader_of(unit)
    for _ in range(3):
        await reader.read(rows, image)
    assert set(reader.refused) == {"high", "low"}
    assert image.get(INPUT, 11, 1) == [11]


async def test_a_unit_that_refuses_all_for_a_while_loses_no_row(
    unit: ScriptedUnit, image: RegisterImage
) -> None:
    rows = [make_row(10), make_row(110), make_row(210)]
    unit.fail_requests(IllegalFunctionError())
    reader = reader_of(unit, patience=3)
    for _ in range(3 * PATIENCE_IF_ALL - 1):
        await reader.read(rows, image)
    assert not reader.refused
    unit.fail_requests(None)
    assert not (await reader.read(rows, image)).failed


async def test_a_unit_that_refuses_all_is_asked_for_nothing_in_the_end(
    unit: ScriptedUnit, image: RegisterImage
) -> None:
    rows = [make_row(address) for address in range(8)]
    unit.fail_requests(IllegalFunctionError())
    reader = reader_of(unit)
    for _ in range(10 * PATIENCE_IF_ALL):
        await reader.read(rows, image)
    assert set(reader.refused) == {row.key for row in rows}
    assert await _requested(unit, reader, rows, image) == []
    unit.fail_requests(None)
    unit.clock.now += REFUSED_FOR
    assert not (await reader.read(rows, image)).failed


async def test_a_refusal_now_and_then_changes_nothing(
    unit: ScriptedUnit, image: RegisterImage
) -> None:
    rows = [make_row(address) for address in range(8)]
    reader = reader_of(unit, patience=3)
    for _ in range(10):
        unit.losses = [IllegalDataAddressError(), None]
        assert (await reader.read(rows, image)).failed
        assert not (await reader.read(rows, image)).failed
    assert not reader.refused
    assert unit.requests[-1] == (INPUT, 0, 8)


async def test_a_refused_row_is_tried_again_and_forgiven(
    unit: ScriptedUnit, image: RegisterImage
) -> None:
    rows = [make_row(address) for address in range(4)]
    refuse(unit, 2)
    reader = reader_of(unit)
    for _ in range(5):
        await reader.read(rows, image)
    assert set(reader.refused) == {"input_2"}
    unit.fail_read(2, None, register_type="input")
    assert (INPUT, 2, 1) not in await _requested(unit, reader, rows, image)
    assert image.get(INPUT, 2, 1) is None
    unit.clock.now += REFUSED_FOR
    await reader.read(rows, image)
    assert not reader.refused
    assert image.get(INPUT, 2, 1) == [2]
    assert await _requested(unit, reader, rows, image) == [(INPUT, 0, 4)]


async def _requested(
    unit: ScriptedUnit,
    reader: RegisterReader,
    rows: list[Register],
    image: RegisterImage,
) -> list[Request]:
    """Read once and return what was asked for."""
    unit.read_events.clear()
    await reader.read(rows, image)
    return unit.requests


async def test_a_passing_error_is_no_refusal(
    unit: ScriptedUnit, image: RegisterImage
) -> None:
    rows = [make_row(10), make_row(11)]
    reader = reader_of(unit)
    unit.losses = [ModbusExceptionError(0), ServerDeviceBusyError()]
    assert failed_keys(await reader.read(rows, image)) == {"input_10", "input_11"}
    assert not (await reader.read(rows, image)).failed
    assert not reader.refused
    assert unit.requests[-1] == (INPUT, 10, 2)


# -- learning ---------------------------------------------------------------------------------


def far_rows() -> list[Register]:
    """Return rows with holes that pay only if a request is dear."""
    return [make_row(0), make_row(20), make_row(40)]


async def test_latency_is_learnt_and_the_plan_follows(
    unit: ScriptedUnit, image: RegisterImage
) -> None:
    reader, rows = reader_of(unit, spacing=0.0), far_rows()
    wire = reader.timing
    unit.latency = lambda count: wire.per_request + wire.per_word * count + 0.2
    assert len(reader.plan(rows)) == 3
    await reader.read(rows, image)
    assert reader.timing.latency == pytest.approx(0.2)
    assert requests_of(reader.plan(rows)) == [(INPUT, 0, 41)]


async def test_the_shortest_answer_tells_the_latency(
    unit: ScriptedUnit, image: RegisterImage
) -> None:
    """Others on the bus only ever add to it."""
    reader, rows = reader_of(unit, spacing=0.0), [make_row(0)]
    delays: Iterator[float] = iter([1.0, 0.9, 0.0, 1.0, 1.0])
    unit.latency = lambda count: next(delays)
    for _ in range(5):
        await reader.read(rows, image)
    assert reader.timing.latency == 0.0


async def test_a_unit_that_has_become_slow_is_noticed(
    unit: ScriptedUnit, image: RegisterImage
) -> None:
    reader, rows = reader_of(unit, spacing=0.0), far_rows()
    await reader.read(rows, image)
    assert len(reader.plan(rows)) == 3
    unit.latency = lambda count: 1.0
    for _ in range(LATENCY_SAMPLES):
        await reader.read([make_row(0)], image)
    assert reader.timing.latency == pytest.approx(1.0, abs=0.1)
    assert len(reader.plan(rows)) == 1


async def test_small_changes_of_latency_leave_plans_alone(
    unit: ScriptedUnit, image: RegisterImage
) -> None:
    reader, rows = reader_of(unit), far_rows()
    plan = reader.plan(rows)
    unit.latency = lambda count: 0.1
    await reader.read(rows, image)
    assert reader.plan(rows) is plan


async def test_a_lost_answer_teaches_nothing(
    unit: ScriptedUnit, image: RegisterImage
) -> None:
    reader = reader_of(unit, spacing=0.0)
    unit.latency = lambda count: 3.0
    unit.losses = [ModbusTimeoutError(), ModbusTimeoutError()]
    await reader.read([make_row(0)], image)
    assert reader.timing.latency == 0.0


def test_the_clock_of_the_tests_stands_still() -> None:
    clock = FakeClock()
    assert clock.monotonic() == clock.monotonic()
    assert Space("input") is INPUT
