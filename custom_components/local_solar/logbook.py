"""Logbook: a line for each change that was sent to a device."""

from collections.abc import Callable
from typing import Final

from homeassistant.components.logbook import LOGBOOK_ENTRY_MESSAGE, LOGBOOK_ENTRY_NAME
from homeassistant.core import Event, HomeAssistant, callback

from .const import DOMAIN
from .values import as_text
from .write_errors import HoldsOtherValueError
from .write_gate import Outcome
from .writing import (
    ATTR_AFTER,
    ATTR_ASKED_BY,
    ATTR_ASKED_THROUGH,
    ATTR_BEFORE,
    ATTR_CONFIRMED_BY,
    ATTR_CONFIRMED_THROUGH,
    ATTR_ERROR,
    ATTR_NAME,
    ATTR_OUTCOME,
    ATTR_SETTING,
    ATTR_UNIT,
    ATTR_VALUE,
    EVENT_WRITE,
)

MESSAGES: Final = {
    Outcome.WRITTEN: "{setting} was changed from {before} to {value}",
    Outcome.CARRIED_OUT: "{setting}: the device reports that {value} was carried out",
    Outcome.NOT_WRITTEN: "{setting} was not changed to {value}: still {before}",
    Outcome.KEPT_OLD_VALUE: "{setting} stayed {before} although {value} was accepted",
    Outcome.UNKNOWN: "{setting} was {before}; whether {value} was taken is not known",
}
"""What is said of each outcome that is told to the bus."""

HOLDS_OTHER: Final = (
    "{setting} became {after} instead of {before}, though {value} was sent"
)
"""What is said when the device holds a third value."""


@callback
def async_describe_events(
    hass: HomeAssistant,
    async_describe_event: Callable[[str, str, Callable[[Event], dict[str, str]]], None],
) -> None:
    """Say how the event of a write reads."""
    async_describe_event(DOMAIN, EVENT_WRITE, describe_write)


@callback
def describe_write(event: Event) -> dict[str, str]:
    """Return name and message of the line for a write."""
    data = event.data
    message = MESSAGES[Outcome(data[ATTR_OUTCOME])]
    if data[ATTR_ERROR] == HoldsOtherValueError.key:
        message = HOLDS_OTHER
    message = message.format(
        setting=data[ATTR_SETTING],
        after=_text(data[ATTR_AFTER], data[ATTR_UNIT]),
        before=_text(data[ATTR_BEFORE], data[ATTR_UNIT]),
        value=_text(data[ATTR_VALUE], data[ATTR_UNIT]),
    )
    asked = f"{data[ATTR_ASKED_BY]} through " if data[ATTR_ASKED_BY] else ""
    message += f", asked for by {asked}{data[ATTR_ASKED_THROUGH]}"
    if (confirmed := data[ATTR_CONFIRMED_THROUGH]) != data[ATTR_ASKED_THROUGH]:
        who = f"by {data[ATTR_CONFIRMED_BY]} " if data[ATTR_CONFIRMED_BY] else ""
        message += f", confirmed {who}through {confirmed}"
    return {LOGBOOK_ENTRY_NAME: data[ATTR_NAME], LOGBOOK_ENTRY_MESSAGE: message}


def _text(value: object, unit: str | None) -> str:
    """Return a value of an event as it reads in a sentence."""
    if isinstance(value, dict):
        return ", ".join(f"{name} {_text(part, None)}" for name, part in value.items())
    if value is None or isinstance(value, bool | int | float | str):
        return as_text(value, unit)
    return str(value)
