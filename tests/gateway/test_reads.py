"""What belongs to reads, found also by reads that lie within them."""

from hypothesis import given, strategies as st

from custom_components.local_solar.gateway.pdu import Request
from custom_components.local_solar.gateway.reads import Reads

REQUESTS = st.builds(
    Request,
    st.integers(1, 2),
    st.sampled_from([3, 4]),
    st.integers(0, 12),
    st.integers(1, 8),
    st.just(()),
)


@given(kept=st.lists(REQUESTS, unique=True), dropped=st.integers(0, 5), wanted=REQUESTS)
def test_wider_reads_are_those_that_bring_more(
    kept: list[Request], dropped: int, wanted: Request
) -> None:
    reads: Reads[int] = Reads()
    for number, request in enumerate(kept):
        reads.keep(request, number)
    for request in kept[:dropped]:
        reads.drop(request)
    left = kept[dropped:]
    assert list(reads.kept) == left
    assert list(reads.wider(wanted)) == [
        request for request in left if request != wanted and request.covers(wanted)
    ]


def test_what_is_kept_after_everything_was_dropped_is_found_too() -> None:
    reads: Reads[str] = Reads()
    reads.keep(Request(1, 3, 0, 100), "long")
    reads.drop(Request(1, 3, 0, 100))
    reads.keep(Request(1, 3, 0, 10), "short")
    assert reads.wider(Request(1, 3, 5, 2)) == [Request(1, 3, 0, 10)]
