"""A few thousand clients that send anything."""

import pytest

from .campaign import Campaign

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
