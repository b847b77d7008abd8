"""Repairs: the question whether a setting shall be changed, and its Submit button."""

from datetime import time
from http import HTTPStatus
from typing import Any

from aiohttp.test_utils import TestClient
from freezegun.api import FrozenDateTimeFactory
import pytest
from pytest_homeassistant_custom_component.common import (
    MockConfigEntry,
    MockUser,
    async_capture_events,
)
from pytest_homeassistant_custom_component.typing import (
    ClientSessionGenerator,
    WebSocketGenerator,
)

from custom_components.local_solar.const import DOMAIN
from custom_components.local_solar.writing import EVENT_WRITE
from homeassistant.core import Context, HomeAssistant
from homeassistant.helpers import issue_registry as ir
from homeassistant.helpers.translation import async_get_translations
from homeassistant.setup import async_setup_component

from .common import pass_time
from .writing_helpers import (
    AC_CHARGE,
    ACTIVE_POWER,
    CHARGE_STOP_SOC,
    SLOT_1,
    SLOT_2,
    Writable,
    act,
    ask,
    control_of,
    device_of,
    enable,
    issues,
    move,
    refused,
    set_up_writable,
    shown,
    texts_of,
)

pytestmark = pytest.mark.usefixtures("settled")

type Client = TestClient[Any, Any]
type Answer = dict[str, Any]


@pytest.fixture
async def entry(hass: HomeAssistant, unit: Writable) -> MockConfigEntry:
    """Its entry, with writing switched on."""
    assert await async_setup_component(hass, "repairs", {})
    return await set_up_writable(hass, unit)


@pytest.fixture
async def client(
    hass: HomeAssistant, entry: MockConfigEntry, hass_client: ClientSessionGenerator
) -> Client:
    """The browser of an administrator."""
    client: Client = await hass_client()
    return client


async def open_issue(client: Client, issue: ir.IssueEntry) -> Answer:
    """Click on an issue in the repairs."""
    response = await client.post(
        "/api/repairs/issues/fix",
        json={"handler": DOMAIN, "issue_id": issue.issue_id},
    )
    assert response.status == HTTPStatus.OK
    answer: Answer = await response.json()
    return answer


async def submit(client: Client, form: Answer) -> Answer:
    """Click on Submit."""
    response = await client.post(f"/api/repairs/issues/fix/{form['flow_id']}", json={})
    assert response.status == HTTPStatus.OK
    answer: Answer = await response.json()
    return answer


async def confirm_in_repairs(hass: HomeAssistant, client: Client) -> Answer:
    """Open the only issue there is, and submit it."""
    (issue,) = issues(hass)
    return await submit(client, await open_issue(client, issue))


# -- the question ---------------------------------------------------------------------


async def test_change_of_a_control_is_listed_in_the_repairs(
    hass: HomeAssistant, entry: MockConfigEntry, hass_ws_client: WebSocketGenerator
) -> None:
    await ask(hass, entry, "active_power_limit", 80)
    websocket = await hass_ws_client(hass)
    await websocket.send_json_auto_id({"type": "repairs/list_issues"})
    answer = await websocket.receive_json()
    (issue,) = answer["result"]["issues"]
    assert issue["domain"] == DOMAIN
    assert issue["is_fixable"] is True
    assert issue["severity"] == "warning"
    assert issue["translation_key"] == "confirm_write"
    assert issue["translation_placeholders"] == {
        "device": "Growatt MIN 6000TL-XH",
        "setting": "Active power limit",
        "before": "100 %",
        "after": "80 %",
        "asked": control_of(hass, entry, "active_power_limit"),
    }


