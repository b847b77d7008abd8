"""An inverter behind a logger as a Modbus unit, so that the driver of inverters works on it.

Holding registers are read and written by commands of the logger. Input registers cannot be
asked for: they are those of the last record.
"""

from collections.abc import Callable, Iterable
import time
from typing import Final

from modbus_connection import (
    IllegalDataAddressError,
    IllegalFunctionError,
    ModbusConnectionError,
    ModbusExceptionError,
    ModbusProtocolError,
    ModbusTimeoutError,
)

from .commands import GoneError, NoAnswerError
from .records import (
    ACCEPTED,
    Answer,
    Block,
    Command,
    read_holding,
    write_holding,
    write_holdings,
)
from .session import Session

FRESH: Final = 1800.0
"""Seconds for which the input registers of a record are given to who asks."""


class RegistersOnly:
    """A unit that serves no registers; units of this module serve some."""

    @property
    def connected(self) -> bool:
        """Whether its line is up."""
        return True

    async def read_holding_registers(self, address: int, count: int) -> list[int]:
        """Read holding registers. All of these raise ``ModbusError``."""
        raise IllegalFunctionError

    async def read_input_registers(self, address: int, count: int) -> list[int]:
        """Read input registers."""
        raise IllegalFunctionError

    async def write_register(self, address: int, value: int) -> None:
        """Write one holding register."""
        raise IllegalFunctionError

    async def write_registers(self, address: int, values: list[int]) -> None:
        """Write holding registers together."""
        raise IllegalFunctionError

    async def read_coils(self, address: int, count: int) -> list[bool]:
        """Refuse, like all that follow: loggers know no such function."""
        raise IllegalFunctionError

    async def read_discrete_inputs(self, address: int, count: int) -> list[bool]:
        """Refuse."""
        raise IllegalFunctionError

    async def write_coil(self, address: int, value: bool) -> None:
        """Refuse."""
        raise IllegalFunctionError

    async def write_coils(self, address: int, values: list[bool]) -> None:
        """Refuse."""
        raise IllegalFunctionError

    async def read_exception_status(self) -> int:
        """Refuse."""
        raise IllegalFunctionError

    async def report_server_id(self) -> bytes:
        """Refuse."""
        raise IllegalFunctionError

    async def mask_write_register(
        self, address: int, and_mask: int, or_mask: int
    ) -> None:
        """Refuse."""
        raise IllegalFunctionError

    async def read_write_registers(
        self,
        read_address: int,
        read_count: int,
        write_address: int,
        write_values: list[int],
    ) -> list[int]:
        """Refuse."""
        raise IllegalFunctionError

    async def read_fifo_queue(self, address: int) -> list[int]:
        """Refuse."""
        raise IllegalFunctionError

    async def read_device_identification(self) -> dict[int, bytes]:
        """Refuse."""
        raise IllegalFunctionError

    async def read_file_record(self, file: int, record: int, length: int) -> list[int]:
        """Refuse."""
        raise IllegalFunctionError

    async def write_file_record(
        self, file: int, record: int, values: list[int]
    ) -> None:
        """Refuse."""
        raise IllegalFunctionError

    async def diagnostics(self, sub_function: int, data: int = 0) -> int:
        """Refuse."""
        raise IllegalFunctionError

    async def get_comm_event_counter(self) -> tuple[bool, int]:
        """Refuse."""
        raise IllegalFunctionError

    async def get_comm_event_log(self) -> bytes:
        """Refuse."""
        raise IllegalFunctionError

    def set_message_spacing(self, seconds: float) -> None:
        """Do nothing: a session keeps its own pace."""

    def require_timeout(self, seconds: float | None) -> None:
        """Do nothing: a session has its own patience."""

    def require_connect_delay(self, seconds: float | None) -> None:
        """Do nothing: loggers connect to us."""

    def on_connection_lost(self, callback: Callable[[], None]) -> Callable[[], None]:
        """Return what ends the wish to be told; it never happens."""
        return lambda: None

    async def disconnect(self) -> None:
        """Do nothing."""


class RecordedUnit(RegistersOnly):
    """What was reported of an inverter, for who wants to know what it is."""

    def __init__(self, holding: Iterable[Block], inputs: Iterable[Block]) -> None:
        """Serve the registers of an announcement and of a live record."""
        self._holding = tuple(holding)
        self._inputs = tuple(inputs)

    async def read_holding_registers(self, address: int, count: int) -> list[int]:
        """Return words, or refuse those that were not reported."""
        return words_in(self._holding, address, count)

    async def read_input_registers(self, address: int, count: int) -> list[int]:
        """Return words, or refuse those that were not reported."""
        return words_in(self._inputs, address, count)


