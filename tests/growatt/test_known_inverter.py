"""Records of a datalogger: what is taken in of them, and what is not."""

from dataclasses import replace
from random import Random
from typing import Final

from hypothesis import given, settings, strategies as st
import pytest

from custom_components.local_solar.growatt.battery import CONFIRMATIONS
from custom_components.local_solar.growatt.datalogger.packets import Type
from custom_components.local_solar.growatt.datalogger.records import (
    Block,
    RegisterRecord,
    decode,
)
from custom_components.local_solar.growatt.identify import Identification
from custom_components.local_solar.growatt.known_inverter import (
    PV_TOTAL,
    SETS_KEPT,
    KnownInverter,
    Poll,
)
from custom_components.local_solar.growatt.models import Family
from custom_components.local_solar.growatt.profiles.catalogue import PROFILES
from custom_components.local_solar.modbus.decoder import Decoder
from custom_components.local_solar.modbus.image import RegisterImage, Space
from custom_components.local_solar.points import ALARMS, PROBLEM
from tests.modbus.helpers import HOLDING, INPUT

from .datalogger.recordings import ANNOUNCED, LIVE, Recording, each_of, recorded

ID: Final = "SNL0CE1234"
BATTERY: Final = f"{ID}_battery"

WITH_BATTERY: Final = {
    *(Family.MIN_TL_XH, Family.MIN_TL_XH_US, Family.MOD_TL3_XH),
    *(Family.SPH, Family.SPH_TL3, Family.SPA, Family.SPF, Family.WIT),
}

GROUPS: Final = {
    Family.V3_PV: ((0, 45), (45, 45)),
    Family.SPF: ((0, 45), (45, 45), (90, 45)),
    **dict.fromkeys(
        (Family.TL_X_BASE, Family.MOD_TL3_X, Family.MAX_TL3, Family.WIT),
        ((0, 125), (125, 125)),
    ),
    **dict.fromkeys((Family.SPH, Family.SPH_TL3), ((0, 125), (1000, 125), (1125, 125))),
    Family.SPA: ((1000, 125), (1125, 125), (2000, 125)),
    **dict.fromkeys(
        (Family.MIN_TL_X, Family.MIN_TL_XH, Family.MIN_TL_XH_US, Family.MOD_TL3_XH),
        ((3000, 125), (3125, 125)),
    ),
}
"""First addresses and numbers of the input registers that loggers report of a family."""

KEYS: Final = {
    "ppv_W": "pv_power",
    "ppv1_W": "pv1_power",
    "vpv1_V": "pv1_voltage",
    "vpv2_V": "pv2_voltage",
    "pac_W": "ac_power",
    "fac_Hz": "grid_frequency",
    "e_today_kWh": "energy_today",
    "e_total_kWh": "energy_total",
    "output_W": "ac_output_power",
    "pv_energy_total_kWh": "pv1_energy_total",
}
"""Name in the recordings -> key."""


def known(family: Family = Family.MIN_TL_XH, **fields: object) -> KnownInverter:
    """Return an inverter of a family, with all that it may have."""
    identified = Identification(
        serial_number=ID,
        family=family,
        profile=family,
        model="an inverter",
        phases=3,
        battery=family in WITH_BATTERY,
    )
    return KnownInverter(replace(identified, **fields))  # type: ignore[arg-type]


def blocks_of(
    family: Family, words: dict[int, int], fill: int = 0
) -> tuple[Block, ...]:
    """Return what a logger reports of a family, with some words."""
    return tuple(
        Block(first, tuple(words.get(at, fill) for at in range(first, first + count)))
        for first, count in GROUPS[family]
    )


def family_of(it: Recording) -> Family:
    """Return the family of a recording, as far as the map is concerned."""
    (first, last), *others = it.decoded["groups"]
    if first == 3000:
        return Family.MIN_TL_XH
    if last == 124:
        return Family.SPH_TL3 if len(others) == 2 else Family.MOD_TL3_X
    return Family.SPF if "battery_V" in it.decoded["values"] else Family.V3_PV