@pytest.mark.parametrize(
    ("key", "value", "holding", "text", "part"),
    [
        ("active_power_limit", 80, {}, "confirm_write", ""),
        ("active_power_limit", 80, {2: 1}, "confirm_write_in_flash", "wears out"),
        ("charge_stop_soc", 90, {}, "confirm_write_in_flash", "wears out"),
        (
            "tou2_enabled",
            True,
            {SLOT_1: 0},
            "confirm_write_slot_without_grid_charge",
            "PV only",
        ),
        (
            "tou2_enabled",
            True,
            {SLOT_1: 0, AC_CHARGE: 1},
            "confirm_write_in_flash",
            "wears out",
        ),
        ("sync_clock", None, {}, "confirm_write", ""),
    ],
)
async def test_question_says_what_to_know(
    hass: HomeAssistant,
    unit: Writable,
    entry: MockConfigEntry,
    client: Client,
    key: str,
    value: object,
    holding: dict[int, int],
    text: str,
    part: str,
) -> None:
    unit.holding.update(holding)
    await ask(hass, entry, key, value)
    (issue,) = issues(hass)
    assert issue.translation_key == text
    form = await open_issue(client, issue)
    assert (form["type"], form["step_id"]) == ("form", "confirm")
    assert form["description_placeholders"] == texts_of(issue)
    texts = await async_get_translations(hass, "en", "issues", {DOMAIN})
    prefix = f"component.{DOMAIN}.issues.{text}"
    description = texts[f"{prefix}.fix_flow.step.confirm.description"]
    shown_text = description.format(**form["description_placeholders"])
    assert texts_of(issue)["setting"] in shown_text
    assert part in shown_text
    assert texts[f"{prefix}.title"].format(**texts_of(issue))


# -- Submit ---------------------------------------------------------------------------


async def test_opening_the_question_writes_nothing(
    hass: HomeAssistant, unit: Writable, entry: MockConfigEntry, client: Client
) -> None:
    await ask(hass, entry, "active_power_limit", 80)
    (issue,) = issues(hass)
    unit.taken_requests()
    form = await open_issue(client, issue)
    await client.get(f"/api/repairs/issues/fix/{form['flow_id']}")
    await client.delete(f"/api/repairs/issues/fix/{form['flow_id']}")
    assert unit.taken_requests() == 0
    assert len(issues(hass)) == 1


@pytest.mark.parametrize(
    ("key", "value", "written", "state"),
    [
        ("active_power_limit", 80, (ACTIVE_POWER, [80]), "80"),
        ("charge_stop_soc", 90, (CHARGE_STOP_SOC, [90]), "90"),
        ("ac_charge_enable", True, (AC_CHARGE, [1]), "on"),
        ("tou2_enabled", True, (SLOT_2, [0xA11E, 0x0500]), "on"),
    ],
)
async def test_submit_writes_and_closes_the_question(
    hass: HomeAssistant,
    unit: Writable,
    entry: MockConfigEntry,
    client: Client,
    key: str,
    value: object,
    written: tuple[int, list[int]],
    state: str,
) -> None:
    unit.holding[SLOT_1] = 0
    await ask(hass, entry, key, value)
    answer = await confirm_in_repairs(hass, client)
    assert answer["type"] == "create_entry"
    assert unit.written == [written]
    assert shown(hass, entry, key) == state
    assert not issues(hass)


async def test_only_administrators_can_submit(
    hass: HomeAssistant,
    unit: Writable,
    entry: MockConfigEntry,
    hass_client: ClientSessionGenerator,
    hass_read_only_access_token: str,
) -> None:
    await ask(hass, entry, "active_power_limit", 80)
    (issue,) = issues(hass)
    browser = await hass_client(hass_read_only_access_token)
    response = await browser.post(
        "/api/repairs/issues/fix",
        json={"handler": DOMAIN, "issue_id": issue.issue_id},
    )
    assert response.status == HTTPStatus.UNAUTHORIZED
    assert not unit.writes


async def test_submit_is_told_as_the_wish_of_who_asked(
    hass: HomeAssistant,
    unit: Writable,
    entry: MockConfigEntry,
    client: Client,
    hass_admin_user: MockUser,
) -> None:
    events = async_capture_events(hass, EVENT_WRITE)
    context = Context(user_id=hass_admin_user.id)
    await ask(hass, entry, "active_power_limit", 80, context=context)
    await confirm_in_repairs(hass, client)
    (event,) = events
    assert event.context is context
    assert event.data["asked_by"] == hass_admin_user.name
    assert event.data["asked_through"] == control_of(hass, entry, "active_power_limit")
    assert event.data["confirmed_by"] == hass_admin_user.name
    assert event.data["confirmed_through"] == "repairs"


async def test_failure_is_shown_in_words(
    hass: HomeAssistant, unit: Writable, entry: MockConfigEntry, client: Client
) -> None:
    await ask(hass, entry, "active_power_limit", 80)
    unit.keeps_old_values = True
    answer = await confirm_in_repairs(hass, client)
    assert (answer["type"], answer["reason"]) == ("abort", "not_done")
    assert "still held 100 %" in answer["description_placeholders"]["error"]
    assert not issues(hass)


