"""The points of a DTU, its microinverters and its meter.

Scales are those of the messages, checked with samples of the field: voltages 0.1 V,
currents 0.01 A, powers 0.1 W, energies 1 Wh; a meter counts in 10 W and 10 Wh.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import timedelta
from math import ceil
from typing import Final

from ..points import ALARMS, PROBLEM, Point, Quantity, Rhythm, Setting, Visibility
from .alarms import SLUGS

_SHOWN: Final = Visibility.SHOWN
_OFFERED: Final = Visibility.OFFERED


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A point, and the field of the record that it comes from."""

    point: Point
    field: str
    per_unit: int = 1
    """Steps of the raw integer in one unit."""
    times: int = 1
    """Units in one step, where that is more."""
    never_zero: bool = False
    """Whether a 0 can only mean that it was not sent."""

    def value(self, raw: int) -> int | float:
        """Return the value in the point's unit."""
        return raw * self.times if self.per_unit == 1 else raw / self.per_unit

    def reads(self, raw: int) -> bool:
        """Return whether a raw integer is a value of the point.

        A counter that is 0 may be one that was not sent, and would look like a reset.
        """
        if self.point.quantity.is_counter:
            return raw > 0
        return raw != 0 or not self.never_zero


# -- quantities as they occur -----------------------------------------------------------


def power_point(key: str, name: str, visibility: Visibility = _OFFERED) -> Point:
    """Return a point that holds a power in W."""
    return Point(
        key=key, name=name, quantity=Quantity.POWER, unit="W", visibility=visibility
    )


def power(
    key: str,
    name: str,
    field: str,
    visibility: Visibility = _OFFERED,
    *,
    per_unit: int = 10,
    times: int = 1,
) -> Row:
    """Return the row of a power, in steps of 0.1 W unless told otherwise."""
    point = power_point(key, name, visibility)
    return Row(point=point, field=field, per_unit=per_unit, times=times)


def energy(
    key: str,
    name: str,
    field: str,
    visibility: Visibility = _OFFERED,
    *,
    per_unit: int = 1000,
) -> Row:
    """Return the row of a counter in kWh, in steps of 1 Wh unless told otherwise."""
    quantity = (
        Quantity.ENERGY_TODAY if key.endswith("_today") else Quantity.ENERGY_TOTAL
    )
    point = Point(
        key=key,
        name=name,
        quantity=quantity,
        unit="kWh",
        visibility=visibility,
        rhythm=Rhythm.ENERGY,
    )
    return Row(point=point, field=field, per_unit=per_unit)


def voltage(
    key: str,
    name: str,
    field: str,
    visibility: Visibility = _OFFERED,
    *,
    per_unit: int = 10,
    never_zero: bool = False,
) -> Row:
    """Return the row of a voltage, in steps of 0.1 V unless told otherwise."""
    point = Point(
        key=key, name=name, quantity=Quantity.VOLTAGE, unit="V", visibility=visibility
    )
    return Row(point=point, field=field, per_unit=per_unit, never_zero=never_zero)


def current(
    key: str, name: str, field: str, *, unit: str = "A", per_unit: int = 100
) -> Row:
    """Return the row of a current, in steps of 0.01 A unless told otherwise."""
    point = Point(
        key=key, name=name, quantity=Quantity.CURRENT, unit=unit, visibility=_OFFERED
    )
    return Row(point=point, field=field, per_unit=per_unit)


def temperature(
    key: str,
    name: str,
    field: str,
    visibility: Visibility = _OFFERED,
    *,
    never_zero: bool = False,
) -> Row:
    """Return the row of a temperature, in steps of 0.1 °C."""
    point = Point(
        key=key,
        name=name,
        quantity=Quantity.TEMPERATURE,
        unit="°C",
        visibility=visibility,
    )
    return Row(point=point, field=field, per_unit=10, never_zero=never_zero)


def frequency(*, never_zero: bool = False) -> Row:
    """Return the row of the grid's frequency, in steps of 0.01 Hz."""
    point = Point(
        key="grid_frequency",
        name="Grid frequency",
        quantity=Quantity.FREQUENCY,
        unit="Hz",
        visibility=_OFFERED,
    )
    return Row(point=point, field="frequency", per_unit=100, never_zero=never_zero)


def reactive_power(key: str, name: str, *, per_unit: int = 10) -> Row:
    """Return the row of a reactive power, in steps of 0.1 var unless told otherwise."""
    point = Point(
        key=key,
        name=name,
        quantity=Quantity.REACTIVE_POWER,
        unit="var",
        visibility=_OFFERED,
    )
    return Row(point=point, field="reactive_power", per_unit=per_unit)


def code(key: str, name: str, field: str) -> Row:
    """Return the row of a number that only a manual explains."""
    point = Point(key=key, name=name, quantity=Quantity.CODE, visibility=_OFFERED)
    return Row(point=point, field=field)


