"""Clients that send anything, as many as one likes: ``python -m tests.gateway.campaign 100000``.

Requests, spoilt requests and noise go through the listeners of the gateway in pieces of any
size. Nothing may be raised, held on to, or answered that was not asked.
"""

import asyncio
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random
from struct import pack, unpack_from
import sys
import tracemalloc
from typing import Any, Final, override

from custom_components.local_solar.gateway.bus import Pace
from custom_components.local_solar.gateway.clients import Client, ClientKind
from custom_components.local_solar.gateway.framing import MOST_OCTETS, rtu_frame
from custom_components.local_solar.gateway.gateway import Gateway
from custom_components.local_solar.gateway.rtu_session import RtuSession
from custom_components.local_solar.gateway.server import (
    READ_AT_ONCE,
    Limits,
    Server,
    TcpConnection,
)
from custom_components.local_solar.modbus.crc import crc16

from .helpers import HeldUnit

UNLIMITED: Final = Limits(requests_per_second=1e9, burst=10**9)

_HEADER: Final = ">HHHB"
_HEADER_OCTETS: Final = 7


@dataclass(slots=True, kw_only=True)
class Report:
    """What came of a campaign."""

    connections: int = 0
    octets: int = 0
    answers: int = 0
    hung_up: int = 0
    garbage: int = 0
    grown: int = 0
    """Octets of memory that are held at the end and were not after the first tenth."""
    errors: list[str] = field(default_factory=list)


class Line(asyncio.Transport):
    """A connection that keeps what is sent, and can be told not to read."""

    def __init__(self) -> None:
        """Be open."""
        super().__init__()
        self.sent = bytearray()
        self.is_open = True
        self.may_read = True

    @override
    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return ("10.0.0.1", 1000) if name == "peername" else default

    @override
    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.sent += data

    @override
    def is_closing(self) -> bool:
        return not self.is_open

    @override
    def abort(self) -> None:
        self.is_open = False

    @override
    def pause_reading(self) -> None:
        self.may_read = False

    @override
    def resume_reading(self) -> None:
        self.may_read = True

    @override
    def set_write_buffer_limits(
        self, high: int | None = None, low: int | None = None
    ) -> None:
        return


def any_pdu(random: Random) -> bytes:
    """Return a request, likely or not."""
    kind = random.randrange(8)
    if kind < 4:
        return pack(
            ">BHH",
            random.choice((3, 4)),
            random.randrange(0x10000),
            random.randrange(1, 126),
        )
    if kind == 4:
        return pack(">BHH", random.choice((3, 4, 5, 6, 0x20)), *_two_words(random))
    if kind == 5:
        count = random.randrange(130)
        return pack(">BHHB", 16, 0, count, 2 * count & 0xFF) + random.randbytes(
            2 * count
        )
    return random.randbytes(random.randrange(1, 40))


def _two_words(random: Random) -> tuple[int, int]:
    return random.randrange(0x10000), random.randrange(0x10000)


def spoilt(random: Random, octets: bytes) -> bytes:
    """Return octets as they are, or with something wrong about them."""
    kind = random.randrange(8)
    at = random.randrange(len(octets) + 1)
    if kind == 0:
        return octets[:at]
    if kind == 1:
        return octets[:at] + random.randbytes(random.randrange(1, 9)) + octets[at:]
    if kind == 2 and at < len(octets):
        return (
            octets[:at]
            + bytes((octets[at] ^ 1 << random.randrange(8),))
            + octets[at + 1 :]
        )
    if kind == 3:
        return random.randbytes(random.randrange(600))
    return octets


def tcp_request(random: Random) -> bytes:
    """Return a request of Modbus TCP."""
    pdu = any_pdu(random)
    unit = random.choice((0, 1, 1, 1, 2, 255))
    return pack(_HEADER, random.randrange(0x10000), 0, len(pdu) + 1, unit) + pdu


def rtu_request(random: Random) -> bytes:
    """Return a request of a serial line."""
    return rtu_frame(random.choice((0, 1, 1, 1, 2, 255)), any_pdu(random))


