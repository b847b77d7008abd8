"""The page about Hoymiles: points, events and models."""

from collections.abc import Iterator, Mapping
import re
from typing import Final

from custom_components.local_solar.hoymiles import (
    points as hoymiles_points,
    storage,
    storage_points,
)
from custom_components.local_solar.hoymiles.alarms import (
    ROWS as EVENTS,
    Scope,
    describe,
)
from custom_components.local_solar.hoymiles.devices import devices
from custom_components.local_solar.hoymiles.inventory import (
    TEMPORARY_LIMIT_SINCE,
    Inventory,
    Inverter,
)
from custom_components.local_solar.hoymiles.models import PART_NUMBERS, PREFIXES, Kind
from custom_components.local_solar.points import Device, Point, Quantity
from custom_components.local_solar.write_budget import SPACING

from .shared import GENERATED, SHOWN_AS, as_page, limits_text, table

INTRO: Final = """\
# Hoymiles points, events and models

What Local Solar knows of Hoymiles devices: the points of each, the codes of events, and the
numbers that models are recognised by. [hoymiles.md](hoymiles.md) explains the devices.

How to read the tables of points:

- **Key** is the name that actions take, and a part of the entity's unique id.
- **Entity**: *shown* is an entity that is enabled, *offered* is one that is disabled until
  you enable it. What is marked *everyday* is enabled as soon as changing settings is
  switched on.
- **Step** is what one step of the number counts that the device sends. Points without a step
  are worked out, or are no numbers.
- *PV1* stands for each DC input, and *L1* for each phase where a device has three.
- *Setting* marks what can be changed once you have switched that on in the options: with the
  actions of Local Solar, and with a control in the place of the sensor. Nothing else can be
  written, and no other values. A *command* is a button, which is there only then. Flash
  memory wears out: writes of what is kept in it are spaced and counted.
"""

KINDS: Final[Mapping[Kind, str]] = {
    Kind.INVERTER: "microinverter",
    Kind.INVERTER_DTU: "microinverter with its own DTU",
    Kind.DTU: "DTU",
    Kind.GATEWAY: "storage gateway",
    Kind.STORAGE: "hybrid inverter",
    Kind.METER: "meter",
    Kind.REPEATER: "repeater",
}

SCOPES: Final[Mapping[Scope, str]] = {
    Scope.ALL: "all",
    Scope.THREE_PHASE: "three-phase",
    Scope.NOT_THREE_PHASE: "others than three-phase",
    Scope.OLDER_MI: "older MI",
}

_SINGLE_PHASE: Final = Inventory(
    serial="414393100001",
    software=TEMPORARY_LIMIT_SINCE,
    inverters=(
        Inverter(serial=0x1412_9310_0001, part_number=0x1021_4201, inputs=(1,)),
    ),
    meters=(0x37FF_9310_0005,),
)
_THREE_PHASE: Final = Inventory(
    serial="413093100030",
    inverters=(Inverter(serial=0x1361_9310_0041, three_phase=True, inputs=(1,)),),
)
_STORAGE: Final = storage.StorageInventory(
    serial="430193100003",
    inverters=(
        storage.HybridInverter(
            serial=0x2003_9310_0004, inputs=(1,), phases=(1, 2, 3), has_battery=True
        ),
    ),
)
"""Devices with all that there can be."""

_OTHER_PHASE: Final = re.compile(r"_l[23]_(?!l)")


def hoymiles_page() -> str:
    """Return the page of Hoymiles devices."""
    dtu, single, meter = devices(_SINGLE_PHASE)
    _, three = devices(_THREE_PHASE)
    gateway, hybrid, battery = storage.devices(_STORAGE)
    lines = [GENERATED, "", INTRO]
    lines += _device_lines("DTU", dtu, {})
    lines += _device_lines(
        "Microinverter",
        single,
        _steps(*hoymiles_points.SINGLE_PHASE, *hoymiles_points.input_rows(1)),
    )
    lines += _device_lines(
        "Three-phase microinverter, besides",
        three,
        _steps(*hoymiles_points.THREE_PHASE),
        without=single,
    )
    lines += _device_lines(
        "Meter", meter, _steps(*hoymiles_points.meter_rows(three_phase=True))
    )
    lines += _device_lines("Storage gateway", gateway, {})
    lines += _device_lines(
        "Hybrid inverter",
        hybrid,
        _steps(*storage_points.inverter_rows((1,), (1, 2, 3))),
    )
    lines += _device_lines(
        "Battery of a hybrid inverter", battery, _steps(*storage_points.battery_rows())
    )
    lines += _event_lines()
    lines += _number_lines()
    return as_page(lines)


