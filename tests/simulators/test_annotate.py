"""What a recorded bus says of an inverter's registers."""

from collections.abc import Iterator
import json
from pathlib import Path
import re
from typing import Any

from hypothesis import given, strategies as st
import pytest

from simulators.__main__ import main
from simulators.annotate_histories import Movement, histories_of, movements_of
from simulators.annotate_report import Report, Unknown, annotate
from simulators.datasets import Dataset, Table
from simulators.exchanges import Exchange
from simulators.text_table import text_table
from simulators.wire_log import Recording, load_recording, parse_recording

from .recordings import RECORDED, WIRE_LOG, Log, answer, read

SERIAL = b"SNL0ABC123"

needs_recording = pytest.mark.skipif(
    not RECORDED.is_file(), reason=f"no recording at {RECORDED}"
)


def words_of(text: bytes) -> list[int]:
    return [int.from_bytes(text[place : place + 2]) for place in range(0, len(text), 2)]


def parsed(log: Log) -> Recording:
    return parse_recording(log.text, "file")


def nameplate(code: int = 5100) -> list[int]:
    """Return holding 0-44 of an inverter."""
    words = [0] * 45
    words[6:8] = 0, 60000
    words[9:12] = words_of(b"AL1.0\0")
    words[23:28] = words_of(SERIAL)
    words[43:45] = code, 0x0201
    return words


def hybrid() -> Log:
    """Return a bus on which a MIN TL-XH is read."""
    log = Log().see(3, 0, *nameplate())
    return log.see(3, 3001, *words_of(SERIAL), *[0] * 100)


# -- which map ------------------------------------------------------------------------


async def test_the_map_is_told_from_the_words_of_the_recording() -> None:
    report = await annotate(parsed(hybrid()))
    assert report.profile == "min_tl_xh"
    assert report.because.startswith("identified as MIN 6000TL-XH")


async def test_the_type_code_alone_tells_the_map() -> None:
    report = await annotate(parsed(Log().see(3, 43, 5100)))
    assert (report.profile, report.because) == (
        "min_tl_xh",
        "device type code 5100 (holding 43)",
    )


async def test_a_profile_may_be_chosen() -> None:
    report = await annotate(parsed(hybrid()), profile="sph")
    assert (report.profile, report.because) == ("sph", "chosen")


async def test_without_a_name_the_recording_is_compared_with_all_maps() -> None:
    report = await annotate(parsed(Log().see(4, 1009, *[0] * 60)))
    assert report.profile in ("sph", "sph_tl3", "spa")
    assert re.search(r"compared with all maps: .* \d\d of 60", report.because)


async def test_vpp_registers_are_known_if_the_recording_shows_its_version() -> None:
    log = hybrid().see(3, 30099, 202).see(3, 30407, 1)
    keys = {
        row.key for row in (await annotate(parsed(log))).known if row.address > 30000
    }
    assert "vpp_version" in keys
    without = await annotate(parsed(hybrid().see(3, 30407, 1)))
    (register,) = [each for each in without.unknown if each.address == 30407]
    assert register.elsewhere
    assert register.elsewhere[0].startswith("vpp.")


# -- what is known --------------------------------------------------------------------


async def test_known_rows_have_a_first_and_a_last_value() -> None:
    log = hybrid().see(4, 3171, 52).see(4, 3171, 51)
    report = await annotate(parsed(log))
    (row,) = [row for row in report.known if row.key == "battery_soc"]
    assert (row.first, row.last, row.unit, row.readers) == (
        52,
        51,
        "%",
        {"10.0.0.7": 2},
    )


async def test_a_row_that_was_read_in_part_has_no_value() -> None:
    report = await annotate(parsed(hybrid().see(4, 3001, 7)))
    (row,) = [
        row for row in report.known if (row.table, row.address) == ("input", 3001)
    ]
    assert (row.is_whole, row.first) == (False, None)


