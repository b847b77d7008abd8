"""Ending what takes too long."""

import asyncio
from time import monotonic

import pytest

from custom_components.local_solar.gateway.watch import IDLE, Watch


async def held_up(watch: Watch, seconds: float) -> str:
    """Do something for so long; return how that ended."""
    watch.since = monotonic()
    if not watch.is_awake:
        watch.wake()
    try:
        await asyncio.sleep(seconds)
    except asyncio.CancelledError:
        return "struck" if watch.has_struck() else "called off"
    finally:
        watch.since = IDLE
    return "done"


@pytest.fixture
def watch() -> Watch:
    """Return a watch of a tenth of a second."""
    return Watch(0.1)


async def test_what_takes_too_long_is_ended_and_the_task_goes_on(watch: Watch) -> None:
    async def work() -> list[str]:
        return [await held_up(watch, seconds) for seconds in (0, 60, 0, 60)]

    async with asyncio.timeout(10):
        assert await asyncio.create_task(work()) == ["done", "struck", "done", "struck"]
    watch.stop()


async def test_what_is_done_again_and_again_in_time_goes_on(watch: Watch) -> None:
    loop = asyncio.get_running_loop()
    began = loop.time()
    while loop.time() - began < 0.35:
        assert await held_up(watch, 0.03) == "done"
    watch.stop()


async def test_who_is_called_off_by_others_is_not_struck(watch: Watch) -> None:
    task = asyncio.create_task(held_up(watch, 60))
    await asyncio.sleep(0)
    task.cancel()
    assert await task == "called off"
    watch.stop()
