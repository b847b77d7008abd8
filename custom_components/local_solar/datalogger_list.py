"""The dataloggers that report to Home Assistant, as the action lists them."""

from collections.abc import Iterator

from homeassistant.core import HomeAssistant
from homeassistant.helpers import device_registry as dr
from homeassistant.util import dt as dt_util
from homeassistant.util.json import JsonObjectType

from .const import DOMAIN
from .coordinators.datalogger import DataloggerCoordinator
from .growatt.datalogger.devices import logger_id
from .growatt.datalogger.fleet import Logger, ReportedInverter


def listed_dataloggers(hass: HomeAssistant) -> Iterator[JsonObjectType]:
    """Go through the loggers of all listeners."""
    for entry in hass.config_entries.async_loaded_entries(DOMAIN):
        if isinstance(coordinator := entry.runtime_data, DataloggerCoordinator):
            for logger in coordinator.fleet.loggers.values():
                yield _listed(hass, coordinator, logger)


def _listed(
    hass: HomeAssistant, coordinator: DataloggerCoordinator, logger: Logger
) -> JsonObjectType:
    session = logger.session
    last = logger.last_record
    return {
        "device_id": _device_id(hass, coordinator, logger_id(logger.serial)),
        "serial_number": logger.serial,
        "connected": session is not None,
        "address": session.peer if session else None,
        "protocol": int(session.protocol) if session else None,
        "answered_by": _answered_by(logger),
        "last_record": dt_util.as_local(last).isoformat(timespec="seconds")
        if last
        else None,
        "inverters": [
            _inverter(hass, coordinator, inverter)
            for inverter in coordinator.fleet.inverters.values()
            if inverter.logger == logger.serial
        ],
    }


def _answered_by(logger: Logger) -> str | None:
    if logger.session is None:
        return None
    return "local_solar" if logger.session.answers_itself else "cloud"


def _inverter(
    hass: HomeAssistant, coordinator: DataloggerCoordinator, inverter: ReportedInverter
) -> JsonObjectType:
    known = inverter.inverter
    return {
        "device_id": _device_id(hass, coordinator, inverter.serial),
        "serial_number": inverter.serial,
        "unit": inverter.unit.number,
        "model": known.identified.model if known else None,
    }


def _device_id(
    hass: HomeAssistant, coordinator: DataloggerCoordinator, device: str
) -> str | None:
    found = dr.async_get(hass).async_get_device_by_identifier(
        (DOMAIN, device), coordinator.config_entry.entry_id
    )
    return found.id if found else None
