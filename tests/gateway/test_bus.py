"""Asking units, and what becomes of what goes wrong."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator

from modbus_connection import (
    GatewayTargetError,
    IllegalDataAddressError,
    ModbusConnectionError,
    ModbusDesyncError,
    ModbusError,
    ModbusExceptionError,
    ModbusProtocolError,
    ModbusTimeoutError,
    ServerDeviceBusyError,
)
import pytest

from custom_components.local_solar.gateway import bus as bus_module, late_answers
from custom_components.local_solar.gateway.breaker import LONGEST, SHORTEST
from custom_components.local_solar.gateway.bus import MOST_BAD, Bus, BusError, Pace
from custom_components.local_solar.gateway.late_answers import LATEST
from custom_components.local_solar.gateway.pdu import READ_INPUT, ExceptionCode, Request
from custom_components.local_solar.gateway.statistics import Statistics
from tests.modbus.helpers import FakeClock

from .helpers import PROMPT, HeldUnit, read


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> FakeClock:
    """Return the clock that the bus goes by."""
    clock = FakeClock()
    for module in (bus_module, late_answers):
        monkeypatch.setattr(module, "monotonic", clock.monotonic)
    return clock


MADE: list[Bus] = []


@pytest.fixture(autouse=True)
def stopped() -> Iterator[None]:
    """Stop what a test has made."""
    yield
    while MADE:
        MADE.pop().stop()


def make_bus(*units: HeldUnit, pace: Pace | None = None) -> Bus:
    """Return a bus with units 1, 2 and so on."""
    MADE.append(Bus(dict(enumerate(units, 1)), pace or Pace(), Statistics()))
    return MADE[-1]


async def code_of(work: Awaitable[bytes]) -> int:
    """Return the exception code that a read ends with."""
    with pytest.raises(BusError) as caught:
        await work
    return caught.value.code


async def test_registers_are_read_from_the_space_that_is_asked_for() -> None:
    unit = HeldUnit()
    bus = make_bus(unit)
    assert await bus.async_read(read(258, 2)) == bytes((3, 4, 1, 2, 1, 3))
    assert await bus.async_read(Request(1, READ_INPUT, 7, 1)) == bytes((4, 2, 0, 7))
    assert unit.reads == [(3, 258, 2), (4, 7, 1)]


async def test_the_link_is_asked_for_a_short_timeout() -> None:
    unit = HeldUnit()
    make_bus(unit, pace=Pace(timeout=0.7))
    assert unit.required_timeout == 0.7


async def test_the_gap_shrinks_with_answers_and_counts_for_others_of_the_link() -> None:
    unit = HeldUnit()
    bus = make_bus(unit)
    await bus.async_read(read(0))
    assert unit.message_spacing == 0.85
    for _ in range(10):
        await bus.async_read(read(0))
    assert unit.message_spacing == 0.0


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (IllegalDataAddressError(), 2),
        (ServerDeviceBusyError(), 6),
        (ModbusExceptionError.from_code(0, "odd"), ExceptionCode.DEVICE_FAILURE),
        (ModbusTimeoutError("silent"), ExceptionCode.NO_RESPONSE),
        (GatewayTargetError(), ExceptionCode.NO_RESPONSE),
        (ModbusProtocolError("garbage"), ExceptionCode.NO_RESPONSE),
        (ModbusDesyncError("garbage"), ExceptionCode.NO_RESPONSE),
        (ModbusConnectionError("no link"), ExceptionCode.PATH_UNAVAILABLE),
        (RuntimeError("a fault of the library"), ExceptionCode.DEVICE_FAILURE),
    ],
)
async def test_each_failure_has_its_exception(error: Exception, code: int) -> None:
    unit = HeldUnit()
    unit.error = error
    assert await code_of(make_bus(unit).async_read(read(0))) == code


async def test_a_link_that_cannot_be_opened_in_time_is_no_silent_unit() -> None:
    class Unreachable(HeldUnit):
        async def read_holding_registers(self, address: int, count: int) -> list[int]:
            raise ModbusTimeoutError("connecting")

    bus = make_bus(Unreachable())
    assert await code_of(bus.async_read(read(0))) == ExceptionCode.PATH_UNAVAILABLE
    assert not bus.is_reachable
    assert bus.silent == frozenset()


async def test_an_answer_of_another_length_is_that_to_an_earlier_request(
    clock: FakeClock,
) -> None:
    unit = HeldUnit()
    bus = make_bus(unit)
    unit.missing = 1
    assert await code_of(bus.async_read(read(0, 5))) == ExceptionCode.NO_RESPONSE
    assert bus.ready_at(read(50, 5), clock.now) == clock.now + LATEST


@pytest.mark.parametrize("error", [ModbusTimeoutError(""), ModbusProtocolError("")])
async def test_nothing_of_the_same_shape_is_asked_while_a_late_answer_may_come(
    clock: FakeClock, error: ModbusError
) -> None:
    bus = make_bus(unit := HeldUnit(), HeldUnit(), pace=PROMPT)
    unit.error = error
    await code_of(bus.async_read(read(0, 5)))
    now = clock.now
    assert now < bus.ready_at(read(100, 5), now) <= now + LATEST
    assert bus.ready_at(read(0, 4), now) <= now
    assert bus.ready_at(Request(1, READ_INPUT, 0, 5), now) <= now
    assert bus.ready_at(read(0, 5, unit=2), now) <= now
    clock.now += LATEST
    assert bus.ready_at(read(100, 5), clock.now) <= clock.now


async def test_the_time_that_was_waited_counts_for_a_late_answer(
    clock: FakeClock,
) -> None:
    class Silent(HeldUnit):
        async def read_holding_registers(self, address: int, count: int) -> list[int]:
            await self._ensure_connected()
            clock.now += 1.6
            raise ModbusTimeoutError("silent")

    bus = make_bus(Silent(), pace=Pace(timeout=1.5))
    await code_of(bus.async_read(read(0)))
    assert bus.ready_at(read(5), clock.now) == pytest.approx(clock.now - 1.5 + LATEST)


async def test_the_same_request_may_be_repeated_once_while_its_answer_may_come(
    clock: FakeClock,
) -> None:
    unit = HeldUnit()
    bus = make_bus(unit, pace=PROMPT)
    await bus.async_read(read(0, 5))
    unit.error = ModbusTimeoutError("late")
    await code_of(bus.async_read(read(0, 5)))
    assert bus.ready_at(read(0, 5), clock.now) <= clock.now
    assert bus.ready_at(read(9, 5), clock.now) > clock.now
    unit.error = None
    clock.now += 1
    await bus.async_read(read(0, 5))
    # Which of the two answers that was nobody knows: the other may still come.
    assert bus.ready_at(read(0, 5), clock.now) == clock.now + LATEST
    assert bus.ready_at(read(9, 5), clock.now) == clock.now + LATEST
    clock.now += LATEST
    assert bus.ready_at(read(0, 5), clock.now) <= clock.now


async def test_what_is_never_answered_does_not_make_the_pauses_long() -> None:
    unit = HeldUnit()
    bus = make_bus(unit)
    for _ in range(30):
        await bus.async_read(read(0))
    for length in range(2, 8):
        unit.error = ModbusTimeoutError("not served")
        await code_of(bus.async_read(Request(1, READ_INPUT, 9, 1)))
        unit.error = None
        for _ in range(9):
            await bus.async_read(read(length))
    assert bus.gap == 0.0


@pytest.mark.parametrize(("waits", "is_renewed"), [(1.5, False), (10.0, True)])
async def test_a_link_that_keeps_to_a_longer_timeout_is_opened_anew_once(
    clock: FakeClock, waits: float, is_renewed: bool
) -> None:
    unit = HeldUnit()

    def wait() -> None:
        clock.now += waits

    bus = make_bus(unit)
    unit.takes = wait
    unit.error = ModbusTimeoutError("silent")
    await code_of(bus.async_read(read(0)))
    assert unit.connected is not is_renewed
    await code_of(bus.async_read(read(1, 2)))
    assert unit.connected


async def test_links_with_transaction_ids_have_no_late_answers(
    clock: FakeClock,
) -> None:
    unit = HeldUnit()
    bus = make_bus(unit, pace=Pace(first_gap=0.0, has_transactions=True))
    unit.error = ModbusTimeoutError("")
    await code_of(bus.async_read(read(0)))
    assert bus.ready_at(read(0), clock.now) <= clock.now


async def test_a_unit_that_never_answers_is_left_alone_and_the_gap_with_it(
    clock: FakeClock,
) -> None:
    awake, silent = HeldUnit(), HeldUnit()
    bus = make_bus(awake, silent)
    for _ in range(12):
        await bus.async_read(read(0))
    silent.error = ModbusTimeoutError("")
    await code_of(bus.async_read(read(0, unit=2)))
    assert bus.silent == {2}
    assert bus.gap == 0.0
    assert bus.refusal(2, clock.now) is ExceptionCode.NO_RESPONSE
    assert bus.refusal(1, clock.now) is None
    clock.now += LONGEST
    assert bus.refusal(2, clock.now) is None


async def test_a_unit_gets_its_pause_and_others_are_asked_meanwhile(
    clock: FakeClock,
) -> None:
    bus = make_bus(HeldUnit(), HeldUnit())
    assert bus.ready_at(read(0), clock.now) <= clock.now
    await bus.async_read(read(0))
    assert bus.ready_at(read(9), clock.now) == pytest.approx(clock.now + 0.425)
    assert bus.ready_at(read(9, unit=2), clock.now) <= clock.now


async def test_a_unit_that_fails_does_not_make_the_others_pause(
    clock: FakeClock,
) -> None:
    awake, failing = HeldUnit(), HeldUnit()
    bus = make_bus(awake, failing)
    for _ in range(12):
        await bus.async_read(read(0))
        await bus.async_read(read(0, unit=2))
    failing.error = ModbusProtocolError("wrong checksum")
    for _ in range(2):
        await code_of(bus.async_read(read(0, unit=2)))
        assert failing.message_spacing == 0.0
        assert bus.ready_at(read(5, 3, unit=2), clock.now) == clock.now + 0.85
        assert bus.ready_at(read(0), clock.now) <= clock.now
    assert bus.gap == 0.0


async def test_garbage_from_a_unit_that_answered_before_widens_the_gap() -> None:
    unit = HeldUnit()
    bus = make_bus(unit)
    for _ in range(12):
        await bus.async_read(read(0))
    unit.error = ModbusProtocolError("wrong checksum")
    await code_of(bus.async_read(read(0)))
    assert bus.gap == 0.85
    assert bus.silent == frozenset()


async def test_a_lost_link_is_tried_again_and_units_are_not_blamed(
    clock: FakeClock,
) -> None:
    unit = HeldUnit()
    bus = make_bus(unit, HeldUnit())
    unit.error = ModbusConnectionError("unplugged")
    await code_of(bus.async_read(read(0)))
    assert bus.refusal(2, clock.now) is ExceptionCode.PATH_UNAVAILABLE
    assert bus.silent == frozenset()
    clock.now += LONGEST
    unit.error = None
    assert bus.refusal(1, clock.now) is None
    await bus.async_read(read(0))
    assert bus.is_reachable
    assert bus.refusal(2, clock.now) is None


@pytest.mark.parametrize(
    "outcome", [None, IllegalDataAddressError(), ModbusTimeoutError("")]
)
async def test_all_requests_are_counted(outcome: Exception | None) -> None:
    unit = HeldUnit()
    statistics = Statistics()
    bus = Bus({1: unit}, Pace(), statistics)
    MADE.append(bus)
    unit.error = outcome
    ask: Callable[[], Awaitable[bytes]] = lambda: bus.async_read(read(0))  # noqa: E731
    if outcome is None:
        await ask()
    else:
        await code_of(ask())
    assert statistics.bus_requests == 1
    assert statistics.bus_errors == isinstance(outcome, ModbusTimeoutError)
    assert statistics.bus_busy > 0


# -- answers to others ------------------------------------------------------------------


class Scripted(HeldUnit):
    """A unit of which a test says how each attempt ends; ``None`` is an answer."""

    def __init__(self, *outcomes: BaseException | None) -> None:
        """End attempts with ``outcomes``, and answer all others."""
        super().__init__()
        self.outcomes = list(outcomes)

    async def read_holding_registers(self, address: int, count: int) -> list[int]:
        """Answer or raise."""
        outcome = self.outcomes.pop(0) if self.outcomes else None
        words = await super().read_holding_registers(address, count)
        if outcome is not None:
            raise outcome
        return words


@pytest.fixture
def no_stray_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have stray answers die away at once."""
    monkeypatch.setattr(bus_module, "STRAY", 0.0)


