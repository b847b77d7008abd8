"""Buttons: what an inverter can be told to do."""

from collections.abc import Iterator
from unittest.mock import patch

from freezegun.api import FrozenDateTimeFactory
import pytest
from pytest_homeassistant_custom_component.common import snapshot_platform
from syrupy.assertion import SnapshotAssertion

from homeassistant.const import STATE_UNKNOWN, Platform
from homeassistant.core import HomeAssistant
from homeassistant.helpers import entity_registry as er

from .common import TL_X, TL_XH, Network, pass_time, set_up
from .writing_helpers import (
    Writable,
    act,
    add_unit,
    ask,
    at_once,
    device_of,
    issues,
    move,
    set_up_writable,
    shown,
    texts_of,
)

CLOCK = 45


@pytest.fixture
def only_buttons() -> Iterator[None]:
    """Set up no other platform."""
    with patch("custom_components.local_solar.PLATFORMS", (Platform.BUTTON,)):
        yield


@pytest.mark.usefixtures("only_buttons", "all_entities_enabled")
@pytest.mark.parametrize("dataset", [TL_XH, TL_X])
async def test_all_buttons(
    hass: HomeAssistant,
    network: Network,
    entity_registry: er.EntityRegistry,
    snapshot: SnapshotAssertion,
    dataset: str,
) -> None:
    unit = add_unit(network, dataset)
    entry = await set_up_writable(hass, unit)
    await snapshot_platform(hass, entity_registry, snapshot, entry.entry_id)


async def test_without_writing_there_are_no_buttons(
    hass: HomeAssistant, unit: Writable
) -> None:
    entry = await set_up(hass, unit)
    registry = er.async_get(hass)
    assert not [
        entity
        for entity in er.async_entries_for_config_entry(registry, entry.entry_id)
        if entity.domain == Platform.BUTTON
    ]


async def test_clock_is_set_once_that_is_confirmed_to_the_time_it_is_then(
    hass: HomeAssistant, unit: Writable, freezer: FrozenDateTimeFactory
) -> None:
    await hass.config.async_set_time_zone("Europe/Berlin")
    freezer.move_to("2026-07-01 10:00:00+00:00")
    entry = await set_up_writable(hass, unit)
    assert shown(hass, entry, "sync_clock") == STATE_UNKNOWN
    token = await ask(hass, entry, "sync_clock", None)
    (issue,) = issues(hass)
    assert texts_of(issue)["setting"] == "Set the clock"
    assert not unit.written
    freezer.tick(90)
    with at_once():
        await act(hass, "confirm_write", device_of(hass, entry), token=token)
    # Local time, in summer.
    assert unit.written == [(CLOCK, [26, 7, 1, 12, 1, 30])]
    assert not issues(hass)


async def test_button_is_there_again_when_the_inverter_is(
    hass: HomeAssistant, unit: Writable, freezer: FrozenDateTimeFactory
) -> None:
    """It has no value: it must not wait for one."""
    entry = await set_up_writable(hass, unit)
    unit.fall_silent()
    await pass_time(hass, freezer, 10)
    await move(hass, entry, "sync_clock", None)  # Home Assistant passes over it
    assert not issues(hass)
    unit.answer()
    await pass_time(hass, freezer, 20)
    await ask(hass, entry, "sync_clock", None)
    assert len(issues(hass)) == 1
