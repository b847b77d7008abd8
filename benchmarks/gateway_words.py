"""What the devices of ``benchmarks.gateway`` hold, so that each word can be checked.

Every register of every unit and space holds another word than those around it and than
the same register of the others: an answer that belongs to another request is seen.
"""

from array import array
from functools import cache
import sys
from typing import Final, NamedTuple

READ_HOLDING: Final = 3
READ_INPUT: Final = 4
MOST_WORDS: Final = 125
REGISTERS: Final = 0x1_0000

STAMP_WORDS: Final = 2
"""A device that stamps fills its answers with the milliseconds of the computer's clock,
of two words each."""

_STEP: Final = 40_503
"""Odd, so that all words of a unit differ."""


class Block(NamedTuple):
    """A read: unit id, function, first address and number of words."""

    unit: int
    function: int
    address: int
    length: int

    @property
    def pdu(self) -> bytes:
        """What asks for it."""
        return bytes((self.function,)) + (self.address << 16 | self.length).to_bytes(4)


@cache
def _octets(unit: int, function: int) -> bytes:
    """Return all registers, as they go over the line."""
    first = unit * 30_011 + function * 7_919
    words = array(
        "H", ((first + address * _STEP) & 0xFFFF for address in range(REGISTERS))
    )
    if sys.byteorder == "little":
        words.byteswap()
    return words.tobytes()


def answer_of(unit: int, function: int, address: int, count: int) -> bytes:
    """Return the PDU that answers a read."""
    octets = _octets(unit, function)[2 * address : 2 * (address + count)]
    return bytes((function, len(octets))) + octets


def stamped(function: int, count: int, seconds: float) -> bytes:
    """Return the PDU that answers a read with a time."""
    stamp = (int(seconds * 1000) & 0xFFFF_FFFF).to_bytes(4)
    octets = (stamp * (count // STAMP_WORDS + 1))[: 2 * count]
    return bytes((function, len(octets))) + octets


def stamp_of(pdu: bytes) -> float | None:
    """Return the time in an answer, in seconds; ``None`` if it holds more than one."""
    octets = pdu[2:]
    stamp = octets[:4]
    if octets != (stamp * (len(octets) // 4 + 1))[: len(octets)]:
        return None
    return int.from_bytes(stamp) / 1000
