"""Clients of ``benchmarks.gateway`` in a process of their own, as light as they can be.

They speak Modbus TCP, have one request under way each, and check every answer: its
transaction id, unit, function, length and each word.
"""

from array import array
import asyncio
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import cycle
from statistics import median
import time
from typing import Final, override

from .asking import Answer, async_answer_questions
from .gateway_words import Block, answer_of, stamp_of

HOST: Final = "127.0.0.1"
RECONNECT_SECONDS: Final = 0.1
LAST_ANSWER: Final = 0.2
"""Seconds for which clients that leave wait for what they have asked."""
EXCEPTION_PAUSE: Final = 0.05
"""Seconds after which a client asks for the next when it was told an exception."""

_HEAD: Final = 6
_EXCEPTION: Final = 0x80


@dataclass(slots=True, kw_only=True)
class Seen:
    """What the clients of a group have seen."""

    answers: int = 0
    exceptions: Counter[int] = field(default_factory=Counter)
    mismatches: int = 0
    """Answers that do not belong to their request, or hold a wrong word."""
    wrong: list[str] = field(default_factory=list)
    lost: int = 0
    """Connections that were ended, and those that were not taken."""
    seconds: array[float] = field(default_factory=lambda: array("d"))
    """That each answer took."""
    first_at: float | None = None
    """When the first answer came."""
    oldest_asked: float = 0.0
    """The greatest age of a value when it was asked for, in seconds."""
    oldest: float = 0.0
    """The greatest age of a value when it came."""


class Client(asyncio.Protocol):
    """Asks for its blocks in turn, at once after an answer or at its interval."""

    def __init__(
        self, group: Group, number: int, blocks: Sequence[Block], interval: float
    ) -> None:
        """Belong to a group."""
        self._group = group
        self._loop = asyncio.get_running_loop()
        self._interval = interval
        self._plan = cycle([_exchange(block) for block in blocks])
        self._number = number
        self._transaction = number * 997
        self._rest = b""
        self._sent_at = 0.0
        self._due = 0.0
        self.is_waiting = False
        self.answers = 0
        self.first_answer: float | None = None
        self.transport: asyncio.Transport | None = None
        self._expected = b""
        self._block = blocks[0]

    @property
    def waits_since(self) -> float | None:
        """When it asked for what it has not got."""
        return self._sent_at if self.is_waiting else None

    @override
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self._rest = b""
        if self._interval:
            # All begin at different times of the interval.
            wait = self._interval * (self._number * 0.618 % 1.0)
            self._due = self._loop.time() + wait
            self._loop.call_at(self._due, self._ask)
        else:
            self._ask()

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        self.is_waiting = False
        if self.transport is not None and not self._group.is_over:
            self._group.seen.lost += 1
            self.reconnect()
        self.transport = None

    def reconnect(self) -> None:
        """Connect again after a moment."""
        self._loop.call_later(RECONNECT_SECONDS, self._group.connect_again, self)

    def _ask(self) -> None:
        if self.transport is None or self._group.is_over or self.is_waiting:
            return
        request, self._expected, self._block = next(self._plan)
        self._transaction = self._transaction + 1 & 0xFFFF
        self.is_waiting = True
        self._sent_at = time.monotonic()
        self.transport.write(self._transaction.to_bytes(2) + request)

    @override
    def data_received(self, data: bytes) -> None:
        if self._rest:
            data = self._rest + data
        while len(data) >= _HEAD:
            end = _HEAD + (data[4] << 8 | data[5])
            if len(data) < end:
                break
            self._take(data[:end] if len(data) > end else data)
            data = data[end:]
        self._rest = data

    def _take(self, answer: bytes) -> None:
        now = time.monotonic()
        seen = self._group.seen
        if not self.is_waiting:
            self._is_wrong("not asked for", answer)
            return
        if answer[:4] != self._transaction.to_bytes(2) + b"\0\0":
            self._is_wrong("another transaction", answer)
            return
        self.is_waiting = False
        if answer[4:] == self._expected or self._group.stamps:
            if self._group.stamps:
                self._look_at_stamp(answer, now)
            self._count(now)
        elif (
            len(answer) == 9
            and answer[6] == self._block.unit
            and answer[7] == self._block.function | _EXCEPTION
        ):
            seen.exceptions[answer[8]] += 1
            self._group.exception_at.append((now, answer[8]))
            seen.seconds.append(now - self._sent_at)
            # Who asks again at once after each exception is a rogue.
            now += EXCEPTION_PAUSE
            self._loop.call_later(EXCEPTION_PAUSE, self._go_on, now)
            return
        else:
            self._is_wrong("a wrong answer", answer)
        self._go_on(now)

    def _count(self, now: float) -> None:
        seen = self._group.seen
        seen.answers += 1
        seen.seconds.append(now - self._sent_at)
        if seen.first_at is None:
            seen.first_at = now
        self.answers += 1
        if self.first_answer is None:
            self.first_answer = now
        if self._group.keeps_log:
            self._group.log.append((now, self._number))

    def _look_at_stamp(self, answer: bytes, now: float) -> None:
        if answer[7] & _EXCEPTION or (stamp := stamp_of(answer[7:])) is None:
            self._is_wrong("no stamp, or two", answer)
            return
        seen = self._group.seen
        seen.oldest = max(seen.oldest, now - stamp)
        seen.oldest_asked = max(seen.oldest_asked, self._sent_at - stamp)

    def _go_on(self, now: float) -> None:
        if not self._interval:
            self._ask()
            return
        while self._due <= now:
            self._due += self._interval
        self._loop.call_at(self._due, self._ask)

    def _is_wrong(self, why: str, answer: bytes) -> None:
        seen = self._group.seen
        seen.mismatches += 1
        if len(seen.wrong) < 5:
            seen.wrong.append(f"{why}: {self._block}: {answer[:24].hex()}")


