"""Reads wanted rows of a unit into an image, with as few requests as the link allows."""

from collections import Counter, deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
import logging
import time
from typing import Final

from modbus_connection import (
    GatewayPathUnavailableError,
    GatewayTargetError,
    IllegalDataAddressError,
    IllegalDataValueError,
    IllegalFunctionError,
    ModbusConnectionError,
    ModbusError,
    ModbusProtocolError,
    ModbusTimeoutError,
    ModbusUnit,
)

from .image import RegisterImage, Space
from .plan import LinkTiming, Range, Read, plan_reads
from .register import Register

_LOGGER = logging.getLogger(__name__)

LATENCY_SAMPLES: Final = 16
"""The least of so many answers is the latency: queueing behind others only adds to it."""

REPLAN_RATIO: Final = 1.5
"""Plan anew when the cost of a request has changed by this factor."""

GARBAGE_WORDS: Final = 4
"""A block of at least so many words that are all 0xFFFF is an idle line, not data."""


ATTEMPTS: Final = 2
"""How often a read that gets lost or garbled is tried."""

PLANS_KEPT: Final = 32
"""Sets of rows for which a plan is remembered: rhythms fall due in few combinations."""


REFUSALS: Final = 3
"""How often in a row a read must be refused before it is narrowed down."""

PATIENCE_IF_ALL: Final = 4
"""So many times more often when nothing else is answered either."""

REFUSED_FOR: Final = 600
"""Seconds for which a refused row is left out before it is tried again."""

_REFUSALS: Final = (
    IllegalFunctionError,
    IllegalDataAddressError,
    IllegalDataValueError,
)
"""Answers that mean "I do not serve this"."""


@dataclass(frozen=True, slots=True)
class _Refusal:
    """What the unit answered, and until when it is not asked again."""

    answer: str
    until: float


class GarbageError(ModbusProtocolError):
    """A block that is formally right but cannot be data."""


@dataclass(slots=True)
class ReadReport:
    """What one round of reads brought."""

    reads: tuple[Read, ...]
    failed: dict[Read, ModbusError] = field(default_factory=dict)

    @property
    def silent(self) -> bool:
        """Whether nothing came back although something was asked for."""
        return bool(self.reads) and len(self.failed) == len(self.reads)

    @property
    def silence(self) -> str | None:
        """Why nothing came back, ``None`` if the unit answered, if only not with data."""
        if not self.silent:
            return None
        err = self.failed[self.reads[0]]
        if is_silence(err) or isinstance(err, ModbusConnectionError):
            return str(err)
        return None

    @property
    def reasons(self) -> dict[str, str]:
        """Keys of the rows that were not read, with what went wrong."""
        return {
            row.key: str(err)
            for read, err in self.failed.items()
            for row in read.registers
        }

    @property
    def silent_so_far(self) -> bool:
        """Whether the first read failed and no other was tried yet."""
        return len(self.failed) == 1 and self.reads[0] in self.failed