def _power_factor(key: str, name: str, field: str) -> Row:
    point = Point(
        key=key, name=name, quantity=Quantity.POWER_FACTOR, visibility=_OFFERED
    )
    return Row(point=point, field=field, per_unit=1000)


def numbered(rows: Iterable[Row], number: int) -> Iterator[Row]:
    """Go through rows with the number of what they are of, counted from 1."""
    for row in rows:
        key = row.point.key.format(n=number)
        yield replace(row, point=replace(row.point, key=key, index=number))


# -- sums that are made here ------------------------------------------------------------

AC_POWER: Final = power_point("ac_power", "Output power", _SHOWN)
ENERGY_TODAY: Final = energy("energy_today", "Output energy today", "", _SHOWN).point
ENERGY_TOTAL: Final = energy("energy_total", "Output energy total", "", _SHOWN).point
PV_POWER: Final = power_point("pv_power", "PV power")

# -- inverters --------------------------------------------------------------------------

_ANY_INVERTER: Final = (
    Row(point=AC_POWER, field="active_power", per_unit=10),
    reactive_power("reactive_power", "Reactive power"),
    _power_factor("power_factor", "Power factor", "power_factor"),
    frequency(),
    temperature("inverter_temperature", "Inverter temperature", "temperature", _SHOWN),
    Row(
        point=Point(
            key="event_count",
            name="Event count",
            quantity=Quantity.COUNT,
            visibility=_OFFERED,
        ),
        field="warning_count",
    ),
)

SINGLE_PHASE: Final = (
    *_ANY_INVERTER,
    voltage("grid_l1_voltage", "Grid L1 voltage", "voltage", _SHOWN),
    current("grid_l1_current", "Grid L1 current", "current"),
)

THREE_PHASE: Final = (
    *_ANY_INVERTER,
    voltage("grid_l1_voltage", "Grid L1 voltage", "voltage_a", _SHOWN),
    voltage("grid_l2_voltage", "Grid L2 voltage", "voltage_b", _SHOWN),
    voltage("grid_l3_voltage", "Grid L3 voltage", "voltage_c", _SHOWN),
    voltage("grid_l1_l2_voltage", "Grid L1-L2 voltage", "voltage_ab"),
    voltage("grid_l2_l3_voltage", "Grid L2-L3 voltage", "voltage_bc"),
    voltage("grid_l3_l1_voltage", "Grid L3-L1 voltage", "voltage_ca"),
    current("grid_l1_current", "Grid L1 current", "current_a"),
    current("grid_l2_current", "Grid L2 current", "current_b"),
    current("grid_l3_current", "Grid L3 current", "current_c"),
)

ACTIVE_LIMIT: Final = Point(
    key="active_power_limit",
    name="Active power limit",
    quantity=Quantity.PERCENT,
    unit="%",
    visibility=_SHOWN,
    rhythm=Rhythm.SETTINGS,
)
"""The limit that is in force, stored or temporary. Not a setting: two others are."""

GRID_PROFILE: Final = Point(
    key="grid_profile",
    name="Grid profile",
    quantity=Quantity.TEXT,
    visibility=_OFFERED,
    rhythm=Rhythm.IDENTITY,
)

LINK_QUALITY: Final = Point(
    key="link_quality",
    name="Link quality",
    quantity=Quantity.CODE,
    visibility=_OFFERED,
)
"""A percentage or negative dBm, as the firmware likes."""

LAST_EVENT: Final = Point(
    key="last_event",
    name="Last event",
    quantity=Quantity.STATE,
    visibility=_SHOWN,
    options=SLUGS,
    diagnostic=True,
)

EVENT_POINTS: Final = (LAST_EVENT, PROBLEM, ALARMS)

# -- DC inputs --------------------------------------------------------------------------

_INPUT: Final = (
    power("pv{n}_power", "PV{n} power", "power", _SHOWN),
    voltage("pv{n}_voltage", "PV{n} voltage", "voltage"),
    current("pv{n}_current", "PV{n} current", "current"),
    energy("pv{n}_energy_today", "PV{n} energy today", "energy_today", _SHOWN),
    energy("pv{n}_energy_total", "PV{n} energy total", "energy_total", _SHOWN),
    code("pv{n}_status", "PV{n} status code", "status_code"),
)


def input_rows(port: int) -> Iterator[Row]:
    """Go through the rows of one DC input, counted from 1."""
    return numbered(_INPUT, port)


# -- meter ------------------------------------------------------------------------------


