"""Blueprints: automations that Home Assistant makes of them, and what those write."""

import asyncio
from collections.abc import AsyncGenerator
from datetime import datetime, timedelta
from pathlib import Path
import shutil
from typing import Any

from freezegun.api import FrozenDateTimeFactory
import probatio
import pytest
from pytest_homeassistant_custom_component.common import (
    MockConfigEntry,
    MockModule,
    MockPlatform,
    async_capture_events,
    async_fire_time_changed,
    async_mock_service,
    mock_integration,
    mock_platform,
)

from custom_components.local_solar.const import DOMAIN
from custom_components.local_solar.writing import EVENT_WRITE
from homeassistant.components.automation.config import AUTOMATION_BLUEPRINT_SCHEMA
from homeassistant.components.blueprint.importer import GITHUB_FILE_PATTERN
from homeassistant.components.blueprint.models import Blueprint
from homeassistant.const import EVENT_HOMEASSISTANT_STARTED
from homeassistant.core import Context, CoreState, HomeAssistant, ServiceCall
from homeassistant.helpers import (
    config_validation as cv,
    device_registry as dr,
    template,
)
from homeassistant.helpers.typing import ConfigType, TemplateVarsType
from homeassistant.setup import async_setup_component
from homeassistant.util import dt as dt_util
from homeassistant.util.yaml import load_yaml_dict

from .common import HOST, ROOT, TL_XH, Network
from .outback_helpers import (
    Reached,
    impatient,
    reached,
    set_up_writable as set_up_writable_gateway,
)
from .writing_helpers import (
    AC_CHARGE,
    ACTIVE_POWER,
    BATTERY_FIRST,
    CHARGE_STOP_SOC,
    EXPORT_LIMIT,
    ON,
    SLOT_1,
    SLOT_2,
    Writable,
    device_of,
    set_up_writable,
)

pytestmark = pytest.mark.usefixtures("settled")

BLUEPRINTS = ROOT / "blueprints" / "automation" / "local_solar"
NAMES = sorted(path.name for path in BLUEPRINTS.glob("*.yaml"))

PRICE = "sensor.price"
TAPPED = "mobile_app_notification_action"


@pytest.fixture
def hass_config_dir(hass_tmp_config_dir: str) -> str:
    """A configuration folder with the blueprints in it."""
    folder = Path(hass_tmp_config_dir, "blueprints", "automation", "local_solar")
    shutil.copytree(BLUEPRINTS, folder)
    return hass_tmp_config_dir


@pytest.fixture
def unit(network: Network) -> Writable:
    """A MIN 6000TL-XH whose slots are all switched off."""
    unit = Writable(TL_XH)
    unit.holding[SLOT_1] = 0
    network.add_tcp(HOST, {1: unit})
    return unit


@pytest.fixture
async def entry(hass: HomeAssistant, unit: Writable) -> AsyncGenerator[MockConfigEntry]:
    """Its entry, with writing switched on. Automations are switched off in the end."""
    await hass.config.async_set_time_zone("Europe/Berlin")
    yield await set_up_writable(hass, unit)
    await hass.services.async_call("automation", "turn_off", {"entity_id": "all"})
    await settle()


async def automate(hass: HomeAssistant, name: str, **inputs: object) -> None:
    """Make an automation of a blueprint."""
    config = {"use_blueprint": {"path": f"local_solar/{name}.yaml", "input": inputs}}
    assert await async_setup_component(
        hass, "automation", {"automation": {"id": name, "alias": name, **config}}
    )
    await hass.async_block_till_done()
    (state,) = hass.states.async_all("automation")
    assert state.state == "on", "the automation is not valid"


async def settle() -> None:
    """Let all happen that happens now, but not wait for automations that are resting."""
    for _ in range(200):
        await asyncio.sleep(0)


async def wait(
    hass: HomeAssistant, freezer: FrozenDateTimeFactory, seconds: float
) -> None:
    """Let time pass and what falls due begin."""
    freezer.tick(timedelta(seconds=seconds))
    async_fire_time_changed(hass)
    await settle()


