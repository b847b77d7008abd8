"""Commands to a battery in Home Assistant: whatever happens, the battery is given back."""

from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime, timedelta
from itertools import count
import random
from typing import Any, Final, override
from unittest.mock import patch

from freezegun.api import FrozenDateTimeFactory
from hypothesis import HealthCheck, given, settings, strategies as st
from modbus_connection import IllegalFunctionError, ModbusTimeoutError
from modbus_connection.mock import WriteEvent
import probatio
import pytest
from pytest_homeassistant_custom_component.common import (
    MockConfigEntry,
    async_capture_events,
)

from custom_components.local_solar.battery_control import (
    FIRST_RETRY,
    LAST_RETRY,
    PATIENCE,
    THROUGH,
    BatteryControl,
    command_replaced_issue,
    not_released_issue,
)
from custom_components.local_solar.const import (
    CONF_IDENTIFICATION,
    CONF_PROFILE,
    CONF_WRITE_ACCESS,
    WRITE_CONFIRM,
    WRITE_DISABLED,
)
from custom_components.local_solar.growatt.probe import Probe
from custom_components.local_solar.logbook import describe_write
from custom_components.local_solar.writing import EVENT_WRITE
from homeassistant.config_entries import ConfigEntryDisabler, ConfigEntryState
from homeassistant.const import Platform
from homeassistant.core import HomeAssistant, State
from homeassistant.exceptions import HomeAssistantError
from homeassistant.helpers import device_registry as dr, issue_registry as ir
from homeassistant.util import dt as dt_util
from simulators.growatt_rules import VPP_VERSION, check_vpp
from simulators.requests import RefusedError

from .common import (
    HOST,
    TL_XH,
    Link,
    Network,
    coordinator_of,
    make_entry,
    pass_time,
    setup_state,
    state_of,
)
from .simulated import VPP
from .writing_helpers import Writable, act, device_of, issues, refused

pytestmark = pytest.mark.usefixtures("settled")

AUTHORITY: Final = 30100
REMOTE: Final = 30407
SERIAL_NUMBER: Final = 3001

HALF_AN_HOUR: Final = {"power": 50, "duration": 30, "confirm": True}
STORE: Final = "local_solar.command"

START: Final = [(AUTHORITY, [1]), (REMOTE, [1, 30, 50])]
END: Final = [(REMOTE, [0]), (AUTHORITY, [0])]


@pytest.fixture(autouse=True)
def few_entities() -> Iterator[None]:
    """Set up no entities but those that are looked at here: most of the time goes there."""
    platforms = (Platform.SENSOR, Platform.SWITCH)
    with patch("custom_components.local_solar.PLATFORMS", platforms):
        yield


class VppUnit(Writable):
    """A unit with the VPP protocol, which minds its rules."""

    def __init__(self) -> None:
        """Have the protocol, and no command."""
        super().__init__(TL_XH)
        self.holding.update(VPP)
        self.most_power = 100
        """It takes a command to charge with more, and keeps this."""
        self.one_by_one = False
        """Whether it takes no words with function 16."""

    def _check(self, address: int, words: list[int]) -> None:
        held = {at: word for at, word in self.holding.items() if isinstance(word, int)}
        try:
            check_vpp(held, dict(enumerate(words, address)))
        except RefusedError as err:
            raise IllegalFunctionError from err

    @override
    async def write_register(self, address: int, value: int) -> None:
        self._check(address, [value])
        await super().write_register(address, value)

    @override
    async def write_registers(self, address: int, values: list[int]) -> None:
        if self.one_by_one:
            raise IllegalFunctionError
        self._check(address, values)
        await super().write_registers(address, values)

    @override
    def _note(self, event: WriteEvent) -> None:
        charges = self.holding[REMOTE + 2]
        if isinstance(charges, int) and self.most_power < charges <= 100:
            self.holding[REMOTE + 2] = self.most_power
        super()._note(event)

    @property
    def has_control(self) -> bool:
        """Whether control was taken from the inverter's own settings."""
        return bool(self.holding[AUTHORITY])

    @property
    def command(self) -> list[object]:
        """The registers of the command."""
        return [self.holding[REMOTE + place] for place in range(3)]


async def make_vpp_entry(
    hass: HomeAssistant, unit: Writable, **options: object
) -> MockConfigEntry:
    """Add the entry of a unit that speaks VPP, and set it up."""
    entry = await make_entry(
        hass, unit, options={CONF_WRITE_ACCESS: WRITE_CONFIRM, **options}
    )
    assert entry.data[CONF_IDENTIFICATION]["vpp"]
    await hass.config_entries.async_setup(entry.entry_id)
    await hass.async_block_till_done()
    return entry


@pytest.fixture
def unit() -> VppUnit:
    """A MIN 6000TL-XH with the VPP protocol."""
    return VppUnit()


