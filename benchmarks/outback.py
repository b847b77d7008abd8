"""Requests and time of reading an OutBack gateway, next to the library mate3.

Both read the same simulated system, of which each answer takes 20 ms: the recorded
MATE3s with two inverters, two charge controllers and a battery monitor, or a made-up one
where there is no recording. The library has no other read than that of everything.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Collection, Iterable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
import json
from math import ceil
import os
from pathlib import Path
from random import Random
import struct
import sys
from time import monotonic, perf_counter, process_time
from types import SimpleNamespace
from typing import Final
from unittest.mock import patch

from modbus_connection import ModbusTcpParams, ModbusUnit
from modbus_connection.tmodbus import ModbusConnection

from custom_components.local_solar.coordinators.outback import (
    MESSAGE_SPACING,
    REQUEST_TIMEOUT,
)
from custom_components.local_solar.modbus.codecs import Integer
from custom_components.local_solar.outback.block import Family
from custom_components.local_solar.outback.decoding import BlockDecoder
from custom_components.local_solar.outback.derived import derive
from custom_components.local_solar.outback.mate3 import Mate3
from custom_components.local_solar.outback.settings import DeviceSettings
from custom_components.local_solar.outback.system import MAX_WORDS, async_identify
from custom_components.local_solar.points import PointId, Value, Visibility
from custom_components.local_solar.write_budget import Ledger, WriteBudget
from custom_components.local_solar.write_gate import WriteGate
from simulators.mate3.gateway import Mate3Simulator

from .report import Metric, run

ROOT: Final = Path(__file__).parents[1]
RECORDED: Final = ROOT.parent / "shared" / "captures" / "outback" / "mate3s_dump.json"
"""Not everywhere."""

HOST: Final = "127.0.0.1"
LATENCY: Final = "delay=0.02"

LIVE_GOAL: Final = 6
"""Requests: the gateway's state, and one for each of five devices."""
ALL_GOAL: Final = 18

CHECKED: Final = 4
"""What is there and what does it hold, write, what was wrong, what does it hold now."""
SETTING: Final = "float_volts"
CHANGED_TO: Final = 54.0

DOCUMENTED_REQUESTS: Final = 48
DOCUMENTED_SECONDS: Final = 1.03
"""What the library took for the recorded system, where it cannot be measured: it needs
Python 3.7."""
PATIENCE: Final = 60.0

POLL_SECONDS: Final = 10.0
SETTINGS_SECONDS: Final = 300.0
"""Between two reads of what is measured, and of what is set."""

SHOWN: Final = frozenset({Visibility.SHOWN})
EVERY: Final = frozenset(Visibility)

RUNS: Final = 7


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """What a read took: the registers of each request, and seconds."""

    reads: tuple[int, ...]
    seconds: float

    @property
    def requests(self) -> int:
        """How many there were."""
        return len(self.reads)

    @property
    def registers(self) -> int:
        """How many there were in all requests."""
        return sum(self.reads)


class Meter:
    """Takes down what requests reach the simulator."""

    def __init__(self, simulator: Mate3Simulator) -> None:
        """Look at ``simulator``."""
        self._simulator = simulator
        self._since = monotonic()
        self._before = 0

    def start(self) -> None:
        """Begin with the next request."""
        self._before = len(self._simulator.requests)
        self._since = monotonic()

    def stop(self) -> Cost:
        """Return what it was since then."""
        seconds = monotonic() - self._since
        requests = self._simulator.requests[self._before :]
        return Cost(reads=tuple(one.count for one in requests), seconds=seconds)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ours:
    """What our driver took. The last is the microseconds of the processor."""

    map: int
    """Registers of the whole map."""
    values: int
    setup: Cost
    first: Cost
    live: Cost
    everything: Cost
    dump: Cost
    preview: Cost
    change: Cost
    live_with_pauses: Cost
    everything_with_pauses: Cost
    decoding: float
    bare_loop: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Theirs:
    """What the library took. ``measured`` is false for what was only written down."""

    connecting: int
    requests: int
    seconds: float
    measured: bool


