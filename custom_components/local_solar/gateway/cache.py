"""Blocks that were read a moment ago, for those who ask for the same.

A block is as old as the request to the bus that brought it: the device may have looked at
its registers right when that began.
"""

from typing import Final, NamedTuple

from .pdu import Request, part_of
from .reads import Reads

MOST_BLOCKS: Final = 64
"""Blocks that are kept, of all units together; the oldest gives way."""


class _Block(NamedTuple):
    at: float
    answer: bytes


class BlockCache:
    """Register words by unit, function and place, for ``max_age`` seconds."""

    def __init__(self, max_age: float) -> None:
        """Keep blocks for ``max_age`` seconds; 0 keeps none."""
        self.max_age: Final = max_age
        self._blocks: Reads[_Block] = Reads()
        self._answers: dict[tuple[int, bytes], _Block] = {}
        """Whole answers by unit and request as they came: most ask again for the same."""

    def answer(self, unit: int, pdu: bytes, now: float) -> bytes | None:
        """Return the answer to a request that was answered before, while it is fresh."""
        block = self._answers.get((unit, pdu))
        if block is None or now - block.at > self.max_age:
            return None
        return block.answer

    def find(self, request: Request, pdu: bytes, now: float) -> bytes | None:
        """Return the answer to a read whose registers lie within a fresh block."""
        blocks = self._blocks
        if not blocks.kept:
            return None
        for known in (request, *blocks.wider(request)):
            block = blocks.kept.get(known)
            if block is not None and now - block.at <= self.max_age:
                answer = part_of(block.answer, known, request)
                self._keep_answer(request.unit, pdu, _Block(block.at, answer))
                return answer
        return None

    def store(self, request: Request, answer: bytes, at: float) -> None:
        """Keep the answer to a request that began at ``at`` (monotonic seconds)."""
        if not self.max_age:
            return
        kept = self._blocks.kept
        # What is new stands last.
        kept.pop(request, None)
        while kept and (
            len(kept) >= MOST_BLOCKS or at - next(iter(kept.values())).at > self.max_age
        ):
            self._blocks.drop(next(iter(kept)))
        self._blocks.keep(request, _Block(at, answer))

    def forget(self, unit: int) -> None:
        """Forget all of a unit: somebody has written to it."""
        for known in [known for known in self._blocks.kept if known.unit == unit]:
            self._blocks.drop(known)
        self._answers.clear()

    def _keep_answer(self, unit: int, pdu: bytes, answer: _Block) -> None:
        if len(self._answers) >= MOST_BLOCKS:
            self._answers.clear()
        self._answers[unit, pdu] = answer
