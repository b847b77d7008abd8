"""Which reads fetch the wanted rows in the least bus time.

A read costs a fixed part (request, header of the answer, silences, the unit's
latency, the spacing between messages) and a part per word. Rows are sorted by
address and cut into reads by dynamic programming over all cuts, which finds
the least total; a hole between two wanted rows is read along when that is
cheaper than another request.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from itertools import accumulate
from math import inf
from typing import Final

from .image import Space
from .register import Register

BITS_PER_CHARACTER: Final = 10
"""Start bit, 8 data bits, no parity, one stop bit."""

FIXED_CHARACTERS: Final = 8 + 5 + 2 * 3.5
"""Request, answer without its words, and the silence that ends either frame (Modbus over
serial line V1.02, 2.5.1)."""

CHARACTERS_PER_WORD: Final = 2

type Range = tuple[int, int]
"""First and last address."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkTiming:
    """How long requests take. ``baud`` is the line behind a TCP bridge too.

    ``latency`` is the unit's thinking time, ``spacing`` the quiet time that
    must pass between two messages, both in seconds.
    """

    baud: int = 9600
    latency: float = 0.0
    spacing: float = 0.0

    @property
    def per_word(self) -> float:
        """Seconds that one more word costs."""
        return CHARACTERS_PER_WORD * BITS_PER_CHARACTER / self.baud

    @property
    def per_request(self) -> float:
        """Seconds that one more request costs, without its words."""
        wire = FIXED_CHARACTERS * BITS_PER_CHARACTER / self.baud
        return wire + self.latency + self.spacing

    def with_latency(self, latency: float) -> LinkTiming:
        """Return the timing of the same line with another latency."""
        return replace(self, latency=latency)


@dataclass(frozen=True, slots=True)
class Read:
    """One request: ``count`` words from ``address``, for the sake of ``registers``."""

    space: Space
    address: int
    count: int
    registers: tuple[Register, ...]

    @property
    def end(self) -> int:
        """First address after the read."""
        return self.address + self.count

    def __str__(self) -> str:
        """Name the read for logs: ``input 3000-3046``."""
        return f"{self.space} {self.address}-{self.end - 1}"


def plan_reads(
    registers: Iterable[Register],
    groups: Mapping[Space, Iterable[Range]],
    timing: LinkTiming,
    *,
    max_words: int,
    borders: frozenset[tuple[Space, int]] = frozenset(),
) -> tuple[Read, ...]:
    """Return the reads that fetch ``registers`` in the least time.

    No read leaves its group, crosses one of ``borders`` (addresses that must
    start a read of their own) or asks for more than ``max_words``, unless a
    single row, or rows that overlap, are longer than that. Raises ``ValueError``
    for a row outside all groups.
    """
    cells: dict[tuple[Space, Range], list[Register]] = {}
    for row in registers:
        cells.setdefault((row.space, _cell(row, groups, borders)), []).append(row)
    return tuple(
        read
        for _, rows in sorted(cells.items(), key=lambda cell: cell[0])
        for read in _cut(
            sorted(rows, key=lambda row: (row.address, row.end)), timing, max_words
        )
    )


def _cell(
    row: Register,
    groups: Mapping[Space, Iterable[Range]],
    borders: frozenset[tuple[Space, int]],
) -> Range:
    """Return the stretch of addresses that a read of ``row`` must stay inside."""
    for first, last in groups.get(row.space, ()):
        if first <= row.address and row.end - 1 <= last:
            break
    else:
        raise ValueError(
            f"{row.key}: {row.space} {row.address}-{row.end - 1} is in no group"
        )
    for space, border in borders:
        if space is not row.space:
            continue
        if first < border <= row.address:
            first = border
        elif row.address < border <= last:
            last = border - 1
    return first, last


def _cut(rows: list[Register], timing: LinkTiming, max_words: int) -> list[Read]:
    """Cut rows of one cell, in order of address, into reads of the least total time."""
    per_word, per_request = timing.per_word, timing.per_request
    furthest = list(accumulate((row.end for row in rows), max))
    least, cuts = [0.0], [0]
    for stop in range(1, len(rows) + 1):
        best, best_start = inf, stop - 1
        for start in range(stop - 1, -1, -1):
            if start and furthest[start - 1] > rows[start].address:
                continue  # a row would be torn over two reads
            words = furthest[stop - 1] - rows[start].address
            if words > max_words and best < inf:
                break
            cost = least[start] + per_request + per_word * words
            if cost < best:
                best, best_start = cost, start
        least.append(best)
        cuts.append(best_start)
    reads: list[Read] = []
    stop = len(rows)
    while stop:
        start = cuts[stop]
        address = rows[start].address
        count = furthest[stop - 1] - address
        reads.append(Read(rows[0].space, address, count, tuple(rows[start:stop])))
        stop = start
    return reads[::-1]