def record_of(it: Recording) -> RegisterRecord:
    """Return what a recording says."""
    record = decode(it.packet)
    assert isinstance(record, RegisterRecord)
    return record


def taken(inverter: KnownInverter, it: Recording) -> Poll:
    """Take in a recording."""
    record = record_of(it)
    return inverter.take_in(
        record.space, record.blocks, 7.0, keep=record.type != Type.BUFFERED
    )


# -- what was recorded ----------------------------------------------------------------------


@each_of([it for it in LIVE if not it.is_made_up and "garbage" not in it.id])
def test_every_recorded_record_is_taken_with_the_values_it_was_published_with(
    it: Recording,
) -> None:
    inverter = known(family_of(it))
    poll = taken(inverter, it)
    assert poll.asleep is None
    own = poll.snapshot[ID]
    told = it.decoded["values"]
    compared = [name for name in KEYS if name in told and KEYS[name] in own]
    assert len(compared) >= 3
    for name in compared:
        assert own[KEYS[name]] == pytest.approx(told[name], abs=0.1), name
    for values in poll.snapshot.values():
        assert not poll.failed.keys() & values
    seen = inverter.image.seen_at(INPUT, it.decoded["groups"][0][0])
    assert seen == (None if it.kind == Type.BUFFERED else 7.0)


@each_of(ANNOUNCED)
def test_every_recorded_announcement_is_taken(it: Recording) -> None:
    first, last = it.decoded["groups"][1]
    families = {3000: Family.MIN_TL_XH, 1000: Family.SPH_TL3, 45: Family.V3_PV}
    inverter = known(families[first])
    poll = taken(inverter, it)
    assert poll.snapshot
    assert not poll.failed
    assert inverter.image.get(HOLDING, 43, 1) == [
        it.decoded["values"]["holding_43_dtc"]
    ]
    assert inverter.image.get(HOLDING, last, 1) is not None


def test_a_record_that_claims_393_megawatts_is_garbage() -> None:
    good, garbage = recorded("v6-spf-04-2"), recorded("v6-spf-04-garbage-1")
    inverter = known(Family.SPF)
    taken(inverter, good)
    before = inverter.image.dump()
    poll = taken(inverter, garbage)
    assert not poll.snapshot
    assert "pv2_power" in poll.failed
    assert inverter.image.dump() == before


# -- what is taken in -----------------------------------------------------------------------


def test_a_record_says_what_an_image_of_its_words_says() -> None:
    inverter = known()
    blocks = blocks_of(Family.MIN_TL_XH, {3000: 1, 3003: 3500, 3025: 5000, 3026: 2300})
    poll = inverter.take_in(INPUT, blocks, 7.0)
    assert not poll.failed
    own = poll.snapshot[ID]
    assert (own["pv1_voltage"], own["grid_frequency"]) == (350.0, 50.0)
    assert inverter.image.seen_at(INPUT, 3249) == 7.0
    assert inverter.image.get(INPUT, 3025, 2) == [5000, 2300]
    assert inverter.image.get(HOLDING, 3025, 1) is None


def test_a_value_that_cannot_be_is_left_out_alone() -> None:
    inverter = known()
    poll = inverter.take_in(
        INPUT, blocks_of(Family.MIN_TL_XH, {3000: 1, 3003: 0xFFFF, 3025: 5000}), 0.0
    )
    assert poll.failed == {"pv1_voltage": "6553.5 cannot be"}
    assert "pv1_voltage" not in poll.snapshot[ID]
    assert poll.snapshot[ID]["grid_frequency"] == 50.0
    assert inverter.image.get(INPUT, 3003, 1) == [0xFFFF]


def test_two_values_that_are_shown_and_cannot_be_make_garbage() -> None:
    inverter = known()
    words = {3000: 1, 3001: 0x7FFF, 3023: 0x3FFF, 3025: 5000}
    poll = inverter.take_in(INPUT, blocks_of(Family.MIN_TL_XH, words), 0.0)
    assert not poll.snapshot
    assert {"pv_power", "ac_power"} <= poll.failed.keys()
    assert not inverter.image.words[INPUT]


