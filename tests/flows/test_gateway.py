"""Adding a gateway: every way to name the bus, what goes wrong with it, and going on."""

from collections.abc import Callable
from dataclasses import dataclass
import socket
from typing import Final

from modbus_connection import (
    GatewayTargetError,
    IllegalDataAddressError,
    IllegalFunctionError,
    ModbusDesyncError,
)
import pytest
from pytest_homeassistant_custom_component.common import MockConfigEntry

from custom_components.local_solar.const import DOMAIN
from custom_components.local_solar.modbus_link import ModbusLink
from homeassistant.config_entries import ConfigFlowResult
from homeassistant.core import HomeAssistant
from tests.common import HOST, TL_X, TL_XH, Link, Network, Unit, make_entry, set_up

from .common import abort_text, error_text, go_on, start, suggested
from .gateway_helpers import (
    LISTENERS,
    WAYS,
    added,
    filled_in,
    make_gateway,
    open_gateway,
    set_up_gateway,
)

pytestmark = pytest.mark.usefixtures("socket_enabled", "bare_gateways")

PORT: Final = "/dev/ttyUSB0"
PORT_BY_ID: Final = "/dev/serial/by-id/usb-1a86_USB_Serial-if00-port0"


# -- ways in --------------------------------------------------------------------------


async def test_menu_offers_the_kinds_of_links_and_those_that_are_known(
    hass: HomeAssistant, link: Link
) -> None:
    result = await go_on(hass, await start(hass), {"next_step_id": "gateway"})
    assert result["menu_options"] == WAYS
    await make_entry(hass, link.units[1])
    result = await go_on(hass, await start(hass), {"next_step_id": "gateway"})
    assert result["menu_options"] == ["gateway_shared", *WAYS]


async def test_tcp_bus_is_added(hass: HomeAssistant, link: Link, port: int) -> None:
    result = await open_gateway(hass, "gateway_tcp")
    result = await go_on(hass, result, filled_in(host=" Inverter", port=502))
    entry = await added(hass, result)
    assert entry.title == f"Modbus gateway ({HOST}:502)"
    assert entry.unique_id is None
    assert not entry.options
    assert entry.data == {
        "kind": "gateway",
        "link": {"host": HOST, "port": 502},
        "units": [1],
        **LISTENERS,
        "port": port,
    }
    assert {type(entry.data[key]) for key in ("port", "rtu_port", "terminals")} == {int}


async def test_bus_behind_a_bridge_is_added(
    hass: HomeAssistant, network: Network
) -> None:
    network.add_serial("socket://bridge:8899", {1: TL_X})
    result = await open_gateway(hass, "gateway_rtu_tcp")
    result = await go_on(hass, result, filled_in(host="Bridge", port=8899))
    entry = await added(hass, result)
    assert entry.title == "Modbus gateway (bridge:8899)"
    assert entry.data["link"] == {"device": "socket://bridge:8899", "baudrate": 115200}


async def test_serial_bus_is_added_by_the_id_of_its_adapter(
    hass: HomeAssistant, network: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "homeassistant.components.usb.get_serial_by_id", {PORT: PORT_BY_ID}.__getitem__
    )
    network.add_serial(PORT_BY_ID, {1: TL_X})
    result = await open_gateway(hass, "gateway_serial")
    result = await go_on(hass, result, filled_in(device=PORT, baudrate="38400"))
    entry = await added(hass, result)
    assert entry.data["link"] == {"device": PORT_BY_ID, "baudrate": 38400}


@pytest.mark.parametrize(
    ("typed", "units"),
    [
        ("1", [1]),
        (" 2, 1 ", [1, 2]),
        ("1 2;2", [1, 2]),
        ("247,", [247]),
        ("1,2,3,4,5,6,7,8", [1, 2, 3, 4, 5, 6, 7, 8]),
    ],
)
async def test_unit_ids_are_read_as_they_are_typed(
    hass: HomeAssistant, network: Network, typed: str, units: list[int]
) -> None:
    link = network.add_tcp(HOST, dict.fromkeys(units, TL_X))
    result = await open_gateway(hass, "gateway_tcp")
    entry = await added(hass, await go_on(hass, result, filled_in(typed)))
    assert entry.data["units"] == units
    assert all(link.units[unit_id].read_events for unit_id in units)
    # One connection was enough for all.
    assert len(link.connections) == 2  # to try them, and that of the entry


