"""What Growatt inverters make of writes: clock, time slots, limits, power cycles."""

import asyncio
from collections.abc import AsyncIterator, Sequence
import time

from pymodbus.client import AsyncModbusTcpClient
import pytest

from simulators.clock import SimulatedClock
from simulators.datasets import Dataset, Table
from simulators.errors import SimulatorError
from simulators.growatt import GrowattSimulator, GrowattUnit
from simulators.requests import RefusedError

from .clients import PATIENCE, no_answer, tcp_client

LOAD_FIRST, BATTERY_FIRST, GRID_FIRST = range(3)


def _slot(
    start: tuple[int, int],
    end: tuple[int, int],
    mode: int = LOAD_FIRST,
    *,
    enabled: bool = True,
) -> list[int]:
    """Return both words of a time slot."""
    first = enabled << 15 | mode << 13 | start[0] << 8 | start[1]
    return [first, end[0] << 8 | end[1]]


def _unit(holding: dict[int, Sequence[int]] | None = None) -> GrowattUnit:
    """Return a MIN 6000TL-XH without enabled time slots, but with these registers."""
    unit = GrowattUnit(Dataset.load("min_6000tl_xh"))
    unit.write(3038, [0, 0])
    for address, words in (holding or {}).items():
        unit.write(address, words)
    return unit


def _write(
    unit: GrowattUnit, address: int, words: Sequence[int], *, single: bool = False
) -> int | None:
    """Write and return the exception code, if any."""
    before = _holding(unit, address, len(words))
    try:
        unit.write(address, words, single=single)
    except RefusedError as err:
        assert _holding(unit, address, len(words)) == before
        return err.code
    return None


def _holding(unit: GrowattUnit, address: int, count: int = 1) -> list[int]:
    return unit.read(Table.HOLDING, address, count)


@pytest.fixture
async def hybrid() -> AsyncIterator[GrowattSimulator]:
    async with GrowattSimulator() as simulator:
        simulator.set_word(1, "holding", 3038, 0)
        yield simulator


@pytest.fixture
async def client(hybrid: GrowattSimulator) -> AsyncIterator[AsyncModbusTcpClient]:
    async with tcp_client(await hybrid.start_tcp()) as client:
        yield client


# --- clock ---


@pytest.mark.parametrize("mutate", [False, True])
async def test_short_year_is_read_back_in_full(mutate: bool) -> None:
    clock = SimulatedClock(speed=0)
    async with (
        GrowattSimulator(mutate=mutate, clock=clock) as simulator,
        tcp_client(await simulator.start_tcp()) as client,
    ):
        # As loggers set it: word by word.
        for address, word in zip(range(45, 51), (31, 2, 5, 14, 30, 15), strict=True):
            assert not (
                await client.write_register(address, word, device_id=1)
            ).isError()
        answer = await client.read_holding_registers(45, count=6, device_id=1)
        assert answer.registers == [2031, 2, 5, 14, 30, 15]
        words = [32, 12, 31, 23, 59, 59]
        assert not (await client.write_registers(45, words, device_id=1)).isError()
        answer = await client.read_holding_registers(45, count=6, device_id=1)
        assert answer.registers == [2032, 12, 31, 23, 59, 59]


@pytest.mark.parametrize("mutate", [False, True])
@pytest.mark.parametrize(
    ("address", "words"),
    [
        *[(45, [100]), (45, [1999]), (45, [2100])],
        *[(46, [0]), (46, [13]), (47, [0]), (47, [32])],
        *[(48, [24]), (49, [60]), (50, [60])],
        (45, [2026, 2, 29, 0, 0, 0]),
        (46, [4, 31]),
        (44, [0x0201, 26, 13]),
    ],
)
async def test_clock_refuses_what_is_no_date(
    address: int, words: list[int], mutate: bool
) -> None:
    unit = GrowattUnit(Dataset.load("min_6000tl_xh"))
    if mutate:
        unit.live(SimulatedClock(speed=0))
    assert _write(unit, address, words) == 3


def test_day_that_a_new_month_lacks_becomes_its_last() -> None:
    unit = _unit({45: [2028, 1, 31]})
    unit.write(46, [2])
    assert _holding(unit, 45, 3) == [2028, 2, 29]
    unit.write(45, [27])
    assert _holding(unit, 45, 3) == [2027, 2, 28]


def test_clock_can_be_set_where_none_was_before() -> None:
    unit = GrowattUnit(Dataset.parse({"holding": {"43": 5100}}))
    for address, word in zip(range(45, 51), (26, 4, 30, 0, 0, 0), strict=True):
        unit.write(address, [word])
    assert _holding(unit, 45, 6) == [2026, 4, 30, 0, 0, 0]


# --- time slots ---


