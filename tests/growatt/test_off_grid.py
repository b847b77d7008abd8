"""Off-grid models: never asked for what makes them reset, nor across a group of theirs."""

from dataclasses import replace
from datetime import datetime
from typing import Final

from hypothesis import given, settings, strategies as st
from modbus_connection import IllegalDataAddressError
import pytest

from custom_components.local_solar.growatt.identify import Identification
from custom_components.local_solar.growatt.inverter import Inverter
from custom_components.local_solar.growatt.models import Certainty, Family
from custom_components.local_solar.growatt.profiles.catalogue import PROFILES
from custom_components.local_solar.growatt.settings import InverterSettings
from custom_components.local_solar.modbus.image import RegisterImage
from custom_components.local_solar.modbus.plan import LinkTiming, plan_reads
from custom_components.local_solar.modbus.reader import RegisterReader
from custom_components.local_solar.modbus.register import Register
from custom_components.local_solar.points import ALARMS, PROBLEM, Alarm, Value
from custom_components.local_solar.write_errors import (
    InvalidValueError,
    NeverWriteError,
    WriteError,
)
from tests.modbus.helpers import INPUT, Request, ScriptedUnit

from .helpers import put_text

SPF: Final = PROFILES["spf"]
ROWS: Final = tuple(SPF)
SERIAL: Final = "TTJ0CE1234"
NOON: Final = datetime(2026, 6, 1, 12)

INVERTER: Final = Identification(
    serial_number=SERIAL,
    family=Family.SPF,
    profile="spf",
    model="SPF 5000 ES",
    battery=True,
)

RESETS: Final = 30000
"""The first address that makes an off-grid model reset."""

GROUP: Final = 45


def assert_harmless(requests: list[Request]) -> None:
    """Check that requests stay inside the groups of 45 words, and far below the rest."""
    assert requests
    for request in requests:
        _, address, count = request
        last = address + count - 1
        assert 1 <= count <= GROUP, request
        assert address // GROUP == last // GROUP, request
        assert last < RESETS, request


def harmless_unit() -> ScriptedUnit:
    """Return an off-grid inverter that feeds its loads from a battery at 52.00 V."""
    unit = ScriptedUnit()
    unit.input.update({0: 2, 17: 5200, 18: 80, 20: 2301})
    unit.holding.update({34: 60, 43: 3400})
    put_text(unit, 23, 5, SERIAL)
    return unit


row_sets = st.sets(st.sampled_from(ROWS), min_size=1).map(
    lambda rows: sorted(rows, key=lambda row: row.key)
)
word_limits = st.integers(1, 45)
timings = st.builds(
    LinkTiming,
    baud=st.sampled_from((1200, 9600, 115200)),
    latency=st.floats(0, 5),
    spacing=st.floats(0, 2),
)


@given(
    row_sets,
    word_limits,
    timings,
    st.frozensets(st.sampled_from([(row.space, row.address) for row in ROWS])),
)
def test_no_plan_reaches_what_makes_it_reset(
    rows: list[Register],
    max_words: int,
    timing: LinkTiming,
    borders: frozenset[tuple[object, int]],
) -> None:
    # A border inside a row is what no reader makes: those that share words start together.
    free = frozenset(
        (space, border)
        for space, border in borders
        if not any(
            row.space is space and row.address < border < row.end for row in ROWS
        )
    )
    reads = plan_reads(
        rows,
        SPF.groups,
        timing,
        max_words=max_words,
        borders=free,  # type: ignore[arg-type]
    )
    assert_harmless([(read.space, read.address, read.count) for read in reads])
    assert {row for read in reads for row in read.registers} == set(rows)


@given(row_sets, word_limits, st.floats(0, 1), st.data())
async def test_no_reader_reaches_it_whatever_the_inverter_refuses(
    rows: list[Register], max_words: int, latency: float, data: st.DataObject
) -> None:
    unit = harmless_unit()
    refused = data.draw(st.sets(st.sampled_from([row.address for row in rows])))

    def answer(request: Request, words: list[int]) -> list[int]:
        _, address, count = request
        if refused & set(range(address, address + count)):
            raise IllegalDataAddressError
        return words

    unit.intercept = answer
    reader = RegisterReader(
        unit, SPF.groups, max_words=max_words, spacing=latency, patience=1
    )
    for _ in range(6):
        await reader.read(rows, RegisterImage())
    assert_harmless([request for request in unit.requests if request[2]])


@settings(max_examples=25)
@given(st.none() | st.integers(1, 200), st.sampled_from(Certainty))
async def test_no_poll_and_no_dump_reaches_it(
    max_words: int | None, certainty: Certainty
) -> None:
    """Neither does the owner's limit of words, be it higher than the inverter's."""
    unit = harmless_unit()
    inverter = Inverter(
        unit, replace(INVERTER, certainty=certainty), spacing=0, max_words=max_words
    )
    await inverter.async_poll(
        (device.identity.id, point.key)
        for device in inverter.devices
        for point in device.points
    )
    _, missing = await inverter.async_dump()
    assert not missing
    assert_harmless(unit.requests)


@given(st.integers(0, 0xFFFF), st.integers(1, 125))
def test_looking_at_registers_is_refused_there(address: int, count: int) -> None:
    inverter = Inverter(harmless_unit(), INVERTER, spacing=0)
    assert inverter.may_touch(address, count) == (address + count <= RESETS)


@given(st.sampled_from([row.key for row in ROWS]))
def test_nothing_is_written_there(key: str) -> None:
    unit = harmless_unit()
    driver = InverterSettings(unit, Inverter(unit, INVERTER, spacing=0), lambda: NOON)
    try:
        rows = driver.rows(key)
    except WriteError:
        return
    assert all(row.end <= RESETS for row in rows)


