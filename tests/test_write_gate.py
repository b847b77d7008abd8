"""The write gate on a device in memory: what goes through, what is refused, what is reported."""

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
import time
from unittest.mock import patch

from freezegun.api import FrozenDateTimeFactory
from hypothesis import given, strategies as st
import pytest

from custom_components.local_solar import write_gate
from custom_components.local_solar.points import Point, Quantity, Setting, Value, Wanted
from custom_components.local_solar.write_budget import (
    PER_DAY,
    SPACING,
    Ledger,
    WriteBudget,
)
from custom_components.local_solar.write_errors import (
    ClosedError,
    DeviceError,
    DoubtfulError,
    HoldsOtherValueError,
    InvalidValueError,
    KeptOldValueError,
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
from custom_components.local_solar.write_gate import (
    MAX_PENDING,
    TOKEN_LIFETIME,
    Change,
    GuardedSetting,
    Outcome,
    Pending,
    Reading,
    WriteGate,
    Written,
)

LIMIT = GuardedSetting(
    point=Point(key="limit", name="Limit", quantity=Quantity.STATE_OF_CHARGE, unit="%"),
    address=7,
    wears="ours/7",
)
MAXIMUM = 100
OLD, NEW, OTHER = 50, 60, 70

LOST = DeviceError("no answer")
REFUSED = RefusedError("exception 3")
WRONG = WrongDeviceError("ours", "theirs")

LOOKS = 3

type Action = Callable[[], None]


class FakeDriver:
    """A device with one number, which does what a test tells it to."""

    def __init__(self) -> None:
        """Hold the old value."""
        self.limit = LIMIT
        self.held = OLD
        self.persistent = False
        self.breaks = 0
        self.reports = False
        """Whether it reports that it has carried a change out."""
        self.doubts: tuple[str, ...] = ()
        self.calls: list[str] = []
        self.sent: list[int] = []
        self.turns: Iterator[int] = iter(())
        """How often others get their turn before each answer; once if not said."""
        self._script: dict[str, deque[Action | WriteError | None]] = {}
        self._busy = False

    def next(self, call: str, *actions: Action | WriteError | None) -> None:
        """Say what happens at the next calls of ``identity``, ``read`` or ``write``.

        An error is raised, an action is taken (a write does nothing else), ``None`` lets
        the call be.
        """
        self._script.setdefault(call, deque()).extend(actions)

    def lose_link(self) -> None:
        """Lose the link; there is another one at once."""
        self.breaks += 1

    def sets(self, value: int) -> Action:
        """Return the action after which the device holds ``value``."""

        def act() -> None:
            self.held = value

        return act

    async def _called(self, call: str) -> bool:
        """Note a call and do what was said of it; return whether anything was."""
        assert not self._busy, "two changes at once"
        self._busy = True
        self.calls.append(call)
        try:
            for _ in range(next(self.turns, 1)):
                await asyncio.sleep(0)
        finally:
            self._busy = False
        script = self._script.get(call)
        if not script or (action := script.popleft()) is None:
            return False
        if isinstance(action, WriteError):
            raise action
        action()
        return True

    def setting(self, key: str) -> GuardedSetting:
        """Return the one setting there is."""
        if key != LIMIT.point.key:
            raise UnknownSettingError(register=key)
        return self.limit

    async def async_check_identity(self) -> None:
        """Be who is expected, unless told otherwise."""
        await self._called("identity")

    async def async_read(self, key: str) -> Reading:
        """Return what is held."""
        await self._called("read")
        return Reading(value=self.held, raw=(self.held,), persistent=self.persistent)

    def change(self, key: str, wanted: Wanted, current: Reading) -> Change:
        """Take whole numbers up to the maximum."""
        if not isinstance(wanted, int) or not 0 <= wanted <= MAXIMUM:
            raise InvalidValueError("value_out_of_range", register=key)
        return Change(key=key, value=wanted, raw=(wanted,), doubts=self.doubts)

    def holds(self, change: Change, reading: Reading) -> bool:
        """Compare the words."""
        return change.raw == reading.raw

    def is_unchanged(self, before: Reading, after: Reading) -> bool:
        """Compare the words."""
        return before.raw == after.raw

    def as_whole(self, key: str, wanted: Wanted) -> tuple[str, Wanted]:
        """Have no parts."""
        return key, wanted

    async def async_write(self, change: Change) -> bool:
        """Hold the new value, unless told otherwise."""
        (word,) = change.raw
        self.sent.append(word)
        if not await self._called("write"):
            self.held = word
        return self.reports


@dataclass
class Bench:
    """A gate, what is behind it, and what it recorded."""

    driver: FakeDriver
    gate: WriteGate[str]
    budget: WriteBudget
    saved: list[Ledger]
    records: list[Written[str]]

    async def preview(self, wanted: Wanted = NEW) -> Pending[str]:
        """Preview a change."""
        return await self.gate.async_preview("limit", wanted, "asker")

    async def write(
        self,
        wanted: Wanted = NEW,
        *,
        expected: Value | None = None,
        only_if_different: bool = True,
        accepted: tuple[str, ...] = (),
    ) -> Written[str]:
        """Make a change in one go."""
        return await self.gate.async_write(
            "limit",
            wanted,
            "asker",
            expected=expected,
            only_if_different=only_if_different,
            accepted=accepted,
        )

    async def fails[Error: WriteError](self, kind: type[Error]) -> Error:
        """Make a change that fails, and return the error."""
        return await self.fails_with(kind, NEW)

    async def fails_with[Error: WriteError](
        self, kind: type[Error], wanted: Wanted
    ) -> Error:
        """Make a certain change that fails, and return the error."""
        with pytest.raises(kind) as caught:
            await self.write(wanted)
        assert type(caught.value) is kind
        return caught.value

    @property
    def record(self) -> Written[str]:
        """The only record there is."""
        (record,) = self.records
        return record

    @property
    def untouched(self) -> bool:
        """Whether nothing was sent, counted or recorded."""
        return not (self.driver.sent or self.saved or self.records)

    def spend_budget(self) -> None:
        """Let the setting have been written just now."""
        self.budget = WriteBudget(
            {LIMIT.wears: [datetime.now(UTC).isoformat()]}, self._save
        )
        self.gate = WriteGate(self.driver, self.budget, self._record)

    async def _save(self, ledger: Ledger) -> None:
        self.driver.calls.append("save")
        self.saved.append(ledger)

    def _record(self, gate: WriteGate[str], written: Written[str]) -> None:
        assert gate is self.gate
        self.records.append(written)

    @classmethod
    def make(cls) -> Bench:
        """Return a gate in front of a device that works."""
        driver = FakeDriver()
        saved: list[Ledger] = []
        records: list[Written[str]] = []

        async def save(ledger: Ledger) -> None:
            driver.calls.append("save")
            saved.append(ledger)

        budget = WriteBudget({}, save)
        gate = WriteGate[str](
            driver, budget, lambda _, written: records.append(written)
        )
        return cls(driver, gate, budget, saved, records)


@pytest.fixture(autouse=True)
def look_at_once() -> Iterator[None]:
    """Look at what the device holds without waiting for it."""
    with patch.object(write_gate, "SETTLE", (0.0,) * LOOKS):
        yield


@pytest.fixture
def bench() -> Bench:
    return Bench.make()


async def turns(count: int = 1) -> None:
    """Let others have their turn."""
    for _ in range(count):
        await asyncio.sleep(0)


async def until_called(driver: FakeDriver, call: str) -> None:
    """Wait until the driver is asked for something."""
    while call not in driver.calls:
        await asyncio.sleep(0)


# -- previews -------------------------------------------------------------------------


async def test_preview_tells_what_would_change_and_writes_nothing(bench: Bench) -> None:
    before = datetime.now(UTC)
    pending = await bench.preview()
    assert pending.setting is LIMIT
    assert pending.change.value == NEW
    assert pending.before.value == OLD
    assert pending.by == "asker"
    assert (
        before + TOKEN_LIFETIME <= pending.expires <= datetime.now(UTC) + TOKEN_LIFETIME
    )
    assert bench.gate.pending(pending.token) is pending
    assert bench.gate.would_change(pending)
    assert bench.driver.calls == ["read", "identity"]
    assert bench.untouched


async def test_preview_of_the_value_that_is_held_would_change_nothing(
    bench: Bench,
) -> None:
    assert not bench.gate.would_change(await bench.preview(OLD))


async def test_preview_of_a_command_that_is_not_read_back_would_change_something(
    bench: Bench,
) -> None:
    bench.driver.limit = replace(LIMIT, reads_back=False)
    assert bench.gate.would_change(await bench.preview(OLD))


def test_gate_says_what_may_be_written(bench: Bench) -> None:
    assert bench.gate.setting("limit") is LIMIT
    with pytest.raises(UnknownSettingError):
        bench.gate.setting("other")
    assert bench.gate.as_whole("limit", NEW) == ("limit", NEW)


@pytest.mark.parametrize("wanted", [-1, MAXIMUM + 1, "much"])
async def test_preview_refuses_a_value_that_the_table_does_not_allow(
    bench: Bench, wanted: Wanted
) -> None:
    with pytest.raises(InvalidValueError):
        await bench.preview(wanted)


async def test_preview_refuses_an_unknown_setting_without_asking_the_device(
    bench: Bench,
) -> None:
    with pytest.raises(UnknownSettingError):
        await bench.gate.async_preview("other", NEW, "asker")
    assert bench.driver.calls == []


@pytest.mark.parametrize("call", ["read", "identity"])
@pytest.mark.parametrize("error", [LOST, WRONG])
async def test_preview_fails_when_the_device_cannot_be_asked(
    bench: Bench, call: str, error: WriteError
) -> None:
    bench.driver.next(call, error)
    with pytest.raises(type(error)):
        await bench.preview()


async def test_preview_refuses_what_the_budget_would_refuse(bench: Bench) -> None:
    bench.spend_budget()
    bench.driver.persistent = True
    with pytest.raises(TooOftenError) as caught:
        await bench.preview()
    assert f"{SPACING.seconds} s" in caught.value.details["limit"]
    assert datetime.fromisoformat(caught.value.details["until"]) > datetime.now(UTC)


@pytest.mark.parametrize(("wanted", "persistent"), [(OLD, True), (NEW, False)])
async def test_preview_does_not_mind_a_spent_budget_where_nothing_is_worn_out(
    bench: Bench, wanted: int, persistent: bool
) -> None:
    bench.spend_budget()
    bench.driver.persistent = persistent
    await bench.preview(wanted)


async def test_oldest_preview_gives_way_to_a_new_one(bench: Bench) -> None:
    tokens = [(await bench.preview()).token for _ in range(MAX_PENDING + 1)]
    assert len({*tokens}) == len(tokens)
    with pytest.raises(UnknownTokenError):
        await bench.gate.async_confirm(tokens[0], "confirmer")
    assert all(bench.gate.pending(token) for token in tokens[1:])


# -- tokens ---------------------------------------------------------------------------


async def test_confirming_makes_the_change(bench: Bench) -> None:
    pending = await bench.preview()
    bench.driver.calls.clear()
    written = await bench.gate.async_confirm(pending.token, "confirmer")
    assert written.outcome is Outcome.WRITTEN
    assert written is bench.record
    assert (written.asked, written.confirmed) == ("asker", "confirmer")
    assert written.before.value == OLD
    assert written.after is not None
    assert written.after.value == NEW
    assert written.error is None
    assert bench.driver.calls == ["read", "identity", "write", "read"]
    assert bench.driver.sent == [NEW]


async def test_token_works_once(bench: Bench) -> None:
    token = (await bench.preview()).token
    await bench.gate.async_confirm(token, "confirmer")
    bench.driver.held = OLD
    with pytest.raises(UnknownTokenError):
        await bench.gate.async_confirm(token, "confirmer")
    assert bench.driver.sent == [NEW]


async def test_token_works_once_also_when_used_twice_at_a_time(bench: Bench) -> None:
    token = (await bench.preview()).token
    results = await asyncio.gather(
        *(bench.gate.async_confirm(token, "confirmer") for _ in range(3)),
        return_exceptions=True,
    )
    assert sum(isinstance(result, UnknownTokenError) for result in results) == 2
    assert bench.driver.sent == [NEW]


@pytest.mark.parametrize("call", ["read", "identity", "write"])
async def test_token_is_used_up_also_when_the_change_fails(
    bench: Bench, call: str
) -> None:
    token = (await bench.preview()).token
    bench.driver.next(call, REFUSED if call == "write" else LOST)
    with pytest.raises(WriteError):
        await bench.gate.async_confirm(token, "confirmer")
    with pytest.raises(UnknownTokenError):
        await bench.gate.async_confirm(token, "confirmer")


async def test_unknown_token_is_refused_without_asking_the_device(bench: Bench) -> None:
    await bench.preview()
    bench.driver.calls.clear()
    with pytest.raises(UnknownTokenError):
        await bench.gate.async_confirm("0123456789abcdef", "confirmer")
    with pytest.raises(UnknownTokenError):
        bench.gate.cancel("0123456789abcdef")
    assert bench.gate.pending("0123456789abcdef") is None
    assert bench.driver.calls == []


async def test_token_of_another_gate_is_unknown(bench: Bench) -> None:
    other = Bench.make()
    with pytest.raises(UnknownTokenError):
        await bench.gate.async_confirm((await other.preview()).token, "confirmer")


async def test_cancelled_token_is_gone(bench: Bench) -> None:
    pending = await bench.preview()
    assert bench.gate.cancel(pending.token) is pending
    with pytest.raises(UnknownTokenError):
        await bench.gate.async_confirm(pending.token, "confirmer")
    assert bench.driver.sent == []


async def test_token_expires(bench: Bench, freezer: FrozenDateTimeFactory) -> None:
    tokens = [(await bench.preview()).token for _ in range(3)]
    freezer.tick(TOKEN_LIFETIME - timedelta(seconds=1))
    await bench.gate.async_confirm(tokens[0], "confirmer")
    freezer.tick(timedelta(seconds=1))
    assert bench.gate.pending(tokens[1]) is None
    with pytest.raises(UnknownTokenError):
        await bench.gate.async_confirm(tokens[1], "confirmer")
    with pytest.raises(UnknownTokenError):
        bench.gate.cancel(tokens[2])
    assert bench.driver.sent == [NEW]


@pytest.mark.parametrize("hours", [-3, 3])
async def test_token_expires_by_time_that_passes_whatever_the_clock_says(
    bench: Bench, freezer: FrozenDateTimeFactory, hours: int
) -> None:
    token = (await bench.preview()).token
    started = time.monotonic()
    with patch("time.monotonic", lambda: started + 1):
        freezer.tick(timedelta(hours=hours))
        assert bench.gate.pending(token)
    lifetime = TOKEN_LIFETIME.total_seconds()
    with patch("time.monotonic", lambda: started + lifetime):
        assert bench.gate.pending(token) is None


# -- comparing ------------------------------------------------------------------------


async def test_change_is_refused_when_the_device_holds_another_value_than_previewed(
    bench: Bench,
) -> None:
    token = (await bench.preview()).token
    bench.driver.held = OTHER
    with pytest.raises(ValueChangedError) as caught:
        await bench.gate.async_confirm(token, "confirmer")
    assert caught.value.details["expected"] == f"{OLD} %"
    assert caught.value.details["current"] == f"{OTHER} %"
    assert bench.untouched


async def test_change_is_refused_even_if_the_device_holds_the_new_value_meanwhile(
    bench: Bench,
) -> None:
    token = (await bench.preview()).token
    bench.driver.held = NEW
    with pytest.raises(ValueChangedError):
        await bench.gate.async_confirm(token, "confirmer")
    assert bench.driver.sent == []


async def test_change_is_refused_when_another_device_answers_meanwhile(
    bench: Bench,
) -> None:
    token = (await bench.preview()).token
    bench.driver.next("identity", WRONG)
    with pytest.raises(WrongDeviceError) as caught:
        await bench.gate.async_confirm(token, "confirmer")
    assert caught.value.details["expected"] == "ours"
    assert caught.value.details["found"] == "theirs"
    assert bench.untouched


@pytest.mark.parametrize("expected", [OLD, float(OLD), OLD + 1e-9])
async def test_change_in_one_go_is_made_if_the_expected_value_is_held(
    bench: Bench, expected: float
) -> None:
    written = await bench.write(expected=expected)
    assert written.outcome is Outcome.WRITTEN
    assert (written.asked, written.confirmed) == ("asker", "asker")


@pytest.mark.parametrize("expected", [OTHER, NEW, 0, "old", True])
async def test_change_in_one_go_is_refused_unless_the_expected_value_is_held(
    bench: Bench, expected: Value
) -> None:
    with pytest.raises(ValueChangedError):
        await bench.write(expected=expected)
    assert bench.untouched


async def test_change_in_one_go_of_an_unknown_setting_is_refused(bench: Bench) -> None:
    with pytest.raises(UnknownSettingError):
        await bench.gate.async_write("other", NEW, "asker")
    assert bench.driver.calls == []


async def test_change_in_one_go_to_a_value_that_is_not_allowed_is_refused(
    bench: Bench,
) -> None:
    with pytest.raises(InvalidValueError):
        await bench.write(MAXIMUM + 1)
    assert bench.untouched


# -- skipping what changes nothing ----------------------------------------------------


async def test_value_that_is_held_already_is_not_sent(bench: Bench) -> None:
    written = await bench.write(OLD)
    assert written.outcome is Outcome.UNCHANGED
    assert written.after == written.before
    assert bench.record is written
    assert bench.driver.sent == []


async def test_value_that_is_held_already_is_sent_if_that_is_asked_for(
    bench: Bench,
) -> None:
    written = await bench.write(OLD, only_if_different=False)
    assert written.outcome is Outcome.WRITTEN
    assert bench.driver.sent == [OLD]


async def test_value_that_is_held_already_spends_no_budget(bench: Bench) -> None:
    bench.driver.persistent = True
    await bench.write(OLD)
    assert bench.saved == []


async def test_value_that_is_held_already_is_not_refused_for_a_spent_budget(
    bench: Bench,
) -> None:
    bench.spend_budget()
    bench.driver.persistent = True
    assert (await bench.write(OLD)).outcome is Outcome.UNCHANGED
    await bench.fails(TooOftenError)


async def test_command_that_is_not_read_back_is_always_sent(bench: Bench) -> None:
    bench.driver.limit = replace(LIMIT, reads_back=False)
    await bench.write(OLD)
    assert bench.driver.sent == [OLD]


# -- budget ---------------------------------------------------------------------------


async def test_write_to_flash_is_counted_before_it_is_sent(bench: Bench) -> None:
    bench.driver.persistent = True
    await bench.write()
    assert bench.driver.calls == ["read", "identity", "save", "write", "read"]
    (ledger,) = bench.saved
    assert len(ledger[LIMIT.wears]) == 1


async def test_write_to_flash_is_counted_also_if_it_fails(bench: Bench) -> None:
    bench.driver.persistent = True
    bench.driver.next("write", REFUSED)
    await bench.fails(RefusedError)
    assert len(bench.saved) == 1


async def test_write_that_is_not_kept_in_flash_is_not_counted(bench: Bench) -> None:
    await bench.write()
    assert bench.saved == []


async def test_writes_to_flash_are_spaced(
    bench: Bench, freezer: FrozenDateTimeFactory
) -> None:
    bench.driver.persistent = True
    await bench.write(NEW)
    with pytest.raises(TooOftenError):
        await bench.write(OTHER)
    assert bench.driver.sent == [NEW]
    freezer.tick(SPACING)
    await bench.write(OTHER)
    assert bench.driver.sent == [NEW, OTHER]


async def test_writes_to_flash_are_limited_each_day(
    bench: Bench, freezer: FrozenDateTimeFactory
) -> None:
    bench.driver.persistent = True
    for number in range(PER_DAY):
        await bench.write(number % 2)
        freezer.tick(SPACING)
    with pytest.raises(TooOftenError) as caught:
        await bench.write(OTHER)
    assert f"{PER_DAY} times" in caught.value.details["limit"]
    assert len(bench.driver.sent) == PER_DAY
    freezer.tick(timedelta(days=1))
    await bench.write(OTHER)


async def test_budget_is_checked_again_at_the_confirmation(bench: Bench) -> None:
    bench.driver.persistent = True
    first, second = await bench.preview(), await bench.preview(OTHER)
    await bench.gate.async_confirm(first.token, "confirmer")
    bench.driver.held = OLD
    with pytest.raises(TooOftenError):
        await bench.gate.async_confirm(second.token, "confirmer")
    assert bench.driver.sent == [NEW]


# -- doubts ---------------------------------------------------------------------------


async def test_doubts_of_a_preview_are_accepted_with_its_confirmation(
    bench: Bench,
) -> None:
    bench.driver.doubts = ("one", "other")
    pending = await bench.preview()
    assert pending.change.doubts == ("one", "other")
    await bench.gate.async_confirm(pending.token, "confirmer")
    assert bench.driver.sent == [NEW]


async def test_doubt_that_appears_after_the_preview_is_refused(bench: Bench) -> None:
    bench.driver.doubts = ("one",)
    token = (await bench.preview()).token
    bench.driver.doubts = ("one", "other")
    with pytest.raises(DoubtfulError) as caught:
        await bench.gate.async_confirm(token, "confirmer")
    assert caught.value.key == "other"
    assert bench.untouched


@pytest.mark.parametrize("accepted", [(), ("other",)])
async def test_doubtful_change_in_one_go_is_refused_unless_it_is_thought_over(
    bench: Bench, accepted: tuple[str, ...]
) -> None:
    bench.driver.doubts = ("one",)
    bench.driver.persistent = True
    with pytest.raises(DoubtfulError) as caught:
        await bench.write(accepted=accepted)
    assert caught.value.key == "one"
    assert bench.untouched
    await bench.write(accepted=("one", *accepted))
    assert bench.driver.sent == [NEW]


async def test_doubt_about_a_value_that_is_held_already_does_not_matter(
    bench: Bench,
) -> None:
    bench.driver.doubts = ("one",)
    assert (await bench.write(OLD)).outcome is Outcome.UNCHANGED


# -- what became of it ----------------------------------------------------------------


async def test_refused_write_is_reported_as_not_written(bench: Bench) -> None:
    bench.driver.next("write", REFUSED)
    error = await bench.fails(RefusedError)
    assert bench.record.outcome is Outcome.NOT_WRITTEN
    assert bench.record.error is error
    assert bench.record.after == bench.record.before
    assert bench.driver.calls == ["read", "identity", "write"]
    assert bench.driver.sent == [NEW]


async def test_device_that_applies_late_is_looked_at_again(bench: Bench) -> None:
    driver = bench.driver
    driver.next("write", driver.sets(OLD))
    driver.next("read", None, None, None, driver.sets(NEW))
    assert (await bench.write()).outcome is Outcome.WRITTEN
    assert driver.calls.count("read") == 1 + LOOKS


async def test_device_that_says_yes_and_does_nothing_is_reported(bench: Bench) -> None:
    bench.driver.next("write", bench.driver.sets(OLD))
    error = await bench.fails(KeptOldValueError)
    assert error.details["current"] == f"{OLD} %"
    assert bench.record.outcome is Outcome.KEPT_OLD_VALUE
    assert bench.record.after is not None
    assert bench.record.after.value == OLD
    assert bench.driver.calls.count("read") == 1 + LOOKS


async def test_device_that_makes_something_else_of_it_is_reported(bench: Bench) -> None:
    bench.driver.next("write", bench.driver.sets(OTHER))
    error = await bench.fails(HoldsOtherValueError)
    assert error.details["current"] == f"{OTHER} %"
    assert bench.record.outcome is Outcome.UNKNOWN
    assert bench.record.after is not None
    assert bench.record.after.value == OTHER


async def test_lost_answer_of_a_write_that_arrived_is_reported_as_written(
    bench: Bench,
) -> None:
    driver = bench.driver

    def arrive_unanswered() -> None:
        driver.held = NEW
        raise LOST

    driver.next("write", arrive_unanswered)
    assert (await bench.write()).outcome is Outcome.WRITTEN
    assert driver.calls == ["read", "identity", "write", "read", "identity"]
    assert driver.sent == [NEW]  # never once more


async def test_write_that_got_lost_is_reported_as_not_written(bench: Bench) -> None:
    bench.driver.next("write", LOST)
    error = await bench.fails(NotWrittenError)
    assert str(error) == "no answer"
    assert error.details["current"] == f"{OLD} %"
    assert bench.record.outcome is Outcome.NOT_WRITTEN
    assert bench.driver.sent == [NEW]


async def test_lost_answer_and_another_value_are_reported_as_unknown(
    bench: Bench,
) -> None:
    driver = bench.driver

    def arrive_spoilt() -> None:
        driver.held = OTHER
        raise LOST

    driver.next("write", arrive_spoilt)
    await bench.fails(HoldsOtherValueError)
    assert bench.record.outcome is Outcome.UNKNOWN


@pytest.mark.parametrize(
    ("written", "call"), [(LOST, "identity"), (LOST, "read"), (None, "read")]
)
async def test_device_that_cannot_be_asked_afterwards_leaves_the_outcome_unknown(
    bench: Bench, written: DeviceError | None, call: str
) -> None:
    bench.driver.next("write", written)
    bench.driver.next(call, None, *[DeviceError("gone")] * LOOKS)
    error = await bench.fails(OutcomeUnknownError)
    assert str(error) == "gone"
    assert bench.record.outcome is Outcome.UNKNOWN
    assert bench.record.after is None


@pytest.mark.parametrize("failures", range(1, LOOKS))
async def test_device_that_can_be_asked_again_is_asked_who_it_is_first(
    bench: Bench, failures: int
) -> None:
    bench.driver.next("read", None, *[LOST] * failures)
    assert (await bench.write()).outcome is Outcome.WRITTEN
    looks = [*["read"] * (failures + 1), "identity"]
    assert bench.driver.calls == ["read", "identity", "write", *looks]


@pytest.mark.parametrize("lost", [False, True])
async def test_last_look_counts_where_the_device_may_have_changed_since(
    bench: Bench, lost: bool
) -> None:
    """Firmware that applies late: it held the old value when it last answered."""
    driver = bench.driver
    driver.next("write", LOST if lost else driver.sets(OLD))
    driver.next("read", None, None, *[LOST] * (LOOKS - 1))
    await bench.fails(OutcomeUnknownError)
    assert bench.record.outcome is Outcome.UNKNOWN


@pytest.mark.parametrize("held", [OLD, NEW, OTHER])
async def test_another_device_after_a_lost_answer_leaves_the_outcome_unknown(
    bench: Bench, held: int
) -> None:
    driver = bench.driver
    driver.next("write", LOST)
    driver.next("identity", None, WRONG)
    driver.next("read", None, driver.sets(held))
    await bench.fails(OutcomeUnknownError)
    assert bench.record.outcome is Outcome.UNKNOWN
    assert bench.record.after is None
    assert driver.calls == ["read", "identity", "write", "read", "identity"]


async def test_old_value_of_another_device_is_not_taken_for_ours(bench: Bench) -> None:
    """It answered the write; then another one took its place and holds the old value."""
    driver = bench.driver
    driver.next("read", None, driver.sets(OLD))
    driver.next("identity", None, WRONG)
    await bench.fails(OutcomeUnknownError)
    assert bench.record.outcome is Outcome.UNKNOWN


async def test_command_that_is_not_shown_is_reported_as_unknown_without_an_error(
    bench: Bench,
) -> None:
    bench.driver.limit = replace(LIMIT, reads_back=False)
    bench.driver.next("write", bench.driver.sets(OLD))
    written = await bench.write()
    assert written.outcome is Outcome.UNKNOWN
    assert written.error is None
    assert bench.driver.sent == [NEW]


async def test_command_that_is_shown_after_all_is_reported_as_written(
    bench: Bench,
) -> None:
    bench.driver.limit = replace(LIMIT, reads_back=False)
    assert (await bench.write()).outcome is Outcome.WRITTEN


@pytest.mark.parametrize("wanted", [OLD, NEW])
async def test_lost_command_that_is_not_shown_is_reported_as_unknown(
    bench: Bench, wanted: int
) -> None:
    """What was shown before says nothing of what became of the command."""
    bench.driver.limit = replace(LIMIT, reads_back=False)
    bench.driver.next("write", LOST)
    with pytest.raises(OutcomeUnknownError):
        await bench.write(wanted)
    assert bench.record.outcome is Outcome.UNKNOWN
    assert bench.driver.sent == [wanted]


async def test_change_that_is_reported_and_shown_is_written(bench: Bench) -> None:
    bench.driver.reports = True
    written = await bench.write()
    assert written.outcome is Outcome.WRITTEN
    assert written.error is None
    assert bench.driver.calls == ["read", "identity", "write", "read"]


@pytest.mark.parametrize("reads_back", [False, True])
async def test_change_that_is_reported_and_not_shown_is_carried_out(
    bench: Bench, reads_back: bool
) -> None:
    """What it shows follows later; it is not asked again and again until then."""
    driver = bench.driver
    driver.limit = replace(LIMIT, reads_back=reads_back)
    driver.reports = True
    driver.next("write", driver.sets(OLD))
    written = await bench.write()
    assert written.outcome is Outcome.CARRIED_OUT
    assert written.error is None
    assert written is bench.record
    assert driver.calls == ["read", "identity", "write", "read"]
    assert driver.sent == [NEW]


@pytest.mark.parametrize("error", [LOST, WriteError("garbled")])
async def test_change_that_is_reported_is_carried_out_also_if_nothing_can_be_read_then(
    bench: Bench, error: WriteError
) -> None:
    bench.driver.reports = True
    bench.driver.next("read", None, error)
    written = await bench.write()
    assert written.outcome is Outcome.CARRIED_OUT
    assert written.after is None
    assert written.error is None
    assert bench.driver.sent == [NEW]


async def test_change_that_is_reported_where_something_else_is_shown_is_doubted(
    bench: Bench,
) -> None:
    bench.driver.reports = True
    bench.driver.next("write", bench.driver.sets(OTHER))
    error = await bench.fails(HoldsOtherValueError)
    assert error.details["current"] == f"{OTHER} %"
    assert bench.record.outcome is Outcome.UNKNOWN


async def test_another_device_after_a_report_leaves_the_outcome_unknown(
    bench: Bench,
) -> None:
    """The link broke after the report: what is read then is another one's."""
    bench.driver.reports = True

    def write_and_break() -> None:
        bench.driver.held = NEW
        bench.driver.lose_link()

    bench.driver.next("write", write_and_break)
    bench.driver.next("identity", None, WRONG)
    await bench.fails(OutcomeUnknownError)
    assert bench.record.outcome is Outcome.UNKNOWN
    assert bench.record.after is None


@pytest.mark.parametrize("reports", [False, True])
async def test_another_device_that_is_noticed_before_anything_is_sent_is_not_written_to(
    bench: Bench, reports: bool
) -> None:
    bench.driver.reports = reports
    bench.driver.next("write", WRONG)
    error = await bench.fails(WrongDeviceError)
    assert bench.record.outcome is Outcome.NOT_WRITTEN
    assert bench.record.error is error
    assert bench.record.after is None
    assert bench.driver.calls == ["read", "identity", "write"]


async def test_setting_that_needs_more_time_between_writes_gets_it(
    bench: Bench, freezer: FrozenDateTimeFactory
) -> None:
    spacing = timedelta(seconds=60)
    rule = Setting(spacing=spacing)
    bench.driver.limit = replace(LIMIT, point=replace(LIMIT.point, setting=rule))
    bench.driver.persistent = True
    await bench.write(NEW)
    freezer.tick(spacing - timedelta(seconds=1))
    error = await bench.fails_with(TooOftenError, OTHER)
    assert "60 s" in error.details["limit"]
    assert bench.driver.sent == [NEW]
    freezer.tick(timedelta(seconds=1))
    await bench.write(OTHER)
    assert bench.driver.sent == [NEW, OTHER]


@pytest.mark.parametrize("error", [REFUSED, LOST])
async def test_every_error_has_a_text_and_says_whose_fault_it_is(
    error: WriteError,
) -> None:
    assert str(error)
    assert not error.callers_fault
    assert UnknownTokenError().callers_fault
    assert str(UnknownTokenError()) == "unknown_token"


# -- links that break -----------------------------------------------------------------


@pytest.mark.parametrize("call", ["read", "identity"])
async def test_nothing_is_sent_over_a_link_that_broke_while_the_device_was_asked(
    bench: Bench, call: str
) -> None:
    """Behind the new one there may be another device."""
    token = (await bench.preview()).token
    bench.driver.next(call, *[bench.driver.lose_link] * 3)
    with pytest.raises(DeviceError):
        await bench.preview()
    with pytest.raises(DeviceError):
        await bench.gate.async_confirm(token, "confirmer")
    with pytest.raises(DeviceError):
        await bench.write()
    assert bench.untouched


async def test_nothing_is_sent_over_a_link_that_broke_while_the_write_was_counted(
    bench: Bench,
) -> None:
    bench.driver.persistent = True

    async def lose_link(ledger: Ledger) -> None:
        bench.driver.lose_link()

    gate = WriteGate[str](
        bench.driver,
        WriteBudget({}, lose_link),
        lambda _, written: bench.records.append(written),
    )
    with pytest.raises(DeviceError):
        await gate.async_write("limit", NEW, "asker")
    assert bench.untouched


@pytest.mark.parametrize("theirs", [False, True])
async def test_device_is_asked_who_it_is_when_the_link_broke_after_the_write(
    bench: Bench, theirs: bool
) -> None:
    driver = bench.driver

    def write_and_break() -> None:
        driver.held = NEW
        driver.lose_link()

    driver.next("write", write_and_break)
    driver.next("identity", None, WRONG if theirs else None)
    if theirs:
        await bench.fails(OutcomeUnknownError)
    else:
        assert (await bench.write()).outcome is Outcome.WRITTEN
    assert driver.calls == ["read", "identity", "write", "read", "identity"]


async def test_device_is_asked_who_it_is_when_the_link_broke_while_it_was_looked_at(
    bench: Bench,
) -> None:
    bench.driver.next("read", None, bench.driver.lose_link)
    bench.driver.next("identity", None, WRONG)
    await bench.fails(OutcomeUnknownError)


# -- what nobody expects --------------------------------------------------------------


async def test_write_that_fails_unexpectedly_is_read_back(bench: Bench) -> None:
    driver = bench.driver

    def fail() -> None:
        driver.held = NEW
        raise ValueError("a bug")

    driver.next("write", fail)
    assert (await bench.write()).outcome is Outcome.WRITTEN
    driver.held = OLD
    driver.next("write", LOST)
    bench.records.clear()
    await bench.fails(NotWrittenError)


@pytest.mark.parametrize("count", [1, LOOKS])
async def test_look_that_fails_unexpectedly_is_one_that_failed(
    bench: Bench, count: int
) -> None:
    def fail() -> None:
        raise ValueError("a bug")

    bench.driver.next("read", None, *[fail] * count)
    if count < LOOKS:
        assert (await bench.write()).outcome is Outcome.WRITTEN
    else:
        error = await bench.fails(OutcomeUnknownError)
        assert str(error) == "ValueError: a bug"
    assert len(bench.records) == 1


# -- one after the other --------------------------------------------------------------


async def test_two_changes_at_once_go_one_after_the_other(bench: Bench) -> None:
    first, second = await asyncio.gather(bench.write(NEW), bench.write(OTHER))
    assert first.outcome is second.outcome is Outcome.WRITTEN
    assert second.before == first.after
    assert bench.driver.calls == ["read", "identity", "write", "read"] * 2


async def test_change_is_held_against_what_the_one_before_it_left(bench: Bench) -> None:
    tokens = [(await bench.preview(wanted)).token for wanted in (NEW, OTHER)]
    results = await asyncio.gather(
        *(bench.gate.async_confirm(token, "confirmer") for token in tokens),
        return_exceptions=True,
    )
    assert isinstance(results[1], ValueChangedError)
    assert bench.driver.sent == [NEW]


async def test_write_goes_on_when_its_caller_is_gone(bench: Bench) -> None:
    token = (await bench.preview()).token
    bench.driver.calls.clear()
    caller = asyncio.create_task(bench.gate.async_confirm(token, "confirmer"))
    await until_called(bench.driver, "write")
    caller.cancel()
    with pytest.raises(asyncio.CancelledError):
        await caller
    assert bench.records == []
    await bench.gate.async_close()
    assert bench.record.outcome is Outcome.WRITTEN
    assert bench.driver.calls == ["read", "identity", "write", "read"]


async def test_changes_are_made_in_tasks_that_others_can_wait_for(bench: Bench) -> None:
    tasks: list[asyncio.Task[object]] = []

    def create_task[Result](
        coro: Coroutine[object, object, Result],
    ) -> asyncio.Task[Result]:
        task = asyncio.get_running_loop().create_task(coro)
        tasks.append(task)
        return task

    gate = WriteGate[str](
        bench.driver, bench.budget, lambda _, written: None, create_task
    )
    written = await gate.async_write("limit", NEW, "asker")
    (task,) = tasks
    assert task.result() is written


async def test_error_of_a_write_whose_caller_is_gone_is_recorded_and_not_logged(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    bench.driver.next("write", LOST)
    caller = asyncio.create_task(bench.write())
    await until_called(bench.driver, "write")
    caller.cancel()
    await bench.gate.async_close()
    await turns(3)
    assert bench.record.outcome is Outcome.NOT_WRITTEN
    assert caplog.messages == []


# -- closing --------------------------------------------------------------------------


async def test_closing_waits_for_a_write_on_its_way(bench: Bench) -> None:
    writing = asyncio.create_task(bench.write())
    await until_called(bench.driver, "write")
    await bench.gate.async_close()
    assert bench.record.outcome is Outcome.WRITTEN
    assert (await writing).outcome is Outcome.WRITTEN


async def test_closing_lets_no_change_through_that_waits_for_another(
    bench: Bench,
) -> None:
    first = asyncio.create_task(bench.write(NEW))
    await until_called(bench.driver, "write")
    second = asyncio.create_task(bench.write(OTHER))
    await turns(3)
    await bench.gate.async_close()
    assert (await first).outcome is Outcome.WRITTEN
    with pytest.raises(ClosedError):
        await second
    assert bench.driver.sent == [NEW]


async def test_closed_gate_lets_nothing_through(bench: Bench) -> None:
    token = (await bench.preview()).token
    bench.driver.calls.clear()
    await bench.gate.async_close()
    with pytest.raises(ClosedError):
        await bench.preview()
    with pytest.raises(ClosedError):
        await bench.write()
    with pytest.raises(UnknownTokenError):
        await bench.gate.async_confirm(token, "confirmer")
    assert bench.driver.calls == []
    await bench.gate.async_close()  # once more does no harm


async def test_preview_that_is_being_made_when_the_gate_closes_gives_no_token(
    bench: Bench,
) -> None:
    preview = asyncio.create_task(bench.preview())
    await until_called(bench.driver, "read")
    await bench.gate.async_close()
    with pytest.raises(ClosedError):
        await preview


# -- any order ------------------------------------------------------------------------

STEPS = st.sampled_from(("preview", "confirm", "confirm again", "cancel", "write"))


@dataclass
class Player:
    """Someone who previews, confirms and writes, and notes what was confirmed."""

    name: str
    bench: Bench
    steps: list[str]
    pauses: list[int]
    tokens: list[str]
    """Of all players: they steal from each other."""
    confirmations: list[str] = field(default_factory=list)

    async def play(self) -> None:
        """Do one step after the other, whatever comes of it."""
        gate = self.bench.gate
        for number, (step, pause) in enumerate(
            zip(self.steps, self.pauses, strict=True)
        ):
            await turns(pause)
            by, wanted = f"{self.name} {number}", NEW + number
            try:
                if step == "preview":
                    self.tokens.append(
                        (await gate.async_preview("limit", wanted, by)).token
                    )
                elif step == "write":
                    self.confirmations.append(by)
                    await gate.async_write("limit", wanted, by, only_if_different=False)
                elif self.tokens:
                    token = self.tokens[-1 if step == "confirm" else 0]
                    if step == "cancel":
                        gate.cancel(token)
                        continue
                    self.confirmations.append(by)
                    await gate.async_confirm(token, by)
            except WriteError:
                pass


@given(
    scripts=st.lists(
        st.lists(st.tuples(STEPS, st.integers(0, 6)), min_size=1, max_size=6),
        min_size=2,
        max_size=4,
    ),
    pauses=st.lists(st.integers(1, 4), max_size=40),
    trouble=st.lists(st.sampled_from((None, None, LOST, REFUSED)), max_size=8),
)
def test_whatever_the_order_there_is_one_write_at_most_for_each_confirmation(
    scripts: list[list[tuple[str, int]]],
    pauses: list[int],
    trouble: list[WriteError | None],
) -> None:
    async def play() -> None:
        bench = Bench.make()
        bench.driver.turns = iter(pauses)
        bench.driver.next("write", *trouble)
        tokens: list[str] = []
        players = [
            Player(
                str(number),
                bench,
                [step for step, _ in script],
                [pause for _, pause in script],
                tokens,
            )
            for number, script in enumerate(scripts)
        ]
        await asyncio.gather(*(player.play() for player in players))
        confirmations = [by for player in players for by in player.confirmations]
        confirmed = [record.confirmed for record in bench.records]
        assert len({*confirmed}) == len(confirmed)
        assert {*confirmed} <= {*confirmations}
        sent = [
            record.change.raw[0]
            for record in bench.records
            if record.outcome is not Outcome.UNCHANGED
        ]
        assert bench.driver.sent == sent
        assert bench.driver.calls.count("write") == len(sent)
        # Right before each write it was asked who it is and what it holds.
        for place, call in enumerate(bench.driver.calls):
            if call == "write":
                assert bench.driver.calls[place - 2 : place] == ["read", "identity"]

    asyncio.run(play())
