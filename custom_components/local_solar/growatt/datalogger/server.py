"""The server that dataloggers report to.

It trusts nobody: connections, their rate and their buffers are capped, who does not say
which logger it is within half a minute is shown out, and no connection knows of another.
What any such listener guards itself with is in ``guarded``.
"""

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime
import logging
import time
from typing import Final, override

from ...guarded import GuardedConnection, GuardedListener
from .packets import Packet
from .policy import Verdict
from .records import COMMANDS, RecordError
from .relay import CONNECT_TIMEOUT, Cloud, Relay, State
from .session import Listener, Session
from .stream import Noise, Stream

_LOGGER = logging.getLogger(__name__)

PORT: Final = 5279

INTRODUCED_WITHIN: Final = 30.0
"""Seconds in which a connection must say which logger it is."""

COMPLETED_WITHIN: Final = 60.0
"""Seconds in which a packet that was begun must be complete."""

IDLE: Final = 600.0
"""Seconds of silence after which a logger has gone: it pings every three minutes."""

RETRY_CLOUD: Final = 900.0
"""Seconds after which the maker's server is looked for again. If it is there, the loggers
that were answered here meanwhile are made to connect anew."""

READ_AT_ONCE: Final = 8_192
"""Bytes that are read from a logger before others have their turn. asyncio takes in 262,144
by itself: hundreds of records, which others would wait for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What a listener takes on."""

    connections: int = 1100
    strangers: int = 64
    """Connections that have not said yet which logger they are."""
    packets_per_second: float = 1000.0
    """Of one connection, in the long run; more are read later."""
    burst: int = 2000
    """Packets that one connection may send at once: records of a night, for example."""


@dataclass(slots=True)
class Statistics:
    """What a listener has seen."""

    connections: int = 0
    refused: int = 0
    """Connections that were shut: of loggers that are not expected, or too many."""
    damaged: int = 0
    """Packets with wrong checksums of those that had not said yet which logger they are."""
    loops: int = 0
    """Connections that came from ourselves: the name of the maker's server leads here."""
    refused_loggers: set[str] = field(default_factory=set)


