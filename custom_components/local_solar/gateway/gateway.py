"""Shares the units of one link with clients outside: the heart of the gateway."""

import asyncio
from collections.abc import Collection, Mapping
import logging
from time import monotonic
from typing import Final, Protocol

from modbus_connection import ModbusUnit

from .asked import Asked, Reply
from .bus import Bus, Pace
from .cache import BlockCache
from .capture import Recorder
from .clients import Client
from .late_answers import LATEST
from .pdu import (
    BROADCAST,
    GATEWAYS_OWN,
    WRITES,
    BadRequestError,
    ExceptionCode,
    Request,
    exception_answer,
    exception_of,
    parse,
    write_answer,
)
from .policy import REFUSED_WITH, Policy, Refusal
from .scheduler import Scheduler
from .statistics import Statistics

_LOGGER = logging.getLogger(__name__)

STAND_INS: Final = frozenset({BROADCAST, 255})
"""Unit ids with which clients of Modbus TCP that read mean whoever is there."""

_WRITES: Final = frozenset(bytes((function,)) for function in WRITES)
"""These mean all units at once, if they go to unit 0: such is not passed on."""

MOST_KNOWN: Final = 1024
"""Reads that are remembered as allowed."""

MOST_WRITES: Final = 4
"""Writes of one client that wait; more are told that the bus is busy."""


class WriteRefusedError(Exception):
    """A write that was not carried out. The message says why."""

    def __init__(self, code: ExceptionCode, reason: str) -> None:
        """Answer with ``code``."""
        super().__init__(reason)
        self.code = code


class Writer(Protocol):
    """Carries out writes of clients, with all checks that ours have to pass."""

    async def async_write(self, request: Request, client: Client) -> None:
        """Write and read back. Raises ``WriteRefusedError``."""

    def blocked(self, request: Request, client: Client, refusal: Refusal) -> None:
        """Take note of a write that the policy does not let through."""