def _steps(*rows: hoymiles_points.Row) -> dict[str, str]:
    """Return what one step of each row's integer is, by key."""
    return {
        row.point.key: f"{row.times / row.per_unit:g} {row.point.unit or ''}".rstrip()
        for row in rows
    }


def _device_lines(
    title: str,
    device: Device,
    steps: Mapping[str, str],
    *,
    without: Device | None = None,
) -> Iterator[str]:
    known = {point.key for point in without.points} if without else set()
    yield f"## {title}"
    yield ""
    yield from table(
        ("Key", "Name", "Unit", "Entity", "Step", "Setting, notes"),
        (
            (
                f"`{point.key}`",
                point.name.replace("{n}", str(point.index)),
                point.unit or "",
                SHOWN_AS[point.visibility],
                steps.get(point.key, ""),
                _point_notes(point),
            )
            for point in device.points
            if point.key not in known
            and (without is not None or not _OTHER_PHASE.search(point.key))
        ),
    )


def _point_notes(point: Point) -> str:
    notes = []
    if (setting := point.setting) is not None:
        kind = "Command" if point.quantity is Quantity.COMMAND else "Setting"
        limits = limits_text(setting, point.unit)
        if point.key == hoymiles_points.TEMPORARY_LIMIT:
            least = hoymiles_points.LEAST_LIMIT
            limits = f": {least:g} % of the rated power to the rated power, step"
            limits += f" {setting.step:g} {point.unit}"
        elif point.quantity is Quantity.FLAG:
            limits = ": on or off"
        notes.append(kind + limits)
        if setting.persistent:
            notes.append(
                f"kept in flash, at least {(setting.spacing or SPACING).total_seconds():g} s apart"
            )
        elif limits:
            notes.append("not kept in flash")
        if setting.everyday:
            notes.append("everyday")
    if point.key == hoymiles_points.LAST_EVENT.key:
        notes.append("see the [event codes](#event-codes)")
    return "; ".join(notes)


def _event_lines() -> Iterator[str]:
    yield "## Event codes"
    yield ""
    yield "*Problem* is on while an event of the kind `fault` lasts. Codes from 5000 on belong to"
    yield "older inverters; the protocol that is spoken here has no room for them."
    yield ""
    yield from table(
        ("Code", "Inverters", "State of *Last event*", "Kind", "Meaning"),
        (
            (
                str(row.code),
                SCOPES[row.scope],
                f"`{row.key}`",
                describe(
                    row.code, three_phase=row.scope is Scope.THREE_PHASE
                ).kind.value,
                row.text,
            )
            for row in sorted(EVENTS)
        ),
    )


def _number_lines() -> Iterator[str]:
    yield "## Serial numbers"
    yield ""
    yield "The first four of a serial number's twelve digits. An unknown one is no reason to refuse"
    yield "a device."
    yield ""
    yield from table(
        ("Starts with", "What it is", "Family", "DC inputs", "Powers"),
        (
            (
                f"`{digits}`",
                KINDS[prefix.kind],
                prefix.family,
                str(prefix.inputs or ""),
                prefix.power_class or "",
            )
            for digits, prefix in sorted(PREFIXES.items())
        ),
    )
    yield "## Part numbers"
    yield ""
    yield "The first three bytes of the hardware part number that a DTU tells of each inverter. They"
    yield "give the exact model; the temporary limit needs its rated power."
    yield ""
    yield from table(
        ("Starts with", "Model", "Rated power"),
        (
            (f"`{digits}`", model.name, f"{model.rated_power} W")
            for digits, model in sorted(PART_NUMBERS.items())
        ),
    )
