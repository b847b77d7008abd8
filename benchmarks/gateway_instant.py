"""A device that answers at once: rates of the gateway, for ``benchmarks.gateway``.

Who is compared takes turns in short rounds, so that what disturbs one disturbs the other.
"""

from collections.abc import Iterator, Sequence
from random import Random
from statistics import median
import sys
from time import monotonic, sleep
from typing import Final, NamedTuple

from .asking import Answer
from .gateway_stand import Plan, Proxy, Stand, cpu_of, distinct, resident_of
from .gateway_words import MOST_WORDS, READ_HOLDING, READ_INPUT, Block
from .report import Metric

CLIENTS: Final = 64
SHORT: Final = 10

BARE_GOAL: Final = 1 / 0.8
"""Times the bare loop's time for a read."""
PROXY_GOAL: Final = 0.5
"""Times modbus-proxy's time for an answer."""
P99_GOAL: Final = 15.0
BLOCKS_GOAL: Final = 1 / 50
"""Bus requests for an answer."""
MAX_AGE: Final = 1000.0
ON_THE_WAY: Final = 50.0
"""Milliseconds that an answer may be on its way to a client of a busy computer."""

CROWD: Final = 900
"""Clients whose memory is counted, for once more than a listener takes."""

SAME: Final[Plan] = [
    Block(1, READ_INPUT, 3000, MOST_WORDS),
    Block(1, READ_INPUT, 3125, MOST_WORDS),
    Block(1, READ_HOLDING, 0, MOST_WORDS),
]

_SETTLING: Final = 0.3


class _Round(NamedTuple):
    rate: float
    p99: float
    cpu: float


def _round(stand: Stand, proxy: Proxy, plans: Sequence[Plan], seconds: float) -> _Round:
    clients = stand.clients(proxy, plans)
    sleep(_SETTLING)
    clients.reset()
    began, cpu = monotonic(), cpu_of(proxy.pid)
    sleep(seconds)
    report = clients.report()
    passed = report["at"] - began
    cpu = cpu_of(proxy.pid) - cpu
    clients.stop()
    answers = max(1, report["answers"])
    return _Round(answers / passed, report["p99"], cpu / answers)


def _bare(stand: Stand, line: Answer, seconds: float) -> _Round:
    # Its own process each time would begin cold.
    done = stand.bare.ask(
        do="loop",
        to=line,
        units=[1],
        blocks=[block for plan in distinct(CLIENTS, 16, SHORT) for block in plan],
        seconds=seconds,
    )
    return _Round(done["reads"] / done["seconds"], 0.0, done["cpu"] / done["reads"])


def _adapt(stand: Stand, *proxies: Proxy) -> None:
    """Let gateways learn how short a gap the device takes."""
    groups = [stand.clients(proxy, distinct(1, 16, SHORT)) for proxy in proxies]
    sleep(2.5)
    for clients in groups:
        clients.stop()


def rates(stand: Stand, rounds: int, seconds: float) -> Iterator[Metric]:
    """Compare the rate of distinct reads, and that of fresh blocks."""
    line = stand.line("tcp", None)
    uncached = stand.gateway(line, pace={"max_age": 0.0})
    gateway, anchor = stand.gateway(line), stand.anchor(line)
    minimal = stand.minimal(line)
    _adapt(stand, uncached, gateway)
    plans = distinct(CLIENTS, 16, SHORT)
    turns = [
        (
            _bare(stand, line, seconds),
            _round(stand, uncached, plans, seconds),
            _round(stand, minimal, plans, seconds),
            _round(stand, anchor, plans, seconds),
            _round(stand, gateway, [SAME] * CLIENTS, seconds),
            _round(stand, anchor, [SAME] * CLIENTS, seconds),
        )
        for _ in range(rounds)
    ]
    bare, ours, least, other, fresh, asked_same = zip(*turns, strict=True)
    yield _times(
        "instant, 64 clients, distinct: time / bare loop", bare, ours, BARE_GOAL
    )
    yield _times("  time / a server that does nothing else", least, ours)
    yield _rate("that server", ours, least)
    yield _rate("bare loop", ours, bare)
    yield _rate("modbus-proxy", ours, other)
    yield Metric(
        metric="  CPU of an answer (reference: bare loop)",
        value=median(o.cpu for o in ours) * 1e6,
        unit="us",
        reference=median(b.cpu for b in bare) * 1e6,
    )
    yield _p99(ours, other)
    yield _times(
        "instant, 64 clients, fresh: time / modbus-proxy", asked_same, fresh, PROXY_GOAL
    )
    yield _rate("modbus-proxy", fresh, asked_same)
    yield _p99(fresh, asked_same, P99_GOAL)


def _times(
    what: str,
    others: Sequence[_Round],
    ours: Sequence[_Round],
    goal: float | None = None,
) -> Metric:
    """Return how many times as long as with others an answer takes with us."""
    return Metric(
        metric=what,
        value=median(a.rate / o.rate for a, o in zip(others, ours, strict=True)),
        unit="x",
        reference=1,
        goal=goal,
    )


def _rate(reference: str, ours: Sequence[_Round], others: Sequence[_Round]) -> Metric:
    return Metric(
        metric=f"  answers a second (reference: {reference})",
        value=round(median(o.rate for o in ours)),
        unit="1/s",
        reference=round(median(o.rate for o in others)),
    )


