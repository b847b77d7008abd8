"""The demo's check, and what else only a real Home Assistant shows."""

import asyncio
from collections.abc import Iterator
import json
from pathlib import Path
import subprocess

import pytest

from demo import energy
from demo.check import Reading, doubts
from demo.client import Entry
from demo.families import DOMAIN, FAMILIES, add
from demo.house import House
from demo.plant import Address, listeners
from demo.process import ROOT, Child
from demo.waiting import until

from .conftest import PYTHON

pytestmark = pytest.mark.e2e

HYBRID = "Growatt MIN 6000TL-XH"
BATTERY = "Growatt ARK battery"
PV_INVERTER = "Growatt MIN 5000TL-X"


@pytest.fixture(scope="module")
def furnished(runner: asyncio.Runner, house: House) -> House:
    """The house with all devices and dashboards."""
    runner.run(house.furnish(FAMILIES))
    return house


@pytest.fixture(scope="module")
def checked(runner: asyncio.Runner, furnished: House) -> list[Reading]:
    """What the demo's check shows, after it has changed a setting."""
    runner.run(furnished.check_writing())
    return runner.run(furnished.check())


@pytest.fixture(autouse=True)
def clean_log(house: House) -> Iterator[None]:
    """Hold each test to a log without complaints about Local Solar."""
    yield
    assert house.home_assistant.complaints == []


def _entries(runner: asyncio.Runner, house: House) -> list[Entry]:
    return runner.run(house.client.entries(DOMAIN))


def _entry(runner: asyncio.Runner, house: House, title: str) -> Entry:
    return next(entry for entry in _entries(runner, house) if entry.title == title)


def _doubts(runner: asyncio.Runner, house: House) -> list[str]:
    return doubts(runner.run(house.readings()))


def _values(readings: list[Reading], device: str) -> dict[str, str]:
    return {
        reading.key: reading.value for reading in readings if reading.device == device
    }


def test_all_devices_show_plausible_live_values(checked: list[Reading]) -> None:
    assert {reading.device for reading in checked} == {HYBRID, BATTERY, PV_INVERTER}
    hybrid = _values(checked, HYBRID)
    assert hybrid["status"] == "normal"
    assert float(hybrid["pv_power"]) > 1000
    assert float(hybrid["energy_total"]) > 10_000
    battery = _values(checked, BATTERY)
    assert battery["battery_state"] == "charging"
    assert float(battery["battery_charge_power"]) > 100
    assert float(_values(checked, PV_INVERTER)["ac_power"]) > 1000


def test_entries_are_loaded(runner: asyncio.Runner, furnished: House) -> None:
    entries = _entries(runner, furnished)
    assert {entry.title: entry.state for entry in entries} == {
        HYBRID: "loaded",
        PV_INVERTER: "loaded",
    }


def test_the_energy_dashboard_has_no_objections(
    runner: asyncio.Runner, furnished: House
) -> None:
    assert runner.run(energy.objections(furnished.client)) == []
    preferences = runner.run(furnished.client.command("energy/get_prefs"))
    kinds = [source["type"] for source in preferences["energy_sources"]]
    assert kinds == ["solar", "solar", "grid", "battery"]


@pytest.fixture(scope="module")
def hurried(runner: asyncio.Runner, furnished: House) -> House:
    """The house whose inverters are asked without a pause, to save the tests' time."""
    for entry in _entries(runner, furnished):
        access = "confirm" if entry.title == HYBRID else "disabled"
        options = {"message_spacing": 0, "write_access": access}
        runner.run(furnished.client.set_options(entry.id, options))
    return furnished


def test_changed_options_are_used_at_once(
    runner: asyncio.Runner, hurried: House
) -> None:
    for entry in _entries(runner, hurried):
        runner.run(_has_no_pause(hurried, entry))
    assert _doubts(runner, hurried) == []


async def _has_no_pause(house: House, entry: Entry) -> None:
    """Wait until an entry has been reloaded, which it is after the options flow ends."""

    async def has_no_pause() -> bool | None:
        answer = await house.client.diagnostics(entry.id)
        link = answer["data"].get("link", {})
        return True if link.get("message_spacing_ms") == 0 else None

    await until(has_no_pause, 60, "the old options are still used")


