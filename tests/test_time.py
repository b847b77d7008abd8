"""Times of day: when time slots begin and end."""

from collections.abc import Iterator
from datetime import time
from unittest.mock import patch

import pytest
from pytest_homeassistant_custom_component.common import snapshot_platform
from syrupy.assertion import SnapshotAssertion

from homeassistant.const import STATE_UNKNOWN, Platform
from homeassistant.core import HomeAssistant
from homeassistant.helpers import entity_registry as er

from .common import TL_X, Network, poll_all
from .writing_helpers import (
    SLOT_2,
    SLOT_3,
    Writable,
    act,
    add_unit,
    ask,
    at_once,
    device_of,
    issues,
    move,
    refused,
    set_up_writable,
    shown,
    texts_of,
)


@pytest.fixture
def only_times() -> Iterator[None]:
    """Set up no other platform."""
    with patch("custom_components.local_solar.PLATFORMS", (Platform.TIME,)):
        yield


@pytest.mark.usefixtures("only_times", "all_entities_enabled")
async def test_all_times(
    hass: HomeAssistant,
    unit: Writable,
    entity_registry: er.EntityRegistry,
    snapshot: SnapshotAssertion,
) -> None:
    entry = await set_up_writable(hass, unit)
    # They are enabled since the first poll only.
    await poll_all(entry)
    await snapshot_platform(hass, entity_registry, snapshot, entry.entry_id)


@pytest.mark.usefixtures("all_entities_enabled")
async def test_inverter_without_time_slots_has_no_times(
    hass: HomeAssistant, network: Network
) -> None:
    unit = add_unit(network, TL_X)
    await set_up_writable(hass, unit)
    assert not hass.states.async_all(Platform.TIME)


async def test_seconds_are_dropped(hass: HomeAssistant, unit: Writable) -> None:
    entry = await set_up_writable(hass, unit)
    await ask(hass, entry, "tou2_start", time(2, 15, 59))
    (issue,) = issues(hass)
    assert texts_of(issue)["after"] == "02:15–05:00, battery first, off"


async def test_time_of_a_slot_writes_the_whole_slot(
    hass: HomeAssistant, unit: Writable
) -> None:
    entry = await set_up_writable(hass, unit)
    start = unit.holding[SLOT_2]
    with at_once():
        token = await ask(hass, entry, "tou2_end", time(6, 30))
        await act(hass, "confirm_write", device_of(hass, entry), token=token)
    assert unit.written == [(SLOT_2, [start, 6 << 8 | 30])]
    assert shown(hass, entry, "tou2_end") == "06:30:00"
    assert shown(hass, entry, "tou2_start") == "01:30:00"


async def test_time_that_is_impossible_is_unknown_and_set_with_the_slot_only(
    hass: HomeAssistant, unit: Writable
) -> None:
    unit.holding[SLOT_3] = 31 << 8
    entry = await set_up_writable(hass, unit)
    assert shown(hass, entry, "tou3_start") == STATE_UNKNOWN
    err = await refused(move(hass, entry, "tou3_start", time(17)))
    assert err.translation_key == "slot_not_valid"
    assert not issues(hass)