@pytest.mark.parametrize(
    "typed",
    ["", "0", "248", "-1", "one", "1-3", "1.5", "9999", "1,2,3,4,5,6,7,8,9", "1,,x"],
)
async def test_unit_ids_that_cannot_be_are_refused_at_their_field(
    hass: HomeAssistant, link: Link, typed: str
) -> None:
    result = await open_gateway(hass, "gateway_tcp")
    result = await go_on(hass, result, filled_in(typed))
    assert result["errors"] == {"units": "bad_units"}
    assert suggested(result)["units"] == typed
    assert not link.connections
    await added(hass, await go_on(hass, result, filled_in()))


async def test_only_a_harmless_register_is_asked_for(
    hass: HomeAssistant, link: Link
) -> None:
    """An off-grid inverter may reset when it is asked for others."""
    result = await open_gateway(hass, "gateway_tcp")
    await go_on(hass, result, filled_in())
    (read,) = link.units[1].read_events
    assert (read.register_type, read.address, read.count) == ("holding", 0, 1)
    assert link.open_connections == 0


# -- a link that is known -------------------------------------------------------------


async def test_known_link_is_suggested_with_its_unit_ids(
    hass: HomeAssistant, link: Link
) -> None:
    link.units[3] = Unit(TL_X)
    await set_up(hass, link.units[1])
    await make_entry(hass, link.units[3], unit_id=3)
    result = await open_gateway(hass, "gateway_shared")
    assert suggested(result)["units"] == "1, 3"
    assert result["data_schema"] is not None
    # What the frontend sends back when nothing is changed.
    untouched = result["data_schema"]({"units": "1, 3", "more_options": {}})
    assert untouched["link"] == f"{HOST}:502"
    entry = await added(hass, await go_on(hass, result, untouched))
    assert entry.data["link"] == {"host": HOST, "port": 502}
    assert entry.data["units"] == [1, 3]
    assert len(link.connections) == 1  # shared, never closed meanwhile


async def test_unit_ids_that_are_left_empty_are_those_of_the_link_that_is_chosen(
    hass: HomeAssistant, link: Link, network: Network
) -> None:
    mate3 = network.add_tcp("mate3", {1: TL_X, 7: TL_XH})
    await make_entry(hass, link.units[1])
    await make_entry(hass, link.units[1], unit_id=4)
    for unit_id in (7, 0):  # which a MATE3 answers at, but a gateway does not take
        MockConfigEntry(
            domain=DOMAIN,
            data={
                "kind": "outback",
                "link": {"host": "mate3", "port": 502},
                "unit_id": unit_id,
            },
        ).add_to_hass(hass)
    result = await open_gateway(hass, "gateway_shared")
    assert suggested(result)["units"] is None
    assert result["data_schema"] is not None
    fields = {str(key): value for key, value in result["data_schema"].schema.items()}
    assert [option["label"] for option in fields["link"].config["options"]] == [
        f"{HOST}:502 (unit ID 1, 4)",
        "mate3:502 (unit ID 7)",
    ]
    more = {"more_options": {"set_up_anyway": False}}
    result = await go_on(hass, result, {"link": "mate3:502", **more})
    entry = await added(hass, result)
    assert entry.data["units"] == [7]
    assert mate3.units[7].read_events
    # A bus that is shared is not offered again.
    result = await open_gateway(hass, "gateway_shared")
    assert result["data_schema"] is not None
    assert result["data_schema"]({"more_options": {}})["link"] == f"{HOST}:502"
    assert suggested(result)["units"] == "1, 4"


