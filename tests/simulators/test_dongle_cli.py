"""The command ``dongle``: what it prints, what it refuses, how it ends."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
import re
import signal
import subprocess
import sys

import pytest

from simulators.__main__ import main

ROOT = Path(__file__).parents[2]
SIMULATORS = (sys.executable, "-m", "simulators")
PATIENCE = 20


@contextmanager
def _running(*arguments: str | Path) -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(
        (*SIMULATORS, *map(str, arguments)),
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def _line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().rstrip()


def _dongle(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        (*SIMULATORS, "dongle", *map(str, arguments)),
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE,
    )


def test_it_asks_an_inverter_and_says_how_it_fared(tmp_path: Path) -> None:
    pty = tmp_path / "inverter"
    with _running("growatt", "--rtu-tcp", "0", "--pty", pty) as inverter:
        address = _line(inverter).removeprefix("listening rtu-tcp ")
        assert _line(inverter) == f"listening pty {pty}"
        for place in (("--tcp", address), ("--serial", pty)):
            done = _dongle(*place, "--speed", "1000", "--cycles", "2", "--no-clock")
            assert done.returncode == 0, done.stderr
            connected, tally = done.stdout.splitlines()
            assert connected == f"connected dongle {place[1]}"
            assert tally.startswith("requests 33, answered 33, exceptions ")
            assert ", repeats 0, gave up 0, damaged 0, strays 0, longest" in tally


def test_it_connects_anew_and_boots_when_its_line_is_lost() -> None:
    with _running(
        *("growatt", "--rtu-tcp", "0", "--fault", "disconnect,times=1,address=3125")
    ) as inverter:
        address = _line(inverter).removeprefix("listening rtu-tcp ")
        done = _dongle("--tcp", address, "--speed", "1000", "--cycles", "0")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[:3] == [
        f"connected dongle {address}",
        "lost dongle: the line is closed",
        f"connected dongle {address}",
    ]


def test_it_is_stopped_and_still_says_how_it_fared(tmp_path: Path) -> None:
    pty = tmp_path / "dongle"
    with _running("dongle", "--pty", pty) as dongle:
        assert _line(dongle) == f"listening pty {pty}"
        dongle.send_signal(signal.SIGTERM)
        assert re.match(r"requests \d+, answered 0, ", _line(dongle))
        assert dongle.wait(PATIENCE) == 0
    assert not pty.is_symlink()


def test_it_stops_by_itself(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], socket_enabled: None
) -> None:
    pty = tmp_path / "dongle"
    assert main(("dongle", "--pty", str(pty), "--duration", "0.01")) == 0
    assert capsys.readouterr().out.startswith(f"listening pty {pty}\n")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "one of the arguments --serial --pty --tcp is required"),
        (("--tcp", "x"), "argument --tcp: 'x' is not HOST:PORT"),
        (("--tcp", "127.0.0.1:1"), "cannot connect to 127.0.0.1:1: Connection refused"),
        (("--tcp", "1", "--serial", "x"), "argument --serial: not allowed with"),
        (("--serial", "/no/port"), "cannot open /no/port: No such file or directory"),
        (("--serial", "/no/port", "--baud", "7"), "no serial port has 7 baud"),
        (("--tcp", "1", "--cycles", "-1"), "argument --cycles: '-1' is not a number"),
        (
            ("--tcp", "1", "--speed", "0"),
            "argument --speed: '0' is not a number above 0",
        ),
        (("--tcp", "1", "--repeat", "x"), "argument --repeat: 'x' is not a number"),
    ],
)
def test_bad_input_is_one_line(
    arguments: Sequence[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(("dongle", *arguments)) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("error: ")
    assert message in err
    assert err.count("\n") == 1


def test_help_lists_its_options(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(("dongle", "--help"))
    assert caught.value.code == 0
    text = capsys.readouterr().out
    wanted = ("--serial", "--pty", "--tcp", "--baud", "--speed", "--repeat", "--glued")
    assert all(option in text for option in (*wanted, "--cycles", "--duration"))
