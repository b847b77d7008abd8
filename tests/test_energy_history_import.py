"""The action that imports what an inverter counted before, with a real recorder."""

import asyncio
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Literal

from freezegun.api import FrozenDateTimeFactory
from modbus_connection import IllegalDataAddressError
import pytest
from pytest_homeassistant_custom_component.common import MockConfigEntry
from pytest_homeassistant_custom_component.components.recorder.common import (
    async_wait_recording_done,
    do_adhoc_statistics,
)

from custom_components.local_solar.const import DOMAIN
from homeassistant.components.energy.data import async_get_manager
from homeassistant.components.energy.validate import async_validate
from homeassistant.components.recorder import Recorder, get_instance
from homeassistant.components.recorder.db_schema import (
    Statistics,
    StatisticsMeta,
    StatisticsShortTerm,
)
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
from homeassistant.core import HomeAssistant
from homeassistant.exceptions import HomeAssistantError, ServiceValidationError
from homeassistant.helpers import entity_registry as er
from homeassistant.setup import async_setup_component
from homeassistant.util import dt as dt_util

from .common import TL_X, Network, entity_id_of, pass_time, set_up
from .writing_helpers import Writable, act, add_unit, device_of

BERLIN: Final = dt_util.get_time_zone("Europe/Berlin")
NOW: Final = datetime(2026, 4, 18, 10, 34, 56, tzinfo=BERLIN)
"""What the dataset's clock shows."""
TOTAL: Final = 118431
TODAY: Final = 67
HOURS, DAYS, MONTHS, YEARS = 284, 332, 346, 375
CLOCK: Final = 45
KWH: Final = 0.1

type Rows = list[tuple[Any, ...]]


@pytest.fixture
def mock_recorder_before_hass(async_test_recorder: object) -> None:
    """Prepare the database, which must be done before there is a Home Assistant."""


@pytest.fixture
async def recorder(recorder_mock: Recorder, hass: HomeAssistant) -> Recorder:
    """A recorder with a database in memory, and a home in Berlin."""
    await hass.config.async_set_time_zone("Europe/Berlin")
    return recorder_mock


@pytest.fixture
async def entry(
    recorder: Recorder,
    hass: HomeAssistant,
    unit: Writable,
    freezer: FrozenDateTimeFactory,
) -> MockConfigEntry:
    """An inverter, at the time that its clock shows."""
    freezer.move_to(NOW)
    return await set_up(hass, unit)


@pytest.fixture
def counter(hass: HomeAssistant, entry: MockConfigEntry) -> str:
    """The sensor of the lifetime counter."""
    return entity_id_of(hass, entry, "energy_total")


def imported_id(entry: MockConfigEntry) -> str:
    return f"{DOMAIN}:energy_history_{str(entry.unique_id).lower()}"


async def keep(
    hass: HomeAssistant,
    entity_id: str,
    begun: datetime,
    counters: Sequence[int],
    *,
    unit: str = "kWh",
) -> None:
    """Store statistics as the recorder does: hours of a sensor, whose sum begins with 0.

    ``counters`` (0.1 kWh) are what it showed at first, and at the end of each hour.
    """
    factor = {"kWh": 10, "MWh": 10_000}[unit]
    async_import_statistics(
        hass,
        StatisticMetaData(
            source="recorder",
            statistic_id=entity_id,
            name=None,
            mean_type=StatisticMeanType.NONE,
            has_sum=True,
            unit_class="energy",
            unit_of_measurement=unit,
        ),
        [
            StatisticData(
                start=begun + timedelta(hours=n),
                state=shown / factor,
                sum=(shown - counters[0]) / factor,
            )
            for n, shown in enumerate(counters[1:])
        ],
    )
    await async_wait_recording_done(hass)


async def run(
    hass: HomeAssistant, entry: MockConfigEntry, *, confirm: bool = True
) -> Mapping[str, Any]:
    """Call the action."""
    return await act(
        hass, "import_energy_history", device_of(hass, entry), confirm=confirm
    )


