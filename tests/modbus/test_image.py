"""The image: what is known of a unit, and how old it is."""

from hypothesis import given, strategies as st

from custom_components.local_solar.modbus.image import RegisterImage, Space

from .helpers import HOLDING, INPUT

addresses = st.integers(0, 40)
words_16 = st.integers(0, 0xFFFF)
blocks = st.tuples(
    st.sampled_from(tuple(Space)), addresses, st.lists(words_16, max_size=10)
)
gaps = st.tuples(st.sampled_from(tuple(Space)), addresses, st.integers(0, 10))


@given(st.lists(st.one_of(blocks, gaps)))
def test_an_image_knows_what_was_stored_and_not_forgotten_since(
    steps: list[tuple[Space, int, list[int] | int]],
) -> None:
    image = RegisterImage()
    known: dict[tuple[Space, int], tuple[int, float]] = {}
    for at, (space, address, what) in enumerate(steps):
        if isinstance(what, int):
            image.forget(space, address, what)
            for place in range(address, address + what):
                known.pop((space, place), None)
        else:
            image.store(space, address, what, float(at))
            for place, word in enumerate(what, address):
                known[space, place] = word, float(at)

    for space in Space:
        for place in range(60):
            seen = known.get((space, place))
            assert image.get(space, place, 1) == (seen and [seen[0]])
            assert image.seen_at(space, place) == (seen and seen[1])
    assert image.dump() == {
        space.value: {
            str(place): known[space, place][0]
            for place in range(60)
            if (space, place) in known
        }
        for space in Space
    }


@given(st.lists(blocks))
def test_what_is_dumped_loads_as_the_same_image(
    stored: list[tuple[Space, int, list[int]]],
) -> None:
    image, loaded = RegisterImage(), RegisterImage()
    for space, address, words in stored:
        image.store(space, address, words, 1.0)
    loaded.load(image.dump(), 5.0)
    assert loaded.words == image.words
    assert loaded.dump() == image.dump()
    for space, known in image.words.items():
        assert all(loaded.seen_at(space, address) == 5.0 for address in known)


@given(st.lists(st.tuples(blocks, st.integers(0, 5))))
def test_words_that_were_seen_later_stay_whenever_others_come(
    stored: list[tuple[tuple[Space, int, list[int]], int]],
) -> None:
    image = RegisterImage()
    known: dict[tuple[Space, int], tuple[float, int]] = {}
    for (space, address, words), at in stored:
        image.store(space, address, words, float(at))
        for place, word in enumerate(words, address):
            if at >= known.get((space, place), (0.0, 0))[0]:
                known[space, place] = float(at), word
    for (space, place), (seen, word) in known.items():
        assert image.get(space, place, 1) == [word]
        assert image.seen_at(space, place) == seen


def test_a_block_is_given_only_if_all_of_it_is_known() -> None:
    image = RegisterImage()
    image.store(INPUT, 10, [1, 2, 3], 0.0)
    assert image.get(INPUT, 10, 3) == [1, 2, 3]
    assert image.get(INPUT, 11, 2) == [2, 3]
    assert image.get(INPUT, 9, 2) is None
    assert image.get(INPUT, 12, 2) is None
    assert image.get(HOLDING, 10, 1) is None
    assert image.get(INPUT, 99, 0) == []


def test_datasets_with_signed_words_and_without_a_space_can_be_loaded() -> None:
    image = RegisterImage()
    image.load({"input": {"5": -1, "3": 7, "4": 0x12345}}, 0.0)
    assert image.get(INPUT, 3, 3) == [7, 0x2345, 0xFFFF]
    assert image.words[HOLDING] == {}


def test_loading_keeps_what_else_is_known() -> None:
    image = RegisterImage()
    image.store(INPUT, 1, [1], 0.0)
    image.load({"input": {"0": 9, "2": 8}}, 3.0)
    assert image.get(INPUT, 0, 3) == [9, 1, 8]
    assert image.seen_at(INPUT, 1) == 0.0
