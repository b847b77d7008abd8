"""What a gateway has seen since it was started."""

from collections import Counter
from dataclasses import dataclass, field


@dataclass(slots=True)
class Statistics:
    """Counts, and times in seconds. They only grow; rates are differences."""

    connections: int = 0
    refused_connections: int = 0
    """Of peers that are not expected, or too many."""
    requests: int = 0
    """Of clients, whatever became of them."""
    answers: int = 0
    """Requests that were answered with data."""
    from_cache: int = 0
    joined: int = 0
    """Answers that shared the request to the bus of another client."""
    exceptions: Counter[int] = field(default_factory=Counter)
    """Answers that were exceptions, by code."""
    blocked_reads: int = 0
    blocked_writes: int = 0
    writes: int = 0
    """Carried out."""
    bus_requests: int = 0
    bus_errors: int = 0
    """Requests to the bus that got no answer, or none that could be used."""
    bus_busy: float = 0.0
    """Seconds in which the bus worked for us."""
    waited: float = 0.0
    """Seconds that all requests together waited for their turn on the bus."""
    garbage: int = 0
    """Pieces of what clients sent that were no requests."""
    repeated: int = 0
    """Requests that a client sent again before it had the answer."""
    superseded: int = 0
    """Requests on serial lines that a client gave up before it had the answer: it asked for
    something else."""
    dropped: int = 0
    """Requests on serial lines beyond those that may wait there."""
    broadcasts: int = 0
    """Requests on serial lines to all units, which go no further."""
    unread: int = 0
    """Answers for which a serial line had no room: the client does not read."""
