"""The devices of a DTU: itself, its microinverters and its meters, with their points."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Final

from ..points import CONNECTED, Device, DeviceIdentity, Point, Visibility
from . import models, points, storage_points
from .inventory import Inventory, Inverter
from .serial_number import as_printed, as_text
from .snapshot import dtu_id

MANUFACTURER: Final = "Hoymiles"

_DTU_POINTS: Final = (
    points.AC_POWER,
    points.ENERGY_TODAY,
    points.ENERGY_TOTAL,
    CONNECTED,
    points.SIGNAL,
    points.CLOUD_CONNECTED,
    points.UPLOAD_INTERVAL,
    points.FAST_DATA,
    points.RESTART,
)


def devices(inventory: Inventory) -> tuple[Device, ...]:
    """Return all devices, the DTU first."""
    return (
        _dtu(inventory),
        *(_inverter(inventory, inverter) for inverter in inventory.inverters),
        *(_meter(inventory, serial) for serial in inventory.meters),
    )


def _dtu(inventory: Inventory) -> Device:
    return Device(
        identity=DeviceIdentity(
            id=dtu_id(inventory),
            kind="dtu",
            manufacturer=MANUFACTURER,
            model=models.dtu_model(inventory.serial).name,
            serial_number=inventory.serial,
            firmware=models.dtu_version(inventory.software),
            hardware=models.dtu_version(inventory.hardware),
        ),
        points=_DTU_POINTS,
    )


def _inverter(inventory: Inventory, inverter: Inverter) -> Device:
    model = inverter.model
    return Device(
        identity=DeviceIdentity(
            id=inverter.id,
            # Inverters of one DTU are often alike: their numbers tell them apart.
            kind="numbered_inverter" if inventory.only_inverter is None else "inverter",
            manufacturer=MANUFACTURER,
            model=model.name,
            serial_number=as_printed(inverter.serial),
            firmware=models.inverter_software(inverter.software),
            hardware=models.inverter_hardware(inverter.hardware),
            via=dtu_id(inventory),
        ),
        points=tuple(_inverter_points(inventory, inverter)),
    )


def _inverter_points(inventory: Inventory, inverter: Inverter) -> Iterator[Point]:
    rows = points.THREE_PHASE if inverter.three_phase else points.SINGLE_PHASE
    yield from (row.point for row in rows)
    yield from (points.ENERGY_TODAY, points.ENERGY_TOTAL, points.PV_POWER)
    for port in inverter.inputs:
        yield from (row.point for row in points.input_rows(port))
    yield from (CONNECTED, points.LINK_QUALITY, points.GRID_PROFILE)
    yield from points.EVENT_POINTS
    yield from _limits(inventory, inverter)
    yield from (points.ON_OFF, points.RESTART, points.CLEAR_ALARMS)


def _limits(inventory: Inventory, inverter: Inverter) -> Iterator[Point]:
    """Go through an inverter's limits; what nobody may ever tell is not shown at first."""
    if inverter.three_phase and inventory.only_inverter is None:
        yield replace(points.ACTIVE_LIMIT, visibility=Visibility.OFFERED)
    else:
        yield points.ACTIVE_LIMIT
    rated = inverter.model.rated_power
    if inventory.takes_temporary_limit and rated is not None:
        yield points.temporary_limit(rated)
    yield points.STORED_LIMIT


def every_point() -> Iterator[Point]:
    """Go through all points that there can be, of one input and one size of inverter."""
    yield from _DTU_POINTS
    for rows in (points.SINGLE_PHASE, points.THREE_PHASE, points.input_rows(1)):
        yield from (row.point for row in rows)
    yield from (points.ENERGY_TODAY, points.ENERGY_TOTAL, points.PV_POWER)
    yield from (points.LINK_QUALITY, points.GRID_PROFILE, *points.EVENT_POINTS)
    yield from (points.ACTIVE_LIMIT, points.STORED_LIMIT, points.temporary_limit(800))
    yield from (points.ON_OFF, points.RESTART, points.CLEAR_ALARMS)
    yield from (row.point for row in points.meter_rows(three_phase=True))
    yield from (points.GRID_IMPORT_POWER, points.GRID_EXPORT_POWER)
    yield from (row.point for row in storage_points.inverter_rows((1,), (1, 2, 3)))
    yield from (row.point for row in storage_points.battery_rows())


def _meter(inventory: Inventory, serial: int) -> Device:
    rows = points.meter_rows(three_phase=models.is_three_phase_meter(serial))
    return Device(
        identity=DeviceIdentity(
            id=as_text(serial),
            kind="meter",
            manufacturer=MANUFACTURER,
            model=models.meter_model(serial),
            serial_number=as_printed(serial),
            via=dtu_id(inventory),
        ),
        points=(
            *(row.point for row in rows),
            points.GRID_IMPORT_POWER,
            points.GRID_EXPORT_POWER,
            CONNECTED,
        ),
    )
