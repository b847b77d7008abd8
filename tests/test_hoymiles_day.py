"""Energy of a day as Home Assistant adds it up, whatever a DTU forgets in between."""

import asyncio
from collections.abc import Iterable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Final
from unittest.mock import patch

import pytest

from custom_components.local_solar.counters import CounterGuard
from custom_components.local_solar.hoymiles import dtu as dtu_module
from custom_components.local_solar.hoymiles.client import DtuClient
from custom_components.local_solar.hoymiles.dtu import Dtu
from custom_components.local_solar.hoymiles.errors import DtuError
from custom_components.local_solar.hoymiles.inventory import Inventory
from custom_components.local_solar.points import Quantity
from simulators.clock import SimulatedClock
from simulators.hoymiles.faults import Fault
from simulators.hoymiles.server import running_dtu

from .hoymiles.test_client import INTEGRATED, STICK, TellingDtu, impatient
from .hoymiles.test_dtu import Time

STEP: Final = timedelta(minutes=5)
START: Final = datetime(2026, 6, 21)
RESTART: Final = START + timedelta(hours=12)
SHADE: Final = START + timedelta(hours=16)
"""When one inverter goes to sleep before the others: it has a tree in the west."""

TODAY: Final = "energy_today"
TOTAL: Final = "energy_total"
QUANTITIES: Final = {TODAY: Quantity.ENERGY_TODAY, TOTAL: Quantity.ENERGY_TOTAL}


def added_up(shown: Iterable[float]) -> float:
    """Return the sum that statistics make of a counter of the day: a fall is a reset."""
    return sum(
        after if after < before else after - before
        for before, after in pairwise((0.0, *shown))
    )


@pytest.mark.usefixtures("socket_enabled")
@pytest.mark.parametrize(
    ("inventory", "encrypt", "fault", "restarts"),
    [
        (INTEGRATED, True, "", False),
        (INTEGRATED, True, "", True),
        (STICK, False, "missing-total", False),
        (STICK, False, "no-real-data-new", True),
    ],
)
async def test_day_adds_up_to_what_was_produced(
    inventory: str, encrypt: bool, fault: str, restarts: bool
) -> None:
    asyncio.get_running_loop().set_debug(False)
    clock = SimulatedClock(START, 0)
    sim = TellingDtu(inventory, clock=clock, encrypt=encrypt)
    inverters = [*sim.inverters.values()]
    before = sum(sum(found.energy_total) for found in inverters)
    guard = CounterGuard()
    shown: dict[str, list[float]] = {TODAY: [], TOTAL: []}

    def now() -> datetime:
        return clock.now().replace(tzinfo=UTC)

    with patch.object(dtu_module, "time", Time()) as ahead:
        async with running_dtu(sim) as address:
            client = DtuClient(address.host, address.port, now, sim.serial)
            dtu = Dtu(client, Inventory(serial=sim.serial))
            with impatient(sim):
                for number in range(timedelta(days=1) // STEP - 1):
                    if restarts and clock.now() == RESTART:
                        sim.restart()
                        for found in inverters:
                            found.begin_day()
                    sim.advance(STEP.total_seconds())
                    ahead.ahead += STEP.total_seconds()
                    inverters[-1].on = clock.now() < SHADE
                    inverters[-1].out_of_reach = clock.now() >= SHADE + 3 * STEP
                    sim.faults = [Fault.parse(fault)] if fault else []
                    if number % 7 == 5:
                        sim.faults.append(Fault.parse("evict,times=1"))
                    values = {}
                    with suppress(DtuError):
                        values = (await dtu.async_poll(())).snapshot.get(dtu.id, {})
                    for key, quantity in QUANTITIES.items():
                        read = values.get(key)
                        value = guard.accept(
                            (dtu.id, key),
                            quantity,
                            read if isinstance(read, int | float) else None,
                            now(),
                        )
                        if value is not None:
                            shown[key].append(value)
    after = sum(sum(found.energy_total) for found in inverters)
    inputs = sum(found.spec.model.inputs for found in inverters)
    # Each input tells whole watt-hours.
    error = 0.001 * (1 + inputs * (1 + restarts))
    assert after - before > 3000
    assert 0 not in shown[TODAY] + shown[TOTAL]
    assert shown[TOTAL] == sorted(shown[TOTAL])
    assert shown[TOTAL][-1] == pytest.approx(after / 1000, abs=error)
    assert added_up(shown[TODAY]) == pytest.approx((after - before) / 1000, abs=error)
    falls = sum(later < sooner for sooner, later in pairwise(shown[TODAY]))
    assert falls == restarts