async def refusal(
    hass: HomeAssistant,
    entry: MockConfigEntry,
    error: type[HomeAssistantError] = HomeAssistantError,
) -> str:
    """Call the action, which must fail, and return the key of its error."""
    before = await all_rows(hass)
    with pytest.raises(error) as raised:
        await run(hass, entry)
    assert await all_rows(hass) == before
    assert "{" not in str(raised.value)
    return str(raised.value.translation_key)


async def all_rows(hass: HomeAssistant) -> Mapping[str, Rows]:
    """Return all that is stored of statistics."""

    def read() -> Mapping[str, Rows]:
        with session_scope(hass=hass, read_only=True) as session:
            return {
                table.__tablename__: [
                    tuple(
                        getattr(row, column.key) for column in table.__table__.columns
                    )
                    for row in session.query(table).order_by(table.id)
                ]
                for table in (Statistics, StatisticsShortTerm, StatisticsMeta)
            }

    return await get_instance(hass).async_add_executor_job(read)


async def changes(
    hass: HomeAssistant,
    period: Literal["hour", "day", "month", "year"],
    *statistic_ids: str,
) -> dict[str, float]:
    """Return the energy of each period as the energy dashboard adds it up."""
    found = await get_instance(hass).async_add_executor_job(
        statistics_during_period,
        hass,
        datetime(2000, 1, 1, tzinfo=UTC),
        None,
        {*statistic_ids},
        period,
        None,
        {"change"},
    )
    sums: dict[str, float] = {}
    for rows in found.values():
        for row in rows:
            start = datetime.fromtimestamp(row["start"], BERLIN)
            key = f"{start:%Y-%m-%d %H}" if period == "hour" else f"{start:%Y-%m-%d}"
            sums[key] = round(sums.get(key, 0) + (row.get("change") or 0), 1)
    return {key: energy for key, energy in sorted(sums.items()) if energy}


def put(unit: Writable, start: int, place: int, tenths: int) -> None:
    """Change an entry of a list."""
    unit.put32(start + 2 * place, tenths)


THIS_MORNING: Final = NOW.replace(hour=8, minute=0, second=0)
SHOWN: Final = [TOTAL - 45, TOTAL - 35, TOTAL - 14]
"""By a sensor that began at 8:20, until 9 and 10."""


# -- what it is for ------------------------------------------------------------------------


async def test_preview_imports_nothing(
    hass: HomeAssistant, entry: MockConfigEntry, counter: str
) -> None:
    await keep(hass, counter, THIS_MORNING, SHOWN)
    before = await all_rows(hass)
    device = device_of(hass, entry)
    preview = await act(hass, "import_energy_history", device)
    assert preview["imported"] is False
    assert await all_rows(hass) == before
    assert preview == {**await run(hass, entry), "imported": False}


async def test_history_is_imported_up_to_the_first_reading_of_the_sensor(
    hass: HomeAssistant, entry: MockConfigEntry, counter: str
) -> None:
    await keep(hass, counter, THIS_MORNING, SHOWN)
    response = {**await run(hass, entry)}
    periods = response.pop("periods")
    assert response == {
        "entity_id": counter,
        "begins": "2026-04-18T08:00:00+02:00",
        "statistic_id": imported_id(entry),
        "imported": True,
        "energy": (TOTAL - 45) / 10,
        "skipped": [],
    }
    assert periods[0] == {
        "start": "2024-01-01T00:00:00+01:00",
        "end": "2025-01-01T00:00:00+01:00",
        "energy": 3354.8,
        "by": "year",
    }
    assert periods[-2] == {
        "start": "2026-04-18T07:00:00+02:00",
        "end": "2026-04-18T08:00:00+02:00",
        "energy": 0.7,
        "by": "hour",
    }
    assert sum(period["energy"] for period in periods) == pytest.approx(
        response["energy"]
    )


