"""Finds out what answers at an address: a DTU, or a storage gateway."""

from .client import DtuClient, Session
from .inventory import Inventory, Stocktaking
from .records import AppInfo, RealData
from .serial_number import normalise_dtu


async def async_identify(client: DtuClient) -> Inventory:
    """Ask who is there. Raises ``DtuError``."""
    return inventory_of(await client.async_in_session(Session.async_app_info))


def inventory_of(info: AppInfo) -> Inventory:
    """Return what a DTU says is behind it."""
    nothing = RealData("", 0, 1, 0, (), (), (), 0, 0)
    stock = Stocktaking(Inventory(serial=normalise_dtu(info.dtu_serial)))
    return stock.take(info, nothing)
