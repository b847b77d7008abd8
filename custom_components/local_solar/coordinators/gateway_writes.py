"""Writes of a gateway's clients: through the same door as everybody else's.

A client names registers, the door takes settings. So what is written must be the words of
exactly one setting of an inverter that has an entry of its own, whose owner has switched
writing on there as well. The door then does what it always does: it checks who answers,
compares, minds the budget of the memory, reads back and records.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from homeassistant.core import Context, HomeAssistant
from homeassistant.exceptions import HomeAssistantError

from ..const import LOGGER
from ..gateway.clients import Client
from ..gateway.gateway import WriteRefusedError
from ..gateway.pdu import ExceptionCode, Request
from ..gateway.policy import Refusal
from ..growatt.time_slots import SlotCodec
from ..modbus.errors import RegisterValueError
from ..modbus.image import Space
from ..modbus.register import Register
from ..modbus_link import ModbusLink
from ..points import BATTERY_COMMAND, Value
from ..write_errors import (
    ClosedError,
    InstallerError,
    NeverWriteError,
    NotASettingError,
    TooOftenError,
    UnknownSettingError,
    WriteError,
)
from ..write_gate import Outcome
from ..writing import Asker, Writing
from .base import LocalSolarCoordinator
from .gateway_blocked import BlockedWrites
from .gateway_neighbours import loaded_on

NOT_THERE: Final = (
    InstallerError,
    NeverWriteError,
    NotASettingError,
    UnknownSettingError,
)
"""Why registers are not ones that clients can write."""

NAMED: Final = 3
"""So many settings are named that a write would touch together."""

REASONS: Final[Mapping[Refusal, str]] = {
    Refusal.NEVER: (
        "off-grid inverters reset when these registers are touched, and it is not known"
        " that this is none"
    ),
    Refusal.RANGE: "these registers are not among those that clients may use",
    Refusal.WRITES_OFF: "writing is switched off in the options of the gateway",
    Refusal.NOT_A_WRITER: (
        "this client is not among those that may write by the options of the gateway"
    ),
}
"""What is said of a write that the policy does not let through."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Setting:
    """A setting that registers stand for."""

    writing: Writing
    device: str
    row: Register


class GatewayWriter:
    """Carries out what clients of one gateway want to write."""

    def __init__(
        self, hass: HomeAssistant, link: ModbusLink, blocked: BlockedWrites
    ) -> None:
        """Write to the devices on ``link``; tell ``blocked`` what is not carried out."""
        self._hass = hass
        self._link = link
        self._blocked = blocked

    def blocked(self, request: Request, client: Client, refusal: Refusal) -> None:
        """Tell of a write that the policy does not let through."""
        self._blocked.tell(request, client, REASONS[refusal])

    async def async_write(self, request: Request, client: Client) -> None:
        """Write and read back. Raises ``WriteRefusedError``."""
        try:
            await self._async_write(request, client)
        except WriteRefusedError as err:
            if err.code is ExceptionCode.DEVICE_FAILURE:
                LOGGER.warning("%s: %s", client.name, err)
            else:
                self._blocked.tell(request, client, str(err))
            raise

    async def _async_write(self, request: Request, client: Client) -> None:
        setting = self._find(request)
        row = setting.row
        value = value_of(row, request)
        asker = Asker(context=Context(), through=f"gateway client {client.name}")
        try:
            written = await setting.writing.async_write(
                setting.device, row.key, value, asker
            )
        except HomeAssistantError as err:
            raise WriteRefusedError(_code(err.__cause__), str(err)) from err
        if written.outcome is Outcome.UNCHANGED:
            # What was sent to the device is in the log already.
            LOGGER.info("%s wrote nothing: %s is as wanted", client.name, row.key)

    def _find(self, request: Request) -> _Setting:
        """Return the setting that a client wants to write. Raises ``WriteRefusedError``."""
        is_shut = False
        for entry in loaded_on(self._hass, self._link, request.unit):
            if (writing := entry.runtime_data.writing) is not None:
                return setting_of(entry.runtime_data, writing, request)
            is_shut = True
        raise WriteRefusedError(
            ExceptionCode.ILLEGAL_FUNCTION,
            f"writing is switched off in the options of the inverter at unit"
            f" {request.unit}"
            if is_shut
            else f"no inverter at unit {request.unit} is set up whose settings are known;"
            " add it over the same connection and switch on writing in its options",
        )


def setting_of(
    coordinator: LocalSolarCoordinator, writing: Writing, request: Request
) -> _Setting:
    """Return the setting whose words a request is for, all of them and no other.

    Raises ``WriteRefusedError``.
    """
    first, end = request.address, request.address + request.length

    def is_touched(row: Register) -> bool:
        return row.space is Space.HOLDING and row.address < end and first < row.end

    if any(map(is_touched, coordinator.rows_of(BATTERY_COMMAND))):
        raise _not_there(
            f"{_place(request)} commands the battery, which nothing would end; use the"
            " action local_solar.control_battery"
        )
    touched = [
        _Setting(writing=writing, device=device.identity.id, row=row)
        for device in coordinator.devices
        for point in device.points
        if point.setting is not None
        for row in coordinator.rows_of(point.key)
        # What shows a part of a row is written as the whole row, which has its own key.
        if row.key == point.key and is_touched(row)
    ]
    if not touched:
        raise _not_there(f"{_place(request)} is not a setting")
    if len(touched) > 1:
        names = ", ".join(setting.row.key for setting in touched[:NAMED])
        raise _not_there(
            f"{_place(request)} is more than one setting ({names}...); write each by"
            " itself, with the action local_solar.set_register if they share registers"
        )
    (setting,) = touched
    row = setting.row
    if (row.address, row.end) != (first, end):
        raise _not_there(
            f"{row.key} is holding {row.address}-{row.end - 1} as a whole; write all of it"
        )
    return setting


def value_of(row: Register, request: Request) -> Value:
    """Return the value that words stand for. Raises ``WriteRefusedError``."""
    value = row.decode(list(request.words))
    if value is None or not _is_meant(row, value, request.words):
        raise WriteRefusedError(
            ExceptionCode.ILLEGAL_VALUE,
            f"{_words(request)} is no value that {row.key} can have",
        )
    return value


def _is_meant(row: Register, value: Value, words: tuple[int, ...]) -> bool:
    """Return whether words are those of a value. A slot has bits that are of no part of it."""
    if isinstance(row.codec, SlotCodec):
        return True
    try:
        return row.encode(value) == words
    except RegisterValueError:
        return True  # the door says why not


def _not_there(reason: str) -> WriteRefusedError:
    return WriteRefusedError(ExceptionCode.ILLEGAL_ADDRESS, reason)


def _code(why: BaseException | None) -> ExceptionCode:
    """Return what a client is answered to a write that the door did not let through."""
    match why:
        case TooOftenError():
            return ExceptionCode.BUSY
        case ClosedError():
            return ExceptionCode.ILLEGAL_FUNCTION
        case WriteError() if isinstance(why, NOT_THERE):
            return ExceptionCode.ILLEGAL_ADDRESS
        case WriteError() if why.callers_fault:
            return ExceptionCode.ILLEGAL_VALUE
        case _:
            return ExceptionCode.DEVICE_FAILURE


def _place(request: Request) -> str:
    if request.length == 1:
        return f"holding {request.address}"
    return f"holding {request.address}-{request.address + request.length - 1}"


def _words(request: Request) -> str:
    return " ".join(map(str, request.words))
