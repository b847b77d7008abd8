"""Streams: cut into the same packets however they come, and no byte is lost."""

from collections.abc import Iterable, Sequence
from random import Random
from types import SimpleNamespace
from typing import Any, Final

from hypothesis import example, given, settings, strategies as st
import pytest

from custom_components.local_solar.growatt.datalogger import (
    packets,
    stream as stream_module,
)
from custom_components.local_solar.growatt.datalogger.packets import (
    HEADER,
    MAX_LENGTH,
    Packet,
    Protocol,
    Type,
    encode,
    serial_field,
)
from custom_components.local_solar.growatt.datalogger.stream import (
    MAX_CHECKS,
    MAX_NOISE,
    Noise,
    Stream,
)

from .recordings import WHOLE, Recording, each_of

SERIAL: Final = "XGD0SIM001"

MASKED: Final = [protocol for protocol in Protocol if protocol.is_masked]
PLAIN: Final = [protocol for protocol in Protocol if not protocol.is_masked]

JUNK: Final = b"\xff" * 20
"""Noise in which no packet seems to begin."""

type Items = list[Packet | Noise]


def report(
    protocol: Protocol, transaction: int = 1, kind: int = Type.LIVE, rest: bytes = b"\1"
) -> bytes:
    """Return a packet of a logger."""
    body = serial_field(SERIAL, protocol) + rest
    return encode(transaction, protocol, 1, kind, body)


def damaged(raw: bytes) -> bytes:
    """Return a packet whose checksum is wrong."""
    return raw[:-1] + bytes((raw[-1] ^ 1,))


def fed(stream: Stream, segments: Iterable[bytes]) -> Items:
    """Feed segments and return all that comes of them; no byte may be lost or moved."""
    found: Items = []
    came = b""
    for segment in segments:
        came += segment
        found += stream.feed(segment)
        assert b"".join(item.raw for item in found) + stream.unfinished == came
    return found


def packets_of(items: Iterable[Packet | Noise]) -> list[bytes]:
    """Return the intact packets."""
    return [item.raw for item in items if isinstance(item, Packet) and item.is_intact]


def cut(data: bytes, places: Sequence[int]) -> list[bytes]:
    """Cut data at places."""
    ends = sorted({place % (len(data) + 1) for place in places})
    return [data[a:b] for a, b in zip([0, *ends], [*ends, len(data)], strict=True)]


protocols = st.sampled_from(Protocol)
numbers = st.integers(0, 0xFFFF)
rests = st.binary(max_size=120) | st.sampled_from(
    (b"", bytes(60), b"\0\2" * 30, b"\0\6\0\3\1\4" * 10)
)
reports = st.tuples(numbers, st.sampled_from([*Type]), rests)
places = st.lists(st.integers(0, 5000), max_size=12)
spoilt = st.binary(max_size=40) | st.sampled_from(
    (
        bytes(30),
        b"\0\6" * 15,
        b"\1\1\0\6\x10\0\1\4",
        b"\1\1\0\2\x10\0\1\4",
        b"\1\1\0\2\0\5\1\4\0\0\0",
        b"\1\1\0\0\0\6\1\3\0\0\0\1",
        *(b"\1\1\0" + bytes((number, 1, 80)) + b"\1\4" for number in (0, 2, 5, 6)),
    )
)
"""Noise: among it what looks like the beginning of a packet, and Modbus requests."""


# -- packets ------------------------------------------------------------------------------


@given(protocols, st.lists(reports, max_size=8), places)
def test_any_split_of_packets_gives_these_packets(
    protocol: Protocol, said: list[tuple[int, Type, bytes]], ends: list[int]
) -> None:
    packets = [report(protocol, *each) for each in said]
    stream = Stream()
    found = fed(stream, cut(b"".join(packets), ends))
    assert [item.raw for item in found] == packets == packets_of(found)
    assert not stream.unfinished
    assert not stream.given_up


@each_of(WHOLE)
def test_a_recorded_packet_comes_out_byte_by_byte(it: Recording) -> None:
    found = fed(Stream(), (bytes((octet,)) for octet in it.raw))
    assert found == [it.packet]


@pytest.mark.parametrize("protocol", Protocol)
def test_packets_of_unknown_types_are_packets(protocol: Protocol) -> None:
    packets = [report(protocol, 1), report(protocol, 2, 0x77), report(protocol, 3)]
    for segments in (packets, [b"".join(packets)]):
        assert packets_of(fed(Stream(), segments)) == packets


@pytest.mark.parametrize("protocol", PLAIN)
def test_nothing_begins_with_what_only_looks_like_a_header(protocol: Protocol) -> None:
    request = encode(1, protocol, 1, Type.ANNOUNCE, b"\0\0\0\1")
    assert not packets_of(fed(Stream(), [request, request]))