def measure(quick: bool) -> Iterator[Metric]:
    """Measure both."""
    return _metrics(*asyncio.run(_measure(3 if quick else 15)))


async def _measure(rounds: int) -> tuple[Ours, Theirs]:
    source = RECORDED if RECORDED.is_file() else None
    async with Mate3Simulator(source, faults=[LATENCY]) as simulator:
        port = await simulator.start_tcp(HOST)
        ours = await _ours(simulator, port, rounds)
        return ours, await _theirs(simulator, port)


# -- ours -----------------------------------------------------------------------------


class _Clock:
    """Time that can be put forward, for what is read each few seconds or minutes."""

    def __init__(self) -> None:
        self._ahead = 0.0

    def monotonic(self) -> float:
        """Stand in for ``time.monotonic``."""
        return monotonic() + self._ahead

    def pass_by(self, seconds: float) -> None:
        """Let time pass."""
        self._ahead += seconds


@asynccontextmanager
async def _connected(port: int) -> AsyncIterator[ModbusConnection]:
    connection = ModbusConnection(
        ModbusTcpParams(host=HOST, port=port), timeout=REQUEST_TIMEOUT
    )
    try:
        yield connection
    finally:
        await connection.close()


async def _ours(simulator: Mate3Simulator, port: int, rounds: int) -> Ours:
    clock = _Clock()
    time = SimpleNamespace(monotonic=clock.monotonic, perf_counter=perf_counter)
    modules = "custom_components.local_solar"
    meter = Meter(simulator)
    with (
        patch(f"{modules}.outback.mate3.time", time),
        patch(f"{modules}.modbus.reader.time", time),
    ):
        async with _connected(port) as connection:
            unit = connection.for_unit(1)
            # The link connects with the first request.
            await unit.read_holding_registers(40000, 2)
            unit.set_message_spacing(MESSAGE_SPACING)
            meter.start()
            system = await async_identify(unit)
            setup = meter.stop()

            def driver(spacing: float) -> Mate3:
                unit.set_message_spacing(spacing)
                return Mate3(unit, system, spacing=spacing)

            paused = driver(MESSAGE_SPACING)
            shown = _wanted(paused, SHOWN)
            every = _wanted(paused, EVERY)
            first = (await _polls(paused, shown, meter, clock, [0.0]))[-1]
            live_paused = await _again(paused, shown, meter, clock, POLL_SECONDS, 1)
            every_paused = await _again(
                paused, every, meter, clock, SETTINGS_SECONDS, 1
            )
            mate3 = driver(0.0)
            live = await _again(mate3, shown, meter, clock, POLL_SECONDS, rounds)
            everything = await _again(
                mate3, every, meter, clock, SETTINGS_SECONDS, rounds
            )
            decoding, values = _decoding(mate3, rounds)
            meter.start()
            image, _ = await mate3.async_dump()
            dump = meter.stop()
            preview, change = await _change(unit, mate3, meter)
            words = [*image.words.values()]
    return Ours(
        map=sum(map(len, words)),
        values=values,
        setup=setup,
        first=first,
        live=live,
        everything=everything,
        dump=dump,
        preview=preview,
        change=change,
        live_with_pauses=live_paused,
        everything_with_pauses=every_paused,
        decoding=decoding,
        bare_loop=_bare_loop(mate3, rounds),
    )


def _wanted(mate3: Mate3, visibilities: Collection[Visibility]) -> frozenset[PointId]:
    return frozenset(
        (device.identity.id, point.key)
        for device in mate3.devices
        for point in device.points
        if point.visibility in visibilities
    )