class Server(GuardedListener["Connection"]):
    """Listens for loggers."""

    def __init__(
        self,
        listener: Listener,
        local_time: Callable[[], datetime],
        *,
        cloud: Cloud | None = None,
        allowed: frozenset[str] = frozenset(),
        takes_damaged: bool = False,
        limits: Limits | None = None,
    ) -> None:
        """Tell ``listener`` what loggers say.

        Args:
            listener: is told everything.
            local_time: the time that loggers' clocks are set to.
            cloud: where all is relayed to, ``None`` to stand alone.
            allowed: serial numbers of the loggers that are expected; none: all are.
            takes_damaged: whether packets count whose checksum is wrong.
            limits: what is taken on.

        """
        self.listener = listener
        self.local_time = local_time
        self.cloud = cloud
        self.allowed = allowed
        self.takes_damaged = takes_damaged
        self.limits = limits or Limits()
        super().__init__(
            lambda: Connection(self),
            backlog=self.limits.connections,
            at_once=READ_AT_ONCE,
        )
        self.statistics = Statistics()
        self.sessions: dict[str, Session] = {}
        self.outgoing: dict[object, Relay] = {}
        """Lines to the maker's server, by our end of each. Where its name leads here, they
        come back as connections."""
        self._by_logger: dict[str, Connection] = {}
        self._strangers: dict[Connection, None] = {}
        """Those who have not said yet who they are, in the order they came."""
        self._search: asyncio.Task[None] | None = None

    @override
    async def start(self, host: str, port: int = PORT) -> None:
        await super().start(host, port)

    @override
    async def stop(self) -> None:
        if self._search is not None:
            self._search.cancel()
        await super().stop()

    @override
    def hang_up(self) -> None:
        super().hang_up()
        # Not before: the last that loggers said is passed on when they are hung up on.
        for line in list(self.outgoing.values()):
            line.abort()

    @override
    def look_after(self, now: float) -> None:
        for line in list(self.outgoing.values()):
            line.check(now)
        super().look_after(now)
        self._look_for_cloud(now)

    # -- the maker's server, when it was lost ----------------------------------------

    def _look_for_cloud(self, now: float) -> None:
        """See whether the maker's server is back, if loggers have done without for long.

        Where its name leads here there is nothing to look for.
        """
        if self._search is not None and not self._search.done():
            return
        if self.cloud is not None and not self.statistics.loops:
            without = [
                connection
                for connection in self._connections
                if connection.is_without_cloud(now)
            ]
            if without:
                work = self._async_go_back(self.cloud, without)
                self._search = asyncio.get_running_loop().create_task(work)

    async def _async_go_back(self, cloud: Cloud, without: Iterable[Connection]) -> None:
        """Let loggers begin anew, with the maker's server, if that can be reached."""
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT):
                _, writer = await asyncio.open_connection(cloud.host, cloud.port)
        except OSError, UnicodeError:
            for connection in without:
                connection.wait_for_cloud()
            return
        writer.close()
        for connection in without:
            connection.close()

    # -- what connections ask -----------------------------------------------------

    def may_connect(self, connection: Connection) -> bool:
        """Take a connection in, unless there are too many.

        Of those who do not say who they are, the oldest gives way.
        """
        self.statistics.connections += 1
        if len(self._connections) >= self.limits.connections:
            self.statistics.refused += 1
            return False
        if len(self._strangers) >= self.limits.strangers:
            self.statistics.refused += 1
            next(iter(self._strangers)).close()
        self._connections[connection] = None
        self._strangers[connection] = None
        return True

    def may_report(self, logger: str, peer_name: object) -> bool:
        """Return whether a logger is expected, and is not ourselves."""
        if peer_name in self.outgoing:
            self.statistics.loops += 1
            return False
        if not self.allowed or logger in self.allowed:
            return True
        if len(self.statistics.refused_loggers) < self.limits.strangers and (
            logger not in self.statistics.refused_loggers
        ):
            self.statistics.refused_loggers.add(logger)
            _LOGGER.warning(
                "Logger %s is not in the list: it is not listened to", logger
            )
        self.statistics.refused += 1
        return False

    def introduced(self, connection: Connection, session: Session) -> None:
        """Take note of who a connection is; an older one of the same logger is over."""
        del self._strangers[connection]
        if not session.logger:
            return
        if (older := self._by_logger.get(session.logger)) is not None:
            older.close()
        self._by_logger[session.logger] = connection
        self.sessions[session.logger] = session
        self.listener.session_began(session)

    def gone(self, connection: Connection) -> None:
        """Forget a connection."""
        del self._connections[connection]
        session = connection.session
        if session is None:
            del self._strangers[connection]
        elif self._by_logger.get(session.logger) is connection:
            del self._by_logger[session.logger], self.sessions[session.logger]
            self.listener.session_ended(session)


