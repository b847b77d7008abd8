"""Off-grid inverters in Home Assistant: whatever is done, nothing makes them reset.

They reset, and cut their output, when an address from 30000 on is touched. The simulated one
does, too, and counts how often.
"""

from collections.abc import AsyncIterator
from datetime import time
from typing import Any, Final

import pytest
from pytest_homeassistant_custom_component.components.diagnostics import (
    get_diagnostics_for_config_entry,
)
from pytest_homeassistant_custom_component.typing import ClientSessionGenerator

from custom_components.local_solar.const import DOMAIN
from custom_components.local_solar.growatt.models import Certainty
from custom_components.local_solar.growatt.profiles.catalogue import PROFILES
from custom_components.local_solar.points import Point, Quantity
from homeassistant.config_entries import SOURCE_RECONFIGURE
from homeassistant.const import STATE_OFF, STATE_ON
from homeassistant.core import HomeAssistant
from homeassistant.data_entry_flow import FlowResultType
from homeassistant.exceptions import ServiceValidationError
from homeassistant.helpers import device_registry as dr
from homeassistant.setup import async_setup_component
from simulators.datasets import Dataset, Table

from .common import coordinator_of
from .flows.common import choose, go_on, more, open_form, search
from .growatt_helpers import (
    HOST,
    UNIT,
    Home,
    WatchedSimulator,
    home_of,
    home_with,
    set_slot,
)
from .writing_helpers import act, device_of, refused

pytestmark = pytest.mark.usefixtures(
    "socket_enabled", "no_pauses", "settled", "unrationed"
)

SPF: Final = "spf_5000es"

RESETS: Final = 30000
"""The first address that makes an off-grid model reset."""

GROUP: Final = 45
"""Words of a group, which no request may leave."""

FORBIDDEN: Final = [(30000, 1), (29999, 2), (29950, 100), (30099, 1), (65535, 1)]
"""Places that people might look at, and words."""


def assert_unharmed(simulator: WatchedSimulator) -> None:
    """Check that nothing came near what makes it reset."""
    assert simulator.units[UNIT].resets == 0
    assert simulator.requests
    for request in simulator.requests:
        assert request.address + request.count <= RESETS, request


def assert_in_groups(simulator: WatchedSimulator) -> None:
    """Check that no request left a group of the inverter."""
    for request in simulator.requests:
        first, last = request.address, request.address + request.count - 1
        assert 1 <= request.count <= GROUP, request
        assert first // GROUP == last // GROUP, request


@pytest.fixture
async def home(hass: HomeAssistant) -> AsyncIterator[Home]:
    """An SPF 5000 ES, which must be unharmed in the end."""
    async with home_with(hass, SPF) as home:
        yield home
    assert home.unit.off_grid
    assert_unharmed(home.simulator)
    assert_in_groups(home.simulator)


@pytest.fixture
async def writable(home: Home) -> Home:
    """The same, with writing switched on."""
    await home.let_write()
    return home


@pytest.fixture
def hass_config_dir(hass_tmp_config_dir: str) -> str:
    """A configuration folder of its own for each test."""
    return hass_tmp_config_dir


@pytest.fixture
def inverter(hass: HomeAssistant, home: Home) -> dr.DeviceEntry:
    """The inverter's device."""
    return device_of(hass, home.entry)


def points(home: Home) -> list[Point]:
    """Return all points of the inverter and its battery."""
    return [
        point
        for device in coordinator_of(home.entry).devices
        for point in device.points
    ]


# -- reading --------------------------------------------------------------------------


async def test_set_up_polls_and_restarts(
    all_entities_enabled: None, home: Home
) -> None:
    for _ in range(3):
        await home.poll()
    assert home.missing() == {}
    await home.reload()
    await home.poll()
    assert home.missing() == {}


async def test_diagnostics(
    hass: HomeAssistant, hass_client: ClientSessionGenerator, home: Home
) -> None:
    assert await async_setup_component(hass, "diagnostics", {})
    data = await get_diagnostics_for_config_entry(hass, hass_client, home.entry)
    assert isinstance(data, dict)
    assert data["identification"]["profile"] == "spf"
    assert data["missing"] == {}


