"""The datalogger server: decoding, relaying, a crowd of loggers, garbage and rogues.

Server, cloud and loggers are processes of their own; the loggers are so light that the
server is what limits. Anchors are measured in the same run. Mode and limits are the
defaults of the server, and where not, the name of the metric says so.
"""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from functools import partial
from importlib import import_module
from statistics import median, quantiles
from struct import Struct
import sys
from time import monotonic, perf_counter, sleep
from typing import Final, NamedTuple

from custom_components.local_solar.growatt.datalogger.packets import (
    CHECKSUM_BYTES,
    HEADER,
    HEADER_BYTES,
    Packet,
    masked,
    parse,
)
from custom_components.local_solar.growatt.datalogger.records import (
    Record,
    RegisterRecord,
    decode,
)
from custom_components.local_solar.growatt.datalogger.unit import RecordedUnit
from custom_components.local_solar.growatt.identify import identify
from custom_components.local_solar.growatt.inverter import Inverter
from custom_components.local_solar.growatt.known_inverter import Poll
from custom_components.local_solar.modbus.crc import crc16

from .asking import Answer, Peer, peer
from .datalogger_garbage import Outcome, campaign, trials
from .datalogger_recorded import RECORDED, check_recorded
from .datalogger_records import DATASETS, LoggerPackets, logger_packets, words_of
from .report import Metric, run

DECODE_GOAL: Final = 3.0
"""Times the bare minimum."""

RELAY_GOAL: Final = 8_000.0
"""Records a second."""
LINES: Final = 16

CROWD: Final = 1_000
CROWD_INTERVAL: Final = 10.0
CROWD_GOAL: Final = 25.0
"""Percent of a core."""
CONNECTION_GOAL: Final = 15.0
"""kB."""

GROWTH_GOAL: Final = 1024.0
"""kB."""

CAMPAIGN: Final = "tests.growatt.datalogger.campaign"
"""Makes the garbled packets that the tests try fewer of."""

PROBE_FACTOR: Final = 2.0
PROBE_SLACK: Final = 5.0
"""So many times as long, and so many milliseconds more, may a round trip take."""

_PATIENCE: Final = 30.0


def measure(quick: bool) -> Iterator[Metric]:
    """Measure all."""
    yield from _recorded()
    for family in DATASETS:
        yield from _decoding(family, 150 if quick else 1_000)
    yield from _relaying(2 if quick else 5, 1.0 if quick else 5.0)
    yield from _crowd(15.0 if quick else 60.0, 0.0 if quick else 8.0)
    yield from _splitting(150 if quick else 1_500)
    yield from _garbled(*((30_000, 5_000) if quick else (1_000_000, 200_000)))
    yield from _rogues(1 if quick else 4, 1.5 if quick else 5.0)


# -- recorded packets --------------------------------------------------------------------


def _recorded() -> Iterator[Metric]:
    if not RECORDED.exists():
        yield Metric(metric="recorded packets: not here", value=0, unit="")
        made = [logger_packets(0, family) for family in DATASETS]
        wrong = sum(
            not _packet(raw).is_intact or not isinstance(_record(raw), RegisterRecord)
            for packets in made
            for raw in (packets.announcement, *packets.records)
        )
        yield Metric(
            metric="packets of the simulator that are not decoded",
            value=wrong,
            unit="",
            goal=0,
        )
        return
    verdict = check_recorded(RECORDED.read_text(encoding="utf-8").splitlines())
    yield Metric(metric="recorded packets", value=verdict.whole, unit="")
    yield Metric(metric="  published in part (waited for)", value=verdict.cut, unit="")
    yield Metric(metric="  spoilt (refused)", value=verdict.spoilt, unit="")
    yield Metric(metric="  fields compared", value=verdict.fields, unit="")
    for text in verdict.wrong:
        print(f"wrong: {text}", file=sys.stderr)
    yield Metric(
        metric="recorded packets: what is not as known",
        value=len(verdict.wrong),
        unit="",
        reference=0,
        goal=0,
    )


def _packet(raw: bytes) -> Packet:
    return parse(raw, HEADER.unpack_from(raw))


def _record(raw: bytes) -> Record:
    return decode(_packet(raw))


# -- decoding ----------------------------------------------------------------------------


