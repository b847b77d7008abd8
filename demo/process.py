"""Child processes that never outlive the demo."""

import asyncio
from asyncio.subprocess import Process
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
import ctypes
import os
from pathlib import Path
import signal
import sys
from types import TracebackType
from typing import Final, Self

from .errors import DemoError
from .waiting import until

ROOT: Final = Path(__file__).resolve().parent.parent
"""The checkout; children run in it."""

PATIENCE: Final = 20.0
"""Seconds a child has to stop by itself before it is killed."""

_PR_SET_PDEATHSIG: Final = 1
_FOREIGN: Final = frozenset({"PYTHONHOME", "PYTHONPATH", "VIRTUAL_ENV"})
"""Variables of the shell's own environment, which must not be taken for ours."""


class Child:
    """A process whose output goes to a file.

    It has a session of its own: Ctrl-C reaches the demo alone, which then stops its
    children in order. Use it as an asynchronous context manager, or call ``stop``.
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str | Path],
        log: Path,
        modules: Path | None = None,
    ) -> None:
        """Prepare to run ``command``.

        Args:
            name: for messages.
            command: program and arguments.
            log: file that gets the output.
            modules: a folder with Python modules that it needs besides its own.

        """
        self.name = name
        self.log = log
        self._command = command
        self._environment = {
            name: value for name, value in os.environ.items() if name not in _FOREIGN
        }
        if modules is not None:
            self._environment["PYTHONPATH"] = str(modules)
        self._process: Process | None = None

    async def __aenter__(self) -> Self:
        """Start it."""
        await self.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Stop it."""
        await self.stop()

    async def start(self) -> None:
        """Start it. Raises ``DemoError`` if that cannot be done."""
        try:
            with self.log.open("wb") as output:
                self._process = await asyncio.create_subprocess_exec(
                    *self._command,
                    cwd=ROOT,
                    env=self._environment,
                    stdin=asyncio.subprocess.DEVNULL,
                    stdout=output,
                    stderr=asyncio.subprocess.STDOUT,
                    start_new_session=True,
                    preexec_fn=end_with_parent,
                )
        except OSError as err:
            raise DemoError(
                f"{self.name} cannot be started: {err.strerror or err}"
            ) from None

    async def stop(self) -> None:
        """Ask it to stop, wait for that, and kill what is left of it."""
        process, self._process = self._process, None
        if process is None:
            return
        try:
            if process.returncode is None:
                # One that is held would not notice that it is asked to stop.
                _signal_group(process, signal.SIGCONT)
                process.terminate()
            with suppress(TimeoutError):
                async with asyncio.timeout(PATIENCE):
                    await process.wait()
        finally:
            _signal_group(process, signal.SIGKILL)
        await process.wait()

    async def ended(self) -> int:
        """Return how it ended, once it has: 0 is well."""
        assert self._process is not None
        return await self._process.wait()

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to it and to what it has started itself."""
        if self._process is not None:
            _signal_group(self._process, number)

    async def wait_for[T](
        self, look: Callable[[], Awaitable[T | None]], seconds: float, otherwise: str
    ) -> T:
        """Return what ``look`` finds as soon as it finds something.

        Raises ``DemoError`` if the process ends before, or if that takes too long:
        the message is the name and ``otherwise``.
        """

        async def look_if_alive() -> T | None:
            if (found := await look()) is not None:
                return found
            if self._process is None or self._process.returncode is not None:
                raise DemoError(
                    f"{self.name} has stopped; the last it said: {self.last_words}"
                )
            return None

        return await until(look_if_alive, seconds, f"{self.name} {otherwise}")

    @property
    def output(self) -> list[str]:
        """The lines it has written so far."""
        return self.log.read_text(encoding="utf-8", errors="replace").splitlines()

    @property
    def last_words(self) -> str:
        """The last line it has written."""
        return next((line for line in reversed(self.output) if line.strip()), "nothing")


def end_with_parent() -> None:
    """Have Linux kill this process when its parent is killed, which cannot stop it then."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _signal_group(process: Process, number: signal.Signals) -> None:
    with suppress(ProcessLookupError):
        os.killpg(process.pid, number)
