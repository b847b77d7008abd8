"""A dashboard of what the devices show, so that the demo has something to look at."""

from collections.abc import Iterator, Sequence
from typing import Final

from .client import Client, Device, Entity, Json

URL_PATH: Final = "local-solar"

TILES: Final = (
    *(("status",), ("pv_power",), ("ac_power",), ("load_power",)),
    *(("grid_export_power", "grid_power"), ("grid_import_power",)),
    *(("pv_energy_today", "energy_today"), ("load_energy_today",)),
    *(("grid_export_energy_today",), ("grid_import_energy_today",)),
    *(("battery_state",), ("priority",), ("temporary_power_limit",)),
    *(("charger_state",), ("charge_current",), ("bulk_current",)),
    *(("battery_charge_power",), ("battery_discharge_power",)),
    *(("battery_charge_energy_today",), ("battery_discharge_energy_today",)),
)
"""What gets a tile, in this order: of some points the first that a device has."""

ICON: Final = "mdi:solar-power"
ICONS: Final = {
    "battery_soc": "mdi:home-battery",
    "grid_power": "mdi:transmission-tower",
}
"""Of a device that has the point, in the place of the usual one."""

SHORT: Final = {"type": "entity"}
"""A card's name that leaves out the device's."""


async def set_up(
    client: Client, devices: Sequence[Device], entities: Sequence[Entity]
) -> None:
    """Make the dashboard and let it be the first that is seen."""
    present = await client.command("lovelace/dashboards/list")
    if all(dashboard["url_path"] != URL_PATH for dashboard in present):
        await client.command(
            "lovelace/dashboards/create",
            url_path=URL_PATH,
            title="Solar",
            icon="mdi:solar-power-variant",
            show_in_sidebar=True,
            require_admin=False,
        )
    await client.command(
        "lovelace/config/save", url_path=URL_PATH, config=_dashboard(devices, entities)
    )
    await client.command(
        "frontend/set_system_data", key="core", value={"default_panel": URL_PATH}
    )


def _dashboard(devices: Sequence[Device], entities: Sequence[Entity]) -> Json:
    view = {
        "title": "Solar",
        "type": "sections",
        "max_columns": 3,
        "sections": [_section(device, entities) for device in devices],
    }
    return {"views": [view]}


def _section(device: Device, entities: Sequence[Entity]) -> Json:
    own = {
        entity.key: entity.id
        for entity in entities
        if entity.device_id == device.id and entity.enabled
    }
    return {"type": "grid", "cards": list(_cards(device, own))}


def _cards(device: Device, own: dict[str, str]) -> Iterator[Json]:
    """Yield the cards of a device whose entities are given by key."""
    yield {
        "type": "heading",
        "heading": device.name,
        "icon": next((icon for key, icon in ICONS.items() if key in own), ICON),
        "tap_action": {
            "action": "navigate",
            "navigation_path": f"/config/devices/device/{device.id}",
        },
    }
    if "battery_soc" in own:
        yield {
            "type": "gauge",
            "entity": own["battery_soc"],
            "name": "State of charge",
            "severity": {"green": 40, "yellow": 20, "red": 0},
        }
    for keys in TILES:
        if key := next((key for key in keys if key in own), None):
            yield {"type": "tile", "entity": own[key], "name": SHORT}
