"""What only the coordinator of a listener for dataloggers does."""

import asyncio
from datetime import UTC, datetime, timedelta
from functools import partial
from time import monotonic
from typing import Any, Final
from unittest.mock import Mock, patch

from freezegun.api import FrozenDateTimeFactory
import pytest
from pytest_homeassistant_custom_component.common import (
    MockConfigEntry,
    async_capture_events,
    async_fire_time_changed,
)

from custom_components.local_solar import async_remove_config_entry_device
from custom_components.local_solar.const import (
    CONF_INVENTORY,
    CONF_WRITE_ACCESS,
    DOMAIN,
    WRITE_CONFIRM,
)
from custom_components.local_solar.coordinators.datalogger import SETTINGS_AFTER
from custom_components.local_solar.coordinators.datalogger_issues import (
    encrypted_issue,
    loop_issue,
)
from custom_components.local_solar.coordinators.record_event import EVENT_RECORD
from custom_components.local_solar.coordinators.settings_rounds import FIRST_PAUSE
from custom_components.local_solar.modbus_link import ModbusLink
from custom_components.local_solar.points import (
    BATTERY_COMMAND,
    COMMANDED_UNTIL,
    CONNECTED,
)
from homeassistant.config_entries import ConfigEntryState
from homeassistant.const import EVENT_HOMEASSISTANT_STOP, MATCH_ALL, STATE_UNAVAILABLE
from homeassistant.core import Event, EventStateChangedData, HomeAssistant, callback
from homeassistant.helpers import issue_registry as ir
from homeassistant.helpers.event import async_track_state_change_event
from homeassistant.util import dt as dt_util
from simulators.datalogger import parameters
from simulators.datalogger.inverters import SimulatedInverter
from simulators.datalogger.packets import Kind
from simulators.datalogger.stick import SimulatedStick
from simulators.datasets import Table
from tests.common import (
    TL_XH,
    Link,
    Network,
    pass_time,
    poll_all,
    set_up as set_up_modbus,
    setup_state,
)
from tests.datalogger_helpers import (
    BATTERY,
    HOST,
    INVERTER,
    LOGGER,
    LOGGER_ID,
    coordinator_of,
    device_of,
    devices_of,
    entity_id_of,
    impatient,
    make_entry,
    make_stick,
    poll,
    report,
    reporting,
    set_up,
    set_up_writable,
    soon,
    state_of,
    states,
    until,
    until_known,
)
from tests.writing_helpers import act, at_once

pytestmark = pytest.mark.usefixtures("socket_enabled", "prompt_sessions")

SECOND: Final = "SNL0CE5678"
METER: Final = f"{INVERTER}_meter"

NOON: Final = "2026-06-21 20:00:00+00:00"

AT_NOON: Final = pytest.mark.freeze_time(NOON, real_asyncio=True)
"""The clock stands still until a test moves it; what waits for the network does not."""

PATIENCE: Final = 901
"""Seconds after which an inverter is silent that is reported every 5 minutes."""


def second_inverter() -> SimulatedInverter:
    """Return one more inverter behind the same stick."""
    return SimulatedInverter(2, "min_5000tl_x", SECOND)


def energies(hass: HomeAssistant, *devices: str) -> dict[tuple[str, str], str]:
    """Return the states of all counters of energy."""
    return {
        (device, key): state
        for device in devices
        for key, state in states(hass, device).items()
        if "energy" in key
    }


async def remove(hass: HomeAssistant, entry: MockConfigEntry, device: str) -> bool:
    """Remove a device as the owner does; return whether that was let be."""
    registered = device_of(hass, entry, device)
    return await async_remove_config_entry_device(hass, entry, registered)


async def until_gone(
    hass: HomeAssistant, entry: MockConfigEntry, serial: str = LOGGER
) -> None:
    """Wait until a logger is known not to be connected."""
    logger = coordinator_of(entry).fleet.loggers[serial]
    await until(coordinator_of(entry), lambda: logger.session is None)
    await hass.async_block_till_done()


async def is_open(port: int) -> bool:
    """Return whether somebody listens on a port."""
    try:
        _, writer = await asyncio.open_connection(HOST, port)
    except OSError:
        return False
    writer.close()
    await writer.wait_closed()
    return True


# -- what appears ---------------------------------------------------------------------