@pytest.fixture
def link(network: Network, unit: VppUnit) -> Link:
    """The way to it."""
    return network.add_tcp(HOST, {1: unit})


@pytest.fixture
async def entry(hass: HomeAssistant, unit: VppUnit, link: Link) -> MockConfigEntry:
    """Its entry, with writing switched on."""
    return await make_vpp_entry(hass, unit)


@pytest.fixture
def battery(hass: HomeAssistant, entry: MockConfigEntry) -> dr.DeviceEntry:
    """The battery."""
    return device_of(hass, entry, battery=True)


@pytest.fixture
async def commanded(
    hass: HomeAssistant, unit: VppUnit, entry: MockConfigEntry, battery: dr.DeviceEntry
) -> MockConfigEntry:
    """The entry of a battery that was told to charge for half an hour."""
    await act(hass, "control_battery", battery, **HALF_AN_HOUR)
    assert unit.written == START
    unit.writes.clear()
    return entry


def kept(hass_storage: dict[str, Any], entry: MockConfigEntry) -> bool:
    """Return whether a command is kept on disk."""
    return f"{STORE}.{entry.entry_id}" in hass_storage


def until(hass: HomeAssistant, entry: MockConfigEntry) -> State:
    return state_of(hass, entry, "commanded_until", battery=True)


async def restart(
    hass: HomeAssistant,
    entry: MockConfigEntry,
    freezer: FrozenDateTimeFactory,
    *,
    after: float = 0,
) -> None:
    """Stop Home Assistant in the middle of what it does, and start it some seconds later."""
    with patch.object(BatteryControl, "_async_keep"):
        await hass.config_entries.async_unload(entry.entry_id)
    freezer.tick(timedelta(seconds=after))
    await hass.config_entries.async_setup(entry.entry_id)
    await hass.async_block_till_done(wait_background_tasks=True)


# -- starting -------------------------------------------------------------------------


async def test_battery_is_told_and_the_answer_says_until_when(
    hass: HomeAssistant,
    unit: VppUnit,
    entry: MockConfigEntry,
    battery: dr.DeviceEntry,
    freezer: FrozenDateTimeFactory,
) -> None:
    freezer.move_to("2026-11-20T12:00:00+00:00")
    await hass.config.async_set_time_zone("Europe/Berlin")
    response = await act(hass, "control_battery", battery, **HALF_AN_HOUR)
    assert response == {
        "register": "battery_command",
        "address": REMOTE,
        "before": False,
        "after": {"power": 50, "duration": 30},
        "unit": None,
        "outcome": "written",
        "written": True,
        "verified": True,
        "until": "2026-11-20T13:30:00+01:00",
    }
    assert unit.written == START
    assert until(hass, entry).state == "2026-11-20T12:30:00+00:00"
    assert state_of(hass, entry, "vpp_control_authority").state == "on"


async def test_inverter_stands_for_its_battery(
    hass: HomeAssistant, unit: VppUnit, entry: MockConfigEntry
) -> None:
    await act(hass, "control_battery", device_of(hass, entry), **HALF_AN_HOUR)
    assert unit.command == [1, 30, 50]


async def test_discharge_is_less_than_0(
    hass: HomeAssistant, unit: VppUnit, battery: dr.DeviceEntry
) -> None:
    await act(
        hass, "control_battery", battery, power=-100, duration="1440", confirm=True
    )
    assert unit.command == [1, 1440, 0x10000 - 100]


BEYOND_THE_LIMITS: Final[tuple[dict[str, Any], ...]] = (
    {"power": 101},
    {"power": -101},
    {"power": 50.5},
    {"power": True},
    {"power": "much"},
    {"duration": 0},
    {"duration": -5},
    {"duration": 1441},
    {"duration": 0.5},
    {"duration": None},
)


async def test_what_is_beyond_the_limits_is_refused(
    hass: HomeAssistant, unit: VppUnit, battery: dr.DeviceEntry
) -> None:
    for wrong in BEYOND_THE_LIMITS:
        with pytest.raises(probatio.Invalid):
            await act(hass, "control_battery", battery, **{**HALF_AN_HOUR, **wrong})
    assert not unit.writes


async def test_change_of_a_command_does_not_write_control_again(
    hass: HomeAssistant,
    unit: VppUnit,
    commanded: MockConfigEntry,
    battery: dr.DeviceEntry,
    freezer: FrozenDateTimeFactory,
) -> None:
    await pass_time(hass, freezer, 60)
    await act(hass, "control_battery", battery, power=-20, duration=60, confirm=True)
    assert unit.written == [(REMOTE, [1, 60, 0x10000 - 20])]
    await pass_time(hass, freezer, 1800)
    assert unit.has_control
    await pass_time(hass, freezer, 1800)
    assert not unit.has_control


