"""How OutBack's blocks hold what the shared codecs do not know.

Facts: the maker's register map (2019-07), SunSpec Information Models 12041 V1.9, a dump of
a MATE3s. Whole numbers of two words have the low word first, addresses the high word.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, time
from ipaddress import IPv4Address
from typing import Final

from ..modbus.codecs import Integer, Raw

FIRST_DATE: Final = 1_000_000_000
"""Seconds of the epoch (2001): what is earlier is a clock that was never set."""

LAST_DATE: Final = 0x8000_0000
"""Negative numbers stand for "never", shifted by the time zone."""


@dataclass(frozen=True, slots=True)
class Bit:
    """One bit of a bit field. Read-only: the others must survive.

    With its highest bit set a bit field means nothing at all (SunSpec 12041).
    """

    mask: int

    @property
    def words(self) -> int:
        """A bit field takes one word."""
        return 1

    def decode(self, words: Sequence[int]) -> int | None:
        """Return 1 if the bit is set, else 0; ``None`` for a field that means nothing."""
        return None if words[0] & 0x8000 else int(bool(words[0] & self.mask))

    def encode(self, raw: Raw) -> tuple[int, ...]:
        """Refuse: writing would change the other bits of the word."""
        raise TypeError("shares its register with other values and cannot be written")


@dataclass(frozen=True, slots=True)
class BitField:
    """The bits of one word as a number."""

    @property
    def words(self) -> int:
        """A bit field takes one word."""
        return 1

    def decode(self, words: Sequence[int]) -> int | None:
        """Return the bits, ``None`` if the highest is set: the field then means nothing."""
        return None if words[0] & 0x8000 else words[0]

    def encode(self, raw: Raw) -> tuple[int, ...]:
        """Refuse: these tell what is, not what shall be."""
        raise TypeError("tells what is and cannot be written")


@dataclass(frozen=True, slots=True)
class Shown:
    """Which of some commands was given last, as far as the bits of a status word show it.

    ``masks`` holds the bit of each command's number. ``otherwise`` is the command that
    shows in none of these bits, if there is one.
    """

    masks: tuple[tuple[int, int], ...]
    otherwise: int | None = None

    @property
    def words(self) -> int:
        """A status word is one."""
        return 1

    def decode(self, words: Sequence[int]) -> int | None:
        """Return the command's number, ``None`` if the word shows none or means nothing."""
        if words[0] & 0x8000:
            return None
        for number, mask in self.masks:
            if words[0] & mask:
                return number
        return self.otherwise

    def encode(self, raw: Raw) -> tuple[int, ...]:
        """Return the word of a command."""
        return Integer().encode(raw)


@dataclass(frozen=True, slots=True)
class Address:
    """An IPv4 address, the high word first."""

    @property
    def words(self) -> int:
        """An address takes two words."""
        return 2

    def decode(self, words: Sequence[int]) -> str | None:
        """Return the address in its usual form, ``None`` where none is set."""
        number = Integer(2).decode(words)
        return str(IPv4Address(number)) if number else None

    def encode(self, raw: Raw) -> tuple[int, ...]:
        """Refuse: a wrong address cuts the gateway off."""
        raise TypeError("would cut the gateway off")


@dataclass(frozen=True, slots=True)
class Moment:
    """Seconds of the epoch in UTC, the low word first."""

    @property
    def words(self) -> int:
        """A moment takes two words."""
        return 2

    def decode(self, words: Sequence[int]) -> datetime | None:
        """Return the moment, ``None`` if there was none yet."""
        seconds = Integer(2, low_word_first=True).decode(words)
        if not FIRST_DATE <= seconds < LAST_DATE:
            return None
        return datetime.fromtimestamp(seconds, UTC)

    def encode(self, raw: Raw) -> tuple[int, ...]:
        """Refuse: these tell when something was."""
        raise TypeError("tells when something was and cannot be written")


@dataclass(frozen=True, slots=True)
class HourAndMinute:
    """A time of day in two words: the hour and the minute."""

    @property
    def words(self) -> int:
        """Hour and minute take a word each."""
        return 2

    def decode(self, words: Sequence[int]) -> time | None:
        """Return the time, ``None`` where hour or minute is impossible."""
        hour, minute = words
        return time(hour, minute) if hour < 24 and minute < 60 else None

    def encode(self, raw: Raw) -> tuple[int, ...]:
        """Return the words of a time in whole minutes."""
        if not isinstance(raw, time) or raw.replace(hour=0, minute=0) != time.min:
            raise TypeError("is not a local time of day in whole minutes")
        return raw.hour, raw.minute


BITS: Final = BitField()
ADDRESS: Final = Address()
MOMENT: Final = Moment()
HOUR_MINUTE: Final = HourAndMinute()
