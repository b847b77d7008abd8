"""Fault and warning codes."""

import csv
from pathlib import Path
import re

import pytest

from custom_components.local_solar.growatt.alarms import (
    FAULT_OPTIONS,
    FAULTS,
    WARNING_OPTIONS,
    WARNINGS,
    AlarmKind,
    Meaning,
    alarm_text,
    alarms_of,
)
from custom_components.local_solar.points import Alarm, Value

FACTS = Path(__file__).parents[3] / "shared" / "facts" / "growatt_codes.csv"

TABLES = {AlarmKind.FAULT: FAULTS, AlarmKind.WARNING: WARNINGS}


@pytest.mark.parametrize("alarms", TABLES.values(), ids=TABLES)
def test_slugs_are_unique_and_fit_a_state(alarms: dict[int, Meaning]) -> None:
    slugs = [alarm.slug for alarm in alarms.values()]
    assert len(set(slugs)) == len(slugs)
    assert all(re.fullmatch(r"[a-z][a-z0-9_]*", slug) for slug in slugs)
    assert "none" not in slugs


@pytest.mark.parametrize("alarms", TABLES.values(), ids=TABLES)
def test_texts_tell_the_codes_of_a_kind_apart(alarms: dict[int, Meaning]) -> None:
    texts = [alarm.text for alarm in alarms.values()]
    assert len(set(texts)) == len(texts)


def test_options_cover_the_codes_and_the_healthy_state() -> None:
    assert FAULT_OPTIONS.keys() == {0, *FAULTS}
    assert WARNING_OPTIONS.keys() == {0, *WARNINGS}
    assert FAULT_OPTIONS[0] == WARNING_OPTIONS[0] == "none"


def test_the_same_code_means_something_else_as_a_fault_and_as_a_warning() -> None:
    assert alarm_text(AlarmKind.FAULT, 302) == "Grid missing"
    assert alarm_text(AlarmKind.WARNING, 302) == "Grid frequency outside its limits"


def test_an_unknown_code_is_named_by_its_number() -> None:
    assert alarm_text(AlarmKind.FAULT, 999) == "Unknown fault 999"
    assert alarm_text(AlarmKind.WARNING, 0) == "No warning"


def test_the_alarms_of_an_inverter_are_its_codes_that_are_not_0() -> None:
    values: dict[str, Value | None] = {
        "fault_code": 302,
        "fault_subcode": 2,
        "warning_code": 0,
        "warning_subcode": 0,
    }
    assert alarms_of(values) == {
        Alarm(kind="fault", code=302, subcode=2, text="Grid missing")
    }
    assert alarms_of({"fault_code": None}) == frozenset()
    assert alarms_of({"warning_code": 999}) == {
        Alarm(kind="warning", code=999, subcode=0, text="Unknown warning 999")
    }


@pytest.mark.skipif(not FACTS.exists(), reason="the collected facts are not here")
def test_every_documented_code_is_known() -> None:
    with FACTS.open(encoding="utf-8") as file:
        codes = [row for row in csv.DictReader(file) if row["scope"] == "protocol_2"]
    assert codes
    for row in codes:
        assert int(row["code"]) in TABLES[AlarmKind(row["kind"])]
