"""Commands to a battery, and giving the battery back when they end.

A device that takes a command stops by itself after its time, yet does not go back to
what its settings say: control has to be given back, or time slots stay without effect.
So what is in force is kept on disk before the device is told, and whatever happens then,
a reload, a restart, a lost link, the end is tried until it is seen.
"""

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final, Protocol, Self

from homeassistant.config_entries import ConfigEntry
from homeassistant.core import CALLBACK_TYPE, HassJob, HomeAssistant, callback
from homeassistant.exceptions import HomeAssistantError, ServiceValidationError
from homeassistant.helpers import issue_registry as ir
from homeassistant.helpers.event import async_track_point_in_utc_time
from homeassistant.helpers.storage import Store
from homeassistant.util import dt as dt_util

from .const import DOMAIN, LOGGER
from .points import (
    BATTERY_COMMAND,
    COMMANDED_UNTIL,
    PowerCommand,
    Release,
    Snapshot,
    Value,
)
from .write_errors import (
    HoldsOtherValueError,
    KeptOldValueError,
    NotWrittenError,
    OutcomeUnknownError,
    ValueChangedError,
)
from .write_gate import Written
from .writing import Asker, Owner, Writing

THROUGH: Final = "end of the command"

FIRST_RETRY: Final = timedelta(seconds=10)
"""After that the end is tried again, then after twice as long and so on."""

LAST_RETRY: Final = timedelta(minutes=30)

PATIENCE: Final = timedelta(hours=1)
"""How long a command may outlast its time before the owner is told."""

_MAY_BE_IN_FORCE: Final = (
    HoldsOtherValueError,
    KeptOldValueError,
    NotWrittenError,
    OutcomeUnknownError,
)
"""Failures after something was sent: what of it was taken, or will be, is not known."""

_STORAGE_VERSION: Final = 1

type _Json = dict[str, object]


class Commander(Owner, Protocol):
    """The coordinator whose battery is commanded."""

    writing: Writing | None

    def show(self, snapshot: Snapshot) -> None:
        """Show values that are newer than the last poll."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """A command that is, or may be, in force, and what ends it."""

    release: Release
    until: datetime

    @property
    def command(self) -> PowerCommand:
        """What the battery was told."""
        return self.release.command

    @property
    def is_overdue(self) -> bool:
        """Whether it has outlasted its time for too long to keep quiet about it."""
        return dt_util.utcnow() - self.until >= PATIENCE

    def to_json(self) -> _Json:
        """Return it as JSON types."""
        return {
            "power": self.command.power,
            "minutes": self.command.minutes,
            "until": self.until.isoformat(),
            "before": list(self.release.before),
            "authority": self.release.authority,
            "in_doubt": self.release.in_doubt,
        }

    @classmethod
    def from_json(cls, stored: Mapping[str, object]) -> Self:
        """Return what was kept. Raises ``ValueError`` if that cannot be read."""
        match stored:
            case {
                "power": int(power),
                "minutes": int(minutes),
                "until": str(until),
                "before": list(before),
                "authority": bool(authority),
                "in_doubt": bool(in_doubt),
            } if (end := datetime.fromisoformat(until)).tzinfo is not None:
                command = PowerCommand(power=power, minutes=minutes)
                words = tuple(word for word in before if isinstance(word, int))
                release = Release(
                    command=command,
                    before=words,
                    authority=authority,
                    in_doubt=in_doubt,
                )
                return cls(release=release, until=end)
        raise ValueError("is not a command")


def command_store(hass: HomeAssistant, entry: ConfigEntry) -> Store[_Json]:
    """Return where the command that is in force is kept."""
    return Store(hass, _STORAGE_VERSION, f"{DOMAIN}.command.{entry.entry_id}")


def not_released_issue(entry: ConfigEntry) -> str:
    """Return the id of the issue that a battery could not be given back."""
    return f"not_released_{entry.entry_id}"


def command_replaced_issue(entry: ConfigEntry) -> str:
    """Return the id of the issue that a battery was left to somebody else's command."""
    return f"command_replaced_{entry.entry_id}"


