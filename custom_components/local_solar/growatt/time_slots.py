"""Time slots: the part of a day in which the battery, the house or the grid comes first.

Facts: "Protocol II" V1.24 and V1.39, the recording of a MIN 6000TL-XH, and reports of
owners (which firmware takes both words of a slot only at once, and that overlapping
slots are refused).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import time
from typing import Final

from ..modbus.codecs import Raw, TimeOfDay
from ..points import TimeSlot, TimeSlotChange

SLOT_TIME: Final = TimeOfDay(hour_shift=8, hour_width=5, minute_shift=0, minute_width=8)
"""Start and end of the slots of TL-XH."""

END_OF_DAY: Final = time(23, 59)
"""The end of a slot that lasts until midnight."""

_MODE_SHIFT: Final = 13
_MODE_MASK: Final = 0b11
_ENABLED: Final = 1 << 15


@dataclass(frozen=True, slots=True)
class SlotCodec:
    """A slot of TL-XH: start, mode and switch in one word, the end in the next one."""

    modes: Mapping[int, str]

    @property
    def words(self) -> int:
        """A slot takes two words."""
        return 2

    def decode(self, words: Sequence[int]) -> TimeSlot | None:
        """Return the slot, ``None`` where a time or the mode is impossible."""
        start, end = SLOT_TIME.decode(words[:1]), SLOT_TIME.decode(words[1:])
        mode = self.modes.get(words[0] >> _MODE_SHIFT & _MODE_MASK)
        if start is None or end is None or mode is None:
            return None
        return TimeSlot(
            start=start, end=end, mode=mode, enabled=bool(words[0] & _ENABLED)
        )

    def encode(self, raw: Raw) -> tuple[int, ...]:
        """Return the words of a slot; the reserved bits of the second one are 0."""
        if not isinstance(raw, TimeSlot):
            raise TypeError("is not a time slot")
        modes = {text: number for number, text in self.modes.items()}
        if raw.mode not in modes:
            raise TypeError(f"has a mode that is not one of: {', '.join(modes)}")
        (start,), (end,) = SLOT_TIME.encode(raw.start), SLOT_TIME.encode(raw.end)
        return start | modes[raw.mode] << _MODE_SHIFT | raw.enabled * _ENABLED, end


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
        case _:
            raise TypeError(f"is not the {part} of a time slot")


def is_switched_on(words: Sequence[int]) -> bool:
    """Return whether the words of a slot have it switched on, whatever else they hold."""
    return bool(words[0] & _ENABLED)


def crosses_midnight(slot: TimeSlot) -> bool:
    """Return whether a slot does not end after it starts: inverters take such ones for empty."""
    return slot.start >= slot.end


def overlaps(one: TimeSlot, other: TimeSlot) -> bool:
    """Return whether two slots that are switched on share a part of the day.

    One may begin when the other ends.
    """
    return (
        one.enabled
        and other.enabled
        and one.start < other.end
        and other.start < one.end
    )
