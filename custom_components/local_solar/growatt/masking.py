"""Takes what identifies an owner out of a register dump, and leaves it loadable.

The first characters of a serial number tell the model, so they stay; the rest
becomes ``0`` and ``X``, which is still a serial number to a program.
"""

from collections.abc import Mapping
import string
from typing import Final

from ..modbus.codecs import Text
from ..modbus.image import RegisterImage
from ..modbus.register import Register
from .profiles.profile import Profile

KEPT: Final = 3
"""Characters that tell the model."""

_UNEXPLAINED: Final[Mapping[str, range]] = {"bdc_info": range(2, 10)}
"""Rows kept as words that hold a serial number, and where in them."""

_MASK: Final = str.maketrans(
    string.digits + string.ascii_letters,
    "0" * len(string.digits) + "X" * len(string.ascii_letters),
)


def mask_text(serial_number: str) -> str:
    """Return a serial number with all but its first characters replaced."""
    return serial_number[:KEPT] + serial_number[KEPT:].translate(_MASK)


def mask_serial_numbers(image: RegisterImage, profile: Profile) -> None:
    """Replace every serial number in ``image``, also that of batteries and boxes.

    Also what is known of an incomplete one, or of one that is no clean text.
    """
    for row in profile:
        known = image.words[row.space]
        for character, place in enumerate(_places(row)):
            if place in known:
                known[place] = _mask_word(known[place], 2 * character)


def _places(row: Register) -> range:
    """Return the addresses of the serial number in a row, if it has one."""
    if (words := _UNEXPLAINED.get(row.key)) is not None:
        return range(row.address + words.start, row.address + words.stop)
    if "serial" in row.key and isinstance(row.codec, Text):
        return range(row.address, row.end)
    return range(0)


def _mask_word(word: int, place: int) -> int:
    """Return a word of text whose first character is the one at ``place``."""
    text = word.to_bytes(2).decode("latin-1")
    kept = max(0, KEPT - place)
    masked = text[:kept] + text[kept:].translate(_MASK)
    return int.from_bytes(masked.encode("latin-1"))
