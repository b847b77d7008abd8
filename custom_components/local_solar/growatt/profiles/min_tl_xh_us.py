"""MIN TL-XH US: a MIN TL-XH with time slots for seasons, kinds of day and special days.

Facts: "Protocol II" V1.24 and V1.39. No unit was recorded. No slot is a setting here:
which of them must not overlap, in which season and on which days, is not known, nor is
what the nine slots of other MIN TL-XH do here.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from ...modbus.codecs import Bits, SharedWord, TimeOfDay
from ...modbus.register import Register
from ...points import Quantity as Q
from . import min_tl_xh
from .profile import Part, Section, holding_row
from .protocol_2 import NO_YES
from .tl_xh_battery import PRIORITY, SLOTS

SLOT_MODE: Final[Mapping[int, str]] = {**PRIORITY, 3: "anti_reflux"}

SLOT_DAYS: Final[Mapping[int, str]] = {0: "weekday", 1: "weekend", 2: "week"}

SLOT_TIME: Final = TimeOfDay(hour_shift=7, hour_width=5, minute_shift=0, minute_width=7)
"""Start and end of a slot: the hour a bit lower than in the slots at 3038."""


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


def _start(address: int, key: str, name: str, n: int | None) -> tuple[Register, ...]:
    """Return the rows of the first word of a slot."""
    return (
        holding_row(address, SharedWord(SLOT_TIME), f"{key}_start", f"{name} start", Q.TIME_OF_DAY,
                    index=n),
        holding_row(address, Bits(12, 3), f"{key}_mode", f"{name} mode", Q.STATE, index=n,
                    options=SLOT_MODE),
        holding_row(address, Bits(15), f"{key}_enabled", name, Q.FLAG, index=n, options=NO_YES),
    )


def _slot(n: int) -> tuple[Register, ...]:
    """Return the rows of slot ``n``, nine to each season."""
    address = 3129 + 2 * (n - 1)
    return (
        *_start(address, f"us_tou{n}", "US time slot {n}", n),
        holding_row(address + 1, SharedWord(SLOT_TIME), f"us_tou{n}_end", "US time slot {n} end",
                    Q.TIME_OF_DAY, index=n),
        holding_row(address + 1, Bits(12, 2), f"us_tou{n}_days", "US time slot {n} days", Q.STATE,
                    index=n, options=SLOT_DAYS),
    )


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
        *_start(address, key, name, None),
        holding_row(address + 1, SLOT_TIME, f"{key}_end", f"{name} end", Q.TIME_OF_DAY),
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
