"""What a dump of a gateway must not give away."""

from collections.abc import Iterable
from typing import Final

from ..modbus.image import RegisterImage, Space
from .blocks.gateway import GATEWAY
from .chain import Place

MASKED_MAC: Final = "0090EA-000000"
"""The maker's part of the hardware address is no secret."""

MASKED_SERIAL: Final = "MASKED"

SERIAL_NUMBER: Final = "serial_number"

PRIVATE: Final = range(8, 248)
"""Offsets of hardware address, network, e-mail and system name in the gateway's block."""

TIME_SERVER: Final = range(251, 271)
WEB_SERVER: Final = range(368, 388)


def mask(image: RegisterImage, places: Iterable[Place]) -> None:
    """Replace what is private in an image: addresses, names, passwords, serial numbers."""
    words = image.words[Space.HOLDING]
    for place in places:
        if place.did == GATEWAY.did:
            for offset in (*PRIVATE, *TIME_SERVER, *WEB_SERVER):
                address = place.address + offset - 1
                if address in words and address < place.end:
                    words[address] = 0
            _put(words, place, "mac_address", MASKED_MAC)
        elif place.block is not None and place.block.has(SERIAL_NUMBER):
            # Those of devices are texts that their owners may have put in.
            _put(words, place, SERIAL_NUMBER, MASKED_SERIAL)


def _put(words: dict[int, int], place: Place, name: str, text: str) -> None:
    """Put a text in the place of another, as far as that is known."""
    assert place.block is not None
    register = place.block.row(name).at(place.address)
    for address, word in enumerate(register.encode(text), register.address):
        if address in words and address < place.end:
            words[address] = word
