"""Gateways without a socket: the simulated one, and register maps of any kind."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Final, override
from unittest.mock import patch

from modbus_connection import (
    IllegalDataAddressError,
    IllegalDataValueError,
    IllegalFunctionError,
    ModbusError,
    ServerDeviceFailureError,
)
from modbus_connection.mock import MockModbusConnection, MockModbusUnit

from custom_components.local_solar.outback import mate3 as mate3_module
from custom_components.local_solar.outback.block import Family
from custom_components.local_solar.outback.mate3 import Mate3
from custom_components.local_solar.outback.system import (
    Equipment,
    System,
    async_identify,
)
from custom_components.local_solar.points import PointId, Rhythm, Visibility
from simulators.clock import SimulatedClock
from simulators.datasets import Table
from simulators.mate3.chain import Chain
from simulators.mate3.gateway import SimulatedMate3
from simulators.mate3.systems import build
from simulators.requests import RefusedError
from tests.modbus.helpers import FakeClock

NOON: Final = datetime(2026, 6, 21, 12)
BASE: Final = 40000
MARKER: Final = (0x5375, 0x6E53)
END: Final = (0xFFFF, 0)
NO_DATA: Final = 0x8000

SPACING: Final = 0.05
"""Seconds between messages, as in the integration: reads are planned with it."""

MODEL_OFFSETS: Final = {64112: 82, 64114: 66, 64116: 76, 64119: 46}
"""DID of a configuration -> where it tells the model."""

ERROR_OFFSET: Final = 402
"""Register of block 64110 that tells what is wrong with the last write."""

_ERRORS: Final[Mapping[int, type[ModbusError]]] = {
    1: IllegalFunctionError,
    2: IllegalDataAddressError,
    3: IllegalDataValueError,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Write:
    """A word or more that reached a register, and whose that was at this moment."""

    function: int
    address: int
    words: tuple[int, ...]
    did: int
    port: int | None
    model: str
    offset: int


class GatewayUnit(MockModbusUnit):
    """A simulated gateway as a unit in memory."""

    def __init__(self, mate3: SimulatedMate3) -> None:
        """Answer as ``mate3`` does."""
        self.connection = MockModbusConnection()
        super().__init__(self.connection, 1)
        self.mate3 = mate3
        self.reads: list[tuple[int, int]] = []
        """First address and count of each read."""
        self.writes: list[Write] = []
        self.before: Callable[[int], None] = lambda number: None
        """Called before each request with its number, from 0; may raise."""
        self.after: Callable[[int], None] = lambda number: None
        """Called after each request, before its answer is given; may raise."""
        self.answer: Callable[[int, list[int]], list[int]] = lambda address, words: (
            words
        )
        """Gets the first address and words of each answer, and gives others."""

    @property
    def requests(self) -> int:
        """How many requests there were."""
        return len(self.reads) + len(self.writes)

    def taken_reads(self) -> list[tuple[int, int]]:
        """Return the reads since the last call."""
        reads = list(self.reads)
        self.reads.clear()
        return reads

    def break_link(self) -> None:
        """Lose the link; the next request opens a new one."""
        self.connection.simulate_connection_lost()

    @override
    async def read_holding_registers(self, address: int, count: int) -> list[int]:
        number = self.requests
        self.reads.append((address, count))
        self.before(number)
        try:
            words = self.mate3.read(Table.HOLDING, address, count)
        except RefusedError as err:
            raise _error_of(err) from err
        self.after(number)
        return self.answer(address, words)

    @override
    async def write_register(self, address: int, value: int) -> None:
        self._write(6, address, [value])

    @override
    async def write_registers(self, address: int, values: list[int]) -> None:
        self._write(16, address, values)

    def _write(self, function: int, address: int, words: list[int]) -> None:
        number = self.requests
        self.before(number)
        single = function == 6
        try:
            self.mate3.check_write(address, words, single=single)
        except RefusedError as err:
            raise _error_of(err) from err
        self.writes.append(whose(self.mate3.chain, function, address, words))
        self.mate3.store(address, words)
        self.after(number)


def _error_of(err: RefusedError) -> ModbusError:
    return _ERRORS.get(err.code, ServerDeviceFailureError)()


def whose(chain: Chain, function: int, address: int, words: list[int]) -> Write:
    """Return whose registers a write reaches, as the chain is now."""
    place = next(iter(chain.places(address, 1)))
    assert place is not None, f"{address} is in no block"
    block, offset = place
    return Write(
        function=function,
        address=address,
        words=tuple(words),
        did=block.did,
        port=block.port,
        model=model_of(chain, block.did, block.port),
        offset=offset,
    )


def model_of(chain: Chain, did: int, port: int | None) -> str:
    """Return the model that a configuration tells, decoded here once more."""
    block = chain.find(did, port)
    start = MODEL_OFFSETS.get(did)
    if block is None or start is None or not block.has(start + 8):
        return ""
    octets = b"".join(
        block[offset].to_bytes(2, "big") for offset in range(start, start + 9)
    )
    return octets.split(b"\0")[0].decode("latin1")


class MapUnit(MockModbusUnit):
    """Any registers at all, which are counted as they are asked for."""

    def __init__(
        self,
        words: Mapping[int, int],
        *,
        refusal: ModbusError | None = None,
        most: int = 2000,
    ) -> None:
        """Serve ``words``; what is missing is refused. ``most`` requests are an end."""
        super().__init__(MockModbusConnection(), 1)
        self.map = words
        self.refusal = refusal or IllegalDataAddressError()
        self.reads: list[tuple[int, int]] = []
        self._most = most

    @override
    async def read_holding_registers(self, address: int, count: int) -> list[int]:
        self.reads.append((address, count))
        assert len(self.reads) <= self._most, "asks without end"
        assert 1 <= count <= 125, f"asks for {count} words"
        assert 0 <= address <= address + count <= 0x10000, f"asks for {address}"
        try:
            return [self.map[place] for place in range(address, address + count)]
        except KeyError:
            raise self.refusal from None


def laid_out(*blocks: Iterable[int], end: bool = True) -> dict[int, int]:
    """Return the registers of a map: marker, blocks, and the block that ends it."""
    words = [*MARKER]
    for block in blocks:
        words += block
    if end:
        words += END
    return dict(enumerate(words, BASE))


def still(source: Path | dict[str, int] | str = "mate3s") -> SimulatedMate3:
    """Return a gateway whose clock stands still: a variant by name, or a dump."""
    chain = build(source) if isinstance(source, str) else Chain.load(source)
    mate3 = SimulatedMate3(chain, SimulatedClock(NOON, speed=0))
    mate3.command_delay = 0.0
    return mate3


async def identified(unit: GatewayUnit) -> Mate3:
    """Return what reads a gateway."""
    return Mate3(unit, await async_identify(unit), spacing=SPACING)


def wanted_of(
    mate3: Mate3,
    *visibilities: Visibility,
    rhythm: Rhythm | None = None,
) -> frozenset[PointId]:
    """Return all points of a system, or those of some visibilities or of a rhythm."""
    return frozenset(
        (device.identity.id, point.key)
        for device in mate3.devices
        for point in device.points
        if (not visibilities or point.visibility in visibilities)
        and rhythm in (None, point.rhythm)
    )


def on_port(system: System, family: Family, port: int) -> Equipment:
    """Return the device of a family on a port."""
    (found,) = (
        item for item in system.equipment if item.family is family and item.port == port
    )
    return found


@contextmanager
def time_of(clock: FakeClock) -> Iterator[None]:
    """Let the driver see the time of a clock that is moved by hand, and never wait."""
    base = "custom_components.local_solar"
    with ExitStack() as stack:
        for module in (
            *("outback.mate3", "outback.totals", "outback.settings"),
            "modbus.reader",
        ):
            stack.enter_context(
                patch(
                    f"{base}.{module}.time", SimpleNamespace(monotonic=clock.monotonic)
                )
            )
        stack.enter_context(patch.object(mate3_module, "RETRY_AFTER", 0.0))
        yield
