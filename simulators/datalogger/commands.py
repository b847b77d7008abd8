"""What a datalogger answers when its server asks or commands something."""

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Final

from simulators.requests import ILLEGAL_VALUE

from . import parameters
from .bodies import Parameter, ParameterDone, Single, SingleDone, Span, SpanDone
from .faults import RogueKind
from .inverters import NO_INVERTER
from .packets import Kind, Packet

if TYPE_CHECKING:
    from .stick import SimulatedStick

_DONE: Final = 0
_REFUSED: Final = ILLEGAL_VALUE


def answers_to(stick: SimulatedStick, packet: Packet) -> list[Packet]:
    """Do what a command says and return the answers; there is none to another's serial.

    Raises ``PacketError`` if its body is not what its kind says.
    """
    if packet.logger != stick.serial:
        return []
    refusal = stick.rogues.met(RogueKind.REFUSES, packet.kind)
    status = None if refusal is None else int(refusal)
    bodies = _HANDLERS[packet.kind](stick, packet, status)
    return [packet.answer(body) for body in bodies]


def _logger(stick: SimulatedStick, packet: Packet) -> str:
    """Return the serial number that an answer carries."""
    if stick.rogues.met(RogueKind.WRONG_SERIAL, packet.kind) is not None:
        return stick.serial[::-1]
    return stick.serial


def _read(
    stick: SimulatedStick, packet: Packet, refusal: int | None
) -> Iterator[bytes]:
    asked = Span.parse(packet)
    inverter = stick.inverters.get(packet.unit)
    words: tuple[int, ...] = ()
    if inverter is not None and refusal is None:
        words = inverter.read(asked.first, asked.last)
    answer = Span(_logger(stick, packet), asked.first, asked.last, words)
    yield answer.body(packet.protocol)


def _write(
    stick: SimulatedStick, packet: Packet, refusal: int | None
) -> Iterator[bytes]:
    asked = Single.parse(packet)
    status = _write_words(
        stick, packet, asked.register, (asked.value,), refusal, single=True
    )
    answer = SingleDone(_logger(stick, packet), asked.register, status, asked.value)
    yield answer.body(packet.protocol)


def _write_range(
    stick: SimulatedStick, packet: Packet, refusal: int | None
) -> Iterator[bytes]:
    asked = Span.parse(packet)
    if refusal is None and len(asked.words) != asked.last - asked.first + 1:
        refusal = _REFUSED
    status = _write_words(stick, packet, asked.first, asked.words, refusal)
    answer = SpanDone(_logger(stick, packet), asked.first, asked.last, status)
    yield answer.body(packet.protocol)


def _write_words(
    stick: SimulatedStick,
    packet: Packet,
    address: int,
    words: tuple[int, ...],
    refusal: int | None,
    *,
    single: bool = False,
) -> int:
    """Write to the inverter that a packet is for and return the status."""
    if refusal is not None:
        return refusal
    inverter = stick.inverters.get(packet.unit)
    if inverter is None:
        return NO_INVERTER
    return inverter.write(address, words, single=single)


def _tell(
    stick: SimulatedStick, packet: Packet, refusal: int | None
) -> Iterator[bytes]:
    """Tell parameters, one after the other. A stick that refuses says nothing."""
    asked = Span.parse(packet)
    if refusal is not None:
        return
    for number in sorted(stick.parameters):
        if asked.first <= number <= asked.last:
            text = stick.parameter(number)
            answer = Parameter(_logger(stick, packet), number, text)
            yield answer.body(packet.protocol)


def _set(stick: SimulatedStick, packet: Packet, refusal: int | None) -> Iterator[bytes]:
    asked = Parameter.parse(packet)
    status = refusal
    if status is None:
        known = asked.number in stick.parameters
        allowed = known and parameters.is_allowed(asked.number, asked.text)
        status = _DONE if allowed else _REFUSED
    if status == _DONE:
        stick.set_parameter(asked.number, asked.text)
    stick.parameter_writes.append((asked.number, asked.text, status))
    answer = ParameterDone(_logger(stick, packet), asked.number, status)
    yield answer.body(packet.protocol)


_HANDLERS: Final[
    Mapping[int, Callable[[SimulatedStick, Packet, int | None], Iterator[bytes]]]
] = {
    Kind.READ: _read,
    Kind.WRITE: _write,
    Kind.WRITE_RANGE: _write_range,
    Kind.PARAMETER: _tell,
    Kind.SET_PARAMETER: _set,
}
