"""A Growatt inverter on a unit: its devices, and polling what is wanted of them."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
import time
from typing import Final

from modbus_connection import ModbusError, ModbusUnit

from ..modbus.image import RegisterImage, Space
from ..modbus.reader import (
    GarbageError,
    ReadReport,
    RegisterReader,
    is_refusal,
    read_words,
)
from ..modbus.register import Decoder, Register
from ..points import (
    ALARMS,
    BATTERY_COMMAND,
    COMMANDED_UNTIL,
    PROBLEM,
    Device,
    DeviceIdentity,
    Point,
    PointId,
    Quantity,
    Rhythm,
    Setting,
    Snapshot,
    Value,
    Visibility,
)
from .alarms import AlarmTable
from .battery import VoltageScale, battery_model
from .derived import Derivation, derivations
from .equipment import Equipment
from .identify import HYBRIDS_AT_3000, Identification, read_serial_number
from .models import Certainty
from .probe import DEVICE_TYPE_CODE
from .profiles.catalogue import profile_of
from .profiles.profile import Part, Profile
from .profiles.protocol_3 import FORBIDDEN

MANUFACTURER: Final = "Growatt"

INTERVALS: Final[Mapping[Rhythm, float]] = {
    Rhythm.LIVE: 10.0,
    Rhythm.ENERGY: 60.0,
    Rhythm.SETTINGS: 600.0,
    Rhythm.IDENTITY: float("inf"),
}
"""Seconds between two reads of a row."""

EARLY: Final = INTERVALS[Rhythm.LIVE] / 2
"""A row that would fall due less than this before the next poll is read now."""

ZEROS_MEAN_ASLEEP: Final = 8
"""So many input words that are all 0 are no measurement: some bridges answer for a
sleeping inverter."""

NEVER_ZERO: Final = frozenset(
    {
        "battery_soc",
        "energy_total",
        "grid_frequency",
        "grid_l1_voltage",
        "inverter_temperature",
        "run_time",
    }
)
"""Points that are not all 0 in an inverter that has ever worked and is on the grid."""

REPLACED_AFTER: Final = 1800.0
"""Seconds after which a lifetime counter that fell to 0 is believed."""

DUMP_ROUNDS: Final = 8
"""Rounds in which a dump narrows down what is refused: 125 words halve seven times."""

SETS_KEPT: Final = 8
"""Sets of wanted points for which the rows are remembered; owners change them seldom."""

SYNC_CLOCK: Final = Point(
    key="sync_clock",
    name="Set the clock",
    quantity=Quantity.COMMAND,
    visibility=Visibility.OFFERED,
    setting=Setting(persistent=False, everyday=True),
    diagnostic=True,
)
"""Sets the inverter's clock to the time it is when the command is carried out."""


def told_by(alarms: AlarmTable) -> Mapping[str, tuple[str, ...]]:
    """Return the rows that must be read to tell whether something is wrong, and what."""
    return {PROBLEM.key: alarms.fault_rows, ALARMS.key: alarms.rows}


PV_TOTAL: Final = "pv_energy_total"
"""Stays 0 on some TL-XH firmware; the totals of the strings then add up to it."""

_PV_TOTAL_ROWS: Final = (PV_TOTAL, "energy_total")
"""An output without a yield shows that the firmware does not count the yield."""

type _RowsByDevice = Mapping[str, tuple[Register, ...]]


class WrongInverterError(Exception):
    """Another inverter answers where ours was."""

    def __init__(self, expected: str, found: str) -> None:
        """Name both serial numbers."""
        super().__init__(f"expected {expected}, found {found}")
        self.expected = expected
        self.found = found


@dataclass(slots=True, kw_only=True)
class Poll:
    """What one poll brought.

    ``asleep`` says why there is nothing: no answer, or nothing but zeros.
    ``failed`` maps keys to the reason they were not read for, now or before.
    """

    snapshot: dict[str, dict[str, Value | None]] = field(default_factory=dict)
    asleep: str | None = None
    failed: Mapping[str, str] = field(default_factory=dict)
    unread: frozenset[PointId] = frozenset()
    """Counters in the snapshot that are of an earlier poll: not due this time."""


