"""The command ``mate3``.

What it runs is imported only then: it needs the integration's tables, and other simulators
start faster without.
"""

import argparse
from typing import Final

from simulators.cli import (
    Address,
    Commands,
    add_capture,
    add_duration,
    add_faults,
    add_time_options,
    announce,
    not_negative,
    positive,
    serve,
)
from simulators.clock import SimulatedClock
from simulators.errors import SimulatorError
from simulators.faults import EXPLANATION, Fault, FaultKind

from .systems import DEFAULT_VARIANT, VARIANTS

_ADDRESS: Final = Address("127.0.0.1", 5022)
_ENCRYPTION_KEY: Final = 0x2A51


def register(commands: Commands) -> None:
    """Add the subcommand."""
    parser = commands.add_parser(
        "mate3",
        help="an OutBack MATE3 or MATE3s with the devices on its HUB, on Modbus TCP",
        description="An OutBack MATE3 or MATE3s. Answers for any unit id, one client at a"
        " time.",
    )
    parser.add_argument(
        "--tcp",
        metavar="HOST:PORT",
        type=Address.parse,
        default=_ADDRESS,
        help="where to listen (%(default)s); port 0 takes a free one",
    )
    what = parser.add_mutually_exclusive_group()
    what.add_argument(
        "--dump",
        metavar="FILE",
        help="registers to serve: a register cache of the library mate3, a dataset, a"
        " capture or a diagnostics download",
    )
    what.add_argument(
        "--variant",
        choices=list(VARIANTS),
        default=DEFAULT_VARIANT,
        help="the system that it is, made up (%(default)s)",
    )
    _add_clock(parser)
    _add_quirks(parser)
    add_faults(parser)
    add_capture(parser)
    add_duration(parser)
    parser.epilog = EXPLANATION
    parser.set_defaults(run=run)


def _add_clock(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("what lives")
    group.add_argument(
        "--live",
        action="store_true",
        help="sun, house and battery drive the registers (without --dump they always do)",
    )
    group.add_argument(
        "--still",
        action="store_true",
        help="values stay as they are, without --dump as well",
    )
    add_time_options(group)


def _add_quirks(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("quirks of gateways")
    group.add_argument(
        "--many-clients",
        action="store_true",
        help="serves more than one connection at a time",
    )
    group.add_argument(
        "--reconnect-pause",
        metavar="S",
        nargs="?",
        const=1.5,
        default=0.0,
        type=positive,
        help="takes no connection for so many seconds after one has ended (1.5)",
    )
    group.add_argument(
        "--command-delay",
        metavar="S",
        default=0.3,
        type=not_negative,
        help="simulated seconds until commands have their effect (%(default)s)",
    )
    group.add_argument(
        "--write-sentinels",
        metavar="S",
        nargs="?",
        const=1.0,
        default=0.0,
        type=positive,
        help='registers just written read "not available" for so many simulated'
        " seconds (1)",
    )
    group.add_argument(
        "--gaps",
        metavar="S",
        nargs="?",
        const=3.0,
        default=0.0,
        type=positive,
        help="for so many simulated seconds of each minute (3), the blocks of one device"
        " begin with 0x8000, as if there were no data; of another one each minute",
    )
    group.add_argument(
        "--encrypted",
        action="store_true",
        help="all registers are scrambled but that of the key",
    )


async def run(options: argparse.Namespace) -> None:
    """Serve until stopped. Raises ``SimulatorError`` on bad input."""
    from .gateway import Mate3Simulator  # noqa: PLC0415

    if options.live and options.still:
        raise SimulatorError("--live and --still exclude each other")
    faults = [Fault.parse(text) for text in options.faults]
    if any(fault.kind is FaultKind.CRC for fault in faults):
        raise SimulatorError("Modbus TCP has no checksum: there is no fault crc")
    simulator = Mate3Simulator(
        options.dump,
        variant=options.variant,
        live=options.live or (options.dump is None and not options.still),
        clock=SimulatedClock(options.start, options.speed),
        many_clients=options.many_clients,
        reconnect_pause=options.reconnect_pause,
        faults=faults,
        capture=options.capture,
        record=False,
        seed=options.seed,
    )
    mate3 = simulator.mate3
    mate3.command_delay = options.command_delay
    mate3.sentinels_after_write = options.write_sentinels
    mate3.gaps = options.gaps
    mate3.encryption_key = _ENCRYPTION_KEY if options.encrypted else 0
    async with simulator:
        tcp: Address = options.tcp
        port = await simulator.start_tcp(tcp.host, tcp.port)
        announce("tcp", Address(tcp.host, port))
        await serve(options.duration)
