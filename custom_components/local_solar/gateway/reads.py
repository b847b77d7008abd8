"""What belongs to reads, found also by reads that lie within them."""

from collections.abc import Sequence

from .pdu import Request


class Reads[T]:
    """Keeps one thing for each read, in the order in which they were kept."""

    __slots__ = ("_longest", "kept")

    def __init__(self) -> None:
        """Keep nothing yet."""
        self.kept: dict[Request, T] = {}
        self._longest = 0
        """No read that is kept is longer: most are as long as that, and need no search."""

    def keep(self, request: Request, thing: T) -> None:
        """Keep something for a read."""
        self.kept[request] = thing
        self._longest = max(self._longest, request.length)

    def drop(self, request: Request) -> None:
        """Keep nothing for a read any more."""
        del self.kept[request]
        if not self.kept:
            self._longest = 0

    def wider(self, request: Request) -> Sequence[Request]:
        """Return the reads that bring what another one does, and more."""
        if request.length >= self._longest:
            return ()
        longer = [known for known in self.kept if known.length > request.length]
        if not longer:
            self._longest = request.length
        return [known for known in longer if known.covers(request)]