async def test_dump(hass: HomeAssistant, home: Home, inverter: dr.DeviceEntry) -> None:
    response = await act(hass, "dump_registers", inverter)
    assert response["missing"] == {}


async def test_every_register_is_read_by_its_key(
    hass: HomeAssistant, home: Home, inverter: dr.DeviceEntry
) -> None:
    for row in coordinator_of(home.entry).inverter.rows:
        response = await act(hass, "read_register", inverter, register=row.key)
        assert response["address"] == row.address


@pytest.mark.parametrize("space", ["holding", "input"])
async def test_registers_are_read_by_address_within_the_groups_only(
    hass: HomeAssistant, home: Home, inverter: dr.DeviceEntry, space: str
) -> None:
    response = await act(
        hass, "read_register", inverter, space=space, address=1, count=100
    )
    words = response["raw"]
    assert isinstance(words, list)
    assert len(words) == 100
    asked = len(home.simulator.requests)
    for address, count in FORBIDDEN:
        err = await refused(
            act(
                hass,
                "read_register",
                inverter,
                space=space,
                address=address,
                count=count,
            )
        )
        assert isinstance(err, ServiceValidationError)
        assert err.translation_key == "forbidden_registers"
        assert str(address) in str(err)
    assert len(home.simulator.requests) == asked


async def test_waking_up(home: Home) -> None:
    home.unit.silent = True
    await home.poll()
    assert home.state("connected").state == STATE_OFF
    await home.reload()
    assert home.state("connected").state == STATE_OFF
    home.unit.silent = False
    await home.poll()
    assert home.state("connected").state == STATE_ON
    await home.poll()
    assert home.missing() == {}


# -- flows ----------------------------------------------------------------------------


async def test_reconfiguring(hass: HomeAssistant, home: Home) -> None:
    result = await hass.config_entries.flow.async_init(
        DOMAIN,
        context={"source": SOURCE_RECONFIGURE, "entry_id": home.entry.entry_id},
    )
    result = await choose(hass, result, "growatt_tcp")
    result = await go_on(hass, result, {"host": HOST, "port": home.port, **more()})
    assert result["type"] is FlowResultType.ABORT
    assert result["reason"] == "reconfigure_successful"
    await hass.async_block_till_done()
    assert home.identification["profile"] == "spf"


async def test_searching_the_bus(hass: HomeAssistant, home: Home) -> None:
    # The inverter itself is known, and not asked again; nobody else is there.
    result = await open_form(hass, "growatt_tcp")
    form = {"host": HOST, "port": home.port, **more(search=True)}
    result = await search(hass, result, form)
    assert result["errors"] == {"base": "scan_found_nothing"}


async def test_another_register_map_is_not_taken(home: Home) -> None:
    for profile in PROFILES:
        await home.set_options(profile=profile)
        await home.poll()
        assert coordinator_of(home.entry).inverter.profile.key == "spf"
        assert home.missing() == {}


# -- writing --------------------------------------------------------------------------


def another(point: Point, present: object) -> object:
    """Return a value that a setting may have, other than the present one."""
    setting = point.setting
    assert setting is not None
    if point.quantity is Quantity.FLAG:
        return not present
    if point.options:
        return next(option for option in point.options if option != present)
    if point.quantity is Quantity.TIME_OF_DAY:
        return "03:30:00"
    return setting.minimum if present != setting.minimum else setting.maximum


async def test_every_setting_is_changed(
    hass: HomeAssistant, writable: Home, inverter: dr.DeviceEntry
) -> None:
    home = writable
    settings = [
        point
        for point in points(home)
        if point.setting is not None
        and point.quantity not in (Quantity.TIME_SLOT, Quantity.COMMAND)
    ]
    assert len(settings) > 30
    for point in settings:
        present = await act(hass, "read_register", inverter, register=point.key)
        result = await act(
            hass,
            "set_register",
            inverter,
            register=point.key,
            value=another(point, present["value"]),
            confirm=True,
        )
        assert result["outcome"] == "written", point.key
    result = await act(
        hass, "set_register", inverter, register="sync_clock", value=True, confirm=True
    )
    assert result["verified"]


