"""Rows where a gateway says that their blocks are, and never beyond."""

import asyncio
from typing import Final

from hypothesis import given, settings, strategies as st
import pytest

from custom_components.local_solar.modbus.image import RegisterImage, Space
from custom_components.local_solar.outback.block import Block, Nominal
from custom_components.local_solar.outback.blocks import BLOCKS
from custom_components.local_solar.outback.chain import Place
from custom_components.local_solar.outback.decoding import BlockDecoder
from custom_components.local_solar.outback.mate3 import Mate3
from custom_components.local_solar.outback.placed import (
    PlacedRow,
    as_exponent,
    groups,
    spans_of,
    with_structure,
)
from custom_components.local_solar.outback.reading import (
    firmware_of,
    gateway_id,
    text_of,
    words_of,
)
from custom_components.local_solar.outback.system import async_identify
from simulators.mate3.chain import Chain
from simulators.mate3.systems import VARIANTS
from tests.modbus.helpers import FakeClock

from .helpers import (
    SPACING,
    GatewayUnit,
    MapUnit,
    identified,
    still,
    time_of,
    wanted_of,
)

ADDRESS: Final = 40500

blocks = pytest.mark.parametrize("block", BLOCKS.values(), ids=map(str, BLOCKS))


def place_of(block: Block, length: int) -> Place:
    """Return a block that says it is so long."""
    return Place(
        did=block.did,
        address=ADDRESS,
        length=length,
        port=3 if block.has_port else None,
    )


def shortened(chain: Chain, did: int, length: int) -> Chain:
    """Return a chain in which blocks of a number are shorter, as other firmware has them."""
    chain = chain.copy()
    for block in chain.blocks:
        if block.did == did and length + 2 < len(block.words):
            del block.words[length + 2 :]
            block.words[1] = length
    return chain


def as_map(chain: Chain) -> dict[int, int]:
    """Return the registers of a chain."""
    return dict(enumerate(chain.as_words(), 40000))


# -- lengths ----------------------------------------------------------------------------------


@blocks
def test_rows_beyond_the_length_are_no_rows(block: Block) -> None:
    last = max(row.end for row in block.rows) - 1
    for length in range(last + 3):
        rows = block.rows_within(length)
        # The last offset of a block of this length: number and length are not counted.
        inside = {row.name for row in block.rows if row.end - 1 <= length + 2}
        assert {row.name for row in rows} == {
            name for name in inside if (block.row(name).scale_factor or "did") in inside
        }


@blocks
def test_words_beyond_the_length_are_not_the_blocks(block: Block) -> None:
    image = RegisterImage()
    image.store(Space.HOLDING, ADDRESS, [0x4141] * 600, 0.0)
    for length in {0, 1, 9, *range(13, block.length, 16), block.length}:
        place = place_of(block, length)
        for row in block.rows:
            is_inside = row.end - 1 <= length + 2
            assert (words_of(place, row.name, image) is not None) == is_inside
            if not is_inside:
                assert text_of(place, row.name, image) == ""


def reads_beyond(place: Place) -> list[str]:
    """Return the rows whose values or scales are not within a block that has them."""
    block = place.block
    assert block is not None
    rows = block.rows_within(place.length)
    return [
        row.name
        for row in with_structure(place, rows)
        if row.at(place.address).end > place.end
    ]


@blocks
def test_what_is_read_with_rows_is_inside_the_block(block: Block) -> None:
    """From the shortest that has a port on."""
    for length in range(1, block.length + 1):
        assert reads_beyond(place_of(block, length)) == [], length


async def test_a_scale_beyond_the_length_is_not_taken_from_the_next_block() -> None:
    chain = shortened(still().chain, 64110, 416)
    # Offset 420 of the gateway's block is the second word of the next one, its length.
    chain.blocks[2].words[1] = 2
    del chain.blocks[2].words[4:]
    unit = MapUnit(as_map(chain))
    with time_of(FakeClock()):
        mate3 = Mate3(unit, await async_identify(unit), spacing=SPACING)
        poll = await mate3.async_poll({(mate3.system.id, "set_time_zone")})
    assert "set_time_zone" not in poll.snapshot.get(mate3.system.id, {})


async def test_a_device_block_without_words_is_left_out() -> None:
    """What stands in the place of its port is the number that ends the map."""
    unit = MapUnit(as_map(shortened(still().chain, 64119, 0)))
    mate3 = Mate3(unit, await async_identify(unit), spacing=SPACING)
    assert all(equipment.port <= 10 for equipment in mate3.system.equipment)
    with time_of(FakeClock()):
        poll = await mate3.async_poll(wanted_of(mate3))
    assert poll.failed == {}


