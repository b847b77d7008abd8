"""Who talks to simulated DTUs in tests: a bare client, and one of other people's making."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
import json
import os
from pathlib import Path
from typing import Any, Final

from custom_components.local_solar.hoymiles import frame as frames, messages
from custom_components.local_solar.hoymiles.cipher import Cipher
from custom_components.local_solar.hoymiles.frame import Extension, Frame, FrameReader
from custom_components.local_solar.hoymiles.messages import Field, Fields
from simulators.cli import Address
from simulators.hoymiles.dtu import SimulatedDtu
from simulators.hoymiles.replies import HANDLERS
from simulators.hoymiles.server import running_dtu
from simulators.hoymiles.storage import HANDLERS as STORAGE_HANDLERS

ROOT: Final = Path(__file__).parents[2]

KINDS: Final = {**HANDLERS, **STORAGE_HANDLERS}

PATIENCE: Final = 10.0
"""Seconds within which an answer must come."""

NEVER: Final = 0.08
"""Seconds after which an answer that is not expected will not come."""

APP_INFO: Final = 0xA301
OLD_REAL_DATA: Final = 0xA303
ALARMS: Final = 0xA304
COMMAND: Final = 0xA305
STATUS: Final = 0xA306
CONFIG: Final = 0xA309
REAL_DATA: Final = 0xA311
NETWORK: Final = 0xA314
HISTORY: Final = 0xA315


@dataclass
class Client:
    """A connection that sends requests and takes what comes, frame by frame."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    cipher: Cipher | None = None
    sequence: int = 100
    segments: list[bytes] = field(default_factory=list)
    """What came, as it came."""
    _frames: FrameReader = field(default_factory=FrameReader)
    _arrived: list[Frame] = field(default_factory=list)

    def send(self, command: int, **fields: Field) -> None:
        """Send a request."""
        self.sequence += 1
        handler = KINDS[command]
        payload = messages.encode(handler.request, fields)
        extension = (
            Extension(gateway=0, number=1) if frames.is_extended(command) else None
        )
        frame = Frame(command, self.sequence, payload, extension)
        self.writer.write(frames.encode(frame, self.cipher))

    async def next_frame(self, patience: float = PATIENCE) -> Frame:
        """Return what comes next.

        Raises ``TimeoutError`` for nothing and ``EOFError`` if the DTU hangs up.
        """
        self._frames.cipher = self.cipher
        async with asyncio.timeout(patience):
            while not self._arrived:
                data = await self.reader.read(65536)
                if not data:
                    raise EOFError
                self.segments.append(data)
                self._arrived += self._frames.feed(data)
        return self._arrived.pop(0)

    async def ask(self, command: int, **fields: Field) -> Fields:
        """Send a request and return the fields of the reply, which must fit it."""
        self.send(command, **fields)
        frame = await self.next_frame()
        assert frame.command == frames.reply_to(command)
        assert frame.sequence == self.sequence
        return messages.decode(KINDS[command].reply, frame.payload)

    async def is_silent(self) -> bool:
        """Return whether nothing comes."""
        try:
            await self.next_frame(NEVER)
        except TimeoutError:
            return True
        return False

    async def is_left(self) -> bool:
        """Return whether the DTU hangs up."""
        try:
            await self.next_frame()
        except EOFError, ConnectionError:
            return True
        except TimeoutError:
            pass
        return False

    async def pages(self, command: int = REAL_DATA) -> list[Fields]:
        """Return all pages."""
        first = await self.ask(command)
        count = first["page_count"]
        assert isinstance(count, int)
        return [
            first,
            *[await self.ask(command, page_index=page) for page in range(1, count)],
        ]

    async def tell(
        self,
        action: int,
        data: str = "",
        serials: Sequence[int] = (),
        *,
        transaction: int = 1,
        command: int = COMMAND,
    ) -> Fields:
        """Give a command and return how it is acknowledged."""
        return await self.ask(
            command,
            action=action,
            device_kind=1,
            page_count=1,
            transaction_id=transaction,
            data=data.encode(),
            inverter_serials=list(serials),
        )

    async def status(self, action: int, *, transaction: int = 1) -> Fields:
        """Ask what became of a command."""
        return await self.ask(STATUS, action=action, transaction_id=transaction)


@asynccontextmanager
async def client_at(
    address: Address, cipher: Cipher | None = None
) -> AsyncIterator[Client]:
    """Connect."""
    reader, writer = await asyncio.open_connection(address.host, address.port)
    try:
        yield Client(reader, writer, cipher)
    finally:
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()


@asynccontextmanager
async def talking_to(dtu: SimulatedDtu) -> AsyncIterator[Client]:
    """Let a DTU listen, and connect."""
    async with running_dtu(dtu) as address, client_at(address, dtu.cipher) as client:
        yield client


# -- the independent client --------------------------------------------------------------


def _environment() -> Path:
    """Return the Python of the environment with the independent client."""
    folder = Path(os.environ.get("LOCAL_SOLAR_ENV", ROOT / ".env"))
    python = folder / "peer" / "bin" / "python"
    assert python.exists(), (
        f"there is no {python}: make the environment of the independent client with"
        " scripts/setup peer"
    )
    return python


async def run_peer(*arguments: str, job: object = None) -> Any:
    """Run the independent client and return what it prints."""
    process = await asyncio.create_subprocess_exec(
        _environment(),
        Path(__file__).with_name("peer_client.py"),
        *arguments,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, errors = await process.communicate(json.dumps(job).encode())
    assert process.returncode == 0, errors.decode()
    return json.loads(out)


def numbered(name: str, fields: Mapping[str, Field]) -> dict[str, Any]:
    """Return what ``messages.decode`` gave by field number, as the client prints it."""
    return _numbered(messages.parse(name, b"").DESCRIPTOR, fields)


def _numbered(descriptor: Any, fields: Mapping[str, Field]) -> dict[str, Any]:
    return {
        str(descriptor.fields_by_name[name].number): _value(
            descriptor.fields_by_name[name].message_type, value
        )
        for name, value in fields.items()
    }


def _value(descriptor: Any, value: Field) -> Any:
    if isinstance(value, list):
        return [_value(descriptor, item) for item in value]
    if isinstance(value, dict):
        return _numbered(descriptor, value)
    return value.hex() if isinstance(value, bytes) else value


def unknown_to(known: Mapping[str, Any], tree: dict[str, Any]) -> set[str]:
    """Take the fields out of a tree that another one lacks, and return where they were."""
    left_out = {number for number in tree if number not in known}
    for number in left_out:
        del tree[number]
    for number, value in tree.items():
        for item in value if isinstance(value, list) else [value]:
            if isinstance(item, dict):
                below = unknown_to(known[number], item)
                left_out |= {f"{number}.{inner}" for inner in below}
    return left_out
