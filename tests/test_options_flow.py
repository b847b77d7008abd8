"""Options: how gently an inverter is read, with which register map, whether it is changed."""

from typing import Any

import pytest

from homeassistant.config_entries import ConfigEntryState, ConfigFlowResult
from homeassistant.core import HomeAssistant
from homeassistant.data_entry_flow import FlowResultType, InvalidData
from homeassistant.helpers import entity_registry as er

from .common import (
    HOST,
    TL_X,
    TL_XH_US,
    Link,
    Network,
    coordinator_of,
    entity_id_of,
    poll_all,
    set_up,
)

READING = {"message_spacing": 850, "max_words": 125, "profile": "automatic"}
DEFAULTS = {
    **READING,
    "write_access": "disabled",
    "sync_clock_daily": False,
    "work_mode": "unknown",
}
WRITABLE = {**DEFAULTS, "write_access": "confirm"}


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
    return suggested(await hass.config_entries.options.async_init(entry_id))


def suggested(result: ConfigFlowResult) -> dict[str, Any]:
    """Return what a form is filled in with."""
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
    chosen = DEFAULTS | {
        "message_spacing": 100,
        "max_words": 50,
        "profile": "min_tl_xh",
        "work_mode": "system",
    }
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
        {"write_access": "on"},
        {"work_mode": "battery_first"},
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

    await change(hass, entry.entry_id, READING)
    assert coordinator_of(entry).inverter.profile.key == "min_tl_xh"


# -- changing settings ----------------------------------------------------------------


async def begin(
    hass: HomeAssistant, entry_id: str, options: dict[str, Any]
) -> ConfigFlowResult:
    """Fill in the first form and return what comes next."""
    result = await hass.config_entries.options.async_init(entry_id)
    return await go_on(hass, result, options)


async def go_on(
    hass: HomeAssistant, result: ConfigFlowResult, answer: dict[str, Any]
) -> ConfigFlowResult:
    """Answer the form that is shown and return what comes next."""
    result = await hass.config_entries.options.async_configure(
        result["flow_id"], answer
    )
    await hass.async_block_till_done()
    return result


async def test_writing_is_off_until_the_owner_says_otherwise(
    hass: HomeAssistant, link: Link
) -> None:
    entry = await set_up(hass, link.units[1])
    assert (await shown(hass, entry.entry_id))["write_access"] == "disabled"
    coordinator = coordinator_of(entry)
    assert not coordinator.may_write
    assert coordinator.writing is None


async def test_writing_is_switched_on_once_it_is_acknowledged(
    hass: HomeAssistant, link: Link
) -> None:
    entry = await set_up(hass, link.units[1])
    result = await begin(hass, entry.entry_id, WRITABLE)
    assert result["type"] is FlowResultType.FORM
    assert result["step_id"] == "acknowledge"
    assert result["description_placeholders"] == {"device": entry.title}
    assert not result["errors"]
    assert not entry.options

    result = await go_on(hass, result, {"acknowledged": True})
    assert result["type"] is FlowResultType.CREATE_ENTRY
    assert entry.options == WRITABLE  # the acknowledgement itself is no option
    coordinator = coordinator_of(entry)
    assert coordinator.may_write
    assert coordinator.writing is not None


@pytest.mark.parametrize("answer", [{}, {"acknowledged": False}], ids=str)
async def test_without_the_acknowledgement_nothing_is_stored_until_it_is_given(
    hass: HomeAssistant, link: Link, answer: dict[str, Any]
) -> None:
    entry = await set_up(hass, link.units[1])
    result = await begin(hass, entry.entry_id, WRITABLE)
    for _ in range(2):
        result = await go_on(hass, result, answer)
        assert result["type"] is FlowResultType.FORM
        assert result["step_id"] == "acknowledge"
        assert result["errors"] == {"acknowledged": "not_acknowledged"}
        assert not entry.options
        assert coordinator_of(entry).writing is None

    result = await go_on(hass, result, {"acknowledged": True})
    assert result["type"] is FlowResultType.CREATE_ENTRY
    assert entry.options == WRITABLE