async def test_the_meter_block_is_known() -> None:
    report = await annotate(parsed(hybrid().see(0x20, 14, 0xFFFF, 0xFFF6)))
    (row,) = [row for row in report.known if row.table is Table.METER]
    assert (row.key, row.last) == ("meter_l1_power", -1.0)


# -- serial numbers -------------------------------------------------------------------


async def test_serial_numbers_are_masked_wherever_they_stand() -> None:
    log = hybrid().see(3, 209, *words_of(SERIAL + b"\0" * 20))
    log.see(3, 4000, *words_of(b"ZZZ9876543"))  # of something that no map knows
    report = await annotate(parsed(log))
    octets = {
        address: report.dataset.get(Table.HOLDING, address).to_bytes(2)
        for address in (*range(23, 28), *range(209, 214), *range(4000, 4005))
    }
    assert b"".join(octets.values()) == b"SNL0XXX000" * 2 + b"ZZZ0000000"
    (text,) = [each.text for each in report.unknown if each.text]
    assert text == "ZZZ0000000"
    shown = repr(report)
    for secret in ("ABC123", "9876543"):
        assert secret not in shown
        for word in words_of(secret.encode()[1:]):
            assert word not in [each.first for each in report.unknown]


# -- movements ------------------------------------------------------------------------


def moved(*words: list[int], pause: float = 10.0, start: float = 0.0) -> list[Movement]:
    """Return what is made of registers that were read together again and again."""
    log = Log()
    log.clock = start
    for together in zip(*words, strict=True):
        log.see(4, 100, *together, pause=pause)
    return list(movements_of(histories_of(parsed(log).exchanges)).values())


@pytest.mark.parametrize(
    ("words", "movement"),
    [
        ([5, 5, 5, 5], Movement.CONSTANT),
        ([5, 6, 9, 9, 12], Movement.COUNTER),
        ([5, 6, 6, 6, 6], Movement.CHANGES),
        ([5, 6, 9, 3, 12], Movement.CHANGES),
        ([13, 14, 13, 14, 13, 14], Movement.CHANGES),
        ([600, 500, 400, 300], Movement.CHANGES),
    ],
)
def test_a_register_is_called_by_how_it_moved(
    words: list[int], movement: Movement
) -> None:
    assert moved(words) == [movement]


@pytest.mark.parametrize(
    ("words", "pause"),
    [
        ([7, 17, 27, 37, 47, 57, 7], 10.0),  # seconds of a clock that is 7 s fast
        ([58, 59, 0, 1, 2], 60.0),  # minutes
        ([22, 23, 0, 1, 2, 3], 3600.0),  # hours
        ([1437, 1438, 1439, 0, 1], 60.0),  # minutes of the day
    ],
)
def test_clocks_follow_the_time_of_day(words: list[int], pause: float) -> None:
    assert moved(words, pause=pause) == [Movement.TIME_OF_DAY]


def test_a_word_that_wraps_around_carries_into_the_word_before() -> None:
    low = [65000, 65500, 464, 900, 1500]
    assert moved([2, 2, 3, 3, 3], low) == [Movement.HIGH_WORD, Movement.LOW_WORD]
    assert moved([2, 2, 2, 3, 3], low)[0] is not Movement.HIGH_WORD


def test_signed_pairs_show_when_they_cross_zero() -> None:
    high, low = [0, 0xFFFF, 0xFFFF, 0], [9, 0xFFF0, 0xFFE0, 20]
    assert moved(high, low) == [Movement.HIGH_WORD, Movement.LOW_WORD]


@given(
    values=st.lists(st.integers(0, 2**32 - 1), min_size=2, max_size=12),
    step=st.integers(1, 0x7FFF),
)
def test_a_pair_of_32_bits_is_found_whenever_it_carries(
    values: list[int], step: int
) -> None:
    series = [(values[0] + number * step) % 2**32 for number in range(40)]
    high = [value >> 16 for value in series]
    low = [value & 0xFFFF for value in series]
    found = moved(high, low)
    if len(set(high)) > 1:
        assert found == [Movement.HIGH_WORD, Movement.LOW_WORD]


