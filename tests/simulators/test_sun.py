"""A plant that lives: its powers add up, its counters only grow, its settings count."""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
import json

import pytest

from custom_components.local_solar.growatt.energy_history import (
    ROWS,
    Memory,
    Span,
    chain,
    entries,
)
from custom_components.local_solar.growatt.profiles.catalogue import PROFILES
from custom_components.local_solar.modbus.register import Register
from custom_components.local_solar.points import Quantity, Value
from simulators.clock import SimulatedClock
from simulators.datasets import SHIPPED, Dataset, Table
from simulators.errors import SimulatorError
from simulators.growatt import GrowattSimulator, GrowattUnit
from simulators.sun import EFFICIENCY, Plant, Size, sunshine

from .clients import tcp_client

NOON = datetime(2026, 6, 21, 13, 0)
PROFILE_OF = {
    "min_6000tl_xh": "min_tl_xh",
    "min_5000tl_x": "min_tl_x",
    "min_7600tl_xh_us": "min_tl_xh_us",
}
HYBRIDS = ["min_6000tl_xh", "min_7600tl_xh_us"]
STEP = 0.1
"""Step of power in watts and of energy in kWh."""


class Inverter:
    """A unit that lives by a clock of its own, decoded by the integration's rows."""

    def __init__(
        self, dataset: str, start: datetime = NOON, *, live: bool = True
    ) -> None:
        self.clock = SimulatedClock(start, speed=0)
        self.unit = GrowattUnit(Dataset.load(dataset))
        self.rows = {
            row.key: row
            for row in PROFILES[PROFILE_OF[dataset]]
            if self.unit.has(Table(row.space.value), row.address)
        }
        if live:
            self.unit.live(self.clock)

    def words(self, key: str) -> list[int]:
        row = self.rows[key]
        return self.unit.read(Table(row.space.value), row.address, row.words)

    def value(self, key: str) -> Value | None:
        return self.rows[key].decode(self.words(key))

    def number(self, key: str) -> float:
        value = self.value(key)
        assert isinstance(value, int | float)
        return value

    def write(self, key: str, value: Value) -> None:
        row = self.rows[key]
        self.unit.write(row.address, row.encode(value))

    def counters(self, quantity: Quantity) -> dict[str, float]:
        return {
            key: self.number(key)
            for key, row in self.rows.items()
            if row.point.quantity is quantity and not _is_part(row)
        }


def _is_part(row: Register) -> bool:
    """Tell whether a row is about equipment that the demo's inverters do not have."""
    return row.key.startswith(("external_", "module", "storage_"))


def _hours(start: datetime, hours: int, step: int = 1) -> Iterator[datetime]:
    for hour in range(0, hours, step):
        yield start + timedelta(hours=hour)


def _assert_balanced(inverter: Inverter) -> None:
    number = inverter.number
    strings = [key for key in inverter.rows if _is_string_power(key)]
    pv = number("pv_power")
    assert sum(number(key) for key in strings) == pytest.approx(pv, abs=STEP)
    battery = number("battery_discharge_power") - number("battery_charge_power")
    assert number("system_power") == pytest.approx(pv + battery, abs=STEP)
    output = number("ac_power")
    assert output == pytest.approx(EFFICIENCY * (pv + battery), abs=2 * STEP)
    assert output + number("grid_import_power") == pytest.approx(
        number("load_power") + number("grid_export_power"), abs=STEP
    )
    assert not (number("grid_import_power") and number("grid_export_power"))
    assert not (number("battery_charge_power") and number("battery_discharge_power"))


def _is_string_power(key: str) -> bool:
    return key[:2] == "pv" and key[2:3].isdecimal() and key.endswith("_power")


@pytest.mark.parametrize("dataset", HYBRIDS)
def test_powers_add_up_at_all_hours(dataset: str) -> None:
    # In winter the battery runs empty, so every flow has its hour.
    inverter = Inverter(dataset, NOON.replace(month=12, hour=0))
    seen: dict[str, float] = {}
    for _ in range(144):
        _assert_balanced(inverter)
        for key in (
            *("pv_power", "battery_charge_power", "battery_discharge_power"),
            *("grid_import_power", "grid_export_power"),
        ):
            seen[key] = max(seen.get(key, 0), inverter.number(key))
        inverter.clock.advance(1800)
    # Nothing was balanced by being idle all day.
    assert all(power > 100 for power in seen.values()), seen


