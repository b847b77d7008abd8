"""Asks units for registers, one at a time, and makes of what goes wrong what clients get.

A late answer that does not fit the request it meets is seen for what it is. So is an
exception, which fits all requests of its function: while another answer is awaited, no
exception is believed. The request is asked again when its own answer has died away.
"""

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
import logging
from math import inf
from time import monotonic
from typing import Final

from modbus_connection import (
    ModbusConnectionError,
    ModbusError,
    ModbusExceptionError,
    ModbusProtocolError,
    ModbusTimeoutError,
    ModbusUnit,
)

from ..modbus.reader import is_silence
from .breaker import SHORTEST, TRUSTED, Breaker
from .gap import Gap
from .late_answers import LateAnswers
from .pdu import READ_HOLDING, READS, ExceptionCode, Request, read_answer
from .statistics import Statistics
from .watch import IDLE, Watch

_LOGGER = logging.getLogger(__name__)

STRAY: Final = 0.3
"""Seconds in which a request's own answer comes and goes, when that to another came first."""

HELD_UP: Final = 10.0
"""Seconds that one request may take in all. The library asks a device that says it is busy
again and again for a minute, and others use the link as well."""

PATIENT: Final = 2
"""So many times as long as it was asked to, a link that waits keeps to a timeout of others."""

LOOK_AGAIN: Final = 1.0
"""Seconds after which it is looked again whether somebody still writes to a unit."""

MOST_BAD: Final = 256
"""Requests that are remembered because they failed; the oldest gives way."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How the bus is treated. All in seconds."""

    max_age: float = 1.0
    """How old a block may be that is handed out again; 0 hands out none."""
    timeout: float = 1.2
    """How long to wait for an answer: less than the 1.5 s after which a dongle repeats itself."""
    first_gap: float = 0.85
    """Between messages, until the device has proven that it takes less."""
    least_gap: float = 0.0
    has_transactions: bool = False
    """Whether the link tells answers apart (Modbus TCP): a late one cannot be mistaken."""


class BusError(Exception):
    """A read brought nothing. ``code`` is what clients are answered."""

    def __init__(self, code: int) -> None:
        """Answer with ``code``."""
        super().__init__(code)
        self.code = code


class _Member:
    """A unit on the bus, and what is known of how it wants to be asked."""

    __slots__ = ("breaker", "gap", "is_calm", "is_held", "quiet_since", "unit")

    def __init__(self, unit: ModbusUnit, pace: Pace) -> None:
        """Know nothing of it yet."""
        self.unit = unit
        self.gap = Gap(pace.first_gap, pace.least_gap)
        self.breaker = Breaker()
        self.quiet_since = -inf
        """When its last message ended."""
        self.is_calm = False
        """Whether it answers everything, on a link that works: nothing has to be weighed."""
        self.is_held = False
        """Whether it is being written to."""


