"""Tells the owner what a gateway's clients wanted to write and were not let."""

from collections import OrderedDict
from time import monotonic
from typing import Final

from homeassistant.core import HomeAssistant, callback

from ..const import DOMAIN, LOGGER
from ..gateway.clients import Client
from ..gateway.pdu import Request

EVENT_BLOCKED: Final = f"{DOMAIN}_gateway_write_blocked"

ATTR_CLIENT: Final = "client"
ATTR_UNIT: Final = "unit"
ATTR_ADDRESS: Final = "address"
ATTR_WORDS: Final = "words"
ATTR_REASON: Final = "reason"

AGAIN_AFTER: Final = 60.0
"""Seconds after which the same is told once more: some clients try again and again."""

MOST_TOLD: Final = 32
"""So many different ones are told within that time."""

type _What = tuple[str, int, int, str]


class BlockedWrites:
    """Logs writes that were blocked and tells the event bus, each kind now and then."""

    def __init__(self, hass: HomeAssistant, name: str) -> None:
        """Tell of the gateway of this name."""
        self._hass = hass
        self._name = name
        self._told: OrderedDict[_What, float] = OrderedDict()
        """When something was told last (monotonic seconds), the oldest first."""
        self._untold = 0

    @callback
    def tell(self, request: Request, client: Client, reason: str) -> None:
        """Tell why a write was not carried out, unless that has just been told."""
        if not self._is_news((client.peer, request.unit, request.address, reason)):
            self._untold += 1
            return
        LOGGER.warning(
            "%s: %s wanted to write %s to unit %d from holding %d on: %s%s",
            self._name,
            client.name,
            " ".join(map(str, request.words)),
            request.unit,
            request.address,
            reason,
            f" ({self._untold} more like this since the last message)"
            if self._untold
            else "",
        )
        self._untold = 0
        self._hass.bus.async_fire(
            EVENT_BLOCKED,
            {
                ATTR_CLIENT: client.name,
                ATTR_UNIT: request.unit,
                ATTR_ADDRESS: request.address,
                ATTR_WORDS: list(request.words),
                ATTR_REASON: reason,
            },
        )

    def _is_news(self, what: _What) -> bool:
        now = monotonic()
        while self._told and now - next(iter(self._told.values())) > AGAIN_AFTER:
            self._told.popitem(last=False)
        if what in self._told or len(self._told) >= MOST_TOLD:
            return False
        self._told[what] = now
        return True
