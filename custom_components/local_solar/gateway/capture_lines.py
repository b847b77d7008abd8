"""How a capture says what went through a gateway: one JSON object per line.

``{"ts": "2026-11-21T18:30:01.123+00:00", "role": "REQ", "client": "192.168.1.7:50312",
"unit": 1, "func": 4, "addr": 3000, "count": 2, "crc_ok": true, "hex": "01040bb8..."}``

``role`` is ``REQ``, ``RSP`` or ``WARN``; ``regs`` are the words that were read or written,
``exception`` is the code of an answer that is one, ``hex`` is what a serial line would have
carried: unit id, PDU, checksum. An answer repeats what it is the answer to. Warnings have
an ``event`` (``no_answer``, ``dropped``), or they are garbage: ``crc_ok`` is false.
"""

from collections.abc import Iterable, Iterator
from datetime import datetime
from itertools import batched
import json
from struct import error, unpack
import time
from typing import Final, NamedTuple

from ..modbus.crc import crc16
from .pdu import (
    READ_METER,
    READS,
    WRITE_MULTIPLE,
    WRITE_SINGLE,
    BadRequestError,
    Request,
    exception_of,
    parse,
)

MOST_GARBAGE: Final = 512
"""Bytes of garbage that a line shows. It may be anything, and any length."""

_TOGETHER: Final = 16
_A_MOMENT: Final = 1e-6
"""Lines that are made in one go, about 0.5 ms, and the seconds after them."""

_NAME: Final = 100
"""Characters of a client's name."""

_WITH_WORDS: Final = READS | {READ_METER}


class Asked(NamedTuple):
    """A request came."""

    at: datetime
    client: str
    unit: int
    pdu: bytes

    def line(self) -> bytes:
        """Return its line."""
        return _line(self.at, "REQ", self.client, _request(self.unit, self.pdu), self)


class Answered(NamedTuple):
    """A request was answered, or, with ``None`` as its PDU, it was not."""

    at: datetime
    client: str
    unit: int
    request: bytes
    pdu: bytes | None

    def line(self) -> bytes:
        """Return its line."""
        asked = _request(self.unit, self.request)
        written = asked.pop("regs", None)
        if self.pdu is None:
            return _line(self.at, "WARN", self.client, {**asked, "event": "no_answer"})
        about = asked | _answer(self.pdu)
        if written is not None and "exception" not in about:
            about["regs"] = written
        return _line(self.at, "RSP", self.client, about, self)


class Garbage(NamedTuple):
    """Bytes came that were no request."""

    at: datetime
    client: str
    octets: bytes

    def line(self) -> bytes:
        """Return its line."""
        about: dict[str, object] = {
            "crc_ok": False,
            "hex": self.octets[:MOST_GARBAGE].hex(),
        }
        if len(self.octets) > MOST_GARBAGE:
            about["octets"] = len(self.octets)
        return _line(self.at, "WARN", self.client, about)


class Dropped(NamedTuple):
    """So many lines are missing here: they came faster than they could be written."""

    at: datetime
    lines: int

    def line(self) -> bytes:
        """Return its line."""
        return _line(self.at, "WARN", None, {"event": "dropped", "lines": self.lines})


type Event = Asked | Answered | Garbage | Dropped


def lines_of(events: Iterable[Event]) -> Iterator[bytes]:
    """Yield the lines of events, in a thread that lets the event loop go first."""
    for together in batched(events, _TOGETHER, strict=False):
        yield from (event.line() for event in together)
        # Python would change to the event loop only after 5 ms.
        time.sleep(_A_MOMENT)


def _line(
    at: datetime,
    role: str,
    client: str | None,
    about: dict[str, object],
    frame: Asked | Answered | None = None,
) -> bytes:
    record: dict[str, object] = {
        "ts": at.isoformat(timespec="milliseconds"),
        "role": role,
    }
    if client is not None:
        record["client"] = client[:_NAME]
    record |= about
    if frame is not None:
        octets = bytes((frame.unit,)) + (frame.pdu or b"")
        record["crc_ok"] = True
        record["hex"] = (octets + crc16(octets).to_bytes(2, "little")).hex()
    return json.dumps(record).encode() + b"\n"


def _request(unit: int, pdu: bytes) -> dict[str, object]:
    """Return what a request is about, as far as that can be told."""
    about: dict[str, object] = {"unit": unit, "func": pdu[0] if pdu else 0}
    if (request := _parsed(unit, pdu)) is not None:
        about |= {"addr": request.address, "count": request.length}
        if request.is_write:
            about["regs"] = request.words
    return about


def _parsed(unit: int, pdu: bytes) -> Request | None:
    """Return a request; that of the meter has the shape of function 3."""
    try:
        if pdu[:1] == bytes((READ_METER,)):
            return Request(unit, *unpack(">BHH", pdu))
        return parse(unit, pdu)
    except BadRequestError, error:
        return None


def _answer(pdu: bytes) -> dict[str, object]:
    """Return what an answer brings."""
    if not pdu or pdu[0] in (WRITE_SINGLE, WRITE_MULTIPLE):
        return {}
    if len(pdu) > 1 and (code := exception_of(pdu)) is not None:
        return {"exception": code}
    if pdu[0] not in _WITH_WORDS or len(pdu) % 2:
        return {}
    return {"regs": unpack(f">{len(pdu) // 2 - 1}H", pdu[2:])}
