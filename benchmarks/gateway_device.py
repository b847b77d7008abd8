"""Devices of ``benchmarks.gateway`` in a process of their own: lines with units on them.

A line has a pace or none. Its device answers every read with the words of
``gateway_words``, over Modbus TCP, RTU over TCP or a pseudo-terminal, and what goes wrong
can be changed while it serves. Answers leave when ``SerialLine.exchange`` says; the loop
waits with ``select``, which is exact where ``epoll`` rounds up to a millisecond.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from functools import partial
import os
from selectors import SelectSelector
import time
import tty
from typing import Any, Final, override

from custom_components.local_solar.modbus.crc import crc16
from simulators.wire import SerialLine

from .datalogger_asking import Answer, async_answer_questions
from .gateway_words import MOST_WORDS, REGISTERS, answer_of, stamped

HOST: Final = "127.0.0.1"

REQUEST_OCTETS: Final = 8
"""Of a read, as RTU."""
READS: Final = (3, 4)

_MBAP: Final = 7
_ILLEGAL_FUNCTION: Final = 1
_ILLEGAL_ADDRESS: Final = 2


class Kind(StrEnum):
    """What a unit does wrong."""

    SILENT = "silent"
    LATE = "late"
    CRC = "crc"
    """Spoils its answers. Modbus TCP has no checksum: there it is silent, as a device
    server is that has checked it."""


@dataclass(slots=True, kw_only=True)
class Fault:
    """What a unit does wrong, and how often: every so many requests."""

    kind: Kind
    seconds: float = 0.0
    every: int = 1
    in_order: bool = False
    """Whether what it is asked later is answered later still, as by a device that is
    slow, or at once, as when something on the way holds an answer back."""
    seen: int = 0
    until: float = 0.0
    """When the last late answer leaves."""

    def strikes(self) -> bool:
        """Count a request and tell whether it goes wrong."""
        self.seen += 1
        return self.seen % self.every == 0


type Send = Callable[[bytes], None]


@dataclass(slots=True, kw_only=True)
class Line:
    """One bus with a unit behind every unit id, and what went over it."""

    wire: SerialLine | None
    stamps: bool = False
    burst: float = 0.0
    """Seconds between two deliveries of an adapter that collects what comes in."""
    keeps_log: bool = True
    faults: dict[int, Fault] = field(default_factory=dict)
    is_gone: bool = False
    requests: int = 0
    overlaps: int = 0
    """Requests that came while another was being answered."""
    log: list[tuple[float, float]] = field(default_factory=list)
    """Of each request that was answered: when it came, when the answer had left."""
    free_at: float = 0.0

    def answer(self, unit: int, pdu: bytes) -> bytes:
        """Return the answer to a request, as a PDU."""
        function = pdu[0]
        if function not in READS or len(pdu) != 5:
            return bytes((function | 0x80, _ILLEGAL_FUNCTION))
        address = pdu[1] << 8 | pdu[2]
        count = pdu[3] << 8 | pdu[4]
        if not 1 <= count <= MOST_WORDS or address + count > REGISTERS:
            return bytes((function | 0x80, _ILLEGAL_ADDRESS))
        if self.stamps:
            return stamped(function, count, time.monotonic())
        return answer_of(unit, function, address, count)

    def receive(
        self, unit: int, pdu: bytes, frame: Callable[[bytes], bytes], send: Send
    ) -> None:
        """Take in a request; ``frame`` makes of a PDU what ``send`` sends."""
        if self.is_gone:
            return
        self.requests += 1
        fault = self.faults.get(unit)
        if fault is not None and not fault.strikes():
            if fault.in_order and fault.until > time.monotonic():
                fault = Fault(
                    kind=Kind.LATE, seconds=fault.until - time.monotonic() + 0.001
                )
            else:
                fault = None
        if fault is None and self.wire is None:
            send(frame(self.answer(unit, pdu)))
            return
        self._send_in_time(unit, pdu, frame, send, fault)

    def _send_in_time(
        self,
        unit: int,
        pdu: bytes,
        frame: Callable[[bytes], bytes],
        send: Send,
        fault: Fault | None,
    ) -> None:
        now = time.monotonic()
        wire = self.wire or SerialLine(10_000_000)
        # The silence in front of a request begins with the end of the answer before, no
        # matter who keeps it: the one who asks, as a library of RTU does, or the line.
        begins = max(now, self.free_at + wire.silence) - wire.silence
        self.overlaps += self.free_at > now
        answer = self.answer(unit, pdu)
        octets = len(answer) + 3
        if fault is not None and (
            fault.kind is Kind.SILENT or (fault.kind is Kind.CRC and not _is_rtu(frame))
        ):
            self.free_at = begins + wire.exchange(REQUEST_OCTETS, 0)
            return
        leaves = begins + wire.exchange(REQUEST_OCTETS, octets)
        packet = frame(answer)
        if fault is None:
            self.free_at = leaves
        elif fault.kind is Kind.CRC:
            self.free_at = leaves
            packet = packet[:-1] + bytes((packet[-1] ^ 0xFF,))
        else:
            # The others find the line free until it speaks.
            self.free_at = begins + wire.exchange(REQUEST_OCTETS, 0)
            leaves += fault.seconds
            kept = self.faults.get(unit)
            if kept is not None:
                kept.until = max(kept.until, leaves)
        self._deliver(unit, packet, leaves, octets, wire, send)
        if self.keeps_log and fault is None:
            self.log.append((now, leaves))

    def _deliver(
        self,
        unit: int,
        packet: bytes,
        leaves: float,
        octets: int,
        wire: SerialLine,
        send: Send,
    ) -> None:
        loop = asyncio.get_running_loop()
        if not self.burst:
            if self.stamps:
                loop.call_at(leaves, self._send_stamped, packet, send)
            else:
                loop.call_at(leaves, send, packet)
            return
        # What has come by each turn of the adapter's clock is delivered then.
        octet = wire.exchange(0, octets) - wire.silence
        octet /= octets
        first = leaves - octets * octet
        sent = 0
        turn = first - first % self.burst + self.burst
        while sent < octets:
            come = min(octets, int((turn - first) / octet))
            if come > sent:
                loop.call_at(turn, send, packet[sent:come])
            sent = come
            turn += self.burst

    def _send_stamped(self, packet: bytes, send: Send) -> None:
        """Put the time at which it leaves into an answer: an age begins there."""
        head, octets, tail = packet[:_MBAP], packet[_MBAP:], b""
        if packet[2:4] != b"\0\0":
            head, octets, tail = packet[:1], packet[1:-2], packet[-2:]
        octets = stamped(octets[0], octets[1] // 2, time.monotonic())
        if tail:
            tail = crc16(head + octets).to_bytes(2, "little")
        send(head + octets + tail)


def _is_rtu(frame: Callable[[bytes], bytes]) -> bool:
    return isinstance(frame, partial) and frame.func is rtu_frame


def rtu_frame(unit: int, pdu: bytes) -> bytes:
    """Return a PDU as a frame of RTU."""
    body = bytes((unit,)) + pdu
    return body + crc16(body).to_bytes(2, "little")


def tcp_frame(head: bytes, pdu: bytes) -> bytes:
    """Return a PDU as Modbus TCP; ``head`` is that of the request."""
    return head[:4] + (len(pdu) + 1).to_bytes(2) + head[6:7] + pdu


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
        while len(data) > _MBAP:
            end = 6 + int.from_bytes(data[4:6])
            if len(data) < end:
                break
            self._line.receive(
                data[6],
                data[_MBAP:end],
                partial(tcp_frame, data[:_MBAP]),
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