async def test_what_reports_appears_by_itself_and_in_order(hass: HomeAssistant) -> None:
    entry = await set_up(hass)
    coordinator = coordinator_of(entry)
    server = coordinator.server_id
    assert devices_of(hass, entry) == {server: None}
    async with reporting(hass, entry, meter="words") as stick:
        await until(coordinator, lambda: METER in coordinator.data)
        await hass.async_block_till_done()
        assert devices_of(hass, entry) == {
            server: None,
            LOGGER_ID: server,
            INVERTER: LOGGER_ID,
            BATTERY: INVERTER,
            METER: INVERTER,
        }
        assert [device.identity.id for device in coordinator.devices] == [
            *(server, LOGGER_ID, INVERTER, BATTERY, METER)
        ]
        assert state_of(hass, INVERTER, "pv_power").state == "4411.6"
        assert state_of(hass, LOGGER_ID, "connected").state == "on"
        assert float(state_of(hass, METER, "grid_power").state) == pytest.approx(380.6)
        assert state_of(hass, server, "loggers_connected").state == "1"
        assert stick.acknowledged
    # All that without a reload.
    assert coordinator_of(entry) is coordinator


async def test_meter_of_a_box_is_reached_through_the_box(hass: HomeAssistant) -> None:
    entry = await set_up(hass)
    async with reporting(hass, entry, meter="text") as stick:
        meter = f"{LOGGER}_meter_22"
        stick.report()
        await until(coordinator_of(entry), lambda: meter in coordinator_of(entry).data)
        await hass.async_block_till_done()
        assert devices_of(hass, entry)[meter] == LOGGER_ID
        assert state_of(hass, meter, "grid_import_energy_total").state == "1843.2"


async def test_second_inverter_appears_later(hass: HomeAssistant) -> None:
    entry = await set_up(hass)
    coordinator = coordinator_of(entry)
    async with reporting(hass, entry) as stick:
        stick.inverters[2] = second_inverter()
        stick.reconnect()
        await stick.wait_until(lambda: stick.connections == 2 and stick.is_announced)
        stick.report()
        await until_known(hass, entry, [INVERTER, SECOND])
        assert devices_of(hass, entry)[SECOND] == LOGGER_ID
        assert coordinator.fleet.inverters[SECOND].unit.number == 2
        assert state_of(hass, SECOND, "pv_power").state != STATE_UNAVAILABLE
    assert coordinator_of(entry) is coordinator


async def test_logger_that_is_not_expected_is_counted_and_not_shown(
    hass: HomeAssistant,
) -> None:
    entry = await set_up(hass, make_entry(allowed=["DDD1A2B3C4"]))
    coordinator = coordinator_of(entry)
    async with make_stick(entry) as stick:
        await stick.wait_until(lambda: stick.connections >= 2)
    await poll(hass, entry)
    assert devices_of(hass, entry) == {coordinator.server_id: None}
    refused = state_of(hass, coordinator.server_id, "refused_connections").state
    assert int(refused) >= 1


@pytest.mark.usefixtures("all_entities_enabled")
@pytest.mark.parametrize("dataset", [TL_XH, "sph_5000", "tl3s_12000"])
async def test_it_shows_what_modbus_shows(
    hass: HomeAssistant, network: Network, dataset: str
) -> None:
    """The same points, and the same values of all that a stick reports or is asked for."""
    link = network.add_tcp("other", {1: dataset})
    inverter = SimulatedInverter(1, dataset)
    unit = link.units[1]
    for address, word in inverter.unit.dataset.words[Table.HOLDING].items():
        unit.holding[address] = word
    for address, word in inverter.unit.dataset.words[Table.INPUT].items():
        unit.input[address] = word
    over_modbus = await set_up_modbus(hass, unit, link=ModbusLink(host="other"))
    await poll_all(over_modbus)
    modbus = over_modbus.runtime_data
    serial = inverter.serial
    assert over_modbus.unique_id == serial
    points = {
        (device.identity.id, point)
        for device in modbus.devices
        for point in device.points
    }
    values = {device: dict(known) for device, known in modbus.data.items()}
    await hass.config_entries.async_remove(over_modbus.entry_id)

    entry = await set_up(hass)
    async with reporting(hass, entry, inverters=[inverter]) as stick:
        await poll(hass, entry)
        coordinator = coordinator_of(entry)
        mine = {
            (device.identity.id, point)
            for device in coordinator.devices
            if device.identity.id.startswith(serial)
            for point in device.points
        }
        # A stick does not announce the registers of VPP.
        assert mine <= points
        assert all(
            point.key.startswith("vpp_")
            or point.key in (COMMANDED_UNTIL.key, BATTERY_COMMAND)
            for _, point in points - mine
        )
        told = {
            (device, key): value
            for device, known in coordinator.data.items()
            if device.startswith(serial)
            for key, value in known.items()
        }
        expected = {
            (device, key): value
            for device, known in values.items()
            for key, value in known.items()
        }
        assert {key: told[key] for key in told.keys() & expected} == {
            key: expected[key] for key in told.keys() & expected
        }
        # What is missing is not in the blocks that a stick reports.
        reported = {
            address
            for first, last in inverter.input_blocks
            for address in range(first, last + 1)
        }
        known = coordinator.fleet.inverters[serial].inverter
        assert known is not None
        for _, key in expected.keys() - told.keys():
            row = known.register(key)
            assert row is None or row.address not in reported, key
        assert len(told) > len(expected) * 0.7
        assert stick.connected


