"""Packets between Growatt dataloggers and their server (TCP, port 5279).

Written from the facts and recordings alone, and independent of the integration's codec:
each checks the other. A packet is ``tid:u16 protocol:u16 length:u16 unit:u8 kind:u8 body``;
the length counts from the unit on. Protocols 5 and 6 mask the body and add a checksum,
which the length does not count. All numbers have the high byte first.
"""

from dataclasses import dataclass
from enum import IntEnum
import struct
from typing import Final, Self

PROTOCOLS: Final = (0, 2, 5, 6)
MASKED: Final = (5, 6)
"""Protocols that mask bodies and have a checksum."""

HEADER: Final = 8
"""Bytes in front of the body."""

_MASK: Final = b"Growatt"
_FIELDS: Final = struct.Struct(">HHHBB")


class Kind(IntEnum):
    """Record types."""

    ANNOUNCE = 0x03
    """Holding registers of an inverter."""
    LIVE = 0x04
    """Input registers of an inverter."""
    READ = 0x05
    WRITE = 0x06
    WRITE_RANGE = 0x10
    PING = 0x16
    SET_PARAMETER = 0x18
    PARAMETER = 0x19
    METER_TEXT = 0x1B
    METER_REPORT = 0x1E
    METER = 0x20
    LINKED = 0x29
    VPP = 0x36
    BLOCKS = 0x38
    KEY = 0x41
    """Begins an encrypted session."""
    BUFFERED = 0x50
    """Input registers of earlier."""


RECORDS: Final = frozenset(
    {Kind.ANNOUNCE, Kind.LIVE, Kind.BUFFERED, Kind.VPP, Kind.BLOCKS}
)
"""Kinds that carry groups of registers."""

REPORTS: Final = RECORDS | {Kind.METER_TEXT, Kind.METER_REPORT, Kind.METER}
"""Kinds that a server acknowledges."""

COMMANDS: Final = frozenset(
    {
        *(Kind.READ, Kind.WRITE, Kind.WRITE_RANGE),
        *(Kind.SET_PARAMETER, Kind.PARAMETER),
    }
)
"""Kinds by which a server asks for something; the answer is of the same kind."""


class PacketError(Exception):
    """Bytes that are no packet, or a body that is not what its kind says."""


def _crc_of(byte: int) -> int:
    for _ in range(8):
        byte = byte >> 1 ^ (0xA001 if byte & 1 else 0)
    return byte


_CRC_TABLE: Final = tuple(_crc_of(byte) for byte in range(256))


def crc(octets: bytes) -> int:
    """Return the checksum: CRC-16/MODBUS of header and masked body."""
    value = 0xFFFF
    for byte in octets:
        value = value >> 8 ^ _CRC_TABLE[(value ^ byte) & 0xFF]
    return value


def mask(body: bytes) -> bytes:
    """Mask a body, or take the mask off."""
    size = len(body)
    key = (_MASK * (size // len(_MASK) + 1))[:size]
    return (int.from_bytes(body) ^ int.from_bytes(key)).to_bytes(size)


def serial_width(protocol: int) -> int:
    """Return how many bytes a serial number takes."""
    return 30 if protocol == 6 else 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Packet:
    """A packet, its body without the mask."""

    kind: int
    body: bytes
    unit: int = 1
    tid: int = 1
    protocol: int = 6

    def encode(self) -> bytes:
        """Return it as it goes over the wire."""
        masked = self.protocol in MASKED
        length = len(self.body) + 2
        octets = _FIELDS.pack(self.tid, self.protocol, length, self.unit, self.kind) + (
            mask(self.body) if masked else self.body
        )
        return octets + crc(octets).to_bytes(2) if masked else octets

    @classmethod
    def decode(cls, octets: bytes) -> Self:
        """Read one whole packet. Raises ``PacketError`` if it is anything else."""
        if len(octets) < HEADER or (size := packet_size(octets)) != len(octets):
            raise PacketError(f"not one whole packet but {len(octets)} bytes")
        tid, protocol, length, unit, kind = _FIELDS.unpack_from(octets)
        body = octets[HEADER : 6 + length]
        if protocol in MASKED:
            if crc(octets[: size - 2]) != int.from_bytes(octets[-2:]):
                raise PacketError("wrong checksum")
            body = mask(body)
        return cls(tid=tid, protocol=protocol, unit=unit, kind=kind, body=body)

    @property
    def name(self) -> str:
        """Its kind in words, for logs."""
        try:
            return f"{self.kind:02x} {Kind(self.kind).name.lower()}"
        except ValueError:
            return f"{self.kind:02x}"

    @property
    def is_ack(self) -> bool:
        """Whether it acknowledges a report."""
        return self.kind in REPORTS and len(self.body) == 1

    def ack(self) -> Packet:
        """Return what acknowledges it."""
        return Packet(
            tid=self.tid,
            protocol=self.protocol,
            unit=self.unit,
            kind=self.kind,
            body=b"\0",
        )

    def answer(self, body: bytes) -> Packet:
        """Return an answer to it, with its number."""
        return Packet(
            tid=self.tid,
            protocol=self.protocol,
            unit=self.unit,
            kind=self.kind,
            body=body,
        )

    @property
    def logger(self) -> str:
        """Serial number of the logger. Raises ``PacketError`` if there is none."""
        return Cursor(self).serial()


def packet_size(header: bytes) -> int:
    """Return the size of the packet that a header begins.

    Raises ``PacketError`` if it is no header.
    """
    protocol, length = struct.unpack_from(">HH", header, 2)
    if protocol not in PROTOCOLS or length < 2:
        raise PacketError(f"not a header: {header[:HEADER].hex(' ')}")
    return 6 + int(length) + (2 if protocol in MASKED else 0)


class PacketReader:
    """Cuts a stream into packets."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self._rest = b""
        self.bad = 0
        """Packets with a wrong checksum, which are left out."""

    def feed(self, data: bytes) -> list[Packet]:
        """Take more bytes and return the packets that are whole.

        Raises ``PacketError`` where there is no header; nothing can be found from there on.
        """
        octets = self._rest + data
        found, at = [], 0
        while len(octets) - at >= HEADER:
            size = packet_size(octets[at : at + HEADER])
            if len(octets) - at < size:
                break
            try:
                found.append(Packet.decode(octets[at : at + size]))
            except PacketError:
                self.bad += 1
            at += size
        self._rest = octets[at:]
        return found


class Cursor:
    """Walks through the body of a packet."""

    def __init__(self, packet: Packet) -> None:
        """Begin at its first byte."""
        self._packet = packet
        self._at = 0

    def take(self, size: int) -> bytes:
        """Return so many bytes. Raises ``PacketError`` if there are fewer."""
        body, start = self._packet.body, self._at
        self._at += size
        if self._at > len(body):
            raise PacketError(f"{self._packet.name}: the body ends too early")
        return body[start : self._at]

    @property
    def left(self) -> int:
        """How many bytes are left."""
        return len(self._packet.body) - self._at

    def number(self, size: int = 2) -> int:
        """Return the next number. This and what follows raise ``PacketError``, too."""
        return int.from_bytes(self.take(size))

    def words(self, count: int) -> tuple[int, ...]:
        """Return so many words."""
        return struct.unpack(f">{count}H", self.take(2 * count))

    def serial(self) -> str:
        """Return a serial number."""
        octets = self.take(serial_width(self._packet.protocol))
        return octets.rstrip(b"\0 ").decode("ascii", errors="replace")

    def end(self) -> None:
        """Raise ``PacketError`` if anything is left."""
        if self.left:
            raise PacketError(f"{self._packet.name}: the body goes on")
