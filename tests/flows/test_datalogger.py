"""Adding a listener for Growatt dataloggers, and having it listen elsewhere."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final
from unittest.mock import patch

import pytest

from custom_components.local_solar.const import CONF_INVENTORY, DOMAIN
from custom_components.local_solar.growatt.identify import identify
from homeassistant.config_entries import (
    SOURCE_RECONFIGURE,
    ConfigEntry,
    ConfigEntryState,
    ConfigFlowResult,
)
from homeassistant.core import HomeAssistant
from homeassistant.data_entry_flow import FlowResultType, InvalidData
from tests.common import HOST as INVERTER_HOST, Link, entry_of
from tests.datalogger_helpers import (
    HOST,
    INVERTER,
    LOGGER,
    coordinator_of,
    make_entry,
    reporting,
    set_up,
)

from .common import UserInput, abort_text, error_text, go_on, more, open_form, suggested

pytestmark = pytest.mark.usefixtures("socket_enabled")

NOT_OURS: Final = "192.0.2.1"
"""An address that no computer has."""

TAKEN: Final = "Address already in use"


def filled_in(port: int, **changed: Any) -> UserInput:
    """Return a form as it is filled in; what is collapsed in it may be changed, too."""
    section = {
        "cloud_host": "server.growatt.com",
        "cloud_port": 5279,
        "allowed_dataloggers": [],
    }
    form = {"host": HOST, "port": port, "mode": "stand_alone"}
    for key, value in changed.items():
        (section if key in section else form)[key] = value
    return {**form, "more_options": section}


async def fill_in(hass: HomeAssistant, user_input: UserInput) -> ConfigFlowResult:
    """Fill in the form that adds a listener."""
    return await go_on(hass, await open_form(hass, "datalogger"), user_input)


async def added(hass: HomeAssistant, result: ConfigFlowResult) -> ConfigEntry:
    """Return the entry that a flow has made, which must listen."""
    assert result["type"] is FlowResultType.CREATE_ENTRY
    await hass.async_block_till_done()
    entry = entry_of(hass)
    assert result["result"] is entry
    assert entry.state is ConfigEntryState.LOADED
    assert await somebody_listens(entry.data["port"])
    return entry


async def somebody_listens(port: int) -> bool:
    """Return whether a connection to a port is taken."""
    try:
        _, writer = await asyncio.open_connection(HOST, port)
    except OSError:
        return False
    writer.close()
    await writer.wait_closed()
    return True


@asynccontextmanager
async def taken(port: int) -> AsyncIterator[None]:
    """Let another program listen on a port."""
    server = await asyncio.start_server(lambda *_: None, HOST, port)
    async with server:
        yield


# -- adding ---------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["stand_alone", "with_cloud"])
async def test_listener_is_added_and_listens(
    hass: HomeAssistant, port: int, mode: str
) -> None:
    entry = await added(hass, await fill_in(hass, filled_in(port, mode=mode)))
    assert entry.title == "Growatt datalogger server"
    assert dict(entry.data) | {CONF_INVENTORY: None} == {
        "kind": "growatt_datalogger",
        "host": HOST,
        "port": port,
        "mode": mode,
        "cloud_host": "server.growatt.com",
        "cloud_port": 5279,
        "allowed_dataloggers": [],
        CONF_INVENTORY: None,
    }
    assert isinstance(entry.data["port"], int)
    assert not entry.options


async def test_form_offers_the_addresses_of_this_computer_and_the_usual_port(
    hass: HomeAssistant,
) -> None:
    result = await open_form(hass, "datalogger")
    assert result["data_schema"] is not None
    fields = {str(key): value for key, value in result["data_schema"].schema.items()}
    offered = [option["value"] for option in fields["host"].config["options"]]
    # The one that the page chooses unless it is told otherwise is not open to all.
    assert offered[-2:] == [HOST, "0.0.0.0"]
    assert len(set(offered)) == len(offered) > 2
    held = result["data_schema"](
        {"host": HOST, "mode": "with_cloud", "more_options": {}}
    )
    assert held == filled_in(5279, mode="with_cloud")
    for port in (0, 65536):
        with pytest.raises(InvalidData):
            await go_on(hass, result, filled_in(port))


async def test_what_is_typed_is_stored_in_one_spelling(
    hass: HomeAssistant, port: int
) -> None:
    typed = filled_in(
        port,
        host=f" {HOST} ",
        cloud_host=" Server-US.Growatt.com",
        allowed_dataloggers=[" xgd0sim001 ", "DDD1A2B3C4"],
    )
    entry = await added(hass, await fill_in(hass, typed))
    assert entry.data["host"] == HOST
    assert entry.data["cloud_host"] == "server-us.growatt.com"
    assert entry.data["allowed_dataloggers"] == ["XGD0SIM001", "DDD1A2B3C4"]


@pytest.mark.parametrize(
    ("wrong", "key", "says"),
    [
        ({"host": NOT_OURS}, "cannot_listen", "has no such address"),
        ({"host": " "}, "cannot_listen", "no address is given"),
        ({"allowed_dataloggers": ["XGD0"]}, "no_datalogger_serial", "6 or more"),
        ({"allowed_dataloggers": [LOGGER, ""]}, "no_datalogger_serial", "6 or more"),
        ({"allowed_dataloggers": ["XGD0-SIM001"]}, "no_datalogger_serial", "letters"),
        ({"mode": "with_cloud", "cloud_host": ""}, "cloud_is_here", "this computer"),
        ({"mode": "with_cloud", "cloud_host": HOST}, "cloud_is_here", "this computer"),
        (
            {"mode": "with_cloud", "cloud_host": "LocalHost "},
            "cloud_is_here",
            "this computer",
        ),
    ],
)
async def test_what_goes_wrong_is_said_and_can_be_put_right(
    hass: HomeAssistant, port: int, wrong: dict[str, Any], key: str, says: str
) -> None:
    if key == "cloud_is_here":
        wrong = {**wrong, "cloud_port": port}
    result = await fill_in(hass, filled_in(port, **wrong))
    assert says in await error_text(hass, result, key)
    # What was filled in is still there.
    assert suggested(result)["port"] == port
    assert suggested(result)["host"] == wrong.get("host", HOST)
    await added(hass, await go_on(hass, result, filled_in(port)))


async def test_what_is_no_name_of_a_computer_is_refused(
    hass: HomeAssistant, port: int
) -> None:
    result = await open_form(hass, "datalogger")
    with patch.object(hass.loop, "create_server", side_effect=UnicodeError("label")):
        result = await go_on(hass, result, filled_in(port, host="a..b"))
    assert "that is no address" in await error_text(hass, result, "cannot_listen")
    await added(hass, await go_on(hass, result, filled_in(port)))


async def test_another_port_of_this_computer_may_be_the_cloud(
    hass: HomeAssistant, port: int
) -> None:
    """Such as a simulated one."""
    wanted = filled_in(port, mode="with_cloud", cloud_host=HOST, cloud_port=port - 1)
    entry = await added(hass, await fill_in(hass, wanted))
    assert entry.data["cloud_port"] == port - 1


async def test_cloud_does_not_matter_where_it_is_not_used(
    hass: HomeAssistant, port: int
) -> None:
    entry = await added(hass, await fill_in(hass, filled_in(port, cloud_host="")))
    assert entry.data["mode"] == "stand_alone"


async def test_port_of_another_program_is_named_and_taken_once_it_is_free(
    hass: HomeAssistant, port: int
) -> None:
    async with taken(port):
        result = await fill_in(hass, filled_in(port))
        text = await error_text(hass, result, "cannot_listen")
        assert f"{HOST}:{port}" in text
        assert TAKEN.lower() in text.lower()
    await added(hass, await go_on(hass, result, filled_in(port)))


async def test_address_that_is_listened_at_is_not_added_twice(
    hass: HomeAssistant, port: int
) -> None:
    entry = await added(hass, await fill_in(hass, filled_in(port)))
    result = await fill_in(hass, filled_in(port, mode="with_cloud"))
    assert await abort_text(hass, result) == "This device has been added already."
    assert entry_of(hass) is entry


async def test_second_listener_has_another_port(
    hass: HomeAssistant, unused_tcp_port_factory: Any
) -> None:
    first, second = unused_tcp_port_factory(), unused_tcp_port_factory()
    await added(hass, await fill_in(hass, filled_in(first)))
    result = await fill_in(hass, filled_in(second))
    assert result["type"] is FlowResultType.CREATE_ENTRY
    await hass.async_block_till_done()
    for port in (first, second):
        assert await somebody_listens(port)


# -- listening elsewhere --------------------------------------------------------------


async def reconfigure(hass: HomeAssistant, entry: ConfigEntry) -> ConfigFlowResult:
    """Open the form that changes where an entry listens."""
    result = await hass.config_entries.flow.async_init(
        DOMAIN, context={"source": SOURCE_RECONFIGURE, "entry_id": entry.entry_id}
    )
    assert result["type"] is FlowResultType.FORM
    assert result["step_id"] == "datalogger"
    return result


async def changed(
    hass: HomeAssistant, result: ConfigFlowResult, user_input: UserInput
) -> None:
    """Fill in the form, which must be right."""
    result = await go_on(hass, result, user_input)
    assert await abort_text(hass, result) == "Reconfiguration was successful"
    await hass.async_block_till_done()


@pytest.fixture
async def entry(hass: HomeAssistant, port: int) -> ConfigEntry:
    """A listener."""
    form = filled_in(port, allowed_dataloggers=[LOGGER])
    return await added(hass, await fill_in(hass, form))


async def test_form_to_reconfigure_holds_what_is_stored(
    hass: HomeAssistant, entry: ConfigEntry, port: int
) -> None:
    result = await reconfigure(hass, entry)
    held = suggested(result)
    assert (held["host"], held["port"], held["mode"]) == (HOST, port, "stand_alone")
    assert result["data_schema"] is not None
    section = result["data_schema"].schema["more_options"].schema
    (allowed,) = (key for key in section.schema if key == "allowed_dataloggers")
    assert allowed.description == {"suggested_value": [LOGGER]}


async def test_listener_is_changed_on_its_own_port(
    hass: HomeAssistant, entry: ConfigEntry, port: int
) -> None:
    result = await reconfigure(hass, entry)
    await changed(hass, result, filled_in(port, mode="with_cloud"))
    assert entry.state is ConfigEntryState.LOADED
    assert entry.data["mode"] == "with_cloud"
    assert entry.data["allowed_dataloggers"] == []
    assert await somebody_listens(port)


async def test_listener_moves_to_another_port_and_keeps_what_it_knows(
    hass: HomeAssistant, unused_tcp_port_factory: Any
) -> None:
    entry = await set_up(hass)
    async with reporting(hass, entry):
        pass
    before = coordinator_of(entry).server.port
    inventory = entry.data[CONF_INVENTORY]
    assert inventory["inverters"]
    port = unused_tcp_port_factory()
    await changed(hass, await reconfigure(hass, entry), filled_in(port))
    assert await somebody_listens(port)
    assert not await somebody_listens(before)
    assert entry.data[CONF_INVENTORY] == inventory
    assert INVERTER in coordinator_of(entry).fleet.inverters


async def test_port_of_another_program_is_not_moved_to(
    hass: HomeAssistant, entry: ConfigEntry, port: int, unused_tcp_port_factory: Any
) -> None:
    other = unused_tcp_port_factory()
    result = await reconfigure(hass, entry)
    async with taken(other):
        result = await go_on(hass, result, filled_in(other))
        assert str(other) in await error_text(hass, result, "cannot_listen")
        assert entry.data["port"] == port
        assert await somebody_listens(port)
    await changed(hass, result, filled_in(other))
    assert entry.data["port"] == other
    assert await somebody_listens(other)


async def test_address_that_is_not_ours_is_refused_on_the_own_port_too(
    hass: HomeAssistant, entry: ConfigEntry, port: int
) -> None:
    result = await reconfigure(hass, entry)
    result = await go_on(hass, result, filled_in(port, host=NOT_OURS))
    assert NOT_OURS in await error_text(hass, result, "cannot_listen")
    assert await somebody_listens(port)


async def test_listener_that_could_not_listen_is_put_right(
    hass: HomeAssistant, entry: ConfigEntry, port: int, unused_tcp_port_factory: Any
) -> None:
    await hass.config_entries.async_unload(entry.entry_id)
    async with taken(port):
        await hass.config_entries.async_setup(entry.entry_id)
        assert entry.state is ConfigEntryState.SETUP_RETRY
        result = await reconfigure(hass, entry)
        # It does not hold the port itself.
        result = await go_on(hass, result, filled_in(port))
        assert str(port) in await error_text(hass, result, "cannot_listen")
        other = unused_tcp_port_factory()
        await changed(hass, result, filled_in(other))
        assert await somebody_listens(other)


# -- the same inverter over Modbus ----------------------------------------------------


@pytest.mark.parametrize("is_behind", [True, False])
async def test_inverter_that_a_datalogger_reports_is_not_added_over_modbus(
    hass: HomeAssistant, link: Link, is_behind: bool
) -> None:
    identified = await identify(link.units[1].copy())
    stored = identified.to_json()
    if not is_behind:
        stored = {**stored, "serial_number": "SNL0CE9999"}
    inventory = {
        "loggers": [{"serial": LOGGER}],
        "inverters": [{"logger_serial": LOGGER, "identification": stored}],
    }
    make_entry(inventory=inventory).add_to_hass(hass)
    result = await go_on(
        hass,
        await open_form(hass, "growatt_tcp"),
        {"host": INVERTER_HOST, "port": 502, **more()},
    )
    if is_behind:
        assert "through its datalogger" in await abort_text(hass, result)
    else:
        assert result["type"] is FlowResultType.CREATE_ENTRY
        await hass.async_block_till_done()
