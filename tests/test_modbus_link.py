"""Links: how they are opened, shared, stored and named, and what their errors mean."""

import json
import socket

from modbus_connection import (
    AcknowledgeError,
    GatewayPathUnavailableError,
    GatewayTargetError,
    IllegalDataAddressError,
    IllegalFunctionError,
    ModbusConnectionError,
    ModbusDesyncError,
    ModbusError,
    ModbusProtocolError,
    ModbusSerialParams,
    ModbusTcpParams,
    ModbusTimeoutError,
    ServerDeviceBusyError,
)
import pytest

from custom_components.local_solar.modbus_link import (
    BEHIND_A_BRIDGE,
    LinkProblem,
    ModbusLink,
    explain,
)

TCP = ModbusLink(host="192.168.1.5", port=502)
RTU_TCP = ModbusLink.rtu_over_tcp("Bridge.lan", 8899)
SERIAL = ModbusLink(device="/dev/ttyUSB0", baudrate=38400)
LINKS = {"tcp": TCP, "rtu_tcp": RTU_TCP, "serial": SERIAL}


@pytest.mark.parametrize(
    ("link", "params"),
    [
        (TCP, ModbusTcpParams(host="192.168.1.5", port=502)),
        (
            RTU_TCP,
            ModbusSerialParams(device="socket://bridge.lan:8899", baudrate=115200),
        ),
        (SERIAL, ModbusSerialParams(device="/dev/ttyUSB0", baudrate=38400)),
    ],
    ids=LINKS,
)
def test_link_opens_the_shared_connection_that_others_would_open(
    link: ModbusLink, params: ModbusTcpParams | ModbusSerialParams
) -> None:
    assert link.params == params


@pytest.mark.filterwarnings("ignore:ModbusTcpParams:DeprecationWarning")
@pytest.mark.parametrize("host", ["bridge.lan", "fe80::1"])
def test_rtu_over_tcp_has_the_endpoint_that_home_assistant_makes_of_the_old_form(
    host: str,
) -> None:
    old = ModbusTcpParams(host=host, port=8899, framer="rtu")
    assert ModbusLink.rtu_over_tcp(host, 8899).params.endpoint == old.endpoint


def test_serial_line_has_eight_data_bits_no_parity_and_one_stop_bit() -> None:
    params = SERIAL.params
    assert isinstance(params, ModbusSerialParams)
    assert (params.bytesize, params.parity, params.stopbits) == (8, "N", 1)


@pytest.mark.parametrize("link", LINKS.values(), ids=LINKS)
def test_link_survives_being_stored(link: ModbusLink) -> None:
    stored = json.loads(json.dumps(link.to_json()))
    assert ModbusLink.from_json(stored) == link


def test_nothing_is_stored_that_a_link_does_not_use() -> None:
    assert TCP.to_json() == {"host": "192.168.1.5", "port": 502}
    assert SERIAL.to_json() == {"device": "/dev/ttyUSB0", "baudrate": 38400}


def test_addresses_are_those_an_owner_knows() -> None:
    assert [link.address for link in LINKS.values()] == [
        "192.168.1.5:502",
        "bridge.lan:8899",
        "/dev/ttyUSB0",
    ]


def test_speed_of_the_line_is_known_also_behind_a_bridge() -> None:
    assert [link.line_baud for link in LINKS.values()] == [
        BEHIND_A_BRIDGE,
        BEHIND_A_BRIDGE,
        38400,
    ]


def test_only_rtu_over_tcp_is_a_socket() -> None:
    assert [link.is_socket for link in LINKS.values()] == [False, True, False]


# -- what errors mean -----------------------------------------------------------------


def _cannot_connect(cause: Exception, *between: Exception) -> ModbusError:
    """Return the error of a connection that failed for ``cause``, wrapped several times."""
    inner = cause
    err = ModbusConnectionError("could not connect to there")
    for wrapper in (*between, err):
        wrapper.__cause__ = inner
        inner = wrapper
    return err


