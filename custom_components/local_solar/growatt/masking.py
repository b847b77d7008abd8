"""Takes what identifies an owner out of a register dump, and leaves it loadable.

The first characters of a serial number tell the model, so they stay; the rest
becomes ``0`` and ``X``, which is still a serial number to a program.
"""

from typing import Final

from ..modbus.codecs import Text
from ..modbus.image import RegisterImage
from .profiles.profile import Profile

KEPT: Final = 3
"""Characters that tell the model."""


def mask_text(serial_number: str) -> str:
    """Return a serial number with all but its first characters replaced."""
    return serial_number[:KEPT] + "".join(
        "0" if char.isdigit() else "X" if char.isalpha() else char
        for char in serial_number[KEPT:]
    )


def mask_serial_numbers(image: RegisterImage, profile: Profile) -> None:
    """Replace every serial number in ``image``, also that of batteries and boxes."""
    for row in profile:
        if "serial" not in row.key or not isinstance(row.codec, Text):
            continue
        words = image.get(row.space, row.address, row.words)
        if words is None or (text := row.codec.decode(words)) is None:
            continue
        seen_at = image.seen_at(row.space, row.address) or 0.0
        image.store(row.space, row.address, row.codec.encode(mask_text(text)), seen_at)
