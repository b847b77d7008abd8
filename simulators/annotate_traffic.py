"""Who asked on a recorded bus, how fast, and what was not answered as wished."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from statistics import median
from typing import Final

from .exchanges import Exchange

_FEWEST_CYCLES: Final = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientTraffic:
    """What one client did, over all of its connections. Times in seconds."""

    client: str
    connections: int
    requests: int
    per_second: float | None
    cycle: float | None
    """From one time to the next that it asks what it asks most often, in the middle."""
    p50: float | None
    """Time until an answer: half of them were faster."""
    p99: float | None
    repeats: int
    """Requests that it had just made, and had no answer to yet."""
    exceptions: int
    unanswered: int
    garbage: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """A request that was refused, or not answered (no ``exception``)."""

    unit: int
    what: str
    exception: int | None
    times: int
    answered: int
    """How often the same request was answered with data."""
    clients: Mapping[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """Registers that a client wrote to."""

    unit: int
    what: str
    last: tuple[int, ...] | None
    """The words that were written last and acknowledged."""
    times: int
    acknowledged: int
    clients: Mapping[str, int]


def traffic_of(
    exchanges: Sequence[Exchange], garbage: Mapping[str, int]
) -> list[ClientTraffic]:
    """Return what each client did, the busiest first."""
    by_peer: dict[str, list[Exchange]] = defaultdict(list)
    for exchange in exchanges:
        by_peer[exchange.peer].append(exchange)
    found = [
        _client(peer, asked, garbage.get(peer, 0)) for peer, asked in by_peer.items()
    ]
    return sorted(found, key=lambda client: -client.requests)


def _client(peer: str, asked: Sequence[Exchange], garbage: int) -> ClientTraffic:
    times = [exchange.at for exchange in asked if exchange.at is not None]
    span = (max(times) - min(times)).total_seconds() if times else 0.0
    took = sorted(
        exchange.took
        for exchange in asked
        if exchange.took is not None and exchange.is_answered
    )
    return ClientTraffic(
        client=peer,
        connections=len({exchange.client for exchange in asked}),
        requests=len(asked),
        per_second=(len(times) - 1) / span if span else None,
        cycle=_cycle(asked),
        p50=percentile(took, 50),
        p99=percentile(took, 99),
        repeats=_repeats(asked),
        exceptions=sum(exchange.exception is not None for exchange in asked),
        unanswered=sum(not exchange.is_answered for exchange in asked),
        garbage=garbage,
    )


def percentile(ordered: Sequence[float], percent: int) -> float | None:
    """Return what so many percent of ordered numbers do not exceed; ``None`` of none."""
    if not ordered:
        return None
    return ordered[max(0, -(-len(ordered) * percent // 100) - 1)]


def _cycle(asked: Iterable[Exchange]) -> float | None:
    times: dict[tuple[int, bytes], list[datetime]] = defaultdict(list)
    for exchange in asked:
        if exchange.at is not None:
            times[exchange.unit, exchange.request].append(exchange.at)
    most = max(times.values(), key=len, default=[])
    if len(most) <= _FEWEST_CYCLES:
        return None
    return median((after - before).total_seconds() for before, after in pairwise(most))


def _repeats(asked: Iterable[Exchange]) -> int:
    """Count requests that follow the same request while that has no answer."""
    repeats = 0
    last: dict[str, Exchange] = {}
    for exchange in asked:
        before = last.get(exchange.client)
        last[exchange.client] = exchange
        if before is None or (before.unit, before.request) != (
            exchange.unit,
            exchange.request,
        ):
            continue
        answered = before.answered_at
        repeats += not before.is_answered or (
            answered is not None and exchange.at is not None and exchange.at < answered
        )
    return repeats


def failures_of(exchanges: Iterable[Exchange]) -> list[Failure]:
    """Return what was refused or not answered; first what never was answered with data."""
    answered: Counter[tuple[int, str]] = Counter()
    failed: dict[tuple[int, str, int | None], Counter[str]] = defaultdict(Counter)
    for exchange in exchanges:
        asked = exchange.device, exchange.what
        if exchange.words is not None:
            answered[asked] += 1
        else:
            failed[*asked, exchange.exception][exchange.peer] += 1
    found = [
        Failure(
            unit=unit,
            what=what,
            exception=exception,
            times=clients.total(),
            answered=answered[unit, what],
            clients=dict(clients),
        )
        for (unit, what, exception), clients in failed.items()
    ]
    return sorted(found, key=lambda failure: (failure.answered > 0, -failure.times))


def writes_of(exchanges: Iterable[Exchange]) -> list[Written]:
    """Return what was written, in the order of addresses."""
    by_place: dict[tuple[int, int, int, str], list[Exchange]] = defaultdict(list)
    for exchange in exchanges:
        if exchange.is_write:
            place = exchange.device, exchange.address, exchange.function, exchange.what
            by_place[place].append(exchange)
    found = []
    for (unit, _, _, what), written in sorted(by_place.items()):
        kept = [each.words for each in written if each.words is not None]
        found.append(
            Written(
                unit=unit,
                what=what,
                last=kept[-1] if kept else None,
                times=len(written),
                acknowledged=len(kept),
                clients=dict(Counter(each.peer for each in written)),
            )
        )
    return found
