"""Codecs: what words hold, and the words that hold it."""

from collections.abc import Sequence
from datetime import UTC, datetime, time
from typing import cast

from hypothesis import example, given, strategies as st
import pytest

from custom_components.local_solar.modbus.codecs import (
    CLOCK,
    HIGH_BYTE,
    HOUR_MINUTE,
    LOW_BYTE,
    MINUTE_HOUR,
    MINUTES,
    S16,
    S32,
    S32_LOW_FIRST,
    U16,
    U32,
    U32_LOW_FIRST,
    Bits,
    Codec,
    Hex,
    Integer,
    Raw,
    Text,
    TimeOfDay,
    Words,
)

SLOT = TimeOfDay(hour_shift=8, hour_width=5, minute_shift=0, minute_width=8)
US_SLOT = TimeOfDay(hour_shift=7, hour_width=5, minute_shift=0, minute_width=7)

INTEGERS = (
    U16,
    S16,
    U32,
    S32,
    U32_LOW_FIRST,
    S32_LOW_FIRST,
    *(
        Integer(words=words, signed=signed, low_word_first=low_word_first)
        for words in (3, 4)
        for signed in (False, True)
        for low_word_first in (False, True)
    ),
)
TIMES = (HOUR_MINUTE, MINUTE_HOUR, MINUTES, SLOT, US_SLOT)
WRITABLE = (*INTEGERS, *TIMES, Text(5), Hex(3), CLOCK)
READ_ONLY = (HIGH_BYTE, LOW_BYTE, Bits(15), Bits(0, 7), Words(3))

words_16 = st.integers(0, 0xFFFF)
times = st.times().map(lambda value: value.replace(second=0, microsecond=0))
clocks = st.datetimes(
    min_value=datetime(2000, 1, 1), max_value=datetime(2099, 12, 31, 23, 59, 59)
).map(lambda value: value.replace(microsecond=0))
texts = (
    st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), max_size=10)
    .map(str.strip)
    .filter(bool)
)


def representable(codec: Codec) -> st.SearchStrategy[Raw]:
    """Return every raw value that a codec can hold."""
    match codec:
        case Integer():
            return st.integers(codec.minimum, codec.maximum)
        case Text():
            return texts
        case Hex(words):
            return st.text("0123456789ABCDEF", min_size=4 * words, max_size=4 * words)
        case _ if codec is CLOCK:
            return clocks
    return times


@given(st.data(), st.sampled_from(WRITABLE))
def test_what_is_encoded_reads_back_the_same(data: st.DataObject, codec: Codec) -> None:
    raw = data.draw(representable(codec))
    words = codec.encode(raw)
    assert len(words) == codec.words
    assert all(0 <= word <= 0xFFFF for word in words)
    assert codec.decode(words) == raw


@given(st.data(), st.sampled_from((*INTEGERS, Hex(3))))
def test_what_is_decoded_encodes_to_the_same_words(
    data: st.DataObject, codec: Codec
) -> None:
    words = data.draw(st.lists(words_16, min_size=codec.words, max_size=codec.words))
    raw = codec.decode(words)
    assert raw is not None
    assert codec.encode(raw) == tuple(words)


@given(st.data(), st.sampled_from((*WRITABLE, *READ_ONLY)))
def test_no_words_make_a_codec_fail(data: st.DataObject, codec: Codec) -> None:
    codec.decode(
        data.draw(st.lists(words_16, min_size=codec.words, max_size=codec.words))
    )


