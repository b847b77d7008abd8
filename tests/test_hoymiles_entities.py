"""What an owner of a Hoymiles DTU sees: entities, devices, nights, changes, events."""

from collections.abc import AsyncIterator, Mapping
from datetime import timedelta
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
from homeassistant.components.event import ATTR_EVENT_TYPE
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
from simulators.hoymiles.inventory import HMS_1000_2T
from simulators.hoymiles.inverter import SimulatedInverter

from .common import pass_time
from .hoymiles_helpers import (
    INTEGRATED,
    STICK,
    STORAGE,
    Reached,
    coordinator_of,
    dtu_of,
    impatient,
    make_entry,
    reached,
    set_up,
    set_up_writable,
)
from .writing_helpers import act, refused

DTU: Final = "dtu_414393100001"
INVERTER: Final = "141293100001"
"""The parts of an integrated one."""

STICK_DTU: Final = "dtu_413093100010"
ONE_INPUT: Final = "112493100011"
TWO_INPUTS: Final = "114493100012"
THREE_PHASE: Final = "138293100013"
METER: Final = "37FF93100005"

DAY: Final = "2026-06-21 20:00:00+00:00"
"""The sun stands high where Home Assistant's tests are at home."""
MORNING: Final = "2026-06-22 15:00:00+00:00"

TEN_HOURS: Final = 10 * 3600.0

WITHOUT_VALUE: Final[Mapping[str, tuple[str, ...]]] = {
    # A DTU with several inverters does not say which limit is whose.
    STICK: ("power_limit",),
    # Simulated batteries have no modules, and their gateways no Wi-Fi.
    STORAGE: ("module_voltage", "signal_strength"),
}

DOMAINS: Final = ("sensor", "binary_sensor", "event")


@pytest.fixture
async def integrated(socket_enabled: None) -> AsyncIterator[Reached]:
    """An inverter that is its own DTU."""
    async with reached(INTEGRATED) as there:
        yield there


@pytest.fixture
async def stick(socket_enabled: None) -> AsyncIterator[Reached]:
    """A DTU with three inverters and a meter."""
    async with reached(STICK) as there:
        yield there


def entity_id_of(hass: HomeAssistant, device: str, key: str) -> str:
    """Return the entity id of a point."""
    registry = er.async_get(hass)
    for domain in DOMAINS:
        if found := registry.async_get_entity_id(domain, DOMAIN, f"{device}_{key}"):
            return found
    raise KeyError(f"{device}_{key}")


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
        if entity.unique_id.startswith(f"{device}_")
        if (state := hass.states.get(entity.entity_id)) is not None
    }


def energies(hass: HomeAssistant, *devices: str) -> dict[tuple[str, str], str]:
    """Return the states of all counters of energy."""
    return {
        (device, key): state
        for device in devices
        for key, state in states(hass, device).items()
        if "energy" in key
    }


async def poll(hass: HomeAssistant, entry: MockConfigEntry, times: int = 1) -> None:
    """Poll now, and let what follows from that happen."""
    for _ in range(times):
        await coordinator_of(entry).async_refresh()
        await hass.async_block_till_done()


async def live_on(
    hass: HomeAssistant,
    freezer: FrozenDateTimeFactory,
    there: Reached,
    seconds: float,
) -> None:
    """Let time pass for Home Assistant and the DTU alike; it is polled once, if due."""
    there.dtu.advance(seconds)
    await pass_time(hass, freezer, seconds)


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
            "hw_version": device.hw_version,
            "via": via and via.name,
        }
    return found


# -- what there is --------------------------------------------------------------------


