"""What may be written to a logger itself, and writing it: the driver of the write gate.

Its parameters are texts with a number. Each answer names the logger, so what was read and
what took a command proves who it is.
"""

from collections.abc import Callable
from datetime import datetime
from typing import Final

from ...points import IN_FLASH, Point, Quantity, Value, Wanted
from ...setting_values import checked_number, invalid
from ...write_errors import (
    DeviceError,
    NotASettingError,
    NotReadableError,
    RefusedError,
    UnknownSettingError,
)
from ...write_gate import Change, GuardedSetting, Reading
from ..known_inverter import SYNC_CLOCK
from . import points
from .commands import GoneError, NoAnswerError
from .fleet import Logger
from .parameters import CLOCK_FORMAT, ParameterNumber
from .records import (
    ACCEPTED,
    Answer,
    Command,
    Parameter,
    read_parameters,
    write_parameter,
)

_COMMANDS: Final = frozenset({points.RESTART.key, SYNC_CLOCK.key})

SETTINGS: Final = {
    point.key: point
    for point in (
        points.REPORT_INTERVAL,
        points.SERVER_ADDRESS,
        points.SERVER_PORT,
        points.SERVER_NAME,
        points.RESTART,
        SYNC_CLOCK,
    )
}
"""What may be written, by key."""

MOST_CHARACTERS: Final = 63
"""Of an address: longer ones nobody has seen a logger take."""


class LoggerSettings:
    """Writes the parameters of one logger."""

    def __init__(self, logger: Logger, local_time: Callable[[], datetime]) -> None:
        """Write to ``logger``. ``local_time`` gives the time of its place."""
        self._logger = logger
        self._local_time = local_time

    # -- what may be written ------------------------------------------------------

    def setting(self, key: str) -> GuardedSetting:
        """Return the setting of a key. Raises ``WriteError`` if there is none."""
        point = _point(key)
        is_command = key in _COMMANDS
        return GuardedSetting(
            point=point,
            address=None if is_command else int(points.PARAMETERS[key]),
            wears=f"{self._logger.serial}/{key}",
            reads_back=not is_command,
        )

    def as_whole(self, key: str, wanted: Wanted) -> tuple[str, Wanted]:
        """Return the same: nothing here is a part of something."""
        return key, wanted

    # -- reading ------------------------------------------------------------------

    @property
    def breaks(self) -> int:
        """How often it connected anew."""
        return self._logger.connections

    async def async_check_identity(self) -> None:
        """Do nothing but see that it is there: each of its packets says who it is.

        Raises ``DeviceError``.
        """
        if self._logger.session is None:
            raise DeviceError("the logger is not connected")

    async def async_read(self, key: str) -> Reading:
        """Ask for a parameter. Raises ``DeviceError``."""
        point = _point(key)
        if key in _COMMANDS:
            return Reading(value=None, raw=(), persistent=False)
        number = points.PARAMETERS[key]
        answer = await self._tell(read_parameters(number, number))
        if not isinstance(answer, Parameter):
            raise NotReadableError("the logger does not tell it", register=key)
        assert point.setting is not None
        return Reading(
            value=value_of(point, answer.text),
            raw=tuple(answer.text.encode()),
            persistent=point.setting.persistent,
        )

    # -- changing -----------------------------------------------------------------

    def change(self, key: str, wanted: Wanted, current: Reading) -> Change:
        """Return the change that gives what is wanted. Raises ``InvalidValueError``."""
        point = _point(key)
        value = _checked(point, wanted)
        text = "" if isinstance(value, bool) else _text(value)
        return Change(
            key=key,
            value=value,
            raw=tuple(text.encode()),
            warnings=(IN_FLASH,) if current.persistent else (),
        )

    def holds(self, change: Change, reading: Reading) -> bool:
        """Return whether a reading shows what a change is for: 5 and 5.0 are the same."""
        return change.key not in _COMMANDS and change.value == reading.value

    def is_unchanged(self, before: Reading, after: Reading) -> bool:
        """Return whether nothing was changed between two readings."""
        return before.raw == after.raw

    async def async_write(self, change: Change) -> bool:
        """Send a change once. Raises ``RefusedError`` or ``DeviceError``.

        A logger says that it took a parameter, and of commands there is no more to know.
        """
        if change.key == points.RESTART.key:
            number, text = ParameterNumber.RESTART, "1"
        elif change.key == SYNC_CLOCK.key:
            number = ParameterNumber.CLOCK
            text = format(self._local_time(), CLOCK_FORMAT)
        else:
            number, text = points.PARAMETERS[change.key], bytes(change.raw).decode()
        answer = await self._tell(write_parameter(number, text))
        if not isinstance(answer, Answer) or answer.status != ACCEPTED:
            status = answer.status if isinstance(answer, Answer) else "?"
            raise RefusedError(f"the logger reports status {status}")
        return change.key in _COMMANDS

    async def _tell(self, command: Command) -> Answer | Parameter:
        """Tell the logger. Raises ``DeviceError``."""
        if (session := self._logger.session) is None:
            raise DeviceError("the logger is not connected")
        try:
            return await session.commands.run(command)
        except NoAnswerError as err:
            raise DeviceError(str(err)) from err
        except GoneError as err:
            raise DeviceError("the logger hung up") from err


def value_of(point: Point, text: str) -> Value | None:
    """Return what the text of a parameter says."""
    if point.quantity is Quantity.TEXT:
        return text
    try:
        number = float(text)
    except ValueError:
        return None
    return int(number) if point.quantity is Quantity.CODE else number


def _point(key: str) -> Point:
    if (point := SETTINGS.get(key)) is None:
        if key in {known.key for known in (*points.SERVER_POINTS, points.LAST_RECORD)}:
            raise NotASettingError(register=key)
        raise UnknownSettingError(register=key)
    return point


def _checked(point: Point, wanted: Wanted) -> Value:
    """Return what is wanted if the parameter can hold it. Raises ``InvalidValueError``."""
    if point.quantity is Quantity.COMMAND:
        if wanted is not True:
            raise invalid(
                "value_not_representable", point, wanted, "is no command: say on"
            )
        return True
    if point.quantity is not Quantity.TEXT:
        return checked_number(point, wanted)
    if (
        not isinstance(wanted, str)
        or not 0 < len(wanted) <= MOST_CHARACTERS
        or not wanted.isascii()
        or not wanted.replace("-", "").replace(".", "").isalnum()
    ):
        raise invalid(
            "value_not_representable", point, wanted, "is no name or address of a host"
        )
    return wanted


def _text(value: object) -> str:
    """Return a value as a parameter's text: ``5``, ``0.5``."""
    return f"{value:g}" if isinstance(value, float) else str(value)
