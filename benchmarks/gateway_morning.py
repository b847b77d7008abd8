"""What came of the recorded morning, for ``benchmarks.gateway``."""

from collections.abc import Iterator
from typing import Final

from .asking import Peer
from .report import Metric

REPEAT: Final = 1.5
"""Seconds after which the dongle repeats a request (recorded)."""

DROPPED_BY_BROKER: Final = 69
RECONNECTED_TO_BROKER: Final = 175
"""In the 37 minutes from which the recording is."""


def morning(process: Peer) -> Iterator[Metric]:
    """Return what came of a morning that ``process`` was told to play."""
    found = process.answer()
    if not found:
        yield Metric(metric="recorded morning: not here", value=0, unit="")
        return
    yield Metric(
        metric=f"recorded morning, {found['seconds']:.0f} s: requests",
        value=found["requests"],
        unit="",
    )
    yield Metric(metric="  answered with words", value=found["answered"], unit="")
    yield Metric(
        metric="  refused (writes, and function 0x20)",
        value=found["refused"],
        unit="",
    )
    yield Metric(
        metric="  unanswered where the inverter was silent",
        value=found["silent"],
        unit="",
    )
    for what, key, reference in (
        (
            "dropped (reference: the seed's run of 37 minutes)",
            "dropped",
            DROPPED_BY_BROKER,
        ),
        (
            "forced reconnects (reference: the same)",
            "reconnects",
            RECONNECTED_TO_BROKER,
        ),
        ("wrong words", "wrong", None),
    ):
        yield Metric(
            metric=f"  {what}",
            value=found[key],
            unit="",
            reference=reference,
            goal=0,
        )
    yield Metric(
        metric="  dongle: answered only when it asked again",
        value=found["asked_again"],
        unit="",
    )
    yield Metric(
        metric="  dongle: longest wait where the inverter answered",
        value=found["waits"][1] * 1000,
        unit="ms",
        reference=found["waits"][0] * 1000,
        goal=REPEAT * 1000,
    )
    yield Metric(
        metric="  client: longest wait (reference: median)",
        value=found["others"][1] * 1000,
        unit="ms",
        reference=found["others"][0] * 1000,
    )
