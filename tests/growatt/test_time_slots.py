"""Time slots: their words, their parts, and which of them stand in each other's way."""

from dataclasses import replace
from datetime import UTC, time
from typing import Final

from hypothesis import given, strategies as st
import pytest

from custom_components.local_solar.growatt.time_slots import (
    change_of_part,
    crosses_midnight,
    overlaps,
    xh_slot,
)
from custom_components.local_solar.points import TimeSlot, TimeSlotChange

MODES: Final = {0: "load_first", 1: "battery_first", 2: "grid_first"}
CODEC: Final = xh_slot(MODES)

TIMES: Final = st.builds(time, st.integers(0, 23), st.integers(0, 59))
SLOTS: Final = st.builds(
    TimeSlot,
    start=TIMES,
    end=TIMES,
    mode=st.sampled_from([*MODES.values()]),
    enabled=st.booleans(),
)


def slot(
    start: str, end: str, mode: str = "load_first", *, enabled: bool = True
) -> TimeSlot:
    """Return a slot between two times."""
    return TimeSlot(
        start=time.fromisoformat(start),
        end=time.fromisoformat(end),
        mode=mode,
        enabled=enabled,
    )


# -- words ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        # As recorded on a MIN 6000TL-XH.
        ((0x8000, 0x173B), slot("00:00", "23:59")),
        ((0x3701, 0), slot("23:01", "00:00", "battery_first", enabled=False)),
        # Bits 13 and 14 are the mode, bit 15 the switch.
        ((0xC51E, 0x0700), slot("05:30", "07:00", "grid_first")),
    ],
)
def test_words_are_those_of_the_documents(
    words: tuple[int, int], expected: TimeSlot
) -> None:
    assert CODEC.decode(words) == expected
    assert CODEC.encode(expected) == words
    assert CODEC.words == len(words)


@given(SLOTS)
def test_every_slot_can_be_written_and_read_back(any_slot: TimeSlot) -> None:
    words = CODEC.encode(any_slot)
    assert all(0 <= word <= 0xFFFF for word in words)
    assert CODEC.decode(words) == any_slot


@given(st.integers(0, 0xFFFF), st.integers(0, 0xFFFF))
def test_words_that_make_a_slot_mean_what_they_say(start: int, end: int) -> None:
    decoded = CODEC.decode((start, end))
    possible = (
        all(word >> 8 & 0x1F < 24 and word & 0xFF < 60 for word in (start, end))
        and start >> 13 & 3 in MODES
    )
    assert (decoded is not None) == possible
    if decoded is not None:
        assert CODEC.encode(decoded) == (start, end & 0x1FFF)


@pytest.mark.parametrize("words", [(0x1800, 0), (0x003C, 0), (0, 0x1800), (0x6000, 0)])
def test_impossible_times_and_modes_are_no_slot(words: tuple[int, int]) -> None:
    assert CODEC.decode(words) is None


@pytest.mark.parametrize(
    "wrong",
    [
        slot("00:00", "01:00", "anti_reflux"),
        slot("00:00:30", "01:00"),
        TimeSlot(
            start=time(1, tzinfo=UTC), end=time(2), mode="load_first", enabled=True
        ),
    ],
)
def test_slot_that_the_words_cannot_hold_is_refused(wrong: TimeSlot) -> None:
    with pytest.raises(TypeError):
        CODEC.encode(wrong)


def test_only_a_slot_can_be_put_into_its_words() -> None:
    for value in (0x8000, "00:00", time(1)):
        with pytest.raises(TypeError, match="is not a time slot"):
            CODEC.encode(value)


# -- parts ----------------------------------------------------------------------------


@given(SLOTS, SLOTS)
def test_change_of_a_part_leaves_the_others_as_they_are(
    before: TimeSlot, after: TimeSlot
) -> None:
    changed: TimeSlot | None = before
    for part in ("start", "end", "mode", "enabled"):
        change = change_of_part(part, getattr(after, part))
        previous, changed = changed, change.applied_to(changed)
        for other in {"start", "end", "mode", "enabled"} - {part}:
            assert getattr(changed, other) == getattr(previous, other)
    assert changed == after


@pytest.mark.parametrize(
    ("part", "value"),
    [
        *[("start", "12:00"), ("start", 12), ("end", None), ("mode", 1)],
        *[("enabled", 1), ("enabled", "on"), ("days", 1), ("power", "50")],
        *[("power", True), ("power", 12.5), ("power", float("nan")), ("name", "x")],
    ],
)
def test_part_of_the_wrong_kind_is_refused(part: str, value: object) -> None:
    with pytest.raises(TypeError, match=f"is not the {part} of a time slot"):
        change_of_part(part, value)


def test_slot_that_is_none_needs_all_parts_to_become_one() -> None:
    wanted = slot("01:00", "02:00")
    change = TimeSlotChange(
        start=wanted.start, end=wanted.end, mode=wanted.mode, enabled=wanted.enabled
    )
    assert change.applied_to(None) == wanted
    for incomplete in (
        replace(change, start=None),
        replace(change, end=None),
        replace(change, mode=None),
        replace(change, enabled=None),
    ):
        assert incomplete.applied_to(None) is None
        assert incomplete.applied_to(wanted) == wanted


# -- in each other's way --------------------------------------------------------------


@pytest.mark.parametrize(
    ("start", "end", "crosses"),
    [
        *[("22:00", "06:00", True), ("12:00", "12:00", True), ("23:59", "00:00", True)],
        *[("00:00", "23:59", False), ("12:00", "12:01", False)],
    ],
)
def test_slot_must_end_after_it_starts(start: str, end: str, crosses: bool) -> None:
    assert crosses_midnight(slot(start, end)) == crosses


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        (slot("01:00", "03:00"), slot("02:00", "04:00"), True),
        (slot("01:00", "04:00"), slot("02:00", "03:00"), True),
        (slot("01:00", "02:00"), slot("01:00", "02:00"), True),
        (slot("01:00", "02:01"), slot("02:00", "03:00"), True),
        # One may begin when the other ends.
        (slot("01:00", "02:00"), slot("02:00", "03:00"), False),
        (slot("01:00", "02:00"), slot("03:00", "04:00"), False),
        # What is switched off is in nobody's way.
        (slot("01:00", "03:00", enabled=False), slot("02:00", "04:00"), False),
    ],
)
def test_slots_overlap_where_they_share_a_part_of_the_day(
    one: TimeSlot, other: TimeSlot, expected: bool
) -> None:
    assert overlaps(one, other) == overlaps(other, one) == expected


@given(SLOTS, SLOTS)
def test_slots_overlap_exactly_when_they_share_a_minute(
    one: TimeSlot, other: TimeSlot
) -> None:
    if crosses_midnight(one) or crosses_midnight(other):
        return

    def minutes(of: TimeSlot) -> set[int]:
        return {
            *range(
                60 * of.start.hour + of.start.minute, 60 * of.end.hour + of.end.minute
            )
        }

    shared = one.enabled and other.enabled and bool(minutes(one) & minutes(other))
    assert overlaps(one, other) == shared