async def wait_until(
    hass: HomeAssistant, freezer: FrozenDateTimeFactory, when: datetime
) -> None:
    """Let time pass until then."""
    await wait(hass, freezer, (when - dt_util.utcnow()).total_seconds())


async def rest(hass: HomeAssistant, freezer: FrozenDateTimeFactory) -> None:
    """Wait until an automation may write again."""
    await wait(hass, freezer, 12)


async def set_price(hass: HomeAssistant, price: object) -> None:
    """Let the sensor of the price show a price, and what follows from that begin."""
    hass.states.async_set(PRICE, str(price))
    await settle()


# -- all of them ----------------------------------------------------------------------


def test_there_are_blueprints() -> None:
    assert len(NAMES) == 4


@pytest.mark.parametrize("name", NAMES)
def test_blueprint_is_valid_and_complete(name: str) -> None:
    data = load_yaml_dict(BLUEPRINTS / name)
    blueprint = Blueprint(
        data, expected_domain="automation", schema=AUTOMATION_BLUEPRINT_SCHEMA
    )
    assert blueprint.validate() is None
    assert blueprint.metadata["homeassistant"]["min_version"] == "2026.10.0"
    assert blueprint.metadata["author"]
    assert "**What it needs**" in blueprint.metadata["description"]
    assert blueprint.metadata["source_url"] == (
        "https://github.com/local-solar/local-solar/blob/main/blueprints/automation/"
        f"local_solar/{name}"
    )
    assert GITHUB_FILE_PATTERN.match(blueprint.metadata["source_url"])


@pytest.mark.parametrize("name", NAMES)
def test_blueprint_is_documented(name: str) -> None:
    data = load_yaml_dict(BLUEPRINTS / name)
    page = (ROOT / "docs" / "blueprints.md").read_text()
    assert data["blueprint"]["name"] in page
    assert data["blueprint"]["source_url"] in page


# -- charge from cheap grid power -----------------------------------------------------


async def charge_when_cheap(
    hass: HomeAssistant, entry: MockConfigEntry, **inputs: object
) -> None:
    """Charge below 0.15, up to 90 %, with slot 2."""
    inputs = {"slot": 2, "charge_stop_soc": 90, **inputs}
    await automate(
        hass,
        "charge_from_cheap_grid_power",
        inverter=device_of(hass, entry).id,
        price=PRICE,
        threshold=0.15,
        **inputs,
    )


def slot_of(hour: int) -> list[int]:
    """Return the words of a slot that charges for an hour."""
    end = (23 << 8) + 59 if hour == 23 else hour + 1 << 8
    return [ON | BATTERY_FIRST | hour << 8, end]


async def test_cheap_hour_charges_the_battery(
    hass: HomeAssistant,
    unit: Writable,
    entry: MockConfigEntry,
    freezer: FrozenDateTimeFactory,
) -> None:
    freezer.move_to("2026-11-20T13:20:00+01:00")
    await charge_when_cheap(hass, entry)
    await set_price(hass, 0.149)
    assert unit.written == [
        (CHARGE_STOP_SOC, [90]),
        (AC_CHARGE, [1]),
        (SLOT_2, slot_of(13)),
    ]


async def test_price_at_the_threshold_is_not_cheap(
    hass: HomeAssistant,
    unit: Writable,
    entry: MockConfigEntry,
) -> None:
    await charge_when_cheap(hass, entry)
    await set_price(hass, 0.15)
    assert not unit.writes


async def test_charging_ends_with_the_low_price(
    hass: HomeAssistant,
    unit: Writable,
    entry: MockConfigEntry,
    freezer: FrozenDateTimeFactory,
) -> None:
    freezer.move_to("2026-11-20T13:20:00+01:00")
    await charge_when_cheap(hass, entry)
    await set_price(hass, 0.1)
    await rest(hass, freezer)
    unit.writes.clear()
    await set_price(hass, 0.2)
    assert unit.written == [(SLOT_2, [slot_of(13)[0] - ON, 14 << 8])]


