"""Frames: found in any stream however it is cut, and never made of what was garbled."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from itertools import islice, pairwise
import json
from pathlib import Path
from struct import pack
import tracemalloc
from typing import Any, Final

from hypothesis import given, strategies as st
import pytest

from custom_components.local_solar.hoymiles.cipher import (
    SEED_LENGTH,
    TAG_LENGTH,
    Cipher,
)
from custom_components.local_solar.hoymiles.errors import FrameError
from custom_components.local_solar.hoymiles.frame import (
    MAX_LENGTH,
    MAX_NOISE,
    Extension,
    Frame,
    FrameReader,
    encode,
    is_encrypted,
    is_extended,
    reply_to,
)
from custom_components.local_solar.modbus.crc import crc16

CAPTURES: Final = (
    Path(__file__).parents[3] / "shared" / "captures" / "hoymiles" / "frames.jsonl"
)

HEADER: Final = 10
LONG_HEADER: Final = 24
CHECKSUM: Final = slice(6, 8)

PLAIN: Final = (0xA201, 0xA202, 0xA301, 0xA302)
"""Commands that no DTU encrypts."""
SECRET: Final = (0x2205, 0x2305, 0xA203, 0xA211, 0xA305, 0xA311, 0xA31D)
"""Commands that some DTUs encrypt."""
LONG: Final = (0xC202, 0xC303, 0xDA01, 0xDB06)
"""Commands with a long header."""

CIPHER: Final = Cipher(bytes(range(16)))

SEGMENT: Final = 0x10000
"""The most that is read at once."""


@dataclass(frozen=True, slots=True)
class Captured:
    """A stream of the captures. Other tests of this folder look at them, too."""

    id: str
    octets: bytes
    seed: bytes | None
    expect: str
    decoded: dict[str, Any]
    """What an independent decoder found in it; empty if it is not one good frame."""

    @property
    def cipher(self) -> Cipher | None:
        """What decrypts it."""
        return Cipher(self.seed) if self.seed else None

    @property
    def message(self) -> str:
        """Name of its message."""
        name: str = self.decoded["message"]
        return name

    def frame(self) -> Frame:
        """Return the one frame that it is."""
        (frame,) = FrameReader(self.cipher).feed(self.octets)
        return frame


@cache
def captured() -> tuple[Captured, ...]:
    """Return all that was captured; nothing where the captures are not at hand."""
    if not CAPTURES.exists():
        return ()
    found = []
    for line in CAPTURES.read_text("utf-8").splitlines():
        row = json.loads(line)
        decoded = row["decoded"] or {}
        found.append(
            Captured(
                id=row["id"],
                octets=bytes.fromhex(row["hex"]),
                seed=bytes.fromhex(decoded.get("enc_rand", "")) or None,
                expect=row["expect"],
                decoded=decoded if row["expect"] == "ok" else {},
            )
        )
    return tuple(found)


def good_frames() -> tuple[Captured, ...]:
    """Return what was captured and is one good frame."""
    return tuple(capture for capture in captured() if capture.expect == "ok")


def named(capture_id: str) -> Captured:
    """Return one capture; skip the test where the captures are not at hand."""
    if not captured():
        pytest.skip("the captures are not here")
    (found,) = (capture for capture in captured() if capture.id == capture_id)
    return found


needs_captures = pytest.mark.skipif(
    not CAPTURES.exists(), reason="the captures are not here"
)


# -- what is drawn --------------------------------------------------------------------

extensions = st.builds(
    Extension, gateway=st.integers(0, (1 << 64) - 1), number=st.integers(0, 0xFFFF)
)
noises = st.binary(max_size=40).filter(lambda data: b"HM" not in data)


def frames(*commands: int) -> st.SearchStrategy[Frame]:
    """Return frames of these commands."""

    def of(command: int) -> st.SearchStrategy[Frame]:
        return st.builds(
            Frame,
            st.just(command),
            st.integers(0, 0xFFFF),
            st.binary(max_size=200),
            extensions if is_extended(command) else st.none(),
        )

    return st.sampled_from(commands).flatmap(of)


any_frames = frames(*PLAIN, *SECRET, *LONG)
ciphers = st.one_of(
    st.none(),
    st.builds(Cipher, st.binary(min_size=SEED_LENGTH, max_size=SEED_LENGTH)),
)


def cut(stream: bytes, places: list[int]) -> list[bytes]:
    """Return the segments that a stream falls into."""
    ends = [0, *sorted(place % (len(stream) + 1) for place in places), len(stream)]
    return [stream[start:end] for start, end in pairwise(ends)]


def fed(reader: FrameReader, segments: list[bytes]) -> list[Frame]:
    """Return the frames that come out of segments."""
    return [frame for segment in segments for frame in reader.feed(segment)]


def with_bit_flipped(data: bytes, bit: int) -> bytes:
    """Return the data with one bit changed."""
    changed = bytearray(data)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)


def raw(command: int, length: int, payload: bytes = b"", sequence: int = 1) -> bytes:
    """Return a frame whose length is a lie."""
    header = pack(">2sHHHH", b"HM", command, sequence, crc16(payload), length)
    return header + payload


# -- properties -----------------------------------------------------------------------


@given(any_frames, ciphers)
def test_what_is_encoded_is_read_again(frame: Frame, cipher: Cipher | None) -> None:
    reader = FrameReader(cipher)
    assert reader.feed(encode(frame, cipher)) == [frame]
    assert reader.is_empty


@given(
    st.lists(st.tuples(noises, any_frames), max_size=6),
    noises,
    ciphers,
    st.lists(st.integers(0, 1 << 16), max_size=30),
)
def test_frames_come_out_however_the_stream_is_cut(
    parts: list[tuple[bytes, Frame]],
    rest: bytes,
    cipher: Cipher | None,
    places: list[int],
) -> None:
    stream = b"".join(noise + encode(frame, cipher) for noise, frame in parts) + rest
    reader = FrameReader(cipher)
    assert fed(reader, cut(stream, places)) == [frame for _, frame in parts]
    assert reader.is_empty is not rest.endswith(b"H")


@given(st.lists(any_frames, max_size=3), ciphers)
def test_frames_come_out_of_single_bytes(
    sent: list[Frame], cipher: Cipher | None
) -> None:
    stream = b"".join(encode(frame, cipher) for frame in sent)
    single = [stream[place : place + 1] for place in range(len(stream))]
    assert fed(FrameReader(cipher), single) == sent


@given(any_frames, ciphers, st.data())
def test_a_frame_comes_out_with_its_last_byte(
    frame: Frame, cipher: Cipher | None, data: st.DataObject
) -> None:
    octets = encode(frame, cipher)
    part = data.draw(st.integers(1, len(octets) - 1))
    reader = FrameReader(cipher)
    assert reader.feed(octets[:part]) == []
    assert not reader.is_empty
    assert reader.feed(octets[part:]) == [frame]
    assert reader.is_empty


@given(any_frames.filter(lambda frame: frame.payload != b""), st.data())
def test_a_flipped_bit_in_the_payload_or_its_checksum_gives_no_frame(
    frame: Frame, data: st.DataObject
) -> None:
    octets = encode(frame)
    start = LONG_HEADER if is_extended(frame.command) else HEADER
    bits = [
        *range(8 * CHECKSUM.start, 8 * CHECKSUM.stop),
        *range(8 * start, 8 * len(octets)),
    ]
    garbled = with_bit_flipped(octets, data.draw(st.sampled_from(bits)))
    with pytest.raises(FrameError, match="wrong checksum"):
        FrameReader().feed(garbled)


@given(frames(*SECRET), st.data())
def test_a_flipped_bit_behind_the_command_of_an_encrypted_frame_gives_no_frame(
    frame: Frame, data: st.DataObject
) -> None:
    """The sequence number is authenticated; the length decides what the tag is."""
    octets = encode(frame, CIPHER)
    bit = data.draw(st.integers(8 * 4, 8 * len(octets) - 1))
    try:
        found = FrameReader(CIPHER).feed(with_bit_flipped(octets, bit))
    except FrameError:
        found = []
    assert found == []


@given(frames(*SECRET), st.data())
def test_no_encrypted_frame_is_taken_for_one_of_another_command_that_is(
    frame: Frame, data: st.DataObject
) -> None:
    others = [command for command in SECRET if command != frame.command]
    octets = bytearray(encode(frame, CIPHER))
    octets[2:4] = data.draw(st.sampled_from(others)).to_bytes(2)
    with pytest.raises(FrameError, match="cannot be decrypted"):
        FrameReader(CIPHER).feed(bytes(octets))


@given(frames(*SECRET), st.binary(min_size=SEED_LENGTH, max_size=SEED_LENGTH))
def test_an_encrypted_frame_is_an_error_with_the_key_of_before_a_restart(
    frame: Frame, seed: bytes
) -> None:
    old = Cipher(seed)
    if old.seed != CIPHER.seed:
        with pytest.raises(FrameError, match="the DTU has restarted"):
            FrameReader(old).feed(encode(frame, CIPHER))


@given(
    st.lists(
        st.one_of(
            st.binary(max_size=20),
            st.sampled_from([b"H", b"M", b"HM"]),
            st.builds(
                raw,
                st.sampled_from((*PLAIN, *SECRET, *LONG)),
                st.integers(0, 60),
                st.binary(max_size=50),
            ),
        )
    ).map(b"".join),
    st.lists(st.integers(0, 300), max_size=5),
    ciphers,
)
def test_only_frames_and_errors_come_of_garbage(
    garbage: bytes, places: list[int], cipher: Cipher | None
) -> None:
    """What does come out encodes to bytes that are there."""
    reader, found = FrameReader(cipher), list[Frame]()
    try:
        for segment in cut(garbage, places):
            found += reader.feed(segment)
    except FrameError:
        pass
    for frame in found:
        # The reserved part of a long header may be anything.
        start = LONG_HEADER if is_extended(frame.command) else 0
        assert encode(frame, cipher)[start:] in garbage


# -- noise ----------------------------------------------------------------------------


@given(
    st.integers(0, MAX_NOISE),
    st.sampled_from([b"\0", b"M", b"\xff"]),
    st.lists(st.integers(0, 1 << 16), max_size=5),
)
def test_a_stream_is_found_again_after_some_noise(
    length: int, octet: bytes, places: list[int]
) -> None:
    frame = Frame(0xA211, 7, b"payload")
    stream = 2 * (octet * length + encode(frame))
    assert fed(FrameReader(), cut(stream, places)) == [frame, frame]


@given(
    st.integers(MAX_NOISE + 1, 3 * MAX_NOISE),
    st.sampled_from([b"\0", b"M", b"\xff"]),
    st.lists(st.integers(0, 1 << 16), max_size=5),
)
def test_a_stream_is_given_up_after_too_much_noise(
    length: int, octet: bytes, places: list[int]
) -> None:
    stream = octet * length + encode(Frame(0xA211, 7, b"payload"))
    with pytest.raises(FrameError, match="bytes that belong to no frame"):
        fed(FrameReader(), cut(stream, places))


def test_half_of_the_magic_before_a_frame_is_noise() -> None:
    frame = Frame(0xA211, 7, b"payload")
    for noise in (b"H", b"HH", b"MH", b"H\0H"):
        for places in ([], [1], [2], [3], [1, 2, 3]):
            assert fed(FrameReader(), cut(noise + encode(frame), places)) == [frame]


# -- lengths --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("command", "cipher", "room"),
    [
        (0xA211, None, MAX_LENGTH - HEADER),
        (0xA211, CIPHER, MAX_LENGTH - HEADER),
        (0xC202, None, MAX_LENGTH - LONG_HEADER),
        (0xC202, CIPHER, MAX_LENGTH - LONG_HEADER),
    ],
)
def test_a_frame_is_as_long_as_its_length_can_say(
    command: int, cipher: Cipher | None, room: int
) -> None:
    extension = Extension(gateway=1, number=2) if is_extended(command) else None
    frame = Frame(command, 1, bytes(room), extension)
    octets = encode(frame, cipher)
    encrypted = cipher is not None and extension is None
    assert len(octets) == MAX_LENGTH + (TAG_LENGTH if encrypted else 0)
    assert fed(FrameReader(cipher), cut(octets, [1000, 2000, 65_534])) == [frame]
    with pytest.raises(FrameError, match=f"{command:04X} has 65536 bytes, 65535 at"):
        encode(Frame(command, 1, bytes(room + 1), extension), cipher)


def test_a_frame_may_be_empty() -> None:
    frame = Frame(0xA301, 0, b"")
    assert encode(frame) == bytes.fromhex("484d a301 0000 ffff 000a")
    assert FrameReader().feed(encode(frame)) == [frame]


@pytest.mark.parametrize("length", [0, 1, 9])
def test_a_frame_shorter_than_its_header_is_an_error(length: int) -> None:
    with pytest.raises(FrameError, match=f"A211 says that it has {length} bytes"):
        FrameReader().feed(raw(0xA211, length))


@pytest.mark.parametrize("length", [0, 9, 10, 23])
def test_a_frame_shorter_than_its_long_header_is_an_error(length: int) -> None:
    with pytest.raises(FrameError, match=f"C202 says that it has {length} bytes"):
        FrameReader().feed(raw(0xC202, length))


def test_a_long_header_of_another_size_is_an_error() -> None:
    frame = Frame(0xDA01, 1, b"payload", Extension(gateway=1, number=255))
    octets = bytearray(encode(frame))
    octets[10:12] = (15).to_bytes(2)
    with pytest.raises(FrameError, match="header extension of 15 bytes instead of 14"):
        FrameReader().feed(bytes(octets))


# -- memory ---------------------------------------------------------------------------


def endless_noise() -> Iterator[bytes]:
    while True:
        yield b"\0" * 1000


def endless_beginnings() -> Iterator[bytes]:
    while True:
        yield b"H" * 1000


def endless_frame() -> Iterator[bytes]:
    yield raw(0xA211, MAX_LENGTH)
    while True:
        yield b"\0" * SEGMENT


def endless_frames() -> Iterator[bytes]:
    """The longest frames, each of two halves of segments."""
    octets = encode(Frame(0xA211, 1, bytes(MAX_LENGTH - HEADER)), CIPHER)
    while True:
        yield octets[: SEGMENT // 2]
        yield octets[SEGMENT // 2 :] + octets[: SEGMENT // 4]
        yield octets[SEGMENT // 4 :]


def endless_drips() -> Iterator[bytes]:
    octets = b"\0" * 100 + encode(Frame(0xA211, 1, bytes(10)), CIPHER)
    while True:
        yield from (octets[place : place + 7] for place in range(0, len(octets), 7))


@pytest.mark.parametrize(
    ("stream", "length", "is_given_up"),
    [
        (endless_noise, 10, True),
        (endless_beginnings, 10, True),
        (endless_frame, 10, True),
        (endless_frames, 30, False),
        (endless_drips, 10_000, False),
    ],
)
def test_a_stream_takes_no_more_memory_than_a_frame_and_a_segment(
    stream: Callable[[], Iterator[bytes]], length: int, is_given_up: bool
) -> None:
    # A byte array takes an eighth more than it needs.
    most = (MAX_LENGTH + TAG_LENGTH + SEGMENT) * 9 // 8 + 2000
    reader, gave_up = FrameReader(CIPHER), False
    segments = islice(stream(), length)
    reader.feed(next(segments))
    held = tracemalloc_started()
    try:
        for segment in segments:
            try:
                reader.feed(segment)
            except FrameError:
                gave_up = True
                break
            assert tracemalloc.get_traced_memory()[0] - held - len(segment) < most
    finally:
        tracemalloc.stop()
    assert gave_up is is_given_up


def tracemalloc_started() -> int:
    """Measure from here on; return what counts already."""
    tracemalloc.start()
    return tracemalloc.get_traced_memory()[0]


# -- commands -------------------------------------------------------------------------


def test_a_reply_has_the_command_before_that_of_its_request() -> None:
    commands = (0xA301, 0xA311, 0x2305, 0xDB01, 0xC303)
    assert [f"{reply_to(command):04X}" for command in commands] == [
        *("A201", "A211", "2205", "DA01", "C203")
    ]


def test_what_is_behind_a_gateway_has_long_headers_and_is_not_encrypted() -> None:
    assert all(map(is_extended, LONG))
    assert not any(map(is_encrypted, LONG))
    assert not any(map(is_extended, (*PLAIN, *SECRET)))


def test_what_tells_how_to_decrypt_is_not_encrypted_and_all_else_is() -> None:
    assert not any(map(is_encrypted, PLAIN))
    assert all(map(is_encrypted, SECRET))
    for frame in (Frame(command, 1, b"plain") for command in PLAIN):
        assert encode(frame, CIPHER) == encode(frame)


def test_the_cipher_may_become_known_between_two_frames() -> None:
    info, data = Frame(0xA201, 1, b"info"), Frame(0xA211, 2, b"data")
    reader = FrameReader()
    assert reader.feed(encode(info, CIPHER)) == [info]
    reader.cipher = CIPHER
    assert reader.feed(encode(data, CIPHER)) == [data]


# -- captures -------------------------------------------------------------------------


@needs_captures
@pytest.mark.parametrize("capture", good_frames(), ids=lambda capture: capture.id)
def test_captured_frames_are_read_and_encode_to_the_same_bytes(
    capture: Captured,
) -> None:
    frame, decoded = capture.frame(), capture.decoded
    assert frame.sequence == decoded["seq"]
    assert f"{crc16(frame.payload):04X}" == decoded["crc"] or capture.seed
    if capture.seed:
        assert frame.payload.hex() == decoded["plaintext_hex"]
    if "extended" in decoded:
        assert frame.extension is not None
        assert f"{frame.extension.gateway:012X}" == decoded["extended"]["serial"]
        assert frame.extension.number == decoded["extended"]["number"]
    else:
        assert frame.extension is None
    assert encode(frame, capture.cipher) == capture.octets
    single = [capture.octets[place:][:1] for place in range(len(capture.octets))]
    assert fed(FrameReader(capture.cipher), single) == [frame]


@needs_captures
def test_captured_streams_that_are_no_frame_are_what_they_are_expected_to_be() -> None:
    errors = {
        "crc_error": "A211 has a wrong checksum",
        "length_error": "A211 says that it has 9 bytes",
        "auth_error": "A211 cannot be decrypted",
    }
    counts = {"incomplete": 0, "two_frames": 2, "resync": 1}
    bad = [capture for capture in captured() if capture.expect != "ok"]
    assert {capture.expect for capture in bad} == errors.keys() | counts.keys()
    for capture in bad:
        reader = FrameReader(capture.cipher)
        if capture.expect in errors:
            with pytest.raises(FrameError, match=errors[capture.expect]):
                reader.feed(capture.octets)
        else:
            assert len(reader.feed(capture.octets)) == counts[capture.expect]
            assert reader.is_empty is (capture.expect != "incomplete")
