"""Clients that behave badly, for ``benchmarks.gateway``, each kind in a process of its own."""

from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import count
from random import Random
import socket
from struct import pack
import threading
import time
from typing import Final

from .asking import Answer, answer_questions
from .gateway_words import Block

HOST: Final = "127.0.0.1"
PIPELINED: Final = 10_000

_PATIENCE: Final = 5.0
_AGAIN: Final = 0.02
"""Seconds until a rogue that was hung up on connects again."""
_BUFFER: Final = 4_096


class _Rogue:
    """One client. ``play`` runs on a connection until it is hung up on, then again."""

    def __init__(self, port: int, first: int, words: int) -> None:
        """Ask for blocks from register ``first`` on, if for any."""
        self._port = port
        self._first = first
        self._words = words
        self._random = Random(1)
        self.connection: socket.socket | None = None
        self.is_over = False

    def requests(self) -> Iterator[bytes]:
        """Yield sound requests, for registers that nobody else asks for."""
        for number in count():
            address = self._first + number % 256 * self._words
            pdu = Block(1, 3, address, self._words).pdu
            yield pack(">HHHB", number & 0xFFFF, 0, len(pdu) + 1, 1) + pdu

    def run(self, play: Callable[[_Rogue, socket.socket], None]) -> None:
        """Play until it is over."""
        while not self.is_over:
            with suppress(OSError):
                self.connection = socket.socket()
                if play is never_read:
                    option = (socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER)
                    self.connection.setsockopt(*option)
                self.connection.settimeout(_PATIENCE)
                self.connection.connect((HOST, self._port))
                self.connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                self.connection.settimeout(None)
                play(self, self.connection)
            if self.connection is not None:
                self.connection.close()
            time.sleep(_AGAIN)

    def stop(self) -> None:
        """Leave."""
        self.is_over = True
        if self.connection is not None:
            with suppress(OSError):
                self.connection.shutdown(socket.SHUT_RDWR)

    def octets(self, length: int) -> bytes:
        """Return bytes that mean nothing."""
        return self._random.randbytes(length)


def _wait_for_end(connection: socket.socket) -> None:
    while connection.recv(65_536):
        pass


def good(rogue: _Rogue, connection: socket.socket) -> None:
    """Behave well: ask for one block after the other, and read the answers."""
    for request in rogue.requests():
        connection.sendall(request)
        if not connection.recv(65_536):
            return


def garbage(rogue: _Rogue, connection: socket.socket) -> None:
    """Send random bytes."""
    while True:
        connection.sendall(rogue.octets(1_000))


def half_frames(rogue: _Rogue, connection: socket.socket) -> None:
    """Send the half of a request and wait; then the half of it again."""
    for request in rogue.requests():
        connection.sendall(request[: len(request) // 2])
        time.sleep(0.05)
        connection.sendall(request[: len(request) // 2])
        time.sleep(0.05)


def huge_length(rogue: _Rogue, connection: socket.socket) -> None:
    """Announce a request of 65,535 bytes and send it."""
    connection.sendall(pack(">HHHB", 1, 0, 65_535, 1))
    connection.sendall(b"\3" * 65_534)
    _wait_for_end(connection)


def pipelined(rogue: _Rogue, connection: socket.socket) -> None:
    """Send 10,000 requests at once and read the answers, again and again."""
    reader = threading.Thread(target=_read_all, args=(connection,), daemon=True)
    reader.start()
    requests = rogue.requests()
    while True:
        connection.sendall(b"".join(next(requests) for _ in range(PIPELINED)))


def _read_all(connection: socket.socket) -> None:
    with suppress(OSError):
        _wait_for_end(connection)


def never_read(rogue: _Rogue, connection: socket.socket) -> None:
    """Send requests and leave the answers where they are."""
    for request in rogue.requests():
        connection.sendall(request)


def vanish(rogue: _Rogue, connection: socket.socket) -> None:
    """Send a request and half another one, and break the line."""
    requests = rogue.requests()
    connection.sendall(next(requests) + next(requests)[:8])
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, pack("ii", 1, 0))


ROGUES: Final = (
    *(good, garbage, half_frames, huge_length, pipelined, never_read, vanish),
)


def serve_rogue() -> None:
    """Be a rogue, from ``start`` to ``stop``."""
    plays = {play.__name__: play for play in ROGUES}
    rogues: list[_Rogue] = []

    def handle(question: Answer) -> Answer:
        if question["do"] == "start":
            rogue = _Rogue(question["port"], question["first"], question["words"])
            rogues.append(rogue)
            threading.Thread(
                target=rogue.run, args=(plays[question["kind"]],), daemon=True
            ).start()
        else:
            for rogue in rogues:
                rogue.stop()
            rogues.clear()
        return {}

    answer_questions(handle)
