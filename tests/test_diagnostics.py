"""Diagnostics: complete, loadable, and without anything that names the owner."""

from collections.abc import Iterator
import json
from typing import Any

from modbus_connection import IllegalDataAddressError
from modbus_connection.mock import MockModbusUnit
import pytest
from pytest_homeassistant_custom_component.components.diagnostics import (
    get_diagnostics_for_config_entry,
)
from pytest_homeassistant_custom_component.typing import ClientSessionGenerator
from syrupy.assertion import SnapshotAssertion
from syrupy.filters import paths

from custom_components.local_solar.growatt.identify import identify
from custom_components.local_solar.modbus_link import ModbusLink
from homeassistant.config_entries import ConfigEntry
from homeassistant.core import HomeAssistant
from homeassistant.setup import async_setup_component
from simulators.datasets import Dataset

from .common import (
    HOST,
    TL_X,
    TL_XH,
    TL_XH_US,
    Link,
    Network,
    Unit,
    make_entry,
    poll_all,
    set_up,
)

OWN_HOST = "my-roof.example.net"
OWN_PORT = "/dev/serial/by-id/usb-FTDI_FT232R_A50285BI-if00-port0"
BATTERY_SERIAL = "0ARKDEMO00000001"


async def download(
    hass: HomeAssistant, hass_client: ClientSessionGenerator, entry: ConfigEntry
) -> dict[str, Any]:
    """Download the diagnostics of an entry, as the owner does."""
    assert await async_setup_component(hass, "diagnostics", {})
    data = await get_diagnostics_for_config_entry(hass, hass_client, entry)
    assert isinstance(data, dict)
    return data


async def test_diagnostics(
    hass: HomeAssistant,
    link: Link,
    hass_client: ClientSessionGenerator,
    snapshot: SnapshotAssertion,
) -> None:
    entry = await set_up(hass, link.units[1], options={"message_spacing": 100})
    data = await download(hass, hass_client, entry)
    assert data.pop("registers")["input"]["3171"] == 68
    assert data["link"].pop("latency_ms") < 100
    assert data == snapshot(exclude=paths("identification.evidence"))


def _texts(registers: dict[str, dict[str, int]]) -> Iterator[str]:
    """Read registers as text, at whatever address a text starts."""
    for words in registers.values():
        octets = b"".join(
            words.get(str(address), 0).to_bytes(2) for address in range(6000)
        )
        yield octets.decode("ascii", errors="replace")


@pytest.mark.parametrize("profile", ["automatic", "tl_x_base"])
@pytest.mark.parametrize("dataset", [TL_XH, TL_X, TL_XH_US])
async def test_nothing_names_the_inverter_the_battery_or_the_way_to_them(
    hass: HomeAssistant,
    network: Network,
    hass_client: ClientSessionGenerator,
    dataset: str,
    profile: str,
) -> None:
    link = network.add_tcp(OWN_HOST, {1: dataset})
    unit = link.units[1]
    entry = await set_up(
        hass, unit, link=ModbusLink(host=OWN_HOST), options={"profile": profile}
    )
    secrets = {OWN_HOST, unit.serial_number, BATTERY_SERIAL, entry.unique_id}
    data = await download(hass, hass_client, entry)
    text = json.dumps(data)
    assert not [secret for secret in secrets if str(secret) in text]
    assert not [
        (secret, place)
        for secret in secrets
        for place in _texts(data["registers"])
        if str(secret) in place
    ]


@pytest.mark.parametrize("link_is_down", [True, False])
@pytest.mark.parametrize(
    "own_link",
    [
        ModbusLink(host=OWN_HOST),
        ModbusLink.rtu_over_tcp(OWN_HOST, 8899),
        ModbusLink(device=OWN_PORT, baudrate=9600),
    ],
    ids=["tcp", "rtu_tcp", "serial"],
)
async def test_error_messages_do_not_name_the_link_either(
    hass: HomeAssistant,
    network: Network,
    hass_client: ClientSessionGenerator,
    own_link: ModbusLink,
    link_is_down: bool,
) -> None:
    if own_link.device is None:
        link = network.add_tcp(OWN_HOST, {1: TL_XH})
    else:
        link = network.add_serial(own_link.device, {1: TL_XH})
    entry = await set_up(hass, link.units[1], link=own_link)
    if link_is_down:
        link.go_down(FileNotFoundError(2, "No such file or directory"))
    else:
        link.units[1].fail_read(
            3171,
            IllegalDataAddressError(message=f"{own_link.address}: refused"),
            register_type="input",
        )
    await poll_all(entry)
    data = await download(hass, hass_client, entry)
    assert data["missing"]  # it says what is wrong, but not where
    assert data["awake"] is not link_is_down
    text = json.dumps(data)
    assert OWN_HOST not in text
    assert OWN_PORT not in text


