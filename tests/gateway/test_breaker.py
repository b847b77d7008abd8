"""Leaving alone who does not answer."""

from itertools import pairwise

from custom_components.local_solar.gateway.breaker import LONGEST, SHORTEST, Breaker

TIMEOUT = 1.5


def silences(breaker: Breaker, seconds: float, now: float = 0.0) -> list[float]:
    """Ask as often as allowed for so long, in vain; return when that was."""
    asked = []
    end = now + seconds
    while now < end:
        if breaker.allows(now):
            asked.append(now)
            now += TIMEOUT
            breaker.failed(now, TIMEOUT)
        else:
            now += 0.1
    return asked


def test_who_never_answered_is_left_alone_at_once() -> None:
    breaker = Breaker()
    assert breaker.allows(0.0)
    breaker.failed(TIMEOUT, TIMEOUT)
    assert breaker.is_open
    assert not breaker.allows(TIMEOUT)


def test_who_has_answered_may_miss_one() -> None:
    breaker = Breaker()
    breaker.answered()
    breaker.failed(0.0, TIMEOUT)
    assert breaker.allows(0.0)
    assert breaker.has_answered
    breaker.failed(0.0, TIMEOUT)
    assert not breaker.allows(0.0)
    assert not breaker.has_answered


def test_silence_costs_the_others_less_than_a_tenth_of_a_minute() -> None:
    known, unknown = Breaker(), Breaker()
    known.answered()
    for breaker in (known, unknown):
        assert len(silences(breaker, 60)) * TIMEOUT <= 6.0


def test_it_is_tried_at_a_growing_interval_that_ends() -> None:
    asked = silences(Breaker(), 1000)
    pauses = [later - earlier for earlier, later in pairwise(asked)]
    assert pauses[0] < pauses[1]
    assert all(pause <= LONGEST + TIMEOUT + 0.2 for pause in pauses)
    assert pauses[-1] >= LONGEST


def test_a_link_that_refuses_at_once_is_not_tried_without_pause() -> None:
    breaker = Breaker()
    breaker.failed(0.0, 0.0)
    assert not breaker.allows(SHORTEST - 0.1)
    assert breaker.allows(SHORTEST)


def test_an_answer_ends_it() -> None:
    breaker = Breaker()
    silences(breaker, 100)
    breaker.answered()
    assert breaker.allows(0.0)
    breaker.failed(0.0, TIMEOUT)
    assert breaker.allows(0.0)
