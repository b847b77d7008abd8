"""How long bytes take on a serial line."""

from dataclasses import dataclass
from typing import Final

BITS_PER_CHARACTER: Final = 10
"""8N1: a start bit, eight data bits, a stop bit."""

_SILENCE_CHARACTERS: Final = 3.5
_FAST_BAUD: Final = 19200
_FAST_SILENCE: Final = 0.00175
"""Above 19200 baud the silence no longer shrinks (MODBUS over Serial Line V1.02, 2.5.1.1)."""


@dataclass(frozen=True, slots=True)
class SerialLine:
    """A line of 8N1 characters that carries Modbus RTU."""

    baud: int = 9600

    @property
    def silence(self) -> float:
        """Seconds of silence in front of every frame."""
        if self.baud > _FAST_BAUD:
            return _FAST_SILENCE
        return _SILENCE_CHARACTERS * BITS_PER_CHARACTER / self.baud

    def frame(self, octets: int) -> float:
        """Return the seconds that a frame takes, with the silence in front of it."""
        if not octets:
            return 0.0
        return self.silence + octets * BITS_PER_CHARACTER / self.baud

    def exchange(self, request: int, answer: int) -> float:
        """Return the seconds from the start of a request to the end of its answer.

        Both are lengths in bytes with address and checksum; 0 is no answer at all.
        """
        return self.frame(request) + self.frame(answer)
