"""How long to leave a unit alone between two messages.

Growatt's documents name 850 ms; most devices take much less. So the gap starts there and
is halved with each answer. A device that fails right after it was shortened is not given
so short a gap again for some time; failures at a gap that has proven itself have another
cause, but the gap is begun anew.
"""

from typing import Final

PROVEN: Final = 20
"""Answers after which a gap is not suspected any more."""

NO_GAP: Final = 0.005
"""Seconds below which a gap is left out: the silence between two frames is about that."""

FORGIVEN_AFTER: Final = 600.0
"""Seconds after which a shorter gap is tried again."""


class Gap:
    """The gap of one unit, in seconds."""

    def __init__(self, first: float, least: float) -> None:
        """Begin with ``first`` and never go below ``least``."""
        self._first = max(first, least)
        self._least = least
        self._floor = least
        self._floor_since = 0.0
        self._kept = 0
        self.seconds = self._first

    def answered(self, now: float) -> None:
        """Take note of an answer, whatever it says."""
        self._kept += 1
        if self._floor > self._least and now - self._floor_since > FORGIVEN_AFTER:
            self._set_floor(_halved(self._floor), now)
        if self.seconds > self._floor:
            self.seconds = max(_halved(self.seconds), self._floor)
            self._kept = 0

    def failed(self, now: float) -> None:
        """Take note that a device which answered before did not, or with garbage."""
        if self._kept < PROVEN and self.seconds < self._first:
            self._set_floor(min(2 * max(self.seconds, NO_GAP), self._first), now)
        self.seconds = self._first
        self._kept = 0

    def _set_floor(self, seconds: float, now: float) -> None:
        self._floor = max(seconds, self._least)
        self._floor_since = now


def _halved(gap: float) -> float:
    return gap / 2 if gap >= 2 * NO_GAP else 0.0
