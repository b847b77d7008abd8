"""Sharing units: turns, company, freshness, silence, writes."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from struct import pack
from time import monotonic
from typing import override

from hypothesis import given, settings, strategies as st
from modbus_connection import (
    IllegalDataAddressError,
    ModbusConnectionError,
    ModbusTimeoutError,
)
import pytest

from custom_components.local_solar.gateway import (
    bus as bus_module,
    late_answers,
    scheduler,
)
from custom_components.local_solar.gateway.bus import Pace
from custom_components.local_solar.gateway.clients import Client, ClientKind
from custom_components.local_solar.gateway.gateway import (
    MOST_WRITES,
    Gateway,
    WriteRefusedError,
)
from custom_components.local_solar.gateway.pdu import ExceptionCode, Request
from custom_components.local_solar.gateway.policy import (
    Policy,
    Refusal,
    Span,
    parse_network,
)
from custom_components.local_solar.gateway.scheduler import MOST_WAITING

from .helpers import (
    DONGLE,
    PROMPT,
    Asked,
    HeldUnit,
    make_client,
    read_pdu,
    settled,
    words,
)

WRITE = pack(">BHH", 6, 30, 5)
WRITERS = Policy(writers=(parse_network("10.0.0.0/8"),))


def refused(code: ExceptionCode, function: int = 3) -> bytes:
    """Return the answer that a request gets which is not carried out."""
    return bytes((function | 0x80, code))


@asynccontextmanager
async def running(
    *units: HeldUnit,
    pace: Pace = PROMPT,
    policy: Policy | None = None,
    writer: RecordingWriter | None = None,
) -> AsyncIterator[tuple[Gateway, Asked]]:
    """Run a gateway for units 1, 2 and so on."""
    gateway = Gateway(
        dict(enumerate(units, 1)), policy=policy, pace=pace, writer=writer
    )
    await gateway.start()
    try:
        yield gateway, Asked(gateway)
    finally:
        for unit in units:
            unit.release()
        await gateway.stop()


class RecordingWriter:
    """Writes into units of a test, and remembers."""

    def __init__(self, *units: HeldUnit) -> None:
        """Change ``units``: each word is one more after a write."""
        self.units = units
        self.written: list[tuple[str, Request]] = []
        self.blocked_for: list[tuple[str, Request, Refusal]] = []
        self.error: Exception | None = None
        self.at_once = 0
        self.most_at_once = 0
        self.may_go_on = asyncio.Event()
        self.may_go_on.set()

    async def async_write(self, request: Request, client: Client) -> None:
        """Change all words of the unit."""
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            await self.may_go_on.wait()
            if self.error is not None:
                raise self.error
            self.units[request.unit - 1].offset += 1
            self.written.append((client.name, request))
        finally:
            self.at_once -= 1

    def blocked(self, request: Request, client: Client, refusal: Refusal) -> None:
        """Remember it."""
        self.blocked_for.append((client.name, request, refusal))


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Return what moves the time of gateway, scheduler and bus on."""
    moved = 0.0
    real = monotonic

    def moved_on() -> float:
        return real() + moved

    def move(seconds: float) -> None:
        nonlocal moved
        moved += seconds

    for module in ("bus", "late_answers", "watch", "scheduler", "gateway"):
        monkeypatch.setattr(
            f"custom_components.local_solar.gateway.{module}.monotonic", moved_on
        )
    return move


# -- answers ----------------------------------------------------------------------------


async def test_a_read_is_answered_with_what_the_unit_holds() -> None:
    async with running(HeldUnit()) as (gateway, asked):
        assert await asked.ask(make_client(), read_pdu(258, 2)) == words(258, 2)
        assert gateway.statistics.answers == 1


async def test_exceptions_of_the_device_go_through_unchanged() -> None:
    unit = HeldUnit()
    unit.error = IllegalDataAddressError()
    async with running(unit) as (gateway, asked):
        answer = await asked.ask(make_client(), read_pdu(0))
        assert answer == refused(ExceptionCode.ILLEGAL_ADDRESS)
        assert gateway.statistics.exceptions == {2: 1}


@pytest.mark.parametrize("unit_id", [2, 0, 255])
async def test_units_that_are_not_served_have_no_path(unit_id: int) -> None:
    async with running(HeldUnit(), HeldUnit(), HeldUnit()) as (_, asked):
        answer = await asked.ask(make_client(), read_pdu(0), unit=9)
        assert answer == refused(ExceptionCode.PATH_UNAVAILABLE)


