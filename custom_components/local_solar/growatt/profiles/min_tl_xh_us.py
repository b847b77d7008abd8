"""MIN TL-XH US: a MIN TL-XH with time slots for seasons, kinds of day and special days.

Facts: "Protocol II" V1.24 and V1.39. No unit was recorded. The slots of the seasons are
settings. Months and special days are not: nothing is known of what may be set there, nor of
what the nine slots of other MIN TL-XH do here.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from ...modbus.codecs import Bits, SharedWord
from ...modbus.register import Register
from ...points import Quantity as Q
from ..time_slots import US_SEASON_SLOTS, US_SLOT_TIME, us_slot
from . import min_tl_xh
from .profile import OFFERED, RAW, Part, Section, holding_row
from .protocol_2 import NO_YES
from .slot_rows import EVERYDAY_SLOTS, slot_rows
from .tl_xh_battery import PRIORITY, SLOTS

SLOT_MODE: Final[Mapping[int, str]] = {**PRIORITY, 3: "anti_reflux"}

SLOT_DAYS: Final[Mapping[int, str]] = {0: "weekday", 1: "weekend", 2: "week"}


# fmt: off
def _season(n: int) -> tuple[Register, ...]:
    """Return the rows of season ``n``: the months of the slots 9 * n - 8 to 9 * n."""
    address = 3124 + n
    return (
        holding_row(address, Bits(0, 4), f"us_tou_months{n}_first", "US season {n} first month",
                    Q.CODE, index=n),
        holding_row(address, Bits(4, 4), f"us_tou_months{n}_last", "US season {n} last month",
                    Q.CODE, index=n),
        holding_row(address, Bits(8), f"us_tou_months{n}_enabled", "US season {n}", Q.FLAG, index=n,
                    options=NO_YES),
    )


def _slot(n: int) -> tuple[Register, ...]:
    """Return the rows of slot ``n``, nine to each season."""
    season = (n - 1) // US_SEASON_SLOTS + 1
    return slot_rows(3129 + 2 * (n - 1), us_slot(season, SLOT_MODE, SLOT_DAYS), f"us_tou{n}",
                     "US time slot {n}", n, everyday=n <= EVERYDAY_SLOTS,
                     visibility=OFFERED if n <= EVERYDAY_SLOTS else RAW,
                     note=f"of season {season}",
                     notes={"mode": "battery first charges from the grid only while 3049 is on",
                            "end": "23:59 = until midnight"})


def _special_day(day: int) -> tuple[Register, ...]:
    """Return the rows of a special day: its date and nine slots."""
    address = 3201 + 19 * (day - 1)
    return (
        holding_row(address, Bits(0, 8), f"us_special_day{day}_day", "US special day {n} day",
                    Q.CODE, index=day),
        holding_row(address, Bits(8, 7), f"us_special_day{day}_month", "US special day {n} month",
                    Q.CODE, index=day),
        holding_row(address, Bits(15), f"us_special_day{day}_enabled", "US special day {n}", Q.FLAG,
                    index=day, options=NO_YES),
        *(row for n in range(1, 10) for row in _special_slot(day, n, address + 2 * n - 1)),
    )


def _special_slot(day: int, n: int, address: int) -> tuple[Register, ...]:
    """Return the rows of slot ``n`` of a special day; its end has the word for itself."""
    key, name = f"us_special_day{day}_slot{n}", f"US special day {day} slot {n}"
    return (
        holding_row(address, SharedWord(US_SLOT_TIME), f"{key}_start", f"{name} start",
                    Q.TIME_OF_DAY),
        holding_row(address, Bits(12, 3), f"{key}_mode", f"{name} mode", Q.STATE,
                    options=SLOT_MODE),
        holding_row(address, Bits(15), f"{key}_enabled", name, Q.FLAG, options=NO_YES),
        holding_row(address + 1, US_SLOT_TIME, f"{key}_end", f"{name} end", Q.TIME_OF_DAY),
    )
# fmt: on


SCHEDULE: Final[tuple[Register, ...]] = (
    *(row for n in range(1, 5) for row in _season(n)),
    *(row for n in range(1, 37) for row in _slot(n)),
    *(row for day in (1, 2) for row in _special_day(day)),
)
"""Holding registers 3125 to 3238."""

PROFILE: Final = replace(
    min_tl_xh.PROFILE,
    key="min_tl_xh_us",
    name="MIN TL-XH US",
    sections=(*min_tl_xh.PROFILE.sections, Section(part=Part.BATTERY, rows=SCHEDULE)),
    read_only=frozenset(row.key for row in SLOTS),
)
"""Register map of MIN TL-XH US."""