class Gateway:
    """Takes requests of clients and answers them, from the bus or from what it brought."""

    def __init__(
        self,
        units: Mapping[int, ModbusUnit],
        *,
        policy: Policy | None = None,
        pace: Pace | None = None,
        writer: Writer | None = None,
    ) -> None:
        """Share ``units``, by unit id. Without a ``writer`` nobody can write."""
        self.statistics = Statistics()
        self.recorder: Recorder | None = None
        """Is told all that clients ask and are answered."""
        self._policy = policy or Policy()
        pace = pace or Pace()
        self._writer = writer
        self._bus = Bus(units, pace, self.statistics)
        self._cache = BlockCache(pace.max_age)
        self._scheduler = Scheduler(
            self._bus, self._cache, self.statistics, self._settle
        )
        self._clients: dict[Client, None] = {}
        self._reads: dict[tuple[int, bytes], Request] = {}
        """Reads that are allowed, by unit and request as they came: most come again."""
        self._writes: dict[asyncio.Task[None], Client] = {}
        self._one_write = asyncio.Lock()
        self._worker: asyncio.Task[None] | None = None

    # -- life -----------------------------------------------------------------------

    async def start(self) -> None:
        """Begin to serve what clients ask."""
        self._worker = asyncio.create_task(
            self._scheduler.async_run(), name="local_solar gateway"
        )

    async def stop(self) -> None:
        """Stop serving; what is on its way is seen to its end. Listeners stop before.

        The answer to a read that was called off would be taken for that to the next one, by
        whoever uses the link then.
        """
        if self._writes:
            await asyncio.wait(self._writes)
        if self._worker is not None:
            self._scheduler.finish()
            await asyncio.wait((self._worker,), timeout=LATEST)
            self._worker.cancel()
            await asyncio.wait((self._worker,))
            self._worker = None
        self._scheduler.stop()

    # -- what is to be known of it --------------------------------------------------

    @property
    def policy(self) -> Policy:
        """What clients may do. A new one counts for what is asked from then on."""
        return self._policy

    @policy.setter
    def policy(self, policy: Policy) -> None:
        self._policy = policy
        self._reads.clear()
        # What is kept was asked for under the old one.
        for unit in self._bus.units:
            self._scheduler.forget(unit)

    @property
    def clients(self) -> Collection[Client]:
        """Those who are connected."""
        return self._clients.keys()

    @property
    def units(self) -> Collection[int]:
        """The unit ids that are served."""
        return self._bus.units.keys()

    @property
    def gap(self) -> float:
        """Seconds between two messages to the same unit now, of that which takes the longest."""
        return self._bus.gap

    @property
    def units_silent(self) -> frozenset[int]:
        """Units that do not answer and are only asked now and then."""
        return self._bus.silent

    @property
    def is_reachable(self) -> bool:
        """Whether the link itself could be opened when it was last tried."""
        return self._bus.is_reachable

    # -- what clients do ------------------------------------------------------------

    def join(self, client: Client) -> None:
        """Take in a client."""
        self.statistics.connections += 1
        client.is_gone = False
        self._clients[client] = None

    def leave(self, client: Client) -> None:
        """Forget a client and what it waits for."""
        client.is_gone = True
        self._clients.pop(client, None)
        self._scheduler.leave(client)

    def forget(self, unit: int) -> None:
        """Hand out nothing that was read of a unit until now: it has been written to."""
        if unit in self._bus.units:
            self._scheduler.forget(unit)

    def take(self, client: Client, unit: int, pdu: bytes, reply: Reply) -> None:
        """Answer a request, now or later.

        ``reply`` is called once, with the PDU of the answer or with ``None`` for silence;
        for what was read not at all if the client has left.
        """
        self.statistics.requests += 1
        client.requests += 1
        if self.recorder is not None:
            self.recorder.request(client, unit, pdu)
        if unit in STAND_INS and len(self._bus.units) == 1 and pdu[:1] not in _WRITES:
            unit = next(iter(self._bus.units))
        client.waiting += 1
        asked = Asked(client, unit, pdu, reply, monotonic())
        try:
            answer = self._answer(asked)
        except BadRequestError as err:
            function = pdu[0] & 0x7F if pdu else 0
            self._settle(asked, exception_answer(function, err.code))
            return
        if answer is not None:
            self.statistics.from_cache += 1
            self._settle(asked, answer)

    def _answer(self, asked: Asked) -> bytes | None:
        """Return the answer if it is known, else see to it. Raises ``BadRequestError``."""
        unit, pdu, now = asked.unit, asked.pdu, asked.at
        answer = self._cache.answer(unit, pdu, now)
        if answer is not None:
            return answer
        request = self._reads.get((unit, pdu))
        if request is None:
            request = self._look(asked.client, unit, pdu)
            if request.is_write:
                self._begin_write(asked, request)
                return None
        answer = self._cache.find(request, pdu, now)
        if answer is None:
            asked.request = request
            self._scheduler.submit(asked)
        return answer

    def _look(self, client: Client, unit: int, pdu: bytes) -> Request:
        """Return what is asked for, if that is allowed. Raises ``BadRequestError``."""
        if unit not in self._bus.units:
            raise BadRequestError(ExceptionCode.PATH_UNAVAILABLE)
        request = parse(unit, pdu)
        if (refusal := self._policy.refusal(client, request)) is not None:
            self._note_refusal(client, request, refusal)
            raise BadRequestError(REFUSED_WITH[refusal])
        if not request.is_write:
            # What may be read does not depend on who asks.
            if len(self._reads) >= MOST_KNOWN:
                self._reads.clear()
            self._reads[unit, pdu] = request
        return request

    def _note_refusal(self, client: Client, request: Request, refusal: Refusal) -> None:
        if not request.is_write:
            self.statistics.blocked_reads += 1
            return
        self._count_blocked(client)
        if self._writer is not None:
            self._writer.blocked(request, client, refusal)

    def _count_blocked(self, client: Client) -> None:
        self.statistics.blocked_writes += 1
        client.blocked_writes += 1

    def _settle(self, asked: Asked, answer: bytes) -> None:
        """Hand an answer over. What goes wrong with that is not to the cost of the others."""
        client = asked.client
        client.waiting -= 1
        said: bytes | None = answer
        if (code := exception_of(answer)) is None:
            self.statistics.answers += 1
        else:
            self.statistics.exceptions[code] += 1
            client.exceptions += 1
            if client.is_dongle and code in GATEWAYS_OWN:
                # It takes us for the inverter, which would be silent.
                said = None
        try:
            if self.recorder is not None:
                self.recorder.answer(client, asked.unit, asked.pdu, said)
            asked.reply(said)
        except Exception:
            _LOGGER.exception("Unexpected error while %s was answered", client.name)

    # -- writes ---------------------------------------------------------------------

    def _begin_write(self, asked: Asked, request: Request) -> None:
        if self._writer is None:
            raise BadRequestError(ExceptionCode.ILLEGAL_FUNCTION)
        if sum(each is asked.client for each in self._writes.values()) >= MOST_WRITES:
            raise BadRequestError(ExceptionCode.BUSY)
        task = asyncio.create_task(self._write(self._writer, asked, request))
        self._writes[task] = asked.client
        task.add_done_callback(lambda done: self._writes.pop(done, None))

    async def _write(self, writer: Writer, asked: Asked, request: Request) -> None:
        """Carry out a write, one of all clients at a time."""
        client = asked.client
        async with self._one_write:
            try:
                await self._scheduler.async_hold(request.unit)
                self._check_again(writer, client, request)
                await writer.async_write(request, client)
            except WriteRefusedError as err:
                if err.code is not ExceptionCode.DEVICE_FAILURE:
                    self._count_blocked(client)
                said = exception_answer(request.function, err.code)
            except Exception:
                _LOGGER.exception("Unexpected error while %s wrote", client.name)
                said = exception_answer(request.function, ExceptionCode.DEVICE_FAILURE)
            else:
                self.statistics.writes += 1
                said = write_answer(request)
            finally:
                self._scheduler.release(request.unit)
        self._settle(asked, said)

    def _check_again(self, writer: Writer, client: Client, request: Request) -> None:
        """See that a write may still be done that waited for others.

        Raises ``WriteRefusedError`` if its client has gone, or the policy has become another.
        """
        if client.is_gone:
            raise WriteRefusedError(ExceptionCode.BUSY, "the client has gone")
        if (refusal := self._policy.refusal(client, request)) is not None:
            writer.blocked(request, client, refusal)
            raise WriteRefusedError(REFUSED_WITH[refusal], refusal)
