"""What a simulated DTU does with the commands that it is given.

A command is taken, then carried out for some seconds, then its result can be asked for,
by inverter. An empty list of serial numbers stands for all inverters.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
import re
from typing import TYPE_CHECKING, Final

from custom_components.local_solar.hoymiles.messages import Fields

from .alarms import INVERTER_STARTED, REMOTE_OFF
from .faults import FaultKind, Trouble
from .fields import integer, integers, text
from .inverter import SimulatedInverter

if TYPE_CHECKING:
    from .dtu import SimulatedDtu

DTU_RESTART: Final = 1
INVERTER_RESTART: Final = 3
INVERTER_START: Final = 6
INVERTER_SHUTDOWN: Final = 7
STORED_LIMIT: Final = 8
FAST_DATA: Final = 33
READ_GRID_PROFILE: Final = 41
CLEAR_ALARMS: Final = 42
COLLECT_ALARMS: Final = 50
COLLECT_ALARMS_OF_ONE: Final = 51
TEMPORARY_LIMIT: Final = 211
STORAGE_RESTART: Final = 8195
"""What hoymiles-wifi sends to restart a microinverter."""

UNKNOWN_ACTION: Final = 2
BAD_TEXT: Final = 3
UNKNOWN_DEVICE: Final = 4
OFFLINE: Final = 5
"""Error codes of the simulator's own making: real ones are not known."""

_STORED_LIMIT_TEXT: Final = re.compile(r"A:([0-9]{1,6}),B:[0-9]{1,6},C:[0-9]{1,6}\r")
_STORED_LIMITS: Final = range(20, 1001)
_TEMPORARY_LIMIT_TEXT: Final = re.compile(r"S:1,P:([0-9]{1,6})\r")
_TEMPORARY_LIMITS: Final = range(1, 32768)


_MOST_ORDERS: Final = 100
"""Commands whose results are kept."""


class Result(StrEnum):
    """What became of a command."""

    RUNNING = "running"
    SUCCESS = "success"
    FAILED = "failed"
    REFUSED = "refused"


@dataclass(slots=True, kw_only=True)
class CommandRecord:
    """One command, or another message that changes something."""

    time: datetime
    command: int
    """Id of the frame: A305, 2305, A310 or C308."""
    action: int = 0
    """What is to be done; 0 for messages without."""
    serials: tuple[int, ...] = ()
    """Inverters that were named; none means all."""
    text: str = ""
    device_kind: int = 0
    transaction: int = 0
    result: Result = Result.RUNNING


@dataclass(slots=True, kw_only=True)
class _Order:
    """A command that was taken."""

    record: CommandRecord
    targets: tuple[int, ...]
    given: datetime
    due: datetime
    failure: int = 0
    """Error code that it is bound to end with, 0 for none."""
    is_done: bool = False
    succeeded: list[int] = field(default_factory=list)
    errors: dict[int, int] = field(default_factory=dict)

    def progress(self, at: datetime) -> int:
        """Return how far it is, in percent."""
        if self.due <= self.given:
            return 100
        return int(100 * ((at - self.given) / (self.due - self.given)))


type _Effect = Callable[[SimulatedInverter, str, datetime], int]
"""Carries out a command at one inverter and returns an error code, or 0."""


