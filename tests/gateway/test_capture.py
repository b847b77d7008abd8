"""A capture: what its lines say, how large it grows, what it does when it cannot write."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
import json
import os
from pathlib import Path
import stat
from tempfile import TemporaryDirectory
import threading
from typing import Any

from hypothesis import given, settings, strategies as st
from modbus_connection import ModbusTimeoutError
import pytest

from custom_components.local_solar.gateway.capture import Capture
from custom_components.local_solar.gateway.capture_files import RotatedFiles
from custom_components.local_solar.gateway.clients import Client, ClientKind
from custom_components.local_solar.gateway.gateway import Gateway
from custom_components.local_solar.gateway.pdu import READ_INPUT
from simulators.annotate_report import annotate
from simulators.datasets import Dataset, Table
from simulators.wire_log import load_recording

from .helpers import DONGLE, PROMPT, Asked, HeldUnit, make_client, read_pdu, settled

TIME = datetime(2026, 11, 21, 18, 30, 1, 123456, tzinfo=UTC)
TS = "2026-11-21T18:30:01.123+00:00"

CLIENT = Client("192.168.1.7:50312", ClientKind.TCP, "192.168.1.7")
READ = bytes.fromhex("040bb80002")


def capture(path: Path, **options: Any) -> Capture:
    return Capture(path, now=lambda: TIME, **options)


def lines(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


async def recorded(folder: Path, record: Callable[[Capture], None]) -> dict[str, Any]:
    """Return the only line that a capture writes."""
    taken = capture(folder / "capture.jsonl")
    await taken.async_start()
    record(taken)
    await taken.async_stop()
    (line,) = lines(taken.path)
    return line


# -- lines ----------------------------------------------------------------------------


async def test_a_request_says_who_asks_for_what(tmp_path: Path) -> None:
    line = await recorded(tmp_path, lambda taken: taken.request(CLIENT, 1, READ))
    assert line == {
        "ts": TS,
        "role": "REQ",
        "client": "192.168.1.7:50312",
        "unit": 1,
        "func": 4,
        "addr": 3000,
        "count": 2,
        "crc_ok": True,
        "hex": "01040bb80002f3ca",
    }


@pytest.mark.parametrize(
    ("request_pdu", "regs"),
    [("0600bc0007", [7]), ("10002d0002040007001f", [7, 31])],
)
async def test_a_write_shows_its_words_when_asked_and_when_answered(
    tmp_path: Path, request_pdu: str, regs: list[int]
) -> None:
    pdu = bytes.fromhex(request_pdu)
    taken = capture(tmp_path / "capture.jsonl")
    await taken.async_start()
    taken.request(CLIENT, 1, pdu)
    taken.answer(CLIENT, 1, pdu, pdu[:5])
    taken.answer(CLIENT, 1, pdu, bytes((pdu[0] | 0x80, 2)))
    await taken.async_stop()
    asked, answered, refused = lines(taken.path)
    assert (asked["regs"], answered["regs"]) == (regs, regs)
    assert refused["exception"] == 2
    assert "regs" not in refused


@pytest.mark.parametrize("function", [3, 4, 0x20])
async def test_an_answer_says_what_it_is_the_answer_to(
    tmp_path: Path, function: int
) -> None:
    request = bytes((function,)) + READ[1:]
    answer = bytes((function, 4, 0, 1, 0xFF, 0xFE))
    line = await recorded(
        tmp_path, lambda taken: taken.answer(CLIENT, 1, request, answer)
    )
    assert line["role"] == "RSP"
    assert (line["addr"], line["count"], line["regs"]) == (3000, 2, [1, 0xFFFE])


async def test_a_request_without_an_answer_is_a_warning(tmp_path: Path) -> None:
    line = await recorded(tmp_path, lambda taken: taken.answer(CLIENT, 7, READ, None))
    assert line == {
        "ts": TS,
        "role": "WARN",
        "client": "192.168.1.7:50312",
        "unit": 7,
        "func": 4,
        "addr": 3000,
        "count": 2,
        "event": "no_answer",
    }


@pytest.mark.parametrize("pdu", [b"", b"\x04", b"\x2b\x0e\x01\x00", b"\x20\x00"])
async def test_requests_that_make_no_sense_are_recorded_as_they_are(
    tmp_path: Path, pdu: bytes
) -> None:
    line = await recorded(tmp_path, lambda taken: taken.request(CLIENT, 1, pdu))
    assert "addr" not in line
    assert bytes.fromhex(line["hex"])[1:-2] == pdu


async def test_garbage_is_a_warning_of_bounded_length(tmp_path: Path) -> None:
    line = await recorded(tmp_path, lambda taken: taken.garbage(CLIENT, b"\xff" * 9000))
    assert (line["role"], line["crc_ok"], line["octets"]) == ("WARN", False, 9000)
    assert line["hex"] == "ff" * 512


@given(
    pdu=st.binary(max_size=260),
    answer=st.none() | st.binary(max_size=260),
    unit=st.integers(0, 255),
)
def test_whatever_goes_through_makes_lines_that_can_be_read(
    pdu: bytes, answer: bytes | None, unit: int
) -> None:
    async def write(path: Path) -> None:
        taken = capture(path)
        await taken.async_start()
        taken.request(CLIENT, unit, pdu)
        taken.answer(CLIENT, unit, pdu, answer)
        taken.garbage(CLIENT, pdu)
        await taken.async_stop()
        assert taken.error is None
        assert taken.lines == len(lines(path)) == 3

    with TemporaryDirectory() as folder:
        asyncio.run(write(Path(folder) / "capture.jsonl"))


# -- files ----------------------------------------------------------------------------


def size_of(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.iterdir())


@settings(max_examples=60)
@given(
    batches=st.lists(
        st.lists(st.integers(1, 120).map(lambda size: b"x" * (size - 1) + b"\n")),
        max_size=30,
    ),
    most=st.integers(60, 700),
    each=st.integers(20, 300),
    restarts=st.sets(st.integers(0, 30)),
)
def test_files_never_outgrow_their_bound_and_no_line_is_cut(
    batches: list[list[bytes]], most: int, each: int, restarts: set[int]
) -> None:
    with TemporaryDirectory() as name:
        folder = Path(name)
        files = RotatedFiles(folder / "c", most_bytes=most, file_bytes=each)
        files.open()
        fit: list[bytes] = []
        for number, batch in enumerate(batches):
            if number in restarts:
                files.close()
                files.open()
            of_batch = [line for line in batch if len(line) <= min(each, most // 2)]
            assert files.append(batch) == len(of_batch)
            assert size_of(folder) <= most
            fit += of_batch
        files.close()
        oldest_first = sorted(
            folder.iterdir(), key=lambda path: int(path.suffix[1:] or 0), reverse=True
        )
        kept = b"".join(path.read_bytes() for path in oldest_first)
        whole = b"".join(fit)
        assert whole.endswith(kept)
        assert not kept or whole[: -len(kept)].endswith(b"\n") or whole == kept


async def test_full_files_are_kept_until_the_bound_is_reached(tmp_path: Path) -> None:
    taken = capture(tmp_path / "c", most_bytes=3000, file_bytes=1000)
    await taken.async_start()
    for _ in range(30):
        taken.request(CLIENT, 1, READ)
    await taken.async_stop()
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == ["c", "c.1", "c.2"]
    assert taken.lines == 30


async def test_an_earlier_capture_is_moved_on_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / "c").write_text("of before\n")
    (tmp_path / "c.3").write_text("of long before\n")
    taken = capture(tmp_path / "c")
    await taken.async_start()
    await taken.async_stop()
    assert (tmp_path / "c").read_text() == ""
    assert (tmp_path / "c.1").read_text() == "of before\n"
    assert (tmp_path / "c.3").read_text() == "of long before\n"


async def test_only_the_owner_may_read_a_capture(tmp_path: Path) -> None:
    taken = capture(tmp_path / "c")
    await taken.async_start()
    await taken.async_stop()
    assert stat.S_IMODE(taken.path.stat().st_mode) == 0o600


async def test_a_link_in_the_place_of_the_file_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "c").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OSError, match="no regular file"):
        await capture(tmp_path / "c").async_start()
    assert not (tmp_path / "elsewhere").exists()


async def test_a_folder_that_is_not_there_keeps_it_from_starting(
    tmp_path: Path,
) -> None:
    taken = capture(tmp_path / "missing" / "c")
    with pytest.raises(FileNotFoundError):
        await taken.async_start()
    taken.request(CLIENT, 1, READ)
    await taken.async_stop()
    assert (taken.started, taken.lines, taken.dropped) == (None, 0, 0)


# -- the event loop -------------------------------------------------------------------


class Gate:
    """Runs what may block in a thread, but only when it is let."""

    def __init__(self) -> None:
        self.open = asyncio.Event()
        self.open.set()
        self.threads: set[int] = set()
        self.held = asyncio.Event()

    async def run(self, action: Callable[[], None]) -> None:
        def noted() -> None:
            self.threads.add(threading.get_ident())
            action()

        if not self.open.is_set():
            self.held.set()
        await self.open.wait()
        await asyncio.to_thread(noted)


async def test_nothing_is_written_in_the_event_loop(tmp_path: Path) -> None:
    gate = Gate()
    taken = capture(tmp_path / "c", run=gate.run)
    await taken.async_start()
    taken.request(CLIENT, 1, READ)
    await taken.async_stop()
    assert gate.threads
    assert threading.get_ident() not in gate.threads


async def test_lines_are_in_the_file_within_a_second(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = asyncio.Event()
    append = RotatedFiles.append
    loop = asyncio.get_running_loop()

    def told(files: RotatedFiles, batch: Any) -> int:
        count = append(files, batch)
        loop.call_soon_threadsafe(written.set)
        return count

    monkeypatch.setattr(RotatedFiles, "append", told)
    taken = capture(tmp_path / "c")
    await taken.async_start()
    taken.request(CLIENT, 1, READ)
    async with asyncio.timeout(3):
        await written.wait()
    assert len(lines(taken.path)) == 1
    assert taken.started == TIME
    await taken.async_stop()


async def test_what_does_not_fit_into_memory_is_counted_and_told(
    tmp_path: Path,
) -> None:
    gate = Gate()
    taken = capture(tmp_path / "c", run=gate.run, most_waiting=10)
    await taken.async_start()
    gate.open.clear()
    for _ in range(25):
        taken.request(CLIENT, 1, READ)
    assert taken.dropped == 15
    await gate.held.wait()
    for _ in range(12):
        taken.request(CLIENT, 1, READ)
    gate.open.set()
    await taken.async_stop()
    told = [line["lines"] for line in lines(taken.path) if "event" in line]
    assert told == [15, 2]
    assert (taken.lines, taken.dropped) == (22, 17)


async def test_a_full_disk_ends_the_capture_and_nothing_else(tmp_path: Path) -> None:
    taken = capture(Path("/dev/full"))
    with pytest.raises(OSError, match="no regular file"):
        await taken.async_start()

    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    taken = capture(tmp_path / "c")
    await taken.async_start()
    taken.request(CLIENT, 1, READ)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(RotatedFiles, "append", full)
        await taken.async_stop()
    assert taken.error == os.strerror(28)
    taken.request(CLIENT, 1, READ)
    taken.answer(CLIENT, 1, READ, None)
    taken.garbage(CLIENT, b"x")
    await taken.async_stop()
    assert taken.lines == 0


def test_an_error_in_the_middle_of_a_line_leaves_whole_lines(tmp_path: Path) -> None:
    class NearlyFull:
        """A file that takes 5 bytes more."""

        def __init__(self, path: Path) -> None:
            self.file = path.open("ab", buffering=0)
            self.room = 5

        def write(self, octets: memoryview) -> int:
            if not self.room:
                raise OSError(28, "No space left on device")
            size = self.file.write(octets[: self.room])
            self.room -= size
            return size

        def truncate(self, size: int) -> int:
            return self.file.truncate(size)

        def close(self) -> None:
            self.file.close()

    files = RotatedFiles(tmp_path / "c", most_bytes=1000, file_bytes=500)
    files.open()
    files.append([b"whole\n"])
    files.close()
    files._file = NearlyFull(files.path)  # type: ignore[assignment] # noqa: SLF001
    with pytest.raises(OSError, match="No space left"):
        files.append([b"another\n"])
    files.close()
    assert files.path.read_bytes() == b"whole\n"


async def test_an_executor_that_is_gone_ends_the_capture(tmp_path: Path) -> None:
    gone = False

    async def run(action: Callable[[], None]) -> None:
        if gone:
            raise RuntimeError("cannot schedule new futures after shutdown")
        action()

    taken = capture(tmp_path / "c", run=run)
    await taken.async_start()
    taken.request(CLIENT, 1, READ)
    gone = True
    await taken.async_stop()
    assert taken.error == "cannot schedule new futures after shutdown"


async def test_a_capture_can_be_stopped_twice_and_begun_again(tmp_path: Path) -> None:
    taken = capture(tmp_path / "c")
    for _ in range(2):
        await taken.async_start()
        taken.request(CLIENT, 1, READ)
        await taken.async_stop()
        await taken.async_stop()
    assert taken.lines == 2
    assert len(lines(tmp_path / "c.1")) == 1


# -- in a gateway ---------------------------------------------------------------------


async def test_what_a_gateway_recorded_can_be_served_and_explained(
    tmp_path: Path,
) -> None:
    unit = HeldUnit()
    gateway = Gateway({1: unit}, pace=PROMPT)
    taken = Capture(tmp_path / "c")
    await taken.async_start()
    gateway.recorder = taken
    await gateway.start()
    asked = Asked(gateway)
    stick, other = make_client("dongle", DONGLE), make_client()
    gateway.join(stick)
    gateway.join(other)
    await settled(
        [
            asked.ask(stick, read_pdu(43), unit=0),
            asked.ask(stick, read_pdu(3000, 125, READ_INPUT)),
            asked.ask(other, read_pdu(3000, 125, READ_INPUT)),
            asked.ask(other, read_pdu(10, 2), unit=255),
            asked.ask(other, bytes.fromhex("0600030050")),
            asked.ask(other, b"\x2b\x0e\x01\x00"),
        ]
    )
    unit.error = ModbusTimeoutError("nobody there")
    await settled([asked.ask(stick, read_pdu(500))])
    await gateway.stop()
    await taken.async_stop()

    recording = load_recording(taken.path)
    assert not recording.garbage
    assert [each.words is not None for each in recording.exchanges] == [
        *[True] * 4,
        *[False] * 3,
    ]
    assert [each.exception for each in recording.exchanges[4:]] == [1, 1, None]
    assert {each.device for each in recording.exchanges} == {1}
    words = Dataset.load(taken.path).words
    assert words[Table.HOLDING] == {43: 43, 10: 10, 11: 11}
    assert words[Table.INPUT] == {place: place for place in range(3000, 3125)}
    report = await annotate(recording)
    assert [client.client for client in report.clients] == ["10.0.0.1", "dongle"]
