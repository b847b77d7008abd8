"""What may be written to a microinverter and its DTU: the drivers of the write gate.

Limits are commands. The stored one (action 8) goes to the inverter's flash, the temporary
one (action 211) is gone with its next restart; firmware that lacks the temporary one is
never given the stored one instead. After a command the DTU is asked until it reports that
the inverter has carried it out; what it shows follows with its next round, up to half a
minute later.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
import time
from typing import Final, override

from ..points import IN_FLASH, Point, Value, Wanted
from ..setting_values import checked_number, invalid
from ..write_errors import (
    DeviceError,
    NotASettingError,
    NotIdentifiedError,
    NotSentError,
    RefusedError,
    UnknownSettingError,
    WriteError,
    WrongDeviceError,
)
from ..write_gate import Change, GuardedSetting, Reading
from . import points
from .client import Session
from .commands import Action
from .devices import devices
from .dtu import Dtu
from .errors import DtuError, RefusedCommandError, WrongDtuError
from .inventory import Inverter
from .records import AppInfo
from .serial_number import as_text as serial_text, normalise_dtu
from .snapshot import Known, active_limit, dtu_id, is_on, stored_limit

PROVED_FOR: Final = 5.0
"""Seconds for which it holds who answered: a write proves it again on its way."""

ROUNDING: Final = 0.015
"""Share of the rated power by which a limit may read back otherwise: some firmware rounds
to whole percent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Order:
    """A command as the DTU takes it."""

    action: Action
    data: str = ""


class _Settings(ABC):
    """The settings of one device behind, or in, a DTU."""

    def __init__(self, dtu: Dtu, device: str) -> None:
        self._dtu = dtu
        self._device = device
        self._proved_at = -PROVED_FOR

    # -- what the devices differ in -----------------------------------------------

    @abstractmethod
    def _serials(self) -> tuple[int, ...]:
        """Return whom commands are for; none for the DTU itself."""

    @abstractmethod
    def _value(self, key: str, known: Known) -> Value | None:
        """Return what the device is known to hold."""

    @abstractmethod
    def _order(self, change: Change) -> _Order:
        """Return the command that makes a change."""

    # -- what may be written ------------------------------------------------------

    def setting(self, key: str) -> GuardedSetting:
        """Return the setting of a key. Raises ``WriteError`` if there is none."""
        point = self._point(key)
        if point.setting is None:
            raise NotASettingError(register=key)
        return GuardedSetting(
            point=point,
            wears=f"{self._device}/{key}",
            reads_back=self._reads_back(key, point.setting.reads_back),
            shows_late=True,
        )

    def _point(self, key: str) -> Point:
        for device in devices(self._dtu.inventory):
            if device.identity.id == self._device:
                for point in device.points:
                    if point.key == key:
                        return point
        raise UnknownSettingError(register=key)

    def _reads_back(self, key: str, usually: bool) -> bool:
        return usually

    def as_whole(self, key: str, wanted: Wanted) -> tuple[str, Wanted]:
        """Return the same: nothing here is a part of something."""
        return key, wanted

    # -- reading ------------------------------------------------------------------

    @property
    def breaks(self) -> int:
        """No link lasts long enough to break: each session proves on its own who answers."""
        return 0

    async def async_check_identity(self) -> None:
        """Ask the DTU who it is and what is behind it, unless it has just said so.

        Raises ``WrongDeviceError`` or ``DeviceError``.
        """
        if time.monotonic() - self._proved_at < PROVED_FOR:
            return
        try:
            await self._dtu.client.async_in_session(self._async_prove)
        except DtuError as err:
            raise _failure(err) from err

    async def _async_prove(self, session: Session) -> None:
        """Make sure that the right DTU answers and still has the inverter."""
        if (doubt := self._doubt_about(await session.async_app_info())) is not None:
            raise NotIdentifiedError(doubt)
        self._proved_at = time.monotonic()

    def _doubt_about(self, info: AppInfo) -> str | None:
        """Return why this may not be the right DTU with the inverter, ``None`` if it is."""
        if normalise_dtu(info.dtu_serial) != self._dtu.inventory.serial:
            # Another one was told apart already: this one does not say who it is.
            return "the DTU leaves its serial number out"
        listed = {inverter.serial for inverter in info.inverters}
        for serial in self._serials():
            if serial not in listed:
                return f"the DTU does not list {serial_text(serial)} any more"
        return None

    async def async_read(self, key: str) -> Reading:
        """Ask what the device holds. Raises ``DeviceError``."""
        point = self._point(key)
        if key in _COMMANDS:
            return Reading(value=None, raw=(), persistent=False)
        try:
            known = await self._dtu.async_look()
        except DtuError as err:
            raise _failure(err) from err
        assert known.info is not None
        if self._doubt_about(known.info) is None:
            self._proved_at = time.monotonic()
        value = self._value(key, known)
        assert point.setting is not None
        return Reading(
            value=value, raw=_raw(key, value), persistent=point.setting.persistent
        )

    # -- changing -----------------------------------------------------------------

    def change(self, key: str, wanted: Wanted, current: Reading) -> Change:
        """Return the change that gives what is wanted. Raises ``InvalidValueError``."""
        point = self._point(key)
        value = _checked(point, wanted)
        return Change(
            key=key,
            value=value,
            raw=_raw(key, value),
            warnings=(IN_FLASH,) if current.persistent else (),
        )

    def holds(self, change: Change, reading: Reading) -> bool:
        """Return whether a reading shows what a change is for."""
        if change.key in _COMMANDS:
            return False
        return (change.raw, change.value) == (reading.raw, reading.value)

    def is_unchanged(self, before: Reading, after: Reading) -> bool:
        """Return whether nothing was changed between two readings."""
        return before.raw == after.raw

    async def async_write(self, change: Change) -> bool:
        """Give the command once and wait until it is carried out.

        Raises ``RefusedError`` or ``WrongDeviceError`` if it was not, ``DeviceError`` if
        nobody knows.
        """
        order = self._order(change)
        is_sent = False

        async def give(session: Session) -> None:
            nonlocal is_sent
            await self._async_prove(session)
            is_sent = True
            await session.async_command(order.action, self._serials(), order.data)

        self._proved_at = -PROVED_FOR
        try:
            await self._dtu.client.async_in_session(give, again=False)
        except RefusedCommandError as err:
            raise RefusedError(str(err)) from err
        except DtuError as err:
            if is_sent:
                raise DeviceError(str(err)) from err
            raise _failure(err, NotSentError) from err
        finally:
            self._dtu.hurry()
        # A DTU that restarts is not there to tell what became of it.
        return order.action is not Action.DTU_RESTART


