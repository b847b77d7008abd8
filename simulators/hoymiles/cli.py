"""The commands ``hoymiles`` and ``hoymiles-cloud``.

What they run is imported only then: it needs the integration's protocol modules, and
other simulators start faster without.
"""

import argparse
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Final

from simulators.cli import (
    Address,
    Commands,
    add_duration,
    add_faults,
    add_time_options,
    announce,
    not_negative,
    port_number,
    serve,
)
from simulators.clock import SimulatedClock
from simulators.errors import SimulatorError

from .faults import EXPLANATION
from .inventory import DEFAULT_INVENTORY, INVENTORIES

if TYPE_CHECKING:
    from .dtu import SimulatedDtu

_HOST: Final = "127.0.0.1"
_DTU_PORT: Final = 10081
_CLOUD_PORT: Final = 10082
"""Another one than that of DTUs, so that both can run on one computer."""


def register(commands: Commands) -> None:
    """Add the subcommands."""
    _register_dtu(commands)
    _register_cloud(commands)


def _register_dtu(commands: Commands) -> None:
    parser = commands.add_parser(
        "hoymiles",
        help="a Hoymiles DTU with its microinverters, or a storage gateway",
        description="A Hoymiles DTU, driven by sun and house. Listens on TCP.",
    )
    _add_address(parser, _DTU_PORT)
    parser.add_argument(
        "--inventory",
        metavar="NAME",
        default=DEFAULT_INVENTORY,
        help=f"what it is: {', '.join(INVENTORIES)} (%(default)s)",
    )
    parser.add_argument(
        "--dataset",
        metavar="FILE",
        help="recorded messages to give instead: a dataset or a diagnostics download",
    )
    parser.add_argument(
        "--encrypt", action="store_true", help="wants encrypted requests"
    )
    parser.add_argument(
        "--firmware", metavar="X.Y.Z", help="version of the DTU, such as 1.1.1"
    )
    parser.add_argument(
        "--refresh",
        metavar="S",
        type=not_negative,
        default=30.0,
        help="simulated seconds for which it gives the same values again (30); 0: none",
    )
    parser.add_argument(
        "--cloud",
        metavar="HOST:PORT",
        type=Address.parse,
        help="report to a cloud there, such as hoymiles-cloud",
    )
    add_faults(parser)
    _add_clock(parser)
    add_duration(parser)
    parser.epilog = EXPLANATION
    parser.set_defaults(run=run_dtu)


def _register_cloud(commands: Commands) -> None:
    parser = commands.add_parser(
        "hoymiles-cloud",
        help="a stand-in for the cloud that Hoymiles DTUs report to",
        description="Takes the reports of DTUs, answers them and sets their clocks.",
    )
    _add_address(parser, _CLOUD_PORT)
    parser.add_argument(
        "--wrong-sequence",
        action="store_true",
        help="answers 220E with a wrong sequence number, as the real one does",
    )
    _add_clock(parser)
    add_duration(parser)
    parser.set_defaults(run=run_cloud)


def _add_address(parser: argparse.ArgumentParser, port: int) -> None:
    parser.add_argument(
        "--host", default=_HOST, help="address to listen on (%(default)s)"
    )
    parser.add_argument(
        "--port",
        metavar="N",
        type=port_number,
        default=port,
        help="port to listen on (%(default)s); 0 takes a free one",
    )


def _add_clock(parser: argparse.ArgumentParser) -> None:
    """Add the options of time, as other simulators have them.

    There is no choice about sleep: an integrated DTU always sleeps at night.
    """
    group = parser.add_argument_group("what lives")
    add_time_options(group)


async def run_dtu(options: argparse.Namespace) -> None:
    """Serve a DTU until stopped. Raises ``SimulatorError`` on bad input."""
    from .server import running_dtu  # noqa: PLC0415
    from .uplink import running_uplink  # noqa: PLC0415

    dtu = _dtu(options)
    async with AsyncExitStack() as stack:
        try:
            address = await stack.enter_async_context(
                running_dtu(dtu, options.host, options.port)
            )
        except OSError as err:
            raise _cannot_listen(options, err) from None
        if (cloud := options.cloud) is not None:
            await stack.enter_async_context(running_uplink(dtu, cloud.host, cloud.port))
        announce("hoymiles", address)
        await serve(options.duration)


def _dtu(options: argparse.Namespace) -> SimulatedDtu:
    from .dtu import SimulatedDtu  # noqa: PLC0415
    from .served import ServedMessages  # noqa: PLC0415

    served = ServedMessages.load(options.dataset) if options.dataset else None
    return SimulatedDtu(
        options.inventory,
        clock=SimulatedClock(options.start, options.speed),
        encrypt=options.encrypt,
        firmware=options.firmware,
        refresh=options.refresh,
        served=served,
        faults=options.faults,
        seed=options.seed,
        record=False,
    )


async def run_cloud(options: argparse.Namespace) -> None:
    """Serve a cloud until stopped. Raises ``SimulatorError`` on bad input."""
    from .cloud import SimulatedCloud, running_cloud  # noqa: PLC0415

    cloud = SimulatedCloud(
        clock=SimulatedClock(options.start, options.speed),
        wrong_sequence=options.wrong_sequence,
        record=False,
    )
    async with AsyncExitStack() as stack:
        try:
            address = await stack.enter_async_context(
                running_cloud(cloud, options.host, options.port)
            )
        except OSError as err:
            raise _cannot_listen(options, err) from None
        announce("hoymiles-cloud", address)
        await serve(options.duration)


def _cannot_listen(options: argparse.Namespace, err: OSError) -> SimulatorError:
    address = Address(options.host, options.port)
    return SimulatorError(f"cannot listen on {address}: {err.strerror or err}")