async def test_same_command_again_begins_its_time_anew(
    hass: HomeAssistant,
    unit: VppUnit,
    commanded: MockConfigEntry,
    battery: dr.DeviceEntry,
    freezer: FrozenDateTimeFactory,
) -> None:
    await pass_time(hass, freezer, 1200)
    await act(hass, "control_battery", battery, **HALF_AN_HOUR)
    assert unit.written == START[1:]
    await pass_time(hass, freezer, 1200)
    assert unit.has_control
    await pass_time(hass, freezer, 601)
    assert not unit.has_control


async def test_command_cannot_be_given_past_its_action(
    hass: HomeAssistant, unit: VppUnit, battery: dr.DeviceEntry
) -> None:
    for value in (True, 50, {"power": 50, "duration": 30}):
        data = {"register": "battery_command", "value": value}
        await refused(act(hass, "preview_write", battery, **data))
        await refused(act(hass, "set_register", battery, **data, confirm=True))
    assert not unit.writes


async def test_battery_that_takes_no_commands_says_so(
    hass: HomeAssistant, network: Network
) -> None:
    unit = Writable(TL_XH)
    network.add_tcp(HOST, {1: unit})
    entry = await make_entry(hass, unit, options={CONF_WRITE_ACCESS: WRITE_CONFIRM})
    await hass.config_entries.async_setup(entry.entry_id)
    for action, data in (
        ("control_battery", HALF_AN_HOUR),
        ("release_battery", {"confirm": True}),
    ):
        err = await refused(act(hass, action, device_of(hass, entry), **data))
        assert err.translation_key == "no_battery_control"
    assert not unit.writes


async def test_unit_that_refuses_is_told_nothing_more(
    hass: HomeAssistant,
    unit: VppUnit,
    entry: MockConfigEntry,
    battery: dr.DeviceEntry,
    hass_storage: dict[str, Any],
) -> None:
    unit.holding[30099] = 0
    err = await refused(act(hass, "control_battery", battery, **HALF_AN_HOUR))
    assert err.translation_key == "write_refused"
    assert not kept(hass_storage, entry)
    assert until(hass, entry).state == "unknown"


async def test_another_inverter_is_told_nothing(
    hass: HomeAssistant,
    unit: VppUnit,
    entry: MockConfigEntry,
    battery: dr.DeviceEntry,
    hass_storage: dict[str, Any],
) -> None:
    unit.set_serial_number("SNL0CE9999")
    err = await refused(act(hass, "control_battery", battery, **HALF_AN_HOUR))
    assert err.translation_key == "wrong_device"
    assert not unit.writes
    assert not kept(hass_storage, entry)


async def test_what_was_sent_in_part_is_taken_back_at_once(
    hass: HomeAssistant,
    unit: VppUnit,
    entry: MockConfigEntry,
    battery: dr.DeviceEntry,
    freezer: FrozenDateTimeFactory,
    hass_storage: dict[str, Any],
) -> None:
    unit.fail_write(REMOTE, IllegalFunctionError())
    await refused(act(hass, "control_battery", battery, **HALF_AN_HOUR))
    await pass_time(hass, freezer, 1)
    assert not unit.has_control
    assert not kept(hass_storage, entry)


async def test_failed_change_leaves_the_earlier_command_to_its_end(
    hass: HomeAssistant,
    unit: VppUnit,
    commanded: MockConfigEntry,
    battery: dr.DeviceEntry,
    freezer: FrozenDateTimeFactory,
) -> None:
    unit.fail_write(REMOTE, IllegalFunctionError())
    await refused(
        act(hass, "control_battery", battery, power=10, duration=900, confirm=True)
    )
    unit.fail_write(REMOTE, None)
    await pass_time(hass, freezer, 1700)
    assert unit.command == [1, 30, 50]
    await pass_time(hass, freezer, 101)
    assert not unit.has_control


async def test_change_of_which_nobody_knows_the_outcome_ends_the_command(
    hass: HomeAssistant,
    unit: VppUnit,
    commanded: MockConfigEntry,
    battery: dr.DeviceEntry,
    freezer: FrozenDateTimeFactory,
) -> None:
    def fall_silent() -> None:
        unit.after_write = None
        unit.fall_silent()
        raise ModbusTimeoutError("no answer")

    unit.after_write = fall_silent
    err = await refused(
        act(hass, "control_battery", battery, power=10, duration=900, confirm=True)
    )
    assert err.translation_key == "outcome_unknown"
    unit.answer()
    await pass_time(hass, freezer, 11)
    assert not unit.has_control


async def test_battery_is_given_back_if_the_inverter_limits_what_it_was_told(
    hass: HomeAssistant,
    unit: VppUnit,
    entry: MockConfigEntry,
    battery: dr.DeviceEntry,
    freezer: FrozenDateTimeFactory,
    hass_storage: dict[str, Any],
) -> None:
    unit.most_power = 40
    err = await refused(act(hass, "control_battery", battery, **HALF_AN_HOUR))
    assert err.translation_key == "holds_other_value"
    assert unit.command == [1, 30, 40]
    await pass_time(hass, freezer, 0)
    assert unit.written == START + END
    assert not kept(hass_storage, entry)
    assert not issues(hass)