@pytest.mark.usefixtures("no_stray_time")
@pytest.mark.parametrize(
    "stray", [IllegalDataAddressError(), ModbusProtocolError("2 registers, not 6")]
)
async def test_what_may_be_the_answer_to_another_is_asked_for_again(
    clock: FakeClock, stray: ModbusError
) -> None:
    bus = make_bus(unit := Scripted(ModbusTimeoutError(""), stray))
    await code_of(bus.async_read(read(0, 2)))
    assert await bus.async_read(read(100, 1)) == bytes((3, 2, 0, 100))
    assert unit.reads == [(3, 0, 2), (3, 100, 1), (3, 100, 1)]
    assert bus.silent == frozenset()
    # One of its two answers is still to come.
    assert bus.ready_at(read(200, 1), clock.now) == clock.now + LATEST


@pytest.mark.usefixtures("no_stray_time")
async def test_no_exception_is_believed_while_another_answer_is_awaited(
    clock: FakeClock,
) -> None:
    refusal = IllegalDataAddressError()
    bus = make_bus(unit := Scripted(ModbusTimeoutError(""), refusal, refusal))
    await code_of(bus.async_read(read(0, 2)))
    assert await code_of(bus.async_read(read(100))) == ExceptionCode.NO_RESPONSE
    assert len(unit.reads) == 3
    assert bus.silent == frozenset()
    assert bus.ready_at(read(200), clock.now) == clock.now + LATEST


