"""One client on a serial line: what is answered, in which order, and what is not."""

import asyncio
from collections.abc import AsyncIterator
from random import Random

from hypothesis import given, settings, strategies as st
from modbus_connection.mock import MockModbusConnection, MockModbusUnit
import pytest

from custom_components.local_solar.gateway import rtu_session
from custom_components.local_solar.gateway.clients import Client, ClientKind
from custom_components.local_solar.gateway.gateway import Gateway
from custom_components.local_solar.gateway.pdu import exception_answer
from custom_components.local_solar.gateway.rtu_session import (
    MOST_WAITING,
    Host,
    RtuSession,
)

from .ports import (
    HeldGateway,
    answer,
    nothing_is_left,
    read_pdu,
    request,
    until,
    write_pdu,
)

BRIEF = 0.01
"""Seconds of silence for which a test waits."""

NEVER = 3600.0
"""A silence that does not come: all that is sent belongs together."""

ALWAYS = 0.0
"""A silence before everything: each time the client begins anew."""

A, B, C = (read_pdu(address, 2) for address in (100, 200, 300))
METER = read_pdu(0, 100, 0x20)


class Line:
    """A session, and what it has sent."""

    def __init__(
        self, gateway: Host, *, stand_in: int | None = None, silence: float = NEVER
    ) -> None:
        self.client = Client(name="dongle", kind=ClientKind.DONGLE, peer="dongle")
        self.sent: list[bytes] = []
        self.session = RtuSession(
            gateway, self.client, self.sent.append, stand_in=stand_in, silence=silence
        )

    def feed(self, *octets: bytes) -> None:
        self.session.feed(b"".join(octets))


@pytest.fixture
def gateway() -> HeldGateway:
    return HeldGateway()


@pytest.fixture(autouse=True)
async def no_timers_are_left() -> AsyncIterator[None]:
    with nothing_is_left():
        yield


# -- answers ------------------------------------------------------------------------------


async def test_a_request_is_answered(gateway: HeldGateway) -> None:
    line = Line(gateway)
    line.feed(request(A, 3))
    assert gateway.taken == [(3, A)]
    assert line.sent == [answer(A, 3)]


async def test_requests_that_came_glued_are_answered_in_their_order(
    gateway: HeldGateway,
) -> None:
    gateway.is_held = True
    line = Line(gateway)
    line.feed(request(A), request(B), request(C)[:3])
    line.feed(request(C)[3:])
    gateway.settle(2)
    gateway.settle(1)
    assert line.sent == []
    gateway.settle(0)
    assert line.sent == [answer(A), answer(B), answer(C)]
    line.session.close()


async def test_where_the_gateway_is_silent_the_line_is(gateway: HeldGateway) -> None:
    gateway.is_held = True
    line = Line(gateway)
    line.feed(request(A), request(B))
    gateway.settle(is_silent=True)
    gateway.settle()
    assert line.sent == [answer(B)]


async def test_growatts_read_of_a_meter_gets_an_exception_at_once() -> None:
    unit = MockModbusUnit(MockModbusConnection(), 1)
    line = Line(Gateway({1: unit}), stand_in=1)
    line.feed(request(METER))
    assert line.sent == [request(exception_answer(METER[0], 1))]


async def test_an_unknown_function_is_answered_after_a_silence(
    gateway: HeldGateway,
) -> None:
    unknown = bytes.fromhex("2b0e0100")
    line = Line(gateway, silence=BRIEF)
    line.feed(request(unknown))
    await until(lambda: line.sent)
    assert line.sent == [request(exception_answer(0x2B, 1))]


# -- repeats and what was given up ---------------------------------------------------------


@pytest.mark.parametrize("silence", [ALWAYS, NEVER])
async def test_a_repeated_request_is_answered_once(
    gateway: HeldGateway, silence: float
) -> None:
    gateway.is_held = True
    line = Line(gateway, silence=silence)
    line.feed(request(A), request(A))
    line.feed(request(A))
    gateway.settle()
    assert gateway.taken == [(1, A)]
    assert line.sent == [answer(A)]
    assert gateway.statistics.repeated == 2


async def test_what_was_answered_is_no_repeat(gateway: HeldGateway) -> None:
    line = Line(gateway)
    line.feed(request(A))
    line.feed(request(A))
    assert line.sent == [answer(A), answer(A)]
    assert gateway.statistics.repeated == 0


async def test_the_same_of_another_unit_is_no_repeat(gateway: HeldGateway) -> None:
    gateway.is_held = True
    line = Line(gateway)
    line.feed(request(A, 1), request(A, 2))
    assert gateway.taken == [(1, A), (2, A)]


async def test_what_a_client_gave_up_is_not_answered(gateway: HeldGateway) -> None:
    """It would take it for the answer to what it asked for then."""
    gateway.is_held = True
    line = Line(gateway, silence=ALWAYS)
    line.feed(request(A))
    line.feed(request(B))
    gateway.settle(0)
    assert line.sent == []
    gateway.settle(0)
    assert line.sent == [answer(B)]
    assert gateway.statistics.superseded == 1


async def test_who_returns_to_what_it_gave_up_is_answered_by_the_new_request(
    gateway: HeldGateway,
) -> None:
    gateway.is_held = True
    line = Line(gateway, silence=ALWAYS)
    for pdu in (A, B, A):
        line.feed(request(pdu))
    gateway.settle(0)
    gateway.settle(0)
    assert line.sent == []
    gateway.settle(0)
    assert line.sent == [answer(A)]


