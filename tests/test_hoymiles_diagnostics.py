"""Diagnostics of a DTU: of use to somebody else, and without anything that names its owner."""

from collections.abc import Iterator
import json
from typing import Any, Final
from unittest.mock import patch

import pytest
from pytest_homeassistant_custom_component.common import MockConfigEntry
from pytest_homeassistant_custom_component.components.diagnostics import (
    get_diagnostics_for_config_entry,
)
from pytest_homeassistant_custom_component.typing import ClientSessionGenerator
from syrupy.assertion import SnapshotAssertion

from homeassistant.config_entries import ConfigEntryState
from homeassistant.core import HomeAssistant
from homeassistant.setup import async_setup_component
from simulators.hoymiles.dtu import SimulatedDtu
from simulators.hoymiles.faults import Fault
from simulators.hoymiles.served import ServedMessages

from .hoymiles_helpers import (
    INTEGRATED,
    STICK,
    STORAGE,
    coordinator_of,
    impatient,
    make_entry,
    reached,
    set_up,
)

OWN_HOST: Final = "my-roof.example.net"
OWN_IP: Final = "192.168.1.50"

pytestmark = pytest.mark.usefixtures("socket_enabled", "short_wait")


@pytest.fixture
def short_wait() -> Iterator[None]:
    """Let a storage gateway not answer for a moment only what a DTU is asked."""
    with impatient():
        yield


async def download(
    hass: HomeAssistant, hass_client: ClientSessionGenerator, entry: MockConfigEntry
) -> dict[str, Any]:
    """Download the diagnostics of an entry, as the owner does."""
    assert await async_setup_component(hass, "diagnostics", {})
    data = await get_diagnostics_for_config_entry(hass, hass_client, entry)
    assert isinstance(data, dict)
    return data


def secrets_of(dtu: SimulatedDtu, host: str) -> Iterator[str]:
    """Go through all texts that name a DTU, what is behind it, and its owner's network."""
    yield host
    yield from dtu.secrets
    yield dtu.serial
    numbers = [*dtu.inverters, *(meter.spec.serial for meter in dtu.meters)]
    if (spec := dtu.inventory.storage) is not None:
        numbers += [int(dtu.serial, 16), spec.inverter]
        yield spec.battery
    for number in numbers:
        yield f"{number:012X}"
        yield f"{number:x}"
        yield str(number)
    if dtu.encryption_seed:
        yield dtu.encryption_seed.hex()
    yield f"AC190072{dtu.serial[-4:]}"


def assert_names_nothing(data: dict[str, Any], dtu: SimulatedDtu, host: str) -> None:
    """Look for all that must not be in a download, in whatever case."""
    text = json.dumps(data).lower()
    found = [secret for secret in secrets_of(dtu, host) if secret.lower() in text]
    assert not found
    # Octets of addresses stand in fields of their own.
    assert "mac_" not in text
    assert "ip_0" not in text


@pytest.mark.parametrize("inventory", [INTEGRATED, STICK, STORAGE])
async def test_download_is_complete_and_names_nothing(
    hass: HomeAssistant,
    hass_client: ClientSessionGenerator,
    snapshot: SnapshotAssertion,
    inventory: str,
) -> None:
    async with reached(inventory, encrypt=inventory == INTEGRATED) as there:
        if inventory != STORAGE:
            there.dtu.start_alarm(73)
        entry = await set_up(hass, there)
        data = await download(hass, hass_client, entry)
        assert_names_nothing(data, there.dtu, there.host)
        assert data["entry"]["data"].pop("port") == there.port
        assert str(there.port) not in json.dumps(data)
        assert _without_times(data) == snapshot


def _without_times(data: Any) -> Any:
    """Leave out what depends on when and where the simulator runs."""
    match data:
        case dict():
            return {
                key: _without_times(value)
                for key, value in data.items()
                if key not in {"utc_offset", "start_time", "end_time", "sample_time"}
                and not (key == "time" and isinstance(value, int))
            }
        case list():
            return [_without_times(item) for item in data]
        case _:
            return data