class CommandDesk:
    """Takes commands, carries them out and knows what became of them."""

    def __init__(self, dtu: SimulatedDtu) -> None:
        """Work for a DTU."""
        self._dtu = dtu
        self._orders: list[_Order] = []
        self._effects: Mapping[int, _Effect] = {
            INVERTER_RESTART: self._restart,
            STORAGE_RESTART: self._restart,
            INVERTER_START: self._start,
            INVERTER_SHUTDOWN: self._shut_down,
            STORED_LIMIT: self._store_limit,
            TEMPORARY_LIMIT: self._limit_for_now,
            CLEAR_ALARMS: self._clear_alarms,
            READ_GRID_PROFILE: self._read_grid_profile,
        }
        self._dtu_effects: Mapping[int, Callable[[_Order], None]] = {
            DTU_RESTART: lambda _: dtu.restart_soon(),
            FAST_DATA: lambda _: dtu.set_fast_data(),
            COLLECT_ALARMS: self._collect_alarms,
            COLLECT_ALARMS_OF_ONE: self._collect_alarms,
        }
        self.records: list[CommandRecord] = []

    def forget(self) -> None:
        """Drop all orders, as a restart does."""
        self._orders.clear()

    def give(
        self, command: int, request: Fields, at: datetime, trouble: Trouble
    ) -> int:
        """Take a command. Return the error code of its acknowledgement, 0 for none."""
        record = CommandRecord(
            time=at,
            command=command,
            action=integer(request, "action"),
            serials=tuple(integers(request, "inverter_serials")),
            text=text(request, "data"),
            device_kind=integer(request, "device_kind"),
            transaction=integer(request, "transaction_id"),
        )
        self.records.append(record)
        refusal = trouble.get(FaultKind.REFUSES_A305)
        if refusal is not None:
            record.result = Result.REFUSED
            return int(refusal)
        slow = trouble.get(FaultKind.SLOW_COMMAND)
        seconds = self._dtu.command_time if slow is None else slow
        if record.action == DTU_RESTART:
            seconds = 0
        order = _Order(
            record=record,
            targets=record.serials or tuple(self._dtu.inverters),
            given=at,
            due=at + timedelta(seconds=seconds),
            failure=int(trouble.get(FaultKind.FAILED_COMMAND) or 0),
        )
        self._orders = [*self._orders[-_MOST_ORDERS:], order]
        self.settle(at)
        return 0

    def note(self, command: int, at: datetime, message: str = "") -> None:
        """Record another message that changes something."""
        self.records.append(
            CommandRecord(time=at, command=command, text=message, result=Result.SUCCESS)
        )

    def next_due(self) -> datetime | None:
        """Return when the next command will be through."""
        return min(
            (order.due for order in self._orders if not order.is_done), default=None
        )

    def settle(self, at: datetime) -> None:
        """Finish what is due."""
        for order in sorted(self._orders, key=lambda order: order.due):
            if not order.is_done and order.due <= at:
                order.is_done = True
                self._carry_out(order, at)

    def status(self, action: int, transaction: int, at: datetime) -> Fields:
        """Return what a reply says about a command, nothing if it is not known."""
        order = self._find(action, transaction)
        if order is None:
            return {}
        if not order.is_done:
            progress = order.progress(at)
            running: list[Fields] = [
                {"serial": serial, "progress": progress} for serial in order.targets
            ]
            return {"inverter_running": running}
        errors: list[Fields] = [
            {"serial": serial, "error_code": code}
            for serial, code in order.errors.items()
        ]
        return {
            "inverter_success": order.succeeded,
            "inverter_failed": list(order.errors),
            "inverter_errors": errors,
        }

    def finished(self, known: Iterable[int]) -> list[tuple[int, int]]:
        """Return action and transaction of those that are through, of some transactions."""
        wanted = set(known)
        return [
            (order.record.action, order.record.transaction)
            for order in self._orders
            if order.is_done and order.record.transaction in wanted
        ]

    def _find(self, action: int, transaction: int) -> _Order | None:
        for order in reversed(self._orders):
            if (order.record.action, order.record.transaction) == (action, transaction):
                return order
        return None

    def _carry_out(self, order: _Order, at: datetime) -> None:
        record = order.record
        effect = self._effects.get(record.action)
        for_dtu = self._dtu_effects.get(record.action)
        for serial in order.targets:
            code = order.failure or (0 if for_dtu else UNKNOWN_ACTION)
            if effect is not None and not order.failure:
                code = self._at_inverter(effect, serial, record.text, at)
            if code:
                order.errors[serial] = code
            else:
                order.succeeded.append(serial)
        if for_dtu is not None and not order.failure:
            for_dtu(order)
        unknown = effect is None and for_dtu is None
        failed = bool(order.errors or order.failure or unknown)
        record.result = Result.FAILED if failed else Result.SUCCESS

    def _at_inverter(
        self, effect: _Effect, serial: int, data: str, at: datetime
    ) -> int:
        inverter = self._dtu.inverters.get(serial)
        if inverter is None:
            return UNKNOWN_DEVICE
        if not inverter.is_reachable(at):
            return OFFLINE
        return effect(inverter, data, at)

    def _restart(self, inverter: SimulatedInverter, _: str, at: datetime) -> int:
        back = at + timedelta(seconds=self._dtu.inverter_restart_time)
        if not inverter.on:
            self._dtu.alarms.end(inverter.serial, REMOTE_OFF, at)
        inverter.restart(back)
        self._dtu.alarms.start(inverter.serial, INVERTER_STARTED, back, is_moment=True)
        return 0

    def _start(self, inverter: SimulatedInverter, _: str, at: datetime) -> int:
        if not inverter.on:
            inverter.on = True
            self._dtu.alarms.end(inverter.serial, REMOTE_OFF, at)
        return 0

    def _shut_down(self, inverter: SimulatedInverter, _: str, at: datetime) -> int:
        if inverter.on:
            inverter.on = False
            self._dtu.alarms.start(inverter.serial, REMOTE_OFF, at)
        return 0

    def _store_limit(self, inverter: SimulatedInverter, data: str, _: datetime) -> int:
        limit = _limit_in(data, _STORED_LIMIT_TEXT, _STORED_LIMITS)
        if limit is None:
            return BAD_TEXT
        inverter.stored_limit = limit
        return 0

    def _limit_for_now(
        self, inverter: SimulatedInverter, data: str, _: datetime
    ) -> int:
        if not self._dtu.has_temporary_limit:
            return UNKNOWN_ACTION
        limit = _limit_in(data, _TEMPORARY_LIMIT_TEXT, _TEMPORARY_LIMITS)
        if limit is None:
            return BAD_TEXT
        inverter.temporary_limit = limit
        return 0

    def _clear_alarms(self, inverter: SimulatedInverter, _: str, __: datetime) -> int:
        self._dtu.alarms.clear(inverter.serial)
        return 0

    def _read_grid_profile(
        self, inverter: SimulatedInverter, _: str, __: datetime
    ) -> int:
        self._dtu.profile_reports.append(inverter.serial)
        return 0

    def _collect_alarms(self, order: _Order) -> None:
        self._dtu.alarms.collect(frozenset(order.targets))


def _limit_in(data: str, pattern: re.Pattern[str], allowed: range) -> int | None:
    """Return the number in a limit's text, ``None`` if it is not right."""
    match = pattern.fullmatch(data)
    if match is None or int(match[1]) not in allowed:
        return None
    return int(match[1])