async def test_slots_must_not_overlap(
    hybrid: GrowattSimulator, client: AsyncModbusTcpClient
) -> None:
    for address, words in (
        (3040, _slot((1, 0), (5, 0), BATTERY_FIRST)),
        (3058, _slot((5, 0), (7, 0), GRID_FIRST)),
    ):
        assert not (await client.write_registers(address, words, device_id=1)).isError()
    answer = await client.write_registers(3042, _slot((6, 59), (8, 0)), device_id=1)
    assert answer.exception_code == 3
    answer = await client.write_register(3041, _slot((0, 0), (5, 1))[1], device_id=1)
    assert answer.exception_code == 3
    answer = await client.read_holding_registers(3040, count=2, device_id=1)
    assert answer.registers == _slot((1, 0), (5, 0), BATTERY_FIRST)
    assert [write.address for write in hybrid.writes] == [3040, 3058]


@pytest.mark.parametrize(
    ("slot", "code"),
    [
        (_slot((8, 0), (12, 0)), None),
        (_slot((14, 0), (23, 59)), None),
        (_slot((8, 0), (12, 1)), 3),
        (_slot((13, 59), (23, 59)), 3),
        (_slot((12, 30), (13, 0)), 3),
        (_slot((0, 0), (23, 59)), 3),
        (_slot((12, 30), (13, 0), enabled=False), None),
        # Over midnight.
        (_slot((22, 0), (12, 0)), None),
        (_slot((22, 0), (12, 1)), 3),
        # Impossible modes and times.
        (_slot((1, 0), (2, 0), 3), 3),
        (_slot((24, 0), (1, 0)), 3),
        (_slot((0, 60), (1, 0)), 3),
        (_slot((0, 0), (24, 0)), 3),
        (_slot((0, 0), (1, 60)), 3),
        (_slot((31, 255), (31, 255), enabled=False), None),
    ],
)
def test_enabled_slots_need_a_time_of_their_own(
    slot: list[int], code: int | None
) -> None:
    unit = _unit({3050: _slot((12, 0), (14, 0))})
    assert _write(unit, 3044, slot) == code


def test_slots_that_are_not_written_may_be_wrong() -> None:
    unit = _unit()
    unit.store(3038, [*_slot((0, 0), (23, 59)), *_slot((25, 0), (26, 0))])
    unit.store(3042, _slot((5, 0), (6, 0)))
    assert _write(unit, 3044, _slot((5, 0), (6, 0), enabled=False)) is None
    assert _write(unit, 3048, [90]) is None
    assert _write(unit, 3044, _slot((5, 0), (6, 0))) == 3


def test_slots_are_checked_together_when_written_together() -> None:
    unit = _unit({3038: _slot((0, 0), (23, 59))})
    both = [*_slot((0, 0), (6, 0)), *_slot((6, 0), (23, 59))]
    assert _write(unit, 3040, both[2:]) == 3
    assert _write(unit, 3038, both) is None


def test_models_without_slots_take_any_word() -> None:
    unit = GrowattUnit(Dataset.load("min_5000tl_x"))
    assert _write(unit, 3038, _slot((0, 0), (31, 0))) is None
    assert _write(unit, 3040, _slot((0, 0), (31, 0))) is None


async def test_slot_ends_may_need_both_words(
    hybrid: GrowattSimulator, client: AsyncModbusTcpClient
) -> None:
    start, end = _slot((1, 0), (2, 0))
    assert not (await client.write_register(3059, end, device_id=1)).isError()
    hybrid.units[1].slot_ends_need_both_words = True
    for address in (3039, 3045, 3051, 3059):
        answer = await client.write_register(address, end, device_id=1)
        assert answer.exception_code == 2
    for address in (3058, 3049):
        assert not (await client.write_register(address, 1, device_id=1)).isError()
    words = [start, end]
    assert not (await client.write_registers(3058, words, device_id=1)).isError()


async def test_battery_first_slots_may_be_forgotten_without_grid_charging(
    hybrid: GrowattSimulator, client: AsyncModbusTcpClient
) -> None:
    hybrid.units[1].forgets_slots_without_grid_charge = True
    old = hybrid.units[1].read(Table.HOLDING, 3040, 2)
    slot = _slot((1, 0), (2, 0), BATTERY_FIRST)
    assert not (await client.write_registers(3040, slot, device_id=1)).isError()
    answer = await client.read_holding_registers(3040, count=2, device_id=1)
    assert answer.registers == old
    assert hybrid.writes == []
    await client.write_register(3049, 1, device_id=1)
    await client.write_registers(3040, slot, device_id=1)
    answer = await client.read_holding_registers(3040, count=2, device_id=1)
    assert answer.registers == slot
    assert [write.address for write in hybrid.writes] == [3049, 3040]