async def test_known_link_that_is_down_is_explained_and_the_flow_goes_on(
    hass: HomeAssistant, link: Link
) -> None:
    await make_entry(hass, link.units[1])
    link.go_down(ConnectionRefusedError(111, "Connect call failed"))
    known = filled_in(link=f"{HOST}:502")
    result = await open_gateway(hass, "gateway_shared")
    result = await go_on(hass, result, known)
    assert f"{HOST}:502 refuses" in await error_text(hass, result, "connection_refused")
    assert result["step_id"] == "gateway_shared"
    link.come_up()
    await added(hass, await go_on(hass, result, known))


# -- what goes wrong ------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Trouble:
    """Something that goes wrong, what the form then says, and the cure."""

    error: str
    says: str
    begin: Callable[[Link], None]
    end: Callable[[Link], None] = Link.come_up


def _down(error: Exception) -> Callable[[Link], None]:
    return lambda link: link.go_down(error)


def _time_out(link: Link) -> None:
    link.times_out = True


def _answer_in_time(link: Link) -> None:
    link.times_out = False


TROUBLES: Final = {
    "host_not_found": Trouble(
        error="host_not_found",
        says=f"No device named like this was found in your network ({HOST}:502)",
        begin=_down(socket.gaierror(-2, "Name or service not known")),
    ),
    "refused": Trouble(
        error="connection_refused",
        says=f"{HOST}:502 refuses the connection",
        begin=_down(ConnectionRefusedError(111, "Connect call failed")),
    ),
    "no_route": Trouble(
        error="cannot_connect",
        says=f"No connection to {HOST}:502",
        begin=_down(OSError(113, "No route to host")),
    ),
    "slow": Trouble(
        error="cannot_connect",
        says=f"No connection to {HOST}:502",
        begin=_time_out,
        end=_answer_in_time,
    ),
    "wrong_protocol": Trouble(
        error="garbage",
        says=f"What comes from {HOST}:502 is no Modbus answer",
        begin=lambda link: link.units[1].fail_requests(ModbusDesyncError("header")),
        end=lambda link: link.units[1].answer(),
    ),
}


@pytest.mark.parametrize("anyway", [False, True])
@pytest.mark.parametrize("trouble", TROUBLES.values(), ids=TROUBLES)
async def test_link_that_does_not_work_is_explained_and_the_same_flow_goes_on(
    hass: HomeAssistant, link: Link, trouble: Trouble, anyway: bool
) -> None:
    """A silent device may be expected, a link that is down may not."""
    trouble.begin(link)
    result = await open_gateway(hass, "gateway_tcp")
    result = await go_on(hass, result, filled_in(anyway=anyway))
    assert trouble.says in await error_text(hass, result, trouble.error)
    assert result["step_id"] == "gateway_tcp"
    assert suggested(result)["host"] == HOST
    assert is_collapsed(result)
    trouble.end(link)
    await added(hass, await go_on(hass, result, filled_in()))


@pytest.mark.parametrize("error", [IllegalDataAddressError(), IllegalFunctionError()])
async def test_device_that_refuses_is_there(
    hass: HomeAssistant, link: Link, error: Exception
) -> None:
    link.units[1].fail_requests(error)
    result = await open_gateway(hass, "gateway_tcp")
    await added(hass, await go_on(hass, result, filled_in()))


def is_collapsed(result: ConfigFlowResult) -> bool:
    """Return whether the rarely needed part of a form is closed."""
    assert result["data_schema"] is not None
    collapsed: bool = result["data_schema"].schema["more_options"].options["collapsed"]
    return collapsed


@pytest.mark.parametrize("silence", [None, GatewayTargetError()], ids=str)
async def test_silent_devices_are_named_and_taken_once_they_are_expected(
    hass: HomeAssistant, link: Link, silence: Exception | None
) -> None:
    link.units[1].fall_silent()
    if silence is not None:
        link.units[1].fail_requests(silence)
    link.units[2] = Unit(TL_X)
    result = await open_gateway(hass, "gateway_tcp")
    assert is_collapsed(result)
    result = await go_on(hass, result, filled_in("1, 2, 5"))
    text = await error_text(hass, result, "gateway_no_answer")
    assert f"{HOST}:502 is connected, but nothing answers at unit ID 1, 5." in text
    # The box that the text tells of can be seen.
    assert not is_collapsed(result)
    assert suggested(result)["units"] == "1, 2, 5"
    result = await go_on(hass, result, filled_in("1, 2, 5", anyway=True))
    entry = await added(hass, result)
    assert entry.data["units"] == [1, 2, 5]
    assert "set_up_anyway" not in str(entry.data)


