"""Telling the battery what to do for some time, by the VPP protocol.

Facts: "VPP protocol" V2.03, and reports of owners. Holding 30407 to 30409 (on, minutes,
power) are not stored and count only while 30100, which is in EEPROM, says that the
protocol has control. After its time the inverter stops by itself, but all registers stay
as they are, and as long as 30100 is 1 time slots do not charge from the grid. So control is
taken for a command, and given back in the end. Without end (0 minutes) nothing is told.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from ..modbus.codecs import S16, Raw
from ..modbus.register import Register
from ..modbus.writing import does_not_fit
from ..points import IN_FLASH, PowerCommand, Release, Wanted
from ..values import as_text
from ..write_errors import InvalidValueError, ValueChangedError
from ..write_gate import Change, Reading

AUTHORITY: Final = "vpp_control_authority"
"""Key of holding 30100."""

LONGEST: Final = 1440
"""Minutes of the longest command that an inverter takes."""

_MOST: Final = 100


@dataclass(frozen=True, slots=True)
class CommandCodec:
    """Three words: whether there is a command, its minutes, its power."""

    @property
    def words(self) -> int:
        """A command takes three words."""
        return 3

    def decode(self, words: Sequence[int]) -> PowerCommand | None:
        """Return the command, ``None`` if there is none, or something impossible."""
        enabled, minutes, power = words[0], words[1], S16.decode(words[2:])
        if enabled != 1 or minutes > LONGEST or abs(power) > _MOST:
            return None
        return PowerCommand(power=power, minutes=minutes)

    def encode(self, raw: Raw) -> tuple[int, ...]:
        """Return the words of a command that has an end."""
        if not isinstance(raw, PowerCommand):
            raise TypeError("is not a command to a battery")
        for number in (raw.power, raw.minutes):
            if isinstance(number, bool) or not isinstance(number, int):
                raise TypeError("is not given in whole per cent and minutes")
        if abs(raw.power) > _MOST:
            raise OverflowError(f"is not within -{_MOST} to {_MOST} %")
        if not 1 <= raw.minutes <= LONGEST:
            raise OverflowError(f"is not within 1 to {LONGEST} minutes")
        return 1, raw.minutes, *S16.encode(raw.power)

    def order(self, words: Sequence[int]) -> list[int]:
        """Return the order in which words go if they go one by one: the switch comes last."""
        return list(reversed(range(len(words))))


COMMAND: Final = CommandCodec()


@dataclass(frozen=True, slots=True)
class Step:
    """A message: words for the first registers of a row."""

    row: Register
    words: tuple[int, ...]
    may_be_refused: bool = False
    """Whether the steps that follow are worth sending all the same."""


@dataclass(frozen=True, slots=True)
class RemotePower:
    """What commands are made of: the rows of 30100 and of 30407 to 30409.

    The raw words of a reading and of a change are those of both, in this order.
    """

    authority: Register
    command: Register

    def reading(self, authority: Sequence[int], command: Sequence[int]) -> Reading:
        """Return what the words of both say: a command counts only with control."""
        value = self.command.codec.decode(command) if list(authority) == [1] else None
        return Reading(
            value=value if isinstance(value, PowerCommand) else False,
            raw=(*authority, *command),
            persistent=True,
        )

    def change(self, wanted: Wanted, current: Reading) -> Change:
        """Return the change that starts a command or ends one.

        Raises ``InvalidValueError``, or ``ValueChangedError`` if a command is to be ended
        that is not in force any more because somebody else has given another.
        """
        match wanted:
            case PowerCommand():
                return self._start(wanted, current)
            case Release():
                return self._end(wanted, current)
            case _:
                raise does_not_fit(self.command, wanted, "is not a command")

    def _start(self, wanted: PowerCommand, current: Reading) -> Change:
        try:
            words = self.command.codec.encode(wanted)
        except OverflowError as err:
            raise InvalidValueError(
                "value_out_of_range",
                str(err),
                register=self.command.key,
                value=as_text(wanted),
            ) from err
        except TypeError as err:
            raise does_not_fit(self.command, wanted, str(err)) from err
        authority, *before = current.raw
        self._check_present(current)
        return Change(
            key=self.command.key,
            value=wanted,
            raw=(1, *words),
            warnings=() if authority else (IN_FLASH,),
            persistent=not authority,
            undo=Release(command=wanted, before=tuple(before), authority=not authority),
        )

    def _check_present(self, current: Reading) -> None:
        """Raise ``InvalidValueError`` if the registers hold what they cannot.

        Firmware that uses them for something else shows itself that way.
        """
        authority, enabled, minutes, power = current.raw
        if (
            authority > 1
            or enabled > 1
            or minutes > LONGEST
            or abs(S16.decode([power])) > _MOST
        ):
            raise InvalidValueError(
                "present_value_unknown",
                register=self.command.key,
                raw=" ".join(map(str, current.raw)),
            )

    def _end(self, wanted: Release, current: Reading) -> Change:
        authority, enabled, *rest = current.raw
        if not authority:
            target = current.raw  # given back already
        elif enabled and not self._is_ours(wanted, current.raw[1:]):
            raise ValueChangedError(
                expected=as_text(wanted.command), current=as_text(current.value)
            )
        else:
            target = (int(not wanted.authority), 0, *rest)
        return Change(
            key=self.command.key,
            value=False,
            raw=target,
            persistent=wanted.authority,
            rationed=False,
        )

    def _is_ours(self, wanted: Release, words: Sequence[int]) -> bool:
        """Return whether words are those of a command, or those that it replaced.

        Until a start was read back, whatever the registers hold is taken for ours. The
        minutes may have counted down.
        """
        if wanted.in_doubt:
            return True
        enabled, minutes, power = self.command.codec.encode(wanted.command)
        return tuple(words) == wanted.before or (
            words[0] == enabled and words[1] <= minutes and words[2] == power
        )

    def holds(self, change: Change, reading: Reading) -> bool:
        """Return whether a reading shows what a change is for.

        The minutes may have begun to count down. A command without control is none.
        """
        authority, enabled, minutes, power = change.raw
        now = reading.raw
        if change.value is False:
            return not now[0] or (bool(authority) and not now[1])
        return (now[0], now[1], now[3]) == (
            authority,
            enabled,
            power,
        ) and 0 <= minutes - now[2] <= 1

    def steps(self, change: Change) -> tuple[Step, ...]:
        """Return the messages of a change, in their order.

        Without control no command is taken. What ends one gives control back even if the
        rest is refused.
        """
        authority, *command = change.raw
        take = (Step(self.authority, (authority,)),) if change.persistent else ()
        if change.value is not False:
            return *take, Step(self.command, tuple(command))
        return Step(self.command, (0,), may_be_refused=bool(take)), *take
