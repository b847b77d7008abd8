"""All points that devices of OutBack's may have: for texts and documents."""

from collections.abc import Iterator

from ..points import ALARMS, PROBLEM, Point
from .blocks import BLOCKS
from .derived import CHARGE_POWER, DISCHARGE_POWER, LEGS
from .totals import TOTALS


def every_point() -> Iterator[Point]:
    """Go through the points of all blocks, and those that no register holds."""
    for block in BLOCKS.values():
        yield from (row.register.point for row in block.rows)
    yield from (PROBLEM, ALARMS, CHARGE_POWER, DISCHARGE_POWER)
    yield from (point for point, _ in LEGS)
    yield from (total.point for total in TOTALS)
