"""Time slots of SPH, SPH-TL3 and SPA: a block for each mode, three words a slot.

Facts: "Protocol II" V1.13 to V1.39, and two other programs. By the documents the load-first
slots are those of SPA; an SPH that lacks them refuses to tell them.
"""

from collections.abc import Iterator
from typing import Final

from ...modbus.register import Register
from ..time_slots import storage_slot
from .profile import OFFERED, RAW
from .slot_rows import EVERYDAY_SLOTS, slot_rows

_WORDS: Final = 3

_BLOCKS: Final = (
    ("battery_first", "Battery-first slot {n}", (1100, 1017)),
    ("grid_first", "Grid-first slot {n}", (1080, 1026)),
    ("load_first", "Load-first slot {n}", (1110,)),
)
"""Mode, name, and where the slots 1 to 3, and 4 to 6 if there are any, begin."""

_NOTES: Final = {
    "battery_first": "charges from the grid only while 1092 is on",
    "load_first": "of SPA; reserved on SPH by the documents",
}


def _block(mode: str, name: str, starts: tuple[int, ...]) -> Iterator[Register]:
    addresses = [
        start + place for start in starts for place in range(0, 3 * _WORDS, _WORDS)
    ]
    for n, address in enumerate(addresses, 1):
        yield from slot_rows(
            address,
            storage_slot(mode),
            f"{mode}{n}",
            name,
            n,
            everyday=n <= EVERYDAY_SLOTS and mode != "load_first",
            visibility=OFFERED if n <= EVERYDAY_SLOTS else RAW,
            note=_NOTES.get(mode, ""),
            notes={"end": "23:59 = until midnight"},
        )


STORAGE_SLOTS: Final[tuple[Register, ...]] = tuple(
    row for block in _BLOCKS for row in _block(*block)
)
"""Holding registers 1017 to 1034, 1080 to 1088 and 1100 to 1118."""