# -- what another entry has -----------------------------------------------------------


async def test_inverter_that_is_read_over_modbus_is_not_shown_twice(
    hass: HomeAssistant, link: Link
) -> None:
    unit = link.units[1]
    over_modbus = await set_up_modbus(hass, unit)
    entry = await set_up(hass)
    coordinator = coordinator_of(entry)
    inverters = [
        SimulatedInverter(1, TL_XH, over_modbus.unique_id),
        second_inverter(),
    ]
    async with make_stick(entry, inverters=inverters, meter="words") as stick:
        await until_known(hass, entry, [SECOND])
        await report(hass, entry, stick)
        meter = f"{over_modbus.unique_id}_meter"
        await until(coordinator, lambda: meter in coordinator.data)
        await hass.async_block_till_done()
        assert devices_of(hass, entry) == {
            coordinator.server_id: None,
            LOGGER_ID: coordinator.server_id,
            SECOND: LOGGER_ID,
            meter: LOGGER_ID,
        }
    assert over_modbus.state is ConfigEntryState.LOADED


async def test_inverter_is_left_to_modbus_when_it_is_added_there_later(
    hass: HomeAssistant, link: Link
) -> None:
    """The form refuses that; an entry of a backup may bring it about all the same."""
    unit = link.units[1]
    entry = await set_up(hass)
    serial = unit.serial_number
    inverters = [SimulatedInverter(1, TL_XH, serial)]
    async with reporting(hass, entry, inverters=inverters, meter="words"):
        coordinator = coordinator_of(entry)
        meter = f"{serial}_meter"
        await until(coordinator, lambda: meter in coordinator.data)
    await set_up_modbus(hass, unit)
    await hass.config_entries.async_reload(entry.entry_id)
    await hass.async_block_till_done()
    shown = [device.identity.id for device in coordinator_of(entry).devices]
    assert serial not in shown
    assert devices_of(hass, entry)[meter] == LOGGER_ID


async def test_inverter_is_shown_by_one_listener_only(hass: HomeAssistant) -> None:
    first, second = await set_up(hass), await set_up(hass)
    async with reporting(hass, first):
        pass
    async with make_stick(second) as stick:
        await stick.wait_until(lambda: stick.acknowledged)
        await until(
            coordinator_of(second),
            lambda: bool(coordinator_of(second).value((LOGGER_ID, "records"))),
        )
        await hass.async_block_till_done()
        assert INVERTER not in devices_of(hass, second)
        assert INVERTER in devices_of(hass, first)


# -- restarts and silence -------------------------------------------------------------


async def test_all_is_still_there_after_a_restart_without_a_stick(
    hass: HomeAssistant,
) -> None:
    entry = await set_up(hass)
    async with reporting(hass, entry, meter="words") as stick:
        await until(coordinator_of(entry), lambda: METER in coordinator_of(entry).data)
        await stick.wait_until(lambda: stick.received_of(Kind.PARAMETER))
        await until(
            coordinator_of(entry),
            lambda: 21 in coordinator_of(entry).fleet.loggers[LOGGER].parameters,
        )
        await hass.async_block_till_done()
        counted = energies(hass, INVERTER, BATTERY, METER)
        devices = devices_of(hass, entry)
    assert len(counted) > 8
    assert STATE_UNAVAILABLE not in counted.values()
    await hass.config_entries.async_reload(entry.entry_id)
    await hass.async_block_till_done()

    assert devices_of(hass, entry) == devices
    assert energies(hass, INVERTER, BATTERY, METER) == counted
    for device, key in (
        (INVERTER, "pv_power"),
        (BATTERY, "battery_soc"),
        (METER, "grid_power"),
    ):
        assert state_of(hass, device, key).state == STATE_UNAVAILABLE
    assert state_of(hass, INVERTER, "connected").state == "off"
    assert state_of(hass, LOGGER_ID, "connected").state == "off"
    logger = device_of(hass, entry, LOGGER_ID)
    assert logger.model == "ShineWiFi-X"
    assert logger.sw_version == "1.0.8.3"
    # And it goes on when the stick comes back.
    async with reporting(hass, entry):
        assert state_of(hass, INVERTER, "pv_power").state == "4411.6"


