"""``python -m simulators``: runs a simulated device."""

import asyncio
from collections.abc import Sequence
import logging
from pathlib import Path
import sys
from types import ModuleType

from . import annotate, bus_client, growatt, plant, replay
from .cli import Parser
from .datalogger import cli as datalogger_cli
from .dongle import cli as dongle_cli
from .errors import SimulatorError
from .hoymiles import cli as hoymiles_cli
from .mate3 import cli as mate3_cli

DEVICES = (
    growatt,
    dongle_cli,
    datalogger_cli,
    hoymiles_cli,
    mate3_cli,
    plant,
    bus_client,
    annotate,
    replay,
)
"""Modules with a ``register`` that adds their subcommands."""

BAD_INPUT = 2


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a simulator and return the exit code: 2 for bad input, else the command's own."""
    logging.basicConfig(format="%(message)s", level=logging.INFO, stream=sys.stderr)
    logging.getLogger("pymodbus").setLevel(logging.CRITICAL)
    parser = Parser(
        prog="python -m simulators",
        description="Simulated devices. Each prints a line once it listens, or runs,"
        " and serves until it is stopped.",
    )
    commands = parser.add_subparsers(
        title="devices", metavar="DEVICE", required=True, parser_class=Parser
    )
    for device in DEVICES:
        device.register(commands)
    try:
        options = parser.parse_args(arguments)
        code: int | None = asyncio.run(options.run(options))
    except SimulatorError as err:
        print(f"error: {err}", file=sys.stderr)
        return BAD_INPUT
    return code or 0


def _leave_home_assistant_out() -> None:
    """Make register maps and protocols importable without the rest of the integration.

    They know nothing of Home Assistant, but the package around them starts by importing
    it, which takes seconds. In a process of its own a simulator can do without.
    """
    name = "custom_components.local_solar"
    package = ModuleType(name)
    folder = Path(__file__).parents[1] / "custom_components" / "local_solar"
    package.__path__ = [str(folder)]
    sys.modules[name] = package


if __name__ == "__main__":
    _leave_home_assistant_out()
    sys.exit(main())
