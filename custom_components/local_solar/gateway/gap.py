"""How long to leave a unit alone between two messages.

Growatt's documents name 850 ms; most devices take much less. So the gap starts there and
is halved with each answer. With each failure it starts anew. A gap at which the device fails
soon, and twice in a row, is not tried again for some time; one that had proven itself must
fail more often. One failure does not tell: a device may be silent for many reasons.
"""

from typing import Final

PROVEN: Final = 20
"""Answers after which a gap has proven itself."""

STRIKES: Final = 2
STRIKES_IF_PROVEN: Final = 4
"""Failures in a row after which a gap is too short: one that is new, and one that had proven
itself. The device may be another since."""

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
        self._proven = self._first
        """The shortest gap that has proven itself."""
        self._failed_at: float | None = None
        """The gap at which the device failed last, and soon."""
        self._strikes = 0
        """How often in a row it did at that gap."""
        self._kept = 0
        self.seconds = self._first

    def answered(self, now: float) -> None:
        """Take note of an answer, whatever it says."""
        if self._kept == PROVEN and self.seconds == self._least:
            # Nothing is left to learn until the device fails.
            return
        self._kept += 1
        if self._kept == PROVEN:
            self._proven = min(self._proven, self.seconds)
            self._strikes = 0
        if self._floor > self._least and now - self._floor_since > FORGIVEN_AFTER:
            self._set_floor(_halved(self._floor), now)
        if self.seconds > self._floor:
            self.seconds = max(_halved(self.seconds), self._floor)
            self._kept = 0

    def failed(self, now: float) -> None:
        """Take note that a device which answered before did not, or with garbage."""
        if self._kept < PROVEN:
            self._strikes = self._strikes + 1 if self.seconds == self._failed_at else 1
            self._failed_at = self.seconds
            enough = STRIKES if self.seconds < self._proven else STRIKES_IF_PROVEN
            if self._strikes >= enough:
                self._set_floor(min(2 * max(self.seconds, NO_GAP), self._first), now)
        self.seconds = self._first
        self._kept = 0

    def _set_floor(self, seconds: float, now: float) -> None:
        self._floor = max(seconds, self._least)
        self._floor_since = now
        self._proven = max(self._proven, self._floor)
        self._strikes = 0


def _halved(gap: float) -> float:
    return gap / 2 if gap >= 2 * NO_GAP else 0.0
