"""Listeners that trust nobody, and their connections: what any such listener here needs.

Anybody in the network may connect, and send what and as fast as he likes, or read nothing of
what he is answered. None of that may take much memory, nor hold up the event loop or other
connections. So little is read at a time, who sends more than his share is read from later,
who does not read is not listened to, and all are looked after from time to time.

What is said over the connections is not known here: that is for those who derive from these.
"""

import asyncio
from collections.abc import Callable
import os
from time import monotonic
from typing import Final, override

TICK: Final = 10.0
"""Seconds between two looks at who is of no use any more."""

UNREAD: Final = 60.0
"""Seconds after which somebody is to be shut out who does not read our answers."""

WRITE_BUFFER: Final = 16_384
"""Bytes of answers that wait for somebody before he is not listened to any more."""


def why_not(err: OSError) -> str:
    """Return why something cannot be opened, without the address that errors repeat."""
    if err.errno is None:
        # What asyncio says of an address of another computer has no number.
        is_foreign = "could not bind" in str(err)
        return "this computer has no such address" if is_foreign else str(err)
    return os.strerror(err.errno) if err.errno > 0 else str(err.strerror)


class GuardedConnection(asyncio.BufferedProtocol):
    """One connection.

    If ``accepts`` lets it stay, ``began`` is called, and ``ended`` later, whether the other
    end goes or ``close`` is called. What comes meanwhile goes to ``take_in``.
    """

    __slots__ = (
        "_allowance",
        "_buffer",
        "_burst",
        "_is_slow",
        "_per_second",
        "_resume",
        "_transport",
        "_unread_since",
        "heard",
    )

    def __init__(self, buffer: memoryview, *, per_second: float, burst: int) -> None:
        """Be ready to begin.

        Args:
            buffer: what is read into, of the listener.
            per_second: packets, or requests, that are taken in in the long run. More are
                read later.
            burst: how many may come at once.

        """
        self.heard = monotonic()
        """When something came last, or it was made."""
        self._buffer = buffer
        self._per_second = per_second
        self._burst = float(burst)
        self._allowance = self._burst
        """What it may send by now. Of what was read already all is taken in: it may owe."""
        self._transport: asyncio.Transport | None = None
        self._unread_since: float | None = None
        self._resume: asyncio.TimerHandle | None = None
        self._is_slow = False
        """Whether it has sent more than its share for now."""

    # -- what is special to those who derive from it ---------------------------------

    def accepts(self, transport: asyncio.Transport) -> bool:
        """Learn who it is, and return whether he may stay."""
        raise NotImplementedError

    def began(self, transport: asyncio.Transport) -> None:
        """Do what is to be done before anything comes. Is called once, if it may stay."""

    def take_in(self, data: bytes) -> int:
        """Deal with what came; return how much of one's share that was."""
        raise NotImplementedError

    def ended(self) -> None:
        """Leave nothing behind. Is called once, if it could stay."""
        raise NotImplementedError

    def check(self, now: float) -> None:
        """Close what is of no use any more. Is called at each tick."""
        raise NotImplementedError

    # -- coming and going ------------------------------------------------------------

    @override
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        if not self.accepts(transport):
            transport.abort()
            return
        self._transport = transport
        transport.set_write_buffer_limits(WRITE_BUFFER)
        self.began(transport)

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        if self._transport is None:
            return
        self._transport = None
        if self._resume is not None:
            self._resume.cancel()
        self.ended()

    @property
    def is_open(self) -> bool:
        """Whether it was accepted and has not ended yet."""
        return self._transport is not None

    def close(self) -> None:
        """End the connection at once, without waiting for asyncio to tell of it."""
        if self._transport is not None:
            self._transport.abort()
            self.connection_lost(None)

    # -- reading ---------------------------------------------------------------------

    @override
    def get_buffer(self, sizehint: int) -> memoryview:
        return self._buffer

    @override
    def buffer_updated(self, nbytes: int) -> None:
        """Take in what was read, before anybody else reads into the same buffer."""
        if self._transport is None:
            return
        now = monotonic()
        earned = (now - self.heard) * self._per_second
        self.heard = now
        taken = self.take_in(bytes(self._buffer[:nbytes]))
        self._allowance = min(self._allowance + earned, self._burst) - taken
        if self._allowance < 0:
            self._slow_down()

    def _slow_down(self) -> None:
        """Read on later: it has sent more than its share."""
        if self._resume is None and self.is_open:
            self._is_slow = True
            self._resume = asyncio.get_running_loop().call_later(
                -self._allowance / self._per_second, self._go_on
            )
            self.regulate()

    def _go_on(self) -> None:
        self._resume, self._is_slow = None, False
        self.regulate()

    @property
    def is_paused(self) -> bool:
        """Whether what comes is left with the sender for now."""
        return self._is_slow or self._unread_since is not None

    def regulate(self) -> None:
        """Read, or leave what comes with the sender, after ``is_paused`` may have changed."""
        if self._transport is None or self._transport.is_closing():
            return
        if self.is_paused:
            self._transport.pause_reading()
        else:
            self._transport.resume_reading()

    # -- writing ---------------------------------------------------------------------

    def write(self, data: bytes) -> None:
        """Send an answer, if anybody is there to get it."""
        # Of each write after a line broke asyncio complains in the log.
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(data)

    @override
    def pause_writing(self) -> None:
        """Listen no more to somebody who does not read."""
        self._unread_since = monotonic()
        self.regulate()

    @override
    def resume_writing(self) -> None:
        self._unread_since = None
        self.regulate()

    def is_deaf(self, now: float) -> bool:
        """Return whether our answers have not been read for too long."""
        return self._unread_since is not None and now - self._unread_since > UNREAD


class GuardedListener[C: GuardedConnection]:
    """Listens, and looks after connections of one kind."""

    def __init__(self, make: Callable[[], C], *, backlog: int, at_once: int) -> None:
        """Be ready to listen.

        Args:
            make: returns a new connection.
            backlog: how many may wait to be taken in by the system.
            at_once: bytes that are read of one connection before others have their turn.

        """
        self.buffer = memoryview(bytearray(at_once))
        """What all connections read into, one at a time: each copies its bytes at once."""
        self._connections: dict[C, None] = {}
        """Those that were accepted and have not ended, in the order they came. Who derives
        from this keeps it."""
        self._make = make
        self._backlog = backlog
        self._server: asyncio.Server | None = None
        self._ticker: asyncio.TimerHandle | None = None

    @property
    def port(self) -> int:
        """The port it listens on."""
        assert self._server is not None
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    async def start(self, host: str, port: int) -> None:
        """Listen. Raises ``OSError`` if that cannot be."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(
            self._make, host, port, backlog=self._backlog
        )
        self._ticker = loop.call_later(TICK, self._tick)

    async def stop(self) -> None:
        """Close everything. It may not have been started."""
        if self._ticker is not None:
            self._ticker.cancel()
        if self._server is not None:
            self._server.close()
        self.hang_up()
        if self._server is not None:
            await self._server.wait_closed()
            self._server = None

    def hang_up(self) -> None:
        """Close all connections."""
        for connection in list(self._connections):
            connection.close()

    def _tick(self) -> None:
        self.look_after(monotonic())
        self._ticker = asyncio.get_running_loop().call_later(TICK, self._tick)

    def look_after(self, now: float) -> None:
        """See who is of no use any more. Is called at each tick."""
        for connection in list(self._connections):
            connection.check(now)
