"""The commands of the DTU and its cloud: what they print, refuse, and how they end."""

import asyncio
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import datetime
import json
from pathlib import Path
import signal
import sys

import pytest

from custom_components.local_solar.hoymiles.cipher import Cipher
from simulators.__main__ import main
from simulators.cli import Address
from tests.hoymiles.peer import APP_INFO, CONFIG, PATIENCE, REAL_DATA, client_at

ROOT = Path(__file__).parents[2]


@asynccontextmanager
async def _running(*arguments: str | Path) -> AsyncIterator[tuple[Process, Address]]:
    """Start a simulator as a process of its own; yield it and where it listens."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "simulators", *map(str, arguments), "--port", "0"),
        cwd=ROOT,
        stdout=PIPE,
        stderr=PIPE,
    )
    try:
        assert process.stdout is not None
        line = (await process.stdout.readline()).decode()
        word, kind, address = line.split()
        assert (word, kind) == ("listening", arguments[0])
        yield process, Address.parse(address)
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def test_dtu_serves_what_its_options_say() -> None:
    async with _running(
        *("hoymiles", "--inventory", "stick-3", "--encrypt", "--firmware", "0.2.7"),
        *("--start", "2026-06-21T12:00", "--refresh", "0", "--speed", "60"),
        *("--fault", "bad-text", "--seed", "1"),
    ) as (process, address):
        async with client_at(address) as client:
            dtu = (await client.ask(APP_INFO))["dtu"]
            assert isinstance(dtu, dict)
            assert dtu["software_version"] == 0x0207
            assert isinstance(dtu["encryption_seed"], bytes)
            client.cipher = Cipher(dtu["encryption_seed"])
            real = await client.ask(REAL_DATA)
            assert real["page_count"] == 3
            start = datetime(2026, 6, 21, 12).timestamp()
            assert start <= int(str(real["time"])) < start + 3600
            assert (await client.ask(CONFIG))["meter_kind"] == b"0\xff"
        process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(PATIENCE):
            assert await process.wait() == 0
        assert process.stderr is not None
        assert await process.stderr.read() == b""


async def test_dtu_reports_to_a_cloud_and_serves_a_dataset(tmp_path: Path) -> None:
    file = tmp_path / "dtu.json"
    recorded = {"AppInfoReply": {"dtu_serial": "414393100009"}}
    file.write_text(json.dumps({"_source": "made up", "messages": recorded}))
    async with AsyncExitStack() as stack:
        cloud, at = await stack.enter_async_context(
            _running("hoymiles-cloud", "--wrong-sequence")
        )
        _, address = await stack.enter_async_context(
            _running("hoymiles", "--dataset", file, "--cloud", str(at))
        )
        client = await stack.enter_async_context(client_at(address))
        app_info = await client.ask(APP_INFO)
        assert app_info["dtu_serial"] == b"414393100009"
        assert cloud.stderr is not None
        async with asyncio.timeout(PATIENCE):
            lines = [await cloud.stderr.readline() for _ in range(2)]
    assert lines == [b"2201 CloudInfoReport\n", b"2202 HeartbeatFromDtu\n"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("hoymiles", "--inventory", "x"), "inventory 'x' is not one of hms-800w-2t"),
        (("hoymiles", "--fault", "x"), "fault 'x': 'x' is not one of"),
        (("hoymiles", "--firmware", "x"), "'x' is not a firmware version"),
        (("hoymiles", "--dataset", "/nowhere.json"), "cannot be read"),
        (("hoymiles", "--port", "70000"), "'70000' is not a port"),
        (("hoymiles", "--refresh", "-1"), "'-1' is not a number above 0"),
        (("hoymiles", "--cloud", "x"), "'x' is not HOST:PORT"),
        (("hoymiles", "--host", "192.0.2.1"), "cannot listen on 192.0.2.1:10081"),
        (("hoymiles-cloud", "--host", "192.0.2.1"), "cannot listen on 192.0.2.1:10082"),
    ],
)
def test_bad_input_is_refused_with_one_line(
    arguments: tuple[str, ...], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ")
    assert message in line


def test_run_ends_after_its_duration(capsys: pytest.CaptureFixture[str]) -> None:
    for command in ("hoymiles", "hoymiles-cloud"):
        assert main((command, "--port", "0", "--duration", "0.05")) == 0
        assert capsys.readouterr().out.startswith(f"listening {command} 127.0.0.1:")