@pytest.mark.parametrize("protocol", Protocol)
def test_the_longest_packet_is_a_packet_and_a_longer_one_is_noise(
    protocol: Protocol,
) -> None:
    size = MAX_LENGTH - 2 - protocol.serial_bytes
    assert packets_of(Stream().feed(longest := report(protocol, rest=bytes(size)))) == [
        longest
    ]
    stream = Stream()
    header = HEADER.pack(1, protocol, 0xFFFF, 1, Type.LIVE)
    found = fed(stream, [header + JUNK, *[JUNK] * 50, report(protocol)])
    assert packets_of(found) == [report(protocol)]
    assert not stream.unfinished


def test_a_packet_with_a_wrong_checksum_is_one_that_is_not_intact() -> None:
    for protocol in MASKED:
        first, bad, last = (report(protocol, n) for n in (1, 2, 3))
        for data in ([damaged(bad)], [first, damaged(bad), last]):
            for segments in (data, [b"".join(data)]):
                found = fed(Stream(), segments)
                assert [item.raw for item in found] == data
                assert [
                    item.is_intact for item in found if isinstance(item, Packet)
                ] == [raw != damaged(bad) for raw in data]


def test_a_logger_whose_checksums_are_always_wrong_goes_on_being_read() -> None:
    stream, random = Stream(), Random(1)
    packets = [
        damaged(report(Protocol.LONG_SERIALS, n, rest=random.randbytes(500)))
        for n in range(2000)
    ]
    found = fed_fast(stream, packets)
    assert [item.raw for item in found] == packets
    assert not stream.given_up


def fed_fast(stream: Stream, segments: Iterable[bytes]) -> Items:
    """Feed many segments without a look at each."""
    return [item for segment in segments for item in stream.feed(segment)]


# -- noise --------------------------------------------------------------------------------