async def test_command_that_the_device_does_not_show_is_not_called_done(
    hass: HomeAssistant, unit: Writable, entry: MockConfigEntry, client: Client
) -> None:
    unit.keeps_old_values = True
    await enable(hass, entry, "on_off")
    await ask(hass, entry, "on_off", "inverter_off")
    answer = await confirm_in_repairs(hass, client)
    assert (answer["type"], answer["reason"]) == ("abort", "not_shown")
    assert len(unit.writes) == 1
    assert not issues(hass)


async def test_value_that_changed_meanwhile_is_left_alone(
    hass: HomeAssistant, unit: Writable, entry: MockConfigEntry, client: Client
) -> None:
    await ask(hass, entry, "active_power_limit", 80)
    unit.holding[ACTIVE_POWER] = 60
    answer = await confirm_in_repairs(hass, client)
    assert answer["reason"] == "not_done"
    assert "60 %" in answer["description_placeholders"]["error"]
    assert not unit.writes
    assert not issues(hass)


async def test_other_device_is_not_written_to(
    hass: HomeAssistant, unit: Writable, entry: MockConfigEntry, client: Client
) -> None:
    await ask(hass, entry, "active_power_limit", 80)
    unit.set_serial_number("BBB0000002")
    answer = await confirm_in_repairs(hass, client)
    assert answer["reason"] == "not_done"
    assert "BBB0000002" in answer["description_placeholders"]["error"]
    assert not unit.writes
    await hass.async_block_till_done()
    assert [issue.translation_key for issue in issues(hass)] == ["wrong_device"]


async def test_question_that_was_open_when_the_entry_went_is_not_carried_out(
    hass: HomeAssistant, unit: Writable, entry: MockConfigEntry, client: Client
) -> None:
    await ask(hass, entry, "active_power_limit", 80)
    form = await open_issue(client, issues(hass)[0])
    await hass.config_entries.async_unload(entry.entry_id)
    answer = await submit(client, form)
    assert (answer["type"], answer["reason"]) == ("abort", "not_loaded")
    assert not unit.writes


@pytest.mark.parametrize("access", ["confirm", "disabled"])
async def test_question_does_not_outlive_a_reload(
    hass: HomeAssistant,
    unit: Writable,
    entry: MockConfigEntry,
    client: Client,
    access: str,
) -> None:
    await ask(hass, entry, "active_power_limit", 80)
    form = await open_issue(client, issues(hass)[0])
    hass.config_entries.async_update_entry(entry, options={"write_access": access})
    await hass.config_entries.async_reload(entry.entry_id)
    assert not issues(hass)
    answer = await submit(client, form)
    assert answer["reason"] == ("not_done" if access == "confirm" else "not_loaded")
    assert not unit.writes


async def test_question_can_be_submitted_once(
    hass: HomeAssistant, unit: Writable, entry: MockConfigEntry, client: Client
) -> None:
    await ask(hass, entry, "active_power_limit", 80)
    (issue,) = issues(hass)
    forms = [await open_issue(client, issue) for _ in range(2)]
    answers = [await submit(client, form) for form in forms]
    assert [answer["type"] for answer in answers] == ["create_entry", "abort"]
    assert unit.written == [(ACTIVE_POWER, [80])]


# -- questions come and go ------------------------------------------------------------


async def test_second_change_takes_the_place_of_the_first(
    hass: HomeAssistant, unit: Writable, entry: MockConfigEntry, client: Client
) -> None:
    first = await ask(hass, entry, "active_power_limit", 80)
    second = await ask(hass, entry, "active_power_limit", 70)
    (issue,) = issues(hass)
    assert texts_of(issue)["after"] == "70 %"
    device = device_of(hass, entry)
    err = await refused(act(hass, "confirm_write", device, token=first))
    assert err.translation_key == "unknown_token"
    assert len(issues(hass)) == 1
    await act(hass, "confirm_write", device, token=second)
    assert unit.written == [(ACTIVE_POWER, [70])]


async def test_form_of_the_first_change_does_not_confirm_the_second(
    hass: HomeAssistant, unit: Writable, entry: MockConfigEntry, client: Client
) -> None:
    await ask(hass, entry, "active_power_limit", 80)
    form = await open_issue(client, issues(hass)[0])
    await ask(hass, entry, "active_power_limit", 70)
    answer = await submit(client, form)
    assert (answer["type"], answer["reason"]) == ("abort", "not_done")
    assert not unit.writes
    (issue,) = issues(hass)
    assert texts_of(issue)["after"] == "70 %"


