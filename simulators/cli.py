"""What the simulators' commands have in common."""

import argparse
import asyncio
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
import math
from pathlib import Path
import signal
from typing import Any, Final, NoReturn, Self, override

from .datasets import SHIPPED
from .errors import SimulatorError
from .faults import EXPLANATION, Fault, FaultKind
from .modbus import ModbusSimulator, UnknownUnit
from .wire import LATENCY, SerialLine

DEFAULT_BAUD: Final = 9600


class Parser(argparse.ArgumentParser):
    """An argument parser whose errors are one line."""

    def __init__(self, **options: Any) -> None:
        """Keep the line breaks of texts and take no abbreviations."""
        options.setdefault("formatter_class", argparse.RawDescriptionHelpFormatter)
        super().__init__(allow_abbrev=False, **options)

    @override
    def error(self, message: str) -> NoReturn:
        raise SimulatorError(" ".join(message.split()))


type Commands = argparse._SubParsersAction[Parser]  # noqa: SLF001
"""Where a device's module adds its subcommand."""


@dataclass(frozen=True, slots=True)
class Address:
    """Where to listen."""

    host: str
    port: int

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read ``HOST:PORT``, ``[IPV6]:PORT`` or just ``PORT`` on this computer."""
        host, _, port = text.rpartition(":")
        if host.startswith("[") and host.endswith("]"):
            host = host[1:-1]
        if not (port.isascii() and port.isdecimal() and len(port) < 6) or (
            int(port) > 0xFFFF
        ):
            raise argparse.ArgumentTypeError(
                f"{text!r} is not HOST:PORT with a port from 0 to 65535"
            )
        return cls(host or "127.0.0.1", int(port))

    def __str__(self) -> str:
        """Return it as it is given."""
        return (
            f"[{self.host}]:{self.port}"
            if ":" in self.host
            else f"{self.host}:{self.port}"
        )


@dataclass(slots=True)
class UnitOption:
    """A unit of the command line and the file it serves."""

    unit: int
    source: str | None = None


class UnitOptions(argparse.Action):
    """Gathers ``--unit`` and ``--dataset``, whose order matters."""

    @classmethod
    def add(cls, parser: argparse.ArgumentParser) -> None:
        """Add both options."""
        group = parser.add_argument_group("inverters")
        group.add_argument(
            "--unit",
            action=cls,
            dest="units",
            metavar="N[=FILE]",
            help="an inverter at unit id N (1 to 254); may be repeated",
        )
        shipped = ", ".join(sorted(path.stem for path in SHIPPED.glob("*.json")))
        group.add_argument(
            "--dataset",
            action=cls,
            dest="units",
            metavar="FILE",
            help="registers of the --unit before it, or of all units that have none of"
            " their own if it comes first: a dataset, a capture, a diagnostics download,"
            f" or one of {shipped}",
        )

    @override
    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: str | Sequence[Any] | None,
        option_string: str | None = None,
    ) -> None:
        units: list[UnitOption] = namespace.units or []
        namespace.units = units
        text = str(values)
        if option_string == "--unit":
            units.append(self._unit(text, [option.unit for option in units]))
        elif not units:
            # Unit 0 stands for all that have no file of their own.
            units.append(UnitOption(0, text))
        elif units[-1].source is None:
            units[-1].source = text
        elif units[-1].unit:
            raise argparse.ArgumentError(
                self, f"unit {units[-1].unit} has {units[-1].source} already"
            )
        else:
            raise argparse.ArgumentError(self, "given twice: put --unit N before each")

    def _unit(self, text: str, known: Sequence[int]) -> UnitOption:
        number, _, source = text.partition("=")
        if not (number.isascii() and number.isdecimal() and len(number) < 4) or not (
            1 <= int(number) <= 254
        ):
            raise argparse.ArgumentError(self, f"{number!r} is not from 1 to 254")
        if int(number) in known:
            raise argparse.ArgumentError(self, f"unit {number} is given twice")
        return UnitOption(int(number), source or None)


def unit_datasets(options: argparse.Namespace, default: str) -> dict[int, str]:
    """Return unit id -> file as the options say."""
    units: list[UnitOption] = list(options.units or [])
    if units and not units[0].unit:
        default = units.pop(0).source or default
    return {option.unit: option.source or default for option in units} or {1: default}


def add_bus_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of a Modbus bus."""
    group = parser.add_argument_group("where to listen (at least one; a port may be 0)")
    group.add_argument(
        "--tcp", metavar="HOST:PORT", type=Address.parse, help="Modbus TCP"
    )
    group.add_argument(
        "--rtu-tcp", metavar="HOST:PORT", type=Address.parse, help="RTU frames over TCP"
    )
    group.add_argument(
        "--pty",
        metavar="PATH",
        type=Path,
        help="RTU on a pseudo-terminal; PATH becomes a symbolic link to it",
    )
    group = parser.add_argument_group("the bus")
    group.add_argument(
        "--wire-time",
        metavar="BAUD",
        nargs="?",
        const=DEFAULT_BAUD,
        type=_baud,
        help="answers take the time of a serial line of so many baud (9600)",
    )
    group.add_argument(
        "--burst",
        metavar="MS",
        nargs="?",
        const=1000 * LATENCY,
        type=_burst,
        help="RTU answers come in pieces, as through a USB adapter that hands on what it"
        " has every so many milliseconds (16); takes the time of a line as well",
    )
    group.add_argument(
        "--unknown-unit",
        choices=list(UnknownUnit),
        type=UnknownUnit,
        default=UnknownUnit.SILENT,
        help="who is not there does not answer, or a gateway answers exception 11",
    )
    add_faults(group)
    add_capture(group)
    add_duration(parser)
    parser.epilog = EXPLANATION


