"""Rows: values in engineering units, and what is refused."""

from datetime import datetime, time
from fractions import Fraction
import math
from typing import Final

from hypothesis import given, strategies as st
import pytest

from custom_components.local_solar.modbus.codecs import (
    CLOCK,
    HIGH_BYTE,
    HOUR_MINUTE,
    LOW_BYTE,
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
    Text,
    Words,
)
from custom_components.local_solar.modbus.errors import (
    RegisterValueError,
    ValueNotAnOptionError,
    ValueNotRepresentableError,
    ValueOutOfRangeError,
)
from custom_components.local_solar.modbus.register import Register
from custom_components.local_solar.points import Alarm, Setting, Value

from .helpers import make_row

SCALES: Final = (1, 0.1, 0.01, 0.001, 0.0001, 0.5, 0.2, 2, 10, 100, 1.5, -0.1)
NUMBERS: Final = (U16, S16, U32, S32, U32_LOW_FIRST, S32_LOW_FIRST)
STATES: Final = {0: "none", 1: "charging", 2: "discharging"}
FLAGS: Final = {0: False, 1: True}

numbers = st.builds(
    make_row,
    codec=st.sampled_from(NUMBERS),
    scale=st.sampled_from(SCALES),
    offset=st.sampled_from((0, 0, -10000, 5)),
    sentinels=st.sampled_from((frozenset(), frozenset({0xFFFF, 65276}))),
)


# -- numbers ----------------------------------------------------------------------------


@given(st.data(), numbers)
def test_every_number_that_a_row_can_show_encodes_to_the_words_it_came_from(
    data: st.DataObject, row: Register
) -> None:
    codec = row.codec
    assert isinstance(codec, Integer)
    raw = data.draw(st.integers(codec.minimum, codec.maximum))
    words = codec.encode(raw)
    value = row.decode(list(words))
    if raw in row.sentinels:
        assert value is None
        return
    assert value is not None
    assert row.encode(value) == words


@given(st.data(), numbers)
def test_a_scaled_value_is_the_double_nearest_to_the_true_one(
    data: st.DataObject, row: Register
) -> None:
    codec = row.codec
    assert isinstance(codec, Integer)
    raw = data.draw(st.integers(codec.minimum, codec.maximum))
    value = row.decode(list(codec.encode(raw)))
    if raw in row.sentinels:
        return
    assert isinstance(value, int | float)
    true = (raw + row.offset) * Fraction(str(row.scale))
    assert value == float(true)
    assert isinstance(value, int) is (Fraction(str(row.scale)).denominator == 1)


def test_a_scale_of_a_tenth_gives_the_number_as_one_writes_it() -> None:
    row = make_row(scale=0.1)
    assert row.decode([2315]) == 231.5
    assert repr(row.decode([3])) == "0.3"


@pytest.mark.parametrize(
    ("raw", "power_factor"), [(20000, 1.0), (10000, 0.0), (0, -1.0), (19876, 0.9876)]
)
def test_power_factor_counts_from_its_offset(raw: int, power_factor: float) -> None:
    row = make_row(scale=0.0001, offset=-10000)
    assert row.decode([raw]) == power_factor
    assert row.encode(power_factor) == (raw,)


def test_sentinels_are_not_available_and_cannot_be_written() -> None:
    row = make_row(key="battery_soc", sentinels=frozenset({0xFFFF, 65276}))
    assert row.decode([0xFFFF]) is None
    assert row.decode([65276]) is None
    assert row.decode([0]) == 0
    with pytest.raises(
        ValueNotRepresentableError, match=r"battery_soc: 65535 .*not available"
    ):
        row.encode(65535)


