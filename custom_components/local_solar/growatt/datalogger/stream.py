"""Cutting what comes over a connection into packets, however it was split or spoilt.

Two packets in one segment are as usual as one packet in several. What is no packet is
handed on as noise, in its place, so that a relay can pass on every byte.
"""

from collections.abc import Iterator
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
"""Places where a packet could start, and none did, after which it is given up, too."""

_START: Final = re.compile(rb"(?=\0[\0\2\5\6][\0-\x10])")
"""The third to fifth byte of a header: protocol and high byte of the length."""
_START_AT: Final = 2

_KNOWN: Final = frozenset(Type)

type _Header = tuple[int, int, int, int, int]
"""Transaction id, protocol, length, unit, type."""


class Noise(NamedTuple):
    """Bytes that are no packet."""

    raw: bytes


class Stream:
    """One direction of a connection."""

    __slots__ = (
        "_base",
        "_buffer",
        "_checks",
        "_hopes",
        "_looked",
        "_noise",
        "_protocol",
        "_searching",
    )

    def __init__(self) -> None:
        """Begin at the start of a packet."""
        self._buffer = b""
        self._base = 0
        """Bytes that came before those in the buffer."""
        self._protocol: Protocol | None = None
        self._noise = 0
        self._checks = 0
        self._searching = False
        self._looked = 0
        """Up to where packets have been looked for; like ``_base``, of all bytes."""
        self._hopes: list[int] = []
        """Where one may start, as far as it has come."""

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
            _drop(data, found)
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
                self._begin_search(start)
                continue
            stop = start + packet_bytes(PROTOCOLS[header[1]], header[2])
            if stop > end:
                break
            packet = parse(data[start:stop], header)
            if _is_sound(packet):
                self._believe(packet)
            elif self._is_false_start(packet, data, start):
                self._checks += 1
                self._begin_search(start + 1)
                continue
            found.append(packet)
            start = stop
        self._buffer = data[start:]
        self._base += start
        self._let_go(found)
        return found

    def _let_go(self, found: list[Packet | Noise]) -> None:
        """Hand on what was held, if it has become hopeless."""
        if self.given_up:
            _drop(self._buffer, found)
            self._buffer = b""

    def _is_plausible(self, header: _Header) -> bool:
        """Return whether a header can be one."""
        if self._protocol is None:
            known = header[1] in PROTOCOLS
        else:
            known = header[1] == self._protocol
        return known and COUNTED <= header[2] <= MAX_LENGTH

    def _believe(self, packet: Packet) -> None:
        """Take the stream for sound again."""
        self._protocol = packet.protocol
        self._noise = self._checks = 0

    # -- where it is out of step ----------------------------------------------------

    def _is_false_start(self, packet: Packet, data: bytes, start: int) -> bool:
        """Return whether what is no sound packet is none at all, as far as one can see.

        A damaged one is followed by a packet, and has none in it. A stream does not begin
        with one that nothing speaks for.
        """
        if self._protocol is None and not packet.protocol.is_masked:
            return True
        stop = start + len(packet.raw)
        if len(data) - stop >= HEADER_BYTES and not self._is_plausible(
            HEADER.unpack_from(data, stop)
        ):
            return True
        for at, header in self._starts(data, start + 1):
            if at >= stop:
                break
            self._checks += 1
            if self.given_up:
                break
            end = at + packet_bytes(PROTOCOLS[header[1]], header[2])
            if end <= len(data) and _is_sound(parse(data[at:end], header)):
                return True
        return False

    def _starts(self, data: bytes, begin: int) -> Iterator[tuple[int, _Header]]:
        """Go through the places where a packet may start, by its header."""
        for match in _START.finditer(data, begin + _START_AT):
            at = match.start() - _START_AT
            if len(data) - at < HEADER_BYTES:
                return
            header = HEADER.unpack_from(data, at)
            if self._is_plausible(header):
                yield at, header

    def _begin_search(self, at: int) -> None:
        """Look for the next packet from a place in the data on."""
        self._searching = True
        self._looked = self._base + at
        self._hopes.clear()

    def _search(
        self, data: bytes, start: int, found: list[Packet | Noise]
    ) -> tuple[int, bool]:
        """Look for the next packet.

        Return from where on bytes are still of interest, and whether it starts there.
        """
        self._look(data)
        kept = max(start, self._looked - self._base)
        for place in tuple(self._hopes):
            at = place - self._base
            header = HEADER.unpack_from(data, at)
            stop = at + packet_bytes(PROTOCOLS[header[1]], header[2])
            if stop > len(data):
                kept = min(kept, at)
                if _begins_well(header, data[at + HEADER_BYTES :]):
                    break
            elif _is_sound(parse(data[at:stop], header)):
                self._searching = False
                kept = at
                break
            else:
                self._hopes.remove(place)
        self._noise += kept - start
        _drop(data[start:kept], found)
        return kept, not self._searching

    def _look(self, data: bytes) -> None:
        """Note where packets may start in what is new; nothing is looked at twice."""
        for at, _ in self._starts(data, self._looked - self._base):
            self._checks += 1
            if self.given_up:
                return
            self._hopes.append(self._base + at)
        self._looked = self._base + max(
            self._looked - self._base, len(data) - HEADER_BYTES + 1
        )


def _drop(noise: bytes, found: list[Packet | Noise]) -> None:
    if noise:
        found.append(Noise(noise))


def _is_sound(packet: Packet) -> bool:
    """Return whether there is no doubt that it is a packet.

    Without a checksum only what is known counts: a type, and a serial number or nothing.
    """
    if packet.protocol.is_masked:
        return packet.is_intact
    if packet.body == b"\0":
        return packet.type in _KNOWN
    return _names_logger(packet.protocol, packet.type, packet.body)


def _begins_well(header: _Header, body: bytes) -> bool:
    """Return whether an unfinished packet without a checksum looks like one so far.

    What looks like a packet inside of it is not.
    """
    protocol = PROTOCOLS[header[1]]
    return not protocol.is_masked and _names_logger(protocol, header[4], body)


def _names_logger(protocol: Protocol, kind: int, body: bytes) -> bool:
    serial = body[: protocol.serial_bytes].rstrip(b"\0 ")
    return kind in _KNOWN and serial.isalnum()