class InverterSettings(_Settings):
    """The settings of one microinverter."""

    def __init__(self, dtu: Dtu, inverter: Inverter) -> None:
        """Change the inverter through its DTU."""
        super().__init__(dtu, inverter.id)
        self._serial = inverter.serial

    @override
    def _serials(self) -> tuple[int, ...]:
        return (self._serial,)

    @override
    def _reads_back(self, key: str, usually: bool) -> bool:
        """Return whether the DTU keeps the stored limit of this inverter in its own place."""
        if key == points.STORED_LIMIT.key:
            return self._dtu.inventory.only_inverter is not None
        return usually

    @override
    def _value(self, key: str, known: Known) -> Value | None:
        inverter = self._inverter
        if key == points.STORED_LIMIT.key:
            return stored_limit(known)
        if key == points.ON_OFF.key:
            return is_on(known, inverter)
        limit, rated = active_limit(known, inverter), inverter.model.rated_power
        return None if limit is None or rated is None else rated * limit / 100

    @property
    def _inverter(self) -> Inverter:
        if (inverter := self._dtu.inverter(self._serial)) is None:
            raise UnknownSettingError
        return inverter

    @override
    def holds(self, change: Change, reading: Reading) -> bool:
        if change.key == points.STORED_LIMIT.key:
            return change.raw == reading.raw
        if change.key != points.TEMPORARY_LIMIT:
            return super().holds(change, reading)
        rated = self._inverter.model.rated_power
        return (
            rated is not None
            and isinstance(change.value, int | float)
            and isinstance(reading.value, int | float)
            and abs(change.value - reading.value) <= ROUNDING * rated
        )

    @override
    def _order(self, change: Change) -> _Order:
        if change.key == points.STORED_LIMIT.key:
            return _Order(
                action=Action.STORED_LIMIT, data=f"A:{change.raw[0]},B:0,C:0\r"
            )
        if change.key == points.TEMPORARY_LIMIT:
            return _Order(
                action=Action.TEMPORARY_LIMIT, data=f"S:1,P:{change.raw[0]}\r"
            )
        if change.key == points.ON_OFF.key:
            return _Order(
                action=Action.INVERTER_START
                if change.value
                else Action.INVERTER_SHUTDOWN
            )
        return _Order(action=_INVERTER_COMMANDS[change.key])


class DtuSettings(_Settings):
    """What the DTU itself can be told."""

    def __init__(self, dtu: Dtu) -> None:
        """Change the DTU."""
        super().__init__(dtu, dtu_id(dtu.inventory))

    @override
    def _serials(self) -> tuple[int, ...]:
        return ()

    @override
    def _value(self, key: str, known: Known) -> Value | None:
        return None

    @override
    def _order(self, change: Change) -> _Order:
        return _Order(action=_DTU_COMMANDS[change.key])


_INVERTER_COMMANDS: Final[Mapping[str, Action]] = {
    points.RESTART.key: Action.INVERTER_RESTART,
    points.CLEAR_ALARMS.key: Action.CLEAR_ALARMS,
}
_DTU_COMMANDS: Final[Mapping[str, Action]] = {
    points.RESTART.key: Action.DTU_RESTART,
    points.FAST_DATA.key: Action.FAST_DATA,
}
_COMMANDS: Final = _INVERTER_COMMANDS.keys() | _DTU_COMMANDS.keys()


def _raw(key: str, value: Value | None) -> tuple[int, ...]:
    """Return a limit in the steps of its command: 0.1 % or 0.1 W."""
    if key in (points.STORED_LIMIT.key, points.TEMPORARY_LIMIT) and isinstance(
        value, int | float
    ):
        return (round(value * 10),)
    return ()


def _checked(point: Point, wanted: Wanted) -> Value:
    """Return what is wanted if the point can hold it. Raises ``InvalidValueError``."""
    if point.key in _COMMANDS:
        if wanted is not True:
            raise invalid(
                "value_not_representable", point, wanted, "is no command: say on"
            )
        return True
    if point.key == points.ON_OFF.key:
        if not isinstance(wanted, bool):
            raise invalid("value_not_representable", point, wanted, "is not on or off")
        return wanted
    return checked_number(point, wanted)


def _failure(
    err: DtuError, otherwise: type[DeviceError | NotSentError] = DeviceError
) -> WriteError:
    """Return what an error means for what was to be written."""
    if isinstance(err, WrongDtuError):
        return WrongDeviceError(err.expected, err.found)
    return otherwise(str(err))
