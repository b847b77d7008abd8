"""What an owner of a gateway sees: entities, devices, failures, days, changes, alarms."""

from collections.abc import AsyncIterator, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from freezegun.api import FrozenDateTimeFactory
import pytest
from pytest_homeassistant_custom_component.common import (
    MockConfigEntry,
    mock_restore_cache_with_extra_data,
)
from syrupy.assertion import SnapshotAssertion

from custom_components.local_solar import async_remove_config_entry_device
from custom_components.local_solar.const import DOMAIN
from homeassistant.config_entries import ConfigEntryState
from homeassistant.const import STATE_UNAVAILABLE, STATE_UNKNOWN
from homeassistant.core import (
    Event,
    EventStateChangedData,
    HomeAssistant,
    State,
    callback,
)
from homeassistant.helpers import device_registry as dr, entity_registry as er
from homeassistant.helpers.event import async_track_state_change_event
from homeassistant.util import dt as dt_util
from simulators.mate3.systems import VARIANTS

from .common import pass_time
from .outback_helpers import (
    Reached,
    coordinator_of,
    impatient,
    make_entry,
    reached,
    set_up,
    set_up_writable,
)

MAC: Final = "0090ea000001"
INVERTER: Final = f"{MAC}_inverter_1"
FIRST: Final = f"{MAC}_charge_controller_3"
SECOND: Final = f"{MAC}_charge_controller_4"
MONITOR: Final = f"{MAC}_battery_monitor_5"

CHARGE_CONTROLLER: Final = 64111
CHARGE_CONTROLLER_CONFIG: Final = 64112
SPLIT_PHASE: Final = 64115
FLEXNET_DC: Final = 64118
GATEWAY: Final = 64110
SYSTEM_CONTROL: Final = 64120

ERROR_FLAGS: Final = 23
WARNING_FLAGS: Final = 24
TODAYS_KWH: Final = 19
LIFETIME_KWH: Final = 21

DOMAINS: Final = ("sensor", "binary_sensor", "event")

NOON: Final = "2026-06-21 19:00:00+00:00"
"""Where Home Assistant's tests are at home the sun stands high."""

MOST_SHOWN: Final = 30
MOST_OFFERED: Final = 110


@pytest.fixture(autouse=True)
def without_pauses(socket_enabled: None) -> Iterator[None]:
    """Leave out the pauses that real gateways need."""
    with impatient():
        yield


@pytest.fixture
async def there(socket_enabled: None) -> AsyncIterator[Reached]:
    """A MATE3s with a Radian, two charge controllers and a battery monitor."""
    async with reached() as there:
        yield there


@pytest.fixture
def noon(freezer: FrozenDateTimeFactory) -> FrozenDateTimeFactory:
    """Stop the clock at noon."""
    freezer.move_to(NOON)
    return freezer


def entity_id_of(hass: HomeAssistant, device: str, key: str) -> str:
    """Return the entity id of a point."""
    registry = er.async_get(hass)
    for domain in DOMAINS:
        if found := registry.async_get_entity_id(domain, DOMAIN, f"{device}_{key}"):
            return found
    raise KeyError(f"{device}_{key}")


def value(hass: HomeAssistant, device: str, key: str) -> str:
    """Return what the entity of a point shows."""
    return state_of(hass, device, key).state


def state_of(hass: HomeAssistant, device: str, key: str) -> State:
    """Return the state of a point's entity."""
    state = hass.states.get(entity_id_of(hass, device, key))
    assert state is not None
    return state


def states(hass: HomeAssistant, device: str) -> dict[str, str]:
    """Return the states of a device's entities, by key."""
    others = {INVERTER, FIRST, SECOND, MONITOR} if device == MAC else set()
    return {
        entity.unique_id.removeprefix(f"{device}_"): state.state
        for entity in er.async_get(hass).entities.values()
        if entity.unique_id.startswith(f"{device}_")
        and not entity.unique_id.startswith(tuple(others))
        and (state := hass.states.get(entity.entity_id)) is not None
    }


def counters(hass: HomeAssistant, device: str) -> dict[str, str]:
    """Return the states of all counters of energy of a device."""
    return {
        key: state
        for key, state in states(hass, device).items()
        if state_of(hass, device, key).attributes.get("device_class") == "energy"
    }


def available(shown: Mapping[str, str]) -> set[str]:
    """Return the keys of entities that show something."""
    return {key for key, state in shown.items() if state != STATE_UNAVAILABLE}


async def poll(hass: HomeAssistant, freezer: FrozenDateTimeFactory) -> None:
    """Let the time until the next poll pass, and what it needs to settle."""
    await pass_time(hass, freezer, 11)


async def read_all(hass: HomeAssistant, entry: MockConfigEntry) -> None:
    """Poll now, and read everything as if it was due."""
    coordinator_of(entry).mate3.forget()
    await coordinator_of(entry).async_refresh()
    await hass.async_block_till_done()


async def reloaded(hass: HomeAssistant, entry: MockConfigEntry, devices: int) -> None:
    """Wait until the entry was set up anew with so many devices."""
    for _ in range(20):
        await hass.async_block_till_done(wait_background_tasks=True)
        if (
            entry.state is ConfigEntryState.LOADED
            and len(coordinator_of(entry).devices) == devices
        ):
            return
    pytest.fail(f"{entry.state} with {len(coordinator_of(entry).devices)} devices")


