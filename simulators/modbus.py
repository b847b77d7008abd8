"""One or more Modbus devices on a simulated bus, with faults, timing and a record.

pymodbus listens, frames, checks and codes; the client under test uses another library.
An answer is made when its request comes and may leave later, with the transaction id it
belongs to, however many requests come meanwhile.
"""

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from enum import StrEnum
from functools import partial
import json
import os
from pathlib import Path
from random import Random
from types import TracebackType
from typing import Final, Self, TextIO

from pymodbus.framer import FramerType
from pymodbus.pdu import ExceptionResponse, ModbusPDU

from .errors import SimulatorError
from .faults import Fault, FaultKind, as_fault
from .listeners import Connection, PtyListener, TcpListener
from .outlet import Answer, Outlet
from .requests import (
    GATEWAY_NO_ANSWER,
    WRITES,
    Later,
    ModbusDevice,
    Request,
    answer,
    parse,
)
from .wire import SerialLine

_BROADCAST: Final = 0


class UnknownUnit(StrEnum):
    """What happens to a request to a unit that does not exist or is silent."""

    SILENT = "silent"
    """No answer, as on a bus."""
    GATEWAY = "gateway"
    """Exception 11, as from a gateway that has waited in vain."""


class ModbusSimulator:
    """A bus with devices, and the listeners through which clients reach it.

    Use it as an asynchronous context manager, or call ``stop``. All listeners lead to
    the same bus, which serves one request after the other.
    """

    def __init__(
        self,
        devices: Mapping[int, ModbusDevice],
        *,
        faults: Iterable[Fault | str] = (),
        wire: SerialLine | None = None,
        unknown_unit: UnknownUnit = UnknownUnit.SILENT,
        capture: Path | None = None,
        record: bool = True,
        seed: int | None = None,
    ) -> None:
        """Put devices on a bus, by unit id.

        Args:
            devices: the units.
            faults: what goes wrong; ``faults`` may be changed at any time.
            wire: the line whose pace answers keep to; without it they leave at once.
            unknown_unit: what becomes of requests to other units.
            capture: file that gets a JSON line per request.
            record: whether to keep ``requests``, which grow without end.
            seed: makes random faults the same in every run.

        Raises:
            SimulatorError: if the capture cannot be written.

        """
        self.devices: Final = dict(devices)
        self.unknown_unit = unknown_unit
        self.requests: list[Request] = []
        self._record = record
        self._random = Random(seed)
        self._faults = [as_fault(fault) for fault in faults]
        self._listeners: list[TcpListener | PtyListener] = []
        self._outlet = Outlet(wire)
        self._capture_path = capture
        self._capture: TextIO | None = None
        self._open_capture()

    async def __aenter__(self) -> Self:
        """Do nothing: listeners are started one by one."""
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Stop all listeners."""
        await self.stop()

    @property
    def faults(self) -> list[Fault]:
        """What goes wrong. Faults given as text (``"drop@0.1"``) are read."""
        return self._faults

    @faults.setter
    def faults(self, faults: Iterable[Fault | str]) -> None:
        self._faults = [as_fault(fault) for fault in faults]

    @property
    def wire(self) -> SerialLine | None:
        """The line whose pace answers keep to."""
        return self._outlet.wire

    @wire.setter
    def wire(self, wire: SerialLine | None) -> None:
        self._outlet.wire = wire

    @property
    def overlaps(self) -> int:
        """How many requests came while another was still being answered."""
        return sum(request.overlapped for request in self.requests)

    @property
    def writes(self) -> list[Request]:
        """The writes in ``requests`` that have taken effect, as they were asked for."""
        return [request for request in self.requests if request.done]

    # --- listeners ---

    async def start_tcp(self, host: str = "127.0.0.1", port: int = 0) -> int:
        """Listen for Modbus TCP and return the port.

        Raises ``SimulatorError`` if that cannot be done.
        """
        return await self._start_socket("tcp", FramerType.SOCKET, host, port)

    async def start_rtu_tcp(self, host: str = "127.0.0.1", port: int = 0) -> int:
        """Listen for RTU frames over TCP and return the port.

        Raises ``SimulatorError`` if that cannot be done.
        """
        return await self._start_socket("rtu-tcp", FramerType.RTU, host, port)

    async def start_pty(self, path: Path) -> Path:
        """Offer RTU on a pseudo-terminal; ``path`` becomes a symbolic link to it.

        Raises ``SimulatorError`` if that cannot be done.
        """
        if path.exists() and not path.is_symlink():
            raise SimulatorError(f"{path}: exists and is not a symbolic link")
        listener = PtyListener(self, path)
        await self._listen(listener, str(path))
        return path

    async def _start_socket(
        self, kind: str, framer: FramerType, host: str, port: int
    ) -> int:
        listener = TcpListener(self, kind, framer, host, port)
        await self._listen(listener, f"{host}:{port}")
        return listener.port

    async def _listen(self, listener: TcpListener | PtyListener, where: str) -> None:
        self._open_capture()
        try:
            await listener.listen()
        except OSError as err:
            reason = os.strerror(err.errno) if err.errno and err.errno > 0 else str(err)
            raise SimulatorError(f"cannot listen on {where}: {reason}") from None
        self._listeners.append(listener)

    async def stop(self) -> None:
        """Close all listeners and connections; what has not left is lost.

        So are writes that have not taken effect yet.
        """
        self._outlet.stop()
        for listener in self._listeners:
            server = listener.transport
            if isinstance(listener, TcpListener):
                for connection in listener.connections:
                    connection.hang_up()
            listener.close()
            if isinstance(server, asyncio.Server):
                await server.wait_closed()
        self._listeners.clear()
        if self._capture is not None:
            self._capture.close()
            self._capture = None

    def disconnect_clients(self) -> None:
        """Hang up on every client; the listeners stay."""
        for listener in self._listeners:
            for connection in listener.connections:
                connection.hang_up()

    # --- requests ---

    def receive(
        self, connection: Connection, unit: int, transaction: int, octets: bytes
    ) -> None:
        """Take in a request (its PDU), act on it, and answer when its time comes."""
        now = connection.loop.time()
        request, pdu = parse(
            connection.framer.decoder,
            octets,
            listener=connection.listens.kind,
            client=connection.client,
            unit=unit,
            now=now,
        )
        request.overlapped = self._outlet.is_busy(now)
        reply: ModbusPDU | None = None
        struck: list[Fault] = []
        later = partial(self._later, connection.loop)
        target, reply_unit = self._target(request, connection)
        if target is not None:
            struck = [
                fault
                for fault in self._faults
                if (connection.rtu or fault.kind is not FaultKind.CRC)
                and fault.strikes(request, self._random)
            ]
            reply = answer(target, request, pdu, struck, later)
        elif unit == _BROADCAST:
            self._broadcast(request, pdu, later)
        elif self.unknown_unit is UnknownUnit.GATEWAY:
            request.exception = GATEWAY_NO_ANSWER
            reply = ExceptionResponse(request.function, GATEWAY_NO_ANSWER)
        packet = b""
        if reply is not None:
            reply.dev_id = reply_unit
            reply.transaction_id = transaction
            packet = connection.framer.buildFrame(reply)
        self._send(connection, request, packet, struck, len(octets) + 3)
        if self._record:
            self.requests.append(request)
        self._write_capture(request)

    def _target(
        self, request: Request, connection: Connection
    ) -> tuple[ModbusDevice | None, int]:
        """Return who answers, if anyone, and the unit id of the answer."""
        unit = request.unit
        if unit == _BROADCAST and (heir := self.answers_broadcast(request)) is not None:
            device = self.devices[heir]
            return (None if device.silent else device), heir if connection.rtu else unit
        found = self.devices.get(unit)
        return (None if found is None or found.silent else found), unit

    def answers_broadcast(self, request: Request) -> int | None:
        """Return the unit that answers a request to unit 0, ``None`` for silence."""
        return None

    def _broadcast(self, request: Request, pdu: ModbusPDU | None, later: Later) -> None:
        """Let every unit carry out a write that nobody answers."""
        words = request.words
        for device in self.devices.values():
            if not device.silent and request.function in WRITES:
                answer(device, request, pdu, (), later)
                request.words = words
        request.exception = None

    def _send(
        self,
        connection: Connection,
        request: Request,
        packet: bytes,
        struck: Sequence[Fault],
        request_octets: int,
    ) -> None:
        """Damage an answer as the faults want it and send it when its time comes."""
        late = 0.0
        sound = packet
        hang_up = False
        for fault in struck:
            match fault.kind:
                case FaultKind.DELAY:
                    late += fault.argument
                case FaultKind.DROP | FaultKind.DEAF:
                    packet = b""
                case FaultKind.CRC if packet:
                    packet = packet[:-1] + bytes((packet[-1] ^ 0xFF,))
                case FaultKind.CUT:
                    packet = packet[: -int(fault.argument)]
                case FaultKind.GARBAGE if packet:
                    packet = self._random.randbytes(int(fault.argument))
                case FaultKind.STALE if packet:
                    packet = connection.previous or b""
                case FaultKind.DISCONNECT:
                    packet, hang_up = b"", True
        if struck:
            request.fault = "+".join(fault.kind for fault in struck)
        connection.previous = sound or connection.previous
        self._outlet.send(
            Answer(
                connection=connection, request=request, packet=packet, hang_up=hang_up
            ),
            request_octets,
            late,
        )

    def _later(
        self,
        loop: asyncio.AbstractEventLoop,
        seconds: float,
        action: Callable[[], None],
    ) -> None:
        """Do something after so many seconds, unless the simulator stops before."""
        self._outlet.call_later(loop, seconds, action)

    # --- capture ---

    def _open_capture(self) -> None:
        if self._capture_path is None or self._capture is not None:
            return
        try:
            self._capture = self._capture_path.open("a", encoding="utf-8", buffering=1)
        except OSError as err:
            raise SimulatorError(
                f"{self._capture_path}: cannot be written: {err.strerror or err}"
            ) from None

    def _write_capture(self, request: Request) -> None:
        if self._capture is not None:
            self._capture.write(json.dumps(request.as_record()) + "\n")
