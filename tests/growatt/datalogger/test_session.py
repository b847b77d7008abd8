"""The conversation with one logger, answered here: what it says, and what it is told."""

import asyncio
from collections.abc import Callable
from typing import Final, override

from hypothesis import given, strategies as st
import pytest

from custom_components.local_solar.growatt.datalogger import commands, session as module
from custom_components.local_solar.growatt.datalogger.commands import GoneError
from custom_components.local_solar.growatt.datalogger.packets import Type
from custom_components.local_solar.growatt.datalogger.parameters import LAST_NUMBER
from custom_components.local_solar.growatt.datalogger.records import (
    Answer,
    Parameter,
    Ping,
    Record,
    RecordError,
    RegisterRecord,
    Unexplained,
    read_holding,
)
from custom_components.local_solar.growatt.datalogger.session import (
    Session,
    is_encrypted,
)
from simulators.datalogger import bodies as their_bodies
from simulators.datalogger.packets import Kind, Packet, PacketReader

from .helpers import LOGGER, NOON, OTHER_LOGGER, Notes, ping, report, taken, until

PROTOCOLS: Final = (0, 2, 5, 6)

ACKNOWLEDGED: Final = (
    *(Kind.ANNOUNCE, Kind.LIVE, Kind.BUFFERED, Kind.VPP, Kind.BLOCKS),
    *(Kind.METER, Kind.METER_TEXT, Kind.METER_REPORT, 0x77),
)
UNANSWERED: Final = (
    *(Kind.READ, Kind.WRITE, Kind.WRITE_RANGE, Kind.SET_PARAMETER),
    *(Kind.PARAMETER, Kind.LINKED),
)
CLOCK: Final = 31
CLOCK_BODY: Final = their_bodies.Parameter(LOGGER, CLOCK, "2026-06-21 12:00:30").body(6)