@pytest.mark.usefixtures("all_entities_enabled")
@pytest.mark.parametrize("inventory", [INTEGRATED, STICK, STORAGE])
async def test_all_entities_and_devices(
    hass: HomeAssistant,
    entity_registry: er.EntityRegistry,
    snapshot: SnapshotAssertion,
    socket_enabled: None,
    inventory: str,
) -> None:
    async with reached(inventory) as there:
        with impatient():
            entry = await set_up(hass, there)
        # They are enabled since the first poll only.
        await poll(hass, entry)
        entities = er.async_entries_for_config_entry(entity_registry, entry.entry_id)
        shown = {
            entity.entity_id: _described(entity, hass.states.get(entity.entity_id))
            for entity in sorted(entities, key=lambda entity: entity.entity_id)
        }
        assert shown == snapshot(name="entities")
        assert devices_of(hass, entry) == snapshot(name="devices")

        # Nothing else is without a value, apart from events, which have not happened.
        assert not [
            state.entity_id
            for state in hass.states.async_all()
            if state.state in (STATE_UNKNOWN, STATE_UNAVAILABLE)
            and state.domain != "event"
            and not state.entity_id.endswith(WITHOUT_VALUE.get(inventory, ()))
        ]
        names = [(entity.device_id, entity.original_name) for entity in entities]
        assert len(set(names)) == len(names)
        assert all(device and name and "{" not in name for device, name in names)
        for entity in entities:
            assert there.host not in entity.unique_id
            assert str(there.port) not in entity.unique_id


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


@pytest.mark.parametrize("inventory", [INTEGRATED, STICK])
async def test_entities_that_are_enabled_at_first(
    hass: HomeAssistant,
    entity_registry: er.EntityRegistry,
    snapshot: SnapshotAssertion,
    socket_enabled: None,
    inventory: str,
) -> None:
    async with reached(inventory) as there:
        entry = await set_up(hass, there)
        entities = er.async_entries_for_config_entry(entity_registry, entry.entry_id)
        enabled = [entity for entity in entities if entity.disabled_by is None]
        assert sorted(entity.entity_id for entity in enabled) == snapshot
        # They have values since the first poll.
        assert not [
            state.entity_id
            for state in hass.states.async_all()
            if state.state in (STATE_UNKNOWN, STATE_UNAVAILABLE)
            and state.domain != "event"
        ]
        # What nobody looks at is not asked for.
        assert 0xA314 not in {request.command for request in there.dtu.requests}


@pytest.mark.parametrize("inventory", [INTEGRATED, STICK])
async def test_controls_take_the_place_of_what_was_shown_when_writing_is_on(
    hass: HomeAssistant,
    entity_registry: er.EntityRegistry,
    snapshot: SnapshotAssertion,
    socket_enabled: None,
    inventory: str,
) -> None:
    async with reached(inventory) as there:
        entry = await set_up_writable(hass, there)
        await poll(hass, entry)
        controls = {
            entity.entity_id: "disabled"
            if (state := hass.states.get(entity.entity_id)) is None
            else state.state
            for entity in er.async_entries_for_config_entry(
                entity_registry, entry.entry_id
            )
            if entity.domain not in DOMAINS
        }
        assert controls == snapshot
        # To look at them has changed nothing.
        assert {record.action for record in there.dtu.commands} <= {50}


async def test_what_is_read_before_a_change_is_shown_at_once(
    hass: HomeAssistant, integrated: Reached, device_registry: dr.DeviceRegistry
) -> None:
    entry = await set_up_writable(hass, integrated)
    device = device_registry.async_get_device_by_identifier(
        (DOMAIN, INVERTER), entry.entry_id
    )
    assert device is not None
    assert states(hass, INVERTER)["temporary_power_limit"] == "800.0"
    (inverter,) = integrated.dtu.inverters.values()
    inverter.temporary_limit = 4000
    await act(
        hass, "preview_write", device, register="temporary_power_limit", value=600
    )
    assert states(hass, INVERTER)["temporary_power_limit"] == "400.0"
    assert states(hass, INVERTER)["active_power_limit"] == "50.0"


async def test_storage_gateway_says_that_it_has_no_settings(
    hass: HomeAssistant, device_registry: dr.DeviceRegistry, socket_enabled: None
) -> None:
    async with reached(STORAGE) as there:
        with impatient():
            entry = await set_up(hass, there)
        device, *_ = dr.async_entries_for_config_entry(device_registry, entry.entry_id)
        err = await refused(
            act(hass, "preview_write", device, register="ac_power", value=1)
        )
        assert err.translation_key == "no_settings"
        assert err.translation_placeholders == {"device": entry.title}


