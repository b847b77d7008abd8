"""Walking the chain of blocks that a gateway's register map is.

Facts: SunSpec Information Models 12041 V1.9; the maker's register map. The chain begins with
a marker at 40000; each block begins with its number and the count of registers behind
these two; the last has the number 0xFFFF. Which blocks there are, and how long, differs with
the system and the firmware, so blocks that nobody knows are skipped by their length.
"""

from dataclasses import dataclass
from typing import Final

from modbus_connection import IllegalDataAddressError, ModbusError, ModbusUnit

from ..modbus.image import Space
from ..modbus.reader import is_refusal, read_words
from .block import HEADER_WORDS, Block
from .blocks import BLOCKS
from .errors import BrokenMapError, EncryptedError, NotSunSpecError

BASE: Final = 40000
"""Register of the marker."""

MARKER: Final = (0x5375, 0x6E53)
"""``SunS``."""

END: Final = 0xFFFF
"""Number of the block that ends the chain."""

NO_DATA: Final = 0x8000
"""What stands in the place of a block's number while the gateway has no data of it."""

MOST_BLOCKS: Final = 100
"""Ten devices make some 25; more is no system of OutBack's."""

ENCRYPTION_KEY: Final = 40074
"""Register of the key that others are scrambled with, 0 for none."""

_LAST_REGISTER: Final = 0xFFFF


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a block lies, how long it says it is, and the port of the device it is of."""

    did: int
    address: int
    length: int
    port: int | None = None

    @property
    def end(self) -> int:
        """First register after the block."""
        return self.address + HEADER_WORDS + self.length

    @property
    def block(self) -> Block | None:
        """Its table, ``None`` for a block that nobody knows."""
        return BLOCKS.get(self.did)


async def async_walk(unit: ModbusUnit) -> tuple[Place, ...]:
    """Return all blocks of a map, known or not, without the one that ends it.

    Raises ``NotSunSpecError``, ``EncryptedError``, ``BrokenMapError`` or ``ModbusError``.
    """
    await _check_marker(unit)
    places: list[Place] = []
    address = BASE + len(MARKER)
    while True:
        did, length, port = await _async_header(unit, address)
        if did == END:
            return tuple(places)
        block = BLOCKS.get(did)
        has_port = block is not None and block.has_port and length > 0
        place = Place(
            did=did, address=address, length=length, port=port if has_port else None
        )
        if place.end + HEADER_WORDS > _LAST_REGISTER:
            raise BrokenMapError(
                f"the block at {address} leads to {place.end}, beyond all registers"
            )
        places.append(place)
        if len(places) > MOST_BLOCKS:
            raise BrokenMapError(f"no end after {MOST_BLOCKS} blocks, at {address}")
        address = place.end


async def _check_marker(unit: ModbusUnit) -> None:
    try:
        marker = await read_words(unit, Space.HOLDING, BASE, len(MARKER))
    except ModbusError as err:
        if not is_refusal(err):
            raise
        raise NotSunSpecError(f"register {BASE} is refused: {err}") from err
    if tuple(marker) == MARKER:
        return
    found = " ".join(f"{word:04X}" for word in marker)
    try:
        key = await read_words(unit, Space.HOLDING, ENCRYPTION_KEY, 1)
    except ModbusError as err:
        if not is_refusal(err):
            raise
        key = [0]
    if key[0] not in (0, 0xFFFF) and any(marker):
        raise EncryptedError(f"registers are scrambled (key {key[0]:04X})")
    raise NotSunSpecError(f"register {BASE} holds {found} instead of SunS")


async def _async_header(unit: ModbusUnit, address: int) -> tuple[int, int, int | None]:
    """Return number, length and the word behind them, which is missing after the last block."""
    try:
        did, length, port = await read_words(unit, Space.HOLDING, address, 3)
    except IllegalDataAddressError:
        pass
    else:
        return did, length, port
    try:
        did, length = await read_words(unit, Space.HOLDING, address, HEADER_WORDS)
    except IllegalDataAddressError as err:
        raise BrokenMapError(f"the map ends at {address}, in the chain") from err
    return did, length, None
