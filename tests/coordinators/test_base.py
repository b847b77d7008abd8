"""Polling: what is read, what is written to states, silence at night, and failures."""

from collections.abc import Mapping
from datetime import timedelta
from itertools import pairwise
import logging
from typing import override

from freezegun.api import FrozenDateTimeFactory
from modbus_connection import IllegalDataAddressError, ModbusTimeoutError
from modbus_connection.mock import ReadEvent
import pytest

from custom_components.local_solar.const import CONF_WRITE_ACCESS
from custom_components.local_solar.coordinators.base import (
    LAST_PROBE,
    REPORT_INTERVAL,
    LocalSolarCoordinator,
)
from custom_components.local_solar.entity import LocalSolarEntity
from custom_components.local_solar.modbus.image import Space
from custom_components.local_solar.points import PointId, Value
from homeassistant.const import (
    EVENT_STATE_CHANGED,
    EVENT_STATE_REPORTED,
    STATE_UNAVAILABLE,
)
from homeassistant.core import (
    Event,
    EventStateChangedData,
    EventStateReportedData,
    HomeAssistant,
    callback,
)
from homeassistant.exceptions import ServiceValidationError
from homeassistant.helpers import entity_registry as er
from tests.common import (
    Link,
    Unit,
    coordinator_of,
    enable,
    entity_id_of,
    make_entry,
    pass_time,
    set_up,
    state_of,
)

POLL = LocalSolarCoordinator.poll_interval.total_seconds()
FIRST_PROBE = LocalSolarCoordinator.first_probe
PROBE = ReadEvent("holding", 43, 1)

GRID_VOLTAGE = 3026
TEMPERATURE = 3093
BATTERY_SOC = 3171


# -- what is read ---------------------------------------------------------------------


async def _show_only(hass: HomeAssistant, unit: Unit, *keys: str) -> None:
    """Set an inverter up and disable all its entities but those of some keys."""
    entry = await set_up(hass, unit)
    registry = er.async_get(hass)
    keep = {entity_id_of(hass, entry, key) for key in keys}
    for entity in er.async_entries_for_config_entry(registry, entry.entry_id):
        if entity.entity_id not in keep and entity.disabled_by is None:
            registry.async_update_entity(
                entity.entity_id, disabled_by=er.RegistryEntryDisabler.USER
            )
    await hass.config_entries.async_reload(entry.entry_id)
    await hass.async_block_till_done()


async def test_only_what_is_shown_is_read(
    hass: HomeAssistant, link: Link, freezer: FrozenDateTimeFactory
) -> None:
    unit = link.units[1]
    await _show_only(hass, unit, "grid_l1_voltage")
    unit.taken_reads()
    await pass_time(hass, freezer, POLL)
    assert unit.taken_reads() == [ReadEvent("input", GRID_VOLTAGE, 1)]


async def test_first_poll_reads_only_what_will_be_shown(
    hass: HomeAssistant, link: Link
) -> None:
    unit = link.units[1]
    await _show_only(hass, unit, "grid_l1_voltage")
    reads = unit.taken_reads()
    # Behind the questions who it is, there is this one read.
    assert reads[-1] == ReadEvent("input", GRID_VOLTAGE, 1)
    assert ReadEvent("input", 3000, 1) not in reads
    assert sum(read.register_type == "input" and read.count > 7 for read in reads) == 0


async def test_entity_that_is_enabled_is_read(
    hass: HomeAssistant, link: Link, freezer: FrozenDateTimeFactory
) -> None:
    unit = link.units[1]
    await _show_only(hass, unit, "grid_l1_voltage")
    entry = hass.config_entries.async_entries("local_solar")[0]
    await enable(hass, entry, "pv_isolation")
    assert state_of(hass, entry, "pv_isolation").state == "1650"
    unit.taken_reads()
    await pass_time(hass, freezer, POLL)
    assert _covers(unit.taken_reads(), "input", 3087)


