"""A gateway on a unit: its devices, and polling what is wanted of them."""

import asyncio
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
import time
from typing import Final

from modbus_connection import ModbusError, ModbusUnit

from ..modbus.codecs import U16
from ..modbus.image import RegisterImage, Space
from ..modbus.plan import Read
from ..modbus.reader import ReadReport, RegisterReader, is_refusal
from ..modbus.register import Register
from ..points import Device, Point, PointId, Quantity, Rhythm, Snapshot, Value
from ..registers import RegisterReading
from .block import HEADER_WORDS, Row
from .chain import BASE, END, NO_DATA, Place
from .decoding import BlockDecoder
from .derived import derive, derived_points, has, needs, number_of
from .errors import BlankError
from .placed import (
    PlacedRow,
    PlacedRows,
    exponent_of,
    groups,
    rows_by_device,
    spans_of,
    with_structure,
)
from .reading import check_header
from .system import MAX_WORDS, System, async_read_words
from .totals import TOTALS, Total, TotalGuard

INTERVALS: Final[Mapping[Rhythm, float]] = {
    Rhythm.LIVE: 0.0,
    Rhythm.SETTINGS: 295.0,
}
"""Seconds for which what was read of a row will do. What is measured is read in each poll,
what was set every 5 minutes; polls are not quite so regular."""

NETWORK_BAUD: Final = 1_000_000_000
"""Stands for a network: what a further register costs there is nothing to a request."""

RETRY_AFTER: Final = 0.5
"""Seconds after which blocks are read again that the gateway had no data of."""

KEPT_FOR: Final = 60.0
"""Seconds for which the last values of such a block still stand."""

SETS_KEPT: Final = 8
"""Sets of wanted points for which the rows are remembered; owners change them seldom."""


END_ROW: Final = Register(
    point=Point(
        key="end_of_map",
        name="End of the map",
        quantity=Quantity.CODE,
        rhythm=Rhythm.SETTINGS,
    ),
    space=Space.HOLDING,
    address=0,
    codec=U16,
)
"""The register behind the last block: a device that is added there moves no other."""


@dataclass(slots=True, kw_only=True)
class Poll:
    """What one poll brought.

    ``asleep`` says why there is nothing. ``failed`` maps keys to the reason they were not
    read for. ``doubt`` says why there may be more or fewer devices than were known.
    """

    snapshot: dict[str, dict[str, Value | None]] = field(default_factory=dict)
    asleep: str | None = None
    failed: Mapping[str, str] = field(default_factory=dict)
    doubt: str = ""


@dataclass(slots=True, kw_only=True)
class _Plan:
    """What is read for a set of wanted points, by block and rhythm, and decoded, by block."""

    registers: dict[tuple[Place, Rhythm], tuple[Register, ...]]
    blocks: tuple[BlockDecoder, ...]