def device_of(
    hass: HomeAssistant, entry: MockConfigEntry, name: str
) -> dr.DeviceEntry | None:
    """Return the registered device of an id."""
    return dr.async_get(hass).async_get_device_by_identifier(
        (DOMAIN, name), entry.entry_id
    )


def devices_of(hass: HomeAssistant, entry: MockConfigEntry) -> dict[str, Any]:
    """Return what the registry knows of an entry's devices, by id."""
    registry = dr.async_get(hass)
    found: dict[str, Any] = {}
    for device in dr.async_entries_for_config_entry(registry, entry.entry_id):
        via = registry.async_get(device.via_device_id) if device.via_device_id else None
        ((domain, name),) = device.identifiers
        assert domain == DOMAIN
        found[name] = {
            "name": device.name,
            "manufacturer": device.manufacturer,
            "model": device.model,
            "serial_number": device.serial_number,
            "sw_version": device.sw_version,
            "via": via and via.name,
        }
    return found


# -- what there is --------------------------------------------------------------------


@pytest.mark.parametrize("variant", ["mate3s", "fx", "split-stack"])
async def test_devices_and_what_is_shown_of_them(
    hass: HomeAssistant, snapshot: SnapshotAssertion, variant: str
) -> None:
    async with reached(variant=variant) as there:
        entry = await set_up(hass, there)
        assert devices_of(hass, entry) == snapshot(name="devices")
        entities = er.async_entries_for_config_entry(er.async_get(hass), entry.entry_id)
        shown = {
            entity.entity_id: _described(entity, hass.states.get(entity.entity_id))
            for entity in sorted(entities, key=lambda entity: entity.entity_id)
            if entity.disabled_by is None
        }
        assert shown == snapshot(name="entities")
        await hass.config_entries.async_unload(entry.entry_id)


def _described(entity: er.RegistryEntry, state: State | None) -> str:
    """Return in a line what an entity is and shows."""
    assert state is not None
    attributes = state.attributes
    words = (
        state.state,
        attributes.get("unit_of_measurement"),
        attributes.get("device_class"),
        attributes.get("state_class"),
        entity.entity_category,
        entity.unique_id,
    )
    return " | ".join("" if word is None else str(word) for word in words)


@pytest.mark.parametrize("options", [{}, {"write_access": "confirm"}], ids=str)
@pytest.mark.parametrize("variant", VARIANTS)
async def test_no_device_has_more_than_an_owner_can_look_through(
    hass: HomeAssistant, variant: str, options: dict[str, Any]
) -> None:
    async with reached(variant=variant) as there:
        entry = await set_up(hass, there, **options)
        registry = er.async_get(hass)
        entities = er.async_entries_for_config_entry(registry, entry.entry_id)
        by_device: dict[str | None, list[er.RegistryEntry]] = {}
        for entity in entities:
            by_device.setdefault(entity.device_id, []).append(entity)
        assert len(by_device) == 1 + len(there.simulator.mate3.chain.devices())
        for mine in by_device.values():
            assert len(mine) <= MOST_OFFERED, mine[0].entity_id
            shown = [
                entity
                for entity in mine
                if entity.disabled_by is None and entity.domain in DOMAINS
            ]
            assert 3 <= len(shown) <= MOST_SHOWN, mine[0].entity_id
        await hass.config_entries.async_unload(entry.entry_id)


@pytest.mark.usefixtures("all_entities_enabled")
@pytest.mark.parametrize("variant", VARIANTS)
async def test_all_entities_have_values_and_names_of_their_own(
    hass: HomeAssistant, variant: str
) -> None:
    async with reached(variant=variant) as there:
        entry = await set_up(hass, there)
        await read_all(hass, entry)
        registry = er.async_get(hass)
        entities = er.async_entries_for_config_entry(registry, entry.entry_id)
        assert len(entities) > 100
        names = [(entity.device_id, entity.original_name) for entity in entities]
        assert len(set(names)) == len(names)
        assert all(device and name and "{" not in name for device, name in names)
        # Nothing was tried to be read that is not there.
        assert not coordinator_of(entry).failed
        without = {
            entity.unique_id
            for entity in entities
            if entity.domain != "event"
            and (state := hass.states.get(entity.entity_id)) is not None
            and state.state == STATE_UNAVAILABLE
        }
        assert not without
        # An enumeration may hold nothing but its options; that is held while it is set.
        await hass.config_entries.async_unload(entry.entry_id)


@pytest.mark.parametrize("variant", VARIANTS)
async def test_what_is_told_of_at_first_has_values(
    hass: HomeAssistant, variant: str
) -> None:
    async with reached(variant=variant) as there:
        entry = await set_up(hass, there)
        without = {
            state.entity_id
            for state in hass.states.async_all()
            if state.state in (STATE_UNKNOWN, STATE_UNAVAILABLE)
            and state.domain != "event"
        }
        # An FXR has no second module, and single-phase ones no transistors on the left.
        assert all("transistor" in entity_id for entity_id in without), without
        await hass.config_entries.async_unload(entry.entry_id)


