"""Changing settings of simulated devices, as a real Home Assistant lets their owner do it."""

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import partial
import json

import pytest

from demo.client import Client, Issue, Json
from demo.errors import DemoError
from demo.families import DOMAIN, FAMILIES, WRITING
from demo.house import USER, House
from demo.waiting import together, until
from demo.writing import Control, ask_by_hand, find_control, held

from .conftest import allow_sockets

pytestmark = pytest.mark.e2e

HYBRID = "Growatt MIN 6000TL-XH"
BATTERY = "Growatt ARK battery"
MICROINVERTER = "Hoymiles HMS-800W-2T"
TEMPORARY_LIMIT = "temporary_power_limit"
OUTPUT_POWER = "sensor.hoymiles_hms_800w_2t_output_power"

CONTROLS = {"number", "select", "switch", "time", "button"}
IN_FLASH = "charge_stop_soc"
"""A setting whose writes are counted."""

LIMIT = "active_power_limit"
"""One whose writes are not."""

LIMIT_NUMBER = "number.growatt_min_6000tl_xh_active_power_limit"

HURRIED: Json = {"message_spacing": 0}


@dataclass(frozen=True, slots=True, kw_only=True)
class Owner:
    """The owner of the hybrid. All that is done waits until it is done."""

    runner: asyncio.Runner
    house: House
    entry_id: str
    devices: dict[str, str]
    """Device ids by name."""

    @property
    def client(self) -> Client:
        """The owner's way into Home Assistant."""
        return self.house.client

    def ask(self, action: str, device: str = HYBRID, /, **data: object) -> Json:
        """Take an action of ours for a device. Raises ``DemoError`` if it is refused."""
        return self.runner.run(
            self.client.ask(
                f"{DOMAIN}.{action}", device_id=self.devices[device], **data
            )
        )

    def change(self, register: str, value: object, **data: object) -> Json:
        """Change a setting in one call."""
        return self.ask(
            "set_register", register=register, value=value, confirm=True, **data
        )

    def preview(self, register: str, value: object) -> str:
        """Preview a change and return its token."""
        token: str = self.ask("preview_write", register=register, value=value)["token"]
        return token

    def held(self, register: str) -> object:
        """Return what the device holds now."""
        return self.ask("read_register", register=register)["value"]

    def move(self, entity_id: str, value: float) -> Issue:
        """Move a number and return the question that this opens."""
        with pytest.raises(DemoError, match="Nothing was changed yet"):
            self.runner.run(
                self.client.act("number.set_value", entity_id=entity_id, value=value)
            )
        (issue,) = self.issues()
        return issue

    def issues(self) -> list[Issue]:
        """Return the questions there are."""
        return self.runner.run(self.client.issues(DOMAIN))

    def shown(self, entity_id: str) -> str:
        """Return what an entity shows."""
        return self.runner.run(self.client.states())[entity_id].value

    def domains(self, device: str) -> set[str]:
        """Return the platforms of a device's enabled entities."""
        return {
            entity.domain
            for entity in self.runner.run(self.client.entities([self.entry_id]))
            if entity.device_id == self.devices[device] and entity.enabled
        }

    def set_options(self, *steps: Json) -> None:
        """Fill in the forms of the options."""
        self.runner.run(self.client.set_options(self.entry_id, *steps))

    def wait_for_controls(self, *, present: bool = True) -> None:
        """Wait until controls show values, or until there are none any more."""

        async def are_there() -> bool | None:
            states = await self.client.states()
            values = [
                states[entity.id].value
                for entity in await self.client.entities([self.entry_id])
                if entity.domain in CONTROLS and entity.id in states
            ]
            return (bool(values) == present and "unavailable" not in values) or None

        self.runner.run(until(are_there, 60, "the entry is not reloaded"))


@pytest.fixture(scope="module")
def entries(runner: asyncio.Runner, house: House) -> list[str]:
    """A hybrid whose settings may not be changed yet, and a microinverter's that may."""
    hybrid = replace(FAMILIES["growatt"][0], options=())
    microinverter = FAMILIES["hoymiles"][0]
    return runner.run(together(map(house.add, (hybrid, microinverter))))


@pytest.fixture(scope="module")
def watcher(runner: asyncio.Runner, house: House, entries: list[str]) -> Owner:
    """The owner before writing is switched on."""
    hybrid, _ = entries
    devices = runner.run(house.client.devices([hybrid]))
    return Owner(
        runner=runner,
        house=house,
        entry_id=hybrid,
        devices={device.name: device.id for device in devices},
    )


