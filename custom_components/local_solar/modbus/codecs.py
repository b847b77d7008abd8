"""How words of 16 bits hold numbers, texts and times.

A codec turns the words of one register row into a *raw* value and back.
Numbers leave it unscaled; scale and options belong to the row (``register.py``).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, time
import string
from typing import Final, Protocol

from ..points import PowerCommand, TimeSlot

type Raw = int | str | datetime | time | TimeSlot | PowerCommand

_HEX_DIGITS: Final = frozenset(string.hexdigits)


class Codec(Protocol):
    """Encoding of a fixed number of words."""

    @property
    def words(self) -> int:
        """How many words it takes."""

    def decode(self, words: Sequence[int]) -> Raw | None:
        """Return what the words hold, ``None`` where they hold nothing valid."""

    def encode(self, raw: Raw) -> tuple[int, ...]:
        """Return the words that hold ``raw``.

        Raises ``OverflowError`` when it is out of range and ``TypeError`` when
        it is of another type than this codec holds.
        """


@dataclass(frozen=True, slots=True)
class Integer:
    """A whole number of one or more words, the high word first unless told otherwise."""

    words: int = 1
    signed: bool = False
    low_word_first: bool = False

    @property
    def minimum(self) -> int:
        """Lowest number it can hold."""
        return -(1 << (16 * self.words - 1)) if self.signed else 0

    @property
    def maximum(self) -> int:
        """Highest number it can hold."""
        return (1 << (16 * self.words - self.signed)) - 1

    def decode(self, words: Sequence[int]) -> int:
        """Return the number."""
        number = 0
        for word in reversed(words) if self.low_word_first else words:
            number = number << 16 | word
        if self.signed and number > self.maximum:
            number -= 1 << (16 * self.words)
        return number

    def encode(self, raw: Raw) -> tuple[int, ...]:
        """Return the words of a number."""
        number = _integer(raw)
        if not self.minimum <= number <= self.maximum:
            raise OverflowError(f"is not within {self.minimum} to {self.maximum}")
        words = tuple(
            number >> (16 * place) & 0xFFFF for place in reversed(range(self.words))
        )
        return words[::-1] if self.low_word_first else words


@dataclass(frozen=True, slots=True)
class Bits:
    """Some bits of one word, such as its high byte. Read-only: the others must survive."""

    shift: int
    width: int = 1

    @property
    def words(self) -> int:
        """Bits live in one word."""
        return 1

    def decode(self, words: Sequence[int]) -> int:
        """Return the bits as a number."""
        return words[0] >> self.shift & ((1 << self.width) - 1)

    def encode(self, raw: Raw) -> tuple[int, ...]:
        """Refuse: writing would change the other bits of the word."""
        raise TypeError(
            "shares its register with other values and cannot be written alone"
        )


@dataclass(frozen=True, slots=True)
class SharedWord:
    """Some bits of a word in which other rows live, too: read as ``codec`` reads them.

    Read-only, like ``Bits``: ``codec`` itself would set the bits of the others to 0.
    """

    codec: Codec

    @property
    def words(self) -> int:
        """As many as the codec takes."""
        return self.codec.words

    def decode(self, words: Sequence[int]) -> Raw | None:
        """Return what the codec makes of the words."""
        return self.codec.decode(words)

    def encode(self, raw: Raw) -> tuple[int, ...]:
        """Refuse: writing would change the other bits of the word."""
        raise TypeError(
            "shares its register with other values and cannot be written alone"
        )


@dataclass(frozen=True, slots=True)
class Text:
    """ASCII, two characters a word, padded with NUL."""

    words: int

    def decode(self, words: Sequence[int]) -> str | None:
        """Return the text without padding, ``None`` if it is empty or not printable."""
        octets = b"".join(word.to_bytes(2, "big") for word in words)
        text = octets.split(b"\0", 1)[0] if octets[:1] != b"\0" else b""
        try:
            decoded = text.decode("ascii").strip()
        except UnicodeDecodeError:
            return None
        return decoded if decoded and decoded.isprintable() else None

    def encode(self, raw: Raw) -> tuple[int, ...]:
        """Return the words of a text."""
        if not isinstance(raw, str) or not raw.isascii():
            raise TypeError("is not ASCII text")
        if not raw.isprintable() or not raw or raw != raw.strip():
            raise TypeError("is not printable text without blanks around it")
        octets = raw.encode("ascii")
        if len(octets) > 2 * self.words:
            raise OverflowError(f"is longer than {2 * self.words} characters")
        octets = octets.ljust(2 * self.words, b"\0")
        return tuple(
            int.from_bytes(octets[place : place + 2], "big")
            for place in range(0, 2 * self.words, 2)
        )


@dataclass(frozen=True, slots=True)
class Hex:
    """Words shown as hexadecimal digits, four a word: codes that are no number."""

    words: int

    def decode(self, words: Sequence[int]) -> str:
        """Return the digits in upper case."""
        return "".join(f"{word:04X}" for word in words)

    def encode(self, raw: Raw) -> tuple[int, ...]:
        """Return the words of such digits."""
        if not isinstance(raw, str):
            raise TypeError("is not text")
        if not set(raw) <= _HEX_DIGITS:
            raise TypeError("is not hexadecimal")
        if len(raw) != 4 * self.words:
            raise OverflowError(f"has not {4 * self.words} digits")
        return tuple(int(raw[place : place + 4], 16) for place in range(0, len(raw), 4))


@dataclass(frozen=True, slots=True)
class TimeOfDay:
    """Hour and minute in bit fields of one word."""

    hour_shift: int
    hour_width: int
    minute_shift: int
    minute_width: int

    @property
    def words(self) -> int:
        """A time of day takes one word."""
        return 1

    @property
    def mask(self) -> int:
        """The bits of the word that the time takes."""
        hours = ((1 << self.hour_width) - 1) << self.hour_shift
        return hours | ((1 << self.minute_width) - 1) << self.minute_shift

    def decode(self, words: Sequence[int]) -> time | None:
        """Return the time, ``None`` where hour or minute is impossible."""
        hour = words[0] >> self.hour_shift & ((1 << self.hour_width) - 1)
        minute = words[0] >> self.minute_shift & ((1 << self.minute_width) - 1)
        return time(hour, minute) if hour < 24 and minute < 60 else None

    def encode(self, raw: Raw) -> tuple[int, ...]:
        """Return the word of a time; bits outside the two fields are 0."""
        hour, minute = _hour_minute(raw)
        return (hour << self.hour_shift | minute << self.minute_shift,)


@dataclass(frozen=True, slots=True)
class MinutesOfDay:
    """Minutes after midnight in one word.

    Where a period may end at ``midnight`` (1440), that reads as 23:59, as the end of a
    day does in other encodings.
    """

    midnight: bool = False

    @property
    def words(self) -> int:
        """A time of day takes one word."""
        return 1

    @property
    def mask(self) -> int:
        """The bits of the word that the time takes: all."""
        return 0xFFFF

    def decode(self, words: Sequence[int]) -> time | None:
        """Return the time, ``None`` after 23:59, or after midnight where that may be."""
        hour, minute = divmod(words[0], 60)
        if self.midnight and (hour, minute) == (24, 0):
            return time(23, 59)
        return time(hour, minute) if hour < 24 else None

    def encode(self, raw: Raw) -> tuple[int, ...]:
        """Return the minutes of a time."""
        hour, minute = _hour_minute(raw)
        return (hour * 60 + minute,)


@dataclass(frozen=True, slots=True)
class Clock:
    """Year, month, day, hour, minute and second, a word each, in local time.

    Years are read with four digits or two, and written with two, as loggers do.
    """

    @property
    def words(self) -> int:
        """A clock takes six words."""
        return 6

    def decode(self, words: Sequence[int]) -> datetime | None:
        """Return the naive local time, ``None`` where it is no date."""
        year, month, day, hour, minute, second = words
        try:
            return datetime(
                year + 2000 if year < 100 else year, month, day, hour, minute, second
            )
        except ValueError:
            return None

    def encode(self, raw: Raw) -> tuple[int, ...]:
        """Return the six words of a naive local time; fractions of a second are dropped."""
        if not isinstance(raw, datetime) or raw.tzinfo is not None:
            raise TypeError("is not a local date and time without a time zone")
        if not 2000 <= raw.year < 2100:
            raise OverflowError("is not within the years 2000 to 2099")
        return (raw.year % 100, raw.month, raw.day, raw.hour, raw.minute, raw.second)


@dataclass(frozen=True, slots=True)
class Words:
    """Words that are kept but not explained: protection limits, histories."""

    words: int

    def decode(self, words: Sequence[int]) -> str:
        """Return the words as hexadecimal text."""
        return Hex(self.words).decode(words)

    def encode(self, raw: Raw) -> tuple[int, ...]:
        """Refuse: nobody knows what they mean."""
        raise TypeError("has no known meaning and cannot be written")


def _hour_minute(raw: Raw) -> tuple[int, int]:
    if not isinstance(raw, time) or raw.replace(hour=0, minute=0) != time.min:
        raise TypeError("is not a local time of day in whole minutes")
    return raw.hour, raw.minute


def _integer(raw: Raw) -> int:
    if isinstance(raw, bool) or not isinstance(raw, int):
        raise TypeError("is not a whole number")
    return raw


U16 = Integer()
S16 = Integer(signed=True)
U32 = Integer(words=2)
S32 = Integer(words=2, signed=True)
U32_LOW_FIRST = Integer(words=2, low_word_first=True)
S32_LOW_FIRST = Integer(words=2, signed=True, low_word_first=True)
HIGH_BYTE = Bits(shift=8, width=8)
LOW_BYTE = Bits(shift=0, width=8)
HOUR_MINUTE = TimeOfDay(hour_shift=8, hour_width=8, minute_shift=0, minute_width=8)
MINUTE_HOUR = TimeOfDay(hour_shift=0, hour_width=8, minute_shift=8, minute_width=8)
MINUTES = MinutesOfDay()
CLOCK = Clock()
