"""What is added to Home Assistant, and how: a family per maker and protocol."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

from .client import Client, FlowResult, Json
from .errors import DemoError
from .simulators import (
    DATALOGGER,
    DTU_STICK,
    INTEGRATED_DTU,
    MATE3,
    OUTSIDER,
    PLANT,
    SERVER,
    Address,
    Simulator,
    growatt,
)

DOMAIN: Final = "local_solar"


@dataclass(frozen=True, slots=True, kw_only=True)
class Form:
    """A form of a config flow: an address of a simulator, and what else it asks."""

    simulator: Simulator
    listener: str
    more: Json = field(default_factory=dict)

    def answers(self, address: Address) -> Json:
        """Return what it is filled in with."""
        return {"host": address.host, "port": address.port, **self.more}


@dataclass(frozen=True, slots=True, kw_only=True)
class Addition:
    """One way through the config flow, which adds one entry.

    ``menu_item`` is chosen in the first menu, ``submenu`` in the one behind it. The form
    behind that is filled in with the address of the simulator's listener, and with
    ``more``, ``further`` ones as they say. ``devices`` is how many devices appear. ``options`` are what the forms of the options are filled in with
    afterwards, and ``setting`` is a number that they allow to be changed. ``seldom`` says
    that the devices are polled too seldom to wait for it.
    """

    menu_item: str
    simulator: Simulator
    listener: str
    more: Json = field(default_factory=dict)
    devices: int
    options: tuple[Json, ...] = ()
    setting: str = ""
    seldom: bool = False
    submenu: str = ""
    further: tuple[Form, ...] = ()

    @property
    def forms(self) -> tuple[Form, ...]:
        """All forms, in their order."""
        first = Form(simulator=self.simulator, listener=self.listener, more=self.more)
        return (first, *self.further)


WRITING: Final[tuple[Json, ...]] = ({"write_access": "confirm"}, {"acknowledged": True})
"""Switches writing on, and says that its warning was read: simulated devices are toys."""


def _unit(unit_id: int) -> Json:
    """Return how a form is told a unit of a bus."""
    return {"more_options": {"unit_id": unit_id, "search": False}}


FAMILIES: Final[Mapping[str, tuple[Addition, ...]]] = {
    "growatt": (
        # A hybrid and its battery. Its setting is one that is not kept in flash.
        Addition(
            menu_item="growatt_tcp",
            simulator=PLANT,
            listener="tcp",
            more=_unit(1),
            devices=2,
            options=WRITING,
            setting="active_power_limit",
        ),
        Addition(
            menu_item="growatt_rtu_tcp",
            simulator=PLANT,
            listener="rtu-tcp",
            more=_unit(2),
            devices=1,
        ),
    ),
    "datalogger": (
        # The listener, a stick, a hybrid with its battery, and a meter.
        Addition(
            menu_item="datalogger",
            simulator=DATALOGGER,
            listener=SERVER,
            more={
                "mode": "stand_alone",
                "more_options": {
                    "cloud_host": "server.growatt.com",
                    "cloud_port": 5279,
                    "allowed_dataloggers": [],
                },
            },
            devices=5,
            options=(
                {**WRITING[0], "take_damaged_packets": False},
                *WRITING[1:],
            ),
            setting="active_power_limit",
        ),
    ),
    "hoymiles": (
        # A DTU and the microinverter that it is a part of.
        Addition(
            menu_item="hoymiles",
            simulator=INTEGRATED_DTU,
            listener="hoymiles",
            devices=2,
            options=WRITING,
            setting="temporary_power_limit",
            seldom=True,
        ),
        # A DTU, three microinverters and a meter.
        Addition(
            menu_item="hoymiles",
            simulator=DTU_STICK,
            listener="hoymiles",
            devices=5,
            seldom=True,
        ),
    ),
    "outback": (
        # A system controller, an inverter, two charge controllers and a battery monitor.
        # All its numbers are kept in flash.
        Addition(
            menu_item="outback",
            simulator=MATE3,
            listener="tcp",
            more={"more_options": {"unit_id": 1}},
            devices=5,
            options=(
                {**WRITING[0], "live_interval": 10, "installer_settings": False},
                *WRITING[1:],
            ),
            setting="bulk_current",
        ),
    ),
    "gateway": (
        # The gateway, between the plant's bus and another program.
        Addition(
            menu_item="gateway",
            submenu="gateway_tcp",
            simulator=PLANT,
            listener="tcp",
            more={"units": "1", "more_options": {"set_up_anyway": False}},
            further=(
                Form(
                    simulator=OUTSIDER,
                    listener=SERVER,
                    more={
                        "rtu_port": 0,
                        "terminals": 0,
                        "dongle_baudrate": "115200",
                    },
                ),
            ),
            devices=1,
        ),
    ),
}
"""What the demo shows unless it is told otherwise."""


def _one_growatt(
    dataset: str, *, devices: int = 1, setting: str = "active_power_limit"
) -> tuple[Addition, ...]:
    """Return a single Growatt inverter; ``devices`` is 2 with a battery."""
    return (
        Addition(
            menu_item="growatt_tcp",
            simulator=growatt(dataset),
            listener="tcp",
            more=_unit(1),
            devices=devices,
            options=WRITING if setting else (),
            setting=setting,
        ),
    )


ON_REQUEST: Final[Mapping[str, tuple[Addition, ...]]] = {
    "v3_pv": (*_one_growatt("mtls_4200"), *_one_growatt("tl3s_12000")),
    "tl_x_base": _one_growatt("base_5000", setting=""),
    "min_tl_x": _one_growatt("min_5000tl_x"),
    "min_tl_xh": _one_growatt("min_6000tl_xh", devices=2),
    "min_tl_xh_us": _one_growatt("min_7600tl_xh_us", devices=2),
    "mod_tl3_x": _one_growatt("mod_15000tl3_x"),
    "mod_tl3_xh": _one_growatt("mod_10000tl3_xh", devices=2),
    "sph": _one_growatt("sph_5000", devices=2),
    "sph_tl3": _one_growatt("sph_10000tl3", devices=2),
    "spa": _one_growatt("spa_3000", devices=2),
    "spf": _one_growatt("spf_5000es", devices=2, setting=""),
    "max_tl3": _one_growatt("max_60000tl3"),
    "wit": _one_growatt("wit_15000", devices=2),
}
"""Families of Growatt inverters, by their register map, that ``--family`` shows."""

ALL: Final[Mapping[str, tuple[Addition, ...]]] = {**FAMILIES, **ON_REQUEST}
"""What ``--family`` can name."""


async def add(
    client: Client, addition: Addition, address_of: Callable[[Simulator, str], Address]
) -> FlowResult:
    """Add a device as a person does. Raises ``DemoError`` if it is not taken."""
    step = await client.choose(await client.start_flow(DOMAIN), addition.menu_item)
    if addition.submenu:
        step = await client.choose(step, addition.submenu)
    for form in addition.forms:
        address = address_of(form.simulator, form.listener)
        step = await client.submit(step, form.answers(address))
        if step.errors or step.kind not in ("form", "create_entry"):
            why = step.reason or ", ".join(step.errors.values()) or step.kind
            raise DemoError(f"the config flow does not take {address}: {why}")
    return step