@AT_NOON
async def test_silent_inverter_keeps_its_energies_only(
    hass: HomeAssistant, freezer: FrozenDateTimeFactory
) -> None:
    entry = await set_up(hass)
    async with reporting(hass, entry, meter="words") as stick:
        await until(coordinator_of(entry), lambda: METER in coordinator_of(entry).data)
        before = energies(hass, INVERTER, BATTERY, METER)
        assert state_of(hass, INVERTER, "connected").state == "on"
        freezer.tick(PATIENCE - 60)
        await poll(hass, entry)
        assert state_of(hass, INVERTER, "pv_power").state == "4411.6"

        freezer.tick(61)
        await poll(hass, entry)
        assert energies(hass, INVERTER, BATTERY, METER) == before
        assert state_of(hass, INVERTER, "connected").state == "off"
        assert state_of(hass, INVERTER, "pv_power").state == STATE_UNAVAILABLE
        assert state_of(hass, BATTERY, "battery_soc").state == STATE_UNAVAILABLE
        assert state_of(hass, METER, "grid_power").state == STATE_UNAVAILABLE
        # The stick itself is there.
        assert state_of(hass, LOGGER_ID, "connected").state == "on"

        await report(hass, entry, stick)
        assert state_of(hass, INVERTER, "connected").state == "on"
        assert state_of(hass, INVERTER, "pv_power").state == "4411.6"
        assert energies(hass, INVERTER, BATTERY, METER) == before


@AT_NOON
async def test_logger_that_reports_seldom_is_waited_for_longer(
    hass: HomeAssistant, freezer: FrozenDateTimeFactory
) -> None:
    entry = await set_up(hass)
    async with reporting(hass, entry, interval=1800.0):
        logger = coordinator_of(entry).fleet.loggers[LOGGER]
        await until(coordinator_of(entry), lambda: 4 in logger.parameters)
        freezer.tick(5000)
        await poll(hass, entry)
        assert state_of(hass, INVERTER, "connected").state == "on"
        freezer.tick(500)
        await poll(hass, entry)
        assert state_of(hass, INVERTER, "connected").state == "off"


async def test_logger_that_hangs_up_is_shown_as_gone_and_back(
    hass: HomeAssistant,
) -> None:
    entry = await set_up(hass)
    async with reporting(hass, entry) as stick:
        stick.disconnect()
        await until_gone(hass, entry)
        assert state_of(hass, LOGGER_ID, "connected").state == "off"
        # The values of a moment ago hold as long as none is missing.
        assert state_of(hass, INVERTER, "pv_power").state == "4411.6"
        stick.reconnect()
        coordinator = coordinator_of(entry)
        await until(
            coordinator, lambda: coordinator.value((LOGGER_ID, "connected")) is True
        )
        assert state_of(hass, LOGGER_ID, "connected").state == "on"


# -- records that are not shown -------------------------------------------------------


@pytest.mark.parametrize("rogue", ["corrupt,type=04", "wrong-crc,type=04"])
async def test_garbage_is_counted_and_changes_nothing(
    hass: HomeAssistant, rogue: str
) -> None:
    entry = await set_up(hass)
    async with reporting(hass, entry, seed=1) as stick:
        before = states(hass, INVERTER) | states(hass, BATTERY)
        logger = coordinator_of(entry).fleet.loggers[LOGGER]
        stick.start_rogue(rogue)
        stick.report()
        await soon(lambda: logger.rejected)
        stick.stop_rogue()
        await report(hass, entry, stick)
        assert logger.rejected == 1
        assert state_of(hass, LOGGER_ID, "rejected_records").state == "1"
        assert states(hass, INVERTER) | states(hass, BATTERY) == before


async def test_damaged_packets_are_used_if_the_owner_says_so(
    hass: HomeAssistant,
) -> None:
    entry = await set_up(hass, take_damaged_packets=True)
    async with reporting(hass, entry, rogues=["wrong-crc"]):
        assert state_of(hass, INVERTER, "pv_power").state == "4411.6"


