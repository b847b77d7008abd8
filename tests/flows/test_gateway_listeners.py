"""How others reach a gateway: asked, tried, put right, and changed afterwards."""

from pathlib import Path
from typing import Any, Final

import pytest
from pytest_homeassistant_custom_component.common import MockConfigEntry

from custom_components.local_solar.modbus_link import ModbusLink
from homeassistant.config_entries import ConfigEntryState, ConfigFlowResult
from homeassistant.core import HomeAssistant
from homeassistant.data_entry_flow import FlowResultType, InvalidData
from tests.common import HOST, TL_X, TL_XH, Link, Network, make_entry, setup_state

from .common import UserInput, abort_text, choose, error_text, go_on, suggested
from .gateway_helpers import (
    LISTENERS,
    LOOPBACK,
    WAYS,
    added,
    filled_in,
    make_gateway,
    open_gateway,
    set_up_gateway,
    taken,
)

pytestmark = pytest.mark.usefixtures("socket_enabled", "bare_gateways")

NOT_OURS: Final = "192.0.2.1"
"""An address that no computer has."""

PORT: Final = "/dev/serial/by-id/usb-adapter"


def listeners(port: int, **changed: Any) -> UserInput:
    """Return the second form as it is filled in."""
    form = {**LISTENERS, "port": port, **changed}
    return {key: value for key, value in form.items() if value != ""}


async def open_listeners(hass: HomeAssistant) -> ConfigFlowResult:
    """Fill in the first form, so that the second one is shown."""
    result = await open_gateway(hass, "gateway_tcp")
    result = await go_on(hass, result, filled_in())
    assert result["step_id"] == "gateway_listeners"
    return result


@pytest.fixture
def stick(tmp_path: Path) -> str:
    """A serial port for the maker's stick."""
    path = tmp_path / "ttyUSB1"
    path.touch()
    return str(path)


# -- asking ---------------------------------------------------------------------------


async def test_form_suggests_that_only_this_computer_is_let_in(
    hass: HomeAssistant, link: Link
) -> None:
    result = await open_listeners(hass)
    assert result["data_schema"] is not None
    fields = {str(key): value for key, value in result["data_schema"].schema.items()}
    offered = [option["value"] for option in fields["host"].config["options"]]
    assert offered[0] == LOOPBACK
    assert offered[-1] == "0.0.0.0"
    assert len(set(offered)) == len(offered) > 2
    held = result["data_schema"]({})
    assert held["host"] == LOOPBACK
    assert "dongle_device" not in held
    assert (result["description_placeholders"] or {})["link"] == f"{HOST}:502"


async def test_all_that_is_filled_in_is_stored(
    hass: HomeAssistant, link: Link, port: int, unused_tcp_port_factory: Any, stick: str
) -> None:
    chosen = listeners(
        port,
        host=" 0.0.0.0 ",
        rtu_port=unused_tcp_port_factory(),
        terminals=3,
        dongle_device=stick,
        dongle_baudrate="9600",
    )
    entry = await added(hass, await open_listeners(hass), **chosen)
    stored = {key: entry.data[key] for key in LISTENERS}
    assert stored == chosen | {"host": "0.0.0.0"}


@pytest.mark.parametrize(
    "wrong",
    [
        {"port": 0},
        {"port": 65536},
        {"rtu_port": -1},
        {"rtu_port": 65536},
        {"terminals": -1},
        {"terminals": 9},
        {"dongle_baudrate": "1200"},
    ],
    ids=str,
)
async def test_values_that_make_no_sense_are_refused(
    hass: HomeAssistant, link: Link, port: int, wrong: dict[str, Any]
) -> None:
    result = await open_listeners(hass)
    with pytest.raises(InvalidData):
        await go_on(hass, result, listeners(port) | wrong)


# -- what goes wrong ------------------------------------------------------------------


async def test_port_of_another_program_is_named_and_taken_once_it_is_free(
    hass: HomeAssistant, link: Link, port: int
) -> None:
    result = await open_listeners(hass)
    async with taken(port):
        result = await go_on(hass, result, listeners(port, terminals=2))
        text = await error_text(hass, result, "cannot_listen")
        assert f"{LOOPBACK}:{port} (Address already in use)" in text
    assert suggested(result)["terminals"] == 2
    await added(hass, result, **listeners(port))


