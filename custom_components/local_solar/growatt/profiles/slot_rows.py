"""The rows of a time slot, which follow from its encoding."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from ...modbus.register import Register
from ...points import Quantity as Q, Setting, Visibility
from ..time_slots import SlotCodec
from .profile import OFFERED, holding_row

EVERYDAY_SLOTS: Final = 3
"""The controls of so many time slots are enabled at first: few owners need more."""

_QUANTITIES: Final = {
    "start": Q.TIME_OF_DAY,
    "end": Q.TIME_OF_DAY,
    "mode": Q.STATE,
    "days": Q.STATE,
    "enabled": Q.FLAG,
    "power": Q.PERCENT,
}

_NAMES: Final = {
    "start": " from",
    "end": " until",
    "mode": " mode",
    "days": " days",
    "enabled": "",
    "power": " power",
}

_POWER: Final = Setting(minimum=-100, maximum=100, step=1)


def slot_rows(
    address: int,
    codec: SlotCodec,
    key: str,
    name: str,
    n: int,
    *,
    everyday: bool = False,
    visibility: Visibility = OFFERED,
    note: str = "",
    notes: Mapping[str, str] | None = None,
) -> tuple[Register, ...]:
    """Return the rows of slot ``n``, whose words begin at ``address``.

    The first row is the slot as a whole, which is what is written; the others are its
    parts. ``note`` is that of the whole, ``notes`` are those of the parts.
    """
    setting = Setting(everyday=everyday)
    notes = notes or {}
    whole = holding_row(
        address,
        codec,
        key,
        f"{name} (all of it)",
        Q.TIME_SLOT,
        index=n,
        setting=setting,
        note=note,
    )
    whole = replace(whole, point=replace(whole.point, options=codec.modes))
    parts = (
        holding_row(
            address + field.word,
            codec.row_codec(field),
            f"{key}_{field.part}",
            name + _NAMES[field.part],
            _QUANTITIES[field.part],
            1,
            visibility,
            index=n,
            options=field.options,
            setting=replace(_POWER, everyday=everyday)
            if field.part == "power"
            else setting,
            part_of=(key, field.part),
            note=notes.get(field.part, ""),
        )
        for field in codec.fields
    )
    return (whole, *parts)
