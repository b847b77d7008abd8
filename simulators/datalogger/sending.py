"""How packets get from a stick to the wire, as far as faults let them."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from typing import Final

from .bodies import Group, Record
from .faults import RogueKind, Rogues
from .packets import MASKED, RECORDS, Packet, PacketError

_GLUE_WAIT: Final = 0.05
"""Seconds within which packets that are to be glued together must come."""

_HUGE: Final = 0xFFFF
"""The largest length that fits into a header."""


type Item = Packet | bytes | Callable[[], None]


class Sender:
    """Sends packets on one connection, in order."""

    def __init__(
        self,
        writer: asyncio.StreamWriter,
        rogues: Rogues,
        sent: Callable[[Packet], None],
    ) -> None:
        """Send to ``writer``; ``sent`` is told of each packet that has left."""
        self._writer = writer
        self._rogues = rogues
        self._sent = sent
        self._queue: asyncio.Queue[Item] = asyncio.Queue()
        self._is_cut = False

    def put(self, item: Item) -> None:
        """Send a packet, or bytes as they are, or call something, after what was put before."""
        self._queue.put_nowait(item)

    async def flood(self, packet: Packet) -> None:
        """Send a packet and wait until everything has left."""
        self.put(packet)
        await self._queue.join()

    async def run(self) -> None:
        """Send until cancelled. Raises ``ConnectionError`` when the connection breaks."""
        while True:
            item = await self._queue.get()
            await self._send(item)
            self._queue.task_done()

    async def _send(self, item: Item) -> None:
        if not isinstance(item, Packet | bytes):
            item()
            return
        if self._is_cut or self._rogues.has(RogueKind.HALF_OPEN):
            return
        if isinstance(item, bytes):
            self._writer.write(item)
        else:
            octets = self._octets(item)
            count = self._rogues.met(RogueKind.GLUE, item.kind)
            if count is not None:
                octets += await self._more(int(count) - 1)
            await self._write(octets, item.kind)
        await self._writer.drain()

    async def _more(self, count: int) -> bytes:
        """Return the bytes of some more packets, as far as they come soon."""
        octets = b""
        with suppress(TimeoutError):
            async with asyncio.timeout(_GLUE_WAIT):
                for _ in range(count):
                    item = await self._queue.get()
                    if isinstance(item, Packet):
                        octets += self._octets(item)
                    elif isinstance(item, bytes):
                        octets += item
                    else:
                        # Not before what is glued here has left.
                        self._queue.put_nowait(item)
                        self._queue.task_done()
                        break
                    self._queue.task_done()
        return octets

    async def _write(self, octets: bytes, kind: int) -> None:
        met, random = self._rogues.met, self._rogues.random
        if met(RogueKind.CUT, kind) is not None:
            self._is_cut = True
            octets = octets[: len(octets) // 2]
        pause = met(RogueKind.SLOW, kind)
        size = 1 if pause is not None else met(RogueKind.SPLIT, kind)
        if size is None:
            self._writer.write(octets)
            return
        while octets:
            end = int(size) or random.randint(1, len(octets))
            self._writer.write(octets[:end])
            octets = octets[end:]
            # A turn of the event loop makes it a segment of its own.
            await asyncio.sleep(pause or 0)

    def _octets(self, packet: Packet) -> bytes:
        """Return a packet as faults make it."""
        met, random, kind = self._rogues.met, self._rogues.random, packet.kind
        self._sent(packet)
        before = b""
        if (count := met(RogueKind.GARBAGE, kind)) is not None:
            before = random.randbytes(int(count))
        if (unknown := met(RogueKind.UNKNOWN, kind)) is not None:
            before += replace(packet, kind=int(unknown)).encode()
        if met(RogueKind.HUGE, kind) is not None:
            body = random.randbytes(_HUGE - 2)
            return before + replace(packet, body=body).encode()
        if met(RogueKind.CORRUPT, kind) is not None:
            packet = self._corrupt(packet)
        octets = packet.encode()
        if packet.protocol in MASKED and met(RogueKind.WRONG_CRC, kind) is not None:
            octets = octets[:-1] + bytes((octets[-1] ^ 0xFF,))
        return before + octets

    def _corrupt(self, packet: Packet) -> Packet:
        """Return a record whose registers are random."""
        if packet.kind not in RECORDS:
            return packet
        try:
            record = Record.parse(packet)
        except PacketError:
            return packet
        groups = tuple(
            Group(
                group.start,
                tuple(self._rogues.random.randrange(0x10000) for _ in group.words),
            )
            for group in record.groups
        )
        body = replace(record, groups=groups).body(packet.protocol)
        return replace(packet, body=body)
