"""The listener: sticks and strangers on real sockets, and what it takes from them."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from typing import Any, Final, override

import pytest

from custom_components.local_solar import guarded
from custom_components.local_solar.growatt.datalogger import (
    commands,
    server as module,
    session as session_module,
)
from custom_components.local_solar.growatt.datalogger.commands import GoneError
from custom_components.local_solar.growatt.datalogger.packets import MAX_LENGTH
from custom_components.local_solar.growatt.datalogger.records import (
    Ping,
    Record,
    RegisterRecord,
    read_holding,
)
from custom_components.local_solar.growatt.datalogger.server import Limits, Server
from custom_components.local_solar.growatt.datalogger.session import Session
from custom_components.local_solar.growatt.datalogger.stream import MAX_NOISE
from simulators.datalogger.inverters import SimulatedInverter
from simulators.datalogger.packets import Kind, Packet
from simulators.datalogger.stick import Entry, SimulatedStick

from .helpers import (
    HOST,
    LOGGER,
    NOON,
    OTHER_LOGGER,
    Notes,
    Wire,
    narrow,
    ping,
    report,
    serving,
    stick_at,
    until,
    wire,
)

AT_ONCE: Final = 0.02
"""Seconds, where something is to be too long soon."""


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let what is done after a while be done at once, and be looked after often."""
    monkeypatch.setattr(session_module, "CLOCK_AFTER", 0.0)
    monkeypatch.setattr(session_module, "ASK_AFTER", 0.0)
    monkeypatch.setattr(commands, "SPACING", 0.0)
    monkeypatch.setattr(guarded, "TICK", AT_ONCE / 4)


@asynccontextmanager
async def _listening(**options: Any) -> AsyncIterator[tuple[Server, Notes]]:
    notes = Notes()
    async with serving(Server(notes, lambda: NOON, **options)) as server:
        yield server, notes


async def _introduced(server: Server, logger: str = LOGGER) -> Session:
    """Wait until a logger is there."""
    await until(lambda: logger in server.sessions)
    return server.sessions[logger]


# -- a stick -----------------------------------------------------------------------------


@pytest.mark.parametrize("protocol", [0, 2, 5, 6])
async def test_stick_is_answered_without_a_cloud(protocol: int) -> None:
    async with (
        _listening() as (server, notes),
        stick_at(server.port, protocol=protocol) as stick,
    ):
        await stick.wait_until(lambda: stick.is_announced and stick.clock.was_set)
        assert stick.received_of(Kind.PING) == stick.sent_of(Kind.PING)
        stick.report()
        await stick.wait_until(lambda: stick.acknowledged == 1)
        session = await _introduced(server)
        await until(lambda: set(session.parameters) == set(range(4, 22)))
        asked = [packet.body[-4:] for packet in stick.received_of(Kind.PARAMETER)]
        assert asked == [bytes((0, 4, 0, 21))]
        kinds = [record.type for record in notes.of(RegisterRecord)]
        assert kinds == [Kind.ANNOUNCE, Kind.LIVE]
        assert (session.peer, session.protocol) == (HOST, protocol)


@pytest.mark.parametrize(
    "rogue",
    [
        *("split", "split=0", "glue=8", "garbage=7,type=04", "unknown,type=04"),
        *("slow=0", "wrong-crc,type=04,times=2", "corrupt,type=04"),
    ],
)
async def test_records_are_taken_however_the_wire_spoils_them(rogue: str) -> None:
    async with (
        _listening() as (server, notes),
        stick_at(server.port) as stick,
    ):
        await stick.wait_until(lambda: stick.is_announced)
        stick.start_rogue(rogue)
        entries = [*stick.report(), *stick.report()]
        for _ in range(3):
            await _delivered_if_it_can_be(stick, entries, rogue)
        assert all(entry.is_acknowledged for entry in entries)
        assert len(notes.of(RegisterRecord)) >= 1 + len(entries)


async def _delivered_if_it_can_be(
    stick: SimulatedStick, entries: list[Entry], rogue: str
) -> None:
    """Wait until records are acknowledged; a damaged one has to be sent again."""
    if rogue.startswith("wrong-crc"):
        stick.stop_rogue()
        stick.reconnect()
        await stick.wait_until(lambda: stick.is_announced)
        stick.report()
    await stick.wait_until(lambda: all(entry.is_acknowledged for entry in entries))


