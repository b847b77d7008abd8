"""Clients in the network: pymodbus, many at once, and such that mean no good."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
import socket
from struct import pack, unpack

from pymodbus import FramerType
from pymodbus.client import AsyncModbusTcpClient
import pytest

from custom_components.local_solar import guarded
from custom_components.local_solar.gateway import server as server_module
from custom_components.local_solar.gateway.bus import Pace
from custom_components.local_solar.gateway.framing import rtu_frame
from custom_components.local_solar.gateway.gateway import Gateway
from custom_components.local_solar.gateway.policy import Policy, parse_network
from custom_components.local_solar.gateway.server import (
    MOST_WAITING,
    READ_AT_ONCE,
    Limits,
    Server,
)

from .helpers import PROMPT, HeldUnit, read_pdu, words

LOOPBACK = "127.0.0.1"

pytestmark = pytest.mark.usefixtures("socket_enabled")


@asynccontextmanager
async def serving(
    *units: HeldUnit,
    rtu: bool = False,
    limits: Limits | None = None,
    policy: Policy | None = None,
    pace: Pace = PROMPT,
) -> AsyncIterator[Server]:
    """Serve units 1, 2 and so on."""
    gateway = Gateway(dict(enumerate(units, 1)), pace=pace, policy=policy)
    server = Server(gateway, rtu=rtu, limits=limits)
    await gateway.start()
    await server.start(LOOPBACK, 0)
    try:
        yield server
    finally:
        for unit in units:
            unit.release()
        await server.stop()
        await gateway.stop()


@asynccontextmanager
async def pymodbus(
    server: Server, *, rtu: bool = False
) -> AsyncIterator[AsyncModbusTcpClient]:
    """Connect an independent client."""
    framer = FramerType.RTU if rtu else FramerType.SOCKET
    client = AsyncModbusTcpClient(LOOPBACK, port=server.port, framer=framer, retries=0)
    assert await client.connect()
    try:
        yield client
    finally:
        client.close()


class Raw:
    """A client that says what it likes."""

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        """Speak through streams."""
        self.reader = reader
        self.writer = writer

    def ask(self, transaction: int, pdu: bytes, unit: int = 1) -> None:
        """Send a request."""
        self.writer.write(frame(transaction, pdu, unit))

    async def answer(self) -> tuple[int, int, bytes]:
        """Return transaction, unit and PDU of the next answer."""
        async with asyncio.timeout(10):
            head = await self.reader.readexactly(7)
            transaction, protocol, length, unit = unpack(">HHHB", head)
            assert protocol == 0
            return transaction, unit, await self.reader.readexactly(length - 1)

    async def is_hung_up(self) -> bool:
        """Wait until the other end hangs up."""
        async with asyncio.timeout(10):
            try:
                return await self.reader.read() == b""
            except ConnectionError:
                return True


def frame(transaction: int, pdu: bytes, unit: int = 1) -> bytes:
    """Return a request of Modbus TCP."""
    return pack(">HHHB", transaction, 0, len(pdu) + 1, unit) + pdu


@asynccontextmanager
async def raw(server: Server) -> AsyncIterator[Raw]:
    """Connect a client that says what it likes."""
    reader, writer = await asyncio.open_connection(LOOPBACK, server.port)
    try:
        yield Raw(reader, writer)
    finally:
        writer.transport.abort()


async def flooded(connection: socket.socket, data: bytes) -> None:
    """Send the same again and again, until that cannot be any more."""
    while True:
        await asyncio.get_running_loop().sock_sendall(connection, data)


async def until(condition: Callable[[], bool]) -> None:
    """Wait for something to become true."""
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.005)


# -- an independent client --------------------------------------------------------------


@pytest.mark.parametrize("rtu", [False, True])
async def test_pymodbus_reads_through_the_gateway(rtu: bool) -> None:
    async with serving(HeldUnit(), HeldUnit(), rtu=rtu) as server:
        async with pymodbus(server, rtu=rtu) as client:
            answer = await client.read_holding_registers(100, count=5, device_id=1)
            assert answer.registers == [100, 101, 102, 103, 104]
            answer = await client.read_input_registers(0, count=125, device_id=2)
            assert answer.registers == list(range(125))
            answer = await client.read_holding_registers(0, count=1, device_id=9)
            assert answer.exception_code == 10
            answer = await client.write_register(0, 1, device_id=1)
            assert answer.exception_code == 1
            answer = await client.read_coils(0, count=1, device_id=1)
            assert answer.exception_code == 1
            (seen,) = server.gateway.clients
            assert seen.peer == LOOPBACK
            assert seen.requests == 5
        await until(lambda: not server.gateway.clients)


async def test_many_clients_at_once_get_their_own() -> None:
    async def poll(server: Server, number: int) -> None:
        async with pymodbus(server) as client:
            for _ in range(5):
                answer = await client.read_holding_registers(
                    100 * number, count=3, device_id=1
                )
                assert answer.registers == [100 * number + n for n in range(3)]

    async with serving(HeldUnit()) as server:
        async with asyncio.timeout(30):
            await asyncio.gather(*(poll(server, number) for number in range(64)))


# -- framing ----------------------------------------------------------------------------


@pytest.mark.parametrize("size", [1, 2, 7, 11, 13, 1000])
async def test_requests_are_answered_however_they_are_cut(size: int) -> None:
    sent = b"".join(frame(n, read_pdu(n, 1 + n % 5)) for n in range(12))
    async with serving(HeldUnit()) as server, raw(server) as client:
        for start in range(0, len(sent), size):
            client.writer.write(sent[start : start + size])
            await client.writer.drain()
            await asyncio.sleep(0)
        answers = [await client.answer() for _ in range(12)]
    assert sorted(answers) == [(n, 1, words(n, 1 + n % 5)) for n in range(12)]


async def test_the_unit_id_comes_back_as_it_was_asked_with() -> None:
    async with serving(HeldUnit()) as server, raw(server) as client:
        for unit in (0, 1, 255):
            client.ask(7, read_pdu(5), unit)
            assert await client.answer() == (7, unit, words(5))


@pytest.mark.parametrize(
    "garbage",
    [
        b"GET / HTTP/1.1\r\n\r\n",
        pack(">HHHB", 1, 0, 0xFFFF, 1),
        pack(">HHHB", 1, 0, 1, 1),
        pack(">HHHB", 1, 1, 6, 1) + read_pdu(0),
        bytes(100),
    ],
)
async def test_who_sends_what_is_no_modbus_is_hung_up_on(garbage: bytes) -> None:
    async with serving(HeldUnit()) as server:
        async with raw(server) as client:
            client.writer.write(frame(1, read_pdu(0)) + garbage)
            assert await client.is_hung_up()
        assert server.gateway.statistics.garbage == 1
        assert not server.gateway.clients


async def test_garbage_of_an_rtu_client_is_counted_and_it_may_go_on() -> None:
    async with serving(HeldUnit(), rtu=True) as server, raw(server) as client:
        client.writer.write(b"\x01\x03\x00\x00\x00\x01\x00\x00")
        await until(lambda: server.gateway.statistics.garbage > 0)
        client.writer.write(rtu_frame(1, read_pdu(7)))
        async with asyncio.timeout(10):
            answer = await client.reader.readexactly(7)
    assert answer == rtu_frame(1, words(7))


# -- limits -----------------------------------------------------------------------------


async def test_ten_thousand_requests_at_once_are_answered_and_others_beside_them() -> (
    None
):
    async with (
        serving(HeldUnit(), limits=Limits(requests_per_second=1e6, burst=1)) as server,
        raw(server) as flood,
        pymodbus(server) as other,
    ):
        flood.writer.write(b"".join(frame(n, read_pdu(n % 50)) for n in range(10_000)))
        answer = await other.read_holding_registers(100, count=1, device_id=1)
        assert answer.registers == [100]
        answers = [await flood.answer() for _ in range(10_000)]
    assert sorted(answers) == sorted((n, 1, words(n % 50)) for n in range(10_000))


async def test_a_client_has_few_requests_waiting_and_the_rest_stays_with_it() -> None:
    unit = HeldUnit()
    unit.hold()
    async with serving(unit) as server, raw(server) as client:
        client.writer.write(b"".join(frame(n, read_pdu(n)) for n in range(200)))
        await unit.asked.wait()
        (seen,) = server.gateway.clients
        await until(lambda: seen.waiting == MOST_WAITING)
        assert seen.requests == MOST_WAITING
        unit.release()
        for n in range(200):
            assert await client.answer() == (n, 1, words(n))


async def test_who_asks_too_fast_is_read_from_more_slowly() -> None:
    limits = Limits(requests_per_second=200, burst=10)
    async with serving(HeldUnit(), limits=limits) as server, raw(server) as client:
        loop = asyncio.get_running_loop()
        started = loop.time()
        for n in range(200):
            client.ask(n, read_pdu(0))
        for _ in range(200):
            await client.answer()
        # What is read at once is answered at once: the pause comes after it.
        at_once = READ_AT_ONCE // 12 + limits.burst
        assert loop.time() - started > (200 - 2 * at_once) / 200


async def test_who_does_not_read_is_not_listened_to_and_shut_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(guarded, "UNREAD", 0.1)
    monkeypatch.setattr(guarded, "TICK", 0.05)
    limits = Limits(requests_per_second=1e6, burst=1_000_000)
    async with serving(HeldUnit(), limits=limits) as server:
        deaf = socket.socket()
        deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        deaf.connect((LOOPBACK, server.port))
        deaf.setblocking(False)
        flood = frame(1, read_pdu(0, 125)) * 100
        with pytest.raises(ConnectionError):
            await asyncio.wait_for(flooded(deaf, flood), 20)
        deaf.close()
        await until(lambda: not server.gateway.clients)
        async with pymodbus(server) as other:
            answer = await other.read_holding_registers(3, count=1, device_id=1)
            assert answer.registers == [3]


async def test_who_does_not_complete_a_request_is_shut_out_and_who_is_idle_is_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(server_module, "COMPLETED_WITHIN", 0.1)
    monkeypatch.setattr(guarded, "TICK", 0.05)
    async with serving(HeldUnit()) as server, raw(server) as half, raw(server) as idle:
        half.writer.write(frame(1, read_pdu(0))[:9])
        idle.ask(1, read_pdu(0))
        await idle.answer()
        assert await half.is_hung_up()
        idle.ask(2, read_pdu(1))
        assert await idle.answer() == (2, 1, words(1))


async def test_more_connections_than_are_taken_on_are_refused_until_one_goes() -> None:
    async with (
        serving(HeldUnit(), limits=Limits(connections=2)) as server,
        raw(server) as first,
        raw(server) as second,
    ):
        for client in (first, second):
            client.ask(1, read_pdu(0))
            await client.answer()
        async with raw(server) as third:
            assert await third.is_hung_up()
        assert server.gateway.statistics.refused_connections == 1
        first.writer.close()
        await until(lambda: len(server.gateway.clients) == 1)
        async with raw(server) as fourth:
            fourth.ask(1, read_pdu(9))
            assert await fourth.answer() == (1, 1, words(9))


async def test_who_was_silent_for_long_makes_room(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(server_module, "MAKES_ROOM", 0.0)
    async with (
        serving(HeldUnit(), limits=Limits(connections=1)) as server,
        raw(server) as old,
    ):
        old.ask(1, read_pdu(0))
        await old.answer()
        async with raw(server) as new:
            new.ask(1, read_pdu(4))
            assert await new.answer() == (1, 1, words(4))
        assert await old.is_hung_up()


async def test_only_expected_peers_are_taken() -> None:
    policy = Policy(peers=(parse_network("10.0.0.0/8"),))
    async with serving(HeldUnit(), policy=policy) as server:
        async with raw(server) as client:
            assert await client.is_hung_up()
        assert server.gateway.statistics.refused_connections == 1
        server.gateway.policy = Policy(peers=(parse_network("127.0.0.0/8"),))
        async with pymodbus(server) as client_:
            answer = await client_.read_holding_registers(1, count=1, device_id=1)
            assert answer.registers == [1]


# -- coming and going -------------------------------------------------------------------


async def test_a_client_that_vanishes_in_mid_request_leaves_no_trace() -> None:
    unit = HeldUnit()
    unit.hold()
    async with serving(unit) as server:
        async with raw(server) as gone:
            gone.ask(1, read_pdu(0))
            gone.ask(2, read_pdu(50))
            await unit.asked.wait()
        await until(lambda: not server.gateway.clients)
        unit.release()
        async with pymodbus(server) as other:
            answer = await other.read_holding_registers(3, count=1, device_id=1)
            assert answer.registers == [3]
    assert [address for _, address, _ in unit.reads] == [0, 3]


@pytest.mark.parametrize("rtu", [False, True])
async def test_stopping_hangs_up_on_everyone_and_frees_the_port(rtu: bool) -> None:
    unit = HeldUnit()
    unit.hold()
    async with serving(unit, rtu=rtu) as server:
        port = server.port
        async with raw(server) as client:
            client.ask(1, read_pdu(0))
            await until(lambda: len(server.gateway.clients) == 1)
            await server.stop()
            assert await client.is_hung_up()
        again = Server(server.gateway)
        await again.start(LOOPBACK, port)
        await again.stop()


async def test_a_port_that_is_taken_is_an_error() -> None:
    async with serving(HeldUnit()) as server:
        with pytest.raises(OSError, match="address already in use"):
            await Server(server.gateway).start(LOOPBACK, server.port)


async def test_the_same_port_of_another_kind_keeps_its_own_buffer() -> None:
    async with serving(HeldUnit()) as tcp:
        rtu = Server(tcp.gateway, rtu=True)
        await rtu.start(LOOPBACK, 0)
        async with pymodbus(tcp) as one, pymodbus(rtu, rtu=True) as two:
            answers = await asyncio.gather(
                one.read_holding_registers(1, count=1, device_id=1),
                two.read_holding_registers(2, count=1, device_id=1),
            )
            assert [answer.registers for answer in answers] == [[1], [2]]
        await rtu.stop()