async def test_energy_dashboard_shows_one_continuous_past(
    hass: HomeAssistant, entry: MockConfigEntry, counter: str
) -> None:
    """The sums of both statistics are what the inverter counted, on either side."""
    await keep(hass, counter, THIS_MORNING, SHOWN)
    await run(hass, entry)
    both = counter, imported_id(entry)
    years = await changes(hass, "year", *both)
    assert years == {
        "2024-01-01": 3354.8,
        "2025-01-01": 6770.0,
        "2026-01-01": 1716.9,
    }
    assert sum(years.values()) == pytest.approx((TOTAL - 14) / 10)
    months = await changes(hass, "month", *both)
    assert months["2026-03-01"] == 579.3
    assert months["2026-04-01"] == 380.9
    assert months["2025-05-01"] == 746.9
    days = await changes(hass, "day", *both)
    assert list(days.items())[-7:] == [
        ("2026-04-12", 23.3),
        ("2026-04-13", 32.1),
        ("2026-04-14", 19.5),
        ("2026-04-15", 28.3),
        ("2026-04-16", 15.6),
        ("2026-04-17", 24.5),
        ("2026-04-18", 5.3),
    ]
    hours = await changes(hass, "hour", *both)
    assert all(energy > 0 for energy in hours.values())
    # The first hour is partly of the one, partly of the other.
    assert hours["2026-04-18 08"] == 0.3 + 1.0


async def test_nothing_that_exists_is_changed(
    hass: HomeAssistant, entry: MockConfigEntry, counter: str
) -> None:
    await keep(hass, counter, THIS_MORNING, SHOWN)
    before = await all_rows(hass)
    own = await changes(hass, "hour", counter)
    await run(hass, entry)
    after = await all_rows(hass)
    for table, rows in before.items():
        assert after[table][: len(rows)] == rows
    assert after["statistics_short_term"] == before["statistics_short_term"]
    assert await changes(hass, "hour", counter) == own


async def test_a_second_import_imports_nothing(
    hass: HomeAssistant,
    entry: MockConfigEntry,
    counter: str,
    unit: Writable,
    entity_registry: er.EntityRegistry,
) -> None:
    """Not even after the sensor was renamed."""
    await keep(hass, counter, THIS_MORNING, SHOWN)
    first = await run(hass, entry)
    entity_registry.async_update_entity(counter, new_entity_id="sensor.yield")
    await hass.async_block_till_done()
    await async_wait_recording_done(hass)
    before = await all_rows(hass)
    unit.taken_reads()
    for confirm in (True, False):
        again = await run(hass, entry, confirm=confirm)
        assert again["entity_id"] == "sensor.yield"
        assert not again["imported"]
        assert again["periods"] == []
        assert again["skipped"] == [
            {"reason": "already_imported", "energy": first["energy"]}
        ]
    assert await all_rows(hass) == before
    assert not unit.taken_reads()


async def test_two_imports_at_once_are_one(
    hass: HomeAssistant, entry: MockConfigEntry, counter: str
) -> None:
    await keep(hass, counter, THIS_MORNING, SHOWN)
    responses = await asyncio.gather(run(hass, entry), run(hass, entry))
    assert [response["imported"] for response in responses] == [True, False]


async def test_nothing_is_written_to_the_inverter(
    hass: HomeAssistant, entry: MockConfigEntry, counter: str, unit: Writable
) -> None:
    await keep(hass, counter, THIS_MORNING, SHOWN)
    await run(hass, entry)
    assert not unit.written


async def test_energy_dashboard_takes_the_statistic(
    hass: HomeAssistant, entry: MockConfigEntry, counter: str
) -> None:
    await keep(hass, counter, THIS_MORNING, SHOWN)
    await run(hass, entry)
    assert await async_setup_component(hass, "energy", {})
    manager = await async_get_manager(hass)
    await manager.async_update(
        {
            "device_consumption": [],
            "energy_sources": [
                {
                    "type": "solar",
                    "stat_energy_from": statistic_id,
                    "config_entry_solar_forecast": None,
                }
                for statistic_id in (counter, imported_id(entry))
            ],
        }
    )
    assert not any((await async_validate(hass)).as_dict()["energy_sources"])


# -- where it begins -----------------------------------------------------------------------


