"""Peers that behave badly, and one that measures how it is served beside them."""

from collections.abc import Callable
from contextlib import suppress
import socket
import threading
import time
from typing import Final

from simulators.datalogger.bodies import serial_field
from simulators.datalogger.packets import Kind, Packet

from .asking import Answer, answer_questions
from .datalogger_records import logger_packets

FAMILY: Final = "MIN TL-XH"

_PATIENCE: Final = 20.0
_SLOW: Final = 0.05
"""Seconds between two bytes."""

_HUGE: Final = 4096
"""The greatest length that a packet may have."""


def _connect(port: int) -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", port), _PATIENCE)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connection


# -- the one that measures ---------------------------------------------------------------


def serve_probe() -> None:
    """Be a logger that reports one record after the other."""
    packets = logger_packets(0, FAMILY)
    connection: socket.socket | None = None

    def report(data: bytes, expected: bytes) -> float:
        assert connection is not None
        began = time.perf_counter()
        connection.sendall(data)
        got = b""
        # What a server asks of a logger now and then may come before it.
        while expected not in got:
            part = connection.recv(65_536)
            if not part:
                raise RuntimeError("it was hung up on")
            got += part
        return time.perf_counter() - began

    def handle(question: Answer) -> Answer:
        nonlocal connection
        if question["do"] == "connect":
            connection = _connect(question["port"])
            return {"seconds": report(packets.announcement, packets.announcement_ack)}
        seconds: list[float] = []
        until = time.monotonic() + question["seconds"]
        while (number := len(seconds)) < question["most"] and time.monotonic() < until:
            at = number % len(packets.records)
            seconds.append(report(packets.records[at], packets.acks[at]))
            time.sleep(question["pause"])
        return {"seconds": seconds}

    answer_questions(handle)


# -- the others --------------------------------------------------------------------------


def _flood(connection: socket.socket) -> None:
    """Send good records without a pause, and read what comes."""
    _send_without_pause(connection, b"".join(logger_packets(1, FAMILY).records))


def _flood_hugely(connection: socket.socket) -> None:
    """Send the largest packets there may be, and read what comes."""
    body = serial_field(6, "XGD0B00005").ljust(_HUGE - 2, b"\xa5")
    packet = Packet(kind=Kind.METER_REPORT, body=body)
    _send_without_pause(connection, packet.encode() * 16)


def _send_without_pause(connection: socket.socket, packets: bytes) -> None:
    def read() -> None:
        with suppress(OSError):
            while connection.recv(65_536):
                pass

    threading.Thread(target=read, daemon=True).start()
    while True:
        connection.sendall(packets)


def _dawdle(connection: socket.socket) -> None:
    """Send a byte now and then."""
    records = b"".join(logger_packets(2, FAMILY).records)
    for place in range(len(records)):
        connection.sendall(records[place : place + 1])
        time.sleep(_SLOW)


def _begin_only(connection: socket.socket) -> None:
    """Send half a record, end the one direction, and stay."""
    record = logger_packets(3, FAMILY).records[0]
    connection.sendall(record[: len(record) // 2])
    connection.shutdown(socket.SHUT_WR)


def _vanish(connection: socket.socket) -> None:
    """Send half a record, then nothing any more."""
    record = logger_packets(6, FAMILY).records[0]
    connection.sendall(record[: len(record) // 2])


def _never_read(connection: socket.socket) -> None:
    """Ping without a pause, and never read what comes back."""
    pings = logger_packets(4, FAMILY).ping * 1000
    while True:
        connection.sendall(pings)


ROGUES: Final[tuple[Callable[[socket.socket], None], ...]] = (
    *(_flood, _flood_hugely, _dawdle, _begin_only, _vanish, _never_read),
)


def serve_rogues() -> None:
    """Be all of them at once, from ``start`` to ``stop``."""
    connections: list[socket.socket] = []

    def play(rogue: Callable[[socket.socket], None], connection: socket.socket) -> None:
        with suppress(OSError):
            rogue(connection)

    def handle(question: Answer) -> Answer:
        if question["do"] == "start":
            for rogue in ROGUES:
                connections.append(connection := _connect(question["port"]))
                connection.settimeout(None)
                arguments = (rogue, connection)
                threading.Thread(target=play, args=arguments, daemon=True).start()
        else:
            for connection in connections:
                with suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)
                connection.close()
            connections.clear()
        return {"rogues": len(connections)}

    answer_questions(handle)