async def test_record_of_earlier_changes_nothing_that_is_shown(
    hass: HomeAssistant,
) -> None:
    entry = await set_up(hass)
    async with reporting(hass, entry) as stick:
        seen: list[str] = []

        @callback
        def note(event: Event[Any]) -> None:
            seen.append(event.data["new_state"].state)

        async_track_state_change_event(
            hass,
            [
                entity_id_of(hass, INVERTER, key)
                for key in ("pv_power", "energy_total", "energy_today")
            ],
            note,
        )
        stick.disconnect()
        await until_gone(hass, entry)
        words = stick.inverters[1].unit.dataset.words[Table.INPUT]
        now = words[3002], words[3052]
        words[3002], words[3052] = 10000, words[3052] + 500
        stick.report()
        assert stick.buffered == 1
        words[3002], words[3052] = now
        stick.reconnect()
        await stick.wait_until(lambda: stick.is_announced)
        await report(hass, entry, stick)
        await stick.wait_until(lambda: not stick.buffered)
        assert stick.sent_of(Kind.BUFFERED)
        await report(hass, entry, stick)
        assert not seen
        assert state_of(hass, INVERTER, "pv_power").state == "4411.6"


# -- clocks ---------------------------------------------------------------------------


def clock_writes(stick: SimulatedStick) -> list[str]:
    """Return the times that the clock of a stick was set to."""
    return [
        text for number, text, _ in stick.parameter_writes if number == parameters.CLOCK
    ]


def is_set_after(stick: SimulatedStick, times: int) -> bool:
    """Return whether the clock of a stick was set more often."""
    return len(clock_writes(stick)) > times


@AT_NOON
async def test_clock_is_set_after_the_announcement(
    hass: HomeAssistant, freezer: FrozenDateTimeFactory
) -> None:
    await hass.config.async_set_time_zone("Europe/Berlin")
    entry = await set_up(hass)
    # A stick may not report anything before.
    async with make_stick(entry, rogues=["waits-for-clock"]) as stick:
        await stick.wait_until(lambda: clock_writes(stick))
        assert clock_writes(stick) == ["2026-06-21 22:00:00"]
        stick.report()
        await until_known(hass, entry, [INVERTER])


@pytest.mark.freeze_time("2026-10-24 20:00:00+00:00", real_asyncio=True)
async def test_clocks_are_set_every_day_at_four(
    hass: HomeAssistant, freezer: FrozenDateTimeFactory
) -> None:
    await hass.config.async_set_time_zone("Europe/Berlin")
    entry = await set_up(hass)
    async with reporting(hass, entry) as stick:
        await stick.wait_until(lambda: len(clock_writes(stick)) == 1)
        # In the night of the 25th summer time ends.
        for day in (25, 26):
            now = datetime(2026, 10, day, 3, tzinfo=UTC)
            freezer.move_to(now)
            done = len(clock_writes(stick))
            async_fire_time_changed(hass, now + timedelta(days=2))
            await stick.wait_until(partial(is_set_after, stick, done))
        assert clock_writes(stick)[1:] == ["2026-10-25 04:00:00", "2026-10-26 04:00:00"]


# -- asking for settings --------------------------------------------------------------


@AT_NOON
async def test_settings_are_asked_for_when_they_are_due(
    hass: HomeAssistant, freezer: FrozenDateTimeFactory
) -> None:
    entry = await set_up_writable(hass)
    async with reporting(hass, entry) as stick:
        await poll(hass, entry)
        # All that is shown was announced.
        assert not stick.received_of(Kind.READ)
        limit = state_of(hass, INVERTER, "active_power_limit")
        assert limit.state == "100"
        stick.inverters[1].unit.dataset.words[Table.HOLDING][3] = 70
        freezer.tick(600)
        await poll(hass, entry)
        assert stick.received_of(Kind.READ)
        assert state_of(hass, INVERTER, "active_power_limit").state == "70"
        asked = len(stick.received_of(Kind.READ))
        freezer.tick(30)
        await poll(hass, entry)
        assert len(stick.received_of(Kind.READ)) == asked


