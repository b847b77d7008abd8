"""The server of the integration in a process of its own, and what it is held against.

The anchors are relays that do as little as can be done: one passes bytes on, the other
also takes the mask off each packet, checks it and unpacks its words.
"""

import asyncio
from collections.abc import Coroutine, Mapping
from datetime import UTC, datetime
from functools import partial
import gc
from pathlib import Path
from struct import Struct, unpack_from
import time
from typing import Any, Final, override

from custom_components.local_solar.growatt.datalogger.fleet import (
    Fleet,
    Logger,
    Reported,
    ReportedInverter,
    ReportedMeter,
)
from custom_components.local_solar.growatt.datalogger.packets import (
    CHECKSUM_BYTES,
    HEADER_BYTES,
    masked,
)
from custom_components.local_solar.growatt.datalogger.policy import Policy, Verdict
from custom_components.local_solar.growatt.datalogger.relay import Cloud
from custom_components.local_solar.growatt.datalogger.server import Server
from custom_components.local_solar.modbus.crc import crc16
from custom_components.local_solar.points import Value

from .asking import Answer, async_answer_questions

HOST: Final = "127.0.0.1"

_LENGTH_AT: Final = 4
_COUNTED_FROM: Final = 6
_WORDS_AT: Final = 77


def resident() -> int:
    """Return how many bytes of memory the process takes."""
    gc.collect()
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024
    raise RuntimeError("the kernel does not tell")


class Owner:
    """Counts what is reported."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self.identified = 0
        self.snapshots = 0
        self.values = 0

    def logger_changed(self, logger: Logger) -> None:
        """Do nothing."""

    def inverter_identified(self, inverter: ReportedInverter) -> None:
        """Count it."""
        self.identified += 1

    def inverter_reported(self, reported: Reported) -> None:
        """Count its values."""
        self.snapshots += 1
        for values in reported.poll.snapshot.values():
            self.values += len(values)

    def meter_appeared(self, meter: ReportedMeter) -> None:
        """Do nothing."""

    def meter_reported(
        self, meter: ReportedMeter, values: Mapping[str, Value | None]
    ) -> None:
        """Do nothing."""

    def logger_encrypts(self, name: str, *, encrypts: bool) -> None:
        """Do nothing."""

    def server_commanded(self, logger: Logger, verdict: Verdict) -> None:
        """Do nothing."""

    def is_elsewhere(self, serial: str) -> bool:
        """Leave all inverters to their loggers."""
        return False


class Ours:
    """The server with all that it needs."""

    def __init__(self, cloud: Cloud | None) -> None:
        """Relay to a cloud, or stand alone."""
        self.owner = Owner()
        self._tasks: set[asyncio.Task[None]] = set()
        self.fleet = Fleet(
            self.owner, lambda: datetime.now(UTC), datetime.now, self._create_task
        )
        self.server = Server(self.fleet, datetime.now, cloud=cloud)

    def _create_task(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def start(self) -> int:
        """Listen; return the port."""
        await self.server.start(HOST, 0)
        return self.server.port

    def report(self) -> Answer:
        """Return what has been counted."""
        loggers = self.fleet.loggers.values()
        return {
            "identified": self.owner.identified,
            "snapshots": self.owner.snapshots,
            "values": self.owner.values,
            "records": sum(logger.records for logger in loggers),
            "rejected": sum(logger.rejected for logger in loggers),
            "sessions": len(self.server.sessions),
            "refused": self.server.statistics.refused,
        }


class _Far(asyncio.Protocol):
    """The line of an anchor to the cloud."""

    def __init__(self, near: asyncio.Transport) -> None:
        self._near = near

    @override
    def data_received(self, data: bytes) -> None:
        self._near.write(data)


class Passing(asyncio.Protocol):
    """An anchor: passes bytes on."""

    def __init__(self, cloud: int) -> None:
        """Pass them to a port."""
        self._cloud = cloud
        self._far: asyncio.Transport | None = None
        self._near: asyncio.Transport | None = None
        self._held = b""

    @override
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._near = transport
        self._task = asyncio.get_running_loop().create_task(self._connect(transport))

    async def _connect(self, near: asyncio.Transport) -> None:
        loop = asyncio.get_running_loop()
        self._far, _ = await loop.create_connection(
            lambda: _Far(near), HOST, self._cloud
        )
        self._far.write(self._held)

    @override
    def data_received(self, data: bytes) -> None:
        if self._far is None:
            self._held += data
        else:
            self._far.write(data)
        self.look_at(data)

    def look_at(self, data: bytes) -> None:
        """Do nothing."""

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        if self._far is not None:
            self._far.abort()


class Decoding(Passing):
    """An anchor: passes bytes on, and gets the words out of each packet."""

    def __init__(self, cloud: int) -> None:
        """Pass bytes to a port."""
        super().__init__(cloud)
        self._rest = b""
        self._formats: dict[int, Struct] = {}
        self.words: tuple[int, ...] = ()

    @override
    def look_at(self, data: bytes) -> None:
        """Take the packets out of their masks."""
        data = self._rest + data
        start, end = 0, len(data)
        while end - start >= HEADER_BYTES:
            (length,) = unpack_from(">H", data, start + _LENGTH_AT)
            stop = start + _COUNTED_FROM + length
            if stop + CHECKSUM_BYTES > end:
                break
            if crc16(data[start:stop]) == int.from_bytes(data[stop : stop + 2]):
                body = masked(data[start + HEADER_BYTES : stop])
                count = max(0, len(body) - _WORDS_AT) // 2
                if (form := self._formats.get(count)) is None:
                    form = self._formats[count] = Struct(f">{count}H")
                self.words = form.unpack_from(body, _WORDS_AT) if count else ()
            start = stop + CHECKSUM_BYTES
        self._rest = data[start:]


ANCHORS: Final[Mapping[str, type[Passing]]] = {
    "passing": Passing,
    "decoding": Decoding,
}


async def _serve() -> None:
    ours: Ours | None = None

    async def handle(question: Answer) -> Answer:
        nonlocal ours
        match question["do"]:
            case "start":
                cloud = question["cloud"]
                if (kind := ANCHORS.get(question["kind"])) is not None:
                    loop = asyncio.get_running_loop()
                    server = await loop.create_server(partial(kind, cloud), HOST, 0)
                    return {"port": server.sockets[0].getsockname()[1]}
                ours = Ours(
                    Cloud(host=HOST, port=cloud, policy=Policy()) if cloud else None
                )
                return {"port": await ours.start()}
            case "memory":
                return {"resident": resident()}
        report = {} if ours is None else ours.report()
        return {**report, "cpu": time.process_time(), "at": time.monotonic()}

    await async_answer_questions(handle)


def serve_server() -> None:
    """Be a server."""
    asyncio.run(_serve())