@pytest.mark.parametrize(
    ("codec", "words", "number"),
    [
        (U16, [0xFFFF], 65535),
        (S16, [0xFFFF], -1),
        (S16, [0x8000], -32768),
        (S16, [0x7FFF], 32767),
        (U32, [0x0001, 0x0002], 0x10002),
        (U32_LOW_FIRST, [0x0002, 0x0001], 0x10002),
        (S32, [0xFFFF, 0xFFFE], -2),
        (S32_LOW_FIRST, [0xFFFE, 0xFFFF], -2),
        (U32, [0x8000, 0], 1 << 31),
        (S32, [0x8000, 0], -(1 << 31)),
    ],
)
def test_numbers_have_their_high_word_first_unless_told_otherwise(
    codec: Codec, words: list[int], number: int
) -> None:
    assert codec.decode(words) == number


@pytest.mark.parametrize("codec", INTEGERS)
def test_numbers_outside_their_words_are_refused_with_the_limits(
    codec: Integer,
) -> None:
    for number in (codec.minimum - 1, codec.maximum + 1):
        with pytest.raises(OverflowError, match=f"{codec.minimum} to {codec.maximum}"):
            codec.encode(number)


@given(words_16, st.integers(0, 15), st.data())
def test_bits_are_those_of_the_word(word: int, shift: int, data: st.DataObject) -> None:
    width = data.draw(st.integers(1, 16 - shift))
    bits = f"{word:016b}"[16 - shift - width : 16 - shift]
    assert Bits(shift, width).decode([word]) == int(bits, 2)


@pytest.mark.parametrize("codec", READ_ONLY)
def test_what_shares_its_word_or_has_no_meaning_cannot_be_written(codec: Codec) -> None:
    with pytest.raises(TypeError, match="cannot be written"):
        codec.encode(0)


@pytest.mark.parametrize(
    ("octets", "text"),
    [
        (b"AL1.0\0", "AL1.0"),
        (b"AL1.0 ", "AL1.0"),
        (b" A    ", "A"),
        (b"AB\0CDE", "AB"),
        (b"\0ABCDE", None),
        (b"      ", None),
        (b"\0\0\0\0\0\0", None),
        (b"\xff" * 6, None),
        (b"AB\xff\xff\xff\xff", None),
        (b"A\x01BCDE", None),
        (b"A\nBCDE", None),
        (b"caf\xe9  ", None),
    ],
)
def test_text_is_cleaned_of_padding_and_garbage_is_no_text(
    octets: bytes, text: str | None
) -> None:
    words = [int.from_bytes(octets[place : place + 2]) for place in (0, 2, 4)]
    assert Text(3).decode(words) == text


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("1234567", OverflowError),
        ("é", TypeError),
        ("", TypeError),
        (" A", TypeError),
        ("A ", TypeError),
        ("A\0B", TypeError),
        ("A\nB", TypeError),
    ],
)
def test_text_that_would_not_read_back_is_refused(
    text: str, error: type[Exception]
) -> None:
    with pytest.raises(error):
        Text(3).encode(text)


@pytest.mark.parametrize(
    ("digits", "error"),
    [
        ("123", OverflowError),
        ("12345", OverflowError),
        ("12G4", TypeError),
        ("+123", TypeError),
        ("-123", TypeError),
        (" 123", TypeError),
        ("1_23", TypeError),
        ("١٢٣٤", TypeError),
    ],
)
def test_only_hexadecimal_digits_are_hexadecimal(
    digits: str, error: type[Exception]
) -> None:
    with pytest.raises(error):
        Hex(1).encode(digits)


def test_hexadecimal_digits_may_be_written_in_lower_case() -> None:
    assert Hex(2).encode("00ffabcd") == (0x00FF, 0xABCD)


@pytest.mark.parametrize(
    ("codec", "word", "expected"),
    [
        (HOUR_MINUTE, 0x173B, time(23, 59)),
        (MINUTE_HOUR, 0x3B17, time(23, 59)),
        (MINUTES, 1439, time(23, 59)),
        (SLOT, 0xB701, time(23, 1)),
        (US_SLOT, 0x8000 | 23 << 7 | 59, time(23, 59)),
        (HOUR_MINUTE, 0x1800, None),
        (HOUR_MINUTE, 0x003C, None),
        (MINUTE_HOUR, 0x0018, None),
        (MINUTES, 1440, None),
        (MINUTES, 0xFFFF, None),
        (SLOT, 0x1800, None),
    ],
)
def test_times_of_day_in_their_encodings_and_impossible_ones(
    codec: Codec, word: int, expected: time | None
) -> None:
    assert codec.decode([word]) == expected


