"""A listener in Home Assistant, and simulated dataloggers that report to it."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
import math
from typing import Any, Final
from unittest.mock import patch

from pytest_homeassistant_custom_component.common import MockConfigEntry

from custom_components.local_solar.const import (
    CONF_ALLOWED,
    CONF_CLOUD_HOST,
    CONF_CLOUD_PORT,
    CONF_INVENTORY,
    CONF_KIND,
    CONF_MODE,
    CONF_WRITE_ACCESS,
    DOMAIN,
    KIND_DATALOGGER,
    MODE_STAND_ALONE,
    MODE_WITH_CLOUD,
    WRITE_CONFIRM,
)
from custom_components.local_solar.coordinators.datalogger import DataloggerCoordinator
from homeassistant.core import HomeAssistant, State
from homeassistant.helpers import device_registry as dr, entity_registry as er
from simulators.datalogger.inverters import SimulatedInverter
from simulators.datalogger.stick import EAGER, SimulatedStick

HOST: Final = "127.0.0.1"
LOGGER: Final = "XGD0SIM001"
LOGGER_ID: Final = f"datalogger_{LOGGER}"
INVERTER: Final = "SNL0CE1234"
BATTERY: Final = f"{INVERTER}_battery"
TIMEOUT: Final = 10.0


def make_entry(
    *,
    cloud_port: int | None = None,
    allowed: Iterable[str] = (),
    inventory: Mapping[str, Any] | None = None,
    options: Mapping[str, Any] | None = None,
) -> MockConfigEntry:
    """Return an entry as the config flow makes it, on any free port."""
    return MockConfigEntry(
        domain=DOMAIN,
        title="Growatt datalogger server",
        data={
            CONF_KIND: KIND_DATALOGGER,
            "host": HOST,
            "port": 0,
            CONF_MODE: MODE_STAND_ALONE if cloud_port is None else MODE_WITH_CLOUD,
            CONF_CLOUD_HOST: HOST,
            CONF_CLOUD_PORT: cloud_port or 5279,
            CONF_ALLOWED: [*allowed],
            CONF_INVENTORY: dict(inventory or {}),
        },
        options=dict(options or {}),
    )


async def set_up(
    hass: HomeAssistant, entry: MockConfigEntry | None = None, **options: Any
) -> MockConfigEntry:
    """Set a listener up."""
    entry = entry or make_entry(options=options)
    entry.add_to_hass(hass)
    await hass.config_entries.async_setup(entry.entry_id)
    await hass.async_block_till_done()
    return entry


async def set_up_writable(hass: HomeAssistant) -> MockConfigEntry:
    """Set a listener up with writing switched on."""
    return await set_up(hass, **{CONF_WRITE_ACCESS: WRITE_CONFIRM})


def coordinator_of(entry: MockConfigEntry) -> DataloggerCoordinator:
    """Return the coordinator of an entry that is set up."""
    coordinator = entry.runtime_data
    assert isinstance(coordinator, DataloggerCoordinator)
    return coordinator


def make_stick(
    entry: MockConfigEntry,
    serial: str = LOGGER,
    inverters: Iterable[SimulatedInverter] | None = None,
    **kwargs: Any,
) -> SimulatedStick:
    """Return a stick that reports to a listener as fast as it may."""
    port = coordinator_of(entry).server.port
    if inverters is None:
        inverters = [SimulatedInverter(1, "min_6000tl_xh", INVERTER)]
    kwargs.setdefault("timing", EAGER)
    return SimulatedStick(serial, (HOST, port), inverters, **kwargs)


@asynccontextmanager
async def reporting(
    hass: HomeAssistant, entry: MockConfigEntry, **kwargs: Any
) -> AsyncIterator[SimulatedStick]:
    """Run a stick whose inverters have become known, and have been shown."""
    stick = make_stick(entry, **kwargs)
    async with stick:
        await until_known(
            hass, entry, [each.serial for each in stick.inverters.values()]
        )
        yield stick


async def until_known(
    hass: HomeAssistant, entry: MockConfigEntry, serials: Iterable[str]
) -> None:
    """Wait until inverters show values."""
    coordinator = coordinator_of(entry)

    def is_shown() -> bool:
        return all(
            coordinator.value((serial, "connected")) is True for serial in serials
        )

    await until(coordinator, is_shown)
    await hass.async_block_till_done()


async def until(
    coordinator: DataloggerCoordinator, is_true: Callable[[], bool]
) -> None:
    """Wait until something is true, looking whenever something is shown."""
    changed = asyncio.Event()
    stop = coordinator.async_add_listener(changed.set)
    try:
        async with asyncio.timeout(TIMEOUT):
            while not is_true():
                await changed.wait()
                changed.clear()
    finally:
        stop()


@contextmanager
def prompt() -> Iterator[None]:
    """Leave no pauses between what loggers are told, and let them be silent for long."""
    package = "custom_components.local_solar.growatt.datalogger"
    with (
        patch(f"{package}.server.IDLE", math.inf),
        patch(f"{package}.session.CLOCK_AFTER", 0.0),
        patch(f"{package}.session.ASK_AFTER", 0.0),
        patch(f"{package}.commands.SPACING", 0.0),
    ):
        yield


@contextmanager
def impatient() -> Iterator[None]:
    """Wait for an answer that does not come no longer than a test can."""
    package = "custom_components.local_solar.growatt.datalogger.commands"
    with (
        patch(f"{package}.INVERTER_TIMEOUT", 0.05),
        patch(f"{package}.LOGGER_TIMEOUT", 0.05),
    ):
        yield


async def soon(is_true: Callable[[], object]) -> None:
    """Wait until something is true that nobody tells of."""
    async with asyncio.timeout(TIMEOUT):
        while not is_true():
            await asyncio.sleep(0)


async def report(
    hass: HomeAssistant, entry: MockConfigEntry, stick: SimulatedStick
) -> None:
    """Let a stick report now, and wait until all of that has arrived."""
    logger = coordinator_of(entry).fleet.loggers[stick.serial]
    before = logger.records
    entries = stick.report()
    await soon(
        lambda: (
            logger.records >= before + len(entries)
            and all(entry.is_acknowledged for entry in entries)
        )
    )
    await hass.async_block_till_done()


async def poll(hass: HomeAssistant, entry: MockConfigEntry) -> None:
    """Poll now, and let what follows from that happen."""
    await coordinator_of(entry).async_refresh()
    await hass.async_block_till_done(wait_background_tasks=True)


# -- what the owner sees --------------------------------------------------------------


def entity_id_of(hass: HomeAssistant, device: str, key: str) -> str:
    """Return the entity id of a point, whatever shows it."""
    (entity_id,) = (
        entity.entity_id
        for entity in er.async_get(hass).entities.values()
        if entity.platform == DOMAIN and entity.unique_id == f"{device}_{key}"
    )
    return entity_id


def state_of(hass: HomeAssistant, device: str, key: str) -> State:
    """Return the state of a point's entity."""
    state = hass.states.get(entity_id_of(hass, device, key))
    assert state is not None
    return state


def states(hass: HomeAssistant, device: str) -> dict[str, str]:
    """Return the states of a device's entities, by key."""
    return {
        entity.unique_id.removeprefix(f"{device}_"): state.state
        for entity in er.async_get(hass).entities.values()
        if entity.platform == DOMAIN and entity.unique_id.startswith(f"{device}_")
        if (state := hass.states.get(entity.entity_id)) is not None
    }


def device_of(
    hass: HomeAssistant, entry: MockConfigEntry, device: str
) -> dr.DeviceEntry:
    """Return what the registry knows of a device."""
    found = dr.async_get(hass).async_get_device_by_identifier(
        (DOMAIN, device), entry.entry_id
    )
    assert found is not None
    return found


def devices_of(hass: HomeAssistant, entry: MockConfigEntry) -> dict[str, str | None]:
    """Return the devices of an entry, each with what it is reached through."""
    registered = dr.async_entries_for_config_entry(dr.async_get(hass), entry.entry_id)
    names = {device.id: next(iter(device.identifiers))[1] for device in registered}
    return {
        names[device.id]: names[device.via_device_id] if device.via_device_id else None
        for device in registered
    }
