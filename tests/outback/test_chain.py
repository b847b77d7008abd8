"""Walking along register maps: real ones, broken ones, and ones that never end."""

import asyncio
from collections.abc import Iterable
from contextlib import suppress
from random import Random
from typing import Final

from hypothesis import example, given, settings, strategies as st
from modbus_connection import (
    IllegalDataAddressError,
    IllegalDataValueError,
    IllegalFunctionError,
    ModbusConnectionError,
    ModbusError,
    ModbusTimeoutError,
    ServerDeviceFailureError,
)
import pytest

from custom_components.local_solar.outback.chain import MOST_BLOCKS, Place, async_walk
from custom_components.local_solar.outback.errors import (
    BrokenMapError,
    EncryptedError,
    Mate3Error,
    NotSunSpecError,
)
from simulators.mate3.systems import VARIANTS
from tests.outback_helpers import CAPTURES, RECORDED, needs_captures

from .helpers import BASE, MARKER, GatewayUnit, MapUnit, laid_out, still

MOST_REQUESTS: Final = 2 + 2 * (MOST_BLOCKS + 2)
"""Marker, key, and for each block at most two."""

PORTS: Final = range(64111, 64120)
"""Blocks of devices, which say what port they are on."""


def block(did: int, *words: int, length: int | None = None) -> list[int]:
    """Return the words of a block; its length is true unless another one is given."""
    return [did, len(words) if length is None else length, *words]


def filled(did: int, length: int, port: int = 1) -> list[int]:
    """Return a block of so many words, which all are the port."""
    return block(did, *([port] * length))


async def walk(*blocks: Iterable[int], end: bool = True) -> tuple[Place, ...]:
    """Walk along a map of some blocks."""
    return await async_walk(MapUnit(laid_out(*blocks, end=end), most=MOST_REQUESTS))


def summary(places: Iterable[Place]) -> list[tuple[int, int, int | None]]:
    """Return number, length and port of blocks."""
    return [(place.did, place.length, place.port) for place in places]


# -- as it should be -----------------------------------------------------------------------


@pytest.mark.parametrize("variant", VARIANTS)
async def test_all_blocks_of_a_system_are_found(variant: str) -> None:
    gateway = still(variant)
    places = await async_walk(unit := GatewayUnit(gateway))
    blocks = gateway.chain.blocks
    assert summary(places) == [
        (block.did, len(block.words) - 2, block.port) for block in blocks
    ]
    assert [place.address for place in places] == list(
        map(gateway.chain.address_of, blocks)
    )
    assert places[-1].end == gateway.chain.end - 2
    # The marker, and what is said about each block and the end.
    assert len(unit.reads) <= len(blocks) + 3


@needs_captures
async def test_all_blocks_of_a_recorded_system_are_found() -> None:
    places = await async_walk(GatewayUnit(still(RECORDED)))
    assert summary(places) == [
        *((1, 65, None), (64110, 420, None), (64120, 27, None), (101, 50, None)),
        *((64255, 56, None), (64117, 46, 1), (64116, 89, 1), (64117, 46, 2)),
        *((64116, 89, 2), (64111, 26, 3), (64112, 88, 3), (64111, 26, 4)),
        *((64112, 88, 4), (64118, 76, 5), (64119, 52, 5)),
    ]
    assert places[-1].end == BASE + 1278 - 2


@needs_captures
@pytest.mark.parametrize(
    ("name", "has"),
    [
        ("synthetic_mate3_fw311_short_blocks", {(64117, 39), (64116, 84)}),
        ("synthetic_mate3_fx_vfx", {(64113, 36), (64114, 72)}),
        (
            "synthetic_mate3s_newfw_split_stack_did120",
            {(120, 26), (64120, 25), (64115, 59)},
        ),
    ],
)
async def test_maps_of_other_systems_are_walked_to_their_end(
    name: str, has: set[tuple[int, int]]
) -> None:
    gateway = still(CAPTURES / f"{name}.json")
    places = await async_walk(GatewayUnit(gateway))
    assert has <= {(place.did, place.length) for place in places}
    assert places[-1].end == gateway.chain.end - 2
    assert len(places) == len(gateway.chain.blocks)


