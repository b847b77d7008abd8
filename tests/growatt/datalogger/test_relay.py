"""The line to the maker's server: what passes, what does not, and when it is given up."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from itertools import pairwise
from random import Random
import socket
from typing import Any, Final

import pytest

from custom_components.local_solar import guarded
from custom_components.local_solar.growatt.datalogger import (
    commands,
    relay as module,
    server as server_module,
    session as session_module,
)
from custom_components.local_solar.growatt.datalogger.policy import Permission, Policy
from custom_components.local_solar.growatt.datalogger.records import (
    Answer,
    RegisterRecord,
    read_holding,
    read_parameters,
    write_holding,
)
from custom_components.local_solar.growatt.datalogger.relay import Cloud, Relay
from custom_components.local_solar.growatt.datalogger.server import Limits, Server
from custom_components.local_solar.growatt.datalogger.session import Session
from custom_components.local_solar.growatt.datalogger.stream import MAX_NOISE
from custom_components.local_solar.growatt.datalogger.unit import words_in
from simulators.datalogger import bodies as their_bodies
from simulators.datalogger.cloud import Habits, SimulatedCloud
from simulators.datalogger.inverters import SimulatedInverter
from simulators.datalogger.packets import Kind, Packet
from simulators.datalogger.stick import Entry, SimulatedStick
from simulators.datasets import Table

from .helpers import (
    HOST,
    INVERTER,
    LOGGER,
    NOON,
    OTHER_LOGGER,
    Notes,
    Upstream,
    Wire,
    narrow,
    ping,
    report,
    serving,
    stick_at,
    until,
    upstream,
    wire,
)

AT_ONCE: Final = 0.02
"""Seconds, where something is to be too long soon."""

BLOCKING: Final = Policy()
ALLOWING: Final = Policy(settings=True, takeover=True)

PATIENT: Final = Limits(packets_per_second=1e6, burst=1_000_000)
"""Where it is not the rate that counts."""


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let what is done after a while be done at once, and be looked after often."""
    monkeypatch.setattr(session_module, "CLOCK_AFTER", 0.0)
    monkeypatch.setattr(commands, "SPACING", 0.0)
    monkeypatch.setattr(guarded, "TICK", AT_ONCE / 4)


@asynccontextmanager
async def _relaying(
    port: int, policy: Policy = BLOCKING, **options: Any
) -> AsyncIterator[tuple[Server, Notes]]:
    notes = Notes()
    cloud = Cloud(host=HOST, port=port, policy=policy)
    server = Server(notes, lambda: NOON, cloud=cloud, **options)
    async with serving(server):
        yield server, notes


@asynccontextmanager
async def _line(
    policy: Policy = BLOCKING, first: Packet | None = None, **options: Any
) -> AsyncIterator[tuple[Server, Notes, Wire, Wire]]:
    """Yield a listener, who hears of it, and both ends: the logger's and the cloud's."""
    async with (
        upstream() as cloud,
        _relaying(cloud.port, policy, **options) as (server, notes),
        wire(server.port, first or ping()) as logger,
    ):
        theirs_ = await cloud.connection()
        assert await theirs_.receive() == (first or ping())
        yield server, notes, logger, theirs_


@asynccontextmanager
async def _everybody(
    policy: Policy = BLOCKING, habits: Habits | None = None, **options: Any
) -> AsyncIterator[tuple[Server, Notes, SimulatedStick, SimulatedCloud]]:
    """Yield a listener with a stick and a cloud when the stick is announced."""
    async with (
        SimulatedCloud(habits=habits) as cloud,
        _relaying(cloud.port, policy) as (server, notes),
        stick_at(server.port, **options) as stick,
    ):
        await stick.wait_until(lambda: stick.is_announced)
        yield server, notes, stick, cloud


def _session(server: Server) -> Session:
    return server.sessions[LOGGER]


def _acknowledgements(stick: SimulatedStick) -> Counter[tuple[int, int]]:
    return Counter(
        (packet.kind, packet.tid) for packet in stick.received if packet.is_ack
    )


# -- what the logger says ----------------------------------------------------------------


