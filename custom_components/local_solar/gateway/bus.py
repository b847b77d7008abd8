"""Asks units for registers, one at a time, and makes of what goes wrong what clients get.

RTU has no transaction ids. An answer that comes after its request was given up would be
taken for that to the next request of the same shape: same unit, function and length. So
after a request was given up, none of that shape is sent until its answer cannot come any
more, but for the same request, once: clients repeat themselves, and the late answer is right
for that. The library below sorts out answers of other functions and units by itself.

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
from struct import pack
from time import monotonic
from typing import Final, NamedTuple

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
from .pdu import READ_HOLDING, READS, ExceptionCode, Request
from .statistics import Statistics

_LOGGER = logging.getLogger(__name__)

LATEST: Final = 4.0
"""Seconds after a request at which its answer cannot come any more. What is recorded of late
answers lies below 3 s."""

STRAY: Final = 0.3
"""Seconds in which a request's own answer comes and goes, when that to another came first."""

HELD_UP: Final = 10.0
"""Seconds that one request may take in all. The library asks a device that says it is busy
again and again for a minute, and others use the link as well."""

MOST_BAD: Final = 256
"""Requests that are remembered because they failed; the oldest gives way."""

type _Shape = tuple[int, int, int]


class _Doubt(NamedTuple):
    """An answer that may still come."""

    until: float
    repeatable: int | None
    """The address for which it would be right, if that may be asked for again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How the bus is treated. All in seconds."""

    max_age: float = 1.0
    """How old a block may be that is handed out again; 0 hands out none."""
    timeout: float = 1.5
    """How long to wait for an answer."""
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


