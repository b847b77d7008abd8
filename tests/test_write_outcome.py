"""What is reported of a write is never wrong, whatever goes wrong at whichever message.

A simulated inverter behind a real socket. A healthy write is four messages: what it holds,
who it is, the write, what it holds then; what fails is looked at up to three times.
"""

from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from datetime import time, timedelta
from itertools import product
from typing import Final
from unittest.mock import patch

import pytest

from custom_components.local_solar.growatt.known_inverter import SYNC_CLOCK
from custom_components.local_solar.growatt.settings import CLOCK_TOLERANCE
from custom_components.local_solar.modbus.codecs import CLOCK
from custom_components.local_solar.points import TimeSlot, Wanted
from custom_components.local_solar.write_errors import (
    DeviceError,
    HoldsOtherValueError,
    KeptOldValueError,
    NotIdentifiedError,
    NotReadableError,
    NotWrittenError,
    OutcomeUnknownError,
    RefusedError,
    WriteError,
    WrongDeviceError,
)
from custom_components.local_solar.write_gate import Outcome, Written
from simulators.datasets import Table
from simulators.growatt import GrowattSimulator, GrowattUnit
from simulators.requests import Request

from .simulated import NOON, THEIR_SERIAL, Rig, make_rig, registers_of

HEALTHY: Final = 4
"""Messages of a write at which nothing goes wrong."""
WRITE: Final = 3
"""Which of them is the write."""

READ: Final = 3
"""The function that reads holding registers."""
SERIAL_NUMBER: Final = 3001

FOR_GOOD: Final = 99

AT_ONCE: Final = ()
EFFECTS: Final = (
    *(AT_ONCE, ("ignore",), ("clamp=77",)),
    *((f"late={number}",) for number in (1, 2, 4, 9)),
)
"""What the inverter makes of a write that it answers as done."""

FAULTS: Final = (
    *("deaf", "drop", "disconnect", "delay=0.001", "stale"),
    *("exception=1", "exception=2", "exception=3", "exception=4", "exception=5"),
)
POWER_CYCLE: Final = "power cycle"
OTHER_DEVICE: Final = "other device"


@dataclass(frozen=True, kw_only=True)
class Setting:
    """A setting, what it holds and is to hold, and how it is written."""

    key: str
    wanted: Wanted
    address: int
    old: tuple[int, ...]
    new: tuple[int, ...]
    always: tuple[str, ...] = ()
    """Faults that are always there."""
    reads_back: bool = True

    def holds(self, words: tuple[int, ...]) -> bool:
        """Tell whether the words of the inverter are what is wanted."""
        if self.key != SYNC_CLOCK.key:
            return words == self.new
        shown = CLOCK.decode(words)
        return shown is not None and abs(shown - NOON) <= CLOCK_TOLERANCE

    def is_as_before(self, words: tuple[int, ...]) -> bool:
        """Tell whether the words are those from before."""
        return words == self.old


SLOT: Final = TimeSlot(start=time(1), end=time(2), mode="load_first", enabled=True)
EARLIER: Final = (2025, 4, 18, 9, 3, 0)

SETTINGS: Final = {
    "number": Setting(
        key="charge_stop_soc", wanted=80, address=3048, old=(96,), new=(80,)
    ),
    "number by function 16": Setting(
        key="charge_stop_soc",
        wanted=80,
        address=3048,
        old=(96,),
        new=(80,),
        always=("exception=1,op=write_single",),
    ),
    "number that power cycles forget": Setting(
        key="active_power_limit", wanted=80, address=3, old=(60,), new=(80,)
    ),
    "command": Setting(
        key="on_off",
        wanted="inverter_off",
        address=0,
        old=(1,),
        new=(0,),
        reads_back=False,
    ),
    "command that was given before": Setting(
        key="on_off",
        wanted="inverter_on",
        address=0,
        old=(1,),
        new=(1,),
        reads_back=False,
    ),
    "slot": Setting(
        key="tou1", wanted=SLOT, address=3038, old=(0, 0), new=(0x8100, 0x0200)
    ),
    "slot word by word": Setting(
        key="tou1",
        wanted=SLOT,
        address=3038,
        old=(0, 0),
        new=(0x8100, 0x0200),
        always=("exception=2,op=write_multiple",),
    ),
    "slot of which one word changes": Setting(
        key="tou1_start",
        wanted=time(3),
        address=3038,
        old=(0x8100, 0x0700),
        new=(0x8300, 0x0700),
        always=("exception=2,op=write_multiple",),
    ),
    "clock": Setting(
        key=SYNC_CLOCK.key, wanted=True, address=45, old=EARLIER, new=EARLIER
    ),
    "clock word by word": Setting(
        key=SYNC_CLOCK.key,
        wanted=True,
        address=45,
        old=EARLIER,
        new=EARLIER,
        always=("exception=1,op=write_multiple",),
    ),
}

