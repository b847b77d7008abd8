"""The TCP port of a gateway that serves one client at a time."""

import time
from typing import Any, Final, override

from pymodbus.framer import FramerType

from simulators.listeners import Bus, Connection, TcpListener


class Door:
    """Decides who is let in."""

    def __init__(self, *, many: bool = False, pause: float = 0.0) -> None:
        """Let in one, or ``many``, and nobody for ``pause`` seconds after one has left."""
        self.many = many
        self.pause = pause
        self.turned_away = 0
        """How many connections were closed at once."""
        self._shut_until = 0.0

    def shut(self, seconds: float) -> None:
        """Let nobody in for so many seconds."""
        self._shut_until = max(self._shut_until, time.monotonic() + seconds)

    def left(self) -> None:
        """Note that somebody who had been let in has left."""
        self.shut(self.pause)

    def lets_in(self, *, occupied: bool) -> bool:
        """Tell whether a connection may stay; ``occupied`` says that there is another."""
        if time.monotonic() >= self._shut_until and (self.many or not occupied):
            return True
        self.turned_away += 1
        return False


class GuardedListener(TcpListener):
    """Modbus TCP with a door."""

    def __init__(
        self,
        bus: Bus,
        kind: str,
        framer: FramerType,
        host: str,
        port: int,
        door: Door,
    ) -> None:
        """Prepare to listen; port 0 takes a free one."""
        super().__init__(bus, kind, framer, host, port)
        self.door: Final = door

    @override
    def callback_new_connection(self) -> Connection:
        return _Visitor(self)


class _Visitor(Connection):
    """A connection that may be turned away as soon as it is there."""

    def __init__(self, listener: GuardedListener) -> None:
        """Belong to a listener."""
        super().__init__(listener)
        self._guarded = listener
        self._let_in = False

    @override
    def callback_connected(self) -> None:
        super().callback_connected()
        occupied = any(
            isinstance(other, _Visitor) and other._let_in and other.open  # noqa: SLF001
            for other in self._guarded.connections
            if other is not self
        )
        self._let_in = self._guarded.door.lets_in(occupied=occupied)
        if not self._let_in:
            self.hang_up()

    @override
    def callback_disconnected(self, exc: Exception | None) -> None:
        super().callback_disconnected(exc)
        if self._let_in:
            self._let_in = False
            self._guarded.door.left()

    @override
    def callback_data(self, data: bytes, addr: tuple[Any, ...] | None = None) -> int:
        return super().callback_data(data, addr) if self._let_in else len(data)
