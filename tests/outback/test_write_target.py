"""A write reaches the device it was previewed for, or nothing, however the HUB is replugged.

Addresses of blocks shift when a device is added, removed or moved, and gateways are
exchanged. Thousands of times something is previewed, the HUB is replugged at some moment
up to the last reading before the write, and the change is confirmed.
"""

import asyncio
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import time
from functools import cache
from typing import Final
from unittest.mock import patch

from hypothesis import given, settings, strategies as st
import pytest

from custom_components.local_solar.outback import settings as settings_module
from custom_components.local_solar.outback.mate3 import Mate3
from custom_components.local_solar.outback.placed import PlacedRow
from custom_components.local_solar.outback.settings import DeviceSettings
from custom_components.local_solar.points import Value
from custom_components.local_solar.write_budget import WriteBudget
from custom_components.local_solar.write_errors import (
    InvalidValueError,
    WriteError,
    WrongDeviceError,
)
from custom_components.local_solar.write_gate import Outcome, WriteGate, Written
from simulators.clock import SimulatedClock
from simulators.mate3.chain import Chain
from simulators.mate3.gateway import SimulatedMate3
from simulators.mate3.systems import VARIANTS

from .helpers import MODEL_OFFSETS, NOON, GatewayUnit, identified, model_of, still
from .test_mate3 import carry_out

PARTS: Final = 10
EXAMPLES: Final = 210
"""Of each part: 2100 in all."""

OTHER_MAC: Final = "0090EA-FFFFFF"


@dataclass(frozen=True, slots=True)
class Known:
    """A system as it was set up."""

    chain: Chain
    mate3: Mate3
    settings: tuple[tuple[str, str], ...]
    """Device and key of all settings, those of devices on the HUB first."""


@cache
def known(variant: str) -> Known:
    """Return a system with two more devices on its HUB, which is set up once."""

    async def set_up() -> Known:
        gateway = still(variant)
        chain = gateway.chain
        first = chain.devices()[0].port
        chain.add_device(first, 8)
        chain.add_device(chain.devices()[-2].port, 9)
        for place, device in enumerate(chain.devices()):
            # So that what is at the wrong place has other values now and then.
            if device.config is not None and place % 2:
                device.config[11] += 1
        mate3 = await identified(GatewayUnit(gateway))
        rows = [
            (device, key)
            for device, rows in mate3.rows.items()
            for key, placed in rows.items()
            if placed.row.setting is not None
        ]
        rows.sort(key=lambda item: item[0] == mate3.system.id)
        return Known(chain, mate3, tuple(rows))

    return asyncio.run(set_up(), debug=False)


@contextmanager
def at_once() -> Iterator[None]:
    """Let the gate look at once at what a device holds after a write."""
    with (
        patch.object(settings_module, "SETTLE", (0.0,) * 3),
        patch.object(settings_module, "COMMAND_SETTLE", (0.0,) * 3),
    ):
        yield


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A change, and what happens on the way."""

    variant: str
    device: str
    key: str
    number: int
    """Which of the possible values is wanted."""
    plugging: tuple[tuple[str, int, int], ...]
    exchanged: int | None
    """Which device gives way to one of another model."""
    strikes: int
    """Before which reading of the confirmation all that happens, 0 for before it."""
    breaks: bool
    """Whether the link is lost then."""
    other_gateway: bool
    """Whether another gateway answers behind the new link."""
    lost_before: bool
    """Whether the link is lost before the confirmation, too: that takes more readings."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What came of a case. ``said`` is ``None`` if the value is none for this device."""

    unit: GatewayUnit
    said: Written[str] | WriteError | None
    struck: bool = False
    """Whether the HUB was replugged before the write."""


kinds = st.sampled_from(("swap", "move", "remove", "add", "reorder"))
numbers = st.integers(0, 11)


@st.composite
def cases(draw: st.DrawFn) -> Case:
    """Draw a case."""
    variant = draw(st.sampled_from(sorted(VARIANTS)))
    found = known(variant)
    device, key = draw(st.sampled_from(found.settings))
    breaks = draw(st.booleans())
    return Case(
        variant=variant,
        device=device,
        key=key,
        number=draw(st.integers(1, 50)),
        plugging=tuple(draw(st.lists(st.tuples(kinds, numbers, numbers), max_size=4))),
        exchanged=draw(st.one_of(st.none(), st.none(), numbers)),
        strikes=draw(st.sampled_from((0, 0, 2, 3))),
        breaks=breaks,
        other_gateway=breaks and draw(st.sampled_from((False, False, True))),
        lost_before=draw(st.booleans()),
    )