async def test_moving_a_control_back_withdraws_the_question(
    hass: HomeAssistant, unit: Writable, entry: MockConfigEntry
) -> None:
    token = await ask(hass, entry, "active_power_limit", 80)
    await move(hass, entry, "active_power_limit", 100)
    assert not issues(hass)
    device = device_of(hass, entry)
    err = await refused(act(hass, "confirm_write", device, token=token))
    assert err.translation_key == "unknown_token"
    assert not unit.writes


async def test_parts_of_a_slot_are_asked_for_together(
    hass: HomeAssistant, unit: Writable, entry: MockConfigEntry, client: Client
) -> None:
    unit.holding[SLOT_1] = 0
    first = await ask(hass, entry, "tou2_start", time(2, 45))
    await ask(hass, entry, "tou2_enabled", True)
    (issue,) = issues(hass)
    assert "02:45" in texts_of(issue)["after"]
    assert texts_of(issue)["after"].endswith("on")
    device = device_of(hass, entry)
    err = await refused(act(hass, "confirm_write", device, token=first))
    assert err.translation_key == "unknown_token"
    await confirm_in_repairs(hass, client)
    assert unit.written == [(SLOT_2, [0xA22D, 0x0500])]
    assert shown(hass, entry, "tou2_start") == "02:45:00"
    assert shown(hass, entry, "tou2_enabled") == "on"


async def test_each_setting_has_its_own_question(
    hass: HomeAssistant, unit: Writable, entry: MockConfigEntry
) -> None:
    await ask(hass, entry, "active_power_limit", 80)
    token = await ask(hass, entry, "charge_stop_soc", 90)
    assert {texts_of(issue)["setting"] for issue in issues(hass)} == {
        "Active power limit",
        "Charge stop SOC",
    }
    await act(hass, "confirm_write", device_of(hass, entry), token=token)
    (issue,) = issues(hass)
    assert texts_of(issue)["setting"] == "Active power limit"
    assert unit.written == [(CHARGE_STOP_SOC, [90])]


@pytest.mark.parametrize("action", ["confirm_write", "cancel_write"])
async def test_question_goes_when_it_is_answered_by_an_action(
    hass: HomeAssistant,
    unit: Writable,
    entry: MockConfigEntry,
    client: Client,
    action: str,
) -> None:
    token = await ask(hass, entry, "active_power_limit", 80)
    form = await open_issue(client, issues(hass)[0])
    await act(hass, action, device_of(hass, entry), token=token)
    assert not issues(hass)
    writes = len(unit.writes)
    answer = await submit(client, form)
    assert answer["reason"] == "not_done"
    assert len(unit.writes) == writes == (action == "confirm_write")


async def test_question_goes_after_five_minutes(
    hass: HomeAssistant,
    unit: Writable,
    entry: MockConfigEntry,
    freezer: FrozenDateTimeFactory,
) -> None:
    token = await ask(hass, entry, "active_power_limit", 80)
    await pass_time(hass, freezer, 298)
    assert len(issues(hass)) == 1
    await pass_time(hass, freezer, 3)
    assert not issues(hass)
    device = device_of(hass, entry)
    err = await refused(act(hass, "confirm_write", device, token=token))
    assert err.translation_key == "unknown_token"
    assert not unit.writes


async def test_question_is_not_taken_for_expired_because_an_older_one_is(
    hass: HomeAssistant,
    unit: Writable,
    entry: MockConfigEntry,
    freezer: FrozenDateTimeFactory,
) -> None:
    await ask(hass, entry, "active_power_limit", 80)
    await pass_time(hass, freezer, 200)
    await ask(hass, entry, "active_power_limit", 70)
    await pass_time(hass, freezer, 200)
    (issue,) = issues(hass)
    assert texts_of(issue)["after"] == "70 %"
    await pass_time(hass, freezer, 101)
    assert not issues(hass)


async def test_questions_go_when_the_entry_is_unloaded(
    hass: HomeAssistant, unit: Writable, entry: MockConfigEntry
) -> None:
    await ask(hass, entry, "active_power_limit", 80)
    await ask(hass, entry, "charge_stop_soc", 90)
    await hass.config_entries.async_unload(entry.entry_id)
    assert not issues(hass)
    assert not unit.writes


async def test_preview_by_action_opens_no_question(
    hass: HomeAssistant, entry: MockConfigEntry
) -> None:
    await act(
        hass,
        "preview_write",
        device_of(hass, entry),
        register="active_power_limit",
        value=80,
    )
    assert not issues(hass)