@pytest.mark.parametrize("dataset", list(PROFILE_OF))
def test_power_is_voltage_times_current(dataset: str) -> None:
    inverter = Inverter(dataset)
    for start in (0, 3600, 4 * 3600):
        inverter.clock.advance(start)
        for n in (1, 2):
            volts = inverter.number(f"pv{n}_voltage")
            product = volts * inverter.number(f"pv{n}_current")
            # The current has steps of 0.1 A.
            assert product == pytest.approx(
                inverter.number(f"pv{n}_power"), abs=0.051 * volts + 1
            )
        volts = inverter.number("grid_l1_voltage")
        product = volts * inverter.number("grid_l1_current")
        assert product == pytest.approx(
            inverter.number("ac_power"), abs=0.051 * volts + 1
        )


@pytest.mark.parametrize("dataset", HYBRIDS)
def test_battery_values_agree(dataset: str) -> None:
    inverter = Inverter(dataset, NOON.replace(hour=9))
    states = set()
    for _ in range(48):
        net = inverter.number("battery_discharge_power") - inverter.number(
            "battery_charge_power"
        )
        state = inverter.value("battery_state")
        states.add(state)
        assert state == (
            "discharging" if net > 0 else "charging" if net < 0 else "idle"
        )
        volts = inverter.number("battery_voltage")
        assert volts * inverter.number("battery_current") == pytest.approx(
            net, abs=0.051 * volts + 1
        )
        assert volts * inverter.number("bms_current") == pytest.approx(
            -net, abs=0.0051 * volts + 1
        )
        assert inverter.number("bms_soc") == inverter.number("battery_soc")
        assert 12 <= inverter.number("battery_soc") <= 96
        inverter.clock.advance(1800)
    assert states == {"charging", "discharging", "idle"}


@pytest.mark.parametrize("dataset", list(PROFILE_OF))
def test_lifetime_counters_never_fall(dataset: str) -> None:
    inverter = Inverter(dataset, NOON.replace(hour=5))
    start = before = inverter.counters(Quantity.ENERGY_TOTAL)
    assert len(before) > 4
    for _ in range(300):
        inverter.clock.advance(611)
        now = inverter.counters(Quantity.ENERGY_TOTAL)
        assert all(now[key] >= before[key] for key in now)
        before = now
    assert before["pv_energy_total"] > start["pv_energy_total"] + 30


@pytest.mark.parametrize("dataset", list(PROFILE_OF))
def test_daily_counters_grow_and_begin_again_at_midnight(dataset: str) -> None:
    inverter = Inverter(dataset, NOON)
    before = inverter.counters(Quantity.ENERGY_TODAY)
    assert before["energy_today"] > 5
    while inverter.clock.now().date() == NOON.date():
        inverter.clock.advance(570)
        now = inverter.counters(Quantity.ENERGY_TODAY)
        if inverter.clock.now().date() == NOON.date():
            assert all(now[key] >= before[key] for key in now)
            before = now
        else:
            assert all(now[key] <= 0.3 for key in now), now


@pytest.mark.parametrize("dataset", HYBRIDS)
def test_energies_of_a_day_add_up(dataset: str) -> None:
    inverter = Inverter(dataset, NOON.replace(hour=23, minute=59))
    number = inverter.number
    strings = [
        number(key)
        for key in inverter.rows
        if key.startswith("pv") and key[2].isdecimal() and key.endswith("_energy_today")
    ]
    assert sum(strings) == pytest.approx(number("pv_energy_today"), abs=0.5)
    assert number("energy_today") + number("grid_import_energy_today") == pytest.approx(
        number("load_energy_today") + number("grid_export_energy_today"), abs=0.5
    )
    assert number("pv_energy_today") > 30


@pytest.mark.parametrize("dataset", HYBRIDS)
def test_counters_follow_the_powers(dataset: str) -> None:
    inverter = Inverter(dataset, NOON)
    before = inverter.counters(Quantity.ENERGY_TOTAL)
    energy: dict[str, float] = {}
    for _ in range(60):
        inverter.clock.advance(60)
        for name in ("pv", "load", "grid_export", "battery_charge"):
            energy[name] = (
                energy.get(name, 0) + inverter.number(f"{name}_power") / 60_000
            )
    after = inverter.counters(Quantity.ENERGY_TOTAL)
    for name, expected in energy.items():
        key = f"{name}_energy_total"
        assert after[key] - before[key] == pytest.approx(expected, abs=0.2), name


def test_mirrors_show_the_same() -> None:
    inverter = Inverter("min_6000tl_xh", NOON)
    for _ in range(5):
        inverter.clock.advance(5000)
        for key in inverter.rows:
            if key.startswith("base_") and key.removeprefix("base_") in inverter.rows:
                if isinstance(value := inverter.value(key), int | float):
                    assert value == inverter.number(key.removeprefix("base_")), key
        for flow in ("charge", "discharge"):
            assert inverter.number(f"storage_{flow}_energy_total") == inverter.number(
                f"battery_{flow}_energy_total"
            )


