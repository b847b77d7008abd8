"""Things that go wrong between a device and its client, on purpose.

A fault is written ``KIND[=ARGUMENT][@CHANCE][,FILTER=VALUE...]``::

    drop@0.1                          one answer in ten is lost, at random
    delay=2.5,every=3                 every third answer comes 2.5 s late
    exception=2,address=3125-3249     refuses a range of addresses
    disconnect,times=1                hangs up once
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Protocol, override

from .errors import SimulatorError
from .fault_syntax import AnyFault, Argument, number_within


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


_ARGUMENTS: Final[Mapping[StrEnum, Argument]] = {
    FaultKind.LATE: Argument(None, 0, 3600, whole=False),
    FaultKind.CLAMP: Argument(None, 0, 0xFFFF),
    FaultKind.DELAY: Argument(None, 0, 3600, whole=False),
    FaultKind.SHORT: Argument(1, 1, 125),
    FaultKind.CUT: Argument(3, 1, 256),
    FaultKind.EXCEPTION: Argument(4, 0, 255),
    FaultKind.GARBAGE: Argument(16, 1, 256),
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
  delay=SECONDS   the answer comes late, and so do those of the same unit behind it
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
class Fault(AnyFault[FaultKind, Asked]):
    """One fault and the requests that meet it.

    ``addresses`` are the first and the last address.
    """

    kinds = FaultKind
    arguments = _ARGUMENTS
    filters = ("unit", "address", "op")

    unit: int | None = None
    addresses: tuple[int, int] | None = None
    op: str | None = None

    @classmethod
    @override
    def _kind(cls, name: str) -> FaultKind:
        return FaultKind(name)

    @override
    def _add_own_filter(self, text: str, name: str, value: str) -> None:
        match name:
            case "unit":
                self.unit = int(number_within(text, value, 0, 255))
            case "address":
                first, _, last = value.partition("-")
                low = int(number_within(text, first, 0, 0xFFFF))
                high = int(number_within(text, last or first, low, 0xFFFF))
                self.addresses = low, high
            case _ if value in ("read", "write", *OPS.values()):
                self.op = value
            case _:
                raise SimulatorError(f"fault {text!r}: {value!r} is not an operation")

    @override
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
