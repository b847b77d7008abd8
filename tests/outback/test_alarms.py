"""Bits of errors and warnings as alarms."""

from hypothesis import given, strategies as st
import pytest

from custom_components.local_solar.outback.alarms import FIELDS, alarms_of
from custom_components.local_solar.outback.blocks import BLOCKS
from custom_components.local_solar.outback.codecs import Bit
from custom_components.local_solar.points import Value


@given(
    st.dictionaries(
        st.sampled_from((*FIELDS, "sell_status", "status")),
        st.one_of(st.none(), st.integers(0, 0x7FFF)),
    )
)
def test_each_named_bit_is_one_alarm(values: dict[str, Value | None]) -> None:
    alarms = alarms_of(values)
    expected = sum(
        (bits & mask).bit_count()
        for key, (_, names) in FIELDS.items()
        for mask in names
        if isinstance(bits := values.get(key), int)
    )
    assert len(alarms) == expected
    for alarm in alarms:
        assert alarm.code.bit_count() == 1
        assert alarm.text[0].isupper()
        assert "_" not in alarm.text


@pytest.mark.parametrize("key", FIELDS)
def test_nothing_is_no_alarm(key: str) -> None:
    assert alarms_of({}) == alarms_of({key: 0}) == alarms_of({key: None}) == frozenset()


@pytest.mark.parametrize(
    ("key", "kind", "offset_of"),
    [
        ("error_flags", "fault", {64113: 14, 64115: 23, 64117: 16}),
        ("warning_flags", "warning", {64113: 15, 64115: 24, 64117: 17}),
        ("faults", "fault", {64112: 10}),
    ],
)
def test_the_fields_are_where_the_documents_have_them(
    key: str, kind: str, offset_of: dict[int, int]
) -> None:
    assert FIELDS[key][0] == kind
    found = {
        did: row.offset
        for did, block in BLOCKS.items()
        for row in block.rows
        if row.key == key
    }
    assert found == offset_of
    for did in offset_of:
        masks = {
            row.register.codec.mask
            for row in BLOCKS[did].rows
            if row.offset == found[did] and isinstance(row.register.codec, Bit)
        }
        assert masks == set(FIELDS[key][1])
