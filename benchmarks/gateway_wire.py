"""Distinct reads over a line of 9600 baud, for ``benchmarks.gateway``.

All cases run side by side, each with a line and a gateway of its own: the line is what
limits, and each takes a percent of a core. A round is one answer for each client, so that
whole rounds tell whether turns are fair.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from time import sleep
from typing import Final

from simulators.wire import SerialLine

from .asking import Answer
from .gateway_stand import BAUD, LINKS, Clients, Proxy, Stand, cpu_of, distinct
from .gateway_words import MOST_WORDS
from .report import Metric

LOST_GOAL: Final[Mapping[str, float]] = {"pty": 3.0, "rtu": 1.0}
"""Percent of the limit of the wire."""
UNFAIR_GOAL: Final = 0.01
ADAPTED_GOAL: Final = 10.0
CONNECT_GOAL: Final = 200.0
"""Milliseconds, beside the time of the bus."""

SHORT: Final = 10
"""Registers of the reads of 64 clients that connect at once."""

_GAP_ADAPTED: Final = 0.02
_PROOFS: Final = 10
"""So many exchanges follow each other without a longer pause once the gap has adapted."""
_BLOCKS: Final = 16
"""Of each client, so that what it asks for has left the cache."""
_REQUEST: Final = 8


def exchange(words: int) -> float:
    """Return the least seconds of a read."""
    return SerialLine(BAUD).exchange(_REQUEST, 5 + 2 * words)


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """Some clients on a line."""

    link: str
    count: int
    rounds: int
    line: Answer
    proxy: Proxy
    clients: Clients
    cpu: float

    @property
    def needed(self) -> int:
        """Answers that are counted."""
        return self.count * self.rounds


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What came of a case."""

    share: float
    """Of the limit of the wire."""
    jain: float
    starved: int
    adapted: float
    """Seconds until the gap was as short as it gets."""
    cpu: float
    """Seconds of the proxy for one answer."""


def jain(counts: Sequence[int]) -> float:
    """Return Jain's index: 1 if all have the same."""
    squares = sum(count * count for count in counts)
    return sum(counts) ** 2 / (len(counts) * squares) if squares else 0.0


def _adapted_at(log: Sequence[tuple[float, float]]) -> float | None:
    """Return when pauses had become short to stay, ``None`` if they have not."""
    kept = 0
    for (_, left), (came, _) in pairwise(log):
        kept = kept + 1 if came - left <= _GAP_ADAPTED else 0
        if kept == _PROOFS:
            return came - _PROOFS * exchange(MOST_WORDS)
    return None


def outcome(stand: Stand, case: Case) -> Outcome | None:
    """Return what has come of a case, ``None`` if it takes longer."""
    report = case.clients.report()
    log = sorted(stand.seen(case.line, case.clients.began)["log"])
    adapted = _adapted_at(log)
    if adapted is None:
        return None
    times = [entry for entry in report["log"] if entry[0] >= adapted]
    if len(times) <= case.needed:
        return None
    counted = times[1 : case.needed + 1]
    of_each = Counter(client for _, client in counted)
    seconds = counted[-1][0] - times[0][0]
    return Outcome(
        share=case.needed * exchange(MOST_WORDS) / seconds,
        jain=jain([of_each[client] for client in range(case.count)]),
        starved=case.count - len(of_each),
        adapted=max(0.0, adapted - case.clients.began),
        cpu=(cpu_of(case.proxy.pid) - case.cpu) / report["answers"],
    )


