"""Options of a Hoymiles DTU."""

from typing import Final, override

import probatio

from homeassistant.helpers.selector import (
    BooleanSelector,
    NumberSelector,
    NumberSelectorConfig,
    NumberSelectorMode,
)

from ..const import (
    CONF_INVENTORY,
    CONF_LEAVE_CLOUD_FREE,
    CONF_METER_FACTOR,
    CONF_POLL_INTERVAL,
    DEFAULT_METER_FACTOR,
    DEFAULT_POLL_INTERVAL,
    LEAST_POLL_INTERVAL,
    MOST_POLL_INTERVAL,
)
from ..hoymiles.probe import stored_inventory
from ..hoymiles.storage import StorageInventory
from .modbus_link import number
from .write_access import WRITING, WriteAccessFlow

POLLING: Final = {
    probatio.Required(CONF_POLL_INTERVAL, default=DEFAULT_POLL_INTERVAL): number(
        LEAST_POLL_INTERVAL, MOST_POLL_INTERVAL, "s"
    ),
}

CLOUD: Final = {
    probatio.Required(CONF_LEAVE_CLOUD_FREE, default=True): BooleanSelector(),
}

METER: Final = {
    probatio.Required(CONF_METER_FACTOR, default=DEFAULT_METER_FACTOR): NumberSelector(
        NumberSelectorConfig(min=0.01, max=100, step=0.01, mode=NumberSelectorMode.BOX)
    ),
}


class HoymilesOptionsFlow(WriteAccessFlow):
    """How often a DTU is asked, what its meter means, and whether it is changed."""

    @property
    @override
    def _schema(self) -> probatio.Schema:
        inventory = stored_inventory(self.config_entry.data[CONF_INVENTORY])
        if isinstance(inventory, StorageInventory):
            # Read only, and nobody has seen what it reports when.
            return probatio.Schema(POLLING)
        meter = METER if inventory.meters else {}
        return probatio.Schema({**POLLING, **CLOUD, **meter, **WRITING})
