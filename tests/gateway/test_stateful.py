"""A gateway under clients, units and times that do what they like."""

import asyncio
from dataclasses import dataclass, field
from math import inf
from struct import pack, unpack
from typing import Final, override

from hypothesis import settings, strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)
from modbus_connection import (
    IllegalDataAddressError,
    ModbusConnectionError,
    ModbusError,
    ModbusProtocolError,
    ModbusTimeoutError,
)
from modbus_connection.mock import MockModbusConnection, MockModbusUnit

from custom_components.local_solar.gateway.bus import HELD_UP, Pace
from custom_components.local_solar.gateway.clients import Client, ClientKind
from custom_components.local_solar.gateway.gateway import Gateway, WriteRefusedError
from custom_components.local_solar.gateway.late_answers import LATEST
from custom_components.local_solar.gateway.pdu import (
    READ_HOLDING,
    READ_INPUT,
    ExceptionCode,
    Request,
)
from custom_components.local_solar.gateway.policy import (
    Policy,
    Refusal,
    Span,
    parse_network,
)
from custom_components.local_solar.gateway.scheduler import PATIENCE

from .helpers import read_pdu
from .virtual_time import VirtualLoop

MAX_AGE: Final = 1.0
TIMEOUT: Final = 1.5
LATE: Final = 3.0
"""Seconds after a request at which its answer comes at the latest."""

PLACES: Final = 64
FORBIDDEN: Final = Span(first=20, last=22)

LONGEST_WAIT: Final = PATIENCE + 2 * HELD_UP + LATEST + 2
"""Seconds after which everybody has an answer: what is on the bus then, twice, and the time
until somebody looks."""

POLICY: Final = Policy(
    never=dict.fromkeys((1, 2), (FORBIDDEN,)), writers=(parse_network("10.0.0.1"),)
)

OUTCOMES: Final = {
    "refuses": IllegalDataAddressError,
    "is silent": ModbusTimeoutError,
    "is late": ModbusTimeoutError,
    "is garbled": ModbusProtocolError,
    "is cut off": ModbusConnectionError,
}


@dataclass(slots=True, kw_only=True)
class Sample:
    """What a unit was looked at for."""

    unit: int
    function: int
    at: float
    event: int


@dataclass(slots=True, kw_only=True)
class Asked:
    """A request of a client."""

    client: Client
    unit: int
    pdu: bytes
    at: float
    written: int
    """The event of the last write to the unit that was known to be done."""
    answers: list[bytes | None] = field(default_factory=list)
    answered_at: float = 0.0


class Units:
    """Two units of one bus: one request at a time, and answers that tell where and when."""

    def __init__(self, loop: VirtualLoop) -> None:
        """Go by the time of a loop."""
        self.samples: list[Sample] = []
        self.events = 0
        self.faults: list[AssertionError] = []
        self.pending: asyncio.Future[None] | None = None
        self.asked: Request | None = None
        self._loop = loop
        self._number = 0
        """Of the sample that is the answer to what is on the bus."""
        self._late: dict[tuple[int, int, int], tuple[float, Request, int]] = {}

    def happens(self) -> int:
        """Return the number of what happens now."""
        self.events += 1
        return self.events

    async def read(self, request: Request) -> list[int]:
        """Answer when told so."""
        try:
            number, until = self._look_at(request)
        except AssertionError as err:
            self.faults.append(err)
            raise
        own = len(self.samples) - 1
        self.asked, self._number = request, own
        self.pending = self._loop.create_future()
        try:
            await self.pending
        finally:
            self.pending = None
        if self._loop.now > until:
            # What was late has come by then, and would have ended it.
            number = own
        places = range(request.address, request.address + request.length)
        return [number * PLACES + place for place in places]

    def _look_at(self, request: Request) -> tuple[int, float]:
        """Return the sample that a request is answered with, and until when."""
        assert self.pending is None, "two requests at a time"
        last = request.address + request.length - 1
        assert not FORBIDDEN.first <= last or request.address > FORBIDDEN.last
        until, late, late_number = self._late.get(
            (*request[:2], request.length), (0.0, request, 0)
        )
        assert until <= self._loop.now or late == request, "a late answer would fit"
        number, now = len(self.samples), self._loop.now
        if until > now:
            # The late answer comes before the other one.
            number = late_number
        self.samples.append(
            Sample(
                unit=request.unit,
                function=request.function,
                at=now,
                event=self.happens(),
            )
        )
        return number, until if number == late_number else inf

    def finish(self, outcome: str) -> None:
        """Let the request on the bus come to its end."""
        assert self.pending is not None
        assert self.asked is not None
        asked, pending = self.asked, self.pending
        if outcome in ("is silent", "is late"):
            sent = self._loop.now
            if outcome == "is late":
                shape = asked.unit, asked.function, asked.length
                # It waited for the link until now.
                sample = self.samples[self._number]
                sample.at, sample.event = sent, self.happens()
                self._late[shape] = sent + LATE, asked, self._number
            self._loop.move(TIMEOUT)
        if pending.done():
            return
        if outcome == "answers":
            pending.set_result(None)
        else:
            error: type[ModbusError] = OUTCOMES[outcome]
            pending.set_exception(error())


