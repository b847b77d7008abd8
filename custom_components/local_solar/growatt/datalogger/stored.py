"""What is kept of a fleet over a restart: loggers, inverters and meters are still there."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from ..identify import Identification
from .fleet import Fleet, Logger, ReportedInverter, ReportedMeter
from .parameters import ParameterNumber

KEPT: Final = (
    ParameterNumber.INTERVAL,
    ParameterNumber.DEVICE_TYPE,
    ParameterNumber.FIRMWARE,
)
"""Parameters that are shown before a logger has told them again."""


def to_json(fleet: Fleet) -> dict[str, object]:
    """Return what is known of a fleet as JSON types."""
    return {
        "loggers": [
            {
                "serial": logger.serial,
                "parameters": {
                    str(number.value): logger.parameters[number]
                    for number in KEPT
                    if number in logger.parameters
                },
            }
            for logger in fleet.loggers.values()
        ],
        "inverters": [
            {
                "logger_serial": inverter.logger,
                "identification": inverter.inverter.identified.to_json(),
            }
            for inverter in fleet.inverters.values()
            if inverter.inverter is not None
        ],
        "meters": [
            {
                "serial": meter.id,
                "logger_serial": meter.logger,
                "inverter_serial": meter.inverter,
            }
            for meter in fleet.meters.values()
        ],
    }


def restore(fleet: Fleet, stored: Mapping[str, object]) -> None:
    """Take in what ``to_json`` gave."""
    for item in _items(stored, "loggers"):
        logger = Logger(str(item["serial"]))
        parameters = item.get("parameters")
        if isinstance(parameters, dict):
            logger.parameters = {
                int(number): str(text) for number, text in parameters.items()
            }
        fleet.loggers[logger.serial] = logger
    for item in _items(stored, "inverters"):
        identification = item["identification"]
        assert isinstance(identification, Mapping)
        identified = Identification.from_json(identification)
        inverter = ReportedInverter(
            identified.serial_number, str(item["logger_serial"])
        )
        fleet.know(inverter, identified)
    for item in _items(stored, "meters"):
        inverter_serial = item.get("inverter_serial")
        meter = ReportedMeter(
            str(item["serial"]),
            str(item["logger_serial"]),
            None if inverter_serial is None else str(inverter_serial),
        )
        fleet.meters[meter.id] = meter


def inverters_in(stored: Mapping[str, object]) -> Iterator[str]:
    """Go through the serial numbers of the inverters in what was kept."""
    for item in _items(stored, "inverters"):
        identification = item["identification"]
        assert isinstance(identification, Mapping)
        yield str(identification["serial_number"])


def _items(stored: Mapping[str, object], what: str) -> Iterable[Mapping[str, object]]:
    found = stored.get(what, [])
    assert isinstance(found, list)
    return found
