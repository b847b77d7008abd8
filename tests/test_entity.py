"""Controls: settings that writing turns from sensors into entities that ask to be changed."""

from collections.abc import Iterator
from datetime import time

from freezegun.api import FrozenDateTimeFactory
import pytest
from pytest_homeassistant_custom_component.common import MockConfigEntry

from custom_components.local_solar import quantities
from custom_components.local_solar.const import (
    CONF_PROFILE,
    CONF_WRITE_ACCESS,
    WRITE_CONFIRM,
    WRITE_DISABLED,
)
from homeassistant.const import (
    STATE_UNAVAILABLE,
    STATE_UNKNOWN,
    EntityCategory,
    Platform,
)
from homeassistant.core import HomeAssistant
from homeassistant.helpers import entity_registry as er, issue_registry as ir

from .common import (
    TL_X,
    TL_XH,
    TL_XH_US,
    Network,
    coordinator_of,
    enable,
    pass_time,
    poll_all,
    set_up,
)
from .writing_helpers import (
    SPACING,
    Writable,
    act,
    add_unit,
    ask,
    at_once,
    control_of,
    device_of,
    issues,
    move,
    refused,
    set_up_writable,
    shown,
    texts_of,
)

CONTROLS = {
    Platform.BUTTON,
    Platform.NUMBER,
    Platform.SELECT,
    Platform.SWITCH,
    Platform.TIME,
}

SLOT_2 = "01:30–05:00, battery first, off"

MOVES = [
    ("active_power_limit", 80, "100 %", "80 %"),
    ("export_limit_rate", 12.5, "100 %", "12.5 %"),
    ("charge_stop_soc", 90, "96 %", "90 %"),
    ("on_off", "inverter_off", "inverter on", "inverter off"),
    ("export_limit_mode", "ct", "disabled", "ct"),
    ("ac_charge_enable", True, "off", "on"),
    ("tou2_mode", "grid_first", SLOT_2, "01:30–05:00, grid first, off"),
    ("tou2_start", time(2, 15), SLOT_2, "02:15–05:00, battery first, off"),
    ("tou2_end", time(6), SLOT_2, "01:30–06:00, battery first, off"),
]
"""A setting, another value for it, and how both read in the question.

A part of a time slot is asked about with the whole slot, which is what is written.
"""

each_move = pytest.mark.parametrize(
    ("key", "value", "before", "after"), MOVES, ids=[key for key, *_ in MOVES]
)


@pytest.fixture(autouse=True)
def settled() -> Iterator[None]:
    """Let no test wait for a device to settle."""
    with at_once():
        yield


def entities(hass: HomeAssistant, entry: MockConfigEntry) -> list[er.RegistryEntry]:
    """Return the registered entities of an entry."""
    return er.async_entries_for_config_entry(er.async_get(hass), entry.entry_id)


def settings_of(entry: MockConfigEntry) -> dict[str, Platform | None]:
    """Return unique id -> platform of the control of each setting that is no secret."""
    coordinator = coordinator_of(entry)
    return {
        f"{device.identity.id}_{point.key}": quantities.platform(point, may_write=True)
        for device, point in coordinator.points()
        if point.setting is not None
    }


def platforms(hass: HomeAssistant, entry: MockConfigEntry) -> dict[str, str]:
    """Return unique id -> platform of all entities."""
    return {entity.unique_id: entity.domain for entity in entities(hass, entry)}


async def change_access(
    hass: HomeAssistant, entry: MockConfigEntry, access: str
) -> None:
    """Switch writing on or off and reload, as the options do."""
    options = {**entry.options, CONF_WRITE_ACCESS: access}
    hass.config_entries.async_update_entry(entry, options=options)
    await hass.config_entries.async_reload(entry.entry_id)
    await hass.async_block_till_done()


# -- what there is --------------------------------------------------------------------