async def test_battery_is_given_back_if_a_change_was_written_in_part(
    hass: HomeAssistant,
    unit: VppUnit,
    entry: MockConfigEntry,
    battery: dr.DeviceEntry,
    freezer: FrozenDateTimeFactory,
    hass_storage: dict[str, Any],
) -> None:
    unit.one_by_one = True
    await act(hass, "control_battery", battery, power=50, duration=60, confirm=True)
    unit.fail_write(REMOTE + 1, ModbusTimeoutError("no answer"))
    await refused(
        act(hass, "control_battery", battery, power=-20, duration=10, confirm=True)
    )
    assert unit.command == [1, 60, 0x10000 - 20]
    await pass_time(hass, freezer, 0)
    assert unit.command[0] == 0
    assert not unit.has_control
    assert not kept(hass_storage, entry)


async def test_crash_in_the_middle_of_a_change_leaves_no_command_that_is_not_ours(
    hass: HomeAssistant,
    unit: VppUnit,
    commanded: MockConfigEntry,
    battery: dr.DeviceEntry,
    freezer: FrozenDateTimeFactory,
    hass_storage: dict[str, Any],
) -> None:
    at_the_crash: list[Any] = []
    place = f"{STORE}.{commanded.entry_id}"
    unit.after_write = lambda: at_the_crash.append(dict(hass_storage[place]))
    await act(hass, "control_battery", battery, power=10, duration=10, confirm=True)
    await hass.config_entries.async_unload(commanded.entry_id)
    hass_storage[place] = at_the_crash[0]
    unit.holding.update({REMOTE + 1: 30, REMOTE + 2: 10})
    freezer.tick(timedelta(hours=2))
    await hass.config_entries.async_setup(commanded.entry_id)
    await pass_time(hass, freezer, 0)
    assert not unit.has_control
    assert not issues(hass)


# -- ending ---------------------------------------------------------------------------


async def test_battery_is_given_back_when_the_time_is_over(
    hass: HomeAssistant,
    unit: VppUnit,
    commanded: MockConfigEntry,
    freezer: FrozenDateTimeFactory,
    hass_storage: dict[str, Any],
) -> None:
    assert kept(hass_storage, commanded)
    events = async_capture_events(hass, EVENT_WRITE)
    await pass_time(hass, freezer, 1795)
    assert not unit.writes
    await pass_time(hass, freezer, 6)
    assert unit.written == END
    assert not kept(hass_storage, commanded)
    assert until(hass, commanded).state == "unknown"
    assert state_of(hass, commanded, "vpp_control_authority").state == "off"
    (event,) = events
    assert describe_write(event)["message"] == (
        "Power command was changed from power 50, duration 30 to off,"
        f" asked for by {THROUGH}"
    )
    assert not issues(hass)
    await pass_time(hass, freezer, 7200)
    assert unit.written == END


async def test_battery_is_given_back_before_its_time(
    hass: HomeAssistant,
    unit: VppUnit,
    commanded: MockConfigEntry,
    battery: dr.DeviceEntry,
    freezer: FrozenDateTimeFactory,
    hass_storage: dict[str, Any],
) -> None:
    response = await act(hass, "release_battery", battery, confirm=True)
    assert (response["outcome"], response["after"]) == ("written", False)
    assert unit.written == END
    assert not kept(hass_storage, commanded)
    await pass_time(hass, freezer, 1801)
    assert unit.written == END


async def test_nothing_is_released_that_was_not_commanded(
    hass: HomeAssistant, unit: VppUnit, entry: MockConfigEntry, battery: dr.DeviceEntry
) -> None:
    unit.holding[AUTHORITY] = 1
    err = await refused(act(hass, "release_battery", battery, confirm=True))
    assert err.translation_key == "no_command"
    assert not unit.writes


async def test_control_that_somebody_else_had_taken_is_left_to_him(
    hass: HomeAssistant,
    unit: VppUnit,
    entry: MockConfigEntry,
    battery: dr.DeviceEntry,
    freezer: FrozenDateTimeFactory,
) -> None:
    unit.holding[AUTHORITY] = 1
    await act(hass, "control_battery", battery, **HALF_AN_HOUR)
    await pass_time(hass, freezer, 1801)
    assert unit.written == [START[1], END[0]]
    assert unit.has_control


async def test_command_of_somebody_else_is_left_alone(
    hass: HomeAssistant,
    unit: VppUnit,
    commanded: MockConfigEntry,
    freezer: FrozenDateTimeFactory,
    hass_storage: dict[str, Any],
) -> None:
    unit.holding.update({REMOTE + 1: 120, REMOTE + 2: 99})
    await pass_time(hass, freezer, 1801)
    await pass_time(hass, freezer, 7200)
    assert not unit.writes
    assert unit.has_control
    assert not kept(hass_storage, commanded)
    (issue,) = issues(hass)
    assert issue.issue_id == command_replaced_issue(commanded)
    assert issue.is_persistent