# -- out of reach ---------------------------------------------------------------------


@pytest.mark.usefixtures("all_entities_enabled")
async def test_inverter_that_is_out_of_reach_keeps_its_energies_only(
    hass: HomeAssistant, stick: Reached
) -> None:
    entry = await set_up(hass, stick)
    await poll(hass, entry)
    before = energies(hass, STICK_DTU, ONE_INPUT, TWO_INPUTS, THREE_PHASE)
    lost = stick.dtu.inverters[int(TWO_INPUTS, 16)]
    lost.out_of_reach = True
    await poll(hass, entry)

    assert energies(hass, STICK_DTU, ONE_INPUT, TWO_INPUTS, THREE_PHASE) == before
    now = states(hass, TWO_INPUTS)
    assert now["connected"] == "off"
    # What the DTU itself knows of it stays.
    known = {"grid_profile", "last_event", "problem", "alarms"}
    assert {
        key
        for key, state in now.items()
        if state not in (STATE_UNAVAILABLE, STATE_UNKNOWN) and "energy" not in key
    } == (known - {"alarms"}) | {"connected", "on_off"}
    for key in ("ac_power", "pv_power", "pv1_power", "pv2_voltage", "grid_l1_voltage"):
        assert now[key] == STATE_UNAVAILABLE
    for other in (ONE_INPUT, THREE_PHASE):
        assert states(hass, other)["connected"] == "on"
        assert states(hass, other)["ac_power"] != STATE_UNAVAILABLE
    assert states(hass, STICK_DTU)["connected"] == "on"

    lost.out_of_reach = False
    await poll(hass, entry)
    assert states(hass, TWO_INPUTS)["connected"] == "on"
    assert states(hass, TWO_INPUTS)["ac_power"] != STATE_UNAVAILABLE


async def test_meter_that_is_not_told_of_is_not_connected(
    hass: HomeAssistant, stick: Reached
) -> None:
    entry = await set_up(hass, stick)
    before = energies(hass, METER)
    assert states(hass, METER)["connected"] == "on"
    stick.dtu.meters.clear()
    await poll(hass, entry)
    now = states(hass, METER)
    assert now["connected"] == "off"
    assert now["grid_power"] == STATE_UNAVAILABLE
    assert energies(hass, METER) == before


# -- night ----------------------------------------------------------------------------


def fall_asleep(there: Reached) -> None:
    """Let the sun go down."""
    there.dtu.advance(TEN_HOURS)
    assert there.dtu.is_asleep


@pytest.mark.usefixtures("all_entities_enabled")
async def test_integrated_dtu_at_night_keeps_its_energies_only(
    hass: HomeAssistant, integrated: Reached
) -> None:
    entry = await set_up(hass, integrated)
    await poll(hass, entry)
    before = energies(hass, DTU, INVERTER)
    assert before
    assert not {STATE_UNAVAILABLE, STATE_UNKNOWN} & set(before.values())
    fall_asleep(integrated)
    await poll(hass, entry, times=3)
    assert energies(hass, DTU, INVERTER) == before
    for device in (DTU, INVERTER):
        now = states(hass, device)
        assert now.pop("connected") == "off"
        others = {key for key in now if "energy" not in key}
        assert {now[key] for key in others} == {STATE_UNAVAILABLE}
    assert entry.state is ConfigEntryState.LOADED

    # A reload in the night changes nothing of that.
    await hass.config_entries.async_reload(entry.entry_id)
    await hass.async_block_till_done()
    assert entry.state is ConfigEntryState.LOADED
    assert energies(hass, DTU, INVERTER) == before
    assert states(hass, INVERTER)["ac_power"] == STATE_UNAVAILABLE
    assert states(hass, INVERTER)["connected"] == "off"


