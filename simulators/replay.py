"""``replay``: sends the requests of a recorded bus to a Modbus TCP server once more."""

import argparse
from collections.abc import Iterator, Sequence
import os
from pathlib import Path
import time
from typing import Final

from .annotate_traffic import percentile
from .cli import Address, Commands, positive
from .errors import SimulatorError
from .exchanges import Exchange
from .replay_clients import (
    ClientReplay,
    Connection,
    Outcome,
    Pace,
    is_replayable,
    replay,
)
from .text_table import text_table
from .wire_log import load_recording

NOT_ANSWERED: Final = 1
"""Exit code if a request got no answer, or one that was no answer to it."""


def register(commands: Commands) -> None:
    """Add the subcommand."""
    parser = commands.add_parser(
        "replay",
        help="send the requests of a recorded bus to a Modbus TCP server",
        description=(
            "Each client of the recording asks the same as then over a connection of its"
            " own, in the same order. Writes and unknown functions are left out. Exits"
            " with 1 if a request got no answer."
        ),
    )
    parser.add_argument("capture", metavar="CAPTURE", type=Path, help="JSON lines")
    parser.add_argument(
        "--to",
        metavar="HOST:PORT",
        type=Address.parse,
        required=True,
        help="Modbus TCP",
    )
    parser.add_argument(
        "--client",
        metavar="NAME",
        help="only this client; without its port, all of its connections",
    )
    pace = parser.add_mutually_exclusive_group()
    pace.add_argument(
        "--speed",
        metavar="X",
        type=positive,
        default=1.0,
        help="recorded seconds per second (1)",
    )
    pace.add_argument(
        "--as-fast-as-possible",
        action="store_true",
        help="each client asks again once it has its answer",
    )
    parser.add_argument(
        "--timeout",
        metavar="S",
        type=positive,
        default=Pace().timeout,
        help="seconds until an answer is given up (%(default)g)",
    )
    parser.add_argument(
        "--with-writes",
        action="store_true",
        help="send writes as well: not to a real inverter that is not meant to change",
    )
    parser.set_defaults(run=run)


async def run(options: argparse.Namespace) -> int:
    """Replay, and return the exit code. Raises ``SimulatorError`` on bad input."""
    recorded = _chosen(load_recording(options.capture).exchanges, options)
    asked = [
        each for each in recorded if is_replayable(each, writes=options.with_writes)
    ]
    if not asked:
        raise SimulatorError(f"{options.capture}: holds no requests that may be sent")
    await _check(options.to)
    speed = None if options.as_fast_as_possible else options.speed
    start = time.monotonic()
    results = await replay(
        asked, options.to, Pace(speed=speed, timeout=options.timeout)
    )
    seconds = time.monotonic() - start
    print(f"{len(asked)} requests in {seconds:.1f} s{_recorded_in(asked)}")
    if left_out := len(recorded) - len(asked):
        print(f"{left_out} writes and unknown functions were left out")
    print("\n".join(_tables(results)))
    failed = any(
        result.outcomes[outcome]
        for result in results
        for outcome in (Outcome.NOTHING, Outcome.WRONG)
    )
    return NOT_ANSWERED if failed else 0


def _chosen(
    exchanges: Sequence[Exchange], options: argparse.Namespace
) -> Sequence[Exchange]:
    """Return the requests of the client that is wished."""
    if options.client is None:
        return exchanges
    found = [each for each in exchanges if options.client in (each.client, each.peer)]
    if not found:
        names = ", ".join(dict.fromkeys(each.peer for each in exchanges))
        raise SimulatorError(
            f"{options.capture}: has no client {options.client!r}, but {names}"
        )
    return found


async def _check(address: Address) -> None:
    """Find out at once whether there is anybody."""
    connection = Connection(address)
    try:
        await connection.open()
    except OSError as err:
        reason = os.strerror(err.errno) if err.errno and err.errno > 0 else str(err)
        raise SimulatorError(f"cannot connect to {address}: {reason}") from None
    await connection.close()


def _recorded_in(asked: Sequence[Exchange]) -> str:
    times = [exchange.at for exchange in asked if exchange.at is not None]
    if not times:
        return ""
    return f", recorded in {(max(times) - min(times)).total_seconds():.1f} s"


def _tables(results: Sequence[ClientReplay]) -> Iterator[str]:
    header = (
        *("client", "requests", "answered", "same words", "other words"),
        *("exceptions", "no answer", "wrong answer", "p50 ms", "p99 ms"),
    )
    yield ""
    yield from text_table(header, map(_row, results))
    differences = [
        (what, unit, recorded, now, times, result.client)
        for result in results
        for (unit, what, recorded, now), times in result.differences.most_common()
    ]
    if differences:
        yield from ("", "Other than in the recording:", "")
        yield from text_table(
            ("request", "unit", "recorded", "now", "times", "client"), differences
        )


def _row(result: ClientReplay) -> tuple[object, ...]:
    took = sorted(result.took)
    p50, p99 = (
        None if seconds is None else round(1000 * seconds, 1)
        for seconds in (percentile(took, 50), percentile(took, 99))
    )
    return (
        result.client or "(not named)",
        result.requests,
        result.outcomes[Outcome.WORDS],
        result.same_words,
        result.other_words,
        result.outcomes[Outcome.EXCEPTION],
        result.outcomes[Outcome.NOTHING],
        result.outcomes[Outcome.WRONG],
        p50,
        p99,
    )