def _meter_phase(phase: int, letter: str) -> tuple[Row, ...]:
    key, name = f"grid_l{phase}", f"Grid L{phase}"
    return (
        power(
            f"{key}_active_power",
            f"{name} power",
            f"power_{letter}",
            per_unit=1,
            times=10,
        ),
        voltage(f"{key}_voltage", f"{name} voltage", f"voltage_{letter}", per_unit=100),
        current(f"{key}_current", f"{name} current", f"current_{letter}"),
        _power_factor(
            f"{key}_power_factor", f"{name} power factor", f"power_factor_{letter}"
        ),
        energy(
            f"{key}_import_energy_total",
            f"{name} import energy total",
            f"energy_import_{letter}",
            per_unit=100,
        ),
        energy(
            f"{key}_export_energy_total",
            f"{name} export energy total",
            f"energy_export_{letter}",
            per_unit=100,
        ),
    )


GRID_POWER: Final = power(
    "grid_power", "Grid power", "power_total", _SHOWN, per_unit=1, times=10
)
"""Negative while the grid is fed."""
GRID_IMPORT_POWER: Final = power_point("grid_import_power", "Grid import power")
GRID_EXPORT_POWER: Final = power_point("grid_export_power", "Grid export power")

METER: Final = (
    GRID_POWER,
    _power_factor("power_factor", "Power factor", "power_factor_total"),
    energy(
        "grid_import_energy_total",
        "Grid import energy total",
        "energy_import_total",
        _SHOWN,
        per_unit=100,
    ),
    energy(
        "grid_export_energy_total",
        "Grid export energy total",
        "energy_export_total",
        _SHOWN,
        per_unit=100,
    ),
)
_METER_PHASES: Final = tuple(
    _meter_phase(phase, letter) for phase, letter in enumerate("abc", 1)
)


def meter_rows(*, three_phase: bool) -> tuple[Row, ...]:
    """Return the rows of a meter."""
    phases = _METER_PHASES if three_phase else _METER_PHASES[:1]
    return (*METER, *(row for phase in phases for row in phase))


# -- the DTU itself ---------------------------------------------------------------------

SIGNAL: Final = Point(
    key="signal_strength",
    name="Signal strength",
    quantity=Quantity.CODE,
    visibility=_OFFERED,
)
"""Of the DTU's own Wi-Fi: a percentage, or negative dBm."""

CLOUD_CONNECTED: Final = Point(
    key="cloud_connected",
    name="Cloud connection",
    quantity=Quantity.CONNECTIVITY,
    visibility=_OFFERED,
    diagnostic=True,
)

UPLOAD_INTERVAL: Final = Point(
    key="upload_interval",
    name="Cloud upload interval",
    quantity=Quantity.DURATION,
    unit="min",
    visibility=_OFFERED,
)

# -- settings ---------------------------------------------------------------------------

LEAST_LIMIT: Final = 2.0
"""Percent of the rated power below which an inverter refuses a limit or clips it."""

STORED_LIMIT: Final = Point(
    key="stored_power_limit",
    name="Stored power limit",
    quantity=Quantity.PERCENT,
    unit="%",
    visibility=_OFFERED,
    rhythm=Rhythm.SETTINGS,
    setting=Setting(
        minimum=LEAST_LIMIT, maximum=100, step=0.1, spacing=timedelta(minutes=1)
    ),
)
"""Kept in flash: an automation that wrote it every minute has killed an inverter."""

ON_OFF: Final = Point(
    key="on_off",
    name="Inverter on",
    quantity=Quantity.FLAG,
    visibility=_OFFERED,
    rhythm=Rhythm.SETTINGS,
    setting=Setting(persistent=False, everyday=True, reads_back=False),
)

RESTART: Final = Point(
    key="restart",
    name="Restart",
    quantity=Quantity.COMMAND,
    visibility=_OFFERED,
    setting=Setting(persistent=False, reads_back=False),
    diagnostic=True,
)

CLEAR_ALARMS: Final = Point(
    key="clear_alarms",
    name="Clear alarms",
    quantity=Quantity.COMMAND,
    visibility=_OFFERED,
    setting=Setting(persistent=False, reads_back=False),
    diagnostic=True,
)

FAST_DATA: Final = Point(
    key="fast_data",
    name="Fast data",
    quantity=Quantity.COMMAND,
    visibility=_OFFERED,
    setting=Setting(persistent=False, reads_back=False),
    diagnostic=True,
)
"""New values every few seconds instead of every 30, until the DTU restarts."""


TEMPORARY_LIMIT: Final = "temporary_power_limit"


def temporary_limit(rated_power: int) -> Point:
    """Return the limit in watts that is gone with the next restart."""
    return Point(
        key=TEMPORARY_LIMIT,
        name="Temporary power limit",
        quantity=Quantity.POWER,
        unit="W",
        visibility=_OFFERED,
        rhythm=Rhythm.SETTINGS,
        setting=Setting(
            minimum=ceil(rated_power * LEAST_LIMIT / 100),
            maximum=rated_power,
            step=1,
            persistent=False,
            everyday=True,
            reads_back=False,
        ),
    )
