"""Bus time of polling each profile, next to the least that is possible.

The real driver polls a simulated unit on a 9600-baud line whose clock knows what
every byte takes. The optimum is found here, independently of the planner: the
cheapest of all ways to fetch the wanted words inside the profile's groups.
"""

import asyncio
from collections.abc import Iterable, Iterator
from math import inf
from typing import Final
from unittest.mock import patch

from custom_components.local_solar.growatt.identify import Identification
from custom_components.local_solar.growatt.inverter import INTERVALS, Inverter
from custom_components.local_solar.growatt.models import THREE_PHASE, Family
from custom_components.local_solar.growatt.profiles.catalogue import PROFILES
from custom_components.local_solar.growatt.profiles.profile import Part
from custom_components.local_solar.modbus.image import Space
from custom_components.local_solar.modbus.register import Register
from custom_components.local_solar.points import PointId, Rhythm, Visibility

from .report import Metric, run
from .simulated_line import SimulatedClock, SimulatedUnit, Traffic, read_seconds

DOCUMENTED_SPACING: Final = 0.850
LINKS: Final = ((0.0, 0.0), (0.030, 0.0), (0.0, DOCUMENTED_SPACING))
"""Latency of the unit and spacing between messages, in seconds."""

POLL_GOAL: Final = 1.05
HOUR_GOAL: Final = 1.10
POLLS_PER_HOUR: Final = 360
POLL_SECONDS: Final = 10.0
WARM_UP: Final = 3
"""Polls in which the driver learns the latency."""

SHOWN: Final = frozenset({Visibility.SHOWN})
OFFERED_TOO: Final = frozenset({Visibility.SHOWN, Visibility.OFFERED})

LIVE: Final = frozenset({Rhythm.LIVE})
SETTINGS: Final = frozenset({Rhythm.SETTINGS})

SETS: Final = (
    ("all live values and counters", OFFERED_TOO, LIVE | {Rhythm.ENERGY}),
    ("all live values", OFFERED_TOO, LIVE),
    ("enabled live values", SHOWN, LIVE),
)
"""What is polled: what an owner may enable, or what is enabled from the start."""


def measure(quick: bool) -> Iterator[Metric]:
    """Measure one poll and one hour of each profile."""
    for key in PROFILES:
        for latency, spacing in LINKS:
            delay = latency + spacing
            name = f"{key} {delay * 1000:.0f} ms"
            for what, visibility, rhythms in SETS:
                if quick and what != SETS[0][0]:
                    continue
                yield from _one_poll(f"{name} {what}", key, delay, visibility, rhythms)
            yield _one_hour(f"{name} hour of polls", key, delay)


def _one_poll(
    name: str,
    key: str,
    delay: float,
    visibility: frozenset[Visibility],
    rhythms: frozenset[Rhythm],
) -> Iterator[Metric]:
    bench = _Bench(key, delay)
    wanted = bench.wanted(visibility, rhythms)
    rows = bench.inverter.wanted_rows(wanted)
    for _ in range(WARM_UP):
        bench.poll(wanted)
        bench.wait_until_due()
    bench.unit.traffic = Traffic()
    bench.poll(wanted)
    traffic = bench.unit.traffic
    least = optimum(rows, key, delay)
    seconds = traffic.seconds(delay)
    yield Metric(metric=f"{name}: requests", value=len(traffic.reads), unit="")
    yield Metric(metric=f"{name}: words", value=traffic.words, unit="")
    yield Metric(metric=f"{name}: bytes", value=traffic.bytes, unit="")
    yield Metric(metric=f"{name}: time", value=seconds, unit="s", reference=least)
    yield Metric(
        metric=f"{name}: time / optimum",
        value=seconds / least,
        unit="x",
        reference=1,
        goal=POLL_GOAL,
    )
    if key == "min_tl_xh" and delay == DOCUMENTED_SPACING:
        yield Metric(
            metric=f"{name}: requests, goal", value=len(traffic.reads), unit="", goal=2
        )


