"""The devices behind a listener, in the words that every family describes its own with."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Final

from ...points import CONNECTED, Device, DeviceIdentity, Occurrence, Point, Value
from ..known_inverter import MANUFACTURER, SYNC_CLOCK
from . import meters, points
from .fleet import Fleet, Logger, ReportedInverter, ReportedMeter
from .parameters import ParameterNumber
from .policy import Verdict
from .server import Server
from .settings import value_of

_LOGGER_POINTS: Final = (
    CONNECTED,
    points.LAST_RECORD,
    points.RECORDS,
    points.REJECTED,
    points.CLOCK_OFFSET,
    points.REPORT_INTERVAL,
    points.SERVER_ADDRESS,
    points.SERVER_PORT,
    points.SERVER_NAME,
    points.RESTART,
    SYNC_CLOCK,
)
_RELAYED_POINTS: Final = (
    points.CLOUD_CONNECTED,
    points.BLOCKED,
    points.SERVER_COMMAND,
)
"""Of loggers whose reports go on to the maker's server."""


def every_point() -> Iterator[Point]:
    """Go through all points that something behind a listener may have, but inverters."""
    yield from points.SERVER_POINTS
    yield from _LOGGER_POINTS
    yield from _RELAYED_POINTS
    yield from meters.POINTS


def logger_id(serial: str) -> str:
    """Return the id of a logger's device: an inverter may have the same serial number."""
    return f"datalogger_{serial}"


def server_device(server_id: str) -> Device:
    """Return the listener itself."""
    return Device(
        identity=DeviceIdentity(
            id=server_id,
            kind="datalogger_server",
            manufacturer="Local Solar",
            model="Growatt datalogger server",
        ),
        points=points.SERVER_POINTS,
    )


def fleet_devices(
    fleet: Fleet, server_id: str, *, is_relayed: bool
) -> Iterator[Device]:
    """Go through all that is behind a listener, what others are reached through first."""
    for logger in fleet.loggers.values():
        yield _logger_device(logger, server_id, is_relayed=is_relayed)
    for inverter in fleet.inverters.values():
        yield from _inverter_devices(inverter)
    for meter in fleet.meters.values():
        yield _meter_device(fleet, meter)


def _logger_device(logger: Logger, server_id: str, *, is_relayed: bool) -> Device:
    return Device(
        identity=DeviceIdentity(
            id=logger_id(logger.serial),
            kind="datalogger",
            manufacturer=MANUFACTURER,
            model=logger.parameters.get(ParameterNumber.DEVICE_TYPE) or "datalogger",
            serial_number=logger.serial,
            firmware=logger.parameters.get(ParameterNumber.FIRMWARE),
            via=server_id,
        ),
        points=(*_LOGGER_POINTS, *(_RELAYED_POINTS if is_relayed else ())),
    )


def _inverter_devices(inverter: ReportedInverter) -> Iterator[Device]:
    if inverter.inverter is None or inverter.is_elsewhere:
        return
    own, *others = inverter.inverter.devices
    identity = replace(own.identity, via=logger_id(inverter.logger))
    yield Device(identity=identity, points=(*own.points, CONNECTED))
    yield from others


def _meter_device(fleet: Fleet, meter: ReportedMeter) -> Device:
    behind = fleet.inverters.get(meter.inverter or "")
    is_shown = (
        behind is not None and behind.inverter is not None and not behind.is_elsewhere
    )
    via = meter.inverter if is_shown else logger_id(meter.logger)
    return Device(
        identity=DeviceIdentity(
            id=meter.id,
            kind="meter",
            manufacturer=MANUFACTURER,
            model="meter",
            via=via,
        ),
        points=meters.POINTS,
    )


# -- values ----------------------------------------------------------------------------


def server_values(server: Server) -> dict[str, Value | None]:
    """Return what the listener shows."""
    return {
        points.LOGGERS_CONNECTED.key: len(server.sessions),
        points.REFUSED.key: server.statistics.refused,
    }


def logger_values(
    logger: Logger, commands: Mapping[str, Occurrence]
) -> dict[str, Value | None]:
    """Return what a logger shows. ``commands`` are the last of the maker's server."""
    session = logger.session
    values: dict[str, Value | None] = {
        CONNECTED.key: session is not None,
        points.LAST_RECORD.key: logger.last_record,
        points.RECORDS.key: logger.records,
        points.REJECTED.key: logger.rejected,
        points.BLOCKED.key: logger.blocked,
        points.CLOUD_CONNECTED.key: session is not None and not session.answers_itself,
        points.SERVER_COMMAND.key: commands.get(logger.serial),
    }
    if logger.clock_offset is not None:
        values[points.CLOCK_OFFSET.key] = round(logger.clock_offset)
    text = logger.parameters.get(ParameterNumber.INTERVAL)
    if text is not None:
        values[points.REPORT_INTERVAL.key] = value_of(points.REPORT_INTERVAL, text)
    return values


def occurrence(verdict: Verdict, number: int) -> Occurrence:
    """Return what is shown of a command of the maker's server."""
    return Occurrence(
        kind=points.ALLOWED_COMMAND if verdict.passes else points.BLOCKED_COMMAND,
        number=number,
        details=(
            ("command", verdict.name),
            ("needs", verdict.needs.value),
            ("unit", verdict.unit),
            ("first", verdict.first),
            ("last", verdict.last),
        ),
    )
