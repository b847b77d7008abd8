"""Diagnostics of a gateway: of use to somebody else, and without what is the owner's."""

import json
from typing import Any

import pytest
from pytest_homeassistant_custom_component.common import MockConfigEntry
from pytest_homeassistant_custom_component.components.diagnostics import (
    get_diagnostics_for_config_entry,
)
from pytest_homeassistant_custom_component.typing import ClientSessionGenerator
from syrupy.assertion import SnapshotAssertion

from homeassistant.core import HomeAssistant
from homeassistant.setup import async_setup_component

from .common import Link
from .gateway_helpers import HOST, client_of, device_of, poll, set_up, soon, take_port
from .writing_helpers import act

pytestmark = pytest.mark.usefixtures("socket_enabled")

OPTIONS = {
    "peers": ["127.0.0.0/8", "192.0.2.77"],
    "writers": ["192.0.2.78"],
    "ranges": ["holding 0-124"],
}


@pytest.fixture
def hass_config_dir(hass_tmp_config_dir: str) -> str:
    """Keep what is made in the configuration folder apart from other tests."""
    return hass_tmp_config_dir


async def download(
    hass: HomeAssistant, hass_client: ClientSessionGenerator, entry: MockConfigEntry
) -> dict[str, Any]:
    """Download the diagnostics of an entry, as the owner does."""
    assert await async_setup_component(hass, "diagnostics", {})
    data = await get_diagnostics_for_config_entry(hass, hass_client, entry)
    assert isinstance(data, dict)
    return data


def without_times(data: dict[str, Any]) -> dict[str, Any]:
    """Leave out what is another thing in each run."""
    for key in ("port", "rtu_port"):
        data["entry"]["data"].pop(key)
    for key in ("bus_busy", "waited"):
        data["statistics"].pop(key)
    for key in ("request_rate", "bus_load", "waiting_time", "message_gap"):
        data["values"]["gateway"].pop(key)
    data.pop("gap_ms")
    data["statistics"] = {
        what: count for what, count in data["statistics"].items() if count
    }
    return data


async def test_download_is_complete_and_names_nothing(
    hass: HomeAssistant,
    hass_client: ClientSessionGenerator,
    link: Link,
    snapshot: SnapshotAssertion,
    caplog: pytest.LogCaptureFixture,
) -> None:
    with take_port() as taken:
        entry = await set_up(
            hass,
            rtu_port=taken.getsockname()[1],
            dongle_device="/dev/serial/by-id/usb-Secret_1234",
            options=OPTIONS,
        )
        await soon(lambda: "The dongle is not answered" in caplog.text)
        async with client_of(entry) as client:
            await client.read_holding_registers(43)
            await client.read_holding_registers(200)
            await client.write_register(3, 50)
            await poll(hass, entry)
            await act(hass, "start_capture", device_of(hass, entry))
            data = await download(hass, hass_client, entry)
    text = json.dumps(data)
    for secret in (
        HOST,
        "192.0.2",
        "Secret",
        "inverter:502",
        str(link.units[1].serial_number),
    ):
        assert secret not in text
    assert without_times(data) == snapshot