async def test_setting_changed_since_the_announcement_stays_as_it_is(
    hass: HomeAssistant,
) -> None:
    entry = await set_up_writable(hass)
    async with reporting(hass, entry) as stick:
        stick.reconnect()
        await stick.wait_until(lambda: stick.connections == 2 and stick.is_announced)
        await hass.async_block_till_done()
        device = device_of(hass, entry, INVERTER).id
        change = {"register": "active_power_limit", "value": 90}
        with at_once():
            await act(hass, "set_register", device, **change, confirm=True)
        shown: list[str] = []

        @callback
        def show(_: Event[EventStateChangedData] | None = None) -> None:
            shown.append(state_of(hass, INVERTER, "active_power_limit").state)

        show()
        entity_id = entity_id_of(hass, INVERTER, "active_power_limit")
        async_track_state_change_event(hass, entity_id, show)
        # By its next record an inverter is looked at again, as it was announced.
        await report(hass, entry, stick)
        preview = await act(hass, "preview_write", device, **change)
        assert preview is not None
        assert (preview["current"], preview["raw_current"]) == (90, [90])
        assert shown == ["90"]


async def test_settings_answered_before_the_first_record_are_shown_soon_after_it(
    hass: HomeAssistant,
) -> None:
    async def settings_asked() -> None:
        later = dt_util.utcnow() + timedelta(seconds=SETTINGS_AFTER + 1)
        async_fire_time_changed(hass, later)
        await hass.async_block_till_done(wait_background_tasks=True)

    entry = await set_up_writable(hass)
    inverters = [SimulatedInverter(1, "sph_5000", INVERTER)]
    async with reporting(hass, entry, inverters=inverters) as stick:
        stick.disconnect()
        await hass.config_entries.async_reload(entry.entry_id)
        stick.server = HOST, coordinator_of(entry).server.port
        stick.reconnect()
        await stick.wait_until(lambda: stick.is_announced)
        await settings_asked()
        # It is in none of the blocks that are announced.
        assert stick.received_of(Kind.READ)
        assert state_of(hass, BATTERY, "load_first_min_soc").state == STATE_UNAVAILABLE
        asked = len(stick.received_of(Kind.READ))
        await report(hass, entry, stick)
        await settings_asked()
        assert state_of(hass, BATTERY, "load_first_min_soc").state == "10"
        assert len(stick.received_of(Kind.READ)) == asked


async def test_stick_that_never_answers_is_asked_ever_more_seldom(
    hass: HomeAssistant,
) -> None:
    clock = Mock(monotonic=Mock(return_value=monotonic()))
    package = "custom_components.local_solar"
    with (
        impatient(),
        patch(f"{package}.coordinators.datalogger.time", clock),
        patch(f"{package}.coordinators.settings_rounds.time", clock),
        patch(f"{package}.growatt.inverter.time", clock),
        patch(f"{package}.growatt.datalogger.fleet.time", clock),
    ):
        entry = await set_up_writable(hass)
        async with reporting(hass, entry, rogues=["no-answers,type=05"]) as stick:
            await poll(hass, entry)

            async def asked_after(seconds: float) -> bool:
                before = len(stick.received_of(Kind.READ))
                clock.monotonic.return_value += seconds
                # It is no less awake for not answering.
                await report(hass, entry, stick)
                await poll(hass, entry)
                assert state_of(hass, INVERTER, "pv_power").state == "4411.6"
                return len(stick.received_of(Kind.READ)) > before

            assert await asked_after(600)
            assert not await asked_after(FIRST_PAUSE - 10)
            assert await asked_after(20)
            assert not await asked_after(2 * FIRST_PAUSE - 10)
            assert await asked_after(20)
            stick.stop_rogue()
            assert await asked_after(4 * FIRST_PAUSE)
            # It is asked in the usual rhythm once it has answered.
            assert await asked_after(600)


# -- what cannot be understood --------------------------------------------------------


async def test_encrypted_stick_is_said_until_it_is_understood(
    hass: HomeAssistant, issue_registry: ir.IssueRegistry
) -> None:
    entry = await set_up(hass)
    stick = make_stick(entry, encrypted=True)
    async with stick:
        await stick.wait_until(lambda: stick.sent_of(Kind.ANNOUNCE))
        await soon(lambda: issue_registry.issues)
    issue = issue_registry.async_get_issue(DOMAIN, encrypted_issue(entry, LOGGER))
    assert issue is not None
    assert issue.translation_key == "encrypted_datalogger"
    assert issue.translation_placeholders == {"logger": LOGGER}
    async with reporting(hass, entry):
        assert not issue_registry.issues


async def test_what_is_said_of_loggers_goes_with_the_entry(
    hass: HomeAssistant, issue_registry: ir.IssueRegistry
) -> None:
    entry = await set_up(hass)
    coordinator_of(entry).logger_encrypts("DDD1A2B3C4", encrypts=True)
    assert issue_registry.issues
    await hass.config_entries.async_remove(entry.entry_id)
    assert not issue_registry.issues


