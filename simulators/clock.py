"""Time as a simulated device sees it."""

from datetime import datetime, timedelta
import time


class SimulatedClock:
    """A local time that runs ``speed`` times as fast as the computer's.

    A speed of 0 stands still until ``advance`` moves it, which is what tests want.
    """

    def __init__(self, start: datetime | None = None, speed: float = 1.0) -> None:
        """Start at ``start``, a naive local time, or else now."""
        self.speed = speed
        self._start = start or datetime.now()
        self._since = time.monotonic()

    def now(self) -> datetime:
        """Return the simulated local time, without a time zone as devices have it."""
        return self._start + timedelta(
            seconds=(time.monotonic() - self._since) * self.speed
        )

    def advance(self, seconds: float) -> datetime:
        """Move on by that many simulated seconds and return the new time."""
        self._start += timedelta(seconds=seconds)
        return self.now()
