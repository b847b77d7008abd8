"""Binary sensors: flags, problems, and whether the inverter answers."""

from collections.abc import Iterator
from unittest.mock import patch

from freezegun.api import FrozenDateTimeFactory
import pytest
from pytest_homeassistant_custom_component.common import snapshot_platform
from syrupy.assertion import SnapshotAssertion

from homeassistant.const import STATE_OFF, STATE_ON, STATE_UNAVAILABLE, Platform
from homeassistant.core import HomeAssistant
from homeassistant.helpers import entity_registry as er

from .common import (
    HOST,
    TL_X,
    TL_XH,
    Link,
    Network,
    enable,
    pass_time,
    poll_all,
    set_up,
    state_of,
)


@pytest.fixture
def only_binary_sensors() -> Iterator[None]:
    """Set up no other platform."""
    with patch("custom_components.local_solar.PLATFORMS", (Platform.BINARY_SENSOR,)):
        yield


@pytest.mark.usefixtures("only_binary_sensors", "all_entities_enabled")
@pytest.mark.parametrize("dataset", [TL_XH, TL_X])
async def test_all_binary_sensors(
    hass: HomeAssistant,
    network: Network,
    entity_registry: er.EntityRegistry,
    snapshot: SnapshotAssertion,
    dataset: str,
) -> None:
    link = network.add_tcp(HOST, {1: dataset})
    entry = await set_up(hass, link.units[1])
    # They are enabled since the first poll only.
    await poll_all(entry)
    await snapshot_platform(hass, entity_registry, snapshot, entry.entry_id)


@pytest.mark.parametrize("dataset", [TL_XH, TL_X])
async def test_problem_and_connection_are_enabled_at_first(
    hass: HomeAssistant, network: Network, dataset: str
) -> None:
    link = network.add_tcp(HOST, {1: dataset})
    entry = await set_up(hass, link.units[1])
    assert {state.entity_id for state in hass.states.async_all("binary_sensor")} == {
        state_of(hass, entry, key).entity_id for key in ("problem", "connected")
    }


async def test_problem_follows_the_fault_code(
    hass: HomeAssistant, link: Link, freezer: FrozenDateTimeFactory
) -> None:
    unit = link.units[1]
    entry = await set_up(hass, unit)
    assert state_of(hass, entry, "problem").state == STATE_OFF
    unit.input[3105] = 302
    await pass_time(hass, freezer, 10)
    assert state_of(hass, entry, "problem").state == STATE_ON
    unit.input[3105] = 0
    await pass_time(hass, freezer, 10)
    assert state_of(hass, entry, "problem").state == STATE_OFF


async def test_warning_is_no_problem(hass: HomeAssistant, link: Link) -> None:
    unit = link.units[1]
    unit.input[3106] = 401
    entry = await set_up(hass, unit)
    assert state_of(hass, entry, "problem").state == STATE_OFF
    assert state_of(hass, entry, "warning").state == "meter"


async def test_connection_goes_off_and_stays_available_at_night(
    hass: HomeAssistant, link: Link, freezer: FrozenDateTimeFactory
) -> None:
    unit = link.units[1]
    entry = await set_up(hass, unit)
    assert state_of(hass, entry, "connected").state == STATE_ON
    unit.fall_silent()
    await pass_time(hass, freezer, 10)
    assert state_of(hass, entry, "connected").state == STATE_OFF
    assert state_of(hass, entry, "problem").state == STATE_UNAVAILABLE
    unit.answer()
    await pass_time(hass, freezer, 20)
    assert state_of(hass, entry, "connected").state == STATE_ON
    assert state_of(hass, entry, "problem").state == STATE_OFF


async def test_flag_that_is_enabled_shows_the_setting(
    hass: HomeAssistant, link: Link, freezer: FrozenDateTimeFactory
) -> None:
    unit = link.units[1]
    entry = await set_up(hass, unit)
    await enable(hass, entry, "eps_enable")
    assert state_of(hass, entry, "eps_enable").state == STATE_ON
    unit.holding[3079] = 0
    await pass_time(hass, freezer, 600)
    assert state_of(hass, entry, "eps_enable").state == STATE_OFF