def _p99(
    ours: Sequence[_Round], anchor: Sequence[_Round], goal: float | None = None
) -> Metric:
    return Metric(
        metric="  p99 (reference: modbus-proxy)",
        value=median(o.p99 for o in ours) * 1e3,
        unit="ms",
        reference=median(a.p99 for a in anchor) * 1e3,
        goal=goal,
    )


def memory(stand: Stand) -> Iterator[Metric]:
    """Count the memory of clients that ask now and then."""
    line = stand.line("tcp", None)
    limits = {"connections": CROWD + 10}
    proxies = (stand.gateway(line, limits=limits), stand.anchor(line))
    _adapt(stand, *proxies)
    before = [resident_of(proxy.pid) for proxy in proxies]
    crowds = [stand.clients(proxy, [SAME] * CROWD, interval=2.0) for proxy in proxies]
    sleep(2.5)
    grown = [
        (resident_of(proxy.pid) - resident) / CROWD / 1024
        for proxy, resident in zip(proxies, before, strict=True)
    ]
    for clients in crowds:
        clients.stop()
    yield Metric(
        metric="memory of a client (reference: modbus-proxy)",
        value=grown[0],
        unit="kB",
        reference=grown[1],
    )


def same_blocks(stand: Stand, seconds: float) -> Iterator[Metric]:
    """Let 64 clients poll the same three blocks, each once a second, over the wire.

    The words are the device's clock when an answer leaves it.
    """
    found = []
    for link in ("rtu", "tcp"):
        line = stand.line(link, stamps=True)
        proxy = stand.gateway(line) if link == "rtu" else stand.anchor(line)
        interval = 1.0 / len(SAME)
        clients = stand.clients(proxy, [SAME] * CLIENTS, interval=interval, stamps=True)
        found.append((line, clients))
    sleep(5.0)
    before = []
    for line, clients in found:
        clients.reset()
        before.append(stand.seen(line)["requests"])
    sleep(seconds)
    reports = [clients.report() for _, clients in found]
    asked = [
        stand.seen(line)["requests"] - began
        for (line, _), began in zip(found, before, strict=True)
    ]
    for _, clients in found:
        clients.stop()
    ours, other = reports
    yield Metric(
        metric="64 clients poll 3 blocks: bus requests / answer",
        value=asked[0] / max(1, ours["answers"]),
        unit="",
        reference=asked[1] / max(1, other["answers"]),
        goal=BLOCKS_GOAL,
    )
    yield Metric(
        metric="  answers for a bus request (reference: modbus-proxy)",
        value=ours["answers"] / max(1, asked[0]),
        unit="",
        reference=other["answers"] / max(1, asked[1]),
    )
    yield Metric(
        metric="  polls answered (reference: modbus-proxy)",
        value=100 * ours["answers"] / (CLIENTS * len(SAME) * seconds),
        unit="%",
        reference=100 * other["answers"] / (CLIENTS * len(SAME) * seconds),
    )
    yield Metric(
        metric="  age of the oldest value when it was asked for",
        value=ours["oldest_asked"] * 1000,
        unit="ms",
        goal=MAX_AGE,
    )
    yield Metric(
        metric="  age of the oldest value when it came",
        value=ours["oldest"] * 1000,
        unit="ms",
        reference=MAX_AGE,
        goal=MAX_AGE + ON_THE_WAY,
    )


def _mixed(random: Random) -> Plan:
    """Return reads of all kinds: blocks that others want too, parts of them, single ones."""
    shared = [
        Block(unit, function, place * MOST_WORDS, MOST_WORDS)
        for unit in (1, 2, 3)
        for function in (READ_HOLDING, READ_INPUT)
        for place in (0, 24)
    ]

    def one() -> Block:
        unit, function, address, count = random.choice(shared)
        match random.randrange(10):
            case 0:
                count = random.randint(1, MOST_WORDS)
                return Block(unit, function, random.randint(3200, 65_000), count)
            case 1 | 2 | 3:
                first = random.randrange(MOST_WORDS)
                count = random.randint(1, MOST_WORDS - first)
                return Block(unit, function, address + first, count)
        return Block(unit, function, address, count)

    return [one() for _ in range(200)]


def mixed_reads(stand: Stand, least: int) -> Iterator[Metric]:
    """Ask for all kinds of blocks until so many answers, of all runs, were checked."""
    line = stand.line("tcp", None)
    proxy = stand.gateway(line)
    _adapt(stand, proxy)
    random = Random(8)
    clients = stand.clients(proxy, [_mixed(random) for _ in range(CLIENTS)])
    began, before = monotonic(), stand.ours.answers
    while stand.ours.answers - before == 0:
        sleep(0.5)
        report = clients.report()
        enough = stand.ours.answers + report["all_checked"] >= least
        if enough or report["mismatches"] or monotonic() - began > 300:
            clients.stop()
    known = proxy.report()
    for text in stand.ours.wrong:
        print(f"wrong: {text}", file=sys.stderr)
    yield Metric(
        metric="answers of all runs that were checked",
        value=stand.ours.answers,
        unit="",
        reference=least,
    )
    yield Metric(
        metric="  wrong, or not those to their request",
        value=stand.ours.mismatches,
        unit="",
        reference=stand.anchors.mismatches,
        goal=0,
    )
    yield Metric(
        metric="  missing to the number wanted",
        value=max(0, least - stand.ours.answers),
        unit="",
        goal=0,
    )
    yield Metric(
        metric="  of the last run from the cache, or joined",
        value=100 * (known["from_cache"] + known["joined"]) / max(1, known["requests"]),
        unit="%",
    )
