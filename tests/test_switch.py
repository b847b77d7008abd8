"""Switches: settings that are on or off."""

from collections.abc import Iterator
from unittest.mock import patch

import pytest
from pytest_homeassistant_custom_component.common import snapshot_platform
from syrupy.assertion import SnapshotAssertion

from homeassistant.const import STATE_OFF, STATE_ON, STATE_UNKNOWN, Platform
from homeassistant.core import HomeAssistant
from homeassistant.helpers import entity_registry as er

from .common import TL_X, TL_XH, Network, poll_all
from .writing_helpers import (
    AC_CHARGE,
    BATTERY_FIRST,
    ON,
    SLOT_1,
    SLOT_2,
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


@pytest.fixture
def only_switches() -> Iterator[None]:
    """Set up no other platform."""
    with patch("custom_components.local_solar.PLATFORMS", (Platform.SWITCH,)):
        yield


@pytest.mark.usefixtures("only_switches", "all_entities_enabled")
@pytest.mark.parametrize("dataset", [TL_XH, TL_X])
async def test_all_switches(
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


async def test_switch_asks_for_on_and_for_off(
    hass: HomeAssistant, unit: Writable
) -> None:
    entry = await set_up_writable(hass, unit)
    device = device_of(hass, entry)
    for state, word in ((STATE_ON, 1), (STATE_OFF, 0)):
        token = await ask(hass, entry, "ac_charge_enable", state == STATE_ON)
        (issue,) = issues(hass)
        assert texts_of(issue)["after"] == state
        await act(hass, "cancel_write", device, token=token)
        assert not unit.written
        unit.holding[AC_CHARGE] = word
        await poll_all(entry)
        assert shown(hass, entry, "ac_charge_enable") == state


async def test_toggling_asks_for_the_other_state(
    hass: HomeAssistant, unit: Writable
) -> None:
    entry = await set_up_writable(hass, unit)
    entity_id = control_of(hass, entry, "ac_charge_enable")
    err = await refused(
        hass.services.async_call(
            "switch", "toggle", {"entity_id": entity_id}, blocking=True
        )
    )
    assert "from off to on" in str(err)


async def test_switch_of_a_slot_writes_the_whole_slot(
    hass: HomeAssistant, unit: Writable
) -> None:
    unit.holding[SLOT_1] = 0  # it lasts all day
    unit.holding[AC_CHARGE] = 1
    start, end = BATTERY_FIRST | 1 << 8 | 30, 5 << 8
    unit.holding.update({SLOT_2: start, SLOT_2 + 1: end})
    entry = await set_up_writable(hass, unit)
    with at_once():
        token = await ask(hass, entry, "tou2_enabled", True)
        await act(hass, "confirm_write", device_of(hass, entry), token=token)
    assert unit.written == [(SLOT_2, [start | ON, end])]
    assert shown(hass, entry, "tou2_enabled") == STATE_ON


async def test_word_that_is_neither_on_nor_off_is_unknown_and_left_alone(
    hass: HomeAssistant, unit: Writable
) -> None:
    """This firmware may use the register for something else."""
    unit.holding[AC_CHARGE] = 2
    entry = await set_up_writable(hass, unit)
    assert shown(hass, entry, "ac_charge_enable") == STATE_UNKNOWN
    err = await refused(move(hass, entry, "ac_charge_enable", False))
    assert err.translation_key == "present_value_unknown"
    assert not issues(hass)
    assert not unit.written
