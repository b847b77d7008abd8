"""Numbers: settings with limits and a step."""

from collections.abc import Iterator
from unittest.mock import patch

import pytest
from pytest_homeassistant_custom_component.common import snapshot_platform
from syrupy.assertion import SnapshotAssertion

from custom_components.local_solar.number import LocalSolarNumber
from custom_components.local_solar.points import Point, Quantity, Setting
from homeassistant.const import Platform
from homeassistant.core import HomeAssistant
from homeassistant.exceptions import HomeAssistantError
from homeassistant.helpers import entity_registry as er

from .common import TL_X, TL_XH, Network, coordinator_of, poll_all
from .writing_helpers import (
    ACTIVE_POWER,
    Writable,
    add_unit,
    ask,
    control_of,
    issues,
    move,
    refused,
    set_up_writable,
    shown,
    texts_of,
)


@pytest.fixture
def only_numbers() -> Iterator[None]:
    """Set up no other platform."""
    with patch("custom_components.local_solar.PLATFORMS", (Platform.NUMBER,)):
        yield


@pytest.mark.usefixtures("only_numbers", "all_entities_enabled")
@pytest.mark.parametrize("dataset", [TL_XH, TL_X])
async def test_all_numbers(
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
async def test_limits_and_step_are_those_of_the_table(
    hass: HomeAssistant, unit: Writable
) -> None:
    entry = await set_up_writable(hass, unit)
    checked = 0
    for _, point in coordinator_of(entry).points():
        if point.setting is None or point.setting.step is None:
            continue
        state = hass.states.get(control_of(hass, entry, point.key))
        assert state is not None
        assert state.domain == Platform.NUMBER
        setting = point.setting
        assert (
            state.attributes["min"],
            state.attributes["max"],
            state.attributes["step"],
            state.attributes["unit_of_measurement"],
        ) == (setting.minimum, setting.maximum, setting.step, point.unit)
        checked += 1
    assert checked == len(hass.states.async_entity_ids(Platform.NUMBER)) > 5


@pytest.mark.parametrize("value", [-1, 100.5, 101, 255])
async def test_number_beyond_its_limits_is_refused_without_asking_the_inverter(
    hass: HomeAssistant, unit: Writable, value: float
) -> None:
    entry = await set_up_writable(hass, unit)
    with pytest.raises(HomeAssistantError) as err:
        await move(hass, entry, "active_power_limit", value)
    assert err.value.translation_key == "out_of_range"
    assert not unit.taken_reads()
    assert not issues(hass)


async def test_number_between_two_steps_is_refused(
    hass: HomeAssistant, unit: Writable
) -> None:
    entry = await set_up_writable(hass, unit)
    err = await refused(move(hass, entry, "active_power_limit", 80.5))
    assert err.translation_key == "value_not_representable"
    assert "is not a multiple of 1" in str(err)
    assert not issues(hass)
    assert not unit.written


@pytest.mark.parametrize("value", [0.1, 0.7, 33.3, 99.9])
async def test_number_with_a_fine_step_is_asked_for_as_it_is_given(
    hass: HomeAssistant, unit: Writable, value: float
) -> None:
    entry = await set_up_writable(hass, unit)
    await ask(hass, entry, "export_limit_rate", value)
    (issue,) = issues(hass)
    assert texts_of(issue)["after"] == f"{value} %"


async def test_number_that_the_inverter_holds_is_shown_even_beyond_the_limits(
    hass: HomeAssistant, unit: Writable
) -> None:
    unit.holding[ACTIVE_POWER] = 255  # no limit
    entry = await set_up_writable(hass, unit)
    assert shown(hass, entry, "active_power_limit") == "255"
    await ask(hass, entry, "active_power_limit", 80)
    (issue,) = issues(hass)
    assert texts_of(issue)["before"] == "255 %"


async def test_number_without_limits_has_those_of_home_assistant(
    hass: HomeAssistant, unit: Writable
) -> None:
    coordinator = coordinator_of(await set_up_writable(hass, unit))
    point = Point(
        key="boost", name="Boost", quantity=Quantity.PERCENT, setting=Setting()
    )
    number = LocalSolarNumber(coordinator, coordinator.devices[0], point)
    assert (number.native_min_value, number.native_max_value) == (0, 100)
    assert number.native_step is None
    assert number.native_value is None


async def test_number_that_makes_no_sense_is_left_alone(
    hass: HomeAssistant, unit: Writable
) -> None:
    """This firmware may use the register for something else."""
    unit.holding[ACTIVE_POWER] = 5000
    entry = await set_up_writable(hass, unit)
    err = await refused(move(hass, entry, "active_power_limit", 80))
    assert err.translation_key == "present_value_unknown"
    assert not issues(hass)
    assert not unit.written