def test_texts_are_runs_of_letters_that_never_change() -> None:
    text = words_of(b"ARK 2.5H\0\0")
    assert moved(*[[word] * 3 for word in text]) == [
        *[Movement.TEXT] * 4,
        Movement.CONSTANT,
    ]
    assert moved([0x4142] * 3) == [Movement.CONSTANT]  # too short to tell
    assert moved([0x4142, 0x4142, 0x4143], [0x4344] * 3) == [
        Movement.CHANGES,
        Movement.CONSTANT,
    ]


# -- clients --------------------------------------------------------------------------


async def test_clients_are_summed_up_over_their_connections() -> None:
    log = Log()
    for number in range(6):
        log.ask(read(3, 43, 1), answer(3, 5100), client=f"10.0.0.7:{number}", pause=5)
    log.ask(read(3, 43, 1), None, client="dongle", pause=1)
    log.ask(read(3, 43, 1), answer(3, 5100), client="dongle", pause=9, took=0.5)
    log.ask(read(3, 900, 1), b"\x83\x02", client="dongle", took=0.3)
    log.noise(b"\xff", client="dongle")
    first, second = (await annotate(parsed(log))).clients
    assert (first.client, first.connections, first.requests) == ("10.0.0.7", 6, 6)
    assert (first.cycle, first.per_second, first.p50, first.p99) == (5, 0.2, 0.1, 0.1)
    assert (second.client, second.repeats, second.unanswered) == ("dongle", 1, 1)
    assert (second.exceptions, second.garbage, second.cycle) == (1, 1, None)
    assert (second.p50, second.p99) == (0.3, 0.5)


async def test_what_is_never_answered_comes_first() -> None:
    log = hybrid().ask(read(3, 43, 1), None).ask(read(3, 43, 1), None)
    log.see(3, 43, 5100)
    log.ask(read(4, 900, 2), b"\x84\x02", client="dongle")
    first, second = (await annotate(parsed(log))).failures
    assert (first.what, first.exception, first.answered) == (
        "function 4 at 900-901",
        2,
        0,
    )
    assert (second.what, second.exception, second.times) == (
        "function 3 at 43",
        None,
        2,
    )
    assert (second.answered, first.clients) == (1, {"dongle": 1})


async def test_writes_are_listed_but_not_taken_for_what_was_read() -> None:
    write = bytes.fromhex("0600bc0007")
    log = hybrid().ask(write, write).ask(write, None)
    report = await annotate(parsed(log))
    (written,) = report.writes
    assert (written.what, written.last) == ("function 6 at 188", (7,))
    assert (written.times, written.acknowledged) == (2, 1)
    assert 188 not in report.dataset.words[Table.HOLDING]


# -- the command ----------------------------------------------------------------------