async def test_command_of_somebody_else_that_needs_no_control_of_ours_is_no_issue(
    hass: HomeAssistant,
    unit: VppUnit,
    entry: MockConfigEntry,
    battery: dr.DeviceEntry,
    freezer: FrozenDateTimeFactory,
) -> None:
    unit.holding[AUTHORITY] = 1
    await act(hass, "control_battery", battery, **HALF_AN_HOUR)
    unit.holding[REMOTE + 2] = 99
    await pass_time(hass, freezer, 1801)
    assert unit.written == START[1:]
    assert not issues(hass)


async def test_control_that_was_left_to_another_command_goes_with_the_next_one(
    hass: HomeAssistant,
    unit: VppUnit,
    commanded: MockConfigEntry,
    battery: dr.DeviceEntry,
    freezer: FrozenDateTimeFactory,
) -> None:
    unit.holding[REMOTE + 2] = 99
    await pass_time(hass, freezer, 1801)
    unit.fail_write(REMOTE, IllegalFunctionError())
    await refused(act(hass, "control_battery", battery, **HALF_AN_HOUR))
    assert issues(hass), "a command that was refused mends nothing"
    unit.fail_write(REMOTE, None)
    await act(hass, "control_battery", battery, **HALF_AN_HOUR)
    await pass_time(hass, freezer, 1801)
    assert not unit.has_control
    assert not issues(hass)


async def test_release_of_what_somebody_else_has_replaced_says_so(
    hass: HomeAssistant,
    unit: VppUnit,
    commanded: MockConfigEntry,
    battery: dr.DeviceEntry,
    hass_storage: dict[str, Any],
) -> None:
    unit.holding[REMOTE + 2] = 99
    err = await refused(act(hass, "release_battery", battery, confirm=True))
    assert err.translation_key == "value_changed"
    assert not kept(hass_storage, commanded)


async def test_control_that_somebody_else_gave_back_is_no_more_work(
    hass: HomeAssistant,
    unit: VppUnit,
    commanded: MockConfigEntry,
    freezer: FrozenDateTimeFactory,
    hass_storage: dict[str, Any],
) -> None:
    unit.holding[AUTHORITY] = 0
    await pass_time(hass, freezer, 1801)
    assert not unit.writes
    assert not kept(hass_storage, commanded)


# -- trouble --------------------------------------------------------------------------


async def test_end_is_tried_until_the_inverter_answers(
    hass: HomeAssistant,
    unit: VppUnit,
    commanded: MockConfigEntry,
    freezer: FrozenDateTimeFactory,
    caplog: pytest.LogCaptureFixture,
    hass_storage: dict[str, Any],
) -> None:
    unit.fall_silent()
    await pass_time(hass, freezer, 1801)
    for _ in range(5):
        await pass_time(hass, freezer, 200)
    assert caplog.text.count("the command could not be ended") == 1
    assert kept(hass_storage, commanded)
    assert not issues(hass)
    unit.answer()
    await pass_time(hass, freezer, LAST_RETRY.total_seconds())
    assert unit.written == END
    assert not kept(hass_storage, commanded)


async def test_half_an_end_is_brought_to_its_end(
    hass: HomeAssistant,
    unit: VppUnit,
    commanded: MockConfigEntry,
    freezer: FrozenDateTimeFactory,
) -> None:
    unit.fail_write(AUTHORITY, ModbusTimeoutError("no answer"))
    await pass_time(hass, freezer, 1801)
    assert unit.command[0] == 0
    assert unit.has_control
    unit.fail_write(AUTHORITY, None)
    await pass_time(hass, freezer, FIRST_RETRY.total_seconds() + 1)
    assert not unit.has_control


async def test_owner_is_told_after_an_hour_and_no_longer_once_it_is_done(
    hass: HomeAssistant,
    unit: VppUnit,
    commanded: MockConfigEntry,
    freezer: FrozenDateTimeFactory,
) -> None:
    unit.fall_silent()
    await pass_time(hass, freezer, 1801)
    while dt_util.utcnow() < (end := coordinator_end(commanded)) + PATIENCE:
        assert not issues(hass)
        await pass_time(hass, freezer, 300)
    await pass_time(hass, freezer, LAST_RETRY.total_seconds())
    (issue,) = issues(hass)
    assert issue.issue_id == not_released_issue(commanded)
    assert issue.is_persistent
    assert issue.severity is ir.IssueSeverity.ERROR
    assert end < dt_util.utcnow()
    unit.answer()
    await pass_time(hass, freezer, LAST_RETRY.total_seconds())
    assert not unit.has_control
    assert not issues(hass)


