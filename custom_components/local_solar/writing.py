"""What the write gate means to Home Assistant.

Errors become sentences, changes that wait become repairs, and what was written becomes
an event. Entities and actions come here; only the gate goes further.
"""

from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Protocol, Self

from homeassistant.config_entries import ConfigEntry
from homeassistant.const import ATTR_DEVICE_ID
from homeassistant.core import CALLBACK_TYPE, Context, HomeAssistant, callback
from homeassistant.exceptions import HomeAssistantError, ServiceValidationError
from homeassistant.helpers import device_registry as dr, issue_registry as ir
from homeassistant.helpers.event import async_call_later
from homeassistant.helpers.storage import Store

from .const import DOMAIN, LOGGER
from .points import Device, Point, Quantity, TimeSlotChange, Value, Wanted
from .values import as_json, as_text
from .write_budget import Ledger, WriteBudget
from .write_errors import UnknownSettingError, WriteError, WrongDeviceError
from .write_gate import TOKEN_LIFETIME, Driver, Outcome, Pending, WriteGate, Written

EVENT_WRITE: Final = f"{DOMAIN}_write"

ATTR_NAME: Final = "name"
ATTR_REGISTER: Final = "register"
ATTR_SETTING: Final = "setting"
ATTR_BEFORE: Final = "before"
ATTR_AFTER: Final = "after"
ATTR_VALUE: Final = "value"
ATTR_UNIT: Final = "unit"
ATTR_OUTCOME: Final = "outcome"
ATTR_ERROR: Final = "error"
ATTR_ASKED_BY: Final = "asked_by"
ATTR_ASKED_THROUGH: Final = "asked_through"
ATTR_CONFIRMED_BY: Final = "confirmed_by"
ATTR_CONFIRMED_THROUGH: Final = "confirmed_through"

THROUGH_REPAIRS: Final = "repairs"

CONFIRM_ISSUE: Final = "confirm_write"
WRONG_DEVICE_ISSUE: Final = "wrong_device"

_STORAGE_VERSION: Final = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Asker:
    """Who wants a change: the context of the call, who that is, and through what."""

    context: Context
    through: str
    """An entity id, an action, ``repairs``."""
    name: str | None = None
    """Name of the user, ``None`` for an automation that nobody started."""

    def __str__(self) -> str:
        """Return who it is: ``Anna through number.charge_stop_soc``."""
        return f"{self.name} through {self.through}" if self.name else self.through

    @classmethod
    async def async_of(
        cls, hass: HomeAssistant, context: Context | None, through: str
    ) -> Asker:
        """Return the asker of a call."""
        context = context or Context()
        user = context.user_id and await hass.auth.async_get_user(context.user_id)
        return cls(context=context, through=through, name=user.name if user else None)


def ledger_store(
    hass: HomeAssistant, entry: ConfigEntry
) -> Store[dict[str, list[str]]]:
    """Return where the writes of an entry's devices are counted."""
    return Store(hass, _STORAGE_VERSION, f"{DOMAIN}.writes.{entry.entry_id}")


class Owner(Protocol):
    """The coordinator whose devices are written to."""

    config_entry: ConfigEntry
    devices: tuple[Device, ...]

    def drivers(self) -> Mapping[str, Driver]:
        """Return the driver of each device that has settings, by device id."""

    def show_setting(self, key: str) -> None:
        """Show what was just read of a setting, without asking the device again."""


