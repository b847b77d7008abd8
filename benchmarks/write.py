"""Requests that a change costs, checks included, seen by the simulator.

    scripts/bench write

A confirmed change asks who the device is, what it holds, writes, and reads back: four
requests, which no change with these checks can go below. A bare write would be one.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from datetime import datetime, time
from typing import Final
from unittest.mock import patch

from modbus_connection import ModbusTcpParams
from modbus_connection.tmodbus import ModbusConnection

from custom_components.local_solar.growatt.identify import identify
from custom_components.local_solar.growatt.inverter import Inverter
from custom_components.local_solar.growatt.known_inverter import SYNC_CLOCK
from custom_components.local_solar.growatt.settings import InverterSettings
from custom_components.local_solar.points import AC_CHARGE, TimeSlotChange, Wanted
from custom_components.local_solar.write_budget import Ledger, WriteBudget
from custom_components.local_solar.write_gate import WriteGate
from simulators.growatt import GrowattSimulator

from .report import Metric, run

CHECKED: Final = 4
"""Who are you, what do you hold, write, what do you hold now."""
LOOKED_AT: Final = 2
"""Who are you, what do you hold."""

CHANGES: Final[Mapping[str, tuple[str, Wanted]]] = {
    "a number (active power limit)": ("active_power_limit", 80),
    "a number in flash (charge stop SOC)": ("charge_stop_soc", 90),
    "a switch (charge from the grid)": (AC_CHARGE, True),
    "an option (export limit source)": ("export_limit_mode", "ct"),
    "a time slot": ("tou1", TimeSlotChange(end=time(12))),
    "a part of a time slot": ("tou2_end", time(6)),
    "the clock": (SYNC_CLOCK.key, True),
}


def measure(quick: bool) -> Iterable[Metric]:
    """Count requests of each kind of change; nothing is left out with ``quick``."""
    # What the device needs to settle costs time, not requests.
    with patch("custom_components.local_solar.write_gate.SETTLE", (0.0, 0.0, 0.0)):
        return asyncio.run(_measure())


async def _measure() -> list[Metric]:
    return [
        metric
        for name, (key, wanted) in CHANGES.items()
        for metric in await _measure_change(name, key, wanted)
    ]


async def _measure_change(name: str, key: str, wanted: Wanted) -> list[Metric]:
    """Return what a change costs: to look at, to make, and to find unnecessary."""
    async with _simulated() as (simulator, gate):

        async def change() -> None:
            await gate.async_write(key, wanted, None)

        async def preview() -> str:
            return (await gate.async_preview(key, wanted, None)).token

        token = await preview()

        async def confirm() -> None:
            await gate.async_confirm(token, None)

        return [
            await _count(simulator, f"{name}: preview", preview, LOOKED_AT),
            await _count(simulator, f"{name}: confirm", confirm, CHECKED),
            await _count(simulator, f"{name}: again, unchanged", change, LOOKED_AT),
        ]


async def _count(
    simulator: GrowattSimulator,
    name: str,
    act: Callable[[], Awaitable[object]],
    goal: int,
) -> Metric:
    """Return how many requests came."""
    simulator.requests.clear()
    await act()
    return Metric(
        metric=name,
        value=len(simulator.requests),
        unit="requests",
        reference=goal,
        goal=goal,
    )


@asynccontextmanager
async def _simulated() -> AsyncIterator[tuple[GrowattSimulator, WriteGate[None]]]:
    """Yield a simulated hybrid and the gate before it."""

    async def keep(ledger: Ledger) -> None:
        """Forget it: the budget is not what is measured."""

    async with GrowattSimulator() as simulator:
        port = await simulator.start_tcp()
        connection = ModbusConnection(ModbusTcpParams(host="127.0.0.1", port=port))
        try:
            unit = connection.for_unit(1)
            inverter = Inverter(unit, await identify(unit), spacing=0.0)
            settings = InverterSettings(unit, inverter, datetime.now)
            yield simulator, WriteGate(settings, WriteBudget({}, keep), lambda *_: None)
        finally:
            await connection.close()


if __name__ == "__main__":
    run(measure, __doc__ or "")