@pytest.mark.parametrize("wrapped", [(), (OSError("a library's own error"),)])
@pytest.mark.parametrize(
    ("link", "cause", "problem"),
    [
        (TCP, socket.gaierror(-2, "not known"), LinkProblem.HOST_NOT_FOUND),
        (RTU_TCP, socket.gaierror(-2, "not known"), LinkProblem.HOST_NOT_FOUND),
        (TCP, ConnectionRefusedError(111, "refused"), LinkProblem.REFUSED),
        (RTU_TCP, ConnectionRefusedError(111, "refused"), LinkProblem.REFUSED),
        (
            TCP,
            OSError(
                "Multiple exceptions: [Errno 111] Connect call failed ('::1', 502),"
                " [Errno 111] Connect call failed ('127.0.0.1', 502)"
            ),
            LinkProblem.REFUSED,
        ),
        (
            TCP,
            OSError(
                "Multiple exceptions: [Errno 113] Connect call failed ('::1', 502),"
                " [Errno 101] Connect call failed ('127.0.0.1', 502)"
            ),
            LinkProblem.CANNOT_CONNECT,
        ),
        (TCP, OSError(113, "no route"), LinkProblem.CANNOT_CONNECT),
        (RTU_TCP, OSError(113, "no route"), LinkProblem.CANNOT_CONNECT),
        (TCP, ConnectionResetError(104, "reset"), LinkProblem.CANNOT_CONNECT),
        (SERIAL, FileNotFoundError(2, "no such file"), LinkProblem.PORT_MISSING),
        (SERIAL, PermissionError(13, "denied"), LinkProblem.PORT_TAKEN),
        (SERIAL, BlockingIOError(11, "locked"), LinkProblem.PORT_TAKEN),
        (SERIAL, OSError(16, "busy"), LinkProblem.PORT_TAKEN),
        # A peer that takes the connection and drops it gives no reason.
        (TCP, EOFError("connection lost"), LinkProblem.REFUSED),
        (RTU_TCP, EOFError("connection lost"), LinkProblem.REFUSED),
        (SERIAL, EOFError("connection lost"), LinkProblem.PORT_TAKEN),
    ],
)
def test_connection_that_fails_is_explained_by_its_cause(
    link: ModbusLink,
    cause: Exception,
    problem: LinkProblem,
    wrapped: tuple[Exception, ...],
) -> None:
    err = _cannot_connect(cause, *wrapped)
    assert explain(err, link, connected=False) is problem


@pytest.mark.parametrize(
    ("link", "problem"),
    [
        (TCP, LinkProblem.CANNOT_CONNECT),
        (RTU_TCP, LinkProblem.CANNOT_CONNECT),
        (SERIAL, LinkProblem.PORT_TAKEN),
    ],
    ids=LINKS,
)
def test_connection_that_takes_too_long_is_not_a_silent_inverter(
    link: ModbusLink, problem: LinkProblem
) -> None:
    assert explain(ModbusTimeoutError(), link, connected=False) is problem


@pytest.mark.parametrize(
    ("err", "problem"),
    [
        (ModbusTimeoutError(), LinkProblem.NO_ANSWER),
        (GatewayTargetError(), LinkProblem.NO_ANSWER),
        (GatewayPathUnavailableError(), LinkProblem.NO_ANSWER),
        (IllegalFunctionError(), LinkProblem.REQUEST_REFUSED),
        (IllegalDataAddressError(), LinkProblem.REQUEST_REFUSED),
        (ServerDeviceBusyError(), LinkProblem.REQUEST_REFUSED),
        (AcknowledgeError(), LinkProblem.REQUEST_REFUSED),
        (ModbusProtocolError("crc"), LinkProblem.GARBAGE),
        (ModbusDesyncError("other unit"), LinkProblem.GARBAGE),
        (ModbusError("anything else"), LinkProblem.GARBAGE),
    ],
    ids=lambda value: type(value).__name__,
)
@pytest.mark.parametrize("link", LINKS.values(), ids=LINKS)
def test_answers_and_silence_are_told_apart(
    link: ModbusLink, err: ModbusError, problem: LinkProblem
) -> None:
    assert explain(err, link, connected=True) is problem
