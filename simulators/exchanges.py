"""A request on a Modbus bus and what became of it, whatever file it was read from."""

from dataclasses import dataclass, field
from datetime import datetime
from struct import error, unpack
from typing import Final, NamedTuple

READ_HOLDING: Final = 3
READ_INPUT: Final = 4
WRITE_SINGLE: Final = 6
WRITE_MULTIPLE: Final = 16
READ_METER: Final = 0x20
"""Growatt's own function: coded like function 3."""

READS: Final = (READ_HOLDING, READ_INPUT, READ_METER)
WRITES: Final = (WRITE_SINGLE, WRITE_MULTIPLE)

STAND_INS: Final = (0, 255)
"""Unit ids that are nobody's: a stick asks unit 0, Modbus TCP clients without a choice 255,
and the only unit that there is answers."""

_ERROR_BIT: Final = 0x80


class Asked(NamedTuple):
    """What the PDU of a request asks for. Of functions that are not known, all is 0."""

    function: int
    address: int
    length: int
    words: tuple[int, ...]
    """Those to be written."""

    @classmethod
    def parse(cls, pdu: bytes) -> Asked:
        """Read a PDU; one that makes no sense asks for nothing."""
        function = pdu[0] if pdu else 0
        try:
            if function in READS:
                _, address, length = unpack(">BHH", pdu)
                return cls(function, address, length, ())
            if function == WRITE_SINGLE:
                _, address, word = unpack(">BHH", pdu)
                return cls(function, address, 1, (word,))
            if function == WRITE_MULTIPLE:
                _, address, length = unpack(">BHH", pdu[:5])
                words = unpack(f">{length}H", pdu[6:])
                return cls(function, address, length, words)
        except error:
            pass
        return cls(function, 0, 0, ())


def read_request(function: int, address: int, count: int) -> bytes:
    """Return the PDU of a read."""
    return bytes((function,)) + address.to_bytes(2) + count.to_bytes(2)


def write_request(function: int, address: int, words: tuple[int, ...]) -> bytes:
    """Return the PDU of a write."""
    octets = b"".join(word.to_bytes(2) for word in words)
    start = bytes((function,)) + address.to_bytes(2)
    if function == WRITE_SINGLE:
        return start + octets[:2]
    return start + len(words).to_bytes(2) + bytes((len(octets) & 0xFF,)) + octets


def fits(request: bytes, answer: bytes) -> bool:
    """Tell whether a PDU can be the answer to a request: its function, length, echo."""
    if len(answer) < 2 or not request:
        return False
    asked = Asked.parse(request)
    if answer[0] == asked.function | _ERROR_BIT:
        return len(answer) == 2
    if answer[0] != asked.function:
        return False
    if asked.function in READS:
        return len(answer) == 2 + 2 * asked.length and answer[1] == 2 * asked.length
    if asked.function in WRITES:
        return answer == request[:5]
    return True


@dataclass(frozen=True, slots=True, kw_only=True)
class Exchange:
    """A request and what became of it.

    ``words`` were read or written; ``None`` if it was refused (``exception``) or not
    answered at all. An answer to a function that is not known has none.
    """

    at: datetime | None
    """When it was asked; a time without a zone counts as UTC."""
    client: str
    unit: int
    """The unit that was asked."""
    function: int
    address: int
    count: int
    words: tuple[int, ...] | None = None
    exception: int | None = None
    request: bytes = field(repr=False)
    """The PDU that was sent."""
    answered_at: datetime | None = None
    answered_by: int | None = None
    """The unit that answered: a Shine stick asks unit 0 and unit 1 answers."""

    @classmethod
    def of(
        cls,
        request: bytes,
        answer: bytes | None,
        *,
        at: datetime | None,
        client: str,
        unit: int,
        answered_at: datetime | None = None,
        answered_by: int | None = None,
    ) -> Exchange:
        """Decode the PDUs of a request and of an answer that ``fits``."""
        asked = Asked.parse(request)
        words: tuple[int, ...] | None = None
        exception: int | None = None
        if answer is None:
            answered_at = answered_by = None
        elif answer[0] & _ERROR_BIT:
            exception = answer[1]
        elif asked.function in READS:
            words = unpack(f">{asked.length}H", answer[2:])
        else:
            words = asked.words
        return cls(
            at=at,
            client=client,
            unit=unit,
            function=asked.function,
            address=asked.address,
            count=asked.length,
            words=words,
            exception=exception,
            request=request,
            answered_at=answered_at,
            answered_by=answered_by,
        )

    @property
    def is_answered(self) -> bool:
        """Whether anything was answered, be it that it is refused."""
        return self.words is not None or self.exception is not None

    @property
    def is_write(self) -> bool:
        """Whether it is to change something, as far as its function is known."""
        return self.function in WRITES

    @property
    def took(self) -> float | None:
        """Seconds until the answer."""
        if self.at is None or self.answered_at is None:
            return None
        return (self.answered_at - self.at).total_seconds()

    @property
    def device(self) -> int:
        """The unit whose registers these are."""
        return self.unit if self.answered_by is None else self.answered_by

    @property
    def peer(self) -> str:
        """The client without its port: programs that connect anew get another one."""
        return peer_of(self.client)

    @property
    def what(self) -> str:
        """What was asked, as reports show it."""
        if not self.count:
            return f"function {self.function}"
        last = self.address + self.count - 1
        span = str(self.address) if last == self.address else f"{self.address}-{last}"
        return f"function {self.function} at {span}"


def peer_of(client: str) -> str:
    """Return the name of a client without its port."""
    host, _, port = client.rpartition(":")
    return host if host and port.isdecimal() else client
