"""Time slots: a part of the day, and what comes first in it or flows in it.

Growatt has five encodings. Here each is a `SlotCodec`: where the parts of a slot lie in
its words, which parts it has, and what rules it keeps. Everything else follows from that:
the rows of the tables, the checks before a write, and the order in which words are sent.

Facts: "Protocol II" V1.13 to V1.39, "OffGrid" V0.26, "VPP" V2.03; the recording of a MIN
6000TL-XH; manuals of SPF inverters; and reports of owners (which firmware takes both words
of a slot only at once, and that overlapping slots are refused).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import time
from typing import Final, Protocol

from ..modbus.codecs import (
    HOUR_MINUTE,
    MINUTE_HOUR,
    MINUTES,
    S16,
    U16,
    Bits,
    Codec,
    MinutesOfDay,
    Raw,
    SharedWord,
    TimeOfDay,
)
from ..points import SlotPart, TimeSlot, TimeSlotChange

SLOT_TIME: Final = TimeOfDay(hour_shift=8, hour_width=5, minute_shift=0, minute_width=8)
"""Start and end of the slots of TL-XH."""

US_SLOT_TIME: Final = TimeOfDay(
    hour_shift=7, hour_width=5, minute_shift=0, minute_width=7
)
"""Start and end of the slots of TL-XH US: the hour a bit lower than in those of TL-XH."""

END_OF_DAY: Final = time(23, 59)
"""The end of a slot that lasts until midnight."""

OFF_ON: Final[Mapping[int, bool]] = {0: False, 1: True}

US_SEASON_SLOTS: Final = 9
"""Slots of a season of TL-XH US."""

VPP_SLOT_COUNT: Final = 20
VPP_MODE: Final = "vpp"
"""The mode under which the slots of the VPP protocol are found: they have a power instead."""

ALL_DAYS: Final = "week"

MINUTES_SINCE: Final = 0.22
"""Version of the off-grid protocol from which on minutes count; before it, hours alone do."""


# -- parts ----------------------------------------------------------------------------


class SlotField(Protocol):
    """Where a part of a slot lies in the words of the slot."""

    @property
    def part(self) -> str:
        """Which part it is."""

    @property
    def word(self) -> int:
        """In which of the words, counted from 0."""

    @property
    def codec(self) -> Codec:
        """How a row shows the part alone."""

    @property
    def mask(self) -> int:
        """Its bits of the word."""

    @property
    def options(self) -> Mapping[int, str | bool] | None:
        """What its numbers stand for."""

    def read(self, words: Sequence[int]) -> SlotPart | None:
        """Return what the words hold, ``None`` if it is nothing valid."""

    def encode(self, value: SlotPart, words: Sequence[int]) -> int:
        """Return its bits of the word for a value, given what the words hold.

        Raises ``OverflowError`` or ``TypeError`` if the value does not fit.
        """


@dataclass(frozen=True, slots=True)
class TimeField:
    """A time of day."""

    part: str
    word: int
    codec: TimeOfDay | MinutesOfDay

    @property
    def mask(self) -> int:
        """As the codec says."""
        return self.codec.mask

    @property
    def options(self) -> None:
        """None."""

    def read(self, words: Sequence[int]) -> time | None:
        """Return the time."""
        return self.codec.decode(words[self.word : self.word + 1])

    def encode(self, value: SlotPart, words: Sequence[int]) -> int:
        """Return the time as bits."""
        if not isinstance(value, time):
            raise TypeError(f"has no time for its {self.part}")
        return self.codec.encode(value)[0]


@dataclass(frozen=True, slots=True)
class ChoiceField:
    """One of some options, or on and off."""

    part: str
    word: int
    options: Mapping[int, str | bool]
    shift: int = 0
    width: int = 16

    @property
    def codec(self) -> Codec:
        """A number, or bits of one."""
        return U16 if self.width == 16 else Bits(self.shift, self.width)

    @property
    def mask(self) -> int:
        """So many bits."""
        return ((1 << self.width) - 1) << self.shift

    def read(self, words: Sequence[int]) -> str | bool | None:
        """Return the option."""
        return self.options.get((words[self.word] & self.mask) >> self.shift)

    def encode(self, value: SlotPart, words: Sequence[int]) -> int:
        """Return the number of an option as bits."""
        for number, option in self.options.items():
            if option == value and type(option) is type(value):
                return number << self.shift
        raise TypeError(
            f"has for {self.part} none of: {', '.join(map(str, self.options.values()))}"
        )


@dataclass(frozen=True, slots=True)
class PowerField:
    """Power of the battery in per cent, positive = charging."""

    part: str
    word: int

    @property
    def codec(self) -> Codec:
        """A signed number."""
        return S16

    @property
    def mask(self) -> int:
        """All bits."""
        return 0xFFFF

    @property
    def options(self) -> None:
        """None."""

    def read(self, words: Sequence[int]) -> int | None:
        """Return the power."""
        power = S16.decode(words[self.word : self.word + 1])
        return power if -100 <= power <= 100 else None

    def encode(self, value: SlotPart, words: Sequence[int]) -> int:
        """Return the power as bits."""
        if isinstance(value, bool) or not isinstance(value, int):
            raise TypeError(f"has no whole number for its {self.part}")
        if not -100 <= value <= 100:
            raise OverflowError(f"has a {self.part} that is not within -100 to 100 %")
        return S16.encode(value)[0]


@dataclass(frozen=True, slots=True)
class CountReaches:
    """Whether a count goes as far as a number. Read-only, like ``Bits``."""

    number: int

    @property
    def words(self) -> int:
        """A count takes one word."""
        return 1

    def decode(self, words: Sequence[int]) -> int:
        """Return 1 if it does."""
        return int(words[0] >= self.number)

    def encode(self, raw: Raw) -> tuple[int, ...]:
        """Refuse: the count is of others, too."""
        raise TypeError(
            "shares its register with other values and cannot be written alone"
        )


@dataclass(frozen=True, slots=True)
class CountField:
    """Slot ``number`` is on while the count of slots, in the first word, goes as far.

    So only the next one can be switched on, and only the last one off.
    """

    part: str
    number: int
    most: int

    @property
    def word(self) -> int:
        """The count comes first."""
        return 0

    @property
    def codec(self) -> Codec:
        """Whether the count goes as far."""
        return CountReaches(self.number)

    @property
    def mask(self) -> int:
        """All bits."""
        return 0xFFFF

    @property
    def options(self) -> Mapping[int, bool]:
        """On and off."""
        return OFF_ON

    def read(self, words: Sequence[int]) -> bool | None:
        """Return whether the count goes as far, ``None`` if it is impossible."""
        return words[0] >= self.number if words[0] <= self.most else None

    def encode(self, value: SlotPart, words: Sequence[int]) -> int:
        """Return the new count."""
        if not isinstance(value, bool):
            raise TypeError(f"is neither on nor off with {value}")
        count = words[0]
        if count > self.most:
            raise TypeError(f"is one of {count} slots: so many there cannot be")
        if value and count < self.number - 1:
            raise TypeError(
                f"cannot be switched on before slot {count + 1}, as the slots that are"
                " on are counted"
            )
        if not value and count > self.number:
            raise TypeError(
                f"cannot be switched off before slot {count}, as the slots that are on"
                " are counted"
            )
        return self.number if value else self.number - 1


# -- slots ----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class SlotCodec:
    """A slot: where its parts lie in its words, and the rules it keeps."""

    words: int
    fields: tuple[SlotField, ...]
    block: str = ""
    """The mode of all slots of its block, where a slot has no mode of its own."""
    schedule: str = ""
    """The slots of one schedule must not share a part of the day. Those of none may."""
    may_cross_midnight: bool = False
    at_once: bool = False
    """Whether its words can only be written together."""
    minutes_since: float | None = None
    """Version of the protocol from which on minutes count, ``None`` if they always do."""

    @property
    def modes(self) -> tuple[str, ...]:
        """The modes that a slot can have."""
        field = self.field("mode")
        if field is None or field.options is None:
            return (self.block,)
        return tuple(map(str, field.options.values()))

    def field(self, part: str) -> SlotField | None:
        """Return where a part lies, ``None`` if a slot has no such part."""
        return next((field for field in self.fields if field.part == part), None)

    @property
    def parts(self) -> tuple[str, ...]:
        """The parts that a slot has."""
        return tuple(field.part for field in self.fields)

    def row_codec(self, field: SlotField) -> Codec:
        """Return how a row shows a part alone, without touching what shares its word."""
        is_alone = all(
            other is field or other.word != field.word for other in self.fields
        )
        if is_alone or isinstance(field.codec, Bits | CountReaches):
            return field.codec
        return SharedWord(field.codec)

    def decode(self, words: Sequence[int]) -> TimeSlot | None:
        """Return the slot, ``None`` where a part of it is impossible."""
        found = TimeSlotChange(mode=self.block or None)
        for field in self.fields:
            if (value := field.read(words)) is None:
                return None
            found = found.then(change_of_part(field.part, value))
        return found.applied_to(None, self.parts)

    def put(self, raw: Raw, words: Sequence[int]) -> tuple[int, ...]:
        """Return ``words`` with a slot in them. No other bit is changed.

        A part that they hold already stays as it is. Raises ``OverflowError`` or
        ``TypeError`` if the slot does not fit.
        """
        if not isinstance(raw, TimeSlot):
            raise TypeError("is not a time slot")
        parts = raw.parts
        if self.block and parts.pop("mode") != self.block:
            raise TypeError(f"is always {self.block}")
        if surplus := parts.keys() - set(self.parts):
            raise TypeError(f"has no part {', '.join(sorted(surplus))}")
        after = list(words)
        for field in self.fields:
            if field.part not in parts:
                raise TypeError(f"needs a part {field.part}")
            value = parts[field.part]
            if field.read(after) != value:
                bits = field.encode(value, after)
                after[field.word] = after[field.word] & ~field.mask | bits
        return tuple(after)

    def encode(self, raw: Raw) -> tuple[int, ...]:
        """Return the words of a slot; bits that are of no part are 0."""
        return self.put(raw, (0,) * self.words)

    def is_switched_on(self, words: Sequence[int]) -> bool:
        """Return whether words do not say that their slot is off, whatever else they hold."""
        switch = self.field("enabled")
        return switch is None or switch.read(words) is not False

    def order(self, words: Sequence[int]) -> list[int]:
        """Return the order in which words go if they go one by one.

        A slot is switched on last, and off first.
        """
        switch = self.field("enabled")
        order = list(range(self.words))
        if switch is not None:
            order.remove(switch.word)
            is_on = self.is_switched_on(words)
            order.insert(len(order) if is_on else 0, switch.word)
        return order


def xh_slot(modes: Mapping[int, str]) -> SlotCodec:
    """Return the slots of TL-XH: start, mode and switch in one word, the end in the next."""
    return SlotCodec(
        words=2,
        fields=(
            TimeField("start", 0, SLOT_TIME),
            ChoiceField("mode", 0, modes, shift=13, width=2),
            ChoiceField("enabled", 0, OFF_ON, shift=15, width=1),
            TimeField("end", 1, SLOT_TIME),
        ),
        schedule="tou",
    )


def us_slot(
    season: int, modes: Mapping[int, str], days: Mapping[int, str]
) -> SlotCodec:
    """Return the slots of a season of TL-XH US: like those of TL-XH, and a kind of days.

    Whether these may overlap is not documented: it is taken that those of a season must
    not on the same days, as on TL-XH.
    """
    return SlotCodec(
        words=2,
        fields=(
            TimeField("start", 0, US_SLOT_TIME),
            ChoiceField("mode", 0, modes, shift=12, width=3),
            ChoiceField("enabled", 0, OFF_ON, shift=15, width=1),
            TimeField("end", 1, US_SLOT_TIME),
            ChoiceField("days", 1, days, shift=12, width=2),
        ),
        schedule=f"us_season{season}",
    )


def storage_slot(block: str) -> SlotCodec:
    """Return the slots of SPH, SPH-TL3 and SPA: start, end and switch in a word each.

    Each mode has a block of slots. No document says which counts if two overlap, so
    slots of different modes must not, either.
    """
    return SlotCodec(
        words=3,
        fields=(
            TimeField("start", 0, HOUR_MINUTE),
            TimeField("end", 1, HOUR_MINUTE),
            ChoiceField("enabled", 2, OFF_ON),
        ),
        block=block,
        schedule="storage",
    )


def off_grid_window(block: str) -> SlotCodec:
    """Return the windows of SPF and SPE: start and end, the hour in the low byte.

    There is no switch. By the manuals a window may last over midnight (from 23 to 20
    o'clock), and one from 00:00 to 00:00 is the whole day.

    A word up to 23 means the same with and without minutes, and firmware without them
    has no others. So the version must be known for writing minutes only.
    """
    return SlotCodec(
        words=2,
        fields=(
            TimeField("start", 0, MINUTE_HOUR),
            TimeField("end", 1, MINUTE_HOUR),
        ),
        block=block,
        may_cross_midnight=True,
        minutes_since=MINUTES_SINCE,
    )


def vpp_slot(number: int) -> SlotCodec:
    """Return slot ``number`` of the VPP protocol: start, end and power in a word each.

    The schedule is written as a whole: the count of slots, then the slots. So the words of
    a slot are those of all of them.
    """
    first = 1 + 3 * (number - 1)
    return SlotCodec(
        words=1 + 3 * VPP_SLOT_COUNT,
        fields=(
            CountField("enabled", number, VPP_SLOT_COUNT),
            TimeField("start", first, MINUTES),
            TimeField("end", first + 1, MinutesOfDay(midnight=True)),
            PowerField("power", first + 2),
        ),
        block=VPP_MODE,
        schedule="vpp",
        at_once=True,
    )


# -- changes --------------------------------------------------------------------------


def change_of_part(part: str, value: object) -> TimeSlotChange:
    """Return the change of one part of a slot. Raises ``TypeError`` if it does not fit."""
    match part, value:
        case "start", time():
            return TimeSlotChange(start=value)
        case "end", time():
            return TimeSlotChange(end=value)
        case "mode", str():
            return TimeSlotChange(mode=value)
        case "enabled", bool():
            return TimeSlotChange(enabled=value)
        case "days", str():
            return TimeSlotChange(days=value)
        case "power", int() | float() if not isinstance(value, bool) and value % 1 == 0:
            return TimeSlotChange(power=int(value))
        case _:
            raise TypeError(f"is not the {part} of a time slot")


def crosses_midnight(slot: TimeSlot) -> bool:
    """Return whether a slot does not end after it starts: inverters take such ones for empty."""
    return slot.start >= slot.end


def overlaps(one: TimeSlot, other: TimeSlot) -> bool:
    """Return whether two slots that are switched on share a part of the day.

    One may begin when the other ends.
    """
    return (
        one.enabled is True
        and other.enabled is True
        and _share_days(one, other)
        and one.start < other.end
        and other.start < one.end
    )


def _share_days(one: TimeSlot, other: TimeSlot) -> bool:
    return one.days == other.days or ALL_DAYS in (one.days, other.days)