async def test_identity_comes_from_hardware_address_family_and_port(
    hass: HomeAssistant, there: Reached
) -> None:
    entry = await set_up(hass, there)
    registry = er.async_get(hass)
    entities = er.async_entries_for_config_entry(registry, entry.entry_id)
    known = {MAC, INVERTER, FIRST, SECOND, MONITOR}
    assert devices_of(hass, entry).keys() == known
    for entity in entities:
        assert entity.unique_id.startswith(MAC)
        assert there.host not in entity.unique_id
        assert str(there.port) not in entity.unique_id
    ids = {entity.unique_id: entity.entity_id for entity in entities}
    await hass.config_entries.async_unload(entry.entry_id)

    # At another place in the network, behind a longer map, the same things are the same.
    async with reached() as moved:
        moved.simulator.mate3.chain.add_device(like=3, port=2)
        data = {**entry.data, "link": moved.link.to_json(), "unit_id": 5}
        hass.config_entries.async_update_entry(entry, data=data)
        await hass.config_entries.async_setup(entry.entry_id)
        await hass.async_block_till_done()
        again = er.async_entries_for_config_entry(registry, entry.entry_id)
        now = {entity.unique_id: entity.entity_id for entity in again}
        assert ids.items() <= now.items()
        assert devices_of(hass, entry).keys() == known | {f"{MAC}_charge_controller_2"}
        await hass.config_entries.async_unload(entry.entry_id)


async def test_devices_are_reached_through_the_gateway(
    hass: HomeAssistant, there: Reached
) -> None:
    entry = await set_up(hass, there)
    devices = devices_of(hass, entry)
    assert devices.pop(MAC)["via"] is None
    names = {device["name"] for device in devices.values()}
    assert len(names) == len(devices)
    for name, device in devices.items():
        assert device["via"] == "OutBack MATE3s"
        assert device["name"].endswith(f" port {name.rpartition('_')[2]}")
    await hass.config_entries.async_unload(entry.entry_id)


async def test_to_look_at_everything_changes_nothing(
    hass: HomeAssistant, there: Reached, noon: FrozenDateTimeFactory
) -> None:
    before = there.simulator.mate3.chain.as_words()
    entry = await set_up_writable(hass, there, installer_settings=True)
    for _ in range(3):
        await poll(hass, noon)
    assert not there.simulator.writes
    assert {request.function for request in there.simulator.requests} == {3}
    after = there.simulator.mate3.chain.as_words()
    changed = [place for place, word in enumerate(before) if word != after[place]]
    clock = there.simulator.mate3.address_of(GATEWAY, 393) - 40000
    assert set(changed) <= {*range(clock, clock + 6)}
    await hass.config_entries.async_unload(entry.entry_id)


# -- what cannot be read ----------------------------------------------------------------


@pytest.mark.parametrize("exception", [2, 4])
async def test_block_that_fails_takes_only_its_own_entities_along(
    hass: HomeAssistant, there: Reached, noon: FrozenDateTimeFactory, exception: int
) -> None:
    entry = await set_up(hass, there)
    before = {device: states(hass, device) for device in (MAC, INVERTER, FIRST, SECOND)}
    energies = counters(hass, FIRST)
    assert {"pv_energy_today", "pv_energy_total"} <= energies.keys()
    mate3 = there.simulator.mate3
    start = mate3.address_of(CHARGE_CONTROLLER, 1, port=3)
    there.simulator.faults = [
        f"exception={exception},address={start}-{start + 27},op=read"
    ]
    mate3.set_word(CHARGE_CONTROLLER, 14, 1111, port=4)
    await poll(hass, noon)

    now = states(hass, FIRST)
    lost = before[FIRST].keys() - available(now)
    assert {"pv_power", "charge_current", "charger_state"} <= lost
    assert counters(hass, FIRST) == energies
    # What is in the other block of the device stays.
    assert {"absorb_volts", "float_volts", "aux_output"} <= available(now)
    for device in (INVERTER, SECOND, MONITOR):
        assert STATE_UNAVAILABLE not in states(hass, device).values()
    assert value(hass, SECOND, "pv_power") == "1111"
    # No sum of what is known only in part.
    assert value(hass, MAC, "pv_power") == STATE_UNAVAILABLE
    assert value(hass, MAC, "pv_energy_today") == before[MAC]["pv_energy_today"]
    assert value(hass, MAC, "connected") == "on"
    assert entry.state is ConfigEntryState.LOADED

    if exception == 4:
        there.simulator.faults = []
        await poll(hass, noon)
        assert STATE_UNAVAILABLE not in states(hass, FIRST).values()
        assert value(hass, MAC, "pv_power") == str(1650 + 1111)
    await hass.config_entries.async_unload(entry.entry_id)


async def test_silent_gateway_keeps_its_energies_only(
    hass: HomeAssistant, there: Reached, noon: FrozenDateTimeFactory
) -> None:
    entry = await set_up(hass, there)
    devices = (MAC, INVERTER, FIRST, SECOND, MONITOR)
    energies = {device: counters(hass, device) for device in devices}
    there.simulator.reboot(1e9)
    await poll(hass, noon)
    assert value(hass, MAC, "connected") == "off"
    for device in devices:
        now = states(hass, device)
        assert available(now) - {"connected"} == energies[device].keys()
        assert counters(hass, device) == energies[device]
    assert entry.state is ConfigEntryState.LOADED
    # It is asked ever more seldom, and comes back by itself.
    there.simulator.door._shut_until = 0.0  # noqa: SLF001
    await pass_time(hass, noon, 301)
    assert value(hass, MAC, "connected") == "on"
    for device in devices:
        assert STATE_UNAVAILABLE not in states(hass, device).values()
    await hass.config_entries.async_unload(entry.entry_id)


