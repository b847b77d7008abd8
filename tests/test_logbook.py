"""Logbook: a line for each change that was sent to a device."""

from datetime import timedelta
import logging
from typing import Any

from modbus_connection import ModbusTimeoutError
import pytest
from pytest_homeassistant_custom_component.common import MockConfigEntry, MockUser
from pytest_homeassistant_custom_component.components.recorder.common import (
    async_wait_recording_done,
)

from custom_components.local_solar.const import DOMAIN
from custom_components.local_solar.logbook import MESSAGES
from custom_components.local_solar.write_gate import Outcome
from custom_components.local_solar.writing import EVENT_WRITE
from homeassistant.components.logbook.processor import EventProcessor
from homeassistant.components.recorder import get_instance
from homeassistant.core import Context, HomeAssistant
from homeassistant.setup import async_setup_component
from homeassistant.util import dt as dt_util

from .writing_helpers import (
    ACTIVE_POWER,
    Writable,
    act,
    act_as,
    ask,
    control_of,
    device_of,
    issues,
    refused,
    set_up_writable,
)

pytestmark = pytest.mark.usefixtures("settled")

POWER = {"register": "active_power_limit", "value": 80, "confirm": True}


@pytest.fixture(autouse=True)
def find_the_integration(request: pytest.FixtureRequest) -> None:
    """Start the recorder before Home Assistant, and let that find the integration."""
    if "hass" in request.fixturenames:
        logging.getLogger("sqlalchemy.engine").setLevel(logging.WARNING)
        request.getfixturevalue("recorder_mock")
        request.getfixturevalue("enable_custom_integrations")


@pytest.fixture
async def entry(hass: HomeAssistant, unit: Writable) -> MockConfigEntry:
    """Its entry, with writing switched on, and the logbook."""
    for component in ("logbook", "repairs"):
        assert await async_setup_component(hass, component, {})
    entry = await set_up_writable(hass, unit)
    await hass.async_block_till_done()
    return entry


async def lines(
    hass: HomeAssistant, device_ids: list[str] | None = None
) -> list[dict[str, Any]]:
    """Return what the logbook says of writes, perhaps on the page of a device."""
    await async_wait_recording_done(hass)
    now = dt_util.utcnow()
    processor = EventProcessor(hass, (EVENT_WRITE,), device_ids=device_ids)
    found = await get_instance(hass).async_add_executor_job(
        processor.get_events, now - timedelta(hours=1), now + timedelta(hours=1)
    )
    return [line for line in found if line.get("domain") == DOMAIN]


async def line(hass: HomeAssistant) -> dict[str, Any]:
    """Return the only line there is."""
    (found,) = await lines(hass)
    return found


def test_all_outcomes_that_are_told_have_a_line() -> None:
    assert MESSAGES.keys() == set(Outcome) - {Outcome.UNCHANGED}


async def test_line_names_device_setting_values_and_user(
    hass: HomeAssistant, entry: MockConfigEntry, hass_admin_user: MockUser
) -> None:
    context = Context(user_id=hass_admin_user.id)
    await act_as(hass, context, "set_register", device_of(hass, entry), **POWER)
    found = await line(hass)
    assert found["name"] == "Growatt MIN 6000TL-XH"
    assert found["message"] == (
        "Active power limit was changed from 100 % to 80 %,"
        f" asked for by {hass_admin_user.name} through local_solar.set_register"
    )
    assert found["context_user_id"] == hass_admin_user.id


async def test_line_is_on_the_page_of_the_device(
    hass: HomeAssistant, entry: MockConfigEntry
) -> None:
    device = device_of(hass, entry)
    battery = device_of(hass, entry, battery=True)
    await act(hass, "set_register", device, **POWER)
    assert len(await lines(hass, [device.id])) == 1
    assert not await lines(hass, [battery.id])


