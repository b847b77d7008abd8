"""Looking at the registers of a Growatt inverter, however it is reached."""

from collections.abc import Mapping
from dataclasses import replace

from modbus_connection import ModbusError

from ..growatt.identify import Identification
from ..growatt.inverter import Inverter
from ..growatt.known_inverter import MANUFACTURER
from ..growatt.masking import mask_serial_numbers, mask_text
from ..modbus.image import Space
from ..registers import RegisterDump, RegisterReading
from .base import LocalSolarCoordinator


async def async_read_register(
    coordinator: LocalSolarCoordinator, inverter: Inverter, key: str
) -> RegisterReading:
    """Read the registers of a point now. Raises ``HomeAssistantError``, as these all do."""
    if (row := inverter.register(key)) is None:
        raise coordinator.refusal(
            "unknown_register", register=key, device=_name(inverter)
        )
    reading = await async_read_registers(
        coordinator, inverter, row.space, row.address, row.words
    )
    value = row.decode(list(reading.words))
    return replace(reading, point=row.point, values={key: value})


async def async_read_registers(
    coordinator: LocalSolarCoordinator,
    inverter: Inverter,
    space: Space,
    address: int,
    count: int,
) -> RegisterReading:
    """Read any registers now, unless the inverter must not be asked for them."""
    place = f"{space} {address}-{address + count - 1}"
    if not inverter.may_touch(address, count):
        raise coordinator.refusal(
            "forbidden_registers", register=place, device=_name(inverter)
        )
    try:
        words = await inverter.async_read_words(space, address, count)
    except ModbusError as err:
        raise coordinator.read_failed(place, err, _name(inverter)) from err
    return RegisterReading(
        space=space,
        address=address,
        words=tuple(words),
        values=inverter.values_in(space, address, words),
    )


def _name(inverter: Inverter) -> str:
    """Return what an inverter is called in messages."""
    return f"{MANUFACTURER} {inverter.identified.model}"


async def async_dump_registers(inverter: Inverter) -> RegisterDump:
    """Read every row of the inverter's map."""
    image, missing = await inverter.async_dump()
    mask_serial_numbers(image, inverter.profile)
    return RegisterDump(
        image=image,
        missing=missing,
        source=f"{_name(inverter)}, serial numbers masked",
    )


def diagnosed(identified: Identification) -> Mapping[str, object]:
    """Return how it is known what an inverter is, without its serial number."""
    return {
        "profile": identified.profile,
        "evidence": [
            {
                "source": item.source,
                "answer": mask_text(item.answer)
                if "serial" in item.source
                else item.answer,
                "meaning": item.meaning,
            }
            for item in identified.evidence
        ],
    }