def add_faults(parser: argparse._ActionsContainer) -> None:
    """Add the options of what goes wrong."""
    parser.add_argument(
        "--fault",
        dest="faults",
        metavar="FAULT",
        action="append",
        default=[],
        help="what goes wrong, see below; may be repeated",
    )
    parser.add_argument(
        "--seed",
        metavar="N",
        type=int,
        help="makes random faults the same in every run",
    )


def add_capture(parser: argparse._ActionsContainer) -> None:
    """Add the option that writes down all requests."""
    parser.add_argument(
        "--capture",
        metavar="FILE",
        type=Path,
        help="append one JSON line per request: ts op unit addr count regs",
    )


def add_duration(parser: argparse.ArgumentParser) -> None:
    """Add the option that ends a simulator by itself."""
    parser.add_argument(
        "--duration", metavar="S", type=positive, help="stop after so many seconds"
    )


def add_clock_options(parser: argparse.ArgumentParser, *, mutate: bool = False) -> None:
    """Add the options of what lives; ``mutate`` says that it does so anyway."""
    group = parser.add_argument_group("what lives")
    if mutate:
        parser.set_defaults(mutate=True)
    else:
        group.add_argument(
            "--mutate",
            action="store_true",
            help="sun, house, battery and grid drive the registers",
        )
    add_time_options(group)
    group.add_argument(
        "--sleep",
        action="store_true",
        help="inverters without a battery do not answer while there is no sun",
    )


def add_time_options(group: argparse._ActionsContainer) -> None:
    """Add the options of the simulated time."""
    group.add_argument(
        "--start",
        metavar="TIME",
        type=start_time,
        help="simulated time to start at: 2026-06-21T12:00, or 12:00 today (now)",
    )
    group.add_argument(
        "--speed",
        metavar="X",
        type=positive,
        default=1.0,
        help="simulated seconds per second (1)",
    )


def bus_options(options: argparse.Namespace) -> dict[str, Any]:
    """Return the arguments of a ``ModbusSimulator`` that the options stand for.

    Raises ``SimulatorError`` for a fault that none of the listeners can have.
    """
    if not (options.tcp or options.rtu_tcp or options.pty):
        raise SimulatorError("nowhere to listen: give --tcp, --rtu-tcp or --pty")
    faults = [Fault.parse(text) for text in options.faults]
    if not (options.rtu_tcp or options.pty) and any(
        fault.kind is FaultKind.CRC for fault in faults
    ):
        raise SimulatorError("Modbus TCP has no checksum: crc needs --rtu-tcp or --pty")
    if options.burst and not (options.rtu_tcp or options.pty):
        raise SimulatorError(
            "only RTU comes in pieces: --burst needs --rtu-tcp or --pty"
        )
    return {
        "faults": faults,
        "wire": _line(options.wire_time, options.burst),
        "unknown_unit": options.unknown_unit,
        "capture": options.capture,
        "seed": options.seed,
    }


def _line(baud: int | None, burst: float | None) -> SerialLine | None:
    """Return the line that the options stand for; ``burst`` is in milliseconds."""
    if baud is None and burst is None:
        return None
    return SerialLine(baud or DEFAULT_BAUD, (burst or 0.0) / 1000)


async def start_listeners(
    simulator: ModbusSimulator, options: argparse.Namespace
) -> None:
    """Start what the options name and say where each listens."""
    if (tcp := options.tcp) is not None:
        announce(
            "tcp", Address(tcp.host, await simulator.start_tcp(tcp.host, tcp.port))
        )
    if (rtu := options.rtu_tcp) is not None:
        port = await simulator.start_rtu_tcp(rtu.host, rtu.port)
        announce("rtu-tcp", Address(rtu.host, port))
    if options.pty is not None:
        announce("pty", await simulator.start_pty(options.pty))


def announce(kind: str, address: object) -> None:
    """Print the line that says that something listens."""
    print(f"listening {kind} {address}", flush=True)


async def serve(duration: float | None = None) -> None:
    """Wait until the process is told to stop, or ``duration`` seconds have passed."""
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    with suppress(TimeoutError):
        async with asyncio.timeout(duration):
            await stop.wait()


def positive(text: str) -> float:
    """Read a number above 0."""
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not 0 < number < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number above 0")
    return number


def _baud(text: str) -> int:
    if not (text.isascii() and text.isdecimal()) or not 300 <= int(text) <= 4_000_000:
        raise argparse.ArgumentTypeError(f"{text!r} is not a baud rate")
    return int(text)


def _burst(text: str) -> float:
    """Read milliseconds of the latency timer of an adapter (FTDI: 1 to 255)."""
    if (milliseconds := positive(text)) > 1000:
        raise argparse.ArgumentTypeError(f"{text!r} is more than 1000 ms")
    return milliseconds


def not_negative(text: str) -> float:
    """Read a number above 0, or 0."""
    return 0.0 if text == "0" else positive(text)


def port_number(text: str) -> int:
    """Read a port to listen on; 0 stands for a free one."""
    if text.isascii() and text.isdecimal() and len(text) < 6 and int(text) <= 0xFFFF:
        return int(text)
    raise argparse.ArgumentTypeError(f"{text!r} is not a port from 0 to 65535")


def start_time(text: str) -> datetime:
    """Read a local time, or a time of today."""
    try:
        if "-" in text:
            start = datetime.fromisoformat(text)
        else:
            start = datetime.fromisoformat(f"{datetime.now():%Y-%m-%d}T{text}")
    except ValueError:
        start = None
    if start is None or start.tzinfo is not None:
        raise argparse.ArgumentTypeError(
            f"{text!r} is not a local time such as 2026-06-21T12:00 or 12:00"
        )
    return start
