"""What every listener that trusts nobody does, whatever is said over it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final, override

from hypothesis import given, strategies as st
import pytest

from custom_components.local_solar import guarded
from custom_components.local_solar.guarded import (
    WRITE_BUFFER,
    GuardedConnection,
    GuardedListener,
)

LOOPBACK: Final = "127.0.0.1"
AT_ONCE: Final = 16
"""Bytes that the listeners of these tests read at once."""


class Time:
    """A clock that only moves when a test says so."""

    def __init__(self) -> None:
        """Begin at some time."""
        self.now = 1000.0

    def __call__(self) -> float:
        """Return what it shows."""
        return self.now


class Line(asyncio.Transport):
    """A connection that keeps what is sent, and knows whether it is read from."""

    def __init__(self) -> None:
        """Be open."""
        super().__init__()
        self.sent = b""
        self.is_open = True
        self.most_unsent: int | None = None
        self._is_read = True

    def is_read(self) -> bool:
        """Return whether somebody reads from it."""
        return self._is_read

    @override
    def write(self, data: bytes | bytearray | memoryview) -> None:
        assert self.is_open
        self.sent += data

    @override
    def set_write_buffer_limits(
        self, high: int | None = None, low: int | None = None
    ) -> None:
        self.most_unsent = high

    @override
    def pause_reading(self) -> None:
        assert self.is_open
        self._is_read = False

    @override
    def resume_reading(self) -> None:
        assert self.is_open
        self._is_read = True

    @override
    def is_closing(self) -> bool:
        return not self.is_open

    @override
    def abort(self) -> None:
        self.is_open = False


class Parrot(GuardedConnection):
    """Says what it is told; each byte is of its share."""

    def __init__(
        self, buffer: memoryview, *, per_second: float = 10.0, burst: int = 5
    ) -> None:
        """Be ready to begin."""
        super().__init__(buffer, per_second=per_second, burst=burst)
        self.is_welcome = True
        self.heeded = b""
        self.ends = 0
        self.checked: list[float] = []

    @override
    def accepts(self, transport: asyncio.Transport) -> bool:
        return self.is_welcome

    @override
    def began(self, transport: asyncio.Transport) -> None:
        self.write(b"hello ")

    @override
    def take_in(self, data: bytes) -> int:
        if data == b"bye":
            self.close()
        self.heeded += data
        self.write(data)
        return len(data)

    @override
    def ended(self) -> None:
        assert not self.is_open
        self.ends += 1

    @override
    def check(self, now: float) -> None:
        self.checked.append(now)
        if self.is_deaf(now):
            self.close()

    def hear(self, data: bytes) -> None:
        """Take in bytes as asyncio hands them over."""
        self.get_buffer(-1)[: len(data)] = memoryview(data)
        self.buffer_updated(len(data))


class Parrots(GuardedListener["Listed"]):
    """Listens, and takes everybody in."""

    def __init__(self) -> None:
        """Be ready to listen."""
        super().__init__(lambda: Listed(self), backlog=5, at_once=AT_ONCE)

    @property
    def there(self) -> dict[Listed, None]:
        """Who is there."""
        return self._connections


class Listed(Parrot):
    """A parrot of a listener."""

    def __init__(self, listener: Parrots) -> None:
        """Belong to a listener."""
        super().__init__(listener.buffer, per_second=1e6, burst=1000)
        self._listener = listener

    @override
    def accepts(self, transport: asyncio.Transport) -> bool:
        self._listener.there[self] = None
        return True

    @override
    def ended(self) -> None:
        super().ended()
        del self._listener.there[self]


@pytest.fixture(name="time")
def fixture_time(monkeypatch: pytest.MonkeyPatch) -> Time:
    """Have connections go by a clock of ours."""
    time = Time()
    monkeypatch.setattr(guarded, "monotonic", time)
    return time


def begun(**rate: Any) -> tuple[Parrot, Line]:
    """Return a connection that has begun, and its line."""
    parrot, line = Parrot(memoryview(bytearray(AT_ONCE)), **rate), Line()
    parrot.connection_made(line)
    return parrot, line


def timers_of(owner: object) -> list[asyncio.TimerHandle]:
    """Return what something still wants to do later."""
    loop = asyncio.get_running_loop()
    return [
        timer
        for timer in loop._scheduled  # type: ignore[attr-defined]  # noqa: SLF001
        if getattr(timer._callback, "__self__", None) is owner  # noqa: SLF001
        and not timer.cancelled()
    ]


# -- coming and going -------------------------------------------------------------------


async def test_who_may_stay_is_greeted_and_little_is_kept_for_it() -> None:
    parrot, line = begun()
    assert parrot.is_open
    assert line.sent == b"hello "
    assert line.most_unsent == WRITE_BUFFER


async def test_who_may_not_stay_is_hung_up_on_and_nothing_is_told_of_it() -> None:
    parrot, line = Parrot(memoryview(bytearray(AT_ONCE))), Line()
    parrot.is_welcome = False
    parrot.connection_made(line)
    assert not line.is_open
    assert not parrot.is_open
    parrot.hear(b"but")
    parrot.close()
    parrot.connection_lost(None)
    assert (line.sent, parrot.heeded, parrot.ends) == (b"", b"", 0)


@pytest.mark.parametrize("we_close", [True, False])
async def test_its_end_is_told_once_whoever_ends_it(we_close: bool) -> None:
    parrot, line = begun()
    if we_close:
        parrot.close()
        assert not line.is_open
        assert parrot.ends == 1
    # What asyncio says of it, later.
    parrot.connection_lost(None)
    parrot.close()
    assert not parrot.is_open
    assert parrot.ends == 1


async def test_what_was_closed_says_and_hears_nothing_any_more() -> None:
    parrot, line = begun(burst=2)
    parrot.close()
    sent = line.sent
    parrot.write(b"too late")
    parrot.hear(b"too much")
    parrot.pause_writing()
    parrot.resume_writing()
    parrot.regulate()
    assert (line.sent, parrot.heeded) == (sent, b"")


async def test_nothing_is_written_to_a_line_that_broke() -> None:
    parrot, line = begun()
    line.abort()
    parrot.write(b"x")
    parrot.pause_writing()
    assert parrot.is_open
    assert line.sent == b"hello "


# -- its share --------------------------------------------------------------------------


async def test_bytes_are_copied_before_others_read_into_the_same_buffer() -> None:
    buffer = memoryview(bytearray(AT_ONCE))
    one, other = Parrot(buffer, burst=100), Parrot(buffer, burst=100)
    for parrot in (one, other):
        parrot.connection_made(Line())
    one.hear(b"one")
    other.hear(b"other")
    one.hear(b"!")
    assert (one.heeded, other.heeded) == (b"one!", b"other")


async def test_who_sends_more_than_its_share_is_read_from_later(time: Time) -> None:
    parrot, line = begun(per_second=100.0, burst=5)
    parrot.hear(b"12345")
    assert line.is_read()
    parrot.hear(b"6789")
    assert not line.is_read()
    assert line.sent == b"hello 123456789", "what was read is dealt with"
    async with asyncio.timeout(5):
        while not line.is_read():
            await asyncio.sleep(0)
    assert not parrot.is_paused
    # It owes four: in 0.045 s it has paid these, and earned half of the next.
    time.now += 0.045
    parrot.hear(b"")
    assert line.is_read()
    parrot.hear(b"x")
    assert not line.is_read()
    parrot.close()


async def test_what_is_not_used_of_a_share_is_not_saved_up(time: Time) -> None:
    parrot, line = begun(per_second=100.0, burst=5)
    time.now += 3600
    parrot.hear(b"12345")
    assert line.is_read()
    parrot.hear(b"6")
    assert not line.is_read()
    parrot.close()


@given(
    steps=st.lists(
        st.tuples(st.floats(0, 2), st.integers(0, AT_ONCE)), min_size=1, max_size=30
    )
)
async def test_share_is_what_it_began_with_and_what_time_brings(
    steps: list[tuple[float, int]],
) -> None:
    """Nobody sends more than burst + rate * time, and what is read at once on top."""
    time = Time()
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(guarded, "monotonic", time)
        parrot, line = begun(per_second=10.0, burst=20)
        began = time.now
        for seconds, octets in steps:
            time.now += seconds
            if line.is_read():
                parrot.hear(b"x" * octets)
        allowed = 20 + 10 * (time.now - began)
        assert len(parrot.heeded) <= allowed + AT_ONCE + 1e-6
        parrot.close()


@pytest.mark.parametrize("last", [b"bye", b"12345678"])
async def test_a_closed_connection_wants_nothing_later(last: bytes) -> None:
    """Be it closed while it deals with what is beyond its share, or afterwards."""
    parrot, _ = begun(burst=0)
    parrot.hear(last)
    parrot.close()
    assert not timers_of(parrot)


# -- who does not read ------------------------------------------------------------------


async def test_who_does_not_read_is_not_listened_to_and_is_deaf_after_a_while(
    time: Time,
) -> None:
    parrot, line = begun()
    assert not parrot.is_deaf(time.now + 1e6)
    parrot.pause_writing()
    assert not line.is_read()
    assert not parrot.is_deaf(time.now + guarded.UNREAD)
    assert parrot.is_deaf(time.now + guarded.UNREAD + 0.1)
    parrot.resume_writing()
    assert line.is_read()
    assert not parrot.is_deaf(time.now + 1e6)


async def test_reading_goes_on_only_when_no_reason_against_it_is_left() -> None:
    parrot, line = begun(per_second=1000.0, burst=0)
    parrot.hear(b"12345")
    parrot.pause_writing()
    parrot.resume_writing()
    assert not line.is_read(), "it still owes"
    parrot.pause_writing()
    async with asyncio.timeout(5):
        while parrot._is_slow:  # noqa: SLF001
            await asyncio.sleep(0)
    assert not line.is_read(), "it still does not read"
    parrot.resume_writing()
    assert line.is_read()
    parrot.close()


# -- the listener -----------------------------------------------------------------------


@asynccontextmanager
async def listening() -> AsyncIterator[Parrots]:
    """Listen at a port of the system's choice."""
    listener = Parrots()
    await listener.start(LOOPBACK, 0)
    try:
        yield listener
    finally:
        await listener.stop()


