"""What clients wait for, and whose turn it is.

Each client has a line of its own, and the lines take turns: the one that has had the fewest
goes first, and of equals the one that came first. The dongle's line comes before all others,
but not twice while they wait.
"""

from collections import defaultdict, deque
from heapq import heappop, heappush

from .asked import Asked
from .clients import Client


class Job:
    """A read that the bus has to do, and all who wait for it."""

    __slots__ = ("is_fresh", "is_valid", "request", "started", "waiters")

    def __init__(self, waiter: Asked) -> None:
        """Wait for its turn, and for company until then."""
        self.request = waiter.request
        self.waiters = [waiter]
        self.started: float | None = None
        self.is_fresh = True
        """Whether its answer will surely be of when it was started, or later."""
        self.is_valid = True
        """Whether the unit has not been written to since it was started."""


class Line:
    """What one client waits for."""

    __slots__ = ("comes_first", "had", "is_in_turn", "jobs")

    def __init__(self, client: Client) -> None:
        """Wait for nothing yet."""
        self.comes_first = client.is_dongle
        self.jobs: deque[Job] = deque()
        self.had = 0
        """Turns that it has had, as if it had always been there."""
        self.is_in_turn = False
        """Whether it waits for its turn, or has it."""


class Turns:
    """The lines in which somebody waits."""

    def __init__(self) -> None:
        """Have nobody wait."""
        self._first: deque[Line] = deque()
        """Those that come before all others."""
        self._lines: defaultdict[int, deque[Line]] = defaultdict(deque)
        """The others, by the turns that they have had."""
        self._counts: list[int] = []
        """A heap of the turns that those have had."""
        self._had = 0
        """What the line has had that was served last."""
        self._first_was_last = False

    def __len__(self) -> int:
        """Return how many wait, but for those that come first."""
        return sum(map(len, self._lines.values()))

    def join(self, line: Line) -> None:
        """Let a line wait that did not. Nobody saves turns up."""
        line.had = max(line.had, self._had)
        self.put(line)

    def put(self, line: Line) -> None:
        """Let a line wait for its next turn."""
        line.is_in_turn = True
        if line.comes_first:
            self._first.append(line)
            return
        if not (equals := self._lines[line.had]):
            heappush(self._counts, line.had)
        equals.append(line)

    def take(self) -> Line | None:
        """Take out the line whose turn it is, if there is one."""
        if self._first and not (self._first_was_last and self._counts):
            return self._first.popleft()
        if not self._counts:
            return None
        equals = self._lines[self._counts[0]]
        line = equals.popleft()
        if not equals:
            del self._lines[heappop(self._counts)]
        return line

    def begin(self, line: Line) -> None:
        """Take note of who has the turn now."""
        self._first_was_last = line.comes_first
        if not line.comes_first:
            self._had = line.had
