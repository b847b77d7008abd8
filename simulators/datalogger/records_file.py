"""Recorded packets of dataloggers, sent once more over the wire.

A file has a JSON object in each line: ``hex`` is a packet as it went over the wire,
``direction``, if there is one, says from whom; only those of loggers are sent.
"""

import asyncio
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
import json
import logging
from pathlib import Path
from typing import Final, Self

from simulators.errors import SimulatorError
from simulators.text_file import read_text

from .packets import Packet, PacketError, PacketReader
from .waiting import PATIENCE, Waiting

_LOGGER = logging.getLogger(__name__)

_FROM_LOGGER: Final = "logger->server"

_RECONNECT: Final = 1.0
"""Seconds before the second attempt to connect; it doubles from there on."""

_LONGEST_RECONNECT: Final = 30.0


@dataclass(frozen=True, slots=True)
class Recording:
    """The packets of one logger, in order."""

    logger: str
    packets: tuple[Packet, ...]


def load_recordings(source: str | Path) -> list[Recording]:
    """Read a file; a logger that changed its protocol counts as two.

    Packets that are not whole are left out, as they would spoil those behind them.
    Raises ``SimulatorError`` if the file cannot be read or holds something else.
    """
    text = read_text(source)
    found: dict[tuple[str, int], list[Packet]] = {}
    for number, line in enumerate(text.splitlines(), 1):
        if line.strip():
            for packet in _packets_in(line, f"{source}: line {number}"):
                found.setdefault((packet.logger, packet.protocol), []).append(packet)
    if not found:
        raise SimulatorError(f"{source}: holds no packets of loggers")
    return [Recording(logger, tuple(packets)) for (logger, _), packets in found.items()]


def _packets_in(line: str, where: str) -> Iterator[Packet]:
    """Yield the packet of a line, if it has one that is whole and a logger's."""
    try:
        record = json.loads(line)
    except json.JSONDecodeError, RecursionError:
        raise SimulatorError(f"{where}: is not JSON") from None
    if not isinstance(record, dict) or not isinstance(record.get("hex"), str):
        raise SimulatorError(f"{where}: is not an object with hex")
    try:
        octets = bytes.fromhex(record["hex"])
    except ValueError:
        raise SimulatorError(f"{where}: hex is not hexadecimal") from None
    if record.get("direction", _FROM_LOGGER) == _FROM_LOGGER:
        with suppress(PacketError):
            packet = Packet.decode(octets)
            if packet.logger:
                yield packet


class Replay:
    """Sends a recording to a server. As a context manager it does so once."""

    def __init__(
        self, recording: Recording, server: tuple[str, int], *, pause: float = 0.0
    ) -> None:
        """Prepare to send, with so many seconds after each packet."""
        self.recording = recording
        self.server = server
        self.received: list[Packet] = []
        self.is_done = False
        """Whether everything has been sent."""
        self._pause = pause
        self._waiting = Waiting()
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        """Begin to connect."""
        self._task = asyncio.create_task(self._run())
        return self

    async def __aexit__(self, *_: object) -> None:
        """Hang up and stop."""
        assert self._task is not None
        self._task.cancel()
        with suppress(asyncio.CancelledError):
            await self._task

    async def wait_until(
        self, predicate: Callable[[], object], timeout: float | None = PATIENCE
    ) -> None:
        """Wait until something is true. Raises ``TimeoutError`` if that takes too long."""
        await self._waiting.until(predicate, timeout)

    async def _run(self) -> None:
        """Send everything on one connection, and stay on it until the server hangs up."""
        delay = _RECONNECT
        while not self.is_done:
            try:
                reader, writer = await asyncio.open_connection(*self.server)
                try:
                    async with asyncio.TaskGroup() as tasks:
                        tasks.create_task(self._send(writer))
                        tasks.create_task(self._listen(reader))
                finally:
                    writer.close()
            except* (OSError, UnicodeError, PacketError) as err:
                _LOGGER.info("%s: %s", self.recording.logger, err.exceptions[0])
            if not self.is_done:
                await asyncio.sleep(delay)
                delay = min(2 * delay, _LONGEST_RECONNECT)

    async def _send(self, writer: asyncio.StreamWriter) -> None:
        for packet in self.recording.packets:
            writer.write(packet.encode())
            await writer.drain()
            await asyncio.sleep(self._pause)
        self.is_done = True
        self._waiting.notify()

    async def _listen(self, reader: asyncio.StreamReader) -> None:
        packets = PacketReader()
        while data := await reader.read(0x10000):
            self.received += packets.feed(data)
            self._waiting.notify()


def replays(
    recordings: Iterable[Recording], server: tuple[str, int], *, pause: float = 0.0
) -> list[Replay]:
    """Return one for each recording."""
    return [Replay(each, server, pause=pause) for each in recordings]
