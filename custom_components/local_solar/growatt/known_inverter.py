"""What an inverter is, and what its words mean: its devices, and values from an image.

Words get into the image by polls (``inverter.py``) or by the records of a datalogger.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import repeat
from typing import Final

from ..modbus.decoder import (
    Decoder,
    Limits,
    RareRecordDecoder,
    RecordDecoder,
    decode_known,
)
from ..modbus.image import RegisterImage, Space
from ..modbus.register import Register
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
    Setting,
    Snapshot,
    Value,
    Visibility,
)
from .alarms import AlarmKind, AlarmTable
from .battery import VoltageScale, battery_model
from .derived import Derivation, derivations
from .equipment import Equipment
from .identify import HYBRIDS_AT_3000, Identification
from .models import Certainty
from .plausibility import impossible, limits_of
from .profiles.catalogue import profile_of
from .profiles.profile import Part, Profile
from .profiles.protocol_3 import FORBIDDEN

MANUFACTURER: Final = "Growatt"

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

PV_TOTAL: Final = "pv_energy_total"
"""Stays 0 on some TL-XH firmware; the totals of the strings then add up to it."""

_PV_TOTAL_ROWS: Final = (PV_TOTAL, "energy_total")
"""An output without a yield shows that the firmware does not count the yield."""

_VOLTAGE_TOLD_BY: Final = (
    *("battery_voltage", "battery_current"),
    *("battery_discharge_power", "battery_charge_power"),
)
"""Values of a battery that show in which scale its voltage is told."""

_NUMBER: Final = (int, float)

_STATUS: Final = "status"
"""Tells of some families that there is a fault."""

_MISSING: Final = object()
"""Stands for a value that is not there; ``None`` is one."""

type RowsByDevice = Mapping[str, tuple[Register, ...]]

type Blocks = Sequence[tuple[int, Sequence[int]]]
"""First addresses, each with the words from there on."""

type _Shape = tuple[Space, tuple[tuple[int, int], ...]]
"""Of which registers records are: first addresses, each with a number of words."""

type _Record = Mapping[str, RecordDecoder | RareRecordDecoder]
"""What decodes records of one shape, by device."""

type _Pending = tuple[Blocks, float]
"""Words that were reported, and when."""


def told_by(alarms: AlarmTable) -> Mapping[str, tuple[str, ...]]:
    """Return the rows that must be read to tell whether something is wrong, and what."""
    return {PROBLEM.key: alarms.fault_rows, ALARMS.key: alarms.rows}


@dataclass(slots=True, kw_only=True)
class Poll:
    """What one poll, or one record, brought.

    ``asleep`` says why there is nothing: no answer, or nothing but zeros.
    ``failed`` maps keys to the reason they were not read for, now or before.
    """

    snapshot: dict[str, dict[str, Value | None]] = field(default_factory=dict)
    asleep: str | None = None
    failed: Mapping[str, str] = field(default_factory=dict)
    unread: frozenset[PointId] = frozenset()
    """Counters in the snapshot that are of an earlier poll: not due this time."""


class KnownInverter:
    """One inverter, and the words that are known of it."""

    def __init__(
        self, identified: Identification, *, work_mode: Part | None = None
    ) -> None:
        """Know the inverter ``identified``.

        ``work_mode`` is which of its two meanings the work mode has, if that is known.
        """
        self.identified = identified
        self._equipment = Equipment(identified=identified, work_mode=work_mode)
        self.profile: Profile = profile_of(identified.profile, vpp=identified.vpp)
        self._told_by = told_by(self.profile.alarms)
        self._image = RegisterImage()
        self._voltage_scale = VoltageScale(identified.battery_code)
        self._rows = self._present_rows()
        alarms = self.profile.alarms
        self._fault_rows = self._registered(alarms.fault_rows)
        self._alarm_rows = self._registered(alarms.rows)
        self._alarm_keys = (
            *{*self._fault_rows, *self._alarm_rows, *self._registered((_STATUS,))},
        )
        """What alarms are told by."""
        self._told_alarms: tuple[object, ...] | None = None
        self._alarms: Mapping[str, Value | None] = {}
        self._derived = self._make_derivations()
        self._wanted: dict[frozenset[PointId], RowsByDevice] = {}
        self._decoders: dict[tuple[Register, ...], Decoder] = {}
        self._records: dict[_Shape, _Record] = {}
        self._pending: dict[_Shape, _Pending] = {}
        self._sums_strings = False
        self.devices: tuple[Device, ...] = tuple(self._make_devices())
        self._shown = {
            point.key
            for device in self.devices
            for point in device.points
            if point.visibility is Visibility.SHOWN
        }
        self._limits: Mapping[str, Limits] = {
            device.identity.id: limits_of(device.points, identified.rated_power)
            for device in self.devices
        }

    @property
    def image(self) -> RegisterImage:
        """The last words seen of it."""
        self._store_pending()
        return self._image

    def _store_pending(self) -> None:
        """Put reported words in their places, but for those that were seen later."""
        for (space, _), (blocks, at) in self._pending.items():
            for first, words in blocks:
                self._image.store(space, first, words, at)
        self._pending.clear()

    def _keep(self, shape: _Shape, blocks: Blocks, at: float) -> None:
        """Keep reported words; hardly anybody looks at them, so where they are is enough."""
        self._pending.pop(shape, None)
        if len(self._pending) >= SETS_KEPT:
            self._store_pending()
        self._pending[shape] = blocks, at

    def forget_words(self) -> None:
        """Know no words any more: everything is due."""
        self._pending.clear()
        self._image = RegisterImage()

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

    def may_touch(self, address: int, count: int) -> bool:
        """Return whether registers may be read at all: off-grid models reset on some.

        A model that no type code names might be one.
        """
        ranges = self.profile.forbidden
        if self.identified.certainty is not Certainty.CODED:
            ranges = (*ranges, *FORBIDDEN)
        last = address + count - 1
        return not any(address <= high and last >= low for low, high in ranges)

    # -- what is wanted -----------------------------------------------------------

    def wanted_rows(self, wanted: Iterable[PointId]) -> list[Register]:
        """Return the rows that are read for the sake of ``wanted`` points."""
        return [
            row for rows in self._rows_of(frozenset(wanted)).values() for row in rows
        ]

    def _rows_of(self, wanted: frozenset[PointId]) -> RowsByDevice:
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
        self._records.clear()

    # -- what words mean ----------------------------------------------------------

    def _snapshot(
        self, image: RegisterImage, rows: RowsByDevice
    ) -> dict[str, dict[str, Value | None]]:
        """Return the values of rows, and what follows from them."""
        return self._completed(
            {
                device: self._decoder(device_rows).decode(image)
                for device, device_rows in rows.items()
            }
        )

    def _completed(
        self, snapshot: dict[str, dict[str, Value | None]]
    ) -> dict[str, dict[str, Value | None]]:
        """Add what follows from the values of rows."""
        own = snapshot.setdefault(self.id, {})
        self._sum_strings(own)
        for device, values in snapshot.items():
            for derivation in self._derived[device].values():
                derivation.add_to(values)
        self._add_alarms(own)
        return snapshot

    def _add_alarms(self, own: dict[str, Value | None]) -> None:
        """Add what is wrong. That hardly ever changes, so the last is remembered."""
        told = (
            *map(own.get, self._alarm_keys, repeat(_MISSING)),
            # What is missing may be refused, by now or no longer.
            len(self._lacking),
        )
        if told != self._told_alarms:
            self._told_alarms, self._alarms = told, self._alarms_in(own)
        own.update(self._alarms)

    def _alarms_in(self, own: Mapping[str, Value | None]) -> dict[str, Value | None]:
        """Return what is wrong, as far as the rows are known that tell it."""
        alarms, found = self.profile.alarms, dict[str, Value | None]()
        knows_faults = self._knows(self._fault_rows, own)
        if self._knows(self._alarm_rows, own):
            reported = found[ALARMS.key] = alarms.alarms(own)
            if knows_faults:
                found[PROBLEM.key] = any(
                    alarm.kind == AlarmKind.FAULT for alarm in reported
                )
        elif knows_faults:
            found[PROBLEM.key] = alarms.has_fault(own)
        return found

    @property
    def _lacking(self) -> Collection[str]:
        """Keys of rows that this inverter does not serve."""
        return ()

    def _registered(self, keys: Iterable[str]) -> tuple[str, ...]:
        """Return those of some keys that this inverter has rows of."""
        return tuple(key for key in keys if self.register(key))

    def _knows(self, keys: Collection[str], own: Mapping[str, Value | None]) -> bool:
        """Return whether all rows of these keys were read, but for those that are refused."""
        missing = [key for key in keys if key not in own]
        if not missing:
            return bool(keys)
        lacking = self._lacking
        return len(missing) < len(keys) and all(key in lacking for key in missing)

    def values_at(self, rows: Iterable[Register]) -> Snapshot:
        """Return what is known of all points in the words of ``rows``, without asking."""
        words = {(row.space, at) for row in rows for at in range(row.address, row.end)}
        return {
            device: decode_known(
                (
                    row
                    for row in known.values()
                    if any(
                        (row.space, at) in words for at in range(row.address, row.end)
                    )
                ),
                self.image,
            )
            for device, known in self._rows.items()
        }

    def values_in(
        self, space: Space, address: int, words: Sequence[int]
    ) -> Mapping[str, Value | None]:
        """Return the points that lie in words as a whole, with their values."""
        image = RegisterImage()
        image.store(space, address, words, 0.0)
        return decode_known((row for row in self.rows if row.space is space), image)

    def _counters_unread_since(
        self, started: float, rows: RowsByDevice
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
        rows = [row for key in _VOLTAGE_TOLD_BY if (row := battery.get(key))]
        return self._voltage_contradicted(decode_known(rows, self.image))

    def _voltage_contradicted(self, values: Mapping[str, Value | None]) -> bool:
        """Check the scale by the battery's values; return whether it was corrected."""
        if not self._has_voltage_scale:
            return False
        voltage, current, power, charging = map(values.get, _VOLTAGE_TOLD_BY)
        if not (
            isinstance(voltage, _NUMBER)
            and isinstance(current, _NUMBER)
            and isinstance(power, _NUMBER)
            and isinstance(charging, _NUMBER)
        ):
            return False
        raw = round(voltage / self._voltage_scale.scale)
        if not self._voltage_scale.check(raw, current, power - charging):
            return False
        self._rows = self._present_rows()
        self._forget_sets()
        return True

    # -- what is reported ---------------------------------------------------------

    def take_in(
        self, space: Space, blocks: Blocks, at: float, *, keep: bool = True
    ) -> Poll:
        """Take in words that were reported at monotonic time ``at``; return what they say.

        Unless they are to be kept they are of an earlier time, and only looked at.

        A value that cannot be true is left out. If several of those that are shown cannot,
        the words are garbage and not taken in: ``failed`` tells why there is no snapshot.
        """
        words: tuple[int, ...] = ()
        for _, found in blocks:
            words += tuple(found)
        if not any(words):
            return Poll(asleep="it reports nothing but zeros")
        shape = space, tuple([(first, len(found)) for first, found in blocks])
        snapshot, wrong = self._decoded(self._record(shape), words)
        if wrong and len(wrong.keys() & self._shown) > 1:
            return Poll(failed=wrong)
        if not keep:
            return Poll(snapshot=_without(snapshot, wrong), failed=wrong)
        self._keep(shape, blocks, at)
        if self._voltage_contradicted(snapshot.get(self.battery_id, {})):
            snapshot, wrong = self._decoded(self._record(shape), words)
        return Poll(snapshot=_without(snapshot, wrong), failed=wrong)

    def _decoded(
        self, record: _Record, words: Sequence[int]
    ) -> tuple[dict[str, dict[str, Value | None]], dict[str, str]]:
        """Return the values in words, and those that cannot be with what they claim."""
        snapshot: dict[str, dict[str, Value | None]] = {}
        is_beyond_doubt = True
        for device, decoder in record.items():
            snapshot[device], can_be = decoder.decode(words)
            is_beyond_doubt &= can_be
        self._completed(snapshot)
        wrong: dict[str, str] = {}
        if not is_beyond_doubt:
            for device, values in snapshot.items():
                wrong |= impossible(values, self._limits.get(device, {}))
        return snapshot, wrong

    def _record(self, shape: _Shape) -> _Record:
        """Return what is known of records of a shape."""
        if (record := self._records.get(shape)) is not None:
            return record
        space, places = shape
        # A logger has a few shapes. One that comes with ever new ones must not cost more.
        is_usual = len(self._records) < SETS_KEPT
        make = RecordDecoder if is_usual else RareRecordDecoder
        addresses = [
            address
            for first, count in places
            for address in range(first, first + count)
        ]
        record = {
            device: make(
                (row for row in known.values() if row.space is space),
                addresses,
                self._limits.get(device, {}),
            )
            for device, known in self._rows.items()
            if known
        }
        if is_usual:
            self._records[shape] = record
        return record


def _without(
    snapshot: dict[str, dict[str, Value | None]], wrong: Collection[str]
) -> dict[str, dict[str, Value | None]]:
    """Return a snapshot without what cannot be true."""
    for key in wrong:
        for values in snapshot.values():
            values.pop(key, None)
    return snapshot