@pytest.mark.parametrize("unit_id", [0, 255])
async def test_whoever_asks_nobody_in_particular_gets_the_only_unit(
    unit_id: int,
) -> None:
    async with running(HeldUnit()) as (_, asked):
        assert await asked.ask(make_client(), read_pdu(5), unit=unit_id) == words(5)
    async with running(HeldUnit(), HeldUnit()) as (_, asked):
        answer = await asked.ask(make_client(), read_pdu(5), unit=unit_id)
        assert answer == refused(ExceptionCode.PATH_UNAVAILABLE)


@pytest.mark.parametrize("unit_id", [0, 255])
async def test_what_is_for_all_units_is_not_written(unit_id: int) -> None:
    unit = HeldUnit()
    writer = RecordingWriter(unit)
    async with running(unit, policy=WRITERS, writer=writer) as (_, asked):
        answer = await asked.ask(make_client(), WRITE, unit=unit_id)
        assert answer == refused(ExceptionCode.PATH_UNAVAILABLE, 6)
    assert writer.written == []


async def test_functions_that_are_not_served_are_said_to_be_illegal() -> None:
    unit = HeldUnit()
    async with running(unit) as (_, asked):
        answer = await asked.ask(make_client(), bytes((0x20, 0, 0, 0, 100)))
        assert answer == refused(ExceptionCode.ILLEGAL_FUNCTION, 0x20)
        assert await asked.ask(make_client(), b"") == refused(
            ExceptionCode.ILLEGAL_FUNCTION, 0
        )
    assert unit.reads == []


async def test_what_must_never_be_touched_does_not_reach_the_bus() -> None:
    unit = HeldUnit()
    policy = Policy(never={1: (Span(first=30000, last=31999),)})
    async with running(unit, policy=policy) as (gateway, asked):
        for kind in ClientKind:
            answer = await asked.ask(make_client("any", kind), read_pdu(29990, 20))
            assert answer == refused(ExceptionCode.ILLEGAL_ADDRESS)
        assert gateway.statistics.blocked_reads == len(ClientKind)
    assert unit.reads == []


# -- turns ------------------------------------------------------------------------------


