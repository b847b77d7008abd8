"""What was recorded of real dataloggers, to test with."""

from collections.abc import Mapping
from dataclasses import dataclass
import json
from typing import Any, Final

import pytest

from custom_components.local_solar.growatt.datalogger.packets import (
    HEADER,
    HEADER_BYTES,
    PROTOCOLS,
    Packet,
    Type,
    packet_bytes,
    parse,
)
from tests.growatt.helpers import SHARED

FILE: Final = SHARED / "captures" / "datalogger" / "records.jsonl"


@dataclass(frozen=True, slots=True)
class Recording:
    """A recorded packet, and what is known of it."""

    id: str
    raw: bytes
    kind: int
    is_from_logger: bool
    is_whole: bool
    decoded: Mapping[str, Any]

    @property
    def packet(self) -> Packet:
        """The packet that it is."""
        return packet_of(self.raw)

    @property
    def is_made_up(self) -> bool:
        """Whether nobody recorded it."""
        return self.id.startswith("syn-")


def packet_of(raw: bytes) -> Packet:
    """Return the packet that bytes are as a whole."""
    header = HEADER.unpack_from(raw)
    assert packet_bytes(PROTOCOLS[header[1]], header[2]) == len(raw) >= HEADER_BYTES
    return parse(raw, header)


def _load() -> list[Recording]:
    if not FILE.is_file():
        return []
    return [
        Recording(
            id=line["id"],
            raw=bytes.fromhex(line["hex"]),
            kind=int(line["record_type"][:2], 16),
            is_from_logger=line["direction"] == "logger->server",
            is_whole=not line["decoded"].get("truncated"),
            decoded=line["decoded"],
        )
        for line in map(json.loads, FILE.read_text("utf-8").splitlines())
    ]


RECORDINGS: Final = _load()
WHOLE: Final = [each for each in RECORDINGS if each.is_whole]
REPORTS: Final = [each for each in WHOLE if each.is_from_logger]
"""What loggers said."""

COMMANDS: Final = [each for each in WHOLE if not each.is_from_logger]
LIVE: Final = [each for each in REPORTS if each.kind in (Type.LIVE, Type.BUFFERED)]
ANNOUNCED: Final = [each for each in REPORTS if each.kind == Type.ANNOUNCE]


def each_of(recordings: list[Recording]) -> pytest.MarkDecorator:
    """Run a test with each of some recordings, as ``it``; skip it where they are missing."""
    return pytest.mark.parametrize(
        "it",
        recordings
        or [pytest.param(None, marks=pytest.mark.skip(f"{FILE} is missing"))],
        ids=lambda it: it.id if it else "none",
    )


def recorded(name: str) -> Recording:
    """Return a recording; skip the test where it is missing."""
    for each in RECORDINGS:
        if each.id == name:
            return each
    pytest.skip(f"{FILE} is missing")
