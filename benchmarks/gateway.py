"""The bus gateway beside modbus-proxy: pace, fairness, faults, rogues, right answers.

Devices, clients, gateways and anchors are processes of their own. The lines are simulated
ones of 9600 baud, or answer at once; the bare loop asks the same units that the gateway
serves.
"""

from collections.abc import Iterator
from contextlib import ExitStack

from .gateway_stand import Stand
from .gateway_wire import Wire, connect_at_once
from .report import Metric, run


def measure(quick: bool) -> Iterator[Metric]:
    """Measure all."""
    with ExitStack() as stack:
        stand = Stand(stack)
        rounds = {1: 20, 16: 2} if quick else {1: 60, 4: 20, 16: 5, 64: 3}
        yield from Wire(stand, rounds).metrics()
        for link, baud in (("tcp", None), ("rtu", 9600), ("pty", 9600)):
            yield from connect_at_once(stand, link, baud)


if __name__ == "__main__":
    run(measure, __doc__ or "")
