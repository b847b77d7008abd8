"""What a logger kept, brought into long-term statistics by a real recorder."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from itertools import pairwise
import logging
from random import Random
from typing import Any, Final
from unittest.mock import patch

from freezegun.api import FrozenDateTimeFactory
import pytest
from pytest_homeassistant_custom_component.common import (
    MockConfigEntry,
    async_test_home_assistant,
)
from pytest_homeassistant_custom_component.components.recorder.common import (
    async_block_recorder,
    async_wait_recording_done,
    do_adhoc_statistics,
)
from pytest_homeassistant_custom_component.typing import RecorderInstanceContextManager
from sqlalchemy.exc import SQLAlchemyError

from custom_components.local_solar.buffered_records import (
    MAX_HOURS,
    BufferedRecords,
    utc_time,
)
from custom_components.local_solar.const import DOMAIN
from custom_components.local_solar.coordinators.base import unique_id
from custom_components.local_solar.points import (
    Device,
    DeviceIdentity,
    Point,
    Quantity,
    Value,
)
from custom_components.local_solar.quantities import presentation
from homeassistant.components.recorder import Recorder, get_instance
from homeassistant.components.recorder.db_schema import Statistics, StatisticsShortTerm
from homeassistant.components.recorder.models import (
    StatisticData,
    StatisticMeanType,
    StatisticMetaData,
)
from homeassistant.components.recorder.statistics import (
    async_import_statistics,
    statistics_during_period,
)
from homeassistant.components.recorder.util import session_scope
from homeassistant.core import CoreState, HomeAssistant
from homeassistant.helpers import entity_registry as er
from homeassistant.setup import async_setup_component

from .common import set_up
from .writing_helpers import Writable

TOTAL: Final = Point(
    key="energy_total", name="E", quantity=Quantity.ENERGY_TOTAL, unit="kWh"
)
EXPORT: Final = Point(
    key="grid_export_total", name="X", quantity=Quantity.ENERGY_TOTAL, unit="kWh"
)
TODAY: Final = Point(
    key="energy_today", name="D", quantity=Quantity.ENERGY_TODAY, unit="kWh"
)
POWER: Final = Point(key="ac_power", name="P", quantity=Quantity.POWER, unit="W")
STATE: Final = Point(
    key="status", name="S", quantity=Quantity.STATE, options=("normal",)
)
POINTS: Final = (TOTAL, EXPORT, TODAY, POWER, STATE)
DEVICE: Final = Device(
    identity=DeviceIdentity(
        id="ABC1234567", kind="inverter", manufacturer="Growatt", model="MIN"
    ),
    points=POINTS,
)

DAY: Final = datetime(2026, 4, 18, tzinfo=UTC)
LAST: Final = 13
"""The last hour of a morning."""

type Row = tuple[int, float | None, float | None]
"""Hour since ``DAY``, state and sum."""


def hour(number: float) -> datetime:
    return DAY + timedelta(hours=number)


class Home:
    """A Home Assistant with the sensors of an inverter, whose hours are lived one by one."""

    def __init__(
        self, hass: HomeAssistant, freezer: FrozenDateTimeFactory, *points: Point
    ) -> None:
        """Have sensors for points."""
        self.hass = hass
        self.freezer = freezer
        self.entry = MockConfigEntry(domain=DOMAIN, entry_id="1")
        self.entry.add_to_hass(hass)
        self.buffered = BufferedRecords(hass, self.entry)
        self.ids = {
            point.key: er.async_get(hass)
            .async_get_or_create(
                "sensor",
                DOMAIN,
                unique_id((DEVICE.identity.id, point.key)),
                config_entry=self.entry,
                suggested_object_id=point.key,
            )
            .entity_id
            for point in points
        }

    def show(self, **values: float | str) -> None:
        """Let sensors show something now."""
        for point in POINTS:
            if point.key in values and point.key in self.ids:
                shown = presentation(point)
                self.hass.states.async_set(
                    self.ids[point.key],
                    str(values[point.key]),
                    {
                        "state_class": shown.state_class,
                        "device_class": shown.device_class,
                        "unit_of_measurement": point.unit,
                    },
                )

    async def live(self, number: int, **values: float | str) -> None:
        """Live through the end of an hour, as Home Assistant writes its row then."""
        self.freezer.move_to(hour(number) + timedelta(minutes=55))
        self.show(**values)
        await async_wait_recording_done(self.hass)
        self.freezer.move_to(hour(number + 1) + timedelta(seconds=10))
        do_adhoc_statistics(self.hass, start=hour(number) + timedelta(minutes=55))
        await async_wait_recording_done(self.hass)

    def record(self, at: float | datetime | None, **values: Value | None) -> bool:
        """Report something of an earlier hour."""
        when = hour(at) if isinstance(at, int | float) else at
        return self.buffered.take(DEVICE, values, when)

    async def fill(self, *, last: bool = False) -> None:
        """Let things calm down, and fill."""
        self.freezer.tick(timedelta(minutes=3))
        await self.buffered.async_flush(last=last)
        await async_wait_recording_done(self.hass)

    async def rows(self, point: Point = TOTAL) -> list[Row]:
        """Return the rows of a counter."""
        return [
            (number, row.get("state"), row.get("sum"))
            for number, row in (await self.all_rows(point)).items()
        ]

    async def all_rows(self, point: Point) -> dict[int, Mapping[str, Any]]:
        """Return the rows of a statistic by the hour since ``DAY``."""
        entity_id = self.ids[point.key]
        found = await get_instance(self.hass).async_add_executor_job(
            statistics_during_period,
            self.hass,
            DAY - timedelta(days=100),
            None,
            {entity_id},
            "hour",
            None,
            {"state", "sum", "mean", "min", "max", "change"},
        )
        return {
            round((row["start"] - DAY.timestamp()) / 3600): {**row}
            for row in found.get(entity_id, [])
        }

    async def growth(self, point: Point = TOTAL) -> dict[int, float]:
        """Return what the energy dashboard shows for each hour."""
        rows = await self.all_rows(point)
        return {number: round(row["change"], 3) for number, row in rows.items()}

    @property
    def unused(self) -> Any:
        """How many records were of no use, by why."""
        return self.buffered.statistics["unused"]


async def stored(hass: HomeAssistant) -> list[tuple[Any, ...]]:
    """Return all rows as they are stored."""

    def read() -> list[tuple[Any, ...]]:
        with session_scope(hass=hass, read_only=True) as session:
            return [
                tuple(getattr(row, column.key) for column in table.__table__.columns)
                for table in (Statistics, StatisticsShortTerm)
                for row in session.query(table).order_by(table.id)
            ]

    return await get_instance(hass).async_add_executor_job(read)


@pytest.fixture
def mock_recorder_before_hass(async_test_recorder: object) -> None:
    """Prepare the database, which must be done before there is a Home Assistant."""


@pytest.fixture
async def home(
    recorder_mock: Recorder, hass: HomeAssistant, freezer: FrozenDateTimeFactory
) -> Home:
    """A home that has seen two hours, and then nothing until the seventh."""
    freezer.move_to(DAY)
    await async_setup_component(hass, "sensor", {})
    home = Home(hass, freezer, *POINTS)
    await home.live(0, energy_total=100.0, grid_export_total=50.0, ac_power=500)
    await home.live(1, energy_total=101.0, grid_export_total=50.5, ac_power=600)
    return home


async def return_at(home: Home, number: int = 6, **values: float) -> None:
    """Live through the first hour after the gap."""
    await home.live(
        number,
        **{"energy_total": 107.0, "grid_export_total": 53.0, "ac_power": 900} | values,
    )


# -- what it is for -----------------------------------------------------------------------

KEPT: Final = {2: 102.0, 3: 103.5, 4: 104.0, 5: 106.0}
"""What the counter showed at the end of the hours of the gap."""


def report(home: Home, counters: Mapping[int, float] | None = None) -> None:
    """Report the hours of the gap."""
    for number, counter in (KEPT if counters is None else counters).items():
        home.record(number + 0.5, energy_total=counter - 0.2, ac_power=700)
        home.record(number + 0.95, energy_total=counter, ac_power=800)


async def test_gap_is_filled_when_hours_after_it_are_compiled(home: Home) -> None:
    await return_at(home)
    before = await stored(home.hass)
    assert await home.growth() == {0: 0, 1: 1, 6: 6}
    report(home)
    await home.fill()
    assert await home.rows() == [
        (0, 100.0, 0.0),
        (1, 101.0, 1.0),
        (2, 102.0, 2.0),
        (3, 103.5, 3.5),
        (4, 104.0, 4.0),
        (5, 106.0, 6.0),
        (6, 107.0, 7.0),
    ]
    assert await home.growth() == {0: 0, 1: 1, 2: 1, 3: 1.5, 4: 0.5, 5: 2, 6: 1}
    after = await stored(home.hass)
    assert set(before) <= set(after)


async def test_gap_is_filled_before_the_hour_after_it_is_over(home: Home) -> None:
    """Home Assistant goes on from its newest row of five minutes, not from what we write."""
    home.freezer.move_to(hour(6) + timedelta(minutes=5))
    home.show(energy_total=106.5, ac_power=900)
    await async_wait_recording_done(home.hass)
    home.freezer.move_to(hour(6) + timedelta(minutes=20))
    do_adhoc_statistics(home.hass, start=hour(6) + timedelta(minutes=5))
    await async_wait_recording_done(home.hass)
    report(home)
    await home.fill()
    assert [number for number, *_ in await home.rows()] == [0, 1, 2, 3, 4, 5]
    await return_at(home)
    assert await home.growth() == {0: 0, 1: 1, 2: 1, 3: 1.5, 4: 0.5, 5: 2, 6: 1}
    await home.live(7, energy_total=108.0)
    assert sum((await home.growth()).values()) == 8.0


async def test_counter_waits_for_what_is_read_after_the_gap(home: Home) -> None:
    """What a sensor shows since before the gap tells nothing of what came after."""
    home.freezer.move_to(hour(6) + timedelta(minutes=20))
    report(home)
    do_adhoc_statistics(home.hass, start=hour(6) + timedelta(minutes=5))
    await async_wait_recording_done(home.hass)
    await home.fill()
    assert len(await home.rows()) == 2
    assert home.buffered.statistics["waiting"] == 8
    await return_at(home)
    await home.fill()
    assert await home.growth() == {0: 0, 1: 1, 2: 1, 3: 1.5, 4: 0.5, 5: 2, 6: 1}
    assert home.buffered.statistics == {
        "taken": 8,
        "used": 8,
        "waiting": 0,
        "hours_filled": 4,
        "unused": {},
    }


async def test_measurements_get_mean_and_extremes(home: Home) -> None:
    await return_at(home)
    for minute, power in ((5, 100), (10, 400), (15, 700)):
        home.record(hour(3) + timedelta(minutes=minute), ac_power=power)
    await home.fill()
    row = (await home.all_rows(POWER))[3]
    assert (row["mean"], row["min"], row["max"]) == (400, 100, 700)
    assert list(await home.all_rows(POWER)) == [0, 1, 3, 6]
    assert list(await home.all_rows(TOTAL)) == [0, 1, 6]


async def test_counters_that_stand_still_are_filled(home: Home) -> None:
    await return_at(home, energy_total=101.0)
    for number in KEPT:
        home.record(number, energy_total=101.0)
    await home.fill()
    assert set((await home.growth()).values()) == {0, 1}
    assert len(await home.rows()) == 7


async def test_live_state_is_left_alone(home: Home) -> None:
    await return_at(home)
    before = home.hass.states.get(home.ids["energy_total"])
    report(home)
    await home.fill()
    assert home.hass.states.get(home.ids["energy_total"]) is before


# -- whatever order they come in ----------------------------------------------------------


async def test_order_of_records_does_not_matter(home: Home) -> None:
    await return_at(home)
    report(home, dict(reversed(KEPT.items())))
    await home.fill()
    assert await home.growth() == {0: 0, 1: 1, 2: 1, 3: 1.5, 4: 0.5, 5: 2, 6: 1}


async def test_second_import_changes_nothing(home: Home) -> None:
    await return_at(home)
    report(home)
    report(home)
    await home.fill()
    before = await stored(home.hass)
    report(home)
    await home.fill()
    assert await stored(home.hass) == before
    assert home.unused == {"repeated": 8, "known": 8}


async def test_hour_is_not_written_while_its_records_still_come(home: Home) -> None:
    await return_at(home)
    home.record(3.1, energy_total=103.0, ac_power=100)
    await home.buffered.async_flush()
    home.record(3.9, energy_total=103.5, ac_power=300)
    await home.fill()
    assert (await home.all_rows(POWER))[3]["mean"] == 200
    assert (await home.all_rows(TOTAL))[3]["state"] == 103.5


async def test_last_flush_does_not_wait(home: Home) -> None:
    await return_at(home)
    home.freezer.tick(timedelta(minutes=15))
    report(home)
    await home.buffered.async_flush(last=True)
    await async_wait_recording_done(home.hass)
    assert len(await home.rows()) == 7


async def test_a_part_of_the_gap_leaves_the_rest_to_the_hour_after_it(
    home: Home,
) -> None:
    await return_at(home)
    report(home, {3: 103.5})
    await home.fill()
    assert await home.growth() == {0: 0, 1: 1, 3: 2.5, 6: 3.5}
    report(home, {4: 104.0, 2: 102.0})
    await home.fill()
    assert await home.growth() == {0: 0, 1: 1, 2: 1, 3: 1.5, 4: 0.5, 6: 3}


@pytest.mark.parametrize("seed", range(3))
async def test_sums_stay_right_whatever_is_missing_and_whenever_it_comes(
    home: Home, seed: int
) -> None:
    """A morning with gaps, told afterwards in bursts: out of order, twice, and in part."""
    chance = Random(seed)
    truth = {0: 100.0, 1: 101.0}
    for number in range(2, LAST + 1):
        truth[number] = truth[number - 1] + chance.choice((0, 0.1, 0.5, 2))
    lived = {number for number in range(2, LAST) if chance.random() < 0.4} | {LAST}
    for number in sorted(lived):
        await home.live(number, energy_total=truth[number], ac_power=number)
    own = set(await stored(home.hass))
    told = [
        (number, minute)
        for number in range(2, LAST)
        for minute in range(0, 60, 10)
        if chance.random() < 0.8
    ]
    told += chance.sample(told, 20)
    chance.shuffle(told)
    home.freezer.tick(timedelta(hours=1))
    while told:
        burst, told = told[:40], told[40:]
        for number, minute in burst:
            grown = (truth[number] - truth[number - 1]) * minute / 60
            home.record(
                hour(number) + timedelta(minutes=minute),
                energy_total=truth[number - 1] + grown,
                ac_power=number,
            )
        await home.fill()
    rows = await home.rows()
    assert {number for number, *_ in rows} == set(range(LAST + 1))
    for (_, state, total), (_, next_state, next_total) in pairwise(rows):
        assert state is not None
        assert total is not None
        assert next_state is not None
        assert next_total is not None
        assert state <= next_state
        assert total <= next_total
        assert next_total - total == pytest.approx(next_state - state)
    growth = sum((await home.growth()).values())
    assert growth == pytest.approx(truth[LAST] - truth[0], abs=0.01)
    assert own <= set(await stored(home.hass))
    for number, row in (await home.all_rows(POWER)).items():
        assert number < 2 or row["mean"] == number


# -- hours that are not ours --------------------------------------------------------------


async def test_hour_with_a_row_is_left_alone(home: Home) -> None:
    await return_at(home)
    before = await stored(home.hass)
    home.record(1.95, energy_total=101.2, ac_power=1)
    home.record(6.01, energy_total=106.5, ac_power=1)
    home.freezer.tick(timedelta(minutes=15))
    await home.fill()
    assert await stored(home.hass) == before
    assert home.unused == {"known": 2}


async def test_hour_that_has_just_ended_is_home_assistants(home: Home) -> None:
    await return_at(home)
    home.record(7.0, energy_total=107.5, ac_power=5)
    home.freezer.move_to(hour(8) + timedelta(minutes=1))
    home.show(energy_total=108.0, ac_power=5)
    await async_wait_recording_done(home.hass)
    home.freezer.move_to(hour(8) + timedelta(minutes=5, seconds=10))
    do_adhoc_statistics(home.hass, start=hour(8))
    await home.fill()
    assert len(await home.rows()) == 3
    home.freezer.tick(timedelta(minutes=10))
    await home.fill()
    assert await home.growth() == {0: 0, 1: 1, 6: 6, 7: 0.5}


async def test_hours_before_the_first_row_are_not_written(home: Home) -> None:
    await return_at(home)
    home.record(-1, energy_total=99.0, ac_power=1)
    await home.fill()
    assert [number for number, *_ in await home.rows()] == [0, 1, 6]
    assert home.unused == {"no_place": 1}


async def test_held_counter_keeps_its_rows_and_measurements_are_filled(
    home: Home,
) -> None:
    """The network was away: counters went on showing what they did, powers nothing."""
    home.show(ac_power="unavailable")
    for number in KEPT:
        await home.live(number)
    assert list(await home.all_rows(POWER)) == [0, 1]
    await return_at(home)
    before = await home.rows()
    report(home)
    await home.fill()
    assert await home.rows() == before
    powers = await home.all_rows(POWER)
    assert [powers[number]["mean"] for number in (1, 2, 5, 6)] == [600, 750, 750, 900]


async def test_held_counter_still_tells_what_was_before(home: Home) -> None:
    home.show(ac_power="unavailable")
    for number in KEPT:
        await home.live(number)
    await return_at(home)
    home.record(2, energy_total=100.5, ac_power=1)
    await home.fill()
    assert home.unused == {"contradicted": 1}
    assert list(await home.all_rows(POWER)) == [0, 1, 6]


async def test_counter_that_grew_before_it_was_held_is_no_limit(home: Home) -> None:
    """The gap began in an hour in which the counter had grown."""
    home.show(ac_power="unavailable")
    await home.live(2, energy_total=101.5)
    await home.live(3)
    await return_at(home)
    home.record(2.9, energy_total=101.8, ac_power=1)
    await home.fill()
    assert list(await home.all_rows(POWER)) == [0, 1, 2, 6]
    assert home.buffered.statistics["used"] == 1


async def test_row_of_a_measurement_stays_where_that_of_a_counter_is_missing(
    home: Home,
) -> None:
    home.show(energy_total="unavailable")
    await home.live(3, ac_power=333)
    await return_at(home)
    before = set(await stored(home.hass))
    report(home)
    await home.fill()
    assert before <= set(await stored(home.hass))
    assert (await home.all_rows(POWER))[3]["mean"] == 333
    assert await home.growth() == {0: 0, 1: 1, 2: 1, 3: 1.5, 4: 0.5, 5: 2, 6: 1}


async def test_counter_does_not_pass_a_row_that_still_shows_what_was_before(
    home: Home,
) -> None:
    """Home Assistant came back before the inverter did."""
    await home.live(5)
    await return_at(home)
    report(home)
    await home.fill()
    assert await home.growth() == {0: 0, 1: 1, 5: 0, 6: 6}
    assert set(await home.all_rows(POWER)) == {0, 1, 2, 3, 4, 5, 6}


# -- what cannot be believed --------------------------------------------------------------


@pytest.mark.parametrize("counter", [100.5, 107.5, 3.0])
async def test_counter_that_does_not_fit_discredits_the_record(
    home: Home, counter: float
) -> None:
    await return_at(home)
    before = await stored(home.hass)
    home.record(3, energy_total=counter, grid_export_total=51.0, ac_power=1)
    await home.fill()
    assert await stored(home.hass) == before
    assert home.unused == {"contradicted": 1}


async def test_counters_that_fall_between_hours_are_not_believed(home: Home) -> None:
    await return_at(home)
    report(home, KEPT | {3: 105.0})
    await home.fill()
    assert await home.growth() == {0: 0, 1: 1, 2: 1, 5: 4, 6: 1}
    assert home.unused == {"out_of_order": 4}


async def test_nothing_is_told_over_a_reset(home: Home) -> None:
    """Another inverter, or one whose counter began anew."""
    await home.live(3, energy_total=0.0)
    await return_at(home, energy_total=110.0)
    assert await home.growth() == {0: 0, 1: 1, 3: 0, 6: 110}
    before = await home.rows()
    home.record(2.5, energy_total=102.0)
    await home.fill()
    assert await home.rows() == before


async def test_corrected_sum_is_not_contradicted(home: Home) -> None:
    await return_at(home)
    get_instance(home.hass).async_adjust_statistics(
        home.ids["energy_total"], hour(6), -4.0, "kWh"
    )
    await async_wait_recording_done(home.hass)
    before = await home.rows()
    report(home)
    await home.fill()
    assert await home.rows() == before
    assert 3 in await home.all_rows(POWER)


@pytest.mark.parametrize(
    ("at", "why"),
    [
        (None, "no_time"),
        (hour(7.3), "in_the_future"),
        (hour(7) - timedelta(days=61), "too_old"),
    ],
)
async def test_impossible_times_are_refused(
    home: Home, at: datetime | None, why: str
) -> None:
    await return_at(home)
    assert not home.record(at, energy_total=104.0)
    assert home.unused == {why: 1}


async def test_clock_may_be_a_little_ahead(home: Home) -> None:
    await return_at(home)
    assert home.record(7.05, energy_total=107.0)


async def test_what_waits_too_long_is_dropped(home: Home) -> None:
    home.freezer.move_to(hour(6))
    report(home)
    home.freezer.move_to(hour(6) + timedelta(days=60))
    await home.fill()
    assert home.unused == {"too_old": 8}
    assert home.buffered.statistics["waiting"] == 0


# -- sensors ------------------------------------------------------------------------------


async def test_only_what_has_a_sensor_and_statistics_is_of_use(home: Home) -> None:
    await return_at(home)
    registry = er.async_get(home.hass)
    registry.async_update_entity(
        home.ids["ac_power"], disabled_by=er.RegistryEntryDisabler.USER
    )
    assert not home.record(
        3,
        ac_power=1,
        energy_today=3.0,
        status="normal",
        unknown=5,
        energy_total=None,
    )
    assert not home.record(3, grid_export_total=float("nan"))
    assert not home.record(3, grid_export_total=True)
    without = Point(key="pv1_power", name="1", quantity=Quantity.POWER, unit="W")
    device = Device(identity=DEVICE.identity, points=(without,))
    assert not home.buffered.take(device, {"pv1_power": 1}, hour(3))
    assert home.unused == {"nothing_shown": 4}


async def test_sensor_of_another_entry_is_not_ours(home: Home) -> None:
    await return_at(home)
    other = BufferedRecords(home.hass, MockConfigEntry(domain=DOMAIN, entry_id="2"))
    assert not other.take(DEVICE, {"energy_total": 104.0}, hour(3))


async def test_renamed_sensor_is_filled_under_its_new_name(home: Home) -> None:
    await return_at(home)
    report(home)
    er.async_get(home.hass).async_update_entity(
        home.ids["energy_total"], new_entity_id="sensor.yield"
    )
    await home.hass.async_block_till_done()
    await async_wait_recording_done(home.hass)
    home.ids["energy_total"] = "sensor.yield"
    await home.fill()
    assert len(await home.rows()) == 7


async def test_sensor_without_statistics_is_left_without(home: Home) -> None:
    await return_at(home)
    home.ids["energy_today"] = "sensor.energy_today"
    other = Point(
        key="energy_today", name="T", quantity=Quantity.ENERGY_TOTAL, unit="kWh"
    )
    device = Device(identity=DEVICE.identity, points=(other,))
    assert home.buffered.take(device, {"energy_today": 5.0}, hour(3))
    await home.fill()
    assert home.unused == {"no_place": 1}
    assert await home.rows(TODAY) == []


async def keep_in(
    home: Home, point: Point, unit: str, unit_class: str | None, factor: float
) -> None:
    """Store the hours around the gap in a unit that the owner has chosen."""
    async_import_statistics(
        home.hass,
        StatisticMetaData(
            source="recorder",
            statistic_id=home.ids[point.key],
            name=None,
            mean_type=StatisticMeanType.NONE,
            has_sum=True,
            unit_class=unit_class,
            unit_of_measurement=unit,
        ),
        [
            StatisticData(
                start=hour(number),
                state=shown / factor,
                sum=(shown - 100) / factor,
            )
            for number, shown in ((0, 100.0), (1, 101.0), (6, 107.0))
        ],
    )
    await async_wait_recording_done(home.hass)


@pytest.fixture
async def empty(
    recorder_mock: Recorder, hass: HomeAssistant, freezer: FrozenDateTimeFactory
) -> Home:
    """A home without any statistics."""
    freezer.move_to(hour(7))
    return Home(hass, freezer, *POINTS)


async def test_statistics_may_be_in_another_unit(empty: Home) -> None:
    await keep_in(empty, TOTAL, "MWh", "energy", 1000)
    report(empty)
    await empty.fill()
    rows = await empty.rows()
    assert [number for number, *_ in rows] == list(range(7))
    assert rows[3][1:] == pytest.approx((0.1035, 0.0035))


@pytest.mark.parametrize("unit_class", [None, "volume"])
async def test_unit_that_cannot_be_converted_leaves_no_place(
    empty: Home, unit_class: str | None
) -> None:
    await keep_in(empty, TOTAL, "m³", unit_class, 1)
    report(empty)
    await empty.fill()
    assert len(await empty.rows()) == 3
    assert empty.unused == {"no_place": 8}


async def test_real_sensors_are_found(
    recorder_mock: Recorder,
    hass: HomeAssistant,
    unit: Writable,
    freezer: FrozenDateTimeFactory,
) -> None:
    """The sensors of an inverter have the ids that are looked for."""
    freezer.move_to(hour(7))
    entry = await set_up(hass, unit)
    coordinator = entry.runtime_data
    buffered = BufferedRecords(hass, entry)
    (device, *_) = coordinator.devices
    assert buffered.take(device, {"energy_total": 5.0}, hour(3))
    assert buffered.take(device, {"ac_power": 3}, hour(4))


# -- time ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("zone", "shown", "expected"),
    [
        ("UTC", datetime(2026, 4, 18, 3, 5), datetime(2026, 4, 18, 3, 5)),
        ("Europe/Berlin", datetime(2026, 4, 18, 3, 5), datetime(2026, 4, 18, 1, 5)),
        ("Asia/Kolkata", datetime(2026, 4, 18, 3, 5), datetime(2026, 4, 17, 21, 35)),
        ("Europe/Berlin", datetime(2026, 3, 29, 1, 59), datetime(2026, 3, 29, 0, 59)),
        ("Europe/Berlin", datetime(2026, 3, 29, 2, 30), None),
        ("Europe/Berlin", datetime(2026, 3, 29, 3, 0), datetime(2026, 3, 29, 1, 0)),
        ("Europe/Berlin", datetime(2026, 10, 25, 2, 30), datetime(2026, 10, 25, 0, 30)),
        ("Europe/Berlin", datetime(2026, 10, 25, 3, 0), datetime(2026, 10, 25, 2, 0)),
        ("Australia/Lord_Howe", datetime(2026, 10, 4, 2, 15), None),
        ("UTC", None, None),
    ],
)
async def test_time_of_a_logger(
    hass: HomeAssistant,
    zone: str,
    shown: datetime | None,
    expected: datetime | None,
) -> None:
    await hass.config.async_set_time_zone(zone)
    assert utc_time(shown) == (expected and expected.replace(tzinfo=UTC))


async def test_half_hour_zones_fill_whole_hours_of_utc(home: Home) -> None:
    await home.hass.config.async_set_time_zone("Asia/Kolkata")
    await return_at(home)
    for minutes in range(0, 240, 30):
        shown = datetime(2026, 4, 18, 7, 31) + timedelta(minutes=minutes)
        home.record(utc_time(shown), energy_total=101.5 + minutes / 60)
    await home.fill()
    assert await home.growth() == {0: 0, 1: 1, 2: 1, 3: 1, 4: 1, 5: 1, 6: 2}


async def live_through(
    home: Home, day: datetime, before: int, after: int, counters: tuple[float, float]
) -> None:
    """Live through an hour before a gap and one after it, on another day."""
    first = round((day - DAY) / timedelta(hours=1))
    await home.live(first + before, energy_total=counters[0], ac_power=1)
    await home.live(first + after, energy_total=counters[1], ac_power=1)


async def test_hour_that_comes_twice_is_not_believed_if_a_counter_grew(
    home: Home,
) -> None:
    await home.hass.config.async_set_time_zone("Europe/Berlin")
    day = datetime(2026, 10, 25, tzinfo=UTC)
    await live_through(home, day, -1, 4, (200.0, 206.0))
    clock = [(1, 30), (2, 10), (2, 40), (2, 10), (2, 40), (3, 30)]
    for n, (hours, minutes) in enumerate(clock):
        shown = datetime(2026, 10, 25, hours, minutes)
        home.record(utc_time(shown), energy_total=201.0 + n / 2, ac_power=1)
    await home.fill()
    first = round((day - DAY) / timedelta(hours=1))
    rows = await home.rows()
    assert [number - first for number, *_ in rows][2:] == [-1, 2, 4]
    states = [state for _, state, _ in rows]
    assert states[2:] == [200.0, 203.5, 206.0]
    assert sum((await home.growth()).values()) == 106.0
    assert home.unused == {"known": 1, "out_of_order": 2, "repeated": 2}


async def test_gap_over_the_start_of_summer_time_is_filled(home: Home) -> None:
    await home.hass.config.async_set_time_zone("Europe/Berlin")
    # Of last year, as the gap must lie after the first rows of the home.
    day = datetime(2027, 3, 28, tzinfo=UTC)
    await live_through(home, day, -1, 4, (200.0, 204.0))
    clock = [(1, 30), (2, 30), (3, 30), (4, 30), (5, 30)]
    for n, (hours, minutes) in enumerate(clock):
        shown = datetime(2027, 3, 28, hours, minutes)
        home.record(utc_time(shown), energy_total=200.5 + n / 2, ac_power=1)
    await home.fill()
    first = round((day - DAY) / timedelta(hours=1))
    rows = await home.rows()
    assert [(number - first, state) for number, state, _ in rows][2:] == [
        (-1, 200.0),
        (0, 200.5),
        (1, 201.5),
        (2, 202.0),
        (3, 202.5),
        (4, 204.0),
    ]
    assert home.unused == {"no_time": 1}


# -- limits, logs, and the recorder -------------------------------------------------------


async def test_memory_is_bounded(home: Home) -> None:
    home.freezer.move_to(hour(24 * 60))
    for number in range(MAX_HOURS):
        assert home.record(number, ac_power=1)
    assert not home.record(MAX_HOURS, ac_power=1)
    assert home.record(2.5, ac_power=1)
    assert home.unused == {"too_many": 1}


async def test_each_burst_is_logged_once(
    home: Home, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "custom_components.local_solar")
    await return_at(home)
    report(home)
    home.record(None, energy_total=1.0)
    home.record(1, energy_total=101.0)
    caplog.clear()
    await home.fill()
    await home.fill()
    assert [
        record.getMessage()
        for record in caplog.records
        if record.name.startswith("custom_components.local_solar")
    ] == [
        "ABC1234567: 4 hours of statistics were filled with 8 records of earlier times;"
        " not used: 1 known, 1 no_time"
    ]


async def test_wrong_clock_is_logged_once(
    home: Home, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "custom_components.local_solar")
    for number in range(100, 300):
        assert not home.record(number, energy_total=104.0)
    await home.fill()
    await home.fill()
    assert caplog.text.count("not used: 200 in_the_future") == 1


async def test_nothing_happens_without_a_recorder(
    hass: HomeAssistant, freezer: FrozenDateTimeFactory
) -> None:
    freezer.move_to(hour(7))
    home = Home(hass, freezer, *POINTS)
    assert not home.record(3, energy_total=104.0)
    await home.buffered.async_flush(last=True)
    assert home.unused == {"no_recorder": 1}


async def test_busy_recorder_is_not_waited_for_for_ever(home: Home) -> None:
    await return_at(home)
    report(home)
    home.freezer.tick(timedelta(minutes=3))
    with patch("custom_components.local_solar.recorder_queue.DONE_WITHIN", 0.0):
        await async_block_recorder(home.hass, 0.1)
        await home.buffered.async_flush()
    assert home.buffered.statistics["waiting"] == 8
    await home.fill()
    assert len(await home.rows()) == 7


async def test_database_that_fails_is_asked_again(
    home: Home, caplog: pytest.LogCaptureFixture
) -> None:
    await return_at(home)
    report(home)
    with patch(
        "custom_components.local_solar.buffered_records.get_metadata",
        side_effect=SQLAlchemyError("disk full"),
    ):
        await home.fill()
    assert "Statistics cannot be read: disk full" in caplog.text
    await home.fill()
    assert len(await home.rows()) == 7


async def test_recorder_that_has_not_started_is_left_alone(home: Home) -> None:
    await return_at(home)
    report(home)
    get_instance(home.hass).async_recorder_ready.clear()
    await home.fill()
    assert home.buffered.statistics["waiting"] == 8


# -- restarts -----------------------------------------------------------------------------


@asynccontextmanager
async def running(
    async_test_recorder: RecorderInstanceContextManager, freezer: FrozenDateTimeFactory
) -> AsyncIterator[Home]:
    """Start Home Assistant, and stop it in the end."""
    async with (
        async_test_home_assistant(initial_state=CoreState.not_running) as hass,
        async_test_recorder(hass, wait_recorder=False, wait_recorder_setup=False),
    ):
        await async_setup_component(hass, "sensor", {})
        home = Home(hass, freezer, *POINTS)
        home.show(energy_total="unavailable", ac_power="unavailable")
        await hass.async_start()
        await hass.async_block_till_done()
        await async_wait_recording_done(hass)
        yield home
        await hass.async_stop()


@pytest.mark.parametrize("persistent_database", [True])
@pytest.mark.parametrize("enable_missing_statistics", [True])
@pytest.mark.parametrize("is_shown_at_the_end", [True, False])
@pytest.mark.usefixtures("hass_storage")
async def test_time_that_home_assistant_was_off(
    async_test_recorder: RecorderInstanceContextManager,
    freezer: FrozenDateTimeFactory,
    is_shown_at_the_end: bool,
) -> None:
    """Home Assistant writes rows of states that it held while it was off, and those stay.

    There is a gap where sensors had become unavailable before it stopped.
    """
    freezer.move_to(DAY)
    async with running(async_test_recorder, freezer) as home:
        await home.live(0, energy_total=100.0, ac_power=500)
        await home.live(1, energy_total=101.0, ac_power=600)
        if not is_shown_at_the_end:
            home.show(energy_total="unavailable", ac_power="unavailable")
        await async_wait_recording_done(home.hass)
    freezer.move_to(hour(6) + timedelta(minutes=3))
    async with running(async_test_recorder, freezer) as home:
        await return_at(home)
        report(home)
        await home.fill()
        growth = await home.growth()
        if is_shown_at_the_end:
            assert growth == {0: 0, 1: 1, 2: 0, 3: 0, 4: 0, 5: 0, 6: 6}
            assert home.unused == {"known": 8}
        else:
            # The hour in which it stopped belongs to Home Assistant.
            assert growth == {0: 0, 1: 1, 2: 0, 3: 2.5, 4: 0.5, 5: 2, 6: 1}
            assert (await home.all_rows(POWER))[4]["mean"] == 750
        assert sum(growth.values()) == 7