async def test_long_low_price_is_written_once_an_hour(
    hass: HomeAssistant,
    unit: Writable,
    entry: MockConfigEntry,
    freezer: FrozenDateTimeFactory,
) -> None:
    freezer.move_to("2026-11-20T21:30:00+01:00")
    await charge_when_cheap(hass, entry)
    await set_price(hass, 0.1)
    unit.writes.clear()
    begin = dt_util.utcnow()
    for minute in range(1, 5 * 60):
        due = begin + timedelta(minutes=minute, seconds=30)
        await wait_until(hass, freezer, due)
        if minute % 7 == 0:
            await set_price(hass, 0.1 + minute / 100_000)
    slots = [words for address, words in unit.written if address == SLOT_2]
    assert slots == [slot_of(hour) for hour in (22, 23, 0, 1, 2)]
    assert len(unit.written) == 5


async def test_no_slot_crosses_midnight(
    hass: HomeAssistant,
    unit: Writable,
    entry: MockConfigEntry,
    freezer: FrozenDateTimeFactory,
) -> None:
    freezer.move_to("2026-11-20T23:59:59+01:00")
    await charge_when_cheap(hass, entry)
    await set_price(hass, 0.1)
    assert unit.written[-1] == (SLOT_2, [ON | BATTERY_FIRST | 23 << 8, 0x173B])


async def test_quick_change_of_the_price_waits_for_the_flash(
    hass: HomeAssistant,
    unit: Writable,
    entry: MockConfigEntry,
    freezer: FrozenDateTimeFactory,
    caplog: pytest.LogCaptureFixture,
) -> None:
    freezer.move_to("2026-11-20T13:20:00+01:00")
    times: list[datetime] = []
    unit.after_write = lambda: times.append(dt_util.utcnow())
    await charge_when_cheap(hass, entry)
    await set_price(hass, 0.1)
    assert len(unit.writes) == 3
    for price in (0.2, 0.1, 0.3):
        await wait(hass, freezer, 2)
        await set_price(hass, price)
        assert len(unit.writes) == 3
    await wait(hass, freezer, 6)
    assert len(unit.writes) == 4
    assert unit.written[-1] == (SLOT_2, [slot_of(13)[0] - ON, 14 << 8])
    assert times[-1] - times[-2] >= timedelta(seconds=10)
    assert "Error while executing" not in caplog.text


@pytest.mark.parametrize("state", ["unavailable", "unknown", "free"])
async def test_price_that_is_missing_for_a_moment_changes_nothing(
    hass: HomeAssistant,
    unit: Writable,
    entry: MockConfigEntry,
    freezer: FrozenDateTimeFactory,
    state: str,
) -> None:
    freezer.move_to("2026-11-20T13:20:00+01:00")
    await charge_when_cheap(hass, entry)
    await set_price(hass, 0.1)
    await rest(hass, freezer)
    unit.writes.clear()
    await set_price(hass, state)
    assert not unit.writes


async def test_price_that_stays_away_ends_charging_at_the_full_hour(
    hass: HomeAssistant,
    unit: Writable,
    entry: MockConfigEntry,
    freezer: FrozenDateTimeFactory,
) -> None:
    freezer.move_to("2026-11-20T13:20:00+01:00")
    await charge_when_cheap(hass, entry)
    await set_price(hass, 0.1)
    await rest(hass, freezer)
    await set_price(hass, "unavailable")
    unit.writes.clear()
    full_hour = datetime.fromisoformat("2026-11-20T14:00:00+01:00")
    await wait_until(hass, freezer, full_hour)
    assert not unit.writes
    await wait(hass, freezer, 31)
    assert unit.written == [(SLOT_2, [slot_of(13)[0] - ON, 14 << 8])]


async def test_slot_1_can_be_used_itself(
    hass: HomeAssistant,
    unit: Writable,
    entry: MockConfigEntry,
    freezer: FrozenDateTimeFactory,
) -> None:
    unit.holding[SLOT_1] = ON
    freezer.move_to("2026-11-20T13:20:00+01:00")
    await charge_when_cheap(hass, entry, slot=1)
    await set_price(hass, 0.1)
    assert unit.written[-1] == (SLOT_1, slot_of(13))


