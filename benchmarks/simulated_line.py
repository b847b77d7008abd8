"""A unit on a simulated 9600-baud line: answers at once, but its clock knows better."""

from dataclasses import dataclass, field
from typing import Final

from modbus_connection.mock import MockModbusConnection, MockModbusUnit

BAUD: Final = 9600
REQUEST_BYTES: Final = 8
ANSWER_BYTES: Final = 5
BYTES_PER_WORD: Final = 2
BYTE_SECONDS: Final = 10 / BAUD
SILENCE_SECONDS: Final = 3.5 * BYTE_SECONDS


def read_bytes(words: int) -> int:
    """Return the bytes on the wire for one read of ``words``."""
    return REQUEST_BYTES + ANSWER_BYTES + BYTES_PER_WORD * words


def read_seconds(words: int, latency: float) -> float:
    """Return how long one read takes: frames, the silence after each, latency or spacing."""
    return read_bytes(words) * BYTE_SECONDS + 2 * SILENCE_SECONDS + latency


@dataclass(slots=True)
class SimulatedClock:
    """Seconds that pass only on the line."""

    now: float = 1000.0

    def monotonic(self) -> float:
        """Stand in for ``time.monotonic``."""
        return self.now


@dataclass(slots=True)
class Traffic:
    """What went over the line."""

    reads: list[int] = field(default_factory=list)
    """Words of each read."""

    @property
    def words(self) -> int:
        """Words of all reads."""
        return sum(self.reads)

    @property
    def bytes(self) -> int:
        """Bytes of all requests and answers."""
        return sum(map(read_bytes, self.reads))

    def seconds(self, latency: float) -> float:
        """Seconds that the line was taken."""
        return sum(read_seconds(words, latency) for words in self.reads)


class SimulatedUnit(MockModbusUnit):
    """A unit whose answers take line time and ``latency``, and keep the spacing."""

    def __init__(self, clock: SimulatedClock, latency: float) -> None:
        """Answer after ``latency`` seconds."""
        super().__init__(MockModbusConnection(), 1)
        self.traffic = Traffic()
        self._clock = clock
        self._latency = latency
        self._quiet_since = 0.0

    async def read_holding_registers(self, address: int, count: int) -> list[int]:
        """Answer, and let the time pass that this takes."""
        self._pass(count)
        return await super().read_holding_registers(address, count)

    async def read_input_registers(self, address: int, count: int) -> list[int]:
        """Answer, and let the time pass that this takes."""
        self._pass(count)
        return await super().read_input_registers(address, count)

    def _pass(self, count: int) -> None:
        self.traffic.reads.append(count)
        # As Home Assistant's link does: the spacing counts from the last answer.
        self._clock.now = max(self._clock.now, self._quiet_since + self.message_spacing)
        self._clock.now += read_seconds(count, self._latency)
        self._quiet_since = self._clock.now
