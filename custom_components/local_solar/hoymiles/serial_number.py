"""Serial numbers of Hoymiles devices: on the wire, in texts and on stickers.

Most messages carry a serial number as an integer, whose 12 hex digits are what
is printed on the device; the first four tell its type (``models.py``). A DTU
names itself by a text instead. Newer stickers show nine characters; how they
are made is taken from rovo89/hoymiles_proto.
"""

import re
from typing import Final

_HEX: Final = re.compile(r"([0-9A-F]{12})J?", re.IGNORECASE | re.ASCII)
"""Solenso appends a J to the serial number of its DTUs."""

_SYMBOLS: Final = "0123456789ABCDEFGHJKLMNPRSTUVWXY"
_SHORT: Final = re.compile(f"[{_SYMBOLS}]{{9}}", re.IGNORECASE | re.ASCII)
_SHORT_RANGE: Final = range(0x2400_0000_0000, 0x3800_0000_0000)
_SHORT_SHIFTS: Final = (42, 37, 32, 25, 20, 15, 10, 5, 0)
"""Where the five bits of each of the nine characters lie. Bits 30 and 31 have no place."""
_SHORT_LOST: Final = 0b11 << 30

_BLANKS: Final = re.compile(r"[\s\0]+")
_BLANKS_AND_DASHES: Final = re.compile(r"[\s\0-]+")


class SerialNumberError(ValueError):
    """A text is not the serial number of a Hoymiles device."""


def as_text(serial: int) -> str:
    """Return the 12 hex digits of a serial number from the wire.

    A number that no device has is shown with as many digits as it takes, so that
    what is built from it stays unique.
    """
    return f"{serial % (1 << 64):012X}"


def as_printed(serial: int) -> str:
    """Return a serial number as its sticker shows it: nine characters or 12 hex digits."""
    if serial not in _SHORT_RANGE or serial & _SHORT_LOST:
        return as_text(serial)
    return "".join(_SYMBOLS[serial >> shift & 31] for shift in _SHORT_SHIFTS)


def parse(text: str) -> int:
    """Return the number that an owner typed or copied, in either of its forms.

    Raises:
        SerialNumberError: The text is neither.
    """
    compact = _BLANKS_AND_DASHES.sub("", text)
    if match := _HEX.fullmatch(compact):
        return int(match[1], 16)
    if _SHORT.fullmatch(compact):
        serial = _parse_short(compact.upper())
        if serial in _SHORT_RANGE:
            return serial
    raise SerialNumberError(
        f"{text!r} is not a Hoymiles serial number:"
        " expected 12 hex digits or the 9 characters of a newer sticker"
    )


def _parse_short(characters: str) -> int:
    return sum(
        _SYMBOLS.index(character) << shift
        for character, shift in zip(characters, _SHORT_SHIFTS, strict=True)
    )


def normalise_dtu(text: str) -> str:
    """Return the text a DTU names itself by in the one form to compare and to store."""
    compact = _BLANKS.sub("", text).upper()
    return compact[:12] + compact[12:].rstrip("J")
