"""Holding wanted numbers against the rule of a setting, where no register row does it."""

from math import isfinite
from typing import Final

from .points import Point, Wanted
from .values import as_text
from .write_errors import InvalidValueError

_TOLERANCE: Final = 1e-6
"""A value may be off by so much of a step: templates calculate."""

_DECIMALS: Final = 6


def checked_number(point: Point, wanted: Wanted) -> float:
    """Return a number that a setting can hold. Raises ``InvalidValueError``."""
    if isinstance(wanted, bool) or not isinstance(wanted, int | float):
        raise invalid("value_not_representable", point, wanted, "is not a number")
    rule = point.setting
    assert rule is not None
    assert rule.minimum is not None and rule.maximum is not None and rule.step
    if not isfinite(wanted) or not rule.minimum <= wanted <= rule.maximum:
        allowed = f"{rule.minimum:g} to {rule.maximum:g} {point.unit or ''}".rstrip()
        raise invalid("value_out_of_range", point, wanted, f"is not within {allowed}")
    steps = wanted / rule.step
    if abs(steps - round(steps)) > _TOLERANCE:
        raise invalid(
            "value_not_representable",
            point,
            wanted,
            f"is not a multiple of {rule.step:g}",
        )
    # Templates calculate: 33.300000000000004 is meant to be 33.3.
    return round(round(steps) * rule.step, _DECIMALS)


def invalid(kind: str, point: Point, wanted: Wanted, why: str) -> InvalidValueError:
    """Return that a setting cannot hold what is wanted: the key of the text, and why."""
    return InvalidValueError(
        kind, why, register=point.key, value=as_text(wanted, point.unit)
    )
