"""What may be written to a Growatt inverter, and writing it: the driver of the write gate.

Facts: growatt "Protocol II" V1.13 to V1.39, the recording of a MIN 6000TL-XH with its
datalogger, and reports of owners: one value goes with function 6, words that belong
together with one function 16; a unit that refuses one of the two may take the other.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
import time
from typing import Final

from modbus_connection import (
    IllegalDataAddressError,
    IllegalFunctionError,
    ModbusConnectionError,
    ModbusError,
    ModbusUnit,
)

from ..modbus.codecs import CLOCK, Text
from ..modbus.image import Space
from ..modbus.plan import Read
from ..modbus.reader import is_refusal
from ..modbus.register import Register
from ..modbus.writing import async_patiently, does_not_fit, encode_setting, failure_of
from ..points import (
    BATTERY_COMMAND,
    IN_FLASH,
    SLOT_WITHOUT_GRID_CHARGE,
    Release,
    TimeSlot,
    TimeSlotChange,
    Value,
    Wanted,
)
from ..write_errors import (
    DeviceError,
    InvalidValueError,
    NeverWriteError,
    NotASettingError,
    NotIdentifiedError,
    NotReadableError,
    RefusedError,
    UnknownSettingError,
    WrongDeviceError,
)
from ..write_gate import Change, GuardedSetting, Reading
from .identify import identity_place
from .inverter import Inverter
from .known_inverter import SYNC_CLOCK
from .remote_power import AUTHORITY, CommandCodec, RemotePower
from .slot_rules import (
    Surroundings,
    as_change,
    check_slot,
    keys_around,
    lacks_grid_charge,
    slot_after,
    surroundings,
    words_after,
)
from .time_slots import SlotCodec

CLOCK_TOLERANCE: Final = timedelta(seconds=5)
"""A clock that is off by less is right: messages take their time."""

NARROWING_ROUNDS: Final = 16
"""Rounds in which the reader narrows down which slots old firmware lacks."""


@dataclass(frozen=True, slots=True)
class _ReadAt:
    """When a clock was read, in monotonic seconds."""

    seconds: float


class InverterSettings:
    """Writes the settings of one inverter and the battery behind it."""

    def __init__(
        self, unit: ModbusUnit, inverter: Inverter, now: Callable[[], datetime]
    ) -> None:
        """Write to ``inverter`` on ``unit``. ``now`` gives its local time, without a zone."""
        self._unit = unit
        self._inverter = inverter
        self._now = now
        self._one_by_one: dict[tuple[int, int], bool] = {}
        self._breaks = 0
        self.stop_watching = unit.on_connection_lost(self._note_break)
        """Ends what was begun here; to be called when the driver is not used any more."""

    # -- what may be written ------------------------------------------------------

    def setting(self, key: str) -> GuardedSetting:
        """Return the setting of a key. Raises ``WriteError`` if there is none."""
        if key == SYNC_CLOCK.key:
            if not self._inverter.identified.knows_settings:
                raise NotASettingError(register=key)
            row = self._clock
            return GuardedSetting(
                point=SYNC_CLOCK, address=row.address, wears=self._wears(row)
            )
        if key == BATTERY_COMMAND:
            remote = self._remote
            return GuardedSetting(
                point=remote.command.point,
                address=remote.command.address,
                wears=self._wears(remote.authority),
            )
        row = self._row(key)
        whole = self._whole(row)
        assert row.point.setting is not None
        return GuardedSetting(
            point=row.point,
            address=whole.address,
            wears=self._wears(whole),
            note=row.note,
            reads_back=row.point.setting.reads_back,
        )

    def rows(self, key: str) -> list[Register]:
        """Return the rows whose words a setting of this key is written to."""
        if key == BATTERY_COMMAND:
            return [self._remote.authority, self._remote.command]
        return [self._clock if key == SYNC_CLOCK.key else self._whole(self._row(key))]

    @property
    def _clock(self) -> Register:
        if (row := self._inverter.register("clock")) is None:
            raise UnknownSettingError(register=SYNC_CLOCK.key)
        return row

    @property
    def _remote(self) -> RemotePower:
        """What commands to the battery are made of, or raise why there are none."""
        authority = self._inverter.register(AUTHORITY)
        command = self._inverter.register(BATTERY_COMMAND)
        if authority is None or command is None:
            raise UnknownSettingError(register=BATTERY_COMMAND)
        if not self._inverter.identified.knows_settings:
            raise NotASettingError(register=BATTERY_COMMAND)
        return RemotePower(authority, command)

    def _row(self, key: str) -> Register:
        """Return the row of a setting, or raise why it is none."""
        if (row := self._inverter.register(key)) is None:
            raise UnknownSettingError(register=key)
        if row.never_write:
            raise NeverWriteError(row.never_write, register=key)
        if row.point.setting is None or row.space is not Space.HOLDING:
            raise NotASettingError(register=key)
        return row

    def _whole(self, row: Register) -> Register:
        """Return the row that is written when a part of it is changed."""
        return row if row.part_of is None else self._row(row.part_of[0])

    def _wears(self, row: Register) -> str:
        return f"{self._inverter.id}/{row.address}"

    # -- reading ------------------------------------------------------------------

    @property
    def breaks(self) -> int:
        """How often the link was lost."""
        return self._breaks

    def _note_break(self) -> None:
        self._breaks += 1

    async def async_check_identity(self) -> None:
        """Read the serial number. Raises ``WrongDeviceError`` or ``DeviceError``.

        Only the place counts where the family keeps it: an inverter that has it elsewhere
        has firmware whose registers may mean something else.
        """
        place = identity_place(self._inverter.identified)
        try:
            words = await self._inverter.async_read_words(Space.HOLDING, *place)
        except ModbusError as err:
            kind = NotIdentifiedError if is_refusal(err) else DeviceError
            raise kind(str(err)) from err
        if (found := Text(place[1]).decode(words)) is None:
            raise NotIdentifiedError("it is empty")
        if found != self._inverter.id:
            raise WrongDeviceError(self._inverter.id, found)

    async def async_read(self, key: str) -> Reading:
        """Read what counts for a setting, in one request if the link allows."""
        if key == SYNC_CLOCK.key:
            await self._async_read_rows(self._clock)
            # The time goes on by itself: that is no change.
            return Reading(
                value=self._decode(self._clock),
                raw=(),
                persistent=False,
                around=_ReadAt(time.monotonic()),
            )
        if key == BATTERY_COMMAND:
            return await self._async_read_command()
        row = self._row(key)
        whole = self._whole(row)
        flags = self._read_with(row, whole)
        await self._async_read_rows(whole, *flags.values())
        raw = self._inverter.image.get(whole.space, whole.address, whole.words)
        return Reading(
            value=self._decode(row),
            raw=tuple(raw or ()),
            persistent=self._is_persistent(row),
            around=self._around(whole, flags),
        )

    async def _async_read_command(self) -> Reading:
        remote = self._remote
        words: list[list[int]] = []
        for row in (remote.authority, remote.command):
            # One by one: without either of them there is nothing to go by.
            await self._async_read_rows(row)
            words.append(
                self._inverter.image.get(row.space, row.address, row.words) or []
            )
        return remote.reading(*words)

    def _read_with(self, row: Register, whole: Register) -> dict[str, Register]:
        """Return other rows that must be known to judge a change."""
        keys: list[str] = []
        if row.point.setting is not None and row.point.setting.persistent_while:
            keys.append(row.point.setting.persistent_while)
        if isinstance(whole.codec, SlotCodec):
            keys += keys_around(whole, self._inverter.rows)
        return {
            key: known
            for key in keys
            if (known := self._inverter.register(key)) is not None
        }

    async def _async_read_rows(self, row: Register, *others: Register) -> None:
        """Read a row now, and others unless this firmware lacks them.

        The reader finds out what is lacking by narrowing down what is refused again and
        again. Raises ``DeviceError``.
        """
        reader, image = self._inverter.reader, self._inverter.image
        started = time.monotonic()
        for err in (await self._async_narrow([row, *others])).values():
            if is_refusal(err):
                raise NotReadableError(str(err), register=row.key) from err
            raise DeviceError(str(err)) from err
        for known in (row, *others):
            if (image.seen_at(known.space, known.address) or 0.0) >= started:
                continue
            if (refusal := reader.refused.get(known.key)) is None:
                raise DeviceError(f"{known.key} was not answered")
            if known is row:
                raise NotReadableError(refusal, register=known.key)

    async def _async_narrow(self, rows: list[Register]) -> Mapping[Read, ModbusError]:
        """Read rows until nothing is refused any more; return what failed."""
        reader, image = self._inverter.reader, self._inverter.image
        report = await reader.read(rows, image)
        for _ in range(NARROWING_ROUNDS):
            if not report.failed or not all(map(is_refusal, report.failed.values())):
                break
            report = await reader.read(rows, image)
        return report.failed

    def _decode(self, row: Register) -> Value | None:
        words = self._inverter.image.get(row.space, row.address, row.words)
        return None if words is None else row.decode(words)

    def _is_persistent(self, row: Register) -> bool:
        setting = row.point.setting
        assert setting is not None
        if not setting.persistent_while:
            return setting.persistent
        flag = self._inverter.register(setting.persistent_while)
        return flag is not None and self._decode(flag) is not False

    def _around(
        self, whole: Register, flags: Mapping[str, Register]
    ) -> Surroundings | None:
        if not isinstance(whole.codec, SlotCodec):
            return None
        known = {
            key: (row, words)
            for key, row in flags.items()
            if (words := self._inverter.image.get(row.space, row.address, row.words))
        }
        return surroundings(whole, self._decode(whole), known)

    # -- changing -----------------------------------------------------------------

    def change(self, key: str, wanted: Wanted, current: Reading) -> Change:
        """Return the change that gives what is wanted. Raises ``InvalidValueError``."""
        if key == SYNC_CLOCK.key:
            if wanted is not True:
                raise does_not_fit(self._clock, wanted, "is no command: say on")
            return Change(key=key, value=self._now().replace(microsecond=0), raw=())
        if key == BATTERY_COMMAND:
            return self._remote.change(wanted, current)
        row = self._row(key)
        whole = self._whole(row)
        warnings = (IN_FLASH,) if current.persistent else ()
        if isinstance(whole.codec, SlotCodec):
            assert isinstance(current.around, Surroundings)
            slot = slot_after(row, whole, wanted, current.around)
            raw = words_after(whole, slot, current.raw)
            check_slot(whole, slot, current.around)
            return Change(
                key=key,
                value=slot if isinstance(wanted, TimeSlotChange | Release) else wanted,
                raw=raw,
                doubts=_doubts_about(slot, current.around),
                warnings=warnings,
            )
        if isinstance(wanted, TimeSlotChange):
            raise does_not_fit(row, wanted, "is a time slot")
        if isinstance(wanted, Release):
            raise does_not_fit(row, wanted, "is no command to a battery")
        _check_present(row, current)
        raw = encode_setting(whole, wanted)
        return Change(key=key, value=wanted, raw=raw, warnings=warnings)

    def holds(self, change: Change, reading: Reading) -> bool:
        """Return whether a reading shows what a change is for."""
        if change.key == SYNC_CLOCK.key:
            return (
                isinstance(reading.value, datetime)
                and abs(reading.value - self._now()) <= CLOCK_TOLERANCE
            )
        if change.key == BATTERY_COMMAND:
            return self._remote.holds(change, reading)
        if reading.raw == change.raw:
            return True
        whole = self._whole(self._row(change.key))
        # Bits that are of no part of a slot, and other slots, may be what they like.
        return isinstance(whole.codec, SlotCodec) and (
            whole.decode(list(change.raw)) == whole.decode(list(reading.raw))
        )

    def is_unchanged(self, before: Reading, after: Reading) -> bool:
        """Return whether nothing was changed between two readings."""
        if (
            isinstance(before.value, datetime)
            and isinstance(after.value, datetime)
            and isinstance(before.around, _ReadAt)
            and isinstance(after.around, _ReadAt)
        ):
            passed = timedelta(seconds=after.around.seconds - before.around.seconds)
            return abs(after.value - before.value - passed) <= CLOCK_TOLERANCE
        return (before.raw, before.value) == (after.raw, after.value)

    def as_whole(self, key: str, wanted: Wanted) -> tuple[str, Wanted]:
        """Return the slot and its change if a part of a slot is wanted."""
        if key in (SYNC_CLOCK.key, BATTERY_COMMAND):
            return key, wanted
        if (row := self._row(key)).part_of is None:
            return key, wanted
        return row.part_of[0], as_change(row, wanted)

    async def async_write(self, change: Change) -> bool:
        """Send a change once. Raises ``RefusedError`` or ``DeviceError``.

        An inverter only says that it has understood.
        """
        breaks = self._breaks
        if change.key == BATTERY_COMMAND:
            await self._async_send_command(change, breaks)
        elif change.key == SYNC_CLOCK.key:
            await self._async_put(self._clock, CLOCK.encode(self._now()), breaks)
        else:
            row = self._whole(self._row(change.key))
            await self._async_put(row, change.raw, breaks)
        return False

    async def _async_send_command(self, change: Change, breaks: int) -> None:
        """Send the messages of a command to the battery, or of its end.

        Raises ``DeviceError`` if only some were taken.
        """
        taken = 0
        for step in self._remote.steps(change):
            try:
                await self._async_put(step.row, step.words, breaks)
            except RefusedError as err:
                if step.may_be_refused:
                    continue
                if taken:
                    raise DeviceError(f"{step.row.key}: {err}") from err
                raise
            taken += 1

    async def _async_put(
        self, row: Register, words: tuple[int, ...], breaks: int
    ) -> None:
        """Send words, in the other way if the unit refuses the first one.

        Raises ``RefusedError`` or ``DeviceError``.
        """
        known = row.address, len(words)
        works = self._one_by_one.get(known)
        if isinstance(row.codec, SlotCodec) and row.codec.at_once:
            works = False
        one_by_one = len(words) == 1 if works is None else works
        try:
            await self._async_send(row, words, breaks, one_by_one=one_by_one)
        except (IllegalFunctionError, IllegalDataAddressError) as refusal:
            if works is not None:
                raise RefusedError(str(refusal)) from refusal
            one_by_one = not one_by_one
            try:
                await self._async_send(row, words, breaks, one_by_one=one_by_one)
            except ModbusError as err:
                raise failure_of(err) from refusal
        except ModbusError as err:
            raise failure_of(err) from err
        self._one_by_one[known] = one_by_one

    async def _async_send(
        self, row: Register, words: tuple[int, ...], breaks: int, *, one_by_one: bool
    ) -> None:
        """Send words with one function 16, or with a function 6 for each.

        Nothing is sent any more once the link broke more often than ``breaks``. Raises
        ``ModbusError`` if nothing was written or nobody knows, ``DeviceError`` if only
        some words were.
        """
        if not one_by_one:
            self._check_link(breaks)
            await async_patiently(
                self._unit, self._unit.write_registers(row.address, list(words))
            )
            return
        order: Iterable[int] = range(len(words))
        if isinstance(row.codec, SlotCodec | CommandCodec):
            order = row.codec.order(words)
        for sent, place in enumerate(order):
            address = row.address + place
            try:
                self._check_link(breaks)
                await async_patiently(
                    self._unit, self._unit.write_register(address, words[place])
                )
            except ModbusError as err:
                if sent:
                    raise DeviceError(f"holding {address}: {err}") from err
                raise

    def _check_link(self, breaks: int) -> None:
        """Raise ``ModbusConnectionError`` if the link broke: another device may be there."""
        if self._breaks != breaks:
            raise ModbusConnectionError("the connection was lost meanwhile")


def _check_present(row: Register, current: Reading) -> None:
    """Raise ``InvalidValueError`` if a register holds what the table does not know.

    Firmware that uses it for something else shows itself that way.
    """
    setting, value = row.point.setting, current.value
    assert setting is not None
    if isinstance(value, bool | str):
        return
    if isinstance(value, int | float):
        low, high = setting.found or (setting.minimum, setting.maximum)
        if (low is None or value >= low) and (high is None or value <= high):
            return
    raise InvalidValueError(
        "present_value_unknown",
        register=row.key,
        raw=" ".join(map(str, current.raw)),
    )


def _doubts_about(slot: TimeSlot, around: Surroundings) -> tuple[str, ...]:
    """Return what to think over before a slot becomes what it shall be."""
    return (SLOT_WITHOUT_GRID_CHARGE,) if lacks_grid_charge(slot, around) else ()
