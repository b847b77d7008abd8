"""How a Modbus device is reached, as stored in an entry, and getting a unit of it.

RTU over TCP is stored as the serial form (``socket://host:port``): that is the
one spelling under which Home Assistant shares such a link.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
import errno
import socket
from typing import Final, Self

from modbus_connection import (
    ModbusConnectionError,
    ModbusError,
    ModbusExceptionError,
    ModbusSerialParams,
    ModbusTcpParams,
)

from .modbus.reader import is_silence

REQUEST_TIMEOUT: Final = 3.0
"""Seconds to wait for an answer. 125 words take 0.3 s at 9600 baud and slow bridges up to
2 s; the 10 s that Home Assistant waits by default would hold up a shared bus for too long."""

SOCKET_PREFIX: Final = "socket://"
SOCKET_BAUDRATE: Final = 115200
"""The speed under which Home Assistant files sockets; it has no effect on them."""

BEHIND_A_BRIDGE: Final = 9600
"""Speed of the line behind a TCP bridge: the maker's default."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModbusLink:
    """A link: host and port for Modbus TCP, else a serial device and its speed."""

    host: str | None = None
    port: int = 502
    device: str | None = None
    baudrate: int = 9600

    @classmethod
    def rtu_over_tcp(cls, host: str, port: int) -> Self:
        """Return the link to a bridge that passes RTU frames through a socket."""
        name = f"[{host}]" if ":" in host else host
        return cls(
            device=f"{SOCKET_PREFIX}{name.lower()}:{port}", baudrate=SOCKET_BAUDRATE
        )

    @classmethod
    def from_json(cls, stored: Mapping[str, object]) -> Self:
        """Return the link that ``to_json`` stored."""
        return cls(**stored)  # type: ignore[arg-type]

    def to_json(self) -> dict[str, object]:
        """Return it as JSON types, without what is not used."""
        if self.host is not None:
            return {"host": self.host, "port": self.port}
        return {"device": self.device, "baudrate": self.baudrate}

    @property
    def params(self) -> ModbusTcpParams | ModbusSerialParams:
        """Parameters for Home Assistant's shared connection."""
        if self.host is not None:
            return ModbusTcpParams(host=self.host, port=self.port)
        return ModbusSerialParams(device=self.device or "", baudrate=self.baudrate)

    @property
    def is_socket(self) -> bool:
        """Whether it is RTU over TCP."""
        return self.device is not None and self.device.startswith(SOCKET_PREFIX)

    @property
    def line_baud(self) -> int:
        """Speed of the serial line, also of the one behind a bridge, in baud."""
        if self.host is not None or self.is_socket:
            return BEHIND_A_BRIDGE
        return self.baudrate

    @property
    def address(self) -> str:
        """Name of the far end, for messages: ``192.168.1.5:502`` or ``/dev/ttyUSB0``."""
        if self.host is not None:
            return f"{self.host}:{self.port}"
        return (self.device or "").removeprefix(SOCKET_PREFIX)


class LinkProblem(StrEnum):
    """What is wrong with a link, as the owner can act on it. Keys of texts."""

    HOST_NOT_FOUND = "host_not_found"
    REFUSED = "connection_refused"
    CANNOT_CONNECT = "cannot_connect"
    PORT_MISSING = "port_missing"
    PORT_TAKEN = "port_taken"
    NO_ANSWER = "no_answer"
    REQUEST_REFUSED = "request_refused"
    GARBAGE = "garbage"


def explain(err: ModbusError, link: ModbusLink, *, connected: bool) -> LinkProblem:
    """Return what ``err`` on ``link`` means to the owner.

    ``connected`` tells a link that could not be opened in time from a unit that
    is silent on an open one.
    """
    if isinstance(err, ModbusConnectionError) or (is_silence(err) and not connected):
        return _explain_connection(_root(err), link)
    if is_silence(err):
        return LinkProblem.NO_ANSWER
    if isinstance(err, ModbusExceptionError):
        return LinkProblem.REQUEST_REFUSED
    return LinkProblem.GARBAGE


def _explain_connection(cause: BaseException, link: ModbusLink) -> LinkProblem:
    serial = link.device is not None and not link.is_socket
    match cause:
        case socket.gaierror():
            return LinkProblem.HOST_NOT_FOUND
        case FileNotFoundError():
            return LinkProblem.PORT_MISSING
        case _ if serial:
            return LinkProblem.PORT_TAKEN
        case OSError() if not _is_refusal(cause):
            return LinkProblem.CANNOT_CONNECT
        case _:
            # Also a gateway that takes a connection and drops it, having another one.
            return LinkProblem.REFUSED


def _is_refusal(cause: OSError) -> bool:
    """Whether a host refused a connection, perhaps on each of its addresses.

    Of several addresses asyncio tells the errors as text only.
    """
    return isinstance(cause, ConnectionRefusedError) or (
        cause.errno is None and f"[Errno {errno.ECONNREFUSED}]" in str(cause)
    )


def _root(err: BaseException) -> BaseException:
    """Return what an error was first raised for."""
    while (cause := err.__cause__ or err.__context__) is not None:
        err = cause
    return err