def _exchange(block: Block) -> tuple[bytes, bytes, Block]:
    """Return a request and its answer from the length on, and what they are about."""
    unit = bytes((block.unit,))
    request, answer = unit + block.pdu, unit + answer_of(*block)
    return (
        b"\0\0" + len(request).to_bytes(2) + request,
        len(answer).to_bytes(2) + answer,
        block,
    )


class Group:
    """Clients that are counted together."""

    def __init__(self, question: Answer) -> None:
        """Make them, and do not connect them yet."""
        self.seen = Seen()
        self.checked = self.mismatches = 0
        """What was counted before it was counted anew."""
        self.is_over = False
        self.stamps = question.get("stamps", False)
        self.keeps_log = question.get("log", False)
        self.log: list[tuple[float, int]] = []
        self.exception_at: list[tuple[float, int]] = []
        self._port = question["port"]
        interval = question.get("interval", 0.0)
        self.clients = [
            Client(self, number, [Block(*block) for block in blocks], interval)
            for number, blocks in enumerate(question["plans"])
        ]

    async def connect(self) -> float:
        """Connect all at once; return when that began."""
        began = time.monotonic()
        await asyncio.gather(*map(self._connect, self.clients))
        return began

    async def _connect(self, client: Client) -> None:
        loop = asyncio.get_running_loop()
        try:
            await loop.create_connection(lambda: client, HOST, self._port)
        except OSError:
            self.seen.lost += 1
            client.reconnect()

    def connect_again(self, client: Client) -> None:
        """Connect one that was hung up on."""
        if not self.is_over:
            self._again = asyncio.get_running_loop().create_task(self._connect(client))

    def reset(self) -> None:
        """Count anew."""
        self.checked += self.seen.answers + sum(self.seen.exceptions.values())
        self.mismatches += self.seen.mismatches
        self.seen = Seen()
        self.log.clear()
        self.exception_at.clear()
        for client in self.clients:
            client.answers = 0

    async def stop(self) -> None:
        """Let all have their last answer, for a while, and leave."""
        self.is_over = True
        until = time.monotonic() + LAST_ANSWER
        while (
            any(client.is_waiting for client in self.clients)
            and time.monotonic() < until
        ):
            await asyncio.sleep(0.005)
        for client in self.clients:
            if client.transport is not None:
                client.transport.abort()

    def report(self) -> Answer:
        """Return what has been seen; times are those of the computer's clock."""
        now = time.monotonic()
        seen, times = self.seen, sorted(self.seen.seconds)
        waiting = [
            now - since
            for client in self.clients
            if (since := client.waits_since) is not None
        ]
        checked = self.checked + seen.answers + sum(seen.exceptions.values())
        firsts = [client.first_answer for client in self.clients]
        return {
            "at": now,
            "answers": seen.answers,
            "exceptions": dict(seen.exceptions),
            "exception_at": self.exception_at[:2000],
            "mismatches": seen.mismatches,
            "wrong": seen.wrong,
            "all_checked": checked + seen.mismatches,
            "all_mismatches": self.mismatches + seen.mismatches,
            "lost": seen.lost,
            "p50": median(times) if times else 0.0,
            "p99": times[min(len(times) - 1, int(len(times) * 0.99))] if times else 0.0,
            "longest": max([*times[-1:], *waiting], default=0.0),
            "of_each": [client.answers for client in self.clients],
            "first_at": seen.first_at,
            "served": sum(first is not None for first in firsts),
            "last_first": max((first or now for first in firsts), default=now),
            "first_first": min((first or now for first in firsts), default=now),
            "oldest": seen.oldest,
            "oldest_asked": seen.oldest_asked,
            "log": self.log,
            "times": times if self.keeps_log else [],
            "cpu": time.process_time(),
        }


async def _serve() -> None:
    groups: dict[str, Group] = {}

    async def handle(question: Answer) -> Answer:
        name = question["name"]
        match question["do"]:
            case "start":
                groups[name] = Group(question)
                return {"at": await groups[name].connect()}
            case "reset":
                groups[name].reset()
            case "stop":
                group = groups.pop(name)
                await group.stop()
                return group.report()
        return groups[name].report()

    await async_answer_questions(handle)


def serve_load() -> None:
    """Be clients."""
    asyncio.run(_serve())
