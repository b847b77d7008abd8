"""The vocabulary every maker's devices are described with.

A *device* has *points*. A point has a key, a quantity, a unit and perhaps a
*setting* rule that says what may be written. A poll yields a *snapshot*:
device id -> point key -> value. Nothing here knows Home Assistant.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from enum import Enum, StrEnum, auto
from typing import Final


@dataclass(frozen=True, slots=True, order=True)
class Alarm:
    """A fault or warning that a device reports now."""

    kind: str
    """``fault`` or ``warning``."""
    code: int
    subcode: int
    text: str


type SlotPart = time | str | bool | int
"""What a part of a time slot can hold."""

SLOT_PARTS: Final = ("start", "end", "mode", "days", "power", "enabled")
"""Parts that a time slot can have, in the order in which people read them."""

_USUAL_PARTS: Final = ("start", "end", "mode", "enabled")


class _HasSlotParts:
    """What slots and changes of slots have in common: parts, of which some may be missing."""

    __slots__ = ()

    @property
    def parts(self) -> dict[str, SlotPart]:
        """The parts that there are, by name."""
        values: dict[str, SlotPart | None] = {
            part: getattr(self, part) for part in SLOT_PARTS
        }
        return {part: value for part, value in values.items() if value is not None}


@dataclass(frozen=True, slots=True, kw_only=True)
class TimeSlot(_HasSlotParts):
    """A part of the day and what the device does in it. ``None``: its slots have no such part."""

    start: time
    end: time
    mode: str
    """What happens in it: one of the options of its point."""
    enabled: bool | None = None
    power: int | None = None
    """Power of the battery in per cent, positive = charging."""
    days: str | None = None
    """The kind of days on which it counts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TimeSlotChange(_HasSlotParts):
    """What is to become of a time slot. ``None`` leaves a part of it as it is."""

    start: time | None = None
    end: time | None = None
    mode: str | None = None
    enabled: bool | None = None
    power: int | None = None
    days: str | None = None

    def then(self, later: TimeSlotChange) -> TimeSlotChange:
        """Return this change and a later one as one."""
        return TimeSlotChange(
            start=self.start if later.start is None else later.start,
            end=self.end if later.end is None else later.end,
            mode=self.mode if later.mode is None else later.mode,
            enabled=self.enabled if later.enabled is None else later.enabled,
            power=self.power if later.power is None else later.power,
            days=self.days if later.days is None else later.days,
        )

    def applied_to(
        self, slot: TimeSlot | None, needed: Collection[str] = _USUAL_PARTS
    ) -> TimeSlot | None:
        """Return the slot after the change, ``None`` if it cannot be told from ``slot``.

        Where there is no slot yet, a change makes one that has all ``needed`` parts.
        """
        base = slot
        if base is None:
            if not self.parts.keys() >= set(needed):
                return None
            if self.start is None or self.end is None or self.mode is None:
                return None
            base = TimeSlot(start=self.start, end=self.end, mode=self.mode)
        return TimeSlot(
            start=base.start if self.start is None else self.start,
            end=base.end if self.end is None else self.end,
            mode=base.mode if self.mode is None else self.mode,
            enabled=base.enabled if self.enabled is None else self.enabled,
            power=base.power if self.power is None else self.power,
            days=base.days if self.days is None else self.days,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class PowerCommand:
    """What a battery is told to do for some time, whatever sun and house do.

    ``power`` is in per cent of the rated power: more than 0 charges, less discharges.
    ``minutes`` of 0 stand for no end; nothing here tells a device so.
    """

    power: int
    minutes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Release:
    """The end of a ``PowerCommand``: the device is to do again what its settings say.

    ``before`` are the words of the command that it held when this one was given.
    """

    command: PowerCommand
    before: tuple[int, ...]
    authority: bool
    """Whether control was taken for the command, so that it has to be given back."""
    in_doubt: bool = False
    """Whether the command was never seen in force as it was given: some of it may have got
    lost, or the device has limits of its own. What it holds is then taken for ours."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Occurrence:
    """Something that happened on a device.

    ``number`` counts, so that the same thing twice is not the same value.
    """

    kind: str
    number: int
    details: tuple[tuple[str, str | int | None], ...] = ()


type Value = (
    bool
    | int
    | float
    | str
    | datetime
    | time
    | TimeSlot
    | PowerCommand
    | frozenset[Alarm]
    | Occurrence
)
"""What a point can hold. A value the device does not give is ``None`` or missing."""

type Wanted = Value | TimeSlotChange | Release
"""What a point shall hold."""

type Values = Mapping[str, Value | None]
"""Point key -> value of one device. ``None``: the device answered "not available".
A missing key: not read, or its read failed."""

type Snapshot = Mapping[str, Values]
"""Device id -> its values."""

type PointId = tuple[str, str]
"""Device id and point key: names one point of one config entry."""


class Quantity(StrEnum):
    """What a point measures. It alone decides how a platform shows the point."""

    POWER = auto()
    APPARENT_POWER = auto()
    REACTIVE_POWER = auto()
    ENERGY_TOTAL = auto()
    """Lifetime counter: grows for the life of the device."""
    ENERGY_TODAY = auto()
    """Counter that the device sets to 0 once a day."""
    REACTIVE_ENERGY = auto()
    VOLTAGE = auto()
    CURRENT = auto()
    FREQUENCY = auto()
    TEMPERATURE = auto()
    STATE_OF_CHARGE = auto()
    PERCENT = auto()
    POWER_FACTOR = auto()
    RESISTANCE = auto()
    CAPACITY = auto()
    DURATION = auto()
    COUNT = auto()
    RATE = auto()
    """How often something happens."""
    STATE = auto()
    """One of the point's options."""
    FAULT = auto()
    """One of the point's options, where ``none`` is healthy."""
    CODE = auto()
    """A number without a unit that only a manual explains."""
    TEXT = auto()
    CLOCK = auto()
    """Date and time of the device, in its own local time."""
    TIME_OF_DAY = auto()
    TIME_SLOT = auto()
    """A part of the day and what happens in it."""
    POWER_COMMAND = auto()
    """What a battery is told to do for some time."""
    MOMENT = auto()
    """A point in time, with its time zone."""
    FLAG = auto()
    """True or false."""
    PROBLEM = auto()
    """True when something is wrong."""
    CONNECTIVITY = auto()
    """True while the device answers."""
    RUNNING = auto()
    """True while something goes on that was started."""
    ALARMS = auto()
    """The faults and warnings there are now; shown as events when they come and go."""
    OCCURRENCES = auto()
    """What happens on a device now and then, shown as events: each is one of the options."""
    COMMAND = auto()
    """Something the device can be told to do. It has no value."""

    @property
    def is_counter(self) -> bool:
        """Whether values only ever grow, apart from the reset of a new day."""
        return self in _COUNTERS


_COUNTERS = frozenset({Quantity.ENERGY_TOTAL, Quantity.ENERGY_TODAY})


class Visibility(Enum):
    """How far a point reaches into Home Assistant."""

    SHOWN = auto()
    """An entity, enabled."""
    OFFERED = auto()
    """An entity, disabled until the owner enables it."""
    RAW = auto()
    """No entity; still in dumps and diagnostics."""


class Rhythm(StrEnum):
    """How often a point is worth reading."""

    LIVE = auto()
    """Power, voltage, state."""
    ENERGY = auto()
    """Counters."""
    SETTINGS = auto()
    """What the owner set; seldom changes."""
    IDENTITY = auto()
    """Serial number, model, firmware: read once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """What may be written to a point, in engineering units.

    ``persistent`` marks a register kept in the device's flash or EEPROM, which
    wears out: such writes are counted and spaced. ``persistent_while`` is the key of
    a flag that makes it so while it is on.
    """

    minimum: float | None = None
    maximum: float | None = None
    step: float | None = None
    persistent: bool = True
    persistent_while: str = ""
    spacing: timedelta | None = None
    """Time between two writes of a persistent register, where it needs more than usual."""
    everyday: bool = False
    """Whether its control is enabled as soon as writing is allowed."""
    installer: bool = False
    """Whether it is for who installed the device: refused unless the owner allows these."""
    reads_back: bool = True
    """Whether the register shows what was written; commands may not."""
    found: tuple[float, float] | None = None
    """What may be found there, where that is more than what may be set. A value beyond
    shows that this firmware uses the register for something else."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """One thing a device tells, whatever maker it has.

    ``key`` is stable for ever: unique ids are built from it. ``name`` is the
    English name; ``{n}`` in it stands for ``index`` (string 1, module 3).
    """

    key: str
    name: str
    quantity: Quantity
    unit: str | None = None
    visibility: Visibility = Visibility.RAW
    rhythm: Rhythm = Rhythm.LIVE
    index: int | None = None
    options: tuple[str, ...] = ()
    """The states it can have; of a time slot, the modes."""
    setting: Setting | None = None
    diagnostic: bool = False
    """Of interest when looking for a fault rather than every day."""
    decimals: int | None = None
    """Digits after the point that the device tells, where that is not what is usual."""

    @property
    def translation_key(self) -> str:
        """Name of this point's texts: the key, with ``n`` for the index."""
        if self.index is None:
            return self.key
        return self.key.replace(str(self.index), "_n", 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceIdentity:
    """Who a device is. ``id`` is unique and never comes from an address."""

    id: str
    kind: str
    """Translation key of the device's name (``inverter``, ``battery``)."""
    manufacturer: str
    model: str
    serial_number: str | None = None
    firmware: str | None = None
    hardware: str | None = None
    via: str | None = None
    """Id of the device this one is reached through."""
    port: int | None = None
    """Place on that device, where it tells devices of one kind apart."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    """An identity and the points it has."""

    identity: DeviceIdentity
    points: tuple[Point, ...]


# -- points that every family has -----------------------------------------------------

CONNECTED: Final = Point(
    key="connected",
    name="Connection",
    quantity=Quantity.CONNECTIVITY,
    visibility=Visibility.SHOWN,
    diagnostic=True,
)
"""Whether the device answers; every device that is asked has it."""


PROBLEM: Final = Point(
    key="problem",
    name="Problem",
    quantity=Quantity.PROBLEM,
    visibility=Visibility.SHOWN,
)
"""Whether the device reports a fault."""

ALARMS: Final = Point(
    key="alarms",
    name="Alarms",
    quantity=Quantity.ALARMS,
    visibility=Visibility.SHOWN,
)
"""The faults and warnings that the device reports."""

COMMANDED_UNTIL: Final = Point(
    key="commanded_until",
    name="Commanded until",
    quantity=Quantity.MOMENT,
    visibility=Visibility.SHOWN,
)
"""When the command ends that a battery carries out; on every battery that takes one."""


# -- keys that actions know by name; the same thing has the same key in every family --

BATTERY_COMMAND: Final = "battery_command"
"""What a battery is told to do for some time: a ``PowerCommand``, or ``False`` for nothing."""

AC_CHARGE: Final = "ac_charge_enable"
"""The setting that lets the battery charge from the grid."""

IN_FLASH: Final = "in_flash"
"""Warning about a setting that is kept in memory that wears out."""

SLOT_WITHOUT_GRID_CHARGE: Final = "slot_without_grid_charge"
"""Doubt about a slot that charges the battery while the grid may not."""