def value_of(placed: PlacedRow, number: int) -> Value:
    """Return one of the values that a setting takes."""
    if placed.row.register.options:
        options = list(placed.row.register.options.values())
        return options[number % len(options)]
    setting = placed.row.setting
    assert setting is not None
    if setting.minimum is None or setting.maximum is None:
        return time(number % 24, number)
    step = setting.step or 1
    steps = int((setting.maximum - setting.minimum) / step)
    least = round(setting.minimum / step) + 1
    return round((least + number * max(1, steps // 60)) * step, 6)


def exchange(chain: Chain, number: int) -> None:
    """Put a device of another model into the place of one."""
    devices = chain.devices()
    config = devices[number % len(devices)].config
    if config is not None and config.has(MODEL_OFFSETS[config.did] + 1):
        config[MODEL_OFFSETS[config.did]] = 0x5A5A


def give_other_mac(chain: Chain) -> None:
    """Make a gateway another one of the same kind."""
    gateway = chain.block(64110)
    octets = OTHER_MAC.encode().ljust(14, b"\0")
    for place in range(7):
        gateway[7 + place] = int.from_bytes(octets[2 * place : 2 * place + 2], "big")


async def attempt(case: Case) -> Result:
    """Preview, replug, confirm; return where what was written went, and what was said."""
    found = known(case.variant)
    chain = found.chain.copy()
    gateway = SimulatedMate3(chain, SimulatedClock(NOON, speed=0))
    gateway.command_delay = 0.0
    unit = GatewayUnit(gateway)
    driver = DeviceSettings(unit, found.mate3, case.device, installer=True)
    gate = WriteGate[str](driver, WriteBudget({}, _keep), lambda gate, written: None)
    wanted = value_of(found.mate3.rows[case.device][case.key], case.number)
    try:
        pending = await gate.async_preview(case.key, wanted, "owner")
    except InvalidValueError:
        return Result(unit=unit, said=None)
    struck = False

    def strike() -> None:
        nonlocal struck
        struck = True
        for kind, one, other in case.plugging:
            carry_out(chain, kind, one, other)
        if case.exchanged is not None:
            exchange(chain, case.exchanged)
        if case.breaks:
            unit.break_link()
        if case.other_gateway:
            give_other_mac(chain)

    def before(number: int) -> None:
        if not struck and not unit.writes and len(unit.reads) == case.strikes:
            strike()

    unit.reads.clear()
    if case.lost_before:
        unit.break_link()
    if case.strikes:
        unit.before = before
    else:
        strike()
    said: Written[str] | WriteError
    try:
        said = await gate.async_confirm(pending.token, "owner")
    except WriteError as err:
        said = err
    driver.stop_watching()
    return Result(unit=unit, said=said, struck=struck)


async def _keep(ledger: object) -> None:
    """Keep nothing."""


def assert_right_target(case: Case, result: Result) -> None:
    """Check that what was written reached the device that it was previewed for."""
    found = known(case.variant)
    placed = found.mate3.rows[case.device][case.key]
    place, row = placed.place, placed.row
    offset = row.offset if row.sends_to is None else row.sends_to
    model = model_of(found.chain, place.did, place.port)
    assert len(result.unit.writes) <= 1
    for write in result.unit.writes:
        assert (write.did, write.port, write.offset) == (place.did, place.port, offset)
        assert write.model == model
        assert not (result.struck and case.other_gateway)


@pytest.mark.parametrize("part", range(PARTS))
def test_a_write_reaches_the_device_it_was_previewed_for(part: int) -> None:
    tally = Counter[str]()

    @settings(max_examples=EXAMPLES)
    @given(cases())
    def run(case: Case) -> None:
        result = asyncio.run(attempt(case), debug=False)
        assert_right_target(case, result)
        match result.said:
            case Written(outcome=Outcome.WRITTEN):
                assert len(result.unit.writes) == 1
                tally["written"] += 1
            case WrongDeviceError():
                assert result.unit.writes == []
                tally["refused"] += 1
            case _:
                tally["other"] += 1

    with at_once():
        run()
    # It is no use to refuse everything, nor to replug nothing that counts.
    assert tally["written"] >= EXAMPLES // 25, tally
    assert tally["refused"] >= EXAMPLES // 25, tally


@pytest.mark.parametrize("variant", VARIANTS)
def test_every_setting_reaches_its_register(variant: str) -> None:
    """Nothing is replugged: all that can be written is, at the right place."""
    written: set[tuple[str, str]] = set()
    with at_once():
        for device, key in known(variant).settings:
            for number in (1, 2):
                case = Case(
                    variant=variant,
                    device=device,
                    key=key,
                    number=number,
                    plugging=(),
                    exchanged=None,
                    strikes=0,
                    breaks=False,
                    other_gateway=False,
                    lost_before=False,
                )
                result = asyncio.run(attempt(case), debug=False)
                assert_right_target(case, result)
                match result.said:
                    case Written(outcome=Outcome.WRITTEN):
                        written.add((device, key))
                        break
    assert len(written) >= len(known(variant).settings) * 3 // 4