@pytest.mark.parametrize(
    "slot",
    [
        _slot((1, 0), (2, 0), LOAD_FIRST),
        _slot((1, 0), (2, 0), GRID_FIRST),
        _slot((1, 0), (2, 0), BATTERY_FIRST, enabled=False),
    ],
)
def test_other_slots_are_kept_without_grid_charging(slot: list[int]) -> None:
    unit = _unit()
    unit.forgets_slots_without_grid_charge = True
    unit.write(3044, slot)
    assert _holding(unit, 3044, 2) == slot


# --- time slots of other families ---


def _family(code: int, **holding: int) -> GrowattUnit:
    """Return an inverter of a device type code, with registers named ``at_...``."""
    words = {name.removeprefix("at_"): word for name, word in holding.items()}
    return GrowattUnit(Dataset.parse({"holding": {"43": code, **words}}))


_WEEKDAY, _WEEKEND, _WEEK = range(3)


def _us_slot(start: int, end: int, days: int = _WEEK, mode: int = 0) -> list[int]:
    """Return a slot of TL-XH US between two hours."""
    return [1 << 15 | mode << 12 | start << 7, days << 12 | end << 7]


@pytest.mark.parametrize(
    ("slot", "code"),
    [
        (_us_slot(7, 9), 3),
        (_us_slot(7, 9, _WEEKDAY), 3),
        (_us_slot(7, 9, _WEEKEND), None),
        (_us_slot(8, 9), None),
        (_us_slot(9, 10, mode=3), None),
        (_us_slot(9, 10, mode=4), 3),
        (_us_slot(24, 10), 3),
    ],
)
def test_us_slots_of_a_season_need_a_time_of_their_own(
    slot: list[int], code: int | None
) -> None:
    unit = _family(5101, at_3129=0)
    unit.write(3129, _us_slot(6, 8, _WEEKDAY))
    assert _write(unit, 3131, slot) == code


def test_us_slots_of_another_season_may_be_at_the_same_time() -> None:
    unit = _family(5101, at_3129=0)
    unit.write(3129, _us_slot(6, 8))
    assert _write(unit, 3145, _us_slot(6, 8)) == 3
    assert _write(unit, 3147, _us_slot(6, 8)) is None


@pytest.mark.parametrize("address", [1017, 1026, 1080, 1086, 1106, 1110])
@pytest.mark.parametrize(
    ("slot", "code"),
    [
        ([5 << 8, 7 << 8, 1], 3),
        ([5 << 8, 6 << 8, 1], None),
        ([5 << 8, 7 << 8, 0], None),
        ([8 << 8, 9 << 8 | 60, 1], 3),
        ([8 << 8, 9 << 8, 2], 3),
    ],
)
def test_storage_slots_need_a_time_of_their_own_among_all_modes(
    address: int, slot: list[int], code: int | None
) -> None:
    unit = _family(3502, at_1080=0)
    unit.write(1100, [6 << 8, 8 << 8, 1])
    assert _write(unit, address, slot) == code


@pytest.mark.parametrize(
    ("words", "code"),
    [
        ([23, 20], None),
        ([0, 0], None),
        ([0x3B17, 6], None),
        ([24, 0], 3),
        ([0, 0x3C00], 3),
    ],
)
def test_windows_of_an_spf_need_times_only(words: list[int], code: int | None) -> None:
    unit = _family(3400, at_3=0, at_125=0, at_135=0)
    for address in (3, 5, 125, 135):
        assert _write(unit, address, words) == code


def _controlled() -> GrowattUnit:
    """Return an inverter that was given up to the VPP protocol."""
    return _family(5100, at_30099=203, at_30100=1, at_30411=0)


def test_vpp_slots_are_written_together() -> None:
    unit = _controlled()
    assert _write(unit, 30411, [1, 60, 120, 50]) is None
    assert _write(unit, 30414, [60], single=True) == 1
    assert _write(unit, 30411, [0], single=True) == 1


@pytest.mark.parametrize(
    ("words", "code"),
    [
        ([2, 60, 120, 50, 120, 1440, 0x10000 - 100], None),
        ([2, 60, 121, 50, 120, 1440, 0], 3),
        ([1, 60, 121, 50, 120, 1440, 0], None),
        ([1, 60, 1441, 50], 3),
        ([1, 60, 120, 101], 3),
        ([1, 60, 120, 0x10000 - 101], 3),
        ([21, 60, 120, 0], 3),
    ],
)
def test_vpp_slots_need_a_time_of_their_own(words: list[int], code: int | None) -> None:
    assert _write(_controlled(), 30411, words) == code


# --- limits ---


