"""What must be known around a time slot before it is changed, and which changes may be.

The slots themselves say which rules they keep (``time_slots.py``).
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from ..modbus.register import Register
from ..modbus.writing import does_not_fit
from ..points import AC_CHARGE, TimeSlot, TimeSlotChange, Value, Wanted
from ..values import as_text
from ..write_errors import InvalidValueError
from .time_slots import SlotCodec, change_of_part, crosses_midnight, overlaps

BATTERY_FIRST: Final = "battery_first"

PROTOCOL_VERSION: Final = "modbus_version"
"""Key of the row that tells the version of the protocol."""

type Known = Mapping[str, tuple[Register, list[int]]]
"""Key -> row and words that were read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What counts for a slot: itself, the others, whether the grid may charge, the firmware."""

    slot: TimeSlot | None
    others: Mapping[str, TimeSlot]
    unclear: tuple[str, ...]
    """Other slots that are on and hold something impossible."""
    grid_charges: bool
    version: float | None
    """Version of the protocol, ``None`` if it is not known."""


def keys_around(whole: Register, rows: Iterable[Register]) -> list[str]:
    """Return the keys of other rows that must be known to judge a change of a slot."""
    codec = _codec(whole)
    if codec.minutes_since is not None:
        return [PROTOCOL_VERSION]
    others = [
        row.key
        for row in rows
        if isinstance(row.codec, SlotCodec) and row.codec.schedule == codec.schedule
    ]
    return [*others, AC_CHARGE] if BATTERY_FIRST in codec.modes else others


def surroundings(whole: Register, own: Value | None, known: Known) -> Surroundings:
    """Return what counts for a slot, from what was read."""
    values = {key: row.decode(words) for key, (row, words) in known.items()}
    version = values.get(PROTOCOL_VERSION)
    return Surroundings(
        slot=own if isinstance(own, TimeSlot) else None,
        others={
            key: slot
            for key, slot in values.items()
            if isinstance(slot, TimeSlot) and key != whole.key
        },
        unclear=tuple(
            key
            for key, (row, words) in known.items()
            if isinstance(row.codec, SlotCodec)
            and key != whole.key
            and values[key] is None
            and row.codec.is_switched_on(words)
        ),
        grid_charges=values.get(AC_CHARGE) is True,
        # The off-grid protocol has not come to 1.00; anything beyond is another number.
        version=version if isinstance(version, float) and 0 < version < 1 else None,
    )


def as_change(row: Register, wanted: Wanted) -> Wanted:
    """Return the change of a slot if ``row`` shows a part of it.

    Raises ``InvalidValueError``.
    """
    if row.part_of is None:
        return wanted
    try:
        return change_of_part(row.part_of[1], wanted)
    except TypeError as err:
        raise does_not_fit(row, wanted, str(err)) from err


def slot_after(
    row: Register, whole: Register, wanted: Wanted, around: Surroundings
) -> TimeSlot:
    """Return the slot with what is wanted of it, or of the part of it that a row shows.

    Raises ``InvalidValueError``.
    """
    codec = _codec(whole)
    wanted = as_change(row, wanted)
    if not isinstance(wanted, TimeSlot | TimeSlotChange):
        raise does_not_fit(row, wanted, "is not a time slot")
    has = {*codec.parts, "mode"}
    for part in wanted.parts:
        if part not in has:
            raise InvalidValueError(
                "slot_has_no_part",
                register=row.key,
                part=part,
                parts=", ".join(codec.parts),
            )
    if isinstance(wanted, TimeSlot):
        return wanted
    if codec.block:
        wanted = TimeSlotChange(mode=codec.block).then(wanted)
    if (slot := wanted.applied_to(around.slot, codec.parts)) is None:
        raise InvalidValueError(
            "slot_not_valid", register=row.key, parts=", ".join(codec.parts)
        )
    return slot


def words_after(
    whole: Register, slot: TimeSlot, present: Iterable[int]
) -> tuple[int, ...]:
    """Return the words that are held now, with a slot in them.

    Raises ``InvalidValueError`` if it does not fit.
    """
    try:
        return _codec(whole).put(slot, tuple(present))
    except OverflowError as err:
        raise InvalidValueError(
            "value_out_of_range", str(err), register=whole.key, value=as_text(slot)
        ) from None
    except TypeError as err:
        raise does_not_fit(whole, slot, str(err)) from None


def check_slot(whole: Register, slot: TimeSlot, around: Surroundings) -> None:
    """Raise ``InvalidValueError`` if a slot cannot be what it shall be."""
    _check_minutes(whole, slot, around)
    if slot.enabled is not True:
        return
    if crosses_midnight(slot) and not _codec(whole).may_cross_midnight:
        raise InvalidValueError(
            "slot_crosses_midnight", register=whole.key, value=as_text(slot)
        )
    for other_key in around.unclear:
        raise InvalidValueError(
            "other_slot_not_valid", register=whole.key, other=other_key
        )
    for other_key, other in around.others.items():
        if overlaps(slot, other):
            raise InvalidValueError(
                "slot_overlaps",
                register=whole.key,
                value=as_text(slot),
                other=other_key,
                other_value=as_text(other),
            )


def lacks_grid_charge(slot: TimeSlot, around: Surroundings) -> bool:
    """Return whether a slot is to charge the battery while the grid may not."""
    return (
        slot.enabled is True and slot.mode == BATTERY_FIRST and not around.grid_charges
    )


def _check_minutes(whole: Register, slot: TimeSlot, around: Surroundings) -> None:
    """Raise ``InvalidValueError`` if minutes are wanted that may not count."""
    since = _codec(whole).minutes_since
    if since is None or not (slot.start.minute or slot.end.minute):
        return
    if around.version is None:
        raise InvalidValueError(
            "slot_minutes_unknown", register=whole.key, value=as_text(slot)
        )
    if around.version < since:
        raise InvalidValueError(
            "slot_hours_only", register=whole.key, value=as_text(slot)
        )


def _codec(whole: Register) -> SlotCodec:
    assert isinstance(whole.codec, SlotCodec)
    return whole.codec
