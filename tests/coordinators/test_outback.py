"""What only the coordinator of an OutBack gateway does: be gentle, recover, let go."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from datetime import timedelta
from typing import Any, Final
from unittest.mock import patch

from freezegun.api import FrozenDateTimeFactory
from modbus_connection.tmodbus import TmodbusUnit
import pytest
from pytest_homeassistant_custom_component.common import (
    MockConfigEntry,
    async_fire_time_changed,
)

from custom_components.local_solar.coordinators import outback
from homeassistant.components.modbus.connection import async_get_connection_info
from homeassistant.config_entries import ConfigEntryState
from homeassistant.core import HomeAssistant
from homeassistant.util import dt as dt_util
from simulators.datasets import Table
from simulators.mate3.systems import VARIANTS
from tests.common import pass_time, setup_state
from tests.outback_helpers import (
    Reached,
    coordinator_of,
    impatient,
    make_entry,
    reached,
    set_up,
    set_up_writable,
)

MAC: Final = "0090ea000001"
GATEWAY: Final = 64110
CONTROLLER: Final = 64111


@pytest.fixture(autouse=True)
def without_pauses(socket_enabled: None) -> Iterator[None]:
    """Leave out the pauses that real gateways need."""
    with impatient():
        yield


@pytest.fixture
async def there(socket_enabled: None) -> AsyncIterator[Reached]:
    """A gateway."""
    async with reached() as there:
        yield there


def clients(there: Reached) -> int:
    """Return how many connections are open."""
    return sum(
        connection.open
        for listener in there.simulator._listeners  # noqa: SLF001
        for connection in getattr(listener, "connections", ())
    )


async def all_gone(there: Reached) -> None:
    """Wait until nobody is connected any more."""
    for _ in range(1000):
        if not clients(there):
            return
        await asyncio.sleep(0.001)
    pytest.fail("somebody is still connected")


# -- gently -------------------------------------------------------------------------------


async def test_link_is_asked_for_what_real_gateways_need(
    hass: HomeAssistant, there: Reached
) -> None:
    asked: dict[str, list[Any]] = {}

    def note(name: str) -> Any:
        def call(self: TmodbusUnit, value: float | None) -> None:
            asked.setdefault(name, []).append(value)

        return call

    entry = await make_entry(there)
    entry.add_to_hass(hass)
    with (
        patch.object(outback, "MESSAGE_SPACING", 0.05),
        patch.object(outback, "CONNECT_DELAY", 2.0),
        patch.object(TmodbusUnit, "set_message_spacing", note("spacing")),
        patch.object(TmodbusUnit, "require_connect_delay", note("delay")),
        patch.object(TmodbusUnit, "require_timeout", note("timeout")),
    ):
        await hass.config_entries.async_setup(entry.entry_id)
        await hass.async_block_till_done()
        assert min(asked["spacing"]) >= 0.05
        assert min(asked["delay"]) >= 2
        assert 1 <= max(asked["timeout"]) <= 10
        await hass.config_entries.async_unload(entry.entry_id)
        # What others need on the same link is theirs to say.
        assert asked["delay"][-1] is None
        assert asked["timeout"][-1] is None


def test_pauses_are_those_that_owners_found_necessary() -> None:
    with patch.object(outback, "MESSAGE_SPACING", outback.MESSAGE_SPACING):
        assert outback.LEAST_POLL_INTERVAL >= 5
        assert outback.DEFAULT_POLL_INTERVAL >= outback.LEAST_POLL_INTERVAL


@pytest.mark.parametrize("variant", VARIANTS)
async def test_one_connection_one_request_at_a_time_of_at_most_100_registers(
    hass: HomeAssistant, freezer: FrozenDateTimeFactory, variant: str
) -> None:
    async with reached(variant=variant) as there:
        entry = await set_up(hass, there)
        there.simulator.requests.clear()
        for _ in range(3):
            await pass_time(hass, freezer, 11)
        requests = there.simulator.requests
        assert requests
        assert len({request.client for request in requests}) == 1
        assert not there.simulator.overlaps
        assert not there.simulator.door.turned_away
        assert max(request.count or 0 for request in requests) <= 100
        assert {request.function for request in requests} == {3}
        assert not any(request.exception for request in requests)
        assert clients(there) == 1
        await hass.config_entries.async_unload(entry.entry_id)


async def test_settings_are_read_less_often_than_what_is_measured(
    hass: HomeAssistant, there: Reached, freezer: FrozenDateTimeFactory
) -> None:
    entry = await set_up(hass, there)
    there.simulator.requests.clear()
    config = there.simulator.mate3.address_of(64112, port=3)
    live = there.simulator.mate3.address_of(CONTROLLER, port=3)
    for _ in range(10):
        await pass_time(hass, freezer, 11)

    def reads(start: int, words: int) -> int:
        return sum(
            request.address < start + words
            and start < request.address + (request.count or 0)
            for request in there.simulator.requests
        )

    assert reads(live, 28) == 10
    assert reads(config, 90) == 0
    for _ in range(20):
        await pass_time(hass, freezer, 11)
    # Once, in a request or two.
    assert 1 <= reads(config, 90) <= 2
    await hass.config_entries.async_unload(entry.entry_id)


@pytest.mark.parametrize("seconds", [5, 60, 300])
async def test_interval_is_the_one_that_was_chosen(
    hass: HomeAssistant, there: Reached, freezer: FrozenDateTimeFactory, seconds: int
) -> None:
    entry = await set_up(hass, there, live_interval=seconds)
    assert coordinator_of(entry).poll_interval == timedelta(seconds=seconds)
    there.simulator.requests.clear()
    await pass_time(hass, freezer, seconds - 2)
    assert not there.simulator.requests
    await pass_time(hass, freezer, 3)
    assert there.simulator.requests
    await hass.config_entries.async_unload(entry.entry_id)


# -- letting go ---------------------------------------------------------------------------


@pytest.mark.parametrize("writable", [False, True])
async def test_reload_works_at_once_again_and_again(
    hass: HomeAssistant, there: Reached, writable: bool
) -> None:
    """The gateway takes one client: a connection that was left behind would be in the way."""
    entry = await (set_up_writable if writable else set_up)(hass, there)
    for _ in range(5):
        assert await hass.config_entries.async_reload(entry.entry_id)
        assert entry.state is ConfigEntryState.LOADED
        assert coordinator_of(entry).awake
        assert clients(there) == 1
    assert not there.simulator.door.turned_away
    await hass.config_entries.async_unload(entry.entry_id)


async def test_nothing_is_left_after_unloading(
    hass: HomeAssistant, there: Reached
) -> None:
    entry = await set_up_writable(hass, there)
    coordinator = coordinator_of(entry)
    await hass.config_entries.async_unload(entry.entry_id)
    await all_gone(there)
    assert not async_get_connection_info(hass)
    there.simulator.requests.clear()
    for minutes in (1, 2, 10):
        async_fire_time_changed(hass, dt_util.utcnow() + timedelta(minutes=minutes))
        await hass.async_block_till_done()
    assert not there.simulator.requests
    assert not coordinator._listeners  # noqa: SLF001
    await hass.config_entries.async_remove(entry.entry_id)


async def test_failed_setup_lets_go_of_the_gateway(
    hass: HomeAssistant, there: Reached
) -> None:
    there.simulator.mate3.encryption_key = 7
    entry = MockConfigEntry(
        domain="local_solar",
        unique_id=MAC,
        data={"kind": "outback", "link": there.link.to_json(), "unit_id": 1},
    )
    entry.add_to_hass(hass)
    await hass.config_entries.async_setup(entry.entry_id)
    assert entry.state is ConfigEntryState.SETUP_RETRY
    assert entry.error_reason_translation_key == "mate3_encrypted"
    await all_gone(there)
    await hass.config_entries.async_unload(entry.entry_id)


# -- what goes wrong at start ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("trouble", "key"),
    [
        ("shut", "connection_refused"),
        ("no_data", "mate3_no_data"),
        ("encrypted", "mate3_encrypted"),
        ("another", "wrong_mate3"),
        ("nothing", "not_a_mate3"),
        ("silent", "no_answer"),
    ],
)
async def test_setup_that_fails_says_why_and_is_tried_again(
    hass: HomeAssistant, there: Reached, trouble: str, key: str
) -> None:
    entry = await make_entry(there)
    entry.add_to_hass(hass)
    mate3 = there.simulator.mate3
    match trouble:
        case "shut":
            there.simulator.reboot(1e9)
        case "no_data":
            mate3.lose_data(3, 1e9)
        case "encrypted":
            mate3.encryption_key = 9
        case "another":
            mate3.set_word(GATEWAY, 12, int.from_bytes(b"99"))
        case "nothing":
            there.simulator.faults = ["exception=2"]
        case "silent":
            mate3.silent = True
    with patch.object(outback, "REQUEST_TIMEOUT", 0.2):
        await hass.config_entries.async_setup(entry.entry_id)
    assert setup_state(entry) is ConfigEntryState.SETUP_RETRY
    assert entry.error_reason_translation_key == key
    assert entry.reason
    assert "{" not in entry.reason

    there.simulator.door._shut_until = 0.0  # noqa: SLF001
    mate3._masks.clear()  # noqa: SLF001
    mate3.encryption_key = 0
    mate3.silent = False
    mate3.set_word(GATEWAY, 12, int.from_bytes(b"00"))
    there.simulator.faults = []
    await hass.config_entries.async_reload(entry.entry_id)
    assert setup_state(entry) is ConfigEntryState.LOADED
    await hass.config_entries.async_unload(entry.entry_id)


# -- what goes wrong later -------------------------------------------------------------------


async def test_another_gateway_in_its_place_is_not_read(
    hass: HomeAssistant, there: Reached, freezer: FrozenDateTimeFactory
) -> None:
    """It was exchanged while it was out of reach, and its map is another one."""
    entry = await set_up(hass, there)
    mate3 = there.simulator.mate3
    mate3.set_word(GATEWAY, 12, int.from_bytes(b"99"))
    mate3.chain.move_port(CONTROLLER, 3, 7)
    there.simulator.disconnect_clients()
    for _ in range(3):
        await pass_time(hass, freezer, 61)
    assert not coordinator_of(entry).last_update_success
    state = hass.states.get("sensor.outback_fm80_150vdc_port_4_pv_power")
    assert state is not None
    assert state.state == "unavailable"
    assert entry.state is ConfigEntryState.LOADED
    await hass.config_entries.async_unload(entry.entry_id)


@pytest.mark.parametrize("seconds", [0.0, 30.0])
async def test_gateway_that_restarts_is_found_again(
    hass: HomeAssistant,
    there: Reached,
    freezer: FrozenDateTimeFactory,
    seconds: float,
) -> None:
    entry = await set_up(hass, there)
    there.simulator.reboot(seconds)
    for _ in range(10):
        await pass_time(hass, freezer, 31)
        if coordinator_of(entry).awake:
            break
    assert coordinator_of(entry).awake
    assert entry.state is ConfigEntryState.LOADED
    state = hass.states.get("sensor.outback_mate3s_pv_power")
    assert state is not None
    assert state.state == "3000"
    await hass.config_entries.async_unload(entry.entry_id)


async def test_map_that_only_seemed_to_change_is_read_on(
    hass: HomeAssistant,
    there: Reached,
    freezer: FrozenDateTimeFactory,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    entry = await set_up(hass, there)
    coordinator = coordinator_of(entry)
    coordinator.mate3.forget()
    # For one answer the block seems to be another one.
    start = there.simulator.mate3.address_of(CONTROLLER, port=3)
    mate3, seen = there.simulator.mate3, list[int]()
    read = mate3.read

    def once(table: Table, address: int, count: int) -> list[int]:
        words = read(table, address, count)
        if address == start and not seen:
            seen.append(address)
            words[2] = 9
        return words

    monkeypatch.setattr(mate3, "read", once)
    for _ in range(3):
        await pass_time(hass, freezer, 11)
    assert seen
    assert entry.state is ConfigEntryState.LOADED
    assert coordinator_of(entry).awake
    state = hass.states.get("sensor.outback_fm80_150vdc_port_3_pv_power")
    assert state is not None
    assert state.state == "1650"
    await hass.config_entries.async_unload(entry.entry_id)


async def test_map_that_cannot_be_looked_through_leaves_everything_as_it_was(
    hass: HomeAssistant, there: Reached, freezer: FrozenDateTimeFactory
) -> None:
    entry = await set_up(hass, there)
    mate3 = there.simulator.mate3
    mate3.chain.move_port(CONTROLLER, 3, 7)
    there.simulator.faults = ["exception=4,address=40000-40001"]
    await pass_time(hass, freezer, 11)
    assert (
        not coordinator_of(entry).last_update_success or not coordinator_of(entry).awake
    )
    assert entry.state is ConfigEntryState.LOADED
    there.simulator.faults = []
    for _ in range(4):
        await pass_time(hass, freezer, 61)
    assert len(coordinator_of(entry).devices) == 5
    names = {device.identity.id for device in coordinator_of(entry).devices}
    assert f"{MAC}_charge_controller_7" in names
    await hass.config_entries.async_unload(entry.entry_id)