each_setting = pytest.mark.parametrize("setting", SETTINGS.values(), ids=SETTINGS)


@dataclass(frozen=True, kw_only=True)
class Trouble:
    """What goes wrong from one message on, for some messages."""

    kind: str
    start: int
    length: int

    def at(self, number: int) -> bool:
        """Tell whether a message meets it."""
        return self.start <= number < self.start + self.length


@dataclass
class Trial:
    """One write to a fresh inverter, and what came of it."""

    rig: Rig
    setting: Setting
    effects: tuple[str, ...] = AT_ONCE
    trouble: Trouble | None = None
    error: WriteError | None = None
    seen: list[tuple[int, ...]] = field(default_factory=list)
    """What our inverter held at each message."""

    async def run(self) -> None:
        """Write."""
        rig, setting = self.rig, self.setting
        rig.restart()
        simulator = rig.simulator
        held = dict(enumerate(setting.old, setting.address))
        self.ours = simulator.replace_unit(1, registers_of())
        self.ours.checks_limits = False
        self.ours.dataset.words[Table.HOLDING].update(held)
        self.seen.clear()
        if self.trouble is not None and self.trouble.kind == OTHER_DEVICE:
            self.other = self._other()
        simulator.start_over()
        simulator.before_request = self._meet
        try:
            await rig.gate.async_write(
                setting.key, setting.wanted, "asker", only_if_different=True
            )
        except WriteError as err:
            self.error = err

    def _other(self) -> GrowattUnit:
        """Return another inverter, which holds the new value by chance."""
        held = dict(enumerate(self.setting.new, self.setting.address))
        registers = registers_of(THEIR_SERIAL, holding=held)
        return GrowattSimulator({1: registers}).units[1]

    def _meet(self, number: int) -> None:
        """Let go wrong what shall at a message."""
        simulator = self.rig.simulator
        faults = [*self.setting.always, *(f"{what},op=write" for what in self.effects)]
        struck = self.trouble is not None and self.trouble.at(number)
        kind = self.trouble.kind if self.trouble is not None else ""
        if kind == POWER_CYCLE:
            if struck and not self.ours.silent:
                self.ours.power_cycle()
            self.ours.silent = struck
        elif kind == OTHER_DEVICE:
            simulator.put(self.other if struck else self.ours)
        elif struck:
            faults.insert(0, kind)
        simulator.faults = faults
        self.seen.append(self.words)

    # -- what really happened -----------------------------------------------------

    @property
    def words(self) -> tuple[int, ...]:
        """What our inverter holds now."""
        holding = self.ours.dataset.words[Table.HOLDING]
        count = len(self.setting.old)
        return tuple(holding[self.setting.address + place] for place in range(count))

    @property
    def words_at_last_look(self) -> tuple[int, ...]:
        """What our inverter held when it was last asked that."""
        looks = zip(self.rig.simulator.requests, self.seen, strict=True)
        return [seen for request, seen in looks if _is_look(request)][-1]

    @property
    def record(self) -> Written[str] | None:
        """What was recorded."""
        records = self.rig.records
        assert len(records) <= 1
        return records[0] if records else None

    def check(self) -> None:
        """Check that what is reported is true."""
        told = self.rig.simulator.told
        record = self.record
        if record is None:
            # It never came to the write.
            assert isinstance(self.error, DeviceError | WrongDeviceError)
            assert told == []
            return
        assert told
        assert record.error is self.error
        match record.outcome:
            case Outcome.WRITTEN:
                assert self.error is None
                assert self.setting.holds(self.words_at_last_look)
            case Outcome.NOT_WRITTEN:
                assert isinstance(self.error, NotWrittenError | RefusedError)
                assert self.setting.is_as_before(self.words_at_last_look)
                if isinstance(self.error, RefusedError):
                    assert all(request.exception for request in told)
                    assert not self.rig.simulator.has_late_writes
            case Outcome.KEPT_OLD_VALUE:
                assert isinstance(self.error, KeptOldValueError)
                assert self.setting.is_as_before(self.words_at_last_look)
                assert any(
                    request.answered and request.exception in (None, 5)
                    for request in told
                )
            case Outcome.UNKNOWN:
                self._check_unknown()
            case _:
                pytest.fail(f"{record.outcome}")

    def _check_unknown(self) -> None:
        """Check that it could not be known, or was something else."""
        if isinstance(self.error, HoldsOtherValueError):
            assert not self.setting.holds(self.words_at_last_look)
            assert not self.setting.is_as_before(self.words_at_last_look)
            return
        if self.error is None:
            assert not self.setting.reads_back
            return
        assert isinstance(self.error, OutcomeUnknownError)
        last = self.rig.simulator.requests[-1]
        sound = (
            _is_look(last)
            and last.answered is not None
            and last.exception is None
            and last.fault is None
            and self.rig.simulator.units[1] is self.ours
        )
        assert not sound or not self.setting.reads_back


