"""What Growatt inverters make of a write to their clock, time slots and VPP registers.

``after`` are the holding registers as they would be after the write, ``written`` the
addresses that it names.
"""

import calendar
from collections.abc import Mapping
from typing import Final

from .requests import ILLEGAL_FUNCTION, ILLEGAL_VALUE, RefusedError

_MOST_MINUTES: Final = 1440

_YEAR, _MONTH, _DAY = 45, 46, 47
_CLOCK_LIMITS: Final = {
    _YEAR: (2000, 2099),
    _MONTH: (1, 12),
    _DAY: (1, 31),
    48: (0, 23),
    49: (0, 59),
    50: (0, 59),
}

SLOTS: Final = (*range(3038, 3046, 2), *range(3050, 3060, 2))
"""Start words of the time slots 1 to 9 of TL-XH inverters. The end words follow them."""

SLOT_ENDS: Final = tuple(start + 1 for start in SLOTS)

VPP_VERSION: Final = 30099
"""Holding register: version of the VPP protocol, times 100."""

VPP: Final = (30000, 31999)
"""First and last address of the VPP protocol."""

REMOTE: Final = (30407, 30408, 30409)
"""Holding registers of a command to the battery: on, minutes, power in per cent."""

_AUTHORITY: Final = 30100
_VPP_LIMITS: Final = {
    _AUTHORITY: (0, 1),
    30407: (0, 1),
    30408: (0, _MOST_MINUTES),
    30409: (-100, 100),
}

_GRID_CHARGE: Final = 3049
_LAST_MODE: Final = 2
_BATTERY_FIRST: Final = 1
_DAY_MINUTES: Final = 24 * 60


def settle_clock(after: dict[int, int], written: range) -> None:
    """Bring the clock into the form that is read back.

    A year of two digits becomes one of four. A day that a new month or year does not
    have becomes the last that it has, as whoever sets the clock word by word passes
    through such dates.
    """
    if _YEAR in written and after[_YEAR] < 100:
        after[_YEAR] += 2000
    if (_YEAR in written or _MONTH in written) and _DAY not in written:
        last = _last_day(after)
        if after.get(_DAY, 0) > last:
            after[_DAY] = last


def check_clock(after: Mapping[int, int], written: range) -> None:
    """Refuse words that no clock can show. Raises ``RefusedError``."""
    for address, (low, high) in _CLOCK_LIMITS.items():
        if address in written and not low <= after[address] <= high:
            raise RefusedError(ILLEGAL_VALUE)
    if _DAY in written and after[_DAY] > _last_day(after):
        raise RefusedError(ILLEGAL_VALUE)


def _last_day(words: Mapping[int, int]) -> int:
    """Return the last day of the month, 31 if the month is none."""
    month = words.get(_MONTH, 0)
    if not 1 <= month <= 12:
        return 31
    return calendar.monthrange(words.get(_YEAR, 0), month)[1]


def check_slots(after: Mapping[int, int], written: range) -> None:
    """Refuse enabled slots with impossible times or modes, or that overlap with another.

    Raises ``RefusedError``. Slots that are not written may be as they are.
    """
    for start in SLOTS:
        if not _is_written(start, written) or not _is_enabled(after, start):
            continue
        minutes = _minutes_of(after, start)
        if (
            minutes is None
            or _mode(after, start) > _LAST_MODE
            or any(
                minutes & (_minutes_of(after, other) or set())
                for other in SLOTS
                if other != start and _is_enabled(after, other)
            )
        ):
            raise RefusedError(ILLEGAL_VALUE)


def forgotten_slots(after: Mapping[int, int], written: range) -> set[int]:
    """Return the words of slots that need grid charging, while that is off."""
    if after.get(_GRID_CHARGE, 0):
        return set()
    return {
        address
        for start in SLOTS
        if _is_written(start, written)
        and _is_enabled(after, start)
        and _mode(after, start) == _BATTERY_FIRST
        for address in (start, start + 1)
    }


def speaks_vpp(words: Mapping[int, int]) -> bool:
    """Tell whether holding registers are those of an inverter with the VPP protocol."""
    return 200 <= words.get(VPP_VERSION, 0) <= 299


def check_vpp(before: Mapping[int, int], written: Mapping[int, int]) -> None:
    """Refuse what the VPP protocol does not allow. Raises ``RefusedError``.

    An inverter without it, or that it has no control of, takes nothing at its
    addresses but the control itself. Which exception the latter is, is not known.
    """
    if not any(VPP[0] <= address <= VPP[1] for address in written):
        return
    if not speaks_vpp(before) or (
        before.get(_AUTHORITY) != 1 and list(written) != [_AUTHORITY]
    ):
        raise RefusedError(ILLEGAL_FUNCTION)
    for address, (low, high) in _VPP_LIMITS.items():
        if address in written and not low <= _signed(written[address]) <= high:
            raise RefusedError(ILLEGAL_VALUE)


def remote_power(words: Mapping[int, int]) -> tuple[int, int] | None:
    """Return minutes and per cent of the command in force, ``None`` if there is none."""
    enabled, minutes, power = (words.get(address, 0) for address in REMOTE)
    if words.get(_AUTHORITY) != 1 or enabled != 1:
        return None
    return minutes, _signed(power)


def _signed(word: int) -> int:
    return (word ^ 0x8000) - 0x8000


def _is_written(start: int, written: range) -> bool:
    return start in written or start + 1 in written


def _is_enabled(words: Mapping[int, int], start: int) -> bool:
    return bool(words.get(start, 0) >> 15)


def _mode(words: Mapping[int, int], start: int) -> int:
    return words.get(start, 0) >> 13 & 3


def _minutes_of(words: Mapping[int, int], start: int) -> set[int] | None:
    """Return the minutes of the day in a slot, its end excluded; ``None`` if it is no time.

    A slot that ends before it begins goes on after midnight.
    """
    first, end = _minute(words.get(start, 0)), _minute(words.get(start + 1, 0))
    if first is None or end is None:
        return None
    if first <= end:
        return set(range(first, end))
    return {*range(first, _DAY_MINUTES), *range(end)}


def _minute(word: int) -> int | None:
    hour, minute = word >> 8 & 0x1F, word & 0xFF
    return 60 * hour + minute if hour < 24 and minute < 60 else None
