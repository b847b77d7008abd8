"""Searching a bus: who answers, who does not, and choosing among those that do."""

import asyncio
import socket

from modbus_connection import IllegalDataAddressError, ModbusDesyncError
import pytest

from custom_components.local_solar.flows.growatt import SCAN_LAST_UNIT
from custom_components.local_solar.modbus_link import ModbusLink
from homeassistant.config_entries import ConfigEntryState
from homeassistant.core import Event, HomeAssistant, callback
from homeassistant.data_entry_flow import (
    EVENT_DATA_ENTRY_FLOW_PROGRESS_UPDATE,
    FlowResultType,
)
from homeassistant.helpers.translation import async_get_translations
from tests.common import HOST, TL_X, TL_XH, Link, Network, Unit, set_up

from .common import error_text, go_on, more, open_form, search, suggested
from .gateway_helpers import gateways_that_only_hold_units, set_up_gateway

SEARCH = {"host": HOST, "port": 502, **more(search=True)}


async def test_search_asks_every_unit_id_once_and_shows_how_far_it_is(
    hass: HomeAssistant, network: Network
) -> None:
    link = network.add_tcp(HOST, {3: TL_X})
    progress: list[float] = []

    @callback
    def note(event: Event) -> None:
        progress.append(event.data["progress"])

    hass.bus.async_listen(EVENT_DATA_ENTRY_FLOW_PROGRESS_UPDATE, note)
    result = await open_form(hass, "growatt_tcp")
    await search(hass, result, SEARCH)
    asked = {**link.units, **link.nobody}
    assert sorted(asked) == list(range(1, SCAN_LAST_UNIT + 1))
    assert all(
        [(read.address, read.count) for read in unit.read_events] == [(43, 1)]
        for unit in asked.values()
    )
    assert progress == sorted(progress)
    assert progress[-1] == 1


async def test_search_keeps_one_connection_open_and_closes_it_at_the_end(
    hass: HomeAssistant, network: Network
) -> None:
    link = network.add_tcp(HOST, {3: TL_X})
    result = await open_form(hass, "growatt_tcp")
    await search(hass, result, SEARCH)
    assert len(link.connections) == 1
    assert link.open_connections == 0


async def test_search_says_what_it_does(hass: HomeAssistant, link: Link) -> None:
    result = await open_form(hass, "growatt_tcp")
    result = await go_on(hass, result, SEARCH)
    texts = await async_get_translations(hass, "en", "config", ["local_solar"])
    text = texts[f"component.local_solar.config.progress.{result['progress_action']}"]
    said = text.format(**(result["description_placeholders"] or {}))
    assert said.startswith(f"Asking unit IDs 1 to 32 on {HOST}:502.")
    await hass.async_block_till_done()


async def test_owner_chooses_among_the_units_that_answer(
    hass: HomeAssistant, network: Network
) -> None:
    refuses = Unit(TL_X)
    refuses.fail_requests(IllegalDataAddressError())
    network.add_tcp(HOST, {2: TL_X, 5: TL_XH, 9: refuses})
    result = await open_form(hass, "growatt_tcp")
    result = await search(hass, result, SEARCH)
    assert result["type"] is FlowResultType.FORM
    assert result["step_id"] == "growatt_found"
    assert result["data_schema"] is not None
    (selector,) = result["data_schema"].schema.values()
    assert selector.config["options"] == ["2", "5"]

    result = await go_on(hass, result, {"unit_id": "5"})
    assert result["type"] is FlowResultType.CREATE_ENTRY
    assert result["data"]["unit_id"] == 5
    assert result["title"] == "Growatt MIN 6000TL-XH"


async def test_chosen_unit_that_cannot_be_added_leaves_the_choice_open(
    hass: HomeAssistant, network: Network
) -> None:
    link = network.add_tcp(HOST, {2: TL_X, 5: TL_XH})
    link.units[5].fill(0)
    result = await open_form(hass, "growatt_tcp")
    result = await search(hass, result, SEARCH)
    result = await go_on(hass, result, {"unit_id": "5"})
    assert "Unit 5" in await error_text(hass, result, "no_serial_number")
    assert result["step_id"] == "growatt_found"

    result = await go_on(hass, result, {"unit_id": "2"})
    assert result["type"] is FlowResultType.CREATE_ENTRY


@pytest.mark.parametrize(
    ("step", "fields"),
    [
        ("growatt_tcp", {"host": HOST, "port": 502}),
        ("growatt_rtu_tcp", {"host": HOST, "port": 8899}),
        ("growatt_serial", {"device": "/dev/ttyUSB0", "baudrate": "9600"}),
    ],
)
async def test_search_that_finds_nobody_goes_back_to_the_link(
    hass: HomeAssistant, network: Network, step: str, fields: dict[str, str | int]
) -> None:
    links = [
        network.add_tcp(HOST, {}),
        network.add_serial(f"socket://{HOST}:8899", {}),
        network.add_serial("/dev/ttyUSB0", {}),
    ]
    result = await open_form(hass, step)
    result = await search(hass, result, {**fields, **more(search=True)})
    assert "No unit ID from 1 to 32 answers on" in await error_text(
        hass, result, "scan_found_nothing"
    )
    assert result["step_id"] == step
    assert fields.items() <= suggested(result).items()

    for link in links:
        link.units[1] = Unit(TL_X)
    result = await search(hass, result, {**fields, **more(search=True)})
    result = await go_on(hass, result, {"unit_id": "1"})
    assert result["type"] is FlowResultType.CREATE_ENTRY


