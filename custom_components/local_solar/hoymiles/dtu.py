"""Polls one DTU: everything in one short session, the slow things now and then."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import date
import time
from typing import Final

from ..points import CONNECTED, Device, PointId, Value
from . import points
from .client import DtuClient, Session
from .devices import devices
from .errors import (
    DtuError,
    EvictedError,
    FrameError,
    RefusedCommandError,
    SilentError,
    UnsupportedError,
)
from .event_log import EventLog
from .inventory import Inventory, Inverter, Stocktaking
from .models import dtu_version
from .records import AppInfo, Config, NetworkInfo, RealData
from .snapshot import Known, dtu_id, snapshot

INFO_INTERVAL: Final = 600.0
"""Seconds between two questions what is behind the DTU, and for what it is set to."""

EVENTS_AGAIN: Final = 600.0
"""Seconds after which a list of events that could not be had is asked for again, and one
with an event that lasts."""

REST_TIMEOUT: Final = 25.0
"""Seconds for all that is asked after the values."""

STUCK_AFTER: Final = 900.0
"""Seconds after which values of one and the same time are old: some DTUs hang in the
morning, until they are restarted or the vendor's app connects."""

NEW_AGAIN: Final = 3600.0
"""Seconds after which a DTU of the old kind is asked in the new way again."""

REFUSALS: Final = 3

STUCK: Final = "it repeats values of a quarter of an hour ago: restart the DTU"

