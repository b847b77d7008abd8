"""Diagnostics of dataloggers: of use to somebody else, and without what is the owner's."""

from collections.abc import Iterator
import json
import logging
from typing import Any

import pytest
from pytest_homeassistant_custom_component.common import MockConfigEntry
from pytest_homeassistant_custom_component.components.diagnostics import (
    get_diagnostics_for_config_entry,
)
from pytest_homeassistant_custom_component.typing import ClientSessionGenerator
from syrupy.assertion import SnapshotAssertion

from custom_components.local_solar.const import DOMAIN
from homeassistant.core import HomeAssistant
from homeassistant.setup import async_setup_component
from simulators.datalogger import parameters
from simulators.datalogger.bodies import Parameter
from simulators.datalogger.packets import Kind
from simulators.datalogger.stick import SimulatedStick

from .datalogger_helpers import (
    INVERTER,
    LOGGER,
    coordinator_of,
    make_entry,
    reporting,
    set_up,
    soon,
    until,
)

pytestmark = pytest.mark.usefixtures("socket_enabled", "prompt_sessions")

SECRETS = (parameters.WIFI_NAME, parameters.WIFI_PASSWORD, parameters.UPDATE_SERVER)
PLACES = (14, 16, parameters.SERVER_ADDRESS)
"""Parameters that tell where things are in the owner's network."""


async def download(
    hass: HomeAssistant, hass_client: ClientSessionGenerator, entry: MockConfigEntry
) -> dict[str, Any]:
    """Download the diagnostics of an entry, as the owner does."""
    assert await async_setup_component(hass, "diagnostics", {})
    data = await get_diagnostics_for_config_entry(hass, hass_client, entry)
    assert isinstance(data, dict)
    return data


def named_by(stick: SimulatedStick) -> Iterator[str]:
    """Go through all texts that name what is the owner's."""
    yield stick.serial
    yield "ftpuser"
    for number in (*SECRETS, *PLACES):
        yield stick.parameters[number]
    for inverter in stick.inverters.values():
        yield inverter.serial


def assert_names_nothing(data: dict[str, Any], stick: SimulatedStick) -> None:
    """Look for all that must not be in a download."""
    text = json.dumps(data).lower()
    assert not [secret for secret in named_by(stick) if secret.lower() in text]


async def until_all_is_told(hass: HomeAssistant, entry: MockConfigEntry) -> None:
    """Wait until the parameters and the meter of a logger are known."""
    coordinator = coordinator_of(entry)
    await soon(lambda: 21 in coordinator.fleet.loggers[LOGGER].parameters)
    meter = f"{INVERTER}_meter"
    await until(coordinator, lambda: meter in coordinator.data)
    await hass.async_block_till_done()


def without_times(data: dict[str, Any]) -> dict[str, Any]:
    """Leave out what is another thing in each run."""
    data["entry"]["data"].pop("port")
    for logger in (*data["loggers"], data["values"]["datalogger"]):
        for key in ("last_record", "clock_offset", "records"):
            assert logger.pop(key) is not None
    return data


async def test_download_is_complete_and_names_nothing(
    hass: HomeAssistant,
    hass_client: ClientSessionGenerator,
    snapshot: SnapshotAssertion,
) -> None:
    known = make_entry(allowed=[LOGGER]).data | {"cloud_host": "server.growatt.com"}
    entry = await set_up(hass, MockConfigEntry(domain=DOMAIN, data=known))
    async with reporting(hass, entry, meter="words") as stick:
        await until_all_is_told(hass, entry)
        data = await download(hass, hass_client, entry)
        assert_names_nothing(data, stick)
        assert data["values"]["inverter"]["pv_power"] == "4411.6"
        assert without_times(data) == snapshot
    # Nor does it when nobody is connected, or it is not set up.
    assert_names_nothing(await download(hass, hass_client, entry), stick)
    await hass.config_entries.async_unload(entry.entry_id)
    data = await download(hass, hass_client, entry)
    assert data["state"] == "not_loaded"
    assert_names_nothing(data, stick)


async def test_address_that_cannot_be_listened_at_is_not_in_it(
    hass: HomeAssistant, hass_client: ClientSessionGenerator
) -> None:
    entry = make_entry()
    entry.add_to_hass(hass)
    data = {**entry.data, "host": "192.0.2.1", "port": 5279}
    hass.config_entries.async_update_entry(entry, data=data)
    await hass.config_entries.async_setup(entry.entry_id)
    said = await download(hass, hass_client, entry)
    assert said["state"] == "setup_retry"
    assert "cannot listen" in said["reason"]
    assert "192.0.2.1" not in json.dumps(said)


async def test_log_tells_no_secrets(
    hass: HomeAssistant, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    entry = await set_up(hass)
    async with reporting(hass, entry, meter="words") as stick:
        await until_all_is_told(hass, entry)
        # Somebody else has the stick tell what nobody may know, and it does.
        for number in SECRETS:
            stick.send(
                stick.packet(
                    Kind.PARAMETER,
                    Parameter(LOGGER, number, stick.parameters[number]).body(6),
                )
            )
        await stick.wait_until(
            lambda: len(stick.sent_of(Kind.PARAMETER)) >= 18 + len(SECRETS)
        )
        stick.report()
        await hass.async_block_till_done()
    ours = [
        record.getMessage()
        for record in caplog.records
        if record.name.startswith("custom_components.local_solar")
    ]
    assert ours
    for number in SECRETS:
        secret = stick.parameters[number]
        assert not [said for said in ours if secret in said]
    # Who it is stands in the name of the channel, which the owner asks for; an address
    # and serial numbers are in no message that comes by itself.
    for name in (LOGGER, INVERTER, stick.parameters[14], stick.parameters[16]):
        assert not [said for said in ours if name in said]