async def test_device_without_data_for_a_moment_keeps_its_values(
    hass: HomeAssistant, there: Reached, noon: FrozenDateTimeFactory
) -> None:
    entry = await set_up(hass, there)
    before = states(hass, FIRST)
    mate3 = there.simulator.mate3
    mate3.lose_data(3, 1e9)
    flow = len(there.simulator.requests)
    for _ in range(4):
        await poll(hass, noon)
        assert states(hass, FIRST) == before
    # A map is not looked through anew for that.
    asked = {request.address for request in there.simulator.requests[flow:]}
    assert 40000 not in asked
    for _ in range(3):
        await poll(hass, noon)
    now = states(hass, FIRST)
    assert "pv_power" not in available(now)
    assert counters(hass, FIRST).items() <= before.items()
    assert value(hass, MAC, "pv_power") == STATE_UNAVAILABLE
    assert value(hass, SECOND, "pv_power") == "1350"
    mate3._masks.clear()  # noqa: SLF001
    await poll(hass, noon)
    assert states(hass, FIRST) == before
    assert entry.state is ConfigEntryState.LOADED
    await hass.config_entries.async_unload(entry.entry_id)


@pytest.mark.parametrize("words", [1, 2, 3, 6, 28])
async def test_placeholders_are_never_taken_for_values(
    hass: HomeAssistant, there: Reached, noon: FrozenDateTimeFactory, words: int
) -> None:
    entry = await set_up(hass, there)
    seen: dict[str, set[str]] = {}

    @callback
    def note(event: Event[EventStateChangedData]) -> None:
        if (new := event.data["new_state"]) is not None:
            seen.setdefault(new.entity_id, set()).add(new.state)

    watched = [entity_id_of(hass, FIRST, key) for key in states(hass, FIRST)]
    watched += [entity_id_of(hass, MAC, key) for key in states(hass, MAC)]
    before = {entity_id: hass.states.get(entity_id) for entity_id in watched}
    stop = async_track_state_change_event(hass, watched, note)
    there.simulator.mate3.lose_data(3, 1e9, words=words)
    for _ in range(8):
        await poll(hass, noon)
    there.simulator.mate3._masks.clear()  # noqa: SLF001
    await poll(hass, noon)
    stop()
    for entity_id, found in seen.items():
        old = before[entity_id]
        assert old is not None
        assert found <= {old.state, STATE_UNAVAILABLE}, entity_id
    await hass.config_entries.async_unload(entry.entry_id)


async def test_scale_that_is_not_there_makes_values_unknown(
    hass: HomeAssistant, there: Reached, noon: FrozenDateTimeFactory
) -> None:
    """A scale factor of 0 instead would make 872 V of 87.2 V."""
    entry = await set_up(hass, there)
    there.simulator.mate3.set_word(CHARGE_CONTROLLER, 4, 0x8000, port=3)
    await poll(hass, noon)
    assert value(hass, FIRST, "dc_voltage") == STATE_UNKNOWN
    assert value(hass, FIRST, "pv1_voltage") == STATE_UNKNOWN
    assert value(hass, FIRST, "pv_power") == "1650"
    there.simulator.mate3.set_word(CHARGE_CONTROLLER, 4, 0xFFFE, port=3)
    await poll(hass, noon)
    assert value(hass, FIRST, "dc_voltage") == "5.2"
    await hass.config_entries.async_unload(entry.entry_id)


# -- energies ---------------------------------------------------------------------------


def restore(
    hass: HomeAssistant,
    entry: MockConfigEntry,
    stored: Mapping[tuple[str, str], float],
    age: timedelta,
) -> None:
    """Let counters come from before a restart."""
    registry = er.async_get(hass)
    seen = dt_util.utcnow() - age
    states_and_data = []
    for (device, key), number in stored.items():
        entity = registry.async_get_or_create(
            "sensor", DOMAIN, f"{device}_{key}", config_entry=entry
        )
        data = {"native_value": number, "native_unit_of_measurement": "kWh"}
        state = State(entity.entity_id, str(number), last_updated=seen)
        states_and_data.append((state, data))
    mock_restore_cache_with_extra_data(hass, states_and_data)


async def test_energies_survive_a_restart(
    hass: HomeAssistant, there: Reached, noon: FrozenDateTimeFactory
) -> None:
    entry = await make_entry(there)
    entry.add_to_hass(hass)
    before = {
        (FIRST, "pv_energy_total"): 10233.0,
        (FIRST, "pv_energy_today"): 6.1,
        (MAC, "pv_energy_today"): 12.2,
    }
    restore(hass, entry, before, timedelta(minutes=10))
    # Right after the start the controller tells of nothing.
    mate3 = there.simulator.mate3
    mate3.set_word(CHARGE_CONTROLLER, TODAYS_KWH, 0, port=3)
    mate3.set_word(CHARGE_CONTROLLER, LIFETIME_KWH, 0, port=3)
    await hass.config_entries.async_setup(entry.entry_id)
    await hass.async_block_till_done()
    assert {known: float(value(hass, *known)) for known in before} == before
    mate3.set_word(CHARGE_CONTROLLER, TODAYS_KWH, 62, port=3)
    mate3.set_word(CHARGE_CONTROLLER, LIFETIME_KWH, 10234, port=3)
    await poll(hass, noon)
    assert value(hass, FIRST, "pv_energy_total") == "10234"
    assert value(hass, FIRST, "pv_energy_today") == "6.2"
    await hass.config_entries.async_unload(entry.entry_id)


