"""A simulated DTU and its maker's cloud: reports, commands, and who keeps them apart."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import datetime, timedelta
from typing import Any

import pytest

from custom_components.local_solar.hoymiles import messages
from simulators.clock import SimulatedClock
from simulators.hoymiles.cloud import SimulatedCloud, running_cloud
from simulators.hoymiles.dtu import SimulatedDtu
from simulators.hoymiles.server import running_dtu
from simulators.hoymiles.uplink import running_uplink
from tests.hoymiles.peer import APP_INFO, PATIENCE, REAL_DATA, client_at

MIDDAY = datetime(2026, 6, 21, 13, 1)

INFO, HEARTBEAT, STATUS = 0x2201, 0x2202, 0x2206
EVENTS, REAL, HISTORY_DATA, PROFILE = 0x220B, 0x220C, 0x220D, 0x220E


@asynccontextmanager
async def _plant(
    inventory: str = "stick-3", **options: Any
) -> AsyncIterator[tuple[SimulatedDtu, SimulatedCloud]]:
    """Let a DTU report to a cloud; both live by one clock, which stands still."""
    clock = SimulatedClock(options.pop("at", MIDDAY), speed=0)
    cloud = SimulatedCloud(clock=clock)
    dtu = SimulatedDtu(inventory, clock=clock, seed=1, **options)
    async with (
        running_cloud(cloud) as address,
        running_uplink(dtu, address.host, address.port),
    ):
        # What it says first, and its first heartbeat, which sets its clock.
        await _until(lambda: dtu.counters.cloud_answers >= 2)
        yield dtu, cloud


async def _until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not condition():
            await asyncio.sleep(0.005)


async def test_dtu_says_first_what_it_is() -> None:
    async with _plant() as (dtu, cloud):
        report = await cloud.report(INFO)
    assert report.fields["dtu_serial"] == dtu.serial.encode()
    assert report.fields["inverter_count"] == 3
    assert cloud.reports[0] is report


async def test_heartbeat_comes_every_minute_and_sets_the_clock() -> None:
    async with _plant(knows_time=False) as (dtu, cloud):
        await _until(lambda: dtu.knows_time)
        assert dtu.unix_time() == cloud.unix_time
        for _ in range(2):
            dtu.advance(30)
        await cloud.report(HEARTBEAT, 2)
        assert len(cloud.of(HEARTBEAT)) == 2


async def test_upload_comes_at_multiples_of_the_interval() -> None:
    async with _plant(upload_interval=15) as (dtu, cloud):
        dtu.advance(13 * 60)
        await cloud.report(HEARTBEAT, 2)
        assert cloud.of(REAL) == []
        dtu.advance(60)
        pages = [(await cloud.report(REAL, n)).fields for n in (1, 2, 3)]
        await _until(lambda: dtu.counters.uploads_succeeded == 1)
    assert [page.get("page_index", 0) for page in pages] == [0, 1, 2]
    assert {page["time"] for page in pages} == {dtu.unix_time()}
    assert dtu.counters.uploads_failed == 0


@pytest.mark.parametrize(
    ("leaves_before", "succeeds"), [(None, False), (10, False), (31, True)]
)
async def test_local_client_keeps_an_upload_from_being_made(
    leaves_before: int | None, succeeds: bool
) -> None:
    async with _plant() as (dtu, cloud), running_dtu(dtu) as address:
        async with AsyncExitStack() as stack:
            client = await stack.enter_async_context(client_at(address))
            await client.ask(APP_INFO)
            if leaves_before is not None:
                dtu.advance(4 * 60 - leaves_before)
                await stack.aclose()
                await _until(lambda: not dtu.is_client_connected)
                dtu.advance(leaves_before)
            else:
                dtu.advance(4 * 60)
            counters = dtu.counters
            await _until(
                lambda: counters.uploads_failed + counters.uploads_succeeded > 0
            )
        assert counters.uploads_succeeded == succeeds
        assert bool(cloud.of(REAL)) == succeeds


async def test_failed_uploads_are_made_up_for_as_history() -> None:
    async with _plant("hms-800w-2t") as (dtu, cloud), running_dtu(dtu) as address:
        async with client_at(address) as client:
            await client.ask(REAL_DATA)
            dtu.advance(5 * 60)
            await _until(lambda: dtu.counters.uploads_failed == 1)
            dtu.advance(5 * 60)
            await _until(lambda: dtu.counters.uploads_failed == 2)
        await _until(lambda: not dtu.is_client_connected)
        dtu.advance(5 * 60)
        await _until(lambda: dtu.counters.history_uploads == 2)
    assert [len(cloud.of(command)) for command in (REAL, HISTORY_DATA)] == [1, 2]
    times = [int(str(report.fields["time"])) for report in cloud.of(HISTORY_DATA)]
    assert times[1] - times[0] == 300
    assert times[1] < int(str(cloud.of(REAL)[0].fields["time"]))
    assert dtu.counters.uploads_failed == 2


async def test_cloud_that_is_away_gets_history_when_it_is_back() -> None:
    clock = SimulatedClock(MIDDAY, speed=0)
    dtu = SimulatedDtu(clock=clock, seed=1)
    async with running_cloud(SimulatedCloud(clock=clock)) as address:
        pass
    async with running_uplink(dtu, address.host, address.port):
        dtu.advance(5 * 60)
        await _until(lambda: dtu.counters.uploads_failed == 1)
        cloud = SimulatedCloud(clock=clock)
        async with running_cloud(cloud, port=address.port):
            await cloud.report(HEARTBEAT)
            dtu.advance(5 * 60)
            await _until(lambda: dtu.counters.history_uploads == 1)


async def test_events_are_reported_once() -> None:
    async with _plant() as (dtu, cloud):
        first = dtu.start_alarm(217)
        await cloud.report(EVENTS)
        await _until(lambda: dtu.alarms.reported == first.number)
        second = dtu.start_alarm(121)
        await cloud.report(EVENTS, 2)
    reported = [messages.encode("AlarmReply", e.fields) for e in cloud.of(EVENTS)]
    listed = [messages.parse("AlarmReply", payload).alarms for payload in reported]
    assert [[alarm.number for alarm in alarms] for alarms in listed] == [
        [first.number],
        [second.number],
    ]


async def test_command_of_the_cloud_is_acknowledged_and_its_end_reported() -> None:
    async with _plant() as (dtu, cloud):
        serial = next(iter(dtu.inverters))
        async with asyncio.timeout(PATIENCE):
            ack = await cloud.command(8, "A:700,B:0,C:0\r", [serial])
        assert "error_code" not in ack
        assert cloud.of(STATUS) == []
        dtu.advance(4)
        status = await cloud.report(STATUS)
    assert status.fields["inverter_success"] == [serial]
    assert dtu.inverters[serial].stored_limit == 700
    assert [(record.command, record.result) for record in dtu.commands] == [
        (0x2305, "success")
    ]


@pytest.mark.parametrize("wrong_sequence", [False, True])
async def test_grid_profile_is_reported_after_a_command_asks_for_it(
    wrong_sequence: bool,
) -> None:
    async with _plant(command_time=0) as (dtu, cloud):
        cloud.wrong_sequence = wrong_sequence
        serial = next(iter(dtu.inverters))
        await cloud.command(41, serials=[serial])
        report = await cloud.report(PROFILE)
        # The answer has been taken, whatever its number: reports go on.
        dtu.start_alarm(217)
        await cloud.report(EVENTS)
    assert report.fields["device_serial"] == f"{serial:012X}".encode()


async def test_restart_by_the_cloud_ends_the_connection_and_begins_another() -> None:
    async with _plant(command_time=0) as (dtu, cloud):
        await cloud.command(1)
        await _until(lambda: dtu.booted == MIDDAY)
        dtu.advance(dtu.restart_time)
        await cloud.report(INFO, 2)


async def test_integrated_dtu_reports_nothing_at_night() -> None:
    async with _plant("hms-800w-2t", at=MIDDAY) as (dtu, cloud):
        dtu.advance(timedelta(hours=10).total_seconds())
        assert dtu.is_asleep
        before = len(cloud.reports)
        dtu.advance(600)
        await asyncio.sleep(0.06)
        assert len(cloud.of(REAL)) == 0
        assert len(cloud.reports) == before


async def test_mute_cloud_makes_uploads_fail(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("simulators.hoymiles.uplink._PATIENCE", 0.05)
    async with _plant() as (dtu, cloud):
        cloud.is_mute = True
        dtu.advance(4 * 60)
        await _until(lambda: dtu.counters.uploads_failed == 1)


async def test_cloud_without_a_dtu_cannot_command() -> None:
    with pytest.raises(ConnectionError, match="no DTU"):
        await SimulatedCloud().command(1)
