"""The command ``dongle``."""

import argparse
import asyncio
from contextlib import suppress
from pathlib import Path

from simulators.cli import Address, Commands, add_duration, announce, positive, serve
from simulators.errors import SimulatorError

from .dongle import SimulatedDongle, Tally
from .lines import Line, StreamLine, TerminalLine
from .steps import REPEAT

_BAUD = 115200
_PAUSE = 1.0
"""Seconds until a line that was lost is tried again."""


def register(commands: Commands) -> None:
    """Add the subcommand."""
    parser = commands.add_parser(
        "dongle",
        help="a Growatt Shine dongle at an inverter's serial port: a Modbus master",
        description=(
            "A Shine dongle that boots and polls as a recorded one does. It asks an inverter,"
            " or a gateway in the place of one, and says in the end how it was answered."
        ),
    )
    where = parser.add_argument_group("where the inverter is (one of these)")
    place = where.add_mutually_exclusive_group(required=True)
    place.add_argument("--serial", metavar="DEVICE", help="at a serial port")
    place.add_argument(
        "--pty",
        metavar="PATH",
        type=Path,
        help="at a new pseudo-terminal; PATH becomes a symbolic link to it, for the inverter"
        " or gateway to open",
    )
    place.add_argument(
        "--tcp", metavar="HOST:PORT", type=Address.parse, help="RTU frames over TCP"
    )
    where.add_argument(
        "--baud",
        metavar="N",
        type=int,
        default=_BAUD,
        help="baud rate of the serial port (%(default)s)",
    )
    group = parser.add_argument_group("how it behaves")
    group.add_argument(
        "--speed",
        metavar="X",
        type=positive,
        default=1.0,
        help="shortens its pauses, not its patience (1)",
    )
    group.add_argument(
        "--repeat",
        metavar="S",
        type=positive,
        default=REPEAT,
        help="seconds of silence until it repeats a request (%(default)s)",
    )
    group.add_argument(
        "--glued",
        action="store_true",
        help="what it repeats comes twice in one piece, as a busy reader hears it",
    )
    group.add_argument(
        "--no-clock", action="store_true", help="it does not set the inverter's clock"
    )
    group.add_argument(
        "--cycles",
        metavar="N",
        type=_count,
        help="stop after the boot and so many cycles of 9.5 s",
    )
    add_duration(parser)
    parser.set_defaults(run=run)


def _count(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and len(text) < 10):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of cycles")
    return int(text)


async def run(options: argparse.Namespace) -> None:
    """Ask until stopped. Raises ``SimulatorError`` on bad input or if nobody is there."""
    tally = Tally()
    stopping = asyncio.create_task(serve(options.duration))
    # From the line on that says that it is ready it can be stopped.
    await asyncio.sleep(0)
    tasks = {stopping}
    try:
        tasks.add(asyncio.create_task(_ask(options, await _open(options), tally)))
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    print(tally, flush=True)
    for task in done:
        task.result()


async def _open(options: argparse.Namespace) -> Line:
    """Open the line and say so. Raises ``SimulatorError``."""
    line: Line
    if options.pty is not None:
        line = TerminalLine.offer(options.pty)
        announce("pty", options.pty)
    elif options.serial is not None:
        line = TerminalLine.open(options.serial, options.baud)
        print(f"connected dongle {options.serial}", flush=True)
    else:
        address: Address = options.tcp
        line = await StreamLine.connect(address.host, address.port)
        print(f"connected dongle {address}", flush=True)
    return line


async def _ask(options: argparse.Namespace, line: Line, tally: Tally) -> None:
    """Boot and cycle; a line that is lost is opened again, and all starts anew."""
    while True:
        dongle = SimulatedDongle(
            line,
            speed=options.speed,
            repeat=options.repeat,
            glued=options.glued,
            sets_clock=not options.no_clock,
            tally=tally,
        )
        try:
            await dongle.run(options.cycles)
        except OSError as err:
            print(f"lost dongle: {err}", flush=True)
        else:
            return
        finally:
            line.close()
        line = await _open_again(options)


async def _open_again(options: argparse.Namespace) -> Line:
    """Open the line as soon as that can be done."""
    while True:
        await asyncio.sleep(_PAUSE)
        with suppress(SimulatorError):
            return await _open(options)
