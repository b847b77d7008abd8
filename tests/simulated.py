"""A simulated inverter behind a real socket, and the gate through which it is written to.

What goes wrong, and what takes effect late, is told by requests instead of seconds, and an
answer that will not come is not waited for: no test depends on how busy the computer is.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache
from typing import Final, override

from modbus_connection import ModbusTcpParams, ModbusTimeoutError
from modbus_connection.tmodbus import ModbusConnection, TmodbusUnit

from custom_components.local_solar.growatt.identify import Identification
from custom_components.local_solar.growatt.inverter import Inverter
from custom_components.local_solar.growatt.models import Family
from custom_components.local_solar.growatt.profiles.profile import Part
from custom_components.local_solar.growatt.settings import InverterSettings
from custom_components.local_solar.modbus.codecs import Text
from custom_components.local_solar.write_budget import WriteBudget
from custom_components.local_solar.write_gate import WriteGate, Written
from simulators.faults import Fault
from simulators.growatt import GrowattSimulator, GrowattUnit
from simulators.listeners import Connection
from simulators.requests import Request

from .common import SERIAL_NUMBERS, TL_XH, load_dataset

HOST: Final = "127.0.0.1"
TIMEOUT: Final = 5.0
"""Seconds to wait for an answer that will come."""

VPP: Final[Mapping[int, int]] = {
    **dict.fromkeys(range(30000, 30500), 0),
    30099: 203,
}
"""Holding registers of the VPP protocol, which nobody uses."""

NOON: Final = datetime(2026, 6, 21, 12, 0, 30)

WRITE_FUNCTIONS: Final = (6, 16)

OUR_SERIAL: Final = "SNL0CE1234"
THEIR_SERIAL: Final = "SNL0CE9999"

IDENTIFIED: Final = Identification(
    serial_number=OUR_SERIAL,
    family=Family.MIN_TL_XH,
    profile="min_tl_xh",
    model="MIN 6000TL-XH",
    battery=True,
    battery_serial="0ARK123456789012",
    battery_code="ZEBA",
)


def registers_of(
    serial_number: str = OUR_SERIAL, holding: Mapping[int, int] | None = None
) -> dict[str, dict[str, int]]:
    """Return the registers of a MIN 6000TL-XH without enabled time slots, and some others."""
    words = dict(_dataset())
    for address, count in SERIAL_NUMBERS.items():
        text = Text(count).encode(serial_number[: 2 * count])
        words.update(enumerate(text, address))
    words |= {3038: 0, 3039: 0, **(holding or {})}
    return {"holding": {str(address): word for address, word in words.items()}}


@cache
def _dataset() -> Mapping[int, int]:
    """Return the holding registers of the dataset."""
    holding = load_dataset(TL_XH)["holding"]
    return {int(address): int(word) for address, word in holding.items()}


class StepwiseSimulator(GrowattSimulator):
    """Counts requests: faults strike by their number, and so do writes take effect late.

    ``late=2`` takes effect right before the second request after the write.
    """

    def __init__(self, registers: Mapping[str, Mapping[str, int]]) -> None:
        """Be one inverter, unit 1, which takes any value."""
        super().__init__({1: registers})
        self.units[1].checks_limits = False
        self.count = 0
        """Requests so far."""
        self.before_request: Callable[[int], None] = lambda number: None
        """Called with the number of each request, from 1 on, before it is acted on."""
        self.served: list[GrowattUnit] = []
        """The inverter that was there at each of ``requests``."""
        self.lost = asyncio.Event()
        """Set when the answer that is waited for will not come."""
        self._late: list[tuple[int, Callable[[], None]]] = []

    @override
    def receive(
        self, connection: Connection, unit: int, transaction: int, octets: bytes
    ) -> None:
        self.count += 1
        due = [action for number, action in self._late if number <= self.count]
        self._late = [late for late in self._late if late[0] > self.count]
        for act in due:
            act()
        self.before_request(self.count)
        super().receive(connection, unit, transaction, octets)
        self.served.append(self.units[1])
        fault = self.requests[-1].fault or ""
        if (self.requests[-1].answered is None and "disconnect" not in fault) or any(
            late in fault for late in ("delay", "stale")
        ):
            self.lost.set()

    @override
    def _later(
        self,
        loop: asyncio.AbstractEventLoop,
        seconds: float,
        action: Callable[[], None],
    ) -> None:
        self._late.append((self.count + int(seconds), action))

    @property
    def has_late_writes(self) -> bool:
        """Whether a write has still to take effect."""
        return bool(self._late)

    def start_over(self) -> None:
        """Count from 0 again, without faults, and forget what was asked."""
        self.count = 0
        self.faults = []
        self.requests.clear()
        self.served.clear()
        self.before_request = lambda number: None
        self._late.clear()

    def at(self, faults: Mapping[int, Iterable[Fault | str]]) -> None:
        """Let faults strike certain requests only."""

        def strike(number: int) -> None:
            self.faults = faults.get(number, ())

        self.before_request = strike

    def put(self, unit: GrowattUnit) -> None:
        """Put an inverter in the place of unit 1."""
        self.units[1] = self.devices[1] = unit

    def holding(self, address: int, count: int = 1) -> tuple[int, ...]:
        """Return what the inverter that is there holds."""
        return tuple(
            self.word(1, "holding", place) for place in range(address, address + count)
        )

    @property
    def told(self) -> list[Request]:
        """The writes it was asked for, whatever became of them."""
        return [
            request for request in self.requests if request.function in WRITE_FUNCTIONS
        ]

    def shape(self, *, of: Callable[[Request], bool] = lambda request: True) -> str:
        """Return the functions of all requests, in order, as text: ``3 3 6 3``."""
        return " ".join(
            str(request.function) for request in self.requests if of(request)
        )


class ImpatientUnit(TmodbusUnit):
    """A unit that gives up at once when it is known that no answer will come."""

    def __init__(
        self, connection: ModbusConnection, unit_id: int, lost: asyncio.Event
    ) -> None:
        """Give up when ``lost`` is set."""
        super().__init__(connection, unit_id)
        self._lost = lost

    async def _unless_lost[Answer](self, call: Coroutine[None, None, Answer]) -> Answer:
        self._lost.clear()
        lost = asyncio.create_task(self._lost.wait())
        answer = asyncio.create_task(call)
        try:
            await asyncio.wait((answer, lost), return_when=asyncio.FIRST_COMPLETED)
            if not answer.done():
                raise ModbusTimeoutError("no answer")
            return answer.result()
        finally:
            answer.cancel()
            lost.cancel()
            await asyncio.gather(answer, lost, return_exceptions=True)

    @override
    async def read_holding_registers(self, address: int, count: int) -> list[int]:
        return await self._unless_lost(super().read_holding_registers(address, count))

    @override
    async def read_input_registers(self, address: int, count: int) -> list[int]:
        return await self._unless_lost(super().read_input_registers(address, count))

    @override
    async def write_register(self, address: int, value: int) -> None:
        await self._unless_lost(super().write_register(address, value))

    @override
    async def write_registers(self, address: int, values: list[int]) -> None:
        await self._unless_lost(super().write_registers(address, values))


@dataclass
class Rig:
    """An inverter behind a socket, its driver, and the gate in front of it."""

    simulator: StepwiseSimulator
    connection: ModbusConnection
    max_words: int | None = None
    identified: Identification = IDENTIFIED
    now: datetime = NOON
    records: list[Written[str]] = field(default_factory=list)
    inverter: Inverter = field(init=False)
    settings: InverterSettings = field(init=False)
    gate: WriteGate[str] = field(init=False)

    def __post_init__(self) -> None:
        """Set it up."""
        self.restart()

    def restart(self) -> None:
        """Know nothing any more of how it was before."""
        if hasattr(self, "settings"):
            self.settings.stop_watching()
        unit = ImpatientUnit(self.connection, 1, self.simulator.lost)
        self.inverter = Inverter(
            unit,
            self.identified,
            spacing=0.0,
            max_words=self.max_words,
            work_mode=Part.PRIORITY_MODE,
        )
        self.settings = InverterSettings(unit, self.inverter, lambda: self.now)
        self.gate = WriteGate(self.settings, WriteBudget({}, _forget), self._record)
        self.records.clear()

    def _record(self, gate: WriteGate[str], written: Written[str]) -> None:
        self.records.append(written)

    @property
    def record(self) -> Written[str]:
        """The only record there is."""
        (record,) = self.records
        return record


async def _forget(ledger: object) -> None:
    """Keep no count of writes."""


@asynccontextmanager
async def make_rig(
    holding: Mapping[int, int] | None = None,
    *,
    max_words: int | None = None,
    identified: Identification = IDENTIFIED,
) -> AsyncIterator[Rig]:
    """Start an inverter that holds these words, and connect to it."""
    # Keeping track of where each task was made takes five times as long as what they do.
    asyncio.get_running_loop().set_debug(False)
    async with StepwiseSimulator(registers_of(holding=holding)) as simulator:
        params = ModbusTcpParams(host=HOST, port=await simulator.start_tcp())
        connection = ModbusConnection(params, timeout=TIMEOUT)
        try:
            yield Rig(simulator, connection, max_words=max_words, identified=identified)
        finally:
            await connection.close()
