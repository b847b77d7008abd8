"""The listeners for clients in the network: Modbus TCP, and RTU frames over TCP.

They trust nobody: connections, their rate and their buffers are capped. Who is idle may
stay, who is gone is noticed, and no connection knows of another.
"""

import asyncio
from dataclasses import dataclass
from functools import partial
import logging
import socket
from struct import Struct
from time import monotonic
from typing import Final, override

from .clients import Client, ClientKind
from .gateway import Gateway
from .rtu_session import RtuSession

_LOGGER = logging.getLogger(__name__)

TICK: Final = 10.0
"""Seconds between two looks at who is of no use any more."""

COMPLETED_WITHIN: Final = 30.0
"""Seconds in which a request that was begun must be complete."""

UNREAD: Final = 60.0
"""Seconds after which a client is shut out that does not read our answers."""

MAKES_ROOM: Final = 600.0
"""Seconds of silence after which a client gives way to a new one, if there are too many."""

WRITE_BUFFER: Final = 16_384
"""Bytes of answers that wait for a client before it is not listened to any more."""

READ_AT_ONCE: Final = 1_024
"""Bytes that are read from a client before others have their turn: 85 requests."""

MOST_WAITING: Final = 16
"""Requests of one client that are taken on before it has to wait with the next."""

PIECES_WITHIN: Final = 0.5
"""Seconds after which what was begun of an RTU request is dropped: in a network its pieces may
come further apart than on a line."""

_KEEPALIVE: Final = (
    ("TCP_KEEPIDLE", 60),
    ("TCP_KEEPINTVL", 15),
    ("TCP_KEEPCNT", 4),
)
"""Who does not answer the system's questions for two minutes is gone."""

_HEADER: Final = Struct(">HHHB")
_HEADER_BYTES: Final = _HEADER.size
_LENGTHS: Final = range(2, 255)
"""Of unit id and PDU together."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What a listener takes on."""

    connections: int = 128
    requests_per_second: float = 1000.0
    """Of one connection, in the long run; more are read later."""
    burst: int = 1000
    """Requests that one connection may send at once."""


class Server:
    """Listens for clients."""

    def __init__(
        self, gateway: Gateway, *, rtu: bool = False, limits: Limits | None = None
    ) -> None:
        """Serve clients from ``gateway``, with RTU frames in place of Modbus TCP if so wished."""
        self.gateway = gateway
        self.limits = limits or Limits()
        self.buffer = bytearray(READ_AT_ONCE)
        """What all connections read into, one at a time: each copies its bytes at once."""
        self._protocol = RtuConnection if rtu else TcpConnection
        self._connections: dict[Connection, None] = {}
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
            lambda: self._protocol(self), host, port, backlog=self.limits.connections
        )
        self._ticker = loop.call_later(TICK, self._tick)

    async def stop(self) -> None:
        """Close everything."""
        if self._ticker is not None:
            self._ticker.cancel()
        if self._server is not None:
            self._server.close()
        for connection in list(self._connections):
            connection.close()
        if self._server is not None:
            await self._server.wait_closed()
            self._server = None

    def _tick(self) -> None:
        now = monotonic()
        for connection in list(self._connections):
            connection.check(now)
        self._ticker = asyncio.get_running_loop().call_later(TICK, self._tick)

    def may_connect(self, connection: Connection, peer: str) -> bool:
        """Take a connection in, unless it is not expected or there are too many."""
        if self.gateway.policy.admits(peer) and self._has_room():
            self._connections[connection] = None
            return True
        self.gateway.statistics.refused_connections += 1
        _LOGGER.debug("A connection from %s is refused", peer)
        return False

    def _has_room(self) -> bool:
        """Return whether there is room for one more; who was silent for long gives way."""
        if len(self._connections) < self.limits.connections:
            return True
        quietest = min(self._connections, key=lambda connection: connection.heard)
        if monotonic() - quietest.heard < MAKES_ROOM:
            return False
        quietest.close()
        return True

    def gone(self, connection: Connection) -> None:
        """Forget a connection."""
        self._connections.pop(connection, None)


