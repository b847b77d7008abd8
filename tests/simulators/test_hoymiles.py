"""A simulated DTU does what real ones do: values, pages, commands, night, restarts."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime
import json
from pathlib import Path
from typing import Any

import pytest

from custom_components.local_solar.hoymiles import frame as frames, messages
from custom_components.local_solar.hoymiles.cipher import Cipher
from custom_components.local_solar.hoymiles.dataset import from_json, to_json
from custom_components.local_solar.hoymiles.errors import MessageError
from custom_components.local_solar.hoymiles.messages import Fields
from simulators.cli import Address
from simulators.clock import SimulatedClock
from simulators.errors import SimulatorError
from simulators.hoymiles.dtu import SimulatedDtu
from simulators.hoymiles.fields import many
from simulators.hoymiles.inventory import (
    HMT_2250_6T,
    INVENTORIES,
    Inventory,
    packed_version,
)
from simulators.hoymiles.replies import HANDLERS
from simulators.hoymiles.served import ServedMessages
from simulators.hoymiles.server import running_dtu
from simulators.hoymiles.storage import HANDLERS as STORAGE_HANDLERS
from tests.hoymiles.peer import (
    ALARMS,
    APP_INFO,
    CONFIG,
    HISTORY,
    NETWORK,
    OLD_REAL_DATA,
    PATIENCE,
    REAL_DATA,
    client_at,
    talking_to,
)

MIDDAY = datetime(2026, 6, 21, 13)
NIGHT = datetime(2026, 6, 21, 2)
BEFORE_SUNRISE = datetime(2026, 6, 21, 5, 30)

WITH_INVERTERS = [name for name in INVENTORIES if name != "storage"]
MOST_BYTES = 1024
"""All that some clients read."""


def _dtu(
    inventory: str | Inventory = "hms-800w-2t", at: datetime = MIDDAY, **options: Any
) -> SimulatedDtu:
    clock = SimulatedClock(at, speed=0)
    return SimulatedDtu(inventory, clock=clock, seed=1, **options)


def _list(fields: Fields, name: str) -> list[dict[str, Any]]:
    found = fields.get(name, [])
    assert isinstance(found, list)
    return [item for item in found if isinstance(item, dict)]


def _all(pages: list[Fields], name: str) -> list[dict[str, Any]]:
    return [item for page in pages for item in _list(page, name)]


async def _until(condition: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not await condition():
            await asyncio.sleep(0)


async def _is_refused(address: Address) -> bool:
    try:
        async with client_at(address) as client:
            await client.ask(APP_INFO)
    except ConnectionError, EOFError:
        return True
    return False


async def _is_served(address: Address) -> bool:
    return not await _is_refused(address)


# -- values ------------------------------------------------------------------------------


@pytest.mark.parametrize("name", WITH_INVERTERS)
async def test_values_of_a_moment_fit_together(name: str) -> None:
    async with talking_to(_dtu(name)) as client:
        pages = await client.pages()
    panels = _all(pages, "panels")
    inverters = _all(pages, "single_phase") + _all(pages, "three_phase")
    for panel in panels:
        power = panel["voltage"] / 10 * panel["current"] / 100
        assert power == pytest.approx(panel["power"] / 10, abs=1)
    for inverter in inverters:
        inputs = [
            panel["power"] for panel in panels if panel["serial"] == inverter["serial"]
        ]
        assert inverter["active_power"] == round(0.955 * sum(inputs))
    total = sum(inverter["active_power"] for inverter in inverters)
    assert pages[0]["dtu_power"] == total > 0
    assert pages[0]["dtu_energy_today"] == sum(
        panel["energy_today"] for panel in panels
    )
    for meter in _all(pages, "meters"):
        load = meter["power_total"] * 10 + total / 10
        assert 100 < load < 3000


@pytest.mark.parametrize("name", INVENTORIES)
async def test_every_reply_fits_what_clients_read_at_once(name: str) -> None:
    dtu = _dtu(name, encrypt=True)
    handlers = STORAGE_HANDLERS if name == "storage" else HANDLERS
    async with talking_to(dtu) as client:
        for command in set(handlers) - {0xA307}:
            first = await client.ask(command)
            for page in range(1, int(str(first.get("page_count", 1)))):
                await client.ask(command, page_index=page)
        assert max(len(segment) for segment in client.segments) <= MOST_BYTES


async def test_all_pages_are_of_one_time() -> None:
    dtu = _dtu("stick-3", refresh=0)
    async with talking_to(dtu) as client:
        first = await client.ask(REAL_DATA)
        dtu.advance(5)
        second = await client.ask(REAL_DATA, page_index=1)
        again = await client.ask(REAL_DATA)
    assert first["time"] == second["time"] == int(str(again["time"])) - 5
    assert [first["page_count"], second["page_index"]] == [3, 1]


async def test_values_are_gathered_every_30_seconds() -> None:
    dtu = _dtu()
    async with talking_to(dtu) as client:
        first = await client.ask(REAL_DATA)
        dtu.advance(29)
        assert await client.ask(REAL_DATA) == first
        dtu.advance(1)
        second = await client.ask(REAL_DATA)
    assert int(str(second["time"])) - int(str(first["time"])) == 30
    assert second["dtu_power"] != first["dtu_power"]


async def test_fast_data_is_gathered_every_2_seconds_until_the_dtu_restarts() -> None:
    dtu = _dtu(command_time=0)
    async with talking_to(dtu) as client:
        first = await client.ask(REAL_DATA)
        await client.tell(33)
        dtu.advance(2)
        assert (await client.ask(REAL_DATA))["time"] != first["time"]
        dtu.advance(2)
        assert int(str((await client.ask(REAL_DATA))["time"])) == dtu.unix_time()
    assert dtu.fast_data
    dtu.restart()
    assert not dtu.fast_data


async def test_energy_grows_with_power_and_begins_anew_at_midnight() -> None:
    dtu = _dtu("stick-3", refresh=0)
    async with talking_to(dtu) as client:
        before = (await client.ask(REAL_DATA))["panels"]
        dtu.advance(3600)
        after = (await client.ask(REAL_DATA))["panels"]
        dtu.advance(86400 - 3600)
        next_day = (await client.ask(REAL_DATA))["panels"]
    days = [
        {name: panels[0][name] for name in ("energy_total", "energy_today", "power")}
        for panels in (before, after, next_day)
        if isinstance(panels, list) and isinstance(panels[0], dict)
    ]
    grown = int(str(days[1]["energy_total"])) - int(str(days[0]["energy_total"]))
    assert grown == pytest.approx(int(str(days[0]["power"])) / 10, rel=0.2)
    today = [int(str(day["energy_today"])) for day in days]
    assert today[1] - today[0] == pytest.approx(grown, abs=1)
    assert today[2] == pytest.approx(today[0], rel=0.1)
    assert int(str(days[2]["energy_total"])) > int(str(days[1]["energy_total"]))


async def test_old_real_data_has_a_record_for_each_input() -> None:
    async with talking_to(_dtu("stick-3")) as client:
        pages = await client.pages()
        old = await client.pages(OLD_REAL_DATA)
    ports = [(panel["serial"], panel["port"]) for panel in _all(old, "panels")]
    assert ports == [
        (panel["serial"], panel["port"]) for panel in _all(pages, "panels")
    ]
    assert len(ports) == 9
    powers = {panel["active_power"] for panel in _all(old, "panels")}
    inverters = _all(pages, "single_phase") + _all(pages, "three_phase")
    assert powers == {inverter["active_power"] for inverter in inverters}
    (meter,) = _all(old, "meters")
    assert meter["power_total"] == _all(pages, "meters")[0]["power_total"]


async def test_panels_of_one_inverter_may_be_on_two_pages() -> None:
    inventory = Inventory(
        name="split",
        dtu="413093100030",
        firmware="0.1.17",
        inverters=(HMT_2250_6T.numbered(1),),
        panels_per_page=3,
    )
    async with talking_to(_dtu(inventory)) as client:
        pages = await client.pages()
    assert [len(_list(page, "three_phase")) for page in pages] == [1, 0]
    assert [panel["port"] for panel in _list(pages[1], "panels")] == [4, 5, 6]


async def test_history_has_a_power_for_each_five_minutes_of_the_day() -> None:
    dtu = _dtu(at=datetime(2026, 6, 21, 12, 3))
    async with talking_to(dtu) as client:
        history = await client.ask(HISTORY)
        dtu.has_history = False
        client.send(HISTORY)
        assert await client.is_silent()
    powers = history["powers"]
    assert isinstance(powers, list)
    assert len(powers) == 144
    assert powers[0] == 0
    energy = sum(int(str(power)) for power in powers) / 10 / 12 / 0.955
    assert energy == pytest.approx(int(str(history["energy_today"])), rel=0.02)


# -- what it is --------------------------------------------------------------------------


async def test_dtu_says_what_is_behind_it() -> None:
    async with talking_to(_dtu("stick-20")) as client:
        pages = await client.pages(APP_INFO)
    inverters = _all(pages, "inverters")
    assert len(inverters) == pages[0]["inverter_count"] == 20
    assert len({inverter["serial"] for inverter in inverters}) == 20
    assert pages[0]["dtu_serial"] == b"412093100020"
    assert [meter["serial"] for meter in _all(pages, "meters")] == [0x10C093100008]


@pytest.mark.parametrize(
    ("firmware", "told", "in_config"), [("1.0.9", 1000, 1000), ("1.1.0", 1000, None)]
)
async def test_newer_firmware_leaves_the_limit_out_of_its_configuration(
    firmware: str, told: int, in_config: int | None
) -> None:
    dtu = _dtu(firmware=firmware)
    async with talking_to(dtu) as client:
        config = await client.ask(CONFIG)
        real = await client.ask(REAL_DATA)
        dtu.shows_limit = False
        dtu.advance(30)
        without = await client.ask(REAL_DATA)
        app_info = await client.ask(APP_INFO)
    assert config.get("power_limit") == in_config
    assert _list(real, "single_phase")[0]["power_limit"] == told
    assert "power_limit" not in _list(without, "single_phase")[0]
    features = {item["key"]: item["value"] for item in _list(app_info, "features")}
    assert features[8] == b"1,A:1000,B:0,C:0"


async def test_configuration_holds_the_secrets_that_must_not_leak() -> None:
    dtu = _dtu()
    async with talking_to(dtu) as client:
        config = await client.ask(CONFIG)
        network = await client.ask(NETWORK)
    texts = [value.decode() for value in config.values() if isinstance(value, bytes)]
    assert set(dtu.secrets) <= set(texts)
    assert len(dtu.secrets) == 4
    assert network["dtu_serial"] == config["dtu_serial"] == dtu.serial.encode()


def test_firmware_is_packed_as_a_dtu_does() -> None:
    assert packed_version("1.1.1") == packed_version("V01.01.01") == 0x1101
    assert packed_version("0.1.17") == 0x0111
    for text in ("1.1", "1.1.x", "16.0.0", "1.1.256"):
        with pytest.raises(SimulatorError, match="not a firmware version"):
            packed_version(text)


def test_unknown_inventory_is_refused() -> None:
    with pytest.raises(SimulatorError, match="'x' is not one of hms-800w-2t, "):
        _dtu("x")


# -- commands ----------------------------------------------------------------------------


async def test_command_runs_for_a_while_and_then_has_succeeded() -> None:
    dtu = _dtu()
    (serial,) = dtu.inverters
    async with talking_to(dtu) as client:
        ack = await client.tell(8, "A:500,B:0,C:0\r", [serial], transaction=7)
        assert "error_code" not in ack
        dtu.advance(2)
        running = await client.status(8, transaction=7)
        assert _list(running, "inverter_running") == [
            {"serial": serial, "progress": 50}
        ]
        assert dtu.commands[0].result == "running"
        dtu.advance(2)
        done = await client.status(8, transaction=7)
        assert done["inverter_success"] == [serial]
        assert "inverter_running" not in done
        # Others are not known.
        assert "inverter_success" not in await client.status(8, transaction=8)
        assert "inverter_success" not in await client.status(6, transaction=7)
    (record,) = dtu.commands
    assert (record.command, record.action, record.serials) == (0xA305, 8, (serial,))
    assert (record.text, record.result) == ("A:500,B:0,C:0\r", "success")
    assert record.time == MIDDAY


async def test_limits_reduce_the_power() -> None:
    dtu = _dtu(command_time=0, refresh=0)
    async with talking_to(dtu) as client:
        await client.tell(8, "A:500,B:0,C:0\r")
        stored = await client.ask(REAL_DATA)
        await client.tell(211, "S:1,P:1000\r")
        temporary = await client.ask(REAL_DATA)
        dtu.restart()
    found = (stored, temporary, dtu.sample().pages[0])
    powers = [int(str(values["dtu_power"])) for values in found]
    assert powers == pytest.approx([4000, 1000, 4000], abs=2)
    limits = [_list(values, "single_phase")[0]["power_limit"] for values in found]
    assert limits == [500, 125, 500]


@pytest.mark.parametrize(
    ("inventory", "firmware", "action", "text", "result"),
    [
        ("hms-800w-2t", "1.1.1", 8, "A:20,B:0,C:0\r", "success"),
        ("hms-800w-2t", "1.1.1", 8, "A:19,B:0,C:0\r", "failed"),
        ("hms-800w-2t", "1.1.1", 8, "A:1001,B:0,C:0\r", "failed"),
        ("hms-800w-2t", "1.1.1", 8, "A:500,B:0,C:0", "failed"),
        ("hms-800w-2t", "1.1.1", 211, "S:1,P:1\r", "success"),
        ("hms-800w-2t", "1.1.1", 211, "S:1,P:0\r", "failed"),
        ("hms-800w-2t", "1.1.1", 211, "S:1,P:32767\r", "success"),
        ("hms-800w-2t", "1.1.1", 211, "S:1,P:32768\r", "failed"),
        ("hms-800w-2t", "1.1.0", 211, "S:1,P:100\r", "failed"),
        ("stick-3", "1.1.1", 211, "S:1,P:100\r", "failed"),
        ("hms-800w-2t", "1.1.1", 999, "", "failed"),
        ("hms-800w-2t", "1.1.1", 33, "", "success"),
    ],
)
async def test_what_an_inverter_does_not_understand_fails(
    inventory: str, firmware: str, action: int, text: str, result: str
) -> None:
    dtu = _dtu(inventory, firmware=firmware, command_time=0)
    async with talking_to(dtu) as client:
        assert "error_code" not in await client.tell(action, text)
        status = await client.status(action)
    assert dtu.commands[0].result == result
    listed = "inverter_success" if result == "success" else "inverter_failed"
    assert status[listed] == list(dtu.inverters)
    assert len(_list(status, "inverter_errors")) == (
        0 if result == "success" else len(dtu.inverters)
    )


async def test_command_to_some_inverters_fails_at_those_out_of_reach() -> None:
    dtu = _dtu("stick-3", command_time=0)
    first, second, _ = dtu.inverters
    dtu.inverters[second].out_of_reach = True
    stranger = 0x112493109999
    async with talking_to(dtu) as client:
        await client.tell(7, serials=[first, second, stranger])
        status = await client.status(7)
    assert status["inverter_success"] == [first]
    assert status["inverter_failed"] == [second, stranger]
    assert [inverter.on for inverter in dtu.inverters.values()] == [False, True, True]
    assert dtu.commands[0].result == "failed"


async def test_inverter_that_is_off_gives_nothing_until_it_is_switched_on() -> None:
    dtu = _dtu(command_time=0, refresh=0)
    async with talking_to(dtu) as client:
        await client.tell(7)
        off = await client.ask(REAL_DATA)
        await client.tell(6, command=0x2305)
        on = await client.ask(REAL_DATA)
    assert "dtu_power" not in off
    (inverter,) = _list(off, "single_phase")
    assert inverter["link"] == 1
    assert "active_power" not in inverter
    assert _list(off, "panels")[0]["voltage"] > 400
    assert "power" not in _list(off, "panels")[0]
    assert int(str(on["dtu_power"])) > 6000
    assert [record.command for record in dtu.commands] == [0xA305, 0x2305]


async def test_inverter_that_restarts_is_away_for_a_while() -> None:
    dtu = _dtu("stick-3", command_time=0, refresh=0)
    first = next(iter(dtu.inverters))
    async with talking_to(dtu) as client:
        await client.tell(3, serials=[first])
        away = await client.ask(REAL_DATA)
        dtu.advance(30)
        back = await client.ask(REAL_DATA)
    assert _list(away, "single_phase") == [{"serial": first}]
    assert set(_list(away, "panels")[0]) == {"serial", "port", "energy_total"}
    assert _list(back, "single_phase")[0]["warning_count"] == 1


async def test_events_are_listed_by_command_and_then_read() -> None:
    dtu = _dtu("stick-3", command_time=0, refresh=0)
    first, second, _ = dtu.inverters
    dtu.start_alarm(217, data=(683, 600))
    dtu.advance(60)
    dtu.start_alarm(124, second)
    dtu.advance(60)
    dtu.end_alarm(124, second)
    dtu.start_alarm(2, second, is_moment=True)
    async with talking_to(dtu) as client:
        assert "alarms" not in await client.ask(ALARMS)
        await client.tell(50)
        everything = _list(await client.ask(ALARMS), "alarms")
        await client.tell(51, serials=[first])
        one = _list(await client.ask(ALARMS), "alarms")
        counted = _all(await client.pages(), "single_phase")
        await client.tell(42)
        await client.tell(50)
        nothing = await client.ask(ALARMS)
        cleared = _all(await client.pages(), "single_phase")
    assert [alarm["code"] for alarm in everything] == [0x20D9, 0x707C, 0xA002]
    numbers = [alarm["number"] for alarm in everything]
    assert numbers == sorted(set(numbers))
    assert everything[1]["end_time"] - everything[1]["start_time"] == 60
    assert (one[0]["data_1"], one[0]["data_2"]) == (683, 600)
    assert len(one) == 1
    assert [inverter["warning_count"] for inverter in counted] == [1, 2]
    assert "alarms" not in nothing
    assert not any("warning_count" in inverter for inverter in cleared)


async def test_many_events_come_in_pages() -> None:
    dtu = _dtu(command_time=0)
    for code in range(100, 130):
        dtu.start_alarm(code)
    async with talking_to(dtu) as client:
        await client.tell(50)
        pages = await client.pages(ALARMS)
    assert [len(_list(page, "alarms")) for page in pages] == [12, 12, 6]


async def test_grid_profile_is_told_of_inverters_that_there_are() -> None:
    async with talking_to(_dtu()) as client:
        known = await client.ask(0xA307, device_serial=b"141293100001", rule_type=1)
        assert isinstance(known["data"], bytes)
        assert known["data"].hex().startswith("03002001")
        client.send(0xA307, device_serial=b"141293109999")
        assert await client.is_silent()


# -- encryption, restarts, night ---------------------------------------------------------


async def test_encrypting_dtu_says_how_in_plain_text() -> None:
    dtu = _dtu(encrypt=True)
    async with running_dtu(dtu) as address, client_at(address) as client:
        app_info = await client.ask(APP_INFO)
        own = app_info["dtu"]
        assert isinstance(own, dict)
        assert own["encryption_seed"] == dtu.encryption_seed
        assert int(str(own["feature_flags"])) >> 25 & 1
        # What is not encrypted is not answered.
        client.send(REAL_DATA)
        assert await client.is_silent()
    async with talking_to(dtu) as client:
        assert await client.ask(REAL_DATA)


async def test_restart_breaks_connections_and_changes_the_key() -> None:
    dtu = _dtu(encrypt=True)
    old = dtu.cipher
    assert isinstance(old, Cipher)
    async with running_dtu(dtu) as address:
        async with client_at(address, old) as client:
            assert await client.ask(REAL_DATA)
            dtu.restart()
            assert await client.is_left()
        assert dtu.encryption_seed != old.seed
        async with client_at(address, old) as client:
            client.send(REAL_DATA)
            assert await client.is_silent()
            assert client.segments == [bytes(64)]
        async with client_at(address, dtu.cipher) as client:
            assert await client.ask(REAL_DATA)
    assert dtu.counters.bad_frames == 1


async def test_restart_by_command_is_acknowledged_and_takes_a_while() -> None:
    dtu = _dtu()
    async with running_dtu(dtu) as address:
        async with client_at(address) as client:
            await client.tell(1)
            assert await client.is_left()
        await _until(lambda: _is_refused(address))
        dtu.advance(5)
        await _until(lambda: _is_served(address))
    assert dtu.commands[0].result == "success"
    assert dtu.booted == MIDDAY


async def test_integrated_dtu_sleeps_at_night_and_starts_anew_in_the_morning() -> None:
    dtu = _dtu(at=datetime(2026, 6, 21, 19), encrypt=True, refresh=0)
    (inverter,) = dtu.inverters.values()
    seed, today, total = (
        dtu.encryption_seed,
        *map(sum, (inverter.energy_today, inverter.energy_total)),
    )
    assert today > 3000
    async with running_dtu(dtu) as address:
        async with client_at(address, dtu.cipher) as client:
            assert await client.ask(REAL_DATA)
            dtu.advance(3 * 3600)
            assert dtu.is_asleep
            assert await client.is_left()
        await _until(lambda: _is_refused(address))
        dtu.advance(9 * 3600)
        await _until(lambda: _is_served(address))
    assert dtu.encryption_seed != seed
    assert 0 < sum(inverter.energy_today) < 500
    assert sum(inverter.energy_total) > total


async def test_integrated_dtu_that_is_started_at_night_listens_in_the_morning() -> None:
    dtu = _dtu(at=BEFORE_SUNRISE.replace(hour=3))
    async with running_dtu(dtu) as address:
        assert await _is_refused(address)
        dtu.advance(6 * 3600)
        await _until(lambda: _is_served(address))


async def test_stick_says_little_of_its_inverters_at_night() -> None:
    async with talking_to(_dtu("stick-3", at=NIGHT)) as client:
        pages = await client.pages()
    inverters = _all(pages, "single_phase") + _all(pages, "three_phase")
    assert len(inverters) == 3
    assert all(set(inverter) == {"serial"} for inverter in inverters)
    panels = _all(pages, "panels")
    assert len(panels) == 9
    assert all(set(panel) == {"serial", "port", "energy_total"} for panel in panels)
    assert not {"dtu_power", "dtu_energy_today"} & set(pages[0])
    assert _all(pages, "meters")[0]["power_total"] > 0


async def test_dtu_without_time_counts_from_its_start() -> None:
    dtu = _dtu("stick-3", at=MIDDAY, knows_time=False, refresh=0)
    dtu.restart()
    dtu.advance(901)
    async with talking_to(dtu) as client:
        assert (await client.ask(REAL_DATA))["time"] == 901
        dtu.set_time(1_760_000_000)
        assert (await client.ask(REAL_DATA))["time"] == 1_760_000_000


# -- connections -------------------------------------------------------------------------


async def test_newest_connection_ends_the_one_before() -> None:
    dtu = _dtu()
    async with running_dtu(dtu) as address, client_at(address) as first:
        assert await first.ask(APP_INFO)
        async with client_at(address) as second:
            assert await second.ask(APP_INFO)
            assert await first.is_left()
            assert await second.ask(REAL_DATA)
            assert dtu.is_client_connected
    assert dtu.counters.connections == 2
    assert dtu.counters.evictions == 1
    assert not dtu.is_client_connected


async def test_connections_one_after_the_other_evict_nobody() -> None:
    dtu = _dtu()
    async with running_dtu(dtu) as address:
        for _ in range(5):
            async with client_at(address) as client:
                assert await client.ask(APP_INFO)
    assert dtu.counters.connections == 5
    assert dtu.counters.evictions == 0


async def test_too_many_connections_offend_a_dtu_for_half_an_hour() -> None:
    dtu = _dtu(connections_per_minute=3)
    async with running_dtu(dtu) as address:
        for _ in range(3):
            assert await _is_served(address)
        assert await _is_refused(address)
        assert dtu.counters.refusals == 1
        dtu.advance(1790)
        assert await _is_refused(address)
        dtu.advance(10)
        await _until(lambda: _is_served(address))


async def test_requests_may_come_in_any_pieces() -> None:
    dtu = _dtu()
    async with talking_to(dtu) as client:
        sent: list[bytes] = []
        write = client.writer.write
        client.writer.write = sent.append  # type: ignore[method-assign,assignment]
        client.send(APP_INFO)
        client.send(REAL_DATA)
        for octet in sent[0][:-1]:
            write(bytes((octet,)))
            await client.writer.drain()
            await asyncio.sleep(0)
        write(sent[0][-1:] + sent[1])
        assert [(await client.next_frame()).command for _ in sent] == [0xA201, 0xA211]


async def test_garbage_does_not_end_the_conversation() -> None:
    dtu = _dtu()
    async with talking_to(dtu) as client:
        client.writer.write(b"HM\xa3\x11\0\1\0\0\0\5")
        assert await client.is_silent()
        assert await client.ask(REAL_DATA)
        client.send(0xA311)  # a message that is none
        assert await client.next_frame()
    assert dtu.counters.bad_frames == 1


async def test_unknown_requests_are_not_answered() -> None:
    async with talking_to(_dtu()) as client:
        client.writer.write(frames.encode(frames.Frame(0xA31D, 1, b"")))
        assert await client.is_silent()


async def test_everything_is_released_at_the_end() -> None:
    dtu = _dtu(faults=["delay=3600"])
    async with running_dtu(dtu) as address, client_at(address) as client:
        client.send(APP_INFO)
        assert await client.is_silent()
    assert await _is_refused(address)
    assert dtu.when_restarted == []


# -- storage -----------------------------------------------------------------------------


async def test_storage_gateway_tells_what_flows() -> None:
    dtu = _dtu("storage", at=datetime(2026, 6, 21, 9))
    async with talking_to(dtu) as client:
        info = await client.ask(0xDB01)
        registry = await client.ask(0xC302)
        data = await client.ask(0xC303, serial=0x200393100004)
        client.send(0xC303, serial=0x200393109999)
        assert await client.is_silent()
        client.send(APP_INFO)
        assert await client.is_silent()
    assert info["serial"] == 0x430193100003
    assert _list(info, "devices") == [
        {"serial": 0x200393100004, "type": 6, "address": 1}
    ]
    assert _list(registry, "inverters")[0]["model_name"] == b"HYS-4.6LV-EUG1"
    panels = _list(data, "panels")
    battery = data["battery"]
    assert isinstance(battery, dict)
    charged = -int(str(battery["power"]))
    assert charged > 0
    assert sum(panel["power"] for panel in panels) > charged


# -- datasets ----------------------------------------------------------------------------


def _recorded() -> dict[str, Any]:
    return {
        "_source": "made up",
        "messages": {
            "AppInfoReply": {
                "dtu_serial": "414393100009",
                "time": 1_000,
                "page_count": 1,
                "dtu": {"feature_flags": 1308623040, "encryption_seed": "hex:00ff"},
                "inverters": [{"serial": 22070009266177, "hardware_version": 256}],
            },
            "RealDataReply": [
                {"time": 1_000, "page_count": 2, "panels": [{"serial": 1, "power": 5}]},
                {"time": 1_000, "page_count": 2, "page_index": 1, "dtu_power": 7},
            ],
            "AlarmReply": {"time": 1_000, "alarms": [{"serial": 1, "start_time": 900}]},
            "ConfigReply": {"meter_kind": "hex:30ff", "wifi_password": "**REDACTED**"},
        },
    }


async def test_recorded_messages_are_served_with_the_time_of_now(
    tmp_path: Path,
) -> None:
    file = tmp_path / "download.json"
    file.write_text(json.dumps({"data": {"dataset": _recorded()}}))
    dtu = _dtu(at=NIGHT, served=ServedMessages.load(file), command_time=0)
    now = dtu.unix_time()
    async with talking_to(dtu) as client:
        app_info = await client.ask(APP_INFO)
        pages = await client.pages()
        alarms = await client.ask(ALARMS)
        config = await client.ask(CONFIG)
        ack = await client.tell(33)
        client.send(NETWORK)
        assert await client.is_silent()
    assert app_info["dtu_serial"] == ack["dtu_serial"] == b"414393100009"
    assert app_info["dtu"] == {"feature_flags": 1308623040 & ~(1 << 25)}
    assert [page["time"] for page in pages] == [now, now]
    assert _all(pages, "panels") == [{"serial": 1, "power": 5}]
    assert pages[1]["dtu_power"] == 7
    assert _list(alarms, "alarms") == [{"serial": 1, "start_time": now - 100}]
    assert config["meter_kind"] == b"0\xff"
    assert "wifi_password" not in config
    assert list(dtu.inverters) == [1]


async def test_recorded_messages_are_encrypted_if_that_is_wanted() -> None:
    served = ServedMessages.parse(_recorded())
    dtu = _dtu(served=served, encrypt=True)
    async with talking_to(dtu) as client:
        app_info = await client.ask(APP_INFO)
        assert len(await client.pages()) == 2
    own = app_info["dtu"]
    assert isinstance(own, dict)
    assert own["encryption_seed"] == dtu.encryption_seed


async def test_recorded_gateway_is_served() -> None:
    recorded = {
        "messages": {
            "GatewayInfoReply": {
                "serial": 0x430193100077,
                "time": 5,
                "devices": [{"serial": 0x200393100078, "type": 6}],
            }
        }
    }
    async with talking_to(_dtu(served=ServedMessages.parse(recorded))) as client:
        info = await client.ask(0xDB01)
    assert info["serial"] == 0x430193100077


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ([], "holds no messages"),
        ({"messages": {}}, "holds no messages"),
        ({"messages": {"RealDataReply": 5}}, "is not an object of fields"),
        ({"messages": {"RealDataReply": {"x": 5}}}, "cannot be made"),
        ({"messages": {"RealDataReply": {"time": 1.5}}}, "no message can hold"),
        ({"messages": {"RealDataReply": {}, "X": {}}}, "not the name of a message"),
    ],
)
def test_bad_datasets_are_refused_with_the_reason(
    document: object, message: str
) -> None:
    with pytest.raises(SimulatorError, match=message):
        ServedMessages.parse(document)


@pytest.mark.parametrize("content", [None, b"\xff", b"{", b"[" * 100_000])
def test_unreadable_files_are_refused(tmp_path: Path, content: bytes | None) -> None:
    file = tmp_path / "x.json"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(SimulatorError, match=r"x\.json: "):
        ServedMessages.load(file)


def test_messages_go_to_json_and_back() -> None:
    fields: Fields = {
        "time": 5,
        "meter_kind": b"0\xff",
        "wifi_ssid": b"hex: a name",
        "apn_set": "grün".encode(),
    }
    document = to_json(fields)
    assert document == {
        "time": 5,
        "meter_kind": "hex:30ff",
        "wifi_ssid": "hex:6865783a2061206e616d65",
        "apn_set": "grün",
    }
    assert from_json(json.loads(json.dumps(document))) == fields
    nested: Fields = {
        "dtu": {"device_kind": 1},
        "panels": many({"port": 1}),
        "powers": [1],
    }
    assert from_json(to_json(nested)) == nested


@pytest.mark.parametrize(
    ("document", "place"),
    [
        ({"a": True}, "a is True"),
        ({"a": {"b": [None]}}, "a.b.0 is None"),
        ({"a": "hex:0"}, "a is 'hex:0'"),
        ({"a": [1, "x"]}, "a is a list of different things"),
    ],
)
def test_json_that_no_message_can_hold_is_refused(
    document: dict[str, Any], place: str
) -> None:
    with pytest.raises(MessageError, match=place):
        from_json(document)


async def test_requests_are_kept_with_their_replies() -> None:
    dtu = _dtu(faults=["silent,command=A309"])
    async with talking_to(dtu) as client:
        await client.ask(REAL_DATA, page_index=0, time=5)
        client.send(CONFIG)
        assert await client.is_silent()
    real, config = dtu.requests
    assert (real.command, real.sequence, real.fields) == (REAL_DATA, 101, {"time": 5})
    assert real.reply is not None
    assert messages.decode("RealDataReply", real.reply)["page_count"] == 1
    assert config.faults == ("silent",)
    assert (dtu.counters.frames, dtu.counters.pages) == (2, 1)
