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
from .gateway_stand import Stand
from .gateway_wire import Wire, connect_at_once
from .report import Metric, run


def _faults(stand: Stand, quick: bool) -> Iterator[Metric]:
    """Measure all that goes wrong at the device, side by side."""
    faults, sweep, gone = Faults(stand), Sweep(stand), Gone(stand)
    sleep(5.0)
    gone.leave()
    faults.settle()
    faults.calm(5.0 if quick else 20.0)
    gone.settled()
    faults.beside(15.0 if quick else 60.0)
    yield from faults.metrics(not quick)
    yield from sweep.metrics()
    yield from gone.metrics()


def measure(quick: bool) -> Iterator[Metric]:
    """Measure all."""
    with ExitStack() as stack:
        stand = Stand(stack)
        yield from _faults(stand, quick)


if __name__ == "__main__":
    run(measure, __doc__ or "")