async def async_send(
    random: Random, octets: bytes, take: Callable[[bytes], None]
) -> None:
    """Hand octets over in pieces of any size; now and then others have their turn."""
    at = 0
    while at < len(octets):
        size = random.choice((1, 2, 7, 8, 13, 64, READ_AT_ONCE))
        take(octets[at : at + size])
        at += size
        if random.randrange(4) == 0:
            await asyncio.sleep(0)


class Campaign:
    """Clients of one gateway, one after the other."""

    def __init__(self, seed: int) -> None:
        """Do the same for the same seed."""
        self.report = Report()
        self._random = Random(seed)
        self._unit = HeldUnit()
        self._gateway = Gateway({1: self._unit}, pace=Pace(first_gap=0.0))
        self._server = Server(self._gateway, limits=UNLIMITED)

    async def async_run(self, connections: int) -> Report:
        """Let so many clients come, send something and go."""
        await self._gateway.start()
        tracemalloc.start()
        held = 0
        try:
            for number in range(connections):
                if number == connections // 10:
                    held = self._held()
                await self._connection()
            self.report.grown = self._held() - held
        finally:
            tracemalloc.stop()
            await self._gateway.stop()
        self.report.garbage = self._gateway.statistics.garbage
        return self.report

    def _held(self) -> int:
        """Return the octets that are held beside blocks and allowed reads, which have limits."""
        # A new policy has them forgotten.
        self._gateway.policy = self._gateway.policy
        return tracemalloc.get_traced_memory()[0]

    async def _connection(self) -> None:
        random = self._random
        self.report.connections += 1
        over_tcp = random.random() < 0.5
        make = tcp_request if over_tcp else rtu_request
        how_bad = random.random()
        octets = b"".join(
            spoilt(random, make(random)) if random.random() < how_bad else make(random)
            for _ in range(random.randrange(1, 12))
        )
        self.report.octets += len(octets)
        try:
            await (self._by_tcp if over_tcp else self._by_line)(octets)
        except Exception as err:  # noqa: BLE001 - it is what is looked for
            self.report.errors.append(f"{err!r}: {octets.hex()}")
        self._unit.reads.clear()

    async def _by_tcp(self, octets: bytes) -> None:
        line = Line()
        connection = TcpConnection(self._server)
        connection.connection_made(line)

        def take(piece: bytes) -> None:
            if line.is_open:
                connection.get_buffer(-1)[: len(piece)] = piece
                connection.buffer_updated(len(piece))

        await async_send(self._random, octets, take)
        await self._quiet(connection.client)
        self.report.hung_up += not line.is_open
        self.report.answers += self._check_tcp(octets, bytes(line.sent))
        connection.close()

    async def _by_line(self, octets: bytes) -> None:
        client = Client(name="line", kind=ClientKind.TERMINAL, peer="line")
        self._gateway.join(client)
        sent: list[bytes] = []
        session = RtuSession(
            self._gateway, client, sent.append, stand_in=self._random.choice((None, 1))
        )
        await async_send(self._random, octets, session.feed)
        await self._quiet(client)
        for answer in sent:
            assert crc16(answer) == 0
            assert len(answer) <= MOST_OCTETS
        self.report.answers += len(sent)
        session.close()
        self._gateway.leave(client)

    async def _quiet(self, client: Client) -> None:
        """Wait until a client has all its answers, if it is still there."""
        async with asyncio.timeout(30):
            while client.waiting and client in self._gateway.clients:
                await asyncio.sleep(0)

    def _check_tcp(self, octets: bytes, sent: bytes) -> int:
        """Return how many answers there are; each has a transaction that was asked for."""
        asked: Counter[tuple[int, int]] = Counter()
        at = 0
        while len(octets) - at >= _HEADER_OCTETS:
            transaction, protocol, length, unit = unpack_from(_HEADER, octets, at)
            if protocol or not 2 <= length <= 254:
                break
            asked[transaction, unit] += 1
            at += 6 + length
        at = answers = 0
        while at < len(sent):
            transaction, protocol, length, unit = unpack_from(_HEADER, sent, at)
            assert protocol == 0
            assert asked[transaction, unit] > 0
            asked[transaction, unit] -= 1
            at += 6 + length
            answers += 1
        assert at == len(sent)
        return answers


if __name__ == "__main__":
    report = asyncio.run(Campaign(seed=1).async_run(int(sys.argv[1])))
    print(report)  # noqa: T201