def _inverter(packets: LoggerPackets) -> Inverter:
    """Return the inverter of a logger, identified from its reports."""
    announced, live = _record(packets.announcement), _record(packets.records[0])
    assert isinstance(announced, RegisterRecord)
    assert isinstance(live, RegisterRecord)
    unit = RecordedUnit(announced.blocks, live.blocks)
    found = asyncio.run(identify(unit, serial_number=packets.inverter))
    return Inverter(unit, found, spacing=0.0)


def _decoding(family: str, rounds: int) -> Iterator[Metric]:
    """Take turns in small rounds: what disturbs one disturbs the other."""
    packets = logger_packets(0, family)
    inverter, words = _inverter(packets), words_of(family)
    form = Struct(f">{words}H")

    def ours(raw: bytes) -> Poll:
        record = decode(parse(raw, HEADER.unpack_from(raw)))
        assert isinstance(record, RegisterRecord)
        return inverter.take_in(record.space, record.blocks, 0.0)

    def bare(raw: bytes) -> tuple[int, ...]:
        body = masked(raw[HEADER_BYTES:-CHECKSUM_BYTES])
        told = int.from_bytes(raw[-CHECKSUM_BYTES:])
        assert crc16(raw[:-CHECKSUM_BYTES]) == told
        return form.unpack_from(body, len(body) - form.size)

    poll = ours(packets.records[0])
    values = sum(map(len, poll.snapshot.values()))
    assert values, poll
    some = packets.records[:8]
    times = [(_seconds(ours, some), _seconds(bare, some)) for _ in range(rounds)]
    name = f"decode {family}, {words} words, {values} values"
    yield Metric(
        metric=name,
        value=median(time for time, _ in times) * 1e6,
        unit="us",
        reference=median(least for _, least in times) * 1e6,
    )
    yield Metric(
        metric=f"decode {family} / unmask, CRC, unpack",
        value=median(time / least for time, least in times),
        unit="x",
        reference=1,
        goal=DECODE_GOAL,
    )


def _seconds(function: Callable[[bytes], object], packets: Sequence[bytes]) -> float:
    """Return the time of one call."""
    started = perf_counter()
    for raw in packets:
        function(raw)
    return (perf_counter() - started) / len(packets)


# -- relaying ----------------------------------------------------------------------------


class _Turn(NamedTuple):
    """One run of loggers against a server."""

    rate: float
    """Records a second."""
    cpu: float
    """Microseconds of the server for one record."""
    share: float
    """Of a core that the server had."""
    records: int
    snapshots: int
    values: int


class _Relay:
    """A relay with its cloud and its loggers, each a process."""

    def __init__(self, stack: ExitStack, kind: str, families: Sequence[str]) -> None:
        self._kind = kind
        self._families = families
        self._server, self._cloud, self._load = (
            stack.enter_context(peer(role)) for role in ("server", "cloud", "load")
        )
        self._cloud.tell(families=families)
        self.turns: list[_Turn] = []

    def connect(self) -> None:
        """Announce all loggers, and wait until it is known what they have."""
        cloud = self._cloud.answer()["port"]
        port = self._server.ask(do="start", kind=self._kind, cloud=cloud)["port"]
        self._load.ask(do="connect", port=port, families=self._families)
        if self._kind == "ours":
            _wait_for(self._server, identified=len(self._families))

    def turn(self, seconds: float) -> None:
        """Relay for a while."""
        before = self._server.ask(do="report")
        done = self._load.ask(do="run", seconds=seconds)
        after = self._server.ask(do="report")
        spent = after["cpu"] - before["cpu"]
        records = done["records"]
        self.turns.append(
            _Turn(
                rate=records / done["seconds"],
                cpu=spent / records * 1e6,
                share=spent / done["seconds"],
                records=records,
                snapshots=after.get("snapshots", 0) - before.get("snapshots", 0),
                values=after.get("values", 0) - before.get("values", 0),
            )
        )

    @property
    def rate(self) -> float:
        """Records a second."""
        return median(turn.rate for turn in self.turns)

    @property
    def cpu(self) -> float:
        """Microseconds of the server for one record."""
        return median(turn.cpu for turn in self.turns)

    @property
    def different_lines(self) -> int:
        """Of how many loggers the cloud did not get exactly what they sent."""
        sent = {tuple(line) for line in self._load.ask(do="report")["lines"]}
        got = {tuple(line) for line in self._cloud.ask(do="report")["lines"]}
        return len(sent ^ got)


