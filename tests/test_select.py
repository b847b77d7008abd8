"""Selects: settings with a few options."""

from collections.abc import Iterator
from unittest.mock import patch

import pytest
from pytest_homeassistant_custom_component.common import snapshot_platform
from syrupy.assertion import SnapshotAssertion

from custom_components.local_solar.const import CONF_WORK_MODE
from homeassistant.const import STATE_UNKNOWN, Platform
from homeassistant.core import HomeAssistant
from homeassistant.exceptions import HomeAssistantError
from homeassistant.helpers import entity_registry as er

from .common import TL_X, TL_XH, Network, coordinator_of, poll_all
from .writing_helpers import (
    EXPORT_LIMIT_MODE,
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
)

WORK_MODE = 3018
PRIORITY_MODES = ["load_first", "battery_first", "grid_first"]
SYSTEM_MODES = ["default", "retrofit", "parallel"]


@pytest.fixture
def only_selects() -> Iterator[None]:
    """Set up no other platform."""
    with patch("custom_components.local_solar.PLATFORMS", (Platform.SELECT,)):
        yield


@pytest.mark.usefixtures("only_selects", "all_entities_enabled")
@pytest.mark.parametrize("dataset", [TL_XH, TL_X])
async def test_all_selects(
    hass: HomeAssistant,
    network: Network,
    entity_registry: er.EntityRegistry,
    snapshot: SnapshotAssertion,
    dataset: str,
) -> None:
    unit = add_unit(network, dataset)
    entry = await set_up_writable(hass, unit)
    # They are enabled since the first poll only.
    await poll_all(entry)
    await snapshot_platform(hass, entity_registry, snapshot, entry.entry_id)


@pytest.mark.usefixtures("all_entities_enabled")
async def test_options_are_those_of_the_table(
    hass: HomeAssistant, unit: Writable
) -> None:
    entry = await set_up_writable(hass, unit)
    checked = 0
    for _, point in coordinator_of(entry).points():
        if point.setting is None or not point.options:
            continue
        state = hass.states.get(control_of(hass, entry, point.key))
        assert state is not None
        assert state.domain == Platform.SELECT
        assert tuple(state.attributes["options"]) == point.options
        checked += 1
    assert checked == len(hass.states.async_entity_ids(Platform.SELECT)) > 5


async def test_option_that_there_is_not_is_refused_without_asking_the_inverter(
    hass: HomeAssistant, unit: Writable
) -> None:
    entry = await set_up_writable(hass, unit)
    with pytest.raises(HomeAssistantError) as err:
        await move(hass, entry, "export_limit_mode", "anti_reflux")
    assert err.value.translation_key == "not_valid_option"
    assert not unit.taken_reads()
    assert not issues(hass)


async def test_state_that_is_no_option_is_unknown_and_left_alone(
    hass: HomeAssistant, unit: Writable
) -> None:
    """This firmware may use the register for something else."""
    unit.holding[EXPORT_LIMIT_MODE] = 9
    entry = await set_up_writable(hass, unit)
    assert shown(hass, entry, "export_limit_mode") == STATE_UNKNOWN
    err = await refused(move(hass, entry, "export_limit_mode", "ct"))
    assert err.translation_key == "present_value_unknown"
    assert not issues(hass)
    assert not unit.written


# -- the work mode --------------------------------------------------------------------


@pytest.mark.parametrize("options", [{}, {CONF_WORK_MODE: "unknown"}], ids=str)
async def test_work_mode_cannot_be_changed_while_its_meaning_is_not_known(
    hass: HomeAssistant, unit: Writable, options: dict[str, str]
) -> None:
    entry = await set_up_writable(hass, unit, **options)
    for key in ("priority_mode", "system_mode"):
        with pytest.raises(ValueError, match="values to unpack"):
            control_of(hass, entry, key)
        err = await refused(
            act(
                hass,
                "set_register",
                device_of(hass, entry),
                register=key,
                value="default",
                confirm=True,
            )
        )
        assert err.translation_key == "unknown_register"
    assert not unit.written


@pytest.mark.usefixtures("all_entities_enabled")
@pytest.mark.parametrize(
    ("meaning", "key", "other", "options", "words"),
    [
        ("priority", "priority_mode", "system_mode", PRIORITY_MODES, [0, 2, 3]),
        ("system", "system_mode", "priority_mode", SYSTEM_MODES, [0, 1, 2]),
    ],
)
async def test_work_mode_has_the_options_of_the_meaning_that_its_owner_found(
    hass: HomeAssistant,
    unit: Writable,
    meaning: str,
    key: str,
    other: str,
    options: list[str],
    words: list[int],
) -> None:
    entry = await set_up_writable(hass, unit, **{CONF_WORK_MODE: meaning})
    state = hass.states.get(control_of(hass, entry, key))
    assert state is not None
    assert state.attributes["options"] == options
    with pytest.raises(ValueError, match="values to unpack"):
        control_of(hass, entry, other)
    # Each option reads and writes as the number that the documents give it.
    for option, word in zip(options, words, strict=True):
        unit.holding[WORK_MODE] = word
        await poll_all(entry)
        assert shown(hass, entry, key) == option
    unit.holding[WORK_MODE] = words[0]
    with at_once():
        token = await ask(hass, entry, key, options[-1])
        await act(hass, "confirm_write", device_of(hass, entry), token=token)
    assert unit.written == [(WORK_MODE, [words[-1]])]
    assert shown(hass, entry, key) == options[-1]


@pytest.mark.parametrize(
    ("meaning", "key", "enabled"),
    [("priority", "priority_mode", True), ("system", "system_mode", False)],
)
async def test_only_the_priority_is_changed_every_day(
    hass: HomeAssistant,
    unit: Writable,
    entity_registry: er.EntityRegistry,
    meaning: str,
    key: str,
    enabled: bool,
) -> None:
    entry = await set_up_writable(hass, unit, **{CONF_WORK_MODE: meaning})
    entity = entity_registry.entities[control_of(hass, entry, key)]
    assert (entity.disabled_by is None) is enabled
