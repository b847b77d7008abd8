"""Reading a Hoymiles DTU, next to hoymiles-wifi: decoding, memory, pages, garbled frames.

Both clients run in one process, in the environment that has the other one, and take
turns. "Theirs" is what it does with each reply: it builds its checksum function anew,
checks the frame and parses the message; ours goes on to plain records.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
import json
import os
from pathlib import Path
from statistics import median
import subprocess
import sys
from typing import Any, Final

from custom_components.local_solar.hoymiles import messages
from custom_components.local_solar.hoymiles.frame import Frame, encode
from tests.hoymiles.test_fuzz import GROWTH, campaign

from .report import Metric, run

ROOT: Final = Path(__file__).parents[1]

ONE_INVERTER: Final = 0.2
"""Share of their time in which a reply with one inverter and 2 inputs is decoded."""
TWENTY_INVERTERS: Final = 0.6
"""The same with 20 inverters and 40 inputs, where their checksum function matters less."""

ONE_INVERTER_BYTES: Final = 155
TWENTY_INVERTERS_BYTES: Final = 2342

PAGES: Final = 3
INVENTORY: Final = "stick-3"
"""What the simulator is: a DTU that gives its values on three pages."""
PAGES_SECONDS: Final = 1.0

MUTATED: Final = 100_000
MUTATED_QUICK: Final = 15_000

SERIAL: Final = 0x141293100001
INVERTER: Final = {
    "format_version": 1,
    "voltage": 2314,
    "frequency": 4998,
    "active_power": 3127,
    "reactive_power": 12,
    "current": 135,
    "power_factor": 999,
    "temperature": 284,
    "warning_count": 3,
    "profile_crc": 28864,
    "link": 1,
    "power_limit": 1000,
    "link_quality": 10_289_183,
}
PANELS: Final = (
    {
        "port": 1,
        "voltage": 371,
        "current": 428,
        "power": 1588,
        "energy_total": 294_912,
        "energy_today": 1203,
        "status_code": 50_921_472,
    },
    {
        "port": 2,
        "voltage": 369,
        "current": 431,
        "power": 1590,
        "energy_total": 294_101,
        "energy_today": 1199,
        "status_code": 50_331_648,
    },
)
"""Values of a recorded reply."""


def measure(quick: bool) -> Iterator[Metric]:
    """Measure all."""
    python = _peer()
    yield from _decoding(python, 4_000 if quick else 20_000)
    yield from _importing(python, 5 if quick else 15)
    yield from _pages(python, 1 if quick else 5)
    yield from _mutated(MUTATED_QUICK if quick else MUTATED)


def _peer() -> Path:
    """Return the Python of the environment with the other client; make it if need be."""
    folder = Path(os.environ.get("LOCAL_SOLAR_ENV", ROOT / ".env"))
    python = folder / "peer" / "bin" / "python"
    if not python.exists():
        subprocess.run([ROOT / "scripts" / "setup", "peer"], check=True, stdout=2)
    return python


def _ask(python: Path, *arguments: str, job: object = None) -> Any:
    """Measure in the other environment."""
    done = subprocess.run(
        [python, "-m", "benchmarks.hoymiles_peer", *arguments],
        cwd=ROOT,
        input=json.dumps(job),
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return json.loads(done.stdout)


def _decoding(python: Path, rounds: int) -> Iterator[Metric]:
    frames = [_reply(1), _reply(20)]
    sizes = [len(frame) for frame in frames]
    assert sizes == [ONE_INVERTER_BYTES, TWENTY_INVERTERS_BYTES], sizes
    job = {"frames": [frame.hex() for frame in frames], "rounds": rounds}
    results = _ask(python, "decode", job=job)
    for what, share, result in zip(
        ("1 inverter, 2 inputs", "20 inverters, 40 inputs"),
        (ONE_INVERTER, TWENTY_INVERTERS),
        results,
        strict=True,
    ):
        ours, theirs = result["ours"], result["theirs"]
        yield Metric(
            metric=f"decode {what}",
            value=ours,
            unit="us",
            reference=theirs,
            goal=share * theirs,
        )
        yield Metric(metric=f"decode {what}: share", value=ours / theirs, unit="x")


def _reply(inverters: int) -> bytes:
    """Return a reply with the values of so many inverters with two inputs each."""
    serials = range(SERIAL, SERIAL + inverters)
    fields: Mapping[str, Any] = {
        "dtu_serial": b"414393100001",
        "time": 1_760_000_000,
        "page_count": 1,
        "format_version": 1,
        "single_phase": [{"serial": serial, **INVERTER} for serial in serials],
        "panels": [
            {"serial": serial, **panel} for serial in serials for panel in PANELS
        ],
        "dtu_power": 3127 * inverters,
        "dtu_energy_today": 2402 * inverters,
    }
    return encode(Frame(0xA211, 2, messages.encode("RealDataReply", fields)))


def _importing(python: Path, processes: int) -> Iterator[Metric]:
    ours: list[Mapping[str, float]] = []
    theirs: list[Mapping[str, float]] = []
    for number in range(processes + 1):
        mine, other = (_ask(python, "import", whose) for whose in ("ours", "theirs"))
        # The first ones may have to compile.
        if number:
            ours.append(mine)
            theirs.append(other)
    for what, name, unit in (
        ("memory of importing it", "resident", "kB"),
        ("peak of importing it", "peak", "kB"),
        ("modules of importing it", "modules", ""),
    ):
        least = median(result[name] for result in theirs)
        yield Metric(
            metric=what,
            value=median(result[name] for result in ours),
            unit=unit,
            reference=least,
            goal=least if name != "modules" else None,
        )


def _pages(python: Path, rounds: int) -> Iterator[Metric]:
    with _simulator() as (host, port):
        job = {"host": host, "port": port, "rounds": rounds}
        result = _ask(python, "pages", job=job)
    assert result["pages"] == PAGES
    yield Metric(
        metric=f"read {PAGES} pages over TCP",
        value=result["ours"],
        unit="s",
        reference=result["theirs"],
        goal=PAGES_SECONDS,
    )
    yield Metric(
        metric="inputs that are missing then",
        value=result["their inputs"] - result["our inputs"],
        unit="",
        reference=0,
        goal=0,
    )


@contextmanager
def _simulator() -> Iterator[tuple[str, int]]:
    """Run a simulated DTU in a process of its own."""
    with subprocess.Popen(
        [
            *(sys.executable, "-m", "simulators", "hoymiles", "--port", "0"),
            *("--inventory", INVENTORY, "--start", "2026-06-21T12:00"),
        ],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            assert process.stdout is not None
            _, _, address = process.stdout.readline().split()
            host, _, port = address.rpartition(":")
            yield host, int(port)
        finally:
            process.terminate()


def _mutated(count: int) -> Iterator[Metric]:
    outcome = campaign(count)
    yield Metric(
        metric=f"{count:,} garbled frames, all records tried",
        value=outcome.seconds,
        unit="s",
    )
    yield Metric(
        metric="exceptions that are no FrameError",
        value=len(outcome.unexpected),
        unit="",
        reference=0,
        goal=0,
    )
    yield Metric(
        metric="memory that is held after them",
        value=outcome.growth / 1024,
        unit="kB",
        reference=0,
        goal=GROWTH / 1024,
    )


if __name__ == "__main__":
    run(measure, __doc__ or "")