class Wire:
    """All cases of distinct reads."""

    def __init__(
        self, stand: Stand, rounds: Mapping[int, int], bare_seconds: float
    ) -> None:
        """Start them all; ``rounds`` are those that are counted, by number of clients."""
        self._stand = stand
        self._bare = {link: stand.process() for link in LOST_GOAL}
        self.cases = [
            self._case(link, count, number)
            for link in (*LOST_GOAL, "tcp")
            for count, number in rounds.items()
        ]
        for link, process in self._bare.items():
            process.tell(
                do="loop",
                to=stand.line(link),
                units=[1],
                blocks=distinct(1, _BLOCKS, MOST_WORDS)[0],
                seconds=bare_seconds,
            )

    def _case(self, link: str, count: int, rounds: int) -> Case:
        line = self._stand.line(link)
        if link == "tcp":
            proxy = self._stand.anchor(line)
        else:
            proxy = self._stand.gateway(line)
        return Case(
            link=link,
            count=count,
            rounds=rounds,
            line=line,
            proxy=proxy,
            cpu=cpu_of(proxy.pid),
            clients=self._stand.clients(
                proxy, distinct(count, _BLOCKS, MOST_WORDS), log=True
            ),
        )

    def metrics(self) -> Iterator[Metric]:
        """Wait until all have come to an end."""
        outcomes: dict[tuple[str, int], Outcome] = {}
        waiting = list(self.cases)
        while waiting:
            sleep(0.5)
            for case in list(waiting):
                if (found := outcome(self._stand, case)) is not None:
                    outcomes[case.link, case.count] = found
                    case.clients.stop()
                    waiting.remove(case)
        bare: dict[str, float] = {}
        for link, process in self._bare.items():
            done = process.answer()
            bare[link] = done["reads"] * exchange(MOST_WORDS) / done["seconds"]
        for case in self.cases:
            if case.link != "tcp":
                found = outcomes[case.link, case.count]
                anchor = outcomes["tcp", case.count]
                yield from _metrics(case, found, anchor, bare[case.link])


def _metrics(
    case: Case, ours: Outcome, anchor: Outcome, bare: float
) -> Iterator[Metric]:
    some = f"{case.count} client{'s' * (case.count > 1)}"
    yield Metric(
        metric=f"{LINKS[case.link]}, {some}: wire limit not used",
        value=100 * (1 - ours.share),
        unit="%",
        reference=100 * (1 - bare),
        goal=LOST_GOAL[case.link],
    )
    yield Metric(
        metric="  share of the limit (reference: modbus-proxy, TCP)",
        value=ours.share,
        unit="",
        reference=anchor.share,
    )
    yield Metric(
        metric="  seconds until the gap has adapted",
        value=ours.adapted,
        unit="s",
        goal=ADAPTED_GOAL,
    )
    if case.count > 1:
        yield Metric(
            metric=f"  unfairness over {case.rounds} rounds (1 - Jain)",
            value=1 - ours.jain,
            unit="",
            reference=1 - anchor.jain,
            goal=UNFAIR_GOAL,
        )
        yield Metric(
            metric="  starved clients",
            value=ours.starved,
            unit="",
            reference=anchor.starved,
            goal=0,
        )
    yield Metric(
        metric="  CPU of a transaction (reference: modbus-proxy)",
        value=ours.cpu * 1e3,
        unit="ms",
        reference=anchor.cpu * 1e3,
    )


def wire(
    stand: Stand, rounds: Mapping[int, int], bare_seconds: float
) -> Iterator[Metric]:
    """Measure all cases of distinct reads."""
    yield from Wire(stand, rounds, bare_seconds).metrics()


def connect_at_once(stand: Stand, link: str, baud: int | None) -> Iterator[Metric]:
    """Connect 64 clients to a gateway that knows its line, and wait for all answers."""
    bare = stand.process()
    plans = distinct(65, _BLOCKS, SHORT)
    loop = bare.ask(
        do="loop",
        to=stand.line(link, baud),
        units=[1],
        blocks=plans[0],
        seconds=2.0 if baud else 0.5,
    )
    bus = 64 * loop["seconds"] / loop["reads"]
    line = stand.line(link, baud)
    proxy = stand.gateway(line)
    first = stand.clients(proxy, plans[64:])
    sleep(2.5)
    first.stop()
    clients = stand.clients(proxy, plans[:64])
    sleep(bus + 1.0)
    report = clients.stop()
    yield Metric(
        metric=f"64 connect at once, {LINKS[link]}: all served",
        value=(report["last_first"] - clients.began) * 1000,
        unit="ms",
        reference=bus * 1000,
        goal=CONNECT_GOAL + (bus * 1000 if baud else 0.0),
    )
    yield Metric(metric="  not served", value=64 - report["served"], unit="", goal=0)
