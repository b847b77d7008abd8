"""Recording what the clients of a gateway say, into files of the owner's."""

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

from homeassistant.core import HomeAssistant
from homeassistant.exceptions import HomeAssistantError, ServiceValidationError
from homeassistant.util import dt as dt_util

from ..const import DOMAIN, LOGGER
from ..gateway.capture import Capture
from ..gateway.gateway import Gateway

FOLDER: Final = "captures"
"""Name of the folder for captures, in our folder beside ``configuration.yaml``."""

_PRIVATE: Final = 0o700
"""Captures hold serial numbers: nobody else on this computer may read them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Captured:
    """What became of a capture."""

    path: str
    lines: int
    dropped: int
    """Lines that are missing because they came faster than they could be written."""
    error: str | None
    """Why it ended before it was stopped."""


class Captures:
    """The captures of one gateway, one at a time."""

    def __init__(self, hass: HomeAssistant, name: str, gateway: Gateway) -> None:
        """Record what goes through the gateway of this name."""
        self._hass = hass
        self._name = name
        self._gateway = gateway
        self._capture: Capture | None = None

    @property
    def is_running(self) -> bool:
        """Whether something is recorded now."""
        return self._capture is not None and self._capture.error is None

    @property
    def running(self) -> Captured | None:
        """What has been captured so far, ``None`` if there is no capture."""
        return _so_far(self._capture) if self._capture is not None else None

    async def async_start(self, most_bytes: int) -> str:
        """Begin a capture of at most so many bytes and return the path of its file.

        Raises ``ServiceValidationError`` if there is one already, ``HomeAssistantError`` if
        the file cannot be made.
        """
        if self._capture is not None:
            raise ServiceValidationError(
                translation_domain=DOMAIN,
                translation_key="capture_running",
                translation_placeholders={
                    "device": self._name,
                    "path": str(self._capture.path),
                },
            )
        made = dt_util.now()
        path = Path(
            self._hass.config.path(
                DOMAIN, FOLDER, f"gateway_{made:%Y%m%d_%H%M%S}.jsonl"
            )
        )
        capture = self._capture = Capture(
            path, most_bytes=most_bytes, run=self._hass.async_add_executor_job
        )
        try:
            await self._hass.async_add_executor_job(
                partial(path.parent.mkdir, _PRIVATE, parents=True, exist_ok=True)
            )
            await capture.async_start()
        except OSError as err:
            self._capture = None
            raise HomeAssistantError(
                translation_domain=DOMAIN,
                translation_key="capture_not_written",
                translation_placeholders={
                    "path": str(path),
                    "error": err.strerror or str(err),
                },
            ) from err
        self._gateway.recorder = capture
        LOGGER.info("%s: what clients say is recorded in %s", self._name, path)
        return str(path)

    async def async_stop(self) -> Captured:
        """End the capture. Raises ``ServiceValidationError`` if there is none."""
        if (capture := self._capture) is None:
            raise ServiceValidationError(
                translation_domain=DOMAIN,
                translation_key="no_capture",
                translation_placeholders={"device": self._name},
            )
        self._capture = None
        self._gateway.recorder = None
        await capture.async_stop()
        LOGGER.info("%s: the capture %s has ended", self._name, capture.path)
        return _so_far(capture)

    async def async_close(self) -> None:
        """End the capture if there is one."""
        if self._capture is not None:
            await self.async_stop()


def _so_far(capture: Capture) -> Captured:
    return Captured(
        path=str(capture.path),
        lines=capture.lines,
        dropped=capture.dropped,
        error=capture.error,
    )