@pytest.mark.parametrize("dataset", [TL_XH, TL_X, TL_XH_US])
@pytest.mark.parametrize(
    "options", [{}, {CONF_WRITE_ACCESS: WRITE_DISABLED}], ids=["never_asked", "off"]
)
async def test_while_writing_is_off_settings_are_sensors(
    hass: HomeAssistant, network: Network, dataset: str, options: dict[str, str]
) -> None:
    entry = await set_up(hass, add_unit(network, dataset), options=options)
    found = platforms(hass, entry)
    assert not CONTROLS & set(found.values())
    settings = settings_of(entry)
    commands = {key for key, shown in settings.items() if shown is Platform.BUTTON}
    assert len(commands) == 1
    assert set(settings) - commands <= set(found)
    assert commands.isdisjoint(found)
    assert {found[key] for key in settings.keys() - commands} <= {
        Platform.SENSOR,
        Platform.BINARY_SENSOR,
    }


@pytest.mark.parametrize("dataset", [TL_XH, TL_X, TL_XH_US])
async def test_while_writing_is_on_each_setting_is_a_control_and_nothing_else_is(
    hass: HomeAssistant, network: Network, dataset: str
) -> None:
    entry = await set_up_writable(hass, add_unit(network, dataset))
    settings = settings_of(entry)
    assert settings
    assert {
        key: shown for key, shown in platforms(hass, entry).items() if shown in CONTROLS
    } == settings
    for entity in entities(hass, entry):
        is_control = entity.domain in CONTROLS
        assert (entity.entity_category is EntityCategory.CONFIG) is is_control


async def test_what_owners_change_is_enabled_at_first_and_the_rest_is_offered(
    hass: HomeAssistant, entry: MockConfigEntry
) -> None:
    everyday = {
        f"{device.identity.id}_{point.key}"
        for device, point in coordinator_of(entry).points()
        if point.setting is not None and point.setting.everyday
    }
    assert everyday
    assert everyday < set(settings_of(entry))
    for entity in entities(hass, entry):
        if entity.domain in CONTROLS:
            by = None if entity.unique_id in everyday else "integration"
            assert entity.disabled_by == by, entity.entity_id


async def test_with_the_map_of_another_family_there_are_no_controls(
    hass: HomeAssistant, unit: Writable
) -> None:
    entry = await set_up_writable(hass, unit, **{CONF_PROFILE: "min_tl_x"})
    assert coordinator_of(entry).may_write
    assert not CONTROLS & set(platforms(hass, entry).values())


# -- switching over -------------------------------------------------------------------


async def test_switching_writing_on_and_off_leaves_one_entity_for_each_setting(
    hass: HomeAssistant, unit: Writable
) -> None:
    entry = await set_up(hass, unit)
    before = platforms(hass, entry)
    settings = settings_of(entry)
    await change_access(hass, entry, WRITE_CONFIRM)
    assert platforms(hass, entry) == {**before, **settings}
    await change_access(hass, entry, WRITE_DISABLED)
    assert platforms(hass, entry) == before
    assert not [state for state in hass.states.async_all() if state.domain in CONTROLS]


async def test_who_enabled_a_sensor_gets_its_control_enabled_and_back(
    hass: HomeAssistant, unit: Writable
) -> None:
    entry = await set_up(hass, unit)
    # Neither is an everyday setting: only their owner wants them.
    await enable(hass, entry, "eps_enable")
    await enable(hass, entry, "tou9_start", battery=True)
    was = {key: control_of(hass, entry, key) for key in ("eps_enable", "tou9_start")}
    await change_access(hass, entry, WRITE_CONFIRM)
    for key, domain in (("eps_enable", "switch"), ("tou9_start", "time")):
        entity_id = control_of(hass, entry, key)
        assert entity_id == f"{domain}.{was[key].partition('.')[2]}"
        assert shown(hass, entry, key) not in (STATE_UNAVAILABLE, STATE_UNKNOWN)
        assert hass.states.get(was[key]) is None
    await change_access(hass, entry, WRITE_DISABLED)
    assert {key: control_of(hass, entry, key) for key in was} == was
    for key in was:
        assert shown(hass, entry, key) not in (STATE_UNAVAILABLE, STATE_UNKNOWN)


