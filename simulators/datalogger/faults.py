"""What a datalogger can do wrong, on purpose.

Written as the faults of a Modbus bus are: ``KIND[=ARGUMENT][@CHANCE][,FILTER=VALUE...]``.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from random import Random
from string import hexdigits
from typing import Final, override

from simulators.errors import SimulatorError
from simulators.fault_syntax import AnyFault, Argument

from .packets import COMMANDS, RECORDS, Kind


class RogueKind(StrEnum):
    """What goes wrong."""

    SPLIT = "split"
    GLUE = "glue"
    GARBAGE = "garbage"
    UNKNOWN = "unknown"
    WRONG_CRC = "wrong-crc"
    CORRUPT = "corrupt"
    SLOW = "slow"
    HUGE = "huge"
    CUT = "cut"
    HALF_OPEN = "half-open"
    FLOOD = "flood"
    NEVER_READS = "never-reads"
    DUPLICATE = "duplicate"
    NO_ANSWERS = "no-answers"
    LATE = "late"
    WRONG_SERIAL = "wrong-serial"
    REFUSES = "refuses"
    WAITS_FOR_CLOCK = "waits-for-clock"


_ARGUMENTS: Final[Mapping[StrEnum, Argument]] = {
    RogueKind.SPLIT: Argument(1, 0, 65536),
    RogueKind.GLUE: Argument(4, 2, 1000),
    RogueKind.GARBAGE: Argument(16, 1, 65536),
    RogueKind.UNKNOWN: Argument(0x77, 0, 0xFF),
    RogueKind.SLOW: Argument(0.05, 0, 3600, whole=False),
    RogueKind.LATE: Argument(None, 0, 3600, whole=False),
    RogueKind.REFUSES: Argument(3, 1, 0xFF),
}

_ONLY: Final[Mapping[RogueKind, frozenset[int]]] = {
    RogueKind.CORRUPT: RECORDS,
    RogueKind.DUPLICATE: frozenset({Kind.LIVE}),
    RogueKind.NO_ANSWERS: COMMANDS,
    RogueKind.LATE: COMMANDS,
    RogueKind.WRONG_SERIAL: COMMANDS,
    RogueKind.REFUSES: COMMANDS,
}
"""Faults that only packets of some kinds can meet."""

_STATES: Final = (
    RogueKind.HALF_OPEN,
    RogueKind.FLOOD,
    RogueKind.NEVER_READS,
    RogueKind.WAITS_FOR_CLOCK,
)
"""What a stick is rather than what its packets meet: filters do not count."""

EXPLANATION: Final = """\
rogue behaviours: KIND[=ARGUMENT][@CHANCE][,FILTER=VALUE...]
 on the wire
  split[=BYTES]       packets come in pieces of so many bytes (1); 0: random pieces
  glue[=N]            so many packets come in one piece (4), as far as there are any
  garbage[=BYTES]     random bytes before the packet (16)
  unknown[=TYPE]      a packet of an unknown type (119) comes before it
  wrong-crc           the checksum is wrong (protocols 5 and 6)
  corrupt             registers of a record are random, the checksum is right
  slow[=SECONDS]      so long from one byte to the next (0.05)
  huge                65543 random bytes with a right header in the place of the packet
  cut                 half of the packet, and nothing more on this connection
 always, as long as it is on
  half-open           it connects and says nothing
  flood               it sends live records as fast as it can
  never-reads         it takes nothing from the connection
  waits-for-clock     it sends no live records before its clock was set
 connections
  duplicate           it connects once more before a live record, and leaves the old
                      connection open
 answers to commands
  no-answers          there is none
  late=SECONDS        it comes late
  wrong-serial        it carries the serial number of another logger
  refuses[=STATUS]    everything is refused with this status (3), reads without values
which packets meet it (without these: all that can)
  @CHANCE             with this probability, 0 to 1
  every=N             every Nth of those that fit the other filters
  times=N             only the first N
  type=04             those of this type
examples: split=0@0.1   wrong-crc,every=3,type=04   late=2.5,type=05
"""


@dataclass(slots=True, kw_only=True)
class Rogue(AnyFault[RogueKind, int]):
    """One thing that goes wrong, and the packets that meet it."""

    kinds = RogueKind
    arguments = _ARGUMENTS
    filters = ("type",)

    type: int | None = None

    @classmethod
    @override
    def _kind(cls, name: str) -> RogueKind:
        return RogueKind(name)

    @override
    def _add_own_filter(self, text: str, name: str, value: str) -> None:
        if len(value) != 2 or any(digit not in hexdigits for digit in value):
            raise SimulatorError(
                f"fault {text!r}: {value!r} is not a type of records such as 04"
            )
        self.type = int(value, 16)

    @override
    def _fits(self, request: int) -> bool:
        if self.type is not None and request != self.type:
            return False
        only = _ONLY.get(self.kind)
        return only is None or request in only


class Rogues:
    """All that goes wrong with a stick for now."""

    def __init__(self, rogues: Iterable[Rogue | str], random: Random) -> None:
        """Begin with some. Raises ``SimulatorError`` for one that there is not."""
        self.random = random
        self._active: list[Rogue] = []
        for rogue in rogues:
            self.start(rogue)

    def start(self, rogue: Rogue | str) -> Rogue:
        """Let something go wrong from now on. Raises ``SimulatorError``."""
        if isinstance(rogue, str):
            rogue = Rogue.parse(rogue)
        self._active.append(rogue)
        return rogue

    def stop(self, kind: RogueKind | str | None = None) -> None:
        """Let a kind go wrong no longer, or everything."""
        self._active = [
            rogue for rogue in self._active if kind not in (None, rogue.kind)
        ]

    def has(self, kind: RogueKind) -> bool:
        """Tell whether the stick is in a state."""
        assert kind in _STATES
        return any(rogue.kind is kind for rogue in self._active)

    def met(self, kind: RogueKind, packet_kind: int) -> float | None:
        """Return the argument of what a packet meets, ``None`` if it does not."""
        for rogue in self._active:
            if rogue.kind is kind and rogue.strikes(packet_kind, self.random):
                return rogue.argument
        return None