async def test_line_of_an_automation_names_the_action(
    hass: HomeAssistant, entry: MockConfigEntry
) -> None:
    await act(hass, "set_register", device_of(hass, entry), **POWER)
    found = await line(hass)
    assert found["message"] == (
        "Active power limit was changed from 100 % to 80 %,"
        " asked for by local_solar.set_register"
    )
    assert not found.get("context_user_id")


async def test_line_names_who_asked_and_that_it_was_confirmed_in_the_repairs(
    hass: HomeAssistant, entry: MockConfigEntry, hass_admin_user: MockUser
) -> None:
    context = Context(user_id=hass_admin_user.id)
    await ask(hass, entry, "active_power_limit", 80, context=context)
    (issue,) = issues(hass)
    manager = hass.data["repairs"]["flow_manager"]
    form = await manager.async_init(DOMAIN, context={"issue_id": issue.issue_id})
    await manager.async_configure(form["flow_id"], {})
    found = await line(hass)
    entity_id = control_of(hass, entry, "active_power_limit")
    assert found["message"] == (
        "Active power limit was changed from 100 % to 80 %,"
        f" asked for by {hass_admin_user.name} through {entity_id},"
        " confirmed through repairs"
    )
    assert found["context_user_id"] == hass_admin_user.id


async def test_line_of_a_slot_names_its_parts(
    hass: HomeAssistant, entry: MockConfigEntry
) -> None:
    device = device_of(hass, entry)
    await act(hass, "set_time_slot", device, slot=2, end="06:00", confirm=True)
    found = await line(hass)
    assert found["name"] == device_of(hass, entry, battery=True).name
    assert found["message"] == (
        "Time slot 2 (all of it) was changed from start 01:30, end 05:00, mode battery"
        " first, enabled off to start 01:30, end 06:00, mode battery first, enabled off,"
        " asked for by local_solar.set_time_slot"
    )


async def test_line_of_a_switch_says_on_and_off(
    hass: HomeAssistant, entry: MockConfigEntry
) -> None:
    data = {"register": "ac_charge_enable", "value": True, "confirm": True}
    await act(hass, "set_register", device_of(hass, entry), **data)
    found = await line(hass)
    assert found["message"].startswith(
        "Charge from the grid was changed from off to on,"
    )


def lose(unit: Writable) -> None:
    """Never get writes."""
    unit.fail_write(ACTIVE_POWER, ModbusTimeoutError("no answer within 3 s"))


def keep(unit: Writable) -> None:
    """Answer writes as if they had been done."""
    unit.keeps_old_values = True


def go_silent(unit: Writable) -> None:
    """Answer nothing any more once something was written."""
    unit.after_write = unit.fall_silent


def bend(unit: Writable) -> None:
    """Take another value."""
    unit.after_write = lambda: unit.holding.update({ACTIVE_POWER: 85})


@pytest.mark.parametrize(
    ("trouble", "message"),
    [
        (lose, "Active power limit was not changed to 80 %: still 100 %"),
        (keep, "Active power limit stayed 100 % although 80 % was accepted"),
        (
            bend,
            "Active power limit became 85 % instead of 100 %, though 80 % was sent",
        ),
        (
            go_silent,
            "Active power limit was 100 %; whether 80 % was taken is not known",
        ),
    ],
)
async def test_line_of_a_failed_change_says_what_is_known(
    hass: HomeAssistant,
    unit: Writable,
    entry: MockConfigEntry,
    trouble: Any,
    message: str,
) -> None:
    trouble(unit)
    await refused(act(hass, "set_register", device_of(hass, entry), **POWER))
    found = await line(hass)
    assert found["message"] == f"{message}, asked for by local_solar.set_register"


async def test_change_that_was_not_needed_has_no_line(
    hass: HomeAssistant, entry: MockConfigEntry
) -> None:
    data = {**POWER, "value": 100}
    await act(hass, "set_register", device_of(hass, entry), **data)
    assert not await lines(hass)
