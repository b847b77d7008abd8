"""Options of a listener for dataloggers: what Growatt may do, and what the owner changes."""

from typing import Any, Final

import pytest
from pytest_homeassistant_custom_component.common import MockConfigEntry

from homeassistant.config_entries import ConfigFlowResult
from homeassistant.core import HomeAssistant
from homeassistant.data_entry_flow import FlowResultType, InvalidData
from tests.datalogger_helpers import coordinator_of, make_entry, set_up

pytestmark = pytest.mark.usefixtures("socket_enabled")

ALONE: Final = {"write_access": "disabled", "take_damaged_packets": False}
RELAYED: Final = ALONE | {
    "cloud_may_change_settings": False,
    "cloud_may_move_datalogger": False,
}


@pytest.fixture
async def alone(hass: HomeAssistant) -> MockConfigEntry:
    """A listener that answers by itself."""
    return await set_up(hass)


@pytest.fixture
async def relayed(hass: HomeAssistant) -> MockConfigEntry:
    """A listener whose reports go on."""
    return await set_up(hass, make_entry(cloud_port=5279))


async def choose(
    hass: HomeAssistant, entry: MockConfigEntry, *answers: dict[str, Any]
) -> ConfigFlowResult:
    """Open the form, fill it in, and those that follow it."""
    options = hass.config_entries.options
    result = await options.async_init(entry.entry_id)
    assert result["step_id"] == "init"
    for answer in answers:
        result = await options.async_configure(result["flow_id"], answer)
    await hass.async_block_till_done()
    return result


def held(result: ConfigFlowResult) -> dict[str, Any]:
    """Return what the fields of a form hold at first."""
    assert result["data_schema"] is not None
    return {
        field.schema: (field.description or {}).get("suggested_value", field.default())
        for field in result["data_schema"].schema
    }


async def test_what_the_cloud_may_do_is_asked_only_where_there_is_one(
    hass: HomeAssistant, alone: MockConfigEntry, relayed: MockConfigEntry
) -> None:
    assert held(await choose(hass, alone)) == ALONE
    assert held(await choose(hass, relayed)) == RELAYED
    with pytest.raises(InvalidData):
        await choose(hass, alone, RELAYED)


@pytest.mark.parametrize("option", ["settings", "takeover"])
async def test_what_the_cloud_may_do_is_stored_shown_and_done(
    hass: HomeAssistant, relayed: MockConfigEntry, option: str
) -> None:
    cloud = coordinator_of(relayed).server.cloud
    assert cloud is not None
    assert not cloud.policy.settings
    assert not cloud.policy.takeover
    key = {
        "settings": "cloud_may_change_settings",
        "takeover": "cloud_may_move_datalogger",
    }[option]
    chosen = RELAYED | {key: True}
    result = await choose(hass, relayed, chosen)
    assert result["type"] is FlowResultType.CREATE_ENTRY
    assert relayed.options == chosen
    assert held(await choose(hass, relayed)) == chosen
    # The entry was loaded anew with that, and with nothing else.
    cloud = coordinator_of(relayed).server.cloud
    assert cloud is not None
    assert cloud.policy.settings is (option == "settings")
    assert cloud.policy.takeover is (option == "takeover")


async def test_damaged_packets_are_taken_only_if_the_owner_says_so(
    hass: HomeAssistant, alone: MockConfigEntry
) -> None:
    assert not coordinator_of(alone).server.takes_damaged
    await choose(hass, alone, ALONE | {"take_damaged_packets": True})
    assert coordinator_of(alone).server.takes_damaged


@pytest.mark.parametrize("answer", [{}, {"acknowledged": False}], ids=str)
async def test_writing_is_switched_on_only_once_it_is_acknowledged(
    hass: HomeAssistant, alone: MockConfigEntry, answer: dict[str, Any]
) -> None:
    assert coordinator_of(alone).writing is None
    writable = ALONE | {"write_access": "confirm"}
    result = await choose(hass, alone, writable, answer)
    assert result["step_id"] == "acknowledge"
    assert result["description_placeholders"] == {"device": alone.title}
    assert result["errors"] == {"acknowledged": "not_acknowledged"}
    assert coordinator_of(alone).writing is None
    result = await hass.config_entries.options.async_configure(
        result["flow_id"], {"acknowledged": True}
    )
    await hass.async_block_till_done()
    assert result["type"] is FlowResultType.CREATE_ENTRY
    assert alone.options == writable
    assert coordinator_of(alone).writing is not None
    # It is switched off without a question.
    await choose(hass, alone, ALONE)
    assert alone.options == ALONE
    assert coordinator_of(alone).writing is None
