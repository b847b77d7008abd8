"""What is behind a gateway: its devices, and where in its map each has its blocks."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Final

from modbus_connection import ModbusUnit

from ..modbus.image import RegisterImage, Space
from ..modbus.reader import read_words
from ..points import DeviceIdentity
from .block import Family, Half
from .blocks.common import COMMON
from .blocks.gateway import GATEWAY
from .chain import NO_DATA, Place, async_walk
from .errors import BlankError, MapChangedError, NoDataError, NotOutBackError
from .reading import check_header, firmware_of, gateway_id, text_of, words_of

MANUFACTURER: Final = "OutBack"

MODELS: Final[Mapping[int, str]] = {
    64111: "FLEXmax",
    64113: "FX",
    64115: "Radian",
    64117: "Radian or FXR",
    64118: "FLEXnet DC",
}
"""What a device is called that does not tell its model."""

GATEWAY_MODELS: Final[Mapping[int, str]] = {1: "AXS Port", 2: "MATE3", 3: "MATE3s"}
"""Names of the types that the gateway tells."""

MOST_PORT: Final = 10
"""Of the largest HUB."""

IDENTITY_WORDS: Final = 13
"""The first registers of the gateway's block: number, length, firmware, hardware address."""

TYPE_OFFSET: Final = 405
TYPE_WORDS: Final = 2
"""Where the gateway tells its type and the battery's nominal voltage."""

MAX_WORDS: Final = 100
"""The most that a gateway gives at once without trouble, as users of others have found."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Equipment:
    """A device on a port of the HUB, and its blocks."""

    id: str
    family: Family
    port: int
    live: Place | None
    config: Place | None
    model: str = ""
    firmware: str = ""

    @property
    def places(self) -> tuple[Place, ...]:
        """Its blocks, that with the measurements first."""
        return tuple(place for place in (self.live, self.config) if place is not None)

    def __str__(self) -> str:
        """Name it in a message: ``charge controller on port 3 (FM80-150VDC)``."""
        name = f"{self.family.replace('_', ' ')} on port {self.port}"
        return f"{name} ({self.model})" if self.model else name


@dataclass(frozen=True, slots=True, kw_only=True)
class System:
    """A gateway and all that is behind it."""

    id: str
    """The gateway's hardware address, which never changes."""
    model: str
    firmware: str
    serial_number: str
    nominal_voltage: float | None
    """Of the battery, in volts."""
    places: tuple[Place, ...]
    equipment: tuple[Equipment, ...]

    @property
    def gateway_places(self) -> tuple[Place, ...]:
        """The blocks about the gateway itself, of those that are known."""
        return tuple(
            place
            for place in self.places
            if place.block is not None and place.block.family is Family.GATEWAY
        )

    @property
    def gateway(self) -> Place:
        """The block of the gateway itself."""
        return next(place for place in self.places if place.did == GATEWAY.did)

    @property
    def common(self) -> Place:
        """The block that every map begins with."""
        return next(place for place in self.places if place.did == COMMON.did)

    @property
    def goes_by_serial_number(self) -> bool:
        """Whether the gateway tells no hardware address, so that its serial number counts."""
        return self.id == self.serial_number

    @property
    def identity(self) -> DeviceIdentity:
        """Who the gateway is."""
        return DeviceIdentity(
            id=self.id,
            kind="gateway",
            manufacturer=MANUFACTURER,
            model=self.model,
            serial_number=self.serial_number or None,
            firmware=self.firmware or None,
        )

    def identity_of(self, equipment: Equipment) -> DeviceIdentity:
        """Return who a device behind it is."""
        return DeviceIdentity(
            id=equipment.id,
            kind=f"{equipment.family}_on_port",
            manufacturer=MANUFACTURER,
            model=equipment.model or _model_of(equipment),
            port=equipment.port,
            firmware=equipment.firmware or None,
            via=self.id,
        )


def _model_of(equipment: Equipment) -> str:
    return MODELS.get(equipment.live.did if equipment.live else 0, "")


