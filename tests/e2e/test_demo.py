"""The demo's check, and what else only a real Home Assistant shows."""

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass
import json
from pathlib import Path
import subprocess

from pymodbus.client import AsyncModbusTcpClient
import pytest

from demo import energy
from demo.check import Reading, doubts
from demo.client import Entry
from demo.families import DOMAIN, FAMILIES, add
from demo.house import House
from demo.process import ROOT
from demo.simulators import ANY_PORT, OUTSIDER, Address, Simulator, running_simulator
from demo.waiting import together, until

from .conftest import PYTHON, allow_sockets

pytestmark = pytest.mark.e2e

POWER_LIMIT = 3
"""Holding register of the active power limit, in per cent."""
ILLEGAL_FUNCTION = 1
REFUSED_WRITE = "wanted to write 50 to unit 1"

HYBRID = "Growatt MIN 6000TL-XH"
BATTERY = "Growatt ARK battery"
PV_INVERTER = "Growatt MIN 5000TL-X"
DTU = "Hoymiles integrated DTU"
MICROINVERTER = "Hoymiles HMS-800W-2T"
STICK = "Hoymiles DTU-WLite / Lite-S / W100"
BEHIND_STICK = {
    "Hoymiles HMS-400-1T 112493100011",
    "Hoymiles HMS-1000-2T 114493100012",
    "Hoymiles HMT-2250-6T 138293100013",
}
METER = "Hoymiles DTSU666"
LISTENER = "Growatt datalogger server"
LOGGER = "Growatt ShineWiFi-X XGD0DEMO01"
SPH = "Growatt SPH 3000-6000TL BL-UP (5000 VA)"
SPH_BATTERY = "Growatt battery"
SPH_METER = "Growatt meter"
REPORTED = {SPH, SPH_BATTERY, SPH_METER}
"""What shows values once its stick has connected and reported."""
MATE3 = "OutBack MATE3s"
RADIAN = "OutBack GS8048A port 1"
CONTROLLERS = {"OutBack FM80-150VDC port 3", "OutBack FM80-150VDC port 4"}
MONITOR = "OutBack FLEXnet DC port 5"
BEHIND_MATE3 = {RADIAN, MONITOR} | CONTROLLERS
ALWAYS_ON = {MATE3} | BEHIND_MATE3
"""What is not silent at night."""
GATEWAY = "Local Solar Modbus gateway"
NOT_SILENT = ALWAYS_ON | {LISTENER, LOGGER, GATEWAY}
"""Of these Home Assistant tells something also while nobody answers."""

DEVICES = {
    HYBRID,
    BATTERY,
    PV_INVERTER,
    DTU,
    MICROINVERTER,
    STICK,
    METER,
    LISTENER,
    LOGGER,
    *REPORTED,
    MATE3,
    *BEHIND_STICK,
    *BEHIND_MATE3,
    GATEWAY,
}
ENTRIES = {HYBRID, PV_INVERTER, LISTENER, MICROINVERTER, STICK, MATE3}


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


@pytest.fixture(scope="module")
def accepted() -> set[str]:
    """Lines of the log that are complaints, and right."""
    return set()


@pytest.fixture(autouse=True)
def clean_log(house: House, accepted: set[str]) -> Iterator[None]:
    """Hold each test to a log without complaints about Local Solar."""
    yield
    assert {*house.home_assistant.complaints} <= accepted


def _entries(runner: asyncio.Runner, house: House) -> list[Entry]:
    return runner.run(house.client.entries(DOMAIN))


def _growatt_entries(runner: asyncio.Runner, house: House) -> list[Entry]:
    return [
        entry
        for entry in _entries(runner, house)
        if entry.title in {HYBRID, PV_INVERTER}
    ]


def _entry(runner: asyncio.Runner, house: House, title: str) -> Entry:
    return next(entry for entry in _entries(runner, house) if entry.title == title)


def _reload(runner: asyncio.Runner, house: House, entries: list[Entry]) -> None:
    runner.run(together(house.client.reload(entry.id) for entry in entries))


def _doubts(runner: asyncio.Runner, house: House) -> list[str]:
    return doubts(runner.run(house.readings()))


