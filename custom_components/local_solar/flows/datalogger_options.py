"""Options of a listener for Growatt dataloggers."""

from typing import Final, override

import probatio

from homeassistant.helpers.selector import BooleanSelector

from ..const import (
    CONF_CLOUD_SETTINGS,
    CONF_CLOUD_TAKEOVER,
    CONF_MODE,
    CONF_TAKE_DAMAGED,
    MODE_WITH_CLOUD,
)
from .write_access import WRITING, WriteAccessFlow

CLOUD: Final = {
    probatio.Required(CONF_CLOUD_SETTINGS, default=False): BooleanSelector(),
    probatio.Required(CONF_CLOUD_TAKEOVER, default=False): BooleanSelector(),
}

READING: Final = {
    probatio.Required(CONF_TAKE_DAMAGED, default=False): BooleanSelector(),
}


class DataloggerOptionsFlow(WriteAccessFlow):
    """What the maker's server may do, and whether loggers and inverters are changed."""

    @property
    @override
    def _schema(self) -> probatio.Schema:
        is_relayed = self.config_entry.data[CONF_MODE] == MODE_WITH_CLOUD
        return probatio.Schema({**(CLOUD if is_relayed else {}), **WRITING, **READING})
