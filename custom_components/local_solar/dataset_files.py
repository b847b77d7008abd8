"""Dumps as files in Home Assistant's configuration folder, which the simulator can serve."""

import json
from pathlib import Path
from typing import Final

from homeassistant.core import HomeAssistant
from homeassistant.util import dt as dt_util

from .const import DOMAIN
from .registers import RegisterDump

FOLDER: Final = DOMAIN
"""Name of the folder for dumps, beside ``configuration.yaml``."""


async def async_write_dataset(
    hass: HomeAssistant, name: str, dump: RegisterDump
) -> str:
    """Write a dump and return its path. Raises ``OSError``.

    ``name`` begins the name of the file; the time it was made ends it.
    """
    made = dt_util.now()
    path = Path(hass.config.path(FOLDER, f"{name}_{made:%Y%m%d_%H%M%S}.json"))
    source = f"{dump.source}, {made.isoformat(timespec='seconds')}"
    words = dump.image.dump()
    dataset = words["holding"] if dump.is_flat else {"_source": source, **words}

    def write() -> None:
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps(dataset, indent=1) + "\n", encoding="utf-8")

    await hass.async_add_executor_job(write)
    return str(path)
