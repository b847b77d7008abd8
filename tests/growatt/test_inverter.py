"""An inverter: what is read, how often, what is believed, and when it is asleep."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from math import inf
from types import SimpleNamespace
from typing import Final

from modbus_connection import (
    GatewayTargetError,
    IllegalDataAddressError,
    ModbusConnectionError,
    ModbusError,
    ModbusTimeoutError,
    ServerDeviceBusyError,
)
import pytest

from custom_components.local_solar.growatt import inverter as inverter_module
from custom_components.local_solar.growatt.battery import (
    CONFIRMATIONS,
    VoltageScale,
    battery_model,
)
from custom_components.local_solar.growatt.equipment import METERED
from custom_components.local_solar.growatt.identify import Identification, identify
from custom_components.local_solar.growatt.inverter import (
    INTERVALS,
    REPLACED_AFTER,
    Inverter,
    WrongInverterError,
)
from custom_components.local_solar.growatt.known_inverter import (
    SETS_KEPT,
    SYNC_CLOCK,
    Poll,
)
from custom_components.local_solar.growatt.masking import (
    KEPT,
    mask_serial_numbers,
    mask_text,
)
from custom_components.local_solar.growatt.models import Certainty, Family
from custom_components.local_solar.growatt.profiles.catalogue import PROFILES
from custom_components.local_solar.growatt.profiles.profile import Part, Profile
from custom_components.local_solar.modbus import reader as reader_module
from custom_components.local_solar.modbus.codecs import Text
from custom_components.local_solar.modbus.image import RegisterImage
from custom_components.local_solar.points import (
    ALARMS,
    PROBLEM,
    Alarm,
    PointId,
    Rhythm,
    Value,
    Visibility,
)
from tests.modbus.helpers import HOLDING, INPUT, FakeClock, Request, ScriptedUnit

from .helpers import LONG_SERIAL, put_text, recorded

PV_VALUES: Final = ("voltage", "current", "power")

INVERTER: Final = Identification(
    serial_number=LONG_SERIAL,
    family=Family.MIN_TL_XH,
    profile="min_tl_xh",
    model="MIN 6000TL-XH",
)
WITH_BATTERY: Final = replace(
    INVERTER, battery=True, battery_serial="ARK", battery_code="ZEBA"
)


@dataclass
class Bench:
    """An inverter, the unit behind it and the time that both live in."""

    unit: ScriptedUnit
    clock: FakeClock
    inverter: Inverter

    def shown(self) -> set[PointId]:
        """Return the points that are shown unless the owner decides otherwise."""
        return set(self.points(Visibility.SHOWN))

    def points(self, *visibilities: Visibility) -> Iterator[PointId]:
        """Go through points of some visibility."""
        for device in self.inverter.devices:
            for point in device.points:
                if point.visibility in visibilities:
                    yield device.identity.id, point.key

    def own(self, *keys: str) -> set[PointId]:
        """Return points of the inverter itself."""
        return {(self.inverter.id, key) for key in keys}

    def of_battery(self, *keys: str) -> set[PointId]:
        """Return points of the battery."""
        return {(self.inverter.battery_id, key) for key in keys}

    async def poll(self, wanted: Iterable[PointId] | None = None) -> Poll:
        """Poll at once; requests of earlier polls are forgotten."""
        self.unit.read_events.clear()
        return await self.inverter.async_poll(
            self.shown() if wanted is None else wanted
        )

    async def poll_after(
        self, seconds: float, wanted: Iterable[PointId] | None = None
    ) -> Poll:
        """Poll when some time has passed."""
        self.clock.now += seconds
        return await self.poll(wanted)

    async def values(self, *keys: str) -> dict[str, Value | None]:
        """Poll for points of the inverter and return their values."""
        poll = await self.poll_after(10, self.own(*keys))
        assert poll.asleep is None
        return poll.snapshot[self.inverter.id]

    @property
    def requests(self) -> list[Request]:
        """What the last poll asked for."""
        return self.unit.requests

    def put(self, key: str, *words: int) -> None:
        """Put words into the register of a point."""
        row = self.inverter.register(key)
        assert row is not None
        registers = self.unit.input if row.space is INPUT else self.unit.holding
        registers.update(enumerate(words, row.address))


@pytest.fixture(name="clock")
def make_clock(monkeypatch: pytest.MonkeyPatch) -> FakeClock:
    """Time that passes only when a test says so."""
    clock = FakeClock()
    for module in (inverter_module, reader_module):
        monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=clock.monotonic))
    return clock


def bench_of(
    unit: ScriptedUnit, identified: Identification, spacing: float = 0.85
) -> Bench:
    """Return an inverter on a unit."""
    return Bench(unit, unit.clock, Inverter(unit, identified, spacing=spacing))


@pytest.fixture(name="live")
async def make_live(clock: FakeClock) -> Bench:
    """The recorded MIN 6000TL-XH."""
    unit = recorded(clock)
    return bench_of(unit, await identify(unit))


@pytest.fixture(name="bench")
def make_bench(clock: FakeClock) -> Bench:
    """A made-up inverter without a battery, connected to the grid."""
    unit = ScriptedUnit(clock)
    unit.input.update({3000: 1, 3025: 5000, 3026: 2300})
    unit.holding.update({43: 5100})
    put_text(unit, 3001, 15, LONG_SERIAL)
    return bench_of(unit, INVERTER)


@pytest.fixture(name="hybrid")
def make_hybrid(bench: Bench) -> Bench:
    """A made-up inverter with a battery at 210.00 V that gives 525 W."""
    bench = bench_of(bench.unit, WITH_BATTERY)
    bench.put("battery_voltage", 21000)
    bench.put("battery_current", 25)
    bench.put("battery_discharge_power", 0, 5250)
    return bench


# -- the recorded inverter ------------------------------------------------------------------


async def test_all_that_is_shown_of_the_recorded_inverter_takes_two_requests(
    live: Bench,
) -> None:
    await live.poll()
    poll = await live.poll_after(60)
    assert not poll.failed
    assert len(live.requests) == 2
    assert {(space, address // 125) for space, address, _ in live.requests} == {
        (INPUT, 24),
        (INPUT, 25),
    }
    for device, key in live.shown():
        assert key in poll.snapshot[device]


async def test_live_values_of_the_recorded_inverter_take_two_short_requests(
    live: Bench,
) -> None:
    await live.poll()
    energy_too = sum(count for _, _, count in live.requests)
    await live.poll_after(10)
    assert len(live.requests) == 2
    assert sum(count for _, _, count in live.requests) < energy_too


async def test_values_of_the_recorded_inverter_are_true(live: Bench) -> None:
    wanted = set(live.points(Visibility.SHOWN, Visibility.OFFERED))
    poll = await live.poll(wanted)
    own = poll.snapshot[live.inverter.id]
    battery = poll.snapshot[live.inverter.battery_id]
    expected: dict[str, Value] = {
        "status": "normal",
        "ac_power": 498.8,
        "pv_power": 0.0,
        "grid_frequency": 50.01,
        "grid_l1_voltage": 228.4,
        "grid_l1_current": 2.2,
        "grid_import_power": 113.8,
        "grid_export_power": 0.0,
        "energy_total": 14068.2,
        "load_power": 647.8,
        "inverter_temperature": 28.2,
        "power_factor": 1.0,
        "fault": "none",
        "warning": "none",
        "clock": datetime(2025, 9, 21, 22, 35, 2),
        "problem": False,
        "alarms": frozenset(),
    }
    assert {key: own.get(key) for key in expected} == expected
    expected = {
        "battery_soc": 49,
        "battery_state": "discharging",
        "battery_voltage": 209.97,
        "battery_current": 2.5,
        "battery_discharge_power": 536.0,
        "battery_charge_power": 0.0,
    }
    assert {key: battery.get(key) for key in expected} == expected


async def test_the_recorded_battery_is_a_device_of_its_own(live: Bench) -> None:
    inverter, battery = live.inverter.devices
    assert inverter.identity.kind == "inverter"
    assert inverter.identity.id == inverter.identity.serial_number == live.inverter.id
    assert inverter.identity.model == "MIN 6000TL-XH"
    assert inverter.identity.firmware == "AL1.0 / ZAba-0029"
    assert battery.identity.kind == "battery"
    assert battery.identity.id == f"{inverter.identity.id}_battery"
    assert battery.identity.via == inverter.identity.id
    assert battery.identity.model == "ARK battery"
    assert battery.identity.firmware == "ZEBA-0002"
    keys = [{point.key for point in device.points} for device in live.inverter.devices]
    assert "battery_soc" in keys[1]
    assert not keys[0] & keys[1]
    assert {"problem", "alarms", "ac_power"} <= keys[0]


async def test_everything_offered_of_the_recorded_inverter_can_be_read(
    live: Bench,
) -> None:
    wanted = set(live.points(Visibility.SHOWN, Visibility.OFFERED))
    commands = live.own(SYNC_CLOCK.key)
    assert commands < wanted
    poll = await live.poll(wanted)
    assert not poll.failed
    for device, key in wanted - commands:
        assert key in poll.snapshot[device], key


async def test_a_command_costs_no_reading(live: Bench) -> None:
    poll = await live.poll(live.own(SYNC_CLOCK.key))
    assert live.requests == []
    assert not poll.failed
    assert not any(poll.snapshot.values())


# -- what is there --------------------------------------------------------------------------


@pytest.mark.parametrize("strings", [1, 2, 3, 4])
def test_only_the_strings_that_there_are_have_points(
    clock: FakeClock, strings: int
) -> None:
    bench = bench_of(ScriptedUnit(clock), replace(INVERTER, strings=strings))
    found = {
        point.index
        for device in bench.inverter.devices
        for point in device.points
        if point.key.startswith("pv") and point.index is not None
    }
    assert found == set(range(1, strings + 1))
    assert (bench.inverter.register("pv2_power") is None) is (strings < 2)


def test_without_a_battery_there_is_no_battery_device(bench: Bench) -> None:
    (device,) = bench.inverter.devices
    assert not any(point.key == "battery_soc" for point in device.points)
    assert bench.inverter.register("battery_soc") is None


@pytest.mark.parametrize(
    ("found", "key"),
    [
        ({"battery": True, "modules": 2}, "module2_soc"),
        ({"backup_box": True}, "backup_box_mode"),
    ],
)
def test_parts_have_points_only_where_they_are(
    clock: FakeClock, found: dict[str, bool], key: str
) -> None:
    without = bench_of(ScriptedUnit(clock), INVERTER).inverter
    with_it = bench_of(ScriptedUnit(clock), replace(INVERTER, **found)).inverter  # type: ignore[arg-type]
    assert without.register(key) is None
    assert with_it.register(key) is not None
    assert with_it.register(key.replace("2", "3")) is None or "2" not in key


@pytest.mark.parametrize(
    ("work_mode", "key", "options"),
    [
        (None, None, ()),
        (
            Part.PRIORITY_MODE,
            "priority_mode",
            ("load_first", "battery_first", "grid_first"),
        ),
        (Part.SYSTEM_MODE, "system_mode", ("default", "retrofit", "parallel")),
    ],
)
def test_the_work_mode_is_a_setting_only_if_its_meaning_is_known(
    clock: FakeClock, work_mode: Part | None, key: str | None, options: tuple[str, ...]
) -> None:
    inverter = Inverter(
        ScriptedUnit(clock), WITH_BATTERY, spacing=0.85, work_mode=work_mode
    )
    found = {
        row.key: row.point.options
        for row in inverter.rows
        if row.address == 3018 and row.point.setting is not None
    }
    assert found == ({key: options} if key else {})


def test_a_us_model_has_slots_of_its_own_among_its_settings(clock: FakeClock) -> None:
    def settings(family: Family) -> set[str]:
        identified = replace(WITH_BATTERY, family=family, profile=family.value)
        rows = Inverter(ScriptedUnit(clock), identified, spacing=0.85).rows
        return {row.key for row in rows if row.point.setting is not None}

    ours, theirs = settings(Family.MIN_TL_XH), settings(Family.MIN_TL_XH_US)
    assert {"tou1", "tou1_start", "tou9_end"} <= ours
    slots = {key for key in theirs if key.startswith("us_tou")}
    assert {"us_tou1", "us_tou36_end", "us_tou9_days"} <= slots
    assert theirs - slots == {key for key in ours if not key.startswith("tou")}


@pytest.mark.parametrize(
    "found",
    [
        {"profile": "min_tl_x"},
        {"family": Family.MOD_TL3_XH},
        {"certainty": Certainty.GUESSED},
    ],
    ids=str,
)
def test_a_map_that_is_only_the_closest_one_has_no_settings(
    clock: FakeClock, found: dict[str, object]
) -> None:
    inverter = Inverter(
        ScriptedUnit(clock),
        replace(WITH_BATTERY, **found),  # type: ignore[arg-type]
        spacing=0.85,
    )
    assert not [row.key for row in inverter.rows if row.point.setting is not None]
    assert not [
        point.key
        for device in inverter.devices
        for point in device.points
        if point.setting is not None
    ]


def test_what_needs_a_meter_is_not_shown_without_one(clock: FakeClock) -> None:
    with_meter = bench_of(ScriptedUnit(clock), INVERTER)
    without = bench_of(ScriptedUnit(clock), replace(INVERTER, meter=False))
    shown = {key for _, key in with_meter.shown()} - {key for _, key in without.shown()}
    assert shown
    assert shown <= METERED
    assert {key for _, key in without.points(Visibility.OFFERED)} >= shown


@pytest.mark.parametrize("profile", PROFILES)
def test_every_map_makes_an_inverter(clock: FakeClock, profile: str) -> None:
    identified = replace(WITH_BATTERY, profile=profile, strings=10, modules=9)
    bench = bench_of(ScriptedUnit(clock), identified)
    ids = [
        (device.identity.id, point.key)
        for device in bench.inverter.devices
        for point in device.points
    ]
    assert len(ids) == len(set(ids))
    assert 15 <= len(bench.shown()) <= 60


@pytest.mark.parametrize("profile", ["sph", "sph_tl3", "spa"])
def test_only_batteries_whose_scale_is_in_question_have_another_than_the_map_says(
    clock: FakeClock, profile: str
) -> None:
    identified = replace(WITH_BATTERY, profile=profile, battery_code=None)
    bench = bench_of(ScriptedUnit(clock), identified)
    row = bench.inverter.register("battery_voltage")
    assert row is not None
    assert row.scale == 0.1


async def test_an_inverter_without_a_fault_code_still_tells_a_problem(
    clock: FakeClock,
) -> None:
    bench = bench_of(ScriptedUnit(clock), replace(WITH_BATTERY, profile="spa"))
    bench.put("status", 3)
    bench.put("battery_soc", 50)
    poll = await bench.poll()
    assert poll.asleep is None
    points = {point.key for device in bench.inverter.devices for point in device.points}
    assert PROBLEM.key not in points or poll.snapshot[bench.inverter.id][PROBLEM.key]


def test_the_owners_limit_of_words_is_kept(clock: FakeClock) -> None:
    unit = ScriptedUnit(clock)
    inverter = Inverter(unit, INVERTER, spacing=0.85, max_words=20)
    wanted = bench_of(unit, INVERTER).shown()
    reads = inverter.reader.plan(inverter.wanted_rows(wanted))
    assert reads
    assert all(read.count <= 20 for read in reads)
    unlimited = Inverter(unit, INVERTER, spacing=0.85, max_words=500)
    reads = unlimited.reader.plan(unlimited.wanted_rows(wanted))
    assert all(read.count <= 125 for read in reads)


def test_the_spacing_is_told_to_the_unit(bench: Bench) -> None:
    assert bench.unit.message_spacing == 0.85


# -- rhythms --------------------------------------------------------------------------------

ONE_OF_EACH: Final = {
    Rhythm.LIVE: "grid_frequency",
    Rhythm.ENERGY: "energy_total",
    Rhythm.SETTINGS: "active_power_limit",
    Rhythm.IDENTITY: "serial_number_3000",
}


async def test_every_point_is_read_at_its_rhythm(bench: Bench) -> None:
    bench.put("energy_total", 0, 5)
    for rhythm, key in ONE_OF_EACH.items():
        row = bench.inverter.register(key)
        assert row is not None
        assert row.point.rhythm is rhythm
    read_at: dict[str, list[int]] = {key: [] for key in ONE_OF_EACH.values()}
    for second in range(0, 1801, 10):
        if second:
            bench.clock.now += 10
        # One by one: what lies beside a point is read along with it.
        for key, times in read_at.items():
            await bench.poll(bench.own(key))
            if bench.requests:
                times.append(second)
    assert read_at["grid_frequency"] == list(range(0, 1801, 10))
    assert read_at["energy_total"] == list(range(0, 1801, 60))
    assert read_at["active_power_limit"] == [0, 600, 1200, 1800]
    assert read_at["serial_number_3000"] == [0]


async def test_a_point_of_any_rhythm_keeps_its_value_until_it_is_read_again(
    bench: Bench,
) -> None:
    bench.put("energy_total", 0, 5)
    bench.put("active_power_limit", 80)
    wanted = bench.own(*ONE_OF_EACH.values())
    first = await bench.poll(wanted)
    bench.put("grid_frequency", 4990)
    bench.put("active_power_limit", 70)
    second = await bench.poll_after(10, wanted)
    assert first.snapshot[bench.inverter.id]["active_power_limit"] == 80
    values = second.snapshot[bench.inverter.id]
    assert values["active_power_limit"] == 80
    assert values["energy_total"] == 0.5
    assert values["grid_frequency"] == 49.9
    assert values["serial_number_3000"] == LONG_SERIAL


async def test_a_poll_that_comes_a_little_early_still_reads(bench: Bench) -> None:
    wanted = bench.own("grid_frequency")
    await bench.poll(wanted)
    await bench.poll_after(9.9, wanted)
    assert bench.requests
    await bench.poll_after(1, wanted)
    assert not bench.requests


async def test_only_what_is_wanted_is_read(bench: Bench) -> None:
    poll = await bench.poll(bench.own("grid_frequency"))
    assert bench.requests == [(INPUT, 3025, 1)]
    assert poll.snapshot == {bench.inverter.id: {"grid_frequency": 50.0}}


async def test_nothing_wanted_is_nothing_read(bench: Bench) -> None:
    poll = await bench.poll(())
    assert bench.requests == []
    assert poll.asleep is None
    assert not any(poll.snapshot.values())


async def test_points_and_devices_that_are_not_there_are_passed_over(
    bench: Bench,
) -> None:
    wanted = {*bench.own("nonsense"), ("nobody", "ac_power"), *bench.of_battery("soc")}
    poll = await bench.poll(wanted)
    assert bench.requests == []
    assert poll.asleep is None


async def test_wanted_points_may_change_often(bench: Bench) -> None:
    keys = [key for _, key in bench.points(Visibility.SHOWN, Visibility.OFFERED)]
    assert len(keys) > SETS_KEPT + 2
    for key in [*keys, *keys]:
        await bench.poll_after(10, bench.own(key))
    poll = await bench.poll_after(10, bench.own("grid_frequency"))
    assert poll.snapshot[bench.inverter.id] == {"grid_frequency": 50.0}


# -- derived points ---------------------------------------------------------------------------


async def test_a_fault_is_a_problem_and_an_alarm(bench: Bench) -> None:
    bench.put("fault_code", 302)
    bench.put("fault_subcode", 7)
    values = await bench.values(PROBLEM.key, ALARMS.key, "fault")
    assert values["problem"] is True
    assert values["fault"] == "no_grid"
    assert values["alarms"] == frozenset({Alarm("fault", 302, 7, "Grid missing")})


async def test_a_warning_is_an_alarm_but_no_problem(bench: Bench) -> None:
    bench.put("warning_code", 400)
    values = await bench.values(PROBLEM.key, ALARMS.key)
    assert values["problem"] is False
    assert values["alarms"] == frozenset({Alarm("warning", 400, 0, "Fan out of order")})


async def test_an_unknown_fault_is_a_problem_too(bench: Bench) -> None:
    bench.put("fault_code", 9999)
    values = await bench.values(PROBLEM.key, ALARMS.key, "fault")
    assert values["problem"] is True
    assert values["fault"] is None
    assert {alarm.code for alarm in values["alarms"]} == {9999}  # type: ignore[union-attr]


async def test_alarms_that_could_not_be_read_are_not_there(bench: Bench) -> None:
    row = bench.inverter.register("fault_code")
    assert row is not None
    bench.unit.fail_read(row.address, ServerDeviceBusyError(), register_type="input")
    poll = await bench.poll(bench.own(PROBLEM.key, ALARMS.key, "grid_frequency"))
    values = poll.snapshot[bench.inverter.id]
    assert PROBLEM.key not in values
    assert ALARMS.key not in values


async def test_the_pv_total_is_summed_up_where_the_firmware_does_not_count_it(
    bench: Bench,
) -> None:
    bench.put("energy_total", 0, 1000)
    bench.put("pv1_energy_total", 0, 601)
    bench.put("pv2_energy_total", 0, 302)
    wanted = bench.own("pv_energy_total", "energy_total")
    first = await bench.poll(wanted)
    assert "pv_energy_total" not in first.snapshot[bench.inverter.id]
    second = await bench.poll_after(10, wanted)
    assert second.snapshot[bench.inverter.id]["pv_energy_total"] == 90.3


async def test_a_pv_total_that_counts_is_taken_as_it_is(bench: Bench) -> None:
    bench.put("energy_total", 0, 1000)
    bench.put("pv1_energy_total", 0, 601)
    bench.put("pv_energy_total", 0, 900)
    for _ in range(3):
        values = await bench.values("pv_energy_total", "energy_total")
        assert values["pv_energy_total"] == 90.0


async def test_the_pv_total_is_summed_up_over_the_strings_with_rows(
    clock: FakeClock,
) -> None:
    bench = bench_of(
        ScriptedUnit(clock), replace(INVERTER, profile="tl_x_base", strings=10)
    )
    bench.put("energy_total", 0, 1000)
    bench.put("pv1_energy_total", 0, 500)
    await bench.values("pv_energy_total", "energy_total")
    values = await bench.values("pv_energy_total", "energy_total")
    assert values["pv_energy_total"] == 50.0


# -- asleep -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "error",
    [ModbusTimeoutError("late"), GatewayTargetError(), ModbusConnectionError("down")],
)
async def test_an_inverter_that_does_not_answer_is_asleep(
    hybrid: Bench, error: ModbusError
) -> None:
    await hybrid.poll()
    hybrid.unit.fail_requests(error)
    poll = await hybrid.poll_after(60)
    assert poll.asleep == str(error)
    assert poll.snapshot == {}
    assert len(hybrid.requests) == 2
    assert len(set(hybrid.requests)) == 1


async def test_an_inverter_that_answers_again_is_read_anew(hybrid: Bench) -> None:
    await hybrid.poll()
    hybrid.unit.fail_requests(ModbusTimeoutError("late"))
    await hybrid.poll_after(10)
    hybrid.unit.fail_requests(None)
    hybrid.put("grid_frequency", 4980)
    poll = await hybrid.poll_after(10, hybrid.own("grid_frequency"))
    assert poll.asleep is None
    assert poll.snapshot[hybrid.inverter.id]["grid_frequency"] == 49.8


async def test_an_inverter_that_refuses_is_awake(bench: Bench) -> None:
    bench.unit.fail_requests(IllegalDataAddressError())
    poll = await bench.poll(bench.own("grid_frequency"))
    assert poll.asleep is None
    assert not any(poll.snapshot.values())
    assert set(poll.failed) == {"grid_frequency"}


async def test_nothing_but_zeros_is_sleep(bench: Bench) -> None:
    bench.unit.input.clear()
    poll = await bench.poll()
    assert poll.asleep is not None
    assert "zeros" in poll.asleep
    assert poll.snapshot == {}
    # The zeros must not be taken for values later on.
    assert bench.inverter.image.words[INPUT] == {}


async def test_one_measurement_is_enough_to_be_awake(bench: Bench) -> None:
    bench.unit.input.clear()
    bench.put("grid_frequency", 5000)
    poll = await bench.poll()
    assert poll.asleep is None
    assert poll.snapshot[bench.inverter.id]["ac_power"] == 0.0


async def test_a_few_zeros_are_values(bench: Bench) -> None:
    bench.unit.input.clear()
    values = await bench.values("ac_power")
    assert values == {"ac_power": 0.0}


async def test_zeros_of_settings_are_no_sleep(bench: Bench) -> None:
    values = await bench.values("active_power_limit")
    assert values == {"active_power_limit": 0}


async def test_a_link_that_drops_in_mid_poll_leaves_the_rest_fresh(
    hybrid: Bench,
) -> None:
    await hybrid.poll()
    hybrid.put("grid_frequency", 4990)
    down = ModbusConnectionError("down")
    hybrid.unit.losses = [None, down, down]
    poll = await hybrid.poll_after(10, hybrid.shown() | hybrid.own("grid_frequency"))
    assert poll.asleep is None
    assert poll.snapshot[hybrid.inverter.id]["grid_frequency"] == 49.9
    assert "battery_soc" in poll.failed
    assert "battery_soc" not in poll.snapshot[hybrid.inverter.battery_id]
    assert set(poll.failed.values()) == {"down"}


async def test_a_block_that_fails_leaves_the_others_fresh(hybrid: Bench) -> None:
    await hybrid.poll()
    hybrid.unit.fail_read(
        3171, ServerDeviceBusyError(message="busy"), register_type="input"
    )
    poll = await hybrid.poll_after(10)
    assert poll.asleep is None
    assert "ac_power" in poll.snapshot[hybrid.inverter.id]
    assert poll.snapshot[hybrid.inverter.battery_id].get("battery_soc") is None
    assert poll.failed["battery_soc"] == "busy"
    hybrid.unit.fail_read(3171, None, register_type="input")
    poll = await hybrid.poll_after(10)
    assert not poll.failed
    assert "battery_soc" in poll.snapshot[hybrid.inverter.battery_id]


async def test_what_the_inverter_refuses_stays_named_when_it_is_left_out(
    bench: Bench,
) -> None:
    bench.unit.fail_read(
        3025, IllegalDataAddressError(message="no"), register_type="input"
    )
    wanted = bench.own("grid_frequency", "grid_l1_voltage", "ac_power")
    for _ in range(12):
        await bench.poll_after(10, wanted)
    poll = await bench.poll_after(10, wanted)
    assert poll.failed == {"grid_frequency": "no"}
    assert poll.snapshot[bench.inverter.id] == {
        "grid_l1_voltage": 230.0,
        "ac_power": 0.0,
    }
    assert all(not first <= 3025 < first + n for _, first, n in bench.requests)


async def test_a_block_of_an_idle_line_is_dropped(hybrid: Bench) -> None:
    await hybrid.poll()
    hybrid.unit.intercept = lambda request, words: (
        [0xFFFF] * len(words) if request[1] >= 3125 else words
    )
    poll = await hybrid.poll_after(60)
    assert poll.asleep is None
    assert "battery_discharge_power" not in poll.snapshot[hybrid.inverter.battery_id]
    assert "0xFFFF" in poll.failed["battery_discharge_power"]
    assert "ac_power" in poll.snapshot[hybrid.inverter.id]


async def test_garbage_everywhere_yields_no_value(bench: Bench) -> None:
    bench.unit.intercept = lambda request, words: [0xFFFF] * len(words)
    poll = await bench.poll()
    assert poll.asleep is None
    assert not any(poll.snapshot.values())
    assert poll.failed


# -- counters that fall ---------------------------------------------------------------------------


async def test_a_lifetime_counter_that_falls_to_zero_drops_its_block(
    bench: Bench,
) -> None:
    bench.put("energy_total", 0, 140682)
    wanted = bench.own("energy_total", "ac_power", "grid_frequency")
    await bench.poll(wanted)
    bench.put("energy_total", 0, 0)
    poll = await bench.poll_after(60, wanted)
    assert poll.asleep is None
    assert "energy_total" not in poll.snapshot[bench.inverter.id]
    assert "ac_power" not in poll.snapshot[bench.inverter.id]
    assert "energy_total fell to 0" in poll.failed["energy_total"]
    bench.put("energy_total", 0, 140683)
    poll = await bench.poll_after(10, wanted)
    assert poll.snapshot[bench.inverter.id]["energy_total"] == 14068.3
    assert not poll.failed


async def test_a_lifetime_counter_that_stays_zero_is_believed_in_the_end(
    bench: Bench,
) -> None:
    bench.put("energy_total", 0, 140682)
    wanted = bench.own("energy_total", "ac_power", "grid_frequency")
    await bench.poll(wanted)
    bench.put("energy_total", 0, 0)
    assert (await bench.poll_after(60, wanted)).failed
    assert (await bench.poll_after(REPLACED_AFTER - 60, wanted)).failed
    poll = await bench.poll_after(60, wanted)
    assert not poll.failed
    assert poll.snapshot[bench.inverter.id]["energy_total"] == 0.0


async def test_few_values_that_are_all_zero_are_no_sleep(bench: Bench) -> None:
    bench.unit.input.clear()
    values = bench.own(*(f"pv{n}_{what}" for n in (1, 2) for what in PV_VALUES))
    poll = await bench.poll(values)
    assert poll.asleep is None
    assert poll.snapshot[bench.inverter.id]["pv1_power"] == 0.0
    bench.unit.fail_read(43, IllegalDataAddressError())
    poll = await bench.poll_after(10, values)
    assert poll.asleep is not None
    bench.unit.fail_read(43, None)
    bench.unit.holding.clear()
    poll = await bench.poll_after(10, values)
    assert poll.asleep is not None


async def test_a_counter_that_has_always_been_zero_is_zero(bench: Bench) -> None:
    for _ in range(3):
        poll = await bench.poll_after(60)
        assert not poll.failed
        assert poll.snapshot[bench.inverter.id]["energy_total"] == 0.0


async def test_a_daily_counter_may_fall_to_zero(bench: Bench) -> None:
    bench.put("energy_total", 0, 1000)
    bench.put("energy_today", 0, 100)
    await bench.poll()
    bench.put("energy_today", 0, 0)
    poll = await bench.poll_after(60)
    assert poll.snapshot[bench.inverter.id]["energy_today"] == 0.0
    assert not poll.failed


# -- the battery's voltage --------------------------------------------------------------------------

BATTERY: Final = (
    "battery_voltage",
    "battery_current",
    "battery_discharge_power",
    "battery_charge_power",
)


@pytest.mark.parametrize(
    ("code", "volts"),
    [("ZEBA", 400.0), ("ZECA", 4000.0), (None, 400.0), ("ABCD", 400.0)],
)
async def test_the_scale_of_the_battery_voltage_follows_its_monitor(
    clock: FakeClock, code: str | None, volts: float
) -> None:
    bench = bench_of(ScriptedUnit(clock), replace(WITH_BATTERY, battery_code=code))
    bench.put("battery_voltage", 40000)
    poll = await bench.poll(bench.of_battery("battery_voltage"))
    assert poll.snapshot[bench.inverter.battery_id]["battery_voltage"] == volts


@pytest.mark.parametrize(
    ("code", "raw", "volts"), [("ZEBA", 4000, 400.0), ("ZECA", 40000, 400.0)]
)
async def test_a_wrong_scale_is_corrected_by_voltage_times_current(
    clock: FakeClock, code: str, raw: int, volts: float
) -> None:
    bench = bench_of(ScriptedUnit(clock), replace(WITH_BATTERY, battery_code=code))
    bench.put("battery_voltage", raw)
    bench.put("battery_current", 0x10000 - 50)
    bench.put("battery_charge_power", 0, 20000)
    wanted = bench.of_battery(*BATTERY) | bench.of_battery("bms_voltage")
    bench.put("bms_voltage", raw)
    seen = []
    for _ in range(CONFIRMATIONS + 1):
        poll = await bench.poll_after(10, wanted)
        values = poll.snapshot[bench.inverter.battery_id]
        assert values["battery_voltage"] == values["bms_voltage"]
        seen.append(values["battery_voltage"])
    assert seen[-2:] == [volts, volts]
    assert all(value != volts for value in seen[:-2])


async def test_a_battery_whose_voltage_has_one_scale_only_keeps_it(
    clock: FakeClock,
) -> None:
    bench = bench_of(ScriptedUnit(clock), replace(WITH_BATTERY, profile="wit"))
    bench.put("battery_voltage", 4000)
    poll = await bench.poll(bench.of_battery("battery_voltage"))
    assert poll.snapshot[bench.inverter.battery_id]["battery_voltage"] == 400.0


@pytest.mark.parametrize("charging", [True, False])
async def test_a_right_scale_stays(hybrid: Bench, charging: bool) -> None:
    if charging:
        hybrid.put("battery_discharge_power", 0, 0)
        hybrid.put("battery_charge_power", 0, 5250)
        hybrid.put("battery_current", 0x10000 - 25)
    for _ in range(2 * CONFIRMATIONS):
        await hybrid.poll_after(10, hybrid.of_battery(*BATTERY))
    poll = await hybrid.poll_after(10, hybrid.of_battery(*BATTERY))
    assert poll.snapshot[hybrid.inverter.battery_id]["battery_voltage"] == 210.0


@pytest.mark.parametrize(
    ("voltage", "current", "power"),
    [
        (21000, 0.1, 21.0),  # too little power to judge
        (21000, 0.0, 1000.0),  # no current
        (0, 5.0, 1000.0),  # no voltage
        (21000, 50.0, 1000.0),  # neither scale agrees
        (21000, 5.0, 1050.0),  # the scale agrees
        (21000, -5.0, 1050.0),  # whatever the sign
        (21000, 5.0, -1300.0),  # and with losses
    ],
)
def test_doubtful_readings_leave_the_scale_alone(
    voltage: int, current: float, power: float
) -> None:
    scale = VoltageScale("ZEBA")
    assert not any(scale.check(voltage, current, power) for _ in range(10))
    assert scale.scale == 0.01


def test_contradictions_must_follow_each_other() -> None:
    scale = VoltageScale(None)
    for _ in range(5):
        assert not scale.check(4000, 5.0, 2000.0)
        assert not scale.check(4000, 5.0, 2000.0)
        assert not scale.check(40000, 5.0, 2000.0)
    changes = [scale.check(4000, 5.0, -2000.0) for _ in range(CONFIRMATIONS)]
    assert changes == [False, False, True]
    assert scale.scale == 0.1


@pytest.mark.parametrize(
    ("code", "model"),
    [
        ("ZEBA", "ARK battery"),
        ("ZECA", "APX battery"),
        ("ABCD", "battery"),
        (None, "battery"),
    ],
)
def test_a_battery_is_named_by_its_monitor(code: str | None, model: str) -> None:
    assert battery_model(code) == model


# -- oddities of values -----------------------------------------------------------------------------


async def test_a_clock_that_is_wrong_is_shown_as_it_is(bench: Bench) -> None:
    bench.put("clock", 2051, 1, 2, 3, 4, 5)
    assert await bench.values("clock") == {"clock": datetime(2051, 1, 2, 3, 4, 5)}


async def test_a_clock_that_shows_no_date_is_unknown(bench: Bench) -> None:
    bench.put("clock", 2051, 13, 2, 3, 4, 5)
    assert await bench.values("clock") == {"clock": None}


async def test_a_state_of_charge_that_is_not_available_is_unknown(
    hybrid: Bench,
) -> None:
    for word, expected in ((65276, None), (0xFFFF, None), (49, 49)):
        hybrid.put("battery_soc", word)
        poll = await hybrid.poll_after(10, hybrid.of_battery("battery_soc"))
        assert poll.snapshot[hybrid.inverter.battery_id]["battery_soc"] == expected


# -- probing ----------------------------------------------------------------------------------------


async def test_a_sleeping_inverter_is_asked_for_one_register(bench: Bench) -> None:
    bench.unit.fail_requests(ModbusTimeoutError())
    assert not await bench.inverter.async_probe()
    assert bench.requests == [(HOLDING, 43, 1)]


async def test_a_link_that_is_down_is_sleep_too(bench: Bench) -> None:
    bench.unit.fail_requests(ModbusConnectionError("down"))
    assert not await bench.inverter.async_probe()


async def test_an_inverter_that_is_back_tells_its_serial_number(bench: Bench) -> None:
    assert await bench.inverter.async_probe()
    assert bench.requests == [(HOLDING, 43, 1), (HOLDING, 3001, 15)]


async def test_an_inverter_that_falls_asleep_again_is_asleep(bench: Bench) -> None:
    bench.unit.losses = [None, ModbusTimeoutError()]
    put_text(bench.unit, 23, 5, "STALE00001")
    assert not await bench.inverter.async_probe()


async def test_zeros_in_the_place_of_an_inverter_are_sleep(bench: Bench) -> None:
    bench.unit.holding.clear()
    assert not await bench.inverter.async_probe()


async def test_another_inverter_is_told_from_ours(bench: Bench) -> None:
    put_text(bench.unit, 3001, 15, "SNL0OTHER1")
    with pytest.raises(WrongInverterError) as caught:
        await bench.inverter.async_probe()
    assert caught.value.expected == LONG_SERIAL
    assert caught.value.found == "SNL0OTHER1"
    assert str(caught.value) == f"expected {LONG_SERIAL}, found SNL0OTHER1"


# -- looking at registers -----------------------------------------------------------------------------


async def test_words_are_read_in_pieces_the_inverter_can_give(clock: FakeClock) -> None:
    unit = ScriptedUnit(clock)
    unit.holding.update({address: address for address in range(100)})
    inverter = Inverter(unit, INVERTER, spacing=0.85, max_words=40)
    assert await inverter.async_read_words(HOLDING, 5, 90) == list(range(5, 95))
    assert unit.requests == [(HOLDING, 5, 40), (HOLDING, 45, 40), (HOLDING, 85, 10)]


async def test_words_that_got_lost_are_asked_for_once_more(bench: Bench) -> None:
    bench.unit.losses = [ModbusTimeoutError()]
    assert await bench.inverter.async_read_words(HOLDING, 43, 1) == [5100]
    bench.unit.losses = [ModbusTimeoutError(), ModbusTimeoutError()]
    with pytest.raises(ModbusTimeoutError):
        await bench.inverter.async_read_words(HOLDING, 43, 1)


async def test_words_that_are_refused_are_not_asked_for_again(bench: Bench) -> None:
    bench.unit.losses = [IllegalDataAddressError()]
    bench.unit.read_events.clear()
    with pytest.raises(IllegalDataAddressError):
        await bench.inverter.async_read_words(HOLDING, 43, 1)
    assert len(bench.requests) == 1


def test_words_mean_the_points_that_lie_in_them_as_a_whole(hybrid: Bench) -> None:
    # The first word of slot 1 alone, then both.
    values = hybrid.inverter.values_in(HOLDING, 3038, [0x8000])
    assert set(values) == {"tou1_start", "tou1_mode", "tou1_enabled"}
    values = hybrid.inverter.values_in(HOLDING, 3038, [0x8000, 0x173B])
    assert set(values) >= {"tou1", "tou1_start", "tou1_end"}
    assert (
        hybrid.inverter.values_in(INPUT, 3038, [0x8000, 0x173B])
        .keys()
        .isdisjoint(values)
    )


async def test_what_is_known_of_some_words_is_told_without_asking(
    hybrid: Bench,
) -> None:
    whole = hybrid.inverter.register("tou1")
    assert whole is not None
    assert not any(hybrid.inverter.values_at([whole]).values())
    await hybrid.poll(hybrid.of_battery("tou1_start", "tou1_end", "charge_stop_soc"))
    hybrid.unit.read_events.clear()
    known = hybrid.inverter.values_at([whole])
    assert hybrid.requests == []
    assert set(known[hybrid.inverter.battery_id]) == {
        "tou1",
        *(f"tou1_{part}" for part in ("start", "end", "mode", "enabled")),
    }
    assert known[hybrid.inverter.id] == {}


@pytest.mark.parametrize(
    ("address", "count"), [(30000, 1), (31999, 1), (29999, 2), (31000, 125)]
)
def test_registers_that_reset_off_grid_models_are_left_alone_if_it_may_be_one(
    clock: FakeClock, address: int, count: int
) -> None:
    coded = replace(INVERTER, certainty=Certainty.CODED)
    certain = bench_of(ScriptedUnit(clock), coded).inverter
    guessed = bench_of(
        ScriptedUnit(clock), replace(INVERTER, certainty=Certainty.NAMED)
    ).inverter
    assert certain.may_touch(address, count)
    assert not guessed.may_touch(address, count)
    assert guessed.may_touch(29000, 1000)
    assert not guessed.may_touch(32000, 1)


# -- dumps --------------------------------------------------------------------------------------------


async def test_a_dump_holds_the_whole_map_and_no_serial_number(live: Bench) -> None:
    put_text(live.unit, 3001, 15, LONG_SERIAL)
    put_text(live.unit, 209, 15, LONG_SERIAL)
    put_text(live.unit, 23, 5, LONG_SERIAL[:10])
    put_text(live.unit, 3087, 8, "0ARK123456789012")
    image, missing = await live.inverter.async_dump()
    assert not missing
    profile = live.inverter.profile
    assert all(image.get(row.space, row.address, row.words) for row in profile)
    assert LONG_SERIAL in _text_of(image)
    mask_serial_numbers(image, profile)
    text = _text_of(image)
    assert LONG_SERIAL[KEPT:10] not in text
    assert "123456789" not in text
    assert "SNL0XX00000000XX" in text
    loaded = RegisterImage()
    loaded.load(image.dump(), 0.0)
    assert loaded.words == image.words


def _text_of(image: RegisterImage) -> str:
    words = image.words[HOLDING]
    octets = b"".join(words[place].to_bytes(2) for place in sorted(words))
    return octets.decode("latin-1").replace("\0", "")


async def test_a_dump_tells_what_is_missing_and_why(bench: Bench) -> None:
    bench.unit.fail_read(
        3171, IllegalDataAddressError(message="no"), register_type="input"
    )
    _, missing = await bench.inverter.async_dump()
    assert missing["battery_soc"] == "no"
    assert "ac_power" not in missing


async def test_a_dump_of_a_silent_inverter_is_what_was_seen_last(bench: Bench) -> None:
    await bench.poll(bench.own("grid_frequency"))
    bench.unit.fail_requests(ModbusTimeoutError("late"))
    image, missing = await bench.inverter.async_dump()
    assert image.get(INPUT, 3025, 1) == [5000]
    assert missing["grid_frequency"] == "late"


def test_a_masked_serial_number_keeps_its_model_and_its_shape() -> None:
    assert mask_text("SNL0CE1234") == "SNL0XX0000"
    assert mask_text("ab") == "ab"
    assert mask_text("ABCé-1") == "ABCé-0"


@pytest.mark.parametrize(
    "octets",
    [
        b"SNL0CE12345678AB" + b"\xff" * 14,  # padded with ones: no text at all
        b"SNL0CE12\x0145678AB" + b"\0" * 14,
        b"SNL0CE12345678AB" + b"\0" * 14,
    ],
)
def test_a_serial_number_is_masked_whatever_surrounds_it(octets: bytes) -> None:
    image = RegisterImage()
    words = [int.from_bytes(octets[place : place + 2]) for place in range(0, 30, 2)]
    image.store(HOLDING, 3001, words, 7.0)
    mask_serial_numbers(image, PROFILES["min_tl_xh"])
    masked = image.get(HOLDING, 3001, 15)
    assert masked is not None
    text = b"".join(word.to_bytes(2) for word in masked)
    assert text[:8] == b"SNL0XX00"
    assert b"45678AB" not in text
    assert text[16:] == octets[16:]
    assert image.seen_at(HOLDING, 3001) == 7.0


def test_a_part_of_a_serial_number_is_masked_too() -> None:
    image = RegisterImage()
    words = Text(15).encode("SNL0CE12345678AB")
    image.store(HOLDING, 3002, words[1:6], 0.0)
    mask_serial_numbers(image, PROFILES["min_tl_xh"])
    assert image.get(HOLDING, 3002, 5) == list(Text(5).encode("L0XX000000"))
    assert image.get(HOLDING, 3001, 1) is None


def test_the_serial_number_of_a_converter_is_masked() -> None:
    """It lies in a row whose words are kept as they are."""
    image = RegisterImage()
    words = Text(8).encode("ABC1234567890XYZ")
    image.store(HOLDING, 5000, [305, 1, *words, 4, 5], 0.0)
    mask_serial_numbers(image, PROFILES["min_tl_xh"])
    masked = Text(8).encode("ABC0000000000XXX")
    assert image.get(HOLDING, 5000, 12) == [305, 1, *masked, 4, 5]


@pytest.mark.parametrize("profile", PROFILES.values(), ids=PROFILES)
def test_every_serial_number_of_a_map_is_masked(profile: Profile) -> None:
    image = RegisterImage()
    texts = [row for row in profile if isinstance(row.codec, Text)]
    for row in texts:
        image.store(row.space, row.address, row.codec.encode("ABC1"), 0.0)
    mask_serial_numbers(image, profile)
    for row in texts:
        words = image.get(row.space, row.address, row.words)
        assert words is not None
        assert row.decode(words) == ("ABC0" if "serial" in row.key else "ABC1")


@pytest.mark.parametrize(
    ("rhythm", "seconds"),
    [
        (Rhythm.LIVE, 10),
        (Rhythm.ENERGY, 60),
        (Rhythm.SETTINGS, 600),
        (Rhythm.IDENTITY, inf),
    ],
)
def test_rhythms_are_those_of_the_design(rhythm: Rhythm, seconds: float) -> None:
    assert INTERVALS[rhythm] == seconds
