"""What a simulated stick does wrong on purpose, as the server sees it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
import math
from random import Random

import pytest

from simulators.datalogger.bodies import Record, SingleDone, Span, SpanDone
from simulators.datalogger.cloud import CloudConnection, Habits, SimulatedCloud
from simulators.datalogger.faults import Rogue, RogueKind, Rogues
from simulators.datalogger.packets import Kind, Packet
from simulators.datalogger.stick import EAGER, SimulatedStick
from simulators.errors import SimulatorError

QUIET = Habits(reads_parameters=False, sets_clock=False)


@asynccontextmanager
async def _rogue(
    *rogues: str, protocol: int = 6
) -> AsyncIterator[tuple[SimulatedStick, SimulatedCloud]]:
    """Run a stick with faults and a cloud that asks nothing; yield them when connected."""
    async with SimulatedCloud(habits=QUIET) as cloud:
        stick = SimulatedStick(
            server=cloud.address,
            protocol=protocol,
            interval=math.inf,
            timing=EAGER,
            rogues=rogues,
            seed=1,
        )
        async with stick:
            await stick.wait_until(lambda: stick.connected)
            yield stick, cloud


def _wire(packets: list[Packet]) -> bytes:
    return b"".join(packet.encode() for packet in packets)


async def _connection(cloud: SimulatedCloud) -> CloudConnection:
    await cloud.wait_until(lambda: cloud.connections)
    return cloud.connections[0]


@pytest.mark.parametrize(
    "rogue", ["split", "split=0", "split=7", "slow=0", "slow=0.00001"]
)
async def test_packets_in_pieces_are_whole_in_the_end(rogue: str) -> None:
    async with _rogue(rogue) as (stick, cloud):
        await stick.wait_until(lambda: stick.is_announced)
        connection = await _connection(cloud)
        assert connection.octets == _wire(stick.sent)
        assert connection.reads > 2


async def test_glued_packets_come_in_one_piece() -> None:
    async with _rogue("glue=2") as (stick, cloud):
        await stick.wait_until(lambda: stick.is_announced)
        connection = await _connection(cloud)
        assert connection.reads == 1
        assert [packet.kind for packet in connection.received] == [0x16, 0x03]


async def test_garbage_comes_before_a_packet() -> None:
    async with _rogue("garbage=5,type=03") as (stick, cloud):
        connection = await _connection(cloud)
        await cloud.wait_until(lambda: not connection.is_open)
        ping, announcement = stick.sent[:2]
        size = len(ping.encode())
        assert connection.octets[:size] == ping.encode()
        assert connection.octets[size + 5 :] == announcement.encode()


async def test_unknown_type_comes_before_a_packet() -> None:
    async with _rogue("unknown=99") as (stick, cloud):
        await stick.wait_until(lambda: stick.is_announced)
        kinds = [packet.kind for packet in cloud.received]
        assert kinds == [99, 0x16, 99, 0x03]


async def test_wrong_checksum_is_one() -> None:
    async with _rogue("wrong-crc,times=1") as (stick, cloud):
        await stick.wait_until(lambda: stick.is_announced)
        connection = await _connection(cloud)
        assert connection.bad == 1
        assert [packet.kind for packet in connection.received] == [0x03]


async def test_corrupt_records_have_random_registers_and_a_right_checksum() -> None:
    async with _rogue("corrupt,type=04") as (stick, cloud):
        await stick.wait_until(lambda: stick.is_announced)
        stick.report()
        await stick.wait_until(lambda: stick.acknowledged == 1)
        sent, came = (
            Record.parse(packets[0])
            for packets in (stick.sent_of(Kind.LIVE), cloud.received_of(Kind.LIVE))
        )
        assert (came.logger, came.inverter, came.stamp, came.blocks) == (
            *(sent.logger, sent.inverter, sent.stamp, sent.blocks),
        )
        assert sum(sent.words[at] != came.words[at] for at in sent.words) > 240


async def test_huge_packet_is_as_long_as_can_be() -> None:
    async with _rogue("huge,times=1") as (_, cloud):
        packet = await cloud.wait_for(Kind.PING)
        assert len(packet.encode()) == 65543


async def test_cut_packet_ends_what_is_said_but_not_the_connection() -> None:
    async with _rogue("cut,type=04") as (stick, cloud):
        await stick.wait_until(lambda: stick.is_announced)
        connection = await _connection(cloud)
        before = len(connection.octets)
        stick.report()
        live = await _sent(stick, Kind.LIVE)
        half = live.encode()[: len(live.encode()) // 2]
        await cloud.wait_until(lambda: len(connection.octets) == before + len(half))
        stick.report()
        connection.read_registers(0, 0)
        await stick.wait_until(lambda: stick.received_of(Kind.READ))
        assert connection.octets[before:] == half
        assert connection.is_open


async def _sent(stick: SimulatedStick, kind: Kind) -> Packet:
    await stick.wait_until(lambda: stick.sent_of(kind))
    return stick.sent_of(kind)[0]


async def test_half_open_connection_says_nothing() -> None:
    async with _rogue("half-open") as (stick, cloud):
        connection = await _connection(cloud)
        connection.logger = stick.serial
        connection.read_registers(0, 0)
        await stick.wait_until(lambda: stick.received_of(Kind.READ))
        assert connection.octets == b""
        assert connection.is_open
        stick.stop_rogue()
        stick.reconnect()
        await stick.wait_until(lambda: stick.is_announced)


async def test_flood_begins_and_ends_at_run_time() -> None:
    async with _rogue() as (stick, cloud):
        await stick.wait_until(lambda: stick.is_announced)
        assert cloud.received_of(Kind.LIVE) == []
        stick.start_rogue("flood")
        await cloud.wait_for(Kind.LIVE, 100)
        stick.stop_rogue("flood")
        number = len(stick.sent_of(Kind.LIVE)) + 2
        await asyncio.sleep(0)
        stick.report()
        await stick.wait_until(lambda: stick.acknowledged == 1)
        assert len(stick.sent_of(Kind.LIVE)) <= number


async def test_stick_that_never_reads_takes_nothing_until_it_does() -> None:
    async with _rogue() as (stick, cloud):
        await stick.wait_until(lambda: stick.is_announced)
        stick.start_rogue("never-reads")
        stick.report()
        await cloud.wait_for(Kind.LIVE)
        connection = await _connection(cloud)
        assert connection.sent[-1].kind == Kind.LIVE
        # It goes on saying things all the while.
        stick.report_box_meter()
        await cloud.wait_for(Kind.METER_REPORT)
        assert stick.acknowledged == 0
        stick.stop_rogue(RogueKind.NEVER_READS)
        await stick.wait_until(lambda: stick.acknowledged == 1)


async def test_duplicate_connection_leaves_the_first_one_open() -> None:
    async with _rogue("duplicate,times=1") as (stick, cloud):
        await stick.wait_until(lambda: stick.is_announced)
        stick.report()
        await stick.wait_until(lambda: stick.acknowledged == 1)
        assert stick.connections == 2
        assert [each.logger for each in cloud.connections] == [stick.serial] * 2
        assert all(each.is_open for each in cloud.connections)
    await cloud.wait_until(lambda: not any(each.is_open for each in cloud.connections))


async def test_commands_remain_without_answers() -> None:
    async with _rogue("no-answers,type=05") as (stick, cloud):
        await stick.wait_until(lambda: stick.is_announced)
        connection = await _connection(cloud)
        connection.read_registers(0, 0)
        connection.write_register(3, 60)
        await cloud.wait_for(Kind.WRITE)
        assert cloud.received_of(Kind.READ) == []
        assert len(stick.received_of(Kind.READ)) == 1


async def test_answers_come_late() -> None:
    async with _rogue("late=0.02,type=05") as (stick, cloud):
        await stick.wait_until(lambda: stick.is_announced)
        connection = await _connection(cloud)
        connection.read_registers(0, 0)
        connection.write_register(3, 60)
        await cloud.wait_for(Kind.READ)
        kinds = [packet.kind for packet in cloud.received]
        assert kinds[-2:] == [Kind.WRITE, Kind.READ]


async def test_answers_carry_another_serial_number() -> None:
    async with _rogue("wrong-serial") as (stick, cloud):
        await stick.wait_until(lambda: stick.is_announced)
        (await _connection(cloud)).read_registers(43, 43)
        answer = Span.parse(await cloud.wait_for(Kind.READ))
        assert answer.logger == "100MIS0DGX"
        assert answer.words == (5100,)


async def test_refused_commands_change_nothing() -> None:
    async with _rogue("refuses") as (stick, cloud):
        await stick.wait_until(lambda: stick.is_announced)
        connection = await _connection(cloud)
        connection.read_registers(43, 43)
        connection.write_register(3, 60)
        connection.write_registers(3038, [0, 0])
        connection.set_interval("1")
        await cloud.wait_for(Kind.SET_PARAMETER)
        assert Span.parse(cloud.received_of(Kind.READ)[0]).words == ()
        assert SingleDone.parse(cloud.received_of(Kind.WRITE)[0]).status == 3
        assert SpanDone.parse(cloud.received_of(Kind.WRITE_RANGE)[0]).status == 3
        assert cloud.received_of(Kind.SET_PARAMETER)[0].body[-1] == 3
        assert stick.inverters[1].writes == []
        assert stick.parameters[4] == "5"


async def test_stick_may_wait_for_its_clock_to_be_set() -> None:
    async with _rogue("waits-for-clock") as (stick, cloud):
        await stick.wait_until(lambda: stick.is_announced)
        stick.report()
        assert stick.buffered == 1
        cloud.connection().set_clock()
        await cloud.wait_for(Kind.SET_PARAMETER)
        stick.report()
        await stick.wait_until(lambda: stick.acknowledged == 2)
        kinds = {p.kind for p in cloud.received if p.kind in (Kind.LIVE, Kind.BUFFERED)}
        assert kinds == {Kind.LIVE, Kind.BUFFERED}


async def test_protocol_without_checksum_cannot_have_a_wrong_one() -> None:
    async with _rogue("wrong-crc", protocol=2) as (stick, cloud):
        await stick.wait_until(lambda: stick.is_announced)
        assert (await _connection(cloud)).octets == _wire(stick.sent)


def test_filters_choose_the_packets() -> None:
    rogues = Rogues(["late=1,every=2,times=1,type=05"], Random(1))
    assert [rogues.met(RogueKind.LATE, 0x06) for _ in range(3)] == [None] * 3
    found = [rogues.met(RogueKind.LATE, 0x05) for _ in range(5)]
    assert found == [None, 1.0, None, None, None]
    rogues.stop(RogueKind.LATE)
    assert rogues.met(RogueKind.LATE, 0x05) is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x", "'x' is not one of split, glue, garbage"),
        ("late", "late needs an argument: late=1.5"),
        ("cut=1", "cut takes no argument"),
        ("split,type=x", "'x' is not a type of records such as 04"),
        ("split,unit=1", "'unit' is not one of every, times, type"),
    ],
)
def test_impossible_faults_are_refused(text: str, message: str) -> None:
    with pytest.raises(SimulatorError, match=message):
        Rogue.parse(text)
