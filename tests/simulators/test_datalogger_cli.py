"""The commands of sticks and their cloud: what they print, refuse, and how they end."""

import asyncio
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
import json
from pathlib import Path
import signal
import sys

import pytest

from simulators.__main__ import main
from simulators.cli import Address
from simulators.datalogger.bodies import ZERO_STAMP, Group, Record, serial_field
from simulators.datalogger.cloud import SimulatedCloud
from simulators.datalogger.packets import Kind, Packet
from simulators.datalogger.records_file import Recording, Replay, load_recordings
from simulators.datalogger.stick import EAGER, SimulatedStick
from simulators.errors import SimulatorError

ROOT = Path(__file__).parents[2]
RECORDINGS = ROOT.parent / "shared" / "captures" / "datalogger" / "records.jsonl"
PATIENCE = 20.0


@asynccontextmanager
async def _running(*arguments: str | Path) -> AsyncIterator[tuple[Process, list[str]]]:
    """Start a simulator as a process of its own; yield it and the first line it prints."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "simulators", *map(str, arguments)),
        cwd=ROOT,
        stdout=PIPE,
        stderr=PIPE,
    )
    try:
        assert process.stdout is not None
        yield process, (await process.stdout.readline()).decode().split()
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def _end(process: Process) -> None:
    process.send_signal(signal.SIGTERM)
    async with asyncio.timeout(PATIENCE):
        assert await process.wait() == 0


async def test_sticks_report_what_their_options_say() -> None:
    async with SimulatedCloud() as cloud:
        async with _running(
            *("datalogger", "--server", f"127.0.0.1:{cloud.port}"),
            *("--stick", "ABC0000001=5", "--inverter", "SPH0000001=sph_5000"),
            *("--inverter", "MIN0000002=min_5000tl_x", "--stick", "ABC0000002"),
            *("--count", "1", "--mutate", "--start", "2026-06-21T12:00"),
        ) as (process, line):
            assert line == [
                "running",
                "datalogger",
                "ABC0000001",
                "to",
                f"127.0.0.1:{cloud.port}",
            ]
            await cloud.wait_until(
                lambda: len(cloud.received_of(Kind.LIVE)) == 4, PATIENCE
            )
            await _end(process)
        found = {
            (packet.protocol, packet.unit, record.logger, record.inverter)
            for packet in cloud.received_of(Kind.LIVE)
            for record in [Record.parse(packet)]
        }
        assert found == {
            (5, 1, "ABC0000001", "SPH0000001"),
            (5, 2, "ABC0000001", "MIN0000002"),
            (6, 1, "ABC0000002", "SNL0S00001"),
            (6, 1, "XGD0S00001", "SNL0S00002"),
        }


async def test_cloud_does_to_sticks_what_its_options_say() -> None:
    async with _running(
        *("growatt-cloud", "--port", "0", "--read", "43", "--write", "3=60"),
        *("--write", "3038=0,0", "--set-interval", "1", "--read-password"),
    ) as (process, line):
        assert line[:2] == ["listening", "growatt-cloud"]
        address = Address.parse(line[2])
        stick = SimulatedStick(server=(address.host, address.port), timing=EAGER)
        async with stick:
            await stick.wait_until(lambda: len(stick.received_of(Kind.PARAMETER)) == 3)
            writes = stick.inverters[1].writes
            await stick.wait_until(lambda: len(writes) == 2 and stick.parameter_writes)
            assert [(write.address, write.status) for write in writes] == [
                (3, 0),
                (3038, 0),
            ]
            assert stick.interval == 60
        await _end(process)


# -- replay --------------------------------------------------------------------------------


def _line(packet: Packet, **more: object) -> str:
    return json.dumps({"hex": packet.encode().hex(), **more})


def _live(logger: str, protocol: int) -> Packet:
    record = Record(logger, "SNL0000001", ZERO_STAMP, (Group(0, (1, 2)),))
    return Packet(kind=Kind.LIVE, body=record.body(protocol), protocol=protocol)


async def _replay(recording: Recording, cloud: SimulatedCloud) -> None:
    """Send a recording until it is acknowledged."""
    async with Replay(recording, cloud.address) as replay:
        await replay.wait_until(lambda: any(p.is_ack for p in replay.received))


async def test_replay_sends_each_loggers_packets_on_a_connection_of_its_own(
    tmp_path: Path,
) -> None:
    one, two = _live("ABC0000001", 6), _live("ABC0000002", 2)
    ping = Packet(kind=Kind.PING, body=serial_field(6, "ABC0000001"))
    file = tmp_path / "records.jsonl"
    lines = [
        _line(ping),
        _line(one, direction="logger->server"),
        _line(two),
        "",
        _line(one.ack(), direction="server->logger"),
        json.dumps({"hex": one.encode().hex()[:40]}),
    ]
    file.write_text("\n".join(lines))
    async with SimulatedCloud() as cloud:
        for recording in load_recordings(file):
            await _replay(recording, cloud)
        assert [connection.octets for connection in cloud.connections] == [
            ping.encode() + one.encode(),
            two.encode(),
        ]


@pytest.mark.skipif(not RECORDINGS.is_file(), reason="the recordings are not here")
async def test_recorded_packets_are_sent_by_the_command() -> None:
    recordings = load_recordings(RECORDINGS)
    wanted = sum(len(recording.packets) for recording in recordings)
    async with SimulatedCloud() as cloud:
        async with _running(
            *("datalogger", "--server", str(cloud.port), "--replay", RECORDINGS)
        ) as (process, line):
            assert line[:2] == ["running", "datalogger"]
            await cloud.wait_until(lambda: len(cloud.received) == wanted, PATIENCE)
            await _end(process)
        assert len(cloud.connections) == len(recordings)
        assert wanted > 90


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x", "line 1: is not JSON"),
        ("\n[]", "line 2: is not an object with hex"),
        ('{"hex": 1}', "line 1: is not an object with hex"),
        ('{"hex": "x"}', "line 1: hex is not hexadecimal"),
        ("", "holds no packets of loggers"),
    ],
)
def test_files_that_are_no_recordings_are_refused(
    text: str, message: str, tmp_path: Path
) -> None:
    file = tmp_path / "records.jsonl"
    file.write_text(text)
    with pytest.raises(SimulatorError, match=message):
        load_recordings(file)


# -- bad input -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--server", "x"), "'x' is not HOST:PORT"),
        (("--server", "h:0"), "'h:0' has no port"),
        (("--stick", "A=7"), "'7' is not a protocol: 0, 2, 5, 6"),
        (("--stick", "A-B"), "'A-B' is not a serial number"),
        (("--stick", "A", "--stick", "A"), "A is given twice"),
        (("--stick", "ABC00000011=5"), "ABC00000011 is too long for protocol 5"),
        (("--inverter", "A"), "'A' is not SERIAL=DATASET"),
        (("--inverter", "A=/nowhere"), "/nowhere: cannot be read"),
        (
            ("--inverter", "A=mtls_4200", "--inverter", "A=mtls_4200"),
            "inverter A is given twice",
        ),
        (("--count", "0"), "'0' is not a number of sticks"),
        (("--interval", "0"), "'0' is not a number above 0"),
        (("--protocol", "7"), "invalid choice: '7'"),
        (("--meter", "x"), "'x'"),
        (("--protocol", "2", "--meter"), "protocol 2 has no records of meters"),
        (("--clock", "slow"), "clock 'slow' is not one of"),
        (("--rogue", "x"), "fault 'x': 'x' is not one of split"),
        (("--replay", "/nowhere"), "/nowhere: cannot be read"),
    ],
)
def test_bad_input_of_sticks_is_one_line_and_exit_code_2(
    arguments: tuple[str, ...], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    _refuses(("datalogger", *arguments), message, capsys)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--port", "70000"), "'70000' is not a port"),
        (("--host", "192.0.2.1"), "cannot listen on 192.0.2.1:5280"),
        (("--move-server", "x"), "'x' is not HOST:PORT"),
        (("--read", "x"), "'x' is not a number from 0 to 65535"),
        (("--write", "3"), "'' is not a number from 0 to 65535"),
        (("--set-interval", "x"), "'x' is not a number above 0"),
        (("--delay", "-1"), "'-1' is not a number above 0"),
    ],
)
def test_bad_input_of_the_cloud_is_one_line_and_exit_code_2(
    arguments: tuple[str, ...], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    _refuses(("growatt-cloud", *arguments), message, capsys)


def _refuses(
    arguments: tuple[str, ...], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    (line,) = captured.err.splitlines()
    assert line.startswith("error: ")
    assert message in line


def test_run_ends_after_its_duration(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(("growatt-cloud", "--port", "0", "--duration", "0.05")) == 0
    assert capsys.readouterr().out.startswith("listening growatt-cloud 127.0.0.1:")
    assert main(("datalogger", "--server", "127.0.0.1:1", "--duration", "0.05")) == 0
    out = capsys.readouterr().out
    assert out == "running datalogger XGD0SIM001 to 127.0.0.1:1\n"
