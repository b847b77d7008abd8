"""Decoding many rows at once: the same as row by row."""

from itertools import product
from random import Random
import re
from typing import Final

from hypothesis import given, settings, strategies as st
import pytest

from custom_components.local_solar.growatt.profiles.catalogue import PROFILES
from custom_components.local_solar.growatt.profiles.vpp import OVERLAY
from custom_components.local_solar.modbus.codecs import (
    CLOCK,
    HIGH_BYTE,
    HOUR_MINUTE,
    LOW_BYTE,
    MINUTES,
    S16,
    S32,
    U16,
    U32,
    Bits,
    Hex,
    Text,
    Words,
)
from custom_components.local_solar.modbus.decoder import (
    Decoder,
    RareRecordDecoder,
    RecordDecoder,
    decode_known,
)
from custom_components.local_solar.modbus.image import RegisterImage, Space
from custom_components.local_solar.modbus.register import Register
from custom_components.local_solar.points import Value

from .helpers import HOLDING, INPUT, make_row
from .test_register import FLAGS, NUMBERS, STATES

FORMS: Final = (
    *(
        {"codec": codec, "scale": scale, "offset": offset}
        for codec in NUMBERS
        for scale in (1, 0.1, 0.5, 10, 1.5, -0.1)
        for offset in (0, -10000)
    ),
    *({"codec": codec, "sentinels": frozenset({0xFFFF, 0})} for codec in NUMBERS),
    *(
        {"codec": codec, "options": options}
        for codec in (U16, S16, U32, Bits(3), Bits(3, 2), LOW_BYTE)
        for options in (STATES, FLAGS)
    ),
    {"codec": U16, "options": STATES, "sentinels": frozenset({1})},
    *(
        {"codec": codec}
        for codec in (Text(3), Hex(2), CLOCK, MINUTES, HOUR_MINUTE, Words(4), HIGH_BYTE)
    ),
)
"""Every way in which a decoder treats rows differently."""

ADDRESSES: Final = 24

words_16 = st.one_of(st.integers(0, 0xFFFF), st.sampled_from((0, 1, 2, 3, 0xFFFF)))
tables = st.lists(
    st.tuples(
        st.sampled_from(FORMS), st.integers(0, ADDRESSES), st.sampled_from(tuple(Space))
    ),
    max_size=20,
).map(
    lambda forms: [
        make_row(address, key=f"row_{place}", space=space, **form)  # type: ignore[arg-type]
        for place, (form, address, space) in enumerate(forms)
    ]
)
images = st.fixed_dictionaries(
    {
        space: st.dictionaries(st.integers(0, ADDRESSES + 6), words_16)
        | st.lists(words_16, min_size=ADDRESSES + 7, max_size=ADDRESSES + 7).map(
            lambda words: dict(enumerate(words))
        )
        for space in Space
    }
)


def test_a_decoder_treats_every_form_as_the_row_does() -> None:
    for form in FORMS:
        row = make_row(**form)  # type: ignore[arg-type]
        for words in product(
            (0, 1, 2, 0x7FFF, 0x8000, 0xFFFF), repeat=min(row.words, 2)
        ):
            image = RegisterImage()
            image.store(INPUT, 0, [*words, *[1] * (row.words - len(words))], 0.0)
            expected = row.decode([image.words[INPUT][n] for n in range(row.words)])
            assert Decoder([row]).decode(image) == {row.key: expected}, form


@settings(max_examples=200)
@given(tables, images)
def test_a_decoder_tells_what_the_rows_tell_one_by_one(
    rows: list[Register], words: dict[Space, dict[int, int]]
) -> None:
    image = RegisterImage()
    for space, known in words.items():
        for address, word in known.items():
            image.store(space, address, [word], 0.0)
    expected = {}
    for row in rows:
        places = range(row.address, row.end)
        if all(place in words[row.space] for place in places):
            expected[row.key] = row.decode(
                [words[row.space][place] for place in places]
            )

    decoded = Decoder(rows).decode(image)

    assert decoded == expected
    assert {key: type(value) for key, value in decoded.items()} == {
        key: type(value) for key, value in expected.items()
    }


def test_missing_words_leave_out_only_the_rows_that_need_them() -> None:
    image = RegisterImage()
    image.store(INPUT, 0, [7, 8, 9], 0.0)
    rows = [
        make_row(0, key="there"),
        make_row(2, U32, key="half"),
        make_row(5, key="gone"),
        make_row(0, key="elsewhere", space=HOLDING),
        make_row(1, U32, key="both", scale=0.1),
    ]
    assert Decoder(rows).decode(image) == {"there": 7, "both": 52429.7}


def test_rows_know_what_they_were_made_of() -> None:
    decoder = Decoder(rows := (make_row(0), make_row(1)))
    assert decoder.registers == rows
    assert re.fullmatch("input_[01]", rows[0].key)


