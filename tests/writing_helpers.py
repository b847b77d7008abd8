"""What the tests of writing in Home Assistant share: asking, answering, and counting."""

from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager
from datetime import time, timedelta
import re
from typing import Any, override
from unittest.mock import patch

from modbus_connection.mock import WriteEvent
import pytest
from pytest_homeassistant_custom_component.common import MockConfigEntry

from custom_components.local_solar.const import CONF_WRITE_ACCESS, DOMAIN, WRITE_CONFIRM
from homeassistant.config_entries import ConfigEntry
from homeassistant.core import Context, HomeAssistant, SupportsResponse
from homeassistant.exceptions import HomeAssistantError, ServiceValidationError
from homeassistant.helpers import (
    device_registry as dr,
    entity_registry as er,
    issue_registry as ir,
)
from homeassistant.util.json import JsonObjectType

from .common import HOST, Network, Unit, set_up

ACTIVE_POWER = 3
"""Holding register of ``active_power_limit``; not kept in flash by default."""
POWER_COMMAND_MEMORY = 2
"""Makes the register above one that is kept in flash."""
EXPORT_LIMIT_MODE = 122
EXPORT_LIMIT = 123
SLOT_1, SLOT_2, SLOT_3 = 3038, 3040, 3042
CHARGE_STOP_SOC = 3048
AC_CHARGE = 3049

ON = 1 << 15
BATTERY_FIRST = 1 << 13

SPACING = timedelta(seconds=11)
"""Longer than flash must rest between two writes."""

_CALLS = {
    "number": ("set_value", "value"),
    "select": ("select_option", "option"),
    "time": ("set_value", "time"),
}


def at_once() -> AbstractContextManager[object]:
    """Let the gate look at once at what a device holds after a write."""
    return patch("custom_components.local_solar.write_gate.SETTLE", (0.0, 0.0, 0.0))


class Writable(Unit):
    """A unit whose answers to writes can get lost, or be a lie."""

    def __init__(self, dataset: str) -> None:
        """Note all writes of the registers of a dataset."""
        super().__init__(dataset)
        self.writes: list[WriteEvent] = []
        self.after_write: Callable[[], None] | None = None
        """Called after each write; what it raises is what the writer sees."""
        self.keeps_old_values = False
        self.on_write(self._note)

    def _note(self, event: WriteEvent) -> None:
        self.writes.append(event)
        if self.after_write is not None:
            self.after_write()

    @override
    async def write_register(self, address: int, value: int) -> None:
        old = self.holding.get(address, 0)
        await super().write_register(address, value)
        if self.keeps_old_values:
            self.holding[address] = old

    @property
    def written(self) -> list[tuple[int, list[int]]]:
        """First address and words of each write so far."""
        return [(event.address, list(map(int, event.values))) for event in self.writes]

    def taken_requests(self) -> int:
        """Return how many requests there were since the last call."""
        requests = len(self.taken_reads()) + len(self.writes)
        self.writes.clear()
        return requests


def add_unit(network: Network, dataset: str) -> Writable:
    """Put a unit of a dataset into the network."""
    unit = Writable(dataset)
    network.add_tcp(HOST, {1: unit})
    return unit


async def set_up_writable(
    hass: HomeAssistant, unit: Writable, **options: object
) -> MockConfigEntry:
    """Set up the entry of a unit whose owner has switched writing on."""
    return await set_up(
        hass, unit, options={CONF_WRITE_ACCESS: WRITE_CONFIRM, **options}
    )


def device_of(
    hass: HomeAssistant, entry: ConfigEntry, *, battery: bool = False
) -> dr.DeviceEntry:
    """Return the device of an inverter, or of the battery behind it."""
    name = f"{entry.unique_id}_battery" if battery else f"{entry.unique_id}"
    device = dr.async_get(hass).async_get_device_by_identifier(
        (DOMAIN, name), entry.entry_id
    )
    assert device is not None
    return device


