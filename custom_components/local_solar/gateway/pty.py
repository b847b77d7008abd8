"""Serial ports that are none: pseudo-terminals for programs that know nothing else.

Each client has one of its own, under a name that stays the same: ``<folder>/1``,
``<folder>/2`` and so on. Any speed will do, without parity: a terminal refuses to have one.
Nobody can see whether a program has a terminal open, so a client is there while something
comes from it.
"""

import asyncio
from contextlib import suppress
import errno
import logging
import os
from pathlib import Path
import stat
import termios
from time import monotonic
import tty
from typing import Final

from .clients import Client, ClientKind
from .rtu_session import Host, RtuSession

_LOGGER = logging.getLogger(__name__)

MOST_TERMINALS: Final = 8

IDLE: Final = 600.0
"""Seconds of silence after which a client has gone."""

UNREAD: Final = 2.0
"""Seconds after which a client that has not read an answer has given it up. It would take it
for that to its next request, as the terminal keeps it until somebody reads."""

READ_AT_ONCE: Final = 512
"""Octets that are read from a terminal before others have their turn."""

OCTETS_PER_SECOND: Final = 23_040.0
"""What a client may send in the long run: as much as a line of 230,400 baud carries."""

BURST: Final = 8_192
"""Octets that it may send at once."""

WRITE_BUFFER: Final = 2_048
"""Octets of answers that wait for a client, besides the 4 KiB that the system holds."""

_LOCAL_FLAGS: Final = 3
"""Which of a terminal's attributes say whether it echoes."""
_FOR_PEOPLE: Final = termios.ECHO | termios.ICANON | termios.ISIG

_FOR_OTHERS: Final = stat.S_IRWXG | stat.S_IRWXO


class Terminals:
    """The terminals of a gateway. Nothing else may be in their folder."""

    def __init__(
        self, gateway: Host, folder: Path, count: int, *, idle: float = IDLE
    ) -> None:
        """Offer terminals in a folder that nobody else has access to.

        Args:
            gateway: is asked.
            folder: is made if it is not there.
            count: how many terminals, at most 8.
            idle: seconds of silence after which a client has gone.

        """
        self._folder = folder
        self._terminals = [
            _Terminal(gateway, folder / f"{number}", number, idle)
            for number in range(1, count + 1)
        ]

    @property
    def paths(self) -> list[Path]:
        """What programs open in place of a serial port."""
        return [terminal.path for terminal in self._terminals]

    async def start(self) -> None:
        """Offer the terminals. Raises ``OSError`` that says why that cannot be."""
        try:
            if self._terminals:
                _make_private(self._folder)
                self._remove_others()
            for terminal in self._terminals:
                terminal.open()
        except BaseException:
            await self.stop()
            raise

    async def stop(self) -> None:
        """Take the terminals away."""
        for terminal in self._terminals:
            terminal.close()

    def _remove_others(self) -> None:
        """Remove what is left of a run with more: it may be somebody else's by now."""
        for number in range(len(self._terminals) + 1, MOST_TERMINALS + 1):
            if (path := self._folder / f"{number}").is_symlink():
                path.unlink()


