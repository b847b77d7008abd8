"""The points of a gateway: who uses it, and what that costs the bus."""

from typing import Final

from ..points import Point, Quantity, Visibility

_SHOWN: Final = Visibility.SHOWN
_OFFERED: Final = Visibility.OFFERED

CLIENTS: Final = Point(
    key="clients", name="Clients", quantity=Quantity.COUNT, visibility=_SHOWN
)
"""How many are connected now."""

REQUEST_RATE: Final = Point(
    key="request_rate",
    name="Requests per second",
    quantity=Quantity.RATE,
    unit="/s",
    visibility=_SHOWN,
)
"""Of all clients together, over the last poll."""

BUS_LOAD: Final = Point(
    key="bus_load",
    name="Bus load",
    quantity=Quantity.PERCENT,
    unit="%",
    visibility=_SHOWN,
    diagnostic=True,
)
"""How much of the time of the last poll the bus worked for clients."""

WAITING_TIME: Final = Point(
    key="waiting_time",
    name="Waiting time",
    quantity=Quantity.DURATION,
    unit="ms",
    visibility=_SHOWN,
)
"""How long a request waited for its turn on the bus, on average over the last poll."""

ERRORS: Final = Point(
    key="gateway_errors", name="Errors", quantity=Quantity.COUNT, visibility=_SHOWN
)
"""Requests that came to nothing because of the device, the link or the queue."""

BLOCKED_WRITES: Final = Point(
    key="blocked_writes",
    name="Blocked writes",
    quantity=Quantity.COUNT,
    visibility=_SHOWN,
)
CACHE_SHARE: Final = Point(
    key="cache_share",
    name="Answers from cache",
    quantity=Quantity.PERCENT,
    unit="%",
    visibility=_OFFERED,
    diagnostic=True,
)
"""Of the answers of the last poll, those that cost no request of their own to the bus."""

REFUSED_CONNECTIONS: Final = Point(
    key="refused_connections",
    name="Refused connections",
    quantity=Quantity.COUNT,
    visibility=_OFFERED,
)
MESSAGE_GAP: Final = Point(
    key="message_gap",
    name="Message gap",
    quantity=Quantity.DURATION,
    unit="ms",
    visibility=_OFFERED,
)
"""The quiet time between messages that the devices have proven to be enough."""

SILENT_UNITS: Final = Point(
    key="silent_units",
    name="Silent units",
    quantity=Quantity.COUNT,
    visibility=_OFFERED,
)
BLOCKED_READS: Final = Point(
    key="blocked_reads",
    name="Blocked reads",
    quantity=Quantity.COUNT,
    visibility=_OFFERED,
)
REPEATED_REQUESTS: Final = Point(
    key="repeated_requests",
    name="Repeated requests",
    quantity=Quantity.COUNT,
    visibility=_OFFERED,
)
CAPTURING: Final = Point(
    key="capturing",
    name="Capture",
    quantity=Quantity.RUNNING,
    visibility=_OFFERED,
)
"""Whether what clients say is being recorded."""

POINTS: Final = (
    CLIENTS,
    REQUEST_RATE,
    BUS_LOAD,
    WAITING_TIME,
    ERRORS,
    BLOCKED_WRITES,
    CACHE_SHARE,
    REFUSED_CONNECTIONS,
    MESSAGE_GAP,
    SILENT_UNITS,
    BLOCKED_READS,
    REPEATED_REQUESTS,
    CAPTURING,
)
