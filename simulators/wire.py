"""How long bytes take on a serial line."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

BITS_PER_CHARACTER: Final = 10
"""8N1: a start bit, eight data bits, a stop bit."""

_SILENCE_CHARACTERS: Final = 3.5
_FAST_BAUD: Final = 19200
_FAST_SILENCE: Final = 0.00175
"""Above 19200 baud the silence no longer shrinks (MODBUS over Serial Line V1.02, 2.5.1.1)."""

LATENCY: Final = 0.016
"""Seconds after which an FTDI adapter hands on what it has, as it comes from the factory."""

_USB_PACKET: Final = 62
"""Bytes with which it does so at once: a packet of 64, two of which are its state (FTDI,
AN232B-04, "Data Throughput, Latency and Handshaking")."""


@dataclass(frozen=True, slots=True)
class SerialLine:
    """A line of 8N1 characters that carries Modbus RTU.

    ``burst``: the computer hears it through a USB adapter that hands on what it got only
    every so many seconds (its latency timer), or as soon as a USB packet is full; 0 is an
    adapter that hands on each frame once it is complete.
    """

    baud: int = 9600
    burst: float = 0.0

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

    def pieces(self, packet: bytes) -> Iterator[tuple[float, bytes]]:
        """Yield the pieces in which an adapter with ``burst`` hands on a frame.

        With each comes its time, in seconds from the end of the frame on the line: the
        first ones come before it.
        """
        octet = BITS_PER_CHARACTER / self.baud
        start, handed, last = -len(packet) * octet, 0, -len(packet) * octet
        while handed < len(packet):
            full = start + (handed + _USB_PACKET) * octet
            last = min(last + self.burst, full)
            here = min(len(packet), int((last - start) / octet + 1e-9))
            if here > handed:
                yield last, packet[handed:here]
            handed = here