def restore(
    hass: HomeAssistant,
    entry: MockConfigEntry,
    counters: Mapping[tuple[str, str], float],
    age: timedelta,
) -> None:
    """Let counters come from before a restart."""
    registry = er.async_get(hass)
    seen = dt_util.utcnow() - age
    stored = []
    for (device, key), value in counters.items():
        entity = registry.async_get_or_create(
            "sensor", DOMAIN, f"{device}_{key}", config_entry=entry
        )
        data = {"native_value": value, "native_unit_of_measurement": "kWh"}
        state = State(entity.entity_id, str(value), last_updated=seen)
        stored.append((state, data))
    mock_restore_cache_with_extra_data(hass, stored)


async def test_restart_at_night_brings_the_energies_back_and_the_morning_goes_on(
    hass: HomeAssistant, integrated: Reached, freezer: FrozenDateTimeFactory
) -> None:
    freezer.move_to("2026-06-22 09:00:00+00:00")  # two o'clock in the night
    entry = await make_entry(integrated)
    entry.add_to_hass(hass)
    stored = {
        (DTU, "energy_total"): 590.0,
        (DTU, "energy_today"): 4.5,
        (INVERTER, "energy_total"): 590.0,
        (INVERTER, "energy_today"): 4.5,
        (INVERTER, "pv1_energy_total"): 295.0,
    }
    restore(hass, entry, stored, timedelta(hours=6))
    fall_asleep(integrated)
    await hass.config_entries.async_setup(entry.entry_id)
    await hass.async_block_till_done()
    assert entry.state is ConfigEntryState.LOADED
    shown = energies(hass, DTU, INVERTER)
    assert {key: float(shown[key]) for key in stored} == stored
    assert shown[INVERTER, "pv2_energy_total"] == STATE_UNAVAILABLE
    assert states(hass, INVERTER)["connected"] == "off"

    freezer.move_to(MORNING)
    integrated.dtu.advance(8 * 3600)
    assert not integrated.dtu.is_asleep
    await pass_time(hass, freezer, 1)  # it listens again
    await poll(hass, entry)
    assert states(hass, INVERTER)["connected"] == "on"
    shown = energies(hass, DTU, INVERTER)
    assert float(shown[INVERTER, "energy_total"]) > 590.0
    # A new day has begun.
    assert 0 < float(shown[INVERTER, "energy_today"]) < 4.5
    assert 0 < float(shown[DTU, "energy_today"]) < 4.5


async def test_first_minutes_of_a_day_are_not_taken_for_a_reset_twice(
    hass: HomeAssistant, integrated: Reached, freezer: FrozenDateTimeFactory
) -> None:
    """A restart of an integrated DTU by day lets its day begin at 0: that is not shown."""
    freezer.move_to(DAY)
    entry = await set_up(hass, integrated)
    before = energies(hass, DTU, INVERTER)
    integrated.dtu.restart()
    for _ in range(3):
        await poll(hass, entry)
        assert energies(hass, DTU, INVERTER) == before


# -- more and less --------------------------------------------------------------------


async def test_new_inverter_appears_with_its_entities(
    hass: HomeAssistant, stick: Reached
) -> None:
    entry = await set_up(hass, stick)
    spec = HMS_1000_2T.numbered(0x77)
    stick.dtu.inverters[spec.serial] = SimulatedInverter(spec, 3)
    await poll(hass, entry)
    await hass.async_block_till_done(wait_background_tasks=True)

    new = f"{spec.serial:012X}"
    assert entry.state is ConfigEntryState.LOADED
    devices = devices_of(hass, entry)
    assert set(devices) == {
        STICK_DTU,
        ONE_INPUT,
        TWO_INPUTS,
        THREE_PHASE,
        METER,
        new,
    }
    assert devices[new]["name"] == f"Hoymiles HMS-1000-2T {new}"
    assert devices[new]["via"] == devices[STICK_DTU]["name"]
    now = states(hass, new)
    assert now["connected"] == "on"
    assert float(now["pv2_power"]) > 0
    # It is known from now on, also after a restart at night.
    assert spec.serial in [
        item["serial"] for item in entry.data["inventory"]["inverters"]
    ]