@pytest.fixture(autouse=True)
def clean_log(house: House) -> Iterator[None]:
    """Hold each test to a log without complaints about Local Solar."""
    yield
    assert house.home_assistant.complaints == []


def test_nothing_can_be_written_before_the_owner_allows_it(watcher: Owner) -> None:
    assert CONTROLS.isdisjoint(watcher.domains(HYBRID) | watcher.domains(BATTERY))
    with pytest.raises(DemoError, match="is switched off"):
        watcher.change(LIMIT, 50)
    assert watcher.held(LIMIT) == 100


@pytest.mark.parametrize("more", [(), ({"acknowledged": False},)])
def test_writing_stays_off_until_its_warning_is_acknowledged(
    watcher: Owner, more: tuple[Json, ...]
) -> None:
    with pytest.raises(DemoError, match="acknowledge"):
        watcher.set_options({"write_access": "confirm"}, *more)
    with pytest.raises(DemoError, match="is switched off"):
        watcher.preview(LIMIT, 50)


@pytest.fixture(scope="module")
def owner(watcher: Owner) -> Owner:
    """The owner after writing was switched on."""
    allowed, acknowledged = WRITING
    watcher.set_options({**HURRIED, **allowed}, acknowledged)
    watcher.wait_for_controls()
    return watcher


def test_settings_become_controls_of_the_device_they_belong_to(owner: Owner) -> None:
    assert owner.domains(HYBRID) & CONTROLS == {"number", "select", "button"}
    assert owner.domains(BATTERY) & CONTROLS == {"number", "select", "switch", "time"}
    assert owner.shown(LIMIT_NUMBER) == "100"
    assert owner.shown("time.growatt_ark_battery_time_slot_1_until") == "23:59:00"


def test_a_previewed_change_is_made_once_it_is_confirmed(owner: Owner) -> None:
    preview = owner.ask("preview_write", register=LIMIT, value=90)
    shown = {part: preview[part] for part in ("current", "value", "unit", "address")}
    assert shown == {"current": 100, "value": 90, "unit": "%", "address": 3}
    assert owner.held(LIMIT) == 100

    answer = owner.ask("confirm_write", token=preview["token"])
    assert (answer["before"], answer["after"]) == (100, 90)
    assert answer["outcome"] == "written"
    assert owner.held(LIMIT) == 90
    assert owner.shown(LIMIT_NUMBER) == "90"

    with pytest.raises(DemoError, match="waits under this token"):
        owner.ask("confirm_write", token=preview["token"])


def test_a_cancelled_change_is_not_made(owner: Owner) -> None:
    before = owner.held(LIMIT)
    token = owner.preview(LIMIT, 70)
    owner.runner.run(
        owner.client.act(
            f"{DOMAIN}.cancel_write", device_id=owner.devices[HYBRID], token=token
        )
    )
    with pytest.raises(DemoError, match="waits under this token"):
        owner.ask("confirm_write", token=token)
    assert owner.held(LIMIT) == before


@pytest.mark.parametrize("said", [{"confirm": False}, {}])
def test_a_call_that_does_not_confirm_changes_nothing(owner: Owner, said: Json) -> None:
    before = owner.held(LIMIT)
    with pytest.raises(DemoError, match=": 400"):
        owner.ask("set_register", register=LIMIT, value=60, **said)
    assert owner.held(LIMIT) == before


def test_a_changed_value_is_not_overwritten(owner: Owner) -> None:
    owner.change(LIMIT, 85)
    with pytest.raises(DemoError, match="is 85 % now, not 84 %"):
        owner.change(LIMIT, 80, expected=84)
    assert owner.held(LIMIT) == 85


def test_a_change_is_told_to_the_bus_and_the_logbook(owner: Owner) -> None:
    owner.change(LIMIT, 83)
    began = datetime.now(UTC)
    assert owner.runner.run(_event_of_a_change(owner)) == {
        "device_id": owner.devices[HYBRID],
        "name": HYBRID,
        "register": LIMIT,
        "setting": "Active power limit",
        "before": 83,
        "value": 82,
        "after": 82,
        "unit": "%",
        "outcome": "written",
        "error": None,
        "asked_by": USER.capitalize(),
        "asked_through": "local_solar.set_register",
        "confirmed_by": USER.capitalize(),
        "confirmed_through": "local_solar.set_register",
    }
    line = owner.runner.run(_line_of_the_logbook(owner, began))
    assert line["name"] == HYBRID
    assert line["message"] == (
        "Active power limit was changed from 83 % to 82 %, asked for by Demo through"
        " local_solar.set_register"
    )


