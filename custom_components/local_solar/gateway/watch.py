"""Ends what takes too long, without a timer for each time that it is done."""

import asyncio
from time import monotonic


class Watch:
    """Watches one thing that a task does again and again, for ``seconds`` each time."""

    def __init__(self, seconds: float) -> None:
        """Watch nothing yet."""
        self._seconds = seconds
        self._task: asyncio.Task[object] | None = None
        self._since = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._has_struck = False

    def begin(self, now: float) -> None:
        """Cancel this task if what it does from ``now`` (monotonic seconds) takes longer."""
        self._task, self._since = asyncio.current_task(), now
        if self._timer is None:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(self._seconds, self._look)

    def end(self) -> None:
        """Take note that it is done."""
        self._task = None

    def has_struck(self) -> bool:
        """Return whether a cancellation was ours, and take it back."""
        struck, self._has_struck = self._has_struck, False
        if struck and (task := asyncio.current_task()) is not None:
            task.uncancel()
        return struck

    def stop(self) -> None:
        """Look no more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _look(self) -> None:
        self._timer = None
        if self._task is None:
            return
        left = self._since + self._seconds - monotonic()
        if left > 0:
            # Another one has begun since.
            self._timer = asyncio.get_running_loop().call_later(left, self._look)
            return
        self._has_struck = True
        self._task.cancel()
