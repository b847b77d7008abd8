"""What all tests share."""

# Home Assistant looks custom components up in the first package of this name that
# is imported; the test kit brings one of its own.
import custom_components  # noqa: F401  # isort: skip

from collections.abc import Iterator
from datetime import timedelta
from typing import Any
from unittest.mock import PropertyMock, patch

from hypothesis import settings
import pytest
from pytest_homeassistant_custom_component.common import MockConfigEntry
from pytest_homeassistant_custom_component.syrupy import HomeAssistantSnapshotExtension
from syrupy.assertion import SnapshotAssertion

from homeassistant.core import HomeAssistant
from homeassistant.helpers import device_registry as dr

from .common import HOST, TL_XH, Link, Network
from .datalogger_helpers import prompt
from .writing_helpers import Writable, add_unit, at_once, device_of, set_up_writable

# How long an example takes says nothing on a busy computer.
settings.register_profile("local_solar", parent=settings.default, deadline=None)
settings.load_profile("local_solar")


@pytest.fixture(autouse=True)
def find_the_integration(request: pytest.FixtureRequest) -> None:
    """Let Home Assistant find the integration, in tests that start one."""
    if "hass" in request.fixturenames:
        request.getfixturevalue("enable_custom_integrations")


@pytest.fixture(autouse=True)
def enable_event_loop_debug() -> None:
    """Leave the event loop as it is, in the place of the test kit's fixture of this name.

    Its debug mode keeps where each callback was made, which takes a third of the suite's
    time. What it would tell of tasks left behind, the test kit's own checks tell.
    """


@pytest.fixture(autouse=True)
def no_usb_adapters(request: pytest.FixtureRequest) -> Iterator[None]:
    """Keep Home Assistant from looking for USB adapters on this computer."""
    if "hass" not in request.fixturenames:
        yield
        return
    with patch("homeassistant.components.usb.async_setup", return_value=True):
        yield


@pytest.fixture
def snapshot(snapshot: SnapshotAssertion) -> SnapshotAssertion:
    """Compare with what is stored in ``snapshots``, without what differs in every run."""
    return snapshot.use_extension(HomeAssistantSnapshotExtension)


@pytest.fixture
def all_entities_enabled() -> Iterator[None]:
    """Let no entity be disabled at first."""
    with patch(
        "homeassistant.helpers.entity.Entity.entity_registry_enabled_default",
        PropertyMock(return_value=True),
    ):
        yield


@pytest.fixture
def network() -> Iterator[Network]:
    """Links in memory in the place of those that Home Assistant would open."""
    with Network() as network:
        yield network


@pytest.fixture
def link(network: Network) -> Link:
    """A Modbus TCP link with a MIN 6000TL-XH as unit 1."""
    return network.add_tcp(HOST, {1: TL_XH})


# -- an inverter that is written to; tests that need another one have their own ---------


@pytest.fixture
def settled(hass_storage: dict[str, Any]) -> Iterator[None]:
    """Let no test wait for a device to settle, and keep what is stored in memory."""
    with at_once():
        yield


@pytest.fixture
def unit(network: Network) -> Writable:
    """A MIN 6000TL-XH."""
    return add_unit(network, TL_XH)


@pytest.fixture
async def entry(hass: HomeAssistant, unit: Writable) -> MockConfigEntry:
    """Its entry, with writing switched on."""
    return await set_up_writable(hass, unit)


@pytest.fixture
def device(hass: HomeAssistant, entry: MockConfigEntry) -> dr.DeviceEntry:
    """The inverter."""
    return device_of(hass, entry)


# -- an inverter that is simulated: there is no line whose pace must be kept -------------


@pytest.fixture
def no_pauses() -> Iterator[None]:
    """Leave no quiet time between messages until an option says otherwise."""
    package = "custom_components.local_solar"
    with (
        patch(f"{package}.flows.growatt.DEFAULT_SPACING", 0),
        patch(f"{package}.coordinators.growatt.DEFAULT_SPACING", 0),
    ):
        yield


@pytest.fixture
def unrationed() -> Iterator[None]:
    """Let flash be written again at once."""
    with patch("custom_components.local_solar.write_budget.SPACING", timedelta()):
        yield


# -- dataloggers that are simulated ------------------------------------------------------


@pytest.fixture
def prompt_sessions() -> Iterator[None]:
    """Leave no pauses between what loggers are told."""
    with prompt():
        yield
