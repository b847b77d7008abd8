"""Rows in blocks that lie somewhere, and what must be read with them to trust their values."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import takewhile
from typing import Final

from ..modbus.image import RegisterImage
from ..modbus.register import Register
from .block import Row
from .chain import Place
from .reading import header_of, words_of
from .system import IDENTITY_WORDS, MAX_WORDS, System

EXPONENTS: Final = range(-10, 11)
"""Scale factors that make sense (SunSpec 12041)."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PlacedRow:
    """A row of a block that lies somewhere."""

    place: Place
    row: Row

    @property
    def register(self) -> Register:
        """Where it is read. Its scale is not known here."""
        return self.row.at(self.place.address)


type PlacedRows = Mapping[str, PlacedRow]
"""Key -> row, of one device."""


def with_structure(place: Place, rows: Iterable[Row]) -> list[Row]:
    """Return rows of a block with those that tell what it is and how rows are scaled."""
    block = place.block
    assert block is not None
    chosen = {row.name: row for row in rows}
    scales = {row.scale_factor for row in chosen.values() if row.scale_factor}
    for name in (*header_of(place), *sorted(scales)):
        chosen.setdefault(name, block.row(name))
    return list(chosen.values())


def spans_of(placed: PlacedRow) -> list[tuple[int, int]]:
    """Return what must be read of a row's block, as address and count, to trust its value.

    That is the whole block if it fits in one request. Of a longer one the row and its scale
    come first, and then what the block is, so that a write can follow at once.
    """
    place = placed.place
    if place.end - place.address <= MAX_WORDS:
        return [(place.address, place.end - place.address)]
    if place.port is not None:
        # Longer than any known: its model may be anywhere.
        return [
            (first, min(MAX_WORDS, place.end - first))
            for first in range(place.address, place.end, MAX_WORDS)
        ][::-1]
    registers = [
        row.at(place.address)
        for row in with_structure(place, [placed.row])
        if row.offset > IDENTITY_WORDS
    ]
    spans = [(register.address, register.words) for register in registers]
    return [*spans, (place.address, IDENTITY_WORDS)]


def exponent_of(place: Place, row: Row, image: RegisterImage) -> int | None:
    """Return the power of ten of a row, ``None`` if the gateway does not tell it now."""
    if not row.scale_factor:
        return 0
    words = words_of(place, row.scale_factor, image)
    return as_exponent(words[0] if words else None)


def as_exponent(word: int | None) -> int | None:
    """Return the power of ten that a scale factor's word stands for, if for any."""
    if word is None:
        return None
    exponent = (word ^ 0x8000) - 0x8000
    return exponent if exponent in EXPONENTS else None


def groups(system: System) -> Iterator[tuple[int, int]]:
    """Go through the stretches of registers that a read must stay inside.

    A device's block is read as a whole, so that what it says it is comes with its values.
    The gateway's own blocks, at the start of the map, never move. With the last block may
    come the register behind it, which says that the map ends there.
    """
    places = system.places
    own = list(takewhile(lambda place: place.port is None, places))
    if own:
        yield own[0].address, _last_register(own[-1], system)
    for place in places[len(own) :]:
        if place.block is not None:
            yield place.address, _last_register(place, system)
    if places[-1].block is None and places[-1] not in own:
        yield places[-1].end, places[-1].end


def _last_register(place: Place, system: System) -> int:
    """Return the last register that may be read together with a block."""
    return place.end if place is system.places[-1] else place.end - 1


def rows_by_device(system: System) -> Iterator[tuple[str, PlacedRows]]:
    """Go through the devices of a system and the rows that each has."""
    yield system.id, _placed(system, system.gateway_places)
    for equipment in system.equipment:
        yield equipment.id, _placed(system, equipment.places)


def _placed(system: System, places: Iterable[Place]) -> PlacedRows:
    rows: dict[str, PlacedRow] = {}
    for place in places:
        assert place.block is not None
        for row in place.block.rows_within(place.length):
            placed = PlacedRow(place=place, row=row.within(system.nominal_voltage))
            rows.setdefault(row.key, placed)
    return rows
