"""Options of a gateway: who may do what, and how the bus is treated."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, override

import probatio

from homeassistant.config_entries import ConfigFlowResult
from homeassistant.helpers.selector import (
    BooleanSelector,
    NumberSelector,
    NumberSelectorConfig,
    NumberSelectorMode,
    TextSelector,
    TextSelectorConfig,
)

from ..const import (
    CONF_DONGLE_DEVICE,
    CONF_DONGLE_WRITES,
    CONF_LEAST_GAP,
    CONF_MAX_AGE,
    CONF_PEERS,
    CONF_RANGES,
    CONF_REQUEST_TIMEOUT,
    CONF_WRITE_ACCESS,
    CONF_WRITERS,
    DEFAULT_LEAST_GAP,
    DEFAULT_MAX_AGE,
    DEFAULT_REQUEST_TIMEOUT,
    WRITE_CONFIRM,
    WRITE_DISABLED,
)
from ..gateway.policy import Span, parse_network
from .modbus_link import number
from .trial import FormError
from .write_access import WriteAccessFlow, choice

MOST_AGE: Final = 10
LEAST_TIMEOUT: Final = 0.5
MOST_TIMEOUT: Final = 10
MOST_GAP: Final = 2000

LEAST_PREFIX: Final[Mapping[int, int]] = {4: 8, 6: 7}
"""Bits that the network of a writer has at least, by version of IP: those of the largest
networks that are private (10.0.0.0/8 and fc00::/7)."""


def _seconds(minimum: float, maximum: float) -> NumberSelector:
    return NumberSelector(
        NumberSelectorConfig(
            min=minimum,
            max=maximum,
            step=0.1,
            mode=NumberSelectorMode.BOX,
            unit_of_measurement="s",
        )
    )


_LINES: Final = TextSelector(TextSelectorConfig(multiple=True))

READING: Final = {
    probatio.Required(CONF_PEERS, default=list): _LINES,
    probatio.Required(CONF_RANGES, default=list): _LINES,
    probatio.Required(CONF_MAX_AGE, default=DEFAULT_MAX_AGE): _seconds(0, MOST_AGE),
    probatio.Required(CONF_REQUEST_TIMEOUT, default=DEFAULT_REQUEST_TIMEOUT): _seconds(
        LEAST_TIMEOUT, MOST_TIMEOUT
    ),
    probatio.Required(CONF_LEAST_GAP, default=DEFAULT_LEAST_GAP): number(
        0, MOST_GAP, "ms"
    ),
}

WRITING: Final = {
    probatio.Required(CONF_WRITE_ACCESS, default=WRITE_DISABLED): choice(
        WRITE_DISABLED, WRITE_CONFIRM, key="gateway_write_access"
    ),
    probatio.Required(CONF_WRITERS, default=list): _LINES,
}

DONGLE: Final = {
    probatio.Required(CONF_DONGLE_WRITES, default=False): BooleanSelector(),
}


class GatewayOptionsFlow(WriteAccessFlow):
    """Who may read, who may write, and how much the bus is spared.

    Its forms have texts of their own: who writes through a gateway is not asked again.
    """

    _form = "gateway"
    _acknowledgement = "gateway_acknowledge"

    async def async_step_gateway(
        self, user_input: dict[str, Any] | None = None
    ) -> ConfigFlowResult:
        """Take the options."""
        return await self.async_step_init(user_input)

    async def async_step_gateway_acknowledge(
        self, user_input: dict[str, Any] | None = None
    ) -> ConfigFlowResult:
        """Take the acknowledgement."""
        return await self.async_step_acknowledge(user_input)

    @property
    @override
    def _schema(self) -> probatio.Schema:
        has_dongle = bool(self.config_entry.data[CONF_DONGLE_DEVICE])
        return probatio.Schema({**READING, **WRITING, **(DONGLE if has_dongle else {})})

    @override
    def _cleaned(self, user_input: dict[str, Any]) -> dict[str, Any]:
        cleaned = user_input | {
            CONF_PEERS: _lines(user_input, CONF_PEERS, "bad_network", _network),
            CONF_RANGES: _lines(user_input, CONF_RANGES, "bad_registers", _registers),
            CONF_WRITERS: _lines(user_input, CONF_WRITERS, "bad_network", _network),
        }
        _check_writers(cleaned)
        return cleaned


def _lines(
    user_input: Mapping[str, Any], field: str, key: str, read: Callable[[str], str]
) -> list[str]:
    """Return what ``read`` makes of the lines of a field that are not empty.

    Raises ``FormError`` with the first line that it cannot read.
    """
    lines: Iterable[str] = filter(None, map(str.strip, user_input[field]))
    try:
        # One that is given twice is kept once.
        return list(dict.fromkeys(map(read, lines)))
    except ValueError as err:
        raise FormError(key, field=field, error=str(err)) from None


def _network(text: str) -> str:
    """Return a network as it is stored, without a host's needless ``/32``."""
    network = parse_network(text)
    is_host = network.num_addresses == 1
    return str(network.network_address) if is_host else str(network)


def _registers(text: str) -> str:
    return str(Span.parse(text))


def _check_writers(options: Mapping[str, Any]) -> None:
    """Raise ``FormError`` if all the world may write, or nobody although that is on."""
    for text in options[CONF_WRITERS]:
        network = parse_network(text)
        if network.prefixlen < LEAST_PREFIX[network.version]:
            raise FormError("network_too_wide", field=CONF_WRITERS, network=text)
    if (
        options[CONF_WRITE_ACCESS] == WRITE_CONFIRM
        and not options[CONF_WRITERS]
        and not options.get(CONF_DONGLE_WRITES)
    ):
        raise FormError("nobody_may_write", field=CONF_WRITERS)