async def test_overlapping_slot_lets_the_grid_alone(
    hass: HomeAssistant,
    unit: Writable,
    entry: MockConfigEntry,
    caplog: pytest.LogCaptureFixture,
) -> None:
    unit.holding[SLOT_1] = ON
    await charge_when_cheap(hass, entry)
    await set_price(hass, 0.1)
    assert unit.written == [(CHARGE_STOP_SOC, [90])]
    assert "overlaps with" in caplog.text


async def test_price_that_is_low_at_the_start_charges_the_battery(
    hass: HomeAssistant,
    unit: Writable,
    entry: MockConfigEntry,
    freezer: FrozenDateTimeFactory,
) -> None:
    freezer.move_to("2026-11-20T13:20:00+01:00")
    hass.states.async_set(PRICE, "0.1")
    hass.set_state(CoreState.starting)
    await charge_when_cheap(hass, entry)
    assert not unit.writes
    hass.set_state(CoreState.running)
    hass.bus.async_fire(EVENT_HOMEASSISTANT_STARTED)
    await settle()
    assert unit.written[-1] == (SLOT_2, slot_of(13))


# -- export limit by price ------------------------------------------------------------


async def limit_when_negative(
    hass: HomeAssistant, entry: MockConfigEntry, **inputs: object
) -> None:
    """Limit the export when the price is negative."""
    await automate(
        hass,
        "export_limit_by_price",
        inverter=device_of(hass, entry).id,
        price=PRICE,
        **inputs,
    )


@pytest.mark.parametrize(
    ("inputs", "limits"),
    [
        ({}, [0, 1000]),
        ({"limit_while_negative": 2.5, "limit_otherwise": 70}, [25, 700]),
    ],
    ids=str,
)
async def test_export_is_limited_while_the_price_is_negative(
    hass: HomeAssistant,
    unit: Writable,
    entry: MockConfigEntry,
    freezer: FrozenDateTimeFactory,
    inputs: dict[str, object],
    limits: list[int],
) -> None:
    await limit_when_negative(hass, entry, **inputs)
    await set_price(hass, -0.01)
    await rest(hass, freezer)
    await set_price(hass, 0)
    assert unit.written == [(EXPORT_LIMIT, [limit]) for limit in limits]


async def test_limit_is_written_when_the_sign_of_the_price_changes_only(
    hass: HomeAssistant,
    unit: Writable,
    entry: MockConfigEntry,
    freezer: FrozenDateTimeFactory,
) -> None:
    await limit_when_negative(hass, entry)
    for price in (5, 4, 0, -1, -2, -3, "unavailable", "unknown", -3, 2, 3):
        await set_price(hass, price)
        await rest(hass, freezer)
    assert unit.written == [(EXPORT_LIMIT, [0]), (EXPORT_LIMIT, [1000])]


async def test_quick_change_of_the_sign_waits_for_the_flash(
    hass: HomeAssistant,
    unit: Writable,
    entry: MockConfigEntry,
    freezer: FrozenDateTimeFactory,
    caplog: pytest.LogCaptureFixture,
) -> None:
    await limit_when_negative(hass, entry)
    await set_price(hass, -1)
    await wait(hass, freezer, 2)
    await set_price(hass, 1)
    assert unit.written == [(EXPORT_LIMIT, [0])]
    await rest(hass, freezer)
    assert unit.written == [(EXPORT_LIMIT, [0]), (EXPORT_LIMIT, [1000])]
    assert "Error while executing" not in caplog.text


# -- confirm by notification ----------------------------------------------------------


class Phone(MockPlatform):  # type: ignore[misc]
    """Stands for the device actions of the app: the real ones need more than is installed."""

    ACTION_SCHEMA = cv.DEVICE_ACTION_BASE_SCHEMA.extend(
        {
            probatio.Required("type"): "notify",
            probatio.Required("message"): cv.template,
            probatio.Optional("title"): cv.template,
            probatio.Optional("data"): cv.template_complex,
        }
    )

    async def async_call_action_from_config(
        self,
        hass: HomeAssistant,
        config: ConfigType,
        variables: TemplateVarsType,
        context: Context | None,
    ) -> None:
        """Send a notification, as the app's integration does."""
        data: dict[str, Any] = {
            key: template.render_complex(config[key], variables)
            for key in ("message", "title", "data")
            if key in config
        }
        await hass.services.async_call(
            "notify", "mobile_app_phone", data, blocking=True, context=context
        )


