"""The vocabulary every maker's devices are described with.

A *device* has *points*. A point has a key, a quantity, a unit and perhaps a
*setting* rule that says what may be written. A poll yields a *snapshot*:
device id -> point key -> value. Nothing here knows Home Assistant.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, time
from enum import Enum, StrEnum, auto


@dataclass(frozen=True, slots=True, order=True)
class Alarm:
    """A fault or warning that a device reports now."""

    kind: str
    """``fault`` or ``warning``."""
    code: int
    subcode: int
    text: str


type Value = bool | int | float | str | datetime | time | frozenset[Alarm]
"""What a point can hold. A value the device does not give is ``None`` or missing."""

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
    FLAG = auto()
    """True or false."""
    PROBLEM = auto()
    """True when something is wrong."""
    CONNECTIVITY = auto()
    """True while the device answers."""
    ALARMS = auto()
    """The faults and warnings there are now; shown as events when they come and go."""

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
    wears out: such writes are counted and spaced.
    """

    minimum: float | None = None
    maximum: float | None = None
    step: float | None = None
    persistent: bool = True


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
    setting: Setting | None = None
    diagnostic: bool = False
    """Of interest when looking for a fault rather than every day."""

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


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    """An identity and the points it has."""

    identity: DeviceIdentity
    points: tuple[Point, ...]
