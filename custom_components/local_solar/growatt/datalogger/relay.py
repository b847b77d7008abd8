"""The connection to the maker's server on behalf of one logger.

What the logger says is passed on byte for byte. What the server says passes by the owner's
leave. While the server cannot be reached, or is silent, we answer in its place, until
the logger connects anew: both must never answer the same.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum, auto
import logging
import time
from typing import Final, override

from .packets import Packet, Type
from .policy import Permission, Policy, Verdict
from .records import COMMANDS
from .session import Session
from .stream import Noise, Stream

_LOGGER = logging.getLogger(__name__)

CONNECT_TIMEOUT: Final = 10.0

PATIENCE: Final = 60.0
"""Seconds after which a server is given up that does not answer what it was told."""

MAX_HELD: Final = 262_144
"""Bytes that wait for the server; more are not held."""

MAX_UNANSWERED: Final = 256
"""Reports of which it is remembered that the server has not acknowledged them."""


_ACKNOWLEDGED: Final = frozenset(
    {
        Type.PING,
        Type.ANNOUNCE,
        Type.LIVE,
        Type.BUFFERED,
        Type.METER,
        Type.METER_LOG,
    }
)
"""What Growatt's server is known to answer. That it is silent about others says nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cloud:
    """Where the maker's server is, and what it may tell loggers."""

    host: str
    port: int
    policy: Policy


class State(Enum):
    """How far a relay is."""

    CONNECTING = auto()
    UP = auto()
    DOWN = auto()
    """We answer in its place."""


