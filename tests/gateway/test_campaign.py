"""A few thousand clients that send anything."""

import tracemalloc

import pytest

from custom_components.local_solar.gateway.gateway import MOST_KNOWN, Gateway

from .campaign import Campaign
from .helpers import HeldUnit, make_client, read_pdu

MOST_GROWN = 100_000
"""Octets: what is kept of answers, and what the tests' kit notes for itself."""


@pytest.mark.parametrize("seed", [1, 2])
async def test_nothing_that_is_sent_does_any_harm(seed: int) -> None:
    report = await Campaign(seed).async_run(1_000)
    assert report.errors == []
    assert report.answers > 1_000
    assert report.garbage > 100
    assert report.hung_up > 10
    assert report.grown < MOST_GROWN


def test_only_so_many_reads_are_remembered_as_allowed() -> None:
    gateway = Gateway({1: HeldUnit()})
    client = make_client()
    tracemalloc.start()
    try:
        held = tracemalloc.get_traced_memory()[0]
        # Nobody serves them: most are told at once that too much is waiting.
        for address in range(5 * MOST_KNOWN):
            gateway.take(client, 1, read_pdu(address), lambda _: None)
        grown = tracemalloc.get_traced_memory()[0] - held
    finally:
        tracemalloc.stop()
    assert grown < MOST_GROWN + 400 * MOST_KNOWN
