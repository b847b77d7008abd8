"""The one door through which a device is changed.

Nothing else may call a driver's ``async_write``. A change is previewed, which gives a
token, and confirmed with it; automations that were written with the confirmation in
them do both at once. Right before a write the gate asks the device who it is and what
it holds now, and afterwards what it holds then: the result says what was seen, never
what was hoped for. Nothing here knows a maker or Home Assistant.
"""

import asyncio
from collections.abc import Callable, Collection, Coroutine
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum
import logging
import secrets
import time
from typing import Any, Final, Protocol

from .points import Point, Value, Wanted
from .values import as_text, is_same
from .write_budget import BudgetSpentError, WriteBudget
from .write_errors import (
    ClosedError,
    DeviceError,
    DoubtfulError,
    HoldsOtherValueError,
    KeptOldValueError,
    NotIdentifiedError,
    NotSentError,
    NotWrittenError,
    OutcomeUnknownError,
    RefusedError,
    TooOftenError,
    UnknownTokenError,
    ValueChangedError,
    WriteError,
    WrongDeviceError,
)

_LOGGER = logging.getLogger(__name__)

TOKEN_LIFETIME: Final = timedelta(minutes=5)

SETTLE: Final = (0.5, 1.0, 2.0)
"""Seconds to wait before each look at what the device holds: some firmware applies late."""

MAX_PENDING: Final = 32
"""Previews that may wait for their confirmation; the oldest gives way."""


class Outcome(StrEnum):
    """What became of a write, as far as it was seen."""

    WRITTEN = "written"
    """The device holds the new value."""
    CARRIED_OUT = "carried_out"
    """It reports that it has done it; what it shows has not changed, or not yet."""
    UNCHANGED = "unchanged"
    """It held that value before: nothing was sent."""
    NOT_WRITTEN = "not_written"
    """It refused, or never got it: it holds the old value."""
    KEPT_OLD_VALUE = "kept_old_value"
    """It said yes and still holds the old value."""
    UNKNOWN = "unknown"
    """It could not be asked, holds something else, or does not show what it was told."""


# -- what a driver gives ---------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What a device holds for a setting.

    ``raw`` is what is compared. ``around`` is what else had to be read to judge a
    change, in a form that only the driver knows. ``persistent`` tells whether a write
    would now go to flash.
    """

    value: Value | None
    raw: tuple[int, ...]
    persistent: bool
    around: object = None
    complaint: str = ""
    """What the device says against what was written to it last."""
    is_blank: bool = False
    """Whether the device has no value to show for now, as some have not after a write."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """A value, ready to be written: it has passed the device's table."""

    key: str
    value: Value
    raw: tuple[int, ...]
    warnings: tuple[str, ...] = ()
    """Keys of texts that tell what to know."""
    doubts: tuple[str, ...] = ()
    """Keys of texts that tell what to think over. Who confirms a preview has read them; a
    change without a preview must name those it accepts."""
    persistent: bool | None = None
    """Whether it goes to flash, where that differs between the changes of a setting."""
    rationed: bool = True
    """Whether it is refused when the budget of flash is spent. What ends a command is not."""
    undo: Wanted | None = None
    """What takes the change back, where that is not simply the old value."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GuardedSetting:
    """A point that may be written.

    ``wears`` names the cells of flash it lives in; settings that share them share a
    budget.
    """

    point: Point
    wears: str
    address: int | None = None
    note: str = ""
    reads_back: bool = True
    settle: tuple[float, ...] | None = None
    """Seconds to wait before each look at what the device holds, where not the usual ones."""
    shows_late: bool = False
    """Whether a change shows only some time after it was made: what is still shown right
    after a write then proves nothing."""


class CreateTask(Protocol):
    """Starts a task, as ``asyncio.create_task`` does."""

    def __call__[Result](
        self, coro: Coroutine[Any, Any, Result], /
    ) -> asyncio.Task[Result]:
        """Start it."""


class Driver(Protocol):
    """What the gate needs of a device. Each method may raise ``WriteError``."""

    def setting(self, key: str) -> GuardedSetting:
        """Return what may be written under ``key``, or raise why it may not."""

    @property
    def breaks(self) -> int:
        """How often the link was lost. Behind a new one there may be another device."""

    async def async_check_identity(self) -> None:
        """Ask the device who it is. Raises ``WrongDeviceError`` or ``DeviceError``."""

    async def async_read(self, key: str) -> Reading:
        """Ask what the device holds. Raises ``DeviceError``."""

    def change(self, key: str, wanted: Wanted, current: Reading) -> Change:
        """Return the change that gives what is wanted. Raises ``InvalidValueError``."""

    def holds(self, change: Change, reading: Reading) -> bool:
        """Return whether a reading shows what a change is for."""

    def is_unchanged(self, before: Reading, after: Reading) -> bool:
        """Return whether two readings show that nothing was changed in between."""

    def as_whole(self, key: str, wanted: Wanted) -> tuple[str, Wanted]:
        """Return what is written when a part of it is wanted: the whole, and its change.

        Raises ``InvalidValueError``.
        """

    async def async_write(self, change: Change) -> bool:
        """Send it once; return whether the device reports that it has carried it out.

        An answer that it was understood is no such report. Raises ``RefusedError``,
        ``NotSentError``, ``WrongDeviceError`` or ``NotIdentifiedError`` if nothing was
        written, another ``DeviceError`` if nobody knows.
        """


# -- what goes in and comes out --------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Pending[By]:
    """A previewed change. ``by`` is who asked for it."""

    token: str
    setting: GuardedSetting
    wanted: Wanted
    change: Change
    before: Reading
    by: By
    expires: datetime
    deadline: float = field(repr=False)
    """The same as monotonic time, which nobody can set back."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Written[By]:
    """What became of a change. ``after`` is what was read last, ``None`` if nothing was."""

    setting: GuardedSetting
    change: Change
    before: Reading
    after: Reading | None
    outcome: Outcome
    asked: By
    confirmed: By
    error: WriteError | None = None


