"""What clients may do."""

from hypothesis import given, strategies as st
import pytest

from custom_components.local_solar.gateway.clients import Client, ClientKind
from custom_components.local_solar.gateway.pdu import Request
from custom_components.local_solar.gateway.policy import (
    REFUSED_WITH,
    Policy,
    Refusal,
    Span,
    parse_network,
)
from custom_components.local_solar.modbus.image import Space

from .helpers import make_client, read

WRITE = Request(1, 6, 30, 1, (5,))
FRIEND = make_client("192.168.1.7:5000")
STRANGER = make_client("192.168.2.7:5000")
DONGLE = make_client("dongle", ClientKind.DONGLE)
TERMINAL = make_client("terminal 1", ClientKind.TERMINAL)
OFF_GRID = Policy(
    never={1: (Span(first=30000, last=31999),)},
    writers=(parse_network("192.168.1.0/24"),),
    dongle_writes=True,
)


@pytest.mark.parametrize("client", [FRIEND, STRANGER, DONGLE, TERMINAL])
def test_nothing_is_written_unless_the_owner_says_so(client: Client) -> None:
    assert Policy().refusal(client, read(0, 125)) is None
    assert Policy().refusal(client, WRITE) is Refusal.WRITES_OFF


def test_only_those_who_are_named_may_write() -> None:
    policy = Policy(writers=(parse_network("192.168.1.0/24"),))
    assert policy.refusal(FRIEND, WRITE) is None
    for client in (STRANGER, DONGLE, TERMINAL):
        assert policy.refusal(client, WRITE) is Refusal.NOT_A_WRITER


def test_the_dongle_may_write_if_the_owner_wants_that() -> None:
    policy = Policy(dongle_writes=True)
    assert policy.refusal(DONGLE, WRITE) is None
    assert policy.refusal(FRIEND, WRITE) is Refusal.NOT_A_WRITER


@pytest.mark.parametrize("client", [FRIEND, DONGLE])
@pytest.mark.parametrize(
    "request_",
    [
        Request(1, 3, 30000, 1),
        Request(1, 4, 31999, 1),
        Request(1, 3, 29990, 11),
        Request(1, 4, 29900, 125),
        Request(1, 6, 30100, 1, (1,)),
        Request(1, 16, 29999, 2, (1, 1)),
    ],
)
def test_what_must_never_be_touched_is_refused_for_everyone(
    client: Client, request_: Request
) -> None:
    assert OFF_GRID.refusal(client, request_) is Refusal.NEVER


def test_what_lies_beside_it_may_be_read() -> None:
    assert OFF_GRID.refusal(FRIEND, Request(1, 3, 29990, 10)) is None
    assert OFF_GRID.refusal(FRIEND, Request(1, 3, 32000, 10)) is None
    assert OFF_GRID.refusal(FRIEND, Request(2, 3, 30000, 10)) is None


def test_reads_may_be_restricted_to_ranges() -> None:
    policy = Policy(ranges=(Span.parse("holding 0-124"), Span.parse("3000-3124")))
    assert policy.refusal(FRIEND, Request(1, 3, 0, 125)) is None
    assert policy.refusal(FRIEND, Request(1, 4, 3000, 125)) is None
    assert policy.refusal(FRIEND, Request(1, 4, 0, 1)) is Refusal.RANGE
    assert policy.refusal(FRIEND, Request(1, 3, 124, 2)) is Refusal.RANGE


def test_connections_may_be_restricted_to_peers() -> None:
    policy = Policy(peers=(parse_network("192.168.1.7"), parse_network("fd00::/8")))
    assert policy.admits("192.168.1.7")
    assert policy.admits("::ffff:192.168.1.7")
    assert policy.admits("fd00::1%eth0")
    assert not policy.admits("192.168.1.8")
    assert not policy.admits("no address")
    assert Policy().admits("192.168.1.8")


def test_each_refusal_has_its_exception() -> None:
    assert set(REFUSED_WITH) == set(Refusal)


@given(
    first=st.integers(0, 0xFFFF),
    length=st.integers(0, 500),
    space=st.sampled_from([None, *Space]),
)
def test_spans_are_read_as_they_are_written(
    first: int, length: int, space: Space | None
) -> None:
    span = Span(space=space, first=first, last=min(first + length, 0xFFFF))
    assert Span.parse(str(span)) == span


@pytest.mark.parametrize(
    "text", ["", "all", "coil 1", "5-3", "70000", "holding", "1-70000", "1-2-3", "-1"]
)
def test_what_is_no_span_is_refused_with_the_text_named(text: str) -> None:
    with pytest.raises(ValueError, match=repr(text)):
        Span.parse(text)


@given(
    span=st.tuples(st.integers(0, 300), st.integers(0, 300)).map(sorted),
    first=st.integers(0, 300),
    length=st.integers(1, 125),
)
def test_never_means_not_one_register_of_it(
    span: list[int], first: int, length: int
) -> None:
    policy = Policy(never={1: (Span(first=span[0], last=span[1]),)})
    touched = set(range(first, first + length)) & set(range(span[0], span[1] + 1))
    refusal = policy.refusal(FRIEND, Request(1, 3, first, length))
    assert (refusal is Refusal.NEVER) == bool(touched)
