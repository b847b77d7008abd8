"""Frames: what a DTU and its peers exchange over TCP.

A frame has a header of 10 bytes, or of 24 for storage gateways, and a payload. All
numbers are big endian. The checksum covers the payload only. An encrypted payload is
followed by a tag that neither the length nor the checksum counts.
"""

from dataclasses import dataclass, field
from struct import Struct
from typing import Final

from ..modbus.crc import crc16
from .cipher import TAG_LENGTH, Cipher
from .errors import FrameError

MAGIC: Final = b"HM"

_HEADER: Final = Struct(">2sHHHH")
"""Magic, command, sequence number, checksum, length."""
_EXTENSION: Final = Struct(">HQHH")
"""Size of itself, serial number of the gateway, 0, number."""

MAX_LENGTH: Final = 0xFFFF
"""The most that the length can say."""

MAX_NOISE: Final = 1024
"""Bytes between frames after which a stream is given up."""

MAX_SEQUENCE: Final = 60_000
"""The vendor's app starts again there."""

_EXTENDED: Final = frozenset({0xDA, 0xDB, 0xC2, 0xC3})
"""First bytes of the commands of storage gateways and what is behind them."""

_NEVER_ENCRYPTED: Final = frozenset({0xA301, 0xA201, 0xA302, 0xA202})
"""What a DTU is, which tells how to decrypt the rest, and heartbeats."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Extension:
    """What frames of storage gateways say besides."""

    gateway: int
    """Serial number, 0 as long as it is not known."""
    number: int
    """255 for the gateway itself, 1 for what is behind it."""


@dataclass(frozen=True, slots=True)
class Frame:
    """One message on its way, with its payload in plain text."""

    command: int
    sequence: int
    payload: bytes = field(repr=False)
    """It may hold passwords and the seed of the encryption."""
    extension: Extension | None = None


def is_extended(command: int) -> bool:
    """Return whether the frames of a command have the long header."""
    return command >> 8 in _EXTENDED


def is_encrypted(command: int) -> bool:
    """Return whether a DTU that encrypts does so with this command."""
    return command not in _NEVER_ENCRYPTED and not is_extended(command)


def reply_to(command: int) -> int:
    """Return the command that answers one that was sent to a DTU: A311 -> A211."""
    return command - 0x100


def encode(frame: Frame, cipher: Cipher | None = None) -> bytes:
    """Return the bytes of a frame. Raises ``FrameError`` if it cannot be one."""
    if (frame.extension is not None) is not is_extended(frame.command):
        raise FrameError(f"{frame.command:04X} has the header of another kind")
    payload, tag, extension = frame.payload, b"", b""
    if cipher is not None and is_encrypted(frame.command):
        payload, tag = cipher.encrypt(frame.command, frame.sequence, payload)
    if frame.extension is not None:
        extension = _EXTENSION.pack(
            _EXTENSION.size, frame.extension.gateway, 0, frame.extension.number
        )
    length = _HEADER.size + len(extension) + len(payload)
    if length > MAX_LENGTH:
        raise FrameError(
            f"{frame.command:04X} has {length} bytes, {MAX_LENGTH} at most"
        )
    header = _HEADER.pack(MAGIC, frame.command, frame.sequence, crc16(payload), length)
    return header + extension + payload + tag


class FrameReader:
    """Finds the frames in a stream, however it is cut.

    ``cipher`` may be set between two frames.
    """

    def __init__(self, cipher: Cipher | None = None) -> None:
        """Read a new stream."""
        self.cipher = cipher
        self._buffer = bytearray()
        self._noise = 0
        self._broken: FrameError | None = None

    def feed(self, data: bytes) -> list[Frame]:
        """Return the frames that are complete with ``data``.

        Raises ``FrameError``; the stream is of no use after that. Good frames before a
        broken one are returned first.
        """
        if self._broken is not None:
            raise self._broken
        self._buffer += data
        frames: list[Frame] = []
        try:
            while (frame := self._next()) is not None:
                frames.append(frame)
        except FrameError as err:
            self._broken = err
            if not frames:
                raise
        return frames

    @property
    def is_empty(self) -> bool:
        """Whether no frame has begun."""
        return not self._buffer

    def _next(self) -> Frame | None:
        """Take one frame out of the buffer, if it is complete."""
        buffer = self._buffer
        self._skip_noise()
        if len(buffer) < _HEADER.size:
            return None
        _, command, sequence, checksum, length = _HEADER.unpack_from(buffer)
        start = _HEADER.size + (_EXTENSION.size if is_extended(command) else 0)
        if length < start:
            raise FrameError(f"{command:04X} says that it has {length} bytes")
        cipher = self.cipher if is_encrypted(command) else None
        end = length + (TAG_LENGTH if cipher else 0)
        if len(buffer) < end:
            return None
        payload = bytes(buffer[start:length])
        if crc16(payload) != checksum:
            raise FrameError(f"{command:04X} has a wrong checksum")
        if cipher is not None:
            tag = bytes(buffer[length:end])
            payload = cipher.decrypt(command, sequence, payload, tag)
        extension = _extension(buffer) if is_extended(command) else None
        del buffer[:end]
        self._noise = 0
        return Frame(command, sequence, payload, extension)

    def _skip_noise(self) -> None:
        """Drop what is before the next frame: zeros, rests of a broken one."""
        buffer = self._buffer
        if buffer.startswith(MAGIC):
            return
        found = buffer.find(MAGIC)
        if found < 0:
            found = len(buffer) - buffer.endswith(MAGIC[:1])
        del buffer[:found]
        self._noise += found
        if self._noise > MAX_NOISE:
            raise FrameError(f"{self._noise} bytes that belong to no frame")


def _extension(buffer: bytearray) -> Extension:
    """Return what a long header says besides. Raises ``FrameError``."""
    size, gateway, _, number = _EXTENSION.unpack_from(buffer, _HEADER.size)
    if size != _EXTENSION.size:
        raise FrameError(f"a header extension of {size} bytes instead of 14")
    return Extension(gateway=gateway, number=number)
