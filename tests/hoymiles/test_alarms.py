"""Alarm codes of microinverters, and the word they come in."""

from collections import Counter
import csv
from pathlib import Path
import re
from typing import Final

from hypothesis import given, strategies as st
import pytest

from custom_components.local_solar.hoymiles.alarms import (
    ROWS,
    SLUGS,
    TEXTS,
    AlarmKind,
    AlarmWord,
    Meaning,
    Scope,
    decode_word,
    describe,
)

FACTS: Final = (
    Path(__file__).parents[3] / "shared" / "facts" / "hoymiles_alarm_codes.csv"
)

SLUG: Final = re.compile(r"(?!.*__)[a-z0-9](?:[a-z0-9_]*[a-z0-9])?")


def word(
    code: int,
    *,
    finished: bool = False,
    momentary: bool = False,
    start_pm: bool = False,
    end_pm: bool = False,
) -> AlarmWord:
    """Return a word with the flags named."""
    return AlarmWord(
        code=code,
        finished=finished,
        momentary=momentary,
        start_pm=start_pm,
        end_pm=end_pm,
    )


# -- table ----------------------------------------------------------------------------


def test_slugs_can_be_states_and_translation_keys() -> None:
    assert len(set(SLUGS)) == len(SLUGS)
    assert all(SLUG.fullmatch(slug) for slug in SLUGS)
    assert {"none", "unknown"} < set(SLUGS)
    assert set(SLUGS) == {row.key for row in ROWS} | {"none", "unknown"}


def test_every_slug_has_words_of_its_own() -> None:
    assert tuple(TEXTS) == SLUGS
    shared = [text for text, count in Counter(TEXTS.values()).items() if count > 1]
    assert shared == []


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
def test_words_are_short_and_start_like_a_sentence(text: str) -> None:
    assert 0 < len(text) <= 60
    assert text[0].isupper()
    assert not text.endswith(".")


@pytest.mark.parametrize("three_phase", [False, True])
def test_a_code_has_one_meaning_on_an_inverter(three_phase: bool) -> None:
    other = Scope.NOT_THREE_PHASE if three_phase else Scope.THREE_PHASE
    codes = Counter(row.code for row in ROWS if row.scope is not other)
    assert [code for code, count in codes.items() if count > 1] == []
    for row in ROWS:
        if row.scope is not other:
            meaning = describe(row.code, three_phase=three_phase)
            assert (meaning.key, meaning.text) == (row.key, row.text)


@pytest.mark.skipif(not FACTS.exists(), reason="the collected facts are not here")
def test_rows_are_those_of_the_facts() -> None:
    with FACTS.open(encoding="utf-8") as file:
        facts = [
            (int(fact["code"]), fact["scope"], fact["key"], fact["class"])
            for fact in csv.DictReader(file)
        ]
    assert [(row.code, row.scope, row.key, row.category) for row in ROWS] == facts


# -- meaning --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "three_phase", "key"),
    [
        (217, False, "pv2_ov"),
        (217, True, "pv5_no_input"),
        (221, True, "neutral_wiring"),
        (222, False, "pv4_uv"),
        (222, True, "unknown"),
        (171, True, "phase_difference"),
        (171, False, "unknown"),
        (124, True, "remote_off"),
        (124, False, "remote_off"),
        (5041, False, "mi_pv1_oc"),
    ],
)
def test_some_codes_mean_something_else_with_three_phases(
    code: int, three_phase: bool, key: str
) -> None:
    assert describe(code, three_phase=three_phase).key == key


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (121, AlarmKind.FAULT),
        (141, AlarmKind.WARNING),
        (209, AlarmKind.WARNING),
        (71, AlarmKind.WARNING),
        (124, AlarmKind.INFO),
    ],
)
def test_faults_outrank_what_comes_from_outside(code: int, kind: AlarmKind) -> None:
    assert describe(code, three_phase=False).kind is kind


@given(st.integers(), st.booleans())
def test_every_code_has_a_meaning(code: int, three_phase: bool) -> None:
    meaning = describe(code, three_phase=three_phase)
    assert meaning.key in SLUGS
    if meaning.key == "unknown":
        assert meaning == Meaning("unknown", AlarmKind.INFO, f"Unknown event {code}")


# -- word -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        # As seen on devices.
        (8409, word(217, start_pm=True)),
        (8316, word(124, start_pm=True)),
        (28796, word(124, finished=True, start_pm=True, end_pm=True)),
        (32769, word(1, momentary=True)),
        (16514, word(130, finished=True)),
        (45058, word(2, momentary=True, start_pm=True, end_pm=True)),
    ],
)
def test_words_of_devices_are_taken_apart(raw: int, expected: AlarmWord) -> None:
    assert decode_word(raw) == expected


@given(
    st.integers(0, 0xFFF), st.booleans(), st.booleans(), st.booleans(), st.booleans()
)
def test_code_and_flags_do_not_touch_each_other(
    code: int, end_pm: bool, start_pm: bool, finished: bool, momentary: bool
) -> None:
    raw = code | end_pm << 12 | start_pm << 13 | finished << 14 | momentary << 15
    assert decode_word(raw) == word(
        code, finished=finished, momentary=momentary, start_pm=start_pm, end_pm=end_pm
    )
