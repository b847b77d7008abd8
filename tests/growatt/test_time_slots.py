"""Time slots: their words, their parts, and which of them stand in each other's way."""

from dataclasses import replace
from datetime import UTC, time
from typing import Final

from hypothesis import given, strategies as st
import pytest

from custom_components.local_solar.growatt.time_slots import (
    SlotCodec,
    change_of_part,
    crosses_midnight,
    off_grid_window,
    overlaps,
    storage_slot,
    us_slot,
    vpp_slot,
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


# -- every encoding -------------------------------------------------------------------

DAYS: Final = {0: "weekday", 1: "weekend", 2: "week"}
US_MODES: Final = {**MODES, 3: "anti_reflux"}

CODECS: Final = {
    "xh": xh_slot(MODES),
    "us": us_slot(2, US_MODES, DAYS),
    "storage": storage_slot("grid_first"),
    "window": off_grid_window("battery_feed"),
    **{f"vpp{n}": vpp_slot(n) for n in (1, 2, 19, 20)},
}

each_codec = pytest.mark.parametrize("name", CODECS)


def words_of(codec: SlotCodec) -> st.SearchStrategy[tuple[int, ...]]:
    """Draw any words, some of which make sense."""
    word = st.integers(0, 0xFFFF) | st.integers(0, 1440)
    return st.tuples(*[word] * codec.words)


def slots_of(codec: SlotCodec) -> st.SearchStrategy[TimeSlot]:
    """Draw any slot that a codec has."""
    nothing = st.none()
    days = codec.field("days")
    return st.builds(
        TimeSlot,
        start=TIMES,
        end=TIMES,
        mode=st.sampled_from(codec.modes),
        enabled=st.booleans() if codec.field("enabled") else nothing,
        power=st.integers(-100, 100) if codec.field("power") else nothing,
        days=st.sampled_from([*DAYS.values()]) if days else nothing,
    )


@each_codec
@given(data=st.data())
def test_a_slot_that_fits_is_read_back_and_no_other_bit_is_changed(
    name: str, data: st.DataObject
) -> None:
    codec = CODECS[name]
    wanted, words = data.draw(slots_of(codec)), data.draw(words_of(codec))
    try:
        after = codec.put(wanted, words)
    except TypeError:
        assert name.startswith("vpp")  # the count does not let it
        return
    assert codec.decode(after) == wanted
    assert all(0 <= word <= 0xFFFF for word in after)
    masks = [0] * codec.words
    for field in codec.fields:
        masks[field.word] |= field.mask
    for mask, before, now in zip(masks, words, after, strict=True):
        assert now & ~mask == before & ~mask
    assert codec.put(wanted, after) == after


@each_codec
@given(data=st.data())
def test_any_words_are_a_slot_or_none_and_a_slot_is_put_back_as_it_was(
    name: str, data: st.DataObject
) -> None:
    codec = CODECS[name]
    words = data.draw(words_of(codec))
    found = codec.decode(words)
    assert codec.is_switched_on(words) or (found is None or found.enabled is False)
    if found is not None:
        assert codec.put(found, words) == words
        assert {*found.parts} == {*codec.parts, "mode"}


@each_codec
def test_parts_of_a_slot_do_not_share_bits(name: str) -> None:
    codec = CODECS[name]
    seen = [0] * codec.words
    for field in codec.fields:
        assert 0 <= field.word < codec.words
        assert not seen[field.word] & field.mask
        seen[field.word] |= field.mask


@pytest.mark.parametrize(
    ("name", "words", "expected"),
    [
        # Protocol II V1.24, 3129: bits 0-6 minute, 7-11 hour, 12-14 mode, 15 switch.
        (
            "us",
            (1 << 15 | 3 << 12 | 6 << 7 | 30, 1 << 12 | 22 << 7 | 15),
            replace(slot("06:30", "22:15", "anti_reflux"), days="weekend"),
        ),
        ("storage", (0x061E, 0x160F, 1), slot("06:30", "22:15", "grid_first")),
        # OffGrid V0.26: the hour is in the low byte.
        (
            "window",
            (0x1E06, 0x0F16),
            TimeSlot(start=time(6, 30), end=time(22, 15), mode="battery_feed"),
        ),
        (
            "vpp1",
            (1, 390, 1335, 0x10000 - 40, *57 * [0]),
            TimeSlot(
                start=time(6, 30), end=time(22, 15), mode="vpp", power=-40, enabled=True
            ),
        ),
    ],
)
def test_words_of_other_families_are_those_of_the_documents(
    name: str, words: tuple[int, ...], expected: TimeSlot
) -> None:
    assert CODECS[name].decode(words) == expected
    assert CODECS[name].encode(expected) == words


@pytest.mark.parametrize(
    ("name", "words"),
    [
        *[("us", (4 << 12, 0)), ("us", (0, 3 << 12)), ("us", (24 << 7, 0))],
        *[("us", (60, 0)), ("us", (0, 24 << 7))],
        *[
            ("storage", (24 << 8, 0, 0)),
            ("storage", (0, 60, 0)),
            ("storage", (0, 0, 2)),
        ],
        *[("window", (24, 0)), ("window", (0, 60 << 8))],
        *[("vpp1", (21, *60 * [0])), ("vpp1", (1, 1440, *59 * [0]))],
        *[("vpp1", (1, 0, 1441, *58 * [0])), ("vpp1", (1, 0, 0, 101, *57 * [0]))],
    ],
)
def test_impossible_words_are_no_slot(name: str, words: tuple[int, ...]) -> None:
    assert CODECS[name].decode(words) is None


def test_a_slot_may_last_until_midnight_in_minutes() -> None:
    words = (1, 0, 1440, 50, *57 * [0])
    found = CODECS["vpp1"].decode(words)
    assert found is not None
    assert found.end == time(23, 59)
    assert CODECS["vpp1"].put(replace(found, power=20), words)[:4] == (1, 0, 1440, 20)


@pytest.mark.parametrize(
    ("name", "wrong", "says"),
    [
        ("storage", slot("01:00", "02:00"), "is always grid_first"),
        ("window", slot("01:00", "02:00", "battery_feed"), "has no part enabled"),
        ("xh", replace(slot("01:00", "02:00"), power=5), "has no part power"),
        ("us", slot("01:00", "02:00"), "needs a part days"),
        ("us", replace(slot("01:00", "02:00"), days="sunday"), "has for days none of"),
        ("vpp1", slot("01:00", "02:00", "vpp"), "needs a part power"),
    ],
)
def test_slot_of_another_family_is_refused(
    name: str, wrong: TimeSlot, says: str
) -> None:
    with pytest.raises(TypeError, match=says):
        CODECS[name].encode(wrong)


@pytest.mark.parametrize("power", [-101, 101, 40000])
def test_power_beyond_all_there_is_is_refused(power: int) -> None:
    wrong = replace(slot("01:00", "02:00", "vpp"), power=power)
    with pytest.raises(OverflowError, match="not within -100 to 100 %"):
        CODECS["vpp1"].encode(wrong)


@pytest.mark.parametrize(
    ("number", "count", "enabled", "after"),
    [
        *[(1, 0, True, 1), (2, 1, True, 2), (2, 2, True, 2), (2, 3, True, 3)],
        *[(2, 0, True, None), (20, 3, True, None)],
        *[(2, 2, False, 1), (2, 1, False, 1), (2, 0, False, 0), (2, 3, False, None)],
        *[(2, 21, True, None), (2, 21, False, None)],
    ],
)
def test_slots_that_are_on_are_counted(
    number: int, count: int, enabled: bool, after: int | None
) -> None:
    wanted = replace(slot("01:00", "02:00", "vpp", enabled=enabled), power=5)
    words = (count, *60 * [0])
    if after is None:
        with pytest.raises(TypeError):
            vpp_slot(number).put(wanted, words)
        return
    put = vpp_slot(number).put(wanted, words)
    assert put[0] == after
    assert put[3 * number - 2 : 3 * number + 1] == (60, 120, 5)


@pytest.mark.parametrize(
    ("name", "on", "off"),
    [("xh", [1, 0], [0, 1]), ("us", [1, 0], [0, 1]), ("storage", [0, 1, 2], [2, 0, 1])],
)
def test_switch_of_a_slot_goes_last_on_and_first_off(
    name: str, on: list[int], off: list[int]
) -> None:
    codec = CODECS[name]
    wanted = TimeSlot(
        start=time(1),
        end=time(2),
        mode=codec.modes[-1],
        enabled=True,
        days="week" if codec.field("days") else None,
    )
    assert codec.order(codec.encode(wanted)) == on
    assert codec.order(codec.encode(replace(wanted, enabled=False))) == off
    assert CODECS["window"].order((1, 2)) == [0, 1]


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        *[("week", "weekday", True), ("weekend", "week", True), ("week", "week", True)],
        *[("weekday", "weekday", True), ("weekday", "weekend", False)],
    ],
)
def test_slots_overlap_on_days_they_share(one: str, other: str, expected: bool) -> None:
    early = replace(slot("01:00", "03:00"), days=one)
    late = replace(slot("02:00", "04:00"), days=other)
    assert overlaps(early, late) == overlaps(late, early) == expected
