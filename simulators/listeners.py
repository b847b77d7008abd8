"""How clients reach a simulated bus: Modbus TCP, RTU over TCP, RTU on a pseudo-terminal.

pymodbus listens, frames and checks; its servers are changed where a bus with faults
needs it. Theirs keep one request per connection in mind, which breaks down as soon as
an answer is late; here every frame goes to the bus at once, and the bus sends when it
likes.
"""

import asyncio
from collections.abc import Iterator
import logging
import os
from pathlib import Path
import tty
from typing import Any, Final, Protocol, override

from pymodbus.framer import FramerRTU, FramerType
from pymodbus.server import ModbusSerialServer, ModbusTcpServer
from pymodbus.server.base import ModbusBaseServer
from pymodbus.server.requesthandler import ServerRequestHandler
from pymodbus.simulator import DataType, SimData, SimDevice

from .requests import ReadMeterRequest

_LOGGER = logging.getLogger(__name__)

_FRAME_GAP: Final = 0.2
"""Seconds of silence after which a request that was not finished never will be. Real
lines have 3.5 characters; over TCP the pieces of one request may come further apart."""


class Bus(Protocol):
    """Where requests go."""

    def receive(
        self, connection: Connection, unit: int, transaction: int, octets: bytes
    ) -> None:
        """Take in a request: unit id, transaction id (0 for RTU) and PDU."""


class Listener(ModbusBaseServer):
    """What this module adds to every server of pymodbus.

    Its connections hand their requests to the bus, and ``listen`` raises
    ``OSError`` where pymodbus would only write a log.
    """

    kind: str
    bus: Bus

    @override
    def callback_new_connection(self) -> Connection:
        return Connection(self)

    @override
    async def listen(self) -> bool:
        self.is_closing = False
        self.is_listener = True
        opened = await self.call_create()
        self.transport = opened[0] if isinstance(opened, tuple) else opened
        return True

    @property
    def connections(self) -> list[Connection]:
        """The connections that are open."""
        return [
            connection
            for connection in self.active_connections.values()
            if isinstance(connection, Connection)
        ]


def _no_registers() -> SimDevice:
    """Return a device that pymodbus wants and that is never asked."""
    return SimDevice(0, simdata=SimData(0, datatype=DataType.REGISTERS))


class TcpListener(Listener, ModbusTcpServer):
    """Modbus TCP, or RTU frames over TCP."""

    def __init__(
        self,
        bus: Bus,
        kind: str,
        framer: FramerType,
        host: str,
        port: int,
    ) -> None:
        """Prepare to listen; port 0 takes a free one."""
        super().__init__(
            _no_registers(),
            framer=framer,
            address=(host, port),
            custom_pdu=[ReadMeterRequest],
        )
        self.bus = bus
        self.kind = kind

    @property
    def port(self) -> int:
        """The port it listens on."""
        assert isinstance(self.transport, asyncio.Server)
        port: int = self.transport.sockets[0].getsockname()[1]
        return port


class PtyListener(Listener, ModbusSerialServer):
    """RTU frames on a pseudo-terminal, which has one connection from the start."""

    def __init__(self, bus: Bus, path: Path) -> None:
        """Prepare to offer a pseudo-terminal at ``path``, a symbolic link."""
        super().__init__(
            _no_registers(),
            framer=FramerType.RTU,
            port=str(path),
            custom_pdu=[ReadMeterRequest],
        )
        self.bus = bus
        self.kind = "pty"
        self.path = path
        self.call_create = self._open

    async def _open(self) -> tuple[_PtyTransport, Connection]:
        connection = self.handle_new_connection()
        assert isinstance(connection, Connection)
        transport = _PtyTransport(self.loop, connection, self.path)
        connection.connection_made(transport)
        return transport, connection


