"""The serial port on which the maker's stick finds us in the place of its inverter.

A Shine stick has the inverter's port for itself. On a port of our own it gets the same
answers, while others use the inverter as well. It asks unit 0 who is there when it starts,
and the inverter answers as unit 1 (recorded of a MIN 6000TL-XH, at 115200 baud, 8N1).
"""

import asyncio
import logging
from typing import Final, override

from serialx import SerialException, create_serial_connection

from .clients import Client, ClientKind
from .rtu_session import Host, RtuSession

_LOGGER = logging.getLogger(__name__)

BAUDRATE: Final = 115200

RETRY_AFTER: Final = 5.0
"""Seconds after which a port is looked for again that is not there."""

OPENED_WITHIN: Final = 10.0
"""Seconds in which a port must be open; a driver that hangs takes longer."""

CLOSED_WITHIN: Final = 5.0
"""Seconds after which a driver that hangs is left alone with closing the port."""

WRITE_BUFFER: Final = 1_024
"""Octets of answers that may wait for the line: four long ones."""

NAME: Final = "dongle"


class DonglePort:
    """Keeps a serial port open and answers the stick there. The port may come and go."""

    def __init__(
        self,
        gateway: Host,
        device: str,
        baudrate: int = BAUDRATE,
        *,
        unit: int = 1,
        retry_after: float = RETRY_AFTER,
    ) -> None:
        """Answer on ``device`` as the inverter with the unit id ``unit``.

        Args:
            gateway: is asked.
            device: path of the serial port.
            baudrate: of the stick: 115200, of old ones 9600.
            unit: the inverter that the stick means when it asks unit 0.
            retry_after: seconds between two attempts to open a port that is not there.

        """
        self._gateway = gateway
        self._device = device
        self._baudrate = baudrate
        self._unit = unit
        self._retry_after = retry_after
        self._keeper: asyncio.Task[None] | None = None
        self._line: _Line | None = None
        self._is_missed = False
        """Whether the log says that the port is not there."""

    @property
    def is_open(self) -> bool:
        """Whether the stick can be answered."""
        return self._line is not None and self._line.is_open

    async def start(self) -> None:
        """Begin to look for the port. It does not have to be there."""
        self._keeper = asyncio.create_task(
            self._keep_open(), name=f"local_solar {self._device}"
        )

    async def stop(self) -> None:
        """Close the port."""
        if self._keeper is not None:
            self._keeper.cancel()
            await asyncio.wait((self._keeper,), timeout=CLOSED_WITHIN)
            self._keeper = None

    async def _keep_open(self) -> None:
        """Open the port whenever it is there, one attempt at a time."""
        while True:
            try:
                await self._serve()
                why = "it was lost"
            except (OSError, SerialException, ValueError) as err:
                why = str(err) or type(err).__name__
            except Exception:
                why = "unexpected error"
                if not self._is_missed:
                    _LOGGER.exception("Unexpected error on %s", self._device)
            if not self._is_missed:
                self._is_missed = True
                _LOGGER.warning(
                    "The dongle is not answered: %s (%s). The port is looked for every"
                    " %d s",
                    self._device,
                    why,
                    self._retry_after,
                )
            await asyncio.sleep(self._retry_after)

    async def _serve(self) -> None:
        """Answer on the port until it is lost.

        Raises ``OSError``, ``SerialException`` or ``ValueError`` if it cannot be opened.
        """
        loop = asyncio.get_running_loop()
        line = _Line(self._gateway, self._unit)
        try:
            async with asyncio.timeout(OPENED_WITHIN):
                await create_serial_connection(
                    loop, lambda: line, url=self._device, baudrate=self._baudrate
                )
            self._line = line
            if self._is_missed:
                self._is_missed = False
                _LOGGER.info("The dongle is answered again on %s", self._device)
            await asyncio.shield(line.lost)
        finally:
            self._line = None
            await line.async_close()


class _Line(asyncio.Protocol):
    """The port while it is open."""

    def __init__(self, gateway: Host, unit: int) -> None:
        self.lost = asyncio.get_running_loop().create_future()
        """Is done when the port has been closed, by whomever."""
        self._gateway = gateway
        self._client = Client(name=NAME, kind=ClientKind.DONGLE, peer=NAME)
        self._session = RtuSession(gateway, self._client, self._write, stand_in=unit)
        self._transport: asyncio.Transport | None = None

    @property
    def is_open(self) -> bool:
        """Whether something can come."""
        return self._transport is not None and not self._transport.is_closing()

    async def async_close(self) -> None:
        """Close the port, if it is open, and wait for that."""
        if self._transport is not None:
            self._transport.abort()
            await self.lost

    @override
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._gateway.join(self._client)

    @override
    def data_received(self, data: bytes) -> None:
        self._session.feed(data)

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self._session.close()
        self._gateway.leave(self._client)
        self.lost.set_result(None)

    def _write(self, octets: bytes) -> None:
        """Send an answer as a whole, or not at all."""
        if self._transport is None or self._transport.is_closing():
            return
        if self._transport.get_write_buffer_size() + len(octets) > WRITE_BUFFER:
            self._gateway.statistics.unread += 1
            return
        self._transport.write(octets)