class Writing:
    """Changes to the devices of one entry."""

    def __init__(self, hass: HomeAssistant, owner: Owner, budget: WriteBudget) -> None:
        """Open a gate for each driver: devices that share one share its gate."""
        self._hass = hass
        self._owner = owner
        self._entry = owner.config_entry
        self._budget = budget
        self._gates: dict[str, WriteGate[Asker]] = {}
        self._gates_by_driver: dict[int, WriteGate[Asker]] = {}
        self._questions: dict[str, _Question] = {}
        self.take_up_drivers()

    def take_up_drivers(self) -> None:
        """Open the gates of devices that have none yet."""
        for device, driver in self._owner.drivers().items():
            if id(driver) not in self._gates_by_driver:
                self._gates_by_driver[id(driver)] = WriteGate(
                    driver, self._budget, self._record, self._hass.async_create_task
                )
            self._gates[device] = self._gates_by_driver[id(driver)]

    @classmethod
    async def async_open(cls, hass: HomeAssistant, owner: Owner) -> Self:
        """Return it with the writes that were counted before the restart."""
        store = ledger_store(hass, owner.config_entry)

        async def save(ledger: Ledger) -> None:
            await store.async_save(dict(ledger))

        return cls(hass, owner, WriteBudget(await store.async_load() or {}, save))

    async def async_close(self) -> None:
        """Forget all that waits; a write on its way is seen to its end."""
        for token, question in list(self._questions.items()):
            self._forget(question.gate, token)
        for gate in set(self._gates.values()):
            await gate.async_close()

    # -- what actions and entities ask for ----------------------------------------

    async def async_preview(
        self, device: str, key: str, wanted: Wanted, by: Asker
    ) -> Pending[Asker]:
        """Return what a change would do, with the token that confirms it.

        Raises ``ServiceValidationError`` or ``HomeAssistantError``, as all of these do.
        """
        with self._in_words(device, key):
            return await self._gate(device, key).async_preview(key, wanted, by)

    async def async_confirm(
        self, device: str, token: str, by: Asker, *, only_if_different: bool = True
    ) -> Written[Asker]:
        """Make a previewed change."""
        with self._in_words(device, ""):
            gate = self._gate(device, "")
        pending = gate.pending(token)
        key = pending.setting.point.key if pending else ""
        try:
            with self._in_words(device, key):
                return await gate.async_confirm(
                    token, by, only_if_different=only_if_different
                )
        finally:
            self._forget(gate, token)

    def cancel(self, device: str, token: str) -> None:
        """Forget a previewed change."""
        with self._in_words(device, ""):
            gate = self._gate(device, "")
            gate.cancel(token)
        self._forget(gate, token)

    async def async_write(
        self,
        device: str,
        key: str,
        wanted: Wanted,
        by: Asker,
        *,
        expected: Value | None = None,
        only_if_different: bool = True,
        accepted: Collection[str] = (),
    ) -> Written[Asker]:
        """Make a change that was confirmed in the same breath."""
        with self._in_words(device, key):
            return await self._gate(device, key).async_write(
                key,
                wanted,
                by,
                expected=expected,
                only_if_different=only_if_different,
                accepted=accepted,
            )

    async def async_ask(self, device: str, key: str, wanted: Wanted, by: Asker) -> None:
        """Open a repair that confirms a change, and raise that it waits for that.

        Nothing is raised if the device holds the value already. An open question about
        the same setting is replaced; about another part of a time slot, it is extended.
        """
        with self._in_words(device, key):
            gate = self._gate(device, key)
            key, wanted = gate.as_whole(key, wanted)
            for earlier in self._open_questions(gate, key):
                wanted = _together(earlier.wanted, wanted)
        pending = await self.async_preview(device, key, wanted, by)
        for earlier in self._open_questions(gate, key):
            gate.cancel(earlier.token)
            self._forget(gate, earlier.token)
        if not gate.would_change(pending):
            gate.cancel(pending.token)
            return
        question = self._open_question(gate, pending)
        raise ServiceValidationError(
            translation_domain=DOMAIN,
            translation_key="confirmation_pending",
            translation_placeholders={**question.texts, "token": pending.token},
        )

    def find(self, device: str, key: str) -> Point:
        """Return the setting of a key. Raises ``ServiceValidationError``."""
        with self._in_words(device, key):
            return self._gate(device, key).setting(key).point

    def time_slots(self, device: str) -> list[Point]:
        """Return the time slots as a whole that can be set through a device."""
        gate = self._gates.get(device)
        return [
            point
            for each in self._owner.devices
            if gate is not None and self._gates.get(each.identity.id) is gate
            for point in each.points
            if point.quantity is Quantity.TIME_SLOT and point.setting is not None
        ]

    # -- questions ----------------------------------------------------------------

    def _open_question(
        self, gate: WriteGate[Asker], pending: Pending[Asker]
    ) -> _Question:
        key = pending.setting.point.key
        device = self._device_of(gate, key)
        issue = self._question_issue(gate, key)
        unit = pending.setting.point.unit
        texts = {
            "device": self._device_name(device),
            "setting": full_name(pending.setting.point),
            "before": as_text(pending.before.value, unit),
            "after": as_text(pending.change.value, unit),
            "asked": str(pending.by),
        }

        @callback
        def expire(_: datetime) -> None:
            self._forget(gate, pending.token)

        question = _Question(
            gate=gate,
            issue=issue,
            texts=texts,
            stop_timer=async_call_later(self._hass, TOKEN_LIFETIME, expire),
        )
        self._questions[pending.token] = question
        ir.async_create_issue(
            self._hass,
            DOMAIN,
            issue,
            data={
                "entry_id": self._entry.entry_id,
                "device": device,
                "token": pending.token,
            },
            is_fixable=True,
            severity=ir.IssueSeverity.WARNING,
            translation_key=_issue_text(pending),
            translation_placeholders=texts,
        )
        return question

    def _question_issue(self, gate: WriteGate[Asker], key: str) -> str:
        """Return the id of the issue that asks about a setting."""
        device = self._device_of(gate, key)
        return f"confirm_{self._entry.entry_id}_{device}_{key}"

    def _open_questions(self, gate: WriteGate[Asker], key: str) -> list[Pending[Asker]]:
        """Return what waits in the repair about a setting, and close what does not any more."""
        issue = self._question_issue(gate, key)
        waiting: list[Pending[Asker]] = []
        for token, question in list(self._questions.items()):
            if (pending := question.gate.pending(token)) is None:
                self._forget(question.gate, token)
            elif question.issue == issue:
                waiting.append(pending)
        return waiting

    @callback
    def _forget(self, gate: WriteGate[Asker], token: str) -> None:
        """Close the question of a token of a gate, if there is one."""
        question = self._questions.get(token)
        if question is not None and question.gate is gate:
            del self._questions[token]
            question.stop_timer()
            ir.async_delete_issue(self._hass, DOMAIN, question.issue)

    # -- what became of it --------------------------------------------------------

    @callback
    def _record(self, gate: WriteGate[Asker], written: Written[Asker]) -> None:
        """Tell the bus and the log what was sent to a device."""
        if written.outcome is Outcome.UNCHANGED:
            return
        point = written.setting.point
        device = self._device_of(gate, point.key)
        entry = self._registered(device)
        asked, confirmed = written.asked, written.confirmed
        after = written.after.value if written.after else None
        data = {
            ATTR_DEVICE_ID: entry.id if entry else None,
            ATTR_NAME: self._device_name(device),
            ATTR_REGISTER: point.key,
            ATTR_SETTING: full_name(point),
            ATTR_BEFORE: as_json(written.before.value),
            ATTR_VALUE: as_json(written.change.value),
            ATTR_AFTER: as_json(after),
            ATTR_UNIT: point.unit,
            ATTR_OUTCOME: written.outcome.value,
            ATTR_ERROR: written.error.key if written.error else None,
            ATTR_ASKED_BY: asked.name,
            ATTR_ASKED_THROUGH: asked.through,
            ATTR_CONFIRMED_BY: confirmed.name,
            ATTR_CONFIRMED_THROUGH: confirmed.through,
        }
        LOGGER.info(
            "%s: %s: %s asked through %s for %s instead of %s: %s",
            self._device_name(device),
            point.key,
            asked.name or "an automation",
            asked.through,
            as_text(written.change.value, point.unit),
            as_text(written.before.value, point.unit),
            written.outcome,
        )
        self._hass.bus.async_fire(EVENT_WRITE, data, context=asked.context)

    @contextmanager
    def _in_words(self, device: str, key: str) -> Iterator[None]:
        """Turn what goes wrong into a sentence, and show what was read on the way."""
        try:
            yield
        except WriteError as err:
            for why in (err, err.__cause__):
                if isinstance(why, WrongDeviceError):
                    self._report_wrong_device(device, why)
            kind = ServiceValidationError if err.callers_fault else HomeAssistantError
            raise kind(
                translation_domain=DOMAIN,
                translation_key=err.key,
                translation_placeholders={
                    "device": self._device_name(device),
                    **err.details,
                    **self._names(device, {"register": key, **err.details}),
                },
            ) from err
        finally:
            if key:
                self._owner.show_setting(key)

    def _report_wrong_device(self, device: str, err: WrongDeviceError) -> None:
        ir.async_create_issue(
            self._hass,
            DOMAIN,
            wrong_device_issue(self._entry),
            is_fixable=False,
            severity=ir.IssueSeverity.ERROR,
            translation_key=WRONG_DEVICE_ISSUE,
            translation_placeholders={
                "device": self._device_name(device),
                **err.details,
            },
        )
        # What it is asked for from now on would pass for readings of our device.
        self._hass.config_entries.async_schedule_reload(self._entry.entry_id)

    # -- devices ------------------------------------------------------------------

    def _gate(self, device: str, key: str) -> WriteGate[Asker]:
        if (gate := self._gates.get(device)) is None:
            raise UnknownSettingError(register=key)
        return gate

    def _device_of(self, gate: WriteGate[Asker], key: str) -> str:
        """Return the device behind a gate that has the point of a key."""
        mine = [device for device, other in self._gates.items() if other is gate]
        for device in self._owner.devices:
            if device.identity.id in mine and any(
                point.key == key for point in device.points
            ):
                return device.identity.id
        return mine[0]

    def _names(self, device: str, details: Mapping[str, str]) -> dict[str, str]:
        """Return the settings among the details of an error, with name and key."""
        names: dict[str, str] = {}
        for detail in ("register", "other"):
            key = names[detail] = details.get(detail, "")
            with suppress(WriteError):
                point = self._gate(device, key).setting(key).point
                names[detail] = f"{full_name(point)} ({key})"
        return names

    def _registered(self, device: str) -> dr.DeviceEntry | None:
        return dr.async_get(self._hass).async_get_device_by_identifier(
            (DOMAIN, device), self._entry.entry_id
        )

    def _device_name(self, device: str) -> str:
        entry = self._registered(device)
        return (entry and (entry.name_by_user or entry.name)) or self._entry.title


@dataclass(frozen=True, slots=True, kw_only=True)
class _Question:
    """A change that waits in the repairs."""

    gate: WriteGate[Asker]
    issue: str
    texts: Mapping[str, str]
    stop_timer: CALLBACK_TYPE


def _together(earlier: Wanted, later: Wanted) -> Wanted:
    """Return what is wanted after two wishes for one setting: parts of a slot add up."""
    if isinstance(earlier, TimeSlotChange) and isinstance(later, TimeSlotChange):
        return earlier.then(later)
    return later


def wrong_device_issue(entry: ConfigEntry) -> str:
    """Return the id of the issue that another device answers."""
    return f"{WRONG_DEVICE_ISSUE}_{entry.entry_id}"


def full_name(point: Point) -> str:
    """Return the English name of a point."""
    return point.name.replace("{n}", str(point.index))


def _issue_text(pending: Pending[Asker]) -> str:
    """Return the key of the text that a repair shows."""
    for doubt in pending.change.doubts:
        return f"{CONFIRM_ISSUE}_{doubt}"
    for warning in pending.change.warnings:
        return f"{CONFIRM_ISSUE}_{warning}"
    return CONFIRM_ISSUE