async def test_inverter_of_which_nothing_is_shown_is_left_alone(
    hass: HomeAssistant, link: Link, freezer: FrozenDateTimeFactory
) -> None:
    unit = link.units[1]
    await _show_only(hass, unit)
    unit.taken_reads()
    for _ in range(5):
        await pass_time(hass, freezer, POLL)
    assert unit.taken_reads() == []


def _covers(reads: list[ReadEvent], space: str, address: int) -> bool:
    return any(
        read.register_type == space
        and read.address <= address < read.address + read.count
        for read in reads
    )


async def test_live_values_counters_and_settings_have_their_own_rhythm(
    hass: HomeAssistant, link: Link, freezer: FrozenDateTimeFactory
) -> None:
    unit = link.units[1]
    await _show_only(hass, unit, "grid_l1_voltage", "energy_total")
    entry = hass.config_entries.async_entries("local_solar")[0]
    await enable(hass, entry, "active_power_limit")
    unit.taken_reads()
    seen = {"live": 0, "energy": 0, "settings": 0}
    for _ in range(120):
        await pass_time(hass, freezer, POLL)
        reads = unit.taken_reads()
        seen["live"] += _covers(reads, "input", GRID_VOLTAGE)
        seen["energy"] += _covers(reads, "input", 3051)
        seen["settings"] += _covers(reads, "holding", 3)
    assert seen == {"live": 120, "energy": 20, "settings": 2}


async def test_settings_are_not_read_unless_they_are_shown(
    hass: HomeAssistant, link: Link, freezer: FrozenDateTimeFactory
) -> None:
    unit = link.units[1]
    await set_up(hass, unit)
    for _ in range(70):
        await pass_time(hass, freezer, POLL)
    assert {read.register_type for read in unit.taken_reads()} == {"input"}