async def test_an_acknowledgement_that_is_left_open_switches_nothing_on(
    hass: HomeAssistant, link: Link
) -> None:
    entry = await set_up(hass, link.units[1])
    result = await begin(hass, entry.entry_id, WRITABLE)
    hass.config_entries.options.async_abort(result["flow_id"])
    await hass.async_block_till_done()
    assert not entry.options
    assert (await shown(hass, entry.entry_id))["write_access"] == "disabled"


async def test_writing_that_is_on_stays_on_without_asking_again(
    hass: HomeAssistant, link: Link
) -> None:
    entry = await set_up(hass, link.units[1], options=WRITABLE)
    chosen = WRITABLE | {"message_spacing": 100}
    assert await change(hass, entry.entry_id, chosen) == chosen
    assert coordinator_of(entry).may_write


async def test_writing_is_switched_off_without_asking(
    hass: HomeAssistant, link: Link
) -> None:
    entry = await set_up(hass, link.units[1], options=WRITABLE)
    assert await change(hass, entry.entry_id, DEFAULTS) == DEFAULTS
    assert coordinator_of(entry).writing is None
    # Switching it on again asks again.
    result = await begin(hass, entry.entry_id, WRITABLE)
    assert result["step_id"] == "acknowledge"


async def test_the_clock_is_not_set_without_writing(
    hass: HomeAssistant, link: Link
) -> None:
    entry = await set_up(hass, link.units[1])
    wrong = DEFAULTS | {"sync_clock_daily": True, "max_words": 50}
    result = await begin(hass, entry.entry_id, wrong)
    assert result["type"] is FlowResultType.FORM
    assert result["step_id"] == "init"
    assert result["errors"] == {"sync_clock_daily": "needs_write_access"}
    # What was filled in is still there.
    assert suggested(result) == wrong

    chosen = wrong | {"write_access": "confirm"}
    result = await go_on(hass, result, chosen)
    assert result["step_id"] == "acknowledge"
    result = await go_on(hass, result, {"acknowledged": True})
    assert result["type"] is FlowResultType.CREATE_ENTRY
    assert entry.options == chosen


async def test_writing_is_not_switched_off_while_the_clock_shall_be_set(
    hass: HomeAssistant, link: Link
) -> None:
    options = WRITABLE | {"sync_clock_daily": True}
    entry = await set_up(hass, link.units[1], options=options)
    result = await begin(hass, entry.entry_id, options | {"write_access": "disabled"})
    assert result["errors"] == {"sync_clock_daily": "needs_write_access"}
    assert entry.options == options
    result = await go_on(hass, result, DEFAULTS)
    assert result["type"] is FlowResultType.CREATE_ENTRY
    assert entry.options == DEFAULTS


async def test_only_hybrids_are_asked_what_their_work_mode_means(
    hass: HomeAssistant, network: Network
) -> None:
    units = {1: TL_X, 2: TL_XH_US}
    link = network.add_tcp(HOST, units)
    pv, hybrid = [
        await set_up(hass, link.units[unit_id], unit_id=unit_id) for unit_id in units
    ]
    asked = {**DEFAULTS}
    assert await shown(hass, hybrid.entry_id) == asked
    del asked["work_mode"]
    assert await shown(hass, pv.entry_id) == asked
    assert await change(hass, pv.entry_id, asked) == asked
    with pytest.raises(InvalidData):
        await change(hass, pv.entry_id, DEFAULTS)


async def test_with_a_map_that_is_not_the_inverters_own_nothing_can_be_changed(
    hass: HomeAssistant, link: Link
) -> None:
    """Another map is good enough to look: what its settings mean is not known."""
    entry = await set_up(hass, link.units[1], options=WRITABLE)
    await change(hass, entry.entry_id, WRITABLE | {"profile": "min_tl_x"})
    assert await shown(hass, entry.entry_id) == READING | {"profile": "min_tl_x"}
    coordinator = coordinator_of(entry)
    assert not [point for _, point in coordinator.points() if point.setting]
    # Whoever goes back has to acknowledge anew.
    await change(hass, entry.entry_id, READING)
    assert await shown(hass, entry.entry_id) == DEFAULTS


async def test_a_work_mode_without_writing_is_shown_and_not_changed(
    hass: HomeAssistant, link: Link
) -> None:
    entry = await set_up(hass, link.units[1])
    await change(hass, entry.entry_id, DEFAULTS | {"work_mode": "priority"})
    assert entity_id_of(hass, entry, "priority_mode").startswith("sensor.")
