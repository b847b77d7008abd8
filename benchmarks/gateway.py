"""The bus gateway beside modbus-proxy: pace, fairness, faults, rogues, right answers.

Devices, clients, gateways and anchors are processes of their own. The lines are simulated
ones of 9600 baud, or answer at once; the bare loop asks the same units that the gateway
serves. What waits for a line is measured side by side, what works a processor alone.
"""

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from functools import partial
from typing import Final

from .asking import Peer
from .gateway_faults import LATE, faults, gone, sweep
from .gateway_instant import memory, mixed_reads, rates, same_blocks
from .gateway_manners import manners
from .gateway_morning import morning
from .gateway_stand import BAUD, LINKS, Stand, gateway_peer
from .gateway_wire import connect_at_once, wire
from .report import Metric, run

WHOLE: Final = 10_000.0
"""Seconds: more than the recording has."""

type Part = Callable[[Stand], Iterable[Metric]]


def _together(stand: Stand, *parts: Part) -> Iterator[Metric]:
    """Measure at the same time, and report in order."""
    with ThreadPoolExecutor(len(parts)) as pool:
        for found in pool.map(lambda part: list(part(stand)), parts):
            yield from found


def _after_each_other(*parts: Part) -> Part:
    def measure_all(stand: Stand) -> Iterator[Metric]:
        for part in parts:
            yield from part(stand)

    return measure_all


def _begin_morning(stand: Stand, seconds: float, speed: float) -> Peer:
    process = stand.enter(gateway_peer("morning"))
    return process.tell(do="run", seconds=seconds, speed=speed)


def _quick(stand: Stand) -> Iterator[Metric]:
    yield from rates(stand, 2, 0.3)
    yield from connect_at_once(stand, "tcp", None)
    played = _begin_morning(stand, 30.0, 3.0)
    yield from _together(
        stand,
        partial(wire, rounds={1: 30, 16: 1}, bare_seconds=2.0),
        partial(same_blocks, seconds=4.0),
        partial(faults, calm=2.0, beside=6.0),
        partial(sweep, late=LATE[1::3], seconds=12.0),
        partial(gone, links=("rtu",), seconds=2.0),
    )
    yield from morning(played)
    yield from mixed_reads(stand, 20_000)


def _full(stand: Stand) -> Iterator[Metric]:
    yield from rates(stand, 10, 1.0)
    yield from memory(stand)
    yield from connect_at_once(stand, "tcp", None)
    played = _begin_morning(stand, WHOLE, 1.0)
    yield from _together(
        stand,
        partial(wire, rounds={1: 100, 4: 25, 16: 10, 64: 3}, bare_seconds=20.0),
        partial(same_blocks, seconds=20.0),
        _after_each_other(
            partial(connect_at_once, link="rtu", baud=BAUD),
            partial(connect_at_once, link="pty", baud=BAUD),
        ),
    )
    yield from _together(
        stand,
        _after_each_other(
            partial(faults, calm=20.0, beside=60.0),
            partial(manners, rounds=2, seconds=3.0),
        ),
        partial(sweep, late=LATE, seconds=80.0),
        partial(gone, links=tuple(LINKS), seconds=120.0),
    )
    yield from mixed_reads(stand, 1_000_000)
    yield from morning(played)


def measure(quick: bool) -> Iterator[Metric]:
    """Measure all."""
    with ExitStack() as stack:
        stand = Stand(stack)
        yield from (_quick if quick else _full)(stand)


if __name__ == "__main__":
    run(measure, __doc__ or "")
