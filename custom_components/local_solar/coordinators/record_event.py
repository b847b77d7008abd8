"""Telling automations of each record of an inverter behind a datalogger."""

from collections.abc import Mapping
from typing import Final

from homeassistant.const import ATTR_DEVICE_ID
from homeassistant.core import HomeAssistant, callback
from homeassistant.helpers import device_registry as dr

from ..const import DOMAIN
from ..growatt.datalogger.fleet import Reported
from ..growatt.datalogger.packets import Type
from ..values import as_json
from .base import LocalSolarConfigEntry

EVENT_RECORD: Final = f"{DOMAIN}_datalogger_record"

_KINDS: Final[Mapping[int, str]] = {
    Type.ANNOUNCE: "announcement",
    Type.LIVE: "live",
    Type.BUFFERED: "buffered",
    Type.VPP: "vpp",
    Type.MORE: "more",
}
"""What the event of a record calls it."""


@callback
def fire_record(
    hass: HomeAssistant, entry: LocalSolarConfigEntry, reported: Reported
) -> None:
    """Tell of a record if somebody listens: it has many values, and nobody keeps them."""
    if EVENT_RECORD not in hass.bus.async_listeners():
        return
    record = reported.record
    registered = dr.async_get(hass).async_get_device_by_identifier(
        (DOMAIN, record.inverter), entry.entry_id
    )
    hass.bus.async_fire(
        EVENT_RECORD,
        {
            ATTR_DEVICE_ID: registered and registered.id,
            "datalogger": record.logger,
            "inverter": record.inverter,
            "unit": record.unit,
            "type": _KINDS.get(record.type, str(record.type)),
            "time": record.at and record.at.isoformat(),
            "values": {
                key: as_json(value)
                for values in reported.poll.snapshot.values()
                for key, value in values.items()
            },
        },
    )