@pytest.mark.parametrize(
    ("address", "word", "code"),
    [
        *[(3, 0, None), (3, 100, None), (3, 101, 3), (3, 255, None), (3, 254, 3)],
        *[(3036, 1, None), (3036, 0, 3), (3036, 255, None), (3037, 255, 3)],
        *[(123, 1000, None), (123, 0x10000 - 1000, None), (123, 1001, 3)],
        *[(3049, 1, None), (3049, 2, 3), (0, 3, None), (0, 4, 3)],
        # Two meanings: load, battery and grid first, or default, retrofit and parallel.
        *[(3018, 1, None), (3018, 3, None), (3018, 4, 3)],
        # Not a setting, or unknown.
        *[
            (4, 0x10000 - 101, None),
            (1, 0xFFFF, None),
            (6, 0xFFFF, None),
            (3046, 0xFFFF, None),
        ],
    ],
)
def test_settings_have_limits(address: int, word: int, code: int | None) -> None:
    assert _write(_unit(), address, [word]) == code


async def test_a_value_outside_limits_keeps_the_whole_write_out(
    hybrid: GrowattSimulator, client: AsyncModbusTcpClient
) -> None:
    answer = await client.write_registers(3047, [50, 101], device_id=1)
    assert answer.exception_code == 3
    answer = await client.read_holding_registers(3047, count=2, device_id=1)
    assert answer.registers == [80, 96]
    assert hybrid.writes == []


def test_limits_can_be_left_unchecked() -> None:
    unit = _unit()
    unit.checks_limits = False
    assert _write(unit, 3, [1000]) is None


def test_models_without_a_register_map_have_no_limits() -> None:
    unit = GrowattUnit(Dataset.parse({"holding": {"3": 1, "43": 77}}))
    assert _write(unit, 20, [1000]) is None


# --- power ---


@pytest.mark.parametrize(("memory", "kept"), [(0, False), (1, True)])
async def test_power_limits_outlast_a_power_cycle_only_if_told(
    hybrid: GrowattSimulator, client: AsyncModbusTcpClient, memory: int, kept: bool
) -> None:
    await client.write_registers(2, [memory, 60, 255], device_id=1)
    await client.write_register(3048, 70, device_id=1)
    hybrid.units[1].power_cycle()
    answer = await client.read_holding_registers(2, count=3, device_id=1)
    assert answer.registers == ([1, 60, 255] if kept else [0, 100, 0])
    answer = await client.read_holding_registers(3048, device_id=1)
    assert answer.registers == [70]


async def test_unit_is_silent_without_power(
    hybrid: GrowattSimulator, client: AsyncModbusTcpClient
) -> None:
    hybrid.units[1].power_cycle(60)
    with no_answer(client):
        await client.read_holding_registers(3, device_id=1)
    # Neither of these brings the power back.
    hybrid.units[1].silent = False
    hybrid.units[1].power_cycle(0)
    with no_answer(client):
        await client.read_holding_registers(3, device_id=1)


async def test_unit_comes_back_with_the_power(
    hybrid: GrowattSimulator, client: AsyncModbusTcpClient
) -> None:
    before = time.monotonic()
    hybrid.units[1].power_cycle(0.1)
    async with asyncio.timeout(PATIENCE):
        while hybrid.units[1].silent:
            await asyncio.sleep(0.01)
    assert time.monotonic() - before >= 0.1
    assert (await client.read_holding_registers(3, device_id=1)).registers == [100]


def test_power_does_not_wake_up_who_is_told_to_be_silent() -> None:
    unit = _unit()
    unit.silent = True
    unit.power_cycle()
    states = [unit.silent]
    unit.silent = False
    assert [*states, unit.silent] == [True, False]


def test_power_cycle_spares_the_time_slots_of_an_spf() -> None:
    unit = GrowattUnit(Dataset.parse({"holding": {"3": 1, "4": 2, "43": 3400}}))
    unit.write(3, [7, 8])
    unit.power_cycle()
    assert _holding(unit, 3, 2) == [7, 8]


# --- another inverter ---


async def test_another_inverter_can_take_the_place_of_a_unit(
    hybrid: GrowattSimulator, client: AsyncModbusTcpClient
) -> None:
    assert (await client.read_holding_registers(43, device_id=1)).registers == [5100]
    unit = hybrid.replace_unit(1, "min_5000tl_x")
    assert hybrid.units[1] is unit
    # The same connection.
    assert (await client.read_holding_registers(43, device_id=1)).registers == [5200]
    await client.write_register(3, 42, device_id=1)
    assert hybrid.word(1, "holding", 3) == 42
    with pytest.raises(SimulatorError):
        hybrid.replace_unit(1, {"holding": {"x": 1}})
    assert hybrid.units[1] is unit


def test_another_inverter_lives_if_the_one_before_did() -> None:
    simulator = GrowattSimulator(
        mutate=True, clock=SimulatedClock(speed=0), sleeps=True
    )
    unit = simulator.replace_unit(1, "min_5000tl_x")
    assert unit.mutation is not None
    assert unit.sleeps