async def test_silent_device_that_wakes_up_needs_no_box(
    hass: HomeAssistant, link: Link
) -> None:
    link.units[1].fall_silent()
    result = await open_gateway(hass, "gateway_tcp")
    result = await go_on(hass, result, filled_in())
    await error_text(hass, result, "gateway_no_answer")
    link.units[1].answer()
    await added(hass, await go_on(hass, result, filled_in()))


@pytest.mark.parametrize(
    ("because", "error", "says"),
    [
        (
            FileNotFoundError(2, "No such file or directory"),
            "port_missing",
            f"There is no serial port {PORT}.",
        ),
        (
            BlockingIOError(11, "Resource temporarily unavailable"),
            "port_taken",
            f"The serial port {PORT} cannot be opened.",
        ),
    ],
    ids=["missing", "taken"],
)
async def test_trouble_with_a_serial_port_is_explained_and_the_same_flow_goes_on(
    hass: HomeAssistant, network: Network, because: Exception, error: str, says: str
) -> None:
    link = network.add_serial(PORT, {1: TL_XH})
    link.go_down(because)
    form = filled_in(device=PORT, baudrate="9600")
    result = await open_gateway(hass, "gateway_serial")
    result = await go_on(hass, result, form)
    assert says in await error_text(hass, result, error)
    assert suggested(result)["device"] == PORT
    link.come_up()
    await added(hass, await go_on(hass, result, form))


async def test_bus_that_is_open_at_another_speed_is_explained_and_the_flow_goes_on(
    hass: HomeAssistant, network: Network
) -> None:
    link = network.add_serial(PORT, {1: TL_XH})
    await set_up(hass, link.units[1], link=ModbusLink(device=PORT, baudrate=9600))
    result = await open_gateway(hass, "gateway_serial")
    result = await go_on(hass, result, filled_in(device=PORT, baudrate="38400"))
    text = await error_text(hass, result, "link_in_use")
    assert f"{PORT} is already open with other settings" in text
    result = await go_on(hass, result, filled_in(device=PORT, baudrate="9600"))
    await added(hass, result)


# -- one gateway for each bus ---------------------------------------------------------


async def test_bus_that_has_a_gateway_gets_no_second_one(
    hass: HomeAssistant, link: Link
) -> None:
    await set_up_gateway(hass)
    result = await open_gateway(hass, "gateway_tcp")
    result = await go_on(hass, result, filled_in("2"))
    assert await abort_text(hass, result) == "This device has been added already."
    assert not link.units[1].read_events


async def test_bus_is_the_same_at_another_speed(
    hass: HomeAssistant, network: Network
) -> None:
    network.add_serial(PORT, {1: TL_X})
    make_gateway(hass, ModbusLink(device=PORT, baudrate=9600))
    result = await open_gateway(hass, "gateway_serial")
    result = await go_on(hass, result, filled_in(device=PORT, baudrate="38400"))
    assert result["reason"] == "already_configured"


async def test_gateway_on_every_known_link_leaves_none_to_choose(
    hass: HomeAssistant, link: Link
) -> None:
    await make_entry(hass, link.units[1])
    make_gateway(hass)
    result = await go_on(hass, await start(hass), {"next_step_id": "gateway"})
    assert result["menu_options"] == WAYS


async def test_other_bus_gets_a_gateway_of_its_own(
    hass: HomeAssistant, link: Link, network: Network
) -> None:
    first = await set_up_gateway(hass)
    network.add_tcp("second", {1: TL_X})
    result = await open_gateway(hass, "gateway_tcp")
    result = await go_on(hass, result, filled_in(host="second", port=502))
    second = await added(hass, result)
    assert second.entry_id != first.entry_id
    assert second.title == "Modbus gateway (second:502)"
