"""Things that go wrong between a device and its client, on purpose.

A fault is written ``KIND[=ARGUMENT][@CHANCE][,FILTER=VALUE...]``::

    drop@0.1                          one answer in ten is lost, at random
    delay=2.5,every=3                 every third answer comes 2.5 s late
    exception=2,address=3125-3249     refuses a range of addresses
    disconnect,times=1                hangs up once
"""

from dataclasses import dataclass
from enum import StrEnum
from random import Random
from typing import Final, Protocol, Self

from .errors import SimulatorError


class FaultKind(StrEnum):
    """What goes wrong."""

    DROP = "drop"
    DEAF = "deaf"
    IGNORE = "ignore"
    LATE = "late"
    CLAMP = "clamp"
    DELAY = "delay"
    CRC = "crc"
    SHORT = "short"
    CUT = "cut"
    EXCEPTION = "exception"
    GARBAGE = "garbage"
    STALE = "stale"
    DISCONNECT = "disconnect"


@dataclass(frozen=True, slots=True)
class _Argument:
    """What may stand behind ``KIND=`` and what is meant without it."""

    default: float | None
    minimum: float
    maximum: float
    whole: bool = True


_ARGUMENTS: Final = {
    FaultKind.LATE: _Argument(None, 0, 3600, whole=False),
    FaultKind.CLAMP: _Argument(None, 0, 0xFFFF),
    FaultKind.DELAY: _Argument(None, 0, 3600, whole=False),
    FaultKind.SHORT: _Argument(1, 1, 125),
    FaultKind.CUT: _Argument(3, 1, 256),
    FaultKind.EXCEPTION: _Argument(4, 0, 255),
    FaultKind.GARBAGE: _Argument(16, 1, 256),
}

_ONLY_OP: Final = {
    FaultKind.SHORT: "read",
    FaultKind.IGNORE: "write",
    FaultKind.LATE: "write",
    FaultKind.CLAMP: "write",
}
"""Faults that only some requests can meet."""

EXPLANATION: Final = """\
faults: KIND[=ARGUMENT][@CHANCE][,FILTER=VALUE...]
  drop            the unit does what is asked, its answer is lost
  deaf            the request is lost: nothing is done, nothing is answered
  ignore          a write is answered as done, but the old value stays
  late=SECONDS    a write is answered at once, but takes effect only later
  clamp=WORD      a write is answered as done, but its last word becomes WORD
  delay=SECONDS   the answer comes late, and so do the answers behind it
  crc             the checksum is wrong (RTU only)
  short[=WORDS]   a sound answer with so many words too few (1)
  cut[=BYTES]     the last bytes of the answer are missing (3)
  exception[=N]   refused with exception N (4), nothing is done
  garbage[=BYTES] random bytes in the place of the answer (16)
  stale           the answer before comes again in the place of this one
  disconnect      the connection is closed in the place of the answer
                  (a pseudo-terminal hangs up and comes back)
which requests meet the fault (without these: all)
  @CHANCE         with this probability, 0 to 1
  every=N         every Nth of those that fit the other filters
  times=N         only the first N
  unit=N          those to this unit
  address=A[-B]   those that touch these addresses
  op=OP           read, write, read_holding, read_input, read_meter,
                  write_single or write_multiple
examples: drop@0.1   delay=2.5,every=3   exception=2,address=3125-3249,op=read
"""

OPS: Final = {
    3: "read_holding",
    4: "read_input",
    6: "write_single",
    16: "write_multiple",
    0x20: "read_meter",
}
"""Name of each function in captures and fault filters."""


class Asked(Protocol):
    """What a fault looks at to tell whether it is meant."""

    @property
    def unit(self) -> int:
        """Unit id."""

    @property
    def address(self) -> int:
        """First address."""

    @property
    def count(self) -> int:
        """How many words."""

    @property
    def op(self) -> str:
        """Name of the function."""


@dataclass(slots=True, kw_only=True)
class Fault:
    """One fault and the requests that meet it.

    ``addresses`` are the first and the last address. ``seen`` counts the requests
    that fitted, ``struck`` those that met the fault.
    """

    kind: FaultKind
    argument: float = 0
    chance: float = 1.0
    every: int = 1
    times: int | None = None
    unit: int | None = None
    addresses: tuple[int, int] | None = None
    op: str | None = None
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
        allowed = _ARGUMENTS.get(kind)
        if allowed is None:
            if has_argument:
                raise SimulatorError(f"fault {text!r}: {name} takes no argument")
        elif has_argument:
            fault.argument = _number(
                text,
                argument,
                allowed.minimum,
                allowed.maximum,
                whole=allowed.whole,
            )
        elif allowed.default is None:
            example = "1" if allowed.whole else "1.5"
            raise SimulatorError(
                f"fault {text!r}: {name} needs an argument: {name}={example}"
            )
        else:
            fault.argument = allowed.default
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
            case "unit":
                self.unit = int(_number(text, value, 0, 255))
            case "address":
                first, _, last = value.partition("-")
                low = int(_number(text, first, 0, 0xFFFF))
                self.addresses = low, int(_number(text, last or first, low, 0xFFFF))
            case "op" if value in ("read", "write", *OPS.values()):
                self.op = value
            case "op":
                raise SimulatorError(f"fault {text!r}: {value!r} is not an operation")
            case _:
                raise SimulatorError(
                    f"fault {text!r}: {name!r} is not one of"
                    " every, times, unit, address, op"
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
        if self.unit is not None and request.unit != self.unit:
            return False
        if self.op is not None and self.op not in (
            request.op,
            request.op.partition("_")[0],
        ):
            return False
        if self.kind in _ONLY_OP and not request.op.startswith(_ONLY_OP[self.kind]):
            return False
        if self.addresses is None:
            return True
        first, last = self.addresses
        return request.address <= last and request.address + request.count > first


def as_fault(fault: Fault | str) -> Fault:
    """Return a fault, reading it if it is text."""
    return Fault.parse(fault) if isinstance(fault, str) else fault


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
