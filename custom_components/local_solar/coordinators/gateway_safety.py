"""Which units of a gateway have registers that nobody must touch.

Off-grid inverters of Growatt (SPF, SPE) reset, and cut their output, when an address from
30000 to 31999 is read or written (facts of owners). Until it is known of a unit that it is
none, nobody gets there. The owner cannot lift that: it would be lifted by mistake.
"""

from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import timedelta
from time import monotonic
from typing import Final

from modbus_connection import ModbusError, ModbusUnit

from homeassistant.config_entries import ConfigEntryState
from homeassistant.core import HomeAssistant, callback

from ..const import CONF_IDENTIFICATION, CONF_KIND, CONF_NEVER, KIND_GROWATT, LOGGER
from ..gateway.policy import Span
from ..growatt.identify import Identification, IdentificationError, identify
from ..growatt.models import Certainty, Family
from ..modbus_link import ModbusLink
from .base import LocalSolarConfigEntry
from .gateway_neighbours import entries_on, loaded_on
from .growatt import GrowattCoordinator

OFF_GRID: Final = (Span(first=30000, last=31999),)
"""Of both spaces."""

_BEGINNING: Final = (ConfigEntryState.NOT_LOADED, ConfigEntryState.SETUP_IN_PROGRESS)

_LINK: Final = "link"
_UNITS: Final = "units"

type Never = Mapping[int, tuple[Span, ...]]
"""By unit id."""

FIRST_PAUSE: Final = timedelta(minutes=1).total_seconds()
LAST_PAUSE: Final = timedelta(hours=1).total_seconds()
"""Seconds after which a unit that did not say what it is is asked again: ever more."""


def never_of(identified: Identification) -> tuple[Span, ...]:
    """Return what must not be touched of an inverter.

    Only a type code is sure enough: a name or a guess may be wrong.
    """
    is_sure = identified.certainty is Certainty.CODED
    return () if is_sure and identified.family is not Family.SPF else OFF_GRID


class OffGridWatch:
    """Finds out what the units of one gateway are, and keeps that in its entry."""

    def __init__(
        self,
        hass: HomeAssistant,
        entry: LocalSolarConfigEntry,
        link: ModbusLink,
        units: Mapping[int, ModbusUnit],
        tell: Callable[[Never], None],
    ) -> None:
        """Watch ``units`` and tell what must not be touched whenever that has changed."""
        self._hass = hass
        self._entry = entry
        self._link = link
        self._units = units
        self._tell = tell
        self._found = _stored(entry, link)
        """What the units themselves said, now or before the last restart."""
        self._asked: set[int] = set()
        """Units that need not be asked any more before the next restart."""
        self._pauses: dict[int, tuple[float, float]] = {}
        """When a unit may be asked again (monotonic), and how long that was put off."""
        self._is_asking = False
        self._told = self.never()

    # -- what is known --------------------------------------------------------------

    @callback
    def never(self) -> Never:
        """Return what must not be touched now, of those units where there is something."""
        return {unit: spans for unit in self._units if (spans := self._spans(unit))}

    def _spans(self, unit: int) -> tuple[Span, ...]:
        if (spans := self._said_by_entries(unit)) is not None:
            return spans
        return self._found.get(unit, OFF_GRID)

    def _said_by_entries(self, unit: int) -> tuple[Span, ...] | None:
        """Return what the entries of inverters know of a unit, ``None`` if nothing for sure."""
        for entry in entries_on(self._hass, self._link, unit):
            if entry.data[CONF_KIND] == KIND_GROWATT:
                stored = Identification.from_json(entry.data[CONF_IDENTIFICATION])
                if stored.family is Family.SPF:
                    return OFF_GRID
        for entry in loaded_on(self._hass, self._link, unit):
            if isinstance(entry.runtime_data, GrowattCoordinator):
                return never_of(entry.runtime_data.inverter.identified)
        return None

    def _is_others_business(self, unit: int) -> bool:
        """Return whether an entry knows a unit, or is about to get to know it.

        What has an entry and is no inverter of Growatt need not be asked as if it were one.
        """
        return self._said_by_entries(unit) is not None or any(
            entry.disabled_by is None
            and (entry.data[CONF_KIND] != KIND_GROWATT or entry.state in _BEGINNING)
            for entry in entries_on(self._hass, self._link, unit)
        )

    # -- finding out ----------------------------------------------------------------

    @callback
    def look(self, silent: frozenset[int] = frozenset()) -> None:
        """Take over what entries know by now, and ask units that nobody knows.

        ``silent`` are units that would not answer.
        """
        for unit in self._units:
            if (spans := self._said_by_entries(unit)) is not None:
                self._keep(unit, spans)
        self._tell_changes()
        now = monotonic()
        due = [
            unit
            for unit in self._units
            if unit not in silent | self._asked
            and now >= self._pauses.get(unit, (0.0, 0.0))[0]
            and not self._is_others_business(unit)
        ]
        if due and not self._is_asking:
            self._is_asking = True
            self._entry.async_create_background_task(
                self._hass, self._async_ask(due), f"{self._entry.title}: what units are"
            )

    async def _async_ask(self, units: list[int]) -> None:
        try:
            for unit in units:
                await self._async_identify(unit)
        finally:
            self._is_asking = False

    async def _async_identify(self, unit: int) -> None:
        """Ask a unit who it is, by reads alone that harm no inverter, in a safe order."""
        try:
            identified = await identify(self._units[unit])
        except (ModbusError, IdentificationError) as err:
            _, before = self._pauses.get(unit, (0.0, FIRST_PAUSE / 2))
            pause = min(2 * before, LAST_PAUSE)
            self._pauses[unit] = monotonic() + pause, pause
            LOGGER.debug("Unit %d is not known for %.0f s: %s", unit, pause, err)
            return
        self._asked.add(unit)
        self._keep(unit, never_of(identified))
        self._tell_changes()
        LOGGER.debug(
            "Unit %d is a %s (%s)",
            unit,
            identified.family,
            identified.certainty.name.lower(),
        )

    @callback
    def _keep(self, unit: int, spans: tuple[Span, ...]) -> None:
        """Keep what a unit is for the next start."""
        if self._found.get(unit) == spans:
            return
        self._found[unit] = spans
        stored = {
            _LINK: self._link.to_json(),
            _UNITS: {
                str(unit): [str(span) for span in spans]
                for unit, spans in sorted(self._found.items())
            },
        }
        data = {**self._entry.data, CONF_NEVER: stored}
        self._hass.config_entries.async_update_entry(self._entry, data=data)

    @callback
    def _tell_changes(self) -> None:
        if (now := self.never()) != self._told:
            self._told = now
            self._tell(now)


def _stored(
    entry: LocalSolarConfigEntry, link: ModbusLink
) -> dict[int, tuple[Span, ...]]:
    """Return what was found before the last restart, unless on another link.

    What cannot be read is not known.
    """
    stored = entry.data.get(CONF_NEVER, {})
    found: dict[int, tuple[Span, ...]] = {}
    if stored.get(_LINK) != link.to_json():
        return found
    for unit, spans in stored.get(_UNITS, {}).items():
        with suppress(ValueError):
            found[int(unit)] = tuple(map(Span.parse, spans))
    return found
