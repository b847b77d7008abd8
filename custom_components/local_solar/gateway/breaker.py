"""Leaves alone who does not answer, so that it does not cost the others their time."""

from typing import Final

TRUSTED: Final = 2
"""Failures in a row after which a unit that has answered before is left alone."""

COST: Final = 10.0
"""So many times as long as it took in vain, a unit is left alone."""

SHORTEST: Final = 5.0
LONGEST: Final = 60.0
"""Seconds between two attempts at least and at most."""


class Breaker:
    """Whether one unit, one block of it, or the link, is worth asking."""

    def __init__(self, patience: int = 1) -> None:
        """Bear with so many failures less one.

        Nobody is trusted yet: a unit that never answered is left alone at its first silence.
        """
        self._failures = 0
        self._lost = 0.0
        self._interval = 0.0
        self._retry_at = 0.0
        self._patience = patience

    @property
    def is_open(self) -> bool:
        """Whether it is left alone but for an attempt now and then."""
        return self._failures >= self._patience

    @property
    def is_failing(self) -> bool:
        """Whether it did not answer when it was last asked."""
        return self._failures > 0

    @property
    def has_answered(self) -> bool:
        """Whether it answered when it was last asked before it failed."""
        return self._patience == TRUSTED and not self.is_open

    def allows(self, now: float) -> bool:
        """Return whether it may be asked now."""
        return not self.is_open or now >= self._retry_at

    def answered(self) -> None:
        """Take note of an answer, whatever it says."""
        self._failures = 0
        self._lost = self._interval = 0.0
        self._patience = TRUSTED

    def failed(self, now: float, lost: float) -> None:
        """Take note that ``lost`` seconds were spent in vain."""
        self._failures += 1
        self._lost += lost
        if self.is_open:
            grown = 2 * self._interval or COST * self._lost
            self._interval = min(max(grown, SHORTEST), LONGEST)
            self._retry_at = now + self._interval
            self._patience = 1