async def _event_of_a_change(owner: Owner) -> Json:
    async with owner.client.events("local_solar_write") as next_event:
        await owner.client.ask(
            f"{DOMAIN}.set_register",
            device_id=owner.devices[HYBRID],
            register=LIMIT,
            value=82,
            confirm=True,
        )
        event = await next_event()
    data: Json = event["data"]
    return data


async def _line_of_the_logbook(owner: Owner, began: datetime) -> Json:
    """Return our line of the hybrid's page, once the recorder has written it."""

    async def line() -> Json | None:
        lines = await owner.client.command(
            "logbook/get_events",
            start_time=began.isoformat(),
            device_ids=[owner.devices[HYBRID]],
        )
        return next((line for line in lines if line.get("domain") == DOMAIN), None)

    return await until(line, 30, "no line in the logbook")


def test_a_time_slot_is_changed_as_a_whole(owner: Owner) -> None:
    slot = {"start": "01:00", "end": "04:30", "mode": "battery_first", "enabled": False}
    answer = owner.ask("set_time_slot", BATTERY, slot=2, confirm=True, **slot)
    assert answer["outcome"] == "written"
    assert owner.held("tou2") == slot
    assert owner.shown("time.growatt_ark_battery_time_slot_2_from") == "01:00:00"
    assert owner.shown("time.growatt_ark_battery_time_slot_2_until") == "04:30:00"


def test_a_change_by_hand_waits_for_its_confirmation(owner: Owner) -> None:
    owner.change(LIMIT, 81)
    issue = owner.move(LIMIT_NUMBER, 75)
    assert issue.texts == {
        "device": HYBRID,
        "setting": "Active power limit",
        "before": "81 %",
        "after": "75 %",
        "asked": f"Demo through {LIMIT_NUMBER}",
    }
    assert owner.held(LIMIT) == 81
    assert owner.shown(LIMIT_NUMBER) == "81"

    event = owner.runner.run(_event_of_a_confirmation(owner, issue))
    asked = {"asked_by": USER.capitalize(), "asked_through": LIMIT_NUMBER}
    assert asked.items() <= event.items()
    assert event["confirmed_through"] == "repairs"
    assert owner.held(LIMIT) == 75
    assert owner.shown(LIMIT_NUMBER) == "75"
    assert owner.issues() == []


async def _event_of_a_confirmation(owner: Owner, issue: Issue) -> Json:
    async with owner.client.events("local_solar_write") as next_event:
        form = await owner.client.open_repair(issue)
        assert form.placeholders == issue.texts
        done = await owner.client.submit_repair(form)
        assert done.kind == "create_entry"
        event = await next_event()
    data: Json = event["data"]
    return data


def test_a_question_whose_value_has_changed_is_not_confirmed(owner: Owner) -> None:
    owner.change(LIMIT, 74)
    issue = owner.move(LIMIT_NUMBER, 50)
    owner.change(LIMIT, 73)

    form = owner.runner.run(owner.client.open_repair(issue))
    refused = owner.runner.run(owner.client.submit_repair(form))
    assert (refused.kind, refused.reason) == ("abort", "not_done")
    assert "is 73 % now, not 74 %" in refused.placeholders["error"]
    assert owner.held(LIMIT) == 73
    assert owner.issues() == []


def test_what_lives_in_flash_is_not_written_twice_in_a_row(owner: Owner) -> None:
    owner.change(IN_FLASH, 90)
    with pytest.raises(DemoError, match="less than 10 s ago"):
        owner.change(IN_FLASH, 91)
    assert owner.held(IN_FLASH) == 90


def test_a_restart_forgets_what_waits_but_not_what_was_written(owner: Owner) -> None:
    before = owner.held(LIMIT)
    owner.move(LIMIT_NUMBER, 20)
    token = owner.preview(LIMIT, 30)

    owner.runner.run(_restart_with_a_spent_budget(owner))
    owner.wait_for_controls()

    assert owner.issues() == []
    with pytest.raises(DemoError, match="waits under this token"):
        owner.ask("confirm_write", token=token)
    assert owner.held(LIMIT) == before
    with pytest.raises(DemoError, match="written 50 times in 24 hours"):
        owner.change(IN_FLASH, 95)
    assert owner.held(IN_FLASH) == 90