class BatteryControl:
    """The command to the battery of one entry, from its start to its end."""

    def __init__(
        self, hass: HomeAssistant, owner: Commander, device: str | None
    ) -> None:
        """Command the battery ``device``; there may be none any more."""
        self._hass = hass
        self._owner = owner
        self._entry = owner.config_entry
        self._device = device
        self._store = command_store(hass, self._entry)
        self._own_writing: Writing | None = None
        self._running: Running | None = None
        self._retry = FIRST_RETRY
        self._stop_timer: CALLBACK_TYPE | None = None
        self._lock = asyncio.Lock()
        self._closed = False

    @classmethod
    async def async_open(cls, hass: HomeAssistant, owner: Commander) -> Self | None:
        """Go on with what was in force; ``None`` if no battery takes commands, nor did."""
        device = _commanded_device(owner)
        control = cls(hass, owner, device)
        stored = await control._store.async_load()
        if stored is None and device is None:
            return None
        if stored is not None:
            await control._async_take_up(stored)
        control._go_on()
        return control

    async def _async_take_up(self, stored: Mapping[str, object]) -> None:
        """Take what was kept as in force; say so if it is damaged, or nobody can end it."""
        try:
            self._running = Running.from_json(stored)
        except ValueError:
            entry = self._owner.config_entry
            LOGGER.error("%s: the kept command cannot be read", entry.title)
            report_not_released(self._hass, entry, "what was kept is damaged")
            await self._store.async_remove()
        else:
            self._report_if_nobody_can_end_it()

    def is_of(self, device: str) -> bool:
        """Return whether the battery is a device's: an entry may have several inverters."""
        drivers = self._owner.drivers()
        return self._device is None or (
            device in drivers and drivers[device] is drivers.get(self._device)
        )

    @property
    def until(self) -> datetime | None:
        """When the command ends that is in force, ``None`` if there is none."""
        return self._running.until if self._running is not None else None

    @property
    def values(self) -> dict[str, dict[str, Value | None]]:
        """What is to be shown: device -> point key -> value."""
        if self._device is None:
            return {}
        return {self._device: {COMMANDED_UNTIL.key: self.until}}

    async def async_close(self, *, release: bool) -> None:
        """Stop waiting for the end; ``release`` brings it about now, if that can be.

        What is kept is gone on with at the next start.
        """
        async with self._lock:
            self._closed = True
            self._disarm()
            if release and self._running is not None:
                try:
                    await self._async_end(await self._async_asker())
                except HomeAssistantError as err:
                    if self._running is not None:
                        report_not_released(self._hass, self._entry, str(err))
            if self._own_writing is not None:
                await self._own_writing.async_close()

    # -- what actions ask for -----------------------------------------------------

    async def async_start(
        self, writing: Writing, command: PowerCommand, by: Asker
    ) -> Written[Asker]:
        """Give a command, in the place of one that is in force.

        Its time begins now, also if the battery has been told the same before. Raises
        ``ServiceValidationError`` or ``HomeAssistantError``.
        """
        async with self._lock:
            device = self._checked_device()
            pending = await writing.async_preview(device, BATTERY_COMMAND, command, by)
            release = pending.change.undo
            assert isinstance(release, Release)
            earlier = self._running
            if self._owes_control:
                release = replace(release, authority=True)
            now = dt_util.utcnow()
            running = Running(
                release=replace(release, in_doubt=True),
                until=now + timedelta(minutes=command.minutes),
            )
            # Kept before it is sent: a crash must not forget it.
            await self._async_keep(running)
            try:
                written = await writing.async_confirm(
                    device, pending.token, by, only_if_different=False
                )
            except HomeAssistantError as err:
                if isinstance(err.__cause__, _MAY_BE_IN_FORCE):
                    await self._async_keep(replace(running, until=dt_util.utcnow()))
                else:
                    await self._async_keep(earlier)
                raise
            await self._async_keep(replace(running, release=release))
            return written

    async def async_release(self, by: Asker) -> Written[Asker]:
        """End the command that is in force.

        Raises ``ServiceValidationError`` if there is none, or if somebody else has given
        another since, and ``HomeAssistantError`` if the device cannot be told.
        """
        async with self._lock:
            if self._running is None:
                raise ServiceValidationError(
                    translation_domain=DOMAIN,
                    translation_key="no_command",
                    translation_placeholders={"device": self._entry.title},
                )
            return await self._async_end(by)

    @property
    def _owes_control(self) -> bool:
        """Whether control was taken by a command and has not been given back since."""
        if self._running is not None and self._running.release.authority:
            return True
        issue = command_replaced_issue(self._entry)
        return ir.async_get(self._hass).async_get_issue(DOMAIN, issue) is not None

    def _checked_device(self) -> str:
        """Return the battery. Raises ``ServiceValidationError`` if there is none."""
        if self._device is None:
            raise ServiceValidationError(
                translation_domain=DOMAIN,
                translation_key="no_battery_control",
                translation_placeholders={"device": self._entry.title},
            )
        return self._device

    # -- the end ------------------------------------------------------------------

    async def _async_end(self, by: Asker) -> Written[Asker]:
        """End the command and forget it, also if somebody else's is in its place."""
        running = self._running
        assert running is not None
        device = self._checked_device()
        writing = await self._async_writing()
        try:
            written = await writing.async_write(
                device, BATTERY_COMMAND, running.release, by
            )
        except HomeAssistantError as err:
            if isinstance(err.__cause__, ValueChangedError):
                LOGGER.warning(
                    "%s: the command is left as it is: %s", self._entry.title, err
                )
                await self._async_forget()
                if running.release.authority:
                    _report_replaced(self._hass, self._entry)
            raise
        await self._async_forget()
        return written

    async def _async_writing(self) -> Writing:
        """Return the way to the battery.

        Who gave the command has confirmed its end, too: it does not need writing to be
        switched on any more.
        """
        if self._owner.writing is not None:
            return self._owner.writing
        if self._own_writing is None:
            self._own_writing = await Writing.async_open(self._hass, self._owner)
        return self._own_writing

    async def _async_due(self, _: datetime) -> None:
        """End the command if its time is over, or try again later."""
        self._stop_timer = None
        async with self._lock:
            running = self._running
            if self._closed or running is None or self._stop_timer is not None:
                return
            try:
                await self._async_end(await self._async_asker())
            except HomeAssistantError as err:
                if self._running is not None:
                    self._try_later(running, err)

    def _report_if_nobody_can_end_it(self) -> None:
        """Tell at once if the device of a command takes none any more."""
        try:
            self._checked_device()
        except ServiceValidationError as err:
            report_not_released(self._hass, self._entry, str(err))

    def _try_later(self, running: Running, err: HomeAssistantError) -> None:
        now = dt_util.utcnow()
        if self._retry == FIRST_RETRY:
            LOGGER.warning(
                "%s: the command could not be ended (%s); it is tried again",
                self._entry.title,
                err,
            )
        if running.is_overdue:
            report_not_released(self._hass, self._entry, str(err))
        self._arm(now + self._retry)
        self._retry = min(2 * self._retry, LAST_RETRY)

    async def _async_asker(self) -> Asker:
        return await Asker.async_of(self._hass, None, THROUGH)

    # -- keeping ------------------------------------------------------------------

    async def _async_keep(self, running: Running | None) -> None:
        """Keep what is in force, on disk first, and wait for its end."""
        if running is not None:
            await self._store.async_save(running.to_json())
        else:
            await self._store.async_remove()
        self._running = running
        self._retry = FIRST_RETRY
        self._go_on()

    async def _async_forget(self) -> None:
        """Forget what has ended, and what was reported of it."""
        await self._async_keep(None)
        for issue in (
            not_released_issue(self._entry),
            command_replaced_issue(self._entry),
        ):
            ir.async_delete_issue(self._hass, DOMAIN, issue)

    def _go_on(self) -> None:
        """Wait for the end of what is in force, and show when that is."""
        self._disarm()
        if self._running is not None:
            now = dt_util.utcnow()
            # A clock that was set back must not make it longer.
            longest = timedelta(minutes=self._running.command.minutes)
            self._arm(max(now, min(self._running.until, now + longest)))
        self._owner.show(self.values)

    def _arm(self, at: datetime) -> None:
        if self._closed:
            return
        self._stop_timer = async_track_point_in_utc_time(
            self._hass,
            HassJob(self._async_due, "end of command", cancel_on_shutdown=True),
            at,
        )

    def _disarm(self) -> None:
        if self._stop_timer is not None:
            self._stop_timer()
            self._stop_timer = None


