"""What Growatt inverters make of a write to their clock, time slots and VPP registers.

``after`` are the holding registers as they would be after the write, ``written`` the
addresses that it names.
"""

import calendar
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
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

VPP_VERSION: Final = 30099
"""Holding register: version of the VPP protocol, times 100."""

VPP_ADDRESSES: Final = (30000, 31999)
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
_ENABLED_BATTERY_FIRST: Final = 0b101
"""Switch and mode of a slot of TL-XH."""

_ALL_DAYS: Final = 2
"""Kind of days of slots that count on all of them."""

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


@dataclass(frozen=True, slots=True)
class Bits:
    """Some bits of one of the words of a slot."""

    word: int
    shift: int = 0
    width: int = 16

    def of(self, words: Sequence[int]) -> int:
        """Return them as a number."""
        return words[self.word] >> self.shift & ((1 << self.width) - 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """Slots of one kind, and what an inverter refuses of them."""

    starts: tuple[int, ...]
    """First words of the slots."""
    words: int
    """Words of a slot."""
    start: tuple[Bits, Bits] | Bits
    """Hour and minute, or minutes of the day."""
    end: tuple[Bits, Bits] | Bits
    mode: Bits | None = None
    modes: int = 0
    """Modes from this number on do not exist."""
    switch: Bits | None = None
    """Nothing switches slots off where there is none."""
    days: Bits | None = None
    count: int | None = None
    """Register that says how many slots are on, from the first one on."""
    limit: tuple[Bits, int] | None = None
    """A signed number, and how far it may go to both sides."""
    apart: bool = True
    """Whether slots that are on must not overlap."""
    at_once: bool = False
    """Whether function 6 is refused."""

    def check(
        self, after: Mapping[int, int], written: range, *, single: bool = False
    ) -> None:
        """Refuse slots that are on with something impossible, or that overlap with another.

        Raises ``RefusedError``. Slots that are not written may be as they are.
        """
        places = range(min(self.starts), max(self.starts) + self.words)
        counted = self.count is not None and self.count in written
        if not counted and not any(place in places for place in written):
            return
        if self.at_once and single:
            raise RefusedError(ILLEGAL_FUNCTION)
        if self.count is not None and after.get(self.count, 0) > len(self.starts):
            raise RefusedError(ILLEGAL_VALUE)
        for number, start in enumerate(self.starts):
            own = range(start, start + self.words)
            if not counted and not any(place in own for place in written):
                continue
            if self._is_on(after, number) and not self._is_possible(after, number):
                raise RefusedError(ILLEGAL_VALUE)

    def _is_possible(self, after: Mapping[int, int], number: int) -> bool:
        words = self._words(after, number)
        minutes = self._minutes(words)
        if minutes is None or (self.mode and self.mode.of(words) >= self.modes):
            return False
        if self.switch and self.switch.of(words) > 1:
            return False
        if self.limit is not None:
            bits, most = self.limit
            if most < bits.of(words) < 0x10000 - most:
                return False
        return not self.apart or not any(
            minutes & (self._minutes(others) or set())
            for other in range(len(self.starts))
            if other != number and self._is_on(after, other)
            if self._share_days(words, others := self._words(after, other))
        )

    def _words(self, holding: Mapping[int, int], number: int) -> list[int]:
        start = self.starts[number]
        return [holding.get(place, 0) for place in range(start, start + self.words)]

    def _is_on(self, holding: Mapping[int, int], number: int) -> bool:
        if self.count is not None:
            return number < holding.get(self.count, 0)
        return self.switch is None or bool(self.switch.of(self._words(holding, number)))

    def _share_days(self, one: Sequence[int], other: Sequence[int]) -> bool:
        if self.days is None:
            return True
        days = {self.days.of(one), self.days.of(other)}
        return len(days) == 1 or max(days) >= _ALL_DAYS

    def _minutes(self, words: Sequence[int]) -> set[int] | None:
        """Return the minutes of the day in a slot, its end excluded; ``None`` if it is no time.

        A slot that ends before it begins goes on after midnight.
        """
        first, end = _minute(self.start, words), _minute(self.end, words)
        if first is None or end is None:
            return None
        if first <= end:
            return set(range(first, end))
        return {*range(first, _DAY_MINUTES), *range(end)}


def _minute(place: tuple[Bits, Bits] | Bits, words: Sequence[int]) -> int | None:
    if isinstance(place, Bits):
        minutes = place.of(words)
        return minutes if minutes <= _DAY_MINUTES else None
    hour, minute = (bits.of(words) for bits in place)
    return 60 * hour + minute if hour < 24 and minute < 60 else None


def _blocks(words: int, *blocks: tuple[int, int]) -> tuple[int, ...]:
    """Return the first words of slots, from blocks of so many of them."""
    return tuple(
        first + words * place for first, count in blocks for place in range(count)
    )


XH: Final = Schedule(
    starts=_blocks(2, (3038, 4), (3050, 5)),
    words=2,
    start=(Bits(0, 8, 5), Bits(0, 0, 8)),
    end=(Bits(1, 8, 5), Bits(1, 0, 8)),
    mode=Bits(0, 13, 2),
    modes=3,
    switch=Bits(0, 15, 1),
)
"""Slots 1 to 9 of TL-XH."""

US_SEASONS: Final = tuple(
    Schedule(
        starts=_blocks(2, (3129 + 18 * season, 9)),
        words=2,
        start=(Bits(0, 7, 5), Bits(0, 0, 7)),
        end=(Bits(1, 7, 5), Bits(1, 0, 7)),
        mode=Bits(0, 12, 3),
        modes=4,
        switch=Bits(0, 15, 1),
        days=Bits(1, 12, 2),
    )
    for season in range(4)
)
"""Slots of the four seasons of TL-XH US."""

STORAGE: Final = Schedule(
    starts=_blocks(3, (1017, 6), (1080, 3), (1100, 3), (1110, 3)),
    words=3,
    start=(Bits(0, 8, 8), Bits(0, 0, 8)),
    end=(Bits(1, 8, 8), Bits(1, 0, 8)),
    switch=Bits(2),
)
"""Slots of SPH, SPH-TL3 and SPA, of all modes."""

OFF_GRID: Final = Schedule(
    starts=_blocks(2, (3, 2), (125, 6), (142, 3)),
    words=2,
    start=(Bits(0, 0, 8), Bits(0, 8, 8)),
    end=(Bits(1, 0, 8), Bits(1, 8, 8)),
    apart=False,
)
"""Windows of SPF and SPE."""

VPP: Final = Schedule(
    starts=_blocks(3, (30412, 20)),
    words=3,
    start=Bits(0),
    end=Bits(1),
    count=30411,
    limit=(Bits(2), 100),
    at_once=True,
)
"""Slots of the VPP protocol."""

SLOT_ENDS: Final = tuple(start + 1 for start in XH.starts)
"""End words of the slots of TL-XH."""


def schedules_of(holding: Collection[int], *, off_grid: bool) -> tuple[Schedule, ...]:
    """Return the schedules of an inverter that has these holding registers."""
    if off_grid:
        return (OFF_GRID,)
    known = (XH, *US_SEASONS, STORAGE, VPP)
    return tuple(
        each for each in known if not {*each.starts, each.count}.isdisjoint(holding)
    )


def forgotten_slots(after: Mapping[int, int], written: range) -> set[int]:
    """Return the words of slots that need grid charging, while that is off."""
    if after.get(_GRID_CHARGE, 0):
        return set()
    return {
        address
        for start in XH.starts
        if start in written or start + 1 in written
        if after.get(start, 0) >> 13 & 7 == _ENABLED_BATTERY_FIRST
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
    if not any(VPP_ADDRESSES[0] <= address <= VPP_ADDRESSES[1] for address in written):
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
