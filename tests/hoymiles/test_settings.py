"""Writing to a DTU through the real gate: what is sent, and what is said of it."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final
from unittest.mock import patch

import pytest

from custom_components.local_solar import write_gate
from custom_components.local_solar.hoymiles import points
from custom_components.local_solar.hoymiles.settings import (
    DtuSettings,
    InverterSettings,
)
from custom_components.local_solar.points import Value
from custom_components.local_solar.write_budget import Ledger, WriteBudget
from custom_components.local_solar.write_gate import (
    DeviceError,
    NotWrittenError,
    Outcome,
    OutcomeUnknownError,
    WriteError,
    WriteGate,
    Written,
)
from simulators import hoymiles_replies as replies
from simulators.hoymiles_commands import CommandRecord
from simulators.hoymiles_faults import Trouble

from .test_client import A301, A305, Rig, TellingDtu, make_rig

pytestmark = pytest.mark.usefixtures("socket_enabled")

STORED: Final = points.STORED_LIMIT.key
TEMPORARY: Final = points.TEMPORARY_LIMIT
ON_OFF: Final = points.ON_OFF.key
COLLECT_ALARMS: Final = 50
TELLS_LIMIT_IN_CONFIG: Final = "1.0.9"


@pytest.fixture(autouse=True)
def look_at_once() -> Iterator[None]:
    """Look at what the device holds without waiting for it."""
    with patch.object(write_gate, "SETTLE", (0.0,) * 3):
        yield


@dataclass
class Door:
    """The gate in front of an inverter, and what it recorded."""

    rig: Rig
    records: list[Written[str]] = field(default_factory=list)
    ledger: dict[str, list[str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Build it."""
        inverter = self.rig.dtu.inventory.inverters[0]
        self.settings = InverterSettings(self.rig.dtu, inverter)
        self.gate: WriteGate[str] = WriteGate(
            self.settings, WriteBudget({}, self._save), self._record
        )

    async def _save(self, ledger: Ledger) -> None:
        self.ledger = dict(ledger)

    def _record(self, gate: WriteGate[str], written: Written[str]) -> None:
        self.records.append(written)

    async def write(self, key: str, value: Value) -> Written[str]:
        """Change something in one go."""
        return await self.gate.async_write(key, value, "me")

    @property
    def record(self) -> Written[str]:
        """The only record there is."""
        (record,) = self.records
        return record


def sent(sim: TellingDtu) -> list[CommandRecord]:
    """Return the commands that change something."""
    return [command for command in sim.commands if command.action != COLLECT_ALARMS]


async def make_door(rig: Rig) -> Door:
    """Return a gate in front of an inverter that was polled."""
    await rig.dtu.async_poll(())
    return Door(rig)


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
        gate: WriteGate[str] = WriteGate(
            DtuSettings(rig.dtu), WriteBudget({}, _forget), lambda gate, written: None
        )
        with patch.dict(replies.HANDLERS, {A301: handler}), pytest.raises(DeviceError):
            await gate.async_write(points.RESTART.key, True, "me")
        assert not sent(rig.sim)


async def _forget(ledger: Ledger) -> None:
    """Keep no count of writes."""
