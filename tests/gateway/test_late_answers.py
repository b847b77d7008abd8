"""Late answers, over the real stack: each word tells where it was read, and all is in a hurry.

Times are a tenth of what they are: answers are up to 0.3 s late where 3 s were recorded.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from random import Random
from struct import pack, unpack
from typing import Final, override

from modbus_connection import ModbusSerialParams
from modbus_connection.tmodbus import ModbusConnection
import pytest

from custom_components.local_solar.gateway import breaker, bus, late_answers
from custom_components.local_solar.gateway.bus import Pace
from custom_components.local_solar.gateway.framing import Frame, RtuRequests, rtu_frame
from custom_components.local_solar.gateway.gateway import Gateway
from custom_components.local_solar.gateway.pdu import (
    GATEWAYS_OWN,
    ExceptionCode,
    exception_answer,
)

from .helpers import make_client, read_pdu

HURRY: Final = 0.1
"""How much faster all goes than it does."""

TIMEOUT: Final = 1.5 * HURRY
PIECE: Final = 0.016
NOT_THERE: Final = 0x6000
"""From this address on the device has no registers."""

pytestmark = [
    pytest.mark.usefixtures("socket_enabled", "hurry"),
]


@pytest.fixture
def hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let all times shrink with those of the device."""
    monkeypatch.setattr(late_answers, "LATEST", late_answers.LATEST * HURRY)
    monkeypatch.setattr(bus, "STRAY", bus.STRAY * HURRY)
    # Units that are left alone show nothing.
    monkeypatch.setattr(breaker, "SHORTEST", 0.02)
    monkeypatch.setattr(breaker, "LONGEST", 0.02)


def word_of(unit: int, function: int, address: int) -> int:
    """Return what a register holds: where it is, as well as 16 bits can tell."""
    return (address + 12_345 * function + 1_234 * unit) & 0xFFFF


class Device(asyncio.Protocol):
    """Units behind a bridge, which hands on what comes to all who are connected."""

    def __init__(self, lateness: Callable[[], float], *, in_order: bool) -> None:
        """Answer as late as ``lateness`` says, all after such an answer later still or not."""
        self.is_in_pieces = False
        self.requests = 0
        self.late = 0
        self._lateness = lateness
        self._in_order = in_order
        self._free_at = 0.0
        self._under_way: list[asyncio.TimerHandle] = []
        self._requests = RtuRequests()
        self._transport: asyncio.Transport | None = None

    @override
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    @override
    def data_received(self, data: bytes) -> None:
        for item in self._requests.feed(data):
            assert isinstance(item, Frame)
            self._answer(item)

    def _answer(self, request: Frame) -> None:
        function, address, length = unpack(">BHH", request.pdu)
        answer = exception_answer(function, 2)
        if address + length <= NOT_THERE:
            words = [
                word_of(request.unit, function, place)
                for place in range(address, address + length)
            ]
            answer = pack(f">BB{length}H", function, 2 * length, *words)
        self.requests += 1
        lateness = self._lateness()
        self.late += lateness > TIMEOUT
        loop = asyncio.get_running_loop()
        at = loop.time() + lateness
        if self._in_order:
            at = self._free_at = max(at, self._free_at + 0.002)
        octets = rtu_frame(request.unit, answer)
        size = 16 if self.is_in_pieces else len(octets)
        for begin in range(0, len(octets), size):
            piece = octets[begin : begin + size]
            self._under_way.append(loop.call_at(at, self._send, piece))
            at += PIECE

    def stop(self) -> None:
        """Answer nothing any more."""
        for piece in self._under_way:
            piece.cancel()

    def _send(self, octets: bytes) -> None:
        if self._transport is not None:
            self._transport.write(octets)


@asynccontextmanager
async def sharing(device: Device) -> AsyncIterator[Gateway]:
    """Share a device with a real link in between."""
    server = await asyncio.get_running_loop().create_server(
        lambda: device, "127.0.0.1", 0
    )
    port: int = server.sockets[0].getsockname()[1]
    link = ModbusConnection(ModbusSerialParams(device=f"socket://127.0.0.1:{port}"))
    gateway = Gateway(
        {1: link.for_unit(1), 2: link.for_unit(2)},
        pace=Pace(first_gap=0.0, timeout=TIMEOUT, max_age=0.0),
    )
    await gateway.start()
    try:
        yield gateway
    finally:
        await gateway.stop()
        await link.close()
        device.stop()
        server.close()
        await server.wait_closed()


async def ask(
    gateway: Gateway, random: Random, enough: int, *, addresses: int = 0x8000
) -> None:
    """Ask for this and that until enough has been answered.

    Raises ``AssertionError`` if an answer tells of another place, or that registers are not
    there which are.
    """
    client = make_client(f"10.0.0.{random.randrange(256)}:1")
    while enough:
        unit, function = random.choice((1, 1, 1, 2)), random.choice((3, 3, 4))
        address, length = random.randrange(addresses), random.choice((1, 2, 2, 10))
        future: asyncio.Future[bytes | None] = (
            asyncio.get_running_loop().create_future()
        )
        gateway.take(
            client, unit, read_pdu(address, length, function), future.set_result
        )
        answer = await future
        assert answer is not None
        if answer[0] == function:
            assert unpack(f">{length}H", answer[2:]) == tuple(
                word_of(unit, function, place)
                for place in range(address, address + length)
            )
        elif answer[1] == ExceptionCode.ILLEGAL_ADDRESS:
            assert address + length > NOT_THERE
        else:
            assert answer[1] in GATEWAYS_OWN
            await asyncio.sleep(breaker.SHORTEST)
            continue
        enough -= 1


@pytest.mark.parametrize("in_order", [False, True])
@pytest.mark.parametrize("late", [0.5, 1.0, 1.6, 2.0, 3.0])
async def test_no_value_and_no_refusal_is_handed_to_anyone_but_who_asked(
    late: float, in_order: bool
) -> None:
    random = Random(f"{late} {in_order}")
    device = Device(lambda: HURRY * late * (random.random() < 0.25), in_order=in_order)
    async with sharing(device) as gateway, asyncio.timeout(60):
        await asyncio.gather(*(ask(gateway, Random(n), 5) for n in range(6)))
    assert device.late > 3 or late < 1.5


async def test_late_answers_in_pieces_are_taken_for_no_others() -> None:
    random = Random(16)
    device = Device(
        lambda: HURRY * random.choice((0, 0, 0, 1.5, 2.0, 2.5)), in_order=False
    )
    device.is_in_pieces = True
    async with sharing(device) as gateway, asyncio.timeout(60):
        await asyncio.gather(
            *(ask(gateway, Random(n), 6, addresses=0x6000) for n in range(6))
        )
    assert device.late > 3
