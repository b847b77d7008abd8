"""Events of an inverter: which last, which were new, which was the last."""

from typing import Final

from hypothesis import given, strategies as st
import pytest

from custom_components.local_solar.hoymiles.alarms import NONE, SLUGS
from custom_components.local_solar.hoymiles.event_log import EventLog
from custom_components.local_solar.hoymiles.records import AlarmRecord

FINISHED: Final = 1 << 14
MOMENT: Final = 1 << 15
TOO_HOT: Final = 121
OFF: Final = 124
GRID_LOW: Final = 143
STARTED: Final = 1


def event(code: int, number: int = 1, start: int = 1, end: int = 0) -> AlarmRecord:
    """Return an event."""
    return AlarmRecord(7, code, number, start, end, 0, 0)


def log(*events: AlarmRecord) -> EventLog:
    """Return the log after its first list."""
    found = EventLog(three_phase=False)
    found.take(events)
    return found


def codes(found: EventLog) -> set[int]:
    """Return the codes of what is shown."""
    return {alarm.code for alarm in found.alarms()}


def test_nothing_is_known_before_the_first_list() -> None:
    found = EventLog(three_phase=False)
    assert not found.is_known
    assert found.last == NONE
    assert not found.alarms()
    assert log().is_known
    assert log().last == NONE


@pytest.mark.parametrize(
    ("word", "end", "lasts"),
    [
        (TOO_HOT, 0, True),
        (TOO_HOT, 5, False),
        (TOO_HOT | FINISHED, 0, False),
        (TOO_HOT | MOMENT, 0, False),
        (TOO_HOT | 1 << 13 | 1 << 12, 0, True),
    ],
)
def test_fault_is_a_problem_as_long_as_it_lasts(
    word: int, end: int, lasts: bool
) -> None:
    found = log(event(word, end=end))
    assert found.has_fault is lasts
    assert found.lasts is lasts
    assert codes(found) == ({TOO_HOT} if lasts else set())
    assert found.last == "overtemperature"


def test_warning_is_no_problem() -> None:
    found = log(event(GRID_LOW))
    assert not found.has_fault
    assert {alarm.kind for alarm in found.alarms()} == {"warning"}


def test_last_event_is_the_one_with_the_highest_number() -> None:
    events = [event(TOO_HOT, 9), event(GRID_LOW, 11), event(STARTED | MOMENT, 10)]
    assert log(*events).last == "grid_uv"
    assert log(*reversed(events)).last == "grid_uv"


def test_event_that_came_and_went_since_the_list_before_is_told_once() -> None:
    found = log(event(STARTED | MOMENT, 1))
    assert codes(found) == set()  # of old
    found.take([event(STARTED | MOMENT, 1), event(GRID_LOW | FINISHED, 2)])
    assert codes(found) == {GRID_LOW}
    found.take([event(STARTED | MOMENT, 1), event(GRID_LOW | FINISHED, 2)])
    assert codes(found) == set()


def test_event_is_over_when_it_is_not_listed_any_more() -> None:
    found = log(event(TOO_HOT))
    found.take([])
    assert not found.has_fault
    assert codes(found) == set()


@pytest.mark.parametrize(("end", "off"), [(0, True), (5, False)])
def test_inverter_that_was_switched_off_stays_so_until_the_event_ends(
    end: int, off: bool
) -> None:
    assert log(event(OFF, end=end)).is_switched_off is off
    assert not log(event(TOO_HOT)).is_switched_off


def test_two_events_of_one_code_are_two() -> None:
    assert len(log(event(TOO_HOT, 1), event(TOO_HOT, 2)).alarms()) == 2


@given(
    lists=st.lists(
        st.lists(
            st.builds(
                AlarmRecord,
                *[st.integers(-(1 << 31), (1 << 31) - 1)] * 7,
            ),
            max_size=6,
        ),
        max_size=4,
    ),
    three_phase=st.booleans(),
)
def test_anything_may_be_listed(
    lists: list[list[AlarmRecord]], three_phase: bool
) -> None:
    found = EventLog(three_phase=three_phase)
    for events in lists:
        found.take(events)
        assert found.last in SLUGS
        for alarm in found.alarms():
            assert alarm.text
        if found.has_fault:
            assert found.alarms()