class _Terminal:
    """One terminal, and the client that it has now and then."""

    def __init__(self, gateway: Host, path: Path, number: int, idle: float) -> None:
        self.path = path
        self._gateway = gateway
        self._name = f"terminal {number}"
        self._idle = idle
        self._ends: tuple[int, int] | None = None
        """Our end, and the client's: were that closed by all, ours could not be read."""
        self._client: Client | None = None
        self._session: RtuSession | None = None
        self._heard = self._refilled = 0.0
        self._allowance = float(BURST)
        self._unsent = bytearray()
        self._answered = 0.0
        self._resume: asyncio.TimerHandle | None = None
        self._departure: asyncio.TimerHandle | None = None
        self._expiry: asyncio.TimerHandle | None = None

    def open(self) -> None:
        """Be there. Raises ``OSError``."""
        self._ends = ours, theirs = os.openpty()
        tty.setraw(theirs)
        os.fchmod(theirs, stat.S_IRUSR | stat.S_IWUSR)
        os.set_blocking(ours, False)
        _link(self.path, os.ttyname(theirs))
        self._refilled = monotonic()
        asyncio.get_running_loop().add_reader(ours, self._read)

    def close(self) -> None:
        """Be there no more."""
        if self._ends is None:
            return
        self._leave()
        for timer in (self._resume, self._expiry):
            if timer is not None:
                timer.cancel()
        self._resume = self._expiry = None
        loop = asyncio.get_running_loop()
        ours, theirs = self._ends
        loop.remove_reader(ours)
        loop.remove_writer(ours)
        with suppress(OSError):
            if self.path.readlink() == Path(os.ttyname(theirs)):
                self.path.unlink()
        self._ends = None
        os.close(ours)
        os.close(theirs)

    # -- who is there ---------------------------------------------------------------

    def _join(self) -> RtuSession:
        """Take in a client of which something has come."""
        self._client = Client(
            name=self._name, kind=ClientKind.TERMINAL, peer=self._name
        )
        self._session = RtuSession(self._gateway, self._client, self._write)
        self._gateway.join(self._client)
        self._wait(self._idle)
        return self._session

    def _leave(self) -> None:
        """Forget the client."""
        if self._departure is not None:
            self._departure.cancel()
            self._departure = None
        if self._client is None or self._session is None:
            return
        self._session.close()
        self._gateway.leave(self._client)
        self._client = self._session = None

    def _wait(self, seconds: float) -> None:
        loop = asyncio.get_running_loop()
        self._departure = loop.call_later(seconds, self._look_for_silence)

    def _look_for_silence(self) -> None:
        rest = self._heard + self._idle - monotonic()
        if rest > 0:
            self._wait(rest)
        else:
            _LOGGER.debug("%s has been silent for long", self._name)
            self._leave()

    # -- reading --------------------------------------------------------------------

    def _read(self) -> None:
        assert self._ends is not None
        try:
            octets = os.read(self._ends[0], READ_AT_ONCE)
        except BlockingIOError, InterruptedError:
            return
        except OSError as err:
            # It cannot be while we hold the other end; if it is, it stays.
            _LOGGER.error("%s is out of order: %s", self._name, err)
            asyncio.get_running_loop().remove_reader(self._ends[0])
            return
        self._heard = monotonic()
        session = self._session or self._join()
        if session.is_silent:
            _keep_raw(self._ends[1])
        self._spend(len(octets))
        session.feed(octets)

    def _spend(self, octets: int) -> None:
        """Read on later if the client has sent more than its share."""
        earned = (self._heard - self._refilled) * OCTETS_PER_SECOND
        self._refilled = self._heard
        self._allowance = min(float(BURST), self._allowance + earned) - octets
        if self._allowance < 0 and self._ends is not None:
            loop = asyncio.get_running_loop()
            loop.remove_reader(self._ends[0])
            self._resume = loop.call_later(
                -self._allowance / OCTETS_PER_SECOND, self._go_on
            )

    def _go_on(self) -> None:
        self._resume = None
        if self._ends is not None:
            asyncio.get_running_loop().add_reader(self._ends[0], self._read)

    # -- writing --------------------------------------------------------------------

    def _write(self, octets: bytes) -> None:
        """Send an answer as a whole, or not at all."""
        assert self._ends is not None
        if len(self._unsent) + len(octets) > WRITE_BUFFER:
            self._gateway.statistics.unread += 1
            return
        _keep_raw(self._ends[1])
        if not self._unsent:
            asyncio.get_running_loop().add_writer(self._ends[0], self._send)
        self._unsent += octets
        self._send()
        self._answered = monotonic()
        if self._expiry is None:
            self._expire_in(UNREAD)

    def _send(self) -> None:
        """Send as much as there is room for."""
        assert self._ends is not None
        with suppress(BlockingIOError, InterruptedError):
            del self._unsent[: os.write(self._ends[0], self._unsent)]
        if not self._unsent:
            asyncio.get_running_loop().remove_writer(self._ends[0])

    def _expire_in(self, seconds: float) -> None:
        loop = asyncio.get_running_loop()
        self._expiry = loop.call_later(seconds, self._expire)

    def _expire(self) -> None:
        """Drop what the client has not read, unless the last answer is too new for that."""
        assert self._ends is not None
        self._expiry = None
        rest = self._answered + UNREAD - monotonic()
        if rest > 0:
            self._expire_in(rest)
            return
        ours, theirs = self._ends
        self._unsent.clear()
        asyncio.get_running_loop().remove_writer(ours)
        termios.tcflush(theirs, termios.TCIFLUSH)


def _keep_raw(terminal: int) -> None:
    """See that a terminal hands on what comes as it is, whatever a program has made of it.

    One that echoes would send us each answer as the next request; the answer to a write is
    one.
    """
    if termios.tcgetattr(terminal)[_LOCAL_FLAGS] & _FOR_PEOPLE:
        tty.setraw(terminal, termios.TCSANOW)


def _make_private(folder: Path) -> None:
    """Make a folder, or see that one is ours alone. Raises ``OSError``."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with suppress(FileExistsError):
        folder.mkdir(mode=stat.S_IRWXU)
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode):
        raise NotADirectoryError(errno.ENOTDIR, "This is no folder", str(folder))
    if found.st_uid != os.geteuid() or found.st_mode & _FOR_OTHERS:
        raise PermissionError(
            errno.EACCES,
            "Others have access to the folder of the terminals: it must be our own,"
            " with mode 0700",
            str(folder),
        )


def _link(path: Path, target: str) -> None:
    """Give a terminal its name, in place of an older one. Raises ``OSError``."""
    if path.is_symlink():
        path.unlink()
    elif path.exists():
        raise FileExistsError(
            errno.EEXIST, "Something else has the name of a terminal", str(path)
        )
    path.symlink_to(target)
