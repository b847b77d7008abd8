"""Writing to a DTU through the real gate: what is sent, and what is said of it."""

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, tzinfo
import math
import os
from typing import Any, Final, override
from unittest.mock import patch

from hypothesis import given, settings as hypothesis_settings, strategies as st
import pytest

from custom_components.local_solar import write_budget, write_gate
from custom_components.local_solar.hoymiles import client as client_module, points
from custom_components.local_solar.hoymiles.commands import Action
from custom_components.local_solar.hoymiles.errors import DtuError
from custom_components.local_solar.hoymiles.settings import (
    DtuSettings,
    InverterSettings,
)
from custom_components.local_solar.points import IN_FLASH, Value, Wanted
from custom_components.local_solar.write_budget import PER_DAY, Ledger, WriteBudget
from custom_components.local_solar.write_errors import (
    DeviceError,
    InvalidValueError,
    NotASettingError,
    NotIdentifiedError,
    NotWrittenError,
    OutcomeUnknownError,
    RefusedError,
    TooOftenError,
    UnknownSettingError,
    UnknownTokenError,
    ValueChangedError,
    WriteError,
    WrongDeviceError,
)
from custom_components.local_solar.write_gate import Change, Outcome, WriteGate, Written
from simulators.hoymiles import replies
from simulators.hoymiles.commands import CommandRecord, Result
from simulators.hoymiles.faults import Trouble

from .test_client import (
    A301,
    A305,
    BY_CLOUD,
    FOUR,
    INTEGRATED,
    STICK,
    Rig,
    TellingDtu,
    make_rig,
    sent,
)

pytestmark = pytest.mark.usefixtures("socket_enabled")

STORED: Final = points.STORED_LIMIT.key
TEMPORARY: Final = points.TEMPORARY_LIMIT
ON_OFF: Final = points.ON_OFF.key
RESTART: Final = points.RESTART.key
CLEAR: Final = points.CLEAR_ALARMS.key
FAST: Final = points.FAST_DATA.key
TELLS_LIMIT_IN_CONFIG: Final = "1.0.9"


@pytest.fixture(autouse=True)
def look_at_once() -> Iterator[None]:
    """Look at what the device holds without waiting for it."""
    with patch.object(write_gate, "SETTLE", (0.0,) * 3):
        yield


