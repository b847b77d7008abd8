"""What was read of a block: the words of its rows, its texts, and whether it is the same."""

import string
from typing import Final

from ..modbus.image import RegisterImage
from .block import PORT
from .chain import NO_DATA, Place
from .errors import BlankError, MapChangedError

HEADER: Final = ("did", "length", PORT)
"""Rows that say what a block is."""


def header_of(place: Place) -> tuple[str, ...]:
    """Return the rows that say what a block is; those of the gateway have no port."""
    assert place.block is not None
    return HEADER if place.block.has_port else HEADER[:2]


def words_of(place: Place, name: str, image: RegisterImage) -> list[int] | None:
    """Return what is known of the words of a row of a block."""
    assert place.block is not None
    register = place.block.row(name).at(place.address)
    if register.end > place.end:
        return None
    return image.get(register.space, register.address, register.words)


def text_of(place: Place, name: str, image: RegisterImage) -> str:
    """Return a text of a block, empty if it tells none."""
    if (words := words_of(place, name, image)) is None:
        return ""
    assert place.block is not None
    value = place.block.row(name).register.decode(words)
    return "" if value is None else str(value)


def firmware_of(place: Place, image: RegisterImage) -> str:
    """Return the firmware's number: ``1.4.2``, empty if there is none."""
    parts = [
        text_of(place, f"{part}_firmware_number", image)
        for part in ("major", "mid", "minor")
    ]
    return ".".join(parts) if all(parts) else ""


def gateway_id(place: Place, image: RegisterImage) -> str:
    """Return the hardware address of a gateway: ``0090eae09f2e``, empty if it tells none."""
    digits = [
        digit
        for digit in text_of(place, "mac_address", image).lower()
        if digit in string.hexdigits
    ]
    return "".join(digits) if len(digits) == 12 else ""


def check_header(place: Place, image: RegisterImage) -> None:
    """Hold what was read of a block's header against what the block was.

    Raises ``BlankError`` or ``MapChangedError``. What was not read is not judged.
    """
    assert place.block is not None
    expected = {"did": place.did, "length": place.length, PORT: place.port}
    found = {
        name: words[0]
        for name in header_of(place)
        if (words := words_of(place, name, image)) is not None
    }
    for name, word in found.items():
        if word not in (expected[name], NO_DATA):
            raise MapChangedError(
                f"register {place.address}: {name} is {word}, was {expected[name]}"
            )
    # Only then: where a map has moved, any word may happen to be the same.
    if NO_DATA in found.values():
        raise BlankError