_EVENT_KEYS: Final = frozenset(
    {*(point.key for point in points.EVENT_POINTS), points.ON_OFF.key}
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Poll:
    """What one poll brought. ``failed`` says what could not be had, and why."""

    snapshot: dict[str, dict[str, Value | None]]
    failed: Mapping[str, str]


class _Slow[Answer]:
    """Something that is asked now and then, and may fail without harm to the rest."""

    def __init__(self, interval: float) -> None:
        self.answer: Answer | None = None
        self.failure = ""
        self._interval = interval
        self._due = 0.0

    async def async_ask(self, ask: Callable[[], Awaitable[Answer]]) -> None:
        """Ask if it is due. A DTU that does not know a question is asked it seldom."""
        if (now := time.monotonic()) < self._due:
            return
        self._due = now + self._interval
        try:
            self.answer = await ask()
        except (SilentError, FrameError) as err:
            self.failure = str(err)
        else:
            self.failure = ""

    def hurry(self) -> None:
        """Ask at the next opportunity."""
        self._due = 0.0

    async def async_ask_now(self, ask: Callable[[], Awaitable[Answer]]) -> None:
        """Ask at once, and know nothing if there is no answer."""
        self._due, self.answer = 0.0, None
        await self.async_ask(ask)


class _Generation:
    """Whether a DTU gives values in the old message only."""

    def __init__(self) -> None:
        self._old_until = 0.0
        self.is_proved_new = False
        self._refusals = 0

    @property
    def is_old(self) -> bool:
        """Whether the old message is to be asked for without trying the new one."""
        return time.monotonic() < self._old_until

    def is_new(self) -> None:
        """Note that the new message was answered."""
        self.is_proved_new = True

    def proved_old(self) -> None:
        """Note that only the old message was answered; an update may change that."""
        self._old_until = time.monotonic() + NEW_AGAIN

    def may_be_old(self, err: DtuError) -> bool:
        """Return whether a failure is a reason to try the old message.

        A closed connection is one only if it happens again and again: other programs
        connect, too.
        """
        self._refusals += 1
        if isinstance(err, EvictedError) and self._refusals < REFUSALS:
            return False
        self._refusals = 0
        return not self.is_proved_new


class Dtu:
    """One DTU and what is behind it."""

    def __init__(
        self,
        client: DtuClient,
        inventory: Inventory,
        *,
        meter_factor: float = 1.0,
    ) -> None:
        """Poll through ``client``; ``inventory`` is what was known of it before."""
        self.client = client
        self._stock = Stocktaking(inventory)
        self._meter_factor = meter_factor
        self._info: AppInfo | None = None
        self._info_due = 0.0
        self._data: RealData | None = None
        self._config = _Slow[Config](INFO_INTERVAL)
        self._network = _Slow[NetworkInfo](INFO_INTERVAL)
        self._events: dict[int, EventLog] = {}
        self._counts: dict[int, int] = {}
        self._events_due = 0.0
        self._energy_totals: dict[tuple[int, int], int] = {}
        self._energy_today: dict[tuple[int, int], int] = {}
        self._today: date | None = None
        self._listed: AppInfo | None = None
        """What the DTU said of itself in the session that has just ended."""
        self._generation = _Generation()
        self._changed_at = 0.0
        self._is_stuck = False
        self.failed: dict[str, str] = {}

    @property
    def inventory(self) -> Inventory:
        """What is behind the DTU."""
        return self._stock.known

    @property
    def devices(self) -> tuple[Device, ...]:
        """The DTU and all that is behind it."""
        return devices(self.inventory)

    @property
    def id(self) -> str:
        """Id of the DTU as a device."""
        return dtu_id(self.inventory)

    @property
    def upload_interval(self) -> int | None:
        """Minutes between reports to the vendor's cloud, ``None`` if it did not say."""
        return ((config := self._config.answer) and config.upload_interval) or None

    # -- polling ------------------------------------------------------------------

    async def async_poll(self, wanted: Iterable[PointId]) -> Poll:
        """Return the values of now. Raises ``DtuError``."""
        keys = {key for _, key in wanted}
        self._take(await self._async_values(keys))
        return Poll(snapshot=self.snapshot(), failed=self._failures())

    def snapshot(self) -> dict[str, dict[str, Value | None]]:
        """Return the values of all devices as far as they are known."""
        if (known := self.known()) is None:
            return {}
        if self._is_stuck:
            # What it repeats is old; the DTU itself can still be told to restart.
            return {
                inverter.id: {CONNECTED.key: False}
                for inverter in self.inventory.inverters
            }
        return snapshot(known)

    def known(self) -> Known | None:
        """Return what is known, ``None`` before the first poll."""
        if self._data is None:
            return None
        return Known(
            inventory=self.inventory,
            data=self._data,
            info=self._info,
            config=self._config.answer,
            network=self._network.answer,
            events=self._events,
            energy_totals=self._energy_totals,
            energy_today=self._energy_today,
            meter_factor=self._meter_factor,
        )

    async def async_look(self) -> Known:
        """Ask for all that tells what the settings are. Raises ``DtuError``."""

        async def look(session: Session) -> RealData:
            await self._async_info(session)
            # Looks may come in seconds: they do not count as lists that leave one out.
            self._listed = None
            data = await session.async_real_data(old=self._generation.is_old)
            await self._config.async_ask_now(session.async_config)
            return data

        self._take(await self.client.async_in_session(look))
        known = self.known()
        assert known is not None
        return known

    async def _async_values(self, keys: set[str]) -> RealData:
        """Ask for values, in the old way if the DTU does not know the new one."""
        if self._generation.is_old:
            return await self._async_session(keys, old=True)
        try:
            data = await self._async_new_values(keys)
        except (SilentError, EvictedError) as err:
            if self._info is None or not self._generation.may_be_old(err):
                raise
        else:
            self._generation.is_new()
            return data
        try:
            data = await self._async_session(keys, old=True)
        except (SilentError, EvictedError) as err:
            version = dtu_version(self._info.dtu.software_version)
            raise UnsupportedError(
                f"it says who it is (firmware {version}), but gives no values"
            ) from err
        self._generation.proved_old()
        return data

    async def _async_new_values(self, keys: set[str]) -> RealData:
        """Ask in the new way; a DTU that may not know it gets a second chance."""
        try:
            return await self._async_session(keys, old=False)
        except SilentError:
            if self._info is None or self._generation.is_proved_new:
                raise
            return await self._async_session(keys, old=False)

    async def _async_session(self, keys: set[str], *, old: bool) -> RealData:
        async def cycle(session: Session) -> RealData:
            return await self._async_cycle(session, keys, old=old)

        return await self.client.async_in_session(cycle)

    async def _async_cycle(
        self, session: Session, keys: set[str], *, old: bool
    ) -> RealData:
        """Ask for all that is due, values first: they are what a session is for."""
        if time.monotonic() >= self._info_due:
            await self._async_info(session)
        data = await session.async_real_data(old=old)
        self.failed.pop("rest", None)
        try:
            async with asyncio.timeout(REST_TIMEOUT):
                await self._async_rest(session, keys, data)
        except (TimeoutError, EvictedError) as err:
            self.failed["rest"] = str(err) or f"took more than {REST_TIMEOUT:g} s"
        return data

    async def _async_rest(
        self, session: Session, keys: set[str], data: RealData
    ) -> None:
        """Ask for what may be missing without harm to the values."""
        await self._config.async_ask(session.async_config)
        if points.CLOUD_CONNECTED.key in keys:
            await self._network.async_ask(session.async_network_info)
        if keys & _EVENT_KEYS:
            await self._async_events(session, data)

    async def _async_info(self, session: Session) -> None:
        self._info = self._listed = await session.async_app_info()
        self._info_due = time.monotonic() + INFO_INTERVAL

    async def _async_events(self, session: Session, data: RealData) -> None:
        """Ask for the events if a counter of them has moved.

        It moves when an event begins. While one lasts, its end is asked for now and then.
        """
        counts = {
            sample.serial: sample.warning_count
            for sample in data.inverters
            if sample.is_linked
        }
        now = time.monotonic()
        has_moved = not counts.items() <= self._counts.items()
        if not has_moved and not any(log.lasts for log in self._events.values()):
            return
        if now < self._events_due and (not has_moved or "events" in self.failed):
            return
        self._events_due = now + EVENTS_AGAIN
        self.failed["events"] = "the list of events did not come"
        try:
            alarms = (await session.async_alarms()).alarms
        except (SilentError, FrameError, RefusedCommandError) as err:
            self.failed["events"] = str(err)
            return
        self.failed.pop("events", None)
        self._counts |= counts
        for serial in counts:
            log = self._events.setdefault(
                serial, EventLog(self._is_three_phase(serial))
            )
            log.take(record for record in alarms if record.serial == serial)

    def hurry(self) -> None:
        """Ask for everything again at the next poll: something was changed."""
        self._counts.clear()
        self._events_due = self._info_due = 0.0
        self._config.hurry()

    def _is_three_phase(self, serial: int) -> bool:
        inverter = self.inverter(serial)
        return inverter is not None and inverter.three_phase

    def inverter(self, serial: int) -> Inverter | None:
        """Return an inverter of the inventory."""
        for inverter in self.inventory.inverters:
            if inverter.serial == serial:
                return inverter
        return None

    # -- what was heard -----------------------------------------------------------

    def _take(self, data: RealData) -> None:
        """Take in values."""
        now = time.monotonic()
        if self._data is None or data.time != self._data.time or not data.time:
            self._changed_at = now
        self._is_stuck = now - self._changed_at > STUCK_AFTER and any(
            sample.is_linked for sample in data.inverters
        )
        self._data = data
        listed, self._listed = self._listed, None
        self._stock.take(listed, data)
        self._count(data)

    def _count(self, data: RealData) -> None:
        """Remember counters of inputs, for the sums: some may be silent the next time."""
        if (today := self.client.today()) != self._today:
            self._today = today
            self._energy_today.clear()
        linked = {sample.serial for sample in data.inverters if sample.is_linked}
        for panel in data.panels:
            place = (panel.serial, panel.port)
            if panel.energy_total > 0:
                self._energy_totals[place] = panel.energy_total
            elif panel.serial in linked:
                # An input without a panel has counted nothing, which is not sent.
                self._energy_totals.setdefault(place, 0)
            if panel.energy_today > 0:
                self._energy_today[place] = panel.energy_today

    def _failures(self) -> dict[str, str]:
        slow = {
            "config": self._config.failure,
            "network": self._network.failure,
            "values": STUCK if self._is_stuck else "",
        }
        return {**self.failed, **{what: why for what, why in slow.items() if why}}
