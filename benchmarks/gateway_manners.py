"""What clients that behave badly cost the others, for ``benchmarks.gateway``.

Rounds with and without them take turns. Who uses the bus has a share of it, like anybody:
the rounds without such a rogue have a client in its place that asks for one block after
the other.
"""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from statistics import median
from time import sleep
from typing import Final

from .asking import Answer, Peer
from .gateway_stand import Clients, Proxy, Stand, distinct, gateway_peer
from .report import Metric

OTHERS: Final = 8
SHORT: Final = 10
WORSE_GOAL: Final = 10.0
"""Percent that the p99 of the others may grow."""

ROGUES: Final = {
    "garbage": "sends garbage",
    "half_frames": "sends half frames",
    "huge_length": "sends length 65535",
    "pipelined": "pipelines 10,000",
    "never_read": "never reads",
    "vanish": "vanishes in mid-request",
}
USE_THE_BUS: Final = frozenset({"pipelined", "never_read", "vanish"})

_FIRST_OF_ROGUE: Final = 50_000
_SETTLING: Final = 0.5


def p99(times: Sequence[float]) -> float:
    """Return what one of a hundred takes longer than."""
    return sorted(times)[int(len(times) * 0.99)]


@dataclass(slots=True, kw_only=True)
class _Case:
    rogue: str
    peer: Peer
    line: Answer
    proxy: Proxy
    clients: Clients
    times: list[float] = field(default_factory=list)
    times_beside: list[float] = field(default_factory=list)
    rate: list[float] = field(default_factory=list)
    rate_beside: list[float] = field(default_factory=list)

    @property
    def worse(self) -> float:
        """By what share of itself the p99 has grown."""
        return p99(self.times_beside) / p99(self.times) - 1

    @property
    def kept(self) -> float:
        """The share of their rate that the others keep."""
        return median(self.rate_beside) / median(self.rate)


class Manners:
    """All rogues, each with a line and a proxy of its own."""

    def __init__(self, stand: Stand, rogues: Sequence[str], *, anchor: bool) -> None:
        """Start everything but the rogues: gateways, or modbus-proxy."""
        self._stand = stand
        self._cases = {rogue: self._case(rogue, anchor=anchor) for rogue in rogues}

    def _case(self, rogue: str, *, anchor: bool) -> _Case:
        stand = self._stand
        line = stand.line("tcp" if anchor else "rtu")
        proxy = stand.anchor(line) if anchor else stand.gateway(line)
        plans = distinct(OTHERS, 64, SHORT)
        return _Case(
            rogue=rogue,
            peer=stand.enter(gateway_peer("rogue")),
            line=line,
            proxy=proxy,
            clients=stand.clients(proxy, plans, log=True),
        )

    def turn(self, seconds: float) -> None:
        """Measure without rogues and with them."""
        self._start(good=True)
        self._measure(seconds, beside=False)
        self._start(good=False)
        self._measure(seconds, beside=True)

    def _start(self, *, good: bool) -> None:
        for case in self._cases.values():
            if not good or case.rogue in USE_THE_BUS:
                case.peer.ask(
                    do="start",
                    kind="good" if good else case.rogue,
                    port=case.proxy.port,
                    first=_FIRST_OF_ROGUE,
                    words=SHORT,
                )
        sleep(_SETTLING)

    def _measure(self, seconds: float, *, beside: bool) -> None:
        for case in self._cases.values():
            case.clients.reset()
        sleep(seconds)
        for case in self._cases.values():
            report = case.clients.report()
            times = report["times"] or [report["longest"]]
            (case.times_beside if beside else case.times).extend(times)
            (case.rate_beside if beside else case.rate).append(
                report["answers"] / seconds
            )
        for case in self._cases.values():
            case.peer.ask(do="stop")
        sleep(_SETTLING)

    def stop(self) -> None:
        """Let all clients leave."""
        for case in self._cases.values():
            case.clients.stop()

    def metrics(self, anchors: Manners) -> Iterator[Metric]:
        """Return what it has cost."""
        for rogue, case in self._cases.items():
            anchor = anchors._cases.get(rogue)
            yield Metric(
                metric=f"one {ROGUES[rogue]}: p99 of others grows",
                value=100 * case.worse,
                unit="%",
                reference=100 * anchor.worse if anchor else None,
                goal=WORSE_GOAL,
            )
            yield Metric(
                metric="  p99 (reference: without)",
                value=p99(case.times_beside) * 1e3,
                unit="ms",
                reference=p99(case.times) * 1e3,
            )
            yield Metric(
                metric="  rate they keep (reference: modbus-proxy)",
                value=100 * case.kept,
                unit="%",
                reference=100 * anchor.kept if anchor else None,
            )


def manners(stand: Stand, rounds: int, seconds: float) -> Iterator[Metric]:
    """Measure so many rounds of so many seconds, one kind of rogue after the other.

    Together they would be a crowd that has all of a small computer for itself.
    """
    for rogue in ROGUES:
        cases = [Manners(stand, (rogue,), anchor=anchor) for anchor in (False, True)]
        sleep(3.0)
        for _ in range(rounds):
            with ThreadPoolExecutor(len(cases)) as pool:
                # Consumed, so that what goes wrong is raised.
                list(pool.map(lambda case: case.turn(seconds), cases))
        for case in cases:
            case.stop()
        ours, anchor = cases
        yield from ours.metrics(anchor)