@pytest.mark.parametrize("keep", [True, False])
@pytest.mark.parametrize("space", Space)
def test_nothing_but_zeros_is_of_an_inverter_that_sleeps(
    space: Space, keep: bool
) -> None:
    for blocks in (blocks_of(Family.MIN_TL_XH, {}), ()):
        inverter = known()
        poll = inverter.take_in(space, blocks, 0.0, keep=keep)
        assert poll.asleep
        assert not poll.snapshot
        assert not inverter.image.words[space]


def test_a_record_of_an_earlier_time_is_only_looked_at() -> None:
    inverter = known()
    now, before = (
        blocks_of(Family.MIN_TL_XH, {3025: frequency}) for frequency in (5000, 4990)
    )
    inverter.take_in(INPUT, now, 7.0)
    poll = inverter.take_in(INPUT, before, 8.0, keep=False)
    assert poll.snapshot[ID]["grid_frequency"] == 49.9
    assert inverter.image.get(INPUT, 3025, 1) == [5000]
    assert inverter.image.seen_at(INPUT, 3025) == 7.0


def test_a_record_that_came_later_counts_whatever_its_shape() -> None:
    inverter = known()
    long = blocks_of(Family.MIN_TL_XH, {3025: 5000, 3200: 7})
    short = blocks_of(Family.MIN_TL_XH, {3025: 4990})[:1]
    for at, blocks in enumerate((long, short, long)):
        inverter.take_in(INPUT, blocks, float(at))
    assert inverter.image.get(INPUT, 3025, 1) == [5000]
    assert inverter.image.seen_at(INPUT, 3025) == 2.0
    assert inverter.image.get(INPUT, 3200, 1) == [7]


seeds = st.integers(0, 1 << 32)
shapes = st.lists(
    st.tuples(st.integers(0, 60), st.integers(1, 12)), min_size=1, max_size=3
)
records = st.tuples(st.sampled_from(Space), shapes, st.booleans(), st.integers(1, 9))


@given(st.lists(records, max_size=3 * SETS_KEPT), st.integers(1, 5))
def test_the_image_is_what_the_records_left_in_their_order(
    reported: list[tuple[Space, list[tuple[int, int]], bool, int]], look_each: int
) -> None:
    inverter, image = known(Family.MIN_TL_XH), RegisterImage()
    for at, (space, shape, keep, fill) in enumerate(reported):
        blocks = tuple(Block(first, (fill,) * count) for first, count in shape)
        assert inverter.take_in(space, blocks, float(at), keep=keep).asleep is None
        if keep:
            for block in blocks:
                image.store(space, block.first, block.words, float(at))
        if at % look_each == 0:
            assert inverter.image.dump() == image.dump()
    assert inverter.image.dump() == image.dump()
    for space, seen in image.words.items():
        for address in seen:
            assert inverter.image.seen_at(space, address) == image.seen_at(
                space, address
            )


def test_words_that_are_forgotten_do_not_come_back() -> None:
    inverter = known()
    inverter.take_in(INPUT, blocks_of(Family.MIN_TL_XH, {3025: 5000}), 0.0)
    inverter.forget_words()
    assert not inverter.image.words[INPUT]


# -- every map ------------------------------------------------------------------------------


@pytest.mark.parametrize("family", Family)
@settings(max_examples=10)
@given(seeds, st.sampled_from((1, 50, 2000)))
def test_records_of_every_map_say_what_its_rows_say(
    family: Family, seed: int, most: int
) -> None:
    inverter, random = known(family), Random(seed)
    blocks = blocks_of(family, {at: random.randint(0, most) for at in range(3300)})
    poll = inverter.take_in(INPUT, blocks, 0.0)
    image = RegisterImage()
    for first, words in blocks:
        image.store(INPUT, first, words, 0.0)
    expected = Decoder(row for row in inverter.rows if row.space is INPUT).decode(image)
    assert expected
    if not poll.snapshot:
        assert poll.asleep or len(poll.failed) > 1
        return
    told = {
        key: value for values in poll.snapshot.values() for key, value in values.items()
    }
    for key, value in expected.items():
        if key not in poll.failed and key != PV_TOTAL:
            assert told[key] == value, key
    derived = told.keys() - expected.keys() - {PROBLEM.key, ALARMS.key}
    shown = {point.key for device in inverter.devices for point in device.points}
    assert derived <= shown