@pytest.mark.parametrize("dataset", list(PROFILE_OF))
def test_night_is_dark(dataset: str) -> None:
    inverter = Inverter(dataset, NOON.replace(hour=1))
    assert inverter.number("pv_power") == 0
    assert inverter.number("pv1_voltage") == 0
    day = Inverter(dataset, NOON)
    assert day.number("pv_power") > 2000
    assert day.value("status") == "normal"
    if dataset == "min_5000tl_x":
        assert inverter.value("status") == "standby"
        assert inverter.value("standby_pv_low") is True
        assert inverter.number("ac_power") == 0


def test_sun_shines_longer_in_summer() -> None:
    def hours(day: datetime) -> int:
        return sum(sunshine(hour) > 0 for hour in _hours(day.replace(hour=0), 24))

    winter = NOON.replace(month=12)
    assert 13 <= hours(NOON) <= 15
    assert 8 <= hours(winter) <= 10
    assert sunshine(NOON) > 1.5 * sunshine(winter) > 0


def test_clock_follows_simulated_time() -> None:
    inverter = Inverter("min_6000tl_xh", NOON)
    assert inverter.value("clock") == NOON
    inverter.clock.advance(3661)
    assert inverter.value("clock") == NOON + timedelta(seconds=3661)
    assert inverter.number("clock_weekday") == 0  # A Sunday.


def test_clock_can_be_set_word_by_word_with_a_short_year() -> None:
    inverter = Inverter("min_6000tl_xh", NOON)
    for address, word in zip(range(45, 51), (26, 6, 21, 14, 30, 15), strict=True):
        inverter.unit.write(address, [word])
    shown = NOON.replace(hour=14, minute=30, second=15)
    assert inverter.value("clock") == shown
    inverter.clock.advance(60)
    assert inverter.value("clock") == shown + timedelta(seconds=60)


def test_clock_can_be_set_by_way_of_a_date_that_does_not_exist() -> None:
    inverter = Inverter("min_6000tl_xh", datetime(2027, 1, 31, 12, 0))
    inverter.unit.write(46, [2])
    assert inverter.value("clock") == datetime(2027, 2, 28, 12, 0)
    inverter.unit.write(47, [5])
    assert inverter.value("clock") == datetime(2027, 2, 5, 12, 0)


def test_power_limit_is_forgotten_without_power() -> None:
    inverter = Inverter("min_6000tl_xh", NOON)
    inverter.write("active_power_limit", 20)
    inverter.unit.power_cycle()
    assert inverter.value("active_power_limit") == 100
    assert inverter.number("ac_power") > 3000


def test_day_begins_by_the_clock_of_the_device() -> None:
    inverter = Inverter("min_6000tl_xh", NOON)
    inverter.write("clock", NOON.replace(hour=23, minute=55))
    assert inverter.number("pv_energy_today") > 5
    inverter.clock.advance(300)
    assert inverter.number("pv_energy_today") == 0


def test_power_limit_is_obeyed() -> None:
    inverter = Inverter("min_6000tl_xh", NOON)
    assert inverter.number("ac_power") > 3000
    inverter.write("active_power_limit", 20)
    inverter.clock.advance(1)
    assert inverter.number("ac_power") == pytest.approx(1200, abs=2)
    _assert_balanced(inverter)


@pytest.mark.parametrize("dataset", list(PROFILE_OF))
def test_inverter_can_be_switched_off(dataset: str) -> None:
    inverter = Inverter(dataset, NOON)
    inverter.unit.write(0, [0])
    inverter.clock.advance(1)
    assert inverter.number("ac_power") == 0
    assert inverter.number("pv_power") == 0
    assert inverter.number("grid_import_power") == inverter.number("load_power")


def test_discharge_stops_at_the_set_charge() -> None:
    inverter = Inverter("min_6000tl_xh", NOON.replace(hour=20))
    inverter.write("on_grid_discharge_stop_soc", 60)
    inverter.clock.advance(8 * 3600)
    assert inverter.number("battery_soc") == pytest.approx(60, abs=1)
    assert inverter.number("battery_discharge_power") == 0


@pytest.mark.parametrize("days", [0, 1, 9, 40, 300])
def test_what_is_remembered_adds_up(days: int) -> None:
    inverter = Inverter("min_6000tl_xh", NOON)
    for _ in range(days):
        inverter.clock.advance(24 * 3600)
    clock = inverter.value("clock")
    assert isinstance(clock, datetime)
    remembered = Memory(
        clock=clock,
        today=round(10 * inverter.number("energy_today")),
        total=round(10 * inverter.number("energy_total")),
        lists={span: entries(inverter.words(key)) for span, key in ROWS.items()},
    )
    found = chain(remembered, clock.replace(tzinfo=UTC))
    assert not found.hours
    assert not found.disagreeing
    assert found.readings[0].counter == 0
    assert {reading.span for reading in found.readings} == set(Span)


