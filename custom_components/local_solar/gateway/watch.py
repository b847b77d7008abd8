"""Ends what takes too long, without a timer for each time that it is done."""

import asyncio
from math import inf
from time import monotonic
from typing import Final

IDLE: Final = inf
"""Stands for when nothing has begun."""


class Watch:
    """Watches one thing that one task does again and again, for ``seconds`` each time."""

    __slots__ = ("_has_struck", "_seconds", "_task", "_timer", "is_awake", "since")

    def __init__(self, seconds: float) -> None:
        """Watch nothing yet."""
        self.since = IDLE
        """When it was begun (monotonic seconds), or ``IDLE``. Whoever does it says so."""
        self.is_awake = False
        """Whether it will look. Who begins something while it will not has to ``wake`` it."""
        self._seconds = seconds
        self._task: asyncio.Task[object] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._has_struck = False

    def wake(self) -> None:
        """Cancel this task if what it does takes longer."""
        self.is_awake = True
        self._task = asyncio.current_task()
        self._look_in(self._seconds)

    def has_struck(self) -> bool:
        """Return whether a cancellation was ours, and take it back."""
        struck, self._has_struck = self._has_struck, False
        if struck and (task := asyncio.current_task()) is not None:
            task.uncancel()
        return struck

    def stop(self) -> None:
        """Look no more."""
        self.is_awake = False
        self._task = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _look_in(self, seconds: float) -> None:
        self._timer = asyncio.get_running_loop().call_later(seconds, self._look)

    def _look(self) -> None:
        self._timer = None
        if self.since == IDLE:
            self.stop()
            return
        left = self.since + self._seconds - monotonic()
        if left > 0:
            # Another one has begun since.
            self._look_in(left)
            return
        self._has_struck = True
        assert self._task is not None
        self._task.cancel()
        self.is_awake = False
