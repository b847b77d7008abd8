"""Requests to a simulated Modbus device: decoding, acting on them, answering.

pymodbus decodes and encodes the PDUs; what is done in between is written here.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
import struct
import time
from typing import Final, Protocol

from pymodbus.pdu import DecodePDU, ExceptionResponse, ModbusPDU
from pymodbus.pdu.register_message import (
    ReadHoldingRegistersRequest,
    ReadHoldingRegistersResponse,
    ReadInputRegistersResponse,
    WriteMultipleRegistersResponse,
    WriteSingleRegisterResponse,
)

from .datasets import Table
from .faults import OPS, Fault, FaultKind

ILLEGAL_FUNCTION: Final = 1
ILLEGAL_ADDRESS: Final = 2
ILLEGAL_VALUE: Final = 3
GATEWAY_NO_ANSWER: Final = 11

MAX_WORDS: Final = 125
"""The most words that a read or write may carry (MODBUS Application Protocol V1.1b3)."""


class ReadMeterRequest(ReadHoldingRegistersRequest):
    """Growatt's own function 0x20: reads the meter block, coded like function 3."""

    function_code = 0x20


class ReadMeterResponse(ReadHoldingRegistersResponse):
    """The answer to function 0x20."""

    function_code = 0x20


_READS: Final[Mapping[int, tuple[Table, type[ModbusPDU]]]] = {
    3: (Table.HOLDING, ReadHoldingRegistersResponse),
    4: (Table.INPUT, ReadInputRegistersResponse),
    0x20: (Table.METER, ReadMeterResponse),
}
_WRITE_SINGLE: Final = 6
WRITES: Final = (_WRITE_SINGLE, 16)
"""Functions that set holding registers."""


class RefusedError(Exception):
    """The device answers with an exception."""

    def __init__(self, code: int) -> None:
        """Refuse with a Modbus exception code."""
        super().__init__(f"Modbus exception {code}")
        self.code = code


class NoAnswerError(Exception):
    """The device does not answer."""


class ModbusDevice(Protocol):
    """One unit on the bus."""

    @property
    def silent(self) -> bool:
        """Whether it hears and answers nothing."""

    def read(self, table: Table, address: int, count: int) -> list[int]:
        """Return words. Raises ``RefusedError`` or ``NoAnswerError``."""

    def check_write(self, address: int, words: Sequence[int], *, single: bool) -> None:
        """Take in a write, by function 6 if ``single``, without carrying it out.

        Raises ``RefusedError`` or ``NoAnswerError``.
        """

    def store(self, address: int, words: Sequence[int]) -> bool:
        """Set holding registers, unchecked, and return whether any was set."""


type Later = Callable[[float, Callable[[], None]], None]
"""Does something after so many seconds."""


@dataclass(slots=True, kw_only=True)
class Request:
    """A request that came in, and what became of it.

    ``received`` and ``answered`` are times of the event loop in seconds; the latter
    is when the answer leaves, ``None`` if none does. ``words`` were read or written.
    ``overlapped``: another request was still being answered. ``done``: what was written
    has taken effect, even if the answer was lost.
    """

    time: float
    """Unix time."""
    listener: str
    client: str
    unit: int
    function: int
    address: int
    count: int
    words: list[int] = field(default_factory=list)
    exception: int | None = None
    fault: str | None = None
    received: float
    answered: float | None = None
    overlapped: bool = False
    done: bool = False

    @property
    def op(self) -> str:
        """Name of the function, as in captures."""
        return OPS.get(self.function, f"function_{self.function}")

    def as_record(self) -> dict[str, object]:
        """Return it as a line of a capture."""
        record: dict[str, object] = {
            "ts": round(self.time, 6),
            "op": self.op,
            "unit": self.unit,
            "addr": self.address,
            "count": self.count,
            "regs": self.words,
        }
        if self.exception is not None:
            record["error"] = self.exception
        if self.fault is not None:
            record["fault"] = self.fault
        return record


def parse(
    decoder: DecodePDU,
    octets: bytes,
    *,
    listener: str,
    client: str,
    unit: int,
    now: float,
) -> tuple[Request, ModbusPDU | None]:
    """Decode a PDU; ``None`` stands for one that does not make sense."""
    try:
        pdu = decoder.decode(octets)
    except struct.error:
        pdu = None
    request = Request(
        time=time.time(),
        listener=listener,
        client=client,
        unit=unit,
        function=octets[0],
        address=pdu.address if pdu else 0,
        count=pdu.count if pdu else 0,
        received=now,
    )
    if pdu is not None and request.function in WRITES:
        request.words = list(pdu.registers)
        request.count = request.count or len(request.words)
    return request, pdu


def answer(
    device: ModbusDevice,
    request: Request,
    pdu: ModbusPDU | None,
    faults: Sequence[Fault],
    later: Later,
) -> ModbusPDU | None:
    """Let a device act on a request and return its answer, ``None`` for silence.

    ``later`` carries out writes that take effect late.
    """
    try:
        return _act(device, request, pdu, faults, later)
    except RefusedError as err:
        request.exception = err.code
        request.words = []
        return ExceptionResponse(request.function, err.code)
    except NoAnswerError:
        return None


def _act(
    device: ModbusDevice,
    request: Request,
    pdu: ModbusPDU | None,
    faults: Sequence[Fault],
    later: Later,
) -> ModbusPDU:
    function, address, count = request.function, request.address, request.count
    too_few = 0
    for fault in faults:
        match fault.kind:
            case FaultKind.DEAF:
                raise NoAnswerError
            case FaultKind.EXCEPTION:
                raise RefusedError(int(fault.argument))
            case FaultKind.SHORT:
                too_few += int(fault.argument)
    if function & 0x80:
        raise NoAnswerError
    if function not in OPS:
        raise RefusedError(ILLEGAL_FUNCTION)
    if pdu is None or not 1 <= count <= MAX_WORDS:
        raise RefusedError(ILLEGAL_VALUE)
    if address + count > 0x10000:
        raise RefusedError(ILLEGAL_ADDRESS)
    if function in _READS:
        table, response = _READS[function]
        request.words = device.read(table, address, count)
        return response(registers=request.words[: max(0, count - too_few)])
    if len(request.words) != count:
        raise RefusedError(ILLEGAL_VALUE)
    single = function == _WRITE_SINGLE
    device.check_write(address, request.words, single=single)
    _carry_out(device, request, faults, later)
    if single:
        return WriteSingleRegisterResponse(address=address, registers=request.words)
    return WriteMultipleRegistersResponse(address=address, count=count)


def _carry_out(
    device: ModbusDevice, request: Request, faults: Sequence[Fault], later: Later
) -> None:
    """Let a device do a write that it has taken in, as far as the faults let it."""
    words = list(request.words)
    seconds = 0.0
    for fault in faults:
        match fault.kind:
            case FaultKind.IGNORE:
                return
            case FaultKind.CLAMP:
                words[-1] = int(fault.argument)
            case FaultKind.LATE:
                seconds += fault.argument

    def store() -> None:
        # Without power it loses what it had still to do.
        if not device.silent and device.store(request.address, words):
            request.done = True

    if seconds:
        later(seconds, store)
    else:
        store()
