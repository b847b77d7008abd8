"""What only the coordinator of a Hoymiles DTU does."""

from datetime import datetime
from unittest.mock import patch

from freezegun.api import FrozenDateTimeFactory
import pytest

from homeassistant.config_entries import ConfigEntryState
from homeassistant.core import HomeAssistant
from simulators.hoymiles import replies
from tests.common import pass_time
from tests.hoymiles_helpers import coordinator_of, dtu_of, reached, set_up

pytestmark = pytest.mark.usefixtures("socket_enabled")

POLL = 60


async def test_answer_without_content_does_not_lose_the_dtu(
    hass: HomeAssistant, freezer: FrozenDateTimeFactory
) -> None:
    """A frame without a payload is a legal one; the next answer is whole again."""
    freezer.move_to(datetime(2026, 6, 21, 11))
    async with reached() as there:
        entry = await set_up(hass, there)
        assert entry.state is ConfigEntryState.LOADED
        serial = coordinator_of(entry).dtu.inventory.serial
        empty = replies.Handler(
            "AppInfoRequest", "AppInfoReply", lambda dtu, request, trouble: {}
        )
        with patch.dict(replies.HANDLERS, {0xA301: empty}):
            dtu_of(entry).hurry()
            await coordinator_of(entry).async_refresh()
        for _ in range(3):
            await pass_time(hass, freezer, POLL)
        assert entry.data["inventory"]["serial"] == serial
        assert coordinator_of(entry).last_update_success
        assert coordinator_of(entry).dtu.inventory.serial == serial
        await hass.config_entries.async_unload(entry.entry_id)