@pytest.fixture
def notifications(hass: HomeAssistant) -> list[ServiceCall]:
    """What was sent to the phone."""
    calls: list[ServiceCall] = async_mock_service(hass, "notify", "mobile_app_phone")
    return calls


@pytest.fixture
def phone(
    hass: HomeAssistant,
    device_registry: dr.DeviceRegistry,
    notifications: list[ServiceCall],
) -> dr.DeviceEntry:
    """A phone with the app."""
    mock_integration(hass, MockModule("mobile_app"))
    mock_platform(hass, "mobile_app.device_action", Phone())
    app = MockConfigEntry(domain="mobile_app")
    app.add_to_hass(hass)
    return device_registry.async_get_or_create(
        config_entry_id=app.entry_id, identifiers={("mobile_app", "1")}, name="Phone"
    )


async def confirm_on(
    hass: HomeAssistant, entry: MockConfigEntry, phone: dr.DeviceEntry, **inputs: object
) -> None:
    """Ask on a phone whether the active power shall be limited to 80 %."""
    await automate(
        hass,
        "confirm_by_notification",
        **{
            "when": [{"trigger": "state", "entity_id": "input_boolean.go", "to": "on"}],
            "inverter": device_of(hass, entry).id,
            "register": "active_power_limit",
            "value": "80",
            "phone": phone.id,
            **inputs,
        },
    )


async def trigger(hass: HomeAssistant) -> None:
    """Let happen what the automation waits for."""
    for state in ("off", "on"):
        hass.states.async_set("input_boolean.go", state)
        await settle()


async def tap(hass: HomeAssistant, notification: ServiceCall, title: str) -> None:
    """Tap a button of a notification."""
    (action,) = (
        button["action"]
        for button in notification.data["data"]["actions"]
        if button["title"] == title
    )
    hass.bus.async_fire(TAPPED, {"action": action, "device_id": "phone"})
    await settle()


async def test_change_is_asked_for_on_the_phone(
    hass: HomeAssistant,
    unit: Writable,
    entry: MockConfigEntry,
    phone: dr.DeviceEntry,
    notifications: list[ServiceCall],
) -> None:
    await confirm_on(hass, entry, phone)
    await trigger(hass)
    (question,) = notifications
    assert question.data["title"] == "Growatt MIN 6000TL-XH"
    assert question.data["message"] == "Change active_power_limit from 100 % to 80 %?"
    buttons = [button["title"] for button in question.data["data"]["actions"]]
    assert buttons == ["Confirm", "Reject"]
    assert not unit.writes


async def test_tap_on_confirm_writes(
    hass: HomeAssistant,
    unit: Writable,
    entry: MockConfigEntry,
    phone: dr.DeviceEntry,
    notifications: list[ServiceCall],
) -> None:
    await confirm_on(hass, entry, phone)
    await trigger(hass)
    await tap(hass, notifications[0], "Confirm")
    assert unit.written == [(ACTIVE_POWER, [80])]
    question, answer = notifications
    assert answer.data["message"] == "active_power_limit is 80 % now."
    assert answer.data["data"]["tag"] == question.data["data"]["tag"]


async def test_tap_on_reject_writes_nothing(
    hass: HomeAssistant,
    unit: Writable,
    entry: MockConfigEntry,
    phone: dr.DeviceEntry,
    notifications: list[ServiceCall],
) -> None:
    await confirm_on(hass, entry, phone)
    await trigger(hass)
    await tap(hass, notifications[0], "Reject")
    await tap(hass, notifications[0], "Confirm")
    assert not unit.writes
    assert notifications[-1].data["message"] == "clear_notification"