class Unit(MockModbusUnit):
    """One of the units."""

    def __init__(self, units: Units, unit: int) -> None:
        """Belong to a bus."""
        super().__init__(MockModbusConnection(), unit)
        self._units = units
        self._id = unit

    @override
    async def read_holding_registers(self, address: int, count: int) -> list[int]:
        await self._ensure_connected()
        return await self._units.read(Request(self._id, READ_HOLDING, address, count))

    @override
    async def read_input_registers(self, address: int, count: int) -> list[int]:
        await self._ensure_connected()
        return await self._units.read(Request(self._id, READ_INPUT, address, count))


class Door:
    """Writes when told so."""

    def __init__(self) -> None:
        """Have nothing to write yet."""
        self.pending: list[asyncio.Future[None]] = []

    async def async_write(self, request: Request, client: Client) -> None:
        """Write."""
        assert client.peer == "10.0.0.1"
        assert request.address not in range(FORBIDDEN.first, FORBIDDEN.last + 1)
        assert not self.pending, "two writes at a time"
        future = asyncio.get_running_loop().create_future()
        self.pending.append(future)
        try:
            await future
        finally:
            self.pending.remove(future)

    def blocked(self, request: Request, client: Client, refusal: Refusal) -> None:
        """Take note of nothing."""


class GatewayMachine(RuleBasedStateMachine):
    """Does to a gateway what may be done to it."""

    def __init__(self) -> None:
        """Start a gateway."""
        super().__init__()
        self.loop = VirtualLoop()
        self.ruled = self.loop.rule(
            ("bus", "late_answers", "watch", "scheduler", "gateway")
        )
        self.units = Units(self.loop)
        self.door = Door()
        self.clients: list[Client] = []
        self.gone: list[Client] = []
        self.asked: list[Asked] = []
        self.written = {1: 0, 2: 0}
        self.number = 0

    @initialize(first_gap=st.sampled_from([0.0, 0.85]))
    def start(self, first_gap: float) -> None:
        """Start with one client."""

        async def start() -> Gateway:
            gateway = Gateway(
                {unit: Unit(self.units, unit) for unit in (1, 2)},
                policy=POLICY,
                pace=Pace(first_gap=first_gap, timeout=TIMEOUT, max_age=MAX_AGE),
                writer=self.door,
            )
            await gateway.start()
            return gateway

        self.gateway = self.loop.run_until_complete(start())
        self.join(ClientKind.TCP)

    # -- clients ------------------------------------------------------------------------

    @precondition(lambda self: len(self.clients) < 5)
    @rule(kind=st.sampled_from([ClientKind.TCP, ClientKind.TCP, ClientKind.DONGLE]))
    def join(self, kind: ClientKind) -> None:
        """Let a client come."""
        self.number += 1
        peer = f"10.0.0.{self.number % 3}"
        client = Client(name=f"{peer}:{self.number}", kind=kind, peer=peer)
        self.gateway.join(client)
        self.clients.append(client)

    @precondition(lambda self: len(self.clients) > 3)
    @rule(which=st.integers(0, 4))
    def leave(self, which: int) -> None:
        """Let a client go."""
        client = self.clients.pop(which % len(self.clients))
        self.gone.append(client)
        self.gateway.leave(client)
        self.loop.settle()

    @rule(
        which=st.integers(0, 4),
        # Few, so that they meet.
        unit=st.sampled_from([1, 1, 1, 1, 2]),
        function=st.sampled_from([READ_HOLDING] * 5 + [READ_INPUT]),
        address=st.sampled_from([0] * 8 + [1, 22]),
        length=st.sampled_from([2, 2, 2, 1, 10]),
        settles=st.booleans(),
    )
    def ask(
        self,
        which: int,
        unit: int,
        function: int,
        address: int,
        length: int,
        settles: bool,
    ) -> None:
        """Let a client ask for registers."""
        self._take(which, unit, read_pdu(address, length, function))
        if settles:
            self.loop.settle()

    @rule(
        which=st.integers(0, 4),
        unit=st.sampled_from([1, 2]),
        address=st.sampled_from([30] * 5 + [22]),
    )
    def write(self, which: int, unit: int, address: int) -> None:
        """Let a client write."""
        self._take(which, unit, pack(">BHH", 6, address, 1))
        self.loop.settle()

    def _take(self, which: int, unit: int, pdu: bytes) -> None:
        client = self.clients[which % len(self.clients)]
        asked = Asked(
            client=client,
            unit=unit,
            pdu=pdu,
            at=self.loop.now,
            written=self.written[unit],
        )
        self.asked.append(asked)

        def reply(answer: bytes | None) -> None:
            asked.answers.append(answer)
            asked.answered_at = self.loop.now
            # What is raised here goes no further than the gateway.
            try:
                self._check(asked)
            except AssertionError as err:
                self.units.faults.append(err)

        async def take() -> None:
            self.gateway.take(client, unit, pdu, reply)

        self.loop.run_until_complete(take())

    def _check(self, asked: Asked) -> None:
        """See that an answer is what it may be."""
        assert len(asked.answers) == 1
        answer = asked.answers[0]
        if answer is None:
            assert asked.client.is_dongle
            return
        assert answer[0] & 0x7F == asked.pdu[0]
        if answer[0] & 0x80:
            return
        if asked.pdu[0] == 6:
            assert answer == asked.pdu
            assert asked.client.peer == "10.0.0.1"
            self.written[asked.unit] = self.units.happens()
            return
        function, address, length = unpack(">BHH", asked.pdu)
        words = unpack(f">{length}H", answer[2:])
        sample = self.units.samples[words[0] // PLACES]
        number = words[0] // PLACES
        assert words == tuple(
            number * PLACES + place for place in range(address, address + length)
        )
        assert (sample.unit, sample.function) == (asked.unit, function)
        # A late answer is taken for right by who repeats the request, and kept for nobody.
        oldest = self.loop.now - max(MAX_AGE, LATE) - 1e-6
        assert sample.at >= min(asked.at, oldest)
        assert sample.event > asked.written

    # -- units and time -----------------------------------------------------------------

    @precondition(lambda self: self.units.pending is not None)
    @rule(outcome=st.sampled_from(["answers"] * 12 + ["is late"] * 2 + list(OUTCOMES)))
    def finish(self, outcome: str) -> None:
        """Let the request on the bus come to its end."""
        self.units.finish(outcome)
        self.loop.settle()

    @precondition(lambda self: self.units.pending is not None)
    @rule(seconds=st.sampled_from([0.0, 0.0, 0.1, 1.2]))
    def answer(self, seconds: float) -> None:
        """Let the unit answer, which is what it mostly does."""
        self.loop.move(seconds)
        if self.units.pending is not None:
            self.finish("answers")

    @rule(which=st.integers(0, 4), others=st.integers(0, 4))
    def ask_for_the_same(self, which: int, others: int) -> None:
        """Let two ask for what most ask for."""
        for client in (which, others):
            self._take(client, 1, read_pdu(0, 2))
        self.loop.settle()

    @precondition(lambda self: self.door.pending)
    @rule(is_refused=st.booleans())
    def finish_write(self, is_refused: bool) -> None:
        """Let a write come to its end."""
        if is_refused:
            refusal = WriteRefusedError(ExceptionCode.ILLEGAL_VALUE, "no")
            self.door.pending[0].set_exception(refusal)
        else:
            self.door.pending[0].set_result(None)
        self.loop.settle()

    @rule(seconds=st.sampled_from([0.02, 0.3, 0.9, 4.0, 12.0]))
    def wait(self, seconds: float) -> None:
        """Let time pass."""
        self.loop.move(seconds)

    @rule(unit=st.sampled_from([1, 2]))
    def somebody_else_writes(self, unit: int) -> None:
        """Let Home Assistant write by itself."""
        self.gateway.forget(unit)
        self.written[unit] = self.units.happens()

    # -- what always holds --------------------------------------------------------------

    @invariant()
    def nothing_was_wrong(self) -> None:
        """All answers, and all that units were asked, was right."""
        for fault in self.units.faults:
            raise fault

    @invariant()
    def all_are_answered_in_time(self) -> None:
        """Nobody who stays waits for ever for a read."""
        for asked in self.asked:
            if asked.client not in self.gone and asked.pdu[0] != 6:
                end = asked.answered_at if asked.answers else self.loop.now
                assert end - asked.at <= LONGEST_WAIT

    @invariant()
    def those_who_wait_are_counted(self) -> None:
        """A client waits for as much as it was not answered."""
        for client in self.clients:
            assert client.waiting == sum(
                each.client is client and not each.answers for each in self.asked
            )

    @override
    def teardown(self) -> None:
        if hasattr(self, "gateway"):
            for _ in range(200):
                if self.door.pending:
                    self.finish_write(is_refused=False)
                if self.units.pending is not None:
                    self.finish("answers")
                self.loop.move(0.2)
            self.nothing_was_wrong()
            assert not [
                each
                for each in self.asked
                if not each.answers and each.client not in self.gone
            ]
            assert all(client.waiting == 0 for client in self.clients)
            self.loop.run_until_complete(self.gateway.stop())
        self.ruled.close()
        self.loop.settle()
        self.loop.close()


GatewayMachine.TestCase.settings = settings(
    max_examples=80, stateful_step_count=80, deadline=None
)
TestGateway = GatewayMachine.TestCase
