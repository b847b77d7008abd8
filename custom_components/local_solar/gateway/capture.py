"""Writes what clients ask and are answered into a file, one JSON object per line.

A capture holds the words of registers, and with them serial numbers: its files are for the
owner alone.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import UTC, datetime
import logging
import os
from pathlib import Path
from typing import Final, Protocol, override

from .capture_files import RotatedFiles
from .capture_lines import Answered, Asked, Dropped, Event, Garbage, lines_of
from .clients import Client

_LOGGER = logging.getLogger(__name__)

MOST_BYTES: Final = 50_000_000
FILE_BYTES: Final = 10_000_000

MOST_WAITING: Final = 10_000
"""Lines that wait in memory: about 6 MB of it, and as much for those that are being written."""

FLUSHED_WITHIN: Final = 1.0
"""Seconds after which a line is in the file."""

type Run = Callable[[Callable[[], None]], Awaitable[None]]
"""Runs what may block, outside the event loop."""


class Recorder(Protocol):
    """Is told what goes through a gateway. Must return at once and never raise."""

    def request(self, client: Client, unit: int, pdu: bytes) -> None:
        """Take note of a request, as it came."""

    def answer(
        self, client: Client, unit: int, request: bytes, answer: bytes | None
    ) -> None:
        """Take note of the answer to a request, ``None`` if it gets none."""

    def garbage(self, client: Client, octets: bytes) -> None:
        """Take note of what is no request: a wrong checksum, or nothing known."""


def utc_now() -> datetime:
    """Return the time that lines begin with."""
    return datetime.now(UTC)


class Capture(Recorder):
    """A recorder that writes files of a bounded size, and never holds anyone up.

    What comes faster than it can be written is left out and counted. If the disk is full or
    taken away the capture ends, and ``error`` says why.
    """

    def __init__(
        self,
        path: Path,
        *,
        most_bytes: int = MOST_BYTES,
        file_bytes: int = FILE_BYTES,
        most_waiting: int = MOST_WAITING,
        now: Callable[[], datetime] = utc_now,
        run: Run = asyncio.to_thread,
    ) -> None:
        """Prepare to write to ``path``, and to ``path.1``, ``path.2`` ... what is older.

        Args:
            path: the newest file. Its folder must be there.
            most_bytes: what all files may hold together.
            file_bytes: what each of them may hold.
            most_waiting: lines that may wait in memory.
            now: the time, with its zone.
            run: runs what may block; Home Assistant has an executor of its own.

        """
        self.path: Final = path
        self.lines = 0
        """Lines written so far."""
        self.dropped = 0
        """Lines left out so far."""
        self.error: str | None = None
        """Why nothing is written any more."""
        self.started: datetime | None = None
        self._files = RotatedFiles(path, most_bytes=most_bytes, file_bytes=file_bytes)
        self._now = now
        self._run = run
        self._waiting: list[Event] = []
        self._most_waiting = most_waiting
        self._told_dropped = 0
        self._is_open = False
        self._hurry = asyncio.Event()
        self._writer: asyncio.Task[None] | None = None

    # -- its life -----------------------------------------------------------------

    async def async_start(self) -> None:
        """Open the file and begin. Raises ``OSError`` if it cannot be opened."""
        await self._run(self._files.open)
        self.started = self._now()
        self._is_open = True
        self._writer = asyncio.create_task(self._keep_writing(), name="capture")

    async def async_stop(self) -> None:
        """Write what is waiting and close the file. Does nothing if it has not begun."""
        self._is_open = False
        self._hurry.set()
        if self._writer is not None:
            writer, self._writer = self._writer, None
            await writer

    # -- what it is told ----------------------------------------------------------

    @override
    def request(self, client: Client, unit: int, pdu: bytes) -> None:
        if self._takes():
            self._waiting.append(Asked(self._now(), client.name, unit, pdu))

    @override
    def answer(
        self, client: Client, unit: int, request: bytes, answer: bytes | None
    ) -> None:
        if self._takes():
            event = Answered(self._now(), client.name, unit, request, answer)
            self._waiting.append(event)

    @override
    def garbage(self, client: Client, octets: bytes) -> None:
        if self._takes():
            self._waiting.append(Garbage(self._now(), client.name, octets))

    def _takes(self) -> bool:
        """Return whether there is room for a line; without it, the line is counted."""
        if not self._is_open:
            return False
        if len(self._waiting) >= self._most_waiting:
            self.dropped += 1
            return False
        if 2 * len(self._waiting) >= self._most_waiting:
            self._hurry.set()
        return True

    # -- writing ------------------------------------------------------------------

    async def _keep_writing(self) -> None:
        """Write until told to stop, or until that cannot be done any more."""
        while self._is_open:
            with suppress(TimeoutError):
                async with asyncio.timeout(FLUSHED_WITHIN):
                    await self._hurry.wait()
            self._hurry.clear()
            await self._write()
        await self._write()
        with suppress(OSError, RuntimeError):
            await self._run(self._files.close)

    async def _write(self) -> None:
        """Write what is waiting."""
        events, self._waiting = self._waiting, []
        if dropped := self.dropped - self._told_dropped:
            self._told_dropped = self.dropped
            events.append(Dropped(self._now(), dropped))
        if not events or self.error is not None:
            return

        written = 0

        def append() -> None:
            nonlocal written
            written = self._files.append(lines_of(events))

        try:
            await self._run(append)
        except (OSError, RuntimeError) as err:
            # The latter: there is no executor any more, Home Assistant is ending.
            self._is_open = False
            self.error = _why(err)
            _LOGGER.warning("The capture %s ended: %s", self.path, self.error)
        else:
            self.lines += written
            self.dropped += len(events) - written


def _why(err: OSError | RuntimeError) -> str:
    """Return what went wrong, without the path."""
    if isinstance(err, OSError) and err.errno:
        return os.strerror(err.errno)
    return str(err)
