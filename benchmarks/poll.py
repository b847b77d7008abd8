"""Bus time of polling each profile, next to the least that is possible.

The real driver polls a simulated unit on a 9600-baud line whose clock knows what
every byte takes. The optimum is found here, independently of the planner: the
cheapest of all ways to fetch the wanted words inside the profile's groups.
"""

import asyncio
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from math import inf
from typing import Final
from unittest.mock import patch

from custom_components.local_solar.growatt.identify import Identification
from custom_components.local_solar.growatt.inverter import INTERVALS, Inverter
from custom_components.local_solar.growatt.models import NARROW, THREE_PHASE, Family
from custom_components.local_solar.growatt.profiles.catalogue import (
    PROFILES,
    profile_of,
)
from custom_components.local_solar.growatt.profiles.profile import Part, Profile
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
COUNTED: Final = LIVE | {Rhythm.ENERGY}
SETTINGS: Final = frozenset({Rhythm.SETTINGS})

SETS: Final = (
    ("all live values and counters", OFFERED_TOO, LIVE | {Rhythm.ENERGY}),
    ("all live values", OFFERED_TOO, LIVE),
    ("enabled live values", SHOWN, LIVE),
)
"""What is polled: what an owner may enable, or what is enabled from the start."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Map:
    """A register map, perhaps with the VPP protocol laid over it."""

    key: str
    vpp: bool = False

    @property
    def profile(self) -> Profile:
        """The map itself."""
        return profile_of(self.key, vpp=self.vpp)

    def __str__(self) -> str:
        """Return the name to show."""
        return f"{self.key}+vpp" if self.vpp else self.key


MAPS: Final = (
    *(Map(key=key) for key in PROFILES),
    *(Map(key=key, vpp=True) for key in ("mod_tl3_x", "mod_tl3_xh", "sph", "wit")),
)


def measure(quick: bool) -> Iterator[Metric]:
    """Measure one poll and one hour of each profile."""
    for measured in MAPS:
        for latency, spacing in LINKS:
            delay = latency + spacing
            name = f"{measured} {delay * 1000:.0f} ms"
            for what, visibility, rhythms in SETS:
                if quick and what != SETS[0][0]:
                    continue
                yield from _one_poll(
                    f"{name} {what}", measured, delay, visibility, rhythms
                )
            yield from _one_hour(f"{name} hour of polls", measured, delay)


def _one_poll(
    name: str,
    measured: Map,
    delay: float,
    visibility: frozenset[Visibility],
    rhythms: frozenset[Rhythm],
) -> Iterator[Metric]:
    bench = _Bench(measured, delay)
    wanted = bench.wanted(visibility, rhythms)
    rows = bench.inverter.wanted_rows(wanted)
    for _ in range(WARM_UP):
        bench.poll(wanted)
        bench.wait_until_due()
    bench.unit.traffic = Traffic()
    bench.poll(wanted)
    traffic = bench.unit.traffic
    least = optimum(rows, measured.profile, delay)
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
    if measured.key == "min_tl_xh" and delay == DOCUMENTED_SPACING:
        yield Metric(
            metric=f"{name}: requests, goal", value=len(traffic.reads), unit="", goal=2
        )


def _one_hour(name: str, measured: Map, delay: float) -> Iterator[Metric]:
    """Poll for an hour what is enabled, and all settings.

    Against the least for what falls due on average, and against that of the live values
    alone. With groups of 45 words, or sections of VPP, counters cannot be had along with
    these: there the latter has no goal.
    """
    bench = _Bench(measured, delay)
    wanted = bench.wanted(SHOWN, frozenset(Rhythm)) | bench.wanted(
        OFFERED_TOO, SETTINGS
    )
    rows = bench.inverter.wanted_rows(wanted)
    for _ in range(WARM_UP):
        bench.poll(wanted)
        bench.wait_until_due()
    bench.unit.traffic = Traffic()
    started = bench.clock.now
    for poll in range(POLLS_PER_HOUR):
        bench.clock.now = max(bench.clock.now, started + poll * POLL_SECONDS)
        bench.poll(wanted)
    seconds = bench.unit.traffic.seconds(delay)
    least = {
        rhythms: optimum(
            (row for row in rows if row.point.rhythm in rhythms),
            measured.profile,
            delay,
        )
        for rhythms in (LIVE, COUNTED, LIVE | COUNTED | SETTINGS)
    }
    live = least[LIVE]
    due = (
        POLLS_PER_HOUR * live
        + _times(Rhythm.ENERGY) * (least[COUNTED] - live)
        + _times(Rhythm.SETTINGS) * (least[LIVE | COUNTED | SETTINGS] - least[COUNTED])
    )
    yield Metric(
        metric=f"{name}: time / optimum of what is due",
        value=seconds / due,
        unit="x",
        reference=1,
        goal=POLL_GOAL,
    )
    yield Metric(
        metric=f"{name}: time / optimum of live values",
        value=seconds / (POLLS_PER_HOUR * live),
        unit="x",
        reference=1,
        goal=None if measured.vpp or measured.key in NARROW else HOUR_GOAL,
    )


def _times(rhythm: Rhythm) -> float:
    """Return how often a rhythm falls due in an hour."""
    return 3600 / INTERVALS[rhythm]


class _Bench:
    """A driver on a simulated unit that has a battery and all its registers."""

    def __init__(self, measured: Map, delay: float) -> None:
        self.clock = SimulatedClock()
        spacing = delay if delay == DOCUMENTED_SPACING else 0.0
        self.unit = SimulatedUnit(self.clock, delay - spacing)
        self.inverter = Inverter(self.unit, _identified(measured), spacing=spacing)
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


def _identified(measured: Map) -> Identification:
    return Identification(
        serial_number="SNL0BENCH1",
        family=Family(measured.key),
        profile=measured.key,
        model=str(measured),
        strings=2,
        phases=3 if measured.key in THREE_PHASE else 1,
        battery=any(
            section.part is Part.BATTERY for section in measured.profile.sections
        ),
        battery_code="ZEBA",
        vpp=measured.vpp,
    )


def optimum(rows: Iterable[Register], profile: Profile, delay: float) -> float:
    """Return the least seconds in which the words of ``rows`` can be fetched.

    Every way to cut the wanted addresses of a group into reads is considered,
    also those that would tear a value: a lower bound for any planner.
    """
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