async def test_slow_bus_is_left_alone_for_as_long_as_a_poll_took(
    hass: HomeAssistant,
    link: Link,
    freezer: FrozenDateTimeFactory,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    unit = link.units[1]
    entry = await set_up(hass, unit)
    coordinator = coordinator_of(entry)
    read = unit.read_input_registers
    takes = timedelta()

    async def take_time(address: int, count: int) -> list[int]:
        if not unit.read_events:
            freezer.tick(takes)
        return await read(address, count)

    monkeypatch.setattr(unit, "read_input_registers", take_time)
    intervals = {}
    for takes in (timedelta(seconds=seconds) for seconds in (0, 3, 8, 25, 900)):
        freezer.tick(60)
        unit.taken_reads()
        await coordinator.async_refresh()
        assert coordinator.update_interval is not None
        intervals[takes.total_seconds()] = coordinator.update_interval.total_seconds()
    assert intervals == {0: 10, 3: 7, 8: 8, 25: 25, 900: 300}


# -- what is written ------------------------------------------------------------------


@callback
def _every_event(_: EventStateReportedData) -> bool:
    return True


class Writes:
    """What is written to the state machine: changed states, and states said again."""

    def __init__(self, hass: HomeAssistant) -> None:
        """Listen."""
        self.changed: list[str] = []
        self.reported: list[str] = []
        hass.bus.async_listen(EVENT_STATE_CHANGED, self._on_changed)
        hass.bus.async_listen(
            EVENT_STATE_REPORTED, self._on_reported, event_filter=_every_event
        )

    @callback
    def _on_changed(self, event: Event[EventStateChangedData]) -> None:
        self.changed.append(event.data["entity_id"])

    @callback
    def _on_reported(self, event: Event[EventStateReportedData]) -> None:
        self.reported.append(event.data["entity_id"])

    def clear(self) -> None:
        """Forget what was written."""
        self.changed.clear()
        self.reported.clear()


def _powers(hass: HomeAssistant) -> set[str]:
    return {
        state.entity_id
        for state in hass.states.async_all("sensor")
        if state.attributes.get("device_class") == "power"
    }


async def test_entity_that_did_not_change_is_not_written(
    hass: HomeAssistant, link: Link, freezer: FrozenDateTimeFactory
) -> None:
    await set_up(hass, link.units[1])
    await pass_time(hass, freezer, POLL)
    writes = Writes(hass)
    for _ in range(3):
        await pass_time(hass, freezer, POLL)
    assert writes.changed == []
    assert set(writes.reported) <= _powers(hass)


async def test_entity_that_changed_is_written_and_no_other(
    hass: HomeAssistant, link: Link, freezer: FrozenDateTimeFactory
) -> None:
    unit = link.units[1]
    entry = await set_up(hass, unit)
    await pass_time(hass, freezer, POLL)
    writes = Writes(hass)
    unit.input[GRID_VOLTAGE] = 2301
    unit.input[TEMPERATURE] = 402
    await pass_time(hass, freezer, POLL)
    assert sorted(writes.changed) == [
        entity_id_of(hass, entry, "grid_l1_voltage"),
        entity_id_of(hass, entry, "inverter_temperature"),
    ]


async def test_power_that_holds_is_reported_once_a_minute(
    hass: HomeAssistant, link: Link, freezer: FrozenDateTimeFactory
) -> None:
    await set_up(hass, link.units[1])
    await pass_time(hass, freezer, POLL)
    powers = _powers(hass)
    assert len(powers) > 5
    writes = Writes(hass)
    polls = int(3 * REPORT_INTERVAL / POLL)
    for _ in range(polls):
        await pass_time(hass, freezer, POLL)
    assert {entity: writes.reported.count(entity) for entity in powers} == (
        dict.fromkeys(powers, 3)
    )
    assert writes.changed == []


async def test_entity_that_cannot_be_written_does_not_hold_up_the_others(
    hass: HomeAssistant,
    link: Link,
    freezer: FrozenDateTimeFactory,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    unit = link.units[1]
    entry = await set_up(hass, unit)
    await pass_time(hass, freezer, POLL)
    broken = entity_id_of(hass, entry, "grid_l1_voltage")
    write = LocalSolarEntity.async_write_ha_state

    def fail_for_one(entity: LocalSolarEntity) -> None:
        if entity.entity_id == broken:
            raise ValueError("no such voltage")
        write(entity)

    monkeypatch.setattr(LocalSolarEntity, "async_write_ha_state", fail_for_one)
    unit.input[GRID_VOLTAGE] = 2301
    unit.input[TEMPERATURE] = 402
    await pass_time(hass, freezer, POLL)
    assert state_of(hass, entry, "inverter_temperature").state == "40.2"
    assert state_of(hass, entry, "grid_l1_voltage").state == "232.9"
    assert "cannot show" in caplog.text
    assert "no such voltage" in caplog.text


async def test_silence_and_return_are_written_once(
    hass: HomeAssistant, link: Link, freezer: FrozenDateTimeFactory
) -> None:
    unit = link.units[1]
    entry = await set_up(hass, unit)
    await pass_time(hass, freezer, POLL)
    writes = Writes(hass)
    unit.fall_silent()
    for _ in range(4):
        await pass_time(hass, freezer, LAST_PROBE.total_seconds())
    assert len(set(writes.changed)) == len(writes.changed)
    assert entity_id_of(hass, entry, "ac_power") in writes.changed
    assert entity_id_of(hass, entry, "energy_total") not in writes.changed
    gone = set(writes.changed)
    writes.clear()
    unit.answer()
    await pass_time(hass, freezer, LAST_PROBE.total_seconds())
    assert set(writes.changed) == gone


# -- silence --------------------------------------------------------------------------


async def _asked_at(
    hass: HomeAssistant, freezer: FrozenDateTimeFactory, unit: Unit, seconds: int
) -> dict[int, list[ReadEvent]]:
    """Return what was asked in the next time: seconds from now -> reads."""
    asked = {}
    for second in range(5, seconds + 1, 5):
        await pass_time(hass, freezer, 5)
        if reads := unit.taken_reads():
            asked[second] = reads
    return asked


async def test_silent_inverter_is_asked_for_one_register_ever_less_often(
    hass: HomeAssistant, link: Link, freezer: FrozenDateTimeFactory
) -> None:
    unit = link.units[1]
    await set_up(hass, unit)
    unit.fall_silent()
    fell = await _asked_at(hass, freezer, unit, 15)
    (found,) = fell.values()
    assert len(found) == 2  # tried once more, then given up
    assert len(set(found)) == 1

    (start,) = fell
    asked = await _asked_at(hass, freezer, unit, 1600)
    assert all(reads == [PROBE] for reads in asked.values())
    times = [start, *(15 + second for second in asked)]
    gaps = [later - earlier for earlier, later in pairwise(times)]
    first, last = FIRST_PROBE.total_seconds(), LAST_PROBE.total_seconds()
    expected = [first, 2 * first, 4 * first, 8 * first, last, last, last]
    assert gaps[:7] == pytest.approx(expected, abs=6)  # looked at every 5 s


async def test_silence_and_return_are_logged_once_each(
    hass: HomeAssistant,
    link: Link,
    freezer: FrozenDateTimeFactory,
    caplog: pytest.LogCaptureFixture,
) -> None:
    unit = link.units[1]
    await set_up(hass, unit)
    caplog.set_level(logging.INFO)
    caplog.clear()
    for _ in range(2):
        unit.fall_silent()
        for _ in range(10):
            await pass_time(hass, freezer, 300)
        unit.answer()
        for _ in range(10):
            await pass_time(hass, freezer, 300)
    said = [
        record.getMessage()
        for record in caplog.records
        if record.name.startswith("custom_components.local_solar")
        and record.levelno >= logging.INFO
    ]
    gone = "Growatt MIN 6000TL-XH does not answer (no answer within 3 s)"
    assert [message.startswith(gone) for message in said] == [True, False, True, False]
    assert said[1] == said[3] == "Growatt MIN 6000TL-XH answers again"


async def test_inverter_that_wakes_up_is_back_with_the_next_probe(
    hass: HomeAssistant, link: Link, freezer: FrozenDateTimeFactory
) -> None:
    unit = link.units[1]
    entry = await set_up(hass, unit)
    unit.fall_silent()
    for _ in range(12):
        await pass_time(hass, freezer, 300)
    unit.answer()
    unit.put32(3023, 70)
    unit.taken_reads()
    await pass_time(hass, freezer, LAST_PROBE.total_seconds())
    assert state_of(hass, entry, "connected").state == "on"
    assert state_of(hass, entry, "ac_power").state == "7.0"
    assert unit.taken_reads()[0] == PROBE
    # And then it is polled in the old rhythm.
    unit.put32(3023, 80)
    await pass_time(hass, freezer, POLL)
    assert state_of(hass, entry, "ac_power").state == "8.0"


async def test_probe_interval_starts_anew_every_night(
    hass: HomeAssistant, link: Link, freezer: FrozenDateTimeFactory
) -> None:
    unit = link.units[1]
    entry = await set_up(hass, unit)
    coordinator = coordinator_of(entry)
    for _ in range(2):
        unit.fall_silent()
        await pass_time(hass, freezer, POLL)
        assert coordinator.update_interval == FIRST_PROBE
        for _ in range(6):
            await pass_time(hass, freezer, 300)
        assert coordinator.update_interval == LAST_PROBE
        unit.answer()
        await pass_time(hass, freezer, 300)
        assert coordinator.update_interval == LocalSolarCoordinator.poll_interval


async def test_inverter_that_answers_the_probe_only_is_still_silent(
    hass: HomeAssistant, link: Link, freezer: FrozenDateTimeFactory
) -> None:
    unit = link.units[1]
    entry = await set_up(hass, unit)
    unit.fall_silent()
    await pass_time(hass, freezer, POLL)
    unit.answer()
    for address in range(3000, 3250):
        unit.fail_read(address, ModbusTimeoutError(), register_type="input")
    await pass_time(hass, freezer, 60)
    assert state_of(hass, entry, "connected").state == "off"


async def test_inverter_that_answers_zeros_only_is_silent_and_not_at_zero(
    hass: HomeAssistant, link: Link, freezer: FrozenDateTimeFactory
) -> None:
    unit = link.units[1]
    entry = await set_up(hass, unit)
    total = state_of(hass, entry, "energy_total").state
    awake = unit.copy()
    unit.fill(0)
    for _ in range(30):
        await pass_time(hass, freezer, 60)
    assert state_of(hass, entry, "connected").state == "off"
    assert state_of(hass, entry, "ac_power").state == STATE_UNAVAILABLE
    assert state_of(hass, entry, "energy_total").state == total

    unit.holding, unit.input = awake.holding, awake.input
    await pass_time(hass, freezer, 300)
    assert state_of(hass, entry, "connected").state == "on"


async def test_link_that_drops_is_like_silence_and_comes_back(
    hass: HomeAssistant, link: Link, freezer: FrozenDateTimeFactory
) -> None:
    entry = await set_up(hass, link.units[1])
    link.go_down(ConnectionRefusedError(111, "refused"))
    await pass_time(hass, freezer, POLL)
    assert state_of(hass, entry, "connected").state == "off"
    link.come_up()
    await pass_time(hass, freezer, FIRST_PROBE.total_seconds())
    assert state_of(hass, entry, "connected").state == "on"


async def test_link_that_drops_for_a_moment_is_not_noticed(
    hass: HomeAssistant, link: Link, freezer: FrozenDateTimeFactory
) -> None:
    entry = await set_up(hass, link.units[1])
    link.connections[-1].simulate_connection_lost()
    await pass_time(hass, freezer, POLL)
    assert state_of(hass, entry, "connected").state == "on"
    assert state_of(hass, entry, "ac_power").state != STATE_UNAVAILABLE


# -- failures of a part ---------------------------------------------------------------


def _said_of_reads(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Return what the log says about reads that fail."""
    return [
        record.getMessage()
        for record in caplog.records
        if "cannot read" in record.getMessage()
        or "can be read again" in record.getMessage()
    ]


async def test_block_that_fails_takes_its_own_entities_only(
    hass: HomeAssistant,
    link: Link,
    freezer: FrozenDateTimeFactory,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    unit = link.units[1]
    entry = await set_up(hass, unit)
    unit.fail_read(BATTERY_SOC, ModbusTimeoutError("lost"), register_type="input")
    for _ in range(3):
        await pass_time(hass, freezer, POLL)
    assert state_of(hass, entry, "battery_soc", battery=True).state == STATE_UNAVAILABLE
    assert state_of(hass, entry, "connected").state == "on"
    for key in ("ac_power", "status", "grid_l1_voltage", "energy_total"):
        assert state_of(hass, entry, key).state != STATE_UNAVAILABLE

    unit.fail_read(BATTERY_SOC, None, register_type="input")
    for _ in range(3):
        await pass_time(hass, freezer, POLL)
    assert state_of(hass, entry, "battery_soc", battery=True).state == "68"
    said = _said_of_reads(caplog)
    assert len(said) == 2
    assert "battery_soc" in said[0]
    assert said[0].endswith(": lost")
    assert said[1] == "Growatt MIN 6000TL-XH: everything can be read again"


async def test_register_that_is_refused_is_left_out_and_no_other(
    hass: HomeAssistant, link: Link, freezer: FrozenDateTimeFactory
) -> None:
    unit = link.units[1]
    entry = await set_up(hass, unit)
    unit.fail_read(TEMPERATURE, IllegalDataAddressError(), register_type="input")
    for _ in range(15):
        await pass_time(hass, freezer, POLL)
    unavailable = {
        state.entity_id
        for state in hass.states.async_all()
        if state.state == STATE_UNAVAILABLE
    }
    assert unavailable == {entity_id_of(hass, entry, "inverter_temperature")}
    unit.taken_reads()
    await pass_time(hass, freezer, 60)
    assert not _covers(unit.taken_reads(), "input", TEMPERATURE)


async def test_counter_keeps_its_value_while_its_block_fails(
    hass: HomeAssistant, link: Link, freezer: FrozenDateTimeFactory
) -> None:
    unit = link.units[1]
    entry = await set_up(hass, unit)
    before = state_of(hass, entry, "battery_charge_energy_total", battery=True).state
    unit.fail_read(3131, ModbusTimeoutError("lost"), register_type="input")
    for _ in range(10):
        await pass_time(hass, freezer, 60)
    after = state_of(hass, entry, "battery_charge_energy_total", battery=True).state
    assert after == before


# -- settings -------------------------------------------------------------------------


class _Plain(LocalSolarCoordinator):
    """Polls devices that have neither registers nor settings."""

    @override
    async def _async_poll(
        self, wanted: set[PointId]
    ) -> dict[str, dict[str, Value | None]]:
        return {}

    @override
    async def _async_probe(self) -> bool:
        return True

    @property
    @override
    def address(self) -> str:
        return "here"

    @override
    async def async_diagnose(self) -> Mapping[str, object]:
        return {}


async def test_family_without_registers_says_so(
    hass: HomeAssistant, link: Link
) -> None:
    entry = await make_entry(hass, link.units[1])
    coordinator = _Plain(hass, entry)
    assert not coordinator.drivers()
    coordinator.show_setting("active_power_limit")
    for ask in (
        coordinator.async_read_register("device", "active_power_limit"),
        coordinator.async_read_registers("device", Space.HOLDING, 3, 1),
        coordinator.async_dump_registers("device"),
    ):
        with pytest.raises(ServiceValidationError) as err:
            await ask
        assert err.value.translation_key == "no_registers"
        assert err.value.translation_placeholders == {"device": entry.title}


async def test_nothing_is_shown_before_the_first_poll(
    hass: HomeAssistant, link: Link
) -> None:
    coordinator = _Plain(hass, await make_entry(hass, link.units[1]))
    coordinator.show({"device": {"active_power_limit": 80}})
    assert not coordinator.data


async def test_newer_value_is_shown_at_once_if_it_is_shown_at_all(
    hass: HomeAssistant, link: Link
) -> None:
    entry = await set_up(hass, link.units[1])
    await enable(hass, entry, "active_power_limit")
    coordinator = coordinator_of(entry)
    others = {
        state.entity_id: state.state
        for state in hass.states.async_all()
        if state.entity_id != entity_id_of(hass, entry, "active_power_limit")
    }
    assert entry.unique_id is not None
    coordinator.show(
        {entry.unique_id: {"active_power_limit": 42, "export_limit_rate": 7}}
    )
    assert state_of(hass, entry, "active_power_limit").state == "42"
    assert {key: hass.states.get(key).state for key in others} == others  # type: ignore[union-attr]
    assert not coordinator.has((entry.unique_id, "export_limit_rate"))


async def test_writing_is_on_only_if_the_owner_said_so(
    hass: HomeAssistant, link: Link
) -> None:
    for access, may_write in (("disabled", False), ("confirm", True), ("on", False)):
        entry = await make_entry(
            hass, link.units[1], options={CONF_WRITE_ACCESS: access}
        )
        coordinator = _Plain(hass, entry)
        assert coordinator.may_write is may_write
        await coordinator.async_open_writing()
        assert (coordinator.writing is not None) is may_write
        await coordinator.async_close_writing()
        await hass.config_entries.async_remove(entry.entry_id)
