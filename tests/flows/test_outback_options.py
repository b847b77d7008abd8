"""Options of a gateway: how often it is asked, and what may be changed on it."""

from collections.abc import AsyncIterator, Iterator
from datetime import timedelta
from typing import Any, Final

import pytest
from pytest_homeassistant_custom_component.common import MockConfigEntry

from homeassistant.config_entries import ConfigEntryState, ConfigFlowResult
from homeassistant.core import HomeAssistant
from homeassistant.data_entry_flow import FlowResultType, InvalidData
from homeassistant.helpers.translation import async_get_translations
from tests.outback_helpers import Reached, coordinator_of, impatient, reached, set_up

DEFAULTS: Final = {
    "live_interval": 10,
    "write_access": "disabled",
    "installer_settings": False,
}
WRITABLE: Final = {**DEFAULTS, "write_access": "confirm"}
INSTALLER: Final = {**WRITABLE, "installer_settings": True}
ACKNOWLEDGED: Final = {"acknowledged": True}


@pytest.fixture
async def there(socket_enabled: None) -> AsyncIterator[Reached]:
    """A gateway."""
    async with reached() as there:
        yield there


@pytest.fixture(autouse=True)
def without_pauses() -> Iterator[None]:
    """Leave out the pauses that real gateways need."""
    with impatient():
        yield


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
    assert coordinator_of(entry).poll_interval == timedelta(seconds=10)
    assert coordinator_of(entry).update_interval is not None
    chosen = DEFAULTS | {"live_interval": 60.0}
    result = await choose(hass, entry, chosen)
    assert result["type"] is FlowResultType.CREATE_ENTRY
    assert entry.options == chosen
    assert isinstance(entry.options["live_interval"], int)
    assert await shown(hass, entry) == chosen
    # The entry was loaded anew with that, over the one connection that there may be.
    assert entry.state is ConfigEntryState.LOADED
    assert coordinator_of(entry).poll_interval == timedelta(seconds=60)
    assert not there.simulator.door.turned_away
    await hass.config_entries.async_unload(entry.entry_id)


async def test_values_that_make_no_sense_are_refused(
    hass: HomeAssistant, there: Reached
) -> None:
    entry = await set_up(hass, there)
    result = await open_options(hass, entry)
    for wrong in (
        {"live_interval": 4},
        {"live_interval": 301},
        {"live_interval": "often"},
        {"write_access": "on"},
        {"poll_interval": 60},
    ):
        with pytest.raises(InvalidData):
            await hass.config_entries.options.async_configure(
                result["flow_id"], DEFAULTS | wrong
            )
    assert not entry.options
    for interval in (5, 300):
        chosen = DEFAULTS | {"live_interval": interval}
        await choose(hass, entry, chosen)
        assert entry.options == chosen
    await hass.config_entries.async_unload(entry.entry_id)


@pytest.mark.parametrize("answer", [{}, {"acknowledged": False}], ids=str)
async def test_writing_is_switched_on_only_once_it_is_acknowledged(
    hass: HomeAssistant, there: Reached, answer: dict[str, Any]
) -> None:
    entry = await set_up(hass, there)
    assert coordinator_of(entry).writing is None
    result = await choose(hass, entry, WRITABLE)
    assert result["step_id"] == "acknowledge"
    go_on = hass.config_entries.options.async_configure
    result = await go_on(result["flow_id"], answer)
    assert result["errors"] == {"acknowledged": "not_acknowledged"}
    assert not entry.options
    assert coordinator_of(entry).writing is None
    result = await go_on(result["flow_id"], ACKNOWLEDGED)
    await hass.async_block_till_done()
    assert result["type"] is FlowResultType.CREATE_ENTRY
    assert entry.options == WRITABLE
    assert coordinator_of(entry).writing is not None
    assert not there.simulator.writes
    await hass.config_entries.async_unload(entry.entry_id)


async def test_settings_for_installers_need_write_access(
    hass: HomeAssistant, there: Reached
) -> None:
    entry = await set_up(hass, there)
    wrong = DEFAULTS | {"installer_settings": True, "live_interval": 30}
    result = await choose(hass, entry, wrong)
    assert result["type"] is FlowResultType.FORM
    assert result["step_id"] == "init"
    assert result["errors"] == {"installer_settings": "needs_write_access"}
    texts = await async_get_translations(hass, "en", "options", ["local_solar"])
    assert texts["component.local_solar.options.error.needs_write_access"]
    assert not entry.options
    # What was filled in is still there.
    assert result["data_schema"] is not None
    assert {
        str(field): (field.description or {}).get("suggested_value")
        for field in result["data_schema"].schema
    } == wrong
    go_on = hass.config_entries.options.async_configure
    result = await go_on(result["flow_id"], INSTALLER)
    assert result["step_id"] == "acknowledge"
    await go_on(result["flow_id"], ACKNOWLEDGED)
    await hass.async_block_till_done()
    assert entry.options == INSTALLER
    assert entry.state is ConfigEntryState.LOADED
    await hass.config_entries.async_unload(entry.entry_id)


async def test_what_is_on_stays_on_or_is_switched_off_without_asking(
    hass: HomeAssistant, there: Reached
) -> None:
    entry = await set_up(hass, there, **WRITABLE)
    result = await choose(hass, entry, INSTALLER)
    assert result["type"] is FlowResultType.CREATE_ENTRY
    assert entry.options == INSTALLER
    # Switching writing off takes the other along: it is told.
    result = await choose(hass, entry, DEFAULTS | {"installer_settings": True})
    assert result["errors"] == {"installer_settings": "needs_write_access"}
    hass.config_entries.options.async_abort(result["flow_id"])
    assert coordinator_of(entry).writing is not None
    await choose(hass, entry, DEFAULTS)
    assert entry.options == DEFAULTS
    assert coordinator_of(entry).writing is None
    assert not there.simulator.writes
    await hass.config_entries.async_unload(entry.entry_id)