async def _again(
    mate3: Mate3,
    wanted: frozenset[PointId],
    meter: Meter,
    clock: _Clock,
    seconds: float,
    rounds: int,
) -> Cost:
    """Return the quickest of several polls so many seconds apart; warm up before."""
    waits = [0.0, seconds, *[seconds] * rounds]
    costs = (await _polls(mate3, wanted, meter, clock, waits))[2:]
    assert len({cost.reads for cost in costs}) == 1
    return min(costs, key=lambda cost: cost.seconds)


async def _polls(
    mate3: Mate3,
    wanted: frozenset[PointId],
    meter: Meter,
    clock: _Clock,
    waits: Iterable[float],
) -> list[Cost]:
    costs = []
    for wait in waits:
        clock.pass_by(wait)
        meter.start()
        poll = await mate3.async_poll(wanted)
        costs.append(meter.stop())
        assert poll.asleep is None, poll.asleep
        assert not poll.failed, poll.failed
    return costs


async def _change(unit: ModbusUnit, mate3: Mate3, meter: Meter) -> tuple[Cost, Cost]:
    """Return what it takes to preview the first change on a connection, and to make it."""

    async def keep(ledger: Ledger) -> None:
        """Forget it: the budget is not what is measured."""

    controller = next(
        item
        for item in mate3.system.equipment
        if item.family is Family.CHARGE_CONTROLLER
    )
    settings = DeviceSettings(unit, mate3, controller.id, installer=False)
    gate = WriteGate[None](settings, WriteBudget({}, keep), lambda *_: None)
    # What the device needs to settle costs time, not requests.
    with patch("custom_components.local_solar.outback.settings.SETTLE", (0.0,) * 3):
        meter.start()
        token = (await gate.async_preview(SETTING, CHANGED_TO, None)).token
        preview = meter.stop()
        meter.start()
        await gate.async_confirm(token, None)
        change = meter.stop()
    settings.stop_watching()
    return preview, change


def _decoding(mate3: Mate3, rounds: int) -> tuple[float, int]:
    """Return the microseconds of decoding all that was read, and how many values that are."""
    decoders = [
        (
            rows,
            [
                BlockDecoder(
                    device,
                    place,
                    [row.row for row in rows.values() if row.place == place],
                )
                for place in dict.fromkeys(row.place for row in rows.values())
            ],
        )
        for device, rows in mate3.rows.items()
    ]

    def decode() -> int:
        count = 0
        for rows, blocks in decoders:
            values: dict[str, Value | None] = {}
            for block in blocks:
                values |= block.decode(mate3.image)
            derive(values, rows)
            count += len(values)
        return count

    values = decode()
    return _best(decode, rounds * 5), values


def _bare_loop(mate3: Mate3, rounds: int) -> float:
    """Return the microseconds of unpacking and scaling the words of the same rows."""
    registers = [
        placed.register for rows in mate3.rows.values() for placed in rows.values()
    ]
    first = min(register.address for register in registers)
    last = max(register.end for register in registers)
    fields = [
        (
            f"{register.address} {register.key}",
            register.address - first,
            register.words,
            isinstance(register.codec, Integer) and register.codec.signed,
            register.scale,
        )
        for register in registers
    ]
    octets = Random(1).randbytes(2 * (last - first))
    return _best(lambda: _unpack(octets, fields), rounds * 20)


def _unpack(
    octets: bytes, fields: list[tuple[str, int, int, bool, float]]
) -> dict[str, float]:
    words = struct.unpack(f">{len(octets) // 2}H", octets)
    values: dict[str, float] = {}
    for key, place, count, signed, scale in fields:
        raw = words[place] if count == 1 else words[place] << 16 | words[place + 1]
        if signed and raw >> (16 * count - 1):
            raw -= 1 << 16 * count
        values[key] = raw * scale
    return values


def _best(function: Callable[[], object], loops: int) -> float:
    best = float("inf")
    for _ in range(RUNS):
        began = process_time()
        for _ in range(loops):
            function()
        best = min(best, (process_time() - began) / loops)
    return best * 1e6