class Connection(asyncio.BufferedProtocol):
    """One connection of a client. Its kinds differ in how requests are framed."""

    kind: ClientKind

    def __init__(self, server: Server) -> None:
        """Belong to a server."""
        self._server = server
        self._gateway = server.gateway
        self._transport: asyncio.Transport | None = None
        self.heard = self._refilled = monotonic()
        self._allowance = float(server.limits.burst)
        self._unread_since: float | None = None
        self._resume: asyncio.TimerHandle | None = None
        self._is_slow = False
        """Whether it has sent more than its share for now."""
        self.client: Client

    @override
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        name = transport.get_extra_info("peername")
        host, port = (str(name[0]), name[1]) if name else ("", 0)
        self.client = Client(name=f"{host}:{port}", kind=self.kind, peer=host)
        if not self._server.may_connect(self, host):
            transport.abort()
            return
        self._transport = transport
        transport.set_write_buffer_limits(WRITE_BUFFER)
        _keep_alive(transport.get_extra_info("socket"))
        self._gateway.join(self.client)

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        if self._transport is None:
            return
        self._transport = None
        if self._resume is not None:
            self._resume.cancel()
        self._gateway.leave(self.client)
        self._server.gone(self)

    def close(self) -> None:
        """End the connection at once."""
        if self._transport is not None:
            self._transport.abort()
            self.connection_lost(None)

    # -- reading --------------------------------------------------------------------

    @override
    def get_buffer(self, sizehint: int) -> bytearray:
        return self._server.buffer

    @override
    def buffer_updated(self, nbytes: int) -> None:
        """Take in what was read, before anybody else reads into the same buffer."""
        self.heard = monotonic()
        before = self.client.requests
        self.take_in(bytes(memoryview(self._server.buffer)[:nbytes]))
        self._spend(self.client.requests - before)

    def take_in(self, data: bytes) -> None:
        """Find the requests in what came, and have them answered."""
        raise NotImplementedError

    @property
    def has_unfinished(self) -> bool:
        """Whether a request was begun and is not complete."""
        raise NotImplementedError

    def garbage(self, octets: bytes) -> None:
        """Take note of what is no request."""
        self._gateway.statistics.garbage += 1
        if self._gateway.recorder is not None:
            self._gateway.recorder.garbage(self.client, octets)

    def _spend(self, requests: int) -> None:
        """Read on later if it has sent more than its share."""
        limits = self._server.limits
        self._allowance = min(
            float(limits.burst),
            self._allowance
            + (self.heard - self._refilled) * limits.requests_per_second,
        )
        self._refilled = self.heard
        self._allowance -= requests
        if self._allowance < 0 and self._resume is None:
            self._is_slow = True
            self._resume = asyncio.get_running_loop().call_later(
                -self._allowance / limits.requests_per_second, self._go_on
            )
            self.regulate()

    def _go_on(self) -> None:
        self._resume, self._is_slow = None, False
        self.regulate()

    # -- writing --------------------------------------------------------------------

    def write(self, data: bytes) -> None:
        """Send an answer, if anybody is there to get it."""
        # Of each write after a line broke asyncio complains in the log.
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(data)

    @override
    def pause_writing(self) -> None:
        self._unread_since = monotonic()
        self.regulate()

    @override
    def resume_writing(self) -> None:
        self._unread_since = None
        self.regulate()

    @property
    def is_paused(self) -> bool:
        """Whether what comes is left with the sender for now."""
        return (
            self._is_slow
            or self._unread_since is not None
            or self.client.waiting >= MOST_WAITING
        )

    def regulate(self) -> None:
        """Read, or leave what comes with the sender for now."""
        if self._transport is None or self._transport.is_closing():
            return
        if self.is_paused:
            self._transport.pause_reading()
        else:
            self._transport.resume_reading()

    # -- looking after it -----------------------------------------------------------

    def check(self, now: float) -> None:
        """Close what is of no use any more."""
        why = ""
        if self._unread_since is not None and now - self._unread_since > UNREAD:
            why = "does not read"
        elif (
            self.has_unfinished
            and not self.is_paused
            and now - self.heard > COMPLETED_WITHIN
        ):
            why = "does not complete a request"
        if why:
            _LOGGER.debug("%s %s: the connection is closed", self.client.name, why)
            self.close()


class TcpConnection(Connection):
    """A connection that speaks Modbus TCP."""

    kind = ClientKind.TCP

    def __init__(self, server: Server) -> None:
        """Belong to a server."""
        super().__init__(server)
        self._rest = b""
        """What has come and is not dealt with yet: at most what is read at once and a frame."""

    @override
    @property
    def has_unfinished(self) -> bool:
        return bool(self._rest)

    @override
    def take_in(self, data: bytes) -> None:
        if self._rest:
            data = self._rest + data
        at, end = 0, len(data)
        while end - at >= _HEADER_BYTES and self._transport is not None:
            if self.client.waiting >= MOST_WAITING:
                self.regulate()
                break
            transaction, protocol, length, unit = _HEADER.unpack_from(data, at)
            if protocol or length not in _LENGTHS:
                # Nobody knows where the next request begins.
                self.garbage(data[at:])
                self.close()
                return
            begin = at + _HEADER_BYTES
            at_next = begin + length - 1
            if at_next > end:
                break
            at = at_next
            self._gateway.take(
                self.client,
                unit,
                data[begin:at],
                partial(self._answer, transaction, unit),
            )
        self._rest = data[at:]

    def _answer(self, transaction: int, unit: int, pdu: bytes | None) -> None:
        if pdu is None:
            return
        self.write(_HEADER.pack(transaction, 0, len(pdu) + 1, unit) + pdu)
        if self.client.waiting == MOST_WAITING - 1 and self._transport is not None:
            asyncio.get_running_loop().call_soon(self._go_on_with_rest)

    def _go_on_with_rest(self) -> None:
        """Deal with what came while too much was waiting, then read on."""
        self.take_in(b"")
        self.regulate()


class RtuConnection(Connection):
    """A connection that carries RTU frames, as a serial line would."""

    kind = ClientKind.RTU_TCP

    def __init__(self, server: Server) -> None:
        """Belong to a server."""
        super().__init__(server)
        self._session: RtuSession | None = None

    @override
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._session = RtuSession(
            self._gateway, self.client, self.write, silence=PIECES_WITHIN
        )

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        if self._session is not None:
            self._session.close()
        super().connection_lost(exc)

    @override
    @property
    def has_unfinished(self) -> bool:
        # What is not completed is dropped after a short silence of the line.
        return False

    @override
    def take_in(self, data: bytes) -> None:
        if self._session is not None:
            self._session.feed(data)


def _keep_alive(connection: socket.socket | None) -> None:
    """Have the system notice when the other end is gone without a word."""
    if connection is None:
        return
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, seconds in _KEEPALIVE:
        if (option := getattr(socket, name, None)) is not None:
            connection.setsockopt(socket.IPPROTO_TCP, option, seconds)