@dataclass
class Door:
    """The gate in front of one device, and what it recorded.

    The budget lives by the time of the simulator.
    """

    rig: Rig
    settings: InverterSettings | DtuSettings
    records: list[Written[str]] = field(default_factory=list)
    ledger: dict[str, list[str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Build it."""
        self.gate: WriteGate[str] = WriteGate(
            self.settings, WriteBudget({}, self._save), self._record
        )

    async def _save(self, ledger: Ledger) -> None:
        self.ledger = dict(ledger)

    def _record(self, gate: WriteGate[str], written: Written[str]) -> None:
        self.records.append(written)

    async def write(self, key: str, value: Wanted) -> Written[str]:
        """Change something in one go."""
        return await self.gate.async_write(key, value, "me")

    @property
    def record(self) -> Written[str]:
        """The only record there is."""
        (record,) = self.records
        return record


@contextmanager
def budget_by(sim: TellingDtu) -> Iterator[None]:
    """Let budgets live by the simulator's clock."""

    class Clock(datetime):
        @classmethod
        @override
        def now(cls, tz: tzinfo | None = None) -> datetime:  # type: ignore[override]
            return sim.clock.now().replace(tzinfo=UTC)

    with patch.object(write_budget, "datetime", Clock):
        yield


def door_of(rig: Rig, number: int = 0) -> Door:
    """Return the gate in front of an inverter."""
    return Door(rig, InverterSettings(rig.dtu, rig.dtu.inventory.inverters[number]))


async def make_door(rig: Rig) -> Door:
    """Return a gate in front of an inverter that was polled."""
    await rig.dtu.async_poll(())
    return door_of(rig)


def the_inverter(sim: TellingDtu) -> Any:
    """Return the only inverter there is."""
    (inverter,) = sim.inverters.values()
    return inverter


@contextmanager
def without_features() -> Iterator[None]:
    """Let DTUs tell the stored limit in their configuration only."""

    def answer(dtu: Any, request: Any, trouble: Trouble) -> Any:
        fields = replies.app_info(dtu, request, trouble)
        fields.pop("features", None)
        return fields

    handler = replies.Handler("AppInfoRequest", "AppInfoReply", answer)
    with patch.dict(replies.HANDLERS, {A301: handler}):
        yield


# -- what is read before a write ------------------------------------------------------


async def test_limit_that_cannot_be_read_now_is_not_taken_from_before() -> None:
    with without_features():
        async with make_rig(firmware=TELLS_LIMIT_IN_CONFIG) as rig:
            door = await make_door(rig)
            the_inverter(rig.sim).stored_limit = 500  # by the app, meanwhile
            rig.sim.set_faults("silent,command=A309")
            try:
                written = await door.write(STORED, 100)
            except DeviceError:
                assert not sent(rig.sim)
                return
            # Unknown before is fine, too; that it held 100 % is not.
            assert written.outcome is not Outcome.UNCHANGED
            assert the_inverter(rig.sim).stored_limit == 1000


async def test_limit_is_never_read_as_0() -> None:
    async with make_rig() as rig:
        the_inverter(rig.sim).stored_limit = 0  # newer firmware says so, wrongly
        rig.sim.shows_limit = False
        (device,) = (found.id for found in rig.dtu.inventory.inverters)
        snapshot = (await rig.dtu.async_poll(())).snapshot[device]
        assert snapshot[points.STORED_LIMIT.key] is None
        assert snapshot[points.ACTIVE_LIMIT.key] is None


# -- what is sent ---------------------------------------------------------------------


@pytest.mark.parametrize("held", [333, 1000])
async def test_limit_is_compared_in_the_steps_it_is_written_in(held: int) -> None:
    """Templates calculate: 0.1 * 333 is 33.300000000000004."""
    async with make_rig() as rig:
        the_inverter(rig.sim).stored_limit = held
        door = await make_door(rig)
        written = await door.write(STORED, 0.1 * 333)
        if held == 333:
            assert written.outcome is Outcome.UNCHANGED
            assert not sent(rig.sim)
            assert not door.ledger
        else:
            assert written.outcome is Outcome.WRITTEN
            assert [command.text for command in sent(rig.sim)] == ["A:333,B:0,C:0\r"]


# -- what is said of it ---------------------------------------------------------------


async def test_limit_whose_answer_got_lost_is_not_said_to_be_unwritten() -> None:
    """Commands take seconds: what is still held right after proves nothing."""
    async with make_rig(command_time=4) as rig:
        door = await make_door(rig)
        rig.sim.set_faults("silent,command=A305,times=1")
        with pytest.raises(WriteError) as caught:
            await door.write(STORED, 50)
        rig.sim.advance(5)
        assert the_inverter(rig.sim).stored_limit == 500  # it was carried out
        assert not isinstance(caught.value, NotWrittenError)
        assert door.record.outcome is Outcome.UNKNOWN


@pytest.mark.parametrize("key", [ON_OFF, TEMPORARY])
async def test_command_that_could_not_be_sent_is_reported_as_not_written(
    key: str,
) -> None:
    async with make_rig() as rig:
        door = await make_door(rig)
        look = rig.dtu.async_look

        async def look_and_restart() -> Any:
            known = await look()
            rig.client.port = 1  # nobody listens there
            return known

        with (
            patch.object(rig.dtu, "async_look", look_and_restart),
            pytest.raises(WriteError) as caught,
        ):
            await door.write(key, False if key == ON_OFF else 400)
        assert not sent(rig.sim)
        assert not isinstance(caught.value, OutcomeUnknownError)
        assert door.record.outcome is Outcome.NOT_WRITTEN


async def test_temporary_limit_that_is_shown_late_does_not_spoil_the_next_one() -> None:
    """A DTU gathers values every half minute: the limit before shows while this is given."""
    async with make_rig(refresh=30) as rig:
        door = await make_door(rig)
        assert (await door.write(TEMPORARY, 400)).outcome is Outcome.CARRIED_OUT
        rig.sim.advance(20)
        write = door.settings.async_write

        async def take_long(change: Any) -> bool:
            rig.sim.advance(15)
            rig.sim.sample()
            return await write(change)

        with patch.object(door.settings, "async_write", take_long):
            written = await door.write(TEMPORARY, 300)
        assert written.outcome is Outcome.CARRIED_OUT


async def test_command_that_another_dtu_took_is_not_said_to_be_unwritten() -> None:
    """It proved who it is right before, and then acknowledges in another name."""

    def answer(dtu: Any, request: Any, trouble: Trouble) -> Any:
        taken = replies.local_command(dtu, request, trouble)
        return {**taken, "dtu_serial": b"414393100099"}

    handler = replies.Handler("CommandRequest", "CommandAck", answer)
    async with make_rig() as rig:
        door = await make_door(rig)
        with (
            patch.dict(replies.HANDLERS, {A305: handler}),
            pytest.raises(WriteError),
        ):
            await door.write(ON_OFF, False)
        assert not the_inverter(rig.sim).on  # it was carried out
        assert door.record.outcome is Outcome.UNKNOWN


async def test_dtu_that_does_not_say_who_it_is_gets_no_command() -> None:
    """A name that is left out proves nothing: another one may have taken the address."""

    def answer(dtu: Any, request: Any, trouble: Trouble) -> Any:
        fields = replies.app_info(dtu, request, trouble)
        fields.pop("dtu_serial", None)
        return fields

    handler = replies.Handler("AppInfoRequest", "AppInfoReply", answer)
    async with make_rig() as rig:
        await rig.dtu.async_poll(())
        door = Door(rig, DtuSettings(rig.dtu))
        with patch.dict(replies.HANDLERS, {A301: handler}), pytest.raises(DeviceError):
            await door.write(RESTART, True)
        assert not sent(rig.sim)


# -- each setting ---------------------------------------------------------------------

INVERTER: Final = 0x141293100001


@pytest.mark.parametrize("encrypt", [False, True])
@pytest.mark.parametrize(
    ("key", "value", "action", "text"),
    [
        (STORED, 2, 8, "A:20,B:0,C:0\r"),
        (STORED, 2.0, 8, "A:20,B:0,C:0\r"),
        (STORED, 33.3, 8, "A:333,B:0,C:0\r"),
        (STORED, 99.9, 8, "A:999,B:0,C:0\r"),
        (TEMPORARY, 16, 211, "S:1,P:160\r"),
        (TEMPORARY, 400, 211, "S:1,P:4000\r"),
        (TEMPORARY, 799.0, 211, "S:1,P:7990\r"),
        (TEMPORARY, 800, 211, "S:1,P:8000\r"),
        (ON_OFF, False, 7, ""),
        (ON_OFF, True, 6, ""),
        (RESTART, True, 3, ""),
        (CLEAR, True, 42, ""),
    ],
)
async def test_setting_is_written_once_and_to_one_inverter(
    key: str, value: Value, action: int, text: str, encrypt: bool
) -> None:
    async with make_rig(encrypt=encrypt, command_time=4) as rig:
        rig.sim.status_takes = 1
        door = await make_door(rig)
        written = await door.write(key, value)
        assert written.outcome in {Outcome.WRITTEN, Outcome.CARRIED_OUT}
        (command,) = sent(rig.sim)
        assert command.command == A305
        assert (command.action, command.text) == (action, text)
        assert command.serials == (INVERTER,)
        assert command.result is Result.SUCCESS
        assert written is door.record
        assert (door.ledger != {}) is (key == STORED)


@pytest.mark.parametrize(("key", "action"), [(RESTART, 1), (FAST, 33)])
async def test_dtu_is_told_once(key: str, action: int) -> None:
    async with make_rig(STICK) as rig:
        await rig.dtu.async_poll(())
        door = Door(rig, DtuSettings(rig.dtu))
        booted = rig.sim.booted
        rig.sim.advance(60)
        await door.write(key, True)
        (command,) = sent(rig.sim)
        assert (command.action, command.serials, command.text) == (action, (), "")
        assert (rig.sim.booted != booted) is (key == RESTART)
        assert rig.sim.fast_data is (key == FAST)
        assert door.record.outcome is (
            Outcome.CARRIED_OUT if key == FAST else Outcome.UNKNOWN
        )
        assert door.record.error is None


async def test_command_is_for_the_inverter_of_the_door_and_no_other() -> None:
    async with make_rig("stick-20") as rig:
        await rig.dtu.async_poll(())
        serials = sorted(rig.sim.inverters)
        for number in (0, 7, 19):
            await door_of(rig, number).write(ON_OFF, False)
            assert sent(rig.sim)[-1].serials == (serials[number],)
        off = [serial for serial in serials if not rig.sim.inverters[serial].on]
        assert off == [serials[number] for number in (0, 7, 19)]


async def test_settings_do_what_they_are_for() -> None:
    async with make_rig(inverter_restart_time=0) as rig:
        door = await make_door(rig)
        inverter = the_inverter(rig.sim)
        rig.sim.start_alarm(121)
        await door.write(STORED, 70)
        assert inverter.stored_limit == 700
        await door.write(TEMPORARY, 400)
        assert inverter.temporary_limit == 4000
        await door.write(ON_OFF, False)
        assert not inverter.on
        await door.write(ON_OFF, True)
        assert inverter.on
        await door.write(CLEAR, True)
        assert not rig.sim.alarms.alarms
        await door.write(RESTART, True)
        assert inverter.temporary_limit is None
        assert len(sent(rig.sim)) == len(door.records) == 6
        # The alarms that went need not be asked for by a new event.
        poll = await rig.dtu.async_poll({("any", "alarms")})
        assert poll.snapshot


# -- what may not be written ----------------------------------------------------------


@pytest.mark.parametrize(
    ("key", "value"),
    [
        *((STORED, value) for value in (1.9, 0, -1, 100.1, 101, 1000, 33.33, 2.05)),
        *((STORED, value) for value in (math.nan, math.inf, -math.inf, "50", True)),
        *((TEMPORARY, value) for value in (15, 15.9, 0, -400, 801, 400.5, 8000)),
        *((TEMPORARY, value) for value in (math.nan, math.inf, "400", False)),
        *((ON_OFF, value) for value in (0, 1, "on", 2)),
        *((RESTART, value) for value in (False, 1, "on", 0)),
        *((CLEAR, value) for value in (False, 1)),
    ],
)
async def test_value_that_is_not_allowed_is_never_sent(key: str, value: Wanted) -> None:
    async with make_rig() as rig:
        door = await make_door(rig)
        with pytest.raises(InvalidValueError) as caught:
            await door.write(key, value)
        assert str(caught.value)
        assert caught.value.details["register"] == key
        with pytest.raises(InvalidValueError):
            await door.gate.async_preview(key, value, "me")
        assert not sent(rig.sim)
        assert not door.records
        assert not door.ledger


@pytest.mark.parametrize(
    ("inventory", "firmware", "there"),
    [
        (INTEGRATED, "1.1.1", True),
        (INTEGRATED, "1.1.2", True),
        (INTEGRATED, "1.2.0", True),
        (INTEGRATED, "1.1.0", False),
        (INTEGRATED, "1.0.255", False),
        ("hms-2000dw-4t", "1.1.1", True),
        (STICK, "1.1.1", False),
        (STICK, "2.0.0", False),
    ],
)
async def test_temporary_limit_is_there_where_it_works_and_nothing_stands_in_for_it(
    inventory: str, firmware: str, there: bool
) -> None:
    async with make_rig(inventory, firmware=firmware) as rig:
        door = await make_door(rig)
        if there:
            await door.write(TEMPORARY, 400)
            assert [command.action for command in sent(rig.sim)] == [211]
        else:
            with pytest.raises(UnknownSettingError):
                await door.write(TEMPORARY, 400)
            with pytest.raises(UnknownSettingError):
                await door.gate.async_preview(TEMPORARY, 400, "me")
            assert not sent(rig.sim)
        assert all(
            inverter.stored_limit == 1000 for inverter in rig.sim.inverters.values()
        )


async def test_refused_temporary_limit_is_not_replaced_by_the_stored_one() -> None:
    async with make_rig() as rig:
        door = await make_door(rig)
        rig.sim.set_faults("failed-command=2")
        with pytest.raises(RefusedError):
            await door.write(TEMPORARY, 400)
        assert [command.action for command in sent(rig.sim)] == [211]
        assert the_inverter(rig.sim).stored_limit == 1000
        assert not door.ledger


@pytest.mark.parametrize(
    ("key", "kind"),
    [
        ("ac_power", NotASettingError),
        (points.ACTIVE_LIMIT.key, NotASettingError),
        (FAST, UnknownSettingError),  # of the DTU
        ("nonsense", UnknownSettingError),
        ("", UnknownSettingError),
    ],
)
async def test_what_is_no_setting_cannot_be_written(
    key: str, kind: type[WriteError]
) -> None:
    async with make_rig() as rig:
        door = await make_door(rig)
        with pytest.raises(kind):
            await door.write(key, 1)
        assert not sent(rig.sim)


FORBIDDEN: Final = frozenset(
    {2, 5, *range(12, 18), *range(19, 23), 25, 32, 38, 40, 53}
    | {4097, 4098, 4102, 4112, 8196, 8198, *range(8200, 8300)}
)
"""Actions that destroy, lock or rename something."""


async def test_no_setting_expresses_a_dangerous_action() -> None:
    assert not FORBIDDEN & {*Action}
    async with make_rig() as rig:
        await rig.dtu.async_poll(())
        seen = set()
        drivers = (
            door_of(rig).settings,
            DtuSettings(rig.dtu),
        )
        for device, driver in zip(reversed(rig.dtu.devices), drivers, strict=True):
            for point in device.points:
                if point.setting is None:
                    continue
                for value in (True, False):
                    change = Change(key=point.key, value=value, raw=(20,))
                    order = driver._order(change)  # noqa: SLF001
                    seen.add(order.action)
            with pytest.raises(KeyError):
                driver._order(Change(key="nonsense", value=True, raw=()))  # noqa: SLF001
        assert seen == {*Action} - {Action.COLLECT_ALARMS}


# -- flash ----------------------------------------------------------------------------


async def test_stored_limit_is_written_once_a_minute_at_most() -> None:
    async with make_rig() as rig:
        with budget_by(rig.sim):
            door = await make_door(rig)
            await door.write(STORED, 50)
            rig.sim.advance(59)
            with pytest.raises(TooOftenError) as caught:
                await door.write(STORED, 60)
            assert "60 s" in caught.value.details["limit"]
            with pytest.raises(TooOftenError):
                await door.gate.async_preview(STORED, 60, "me")
            assert len(sent(rig.sim)) == len(door.records) == 1
            # What wears nothing out may be written meanwhile.
            await door.write(TEMPORARY, 100)
            rig.sim.advance(1)
            await door.write(STORED, 60)
        texts = [command.text for command in sent(rig.sim) if command.action == 8]
        assert texts == ["A:500,B:0,C:0\r", "A:600,B:0,C:0\r"]


async def test_stored_limit_is_written_so_often_a_day_at_most() -> None:
    async with make_rig() as rig:
        with budget_by(rig.sim):
            door = await make_door(rig)
            refused = 0
            for number in range(PER_DAY + 5):
                try:
                    await door.write(STORED, 40 + number)
                except TooOftenError:
                    refused += 1
                rig.sim.clock.advance(61)
        assert refused == 5
        assert len(sent(rig.sim)) == PER_DAY


@pytest.mark.parametrize("fault", ["refuses-a305=2", "failed-command=2"])
async def test_refused_write_counts_too(fault: str) -> None:
    async with make_rig() as rig:
        with budget_by(rig.sim):
            door = await make_door(rig)
            rig.sim.set_faults(fault)
            with pytest.raises(RefusedError):
                await door.write(STORED, 50)
            with pytest.raises(TooOftenError):
                await door.write(STORED, 50)
        assert len(sent(rig.sim)) == 1


async def test_inverters_have_budgets_of_their_own() -> None:
    async with make_rig(STICK) as rig:
        await rig.dtu.async_poll(())
        doors = [door_of(rig, number) for number in range(3)]
        cells = {door.settings.setting(STORED).wears for door in doors}
        assert len(cells) == 3


@pytest.mark.parametrize("firmware", ["1.0.9", "1.1.1"])
@pytest.mark.parametrize("held", [20, 333, 500, 1000])
async def test_limit_that_is_held_is_not_written(firmware: str, held: int) -> None:
    async with make_rig(firmware=firmware) as rig:
        the_inverter(rig.sim).stored_limit = held
        door = await make_door(rig)
        pending = await door.gate.async_preview(STORED, held / 10, "me")
        assert not door.gate.would_change(pending)
        written = await door.gate.async_confirm(pending.token, "me")
        assert written.outcome is Outcome.UNCHANGED
        assert (await door.write(STORED, held / 10)).outcome is Outcome.UNCHANGED
        assert not sent(rig.sim)
        assert not door.ledger


async def test_limit_that_is_held_is_not_written_before_the_first_poll_either() -> None:
    """As right after a restart of Home Assistant."""
    async with make_rig() as rig:
        the_inverter(rig.sim).stored_limit = 500
        door = door_of(rig)
        assert (await door.write(STORED, 50)).outcome is Outcome.UNCHANGED
        assert not sent(rig.sim)


async def test_preview_of_the_stored_limit_warns_of_flash() -> None:
    async with make_rig() as rig:
        door = await make_door(rig)
        stored = await door.gate.async_preview(STORED, 50, "me")
        assert stored.change.warnings == (IN_FLASH,)
        temporary = await door.gate.async_preview(TEMPORARY, 50, "me")
        assert temporary.change.warnings == ()


async def test_one_of_several_inverters_does_not_show_its_stored_limit() -> None:
    """The DTU tells one limit for all: nobody knows whose."""
    async with make_rig(STICK) as rig:
        await rig.dtu.async_poll(())
        door = door_of(rig, 1)
        written = await door.write(STORED, 100)
        assert written.outcome is Outcome.CARRIED_OUT
        assert written.before.value is None
        assert [command.text for command in sent(rig.sim)] == ["A:1000,B:0,C:0\r"]


# -- outcomes -------------------------------------------------------------------------


@pytest.mark.parametrize("firmware", ["1.0.9", "1.1.1"])
async def test_stored_limit_that_shows_is_written(firmware: str) -> None:
    async with make_rig(firmware=firmware) as rig:
        door = await make_door(rig)
        written = await door.write(STORED, 50)
        assert written.outcome is Outcome.WRITTEN
        assert written.before.value == 100
        assert written.after is not None
        assert written.after.value == 50


async def test_limit_that_does_not_show_yet_is_carried_out() -> None:
    async with make_rig(refresh=30) as rig:
        door = await make_door(rig)
        written = await door.write(TEMPORARY, 400)
        assert written.outcome is Outcome.CARRIED_OUT
        assert written.error is None


async def test_limit_that_shows_at_once_is_written() -> None:
    async with make_rig() as rig:
        door = await make_door(rig)
        assert (await door.write(TEMPORARY, 400)).outcome is Outcome.WRITTEN


@pytest.mark.parametrize(
    ("key", "value"), [(STORED, 50), (TEMPORARY, 400), (ON_OFF, False), (CLEAR, True)]
)
@pytest.mark.parametrize("fault", ["failed-command=17", "refuses-a305=17"])
async def test_refused_change_is_not_written(
    key: str, value: Value, fault: str
) -> None:
    async with make_rig() as rig:
        door = await make_door(rig)
        rig.sim.set_faults(fault)
        if key == ON_OFF and fault.startswith("refuses"):
            await door.write(key, value)  # in the way of the cloud
            assert [command.command for command in sent(rig.sim)] == [A305, BY_CLOUD]
            return
        with pytest.raises(RefusedError, match="17"):
            await door.write(key, value)
        assert len(sent(rig.sim)) == 1
        assert door.record.outcome is Outcome.NOT_WRITTEN


@pytest.mark.parametrize(
    ("key", "value"), [(STORED, 50), (TEMPORARY, 400), (ON_OFF, False), (RESTART, True)]
)
@pytest.mark.parametrize("encrypt", [False, True])
@pytest.mark.parametrize(
    "fault",
    [
        *("silent,command=A305", "silent,command=A306", "evict,command=A305"),
        *("evict,command=A306", "crc,command=A306", "zero-bytes,command=A305"),
        *("wrong-sequence,command=A305", "disconnect,command=A305"),
    ],
)
async def test_change_whose_fate_is_lost_is_unknown_and_sent_once(
    key: str, value: Value, encrypt: bool, fault: str
) -> None:
    async with make_rig(encrypt=encrypt, command_time=4) as rig:
        door = await make_door(rig)
        rig.sim.set_faults(f"{fault},times=1")
        with pytest.raises(OutcomeUnknownError):
            await door.write(key, value)
        assert len(sent(rig.sim)) == 1
        assert door.record.outcome is Outcome.UNKNOWN


async def test_limit_that_shows_after_a_lost_answer_is_written() -> None:
    async with make_rig() as rig:
        door = await make_door(rig)
        rig.sim.set_faults("silent,command=A305,times=1")
        assert (await door.write(STORED, 50)).outcome is Outcome.WRITTEN
        assert len(sent(rig.sim)) == 1


async def test_command_that_takes_too_long_is_unknown() -> None:
    async with make_rig(command_time=60) as rig:
        door = await make_door(rig)
        with (
            patch.object(client_module, "COMMAND_TIMEOUT", 0.05),
            pytest.raises(OutcomeUnknownError),
        ):
            await door.write(ON_OFF, False)
        assert len(sent(rig.sim)) == 1


async def test_restart_in_the_middle_of_a_command_is_unknown() -> None:
    async with make_rig(encrypt=True, command_time=4) as rig:
        door = await make_door(rig)
        writing = asyncio.create_task(door.write(TEMPORARY, 400))
        while not sent(rig.sim):
            await asyncio.sleep(0)
        rig.sim.restart()
        with pytest.raises(OutcomeUnknownError):
            await writing
        assert len(sent(rig.sim)) == 1
        assert sent(rig.sim)[0].result is Result.RUNNING


# -- who is written to ----------------------------------------------------------------


def swap(sim: TellingDtu) -> None:
    """Put another DTU in its place."""
    sim.inventory = replace(sim.inventory, dtu="414393100099")


@pytest.mark.parametrize(
    ("key", "value"), [(STORED, 50), (TEMPORARY, 400), (ON_OFF, False), (RESTART, True)]
)
async def test_another_dtu_is_not_written_to(key: str, value: Value) -> None:
    async with make_rig() as rig:
        door = await make_door(rig)
        pending = await door.gate.async_preview(key, value, "me")
        swap(rig.sim)
        with pytest.raises(WriteError):
            # It may still be taken for proved; right before the command it is asked.
            await door.gate.async_confirm(pending.token, "me")
        with pytest.raises(WriteError):
            await door.write(key, value)
        assert not sent(rig.sim)


@pytest.mark.parametrize(
    ("key", "value"), [(STORED, 50), (TEMPORARY, 400), (ON_OFF, False), (RESTART, True)]
)
async def test_another_dtu_that_comes_right_before_the_command_gets_none(
    key: str, value: Value
) -> None:
    async with make_rig() as rig:
        door = await make_door(rig)
        write = door.settings.async_write

        async def swap_and_write(change: Change) -> bool:
            swap(rig.sim)
            return await write(change)

        with (
            patch.object(door.settings, "async_write", swap_and_write),
            pytest.raises(WrongDeviceError),
        ):
            await door.write(key, value)
        assert not sent(rig.sim)
        assert door.record.outcome is Outcome.NOT_WRITTEN


@pytest.mark.parametrize("late", [False, True])
async def test_inverter_that_is_not_listed_any_more_is_not_written_to(
    late: bool,
) -> None:
    async with make_rig(STICK) as rig:
        await rig.dtu.async_poll(())
        door = door_of(rig, 2)
        write = door.settings.async_write

        def remove() -> None:
            rig.sim.inverters.pop(max(rig.sim.inverters))

        async def remove_and_write(change: Change) -> bool:
            remove()
            return await write(change)

        if not late:
            remove()
        with (
            patch.object(
                door.settings, "async_write", remove_and_write if late else write
            ),
            pytest.raises(NotIdentifiedError),
        ):
            await door.write(ON_OFF, False)
        assert not sent(rig.sim)
        if late:
            assert door.record.outcome is Outcome.NOT_WRITTEN
        else:
            assert not door.records


# -- previews -------------------------------------------------------------------------


async def test_preview_and_cancel_send_nothing() -> None:
    async with make_rig() as rig:
        door = await make_door(rig)
        for key, value in ((STORED, 50), (TEMPORARY, 400), (ON_OFF, False)):
            pending = await door.gate.async_preview(key, value, "me")
            door.gate.cancel(pending.token)
            with pytest.raises(UnknownTokenError):
                await door.gate.async_confirm(pending.token, "me")
        assert not sent(rig.sim)


async def test_limit_that_was_changed_since_the_preview_is_not_overwritten() -> None:
    async with make_rig() as rig:
        door = await make_door(rig)
        pending = await door.gate.async_preview(STORED, 50, "me")
        the_inverter(rig.sim).stored_limit = 700  # by the app
        with pytest.raises(ValueChangedError) as caught:
            await door.gate.async_confirm(pending.token, "me")
        assert caught.value.details["expected"] == "100 %"
        assert caught.value.details["current"] == "70 %"
        assert not sent(rig.sim)


async def test_two_confirmations_at_once_send_one_command() -> None:
    async with make_rig() as rig:
        door = await make_door(rig)
        pending = await door.gate.async_preview(TEMPORARY, 400, "me")
        results = await asyncio.gather(
            *(door.gate.async_confirm(pending.token, "me") for _ in range(3)),
            return_exceptions=True,
        )
        assert sum(isinstance(result, UnknownTokenError) for result in results) == 2
        assert len(sent(rig.sim)) == 1


async def test_polls_in_between_do_not_get_in_the_way() -> None:
    async with make_rig(encrypt=True) as rig:
        door = await make_door(rig)
        results = await asyncio.gather(
            door.write(TEMPORARY, 400),
            rig.dtu.async_poll({("any", "alarms")}),
            door.write(ON_OFF, False),
            rig.dtu.async_poll({("any", "alarms")}),
        )
        assert all(results)
        assert len(sent(rig.sim)) == 2
        assert rig.sim.counters.evictions == 0


# -- any order ------------------------------------------------------------------------

EXAMPLES: Final = int(os.environ.get("LOCAL_SOLAR_EXAMPLES", "60"))

DTU: Final = -1
"""Place of the DTU itself among the doors."""


@dataclass(frozen=True)
class Wish:
    """A value for a setting of an inverter, or of the DTU."""

    place: int
    key: str
    value: Any

    def expected(self, sim: TellingDtu) -> tuple[int, tuple[int, ...], str] | None:
        """Return action, serial numbers and text of its command, written down once more.

        ``None`` if nothing may be sent.
        """
        if self.place == DTU:
            action = {RESTART: 1, FAST: 33}.get(self.key)
            return (
                None if action is None or self.value is not True else (action, (), "")
            )
        serial = sorted(sim.inventory_serials)[self.place]
        rated = sim.rated[serial]
        found: tuple[int, str] | None = None
        match self.key, self.value:
            case (key, bool(value)) if key == ON_OFF:
                found = (6 if value else 7, "")
            case (key, True) if key == RESTART:
                found = 3, ""
            case (key, True) if key == CLEAR:
                found = 42, ""
            case (_, bool()):
                pass
            case (key, int() | float() as value) if key == STORED:
                if 2 <= value <= 100:
                    found = 8, f"A:{round(value * 10)},B:0,C:0\r"
            case (key, int() | float() as value) if key == TEMPORARY:
                if sim.has_temporary_limit and rated * 0.02 <= value <= rated:
                    found = 211, f"S:1,P:{round(value * 10)}\r"
        return None if found is None else (found[0], (serial,), found[1])


def wishes() -> st.SearchStrategy[Wish]:
    """Draw what someone may want."""
    place = st.sampled_from((0, 0, 1, 2))
    values: Mapping[str, tuple[Any, ...]] = {
        STORED: (2, 50, 50, 100, 33.3, 0.1 * 333, 1.9, 100.1, math.nan, "50", True),
        TEMPORARY: (16, 400, 400, 300, 100, 5000, 0.5, 0, False, "400"),
        ON_OFF: (True, False, False, 1, "off"),
        RESTART: (True, True, False),
        CLEAR: (True, True, "yes"),
        "active_power_limit": (50,),
        "nonsense": (1,),
    }
    of_inverters = [
        st.builds(Wish, place, st.just(key), st.sampled_from(found))
        for key, found in values.items()
    ]
    of_dtu = st.builds(
        Wish,
        st.just(DTU),
        st.sampled_from((RESTART, FAST, ON_OFF)),
        st.sampled_from((True, True, False)),
    )
    return st.one_of(*of_inverters[:3] * 2, *of_inverters, of_dtu)


FAULTS: Final = (
    *(
        f"{what},command={command}"
        for what in ("silent", "evict", "disconnect", "crc", "zero-bytes")
        for command in ("A301", "A305", "A306", "A309", "A311")
    ),
    *("wrong-sequence,command=A305", "garbage=2000,command=A306", "stale", "merge"),
    *("failed-command=5", "failed-command=5", "slow-command=80000", "slow-command=20"),
    *("refuses-a305=2", "refuses-a305=2", "stuck", "page-time-jump", "lost-page=0"),
)


@dataclass(frozen=True)
class Step:
    """One thing that happens."""

    what: str
    wish: Wish | None = None
    number: int = 0
    text: str = ""


def steps() -> st.SearchStrategy[Step]:
    """Draw one thing that may happen."""
    wish, number = wishes(), st.integers(0, 5)

    def step(what: str, **parts: Any) -> st.SearchStrategy[Step]:
        return st.builds(Step, st.just(what), **parts)

    fault = st.builds("{},times={}".format, st.sampled_from(FAULTS), st.integers(1, 2))
    return st.one_of(
        *[step("preview", wish=wish)] * 3,
        *[step("confirm", number=number)] * 3,
        step("confirm twice", number=number),
        step("cancel", number=number),
        *[step("write", wish=wish)] * 4,
        step("write two", wish=wish),
        *[step("fault", text=fault)] * 3,
        *[step("write with fault", wish=wish, text=fault)] * 6,
        *[step("mend")] * 2,
        *[step("wait", number=st.sampled_from((1, 20, 61, 100_000)))] * 3,
        step("poll"),
        step("restart", number=st.sampled_from((0, 0, 30))),
        step("swap"),
        *[step("swap back")] * 4,
        step("change", number=st.sampled_from((500, 700))),
        step("power", number=number),
    )


TALLY: Final = Counter[str]()
"""What there was in all sequences together."""

HAPPENS: Final = (
    *("commands", f"{STORED}: written", f"{STORED}: unknown"),
    *(f"{ON_OFF}: {outcome}" for outcome in ("carried_out", "unknown")),
    *(f"{RESTART}: {outcome}" for outcome in ("carried_out", "not_written", "unknown")),
)
"""What happens in any thousand sequences."""


class Judge:
    """Takes steps and judges what became of them by the simulator's own log."""

    def __init__(self, rig: Rig) -> None:
        """Begin."""
        self.rig = rig
        self.sim = rig.sim
        self.serial = rig.sim.inventory.dtu
        count = len(rig.dtu.inventory.inverters)
        self.doors = {number: door_of(rig, number) for number in range(count)}
        self.doors[DTU] = Door(rig, DtuSettings(rig.dtu))
        self.tokens: list[tuple[Door, str, Wish]] = []

    async def take(self, step: Step) -> None:
        """Do one thing."""
        TALLY[step.what] += 1
        sim = self.sim
        match step.what:
            case "preview":
                await self._preview(step.wish)
            case "confirm" | "confirm twice" if self.tokens:
                door, token, wish = self.tokens[step.number % len(self.tokens)]
                times = 1 if step.what == "confirm" else 2
                await self._judge(
                    door, wish, [door.gate.async_confirm] * times, (token, "me")
                )
            case "cancel" if self.tokens:
                door, token, _ = self.tokens[step.number % len(self.tokens)]
                with self._sends_nothing(), suppress(UnknownTokenError):
                    door.gate.cancel(token)
            case "write" | "write two" | "write with fault":
                if step.text:
                    sim.set_faults(step.text)
                if (wanted := step.wish) is not None and wanted.place in self.doors:
                    found = self.doors[wanted.place]
                    times = 2 if step.what == "write two" else 1
                    await self._judge(
                        found,
                        wanted,
                        [found.gate.async_write] * times,
                        (wanted.key, wanted.value, "me"),
                        at_most=times,
                    )
            case "fault":
                sim.set_faults(step.text)
            case "mend":
                sim.set_faults()
            case "wait":
                # Noon again, so that the sun stands high.
                sim.advance(min(86400, step.number))
            case "poll":
                with self._sends_nothing(), suppress(DtuError):
                    await self.rig.dtu.async_poll({("any", "alarms")})
            case "restart":
                sim.restart(step.number)
            case "swap":
                swap(sim)
            case "swap back":
                sim.inventory = replace(sim.inventory, dtu=self.serial)
            case "change":
                next(iter(sim.inverters.values())).stored_limit = step.number
            case "power":
                number = step.number % len(sim.inverters)
                inverter = [*sim.inverters.values()][number]
                inverter.out_of_reach = not inverter.out_of_reach

    @contextmanager
    def _sends_nothing(self) -> Iterator[None]:
        before = len(sent(self.sim))
        yield
        assert len(sent(self.sim)) == before

    async def _preview(self, wish: Wish | None) -> None:
        assert wish is not None
        if (door := self.doors.get(wish.place)) is None:
            return
        with self._sends_nothing():
            try:
                pending = await door.gate.async_preview(wish.key, wish.value, "me")
            except WriteError:
                return
        assert wish.expected(self.sim) is not None
        self.tokens.append((door, pending.token, wish))

    async def _judge(
        self,
        door: Door,
        wish: Wish,
        calls: list[Callable[..., Any]],
        args: tuple[Any, ...],
        at_most: int = 1,
    ) -> None:
        """Confirm something, and look at what was sent and what was said of it."""
        before, records = len(sent(self.sim)), len(door.records)
        is_swapped = self.sim.inventory.dtu != self.serial
        results = await asyncio.gather(
            *(call(*args) for call in calls), return_exceptions=True
        )
        for result in results:
            assert isinstance(result, Written | WriteError), repr(result)
        orders = _orders(sent(self.sim)[before:])
        told = door.records[records:]
        assert len(orders) <= at_most
        assert len(told) <= at_most
        if is_swapped:
            assert not orders
        expected = wish.expected(self.sim)
        for order in orders:
            for command in order:
                assert expected == (command.action, command.serials, command.text)
        self._compare(orders, told, wish)

    def _compare(
        self,
        orders: list[list[CommandRecord]],
        told: list[Written[str]],
        wish: Wish,
    ) -> None:
        """Hold what the gate recorded against what the DTU got."""
        TALLY["commands"] += len(orders)
        TALLY["both ways"] += sum(len(order) == 2 for order in orders)
        TALLY.update(f"{wish.key}: {written.outcome}" for written in told)
        for written in told:
            match written.outcome:
                case Outcome.UNCHANGED:
                    assert wish.key == STORED
                    assert written.before.value == pytest.approx(wish.value)
                case Outcome.WRITTEN | Outcome.CARRIED_OUT:
                    assert orders.pop(0)[-1].result is Result.SUCCESS
                    assert written.error is None
                case Outcome.NOT_WRITTEN:
                    assert written.error is not None
                    if isinstance(written.error, RefusedError):
                        last = orders.pop(0)[-1]
                        assert last.result in {Result.REFUSED, Result.FAILED}
                case Outcome.UNKNOWN:
                    if orders:
                        orders.pop(0)
                    if (wish.place, wish.key) != (DTU, RESTART):
                        assert written.error is not None
                case _:
                    pytest.fail(f"{written.outcome} of {wish}")
        assert not orders, "a command that nobody knows of"


def _orders(commands: list[CommandRecord]) -> list[list[CommandRecord]]:
    """Return commands, those together that were given in both ways."""
    orders: list[list[CommandRecord]] = []
    for command in commands:
        before = orders[-1][-1] if orders else None
        if command.command == BY_CLOUD:
            assert before is not None
            assert before.command == A305
            assert before.result is Result.REFUSED
            assert before.transaction == command.transaction
            assert command.action in FOUR
            orders[-1].append(command)
        else:
            assert command.command == A305
            orders.append([command])
    numbers = [order[0].transaction for order in orders]
    assert len({*numbers}) == len(numbers)
    return orders


@hypothesis_settings(max_examples=EXAMPLES)
@given(
    inventory=st.sampled_from((INTEGRATED, INTEGRATED, STICK)),
    encrypt=st.booleans(),
    shows_at_once=st.booleans(),
    todo=st.lists(steps(), min_size=1, max_size=25),
)
async def test_whatever_happens_nothing_is_sent_that_was_not_confirmed(
    inventory: str, encrypt: bool, shows_at_once: bool, todo: list[Step]
) -> None:
    async with make_rig(
        inventory, encrypt=encrypt, refresh=0 if shows_at_once else 30, command_time=4
    ) as rig:
        rig.sim.status_takes = 1
        with (
            budget_by(rig.sim),
            patch.object(client_module, "COMMAND_TIMEOUT", 0.1),
            patch.object(write_gate, "SETTLE", (0.0,) * 3),
        ):
            judge = Judge(rig)
            for step in todo:
                await judge.take(step)


def test_sequences_were_worth_trying() -> None:
    if EXAMPLES >= 1000:
        assert [what for what in HAPPENS if not TALLY[what]] == []