# -- what it tells --------------------------------------------------------------------


@pytest.fixture(name="unit")
def make_unit() -> ScriptedUnit:
    return harmless_unit()


@pytest.fixture(name="inverter")
def make_inverter(unit: ScriptedUnit) -> Inverter:
    return Inverter(unit, INVERTER, spacing=0)


async def values(inverter: Inverter, *keys: str) -> dict[str, Value | None]:
    """Poll for points of the inverter and return their values."""
    poll = await inverter.async_poll((inverter.id, key) for key in keys)
    return poll.snapshot[inverter.id]


async def test_the_batterys_power_is_positive_while_it_charges(
    unit: ScriptedUnit, inverter: Inverter
) -> None:
    unit.input.update({77: 0xFFFF, 78: 0x10000 - 5000})
    poll = await inverter.async_poll([(inverter.battery_id, "battery_power")])
    assert poll.snapshot[inverter.battery_id] == {"battery_power": 500.0}


async def test_a_problem_is_told_from_the_rows_of_its_own(
    unit: ScriptedUnit, inverter: Inverter
) -> None:
    unit.input.update({0: 3, 42: 7, 41: 1 << 3})
    own = await values(inverter, PROBLEM.key, ALARMS.key)
    assert own[PROBLEM.key] is True
    assert own[ALARMS.key] == {
        Alarm(kind="fault", code=7, subcode=0, text="Output overloaded"),
        Alarm(kind="warning", code=7, subcode=0, text="Output overloaded"),
    }


async def test_more_warning_bits_are_no_problem(
    unit: ScriptedUnit, inverter: Inverter
) -> None:
    unit.input[42] = 1 << 1
    own = await values(inverter, PROBLEM.key, ALARMS.key)
    assert own[PROBLEM.key] is False
    assert own[ALARMS.key] == {
        Alarm(
            kind="warning",
            code=23,
            subcode=0,
            text="Firmware of the parallel inverters differs",
        )
    }


async def test_an_inverter_without_the_later_bits_still_tells_its_problem() -> None:
    """V3.13 brought the fault bits; older firmware refuses them."""
    unit = ScriptedUnit()
    unit.input.update({0: 3, 14: 2300, 40: 25})

    def answer(request: Request, words: list[int]) -> list[int]:
        space, address, count = request
        if space is INPUT and address <= 128 < address + count:
            raise IllegalDataAddressError
        return words

    unit.intercept = answer
    old = replace(INVERTER, family=Family.V3_PV, profile="v3_pv", battery=False)
    inverter = Inverter(unit, old, spacing=0)
    own: dict[str, Value | None] = {}
    for _ in range(4):
        own = await values(inverter, PROBLEM.key, ALARMS.key, "grid_l1_voltage")
    assert own[PROBLEM.key] is True
    assert own[ALARMS.key] == {
        Alarm(kind="fault", code=25, subcode=0, text="Grid missing")
    }


# -- what may be set ------------------------------------------------------------------


@pytest.fixture(name="driver")
def make_driver(unit: ScriptedUnit, inverter: Inverter) -> InverterSettings:
    return InverterSettings(unit, inverter, lambda: NOON)


@pytest.mark.parametrize(
    "key",
    [
        "bulk_charge_voltage",
        "float_charge_voltage",
        "battery_feed_stop_voltage",
        "battery_feed_resume_voltage",
        "battery_cut_off_level",
        "battery_type",
        "output_voltage_type",
        "output_frequency_type",
    ],
)
def test_what_could_damage_battery_or_appliances_is_never_written(
    driver: InverterSettings, key: str
) -> None:
    with pytest.raises(NeverWriteError):
        driver.setting(key)


@pytest.mark.parametrize(("word", "on"), [(0x0000, True), (0x0100, False)])
async def test_the_output_is_switched_without_touching_standby(
    unit: ScriptedUnit, driver: InverterSettings, word: int, on: bool
) -> None:
    unit.holding[0] = word
    reading = await driver.async_read("ac_output")
    assert reading.value is on
    change = driver.change("ac_output", not on, reading)
    assert change.raw == (0x0100 if on else 0x0000,)


@pytest.mark.parametrize("word", [0x0001, 0x0101, 7])
async def test_the_output_is_not_switched_in_standby(
    unit: ScriptedUnit, driver: InverterSettings, word: int
) -> None:
    unit.holding[0] = word
    reading = await driver.async_read("ac_output")
    assert reading.value is None
    with pytest.raises(InvalidValueError):
        driver.change("ac_output", True, reading)


async def test_a_charge_current_that_the_battery_controls_is_not_set(
    unit: ScriptedUnit, driver: InverterSettings
) -> None:
    reading = await driver.async_read("max_charge_current")
    assert driver.change("max_charge_current", 50, reading).raw == (50,)
    unit.holding[34] = 0xFFFF
    reading = await driver.async_read("max_charge_current")
    assert reading.value is None
    with pytest.raises(InvalidValueError):
        driver.change("max_charge_current", 50, reading)


@pytest.mark.parametrize("word", [0x0000, 0x0001, 0x0100, 0x0101])
async def test_an_old_string_inverter_is_switched_with_its_automatic_start(
    unit: ScriptedUnit, word: int
) -> None:
    unit.holding[0] = word
    old = replace(INVERTER, family=Family.V3_PV, profile="v3_pv", battery=False)
    driver = InverterSettings(unit, Inverter(unit, old, spacing=0), lambda: NOON)
    reading = await driver.async_read("on_off")
    assert reading.value is bool(word & 1)
    assert driver.change("on_off", True, reading).raw == (0x0101,)
    assert driver.change("on_off", False, reading).raw == (0x0100,)
