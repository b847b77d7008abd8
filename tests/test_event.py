"""Events: faults and warnings that come and go."""

from collections.abc import Callable, Iterator
from unittest.mock import patch

from freezegun.api import FrozenDateTimeFactory
from modbus_connection import ModbusTimeoutError
import pytest
from pytest_homeassistant_custom_component.common import snapshot_platform
from syrupy.assertion import SnapshotAssertion

from homeassistant.components.event import ATTR_EVENT_TYPE
from homeassistant.const import STATE_UNAVAILABLE, STATE_UNKNOWN, Platform
from homeassistant.core import Event, EventStateChangedData, HomeAssistant, callback
from homeassistant.helpers import entity_registry as er
from homeassistant.helpers.event import async_track_state_change_event

from .common import (
    HOST,
    TL_X,
    TL_XH,
    Link,
    Network,
    Unit,
    entity_id_of,
    pass_time,
    set_up,
    state_of,
)

FAULT = 3105
FAULT_SUBCODE = 3107
WARNING = 3106
WARNING_SUBCODE = 3108
NO_GRID = 302
METER = 401

type Fired = tuple[str, int | None]


@pytest.fixture
def fired(hass: HomeAssistant) -> Callable[[str], list[Fired]]:
    """Note what an event entity fires: type and code."""

    def watch(entity_id: str) -> list[Fired]:
        seen: list[Fired] = []

        @callback
        def note(event: Event[EventStateChangedData]) -> None:
            old, new = event.data["old_state"], event.data["new_state"]
            assert old is not None and new is not None
            # A change of availability alone is no event.
            if new.state not in (STATE_UNAVAILABLE, STATE_UNKNOWN, old.state) and (
                not seen or new.state != times[-1]
            ):
                times.append(new.state)
                attributes = new.attributes
                seen.append((attributes[ATTR_EVENT_TYPE], attributes.get("code")))

        times = [hass.states.get(entity_id).state]  # type: ignore[union-attr]
        async_track_state_change_event(hass, entity_id, note)
        return seen

    return watch


@pytest.fixture
def only_events() -> Iterator[None]:
    """Set up no other platform."""
    with patch("custom_components.local_solar.PLATFORMS", (Platform.EVENT,)):
        yield


@pytest.mark.usefixtures("only_events")
@pytest.mark.parametrize("dataset", [TL_XH, TL_X])
async def test_all_events(
    hass: HomeAssistant,
    network: Network,
    entity_registry: er.EntityRegistry,
    snapshot: SnapshotAssertion,
    dataset: str,
) -> None:
    link = network.add_tcp(HOST, {1: dataset})
    entry = await set_up(hass, link.units[1])
    await snapshot_platform(hass, entity_registry, snapshot, entry.entry_id)


async def test_alarm_that_is_there_at_start_is_not_fired(
    hass: HomeAssistant, link: Link, freezer: FrozenDateTimeFactory
) -> None:
    unit = link.units[1]
    unit.input[FAULT] = NO_GRID
    entry = await set_up(hass, unit)
    assert state_of(hass, entry, "alarms").state == STATE_UNKNOWN
    await pass_time(hass, freezer, 10)
    assert state_of(hass, entry, "alarms").state == STATE_UNKNOWN


async def test_new_fault_is_fired_with_code_and_text(
    hass: HomeAssistant, link: Link, freezer: FrozenDateTimeFactory
) -> None:
    unit = link.units[1]
    entry = await set_up(hass, unit)
    unit.input.update({FAULT: NO_GRID, FAULT_SUBCODE: 7})
    await pass_time(hass, freezer, 10)
    attributes = state_of(hass, entry, "alarms").attributes
    assert attributes[ATTR_EVENT_TYPE] == "fault"
    assert attributes["code"] == NO_GRID
    assert attributes["subcode"] == 7
    assert attributes["text"] == "Grid missing"


async def test_alarms_come_and_go(
    hass: HomeAssistant,
    link: Link,
    freezer: FrozenDateTimeFactory,
    fired: Callable[[str], list[Fired]],
) -> None:
    unit = link.units[1]
    entry = await set_up(hass, unit)
    seen = fired(entity_id_of(hass, entry, "alarms"))

    async def poll(**words: int) -> list[Fired]:
        seen.clear()
        unit.input.update({FAULT: words.get("fault", 0)})
        unit.input.update({WARNING: words.get("warning", 0)})
        await pass_time(hass, freezer, 10)
        return seen.copy()

    assert await poll() == []
    assert await poll(warning=METER) == [("warning", METER)]
    assert await poll(warning=METER) == []
    assert await poll(warning=METER, fault=NO_GRID) == [("fault", NO_GRID)]
    assert await poll(fault=NO_GRID) == []  # there is one left
    assert await poll() == [("cleared", None)]
    assert await poll() == []
    assert (await poll(fault=300, warning=300))[0] == ("fault", 300)
    # One alarm follows another.
    assert await poll(warning=301) == [("warning", 301)]


