"""The clock of a datalogger, which is not always right."""

from datetime import datetime, timedelta
import math
from typing import Final

from simulators.clock import SimulatedClock
from simulators.errors import SimulatorError

from .bodies import ZERO_STAMP, stamp_of

TEXT: Final = "%Y-%m-%d %H:%M:%S"
"""How parameter 31 writes a time."""

CONSTANT: Final = "2017-07-01 23:59:59"
"""What some firmware tells of its clock, whatever that shows."""

_GARBAGE: Final = bytes((33, 0, 0, 39, 77, 77))
"""A time as it was recorded."""

_KINDS: Final = "right, zero, garbage, constant, frozen, off=SECONDS, drift=SECONDS"


class StickClock:
    """What a stick takes for the local time of the plant."""

    def __init__(
        self,
        clock: SimulatedClock,
        *,
        stamp: bytes | None = None,
        constant: bool = False,
        frozen: bool = False,
        off: float = 0.0,
        drift: float = 0.0,
    ) -> None:
        """Go by ``clock``.

        Args:
            clock: the right time.
            stamp: what records carry in the place of the time.
            constant: whoever asks is told ``CONSTANT``.
            frozen: it stands still, and setting it does not start it.
            off: how many seconds it is ahead, until it is set.
            drift: seconds that it gains in an hour.

        """
        self._clock = clock
        self._stamp = stamp
        self._constant = constant
        self._frozen = frozen
        self._drift = drift
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
                    return cls(clock, stamp=ZERO_STAMP)
                case "garbage", None:
                    return cls(clock, stamp=_GARBAGE)
                case "constant", None:
                    return cls(clock, constant=True)
                case "frozen", None:
                    return cls(clock, frozen=True)
                case "off", float() if math.isfinite(seconds):
                    return cls(clock, off=seconds)
                case "drift", float() if math.isfinite(seconds):
                    return cls(clock, drift=seconds)
        except ValueError, OverflowError:
            pass
        raise SimulatorError(f"clock {text!r} is not one of {_KINDS}")

    def now(self) -> datetime:
        """Return what it shows."""
        if self._frozen:
            return self._set_to
        passed = self._clock.now() - self._set_at
        return self._set_to + passed * (1 + self._drift / 3600)

    def set(self, when: datetime) -> None:
        """Set it."""
        self._set_to, self._set_at = when, self._clock.now()
        self.was_set = True

    def stamp(self) -> bytes:
        """Return the time as records have it."""
        return stamp_of(self.now()) if self._stamp is None else self._stamp

    def text(self) -> str:
        """Return the time as parameter 31 has it."""
        return CONSTANT if self._constant else self.now().strftime(TEXT)
