"""The bus gateway beside modbus-proxy: pace, fairness, faults, rogues, right answers.

Devices, clients, gateways and anchors are processes of their own. The lines are simulated
ones of 9600 baud, or answer at once; the bare loop asks the same units that the gateway
serves.
"""

from collections.abc import Iterator
from contextlib import ExitStack
from time import sleep

from .gateway_faults import Faults, Gone, Sweep
from .gateway_instant import memory, mixed_reads, rates, same_blocks
from .gateway_manners import ROGUES, Manners
from .gateway_stand import LINKS, Stand
from .gateway_wire import Wire, connect_at_once
from .report import Metric, run


def _faults(stand: Stand, quick: bool) -> Iterator[Metric]:
    """Measure all that goes wrong at the device, side by side."""
    faults, sweep = Faults(stand), Sweep(stand)
    gone = Gone(stand, ("rtu", "tcp") if quick else tuple(LINKS))
    sleep(5.0)
    gone.leave()
    faults.settle()
    faults.calm(5.0 if quick else 20.0)
    gone.settled()
    faults.beside(15.0 if quick else 60.0)
    gone.come_back()
    yield from faults.metrics(not quick)
    yield from sweep.metrics()
    yield from gone.metrics()


def _manners(stand: Stand, rounds: int, seconds: float) -> Iterator[Metric]:
    found = []
    for anchor in (False, True):
        manners = Manners(stand, tuple(ROGUES), anchor=anchor)
        sleep(4.0)
        for _ in range(1 if anchor else rounds):
            manners.turn(seconds)
        manners.stop()
        found.append(manners)
    ours, anchors = found
    yield from ours.metrics(anchors)


def measure(quick: bool) -> Iterator[Metric]:
    """Measure all."""
    import sys
    what = sys.modules["__main__"].WHAT
    with ExitStack() as stack:
        stand = Stand(stack)
        if what == "faults":
            yield from _faults(stand, quick)
        if what == "rogues":
            yield from _manners(stand, 1 if quick else 3, 3.0 if quick else 6.0)
        if what == "memory":
            yield from memory(stand)
        if what == "rates":
            yield from rates(stand, 2 if quick else 5, 1.0 if quick else 2.0)


if __name__ == "__main__":
    import sys
    WHAT = sys.argv.pop()
    run(measure, __doc__ or "")
