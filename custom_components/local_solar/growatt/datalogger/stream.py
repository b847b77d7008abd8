"""Cutting what comes over a connection into packets, however it was split or spoilt.

Two packets in one segment are as usual as one packet in several. What is no packet is
handed on as noise, in its place, so that a relay can pass on every byte.
"""

import re
from typing import Final, NamedTuple

from .packets import (
    COUNTED,
    HEADER,
    HEADER_BYTES,
    MAX_LENGTH,
    PROTOCOLS,
    Packet,
    Protocol,
    Type,
    packet_bytes,
    parse,
)

MAX_NOISE: Final = 16_384
"""Bytes that are no packets after which a stream is given up."""

MAX_CHECKS: Final = 64
"""False starts of packets after which it is given up, too: each costs a checksum."""

_START: Final = re.compile(rb"(?=\0[\0\2\5\6][\0-\x10])")
"""The third to fifth byte of a header: protocol and high byte of the length."""
_START_AT: Final = 2

_KNOWN: Final = frozenset(Type)


class Noise(NamedTuple):
    """Bytes that are no packet."""

    raw: bytes


class Stream:
    """One direction of a connection."""

    __slots__ = (
        "_base",
        "_buffer",
        "_checks",
        "_noise",
        "_protocol",
        "_refuted",
        "_searching",
    )

    def __init__(self) -> None:
        """Begin at the start of a packet."""
        self._buffer = b""
        self._base = 0
        """Bytes that came before those in the buffer."""
        self._protocol: Protocol | None = None
        self._searching = False
        self._refuted: set[int] = set()
        self._noise = 0
        self._checks = 0

    @property
    def given_up(self) -> bool:
        """Whether it is no stream of packets: all that comes is noise."""
        return self._checks > MAX_CHECKS or self._noise > MAX_NOISE

    @property
    def unfinished(self) -> bytes:
        """What came of a packet that is not complete yet."""
        return self._buffer

    def feed(self, data: bytes) -> list[Packet | Noise]:
        """Take in bytes; return what is complete with them."""
        found: list[Packet | Noise] = []
        if self.given_up:
            found.append(Noise(data))
            return found
        data = self._buffer + data if self._buffer else data
        start, end = 0, len(data)
        while end - start >= HEADER_BYTES:
            if self._searching:
                start, is_found = self._search(data, start, found)
                if not is_found:
                    break
            header = HEADER.unpack_from(data, start)
            if not self._is_plausible(header):
                self._searching = True
                continue
            stop = start + packet_bytes(PROTOCOLS[header[1]], header[2])
            if stop > end:
                break
            packet = parse(data[start:stop], header)
            if packet.is_intact:
                self._believe(packet)
            elif not self._may_start(data, stop):
                # Its length is wrong, too: perhaps it is no packet at all.
                self._refute(start)
                self._searching = True
                continue
            found.append(packet)
            start = stop
        self._buffer = data[start:]
        self._base += start
        self._let_go(found)
        return found

    def _let_go(self, found: list[Packet | Noise]) -> None:
        """Hand on what was held, if it has become hopeless."""
        if self.given_up and self._buffer:
            found.append(Noise(self._buffer))
            self._buffer = b""

    def _is_plausible(self, header: tuple[int, ...]) -> bool:
        """Return whether a header can be one."""
        if self._protocol is None:
            known = header[1] in PROTOCOLS
        else:
            known = header[1] == self._protocol
        return known and COUNTED <= header[2] <= MAX_LENGTH

    def _may_start(self, data: bytes, at: int) -> bool:
        """Return whether a packet can start at a place, as far as one can see."""
        if len(data) - at < HEADER_BYTES:
            return True
        return self._is_plausible(HEADER.unpack_from(data, at))

    def _believe(self, packet: Packet) -> None:
        """Take the stream for sound again."""
        self._protocol = packet.protocol
        if self._noise or self._checks:
            self._noise = self._checks = 0
            self._refuted.clear()

    def _refute(self, at: int) -> None:
        """Remember that no packet starts at a place of the data."""
        self._refuted.add(self._base + at)
        self._checks += 1

    def _search(
        self, data: bytes, start: int, found: list[Packet | Noise]
    ) -> tuple[int, bool]:
        """Look for the next packet.

        Return from where on bytes are still of interest, and whether it starts there.
        """
        kept: int | None = None
        for match in _START.finditer(data, start + _START_AT):
            at = match.start() - _START_AT
            if len(data) - at < HEADER_BYTES or self._base + at in self._refuted:
                continue
            header = HEADER.unpack_from(data, at)
            if not self._is_plausible(header):
                continue
            stop = at + packet_bytes(PROTOCOLS[header[1]], header[2])
            if stop > len(data):
                kept = at if kept is None else kept
            elif _is_sound(parse(data[at:stop], header)):
                self._searching = False
                self._refuted.clear()
                self._drop(data[start:at], found)
                return at, True
            else:
                self._refute(at)
                if self._checks > MAX_CHECKS:
                    break
        if kept is None:
            kept = max(start, len(data) - HEADER_BYTES + 1)
        self._drop(data[start:kept], found)
        return kept, False

    def _drop(self, noise: bytes, found: list[Packet | Noise]) -> None:
        if noise:
            self._noise += len(noise)
            found.append(Noise(noise))


def _is_sound(packet: Packet) -> bool:
    """Return whether a packet in the midst of noise is one.

    Without a checksum only what is known counts: a type, and a serial number or nothing.
    """
    if packet.protocol.is_masked:
        return packet.is_intact
    serial = packet.body[: packet.protocol.serial_bytes]
    return packet.type in _KNOWN and (packet.body == b"\0" or serial.isalnum())