def json_report(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> Any:
    assert main(["annotate", *map(str, arguments), "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_the_report_is_printed_as_tables(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log = hybrid().see(4, 3171, 52).see(4, 3400, 1, 0, 0, 0).see(4, 3400, 2, 0, 0, 0)
    assert main(["annotate", str(log.write(tmp_path))]) == 0
    text = capsys.readouterr().out
    assert "register map min_tl_xh: identified as MIN 6000TL-XH" in text
    assert re.search(r"input 3171 +battery_soc +State of charge +52 +52 +%", text)
    assert re.search(r"input 3400 +1 +2 +1 +2 +1 +changes +10\.0\.0\.7 2\n", text)
    assert re.search(r"input 3401-3403 +0 +0 +0 +0 +0 +constant", text)


def test_the_report_can_be_json(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log = hybrid().see(3, 45, 2026, 11, 21, 18, 30, 5).see(4, 3400, 9)
    report = json_report(capsys, log.write(tmp_path))
    assert report["profile"] == "min_tl_xh"
    (unknown,) = [each for each in report["unknown"] if each["address"] == 3400]
    assert unknown["movement"] == "constant"
    clock = [row for row in report["known"] if row["address"] == 45]
    assert clock[0]["last"] == "2026-11-21 18:30:05"


def test_the_dataset_can_be_served(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out.json"
    main(["annotate", str(hybrid().write(tmp_path)), "--dataset", str(out)])
    dataset = Dataset.load(out)
    assert dataset.get(Table.HOLDING, 43) == 5100
    assert "ABC123" not in out.read_text()
    assert dataset.get(Table.HOLDING, 26) == int.from_bytes(b"X0")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["missing.jsonl"], "missing.jsonl: cannot be read"),
        (["{one}", "--profile", "sofar"], "'sofar' is no profile: v3_pv, "),
        (["{capture}", "--unit", "7"], "is of the units 1, 2: not unit 7"),
        (["{one}", "--unit", "7"], "is of unit 1: not unit 7"),
        (["{capture}", "--unit", "x"], "'x' is not from 0 to 255"),
        (["{capture}"], "is of the units 1, 2: say which unit"),
        (["{empty}"], "holds no registers"),
        (
            ["{capture}", "--unit", "1", "--dataset", "{capture}"],
            "is the capture itself",
        ),
        (["{capture}", "--unit", "1", "--dataset", "/"], "cannot be written"),
        ([], "the following arguments are required: CAPTURE"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    message: str,
) -> None:
    two = Log().see(3, 43, 5100).ask(read(3, 43, 1), answer(3, 5200), unit=2)
    none = Log().ask(read(3, 43, 1), None)
    places = {
        "capture": two.write(tmp_path),
        "one": Log().see(3, 43, 5100).write(tmp_path, "one.jsonl"),
        "empty": none.write(tmp_path, "empty.jsonl"),
    }
    assert main(["annotate", *(each.format(**places) for each in arguments)]) == 2
    told = capsys.readouterr()
    assert message in told.err
    assert (told.err.count("\n"), told.out) == (1, "")


def test_a_table_leaves_out_what_is_empty_and_lines_numbers_up() -> None:
    lines: Iterator[str] = text_table(("a", "b", "c"), [("x", None, 5), ("yy", "", 12)])
    assert list(lines) == ["a   c", "x    5", "yy  12"]
    assert list(text_table(("a",), [])) == []


# -- the recorded bus -----------------------------------------------------------------


def found(report: Report, address: int) -> Unknown:
    (register,) = [each for each in report.unknown if each.address == address]
    return register


@needs_recording
async def test_the_recorded_bus_is_explained() -> None:
    report = await annotate(load_recording(RECORDED))
    assert (report.profile, report.registers) == ("min_tl_xh", 760)
    assert (len(report.strangers), len(report.of_others)) == (222, 21)
    moving = [each.address for each in report.strangers if each.changes]
    assert moving == [3020, 3109, 3110, 3188, 3195]
    assert found(report, 3163).movement is Movement.CONSTANT
    stick = report.clients[0]
    assert (stick.client, stick.requests, stick.repeats) == ("SHINE", 220, 3)
    assert stick.cycle == pytest.approx(10.9, abs=0.1)


async def test_the_excerpt_of_the_recorded_bus_is_explained() -> None:
    report = await annotate(parse_recording(WIRE_LOG, "wire log"))
    assert report.because == "device type code 5100 (holding 43)"
    assert [each.what for each in report.writes] == ["function 6 at 188"]


def test_broadcasts_are_not_of_another_unit() -> None:
    log = hybrid().ask(read(3, 43, 1), answer(3, 5100), unit=0)
    exchanges: tuple[Exchange, ...] = parsed(log).exchanges
    assert Dataset.of_exchanges(exchanges, "x").get(Table.HOLDING, 43) == 5100
