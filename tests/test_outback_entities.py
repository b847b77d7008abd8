"""A gateway in Home Assistant: its devices and entities."""

from collections.abc import Iterator

import pytest

from homeassistant.config_entries import ConfigEntryState
from homeassistant.core import HomeAssistant

from .outback_helpers import impatient, reached, set_up

pytestmark = pytest.mark.usefixtures("socket_enabled")


@pytest.fixture(autouse=True)
def without_pauses() -> Iterator[None]:
    """Leave out the pauses that real gateways need."""
    with impatient():
        yield


async def test_all_devices_are_there(hass: HomeAssistant) -> None:
    async with reached() as there:
        entry = await set_up(hass, there)
        assert entry.state is ConfigEntryState.LOADED
        for s in hass.states.async_all():
            print(s.entity_id, s.state, s.attributes.get("unit_of_measurement"))
        print(len(hass.states.async_all()))
        await hass.config_entries.async_unload(entry.entry_id)
