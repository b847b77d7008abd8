"""Sessions with one DTU: what is asked, what counts as an answer, what is given up.

An answer that will not come is not waited for: the simulator says when it keeps one back.
Only the tests of the timeouts themselves wait, and nothing ever answers there.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from datetime import datetime
import logging
from typing import Any, Final, override
from unittest.mock import patch

import pytest

from custom_components.local_solar.hoymiles import client as client_module, messages
from custom_components.local_solar.hoymiles.client import MAX_PAGES, DtuClient, Session
from custom_components.local_solar.hoymiles.commands import Action
from custom_components.local_solar.hoymiles.dtu import Dtu
from custom_components.local_solar.hoymiles.errors import (
    DtuError,
    EvictedError,
    FrameError,
    MessageError,
    RefusedCommandError,
    SilentError,
    UnreachableError,
    WrongDtuError,
)
from custom_components.local_solar.hoymiles.frame import (
    MAX_NOISE,
    MAX_SEQUENCE,
    Frame,
    FrameReader,
    encode,
    reply_to,
)
from custom_components.local_solar.hoymiles.inventory import Inventory
from custom_components.local_solar.hoymiles.messages import Fields
from custom_components.local_solar.hoymiles.probe import async_identify
from custom_components.local_solar.hoymiles.records import RealData
from simulators.clock import SimulatedClock
from simulators.hoymiles import replies
from simulators.hoymiles.commands import CommandRecord
from simulators.hoymiles.dtu import Counters, SimulatedDtu
from simulators.hoymiles.faults import NO_TROUBLE, Fault, FaultKind, Trouble
from simulators.hoymiles.server import running_dtu

pytestmark = pytest.mark.usefixtures("socket_enabled")

INTEGRATED: Final = "hms-800w-2t"
STICK: Final = "stick-3"
NOON: Final = datetime(2026, 6, 21, 13)

A301: Final = 0xA301
A303: Final = 0xA303
A304: Final = 0xA304
A305: Final = 0xA305
A306: Final = 0xA306
A309: Final = 0xA309
A311: Final = 0xA311
A314: Final = 0xA314
BY_CLOUD: Final = 0x2305
COLLECT_ALARMS: Final = 50

_KEEPS_BACK: Final = (
    FaultKind.SILENT,
    FaultKind.ZERO_BYTES,
    FaultKind.WRONG_SEQUENCE,
)


class TellingDtu(SimulatedDtu):
    """A DTU that tells when the answer that is waited for will not come."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """Be a DTU whose values are those of now and whose commands are done at once."""
        self.lost = asyncio.Event()
        super().__init__(
            *args, **{"refresh": 0, "command_time": 0, "seed": 1, **kwargs}
        )
        self.status_takes = 0.0
        """Seconds that pass with each question what became of a command."""
        self.inventory_serials = tuple(self.inverters)
        """Serial numbers of the inverters that there were at first."""
        self.rated = {
            serial: inverter.spec.model.rated_power
            for serial, inverter in self.inverters.items()
        }
        self.counters = _TellingCounters()
        self.counters.lost = self.lost

    @override
    def answer(
        self, frame: Frame, request: Fields, trouble: Trouble = NO_TROUBLE
    ) -> Frame | None:
        if frame.command == A306 and self.status_takes:
            self.clock.advance(self.status_takes)
        reply = super().answer(frame, request, trouble)
        if (reply is None or trouble.has(*_KEEPS_BACK)) and not trouble.has(
            FaultKind.EVICT, FaultKind.DISCONNECT
        ):
            self.lost.set()
        return reply

    def set_faults(self, *faults: str) -> None:
        """Let this go wrong from now on, and nothing else."""
        self.faults = [Fault.parse(fault) for fault in faults]

    def asked(self, *commands: int) -> list[int]:
        """Return the ids of the requests so far, of these only if there are some."""
        return [
            request.command
            for request in self.requests
            if not commands or request.command in commands
        ]


class _TellingCounters(Counters):
    """Counts; a frame that cannot be read is answered with zeros, which say nothing."""

    __slots__ = ("lost",)
    lost: asyncio.Event

    @override
    def __setattr__(self, name: str, value: Any) -> None:
        super().__setattr__(name, value)
        if name == "bad_frames" and value:
            self.lost.set()


@contextmanager
def impatient(dtu: TellingDtu) -> Iterator[None]:
    """Give up at once when it is known that no answer will come."""
    next_frame = Session._async_next_frame  # noqa: SLF001

    async def or_lost(session: Session) -> Frame:
        lost = asyncio.create_task(dtu.lost.wait())
        frame = asyncio.create_task(next_frame(session))
        try:
            await asyncio.wait((frame, lost), return_when=asyncio.FIRST_COMPLETED)
            if frame.done():
                return frame.result()
            dtu.lost.clear()
            raise TimeoutError
        finally:
            frame.cancel()
            lost.cancel()
            await asyncio.gather(frame, lost, return_exceptions=True)

    with (
        patch.object(Session, "_async_next_frame", or_lost),
        patch.object(client_module, "STATUS_INTERVAL", 0.001),
    ):
        yield


async def values(session: Session) -> RealData:
    """Ask for the values of now."""
    return await session.async_real_data()


def sent(sim: SimulatedDtu) -> list[CommandRecord]:
    """Return the commands that change something."""
    return [command for command in sim.commands if command.action != COLLECT_ALARMS]


@contextmanager
def answers(
    command: int, change: Callable[[Fields, Fields], Fields | None]
) -> Iterator[None]:
    """Let DTUs answer a request otherwise: given the request and the right reply."""
    handler = replies.HANDLERS[command]

    def answer(dtu: SimulatedDtu, request: Fields, trouble: Trouble) -> Fields | None:
        fields = handler.answer(dtu, request, trouble)
        return None if fields is None else change(request, fields)

    other = replies.Handler(handler.request, handler.reply, answer)
    with patch.dict(replies.HANDLERS, {command: other}):
        yield


@contextmanager
def soon_tired(seconds: float = 0.2) -> Iterator[None]:
    """Wait for an answer for a moment only: nothing tells that it will not come."""
    with patch.object(client_module, "REQUEST_TIMEOUT", seconds):
        yield


@dataclass(frozen=True)
class Rig:
    """A simulated DTU behind a socket, and what polls it."""

    sim: TellingDtu
    client: DtuClient
    dtu: Dtu


@asynccontextmanager
async def make_rig(inventory: Any = INTEGRATED, **kwargs: Any) -> AsyncIterator[Rig]:
    """Run a DTU and get to know it."""
    asyncio.get_running_loop().set_debug(False)
    clock = SimulatedClock(kwargs.pop("at", NOON), 0)
    restart_time = kwargs.pop("inverter_restart_time", 30.0)
    sim = TellingDtu(inventory, clock=clock, **kwargs)
    sim.inverter_restart_time = restart_time
    async with running_dtu(sim) as address:
        with impatient(sim):
            client = DtuClient(
                address.host, address.port, lambda: clock.now().astimezone()
            )
            known = await async_identify(client)
            assert isinstance(known, Inventory)
            client.serial = known.serial
            sim.requests.clear()
            yield Rig(sim, client, Dtu(client, known))


# -- a server that says anything ------------------------------------------------------

SERIAL: Final = "414393100001"
INFO: Final[Fields] = {"dtu_serial": SERIAL.encode(), "page_count": 1}
REAL: Final[Fields] = {"dtu_serial": SERIAL.encode(), "time": 7, "page_count": 1}


def reply(
    request: Frame,
    fields: Fields = REAL,
    *,
    name: str = "RealDataReply",
    later: int = 0,
    command: int = 0,
) -> bytes:
    """Return a reply, by default the right one; ``later`` shifts its number."""
    return encode(
        Frame(
            command or reply_to(request.command),
            (request.sequence + later) % MAX_SEQUENCE,
            messages.encode(name, fields),
        )
    )


@dataclass
class Script:
    """Answers each request with the segments that a function gives; ``None`` closes."""

    answer: Callable[[Frame], Iterable[bytes | None]]
    requests: list[Frame] = field(default_factory=list)
    opened: int = 0
    closed: int = 0
    is_closed: asyncio.Event = field(default_factory=asyncio.Event)

    async def serve(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        """Talk to one client until it leaves."""
        self.opened += 1
        frames = FrameReader()
        try:
            while data := await reader.read(4096):
                for frame in frames.feed(data):
                    self.requests.append(frame)
                    for segment in self.answer(frame):
                        if segment is None:
                            return
                        writer.write(segment)
                        await writer.drain()
                        await asyncio.sleep(0)
        except ConnectionError:
            pass
        finally:
            writer.close()
            self.closed += 1
            if self.closed == self.opened:
                self.is_closed.set()


def is_info(request: Frame) -> bool:
    """Return whether a request asks who is there."""
    return request.command == A301


@asynccontextmanager
async def scripted(
    answer: Callable[[Frame], Iterable[bytes | None]],
) -> AsyncIterator[tuple[DtuClient, Script]]:
    """Serve what a script says about values; who it is it says right."""

    def say(request: Frame) -> Iterable[bytes | None]:
        if is_info(request):
            return [reply(request, INFO, name="AppInfoReply")]
        return answer(request)

    script = Script(say)
    server = await asyncio.start_server(script.serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    try:
        yield (
            DtuClient("127.0.0.1", port, lambda: NOON.astimezone(), SERIAL),
            script,
        )
        await asyncio.wait_for(script.is_closed.wait(), 5)
    finally:
        server.close()
        server.close_clients()
        await server.wait_closed()
    assert script.opened == script.closed


def others(request: Frame) -> list[bytes]:
    """Return replies that are not for us: late ones, foreign ones, of other programs."""
    wrong: Fields = {**REAL, "time": 666}
    return [
        reply(request, wrong, later=-1),
        reply(request, wrong, later=1),
        reply(request, wrong, command=0xA201),
        reply(request, wrong, command=0xA203),
        reply(request, wrong, command=A311),
        reply(request, wrong, command=0x2211),
        reply(request, {}, name="HeartbeatFromDtu", command=0xA202),
    ]


async def test_only_the_reply_with_command_and_number_of_the_request_counts() -> None:
    async with scripted(lambda request: [*others(request), reply(request)]) as (
        client,
        _,
    ):
        assert (await client.async_in_session(values)).time == REAL["time"]


async def test_replies_that_come_in_one_piece_are_told_apart() -> None:
    def answer(request: Frame) -> list[bytes]:
        return [b"".join([*others(request), reply(request), *others(request)[2:]])]

    async with scripted(answer) as (client, _):

        async def twice(session: Session) -> list[int]:
            return [(await session.async_real_data()).time for _ in range(2)]

        assert await client.async_in_session(twice) == [REAL["time"]] * 2


async def test_reply_that_comes_twice_answers_one_request() -> None:
    count = 0

    def answer(request: Frame) -> list[bytes]:
        nonlocal count
        count += 1
        return [reply(request, {**REAL, "time": count})] * 2

    async with scripted(answer) as (client, _):

        async def thrice(session: Session) -> list[int]:
            return [(await session.async_real_data()).time for _ in range(3)]

        assert await client.async_in_session(thrice) == [1, 2, 3]


@pytest.mark.parametrize("size", [1, 2, 3, 9, 10, 11, 16, 100])
async def test_reply_may_come_in_pieces_of_any_size(size: int) -> None:
    def answer(request: Frame) -> list[bytes]:
        octets = b"".join([*others(request), reply(request)])
        return [octets[at : at + size] for at in range(0, len(octets), size)]

    async with scripted(answer) as (client, _):
        assert (await client.async_in_session(values)).time == REAL["time"]


async def test_noise_before_a_reply_is_skipped() -> None:
    async with scripted(lambda request: [bytes(64), b"H", reply(request)]) as (
        client,
        _,
    ):
        assert (await client.async_in_session(values)).time == REAL["time"]


@pytest.mark.parametrize(
    "octets",
    [
        pytest.param(bytes(MAX_NOISE + 1), id="zeros"),
        pytest.param(b"GET / HTTP/1.1\r\n" * 100, id="web"),
        pytest.param(b"HM\xa2\x11\0\0\0\0\0\x09", id="short"),
    ],
)
async def test_garbage_ends_the_session(octets: bytes) -> None:
    async with scripted(lambda request: [octets]) as (client, script):
        with pytest.raises(FrameError):
            await client.async_in_session(values)
        assert script.opened == 1


async def test_reply_that_is_no_message_ends_the_session() -> None:
    def answer(request: Frame) -> list[bytes]:
        return [encode(Frame(reply_to(A311), request.sequence, b"\xff\xff"))]

    async with scripted(answer) as (client, _):
        with pytest.raises(MessageError):
            await client.async_in_session(values)


async def test_closed_connection_says_so() -> None:
    async with scripted(lambda request: [None]) as (client, script):
        with pytest.raises(EvictedError):
            await client.async_in_session(values)
        assert script.opened == 1


async def test_half_a_reply_is_none() -> None:
    async with scripted(lambda request: [reply(request)[:-1], None]) as (client, _):
        with pytest.raises(EvictedError):
            await client.async_in_session(values)


# -- how long is waited ---------------------------------------------------------------


async def test_dtu_that_does_not_answer_is_given_up() -> None:
    async with scripted(lambda request: []) as (client, script):
        with soon_tired(0.05), pytest.raises(SilentError, match="RealDataRequest"):
            await client.async_in_session(values)
        assert script.opened == 1


async def test_dtu_that_says_something_else_all_the_time_is_given_up() -> None:
    class Endless:
        def __init__(self, request: Frame) -> None:
            self.request = request

        def __iter__(self) -> Iterator[bytes]:
            while True:
                yield reply(self.request, later=-1)

    async with scripted(Endless) as (client, _):
        with soon_tired(0.1), pytest.raises(SilentError):
            await client.async_in_session(values)


async def test_session_has_an_end() -> None:
    async with scripted(lambda request: []) as (client, script):
        with (
            patch.object(client_module, "SESSION_TIMEOUT", 0.05),
            pytest.raises(SilentError, match="was not done within"),
        ):
            await client.async_in_session(values)
        assert script.opened == 1


async def test_connection_that_is_not_taken_is_given_up() -> None:
    async def never(*args: object) -> None:
        await asyncio.Event().wait()

    client = DtuClient("192.0.2.1", 1, lambda: NOON.astimezone())
    with (
        patch.object(asyncio, "open_connection", never),
        soon_tired(0.01),
        pytest.raises(UnreachableError, match=r"192\.0\.2\.1:1 did not take"),
    ):
        await client.async_in_session(values)


async def test_refused_connection_says_so() -> None:
    async with scripted(lambda request: []) as (client, script):
        script.is_closed.set()
        port, client.port = client.port, 1
        with pytest.raises(UnreachableError, match=":1: "):
            await client.async_in_session(values)
        client.port = port


# -- one at a time, and never left open -----------------------------------------------


async def test_sessions_go_one_after_the_other() -> None:
    async with make_rig() as rig:
        at_once = most = 0

        async def work(session: Session) -> None:
            nonlocal at_once, most
            at_once += 1
            most = max(most, at_once)
            await session.async_real_data()
            at_once -= 1

        await asyncio.gather(*(rig.client.async_in_session(work) for _ in range(5)))
        assert most == 1
        assert rig.sim.counters.evictions == 0


async def test_cancelled_session_closes_its_connection_and_lets_others_in() -> None:
    silent = True

    def answer(request: Frame) -> list[bytes]:
        return [] if silent else [reply(request)]

    async with scripted(answer) as (client, script):
        task = asyncio.create_task(client.async_in_session(values))
        while not any(request.command == A311 for request in script.requests):
            await asyncio.sleep(0.001)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await asyncio.wait_for(script.is_closed.wait(), 5)
        silent = False
        assert (await client.async_in_session(values)).time == REAL["time"]


async def test_error_of_the_work_closes_the_connection() -> None:
    async def fail(session: Session) -> None:
        raise ValueError("a bug")

    async with scripted(lambda request: []) as (client, script):
        with pytest.raises(ValueError, match="a bug"):
            await client.async_in_session(fail)
        await asyncio.wait_for(script.is_closed.wait(), 5)


# -- who answers ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("command", "ask"),
    [
        (A301, Session.async_app_info),
        (A311, Session.async_real_data),
        (A309, Session.async_config),
    ],
)
async def test_another_dtu_is_told_apart(
    command: int, ask: Callable[[Session], Awaitable[object]]
) -> None:
    async with make_rig() as rig:
        before = len(rig.sim.requests)
        with (
            answers(command, lambda _, right: {**right, "dtu_serial": b"414393100099"}),
            pytest.raises(WrongDtuError) as caught,
        ):
            await rig.client.async_in_session(ask)
        assert (caught.value.expected, caught.value.found) == (SERIAL, "414393100099")
        # Not even asked again.
        assert rig.sim.asked()[before:].count(command) == 1


@pytest.mark.parametrize(
    "written", [b"414393100001J", b"414393100001\0\0", b" 414393100001 ", b""]
)
async def test_serial_number_may_be_written_otherwise_or_left_out(
    written: bytes,
) -> None:
    async with make_rig() as rig:
        with answers(A311, lambda _, right: {**right, "dtu_serial": written}):
            await rig.client.async_in_session(values)


# -- what requests carry --------------------------------------------------------------


async def test_requests_carry_the_time() -> None:
    async with make_rig() as rig:
        await rig.client.async_in_session(Session.async_app_info)
        await rig.client.async_in_session(values)
        await rig.client.async_in_session(Session.async_config)
        now = rig.sim.clock.now()
        unix = int(now.astimezone().timestamp())
        offset = now.astimezone().utcoffset()
        assert offset is not None
        for request in rig.sim.requests:
            assert request.fields["time"] == unix
            assert request.fields.get("utc_offset", 0) == int(offset.total_seconds())
        for request in rig.sim.requests[:2]:
            assert request.fields["local_time_text"] == b"2026-06-21 13:00:00"


async def test_numbers_begin_somewhere_and_start_again() -> None:
    with patch("random.randrange", return_value=59_997):
        async with make_rig() as rig:
            for _ in range(4):
                await rig.client.async_in_session(values)
            numbers = [request.sequence for request in rig.sim.requests]
    assert numbers == [59_999, 0, 1, 2]
    starts = {
        DtuClient("", 0, lambda: NOON.astimezone()).next_sequence() for _ in range(50)
    }
    assert len(starts) > 40
    assert all(0 <= start < MAX_SEQUENCE for start in starts)


# -- pages ----------------------------------------------------------------------------


async def test_all_pages_are_asked_for() -> None:
    async with make_rig("stick-20") as rig:
        data = await rig.client.async_in_session(values)
        pages = [request.fields.get("page_index", 0) for request in rig.sim.requests]
        assert pages == list(range(len(pages)))
        assert len(pages) > 1
        assert {inverter.serial for inverter in data.inverters} == {*rig.sim.inverters}
        assert len({(panel.serial, panel.port) for panel in data.panels}) == 45
        assert len(data.panels) == 45
        assert len(data.meters) == 1
        assert data.dtu_power == sum(found.active_power for found in data.inverters)
        info = await rig.client.async_in_session(Session.async_app_info)
        assert {found.serial for found in info.inverters} == {*rig.sim.inverters}


async def test_page_that_is_lost_costs_all_of_them() -> None:
    async with make_rig(STICK) as rig:
        rig.sim.set_faults("lost-page=2")
        with pytest.raises(SilentError):
            await rig.client.async_in_session(values)


@pytest.mark.parametrize("fault", ["evict", "disconnect", "crc"])
async def test_trouble_on_the_last_page_costs_all_of_them(fault: str) -> None:
    async with make_rig(STICK) as rig:
        rig.sim.set_faults(f"{fault},command=A311,every=3")
        with pytest.raises(DtuError):
            await rig.client.async_in_session(values)


async def test_pages_of_different_times_are_asked_for_again() -> None:
    async with make_rig(STICK) as rig:
        rig.sim.set_faults("page-time-jump=30,times=3")
        data = await rig.client.async_in_session(values)
        assert len(data.inverters) == 3
        assert len(rig.sim.asked(A311)) == 6


@pytest.mark.parametrize("encrypt", [False, True])
async def test_pages_that_are_never_of_one_time_are_given_up(encrypt: bool) -> None:
    """They are whole and were decrypted: another key is not worth asking for."""
    async with make_rig(STICK, encrypt=encrypt) as rig:
        rig.sim.set_faults("page-time-jump=30")
        with pytest.raises(MessageError, match="different times"):
            await rig.client.async_in_session(values)
        assert len(rig.sim.asked(A311)) == 6


@pytest.mark.parametrize(
    "wrong", [{"page_count": MAX_PAGES + 1}, {"page_index": 1}, {"page_index": -1}]
)
async def test_pages_that_cannot_be_are_refused(wrong: Fields) -> None:
    async with make_rig() as rig:
        with (
            answers(A311, lambda _, right: {**right, **wrong}),
            pytest.raises(MessageError),
        ):
            await rig.client.async_in_session(values)
        assert len(rig.sim.asked(A311)) == 1


async def test_answer_of_too_many_bytes_is_refused() -> None:
    def swell(request: Fields, right: Fields) -> Fields:
        panels: list[Fields] = [{"serial": n, "port": 1} for n in range(1, 4000)]
        page = request.get("page_index", 0)
        return {
            **right,
            "page_count": MAX_PAGES,
            "page_index": page,
            "panels": panels,
        }

    async with make_rig() as rig:
        with answers(A311, swell), pytest.raises(MessageError, match="bytes"):
            await rig.client.async_in_session(values)
        assert len(rig.sim.asked(A311)) < MAX_PAGES


# -- keys -----------------------------------------------------------------------------


async def test_key_is_learnt_from_what_the_dtu_says_of_itself() -> None:
    async with make_rig(encrypt=True) as rig:
        assert rig.client.is_encrypted
        assert (await rig.client.async_in_session(values)).inverters
        assert rig.sim.asked() == [A311]
        assert rig.sim.counters.bad_frames == 0


async def test_key_is_asked_for_anew_after_a_restart() -> None:
    async with make_rig(encrypt=True) as rig:
        await rig.client.async_in_session(values)
        rig.sim.restart()
        assert (await rig.client.async_in_session(values)).inverters
        assert rig.sim.asked() == [A311, A301, A311]
        assert (await rig.client.async_in_session(values)).inverters
        assert rig.sim.asked()[3:] == [A311]


@pytest.mark.parametrize("fault", ["silent", "zero-bytes", "evict", "garbage=2000"])
async def test_key_is_asked_for_anew_only_once_in_a_session(fault: str) -> None:
    async with make_rig(encrypt=True) as rig:
        rig.sim.set_faults(f"{fault},command=A311")
        connections = rig.sim.counters.connections
        with pytest.raises(DtuError):
            await rig.client.async_in_session(values)
        assert rig.sim.asked() == [A311, A301, A311]
        assert rig.sim.counters.connections == connections + 2


@pytest.mark.parametrize("fault", ["silent", "zero-bytes", "evict", "garbage=2000"])
async def test_work_that_must_not_be_done_twice_is_not(fault: str) -> None:
    async with make_rig(encrypt=True) as rig:
        rig.sim.set_faults(f"{fault},command=A311")
        connections = rig.sim.counters.connections
        with pytest.raises(DtuError):
            await rig.client.async_in_session(values, again=False)
        assert rig.sim.asked() == [A311]
        assert rig.sim.counters.connections == connections + 1


@pytest.mark.parametrize("fault", ["silent", "evict", "garbage=2000"])
async def test_dtu_without_a_key_is_not_asked_twice(fault: str) -> None:
    async with make_rig() as rig:
        rig.sim.set_faults(f"{fault},command=A311")
        with pytest.raises(DtuError):
            await rig.client.async_in_session(values)
        assert rig.sim.asked() == [A311]


@pytest.mark.parametrize("fault", ["evict", "silent", "zero-bytes"])
async def test_key_is_asked_for_until_it_is_had(fault: str) -> None:
    """The DTU is busy twice, as when the app connects; it never lost its key."""
    async with make_rig(encrypt=True) as rig:
        with soon_tired():
            rig.sim.set_faults(f"{fault},times=2")
            with pytest.raises(DtuError):
                await rig.client.async_in_session(values)
            assert (await rig.client.async_in_session(values)).inverters
        assert rig.client.is_encrypted


async def test_key_is_asked_for_anew_when_the_dtu_was_away_meanwhile() -> None:
    async with make_rig(encrypt=True) as rig:
        await rig.client.async_in_session(values)
        rig.sim.set_faults("evict,times=1")
        port = rig.client.port

        async def leave(session: Session) -> RealData:
            rig.client.port = 1  # it does not listen while it restarts
            return await session.async_real_data()

        with pytest.raises(UnreachableError):
            await rig.client.async_in_session(leave)
        rig.client.port = port
        rig.sim.restart()
        assert (await rig.client.async_in_session(values)).inverters


async def test_dtu_that_begins_to_encrypt_is_understood_again() -> None:
    """Firmware updates do that."""
    async with make_rig() as rig:
        await rig.client.async_in_session(values)
        rig.sim.encrypt = True
        rig.sim.restart()
        # It answers nothing that is in plain text.
        with soon_tired(), pytest.raises(DtuError):
            await rig.client.async_in_session(values)
        assert (await rig.client.async_in_session(values)).inverters
        assert rig.client.is_encrypted


async def test_dtu_that_no_longer_encrypts_is_understood_again() -> None:
    async with make_rig(encrypt=True) as rig:
        rig.sim.encrypt, rig.sim.cipher = False, None
        rig.sim.restart()
        with soon_tired():
            assert (await rig.client.async_in_session(values)).inverters
        assert not rig.client.is_encrypted


@pytest.mark.parametrize("length", [0, 1, 15, 17])
async def test_seed_of_the_wrong_length_is_an_error_of_the_dtu(length: int) -> None:
    def spoil(request: Fields, right: Fields) -> Fields:
        dtu = right["dtu"]
        assert isinstance(dtu, dict)
        return {**right, "dtu": {**dtu, "encryption_seed": bytes(length)}}

    async with make_rig(encrypt=True) as rig:
        with answers(A301, spoil):
            if length:
                with pytest.raises(DtuError):
                    await rig.client.async_in_session(Session.async_app_info)
            else:
                await rig.client.async_in_session(Session.async_app_info)
                assert not rig.client.is_encrypted


# -- commands -------------------------------------------------------------------------

INVERTER: Final = 0x141293100001
FOUR: Final = (
    Action.DTU_RESTART,
    Action.INVERTER_RESTART,
    Action.INVERTER_START,
    Action.INVERTER_SHUTDOWN,
)


def giving(
    action: Action, data: str = "", serials: tuple[int, ...] = (INVERTER,)
) -> Callable[[Session], Awaitable[None]]:
    """Return work that gives a command."""

    async def give(session: Session) -> None:
        await session.async_command(action, serials, data)

    return give


@pytest.mark.parametrize("encrypt", [False, True])
async def test_command_is_followed_until_it_is_carried_out(encrypt: bool) -> None:
    async with make_rig(encrypt=encrypt, command_time=4) as rig:
        rig.sim.status_takes = 1
        await rig.client.async_in_session(
            giving(Action.STORED_LIMIT, "A:500,B:0,C:0\r"), again=False
        )
        assert rig.sim.asked() == [A305, *[A306] * 4]
        (command,) = rig.sim.commands
        assert command.result == "success"
        assert command.text == "A:500,B:0,C:0\r"
        assert command.serials == (INVERTER,)
        for request in rig.sim.requests[1:]:
            assert request.fields["transaction_id"] == command.transaction
            assert request.fields["action"] == command.action


async def test_two_commands_of_one_second_are_told_apart() -> None:
    async with make_rig() as rig:
        for _ in range(3):
            await rig.client.async_in_session(giving(Action.INVERTER_START))
        numbers = [command.transaction for command in rig.sim.commands]
        assert numbers == sorted({*numbers})
        unix = int(rig.sim.clock.now().timestamp())
        assert all(unix <= number < unix + 10 for number in numbers)


async def test_command_that_takes_too_long_is_given_up_and_not_said_to_have_failed() -> (
    None
):
    async with make_rig(command_time=60) as rig:
        with (
            patch.object(client_module, "COMMAND_TIMEOUT", 0.05),
            pytest.raises(SilentError, match="not carried out within"),
        ):
            await rig.client.async_in_session(giving(Action.INVERTER_SHUTDOWN))
        assert len(rig.sim.commands) == 1


async def test_command_that_fails_tells_the_code() -> None:
    async with make_rig() as rig:
        rig.sim.set_faults("failed-command=17")
        with pytest.raises(RefusedCommandError, match="error 17"):
            await rig.client.async_in_session(giving(Action.INVERTER_SHUTDOWN))
        assert len(rig.sim.commands) == 1


async def test_failure_of_another_inverter_is_not_ours() -> None:
    def fail(request: Fields, right: Fields) -> Fields:
        return {**right, "inverter_failed": [INVERTER + 1]}

    async with make_rig() as rig:
        with answers(A306, fail):
            await rig.client.async_in_session(giving(Action.INVERTER_SHUTDOWN))


async def test_success_of_another_inverter_is_not_ours() -> None:
    def swap(request: Fields, right: Fields) -> Fields:
        return {**right, "inverter_success": [INVERTER + 1]}

    async with make_rig() as rig:
        with (
            answers(A306, swap),
            patch.object(client_module, "COMMAND_TIMEOUT", 0.05),
            pytest.raises(SilentError),
        ):
            await rig.client.async_in_session(giving(Action.INVERTER_SHUTDOWN))


@pytest.mark.parametrize("action", FOUR)
async def test_command_may_be_given_in_the_way_of_the_cloud(action: Action) -> None:
    async with make_rig() as rig:
        rig.sim.set_faults("refuses-a305=2")
        await rig.client.async_in_session(giving(action))
        assert [command.command for command in rig.sim.commands] == [A305, BY_CLOUD]
        first, second = rig.sim.commands
        assert first.result == "refused"
        assert second.result == "success"
        assert first.transaction == second.transaction
        assert (first.action, first.serials) == (second.action, second.serials)


@pytest.mark.parametrize("action", [*(set(Action) - {*FOUR})])
async def test_nothing_else_is_given_in_the_way_of_the_cloud(action: Action) -> None:
    async with make_rig() as rig:
        rig.sim.set_faults("refuses-a305=2")
        with pytest.raises(RefusedCommandError, match="error 2"):
            await rig.client.async_in_session(giving(action, "A:500,B:0,C:0\r"))
        assert [command.command for command in rig.sim.commands] == [A305]


@pytest.mark.parametrize("fault", ["silent", "evict", "crc", "zero-bytes"])
@pytest.mark.parametrize("action", Action)
async def test_command_without_an_answer_is_never_given_again(
    action: Action, fault: str
) -> None:
    async with make_rig(encrypt=True) as rig:
        rig.sim.set_faults(f"{fault},command=A305")
        with pytest.raises(DtuError) as caught:
            await rig.client.async_in_session(giving(action), again=False)
        assert not isinstance(caught.value, RefusedCommandError)
        assert len(rig.sim.commands) == 1


async def test_both_ways_may_be_refused() -> None:
    async with make_rig() as rig:
        rig.sim.set_faults("refuses-a305=2")
        with (
            answers(BY_CLOUD, lambda _, right: {**right, "error_code": 9}),
            pytest.raises(RefusedCommandError, match="error 9"),
        ):
            await rig.client.async_in_session(giving(Action.INVERTER_START))


@pytest.mark.parametrize(
    "other",
    [
        {"transaction_id": 1, "inverter_success": [INVERTER]},
        {"action": 7, "inverter_success": [INVERTER]},
        {"transaction_id": 1, "inverter_failed": [INVERTER]},
        {"action": 7, "inverter_failed": [INVERTER]},
        {},
    ],
)
async def test_what_became_of_another_command_does_not_count(other: Fields) -> None:
    asked = 0

    def confuse(request: Fields, right: Fields) -> Fields:
        nonlocal asked
        asked += 1
        empty: Fields = {**right, "inverter_success": [], "inverter_failed": []}
        return {**empty, **other} if asked < 3 else right

    async with make_rig() as rig:
        with answers(A306, confuse):
            await rig.client.async_in_session(giving(Action.INVERTER_RESTART))
        assert asked == 3


async def test_restart_of_the_dtu_is_not_followed() -> None:
    """It is not there any more to be asked."""
    async with make_rig() as rig:
        await rig.client.async_in_session(giving(Action.DTU_RESTART, serials=()))
        assert rig.sim.asked() == [A305]


async def test_status_that_is_lost_leaves_it_open_what_became_of_a_command() -> None:
    async with make_rig() as rig:
        rig.sim.set_faults("silent,command=A306")
        with pytest.raises(SilentError):
            await rig.client.async_in_session(
                giving(Action.INVERTER_START), again=False
            )


# -- secrets --------------------------------------------------------------------------


async def test_nothing_secret_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "custom_components")
    async with make_rig(STICK, encrypt=True) as rig:
        seeds = [rig.sim.encryption_seed]
        rig.sim.set_faults("stale", "merge", "wrong-sequence,command=A314,times=1")
        for ask in (
            Session.async_app_info,
            Session.async_real_data,
            Session.async_config,
            Session.async_network_info,
            Session.async_alarms,
        ):
            await rig.client.async_in_session(ask)
        rig.sim.restart()
        seeds.append(rig.sim.encryption_seed)
        await rig.client.async_in_session(values)
        rig.sim.set_faults("silent")
        with pytest.raises(DtuError) as caught:
            await rig.client.async_in_session(Session.async_config)
    text = "\n".join(
        record.getMessage()
        for record in caplog.records
        if record.name.startswith("custom_components")
    )
    assert "dropped" in text
    said = f"{text} {caught.value!r} {rig.client!r} {rig.client.__dict__.keys()}"
    for secret in (*rig.sim.secrets, rig.sim.serial):
        assert secret not in said
    for serial in rig.sim.inverters:
        assert f"{serial:012X}" not in said
        assert str(serial) not in said
    for seed in seeds:
        assert seed.hex() not in said
        assert repr(seed) not in said
