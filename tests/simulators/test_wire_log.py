"""Recorded buses: every answer finds its request, whatever the format."""

from datetime import UTC, datetime
import json
from pathlib import Path
from typing import NamedTuple

from hypothesis import given, strategies as st
import pytest

from custom_components.local_solar.gateway.capture_lines import (
    Answered,
    Asked,
    Dropped,
    Event,
)
from simulators.errors import SimulatorError
from simulators.exchanges import Exchange, fits, peer_of
from simulators.wire_log import is_recording, load_recording, parse_recording

from .clients import rtu
from .recordings import RECORDED, START, WIRE_LOG, Log, answer, read, seconds


def exchanges(text: str) -> tuple[Exchange, ...]:
    return parse_recording(text, "file").exchanges


# -- the wire log of the broker -------------------------------------------------------


def test_answers_of_the_wire_log_get_the_addresses_of_their_requests() -> None:
    first, second, _ = exchanges(WIRE_LOG)
    assert (first.address, first.words) == (43, (5100,))
    assert (second.address, second.count) == (209, 15)
    assert second.words is not None
    assert second.words[:5] == (0x5858, 0x5830, 0x5858, 0x5830, 0x3030)


def test_a_unit_that_answers_in_the_place_of_unit_0_is_named() -> None:
    first = exchanges(WIRE_LOG)[0]
    assert (first.unit, first.answered_by, first.device) == (0, 1, 1)


def test_times_without_a_zone_count_as_utc() -> None:
    first = exchanges(WIRE_LOG)[0]
    assert first.at == datetime(2025, 9, 21, 19, 58, 43, 667000, UTC)
    assert first.took == pytest.approx(0.037)


def test_a_timeout_of_the_wire_log_is_a_request_without_an_answer() -> None:
    last = exchanges(WIRE_LOG)[-1]
    assert (last.function, last.address, last.request[3:]) == (6, 188, bytes(2))
    assert not last.is_answered


def test_glued_requests_are_garbage_of_their_client() -> None:
    assert parse_recording(WIRE_LOG, "file").garbage == {"SHINE": 1}


def wire_line(role: str, client: str, frame: bytes, second: float) -> str:
    way = "from_client" if role == "REQ" else "to_client"
    record = {
        "role": role,
        way: client,
        "crc_ok": bool(frame),
        "hex": frame.hex(),
        "addr": 7,
        "count": 9,
        "ts": seconds(second).isoformat(),
    }
    return json.dumps(record) + "\n"


def test_an_answer_belongs_to_the_last_request_of_its_own_client() -> None:
    text = (
        wire_line("REQ", "A", rtu(1, read(3, 1, 1)), 0)
        + wire_line("REQ", "A", rtu(1, read(3, 2, 1)), 1)
        + wire_line("REQ", "B", rtu(1, read(3, 3, 1)), 1.5)
        + wire_line("RSP", "A", rtu(1, answer(3, 22)), 2)
        + wire_line("RSP", "B", rtu(1, answer(3, 33)), 60)
    )
    assert [each.words for each in exchanges(text)] == [None, (22,), (33,)]


@pytest.mark.parametrize(
    "wrong",
    [
        rtu(1, answer(4, 5)),
        rtu(1, answer(3, 5, 6)),
        rtu(1, bytes((3, 4, 0, 5))),
        rtu(1, answer(3, 5))[:-1] + b"\0",
        rtu(1, bytes((0x84, 2))),
        b"",
    ],
)
def test_answers_that_fit_no_request_are_not_believed(wrong: bytes) -> None:
    text = (
        wire_line("REQ", "A", rtu(1, read(3, 1, 1)), 0)
        + wire_line("RSP", "A", wrong, 1)
        + wire_line("RSP", "A", rtu(1, answer(3, 5)), 2)
    )
    (exchange,) = exchanges(text)
    assert not exchange.is_answered


# -- captures of the gateway ----------------------------------------------------------


def test_pipelined_requests_find_their_answers_in_any_order() -> None:
    ask, reply = [read(3, address, 1) for address in (1, 2, 1)], [11, 22, 12]
    lines: list[Event] = [Asked(seconds(n), "c", 1, pdu) for n, pdu in enumerate(ask)]
    lines += [
        Answered(seconds(9), "c", 1, ask[n], answer(3, reply[n])) for n in (1, 0, 2)
    ]
    text = b"".join(line.line() for line in lines).decode()
    assert [each.words for each in exchanges(text)] == [(11,), (22,), (12,)]


