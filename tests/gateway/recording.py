"""What a recorded bus has in it: who asked what and when, and what the inverter held.

The recording has a Shine dongle and a client over Modbus TCP at a MIN 6000TL-XH behind
growatt-rtu-broker, which kept a second between all messages.
"""

import asyncio
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
import json
import math
from pathlib import Path
from typing import Final, Self, override

from pymodbus.framer import FramerRTU

from simulators.datasets import Table
from simulators.dongle.steps import BOOT, CONTROL, CYCLE, Step
from simulators.modbus import ModbusSimulator
from simulators.requests import ILLEGAL_FUNCTION, NoAnswerError, RefusedError, Request
from simulators.wire import SerialLine
from simulators.wire_log import Recording, load_recording

RECORDING: Final = (
    Path(__file__).parents[3]
    / "shared/captures/growatt/derived_wire_sample_masked.jsonl"
)
"""The first six minutes of it; not part of the repository."""

DONGLE: Final = "SHINE"
"""Its name in the recording."""

UNIT: Final = 1

PACE: Final = SerialLine(33_000)
THINKING: Final = "delay=0.028"
"""An answer of 7 bytes was measured to come after 37 ms, one of 255 after 111 ms: 28 ms and
0.3 ms for each byte. (The line itself has 115200 baud.)"""

TABLES: Final[Mapping[int, Table]] = {
    3: Table.HOLDING,
    4: Table.INPUT,
    0x20: Table.METER,
}
READ_HOLDING: Final = 3

_WRITE_SINGLE: Final = 6
_DEVICE_TYPE_CODE: Final = 43
_VPP: Final = range(30000, 32000)
_FRAME: Final = 8
"""Bytes of a request of the dongle."""

_REPEATED_WITHIN: Final = 4.0
"""Seconds within which the same request of the dongle is a repeat."""