class Bus:
    """The units of one link."""

    def __init__(
        self, units: Mapping[int, ModbusUnit], pace: Pace, statistics: Statistics
    ) -> None:
        """Ask ``units``, by unit id."""
        self.units = units
        self._gaps = {unit: Gap(pace.first_gap, pace.least_gap) for unit in units}
        self._quiet_since = dict.fromkeys(units, -inf)
        """When the last message of each unit ended."""
        self._pace = pace
        self._statistics = statistics
        self._breakers = {unit: Breaker() for unit in units}
        self._forgotten = dict.fromkeys(units, 0)
        """How often each unit was written to."""
        self._bad: dict[Request, Breaker] = {}
        """What failed when it was last asked for: there are devices that answer nothing where
        they have no registers."""
        self._link = Breaker()
        self._doubts: dict[_Shape, _Doubt] = {}
        for unit in units.values():
            unit.require_timeout(pace.timeout)

    @property
    def silent(self) -> frozenset[int]:
        """Units that are left alone because they do not answer."""
        left_alone = {request.unit for request, bad in self._bad.items() if bad.is_open}
        return frozenset(
            unit
            for unit, breaker in self._breakers.items()
            if breaker.is_open or (breaker.is_failing and unit in left_alone)
        )

    @property
    def is_reachable(self) -> bool:
        """Whether the link itself could be opened when it was last tried."""
        return not self._link.is_open

    def refusal(self, unit: int, now: float) -> ExceptionCode | None:
        """Return what requests to a unit are answered without asking it."""
        if not self._link.allows(now):
            return ExceptionCode.PATH_UNAVAILABLE
        if not self._breakers[unit].allows(now):
            return ExceptionCode.NO_RESPONSE
        return None

    def refuses(self, request: Request, now: float) -> ExceptionCode | None:
        """Return what a request is answered without asking its unit.

        One that keeps failing where others are answered costs only those who ask for it.
        """
        code = self.refusal(request.unit, now)
        if code is not None or (bad := self._bad.get(request)) is None:
            return code
        breaker = self._breakers[request.unit]
        # What has not failed yet says more of whether a silent unit is back, if somebody
        # asks for such.
        is_worth_asking = (
            breaker.allows(now - SHORTEST) if breaker.is_open else bad.allows(now)
        )
        return None if is_worth_asking else ExceptionCode.NO_RESPONSE

    @property
    def gap(self) -> float:
        """Seconds between two messages to the unit that takes the longest, of those awake."""
        awake = self._gaps.keys() - self.silent or self._gaps.keys()
        return max((self._gaps[unit].seconds for unit in awake), default=0.0)

    def ready_at(self, request: Request, now: float) -> float:
        """Return when a request may be sent (monotonic seconds).

        By then the unit has had its pause, and the answer will surely be that to the
        request.
        """
        unit = request.unit
        ready = self._quiet_since[unit] + self._gaps[unit].seconds
        if self._doubts:
            self._doubts = {
                shape: doubt
                for shape, doubt in self._doubts.items()
                if doubt.until > now
            }
            doubt = self._doubts.get(_shape(request))
            if doubt is not None and doubt.repeatable != request.address:
                ready = max(ready, doubt.until)
        return ready

    def may_be_late(self, request: Request, now: float) -> bool:
        """Return whether a request may get the answer to the same one, sent before."""
        doubt = self._doubts.get(_shape(request))
        return doubt is not None and doubt.until > now

    def forget(self, unit: int) -> None:
        """Take no late answer of a unit for right any more: it has been written to."""
        self._forgotten[unit] += 1
        self._spoil(unit)

    def _spoil(self, unit: int) -> None:
        for shape, doubt in self._doubts.items():
            if shape[0] == unit:
                self._doubts[shape] = doubt._replace(repeatable=None)

    async def async_renew(self) -> None:
        """Have the link opened anew: one that is open keeps to its longer timeout.

        So does one with several units for all of them together.
        """
        for unit in self.units.values():
            if unit.connected:
                with suppress(ModbusError):
                    await unit.disconnect()
                return

    async def async_let_late_answers_pass(self, unit: int) -> None:
        """Wait until no answer of a unit can come any more that nobody waits for."""
        now = monotonic()
        until = max(
            (doubt.until for shape, doubt in self._doubts.items() if shape[0] == unit),
            default=now,
        )
        await asyncio.sleep(max(0.0, until - now))

    async def async_read(self, request: Request) -> bytes:
        """Return the registers that a request asks for, two bytes each.

        Raises ``BusError``.
        """
        forgotten = self._forgotten[request.unit]
        try:
            return await self._read(request)
        finally:
            if self._forgotten[request.unit] != forgotten:
                # If its answer is still to come, that is from before as well.
                self._spoil(request.unit)

    async def _read(self, request: Request) -> bytes:
        started = monotonic()
        if self.may_be_late(request, started):
            # It is repeated. Its answers are two then, of which one comes later.
            self._doubt(request, started)
        try:
            return await self._ask(request)
        except ModbusError as err:
            if not self._is_stray(request, err):
                raise self._failure(request, err, started) from err
        # Its own answer is right for the second attempt as well, and for no other request.
        self._doubt(request, monotonic())
        await asyncio.sleep(STRAY)
        started = monotonic()
        try:
            return await self._ask(request)
        except ModbusError as err:
            failure = self._failure(request, err, started)
            if self._is_stray(request, err):
                # Another such, or the device refuses it: nobody knows.
                raise BusError(ExceptionCode.NO_RESPONSE) from err
            raise failure from err
        finally:
            self._doubt(request, monotonic())

    async def _ask(self, request: Request) -> bytes:
        """Ask once. Raises ``ModbusError``, or ``BusError`` if it says nothing of the unit."""
        # So that others of Home Assistant keep to it too. A unit that fails has been silent
        # for long enough, and the others would wait as well.
        is_failing = self._breakers[request.unit].is_failing
        self.units[request.unit].set_message_spacing(
            0.0 if is_failing else self._gaps[request.unit].seconds
        )
        self._statistics.bus_requests += 1
        started = monotonic()
        try:
            async with asyncio.timeout(HELD_UP):
                octets = await self._words(request)
        except ModbusError:
            raise
        except TimeoutError as err:
            raise self._unknown(request, ExceptionCode.BUSY) from err
        except asyncio.CancelledError as err:
            task = asyncio.current_task()
            if task is None or task.cancelling():
                raise
            # Not we were called off, but what we waited for.
            raise self._unknown(request, ExceptionCode.DEVICE_FAILURE) from err
        except Exception as err:  # whoever is served next must not suffer
            _LOGGER.exception("Unexpected error while the bus was asked: %s", request)
            raise self._unknown(request, ExceptionCode.DEVICE_FAILURE) from err
        finally:
            ended = self._quiet_since[request.unit] = monotonic()
            self._statistics.bus_busy += ended - started
        self._note_answer(request)
        return octets

    async def _words(self, request: Request) -> bytes:
        unit = self.units[request.unit]
        _, function, address, length, _ = request
        if function == READ_HOLDING:
            words = await unit.read_holding_registers(address, length)
        else:
            words = await unit.read_input_registers(address, length)
        if len(words) != length:
            raise ModbusProtocolError(f"{len(words)} registers in place of {length}")
        return pack(f">{length}H", *words)

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
        now, own = monotonic(), _shape(request)
        return any(
            shape != own
            and shape[0] == request.unit
            and shape[1] in functions
            and doubt.until > now
            for shape, doubt in self._doubts.items()
        )

    def _unknown(self, request: Request, code: ExceptionCode) -> BusError:
        """Take note of a request of which nobody knows whether it was sent."""
        self._statistics.bus_errors += 1
        self._doubt(request, monotonic())
        return BusError(code)

    def _failure(self, request: Request, err: ModbusError, started: float) -> BusError:
        """Take note of what went wrong and return what clients are told."""
        if isinstance(err, ModbusExceptionError) and not is_silence(err):
            self._note_answer(request)
            return BusError(err.exception_code or ExceptionCode.DEVICE_FAILURE)
        self._statistics.bus_errors += 1
        connected = self.units[request.unit].connected
        if isinstance(err, ModbusConnectionError) or (
            isinstance(err, ModbusTimeoutError) and not connected
        ):
            now = monotonic()
            self._link.failed(now, now - started)
            # It may have been sent before the link was lost, and a bridge hands on what
            # comes to whoever is connected then.
            self._doubt(request, now)
            return BusError(ExceptionCode.PATH_UNAVAILABLE)
        self._note_failure(request, started)
        return BusError(ExceptionCode.NO_RESPONSE)

    def _note_answer(self, request: Request) -> None:
        self._bad.pop(request, None)
        self._link.answered()
        self._breakers[request.unit].answered()
        self._gaps[request.unit].answered(monotonic())

    def _note_failure(self, request: Request, started: float) -> None:
        now = monotonic()
        breaker = self._breakers[request.unit]
        if (bad := self._bad.get(request)) is None:
            if len(self._bad) >= MOST_BAD:
                del self._bad[next(iter(self._bad))]
            bad = self._bad[request] = Breaker(TRUSTED)
        is_news = not bad.is_failing
        bad.failed(now, now - started)
        if is_news and breaker.has_answered:
            # The silence of a unit that is not there is not the gap's fault, nor is that to
            # a request which is never answered.
            self._gaps[request.unit].failed(now)
        self.units[request.unit].set_message_spacing(0.0)
        self._link.answered()
        if is_news or breaker.is_open:
            breaker.failed(now, now - started)
        sent = now - self._pace.timeout if now - started > self._pace.timeout else now
        self._doubt(request, sent)

    def _doubt(self, request: Request, sent: float) -> None:
        """Expect the answer to a request until it cannot come any more."""
        if self._pace.has_transactions:
            return
        shape = _shape(request)
        is_first = shape not in self._doubts or self._doubts[shape].until <= monotonic()
        repeatable = request.address if is_first else None
        self._doubts[shape] = _Doubt(sent + LATEST, repeatable)


def _shape(request: Request) -> _Shape:
    return request.unit, request.function, request.length
