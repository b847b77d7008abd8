"""A recorded bus asks once more."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
import subprocess
import sys

import pytest

from simulators.__main__ import main
from simulators.cli import Address
from simulators.exchanges import Exchange
from simulators.growatt import GrowattSimulator
from simulators.replay_clients import ClientReplay, Outcome, Pace, is_replayable, replay
from simulators.wire_log import load_recording, parse_recording

from .recordings import RECORDED, WIRE_LOG, Log, answer, read

FAST = Pace(speed=None, timeout=2.0)
ROOT = Path(__file__).parents[2]

WRITE = bytes.fromhex("0600bc0007")


@asynccontextmanager
async def served(
    source: str | dict[str, dict[str, int]], *faults: str
) -> AsyncIterator[tuple[GrowattSimulator, Address]]:
    """Serve a dataset as unit 1."""
    async with GrowattSimulator({1: source}, faults=faults) as simulator:
        port = await simulator.start_tcp()
        yield simulator, Address("127.0.0.1", port)


def exchanges(log: Log) -> tuple[Exchange, ...]:
    return parse_recording(log.text, "file").exchanges


async def replayed(log: Log, address: Address, pace: Pace = FAST) -> ClientReplay:
    (result,) = await replay(exchanges(log), address, pace)
    return result


HOLDING = {"holding": {"43": 5100, "44": 513}}


async def test_answers_are_held_against_the_recorded_ones() -> None:
    log = Log().see(3, 43, 5100).see(3, 44, 1).see(3, 43, 5100, 513)
    async with served(HOLDING) as (_, address):
        result = await replayed(log, address)
    assert (result.requests, result.outcomes[Outcome.WORDS]) == (3, 3)
    assert (result.same_words, result.other_words) == (2, 1)
    assert not result.differences
    assert len(result.took) == 3


async def test_refusals_are_compared_by_their_code() -> None:
    far = read(3, 900, 1)
    log = Log().ask(far, b"\x83\x02").ask(far, b"\x83\x03").ask(far, answer(3, 1))
    async with served(HOLDING) as (_, address):
        result = await replayed(log, address)
    assert result.outcomes == {Outcome.EXCEPTION: 3}
    assert result.differences == {
        (1, "function 3 at 900", "exception 3", "exception 2"): 1,
        (1, "function 3 at 900", "answered", "exception 2"): 1,
    }


async def test_what_is_not_answered_is_given_up() -> None:
    log = Log().see(3, 43, 5100).see(3, 44, 513)
    async with served(HOLDING, "drop,address=43") as (_, address):
        result = await replayed(log, address, Pace(speed=None, timeout=0.1))
    assert result.outcomes == {Outcome.NOTHING: 1, Outcome.WORDS: 1}


async def test_a_late_answer_is_not_taken_for_the_next_one() -> None:
    log = Log().see(3, 43, 5100).see(3, 44, 513)
    async with served(HOLDING, "delay=0.3,address=43") as (_, address):
        first = await replayed(log, address, Pace(speed=None, timeout=0.2))
    assert first.outcomes == {Outcome.NOTHING: 1, Outcome.WORDS: 1}
    assert first.same_words == 1


@pytest.mark.parametrize("fault", ["garbage=7", "short"])
async def test_answers_that_do_not_fit_are_told(fault: str) -> None:
    log = Log().see(3, 43, 5100, 513).see(3, 44, 513)
    async with served(HOLDING, f"{fault},times=1") as (_, address):
        result = await replayed(log, address, Pace(speed=None, timeout=0.2))
    assert result.outcomes[Outcome.WORDS] == 1
    assert result.outcomes[Outcome.WRONG] + result.outcomes[Outcome.NOTHING] == 1


async def test_a_broken_connection_is_made_anew() -> None:
    log = Log().see(3, 43, 5100).see(3, 44, 513)
    async with served(HOLDING, "disconnect,times=1") as (_, address):
        result = await replayed(log, address)
    assert result.outcomes == {Outcome.NOTHING: 1, Outcome.WORDS: 1}


async def test_each_client_has_its_own_connection_and_keeps_its_order() -> None:
    log = Log()
    for number in range(20):
        log.ask(
            read(3, number, 1), answer(3, 0), client=f"10.0.0.{number % 2}:{number % 4}"
        )
    async with served(HOLDING) as (simulator, address):
        results = await replay(exchanges(log), address, FAST)
        by_client: dict[str, list[int]] = {}
        for request in simulator.requests:
            by_client.setdefault(request.client, []).append(request.address)
    assert [result.client for result in results] == ["10.0.0.0", "10.0.0.1"]
    assert sorted(by_client.values()) == [
        list(range(first, 20, 4)) for first in range(4)
    ]


async def test_pauses_are_kept_in_compressed_time() -> None:
    log = Log().see(3, 43, 5100, pause=30).see(3, 44, 513, pause=10).see(3, 43, 5100)
    async with served(HOLDING) as (simulator, address):
        await replayed(log, address, Pace(speed=100))
        times = [request.received for request in simulator.requests]
    assert times[1] - times[0] >= 0.29
    assert times[2] - times[0] >= 0.39


async def test_a_client_that_comes_later_begins_later() -> None:
    log = Log().see(3, 43, 5100, pause=40)
    log.ask(read(3, 44, 1), answer(3, 513), client="dongle")
    async with served(HOLDING) as (simulator, address):
        await replay(exchanges(log), address, Pace(speed=100))
        first, second = (request.received for request in simulator.requests)
    assert second - first >= 0.39


def test_writes_and_unknown_functions_are_not_sent_unless_told() -> None:
    log = Log().see(3, 43, 1).ask(WRITE, WRITE).ask(WRITE, None, unit=0)
    log.ask(b"\x41\x00", b"\x41\x00").see(0x20, 0, 5)
    sent = [
        [each.function for each in exchanges(log) if is_replayable(each, writes=writes)]
        for writes in (False, True)
    ]
    assert sent == [[3, 0x20], [3, 6, 0x20]]


# -- the command ----------------------------------------------------------------------


async def command(*arguments: str | Path) -> tuple[int, str, str]:
    """Run the command in a process of its own; return its exit code and what it prints."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "simulators", "replay", *map(str, arguments)),
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    out, err = await process.communicate()
    assert process.returncode is not None
    return process.returncode, out.decode(), err.decode()