def _polled_doubts(runner: asyncio.Runner, house: House) -> list[str]:
    """Return doubts about what is polled: not reported by a stick, nor asked by others."""
    return [
        doubt
        for doubt in _doubts(runner, house)
        if doubt.partition(":")[0] not in REPORTED | {GATEWAY}
    ]


async def _lose_all_doubts(house: House) -> None:
    """Wait until there is nothing to doubt: a stick has to connect and to report."""

    async def are_lost() -> bool | None:
        return None if doubts(await house.readings()) else True

    await until(are_lost, 30, "there are doubts")


def _values(readings: list[Reading], device: str) -> dict[str, str]:
    return {
        reading.key: reading.value for reading in readings if reading.device == device
    }


def test_all_devices_show_plausible_live_values(checked: list[Reading]) -> None:
    assert {reading.device for reading in checked} == DEVICES
    hybrid = _values(checked, HYBRID)
    assert hybrid["status"] == "normal"
    assert float(hybrid["pv_power"]) > 1000
    assert float(hybrid["energy_total"]) > 10_000
    battery = _values(checked, BATTERY)
    assert battery["battery_state"] == "charging"
    assert float(battery["battery_charge_power"]) > 100
    assert float(_values(checked, PV_INVERTER)["ac_power"]) > 1000


def test_a_stick_shows_all_that_is_behind_it(checked: list[Reading]) -> None:
    ids = {reading.device: reading.device_id for reading in checked}
    via = {reading.device: reading.via_id for reading in checked}
    assert via[LOGGER] == ids[LISTENER]
    assert via[SPH] == ids[LOGGER]
    assert via[SPH_BATTERY] == via[SPH_METER] == ids[SPH]
    inverter = _values(checked, SPH)
    assert float(inverter["pv_power"]) > 1000
    assert inverter["active_power_limit"] == "100"
    assert _values(checked, SPH_METER)["grid_power"] == inverter["grid_power"]


def test_a_dtu_shows_all_that_is_behind_it(checked: list[Reading]) -> None:
    microinverter = _values(checked, MICROINVERTER)
    assert float(microinverter["ac_power"]) > 300
    assert microinverter["temporary_power_limit"] == "800.0"
    assert microinverter["on_off"] == "on"
    assert microinverter["ac_power"] == _values(checked, DTU)["ac_power"]

    ids = {reading.device: reading.device_id for reading in checked}
    behind = {reading.device for reading in checked if reading.via_id == ids[STICK]}
    assert behind == {METER} | BEHIND_STICK
    assert float(_values(checked, STICK)["ac_power"]) > 1500
    meter = _values(checked, METER)
    assert float(meter["grid_power"]) < -1000
    assert float(meter["grid_export_energy_total"]) > 300


def test_a_mate3_shows_all_that_is_behind_it(checked: list[Reading]) -> None:
    ids = {reading.device: reading.device_id for reading in checked}
    behind = {reading.device for reading in checked if reading.via_id == ids[MATE3]}
    assert behind == BEHIND_MATE3
    system = _values(checked, MATE3)
    controllers = [_values(checked, name) for name in CONTROLLERS]
    assert float(system["pv_power"]) == sum(
        float(controller["pv_power"]) for controller in controllers
    )
    assert float(system["pv_power"]) > 1000
    assert system["load_power"] == _values(checked, RADIAN)["load_power"]
    monitor = _values(checked, MONITOR)
    assert 20 < float(monitor["battery_soc"]) <= 100
    assert float(monitor["battery_charge_energy_today"]) > 1


def test_others_read_through_the_gateway_while_home_assistant_polls(
    runner: asyncio.Runner,
    furnished: House,
    checked: list[Reading],
    accepted: set[str],
) -> None:
    gateway = _values(checked, GATEWAY)
    assert gateway["connected"] == "on"
    assert gateway["clients"] == "1"
    assert float(gateway["request_rate"]) > 0
    assert (gateway["gateway_errors"], gateway["blocked_writes"]) == ("0", "0")
    (addition,) = FAMILIES["gateway"]
    address = furnished.simulators[OUTSIDER].addresses[addition.further[0].listener]
    limit, refused = runner.run(_ask_gateway(address))
    assert str(limit) == _values(checked, HYBRID)["active_power_limit"]
    assert refused == ILLEGAL_FUNCTION
    accepted.update(runner.run(_told_of_write(furnished)))


