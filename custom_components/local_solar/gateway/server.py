"""The listeners for clients in the network: Modbus TCP, and RTU frames over TCP.

They trust nobody: connections, their rate and their buffers are capped. Who is idle may
stay, who is gone is noticed, and no connection knows of another. What any such listener
guards itself with is in ``guarded``.
"""

import asyncio
from dataclasses import dataclass
from functools import partial
import logging
import socket
from struct import Struct
from time import monotonic
from typing import Final, override

from ..guarded import GuardedConnection, GuardedListener
from .clients import Client, ClientKind
from .gateway import Gateway
from .rtu_session import RtuSession

_LOGGER = logging.getLogger(__name__)

COMPLETED_WITHIN: Final = 30.0
"""Seconds in which a request that was begun must be complete."""

MAKES_ROOM: Final = 600.0
"""Seconds of silence after which a client gives way to a new one, if there are too many."""

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


class Server(GuardedListener["Connection"]):
    """Listens for clients."""

    def __init__(
        self, gateway: Gateway, *, rtu: bool = False, limits: Limits | None = None
    ) -> None:
        """Serve clients from ``gateway``, with RTU frames in place of Modbus TCP if so wished."""
        self.gateway = gateway
        self.limits = limits or Limits()
        protocol = RtuConnection if rtu else TcpConnection
        super().__init__(
            lambda: protocol(self),
            backlog=self.limits.connections,
            at_once=READ_AT_ONCE,
        )

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
        del self._connections[connection]


class Connection(GuardedConnection):
    """One connection of a client. Its kinds differ in how requests are framed."""

    __slots__ = ("_gateway", "_server", "client")

    kind: ClientKind

    def __init__(self, server: Server) -> None:
        """Belong to a server."""
        limits = server.limits
        super().__init__(
            server.buffer, per_second=limits.requests_per_second, burst=limits.burst
        )
        self._server = server
        self._gateway = server.gateway
        self.client: Client

    @override
    def accepts(self, transport: asyncio.Transport) -> bool:
        name = transport.get_extra_info("peername")
        host, port = (str(name[0]), name[1]) if name else ("", 0)
        self.client = Client(name=f"{host}:{port}", kind=self.kind, peer=host)
        return self._server.may_connect(self, host)

    @override
    def began(self, transport: asyncio.Transport) -> None:
        _keep_alive(transport.get_extra_info("socket"))
        self._gateway.join(self.client)

    @override
    def ended(self) -> None:
        self._gateway.leave(self.client)
        self._server.gone(self)

    @property
    def has_unfinished(self) -> bool:
        """Whether a request was begun and is not complete."""
        raise NotImplementedError

    def garbage(self, octets: bytes) -> None:
        """Take note of what is no request."""
        self._gateway.statistics.garbage += 1
        if self._gateway.recorder is not None:
            self._gateway.recorder.garbage(self.client, octets)

    @override
    @property
    def is_paused(self) -> bool:
        return self.client.waiting >= MOST_WAITING or super().is_paused

    @override
    def check(self, now: float) -> None:
        why = ""
        if self.is_deaf(now):
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

    __slots__ = ("_rest",)

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
    def take_in(self, data: bytes) -> int:
        if self._rest:
            data = self._rest + data
        client = self.client
        taken, at, end = 0, 0, len(data)
        while end - at >= _HEADER_BYTES and self._transport is not None:
            if client.waiting >= MOST_WAITING:
                self.regulate()
                break
            transaction, protocol, length, unit = _HEADER.unpack_from(data, at)
            if protocol or length not in _LENGTHS:
                # Nobody knows where the next request begins.
                self.garbage(data[at:])
                self.close()
                break
            begin, next_at = at + _HEADER_BYTES, at + _HEADER_BYTES + length - 1
            if next_at > end:
                break
            at = next_at
            taken += 1
            reply = partial(self._answer, transaction, unit)
            self._gateway.take(client, unit, data[begin:at], reply)
        self._rest = data[at:]
        return taken

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

    __slots__ = ("_session",)

    kind = ClientKind.RTU_TCP

    def __init__(self, server: Server) -> None:
        """Belong to a server."""
        super().__init__(server)
        self._session: RtuSession | None = None

    @override
    def began(self, transport: asyncio.Transport) -> None:
        super().began(transport)
        self._session = RtuSession(
            self._gateway, self.client, self.write, silence=PIECES_WITHIN
        )

    @override
    def ended(self) -> None:
        if self._session is not None:
            self._session.close()
        super().ended()

    @override
    @property
    def has_unfinished(self) -> bool:
        # What is not completed is dropped after a short silence of the line.
        return False

    @override
    def take_in(self, data: bytes) -> int:
        before = self.client.requests
        if self._session is not None:
            self._session.feed(data)
        return self.client.requests - before


def _keep_alive(connection: socket.socket | None) -> None:
    """Have the system notice when the other end is gone without a word."""
    if connection is None:
        return
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, seconds in _KEEPALIVE:
        if (option := getattr(socket, name, None)) is not None:
            connection.setsockopt(socket.IPPROTO_TCP, option, seconds)