@pytest.mark.parametrize("inventory", [INTEGRATED, STICK, STORAGE])
@pytest.mark.usefixtures("all_entities_enabled")
async def test_download_can_be_served_and_shows_the_same_values(
    hass: HomeAssistant, hass_client: ClientSessionGenerator, inventory: str
) -> None:
    async with reached(inventory) as there:
        entry = await set_up(hass, there)
        await coordinator_of(entry).async_refresh()
        data = await download(hass, hass_client, entry)
        assert data["values"]
    # As it comes from the disk.
    served = ServedMessages.parse(json.loads(json.dumps({"data": data})), "download")
    async with reached(inventory, served=served) as there:
        again = await set_up(hass, there)
        assert again.state is ConfigEntryState.LOADED
        await coordinator_of(again).async_refresh()
        assert (await download(hass, hass_client, again))["values"] == data["values"]
        assert again.unique_id != entry.unique_id


async def test_download_of_a_sleeping_dtu_holds_what_was_last_heard(
    hass: HomeAssistant, hass_client: ClientSessionGenerator
) -> None:
    async with reached(INTEGRATED) as there:
        entry = await set_up(hass, there)
        before = await download(hass, hass_client, entry)
        assert before["awake"]
        assert not before["failed"]
        dtu = there.dtu
    # Nobody listens there any more.
    await coordinator_of(entry).async_refresh()
    data = await download(hass, hass_client, entry)
    assert not data["awake"]
    # It says what is wrong, but not where.
    assert "Connect" in data["asleep_because"] or "refused" in data["asleep_because"]
    assert data["dataset"] == before["dataset"]
    assert_names_nothing(data, dtu, there.host)


@pytest.mark.parametrize(
    "why",
    [
        ConnectionRefusedError(111, f"Connect call failed ('{OWN_IP}', 10081)"),
        # Several addresses of one name: an error without a number.
        OSError(
            "Multiple exceptions: [Errno 111] Connect call failed ('fe80::1', 10081),"
            f" [Errno 111] Connect call failed ('{OWN_IP}', 10081)"
        ),
    ],
    ids=["one_address", "several_addresses"],
)
async def test_address_behind_a_name_is_not_in_it_either(
    hass: HomeAssistant, hass_client: ClientSessionGenerator, why: OSError
) -> None:
    async with reached(INTEGRATED) as there:
        entry = await set_up(hass, there)
    coordinator_of(entry).client.host = OWN_HOST
    with patch(
        "custom_components.local_solar.hoymiles.client.asyncio.open_connection",
        side_effect=why,
    ):
        await coordinator_of(entry).async_refresh()
    data = await download(hass, hass_client, entry)
    assert data["asleep_because"]
    text = json.dumps(data)
    for secret in (OWN_HOST, OWN_IP, "fe80::1"):
        assert secret not in text


async def test_what_cannot_be_read_is_said(
    hass: HomeAssistant, hass_client: ClientSessionGenerator
) -> None:
    async with reached(INTEGRATED) as there:
        # What is closed to us is not asked for again and again.
        there.dtu.faults.append(Fault.parse("crc,command=A309"))
        entry = await set_up(hass, there)
        assert coordinator_of(entry).awake
        data = await download(hass, hass_client, entry)
        assert data["failed"]
        assert_names_nothing(data, there.dtu, there.host)


@pytest.mark.parametrize("is_wrong", [True, False], ids=["wrong_dtu", "unloaded"])
async def test_entry_that_is_not_set_up_says_why_and_names_nothing(
    hass: HomeAssistant, hass_client: ClientSessionGenerator, is_wrong: bool
) -> None:
    async with reached(INTEGRATED) as there, reached(STICK) as other:
        entry = await make_entry(there)
        entry.add_to_hass(hass)
        if is_wrong:
            hass.config_entries.async_update_entry(
                entry, data={**entry.data, "port": other.port}
            )
        await hass.config_entries.async_setup(entry.entry_id)
        if not is_wrong:
            await hass.config_entries.async_unload(entry.entry_id)
        data = await download(hass, hass_client, entry)
        assert data["state"] == ("setup_retry" if is_wrong else "not_loaded")
        assert data["reason"].startswith("Another DTU answers at" if is_wrong else "")
        assert data["entry"]["data"]["kind"] == "hoymiles"
        assert_names_nothing(data, there.dtu, there.host)
        assert_names_nothing(data, other.dtu, other.host)