@pytest.mark.parametrize(
    ("row", "value", "allowed"),
    [
        (make_row(), 65536, "0 to 65535"),
        (make_row(), -1, "0 to 65535"),
        (make_row(codec=S16), 32768, "-32768 to 32767"),
        (make_row(codec=U32), 1 << 32, "0 to 4294967295"),
        (make_row(scale=0.1, unit="V"), 6553.6, "0.0 to 6553.5 V"),
        (make_row(codec=S16, scale=0.1), -3276.9, "-3276.8 to 3276.7"),
        (make_row(scale=0.0001, offset=-10000), 5.6, "-1.0 to 5.5535"),
        (
            make_row(unit="%", setting=Setting(minimum=10, maximum=100, step=1)),
            9,
            "10 to 100 %",
        ),
        (
            make_row(unit="%", setting=Setting(minimum=10, maximum=100, step=1)),
            101,
            "10 to 100 %",
        ),
        (make_row(setting=Setting(maximum=50)), 51, "0 to 50"),
        (make_row(setting=Setting(minimum=50)), 49, "50 to 65535"),
        (make_row(setting=Setting(minimum=-5, maximum=70000)), 65536, "0 to 65535"),
        (make_row(), math.inf, "finite"),
        (make_row(), -math.inf, "finite"),
        (make_row(), math.nan, "finite"),
    ],
)
def test_numbers_out_of_range_are_refused_with_the_range_in_the_rows_unit(
    row: Register, value: float, allowed: str
) -> None:
    with pytest.raises(ValueOutOfRangeError) as caught:
        row.encode(value)
    assert str(caught.value).startswith(f"{row.key}: {value!r} is not ")
    assert str(caught.value).endswith(allowed) or allowed == "finite"
    assert allowed in str(caught.value)


@pytest.mark.parametrize(
    ("row", "value", "allowed"),
    [
        (make_row(), 0.5, "multiple of 1"),
        (make_row(scale=0.1), 0.25, "multiple of 0.1"),
        (make_row(scale=10), 15, "multiple of 10"),
        (
            make_row(scale=0.1, setting=Setting(minimum=0, maximum=9, step=0.5)),
            1.2,
            "multiple of 0.5",
        ),
    ],
)
def test_numbers_between_two_steps_are_refused_with_the_step(
    row: Register, value: float, allowed: str
) -> None:
    with pytest.raises(ValueNotRepresentableError) as caught:
        row.encode(value)
    assert str(caught.value) == f"{row.key}: {value!r} is not a {allowed}"


def test_noise_of_floating_point_is_no_reason_to_refuse() -> None:
    row = make_row(scale=0.1, setting=Setting(minimum=0, maximum=10, step=0.1))
    assert row.encode(0.1 + 0.2) == (3,)
    assert row.encode(7) == (70,)


@pytest.mark.parametrize("value", [True, "5", time(5), datetime(2026, 1, 1)])
def test_what_is_no_number_is_refused_for_a_number(value: Value) -> None:
    with pytest.raises(ValueNotRepresentableError, match="is not a number"):
        make_row().encode(value)


@pytest.mark.parametrize(
    ("raw", "value"),
    [(25, -2.5), (-25, 2.5), (0, 0.0), (-0x80000000, 214748364.8)],
)
def test_a_negative_scale_turns_the_sign_round(raw: int, value: float) -> None:
    row = make_row(codec=S32, key="power", scale=-0.1)
    words = S32.encode(raw)
    assert row.decode(list(words)) == value
    assert row.encode(value) == words
    with pytest.raises(ValueOutOfRangeError):
        row.encode(214748364.9)


def test_low_word_first_is_scaled_like_any_other_number() -> None:
    row = make_row(codec=U32_LOW_FIRST, scale=0.1)
    assert row.decode([0x0002, 0x0001]) == 6553.8
    assert row.encode(6553.8) == (0x0002, 0x0001)


# -- options ----------------------------------------------------------------------------


@pytest.mark.parametrize(("raw", "option"), STATES.items())
def test_options_are_shown_by_name_and_written_by_name(raw: int, option: str) -> None:
    row = make_row(options=STATES)
    assert row.decode([raw]) == option
    assert row.encode(option) == (raw,)


@pytest.mark.parametrize(("raw", "flag"), FLAGS.items())
def test_flags_are_true_or_false(raw: int, flag: bool) -> None:
    row = make_row(options=FLAGS)
    assert row.decode([raw]) is flag
    assert row.encode(flag) == (raw,)


