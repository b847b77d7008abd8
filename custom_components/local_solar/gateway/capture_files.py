"""The files of a capture: ``name``, ``name.1``, ``name.2`` ..., the oldest with the highest number.

Together they never grow beyond a bound, and a line is never cut in two.
"""

from collections.abc import Iterable
from contextlib import suppress
from io import FileIO
import os
from pathlib import Path
from typing import Final

_PRIVATE: Final = 0o600
"""Only who runs the gateway may read them: they hold serial numbers."""


class RotatedFiles:
    """Appends lines to a file and makes room by starting another. Every call may block."""

    def __init__(self, path: Path, *, most_bytes: int, file_bytes: int) -> None:
        """Fill files of at most ``file_bytes``, all of them at most ``most_bytes``.

        There are always two at least: a file must not go as soon as it is full.
        """
        self.path: Final = path
        self._most = most_bytes
        self._each = min(file_bytes, most_bytes // 2)
        self._file: FileIO | None = None
        self._size = 0

    def open(self) -> None:
        """Begin a file; those of an earlier capture count as full. Raises ``OSError``."""
        self._rotate()

    def append(self, lines: Iterable[bytes]) -> int:
        """Write lines and return how many: one that is longer than a file is left out.

        Raises ``OSError``; then the file ends with a whole line.
        """
        written = 0
        batch = bytearray()
        for line in lines:
            if len(line) > self._each:
                continue
            if self._size + len(batch) + len(line) > self._each:
                self._write(batch)
                batch.clear()
                self._rotate()
            batch += line
            written += 1
        self._write(batch)
        return written

    def close(self) -> None:
        """Close the file; what was written has left the process already."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def _write(self, batch: bytearray) -> None:
        assert self._file is not None
        rest = memoryview(bytes(batch))
        try:
            while rest:
                # A disk that is nearly full takes a part first, and then refuses.
                rest = rest[self._file.write(rest) or 0 :]
        except OSError:
            with suppress(OSError):
                self._file.truncate(self._size)
            raise
        self._size += len(batch)

    def _rotate(self) -> None:
        """Move all files on by a number, drop the oldest ones, and begin another."""
        self.close()
        if self.path.exists(follow_symlinks=False) and not _is_regular(self.path):
            raise FileExistsError(f"{self.path} is no regular file")
        room = self._most - self._each
        kept: list[tuple[int, Path]] = []
        for number, path in self._files():
            room -= path.stat().st_size
            if room < 0:
                path.unlink()
            else:
                kept.append((number, path))
        for place, (number, path) in sorted(enumerate(kept, 1), reverse=True):
            if number < place:
                path.rename(self.path.with_name(f"{self.path.name}.{place}"))
        # Unbuffered: what an error keeps from the disk must not come later.
        self._file = FileIO(os.open(self.path, _FLAGS, _PRIVATE), "w")
        self._size = 0

    def _files(self) -> list[tuple[int, Path]]:
        """Return all files, the newest first, with their numbers; the newest has 0."""
        found: list[tuple[int, Path]] = []
        for path in self.path.parent.iterdir():
            name, _, number = path.name.rpartition(".")
            if not _is_regular(path):
                continue
            if path.name == self.path.name:
                found.append((0, path))
            elif name == self.path.name and number.isascii() and number.isdecimal():
                found.append((int(number), path))
        return sorted(found)


def _is_regular(path: Path) -> bool:
    return path.is_file() and not path.is_symlink()


_FLAGS: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
"""A file of its own: neither one that is there, nor what a link leads to."""
