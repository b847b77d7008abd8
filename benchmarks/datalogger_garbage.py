"""Streams that are cut anyhow or spoilt, through the real server."""

import asyncio
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
import gc
from itertools import count, pairwise
from random import Random
import socket
from time import perf_counter
import tracemalloc
from typing import Final

from custom_components.local_solar.growatt.datalogger.packets import Packet
from custom_components.local_solar.growatt.datalogger.policy import Verdict
from custom_components.local_solar.growatt.datalogger.records import (
    Record,
    RegisterRecord,
)
from custom_components.local_solar.growatt.datalogger.server import Connection, Server
from custom_components.local_solar.growatt.datalogger.session import Session
from simulators.datalogger import bodies as simulated_bodies, packets as simulated

SEED: Final = 1
PROTOCOLS: Final = (0, 2, 5, 6)
CHECKED: Final = (5, 6)
"""Protocols with a checksum. Of a record that was cut, others do not tell where it ends."""

_TRIALS_EACH: Final = 10
"""On one connection."""

_FLUSH: Final = 24
"""Records after the last trial of a connection. Garbage that looks like a header makes a
server wait for as many bytes as it promises, 4,096 at most; then all comes out."""


@dataclass(slots=True)
class Trial:
    """What came of records."""

    sent: int = 0
    reported: int = 0
    """Exactly once, and as they were sent."""


class _Listener:
    """Keeps which records came, and how often."""

    def __init__(self) -> None:
        self.came: dict[tuple[int, ...], int] = {}

    def session_began(self, session: Session) -> None:
        """Do nothing."""

    def session_ended(self, session: Session) -> None:
        """Do nothing."""

    def reported(self, session: Session, record: Record) -> None:
        """Count it."""
        if isinstance(record, RegisterRecord):
            words = tuple(word for block in record.blocks for word in block.words)
            self.came[words] = self.came.get(words, 0) + 1

    def rejected(self, session: Session, packet: Packet, why: str) -> None:
        """Do nothing."""

    def judged(self, session: Session, verdict: Verdict) -> None:
        """Do nothing."""

    def encrypted(self, session: Session) -> None:
        """Do nothing."""


class _Stick:
    """Makes records that all differ."""

    def __init__(self, random: Random, numbers: Iterator[int], protocol: int) -> None:
        self._random = random
        self._numbers = numbers
        self._protocol = protocol
        self.logger = f"XGD0G{next(numbers):05}"
        self.made: list[tuple[int, ...]] = []

    def record(self) -> bytes:
        number = next(self._numbers)
        words = (*divmod(number, 1 << 16), *self._random.choices(range(1 << 16), k=88))
        self.made.append(words)
        groups = (
            simulated_bodies.Group(0, words[:45]),
            simulated_bodies.Group(45, words[45:]),
        )
        stamp = simulated_bodies.stamp_of(datetime(2026, 6, 21, 12))
        record = simulated_bodies.Record(self.logger, "SNL0G00001", stamp, groups)
        return simulated.Packet(
            kind=simulated.Kind.LIVE,
            body=record.body(self._protocol),
            tid=number & 0xFFFF,
            protocol=self._protocol,
        ).encode()


# -- ways to send ------------------------------------------------------------------------


def _together(random: Random, stick: _Stick, protocol: int) -> Iterator[bytes]:
    """Send two records, or a few more, in one segment."""
    yield b"".join(stick.record() for _ in range(random.choice((2, 2, 2, 3, 8))))


def _apart(random: Random, stick: _Stick, protocol: int) -> Iterator[bytes]:
    """Send a record in so many segments, down to single bytes; its end with the next."""
    data = stick.record() + stick.record()
    cuts = random.choice((1, 2, 5, 20, len(data) - 1))
    places = [0, *sorted(random.sample(range(1, len(data)), cuts)), len(data)]
    for start, stop in pairwise(places):
        yield data[start:stop]


def _after_garbage(random: Random, stick: _Stick, protocol: int) -> Iterator[bytes]:
    """Send garbage before a record, in the same segment or in one before it."""
    garbage = _garbage(random, stick, protocol)
    if random.random() < 0.5:
        yield garbage
        yield stick.record()
    else:
        yield garbage + stick.record()


def _garbage(random: Random, stick: _Stick, protocol: int) -> bytes:
    noise = random.randbytes(random.choice((1, 7, 8, 9, 40, 300)))
    if protocol not in CHECKED:
        return noise
    record = stick.record()
    stick.made.pop()
    spoilt = bytearray(record)
    spoilt[random.randrange(len(spoilt))] ^= random.randrange(1, 256)
    return random.choice(
        (
            noise,
            bytes(len(noise)),
            record[: random.randrange(1, len(record))],
            record[random.randrange(1, len(record)) :],
            record[:8] + noise,
            bytes(spoilt),
        )
    )


WAYS: Final[Mapping[str, Callable[[Random, _Stick, int], Iterator[bytes]]]] = {
    "records in one segment": _together,
    "a record in many segments": _apart,
    "garbage before a record": _after_garbage,
}