def _mixture(random: Random) -> bytes:
    """Return what a logger might say at its worst."""
    damaged = report(tid=random.randrange(0xFFFF)).encode()
    damaged = damaged[:-1] + bytes((damaged[-1] ^ 1,))
    pieces = [
        *(ping(tid=tid).encode() for tid in range(3)),
        *(report(tid=tid).encode() for tid in range(3)),
        report(Kind.BUFFERED).encode(),
        Packet(kind=0x77, body=random.randbytes(50)).encode(),
        report(logger=OTHER_LOGGER).encode(),
        damaged,
        random.randbytes(random.randrange(1, 400)),
        b"\0\1\0\6\0\7\1\4",
    ]
    random.shuffle(pieces)
    return b"".join([*pieces, report().encode()[:-5]])


@pytest.mark.parametrize("seed", range(12))
async def test_every_byte_reaches_the_cloud_in_order(seed: int) -> None:
    random = Random(seed)
    said = _mixture(random)
    async with _line() as (server, notes, logger, cloud):
        cuts = sorted(random.randrange(len(said)) for _ in range(seed))
        for start, stop in pairwise((0, *cuts, len(said))):
            logger.send(said[start:stop])
            await asyncio.sleep(0)
        logger.end()
        assert await cloud.receive_bytes(len(said)) == said
        await until(lambda: not server.outgoing)
        assert notes.of(RegisterRecord)


