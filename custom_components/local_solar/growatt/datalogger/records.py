"""What packets say: records of inverters and meters, parameters, answers to commands.

Facts: recorded packets, and the projects that other servers for these loggers are.
Offsets are those of the body. A logger's clock is a hint: it may be zero, frozen or
decades off, so times are told as they came, and only if they are any.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cache, lru_cache
from math import isfinite
from struct import Struct, error as StructError, pack
from typing import Final, NamedTuple

from ...modbus.image import Space
from .packets import Packet, Protocol, Type, encode, serial_field

ACCEPTED: Final = 0
"""The status of what was carried out. Others are exception codes of Modbus."""

_GROUP: Final = Struct(">HH")
_TIME_BYTES: Final = 6
_CENTURY: Final = 2000

_SPACES: Final[Mapping[int, Space]] = {
    Type.ANNOUNCE: Space.HOLDING,
    Type.LIVE: Space.INPUT,
    Type.BUFFERED: Space.INPUT,
    Type.VPP: Space.INPUT,
    Type.MORE: Space.INPUT,
}
"""Records of registers, and in which of the two spaces these are."""

COMMANDS: Final = frozenset(
    {
        Type.READ_HOLDING,
        Type.WRITE_HOLDING,
        Type.WRITE_HOLDINGS,
        Type.WRITE_PARAMETER,
        Type.READ_PARAMETERS,
    }
)
"""What a logger is told, and its answers to that."""

UNANSWERED: Final = COMMANDS | {Type.STICK, Type.SESSION_KEY}
"""What a server does not answer. Everything else it acknowledges, and pings it repeats."""

MAX_WORDS: Final = 125
"""The most registers that one command can be about."""

MAX_GROUP_WORDS: Final = 1024
"""More than any logger sends in one group."""

METER_WORDS: Final = 100

SERIALS_KEPT: Final = 4096
"""Fields whose serial numbers are remembered: each record has the same two again."""


class RecordError(ValueError):
    """A packet whose body does not say what its type promises."""


class Block(NamedTuple):
    """Registers in a row."""

    first: int
    words: tuple[int, ...]


class RegisterRecord(NamedTuple):
    """What an inverter's registers held.

    A named tuple, as hundreds may come in a second.
    """

    type: int
    logger: str
    inverter: str
    unit: int
    clock: bytes
    """What the logger's clock showed: year, month, day, hour, minute, second."""
    space: Space
    blocks: tuple[Block, ...]

    @property
    def at(self) -> datetime | None:
        """The time by the logger's clock, ``None`` if it tells none."""
        return _time(self.clock, 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class MeterRecord:
    """The meter block of an inverter, words counted from 0."""

    logger: str
    inverter: str
    unit: int
    at: datetime | None
    words: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class MeterLog:
    """What a meter on the logger's own bus, or on its radio, tells as numbers in a row."""

    logger: str
    unit: int
    at: datetime | None
    numbers: tuple[float, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Ping:
    """A logger that is there."""

    logger: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StickRecord:
    """What a box knows of a stick that it hears by radio, with its inverter."""

    logger: str
    stick: str
    inverter: str
    type_code: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameter:
    """A parameter of a logger."""

    logger: str
    number: int
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What came of a command about registers or parameters.

    ``first`` is the first of them. ``words`` are what was read; ``status`` is that of what
    was written, ``None`` for what was read.
    """

    type: int
    logger: str
    unit: int
    first: int
    last: int
    words: tuple[int, ...] = ()
    status: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Unexplained:
    """A report that nobody has explained yet."""

    type: int
    logger: str


type Record = (
    RegisterRecord
    | MeterRecord
    | MeterLog
    | Ping
    | StickRecord
    | Parameter
    | Answer
    | Unexplained
)


def decode(packet: Packet) -> Record:
    """Return what a packet of a logger says. Raises ``RecordError``."""
    space = _SPACES.get(packet.type)
    if space is not None:
        return _register_record(packet, space)
    logger = serial_in(packet.body, 0, packet.protocol.serial_bytes)
    reader = _READERS.get(packet.type)
    if reader is None:
        return Unexplained(type=packet.type, logger=logger)
    return reader(packet, logger)


# -- records of registers --------------------------------------------------------------


def serial_in(body: bytes, at: int, width: int) -> str:
    """Return the serial number in a field. Raises ``RecordError`` if there is none."""
    field = body[at : at + width]
    if len(field) != width:
        raise RecordError("the serial number is cut short")
    return _serial(field)


@lru_cache(maxsize=SERIALS_KEPT)
def _serial(field: bytes) -> str:
    serial = field.rstrip(b"\0 ")
    if not serial.isalnum():
        raise RecordError("there is no serial number")
    return serial.decode("ascii")


@cache
def _words(count: int) -> Struct:
    return Struct(f">{count}H")


def _register_record(packet: Packet, space: Space) -> RegisterRecord:
    body, protocol = packet.body, packet.protocol
    width = protocol.serial_bytes
    offset = 2 * width
    clock = b""
    try:
        if protocol.has_time:
            clock = body[offset : offset + _TIME_BYTES]
            offset += _TIME_BYTES
        groups = body[offset]
        offset += 1
        blocks = []
        for _ in range(groups):
            first, last = _GROUP.unpack_from(body, offset)
            offset += 4
            if not 0 < (count := last - first + 1) <= MAX_GROUP_WORDS:
                raise RecordError(f"registers {first}-{last} are no group")
            words = _words(count).unpack_from(body, offset)
            offset += 2 * len(words)
            blocks.append(Block(first, words))
    except (IndexError, StructError) as err:
        raise RecordError(f"the groups of registers are cut short: {err}") from err
    if offset != len(body):
        raise RecordError(f"{len(body) - offset} bytes follow the registers")
    return RegisterRecord(
        packet.type,
        serial_in(body, 0, width),
        serial_in(body, width, width),
        packet.unit,
        clock,
        space,
        tuple(blocks),
    )


def _time(body: bytes, at: int) -> datetime | None:
    """Return the time in a record, ``None`` if it is none."""
    try:
        year, month, day, hour, minute, second = body[at : at + _TIME_BYTES]
        return datetime(_CENTURY + year, month, day, hour, minute, second)
    except ValueError:
        return None


# -- everything else -------------------------------------------------------------------


def _ping(packet: Packet, logger: str) -> Ping:
    return Ping(logger=logger)


def _meter(packet: Packet, logger: str) -> MeterRecord:
    body, width = packet.body, packet.protocol.serial_bytes
    offset = 2 * width + _TIME_BYTES
    size = _number(body, offset)
    if size != 2 * METER_WORDS or len(body) != offset + 2 + size:
        raise RecordError(f"a meter block has 200 bytes, not {size}")
    return MeterRecord(
        logger=logger,
        inverter=serial_in(body, width, width),
        unit=packet.unit,
        at=_time(body, 2 * width),
        words=_words(METER_WORDS).unpack_from(body, offset + 2),
    )


def _meter_log(packet: Packet, logger: str) -> MeterLog:
    body, width = packet.body, packet.protocol.serial_bytes
    size = _number(body, width + 2 + _TIME_BYTES)
    text = body[width + 4 + _TIME_BYTES :]
    if len(text) != size:
        raise RecordError(f"a text of {size} bytes has {len(text)}")
    try:
        numbers = tuple(
            float(part) for part in text.decode("ascii").strip("\0\r\n ,").split(",")
        )
    except ValueError as err:
        raise RecordError(f"a meter's text is spoilt: {err}") from err
    if not all(map(isfinite, numbers)):
        raise RecordError("a meter's text has what is no number")
    return MeterLog(
        logger=logger,
        unit=packet.unit,
        at=_time(body, width + 2),
        numbers=numbers,
    )


def _stick(packet: Packet, logger: str) -> StickRecord:
    body, width = packet.body, packet.protocol.serial_bytes
    return StickRecord(
        logger=logger,
        stick=serial_in(body, width, width),
        inverter=serial_in(body, 2 * width, width),
        type_code=_number(body, 3 * width),
    )


def _parameter(packet: Packet, logger: str) -> Parameter:
    body, width = packet.body, packet.protocol.serial_bytes
    number, size = _number(body, width), _number(body, width + 2)
    text = body[width + 4 :]
    if len(text) != size:
        raise RecordError(f"parameter {number} of {size} bytes has {len(text)}")
    return Parameter(
        logger=logger,
        number=number,
        text=text.rstrip(b"\0").decode("utf-8", "replace"),
    )


def _parameter_written(packet: Packet, logger: str) -> Answer:
    width = packet.protocol.serial_bytes
    number = _number(packet.body, width)
    return _answer(
        packet, logger, number, number, status=_octet(packet.body, width + 2)
    )


def _holdings_read(packet: Packet, logger: str) -> Answer:
    body, width = packet.body, packet.protocol.serial_bytes
    first, last = _number(body, width), _number(body, width + 2)
    count, rest = last - first + 1, len(body) - width - 4
    if not 0 < count <= MAX_WORDS or rest not in (0, 2 * count):
        raise RecordError(f"holding {first}-{last} in {rest} bytes")
    words = _words(count).unpack_from(body, width + 4) if rest else ()
    return _answer(packet, logger, first, last, words=words)


def _holding_written(packet: Packet, logger: str) -> Answer:
    body, width = packet.body, packet.protocol.serial_bytes
    register = _number(body, width)
    status = _octet(body, width + 2)
    value = _number(body, width + 3)
    return _answer(packet, logger, register, register, words=(value,), status=status)


def _holdings_written(packet: Packet, logger: str) -> Answer:
    body, width = packet.body, packet.protocol.serial_bytes
    first, last = _number(body, width), _number(body, width + 2)
    return _answer(packet, logger, first, last, status=_octet(body, width + 4))


def _answer(
    packet: Packet,
    logger: str,
    first: int,
    last: int,
    *,
    words: tuple[int, ...] = (),
    status: int | None = None,
) -> Answer:
    return Answer(
        type=packet.type,
        logger=logger,
        unit=packet.unit,
        first=first,
        last=last,
        words=words,
        status=status,
    )


def _octet(body: bytes, at: int) -> int:
    if at >= len(body):
        raise RecordError("it is cut short")
    return body[at]


def _number(body: bytes, at: int) -> int:
    if at + 2 > len(body):
        raise RecordError("it is cut short")
    return body[at] << 8 | body[at + 1]


_READERS: Final[Mapping[int, Callable[[Packet, str], Record]]] = {
    Type.PING: _ping,
    Type.METER: _meter,
    Type.METER_LOG: _meter_log,
    Type.STICK: _stick,
    Type.READ_PARAMETERS: _parameter,
    Type.WRITE_PARAMETER: _parameter_written,
    Type.READ_HOLDING: _holdings_read,
    Type.WRITE_HOLDING: _holding_written,
    Type.WRITE_HOLDINGS: _holdings_written,
}


# -- what is said to a logger ----------------------------------------------------------


def acknowledgement(packet: Packet) -> bytes:
    """Return the answer that takes a report: the same header and a status of 0."""
    return encode(
        packet.transaction,
        packet.protocol,
        packet.unit,
        packet.type,
        bytes((ACCEPTED,)),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """Something a logger is told. ``unit`` is that of the inverter, 1 for the logger itself."""

    type: Type
    unit: int
    first: int
    last: int
    tail: bytes
    """What follows the serial number in the body."""

    @property
    def name(self) -> str:
        """What it is, without values, for logs and errors."""
        what = _NAMES[self.type]
        span = f"{self.first}-{self.last}" if self.last != self.first else self.first
        return f"{what} {span}"

    def encode(self, transaction: int, protocol: Protocol, logger: str) -> bytes:
        """Return the packet for a logger."""
        body = serial_field(logger, protocol) + self.tail
        return encode(transaction, protocol, self.unit, self.type, body)


_NAMES: Final = {
    Type.READ_HOLDING: "read holding",
    Type.WRITE_HOLDING: "write holding",
    Type.WRITE_HOLDINGS: "write holding",
    Type.READ_PARAMETERS: "read parameter",
    Type.WRITE_PARAMETER: "write parameter",
}

LOGGER_UNIT: Final = 1
"""The unit of commands to a logger itself."""


def read_holding(unit: int, first: int, count: int) -> Command:
    """Return the command that reads holding registers of an inverter."""
    last = first + count - 1
    return Command(
        type=Type.READ_HOLDING,
        unit=unit,
        first=first,
        last=last,
        tail=pack(">HH", first, last),
    )


def write_holding(unit: int, register: int, word: int) -> Command:
    """Return the command that writes one holding register."""
    return Command(
        type=Type.WRITE_HOLDING,
        unit=unit,
        first=register,
        last=register,
        tail=pack(">HH", register, word),
    )


def write_holdings(unit: int, first: int, words: list[int]) -> Command:
    """Return the command that writes holding registers together."""
    last = first + len(words) - 1
    return Command(
        type=Type.WRITE_HOLDINGS,
        unit=unit,
        first=first,
        last=last,
        tail=pack(f">HH{len(words)}H", first, last, *words),
    )


def read_parameters(first: int, last: int) -> Command:
    """Return the command that reads parameters of a logger; it answers one by one."""
    return Command(
        type=Type.READ_PARAMETERS,
        unit=LOGGER_UNIT,
        first=first,
        last=last,
        tail=pack(">HH", first, last),
    )


def write_parameter(number: int, text: str) -> Command:
    """Return the command that writes a parameter of a logger."""
    octets = text.encode("ascii")
    return Command(
        type=Type.WRITE_PARAMETER,
        unit=LOGGER_UNIT,
        first=number,
        last=number,
        tail=pack(">HH", number, len(octets)) + octets,
    )


def commanded(packet: Packet) -> tuple[int, int] | None:
    """Return first and last register or parameter that a server's command is about.

    ``None`` if it is not readable, or longer than it says: what follows might be another.
    """
    at = packet.protocol.serial_bytes
    rest = len(packet.body) - at - 4
    if rest < 0:
        return None
    first, second = _number(packet.body, at), _number(packet.body, at + 2)
    last, length = second, 0
    match packet.type:
        case Type.WRITE_HOLDING:
            last = first
        case Type.WRITE_HOLDINGS:
            length = 2 * (second - first + 1)
        case Type.WRITE_PARAMETER:
            last, length = first, second
    return (first, last) if rest == length else None