@pytest.mark.parametrize("logger_is_left_open", [True, False])
async def test_last_connection_of_a_logger_wins(logger_is_left_open: bool) -> None:
    async with (
        _listening() as (server, notes),
        wire(server.port, ping()) as first,
    ):
        await first.receive()
        older = await _introduced(server)
        reading = asyncio.create_task(older.commands.run(read_holding(1, 3, 1)))
        assert (await first.receive()).kind == Kind.READ
        if not logger_is_left_open:
            first.abort()
        async with wire(server.port, ping()) as second:
            await second.receive()
            assert server.sessions[LOGGER] is not older
            with pytest.raises(GoneError):
                await reading
            await first.closed()
            assert notes.ended == [older]
            assert notes.began == [older, server.sessions[LOGGER]]
            assert await second.ask(report()) == report().ack()


async def test_loggers_do_not_hear_of_each_other() -> None:
    async with (
        _listening() as (server, notes),
        wire(server.port, ping()) as one,
        wire(server.port, ping(OTHER_LOGGER)) as other,
    ):
        await one.receive()
        await other.receive()
        session, theirs = server.sessions[LOGGER], server.sessions[OTHER_LOGGER]
        reading = asyncio.create_task(session.commands.run(read_holding(1, 3, 1)))
        asked = await one.receive()
        # The other one answers in the place of the first, in every way it can.
        width = 30
        answer = asked.body[:width] + bytes((0, 3, 0, 3, 0, 80))
        own = ping(OTHER_LOGGER).body + bytes((0, 3, 0, 3, 0, 80))
        other.send(asked.answer(answer), asked.answer(own), ping(OTHER_LOGGER))
        await other.receive()
        assert not reading.done()
        assert [who for who, *_ in notes.rejections] == [OTHER_LOGGER]
        one.send(asked.answer(asked.body[:width] + bytes((0, 3, 0, 3, 0, 99))))
        assert getattr(await reading, "words", None) == (99,)
        assert theirs.parameters == session.parameters == {}


# -- limits ------------------------------------------------------------------------------


async def test_connections_are_counted_out() -> None:
    async with (
        _listening(limits=Limits(connections=3)) as (server, _),
        AsyncExitStack() as stack,
    ):
        for number in range(3):
            made = await stack.enter_async_context(
                wire(server.port, ping(f"XGD{number}"))
            )
            await made.receive()
        async with wire(server.port, ping("XGD9")) as refused:
            assert await refused.closed() == []
        assert server.statistics.refused == 1
        assert set(server.sessions) == {"XGD0", "XGD1", "XGD2"}
        await stack.aclose()
        await until(lambda: not server.sessions)
        async with wire(server.port, ping("XGD9")) as welcome:
            assert await welcome.receive() == ping("XGD9")


async def test_strangers_do_not_keep_loggers_out() -> None:
    """The oldest of them gives way."""
    async with (
        _listening(limits=Limits(strangers=2)) as (server, _),
        wire(server.port) as one,
    ):
        await until(lambda: server.statistics.connections == 1)
        async with wire(server.port, b"\0" * 5):
            await until(lambda: server.statistics.connections == 2)
            async with wire(server.port, ping()) as logger:
                assert await logger.receive() == ping()
                assert await one.closed() == []
                assert server.statistics.refused == 1


@pytest.mark.parametrize(
    "first",
    [
        [],
        [b"\0\1\0\6"],
        [ping().encode()[:-1]],
        [b"GET / HTTP/1.1\r\nHost: logger\r\n\r\n"],
        [Packet(kind=Kind.PING, body=bytes(30)), Packet(kind=Kind.LIVE, body=b"")],
        [ping().encode()[:-1] + bytes((ping().encode()[-1] ^ 1,))],
    ],
    ids=["nothing", "half a header", "half", "http", "no serial number", "damaged"],
)
async def test_who_does_not_say_who_it_is_is_shown_out(
    first: list[Packet | bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "INTRODUCED_WITHIN", AT_ONCE)
    async with _listening() as (server, notes), wire(server.port, *first) as stranger:
        assert await stranger.closed() == []
        assert notes == Notes(waiting=notes.waiting)
        assert not server.sessions


@pytest.mark.parametrize("is_known", [True, False])
async def test_garbage_without_end_is_not_listened_to(is_known: bool) -> None:
    async with (
        _listening() as (server, notes),
        wire(server.port, ping() if is_known else b"") as rogue,
    ):
        if is_known:
            await rogue.receive()
        rogue.send(b"\xff" * (MAX_NOISE + 1000))
        await rogue.closed()
        await until(lambda: not server.sessions)
        assert len(notes.ended) == is_known


@pytest.mark.parametrize("length", [0, 1, MAX_LENGTH + 1, 0xFFFF])
async def test_impossible_length_is_noise(length: int) -> None:
    async with _listening() as (server, _), wire(server.port, ping()) as rogue:
        await rogue.receive()
        rogue.send(b"\0\1\0\6" + length.to_bytes(2) + b"\1\4" + bytes(20), ping(tid=2))
        assert await rogue.receive() == ping(tid=2)


async def test_packet_that_is_not_completed_ends_the_connection(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "COMPLETED_WITHIN", AT_ONCE)
    async with _listening() as (server, notes), wire(server.port, ping()) as slow:
        await slow.receive()
        slow.send(report().encode()[:-1])
        assert await slow.closed() == []
        assert len(notes.ended) == 1


async def test_silence_ends_the_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "IDLE", AT_ONCE)
    async with _listening() as (server, notes), wire(server.port, ping()) as silent:
        await silent.receive()
        assert await silent.closed() == []
        assert len(notes.ended) == 1


