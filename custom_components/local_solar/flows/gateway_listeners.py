"""The step that asks how other programs reach a gateway."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

import probatio

from homeassistant.components import usb
from homeassistant.config_entries import ConfigEntry, ConfigFlowResult
from homeassistant.const import CONF_HOST, CONF_PORT
from homeassistant.helpers.selector import SerialPortSelector

from ..const import (
    CONF_DONGLE_BAUDRATE,
    CONF_DONGLE_DEVICE,
    CONF_KIND,
    CONF_LINK,
    CONF_RTU_PORT,
    CONF_TERMINALS,
    CONF_UNITS,
    DEFAULT_GATEWAY_PORT,
    KIND_GATEWAY,
)
from ..gateway.pty import MOST_TERMINALS
from ..modbus_link import ModbusLink
from .listening import LOOPBACK, async_address_selector, async_try_listening, own_ports
from .modbus_link import BAUDRATES, UserInput, baudrate_selector, number
from .reconfigured import ReconfigurableFlow
from .trial import FormError

NONE: Final = 0
"""The port and the number of terminals that mean: none."""

DONGLE_BAUDRATE: Final = BAUDRATES[-1]
"""Speed at which an inverter talks to its stick over USB (recording of a MIN TL-XH)."""

_FIELDS: Final = (
    CONF_HOST,
    CONF_PORT,
    CONF_RTU_PORT,
    CONF_TERMINALS,
    CONF_DONGLE_DEVICE,
    CONF_DONGLE_BAUDRATE,
)


class GatewayListenersFlow(ReconfigurableFlow):
    """The end of the steps that add or change a gateway: its bus is known."""

    _bus: ModbusLink | None = None
    _bus_units: Sequence[int] = ()

    def _other_entries(self) -> list[ConfigEntry]:
        """Return all entries but the one that is changed."""
        own = self._reconfigured
        entries = self._async_current_entries(include_ignore=False)
        return [entry for entry in entries if entry is not own]

    async def async_step_gateway_listeners(
        self, user_input: UserInput | None = None
    ) -> ConfigFlowResult:
        """Ask how other programs reach the gateway, and see whether that can be."""
        entry = self._reconfigured
        if self._bus is None and entry is not None:
            self._bus = ModbusLink.from_json(entry.data[CONF_LINK])
            self._bus_units = entry.data[CONF_UNITS]
        assert self._bus is not None
        err: FormError | None = None
        if user_input is not None:
            try:
                return self._finish_gateway(
                    self._bus, await self._async_listeners(self._bus, user_input)
                )
            except FormError as failure:
                err = failure
        suggested = user_input or (_listeners_input(entry.data) if entry else {})
        return self.async_show_form(
            step_id="gateway_listeners",
            data_schema=self.add_suggested_values_to_schema(
                await self._listeners_schema(), suggested
            ),
            errors={err.field: err.key} if err else {},
            description_placeholders={
                "link": self._bus.address,
                **(err.placeholders if err else {}),
            },
        )

    async def _listeners_schema(self) -> probatio.Schema:
        return probatio.Schema(
            {
                probatio.Required(
                    CONF_HOST, default=LOOPBACK
                ): await async_address_selector(self.hass, loopback_first=True),
                probatio.Required(CONF_PORT, default=DEFAULT_GATEWAY_PORT): number(
                    1, 65535
                ),
                probatio.Required(CONF_RTU_PORT, default=NONE): number(0, 65535),
                probatio.Required(CONF_TERMINALS, default=NONE): number(
                    0, MOST_TERMINALS
                ),
                probatio.Optional(CONF_DONGLE_DEVICE): SerialPortSelector(),
                probatio.Required(
                    CONF_DONGLE_BAUDRATE, default=DONGLE_BAUDRATE
                ): baudrate_selector(),
            }
        )

    async def _async_listeners(
        self, bus: ModbusLink, user_input: UserInput
    ) -> dict[str, object]:
        """Return what is stored of the form. Raises ``FormError`` if it cannot be had."""
        entry = self._reconfigured
        host = user_input[CONF_HOST].strip()
        ports = [user_input[key] for key in (CONF_PORT, CONF_RTU_PORT)]
        if ports[0] == ports[1]:
            raise FormError("same_port", field=CONF_RTU_PORT)
        own = own_ports(entry, CONF_PORT, CONF_RTU_PORT)
        for port in filter(None, ports):
            await async_try_listening(host, port, own)
        dongle = (user_input.get(CONF_DONGLE_DEVICE) or "").strip()
        if dongle:
            dongle = await self.hass.async_add_executor_job(
                _dongle_port,
                dongle,
                [*self._used_devices(bus)],
                entry.data[CONF_DONGLE_DEVICE] if entry is not None else "",
            )
        return {
            **{key: user_input[key] for key in _FIELDS if key in user_input},
            CONF_HOST: host,
            CONF_DONGLE_DEVICE: dongle,
        }

    def _used_devices(self, bus: ModbusLink) -> Iterator[str]:
        """Go through the serial ports that have other tasks."""
        for entry in self._other_entries():
            yield from filter(
                None,
                (
                    entry.data.get(CONF_LINK, {}).get("device"),
                    entry.data.get(CONF_DONGLE_DEVICE),
                ),
            )
        if bus.device is not None:
            yield bus.device

    def _finish_gateway(
        self, bus: ModbusLink, listeners: Mapping[str, object]
    ) -> ConfigFlowResult:
        data = {
            CONF_KIND: KIND_GATEWAY,
            CONF_LINK: bus.to_json(),
            CONF_UNITS: list(self._bus_units),
            **listeners,
        }
        if (entry := self._reconfigured) is None:
            return self.async_create_entry(title=_title(bus), data=data)
        before = _title(ModbusLink.from_json(entry.data[CONF_LINK]))
        # A name that the owner gave stays.
        title = _title(bus) if entry.title == before else entry.title
        return self.async_update_reload_and_abort(entry, title=title, data_updates=data)


def _title(bus: ModbusLink) -> str:
    return f"Modbus gateway ({bus.address})"


def _listeners_input(data: Mapping[str, object]) -> UserInput:
    """Return what the form holds at first to give what is stored."""
    return {key: data[key] for key in _FIELDS if data[key] != ""}


def _dongle_port(typed: str, used: Iterable[str], current: str) -> str:
    """Return a serial port in the spelling that does not change. Looks at the disk.

    ``used`` are ports that have other tasks, ``current`` is the one that the entry has: it
    may be unplugged for now. Raises ``FormError``.
    """
    device = usb.get_serial_by_id(typed)
    place = Path(device).resolve()
    if any(Path(other).resolve() == place for other in used):
        raise FormError("dongle_port_used", field=CONF_DONGLE_DEVICE, device=device)
    if device != current and "://" not in device and not place.exists():
        raise FormError("port_missing", field=CONF_DONGLE_DEVICE, address=device)
    return device
