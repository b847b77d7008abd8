"""Options: how gently an inverter is read, and with which register map."""

from typing import Any

import pytest

from homeassistant.config_entries import ConfigEntryState
from homeassistant.core import HomeAssistant
from homeassistant.data_entry_flow import FlowResultType, InvalidData
from homeassistant.helpers import entity_registry as er

from .common import Link, coordinator_of, poll_all, set_up

DEFAULTS = {"message_spacing": 850, "max_words": 125, "profile": "automatic"}


async def change(
    hass: HomeAssistant, entry_id: str, options: dict[str, Any]
) -> dict[str, Any]:
    """Set options as the owner does, and return what is stored then."""
    result = await hass.config_entries.options.async_init(entry_id)
    assert result["type"] is FlowResultType.FORM
    assert result["step_id"] == "init"
    result = await hass.config_entries.options.async_configure(
        result["flow_id"], options
    )
    await hass.async_block_till_done()
    assert result["type"] is FlowResultType.CREATE_ENTRY
    return dict(result["data"])


async def shown(hass: HomeAssistant, entry_id: str) -> dict[str, Any]:
    """Return what the form holds at first."""
    result = await hass.config_entries.options.async_init(entry_id)
    schema = result["data_schema"]
    assert schema is not None
    return {
        field.schema: (field.description or {}).get("suggested_value", field.default())
        for field in schema.schema
    }


async def test_form_holds_the_defaults_at_first(
    hass: HomeAssistant, link: Link
) -> None:
    entry = await set_up(hass, link.units[1])
    assert await shown(hass, entry.entry_id) == DEFAULTS


async def test_form_holds_what_was_chosen(hass: HomeAssistant, link: Link) -> None:
    entry = await set_up(hass, link.units[1])
    chosen = {"message_spacing": 100, "max_words": 50, "profile": "min_tl_x"}
    assert await change(hass, entry.entry_id, chosen) == chosen
    assert entry.options == chosen
    assert await shown(hass, entry.entry_id) == chosen


async def test_numbers_are_stored_whole(hass: HomeAssistant, link: Link) -> None:
    entry = await set_up(hass, link.units[1])
    stored = await change(
        hass,
        entry.entry_id,
        {"message_spacing": 100.0, "max_words": 50.0, "profile": "automatic"},
    )
    assert {type(stored[key]) for key in ("message_spacing", "max_words")} == {int}


@pytest.mark.parametrize(
    "wrong",
    [
        {"message_spacing": -1},
        {"message_spacing": 5001},
        {"max_words": 1},
        {"max_words": 126},
        {"profile": "no_such_map"},
    ],
    ids=str,
)
async def test_values_that_make_no_sense_are_refused(
    hass: HomeAssistant, link: Link, wrong: dict[str, Any]
) -> None:
    entry = await set_up(hass, link.units[1])
    with pytest.raises(InvalidData):
        await change(hass, entry.entry_id, DEFAULTS | wrong)
    assert not entry.options


async def test_change_takes_effect_at_once(hass: HomeAssistant, link: Link) -> None:
    unit = link.units[1]
    entry = await set_up(hass, unit)
    assert unit.message_spacing == 0.85
    before = coordinator_of(entry)

    await change(
        hass, entry.entry_id, DEFAULTS | {"message_spacing": 50, "max_words": 10}
    )
    assert coordinator_of(entry) is not before  # reloaded
    assert entry.state is ConfigEntryState.LOADED
    assert unit.message_spacing == 0.05
    unit.taken_reads()
    await poll_all(entry)
    reads = unit.taken_reads()
    assert reads
    assert max(read.count for read in reads) <= 10


async def test_nothing_changed_is_no_reason_to_reload(
    hass: HomeAssistant, link: Link
) -> None:
    entry = await set_up(hass, link.units[1])
    await change(hass, entry.entry_id, DEFAULTS)
    before = coordinator_of(entry)
    await change(hass, entry.entry_id, DEFAULTS)
    assert coordinator_of(entry) is before


async def test_chosen_register_map_is_used(
    hass: HomeAssistant, link: Link, entity_registry: er.EntityRegistry
) -> None:
    entry = await set_up(hass, link.units[1])
    serial_number = entry.unique_id
    assert coordinator_of(entry).inverter.profile.key == "min_tl_xh"

    await change(hass, entry.entry_id, DEFAULTS | {"profile": "tl_x_base"})
    assert coordinator_of(entry).inverter.profile.key == "tl_x_base"
    assert entry.unique_id == serial_number
    # The base map knows no registers from 3000 on.
    unit = link.units[1]
    unit.taken_reads()
    await poll_all(entry)
    assert all(read.address < 3000 for read in unit.taken_reads())

    await change(hass, entry.entry_id, DEFAULTS)
    assert coordinator_of(entry).inverter.profile.key == "min_tl_xh"