async def test_the_command_tells_how_it_went(tmp_path: Path) -> None:
    log = Log().see(3, 43, 5100).ask(WRITE, WRITE).ask(read(3, 44, 1), None)
    path = log.write(tmp_path)
    async with served(HOLDING) as (simulator, address):
        code, out, err = await command(path, "--to", str(address), "--speed", "1000")
        assert simulator.writes == []
    assert (code, err) == (0, "")
    lines = out.splitlines()
    assert lines[0].startswith("2 requests in 0.0 s, recorded in 2.0 s")
    assert lines[1] == "1 writes and unknown functions were left out"
    assert lines[4].split()[:4] == ["10.0.0.7", "2", "2", "1"]
    assert lines[-1].split() == [
        *("function", "3", "at", "44", "1", "no", "answer", "answered", "1", "10.0.0.7")
    ]


@pytest.mark.parametrize("fault", ["drop", "short"])
async def test_the_exit_code_is_1_if_something_was_not_answered(
    tmp_path: Path, fault: str
) -> None:
    path = Log().see(3, 43, 5100, 513).write(tmp_path)
    async with served(HOLDING, fault) as (_, address):
        code, _, _ = await command(
            *(path, "--to", str(address), "--as-fast-as-possible", "--timeout", "0.2")
        )
    assert code == 1


async def test_one_client_can_be_chosen_and_writes_can_be_sent(tmp_path: Path) -> None:
    log = Log().see(3, 43, 5100).ask(WRITE, WRITE, client="dongle")
    path = log.write(tmp_path)
    async with served("min_6000tl_xh") as (simulator, address):
        code, _, _ = await command(
            *(path, "--to", str(address), "--client", "dongle", "--with-writes")
        )
        assert [request.address for request in simulator.requests] == [188]
    assert code == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("{none} --to 127.0.0.1:1", "cannot be read"),
        ("{capture}", "the following arguments are required: --to"),
        ("{capture} --to 127.0.0.1:1", "cannot connect to 127.0.0.1:1: Connection"),
        ("{capture} --to 127.0.0.1:1 --client x", "has no client 'x', but 10.0.0.7"),
        ("{writes} --to 127.0.0.1:1", "holds no requests that may be sent"),
        ("{capture} --to 127.0.0.1:1 --speed 0", "'0' is not a number above 0"),
        ("{capture} --to 127.0.0.1:1 --speed 2 --as-fast-as-possible", "not allowed"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: str, message: str
) -> None:
    text = arguments.format(
        none=tmp_path / "none",
        capture=Log().see(3, 43, 5100).write(tmp_path),
        writes=Log().ask(WRITE, WRITE).write(tmp_path, "writes.jsonl"),
    )
    assert main(["replay", *text.split()]) == 2
    told = capsys.readouterr()
    assert message in told.err
    assert (told.err.count("\n"), told.out) == (1, "")


# -- recordings -----------------------------------------------------------------------


@pytest.fixture
def wire_log(tmp_path: Path) -> Path:
    """Return the excerpt as a file."""
    path = tmp_path / "wire.jsonl"
    path.write_text(WIRE_LOG)
    return path


async def test_the_excerpt_is_served_and_asked_for(wire_log: Path) -> None:
    recorded = [
        each
        for each in load_recording(wire_log).exchanges
        if is_replayable(each, writes=False)
    ]
    async with served(str(wire_log)) as (_, address):
        (result,) = await replay(recorded, address, FAST)
    assert (result.client, result.same_words, result.other_words) == ("SHINE", 2, 0)


@pytest.mark.skipif(not RECORDED.is_file(), reason=f"no recording at {RECORDED}")
async def test_the_recorded_bus_is_served_and_asked_for() -> None:
    recorded = load_recording(RECORDED).exchanges
    reads = [each for each in recorded if is_replayable(each, writes=False)]
    async with served(str(RECORDED)) as (_, address):
        stick, client = await replay(reads, address, FAST)
    assert (stick.requests, stick.outcomes[Outcome.WORDS]) == (205, 205)
    # The simulator refuses what crosses the groups of the documents; this inverter did not.
    assert client.outcomes == {Outcome.WORDS: 60, Outcome.EXCEPTION: 3}
