"""Faults of a simulated DTU: each does what it says, to those requests it is meant for."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from random import Random
from typing import Any

import pytest

from custom_components.local_solar.hoymiles.errors import FrameError
from custom_components.local_solar.hoymiles.messages import decode
from simulators.clock import SimulatedClock
from simulators.errors import SimulatorError
from simulators.hoymiles.dtu import SimulatedDtu
from simulators.hoymiles.faults import (
    EXPLANATION,
    Asked,
    Fault,
    FaultKind,
    as_fault,
    trouble_of,
)
from tests.hoymiles.peer import (
    APP_INFO,
    CONFIG,
    HISTORY,
    OLD_REAL_DATA,
    REAL_DATA,
    Client,
    talking_to,
)

MIDDAY = datetime(2026, 6, 21, 13)


@asynccontextmanager
async def _with(
    *faults: str, inventory: str = "hms-800w-2t", **options: Any
) -> AsyncIterator[tuple[SimulatedDtu, Client]]:
    clock = SimulatedClock(MIDDAY, speed=0)
    dtu = SimulatedDtu(inventory, clock=clock, faults=faults, seed=1, **options)
    async with talking_to(dtu) as client:
        yield dtu, client


# -- how they are written ----------------------------------------------------------------


def test_faults_are_read_as_they_are_written() -> None:
    fault = Fault.parse("split=3@0.25,command=A311,every=2,times=5")
    assert (fault.kind, fault.argument, fault.chance) == (FaultKind.SPLIT, 3, 0.25)
    assert (fault.command, fault.every, fault.times) == (0xA311, 2, 5)
    assert Fault.parse("split").argument == 7
    assert Fault.parse("no-clock=-500").argument == -500
    assert as_fault(fault) is fault


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("explode", "'explode' is not one of split, merge"),
        ("split=0", "'0' is not a whole number from 1 to 1024"),
        ("split=x", "'x' is not a whole number"),
        ("silent=1", "silent takes no argument"),
        ("delay", "delay needs an argument"),
        ("silent@2", "'2' is not a number from 0 to 1"),
        ("silent,unit=1", "'unit' is not one of every, times, command"),
        ("silent,command=A3", "'A3' is not the id of a command"),
        ("silent,command=0xA3", "'0xA3' is not the id of a command"),
        ("silent,times=0", "'0' is not a whole number from 1"),
    ],
)
def test_bad_faults_are_refused_with_the_reason(text: str, message: str) -> None:
    with pytest.raises(SimulatorError, match=message):
        Fault.parse(text)


def test_help_explains_every_fault() -> None:
    missing = [kind for kind in FaultKind if f"  {kind}" not in EXPLANATION]
    assert missing == []


def _struck(text: str, count: int, command: int = REAL_DATA, page: int = 0) -> int:
    fault, random = Fault.parse(text), Random(1)
    for _ in range(count):
        fault.strikes(Asked(command, page), random)
    return fault.struck


def test_filters_pick_the_requests_that_meet_a_fault() -> None:
    assert _struck("silent", 10) == 10
    assert _struck("silent,times=3", 10) == 3
    assert _struck("silent,every=3", 10) == 3
    assert 20 < _struck("silent@0.3", 100) < 40
    assert _struck("silent,command=A309", 10) == 0
    assert _struck("silent,command=a311", 10) == 10
    # Some can happen to some requests only.
    assert _struck("bad-text", 10) == 0
    assert _struck("bad-text", 10, CONFIG) == 10
    assert _struck("lost-page", 10) == 0
    assert _struck("lost-page", 10, page=1) == 10


def test_first_fault_of_a_kind_counts() -> None:
    faults = [Fault.parse("delay=1,times=1"), Fault.parse("delay=2")]
    met = [
        trouble_of(Asked(REAL_DATA), faults, Random(1)).get(FaultKind.DELAY)
        for _ in range(2)
    ]
    assert met == [1, 2]


# -- on the wire -------------------------------------------------------------------------


@pytest.mark.parametrize("encrypt", [False, True])
async def test_split_reply_comes_in_small_pieces(encrypt: bool) -> None:
    async with _with("split=9", encrypt=encrypt) as (_, client):
        assert (await client.ask(REAL_DATA))["dtu_power"]
        assert len(client.segments) > 5
        assert max(len(segment) for segment in client.segments) < 100


@pytest.mark.parametrize("encrypt", [False, True])
@pytest.mark.parametrize(("fault", "segments"), [("stale", 3), ("merge", 2)])
async def test_reply_of_another_request_comes_before_the_right_one(
    fault: str, segments: int, encrypt: bool
) -> None:
    async with _with(f"{fault},command=A311", encrypt=encrypt) as (_, client):
        await client.ask(APP_INFO)
        client.send(REAL_DATA)
        stranger = await client.next_frame()
        right = await client.next_frame()
        assert (stranger.command, right.command) == (0xA201, 0xA211)
        assert right.sequence == client.sequence != stranger.sequence
        assert decode("RealDataReply", right.payload)["dtu_power"]
        assert len(client.segments) <= segments


async def test_wrong_sequence_is_the_only_reply() -> None:
    async with _with("wrong-sequence") as (_, client):
        client.send(REAL_DATA)
        frame = await client.next_frame()
        assert frame.command == 0xA211
        assert frame.sequence != client.sequence
        assert await client.is_silent()


async def test_zero_bytes_stand_for_the_reply() -> None:
    async with _with("zero-bytes=20") as (_, client):
        client.send(REAL_DATA)
        assert await client.is_silent()
        assert client.segments == [bytes(20)]


async def test_garbage_stands_for_the_reply_and_is_the_same_in_every_run() -> None:
    found = []
    for _ in range(2):
        async with _with("garbage=33") as (_, client):
            client.send(REAL_DATA)
            assert await client.is_silent()
            found.append(b"".join(client.segments))
    assert len(found[0]) == 33
    assert found[0] == found[1]


async def test_checksum_is_wrong() -> None:
    async with _with("crc") as (_, client):
        client.send(REAL_DATA)
        with pytest.raises(FrameError, match="checksum"):
            await client.next_frame()


async def test_silence_leaves_the_connection_open() -> None:
    async with _with("silent,times=1") as (_, client):
        client.send(REAL_DATA)
        assert await client.is_silent()
        assert await client.ask(REAL_DATA)


async def test_late_reply_comes_late() -> None:
    async with _with("delay=0.1") as (_, client):
        before = asyncio.get_running_loop().time()
        assert await client.ask(REAL_DATA)
        assert asyncio.get_running_loop().time() - before > 0.09


@pytest.mark.parametrize(("fault", "evictions"), [("disconnect", 0), ("evict", 1)])
async def test_connection_ends_in_the_place_of_the_reply(
    fault: str, evictions: int
) -> None:
    async with _with(fault) as (dtu, client):
        client.send(REAL_DATA)
        assert await client.is_left()
    assert dtu.counters.evictions == evictions


# -- in what is said ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fault", "time"), [("no-clock", 901), ("no-clock=-5000", -4099)]
)
async def test_dtu_without_a_clock_counts_from_its_start(fault: str, time: int) -> None:
    async with _with(fault, refresh=0) as (dtu, client):
        dtu.booted = MIDDAY
        dtu.advance(901)
        for command in (REAL_DATA, OLD_REAL_DATA):
            assert (await client.ask(command))["time"] == time
        assert (await client.ask(APP_INFO))["time"] == time & 0xFFFFFFFF


async def test_text_that_is_none_does_not_hide_the_rest() -> None:
    async with _with("bad-text") as (_, client):
        config = await client.ask(CONFIG)
    assert config["meter_kind"] == b"0\xff"
    assert config["upload_interval"] == 5


async def test_total_may_be_missing() -> None:
    async with _with("missing-total") as (_, client):
        real = await client.ask(REAL_DATA)
    assert not {"dtu_power", "dtu_energy_today"} & set(real)
    assert real["panels"]


async def test_stuck_values_repeat_until_it_is_over() -> None:
    async with _with("stuck,times=4", refresh=0) as (dtu, client):
        first = await client.ask(REAL_DATA)
        for _ in range(3):
            dtu.advance(60)
            assert await client.ask(REAL_DATA) == first
        assert (await client.ask(REAL_DATA))["time"] == dtu.unix_time()


async def test_pages_may_be_of_different_times() -> None:
    async with _with("page-time-jump=45", inventory="stick-3") as (_, client):
        times = [int(str(page["time"])) for page in await client.pages()]
    assert [time - times[0] for time in times] == [0, 45, 90]


async def test_one_page_may_be_lost() -> None:
    async with _with("lost-page=2", inventory="stick-3") as (_, client):
        for page in (0, 1):
            assert await client.ask(REAL_DATA, page_index=page)
        client.send(REAL_DATA, page_index=2)
        assert await client.is_silent()


@pytest.mark.parametrize(
    ("fault", "answered"),
    [
        ("no-real-data-new", [APP_INFO, OLD_REAL_DATA]),
        ("no-data", [APP_INFO, HISTORY]),
    ],
)
async def test_some_firmware_gives_no_data(fault: str, answered: list[int]) -> None:
    async with _with(fault) as (_, client):
        for command in {REAL_DATA, OLD_REAL_DATA} - set(answered):
            client.send(command)
            assert await client.is_silent()
        for command in answered:
            assert await client.ask(command)


# -- with commands -----------------------------------------------------------------------


async def test_some_firmware_takes_commands_under_the_clouds_id_only() -> None:
    async with _with("refuses-a305=9", command_time=0) as (dtu, client):
        refused = await client.tell(7)
        taken = await client.tell(7, command=0x2305)
    (inverter,) = dtu.inverters.values()
    assert refused["error_code"] == 9
    assert "error_code" not in taken
    assert not inverter.on
    assert [record.result for record in dtu.commands] == ["refused", "success"]


async def test_slow_command_takes_long() -> None:
    async with _with("slow-command=90") as (dtu, client):
        await client.tell(7)
        dtu.advance(89)
        assert "inverter_running" in await client.status(7)
        dtu.advance(1)
        assert "inverter_success" in await client.status(7)


async def test_failed_command_changes_nothing() -> None:
    async with _with("failed-command=17", command_time=0) as (dtu, client):
        await client.tell(8, "A:500,B:0,C:0\r")
        status = await client.status(8)
    (inverter,) = dtu.inverters.values()
    assert status["inverter_failed"] == [inverter.serial]
    assert status["inverter_errors"] == [{"serial": inverter.serial, "error_code": 17}]
    assert inverter.stored_limit == 1000
    assert dtu.commands[0].result == "failed"


async def test_fast_data_that_fails_is_not_begun() -> None:
    async with _with("failed-command", command_time=0) as (dtu, client):
        await client.tell(33)
    assert not dtu.fast_data
    assert dtu.commands[0].result == "failed"
