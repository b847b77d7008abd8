"""What an owner does and sees in Home Assistant's web page.

With ``LOCAL_SOLAR_SCREENSHOTS=docs/images`` the README's pictures are kept there. There is
none of the energy dashboard: Home Assistant fills it at the next full hour only.
"""

import asyncio
from collections.abc import Iterator
import os
from pathlib import Path
import re

import pytest

from demo.families import DOMAIN, FAMILIES
from demo.home_assistant import free_port
from demo.house import APPEARED_WITHIN, PASSWORD, USER, House
from demo.simulators import Address
from demo.waiting import until

from .browser import HEIGHT, WIDTH, Page, find_browser, opened_page
from .conftest import TIME_ZONE, allow_sockets

BROWSER = find_browser()

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(
        BROWSER is None, reason="there is no Chromium with its chromedriver on the PATH"
    ),
]

HYBRID = "Growatt MIN 6000TL-XH"
BATTERY = "Growatt ARK battery"
PV_INVERTER = "Growatt MIN 5000TL-X"
SETTING = "Charge stop SOC"
OVER_TCP, OVER_RTU_TCP = FAMILIES["growatt"]
GROWATT = "Growatt inverter over Modbus TCP"

MICROINVERTER = "Hoymiles HMS-800W-2T"
INTEGRATED, _ = FAMILIES["hoymiles"]
DTU = "Hoymiles DTU"
DTU_PORT = 10081
"""Of real ones."""

(SYSTEM,) = FAMILIES["outback"]
GATEWAY = "OutBack MATE3 or MATE3s"
MATE3 = "OutBack MATE3s"
RADIAN = "OutBack GS8048A port 1"
CONTROLLER = "OutBack FM80-150VDC port 3"
MONITOR = "OutBack FLEXnet DC port 5"

(LISTENER,) = FAMILIES["datalogger"]
DATALOGGER = "Growatt datalogger (ShineWiFi, ShineLAN)"
THIS_COMPUTER = "127.0.0.1 (this computer only)"
WITH_CLOUD = "With Growatt's cloud: reports go on to it"
STAND_ALONE = "Without it: Home Assistant answers by itself"
STICK = "Growatt ShineWiFi-X XGD0DEMO01"
SPH = "Growatt SPH 3000-6000TL BL-UP (5000 VA)"
SPH_BATTERY = "Growatt battery"
METER = "Growatt meter"

(SHARED,) = FAMILIES["gateway"]
SHARE = "Share a bus with other programs (gateway)"
KNOWN_LINK = "A link that Local Solar uses already"
BUS_GATEWAY = "Local Solar Modbus gateway"

KEPT = os.environ.get("LOCAL_SOLAR_SCREENSHOTS")