def coordinator_end(entry: MockConfigEntry) -> datetime:
    """Return when the command of an entry ends."""
    control = coordinator_of(entry).battery_control
    assert control is not None
    assert control.until is not None
    return control.until


# -- restart, reload, unload, deletion ------------------------------------------------


async def test_reload_leaves_the_command_in_force_and_ends_it_in_time(
    hass: HomeAssistant,
    unit: VppUnit,
    commanded: MockConfigEntry,
    freezer: FrozenDateTimeFactory,
) -> None:
    end = until(hass, commanded).state
    await hass.config_entries.async_reload(commanded.entry_id)
    await hass.async_block_till_done()
    assert not unit.writes
    assert until(hass, commanded).state == end
    await pass_time(hass, freezer, 1801)
    assert unit.written == END


@pytest.mark.parametrize("after", [60.0, 1799.0, 3600.0, 86400.0 * 7])
async def test_restart_ends_the_command_in_time_or_at_once(
    hass: HomeAssistant,
    unit: VppUnit,
    commanded: MockConfigEntry,
    freezer: FrozenDateTimeFactory,
    hass_storage: dict[str, Any],
    after: float,
) -> None:
    await restart(hass, commanded, freezer, after=after)
    await pass_time(hass, freezer, 0)
    assert bool(unit.writes) is (after > 1800)
    await pass_time(hass, freezer, 1801)
    assert unit.written == END
    assert not kept(hass_storage, commanded)


async def test_clock_that_was_set_back_makes_no_command_longer(
    hass: HomeAssistant,
    unit: VppUnit,
    commanded: MockConfigEntry,
    freezer: FrozenDateTimeFactory,
) -> None:
    await restart(hass, commanded, freezer, after=-86400.0)
    await pass_time(hass, freezer, 1801)
    assert unit.written == END


async def test_crash_while_it_starts_forgets_nothing(
    hass: HomeAssistant,
    unit: VppUnit,
    entry: MockConfigEntry,
    battery: dr.DeviceEntry,
    freezer: FrozenDateTimeFactory,
    hass_storage: dict[str, Any],
) -> None:
    """What it was going to do is on disk before the inverter is told anything."""
    seen: list[bool] = []
    unit.after_write = lambda: seen.append(kept(hass_storage, entry))
    await act(hass, "control_battery", battery, **HALF_AN_HOUR)
    assert seen == [True, True]


async def test_end_while_the_entry_was_not_loaded_is_made_up_for(
    hass: HomeAssistant,
    unit: VppUnit,
    commanded: MockConfigEntry,
    freezer: FrozenDateTimeFactory,
) -> None:
    await hass.config_entries.async_unload(commanded.entry_id)
    assert unit.has_control
    await pass_time(hass, freezer, 3600)
    assert not unit.writes
    await hass.config_entries.async_setup(commanded.entry_id)
    await pass_time(hass, freezer, 0)
    assert unit.written == END


async def test_writing_that_is_switched_off_ends_the_command_before(
    hass: HomeAssistant,
    unit: VppUnit,
    commanded: MockConfigEntry,
    hass_storage: dict[str, Any],
) -> None:
    hass.config_entries.async_update_entry(
        commanded, options={CONF_WRITE_ACCESS: WRITE_DISABLED}
    )
    await hass.config_entries.async_reload(commanded.entry_id)
    assert unit.written == END
    assert not kept(hass_storage, commanded)


async def test_end_needs_no_writing_that_was_switched_off_while_the_inverter_was_away(
    hass: HomeAssistant,
    unit: VppUnit,
    commanded: MockConfigEntry,
    freezer: FrozenDateTimeFactory,
    hass_storage: dict[str, Any],
) -> None:
    unit.fall_silent()
    hass.config_entries.async_update_entry(
        commanded, options={CONF_WRITE_ACCESS: WRITE_DISABLED}
    )
    await hass.config_entries.async_reload(commanded.entry_id)
    assert kept(hass_storage, commanded)
    unit.answer()
    await pass_time(hass, freezer, 1801)
    await pass_time(hass, freezer, 11)
    assert unit.written == END
    assert coordinator_of(commanded).writing is None


async def test_battery_may_be_released_by_hand_while_writing_is_off(
    hass: HomeAssistant,
    unit: VppUnit,
    commanded: MockConfigEntry,
    battery: dr.DeviceEntry,
) -> None:
    unit.fall_silent()
    hass.config_entries.async_update_entry(
        commanded, options={CONF_WRITE_ACCESS: WRITE_DISABLED}
    )
    await hass.config_entries.async_reload(commanded.entry_id)
    unit.answer()
    err = await refused(act(hass, "control_battery", battery, **HALF_AN_HOUR))
    assert err.translation_key == "writes_disabled"
    await act(hass, "release_battery", battery, confirm=True)
    assert unit.written == END


