"""Things that go wrong between a DTU and its client, on purpose.

Written as the faults of a Modbus bus are: ``KIND[=ARGUMENT][@CHANCE][,FILTER=VALUE...]``.
All but a few were seen on real DTUs.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from random import Random
from string import hexdigits
from typing import Final, Self

from .errors import SimulatorError


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


@dataclass(frozen=True, slots=True)
class _Argument:
    """What may stand behind ``KIND=`` and what is meant without it."""

    default: float | None
    minimum: float
    maximum: float
    whole: bool = True


_ARGUMENTS: Final = {
    FaultKind.SPLIT: _Argument(7, 1, 1024),
    FaultKind.ZERO_BYTES: _Argument(64, 1, 65536),
    FaultKind.GARBAGE: _Argument(32, 1, 65536),
    FaultKind.DELAY: _Argument(None, 0, 3600, whole=False),
    FaultKind.NO_CLOCK: _Argument(0, -2_000_000_000, 2_000_000_000),
    FaultKind.SLOW_COMMAND: _Argument(60, 0, 86400, whole=False),
    FaultKind.FAILED_COMMAND: _Argument(1, 0, 0x7FFFFFFF),
    FaultKind.LOST_PAGE: _Argument(1, 0, 0xFFFF),
    FaultKind.PAGE_TIME_JUMP: _Argument(30, -86400, 86400),
    FaultKind.REFUSES_A305: _Argument(1, 1, 0x7FFFFFFF),
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
class Fault:
    """One fault and the requests that meet it.

    ``seen`` counts the requests that fitted, ``struck`` those that met the fault.
    """

    kind: FaultKind
    argument: float = 0
    chance: float = 1.0
    every: int = 1
    times: int | None = None
    command: int | None = None
    seen: int = 0
    struck: int = 0

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a fault as it stands on the command line.

        Raises ``SimulatorError`` saying which part is wrong.
        """
        head, *filters = text.split(",")
        head, has_chance, chance = head.partition("@")
        name, has_argument, argument = head.partition("=")
        try:
            kind = FaultKind(name)
        except ValueError:
            kinds = ", ".join(FaultKind)
            raise SimulatorError(
                f"fault {text!r}: {name!r} is not one of {kinds}"
            ) from None
        fault = cls(kind=kind)
        fault.argument = _argument(text, kind, argument if has_argument else None)
        if has_chance:
            fault.chance = _number(text, chance, 0, 1, whole=False)
        for condition in filters:
            fault._add_filter(text, condition)
        return fault

    def _add_filter(self, text: str, condition: str) -> None:
        name, _, value = condition.partition("=")
        match name:
            case "every":
                self.every = int(_number(text, value, 1, 1_000_000))
            case "times":
                self.times = int(_number(text, value, 1, 1_000_000))
            case "command":
                self.command = _command(text, value)
            case _:
                raise SimulatorError(
                    f"fault {text!r}: {name!r} is not one of every, times, command"
                )

    def strikes(self, request: Asked, random: Random) -> bool:
        """Count a request and tell whether it meets the fault."""
        if not self._fits(request):
            return False
        self.seen += 1
        if self.times is not None and self.struck >= self.times:
            return False
        if self.seen % self.every or (
            self.chance < 1 and random.random() >= self.chance
        ):
            return False
        self.struck += 1
        return True

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


def _argument(text: str, kind: FaultKind, given: str | None) -> float:
    """Return the argument of a fault."""
    allowed = _ARGUMENTS.get(kind)
    if allowed is None:
        if given is not None:
            raise SimulatorError(f"fault {text!r}: {kind} takes no argument")
        return 0
    if given is not None:
        return _number(
            text, given, allowed.minimum, allowed.maximum, whole=allowed.whole
        )
    if allowed.default is None:
        raise SimulatorError(f"fault {text!r}: {kind} needs an argument: {kind}=1.5")
    return allowed.default


def _command(text: str, value: str) -> int:
    """Return a command's id."""
    if len(value) == 4 and all(digit in hexdigits for digit in value):
        return int(value, 16)
    raise SimulatorError(
        f"fault {text!r}: {value!r} is not the id of a command such as A311"
    )


def _number(
    text: str, value: str, minimum: float, maximum: float, *, whole: bool = True
) -> float:
    """Return a number within limits."""
    try:
        number = int(value) if whole else float(value)
    except ValueError:
        number = float("nan")
    if minimum <= number <= maximum:
        return number
    kind = "whole number" if whole else "number"
    raise SimulatorError(
        f"fault {text!r}: {value!r} is not a {kind} from {minimum:g} to {maximum:g}"
    )