def _is_look(request: Request) -> bool:
    """Tell whether a message asks what is held, not who it is, and changes nothing."""
    return request.function == READ and request.address != SERIAL_NUMBER


@pytest.fixture(autouse=True)
def look_at_once() -> Iterator[None]:
    """Look at what the inverter holds without waiting for it, and let flash not rest."""
    with (
        patch("custom_components.local_solar.write_gate.SETTLE", (0.0, 0.0, 0.0)),
        patch("custom_components.local_solar.write_budget.SPACING", timedelta(0)),
    ):
        yield


@pytest.fixture
async def rig(socket_enabled: None) -> AsyncIterator[Rig]:
    async with make_rig() as rig:
        yield rig


async def try_all(
    rig: Rig,
    setting: Setting,
    effects: tuple[tuple[str, ...], ...],
    troubles: Iterator[Trouble],
) -> set[Outcome | None]:
    """Try all combinations and return the outcomes there were."""
    outcomes: set[Outcome | None] = set()
    for effect, trouble in product(effects, [*troubles]):
        trial = Trial(rig, setting, effect, trouble)
        await trial.run()
        try:
            trial.check()
        except AssertionError as err:
            record = trial.record
            err.add_note(f"{effect} {trouble}: {record and record.outcome}")
            err.add_note(f"{trial.error!r}, holds {trial.words}")
            err.add_note(rig.simulator.shape())
            raise
        outcomes.add(trial.record.outcome if trial.record else None)
    return outcomes


def troubles(*kinds: str, last: int) -> Iterator[Trouble]:
    """Go through what can go wrong, when, and for how long."""
    for kind, start, length in product(kinds, range(1, last + 1), (1, FOR_GOOD)):
        yield Trouble(kind=kind, start=start, length=length)


# -- nothing goes wrong ---------------------------------------------------------------


@each_setting
async def test_healthy_write_is_reported_as_written_for_four_messages(
    rig: Rig, setting: Setting
) -> None:
    trial = Trial(rig, setting)
    await trial.run()
    trial.check()
    assert trial.record is not None
    if setting.new == setting.old and not setting.reads_back:
        assert trial.record.outcome is Outcome.UNKNOWN
        return
    assert trial.record.outcome is Outcome.WRITTEN
    if not setting.always:
        assert len(rig.simulator.requests) == HEALTHY
        assert len(rig.simulator.told) == 1
    # The function that works is remembered.
    rig.simulator.requests.clear()
    await rig.gate.async_write(
        setting.key, setting.wanted, "asker", only_if_different=False
    )
    assert not any(request.exception for request in rig.simulator.requests)


# -- everything goes wrong ------------------------------------------------------------


@pytest.mark.parametrize("effect", EFFECTS, ids=lambda effect: " ".join(effect))
async def test_outcome_of_a_number_is_true_whatever_goes_wrong(
    rig: Rig, effect: tuple[str, ...]
) -> None:
    outcomes = await try_all(
        rig,
        SETTINGS["number"],
        (effect,),
        troubles(*FAULTS, POWER_CYCLE, last=8),
    )
    assert {None, Outcome.NOT_WRITTEN, Outcome.UNKNOWN} <= outcomes
    if effect == AT_ONCE:
        assert Outcome.WRITTEN in outcomes
    if effect == ("ignore",):
        assert Outcome.KEPT_OLD_VALUE in outcomes
        assert Outcome.WRITTEN not in outcomes


