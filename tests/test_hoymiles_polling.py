"""When a DTU is polled, what is said of one that does not answer, and letting go of it.

With the freezer, the clock of the event loop stands still as well: no answer is ever late.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator
from datetime import timedelta
from itertools import pairwise
import logging
from typing import Final
from unittest.mock import patch

from freezegun.api import FrozenDateTimeFactory
import pytest
from pytest_homeassistant_custom_component.common import (
    MockConfigEntry,
    async_fire_time_changed,
)

from custom_components.local_solar.const import DOMAIN
from custom_components.local_solar.coordinators.hoymiles import silent_dtu_issue
from homeassistant.config_entries import ConfigEntryState
from homeassistant.const import STATE_UNAVAILABLE, SUN_EVENT_SUNRISE, Platform
from homeassistant.core import HomeAssistant
from homeassistant.helpers import entity_registry as er, issue_registry as ir
from homeassistant.helpers.sun import get_astral_event_next
from homeassistant.helpers.translation import async_get_translations
from homeassistant.util import dt as dt_util
from homeassistant.util.async_ import get_scheduled_timer_handles
from simulators.hoymiles.faults import Fault

from .common import pass_time, setup_state
from .hoymiles_helpers import (
    INTEGRATED,
    STICK,
    Reached,
    coordinator_of,
    impatient,
    make_entry,
    reached,
    set_up,
)

DAY: Final = "2026-06-21 20:00:00+00:00"
"""The sun stands high where Home Assistant's tests are at home."""
NIGHT: Final = "2026-06-22 09:00:00+00:00"
BEFORE_SUNRISE: Final = "2026-06-22 12:30:00+00:00"
BEFORE_SUNSET: Final = "2026-06-22 02:30:00+00:00"

POWER: Final = "dtu_414393100001_ac_power"

NORMAL_AT_NIGHT: Final = "This is normal at night"

pytestmark = pytest.mark.usefixtures("socket_enabled")


@pytest.fixture
async def integrated(socket_enabled: None) -> AsyncIterator[Reached]:
    """An inverter that is its own DTU."""
    async with reached(INTEGRATED) as there:
        yield there


@pytest.fixture
async def stick(socket_enabled: None) -> AsyncIterator[Reached]:
    """A DTU with a supply of its own."""
    async with reached(STICK) as there:
        yield there


def fall_silent(there: Reached) -> None:
    """Let a DTU close each connection without an answer."""
    there.dtu.faults.append(Fault.parse("evict"))


def answer(there: Reached) -> None:
    """Let it answer again."""
    there.dtu.faults.clear()


async def live_on(
    hass: HomeAssistant,
    freezer: FrozenDateTimeFactory,
    there: Reached,
    seconds: float,
) -> None:
    """Let time pass for Home Assistant and the DTU alike; it is polled once, if due."""
    there.dtu.advance(seconds)
    await pass_time(hass, freezer, seconds)


def said(
    caplog: pytest.LogCaptureFixture, level: int = logging.INFO
) -> list[tuple[str, str]]:
    """Return levels and texts of what the integration has logged."""
    return [
        (record.levelname, record.getMessage())
        for record in caplog.records
        if record.name == "custom_components.local_solar" and record.levelno >= level
    ]


def issue_of(hass: HomeAssistant, entry: MockConfigEntry) -> ir.IssueEntry | None:
    """Return the issue that a DTU does not answer."""
    return ir.async_get(hass).async_get_issue(DOMAIN, silent_dtu_issue(entry))


def state_of(hass: HomeAssistant, unique_id: str) -> str:
    """Return the state of an entity."""
    registry = er.async_get(hass)
    for domain in ("sensor", "binary_sensor"):
        if found := registry.async_get_entity_id(domain, DOMAIN, unique_id):
            state = hass.states.get(found)
            assert state is not None
            return state.state
    raise KeyError(unique_id)


# -- silence --------------------------------------------------------------------------


