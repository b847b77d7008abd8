"""A listener in Home Assistant, and simulated dataloggers that report to it."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from typing import Any, Final

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
from homeassistant.core import HomeAssistant
from simulators.datalogger.inverters import SimulatedInverter
from simulators.datalogger.stick import EAGER, SimulatedStick

HOST: Final = "127.0.0.1"
LOGGER: Final = "XGD0SIM001"
INVERTER: Final = "SNL0CE1234"
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
