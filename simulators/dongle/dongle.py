"""A Shine dongle at the serial port of an inverter, or of what stands in its place."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
import math
from typing import Final

from pymodbus.framer import FramerRTU

from .lines import Line
from .steps import (
    BOOT,
    CONTROL,
    CYCLE,
    CYCLES_BETWEEN_CONTROL,
    READ_HOLDING,
    READ_INPUT,
    READ_METER,
    REPEAT,
    REST,
    Step,
    clock_steps,
)

_READS: Final = (READ_HOLDING, READ_INPUT, READ_METER)
_WRITES: Final = (6, 16)
_ERROR: Final = 0x80
_HEAD: Final = 3
"""Bytes that tell how long an answer is: unit id, function, bytes of data."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Exchange:
    """What became of a step.

    ``began`` is a time of the loop. ``wait`` are the seconds from its first request to the
    answer, ``since_last`` those from the last one.
    """

    step: Step
    began: float
    requests: int
    words: tuple[int, ...] | None = None
    """What was read, or the word that was written; ``None`` without an answer."""
    exception: int | None = None
    wait: float = math.inf
    since_last: float = math.inf

    @property
    def is_answered(self) -> bool:
        """Whether there was an answer, be it an exception."""
        return self.words is not None or self.exception is not None


@dataclass(slots=True, kw_only=True)
class Tally:
    """How a dongle has fared."""

    requests: int = 0
    """Frames that were sent, repeats among them."""
    answered: int = 0
    exceptions: int = 0
    """Those of the answers that refuse."""
    repeats: int = 0
    gave_up: int = 0
    """Steps without any answer."""
    damaged: int = 0
    """Answers whose checksum is wrong, or that are no answers at all."""
    strays: int = 0
    """Sound answers that nobody waited for: to a request that was repeated, or by mistake."""
    longest_wait: float = 0.0
    """Seconds from the first request of a step to its answer."""

    def add(self, exchange: Exchange) -> None:
        """Count a step."""
        self.repeats += exchange.requests - 1
        if not exchange.is_answered:
            self.gave_up += 1
            return
        self.answered += 1
        self.exceptions += exchange.exception is not None
        self.longest_wait = max(self.longest_wait, exchange.wait)

    def __str__(self) -> str:
        """Return it in one line."""
        return (
            f"requests {self.requests}, answered {self.answered},"
            f" exceptions {self.exceptions}, repeats {self.repeats},"
            f" gave up {self.gave_up}, damaged {self.damaged}, strays {self.strays},"
            f" longest wait {self.longest_wait:.3f} s"
        )


@dataclass(slots=True)
class _Awaited:
    """The answer that a step waits for: its words, or an exception code."""

    step: Step
    answer: asyncio.Future[tuple[int, ...] | int]