@pytest.mark.usefixtures("clock")
async def test_an_exception_is_believed_at_once_if_no_other_answer_is_awaited() -> None:
    bus = make_bus(unit := Scripted(IllegalDataAddressError()))
    assert await code_of(bus.async_read(read(0))) == ExceptionCode.ILLEGAL_ADDRESS
    assert len(unit.reads) == 1


async def test_the_answer_may_still_come_when_the_link_was_lost_meanwhile(
    clock: FakeClock,
) -> None:
    bus = make_bus(Scripted(ModbusConnectionError("lost")))
    await code_of(bus.async_read(read(0)))
    assert bus.ready_at(read(100), clock.now) == clock.now + LATEST


async def test_a_read_that_the_library_calls_off_is_a_failure() -> None:
    bus = make_bus(Scripted(asyncio.CancelledError()))
    assert await code_of(bus.async_read(read(0))) == ExceptionCode.DEVICE_FAILURE
    assert await bus.async_read(read(1, 2)) == bytes((3, 4, 0, 1, 0, 2))


async def test_words_that_are_none_are_a_failure() -> None:
    bus = make_bus(unit := HeldUnit())
    unit.missing = -1
    assert await code_of(bus.async_read(read(0))) == ExceptionCode.NO_RESPONSE

    class Odd(HeldUnit):
        async def read_holding_registers(self, address: int, count: int) -> list[int]:
            return [70_000] * count

    assert await code_of(make_bus(Odd()).async_read(read(0))) == (
        ExceptionCode.DEVICE_FAILURE
    )


