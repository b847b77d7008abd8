"""Waiting for something to be true, without looking at it again and again."""

import asyncio
from collections.abc import Callable

PATIENCE = 10.0
"""Seconds after which something that is waited for is taken not to happen."""


class Waiting:
    """Those who wait for a change."""

    def __init__(self) -> None:
        """Begin with nobody."""
        self._waiters: set[asyncio.Future[None]] = set()

    def notify(self) -> None:
        """Let all look again."""
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_result(None)

    async def until(
        self, predicate: Callable[[], object], timeout: float | None = PATIENCE
    ) -> None:
        """Wait until something is true, looking at it after each change.

        Raises ``TimeoutError`` if that takes too long.
        """
        async with asyncio.timeout(timeout):
            while not predicate():
                waiter = asyncio.get_running_loop().create_future()
                self._waiters.add(waiter)
                try:
                    await waiter
                finally:
                    self._waiters.discard(waiter)