@pytest.mark.parametrize("unit", [0, 255])
def test_what_is_asked_of_nobody_is_answered_by_the_only_unit(unit: int) -> None:
    asked = Asked(START, "dongle", unit, read(3, 43, 1))
    replied = Answered(seconds(1), "dongle", 1, read(3, 43, 1), answer(3, 5100))
    (exchange,) = exchanges((asked.line() + replied.line()).decode())
    assert (exchange.unit, exchange.device, exchange.words) == (unit, 1, (5100,))


def test_writes_have_the_words_that_were_written_once_acknowledged() -> None:
    several = bytes.fromhex("10002d0002040007001f")
    log = Log().ask(bytes.fromhex("060003001e"), bytes.fromhex("060003001e"))
    log.ask(several, several[:5]).ask(several, bytes((0x90, 3))).ask(several, None)
    single, both, refused, unheard = exchanges(log.text)
    assert (single.address, single.words) == (3, (30,))
    assert (both.address, both.words) == (45, (7, 31))
    assert (refused.words, refused.exception, refused.is_answered) == (None, 3, True)
    assert (unheard.is_answered, unheard.request) == (False, several)


def test_functions_that_are_not_known_have_no_words() -> None:
    (known, _) = exchanges(
        Log().ask(b"\x2b\x0e\x01\x00", b"\x2b\x0e\x01\x01").ask(b"\x41", None).text
    )
    assert (known.function, known.words, known.count) == (0x2B, (), 0)
    assert known.what == "function 43"


def test_lines_that_could_not_be_written_are_counted() -> None:
    text = Log().see(3, 1, 2).text + Dropped(START, 12).line().decode()
    assert parse_recording(text, "file").dropped == 12


def test_answers_whose_request_is_missing_are_left_out() -> None:
    text = "".join(Log().see(3, 1, 2).text.splitlines(keepends=True)[1:])
    recording = parse_recording(text, "file")
    assert (recording.exchanges, recording.garbage) == ((), {"10.0.0.7:4000": 1})


def test_a_request_at_the_very_end_is_undecided() -> None:
    log = Log().see(3, 1, 2)
    text = log.text + Asked(seconds(60), "c", 1, read(3, 5, 1)).line().decode()
    assert [each.address for each in exchanges(text)] == [1]
    later = text + Asked(seconds(90), "c", 1, read(3, 6, 1)).line().decode()
    assert [each.address for each in exchanges(later)] == [1, 5]


class Said(NamedTuple):
    """A request of a client and what it is answered."""

    client: str
    unit: int
    request: bytes
    answer: bytes | None
    waits: int
    """How many other requests of the bus come before its answer."""


@st.composite
def said(draw: st.DrawFn) -> Said:
    function = draw(st.sampled_from((3, 4, 0x20, 6)))
    count = 1 if function == 6 else draw(st.integers(1, 125))
    words = draw(st.lists(st.integers(0, 0xFFFF), min_size=count, max_size=count))
    address = draw(st.integers(0, 0xFFFF - count))
    request = read(function, address, words[0] if function == 6 else count)
    good = request if function == 6 else answer(function, *words)
    return Said(
        client=draw(st.sampled_from(("dongle", "10.0.0.7:1", "10.0.0.7:2"))),
        unit=draw(st.integers(1, 3)),
        request=request,
        answer=draw(st.sampled_from((good, bytes((function | 0x80, 2)), None))),
        waits=draw(st.integers(0, 4)),
    )


@given(conversation=st.lists(said(), max_size=20), in_order=st.booleans())
def test_what_a_gateway_recorded_is_read_back_as_it_was(
    conversation: list[Said], in_order: bool
) -> None:
    moments: list[tuple[int, int, bytes]] = []
    for number, each in enumerate(conversation):
        asked = Asked(seconds(number), *each[:3])
        waits = 0 if in_order else each.waits
        # Of equal requests, the first is answered first.
        waits = max(
            [
                waits,
                *(
                    before[0] - number
                    for before, other in zip(moments[1::2], conversation, strict=False)
                    if other[:3] == each[:3]
                ),
            ]
        )
        replied = Answered(seconds(number + 0.5), *each[:3], each.answer)
        moments += [(number, 0, asked.line()), (number + waits, 1, replied.line())]
    moments.sort(key=lambda moment: moment[:2])
    found = exchanges(b"".join(line for *_, line in moments).decode())
    assert [
        (each.client, each.unit, each.request, each.exception) for each in found
    ] == [
        (*each[:3], 2 if each.answer and each.answer[0] & 0x80 else None)
        for each in conversation
    ]
    for each, exchange in zip(conversation, found, strict=True):
        assert exchange.is_answered is (each.answer is not None)
        if exchange.words is not None and exchange.function != 6:
            assert answer(exchange.function, *exchange.words) == each.answer