@pytest.mark.usefixtures("socket_enabled")
async def test_listener_answers_and_hangs_up_when_it_stops() -> None:
    async with asyncio.timeout(10), listening() as listener:
        port = listener.port
        reader, writer = await asyncio.open_connection(LOOPBACK, port)
        said = b"more than is read at once, by far"
        writer.write(said)
        expected = b"hello " + said
        assert await reader.readexactly(len(expected)) == expected
        (parrot,) = listener.there
        await listener.stop()
        assert not listener.there
        assert parrot.ends == 1
        assert await reader.read() == b""
        writer.close()
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection(LOOPBACK, port)


@pytest.mark.usefixtures("socket_enabled")
async def test_who_goes_is_forgotten() -> None:
    async with asyncio.timeout(10), listening() as listener:
        _, writer = await asyncio.open_connection(LOOPBACK, listener.port)
        while not listener.there:
            await asyncio.sleep(0)
        writer.close()
        while listener.there:
            await asyncio.sleep(0)


@pytest.mark.usefixtures("socket_enabled")
async def test_connections_are_looked_after_until_it_stops(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(guarded, "TICK", 0.005)
    monkeypatch.setattr(guarded, "UNREAD", -1.0)
    async with asyncio.timeout(10), listening() as listener:
        streams = [
            await asyncio.open_connection(LOOPBACK, listener.port) for _ in range(2)
        ]
        while len(listener.there) < 2:
            await asyncio.sleep(0)
        deaf, other = listener.there
        while len(other.checked) < 3:
            await asyncio.sleep(0)
        deaf.pause_writing()
        while deaf in listener.there:
            await asyncio.sleep(0)
        assert list(listener.there) == [other]
        await listener.stop()
        assert not timers_of(listener)
        for _, writer in streams:
            writer.close()


@pytest.mark.usefixtures("socket_enabled")
async def test_listener_that_cannot_listen_says_so_and_can_be_stopped() -> None:
    async with listening() as listener:
        second = Parrots()
        with pytest.raises(OSError, match="address already in use"):
            await second.start(LOOPBACK, listener.port)
        await second.stop()