async def test_port_for_rtu_is_tried_too(
    hass: HomeAssistant, link: Link, port: int, unused_tcp_port_factory: Any
) -> None:
    other = unused_tcp_port_factory()
    result = await open_listeners(hass)
    async with taken(other):
        result = await go_on(hass, result, listeners(port, rtu_port=other))
        text = await error_text(hass, result, "cannot_listen")
        assert f"{LOOPBACK}:{other}" in text
    entry = await added(hass, result, **listeners(port, rtu_port=other))
    assert entry.data["rtu_port"] == other


@pytest.mark.parametrize(
    ("host", "says"),
    [(NOT_OURS, "has no such address"), (" ", "no address is given")],
)
async def test_address_that_cannot_be_is_explained_and_the_flow_goes_on(
    hass: HomeAssistant, link: Link, port: int, host: str, says: str
) -> None:
    result = await open_listeners(hass)
    result = await go_on(hass, result, listeners(port, host=host))
    assert says in await error_text(hass, result, "cannot_listen")
    await added(hass, result, **listeners(port))


async def test_both_kinds_of_connections_have_a_port_of_their_own(
    hass: HomeAssistant, link: Link, port: int
) -> None:
    result = await open_listeners(hass)
    result = await go_on(hass, result, listeners(port, rtu_port=port))
    assert result["errors"] == {"rtu_port": "same_port"}
    await added(hass, result, **listeners(port))


async def test_stick_needs_a_serial_port_other_than_that_of_the_bus(
    hass: HomeAssistant, network: Network, port: int, tmp_path: Path, stick: str
) -> None:
    adapter = tmp_path / "ttyUSB0"
    adapter.touch()
    alias = tmp_path / "adapter"
    alias.symlink_to(adapter)
    network.add_serial(str(adapter), {1: TL_X})
    result = await open_gateway(hass, "gateway_serial")
    result = await go_on(hass, result, filled_in(device=str(adapter), baudrate="9600"))
    for same in (adapter, alias):
        wrong = listeners(port, dongle_device=str(same))
        result = await go_on(hass, result, wrong)
        assert result["errors"] == {"dongle_device": "dongle_port_used"}
        assert (result["description_placeholders"] or {})["device"] == str(same)
        assert suggested(result)["dongle_device"] == str(same)
    entry = await added(hass, result, **listeners(port, dongle_device=f" {stick}"))
    assert entry.data["dongle_device"] == stick


@pytest.mark.parametrize("used_by", ["inverter", "gateway"])
async def test_stick_needs_a_serial_port_that_no_other_entry_uses(
    hass: HomeAssistant, link: Link, port: int, stick: str, used_by: str
) -> None:
    if used_by == "inverter":
        await make_entry(hass, link.units[1], link=ModbusLink(device=stick))
    else:
        make_gateway(hass, ModbusLink(host="other"), dongle_device=stick)
    result = await open_listeners(hass)
    result = await go_on(hass, result, listeners(port, dongle_device=stick))
    assert result["errors"] == {"dongle_device": "dongle_port_used"}
    await added(hass, result, **listeners(port))


async def test_stick_needs_a_serial_port_that_is_there(
    hass: HomeAssistant, link: Link, port: int, stick: str
) -> None:
    result = await open_listeners(hass)
    missing = f"{stick}0"
    result = await go_on(hass, result, listeners(port, dongle_device=missing))
    assert result["errors"] == {"dongle_device": "port_missing"}
    assert (result["description_placeholders"] or {})["address"] == missing
    await added(hass, result, **listeners(port, dongle_device=stick))


async def test_serial_port_of_the_stick_may_be_elsewhere(
    hass: HomeAssistant, link: Link, port: int
) -> None:
    """Such as that of an ESP32, which is reached over the network."""
    remote = "esphome://adapter"
    form = listeners(port, dongle_device=remote)
    entry = await added(hass, await open_listeners(hass), **form)
    assert entry.data["dongle_device"] == remote