def _one_hour(name: str, key: str, delay: float) -> Metric:
    """Poll for an hour what is enabled, and all settings, against the live values alone."""
    bench = _Bench(key, delay)
    wanted = bench.wanted(SHOWN, frozenset(Rhythm)) | bench.wanted(
        OFFERED_TOO, SETTINGS
    )
    live = bench.inverter.wanted_rows(bench.wanted(SHOWN, LIVE))
    for _ in range(WARM_UP):
        bench.poll(wanted)
        bench.wait_until_due()
    bench.unit.traffic = Traffic()
    started = bench.clock.now
    for poll in range(POLLS_PER_HOUR):
        bench.clock.now = max(bench.clock.now, started + poll * POLL_SECONDS)
        bench.poll(wanted)
    seconds = bench.unit.traffic.seconds(delay)
    least = POLLS_PER_HOUR * optimum(live, key, delay)
    return Metric(
        metric=f"{name}: time / optimum of live values",
        value=seconds / least,
        unit="x",
        reference=1,
        goal=HOUR_GOAL,
    )


class _Bench:
    """A driver on a simulated unit that has a battery and all its registers."""

    def __init__(self, key: str, delay: float) -> None:
        self.clock = SimulatedClock()
        spacing = delay if delay == DOCUMENTED_SPACING else 0.0
        self.unit = SimulatedUnit(self.clock, delay - spacing)
        self.inverter = Inverter(self.unit, _identified(key), spacing=spacing)
        for row in self.inverter.profile:
            store = self.unit.holding if row.space is Space.HOLDING else self.unit.input
            store.update(dict.fromkeys(range(row.address, row.end), 1))

    def wanted(
        self, visibility: frozenset[Visibility], rhythms: frozenset[Rhythm]
    ) -> frozenset[PointId]:
        return frozenset(
            (device.identity.id, point.key)
            for device in self.inverter.devices
            for point in device.points
            if point.visibility in visibility and point.rhythm in rhythms
        )

    def poll(self, wanted: Iterable[PointId]) -> None:
        with patch("time.monotonic", self.clock.monotonic):
            poll = asyncio.run(self.inverter.async_poll(wanted))
        assert poll.asleep is None, poll.asleep
        assert not poll.failed, poll.failed

    def wait_until_due(self) -> None:
        self.clock.now += INTERVALS[Rhythm.ENERGY]


def _identified(key: str) -> Identification:
    return Identification(
        serial_number="SNL0BENCH1",
        family=Family(key),
        profile=key,
        model=key,
        strings=2,
        phases=3 if key in THREE_PHASE else 1,
        battery=any(section.part is Part.BATTERY for section in PROFILES[key].sections),
        battery_code="ZEBA",
    )


def optimum(rows: Iterable[Register], key: str, delay: float) -> float:
    """Return the least seconds in which the words of ``rows`` can be fetched.

    Every way to cut the wanted addresses of a group into reads is considered,
    also those that would tear a value: a lower bound for any planner.
    """
    profile = PROFILES[key]
    wanted = {
        (row.space, place) for row in rows for place in range(row.address, row.end)
    }
    total = 0.0
    for space, groups in profile.groups.items():
        for first, last in groups:
            addresses = sorted(
                place
                for in_space, place in wanted
                if in_space is space and first <= place <= last
            )
            total += _least(addresses, delay, profile.max_words)
    return total


def _least(addresses: list[int], delay: float, max_words: int) -> float:
    """Return the least seconds for the addresses of one group."""
    best = [0.0]
    for stop in range(len(addresses)):
        cheapest = inf
        for start in range(stop + 1):
            words = addresses[stop] - addresses[start] + 1
            if words <= max_words:
                cheapest = min(cheapest, best[start] + read_seconds(words, delay))
        best.append(cheapest)
    return best[-1]


if __name__ == "__main__":
    run(measure, __doc__ or "")
