"""How often what lives in flash may be written: it bears some 100,000 writes in its life."""

from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Final

SPACING: Final = timedelta(seconds=10)
"""Between two writes of the same register, unless it needs more."""

PER_DAY: Final = 50
"""Writes of one register in any 24 hours: two an hour are plenty for tariffs and sun, and
flash then lasts more than five years even at its worst."""

_DAY: Final = timedelta(days=1)

type Ledger = Mapping[str, list[str]]
"""Times of the writes of the last day (ISO format, UTC) by what they wear out."""


class BudgetSpentError(Exception):
    """A register must not be written now."""

    def __init__(self, limit: str, until: datetime) -> None:
        """Say which limit holds and until when."""
        super().__init__(f"{limit}; possible again at {until:%Y-%m-%d %H:%M:%S} UTC")
        self.limit = limit
        self.until = until


class WriteBudget:
    """Counts the writes of one entry's devices, also over restarts."""

    def __init__(
        self, ledger: Ledger, save: Callable[[Ledger], Awaitable[None]]
    ) -> None:
        """Go on with ``ledger``; ``save`` keeps it for the next start.

        What cannot be read in it is left out.
        """
        self._writes = {
            cells: [at for text in texts if (at := _parse(text)) is not None]
            for cells, texts in ledger.items()
            if isinstance(texts, list)
        }
        self._save = save

    def check(self, cells: str, spacing: timedelta | None = None) -> None:
        """Raise ``BudgetSpentError`` if the register must not be written now.

        ``spacing`` is what it needs between two writes, where that is not the usual.
        """
        spacing = SPACING if spacing is None else spacing
        now = datetime.now(UTC)
        # Kept, so that what a clock was ahead of ages from now on.
        recent = self._writes[cells] = self._recent(cells, now)
        if recent and now - recent[-1] < spacing:
            raise BudgetSpentError(
                f"written less than {spacing.total_seconds():g} s ago",
                recent[-1] + spacing,
            )
        if len(recent) >= PER_DAY:
            raise BudgetSpentError(
                f"written {len(recent)} times in 24 hours", recent[-PER_DAY] + _DAY
            )

    async def async_spend(self, cells: str) -> None:
        """Count a write that is about to be sent, and keep that."""
        now = datetime.now(UTC)
        self._writes[cells] = [*self._recent(cells, now), now]
        await self._save(
            {
                cells: [at.isoformat() for at in recent]
                for cells in self._writes
                if (recent := self._recent(cells, now))
            }
        )

    def _recent(self, cells: str, now: datetime) -> list[datetime]:
        """Return the writes of the last day; those of a clock that was set back count as now."""
        return sorted(
            min(at, now) for at in self._writes.get(cells, ()) if at > now - _DAY
        )


def _parse(text: str) -> datetime | None:
    try:
        at = datetime.fromisoformat(text)
    except TypeError, ValueError:
        return None
    return at if at.tzinfo is not None else None