async def test_lifetime_counter_is_followed_as_it_counts(
    hass: HomeAssistant, there: Reached, noon: FrozenDateTimeFactory
) -> None:
    """It counts whole kilowatt-hours, so it never rises by less."""
    entry = await set_up(hass, there)
    there.simulator.mate3.set_word(CHARGE_CONTROLLER, LIFETIME_KWH, 10235, port=3)
    await poll(hass, noon)
    assert value(hass, FIRST, "pv_energy_total") == "10235"
    assert value(hass, MAC, "pv_energy_total") == "19356"
    await hass.config_entries.async_unload(entry.entry_id)


async def test_sum_of_lifetime_counters_follows_several_at_once(
    hass: HomeAssistant, there: Reached, noon: FrozenDateTimeFactory
) -> None:
    entry = await set_up(hass, there)
    await poll(hass, noon)
    mate3 = there.simulator.mate3
    mate3.set_word(CHARGE_CONTROLLER, LIFETIME_KWH, 10235, port=3)
    mate3.set_word(CHARGE_CONTROLLER, LIFETIME_KWH, 9122, port=4)
    await poll(hass, noon)
    assert value(hass, MAC, "pv_energy_total") == "19357"
    await hass.config_entries.async_unload(entry.entry_id)


async def test_daily_counters_begin_anew_at_midnight(
    hass: HomeAssistant, there: Reached, freezer: FrozenDateTimeFactory
) -> None:
    freezer.move_to("2026-06-22 06:59:45+00:00")  # before midnight in Los Angeles
    entry = await set_up(hass, there)
    assert value(hass, MAC, "pv_energy_today") == "12.4"
    await poll(hass, freezer)
    mate3 = there.simulator.mate3
    for port in (1, 3, 4, 5):
        mate3.reset_day(port)
    await poll(hass, freezer)
    for device, key in (
        (FIRST, "pv_energy_today"),
        (SECOND, "pv_energy_today"),
        (INVERTER, "energy_today"),
        (INVERTER, "grid_export_energy_today"),
        (MAC, "pv_energy_today"),
        (MAC, "energy_today"),
        (MAC, "grid_export_energy_today"),
    ):
        assert float(value(hass, device, key)) == 0.0, key
    mate3.set_word(CHARGE_CONTROLLER, TODAYS_KWH, 1, port=3)
    await poll(hass, freezer)
    assert value(hass, MAC, "pv_energy_today") == "0.1"
    await hass.config_entries.async_unload(entry.entry_id)


class Recorder:
    """Adds up what statistics would make of a counter."""

    def __init__(self, hass: HomeAssistant, entity_id: str) -> None:
        """Watch a counter."""
        self.seen: list[float] = []
        state = hass.states.get(entity_id)
        assert state is not None
        self.seen.append(float(state.state))
        self.stop = async_track_state_change_event(hass, [entity_id], self._note)

    @callback
    def _note(self, event: Event[EventStateChangedData]) -> None:
        new = event.data["new_state"]
        if new is not None and new.state not in (STATE_UNKNOWN, STATE_UNAVAILABLE):
            self.seen.append(float(new.state))

    @property
    def resets(self) -> int:
        """How often it fell."""
        return sum(b < a for a, b in zip(self.seen, self.seen[1:], strict=False))

    @property
    def counted(self) -> float:
        """What was added up: each fall counts as a new beginning from 0."""
        total = 0.0
        for old, new in zip(self.seen, self.seen[1:], strict=False):
            total += new - old if new >= old else new
        return round(total, 3)


@pytest.mark.parametrize("first_port", [3, 4])
@pytest.mark.parametrize("polls_between", [0, 1, 5])
async def test_sum_does_not_dip_when_one_device_begins_its_day_alone(
    hass: HomeAssistant,
    there: Reached,
    freezer: FrozenDateTimeFactory,
    first_port: int,
    polls_between: int,
) -> None:
    freezer.move_to("2026-06-22 07:00:05+00:00")  # right after midnight
    mate3 = there.simulator.mate3
    entry = await make_entry(there)
    entry.add_to_hass(hass)
    yesterday = {
        (FIRST, "pv_energy_today"): 6.2,
        (SECOND, "pv_energy_today"): 6.2,
        (MAC, "pv_energy_today"): 12.4,
    }
    restore(hass, entry, yesterday, timedelta(minutes=2))
    await hass.config_entries.async_setup(entry.entry_id)
    await hass.async_block_till_done()
    recorder = Recorder(hass, entity_id_of(hass, MAC, "pv_energy_today"))
    mate3.reset_day(first_port)
    await poll(hass, freezer)
    for _ in range(polls_between):
        await poll(hass, freezer)
    mate3.reset_day(3 + 4 - first_port)
    await poll(hass, freezer)
    for kwh in (1, 2, 3):
        mate3.set_word(CHARGE_CONTROLLER, TODAYS_KWH, kwh, port=first_port)
        await poll(hass, freezer)
    recorder.stop()
    assert recorder.resets == 1
    assert recorder.seen[-1] == pytest.approx(0.3)
    assert recorder.counted == pytest.approx(0.3)
    await hass.config_entries.async_unload(entry.entry_id)


