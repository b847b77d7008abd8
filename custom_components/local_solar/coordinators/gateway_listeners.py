"""The ways into a gateway: each is opened by itself, and again until it is open."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

from homeassistant.const import CONF_HOST, CONF_PORT
from homeassistant.core import HomeAssistant, callback
from homeassistant.helpers import issue_registry as ir

from ..const import (
    CONF_DONGLE_BAUDRATE,
    CONF_DONGLE_DEVICE,
    CONF_RTU_PORT,
    CONF_TERMINALS,
    DOMAIN,
    LOGGER,
)
from ..gateway.gateway import Gateway
from ..gateway.pty import Terminals
from ..gateway.serial_port import DonglePort
from ..gateway.server import Server
from ..guarded import why_not
from .base import LocalSolarConfigEntry

TCP: Final = "Modbus TCP"
RTU_OVER_TCP: Final = "RTU over TCP"
DONGLE: Final = "Serial port of the stick"
TERMINALS: Final = "Serial ports for programs"

PORTS_FOLDER: Final = "ports"
"""Where the links to terminals are, in our folder beside ``configuration.yaml``."""

ISSUE: Final = "gateway_cannot_listen"


MISSING: Final = "it is not there, or another program has opened it"
"""Why a serial port cannot be used that is looked for in the background."""


class Opened(Protocol):
    """What was opened and can be closed."""

    async def stop(self) -> None:
        """Close it."""


class Open(Protocol):
    """Opens a way in."""

    async def __call__(self) -> Opened:
        """Open it. Raises ``OSError``."""


@dataclass(slots=True, kw_only=True)
class Listener:
    """One way in. ``name`` and ``address`` are for people."""

    name: str
    address: str
    open: Open
    opened: Opened | None = None
    error: str | None = None
    """Why it could not be opened when that was last tried."""

    @property
    def is_open(self) -> bool:
        """Whether somebody could come in."""
        return self.opened is not None and not _is_missing(self.opened)

    async def async_look(self) -> None:
        """Open it, or look whether it still is."""
        if self.opened is not None:
            self.error = MISSING if _is_missing(self.opened) else None
            return
        try:
            self.opened = await self.open()
        except OSError as err:
            self.error = why_not(err)
        else:
            self.error = None


@dataclass(slots=True, kw_only=True)
class Listeners:
    """All ways into the gateway of an entry."""

    hass: HomeAssistant
    entry: LocalSolarConfigEntry
    listeners: tuple[Listener, ...]
    is_closed: bool = False

    async def async_open(self) -> None:
        """Open those that are not open yet; say of each once why that cannot be."""
        for listener in self.listeners:
            if not self.is_closed:
                await self._async_look(listener)

    async def _async_look(self, listener: Listener) -> None:
        before = listener.error
        await listener.async_look()
        if self.is_closed:
            # The entry was unloaded meanwhile.
            await _async_close(listener)
            return
        if listener.error == before:
            return
        if listener.error is None:
            issue = listener_issue(self.entry, listener.name)
            ir.async_delete_issue(self.hass, DOMAIN, issue)
        else:
            self._report(listener, listener.error)
        if MISSING not in (before, listener.error):
            self._log(listener)

    def _log(self, listener: Listener) -> None:
        """Log what has become of a way in. A port that is looked for logs that itself."""
        if listener.error is None:
            LOGGER.info("%s: %s is open", self.entry.title, listener.name)
            return
        LOGGER.warning(
            "%s: %s cannot be opened at %s: %s",
            self.entry.title,
            listener.name,
            listener.address,
            listener.error,
        )

    @callback
    def _report(self, listener: Listener, error: str) -> None:
        ir.async_create_issue(
            self.hass,
            DOMAIN,
            listener_issue(self.entry, listener.name),
            is_fixable=False,
            severity=ir.IssueSeverity.WARNING,
            translation_key=ISSUE,
            translation_placeholders={
                "gateway": self.entry.title,
                "listener": listener.name,
                "address": listener.address,
                "error": error,
            },
        )

    async def async_close(self) -> None:
        """Close all for good, and take back what was said of them."""
        self.is_closed = True
        for listener in self.listeners:
            await _async_close(listener)
        forget_listener_issues(self.hass, self.entry)


async def _async_close(listener: Listener) -> None:
    opened, listener.opened = listener.opened, None
    listener.error = None
    if opened is not None:
        await opened.stop()


def listeners_of(
    hass: HomeAssistant, entry: LocalSolarConfigEntry, gateway: Gateway
) -> Listeners:
    """Return the ways into a gateway that its owner has chosen."""
    data, ways = entry.data, list[Listener]()
    host: str = data[CONF_HOST]

    def listen(name: str, port: int, *, rtu: bool) -> None:
        async def open_it() -> Server:
            server = Server(gateway, rtu=rtu)
            try:
                await server.start(host, port)
            except OSError:
                await server.stop()
                raise
            return server

        ways.append(Listener(name=name, address=_address(host, port), open=open_it))

    listen(TCP, data[CONF_PORT], rtu=False)
    if rtu_port := data.get(CONF_RTU_PORT):
        listen(RTU_OVER_TCP, rtu_port, rtu=True)
    if device := data.get(CONF_DONGLE_DEVICE):
        baudrate = int(data[CONF_DONGLE_BAUDRATE])

        async def open_port() -> DonglePort:
            port = DonglePort(gateway, device, baudrate, unit=min(gateway.units))
            await port.start()
            return port

        ways.append(Listener(name=DONGLE, address=device, open=open_port))
    if count := data.get(CONF_TERMINALS):
        folder = ports_folder(hass, entry)

        async def open_terminals() -> Terminals:
            terminals = Terminals(gateway, folder, count)
            await terminals.start()
            return terminals

        ways.append(Listener(name=TERMINALS, address=str(folder), open=open_terminals))
    return Listeners(hass=hass, entry=entry, listeners=tuple(ways))


def ports_folder(hass: HomeAssistant, entry: LocalSolarConfigEntry) -> Path:
    """Return where the links to the terminals of a gateway are: each has a folder to itself."""
    first = next(
        other.entry_id
        for other in hass.config_entries.async_entries(DOMAIN)
        if other.data.get(CONF_TERMINALS)
    )
    name = PORTS_FOLDER
    if entry.entry_id != first:
        name = f"{PORTS_FOLDER}_{entry.entry_id}"
    return Path(hass.config.path(DOMAIN, name))


def _is_missing(opened: Opened) -> bool:
    """Return whether it is a serial port that is being looked for."""
    return isinstance(opened, DonglePort) and not opened.is_open


def listener_issue(entry: LocalSolarConfigEntry, listener: str) -> str:
    """Return the id of the issue that a way in cannot be opened."""
    return f"{ISSUE}_{entry.entry_id}_{listener.lower().replace(' ', '_')}"


@callback
def forget_listener_issues(hass: HomeAssistant, entry: LocalSolarConfigEntry) -> None:
    """Take back what was said of the ways into the gateway of an entry."""
    for name in (TCP, RTU_OVER_TCP, DONGLE, TERMINALS):
        ir.async_delete_issue(hass, DOMAIN, listener_issue(entry, name))


def _address(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