async def test_nobody_holds_up_the_bus_for_long(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(bus_module, "HELD_UP", 0.05)
    bus = make_bus(unit := HeldUnit())
    unit.hold()
    assert await code_of(bus.async_read(read(0))) == ExceptionCode.BUSY
    assert bus.silent == frozenset()


# -- what one unit does not answer ------------------------------------------------------


async def test_what_keeps_failing_is_left_alone_and_its_unit_is_not(
    clock: FakeClock,
) -> None:
    bus = make_bus(unit := HeldUnit(), pace=PROMPT)
    await bus.async_read(read(0))
    for _ in range(3):
        unit.error = ModbusTimeoutError("nothing there")
        await code_of(bus.async_read(read(500, 2)))
        unit.error = None
    assert bus.refusal(1, clock.now) is None
    assert bus.refuses(read(500, 2), clock.now) is ExceptionCode.NO_RESPONSE
    assert bus.refuses(read(500), clock.now) is None
    # Nothing has been answered since.
    assert bus.silent == {1}
    await bus.async_read(read(0))
    assert bus.silent == frozenset()
    clock.now += LONGEST
    assert bus.refuses(read(500, 2), clock.now) is None
    await bus.async_read(read(500, 2))
    assert bus.refuses(read(500, 2), clock.now) is None


async def test_a_silent_unit_is_tried_with_what_has_not_failed_first(
    clock: FakeClock,
) -> None:
    bus = make_bus(unit := HeldUnit())
    unit.error = ModbusTimeoutError("silent")
    await code_of(bus.async_read(read(500)))
    clock.now += SHORTEST
    assert bus.refuses(read(500), clock.now) is ExceptionCode.NO_RESPONSE
    assert bus.refuses(read(0), clock.now) is None
    clock.now += SHORTEST
    assert bus.refuses(read(500), clock.now) is None


async def test_few_failures_are_remembered(clock: FakeClock) -> None:
    bus = make_bus(unit := HeldUnit())
    await bus.async_read(read(0))
    for place in range(MOST_BAD + 10):
        unit.error = ModbusTimeoutError("nothing there")
        for _ in range(2):
            await code_of(bus.async_read(read(1000 + place)))
        unit.error = None
        await bus.async_read(read(0))
    refused = [
        place
        for place in range(MOST_BAD + 10)
        if bus.refuses(read(1000 + place), clock.now)
    ]
    assert refused == list(range(10, MOST_BAD + 10))


async def test_a_late_answer_from_before_a_write_is_right_for_nobody(
    clock: FakeClock,
) -> None:
    bus = make_bus(Scripted(ModbusTimeoutError("")), HeldUnit(), pace=PROMPT)
    await code_of(bus.async_read(read(0)))
    assert bus.ready_at(read(0), clock.now) <= clock.now
    assert bus.may_be_late(read(0), clock.now)
    bus.forget(2)
    assert bus.ready_at(read(0), clock.now) <= clock.now
    bus.forget(1)
    assert bus.ready_at(read(0), clock.now) == clock.now + LATEST