async def test_logger_that_reads_nothing_is_not_listened_to(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(guarded, "UNREAD", AT_ONCE)
    async with _listening() as (server, notes), wire(server.port) as deaf:
        deaf.read_no_more()
        # Each is answered with as many bytes, until nothing goes through any more.
        large = ping()
        large = replace(large, body=large.body + bytes(4000))
        deaf.send(ping())
        await _introduced(server)
        narrow(server._by_logger[LOGGER]._transport)  # noqa: SLF001
        sent = 0
        while not notes.ended:
            sent += len(deaf.send(large))
            assert sent < 64 * 2**20
            await until(lambda: notes.ended or not deaf.unsent)


async def test_only_expected_loggers_are_listened_to(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with _listening(allowed=frozenset({LOGGER})) as (server, notes):
        for _ in range(3):
            async with wire(server.port, ping(OTHER_LOGGER)) as other:
                assert await other.closed() == []
        async with wire(server.port, ping()) as logger:
            assert await logger.receive() == ping()
        assert [session.logger for session in notes.began] == [LOGGER]
        assert server.statistics.refused == 3
        assert server.statistics.refused_loggers == {OTHER_LOGGER}
    assert caplog.text.count("is not in the list") == 1


async def test_refused_loggers_are_not_remembered_without_end() -> None:
    async with _listening(allowed=frozenset({LOGGER}), limits=Limits(strangers=3)) as (
        server,
        _,
    ):
        for number in range(10):
            async with wire(server.port, ping(f"XGD{number}")) as other:
                await other.closed()
        assert len(server.statistics.refused_loggers) == 3


async def test_flood_is_held_back_and_others_are_served() -> None:
    limits = Limits(packets_per_second=500, burst=100)
    async with (
        _listening(limits=limits) as (server, notes),
        stick_at(server.port, rogues=["flood"]) as flood,
        wire(server.port, ping(OTHER_LOGGER)) as other,
    ):
        await other.receive()
        loop = asyncio.get_running_loop()
        began = loop.time()
        trips: list[float] = []
        read_at_once = 0x40000 // len(report().encode()) + 1

        def records() -> int:
            return sum(who == LOGGER for who, _ in notes.records)

        while records() < 3 * limits.burst:
            before = loop.time()
            await other.ask(ping(OTHER_LOGGER, tid=len(trips) + 1 & 0xFFFF))
            trips.append(loop.time() - before)
            allowed = limits.burst + limits.packets_per_second * (loop.time() - began)
            assert records() <= allowed + read_at_once
        assert sorted(trips)[len(trips) // 2] < 0.1
        assert flood.connections == 1


async def test_burst_after_a_night_is_taken_at_once() -> None:
    count = 1500
    async with _listening() as (server, notes), wire(server.port, ping()) as stick:
        await stick.receive()
        stick.send(*[report(Kind.BUFFERED, tid=tid) for tid in range(1, count + 1)])
        for tid in range(1, count + 1):
            assert (await stick.receive()).tid == tid
        assert len(notes.of(RegisterRecord)) == count


# -- nothing is lost ---------------------------------------------------------------------


async def test_stick_keeps_what_is_not_taken_and_sends_it_later() -> None:
    async with AsyncExitStack() as stack:
        notes = Notes()
        server = Server(notes, lambda: NOON)
        await server.start(HOST, 0)
        port = server.port
        stick = await stack.enter_async_context(stick_at(port))
        await stick.wait_until(lambda: stick.is_announced)
        await server.stop()
        await stick.wait_until(lambda: not stick.connected)
        entries = [entry for _ in range(20) for entry in stick.report()]
        assert stick.buffered == len(entries)
        again = Server(notes, lambda: NOON)
        await again.start(HOST, port)
        stack.push_async_callback(again.stop)
        await stick.wait_until(lambda: stick.is_announced)
        entries += stick.report()
        await stick.wait_until(lambda: all(entry.is_acknowledged for entry in entries))
        kinds = [record.type for record in notes.of(RegisterRecord)]
        assert kinds.count(Kind.BUFFERED) == 20
        assert kinds.count(Kind.LIVE) == 1
        assert (stick.lost, stick.buffered) == (0, 0)


@pytest.mark.parametrize("moment", range(12))
async def test_every_record_arrives_whenever_the_listener_stops(moment: int) -> None:
    """It stops after so many turns of the event loop, while records come."""
    notes = Notes()
    server = Server(notes, lambda: NOON)
    await server.start(HOST, 0)
    port = server.port
    async with stick_at(port) as stick:
        await stick.wait_until(lambda: stick.is_announced)
        entries = [*stick.report(), *stick.report()]
        for _ in range(moment):
            await asyncio.sleep(0)
        await server.stop()
        heard = len(notes.of(RegisterRecord))
        await stick.wait_until(lambda: not stick.connected)
        taken = sum(entry.is_acknowledged for entry in entries)
        assert taken < heard, "what is acknowledged was handed on"
        again = Server(notes, lambda: NOON)
        await again.start(HOST, port)
        try:
            await stick.wait_until(lambda: stick.is_announced)
            entries += stick.report()
            await stick.wait_until(
                lambda: all(entry.is_acknowledged for entry in entries)
            )
        finally:
            await again.stop()
    live = {Kind.LIVE, Kind.BUFFERED}
    heard = sum(record.type in live for record in notes.of(RegisterRecord))
    assert heard >= len(entries)


async def test_stopping_while_packets_of_one_segment_are_handed_on() -> None:
    """A connection that is closed at its first record: no further one is taken."""
    server = Server(Notes(), lambda: NOON)

    class Stops(Notes):
        @override
        def reported(self, session: Session, record: Record) -> None:
            super().reported(session, record)
            if isinstance(record, RegisterRecord):
                server._by_logger[LOGGER].close()  # noqa: SLF001

    stops = server.listener = Stops()
    await server.start(HOST, 0)
    async with wire(server.port, ping()) as stick:
        await stick.receive()
        stick.send(*[report(tid=tid) for tid in range(1, 6)])
        acknowledged = await stick.closed()
        assert len(acknowledged) <= 1
        assert len(stops.of(RegisterRecord)) == 1
    await server.stop()


# -- its end -----------------------------------------------------------------------------


async def test_nothing_is_left_when_it_stops() -> None:
    notes = Notes()
    server = Server(notes, lambda: NOON, limits=Limits(burst=10, packets_per_second=1))
    tasks: list[asyncio.Task[object]] = []
    async with AsyncExitStack() as stack:
        wires: list[Wire] = []
        async with serving(server):
            for first in ([], [ping()], [report(Kind.ANNOUNCE, logger=OTHER_LOGGER)]):
                made = await stack.enter_async_context(wire(server.port, *first))
                wires.append(made)
            for logger in (LOGGER, OTHER_LOGGER):
                session = await _introduced(server, logger)
                tasks.append(
                    asyncio.create_task(session.commands.run(read_holding(1, 3, 1)))
                )
            # One that is held back, with a timer of its own.
            wires[1].send(*[ping()] * 30)
            await until(lambda: len(notes.of(Ping)) > 10)
        for task in tasks:
            with pytest.raises(GoneError):
                await task
        for made in wires:
            await made.closed()
        assert len(notes.ended) == 2
        with pytest.raises(ConnectionError):
            await asyncio.open_connection(HOST, wires[0].port)


async def test_port_that_is_taken_is_told_and_leaves_nothing() -> None:
    async with _listening() as (server, _):
        second = Server(Notes(), lambda: NOON)
        with pytest.raises(OSError, match="address already in use"):
            await second.start(HOST, server.port)
        await second.stop()


async def test_inverters_of_one_stick_are_all_heard() -> None:
    inverters = [SimulatedInverter(unit=n, serial=f"SNL0CE123{n}") for n in (1, 2, 4)]
    async with (
        _listening() as (server, notes),
        stick_at(server.port, inverters=inverters) as stick,
    ):
        await stick.wait_until(lambda: stick.is_announced)
        stick.report()
        await stick.wait_until(lambda: stick.acknowledged == 3)
        live = {
            record.unit: record.inverter
            for record in notes.of(RegisterRecord)
            if record.type == Kind.LIVE
        }
        assert live == {each.unit_id: each.serial for each in inverters}
