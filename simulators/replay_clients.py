"""The clients of a recording, who ask the same once more over Modbus TCP."""

import asyncio
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from struct import Struct
from typing import Final

from .cli import Address
from .exchanges import READS, Exchange, fits

_HEADER: Final = Struct(">HHHB")
"""Transaction id, protocol (0), length of what follows it, unit id."""

_LONGEST: Final = 254
"""What may follow a length: unit id and PDU."""

_BROADCAST: Final = 0


class Outcome(StrEnum):
    """What became of a request."""

    WORDS = "answered"
    EXCEPTION = "exception"
    NOTHING = "no answer"
    WRONG = "wrong answer"
    """One that does not fit what was asked."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How a recording is replayed."""

    speed: float | None = 1.0
    """Recorded seconds per second; ``None`` waits for nothing but answers."""
    timeout: float = 3.0
    """Seconds until an answer is given up."""


@dataclass(slots=True, kw_only=True)
class ClientReplay:
    """What one client got, over all of its connections."""

    client: str
    outcomes: Counter[Outcome] = field(default_factory=Counter)
    same_words: int = 0
    """Answers with the words of the recording."""
    other_words: int = 0
    took: list[float] = field(default_factory=list)
    """Seconds until each answer."""
    differences: Counter[tuple[int, str, str, str]] = field(default_factory=Counter)
    """Unit, request, what came in the recording, what came now."""

    @property
    def requests(self) -> int:
        """How many were sent."""
        return self.outcomes.total()

    def note(self, exchange: Exchange, answer: bytes | None) -> None:
        """Hold an answer against the recorded one."""
        now = outcome_of(exchange.request, answer)
        self.outcomes[now] += 1
        recorded = _recorded(exchange)
        came = str(now)
        if answer is not None and now is Outcome.EXCEPTION:
            came = f"exception {answer[1]}"
        if came != recorded:
            self.differences[exchange.unit, exchange.what, recorded, came] += 1
        elif answer is not None and now is Outcome.WORDS and exchange.function in READS:
            words = b"".join(word.to_bytes(2) for word in exchange.words or ())
            if answer[2:] == words:
                self.same_words += 1
            else:
                self.other_words += 1


def outcome_of(request: bytes, answer: bytes | None) -> Outcome:
    """Return what an answer is to a request."""
    if answer is None:
        return Outcome.NOTHING
    if not fits(request, answer):
        return Outcome.WRONG
    return Outcome.WORDS if answer[0] == request[0] else Outcome.EXCEPTION


def _recorded(exchange: Exchange) -> str:
    if exchange.exception is not None:
        return f"exception {exchange.exception}"
    return str(Outcome.NOTHING if exchange.words is None else Outcome.WORDS)


def is_replayable(exchange: Exchange, *, writes: bool) -> bool:
    """Tell whether a request may be sent again.

    Functions that are not known may do anything, and nobody answers a write to all units.
    """
    if exchange.is_write:
        return writes and exchange.unit != _BROADCAST
    return exchange.function in READS


async def replay(
    exchanges: Iterable[Exchange], address: Address, pace: Pace
) -> list[ClientReplay]:
    """Send the requests of each client, each over a connection of its own.

    A client asks one thing at a time, in the recorded order. Connections that break are
    made anew; a request that cannot be sent has no answer.
    """
    by_client: dict[str, list[Exchange]] = defaultdict(list)
    for exchange in exchanges:
        by_client[exchange.client].append(exchange)
    results: dict[str, ClientReplay] = {}
    times = [each[0].at for each in by_client.values() if each[0].at is not None]
    begin = min(times, default=None)
    start = asyncio.get_running_loop().time()
    async with asyncio.TaskGroup() as tasks:
        for asked in by_client.values():
            peer = asked[0].peer
            result = results.setdefault(peer, ClientReplay(client=peer))
            tasks.create_task(_ask_all(asked, address, pace, (begin, start), result))
    return list(results.values())


async def _ask_all(
    asked: Sequence[Exchange],
    address: Address,
    pace: Pace,
    begin: tuple[datetime | None, float],
    result: ClientReplay,
) -> None:
    """Send the requests of one connection when their time comes, or as soon as possible."""
    loop = asyncio.get_running_loop()
    recorded, start = begin
    connection = Connection(address)
    try:
        for exchange in asked:
            if pace.speed is not None and exchange.at is not None and recorded:
                due = (exchange.at - recorded).total_seconds() / pace.speed + start
                await asyncio.sleep(max(0.0, due - loop.time()))
            sent = loop.time()
            answer = await connection.ask(exchange.unit, exchange.request, pace.timeout)
            if answer is not None:
                result.took.append(loop.time() - sent)
            result.note(exchange, answer)
    finally:
        await connection.close()


class Connection:
    """A Modbus TCP client that asks one thing at a time."""

    def __init__(self, address: Address) -> None:
        """Connect when there is something to ask."""
        self._address = address
        self._transaction = 0
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def open(self) -> None:
        """Connect, unless it is. Raises ``OSError``."""
        if self._streams is None:
            self._streams = await asyncio.open_connection(
                self._address.host, self._address.port
            )

    async def close(self) -> None:
        """Hang up."""
        if self._streams is not None:
            _, writer = self._streams
            self._streams = None
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()

    async def ask(self, unit: int, pdu: bytes, timeout: float) -> bytes | None:
        """Send a request and return the PDU of its answer, ``None`` if there is none."""
        try:
            async with asyncio.timeout(timeout):
                await self.open()
                return await self._ask(unit, pdu)
        except TimeoutError:
            return None
        except OSError, EOFError:
            await self.close()
            return None

    async def _ask(self, unit: int, pdu: bytes) -> bytes:
        assert self._streams is not None
        reader, writer = self._streams
        self._transaction = (self._transaction + 1) & 0xFFFF
        writer.write(_HEADER.pack(self._transaction, 0, len(pdu) + 1, unit) + pdu)
        await writer.drain()
        while True:
            header = await reader.readexactly(_HEADER.size)
            transaction, protocol, length, _ = _HEADER.unpack(header)
            if protocol or not 2 <= length <= _LONGEST:
                raise EOFError  # Nothing behind it can be read.
            answer = await reader.readexactly(length - 1)
            # An answer that came too late is not taken for the next one.
            if transaction == self._transaction:
                return answer