class Mate3:
    """Reads one gateway and all that is behind it."""

    def __init__(self, unit: ModbusUnit, system: System, *, spacing: float) -> None:
        """Read ``system`` on ``unit``, with ``spacing`` seconds between messages."""
        self._unit = unit
        self.system = system
        self.image = RegisterImage()
        self.reader = RegisterReader(
            unit,
            {Space.HOLDING: tuple(groups(system))},
            max_words=MAX_WORDS,
            spacing=spacing,
            baud=NETWORK_BAUD,
        )
        self.rows: Mapping[str, PlacedRows] = dict(rows_by_device(system))
        self._totals = tuple(_totals(system, self.rows))
        self._guard = TotalGuard()
        self._plans: dict[frozenset[PointId], _Plan] = {}
        self._last = system.places[-1]
        self._end_row = replace(END_ROW, address=self._last.end)
        self._refusing: frozenset[int] = frozenset()
        self._known_to_refuse: frozenset[int] = frozenset()
        self._kept: dict[Place, tuple[float, dict[str, Value | None]]] = {}
        self.devices: tuple[Device, ...] = tuple(self._make_devices())

    # -- devices --------------------------------------------------------------------

    def _make_devices(self) -> Iterator[Device]:
        system = self.system
        yield Device(
            identity=system.identity,
            points=(
                *self._points(system.id),
                *(total.point for total, _ in self._totals),
            ),
        )
        for equipment in system.equipment:
            yield Device(
                identity=system.identity_of(equipment),
                points=(
                    *self._points(equipment.id),
                    *derived_points(self.rows[equipment.id]),
                ),
            )

    def _points(self, device: str) -> Iterator[Point]:
        return (placed.row.register.point for placed in self.rows[device].values())

    def _needs(self, device: str, key: str) -> Iterator[tuple[str, str]]:
        """Go through the rows, as device and key, that a point's value is made of."""
        for name in needs(self.rows.get(device, {}), key):
            yield device, name
        if device == self.system.id:
            for total, members in self._totals:
                if total.point.key == key:
                    for member in members:
                        yield from self._needs(member, total.of)

    # -- polling --------------------------------------------------------------------

    async def async_poll(self, wanted: Iterable[PointId]) -> Poll:
        """Read what is due of the ``wanted`` points and return all that is known of them.

        Raises ``MapChangedError`` if a block is not where it was; never ``ModbusError``:
        what failed is in the result.
        """
        plan = self._plan(frozenset(wanted))
        due = self._due(plan)
        report = await self.reader.read(_registers(plan, due), self.image)
        if (reason := report.silence) is not None:
            return Poll(asleep=reason)
        doubt = self._doubt(report)
        blank = self._blank(due)
        if blank:
            await asyncio.sleep(RETRY_AFTER)
            again = [part for part in due if part[0] in blank]
            await self.reader.read(_registers(plan, again), self.image)
            blank = self._blank(again)
        snapshot = self._decode(plan, blank)
        for device, values in snapshot.items():
            derive(values, self.rows[device])
        self._add_up(snapshot, frozenset(wanted))
        return Poll(
            snapshot=snapshot,
            failed={**self.reader.refused, **report.reasons},
            doubt=doubt,
        )

    def _plan(self, wanted: frozenset[PointId]) -> _Plan:
        """Return what must be read for the sake of ``wanted`` points."""
        if (plan := self._plans.get(wanted)) is not None:
            return plan
        needed: dict[str, set[str]] = {}
        for device, key in wanted:
            for source, name in self._needs(device, key):
                needed.setdefault(source, set()).add(name)
        by_place: dict[Place, list[Row]] = {}
        owners: dict[Place, str] = {}
        for device, keys in needed.items():
            for key, placed in self.rows[device].items():
                if key in keys:
                    by_place.setdefault(placed.place, []).append(placed.row)
                    owners[placed.place] = device
        registers: dict[tuple[Place, Rhythm], list[Register]] = {}
        for place, rows in by_place.items():
            for row in with_structure(place, rows):
                rhythm = row.register.point.rhythm
                registers.setdefault((place, rhythm), []).append(
                    self._named(row.at(place.address), owners[place])
                )
        registers.setdefault((self._last, Rhythm.SETTINGS), []).append(self._end_row)
        plan = _Plan(
            registers={part: tuple(rows) for part, rows in registers.items()},
            blocks=tuple(
                BlockDecoder(owners[place], place, rows)
                for place, rows in by_place.items()
            ),
        )
        if len(self._plans) >= SETS_KEPT:
            self._plans.clear()
        self._plans[wanted] = plan
        return plan

    def _named(self, register: Register, device: str) -> Register:
        """Return a register under a name that no other device has for one of its own."""
        if device == self.system.id:
            return register
        name = device.removeprefix(f"{self.system.id}_")
        point = replace(register.point, key=f"{name} {register.key}")
        return replace(register, point=point)

    def _due(self, plan: _Plan) -> list[tuple[Place, Rhythm]]:
        """Return the parts of blocks of which something is missing or too old.

        All wanted registers of a part are read together: what a block says it is, and how
        its numbers are scaled, comes with them.
        """
        now = time.monotonic()
        return [
            part
            for part, registers in plan.registers.items()
            if any(
                (seen := self.image.seen_at(row.space, row.address)) is None
                or now - seen >= INTERVALS[part[1]]
                for row in registers
                if row.key not in self.reader.refused
            )
        ]

    def _blank(self, parts: Iterable[tuple[Place, Rhythm]]) -> set[Place]:
        """Return the blocks of which the gateway has no data for now.

        Raises ``MapChangedError`` if one is another than it was.
        """
        blank: set[Place] = set()
        for place in {place for place, _ in parts if place.block is not None}:
            try:
                check_header(place, self.image)
            except BlankError:
                blank.add(place)
                self.image.forget(
                    Space.HOLDING, place.address, place.end - place.address
                )
        return blank

    def _doubt(self, report: ReadReport) -> str:
        """Return why the map may be longer or shorter than it was, empty if it is not.

        All that was known lies where it was then, or is refused. What was refused when the
        map was looked at again is just not served.
        """
        words = self.image.get(Space.HOLDING, self._last.end, 1)
        if words is not None and words[0] not in (END, NO_DATA):
            return f"the map goes on at {self._last.end}"
        refused = {
            read.address for read, err in report.failed.items() if is_refusal(err)
        }
        self._refusing = frozenset(
            place.address
            for place in self.system.places
            if any(place.address <= address < place.end for address in refused)
        )
        if new := sorted(self._refusing - self._known_to_refuse):
            return f"the blocks at {', '.join(map(str, new))} are refused"
        return ""

    def _decode(
        self, plan: _Plan, blank: set[Place]
    ) -> dict[str, dict[str, Value | None]]:
        """Return the values of all wanted rows, by device."""
        snapshot: dict[str, dict[str, Value | None]] = {}
        now = time.monotonic()
        for block in plan.blocks:
            values = snapshot.setdefault(block.device, {})
            if block.place not in blank:
                known = block.decode(self.image)
                self._kept[block.place] = now, known
                values |= known
            elif (kept := self._kept.get(block.place)) and now - kept[0] <= KEPT_FOR:
                values |= block.without_counters(kept[1])
        return snapshot

    def known_settings(self) -> Snapshot:
        """Return what is known of all settings, without asking."""
        return {
            device: dict(self._settings_of(rows)) for device, rows in self.rows.items()
        }

    def _settings_of(self, rows: PlacedRows) -> Iterator[tuple[str, Value | None]]:
        for placed in rows.values():
            if placed.row.setting is not None:
                decoder = BlockDecoder("", placed.place, (placed.row,))
                yield from decoder.decode(self.image).items()

    def forget(self) -> None:
        """Go on with the same map, after it was looked at again.

        What was read may have been read at a bad moment, and is forgotten; what was refused
        is just not served.
        """
        self.image = RegisterImage()
        self._known_to_refuse |= self._refusing

    # -- looking at registers -----------------------------------------------------------

    def planned(self, wanted: Iterable[PointId]) -> tuple[Read, ...]:
        """Return the reads that bring all that is wanted."""
        plan = self._plan(frozenset(wanted))
        return self.reader.plan(_registers(plan, plan.registers))

    def find(self, device: str, name: str) -> PlacedRow | None:
        """Return the row of a key, or of the maker's name, of a device."""
        rows = self.rows.get(device, {})
        return rows.get(name) or next(
            (placed for placed in rows.values() if placed.row.name == name), None
        )

    def may_read(self, address: int, count: int) -> bool:
        """Return whether registers lie in the gateway's map."""
        return address >= BASE and address + count <= self._end

    @property
    def _end(self) -> int:
        """First register after the block that ends the map."""
        return self.system.places[-1].end + HEADER_WORDS

    async def async_read_words(self, address: int, count: int) -> list[int]:
        """Read any registers. Raises ``ModbusError``."""
        return await async_read_words(self._unit, address, count, may_be_blank=True)

    async def async_read_register(
        self, device: str, name: str
    ) -> RegisterReading | None:
        """Read a point now, ``None`` if there is none of this key or name.

        Raises ``ModbusError``, or ``MapChangedError`` if its block is another one now.
        """
        if (placed := self.find(device, name)) is None:
            return None
        image = RegisterImage()
        for address, count in spans_of(placed):
            words = await self.async_read_words(address, count)
            image.store(Space.HOLDING, address, words, time.monotonic())
        place, row = placed.place, placed.row
        exponent: int | None = None
        with suppress(BlankError):
            check_header(place, image)
            exponent = exponent_of(place, row, image)
        register = row.at(place.address, exponent or 0)
        words = image.get(register.space, register.address, register.words) or []
        value = None if exponent is None else register.decode(words)
        return RegisterReading(
            space=register.space,
            address=register.address,
            words=tuple(words),
            values={row.key: value},
            point=register.point,
        )

    async def async_dump(self) -> tuple[RegisterImage, Mapping[str, str]]:
        """Read the whole map: the image, and why stretches of registers are missing."""
        image = RegisterImage()
        missing: dict[str, str] = {}
        for first in range(BASE, self._end, MAX_WORDS):
            count = min(MAX_WORDS, self._end - first)
            try:
                words = await self.async_read_words(first, count)
            except ModbusError as err:
                missing[f"{first}-{first + count - 1}"] = str(err)
                if not is_refusal(err):
                    break
            else:
                image.store(Space.HOLDING, first, words, time.monotonic())
        if not image.words[Space.HOLDING]:
            image.load(self.image.dump(), time.monotonic())
        return image, missing

    # -- what no register holds -------------------------------------------------------

    def _add_up(
        self, snapshot: dict[str, dict[str, Value | None]], wanted: frozenset[PointId]
    ) -> None:
        """Add the sums over all devices of a family to what the gateway tells."""
        gateway = self.system.id
        for total, members in self._totals:
            if (gateway, total.point.key) not in wanted:
                continue
            values = {
                member: number_of(snapshot.get(member, {}).get(total.of))
                for member in members
            }
            if (added := self._guard.add_up(total, values)) is not None:
                snapshot.setdefault(gateway, {})[total.point.key] = added


def _totals(
    system: System, rows: Mapping[str, PlacedRows]
) -> Iterator[tuple[Total, tuple[str, ...]]]:
    """Go through the sums that a system has, and the devices that each is of."""
    for total in TOTALS:
        members = tuple(
            equipment.id
            for equipment in system.equipment
            if equipment.family is total.family and has(rows[equipment.id], total.of)
        )
        if members:
            yield total, members


def _registers(plan: _Plan, parts: Iterable[tuple[Place, Rhythm]]) -> list[Register]:
    return [row for part in parts for row in plan.registers[part]]
