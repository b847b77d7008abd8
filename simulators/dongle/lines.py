"""What a dongle speaks through: a serial port, a pseudo-terminal, or a socket."""

import asyncio
import os
from pathlib import Path
import termios
import tty
from typing import Final, Protocol, Self

from simulators.errors import SimulatorError

_CHUNK: Final = 4096


class Line(Protocol):
    """Bytes there and back."""

    def send(self, octets: bytes) -> None:
        """Send bytes; whoever does not listen misses them. Raises ``OSError``."""

    async def receive(self) -> bytes:
        """Return the bytes that come next; none if the line is closed. Raises ``OSError``."""

    def close(self) -> None:
        """Let go of it."""


class StreamLine:
    """RTU over TCP, or any other pair of streams."""

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        """Speak through open streams."""
        self._reader = reader
        self._writer = writer

    @classmethod
    async def connect(cls, host: str, port: int) -> Self:
        """Connect. Raises ``SimulatorError`` if there is nobody."""
        try:
            return cls(*await asyncio.open_connection(host, port))
        except OSError as err:
            reason = os.strerror(err.errno) if err.errno and err.errno > 0 else err
            raise SimulatorError(f"cannot connect to {host}:{port}: {reason}") from None

    def send(self, octets: bytes) -> None:
        """Send bytes. Raises ``ConnectionResetError`` on a closed connection."""
        if self._writer.is_closing():
            raise ConnectionResetError("the connection is closed")
        self._writer.write(octets)

    async def receive(self) -> bytes:
        """Return the bytes that come next; none if the other side has hung up."""
        return await self._reader.read(_CHUNK)

    def close(self) -> None:
        """Hang up."""
        self._writer.close()


class TerminalLine:
    """A serial port, or the master's end of a pseudo-terminal."""

    def __init__(self, descriptor: int, kept: int | None = None) -> None:
        """Speak through an open terminal that does not block, and close it in the end.

        ``kept`` is the other end of a pseudo-terminal: as long as it is open, so is the
        terminal, whether or not somebody else has it open.
        """
        self._descriptor = descriptor
        self._kept = kept
        self._link: Path | None = None
        self._heard: asyncio.Queue[bytes] = asyncio.Queue()
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(descriptor, self._read)
        self._is_open = True

    @classmethod
    def open(cls, device: str, baud: int) -> Self:
        """Open a serial port, 8N1. Raises ``SimulatorError`` if that cannot be done."""
        speed = getattr(termios, f"B{baud}", None)
        if not isinstance(speed, int):
            raise SimulatorError(f"{device}: no serial port has {baud} baud")
        descriptor = None
        try:
            descriptor = os.open(device, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
            tty.setraw(descriptor)
            attributes = termios.tcgetattr(descriptor)
            attributes[4] = attributes[5] = speed
            termios.tcsetattr(descriptor, termios.TCSAFLUSH, attributes)
        except (OSError, termios.error) as err:
            if descriptor is not None:
                os.close(descriptor)
            reason = os.strerror(int(err.args[0]))
            raise SimulatorError(f"cannot open {device}: {reason}") from None
        return cls(descriptor)

    @classmethod
    def offer(cls, path: Path) -> Self:
        """Make a pseudo-terminal; ``path`` becomes a symbolic link to its other end.

        Raises ``SimulatorError`` if that cannot be done.
        """
        if path.exists() and not path.is_symlink():
            raise SimulatorError(f"{path}: exists and is not a symbolic link")
        ours, theirs = os.openpty()
        try:
            tty.setraw(theirs)
            os.set_blocking(ours, False)
            path.unlink(missing_ok=True)
            path.symlink_to(os.ttyname(theirs))
        except OSError as err:
            os.close(ours)
            os.close(theirs)
            raise SimulatorError(f"cannot make {path}: {err.strerror}") from None
        line = cls(ours, theirs)
        line._link = path
        return line

    def _read(self) -> None:
        try:
            octets = os.read(self._descriptor, _CHUNK)
        except BlockingIOError:
            return
        except OSError:
            octets = b""
        if not octets:
            self._loop.remove_reader(self._descriptor)
        self._heard.put_nowait(octets)

    def send(self, octets: bytes) -> None:
        """Send bytes; they are lost if nobody has read for long. Raises ``OSError``."""
        if not self._is_open:
            raise ConnectionResetError("the line is closed")
        try:
            os.write(self._descriptor, octets)
        except BlockingIOError:
            return

    async def receive(self) -> bytes:
        """Return the bytes that come next; none if the line is gone."""
        return await self._heard.get()

    def close(self) -> None:
        """Close the terminal, and take the link away if there is one."""
        if not self._is_open:
            return
        self._is_open = False
        self._loop.remove_reader(self._descriptor)
        os.close(self._descriptor)
        if self._kept is not None:
            os.close(self._kept)
        if self._link is not None and self._link.is_symlink():
            self._link.unlink()
