"""Fault and warning codes."""

from collections.abc import Iterator, Mapping
import csv
from pathlib import Path
import re
from typing import Final

import pytest

from custom_components.local_solar.growatt.alarms import (
    FAULT_OPTIONS,
    FAULTS,
    OFF_GRID,
    OFF_GRID_FAULTS,
    OFF_GRID_WARNING_BITS,
    OFF_GRID_WARNING_BITS_HIGH,
    OFF_GRID_WARNINGS,
    PROTOCOL_2,
    TABLES,
    V3,
    V3_FAULTS,
    V3_WARNINGS,
    WARNING_OPTIONS,
    WARNINGS,
    AlarmKind,
    AlarmTable,
    Meaning,
    slug_texts,
)
from custom_components.local_solar.growatt.profiles.catalogue import PROFILES
from custom_components.local_solar.modbus.codecs import Bits
from custom_components.local_solar.points import Alarm, Value

FACTS = Path(__file__).parents[3] / "shared" / "facts" / "growatt_codes.csv"

each_table = pytest.mark.parametrize("table", TABLES.values(), ids=TABLES)
each_list = pytest.mark.parametrize(
    "meanings",
    [table.meanings(kind) for table in TABLES.values() for kind in AlarmKind],
    ids=[f"{name} {kind}" for name in TABLES for kind in AlarmKind],
)


def codes(alarms: frozenset[Alarm], kind: AlarmKind) -> set[int]:
    return {alarm.code for alarm in alarms if alarm.kind == kind}


@each_list
def test_slugs_are_unique_and_fit_a_state(meanings: Mapping[int, Meaning]) -> None:
    slugs = [alarm.slug for alarm in meanings.values()]
    assert len(set(slugs)) == len(slugs)
    assert all(re.fullmatch(r"[a-z][a-z0-9_]*", slug) for slug in slugs)
    assert "none" not in slugs


@each_list
def test_texts_tell_the_codes_of_a_kind_apart(meanings: Mapping[int, Meaning]) -> None:
    texts = [alarm.text for alarm in meanings.values()]
    assert len(set(texts)) == len(texts)


@pytest.mark.parametrize("kind", AlarmKind)
def test_a_slug_has_the_same_words_in_every_family(kind: AlarmKind) -> None:
    """They share one entity text."""
    texts = slug_texts(kind)
    for table in TABLES.values():
        for meaning in table.meanings(kind).values():
            assert texts[meaning.slug] == meaning.text


def test_options_cover_the_codes_and_the_healthy_state() -> None:
    assert FAULT_OPTIONS.keys() == {0, *FAULTS}
    assert WARNING_OPTIONS.keys() == {0, *WARNINGS}
    assert FAULT_OPTIONS[0] == WARNING_OPTIONS[0] == "none"
    assert OFF_GRID.options(AlarmKind.FAULT).keys() == {0, *OFF_GRID_FAULTS}


def test_every_profile_has_the_rows_that_report_its_alarms() -> None:
    for profile in PROFILES.values():
        table = profile.alarms
        assert set(table.fault_rows) <= set(table.rows)
        assert set(table.rows) <= {row.key for row in profile}, profile.key


def test_the_same_code_means_something_else_as_a_fault_and_as_a_warning() -> None:
    assert PROTOCOL_2.text(AlarmKind.FAULT, 302) == "Grid missing"
    text = PROTOCOL_2.text(AlarmKind.WARNING, 302)
    assert text == "Grid frequency outside its limits"


@each_table
def test_an_unknown_code_is_named_by_its_number(table: AlarmTable) -> None:
    assert table.text(AlarmKind.FAULT, 999) == "Unknown fault 999"
    assert table.text(AlarmKind.FAULT, 0) == "Fault without a code"


def test_the_alarms_of_an_inverter_are_its_codes_that_are_not_0() -> None:
    values: dict[str, Value | None] = {
        "fault_code": 302,
        "fault_subcode": 2,
        "warning_code": 0,
        "warning_subcode": 0,
    }
    assert PROTOCOL_2.alarms(values) == {
        Alarm(kind="fault", code=302, subcode=2, text="Grid missing")
    }
    assert PROTOCOL_2.has_fault(values)
    assert PROTOCOL_2.alarms({"fault_code": None}) == frozenset()
    assert PROTOCOL_2.alarms({"warning_code": 999}) == {
        Alarm(kind="warning", code=999, subcode=0, text="Unknown warning 999")
    }
    assert not PROTOCOL_2.has_fault({"warning_code": 999})


# -- old string inverters -------------------------------------------------------------


