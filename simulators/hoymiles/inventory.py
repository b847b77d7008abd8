"""What stands behind a simulated DTU: microinverters, meters, a storage system.

All serial numbers are invented. Prefixes, inputs, rated powers and part numbers are those
of real models.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from simulators.errors import SimulatorError


@dataclass(frozen=True, slots=True, kw_only=True)
class InverterModel:
    """A microinverter as the maker sells it."""

    name: str
    prefix: int
    """The first four digits of its serial numbers."""
    inputs: int
    rated_power: int
    """Watts on the AC side."""
    part_number: int
    """Its first three bytes tell the exact model."""
    phases: int = 1

    def numbered(self, number: int) -> InverterSpec:
        """Return an inverter with an invented serial number."""
        return InverterSpec(self.prefix << 32 | 0x93100000 | number, self)


@dataclass(frozen=True, slots=True)
class InverterSpec:
    """One inverter. ``serial`` is what its twelve hexadecimal digits say."""

    serial: int
    model: InverterModel


@dataclass(frozen=True, slots=True)
class MeterSpec:
    """An energy meter: a DDSU666 with one phase or a DTSU666 with three."""

    serial: int
    phases: int


@dataclass(frozen=True, slots=True)
class StorageSpec:
    """A hybrid inverter with a battery behind a storage gateway."""

    inverter: int
    model: str
    rated_power: int
    """Watts."""
    battery: str
    battery_capacity: int
    """Watt-hours."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Inventory:
    """A DTU and what is behind it."""

    name: str
    dtu: str
    """Serial number of the DTU."""
    firmware: str
    """As people write it: ``1.1.1``."""
    inverters: tuple[InverterSpec, ...] = ()
    meters: tuple[MeterSpec, ...] = ()
    storage: StorageSpec | None = None
    integrated: bool = False
    """Whether the DTU is a part of the inverter and lives on its panels."""
    inverters_per_page: int = 1
    panels_per_page: int | None = None
    """Panels of one inverter that fit a page; the rest goes to the next one."""


HMS_400_1T: Final = InverterModel(
    name="HMS-400-1T",
    prefix=0x1124,
    inputs=1,
    rated_power=400,
    part_number=0x10204101,
)
HMS_800W_2T: Final = InverterModel(
    name="HMS-800W-2T",
    prefix=0x1412,
    inputs=2,
    rated_power=800,
    part_number=0x10214101,
)
HMS_1000_2T: Final = InverterModel(
    name="HMS-1000-2T",
    prefix=0x1144,
    inputs=2,
    rated_power=1000,
    part_number=0x10217101,
)
HMS_2000_4T: Final = InverterModel(
    name="HMS-2000-4T",
    prefix=0x1164,
    inputs=4,
    rated_power=2000,
    part_number=0x10227101,
)
HMS_2000DW_4T: Final = InverterModel(
    name="HMS-2000DW-4T",
    prefix=0x1222,
    inputs=4,
    rated_power=2000,
    part_number=0x10227102,
)
HMT_1800_4T: Final = InverterModel(
    name="HMT-1800-4T",
    prefix=0x1361,
    inputs=4,
    rated_power=1800,
    part_number=0x10325101,
    phases=3,
)
HMT_2250_6T: Final = InverterModel(
    name="HMT-2250-6T",
    prefix=0x1382,
    inputs=6,
    rated_power=2250,
    part_number=0x10333101,
    phases=3,
)

DDSU666: Final = MeterSpec(0x10C093100008, 1)
DTSU666: Final = MeterSpec(0x37FF93100005, 3)

INVENTORIES: Final[Mapping[str, Inventory]] = {
    inventory.name: inventory
    for inventory in (
        Inventory(
            name="hms-800w-2t",
            dtu="414393100001",
            firmware="1.1.1",
            inverters=(HMS_800W_2T.numbered(1),),
            integrated=True,
        ),
        # The DTU inside has the number of its inverter.
        Inventory(
            name="hms-2000dw-4t",
            dtu="122293100001",
            firmware="1.1.1",
            inverters=(HMS_2000DW_4T.numbered(1),),
            integrated=True,
        ),
        Inventory(
            name="stick-3",
            dtu="413093100010",
            firmware="0.1.17",
            inverters=(
                HMS_400_1T.numbered(0x11),
                HMS_1000_2T.numbered(0x12),
                HMT_2250_6T.numbered(0x13),
            ),
            meters=(DTSU666,),
        ),
        Inventory(
            name="stick-20",
            dtu="412093100020",
            firmware="0.8.3",
            inverters=tuple(
                (HMS_400_1T, HMS_1000_2T, HMS_2000_4T, HMS_1000_2T)[
                    number % 4
                ].numbered(0x20 + number)
                for number in range(20)
            ),
            meters=(DDSU666,),
            inverters_per_page=3,
        ),
        Inventory(
            name="three-phase",
            dtu="413093100030",
            firmware="0.1.17",
            inverters=(HMT_1800_4T.numbered(0x41), HMT_2250_6T.numbered(0x42)),
            meters=(DTSU666,),
            inverters_per_page=2,
        ),
        Inventory(
            name="storage",
            dtu="430193100003",
            firmware="1.0.9",
            storage=StorageSpec(
                0x200393100004, "HYS-4.6LV-EUG1", 4600, "LB93100009", 5120
            ),
        ),
    )
}

DEFAULT_INVENTORY: Final = "hms-800w-2t"


def as_inventory(inventory: Inventory | str) -> Inventory:
    """Return an inventory, looking it up if it is a name. Raises ``SimulatorError``."""
    if isinstance(inventory, Inventory):
        return inventory
    if inventory not in INVENTORIES:
        names = ", ".join(INVENTORIES)
        raise SimulatorError(f"inventory {inventory!r} is not one of {names}")
    return INVENTORIES[inventory]


def packed_version(text: str) -> int:
    """Return a DTU's version as it packs it: ``1.1.1`` -> 0x1101.

    Raises ``SimulatorError``.
    """
    parts = text.upper().removeprefix("V").split(".")
    if len(parts) == 3 and all(part.isascii() and part.isdecimal() for part in parts):
        major, minor, patch = (int(part) for part in parts)
        if major < 16 and minor < 16 and patch < 256:
            return major << 12 | minor << 8 | patch
    raise SimulatorError(f"{text!r} is not a firmware version such as 1.1.1")