@callback
def report_not_released(hass: HomeAssistant, entry: ConfigEntry, reason: str) -> None:
    """Open the issue that a battery could not be given back; it outlives a restart."""
    ir.async_create_issue(
        hass,
        DOMAIN,
        not_released_issue(entry),
        is_fixable=False,
        is_persistent=True,
        severity=ir.IssueSeverity.ERROR,
        translation_key="not_released",
        translation_placeholders={"device": entry.title, "reason": reason},
    )


async def async_report_overdue(
    hass: HomeAssistant, entry: ConfigEntry, reason: str
) -> None:
    """Report a command that has outlasted its time, of an entry that cannot be set up."""
    stored = await command_store(hass, entry).async_load()
    with suppress(ValueError):
        if stored is not None and Running.from_json(stored).is_overdue:
            report_not_released(hass, entry, reason)


@callback
def _report_replaced(hass: HomeAssistant, entry: ConfigEntry) -> None:
    """Open the issue that control which was taken for a command is left to another one."""
    ir.async_create_issue(
        hass,
        DOMAIN,
        command_replaced_issue(entry),
        is_fixable=False,
        is_persistent=True,
        severity=ir.IssueSeverity.WARNING,
        translation_key="command_replaced",
        translation_placeholders={"device": entry.title},
    )


async def async_release_for_good(hass: HomeAssistant, owner: Commander) -> bool:
    """End the command of an entry that is being deleted; return whether that is seen to."""
    if (control := await BatteryControl.async_open(hass, owner)) is None:
        return True
    await control.async_close(release=True)
    return control.until is None


def _commanded_device(owner: Owner) -> str | None:
    """Return the battery that takes commands, if there is one."""
    for device in owner.devices:
        if COMMANDED_UNTIL in device.points:
            return device.identity.id
    return None