async def act(
    hass: HomeAssistant, action: str, device: dr.DeviceEntry | str, **data: object
) -> JsonObjectType:
    """Call an action as an automation does that nobody started."""
    return await act_as(hass, Context(), action, device, **data)


async def act_as(
    hass: HomeAssistant,
    context: Context,
    action: str,
    device: dr.DeviceEntry | str,
    **data: object,
) -> JsonObjectType:
    """Call an action for a device and return its response, empty if it gives none."""
    device_id = device if isinstance(device, str) else device.id
    response = await hass.services.async_call(
        DOMAIN,
        action,
        {"device_id": device_id, **data},
        blocking=True,
        context=context,
        return_response=hass.services.supports_response(DOMAIN, action)
        is not SupportsResponse.NONE,
    )
    assert response is None or isinstance(response, dict)
    return response or {}


def control_of(hass: HomeAssistant, entry: ConfigEntry, key: str) -> str:
    """Return the entity id of a setting of the inverter or its battery."""
    names = {f"{entry.unique_id}_{key}", f"{entry.unique_id}_battery_{key}"}
    registry = er.async_get(hass)
    (entity_id,) = (
        entity.entity_id
        for entity in er.async_entries_for_config_entry(registry, entry.entry_id)
        if entity.unique_id in names
    )
    return entity_id


async def enable(hass: HomeAssistant, entry: ConfigEntry, key: str) -> None:
    """Enable the control of a setting, as the owner does."""
    er.async_get(hass).async_update_entity(
        control_of(hass, entry, key), disabled_by=None
    )
    await hass.config_entries.async_reload(entry.entry_id)
    await hass.async_block_till_done()


def shown(hass: HomeAssistant, entry: ConfigEntry, key: str) -> str:
    """Return the state of the control of a setting."""
    state = hass.states.get(control_of(hass, entry, key))
    assert state is not None
    return state.state


async def move(
    hass: HomeAssistant,
    entry: ConfigEntry,
    key: str,
    value: object,
    *,
    context: Context | None = None,
) -> None:
    """Change a control as the owner does in a dashboard."""
    entity_id = control_of(hass, entry, key)
    domain = entity_id.partition(".")[0]
    data: dict[str, Any] = {"entity_id": entity_id}
    if domain == "switch":
        action = "turn_on" if value else "turn_off"
    elif domain == "button":
        action = "press"
    else:
        action, field = _CALLS[domain]
        data[field] = value.isoformat() if isinstance(value, time) else value
    await hass.services.async_call(domain, action, data, blocking=True, context=context)


async def ask(
    hass: HomeAssistant,
    entry: ConfigEntry,
    key: str,
    value: object,
    *,
    context: Context | None = None,
) -> str:
    """Change a control, which asks for a confirmation; return the token of the question."""
    with pytest.raises(ServiceValidationError) as question:
        await move(hass, entry, key, value, context=context)
    assert question.value.translation_key == "confirmation_pending"
    assert question.value.translation_placeholders is not None
    return question.value.translation_placeholders["token"]


def issues(hass: HomeAssistant) -> list[ir.IssueEntry]:
    """Return what waits in the repairs."""
    return [
        issue
        for (domain, _), issue in ir.async_get(hass).issues.items()
        if domain == DOMAIN and issue.active
    ]


def texts_of(issue: ir.IssueEntry) -> dict[str, str]:
    """Return the words that go into the text of an issue."""
    assert issue.translation_placeholders is not None
    return issue.translation_placeholders


async def refused(calling: Awaitable[object]) -> HomeAssistantError:
    """Return the error that a call raises; its text must be whole."""
    with pytest.raises(HomeAssistantError) as refusal:
        await calling
    assert_whole(refusal.value)
    return refusal.value


def assert_whole(err: HomeAssistantError) -> None:
    """Check that the text of an error is there, with all words filled in."""
    text = str(err)
    assert text != err.translation_key, f"{text} has no text"
    assert not re.search(r"{\w+}", text), text
    assert "None" not in text, text