class Bus:
    """The units of one link."""

    def __init__(
        self, units: Mapping[int, ModbusUnit], pace: Pace, statistics: Statistics
    ) -> None:
        """Ask ``units``, by unit id."""
        self.units = units
        self._members = {number: _Member(unit, pace) for number, unit in units.items()}
        self._pace = pace
        self._statistics = statistics
        self._bad: dict[Request, Breaker] = {}
        """What failed when it was last asked for: there are devices that answer nothing where
        they have no registers."""
        self._link = Breaker()
        self._is_renewed = False
        self._late = LateAnswers()
        self._watch = Watch(HELD_UP)
        for unit in units.values():
            unit.require_timeout(pace.timeout)

    def stop(self) -> None:
        """Watch nothing any more."""
        self._watch.stop()

    @property
    def silent(self) -> frozenset[int]:
        """Units that are left alone because they do not answer."""
        left_alone = {request.unit for request, bad in self._bad.items() if bad.is_open}
        return frozenset(
            unit
            for unit, member in self._members.items()
            if member.breaker.is_open
            or (member.breaker.is_failing and unit in left_alone)
        )

    @property
    def is_reachable(self) -> bool:
        """Whether the link itself could be opened when it was last tried."""
        return not self._link.is_open

    def refusal(self, unit: int, now: float) -> ExceptionCode | None:
        """Return what requests to a unit are answered without asking it."""
        if not self._link.allows(now):
            return ExceptionCode.PATH_UNAVAILABLE
        if not self._members[unit].breaker.allows(now):
            return ExceptionCode.NO_RESPONSE
        return None

    def refuses(self, request: Request, now: float) -> ExceptionCode | None:
        """Return what a request is answered without asking its unit.

        One that keeps failing where others are answered costs only those who ask for it.
        """
        member = self._members[request.unit]
        if member.is_calm:
            return None
        code = self.refusal(request.unit, now)
        if code is not None or (bad := self._bad.get(request)) is None:
            return code
        breaker = member.breaker
        # What has not failed yet says more of whether a silent unit is back, if somebody
        # asks for such.
        is_worth_asking = (
            breaker.allows(now - SHORTEST) if breaker.is_open else bad.allows(now)
        )
        return None if is_worth_asking else ExceptionCode.NO_RESPONSE

    @property
    def gap(self) -> float:
        """Seconds between two messages to the unit that takes the longest, of those awake."""
        awake = self._members.keys() - self.silent or self._members.keys()
        return max((self._members[unit].gap.seconds for unit in awake), default=0.0)

    def ready_at(self, request: Request, now: float) -> float:
        """Return when a request may be sent (monotonic seconds).

        By then the unit has had its pause, nobody writes to it, and the answer will surely
        be that to the request.
        """
        member = self._members[request.unit]
        if member.is_held:
            return now + LOOK_AGAIN
        ready = member.quiet_since + member.gap.seconds
        if not self._late.awaited:
            return ready
        return max(ready, self._late.sure_at(request, now))

    def may_be_late(self, request: Request, now: float) -> bool:
        """Return whether a request may get the answer to the same one, sent before."""
        return bool(self._late.awaited) and self._late.may_fit(request, now)

    def hold(self, unit: int) -> None:
        """Let no reads of a unit begin: somebody is going to write to it."""
        self._members[unit].is_held = True

    def release(self, unit: int) -> None:
        """Let reads of a unit begin again."""
        self._members[unit].is_held = False

    def forget(self, unit: int) -> None:
        """Take no late answer of a unit for right any more: it has been written to."""
        self._late.forget(unit)

    async def async_let_late_answers_pass(self, unit: int) -> None:
        """Wait until no answer of a unit can come any more that nobody waits for."""
        now = monotonic()
        await asyncio.sleep(self._late.over_at(unit, now) - now)

    async def async_read(self, request: Request, *, is_last: bool = False) -> bytes:
        """Return the answer to a read, a PDU. Raises ``BusError``.

        If an answer to something else comes in its place, it is asked for once more, but
        for one that ``is_last``.
        """
        number, function, address, length, _ = request
        member, started = self._members[number], monotonic()
        unit = member.unit
        if self.may_be_late(request, started):
            # It is repeated. Its answers are two then, of which one comes later.
            self._expect(request, started)
        # So that others of Home Assistant keep to it too. A unit that fails has been silent
        # for long enough, and the others would wait as well.
        is_failing = not member.is_calm and member.breaker.is_failing
        unit.set_message_spacing(0.0 if is_failing else member.gap.seconds)
        self._statistics.bus_requests += 1
        self._watch.since = started
        if not self._watch.is_awake:
            self._watch.wake()
        answer = b""
        wrong: ModbusError | None = None
        try:
            if function == READ_HOLDING:
                words = await unit.read_holding_registers(address, length)
            else:
                words = await unit.read_input_registers(address, length)
            if len(words) == length:
                answer = read_answer(function, words)
            else:
                wrong = ModbusProtocolError(f"{len(words)} registers, not {length}")
        except ModbusError as err:
            wrong = err
        except asyncio.CancelledError as err:
            if self._watch.has_struck():
                raise self._unknown(request, ExceptionCode.BUSY) from err
            task = asyncio.current_task()
            if task is None or task.cancelling():
                raise
            # Not we were called off, but what we waited for.
            raise self._unknown(request, ExceptionCode.DEVICE_FAILURE) from err
        except Exception as err:  # whoever is served next must not suffer
            _LOGGER.exception("Unexpected error while the bus was asked: %s", request)
            raise self._unknown(request, ExceptionCode.DEVICE_FAILURE) from err
        finally:
            self._watch.since = IDLE
            ended = member.quiet_since = monotonic()
            self._statistics.bus_busy += ended - started
        if wrong is not None:
            return await self._async_recover(request, wrong, started, is_last=is_last)
        member.gap.answered(ended)
        if not member.is_calm:
            self._note_answer(request)
        return answer

    async def _async_recover(
        self, request: Request, wrong: ModbusError, started: float, *, is_last: bool
    ) -> bytes:
        """Ask once more if that may help, else raise ``BusError``."""
        if not self._is_stray(request, wrong):
            failure = self._failure(request, wrong, started)
            if not is_last:
                await self._renew_if_patient(self._members[request.unit].unit, started)
            raise failure from wrong
        if is_last:
            # Another such, or the device refuses it: nobody knows.
            self._failure(request, wrong, started)
            raise BusError(ExceptionCode.NO_RESPONSE) from wrong
        # Its own answer is right for the second attempt as well, and for no other request.
        self._expect(request, monotonic())
        await asyncio.sleep(STRAY)
        try:
            return await self.async_read(request, is_last=True)
        finally:
            self._expect(request, monotonic())

    async def _renew_if_patient(self, unit: ModbusUnit, started: float) -> None:
        """Have a link opened anew, once, that waits much longer than it was asked to.

        One that was open before we asked keeps to its longer timeout until then.
        """
        patience = PATIENT * self._pace.timeout
        if self._is_renewed or monotonic() - started < patience or not unit.connected:
            return
        self._is_renewed = True
        with suppress(ModbusError):
            await unit.disconnect()

    def _is_stray(self, request: Request, err: ModbusError) -> bool:
        """Return whether what came may have been the late answer to an earlier request."""
        if isinstance(err, ModbusExceptionError):
            if is_silence(err):
                return False
            functions = frozenset({request.function})
        elif isinstance(err, ModbusProtocolError):
            functions = READS
        else:
            return False
        return self._late.may_meet(request, functions)

    def _unknown(self, request: Request, code: ExceptionCode) -> BusError:
        """Take note of a request of which nobody knows whether it was sent."""
        self._statistics.bus_errors += 1
        self._expect(request, monotonic())
        return BusError(code)

    def _failure(self, request: Request, err: ModbusError, started: float) -> BusError:
        """Take note of what went wrong and return what clients are told."""
        if isinstance(err, ModbusExceptionError) and not is_silence(err):
            self._members[request.unit].gap.answered(monotonic())
            self._note_answer(request)
            return BusError(err.exception_code or ExceptionCode.DEVICE_FAILURE)
        self._statistics.bus_errors += 1
        connected = self._members[request.unit].unit.connected
        if isinstance(err, ModbusConnectionError) or (
            isinstance(err, ModbusTimeoutError) and not connected
        ):
            now = monotonic()
            for member in self._members.values():
                member.is_calm = False
            self._link.failed(now, now - started)
            # It may have been sent before the link was lost, and a bridge hands on what
            # comes to whoever is connected then.
            self._expect(request, now)
            return BusError(ExceptionCode.PATH_UNAVAILABLE)
        self._note_failure(request, started)
        return BusError(ExceptionCode.NO_RESPONSE)

    def _note_answer(self, request: Request) -> None:
        member = self._members[request.unit]
        self._bad.pop(request, None)
        self._link.answered()
        member.breaker.answered()
        member.is_calm = not any(bad.unit == request.unit for bad in self._bad)

    def _note_failure(self, request: Request, started: float) -> None:
        now = monotonic()
        member = self._members[request.unit]
        member.is_calm = False
        # The pause counts from the last message: nothing has come since.
        member.quiet_since = started
        breaker = member.breaker
        if (bad := self._bad.get(request)) is None:
            if len(self._bad) >= MOST_BAD:
                del self._bad[next(iter(self._bad))]
            bad = self._bad[request] = Breaker(TRUSTED)
        is_news = not bad.is_failing
        bad.failed(now, now - started)
        if is_news and breaker.has_answered:
            # The silence of a unit that is not there is not the gap's fault, nor is that to
            # a request which is never answered.
            member.gap.failed(now)
        member.unit.set_message_spacing(0.0)
        self._link.answered()
        if is_news or breaker.is_open:
            breaker.failed(now, now - started)
        sent = now - self._pace.timeout if now - started > self._pace.timeout else now
        self._expect(request, sent)

    def _expect(self, request: Request, sent: float) -> None:
        """Expect an answer that nobody waits for any more, unless the link tells them apart."""
        if not self._pace.has_transactions:
            self._late.expect(request, sent)