async def test_second_inverter_of_a_dtu_lets_both_have_their_numbers(
    hass: HomeAssistant, stick: Reached
) -> None:
    for serial in list(stick.dtu.inverters)[1:]:
        del stick.dtu.inverters[serial]
    entry = await set_up(hass, stick)
    assert devices_of(hass, entry)[ONE_INPUT]["name"] == "Hoymiles HMS-400-1T"
    unique_ids = set(states(hass, ONE_INPUT))
    spec = HMS_1000_2T.numbered(0x77)
    stick.dtu.inverters[spec.serial] = SimulatedInverter(spec, 3)
    await poll(hass, entry)
    devices = devices_of(hass, entry)
    assert devices[ONE_INPUT]["name"] == f"Hoymiles HMS-400-1T {ONE_INPUT}"
    assert devices[f"{spec.serial:012X}"]["name"].endswith("77")
    # What is shown of the first one is the same as before, under the same names.
    assert set(states(hass, ONE_INPUT)) == unique_ids


async def test_inverter_that_is_gone_disappears_after_three_lists(
    hass: HomeAssistant,
    stick: Reached,
    freezer: FrozenDateTimeFactory,
    caplog: pytest.LogCaptureFixture,
) -> None:
    freezer.move_to(DAY)
    entry = await set_up(hass, stick)
    kept = set(energies(hass, ONE_INPUT, TWO_INPUTS))
    del stick.dtu.inverters[int(THREE_PHASE, 16)]
    for lists in range(3):
        assert THREE_PHASE in devices_of(hass, entry), lists
        assert set(states(hass, THREE_PHASE)) >= {"connected", "energy_total"}
        await live_on(hass, freezer, stick, 601)
    await hass.async_block_till_done(wait_background_tasks=True)
    assert set(devices_of(hass, entry)) == {STICK_DTU, ONE_INPUT, TWO_INPUTS, METER}
    assert not states(hass, THREE_PHASE)
    assert not [
        entity
        for entity in er.async_get(hass).entities.values()
        if entity.unique_id.startswith(THREE_PHASE)
    ]
    after = energies(hass, ONE_INPUT, TWO_INPUTS)
    assert set(after) == kept
    assert STATE_UNAVAILABLE not in after.values()
    assert entry.state is ConfigEntryState.LOADED
    # Home Assistant has nothing against the way that was done.
    assert "Detected that custom integration" not in caplog.text


async def test_inverter_that_a_list_leaves_out_once_stays(
    hass: HomeAssistant, stick: Reached, freezer: FrozenDateTimeFactory
) -> None:
    freezer.move_to(DAY)
    entry = await set_up(hass, stick)
    gone = int(THREE_PHASE, 16)
    for _ in range(2):
        for _ in range(2):
            left_out = stick.dtu.inverters.pop(gone)
            await live_on(hass, freezer, stick, 601)
            assert states(hass, THREE_PHASE)["connected"] == "off"
            stick.dtu.inverters[gone] = left_out
        await live_on(hass, freezer, stick, 601)
        assert states(hass, THREE_PHASE)["connected"] == "on"
    assert THREE_PHASE in devices_of(hass, entry)


async def test_owner_may_remove_what_the_dtu_does_not_have(
    hass: HomeAssistant, stick: Reached, device_registry: dr.DeviceRegistry
) -> None:
    entry = await set_up(hass, stick)
    stranger = device_registry.async_get_or_create(
        config_entry_id=entry.entry_id, identifiers={(DOMAIN, "112493109999")}
    )
    for device in dr.async_entries_for_config_entry(device_registry, entry.entry_id):
        may = await async_remove_config_entry_device(hass, entry, device)
        assert may is (device.id == stranger.id)


# -- events ---------------------------------------------------------------------------


type Fired = tuple[str, int | None, str | None]


@pytest.fixture
def fired(hass: HomeAssistant) -> list[Fired]:
    """What all event entities fire: type, code and text."""
    seen: list[Fired] = []

    @callback
    def note(event: Event[EventStateChangedData]) -> None:
        new, old = event.data["new_state"], event.data["old_state"]
        assert new is not None
        if old is None or new.state in (STATE_UNAVAILABLE, STATE_UNKNOWN):
            return
        attributes = new.attributes
        seen.append(
            (
                attributes[ATTR_EVENT_TYPE],
                attributes.get("code"),
                attributes.get("text"),
            )
        )

    for device in (INVERTER, ONE_INPUT, TWO_INPUTS, THREE_PHASE):
        entity = er.async_get(hass).async_get_or_create(
            "event", DOMAIN, f"{device}_alarms"
        )
        async_track_state_change_event(hass, entity.entity_id, note)
    return seen


