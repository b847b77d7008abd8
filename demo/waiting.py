"""Waiting for what takes its time."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

from .errors import DemoError

LOOK_AGAIN: Final = 0.1


async def until[T](
    look: Callable[[], Awaitable[T | None]], seconds: float, otherwise: str
) -> T:
    """Return what ``look`` finds as soon as it finds something.

    Raises ``DemoError`` saying ``otherwise`` if that takes longer than ``seconds``.
    """
    try:
        async with asyncio.timeout(seconds):
            while (found := await look()) is None:
                await asyncio.sleep(LOOK_AGAIN)
    except TimeoutError:
        raise DemoError(f"{otherwise} after {seconds:g} s") from None
    return found
