"""The clock of a datalogger, which is not always right."""

from datetime import datetime, timedelta
from typing import Final

from simulators.clock import SimulatedClock
from simulators.errors import SimulatorError

from .packets import ZERO_STAMP, stamp_of

TEXT: Final = "%Y-%m-%d %H:%M:%S"
"""How parameter 31 writes a time."""

_KINDS: Final = "right, zero, frozen, off=SECONDS, drift=SECONDS"


class StickClock:
    """What a stick takes for the local time of the plant."""

    def __init__(
        self,
        clock: SimulatedClock,
        *,
        zero: bool = False,
        frozen: bool = False,
        off: float = 0.0,
        drift: float = 0.0,
    ) -> None:
        """Go by ``clock``.

        Args:
            clock: the right time.
            zero: records carry zeros in the place of the time.
            frozen: it stands still, and setting it does not start it.
            off: how many seconds it is ahead, until it is set.
            drift: seconds that it gains in an hour.

        """
        self._clock = clock
        self.zero = zero
        self.frozen = frozen
        self.drift = drift
        self._set_to = clock.now() + timedelta(seconds=off)
        self._set_at = clock.now()
        self.was_set = False
        """Whether anybody has set it."""

    @classmethod
    def parse(cls, clock: SimulatedClock, text: str) -> StickClock:
        """Read one as it stands on the command line. Raises ``SimulatorError``."""
        kind, has_argument, argument = text.partition("=")
        try:
            seconds = float(argument) if has_argument else None
            match kind, seconds:
                case "right", None:
                    return cls(clock)
                case "zero", None:
                    return cls(clock, zero=True)
                case "frozen", None:
                    return cls(clock, frozen=True)
                case "off", float():
                    return cls(clock, off=seconds)
                case "drift", float():
                    return cls(clock, drift=seconds)
        except ValueError, OverflowError:
            pass
        raise SimulatorError(f"clock {text!r} is not one of {_KINDS}")

    def now(self) -> datetime:
        """Return what it shows."""
        if self.frozen:
            return self._set_to
        passed = self._clock.now() - self._set_at
        return self._set_to + passed * (1 + self.drift / 3600)

    def set(self, when: datetime) -> None:
        """Set it."""
        self._set_to, self._set_at = when, self._clock.now()
        self.was_set = True

    def stamp(self) -> bytes:
        """Return the time as records have it."""
        return ZERO_STAMP if self.zero else stamp_of(self.now())