# -- changing -------------------------------------------------------------------------


async def reconfigure(
    hass: HomeAssistant, entry: MockConfigEntry, step: str
) -> ConfigFlowResult:
    """Start to change a gateway."""
    return await choose(hass, await entry.start_reconfigure_flow(hass), step)


async def changed(
    hass: HomeAssistant, result: ConfigFlowResult, user_input: UserInput
) -> None:
    """Fill in the second form, which must be right."""
    assert result["step_id"] == "gateway_listeners"
    result = await go_on(hass, result, user_input)
    assert await abort_text(hass, result) == "Reconfiguration was successful"
    await hass.async_block_till_done()


async def test_menu_for_a_change_starts_with_what_changes_most(
    hass: HomeAssistant, link: Link
) -> None:
    entry = make_gateway(hass)
    result = await entry.start_reconfigure_flow(hass)
    assert result["type"] is FlowResultType.MENU
    assert result["menu_options"] == ["gateway_listeners", *WAYS]
    # The link of an inverter is offered although this gateway shares it: it may stay so.
    await make_entry(hass, link.units[1])
    result = await entry.start_reconfigure_flow(hass)
    assert result["menu_options"] == ["gateway_listeners", "gateway_shared", *WAYS]


async def test_listeners_are_changed_and_the_bus_stays(
    hass: HomeAssistant, link: Link, port: int, unused_tcp_port_factory: Any, stick: str
) -> None:
    stored: dict[str, Any] = {"port": port, "terminals": 2, "dongle_device": stick}
    entry = await set_up_gateway(hass, units=[1, 3], **stored)
    result = await reconfigure(hass, entry, "gateway_listeners")
    assert suggested(result) == LISTENERS | stored
    other = unused_tcp_port_factory()
    await changed(hass, result, listeners(port, rtu_port=other))
    assert setup_state(entry) is ConfigEntryState.LOADED
    # What is left empty is given up.
    assert entry.data == {
        "kind": "gateway",
        "link": {"host": HOST, "port": 502},
        "units": [1, 3],
        **LISTENERS,
        "port": port,
        "rtu_port": other,
    }
    assert suggested(await reconfigure(hass, entry, "gateway_listeners")) == {
        **LISTENERS,
        "port": port,
        "rtu_port": other,
        "dongle_device": None,
    }


async def test_own_ports_may_be_kept_and_swapped(
    hass: HomeAssistant, link: Link, port: int, unused_tcp_port_factory: Any
) -> None:
    other = unused_tcp_port_factory()
    entry = await set_up_gateway(hass, port=port, rtu_port=other)
    async with taken(port), taken(other):  # by the gateway itself
        for first, second in ((port, other), (other, port)):
            result = await reconfigure(hass, entry, "gateway_listeners")
            await changed(hass, result, listeners(first, rtu_port=second))
    assert (entry.data["port"], entry.data["rtu_port"]) == (other, port)


async def test_ports_are_not_the_gateways_own_while_it_does_not_run(
    hass: HomeAssistant, link: Link, port: int
) -> None:
    entry = make_gateway(hass, port=port)
    result = await reconfigure(hass, entry, "gateway_listeners")
    async with taken(port):
        result = await go_on(hass, result, listeners(port))
        assert str(port) in await error_text(hass, result, "cannot_listen")
    await changed(hass, result, listeners(port))


async def test_stick_that_is_unplugged_for_now_may_stay(
    hass: HomeAssistant, link: Link, port: int, stick: str
) -> None:
    entry = await set_up_gateway(hass, port=port, dongle_device=stick)
    Path(stick).unlink()
    result = await reconfigure(hass, entry, "gateway_listeners")
    await changed(hass, result, listeners(port, dongle_device=stick, terminals=1))
    assert entry.data["dongle_device"] == stick
    assert entry.data["terminals"] == 1