async def async_identify(unit: ModbusUnit) -> System:
    """Find out what gateway a unit is and what is behind it.

    Raises ``Mate3Error`` or ``ModbusError``.
    """
    places = await async_walk(unit)
    if any(place.did == NO_DATA for place in places):
        raise NoDataError("the gateway has no data of some devices yet")
    image = RegisterImage()
    gateway = next((place for place in places if place.did == GATEWAY.did), None)
    common = next((place for place in places if place.did == COMMON.did), None)
    if gateway is None or common is None:
        known = ", ".join(str(place.did) for place in places) or "none"
        raise NotOutBackError(f"there is no block of OutBack's, only {known}")
    for place, count in (
        (gateway, IDENTITY_WORDS),
        (common, common.end - common.address),
    ):
        await _async_read(unit, image, place.address, count)
    kind_at = gateway.address + TYPE_OFFSET - 1
    if kind_at + TYPE_WORDS <= gateway.end:
        await _async_read(unit, image, kind_at, TYPE_WORDS)
    identifier = gateway_id(gateway, image) or text_of(common, "serial_number", image)
    if not identifier:
        raise NoDataError("the gateway does not tell its hardware address yet")
    equipment = list(_equipment(identifier, places))
    for device in equipment:
        if (config := device.config) is not None:
            await _async_read(unit, image, config.address, config.end - config.address)
            _check_there(config, image)
    kind = words_of(gateway, "gateway_type", image) or [0]
    nominal = words_of(gateway, "system_voltage", image) or [0]
    return System(
        id=identifier,
        model=GATEWAY_MODELS.get(kind[0]) or text_of(common, "model", image) or "MATE3",
        firmware=firmware_of(gateway, image),
        serial_number=text_of(common, "serial_number", image),
        nominal_voltage=float(nominal[0]) if 12 <= nominal[0] <= 60 else None,
        places=places,
        equipment=tuple(_described(device, image) for device in equipment),
    )


def _equipment(gateway: str, places: Iterable[Place]) -> Iterator[Equipment]:
    """Pair the blocks of each device, by family and port.

    Raises ``NoDataError`` if two blocks claim to be the same half of one device, or one
    does not say what device it is of.
    """
    found: dict[tuple[Family, int], dict[Half, Place]] = {}
    for place in places:
        if place.block is None or place.port is None:
            continue
        if place.port > MOST_PORT:
            raise NoDataError(f"the block at {place.address} does not tell its port")
        halves = found.setdefault((place.block.family, place.port), {})
        if (other := halves.get(place.block.half)) is not None:
            raise NoDataError(
                f"the blocks at {other.address} and {place.address} are both of the"
                f" {place.block.family.replace('_', ' ')} on port {place.port}"
            )
        halves[place.block.half] = place
    for (family, port), halves in found.items():
        yield Equipment(
            id=f"{gateway}_{family}_{port}",
            family=family,
            port=port,
            live=halves.get(Half.LIVE),
            config=halves.get(Half.CONFIG),
        )


def _check_there(place: Place, image: RegisterImage) -> None:
    """Raise ``NoDataError`` if a block has gone, or moved, since the chain was walked."""
    try:
        check_header(place, image)
    except (BlankError, MapChangedError) as err:
        raise NoDataError(f"the block at {place.address} has no data now") from err


def _described(equipment: Equipment, image: RegisterImage) -> Equipment:
    """Return a device with the model and firmware that its configuration tells."""
    if (place := equipment.config) is None:
        return equipment
    return replace(
        equipment,
        model=text_of(place, "model_number", image),
        firmware=firmware_of(place, image),
    )


async def async_read_words(
    unit: ModbusUnit, address: int, count: int, *, may_be_blank: bool = False
) -> list[int]:
    """Read any registers, as many at once as a gateway gives. Raises ``ModbusError``."""
    words: list[int] = []
    for first in range(address, address + count, MAX_WORDS):
        size = min(MAX_WORDS, address + count - first)
        words += await read_words(
            unit, Space.HOLDING, first, size, may_be_blank=may_be_blank
        )
    return words


async def _async_read(
    unit: ModbusUnit, image: RegisterImage, address: int, count: int
) -> None:
    """Read registers into an image. Raises ``ModbusError``."""
    words = await async_read_words(unit, address, count)
    image.store(Space.HOLDING, address, words, 0.0)
