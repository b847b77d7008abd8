"""Diagnostics: what the integration knows of an entry, and what its devices say now.

What is in the download can be served by the simulator (``python -m simulators growatt
--dataset FILE``), so that an owner's download becomes a test.
"""

from typing import Any, Final

from homeassistant.components.diagnostics import REDACTED, async_redact_data
from homeassistant.config_entries import ConfigEntryState
from homeassistant.core import HomeAssistant

from .coordinators.base import LocalSolarConfigEntry, LocalSolarCoordinator

TO_REDACT: Final = frozenset(
    {
        "host",
        "device",
        "serial",
        "serial_number",
        "battery_serial",
        "evidence",
        "logger_serial",
        "inverter_serial",
        "allowed_dataloggers",
        "meters",
        "dongle_device",
        "peers",
        "writers",
    }
)

NAMING_PLACEHOLDERS: Final = frozenset({"address", "expected", "found"})
"""Placeholders of the reasons why an entry is not set up that name an owner's things."""


async def async_get_config_entry_diagnostics(
    hass: HomeAssistant, entry: LocalSolarConfigEntry
) -> dict[str, Any]:
    """Return the diagnostics of an entry; of one that is not set up, why that is so."""
    about_entry = {
        "data": async_redact_data(entry.data, TO_REDACT),
        "options": async_redact_data(entry.options, TO_REDACT),
    }
    if entry.state is not ConfigEntryState.LOADED:
        reason = entry.reason or ""
        for what, text in (entry.error_reason_translation_placeholders or {}).items():
            if what in NAMING_PLACEHOLDERS:
                reason = reason.replace(text, REDACTED)
        return {
            "entry": about_entry,
            "state": entry.state.value,
            "reason": reason,
        }
    coordinator = entry.runtime_data
    return {
        "entry": about_entry,
        **_without(
            coordinator.address,
            {
                **await coordinator.async_diagnose(),
                "awake": coordinator.awake,
                "asleep_because": coordinator.asleep_because,
                "failed": dict(coordinator.failed),
            },
        ),
        "values": _values(coordinator),
    }


def _values(coordinator: LocalSolarCoordinator) -> dict[str, dict[str, str]]:
    """Return the values of all devices, by what each is: serial numbers are the owner's."""
    values: dict[str, dict[str, str]] = {}
    for device in coordinator.devices:
        kind = device.identity.kind
        alike = sum(name.split()[0] == kind for name in values)
        values[f"{kind} {alike + 1}" if alike else kind] = {
            key: str(value)
            for key, value in coordinator.data.get(device.identity.id, {}).items()
            if "serial" not in key
        }
    return values


def _without(address: str, data: Any) -> Any:
    """Return data with an address taken out of its texts."""
    match data:
        case str():
            return data.replace(address, REDACTED)
        case dict():
            return {key: _without(address, value) for key, value in data.items()}
        case list():
            return [_without(address, value) for value in data]
        case _:
            return data
