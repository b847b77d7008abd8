"""Garbled packets: errors of one kind, no hang, no memory kept."""

import os
from typing import Final

from .campaign import campaign

EXAMPLES: Final = int(os.environ.get("LOCAL_SOLAR_EXAMPLES", "20000"))

SECONDS_EACH: Final = 0.003
"""Ten times what a packet takes on a computer with nothing else to do."""

GROWTH: Final = 256 * 1024
"""Bytes that may be held: decoders and masks of shapes that came up late."""


def test_garbled_packets_are_refused_and_leave_nothing_behind() -> None:
    outcome = campaign(EXAMPLES)
    assert outcome.unexpected == []
    assert outcome.packets == EXAMPLES
    assert outcome.growth_bytes < GROWTH
    assert outcome.seconds < 10 + SECONDS_EACH * EXAMPLES
    for what in ("taken", "refused", "noise", "passed", "blocked", "understood"):
        assert outcome.counts[what] > EXAMPLES / 100, what
    for what in ("garbage", "asleep", "damaged", "meter", "no meter"):
        assert outcome.counts[what], what


def test_the_same_seed_gives_the_same_packets() -> None:
    first, second = campaign(400, seed=2), campaign(400, seed=2)
    assert first.counts == second.counts
    assert first.counts != campaign(400, seed=3).counts