class WriteGate[By]:
    """The door of one device. One change goes through at a time."""

    def __init__(
        self,
        driver: Driver,
        budget: WriteBudget,
        record: Callable[[WriteGate[By], Written[By]], None],
        create_task: CreateTask = asyncio.create_task,
    ) -> None:
        """Guard the device of ``driver``.

        ``record`` is told of every change that was sent to the device or found
        unnecessary, also when whoever asked for it has gone: changes are made in
        tasks of their own, by ``create_task``.
        """
        self._driver = driver
        self._budget = budget
        self._record = record
        self._create_task = create_task
        self._tasks: set[asyncio.Task[Written[By]]] = set()
        self._lock = asyncio.Lock()
        self._pending: dict[str, Pending[By]] = {}
        self._closed = False

    def setting(self, key: str) -> GuardedSetting:
        """Return what may be written under ``key``. Raises ``WriteError``."""
        return self._driver.setting(key)

    def as_whole(self, key: str, wanted: Wanted) -> tuple[str, Wanted]:
        """Return the setting that is written when a part of it is wanted.

        Raises ``WriteError``.
        """
        return self._driver.as_whole(key, wanted)

    # -- previews -----------------------------------------------------------------

    async def async_preview(self, key: str, wanted: Wanted, by: By) -> Pending[By]:
        """Return what a change would do, and the token that confirms it.

        The device is asked who it is and what it holds; nothing is written. A change
        that would be refused now for its value or the budget is refused here already.
        """
        setting = self._driver.setting(key)
        async with self._lock:
            before = await self._async_look(key)
            change = self._driver.change(key, wanted, before)
            if _wears(change, before) and not self._is_held(setting, change, before):
                self._check_budget(setting, change)
            self._check_open()
        pending = Pending(
            token=secrets.token_hex(8),
            setting=setting,
            wanted=wanted,
            change=change,
            before=before,
            by=by,
            expires=datetime.now(UTC) + TOKEN_LIFETIME,
            deadline=time.monotonic() + TOKEN_LIFETIME.total_seconds(),
        )
        self._forget_expired()
        while len(self._pending) >= MAX_PENDING:
            del self._pending[next(iter(self._pending))]
        self._pending[pending.token] = pending
        return pending

    def would_change(self, pending: Pending[By]) -> bool:
        """Return whether the device does not hold the value already."""
        return not self._is_held(pending.setting, pending.change, pending.before)

    def pending(self, token: str) -> Pending[By] | None:
        """Return the change that waits under a token."""
        self._forget_expired()
        return self._pending.get(token)

    def cancel(self, token: str) -> Pending[By]:
        """Forget a previewed change. Raises ``UnknownTokenError``."""
        self._forget_expired()
        if (pending := self._pending.pop(token, None)) is None:
            raise UnknownTokenError
        return pending

    def _forget_expired(self) -> None:
        now = time.monotonic()
        for token, pending in list(self._pending.items()):
            if pending.deadline <= now:
                del self._pending[token]

    # -- changes ------------------------------------------------------------------

    async def async_confirm(
        self, token: str, by: By, *, only_if_different: bool = True
    ) -> Written[By]:
        """Make a previewed change. The token is used up, whatever happens.

        Raises ``WriteError``: ``UnknownTokenError``, or ``ValueChangedError`` if the
        device no longer holds what it held at the preview.
        """
        pending = self.cancel(token)
        unit = pending.setting.point.unit

        def is_as_previewed(current: Reading) -> None:
            if current.raw != pending.before.raw:
                raise ValueChangedError(
                    expected=as_text(pending.before.value, unit),
                    current=as_text(current.value, unit),
                )

        return await self._async_shielded(
            _Order(
                setting=pending.setting,
                wanted=pending.wanted,
                accepted=frozenset(pending.change.doubts),
                check=is_as_previewed,
                only_if_different=only_if_different,
                asked=pending.by,
                confirmed=by,
            )
        )

    async def async_write(
        self,
        key: str,
        wanted: Wanted,
        by: By,
        *,
        expected: Value | None = None,
        only_if_different: bool = True,
        accepted: Collection[str] = (),
    ) -> Written[By]:
        """Make a change that its caller confirmed in the same breath.

        ``expected`` is what the device must hold now, ``accepted`` are doubts that the
        caller has thought over. Raises ``WriteError``.
        """
        setting = self._driver.setting(key)
        unit = setting.point.unit

        def is_expected(current: Reading) -> None:
            if expected is not None and not is_same(expected, current.value):
                raise ValueChangedError(
                    expected=as_text(expected, unit),
                    current=as_text(current.value, unit),
                )

        return await self._async_shielded(
            _Order(
                setting=setting,
                wanted=wanted,
                accepted=frozenset(accepted),
                check=is_expected,
                only_if_different=only_if_different,
                asked=by,
                confirmed=by,
            )
        )

    async def async_close(self) -> None:
        """Let no more changes through; a write on its way is seen to its end."""
        self._closed = True
        self._pending.clear()
        async with self._lock:
            pass

    async def _async_shielded(self, order: _Order[By]) -> Written[By]:
        """Carry an order out even if whoever asked goes away: a write must be read back."""
        task = self._create_task(self._async_carry_out(order))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        # The outcome is recorded; an error that nobody waits for any more is not news.
        task.add_done_callback(lambda done: done.cancelled() or done.exception())
        await asyncio.wait((task,))
        return task.result()

    async def _async_look(self, key: str) -> Reading:
        """Return what the device holds, once it has proved to be the right one.

        It says who it is last, so that a write follows at once. Raises ``WriteError``.
        """
        self._check_open()
        breaks = self._driver.breaks
        reading = await self._driver.async_read(key)
        await self._driver.async_check_identity()
        self._check_unbroken(breaks)
        return reading

    def _check_unbroken(self, breaks: int) -> None:
        """Raise ``DeviceError`` if the link was lost since there were so many breaks."""
        if self._driver.breaks != breaks:
            raise DeviceError("the connection was lost meanwhile")

    async def _async_carry_out(self, order: _Order[By]) -> Written[By]:
        """Check, write, read back, record. Raises ``WriteError``."""
        key = order.setting.point.key
        async with self._lock:
            breaks = self._driver.breaks
            before = await self._async_look(key)
            order.check(before)
            change = self._driver.change(key, order.wanted, before)
            if order.only_if_different and self._is_held(order.setting, change, before):
                written = order.written(change, before, before, Outcome.UNCHANGED)
            else:
                for doubt in change.doubts:
                    if doubt not in order.accepted:
                        raise DoubtfulError(doubt, register=key)
                if _wears(change, before):
                    self._check_budget(order.setting, change)
                    # Counted before it is sent: a crash must not forget it.
                    await self._budget.async_spend(order.setting.wears)
                self._check_unbroken(breaks)
                written = await self._async_send(order, change, before)
            self._record(self, written)
        if written.error is not None:
            raise written.error
        return written

    async def _async_send(
        self, order: _Order[By], change: Change, before: Reading
    ) -> Written[By]:
        """Send a change and find out what became of it."""
        breaks = self._driver.breaks
        lost: DeviceError | None = None
        is_reported = False
        try:
            is_reported = await self._driver.async_write(change)
        except (RefusedError, NotSentError) as err:
            return order.written(change, before, before, Outcome.NOT_WRITTEN, err)
        except (WrongDeviceError, NotIdentifiedError) as err:
            return order.written(change, before, None, Outcome.NOT_WRITTEN, err)
        except DeviceError as err:
            lost = err
        except Exception as err:  # what was sent must be read back
            _LOGGER.exception("Unexpected error while %s was sent", change.key)
            lost = DeviceError(f"{type(err).__name__}: {err}")
        after: Reading | None = None
        doubt: WriteError | None = lost
        # What a command showed before proves nothing if it need not show what it is told.
        proves = order.setting.reads_back or not self._driver.holds(change, before)
        # Whoever reports that it is done need not be asked again and again.
        settle = order.setting.settle or SETTLE
        for delay in settle[:1] if is_reported else settle:
            await asyncio.sleep(delay)
            # After a lost answer or link, or an unexpected value, the next answer may come
            # from another device.
            identify = (
                doubt is not None or after is not None or self._driver.breaks != breaks
            )
            breaks = self._driver.breaks
            try:
                after = await self._driver.async_read(change.key)
                if identify or self._driver.breaks != breaks:
                    await self._driver.async_check_identity()
                doubt = None
            except WrongDeviceError as err:
                return order.unknown(change, before, None, err)
            except WriteError as err:
                doubt = err
                continue
            except Exception as err:
                _LOGGER.exception("Unexpected error while %s was read", change.key)
                doubt = DeviceError(f"{type(err).__name__}: {err}")
                continue
            if proves and self._driver.holds(change, after):
                return order.written(change, before, after, Outcome.WRITTEN)
        if after is None or doubt is not None:
            if is_reported:
                return order.written(change, before, None, Outcome.CARRIED_OUT)
            return order.unknown(change, before, None, doubt)
        is_unchanged = self._driver.is_unchanged(before, after)
        if after.complaint and (is_unchanged or after.is_blank):
            return order.refused(change, before, after)
        if after.is_blank and lost is None:
            return order.written(change, before, None, Outcome.UNKNOWN)
        if is_reported and (is_unchanged or order.setting.shows_late):
            return order.written(change, before, after, Outcome.CARRIED_OUT)
        if not is_unchanged:
            return order.unknown(change, before, after, None)
        if lost is not None and order.setting.shows_late:
            return order.unknown(change, before, None, lost)
        if not order.setting.reads_back:
            if lost is None:
                return order.written(change, before, after, Outcome.UNKNOWN)
            return order.unknown(change, before, None, lost)
        if lost is not None:
            return order.not_written(change, before, after, lost)
        return order.kept(change, before, after)

    def _is_held(
        self, setting: GuardedSetting, change: Change, reading: Reading
    ) -> bool:
        """Return whether the device shows that it holds the value already."""
        return setting.reads_back and self._driver.holds(change, reading)

    def _check_open(self) -> None:
        if self._closed:
            raise ClosedError

    def _check_budget(self, setting: GuardedSetting, change: Change) -> None:
        if not change.rationed:
            return
        try:
            rule = setting.point.setting
            self._budget.check(setting.wears, rule.spacing if rule else None)
        except BudgetSpentError as err:
            raise TooOftenError(
                str(err), limit=err.limit, until=err.until.isoformat()
            ) from err


