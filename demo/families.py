"""What is added to Home Assistant, and how: a family per maker and protocol."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from .client import Client, FlowResult, Json
from .errors import DemoError
from .plant import Address

DOMAIN: Final = "local_solar"


@dataclass(frozen=True, slots=True, kw_only=True)
class Addition:
    """One way through the config flow, which adds one entry.

    ``menu_item`` is chosen in the first menu; ``listener`` is the plant's listener whose
    address the form behind it is filled in with. ``devices`` is how many devices appear.
    ``options`` are what the forms of the options are filled in with afterwards, and
    ``setting`` is a number that they allow to be changed.
    """

    menu_item: str
    listener: str
    unit_id: int
    devices: int
    options: tuple[Json, ...] = ()
    setting: str = ""

    def answers(self, address: Address) -> Json:
        """Return what the form is filled in with."""
        return {
            "host": address.host,
            "port": address.port,
            "more_options": {"unit_id": self.unit_id, "search": False},
        }


WRITING: Final[tuple[Json, ...]] = ({"write_access": "confirm"}, {"acknowledged": True})
"""Switches writing on, and says that its warning was read: simulated devices are toys."""

FAMILIES: Final[Mapping[str, tuple[Addition, ...]]] = {
    "growatt": (
        # A hybrid and its battery. Its setting is one that is not kept in flash.
        Addition(
            menu_item="growatt_tcp",
            listener="tcp",
            unit_id=1,
            devices=2,
            options=WRITING,
            setting="active_power_limit",
        ),
        Addition(menu_item="growatt_rtu_tcp", listener="rtu-tcp", unit_id=2, devices=1),
    )
}


async def add(client: Client, addition: Addition, address: Address) -> FlowResult:
    """Add a device as a person does. Raises ``DemoError`` if it is not taken."""
    menu = await client.start_flow(DOMAIN)
    form = await client.choose(menu, addition.menu_item)
    added = await client.submit(form, addition.answers(address))
    if added.kind != "create_entry":
        why = added.reason or ", ".join(added.errors.values()) or added.kind
        raise DemoError(f"the config flow does not take {address}: {why}")
    return added
