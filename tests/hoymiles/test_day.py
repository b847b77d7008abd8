"""A day and a half at speed: nights, restarts, new keys, other programs on the line."""

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from types import SimpleNamespace
from unittest.mock import patch

import pytest

from custom_components.local_solar.counters import CounterGuard
from custom_components.local_solar.hoymiles.client import DtuClient
from custom_components.local_solar.hoymiles.dtu import Dtu
from custom_components.local_solar.hoymiles.errors import DtuError
from custom_components.local_solar.hoymiles.inventory import Inventory
from custom_components.local_solar.points import PointId, Value
from simulators.clock import SimulatedClock
from simulators.hoymiles import SimulatedDtu
from simulators.hoymiles_faults import Fault
from simulators.hoymiles_server import running_dtu

START = datetime(2026, 6, 21, 0, 0)
STEP = timedelta(minutes=2)
WATT_HOUR = 0.001


@dataclass
class Owner:
    """What an owner sees, poll by poll: counters go through the guard, as in the coordinator."""

    dtu: Dtu
    guard: CounterGuard = field(default_factory=CounterGuard)
    shown: dict[PointId, list[float]] = field(default_factory=dict)
    polls: int = 0
    failures: int = 0

    async def look(self, now: datetime) -> None:
        """Poll once, whatever comes of it."""
        snapshot: dict[str, dict[str, Value | None]] = {}
        self.polls += 1
        try:
            snapshot = (await self.dtu.async_poll(())).snapshot
        except DtuError:
            self.failures += 1
        for device in self.dtu.devices:
            for point in device.points:
                if not point.quantity.is_counter:
                    continue
                where = (device.identity.id, point.key)
                read = snapshot.get(where[0], {}).get(point.key)
                value = self.guard.accept(
                    where,
                    point.quantity,
                    read if isinstance(read, int | float) else None,
                    now,
                )
                if value is not None:
                    self.shown.setdefault(where, []).append(value)


@pytest.fixture
def monotonic() -> Iterator[list[float]]:
    """Let the driver's own time be that of the simulation."""
    seconds = [1000.0]
    clock = SimpleNamespace(monotonic=lambda: seconds[0])
    with patch("custom_components.local_solar.hoymiles.dtu.time", clock):
        yield seconds


@pytest.mark.usefixtures("socket_enabled")
async def test_no_day_total_is_lost(monotonic: list[float]) -> None:
    asyncio.get_running_loop().set_debug(False)  # it is ten times slower with it
    clock = SimulatedClock(START, 0)
    sim = SimulatedDtu("hms-800w-2t", clock=clock, encrypt=True, refresh=0)
    counted: dict[int, float] = {}
    """Watt-hours of each day as the DTU counted them, before it forgot them."""
    seeds = set()
    async with running_dtu(sim, port=0) as address:
        now = START
        (inverter,) = sim.inverters.values()

        def local() -> datetime:
            return now.replace(tzinfo=UTC)

        client = DtuClient(address.host, address.port, local, sim.serial)
        owner = Owner(Dtu(client, Inventory(serial=sim.serial)))
        while now < START + timedelta(hours=42):
            sim.advance(STEP.total_seconds())
            now += STEP
            monotonic[0] += STEP.total_seconds()
            if owner.polls % 7 == 3:
                sim.faults = [Fault.parse("evict,times=1")]
            await owner.look(local())
            today = sum(inverter.energy_today)
            counted[now.day] = max(counted.get(now.day, 0.0), today)
            seeds.add(sim.encryption_seed)
        total = sum(inverter.energy_total)
    ours = f"dtu_{sim.serial}"
    days = owner.shown[ours, "energy_today"]
    lifetime = owner.shown[ours, "energy_total"]
    assert len(seeds) >= 2, "the DTU has renewed its key in the morning"
    assert owner.failures < owner.polls / 2
    assert 0 not in days and 0 not in lifetime
    assert lifetime == sorted(lifetime)
    assert lifetime[-1] == pytest.approx(total / 1000, abs=3 * WATT_HOUR)
    # The first day's total stands until the first watt-hour of the next.
    (falls,) = [
        number
        for number, (before, after) in enumerate(pairwise(days))
        if after < before
    ]
    assert days[falls] == pytest.approx(counted[21] / 1000, abs=3 * WATT_HOUR)
    assert days[-1] == pytest.approx(counted[22] / 1000, abs=3 * WATT_HOUR)
    for where, values in owner.shown.items():
        if where[1].endswith("_total"):
            assert values == sorted(values), where
