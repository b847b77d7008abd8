"""Repairs: the question whether a setting shall be changed, and its Submit button."""

from typing import Any, Final

import probatio

from homeassistant.auth.models import User
from homeassistant.components.repairs import RepairsFlow, RepairsFlowResult
from homeassistant.config_entries import ConfigEntryState
from homeassistant.core import Context, HomeAssistant
from homeassistant.exceptions import HomeAssistantError
from homeassistant.helpers import issue_registry as ir
from homeassistant.helpers.http import current_request

from .const import DOMAIN
from .coordinators.base import LocalSolarConfigEntry
from .write_gate import Outcome
from .writing import THROUGH_REPAIRS, Asker, Writing

REQUEST_USER: Final = "hass_user"
"""Where Home Assistant's web server keeps who is logged in."""


async def async_create_fix_flow(
    hass: HomeAssistant,
    issue_id: str,
    data: dict[str, str | int | float | None] | None,
) -> RepairsFlow:
    """Return the flow of a change that waits for its confirmation."""
    return ConfirmWriteFlow(data or {})


class ConfirmWriteFlow(RepairsFlow):
    """Shows what would be changed; submitting it is the confirmation."""

    def __init__(self, question: dict[str, str | int | float | None]) -> None:
        """Ask about a change: entry, device and token."""
        self._entry_id = str(question.get("entry_id"))
        self._device = str(question.get("device"))
        self._token = str(question.get("token"))

    async def async_step_init(
        self, user_input: dict[str, Any] | None = None
    ) -> RepairsFlowResult:
        """Begin."""
        return await self.async_step_confirm()

    async def async_step_confirm(
        self, user_input: dict[str, Any] | None = None
    ) -> RepairsFlowResult:
        """Ask, and make the change when the answer comes."""
        if user_input is None:
            issue = ir.async_get(self.hass).async_get_issue(DOMAIN, self.issue_id)
            return self.async_show_form(
                step_id="confirm",
                data_schema=probatio.Schema({}),
                description_placeholders=issue.translation_placeholders
                if issue
                else None,
            )
        if (writing := self._writing()) is None:
            return self.async_abort(reason="not_loaded")
        by = await Asker.async_of(self.hass, _context(), THROUGH_REPAIRS)
        try:
            written = await writing.async_confirm(self._device, self._token, by)
        except HomeAssistantError as err:
            return self.async_abort(
                reason="not_done", description_placeholders={"error": str(err)}
            )
        if written.outcome is Outcome.UNKNOWN:
            return self.async_abort(reason="not_shown")
        return self.async_create_entry(data={})

    def _writing(self) -> Writing | None:
        """Return the way to the device, ``None`` if its entry is not set up."""
        entry: LocalSolarConfigEntry | None = self.hass.config_entries.async_get_entry(
            self._entry_id
        )
        if entry is None or entry.state is not ConfigEntryState.LOADED:
            return None
        return entry.runtime_data.writing


def _context() -> Context:
    """Return the context of whoever submits: flows of repairs have none of their own."""
    request = current_request.get()
    user = request.get(REQUEST_USER) if request is not None else None
    return Context(user_id=user.id if isinstance(user, User) else None)
