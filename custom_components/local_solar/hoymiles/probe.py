"""Finds out what answers at an address: a DTU, or a storage gateway."""

from collections.abc import Mapping
from typing import Any

from .client import DtuClient, Session
from .errors import EvictedError, MessageError, SilentError
from .inventory import Inventory, Stocktaking
from .records import AppInfo, RealData
from .serial_number import normalise_dtu
from .storage import StorageGateway, StorageInventory, is_storage

type AnyInventory = Inventory | StorageInventory


async def async_identify(client: DtuClient) -> AnyInventory:
    """Ask who is there. Raises ``DtuError``: what a DTU would have answered."""
    try:
        return inventory_of(await client.async_in_session(Session.async_app_info))
    except (SilentError, EvictedError) as err:
        # A gateway knows other requests only.
        try:
            return await StorageGateway(client, StorageInventory()).async_identify()
        except SilentError, EvictedError:
            raise err from None


def inventory_of(info: AppInfo) -> Inventory:
    """Return what a DTU says is behind it. Raises ``MessageError`` if it has no name."""
    if not (serial := normalise_dtu(info.dtu_serial)):
        raise MessageError("it does not say who it is")
    nothing = RealData("", 0, 1, 0, (), (), (), 0, 0)
    stock = Stocktaking(Inventory(serial=serial))
    return stock.take(info, nothing)


def stored_inventory(stored: Mapping[str, Any]) -> AnyInventory:
    """Return an inventory that an entry has kept."""
    if is_storage(stored):
        return StorageInventory.from_json(stored)
    return Inventory.from_json(stored)
