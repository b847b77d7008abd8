"""How the registers of a recording moved, and what that suggests they are."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from itertools import pairwise
from typing import Final, NamedTuple

from .datasets import Table, table_of
from .exchanges import Exchange

_FEWEST_STEPS: Final = 3
"""Changes after which a movement says something."""

_LEAST_TEXT: Final = 4
"""Letters and digits that make a run of words a text."""

_HALF: Final = 0x8000
_ALL: Final = 0x10000


class Movement(StrEnum):
    """A guess at what a register is, from how it moved."""

    TEXT = "ASCII"
    CONSTANT = "constant"
    TIME_OF_DAY = "follows the time of day"
    HIGH_WORD = "high word of a 32-bit pair"
    LOW_WORD = "low word of a 32-bit pair"
    COUNTER = "counter that only grows"
    CHANGES = "changes"


class Step(NamedTuple):
    """A word that was seen and that differs from the one before."""

    read: int
    """Number of the exchange: words of the same one were read together."""
    at: datetime | None
    word: int


@dataclass(slots=True, kw_only=True)
class History:
    """What was seen of one register."""

    steps: list[Step]
    """The first is what was seen first."""
    readers: Counter[str] = field(default_factory=Counter)
    """How often each client read it."""
    minimum: int
    maximum: int

    @property
    def first(self) -> int:
        """The word that was seen first."""
        return self.steps[0].word

    @property
    def last(self) -> int:
        """The word that was seen last."""
        return self.steps[-1].word

    @property
    def changes(self) -> int:
        """How often it was another one than before."""
        return len(self.steps) - 1


type Place = tuple[Table, int]
type Histories = Mapping[Place, History]
"""By table and address, in their order."""


def histories_of(exchanges: Iterable[Exchange]) -> Histories:
    """Gather what was read; what was written is not known to have been kept."""
    found: dict[Place, History] = {}
    for number, exchange in enumerate(exchanges):
        table = table_of(exchange)
        if table is None or exchange.is_write:
            continue
        for address, word in enumerate(exchange.words or (), exchange.address):
            history = found.get((table, address))
            if history is None:
                history = found[table, address] = History(
                    steps=[Step(number, exchange.at, word)], minimum=word, maximum=word
                )
            elif history.steps[-1].word != word:
                history.steps.append(Step(number, exchange.at, word))
                history.minimum = min(history.minimum, word)
                history.maximum = max(history.maximum, word)
            history.readers[exchange.peer] += 1
    tables = list(Table)
    return dict(
        sorted(found.items(), key=lambda item: (tables.index(item[0][0]), item[0][1]))
    )


def movements_of(histories: Histories) -> dict[Place, Movement]:
    """Return a guess for each of these registers, which are judged with their neighbours."""
    found: dict[Place, Movement] = {}
    for run in text_runs(histories):
        found |= dict.fromkeys(run, Movement.TEXT)
    for place, history in histories.items():
        found.setdefault(place, _movement_of(history))
    for place, history in histories.items():
        table, address = place
        below = (table, address + 1)
        if below in histories and is_pair(history, histories[below]):
            found[place], found[below] = Movement.HIGH_WORD, Movement.LOW_WORD
    return found


def _movement_of(history: History) -> Movement:
    if not history.changes:
        return Movement.CONSTANT
    if _follows_time_of_day(history.steps):
        return Movement.TIME_OF_DAY
    if history.changes >= _FEWEST_STEPS and all(
        before.word < after.word for before, after in pairwise(history.steps)
    ):
        return Movement.COUNTER
    return Movement.CHANGES


# -- texts ----------------------------------------------------------------------------


def text_runs(histories: Histories) -> Iterator[Sequence[Place]]:
    """Yield runs of registers that never changed and together read as a text."""
    run: list[Place] = []
    for place, history in histories.items():
        follows = run and place == (run[-1][0], run[-1][1] + 1)
        if not follows or history.changes or not _is_text(history.first):
            yield from _if_text(run, histories)
            run = []
        if not history.changes and _is_text(history.first):
            run.append(place)
    yield from _if_text(run, histories)


def text_of(run: Iterable[Place], histories: Histories) -> str:
    """Return the text of registers, two characters in each."""
    octets = b"".join(histories[place].first.to_bytes(2) for place in run)
    return octets.rstrip(b"\0").decode("latin-1")


def _is_text(word: int) -> bool:
    """Tell whether a word is two characters, or the last one of an odd number."""
    high, low = word >> 8, word & 0xFF
    return 0x20 <= high <= 0x7E and (low == 0 or 0x20 <= low <= 0x7E)


def _if_text(run: list[Place], histories: Histories) -> Iterator[list[Place]]:
    if sum(character.isalnum() for character in text_of(run, histories)) >= _LEAST_TEXT:
        yield run


# -- numbers --------------------------------------------------------------------------


def is_pair(high: History, low: History) -> bool:
    """Tell whether two neighbours carry: whenever one steps by 1, the other wraps around."""
    carries = 0
    for before, after in pairwise(high.steps):
        step = (after.word - before.word + _HALF) % _ALL - _HALF
        was, became = _words_around(low, after.read)
        wrapped = (was - became > _HALF) - (became - was > _HALF)
        if not wrapped or step != wrapped:
            return False
        carries += 1
    return carries > 0


def _words_around(history: History, read: int) -> tuple[int, int]:
    """Return the words before an exchange and from it on."""
    was = became = history.first
    for step in history.steps:
        if step.read > read:
            break
        was, became = became if step.read == read else step.word, step.word
    return was, became


def _hour(at: datetime) -> float:
    return at.hour + _minute(at) / 60


def _minute(at: datetime) -> float:
    return at.minute + _second(at) / 60


def _second(at: datetime) -> float:
    return at.second + at.microsecond / 1e6


def _minute_of_day(at: datetime) -> float:
    return at.hour * 60 + _minute(at)


_CLOCKS: Final = (
    (_second, 60, 3.0),
    (_minute, 60, 1.2),
    (_hour, 24, 1.2),
    (_minute_of_day, 1440, 1.2),
)
"""What a register may count, from 0 to where, and how far it may seem to be out of step:
a new number is seen when it is read, not when it begins."""


def _follows_time_of_day(steps: Sequence[Step]) -> bool:
    """Tell whether words keep step with a part of the time, whatever clock they go by."""
    if len(steps) <= _FEWEST_STEPS:
        return False
    for part, period, tolerance in _CLOCKS:
        if not all(
            0 < (after.word - before.word) % period <= period / 2
            for before, after in pairwise(steps)
        ):
            continue
        offsets = [
            (step.word - part(step.at)) % period
            for step in steps
            if step.at is not None and step.word < period
        ]
        if len(offsets) == len(steps) and _spread(offsets, period) <= tolerance:
            return True
    return False


def _spread(angles: list[float], period: float) -> float:
    """Return the length of the shortest part of a circle that has all of them."""
    ordered = sorted(angles)
    gaps = [after - before for before, after in pairwise(ordered)]
    return period - max([*gaps, ordered[0] + period - ordered[-1]])
