"""Whose turn it is."""

from hypothesis import given, strategies as st

from custom_components.local_solar.gateway.clients import Client, ClientKind
from custom_components.local_solar.gateway.turns import Line, Turns


def line(kind: ClientKind = ClientKind.TCP) -> Line:
    """Return the line of a client."""
    return Line(Client(name="somebody", kind=kind, peer="192.0.2.7"))


def served(turns: Turns, count: int, cost: int = 1) -> list[Line]:
    """Serve so many, each of whom waits again at once; return who that was."""
    order = []
    for _ in range(count):
        each = turns.take()
        assert each is not None
        turns.begin(each)
        each.had += cost
        turns.put(each)
        order.append(each)
    return order


def test_who_came_first_goes_first_and_all_are_served_as_often() -> None:
    turns = Turns()
    lines = [line() for _ in range(3)]
    for each in lines:
        turns.join(each)
    assert len(turns) == 3
    assert served(turns, 7) == [*lines, *lines, lines[0]]


def test_who_had_more_turns_waits_for_the_others() -> None:
    turns = Turns()
    slow, quick = line(), line()
    for each in (slow, quick):
        turns.join(each)
    assert served(turns, 1, cost=4) == [slow]
    assert served(turns, 5) == [quick] * 4 + [slow]


def test_nobody_saves_turns_up() -> None:
    turns = Turns()
    there = line()
    turns.join(there)
    served(turns, 10)
    late = line()
    turns.join(late)
    order = served(turns, 6)
    assert (order.count(there), order.count(late)) == (3, 3)


def test_the_dongle_comes_first_but_not_twice_while_others_wait() -> None:
    turns = Turns()
    other, dongle = line(), line(ClientKind.DONGLE)
    for each in (other, dongle):
        turns.join(each)
    assert served(turns, 4) == [dongle, other, dongle, other]
    alone = Turns()
    alone.join(dongle)
    assert served(alone, 2) == [dongle, dongle]


def test_who_is_put_back_unserved_loses_no_turn() -> None:
    turns = Turns()
    lines = [line() for _ in range(2)]
    for each in lines:
        turns.join(each)
    first = turns.take()
    assert first is lines[0]
    turns.put(first)
    assert turns.take() is lines[1]
    assert turns.take() is lines[0]
    assert turns.take() is None


@given(costs=st.lists(st.integers(1, 9), min_size=1, max_size=6))
def test_shares_of_the_bus_are_equal_whatever_each_turn_costs(costs: list[int]) -> None:
    turns = Turns()
    lines = [line() for _ in costs]
    for each in lines:
        turns.join(each)
    for _ in range(50):
        taken = turns.take()
        assert taken is not None
        turns.begin(taken)
        taken.had += costs[lines.index(taken)]
        turns.put(taken)
    had = [each.had for each in lines]
    assert max(had) - min(had) <= max(costs)