async def test_night_of_an_integrated_dtu_is_nothing_to_worry_about(
    hass: HomeAssistant,
    integrated: Reached,
    freezer: FrozenDateTimeFactory,
    caplog: pytest.LogCaptureFixture,
) -> None:
    freezer.move_to(DAY)
    entry = await set_up(hass, integrated)
    freezer.move_to(NIGHT)
    fall_silent(integrated)
    caplog.clear()
    for _ in range(10):
        await pass_time(hass, freezer, 301)
    ((level, text),) = said(caplog)
    assert level == "INFO"
    assert NORMAL_AT_NIGHT in text
    assert issue_of(hass, entry) is None

    # In the morning it has an hour to wake up, and is missed half an hour later.
    freezer.move_to(BEFORE_SUNRISE)
    sunrise = get_astral_event_next(hass, SUN_EVENT_SUNRISE)
    while issue_of(hass, entry) is None:
        await pass_time(hass, freezer, 301)
    missed_at = dt_util.utcnow() - sunrise
    assert timedelta(minutes=80) < missed_at < timedelta(minutes=100)
    answer(integrated)
    await live_on(hass, freezer, integrated, 400)
    assert issue_of(hass, entry) is None
    assert said(caplog)[-1] == ("INFO", "Hoymiles answers again")
    assert len(said(caplog)) == 2


async def test_evening_of_an_integrated_dtu_begins_before_sunset(
    hass: HomeAssistant,
    integrated: Reached,
    freezer: FrozenDateTimeFactory,
    caplog: pytest.LogCaptureFixture,
) -> None:
    freezer.move_to(BEFORE_SUNSET)
    entry = await set_up(hass, integrated)
    caplog.clear()
    fall_silent(integrated)
    for _ in range(12):
        await pass_time(hass, freezer, 301)
    ((level, text),) = said(caplog)
    assert level == "INFO"
    assert NORMAL_AT_NIGHT in text
    assert issue_of(hass, entry) is None


async def test_connection_that_another_program_takes_once_is_not_noticed(
    hass: HomeAssistant, integrated: Reached, caplog: pytest.LogCaptureFixture
) -> None:
    entry = await set_up(hass, integrated)
    coordinator = coordinator_of(entry)
    power = state_of(hass, POWER)
    caplog.clear()
    for _ in range(2):
        fall_silent(integrated)
        await coordinator.async_refresh()
        assert coordinator.awake
        assert state_of(hass, POWER) == power
        answer(integrated)
        await coordinator.async_refresh()
    assert not said(caplog)

    fall_silent(integrated)
    await coordinator.async_refresh()
    await coordinator.async_refresh()
    assert not coordinator.awake
    assert state_of(hass, POWER) == STATE_UNAVAILABLE
    assert len(said(caplog)) == 1


async def test_values_of_yesterday_do_not_come_back_with_a_dtu_that_closes(
    hass: HomeAssistant, integrated: Reached
) -> None:
    """A DTU that wakes up may close its first connections: then nothing is known of it."""
    entry = await set_up(hass, integrated)
    coordinator = coordinator_of(entry)
    port = coordinator.client.port
    coordinator.client.port = 1  # nobody listens there
    await coordinator.async_refresh()
    assert not coordinator.awake
    coordinator.client.port = port
    fall_silent(integrated)
    await coordinator.async_refresh()
    assert not coordinator.awake
    assert state_of(hass, POWER) == STATE_UNAVAILABLE
    assert state_of(hass, "141293100001_connected") == "off"