async def test_what_nobody_enabled_stays_offered(
    hass: HomeAssistant, unit: Writable, entity_registry: er.EntityRegistry
) -> None:
    entry = await set_up(hass, unit)
    for access in (WRITE_CONFIRM, WRITE_DISABLED):
        await change_access(hass, entry, access)
        entity = entity_registry.entities[control_of(hass, entry, "eps_enable")]
        assert entity.disabled_by is er.RegistryEntryDisabler.INTEGRATION


async def test_a_control_keeps_the_name_that_its_owner_gave_the_entity_id(
    hass: HomeAssistant, unit: Writable, entity_registry: er.EntityRegistry
) -> None:
    entry = await set_up(hass, unit)
    await enable(hass, entry, "active_power_limit")
    entity_registry.async_update_entity(
        control_of(hass, entry, "active_power_limit"), new_entity_id="sensor.throttle"
    )
    await change_access(hass, entry, WRITE_CONFIRM)
    assert control_of(hass, entry, "active_power_limit") == "number.throttle"


async def test_measurements_are_left_alone_when_writing_is_switched_on(
    hass: HomeAssistant, unit: Writable, entity_registry: er.EntityRegistry
) -> None:
    entry = await set_up(hass, unit)
    settings = settings_of(entry)
    before = {
        entity.entity_id: entity.id
        for entity in entities(hass, entry)
        if entity.unique_id not in settings
    }
    await change_access(hass, entry, WRITE_CONFIRM)
    after = {entity.entity_id: entity.id for entity in entities(hass, entry)}
    assert before.items() <= after.items()


# -- asking ---------------------------------------------------------------------------


@each_move
async def test_a_control_that_is_moved_asks_and_keeps_showing_what_the_device_holds(
    hass: HomeAssistant,
    entry: MockConfigEntry,
    unit: Writable,
    key: str,
    value: object,
    before: str,
    after: str,
) -> None:
    holding, state = dict(unit.holding), shown(hass, entry, key)
    err = await refused(move(hass, entry, key, value))
    assert err.translation_key == "confirmation_pending"
    assert f"from {before} to {after}" in str(err)
    assert shown(hass, entry, key) == state
    await poll_all(entry)
    assert shown(hass, entry, key) == state
    assert unit.holding == holding
    assert not unit.written

    (issue,) = issues(hass)
    assert issue.is_fixable
    assert issue.severity is ir.IssueSeverity.WARNING
    words = texts_of(issue)
    assert (words["before"], words["after"]) == (before, after)


@each_move
async def test_a_control_shows_the_new_value_once_it_is_confirmed(
    hass: HomeAssistant,
    entry: MockConfigEntry,
    unit: Writable,
    key: str,
    value: object,
    before: str,
    after: str,
) -> None:
    token = await ask(hass, entry, key, value)
    await act(hass, "confirm_write", device_of(hass, entry), token=token)
    expected = "on" if value is True else str(value)
    assert shown(hass, entry, key) == expected
    assert len(unit.written) == 1
    assert not issues(hass)
    await poll_all(entry)
    assert shown(hass, entry, key) == expected


@each_move
async def test_moving_a_control_to_where_it_is_asks_nothing(
    hass: HomeAssistant,
    entry: MockConfigEntry,
    unit: Writable,
    freezer: FrozenDateTimeFactory,
    key: str,
    value: object,
    before: str,
    after: str,
) -> None:
    token = await ask(hass, entry, key, value)
    await act(hass, "confirm_write", device_of(hass, entry), token=token)
    unit.writes.clear()
    if key == "on_off":
        # Some firmware does not show this setting: it is asked about all the same.
        freezer.tick(SPACING)
        await ask(hass, entry, key, value)
        return
    await move(hass, entry, key, value)
    assert not unit.written
    assert not issues(hass)


async def test_moving_a_control_twice_leaves_the_last_question_open(
    hass: HomeAssistant, entry: MockConfigEntry, unit: Writable
) -> None:
    first = await ask(hass, entry, "active_power_limit", 80)
    second = await ask(hass, entry, "active_power_limit", 70)
    (issue,) = issues(hass)
    assert texts_of(issue)["after"] == "70 %"
    device = device_of(hass, entry)
    err = await refused(act(hass, "confirm_write", device, token=first))
    assert err.translation_key == "unknown_token"
    await act(hass, "confirm_write", device, token=second)
    assert unit.written == [(3, [70])]