@pytest.mark.parametrize("family", Family)
@settings(max_examples=10)
@given(seeds, shapes, st.integers(0, 0xFFFF))
def test_no_words_raise_anything(
    family: Family, seed: int, shape: list[tuple[int, int]], offset: int
) -> None:
    inverter, random = known(family), Random(seed)
    for space in Space:
        for keep in (True, False):
            usual = [
                Block(first, tuple(random.choices(range(0x10000), k=count)))
                for first, count in GROUPS[family]
            ]
            odd = [
                Block(first + offset, tuple(random.choices(range(0x10000), k=count)))
                for first, count in shape
            ]
            for blocks in (usual, odd, usual + odd):
                poll = inverter.take_in(space, blocks, 0.0, keep=keep)
                assert poll.asleep or poll.snapshot or poll.failed


def test_every_family_has_groups_here() -> None:
    assert set(GROUPS) == set(Family) == set(map(Family, PROFILES))


# -- the scale of the battery's voltage -------------------------------------------------------

HIGH_VOLTAGE: Final = {3000: 1, 3169: 4000, 3170: 100, 3178: 0, 3179: 40000}
"""A battery of 400 V, told in tenths, that gives 10 A and 4 kW."""


def voltage(poll: Poll) -> object:
    """Return the battery's voltage."""
    return poll.snapshot[BATTERY]["battery_voltage"]


def test_records_correct_the_scale_of_the_batterys_voltage() -> None:
    inverter = known(battery_code="ZEBA")
    blocks = blocks_of(Family.MIN_TL_XH, HIGH_VOLTAGE)
    for _ in range(CONFIRMATIONS - 1):
        assert voltage(inverter.take_in(INPUT, blocks, 0.0)) == 40.0
    for _ in range(2):
        assert voltage(inverter.take_in(INPUT, blocks, 0.0)) == 400.0
    row = inverter.register("battery_voltage")
    assert row is not None
    assert row.decode([4000]) == 400.0


def test_records_of_an_earlier_time_correct_nothing() -> None:
    inverter = known(battery_code="ZEBA")
    blocks = blocks_of(Family.MIN_TL_XH, HIGH_VOLTAGE)
    for _ in range(2 * CONFIRMATIONS):
        poll = inverter.take_in(INPUT, blocks, 0.0, keep=False)
        assert voltage(poll) == 40.0


# -- the yield that some firmware does not count ----------------------------------------------


def test_a_yield_that_is_not_counted_is_the_sum_of_the_strings() -> None:
    inverter = known()
    words = {3052: 500, 3054: 0, 3058: 300, 3062: 400}
    first = inverter.take_in(INPUT, blocks_of(Family.MIN_TL_XH, words), 0.0)
    assert PV_TOTAL not in first.snapshot[ID]
    second = inverter.take_in(INPUT, blocks_of(Family.MIN_TL_XH, words), 0.0)
    assert second.snapshot[ID][PV_TOTAL] == 70.0


@given(
    st.sampled_from(list(Family)),
    st.lists(st.integers(0, 0xFFFF), min_size=1, max_size=6),
)
def test_alarms_follow_the_words_from_record_to_record(
    family: Family, fills: list[int]
) -> None:
    """What is remembered of the last record does not hide what changes."""
    inverter = known(family)
    for at, fill in enumerate(fills):
        for word in (fill, fill & 1):
            blocks = tuple(
                Block(
                    first,
                    tuple(
                        (word + place) % 5 * word & 0xFFFF
                        for place in range(last - first + 1)
                    ),
                )
                for first, last in PROFILES[family].groups[INPUT]
            )
            poll = inverter.take_in(INPUT, blocks, float(at))
            own = poll.snapshot.get(inverter.id, {})
            if ALARMS.key in own:
                assert own[ALARMS.key] == inverter.profile.alarms.alarms(own)
            if PROBLEM.key in own:
                assert own[PROBLEM.key] == inverter.profile.alarms.has_fault(own)