async def _told_of_write(house: House) -> list[str]:
    """Return the complaint about a refused write, once it is in the log."""

    async def told() -> list[str] | None:
        complaints = house.home_assistant.complaints
        return [line for line in complaints if REFUSED_WRITE in line] or None

    return await until(told, 30, "the log does not tell of the refused write")


async def _ask_gateway(address: Address) -> tuple[int, int]:
    """Return the hybrid's power limit, and how its change is refused."""
    client = AsyncModbusTcpClient(address.host, port=address.port)
    assert await client.connect()
    try:
        answer = await client.read_holding_registers(POWER_LIMIT, count=1, device_id=1)
        denied = await client.write_register(POWER_LIMIT, 50, device_id=1)
    finally:
        client.close()
    return answer.registers[0], denied.exception_code


def test_entries_are_loaded(runner: asyncio.Runner, furnished: House) -> None:
    entries = _entries(runner, furnished)
    (gateway,) = FAMILIES["gateway"]
    titles = ENTRIES | {f"Modbus gateway ({furnished.address_of(gateway)})"}
    assert {entry.title: entry.state for entry in entries} == dict.fromkeys(
        titles, "loaded"
    )


def test_the_energy_dashboard_counts_all_once_and_has_no_objections(
    runner: asyncio.Runner, furnished: House
) -> None:
    assert runner.run(energy.objections(furnished.client)) == []
    preferences = runner.run(furnished.client.command("energy/get_prefs"))
    sources = preferences["energy_sources"]
    assert [source["type"] for source in sources] == [
        *["solar"] * 6,
        "grid",
        *["battery"] * 3,
    ]
    names = [source["name"] for source in sources if source["type"] == "solar"]
    assert names == [HYBRID, PV_INVERTER, SPH, DTU, STICK, MATE3]
    assert [source["name"] for source in sources if source["type"] == "battery"] == [
        BATTERY,
        SPH_BATTERY,
        MONITOR,
    ]


@pytest.fixture(scope="module")
def hurried(runner: asyncio.Runner, furnished: House) -> House:
    """The house whose inverters are asked without a pause, to save the tests' time."""
    for entry in _growatt_entries(runner, furnished):
        access = "confirm" if entry.title == HYBRID else "disabled"
        options = {"message_spacing": 0, "write_access": access}
        runner.run(furnished.client.set_options(entry.id, options))
    return furnished


def test_changed_options_are_used_at_once(
    runner: asyncio.Runner, hurried: House
) -> None:
    for entry in _growatt_entries(runner, hurried):
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
    _reload(runner, hurried, _entries(runner, hurried))
    assert {entry.state for entry in _entries(runner, hurried)} == {"loaded"}
    assert _polled_doubts(runner, hurried) == []
    runner.run(_lose_all_doubts(hurried))


def test_an_entry_that_is_switched_off_lets_go_of_its_devices(
    runner: asyncio.Runner, hurried: House
) -> None:
    entry = _entry(runner, hurried, PV_INVERTER)
    runner.run(hurried.client.switch_entry(entry.id, on=False))
    try:
        assert _entry(runner, hurried, PV_INVERTER).state == "not_loaded"
        shown = runner.run(hurried.readings())
        assert {reading.device for reading in shown} == DEVICES - {PV_INVERTER}
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

    added = runner.run(_add_from(hurried, download, tmp_path))
    runner.run(hurried.client.remove_entry(added.id))
    assert added.title == HYBRID
    assert added.state == "loaded"


async def _add_from(house: House, download: Path, folder: Path) -> Entry:
    """Add an inverter that a simulator makes of a download."""
    arguments = ("growatt", "--dataset", str(download), "--tcp", ANY_PORT)
    simulator = Simulator(
        name="download", arguments=arguments, listeners=frozenset({"tcp"})
    )
    async with running_simulator(simulator, PYTHON, folder) as running:
        where = running.addresses["tcp"]
        result = await add(
            house.client, FAMILIES["growatt"][0], lambda simulator, listener: where
        )
        entries = await house.client.entries(DOMAIN)
        return next(entry for entry in entries if entry.id == result.entry_id)


