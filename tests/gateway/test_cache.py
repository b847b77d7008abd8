"""Blocks that were read a moment ago."""

from hypothesis import given, strategies as st

from custom_components.local_solar.gateway.cache import MOST_BLOCKS, BlockCache
from custom_components.local_solar.gateway.pdu import READ_INPUT, Request

from .helpers import read, read_pdu, words


def stored(cache: BlockCache, request: Request, at: float = 100.0) -> None:
    """Keep what a unit holds whose words are their own addresses."""
    cache.store(request, words(request.address, request.length), at)


def test_a_block_is_handed_out_while_it_is_fresh() -> None:
    cache = BlockCache(1.0)
    stored(cache, read(30, 5))
    pdu = read_pdu(30, 5)
    assert cache.find(read(30, 5), pdu, 101.0) == words(30, 5)
    assert cache.find(read(30, 5), pdu, 101.1) is None


def test_a_request_that_was_answered_is_answered_without_being_understood_again() -> (
    None
):
    cache = BlockCache(1.0)
    stored(cache, read(30, 5))
    pdu = read_pdu(31, 2)
    assert cache.answer(1, pdu, 100.5) is None
    assert cache.find(read(31, 2), pdu, 100.5) == words(31, 2)
    assert cache.answer(1, pdu, 101.0) == words(31, 2)
    assert cache.answer(1, pdu, 101.1) is None
    assert cache.answer(2, pdu, 101.0) is None


@given(
    first=st.integers(0, 200),
    length=st.integers(1, 125),
    wanted=st.integers(0, 330),
    count=st.integers(1, 125),
)
def test_what_lies_within_a_block_is_cut_out_of_it(
    first: int, length: int, wanted: int, count: int
) -> None:
    cache = BlockCache(1.0)
    stored(cache, read(first, length))
    found = cache.find(read(wanted, count), read_pdu(wanted, count), 100.0)
    lies_within = first <= wanted and wanted + count <= first + length
    assert found == (words(wanted, count) if lies_within else None)


def test_an_old_block_does_not_hide_a_fresh_one() -> None:
    cache = BlockCache(1.0)
    stored(cache, read(0, 100), at=100.0)
    stored(cache, read(20, 50), at=100.9)
    assert cache.find(read(30, 5), read_pdu(30, 5), 101.5) == words(30, 5)


def test_spaces_and_units_are_kept_apart() -> None:
    cache = BlockCache(1.0)
    stored(cache, read(30, 5))
    assert cache.find(Request(1, READ_INPUT, 30, 5), read_pdu(30, 5, 4), 100.0) is None
    assert cache.find(read(30, 5, unit=2), read_pdu(30, 5), 100.0) is None


def test_what_was_read_before_a_write_is_forgotten() -> None:
    cache = BlockCache(1.0)
    stored(cache, read(30, 5))
    stored(cache, read(30, 5, unit=2))
    assert cache.find(read(30, 5), read_pdu(30, 5), 100.0)
    cache.forget(1)
    assert cache.answer(1, read_pdu(30, 5), 100.0) is None
    assert cache.find(read(30, 5), read_pdu(30, 5), 100.0) is None
    assert cache.find(read(30, 5, unit=2), read_pdu(30, 5), 100.0) == words(30, 5)


def test_without_an_age_nothing_is_kept() -> None:
    cache = BlockCache(0.0)
    stored(cache, read(30, 5))
    assert cache.find(read(30, 5), read_pdu(30, 5), 100.0) is None


def test_it_does_not_grow_without_end() -> None:
    cache = BlockCache(1.0)
    for place in range(10 * MOST_BLOCKS):
        stored(cache, read(place))
        assert cache.find(read(place), read_pdu(place), 100.0) == words(place)
    kept = [
        place
        for place in range(10 * MOST_BLOCKS)
        if cache.find(read(place), read_pdu(place), 100.0)
    ]
    assert kept == list(range(9 * MOST_BLOCKS, 10 * MOST_BLOCKS))


def test_a_newer_block_takes_the_place_of_the_older_one() -> None:
    cache = BlockCache(1.0)
    stored(cache, read(30), 100.0)
    cache.store(read(30), bytes((3, 2, 0, 7)), 100.6)
    assert cache.find(read(30), read_pdu(30), 101.5) == bytes((3, 2, 0, 7))