@pytest.mark.parametrize("codec", TIMES)
@pytest.mark.parametrize(
    "value",
    [time(12, 30, 15), time(12, 30, 0, 1), time(12, 30, tzinfo=UTC)],
)
def test_times_finer_than_minutes_or_with_a_zone_are_refused(
    codec: Codec, value: time
) -> None:
    with pytest.raises(TypeError, match="whole minutes"):
        codec.encode(value)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ((2025, 9, 21, 22, 35, 7), datetime(2025, 9, 21, 22, 35, 7)),
        ((25, 9, 21, 22, 35, 7), datetime(2025, 9, 21, 22, 35, 7)),
        ((0, 1, 1, 0, 0, 0), datetime(2000, 1, 1)),
        ((99, 12, 31, 23, 59, 59), datetime(2099, 12, 31, 23, 59, 59)),
        ((2051, 1, 2, 3, 4, 5), datetime(2051, 1, 2, 3, 4, 5)),
        ((2024, 2, 29, 0, 0, 0), datetime(2024, 2, 29)),
        ((2025, 2, 29, 0, 0, 0), None),
        ((2025, 13, 1, 0, 0, 0), None),
        ((2025, 0, 1, 0, 0, 0), None),
        ((2025, 1, 1, 24, 0, 0), None),
        ((2025, 1, 1, 0, 60, 0), None),
        ((2025, 1, 1, 0, 0, 60), None),
        ((0, 0, 0, 0, 0, 0), None),
        ((0xFFFF,) * 6, None),
    ],
)
def test_clocks_with_two_or_four_digits_of_the_year_and_impossible_dates(
    words: Sequence[int], expected: datetime | None
) -> None:
    assert CLOCK.decode(words) == expected


def test_a_clock_is_written_in_whole_seconds_with_two_digits_of_the_year() -> None:
    assert CLOCK.encode(datetime(2026, 1, 2, 3, 4, 5, 999_999)) == (26, 1, 2, 3, 4, 5)
    assert CLOCK.encode(datetime(2000, 1, 1)) == (0, 1, 1, 0, 0, 0)
    assert CLOCK.encode(datetime(2099, 12, 31)) == (99, 12, 31, 0, 0, 0)


def test_a_clock_refuses_what_would_be_read_as_another_time() -> None:
    with pytest.raises(TypeError, match="time zone"):
        CLOCK.encode(datetime(2026, 1, 1, tzinfo=UTC))
    for year in (26, 99, 1999, 2100):
        with pytest.raises(OverflowError, match="2000 to 2099"):
            CLOCK.encode(datetime(year, 12, 31))


@given(
    st.sampled_from((*WRITABLE, *READ_ONLY)),
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(),
        st.floats(),
        st.text(max_size=4),
        st.times(),
        st.datetimes(),
        st.binary(max_size=4),
        st.frozensets(st.integers(), max_size=1),
    ),
)
@example(U16, True)
@example(CLOCK, time(12))
@example(HOUR_MINUTE, datetime(2026, 1, 1))
def test_a_value_of_any_type_is_taken_or_refused_but_never_misunderstood(
    codec: Codec, value: object
) -> None:
    try:
        words = codec.encode(cast(Raw, value))
    except TypeError, OverflowError:
        return
    expected = value
    if isinstance(value, datetime):
        expected = value.replace(microsecond=0)
    if isinstance(codec, Hex) and isinstance(value, str):
        expected = value.upper()
    assert codec.decode(words) == expected
    assert isinstance(value, bool) is False
