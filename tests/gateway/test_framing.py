"""Requests on a serial line: cut the same way however they come, and no octet is lost."""

from collections.abc import Iterable, Sequence
import json
from random import Random
import sys
from typing import Final

from hypothesis import given, strategies as st
import pytest

from custom_components.local_solar.gateway.framing import (
    MOST_OCTETS,
    Frame,
    Noise,
    RtuRequests,
    rtu_frame,
)
from tests.common import ROOT

RECORDING: Final = (
    ROOT.parent / "shared/captures/growatt/derived_wire_sample_masked.jsonl"
)

MOST_HELD: Final = 2 * MOST_OCTETS

units = st.integers(0, 247)
words = st.integers(0, 0xFFFF)


def short_pdu(function: int, first: int, second: int) -> bytes:
    """Return the request of a function that has two words."""
    return bytes((function,)) + first.to_bytes(2) + second.to_bytes(2)


def write_pdu(address: int, values: Sequence[int]) -> bytes:
    """Return a request to write several registers."""
    head = short_pdu(0x10, address, len(values)) + bytes((2 * len(values),))
    return head + b"".join(value.to_bytes(2) for value in values)


def coils_pdu(address: int, coils: int) -> bytes:
    """Return a request to switch several coils on."""
    octets = (coils + 7) // 8
    return short_pdu(0x0F, address, coils) + bytes((octets,)) + b"\xff" * octets


known_pdus = (
    st.builds(short_pdu, st.sampled_from([1, 2, 3, 4, 5, 6, 0x20]), words, words)
    | st.builds(write_pdu, words, st.lists(words, max_size=123))
    | st.builds(coils_pdu, words, st.integers(0, 1968))
)
frames = st.builds(Frame, units, known_pdus)

READ: Final = Frame(1, short_pdu(4, 3000, 125))
OTHER: Final = Frame(2, short_pdu(3, 0, 45))
UNKNOWN: Final = Frame(1, bytes.fromhex("2b0e0100"))


def wire(*items: Frame) -> bytes:
    """Return requests as they go over the line, glued together."""
    return b"".join(rtu_frame(*item) for item in items)


def octets_of(items: Iterable[Frame | Noise]) -> bytes:
    """Return all octets that something was made of."""
    return b"".join(
        item.octets if isinstance(item, Noise) else rtu_frame(*item) for item in items
    )


def fed(requests: RtuRequests, segments: Iterable[bytes]) -> list[Frame | Noise]:
    """Feed segments, then fall silent; return what comes of them. Nothing is lost."""
    found: list[Frame | Noise] = []
    came = b""
    for segment in segments:
        came += segment
        found += requests.feed(segment)
        assert len(came) - len(octets_of(found)) <= MOST_HELD
    found += requests.give_up()
    assert not requests.is_unfinished
    assert octets_of(found) == came
    return found


def frames_of(items: Iterable[Frame | Noise]) -> list[Frame]:
    """Return the requests among what was found."""
    return [item for item in items if isinstance(item, Frame)]


@st.composite
def segmented(draw: st.DrawFn, stream: bytes) -> list[bytes]:
    """Split octets anywhere."""
    places = sorted(draw(st.sets(st.integers(0, len(stream)), max_size=12)))
    return [
        stream[begin:end]
        for begin, end in zip([0, *places], [*places, len(stream)], strict=True)
    ]


# -- requests ---------------------------------------------------------------------------


def test_a_recorded_request_is_understood() -> None:
    octets = bytes.fromhex("0003002b0001f5d3")
    found = RtuRequests().feed(octets)
    assert found == [Frame(0, short_pdu(3, 43, 1))]
    assert wire(*frames_of(found)) == octets


@given(st.lists(frames, max_size=6), st.data())
def test_requests_are_the_same_however_they_come(
    sent: list[Frame], data: st.DataObject
) -> None:
    requests = RtuRequests()
    found = []
    for segment in data.draw(segmented(wire(*sent))):
        found += requests.feed(segment)
    assert found == sent
    assert not requests.is_unfinished


@given(st.lists(frames | st.binary(max_size=40), max_size=6), st.data())
def test_with_noise_between_them_as_well(
    sent: list[Frame | bytes], data: st.DataObject
) -> None:
    stream = b"".join(
        item if isinstance(item, bytes) else rtu_frame(*item) for item in sent
    )
    at_once = fed(RtuRequests(), [stream])
    assert fed(RtuRequests(), data.draw(segmented(stream))) == at_once
    assert fed(RtuRequests(), [bytes((octet,)) for octet in stream]) == at_once


def test_requests_that_come_glued_are_split() -> None:
    assert RtuRequests().feed(wire(READ, READ, OTHER)) == [READ, READ, OTHER]


def test_growatts_read_of_a_meter_is_a_request() -> None:
    meter = Frame(1, short_pdu(0x20, 0, 100))
    assert RtuRequests().feed(wire(meter, READ)) == [meter, READ]


def test_a_request_within_the_values_of_another_is_none() -> None:
    inner = wire(READ)
    values = [int.from_bytes(inner[at : at + 2]) for at in range(0, len(inner), 2)]
    write = Frame(1, write_pdu(10, values))
    octets = wire(write)
    requests = RtuRequests()
    assert requests.feed(octets[:-2]) == []
    assert requests.feed(octets[-2:]) == [write]


