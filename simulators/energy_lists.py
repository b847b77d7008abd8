"""What a plant counted by hour, day, month and year, as inverters remember it.

The past of before the start is made up, so that it adds up to the lifetime counter: days of sun,
back from the start until the counter was 0.
"""

from bisect import bisect_right
from collections.abc import Callable, Mapping
from datetime import date, datetime, time, timedelta
from typing import Final

from custom_components.local_solar.growatt.energy_history import Span, starts

_DAY: Final = timedelta(days=1)
_MOST_DAYS: Final = 19 * 365
"""Lists have 20 years."""

_FULL_HOURS: Final = 6.5
"""Hours of full power that a clear day at the height of summer is worth."""


class Past:
    """What the lifetime counter (0.1 kWh) showed until the midnight before the start."""

    def __init__(
        self,
        start: datetime,
        counted: int,
        rated_power: float,
        sun: Callable[[datetime], float],
    ) -> None:
        """Spread what was ``counted`` over the days before.

        ``sun`` is the share of full sun at a time, ``rated_power`` is in watts.
        """
        self.midnight: Final = datetime.combine(start.date(), time())
        self._sun = sun
        best = rated_power / 100 * _FULL_HOURS
        shown = {self.midnight: counted}
        day = self.midnight
        for _ in range(_MOST_DAYS):
            if not counted:
                break
            day -= _DAY
            noon = sun(day.replace(hour=13))
            counted = max(0, counted - max(1, round(best * noon * _weather(day))))
            shown[day] = counted
        self._shown = dict(reversed(shown.items()))
        self._days = list(self._shown)

    def at(self, when: datetime) -> int:
        """Return what the counter showed at a full hour."""
        if when < self._days[0]:
            return self._shown[self._days[0]]
        day = self._days[bisect_right(self._days, when) - 1]
        before = self._shown[day]
        if day in (when, self.midnight):
            return before
        suns = [self._sun(day.replace(hour=hour, minute=30)) for hour in range(24)]
        share = sum(suns[: when.hour]) / (sum(suns) or 1)
        return before + int((self._shown[day + _DAY] - before) * share)


def _weather(day: date) -> float:
    """Return the share of a clear day's energy, the same for a day in every run."""
    return 0.35 + 0.65 * (day.toordinal() * 7919 % 101 / 100)


def remembered(
    span: Span,
    size: int,
    clock: datetime,
    now: int,
    past: Past,
    hours: Mapping[datetime, int],
) -> list[int]:
    """Return the entries of a list of ``size``, the newest first, in 0.1 kWh.

    ``now`` is what the counter shows, ``hours`` what it showed at the full hours since the
    midnight before the start.
    """
    known = sorted(hours)

    def shown(at: datetime) -> int:
        place = bisect_right(known, at)
        return hours[known[place - 1]] if place else past.at(at)

    entries: list[int] = []
    after = now
    for at in starts(clock, span):
        if len(entries) == size:
            break
        entries.append(after - shown(at))
        after = shown(at)
    return entries