@each_setting
async def test_outcome_of_every_setting_is_true_whatever_goes_wrong(
    rig: Rig, setting: Setting
) -> None:
    outcomes = await try_all(
        rig,
        setting,
        (AT_ONCE, ("late=2",)),
        troubles("deaf", "drop", "disconnect", POWER_CYCLE, last=11),
    )
    assert {None, Outcome.UNKNOWN} <= outcomes
    assert (Outcome.NOT_WRITTEN in outcomes) == setting.reads_back


@each_setting
async def test_another_device_after_the_write_is_never_taken_for_ours(
    rig: Rig, setting: Setting
) -> None:
    """Its value may be the new one by chance."""
    for effect in (AT_ONCE, ("ignore",), ("late=2",)):
        for fault in ("", "deaf", "drop"):
            trouble = Trouble(kind=OTHER_DEVICE, start=WRITE + 1, length=FOR_GOOD)
            if setting.always:
                continue  # there is more than one message
            effects = (*effect, fault) if fault else effect
            trial = Trial(rig, setting, effects, trouble)
            await trial.run()
            if trial.record is None or trial.record.outcome is Outcome.WRITTEN:
                # It answered the write, and the next message showed what was expected.
                assert not fault
                continue
            assert trial.record.outcome is Outcome.UNKNOWN


# -- what is said ---------------------------------------------------------------------

type Expectation = tuple[Outcome | None, type[WriteError] | None]

EXPECTED: Final[dict[tuple[str, int], Expectation]] = {
    # What it holds, and who it is: asked once more, then given up.
    ("deaf", 1): (None, DeviceError),
    ("disconnect", 1): (None, DeviceError),
    ("exception=2", 1): (None, NotReadableError),
    (POWER_CYCLE, 1): (None, DeviceError),
    ("drop", 2): (None, DeviceError),
    ("exception=4", 2): (None, DeviceError),
    (POWER_CYCLE, 2): (None, DeviceError),
    # The write, and everything after it.
    ("deaf", 3): (Outcome.UNKNOWN, OutcomeUnknownError),
    ("drop", 3): (Outcome.UNKNOWN, OutcomeUnknownError),
    ("disconnect", 3): (Outcome.UNKNOWN, OutcomeUnknownError),
    (POWER_CYCLE, 3): (Outcome.UNKNOWN, OutcomeUnknownError),
    ("exception=3", 3): (Outcome.NOT_WRITTEN, RefusedError),
    ("exception=2", 3): (Outcome.NOT_WRITTEN, RefusedError),
    # What it holds then.
    ("deaf", 4): (Outcome.UNKNOWN, OutcomeUnknownError),
    ("disconnect", 4): (Outcome.UNKNOWN, OutcomeUnknownError),
    ("exception=2", 4): (Outcome.UNKNOWN, OutcomeUnknownError),
    (POWER_CYCLE, 4): (Outcome.UNKNOWN, OutcomeUnknownError),
}

ONCE: Final[dict[tuple[str, int], Expectation]] = {
    **{(kind, 1): (Outcome.WRITTEN, None) for kind in ("deaf", "drop")},
    **{(kind, 2): (Outcome.WRITTEN, None) for kind in ("deaf", "drop")},
    # Behind another link there may be another device.
    ("disconnect", 1): (None, DeviceError),
    ("disconnect", 2): (None, DeviceError),
    **{(kind, 4): (Outcome.WRITTEN, None) for kind in ("deaf", "drop", "disconnect")},
    ("exception=2", 1): (Outcome.WRITTEN, None),
    ("exception=2", 2): (None, NotIdentifiedError),
    ("deaf", 3): (Outcome.NOT_WRITTEN, NotWrittenError),
    (POWER_CYCLE, 3): (Outcome.NOT_WRITTEN, NotWrittenError),
    ("drop", 3): (Outcome.WRITTEN, None),
    ("disconnect", 3): (Outcome.WRITTEN, None),
    ("exception=1", 3): (Outcome.WRITTEN, None),  # with the other function
    ("exception=2", 3): (Outcome.WRITTEN, None),
    ("exception=3", 3): (Outcome.NOT_WRITTEN, RefusedError),
    ("exception=4", 3): (Outcome.NOT_WRITTEN, NotWrittenError),
    ("exception=5", 3): (Outcome.KEPT_OLD_VALUE, KeptOldValueError),
    ("exception=2", 4): (Outcome.WRITTEN, None),
    (POWER_CYCLE, 4): (Outcome.WRITTEN, None),
}


