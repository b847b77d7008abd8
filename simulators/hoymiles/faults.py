"""Things that go wrong between a DTU and its client, on purpose.

Written as the faults of a Modbus bus are: ``KIND[=ARGUMENT][@CHANCE][,FILTER=VALUE...]``.
All but a few were seen on real DTUs.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from random import Random
from string import hexdigits
from typing import Final, override

from simulators.errors import SimulatorError
from simulators.fault_syntax import AnyFault, Argument


class FaultKind(StrEnum):
    """What goes wrong."""

    SPLIT = "split"
    MERGE = "merge"
    STALE = "stale"
    WRONG_SEQUENCE = "wrong-sequence"
    ZERO_BYTES = "zero-bytes"
    CRC = "crc"
    GARBAGE = "garbage"
    SILENT = "silent"
    DISCONNECT = "disconnect"
    DELAY = "delay"
    EVICT = "evict"
    NO_CLOCK = "no-clock"
    BAD_TEXT = "bad-text"
    NO_REAL_DATA_NEW = "no-real-data-new"
    NO_DATA = "no-data"
    SLOW_COMMAND = "slow-command"
    FAILED_COMMAND = "failed-command"
    LOST_PAGE = "lost-page"
    PAGE_TIME_JUMP = "page-time-jump"
    MISSING_TOTAL = "missing-total"
    REFUSES_A305 = "refuses-a305"
    STUCK = "stuck"


_ARGUMENTS: Final[Mapping[StrEnum, Argument]] = {
    FaultKind.SPLIT: Argument(7, 1, 1024),
    FaultKind.ZERO_BYTES: Argument(64, 1, 65536),
    FaultKind.GARBAGE: Argument(32, 1, 65536),
    FaultKind.DELAY: Argument(None, 0, 3600, whole=False),
    FaultKind.NO_CLOCK: Argument(0, -2_000_000_000, 2_000_000_000),
    FaultKind.SLOW_COMMAND: Argument(60, 0, 86400, whole=False),
    FaultKind.FAILED_COMMAND: Argument(1, 0, 0x7FFFFFFF),
    FaultKind.LOST_PAGE: Argument(1, 0, 0xFFFF),
    FaultKind.PAGE_TIME_JUMP: Argument(30, -86400, 86400),
    FaultKind.REFUSES_A305: Argument(1, 1, 0x7FFFFFFF),
}

_ONLY_COMMANDS: Final = {
    FaultKind.BAD_TEXT: (0xA309,),
    FaultKind.NO_REAL_DATA_NEW: (0xA311,),
    FaultKind.NO_DATA: (0xA303, 0xA311),
    FaultKind.SLOW_COMMAND: (0xA305, 0x2305),
    FaultKind.FAILED_COMMAND: (0xA305, 0x2305),
    FaultKind.LOST_PAGE: (0xA303, 0xA311),
    FaultKind.PAGE_TIME_JUMP: (0xA303, 0xA311),
    FaultKind.MISSING_TOTAL: (0xA311,),
    FaultKind.REFUSES_A305: (0xA305,),
    FaultKind.STUCK: (0xA303, 0xA311),
}
"""Faults that only some requests can meet."""

EXPLANATION: Final = """\
faults: KIND[=ARGUMENT][@CHANCE][,FILTER=VALUE...]
 on the wire
  split[=BYTES]           the reply comes in pieces of so many bytes (7)
  merge                   an earlier reply is glued in front of the right one
  stale                   another request's reply comes before the right one
  wrong-sequence          the reply has the sequence number of another request
  zero-bytes[=BYTES]      zeros in the place of the reply (64)
  garbage[=BYTES]         random bytes in the place of the reply (32)
  crc                     the checksum is wrong
  silent                  no reply
  delay=SECONDS           the reply comes late
  disconnect              the connection breaks in the place of the reply
  evict                   the connection is closed as if the app had connected
 in what is said
  no-clock[=SECONDS]      times count from the DTU's start, from SECONDS on (0)
  bad-text                the meter's kind in the configuration is not UTF-8
  missing-total           no power and energy of the whole DTU
  stuck                   values and their time repeat
  page-time-jump[=SECONDS]  each page is so much later than the one before (30)
  lost-page[=N]           page N (1) is not answered
  no-real-data-new        A311 is not answered
  no-data                 neither A311 nor A303 is answered
 with commands
  refuses-a305[=CODE]     A305 is answered with an error code (1), 2305 is taken
  slow-command[=SECONDS]  a command takes so long (60)
  failed-command[=CODE]   a command fails, with this error code (1)
which requests meet the fault (without these: all that can)
  @CHANCE                 with this probability, 0 to 1
  every=N                 every Nth of those that fit the other filters
  times=N                 only the first N
  command=A311            those of this id
examples: stale@0.1   split=3,command=A311   disconnect,times=1
"""


@dataclass(frozen=True, slots=True)
class Asked:
    """What a fault looks at to tell whether it is meant: id and page of a request."""

    command: int
    page: int = 0


@dataclass(slots=True, kw_only=True)
class Fault(AnyFault[FaultKind, Asked]):
    """One fault and the requests that meet it."""

    kinds = FaultKind
    arguments = _ARGUMENTS
    filters = ("command",)

    command: int | None = None

    @classmethod
    @override
    def _kind(cls, name: str) -> FaultKind:
        return FaultKind(name)

    @override
    def _add_own_filter(self, text: str, name: str, value: str) -> None:
        self.command = _command(text, value)

    @override
    def _fits(self, request: Asked) -> bool:
        if self.command is not None and request.command != self.command:
            return False
        if self.kind is FaultKind.LOST_PAGE and request.page != self.argument:
            return False
        only = _ONLY_COMMANDS.get(self.kind)
        return only is None or request.command in only


@dataclass(frozen=True, slots=True)
class Trouble:
    """The faults that one request meets: kind -> argument."""

    met: dict[FaultKind, float]

    def has(self, *kinds: FaultKind) -> bool:
        """Return whether one of these is met."""
        return any(kind in self.met for kind in kinds)

    def get(self, kind: FaultKind) -> float | None:
        """Return the argument of a fault, ``None`` if it is not met."""
        return self.met.get(kind)


NO_TROUBLE: Final = Trouble({})


def trouble_of(request: Asked, faults: Iterable[Fault], random: Random) -> Trouble:
    """Return the faults that a request meets. Of one kind, the first one counts."""
    met: dict[FaultKind, float] = {}
    for fault in faults:
        if fault.strikes(request, random):
            met.setdefault(fault.kind, fault.argument)
    return Trouble(met)


def as_fault(fault: Fault | str) -> Fault:
    """Return a fault, reading it if it is text. Raises ``SimulatorError``."""
    return Fault.parse(fault) if isinstance(fault, str) else fault


def _command(text: str, value: str) -> int:
    """Return a command's id."""
    if len(value) == 4 and all(digit in hexdigits for digit in value):
        return int(value, 16)
    raise SimulatorError(
        f"fault {text!r}: {value!r} is not the id of a command such as A311"
    )