@dataclass(frozen=True, slots=True, kw_only=True)
class Silence:
    """What was shown before all devices fell silent, and while they were.

    ``fallen`` is that of the stick, as soon as it was asked in vain; ``restarted`` is
    after a restart of Home Assistant. ``told`` are complaints in the log until then.
    """

    before: list[Reading]
    fallen: list[Reading]
    told: list[str]
    restarted: list[Reading]


@pytest.fixture(scope="module")
def silence(runner: asyncio.Runner, hurried: House, accepted: set[str]) -> Silence:
    """All devices fall silent and stay so over a restart; afterwards they answer again."""
    allow_sockets()
    stick = _entry(runner, hurried, STICK)
    before = runner.run(hurried.readings())
    with hurried.silence():
        runner.run(hurried.poll(stick.id))
        shown = runner.run(hurried.readings())
        told = hurried.home_assistant.complaints
        runner.run(hurried.restart())
        runner.run(_all_restarted(hurried))
        restarted = runner.run(hurried.readings())
    # That of DTUs and gateways: they should answer by day.
    accepted.update(
        line
        for line in hurried.home_assistant.complaints
        if ("Hoymiles" in line or MATE3 in line) and "does not answer" in line
    )
    return Silence(
        before=before,
        fallen=[reading for reading in shown if reading.entry_id == stick.id],
        told=told,
        restarted=restarted,
    )


def test_a_dtu_that_falls_silent_is_told(silence: Silence) -> None:
    (line,) = (line for line in silence.told if STICK in line)
    assert f"{STICK} does not answer (no answer to" in line
    before = {
        reading.entity_id: _when_silent(reading)
        for reading in silence.before
        if reading.device in {STICK, METER} | BEHIND_STICK
    }
    assert {reading.entity_id: reading.value for reading in silence.fallen} == before


def test_counters_outlast_a_restart_while_devices_are_silent(
    runner: asyncio.Runner, hurried: House, silence: Silence
) -> None:
    shown = {
        reading.entity_id: reading.value
        for reading in silence.restarted
        if reading.device not in NOT_SILENT
    }
    assert shown == {
        reading.entity_id: _when_silent(reading)
        for reading in silence.before
        if reading.device not in NOT_SILENT
    }


def test_a_stick_that_is_silent_at_a_restart_is_not_connected(silence: Silence) -> None:
    assert _values(silence.restarted, LOGGER)["connected"] == "off"
    assert _values(silence.restarted, LISTENER)["loggers_connected"] == "0"


def test_a_mate3_that_is_silent_at_a_restart_is_not_set_up(silence: Silence) -> None:
    shown = [one for one in silence.restarted if one.device in ALWAYS_ON]
    assert {one.device for one in shown} == ALWAYS_ON
    assert {one.value for one in shown} == {"unavailable"}


def test_devices_that_answer_again_show_values(
    runner: asyncio.Runner, hurried: House, silence: Silence
) -> None:
    runner.run(
        hurried.poll(
            _entry(runner, hurried, MICROINVERTER).id, _entry(runner, hurried, STICK).id
        )
    )
    mate3 = _entry(runner, hurried, MATE3)
    _reload(runner, hurried, [*_growatt_entries(runner, hurried), mate3])
    assert _polled_doubts(runner, hurried) == []
    runner.run(_lose_all_doubts(hurried))


def _when_silent(reading: Reading) -> str:
    """Return what an entity shows while its device is silent."""
    if reading.key == "connected":
        return "off"
    return reading.value if reading.unit == "kWh" else "unavailable"


async def _all_restarted(house: House) -> None:
    """Wait until all entries are set up: before, entities show what Home Assistant kept.

    That of the MATE3 is not: it has no night, so it must answer.
    """

    async def are_set_up() -> bool | None:
        states = {
            entry.title: entry.state for entry in await house.client.entries(DOMAIN)
        }
        retried = states.pop(MATE3) == "setup_retry"
        return True if retried and {*states.values()} == {"loaded"} else None

    await until(are_set_up, 60, "not all entries are set up")


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
