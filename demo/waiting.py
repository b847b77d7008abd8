"""Waiting for what takes its time."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from typing import Any, Final

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


async def together[T](work: Iterable[Coroutine[Any, Any, T]]) -> list[T]:
    """Do several things at the same time and return what they give, in their order.

    The first error ends all of them and is raised.
    """
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(task) for task in work]
    except BaseExceptionGroup as errors:
        raise errors.exceptions[0] from None
    return [task.result() for task in tasks]
