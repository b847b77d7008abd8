"""Diagnostics: what the integration knows of an entry, and a fresh dump of its registers.

The dump is a dataset that the simulator can serve (``python -m simulators growatt
--dataset FILE``), so that an owner's download becomes a test.
"""

from typing import Any, Final

from homeassistant.components.diagnostics import REDACTED, async_redact_data
from homeassistant.config_entries import ConfigEntryState
from homeassistant.core import HomeAssistant

from .coordinators.base import LocalSolarConfigEntry
from .coordinators.growatt import GrowattCoordinator
from .growatt.masking import mask_serial_numbers, mask_text

TO_REDACT: Final = frozenset(
    {"host", "device", "serial_number", "battery_serial", "evidence"}
)

NAMING_PLACEHOLDERS: Final = frozenset({"address", "expected", "found"})
"""Placeholders of the reasons why an entry is not set up that name an owner's things."""


async def async_get_config_entry_diagnostics(
    hass: HomeAssistant, entry: LocalSolarConfigEntry
) -> dict[str, Any]:
    """Return the diagnostics of an entry; of one that is not set up, why that is so."""
    about_entry = {
        "data": async_redact_data(entry.data, TO_REDACT),
        "options": dict(entry.options),
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
    assert isinstance(coordinator, GrowattCoordinator)
    inverter = coordinator.inverter
    reader = inverter.reader
    image, missing = await inverter.async_dump()
    mask_serial_numbers(image, inverter.profile)

    def hide(message: str) -> str:
        """Take the address out of an error message."""
        return message.replace(coordinator.link.address, REDACTED)

    return {
        "entry": about_entry,
        "identification": {
            "profile": inverter.identified.profile,
            "evidence": [
                {
                    "source": item.source,
                    "answer": mask_text(item.answer)
                    if "serial" in item.source
                    else item.answer,
                    "meaning": item.meaning,
                }
                for item in inverter.identified.evidence
            ],
        },
        "link": {
            "latency_ms": round(reader.timing.latency * 1000, 1),
            "message_spacing_ms": round(reader.timing.spacing * 1000),
            "line_baud": reader.timing.baud,
            "reads": [
                str(read)
                for read in reader.plan(inverter.wanted_rows(coordinator.wanted()))
            ],
        },
        "awake": coordinator.awake,
        "asleep_because": hide(coordinator.asleep_because),
        "failed": {key: hide(why) for key, why in coordinator.failed.items()},
        "missing": {key: hide(why) for key, why in missing.items()},
        "values": {
            device.identity.kind: {
                key: str(value)
                for key, value in coordinator.data.get(device.identity.id, {}).items()
                if "serial" not in key
            }
            for device in coordinator.devices
        },
        "registers": image.dump(),
    }
