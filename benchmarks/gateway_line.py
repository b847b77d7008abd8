"""Simulated lines for ``benchmarks.gateway``: pace, answers, and what goes wrong.

Answers leave when ``SerialLine.exchange`` says.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from functools import partial
import time
from typing import Final

from custom_components.local_solar.modbus.crc import crc16
from simulators.wire import SerialLine

from .gateway_words import MOST_WORDS, REGISTERS, answer_of, stamped

REQUEST_OCTETS: Final = 8
"""Of a read, as RTU."""
READS: Final = (3, 4)
MBAP: Final = 7

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
        head, octets, tail = packet[:MBAP], packet[MBAP:], b""
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