async def test_unknown_blocks_are_skipped_by_their_length() -> None:
    places = await walk(filled(1, 65), filled(777, 1000), filled(64110, 420))
    assert summary(places) == [(1, 65, None), (777, 1000, None), (64110, 420, None)]
    assert places[1].block is None


async def test_an_empty_block_is_skipped() -> None:
    assert summary(await walk(block(120), block(121), filled(1, 65))) == [
        *((120, 0, None), (121, 0, None)),
        (1, 65, None),
    ]


async def test_a_map_may_have_no_blocks_at_all() -> None:
    assert await walk() == ()


async def test_a_map_may_go_on_behind_its_end() -> None:
    words = laid_out(filled(1, 65))
    words |= {max(words) + 1: 7, max(words) + 2: 9}
    assert summary(await async_walk(MapUnit(words))) == [(1, 65, None)]


async def test_a_block_that_has_no_data_is_passed_over() -> None:
    places = await walk(filled(1, 65), filled(0x8000, 26), filled(64110, 420))
    assert [place.did for place in places] == [1, 0x8000, 64110]
    assert places[1].block is None


# -- what is no map ------------------------------------------------------------------------


@pytest.mark.parametrize(
    "marker", [(0, 0), (0xFFFF, 0xFFFF), (0x6E53, 0x5375), (0x5375, 0), (1, 2)]
)
async def test_no_marker_is_no_map(marker: tuple[int, int]) -> None:
    words = laid_out(filled(1, 65), filled(64110, 420))
    words[BASE], words[BASE + 1] = marker
    # A key is told elsewhere: see below.
    words[40074] = 0
    with pytest.raises(NotSunSpecError):
        await async_walk(MapUnit(words))


@pytest.mark.parametrize(
    "refusal",
    [
        IllegalDataAddressError(),
        IllegalFunctionError(),
        IllegalDataValueError(),
    ],
)
async def test_a_refused_marker_is_no_map(refusal: ModbusError) -> None:
    with pytest.raises(NotSunSpecError):
        await async_walk(MapUnit({}, refusal=refusal))


@pytest.mark.parametrize(
    "failure",
    [
        ModbusTimeoutError("silent"),
        ModbusConnectionError("no link"),
        ServerDeviceFailureError(),
    ],
)
async def test_a_link_that_fails_says_nothing_of_the_map(failure: ModbusError) -> None:
    with pytest.raises(type(failure)):
        await async_walk(MapUnit({}, refusal=failure))


async def test_a_scrambled_map_is_known_by_its_key() -> None:
    gateway = still()
    gateway.encryption_key = 0x1234
    with pytest.raises(EncryptedError, match="1234"):
        await async_walk(GatewayUnit(gateway))


@pytest.mark.parametrize("key", [0, 0xFFFF])
async def test_registers_that_say_nothing_are_not_encrypted(key: int) -> None:
    words = dict.fromkeys(range(BASE, BASE + 200), key)
    with pytest.raises(NotSunSpecError):
        await async_walk(MapUnit(words))


async def test_a_map_without_a_key_register_is_not_encrypted() -> None:
    with pytest.raises(NotSunSpecError):
        await async_walk(MapUnit({BASE: 1, BASE + 1: 2}))


# -- chains that lead nowhere ---------------------------------------------------------------


@pytest.mark.parametrize("cut", [2, 3, 4, 5, 68, 69, 70])
async def test_a_map_that_breaks_off_is_broken(cut: int) -> None:
    words = laid_out(filled(1, 65), filled(64110, 420))
    short = {address: word for address, word in words.items() if address < BASE + cut}
    with pytest.raises(BrokenMapError):
        await async_walk(MapUnit(short))


