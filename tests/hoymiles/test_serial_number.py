"""Serial numbers: both printed forms, and the text a DTU names itself by."""

from typing import Final

from hypothesis import example, given, strategies as st
import pytest

from custom_components.local_solar.hoymiles.serial_number import (
    SerialNumberError,
    as_printed,
    as_text,
    normalise_dtu,
    parse,
)

SYMBOLS: Final = "0123456789ABCDEFGHJKLMNPRSTUVWXY"
SERIALS: Final = st.integers(0, (1 << 48) - 1)
SHORT: Final = st.builds(
    lambda upper, lower: upper << 32 | lower,
    st.integers(0x2400, 0x37FF),
    st.integers(0, (1 << 30) - 1),
)
"""Numbers that fit nine characters."""


# -- numbers --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("serial", "text"),
    [
        (22070009266177, "141293100001"),
        (0, "000000000000"),
        (0x10C0_9310_0008, "10C093100008"),
    ],
)
def test_a_number_is_shown_as_12_upper_case_hex_digits(serial: int, text: str) -> None:
    assert as_text(serial) == text
    assert parse(text) == serial


@given(SERIALS)
def test_every_number_is_read_back_from_its_hex_digits(serial: int) -> None:
    text = as_text(serial)
    assert len(text) == 12
    assert text == text.upper()
    assert parse(text) == parse(text.lower()) == serial


@given(SERIALS)
def test_every_number_is_read_back_from_its_sticker(serial: int) -> None:
    assert parse(as_printed(serial)) == serial


@given(st.integers(-(1 << 63), (1 << 64) - 1))
def test_numbers_that_no_device_has_are_shown_all_the_same(serial: int) -> None:
    assert int(as_text(serial), 16) == serial % (1 << 64)
    assert as_printed(serial)


# -- nine characters ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("serial", "printed"),
    [
        (0x2400_0000_0000, "900000000"),
        (0x37FF_3FFF_FFFF, "DYYYYYYYY"),
        (0x282B_04C1_B48E, "A1B2C3D4E"),
        (0x23FF_FFFF_FFFF, "23FFFFFFFFFF"),
        (0x3800_0000_0000, "380000000000"),
        (0x1412_9310_0001, "141293100001"),
    ],
)
def test_numbers_of_the_newer_range_are_printed_with_nine_characters(
    serial: int, printed: str
) -> None:
    assert as_printed(serial) == printed
    assert parse(printed) == serial


@given(SHORT)
def test_what_fits_nine_characters_has_nine(serial: int) -> None:
    printed = as_printed(serial)
    assert len(printed) == 9
    assert set(printed) <= set(SYMBOLS)
    assert parse(printed) == parse(printed.lower()) == serial


@given(SHORT, st.integers(1, 3))
def test_what_nine_characters_would_lose_is_printed_in_full(
    serial: int, lost: int
) -> None:
    assert as_printed(serial | lost << 30) == as_text(serial | lost << 30)


@given(st.text(SYMBOLS, min_size=9, max_size=9))
@example("8YYYYYYYY")
@example("900000000")
@example("DYYYYYYYY")
@example("E00000000")
def test_nine_characters_are_taken_inside_their_range_only(text: str) -> None:
    if "900" <= text[:3] <= "DYY":
        assert as_printed(parse(text)) == text
    else:
        with pytest.raises(SerialNumberError):
            parse(text)


# -- as typed -------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "10c093abcdef",
        "  10C093ABCDEF\n",
        "-10C093ABCDEF-",
        "10C0 93AB CDEF",
        "10C0-93AB-CDEF",
        "10C093ABCDEFJ",
        "10c093abcdefj",
        "10C093ABCDEF\0\0",
    ],
)
def test_numbers_are_taken_as_owners_type_them(text: str) -> None:
    assert parse(text) == 0x10C0_93AB_CDEF


@pytest.mark.parametrize(
    "text",
    [
        "",
        "J",
        "10C093ABCDE",
        "10C093ABCDEF0",
        "10C093ABCDEFJJ",
        "10C093ABCDEG",
        "0x10C093ABCD",
        "+10C093ABCDE",
        "10C0_93ABCDE",
        "90000000I",
        "90000000O",
        "90000000Q",
        "90000000Z",
        "10C093ABCDE١",
        "10C093ABCDﬀ",
        "9000000Yſ",
    ],
)
def test_what_is_no_serial_number_is_refused(text: str) -> None:
    with pytest.raises(SerialNumberError) as caught:
        parse(text)
    assert repr(text) in str(caught.value)
    assert "12 hex digits" in str(caught.value)


@given(st.text())
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        serial = parse(text)
    except SerialNumberError:
        return
    assert 0 <= serial < 1 << 48


# -- DTUs -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "4143A01CED0B",
        "4143a01ced0b",
        " 4143A01CED0B ",
        "4143A01CED0B\0\0\0",
        "4143A01CED0BJ",
        "4143a01ced0bj\0",
    ],
)
def test_a_dtu_has_one_name_however_it_is_written(text: str) -> None:
    assert normalise_dtu(text) == "4143A01CED0B"


@given(st.text())
def test_the_name_of_a_dtu_is_made_plain_once_and_for_all(text: str) -> None:
    plain = normalise_dtu(text)
    assert normalise_dtu(plain) == plain


@given(SERIALS)
def test_the_name_of_a_dtu_keeps_its_digits(serial: int) -> None:
    assert normalise_dtu(as_text(serial) + "J") == as_text(serial)


def test_a_j_that_belongs_to_the_name_stays() -> None:
    assert normalise_dtu("9J000000J") == "9J000000J"
