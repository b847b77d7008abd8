"""The option that sets a device's clock every day."""

from datetime import datetime, timedelta

from freezegun.api import FrozenDateTimeFactory
import pytest
from pytest_homeassistant_custom_component.common import (
    MockConfigEntry,
    async_capture_events,
)

from custom_components.local_solar.const import CONF_SYNC_CLOCK
from custom_components.local_solar.writing import EVENT_WRITE
from homeassistant.core import HomeAssistant
from homeassistant.util import dt as dt_util

from .common import coordinator_of, pass_time, set_up
from .writing_helpers import Writable, issues, set_up_writable

pytestmark = pytest.mark.usefixtures("settled")

CLOCK = 45
ZONE = "Europe/Berlin"
MORNING = "2026-11-20T11:59:30+01:00"
FAILED = "The clock could not be set today"


@pytest.fixture(autouse=True)
async def half_a_minute_to_noon(
    hass: HomeAssistant, freezer: FrozenDateTimeFactory
) -> None:
    """Begin shortly before local noon, which is not that of UTC."""
    await hass.config.async_set_time_zone(ZONE)
    freezer.move_to(MORNING)


@pytest.fixture
async def entry(hass: HomeAssistant, unit: Writable) -> MockConfigEntry:
    """Its entry, with the option switched on."""
    return await set_up_writable(hass, unit, **{CONF_SYNC_CLOCK: True})


def set_clock(unit: Writable, at: datetime) -> None:
    """Let the clock of a unit show a time."""
    parts = (at.year, at.month, at.day, at.hour, at.minute, at.second)
    unit.holding.update(enumerate(parts, CLOCK))


def clock_of(unit: Writable) -> list[object]:
    """Return what the clock of a unit shows: two digits of the year, month, and so on."""
    return [unit.holding[CLOCK + n] for n in range(6)]


async def test_clock_is_set_at_local_noon(
    hass: HomeAssistant,
    unit: Writable,
    entry: MockConfigEntry,
    freezer: FrozenDateTimeFactory,
) -> None:
    await pass_time(hass, freezer, 29)
    assert not unit.writes
    await pass_time(hass, freezer, 2)
    assert len(unit.writes) == 1
    assert clock_of(unit) == [26, 11, 20, 12, 0, 1]


async def test_clock_is_set_every_day(
    hass: HomeAssistant,
    unit: Writable,
    entry: MockConfigEntry,
    freezer: FrozenDateTimeFactory,
) -> None:
    await pass_time(hass, freezer, 31)
    set_clock(unit, datetime(2001, 1, 1))
    await pass_time(hass, freezer, timedelta(hours=24).total_seconds())
    assert len(unit.writes) == 2
    assert clock_of(unit)[:5] == [26, 11, 21, 12, 0]


async def test_clock_is_set_without_a_question_and_told(
    hass: HomeAssistant,
    unit: Writable,
    entry: MockConfigEntry,
    freezer: FrozenDateTimeFactory,
) -> None:
    events = async_capture_events(hass, EVENT_WRITE)
    await pass_time(hass, freezer, 31)
    assert not issues(hass)
    (event,) = events
    assert event.data["register"] == "sync_clock"
    assert event.data["outcome"] == "written"
    assert event.data["asked_by"] is None
    assert event.data["asked_through"] == "daily clock option"


@pytest.mark.parametrize(
    "options",
    [
        {"write_access": "confirm", CONF_SYNC_CLOCK: False},
        {"write_access": "confirm"},
        {"write_access": "disabled", CONF_SYNC_CLOCK: True},
        {CONF_SYNC_CLOCK: True},
        {},
    ],
    ids=str,
)
async def test_clock_is_only_set_if_both_options_say_so(
    hass: HomeAssistant,
    unit: Writable,
    freezer: FrozenDateTimeFactory,
    options: dict[str, object],
) -> None:
    await set_up(hass, unit, options=options)
    await pass_time(hass, freezer, 31)
    assert not unit.writes


@pytest.mark.parametrize(
    ("off", "is_set"), [(-6, True), (-4, False), (0, False), (4, False), (6, True)]
)
async def test_clock_that_is_right_is_left_alone(
    hass: HomeAssistant,
    unit: Writable,
    entry: MockConfigEntry,
    freezer: FrozenDateTimeFactory,
    off: int,
    is_set: bool,
) -> None:
    set_clock(unit, dt_util.now() + timedelta(seconds=31 + off))
    await pass_time(hass, freezer, 31)
    assert bool(unit.writes) is is_set


async def test_sleeping_device_is_not_asked(
    hass: HomeAssistant,
    unit: Writable,
    entry: MockConfigEntry,
    freezer: FrozenDateTimeFactory,
    caplog: pytest.LogCaptureFixture,
) -> None:
    unit.fall_silent()
    await pass_time(hass, freezer, 11)
    assert not coordinator_of(entry).awake
    unit.answer()
    await pass_time(hass, freezer, 19.9)
    assert not unit.writes
    assert FAILED not in caplog.text


async def test_failure_is_logged_once_and_tried_again_the_next_day(
    hass: HomeAssistant,
    unit: Writable,
    entry: MockConfigEntry,
    freezer: FrozenDateTimeFactory,
    caplog: pytest.LogCaptureFixture,
) -> None:
    unit.after_write = lambda: set_clock(unit, datetime(2026, 4, 18))
    await pass_time(hass, freezer, 31)
    assert len(unit.writes) == 1
    assert caplog.text.count(FAILED) == 1
    for _ in range(5):
        await pass_time(hass, freezer, 60)
    assert len(unit.writes) == 1
    assert caplog.text.count(FAILED) == 1
    unit.after_write = None
    await pass_time(hass, freezer, timedelta(hours=24).total_seconds() - 300)
    assert len(unit.writes) == 2
    assert caplog.text.count(FAILED) == 1


async def test_clock_is_not_set_once_the_entry_is_unloaded(
    hass: HomeAssistant,
    unit: Writable,
    entry: MockConfigEntry,
    freezer: FrozenDateTimeFactory,
) -> None:
    await hass.config_entries.async_unload(entry.entry_id)
    await pass_time(hass, freezer, 31)
    assert not unit.writes


async def test_clock_is_set_once_a_day_after_a_reload(
    hass: HomeAssistant,
    unit: Writable,
    entry: MockConfigEntry,
    freezer: FrozenDateTimeFactory,
) -> None:
    await hass.config_entries.async_reload(entry.entry_id)
    unit.after_write = lambda: set_clock(unit, datetime(2026, 4, 18))
    await pass_time(hass, freezer, 31)
    assert len(unit.writes) == 1
