"""The maker's server, as light as it can be: it acknowledges and forgets.

It knows what the loggers of ``benchmarks.datalogger_load`` send, so it only counts bytes.
"""

from hashlib import sha256
import json
import selectors
import socket
import sys
from typing import Final

from .asking import Answer
from .datalogger_records import ROUND, LoggerPackets, logger_packets

_SERIAL: Final = slice(8, 38)
_RECEIVED_AT_ONCE: Final = 65_536


class _Line:
    """A relay's connection on behalf of one logger."""

    def __init__(self, connection: socket.socket) -> None:
        self.connection = connection
        self.digest = sha256()
        self.bytes = 0
        self.packets: LoggerPackets | None = None
        self._answered = 0
        self._beginning = b""

    def take(self, data: bytes, known: dict[bytes, LoggerPackets]) -> None:
        """Acknowledge what is complete. It begins with an announcement."""
        self.digest.update(data)
        self.bytes += len(data)
        if self.packets is None:
            self._beginning += data
            self.packets = known.get(self._beginning[_SERIAL])
            if self.packets is None:
                return
            self._records = len(self.packets.records[0])
            self._acks = b"".join(self.packets.acks) * 2
            self._ack = len(self.packets.acks[0])
        first = len(self.packets.announcement + self.packets.interval)
        if self.bytes < first:
            return
        answer = b""
        if not self._answered:
            self._answered, answer = 1, self.packets.announcement_ack
        complete = 1 + (self.bytes - first) // self._records
        while self._answered < complete:
            count = min(complete - self._answered, ROUND)
            start = (self._answered - 1) % ROUND * self._ack
            answer += self._acks[start : start + count * self._ack]
            self._answered += count
        if answer:
            self.connection.sendall(answer)


def serve_cloud() -> None:
    """Be a cloud; tells its port first."""
    families = json.loads(sys.stdin.readline())["families"]
    known = {}
    for number, family in enumerate(families):
        packets = logger_packets(number, family)
        known[packets.announcement[_SERIAL]] = packets
    listening = socket.create_server(("127.0.0.1", 0), backlog=1024)
    print(json.dumps({"port": listening.getsockname()[1]}), flush=True)
    lines: list[_Line] = []
    with selectors.DefaultSelector() as selector:
        selector.register(listening, selectors.EVENT_READ)
        selector.register(sys.stdin, selectors.EVENT_READ)
        while True:
            for key, _ in selector.select():
                if isinstance(line := key.data, _Line):
                    data = _received(line.connection)
                    if data:
                        line.take(data, known)
                    else:
                        selector.unregister(line.connection)
                        line.connection.close()
                elif key.fileobj is listening:
                    connection, _ = listening.accept()
                    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                    lines.append(line := _Line(connection))
                    selector.register(connection, selectors.EVENT_READ, line)
                elif not sys.stdin.readline():
                    return
                else:
                    print(json.dumps(_report(lines)), flush=True)


def _received(connection: socket.socket) -> bytes:
    try:
        return connection.recv(_RECEIVED_AT_ONCE)
    except OSError:
        return b""


def _report(lines: list[_Line]) -> Answer:
    """Return what has come of each logger since it was asked last, by connection."""
    report = [
        [line.packets.logger, line.bytes, line.digest.hexdigest()]
        for line in lines
        if line.packets is not None
    ]
    return {"lines": report}
