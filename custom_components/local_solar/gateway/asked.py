"""One request of a client, from when it comes until it is answered."""

from collections.abc import Callable

from .clients import Client
from .pdu import Request

type Reply = Callable[[bytes | None], None]
"""Is told the PDU of the answer, or ``None`` for silence."""


class Asked:
    """What somebody asked, and whom to tell."""

    __slots__ = ("at", "client", "pdu", "reply", "request", "unit")

    def __init__(
        self, client: Client, unit: int, pdu: bytes, reply: Reply, at: float
    ) -> None:
        """Have been asked at ``at`` (monotonic seconds)."""
        self.client = client
        self.unit = unit
        self.pdu = pdu
        self.reply = reply
        self.at = at
        self.request: Request
        """What that means, once it was looked at."""
