"""The least that a server of one unit can be, for ``benchmarks.gateway``.

It answers one request after the other from the same library's unit, and trusts everybody:
no turns, no checks, no cache, no limits. What it takes longer than the bare loop is what
clients cost any server on the same computer.
"""

import asyncio
from collections import deque
from struct import Struct, pack
from typing import Final, override

from modbus_connection import ModbusUnit

from .gateway_words import READ_HOLDING

HOST: Final = "127.0.0.1"

_REQUEST: Final = Struct(">HHHBBHH")


class _Connection(asyncio.Protocol):
    def __init__(self, server: MinimalServer) -> None:
        self._server = server

    @override
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    @override
    def data_received(self, data: bytes) -> None:
        self._server.waiting.append((self._transport, data))
        self._server.work.set()


class MinimalServer:
    """Serves reads of a unit, one request in each segment."""

    def __init__(self, unit: ModbusUnit) -> None:
        """Serve ``unit``."""
        self._unit = unit
        self.waiting: deque[tuple[asyncio.Transport, bytes]] = deque()
        self.work = asyncio.Event()

    async def start(self) -> int:
        """Serve; return the port."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: _Connection(self), HOST, 0)
        self._worker = loop.create_task(self._run())
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    async def _run(self) -> None:
        while True:
            while self.waiting:
                transport, data = self.waiting.popleft()
                transport.write(await self._answer(data))
            self.work.clear()
            await self.work.wait()

    async def _answer(self, data: bytes) -> bytes:
        transaction, _, _, unit, function, first, length = _REQUEST.unpack(data)
        if function == READ_HOLDING:
            words = await self._unit.read_holding_registers(first, length)
        else:
            words = await self._unit.read_input_registers(first, length)
        octets = 2 * length
        head = (transaction, 0, 3 + octets, unit, function, octets)
        return pack(f">HHHBBB{length}H", *head, *words)
