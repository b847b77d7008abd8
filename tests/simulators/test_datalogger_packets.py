"""The simulator's packets, held against all that was recorded of real dataloggers."""

import json
from pathlib import Path
from typing import Any, Final

from hypothesis import given, strategies as st
import pytest

from simulators.datalogger.bodies import (
    ZERO_STAMP,
    Body,
    Group,
    Linked,
    MeterLog,
    MeterWords,
    Parameter,
    ParameterDone,
    Record,
    Single,
    SingleDone,
    Span,
    SpanDone,
)
from simulators.datalogger.packets import (
    PROTOCOLS,
    RECORDS,
    Kind,
    Packet,
    PacketError,
    PacketReader,
    crc,
    mask,
    serial_width,
)

RECORDINGS: Final = (
    Path(__file__).parents[3] / "shared" / "captures" / "datalogger" / "records.jsonl"
)


def _recorded() -> list[Any]:
    if not RECORDINGS.is_file():
        missing = pytest.mark.skip("the recordings are not here")
        return [pytest.param({}, marks=missing, id="none")]
    lines = [json.loads(line) for line in RECORDINGS.read_text().splitlines()]
    return [line for line in lines if not line["decoded"].get("truncated")]


recorded = pytest.mark.parametrize("line", _recorded(), ids=lambda line: line.get("id"))


@recorded
def test_recorded_packets_are_read_and_written_byte_for_byte(
    line: dict[str, Any],
) -> None:
    octets, decoded = bytes.fromhex(line["hex"]), line["decoded"]
    packet = Packet.decode(octets)
    assert packet.encode() == octets
    assert packet.protocol == line["protocol"]
    assert packet.kind == int(line["record_type"][:2], 16)
    assert (packet.tid, packet.unit) == (decoded["tid"], decoded["unit"])
    if "datalogger_serial" in decoded:
        assert packet.logger == decoded["datalogger_serial"]
    assert packet.is_ack == ("ack_payload_plain" in decoded)


@recorded
def test_recorded_bodies_are_read_and_written_byte_for_byte(
    line: dict[str, Any],
) -> None:
    packet, decoded = Packet.decode(bytes.fromhex(line["hex"])), line["decoded"]
    body = _body_of(packet, is_request=line["direction"] == "server->logger")
    if body is None:
        return
    assert body.body(packet.protocol) == packet.body
    match body:
        case Record():
            assert body.inverter == decoded["inverter_serial"]
            assert [list(block) for block in body.blocks] == decoded["groups"]
        case Span(words=words) if "values" in decoded:
            assert (body.first, body.last) == (decoded["start"], decoded["end"])
            assert list(words) == decoded["values"]
        case Parameter():
            assert (body.number, body.text) == (decoded["param"], decoded["value"])
        case ParameterDone():
            assert (body.number, body.status) == (decoded["param"], decoded["status"])
        case SingleDone():
            assert body.register == decoded["register"]
            assert (body.status, body.value) == (decoded["status"], decoded["value"])
        case MeterWords() | MeterLog():
            size = 2 * len(body.words) if isinstance(body, MeterWords) else None
            size = size or len(body.octets)  # type: ignore[union-attr]
            assert size == decoded["data_bytes"]


def _body_of(packet: Packet, *, is_request: bool) -> Body | None:
    """Return what a recorded body says, ``None`` of pings and acknowledgements."""
    if packet.is_ack or packet.kind == Kind.PING:
        return None
    if packet.kind in RECORDS:
        return Record.parse(packet)
    match packet.kind, is_request:
        case Kind.READ, _:
            return Span.parse(packet)
        case Kind.WRITE, True:
            return Single.parse(packet)
        case Kind.WRITE, False:
            return SingleDone.parse(packet)
        case Kind.WRITE_RANGE, False:
            return SpanDone.parse(packet)
        case Kind.PARAMETER, True:
            return Span.parse(packet)
        case Kind.PARAMETER, False:
            return Parameter.parse(packet)
        case Kind.SET_PARAMETER, True:
            return Parameter.parse(packet)
        case Kind.SET_PARAMETER, False:
            return ParameterDone.parse(packet)
        case Kind.METER, False:
            return MeterWords.parse(packet)
        case ((Kind.METER_TEXT | Kind.METER_REPORT), False):
            return MeterLog.parse(packet)
    raise AssertionError(packet.name)


@pytest.mark.parametrize(
    ("protocol", "octets"),
    [
        (2, "000100020003010400"),
        (5, "0002000500030103473a9a"),
        (6, "000200060003010347099a"),
    ],
)
def test_acknowledgement_is_what_real_servers_send(protocol: int, octets: str) -> None:
    wire = bytes.fromhex(octets)
    asked = Packet(
        kind=wire[7], body=bytes(99), tid=int.from_bytes(wire[:2]), protocol=protocol
    )
    assert asked.ack().encode() == wire