def _wait_for(server: Peer, **least: int) -> Answer:
    """Wait until the server has counted so much."""
    until = monotonic() + _PATIENCE
    while True:
        report = server.ask(do="report")
        if all(report[key] >= count for key, count in least.items()):
            return report
        if monotonic() > until:
            raise RuntimeError(f"the server does not get there: {report}")
        sleep(0.02)


def _relaying(turns: int, seconds: float) -> Iterator[Metric]:
    families = list(DATASETS) * (LINES // len(DATASETS))
    with ExitStack() as stack:
        relays = {
            kind: _Relay(stack, kind, families)
            for kind in ("ours", "passing", "decoding")
        }
        for relay in relays.values():
            relay.connect()
        for _ in range(turns):
            for relay in relays.values():
                relay.turn(seconds)
        ours, passing, bare = relays.values()
        words = sum(map(words_of, families)) / len(families)
        name = f"relay {LINES} loggers, 4 families, {words:.0f} words"
        yield Metric(
            metric=f"{name}: a record",
            value=1e6 / ours.rate,
            unit="us",
            reference=1e6 / passing.rate,
            goal=1e6 / RELAY_GOAL,
        )
        yield Metric(
            metric="  records a second (least: 8,000; reference: passes bytes)",
            value=round(ours.rate),
            unit="1/s",
            reference=round(passing.rate),
        )
        yield Metric(
            metric="  records a second (reference: and bare decoding)",
            value=round(ours.rate),
            unit="1/s",
            reference=round(bare.rate),
        )
        yield Metric(
            metric="  CPU of the server (reference: passes bytes)",
            value=ours.cpu,
            unit="us",
            reference=passing.cpu,
        )
        yield Metric(
            metric="  CPU of the server (reference: and bare decoding)",
            value=ours.cpu,
            unit="us",
            reference=bare.cpu,
        )
        yield Metric(
            metric="  records a second that a whole core would do",
            value=round(1e6 / ours.cpu),
            unit="1/s",
            reference=round(1e6 / bare.cpu),
        )
        # Far below 90 % the computer has other things to do, and the rate says little.
        yield Metric(
            metric="  share of a core that the server had",
            value=100 * median(turn.share for turn in ours.turns),
            unit="%",
        )
        yield Metric(
            metric="  values of a record",
            value=sum(turn.values for turn in ours.turns)
            / sum(turn.snapshots for turn in ours.turns),
            unit="",
        )
        yield Metric(
            metric="  records that were not decoded to values",
            value=sum(turn.records - turn.snapshots for turn in ours.turns),
            unit="",
            reference=0,
            goal=0,
        )
        yield Metric(
            metric="  loggers whose bytes the cloud did not get",
            value=ours.different_lines,
            unit="",
            reference=0,
            goal=0,
        )


# -- a crowd -----------------------------------------------------------------------------


def _crowd(seconds: float, settling: float) -> Iterator[Metric]:
    """Count memory before and after: connections first, then what is behind them.

    ``settling`` is how long clocks are set and parameters read before it counts.
    """
    with peer("server") as server, peer("crowd") as crowd:
        port = server.ask(do="start", kind="ours", cloud=None)["port"]
        families = list(DATASETS)
        empty = server.ask(do="memory")["resident"]
        crowd.ask(do="connect", families=families, count=CROWD, port=port)
        _wait_for(server, sessions=CROWD)
        connected = server.ask(do="memory")["resident"]
        crowd.ask(do="announce")
        _wait_for(server, identified=CROWD)
        sleep(settling)
        known = server.ask(do="memory")["resident"]
        before = server.ask(do="report")
        stayed = crowd.ask(do="stay", seconds=seconds, interval=CROWD_INTERVAL)
        after = server.ask(do="report")
        later = server.ask(do="memory")["resident"]
    name = f"{CROWD} loggers, a record each {CROWD_INTERVAL:.0f} s"
    yield Metric(
        metric=f"{name}: share of a core",
        value=100 * (after["cpu"] - before["cpu"]) / (after["at"] - before["at"]),
        unit="%",
        goal=CROWD_GOAL,
    )
    yield Metric(
        metric="  records without a snapshot, or not acknowledged",
        value=max(
            stayed["sent"] - (after["snapshots"] - before["snapshots"]),
            stayed["sent"] - stayed["acknowledged"],
        ),
        unit="",
        reference=0,
        goal=0,
    )
    yield Metric(
        metric="  connections lost",
        value=stayed["lost"] + CROWD - after["sessions"],
        unit="",
        reference=0,
        goal=0,
    )
    yield Metric(
        metric="  memory of a connection with its session",
        value=(connected - empty) / CROWD / 1024,
        unit="kB",
        goal=CONNECTION_GOAL,
    )
    yield Metric(
        metric="  memory of an inverter: driver, words, texts",
        value=(known - connected) / CROWD / 1024,
        unit="kB",
    )
    yield Metric(
        metric="  memory that each grew by meanwhile",
        value=(later - known) / CROWD / 1024,
        unit="kB",
    )


# -- garbage -----------------------------------------------------------------------------


def _splitting(count: int) -> Iterator[Metric]:
    for what, outcome in trials(count).items():
        yield Metric(
            metric=f"{what}: lost of {outcome.sent:,}",
            value=outcome.sent - outcome.reported,
            unit="",
            reference=0,
            goal=0,
        )


def _garbled(count: int, through_server: int) -> Iterator[Metric]:
    """Take the campaign of the tests, which knows all layers, and one through the server."""
    try:
        # By name, as it may be missing.
        of_tests: Callable[[int, int], Outcome] = import_module(CAMPAIGN).campaign
    except ModuleNotFoundError:
        yield Metric(metric="garbled packets, all layers: not here", value=0, unit="")
    else:
        yield from _outcome("all layers", of_tests(count, 1))
    yield from _outcome("through the server", campaign(through_server, 1))


def _outcome(what: str, outcome: Outcome) -> Iterator[Metric]:
    yield Metric(
        metric=f"{outcome.packets:,} garbled packets, {what}",
        value=outcome.seconds,
        unit="s",
    )
    yield Metric(
        metric="  exceptions that escape",
        value=len(outcome.unexpected),
        unit="",
        reference=0,
        goal=0,
    )
    yield Metric(
        metric="  memory that is held after them",
        value=outcome.growth_bytes / 1024,
        unit="kB",
        reference=0,
        goal=GROWTH_GOAL,
    )


# -- rogues ------------------------------------------------------------------------------


def _rogues(rounds: int, seconds: float) -> Iterator[Metric]:
    """Measure round trips of a logger, alone and beside rogues, in turns."""
    alone: list[float] = []
    beside: list[float] = []
    with peer("server") as server, peer("probe") as probe, peer("rogues") as rogues:
        port = server.ask(do="start", kind="ours", cloud=None)["port"]
        probe.ask(do="connect", port=port)
        ask = partial(probe.ask, do="run", seconds=seconds, pause=0.002, most=10**6)
        # Until its clock was set and its parameters were asked for.
        ask()
        for _ in range(rounds):
            alone += ask()["seconds"]
            rogues.ask(do="start", port=port)
            sleep(0.5)
            beside += ask()["seconds"]
            rogues.ask(do="stop")
            sleep(0.5)
        report = server.ask(do="report")
    least, most = (_p99(times) * 1000 for times in (alone, beside))
    yield Metric(
        metric=f"p99 of {len(beside):,} round trips beside rogues",
        value=most,
        unit="ms",
        reference=least,
        goal=PROBE_FACTOR * least + PROBE_SLACK,
    )
    yield Metric(
        metric="  median",
        value=median(beside) * 1000,
        unit="ms",
        reference=median(alone) * 1000,
    )
    yield Metric(
        metric="  longest",
        value=max(beside) * 1000,
        unit="ms",
        reference=max(alone) * 1000,
    )
    yield Metric(
        metric="  records of all that were taken in", value=report["records"], unit=""
    )


def _p99(times: Sequence[float]) -> float:
    return quantiles(times, n=100)[-1]


if __name__ == "__main__":
    run(measure, __doc__ or "")
