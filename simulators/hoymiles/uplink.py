"""What a simulated DTU tells its maker's cloud, and what it is told from there.

An upload fails while a local client is connected, or shortly after: this is how local
polling keeps a cloud from being updated. What failed is sent as history the next time.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import datetime, timedelta
from typing import Final

from custom_components.local_solar.hoymiles import frame as frames, messages
from custom_components.local_solar.hoymiles.errors import FrameError
from custom_components.local_solar.hoymiles.frame import Frame, FrameReader
from custom_components.local_solar.hoymiles.messages import Fields

from . import replies
from .dtu import SimulatedDtu
from .faults import NO_TROUBLE
from .fields import integer
from .values import upload_pages

INFO: Final = 0x2201
HEARTBEAT: Final = 0x2202
COMMAND_ACK: Final = 0x2205
COMMAND_STATUS: Final = 0x2206
ALARMS: Final = 0x220B
REAL_DATA: Final = 0x220C
HISTORY: Final = 0x220D
PROFILE: Final = 0x220E
COMMAND: Final = 0x2305

HEARTBEAT_INTERVAL: Final = 60.0
"""Seconds."""

_PACE: Final = 0.02
"""Seconds between two looks at the simulated clock."""

_PATIENCE: Final = 5.0
"""Seconds within which the cloud must answer."""

_RECONNECT: Final = 0.2
"""Seconds between two attempts to connect."""

_MOST_HISTORY: Final = 288
"""Uploads that are kept for later: a day of them."""


class CloudUplink:
    """The connection of a DTU to a cloud."""

    def __init__(self, dtu: SimulatedDtu, host: str, port: int) -> None:
        """Prepare to report to a cloud."""
        self._dtu = dtu
        self._host, self._port = host, port
        self._writer: asyncio.StreamWriter | None = None
        self._sequence = 0
        self._waiting: dict[int, asyncio.Future[Fields]] = {}
        self._history: list[list[Fields]] = []
        self._slot = self._slot_now()
        self._next_heartbeat: datetime | None = None
        self._transactions: set[int] = set()

    async def run(self) -> None:
        """Report until cancelled."""
        self._dtu.when_restarted.append(self._hang_up)
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._keep_connected())
                tasks.create_task(self._keep_reporting())
        finally:
            self._dtu.when_restarted.remove(self._hang_up)
            self._hang_up()

    # -- the connection ---------------------------------------------------------------

    async def _keep_connected(self) -> None:
        while True:
            if self._dtu.is_online:
                with suppress(OSError, FrameError):
                    await self._converse()
            await asyncio.sleep(_RECONNECT)

    async def _converse(self) -> None:
        """Connect and take in what comes, until the connection ends."""
        reader, writer = await asyncio.open_connection(self._host, self._port)
        frame_reader = FrameReader()
        self._writer, self._next_heartbeat = writer, None
        try:
            while data := await reader.read(4096):
                for frame in frame_reader.feed(data):
                    self._take(frame)
        finally:
            self._hang_up()

    def _hang_up(self) -> None:
        writer, self._writer = self._writer, None
        if writer is not None:
            writer.transport.abort()
        for waiting in self._waiting.values():
            waiting.cancel()
        self._waiting.clear()

    def _take(self, frame: Frame) -> None:
        """Take in an answer or a command."""
        if frame.command == COMMAND:
            self._obey(frame)
            return
        # The real cloud answers a profile's report with another sequence number.
        waiting = self._waiting.pop(frame.command, None)
        if waiting is not None and not waiting.done():
            waiting.set_result(messages.decode(_ANSWERS[frame.command], frame.payload))

    def _obey(self, frame: Frame) -> None:
        request = messages.decode("CommandRequest", frame.payload)
        ack = replies.cloud_command(self._dtu, request, NO_TROUBLE)
        self._transactions.add(integer(request, "transaction_id"))
        self._send(
            Frame(COMMAND_ACK, frame.sequence, messages.encode("CommandAck", ack))
        )
        self._dtu.settle()

    def _send(self, frame: Frame) -> None:
        if self._writer is not None:
            self._writer.write(frames.encode(frame))

    async def _report(self, command: int, name: str, fields: Fields) -> Fields | None:
        """Send a report. Return the answer, ``None`` if there is none."""
        if self._writer is None:
            return None
        self._sequence = self._sequence % frames.MAX_SEQUENCE + 1
        waiting: asyncio.Future[Fields] = asyncio.get_running_loop().create_future()
        self._waiting[command + 0x100] = waiting
        self._send(Frame(command, self._sequence, messages.encode(name, fields)))
        try:
            async with asyncio.timeout(_PATIENCE):
                # Whoever hangs up cancels what is waited for, not the one who waits.
                await asyncio.wait([waiting])
        except TimeoutError:
            self._hang_up()
        if waiting.cancelled():
            return None
        self._dtu.counters.cloud_answers += 1
        return waiting.result()

    # -- reports ----------------------------------------------------------------------

    async def _keep_reporting(self) -> None:
        while True:
            self._dtu.update()
            if not self._dtu.is_online:
                self._hang_up()
            if self._writer is not None:
                await self._report_what_is_new()
            if self._dtu.is_online and (slot := self._slot_now()) > self._slot:
                self._slot = slot
                await self._upload()
            await asyncio.sleep(_PACE)

    def _slot_now(self) -> int:
        """Return the number of the interval that it is in: uploads begin one."""
        return self._dtu.unix_time() // (60 * self._dtu.upload_interval)

    async def _report_what_is_new(self) -> None:
        now = self._dtu.clock.now()
        if self._next_heartbeat is None:
            await self._report(INFO, "CloudInfoReport", _info(self._dtu))
            self._next_heartbeat = now
        if now >= self._next_heartbeat:
            self._next_heartbeat = now + timedelta(seconds=HEARTBEAT_INTERVAL)
            await self._heartbeat()
        await self._report_alarms()
        await self._report_commands()
        await self._report_profiles()

    async def _heartbeat(self) -> None:
        fields = replies.heartbeat(self._dtu, {}, NO_TROUBLE)
        asked = self._dtu.unix_time()
        answer = await self._report(HEARTBEAT, "HeartbeatFromDtu", fields)
        now = self._dtu.unix_time()
        if answer is None or not (time := integer(answer, "time")):
            return
        # A time from the question to the answer is right, however fast time flies.
        if not (self._dtu.knows_time and asked <= time <= now):
            self._dtu.set_time(time)
            if abs(time - now) > 60 * self._dtu.upload_interval:
                self._slot = self._slot_now()

    async def _report_alarms(self) -> None:
        book = self._dtu.alarms
        new = [alarm for alarm in book.alarms if alarm.number > book.reported]
        if not new:
            return
        fields: Fields = {
            "dtu_serial": self._dtu.serial.encode(),
            "time": self._dtu.unix_time(),
            "page_count": 1,
            "alarms": [alarm.fields(self._dtu.clock_offset) for alarm in new],
        }
        if await self._report(ALARMS, "AlarmReply", fields) is not None:
            book.reported = new[-1].number

    async def _report_commands(self) -> None:
        for action, transaction in self._dtu.desk.finished(self._transactions):
            self._transactions.discard(transaction)
            request: Fields = {"action": action, "transaction_id": transaction}
            fields = replies.command_status(self._dtu, request, NO_TROUBLE)
            await self._report(COMMAND_STATUS, "CommandStatusReply", fields)

    async def _report_profiles(self) -> None:
        while self._dtu.profile_reports and self._writer is not None:
            serial = self._dtu.profile_reports.pop(0)
            fields = replies.grid_profile(self._dtu, serial)
            await self._report(PROFILE, "DevConfigReportFromDtu", fields)

    async def _upload(self) -> None:
        """Send the values of now and what could not be sent before."""
        dtu = self._dtu
        pages = upload_pages(dtu)
        if not dtu.can_upload or not await self._send_pages(REAL_DATA, pages):
            dtu.counters.uploads_failed += 1
            self._history = [*self._history, pages][-_MOST_HISTORY:]
            return
        dtu.counters.uploads_succeeded += 1
        while self._history and dtu.can_upload:
            if not await self._send_pages(HISTORY, self._history[0]):
                return
            del self._history[0]
            dtu.counters.history_uploads += 1

    async def _send_pages(self, command: int, pages: list[Fields]) -> bool:
        for page in pages:
            if await self._report(command, "RealDataReply", page) is None:
                return False
        return True


_ANSWERS: Final = {
    INFO + 0x100: "AppInfoRequest",
    HEARTBEAT + 0x100: "HeartbeatToDtu",
    COMMAND_STATUS + 0x100: "CommandStatusRequest",
    ALARMS + 0x100: "AlarmRequest",
    REAL_DATA + 0x100: "RealDataRequest",
    HISTORY + 0x100: "RealDataRequest",
    PROFILE + 0x100: "DevConfigReportAck",
}
"""Id of an answer -> its message."""


def _info(dtu: SimulatedDtu) -> Fields:
    """Return what the DTU says first, in the cloud's own layout."""
    own = replies.app_info(dtu, {}, NO_TROUBLE)
    shared = ("dtu_serial", "time", "inverter_count", "panel_count", "inverters")
    return {
        **{name: own[name] for name in shared},
        "time": dtu.unix_time(),
        "page_count": 1,
        "dtu": {
            "device_kind": 1,
            "software_version": dtu.firmware,
            "hardware_version": 0x1000,
            "step_time": 60 * dtu.upload_interval,
            "access_mode": 1,
            "wifi_version": b"1.2.0.5",
        },
    }


@asynccontextmanager
async def running_uplink(
    dtu: SimulatedDtu, host: str, port: int
) -> AsyncIterator[None]:
    """Let a DTU report to a cloud. Everything is released at the end."""
    task = asyncio.create_task(CloudUplink(dtu, host, port).run())
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