@pytest.mark.parametrize("port", [1, 2, 3])
async def test_grid_of_stacked_inverters_is_one_sensor_a_direction(
    hass: HomeAssistant, freezer: FrozenDateTimeFactory, port: int
) -> None:
    freezer.move_to("2026-06-22 07:00:05+00:00")
    async with reached(variant="split-stack") as there:
        entry = await set_up(hass, there)
        members = [f"{MAC}_inverter_{member}" for member in (1, 2, 3)]
        for key in ("grid_import_energy_today", "grid_export_energy_today"):
            parts = [float(value(hass, member, key)) for member in members]
            assert float(value(hass, MAC, key)) == pytest.approx(sum(parts))
        for key in ("grid_import_power", "grid_export_power", "load_power"):
            parts = [float(value(hass, member, key)) for member in members]
            assert float(value(hass, MAC, key)) == pytest.approx(sum(parts))
        recorder = Recorder(hass, entity_id_of(hass, MAC, "grid_export_energy_today"))
        there.simulator.mate3.reset_day(port)
        for _ in range(3):
            await poll(hass, freezer)
        assert recorder.resets == 0
        assert recorder.counted == 0.0
        recorder.stop()
        await hass.config_entries.async_unload(entry.entry_id)


async def test_one_that_falls_alone_for_long_is_believed_to_be_exchanged(
    hass: HomeAssistant, there: Reached, noon: FrozenDateTimeFactory
) -> None:
    entry = await set_up(hass, there)
    there.simulator.mate3.reset_day(3)
    for _ in range(20):
        await pass_time(hass, noon, 301)
    assert value(hass, FIRST, "pv_energy_today") == "0.0"
    assert value(hass, MAC, "pv_energy_today") == "6.2"
    await hass.config_entries.async_unload(entry.entry_id)


async def test_battery_power_has_one_sensor_for_each_direction(
    hass: HomeAssistant, there: Reached, noon: FrozenDateTimeFactory
) -> None:
    entry = await set_up(hass, there)
    for word, charge, discharge in ((150, 1.5, 0), (0, 0, 0), (0x10000 - 250, 0, 2.5)):
        there.simulator.mate3.set_word(FLEXNET_DC, 26, word, port=5)
        await poll(hass, noon)
        assert float(value(hass, MONITOR, "battery_charge_power")) == charge
        assert float(value(hass, MONITOR, "battery_discharge_power")) == discharge
    await hass.config_entries.async_unload(entry.entry_id)


# -- devices come and go ------------------------------------------------------------------


async def test_device_that_is_added_appears_by_itself(
    hass: HomeAssistant, there: Reached, noon: FrozenDateTimeFactory
) -> None:
    entry = await set_up(hass, there)
    energy = value(hass, MAC, "pv_energy_total")
    there.simulator.mate3.chain.add_device(like=3, port=2)
    await poll(hass, noon)
    await reloaded(hass, entry, devices=6)
    added = f"{MAC}_charge_controller_2"
    assert value(hass, added, "pv_power") == "1650"
    assert value(hass, MAC, "pv_power") == str(1650 + 1350 + 1650)
    assert value(hass, FIRST, "pv_power") == "1650"
    device = device_of(hass, entry, added)
    assert device is not None
    assert device.name == "OutBack FM80-150VDC port 2"
    assert float(value(hass, MAC, "pv_energy_total")) >= float(energy)
    assert not there.simulator.door.turned_away
    assert not there.simulator.writes
    await hass.config_entries.async_unload(entry.entry_id)


async def test_device_that_is_added_at_the_end_appears_by_itself(
    hass: HomeAssistant, there: Reached, noon: FrozenDateTimeFactory
) -> None:
    """All that was known before lies where it was: nothing looks wrong."""
    entry = await set_up(hass, there)
    there.simulator.mate3.chain.add_device(like=3, port=9)
    for _ in range(40):
        await poll(hass, noon)
        if len(coordinator_of(entry).devices) == 6:
            break
    await reloaded(hass, entry, devices=6)
    assert value(hass, f"{MAC}_charge_controller_9", "pv_power") == "1650"
    await hass.config_entries.async_unload(entry.entry_id)


@pytest.mark.parametrize("ports", [(5,), (4, 5), (1, 3, 4, 5)], ids=str)
async def test_device_at_the_end_that_is_removed_is_noticed(
    hass: HomeAssistant,
    there: Reached,
    noon: FrozenDateTimeFactory,
    ports: tuple[int, ...],
) -> None:
    """Behind the new end of the map reads are refused."""
    entry = await set_up(hass, there)
    for port in ports:
        there.simulator.mate3.chain.remove_device(port)
    for _ in range(3):
        await poll(hass, noon)
    await reloaded(hass, entry, devices=5 - len(ports))
    await hass.config_entries.async_unload(entry.entry_id)


async def test_device_that_is_removed_is_unavailable_and_then_gone(
    hass: HomeAssistant, there: Reached, noon: FrozenDateTimeFactory
) -> None:
    entry = await set_up(hass, there)
    shown = [entity_id_of(hass, FIRST, key) for key in states(hass, FIRST)]
    there.simulator.mate3.chain.remove_device(3)
    await poll(hass, noon)
    await reloaded(hass, entry, devices=4)
    for entity_id in shown:
        state = hass.states.get(entity_id)
        assert state is not None
        assert state.state == STATE_UNAVAILABLE
    assert device_of(hass, entry, FIRST) is not None
    assert value(hass, SECOND, "pv_power") == "1350"
    assert value(hass, MAC, "pv_power") == "1350"

    for _ in range(5):
        await pass_time(hass, noon, 170)
        assert device_of(hass, entry, FIRST) is not None
    await pass_time(hass, noon, 60)
    assert device_of(hass, entry, FIRST) is None
    assert not any(hass.states.get(entity_id) for entity_id in shown)
    assert device_of(hass, entry, SECOND) is not None
    await hass.config_entries.async_unload(entry.entry_id)


