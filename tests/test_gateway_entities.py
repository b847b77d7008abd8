"""What an owner of a gateway sees of it."""

from collections.abc import Iterator
from unittest.mock import patch

import pytest
from syrupy.assertion import SnapshotAssertion

from custom_components.local_solar.gateway.devices import Observer, errors
from custom_components.local_solar.gateway.gateway import Gateway
from custom_components.local_solar.gateway.statistics import Statistics
from homeassistant.const import STATE_UNAVAILABLE
from homeassistant.core import HomeAssistant, State
from homeassistant.helpers import device_registry as dr, entity_registry as er

from .common import Link
from .gateway_helpers import (
    client_of,
    coordinator_of,
    exception_of,
    poll,
    set_up,
    soon,
    state_of,
)

pytestmark = pytest.mark.usefixtures("socket_enabled")


class Clock:
    """The time that the gateway's rates are made with, in seconds."""

    def __init__(self) -> None:
        """Begin long after the computer was started."""
        self.now = 1e6

    def __call__(self) -> float:
        """Return the time."""
        return self.now


@pytest.fixture
def clock() -> Iterator[Clock]:
    """A clock that goes only when it is told to."""
    clock = Clock()
    with patch(
        "custom_components.local_solar.coordinators.gateway.monotonic",
        side_effect=clock,
    ):
        yield clock


def described(entity: er.RegistryEntry, state: State | None) -> str:
    """Return in a line what an entity is and shows."""
    assert state is not None
    attributes = state.attributes
    words = (
        state.state,
        attributes.get("unit_of_measurement"),
        attributes.get("device_class"),
        attributes.get("state_class"),
        entity.entity_category,
        entity.translation_key,
    )
    return " | ".join("" if word is None else str(word) for word in words)


@pytest.mark.usefixtures("all_entities_enabled", "clock", "link")
async def test_all_entities_and_devices(
    hass: HomeAssistant,
    entity_registry: er.EntityRegistry,
    device_registry: dr.DeviceRegistry,
    snapshot: SnapshotAssertion,
) -> None:
    entry = await set_up(hass)
    async with client_of(entry) as client:
        await client.read_holding_registers(43, count=1)
        await poll(hass, entry)
        entities = er.async_entries_for_config_entry(entity_registry, entry.entry_id)
        shown = {
            entity.entity_id: described(entity, hass.states.get(entity.entity_id))
            for entity in sorted(entities, key=lambda entity: entity.entity_id)
        }
    assert shown == snapshot(name="entities")
    assert {
        device.name: {
            "manufacturer": device.manufacturer,
            "model": device.model,
            "serial_number": device.serial_number,
        }
        for device in dr.async_entries_for_config_entry(device_registry, entry.entry_id)
    } == snapshot(name="devices")
    assert not [line for line in shown.values() if line.startswith(STATE_UNAVAILABLE)]


@pytest.mark.usefixtures("link")
async def test_entities_that_are_enabled_at_first(
    hass: HomeAssistant, entity_registry: er.EntityRegistry
) -> None:
    entry = await set_up(hass)
    assert {
        entity.translation_key
        for entity in er.async_entries_for_config_entry(entity_registry, entry.entry_id)
        if entity.disabled_by is None
    } == {
        "clients",
        "request_rate",
        "bus_load",
        "waiting_time",
        "gateway_errors",
        "blocked_writes",
        "connected",
    }


@pytest.mark.usefixtures("all_entities_enabled")
async def test_rates_are_of_the_time_since_the_last_poll(
    hass: HomeAssistant, link: Link, clock: Clock
) -> None:
    entry = await set_up(hass)
    async with client_of(entry) as client:
        for address in (3, 3, 4):
            assert not (await client.read_holding_registers(address)).isError()
    await soon(lambda: not coordinator_of(entry).gateway.clients)
    clock.now += 10
    await poll(hass, entry)
    assert state_of(hass, entry, "request_rate").state == "0.3"
    assert state_of(hass, entry, "cache_share").state == "33.3"
    assert state_of(hass, entry, "clients").state == "0"
    clock.now += 30
    await poll(hass, entry)
    assert state_of(hass, entry, "request_rate").state == "0.0"
    assert state_of(hass, entry, "cache_share").state == "0.0"


@pytest.mark.usefixtures("link")
async def test_blocked_writes_are_counted(hass: HomeAssistant) -> None:
    entry = await set_up(hass)
    async with client_of(entry) as client:
        for _ in range(2):
            assert exception_of(await client.write_register(3, 50)) == 1
    await poll(hass, entry)
    assert state_of(hass, entry, "blocked_writes").state == "2"
    # Nobody is to blame for that but who asked.
    assert state_of(hass, entry, "gateway_errors").state == "0"


# -- figures --------------------------------------------------------------------------


def test_time_on_the_bus_and_waiting_for_it_are_averages() -> None:
    gateway = Gateway({})
    observer = Observer(gateway, 100.0)
    statistics = gateway.statistics
    statistics.bus_requests = 8
    statistics.joined = 2
    statistics.bus_busy = 3.0
    statistics.waited = 1.5
    values = observer.values(110.0, is_capturing=False)
    assert values["bus_load"] == 30
    assert values["waiting_time"] == 150
    # More than all of the time is only what began before.
    statistics.bus_busy += 12.0
    assert observer.values(120.0, is_capturing=True)["bus_load"] == 100


def test_figures_of_no_time_at_all_are_none() -> None:
    values = Observer(Gateway({}), 5.0).values(5.0, is_capturing=False)
    for key in ("request_rate", "bus_load", "waiting_time", "cache_share"):
        assert values[key] == 0


def test_errors_are_not_the_mistakes_of_clients() -> None:
    statistics = Statistics()
    statistics.exceptions.update({1: 1, 2: 2, 3: 4, 4: 8, 6: 16, 10: 32, 11: 64})
    assert errors(statistics) == 8 + 16 + 32 + 64