async def test_what_is_said_before_the_cloud_is_reached_is_kept_in_order(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    reached = _hold_connecting(monkeypatch)
    async with (
        upstream() as cloud,
        _relaying(cloud.port) as (server, notes),
        wire(server.port, ping()) as logger,
    ):
        said = ping().encode() + logger.send(report(), b"\xff" * 20, report(tid=2))
        await notes.until(lambda: notes.of(RegisterRecord))
        reached.set()
        assert await (await cloud.connection()).receive_bytes(len(said)) == said


def _hold_connecting(monkeypatch: pytest.MonkeyPatch) -> asyncio.Event:
    """Let nobody reach the cloud until the event that is returned."""
    reached = asyncio.Event()
    connect = Relay._connect  # noqa: SLF001

    async def later(relay: Relay) -> None:
        await reached.wait()
        await connect(relay)

    monkeypatch.setattr(Relay, "_connect", later)
    return reached


async def test_our_commands_and_their_answers_stay_between_us() -> None:
    async with _everybody(habits=Habits(reads_parameters=False)) as (
        server,
        _,
        stick,
        cloud,
    ):
        session = _session(server)
        await session.commands.run(read_holding(1, 3, 2))
        await session.commands.run(write_holding(1, 3, 80))
        assert len(await session.commands.collect(read_parameters(4, 21), 18)) == 18
        assert await session.async_set_clock()
        stick.report()
        await stick.wait_until(lambda: stick.acknowledged == 1)
        await cloud.wait_for(Kind.SET_PARAMETER)
        connection = cloud.connection()
        kinds = [packet.kind for packet in connection.received]
        # It reads and sets the clock by itself, and gets the answers to that alone.
        assert sorted(kinds) == [0x03, 0x04, 0x16, 0x18, 0x19]
        assert all(packet.tid < 0x8000 for packet in connection.received)
        assert connection.bad == 0
        assert stick.inverters[1].writes[0].words == (80,)


# -- what the cloud says -----------------------------------------------------------------


def _told(kind: int, *numbers: int, tail: bytes = b"", tid: int = 1) -> Packet:
    body = their_bodies.serial_field(6, LOGGER)
    body += b"".join(number.to_bytes(2) for number in numbers) + tail
    return Packet(kind=kind, body=body, tid=tid)


def _written(number: int, text: str) -> Packet:
    body = their_bodies.Parameter(LOGGER, number, text).body(6)
    return Packet(kind=Kind.SET_PARAMETER, body=body)


HARMLESS: Final = {
    "acknowledgement": report().ack(),
    "ping": ping(),
    "parameters": _told(Kind.PARAMETER, 4, 21),
    "signal": _told(Kind.PARAMETER, 76, 76),
    "clock": _written(31, "2026-06-21 12:00:30"),
}
SETTINGS: Final = {
    "read": _told(Kind.READ, 0, 44),
    "write": _told(Kind.WRITE, 3, 50),
    "range": _told(Kind.WRITE_RANGE, 1100, 1101, tail=bytes(4)),
    "interval": _written(4, "1"),
    "restart": _written(32, "1"),
}
TAKEOVER: Final = {
    "address": _written(17, "192.0.2.66"),
    "port": _written(18, "5280"),
    "name": _written(19, "example.org"),
    "update server": _written(11, "##192.0.2.66/app#80#"),
    "firmware": _written(80, "http://192.0.2.66/firmware"),
    "unknown parameter": _written(99, "1"),
}
NEVER: Final = {
    "wifi password": _told(Kind.PARAMETER, 57, 57),
    "wifi among others": _told(Kind.PARAMETER, 4, 80),
    "unknown": _told(0x77),
    "report": report(),
    "session key": _told(Kind.KEY),
}


async def _passed(policy: Policy, packet: Packet) -> tuple[bool, Notes]:
    """Tell a logger something; return whether it arrived, and what was heard of it."""
    async with _line(policy) as (_, notes, logger, cloud):
        end = ping(tid=0x1234)
        cloud.send(packet, end)
        arrived = []
        while (received := await logger.receive()) != end:
            arrived.append(received)
        assert arrived in ([], [packet])
        return bool(arrived), notes


@pytest.mark.parametrize("packet", HARMLESS.values(), ids=HARMLESS)
async def test_harmless_words_of_the_cloud_reach_the_logger(packet: Packet) -> None:
    arrived, notes = await _passed(BLOCKING, packet)
    assert arrived
    assert notes.verdicts == []


@pytest.mark.parametrize(
    ("packet", "policy", "passes", "needs"),
    [
        (packet, policy, passes, needs)
        for packets, needs, leave in (
            (SETTINGS, Permission.SETTINGS, Policy(settings=True)),
            (TAKEOVER, Permission.TAKEOVER, Policy(takeover=True)),
            (NEVER, Permission.NEVER, None),
        )
        for packet in packets.values()
        for policy, passes in (
            (BLOCKING, False),
            (ALLOWING, leave is not None),
            *(((leave, True),) if leave else ()),
        )
    ],
)
async def test_other_words_pass_by_leave_and_are_told_of(
    packet: Packet, policy: Policy, passes: bool, needs: Permission
) -> None:
    arrived, notes = await _passed(policy, packet)
    assert arrived is passes
    ((logger, verdict),) = notes.verdicts
    assert (logger, verdict.needs, verdict.passes) == (LOGGER, needs, passes)
    assert (verdict.type, verdict.unit) == (packet.kind, packet.unit)


async def test_takeover_is_no_leave_for_settings_and_the_other_way_round() -> None:
    for policy, packets in (
        (Policy(takeover=True), SETTINGS),
        (Policy(settings=True), TAKEOVER),
    ):
        arrived, _ = await _passed(policy, next(iter(packets.values())))
        assert not arrived


async def test_noise_and_damage_of_the_cloud_do_not_reach_the_logger() -> None:
    async with _line(ALLOWING) as (_, _, logger, cloud):
        damaged = _told(Kind.WRITE, 3, 50).encode()
        damaged = damaged[:-1] + bytes((damaged[-1] ^ 1,))
        cloud.send(b"\xff" * 100, damaged, ping(tid=9))
        assert await logger.receive() == ping(tid=9)


async def test_packets_of_the_cloud_in_pieces_reach_the_logger() -> None:
    async with _line() as (_, _, logger, cloud):
        packets = [report(tid=tid).ack() for tid in range(1, 5)]
        octets = b"".join(packet.encode() for packet in packets)
        for start in range(0, len(octets), 3):
            cloud.send(octets[start : start + 3])
            await asyncio.sleep(0)
        for packet in packets:
            assert await logger.receive() == packet


# -- both at once ------------------------------------------------------------------------


@pytest.mark.parametrize("tid", [1, 77, 0x8000 + 300])
async def test_both_read_the_same_at_once(tid: int) -> None:
    async with _everybody(ALLOWING, Habits(reads_parameters=False)) as (
        server,
        _,
        _,
        cloud,
    ):
        session, connection = _session(server), cloud.connection()
        count = 20
        for _ in range(count):
            span = their_bodies.Span(LOGGER, 43, 44)
            connection.command(Kind.READ, span, tid=tid)
            answer = await session.commands.run(read_holding(1, 43, 2))
            assert isinstance(answer, Answer)
            assert answer.words[0] == 5100
        await cloud.wait_until(lambda: len(cloud.received_of(Kind.READ)) == count)
        assert {packet.tid for packet in cloud.received_of(Kind.READ)} == {tid}


async def test_late_answer_to_us_does_not_reach_the_cloud(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(commands, "INVERTER_TIMEOUT", AT_ONCE)
    async with _line(ALLOWING) as (server, _, logger, cloud):
        for repeats_id in (True, False):
            with pytest.raises(commands.NoAnswerError):
                await _session(server).commands.run(read_holding(1, 3, 1))
            asked = await logger.receive()
            late = asked.answer(their_bodies.Span(LOGGER, 3, 3, (80,)).body(6))
            logger.send(late if repeats_id else replace(late, tid=1), ping(tid=7))
            assert await cloud.receive() == ping(tid=7)


# -- who answers -------------------------------------------------------------------------


async def test_cloud_alone_answers_while_it_is_there() -> None:
    async with _everybody() as (server, notes, stick, cloud):
        for _ in range(5):
            stick.report()
        await stick.wait_until(lambda: stick.acknowledged == 5)
        assert set(_acknowledgements(stick).values()) == {1}
        assert not _session(server).answers_itself
        assert len(notes.of(RegisterRecord)) >= 6
        connection = cloud.connection()
        await cloud.wait_until(
            lambda: connection.octets == b"".join(p.encode() for p in stick.sent)
        )


def _closed_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port


async def _taken_over(server: Server, stick: SimulatedStick) -> None:
    """Hold that everything is answered here, and once."""
    await stick.wait_until(lambda: stick.is_announced)
    stick.report()
    await stick.wait_until(lambda: not stick.buffered and stick.acknowledged)
    assert _session(server).answers_itself
    assert set(_acknowledgements(stick).values()) == {1}


async def test_cloud_that_cannot_be_reached_is_stood_in_for() -> None:
    async with (
        _relaying(_closed_port()) as (server, _),
        stick_at(server.port) as stick,
    ):
        await _taken_over(server, stick)
        await stick.wait_until(lambda: stick.clock.was_set)


@pytest.mark.parametrize(
    "error",
    [
        socket.gaierror(socket.EAI_NONAME, "unknown"),
        UnicodeEncodeError("idna", "a..b", 2, 3, "label empty"),
    ],
    ids=["unknown", "impossible"],
)
async def test_name_that_leads_nowhere_is_stood_in_for(
    error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    def resolve(*_: object, **__: object) -> None:
        raise error

    notes = Notes()
    cloud = Cloud(host="a..b", port=5279, policy=BLOCKING)
    async with serving(Server(notes, lambda: NOON, cloud=cloud)) as server:
        monkeypatch.setattr(socket, "getaddrinfo", resolve)
        async with stick_at(server.port) as stick:
            await _taken_over(server, stick)


async def test_cloud_that_connects_too_slowly_is_stood_in_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "CONNECT_TIMEOUT", AT_ONCE)

    async def never(*_: object, **__: object) -> None:
        await asyncio.Event().wait()

    loop = asyncio.get_running_loop()
    async with _relaying(1) as (server, _):
        stick = stick_at(server.port)
        monkeypatch.setattr(loop, "create_connection", _unless(server.port, never))
        async with stick:
            await _taken_over(server, stick)


def _unless(port: int, otherwise: Callable[..., Any]) -> Callable[..., Any]:
    """Return how to connect: to one port as usual."""
    connect = asyncio.get_running_loop().create_connection

    async def choose(factory: Any, host: str, to: int, **options: Any) -> Any:
        if to == port:
            return await connect(factory, host, to, **options)
        return await otherwise()

    return choose


@pytest.mark.parametrize("acknowledged", [0, 1, 2, 3])
@pytest.mark.parametrize("is_abrupt", [True, False])
async def test_cloud_that_dies_in_the_middle_is_stood_in_for(
    acknowledged: int, is_abrupt: bool
) -> None:
    async with _line() as (server, _, logger, cloud):
        said = [ping(tid=2), report(Kind.ANNOUNCE), report(tid=5)]
        logger.send(*said)
        for number, packet in enumerate(said):
            assert await cloud.receive() == packet
            if number < acknowledged:
                cloud.send(packet if packet.kind == Kind.PING else packet.ack())
        for number in range(acknowledged):
            assert (await logger.receive()).kind == said[number].kind
        if is_abrupt:
            cloud.abort()
        else:
            cloud.end()
        # What was left open is answered, the first ping included, and nothing twice.
        left = [ping(), *said[acknowledged:]]
        for packet in left:
            expected = packet if packet.kind == Kind.PING else packet.ack()
            assert await logger.receive() == expected
        rest = {Kind(packet.kind) async for packet in _until_ping(logger)}
        assert rest <= {Kind.SET_PARAMETER, Kind.PARAMETER}
        assert _session(server).answers_itself


async def _until_ping(logger: Wire) -> AsyncIterator[Packet]:
    logger.send(ping(tid=0x4321))
    while (packet := await logger.receive()) != ping(tid=0x4321):
        yield packet


async def test_silent_cloud_is_stood_in_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PATIENCE", AT_ONCE)
    async with (
        upstream() as cloud,
        _relaying(cloud.port) as (server, _),
        stick_at(server.port) as stick,
    ):
        await _taken_over(server, stick)
        # What it says now comes too late.
        late = await cloud.connection()
        assert await late.receive() == stick.sent[0]


@pytest.mark.parametrize(
    "said",
    [
        report().encode()[:-1] + b"\xaa",
        Packet(kind=Kind.METER_REPORT, body=ping().body).encode(),
        report(Kind.VPP).encode(),
        report(Kind.BLOCKS).encode(),
        Packet(kind=0x77, body=ping().body).encode(),
    ],
    ids=["damaged", "1e", "36", "38", "unknown"],
)
async def test_cloud_may_be_silent_about_what_it_need_not_answer(
    said: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "PATIENCE", AT_ONCE)
    async with _line() as (server, _, logger, cloud):
        cloud.send(ping())
        assert await logger.receive() == ping()
        logger.send(said)
        assert await cloud.receive_bytes(len(said)) == said
        looked = _count_looks(monkeypatch)
        await until(lambda: looked and looked[-1] - looked[0] > 3 * AT_ONCE)
        assert not _session(server).answers_itself
        assert server.outgoing


async def test_cloud_that_sends_garbage_is_stood_in_for() -> None:
    async with _line() as (server, _, logger, cloud):
        cloud.send(b"\xff" * (MAX_NOISE + 1000))
        assert await logger.receive() == ping()
        assert _session(server).answers_itself
        assert await logger.ask(report()) == report().ack()


async def test_cloud_that_reads_nothing_holds_the_logger_and_is_stood_in_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with _line(limits=PATIENT) as (server, notes, logger, cloud):
        cloud.read_no_more()
        line = await _full(server, logger)
        transport = narrow(line._transport)  # noqa: SLF001
        # What is held back in the middle of a packet is not the logger's fault.
        monkeypatch.setattr(server_module, "COMPLETED_WITHIN", -1.0)
        looked = _count_looks(monkeypatch)
        await until(lambda: len(looked) > 3)
        assert notes.ended == []
        assert transport.get_write_buffer_size() < 2**20
        assert not _session(server).answers_itself
        monkeypatch.undo()
        monkeypatch.setattr(guarded, "TICK", AT_ONCE / 4)
        monkeypatch.setattr(module, "PATIENCE", AT_ONCE)
        await until(lambda: _session(server).answers_itself)
        logger.send(report(tid=9))
        while await logger.receive() != report(tid=9).ack():
            pass


def _count_looks(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Return the times at which it is looked after lines from now on."""
    looked: list[float] = []
    check = Relay.check

    def count(relay: Relay, now: float) -> None:
        looked.append(now)
        check(relay, now)

    monkeypatch.setattr(Relay, "check", count)
    return looked


async def test_more_than_can_be_held_for_a_cloud_ends_the_wait_for_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "MAX_HELD", 600)
    reached = _hold_connecting(monkeypatch)
    async with (
        upstream() as cloud,
        _relaying(cloud.port) as (server, _),
        wire(server.port, ping()) as logger,
    ):
        said = [report(tid=tid) for tid in range(1, 9)]
        logger.send(*said)
        received = [await logger.receive() for _ in range(9)]
        assert received == [ping(), *(packet.ack() for packet in said)]
        # Reached at last, it is not let in any more.
        reached.set()
        late = await cloud.connection()
        assert await late.closed() == []
        assert not server.outgoing
        assert await logger.ask(report(tid=99)) == report(tid=99).ack()


async def test_logger_goes_back_to_the_cloud_once_that_is_there(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It would stay here for weeks: a logger keeps its connection."""
    monkeypatch.setattr(server_module, "RETRY_CLOUD", AT_ONCE)
    async with _everybody() as (server, _, stick, cloud):
        await cloud.stop()
        await until(lambda: _session(server).answers_itself)
        assert stick.connections == 1
        await cloud.start()
        await stick.wait_until(lambda: stick.connections == 2)
        await stick.wait_until(lambda: stick.is_announced)
        assert not _session(server).answers_itself


async def test_logger_is_left_alone_while_the_cloud_stays_away(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(server_module, "RETRY_CLOUD", AT_ONCE)
    tried = 0
    open_connection = asyncio.open_connection

    async def count(*address: Any) -> Any:
        nonlocal tried
        tried += 1
        return await open_connection(*address)

    async with _everybody() as (server, _, stick, cloud):
        await cloud.stop()
        monkeypatch.setattr(asyncio, "open_connection", count)
        await until(lambda: tried >= 3)
        assert stick.connections == 1
        assert _session(server).answers_itself


async def test_logger_that_connects_anew_is_the_clouds_again() -> None:
    async with _everybody() as (server, _, stick, cloud):
        await cloud.stop()
        await until(lambda: _session(server).answers_itself)
        stick.report()
        await stick.wait_until(lambda: stick.acknowledged == 1)
        await cloud.start()
        stick.report()
        await stick.wait_until(lambda: stick.acknowledged == 2)
        assert len(cloud.received_of(Kind.LIVE)) == 0
        stick.reconnect()
        await stick.wait_until(lambda: stick.connections == 2 and stick.is_announced)
        stick.report()
        await stick.wait_until(lambda: stick.acknowledged == 3)
        assert len(cloud.received_of(Kind.LIVE)) == 1
        assert not _session(server).answers_itself


@pytest.mark.parametrize("moment", range(16))
async def test_every_record_is_acknowledged_once_whenever_the_cloud_dies(
    moment: int,
) -> None:
    async with _everybody() as (_, notes, stick, cloud):
        entries = [*stick.report(), *stick.report()]
        for _ in range(moment):
            await asyncio.sleep(0)
        await cloud.stop()
        entries += stick.report()
        await stick.wait_until(lambda: all(entry.is_acknowledged for entry in entries))
        assert set(_acknowledgements(stick).values()) == {1}
        live = [r for r in notes.of(RegisterRecord) if r.type == Kind.LIVE]
        assert len(live) == len(entries)


# -- a loop ------------------------------------------------------------------------------


async def test_cloud_name_that_leads_back_here_does_not_disturb_the_stick() -> None:
    notes = Notes()
    async with serving(Server(notes, lambda: NOON)) as server:
        server.cloud = Cloud(host=HOST, port=server.port, policy=ALLOWING)
        async with stick_at(server.port) as stick:
            await _taken_over(server, stick)
            assert server.statistics.loops == 1
            assert len(notes.began) == 1
            assert notes.ended == []
            assert stick.connections == 1


# -- firmware that encrypts --------------------------------------------------------------

KEY: Final = Packet(
    kind=Kind.KEY,
    body=their_bodies.serial_field(6, LOGGER) + b"TempPassword&*" + bytes(4),
)


def _ciphered(random: Random) -> Packet:
    return Packet(kind=Kind.LIVE, body=random.randbytes(16 * random.randrange(2, 60)))


@pytest.mark.parametrize("first", ["key", "ciphered", "ping"])
async def test_encrypted_session_is_relayed_untouched_both_ways(first: str) -> None:
    random = Random(1)
    begin = {"key": KEY, "ciphered": _ciphered(random), "ping": ping()}[first]
    async with _line(first=begin) as (_, notes, logger, cloud):
        if first == "ping":
            logger.send(KEY)
            assert await cloud.receive() == KEY
        assert len(notes.encrypted_ones) == 1
        assert notes.encrypted_ones[0] == ("" if first == "ciphered" else LOGGER)
        up = b"".join(_ciphered(random).encode() for _ in range(20))
        # Not even what would be blocked, or is no packet at all.
        down = b"".join(
            (
                NEVER["wifi password"].encode(),
                TAKEOVER["firmware"].encode(),
                *(_ciphered(random).encode() for _ in range(20)),
                random.randbytes(1000),
            )
        )
        logger.send(up)
        cloud.send(down)
        assert await cloud.receive_bytes(len(up)) == up
        assert await logger.receive_bytes(len(down)) == down
        assert notes.verdicts == []
        assert notes.rejections == []
        assert notes.of(RegisterRecord) == []


async def test_what_the_cloud_has_begun_to_say_is_not_torn_by_encryption() -> None:
    async with _line() as (server, notes, logger, cloud):
        octets = _told(Kind.KEY, tail=bytes(40)).encode()
        cloud.send(octets[:20])
        line = next(iter(server.outgoing.values()))
        await until(lambda: line._stream.unfinished)  # noqa: SLF001
        logger.send(KEY)
        await notes.until(lambda: notes.encrypted_ones)
        cloud.send(octets[20:], b"and more")
        expected = octets + b"and more"
        assert await logger.receive_bytes(len(expected)) == expected


async def test_encrypted_session_ends_with_the_cloud() -> None:
    async with _line(first=KEY) as (_, _, logger, cloud):
        cloud.abort()
        assert await logger.closed() == []


async def test_simulated_encrypted_stick_is_told_of_by_name() -> None:
    async with (
        SimulatedCloud() as cloud,
        _relaying(cloud.port) as (server, notes),
        stick_at(server.port, encrypted=True) as stick,
    ):
        await cloud.wait_until(lambda: len(cloud.received) >= 3)
        assert notes.encrypted_ones == [LOGGER]
        assert notes.records == []
        said = b"".join(packet.encode() for packet in stick.sent)
        assert said.startswith(cloud.connection().octets[:40])


# -- its end -----------------------------------------------------------------------------


async def test_nothing_is_left_of_a_line_whose_cloud_reads_nothing() -> None:
    """``serving`` holds that no line outlives the listener."""
    async with upstream() as cloud:
        async with (
            _relaying(cloud.port, limits=PATIENT) as (server, _),
            wire(server.port, ping()) as logger,
        ):
            deaf = await cloud.connection()
            deaf.read_no_more()
            line = await _full(server, logger)
            async with wire(server.port, ping()) as newer:
                await (await cloud.connection()).receive()
                newer.abort()
                await until(lambda: not server.sessions)
            assert line in server.outgoing.values(), "it hands on what is left"
            transport = line._transport  # noqa: SLF001
        assert transport is not None
        assert transport.is_closing()
        assert not server.outgoing


async def test_line_whose_cloud_reads_nothing_is_given_up_after_its_logger(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with (
        upstream() as cloud,
        _relaying(cloud.port, limits=PATIENT) as (server, _),
        wire(server.port, ping()) as logger,
    ):
        deaf = await cloud.connection()
        deaf.read_no_more()
        line = await _full(server, logger)
        async with wire(server.port, ping()):
            await cloud.connection()
            assert line in server.outgoing.values(), "it hands on what is left"
            monkeypatch.setattr(module, "PATIENCE", AT_ONCE)
            await until(lambda: line not in server.outgoing.values())


async def _full(server: Server, logger: Wire) -> Relay:
    """Say so much that the line to the cloud takes no more."""
    await until(lambda: server.outgoing)
    line = next(iter(server.outgoing.values()))
    transport = narrow(line._transport)  # noqa: SLF001
    large = replace(report(0x77), body=ping().body + bytes(4000))
    while transport.get_write_buffer_size() <= 0x10000:
        if not logger.unsent:
            logger.send(*[large] * 20)
        await asyncio.sleep(0)
    return line


async def test_connecting_ends_with_the_logger(monkeypatch: pytest.MonkeyPatch) -> None:
    _hold_connecting(monkeypatch)
    async with (
        upstream() as cloud,
        _relaying(cloud.port) as (server, notes),
        wire(server.port, ping()) as logger,
    ):
        await notes.until(lambda: notes.began)
        logger.abort()
        await notes.until(lambda: notes.ended)
        assert not server.outgoing


async def test_upstream_is_asked_for_once_for_each_logger() -> None:
    async with (
        upstream() as cloud,
        _relaying(cloud.port) as (server, _),
        wire(server.port, ping()),
        wire(server.port, ping(OTHER_LOGGER)),
    ):
        said = {(await _first(cloud)).logger, (await _first(cloud)).logger}
        assert said == {LOGGER, OTHER_LOGGER}


async def _first(cloud: Upstream) -> Packet:
    return await (await cloud.connection()).receive()


# -- whatever comes ----------------------------------------------------------------------


@pytest.mark.parametrize("with_cloud", [True, False])
@pytest.mark.parametrize("seed", range(10))
async def test_every_record_arrives_whatever_restarts(
    seed: int, with_cloud: bool
) -> None:
    """Listener, cloud and stick come and go; what is acknowledged has been handed on."""
    random, notes = Random(seed), Notes()
    inverter = SimulatedInverter(serial=INVERTER)
    async with SimulatedCloud() as cloud:
        line = Cloud(host=HOST, port=cloud.port, policy=BLOCKING)
        server = _listener(notes, line if with_cloud else None)
        await server.start(HOST, 0)
        port = server.port
        async with stick_at(port, inverters=[inverter]) as stick:
            entries: list[Entry] = []

            def report_one() -> None:
                numbered = inverter.unit.dataset.words[Table.INPUT]
                numbered[NUMBERED] = len(entries)
                entries.extend(stick.report())

            for _ in range(12):
                match random.choice(("report", "listener", "cloud", "cut", "anew")):
                    case "listener":
                        await server.stop()
                        server = _listener(notes, line if with_cloud else None)
                        await server.start(HOST, port)
                    case "cloud":
                        await cloud.stop()
                        if random.random() < 0.5:
                            report_one()
                        await cloud.start()
                    case "cut":
                        stick.reconnect()
                    case "anew":
                        stick.duplicate()
                    case _:
                        report_one()
                report_one()
                for _ in range(random.randrange(40)):
                    await asyncio.sleep(0)
                assert _arrived(notes, cloud) >= {
                    at for at, entry in enumerate(entries) if entry.is_acknowledged
                }
            stick.reconnect()
            await stick.wait_until(lambda: stick.is_announced)
            report_one()
            await stick.wait_until(
                lambda: all(entry.is_acknowledged for entry in entries)
            )
            assert _arrived(notes, cloud) == set(range(len(entries)))
            assert stick.lost == 0
        await server.stop()
        assert not server.sessions


NUMBERED: Final = 3172
"""An input register that numbers the records of a test."""


def _listener(notes: Notes, cloud: Cloud | None) -> Server:
    return Server(notes, lambda: NOON, cloud=cloud)


def _arrived(notes: Notes, cloud: SimulatedCloud) -> set[int]:
    """Return the numbers of the records that were handed on, here or to the cloud."""
    here = {
        words_in(record.blocks, NUMBERED, 1)[0]
        for record in notes.of(RegisterRecord)
        if record.type in (Kind.LIVE, Kind.BUFFERED)
    }
    there = {
        their_bodies.Record.parse(packet).words[NUMBERED]
        for packet in cloud.received
        if packet.kind in (Kind.LIVE, Kind.BUFFERED)
    }
    return here | there
