"""Excerpts of a recorded bus, and lines as the gateway writes them."""

from datetime import UTC, datetime, timedelta
import json
from pathlib import Path
from typing import Final

from custom_components.local_solar.gateway.capture_lines import (
    Answered,
    Asked,
    Event,
    Garbage,
)

RECORDED: Final = (
    Path(__file__).parents[3]
    / "shared/captures/growatt/derived_wire_sample_masked.jsonl"
)
"""600 events of a Shine stick and a Modbus TCP client; not part of the repository."""

START: Final = datetime(2026, 11, 21, 18, 30, tzinfo=UTC)

WIRE_LOG: Final = """\
{"event": "shine_online", "role": "SYS", "port": "/dev/shine", "baud": 115200, "fmt": "8N1", "ts": "2025-09-21T19:58:42.286"}
{"role": "REQ", "from_client": "SHINE", "crc_ok": true, "hex": "0003002b0001f5d3", "uid": 0, "func": 3, "len": 4, "addr": 43, "count": 1, "ts": "2025-09-21T19:58:43.667"}
{"role": "RSP", "to_client": "SHINE", "crc_ok": true, "hex": "01030213ecb4f9", "uid": 1, "func": 3, "len": 3, "ts": "2025-09-21T19:58:43.704"}
{"role": "REQ", "from_client": "SHINE", "crc_ok": true, "hex": "010300d1000f55f7", "uid": 1, "func": 3, "len": 4, "addr": 209, "count": 15, "ts": "2025-09-21T19:58:44.705"}
{"role": "RSP", "to_client": "SHINE", "crc_ok": true, "hex": "01031e585858305858583030300000000000000000000000000000000000000000d6c5", "uid": 1, "func": 3, "len": 31, "addr": 7763, "count": 20044, "ts": "2025-09-21T19:58:44.752"}
{"role": "REQ", "from_client": "SHINE", "crc_ok": true, "hex": "010600bc0000482e", "uid": 1, "func": 6, "len": 4, "addr": 188, "value": 0, "ts": "2025-09-21T19:58:57.339"}
{"event": "downstream_timeout", "role": "WARN", "to": "INVERTER", "from_client": "SHINE", "timeout": 1.5, "ts": "2025-09-21T19:58:58.840"}
{"role": "RSP", "to_client": "SHINE", "crc_ok": false, "hex": "", "ts": "2025-09-21T19:58:58.841"}
{"role": "DROP", "from_client": "SHINE", "reason": "bad_crc", "hex": "01030000007d85eb01030000007d85eb", "ts": "2025-09-21T20:00:04.609"}
"""
"""The beginning of the recording, and two glued requests of later on."""


def seconds(number: float) -> datetime:
    """Return a time so many seconds after the start."""
    return START + timedelta(seconds=number)


def read(function: int, address: int, count: int) -> bytes:
    """Return the PDU of a read."""
    return bytes((function,)) + address.to_bytes(2) + count.to_bytes(2)


def answer(function: int, *words: int) -> bytes:
    """Return the PDU of its answer."""
    octets = b"".join(word.to_bytes(2) for word in words)
    return bytes((function, len(octets))) + octets


class Log:
    """What a gateway writes, a second for each thing that happens."""

    def __init__(self) -> None:
        """Begin."""
        self.events: list[Event] = []
        self.clock = 0.0

    def ask(
        self,
        request: bytes,
        reply: bytes | None,
        *,
        client: str = "10.0.0.7:4000",
        unit: int = 1,
        pause: float = 1.0,
        took: float = 0.1,
    ) -> Log:
        """Let a client ask and be answered."""
        at = seconds(self.clock)
        self.events.append(Asked(at, client, unit, request))
        self.events.append(
            Answered(at + timedelta(seconds=took), client, unit, request, reply)
        )
        self.clock += pause
        return self

    def see(self, function: int, address: int, *words: int, **options: float) -> Log:
        """Let a client read words."""
        request = read(function, address, len(words))
        pause = options.get("pause", 1.0)
        return self.ask(request, answer(function, *words), pause=pause)

    def noise(self, octets: bytes, client: str = "10.0.0.7:4000") -> Log:
        """Let a client send garbage."""
        self.events.append(Garbage(seconds(self.clock), client, octets))
        return self

    @property
    def text(self) -> str:
        """The file."""
        return b"".join(event.line() for event in self.events).decode()

    def write(self, folder: Path, name: str = "capture.jsonl") -> Path:
        """Write the file."""
        path = folder / name
        path.write_text(self.text)
        return path


def records(text: str) -> list[dict[str, object]]:
    """Return the lines of a file, decoded."""
    return [json.loads(line) for line in text.splitlines()]