async def test_statistics_that_the_recorder_made_begin_where_history_ends(
    hass: HomeAssistant,
    entry: MockConfigEntry,
    counter: str,
    unit: Writable,
    freezer: FrozenDateTimeFactory,
) -> None:
    """The recorder's own first row tells what the counter showed when it began."""
    await async_wait_recording_done(hass)
    for minute in range(35, 60, 5):
        put_total(unit, TOTAL + minute - 34)
        freezer.move_to(NOW.replace(minute=minute, second=58))
        await pass_time(hass, freezer, 0)
        await async_wait_recording_done(hass)
    for minute in range(30, 60, 5):
        start = NOW.replace(minute=minute, second=0).astimezone(UTC)
        do_adhoc_statistics(hass, start=start)
        await async_wait_recording_done(hass)
    freezer.move_to(NOW.replace(hour=11, minute=2))
    put(unit, HOURS, 0, 1)
    unit.holding.update({CLOCK + 3: 11, CLOCK + 4: 2})
    remember_day(unit, TODAY + 26, TOTAL + 26)
    own = await changes(hass, "hour", counter)
    (first,) = own.values()
    response = await run(hass, entry)
    assert response["begins"] == "2026-04-18T10:00:00+02:00"
    assert response["energy"] == TOTAL / 10
    total = await changes(hass, "year", counter, imported_id(entry))
    assert sum(total.values()) == pytest.approx(TOTAL / 10 + first)


def put_total(unit: Writable, tenths: int) -> None:
    """Let the lifetime counter show something."""
    for address in (55, 3051):
        unit.put32(address, tenths)


def remember_day(unit: Writable, today: int, total: int) -> None:
    """Let the day have a certain energy, the lists included."""
    grown = today - TODAY
    for address in (53, 3049):
        unit.put32(address, today)
    put_total(unit, total)
    put(unit, DAYS, 0, today)
    put(unit, MONTHS, 0, 3823 + grown)
    put(unit, YEARS, 0, 17183 + grown)


@pytest.mark.parametrize(
    ("begun", "shown", "energy_of_day"),
    [
        (datetime(2026, 4, 15, 12, tzinfo=BERLIN), TOTAL - 67 - 245 - 156 - 100, 18.3),
        (datetime(2026, 4, 13, 0, tzinfo=BERLIN), 117164, None),
    ],
)
async def test_history_ends_on_the_day_on_which_statistics_begin(
    hass: HomeAssistant,
    entry: MockConfigEntry,
    counter: str,
    begun: datetime,
    shown: int,
    energy_of_day: float | None,
) -> None:
    await keep(hass, counter, begun, [shown, shown + 10])
    await run(hass, entry)
    days = await changes(hass, "day", imported_id(entry))
    assert list(days)[-1] <= f"{begun:%Y-%m-%d}"
    assert days.get(f"{begun:%Y-%m-%d}") == energy_of_day


async def test_statistics_in_another_unit_are_understood(
    hass: HomeAssistant, entry: MockConfigEntry, counter: str
) -> None:
    await keep(hass, counter, THIS_MORNING, SHOWN, unit="MWh")
    assert (await run(hass, entry))["energy"] == (TOTAL - 45) / 10


async def test_statistics_that_are_older_than_the_lists_leave_nothing_to_import(
    hass: HomeAssistant, entry: MockConfigEntry, counter: str
) -> None:
    await keep(hass, counter, datetime(2005, 1, 1, tzinfo=UTC), [0, 0])
    before = await all_rows(hass)
    response = await run(hass, entry)
    assert not response["imported"]
    assert response["periods"] == []
    assert await all_rows(hass) == before


@pytest.mark.parametrize("day", [29, 30])
async def test_days_are_right_where_summer_time_begins(
    hass: HomeAssistant,
    entry: MockConfigEntry,
    counter: str,
    unit: Writable,
    freezer: FrozenDateTimeFactory,
    day: int,
) -> None:
    now = datetime(2026, 3, day, 10, 34, 56, tzinfo=BERLIN)
    freezer.move_to(now)
    unit.holding.update({CLOCK + 1: 3, CLOCK + 2: day})
    await keep(hass, counter, now.replace(hour=8, minute=0, second=0), SHOWN)
    response = await run(hass, entry)
    assert [part["reason"] for part in response["skipped"]] == (
        # The months of the dataset are those of another day.
        ["lists_disagree", "hours_disagree"] if day == 29 else ["lists_disagree"]
    )
    days = await changes(hass, "day", counter, imported_id(entry))
    assert list(days.values())[-7:] == [23.3, 32.1, 19.5, 28.3, 15.6, 24.5, 5.3]
    assert list(days)[-2:] == [f"2026-03-{day - 1}", f"2026-03-{day}"]