class Relay(asyncio.Protocol):
    """One logger's line to the maker's server."""

    __slots__ = (
        "_address",
        "_cloud",
        "_finished_at",
        "_held",
        "_hold_logger",
        "_holds_server",
        "_judged",
        "_outgoing",
        "_session",
        "_stream",
        "_task",
        "_transport",
        "_unanswered",
        "_write",
        "down_since",
        "state",
    )

    def __init__(
        self,
        cloud: Cloud,
        session: Session,
        write: Callable[[bytes], None],
        hold_logger: Callable[[bool], None],
        judged: Callable[[Verdict], None],
        outgoing: dict[object, Relay],
    ) -> None:
        """Relay for a session.

        Args:
            cloud: where to.
            session: the logger's.
            write: sends bytes to the logger.
            hold_logger: stops reading from the logger, or goes on with it.
            judged: is told what the server wanted that needs the owner's leave.
            outgoing: all that have a connection, by our end of it.

        """
        self.state = State.CONNECTING
        self.down_since = 0.0
        """When the server was last seen to be away, in monotonic seconds."""
        self._cloud = cloud
        self._session = session
        self._write = write
        self._hold_logger = hold_logger
        self._judged = judged
        self._outgoing = outgoing
        self._address: object = None
        """Our end of the connection."""
        self._finished_at: float | None = None
        self._holds_server = False
        self._stream = Stream()
        self._held = bytearray()
        self._transport: asyncio.Transport | None = None
        self._unanswered: dict[tuple[int, int, int], tuple[Packet, float]] = {}
        self._task = asyncio.get_running_loop().create_task(self._connect())

    async def _connect(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT):
                await loop.create_connection(
                    lambda: self, self._cloud.host, self._cloud.port
                )
        except (OSError, UnicodeError) as err:
            # A name that cannot be one is an error of encodings.
            self._fail(f"cannot be reached: {err or type(err).__name__}")

    # -- from the logger ----------------------------------------------------------

    def forward(self, items: Sequence[Packet | Noise]) -> None:
        """Pass on what the logger said, unless the server is away.

        In one piece: writing costs more than anything else here.
        """
        if self.state is State.DOWN:
            return
        raw = b"".join([item.raw for item in items])
        if self._transport is not None:
            if not self._transport.is_closing():
                self._transport.write(raw)
        elif len(self._held) + len(raw) <= MAX_HELD:
            self._held += raw
        else:
            self._fail("does not connect")
            return
        self._note(items)

    def finish(self, rest: bytes) -> None:
        """Pass on the last that the logger said, and close."""
        self._task.cancel()
        if self._finished_at is not None:
            return
        self._finished_at = time.monotonic()
        if self._transport is not None:
            if rest and self.state is State.UP:
                self._transport.write(rest)
            self._transport.close()
        self.state = State.DOWN

    def abort(self) -> None:
        """Close the connection at once, whatever is still to be passed on."""
        if self._transport is not None:
            self._transport.abort()

    def _note(self, items: Sequence[Packet | Noise]) -> None:
        """Remember what the server has to acknowledge."""
        session = self._session
        if session.is_encrypted:
            return
        now = time.monotonic()
        for item in items:
            if len(self._unanswered) >= MAX_UNANSWERED:
                return
            if (
                isinstance(item, Packet)
                and item.type in _ACKNOWLEDGED
                and (item.is_intact or session.takes_damaged)
            ):
                key = (item.type, item.unit, item.transaction)
                self._unanswered.setdefault(key, (item, now))

    # -- from the server ----------------------------------------------------------

    @override
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        if self.state is State.DOWN:
            transport.abort()
            return
        self._address = transport.get_extra_info("sockname")
        self._outgoing[self._address] = self
        self._transport = transport
        self.state = State.UP
        self.hold(held=self._holds_server)
        transport.write(bytes(self._held))
        self._held.clear()

    @override
    def data_received(self, data: bytes) -> None:
        if self.state is not State.UP:
            return
        if self._session.is_encrypted:
            begun, self._stream = self._stream.unfinished, Stream()
            self._write(begun + data)
            return
        passing = b"".join(
            [item.raw for item in self._stream.feed(data) if self._passes(item)]
        )
        if passing:
            self._write(passing)
        if self._stream.given_up:
            self._fail("sends what nobody can read")

    def _passes(self, item: Packet | Noise) -> bool:
        """Take note of what the server says; return whether it passes to the logger."""
        if isinstance(item, Noise):
            _LOGGER.debug("The server sent %d bytes of noise", len(item.raw))
            return False
        if item.protocol is not self._session.protocol:
            # What it means to the logger is another thing than what it means to us.
            _LOGGER.debug("The server spoke another protocol: %s", item.summary)
            return False
        verdict = self._cloud.policy.judge(item)
        if verdict.needs is not Permission.NONE:
            self._judged(verdict)
        if not verdict.passes:
            return False
        if item.type in COMMANDS:
            self._session.commands.server_sent(item)
        else:
            self._unanswered.pop((item.type, item.unit, item.transaction), None)
        return True

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        self._outgoing.pop(self._address, None)
        self._fail(f"has hung up: {exc}" if exc else "has hung up")

    @override
    def pause_writing(self) -> None:
        self._hold_logger(True)

    @override
    def resume_writing(self) -> None:
        self._hold_logger(False)

    def hold(self, *, held: bool) -> None:
        """Stop reading from the server while the logger does not read, or go on."""
        self._holds_server = held
        if self._transport is None or self._transport.is_closing():
            return
        if held:
            self._transport.pause_reading()
        else:
            self._transport.resume_reading()

    # -- in its place -------------------------------------------------------------

    def check(self, now: float) -> None:
        """Take over from a server that is silent, or give up one that does not read."""
        if self._finished_at is not None and now - self._finished_at > PATIENCE:
            self.abort()
        if self.state is State.DOWN or self._session.is_encrypted:
            return
        if not self._unanswered:
            return
        _, oldest = next(iter(self._unanswered.values()))
        if now - oldest > PATIENCE:
            self._fail(f"has not answered for {PATIENCE:g} s")

    def _fail(self, why: str) -> None:
        """Answer the logger from now on, what the server left open included."""
        if self.state is State.DOWN:
            return
        self.state, self.down_since = State.DOWN, time.monotonic()
        _LOGGER.info(
            "Growatt's server %s:%d %s. Logger %s is answered here until it connects anew",
            self._cloud.host,
            self._cloud.port,
            why,
            self._session.logger,
        )
        self.abort()
        self._held.clear()
        self._hold_logger(False)
        unanswered, self._unanswered = self._unanswered, {}
        self._session.take_over(packet for packet, _ in unanswered.values())
