"""Rows and units to test with."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, override

from modbus_connection.mock import MockModbusConnection, MockModbusUnit

from custom_components.local_solar.modbus.codecs import U16, Codec
from custom_components.local_solar.modbus.image import Space
from custom_components.local_solar.modbus.plan import LinkTiming, Read
from custom_components.local_solar.modbus.reader import ReadReport
from custom_components.local_solar.modbus.register import Register
from custom_components.local_solar.points import Point, Quantity, Setting

HOLDING: Final = Space.HOLDING
INPUT: Final = Space.INPUT

type Request = tuple[Space, int, int]
"""Space, first address and count of a read."""


def make_row(
    address: int = 0,
    codec: Codec = U16,
    key: str = "",
    *,
    space: Space = INPUT,
    unit: str | None = None,
    setting: Setting | None = None,
    options: Mapping[int, str | bool] | None = None,
    **fields: Any,
) -> Register:
    """Return a row; its key tells where it is unless one is given."""
    return Register(
        point=Point(
            key=key or f"{space}_{address}",
            name="Row",
            quantity=Quantity.CODE,
            unit=unit,
            setting=setting,
        ),
        space=space,
        address=address,
        codec=codec,
        options=options,
        **fields,
    )


def requests_of(reads: tuple[Read, ...]) -> list[Request]:
    """Return what a plan asks for."""
    return [(read.space, read.address, read.count) for read in reads]


@dataclass
class FakeClock:
    """A clock that stands still until it is moved."""

    now: float = 1000.0

    def monotonic(self) -> float:
        """Return the time in seconds."""
        return self.now


type Interceptor = Callable[[Request, list[int]], list[int]]
"""Gets a request and the words it would be answered with; returns others or raises."""


class ScriptedUnit(MockModbusUnit):
    """A mock unit whose answers a test can delay, change or lose."""

    def __init__(self, clock: FakeClock | None = None) -> None:
        """Answer as the mock does."""
        super().__init__(MockModbusConnection(), 1)
        self.clock = clock or FakeClock()
        self.latency: Callable[[int], float] = lambda count: 0.0
        self.intercept: Interceptor | None = None
        self.losses: list[Exception | None] = []
        """Errors for the next requests, in order; ``None`` answers one."""

    @property
    def requests(self) -> list[Request]:
        """Return the reads so far, the lost ones too."""
        return [
            (Space(event.register_type), event.address, event.count)
            for event in self.read_events
        ]

    @override
    async def read_holding_registers(self, address: int, count: int) -> list[int]:
        words = await super().read_holding_registers(address, count)
        return self._answer((HOLDING, address, count), words)

    @override
    async def read_input_registers(self, address: int, count: int) -> list[int]:
        words = await super().read_input_registers(address, count)
        return self._answer((INPUT, address, count), words)

    def _answer(self, request: Request, words: list[int]) -> list[int]:
        self.clock.now += self.latency(request[2])
        if self.losses and (error := self.losses.pop(0)) is not None:
            raise error
        return self.intercept(request, words) if self.intercept else words


def duration(reads: Iterable[Read], timing: LinkTiming) -> float:
    """Return how many seconds reads take on a line of this timing."""
    return sum(timing.per_request + timing.per_word * read.count for read in reads)


def failed_keys(report: ReadReport) -> frozenset[str]:
    """Return the keys of the rows that could not be read."""
    return frozenset(row.key for read in report.failed for row in read.registers)
