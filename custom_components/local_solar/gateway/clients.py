"""Who asks: the clients of a gateway, and what is known of each."""

from dataclasses import dataclass
from enum import StrEnum


class ClientKind(StrEnum):
    """The ways to reach the gateway."""

    TCP = "tcp"
    RTU_TCP = "rtu_tcp"
    DONGLE = "dongle"
    """The maker's stick, on a serial port of its own."""
    TERMINAL = "terminal"
    """A program of this computer that knows only serial ports."""


@dataclass(slots=True, eq=False)
class Client:
    """One connection or port. ``name`` is unique among those that are there."""

    name: str
    """``192.168.1.7:50312``, ``dongle``, ``terminal 1``."""
    kind: ClientKind
    peer: str
    """What policies go by: an IP address without its port, else the name."""
    requests: int = 0
    exceptions: int = 0
    blocked_writes: int = 0
    waiting: int = 0
    """Requests that have no answer yet."""
    is_gone: bool = False
    """Whether it has left: what it waits for is not done any more."""

    @property
    def is_dongle(self) -> bool:
        """Whether it must not be kept waiting: it repeats itself and gets confused."""
        return self.kind is ClientKind.DONGLE