def _wears(change: Change, before: Reading) -> bool:
    """Return whether a change goes to flash."""
    return before.persistent if change.persistent is None else change.persistent


@dataclass(frozen=True, slots=True, kw_only=True)
class _Order[By]:
    """What is to be done, and how the current value is judged."""

    setting: GuardedSetting
    wanted: Wanted
    accepted: frozenset[str]
    check: Callable[[Reading], None]
    only_if_different: bool
    asked: By
    confirmed: By

    def written(
        self,
        change: Change,
        before: Reading,
        after: Reading | None,
        outcome: Outcome,
        error: WriteError | None = None,
    ) -> Written[By]:
        """Return what became of it."""
        return Written(
            setting=self.setting,
            change=change,
            before=before,
            after=after,
            outcome=outcome,
            asked=self.asked,
            confirmed=self.confirmed,
            error=error,
        )

    def unknown(
        self,
        change: Change,
        before: Reading,
        after: Reading | None,
        why: WriteError | None,
    ) -> Written[By]:
        """Return that nobody knows, and what was seen last."""
        error: WriteError
        if after is None:
            error = OutcomeUnknownError(str(why or ""))
            error.__cause__ = why
        else:
            error = HoldsOtherValueError(current=as_text(after.value, self._unit))
        return self.written(change, before, after, Outcome.UNKNOWN, error)

    def refused(self, change: Change, before: Reading, after: Reading) -> Written[By]:
        """Return that the device said no, in a place where it had to be looked for."""
        error = RefusedError(after.complaint)
        return self.written(change, before, after, Outcome.NOT_WRITTEN, error)

    def not_written(
        self, change: Change, before: Reading, after: Reading, why: WriteError
    ) -> Written[By]:
        """Return that the device never got it."""
        error = NotWrittenError(str(why), current=as_text(after.value, self._unit))
        return self.written(change, before, after, Outcome.NOT_WRITTEN, error)

    def kept(self, change: Change, before: Reading, after: Reading) -> Written[By]:
        """Return that the device said yes and did nothing."""
        error = KeptOldValueError(current=as_text(after.value, self._unit))
        return self.written(change, before, after, Outcome.KEPT_OLD_VALUE, error)

    @property
    def _unit(self) -> str | None:
        return self.setting.point.unit
