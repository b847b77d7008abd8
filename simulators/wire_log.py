"""Recorded buses as exchanges: a request, and its answer if it got one.

Three formats of JSON lines are told apart by themselves:

* A capture of the gateway: ``role`` REQ, RSP or WARN, ``client``, ``unit``, ``func``,
  ``addr``, ``count``, ``hex``. An answer names what it is the answer to.
* The wire log of growatt-rtu-broker: ``role`` as well, ``from_client`` and ``to_client``.
  ``addr`` and ``count`` of its answers are wrong; an answer belongs to the last request
  of its client.
* A capture of a simulator: ``op``, ``unit``, ``addr``, ``count``, ``regs``. It names
  no clients.

In the first two, ``hex`` is a whole RTU frame, and only that is believed.
"""

from collections import Counter, deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
import json
from pathlib import Path
from typing import Final

from pymodbus.framer import FramerRTU

from .errors import SimulatorError
from .exchanges import READS, STAND_INS, Exchange, fits, read_request, write_request
from .text_file import read_text
from .words import read_address, read_word

_FUNCTION_OF_OP: Final[Mapping[str, int]] = {
    "read_holding": 3,
    "read_input": 4,
    "read_meter": 0x20,
    "write_single": 6,
    "write_multiple": 16,
}

_MOST_WORDS: Final = 0xFF
"""More than a message can hold, whatever its function."""

_UNDECIDED: Final = timedelta(seconds=5)
"""Before the end of a recording: a request may have been answered after it."""

type _Record = Mapping[str, object]
type _Key = tuple[str, int | None, int | None, int | None, int | None]
"""Client, unit, function, address, count."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recording:
    """What a file holds."""

    name: str
    exchanges: tuple[Exchange, ...]
    """In the order in which they were asked."""
    garbage: Mapping[str, int] = field(default_factory=dict)
    """By client: frames with a wrong checksum, and answers that fit no request."""
    dropped: int = 0
    """Lines that a capture could not write down."""


def is_recording(text: str) -> bool:
    """Tell whether the first line that is not empty is a record of one of the formats."""
    first = next((line for line in text.splitlines() if line.strip()), "")
    try:
        record = json.loads(first)
    except json.JSONDecodeError, RecursionError:
        return False
    return isinstance(record, dict) and ("op" in record or "role" in record)


def load_recording(source: str | Path) -> Recording:
    """Read a file. Raises ``SimulatorError`` naming file and line."""
    text = read_text(source)
    if not is_recording(text):
        raise SimulatorError(f"{source}: is no capture: JSON lines with role or op")
    return parse_recording(text, str(source))


def parse_recording(text: str, name: str) -> Recording:
    """Read the lines of a recording. Raises ``SimulatorError`` naming file and line."""
    pairing = _Pairing()
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        where = f"{name}: line {number}"
        try:
            record = json.loads(line)
        except json.JSONDecodeError, RecursionError:
            raise SimulatorError(f"{where}: is not JSON") from None
        if not isinstance(record, dict):
            raise SimulatorError(f"{where}: is not an object")
        if "role" in record:
            pairing.take(record, where)
        elif (request := _op_request(record, where)) is not None:
            pairing.requests.append(request)
    return Recording(
        name=name,
        exchanges=tuple(request.exchange() for request in pairing.decided()),
        garbage={client: count for client, count in pairing.garbage.items() if count},
        dropped=pairing.dropped,
    )


@dataclass(slots=True, kw_only=True)
class _Request:
    """A request, and the answer when it is found."""

    at: datetime | None
    client: str
    unit: int
    pdu: bytes
    answer: bytes | None = None
    answered_at: datetime | None = None
    answered_by: int | None = None
    is_closed: bool = False
    """Whether its answer came, or something says that there is none."""

    def exchange(self) -> Exchange:
        return Exchange.of(
            self.pdu,
            self.answer,
            at=self.at,
            client=self.client,
            unit=self.unit,
            answered_at=self.answered_at,
            answered_by=self.answered_by,
        )


class _Pairing:
    """Finds the request of each answer."""

    def __init__(self) -> None:
        self.requests: list[_Request] = []
        self.garbage: Counter[str] = Counter()
        self.dropped = 0
        self._end: datetime | None = None
        self._last: dict[str, _Request] = {}
        self._waiting: dict[_Key, deque[_Request]] = {}

    def take(self, record: _Record, where: str) -> None:
        """Take in a line."""
        names = (record.get(key) for key in ("client", "from_client", "to_client"))
        client = next((name for name in names if name is not None), "")
        if not isinstance(client, str):
            raise SimulatorError(f"{where}: client {client!r} is not a text")
        at = _time(record, where)
        if at is not None:
            self._end = at if self._end is None else max(at, self._end)
        match record["role"]:
            case "REQ":
                self._request(record, client, at, where)
            case "RSP":
                self._answer(record, client, at, where)
            case "WARN" if record.get("event") == "no_answer":
                self._asked(record, client, where)
            case "WARN" if record.get("event") == "dropped":
                self.dropped += _whole(record, "lines", where) or 0
            case "WARN" | "DROP" if record.get("hex"):
                self.garbage[client] += 1
            case "WARN" | "DROP" | "SYS":
                pass
            case role:
                raise SimulatorError(f"{where}: role {role!r} is not REQ, RSP or WARN")

    def decided(self) -> Iterator[_Request]:
        """Yield the requests, but not those that were still open at the end."""
        for request in self.requests:
            if (
                request.is_closed
                or request.at is None
                or self._end is None
                or request.at + _UNDECIDED < self._end
            ):
                yield request

    def _request(
        self, record: _Record, client: str, at: datetime | None, where: str
    ) -> None:
        frame = _frame(record, where)
        if frame is None:
            self.garbage[client] += 1
            return
        request = _Request(at=at, client=client, unit=frame[0], pdu=frame[1:])
        self.requests.append(request)
        if "client" in record:
            key = _key(record, client, where)
            self._waiting.setdefault(key, deque()).append(request)
        else:
            if (before := self._last.get(client)) is not None:
                before.is_closed = True
            self._last[client] = request

    def _asked(self, record: _Record, client: str, where: str) -> _Request | None:
        """Return the request that a line is about; it is not waiting any more."""
        if "client" not in record:
            request = self._last.pop(client, None)
        else:
            key = _key(record, client, where)
            # What is asked of a stand-in may be answered in the unit's own name.
            keys = (key, *((client, unit, *key[2:]) for unit in STAND_INS))
            waiting = next(filter(None, map(self._waiting.get, keys)), None)
            request = waiting.popleft() if waiting else None
        if request is not None:
            request.is_closed = True
        return request

    def _answer(
        self, record: _Record, client: str, at: datetime | None, where: str
    ) -> None:
        frame = _frame(record, where)
        request = self._asked(record, client, where)
        if frame is None:
            self.garbage[client] += bool(record.get("hex"))
        elif request is None or not fits(request.pdu, frame[1:]):
            self.garbage[client] += 1
        else:
            request.answer = frame[1:]
            request.answered_at, request.answered_by = at, frame[0]


def _key(record: _Record, client: str, where: str) -> _Key:
    """Return what a request and its answer have in common."""
    unit, function, address, count = (
        _whole(record, name, where) for name in ("unit", "func", "addr", "count")
    )
    return client, unit, function, address, count


def _frame(record: _Record, where: str) -> bytes | None:
    """Return unit id and PDU, ``None`` if the checksum is wrong or there is no frame."""
    text = record.get("hex")
    if not isinstance(text, str):
        raise SimulatorError(f"{where}: hex {text!r} is not a text")
    try:
        octets = bytes.fromhex(text)
    except ValueError:
        raise SimulatorError(f"{where}: hex is not hexadecimal") from None
    if len(octets) < 4 or record.get("crc_ok") is False:
        return None
    body, checksum = octets[:-2], int.from_bytes(octets[-2:])
    return body if FramerRTU.compute_CRC(body) == checksum else None


def _op_request(record: _Record, where: str) -> _Request | None:
    """Return what a record of a simulator's capture says, ``None`` if it brings nothing."""
    op = str(record.get("op"))
    if (function := _FUNCTION_OF_OP.get(op)) is None:
        return None
    words = tuple(_op_words(record, where))
    if not words and record.get("addr") is None:
        return None
    unit = record.get("unit", 1)
    if isinstance(unit, bool) or not isinstance(unit, int) or not 0 <= unit <= 255:
        raise SimulatorError(f"{where}: unit {unit!r} is not a whole number")
    start = read_address(record.get("addr"), f"{where}: addr")
    if start + len(words) > 0x10000:
        raise SimulatorError(f"{where}: {len(words)} words do not fit from {start} on")
    if len(words) > _MOST_WORDS:
        raise SimulatorError(
            f"{where}: {len(words)} words are more than fit in a message"
        )
    count = len(words) or _whole(record, "count", where) or 0
    code = _whole(record, "error", where)
    answer: bytes | None = None
    if function in READS:
        request = read_request(function, start, count & 0xFFFF)
        if words:
            octets = b"".join(word.to_bytes(2) for word in words)
            answer = bytes((function, len(octets) & 0xFF)) + octets
    else:
        request = write_request(function, start, words)
        if words and not _is_undone(record):
            answer = request[:5]
    if code is not None:
        answer = bytes((function | 0x80, code & 0xFF))
    at = _time(record, where)
    return _Request(
        at=at, client="", unit=unit, pdu=request, answer=answer, is_closed=True
    )