async def test_moving_two_controls_asks_two_questions(
    hass: HomeAssistant, entry: MockConfigEntry, unit: Writable
) -> None:
    await ask(hass, entry, "active_power_limit", 80)
    await ask(hass, entry, "charge_stop_soc", 90)
    assert {texts_of(issue)["setting"] for issue in issues(hass)} == {
        "Active power limit",
        "Charge stop SOC",
    }
    assert not unit.written


async def test_moving_parts_of_one_slot_asks_one_question_about_all_of_them(
    hass: HomeAssistant, entry: MockConfigEntry, unit: Writable
) -> None:
    await ask(hass, entry, "tou2_start", time(2))
    await ask(hass, entry, "tou2_end", time(4))
    token = await ask(hass, entry, "tou2_mode", "load_first")
    (issue,) = issues(hass)
    assert texts_of(issue)["after"] == "02:00–04:00, load first, off"
    await act(hass, "confirm_write", device_of(hass, entry), token=token)
    assert unit.written == [(3040, [2 << 8, 4 << 8])]
    assert shown(hass, entry, "tou2_start") == "02:00:00"
    assert shown(hass, entry, "tou2_end") == "04:00:00"
    assert shown(hass, entry, "tou2_mode") == "load_first"


async def test_a_change_at_the_device_is_seen_when_its_control_is_moved(
    hass: HomeAssistant, entry: MockConfigEntry, unit: Writable
) -> None:
    unit.holding[3] = 60  # by the maker's app, since the last poll
    err = await refused(move(hass, entry, "active_power_limit", 80))
    assert "from 60 % to 80 %" in str(err)
    assert shown(hass, entry, "active_power_limit") == "60"


# -- asleep ---------------------------------------------------------------------------


async def test_controls_are_unavailable_while_the_inverter_sleeps(
    hass: HomeAssistant,
    entry: MockConfigEntry,
    unit: Writable,
    freezer: FrozenDateTimeFactory,
) -> None:
    def states() -> dict[str, str]:
        return {
            state.entity_id: state.state
            for state in hass.states.async_all()
            if state.domain in CONTROLS
        }

    awake = states()
    assert {entity_id.partition(".")[0] for entity_id in awake} == CONTROLS
    assert STATE_UNAVAILABLE not in awake.values()
    unit.fall_silent()
    await pass_time(hass, freezer, 10)
    assert states() == dict.fromkeys(awake, STATE_UNAVAILABLE)

    unit.taken_reads()
    for key, value, *_ in MOVES:
        await move(hass, entry, key, value)  # Home Assistant passes over them
    await move(hass, entry, "sync_clock", None)
    assert not unit.taken_reads()
    assert not issues(hass)

    unit.answer()
    await pass_time(hass, freezer, 20)
    assert states() == awake


async def test_controls_stay_unavailable_when_a_sleeping_inverter_is_asked_in_vain(
    hass: HomeAssistant,
    entry: MockConfigEntry,
    unit: Writable,
    freezer: FrozenDateTimeFactory,
) -> None:
    unit.fall_silent()
    await pass_time(hass, freezer, 10)
    for action in ("preview_write", "set_register"):
        confirm = {"confirm": True} if action == "set_register" else {}
        err = await refused(
            act(
                hass,
                action,
                device_of(hass, entry),
                register="active_power_limit",
                value=80,
                **confirm,
            )
        )
        assert err.translation_key == "communication_error"
        assert shown(hass, entry, "active_power_limit") == STATE_UNAVAILABLE


async def test_an_inverter_that_has_just_fallen_asleep_is_not_asked_about(
    hass: HomeAssistant, entry: MockConfigEntry, unit: Writable
) -> None:
    unit.fall_silent()
    err = await refused(move(hass, entry, "active_power_limit", 80))
    assert err.translation_key == "communication_error"
    assert not issues(hass)
    assert not unit.written