def test_a_number_without_an_option_is_not_available() -> None:
    assert make_row(options=STATES).decode([3]) is None
    assert make_row(options=FLAGS).decode([2]) is None


@pytest.mark.parametrize(
    ("options", "value"),
    [
        (STATES, "exploding"),
        (STATES, "Charging"),
        (STATES, 1),
        (STATES, True),
        (FLAGS, 1),
        (FLAGS, 0.0),
        (FLAGS, "on"),
    ],
)
def test_what_is_no_option_is_refused_with_all_options(
    options: dict[int, str | bool], value: Value
) -> None:
    with pytest.raises(ValueNotAnOptionError) as caught:
        make_row(key="mode", options=options).encode(value)
    assert str(caught.value).startswith(f"mode: {value!r} is not one of: ")
    for option in options.values():
        assert str(option) in str(caught.value)


def test_of_two_numbers_with_the_same_option_the_first_is_written() -> None:
    row = make_row(options={4: "lg", 1: "lg"})
    assert row.decode([1]) == row.decode([4]) == "lg"
    assert row.encode("lg") == (4,)


# -- texts, times and bits ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("codec", "value"),
    [
        (Text(3), "AL1.0"),
        (Hex(2), "00FFA0B1"),
        (CLOCK, datetime(2026, 11, 21, 1, 2, 3)),
        (HOUR_MINUTE, time(23, 59)),
        (MINUTES, time(0, 1)),
    ],
)
def test_texts_and_times_pass_through_a_row(codec: Codec, value: Value) -> None:
    row = make_row(codec=codec)
    words = row.encode(value)
    assert len(words) == row.words
    assert row.end == row.address + row.words
    assert row.decode(list(words)) == value


@pytest.mark.parametrize(
    ("codec", "value", "allowed"),
    [
        (Text(3), 5, "ASCII text"),
        (Text(3), 0.5, "ASCII text"),
        (Text(3), True, "ASCII text"),
        (Hex(1), 5, "text"),
        (Hex(1), "XYZ!", "hexadecimal"),
        (HOUR_MINUTE, "12:00", "time of day"),
        (HOUR_MINUTE, 12.5, "time of day"),
        (MINUTES, time(1, 2, 3), "whole minutes"),
        (CLOCK, time(12), "date and time"),
        (CLOCK, frozenset[Alarm](), "date and time"),
        (LOW_BYTE, 1, "cannot be written"),
        (HIGH_BYTE, True, "cannot be written"),
        (Words(2), "00000000", "cannot be written"),
    ],
)
def test_values_of_another_type_are_refused_with_what_is_taken(
    codec: Codec, value: Value, allowed: str
) -> None:
    with pytest.raises(ValueNotRepresentableError, match=allowed) as caught:
        make_row(key="thing", codec=codec).encode(value)
    assert str(caught.value).startswith(f"thing: {value!r} ")
    assert caught.value.key == "thing"
    assert caught.value.value == value
    assert isinstance(caught.value, RegisterValueError)


@pytest.mark.parametrize(
    ("codec", "value", "allowed"),
    [
        (Text(2), "12345", "longer than 4 characters"),
        (Hex(2), "1234", "has not 8 digits"),
    ],
)
def test_texts_of_the_wrong_length_are_refused_with_the_right_one(
    codec: Codec, value: str, allowed: str
) -> None:
    with pytest.raises(ValueOutOfRangeError, match=allowed):
        make_row(codec=codec).encode(value)


def test_options_of_bits_are_read_but_not_written() -> None:
    row = make_row(key="allowed", codec=Bits(1), options=FLAGS)
    assert row.decode([0b10]) is True
    assert row.decode([0b101]) is False
    with pytest.raises(ValueNotRepresentableError, match=r"allowed: .*cannot be writ"):
        row.encode(True)


def test_rows_are_equal_only_to_themselves() -> None:
    assert make_row() != make_row()
    row = make_row()
    assert {row, row} == {row}