@pytest.fixture(scope="module")
def page(house: House, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    """The web page after logging in."""
    assert BROWSER is not None
    screenshots = Path(KEPT).resolve() if KEPT else tmp_path_factory.mktemp("pictures")
    screenshots.mkdir(parents=True, exist_ok=True)
    with opened_page(
        *BROWSER,
        house.home_assistant.url,
        profile=tmp_path_factory.mktemp("profile"),
        screenshots=screenshots,
        time_zone=TIME_ZONE,
    ) as page:
        page.open("/")
        page.fill("Username", USER)
        page.fill("Password", PASSWORD)
        page.click("Log in")
        page.wait_for("Settings", "Energy")
        yield page


@pytest.fixture(scope="module")
def hybrid(page: Page, house: House) -> list[str]:
    """A hybrid that was added by clicking; the value is what could be read in the end."""
    _open_form(page, GROWATT)
    _fill_in(page, house.address_of(OVER_TCP))
    page.take_picture("config-flow")
    return _finish(page)


def _finish(page: Page) -> list[str]:
    """Submit the form and return what can be read when its devices are added."""
    page.click("Submit")
    page.wait_for("Name and assign", seconds=40)
    texts = page.texts
    page.click("Skip and finish")
    return texts


def _open_form(page: Page, item: str) -> None:
    page.open("/config/integrations/dashboard")
    page.click("Add integration")
    page.fill("Search for a brand name", "Local Solar")
    page.click("Local Solar", last=True)
    page.click(item)
    page.wait_for("Submit")


def _fill_in(page: Page, address: Address) -> None:
    page.fill("Host", address.host)
    page.fill("Port", str(address.port))


def test_the_form_says_that_nothing_listens(page: Page) -> None:
    nobody = Address("127.0.0.1", free_port())
    _open_form(page, GROWATT)
    _fill_in(page, nobody)
    page.click("Submit")
    page.wait_for_part(f"{nobody} refuses the connection. Check the port")


def test_the_form_says_that_no_inverter_answers(page: Page, house: House) -> None:
    address = house.address_of(OVER_TCP)
    _open_form(page, GROWATT)
    _fill_in(page, address)
    page.click("More options")
    page.fill("Unit ID", "7")
    page.click("Submit")
    page.wait_for_part(f"{address} is connected, but no inverter answers at unit ID 7.")
    page.take_picture("config-flow-error")


def test_an_inverter_is_added_by_clicking(
    house: House, runner: asyncio.Runner, hybrid: list[str]
) -> None:
    assert {"MIN 6000TL-XH", "ARK battery"} <= {*hybrid}
    entries = runner.run(house.client.entries(DOMAIN))
    assert {entry.title: entry.state for entry in entries} == {HYBRID: "loaded"}


def test_the_device_page_shows_live_values(page: Page, hybrid: list[str]) -> None:
    page.open("/config/integrations/integration/local_solar")
    page.click(HYBRID, last=True)
    page.wait_for("Device info", "PV power", "Diagnostic")
    page.take_picture("device-page")
    first = _watts(page)
    assert first > 1000
    page.wait_until(lambda: _watts(page) not in (0, first), "PV power stays the same")


def _watts(page: Page) -> int:
    power = re.fullmatch(r"([\d,]+) W", page.value_of("PV power"))
    return int(power[1].replace(",", "")) if power else 0


@pytest.fixture(scope="module")
def battery(page: Page, house: House, runner: asyncio.Runner, hybrid: list[str]) -> str:
    """The path of the battery's page, after the owner has switched writing on."""
    allow_sockets()
    page.open("/config/integrations/integration/local_solar")
    page.press("Configure")
    page.click("Off: read only")
    page.click("On: each change must be confirmed", last=True)
    page.click("Submit")
    page.wait_for("Before you switch on changing settings")
    page.take_picture("write-access")
    page.press("I understand that I change my inverter at my own risk")
    page.click("Submit")
    page.wait_for("Options successfully saved.")
    page.click("Finish")
    return f"/config/devices/device/{runner.run(_device_id(house, BATTERY))}"


@pytest.fixture
def wide(page: Page) -> Iterator[Page]:
    """A window that is wide enough for names and values of settings."""
    page.resize(1600, 1000)
    yield page
    page.resize(WIDTH, HEIGHT)


async def _device_id(house: House, name: str) -> str:
    """Return the id of a device, which may still have to appear."""

    async def find() -> str | None:
        devices = await house.devices()
        return next((device.id for device in devices if device.name == name), None)

    return await until(find, APPEARED_WITHIN, f"there is no {name}")


async def _held(house: House) -> object:
    """Return what the battery holds for the setting, asked now."""
    answer = await house.client.ask(
        f"{DOMAIN}.read_register",
        device_id=await _device_id(house, BATTERY),
        register="charge_stop_soc",
    )
    return answer["value"]


def _wait_for_value(page: Page, value: str) -> None:
    page.wait_until(
        lambda: page.content_of(SETTING) == value,
        f"{SETTING} is not shown as {value}",
        seconds=40,
    )


def test_a_number_that_is_typed_waits_for_its_confirmation(
    wide: Page, battery: str, house: House, runner: asyncio.Runner
) -> None:
    wide.open(battery)
    _wait_for_value(wide, "96")
    wide.scroll_to("Configuration")
    wide.take_picture("controls")

    wide.fill(SETTING, "95")
    wide.leave(SETTING)
    wide.wait_for_part("Nothing was changed yet")
    wide.take_picture("write-pending")
    assert runner.run(_held(house)) == 96
    # The field keeps what was typed until the page is opened anew.
    wide.open(battery)
    _wait_for_value(wide, "96")


def test_submit_in_the_repairs_makes_the_change(
    page: Page, battery: str, house: House, runner: asyncio.Runner
) -> None:
    page.open("/config/repairs")
    page.click(f"Confirm: {SETTING} of {BATTERY}")
    page.wait_for("Submit")
    page.take_picture("repair")
    assert runner.run(_held(house)) == 96

    page.click("Submit")
    page.wait_for_part("issue is repaired")
    assert runner.run(_held(house)) == 95


def test_a_confirmed_change_is_shown(wide: Page, battery: str) -> None:
    wide.open(battery)
    _wait_for_value(wide, "95")
    wide.wait_for_part(f"{SETTING} was changed from 96 % to 95 %")
    wide.take_picture("write-done")


def test_the_dashboards_show_the_devices(
    page: Page, house: House, runner: asyncio.Runner, hybrid: list[str]
) -> None:
    runner.run(house.add(OVER_RTU_TCP))
    runner.run(house.set_up_dashboards())
    page.open("/energy/now")
    page.wait_for("Power sources", "Solar", "Grid", "Battery", "Consumption")
    page.open("/energy/overview")
    page.wait_for("Energy distribution", "Totals", "Solar total", "Power sources")
    page.open("/")
    page.wait_for(HYBRID, BATTERY, PV_INVERTER, "State of charge", "Charging")
    page.take_picture("dashboard")


@pytest.fixture(scope="module")
def refused(page: Page, house: House) -> str:
    """What the form of a DTU says of a wrong port, which is put right then."""
    allow_sockets()
    address = house.address_of(INTEGRATED)
    _open_form(page, DTU)
    _fill_in(page, Address(address.host, DTU_PORT))
    page.take_picture("hoymiles-config-flow")
    page.fill("Port", str(free_port()))
    page.click("Submit")
    page.wait_for_part(f"No connection to {address.host}.")
    said = next(text for text in page.texts if "No connection to" in text)
    page.fill("Port", str(address.port))
    return said


def test_the_form_says_that_no_dtu_is_there(refused: str) -> None:
    assert "Check the address" in refused
    assert "inverters with Wi-Fi of their own are off at night" in refused
    assert "connection refused)" in refused


def test_a_dtu_is_added_by_clicking(
    page: Page, house: House, runner: asyncio.Runner, refused: str
) -> None:
    assert {"integrated DTU", "HMS-800W-2T"} <= {*_finish(page)}
    page.open(f"/config/devices/device/{runner.run(_device_id(house, MICROINVERTER))}")
    page.wait_for("Device info", "Output power", "PV1 power", "PV2 power", "Diagnostic")
    page.take_picture("hoymiles-device-page")
    assert re.fullmatch(r"\d{3}(\.\d)? W", page.value_of("Output power"))
    assert page.value_of("Connection") == "Connected"


@pytest.fixture(scope="module")
def not_there(page: Page, house: House) -> str:
    """What the form of a gateway says of a wrong port, which is put right then."""
    allow_sockets()
    address = house.address_of(SYSTEM)
    _open_form(page, GATEWAY)
    page.fill("Host", address.host)
    page.take_picture("outback-config-flow")
    page.fill("Port", str(free_port()))
    page.click("Submit")
    page.wait_for_part(f"{address.host}:")
    said = next(text for text in page.texts if f"{address.host}:" in text)
    page.fill("Port", str(address.port))
    return said


def test_the_form_says_where_modbus_is_switched_on(not_there: str) -> None:
    assert "refuses the connection" in not_there
    assert "switch it on at the gateway's display" in not_there


def test_a_mate3_is_added_with_all_behind_it_by_clicking(
    page: Page, house: House, runner: asyncio.Runner, not_there: str
) -> None:
    assert {"MATE3s", "GS8048A", "FM80-150VDC", "FLEXnet DC"} <= {*_finish(page)}
    page.open(f"/config/devices/device/{runner.run(_device_id(house, MATE3))}")
    page.wait_for("Device info", "PV power", "Load power", "Grid export power")
    page.take_picture("outback-device-page")
    page.open(f"/config/devices/device/{runner.run(_device_id(house, CONTROLLER))}")
    page.wait_for("Device info", "PV power", "Charge current", "Charger state")
    assert _watts(page) > 500
    page.open(f"/config/devices/device/{runner.run(_device_id(house, RADIAN))}")
    page.wait_for("Device info", "Output power", "Grid export power")
    page.open(f"/config/devices/device/{runner.run(_device_id(house, MONITOR))}")
    page.wait_for("Device info", "State of charge", "Charge power")


def test_the_dashboards_show_an_outback_system(
    page: Page, house: House, runner: asyncio.Runner, not_there: str
) -> None:
    runner.run(house.set_up_dashboards())
    page.open("/")
    page.wait_for(MATE3, CONTROLLER, MONITOR)
    page.open("/energy/now")
    page.wait_for("Power sources", "Solar", "Grid", "Battery", "Consumption")


@pytest.fixture(scope="module")
def taken(page: Page, house: House) -> str:
    """What the form of a listener says of a port that is taken, which is put right then."""
    allow_sockets()
    _open_form(page, DATALOGGER)
    shown = page.texts
    page.click(shown[shown.index("Address") + 2])
    page.click(THIS_COMPUTER)
    page.click(WITH_CLOUD)
    page.click(STAND_ALONE)
    page.take_picture("datalogger-config-flow")
    page.fill("Port", house.home_assistant.url.rpartition(":")[2])
    page.click("Submit")
    page.wait_for_part("Home Assistant cannot listen at")
    said = next(text for text in page.texts if "cannot listen at" in text)
    page.fill("Port", str(house.address_of(LISTENER).port))
    return said


def test_the_form_says_that_a_port_is_taken(taken: str) -> None:
    assert "If another program uses the port, such as Grott, stop it" in taken


def test_a_stick_and_what_is_behind_it_appear_by_themselves(
    page: Page, house: House, runner: asyncio.Runner, taken: str
) -> None:
    assert "Growatt datalogger server" in _finish(page)
    page.open(f"/config/devices/device/{runner.run(_device_id(house, STICK))}")
    page.wait_for("Device info", "Report interval", "Last record", "Connected")
    page.take_picture("datalogger-device-page")
    for device, *what in (
        (SPH, "PV power", "Output power", "Load power", "Grid export power"),
        (SPH_BATTERY, "State of charge", "Charge power"),
        (METER, "Grid power", "Grid import energy total"),
    ):
        page.open(f"/config/devices/device/{runner.run(_device_id(house, device))}")
        page.wait_for("Device info", *what)
    page.open(f"/config/devices/device/{runner.run(_device_id(house, SPH))}")
    page.wait_until(
        lambda: re.fullmatch(r"[\d,]+ W", page.value_of("PV power")), "no power"
    )


def test_a_bus_is_shared_and_the_gateway_shows_who_uses_it(
    page: Page, house: House, runner: asyncio.Runner, hybrid: list[str]
) -> None:
    page.open("/config/integrations/dashboard")
    page.click("Add integration")
    page.fill("Search for a brand name", "Local Solar")
    page.click("Local Solar", last=True)
    page.click(SHARE)
    page.wait_for("Which bus is shared?")
    page.take_picture("gateway-menu")
    page.click(KNOWN_LINK)
    page.wait_for("Share a link that is known", "Submit")
    page.click("Submit")
    page.wait_for("How others reach the gateway", seconds=40)
    (form,) = SHARED.further
    port = house.simulators[form.simulator].addresses[form.listener].port
    page.fill("Port for Modbus TCP", str(port))
    page.take_picture("gateway-config-flow")
    _finish(page)
    page.open(f"/config/devices/device/{runner.run(_device_id(house, BUS_GATEWAY))}")
    page.wait_for("Device info", "Clients", "Bus load", "Blocked writes")
    page.wait_until(lambda: page.value_of("Clients") == "1", "nobody is served", 60)
    page.wait_for("Connected")
    page.take_picture("gateway-device-page")


def test_home_assistant_complains_of_nothing_but_the_pending_change(
    house: House,
) -> None:
    complaints = house.home_assistant.complaints
    assert [line for line in complaints if "Nothing was changed yet" not in line] == []
