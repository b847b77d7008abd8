"""Loggers that send as fast as they are acknowledged, as light as they can be."""

from hashlib import sha256
import selectors
import socket
import time
from typing import Final

from .asking import Answer, answer_questions
from .datalogger_records import ROUND, logger_packets

WINDOW: Final = 16
"""Records of a logger that may be unacknowledged."""

_PATIENCE: Final = 20.0
_RECEIVED_AT_ONCE: Final = 65_536


class _Logger:
    """One logger. What is acknowledged is held against what has to be, byte for byte."""

    def __init__(self, number: int, family: str, port: int) -> None:
        self.packets = logger_packets(number, family)
        self.connection = socket.create_connection(("127.0.0.1", port), _PATIENCE)
        self.connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.digest = sha256()
        self.bytes = 0
        self.sent = self.acknowledged = 0
        self._records = b"".join(self.packets.records) * 2
        self._acks = b"".join(self.packets.acks) * 2
        self._size = len(self.packets.records[0])
        self._ack_size = len(self.packets.acks[0])
        self._heard = 0

    def _send(self, data: bytes) -> None:
        self.digest.update(data)
        self.bytes += len(data)
        self.connection.sendall(data)

    def announce(self) -> None:
        self._send(self.packets.announcement + self.packets.interval)
        expected = self.packets.announcement_ack
        got = b""
        while len(got) < len(expected):
            got += (part := self.connection.recv(len(expected) - len(got)))
            if not part:
                raise RuntimeError("the server hung up on an announcement")
        assert got == expected, got.hex()

    def send(self) -> None:
        """Send as many records as may be under way."""
        count = WINDOW - self.sent + self.acknowledged
        if count > 0:
            start = self.sent % ROUND * self._size
            self._send(self._records[start : start + count * self._size])
            self.sent += count

    def hear(self) -> None:
        data = self.connection.recv(_RECEIVED_AT_ONCE)
        start = self._heard % (ROUND * self._ack_size)
        if not data or data != self._acks[start : start + len(data)]:
            raise RuntimeError(f"not an acknowledgement: {data.hex()[:200]}")
        self._heard += len(data)
        self.acknowledged = self._heard // self._ack_size


def _run(loggers: list[_Logger], seconds: float) -> Answer:
    """Send for a while; return how many records were sent and acknowledged, and how long."""
    before = sum(logger.acknowledged for logger in loggers)
    with selectors.DefaultSelector() as selector:
        for logger in loggers:
            selector.register(logger.connection, selectors.EVENT_READ, logger)
        began = now = time.monotonic()
        for logger in loggers:
            logger.send()
        while any(logger.acknowledged < logger.sent for logger in loggers):
            ready = selector.select(_PATIENCE)
            if not ready:
                raise RuntimeError("records are not acknowledged any more")
            now = time.monotonic()
            for key, _ in ready:
                key.data.hear()
                if now - began < seconds:
                    key.data.send()
    total = sum(logger.acknowledged for logger in loggers)
    return {"records": total - before, "seconds": now - began}


def serve_load() -> None:
    """Be loggers."""
    loggers: list[_Logger] = []

    def handle(question: Answer) -> Answer:
        match question["do"]:
            case "connect":
                for number, family in enumerate(question["families"]):
                    loggers.append(logger := _Logger(number, family, question["port"]))
                    logger.announce()
                return _run(loggers, 0.0)
            case "run":
                return _run(loggers, question["seconds"])
        lines = [
            [logger.packets.logger, logger.bytes, logger.digest.hexdigest()]
            for logger in loggers
        ]
        return {"lines": lines}

    answer_questions(handle)