def test_checksum_is_that_of_modbus() -> None:
    assert crc(b"123456789") == 0x4B37


@given(st.binary(max_size=300))
def test_mask_taken_twice_is_gone(body: bytes) -> None:
    masked = mask(body)
    assert mask(masked) == body
    assert masked == bytes(octet ^ b"Growatt"[at % 7] for at, octet in enumerate(body))


_words = st.integers(0, 0xFFFF)
_serials = st.text("ABCXYZ0189", min_size=1, max_size=10)
_packets = st.builds(
    Packet,
    kind=st.integers(0, 0xFF),
    body=st.binary(max_size=200),
    unit=st.integers(0, 0xFF),
    tid=_words,
    protocol=st.sampled_from(PROTOCOLS),
)


@given(st.lists(_packets, max_size=5), st.integers(1, 50))
def test_any_split_of_a_stream_gives_the_same_packets(
    packets: list[Packet], size: int
) -> None:
    stream = b"".join(packet.encode() for packet in packets)
    reader = PacketReader()
    found = [
        packet
        for start in range(0, len(stream), size)
        for packet in reader.feed(stream[start : start + size])
    ]
    assert found == packets
    assert reader.bad == 0


_bodies = st.one_of(
    st.builds(
        Record,
        _serials,
        _serials,
        st.binary(min_size=6, max_size=6),
        st.lists(
            st.builds(
                Group,
                st.integers(0, 60000),
                st.lists(_words, min_size=1, max_size=9).map(tuple),
            ),
            max_size=4,
        ).map(tuple),
    ),
    st.builds(Span, _serials, _words, _words, st.lists(_words, max_size=9).map(tuple)),
    st.builds(Single, _serials, _words, _words),
    st.builds(SingleDone, _serials, _words, st.integers(0, 0xFF), _words),
    st.builds(SpanDone, _serials, _words, _words, st.integers(0, 0xFF)),
    st.builds(Parameter, _serials, _words, st.text("abc.:#0", max_size=30)),
    st.builds(ParameterDone, _serials, _words, st.integers(0, 0xFF)),
    st.builds(
        MeterWords,
        _serials,
        _serials,
        st.just(ZERO_STAMP),
        st.lists(_words, max_size=9).map(tuple),
    ),
    st.builds(MeterLog, _serials, _words, st.just(ZERO_STAMP), st.binary(max_size=99)),
    st.builds(
        Linked,
        _serials,
        _serials,
        _serials,
        _words,
        st.lists(st.tuples(_words, st.text("ab1", max_size=5)), max_size=3).map(tuple),
    ),
)


@given(_bodies, st.sampled_from((2, 5, 6)))
def test_bodies_come_back_as_they_went(body: Body, protocol: int) -> None:
    packet = Packet(kind=Kind.LIVE, body=body.body(protocol), protocol=protocol)
    assert type(body).parse(packet) == body
    assert packet.logger == body.logger


@given(_bodies, st.sampled_from(PROTOCOLS), st.data())
def test_bodies_that_end_early_are_refused(
    body: Body, protocol: int, data: st.DataObject
) -> None:
    octets = body.body(protocol)
    # Words and parameters may be left out where they stand at the end.
    end = data.draw(st.integers(0, serial_width(protocol) + 1))
    with pytest.raises(PacketError):
        type(body).parse(Packet(kind=Kind.LIVE, body=octets[:end], protocol=protocol))


def test_record_of_protocol_0_has_no_time() -> None:
    record = Record("AH00000001", "OP00000001", ZERO_STAMP, (Group(0, (7, 8)),))
    body = record.body(0)
    assert len(body) == 10 + 10 + 1 + 4 + 4
    assert Record.parse(Packet(kind=Kind.LIVE, body=body, protocol=0)) == record


def test_wrong_checksum_leaves_a_packet_out_and_no_other() -> None:
    good = Packet(kind=Kind.PING, body=b"x" * 30).encode()
    reader = PacketReader()
    assert len(reader.feed(good + good[:-1] + bytes([good[-1] ^ 1]) + good)) == 2
    assert reader.bad == 1


@pytest.mark.parametrize("header", ["0001000700200116", "0001000600010116"])
def test_what_is_no_header_is_refused(header: str) -> None:
    with pytest.raises(PacketError, match="not a header"):
        PacketReader().feed(bytes.fromhex(header) + bytes(40))