def _op_words(record: _Record, where: str) -> Iterator[int]:
    """Yield the words that were read or written, under their newer or older name."""
    words = record.get("regs", record.get("values", record.get("value", [])))
    if isinstance(words, int):
        words = [words]
    if not isinstance(words, list):
        raise SimulatorError(f"{where}: regs is not a list")
    for place, word in enumerate(words):
        yield read_word(word, f"{where}: regs {place}")


def _is_undone(record: _Record) -> bool:
    """Tell whether a simulator's fault kept the words of a write from being stored."""
    faults = str(record.get("fault", "")).split("+")
    return any(fault in faults for fault in ("deaf", "ignore", "clamp"))


def _time(record: _Record, where: str) -> datetime | None:
    """Return when a line was written, in UTC unless it says otherwise."""
    at = record.get("ts")
    if at is None:
        return None
    try:
        if isinstance(at, str):
            parsed = datetime.fromisoformat(at)
            return parsed if parsed.tzinfo is not None else parsed.replace(tzinfo=UTC)
        if isinstance(at, int | float) and not isinstance(at, bool):
            return datetime.fromtimestamp(at, UTC)
    except ValueError, OverflowError, OSError:
        pass
    raise SimulatorError(f"{where}: ts {at!r} is not a time")


def _whole(record: _Record, key: str, where: str) -> int | None:
    value = record.get(key)
    if value is None or (isinstance(value, int) and not isinstance(value, bool)):
        return value
    raise SimulatorError(f"{where}: {key} {value!r} is not a whole number")
