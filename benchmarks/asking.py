"""How the processes of a benchmark ask each other: lines of JSON."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
import json
import os
from pathlib import Path
import subprocess
import sys
from threading import Lock
from typing import Any, Final, Protocol, Self

ROOT: Final = Path(__file__).parents[1]

HEAP: Final = {
    "MALLOC_MMAP_THRESHOLD_": str(1024 * 1024),
    "MALLOC_TRIM_THRESHOLD_": str(4 * 1024 * 1024),
}
"""What keeps freed memory at hand, as the allocator of Home Assistant's container does
(jemalloc). asyncio reads into 256 KiB each time: the system's own maps and unmaps that or
not, as the heap of a process happens to lie, which is up to a third of an answer's time."""

MOST_BYTES: Final = 16 * 1024 * 1024
"""Of a question."""

type Answer = Mapping[str, Any]


class Handler(Protocol):
    """What a process does when it is asked."""

    def __call__(self, question: Answer, /) -> Awaitable[Answer]:
        """Answer."""


def answer_questions(handle: Callable[[Answer], Answer]) -> None:
    """Answer until nobody can ask any more."""
    for line in sys.stdin:
        print(json.dumps(handle(json.loads(line))), flush=True)


async def async_answer_questions(handle: Handler) -> None:
    """Answer beside what else the loop does, until nobody can ask any more."""
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader(limit=MOST_BYTES)
    await loop.connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), sys.stdin
    )
    while line := await reader.readline():
        print(json.dumps(await handle(json.loads(line))), flush=True)


class Peer:
    """A process that can be asked."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        """Ask ``process``."""
        self._process = process
        self._lock = Lock()
        self.pid: Final = process.pid

    def tell(self, **question: Any) -> Self:
        """Put a question, whose answer comes later."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(question) + "\n")
        self._process.stdin.flush()
        return self

    def answer(self) -> Answer:
        """Wait for the answer."""
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"{self._process.args!r} has ended")
        answer: Answer = json.loads(line)
        return answer

    def ask(self, **question: Any) -> Answer:
        """Put a question and wait for the answer; threads may ask at the same time."""
        with self._lock:
            return self.tell(**question).answer()


@contextmanager
def peer(role: str, benchmark: str = "datalogger") -> Iterator[Peer]:
    """Run a process that plays a role of a benchmark, as ``benchmarks.peer`` lists them."""
    with subprocess.Popen(
        [sys.executable, "-m", "benchmarks.peer", benchmark, role],
        cwd=ROOT,
        env=os.environ | HEAP,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield Peer(process)
        finally:
            process.kill()
