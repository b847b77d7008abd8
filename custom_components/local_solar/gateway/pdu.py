"""Requests and answers of Modbus as bytes, as far as the gateway speaks it.

A PDU is what Modbus TCP and RTU have in common: function code and data, without unit id,
transaction id or checksum (MODBUS Application Protocol V1.1b3). Function 0x20 is Growatt's
own: it reads the registers of a meter and looks like function 3.
"""

from collections.abc import Sequence
from enum import IntEnum
from struct import Struct, error, unpack
from typing import Final, NamedTuple, Self

READ_HOLDING: Final = 0x03
READ_INPUT: Final = 0x04
WRITE_SINGLE: Final = 0x06
WRITE_MULTIPLE: Final = 0x10
READ_METER: Final = 0x20

READS: Final = frozenset({READ_HOLDING, READ_INPUT})
WRITES: Final = frozenset({WRITE_SINGLE, WRITE_MULTIPLE})
SERVED: Final = READS | WRITES

MOST_READ: Final = 125
MOST_WRITTEN: Final = 123
ADDRESSES: Final = 0x1_0000

BROADCAST: Final = 0

_TWO: Final = Struct(">BHH")
_MANY: Final = Struct(">BHHB")
_ANSWERED: Final = Struct(">BB")
_ANSWERS: Final = [Struct(f">BB{count}H") for count in range(MOST_READ + 1)]
"""Answers to reads, by how many registers they hold."""
_ERROR_BIT: Final = 0x80


class ExceptionCode(IntEnum):
    """Why a request is not answered with data."""

    ILLEGAL_FUNCTION = 1
    ILLEGAL_ADDRESS = 2
    ILLEGAL_VALUE = 3
    DEVICE_FAILURE = 4
    BUSY = 6
    PATH_UNAVAILABLE = 10
    """The gateway does not reach the link."""
    NO_RESPONSE = 11
    """The link is there, but the unit does not answer."""


GATEWAYS_OWN: Final = frozenset(
    {ExceptionCode.BUSY, ExceptionCode.PATH_UNAVAILABLE, ExceptionCode.NO_RESPONSE}
)
"""What only a gateway answers: a device that cannot answer is silent."""


class Request(NamedTuple):
    """A request for so many registers; ``words`` are those to be written."""

    unit: int
    function: int
    address: int
    length: int
    words: tuple[int, ...] = ()

    @property
    def is_write(self) -> bool:
        """Whether it changes something."""
        return self.function in WRITES

    def covers(self, other: Self) -> bool:
        """Return whether this read brings all registers of another one."""
        return (
            self.address <= other.address
            and other.address + other.length <= self.address + self.length
            and self.unit == other.unit
            and self.function == other.function
        )

    def __str__(self) -> str:
        """Return it as logs show it."""
        return (
            f"function {self.function} at {self.address}, {self.length} registers,"
            f" unit {self.unit}"
        )


class BadRequestError(Exception):
    """A request that cannot be served, whatever the device. ``code`` is the answer to it."""

    def __init__(self, code: ExceptionCode) -> None:
        """Answer with ``code``."""
        super().__init__(code.name)
        self.code = code


def parse(unit: int, pdu: bytes) -> Request:
    """Return what a PDU asks of a unit.

    Raises ``BadRequestError``: function not known, numbers out of range, or a length that
    does not fit.
    """
    function = pdu[0] if pdu else 0
    if function not in SERVED:
        raise BadRequestError(ExceptionCode.ILLEGAL_FUNCTION)
    words: tuple[int, ...] = ()
    try:
        if function == WRITE_MULTIPLE:
            _, address, count, octets = _MANY.unpack_from(pdu)
            if octets != 2 * count or not 1 <= count <= MOST_WRITTEN:
                raise BadRequestError(ExceptionCode.ILLEGAL_VALUE)
            words = unpack(f">{count}H", pdu[_MANY.size :])
        else:
            _, address, count = _TWO.unpack(pdu)
            if function == WRITE_SINGLE:
                count, words = 1, (count,)
            elif not 1 <= count <= MOST_READ:
                raise BadRequestError(ExceptionCode.ILLEGAL_VALUE)
    except error as err:
        raise BadRequestError(ExceptionCode.ILLEGAL_VALUE) from err
    if address + count > ADDRESSES:
        raise BadRequestError(ExceptionCode.ILLEGAL_ADDRESS)
    return Request(unit, function, address, count, words)


def read_answer(function: int, words: Sequence[int]) -> bytes:
    """Return the PDU that answers a read with these words."""
    count = len(words)
    return _ANSWERS[count].pack(function, 2 * count, *words)


def part_of(answer: bytes, whole: Request, wanted: Request) -> bytes:
    """Return the answer to a read whose registers lie within those of another one."""
    if whole.length == wanted.length:
        return answer
    start = _ANSWERED.size + 2 * (wanted.address - whole.address)
    octets = 2 * wanted.length
    return _ANSWERED.pack(wanted.function, octets) + answer[start : start + octets]


def write_answer(request: Request) -> bytes:
    """Return the PDU that answers a write: an echo of what was asked."""
    last = request.words[0] if request.function == WRITE_SINGLE else request.length
    return _TWO.pack(request.function, request.address, last)


def exception_answer(function: int, code: int) -> bytes:
    """Return the PDU that says why a request is not answered."""
    return bytes((function | _ERROR_BIT, code))


def exception_of(answer: bytes) -> int | None:
    """Return the exception code of an answer, ``None`` if it is none."""
    return answer[1] if answer[0] & _ERROR_BIT else None