@pytest.mark.parametrize(
    ("inventory", "when"),
    [(INTEGRATED, DAY), (STICK, DAY), (STICK, NIGHT)],
)
async def test_dtu_that_should_answer_is_warned_of_and_becomes_an_issue(
    hass: HomeAssistant,
    freezer: FrozenDateTimeFactory,
    caplog: pytest.LogCaptureFixture,
    inventory: str,
    when: str,
) -> None:
    async with reached(inventory) as there:
        freezer.move_to(when)
        entry = await set_up(hass, there)
        caplog.clear()
        fall_silent(there)
        for _ in range(2):
            await pass_time(hass, freezer, 100)
        ((level, text),) = said(caplog)
        assert level == "WARNING"
        assert text.startswith("Hoymiles does not answer (it closed the connection")
        assert NORMAL_AT_NIGHT not in text
        for _ in range(4):
            await pass_time(hass, freezer, 301)
            assert issue_of(hass, entry) is None
        for _ in range(3):
            await pass_time(hass, freezer, 301)
        issue = issue_of(hass, entry)
        assert issue is not None
        assert issue.severity is ir.IssueSeverity.WARNING
        assert not issue.is_fixable
        texts = await async_get_translations(hass, "en", "issues", [DOMAIN])
        key = f"component.{DOMAIN}.issues.{issue.translation_key}"
        title, description = (
            texts[f"{key}.{part}"].format(**(issue.translation_placeholders or {}))
            for part in ("title", "description")
        )
        assert "Hoymiles" in title
        assert there.host in description
        assert "it closed the connection" in description
        # It was said once.
        assert len(said(caplog)) == 1

        answer(there)
        await live_on(hass, freezer, there, 400)
        assert coordinator_of(entry).awake
        assert issue_of(hass, entry) is None
        # The half hour begins anew.
        fall_silent(there)
        for _ in range(2):
            await pass_time(hass, freezer, 301)
        assert issue_of(hass, entry) is None


async def test_dtu_that_is_silent_from_the_start_is_warned_of_too(
    hass: HomeAssistant,
    stick: Reached,
    freezer: FrozenDateTimeFactory,
    caplog: pytest.LogCaptureFixture,
) -> None:
    entry = await make_entry(stick)
    freezer.move_to(DAY)
    fall_silent(stick)
    entry.add_to_hass(hass)
    await hass.config_entries.async_setup(entry.entry_id)
    await hass.async_block_till_done()
    assert entry.state is ConfigEntryState.LOADED
    assert [level for level, _ in said(caplog)] == ["WARNING"]
    assert state_of(hass, "dtu_413093100010_connected") == "off"
    assert state_of(hass, "dtu_413093100010_ac_power") == STATE_UNAVAILABLE
    for _ in range(8):
        await pass_time(hass, freezer, 301)
    assert issue_of(hass, entry) is not None
    # The issue goes with the entry.
    await hass.config_entries.async_remove(entry.entry_id)
    assert issue_of(hass, entry) is None


# -- another DTU ----------------------------------------------------------------------


ANOTHER: Final = (
    "Another DTU answers at 127.0.0.1: 413093100010 instead of 414393100001."
    " Correct the address of this entry."
)


async def test_another_dtu_keeps_an_entry_from_being_set_up(
    hass: HomeAssistant, integrated: Reached, stick: Reached
) -> None:
    entry = await make_entry(integrated)
    entry.add_to_hass(hass)
    data = {**entry.data, "port": stick.port}
    hass.config_entries.async_update_entry(entry, data=data)
    await hass.config_entries.async_setup(entry.entry_id)
    assert setup_state(entry) is ConfigEntryState.SETUP_RETRY
    texts = await async_get_translations(hass, "en", "exceptions", [DOMAIN])
    key = entry.error_reason_translation_key
    assert (
        texts[f"component.{DOMAIN}.exceptions.{key}.message"].format(
            **(entry.error_reason_translation_placeholders or {})
        )
        == ANOTHER
    )
    # Nothing of what it says is taken in.
    assert dict(entry.data) == data
    assert not hass.states.async_all()

    hass.config_entries.async_update_entry(
        entry, data={**data, "port": integrated.port}
    )
    await hass.config_entries.async_reload(entry.entry_id)
    assert setup_state(entry) is ConfigEntryState.LOADED


