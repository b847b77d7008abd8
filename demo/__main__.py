"""``python -m demo``: runs the demo, or checks that it works."""

import argparse
import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
import shutil
import signal
import sys
import time
from typing import Final, NoReturn, override

from .check import table
from .errors import DemoError
from .families import ALL, FAMILIES
from .home_assistant import free_port
from .house import PASSWORD, USER, House, running_house, simulators_of
from .process import ROOT

PORT: Final = 8123
FOLDER: Final = ROOT / ".demo"

FAILED: Final = 1
BAD_INPUT: Final = 2

EPILOG: Final = f"""\
Home Assistant listens on 127.0.0.1 only. Its files are in .demo/PORT in the checkout and
are made anew by each start. Log in as {USER} with the password {PASSWORD}.
"""


class Parser(argparse.ArgumentParser):
    """An argument parser whose errors are one line."""

    @override
    def error(self, message: str) -> NoReturn:
        print(f"error: {' '.join(message.split())}", file=sys.stderr)
        sys.exit(BAD_INPUT)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the demo and return the exit code: 0, 1 if something does not work."""
    options = _parse(arguments)
    try:
        return asyncio.run(_run(options))
    except DemoError as err:
        print(f"error: {err}", file=sys.stderr)
        return FAILED


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = Parser(
        prog="scripts/demo",
        description="A real Home Assistant with Local Solar and simulated devices.",
        epilog=EPILOG,
        allow_abbrev=False,
    )
    parser.add_argument(
        "--check",
        action="store_true",
        help="see whether every device shows plausible live values and settings can be"
        " changed, print that and stop; exits 1 if not",
    )
    parser.add_argument(
        "--family",
        dest="families",
        metavar="NAME",
        action="append",
        type=_family,
        help=f"only devices of this family; may be repeated ({', '.join(ALL)})",
    )
    parser.add_argument(
        "--port",
        metavar="N",
        type=_port,
        help=f"port of the web page ({PORT}; with --check any free one)",
    )
    return parser.parse_args(arguments)


def _family(text: str) -> str:
    if text not in ALL:
        raise argparse.ArgumentTypeError(
            f"there is no family {text!r}; there are: {', '.join(ALL)}"
        )
    return text


def _port(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and 0 < int(text[:6]) <= 0xFFFF):
        raise argparse.ArgumentTypeError(f"{text!r} is not a port from 1 to 65535")
    return int(text)


async def _run(options: argparse.Namespace) -> int:
    """Run until the work is done or the process is told to stop."""
    work = asyncio.current_task()
    assert work is not None
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        # nohup has it ignored.
        if signal.getsignal(number) is not signal.SIG_IGN:
            loop.add_signal_handler(number, _stop, work)
    try:
        await (_check(options) if options.check else _show(options))
    except asyncio.CancelledError:
        _say("stopped")
        return FAILED if options.check else 0
    return 0


def _stop(work: asyncio.Task[int]) -> None:
    if not work.cancelling():
        _say("stopping; this takes a few seconds")
        work.cancel()


async def _show(options: argparse.Namespace) -> None:
    """Show the demo to a person until it is stopped. Raises ``DemoError``."""
    async with _house(options, free_port(options.port or PORT)) as house:
        url = house.home_assistant.url
        _say("ready")
        print(
            f"\n    {url}                   log in as {USER}, password {PASSWORD}\n"
            f"    {url}/energy            the energy dashboard\n"
            f"    {url}/config/repairs    to confirm the settings that you change\n"
            "\n    Ctrl-C stops it\n",
            flush=True,
        )
        await house.home_assistant.keep_running()


async def _check(options: argparse.Namespace) -> None:
    """See whether the demo works. Raises ``DemoError`` if it does not."""
    began = time.monotonic()
    port = free_port(options.port or 0)
    async with _house(options, port) as house:
        await house.check_writing()
        _say("waiting for the next poll")
        shown = await house.check()
        print("", *table(shown), "", sep="\n", flush=True)
        devices = len({reading.device_id for reading in shown})
        _say(
            f"{len(shown)} entities of {devices} devices show plausible live values"
            f" ({time.monotonic() - began:.0f} s)"
        )
    shutil.rmtree(FOLDER / str(port))


@asynccontextmanager
async def _house(options: argparse.Namespace, port: int) -> AsyncIterator[House]:
    """Run the house with the devices that are wanted. Raises ``DemoError``."""
    families = options.families or [*FAMILIES]
    folder = FOLDER / str(port)
    if folder.exists():
        shutil.rmtree(folder)
    folder.mkdir(parents=True)
    try:
        async with running_house(
            folder, port, Path(sys.executable), simulators_of(families), _say
        ) as house:
            await house.furnish(families)
            yield house
    except DemoError:
        _say(f"it failed; the logs are in {folder.relative_to(ROOT)}")
        raise


def _say(message: str) -> None:
    print(f"==> {message}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