@pytest.mark.parametrize("value", [-2.5, 2.5, 0.0, 214748364.8])
def test_a_negative_scale_turns_the_sign_round(value: float) -> None:
    row = make_row(codec=S32, key="power", scale=-0.1)
    image = RegisterImage()
    image.store(INPUT, 0, S32.encode(round(-10 * value)), 0.0)
    assert Decoder([row]).decode(image) == {"power": value}


# -- records ------------------------------------------------------------------------------

TABLES: Final = {
    **{key: tuple(profile) for key, profile in PROFILES.items()},
    "vpp": tuple(row for section in OVERLAY for row in section.rows),
}

RECORDED: Final = {
    space: [
        ((0, 45), (45, 45), (90, 45)),
        ((0, 125), (125, 125)),
        ((0, 125), (1000, 125), (1125, 125)),
        ((1000, 125), (1125, 125), (2000, 125)),
        ((3000, 125), (3125, 125), (3250, 125)),
        ((31000, 125), (31125, 125)),
        ((3000, 125), (3010, 125)),
    ]
    for space in Space
}
"""First addresses and words of the groups of records, one of them told twice."""


def _typed(values: dict[str, Value | None]) -> dict[str, tuple[type, Value | None]]:
    return {key: (type(value), value) for key, value in values.items()}


def _hold_together(
    table: tuple[Register, ...],
    space: Space,
    groups: tuple[tuple[int, int], ...],
    words: list[int],
) -> int:
    """Decode a record in every way, which must give the same; return how many values."""
    rows = [row for row in table if row.space is space]
    image, addresses, begin = RegisterImage(), list[int](), 0
    for first, count in groups:
        image.store(space, first, words[begin : begin + count], 0.0)
        addresses += range(first, first + count)
        begin += count
    expected = _typed(decode_known(rows, image))
    assert _typed(Decoder(rows).decode(image)) == expected
    for decoder in (RecordDecoder, RareRecordDecoder):
        values, _ = decoder(rows, addresses).decode(words)
        assert _typed(values) == expected
    return len(expected)


@pytest.mark.parametrize("key", TABLES)
@settings(max_examples=15)
@given(st.integers(0, 1 << 32), st.sampled_from(Space), st.data())
def test_a_record_of_any_map_says_what_an_image_of_its_words_says(
    key: str, seed: int, space: Space, data: st.DataObject
) -> None:
    random = Random(seed)
    groups = data.draw(st.sampled_from(RECORDED[space]))
    kind = data.draw(st.sampled_from(("any", "small", "zero", "full")))
    most = {"any": 0xFFFF, "small": 200, "zero": 0, "full": 0xFFFF}[kind]
    words = [
        most if kind == "full" else random.randint(0, most)
        for _, count in groups
        for _ in range(count)
    ]
    _hold_together(TABLES[key], space, groups, words)


def test_records_of_every_map_have_values() -> None:
    for key, table in TABLES.items():
        assert any(
            _hold_together(
                table, INPUT, groups, [1] * sum(count for _, count in groups)
            )
            > 20
            for groups in RECORDED[INPUT]
        ), key


def test_a_row_that_lies_in_a_record_in_part_is_left_out() -> None:
    rows = [make_row(1, U32, key="whole"), make_row(2, U32, key="half")]
    for decoder in (RecordDecoder, RareRecordDecoder):
        assert decoder(rows, [1, 2]).decode([0, 7])[0] == {"whole": 7}
        assert decoder(rows, []).decode([])[0] == {}
        # Its words need not stand together.
        assert decoder(rows, [3, 1, 2]).decode([9, 0, 7])[0] == {
            "whole": 7,
            "half": 7 << 16 | 9,
        }


@given(st.lists(st.integers(0, 0xFFFF), min_size=3, max_size=3))
def test_a_record_is_beyond_doubt_if_all_its_numbers_can_be(words: list[int]) -> None:
    rows = [
        make_row(1, key="small"),
        make_row(2, S16, key="signed"),
        make_row(3, key="free"),
    ]
    limits = {"small": (0, 100), "signed": (-5.0, 5.0), "elsewhere": (0, 1)}
    values, is_beyond_doubt = RecordDecoder(rows, [1, 2, 3], limits).decode(words)
    can_be = words[0] <= 100 and (words[1] <= 5 or words[1] >= 0xFFFB)
    assert is_beyond_doubt is can_be
    assert values["free"] == words[2]


def test_a_number_that_is_not_available_leaves_a_doubt() -> None:
    row = make_row(1, key="charge", sentinels=frozenset({0xFFFF}))
    decoder = RecordDecoder([row], [1], {"charge": (0, 100)})
    assert decoder.decode([50]) == ({"charge": 50}, True)
    assert decoder.decode([0xFFFF]) == ({"charge": None}, False)
