"""A simulated stick and the simulated cloud: what they say to each other."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import datetime, timedelta
import math
from random import Random
from typing import Any, override

import pytest

from custom_components.local_solar.growatt.models import DEVICE_TYPE_CODES, Family
from custom_components.local_solar.growatt.profiles.meter import decode_meter_block
from simulators.clock import SimulatedClock
from simulators.datalogger import parameters
from simulators.datalogger.bodies import (
    ZERO_STAMP,
    Linked,
    MeterLog,
    MeterWords,
    Parameter,
    ParameterDone,
    Record,
    SingleDone,
    Span,
    SpanDone,
)
from simulators.datalogger.cloud import CloudConnection, Habits, SimulatedCloud
from simulators.datalogger.inverters import SimulatedInverter, Write, blocks_of
from simulators.datalogger.packets import Kind, Packet
from simulators.datalogger.stick import EAGER, Entry, MeterKind, SimulatedStick
from simulators.datasets import Table
from simulators.errors import SimulatorError

NOON = datetime(2026, 6, 21, 12, 30, 15)


def _clock() -> SimulatedClock:
    return SimulatedClock(NOON, speed=0)


def _stick(
    cloud: SimulatedCloud, *inverters: SimulatedInverter, **options: Any
) -> SimulatedStick:
    """Return a stick that says nothing by itself but ping and announcements."""
    settings: dict[str, Any] = {
        "interval": math.inf,
        "timing": EAGER,
        "clock": _clock(),
        "seed": 1,
    }
    return SimulatedStick(
        "XGD0SIM001", cloud.address, inverters or None, **(settings | options)
    )


@asynccontextmanager
async def _talking(
    *inverters: SimulatedInverter, habits: Habits | None = None, **options: Any
) -> AsyncIterator[tuple[SimulatedStick, SimulatedCloud]]:
    """Run a stick and its cloud; yield them when the inverters are announced."""
    async with (
        SimulatedCloud(clock=_clock(), habits=habits) as cloud,
        _stick(cloud, *inverters, **options) as stick,
    ):
        await stick.wait_until(lambda: stick.is_announced)
        yield stick, cloud


async def _answer(cloud: SimulatedCloud, command: Packet) -> Packet:
    """Wait for the answer to a command that was just sent, as the next of its kind."""
    number = len(cloud.received_of(Kind(command.kind))) + 1
    return await cloud.wait_for(Kind(command.kind), number)


# -- a session ---------------------------------------------------------------------------


async def test_session_begins_with_ping_and_announcement_and_goes_on_with_values() -> (
    None
):
    async with _talking(interval=300) as (stick, cloud):
        await stick.wait_until(lambda: stick.acknowledged == 1 and stick.clock.was_set)
        reports = [p.kind for p in cloud.received if p.kind not in (0x18, 0x19)]
        assert reports == [Kind.PING, Kind.ANNOUNCE, Kind.LIVE]
        inverter = stick.inverters[1]
        announced = Record.parse(cloud.received_of(Kind.ANNOUNCE)[0])
        assert (announced.logger, announced.inverter) == (stick.serial, "SNL0DEMO01")
        assert announced.blocks == ((0, 124), (3000, 3124))
        assert announced.words[43] == 5100
        values = Record.parse(cloud.received_of(Kind.LIVE)[0])
        assert values.blocks == ((3000, 3124), (3125, 3249))
        assert values.stamp == bytes((26, 6, 21, 12, 30, 15))
        words = inverter.unit.dataset.words[Table.INPUT]
        assert values.words == {at: words.get(at, 0) for at in range(3000, 3250)}
        assert stick.buffered == stick.unanswered == 0


async def test_cloud_reads_parameters_and_sets_the_clock_as_recorded() -> None:
    async with _talking(interval=300, stick_clock="off=3600") as (stick, cloud):
        await cloud.wait_for(Kind.SET_PARAMETER)
        told = [Parameter.parse(p) for p in cloud.received_of(Kind.PARAMETER)]
        assert [each.number for each in told] == [*range(4, 22), 31]
        assert told[-1].text == "2026-06-21 13:30:15"
        assert stick.clock.now() == NOON
        answer = ParameterDone.parse(cloud.received_of(Kind.SET_PARAMETER)[0])
        assert (answer.number, answer.status) == (31, 0)
        # The stick passes the time on, which is not counted as a write of the server.
        holding = stick.inverters[1].unit.dataset.words[Table.HOLDING]
        assert [holding[at] for at in range(45, 51)] == [2026, 6, 21, 12, 30, 15]
        assert stick.inverters[1].writes == []


@pytest.mark.parametrize("protocol", [0, 2, 5, 6])
async def test_all_protocols_say_the_same(protocol: int) -> None:
    async with _talking(protocol=protocol) as (stick, cloud):
        stick.report()
        await stick.wait_until(lambda: stick.acknowledged == 1)
        assert {packet.protocol for packet in stick.sent} == {protocol}
        record = Record.parse(cloud.received_of(Kind.LIVE)[0])
        assert record == replace(
            stick.record_of(stick.inverters[1]),
            stamp=ZERO_STAMP if protocol in (0, 2) else record.stamp,
        )
        connection = cloud.connection()
        answer = await _answer(cloud, connection.read_registers(43, 44))
        assert Span.parse(answer).words[0] == 5100


async def test_inverters_of_one_stick_have_units_of_their_own() -> None:
    async with _talking(
        SimulatedInverter(1, "sph_5000", "SPH0000001"),
        SimulatedInverter(2, "min_5000tl_x", "MIN0000002"),
    ) as (stick, cloud):
        stick.report()
        await stick.wait_until(lambda: stick.acknowledged == 2)
        for kind in (Kind.ANNOUNCE, Kind.LIVE):
            found = {p.unit: Record.parse(p).inverter for p in cloud.received_of(kind)}
            assert found == {1: "SPH0000001", 2: "MIN0000002"}
        connection = cloud.connection()
        for unit, code in ((1, 3502), (2, 5200)):
            answer = await _answer(cloud, connection.read_registers(43, 43, unit=unit))
            assert (answer.unit, Span.parse(answer).words) == (unit, (code,))
        assert Record.parse(cloud.received_of(Kind.ANNOUNCE)[0]).words[
            23
        ] == int.from_bytes(b"SP")


async def test_packets_are_numbered_by_kind() -> None:
    async with _talking() as (stick, _):
        for _ in range(2):
            stick.report()
        await stick.wait_until(lambda: stick.acknowledged == 2)
        for kind, numbers in ((Kind.PING, [1]), (Kind.LIVE, [1, 2])):
            assert [packet.tid for packet in stick.sent_of(kind)] == numbers


async def test_what_is_not_acknowledged_is_said_again() -> None:
    habits = Habits(acknowledges=False, reads_parameters=False)
    timing = replace(EAGER, repeat=0.01, patience=1000)
    async with (
        SimulatedCloud(habits=habits) as cloud,
        _stick(cloud, timing=timing) as stick,
    ):
        await cloud.wait_for(Kind.ANNOUNCE, 3)
        assert not stick.is_announced
        habits.acknowledges = True
        await stick.wait_until(lambda: stick.is_announced)
        assert len({packet.tid for packet in stick.sent_of(Kind.ANNOUNCE)}) == 1
        habits.acknowledges = False
        stick.report()
        await cloud.wait_for(Kind.LIVE, 3)
        assert len(set(cloud.received_of(Kind.LIVE))) == 1
        habits.acknowledges = True
        await stick.wait_until(lambda: stick.acknowledged == 1)


async def test_silence_makes_it_connect_anew() -> None:
    habits = Habits(acknowledges=False, echoes=False, reads_parameters=False)
    timing = replace(EAGER, ping=0.001, patience=15)
    async with (
        SimulatedCloud(habits=habits) as cloud,
        _stick(cloud, timing=timing) as stick,
    ):
        await stick.wait_until(lambda: stick.connections == 3)
        first = cloud.connections[0]
        await cloud.wait_until(lambda: not first.is_open)
        kinds = [packet.kind for packet in first.received]
        assert kinds[:2] == [Kind.PING, Kind.ANNOUNCE]
        assert 15 <= len(kinds) <= 16


async def test_pings_go_on_and_come_back() -> None:
    async with _talking(timing=replace(EAGER, ping=0.005)) as (stick, cloud):
        await stick.wait_until(lambda: len(stick.received_of(Kind.PING)) >= 3)
        sent, received = stick.sent_of(Kind.PING), stick.received_of(Kind.PING)
        assert received == sent[: len(received)]
        assert cloud.connection().logger == stick.serial


# -- records that wait ---------------------------------------------------------------------


async def test_records_of_an_absent_server_come_later_and_in_order() -> None:
    clock = _clock()
    async with _talking(clock=clock) as (stick, cloud):
        await cloud.stop()
        await stick.wait_until(lambda: not stick.connected)
        kept = []
        for _ in range(5):
            clock.advance(300)
            kept += stick.report()
        assert stick.buffered == 5
        await cloud.start()
        await stick.wait_until(lambda: stick.is_announced)
        clock.advance(300)
        stick.report()
        await stick.wait_until(lambda: not stick.buffered and stick.acknowledged == 6)
        assert [p.body for p in cloud.received_of(Kind.BUFFERED)] == [
            entry.body for entry in kept
        ]
        late = Record.parse(cloud.received_of(Kind.BUFFERED)[0])
        assert late.stamp == bytes((26, 6, 21, 12, 35, 15))
        assert len(cloud.received_of(Kind.LIVE)) == 1
        assert stick.lost == 0


async def test_live_record_that_nobody_acknowledged_comes_as_an_old_one() -> None:
    habits = Habits()
    async with _talking(habits=habits) as (stick, cloud):
        habits.acknowledges = False
        stick.report()
        await cloud.wait_for(Kind.LIVE)
        assert stick.buffered == 0
        stick.report()
        assert stick.buffered == 1
        await cloud.wait_for(Kind.BUFFERED)
        stick.reconnect()
        await stick.wait_until(lambda: stick.buffered == 2)
        habits.acknowledges = True
        await stick.wait_until(lambda: stick.acknowledged == 2)
        assert stick.buffered == 0


async def test_late_acknowledgement_takes_a_kept_record_away() -> None:
    habits = Habits()
    async with _talking(habits=habits) as (stick, cloud):
        habits.acknowledges = False
        stick.report()
        live = await cloud.wait_for(Kind.LIVE)
        stick.report()
        assert stick.buffered == 1
        cloud.connection().send(live.ack())
        await stick.wait_until(lambda: stick.acknowledged == 1)
        assert stick.buffered == 0


async def test_buffer_is_bounded() -> None:
    async with SimulatedCloud() as cloud:
        stick = _stick(cloud, most_kept=3)
        entries = [entry for _ in range(5) for entry in stick.report()]
        assert list(stick.kept) == entries[2:]
        assert stick.lost == 2


class _WatchedStick(SimulatedStick):
    """Notes how much it had sent when a record was acknowledged."""

    @override
    def delivered(self, entry: Entry) -> None:
        assert not entry.is_acknowledged
        super().delivered(entry)
        self.deliveries.append((entry.body, len(self.sent)))

    deliveries: list[tuple[bytes, int]]


@pytest.mark.parametrize("seed", range(5))
async def test_nothing_is_lost_and_nothing_acknowledged_comes_again(seed: int) -> None:
    random, clock = Random(seed), _clock()
    habits = Habits(reads_parameters=False, sets_clock=False)
    bodies = []
    async with SimulatedCloud(habits=habits) as cloud:
        stick = _WatchedStick(
            server=cloud.address, interval=math.inf, timing=EAGER, clock=clock
        )
        stick.deliveries = []
        async with stick:
            for _ in range(40):
                clock.advance(300)
                bodies += [entry.body for entry in stick.report()]
                habits.acknowledges = random.random() < 0.6
                match random.randrange(8):
                    case 0:
                        cloud.hang_up()
                    case 1:
                        await cloud.stop()
                        await cloud.start()
                    case 2:
                        stick.reconnect()
                    case 3:
                        stick.duplicate()
                for _ in range(random.randrange(60)):
                    await asyncio.sleep(0)
            habits.acknowledges = True
            stick.reconnect()
            await stick.wait_until(lambda: stick.acknowledged == 40)
    assert stick.buffered == stick.lost == 0
    came = [p.body for p in cloud.received if p.kind in (Kind.LIVE, Kind.BUFFERED)]
    assert set(came) == set(bodies)
    for body, sent in stick.deliveries:
        assert body not in [packet.body for packet in stick.sent[sent:]]


# -- commands ----------------------------------------------------------------------------


async def test_registers_are_read_or_refused_without_values() -> None:
    async with _talking() as (_, cloud):
        connection = cloud.connection()
        answer = await _answer(cloud, connection.read_registers(3, 9))
        assert (answer.tid, answer.unit) == (1, 1)
        assert Span.parse(answer).words[0] == 100
        for first, last, unit in (
            *((9000, 9001, 1), (120, 130, 1), (5, 4, 1)),
            *((0, 125, 1), (0, 1, 9)),
        ):
            command = connection.read_registers(first, last, unit=unit)
            found = Span.parse(await _answer(cloud, command))
            assert found == Span("XGD0SIM001", first, last)


async def test_registers_are_written_or_refused_with_the_exception() -> None:
    async with _talking() as (stick, cloud):
        connection, inverter = cloud.connection(), stick.inverters[1]
        holding = inverter.unit.dataset.words[Table.HOLDING]
        answer = await _answer(cloud, connection.write_register(3, 50))
        assert SingleDone.parse(answer) == SingleDone(stick.serial, 3, 0, 50)
        assert holding[3] == 50
        answer = await _answer(cloud, connection.write_register(3, 300))
        assert SingleDone.parse(answer).status == 3
        assert holding[3] == 50
        answer = await _answer(cloud, connection.write_register(9000, 1))
        assert SingleDone.parse(answer).status == 2
        answer = await _answer(cloud, connection.write_register(3, 40, unit=7))
        assert SingleDone.parse(answer).status == 0x0A
        answer = await _answer(cloud, connection.write_registers(3038, [0, 0]))
        assert SpanDone.parse(answer) == SpanDone(stick.serial, 3038, 3039, 0)
        assert [holding[3038], holding[3039]] == [0, 0]
        assert inverter.writes == [
            Write(3, (50,), single=True, status=0),
            Write(3, (300,), single=True, status=3),
            Write(9000, (1,), single=True, status=2),
            Write(3038, (0, 0), single=False, status=0),
        ]


async def test_range_whose_words_do_not_fit_is_refused() -> None:
    async with _talking() as (stick, cloud):
        span = Span(stick.serial, 3038, 3041, (0, 0))
        command = cloud.connection().command(Kind.WRITE_RANGE, span)
        assert SpanDone.parse(await _answer(cloud, command)).status == 3
        assert stick.inverters[1].writes == []


async def test_silent_inverter_reports_nothing_and_takes_nothing() -> None:
    async with _talking() as (stick, cloud):
        stick.inverters[1].unit.silent = True
        assert stick.report() == []
        connection = cloud.connection()
        answer = await _answer(cloud, connection.read_registers(0, 0))
        assert Span.parse(answer).words == ()
        answer = await _answer(cloud, connection.write_register(3, 50))
        assert SingleDone.parse(answer).status == 0x0B


async def test_command_for_another_logger_is_not_answered() -> None:
    async with _talking() as (stick, cloud):
        connection = cloud.connection()
        connection.command(Kind.READ, Span("XGD0SIM999", 0, 0))
        answer = await _answer(cloud, connection.read_registers(43, 43))
        assert Span.parse(answer).first == 43
        assert len(stick.received_of(Kind.READ)) == 2


# -- parameters --------------------------------------------------------------------------


async def test_wifi_password_is_told_to_whoever_asks_and_to_nobody_else() -> None:
    async with _talking(interval=300) as (stick, cloud):
        await stick.wait_until(lambda: stick.clock.was_set)
        secret = parameters.SECRET.encode()
        assert not any(secret in packet.body for packet in stick.sent)
        assert not any(secret in packet.encode() for packet in stick.sent)
        number = len(cloud.received_of(Kind.PARAMETER)) + 1
        cloud.connection().read_wifi_password()
        told = Parameter.parse(await cloud.wait_for(Kind.PARAMETER, number))
        assert (told.number, told.text) == (57, parameters.SECRET)


async def test_interval_is_obeyed_at_once() -> None:
    async with _talking() as (stick, cloud):
        command = cloud.connection().set_interval("0.0001")
        answer = ParameterDone.parse(await _answer(cloud, command))
        assert (answer.number, answer.status) == (4, 0)
        await cloud.wait_for(Kind.LIVE, 3)
        assert stick.interval == pytest.approx(0.006)
        assert stick.parameters[4] == "0.0001"


@pytest.mark.parametrize(
    ("number", "text"),
    [(4, "x"), (4, "0"), (8, "XGD0SIM009"), (18, "x"), (31, "2026-13-01"), (999, "1")],
)
async def test_impossible_parameters_are_refused(number: int, text: str) -> None:
    async with _talking() as (stick, cloud):
        before = dict(stick.parameters)
        command = cloud.connection().set_parameter(number, text)
        assert ParameterDone.parse(await _answer(cloud, command)).status == 3
        assert stick.parameters == before
        assert stick.parameter_writes == [(number, text, 3)]


async def test_stick_moves_to_another_server_after_a_restart() -> None:
    async with _talking() as (stick, cloud), SimulatedCloud() as other:
        cloud.connection().move_server(*other.address)
        await cloud.wait_for(Kind.SET_PARAMETER, 3)
        assert stick.connections == 1
        cloud.connection().restart_logger()
        await other.wait_for(Kind.ANNOUNCE)
        assert stick.restarts == 1
        assert stick.server == other.address
        answer = ParameterDone.parse(cloud.received_of(Kind.SET_PARAMETER)[-1])
        assert (answer.number, answer.status) == (32, 0)


async def test_stick_survives_a_server_name_that_cannot_be_one() -> None:
    async with _talking() as (stick, cloud):
        stick.parameters[17] = "x" * 70
        stick.restart()
        await stick.wait_until(lambda: not stick.connected)
        stick.parameters[17] = cloud.host
        stick.restart()
        await stick.wait_until(lambda: stick.is_announced)


async def test_update_is_seen_in_what_was_written() -> None:
    async with _talking() as (stick, cloud):
        cloud.connection().start_update("http://192.0.2.9/firmware.bin")
        await cloud.wait_for(Kind.SET_PARAMETER, 2)
        assert [write[0] for write in stick.parameter_writes] == [11, 80]


@pytest.mark.parametrize(
    ("kind", "first", "later"),
    [
        ("right", NOON, NOON + timedelta(hours=1)),
        ("frozen", NOON, NOON),
        ("off=-86400", NOON - timedelta(days=1), NOON - timedelta(hours=23)),
        ("drift=600", NOON, NOON + timedelta(minutes=70)),
    ],
)
async def test_clocks_of_sticks_are_not_all_right(
    kind: str, first: datetime, later: datetime
) -> None:
    clock = _clock()
    async with SimulatedCloud() as cloud:
        stick = _stick(cloud, clock=clock, stick_clock=kind)
        assert stick.clock.now() == first
        clock.advance(3600)
        assert stick.clock.now() == later


@pytest.mark.parametrize(
    ("kind", "stamp", "text"),
    [
        ("zero", "000000000000", "2026-06-21 12:30:15"),
        ("garbage", "210000274d4d", "2026-06-21 12:30:15"),
        ("constant", "1a06150c1e0f", "2017-07-01 23:59:59"),
        ("off=-1000000000", None, "1994-10-13 10:43:35"),
    ],
)
async def test_records_and_parameter_may_tell_another_time(
    kind: str, stamp: str | None, text: str
) -> None:
    async with _talking(stick_clock=kind) as (stick, cloud):
        stick.report()
        record = Record.parse(await cloud.wait_for(Kind.LIVE))
        assert stamp in (None, record.stamp.hex())
        assert stick.parameter(31) == text


# -- other records -----------------------------------------------------------------------


async def test_vpp_inverter_and_extra_blocks_have_records_of_their_own() -> None:
    inverter = SimulatedInverter(1, "mod_10000tl3_xh")
    async with _talking(inverter, extra_blocks=True) as (stick, cloud):
        stick.report()
        vpp = Record.parse(await cloud.wait_for(Kind.VPP))
        assert vpp.blocks == ((31000, 31124), (31125, 31249))
        words = inverter.unit.dataset.words[Table.INPUT]
        assert vpp.words[31000] == words[31000]
        blocks = await cloud.wait_for(Kind.BLOCKS)
        assert len(blocks.encode()) == 329
        assert Record.parse(blocks).blocks[0] == (5080, 5119)


async def test_meter_as_words_is_what_the_integration_reads() -> None:
    async with _talking(meter="words") as (stick, cloud):
        stick.inverters[1].unit.dataset.words[Table.METER].clear()
        stick.report()
        packet = await cloud.wait_for(Kind.METER)
        words = MeterWords.parse(packet)
        assert len(packet.encode()) == 278
        values = decode_meter_block(dict(enumerate(words.words)))
        assert values["meter_voltage"] == 231.2
        assert values["meter_l2_power"] == -128.3
        assert values["meter_power"] == pytest.approx(412.5 - 128.3 + 96.4)
        assert values["meter_frequency"] == 50.0
        assert values["meter_export_energy_total"] == 5271.9


async def test_meter_as_text_has_the_fields_of_the_recorded_one() -> None:
    async with _talking(meter=MeterKind.TEXT) as (stick, cloud):
        stick.report()
        packet = await cloud.wait_for(Kind.METER_TEXT)
        log = MeterLog.parse(packet)
        assert (packet.unit, log.model) == (0x22, 0x0043)
        fields = log.octets.decode().split(",")
        assert len(fields) == 41
        assert fields[2:5] == ["412.5", "-128.3", "96.4"]
        assert fields[14:17] == ["231.2", "232.4", "230.1"]
        assert fields[24] == "50.0"


async def test_meter_of_a_living_plant_shows_its_grid() -> None:
    inverter, clock = SimulatedInverter(), _clock()
    inverter.live(clock)
    async with _talking(inverter, meter="words", clock=clock) as (stick, cloud):
        stick.report()
        words = MeterWords.parse(await cloud.wait_for(Kind.METER)).words
        assert inverter.unit.mutation is not None
        flows = inverter.unit.mutation.plant.flows()
        power = int.from_bytes(
            bytes.fromhex(f"{words[38]:04x}{words[39]:04x}"), signed=True
        )
        assert power == flows.grid_import - flows.grid_export


async def test_box_tells_of_a_meter_and_of_linked_sticks() -> None:
    async with _talking() as (stick, cloud):
        stick.report_box_meter()
        packet = await cloud.wait_for(Kind.METER_REPORT)
        assert len(packet.encode()) == 210
        stick.report_linked(stick.inverters[1], "RAD0SIM001")
        packet = await cloud.wait_for(Kind.LINKED)
        assert len(packet.encode()) == 102
        linked = Linked.parse(packet)
        assert (linked.stick, linked.code) == ("RAD0SIM001", 5100)


async def test_encrypted_firmware_says_nothing_that_can_be_read() -> None:
    async with _talking(encrypted=True) as (stick, cloud):
        stick.report()
        await stick.wait_until(lambda: stick.acknowledged == 1)
        assert cloud.received[0].kind == Kind.KEY
        for packet in cloud.received:
            assert len(packet.body) % 16 == 0
            assert packet.kind == Kind.KEY or b"XGD0SIM001" not in packet.body


@pytest.mark.parametrize(
    ("dataset", "holding", "inputs"),
    [
        ("mtls_4200", (0, 45), (0, 45)),
        ("tl3s_12000", (0, 45), (0, 45)),
        ("spf_5000es", (0, 45), (0, 45, 90)),
        ("min_5000tl_x", (0, 3000), (3000, 3125)),
        ("min_6000tl_xh", (0, 3000), (3000, 3125)),
        ("mod_10000tl3_xh", (0, 3000), (3000, 3125)),
        ("mod_15000tl3_x", (0, 125), (0, 125)),
        ("max_60000tl3", (0, 125), (0, 125)),
        ("sph_5000", (0, 1000), (0, 1000, 1125)),
        ("sph_10000tl3", (0, 1000), (0, 1000, 1125)),
        ("spa_3000", (0, 1000), (1000, 1125, 2000)),
    ],
)
async def test_stick_reads_the_blocks_of_the_type_code(
    dataset: str, holding: tuple[int, ...], inputs: tuple[int, ...]
) -> None:
    inverter = SimulatedInverter(1, dataset)
    for groups, starts in (
        (inverter.announcement(), holding),
        (inverter.values(), inputs),
    ):
        assert tuple(group.start for group in groups) == starts
        width = 45 if inverter.unit.group_words == 45 else 125
        assert {len(group.words) for group in groups} == {width}
        assert any(any(group.words) for group in groups)


def test_every_known_type_code_has_blocks_that_fit_its_family() -> None:
    starts = {
        **dict.fromkeys((Family.V3_PV, Family.SPF), 0),
        **dict.fromkeys((Family.SPH, Family.SPH_TL3), 1000),
        **dict.fromkeys((Family.MIN_TL_X, Family.MIN_TL_XH, Family.MOD_TL3_XH), 3000),
        **dict.fromkeys((Family.MOD_TL3_X, Family.MAX_TL3, Family.WIT), 125),
        Family.SPA: 1000,
    }
    for code, model in DEVICE_TYPE_CODES.items():
        holding, inputs = blocks_of(code)
        narrow = model.family in (Family.V3_PV, Family.SPF)
        assert holding[1][0] == (45 if narrow else starts[model.family])
        assert all(last - first == (44 if narrow else 124) for first, last in inputs)


# -- servers that do wrong ---------------------------------------------------------------


async def test_cloud_can_put_two_packets_into_one_segment() -> None:
    async with SimulatedCloud(habits=Habits(glues=True)) as cloud:
        reader, writer = await asyncio.open_connection(*cloud.address)
        ping = Packet(kind=Kind.PING, body=b"XGD0SIM001".ljust(30, b"\0"))
        writer.write(ping.encode())
        sent = (
            ping.encode()
            + Packet(
                kind=Kind.PARAMETER, body=Span("XGD0SIM001", 4, 21).body(6)
            ).encode()
        )
        assert await reader.read(1000) == sent
        assert cloud.connection().sent_octets == sent
        writer.close()


async def test_stick_hangs_up_on_garbage_and_comes_back() -> None:
    async with _talking() as (stick, cloud):
        cloud.connection().send(b"\xff" * 40)
        await stick.wait_until(lambda: stick.connections == 2 and stick.is_announced)


async def test_wifi_password_is_asked_for_by_a_cloud_that_wishes_it() -> None:
    async with (
        SimulatedCloud(wishes=[CloudConnection.read_wifi_password]) as cloud,
        _stick(cloud, interval=300) as stick,
    ):
        await stick.wait_until(
            lambda: any(
                Span.parse(p).first == 57 for p in stick.received_of(Kind.PARAMETER)
            )
        )
        connection = cloud.connection(stick.serial)
        assert connection.octets == b"".join(p.encode() for p in connection.received)


async def test_cloud_without_a_logger_cannot_command() -> None:
    async with SimulatedCloud() as cloud:
        with pytest.raises(ConnectionError, match="no logger is not connected"):
            cloud.connection()


async def test_late_cloud_answers_late() -> None:
    habits = Habits(reads_parameters=False)
    async with _talking(habits=habits) as (stick, cloud):
        habits.delay = 0.05
        stick.report()
        await cloud.wait_for(Kind.LIVE)
        assert stick.acknowledged == 0
        await stick.wait_until(lambda: stick.acknowledged == 1)


# -- what cannot be ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"serial": "XGD 1"}, "'XGD 1' is not a serial number"),
        ({"protocol": 7}, "protocol 7 is not one of 0, 2, 5, 6"),
        ({"protocol": 5, "serial": "A" * 11}, "is too long for protocol 5"),
        ({"protocol": 5, "meter": "words"}, "protocol 5 has no records of meters"),
        ({"stick_clock": "slow"}, "clock 'slow' is not one of right, zero"),
        ({"stick_clock": "off=1e30"}, "clock 'off=1e30' is not one of"),
        ({"stick_clock": "drift=inf"}, "clock 'drift=inf' is not one of"),
        ({"rogues": ["x"]}, "'x' is not one of split, glue"),
    ],
)
def test_impossible_sticks_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(SimulatorError, match=message):
        SimulatedStick(**options)


def test_inverters_must_differ() -> None:
    first = SimulatedInverter(1)
    with pytest.raises(SimulatorError, match="unit 1 is given twice"):
        SimulatedStick(inverters=[first, SimulatedInverter(1, serial="SNL0000002")])
    with pytest.raises(SimulatorError, match="two inverters have the serial number"):
        SimulatedStick(inverters=[first, SimulatedInverter(2)])


def test_serial_number_that_was_given_is_in_the_registers() -> None:
    for serial, read in (("SNL0000007", (23, 5)), ("ABCDEFGHIJ012345", (3001, 15))):
        inverter = SimulatedInverter(1, "min_6000tl_xh", serial)
        octets = b"".join(
            word.to_bytes(2)
            for word in inverter.unit.read(Table.HOLDING, read[0], read[1])
        )
        assert octets.rstrip(b"\0").decode() == serial
    with pytest.raises(SimulatorError, match="no serial number in its registers"):
        SimulatedInverter(1, {"holding": {"43": 5100}})
    unnamed = SimulatedInverter(1, {"holding": {"43": 5100}}, "SNL0000007")
    assert unnamed.announcement()[0].words[23] == int.from_bytes(b"SN")