async def test_entry_that_is_disabled_ends_the_command_before(
    hass: HomeAssistant, unit: VppUnit, commanded: MockConfigEntry
) -> None:
    await hass.config_entries.async_set_disabled_by(
        commanded.entry_id, ConfigEntryDisabler.USER
    )
    assert unit.written == END
    assert not issues(hass)


async def test_owner_is_told_if_an_entry_is_disabled_that_does_not_answer(
    hass: HomeAssistant,
    unit: VppUnit,
    commanded: MockConfigEntry,
    freezer: FrozenDateTimeFactory,
    hass_storage: dict[str, Any],
) -> None:
    unit.fall_silent()
    await hass.config_entries.async_set_disabled_by(
        commanded.entry_id, ConfigEntryDisabler.USER
    )
    assert [issue.issue_id for issue in issues(hass)] == [not_released_issue(commanded)]
    assert kept(hass_storage, commanded)
    unit.answer()
    freezer.tick(timedelta(hours=1))
    await hass.config_entries.async_set_disabled_by(commanded.entry_id, None)
    await pass_time(hass, freezer, 0)
    assert not unit.has_control
    assert not issues(hass)


async def choose_map_without_vpp(
    hass: HomeAssistant, entry: MockConfigEntry, unit: VppUnit
) -> None:
    """Let the owner choose another register map, as which the unit takes no commands."""
    hass.config_entries.async_update_entry(
        entry, options={**entry.options, CONF_PROFILE: "sph"}
    )
    with patch.object(Probe, "speaks_vpp", return_value=False):
        await hass.config_entries.async_reload(entry.entry_id)
        await hass.async_block_till_done()


async def test_register_map_that_is_changed_ends_the_command_before(
    hass: HomeAssistant,
    unit: VppUnit,
    commanded: MockConfigEntry,
    hass_storage: dict[str, Any],
) -> None:
    await choose_map_without_vpp(hass, commanded, unit)
    assert unit.written == END
    assert not kept(hass_storage, commanded)
    assert not issues(hass)


@pytest.mark.parametrize("after", [0.0, 1800.0 + PATIENCE.total_seconds()])
async def test_owner_is_told_of_a_set_up_that_fails_while_a_command_is_overdue(
    hass: HomeAssistant,
    unit: VppUnit,
    link: Link,
    commanded: MockConfigEntry,
    freezer: FrozenDateTimeFactory,
    after: float,
) -> None:
    await hass.config_entries.async_unload(commanded.entry_id)
    link.go_down(ConnectionRefusedError(111, "refused"))
    freezer.tick(timedelta(seconds=after))
    await hass.config_entries.async_setup(commanded.entry_id)
    assert setup_state(commanded) is ConfigEntryState.SETUP_RETRY
    assert [issue.issue_id for issue in issues(hass)] == (
        [not_released_issue(commanded)] if after else []
    )
    assert unit.has_control


@pytest.mark.parametrize("is_loaded", [True, False])
async def test_entry_that_is_deleted_ends_the_command(
    hass: HomeAssistant,
    unit: VppUnit,
    link: Link,
    commanded: MockConfigEntry,
    hass_storage: dict[str, Any],
    is_loaded: bool,
) -> None:
    if not is_loaded:
        await hass.config_entries.async_unload(commanded.entry_id)
    await hass.config_entries.async_remove(commanded.entry_id)
    assert unit.written == END
    assert not kept(hass_storage, commanded)
    assert not issues(hass)
    assert link.open_connections == 0


@pytest.mark.parametrize("is_down", [True, False])
async def test_owner_is_told_if_an_entry_is_deleted_that_cannot_be_reached(
    hass: HomeAssistant,
    unit: VppUnit,
    link: Link,
    commanded: MockConfigEntry,
    hass_storage: dict[str, Any],
    is_down: bool,
) -> None:
    if is_down:
        link.go_down(ConnectionRefusedError(111, "refused"))
    else:
        unit.fall_silent()
    await hass.config_entries.async_remove(commanded.entry_id)
    (issue,) = issues(hass)
    assert issue.issue_id == not_released_issue(commanded)
    assert not kept(hass_storage, commanded)


async def test_entry_that_is_deleted_without_a_command_asks_nothing(
    hass: HomeAssistant, unit: VppUnit, entry: MockConfigEntry
) -> None:
    unit.taken_requests()
    await hass.config_entries.async_remove(entry.entry_id)
    assert unit.taken_requests() == 0


async def test_command_that_cannot_be_read_any_more_is_told(
    hass: HomeAssistant,
    unit: VppUnit,
    commanded: MockConfigEntry,
    hass_storage: dict[str, Any],
) -> None:
    await hass.config_entries.async_unload(commanded.entry_id)
    hass_storage[f"{STORE}.{commanded.entry_id}"]["data"] = {"power": "much"}
    await hass.config_entries.async_setup(commanded.entry_id)
    await hass.async_block_till_done()
    assert [issue.issue_id for issue in issues(hass)] == [not_released_issue(commanded)]
    assert not unit.writes