async def test_clients_take_turns_however_much_one_of_them_asks(
    clock: Callable[[float], None],
) -> None:
    unit = HeldUnit()
    unit.takes = lambda: clock(0.3)
    unit.hold()
    greedy, modest, third = (make_client(f"10.0.0.{n}:1") for n in (1, 2, 3))
    async with running(unit) as (_, asked):
        waiting = [asked.ask(greedy, read_pdu(1000 + n)) for n in range(10)]
        await unit.asked.wait()
        waiting += [asked.ask(modest, read_pdu(2000 + n)) for n in range(2)]
        waiting += [asked.ask(third, read_pdu(3000))]
        unit.release()
        await settled(waiting)
    order = [address // 1000 for _, address, _ in unit.reads]
    assert order[:3] == [1, 2, 3]
    assert sorted(order[3:5]) == [1, 2]
    assert order[5:] == [1] * 8


async def test_the_dongle_does_not_keep_the_others_waiting_for_ever() -> None:
    unit = HeldUnit()
    unit.hold()
    dongle, other = make_client("dongle", DONGLE), make_client()
    async with running(unit) as (_, asked):
        waiting = [asked.ask(dongle, read_pdu(n)) for n in range(4)]
        await unit.asked.wait()
        waiting += [asked.ask(other, read_pdu(100 + n)) for n in range(2)]
        unit.release()
        await settled(waiting)
    assert [address for _, address, _ in unit.reads] == [0, 100, 1, 101, 2, 3]


async def test_who_asks_a_slow_unit_gets_as_much_of_the_bus_as_others_not_more(
    clock: Callable[[float], None],
) -> None:
    slow, quick = HeldUnit(), HeldUnit()
    served: list[str] = []

    def takes(name: str, seconds: float) -> Callable[[], None]:
        def pass_time() -> None:
            served.append(name)
            clock(seconds)

        return pass_time

    slow.takes, quick.takes = takes("slow", 1.0), takes("quick", 0.1)
    clients = [make_client(f"10.0.0.{n}:1") for n in range(4)]
    async with running(slow, quick, pace=Pace(first_gap=0.0, max_age=0.0)) as (
        _,
        asked,
    ):
        waiting = [asked.ask(clients[0], read_pdu(n), unit=1) for n in range(5)]
        waiting += [
            asked.ask(clients[number], read_pdu(1000 * number + n), unit=2)
            for n in range(60)
            for number in (1, 2, 3)
        ]
        await asyncio.gather(*waiting)
    _, _, third, _, fifth = (
        place for place, name in enumerate(served) if name == "slow"
    )
    # Once it is known what is usual, an answer of a second is worth ten of each other.
    assert served[third:fifth].count("quick") == pytest.approx(2 * 3 * 10, abs=9)


async def test_who_comes_late_gets_no_turns_for_the_time_before(
    clock: Callable[[float], None],
) -> None:
    unit = HeldUnit()
    unit.takes = lambda: clock(0.3)
    first, late = make_client("10.0.0.1:1"), make_client("10.0.0.2:1")
    async with running(unit) as (_, asked):
        for n in range(20):
            await asked.ask(first, read_pdu(100 + n))
        unit.hold()
        unit.asked.clear()
        waiting = [asked.ask(first, read_pdu(200 + n)) for n in range(4)]
        await unit.asked.wait()
        waiting += [asked.ask(late, read_pdu(300 + n)) for n in range(4)]
        unit.release()
        await settled(waiting)
    order = [address // 100 for _, address, _ in unit.reads[20:]]
    assert order in ([2, 3, 2, 3, 2, 3, 2, 3], [2, 3, 3, 2, 3, 2, 3, 2])


async def test_the_dongle_is_served_before_all_others() -> None:
    unit = HeldUnit()
    unit.hold()
    dongle = make_client("dongle", DONGLE)
    async with running(unit) as (_, asked):
        waiting = [
            asked.ask(make_client(f"10.0.0.{n}:1"), read_pdu(n)) for n in range(10)
        ]
        await unit.asked.wait()
        waiting.append(asked.ask(dongle, read_pdu(3000)))
        unit.release()
        await settled(waiting)
    assert [address for _, address, _ in unit.reads][1] == 3000


@settings(max_examples=60, deadline=None)
@given(
    asks=st.lists(
        st.tuples(st.integers(0, 4), st.integers(0, 60), st.integers(1, 20)),
        max_size=60,
    ),
    max_age=st.sampled_from([0.0, 1.0]),
)
async def test_everyone_gets_one_answer_and_it_is_their_own(
    asks: list[tuple[int, int, int]], max_age: float
) -> None:
    unit = HeldUnit()
    unit.hold()
    clients = [make_client(f"10.0.0.{n}:1") for n in range(4)]
    clients.append(make_client("dongle", DONGLE))
    async with running(unit, pace=Pace(first_gap=0.0, max_age=max_age)) as (
        gateway,
        asked,
    ):
        waiting = [
            asked.ask(clients[client], read_pdu(address, length))
            for client, address, length in asks
        ]
        unit.release()
        answers = await settled(waiting)
        assert answers == [words(address, length) for _, address, length in asks]
        assert len(asked.answers) == len(asks)
        assert all(client.waiting == 0 for client in clients)
        assert gateway.statistics.answers == len(asks)


async def test_who_asks_more_than_can_wait_is_told_that_the_bus_is_busy() -> None:
    unit = HeldUnit()
    unit.hold()
    client = make_client()
    async with running(unit) as (_, asked):
        waiting = [asked.ask(client, read_pdu(n)) for n in range(MOST_WAITING + 3)]
        unit.release()
        answers = await settled(waiting)
    assert answers[-3:] == [refused(ExceptionCode.BUSY)] * 3
    assert answers[:-3] == [words(n) for n in range(MOST_WAITING)]


async def test_who_has_waited_for_too_long_is_told_that_the_bus_is_busy(
    clock: Callable[[float], None],
) -> None:
    unit = HeldUnit()
    unit.hold()
    async with running(unit) as (_, asked):
        first = asked.ask(make_client(), read_pdu(0))
        await unit.asked.wait()
        late = asked.ask(make_client(), read_pdu(1))
        clock(scheduler.PATIENCE + 1)
        fresh = asked.ask(make_client("10.0.0.2:1"), read_pdu(2))
        unit.release()
        assert await settled([first, late, fresh]) == [
            words(0),
            refused(ExceptionCode.BUSY),
            words(2),
        ]


async def test_who_has_left_is_not_worked_for() -> None:
    unit = HeldUnit()
    unit.hold()
    gone, stays = make_client("10.0.0.1:1"), make_client("10.0.0.2:1")
    async with running(unit) as (gateway, asked):
        gateway.join(gone)
        gateway.join(stays)
        waiting = asked.ask(stays, read_pdu(0))
        await unit.asked.wait()
        for place in range(10, 20):
            asked.ask(gone, read_pdu(place))
        asked.ask(gone, read_pdu(30))
        shared = asked.ask(stays, read_pdu(30))
        gateway.leave(gone)
        assert list(gateway.clients) == [stays]
        unit.release()
        assert await settled([waiting, shared]) == [words(0), words(30)]
    assert [address for _, address, _ in unit.reads] == [0, 30]


# -- company ----------------------------------------------------------------------------


async def test_the_same_and_what_lies_within_is_asked_once() -> None:
    unit = HeldUnit()
    unit.hold()
    async with running(unit) as (gateway, asked):
        waiting = [asked.ask(make_client("10.0.0.1:1"), read_pdu(100, 50))]
        await unit.asked.wait()
        waiting += [
            asked.ask(make_client(f"10.0.0.{n}:1"), read_pdu(100 + n, 10))
            for n in range(2, 40)
        ]
        unit.release()
        answers = await settled(waiting)
        assert answers[1:] == [words(100 + n, 10) for n in range(2, 40)]
        assert gateway.statistics.joined == 38
    assert unit.reads == [(3, 100, 50)]


async def test_what_waits_for_its_turn_is_asked_once_at_the_earliest_turn() -> None:
    unit = HeldUnit()
    unit.hold()
    greedy, other = make_client("10.0.0.1:1"), make_client("10.0.0.2:1")
    async with running(unit) as (_, asked):
        waiting = [asked.ask(greedy, read_pdu(n)) for n in range(10)]
        await unit.asked.wait()
        waiting.append(asked.ask(other, read_pdu(9)))
        unit.release()
        await settled(waiting)
    # It was the greedy one's last: the other's turn came earlier.
    assert [address for _, address, _ in unit.reads] == [0, 9, 1, 2, 3, 4, 5, 6, 7, 8]


async def test_a_part_is_asked_for_by_itself_if_the_whole_is_refused() -> None:
    unit = HeldUnit()
    unit.longest = 10
    unit.hold()
    async with running(unit) as (_, asked):
        whole = asked.ask(make_client("10.0.0.1:1"), read_pdu(100, 50))
        await unit.asked.wait()
        part = asked.ask(make_client("10.0.0.2:1"), read_pdu(100, 2))
        unit.release()
        assert await whole == refused(ExceptionCode.ILLEGAL_ADDRESS)
        assert await part == words(100, 2)
    assert unit.reads == [(3, 100, 50), (3, 100, 2)]


# -- freshness --------------------------------------------------------------------------


async def test_what_was_just_read_is_handed_out_again_until_it_is_old(
    clock: Callable[[float], None],
) -> None:
    unit = HeldUnit()
    async with running(unit) as (gateway, asked):
        client = make_client()
        await asked.ask(client, read_pdu(100, 50))
        for _ in range(3):
            assert await asked.ask(client, read_pdu(110, 5)) == words(110, 5)
        assert gateway.statistics.from_cache == 3
        clock(1.01)
        unit.offset = 1
        assert await asked.ask(client, read_pdu(110, 5)) == words(111, 5)
    assert len(unit.reads) == 2


async def test_nothing_is_kept_if_the_owner_wants_that() -> None:
    unit = HeldUnit()
    async with running(unit, pace=Pace(first_gap=0.0, max_age=0.0)) as (_, asked):
        for _ in range(3):
            await asked.ask(make_client(), read_pdu(0))
    assert len(unit.reads) == 3


async def test_who_joins_late_does_not_get_what_has_become_old(
    clock: Callable[[float], None],
) -> None:
    unit = HeldUnit()
    unit.hold()
    async with running(unit) as (_, asked):
        first = asked.ask(make_client("10.0.0.1:1"), read_pdu(0))
        await unit.asked.wait()
        joined = asked.ask(make_client("10.0.0.2:1"), read_pdu(0))
        clock(1.2)
        unit.offset = 7
        unit.release()
        assert await first == words(0)
        assert await joined == words(7)


async def test_a_new_policy_counts_for_what_was_read_before() -> None:
    unit = HeldUnit()
    async with running(unit) as (gateway, asked):
        for _ in range(2):
            await asked.ask(make_client(), read_pdu(500))
        gateway.policy = Policy(ranges=(Span(first=0, last=124),))
        answer = await asked.ask(make_client(), read_pdu(500))
        assert answer == refused(ExceptionCode.ILLEGAL_ADDRESS)


# -- silence ----------------------------------------------------------------------------


async def test_a_silent_unit_does_not_hold_up_the_others() -> None:
    silent, awake = HeldUnit(), HeldUnit()
    silent.error = ModbusTimeoutError("silent")
    async with running(silent, awake) as (gateway, asked):
        client = make_client()
        waiting = [asked.ask(client, read_pdu(n), unit=1) for n in range(10)]
        waiting += [asked.ask(client, read_pdu(n), unit=2) for n in range(10)]
        answers = await settled(waiting)
        assert answers[:10] == [refused(ExceptionCode.NO_RESPONSE)] * 10
        assert answers[10:] == [words(n) for n in range(10)]
        assert gateway.units_silent == {1}
    assert len(silent.reads) == 1


async def test_a_silent_unit_is_asked_again_after_a_while(
    clock: Callable[[float], None],
) -> None:
    unit = HeldUnit()
    unit.error = ModbusTimeoutError("silent")
    async with running(unit) as (gateway, asked):
        client = make_client()
        assert await asked.ask(client, read_pdu(0)) == refused(
            ExceptionCode.NO_RESPONSE
        )
        unit.error = None
        assert await asked.ask(client, read_pdu(0)) == refused(
            ExceptionCode.NO_RESPONSE
        )
        clock(60)
        assert await asked.ask(client, read_pdu(0)) == words(0)
        assert gateway.units_silent == frozenset()


async def test_without_a_link_there_is_no_path_and_no_waiting(
    clock: Callable[[float], None],
) -> None:
    unit = HeldUnit()
    unit.error = ModbusConnectionError("unplugged")
    async with running(unit) as (gateway, asked):
        client = make_client()
        waiting = [asked.ask(client, read_pdu(n)) for n in range(10)]
        answers = await settled(waiting)
        assert answers == [refused(ExceptionCode.PATH_UNAVAILABLE)] * 10
        assert not gateway.is_reachable
        assert len(unit.reads) == 1
        unit.error = None
        clock(60)
        assert await asked.ask(client, read_pdu(0)) == words(0)


async def test_the_dongle_hears_silence_where_the_inverter_would_be_silent() -> None:
    unit = HeldUnit()
    dongle = make_client("dongle", DONGLE)
    async with running(unit) as (_, asked):
        unit.error = ModbusTimeoutError("silent")
        assert await asked.ask(dongle, read_pdu(0)) is None
    unit.error = IllegalDataAddressError()
    async with running(unit) as (_, asked):
        assert await asked.ask(dongle, read_pdu(0)) == refused(
            ExceptionCode.ILLEGAL_ADDRESS
        )


async def test_the_shape_of_a_request_that_was_given_up_waits_and_others_do_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(late_answers, "LATEST", 0.3)
    unit = HeldUnit()
    client = make_client()
    async with running(unit) as (_, asked):
        await asked.ask(client, read_pdu(0, 5))
        unit.error = ModbusTimeoutError("late")
        await asked.ask(client, read_pdu(100, 5))
        unit.error = None
        same = asked.ask(client, read_pdu(200, 5))
        other = asked.ask(client, read_pdu(300, 6))
        assert await other == words(300, 6)
        assert not same.done()
        assert await same == words(200, 5)
    assert [address for _, address, _ in unit.reads] == [0, 100, 300, 200]


# -- writes -----------------------------------------------------------------------------


async def test_nothing_is_written_by_default() -> None:
    unit = HeldUnit()
    writer = RecordingWriter(unit)
    client = make_client()
    async with running(unit, writer=writer) as (gateway, asked):
        answer = await asked.ask(client, WRITE)
        assert answer == refused(ExceptionCode.ILLEGAL_FUNCTION, 6)
        assert gateway.statistics.blocked_writes == client.blocked_writes == 1
    assert writer.written == []
    assert writer.blocked_for == [
        (client.name, Request(1, 6, 30, 1, (5,)), Refusal.WRITES_OFF)
    ]


async def test_a_writer_writes_through_the_door_and_gets_the_echo() -> None:
    unit = HeldUnit()
    writer = RecordingWriter(unit)
    async with running(unit, policy=WRITERS, writer=writer) as (gateway, asked):
        assert await asked.ask(make_client(), WRITE) == WRITE
        assert gateway.statistics.writes == 1
    assert writer.written == [("10.0.0.1:1000", Request(1, 6, 30, 1, (5,)))]


async def test_without_a_door_nobody_writes() -> None:
    async with running(HeldUnit(), policy=WRITERS) as (_, asked):
        answer = await asked.ask(make_client(), WRITE)
        assert answer == refused(ExceptionCode.ILLEGAL_FUNCTION, 6)


@pytest.mark.parametrize(
    ("error", "code", "blocked"),
    [
        (
            WriteRefusedError(ExceptionCode.ILLEGAL_VALUE, "out of range"),
            ExceptionCode.ILLEGAL_VALUE,
            1,
        ),
        # What the device did not do was not blocked.
        (
            WriteRefusedError(ExceptionCode.DEVICE_FAILURE, "it does not answer"),
            ExceptionCode.DEVICE_FAILURE,
            0,
        ),
        (RuntimeError("a fault of ours"), ExceptionCode.DEVICE_FAILURE, 0),
    ],
)
async def test_a_refused_write_is_answered_with_the_reason(
    error: Exception, code: ExceptionCode, blocked: int
) -> None:
    unit = HeldUnit()
    writer = RecordingWriter(unit)
    writer.error = error
    client = make_client()
    async with running(unit, policy=WRITERS, writer=writer) as (gateway, asked):
        assert await asked.ask(client, WRITE) == refused(code, 6)
        assert gateway.statistics.writes == 0
        assert gateway.statistics.blocked_writes == client.blocked_writes == blocked


async def test_what_was_read_before_a_write_is_not_handed_out_after_it() -> None:
    unit = HeldUnit()
    writer = RecordingWriter(unit)
    client = make_client()
    async with running(unit, policy=WRITERS, writer=writer) as (_, asked):
        assert await asked.ask(client, read_pdu(30)) == words(30)
        assert await asked.ask(client, WRITE) == WRITE
        assert await asked.ask(client, read_pdu(30)) == words(31)


async def test_a_read_that_began_before_others_wrote_is_for_those_who_asked_before() -> (
    None
):
    unit = HeldUnit()
    unit.hold()
    async with running(unit) as (gateway, asked):
        before = asked.ask(make_client("10.0.0.1:1"), read_pdu(30))
        await unit.asked.wait()
        gateway.forget(1)
        unit.offset = 1
        after = asked.ask(make_client("10.0.0.2:1"), read_pdu(30))
        unit.release()
        assert await before == words(30)
        assert await after == words(31)
        # Nor was the older answer kept for others.
        assert await asked.ask(make_client("10.0.0.3:1"), read_pdu(30)) == words(31)


async def test_what_was_on_the_bus_when_others_wrote_is_right_for_nobody_if_late() -> (
    None
):
    unit = HeldUnit()
    async with running(unit) as (gateway, asked):
        await asked.ask(make_client(), read_pdu(29))
        unit.hold()
        unit.asked.clear()
        unit.error = ModbusTimeoutError("late")
        before = asked.ask(make_client("10.0.0.1:1"), read_pdu(30))
        await unit.asked.wait()
        gateway.forget(1)
        unit.release()
        assert await before == refused(ExceptionCode.NO_RESPONSE)
        unit.error = None
        # Asked again it would get the answer from before the write.
        again = asked.ask(make_client("10.0.0.1:1"), read_pdu(30))
        for _ in range(10):
            await asyncio.sleep(0)
        assert not again.done()


async def test_no_read_is_on_the_bus_while_a_unit_is_written_to() -> None:
    unit, other = HeldUnit(), HeldUnit()
    writer = RecordingWriter(unit)
    writer.may_go_on.clear()
    unit.hold()
    client = make_client()
    async with running(unit, other, policy=WRITERS, writer=writer) as (_, asked):
        before = asked.ask(client, read_pdu(1))
        await unit.asked.wait()
        writing = asked.ask(client, WRITE)
        await asyncio.sleep(0)
        assert writer.at_once == 0
        unit.release()
        assert await before == words(1)
        while not writer.at_once:
            await asyncio.sleep(0)
        during = asked.ask(client, read_pdu(2))
        assert await asked.ask(client, read_pdu(3), unit=2) == words(3)
        assert not during.done()
        writer.may_go_on.set()
        assert await writing == WRITE
        assert await during == words(3)
    assert len(unit.reads) == 2


async def test_what_a_client_wanted_to_write_that_has_gone_is_not_written() -> None:
    unit = HeldUnit()
    writer = RecordingWriter(unit)
    writer.may_go_on.clear()
    gone = make_client("10.0.0.1:1")
    async with running(unit, policy=WRITERS, writer=writer) as (gateway, asked):
        gateway.join(gone)
        waiting = [asked.ask(make_client("10.0.0.2:1"), WRITE), asked.ask(gone, WRITE)]
        gateway.leave(gone)
        writer.may_go_on.set()
        assert await settled(waiting) == [WRITE, refused(ExceptionCode.BUSY, 6)]
    assert [name for name, _ in writer.written] == ["10.0.0.2:1"]


async def test_what_others_wrote_makes_a_unit_forgotten() -> None:
    unit = HeldUnit()
    async with running(unit) as (gateway, asked):
        await asked.ask(make_client(), read_pdu(30))
        unit.offset = 1
        gateway.forget(1)
        gateway.forget(99)
        assert await asked.ask(make_client(), read_pdu(30)) == words(31)


async def test_one_write_at_a_time_and_few_that_wait() -> None:
    unit = HeldUnit()
    writer = RecordingWriter(unit)
    writer.may_go_on.clear()
    client = make_client()
    async with running(unit, policy=WRITERS, writer=writer) as (_, asked):
        waiting = [asked.ask(client, WRITE) for _ in range(MOST_WRITES + 2)]
        other = asked.ask(make_client("10.0.0.2:1"), WRITE)
        writer.may_go_on.set()
        answers = await settled([*waiting, other])
    assert answers[MOST_WRITES:-1] == [refused(ExceptionCode.BUSY, 6)] * 2
    assert answers.count(WRITE) == MOST_WRITES + 1
    assert writer.most_at_once == 1


async def test_a_write_on_its_way_is_seen_to_its_end_when_the_gateway_stops() -> None:
    unit = HeldUnit()
    writer = RecordingWriter(unit)
    writer.may_go_on.clear()
    async with running(unit, policy=WRITERS, writer=writer) as (gateway, asked):
        waiting = asked.ask(make_client(), WRITE)
        stopping = asyncio.create_task(gateway.stop())
        writer.may_go_on.set()
        await stopping
        assert waiting.done()
    assert len(writer.written) == 1


# -- recording --------------------------------------------------------------------------


class Notes:
    """A recorder that remembers."""

    def __init__(self) -> None:
        """Have nothing yet."""
        self.lines: list[tuple[str, str, int, bytes, bytes | None]] = []

    def request(self, client: Client, unit: int, pdu: bytes) -> None:
        """Remember a request."""
        self.lines.append(("request", client.name, unit, pdu, None))

    def answer(
        self, client: Client, unit: int, request: bytes, answer: bytes | None
    ) -> None:
        """Remember an answer."""
        self.lines.append(("answer", client.name, unit, request, answer))

    @override
    def __eq__(self, other: object) -> bool:
        return self is other

    def garbage(self, client: Client, octets: bytes) -> None:
        """Remember what is no request."""


async def test_a_recorder_is_told_what_is_asked_and_answered() -> None:
    async with running(HeldUnit()) as (gateway, asked):
        gateway.recorder = notes = Notes()
        for _ in range(2):
            await asked.ask(make_client("a:1"), read_pdu(30))
        gateway.recorder = None
        await asked.ask(make_client("a:1"), read_pdu(30))
    assert notes.lines == 2 * [
        ("request", "a:1", 1, read_pdu(30), None),
        ("answer", "a:1", 1, read_pdu(30), words(30)),
    ]


# -- what goes wrong --------------------------------------------------------------------


async def test_a_reply_that_fails_costs_nobody_else_an_answer() -> None:
    unit = HeldUnit()
    unit.hold()

    def fail(answer: bytes | None) -> None:
        raise RuntimeError("a fault of a listener")

    async with running(unit) as (gateway, asked):
        gateway.take(make_client("10.0.0.1:1"), 1, read_pdu(0), fail)
        await unit.asked.wait()
        others = [asked.ask(make_client(f"10.0.0.{n}:1"), read_pdu(0)) for n in (2, 3)]
        unit.release()
        assert await settled(others) == [words(0)] * 2


async def test_a_fault_of_ours_is_answered_and_joined_by_nobody(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def fail(*_: object) -> bytes:
        raise RuntimeError("a fault of ours")

    async with running(HeldUnit()) as (_, asked):
        with monkeypatch.context() as patched:
            patched.setattr(bus_module.Bus, "async_read", fail)
            answer = await asked.ask(make_client(), read_pdu(0, 2))
        assert answer == refused(ExceptionCode.DEVICE_FAILURE)
        assert await settled([asked.ask(make_client(), read_pdu(0))]) == [words(0)]


async def test_who_has_left_is_not_answered_by_what_is_on_the_bus() -> None:
    unit = HeldUnit()
    unit.hold()
    gone, stays = make_client("10.0.0.1:1"), make_client("10.0.0.2:1")
    async with running(unit, pace=Pace(first_gap=0.0, max_age=0.0)) as (
        gateway,
        asked,
    ):
        first = asked.ask(stays, read_pdu(0))
        await unit.asked.wait()
        joined = [asked.ask(client, read_pdu(0)) for client in (gone, stays)]
        gateway.leave(gone)
        unit.release()
        await settled([first, joined[1]])
        assert not joined[0].done()
    assert len(unit.reads) == 2


async def test_what_cannot_begin_is_given_up_as_well(
    clock: Callable[[float], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(late_answers, "LATEST", 1000.0)
    unit = HeldUnit()
    client = make_client()
    async with running(unit) as (_, asked):
        await asked.ask(client, read_pdu(0, 2))
        unit.error = ModbusTimeoutError("late")
        await asked.ask(client, read_pdu(100))
        unit.error = None
        waiting = asked.ask(client, read_pdu(200))
        clock(scheduler.PATIENCE + 1)
        other = asked.ask(make_client("10.0.0.2:1"), read_pdu(300, 2))
        assert await settled([waiting, other]) == [
            refused(ExceptionCode.BUSY),
            words(300, 2),
        ]
        assert client.waiting == 0


async def test_a_part_is_not_refused_with_one_whole_after_the_other() -> None:
    unit = HeldUnit()
    unit.longest = 10
    unit.hold()
    greedy, modest = make_client("10.0.0.1:1"), make_client("10.0.0.2:1")
    async with running(unit) as (_, asked):
        wholes = [asked.ask(greedy, read_pdu(100, 50 + n)) for n in range(5)]
        await unit.asked.wait()
        part = asked.ask(modest, read_pdu(100, 2))
        unit.release()
        assert await part == words(100, 2)
        await settled(wholes)
    assert unit.reads.index((3, 100, 2)) <= 2


async def test_a_part_is_asked_for_by_itself_if_the_whole_gets_no_answer() -> None:
    class Deaf(HeldUnit):
        @override
        async def read_holding_registers(self, address: int, count: int) -> list[int]:
            words = await super().read_holding_registers(address, count)
            if count > 10:
                raise ModbusTimeoutError("no such registers")
            return words

    unit = Deaf()
    async with running(unit) as (_, asked):
        await asked.ask(make_client(), read_pdu(0, 5))
        unit.hold()
        unit.asked.clear()
        whole = asked.ask(make_client("10.0.0.1:1"), read_pdu(100, 50))
        await unit.asked.wait()
        part = asked.ask(make_client("10.0.0.2:1"), read_pdu(100, 2))
        unit.release()
        assert await whole == refused(ExceptionCode.NO_RESPONSE)
        assert await part == words(100, 2)


async def test_a_write_that_waited_is_not_done_if_it_is_not_allowed_any_more() -> None:
    unit = HeldUnit()
    writer = RecordingWriter(unit)
    writer.may_go_on.clear()
    async with running(unit, policy=WRITERS, writer=writer) as (gateway, asked):
        waiting = [asked.ask(make_client(), WRITE) for _ in range(2)]
        while not writer.at_once:
            await asyncio.sleep(0)
        gateway.policy = Policy()
        writer.may_go_on.set()
        assert await settled(waiting) == [
            WRITE,
            refused(ExceptionCode.ILLEGAL_FUNCTION, 6),
        ]
        assert gateway.statistics.blocked_writes == 1
    assert len(writer.written) == len(writer.blocked_for) == 1


async def test_a_read_on_its_way_is_seen_to_its_end_when_the_gateway_stops() -> None:
    unit = HeldUnit()
    unit.hold()
    async with running(unit) as (gateway, asked):
        waiting = [asked.ask(make_client(), read_pdu(n)) for n in range(2)]
        await unit.asked.wait()
        stopping = asyncio.create_task(gateway.stop())
        await asyncio.sleep(0)
        unit.release()
        await stopping
        assert await waiting[0] == words(0)
        assert not waiting[1].done()
    assert len(unit.reads) == 1


async def test_a_write_begins_when_no_late_answer_can_come_any_more(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(late_answers, "LATEST", 0.2)
    unit = HeldUnit()
    writer = RecordingWriter(unit)
    client = make_client()
    async with running(unit, policy=WRITERS, writer=writer) as (_, asked):
        unit.error = ModbusTimeoutError("late")
        began = monotonic()
        await asked.ask(client, read_pdu(0))
        assert await asked.ask(client, WRITE) == WRITE
        assert monotonic() - began >= 0.2
