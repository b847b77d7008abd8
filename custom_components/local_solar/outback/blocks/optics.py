"""The block that counts what goes to the maker's cloud."""

from collections.abc import Iterator
from typing import Final

from ...modbus.codecs import U16
from ...points import Quantity as Q
from ..block import Block, Family, Half, Row
from ..rows import header, live_row

PACKETS: Final = {
    "bt": "Boot",
    "mp": "Map",
    "cu": "Config",
    "su": "Status",
    "pg": "Ping",
    "mb": "Modbus",
    "fu": "File",
    "ev": "Event",
}
"""Kinds of packets, in the order of their registers."""


def _packets() -> Iterator[Row]:
    """Go through what is counted of each kind of packet: seven registers."""
    for place, (kind, name) in enumerate(PACKETS.items()):
        at = 3 + 7 * place
        # fmt: off
        yield live_row(at, U16, f"{kind}_min", f"{name} packet min", Q.DURATION, unit="ms")
        yield live_row(at + 1, U16, f"{kind}_max", f"{name} packet max", Q.DURATION, unit="ms")
        yield live_row(at + 2, U16, f"{kind}_ave", f"{name} packet average", Q.DURATION,
                       unit="ms")
        yield live_row(at + 3, U16, f"{kind}_attempts", f"{name} packet attempts", Q.CODE)
        yield live_row(at + 4, U16, f"{kind}_errors", f"{name} packet errors", Q.CODE)
        yield live_row(at + 5, U16, f"{kind}_timeouts", f"{name} packet timeouts", Q.CODE)
        yield live_row(at + 6, U16, f"{kind}_packet_timeout", f"{name} packet packet timeout",
                       Q.DURATION, unit="s")
        # fmt: on


OPTICS: Final = Block(
    did=64255,
    name="optics_packet_statistics",
    family=Family.GATEWAY,
    half=Half.CONFIG,
    length=56,
    rows=(*header(prefix="optics_"), *_packets()),
)
