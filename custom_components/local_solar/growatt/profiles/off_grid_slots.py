"""Windows of the day of SPF and SPE: two words each, and no switch.

Facts: "OffGrid" V0.26; manuals of SPF inverters, whose menu has the windows of registers
3 to 6 in hours.
"""

from collections.abc import Iterator
from typing import Final

from ...modbus.register import Register
from ..time_slots import off_grid_window
from .slot_rows import slot_rows

_WINDOWS: Final = (
    ("grid_output", "Grid output window {n}", {1: 3}, True),
    ("grid_charge", "Grid charge window {n}", {4: 5, 1: 131, 2: 133, 3: 135}, True),
    ("battery_feed", "Battery feed window {n}", {1: 125, 2: 127, 3: 129}, False),
    ("second_output", "Second output window {n}", {1: 142, 2: 144, 3: 146}, False),
)
"""Mode, name, and where each window begins. The maker numbers the windows for charging
from 131 on; that of 5 and 6, which is the only one of older firmware, has no number and is
4 here."""

_NOTE: Final = "from 00:00 until 00:00 = all day; other equal times are not documented"

_END: Final = (
    "with firmware before V0.22, which counts hours only, until the end of that hour"
    " (20:00 = 20:59)"
)


def _windows(
    mode: str, name: str, starts: dict[int, int], is_everyday: bool
) -> Iterator[Register]:
    for n, address in starts.items():
        yield from slot_rows(
            address,
            off_grid_window(mode),
            f"{mode}{n}",
            name,
            n,
            everyday=is_everyday and (address < 7 or n == 1),
            note=_NOTE,
            notes={"end": _END},
        )


OFF_GRID_SLOTS: Final[tuple[Register, ...]] = tuple(
    row for windows in _WINDOWS for row in _windows(*windows)
)
"""Holding registers 3 to 6, 125 to 136 and 142 to 147."""
