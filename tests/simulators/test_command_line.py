"""The command line: what it prints, what it refuses, how it ends."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
import json
from pathlib import Path
import re
import signal
import subprocess
import sys
import time

from pymodbus import FramerType
from pymodbus.client import ModbusSerialClient, ModbusTcpClient
import pytest

from simulators.__main__ import main
from simulators.cli import Address

ROOT = Path(__file__).parents[2]
TCP = ("--tcp", "127.0.0.1:0")


@contextmanager
def _running(
    *arguments: str | Path, listeners: int = 1
) -> Iterator[tuple[subprocess.Popen[str], list[tuple[str, str]]]]:
    """Start a simulator as a process of its own; yield it and where it listens."""
    with subprocess.Popen(
        [sys.executable, "-m", "simulators", *map(str, arguments)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            assert process.stdout is not None
            places = []
            for _ in range(listeners):
                word, kind, address = process.stdout.readline().split()
                assert word == "listening"
                places.append((kind, address))
            yield process, places
        finally:
            process.kill()


def _client(address: str, framer: FramerType = FramerType.SOCKET) -> ModbusTcpClient:
    host, port = address.rsplit(":", 1)
    client = ModbusTcpClient(host, port=int(port), framer=framer, timeout=2, retries=0)
    assert client.connect()  # type: ignore[no-untyped-call]
    return client


def _words(
    client: ModbusTcpClient | ModbusSerialClient, unit: int, address: int
) -> int:
    answer = client.read_holding_registers(address, count=1, device_id=unit)
    assert not answer.isError()
    return answer.registers[0]


def test_growatt_serves_two_units_on_three_transports(tmp_path: Path) -> None:
    dataset = tmp_path / "a.json"
    dataset.write_text(json.dumps({"holding": {"43": 77, "44": 1}}))
    capture = tmp_path / "capture.jsonl"
    pty = tmp_path / "pty"
    with _running(
        *("growatt", "--unit", "3", "--dataset", dataset, "--unit=5=min_5000tl_x"),
        *("--tcp", "127.0.0.1:0", "--rtu-tcp", "127.0.0.1:0", "--pty", pty),
        *("--capture", capture, "--fault", "exception=6,address=44"),
        listeners=3,
    ) as (process, places):
        assert [kind for kind, _ in places] == ["tcp", "rtu-tcp", "pty"]
        assert places[2][1] == str(pty)
        for client in (
            _client(places[0][1]),
            _client(places[1][1], FramerType.RTU),
            ModbusSerialClient(str(pty), timeout=2, retries=0),
        ):
            assert client.connect()
            assert [_words(client, unit, 43) for unit in (3, 5)] == [77, 5200]
            answer = client.read_holding_registers(44, device_id=3)
            assert answer.exception_code == 6
            client.close()  # type: ignore[no-untyped-call]
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=10) == 0
        assert process.communicate()[1] == ""
    assert not pty.is_symlink()
    records = [json.loads(line) for line in capture.read_text().splitlines()]
    assert [record["unit"] for record in records] == [3, 5, 3] * 3


def test_plant_serves_a_hybrid_and_a_pv_inverter() -> None:
    with _running(
        *("plant", "--growatt-tcp", "127.0.0.1:0", "--growatt-rtu-tcp", "127.0.0.1:0"),
        *("--start", "2026-06-21T12:00", "--speed", "60"),
        listeners=2,
    ) as (process, places):
        hybrid = _client(places[0][1])
        pv_inverter = _client(places[1][1], FramerType.RTU)
        assert [kind for kind, _ in places] == ["tcp", "rtu-tcp"]
        assert _words(hybrid, 1, 43) == 5100
        assert _words(pv_inverter, 2, 43) == 5200
        before = hybrid.read_holding_registers(45, count=6, device_id=1).registers
        assert before[:4] == [2026, 6, 21, 12]
        time.sleep(0.1)
        after = hybrid.read_holding_registers(45, count=6, device_id=1).registers
        assert 3 <= (after[4] - before[4]) * 60 + after[5] - before[5] < 120
        hybrid.close()  # type: ignore[no-untyped-call]
        pv_inverter.close()  # type: ignore[no-untyped-call]
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=10) == 0


@pytest.mark.parametrize("quirks", [(), ("no-limits", "slot-ends")])
def test_quirks_change_what_becomes_of_writes(quirks: tuple[str, ...]) -> None:
    options = [part for quirk in quirks for part in ("--quirk", quirk)]
    with _running("growatt", *TCP, *options) as (_, places):
        client = _client(places[0][1])
        beyond = client.write_register(3, 1000, device_id=1)
        slot_end = client.write_register(3059, 0, device_id=1)
        client.close()  # type: ignore[no-untyped-call]
    codes = [
        answer.exception_code if answer.isError() else 0
        for answer in (beyond, slot_end)
    ]
    assert codes == ([0, 2] if quirks else [3, 0])


def test_bad_input_of_a_process_is_one_line_and_exit_code_2(tmp_path: Path) -> None:
    done = subprocess.run(
        [
            *(sys.executable, "-m", "simulators", "growatt", *TCP),
            *("--dataset", str(tmp_path / "missing.json")),
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=20,
    )
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr == (
        f"error: {tmp_path}/missing.json: cannot be read: No such file or directory\n"
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "the following arguments are required: DEVICE"),
        (("toaster",), "invalid choice: 'toaster' (choose from "),
        (("growatt",), "nowhere to listen: give --tcp, --rtu-tcp or --pty"),
        (
            ("growatt", *TCP, "--burst"),
            "only RTU comes in pieces: --burst needs --rtu-tcp or --pty",
        ),
        (("growatt", *TCP, "--burst", "2000"), "'2000' is more than 1000 ms"),
        (("growatt", "--tcp"), "argument --tcp: expected one argument"),
        (("growatt", "--tcp", "host"), "argument --tcp: 'host' is not HOST:PORT"),
        (("growatt", "--tcp", "a:65536"), "'a:65536' is not HOST:PORT"),
        (("growatt", "--rtu-tcp", "a:-1"), "argument --rtu-tcp: 'a:-1' is not"),
        (("growatt", *TCP, "--unit", "0"), "argument --unit: '0' is not from 1 to 254"),
        (("growatt", *TCP, "--unit", "255"), "'255' is not from 1 to 254"),
        (("growatt", *TCP, "--unit", "one"), "'one' is not from 1 to 254"),
        (
            ("growatt", *TCP, "--unit", "1", "--unit", "1"),
            "argument --unit: unit 1 is given twice",
        ),
        (
            ("growatt", *TCP, "--dataset", "a", "--dataset", "b"),
            "argument --dataset: given twice: put --unit N before each",
        ),
        (
            ("growatt", *TCP, "--unit", "1=a", "--dataset", "b"),
            "argument --dataset: unit 1 has a already",
        ),
        (("growatt", *TCP, "--dataset", "a"), "a: cannot be read: No such file"),
        (
            ("growatt", *TCP, "--speed", "0"),
            "argument --speed: '0' is not a number above",
        ),
        (("growatt", *TCP, "--speed", "inf"), "'inf' is not a number above 0"),
        (
            ("growatt", *TCP, "--duration", "x"),
            "argument --duration: 'x' is not a number",
        ),
        (
            ("growatt", *TCP, "--start", "noon"),
            "argument --start: 'noon' is not a local",
        ),
        (("growatt", *TCP, "--start", "2026-01-01T00:00Z"), "is not a local time"),
        (
            ("growatt", *TCP, "--wire-time", "5"),
            "argument --wire-time: '5' is not a baud",
        ),
        (("growatt", *TCP, "--unknown-unit", "x"), "argument --unknown-unit: invalid"),
        (("growatt", *TCP, "--quirk", "x"), "argument --quirk: invalid choice: 'x'"),
        (("growatt", *TCP, "--fault", "fire"), "fault 'fire': 'fire' is not one of"),
        (("growatt", *TCP, "--fault", "crc"), "crc needs --rtu-tcp or --pty"),
        (("growatt", *TCP, "--seed", "x"), "argument --seed: invalid int value: 'x'"),
        (("growatt", *TCP, "--capture", "/nowhere/x"), "/nowhere/x: cannot be written"),
        (
            ("growatt", "--pty", "/nowhere/x"),
            "cannot listen on /nowhere/x: No such file",
        ),
        (("growatt", "--tcp", "192.0.2.1:0"), "cannot listen on 192.0.2.1:0: "),
        (("growatt", *TCP, "--mut"), "unrecognized arguments: --mut"),
        (
            ("plant", "--growatt-tcp", "x"),
            "argument --growatt-tcp: 'x' is not HOST:PORT",
        ),
        (("plant", "--mutate"), "unrecognized arguments: --mutate"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(
    arguments: Sequence[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("error: ")
    assert message in captured.err
    assert captured.err.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "units"),
    [
        ((), {1: "min_6000tl_xh"}),
        (("--unit", "4"), {4: "min_6000tl_xh"}),
        (("--dataset", "min_5000tl_x"), {1: "min_5000tl_x"}),
        (("--dataset", "min_5000tl_x", "--unit", "4"), {4: "min_5000tl_x"}),
        (
            ("--dataset", "min_5000tl_x", "--unit", "4", "--unit", "5=min_6000tl_xh"),
            {4: "min_5000tl_x", 5: "min_6000tl_xh"},
        ),
        (
            (
                "--unit",
                "1",
                "--dataset",
                "a.json",
                "--unit",
                "2",
                "--dataset",
                "b.json",
            ),
            {1: "a.json", 2: "b.json"},
        ),
        (("--unit", "1=a.json", "--unit", "2=b.json"), {1: "a.json", 2: "b.json"}),
    ],
)
def test_units_and_datasets_belong_together(
    arguments: Sequence[str],
    units: dict[int, str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen = []

    class Stop(Exception):
        """Enough seen."""

    def simulator(datasets: dict[int, str], **_: object) -> None:
        seen.append(datasets)
        raise Stop

    monkeypatch.setattr("simulators.growatt.GrowattSimulator", simulator)
    with pytest.raises(Stop):
        main(("growatt", *TCP, *arguments))
    assert seen == [units]


def test_model_without_register_map_cannot_be_mutated(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    dataset = tmp_path / "a.json"
    dataset.write_text(json.dumps({"holding": {"43": 77}}))
    assert main(("growatt", *TCP, "--mutate", "--dataset", str(dataset))) == 2
    assert capsys.readouterr().err == (
        f"error: {dataset}: no register map for device type code 77:"
        " it cannot be mutated\n"
    )


def test_duration_ends_it(capsys: pytest.CaptureFixture[str]) -> None:
    before = time.monotonic()
    assert main(("growatt", *TCP, "--duration", "0.2")) == 0
    assert 0.2 <= time.monotonic() - before < 2
    assert re.fullmatch(r"listening tcp 127\.0\.0\.1:\d+\n", capsys.readouterr().out)


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("502", Address("127.0.0.1", 502)),
        (":502", Address("127.0.0.1", 502)),
        ("0.0.0.0:0", Address("0.0.0.0", 0)),
        ("[::1]:502", Address("::1", 502)),
    ],
)
def test_addresses_are_read(text: str, address: Address) -> None:
    assert Address.parse(text) == address
    assert Address.parse(str(address)) == address


def test_a_port_alone_is_of_this_computer(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(("growatt", "--tcp", "0", "--duration", "0.01")) == 0
    assert capsys.readouterr().out.startswith("listening tcp 127.0.0.1:")


@pytest.mark.parametrize("arguments", [("--help",), ("growatt", "--help")])
def test_help_lists_devices_and_options(
    arguments: Sequence[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 0
    text = capsys.readouterr().out
    wanted: tuple[str, ...] = ("growatt", "plant")
    if arguments[0] == "growatt":
        wanted = (
            *("--tcp", "--rtu-tcp", "--pty", "--unit", "--dataset", "--mutate"),
            *("--speed", "--duration", "--capture", "--wire-time", "--fault"),
            *("--quirk", "slot-ends", "forgets-slots", "no-limits", "late", "clamp"),
            *("drop", "delay", "crc", "short", "exception", "garbage", "disconnect"),
        )
    assert all(word in text for word in wanted)