class _PtyTransport(asyncio.Transport):
    """The device's end of a pseudo-terminal. Clients open the other end by a link."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, protocol: Connection, path: Path
    ) -> None:
        """Open a pseudo-terminal and link to it. Raises ``OSError``."""
        super().__init__({"peername": str(path)})
        self._loop = loop
        self._protocol = protocol
        self._path = path
        self._closing = False
        self._open()

    def _open(self) -> None:
        # Our own hold on the clients' end keeps the terminal alive between clients.
        self._device_end, self._client_end = os.openpty()
        try:
            tty.setraw(self._client_end)
            os.set_blocking(self._device_end, False)
            self._target = os.ttyname(self._client_end)
            if self._path.is_symlink():
                self._path.unlink()
            self._path.symlink_to(self._target)
        except OSError:
            os.close(self._device_end)
            os.close(self._client_end)
            raise
        self._loop.add_reader(self._device_end, self._read)

    def _read(self) -> None:
        try:
            octets = os.read(self._device_end, 4096)
        except BlockingIOError:
            return
        self._protocol.data_received(octets)

    @override
    def write(self, data: bytes | bytearray | memoryview[Any]) -> None:
        if self._closing:
            return
        try:
            os.write(self._device_end, data)
        except BlockingIOError:
            _LOGGER.debug("nobody reads %s: an answer is lost", self._path)

    def hang_up(self) -> None:
        """Cut off whoever has it open, and offer a new pseudo-terminal."""
        self.close()
        self._closing = False
        self._open()

    @override
    def close(self) -> None:
        if self._closing:
            return
        self._closing = True
        self._loop.remove_reader(self._device_end)
        os.close(self._device_end)
        os.close(self._client_end)
        if self._path.is_symlink() and str(self._path.readlink()) == self._target:
            self._path.unlink()

    @override
    def abort(self) -> None:
        self.close()

    @override
    def is_closing(self) -> bool:
        return self._closing


class Connection(ServerRequestHandler):
    """One client: cuts what it sends into frames, and sends what the bus answers."""

    def __init__(self, listener: Listener) -> None:
        """Belong to a listener."""
        super().__init__(listener, None, None, None)  # type: ignore[no-untyped-call]
        self.listens = listener
        self.rtu = isinstance(self.framer, FramerRTU)
        self.previous: bytes | None = None
        """The answer before, for the fault ``stale``."""
        self.delivered = 0.0
        """Time of the loop when the last piece of an answer comes, if it comes in pieces."""
        self._heard = 0.0

    @property
    def client(self) -> str:
        """Address of the client."""
        peer = self.transport.get_extra_info("peername") if self.transport else None
        return f"{peer[0]}:{peer[1]}" if isinstance(peer, tuple) else str(peer)

    @override
    def data_received(self, data: bytes) -> None:
        now = self.loop.time()
        if self.rtu and self.recv_buffer and now - self._heard > _FRAME_GAP:
            self.recv_buffer = b""
        self._heard = now
        super().data_received(data)

    @override
    def callback_data(self, data: bytes, addr: tuple[Any, ...] | None = None) -> int:
        used = 0
        for length, unit, transaction, octets in self._frames(data):
            used += length
            if octets:
                self.listens.bus.receive(self, unit, transaction, octets)
        return used

    def _frames(self, data: bytes) -> Iterator[tuple[int, int, int, bytes]]:
        """Yield length, unit, transaction id and PDU of all complete frames."""
        while data and self.open:
            if not self.rtu and not _is_modbus_tcp(data):
                self.hang_up()
                return
            frame = self.framer.decode(data)
            if not frame[0] and self.rtu and self._is_unknown_function(data):
                frame = len(data), data[0], 0, data[1:-2]
            if not frame[0]:
                return
            yield frame
            data = data[frame[0] :]

    def _is_unknown_function(self, data: bytes) -> bool:
        """Tell whether it is one sound RTU frame of a function pymodbus does not know."""
        return (
            len(data) >= 4
            and self.framer.decoder.lookupPduClass(data) is None
            and FramerRTU.check_CRC(data[:-2], int.from_bytes(data[-2:]))
        )

    @property
    def open(self) -> bool:
        """Whether something can be sent."""
        return bool(self.transport) and not self.transport.is_closing()

    def transmit(self, packet: bytes) -> None:
        """Send bytes as they are, unless the client has gone."""
        if self.open:
            transport = self.transport
            assert isinstance(transport, asyncio.WriteTransport)
            transport.write(packet)

    def hang_up(self) -> None:
        """End the connection at once."""
        if isinstance(self.transport, _PtyTransport):
            self.recv_buffer = b""
            self.transport.hang_up()
        elif isinstance(self.transport, asyncio.WriteTransport):
            self.transport.abort()


def _is_modbus_tcp(data: bytes) -> bool:
    """Tell whether bytes can be the start of a Modbus TCP frame, as far as they go."""
    return not any(data[2:4]) and (
        len(data) < 6 or 2 <= int.from_bytes(data[4:6]) <= 254
    )
