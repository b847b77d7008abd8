"""Values of settings as people and automations write and read them."""

from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime, time
from typing import Final

from .points import (
    SLOT_PARTS,
    Occurrence,
    Point,
    PowerCommand,
    Quantity,
    Release,
    SlotPart,
    TimeSlot,
    TimeSlotChange,
    Value,
    Wanted,
)

type Given = bool | int | float | str | time | Mapping[str, object]
"""What someone may give as a value: text, number, truth value, or a slot's fields."""

type Json = dict[str, Json] | list[Json] | str | int | float | bool | None

_TOLERANCE: Final = 1e-6
_TRUTH: Final = {
    **dict.fromkeys(("on", "true", "yes", "1"), True),
    **dict.fromkeys(("off", "false", "no", "0"), False),
}


class NotAValueError(ValueError):
    """What was given is not a value of the point. The message says what is."""


def parse(point: Point, given: Given) -> Value | TimeSlotChange:
    """Return what someone wants ``point`` to hold by giving ``given``.

    Whether that is within the limits is the table's business. Raises ``NotAValueError``.
    """
    match point.quantity:
        case Quantity.FLAG | Quantity.COMMAND:
            return _truth(given)
        case Quantity.TIME_OF_DAY:
            return _time(given)
        case Quantity.TIME_SLOT:
            return _slot(given)
        case Quantity.POWER_COMMAND:
            raise NotAValueError("is given with the action control_battery only")
        case Quantity.TEXT:
            return _text(given)
        case _ if point.options:
            return _text(given)
        case _:
            return _number(given)


def as_json(value: Value | None) -> Json:
    """Return a value as JSON types: times as ``HH:MM``, slots as an object."""
    match value:
        case TimeSlot():
            return {
                part: _clock_time(what) if isinstance(what, time) else what
                for part, what in value.parts.items()
            }
        case PowerCommand():
            return {"power": value.power, "duration": value.minutes}
        case datetime():
            return value.isoformat()
        case time():
            return _clock_time(value)
        case frozenset():
            return [alarm.text for alarm in sorted(value)]
        case Occurrence():
            return {"kind": value.kind, **dict(value.details)}
        case _:
            return value


def as_text(value: Wanted | None, unit: str | None = None) -> str:
    """Return a value as it reads in a sentence: ``80 %``, ``on``, ``battery first``."""
    match value:
        case None:
            return "unknown"
        case bool():
            return "on" if value else "off"
        case int():
            return f"{value} {unit or ''}".rstrip()
        case float():
            return f"{value:g} {unit or ''}".rstrip()
        case TimeSlot():
            times = f"{_clock_time(value.start)}–{_clock_time(value.end)}"
            others = (
                _part_text(part, what)
                for part, what in value.parts.items()
                if part not in ("start", "end")
            )
            return ", ".join((times, *others))
        case TimeSlotChange():
            return ", ".join(
                f"{part} {_part_text(part, what)}" for part, what in value.parts.items()
            )
        case PowerCommand():
            return f"{_power_text(value.power)} {_duration_text(value.minutes)}"
        case Release():
            return as_text(False)
        case time():
            return _clock_time(value)
        case datetime():
            return value.isoformat(" ", "seconds")
        case str():
            return value.replace("_", " ")
        case frozenset():
            return ", ".join(alarm.text for alarm in sorted(value)) or "none"
        case Occurrence():
            return value.kind.replace("_", " ")


def _power_text(power: int) -> str:
    if not power:
        return "idle"
    return f"{'charge' if power > 0 else 'discharge'} {abs(power)} %"


def _duration_text(minutes: int) -> str:
    return f"for {minutes} min" if minutes else "without end"


def is_same(one: Value | None, other: Value | None) -> bool:
    """Return whether two values are the same, numbers but for rounding."""
    if isinstance(one, bool) is not isinstance(other, bool):
        return False
    if isinstance(one, int | float) and isinstance(other, int | float):
        return abs(one - other) < _TOLERANCE
    return one == other


def _truth(given: object) -> bool:
    if isinstance(given, int | float) and given in (0, 1):
        return bool(given)
    if isinstance(given, str) and (given := given.strip().lower()) in _TRUTH:
        return _TRUTH[given]
    raise NotAValueError("is not on or off")


def _number(given: object) -> float:
    if isinstance(given, int | float) and not isinstance(given, bool):
        return given
    if isinstance(given, str):
        with suppress(ValueError):
            number = float(given)
            return int(number) if number.is_integer() else number
    raise NotAValueError("is not a number")


def _text(given: Given) -> str:
    if isinstance(given, str):
        return given.strip()
    if isinstance(given, bool):
        # YAML takes a bare on and off for truth values.
        return "on" if given else "off"
    raise NotAValueError("is not one of the options")


def _time(given: object) -> time:
    if isinstance(given, time):
        return given
    # Only text: YAML takes a bare 23:30 for the number 1410, which could be 14:10.
    if isinstance(given, str):
        with suppress(ValueError):
            return time.fromisoformat(given.strip())
    raise NotAValueError('is not a time of day such as "23:30", in quotes')


def _slot(given: Given) -> TimeSlotChange:
    if not isinstance(given, Mapping):
        raise NotAValueError(
            f"is not a time slot: give what it has of {', '.join(SLOT_PARTS)}"
        )
    if unknown := [name for name in given if name not in SLOT_PARTS]:
        raise NotAValueError(
            f"has no part {', '.join(map(str, unknown))}: there are"
            f" {', '.join(SLOT_PARTS)}"
        )
    start, end, mode, days, power, enabled = (given.get(part) for part in SLOT_PARTS)
    return TimeSlotChange(
        start=None if start is None else _time(start),
        end=None if end is None else _time(end),
        mode=None if mode is None else str(mode),
        enabled=None if enabled is None else _truth(enabled),
        power=None if power is None else _percent(power),
        days=None if days is None else str(days),
    )


def _percent(given: object) -> int:
    number = _number(given)
    if isinstance(number, float) and not number.is_integer():
        raise NotAValueError("is not a whole number of per cent")
    return int(number)


def _part_text(part: str, value: SlotPart) -> str:
    return as_text(value, "%" if part == "power" else None)


def _clock_time(value: time) -> str:
    return value.isoformat("minutes")