async def test_nothing_else_is_changed(
    hass: HomeAssistant, writable: Home, inverter: dr.DeviceEntry
) -> None:
    home = writable
    others = [
        point.key
        for point in points(home)
        if point.setting is None and point.quantity is not Quantity.COMMAND
    ]
    assert "bulk_charge_voltage" in others
    for key in others:
        err = await refused(
            act(hass, "set_register", inverter, register=key, value=1, confirm=True)
        )
        assert isinstance(err, ServiceValidationError), key
    assert not home.writes


async def test_every_window_of_the_day_is_set(writable: Home) -> None:
    windows = {
        "grid_output": 1,
        "grid_charge": 4,
        "battery_feed": 3,
        "second_output": 3,
    }
    for mode, count in windows.items():
        for slot in range(1, count + 1):
            result = await set_slot(
                writable, slot, mode=mode, start=time(22, 15), end=time(6, 45)
            )
            assert result["outcome"] == "written", (mode, slot)
        err = await refused(set_slot(writable, count + 1, mode=mode, start=time(22)))
        assert err.translation_key == "no_such_slot"


LACKING: Final[list[tuple[str, dict[str, Any], str]]] = [
    ("import_energy_history", {}, "no_energy_history"),
    ("import_energy_history", {"confirm": True}, "no_energy_history"),
    (
        "control_battery",
        {"power": 50, "duration": 30, "confirm": True},
        "no_battery_control",
    ),
    ("release_battery", {"confirm": True}, "no_battery_control"),
    ("read_register", {"register": "vpp_control"}, "unknown_register"),
    (
        "set_register",
        {"register": "battery_command", "value": True, "confirm": True},
        "unknown_register",
    ),
    (
        "set_register",
        {"register": "vpp_control", "value": True, "confirm": True},
        "unknown_register",
    ),
    (
        "set_time_slot",
        {"slot": 1, "mode": "vpp", "power": 50, "confirm": True},
        "slot_mode_needed",
    ),
]
"""Actions for what the inverter does not have, and why they are refused."""


@pytest.mark.parametrize("battery", [False, True])
async def test_what_it_does_not_have_is_refused(
    hass: HomeAssistant, writable: Home, battery: bool
) -> None:
    asked = len(writable.simulator.requests)
    device = device_of(hass, writable.entry, battery=battery)
    for action, data, key in LACKING:
        err = await refused(act(hass, action, device, **data))
        assert err.translation_key == key, action
    assert len(writable.simulator.requests) == asked


# -- models that nobody knows ---------------------------------------------------------


def unnamed() -> WatchedSimulator:
    """Return an off-grid inverter that gives nothing of itself away."""
    simulator = WatchedSimulator(SPF, lives=False)
    words = simulator.units[UNIT].dataset.words
    words[Table.HOLDING] |= {43: 0, **dict.fromkeys(range(9, 15), 0)}
    words[Table.HOLDING] |= dict.fromkeys((23, 209), int.from_bytes(b"XX"))
    words[Table.INPUT][44] = 0
    return simulator


async def test_code_in_the_input_registers_is_enough(hass: HomeAssistant) -> None:
    dataset = Dataset.load(SPF)
    dataset.words[Table.HOLDING][43] = 0
    async with home_of(hass, WatchedSimulator(dataset, lives=False)) as home:
        assert home.unit.off_grid
        assert home.identification["profile"] == "spf"
    assert_unharmed(home.simulator)
    assert_in_groups(home.simulator)


async def test_unnamed_off_grid_model_is_left_alone_whatever_the_owner_chooses(
    hass: HomeAssistant, hass_client: ClientSessionGenerator
) -> None:
    assert await async_setup_component(hass, "diagnostics", {})
    async with home_of(hass, unnamed()) as home:
        assert home.identification["certainty"] == Certainty.GUESSED
        for profile in ("automatic", *PROFILES):
            await home.set_options(profile=profile)
            await home.poll()
            await get_diagnostics_for_config_entry(hass, hass_client, home.entry)
            for address, count in FORBIDDEN[:-1]:
                err = await refused(
                    act(
                        hass,
                        "read_register",
                        device_of(hass, home.entry),
                        space="holding",
                        address=address,
                        count=count,
                    )
                )
                assert err.translation_key == "forbidden_registers"
    assert_unharmed(home.simulator)
