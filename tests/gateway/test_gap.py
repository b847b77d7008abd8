"""How long the bus is left alone between two messages."""

from hypothesis import given, strategies as st

from custom_components.local_solar.gateway.gap import (
    FORGIVEN_AFTER,
    NO_GAP,
    PROVEN,
    Gap,
)


def gap_of(device_needs: float, gap: Gap, requests: int, now: float = 0.0) -> int:
    """Let a device answer that fails at too short a gap; return how often it failed."""
    failures = 0
    for _ in range(requests):
        if gap.seconds < device_needs:
            failures += 1
            gap.failed(now)
        else:
            gap.answered(now)
    return failures


def test_it_begins_with_what_the_documents_name_and_shrinks_to_nothing() -> None:
    gap = Gap(0.85, 0.0)
    seen = [gap.seconds]
    while gap.seconds:
        gap.answered(0.0)
        seen.append(gap.seconds)
    assert seen[0] == 0.85
    assert seen == sorted(seen, reverse=True)
    # With exchanges of 0.3 s, that is what the first requests take.
    assert sum(seen) + 0.3 * len(seen) < 10


def test_the_owner_may_forbid_shorter_gaps() -> None:
    gap = Gap(0.85, 0.25)
    gap_of(0.0, gap, 50)
    assert gap.seconds == 0.25
    assert Gap(0.85, 2.0).seconds == 2.0


@given(needs=st.floats(0.001, 0.8))
def test_it_settles_at_what_the_device_takes(needs: float) -> None:
    gap = Gap(0.85, 0.0)
    gap_of(needs, gap, 200)
    assert gap_of(needs, gap, 500) == 0
    assert needs <= gap.seconds <= max(4 * needs, 4 * NO_GAP)


def test_a_proven_gap_is_not_blamed_for_a_failure_but_begun_anew() -> None:
    gap = Gap(0.85, 0.0)
    gap_of(0.0, gap, 20 + PROVEN)
    gap.failed(0.0)
    assert gap.seconds == 0.85
    gap_of(0.0, gap, 20)
    assert gap.seconds == 0.0


def test_failures_with_other_causes_do_not_make_it_long() -> None:
    gap = Gap(0.85, 0.0)
    for silence_after in (3, 5, 2, 40, 1, 4, 25, 7):
        gap_of(0.0, gap, silence_after)
        gap.failed(0.0)
    gap_of(0.0, gap, 20)
    assert gap.seconds == 0.0


def test_what_was_proven_before_is_suspected_again_if_it_has_failed_for_good() -> None:
    gap = Gap(0.85, 0.0)
    gap_of(0.0, gap, 20 + PROVEN)
    gap_of(0.1, gap, 300)
    assert gap_of(0.1, gap, 300) <= 300 // 9


def test_a_shorter_gap_is_tried_again_after_some_time() -> None:
    gap = Gap(0.85, 0.0)
    gap_of(0.2, gap, 100)
    assert gap.seconds > 0.2
    for hours in range(1, 20):
        gap.answered(hours * (FORGIVEN_AFTER + 1))
    assert gap.seconds == 0.0


@given(st.lists(st.booleans()))
def test_it_never_leaves_its_bounds(answers: list[bool]) -> None:
    gap = Gap(0.85, 0.01)
    for number, is_answered in enumerate(answers):
        if is_answered:
            gap.answered(number)
        else:
            gap.failed(number)
        assert 0.01 <= gap.seconds <= 0.85
