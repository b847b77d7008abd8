"""Any sequence of previews, confirmations, faults and accidents, held against the write log.

A simulated inverter behind a real socket; the gate, the driver and what they mean to Home
Assistant in front of it. Whatever happens: nothing is written without a confirmation, to
another inverter than previewed, of a value outside the table, or twice.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, time as day_time, timedelta, tzinfo
import os
import time
from typing import Any, Final, Self, override
from unittest.mock import patch

from hypothesis import HealthCheck, given, settings, strategies as st
from modbus_connection import ModbusTcpParams
from modbus_connection.tmodbus import ModbusConnection
import pytest
from pytest_homeassistant_custom_component.common import (
    MockConfigEntry,
    async_fire_time_changed,
)

from custom_components.local_solar.const import DOMAIN
from custom_components.local_solar.growatt.inverter import Inverter
from custom_components.local_solar.growatt.known_inverter import SYNC_CLOCK
from custom_components.local_solar.growatt.profiles.profile import Part
from custom_components.local_solar.growatt.settings import InverterSettings
from custom_components.local_solar.points import (
    Device,
    TimeSlot,
    TimeSlotChange,
    Value,
    Wanted,
)
from custom_components.local_solar.repairs import ConfirmWriteFlow
from custom_components.local_solar.write_gate import TOKEN_LIFETIME, Driver, Outcome
from custom_components.local_solar.writing import (
    EVENT_WRITE,
    Asker,
    Writing,
    ledger_store,
)
from homeassistant.config_entries import ConfigEntryState
from homeassistant.core import Context, Event, HomeAssistant, callback
from homeassistant.exceptions import HomeAssistantError, ServiceValidationError
from homeassistant.helpers import issue_registry as ir
from homeassistant.util import dt as dt_util
from simulators.datasets import Table
from simulators.growatt import GrowattSimulator, GrowattUnit
from simulators.requests import Request

from .simulated import (
    HOST,
    IDENTIFIED,
    OUR_SERIAL,
    THEIR_SERIAL,
    TIMEOUT,
    ImpatientUnit,
    StepwiseSimulator,
    registers_of,
)

CAMPAIGN: Final = "LOCAL_SOLAR_EXAMPLES" in os.environ
EXAMPLES: Final = int(os.environ.get("LOCAL_SOLAR_EXAMPLES", "400"))
"""Sequences to try; thousands for a campaign, which also tells what there was in them."""

NEVER_SEEN: Final = {Outcome.UNCHANGED, Outcome.CARRIED_OUT}
"""Nothing is told of the first; an inverter on Modbus never reports the second."""

HAPPENS: Final = (
    *("previews", "asks", "writes told", "writes done", "dead tokens refused"),
    *("changed values refused", "confirm: value_changed", "confirm: wrong_device"),
    *("confirm: written", "set: write_rate_limited", "set: written"),
    *("set: unchanged", "submit: create_entry"),
    *(f"outcome: {outcome}" for outcome in Outcome if outcome not in NEVER_SEEN),
)
"""What happens in any few hundred sequences."""

HAPPENS_RARELY: Final = ("submit: abort",)
"""What happens in any thousand."""

MAY_STAND_IN_THE_WAY: Final = (
    *("", "write_rate_limited", "slot_overlaps", "slot_without_grid_charge"),
    "other_slot_not_valid",
)
"""Errors of changes to an inverter that works and holds what it held at the preview."""

ILLEGAL: Final = (1, 2)
"""Exceptions after which the other function is tried."""

# -- what the tables allow, written down once more ---------------------------------------

NUMBERS: Final[Mapping[str, tuple[int, range]]] = {
    "active_power_limit": (3, range(101)),
    "export_limit_rate": (123, range(1001)),
    "discharge_stop_soc": (3037, range(10, 101)),
    "charge_stop_soc": (3048, range(1, 101)),
}
"""Key -> address and words."""
CHOICES: Final[Mapping[str, tuple[int, Mapping[Wanted | None, int]]]] = {
    "on_off": (0, {"inverter_off": 0, "inverter_on": 1}),
    "power_command_memory": (2, {False: 0, True: 1}),
    "ac_charge_enable": (3049, {False: 0, True: 1}),
    "export_limit_mode": (
        122,
        {"disabled": 0, "rs485_meter": 1, "rs232_meter": 2, "ct": 3},
    ),
}
"""Key -> address and words of the options."""
SLOTS: Final = {"tou1": 3038, "tou2": 3040, "tou5": 3050}
MODES: Final = ("load_first", "battery_first", "grid_first")
CLOCK: Final = range(45, 51)

PLACES: Final[Mapping[str, range]] = {
    **{key: range(at, at + 1) for key, (at, _) in NUMBERS.items()},
    **{key: range(at, at + 1) for key, (at, _) in CHOICES.items()},
    **{key: range(at, at + 2) for key, at in SLOTS.items()},
    **{
        f"{key}_{part}": range(at, at + 2)
        for key, at in SLOTS.items()
        for part in ("start", "end", "mode", "enabled")
    },
    SYNC_CLOCK.key: CLOCK,
}
"""Where each setting is written."""


def may_be_written(address: int, word: int) -> bool:
    """Return whether a register may ever be told a word."""
    for at, words in NUMBERS.values():
        if at == address:
            return word in words
    for at, options in CHOICES.values():
        if at == address:
            return word in options.values()
    if address in SLOTS.values():
        return word >> 8 & 0x1F < 24 and word & 0xFF < 60 and word >> 13 & 3 < 3
    if address - 1 in SLOTS.values():
        # What nobody knows stays as it was found, here after a fault.
        return word >> 8 & 0x1F < 24 and word & 0xFF < 60
    limits = dict(
        zip(
            CLOCK,
            (range(100), range(1, 13), range(1, 32), range(24), range(60), range(60)),
            strict=True,
        )
    )
    return word in limits.get(address, ())


# -- steps ------------------------------------------------------------------------------


@dataclass(frozen=True)
class Wish:
    """A value for a setting, perhaps a foolish one."""

    key: str
    wanted: Wanted | None
    """``None``: what becomes of several wishes for the parts of a slot."""

    @property
    def word(self) -> int | None:
        """The word that stands for it, if it is a number or an option."""
        if self.key in CHOICES:
            return CHOICES[self.key][1].get(self.wanted)
        if self.key in NUMBERS and isinstance(self.wanted, int | float):
            return round(self.wanted * (10 if self.key == "export_limit_rate" else 1))
        return None


TIMES: Final = st.builds(
    day_time, st.sampled_from((0, 6, 12, 22, 23)), st.sampled_from((0, 30, 59))
)


def wishes() -> st.SearchStrategy[Wish]:
    """Draw what someone may want."""
    numbers = [
        st.builds(
            Wish,
            st.just(key),
            st.sampled_from(
                [words[0], words[-1], 20, 30, 50, 60, 80, words[-1] + 1, 255, 50.5]
            ),
        )
        for key, (_, words) in NUMBERS.items()
    ]
    choices = [
        st.builds(
            Wish, st.just(key), st.sampled_from([*options, *options, "nonsense", 7])
        )
        for key, (_, options) in CHOICES.items()
    ]
    slots = [
        st.one_of(
            st.builds(
                Wish,
                st.just(key),
                st.builds(
                    TimeSlot,
                    start=TIMES,
                    end=TIMES,
                    mode=st.sampled_from((*MODES, *MODES, "anti_reflux")),
                    enabled=st.booleans(),
                ),
            ),
            st.builds(Wish, st.just(key), st.builds(TimeSlotChange, end=TIMES)),
            st.builds(Wish, st.just(f"{key}_start"), TIMES),
            st.builds(Wish, st.just(f"{key}_mode"), st.sampled_from(MODES)),
            st.builds(Wish, st.just(f"{key}_enabled"), st.booleans()),
        )
        for key in SLOTS
    ]
    others = st.sampled_from(
        [
            Wish(SYNC_CLOCK.key, True),
            Wish(SYNC_CLOCK.key, False),
            Wish("factory_reset", 1),
            Wish("clock", datetime(2030, 1, 1)),
            Wish("battery_soc", 100),
            Wish("nonsense", 1),
        ]
    )
    return st.one_of(*numbers, *numbers, *choices, *slots, others)


@dataclass(frozen=True)
class Step:
    """One thing that happens."""

    what: str
    wish: Wish | None = None
    number: int = 0
    text: str = ""


_NUMBER: Final = st.integers(0, 7)

FAULTS: Final = (
    *("drop", "deaf", "delay=0.0005", "stale", "disconnect"),
    *("drop,op=write", "deaf,op=write", "disconnect,op=write", "delay=0.0005,op=write"),
    *("ignore", "clamp=77", "clamp=65535", "late=1", "late=2", "late=5", "late=12"),
    *(f"exception={code},op=write" for code in (1, 2, 3, 4, 5)),
    *(
        f"exception={code},op=write_{how}"
        for code in (1, 2)
        for how in ("single", "multiple")
    ),
    *("exception=2,op=read", "exception=4,op=read"),
    *("drop,every=2", "deaf,every=3", "disconnect,every=3", "disconnect,every=4"),
    *("deaf,every=2,op=read", "drop,every=2,op=write", "disconnect,every=2,op=read"),
)


def steps() -> st.SearchStrategy[Step]:
    """Draw one thing that may happen."""
    wish = wishes()

    def step(what: str, **parts: Any) -> st.SearchStrategy[Step]:
        return st.builds(Step, st.just(what), **parts)

    return st.one_of(
        *[step("preview", wish=wish)] * 5,
        *[step("confirm", number=_NUMBER)] * 5,
        step("confirm twice", number=_NUMBER),
        step("confirm two", number=_NUMBER),
        step("confirm and go away", number=_NUMBER),
        step("confirm wrong token"),
        *[step("preview and confirm", wish=wish)] * 3,
        step("cancel", number=_NUMBER),
        *[step("set", wish=wish)] * 2,
        step("set if as expected", wish=wish),
        step("set always", wish=wish),
        *[step("ask", wish=wish)] * 4,
        *[step("submit", number=_NUMBER)] * 4,
        *[step("ask and submit", wish=wish, number=_NUMBER)] * 3,
        *[step("wait", number=st.sampled_from((1, 11, 11, 100, 299, 301)))] * 3,
        step("reload"),
        step("reload while confirming", number=_NUMBER),
        step("swap"),
        *[step("swap back")] * 3,
        step("swap while confirming", number=_NUMBER),
        *[step("change", wish=wish)] * 2,
        step("wait and confirm", wish=wish, number=st.sampled_from((299, 301))),
        step("change and confirm", wish=wish),
        step("swap and confirm", wish=wish),
        *[
            step(
                "fault",
                text=st.builds(
                    "{},times={}".format, st.sampled_from(FAULTS), st.integers(1, 4)
                ),
            )
        ]
        * 3,
        step("fault", text=st.sampled_from(FAULTS)),
        *[step("mend")] * 4,
        step("hang up"),
        step("power cycle"),
        step("sleep"),
        *[step("wake")] * 2,
    )


# -- time that can be moved ---------------------------------------------------------------


class MovableTime:
    """The time of the gate and the budget, ahead of the real one."""

    ahead = 0.0

    def monotonic(self) -> float:
        """Return monotonic seconds."""
        return time.monotonic() + self.ahead

    @contextmanager
    def in_use(self) -> Iterator[Self]:
        """Let gate and budget live by it."""
        ahead = self

        class Datetime(datetime):
            @classmethod
            @override
            def now(cls, tz: tzinfo | None = None) -> datetime:  # type: ignore[override]
                return datetime.now(tz) + timedelta(seconds=ahead.ahead)

        base = "custom_components.local_solar"
        with (
            patch(f"{base}.write_gate.time", self),
            patch(f"{base}.write_gate.datetime", Datetime),
            patch(f"{base}.write_budget.datetime", Datetime),
            patch(f"{base}.write_gate.SETTLE", (0.0, 0.0, 0.0)),
        ):
            yield self


# -- the house ----------------------------------------------------------------------------


@dataclass
class Token:
    """What the house knows of a preview."""

    wish: Wish
    made: float
    held: tuple[int, ...]
    """The words of the setting at the preview."""
    is_sure: bool
    """Whether they were the same all the time, with no late write on its way."""


@dataclass
class Tally:
    """What there was in all sequences together."""

    count: Counter[str] = field(default_factory=Counter)

    def add(self, what: str) -> None:
        """Count something."""
        self.count[what] += 1


class House:
    """Home Assistant with one inverter; also the owner of its gate."""

    def __init__(
        self,
        hass: HomeAssistant,
        entry: MockConfigEntry,
        simulator: StepwiseSimulator,
        connection: ModbusConnection,
        clock: MovableTime,
        tally: Tally,
    ) -> None:
        """Live with what there is."""
        self.hass = hass
        self.config_entry = entry
        self.simulator = simulator
        self.clock = clock
        self.tally = tally
        self._unit = ImpatientUnit(connection, 1, simulator.lost)
        self.writing: Writing | None = None
        self.devices: tuple[Device, ...] = ()
        self._settings: InverterSettings | None = None

    # -- what Writing needs of its owner ------------------------------------------

    def drivers(self) -> Mapping[str, Driver]:
        """Return the driver for inverter and battery."""
        assert self._settings is not None
        return dict.fromkeys(
            (device.identity.id for device in self.devices), self._settings
        )

    def show_setting(self, key: str) -> None:
        """Show nothing."""

    # -- beginning and end --------------------------------------------------------

    async def begin(self) -> None:
        """Start a sequence afresh."""
        self.clock.ahead = 0.0
        self.simulator.start_over()
        self.ours, self.theirs = (
            self._make_unit(serial) for serial in (OUR_SERIAL, THEIR_SERIAL)
        )
        self.simulator.put(self.ours)
        self.tokens: dict[str, Token] = {}
        self.spent: list[str] = []
        self.refused_reads = False
        self.events: list[dict[str, Any]] = []
        await ledger_store(self.hass, self.config_entry).async_remove()
        await self.open()

    @staticmethod
    def _make_unit(serial: str) -> GrowattUnit:
        unit = GrowattSimulator({1: registers_of(serial)}).units[1]
        unit.checks_limits = False
        return unit

    async def open(self) -> None:
        """Know nothing any more of before, as after a reload."""
        inverter = Inverter(
            self._unit, IDENTIFIED, spacing=0.0, work_mode=Part.PRIORITY_MODE
        )
        self.devices = inverter.devices
        self.refused_reads = False
        self._settings = InverterSettings(
            self._unit, inverter, lambda: datetime(2026, 6, 21, 12, 0, 30)
        )
        self.writing = await Writing.async_open(self.hass, self)

    async def close(self) -> None:
        """Unload: tokens and questions are gone."""
        assert self.writing is not None
        assert self._settings is not None
        await self.writing.async_close()
        self._settings.stop_watching()
        self.spent += self.tokens
        self.tokens.clear()
        assert self.issues() == []

    def issues(self) -> list[ir.IssueEntry]:
        """Return the questions that are open."""
        return [
            issue
            for (domain, _), issue in ir.async_get(self.hass).issues.items()
            if domain == DOMAIN and issue.is_fixable
        ]

    # -- what happens -------------------------------------------------------------

    async def do(self, step: Step) -> None:
        """Let one thing happen, and check what was written meanwhile."""
        self.tally.add("steps")
        asked = len(self.simulator.requests)
        self.events.clear()
        held = dict(self.ours.dataset.words[Table.HOLDING])
        confirmations = await getattr(self, "_" + step.what.replace(" ", "_"))(step)
        told: list[Request] = []
        for request, unit in zip(
            self.simulator.requests[asked:], self.simulator.served[asked:], strict=True
        ):
            if request.function in (6, 16):
                told.append(request)
                # 0 writes to another inverter.
                assert unit is self.ours, "told another inverter"
        self._check(confirmations or [], told, held)
        self._check_tokens()

    def _device(self) -> str:
        return OUR_SERIAL

    def _by(self, through: str) -> Asker:
        return Asker(context=Context(), through=through)

    def _words(self, key: str) -> tuple[int, ...]:
        """Return what the inverter that is there holds for a setting."""
        places = PLACES[key]
        return self.simulator.holding(places.start, len(places))

    @property
    def _open(self) -> Writing:
        assert self.writing is not None
        return self.writing

    async def _preview(self, step: Step) -> None:
        assert step.wish is not None
        assert step.wish.wanted is not None
        try:
            pending = await self._open.async_preview(
                self._device(), step.wish.key, step.wish.wanted, self._by("preview")
            )
        except HomeAssistantError:
            self.tally.add("previews refused")
            return
        self.tally.add("previews")
        assert self.simulator.units[1] is self.ours
        self._keep(pending.token, step.wish)

    def _keep(self, token: str, wish: Wish) -> None:
        assert token not in self.tokens
        assert token not in self.spent
        self.tokens[token] = Token(
            wish,
            self.clock.monotonic(),
            self._words(wish.key),
            not self.simulator.has_late_writes,
        )

    def _pick(self, number: int) -> str | None:
        """Return a token: one that waits, most of the time the newest, or an old one."""
        if number == 7 and self.spent:
            return self.spent[-1]
        waiting = [*self.tokens]
        if not waiting:
            return self.spent[0] if self.spent else None
        return waiting[-1 - number % len(waiting)] if number % 2 else waiting[-1]

    def _use_up(self, token: str) -> Token | None:
        """Take a token away; return what it was for if it may still be used."""
        known = self.tokens.pop(token, None)
        self.spent.append(token)
        lifetime = TOKEN_LIFETIME.total_seconds()
        if known is None or self.clock.monotonic() - known.made >= lifetime:
            return None
        return known

    async def _use(self, token: str) -> list[Wish]:
        """Confirm with a token; return what was confirmed if that was one that waits."""
        known = self._use_up(token)
        sound = known is not None and self._is_sound(known)
        changed = known is not None and self._is_changed(known)
        told = len(self.simulator.told)
        error = ""
        try:
            written = await self._open.async_confirm(
                self._device(), token, self._by("confirm")
            )
            result = str(written.outcome)
        except HomeAssistantError as err:
            result = error = err.translation_key or "?"
        if known is None:
            assert error == "unknown_token"
            self.tally.add("dead tokens refused")
            return []
        self.tally.add(f"confirm: {result}")
        assert error != "unknown_token"
        if sound:
            assert error in MAY_STAND_IN_THE_WAY, error
        if changed:
            assert len(self.simulator.told) == told
            self.tally.add("changed values refused")
        return [known.wish]

    def _is_sound(self, token: Token) -> bool:
        """Return whether nothing stands in the way of a change."""
        return (
            not self.simulator.faults
            and not self.simulator.has_late_writes
            and not self.refused_reads
            and self.simulator.units[1] is self.ours
            and not self.ours.silent
            and self._words(token.wish.key) == token.held
        )

    def _is_changed(self, token: Token) -> bool:
        """Return whether the inverter surely holds something else than at the preview."""
        return (
            token.is_sure
            and not self.simulator.has_late_writes
            and token.wish.key != SYNC_CLOCK.key
            and self._words(token.wish.key) != token.held
        )

    async def _confirm(self, step: Step) -> list[Wish]:
        if (token := self._pick(step.number)) is None:
            return []
        return await self._use(token)

    async def _confirm_twice(self, step: Step) -> list[Wish]:
        """Only one of them counts."""
        if (token := self._pick(step.number)) is None:
            return []
        first, second = await asyncio.gather(self._use(token), self._use(token))
        assert not (first and second)
        return first or second

    async def _confirm_two(self, step: Step) -> list[Wish]:
        """Two at once."""
        waiting = [*self.tokens][-2:]
        # What stands in the way of the second is not known before the first is through.
        wishes = [
            known.wish
            for token in waiting
            if (known := self._use_up(token)) is not None
        ]
        results = await asyncio.gather(
            *(
                self._open.async_confirm(self._device(), token, self._by("confirm"))
                for token in waiting
            ),
            return_exceptions=True,
        )
        for result in results:
            assert not isinstance(result, BaseException) or isinstance(
                result, HomeAssistantError
            )
        return wishes

    async def _confirm_and_go_away(self, step: Step) -> list[Wish]:
        """The write goes on without its caller."""
        if (token := self._pick(step.number)) is None:
            return []
        known = self._use_up(token)
        confirming = asyncio.ensure_future(
            self._open.async_confirm(self._device(), token, self._by("confirm"))
        )
        target = self.simulator.count + 1 + step.number
        while self.simulator.count < target and not confirming.done():
            await asyncio.sleep(0)
        confirming.cancel()
        await asyncio.gather(confirming, return_exceptions=True)
        await self.hass.async_block_till_done()
        return [known.wish] if known else []

    async def _confirm_wrong_token(self, step: Step) -> None:
        with pytest.raises(ServiceValidationError) as caught:
            await self._open.async_confirm(
                self._device(), "0123456789abcdef", self._by("confirm")
            )
        assert caught.value.translation_key == "unknown_token"

    async def _preview_and_confirm(self, step: Step) -> list[Wish]:
        await self._preview(step)
        return await self._confirm(Step("confirm"))

    async def _cancel(self, step: Step) -> None:
        if (token := self._pick(step.number)) is None:
            return
        known = self._use_up(token)
        try:
            self._open.cancel(self._device(), token)
        except ServiceValidationError:
            assert known is None
        else:
            assert known is not None

    async def _set(
        self,
        step: Step,
        *,
        expected: Value | None = None,
        only_if_different: bool = True,
    ) -> list[Wish]:
        assert step.wish is not None
        assert step.wish.wanted is not None
        try:
            written = await self._open.async_write(
                self._device(),
                step.wish.key,
                step.wish.wanted,
                self._by("set"),
                expected=expected,
                only_if_different=only_if_different,
            )
        except HomeAssistantError as err:
            self.tally.add(f"set: {err.translation_key}")
        else:
            self.tally.add(f"set: {written.outcome}")
            if written.outcome is Outcome.UNCHANGED:
                assert only_if_different
        return [step.wish]

    async def _set_if_as_expected(self, step: Step) -> list[Wish]:
        return await self._set(step, expected=80)

    async def _set_always(self, step: Step) -> list[Wish]:
        return await self._set(step, only_if_different=False)

    async def _ask(self, step: Step) -> None:
        """Change an entity."""
        assert step.wish is not None
        assert step.wish.wanted is not None
        before = {issue.issue_id: issue for issue in self.issues()}
        slot = step.wish.key.partition("_")[0]
        wish = Wish(slot, None) if slot in SLOTS else step.wish
        try:
            await self._open.async_ask(
                self._device(),
                step.wish.key,
                step.wish.wanted,
                self._by("number.something"),
            )
        except ServiceValidationError as err:
            if err.translation_key != "confirmation_pending":
                self.tally.add("asks refused")
                return
            self.tally.add("asks")
            token = (err.translation_placeholders or {})["token"]
            self._keep(token, wish)
            (issue,) = (
                issue
                for issue in self.issues()
                if issue.data and issue.data["token"] == token
            )
            if (replaced := before.get(issue.issue_id)) is not None:
                assert replaced.data is not None
                self._use_up(str(replaced.data["token"]))
        except HomeAssistantError:
            self.tally.add("asks refused")
        else:
            self._forget_closed(before)

    def _forget_closed(self, before: Mapping[str, ir.IssueEntry]) -> None:
        """Use the tokens up of questions that were closed."""
        still = {issue.issue_id for issue in self.issues()}
        for issue_id, issue in before.items():
            if issue_id not in still and issue.data is not None:
                self._use_up(str(issue.data["token"]))

    async def _submit(self, step: Step) -> list[Wish]:
        """Press Submit in a repair."""
        if not (issues := self.issues()):
            return []
        issue = issues[step.number % len(issues)]
        assert issue.data is not None
        known = self._use_up(str(issue.data["token"]))
        flow = ConfirmWriteFlow(dict(issue.data))
        flow.hass, flow.issue_id, flow.handler = self.hass, issue.issue_id, DOMAIN
        flow.flow_id = "flow"
        await flow.async_step_init()
        result = await flow.async_step_confirm({})
        self.tally.add(f"submit: {result['type']}")
        assert issue not in self.issues()
        return [known.wish] if known else []

    async def _wait(self, step: Step) -> None:
        self.clock.ahead += step.number
        ahead = dt_util.utcnow() + timedelta(seconds=self.clock.ahead)
        async_fire_time_changed(self.hass, ahead)
        await self.hass.async_block_till_done()

    async def _reload(self, step: Step) -> None:
        await self.close()
        await self.open()

    async def _reload_while_confirming(self, step: Step) -> list[Wish]:
        if (token := self._pick(step.number)) is None:
            await self._reload(step)
            return []
        known = self._use_up(token)
        confirming = asyncio.ensure_future(
            self._open.async_confirm(self._device(), token, self._by("confirm"))
        )
        target = self.simulator.count + step.number
        while self.simulator.count < target and not confirming.done():
            await asyncio.sleep(0)
        await self.close()
        await asyncio.gather(confirming, return_exceptions=True)
        await self.open()
        return [known.wish] if known else []

    async def _swap_while_confirming(self, step: Step) -> list[Wish]:
        """Put the other inverter there between two messages, behind a new link."""
        if (token := self._pick(step.number)) is None:
            return []
        known = self._use_up(token)
        confirming = asyncio.ensure_future(
            self._open.async_confirm(self._device(), token, self._by("confirm"))
        )
        target = self.simulator.count + step.number
        while self.simulator.count < target and not confirming.done():
            await asyncio.sleep(0)
        self.simulator.disconnect_clients()
        self.simulator.put(self.theirs)
        await asyncio.gather(confirming, return_exceptions=True)
        await self._hang_up(step)
        return [known.wish] if known else []

    async def _swap(self, step: Step) -> None:
        """Put the other inverter there, or ours again."""
        there = self.simulator.units[1]
        self.simulator.put(self.theirs if there is self.ours else self.ours)

    async def _swap_back(self, step: Step) -> None:
        """Put our inverter there."""
        self.simulator.put(self.ours)

    async def _change(self, step: Step) -> None:
        """Change a value behind our back, most likely one that waits to be changed."""
        assert step.wish is not None
        key = [*self.tokens.values()][-1].wish.key if self.tokens else ""
        if (places := PLACES.get(key or step.wish.key)) is not None:
            word = step.wish.word
            self.simulator.set_word(
                1, "holding", places[-1], 1 if word is None else word
            )

    async def _wait_and_confirm(self, step: Step) -> list[Wish]:
        await self._preview(step)
        await self._wait(step)
        return await self._confirm(Step("confirm"))

    async def _change_and_confirm(self, step: Step) -> list[Wish]:
        await self._preview(step)
        await self._change(step)
        return await self._confirm(Step("confirm"))

    async def _swap_and_confirm(self, step: Step) -> list[Wish]:
        await self._preview(step)
        await self._swap(step)
        confirmed = await self._confirm(Step("confirm"))
        await self._swap_back(step)
        return confirmed

    async def _ask_and_submit(self, step: Step) -> list[Wish]:
        await self._ask(step)
        return await self._submit(step)

    async def _fault(self, step: Step) -> None:
        self.simulator.faults = [*self.simulator.faults[-1:], step.text]
        # What is refused to be read is not asked for again for ten minutes.
        self.refused_reads |= step.text.startswith("exception=2,op=read")

    async def _mend(self, step: Step) -> None:
        self.simulator.faults = []
        self.ours.silent = self.theirs.silent = False

    async def _hang_up(self, step: Step) -> None:
        self.simulator.disconnect_clients()
        while self._unit.connected:
            await asyncio.sleep(0)

    async def _power_cycle(self, step: Step) -> None:
        self.simulator.units[1].power_cycle()

    async def _sleep(self, step: Step) -> None:
        self.simulator.units[1].silent = True

    async def _wake(self, step: Step) -> None:
        self.simulator.units[1].silent = False

    # -- what must hold -----------------------------------------------------------

    def _check(
        self, confirmed: list[Wish], told: list[Request], held: Mapping[int, int]
    ) -> None:
        """Check what an inverter was told in a step with these confirmations."""
        for request in told:
            self.tally.add("writes told")
            if request.done:
                self.tally.add("writes done")
            # 0 values outside the table, or other than what was wanted.
            for at, word in enumerate(request.words or (), request.address):
                assert may_be_written(at, word), request
                wanted = {
                    wish.word for wish in confirmed if at in PLACES.get(wish.key, ())
                }
                assert wanted & {word, None}, (request, confirmed)
        # 0 writes without a confirmation.
        assert confirmed or not told, "told without a confirmation"
        allowed = Counter(at for wish in confirmed for at in PLACES.get(wish.key, ()))
        # 0 double writes: what was not refused outright may have been taken.
        taken = Counter(
            at
            for request in told
            if request.exception not in ILLEGAL
            for at in range(request.address, request.address + request.count)
        )
        assert taken <= allowed, (confirmed, told)
        refused = sum(request.exception in ILLEGAL for request in told)
        assert refused <= 2 * len(confirmed)
        self._check_events(confirmed, told, held)

    def _check_events(
        self, confirmed: list[Wish], told: list[Request], held: Mapping[int, int]
    ) -> None:
        """Check what Home Assistant was told of it."""
        assert len(self.events) <= len(confirmed)
        assert bool(self.events) == bool(told)
        if len(self.events) != 1 or len(confirmed) != 1:
            return
        (data,) = self.events
        outcome = data["outcome"]
        self.tally.add(f"outcome: {outcome}")
        done = [request for request in told if request.done]
        if outcome == Outcome.NOT_WRITTEN and not self.simulator.has_late_writes:
            for request in done:
                for at in range(request.address, request.address + request.count):
                    assert self.ours.dataset.words[Table.HOLDING][at] == held.get(at, 0)
        if outcome == Outcome.WRITTEN and self.simulator.units[1] is self.ours:
            assert done or any(request.fault for request in told), told
            if data["register"] in PLACES and data["register"] != SYNC_CLOCK.key:
                for request in done:
                    for at, word in enumerate(request.words, request.address):
                        assert self.ours.dataset.words[Table.HOLDING][at] == word

    def _check_tokens(self) -> None:
        """Check that every question belongs to a token that waits."""
        for issue in self.issues():
            assert issue.data is not None
            assert issue.data["token"] in self.tokens


# -- the test -----------------------------------------------------------------------------


@pytest.fixture
async def house(
    hass: HomeAssistant,
    hass_storage: dict[str, Any],
    socket_enabled: None,
    request: pytest.FixtureRequest,
) -> AsyncIterator[House]:
    """A house with an inverter behind a socket."""
    entry = MockConfigEntry(domain=DOMAIN, unique_id=OUR_SERIAL, title="Inverter")
    entry.add_to_hass(hass)
    entry.mock_state(hass, ConfigEntryState.LOADED)
    # Keeping track of where each task was made takes five times as long as what they do.
    asyncio.get_running_loop().set_debug(False)
    with MovableTime().in_use() as clock:
        async with StepwiseSimulator(registers_of()) as simulator:
            params = ModbusTcpParams(host=HOST, port=await simulator.start_tcp())
            connection = ModbusConnection(params, timeout=TIMEOUT)
            house = House(hass, entry, simulator, connection, clock, Tally())
            entry.runtime_data = house

            @callback
            def note(written: Event[dict[str, Any]]) -> None:
                house.events.append(dict(written.data))

            hass.bus.async_listen(EVENT_WRITE, note)
            with patch.object(hass.config_entries, "async_schedule_reload"):
                yield house
            await connection.close()
    entry.mock_state(hass, ConfigEntryState.NOT_LOADED)
    count = house.tally.count
    if CAMPAIGN:
        reporter: Any = request.config.pluginmanager.get_plugin("terminalreporter")
        for what, number in sorted(count.items()):
            reporter.write_line(f"{number:8} {what}")
    if count["sequences"] >= EXAMPLES >= 300:
        # What never happened was not tested.
        for what in HAPPENS + HAPPENS_RARELY * (EXAMPLES >= 1000):
            assert count[what], what


@given(sequence=st.lists(steps(), min_size=15, max_size=40))
@settings(
    max_examples=EXAMPLES,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
async def test_nothing_is_written_that_was_not_confirmed_once_for_this_inverter(
    house: House, sequence: list[Step]
) -> None:
    await house.begin()
    house.tally.add("sequences")
    try:
        for step in sequence:
            await house.do(step)
    finally:
        await house.close()