def summary(hass: HomeAssistant, device: str = INVERTER) -> tuple[str, str]:
    """Return the last event and whether there is a problem."""
    now = states(hass, device)
    return now["last_event"], now["problem"]


async def test_events_are_fired_with_their_words_once(
    hass: HomeAssistant, integrated: Reached, fired: list[Fired]
) -> None:
    dtu = integrated.dtu
    dtu.start_alarm(73)  # before Home Assistant: that is not new
    entry = await set_up(hass, integrated)
    assert summary(hass) == ("temp_watt", "off")
    assert state_of(hass, INVERTER, "alarms").state == STATE_UNKNOWN

    async def happens(*expected: Fired) -> None:
        dtu.advance(60)
        await poll(hass, entry, times=2)
        assert fired == list(expected)
        fired.clear()

    await happens()
    dtu.start_alarm(46)
    await happens(("fault", 46, "DC converter: voltage too high"))
    assert summary(hass) == ("converter_overvoltage", "on")
    attributes = state_of(hass, INVERTER, "alarms").attributes
    assert attributes["text"] == "DC converter: voltage too high"

    # What came and went in one moment is told, too, and is no problem that lasts.
    dtu.end_alarm(46)
    dtu.start_alarm(12, is_moment=True)
    await happens(("warning", 12, "Grid voltage dropped suddenly"))
    assert summary(hass) == ("grid_dip", "off")

    dtu.start_alarm(2, is_moment=True)
    dtu.end_alarm(73)
    await happens(("info", 2, "Clock was set"))
    dtu.start_alarm(3999)
    await happens(("info", 3999, "Unknown event 3999"))
    assert summary(hass) == ("unknown", "off")


async def test_events_of_one_inverter_are_not_those_of_another(
    hass: HomeAssistant, stick: Reached, fired: list[Fired]
) -> None:
    entry = await set_up(hass, stick)
    stick.dtu.start_alarm(46, int(TWO_INPUTS, 16))
    await poll(hass, entry)
    assert fired == [("fault", 46, "DC converter: voltage too high")]
    assert state_of(hass, TWO_INPUTS, "alarms").state != STATE_UNKNOWN
    assert summary(hass, TWO_INPUTS) == ("converter_overvoltage", "on")
    for other in (ONE_INPUT, THREE_PHASE):
        assert state_of(hass, other, "alarms").state == STATE_UNKNOWN
        assert summary(hass, other) == ("none", "off")


async def test_end_of_the_last_event_is_told(
    hass: HomeAssistant, integrated: Reached, fired: list[Fired]
) -> None:
    """The counter counts beginnings: an end is seen with the next one, or after a while."""
    entry = await set_up(hass, integrated)
    integrated.dtu.start_alarm(46)
    await poll(hass, entry)
    assert summary(hass) == ("converter_overvoltage", "on")
    fired.clear()
    integrated.dtu.advance(60)
    integrated.dtu.end_alarm(46)
    dtu_of(entry).hurry()
    await poll(hass, entry)
    assert fired == [("cleared", None, None)]
    assert summary(hass) == ("converter_overvoltage", "off")


async def test_problem_that_is_over_is_taken_back_by_itself(
    hass: HomeAssistant, integrated: Reached, freezer: FrozenDateTimeFactory
) -> None:
    freezer.move_to(DAY)
    entry = await set_up(hass, integrated)
    integrated.dtu.start_alarm(46)
    await live_on(hass, freezer, integrated, 61)
    assert summary(hass) == ("converter_overvoltage", "on")
    integrated.dtu.end_alarm(46)
    for _ in range(20):
        await live_on(hass, freezer, integrated, 61)
    assert summary(hass) == ("converter_overvoltage", "off")
    assert entry.state is ConfigEntryState.LOADED