async def test_a_device_before_the_gateway_is_no_obstacle() -> None:
    chain = still().chain
    chain.blocks = [*chain.device(3).blocks, *chain.blocks[:3]]
    unit = MapUnit(as_map(chain))
    mate3 = Mate3(unit, await async_identify(unit), spacing=SPACING)
    with time_of(FakeClock()):
        poll = await mate3.async_poll(wanted_of(mate3))
    assert len(poll.snapshot) == 2


async def test_the_gateway_may_have_blocks_behind_those_of_devices() -> None:
    chain = still().chain
    own = [block for block in chain.blocks if block.did in (64120, 64255)]
    chain.blocks = [block for block in chain.blocks if block not in own] + own
    unit = MapUnit(as_map(chain))
    with time_of(FakeClock()):
        mate3 = Mate3(unit, await async_identify(unit), spacing=SPACING)
        poll = await mate3.async_poll(wanted_of(mate3))
    assert poll.failed == {}
    assert poll.snapshot[mate3.system.id]["inverter_mode"] == "on"


@st.composite
def lengths(draw: st.DrawFn) -> tuple[str, int, int]:
    """Draw a system, and how short one kind of its blocks is."""
    variant = draw(st.sampled_from(sorted(VARIANTS)))
    dids = sorted({block.did for block in still(variant).chain.blocks} & set(BLOCKS))
    did = draw(st.sampled_from([did for did in dids if did not in (1, 64110)]))
    return variant, did, draw(st.integers(1, BLOCKS[did].length))


@pytest.mark.parametrize("part", range(2))
@settings(max_examples=20)
@given(lengths(), st.sampled_from((0, 1, 0x7FFF, 0x8000, 0xFFFF, 64116)))
def test_what_is_behind_a_short_block_changes_none_of_its_values(
    part: int, short: tuple[str, int, int], poison: int
) -> None:
    """Poison follows the block, and nothing of it shows."""
    variant, did, length = short

    async def values(*, poisoned: bool) -> dict[str, object]:
        chain = shortened(still(variant).chain, did, length)
        if poisoned:
            stranger = type(chain.blocks[0])([999, 120, *([poison] * 120)])
            blocks = []
            for block in chain.blocks:
                blocks.append(block)
                if block.did == did:
                    blocks.append(stranger)
            chain.blocks = blocks
        unit = MapUnit(as_map(chain))
        mate3 = Mate3(unit, await async_identify(unit), spacing=SPACING)
        poll = await mate3.async_poll(wanted_of(mate3))
        assert poll.failed == {}
        return {
            f"{device} {key}": value
            for device, found in poll.snapshot.items()
            for key, value in found.items()
        }

    with time_of(FakeClock()):
        clean = asyncio.run(values(poisoned=False), debug=False)
        assert asyncio.run(values(poisoned=True), debug=False) == clean


# -- what is read together ----------------------------------------------------------------------


@pytest.mark.parametrize("variant", VARIANTS)
async def test_a_device_is_read_inside_its_blocks(variant: str) -> None:
    mate3 = await identified(GatewayUnit(still(variant)))
    stretches = list(groups(mate3.system))
    *others, last_place = mate3.system.places
    for place in others:
        if place.port is not None:
            assert (place.address, place.end - 1) in stretches
    # And the register that says that the map ends there.
    assert (last_place.address, last_place.end) in stretches
    ends = [last for _, last in stretches]
    assert all(
        first > last for (first, _), last in zip(stretches[1:], ends, strict=False)
    )


@pytest.mark.parametrize("variant", VARIANTS)
async def test_every_read_of_a_device_brings_what_it_says_it_is(variant: str) -> None:
    """So that no value of a block that has moved passes for one of this."""
    mate3 = await identified(GatewayUnit(still(variant)))
    reads = mate3.planned(wanted_of(mate3))
    for place in mate3.system.places:
        if place.port is None:
            continue
        inside = [read for read in reads if place.address <= read.address < place.end]
        assert [read.address for read in inside] == [place.address]
        assert inside[0].end <= place.end + (place is mate3.system.places[-1])


@pytest.mark.parametrize("variant", VARIANTS)
async def test_a_setting_is_read_with_all_that_its_block_says_it_is(
    variant: str,
) -> None:
    mate3 = await identified(GatewayUnit(still(variant)))
    for rows in mate3.rows.values():
        for placed in rows.values():
            spans = spans_of(placed)
            covered = {
                address
                for first, count in spans
                for address in range(first, first + count)
            }
            place, row = placed.place, placed.row
            assert {place.address, place.address + 1} <= covered
            assert set(range(placed.register.address, placed.register.end)) <= covered
            if row.scale_factor:
                assert place.block is not None
                scale = place.block.row(row.scale_factor).at(place.address)
                assert scale.address in covered
            assert all(count <= 100 for _, count in spans)
            # Who it is comes last: a write follows at once.
            assert spans[-1][0] == place.address
            if place.port is not None:
                assert len(spans) == 1