class StickUnit(RegistersOnly):
    """An inverter as far as its logger lets one reach it.

    Loggers come and go; the unit stays, and says when its line broke.
    """

    def __init__(self) -> None:
        """Have no line yet."""
        self._session: Session | None = None
        self._number = 0
        self._inputs: tuple[Block, ...] = ()
        self._heard = 0.0
        self._on_lost: list[Callable[[], None]] = []

    # -- its line -----------------------------------------------------------------

    @property
    def connected(self) -> bool:
        """Whether its logger is connected."""
        return self._session is not None

    @property
    def number(self) -> int:
        """The unit that it is behind its logger."""
        return self._number

    def attach(self, session: Session, number: int) -> None:
        """Be reached by a session from now on, as a unit of its logger."""
        if self._session is session and self._number == number:
            return
        self.detach()
        self._session, self._number = session, number

    def detach(self) -> None:
        """Have no line any more, and tell who wants to know."""
        if self._session is None:
            return
        self._session = None
        for callback in list(self._on_lost):
            callback()

    def is_reached_by(self, session: Session, number: int | None = None) -> bool:
        """Return whether a session is its line, as a certain unit if one is given."""
        return self._session is session and number in (None, self._number)

    def on_connection_lost(self, callback: Callable[[], None]) -> Callable[[], None]:
        """Call back when the line breaks; return what ends that."""
        self._on_lost.append(callback)

        def stop() -> None:
            if callback in self._on_lost:
                self._on_lost.remove(callback)

        return stop

    def reported(self, inputs: tuple[Block, ...]) -> None:
        """Take in the input registers of a live record."""
        self._inputs, self._heard = inputs, time.monotonic()

    # -- its registers ------------------------------------------------------------

    async def read_input_registers(self, address: int, count: int) -> list[int]:
        """Return words of the last record; raise ``ModbusError`` if there is none."""
        if not self._inputs or time.monotonic() - self._heard > FRESH:
            raise ModbusTimeoutError("the logger has not reported for too long")
        return words_in(self._inputs, address, count)

    async def read_holding_registers(self, address: int, count: int) -> list[int]:
        """Have the logger read words; raise ``ModbusError``."""
        answer = await self._tell(read_holding(self._number, address, count))
        if len(answer.words) != count:
            raise IllegalDataAddressError(
                message=f"the logger gives no value of holding {address}"
            )
        return list(answer.words)

    async def write_register(self, address: int, value: int) -> None:
        """Have the logger write a word; raise ``ModbusError``."""
        await self._write(write_holding(self._number, address, value))

    async def write_registers(self, address: int, values: list[int]) -> None:
        """Have the logger write words together; raise ``ModbusError``."""
        await self._write(write_holdings(self._number, address, values))

    async def _write(self, command: Command) -> None:
        answer = await self._tell(command)
        if answer.status != ACCEPTED:
            raise ModbusExceptionError.from_code(
                answer.status, f"the logger reports status {answer.status}"
            )

    async def _tell(self, command: Command) -> Answer:
        """Tell the logger; raise ``ModbusError`` in the place of its own errors."""
        session = self._session
        if session is None:
            raise ModbusConnectionError("its logger is not connected")

        def is_its_line() -> bool:
            return self.is_reached_by(session, command.unit)

        try:
            answer = await session.commands.run(command, is_its_line)
        except NoAnswerError as err:
            raise ModbusTimeoutError(str(err)) from err
        except GoneError as err:
            raise ModbusConnectionError("its line broke") from err
        if not is_its_line():
            raise ModbusConnectionError("it has another line now")
        if not isinstance(answer, Answer) or answer.last != command.last:
            raise ModbusProtocolError(f"{command.name}: the answer is about others")
        return answer


def words_in(blocks: Iterable[Block], address: int, count: int) -> list[int]:
    """Return words of blocks. Raises ``IllegalDataAddressError`` if they do not have them."""
    found: list[int] = []
    for first, words in sorted(blocks):
        at = address + len(found)
        if first <= at < first + len(words):
            found += words[at - first : address + count - first]
            if len(found) == count:
                return found
    raise IllegalDataAddressError(message=f"register {address} was not reported")
