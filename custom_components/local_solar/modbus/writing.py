"""What drivers of Modbus devices need to write a setting: words, patience, reasons."""

import asyncio
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any, Final

from modbus_connection import (
    AcknowledgeError,
    ModbusConnectionError,
    ModbusError,
    ModbusTimeoutError,
    ModbusUnit,
)

from ..points import Value, Wanted
from ..values import as_text
from ..write_errors import DeviceError, InvalidValueError, RefusedError, WriteError
from .errors import RegisterValueError, ValueNotAnOptionError, ValueOutOfRangeError
from .reader import is_refusal
from .register import Register

SEND_PATIENCE: Final = 10.0
"""Seconds in which a message must have been answered, time in the link's queue included."""


async def async_patiently(unit: ModbusUnit, message: Coroutine[Any, Any, None]) -> None:
    """Wait for the answer to a message, but not for as long as the link would.

    The link repeats what a busy device does not take (exception 6) for a minute, and opens
    itself anew when it is lost. By then another device may have come, so what has not been
    answered when the link is lost is not sent any more. Raises ``ModbusError``.
    """
    task = asyncio.ensure_future(message)
    is_lost = False

    def give_up() -> None:
        nonlocal is_lost
        is_lost = True
        task.cancel()

    stop_watching = unit.on_connection_lost(give_up)
    try:
        async with asyncio.timeout(SEND_PATIENCE):
            with suppress(AcknowledgeError):  # understood; it takes its time
                await task
    except ModbusError:
        raise
    except TimeoutError:
        raise ModbusTimeoutError(f"not taken within {SEND_PATIENCE:g} s") from None
    except asyncio.CancelledError:
        if not is_lost:
            raise
        raise ModbusConnectionError("the connection was lost meanwhile") from None
    finally:
        stop_watching()


def failure_of(err: ModbusError) -> WriteError:
    """Return what an error means for what was to be written."""
    if is_refusal(err):
        return RefusedError(str(err))
    return DeviceError(str(err))


def encode_setting(row: Register, value: Value) -> tuple[int, ...]:
    """Return the words of a value. Raises ``InvalidValueError`` with the table's reason."""
    try:
        return row.encode(value)
    except RegisterValueError as err:
        raise InvalidValueError(
            _kind(err), err.reason, register=row.key, value=as_text(value)
        ) from err


def does_not_fit(row: Register, wanted: Wanted, why: str) -> InvalidValueError:
    """Return that a value is not one that a row can hold, and why."""
    return InvalidValueError(
        "value_not_representable", why, register=row.key, value=as_text(wanted)
    )


def _kind(err: RegisterValueError) -> str:
    """Return the key of the message about a value."""
    match err:
        case ValueOutOfRangeError():
            return "value_out_of_range"
        case ValueNotAnOptionError():
            return "value_not_an_option"
        case _:
            return "value_not_representable"
