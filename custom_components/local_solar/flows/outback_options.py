"""Options of an OutBack gateway."""

from collections.abc import Mapping
from typing import Any, Final, override

import probatio

from homeassistant.helpers.selector import BooleanSelector

from ..const import (
    CONF_INSTALLER_SETTINGS,
    CONF_LIVE_INTERVAL,
    CONF_WRITE_ACCESS,
    WRITE_CONFIRM,
)
from ..coordinators.outback import (
    DEFAULT_POLL_INTERVAL,
    LEAST_POLL_INTERVAL,
    MOST_POLL_INTERVAL,
)
from .modbus_link import number
from .write_access import WRITING, WriteAccessFlow

POLLING: Final = {
    probatio.Required(CONF_LIVE_INTERVAL, default=DEFAULT_POLL_INTERVAL): number(
        LEAST_POLL_INTERVAL, MOST_POLL_INTERVAL, "s"
    ),
}

INSTALLER: Final = {
    probatio.Required(CONF_INSTALLER_SETTINGS, default=False): BooleanSelector(),
}


class OutBackOptionsFlow(WriteAccessFlow):
    """How often a gateway is asked, and what may be changed."""

    @override
    def _errors(self, user_input: Mapping[str, Any]) -> dict[str, str]:
        may_write = user_input.get(CONF_WRITE_ACCESS) == WRITE_CONFIRM
        if user_input.get(CONF_INSTALLER_SETTINGS) and not may_write:
            return {CONF_INSTALLER_SETTINGS: "needs_write_access"}
        return {}

    @property
    @override
    def _schema(self) -> probatio.Schema:
        return probatio.Schema({**POLLING, **WRITING, **INSTALLER})