@pytest.mark.parametrize("encrypt", [False, True], ids=["plain", "encrypted"])
async def test_another_dtu_in_between_shows_nothing_of_its_own(
    hass: HomeAssistant,
    stick: Reached,
    caplog: pytest.LogCaptureFixture,
    encrypt: bool,
) -> None:
    async with reached(INTEGRATED, encrypt=encrypt) as there:
        entry = await set_up(hass, there)
        coordinator = coordinator_of(entry)
        data = dict(entry.data)
        power = state_of(hass, POWER)
        caplog.clear()
        with impatient():
            coordinator.client.port = stick.port
            for _ in range(2):
                await coordinator.async_refresh()
        assert not coordinator.last_update_success
        assert state_of(hass, POWER) == STATE_UNAVAILABLE
        assert dict(entry.data) == data
        ((level, text),) = said(caplog)
        assert level == "ERROR"
        assert ANOTHER.rstrip(".") in text
        assert issue_of(hass, entry) is None

        coordinator.client.port = there.port
        await coordinator.async_refresh()
        assert state_of(hass, POWER) == power
        assert entry.state is ConfigEntryState.LOADED


# -- when it is polled ----------------------------------------------------------------


@pytest.fixture
def few_entities() -> Iterator[None]:
    """Set up one platform: nobody looks at values."""
    with patch("custom_components.local_solar.PLATFORMS", (Platform.BINARY_SENSOR,)):
        yield


def seconds_until_poll(hass: HomeAssistant) -> float:
    """Return when the next poll starts."""
    (left,) = (
        handle.when() - hass.loop.time()
        for handle in get_scheduled_timer_handles(hass.loop)
        if not handle.cancelled() and "refresh_interval" in str(handle)
    )
    return left


def assert_leaves_free(due: float, minutes: int) -> None:
    """Compare the time of a poll with the window around a report, to the second."""
    into = due % (60 * minutes)
    assert 40 - 1 <= into <= 60 * minutes - 35 + 1, into


async def poll_times(
    hass: HomeAssistant,
    freezer: FrozenDateTimeFactory,
    there: Reached,
    hours: float = 1.0,
) -> list[float]:
    """Return when polls start, in seconds of the epoch, for so many hours."""
    times: list[float] = []
    begin = dt_util.utcnow().timestamp()
    while (now := dt_util.utcnow().timestamp()) - begin < 3600 * hours:
        left = seconds_until_poll(hass)
        times.append(now + left)
        await live_on(hass, freezer, there, left)
    return times


@pytest.mark.usefixtures("few_entities")
@pytest.mark.parametrize("interval", [35, 60, 100, 300])
async def test_polls_leave_the_time_around_reports_to_the_cloud(
    hass: HomeAssistant,
    integrated: Reached,
    freezer: FrozenDateTimeFactory,
    interval: int,
) -> None:
    freezer.move_to(DAY)
    await set_up(hass, integrated, poll_interval=interval)
    times = await poll_times(hass, freezer, integrated, max(0.5, interval / 200))
    for due in times:
        assert_leaves_free(due, 5)
    # It is not polled less often than it must.
    gaps = [later - earlier for earlier, later in pairwise(times)]
    assert min(gaps) >= interval - 1.5
    assert max(gaps) <= interval + 75 + 1.5
    assert len([gap for gap in gaps if gap > interval + 1.5]) <= len(gaps) / 2


@pytest.mark.usefixtures("few_entities")
async def test_dtu_that_reports_every_15_minutes_is_left_alone_every_15_minutes(
    hass: HomeAssistant, freezer: FrozenDateTimeFactory
) -> None:
    freezer.move_to(DAY)
    async with reached(STICK, upload_interval=15) as there:
        await set_up(hass, there, poll_interval=100)
        times = await poll_times(hass, freezer, there)
    for due in times:
        assert_leaves_free(due, 15)
    # Not so at the other multiples of 5 minutes.
    assert [due for due in times if due % 300 < 40 or due % 300 > 265]
    assert len(times) >= 33


@pytest.mark.usefixtures("few_entities")
async def test_dtu_that_does_not_say_when_it_reports_is_left_alone_every_5_minutes(
    hass: HomeAssistant, freezer: FrozenDateTimeFactory
) -> None:
    freezer.move_to(DAY)
    async with reached(STICK, upload_interval=0) as there:
        await set_up(hass, there)
        for due in await poll_times(hass, freezer, there, 0.25):
            assert_leaves_free(due, 5)