async def test_a_map_without_an_end_is_broken() -> None:
    with pytest.raises(BrokenMapError, match="ends at 40069"):
        await walk(filled(1, 65), end=False)


@pytest.mark.parametrize("length", [25532, 25600, 40000, 0xFFFE, 0xFFFF])
async def test_a_block_beyond_all_registers_is_broken(length: int) -> None:
    with pytest.raises(BrokenMapError):
        await walk(block(64110, length=length), filled(1, 65))


async def test_blocks_of_no_length_do_not_go_on_for_ever() -> None:
    unit = MapUnit(
        laid_out(end=False) | dict.fromkeys(range(BASE + 2, 0x10000), 0),
        most=MOST_REQUESTS,
    )
    with pytest.raises(BrokenMapError, match=f"{MOST_BLOCKS} blocks"):
        await async_walk(unit)


async def test_a_map_may_reach_to_the_last_registers() -> None:
    length = 0xFFFF - BASE - len(MARKER) - 2 - 2
    words = laid_out(block(120, *([0] * length)))
    assert max(words) == 0xFFFE
    assert summary(await async_walk(MapUnit(words))) == [(120, length, None)]


# -- anything at all ------------------------------------------------------------------------

dids = st.one_of(
    st.sampled_from((0, 1, 101, 120, 0x8000, 64110, 64120, 64255, *PORTS)),
    st.integers(0, 0xFFFF),
)
lengths = st.one_of(
    st.integers(0, 4),
    st.integers(0, 200),
    st.sampled_from((0, 65, 420, 0x8000, 0xFFFF, 25000)),
)
pieces = st.tuples(dids, lengths, st.integers(0, 120), st.integers(0, 0xFFFF))
"""Number and length that a block tells, how long it is, and what is in it."""


@st.composite
def maps(draw: st.DrawFn) -> dict[int, int]:
    """Draw a register map of which anything may be wrong."""
    blocks = [
        block(did, *([word] * true), length=draw(st.sampled_from((length, true))))
        for did, length, true, word in draw(st.lists(pieces, max_size=12))
    ]
    words = laid_out(*blocks, end=draw(st.booleans()))
    for address, word in draw(
        st.dictionaries(
            st.integers(BASE, BASE + 300), st.integers(0, 0xFFFF), max_size=4
        )
    ).items():
        words[address] = word
    if draw(st.booleans()):
        words[BASE], words[BASE + 1] = MARKER
    cut = draw(st.one_of(st.none(), st.integers(BASE, max(words) + 1)))
    return {
        address: word for address, word in words.items() if cut is None or address < cut
    }


failures = st.sampled_from(
    (
        IllegalDataAddressError(),
        IllegalDataValueError(),
        ModbusTimeoutError("silent"),
        ModbusConnectionError("no link"),
    )
)


@settings(max_examples=400)
@given(maps(), failures)
@example(laid_out(end=False), IllegalDataAddressError())
def test_any_map_is_walked_or_refused_in_bounded_time(
    words: dict[int, int], refusal: ModbusError
) -> None:
    unit = MapUnit(words, refusal=refusal, most=MOST_REQUESTS)
    try:
        places = asyncio.run(async_walk(unit), debug=False)
    except Mate3Error, ModbusError:
        return
    # What comes out is a chain: each block begins where the one before it ends.
    address = BASE + len(MARKER)
    for place in places:
        assert (place.address, place.did) == (address, words[address])
        assert place.length == words[address + 1]
        address = place.end
    assert words[address] == 0xFFFF


@settings(max_examples=100)
@given(st.randoms(use_true_random=False), st.sampled_from((0x100, 0x10000, 3)))
def test_noise_behind_the_marker_is_walked_or_refused(
    random: Random, most: int
) -> None:
    words = laid_out([random.randrange(most) for _ in range(2000)], end=False)
    unit = MapUnit(words, most=MOST_REQUESTS)
    with suppress(Mate3Error, ModbusError):
        asyncio.run(async_walk(unit), debug=False)