def test_diagnostics_of_an_entry_that_is_not_loaded_say_so(
    runner: asyncio.Runner, hurried: House
) -> None:
    entry = _entry(runner, hurried, PV_INVERTER)
    runner.run(hurried.client.switch_entry(entry.id, on=False))
    try:
        answer = runner.run(hurried.client.diagnostics(entry.id))
    finally:
        runner.run(hurried.client.switch_entry(entry.id, on=True))
    assert answer["data"]["state"] == "not_loaded"


def test_a_reloaded_entry_shows_values_at_once(
    runner: asyncio.Runner, hurried: House
) -> None:
    for entry in _entries(runner, hurried):
        runner.run(hurried.client.reload(entry.id))
    assert {entry.state for entry in _entries(runner, hurried)} == {"loaded"}
    assert _doubts(runner, hurried) == []


def test_an_entry_that_is_switched_off_lets_go_of_its_devices(
    runner: asyncio.Runner, hurried: House
) -> None:
    entry = _entry(runner, hurried, PV_INVERTER)
    runner.run(hurried.client.switch_entry(entry.id, on=False))
    try:
        assert _entry(runner, hurried, PV_INVERTER).state == "not_loaded"
        shown = runner.run(hurried.readings())
        assert {reading.device for reading in shown} == {HYBRID, BATTERY}
    finally:
        runner.run(hurried.client.switch_entry(entry.id, on=True))
    assert _entry(runner, hurried, PV_INVERTER).state == "loaded"
    assert _doubts(runner, hurried) == []


def test_a_diagnostics_download_can_be_served_as_an_inverter(
    runner: asyncio.Runner, hurried: House, tmp_path: Path
) -> None:
    entry = _entry(runner, hurried, HYBRID)
    download = tmp_path / "diagnostics.json"
    answer = runner.run(hurried.client.diagnostics(entry.id))
    download.write_text(json.dumps(answer), encoding="utf-8")

    added = runner.run(_add_from(hurried, download, tmp_path / "simulator.log"))
    runner.run(hurried.client.remove_entry(added.id))
    assert added.title == HYBRID
    assert added.state == "loaded"


async def _add_from(house: House, download: Path, log: Path) -> Entry:
    """Add an inverter that a simulator makes of a download."""
    command = (
        *(PYTHON, "-m", "simulators", "growatt"),
        *("--dataset", download, "--tcp", "127.0.0.1:0"),
    )
    async with Child("the simulator", command, log) as child:

        async def address() -> Address | None:
            return listeners(child.output).get("tcp")

        where = await child.wait_for(address, 30, "does not listen")
        result = await add(house.client, FAMILIES["growatt"][0], where)
        entries = await house.client.entries(DOMAIN)
        return next(entry for entry in entries if entry.id == result.entry_id)


def test_counters_outlast_a_restart_while_the_inverters_are_silent(
    runner: asyncio.Runner, hurried: House
) -> None:
    before = runner.run(hurried.readings())
    hurried.plant.hold()
    try:
        runner.run(hurried.restart())
        after = runner.run(_all_present(hurried, before))
    finally:
        hurried.plant.release()
    assert {entry.state for entry in _entries(runner, hurried)} == {"loaded"}
    shown = {reading.entity_id: reading.value for reading in after}
    assert shown == {reading.entity_id: _when_silent(reading) for reading in before}

    for entry in _entries(runner, hurried):
        runner.run(hurried.client.reload(entry.id))
    assert _doubts(runner, hurried) == []


def _when_silent(reading: Reading) -> str:
    """Return what an entity shows while its inverter is silent."""
    if reading.key == "connected":
        return "off"
    return reading.value if reading.unit == "kWh" else "unavailable"


async def _all_present(house: House, before: list[Reading]) -> list[Reading]:
    """Return what is shown once there are as many entities as before."""

    async def are_present() -> list[Reading] | None:
        shown = await house.readings()
        return shown if len(shown) == len(before) else None

    return await until(are_present, 60, "not all entities are back")


def test_an_unknown_family_is_refused_in_one_line() -> None:
    ended = subprocess.run(
        [PYTHON, "-m", "demo", "--family", "nobody"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 2
    assert ended.stdout == ""
    assert len(ended.stderr.splitlines()) == 1
    assert "there is no family 'nobody'" in ended.stderr