async def test_name_of_the_cloud_that_leads_here_is_said(
    hass: HomeAssistant, issue_registry: ir.IssueRegistry, unused_tcp_port: int
) -> None:
    entry = make_entry(cloud_port=unused_tcp_port)
    entry = MockConfigEntry(domain=DOMAIN, data={**entry.data, "port": unused_tcp_port})
    await set_up(hass, entry)
    async with make_stick(entry) as stick:
        statistics = coordinator_of(entry).server.statistics
        await soon(lambda: statistics.loops)
        await poll(hass, entry)
        # We answer it all the same.
        await stick.wait_until(lambda: stick.acknowledged)
        await until_known(hass, entry, [INVERTER])
    issue = issue_registry.async_get_issue(DOMAIN, loop_issue(entry))
    assert issue is not None
    assert issue.translation_placeholders == {"host": HOST}
    # It says that it goes away when the entry is loaded again.
    await hass.config_entries.async_reload(entry.entry_id)
    assert not issue_registry.issues


# -- events ---------------------------------------------------------------------------


async def test_record_is_told_to_who_listens(hass: HomeAssistant) -> None:
    entry = await set_up(hass)
    async with reporting(hass, entry) as stick:
        events = async_capture_events(hass, EVENT_RECORD)
        await report(hass, entry, stick)
        event = next(event for event in events if event.data["type"] == "live")
        values = event.data["values"]
        assert values["pv_power"] == 4411.6
        assert values["battery_soc"] is not None
        assert dict(event.data) | {"values": None, "time": None} == {
            "device_id": device_of(hass, entry, INVERTER).id,
            "datalogger": LOGGER,
            "inverter": INVERTER,
            "unit": 1,
            "type": "live",
            "time": None,
            "values": None,
        }
        told = datetime.fromisoformat(event.data["time"])
        now = dt_util.now().replace(tzinfo=None)
        assert abs(told - now) < timedelta(minutes=1)
        # The event of a record of earlier says so.
        events.clear()
        stick.disconnect()
        await until_gone(hass, entry)
        stick.report()
        stick.reconnect()
        await stick.wait_until(lambda: stick.is_announced)
        await report(hass, entry, stick)
        await stick.wait_until(lambda: not stick.buffered)
        await report(hass, entry, stick)
        assert {event.data["type"] for event in events} >= {
            *("announcement", "buffered", "live")
        }


async def test_record_is_told_to_nobody_else(hass: HomeAssistant) -> None:
    entry = await set_up(hass)
    async with reporting(hass, entry) as stick:
        events = async_capture_events(hass, MATCH_ALL)
        await report(hass, entry, stick)
        assert EVENT_RECORD not in {event.event_type for event in events}


# -- listening ------------------------------------------------------------------------


async def test_port_that_is_taken_is_waited_for(
    hass: HomeAssistant, freezer: FrozenDateTimeFactory, unused_tcp_port: int
) -> None:
    entry = MockConfigEntry(
        domain=DOMAIN, data={**make_entry().data, "port": unused_tcp_port}
    )
    other = await asyncio.start_server(lambda *_: None, HOST, unused_tcp_port)
    async with other:
        await set_up(hass, entry)
        assert setup_state(entry) is ConfigEntryState.SETUP_RETRY
        assert entry.error_reason_translation_key == "cannot_listen"
        assert f"{HOST}:{unused_tcp_port}" in str(entry.reason)
        assert "Grott" in str(entry.reason)
    await pass_time(hass, freezer, 10)
    assert setup_state(entry) is ConfigEntryState.LOADED
    assert coordinator_of(entry).server.port == unused_tcp_port


async def test_unloading_closes_everything(hass: HomeAssistant) -> None:
    entry = await set_up(hass)
    async with reporting(hass, entry) as stick:
        port = coordinator_of(entry).server.port
        coordinator = coordinator_of(entry)
        await hass.config_entries.async_unload(entry.entry_id)
        await stick.wait_until(lambda: not stick.connected)
        assert not await is_open(port)
        assert not coordinator.server.sessions
        unit = coordinator.fleet.inverters[INVERTER].unit
        assert not unit.connected


async def test_nothing_is_acknowledged_any_more_when_home_assistant_stops(
    hass: HomeAssistant,
) -> None:
    entry = await set_up(hass)
    async with reporting(hass, entry) as stick:
        port = coordinator_of(entry).server.port
        hass.bus.async_fire(EVENT_HOMEASSISTANT_STOP)
        await hass.async_block_till_done()
        await stick.wait_until(lambda: not stick.connected)
        assert not await is_open(port)
        before = stick.acknowledged
        stick.report()
        assert stick.buffered == 1
        assert stick.acknowledged == before


