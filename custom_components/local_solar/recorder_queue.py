"""Waiting for the recorder, which does what it is told in its own time."""

import asyncio
from typing import Final

from homeassistant.components.recorder import get_instance
from homeassistant.components.recorder.tasks import SynchronizeTask
from homeassistant.core import HomeAssistant

DONE_WITHIN: Final = 60.0
"""Seconds that the recorder may take, which may be busy with a backup or a purge."""


async def async_wait_for_recorder(hass: HomeAssistant) -> bool:
    """Wait until the recorder has done what it was told so far, and return whether it has.

    Its own ``async_block_till_done`` returns while the last task is still at work.
    """
    done: asyncio.Future[None] = hass.loop.create_future()
    get_instance(hass).queue_task(SynchronizeTask(done))
    try:
        async with asyncio.timeout(DONE_WITHIN):
            await done
    except TimeoutError:
        return False
    return True