def trials(number: int) -> Mapping[str, Trial]:
    """Send so many random streams in each way; return what came of the records."""
    return asyncio.run(_trials(number))


async def _trials(number: int) -> Mapping[str, Trial]:
    random, numbers = Random(SEED), count()
    listener = _Listener()
    server = Server(listener, datetime.now)
    await server.start("127.0.0.1", 0)
    outcomes = {}
    for name, way in WAYS.items():
        outcome = outcomes[name] = Trial()
        for _ in range(number // _TRIALS_EACH):
            protocol = random.choice(PROTOCOLS)
            stick = _Stick(random, numbers, protocol)
            segments = [
                segment
                for _ in range(_TRIALS_EACH)
                for segment in way(random, stick, protocol)
            ]
            made = list(stick.made)
            segments += [stick.record() for _ in range(_FLUSH)]
            await _send(server.port, segments)
            outcome.sent += len(made)
            outcome.reported += sum(listener.came.get(words) == 1 for words in made)
            listener.came.clear()
    await server.stop()
    return outcomes


async def _send(port: int, segments: list[bytes]) -> None:
    loop = asyncio.get_running_loop()
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.setblocking(False)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for segment in segments:
            await loop.sock_sendall(connection, segment)
            # The server has its turn, so that segments do not grow together.
            for _ in range(3):
                await asyncio.sleep(0)
        # Those that it answers after the end would be lost to it, not to us.
        await asyncio.sleep(0.002)


# -- mutated packets ---------------------------------------------------------------------


@dataclass(slots=True, kw_only=True)
class Outcome:
    """What came of mutated packets."""

    packets: int = 0
    unexpected: list[str] = field(default_factory=list)
    growth_bytes: int = 0
    """Held since the half of them."""
    seconds: float = 0.0


class _Transport(asyncio.Transport):
    """Goes nowhere."""

    def __init__(self) -> None:
        super().__init__({"peername": ("127.0.0.1", 1)})
        self.closed = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Forget it."""

    def set_write_buffer_limits(
        self, high: int | None = None, low: int | None = None
    ) -> None:
        """Have no buffer."""

    def pause_reading(self) -> None:
        """Do nothing."""

    def resume_reading(self) -> None:
        """Do nothing."""

    def is_closing(self) -> bool:
        """Return whether it was aborted."""
        return self.closed

    def abort(self) -> None:
        """Be closed."""
        self.closed = True


def _mutated(random: Random, raw: bytes) -> bytes:
    data = bytearray(raw)
    for _ in range(random.choice((0, 1, 1, 2, 5))):
        place = random.randrange(len(data) + 1)
        match random.randrange(4):
            case 0:
                data[place : place + 1] = bytes((random.randrange(256),))
            case 1:
                del data[place : place + random.randrange(1, 20)]
            case 2:
                data[place:place] = random.randbytes(random.randrange(1, 20))
            case _:
                data[place : place + 2] = random.choice((b"\0\0", b"\xff\xff"))
        if not data:
            data += b"\0"
    return bytes(data)


def _random_packet(random: Random, stick: _Stick, protocol: int) -> bytes:
    """Return a packet, mutated before or after its checksum was made."""
    if random.random() < 0.5:
        raw = _mutated(random, stick.record())
        stick.made.clear()
        return raw
    body = simulated_bodies.serial_field(protocol, stick.logger)
    body += random.randbytes(random.choice((0, 1, 4, 9, 60, 300)))
    return simulated.Packet(
        kind=random.choice((*simulated.Kind, random.randrange(256))),
        body=_mutated(random, body),
        unit=random.randrange(256),
        tid=random.randrange(1 << 16),
        protocol=protocol,
    ).encode()


def campaign(number: int, seed: int) -> Outcome:
    """Send so many packets; return what came of them."""
    return asyncio.run(_campaign(number, seed))


async def _campaign(number: int, seed: int) -> Outcome:
    random, outcome = Random(seed), Outcome(packets=number)
    listener = _Listener()
    server = Server(listener, datetime.now)
    numbers = count()
    sticks = [
        (protocol, _Stick(random, numbers, protocol))
        for protocol in PROTOCOLS
        for _ in range(8)
    ]
    connection: Connection | None = None
    protocol, stick = sticks[0]
    started = perf_counter()
    for each in range(number):
        if each == number // 2:
            gc.collect()
            tracemalloc.start()
        if connection is None or not connection.is_open or random.random() < 0.02:
            if connection is not None:
                connection.close()
            protocol, stick = random.choice(sticks)
            connection = Connection(server)
            connection.connection_made(_Transport())
        try:
            raw = _random_packet(random, stick, protocol)
            connection.get_buffer(-1)[: len(raw)] = raw
            connection.buffer_updated(len(raw))
        except Exception as err:  # noqa: BLE001
            outcome.unexpected.append(repr(err))
        if each % 1000 == 0:
            listener.came.clear()
            await asyncio.sleep(0)
    outcome.seconds = perf_counter() - started
    if connection is not None:
        connection.close()
    del connection
    listener.came.clear()
    await asyncio.sleep(0)
    gc.collect()
    outcome.growth_bytes = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    return outcome