async def test_device_that_comes_back_in_time_is_the_same(
    hass: HomeAssistant, there: Reached, noon: FrozenDateTimeFactory
) -> None:
    entry = await set_up(hass, there)
    known = device_of(hass, entry, FIRST)
    assert known is not None
    dr.async_get(hass).async_update_device(known.id, name_by_user="East roof")
    chain = there.simulator.mate3.chain
    blocks = list(chain.blocks)
    chain.remove_device(3)
    await poll(hass, noon)
    await reloaded(hass, entry, devices=4)
    for _ in range(4):
        await pass_time(hass, noon, 180)
    chain.blocks = blocks
    await poll(hass, noon)
    await reloaded(hass, entry, devices=5)
    for _ in range(10):
        await pass_time(hass, noon, 180)
    again = device_of(hass, entry, FIRST)
    assert again is not None
    assert (again.id, again.name_by_user) == (known.id, "East roof")
    assert value(hass, FIRST, "pv_power") == "1650"
    await hass.config_entries.async_unload(entry.entry_id)


async def test_device_that_is_moved_to_another_port_is_another(
    hass: HomeAssistant, there: Reached, noon: FrozenDateTimeFactory
) -> None:
    entry = await set_up(hass, there)
    there.simulator.mate3.set_word(CHARGE_CONTROLLER, 14, 777, port=3)
    there.simulator.mate3.chain.move_port(CHARGE_CONTROLLER, 3, 7)
    await poll(hass, noon)
    await poll(hass, noon)
    await reloaded(hass, entry, devices=5)
    assert value(hass, f"{MAC}_charge_controller_7", "pv_power") == "777"
    assert value(hass, FIRST, "pv_power") == STATE_UNAVAILABLE
    assert value(hass, SECOND, "pv_power") == "1350"
    await hass.config_entries.async_unload(entry.entry_id)


async def test_devices_that_change_places_are_told_apart(
    hass: HomeAssistant, there: Reached, noon: FrozenDateTimeFactory
) -> None:
    """The blocks of both lie at the same addresses as before, only the ports differ."""
    entry = await set_up(hass, there)
    there.simulator.mate3.chain.swap_ports(3, 4)
    await poll(hass, noon)
    await poll(hass, noon)
    assert value(hass, FIRST, "pv_power") == "1350"
    assert value(hass, SECOND, "pv_power") == "1650"
    await hass.config_entries.async_unload(entry.entry_id)


async def test_owner_removes_only_what_has_gone(
    hass: HomeAssistant, there: Reached, noon: FrozenDateTimeFactory
) -> None:
    entry = await set_up(hass, there)
    there.simulator.mate3.chain.remove_device(3)
    await poll(hass, noon)
    await reloaded(hass, entry, devices=4)
    for name in (MAC, INVERTER, SECOND, MONITOR):
        device = device_of(hass, entry, name)
        assert device is not None
        assert not await async_remove_config_entry_device(hass, entry, device)
    gone = device_of(hass, entry, FIRST)
    assert gone is not None
    assert await async_remove_config_entry_device(hass, entry, gone)
    dr.async_get(hass).async_remove_device(gone.id)
    # What was to be done 15 minutes later has nothing to do any more.
    await pass_time(hass, noon, 901)
    await poll(hass, noon)
    assert coordinator_of(entry).last_update_success
    await hass.config_entries.async_unload(entry.entry_id)


async def test_gateway_that_starts_with_nothing_on_its_hub_loses_no_device(
    hass: HomeAssistant, there: Reached, noon: FrozenDateTimeFactory
) -> None:
    entry = await set_up(hass, there)
    chain = there.simulator.mate3.chain
    blocks = list(chain.blocks)
    for port in (1, 3, 4, 5):
        chain.remove_device(port)
    await poll(hass, noon)
    await reloaded(hass, entry, devices=1)
    await pass_time(hass, noon, 60)
    chain.blocks = blocks
    for _ in range(40):
        await poll(hass, noon)
        if len(coordinator_of(entry).devices) == 5:
            break
    await reloaded(hass, entry, devices=5)
    assert value(hass, FIRST, "pv_power") == "1650"
    await hass.config_entries.async_unload(entry.entry_id)


# -- alarms -----------------------------------------------------------------------------


type Fired = tuple[str, int | None, str | None]


def watch(hass: HomeAssistant, device: str) -> list[Fired]:
    """Note what events the alarms of a device fire."""
    fired: list[Fired] = []

    @callback
    def note(event: Event[EventStateChangedData]) -> None:
        new = event.data["new_state"]
        if new is not None and new.attributes.get("event_type"):
            attributes = new.attributes
            fired.append(
                (
                    attributes["event_type"],
                    attributes.get("code"),
                    attributes.get("text"),
                )
            )

    async_track_state_change_event(hass, [entity_id_of(hass, device, "alarms")], note)
    return fired