@given(conversation=st.lists(said(), max_size=20))
def test_what_the_broker_recorded_is_paired_one_after_the_other(
    conversation: list[Said],
) -> None:
    text = ""
    for number, each in enumerate(conversation):
        frame = b"" if each.answer is None else rtu(each.unit, each.answer)
        text += wire_line("REQ", each.client, rtu(each.unit, each.request), number)
        text += wire_line("RSP", each.client, frame, number + 0.5)
    for each, exchange in zip(conversation, exchanges(text), strict=True):
        assert exchange.request == each.request
        assert exchange.is_answered is (each.answer is not None)


@given(st.binary(max_size=12), st.binary(max_size=12))
def test_anything_may_be_asked_and_answered(request: bytes, reply: bytes) -> None:
    fits(request, reply)
    text = Log().ask(request, reply).text
    for exchange in exchanges(text):
        assert isinstance(exchange.what, str)


# -- files ----------------------------------------------------------------------------


def test_captures_of_a_simulator_are_exchanges_too() -> None:
    lines = [
        {"ts": 5.5, "op": "read_input", "unit": 2, "addr": 7, "count": 1, "regs": [9]},
        {"op": "read_holding", "addr": 8, "count": 3, "regs": [], "error": 2},
        {"op": "read_holding", "addr": 8, "count": 3, "regs": []},
    ]
    seen, refused, unheard = exchanges("\n".join(map(json.dumps, lines)))
    assert (seen.at, seen.unit, seen.words) == (
        datetime(1970, 1, 1, 0, 0, 5, 500000, UTC),
        2,
        (9,),
    )
    assert (refused.exception, refused.what) == (2, "function 3 at 8-10")
    assert not unheard.is_answered


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("x", "is not JSON"),
        ("[]", "is not an object"),
        ('{"role": "TALK"}', "role 'TALK' is not REQ, RSP or WARN"),
        ('{"role": "REQ", "client": 7}', "client 7 is not a text"),
        ('{"role": "REQ", "client": "c"}', "hex None is not a text"),
        ('{"role": "REQ", "client": "c", "hex": "0g"}', "hex is not hexadecimal"),
        (
            '{"role": "REQ", "client": "c", "hex": "0003002b0001f5d3", "ts": "now"}',
            "ts 'now' is not a time",
        ),
        (
            '{"role": "REQ", "client": "c", "hex": "0003002b0001f5d3", "unit": "one"}',
            "unit 'one' is not a whole number",
        ),
        (
            '{"op": "read_input", "addr": 0, "regs": [' + ",".join(["0"] * 300) + "]}",
            "300 words are more than fit in a message",
        ),
    ],
)
def test_errors_name_file_and_line(line: str, message: str) -> None:
    with pytest.raises(SimulatorError) as caught:
        parse_recording(Log().see(3, 1, 2).text + "\n" + line, "file.jsonl")
    assert str(caught.value) == f"file.jsonl: line 4: {message}"


def test_files_that_are_no_recording_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "dataset.json"
    path.write_text('{"holding": {"1": 2}}')
    assert not is_recording(path.read_text())
    with pytest.raises(SimulatorError, match=r"is no capture: JSON lines with role"):
        load_recording(path)


@pytest.mark.parametrize(
    ("client", "peer"),
    [
        ("TCP:172.30.232.1:41012", "TCP:172.30.232.1"),
        ("192.168.1.7:50312", "192.168.1.7"),
        ("[fe80::1]:502", "[fe80::1]"),
        ("SHINE", "SHINE"),
        ("terminal 1", "terminal 1"),
    ],
)
def test_peers_are_clients_without_their_port(client: str, peer: str) -> None:
    assert peer_of(client) == peer


@pytest.mark.skipif(not RECORDED.is_file(), reason=f"no recording at {RECORDED}")
def test_the_recorded_bus_is_read_as_a_whole() -> None:
    recording = load_recording(RECORDED)
    answered = [each for each in recording.exchanges if each.is_answered]
    assert (len(recording.exchanges), len(answered)) == (283, 269)
    assert recording.garbage == {"SHINE": 8}
    assert {each.device for each in answered} == {1}
    assert all(each.exception is None for each in answered)