async def test_command_of_a_battery_that_is_no_longer_known_is_told(
    hass: HomeAssistant,
    unit: VppUnit,
    commanded: MockConfigEntry,
    hass_storage: dict[str, Any],
) -> None:
    await hass.config_entries.async_unload(commanded.entry_id)
    unit.holding[VPP_VERSION] = 0
    identification = {**commanded.data[CONF_IDENTIFICATION], "vpp": False}
    hass.config_entries.async_update_entry(
        commanded, data={**commanded.data, CONF_IDENTIFICATION: identification}
    )
    await hass.config_entries.async_setup(commanded.entry_id)
    await hass.async_block_till_done()
    assert [issue.issue_id for issue in issues(hass)] == [not_released_issue(commanded)]
    assert kept(hass_storage, commanded)


# -- whatever happens -----------------------------------------------------------------

type Step = tuple[str, int]

STEPS: Final = st.lists(
    st.one_of(
        st.tuples(st.just("start"), st.integers(1, 90)),
        st.tuples(st.just("release"), st.just(0)),
        st.tuples(st.just("wait"), st.integers(1, 7200)),
        st.tuples(st.just("reload"), st.just(0)),
        st.tuples(st.just("restart"), st.integers(0, 7200)),
        st.tuples(st.just("silent"), st.just(0)),
        st.tuples(st.just("answer"), st.just(0)),
        st.tuples(st.just("lose"), st.integers(1, 4)),
        st.tuples(st.just("limit"), st.integers(1, 100)),
        st.tuples(st.just("one by one"), st.integers(0, 1)),
        st.tuples(st.just("disable"), st.just(0)),
        st.tuples(st.just("enable"), st.just(0)),
    ),
    max_size=8,
)


EXAMPLES: Final = count()


class Story:
    """What happens to an entry, step by step."""

    def __init__(
        self,
        hass: HomeAssistant,
        unit: VppUnit,
        entry: MockConfigEntry,
        freezer: FrozenDateTimeFactory,
    ) -> None:
        """Begin with an entry that is set up."""
        self.hass, self.unit, self.entry, self.freezer = hass, unit, entry, freezer

    async def tell(self, step: Step) -> None:
        """Let one thing happen, in vain perhaps."""
        kind, number = step
        match kind:
            case "start":
                await self._act("control_battery", power=number, duration=number)
            case "release":
                await self._act("release_battery")
            case "wait":
                await pass_time(self.hass, self.freezer, number)
            case "reload":
                await self._reload()
            case "restart":
                await restart(self.hass, self.entry, self.freezer, after=number)
            case "silent":
                self.unit.fall_silent()
            case "answer":
                self.unit.answer()
            case "lose":
                self._lose(number)
            case "limit":
                self.unit.most_power = number
            case "one by one":
                self.unit.one_by_one = bool(number)
            case "disable" | "enable":
                access = WRITE_CONFIRM if kind == "enable" else WRITE_DISABLED
                self.hass.config_entries.async_update_entry(
                    self.entry, options={CONF_WRITE_ACCESS: access}
                )
                await self._reload()

    async def _act(self, action: str, **data: object) -> None:
        device = device_of(self.hass, self.entry, battery=True)
        with suppress(HomeAssistantError):
            await act(self.hass, action, device, confirm=True, **data)

    async def _reload(self) -> None:
        await self.hass.config_entries.async_reload(self.entry.entry_id)
        await self.hass.async_block_till_done(wait_background_tasks=True)

    def _lose(self, writes: int) -> None:
        """Lose the answer to a write soon, and all that comes after it."""
        left = writes

        def lose() -> None:
            nonlocal left
            left -= 1
            if left == 0:
                self.unit.after_write = None
                self.unit.fall_silent()
                raise ModbusTimeoutError("no answer")

        self.unit.after_write = lose


@settings(
    max_examples=8,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(steps=STEPS)
async def test_whatever_happens_control_is_given_back_or_still_to_be(
    hass: HomeAssistant,
    network: Network,
    hass_storage: dict[str, Any],
    freezer: FrozenDateTimeFactory,
    steps: list[Step],
) -> None:
    # Home Assistant draws ids at random, which each example begins anew.
    random.seed(next(EXAMPLES))
    unit = VppUnit()
    network.add_tcp(HOST, {1: unit})
    entry = await make_vpp_entry(hass, unit)
    story = Story(hass, unit, entry, freezer)
    for step in steps:
        await story.tell(step)
        if unit.has_control:
            assert kept(hass_storage, entry) or issues(hass), step
    unit.after_write = None
    unit.answer()
    for _ in range(3):
        await pass_time(hass, freezer, 5400)
    assert not unit.has_control
    assert not kept(hass_storage, entry)
    assert not issues(hass)
    await hass.config_entries.async_remove(entry.entry_id)
    await hass.async_block_till_done()
