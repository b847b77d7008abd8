"""A Growatt inverter on a unit: its devices, and polling what is wanted of them."""

from collections.abc import Collection, Iterable, Iterator, Mapping
import time
from typing import Final, override

from modbus_connection import ModbusError, ModbusUnit

from ..modbus.image import RegisterImage, Space
from ..modbus.reader import (
    GarbageError,
    ReadReport,
    RegisterReader,
    is_refusal,
    read_words,
)
from ..modbus.register import Register
from ..points import PointId, Quantity, Rhythm
from .identify import Identification, read_serial_number
from .known_inverter import KnownInverter, Poll, RowsByDevice
from .probe import DEVICE_TYPE_CODE
from .profiles.profile import Part

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


class WrongInverterError(Exception):
    """Another inverter answers where ours was."""

    def __init__(self, expected: str, found: str) -> None:
        """Name both serial numbers."""
        super().__init__(f"expected {expected}, found {found}")
        self.expected = expected
        self.found = found


class Inverter(KnownInverter):
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
        super().__init__(identified, work_mode=work_mode)
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
        self._counted: set[str] = set()
        self._fallen: dict[str, float] = {}

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
        return Poll(
            snapshot=self._snapshot(self.image, rows),
            unread=self._counters_unread_since(started, rows),
            failed={**self._refused(rows), **report.reasons},
        )

    @property
    @override
    def _lacking(self) -> Collection[str]:
        return self.reader.refused

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

    def _refused(self, rows: RowsByDevice) -> dict[str, str]:
        """Return those of the rows that the unit is not asked for any more, and why."""
        if not (refused := self.reader.refused):
            return {}
        return {
            row.key: refused[row.key]
            for device_rows in rows.values()
            for row in device_rows
            if row.key in refused
        }

    def _due(self, rows: RowsByDevice) -> list[Register]:
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