# -- theirs ---------------------------------------------------------------------------


async def _theirs(simulator: Mate3Simulator, port: int) -> Theirs:
    folder = Path(os.environ.get("LOCAL_SOLAR_ENV", ROOT / ".env"))
    python = folder / "mate3" / "bin" / "python"
    if not python.exists():
        return Theirs(
            connecting=DOCUMENTED_REQUESTS,
            requests=DOCUMENTED_REQUESTS,
            seconds=DOCUMENTED_SECONDS,
            measured=False,
        )
    before = len(simulator.requests)
    process = await asyncio.create_subprocess_exec(
        *(python, "-m", "benchmarks.outback_peer", HOST, str(port)),
        cwd=ROOT,
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(PATIENCE):
            out, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
    if process.returncode:
        sys.exit("the library mate3 has failed")
    told = json.loads(out)
    requests = len(simulator.requests) - before
    # It reads everything when it connects, and then as often as it was told.
    each, rest = divmod(requests, 1 + told["reads"])
    assert rest == 0, requests
    return Theirs(
        connecting=each, requests=each, seconds=told["seconds"], measured=True
    )


# -- results --------------------------------------------------------------------------


def _metrics(ours: Ours, theirs: Theirs) -> Iterator[Metric]:
    least = ceil(ours.map / MAX_WORDS)
    how = "measured" if theirs.measured else "documented"
    yield Metric(
        metric=f"mate3 0.6.2, every read ({how})",
        value=theirs.requests,
        unit="requests",
    )
    yield Metric(
        metric=f"mate3 0.6.2, every read: time ({how})", value=theirs.seconds, unit="s"
    )
    yield Metric(metric="registers of the whole map", value=ours.map, unit="")
    yield Metric(
        metric="whole map as a dump, least possible",
        value=ours.dump.requests,
        unit="requests",
        reference=least,
        goal=least,
    )
    for name, cost, paused, goal in (
        ("live poll", ours.live, ours.live_with_pauses, LIVE_GOAL),
        ("everything", ours.everything, ours.everything_with_pauses, ALL_GOAL),
    ):
        yield Metric(
            metric=f"{name}, next to mate3",
            value=cost.requests,
            unit="requests",
            reference=theirs.requests,
            goal=goal,
        )
        yield Metric(metric=f"{name}: registers", value=cost.registers, unit="")
        yield Metric(
            metric=f"{name}: largest read",
            value=max(cost.reads),
            unit="",
            goal=MAX_WORDS,
        )
        yield Metric(
            metric=f"{name}: time, next to mate3",
            value=cost.seconds,
            unit="s",
            reference=theirs.seconds,
            goal=theirs.seconds,
        )
        yield Metric(
            metric=f"{name}: time with pauses of {MESSAGE_SPACING * 1000:g} ms",
            value=paused.seconds,
            unit="s",
        )
    yield Metric(
        metric="everything, least possible",
        value=ours.everything.requests,
        unit="requests",
        reference=least,
    )
    yield Metric(
        metric="setting up: who is there",
        value=ours.setup.requests,
        unit="requests",
        reference=theirs.connecting,
        goal=theirs.connecting,
    )
    yield Metric(
        metric="setting up: first poll", value=ours.first.requests, unit="requests"
    )
    yield Metric(
        metric="setting up: time of both, with pauses",
        value=ours.setup.seconds + ours.first.seconds,
        unit="s",
    )
    yield Metric(
        metric="a change: preview", value=ours.preview.requests, unit="requests"
    )
    yield Metric(
        metric="a change: confirm, least possible",
        value=ours.change.requests,
        unit="requests",
        reference=CHECKED,
        goal=CHECKED,
    )
    yield Metric(
        metric=f"decode all {ours.values} values, next to a bare loop",
        value=ours.decoding,
        unit="us",
        reference=ours.bare_loop,
    )


if __name__ == "__main__":
    run(measure, __doc__ or "")
