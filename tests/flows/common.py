"""Going through the flows as an owner does, and reading what they say."""

from typing import Any

from custom_components.local_solar.const import DOMAIN
from homeassistant.config_entries import SOURCE_USER, ConfigFlowResult
from homeassistant.core import HomeAssistant
from homeassistant.data_entry_flow import FlowResultType
from homeassistant.helpers.translation import async_get_translations

type UserInput = dict[str, Any]


def more(unit_id: int = 1, *, search: bool = False) -> UserInput:
    """Return what the collapsed part of a form holds."""
    return {"more_options": {"unit_id": unit_id, "search": search}}


async def start(hass: HomeAssistant) -> ConfigFlowResult:
    """Open the menu of what to add."""
    return await hass.config_entries.flow.async_init(
        DOMAIN, context={"source": SOURCE_USER}
    )


async def go_on(
    hass: HomeAssistant, result: ConfigFlowResult, user_input: UserInput
) -> ConfigFlowResult:
    """Fill in the form that a flow shows, or choose from its menu."""
    return await hass.config_entries.flow.async_configure(result["flow_id"], user_input)


async def choose(
    hass: HomeAssistant, result: ConfigFlowResult, step: str
) -> ConfigFlowResult:
    """Choose from a menu; a form follows, without an error."""
    assert result["type"] is FlowResultType.MENU
    result = await go_on(hass, result, {"next_step_id": step})
    assert result["type"] is FlowResultType.FORM
    assert result["step_id"] == step
    assert not result["errors"]
    return result


async def open_form(hass: HomeAssistant, step: str) -> ConfigFlowResult:
    """Start to add an inverter."""
    return await choose(hass, await start(hass), step)


async def search(
    hass: HomeAssistant, result: ConfigFlowResult, user_input: UserInput
) -> ConfigFlowResult:
    """Fill in a form that asks for a search, and wait for its end."""
    result = await go_on(hass, result, user_input)
    assert result["type"] is FlowResultType.SHOW_PROGRESS
    assert result["step_id"] == "growatt_scan"
    await hass.async_block_till_done()
    return await hass.config_entries.flow.async_configure(result["flow_id"])


def suggested(result: ConfigFlowResult) -> dict[str, Any]:
    """Return what the fields of a form hold at first."""
    assert result["data_schema"] is not None
    return {
        field.schema: (field.description or {}).get("suggested_value")
        for field in result["data_schema"].schema
    }


async def error_text(hass: HomeAssistant, result: ConfigFlowResult, key: str) -> str:
    """Return what a form says went wrong, which must be ``key``, with all blanks filled."""
    assert result["type"] is FlowResultType.FORM
    assert result["errors"] == {"base": key}
    texts = await async_get_translations(hass, "en", "config", [DOMAIN])
    text = texts[f"component.{DOMAIN}.config.error.{key}"]
    return text.format(**(result["description_placeholders"] or {}))


async def abort_text(hass: HomeAssistant, result: ConfigFlowResult) -> str:
    """Return why a flow ended."""
    assert result["type"] is FlowResultType.ABORT
    domain = result.get("translation_domain") or DOMAIN
    texts = await async_get_translations(hass, "en", "config", [domain])
    return texts[f"component.{domain}.config.abort.{result['reason']}"]