async def test_what_comes_after_a_silence_begins_anew(
    gateway: HeldGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 100.0
    monkeypatch.setattr(rtu_session, "monotonic", lambda: now)
    gateway.is_held = True
    line = Line(gateway, silence=1.0)
    line.feed(request(A))
    now += 0.9
    line.feed(request(B))
    assert gateway.statistics.superseded == 0
    now += 1.0
    line.feed(request(C))
    assert gateway.statistics.superseded == 2


async def test_only_so_many_requests_wait(gateway: HeldGateway) -> None:
    gateway.is_held = True
    line = Line(gateway)
    for address in range(10_000):
        line.feed(request(read_pdu(address)))
    assert len(gateway.taken) == MOST_WAITING
    assert gateway.statistics.dropped == 10_000 - MOST_WAITING
    for _ in range(MOST_WAITING):
        gateway.settle()
    line.feed(request(A))
    assert len(gateway.taken) == MOST_WAITING + 1


async def test_what_was_given_up_counts_as_waiting(gateway: HeldGateway) -> None:
    gateway.is_held = True
    line = Line(gateway, silence=ALWAYS)
    for address in range(100):
        line.feed(request(read_pdu(address)))
    assert len(gateway.taken) == MOST_WAITING


@settings(deadline=None)
@given(st.lists(st.integers(0, 5), min_size=1, max_size=MOST_WAITING), st.randoms())
def test_each_request_is_answered_once_and_in_order_however_late(
    addresses: list[int], random: Random
) -> None:
    async def check() -> None:
        gateway = HeldGateway()
        gateway.is_held = True
        line = Line(gateway)
        line.feed(*(request(read_pdu(address)) for address in addresses))
        asked = [pdu for _, pdu in gateway.taken]
        for left in range(len(asked), 0, -1):
            gateway.settle(random.randrange(left))
        assert line.sent == [answer(pdu) for pdu in asked]
        assert asked == [read_pdu(address) for address in dict.fromkeys(addresses)]

    asyncio.run(check())


# -- unit 0 -------------------------------------------------------------------------------


@pytest.mark.parametrize("pdu", [A, read_pdu(0, 10, 4), METER])
async def test_what_unit_0_is_asked_another_answers(
    gateway: HeldGateway, pdu: bytes
) -> None:
    line = Line(gateway, stand_in=7)
    line.feed(request(pdu, 0))
    assert gateway.taken == [(7, pdu)]
    assert line.sent == [answer(pdu, 7)]


@pytest.mark.parametrize("stand_in", [None, 1])
@pytest.mark.parametrize(
    "pdu", [write_pdu(45, 25), bytes.fromhex("10002d00010200 19"), b"\x2b\x0e\1\0"]
)
async def test_broadcasts_go_no_further(
    gateway: HeldGateway, pdu: bytes, stand_in: int | None
) -> None:
    line = Line(gateway, stand_in=stand_in, silence=BRIEF)
    line.feed(request(pdu, 0))
    await until(lambda: gateway.statistics.broadcasts)
    assert gateway.taken == []
    assert line.sent == []
    assert gateway.notes.requests == [(0, pdu)]
    assert gateway.notes.unanswered == [pdu]


async def test_without_a_stand_in_nobody_answers_for_unit_0(
    gateway: HeldGateway,
) -> None:
    line = Line(gateway)
    line.feed(request(A, 0))
    assert gateway.taken == []
    assert line.sent == []
    assert gateway.statistics.broadcasts == 1


# -- noise --------------------------------------------------------------------------------


async def test_noise_is_counted_and_recorded(gateway: HeldGateway) -> None:
    boot = b"\r\n ets Jan  8 2013,rst cause:2, boot mode:(3,7)\r\n"
    line = Line(gateway, silence=BRIEF)
    line.feed(boot)
    await until(lambda: gateway.statistics.garbage)
    assert gateway.notes.noise == [boot]
    assert line.session.garbage == len(boot)
    assert not line.session.is_unfinished
    line.feed(request(A))
    assert line.sent == [answer(A)]
    assert line.session.garbage == 0


async def test_half_a_request_does_not_spoil_the_next(gateway: HeldGateway) -> None:
    line = Line(gateway, silence=BRIEF)
    line.feed(request(A)[:5])
    assert line.session.is_unfinished
    await until(lambda: not line.session.is_unfinished)
    line.feed(request(B))
    assert line.sent == [answer(B)]


async def test_a_request_may_take_its_time_while_octets_come(
    gateway: HeldGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 100.0
    monkeypatch.setattr(rtu_session, "monotonic", lambda: now)
    line = Line(gateway, silence=BRIEF)
    for octet in request(A):
        line.feed(bytes((octet,)))
        # The timer goes off, and finds that something has just come.
        await asyncio.sleep(2 * BRIEF)
    assert line.sent == [answer(A)]
    line.feed(request(B)[:4])
    now += BRIEF
    await until(lambda: gateway.statistics.garbage)
    assert not line.session.is_unfinished


# -- the end ------------------------------------------------------------------------------


async def test_after_the_end_nothing_is_answered(gateway: HeldGateway) -> None:
    gateway.is_held = True
    line = Line(gateway, silence=0.2)
    line.feed(request(A), request(B)[:4])
    line.session.close()
    gateway.settle()
    line.feed(request(C))
    assert line.sent == []
    assert gateway.taken == [(1, A)]
