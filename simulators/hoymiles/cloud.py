"""A stand-in for the maker's cloud: takes the reports of DTUs and sets their clocks.

It answers each report with the id that is 0x100 more, its time and the difference to UTC.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
import logging
from typing import Final

from custom_components.local_solar.hoymiles import frame as frames, messages
from custom_components.local_solar.hoymiles.errors import FrameError
from custom_components.local_solar.hoymiles.frame import Frame, FrameReader
from custom_components.local_solar.hoymiles.messages import Fields
from simulators.cli import Address
from simulators.clock import SimulatedClock

_LOGGER = logging.getLogger(__name__)

UTC_OFFSET: Final = 28800
"""Seconds: the maker's cloud gives the time of China."""

_COMMAND: Final = 0x2305
_COMMAND_ACK: Final = 0x2205
_PROFILE: Final = 0x220E


@dataclass(frozen=True, slots=True)
class _Kind:
    """The message of a report, and that of its answer."""

    report: str
    answer: str


_KINDS: Final = {
    0x2201: _Kind("CloudInfoReport", "AppInfoRequest"),
    0x2202: _Kind("HeartbeatFromDtu", "HeartbeatToDtu"),
    0x2203: _Kind("OldRealDataReply", "OldRealDataRequest"),
    0x2204: _Kind("OldRealDataReply", "OldRealDataRequest"),
    0x2206: _Kind("CommandStatusReply", "CommandStatusRequest"),
    0x220B: _Kind("AlarmReply", "AlarmRequest"),
    0x220C: _Kind("RealDataReply", "RealDataRequest"),
    0x220D: _Kind("RealDataReply", "RealDataRequest"),
    0x220E: _Kind("DevConfigReportFromDtu", "DevConfigReportAck"),
}


@dataclass(frozen=True, slots=True)
class Report:
    """What a DTU has said."""

    command: int
    sequence: int
    fields: Fields


@dataclass(slots=True)
class SimulatedCloud:
    """The cloud's state."""

    clock: SimulatedClock = field(default_factory=SimulatedClock)
    wrong_sequence: bool = False
    """Whether it answers a profile's report with a wrong sequence number, as the real
    one does."""
    utc_offset: int = UTC_OFFSET
    is_mute: bool = False
    """Whether it takes reports and answers none."""
    record: bool = True
    """Whether to keep ``reports``."""
    reports: list[Report] = field(default_factory=list)
    _news: asyncio.Condition = field(default_factory=asyncio.Condition)
    _writer: asyncio.StreamWriter | None = None
    _transaction: int = 0

    def of(self, command: int) -> list[Report]:
        """Return the reports of a kind, in order."""
        return [report for report in self.reports if report.command == command]

    async def report(self, command: int, number: int = 1) -> Report:
        """Wait for a report of a kind: the first one, or the one of that number."""
        async with self._news:
            await self._news.wait_for(lambda: len(self.of(command)) >= number)
        return self.of(command)[number - 1]

    async def command(
        self, action: int, text: str = "", serials: Sequence[int] = ()
    ) -> Fields:
        """Give a command to the DTU that reported last and return what it says at once.

        Raises ``ConnectionError`` if there is none.
        """
        if self._writer is None:
            raise ConnectionError("no DTU has connected")
        self._transaction += 1
        request: Fields = {
            "time": self.unix_time,
            "action": action,
            "page_count": 1,
            "transaction_id": self._transaction,
            "data": text.encode(),
            "inverter_serials": list(serials),
        }
        number = len(self.of(_COMMAND_ACK)) + 1
        payload = messages.encode("CommandRequest", request)
        self._writer.write(frames.encode(Frame(_COMMAND, self._transaction, payload)))
        return (await self.report(_COMMAND_ACK, number)).fields

    @property
    def unix_time(self) -> int:
        """The cloud's time."""
        return int(self.clock.now().timestamp())

    async def serve(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        """Take the reports of one DTU until it leaves."""
        frame_reader = FrameReader()
        self._writer = writer
        try:
            while data := await reader.read(4096):
                for frame in frame_reader.feed(data):
                    await self._take(frame, writer)
        except (ConnectionError, FrameError) as err:
            _LOGGER.info("a DTU is gone: %s", err)
        finally:
            if self._writer is writer:
                self._writer = None
            writer.close()

    async def _take(self, frame: Frame, writer: asyncio.StreamWriter) -> None:
        kind = _KINDS.get(frame.command)
        if kind is not None:
            fields = messages.decode(kind.report, frame.payload)
        elif frame.command == _COMMAND_ACK:
            fields = messages.decode("CommandAck", frame.payload)
        else:
            fields = {}
        _LOGGER.info("%04X %s", frame.command, kind.report if kind else "")
        if kind is not None and not self.is_mute:
            writer.write(frames.encode(self._answer(frame, kind, fields)))
        async with self._news:
            if self.record:
                self.reports.append(Report(frame.command, frame.sequence, fields))
            self._news.notify_all()

    def _answer(self, frame: Frame, kind: _Kind, report: Fields) -> Frame:
        sequence = frame.sequence
        if frame.command == _PROFILE and self.wrong_sequence:
            sequence = (sequence + 1) & 0xFFFF
        known = {
            name: report[name] for name in _REPEATED[kind.answer] if name in report
        }
        fields: Fields = {**known, "time": self.unix_time}
        if kind.answer in _WITH_CLOCK:
            local = self.unix_time + self.utc_offset
            fields |= {
                "utc_offset": self.utc_offset,
                "local_time_text": _clock_text(local),
            }
        return Frame(
            frame.command + 0x100, sequence, messages.encode(kind.answer, fields)
        )


_WITH_CLOCK: Final = frozenset(
    {
        "AppInfoRequest",
        "HeartbeatToDtu",
        "RealDataRequest",
        "OldRealDataRequest",
        "AlarmRequest",
    }
)
"""Answers that tell the time as text, too."""

_REPEATED: Final = {
    "AppInfoRequest": ("page_index",),
    "HeartbeatToDtu": (),
    "RealDataRequest": ("page_index",),
    "OldRealDataRequest": ("page_index",),
    "AlarmRequest": ("page_index",),
    "CommandStatusRequest": ("action", "page_index", "transaction_id"),
    "DevConfigReportAck": (
        "transaction_id",
        "dtu_serial",
        "device_serial",
        "rule_type",
    ),
}
"""What each answer takes over from the report."""


def _clock_text(seconds: int) -> bytes:
    """Return a time as messages have it, from seconds since 1970 in local time."""
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M:%S}".encode()


@asynccontextmanager
async def running_cloud(
    cloud: SimulatedCloud, host: str = "127.0.0.1", port: int = 0
) -> AsyncIterator[Address]:
    """Let a cloud listen and give where. Everything is released at the end."""
    tasks: set[asyncio.Task[None]] = set()

    def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(cloud.serve(reader, writer))
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    server = await asyncio.start_server(serve, host, port)
    try:
        yield Address(host, server.sockets[0].getsockname()[1])
    finally:
        server.close()
        server.abort_clients()
        await server.wait_closed()
        if tasks:
            await asyncio.wait(tasks)
