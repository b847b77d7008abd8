"""Cutting what comes over a serial line into requests, however it was split or spoilt.

Modbus RTU ends a message with a silence of 3.5 characters (MODBUS over Serial Line V1.02,
2.5.1.1). Behind a USB adapter, which hands on what it has every 16 ms, or a TCP connection
nothing is left of that: requests come glued together and torn apart. But what kind of
request it is says how long it is, so that the checksum alone decides.
"""

import re
from typing import Final, NamedTuple

from ..modbus.crc import crc16
from .pdu import READ_METER, WRITE_MULTIPLE

WRITE_COILS: Final = 0x0F

MOST_OCTETS: Final = 256
"""The longest message of Modbus RTU, with unit id and checksum."""

_LEAST_OCTETS: Final = 4
"""Unit id, function and checksum."""

_SHORT_OCTETS: Final = 8
_SHORT: Final = frozenset({*range(0x01, 0x07), READ_METER})
"""Functions whose requests have an address, one more word and nothing else."""

_HEAD_OCTETS: Final = 7
"""What of a request to write several says how long it is."""
_AROUND_VALUES: Final = 9
"""Octets of such a request besides the values."""

_MAY_START: Final = re.compile(rb"(?s).(?=[\1-\6\x0F\x10\x20]|\Z)")
"""A unit id before a function that is known, or before what has not come yet."""

_FUNCTIONS: Final = range(0x01, 0x80)
"""What can be the function of a request: answers with exceptions have the upper half."""

_NOT_YET: Final = MOST_OCTETS + 1
"""Stands for a length that is not known yet: longer than anything that is there."""


class Frame(NamedTuple):
    """A request whose checksum is right."""

    unit: int
    pdu: bytes


class Noise(NamedTuple):
    """Octets that are no request."""

    octets: bytes


def rtu_frame(unit: int, pdu: bytes) -> bytes:
    """Return a message as it goes over the line: unit id, PDU, checksum."""
    message = bytes((unit,)) + pdu
    return message + crc16(message).to_bytes(2, "little")


class RtuRequests:
    """What one client sends over a line without an end.

    The first place where a request can start and its checksum is right counts; so the
    result does not depend on how the octets were split. A function that is not known does
    not say how long its request is: that ends where the next one starts, or where the line
    falls silent. Each octet is looked at once as a start, and at most 512 are held.
    """

    __slots__ = ("_held", "_looked")

    def __init__(self) -> None:
        """Begin between two requests."""
        self._held = b""
        self._looked = 0
        """With how many of those that are held no request of a known function starts."""

    @property
    def is_unfinished(self) -> bool:
        """Whether octets are held that a silence would decide about."""
        return bool(self._held)

    def feed(self, data: bytes) -> list[Frame | Noise]:
        """Take in octets; return what is complete with them."""
        return self._cut(self._held + data if self._held else data, is_all=False)

    def give_up(self) -> list[Frame | Noise]:
        """Return what is left when the line has fallen silent: nothing more belongs to it.

        All of it is a request if its checksum is right. Else there may be a whole one
        behind half of another.
        """
        data = self._held
        if (frame := _frame_of(data)) is None:
            return self._cut(data, is_all=True)
        self._held, self._looked = b"", 0
        return [frame]

    def _cut(self, data: bytes, *, is_all: bool) -> list[Frame | Noise]:
        """Return what is complete; hold the rest, unless these are all octets there are."""
        found: list[Frame | Noise] = []
        begin, at, end = 0, self._looked, len(data)
        while at < end:
            stop = at + _request_octets(data, at)
            if stop > end and not is_all:
                break
            if stop <= end and crc16(data[at:stop]) == 0:
                _put(data[begin:at], found)
                found.append(Frame(data[at], data[at + 1 : stop - 2]))
                begin = at = stop
                continue
            next_start = _MAY_START.search(data, at + 1)
            at = next_start.start() if next_start else end
            while at - begin > MOST_OCTETS:
                found.append(Noise(data[begin : begin + MOST_OCTETS]))
                begin += MOST_OCTETS
        if is_all:
            _put(data[begin:], found)
            begin = at = end
        self._held, self._looked = data[begin:], at - begin
        return found


def _request_octets(data: bytes, at: int) -> int:
    """Return how long a request is that starts at a place.

    That of a function that is not known has no octets, and so no right checksum. Where too
    little has come the length is beyond all that is there.
    """
    if len(data) - at < 2:
        return _NOT_YET
    function = data[at + 1]
    if function in _SHORT:
        return _SHORT_OCTETS
    if function not in (WRITE_COILS, WRITE_MULTIPLE):
        return 0
    if len(data) - at < _HEAD_OCTETS:
        return _NOT_YET
    count = data[at + 4] << 8 | data[at + 5]
    octets = data[at + 6]
    expected = 2 * count if function == WRITE_MULTIPLE else (count + 7) // 8
    # One that contradicts itself is read to the silence, so that noise which looks like
    # the head of a long request holds up nothing.
    length = _AROUND_VALUES + octets
    return length if octets == expected and length <= MOST_OCTETS else 0


def _frame_of(octets: bytes) -> Frame | None:
    """Return the request that octets are, whatever its function."""
    if (
        _LEAST_OCTETS <= len(octets) <= MOST_OCTETS
        and octets[1] in _FUNCTIONS
        and crc16(octets) == 0
    ):
        return Frame(octets[0], octets[1:-2])
    return None


def _put(octets: bytes, found: list[Frame | Noise]) -> None:
    """Add what came before a request, or before a silence."""
    if octets:
        found.append(_frame_of(octets) or Noise(octets))