# -- what changes and goes ------------------------------------------------------------


async def test_equipment_that_is_added_reloads(hass: HomeAssistant) -> None:
    entry = await set_up(hass)
    coordinator = coordinator_of(entry)
    inverters = [SimulatedInverter(1, "min_5000tl_x", INVERTER)]
    async with reporting(hass, entry, inverters=inverters) as stick:
        assert BATTERY not in devices_of(hass, entry)
        # What was recognised wrongly at first, or was replaced: its points are others.
        stick.inverters[1] = SimulatedInverter(1, TL_XH, INVERTER)
        stick.reconnect()
        await stick.wait_until(lambda: stick.connections == 2 and stick.is_announced)
        stick.report()
        await soon(
            lambda: getattr(entry, "runtime_data", coordinator) is not coordinator
        )
        await hass.async_block_till_done()
    assert entry.state is ConfigEntryState.LOADED
    assert BATTERY in devices_of(hass, entry)


@AT_NOON
async def test_owner_may_remove_what_does_not_report_any_more(
    hass: HomeAssistant, freezer: FrozenDateTimeFactory
) -> None:
    entry = await set_up(hass)
    server = coordinator_of(entry).server_id
    async with reporting(hass, entry, meter="words"):
        await until(coordinator_of(entry), lambda: METER in coordinator_of(entry).data)
        for device in (server, LOGGER_ID, INVERTER, BATTERY):
            assert not await remove(hass, entry, device)
    await until_gone(hass, entry)
    assert not await remove(hass, entry, INVERTER)
    freezer.tick(PATIENCE)
    assert not await remove(hass, entry, server)
    for device in (INVERTER, BATTERY, METER, LOGGER_ID):
        assert await remove(hass, entry, device)
    assert [device.identity.id for device in coordinator_of(entry).devices] == [server]
    assert entry.data[CONF_INVENTORY] == {"loggers": [], "inverters": [], "meters": []}


@pytest.mark.usefixtures("settled")
@AT_NOON
async def test_what_was_removed_comes_back_and_is_written_to_again(
    hass: HomeAssistant, freezer: FrozenDateTimeFactory
) -> None:
    entry = await set_up(hass, **{CONF_WRITE_ACCESS: WRITE_CONFIRM})

    async def change(device: str, register: str, value: object) -> object:
        registered = device_of(hass, entry, device)
        response = await act(
            hass,
            "set_register",
            registered,
            register=register,
            value=value,
            confirm=True,
        )
        return response["outcome"]

    async with reporting(hass, entry):
        assert await change(INVERTER, "active_power_limit", 80) == "written"
        assert await change(LOGGER_ID, "server_port", 5280) == "written"
    await until_gone(hass, entry)
    freezer.tick(PATIENCE)
    for device in (INVERTER, LOGGER_ID):
        assert await remove(hass, entry, device)
    await poll(hass, entry)
    async with reporting(hass, entry, inverters=None) as stick:
        assert await change(INVERTER, "active_power_limit", 70) == "written"
        assert await change(LOGGER_ID, "server_port", 5281) == "written"
        assert stick.parameters[parameters.SERVER_PORT] == "5281"
        assert [write.words for write in stick.inverters[1].writes] == [(70,)]


async def test_two_names_of_one_thing_do_not_collide(hass: HomeAssistant) -> None:
    """A box may have an inverter inside that has its serial number."""
    entry = await set_up(hass)
    inverters = [SimulatedInverter(1, TL_XH, LOGGER)]
    async with reporting(hass, entry, inverters=inverters):
        found = devices_of(hass, entry)
        assert found[LOGGER] == LOGGER_ID
        assert state_of(hass, LOGGER, CONNECTED.key).state == "on"
        assert state_of(hass, LOGGER_ID, CONNECTED.key).state == "on"


async def test_counters_of_large_inverters_may_grow_fast(hass: HomeAssistant) -> None:
    entry = await set_up(hass)
    at_home = coordinator_of(entry).counters.max_power
    async with reporting(
        hass, entry, inverters=[SimulatedInverter(1, "max_60000tl3", "MAX0CE1234")]
    ):
        assert coordinator_of(entry).counters.max_power == 120 > at_home
    await hass.config_entries.async_reload(entry.entry_id)
    assert coordinator_of(entry).counters.max_power == 120
