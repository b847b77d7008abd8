"""Many loggers that behave: they connect, announce, report now and then, and answer."""

import asyncio
from collections.abc import Coroutine, Iterable
import time
from typing import Any, Final, override

from simulators.datalogger.bodies import Parameter, ParameterDone, Span
from simulators.datalogger.packets import Kind, Packet, PacketReader

from .asking import Answer, async_answer_questions
from .datalogger_records import LoggerPackets, logger_packets

_AT_ONCE: Final = 32
"""Loggers that connect at a time: a server takes in 64 that it does not know yet."""

_PATIENCE: Final = 20.0


class _Logger(asyncio.Protocol):
    """One logger."""

    def __init__(self, packets: LoggerPackets) -> None:
        self.packets = packets
        self.acknowledged = 0
        self.commands = 0
        self.is_over = False
        self._reader = PacketReader()
        self._transport: asyncio.Transport | None = None
        self._heard: asyncio.Future[None] | None = None

    @override
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        self.is_over = True

    @override
    def data_received(self, data: bytes) -> None:
        for packet in self._reader.feed(data):
            if packet.kind in (Kind.PARAMETER, Kind.SET_PARAMETER):
                self.commands += 1
                for answer in _answers(packet):
                    self._send(answer.encode())
                continue
            self.acknowledged += 1
            if self._heard is not None and not self._heard.done():
                self._heard.set_result(None)

    def _send(self, data: bytes) -> None:
        assert self._transport is not None
        self._transport.write(data)

    async def report(self, data: bytes) -> None:
        """Send something and wait until it is answered."""
        self._heard = asyncio.get_running_loop().create_future()
        self._send(data)
        async with asyncio.timeout(_PATIENCE):
            await self._heard

    async def keep_reporting(self, first: float, interval: float, until: float) -> int:
        """Report until a time by the loop's clock; return how often."""
        loop = asyncio.get_running_loop()
        at, sent = first, 0
        while at < until:
            await asyncio.sleep(at - loop.time())
            self._send(self.packets.records[sent % len(self.packets.records)])
            at += interval
            sent += 1
        return sent


def _answers(packet: Packet) -> Iterable[Packet]:
    """Return what a logger answers to a command about its parameters."""
    if packet.kind == Kind.SET_PARAMETER:
        asked = Parameter.parse(packet)
        done = ParameterDone(asked.logger, asked.number, 0)
        return [packet.answer(done.body(packet.protocol))]
    span = Span.parse(packet)
    return [
        packet.answer(Parameter(span.logger, number, "5").body(packet.protocol))
        for number in range(span.first, span.last + 1)
    ]


class _Crowd:
    """All of them."""

    def __init__(self) -> None:
        self.loggers: list[_Logger] = []

    async def connect(self, families: list[str], count: int, port: int) -> Answer:
        """Connect and ping."""
        loop = asyncio.get_running_loop()

        async def one(number: int) -> None:
            packets = logger_packets(number, families[number % len(families)], 2)
            self.loggers.append(logger := _Logger(packets))
            await loop.create_connection(lambda: logger, "127.0.0.1", port)
            await logger.report(packets.ping)

        for start in range(0, count, _AT_ONCE):
            stop = min(start + _AT_ONCE, count)
            await asyncio.gather(*(one(number) for number in range(start, stop)))
        return {"connected": len(self.loggers)}

    async def announce(self) -> Answer:
        """Announce all inverters, and report each once."""
        for logger in self.loggers:
            await logger.report(logger.packets.announcement)
            await logger.report(logger.packets.records[0])
        return {"announced": len(self.loggers)}

    async def stay(self, seconds: float, interval: float) -> Answer:
        """Let all report evenly."""
        now = asyncio.get_running_loop().time()
        before = sum(logger.acknowledged for logger in self.loggers)
        work: list[Coroutine[Any, Any, int]] = [
            logger.keep_reporting(
                now + interval * number / len(self.loggers), interval, now + seconds
            )
            for number, logger in enumerate(self.loggers)
        ]
        sent = sum(await asyncio.gather(*work))
        given_up = time.monotonic() + _PATIENCE
        while (acknowledged := self._acknowledged - before) < sent:
            if time.monotonic() > given_up:
                break
            await asyncio.sleep(0.01)
        return {
            "sent": sent,
            "acknowledged": acknowledged,
            "lost": sum(logger.is_over for logger in self.loggers),
            "commands": sum(logger.commands for logger in self.loggers),
        }

    @property
    def _acknowledged(self) -> int:
        return sum(logger.acknowledged for logger in self.loggers)


async def _serve() -> None:
    crowd = _Crowd()

    async def handle(question: Answer) -> Answer:
        match question["do"]:
            case "connect":
                return await crowd.connect(
                    question["families"], question["count"], question["port"]
                )
            case "announce":
                return await crowd.announce()
        return await crowd.stay(question["seconds"], question["interval"])

    await async_answer_questions(handle)


def serve_crowd() -> None:
    """Be a crowd of loggers."""
    asyncio.run(_serve())