async def test_search_over_a_link_that_is_down_says_so_at_once(
    hass: HomeAssistant, link: Link
) -> None:
    link.go_down(socket.gaierror(-2, "Name or service not known"))
    result = await open_form(hass, "growatt_tcp")
    result = await search(hass, result, SEARCH)
    assert f"({HOST}:502)" in await error_text(hass, result, "host_not_found")
    assert len(link.nobody) == 0  # nobody else was asked

    link.come_up()
    result = await go_on(hass, result, {"host": HOST, "port": 502, **more()})
    assert result["type"] is FlowResultType.CREATE_ENTRY


async def test_search_over_a_port_that_is_open_at_another_speed_says_so(
    hass: HomeAssistant, network: Network
) -> None:
    port = "/dev/ttyUSB0"
    link = network.add_serial(port, {1: TL_XH, 2: TL_X})
    await set_up(hass, link.units[1], link=ModbusLink(device=port, baudrate=9600))
    result = await open_form(hass, "growatt_serial")
    result = await go_on(
        hass, result, {"device": port, "baudrate": "38400", **more(search=True)}
    )
    assert f"{port} is already open" in await error_text(hass, result, "link_in_use")

    result = await search(
        hass, result, {"device": port, "baudrate": "9600", **more(search=True)}
    )
    result = await go_on(hass, result, {"unit_id": "2"})
    assert result["type"] is FlowResultType.CREATE_ENTRY


async def test_search_on_a_bus_in_use_leaves_the_loaded_inverter_alone(
    hass: HomeAssistant, link: Link
) -> None:
    unit = link.units[1]
    entry = await set_up(hass, unit, options={"message_spacing": 100})
    link.units[2] = Unit(TL_X)
    result = await open_form(hass, "growatt_same_link")
    result = await search(hass, result, {"link": f"{HOST}:502", **more(2, search=True)})
    assert result["step_id"] == "growatt_found"
    assert entry.state is ConfigEntryState.LOADED
    assert len(link.connections) == 1
    assert link.open_connections == 1
    await entry.runtime_data.async_refresh()
    assert unit.required_timeout == 3.0
    assert unit.message_spacing == 0.1


async def test_search_on_a_known_bus_goes_back_to_a_form_that_goes_on(
    hass: HomeAssistant, link: Link
) -> None:
    await set_up(hass, link.units[1])
    link.units[1].fall_silent()
    result = await open_form(hass, "growatt_same_link")
    result = await search(hass, result, {"link": f"{HOST}:502", **more(2, search=True)})
    await error_text(hass, result, "scan_found_nothing")
    link.units[7] = Unit(TL_X)
    result = await go_on(hass, result, {"host": HOST, "port": 502, **more(7)})
    assert result["type"] is FlowResultType.CREATE_ENTRY
    assert result["data"]["unit_id"] == 7


async def test_dialog_closed_during_a_search_ends_it_and_gives_the_link_back(
    hass: HomeAssistant, link: Link, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits = asyncio.Event()

    async def hang(*_: object) -> None:
        waits.set()
        await asyncio.Event().wait()

    monkeypatch.setattr(Unit, "_dispatch_read", hang)
    result = await open_form(hass, "growatt_tcp")
    result = await go_on(hass, result, SEARCH)
    await waits.wait()
    hass.config_entries.flow.async_abort(result["flow_id"])
    await hass.async_block_till_done()
    assert link.open_connections == 0


async def test_inverter_that_was_added_is_neither_asked_nor_offered_again(
    hass: HomeAssistant, link: Link
) -> None:
    await set_up(hass, link.units[1])
    link.units[2] = Unit(TL_X)
    result = await open_form(hass, "growatt_tcp")
    result = await search(hass, result, SEARCH)
    assert result["data_schema"] is not None
    (selector,) = result["data_schema"].schema.values()
    assert selector.config["options"] == ["2"]
    assert not link.units[1].read_events


async def test_answers_that_come_too_late_do_not_end_the_search(
    hass: HomeAssistant, link: Link
) -> None:
    confused = link.units[3] = Unit(TL_X)
    confused.fail_requests(ModbusDesyncError("the answer of another unit"))
    result = await open_form(hass, "growatt_tcp")
    result = await search(hass, result, SEARCH)
    assert result["step_id"] == "growatt_found"


async def test_search_finds_inverters_that_so_far_only_a_gateway_shares(
    hass: HomeAssistant, network: Network
) -> None:
    link = network.add_tcp(HOST, {1: TL_X, 2: TL_XH})
    await set_up(hass, link.units[2], unit_id=2)
    with gateways_that_only_hold_units():
        await set_up_gateway(hass, units=[1, 2])
        result = await open_form(hass, "growatt_tcp")
        result = await search(hass, result, SEARCH)
    assert result["data_schema"] is not None
    (selector,) = result["data_schema"].schema.values()
    assert selector.config["options"] == ["1"]
    result = await go_on(hass, result, {"unit_id": "1"})
    assert result["type"] is FlowResultType.CREATE_ENTRY