async def test_a_row_suits_the_nominal_voltage_of_its_system() -> None:
    gateway = still()
    gateway.set_word(64110, 406, 24)
    mate3 = await identified(GatewayUnit(gateway))
    rows = [row for rows in mate3.rows.values() for row in rows.values()]
    found: list[PlacedRow] = [
        placed for placed in rows if placed.row.nominal is Nominal.BATTERY
    ]
    assert found
    for placed in found:
        assert placed.row.setting is not None
        assert placed.row.setting.maximum == pytest.approx(34.1)


# -- scale factors ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("word", "exponent"),
    [
        *((0, 0), (1, 1), (10, 10), (11, None), (0x7FFF, None)),
        *((0xFFFF, -1), (0xFFFE, -2), (0xFFF6, -10), (0xFFF5, None), (0x8000, None)),
        (None, None),
    ],
)
def test_only_sensible_scale_factors_are_taken(
    word: int | None, exponent: int | None
) -> None:
    assert as_exponent(word) == exponent


@blocks
@pytest.mark.parametrize("word", [0x8000, 11, 0x7FFF])
def test_a_value_whose_scale_is_not_told_is_none(block: Block, word: int) -> None:
    place = place_of(block, block.length)
    rows = block.rows_within(block.length)
    image = RegisterImage()
    image.store(Space.HOLDING, ADDRESS, [1] * (block.length + 2), 0.0)
    for name in {row.scale_factor for row in rows if row.scale_factor}:
        address = block.row(name).at(ADDRESS).address
        image.store(Space.HOLDING, address, [word], 0.0)
    scaled = [row for row in rows if row.scale_factor]
    values = BlockDecoder("device", place, scaled).decode(image)
    assert values == dict.fromkeys((row.key for row in scaled), None)


@pytest.mark.parametrize("did", [64110, 64111, 64113, 64116, 64118, 64120])
def test_what_was_not_read_is_missing(did: int) -> None:
    """``None`` is an answer: the device has no such value."""
    block = BLOCKS[did]
    rows = block.rows_within(block.length)
    decoder = BlockDecoder("device", place_of(block, block.length), rows)
    assert decoder.decode(RegisterImage()) == {}


def test_scale_factors_may_change_at_any_time() -> None:
    block = BLOCKS[64111]
    place = place_of(block, block.length)
    image = RegisterImage()
    decoder = BlockDecoder("device", place, [block.row("battery_voltage")])
    image.store(Space.HOLDING, ADDRESS + 8, [5120], 0.0)
    for word, volts in ((0, 5120), (0xFFFF, 512), (0xFFFE, 51.2), (0xFFFD, 5.12)) * 8:
        image.store(Space.HOLDING, ADDRESS + 3, [word], 0.0)
        assert decoder.decode(image) == {"dc_voltage": volts}


@given(st.lists(st.integers(0, 0xFFFF), min_size=40, max_size=40))
def test_any_words_of_a_block_are_decoded(words: list[int]) -> None:
    for did in (64111, 64113, 64120):
        block = BLOCKS[did]
        image = RegisterImage()
        image.store(Space.HOLDING, ADDRESS, words, 0.0)
        rows = block.rows_within(len(words) - 2)
        values = BlockDecoder("device", place_of(block, 38), rows).decode(image)
        assert len(values) == len(rows)


# -- what blocks say of themselves --------------------------------------------------------------


def test_a_firmware_number_has_three_parts_or_is_none() -> None:
    block = BLOCKS[64110]
    place = place_of(block, block.length)
    image = RegisterImage()
    assert firmware_of(place, image) == ""
    image.store(Space.HOLDING, ADDRESS + 2, [1, 4, 0], 0.0)
    assert firmware_of(place, image) == "1.4.0"
    image.store(Space.HOLDING, ADDRESS + 2, [1, 0xFFFF, 0], 0.0)
    assert firmware_of(place, image) == ""


@given(st.lists(st.integers(0, 0xFFFF), min_size=7, max_size=7))
def test_a_hardware_address_is_twelve_digits_or_none(words: list[int]) -> None:
    place = place_of(BLOCKS[64110], 420)
    image = RegisterImage()
    image.store(Space.HOLDING, ADDRESS + 6, words, 0.0)
    found = gateway_id(place, image)
    assert found == "" or (len(found) == 12 and int(found, 16) >= 0)
