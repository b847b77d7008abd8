"""Packets: as real loggers send them, and as an independent codec reads them."""

from hypothesis import given, strategies as st
import pytest

from custom_components.local_solar.growatt.datalogger.packets import (
    PROTOCOLS,
    Packet,
    Protocol,
    Type,
    encode,
    masked,
    packet_bytes,
    serial_field,
)
from custom_components.local_solar.growatt.datalogger.records import acknowledgement
from simulators.datalogger import packets as peer

from .recordings import COMMANDS, RECORDINGS, WHOLE, Recording, each_of, packet_of

numbers = st.integers(0, 0xFFFF)
octets = st.integers(0, 0xFF)
protocols = st.sampled_from(Protocol)


@each_of(WHOLE)
def test_a_recorded_packet_is_read_and_written_byte_for_byte(it: Recording) -> None:
    packet = it.packet
    assert packet.is_intact
    assert packet.raw == it.raw
    assert packet.type == it.kind
    assert (packet.transaction, packet.unit) == (it.decoded["tid"], it.decoded["unit"])
    assert encode(*packet[:5]) == it.raw


@each_of(RECORDINGS)
def test_a_header_tells_how_long_a_packet_is(it: Recording) -> None:
    length = int.from_bytes(it.raw[4:6])
    told = packet_bytes(PROTOCOLS[it.raw[3]], length)
    assert length == it.decoded["length_field"]
    assert told == it.decoded.get("total_bytes", it.decoded.get("total_bytes_expected"))
    assert (told == len(it.raw)) is it.is_whole


@each_of([each for each in WHOLE if each.raw[3] in peer.MASKED])
def test_a_flipped_bit_shows(it: Recording) -> None:
    for place in range(6, len(it.raw)):
        damaged = bytearray(it.raw)
        damaged[place] ^= 1 << place % 8
        assert not packet_of(bytes(damaged)).is_intact


@given(numbers, protocols, octets, octets, st.binary(max_size=300))
def test_an_independent_codec_writes_and_reads_the_same(
    transaction: int, protocol: Protocol, unit: int, kind: int, body: bytes
) -> None:
    raw = encode(transaction, protocol, unit, kind, body)
    assert packet_of(raw) == Packet(transaction, protocol, unit, kind, body, raw)
    theirs = peer.Packet(
        kind=kind, body=body, unit=unit, tid=transaction, protocol=protocol
    )
    assert theirs.encode() == raw
    assert peer.Packet.decode(raw) == theirs


def test_protocols_differ_as_the_independent_codec_says() -> None:
    for protocol in Protocol:
        assert protocol.is_masked is (protocol in peer.MASKED)
        assert protocol.serial_bytes == peer.serial_width(protocol)
        assert protocol.has_time is (protocol != 0)
    assert tuple(PROTOCOLS) == peer.PROTOCOLS
    assert {kind.value for kind in Type} == {kind.value for kind in peer.Kind}


@given(st.binary(max_size=5000))
def test_a_mask_taken_twice_is_gone_and_begins_anew_with_each_body(body: bytes) -> None:
    assert masked(masked(body)) == body
    assert masked(body) == bytes(
        octet ^ b"Growatt"[at % 7] for at, octet in enumerate(body)
    )


@pytest.mark.parametrize(
    ("protocol", "raw"),
    [
        (Protocol.PLAIN, "000100020003010400"),
        (Protocol.MASKED, "0002000500030103473a9a"),
        (Protocol.LONG_SERIALS, "000200060003010347099a"),
    ],
)
def test_an_acknowledgement_is_what_growatts_server_sends(
    protocol: Protocol, raw: str
) -> None:
    wire = bytes.fromhex(raw)
    report = packet_of(
        encode(int.from_bytes(wire[:2]), protocol, wire[6], wire[7], bytes(99))
    )
    assert acknowledgement(report) == wire


@each_of([each for each in COMMANDS if "ack_payload_plain" in each.decoded])
def test_a_recorded_acknowledgement_answers_a_report_with_its_header(
    it: Recording,
) -> None:
    packet = it.packet
    assert acknowledgement(packet._replace(body=bytes(50))) == it.raw


@pytest.mark.parametrize("protocol", Protocol)
def test_a_serial_number_fills_its_field(protocol: Protocol) -> None:
    for serial in ("XGD0SIM001", "A", "X" * protocol.serial_bytes):
        field = serial_field(serial, protocol)
        assert len(field) == protocol.serial_bytes
        assert field.rstrip(b"\0").decode() == serial
    for wrong in ("X" * (protocol.serial_bytes + 1), "Ü"):
        with pytest.raises(ValueError):
            serial_field(wrong, protocol)


def test_a_summary_tells_no_secrets() -> None:
    packet = packet_of(encode(7, Protocol.MASKED, 1, 0x19, b"XGD0SIM001secret"))
    assert packet.summary == "type 19, unit 1, transaction 7, 26 bytes"