# -- why history has a statistic of its own ---------------------------------------------------


async def test_older_rows_of_the_sensors_own_statistic_would_show_a_fall(
    hass: HomeAssistant, entry: MockConfigEntry, counter: str
) -> None:
    """Home Assistant takes the first row for growth from 0."""
    await keep(hass, counter, THIS_MORNING, SHOWN)
    async_import_statistics(
        hass,
        StatisticMetaData(
            source="recorder",
            statistic_id=counter,
            name=None,
            mean_type=StatisticMeanType.NONE,
            has_sum=True,
            unit_class="energy",
            unit_of_measurement="kWh",
        ),
        [
            StatisticData(start=THIS_MORNING - timedelta(days=2), sum=-50.0),
            StatisticData(start=THIS_MORNING - timedelta(days=1), sum=0.0),
        ],
    )
    await async_wait_recording_done(hass)
    days = await changes(hass, "day", counter)
    assert days == {"2026-04-16": -50.0, "2026-04-17": 50.0, "2026-04-18": 3.1}


# -- what does not agree ---------------------------------------------------------------------


async def test_a_clock_that_is_a_year_off_is_refused(
    hass: HomeAssistant, entry: MockConfigEntry, counter: str, unit: Writable
) -> None:
    await keep(hass, counter, THIS_MORNING, SHOWN)
    unit.holding[CLOCK] = 2025
    assert await refusal(hass, entry) == "energy_history_clock"


async def test_a_clock_that_shows_no_date_is_refused(
    hass: HomeAssistant, entry: MockConfigEntry, counter: str, unit: Writable
) -> None:
    await keep(hass, counter, THIS_MORNING, SHOWN)
    unit.holding[CLOCK + 1] = 13
    assert await refusal(hass, entry) == "read_failed"


@pytest.mark.parametrize(
    ("start", "place", "tenths"),
    [(DAYS, 0, 66), (DAYS, 2, 9000), (MONTHS, 0, 100), (MONTHS, 3, 60000)],
)
async def test_numbers_that_cannot_be_true_are_refused(
    hass: HomeAssistant,
    entry: MockConfigEntry,
    counter: str,
    unit: Writable,
    start: int,
    place: int,
    tenths: int,
) -> None:
    await keep(hass, counter, THIS_MORNING, SHOWN)
    put(unit, start, place, tenths)
    assert await refusal(hass, entry) == "energy_history_inconsistent"


async def test_statistics_that_do_not_fit_the_lists_are_refused(
    hass: HomeAssistant, entry: MockConfigEntry, counter: str
) -> None:
    await keep(hass, counter, THIS_MORNING, [TOTAL - 500, TOTAL - 400])
    assert await refusal(hass, entry) == "energy_history_inconsistent"


async def test_energy_of_uncertain_date_is_left_out(
    hass: HomeAssistant, entry: MockConfigEntry, counter: str, unit: Writable
) -> None:
    await keep(hass, counter, THIS_MORNING, SHOWN)
    put(unit, MONTHS, 2, 4014 - 341)
    response = await run(hass, entry)
    assert response["skipped"] == [
        {
            "reason": "lists_disagree",
            "energy": (67700 + 33548 + 341 + 3553) / 10,
            "before": "2026-02-01T00:00:00+01:00",
            "by_month": (17183 - 341) / 10,
            "by_year": 1718.3,
        }
    ]
    assert (await changes(hass, "month", imported_id(entry))) == {
        "2026-02-01": 367.3,
        "2026-03-01": 579.3,
        "2026-04-01": 377.8,
    }