async def test_gateway_moves_to_another_bus_and_keeps_the_rest(
    hass: HomeAssistant, link: Link, network: Network, port: int
) -> None:
    moved = network.add_serial("socket://bridge:8899", {2: TL_X})
    entry = await set_up_gateway(hass, port=port, terminals=1, options={"max_age": 2.0})
    result = await reconfigure(hass, entry, "gateway_rtu_tcp")
    assert suggested(result)["host"] is None
    assert suggested(result)["units"] == "1"
    form = filled_in("2", host="bridge", port=8899)
    result = await go_on(hass, result, form)
    # The second form may be left open: until then all goes on as before.
    assert setup_state(entry) is ConfigEntryState.LOADED
    assert entry.data["link"] == {"host": HOST, "port": 502}
    assert (link.open_connections, moved.open_connections) == (0, 0)
    await changed(hass, result, listeners(port, terminals=1))
    assert entry.data["link"]["device"] == "socket://bridge:8899"
    assert entry.data["units"] == [2]
    assert entry.options == {"max_age": 2.0}
    assert entry.title == "Modbus gateway (bridge:8899)"


async def test_name_that_the_owner_gave_stays(
    hass: HomeAssistant, link: Link, network: Network, port: int
) -> None:
    network.add_tcp("second", {1: TL_X})
    entry = await set_up_gateway(hass, port=port)
    hass.config_entries.async_update_entry(entry, title="Roof")
    result = await reconfigure(hass, entry, "gateway_tcp")
    result = await go_on(hass, result, filled_in(host="second", port=502))
    await changed(hass, result, listeners(port))
    assert entry.title == "Roof"


async def test_form_holds_the_bus_as_it_is_and_its_own_is_no_second_one(
    hass: HomeAssistant, link: Link, port: int
) -> None:
    entry = await set_up_gateway(hass, port=port)
    result = await reconfigure(hass, entry, "gateway_tcp")
    held = suggested(result)
    assert (held["host"], held["port"], held["units"]) == (HOST, 502, "1")
    result = await go_on(hass, result, filled_in("1, 2", anyway=True))
    await changed(hass, result, listeners(port))
    assert entry.data["units"] == [1, 2]


async def test_known_link_holds_the_unit_ids_that_are_shared_now(
    hass: HomeAssistant, link: Link, network: Network, port: int
) -> None:
    await make_entry(hass, link.units[1])
    await make_entry(hass, link.units[1], link=ModbusLink(host="second"), unit_id=2)
    network.add_tcp("second", {2: TL_X})
    entry = await set_up_gateway(hass, port=port, units=[1, 4])
    result = await reconfigure(hass, entry, "gateway_shared")
    held = suggested(result)
    assert (held["link"], held["units"]) == (f"{HOST}:502", "1, 4")
    more = {"more_options": {"set_up_anyway": False}}
    result = await go_on(hass, result, {"link": "second:502", **more})
    await changed(hass, result, listeners(port))
    assert entry.data["units"] == [2]


async def test_known_link_that_is_another_one_holds_its_own_unit_ids(
    hass: HomeAssistant, link: Link
) -> None:
    other = ModbusLink(host="second")
    await make_entry(hass, link.units[1], link=other, unit_id=2)
    result = await reconfigure(hass, make_gateway(hass), "gateway_shared")
    held = suggested(result)
    assert (held["link"], held["units"]) == (None, "2")


async def test_bus_of_a_gateway_takes_another_speed(
    hass: HomeAssistant, network: Network, port: int
) -> None:
    """One device is not opened with two settings: the gateway lets go of it for the trial."""
    bus = network.add_serial(PORT, {1: TL_XH})
    bus.baudrate = 38400
    entry = await set_up_gateway(hass, ModbusLink(device=PORT), port=port)
    result = await reconfigure(hass, entry, "gateway_serial")
    assert suggested(result)["baudrate"] == "9600"
    result = await go_on(hass, result, filled_in(device=PORT, baudrate="115200"))
    await error_text(hass, result, "gateway_no_answer")
    assert setup_state(entry) is ConfigEntryState.LOADED
    result = await go_on(hass, result, filled_in(device=PORT, baudrate="38400"))
    assert setup_state(entry) is ConfigEntryState.LOADED
    await changed(hass, result, listeners(port))
    assert entry.data["link"] == {"device": PORT, "baudrate": 38400}
    assert setup_state(entry) is ConfigEntryState.LOADED