async def test_no_answer_writes_nothing(
    hass: HomeAssistant,
    unit: Writable,
    entry: MockConfigEntry,
    phone: dr.DeviceEntry,
    notifications: list[ServiceCall],
    freezer: FrozenDateTimeFactory,
) -> None:
    await confirm_on(hass, entry, phone)
    await trigger(hass)
    await wait(hass, freezer, 284)
    assert len(notifications) == 1
    await wait(hass, freezer, 2)
    assert notifications[-1].data["message"] == "clear_notification"
    await tap(hass, notifications[0], "Confirm")
    assert not unit.writes


async def test_late_tap_within_the_time_still_writes(
    hass: HomeAssistant,
    unit: Writable,
    entry: MockConfigEntry,
    phone: dr.DeviceEntry,
    notifications: list[ServiceCall],
    freezer: FrozenDateTimeFactory,
) -> None:
    await confirm_on(hass, entry, phone)
    await trigger(hass)
    await wait(hass, freezer, 284)
    await tap(hass, notifications[0], "Confirm")
    assert unit.written == [(ACTIVE_POWER, [80])]


async def test_old_notification_does_not_confirm_a_new_question(
    hass: HomeAssistant,
    unit: Writable,
    entry: MockConfigEntry,
    phone: dr.DeviceEntry,
    notifications: list[ServiceCall],
) -> None:
    await confirm_on(hass, entry, phone)
    await trigger(hass)
    await tap(hass, notifications[0], "Reject")
    await trigger(hass)
    await tap(hass, notifications[0], "Confirm")
    assert not unit.writes


async def test_value_that_changed_meanwhile_is_told(
    hass: HomeAssistant,
    unit: Writable,
    entry: MockConfigEntry,
    phone: dr.DeviceEntry,
    notifications: list[ServiceCall],
) -> None:
    await confirm_on(hass, entry, phone)
    await trigger(hass)
    unit.holding[ACTIVE_POWER] = 60
    await tap(hass, notifications[0], "Confirm")
    assert not unit.writes
    assert "was not changed for sure" in notifications[-1].data["message"]


async def test_value_that_is_held_is_not_asked_for(
    hass: HomeAssistant,
    unit: Writable,
    entry: MockConfigEntry,
    phone: dr.DeviceEntry,
    notifications: list[ServiceCall],
) -> None:
    await confirm_on(hass, entry, phone, value=100)
    await trigger(hass)
    assert not notifications


@pytest.mark.parametrize(
    ("register", "value", "written"),
    [
        ("active_power_limit", "{{ 40 * 2 }}", (ACTIVE_POWER, [80])),
        ("ac_charge_enable", "on", (AC_CHARGE, [1])),
        ("ac_charge_enable", True, (AC_CHARGE, [1])),
        ("tou2_start", "02:45", (SLOT_2, [0x222D, 0x0500])),
        ("export_limit_mode", "ct", (122, [3])),
        ("export_limit_rate", "12.5", (EXPORT_LIMIT, [125])),
    ],
    ids=str,
)
async def test_values_of_all_kinds_can_be_asked_for(
    hass: HomeAssistant,
    unit: Writable,
    entry: MockConfigEntry,
    phone: dr.DeviceEntry,
    notifications: list[ServiceCall],
    register: str,
    value: Any,
    written: tuple[int, list[int]],
) -> None:
    await confirm_on(hass, entry, phone, register=register, value=value)
    await trigger(hass)
    await tap(hass, notifications[0], "Confirm")
    assert unit.written == [written]


# -- AC input by state of charge ------------------------------------------------------

SOC = "sensor.soc"
GATEWAY = "the device of a gateway"


@pytest.fixture
async def commands(hass: HomeAssistant) -> AsyncGenerator[list[ServiceCall]]:
    """What was to be set. Automations are switched off in the end."""
    yield async_mock_service(hass, DOMAIN, "set_register")
    await hass.services.async_call("automation", "turn_off", {"entity_id": "all"})
    await settle()


async def use_by_soc(
    hass: HomeAssistant, gateway: str = GATEWAY, **inputs: object
) -> None:
    """Use the AC input at 40 % and below, drop it at 80 % and above."""
    await automate(
        hass,
        "ac_input_by_state_of_charge",
        gateway=gateway,
        state_of_charge=SOC,
        **inputs,
    )


