"""What the actions answer."""

from typing import Any, Final

from homeassistant.core import ServiceResponse

from .registers import ParameterReading, RegisterReading
from .values import as_json
from .write_gate import Outcome, Pending, Written
from .writing import Asker

ATTR_REGISTER: Final = "register"
ATTR_SPACE: Final = "space"
ATTR_ADDRESS: Final = "address"
ATTR_VALUE: Final = "value"
ATTR_TOKEN: Final = "token"

PARAMETER: Final = "parameter"
"""What is no register: a numbered parameter of a datalogger."""


def reading_response(reading: RegisterReading | ParameterReading) -> ServiceResponse:
    """Return registers or a parameter that were read, and what they mean."""
    response: dict[str, Any]
    if isinstance(reading, ParameterReading):
        response = {
            ATTR_SPACE: PARAMETER,
            ATTR_ADDRESS: reading.number,
            "raw": reading.text,
        }
    else:
        response = {
            ATTR_SPACE: reading.space.value,
            ATTR_ADDRESS: reading.address,
            "raw": list(reading.words),
        }
    if (point := reading.point) is None:
        if isinstance(reading, ParameterReading):
            return response
        values = {key: as_json(value) for key, value in reading.values.items()}
        return {**response, "values": values}
    value = (
        reading.value
        if isinstance(reading, ParameterReading)
        else reading.values[point.key]
    )
    response |= {
        ATTR_REGISTER: point.key,
        ATTR_VALUE: as_json(value),
        "unit": point.unit,
    }
    if (setting := point.setting) is not None:
        response["setting"] = {
            "minimum": setting.minimum,
            "maximum": setting.maximum,
            "step": setting.step,
            "options": list(point.options),
        }
    return response


def preview_response(pending: Pending[Asker]) -> ServiceResponse:
    """Return what a change would do."""
    setting, change = pending.setting, pending.change
    return {
        ATTR_TOKEN: pending.token,
        ATTR_REGISTER: setting.point.key,
        ATTR_ADDRESS: setting.address,
        "current": as_json(pending.before.value),
        ATTR_VALUE: as_json(change.value),
        "unit": setting.point.unit,
        "raw_current": list(pending.before.raw),
        "raw_value": list(change.raw),
        "persistent": pending.before.persistent,
        "warnings": [*change.warnings, *change.doubts],
        "note": setting.note,
        "expires": pending.expires.isoformat(timespec="seconds"),
    }


def result_response(written: Written[Asker]) -> dict[str, Any]:
    """Return what became of a change."""
    return {
        ATTR_REGISTER: written.setting.point.key,
        ATTR_ADDRESS: written.setting.address,
        "before": as_json(written.before.value),
        "after": as_json(written.after.value if written.after else None),
        "unit": written.setting.point.unit,
        "outcome": written.outcome.value,
        "written": written.outcome in (Outcome.WRITTEN, Outcome.CARRIED_OUT),
        "verified": written.outcome in (Outcome.WRITTEN, Outcome.UNCHANGED),
    }