@pytest.mark.parametrize(
    ("kind", "start", "length", "outcome", "error"),
    [
        (kind, start, length, *expected)
        for length, table in ((FOR_GOOD, EXPECTED), (1, ONCE))
        for (kind, start), expected in table.items()
    ],
)
async def test_outcome_is_as_clear_as_it_can_be(
    rig: Rig,
    kind: str,
    start: int,
    length: int,
    outcome: Outcome | None,
    error: type[WriteError] | None,
) -> None:
    trouble = Trouble(kind=kind, start=start, length=length)
    trial = Trial(rig, SETTINGS["number"], trouble=trouble)
    await trial.run()
    trial.check()
    assert (trial.record.outcome if trial.record else None) is outcome
    assert type(trial.error) is (error or type(None))
    assert len(rig.simulator.told) <= (
        2 if kind in ("exception=1", "exception=2") else 1
    )


@pytest.mark.parametrize(
    ("effect", "outcome", "error"),
    [
        (("ignore",), Outcome.KEPT_OLD_VALUE, KeptOldValueError),
        (("clamp=77",), Outcome.UNKNOWN, HoldsOtherValueError),
        (("late=1",), Outcome.WRITTEN, None),
        (("late=4",), Outcome.WRITTEN, None),
        (("late=6",), Outcome.KEPT_OLD_VALUE, KeptOldValueError),
        (("drop", "ignore"), Outcome.NOT_WRITTEN, NotWrittenError),
        (("drop", "clamp=77"), Outcome.UNKNOWN, HoldsOtherValueError),
        (("drop", "late=5"), Outcome.WRITTEN, None),
        # What takes effect after the last look cannot be known.
        (("drop", "late=9"), Outcome.NOT_WRITTEN, NotWrittenError),
    ],
)
async def test_inverter_that_makes_something_else_of_a_write_is_found_out(
    rig: Rig,
    effect: tuple[str, ...],
    outcome: Outcome,
    error: type[WriteError] | None,
) -> None:
    trial = Trial(rig, SETTINGS["number"], effect)
    await trial.run()
    trial.check()
    assert trial.record is not None
    assert trial.record.outcome is outcome
    assert type(trial.error) is (error or type(None))


async def test_power_cycle_that_takes_the_new_value_away_is_found_out(rig: Rig) -> None:
    trouble = Trouble(kind=POWER_CYCLE, start=WRITE + 1, length=1)
    trial = Trial(rig, SETTINGS["number that power cycles forget"], trouble=trouble)
    await trial.run()
    trial.check()
    assert trial.words == (100,)  # what it starts with
    assert isinstance(trial.error, HoldsOtherValueError)


async def test_old_value_that_was_seen_before_the_link_broke_proves_nothing(
    rig: Rig,
) -> None:
    """It took effect after the last look that succeeded."""
    trouble = Trouble(kind="deaf", start=WRITE + 2, length=FOR_GOOD)
    trial = Trial(rig, SETTINGS["number"], ("late=2",), trouble)
    await trial.run()
    trial.check()
    assert trial.words == SETTINGS["number"].new
    assert isinstance(trial.error, OutcomeUnknownError)


@pytest.mark.parametrize("words", range(1, 6))
async def test_clock_of_which_only_some_words_were_set_is_not_called_as_it_was(
    rig: Rig, words: int
) -> None:
    """Function 16 is refused, and the link breaks on the way through the words."""
    trouble = Trouble(kind="deaf", start=WRITE + 1 + words, length=1)
    trial = Trial(rig, SETTINGS["clock word by word"], trouble=trouble)
    await trial.run()
    assert trial.words != EARLIER
    assert trial.record is not None
    assert trial.record.outcome is Outcome.UNKNOWN
    assert isinstance(trial.error, HoldsOtherValueError)


@pytest.mark.parametrize("off_by", [timedelta(hours=1), timedelta(minutes=-2)])
async def test_clock_that_shows_another_time_than_told_is_not_called_as_it_was(
    rig: Rig, off_by: timedelta
) -> None:
    """It took the time, and makes an own one of it."""
    trial = Trial(rig, SETTINGS["clock"])
    meet = trial._meet  # noqa: SLF001

    def and_change_it(number: int) -> None:
        meet(number)
        if number == WRITE + 1:
            shown = NOON + off_by
            trial.ours.dataset.words[Table.HOLDING].update(
                {48: shown.hour, 49: shown.minute}
            )

    trial._meet = and_change_it  # type: ignore[method-assign]  # noqa: SLF001
    await trial.run()
    assert trial.record is not None
    assert trial.record.outcome is Outcome.UNKNOWN
    assert isinstance(trial.error, HoldsOtherValueError)