async def test_two_alarms_at_once_are_both_fired(
    hass: HomeAssistant, link: Link, freezer: FrozenDateTimeFactory
) -> None:
    unit = link.units[1]
    entry = await set_up(hass, unit)
    entity_id = entity_id_of(hass, entry, "alarms")
    codes: list[int] = []

    @callback
    def note(event: Event[EventStateChangedData]) -> None:
        assert event.data["new_state"] is not None
        codes.append(event.data["new_state"].attributes["code"])

    async_track_state_change_event(hass, entity_id, note)
    unit.input.update({FAULT: NO_GRID, WARNING: METER})
    await pass_time(hass, freezer, 10)
    assert set(codes) == {NO_GRID, METER}


async def test_alarm_of_an_unknown_code_is_fired_by_its_number(
    hass: HomeAssistant, link: Link, freezer: FrozenDateTimeFactory
) -> None:
    unit = link.units[1]
    entry = await set_up(hass, unit)
    unit.input[FAULT] = 999
    await pass_time(hass, freezer, 10)
    assert state_of(hass, entry, "alarms").attributes["text"] == "Unknown fault 999"


def _silent(unit: Unit) -> None:
    unit.fall_silent()


def _block_fails(unit: Unit) -> None:
    unit.fail_read(FAULT, ModbusTimeoutError(), register_type="input")


@pytest.mark.parametrize("trouble", [_silent, _block_fails])
async def test_alarm_does_not_come_anew_after_its_read_failed(
    hass: HomeAssistant,
    link: Link,
    freezer: FrozenDateTimeFactory,
    fired: Callable[[str], list[Fired]],
    trouble: Callable[[Unit], None],
) -> None:
    unit = link.units[1]
    entry = await set_up(hass, unit)
    seen = fired(entity_id_of(hass, entry, "alarms"))
    unit.input[FAULT] = NO_GRID
    await pass_time(hass, freezer, 10)
    assert seen == [("fault", NO_GRID)]

    trouble(unit)
    await pass_time(hass, freezer, 10)
    assert state_of(hass, entry, "alarms").state == STATE_UNAVAILABLE
    unit.answer()
    unit.fail_read(FAULT, None, register_type="input")
    await pass_time(hass, freezer, 60)
    assert state_of(hass, entry, "alarms").state != STATE_UNAVAILABLE
    assert seen == [("fault", NO_GRID)]

    unit.input[FAULT] = 0
    await pass_time(hass, freezer, 10)
    assert seen == [("fault", NO_GRID), ("cleared", None)]


async def test_alarm_that_went_over_night_is_cleared_in_the_morning(
    hass: HomeAssistant,
    link: Link,
    freezer: FrozenDateTimeFactory,
    fired: Callable[[str], list[Fired]],
) -> None:
    unit = link.units[1]
    entry = await set_up(hass, unit)
    seen = fired(entity_id_of(hass, entry, "alarms"))
    unit.input[FAULT] = NO_GRID
    await pass_time(hass, freezer, 10)
    unit.fall_silent()
    await pass_time(hass, freezer, 10)
    unit.answer()
    unit.input[FAULT] = 0
    await pass_time(hass, freezer, 60)
    assert seen[-1] == ("cleared", None)


async def test_alarm_that_comes_while_home_assistant_starts_at_night_is_not_new(
    hass: HomeAssistant, link: Link, freezer: FrozenDateTimeFactory
) -> None:
    unit = link.units[1]
    entry = await set_up(hass, unit)
    unit.fall_silent()
    await hass.config_entries.async_reload(entry.entry_id)
    unit.answer()
    unit.input[FAULT] = NO_GRID
    await pass_time(hass, freezer, 60)
    # Nobody knows when it came: it is taken as it is.
    assert state_of(hass, entry, "alarms").state == STATE_UNKNOWN
    unit.input[FAULT] = 0
    await pass_time(hass, freezer, 10)
    assert state_of(hass, entry, "alarms").attributes[ATTR_EVENT_TYPE] == "cleared"
