"""Packets: what a datalogger and its server exchange over TCP.

A packet has a header of 8 bytes, a body and, from protocol 5 on, a checksum. Numbers are
big endian. The length counts unit, type and body. Protocols 5 and 6 mask the body with a
fixed key that begins anew with each packet; the checksum, CRC-16/MODBUS with its high
byte first, covers header and masked body. Facts: 147 recorded packets.
"""

from enum import IntEnum
from functools import lru_cache
from struct import Struct, pack
from typing import Final, NamedTuple

from ...modbus.crc import crc16

HEADER: Final = Struct(">HHHBB")
"""Transaction id, protocol, length, unit, type."""

HEADER_BYTES: Final = 8
COUNTED: Final = 2
"""Bytes of the header that the length counts: unit and type."""

CHECKSUM_BYTES: Final = 2

MAX_LENGTH: Final = 4096
"""The longest that is known has four groups of 125 registers: 1083."""

_KEY: Final = b"Growatt"


class Protocol(IntEnum):
    """Generations of the protocol, as the header names them."""

    FIRST = 0
    """Sticks of about 2012: no time in records."""
    PLAIN = 2
    MASKED = 5
    LONG_SERIALS = 6
    """Fields of 30 bytes for serial numbers. All later sticks."""

    @property
    def is_masked(self) -> bool:
        """Whether bodies are masked and packets end with a checksum."""
        return self >= Protocol.MASKED

    @property
    def serial_bytes(self) -> int:
        """Width of the fields of serial numbers."""
        return 30 if self is Protocol.LONG_SERIALS else 10

    @property
    def has_time(self) -> bool:
        """Whether records tell when they were made."""
        return self is not Protocol.FIRST


PROTOCOLS: Final = {protocol.value: protocol for protocol in Protocol}


class Type(IntEnum):
    """Kinds of packets, most named like the Modbus functions that they stand for."""

    ANNOUNCE = 0x03
    """Holding registers, when a session begins."""
    LIVE = 0x04
    """Input registers, now."""
    READ_HOLDING = 0x05
    WRITE_HOLDING = 0x06
    WRITE_HOLDINGS = 0x10
    PING = 0x16
    WRITE_PARAMETER = 0x18
    READ_PARAMETERS = 0x19
    METER_LOG = 0x1B
    """A meter's values as text."""
    METER_REPORT = 0x1E
    METER = 0x20
    """A meter's registers."""
    STICK = 0x29
    """What a box knows of a stick that it hears by radio."""
    VPP = 0x36
    MORE = 0x38
    """Further registers of three-phase hybrids."""
    SESSION_KEY = 0x41
    """New firmware begins an encrypted session."""
    BUFFERED = 0x50
    """Input registers of an earlier time."""


class Packet(NamedTuple):
    """One packet on its way. ``raw`` are the bytes on the wire.

    A named tuple, as hundreds may come in a second.
    """

    transaction: int
    protocol: Protocol
    unit: int
    type: int
    body: bytes
    """Without the mask."""
    raw: bytes
    is_intact: bool = True
    """Whether the checksum is right; protocols without one are taken at their word."""

    @property
    def summary(self) -> str:
        """What it is, for logs: bodies may hold passwords."""
        return (
            f"type {self.type:02x}, unit {self.unit}, transaction {self.transaction},"
            f" {len(self.raw)} bytes"
        )


@lru_cache(maxsize=64)
def _mask(length: int) -> int:
    """Return the key, repeated to a length, as a number."""
    return int.from_bytes((_KEY * (length // len(_KEY) + 1))[:length])


def masked(body: bytes) -> bytes:
    """Mask a body, or take its mask off: it is the same."""
    length = len(body)
    return (int.from_bytes(body) ^ _mask(length)).to_bytes(length)


def packet_bytes(protocol: Protocol, length: int) -> int:
    """Return how many bytes a packet has whose header tells ``length``."""
    body_end = HEADER_BYTES - COUNTED + length
    return body_end + CHECKSUM_BYTES if protocol.is_masked else body_end


def parse(raw: bytes, header: tuple[int, int, int, int, int]) -> Packet:
    """Return the packet that ``raw`` is as a whole, and whose header is unpacked."""
    transaction, number, _, unit, kind = header
    protocol = PROTOCOLS[number]
    if not protocol.is_masked:
        return Packet(transaction, protocol, unit, kind, raw[HEADER_BYTES:], raw)
    is_intact = crc16(raw[:-CHECKSUM_BYTES]) == raw[-2] << 8 | raw[-1]
    body = masked(raw[HEADER_BYTES:-CHECKSUM_BYTES])
    return Packet(transaction, protocol, unit, kind, body, raw, is_intact)


def encode(
    transaction: int, protocol: Protocol, unit: int, kind: int, body: bytes
) -> bytes:
    """Return the bytes of a packet."""
    raw = HEADER.pack(transaction, protocol, COUNTED + len(body), unit, kind)
    if not protocol.is_masked:
        return raw + body
    raw += masked(body)
    return raw + pack(">H", crc16(raw))


def serial_field(serial: str, protocol: Protocol) -> bytes:
    """Return the field that holds a serial number. Raises ``ValueError`` if it does not fit."""
    text = serial.encode("ascii")
    if len(text) > protocol.serial_bytes:
        raise ValueError(f"{serial} is longer than {protocol.serial_bytes} characters")
    return text.ljust(protocol.serial_bytes, b"\0")
