"""Options of a DTU: how often it is asked, what its meter means, whether it is changed."""

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any, Final

import pytest
from pytest_homeassistant_custom_component.common import MockConfigEntry

from custom_components.local_solar.const import DOMAIN
from homeassistant.config_entries import ConfigFlowResult
from homeassistant.core import HomeAssistant
from homeassistant.data_entry_flow import FlowResultType, InvalidData
from homeassistant.helpers import entity_registry as er
from tests.hoymiles_helpers import (
    INTEGRATED,
    STICK,
    STORAGE,
    Reached,
    coordinator_of,
    impatient,
    reached,
    set_up,
)

READING: Final = {"poll_interval": 60, "leave_cloud_free": True}
DEFAULTS: Final = {**READING, "write_access": "disabled"}
WITH_METER: Final = {**DEFAULTS, "meter_factor": 1.0}
WRITABLE: Final = {**DEFAULTS, "write_access": "confirm"}

METER: Final = "37FF93100005"


@pytest.fixture
async def there(socket_enabled: None) -> AsyncIterator[Reached]:
    """An integrated DTU."""
    async with reached(INTEGRATED) as there:
        yield there


@pytest.fixture
async def stick(socket_enabled: None) -> AsyncIterator[Reached]:
    """A DTU with three inverters and a meter."""
    async with reached(STICK) as there:
        yield there


async def open_options(hass: HomeAssistant, entry: MockConfigEntry) -> ConfigFlowResult:
    """Open the form."""
    result = await hass.config_entries.options.async_init(entry.entry_id)
    assert result["type"] is FlowResultType.FORM
    assert result["step_id"] == "init"
    return result


async def shown(hass: HomeAssistant, entry: MockConfigEntry) -> dict[str, Any]:
    """Return what the form holds at first."""
    result = await open_options(hass, entry)
    hass.config_entries.options.async_abort(result["flow_id"])
    assert result["data_schema"] is not None
    return {
        field.schema: (field.description or {}).get("suggested_value", field.default())
        for field in result["data_schema"].schema
    }


async def choose(
    hass: HomeAssistant, entry: MockConfigEntry, *answers: dict[str, Any]
) -> ConfigFlowResult:
    """Fill in the form, and those that follow it."""
    result = await open_options(hass, entry)
    for answer in answers:
        result = await hass.config_entries.options.async_configure(
            result["flow_id"], answer
        )
    await hass.async_block_till_done()
    return result


async def test_what_is_chosen_is_stored_shown_and_done(
    hass: HomeAssistant, there: Reached
) -> None:
    entry = await set_up(hass, there)
    assert await shown(hass, entry) == DEFAULTS
    assert coordinator_of(entry).poll_interval == timedelta(seconds=60)

    chosen = DEFAULTS | {"poll_interval": 120.0, "leave_cloud_free": False}
    result = await choose(hass, entry, chosen)
    assert result["type"] is FlowResultType.CREATE_ENTRY
    assert entry.options == chosen
    assert isinstance(entry.options["poll_interval"], int)
    assert await shown(hass, entry) == chosen
    # The entry was loaded anew with that.
    assert coordinator_of(entry).poll_interval == timedelta(seconds=120)


async def test_values_that_make_no_sense_are_refused(
    hass: HomeAssistant, stick: Reached
) -> None:
    entry = await set_up(hass, stick)
    result = await open_options(hass, entry)
    for wrong in (
        {"poll_interval": 34},
        {"poll_interval": 601},
        {"poll_interval": "often"},
        {"meter_factor": 0},
        {"meter_factor": 101},
        {"write_access": "on"},
        {"message_spacing": 850},
    ):
        with pytest.raises(InvalidData):
            await hass.config_entries.options.async_configure(
                result["flow_id"], WITH_METER | wrong
            )
    assert not entry.options
    for interval in (35, 600):
        chosen = WITH_METER | {"poll_interval": interval}
        await choose(hass, entry, chosen)
        assert entry.options == chosen


async def test_only_a_dtu_with_a_meter_has_its_factor(
    hass: HomeAssistant, there: Reached
) -> None:
    entry = await set_up(hass, there)
    assert "meter_factor" not in await shown(hass, entry)
    with pytest.raises(InvalidData):
        await choose(hass, entry, WITH_METER)


async def test_storage_gateway_is_read_only(
    hass: HomeAssistant, socket_enabled: None
) -> None:
    async with reached(STORAGE) as there:
        with impatient():
            entry = await set_up(hass, there)
        assert await shown(hass, entry) == {"poll_interval": 60}
        for more in ({"leave_cloud_free": True}, {"write_access": "confirm"}):
            with pytest.raises(InvalidData):
                await choose(hass, entry, {"poll_interval": 90, **more})
        await choose(hass, entry, {"poll_interval": 90})
        assert entry.options == {"poll_interval": 90}
        assert coordinator_of(entry).poll_interval == timedelta(seconds=90)


async def test_readings_of_a_meter_are_multiplied_with_its_factor(
    hass: HomeAssistant, stick: Reached, entity_registry: er.EntityRegistry
) -> None:
    entry = await set_up(hass, stick)
    assert await shown(hass, entry) == WITH_METER

    def reading(key: str) -> float:
        entity_id = entity_registry.async_get_entity_id(
            "sensor", DOMAIN, f"{METER}_{key}"
        )
        assert entity_id is not None
        state = hass.states.get(entity_id)
        assert state is not None
        return float(state.state)

    power, energy = reading("grid_power"), reading("grid_import_energy_total")
    await choose(hass, entry, WITH_METER | {"meter_factor": 0.1})
    assert reading("grid_power") == pytest.approx(power / 10)
    # A counter that falls is believed only after a while, whatever lets it fall.
    assert reading("grid_import_energy_total") == energy


@pytest.mark.parametrize("answer", [{}, {"acknowledged": False}], ids=str)
async def test_writing_is_switched_on_only_once_it_is_acknowledged(
    hass: HomeAssistant, there: Reached, answer: dict[str, Any]
) -> None:
    entry = await set_up(hass, there)
    assert coordinator_of(entry).writing is None
    result = await choose(hass, entry, WRITABLE)
    assert result["type"] is FlowResultType.FORM
    assert result["step_id"] == "acknowledge"
    assert result["description_placeholders"] == {"device": entry.title}
    assert not result["errors"]
    go_on = hass.config_entries.options.async_configure
    result = await go_on(result["flow_id"], answer)
    assert result["step_id"] == "acknowledge"
    assert result["errors"] == {"acknowledged": "not_acknowledged"}
    assert not entry.options
    assert coordinator_of(entry).writing is None

    result = await go_on(result["flow_id"], {"acknowledged": True})
    await hass.async_block_till_done()
    assert result["type"] is FlowResultType.CREATE_ENTRY
    assert entry.options == WRITABLE  # the acknowledgement itself is no option
    assert coordinator_of(entry).writing is not None


async def test_writing_that_is_on_stays_on_or_is_switched_off_without_asking(
    hass: HomeAssistant, there: Reached
) -> None:
    entry = await set_up(hass, there, **WRITABLE)
    chosen = WRITABLE | {"poll_interval": 90}
    result = await choose(hass, entry, chosen)
    assert result["type"] is FlowResultType.CREATE_ENTRY
    assert entry.options == chosen
    assert coordinator_of(entry).writing is not None
    await choose(hass, entry, DEFAULTS)
    assert entry.options == DEFAULTS
    assert coordinator_of(entry).writing is None
    # Nothing of all that was a change of the DTU.
    assert {record.action for record in there.dtu.commands} <= {50}
