"""Errors and warnings that devices report in bit fields, as alarms."""

from collections.abc import Iterator, Mapping
from typing import Final

from ..points import Alarm, Value
from .blocks.charge_controller import FAULTS
from .blocks.inverters import ERRORS, WARNINGS
from .rows import words_of

FIELDS: Final[Mapping[str, tuple[str, Mapping[int, str]]]] = {
    "error_flags": ("fault", ERRORS),
    "warning_flags": ("warning", WARNINGS),
    "faults": ("fault", FAULTS),
}
"""Key of a bit field -> what kind of alarm its bits are, and their names by mask."""


def alarms_of(values: Mapping[str, Value | None]) -> frozenset[Alarm]:
    """Return what the bit fields among some values report."""
    return frozenset(_alarms(values))


def _alarms(values: Mapping[str, Value | None]) -> Iterator[Alarm]:
    for key, (kind, names) in FIELDS.items():
        bits = values.get(key)
        if not isinstance(bits, int):
            continue
        for mask, name in names.items():
            if bits & mask:
                text = words_of(name)
                yield Alarm(kind, mask, 0, text[0].upper() + text[1:])
