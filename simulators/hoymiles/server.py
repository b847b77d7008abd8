"""The local port of a simulated DTU.

It serves one connection: the newest, which ends the one before. Each reply is one write,
because some clients read once and take what they get.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from random import Random
from typing import Final

from custom_components.local_solar.hoymiles import frame as frames
from custom_components.local_solar.hoymiles.errors import FrameError, MessageError
from custom_components.local_solar.hoymiles.frame import Frame, FrameReader
from simulators.cli import Address

from .dtu import SimulatedDtu
from .faults import FaultKind, Trouble

_PACE: Final = 0.02
"""Seconds between two looks at whether the DTU listens."""

_PIECE_PAUSE: Final = 0.001
"""Seconds between the pieces of a reply that is split."""

_ZEROS: Final = 64
"""Zero bytes that a DTU answers to what it cannot decrypt."""


class DtuServer:
    """Listens for a DTU, whenever that does."""

    def __init__(
        self, dtu: SimulatedDtu, host: str = "127.0.0.1", port: int = 0
    ) -> None:
        """Prepare to listen; port 0 takes a free one."""
        self.dtu = dtu
        self.address = Address(host, port)
        self._server: asyncio.Server | None = None
        self._watch: asyncio.Task[None] | None = None
        self._current: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Begin. Raises ``OSError`` if the port cannot be had."""
        await self._open()
        self.dtu.when_restarted.append(self._drop)
        await self.update()
        self._watch = asyncio.create_task(self._keep_watching())

    async def stop(self) -> None:
        """Release everything."""
        self.dtu.when_restarted.remove(self._drop)
        if self._watch is not None:
            self._watch.cancel()
            await asyncio.wait([self._watch])
        await self._close()
        tasks = tuple(self._tasks)
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    async def update(self) -> None:
        """Listen or not, as the DTU does now."""
        self.dtu.update()
        if self.dtu.listens and self._server is None:
            await self._open()
        elif not self.dtu.listens and self._server is not None:
            self._drop()
            await self._close()

    async def _keep_watching(self) -> None:
        while True:
            await asyncio.sleep(_PACE)
            await self.update()

    async def _open(self) -> None:
        server = await asyncio.start_server(
            self._serve, self.address.host, self.address.port
        )
        self._server = server
        port: int = server.sockets[0].getsockname()[1]
        self.address = Address(self.address.host, port)

    async def _close(self) -> None:
        server, self._server = self._server, None
        if server is not None:
            server.close()
            server.abort_clients()
            await server.wait_closed()

    def _drop(self) -> None:
        """Break the connection off."""
        if self._current is not None:
            self._current[1].transport.abort()
            self._current = None
            self.dtu.client_gone()

    async def _serve(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            if self._admit(reader, writer):
                with suppress(ConnectionError):
                    await self._converse(reader, writer)
        except asyncio.CancelledError:
            # Only ``stop`` does that; asyncio would report it as an error.
            pass
        finally:
            self._tasks.discard(task)
            writer.close()
            if self._current == (reader, writer):
                self._current = None
                self.dtu.client_gone()

    def _admit(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> bool:
        """Take a connection in the place of the one before, or refuse it."""
        self.dtu.update()
        if not self.dtu.listens or self.dtu.client_connected():
            writer.transport.abort()
            return False
        if self._current is not None:
            before, its_writer = self._current
            # Who has just left by itself was not thrown out.
            self.dtu.counters.evictions += not before.at_eof()
            its_writer.close()
        self._current = reader, writer
        return True

    async def _converse(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        conversation = _Conversation(self.dtu, writer)
        while not writer.is_closing() and (data := await reader.read(4096)):
            await conversation.take(data)


class _Conversation:
    """One connection: requests in, replies out."""

    def __init__(self, dtu: SimulatedDtu, writer: asyncio.StreamWriter) -> None:
        self._dtu = dtu
        self._writer = writer
        self._reader = FrameReader(dtu.cipher)
        self._random: Random = dtu.random
        self._before: Frame | None = None

    async def take(self, data: bytes) -> None:
        """Answer what is complete with some more bytes."""
        try:
            found = self._reader.feed(data)
        except FrameError:
            self._dtu.counters.bad_frames += 1
            self._reader = FrameReader(self._dtu.cipher)
            self._write(bytes(_ZEROS))
            return
        for frame in found:
            await self._answer(frame)
            self._dtu.settle()
            if self._writer.is_closing():
                return

    async def _answer(self, frame: Frame) -> None:
        dtu = self._dtu
        try:
            request = dtu.parse(frame)
        except MessageError:
            dtu.counters.bad_frames += 1
            return
        trouble = dtu.trouble_of(frame, request)
        reply = dtu.answer(frame, request, trouble)
        if (seconds := trouble.get(FaultKind.DELAY)) is not None:
            await asyncio.sleep(seconds)
        if self._ends(trouble) or reply is None or trouble.has(FaultKind.SILENT):
            return
        await self._send(reply, trouble)
        self._before = reply

    def _ends(self, trouble: Trouble) -> bool:
        """End the connection if a fault says so."""
        if trouble.has(FaultKind.DISCONNECT):
            self._writer.transport.abort()
        elif trouble.has(FaultKind.EVICT):
            self._dtu.counters.evictions += 1
            self._writer.close()
        else:
            return False
        return True

    async def _send(self, reply: Frame, trouble: Trouble) -> None:
        stranger = self._stranger(reply)
        if trouble.has(FaultKind.STALE):
            self._write(self._encode(stranger))
        octets = self._octets(reply, trouble)
        if trouble.has(FaultKind.MERGE):
            octets = self._encode(stranger) + octets
        size = trouble.get(FaultKind.SPLIT)
        if size is None:
            self._write(octets)
            return
        for start in range(0, len(octets), int(size)):
            self._write(octets[start : start + int(size)])
            await asyncio.sleep(_PIECE_PAUSE)

    def _octets(self, reply: Frame, trouble: Trouble) -> bytes:
        """Return what goes over the wire."""
        if (count := trouble.get(FaultKind.ZERO_BYTES)) is not None:
            return bytes(int(count))
        if (count := trouble.get(FaultKind.GARBAGE)) is not None:
            return self._random.randbytes(int(count))
        if trouble.has(FaultKind.WRONG_SEQUENCE):
            reply = Frame(
                reply.command,
                (reply.sequence + 7) & 0xFFFF,
                reply.payload,
                reply.extension,
            )
        octets = bytearray(self._encode(reply))
        if trouble.has(FaultKind.CRC):
            octets[7] ^= 0xFF
        return bytes(octets)

    def _stranger(self, reply: Frame) -> Frame:
        """Return a reply that belongs to another request: the one before, if there was."""
        other = self._before or reply
        return Frame(
            other.command, (reply.sequence - 1) & 0xFFFF, other.payload, other.extension
        )

    def _encode(self, frame: Frame) -> bytes:
        return frames.encode(frame, self._dtu.cipher)

    def _write(self, octets: bytes) -> None:
        """Send bytes in one piece, unless the client has gone."""
        if not self._writer.is_closing():
            self._writer.write(octets)


@asynccontextmanager
async def running_dtu(
    dtu: SimulatedDtu, host: str = "127.0.0.1", port: int = 0
) -> AsyncIterator[Address]:
    """Let a DTU listen and give where. Everything is released at the end."""
    server = DtuServer(dtu, host, port)
    await server.start()
    try:
        yield server.address
    finally:
        await server.stop()