async def _restart_with_a_spent_budget(owner: Owner) -> None:
    """Restart Home Assistant, and let it have written the setting in flash 50 times.

    That was a minute ago: the pause between two writes is over.
    """
    home_assistant = owner.house.home_assistant
    await owner.client.disconnect()
    await home_assistant.stop()
    ledger = home_assistant.folder / ".storage" / f"{DOMAIN}.writes.{owner.entry_id}"
    stored = json.loads(ledger.read_text(encoding="utf-8"))
    # The time slot, and this setting.
    assert [len(times) for times in stored["data"].values()] == [1, 1]
    stored["data"] = {
        cells: [
            (datetime.fromisoformat(at) - timedelta(minutes=1)).isoformat()
            for at in times * 50
        ]
        for cells, times in stored["data"].items()
    }
    ledger.write_text(json.dumps(stored), encoding="utf-8")
    await home_assistant.start()
    await home_assistant.ready()


def test_controls_go_when_writing_is_switched_off(owner: Owner) -> None:
    before = owner.held(LIMIT)
    owner.move(LIMIT_NUMBER, 20)
    token = owner.preview(LIMIT, 30)

    owner.set_options({**HURRIED, "write_access": "disabled"})
    owner.wait_for_controls(present=False)

    assert CONTROLS.isdisjoint(owner.domains(HYBRID) | owner.domains(BATTERY))
    assert owner.issues() == []
    with pytest.raises(DemoError, match="is switched off"):
        owner.ask("confirm_write", token=token)
    assert owner.held(LIMIT) == before


@dataclass(frozen=True, slots=True, kw_only=True)
class Limiter:
    """Who limits the power of a microinverter for now."""

    runner: asyncio.Runner
    client: Client
    limit: Control

    def ask(self, action: str, **data: object) -> Json:
        """Take an action of ours for it. Raises ``DemoError`` if it is refused."""
        return self.runner.run(
            self.client.ask(
                f"{DOMAIN}.{action}",
                device_id=self.limit.device_id,
                register=self.limit.register,
                **data,
            )
        )

    def held(self) -> float:
        """Return what it holds, asked now."""
        return self.runner.run(held(self.client, self.limit))

    def shown(self, entity_id: str = "") -> float:
        """Return the number that an entity shows, by default the limit's."""
        states = self.runner.run(self.client.states())
        return float(states[entity_id or self.limit.entity_id].value)


@pytest.fixture(scope="module")
def limiter(runner: asyncio.Runner, house: House, entries: list[str]) -> Limiter:
    """The owner of the microinverter, which may just be starting again."""
    allow_sockets()
    _, microinverter = entries
    look = partial(find_control, house.client, microinverter, TEMPORARY_LIMIT)
    limit = runner.run(until(look, 60, f"no control of {TEMPORARY_LIMIT}"))
    return Limiter(runner=runner, client=house.client, limit=limit)


def test_a_microinverter_carries_out_what_an_action_says(limiter: Limiter) -> None:
    answer = limiter.ask("set_register", value=240, confirm=True)
    assert (
        answer.items()
        >= {
            "register": TEMPORARY_LIMIT,
            "address": None,
            "before": 800,
            "after": 240,
            "unit": "W",
            "outcome": "written",
        }.items()
    )
    assert limiter.held() == 240
    assert limiter.shown() == 240
    assert limiter.shown(OUTPUT_POWER) == pytest.approx(240, abs=1)


def test_a_microinverter_is_changed_by_hand_once_that_is_confirmed(
    limiter: Limiter,
) -> None:
    issue = limiter.runner.run(ask_by_hand(limiter.client, limiter.limit, 400))
    assert issue.texts == {
        "device": MICROINVERTER,
        "setting": "Temporary power limit",
        "before": "240 W",
        "after": "400 W",
        "asked": f"Demo through {limiter.limit.entity_id}",
    }
    assert limiter.held() == 240

    form = limiter.runner.run(limiter.client.open_repair(issue))
    done = limiter.runner.run(limiter.client.submit_repair(form))
    assert done.kind == "create_entry"
    assert limiter.held() == 400
    assert limiter.shown(OUTPUT_POWER) == pytest.approx(400, abs=1)


def test_a_microinverter_is_not_given_more_than_it_can(limiter: Limiter) -> None:
    with pytest.raises(DemoError, match="is not within 16 to 800 W"):
        limiter.ask("set_register", value=801, confirm=True)


def test_a_dtu_has_no_registers_to_read(limiter: Limiter) -> None:
    with pytest.raises(DemoError, match="has no registers"):
        limiter.ask("read_register")
