"""The demo's plant: a hybrid inverter and a PV inverter, both alive."""

import argparse
from contextlib import AsyncExitStack

from .cli import Address, Commands, add_clock_options, add_duration, announce, serve
from .clock import SimulatedClock
from .growatt import GrowattSimulator

HYBRID = "min_6000tl_xh"
HYBRID_UNIT = 1
PV_INVERTER = "min_5000tl_x"
PV_INVERTER_UNIT = 2


def register(commands: Commands) -> None:
    """Add the subcommand."""
    parser = commands.add_parser(
        "plant",
        help="the demo's plant, everything at once",
        description=(
            f"A MIN 6000TL-XH with a battery (unit {HYBRID_UNIT}) on Modbus TCP and a MIN"
            f" 5000TL-X (unit {PV_INVERTER_UNIT}) on RTU over TCP, driven by sun and house."
        ),
    )
    group = parser.add_argument_group("where to listen (a port may be 0)")
    group.add_argument(
        "--growatt-tcp",
        metavar="HOST:PORT",
        type=Address.parse,
        default=Address("127.0.0.1", 5020),
        help="the hybrid (%(default)s)",
    )
    group.add_argument(
        "--growatt-rtu-tcp",
        metavar="HOST:PORT",
        type=Address.parse,
        default=Address("127.0.0.1", 5021),
        help="the PV inverter (%(default)s)",
    )
    add_clock_options(parser, mutate=True)
    add_duration(parser)
    parser.set_defaults(run=run)


async def run(options: argparse.Namespace) -> None:
    """Serve until stopped. Raises ``SimulatorError`` on bad input."""
    clock = SimulatedClock(options.start, options.speed)
    async with AsyncExitStack() as stack:
        hybrid, pv_inverter = [
            await stack.enter_async_context(
                GrowattSimulator(
                    {unit: dataset},
                    mutate=True,
                    clock=clock,
                    sleeps=options.sleep,
                    record=False,
                )
            )
            for unit, dataset in (
                (HYBRID_UNIT, HYBRID),
                (PV_INVERTER_UNIT, PV_INVERTER),
            )
        ]
        tcp: Address = options.growatt_tcp
        announce("tcp", Address(tcp.host, await hybrid.start_tcp(tcp.host, tcp.port)))
        rtu: Address = options.growatt_rtu_tcp
        port = await pv_inverter.start_rtu_tcp(rtu.host, rtu.port)
        announce("rtu-tcp", Address(rtu.host, port))
        await serve(options.duration)
