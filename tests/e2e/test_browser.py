"""What an owner does and sees in Home Assistant's web page.

With ``LOCAL_SOLAR_SCREENSHOTS=docs/images`` the pictures are kept there, and the one of
the energy dashboard waits for statistics, which Home Assistant makes every five minutes.
"""

import asyncio
from collections.abc import Iterator
import os
from pathlib import Path
import re

import pytest

from demo.families import DOMAIN, FAMILIES
from demo.home_assistant import free_port
from demo.house import PASSWORD, USER, House

from .browser import Page, find_browser, opened_page

BROWSER = find_browser()

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(
        BROWSER is None, reason="there is no Chromium with its chromedriver on the PATH"
    ),
]

HYBRID = "Growatt MIN 6000TL-XH"
OVER_TCP, OVER_RTU_TCP = FAMILIES["growatt"]

KEPT = os.environ.get("LOCAL_SOLAR_SCREENSHOTS")
FIRST_STATISTICS = 700.0
"""Seconds until two rounds of statistics are there."""


@pytest.fixture(scope="module")
def page(
    house: House, runner: asyncio.Runner, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Page]:
    """The web page after logging in, with one inverter added before."""
    assert BROWSER is not None
    runner.run(house.add(OVER_RTU_TCP))
    screenshots = Path(KEPT).resolve() if KEPT else tmp_path_factory.mktemp("pictures")
    screenshots.mkdir(parents=True, exist_ok=True)
    profile = tmp_path_factory.mktemp("profile")
    url = house.home_assistant.url
    with opened_page(*BROWSER, url, profile, screenshots) as page:
        page.open("/")
        page.fill("Username", USER)
        page.fill("Password", PASSWORD)
        page.click("Log in")
        page.wait_for("Settings", "Energy")
        yield page


@pytest.fixture(scope="module")
def hybrid(page: Page, house: House, runner: asyncio.Runner) -> list[str]:
    """A hybrid that was added by clicking; the value is what could be read at the end."""
    address = house.plant.addresses[OVER_TCP.listener]
    _open_form(page)
    page.fill("Host", address.host)
    page.fill("Port", str(address.port))
    page.take_picture("config_flow")
    page.click("Submit")
    page.wait_for("Name and assign", seconds=40)
    page.take_picture("config_flow_finished")
    texts = page.texts
    page.click("Skip and finish")
    house.added.append(OVER_TCP)
    return texts


def _open_form(page: Page) -> None:
    page.open("/config/integrations/dashboard")
    page.click("Add integration")
    page.fill("Search for a brand name", "Local Solar")
    page.click("Local Solar", last=True)
    page.click("Growatt inverter over Modbus TCP")
    page.wait_for("Submit")


def test_the_form_says_what_is_wrong(page: Page) -> None:
    nobody = str(free_port())
    _open_form(page)
    page.fill("Host", "127.0.0.1")
    page.fill("Port", nobody)
    page.click("Submit")

    def explains() -> bool:
        return any(f"127.0.0.1:{nobody} refuses" in text for text in page.texts)

    page.wait_until(explains, "the form does not say that nothing listens there")
    page.take_picture("config_flow_error")


def test_an_inverter_is_added_by_clicking(
    house: House, runner: asyncio.Runner, hybrid: list[str]
) -> None:
    entries = runner.run(house.client.entries(DOMAIN))
    assert {entry.title: entry.state for entry in entries}[HYBRID] == "loaded"


def test_the_device_page_shows_live_values(page: Page, hybrid: list[str]) -> None:
    page.open("/config/integrations/integration/local_solar")
    page.click(HYBRID, last=True)
    page.wait_for("Device info", "PV power", "Diagnostic")
    page.take_picture("device")
    first = _watts(page)
    assert first > 1000
    page.wait_until(lambda: _watts(page) not in (0, first), "PV power stays the same")


def _watts(page: Page) -> int:
    power = re.fullmatch(r"([\d,]+) W", page.value_of("PV power"))
    return int(power[1].replace(",", "")) if power else 0


def test_the_energy_dashboard_shows_the_devices(
    page: Page, house: House, runner: asyncio.Runner, hybrid: list[str]
) -> None:
    runner.run(house.set_up_dashboards())
    page.open("/energy/now")
    page.wait_for("Power sources", "Solar", "Grid", "Battery")
    page.take_picture("energy_now")
    page.open("/energy/electricity")
    page.wait_for("Energy distribution", "Grid energy balance")
    page.take_picture("energy")
    page.open("/")
    page.wait_for("Growatt ARK battery")
    page.take_picture("dashboard")
