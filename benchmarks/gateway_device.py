"""Devices of ``benchmarks.gateway`` in a process of their own: lines with units on them.

A line has a pace or none. Its device answers every read with the words of
``gateway_words``, over Modbus TCP, RTU over TCP or a pseudo-terminal, and what goes wrong
can be changed while it serves. The loop waits with ``select``, which is exact where
``epoll`` rounds up to a millisecond.
"""

import asyncio
from functools import partial
import os
from selectors import SelectSelector
import time
import tty
from typing import Any, Final, override

from custom_components.local_solar.modbus.crc import crc16
from simulators.wire import SerialLine

from .asking import Answer, async_answer_questions
from .gateway_line import (
    MBAP,
    REQUEST_OCTETS,
    Fault,
    Kind,
    Line,
    Send,
    rtu_frame,
    tcp_frame,
)

HOST: Final = "127.0.0.1"


class TcpConnection(asyncio.Protocol):
    """A client by Modbus TCP."""

    def __init__(self, line: Line, connections: set[asyncio.Transport]) -> None:
        """Lead to a line."""
        self._line = line
        self._connections = connections
        self._rest = b""

    @override
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._connections.add(transport)

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        self._connections.discard(self._transport)

    @override
    def data_received(self, data: bytes) -> None:
        data = self._rest + data
        while len(data) > MBAP:
            end = 6 + int.from_bytes(data[4:6])
            if len(data) < end:
                break
            self._line.receive(
                data[6],
                data[MBAP:end],
                partial(tcp_frame, data[:MBAP]),
                self._transport.write,
            )
            data = data[end:]
        self._rest = data


class RtuReader:
    """Cuts what comes into reads of eight bytes; what is none is thrown away."""

    def __init__(self, line: Line, send: Send) -> None:
        """Lead to a line."""
        self._line = line
        self._send = send
        self._rest = b""

    def feed(self, data: bytes) -> None:
        """Take in bytes."""
        data = self._rest + data
        while len(data) >= REQUEST_OCTETS:
            frame, data = data[:REQUEST_OCTETS], data[REQUEST_OCTETS:]
            if crc16(frame):
                data = b""
                break
            self._line.receive(
                frame[0], frame[1:-2], partial(rtu_frame, frame[0]), self._send
            )
        self._rest = data


class RtuConnection(asyncio.Protocol):
    """A client by RTU over TCP.

    An answer goes to whoever is connected when it leaves: the server in front of a bus
    does not know whose it is.
    """

    def __init__(self, line: Line, connections: set[asyncio.Transport]) -> None:
        """Lead to a line."""
        self._connections = connections
        self._reader = RtuReader(line, self._send)

    def _send(self, packet: bytes) -> None:
        for transport in self._connections:
            transport.write(packet)

    @override
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._connections.add(transport)

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        self._connections.discard(self._transport)

    @override
    def data_received(self, data: bytes) -> None:
        self._reader.feed(data)


class Terminal:
    """A client by a pseudo-terminal, which stays when it leaves."""

    def __init__(self, line: Line) -> None:
        """Lead to a line."""
        self._ours, self._theirs = os.openpty()
        tty.setraw(self._theirs)
        os.set_blocking(self._ours, False)
        self.path: Final = os.ttyname(self._theirs)
        self._reader = RtuReader(line, self._send)
        asyncio.get_running_loop().add_reader(self._ours, self._read)

    def _read(self) -> None:
        self._reader.feed(os.read(self._ours, 4096))

    def _send(self, packet: bytes) -> None:
        try:
            os.write(self._ours, packet)
        except BlockingIOError:
            # Nobody has it open and reads.
            return


class Device:
    """A line and how it is reached: ``tcp``, ``rtu`` or ``pty``."""

    def __init__(self, link: str, line: Line) -> None:
        """Reach ``line`` by ``link``."""
        self.line = line
        self._link = link
        self._connections: set[asyncio.Transport] = set()
        self._server: asyncio.Server | None = None
        self._port = 0

    async def open(self) -> Answer:
        """Serve; return where."""
        if self._link == "pty":
            return {"path": Terminal(self.line).path}
        protocol = TcpConnection if self._link == "tcp" else RtuConnection
        self._server = await asyncio.get_running_loop().create_server(
            lambda: protocol(self.line, self._connections), HOST, self._port
        )
        self._port = self._server.sockets[0].getsockname()[1]
        return {"port": self._port}

    async def set_gone(self, gone: bool) -> None:
        """Go away, or come back at the same place."""
        self.line.is_gone = gone
        if self._link == "pty":
            return
        if gone and self._server is not None:
            self._server.close()
            self._server = None
            for connection in list(self._connections):
                connection.abort()
        elif not gone and self._server is None:
            await self.open()


def _line(question: Answer) -> Line:
    baud = question.get("baud")
    return Line(
        wire=SerialLine(baud) if baud else None,
        stamps=question.get("stamps", False),
        burst=question.get("burst", 0.0),
        keeps_log=baud is not None,
    )


def _faults(question: Answer) -> dict[int, Fault]:
    given: dict[str, dict[str, Any]] = question["faults"]
    return {
        int(unit): Fault(**{**fault, "kind": Kind(fault["kind"])})
        for unit, fault in given.items()
    }


async def _serve() -> None:
    devices: dict[str, Device] = {}

    async def handle(question: Answer) -> Answer:
        name = question["name"]
        match question["do"]:
            case "open":
                devices[name] = Device(question["link"], _line(question))
                return await devices[name].open()
            case "faults":
                devices[name].line.faults = _faults(question)
            case "gone":
                await devices[name].set_gone(question["gone"])
        line = devices[name].line
        since = question.get("since", float("inf"))
        return {
            "at": time.monotonic(),
            "requests": line.requests,
            "overlaps": line.overlaps,
            "log": [entry for entry in line.log if entry[0] >= since],
        }

    await async_answer_questions(handle)


def serve_device() -> None:
    """Be devices."""
    with asyncio.Runner(
        loop_factory=lambda: asyncio.SelectorEventLoop(SelectSelector())
    ) as runner:
        runner.run(_serve())