@dataclass(slots=True)
class SimulatedDongle:
    """A Modbus master that boots and cycles as the recorded one does.

    ``speed`` shortens its pauses, never the time that it waits for an answer. ``repeat``
    are the seconds of silence after which it asks again. ``glued``: a repeat comes in one
    piece with another copy of itself, as a reader hears it that was busy for long.
    """

    line: Line
    speed: float = 1.0
    repeat: float = REPEAT
    glued: bool = False
    boots: bool = True
    sets_clock: bool = True
    clock: Callable[[], datetime] = datetime.now
    exchanged: Callable[[Exchange], None] = lambda exchange: None
    """Is told of every step once it is over."""
    tally: Tally = field(default_factory=Tally)
    cycles: int = 0
    """Cycles that are over, without the boot."""
    _heard: bytearray = field(default_factory=bytearray, init=False)
    _awaited: _Awaited | None = field(default=None, init=False)

    async def run(self, cycles: int | None = None) -> Tally:
        """Boot, then cycle so many times, or until cancelled.

        Raises ``OSError`` if the line is lost.
        """
        async with self.listening():
            if self.boots:
                await self.take(BOOT)
                if self.sets_clock:
                    await self.take(clock_steps(self.clock()))
                await self.take((CONTROL,))
            while cycles is None or self.cycles < cycles:
                await self.take(CYCLE)
                self.cycles += 1
                if self.cycles % CYCLES_BETWEEN_CONTROL == 0:
                    await self.take((CONTROL,))
        return self.tally

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[None]:
        """Hear what comes, for as long as steps are taken.

        Raises ``OSError`` if the line is lost.
        """
        caller = asyncio.current_task()
        assert caller is not None
        lost: list[OSError] = []

        async def listen() -> None:
            try:
                while octets := await self.line.receive():
                    self._hear(octets)
            except OSError as err:
                lost.append(err)
            else:
                lost.append(ConnectionResetError("the line is closed"))
            caller.cancel()

        listener = asyncio.create_task(listen())
        try:
            yield
        except asyncio.CancelledError:
            if lost and not caller.uncancel():
                raise lost[0] from None
            raise
        finally:
            listener.cancel()

    async def take(self, steps: Iterable[Step]) -> None:
        """Take steps, one after the other, with their pauses.

        Raises ``OSError`` if the line is lost.
        """
        loop = asyncio.get_running_loop()
        for step in steps:
            exchange = await self.ask(step)
            last = exchange.began + exchange.wait - exchange.since_last
            now = loop.time()
            if exchange.is_answered:
                pause = max(
                    last + step.spacing / self.speed - now,
                    (step.spacing - REST) / self.speed,
                )
            else:
                pause = (step.give_up - self.repeat) / self.speed
            await asyncio.sleep(max(0.0, pause))

    async def ask(self, step: Step) -> Exchange:
        """Send the request of a step, repeat it after silence, return what became of it.

        Raises ``OSError`` if the line is lost.
        """
        loop = asyncio.get_running_loop()
        frame = _frame(step.unit, step.pdu)
        began = sent = loop.time()
        requests = 0
        answer: tuple[int, ...] | int | None = None
        while answer is None and requests <= step.repeats:
            sent = loop.time()
            copies = 2 if self.glued and requests else 1
            self._awaited = _Awaited(step, loop.create_future())
            self._heard.clear()
            self.line.send(copies * frame)
            requests += 1
            self.tally.requests += copies
            try:
                async with asyncio.timeout(self.repeat):
                    answer = await self._awaited.answer
            except TimeoutError:
                pass
            finally:
                self._awaited = None
        now = loop.time()
        exchange = Exchange(
            step=step,
            began=began,
            requests=requests,
            words=answer if isinstance(answer, tuple) else None,
            exception=answer if isinstance(answer, int) else None,
            wait=now - began if answer is not None else math.inf,
            since_last=now - sent if answer is not None else math.inf,
        )
        self.tally.add(exchange)
        self.exchanged(exchange)
        return exchange

    def _hear(self, octets: bytes) -> None:
        """Take in bytes and look for answers among them."""
        self._heard += octets
        while (size := _answer_octets(self._heard)) is not None:
            if len(self._heard) < size:
                return
            frame = bytes(self._heard[:size])
            if not size or _frame(frame[0], frame[1:-2]) != frame:
                # What is left is not known to start anywhere.
                self._heard.clear()
                self.tally.damaged += 1
                return
            del self._heard[:size]
            self._answered(frame)

    def _answered(self, frame: bytes) -> None:
        """Give a sound answer to the step that waits for it, if it is meant."""
        awaited = self._awaited
        if (
            awaited is None
            or awaited.answer.done()
            or (answer := _answer_to(awaited.step, frame)) is None
        ):
            self.tally.strays += 1
            return
        awaited.answer.set_result(answer)


def _frame(unit: int, pdu: bytes) -> bytes:
    """Return an RTU frame."""
    octets = bytes((unit,)) + pdu
    return octets + FramerRTU.compute_CRC(octets).to_bytes(2)


def _answer_octets(heard: bytearray) -> int | None:
    """Return how long the answer is that bytes begin with; 0 if they begin none.

    ``None`` if there are too few to tell.
    """
    if len(heard) < _HEAD:
        return None
    function = heard[1]
    if function & _ERROR:
        return 5
    if function in _READS:
        return _HEAD + heard[2] + 2
    return 8 if function in _WRITES else 0


def _answer_to(step: Step, frame: bytes) -> tuple[int, ...] | int | None:
    """Return words or exception code of the answer to a step, ``None`` if it is none.

    An answer to unit 0 comes from the unit that is there.
    """
    unit, function = frame[0], frame[1]
    if step.unit not in (0, unit):
        return None
    if function == step.function | _ERROR:
        return frame[2]
    if function != step.function or len(frame) != step.answer_octets:
        return None
    if step.is_read:
        data = frame[_HEAD:-2]
        return tuple(
            int.from_bytes(data[place : place + 2]) for place in range(0, len(data), 2)
        )
    return (step.word,) if frame[1:-2] == step.pdu else None