_AFTER_IT_ALL: Final = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A request of the recording, ``at`` seconds after its beginning.

    ``noise`` stands for bytes that are none: what the dongle says when it starts.
    """

    at: float
    step: Step | None = None
    noise: bytes = b""


@dataclass(frozen=True, slots=True)
class Silence:
    """The inverter did not answer such a request, at so many seconds."""

    at: float
    function: int
    address: int
    count: int

    def concerns(self, function: int, address: int, count: int) -> bool:
        """Tell whether a request asks for some of the same."""
        return (
            self.function == function
            and self.address < address + count
            and address < self.address + self.count
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """What the recording has, in terms of whoever plays it."""

    dongle: Sequence[Asked]
    clients: Mapping[str, Sequence[Asked]]
    """By address: one that had to connect anew is still the same."""
    words: Mapping[Table, Mapping[int, int]]
    """The last word that each register of the inverter was read with."""
    silences: Sequence[Silence]
    seconds: float

    @classmethod
    def load(cls, path: Path = RECORDING) -> Self:
        """Read a wire log. Raises ``SimulatorError`` if it is none."""
        recording = load_recording(path)
        times = [exchange.at for exchange in recording.exchanges if exchange.at]
        start = min(times)
        seconds = (max(times) - start).total_seconds() + _AFTER_IT_ALL
        asked: dict[str, list[Asked]] = {}
        silences = []
        for exchange in recording.exchanges:
            assert exchange.at is not None
            at = (exchange.at - start).total_seconds()
            step = _step(exchange.unit, exchange.request)
            asked.setdefault(exchange.peer, []).append(Asked(at=at, step=step))
            if not exchange.is_answered:
                silences.append(
                    Silence(at, exchange.function, exchange.address, exchange.count)
                )
        dongle = [*asked.pop(DONGLE, []), *_lost(path, start)]
        # The sample ends before its cloud tries this, which it does all day long.
        dongle.append(Asked(at=seconds, step=CONTROL))
        return cls(
            dongle=tuple(_without_repeats(dongle)),
            clients=asked,
            words=_words(recording),
            silences=silences,
            seconds=seconds,
        )

    @property
    def requests(self) -> int:
        """How many requests all of them make."""
        everything = (self.dongle, *self.clients.values())
        return sum(each.step is not None for asked in everything for each in asked)


def _step(unit: int, pdu: bytes) -> Step:
    """Return a request as the dongle makes it: it repeats some kinds."""
    function, address = pdu[0], int.from_bytes(pdu[1:3])
    known = (step for step in (*BOOT, *CYCLE) if step.pdu == pdu)
    return Step(
        function=function,
        address=address,
        word=int.from_bytes(pdu[3:5]),
        unit=unit,
        repeats=next((step.repeats for step in known), 0),
    )


def _lost(path: Path, start: datetime) -> Iterator[Asked]:
    """Yield what the broker dropped: requests glued to one another, and noise."""
    for line in path.read_text(encoding="utf-8").splitlines():
        record = json.loads(line)
        if record["role"] != "DROP":
            continue
        moment = datetime.fromisoformat(record["ts"]).replace(tzinfo=UTC)
        at = (moment - start).total_seconds()
        octets = bytes.fromhex(record["hex"])
        while _is_sound(octets[:_FRAME]):
            yield Asked(at=at, step=_step(octets[0], octets[1 : _FRAME - 2]))
            octets = octets[_FRAME:]
        if octets:
            yield Asked(at=at, noise=octets)


def _is_sound(frame: bytes) -> bool:
    return len(frame) == _FRAME and FramerRTU.check_CRC(
        frame[:-2], int.from_bytes(frame[-2:])
    )


def _without_repeats(asked: Iterable[Asked]) -> Iterator[Asked]:
    """Leave out repeats: the dongle that plays makes its own."""
    before: Asked | None = None
    for each in sorted(asked, key=lambda one: one.at):
        if (
            before is None
            or each.step is None
            or each.step != before.step
            or each.at - before.at > _REPEATED_WITHIN
        ):
            yield each
        before = each


def _words(recording: Recording) -> dict[Table, dict[int, int]]:
    words: dict[Table, dict[int, int]] = {table: {} for table in Table}
    for exchange in recording.exchanges:
        if exchange.words is not None and exchange.function in TABLES:
            seen = enumerate(exchange.words, exchange.address)
            words[TABLES[exchange.function]].update(seen)
    return words


class RecordedInverter:
    """The inverter of the recording. What it was not asked reads 0.

    It takes every write but those to VPP registers, which it does not have.
    """

    def __init__(self, recorded: Recorded, *, keeps_silent: bool = True) -> None:
        """Hold the recorded words; if it ``keeps_silent``, then where the real one was."""
        self.silent = False
        self.kept_silent: list[Silence] = []
        """What it did not answer."""
        self.written: set[int] = set()
        """Holding registers that may differ from the recording."""
        self.words = {table: dict(words) for table, words in recorded.words.items()}
        silences = recorded.silences if keeps_silent else ()
        self._silences = sorted(silences, key=lambda silence: silence.at)
        self._begun = math.inf
        self._speed = 1.0

    def begin(self, speed: float) -> None:
        """Start the time by which it is silent."""
        self._begun = asyncio.get_running_loop().time()
        self._speed = speed

    def read(self, table: Table, address: int, count: int) -> list[int]:
        """Return words. Raises ``NoAnswerError``."""
        function = next(key for key, value in TABLES.items() if value is table)
        self._keep_silent(function, address, count)
        words = self.words[table]
        return [words.get(place, 0) for place in range(address, address + count)]

    def check_write(self, address: int, words: Sequence[int], *, single: bool) -> None:
        """Take in a write. Raises ``RefusedError`` or ``NoAnswerError``."""
        if address in _VPP:
            raise RefusedError(ILLEGAL_FUNCTION)
        self._keep_silent(_WRITE_SINGLE, address, len(words))

    def store(self, address: int, words: Sequence[int]) -> bool:
        """Set holding registers."""
        self.words[Table.HOLDING].update(enumerate(words, address))
        self.written.update(range(address, address + len(words)))
        return True

    def _keep_silent(self, function: int, address: int, count: int) -> None:
        """Leave the first such request unanswered after each recorded silence."""
        now = (asyncio.get_running_loop().time() - self._begun) * self._speed
        due = bisect_right(self._silences, now, key=lambda silence: silence.at)
        for silence in self._silences[:due]:
            if silence.concerns(function, address, count):
                self._silences.remove(silence)
                self.kept_silent.append(Silence(now, function, address, count))
                raise NoAnswerError


class RecordedBus(ModbusSimulator):
    """The bus with that inverter, which answers as fast as the real one."""

    def __init__(
        self,
        inverter: RecordedInverter,
        *,
        wire: SerialLine | None = PACE,
        thinking: str | None = THINKING,
    ) -> None:
        """Put it on a bus as unit 1."""
        self.inverter: Final = inverter
        super().__init__(
            {UNIT: inverter}, wire=wire, faults=() if thinking is None else (thinking,)
        )

    @override
    def answers_broadcast(self, request: Request) -> int | None:
        """Answer unit 0 for the device type code, as the real one did."""
        asked = request.function, request.address, request.count
        return UNIT if asked == (READ_HOLDING, _DEVICE_TYPE_CODE, 1) else None