@settings(max_examples=100)
@given(
    st.sampled_from(MASKED),
    st.lists(st.tuples(spoilt, reports), min_size=1, max_size=6),
    places,
)
def test_garbage_around_packets_with_a_checksum_loses_none(
    protocol: Protocol,
    said: list[tuple[bytes, tuple[int, Type, bytes]]],
    ends: list[int],
) -> None:
    wanted = [report(protocol, *each) for _, each in said]
    data = b"".join(
        noise + packet for (noise, _), packet in zip(said, wanted, strict=True)
    )
    # What seems to begin in the noise may be waited for.
    fill = [report(protocol, rest=bytes(400))] * (MAX_LENGTH // 400 + 2)
    stream = Stream()
    found = fed(stream, [*cut(data, ends), *fill])
    assert packets_of(found)[: len(wanted)] == wanted
    assert not stream.given_up


@settings(max_examples=100)
@given(
    st.sampled_from(PLAIN),
    st.lists(
        st.tuples(st.lists(st.integers(0x11, 0xFF), max_size=40).map(bytes), reports),
        min_size=1,
        max_size=6,
    ),
    places,
)
def test_garbage_that_looks_like_no_packet_loses_none_without_a_checksum(
    protocol: Protocol,
    said: list[tuple[bytes, tuple[int, Type, bytes]]],
    ends: list[int],
) -> None:
    wanted = [
        report(protocol, transaction | 0x0101, kind, rest)
        for _, (transaction, kind, rest) in said
    ]
    data = b"".join(
        noise + packet for (noise, _), packet in zip(said, wanted, strict=True)
    )
    stream = Stream()
    found = fed(stream, [*cut(data, ends), report(protocol), report(protocol)])
    assert packets_of(found) == [*wanted, report(protocol), report(protocol)]


@settings(max_examples=100)
@given(protocols, st.lists(st.one_of(spoilt, reports), max_size=12), places)
@example(Protocol.PLAIN, [b"\0\0\0\2\0\5\1\4\0\0\0"], [])
def test_bytes_out_are_bytes_in(
    protocol: Protocol,
    said: list[bytes | tuple[int, Type, bytes]],
    ends: list[int],
) -> None:
    data = b"".join(
        each if isinstance(each, bytes) else report(protocol, *each) for each in said
    )
    fed(Stream(), cut(data, ends))


@pytest.mark.parametrize("protocol", MASKED)
def test_a_packet_cut_short_costs_nothing_but_itself(protocol: Protocol) -> None:
    first, short, *others = (report(protocol, n, rest=bytes(50)) for n in range(1, 6))
    for left in range(len(short)):
        data = [first, short[:left], *others]
        for segments in (data, [b"".join(data)], [b"".join(data[:3]), *data[3:]]):
            found = fed(Stream(), [*segments, *[report(protocol)] * 3])
            assert packets_of(found)[: 1 + len(others)] == [first, *others], left


@pytest.mark.parametrize("protocol", MASKED)
@pytest.mark.parametrize("false", [Protocol.FIRST, Protocol.PLAIN])
def test_noise_that_looks_like_another_protocol_does_not_count(
    protocol: Protocol, false: Protocol
) -> None:
    noise = HEADER.pack(7, false, 6, 1, 3) + b"\0\0\0\1"
    found = fed(Stream(), [noise, *[report(protocol)] * 2])
    assert packets_of(found)[-2:] == [report(protocol)] * 2


def test_a_short_serial_number_is_found_in_noise_too() -> None:
    body = serial_field("XG1", Protocol.PLAIN) + bytes(20)
    packet = encode(0x101, Protocol.PLAIN, 1, Type.LIVE, body)
    assert packets_of(fed(Stream(), [JUNK, packet])) == [packet]


def test_an_acknowledgement_inside_an_unfinished_packet_is_part_of_it() -> None:
    inside = encode(1, Protocol.PLAIN, 1, Type.LIVE, b"\0")
    packet = report(Protocol.PLAIN, 0x101, rest=inside * 3 + bytes(40))
    found = fed(Stream(), [report(Protocol.PLAIN), JUNK, packet[:60], packet[60:]])
    assert packets_of(found) == [report(Protocol.PLAIN), packet]


def test_a_false_start_does_not_swallow_the_packet_in_it() -> None:
    protocol = Protocol.LONG_SERIALS
    packet = report(protocol)
    noise = HEADER.pack(1, protocol, len(packet) + 1, 1, Type.LIVE)
    found = fed(Stream(), [noise + packet + b"\xff"])
    assert packets_of(found) == [packet]


# -- giving up ----------------------------------------------------------------------------


def test_a_stream_of_noise_is_given_up_and_handed_on() -> None:
    segments = MAX_NOISE // len(JUNK)
    patient, stream = Stream(), Stream()
    fed(patient, [JUNK] * segments)
    assert not patient.given_up
    fed(stream, [JUNK] * (segments + 2))
    assert stream.given_up
    assert not stream.unfinished
    for data in (report(Protocol.LONG_SERIALS), JUNK):
        assert stream.feed(data) == [Noise(data)]
    assert stream.feed(b"") == []


def test_a_sound_packet_begins_the_count_of_noise_anew() -> None:
    stream, packet = Stream(), report(Protocol.LONG_SERIALS)
    for _ in range(4):
        fed(stream, [JUNK] * (MAX_NOISE // len(JUNK) - 1))
        assert packets_of(fed_fast(stream, [packet])) == [packet]
    assert not stream.given_up


FALSE_STARTS: Final = {
    "short": b"\0\6",
    "long": b"\0\6\x0f\xff",
    "longest": b"\0\6\x10\0",
    "in step": HEADER.pack(1, 6, 40, 1, 4) * 5 + b"\xff",
    "zeros": bytes(7) + b"\0\6\x10\0" + bytes(4085),
    "plain": b"\0\2\0\7" + b"\xff" * 3,
}


@pytest.mark.parametrize("size", [1, 7, 1000, 100_000])
@pytest.mark.parametrize("pattern", FALSE_STARTS)
def test_false_starts_cost_little(
    pattern: str, size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At most a checksum for each start that counts, and one look at each byte."""
    parsed, looks = [0], [0]

    def parse(*args: Any) -> Packet:
        parsed[0] += 1
        return packets.parse(*args)

    def unpack_from(data: bytes, at: int) -> tuple[Any, ...]:
        looks[0] += 1
        return HEADER.unpack_from(data, at)

    monkeypatch.setattr(stream_module, "parse", parse)
    monkeypatch.setattr(
        stream_module, "HEADER", SimpleNamespace(unpack_from=unpack_from)
    )
    part = FALSE_STARTS[pattern]
    data = (
        report(Protocol.LONG_SERIALS) if pattern == "in step" else b"\xff"
    ) + part * (40_000 // len(part))
    stream = Stream()
    found = fed_fast(stream, (data[at : at + size] for at in range(0, len(data), size)))
    assert b"".join(item.raw for item in found) + stream.unfinished == data
    whole = sum(isinstance(item, Packet) for item in found)
    assert parsed[0] <= 2 * whole + MAX_CHECKS + 2
    segments = len(data) // size + 1
    assert looks[0] <= len(data) + (MAX_CHECKS + 2) * segments