def test_the_bits_and_the_code_of_one_fault_are_one_alarm() -> None:
    values: dict[str, Value | None] = {
        "fault_code": 25,
        "fault_bits": 1 << 24,
        "warning_bits": 0,
    }
    assert V3.alarms(values) == {
        Alarm(kind="fault", code=25, subcode=0, text="Grid missing")
    }


def test_every_bit_of_an_old_string_inverter_is_an_alarm() -> None:
    values: dict[str, Value | None] = {
        "fault_code": 0,
        "fault_bits": 1 << 31 | 1 << 17 | 1,
        "warning_bits": 1 << 4 | 1,
    }
    alarms = V3.alarms(values)
    assert codes(alarms, AlarmKind.FAULT) == {32, 18, 1}
    assert codes(alarms, AlarmKind.WARNING) == {104, 100}
    assert V3.has_fault(values)
    assert "Unknown fault 1" in {alarm.text for alarm in alarms}


# -- off-grid models ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "bits", "word", "faults", "warnings"),
    [
        ("grid_bypass", 0, 0, set(), set()),
        # Older firmware: the code of a fault
        ("fault", 0, 7, {7}, set()),
        ("fault", 1 << 6, 7, {7}, set()),
        ("grid_bypass", 1 << 6, 7, {7}, set()),
        ("fault", 0, 0, {0}, set()),
        ("fault", 0, 99, {99}, set()),
        # New firmware: more warnings, and perhaps the code where the bits were
        ("battery_discharging", 0, 1 << 5 | 1 << 2, set(), {34}),
        ("fault", 61, 0, {61}, set()),
        ("fault", 61, 1 << 8, {61}, {39}),
        (None, 0, 1 << 10, set(), {63}),
    ],
)
def test_the_word_that_changed_its_meaning_counts_as_what_it_is(
    status: str | None, bits: int, word: int, faults: set[int], warnings: set[int]
) -> None:
    values: dict[str, Value | None] = {
        "status": status,
        "fault_bits": bits,
        "fault_code": word,
        "warning_bits": 0,
        "warning_code": 0,
    }
    alarms = OFF_GRID.alarms(values)
    assert codes(alarms, AlarmKind.FAULT) == faults
    assert codes(alarms, AlarmKind.WARNING) == warnings
    assert OFF_GRID.has_fault(values) == bool(faults)


def test_the_warning_code_counts_where_no_bit_is_set() -> None:
    values: dict[str, Value | None] = {"warning_bits": 1 << 11, "warning_code": 4}
    assert codes(OFF_GRID.alarms(values), AlarmKind.WARNING) == {2}
    values["warning_bits"] = 0
    assert codes(OFF_GRID.alarms(values), AlarmKind.WARNING) == {4}


# -- true to the facts ----------------------------------------------------------------

needs_facts = pytest.mark.skipif(
    not FACTS.exists(), reason="the collected facts are not here"
)

LISTS: Final = {
    ("protocol_2", "fault"): FAULTS,
    ("protocol_2", "warning"): WARNINGS,
    ("spf", "fault"): OFF_GRID_FAULTS,
    ("v3_pv", "fault"): V3_FAULTS,
}
"""Scope and kind -> codes."""

BITS: Final = {
    ("spf", "warning_bit"): (OFF_GRID_WARNING_BITS, OFF_GRID_WARNINGS),
    ("spf", "warning_bit_high"): (OFF_GRID_WARNING_BITS_HIGH, OFF_GRID_WARNINGS),
    ("v3_pv", "fault_bit"): ({bit: bit + 1 for bit in range(32)}, V3_FAULTS),
    ("v3_pv", "warning_bit"): ({bit: bit + 100 for bit in range(16)}, V3_WARNINGS),
}
"""Scope and kind -> bit -> code, and the codes."""

ROWS: Final = {("bms", "status_bit"): ("spf", 200)}
"""Scope and kind of bits that are rows of their own -> profile and address."""


def documented() -> Iterator[dict[str, str]]:
    with FACTS.open(encoding="utf-8") as file:
        yield from csv.DictReader(file)


@needs_facts
def test_every_documented_code_is_known() -> None:
    for row in documented():
        place = (row["scope"], row["kind"])
        if place in LISTS:
            assert int(row["code"]) in LISTS[place], row
        elif place in BITS:
            bits, meanings = BITS[place]
            code = bits[int(row["code"], 16).bit_length() - 1]
            assert code in meanings, row
            if shown := re.search(r"\((\d\d)\)$", row["label"]):
                assert code == int(shown[1]), row
        else:
            profile, address = ROWS[place]
            first, *last = map(int, row["code"].split("-"))
            width = last[0] - first + 1 if last else 1
            rows = [known for known in PROFILES[profile] if known.address == address]
            assert Bits(first, width) in {known.codec for known in rows}, row
