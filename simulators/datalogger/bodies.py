"""What packets of Growatt dataloggers say, written out and read."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
import struct
from typing import Final, NamedTuple, Self

from .packets import Cursor, Packet, PacketError, serial_width

ZERO_STAMP: Final = bytes(6)


def serial_field(protocol: int, serial: str) -> bytes:
    """Return a serial number in its field."""
    return serial.encode("ascii").ljust(serial_width(protocol), b"\0")


def _words(words: Sequence[int]) -> bytes:
    return struct.pack(f">{len(words)}H", *words)


def stamp_of(when: datetime) -> bytes:
    """Return a time as records have it."""
    return bytes(
        (
            (when.year - 2000) & 0xFF,
            *(when.month, when.day, when.hour, when.minute, when.second),
        )
    )


class Group(NamedTuple):
    """Some registers in a row."""

    start: int
    words: tuple[int, ...]

    @property
    def end(self) -> int:
        """Last address."""
        return self.start + len(self.words) - 1


@dataclass(frozen=True, slots=True)
class Record:
    """Registers of an inverter, in packets of the kinds ``RECORDS``.

    ``stamp`` is year - 2000, month, day, hour, minute and second; protocol 0 has none.
    """

    logger: str
    inverter: str
    stamp: bytes
    groups: tuple[Group, ...]

    def body(self, protocol: int) -> bytes:
        """Return it as a body."""
        return b"".join(
            (
                serial_field(protocol, self.logger),
                serial_field(protocol, self.inverter),
                self.stamp if protocol else b"",
                bytes((len(self.groups),)),
                *(
                    _words((group.start, group.end, *group.words))
                    for group in self.groups
                ),
            )
        )

    @classmethod
    def parse(cls, packet: Packet) -> Self:
        """Read it. Raises ``PacketError``."""
        cursor = Cursor(packet)
        logger, inverter = cursor.serial(), cursor.serial()
        stamp = cursor.take(6) if packet.protocol else ZERO_STAMP
        groups = []
        for _ in range(cursor.number(1)):
            start, end = cursor.words(2)
            if end < start:
                raise PacketError(f"{packet.name}: a group from {start} to {end}")
            groups.append(Group(start, cursor.words(end - start + 1)))
        cursor.end()
        return cls(logger, inverter, stamp, tuple(groups))

    @property
    def words(self) -> dict[int, int]:
        """All words by address."""
        return {
            group.start + place: word
            for group in self.groups
            for place, word in enumerate(group.words)
        }

    @property
    def blocks(self) -> tuple[tuple[int, int], ...]:
        """First and last addresses of the groups."""
        return tuple((group.start, group.end) for group in self.groups)


@dataclass(frozen=True, slots=True)
class Span:
    """From one number to another, perhaps with words.

    Asks for registers (05) or parameters (19), answers with registers (05; without words:
    refused), writes registers (10).
    """

    logger: str
    first: int
    last: int
    words: tuple[int, ...] = ()

    def body(self, protocol: int) -> bytes:
        """Return it as a body."""
        numbers = _words((self.first, self.last, *self.words))
        return serial_field(protocol, self.logger) + numbers

    @classmethod
    def parse(cls, packet: Packet) -> Self:
        """Read it. Raises ``PacketError``."""
        cursor = Cursor(packet)
        logger, first, last = cursor.serial(), cursor.number(), cursor.number()
        rest = cursor.take(cursor.left)
        if len(rest) % 2:
            raise PacketError(f"{packet.name}: half a word at the end")
        return cls(logger, first, last, struct.unpack(f">{len(rest) // 2}H", rest))


@dataclass(frozen=True, slots=True)
class Single:
    """Writes a register (06)."""

    logger: str
    register: int
    value: int

    def body(self, protocol: int) -> bytes:
        """Return it as a body."""
        numbers = _words((self.register, self.value))
        return serial_field(protocol, self.logger) + numbers

    @classmethod
    def parse(cls, packet: Packet) -> Self:
        """Read it. Raises ``PacketError``."""
        cursor = Cursor(packet)
        found = cls(cursor.serial(), cursor.number(), cursor.number())
        cursor.end()
        return found


@dataclass(frozen=True, slots=True)
class SingleDone:
    """Says what became of a ``Single``: 0 is done, otherwise the exception code."""

    logger: str
    register: int
    status: int
    value: int

    def body(self, protocol: int) -> bytes:
        """Return it as a body."""
        return serial_field(protocol, self.logger) + struct.pack(
            ">HBH", self.register, self.status, self.value
        )

    @classmethod
    def parse(cls, packet: Packet) -> Self:
        """Read it. Raises ``PacketError``."""
        cursor = Cursor(packet)
        found = cls(cursor.serial(), cursor.number(), cursor.number(1), cursor.number())
        cursor.end()
        return found


@dataclass(frozen=True, slots=True)
class SpanDone:
    """Says what became of a ``Span`` that was to be written (10)."""

    logger: str
    first: int
    last: int
    status: int

    def body(self, protocol: int) -> bytes:
        """Return it as a body."""
        return serial_field(protocol, self.logger) + struct.pack(
            ">HHB", self.first, self.last, self.status
        )

    @classmethod
    def parse(cls, packet: Packet) -> Self:
        """Read it. Raises ``PacketError``."""
        cursor = Cursor(packet)
        found = cls(cursor.serial(), cursor.number(), cursor.number(), cursor.number(1))
        cursor.end()
        return found


@dataclass(frozen=True, slots=True)
class Parameter:
    """A parameter of the logger: its value (19), or what it is to be (18)."""

    logger: str
    number: int
    text: str

    def body(self, protocol: int) -> bytes:
        """Return it as a body."""
        octets = self.text.encode("latin-1")
        numbers = _words((self.number, len(octets)))
        return serial_field(protocol, self.logger) + numbers + octets

    @classmethod
    def parse(cls, packet: Packet) -> Self:
        """Read it. Raises ``PacketError``."""
        cursor = Cursor(packet)
        logger, number = cursor.serial(), cursor.number()
        text = cursor.take(cursor.number()).decode("latin-1")
        cursor.end()
        return cls(logger, number, text)


@dataclass(frozen=True, slots=True)
class ParameterDone:
    """Says what became of a parameter that was to be set (18): 0 is done, 3 refused."""

    logger: str
    number: int
    status: int

    def body(self, protocol: int) -> bytes:
        """Return it as a body."""
        return serial_field(protocol, self.logger) + struct.pack(
            ">HB", self.number, self.status
        )

    @classmethod
    def parse(cls, packet: Packet) -> Self:
        """Read it. Raises ``PacketError``."""
        cursor = Cursor(packet)
        found = cls(cursor.serial(), cursor.number(), cursor.number(1))
        cursor.end()
        return found


@dataclass(frozen=True, slots=True)
class MeterWords:
    """The words of a meter, as Growatt's function 0x20 reads them (20)."""

    logger: str
    inverter: str
    stamp: bytes
    words: tuple[int, ...]

    def body(self, protocol: int) -> bytes:
        """Return it as a body."""
        return b"".join(
            (
                serial_field(protocol, self.logger),
                serial_field(protocol, self.inverter),
                self.stamp,
                _words((2 * len(self.words), *self.words)),
            )
        )

    @classmethod
    def parse(cls, packet: Packet) -> Self:
        """Read it. Raises ``PacketError``."""
        cursor = Cursor(packet)
        logger, inverter, stamp = cursor.serial(), cursor.serial(), cursor.take(6)
        words = cursor.words(cursor.number() // 2)
        cursor.end()
        return cls(logger, inverter, stamp, words)


@dataclass(frozen=True, slots=True)
class MeterLog:
    """What a meter said to the logger itself (1b as text, 1e as bytes).

    ``model`` is a word whose low byte looks like a kind of meter.
    """

    logger: str
    model: int
    stamp: bytes
    octets: bytes

    def body(self, protocol: int) -> bytes:
        """Return it as a body."""
        return b"".join(
            (
                serial_field(protocol, self.logger),
                _words((self.model,)),
                self.stamp,
                _words((len(self.octets),)),
                self.octets,
            )
        )

    @classmethod
    def parse(cls, packet: Packet) -> Self:
        """Read it. Raises ``PacketError``."""
        cursor = Cursor(packet)
        logger, model, stamp = cursor.serial(), cursor.number(), cursor.take(6)
        octets = cursor.take(cursor.number())
        cursor.end()
        return cls(logger, model, stamp, octets)


@dataclass(frozen=True, slots=True)
class Linked:
    """A stick that is linked to a box by radio, and parameters of it (29)."""

    logger: str
    stick: str
    inverter: str
    code: int
    """Device type code of the inverter."""
    parameters: tuple[tuple[int, str], ...] = ()

    def body(self, protocol: int) -> bytes:
        """Return it as a body."""
        serials = (self.logger, self.stick, self.inverter)
        return b"".join(
            (
                *(serial_field(protocol, serial) for serial in serials),
                _words((self.code,)),
                *(
                    _words((number, len(text))) + text.encode("ascii")
                    for number, text in self.parameters
                ),
            )
        )

    @classmethod
    def parse(cls, packet: Packet) -> Self:
        """Read it. Raises ``PacketError``."""
        cursor = Cursor(packet)
        serials = cursor.serial(), cursor.serial(), cursor.serial()
        code, parameters = cursor.number(), []
        while cursor.left:
            number = cursor.number()
            text = cursor.take(cursor.number()).decode("latin-1")
            parameters.append((number, text))
        return cls(*serials, code, tuple(parameters))


type Body = (
    Record
    | Span
    | Single
    | SingleDone
    | SpanDone
    | Parameter
    | ParameterDone
    | MeterWords
    | MeterLog
    | Linked
)