class RegisterReader:
    """Plans and performs reads of one unit.

    It learns the unit's latency from its answers and plans accordingly. A read
    that the unit keeps refusing is narrowed down over the next rounds until only
    the refused rows are left out; those are tried again now and then.
    """

    def __init__(
        self,
        unit: ModbusUnit,
        groups: Mapping[Space, Iterable[Range]],
        *,
        max_words: int = 125,
        spacing: float = 0.0,
        baud: int = 9600,
        patience: int = REFUSALS,
    ) -> None:
        """Read ``unit`` inside ``groups``.

        ``spacing`` is the quiet time in seconds the unit needs between messages,
        ``baud`` the speed of the serial line, also of one behind a TCP bridge,
        ``patience`` how often in a row a read must be refused to be narrowed down.
        """
        self._unit = unit
        self._groups = groups
        self._max_words = max_words
        self._timing = LinkTiming(baud=baud, spacing=spacing)
        self._samples: deque[float] = deque(maxlen=LATENCY_SAMPLES)
        self._borders: frozenset[tuple[Space, int]] = frozenset()
        self._refusals: Counter[tuple[Space, int, int]] = Counter()
        self._refused: dict[str, _Refusal] = {}
        self._patience = patience
        self._plans: dict[frozenset[Register], tuple[Read, ...]] = {}
        unit.set_message_spacing(spacing)

    @property
    def timing(self) -> LinkTiming:
        """The timing that reads are planned with."""
        return self._timing

    @property
    def refused(self) -> Mapping[str, str]:
        """Keys of rows the unit refuses, with what it answered."""
        return {key: refusal.answer for key, refusal in self._refused.items()}

    def plan(self, registers: Iterable[Register]) -> tuple[Read, ...]:
        """Return the reads that fetch ``registers``.

        Rows known to be refused are left out, but for a try now and then.
        """
        now = time.monotonic()
        wanted = frozenset(
            row
            for row in registers
            if (refusal := self._refused.get(row.key)) is None or refusal.until <= now
        )
        if (reads := self._plans.get(wanted)) is None:
            if len(self._plans) >= PLANS_KEPT:
                self._plans.clear()
            reads = self._plans[wanted] = plan_reads(
                wanted,
                self._groups,
                self._timing,
                max_words=self._max_words,
                borders=self._borders,
            )
            _LOGGER.debug("Planned %s", ", ".join(map(str, reads)))
        return reads

    async def read(
        self, registers: Iterable[Register], image: RegisterImage
    ) -> ReadReport:
        """Read ``registers`` into ``image``; the report names what failed.

        A read that gets lost or garbled is tried once more, over a new
        connection if the old one broke. When the first one is lost twice the
        unit is silent and is not asked for the rest; a link that stays down
        fails what is left. What failed is forgotten from the
        image, everything else stays fresh.
        """
        report = ReadReport(self.plan(registers))
        refused: dict[Read, ModbusError] = {}
        down: ModbusError | None = None
        for read in report.reads:
            failure = down or await self._try(read, image)
            if failure is None:
                continue
            report.failed[read] = failure
            image.forget(read.space, read.address, read.count)
            if isinstance(failure, _REFUSALS):
                refused[read] = failure
            if isinstance(failure, ModbusConnectionError) or (
                is_silence(failure) and report.silent_so_far
            ):
                down = failure
        # A unit, or a bridge, that refuses all there is says little of the rows.
        everything = 1 < len(refused) == len(report.reads)
        patience = self._patience * (PATIENCE_IF_ALL if everything else 1)
        for read, err in refused.items():
            self._note_refusal(read, err, patience)
        return report

    async def _try(self, read: Read, image: RegisterImage) -> ModbusError | None:
        """Read into the image and return ``None``, or what went wrong for good."""
        failure: ModbusError | None = None
        for _ in range(ATTEMPTS):
            try:
                await self._read(read, image)
            except _REFUSALS as err:
                return err
            except ModbusError as err:
                _LOGGER.debug("%s: %s", read, err)
                failure = err
            else:
                return None
        return failure

    async def _read(self, read: Read, image: RegisterImage) -> None:
        """Perform one read and learn from it."""
        started = time.monotonic()
        words = await read_words(self._unit, read.space, read.address, read.count)
        now = time.monotonic()
        self._learn(now - started, read.count)
        image.store(read.space, read.address, words, now)
        self._refusals.pop((read.space, read.address, read.count), None)
        if self._refused and any(row.key in self._refused for row in read.registers):
            self._forgive(read)

    def _learn(self, elapsed: float, count: int) -> None:
        """Take the latency from an answer; plan anew if it differs much."""
        wire = self._timing.with_latency(0.0)
        self._samples.append(
            max(
                0.0, elapsed - (wire.per_request - wire.spacing) - wire.per_word * count
            )
        )
        learnt = self._timing.with_latency(min(self._samples))
        ratio = learnt.per_request / self._timing.per_request
        if ratio > REPLAN_RATIO or ratio < 1 / REPLAN_RATIO:
            self._timing = learnt
            self._plans.clear()

    def _note_refusal(self, read: Read, err: ModbusError, patience: int) -> None:
        """Narrow a read down when it is refused again and again: once may be an accident."""
        place = (read.space, read.address, read.count)
        self._refusals[place] += 1
        if self._refusals[place] < patience and not any(
            row.key in self._refused for row in read.registers
        ):
            return
        del self._refusals[place]
        first = read.address
        later = [row.address for row in read.registers if row.address > first]
        if later:
            self._borders |= {(read.space, later[(len(later) - 1) // 2])}
        else:
            self._refuse(read, err)
        self._plans.clear()

    def _refuse(self, read: Read, err: ModbusError) -> None:
        """Leave the rows of one address out for a while."""
        if not all(row.key in self._refused for row in read.registers):
            _LOGGER.info(
                "The unit refuses %s (%s): asked for again every %d minutes",
                ", ".join(row.key for row in read.registers),
                err,
                REFUSED_FOR // 60,
            )
        refusal = _Refusal(str(err), time.monotonic() + REFUSED_FOR)
        self._refused.update(
            dict.fromkeys((row.key for row in read.registers), refusal)
        )

    def _forgive(self, read: Read) -> None:
        """Plan freely again with rows that are answered after all."""
        for row in read.registers:
            self._refused.pop(row.key, None)
        self._borders = frozenset()
        self._plans.clear()


def is_silence(err: ModbusError) -> bool:
    """Whether ``err`` means that the unit, or the bridge's far side, did not answer."""
    return isinstance(
        err, ModbusTimeoutError | GatewayTargetError | GatewayPathUnavailableError
    )


def is_refusal(err: ModbusError) -> bool:
    """Whether ``err`` means that the unit answered, but does not serve what was asked."""
    return isinstance(err, _REFUSALS)


async def read_words(
    unit: ModbusUnit,
    space: Space,
    address: int,
    count: int,
    *,
    may_be_blank: bool = False,
) -> list[int]:
    """Return ``count`` words of ``unit``.

    Raises ``ModbusError`` if the unit does not give them, ``GarbageError`` if
    what it gives cannot be data: too few words, or a long block of 0xFFFF unless that
    may be (``may_be_blank``).
    """
    if space is Space.HOLDING:
        words = await unit.read_holding_registers(address, count)
    else:
        words = await unit.read_input_registers(address, count)
    if len(words) != count:
        raise GarbageError(
            f"{space} {address}: asked for {count} words, got {len(words)}"
        )
    if (
        count >= GARBAGE_WORDS
        and not may_be_blank
        and all(word == 0xFFFF for word in words)
    ):
        raise GarbageError(f"{space} {address}: {count} words of nothing but 0xFFFF")
    return words