async def test_error_is_told_and_is_a_problem(
    hass: HomeAssistant, there: Reached, noon: FrozenDateTimeFactory
) -> None:
    entry = await set_up(hass, there)
    fired = watch(hass, INVERTER)
    assert value(hass, INVERTER, "problem") == "off"
    mate3 = there.simulator.mate3
    mate3.set_word(SPLIT_PHASE, ERROR_FLAGS, 0x08, port=1)
    await poll(hass, noon)
    assert fired == [("fault", 0x08, "Low battery voltage")]
    assert value(hass, INVERTER, "problem") == "on"
    # It stays on without being told of again.
    await poll(hass, noon)
    assert len(fired) == 1
    mate3.set_word(SPLIT_PHASE, ERROR_FLAGS, 0x08 | 0x40, port=1)
    await poll(hass, noon)
    assert [event[0] for event in fired] == ["fault", "fault"]
    assert fired[-1][2] == "AC output shorted"
    mate3.set_word(SPLIT_PHASE, ERROR_FLAGS, 0, port=1)
    await poll(hass, noon)
    assert value(hass, INVERTER, "problem") == "off"
    assert fired[-1][0] == "cleared"
    await hass.config_entries.async_unload(entry.entry_id)


async def test_warning_is_told_but_is_no_problem(
    hass: HomeAssistant, there: Reached, noon: FrozenDateTimeFactory
) -> None:
    entry = await set_up(hass, there)
    fired = watch(hass, INVERTER)
    mate3 = there.simulator.mate3
    mate3.set_word(SPLIT_PHASE, WARNING_FLAGS, 0x04, port=1)
    await poll(hass, noon)
    assert fired == [("warning", 0x04, "AC input voltage too low")]
    assert value(hass, INVERTER, "problem") == "off"
    await hass.config_entries.async_unload(entry.entry_id)


async def test_bits_that_mean_nothing_are_no_alarm(
    hass: HomeAssistant, there: Reached, noon: FrozenDateTimeFactory
) -> None:
    entry = await set_up(hass, there)
    fired = watch(hass, INVERTER)
    mate3 = there.simulator.mate3
    for offset in (ERROR_FLAGS, WARNING_FLAGS):
        mate3.set_word(SPLIT_PHASE, offset, 0xFFFF, port=1)
    await poll(hass, noon)
    assert not fired
    assert value(hass, INVERTER, "problem") == STATE_UNKNOWN
    await hass.config_entries.async_unload(entry.entry_id)


async def test_alarms_of_one_device_are_not_those_of_another(
    hass: HomeAssistant, there: Reached, noon: FrozenDateTimeFactory
) -> None:
    entry = await set_up(hass, there)
    first, second = watch(hass, FIRST), watch(hass, SECOND)
    there.simulator.mate3.set_word(CHARGE_CONTROLLER_CONFIG, 10, 0x80, port=4)
    await pass_time(hass, noon, 301)
    assert not first
    assert second == [("fault", 0x80, "PV input voltage too high")]
    assert value(hass, SECOND, "problem") == "on"
    assert value(hass, FIRST, "problem") == "off"
    await hass.config_entries.async_unload(entry.entry_id)


# -- times --------------------------------------------------------------------------------


@pytest.mark.usefixtures("all_entities_enabled")
async def test_times_are_the_moments_that_they_name(
    hass: HomeAssistant, there: Reached
) -> None:
    """The clock is local time; moments are UTC, the low word first."""
    mate3 = there.simulator.mate3
    mate3.clock.speed = 0.0
    mate3.time = datetime(2026, 6, 21, 23, 30, 5)
    moment = datetime(2026, 6, 22, 6, 15, 7, tzinfo=UTC)
    low, high = int(moment.timestamp()) & 0xFFFF, int(moment.timestamp()) >> 16
    for did, offset, port in ((SYSTEM_CONTROL, 24, None), (FLEXNET_DC, 40, 5)):
        mate3.set_word(did, offset, low, port)
        mate3.set_word(did, offset + 1, high, port)
    entry = await set_up(hass, there)
    await read_all(hass, entry)

    def at(device: str, key: str) -> datetime:
        parsed = dt_util.parse_datetime(value(hass, device, key))
        assert parsed is not None
        return parsed

    assert at(MAC, "generator_last_start") == moment
    assert at(MONITOR, "todays_minimum_battery_time") == moment
    # Half past eleven in the evening in Los Angeles.
    clock = at(MAC, "clock").astimezone(dt_util.get_default_time_zone())
    assert clock.replace(tzinfo=None) == datetime(2026, 6, 21, 23, 30, 5)
    await hass.config_entries.async_unload(entry.entry_id)


@pytest.mark.usefixtures("all_entities_enabled")
@pytest.mark.parametrize(
    "words", [(0, 0), (0xFFFF, 0xFFFF), (57344, 65535), (1, 0)], ids=str
)
async def test_moments_that_never_were_are_unknown(
    hass: HomeAssistant, there: Reached, words: tuple[int, int]
) -> None:
    for place, word in enumerate(words, 24):
        there.simulator.mate3.set_word(SYSTEM_CONTROL, place, word)
    entry = await set_up(hass, there)
    await read_all(hass, entry)
    assert value(hass, MAC, "generator_last_start") == STATE_UNKNOWN
    await hass.config_entries.async_unload(entry.entry_id)


@pytest.mark.usefixtures("all_entities_enabled")
async def test_clock_that_shows_no_time_is_unknown(
    hass: HomeAssistant, there: Reached
) -> None:
    entry = await set_up(hass, there)
    start = there.simulator.mate3.address_of(GATEWAY, 393)
    there.simulator.faults = [f"exception=4,address={start}-{start + 5}"]
    await read_all(hass, entry)
    assert value(hass, MAC, "clock") in (STATE_UNKNOWN, STATE_UNAVAILABLE)
    assert value(hass, MAC, "connected") == "on"
    await hass.config_entries.async_unload(entry.entry_id)
