"""CPU time of decoding 150 values, next to a bare struct loop.

The bare loop unpacks bytes and multiplies: no sentinels, no options, no texts.
Ours decodes 150 rows of the real tables from the register image. What it takes
to put the words of two reads there is shown as well.
"""

from collections.abc import Callable, Iterator
import random
import struct
from time import perf_counter
from typing import Final

from custom_components.local_solar.growatt.profiles.catalogue import PROFILES
from custom_components.local_solar.modbus.codecs import Integer
from custom_components.local_solar.modbus.decoder import Decoder
from custom_components.local_solar.modbus.image import RegisterImage, Space
from custom_components.local_solar.modbus.register import Register

from .report import Metric, run

VALUES: Final = 150
START: Final = 3000
WORDS: Final = 232
"""Input 3000-3231: the live values and counters of a MIN TL-XH."""

ANCHOR_US: Final = 15
GOAL_US: Final = 40
"""The goal is 40 us where the bare loop takes 15 us in the same run."""

RUNS: Final = 7


def measure(quick: bool) -> Iterator[Metric]:
    """Time both."""
    rows = _rows()
    words = [random.Random(1).randrange(0xFFFF) for _ in range(WORDS)]
    octets = struct.pack(f">{WORDS}H", *words)
    decoder, image = Decoder(rows), RegisterImage()
    fields = [
        (
            row.key,
            row.address - START,
            row.words,
            isinstance(row.codec, Integer) and row.codec.signed,
            row.scale,
        )
        for row in rows
    ]

    def ours() -> None:
        image.store(Space.INPUT, START, words[:125], 0.0)
        image.store(Space.INPUT, START + 125, words[125:], 0.0)
        decoder.decode(image)

    def decode_only() -> None:
        decoder.decode(image)

    def anchor() -> None:
        _bare_loop(octets, fields)

    loops = 500 if quick else 3000
    ours()
    least = _best(anchor, loops)
    yield Metric(metric="bare struct loop, 150 values", value=least, unit="us")
    yield Metric(
        metric="decode 150 values",
        value=_best(decode_only, loops),
        unit="us",
        reference=least,
        goal=least * GOAL_US / ANCHOR_US,
    )
    yield Metric(
        metric=f"store {WORDS} words and decode 150 values",
        value=_best(ours, loops),
        unit="us",
        reference=least,
    )


def _rows() -> list[Register]:
    rows = [
        row
        for row in PROFILES["min_tl_xh"]
        if row.space is Space.INPUT and START <= row.address < START + WORDS
    ]
    assert len(rows) >= VALUES, len(rows)
    return rows[:VALUES]


def _bare_loop(
    octets: bytes, fields: list[tuple[str, int, int, bool, float]]
) -> dict[str, float]:
    words = struct.unpack(f">{len(octets) // 2}H", octets)
    values: dict[str, float] = {}
    for key, place, count, signed, scale in fields:
        raw = words[place] if count == 1 else words[place] << 16 | words[place + 1]
        if signed and raw >> (16 * count - 1):
            raw -= 1 << 16 * count
        values[key] = raw * scale
    return values


def _best(function: Callable[[], None], loops: int) -> float:
    """Return the microseconds of one call in the best of several runs."""
    best = float("inf")
    for _ in range(RUNS):
        started = perf_counter()
        for _ in range(loops):
            function()
        best = min(best, (perf_counter() - started) / loops)
    return best * 1e6


if __name__ == "__main__":
    run(measure, __doc__ or "")