# -- functions that are not known ---------------------------------------------------------


def test_an_unknown_function_ends_with_the_silence() -> None:
    requests = RtuRequests()
    assert requests.feed(wire(UNKNOWN)) == []
    assert requests.is_unfinished
    assert requests.give_up() == [UNKNOWN]
    assert requests.give_up() == []


def test_an_unknown_function_ends_where_a_request_starts() -> None:
    assert RtuRequests().feed(wire(UNKNOWN, READ)) == [UNKNOWN, READ]


def test_a_write_that_contradicts_itself_ends_with_the_silence() -> None:
    pdu = bytearray(write_pdu(10, [1, 2]))
    pdu[5] = 4
    odd = Frame(1, bytes(pdu))
    assert fed(RtuRequests(), [wire(odd)]) == [odd]


@pytest.mark.parametrize(
    "octets", [b"\xff\xff", b"\xff\xff\0\0", b"\1\x83\2\xc0\xf1", b"\0" * 300, b"\1"]
)
def test_what_cannot_be_a_request_is_none_although_the_checksum_fits(
    octets: bytes,
) -> None:
    assert frames_of(fed(RtuRequests(), [octets])) == []


# -- noise --------------------------------------------------------------------------------


@given(frames, st.data())
def test_a_wrong_checksum_makes_noise(frame: Frame, data: st.DataObject) -> None:
    octets = bytearray(wire(frame))
    at = data.draw(st.integers(0, len(octets) - 1))
    octets[at] ^= data.draw(st.integers(1, 255))
    assert frame not in fed(RtuRequests(), [bytes(octets)])


@given(frames, st.data())
def test_half_a_request_is_forgotten_in_the_silence(
    frame: Frame, data: st.DataObject
) -> None:
    octets = wire(frame)
    requests = RtuRequests()
    fed(requests, [octets[: data.draw(st.integers(0, len(octets) - 1))]])
    assert requests.feed(wire(READ)) == [READ]


def test_the_next_request_is_found_behind_half_of_one() -> None:
    half = wire(READ)[:3]
    assert RtuRequests().feed(half + wire(OTHER)) == [Noise(half), OTHER]


def test_a_request_behind_half_of_a_long_one_is_found_in_the_silence() -> None:
    half = wire(Frame(1, write_pdu(10, [0xFFFF] * 100)))[:20]
    requests = RtuRequests()
    assert requests.feed(half + wire(OTHER)) == []
    assert requests.give_up() == [Noise(half), OTHER]


@given(st.binary(max_size=3000), st.data())
def test_nothing_that_comes_does_any_harm(noise: bytes, data: st.DataObject) -> None:
    requests = RtuRequests()
    fed(requests, data.draw(segmented(noise)))
    assert requests.feed(wire(READ)) == [READ]


FLOODS: Final = {
    "zeros": b"\0",
    "ones": b"\xff",
    "starts": b"\3",
    "writes": b"\x10",
    "heads of long writes": bytes.fromhex("0110000000 7bf6"),
    "text": b"GET / HTTP/1.1\r\n\r\n",
    "random": Random(8).randbytes(4096),
}


@pytest.mark.parametrize("flood", FLOODS.values(), ids=FLOODS.keys())
def test_floods_are_not_held_and_end_with_the_next_request(flood: bytes) -> None:
    requests = RtuRequests()
    stream = (flood * 20_000)[:20_000]
    found = fed(requests, [stream[at : at + 100] for at in range(0, len(stream), 100)])
    assert frames_of(found) == []
    assert all(len(octets_of([item])) <= MOST_OCTETS for item in found)
    assert requests.feed(wire(READ)) == [READ]


def _steps(requests: RtuRequests, stream: bytes) -> int:
    """Return how many calls of functions it takes to cut a stream."""
    steps = 0

    def count(*_: object) -> None:
        nonlocal steps
        steps += 1

    sys.setprofile(count)
    try:
        for at in range(0, len(stream), 512):
            requests.feed(stream[at : at + 512])
    finally:
        sys.setprofile(None)
    return steps


@pytest.mark.parametrize("flood", FLOODS.values(), ids=FLOODS.keys())
def test_the_work_grows_no_faster_than_what_comes(flood: bytes) -> None:
    stream = (flood * 40_000)[:40_000]
    some, more = (_steps(RtuRequests(), stream[:length]) for length in (10_000, 40_000))
    assert more < 4.4 * some + 100


# -- recorded -----------------------------------------------------------------------------


@pytest.mark.skipif(not RECORDING.exists(), reason="recordings are not at hand")
@pytest.mark.parametrize("octets_at_once", [1, 7, 16, 10_000])
def test_all_recorded_requests_are_found(octets_at_once: int) -> None:
    events = [json.loads(line) for line in RECORDING.read_text().splitlines()]
    sent = [
        bytes.fromhex(event["hex"])
        for event in events
        if event["role"] == "REQ" and event["crc_ok"]
    ]
    assert len(sent) > 200
    stream = b"".join(sent)
    requests = RtuRequests()
    found = [
        item
        for at in range(0, len(stream), octets_at_once)
        for item in requests.feed(stream[at : at + octets_at_once])
    ]
    assert [wire(item) for item in frames_of(found)] == sent
