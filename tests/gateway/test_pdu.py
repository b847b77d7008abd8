"""Requests and answers as bytes, against pymodbus."""

from hypothesis import given, strategies as st
from pymodbus.pdu import DecodePDU, ExceptionResponse
from pymodbus.pdu.register_message import (
    ReadHoldingRegistersRequest,
    ReadInputRegistersRequest,
    WriteMultipleRegistersRequest,
    WriteSingleRegisterRequest,
)
import pytest

from custom_components.local_solar.gateway.pdu import (
    READ_INPUT,
    BadRequestError,
    ExceptionCode,
    Request,
    exception_answer,
    exception_of,
    parse,
    part_of,
    read_answer,
    write_answer,
)

ADDRESSES = st.integers(0, 0xFFFF)
WORDS = st.integers(0, 0xFFFF)


@given(
    address=st.integers(0, 0xFFFF - 125),
    count=st.integers(1, 125),
    is_input=st.booleans(),
)
def test_reads_are_understood_as_pymodbus_codes_them(
    address: int, count: int, is_input: bool
) -> None:
    kind = ReadInputRegistersRequest if is_input else ReadHoldingRegistersRequest
    theirs = kind(address=address, count=count)
    pdu = bytes((theirs.function_code,)) + theirs.encode()
    assert parse(7, pdu) == Request(7, 4 if is_input else 3, address, count)


@given(
    address=st.integers(0, 0xFFFF - 123),
    words=st.lists(WORDS, min_size=1, max_size=123),
)
def test_writes_are_understood_as_pymodbus_codes_them(
    address: int, words: list[int]
) -> None:
    theirs = WriteMultipleRegistersRequest(address=address, registers=words)
    request = parse(1, bytes((16,)) + theirs.encode())
    assert request == Request(1, 16, address, len(words), tuple(words))
    assert request.is_write
    single = WriteSingleRegisterRequest(address=address, registers=words[:1])
    pdu = bytes((6,)) + single.encode()
    assert parse(1, pdu) == Request(1, 6, address, 1, (words[0],))
    # The echo of a single write is the request itself.
    assert write_answer(parse(1, pdu)) == pdu


@given(
    address=st.integers(0, 0xFFFF - 125),
    words=st.lists(WORDS, min_size=1, max_size=123),
)
def test_answers_are_understood_by_pymodbus(address: int, words: list[int]) -> None:
    decoder = DecodePDU(False)
    answer = decoder.decode(read_answer(3, words))
    assert answer is not None
    assert answer.registers == words
    written = decoder.decode(
        write_answer(Request(1, 16, address, len(words), tuple(words)))
    )
    assert written is not None
    assert (written.address, written.count) == (address, len(words))


@given(words=st.lists(WORDS, min_size=1, max_size=125), data=st.data())
def test_part_of_an_answer_is_the_answer_to_what_lies_within(
    words: list[int], data: st.DataObject
) -> None:
    first = data.draw(st.integers(0, len(words) - 1))
    count = data.draw(st.integers(1, len(words) - first))
    whole = Request(1, READ_INPUT, 100, len(words))
    wanted = Request(1, READ_INPUT, 100 + first, count)
    part = part_of(read_answer(READ_INPUT, words), whole, wanted)
    assert part == read_answer(READ_INPUT, words[first : first + count])


@given(function=st.integers(1, 127), code=st.integers(1, 255))
def test_exceptions_are_told_from_data(function: int, code: int) -> None:
    answer = exception_answer(function, code)
    assert exception_of(answer) == code
    assert exception_of(read_answer(3, [1])) is None


def test_exceptions_are_understood_by_pymodbus() -> None:
    answer = DecodePDU(False).decode(exception_answer(4, ExceptionCode.NO_RESPONSE))
    assert isinstance(answer, ExceptionResponse)
    assert answer.exception_code == 11


@pytest.mark.parametrize(
    ("pdu", "code"),
    [
        (b"", ExceptionCode.ILLEGAL_FUNCTION),
        (bytes((0x2B, 0x0E, 1, 0)), ExceptionCode.ILLEGAL_FUNCTION),
        (bytes((0x20, 0, 0, 0, 100)), ExceptionCode.ILLEGAL_FUNCTION),
        (bytes((3, 0, 0, 0)), ExceptionCode.ILLEGAL_VALUE),
        (bytes((3, 0, 0, 0, 1, 0)), ExceptionCode.ILLEGAL_VALUE),
        (bytes((3, 0, 0, 0, 0)), ExceptionCode.ILLEGAL_VALUE),
        (bytes((3, 0, 0, 0, 126)), ExceptionCode.ILLEGAL_VALUE),
        (bytes((3, 0xFF, 0xFF, 0, 2)), ExceptionCode.ILLEGAL_ADDRESS),
        (bytes((16, 0, 0, 0, 1, 2, 0)), ExceptionCode.ILLEGAL_VALUE),
        (bytes((16, 0, 0, 0, 1, 4, 0, 0)), ExceptionCode.ILLEGAL_VALUE),
        (bytes((16, 0, 0, 0, 0, 0)), ExceptionCode.ILLEGAL_VALUE),
        (bytes((16, 0, 0)), ExceptionCode.ILLEGAL_VALUE),
        (bytes((6, 0, 0, 1)), ExceptionCode.ILLEGAL_VALUE),
    ],
)
def test_what_cannot_be_served_is_answered_with_its_reason(
    pdu: bytes, code: ExceptionCode
) -> None:
    with pytest.raises(BadRequestError) as caught:
        parse(1, pdu)
    assert caught.value.code is code


@given(st.binary(max_size=300))
def test_whatever_comes_is_a_request_or_an_error(pdu: bytes) -> None:
    try:
        request = parse(1, pdu)
    except BadRequestError:
        return
    assert request.address + request.length <= 0x1_0000
    assert len(request.words) in (0, request.length)


def test_a_request_can_be_read_in_a_log() -> None:
    assert str(Request(2, 4, 3000, 125)) == "function 4 at 3000, 125 registers, unit 2"
