"""Forms that ask how a Modbus device is reached, and reading what was filled in."""

from collections.abc import Mapping
from typing import Any, Final

import probatio

from homeassistant.components import usb
from homeassistant.const import CONF_DEVICE, CONF_HOST, CONF_PORT
from homeassistant.core import HomeAssistant
from homeassistant.data_entry_flow import section
from homeassistant.helpers.selector import (
    BooleanSelector,
    NumberSelector,
    NumberSelectorConfig,
    NumberSelectorMode,
    SelectSelector,
    SelectSelectorConfig,
    SelectSelectorMode,
    SerialPortSelector,
    TextSelector,
)

from ..const import CONF_UNIT_ID, DEFAULT_UNIT_ID
from ..modbus_link import SOCKET_PREFIX, ModbusLink

CONF_BAUDRATE: Final = "baudrate"
CONF_SEARCH: Final = "search"
SECTION_MORE: Final = "more_options"

TCP: Final = "tcp"
RTU_TCP: Final = "rtu_tcp"
SERIAL: Final = "serial"
KINDS: Final = (TCP, RTU_TCP, SERIAL)

BAUDRATES: Final = ("9600", "38400", "115200")
"""Speeds that inverters are set to (holding 22) and that of the USB port."""

DEFAULT_PORTS: Final[Mapping[str, int]] = {TCP: 502, RTU_TCP: 8899}

type UserInput = dict[str, Any]


def number(minimum: int, maximum: int, unit: str | None = None) -> probatio.All[int]:
    """Return the validator of a whole number in a box."""
    config = NumberSelectorConfig(
        min=minimum, max=maximum, step=1, mode=NumberSelectorMode.BOX
    )
    if unit is not None:
        config["unit_of_measurement"] = unit
    return probatio.All(NumberSelector(config), probatio.Coerce(int))


def unit_section(unit_id: int = DEFAULT_UNIT_ID) -> dict[probatio.Marker, object]:
    """Return the collapsed part of a form: the unit id, or a search for it."""
    return {
        probatio.Required(SECTION_MORE): section(
            probatio.Schema(
                {
                    probatio.Required(CONF_UNIT_ID, default=unit_id): number(1, 247),
                    probatio.Required(CONF_SEARCH, default=False): BooleanSelector(),
                }
            ),
            {"collapsed": True},
        )
    }


def link_fields(kind: str) -> dict[probatio.Marker, object]:
    """Return the fields that ask for one kind of link."""
    if kind == SERIAL:
        return {
            probatio.Required(CONF_DEVICE): SerialPortSelector(),
            probatio.Required(CONF_BAUDRATE, default=BAUDRATES[0]): baudrate_selector(),
        }
    return {
        probatio.Required(CONF_HOST): TextSelector(),
        probatio.Required(CONF_PORT, default=DEFAULT_PORTS[kind]): number(1, 65535),
    }


def baudrate_selector() -> SelectSelector:
    """Return a drop-down of the speeds of serial lines."""
    return SelectSelector(
        SelectSelectorConfig(options=list(BAUDRATES), mode=SelectSelectorMode.DROPDOWN)
    )


def link_schema(kind: str) -> probatio.Schema:
    """Return the form for one kind of link, and a unit on it."""
    return probatio.Schema({**link_fields(kind), **unit_section()})


async def link_from_input(
    hass: HomeAssistant, kind: str, user_input: UserInput
) -> ModbusLink:
    """Return the link that a form describes, in the one spelling that is shared."""
    if kind == SERIAL:
        device = await hass.async_add_executor_job(
            usb.get_serial_by_id, user_input[CONF_DEVICE].strip()
        )
        return ModbusLink(device=device, baudrate=int(user_input[CONF_BAUDRATE]))
    host = user_input[CONF_HOST].strip().strip("[]").lower()
    if kind == RTU_TCP:
        return ModbusLink.rtu_over_tcp(host, user_input[CONF_PORT])
    return ModbusLink(host=host, port=user_input[CONF_PORT])


def kind_of(link: ModbusLink) -> str:
    """Return which form a link was entered with."""
    if link.host is not None:
        return TCP
    return RTU_TCP if link.is_socket else SERIAL


def fields_from_link(link: ModbusLink) -> UserInput:
    """Return what the fields of ``link_fields`` hold to describe a link."""
    if link.host is not None:
        return {CONF_HOST: link.host, CONF_PORT: link.port}
    device = link.device or ""
    if link.is_socket:
        host, _, port = device.removeprefix(SOCKET_PREFIX).rpartition(":")
        return {CONF_HOST: host.strip("[]"), CONF_PORT: int(port)}
    return {CONF_DEVICE: device, CONF_BAUDRATE: str(link.baudrate)}


def input_from_link(link: ModbusLink, unit_id: int) -> UserInput:
    """Return what a form must hold to describe a link and a unit on it."""
    return {
        **fields_from_link(link),
        SECTION_MORE: {CONF_UNIT_ID: unit_id, CONF_SEARCH: False},
    }