class Inverter:
    """Reads one inverter."""

    def __init__(
        self,
        unit: ModbusUnit,
        identified: Identification,
        *,
        spacing: float,
        max_words: int | None = None,
        baud: int = 9600,
        work_mode: Part | None = None,
    ) -> None:
        """Read the inverter ``identified`` on ``unit``.

        ``spacing`` is the quiet time between messages in seconds, ``max_words``
        the most a request may ask for (the profile's limit unless lower),
        ``work_mode`` which of its two meanings the work mode has, if that is known.
        """
        self.identified = identified
        self._equipment = Equipment(identified=identified, work_mode=work_mode)
        self.profile: Profile = profile_of(identified.profile, vpp=identified.vpp)
        self._told_by = told_by(self.profile.alarms)
        self.image = RegisterImage()
        self._max_words = min(
            max_words or self.profile.max_words, self.profile.max_words
        )
        self.reader = RegisterReader(
            unit,
            self.profile.groups,
            max_words=self._max_words,
            spacing=spacing,
            baud=baud,
        )
        self._unit = unit
        self._voltage_scale = VoltageScale(identified.battery_code)
        self._rows = self._present_rows()
        self._derived = self._make_derivations()
        self._wanted: dict[frozenset[PointId], _RowsByDevice] = {}
        self._decoders: dict[tuple[Register, ...], Decoder] = {}
        self._counted: set[str] = set()
        self._fallen: dict[str, float] = {}
        self._sums_strings = False
        self.devices: tuple[Device, ...] = tuple(self._make_devices())

    # -- who and what -----------------------------------------------------------

    @property
    def id(self) -> str:
        """Id of the inverter's own device: its serial number."""
        return self.identified.serial_number

    @property
    def battery_id(self) -> str:
        """Id of the battery's device."""
        return f"{self.id}_battery"

    def register(self, key: str) -> Register | None:
        """Return the row of a point, ``None`` if this inverter has no such row."""
        for rows in self._rows.values():
            if (row := rows.get(key)) is not None:
                return row
        return None

    @property
    def rows(self) -> Iterable[Register]:
        """Go through the rows of the equipment that is there."""
        for rows in self._rows.values():
            yield from rows.values()

    def _present_rows(self) -> dict[str, dict[str, Register]]:
        """Return the rows of the equipment that is there, by device and key."""
        scale = self._voltage_scale.scale if self._has_voltage_scale else None
        present = self._equipment.rows(self.profile, scale)
        return {self.id: present.inverter, self.battery_id: present.battery}

    @property
    def _has_voltage_scale(self) -> bool:
        """Whether the battery's voltage is told in one of two scales."""
        return self.profile.key in HYBRIDS_AT_3000

    def _make_derivations(self) -> dict[str, dict[str, Derivation]]:
        """Return what follows from the rows that are there, by device and key."""
        return {
            device: {
                found.point.key: found
                for found in derivations(rows, of_battery=device == self.battery_id)
            }
            for device, rows in self._rows.items()
        }

    def _make_devices(self) -> Iterable[Device]:
        identified = self.identified
        yield Device(
            identity=DeviceIdentity(
                id=self.id,
                kind="inverter",
                manufacturer=MANUFACTURER,
                model=identified.model,
                serial_number=identified.serial_number,
                firmware=identified.firmware or None,
            ),
            points=(*self._points(self.id), PROBLEM, ALARMS, *self._commands()),
        )
        if identified.battery:
            yield Device(
                identity=DeviceIdentity(
                    id=self.battery_id,
                    kind="battery",
                    manufacturer=MANUFACTURER,
                    model=battery_model(identified.battery_code),
                    serial_number=identified.battery_serial,
                    firmware=identified.battery_firmware,
                    via=self.id,
                ),
                points=(*self._points(self.battery_id), *self._battery_points()),
            )

    def _commands(self) -> tuple[Point, ...]:
        return (SYNC_CLOCK,) if self.identified.knows_settings else ()

    def _battery_points(self) -> tuple[Point, ...]:
        commands = self.register(BATTERY_COMMAND) and self.identified.knows_settings
        return (COMMANDED_UNTIL,) if commands else ()

    def _points(self, device: str) -> tuple[Point, ...]:
        return (
            *(row.point for row in self._rows[device].values()),
            *(
                self._equipment.as_shown(it.point)
                for it in self._derived[device].values()
            ),
        )

    # -- polling ------------------------------------------------------------------

    async def async_poll(self, wanted: Iterable[PointId]) -> Poll:
        """Read what is due of the ``wanted`` points and return all that is known of them.

        Never raises ``ModbusError``: what failed is in the result.
        """
        rows = self._rows_of(frozenset(wanted))
        started = time.monotonic()
        report = await self.reader.read(self._due(rows), self.image)
        if (reason := report.silence) is not None:
            return Poll(asleep=reason)
        if await self._answers_zeros(report):
            return Poll(asleep="it answers nothing but zeros")
        self._drop_fallen_counters(report)
        if self._battery_voltage_rescaled():
            rows = self._rows_of(frozenset(wanted))
        snapshot = {
            device: self._decoder(device_rows).decode(self.image)
            for device, device_rows in rows.items()
        }
        own = snapshot.setdefault(self.id, {})
        self._sum_strings(own)
        for device, values in snapshot.items():
            for derivation in self._derived[device].values():
                derivation.add_to(values)
        alarms = self.profile.alarms
        if self._knows(alarms.fault_rows, own):
            own[PROBLEM.key] = alarms.has_fault(own)
        if self._knows(alarms.rows, own):
            own[ALARMS.key] = alarms.alarms(own)
        return Poll(
            snapshot=snapshot,
            unread=self._counters_unread_since(started, rows),
            failed={**self._refused(rows), **report.reasons},
        )

    def _knows(self, keys: Iterable[str], own: Mapping[str, Value | None]) -> bool:
        """Return whether all rows of these keys were read, but for those that are refused."""
        served = [
            key for key in keys if self.register(key) and key not in self.reader.refused
        ]
        return bool(served) and all(key in own for key in served)

    def wanted_rows(self, wanted: Iterable[PointId]) -> list[Register]:
        """Return the rows that are read for the sake of ``wanted`` points."""
        return [
            row for rows in self._rows_of(frozenset(wanted)).values() for row in rows
        ]

    def values_at(self, rows: Iterable[Register]) -> Snapshot:
        """Return what is known of all points in the words of ``rows``, without asking."""
        words = {(row.space, at) for row in rows for at in range(row.address, row.end)}
        return {
            device: Decoder(
                row
                for row in known.values()
                if any((row.space, at) in words for at in range(row.address, row.end))
            ).decode(self.image)
            for device, known in self._rows.items()
        }

    def may_touch(self, address: int, count: int) -> bool:
        """Return whether registers may be read at all: off-grid models reset on some.

        A model that no type code names might be one.
        """
        ranges = self.profile.forbidden
        if self.identified.certainty is not Certainty.CODED:
            ranges = (*ranges, *FORBIDDEN)
        last = address + count - 1
        return not any(address <= high and last >= low for low, high in ranges)

    async def async_read_words(
        self, space: Space, address: int, count: int
    ) -> list[int]:
        """Read any words, a lost or garbled answer once more. Raises ``ModbusError``."""
        words: list[int] = []
        for first, size in self._pieces(address, count):
            try:
                words += await read_words(self._unit, space, first, size)
            except ModbusError as err:
                if is_refusal(err):
                    raise
                words += await read_words(self._unit, space, first, size)
        return words

    def _pieces(self, address: int, count: int) -> Iterator[tuple[int, int]]:
        """Cut registers where the unit wants it: address and words of each piece."""
        width = self.profile.max_words
        first, end = address, address + count
        while first < end:
            border = first - first % width + width
            last = min(end, border, first + self._max_words)
            yield first, last - first
            first = last

    def values_in(
        self, space: Space, address: int, words: Sequence[int]
    ) -> Mapping[str, Value | None]:
        """Return the points that lie in words as a whole, with their values."""
        image = RegisterImage()
        image.store(space, address, words, 0.0)
        return Decoder(row for row in self.rows if row.space is space).decode(image)

    async def async_probe(self) -> bool:
        """Return whether the inverter is awake, asking a sleeping one for one register only.

        Raises ``WrongInverterError`` if another inverter answers in its place.
        """
        try:
            await self._read_type_code()
            serial = await read_serial_number(self._unit, self.identified)
        except ModbusError:
            return False
        if serial is not None and serial != self.identified.serial_number:
            raise WrongInverterError(self.identified.serial_number, serial)
        return serial is not None

    async def async_dump(self) -> tuple[RegisterImage, Mapping[str, str]]:
        """Read every row of the profile once: the image, and why keys are missing from it.

        A silent inverter's dump is what was last seen of it. The dump has a reader
        of its own: what the unit refuses here must not change how it is polled.
        """
        image = RegisterImage()
        timing = self.reader.timing
        reader = RegisterReader(
            self._unit,
            self.profile.groups,
            max_words=self._max_words,
            spacing=timing.spacing,
            baud=timing.baud,
            patience=1,
        )
        missing: Mapping[str, str] = {}
        for _ in range(DUMP_ROUNDS):
            rows = [
                row
                for row in self.profile
                if image.seen_at(row.space, row.address) is None
            ]
            report = await reader.read(rows, image)
            missing = {**reader.refused, **report.reasons}
            if report.silent or not report.failed:
                break
        if not any(image.dump().values()):
            image.load(self.image.dump(), time.monotonic())
        return image, missing

    def _rows_of(self, wanted: frozenset[PointId]) -> _RowsByDevice:
        """Return the rows behind ``wanted`` points, by device."""
        if (rows := self._wanted.get(wanted)) is None:
            keys: dict[str, set[str]] = {device: set() for device in self._rows}
            for device, key in wanted:
                keys.get(device, set()).update(self._derived_from(device, key))
            rows = {
                device: tuple(row for key, row in known.items() if key in keys[device])
                for device, known in self._rows.items()
                if keys[device]
            }
            if len(self._wanted) >= SETS_KEPT:
                self._forget_sets()
            self._wanted[wanted] = rows
        return rows

    def _counters_unread_since(
        self, started: float, rows: _RowsByDevice
    ) -> frozenset[PointId]:
        unread = {
            (device, row.key)
            for device, device_rows in rows.items()
            for row in device_rows
            if row.point.quantity.is_counter
            and (self.image.seen_at(row.space, row.address) or 0.0) < started
        }
        return frozenset(
            unread
            | {
                (device, key)
                for device, derived in self._derived.items()
                for key, derivation in derived.items()
                if any((device, part) in unread for part in derivation.parts)
            }
        )

    def _refused(self, rows: _RowsByDevice) -> dict[str, str]:
        """Return those of the rows that the unit is not asked for any more, and why."""
        if not (refused := self.reader.refused):
            return {}
        return {
            row.key: refused[row.key]
            for device_rows in rows.values()
            for row in device_rows
            if row.key in refused
        }

    def _derived_from(self, device: str, key: str) -> tuple[str, ...]:
        """Return the keys of the rows that the value of a device's point is made of."""
        if (derivation := self._derived.get(device, {}).get(key)) is not None:
            return derivation.parts
        if key == PV_TOTAL:
            return self._string_totals if self._sums_strings else _PV_TOTAL_ROWS
        return self._told_by.get(key, (key,))

    @property
    def _string_totals(self) -> tuple[str, ...]:
        return tuple(
            key
            for string in range(1, self.identified.strings + 1)
            if self.register(key := f"pv{string}_energy_total")
        )

    def _decoder(self, rows: tuple[Register, ...]) -> Decoder:
        if (decoder := self._decoders.get(rows)) is None:
            decoder = self._decoders[rows] = Decoder(rows)
        return decoder

    def _forget_sets(self) -> None:
        self._wanted.clear()
        self._decoders.clear()

    def _due(self, rows: _RowsByDevice) -> list[Register]:
        """Return the rows whose words are missing or too old."""
        now = time.monotonic()
        return [
            row
            for device_rows in rows.values()
            for row in device_rows
            if (seen := self.image.seen_at(row.space, row.address)) is None
            or now - seen >= INTERVALS[row.point.rhythm] - EARLY
        ]

    # -- plausibility -------------------------------------------------------------

    async def _answers_zeros(self, report: ReadReport) -> bool:
        """Return whether all that the unit answers is 0, and forget it if so.

        At night a few wanted values may all be 0; then the type code tells, which never is.
        """
        reads = [
            read
            for read in report.reads
            if read.space is Space.INPUT and read not in report.failed
        ]
        if sum(read.count for read in reads) < ZEROS_MEAN_ASLEEP or any(
            any(self.image.get(read.space, read.address, read.count) or ())
            for read in reads
        ):
            return False
        keys = {row.key for read in reads for row in read.registers}
        if not keys & NEVER_ZERO and await self._has_type_code():
            return False
        for read in report.reads:
            self.image.forget(read.space, read.address, read.count)
        return True

    async def _has_type_code(self) -> bool:
        try:
            return any(await self._read_type_code())
        except ModbusError:
            return False

    async def _read_type_code(self) -> list[int]:
        return await read_words(self._unit, Space.HOLDING, DEVICE_TYPE_CODE, 1)

    def _drop_fallen_counters(self, report: ReadReport) -> None:
        """Drop blocks in which a lifetime counter is 0 that was not before.

        What stays 0 for long was replaced, such as a battery, and counts anew.
        """
        now = time.monotonic()
        for read in report.reads:
            if read in report.failed:
                continue
            for row in read.registers:
                if row.point.quantity is not Quantity.ENERGY_TOTAL:
                    continue
                if any(self.image.get(row.space, row.address, row.words) or ()):
                    self._counted.add(row.key)
                    self._fallen.pop(row.key, None)
                elif row.key in self._counted and (
                    now - self._fallen.setdefault(row.key, now) < REPLACED_AFTER
                ):
                    report.failed[read] = GarbageError(f"{read}: {row.key} fell to 0")
                    self.image.forget(read.space, read.address, read.count)
                    break

    def _sum_strings(self, values: dict[str, Value | None]) -> None:
        """Give the PV total where the firmware does not count it."""
        if self._sums_strings:
            parts = [values.get(key) for key in self._string_totals]
            numbers = [part for part in parts if isinstance(part, int | float)]
            if len(numbers) == len(parts):
                values[PV_TOTAL] = round(sum(numbers), 1)
        elif values.get(PV_TOTAL) == 0 and values.get("energy_total"):
            self._sums_strings = True
            self._forget_sets()
            del values[PV_TOTAL]  # the 0 must not pass for a count

    def _battery_voltage_rescaled(self) -> bool:
        """Check the scale of the battery's voltage; return whether it was corrected."""
        battery = self._rows[self.battery_id]
        voltage = self._raw(battery.get("battery_voltage"))
        current = self._number(battery.get("battery_current"))
        power = self._number(battery.get("battery_discharge_power"))
        charging = self._number(battery.get("battery_charge_power"))
        if voltage is None or current is None or power is None or charging is None:
            return False
        if not self._voltage_scale.check(voltage, current, power - charging):
            return False
        self._rows = self._present_rows()
        self._forget_sets()
        return True

    def _raw(self, row: Register | None) -> int | None:
        if row is None or not (
            words := self.image.get(row.space, row.address, row.words)
        ):
            return None
        raw = row.codec.decode(words)
        return raw if isinstance(raw, int) else None

    def _number(self, row: Register | None) -> float | None:
        raw = self._raw(row)
        return None if raw is None or row is None else raw / row.divisor