def test_no_meter_no_load() -> None:
    inverter = Inverter("min_5000tl_x", NOON)
    for key in ("load_power", "grid_import_power", "grid_export_power"):
        assert inverter.number(key) == 0


def test_a_long_gap_is_passed_in_one_go() -> None:
    plant = Plant(Size(strings=(360.0,), rated_power=5000), NOON)
    plant.advance(NOON + timedelta(days=400))
    assert plant.grown["pv"] > 400 * 10_000
    assert plant.today["pv"] < 60_000


@pytest.mark.parametrize("dataset", list(PROFILE_OF))
def test_same_time_gives_same_values(dataset: str) -> None:
    one, other = Inverter(dataset, NOON), Inverter(dataset, NOON)
    assert one.unit.dataset.words == other.unit.dataset.words


def test_simulated_clock_runs_at_its_speed() -> None:
    clock = SimulatedClock(NOON, speed=1_000_000)
    first = clock.now()
    while clock.now() == first:
        pass
    assert first >= NOON
    assert SimulatedClock(NOON, speed=0).now() == NOON
    assert abs(SimulatedClock().now() - datetime.now()) < timedelta(seconds=5)


async def test_clients_see_it_live() -> None:
    clock = SimulatedClock(NOON, speed=0)
    async with (
        GrowattSimulator({1: "min_6000tl_xh"}, mutate=True, clock=clock) as simulator,
        tcp_client(await simulator.start_tcp()) as client,
    ):
        before = await client.read_holding_registers(45, count=6, device_id=1)
        clock.advance(61)
        after = await client.read_holding_registers(45, count=6, device_id=1)
        assert before.registers == [2026, 6, 21, 13, 0, 0]
        assert after.registers == [2026, 6, 21, 13, 1, 1]
        assert simulator.word(1, "holding", 50) == 1


def test_pv_inverter_sleeps_at_night_if_it_is_to() -> None:
    clock = SimulatedClock(NOON, speed=0)
    simulator = GrowattSimulator(
        {1: "min_5000tl_x", 2: "min_6000tl_xh"}, mutate=True, clock=clock, sleeps=True
    )
    assert [unit.silent for unit in simulator.units.values()] == [False, False]
    clock.advance(11 * 3600)
    assert [unit.silent for unit in simulator.units.values()] == [True, False]


def test_unknown_model_cannot_live() -> None:
    with pytest.raises(SimulatorError, match="no register map for device type code 77"):
        GrowattSimulator({1: {"holding": {"43": 77}}}, mutate=True)


def test_unknown_model_with_the_base_block_lives() -> None:
    unit = GrowattUnit(Dataset.load("base_5000"))
    unit.live(SimulatedClock(NOON, speed=0))
    assert unit.read(Table.INPUT, 36, 1) != [0]


# --- the shipped datasets as they lie there ---


@pytest.mark.parametrize("dataset", list(PROFILE_OF))
def test_shipped_datasets_are_consistent(dataset: str) -> None:
    inverter = Inverter(dataset, live=False)
    number = inverter.number
    if dataset in HYBRIDS:
        _assert_balanced(inverter)
        assert number("energy_total") + number(
            "grid_import_energy_total"
        ) == pytest.approx(
            number("load_energy_total") + number("grid_export_energy_total"), abs=0.5
        )
        assert number("battery_charge_energy_total") > number(
            "battery_discharge_energy_total"
        )
        assert inverter.value("battery_monitor_code") == "ZEBA"
        volts = number("battery_voltage")
        net = number("battery_discharge_power") - number("battery_charge_power")
        assert volts * number("battery_current") == pytest.approx(
            net, abs=0.051 * volts
        )
    for n in (1, 2):
        volts = number(f"pv{n}_voltage")
        assert volts * number(f"pv{n}_current") == pytest.approx(
            number(f"pv{n}_power"), abs=0.051 * volts
        )
    serials = {
        inverter.value(key)
        for key in ("serial_number", "serial_number_long", "serial_number_3000")
    }
    assert len(serials) == 1
    assert number("pv_power") > 1000
    assert number("energy_today") < number("energy_total")


def test_shipped_datasets_are_plain_datasets() -> None:
    for path in SHIPPED.glob("*.json"):
        document: Mapping[str, object] = json.loads(path.read_text())
        assert list(document) == ["_source", "holding", "input"]
        assert Dataset.load(path.stem).words == Dataset.load(path).words
