"""How words of OutBack's blocks become values, and back."""

from datetime import UTC, datetime, time

from hypothesis import given, strategies as st
import pytest

from custom_components.local_solar.modbus.codecs import U32_LOW_FIRST
from custom_components.local_solar.outback.codecs import (
    ADDRESS,
    BITS,
    HOUR_MINUTE,
    MOMENT,
    Bit,
    Shown,
)

words = st.integers(0, 0xFFFF)

MODES = Shown(((1, 0x0008), (2, 0x0010), (3, 0x0020)))
USE = Shown(((1, 0x0004),), otherwise=2)


# -- bit fields ---------------------------------------------------------------------------


@given(words, st.integers(0, 14))
def test_a_bit_is_set_or_not(word: int, place: int) -> None:
    value = Bit(1 << place).decode([word])
    if word >= 0x8000:
        assert value is None
    else:
        assert value == int(f"{word:016b}"[15 - place])


@given(words)
def test_a_bit_field_with_its_highest_bit_means_nothing(word: int) -> None:
    assert BITS.decode([word]) == (word if word < 0x8000 else None)


@pytest.mark.parametrize("codec", [Bit(1), BITS, ADDRESS, MOMENT])
def test_what_only_tells_cannot_be_written(codec: Bit) -> None:
    for raw in (0, 1, "192.168.0.1", datetime(2026, 1, 1, tzinfo=UTC)):
        with pytest.raises(TypeError):
            codec.encode(raw)


# -- commands -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("word", "mode", "use"),
    [
        (0x0000, None, 2),
        (0x0004, None, 1),
        (0x0008, 1, 2),
        (0x0010, 2, 2),
        (0x0024, 3, 1),
        (0x7FC7, None, 1),
        (0x8000, None, None),
        (0x8024, None, None),
        (0xFFFF, None, None),
    ],
)
def test_the_status_shows_what_was_commanded(
    word: int, mode: int | None, use: int | None
) -> None:
    assert MODES.decode([word]) == mode
    assert USE.decode([word]) == use


@given(st.integers(0, 0xFFFF))
def test_a_command_is_its_number(number: int) -> None:
    assert MODES.encode(number) == (number,)


# -- addresses, moments, times --------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "address"),
    [
        ([0xC0A8, 0x0096], "192.168.0.150"),
        ([0x0A00, 0x0001], "10.0.0.1"),
        ([0xFFFF, 0xFF00], "255.255.255.0"),
        ([0, 0], None),
    ],
)
def test_an_address_has_its_high_word_first(
    words: list[int], address: str | None
) -> None:
    assert ADDRESS.decode(words) == address


@pytest.mark.parametrize(
    ("words", "moment"),
    [
        # Of a recording: the second is midnight where it was made, two hours ahead.
        ([29725, 24557], datetime(2020, 12, 31, 6, 47, 57, tzinfo=UTC)),
        ([63585, 24556], datetime(2020, 12, 30, 22, 0, 1, tzinfo=UTC)),
        ([0, 0], None),
        ([0xFFFF, 0xFFFF], None),
        ([0x10000 - 7200, 0xFFFF], None),  # never, two hours ahead
        ([3600, 0], None),  # never, one hour behind
    ],
)
def test_a_moment_has_its_low_word_first(
    words: list[int], moment: datetime | None
) -> None:
    assert MOMENT.decode(words) == moment


@given(words, words)
def test_no_words_are_too_odd_for_a_moment(low: int, high: int) -> None:
    moment = MOMENT.decode([low, high])
    if moment is not None:
        assert moment.timestamp() == (high << 16) + low


def test_a_whole_number_has_its_low_word_first() -> None:
    assert U32_LOW_FIRST.decode([0x1234, 0x0001]) == 0x11234


@given(st.integers(0, 23), st.integers(0, 59))
def test_a_time_of_day_survives(hour: int, minute: int) -> None:
    encoded = HOUR_MINUTE.encode(time(hour, minute))
    assert encoded == (hour, minute)
    assert HOUR_MINUTE.decode(encoded) == time(hour, minute)


@given(words, words)
def test_an_impossible_time_is_none(hour: int, minute: int) -> None:
    value = HOUR_MINUTE.decode([hour, minute])
    assert (value is None) == (hour > 23 or minute > 59)


@pytest.mark.parametrize(
    "raw",
    [
        *(0, 2200, "22:00", datetime(2026, 1, 1, 22)),
        *(time(22, 0, 1), time(22, 0, 0, 1), time(22, tzinfo=UTC)),
    ],
)
def test_only_whole_minutes_of_local_time_are_written(raw: object) -> None:
    with pytest.raises(TypeError):
        HOUR_MINUTE.encode(raw)  # type: ignore[arg-type]
