"""What is known of a unit's registers: words by space and address, and how old they are.

A poll fills an image, and so can a record that a datalogger pushes.
"""

from collections.abc import Iterable, Sequence
from enum import StrEnum


class Space(StrEnum):
    """The two register spaces. The same address means different things in each."""

    HOLDING = "holding"
    INPUT = "input"


class RegisterImage:
    """The last words seen of one unit.

    ``words[space]`` maps an address to its word (0 to 65535). Addresses never
    seen, or forgotten because their last read failed, are missing.
    """

    def __init__(self) -> None:
        """Make an empty image."""
        self.words: dict[Space, dict[int, int]] = {space: {} for space in Space}
        self._seen: dict[Space, dict[int, float]] = {space: {} for space in Space}
        self._latest = dict.fromkeys(Space, 0.0)
        """When something of a space was seen last."""

    def store(
        self, space: Space, address: int, words: Sequence[int], at: float
    ) -> None:
        """Take in a block of words seen at monotonic time ``at`` (seconds).

        Words that were seen later stay: a report may come to be looked at only when the
        unit has been asked since.
        """
        addresses: Sequence[int] = range(address, address + len(words))
        if at < self._latest[space]:
            seen = self._seen[space]
            addresses = [place for place in addresses if seen.get(place, at) <= at]
            words = [words[place - address] for place in addresses]
        else:
            self._latest[space] = at
        self.words[space].update(zip(addresses, words, strict=True))
        self._seen[space].update(dict.fromkeys(addresses, at))

    def forget(self, space: Space, address: int, count: int) -> None:
        """Drop a block whose read failed: old words must not pass for new ones."""
        known, seen = self.words[space], self._seen[space]
        for place in range(address, address + count):
            known.pop(place, None)
            seen.pop(place, None)

    def seen_at(self, space: Space, address: int) -> float | None:
        """Return when the word at ``address`` was last seen, ``None`` if it is not known."""
        return self._seen[space].get(address)

    def get(self, space: Space, address: int, count: int) -> list[int] | None:
        """Return ``count`` words from ``address``, ``None`` unless all are known."""
        known = self.words[space]
        try:
            return [known[place] for place in range(address, address + count)]
        except KeyError:
            return None

    def dump(self) -> dict[str, dict[str, int]]:
        """Return all known words as a dataset: ``{"holding": {"30": 100}, "input": {}}``."""
        return {
            space.value: {str(address): word for address, word in sorted(known.items())}
            for space, known in self.words.items()
        }

    def load(self, dataset: dict[str, dict[str, int]], at: float) -> None:
        """Take in a dataset, as ``dump`` returns it."""
        for space in Space:
            for start, words in _runs(dataset.get(space.value, {})):
                self.store(space, start, words, at)


def _runs(words: dict[str, int]) -> Iterable[tuple[int, list[int]]]:
    """Split words into runs of consecutive addresses."""
    start, run = 0, list[int]()
    for address, word in sorted(
        (int(address), word & 0xFFFF) for address, word in words.items()
    ):
        if address != start + len(run):
            if run:
                yield start, run
            start, run = address, []
        run.append(word)
    if run:
        yield start, run
