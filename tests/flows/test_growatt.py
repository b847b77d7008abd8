"""Adding a Growatt inverter: every way in, everything that goes wrong, and going on from it."""

from collections.abc import Callable
from dataclasses import dataclass
import socket

from modbus_connection import (
    GatewayTargetError,
    IllegalDataAddressError,
    ModbusDesyncError,
)
import pytest

from custom_components.local_solar.const import DOMAIN
from custom_components.local_solar.modbus_link import ModbusLink
from homeassistant.config_entries import ConfigEntryState, ConfigFlowResult
from homeassistant.core import HomeAssistant
from homeassistant.data_entry_flow import FlowResultType
from tests.common import (
    HOST,
    TL_X,
    TL_XH,
    Link,
    Network,
    Unit,
    entry_of,
    load_unit,
    make_entry,
    set_up,
)

from .common import abort_text, error_text, go_on, more, open_form, suggested

PORT = "/dev/ttyUSB0"
PORT_BY_ID = "/dev/serial/by-id/usb-1a86_USB_Serial-if00-port0"

TCP_INPUT = {"host": HOST, "port": 502, **more()}
SERIAL_INPUT = {"device": PORT, "baudrate": "9600", **more()}


@pytest.fixture
def serial_by_id(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the computer know an adapter by its id."""
    monkeypatch.setattr(
        "homeassistant.components.usb.get_serial_by_id",
        {PORT: PORT_BY_ID, PORT_BY_ID: PORT_BY_ID}.__getitem__,
    )


async def added(hass: HomeAssistant, result: ConfigFlowResult) -> ModbusLink:
    """Return the link of the entry that a flow has made, which must be loaded."""
    assert result["type"] is FlowResultType.CREATE_ENTRY
    await hass.async_block_till_done()
    assert result["result"].state is ConfigEntryState.LOADED
    return ModbusLink.from_json(result["result"].data["link"])


# -- ways in --------------------------------------------------------------------------


@pytest.mark.parametrize("typed", ["Inverter", " inverter ", "INVERTER"])
async def test_tcp_host_is_stored_in_one_spelling(
    hass: HomeAssistant, link: Link, typed: str
) -> None:
    result = await open_form(hass, "growatt_tcp")
    result = await go_on(hass, result, {**TCP_INPUT, "host": typed})
    assert await added(hass, result) == ModbusLink(host="inverter", port=502)


async def test_rtu_over_tcp_is_stored_as_the_serial_form(
    hass: HomeAssistant, network: Network
) -> None:
    network.add_serial("socket://bridge:8899", {1: TL_X})
    result = await open_form(hass, "growatt_rtu_tcp")
    result = await go_on(hass, result, {"host": "Bridge", "port": 8899, **more()})
    assert await added(hass, result) == ModbusLink(
        device="socket://bridge:8899", baudrate=115200
    )


@pytest.mark.parametrize("typed", ["fe80::1", "[FE80::1]"])
@pytest.mark.parametrize(
    ("step", "stored"),
    [
        ("growatt_tcp", {"host": "fe80::1", "port": 4196}),
        (
            "growatt_rtu_tcp",
            {"device": "socket://[fe80::1]:4196", "baudrate": 115200},
        ),
    ],
)
async def test_ipv6_addresses_are_taken_with_and_without_brackets(
    hass: HomeAssistant,
    network: Network,
    typed: str,
    step: str,
    stored: dict[str, str | int],
) -> None:
    network.add_tcp("fe80::1", {1: TL_X}, port=4196)
    network.add_serial("socket://[fe80::1]:4196", {1: TL_X})
    result = await open_form(hass, step)
    result = await go_on(hass, result, {"host": typed, "port": 4196, **more()})
    assert await added(hass, result) == ModbusLink.from_json(stored)


@pytest.mark.usefixtures("serial_by_id")
async def test_serial_port_is_stored_by_id(
    hass: HomeAssistant, network: Network
) -> None:
    network.add_serial(PORT_BY_ID, {1: TL_X})
    result = await open_form(hass, "growatt_serial")
    result = await go_on(
        hass, result, {"device": f"{PORT} ", "baudrate": "38400", **more()}
    )
    assert await added(hass, result) == ModbusLink(device=PORT_BY_ID, baudrate=38400)


async def test_unit_id_is_asked_and_stored(
    hass: HomeAssistant, network: Network
) -> None:
    network.add_tcp(HOST, {7: TL_XH})
    result = await open_form(hass, "growatt_tcp")
    result = await go_on(hass, result, {**TCP_INPUT, **more(7)})
    await added(hass, result)
    assert entry_of(hass).data["unit_id"] == 7


async def test_inverter_that_is_already_there_is_not_added_twice(
    hass: HomeAssistant, link: Link, network: Network
) -> None:
    entry = await set_up(hass, link.units[1])
    network.add_tcp("elsewhere", {2: link.units[1].copy()})
    result = await open_form(hass, "growatt_tcp")
    result = await go_on(hass, result, {"host": "elsewhere", "port": 502, **more(2)})
    assert await abort_text(hass, result) == "This device has been added already."
    assert entry_of(hass) is entry
    assert entry.data["link"]["host"] == HOST


async def test_flow_gives_the_link_back(hass: HomeAssistant, link: Link) -> None:
    link.units[1].fall_silent()
    result = await open_form(hass, "growatt_tcp")
    await go_on(hass, result, TCP_INPUT)
    assert len(link.connections) == 1
    assert link.open_connections == 0


# -- the same bus ---------------------------------------------------------------------


@pytest.fixture
def second_inverter() -> Unit:
    """Another MIN 6000TL-XH."""
    return load_unit(serial_number="SNL0DEMO99")


async def test_same_bus_suggests_the_next_unit_id_and_the_known_link(
    hass: HomeAssistant, link: Link, second_inverter: Unit
) -> None:
    await set_up(hass, link.units[1])
    link.units[2] = second_inverter
    result = await open_form(hass, "growatt_same_link")
    assert result["data_schema"] is not None
    # What the frontend sends back when nothing is changed.
    untouched = result["data_schema"]({"more_options": {}})
    assert untouched == {"link": f"{HOST}:502", **more(2)}

    result = await go_on(hass, result, untouched)
    assert await added(hass, result) == ModbusLink(host=HOST, port=502)
    assert result["result"].data["unit_id"] == 2
    assert result["result"].unique_id == "SNL0DEMO99"
    assert len(link.connections) == 1  # shared, never closed meanwhile


async def test_same_bus_offers_every_link_once(
    hass: HomeAssistant, link: Link, network: Network, second_inverter: Unit
) -> None:
    serial = ModbusLink(device=PORT, baudrate=9600)
    await make_entry(hass, link.units[1])
    await make_entry(hass, second_inverter, unit_id=3)
    third = second_inverter.copy()
    third.set_serial_number("SNL0DEMO03")
    await make_entry(hass, third, link=serial, unit_id=2)
    result = await open_form(hass, "growatt_same_link")
    assert result["data_schema"] is not None
    fields = {
        str(field): selector for field, selector in result["data_schema"].schema.items()
    }
    assert [option["value"] for option in fields["link"].config["options"]] == [
        f"{HOST}:502",
        PORT,
    ]
    assert result["data_schema"]({"more_options": {}})["more_options"]["unit_id"] == 4


async def test_same_bus_shows_an_error_and_goes_on(
    hass: HomeAssistant, link: Link, second_inverter: Unit
) -> None:
    await set_up(hass, link.units[1])
    link.units[5] = second_inverter
    result = await open_form(hass, "growatt_same_link")
    result = await go_on(hass, result, {"link": f"{HOST}:502", **more(4)})
    assert "unit ID 4" in await error_text(hass, result, "no_answer")
    assert result["step_id"] == "growatt_same_link"
    result = await go_on(hass, result, {"link": f"{HOST}:502", **more(5)})
    await added(hass, result)


# -- what goes wrong ------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Trouble:
    """Something that goes wrong, what the form then says, and the cure."""

    error: str
    says: str
    begin: Callable[[Link], None]
    end: Callable[[Link], None]


def _fails_with(error: Exception) -> Callable[[Link], None]:
    return lambda link: link.units[1].fail_requests(error)


def _down(error: Exception) -> Callable[[Link], None]:
    return lambda link: link.go_down(error)


def _reload(link: Link) -> None:
    link.units[1] = Unit(TL_XH)


def _no_inverter(link: Link) -> None:
    link.units[1].fill(0)


def _noise(link: Link) -> None:
    link.units[1].fill(0xFFFF)


TROUBLES = {
    "host_not_found": Trouble(
        error="host_not_found",
        says=f"No device named like this was found in your network ({HOST}:502)",
        begin=_down(socket.gaierror(-2, "Name or service not known")),
        end=Link.come_up,
    ),
    "connection_refused": Trouble(
        error="connection_refused",
        says=f"{HOST}:502 refuses the connection",
        begin=_down(ConnectionRefusedError(111, "Connect call failed")),
        end=Link.come_up,
    ),
    "no_route": Trouble(
        error="cannot_connect",
        says=f"No connection to {HOST}:502",
        begin=_down(OSError(113, "No route to host")),
        end=Link.come_up,
    ),
    "sleeping_inverter": Trouble(
        error="no_answer",
        says=f"{HOST}:502 is connected, but no inverter answers at unit ID 1",
        begin=lambda link: link.units[1].fall_silent(),
        end=lambda link: link.units[1].answer(),
    ),
    "sleeping_inverter_behind_a_gateway": Trouble(
        error="no_answer",
        says="no inverter answers at unit ID 1",
        begin=_fails_with(GatewayTargetError()),
        end=lambda link: link.units[1].answer(),
    ),
    "other_device": Trouble(
        error="request_refused",
        says=f"Unit 1 on {HOST}:502 answers, but refuses to tell who it is",
        begin=_fails_with(IllegalDataAddressError()),
        end=lambda link: link.units[1].answer(),
    ),
    "wrong_protocol": Trouble(
        error="garbage",
        says=f"What comes from {HOST}:502 is no Modbus answer",
        begin=_fails_with(ModbusDesyncError("header mismatch")),
        end=lambda link: link.units[1].answer(),
    ),
    "noise": Trouble(
        error="garbage",
        says="is no Modbus answer",
        begin=_noise,
        end=_reload,
    ),
    "starting_inverter": Trouble(
        error="no_serial_number",
        says=f"Unit 1 on {HOST}:502 answers, but gives no serial number",
        begin=_no_inverter,
        end=_reload,
    ),
}


@pytest.mark.parametrize("trouble", TROUBLES.values(), ids=TROUBLES)
async def test_trouble_is_explained_and_the_same_flow_goes_on(
    hass: HomeAssistant, link: Link, trouble: Trouble
) -> None:
    trouble.begin(link)
    result = await open_form(hass, "growatt_tcp")
    result = await go_on(hass, result, TCP_INPUT)
    assert trouble.says in await error_text(hass, result, trouble.error)
    assert result["step_id"] == "growatt_tcp"
    assert suggested(result)["host"] == HOST  # what was typed is still there

    trouble.end(link)
    result = await go_on(hass, result, TCP_INPUT)
    await added(hass, result)


@pytest.mark.parametrize(
    ("because", "error", "says"),
    [
        pytest.param(
            FileNotFoundError(2, "No such file or directory"),
            "port_missing",
            f"There is no serial port {PORT}.",
            id="port_missing",
        ),
        pytest.param(
            BlockingIOError(11, "Resource temporarily unavailable"),
            "port_taken",
            f"The serial port {PORT} cannot be opened.",
            id="port_taken",
        ),
    ],
)
async def test_trouble_with_a_serial_port_is_explained_and_the_same_flow_goes_on(
    hass: HomeAssistant, network: Network, because: Exception, error: str, says: str
) -> None:
    link = network.add_serial(PORT, {1: TL_XH})
    link.go_down(because)
    result = await open_form(hass, "growatt_serial")
    result = await go_on(hass, result, SERIAL_INPUT)
    assert says in await error_text(hass, result, error)
    assert suggested(result)["device"] == PORT

    link.come_up()
    result = await go_on(hass, result, SERIAL_INPUT)
    await added(hass, result)


async def test_bridge_that_is_not_found_is_no_missing_serial_port(
    hass: HomeAssistant, network: Network
) -> None:
    result = await open_form(hass, "growatt_rtu_tcp")
    result = await go_on(hass, result, {"host": "bridge", "port": 8899, **more()})
    assert "(bridge:8899)" in await error_text(hass, result, "host_not_found")
    assert suggested(result) | {"more_options": None} == {
        "host": "bridge",
        "port": 8899,
        "more_options": None,
    }


async def test_link_that_is_open_at_another_speed_is_explained_and_the_flow_goes_on(
    hass: HomeAssistant, network: Network, second_inverter: Unit
) -> None:
    link = network.add_serial(PORT, {1: TL_XH, 2: second_inverter})
    await set_up(hass, link.units[1], link=ModbusLink(device=PORT, baudrate=9600))
    result = await open_form(hass, "growatt_serial")
    at_other_speed = {**SERIAL_INPUT, "baudrate": "38400", **more(2)}
    result = await go_on(hass, result, at_other_speed)
    assert f"{PORT} is already open with other settings" in await error_text(
        hass, result, "link_in_use"
    )
    result = await go_on(hass, result, {**SERIAL_INPUT, **more(2)})
    await added(hass, result)


async def test_two_flows_for_the_same_inverter_do_not_add_it_twice(
    hass: HomeAssistant, link: Link
) -> None:
    first = await open_form(hass, "growatt_tcp")
    second = await open_form(hass, "growatt_tcp")
    first = await go_on(hass, first, TCP_INPUT)
    second = await go_on(hass, second, TCP_INPUT)
    await added(hass, first)
    assert second["type"] is FlowResultType.ABORT
    assert len(hass.config_entries.async_entries(DOMAIN)) == 1


async def test_a_flow_leaves_the_pace_of_a_loaded_inverter_alone(
    hass: HomeAssistant, link: Link
) -> None:
    unit = link.units[1]
    await set_up(hass, unit, options={"message_spacing": 50})
    result = await open_form(hass, "growatt_tcp")
    result = await go_on(hass, result, TCP_INPUT)
    assert result["reason"] == "already_configured"
    coordinator = entry_of(hass).runtime_data
    await coordinator.async_refresh()
    assert unit.message_spacing == 0.05
    assert unit.required_timeout == 3.0
