"""Units that a test holds up, clients, and asking a gateway by hand."""

import asyncio
from collections.abc import Callable, Iterable
from struct import pack
from typing import Final, override

from modbus_connection import IllegalDataAddressError
from modbus_connection.mock import MockModbusConnection, MockModbusUnit

from custom_components.local_solar.gateway.bus import Pace
from custom_components.local_solar.gateway.clients import Client, ClientKind
from custom_components.local_solar.gateway.gateway import Gateway
from custom_components.local_solar.gateway.pdu import READ_HOLDING, READ_INPUT, Request

PROMPT: Final = Pace(first_gap=0.0)

type Read = tuple[int, int, int]
"""Function, address and length."""


class HeldUnit(MockModbusUnit):
    """A unit whose answers a test may hold back; each word is its own address."""

    def __init__(self, unit: int = 1) -> None:
        """Answer at once."""
        super().__init__(MockModbusConnection(), unit)
        self.reads: list[Read] = []
        """What it was asked, in order."""
        self.asked = asyncio.Event()
        self.error: Exception | None = None
        self.longest = 125
        """Longer reads are refused."""
        self.missing = 0
        """So many words less than asked for are answered."""
        self.offset = 0
        """Is added to each word: a write has changed them."""
        self.takes: Callable[[], None] = lambda: None
        """Lets the time pass that an answer takes."""
        self._go_on = asyncio.Event()
        self._go_on.set()

    def hold(self) -> None:
        """Answer nothing until released."""
        self._go_on.clear()

    def release(self) -> None:
        """Answer, also what was asked meanwhile."""
        self._go_on.set()

    @override
    async def read_holding_registers(self, address: int, count: int) -> list[int]:
        return await self._read(READ_HOLDING, address, count)

    @override
    async def read_input_registers(self, address: int, count: int) -> list[int]:
        return await self._read(READ_INPUT, address, count)

    async def _read(self, function: int, address: int, count: int) -> list[int]:
        await self._ensure_connected()
        self.reads.append((function, address, count))
        self.asked.set()
        offset = self.offset
        await self._go_on.wait()
        self.takes()
        if self.error is not None:
            raise self.error
        if count > self.longest:
            raise IllegalDataAddressError
        return [
            (place + offset) & 0xFFFF
            for place in range(address, address + count - self.missing)
        ]


def make_client(
    name: str = "10.0.0.1:1000", kind: ClientKind = ClientKind.TCP
) -> Client:
    """Return a client; its peer is its name without the port."""
    return Client(name=name, kind=kind, peer=name.rpartition(":")[0] or name)


DONGLE: Final = ClientKind.DONGLE


def read_pdu(address: int, length: int = 1, function: int = READ_HOLDING) -> bytes:
    """Return a request for registers."""
    return pack(">BHH", function, address, length)


def words(address: int, length: int = 1, function: int = READ_HOLDING) -> bytes:
    """Return the answer of a ``HeldUnit``."""
    octets = pack(f">{length}H", *range(address, address + length))
    return bytes((function, len(octets))) + octets


def read(address: int, length: int = 1, unit: int = 1) -> Request:
    """Return a request for holding registers."""
    return Request(unit, READ_HOLDING, address, length)


class Asked:
    """Requests of a test, and what they were answered."""

    def __init__(self, gateway: Gateway) -> None:
        """Ask ``gateway``."""
        self._gateway = gateway
        self.answers: list[tuple[str, bytes | None]] = []
        """Name of the client and answer, in the order they came."""

    def ask(
        self, client: Client, pdu: bytes, unit: int = 1
    ) -> asyncio.Future[bytes | None]:
        """Ask, and return what will be answered."""
        future: asyncio.Future[bytes | None] = (
            asyncio.get_running_loop().create_future()
        )

        def reply(answer: bytes | None) -> None:
            self.answers.append((client.name, answer))
            future.set_result(answer)

        self._gateway.take(client, unit, pdu, reply)
        return future


async def settled(
    futures: Iterable[asyncio.Future[bytes | None]],
) -> list[bytes | None]:
    """Return all answers, in the order they were asked for."""
    async with asyncio.timeout(10):
        return list(await asyncio.gather(*futures))
