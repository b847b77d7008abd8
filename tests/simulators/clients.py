"""What tests talk to simulators with: pymodbus's client, and bare bytes."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass

from pymodbus import FramerType
from pymodbus.client import AsyncModbusTcpClient
from pymodbus.exceptions import ModbusIOException
import pytest

PATIENCE = 2.0
"""Seconds within which an answer must come."""

NEVER = 0.12
"""Seconds after which an answer that is not expected will not come."""


@asynccontextmanager
async def tcp_client(
    port: int, framer: FramerType = FramerType.SOCKET
) -> AsyncIterator[AsyncModbusTcpClient]:
    """Connect a client that asks once and does not come back by itself."""
    client = AsyncModbusTcpClient(
        "127.0.0.1",
        port=port,
        framer=framer,
        timeout=PATIENCE,
        retries=0,
        reconnect_delay=0,
    )
    assert await client.connect()
    try:
        yield client
    finally:
        client.close()


@contextmanager
def no_answer(client: AsyncModbusTcpClient) -> Iterator[None]:
    """Expect that what is asked inside is not answered, or not with anything sound."""
    params = client.ctx.comm_params
    params.timeout_connect = NEVER
    with pytest.raises(ModbusIOException):
        yield
    params.timeout_connect = PATIENCE


def crc(octets: bytes) -> bytes:
    """Return the checksum of an RTU frame, low byte first (MODBUS over Serial Line, 6.2.2)."""
    register = 0xFFFF
    for octet in octets:
        register ^= octet
        for _ in range(8):
            register = register >> 1 ^ (0xA001 if register & 1 else 0)
    return register.to_bytes(2, "little")


def rtu(unit: int, pdu: bytes) -> bytes:
    """Return an RTU frame."""
    frame = bytes((unit,)) + pdu
    return frame + crc(frame)


def mbap(unit: int, pdu: bytes, transaction: int = 1) -> bytes:
    """Return a Modbus TCP frame."""
    return (
        transaction.to_bytes(2)
        + bytes(2)
        + (len(pdu) + 1).to_bytes(2)
        + bytes((unit,))
        + pdu
    )


def read_pdu(function: int, address: int, count: int) -> bytes:
    """Return the PDU of a read."""
    return bytes((function,)) + address.to_bytes(2) + count.to_bytes(2)


@dataclass
class Bare:
    """A connection that sends and gets bytes as they are."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    def send(self, octets: bytes) -> None:
        """Send bytes."""
        self.writer.write(octets)

    async def ask(self, octets: bytes, size: int) -> bytes:
        """Send bytes and return the next ``size`` bytes that come."""
        self.send(octets)
        async with asyncio.timeout(PATIENCE):
            return await self.reader.readexactly(size)

    async def rest(self, wait: float = NEVER) -> bytes:
        """Return all that comes within a time."""
        octets = b""
        with suppress(TimeoutError):
            async with asyncio.timeout(wait):
                while piece := await self.reader.read(4096):
                    octets += piece
        return octets

    async def ends(self) -> bool:
        """Return whether the other side hangs up."""
        try:
            async with asyncio.timeout(PATIENCE):
                return not await self.reader.read(1)
        except ConnectionResetError:
            return True


@asynccontextmanager
async def bare(port: int) -> AsyncIterator[Bare]:
    """Connect without any protocol."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        yield Bare(reader, writer)
    finally:
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()