class Connection(GuardedConnection):
    """One connection of a logger."""

    __slots__ = (
        "_began",
        "_is_held",
        "_packet_began",
        "_relay",
        "_server",
        "_stream",
        "peer_name",
        "session",
    )

    def __init__(self, server: Server) -> None:
        """Belong to a server."""
        limits = server.limits
        super().__init__(
            server.buffer, per_second=limits.packets_per_second, burst=limits.burst
        )
        self.session: Session | None = None
        self.peer_name: object = None
        self._server = server
        self._stream = Stream()
        self._relay: Relay | None = None
        self._began = self._packet_began = self.heard
        self._is_held = False
        """Whether the maker's server takes no more for now."""

    @override
    def accepts(self, transport: asyncio.Transport) -> bool:
        self.peer_name = transport.get_extra_info("peername")
        return self._server.may_connect(self)

    @override
    def ended(self) -> None:
        if self._relay is not None:
            self._relay.finish(self._stream.unfinished)
        if self.session is not None:
            self.session.end()
        self._server.gone(self)

    # -- reading ------------------------------------------------------------------

    @override
    def take_in(self, data: bytes) -> int:
        if not self._stream.unfinished:
            self._packet_began = self.heard
        items = self._stream.feed(data)
        if items:
            self._packet_began = self.heard
            self._take_all(items)
        if self._stream.given_up and self._relay is None:
            self.close()
        return len(items)

    def _take_all(self, items: list[Packet | Noise]) -> None:
        """Take in what came together.

        It is passed on first, and as one piece. But whose answer a packet is must be
        known before that.
        """
        passing: list[Packet | Noise] = []
        for item in items:
            if isinstance(item, Noise):
                if self._relay is not None:
                    passing.append(item)
                continue
            if self.session is None and not self._introduce(item):
                if not self.is_open:
                    return
                continue
            if item.type in COMMANDS:
                self._pass_on(passing)
                passing = []
                if self._session_takes(item) and self._relay is not None:
                    self._relay.forward((item,))
            else:
                passing.append(item)
        self._pass_on(passing)

    def _pass_on(self, items: list[Packet | Noise]) -> None:
        """Pass on what is no answer, then look at it."""
        if items and self._relay is not None:
            self._relay.forward(items)
        for item in items:
            if isinstance(item, Packet):
                self._session_takes(item)

    def _session_takes(self, packet: Packet) -> bool:
        """Take in a packet unless it is over; return whether it is to be passed on."""
        return self.session is not None and self.is_open and self.session.take(packet)

    def _introduce(self, packet: Packet) -> bool:
        """Learn from its first packet which logger it is; return whether it may go on."""
        server = self._server
        if not packet.is_intact and not server.takes_damaged:
            server.statistics.damaged += 1
            if server.statistics.damaged == 1:
                _LOGGER.warning(
                    "What comes from %s has wrong checksums. If all of it does, the option"
                    " to use damaged packets takes it",
                    self.peer,
                )
            return False
        try:
            session = Session(
                packet,
                self.peer,
                self.write,
                server.listener,
                server.local_time,
                answers_itself=server.cloud is None,
                takes_damaged=server.takes_damaged,
            )
        except RecordError:
            return False
        if not server.may_report(session.logger, self.peer_name):
            self.close()
            return False
        self.session = session
        if server.cloud is not None:
            self._relay = Relay(
                server.cloud,
                session,
                self.write,
                self._hold,
                self._judged,
                server.outgoing,
            )
        server.introduced(self, session)
        if session.is_encrypted:
            server.listener.encrypted(session)
        return True

    @property
    def peer(self) -> str:
        """The address that it comes from."""
        name = self.peer_name
        return str(name[0]) if isinstance(name, tuple) else str(name)

    def _judged(self, verdict: Verdict) -> None:
        assert self.session is not None
        self._server.listener.judged(self.session, verdict)

    def _hold(self, held: bool) -> None:
        """Wait for the maker's server, which does not take more for now."""
        self._is_held = held
        self.regulate()

    @override
    @property
    def is_paused(self) -> bool:
        return self._is_held or super().is_paused

    @override
    def regulate(self) -> None:
        if not self.is_paused:
            # What is held back in the middle of a packet is not the logger's fault.
            self._packet_began = time.monotonic()
        super().regulate()

    @override
    def pause_writing(self) -> None:
        super().pause_writing()
        if self._relay is not None:
            self._relay.hold(held=True)

    @override
    def resume_writing(self) -> None:
        super().resume_writing()
        if self._relay is not None:
            self._relay.hold(held=False)

    # -- looking after it ---------------------------------------------------------

    def is_without_cloud(self, now: float) -> bool:
        """Return whether it has been answered here for long in the cloud's place."""
        return (
            self._relay is not None
            and self._relay.state is State.DOWN
            and now - self._relay.down_since > RETRY_CLOUD
        )

    def wait_for_cloud(self) -> None:
        """Take note that the maker's server is still away."""
        if self._relay is not None:
            self._relay.down_since = time.monotonic()

    @override
    def check(self, now: float) -> None:
        why = ""
        if self.is_deaf(now):
            why = "does not read"
        elif self.session is None and now - self._began > INTRODUCED_WITHIN:
            why = "does not say who it is"
        elif (
            self._stream.unfinished
            and not self.is_paused
            and now - self._packet_began > COMPLETED_WITHIN
        ):
            why = "does not complete a packet"
        elif self._is_beyond_us:
            why = "is for the maker's server alone, which is away"
        elif now - self.heard > IDLE:
            why = "is silent"
        if why:
            _LOGGER.debug("%s %s: the connection is closed", self.peer, why)
            self.close()

    @property
    def _is_beyond_us(self) -> bool:
        """Whether nobody can answer it: we cannot read it, and the server is away."""
        return (
            self._relay is not None
            and self._relay.state is State.DOWN
            and self.session is not None
            and (self.session.is_encrypted or self._stream.given_up)
        )
