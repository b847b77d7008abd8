"""Read plans: complete, within their limits, and the cheapest there are."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from math import inf

from hypothesis import given, settings, strategies as st
import pytest

from custom_components.local_solar.modbus.codecs import U16, U32, Codec, Text
from custom_components.local_solar.modbus.image import Space
from custom_components.local_solar.modbus.plan import (
    LinkTiming,
    Range,
    Read,
    plan_reads,
)
from custom_components.local_solar.modbus.register import Register

from .helpers import HOLDING, INPUT, duration, make_row, requests_of

type Groups = Mapping[Space, Sequence[Range]]
type Borders = frozenset[tuple[Space, int]]

EVERYWHERE: Groups = dict.fromkeys(Space, ((0, 9999),))
SLOW = LinkTiming(spacing=0.85)
FAST = LinkTiming()


# -- the independent judge --------------------------------------------------------------


def all_partitions[T](items: list[T]) -> Iterator[list[list[T]]]:
    """Go through every way to split items into sets, in any order."""
    if not items:
        yield []
        return
    first, *others = items
    for partition in all_partitions(others):
        yield [[first], *partition]
        for place, members in enumerate(partition):
            yield [*partition[:place], [first, *members], *partition[place + 1 :]]


def hull(rows: Iterable[Register]) -> Range:
    """Return the addresses that a read of rows asks for, the last one included."""
    rows = list(rows)
    return min(row.address for row in rows), max(row.end for row in rows) - 1


def clusters(rows: Iterable[Register]) -> list[list[Register]]:
    """Return rows that overlap together: no two reads may bring the same word."""
    found: list[list[Register]] = []
    for row in rows:
        touching = [
            other
            for other in found
            if any(
                row.space is member.space
                and row.address < member.end
                and member.address < row.end
                for member in other
            )
        ]
        found = [other for other in found if other not in touching]
        found.append([row, *(member for other in touching for member in other)])
    return found


def is_allowed(
    rows: list[Register], groups: Groups, borders: Borders, max_words: int
) -> bool:
    """Return whether one request may ask for all these rows."""
    spaces = {row.space for row in rows}
    if len(spaces) > 1:
        return False
    (space,) = spaces
    first, last = hull(rows)
    return (
        any(start <= first and last <= stop for start, stop in groups[space])
        and not any(
            where is space and first < border <= last for where, border in borders
        )
        and last - first < max_words
    )


def least_cost(
    rows: Iterable[Register],
    groups: Groups,
    borders: Borders,
    timing: LinkTiming,
    max_words: int,
) -> float:
    """Return the cost of the best of all partitions into allowed requests."""
    per_request = timing.per_request
    pieces = clusters(rows)
    best = inf
    for partition in all_partitions(pieces):
        cost = 0.0
        for members in partition:
            together = [row for piece in members for row in piece]
            # What overlaps must be read together, however long it is.
            if len(members) > 1 and not is_allowed(
                together, groups, borders, max_words
            ):
                cost = inf
                break
            first, last = hull(together)
            cost += per_request + timing.per_word * (last - first + 1)
        best = min(best, cost)
    return best


# -- random tables ------------------------------------------------------------------------

codecs: st.SearchStrategy[Codec] = st.sampled_from((U16, U16, U32, Text(5)))
timings = st.builds(
    LinkTiming,
    baud=st.sampled_from((1200, 9600, 115200)),
    latency=st.floats(0, 0.3),
    spacing=st.sampled_from((0.0, 0.01, 0.05, 0.1, 0.85)),
)
group_sets = st.lists(st.integers(1, 30), min_size=1, max_size=4).map(
    lambda sizes: tuple(
        (sum(sizes[:place]) + 5 * place, sum(sizes[: place + 1]) + 5 * place - 1)
        for place in range(len(sizes))
    )
)


@st.composite
def tables(draw: st.DrawFn, most: int = 7) -> tuple[list[Register], Groups, Borders]:
    """Return rows, the groups that they lie in, and borders that tear none of them."""
    groups = {space: draw(group_sets) for space in Space}
    rows: list[Register] = []
    for _ in range(draw(st.integers(1, most))):
        space = draw(st.sampled_from(tuple(Space)))
        first, last = draw(st.sampled_from(groups[space]))
        row = make_row(draw(st.integers(first, last)), draw(codecs), space=space)
        if row.end - 1 <= last:
            rows.append(row)
    starts = sorted({(row.space, row.address) for row in rows})
    borders = frozenset(
        border
        for border in (draw(st.sets(st.sampled_from(starts))) if starts else ())
        if not any(
            row.space is border[0] and row.address < border[1] < row.end for row in rows
        )
    )
    return rows, groups, borders


@settings(max_examples=150)
@given(tables(), timings, st.integers(2, 40))
def test_no_other_plan_takes_less_time(
    table: tuple[list[Register], Groups, Borders], timing: LinkTiming, max_words: int
) -> None:
    rows, groups, borders = table
    reads = plan_reads(rows, groups, timing, max_words=max_words, borders=borders)
    least = least_cost(rows, groups, borders, timing, max_words) if rows else 0.0
    assert duration(reads, timing) == pytest.approx(least)


@given(
    st.lists(st.integers(0, 40), min_size=10, max_size=10),
    timings,
    st.integers(5, 125),
)
def test_no_cut_of_ten_rows_takes_less_time(
    addresses: list[int], timing: LinkTiming, max_words: int
) -> None:
    """For rows in one group the sets of the best plan follow each other."""
    rows = [make_row(address) for address in addresses]
    reads = plan_reads(rows, EVERYWHERE, timing, max_words=max_words)
    ordered = sorted(rows, key=lambda row: row.address)
    best = inf
    for cuts in range(1 << (len(ordered) - 1)):
        pieces: list[list[Register]] = [[ordered[0]]]
        for place, row in enumerate(ordered[1:]):
            if cuts >> place & 1:
                pieces.append([row])
            else:
                pieces[-1].append(row)
        spans = [hull(piece) for piece in pieces]
        if all(last - first < max_words for first, last in spans):
            words = sum(last - first + 1 for first, last in spans)
            best = min(best, len(spans) * timing.per_request + words * timing.per_word)
    assert duration(reads, timing) == pytest.approx(best)


@given(tables(most=25), timings, st.integers(2, 125))
def test_a_plan_covers_the_wanted_rows_and_breaks_no_rule(
    table: tuple[list[Register], Groups, Borders], timing: LinkTiming, max_words: int
) -> None:
    rows, groups, borders = table
    reads = plan_reads(rows, groups, timing, max_words=max_words, borders=borders)

    # Every wanted row once, and no other one.
    assert sorted((row for read in reads for row in read.registers), key=id) == sorted(
        rows, key=id
    )
    seen: set[tuple[Space, int]] = set()
    for read in reads:
        first, last = read.address, read.end - 1
        # No word too many, no row torn.
        assert (first, last) == hull(read.registers)
        assert all(row.space is read.space for row in read.registers)
        # Within one group.
        assert any(
            start <= first and last <= stop for start, stop in groups[read.space]
        )
        # Across no border.
        assert not any(
            space is read.space and first < border <= last for space, border in borders
        )
        # Not too long, except for what cannot be read in pieces.
        assert read.count <= max_words or len(clusters(read.registers)) == 1
        # No word twice.
        words = {(read.space, address) for address in range(first, last + 1)}
        assert not words & seen
        seen |= words


@given(tables(), timings)
def test_reads_come_in_order_of_space_and_address(
    table: tuple[list[Register], Groups, Borders], timing: LinkTiming
) -> None:
    rows, groups, borders = table
    places = [
        (read.space, read.address)
        for read in plan_reads(rows, groups, timing, max_words=125, borders=borders)
    ]
    assert places == sorted(places)


# -- examples -------------------------------------------------------------------------------


def test_long_spacing_means_the_fewest_requests() -> None:
    rows = [make_row(address) for address in (0, 40, 80, 124)]
    reads = plan_reads(rows, EVERYWHERE, SLOW, max_words=125)
    assert requests_of(reads) == [(INPUT, 0, 125)]


def test_without_spacing_short_reads_are_cheaper_than_large_holes() -> None:
    rows = [make_row(address) for address in (0, 40, 80, 124)]
    reads = plan_reads(rows, EVERYWHERE, FAST, max_words=125)
    assert requests_of(reads) == [
        (INPUT, 0, 1),
        (INPUT, 40, 1),
        (INPUT, 80, 1),
        (INPUT, 124, 1),
    ]


def test_a_small_hole_is_read_along_even_without_spacing() -> None:
    rows = [make_row(0), make_row(5)]
    reads = plan_reads(rows, EVERYWHERE, FAST, max_words=125)
    assert requests_of(reads) == [(INPUT, 0, 6)]


def test_latency_closes_holes() -> None:
    rows = [make_row(0), make_row(20)]
    eager = plan_reads(rows, EVERYWHERE, FAST, max_words=125)
    patient = plan_reads(rows, EVERYWHERE, FAST.with_latency(0.1), max_words=125)
    assert requests_of(eager) == [(INPUT, 0, 1), (INPUT, 20, 1)]
    assert requests_of(patient) == [(INPUT, 0, 21)]


def test_groups_are_not_joined_although_they_touch() -> None:
    groups = {INPUT: ((0, 9), (10, 19))}
    rows = [make_row(9), make_row(10)]
    reads = plan_reads(rows, groups, SLOW, max_words=125)
    assert requests_of(reads) == [(INPUT, 9, 1), (INPUT, 10, 1)]


def test_the_same_address_in_two_spaces_takes_two_reads() -> None:
    rows = [make_row(3), make_row(3, space=HOLDING)]
    reads = plan_reads(rows, EVERYWHERE, SLOW, max_words=125)
    assert requests_of(reads) == [(HOLDING, 3, 1), (INPUT, 3, 1)]


def test_rows_of_the_same_word_are_read_together() -> None:
    rows = [make_row(3, key="high"), make_row(3, key="low"), make_row(2, U32)]
    (read,) = plan_reads(rows, EVERYWHERE, FAST, max_words=2)
    assert (read.address, read.count) == (2, 2)
    assert set(read.registers) == set(rows)


def test_a_border_is_where_a_read_must_start() -> None:
    rows = [make_row(address) for address in range(6)]
    reads = plan_reads(
        rows,
        EVERYWHERE,
        SLOW,
        max_words=125,
        borders=frozenset({(INPUT, 2), (HOLDING, 4), (INPUT, 3)}),
    )
    assert requests_of(reads) == [(INPUT, 0, 2), (INPUT, 2, 1), (INPUT, 3, 3)]


def test_a_row_longer_than_a_read_may_be_is_still_read_whole() -> None:
    rows = [make_row(0), make_row(1, Text(15)), make_row(16)]
    reads = plan_reads(rows, EVERYWHERE, SLOW, max_words=10)
    assert requests_of(reads) == [(INPUT, 0, 1), (INPUT, 1, 15), (INPUT, 16, 1)]


@pytest.mark.parametrize(
    ("row", "named"),
    [
        (make_row(50, key="beyond"), "beyond: input 50-50"),
        (make_row(9, U32, key="torn"), "torn: input 9-10"),
        (make_row(5, key="elsewhere", space=HOLDING), "elsewhere: holding 5-5"),
    ],
)
def test_a_row_outside_all_groups_is_an_error_that_names_it(
    row: Register, named: str
) -> None:
    groups = {INPUT: ((0, 9), (10, 19))}
    with pytest.raises(ValueError, match=f"{named} is in no group"):
        plan_reads([make_row(1), row], groups, SLOW, max_words=125)


def test_nothing_wanted_is_nothing_read() -> None:
    assert plan_reads([], EVERYWHERE, SLOW, max_words=125) == ()
    assert duration((), SLOW) == 0


def test_a_read_is_named_by_its_addresses() -> None:
    assert str(Read(INPUT, 3000, 47, ())) == "input 3000-3046"


@given(st.sampled_from((1200, 9600, 19200, 115200)), st.integers(1, 125))
def test_a_request_costs_what_its_characters_take_on_the_line(
    baud: int, words: int
) -> None:
    timing = LinkTiming(baud=baud)
    request, answer, silences = 8, 5 + 2 * words, 7
    assert duration([Read(INPUT, 0, words, ())], timing) == pytest.approx(
        (request + answer + silences) * 10 / baud
    )