async def set_soc(hass: HomeAssistant, soc: object) -> None:
    """Let the sensor show a state of charge, and what follows from that happen."""
    hass.states.async_set(SOC, str(soc))
    await settle()


def values_of(commands: list[ServiceCall]) -> list[str]:
    """Return the values of commands, all of which must be for the use of the AC input."""
    for command in commands:
        assert command.data["device_id"] == GATEWAY
        assert command.data["register"] == "ac_input_use"
        assert command.data["confirm"] is True
    return [command.data["value"] for command in commands]


@pytest.mark.parametrize(
    ("soc", "wanted"),
    [
        (0, ["on"]),
        (39.9, ["on"]),
        (40, ["on"]),
        (40.1, []),
        (79.9, []),
        (80, ["off"]),
        (100, ["off"]),
        ("unavailable", []),
        ("unknown", []),
        ("full", []),
    ],
)
async def test_ac_input_follows_the_state_of_charge(
    hass: HomeAssistant, commands: list[ServiceCall], soc: object, wanted: list[str]
) -> None:
    await use_by_soc(hass)
    await set_soc(hass, soc)
    assert values_of(commands) == wanted


async def test_ac_input_stays_between_the_limits(
    hass: HomeAssistant, commands: list[ServiceCall], freezer: FrozenDateTimeFactory
) -> None:
    await use_by_soc(hass)
    await set_soc(hass, 90)
    commands.clear()
    for soc in (70, 50, 41):
        await set_soc(hass, soc)
        await wait(hass, freezer, 300)
    assert not commands
    await set_soc(hass, 40)
    assert values_of(commands) == ["on"]


@pytest.mark.parametrize("use_at", [80, 90])
async def test_limits_that_contradict_each_other_change_nothing(
    hass: HomeAssistant, commands: list[ServiceCall], use_at: int
) -> None:
    await use_by_soc(hass, use_at=use_at, drop_at=80)
    for soc in (5, 80, 85, 100):
        await set_soc(hass, soc)
    assert not commands


@pytest.mark.parametrize("state", ["unavailable", "unknown"])
async def test_state_of_charge_that_stays_away_uses_the_ac_input(
    hass: HomeAssistant,
    commands: list[ServiceCall],
    freezer: FrozenDateTimeFactory,
    state: str,
) -> None:
    freezer.move_to("2026-11-20T13:01:00+00:00")
    await use_by_soc(hass)
    await set_soc(hass, 90)
    commands.clear()
    await set_soc(hass, state)
    for _ in range(9):
        await wait(hass, freezer, 60)
    assert not commands
    for _ in range(6):
        await wait(hass, freezer, 60)
    assert values_of(commands) == ["on"]


async def test_command_that_did_not_last_is_given_again(
    hass: HomeAssistant, commands: list[ServiceCall], freezer: FrozenDateTimeFactory
) -> None:
    await use_by_soc(hass)
    await set_soc(hass, 90)
    for _ in range(5):
        await wait(hass, freezer, 60)
    assert values_of(commands) == ["off", "off"]


@pytest.fixture
async def gateway(socket_enabled: None) -> AsyncGenerator[Reached]:
    """A simulated gateway that carries commands out at once."""
    with impatient():
        async with reached() as there:
            there.simulator.mate3.command_delay = 0.0
            yield there


async def test_gateway_drops_and_uses_the_ac_input(
    hass: HomeAssistant, device_registry: dr.DeviceRegistry, gateway: Reached
) -> None:
    entry = await set_up_writable_gateway(hass, gateway)
    assert entry.unique_id is not None
    device = device_registry.async_get_device_by_identifier(
        (DOMAIN, entry.unique_id), entry.entry_id
    )
    assert device is not None
    written = async_capture_events(hass, EVENT_WRITE)
    await use_by_soc(hass, device.id)
    for soc in (90, 95, 60, 30, 20):
        hass.states.async_set(SOC, str(soc))
        await hass.async_block_till_done()
    assert [(event.data["value"], event.data["outcome"]) for event in written] == [
        (False, "written"),
        (True, "written"),
    ]
    await hass.services.async_call("automation", "turn_off", {"entity_id": "all"})
    assert await hass.config_entries.async_unload(entry.entry_id)