class Talk:
    """A session, and what it has written."""

    def __init__(
        self,
        first: Packet | None = None,
        *,
        answers_itself: bool = True,
        takes_damaged: bool = False,
    ) -> None:
        """Let a logger begin with a packet."""
        self.notes = Notes()
        self.written: list[Packet] = []
        self.octets: list[bytes] = []
        self._reader = PacketReader()
        self.session = Session(
            taken(first or ping()),
            "192.0.2.7",
            self._write,
            self.notes,
            lambda: NOON,
            answers_itself=answers_itself,
            takes_damaged=takes_damaged,
        )

    def _write(self, data: bytes) -> None:
        self.octets.append(data)
        self.written += self._reader.feed(data)

    def says(self, *packets: Packet) -> list[bool]:
        """Let the logger say something; return for each whether it is for the cloud, too."""
        return [self.session.take(taken(packet)) for packet in packets]

    def told(self, kind: Kind) -> list[Packet]:
        """Return what the logger was told of a kind."""
        return [packet for packet in self.written if packet.kind == kind]

    async def told_after(self, kind: Kind, number: int = 1) -> Packet:
        """Wait until it was told something; return it."""
        await until(lambda: len(self.told(kind)) >= number)
        return self.told(kind)[number - 1]


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let what is done after a while be done at once."""
    monkeypatch.setattr(module, "CLOCK_AFTER", 0.0)
    monkeypatch.setattr(module, "ASK_AFTER", 0.0)
    monkeypatch.setattr(module, "OVERHEAR_FOR", 0.0)
    monkeypatch.setattr(commands, "SPACING", 0.0)


# -- answers -----------------------------------------------------------------------------


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("tid", [0, 1, 0xFFFF])
async def test_ping_comes_back_byte_for_byte(protocol: int, tid: int) -> None:
    talk = Talk(ping(protocol=protocol))
    said = ping(protocol=protocol, tid=tid)
    assert talk.says(said) == [True]
    assert talk.octets == [said.encode()]
    assert talk.notes.of(Ping)


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("kind", ACKNOWLEDGED)
async def test_report_is_acknowledged_even_if_nobody_can_read_it(
    kind: int, protocol: int
) -> None:
    talk = Talk(ping(protocol=protocol))
    said = Packet(kind=kind, body=b"\1" * 40, unit=0x51, tid=777, protocol=protocol)
    talk.says(said)
    assert talk.octets == [said.ack().encode()]


@pytest.mark.parametrize("kind", UNANSWERED)
@pytest.mark.parametrize("body", [b"", b"\1" * 40, CLOCK_BODY])
async def test_what_is_an_answer_itself_is_not_acknowledged(
    kind: int, body: bytes
) -> None:
    talk = Talk()
    talk.says(Packet(kind=kind, body=body))
    assert not talk.octets


async def test_report_is_acknowledged_before_anybody_hears_of_it() -> None:
    talk = Talk()
    order: list[int] = []

    class Orders(Notes):
        @override
        def reported(self, session: Session, record: Record) -> None:
            order.append(len(talk.octets))

    talk.session._listener = Orders()  # noqa: SLF001
    talk.says(report())
    assert order == [1]


async def test_damaged_packet_is_neither_acknowledged_nor_believed() -> None:
    damaged = taken(report())._replace(is_intact=False)
    talk = Talk()
    assert talk.session.take(damaged)
    assert not talk.octets
    ((logger, kind, _),) = talk.notes.rejections
    assert (logger, kind, talk.notes.records) == (LOGGER, Type.LIVE, [])


async def test_damaged_packet_counts_where_the_owner_wants_it() -> None:
    talk = Talk(takes_damaged=True)
    talk.session.take(taken(report())._replace(is_intact=False))
    assert len(talk.octets) == len(talk.notes.of(RegisterRecord)) == 1


@pytest.mark.parametrize("kind", [Kind.LIVE, Kind.PING, Kind.PARAMETER])
async def test_packet_that_names_another_logger_is_rejected(kind: Kind) -> None:
    talk = Talk()
    bodies = {
        Kind.LIVE: report(logger=OTHER_LOGGER).body,
        Kind.PING: ping(OTHER_LOGGER).body,
        Kind.PARAMETER: their_bodies.Parameter(OTHER_LOGGER, 4, "1").body(6),
    }
    talk.says(Packet(kind=kind, body=bodies[kind]))
    assert talk.notes.records == []
    assert [(who, what) for who, what, _ in talk.notes.rejections] == [(LOGGER, kind)]
    assert talk.session.parameters == {}


def test_who_does_not_say_which_logger_it_is_gets_no_session() -> None:
    with pytest.raises(RecordError):
        Talk(Packet(kind=Kind.PING, body=b"\1" * 30))


@given(
    kind=st.integers(0, 0xFF),
    body=st.binary(max_size=300),
    protocol=st.sampled_from(PROTOCOLS),
)
def test_no_body_breaks_a_session(kind: int, body: bytes, protocol: int) -> None:
    talk = Talk(ping(protocol=protocol), answers_itself=False)
    field = their_bodies.serial_field(protocol, LOGGER)
    for octets in (body, field + body, 2 * field + body):
        packet = Packet(kind=kind, body=octets, protocol=protocol)
        if kind == Kind.ANNOUNCE:  # Work for later needs an event loop.
            continue
        assert isinstance(talk.session.take(taken(packet)), bool)


# -- the clock, and parameters -----------------------------------------------------------


@pytest.mark.parametrize("protocol", PROTOCOLS)
async def test_clock_is_set_after_an_announcement(protocol: int) -> None:
    talk = Talk(ping(protocol=protocol))
    talk.says(report(Kind.ANNOUNCE, protocol=protocol))
    packet = await talk.told_after(Kind.SET_PARAMETER)
    told = their_bodies.Parameter.parse(packet)
    assert (packet.unit, told.logger, told.number) == (1, LOGGER, CLOCK)
    assert told.text == f"{NOON:%Y-%m-%d %H:%M:%S}"
    assert len(told.text) == 19
    assert packet.tid >= 0x8000
    talk.session.end()


async def test_clock_is_set_a_second_after_each_announcement(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    waits: list[float] = []
    sleep = asyncio.sleep

    async def note(seconds: float) -> None:
        waits.append(seconds)
        await sleep(0)

    monkeypatch.undo()
    assert (module.CLOCK_AFTER, module.ASK_AFTER) == (1.0, 5.0)
    monkeypatch.setattr(commands, "SPACING", 0.0)
    monkeypatch.setattr(asyncio, "sleep", note)
    talk = Talk()
    for number in (1, 2):
        talk.says(report(Kind.ANNOUNCE, tid=number))
        packet = await talk.told_after(Kind.SET_PARAMETER, number)
        done = their_bodies.ParameterDone(LOGGER, CLOCK, 0).body(6)
        talk.says(packet.answer(done))
        await sleep(0)
        if number == 1:
            asked = await talk.told_after(Kind.PARAMETER)
            talk.says(*_parameters(asked))
            await until(lambda: len(talk.session.parameters) == 18)
            await until(lambda: not talk.session._tasks)  # noqa: SLF001
    assert [seconds for seconds in waits if seconds] == [1.0, 5.0, 1.0]
    talk.session.end()


def _parameters(asked: Packet) -> list[Packet]:
    span = their_bodies.Span.parse(asked)
    return [
        asked.answer(their_bodies.Parameter(LOGGER, number, str(number)).body(6))
        for number in range(span.first, span.last + 1)
    ]


async def test_flood_of_announcements_sets_the_clock_once_at_a_time() -> None:
    talk = Talk()
    talk.says(*[report(Kind.ANNOUNCE, tid=tid) for tid in range(1, 500)])
    assert len(talk.session._tasks) <= 2  # noqa: SLF001
    await talk.told_after(Kind.SET_PARAMETER)
    talk.session.end()


async def test_clock_answer_is_told() -> None:
    talk = Talk()
    for status, is_set in ((0, True), (3, False)):
        setting = asyncio.create_task(talk.session.async_set_clock())
        packet = await talk.told_after(Kind.SET_PARAMETER, 1 if is_set else 2)
        talk.says(
            packet.answer(their_bodies.ParameterDone(LOGGER, CLOCK, status).body(6))
        )
        assert await setting is is_set


async def test_parameters_are_asked_for_once_and_never_the_wifi() -> None:
    talk = Talk()
    for tid in range(1, 4):
        talk.says(report(Kind.ANNOUNCE, tid=tid))
        asked = await talk.told_after(Kind.SET_PARAMETER, tid)
        talk.says(asked.answer(their_bodies.ParameterDone(LOGGER, CLOCK, 0).body(6)))
        if tid == 1:
            asked = await talk.told_after(Kind.PARAMETER)
            talk.says(*_parameters(asked))
        await until(lambda: not talk.session._tasks)  # noqa: SLF001
    (asked,) = talk.told(Kind.PARAMETER)
    span = their_bodies.Span.parse(asked)
    assert (span.first, span.last) == (4, 21)
    assert talk.session.parameters == {n: str(n) for n in range(4, 22)}


async def test_parameters_are_not_asked_for_that_the_cloud_has_asked_for() -> None:
    talk = Talk(answers_itself=False)
    talk.says(report(Kind.ANNOUNCE))
    (told,) = talk.says(
        Packet(kind=Kind.PARAMETER, body=their_bodies.Parameter(LOGGER, 4, "5").body(6))
    )
    assert told, "it is the cloud's answer"
    await until(lambda: not talk.session._tasks)  # noqa: SLF001
    assert talk.written == []
    assert talk.session.parameters == {4: "5"}


@pytest.mark.parametrize("number", [56, 57, LAST_NUMBER + 1, 0xFFFF])
async def test_secrets_and_numbers_without_end_are_not_kept(number: int) -> None:
    talk = Talk()
    body = their_bodies.Parameter(LOGGER, number, "secret").body(6)
    talk.says(Packet(kind=Kind.PARAMETER, body=body))
    assert talk.session.parameters == {}


# -- where the cloud answers -------------------------------------------------------------


async def test_nothing_is_answered_where_the_cloud_does() -> None:
    talk = Talk(answers_itself=False)
    assert talk.says(ping(), report(Kind.BUFFERED), report()) == [True] * 3
    assert talk.written == []
    assert len(talk.notes.of(RegisterRecord)) == 2


async def test_answer_to_us_is_not_for_the_cloud() -> None:
    talk = Talk(answers_itself=False)
    reading = asyncio.create_task(talk.session.commands.run(read_holding(1, 3, 1)))
    packet = await talk.told_after(Kind.READ)
    answer = their_bodies.Span(LOGGER, 3, 3, (80,)).body(6)
    assert talk.says(packet.answer(answer)) == [False]
    assert isinstance(await reading, Answer)
    assert talk.says(Packet(kind=Kind.READ, body=answer)) == [True]


async def test_taking_over_answers_what_is_open_and_sets_the_clock(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "OVERHEAR_FOR", 60.0)
    talk = Talk(answers_itself=False)
    said = [ping(), report(Kind.ANNOUNCE), report(tid=5)]
    talk.says(*said)
    talk.session.take_over([taken(packet) for packet in said])
    assert [packet.kind for packet in talk.written] == [0x16, 0x03, 0x04]
    talk.says(report(tid=6))
    assert talk.written[-1] == report(tid=6).ack()
    await talk.told_after(Kind.SET_PARAMETER)
    talk.session.end()


# -- firmware that encrypts --------------------------------------------------------------


def _key(body: bytes = bytes(31)) -> Packet:
    return Packet(kind=Kind.KEY, body=body)


CIPHERED: Final = Packet(kind=Kind.LIVE, body=bytes(range(128, 256)))


@pytest.mark.parametrize(
    ("first", "logger"),
    [
        (_key(their_bodies.serial_field(6, LOGGER) + b"TempPassword&*"), LOGGER),
        (_key(), ""),
        (CIPHERED, ""),
    ],
    ids=["key", "unreadable key", "ciphered"],
)
async def test_encrypted_session_is_known_by_its_first_packet(
    first: Packet, logger: str
) -> None:
    talk = Talk(first)
    assert talk.session.is_encrypted
    assert talk.session.logger == logger
    assert talk.says(first, CIPHERED, ping()) == [True] * 3
    assert talk.written == []
    assert talk.notes.records == []
    assert talk.notes.rejections == []


async def test_session_that_begins_to_encrypt_is_told_of_and_left_alone() -> None:
    talk = Talk()
    running = asyncio.create_task(talk.session.commands.run(read_holding(1, 3, 1)))
    await talk.told_after(Kind.READ)
    talk.says(report(Kind.ANNOUNCE))
    talk.written.clear()
    assert talk.says(_key(), CIPHERED, ping()) == [True] * 3
    assert talk.notes.encrypted_ones == [LOGGER]
    with pytest.raises(GoneError):
        await running
    with pytest.raises(GoneError):
        await talk.session.async_set_clock()
    await until(lambda: not talk.session._tasks)  # noqa: SLF001
    talk.session.take_over([])
    assert talk.written == []


@pytest.mark.parametrize(
    "packet",
    [ping(), report(), Packet(kind=Kind.LIVE, body=bytes(range(128, 255)))],
    ids=["ping", "record", "no whole blocks"],
)
def test_packet_with_a_serial_number_or_no_whole_blocks_is_not_encrypted(
    packet: Packet,
) -> None:
    assert not is_encrypted(taken(packet))


# -- its end -----------------------------------------------------------------------------


async def test_everything_that_was_begun_ends_with_it() -> None:
    talk = Talk()
    before = asyncio.all_tasks()
    talk.says(report(Kind.ANNOUNCE))
    waiting: list[Callable[[], object]] = [
        lambda: asyncio.all_tasks() <= before,
        lambda: not talk.session._tasks,  # noqa: SLF001
    ]
    talk.session.end()
    for is_over in waiting:
        await until(is_over)
    assert not talk.told(Kind.SET_PARAMETER)


async def test_kinds_of_records_are_handed_on() -> None:
    talk = Talk()
    talk.says(
        report(),
        Packet(kind=0x77, body=their_bodies.serial_field(6, LOGGER)),
        Packet(
            kind=Kind.PARAMETER, body=their_bodies.Parameter(LOGGER, 4, "5").body(6)
        ),
    )
    kinds = [type(record) for _, record in talk.notes.records]
    assert kinds == [RegisterRecord, Unexplained, Parameter]
    assert talk.session.records == 2
