"""How Home Assistant shows each quantity: the one place where that is decided."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from homeassistant.components.binary_sensor import BinarySensorDeviceClass
from homeassistant.components.sensor import SensorDeviceClass, SensorStateClass
from homeassistant.const import EntityCategory, Platform

from .points import Point, Quantity


@dataclass(frozen=True, slots=True, kw_only=True)
class Presentation:
    """Classes and precision of a quantity's entities.

    A quantity without a device class of its own gets its icon from ``icons.json``.
    """

    platform: Platform = Platform.SENSOR
    device_class: SensorDeviceClass | None = None
    binary_class: BinarySensorDeviceClass | None = None
    state_class: SensorStateClass | None = None
    precision: int | None = None
    diagnostic: bool = False


_MEASUREMENT: Final = SensorStateClass.MEASUREMENT
_COUNTER: Final = SensorStateClass.TOTAL_INCREASING

PRESENTATIONS: Final[Mapping[Quantity, Presentation]] = {
    Quantity.POWER: Presentation(
        device_class=SensorDeviceClass.POWER, state_class=_MEASUREMENT, precision=0
    ),
    Quantity.APPARENT_POWER: Presentation(
        device_class=SensorDeviceClass.APPARENT_POWER,
        state_class=_MEASUREMENT,
        precision=0,
    ),
    Quantity.REACTIVE_POWER: Presentation(
        device_class=SensorDeviceClass.REACTIVE_POWER,
        state_class=_MEASUREMENT,
        precision=0,
    ),
    Quantity.ENERGY_TOTAL: Presentation(
        device_class=SensorDeviceClass.ENERGY, state_class=_COUNTER, precision=1
    ),
    Quantity.ENERGY_TODAY: Presentation(
        device_class=SensorDeviceClass.ENERGY, state_class=_COUNTER, precision=1
    ),
    Quantity.REACTIVE_ENERGY: Presentation(
        device_class=SensorDeviceClass.REACTIVE_ENERGY,
        state_class=_COUNTER,
        precision=1,
    ),
    Quantity.VOLTAGE: Presentation(
        device_class=SensorDeviceClass.VOLTAGE, state_class=_MEASUREMENT, precision=1
    ),
    Quantity.CURRENT: Presentation(
        device_class=SensorDeviceClass.CURRENT, state_class=_MEASUREMENT, precision=1
    ),
    Quantity.FREQUENCY: Presentation(
        device_class=SensorDeviceClass.FREQUENCY, state_class=_MEASUREMENT, precision=2
    ),
    Quantity.TEMPERATURE: Presentation(
        device_class=SensorDeviceClass.TEMPERATURE,
        state_class=_MEASUREMENT,
        precision=1,
        diagnostic=True,
    ),
    Quantity.STATE_OF_CHARGE: Presentation(
        device_class=SensorDeviceClass.BATTERY, state_class=_MEASUREMENT, precision=0
    ),
    Quantity.PERCENT: Presentation(state_class=_MEASUREMENT, precision=0),
    Quantity.POWER_FACTOR: Presentation(
        device_class=SensorDeviceClass.POWER_FACTOR,
        state_class=_MEASUREMENT,
        precision=2,
    ),
    Quantity.RESISTANCE: Presentation(
        state_class=_MEASUREMENT, precision=0, diagnostic=True
    ),
    Quantity.CAPACITY: Presentation(state_class=_MEASUREMENT, precision=1),
    Quantity.DURATION: Presentation(
        device_class=SensorDeviceClass.DURATION, diagnostic=True
    ),
    Quantity.COUNT: Presentation(state_class=_MEASUREMENT, diagnostic=True),
    Quantity.RATE: Presentation(state_class=_MEASUREMENT, precision=1, diagnostic=True),
    Quantity.STATE: Presentation(device_class=SensorDeviceClass.ENUM),
    Quantity.FAULT: Presentation(device_class=SensorDeviceClass.ENUM, diagnostic=True),
    Quantity.CODE: Presentation(diagnostic=True),
    Quantity.TEXT: Presentation(diagnostic=True),
    Quantity.CLOCK: Presentation(
        device_class=SensorDeviceClass.TIMESTAMP, diagnostic=True
    ),
    Quantity.TIME_OF_DAY: Presentation(),
    Quantity.TIME_SLOT: Presentation(),
    Quantity.POWER_COMMAND: Presentation(),
    Quantity.MOMENT: Presentation(device_class=SensorDeviceClass.TIMESTAMP),
    Quantity.FLAG: Presentation(platform=Platform.BINARY_SENSOR),
    Quantity.PROBLEM: Presentation(
        platform=Platform.BINARY_SENSOR,
        binary_class=BinarySensorDeviceClass.PROBLEM,
        diagnostic=True,
    ),
    Quantity.CONNECTIVITY: Presentation(
        platform=Platform.BINARY_SENSOR,
        binary_class=BinarySensorDeviceClass.CONNECTIVITY,
        diagnostic=True,
    ),
    Quantity.RUNNING: Presentation(
        platform=Platform.BINARY_SENSOR,
        binary_class=BinarySensorDeviceClass.RUNNING,
        diagnostic=True,
    ),
    Quantity.ALARMS: Presentation(platform=Platform.EVENT),
    Quantity.OCCURRENCES: Presentation(platform=Platform.EVENT),
    Quantity.COMMAND: Presentation(platform=Platform.BUTTON),
}

_CONTROLS: Final[Mapping[Quantity, Platform]] = {
    Quantity.FLAG: Platform.SWITCH,
    Quantity.STATE: Platform.SELECT,
    Quantity.TIME_OF_DAY: Platform.TIME,
    Quantity.COMMAND: Platform.BUTTON,
}
"""How a setting is changed; all other quantities are numbers."""


def presentation(point: Point) -> Presentation:
    """Return how a point is shown."""
    return PRESENTATIONS[point.quantity]


def platform(point: Point, *, may_write: bool) -> Platform | None:
    """Return the platform of a point's entity: a control if it may be changed.

    ``None`` if there is nothing to show, such as a command that must not be given.
    """
    if may_write and point.setting is not None:
        return _CONTROLS.get(point.quantity, Platform.NUMBER)
    if point.quantity is Quantity.COMMAND:
        return None
    return presentation(point).platform


def precision(point: Point) -> int | None:
    """Return the decimals to show; kilowatts need one where watts need none."""
    decimals = presentation(point).precision
    if decimals is not None and point.decimals is not None:
        return point.decimals
    if decimals == 0 and (point.unit or "").startswith("kW"):
        return 1
    return decimals


def entity_category(point: Point, *, may_write: bool) -> EntityCategory | None:
    """Return the category of a point's entity.

    Controls are configuration: switching a whole area off must not switch inverters off.
    """
    if may_write and point.setting is not None:
        return EntityCategory.CONFIG
    if point.diagnostic or presentation(point).diagnostic:
        return EntityCategory.DIAGNOSTIC
    return None