async def test_settings_of_the_entry_are_in_it_without_its_secrets(
    hass: HomeAssistant, link: Link, hass_client: ClientSessionGenerator
) -> None:
    entry = await set_up(
        hass, link.units[1], options={"message_spacing": 100, "profile": "automatic"}
    )
    data = await download(hass, hass_client, entry)
    assert data["entry"]["options"] == {"message_spacing": 100, "profile": "automatic"}
    stored = data["entry"]["data"]
    assert stored["link"] == {"host": "**REDACTED**", "port": 502}
    assert stored["unit_id"] == 1
    assert stored["identification"]["model"] == "MIN 6000TL-XH"
    assert stored["identification"]["serial_number"] == "**REDACTED**"


@pytest.mark.parametrize("dataset", [TL_XH, TL_X, TL_XH_US])
async def test_download_is_a_dataset_of_the_same_family(
    hass: HomeAssistant,
    network: Network,
    hass_client: ClientSessionGenerator,
    mock_modbus_unit: MockModbusUnit,
    dataset: str,
) -> None:
    link = network.add_tcp(HOST, {1: dataset})
    entry = await set_up(hass, link.units[1])
    data = await download(hass, hass_client, entry)

    known = Dataset.parse(data["registers"], "diagnostics download")
    mock_modbus_unit.holding.update(known.words["holding"])  # type: ignore[index]
    mock_modbus_unit.input.update(known.words["input"])  # type: ignore[index]
    again = await identify(mock_modbus_unit)
    original = await identify(Unit(dataset))
    assert again.family is original.family
    assert again.profile == original.profile
    assert again.model == original.model
    assert again.battery == original.battery
    assert again.battery_code == original.battery_code
    assert again.strings == original.strings
    assert again.serial_number != original.serial_number


async def test_download_of_a_sleeping_inverter_holds_what_was_last_seen(
    hass: HomeAssistant, link: Link, hass_client: ClientSessionGenerator
) -> None:
    unit = link.units[1]
    entry = await set_up(hass, unit)
    unit.fall_silent()
    data = await download(hass, hass_client, entry)
    assert data["registers"]["input"]["3171"] == 68
    assert unit.serial_number not in json.dumps(data)


async def test_download_says_which_registers_the_inverter_refuses(
    hass: HomeAssistant, link: Link, hass_client: ClientSessionGenerator
) -> None:
    unit = link.units[1]
    entry = await set_up(hass, unit)
    for address in range(3250, 3375):
        unit.fail_read(address, IllegalDataAddressError(), register_type="input")
    data = await download(hass, hass_client, entry)
    assert any("external_pv" in key for key in data["missing"])
    assert "3282" not in data["registers"]["input"]
    assert data["registers"]["input"]["3171"] == 68


@pytest.mark.parametrize("link_is_down", [True, False])
async def test_entry_that_is_not_set_up_says_why_and_names_nothing(
    hass: HomeAssistant,
    network: Network,
    hass_client: ClientSessionGenerator,
    link_is_down: bool,
) -> None:
    link = network.add_tcp(OWN_HOST, {1: TL_XH})
    unit = link.units[1]
    serial_number = unit.serial_number
    entry = await make_entry(hass, unit, link=ModbusLink(host=OWN_HOST))
    if link_is_down:
        link.go_down(ConnectionRefusedError(111, "refused"))
    else:
        unit.set_serial_number("SNL0DEMO99")
    await hass.config_entries.async_setup(entry.entry_id)
    data = await download(hass, hass_client, entry)
    text = json.dumps(data)
    for secret in (OWN_HOST, serial_number, "SNL0DEMO99"):
        assert secret not in text
    said = "refuses the connection" if link_is_down else "Expected the inverter"
    assert said in data["reason"]
    assert data["state"] == "setup_retry"
    assert data["entry"]["data"]["identification"]["model"] == "MIN 6000TL-XH"


async def test_entry_that_is_switched_off_has_diagnostics_too(
    hass: HomeAssistant, link: Link, hass_client: ClientSessionGenerator
) -> None:
    entry = await set_up(hass, link.units[1])
    await hass.config_entries.async_unload(entry.entry_id)
    data = await download(hass, hass_client, entry)
    assert data["state"] == "not_loaded"
    assert data["reason"] == ""