@pytest.mark.usefixtures("few_entities")
async def test_leaving_the_cloud_its_time_can_be_switched_off(
    hass: HomeAssistant, integrated: Reached, freezer: FrozenDateTimeFactory
) -> None:
    freezer.move_to(DAY)
    await set_up(hass, integrated, poll_interval=35, leave_cloud_free=False)
    times = await poll_times(hass, freezer, integrated, 0.25)
    gaps = [later - earlier for earlier, later in pairwise(times)]
    assert max(gaps) <= 36
    assert [due for due in times if due % 300 < 40 or due % 300 > 265]


@pytest.mark.usefixtures("few_entities")
async def test_dtu_that_fails_is_left_alone_at_these_times_too(
    hass: HomeAssistant, integrated: Reached, freezer: FrozenDateTimeFactory
) -> None:
    """It may report to the cloud although another program keeps us from asking it."""
    freezer.move_to(DAY)
    await set_up(hass, integrated)
    fall_silent(integrated)
    for due in await poll_times(hass, freezer, integrated):
        assert_leaves_free(due, 5)


@pytest.mark.usefixtures("few_entities")
async def test_seldom_polls_are_as_seldom_as_the_owner_wants(
    hass: HomeAssistant, integrated: Reached, freezer: FrozenDateTimeFactory
) -> None:
    freezer.move_to(DAY)
    await set_up(hass, integrated, poll_interval=600, leave_cloud_free=False)
    assert seconds_until_poll(hass) == pytest.approx(600, abs=1.5)
    await live_on(hass, freezer, integrated, 601)
    assert seconds_until_poll(hass) == pytest.approx(600, abs=1.5)


# -- letting go -----------------------------------------------------------------------


def is_occupied(there: Reached) -> bool:
    """Return whether somebody is connected to a DTU now."""
    return there.dtu.is_client_connected


async def test_unloading_stops_asking_and_leaves_nothing_behind(
    hass: HomeAssistant, integrated: Reached, freezer: FrozenDateTimeFactory
) -> None:
    freezer.move_to(DAY)
    entry = await make_entry(integrated)
    entry.add_to_hass(hass)
    before = asyncio.all_tasks()
    await hass.config_entries.async_setup(entry.entry_id)
    await hass.async_block_till_done()
    coordinator = coordinator_of(entry)
    assert seconds_until_poll(hass)
    connections = integrated.dtu.counters.connections
    assert await hass.config_entries.async_unload(entry.entry_id)
    await hass.async_block_till_done(wait_background_tasks=True)
    assert setup_state(entry) is ConfigEntryState.NOT_LOADED
    assert not [
        handle
        for handle in get_scheduled_timer_handles(hass.loop)
        if not handle.cancelled() and "refresh_interval" in str(handle)
    ]
    assert not list(coordinator.async_contexts())
    await pass_time(hass, freezer, 3600)
    assert integrated.dtu.counters.connections == connections
    assert not is_occupied(integrated)
    assert {task for task in asyncio.all_tasks() - before if not task.done()} == set()
    assert state_of(hass, POWER) == STATE_UNAVAILABLE


async def test_unloading_ends_a_poll_that_is_under_way(
    hass: HomeAssistant, integrated: Reached, freezer: FrozenDateTimeFactory
) -> None:
    freezer.move_to(DAY)
    entry = await set_up(hass, integrated)
    dtu = integrated.dtu
    dtu.faults.append(Fault.parse("silent"))
    asked = len(dtu.requests)
    freezer.tick(61)
    async_fire_time_changed(hass)
    while len(dtu.requests) == asked:
        await asyncio.sleep(0)
    assert is_occupied(integrated)
    # An answer never comes, as the clock stands still.
    assert await hass.config_entries.async_unload(entry.entry_id)
    for _ in range(1000):
        await asyncio.sleep(0)
    assert not is_occupied(integrated)
    assert setup_state(entry) is ConfigEntryState.NOT_LOADED
