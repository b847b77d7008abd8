"""How faults are written, and which requests meet them."""

from dataclasses import dataclass
from random import Random

import pytest

from simulators.errors import SimulatorError
from simulators.faults import Fault, FaultKind


@dataclass
class _Asked:
    unit: int = 1
    address: int = 3000
    count: int = 10
    op: str = "read_input"


def _struck(text: str, *requests: _Asked) -> list[bool]:
    fault = Fault.parse(text)
    random = Random(7)
    return [fault.strikes(request, random) for request in requests]


def test_every_part_of_a_fault_is_read() -> None:
    text = "exception=2@0.5,every=3,times=4,unit=5,address=6-7,op=write"
    assert Fault.parse(text) == Fault(
        kind=FaultKind.EXCEPTION,
        argument=2,
        chance=0.5,
        every=3,
        times=4,
        unit=5,
        addresses=(6, 7),
        op="write",
    )


@pytest.mark.parametrize(
    ("text", "argument"),
    [
        *[("delay=0.25", 0.25), ("short", 1), ("cut", 3), ("exception", 4)],
        *[("garbage", 16), ("late=1.5", 1.5), ("clamp=65535", 65535)],
    ],
)
def test_arguments_have_sensible_values(text: str, argument: float) -> None:
    assert Fault.parse(text).argument == argument


def test_a_bare_fault_strikes_always() -> None:
    assert _struck("drop", _Asked(), _Asked()) == [True, True]


def test_every_strikes_each_nth_that_fits() -> None:
    other = _Asked(unit=2)
    requests = (_Asked(), other, _Asked(), other, _Asked(), _Asked())
    assert _struck("drop,every=2,unit=1", *requests) == [
        *(False, False, True),
        *(False, False, True),
    ]


def test_times_strikes_the_first_ones() -> None:
    assert _struck("drop,times=2", *[_Asked()] * 4) == [True, True, False, False]


def test_chance_strikes_at_random() -> None:
    struck = _struck("drop@0.2", *[_Asked()] * 1000)
    assert 150 < sum(struck) < 250
    assert not any(_struck("drop@0", *[_Asked()] * 100))
    assert all(_struck("drop@1", *[_Asked()] * 100))


@pytest.mark.parametrize(
    ("filter_", "struck"),
    [
        ("address=3009", True),
        ("address=3010", False),
        ("address=2900-3000", True),
        ("address=2900-2999", False),
        ("unit=1", True),
        ("unit=2", False),
        ("op=read", True),
        ("op=read_input", True),
        ("op=read_holding", False),
        ("op=write", False),
    ],
)
def test_filters_choose_requests(filter_: str, struck: bool) -> None:
    assert _struck(f"drop,{filter_}", _Asked()) == [struck]


def test_some_faults_concern_reads_or_writes_only() -> None:
    write = _Asked(op="write_single")
    assert _struck("short", _Asked(), write) == [True, False]
    for fault in ("ignore", "late=1", "clamp=9"):
        assert _struck(fault, _Asked(), write) == [False, True]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "'' is not one of drop, deaf"),
        ("fire", "'fire' is not one of drop"),
        ("drop=3", "drop takes no argument"),
        ("delay", "delay needs an argument: delay=1.5"),
        ("late", "late needs an argument: late=1.5"),
        ("clamp", "clamp needs an argument: clamp=1"),
        ("clamp=65536", "'65536' is not a whole number from 0 to 65535"),
        ("delay=x", "'x' is not a number from 0 to 3600"),
        ("delay=-1", "'-1' is not a number from 0"),
        ("delay=nan", "'nan' is not a number"),
        ("exception=256", "'256' is not a whole number from 0 to 255"),
        ("exception=1.5", "'1.5' is not a whole number"),
        ("drop@2", "'2' is not a number from 0 to 1"),
        ("drop@", "'' is not a number from 0 to 1"),
        ("drop,every=0", "'0' is not a whole number from 1"),
        ("drop,address=9-3", "'3' is not a whole number from 9 to 65535"),
        ("drop,op=erase", "'erase' is not an operation"),
        ("drop,when=now", "'when' is not one of every, times, unit, address, op"),
        ("drop,", "'' is not one of every"),
    ],
)
def test_bad_faults_are_refused_with_one_line(text: str, message: str) -> None:
    with pytest.raises(SimulatorError) as caught:
        Fault.parse(text)
    assert str(caught.value).startswith(f"fault {text!r}: ")
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