async def test_an_inverter_without_a_past_has_nothing_to_import(
    hass: HomeAssistant, entry: MockConfigEntry, counter: str, unit: Writable
) -> None:
    await keep(hass, counter, THIS_MORNING, [0, 0])
    unit.input.update(dict.fromkeys([*range(HOURS, 415), *range(53, 57)], 0))
    unit.input.update(dict.fromkeys(range(3049, 3053), 0))
    response = await run(hass, entry)
    assert not response["imported"]
    assert (response["periods"], response["skipped"]) == ([], [])


async def test_a_counter_that_moves_on_is_read_again(
    hass: HomeAssistant,
    entry: MockConfigEntry,
    counter: str,
    unit: Writable,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    await keep(hass, counter, THIS_MORNING, SHOWN)
    read = unit.read_input_registers
    reads: list[int] = []

    async def read_and_move(address: int, count: int) -> list[int]:
        reads.append(address)
        words = await read(address, count)
        if address == HOURS and reads.count(HOURS) == 1:
            put(unit, HOURS, 0, 15)
            remember_day(unit, TODAY + 1, TOTAL + 1)
        return words

    monkeypatch.setattr(unit, "read_input_registers", read_and_move)
    response = await run(hass, entry)
    assert reads.count(HOURS) == 2
    assert response["energy"] == (TOTAL - 45) / 10
    assert response["skipped"] == []


# -- what is missing -------------------------------------------------------------------------


async def test_an_inverter_that_does_not_answer_is_told(
    hass: HomeAssistant, entry: MockConfigEntry, counter: str, unit: Writable
) -> None:
    await keep(hass, counter, THIS_MORNING, SHOWN)
    unit.fall_silent()
    assert await refusal(hass, entry) == "read_failed"


async def test_firmware_without_the_lists_is_told(
    hass: HomeAssistant, entry: MockConfigEntry, counter: str, unit: Writable
) -> None:
    await keep(hass, counter, THIS_MORNING, SHOWN)
    unit.fail_requests(IllegalDataAddressError(4))
    assert await refusal(hass, entry) == "read_failed"


async def test_a_disabled_sensor_has_no_statistics(
    hass: HomeAssistant,
    entry: MockConfigEntry,
    counter: str,
    entity_registry: er.EntityRegistry,
) -> None:
    entity_registry.async_update_entity(
        counter, disabled_by=er.RegistryEntryDisabler.USER
    )
    await hass.async_block_till_done()
    assert await refusal(hass, entry, ServiceValidationError) == "no_energy_sensor"


async def test_a_sensor_needs_an_hour_of_statistics(
    hass: HomeAssistant, entry: MockConfigEntry
) -> None:
    assert await refusal(hass, entry, ServiceValidationError) == "no_energy_statistics"


async def test_rows_that_do_not_arrive_are_told(
    hass: HomeAssistant,
    entry: MockConfigEntry,
    counter: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    await keep(hass, counter, THIS_MORNING, SHOWN)
    monkeypatch.setattr(
        "custom_components.local_solar.energy_history_import"
        ".async_add_external_statistics",
        lambda *_: None,
    )
    assert await refusal(hass, entry) == "energy_history_not_stored"


async def test_a_map_without_lists_has_no_history(
    recorder: Recorder, hass: HomeAssistant, network: Network
) -> None:
    entry = await set_up(hass, add_unit(network, TL_X))
    assert await refusal(hass, entry, ServiceValidationError) == "no_energy_history"


async def test_a_battery_has_no_history(
    hass: HomeAssistant, entry: MockConfigEntry
) -> None:
    battery = device_of(hass, entry, battery=True)
    with pytest.raises(ServiceValidationError) as raised:
        await act(hass, "import_energy_history", battery)
    assert raised.value.translation_key == "no_energy_history"


async def test_without_a_recorder_there_is_nowhere_to_import_to(
    hass: HomeAssistant, unit: Writable
) -> None:
    entry = await set_up(hass, unit)
    with pytest.raises(ServiceValidationError) as raised:
        await run(hass, entry)
    assert raised.value.translation_key == "no_recorder"
