"""What the families of Growatt's older protocols share: string inverters and off-grid models.

Facts: "Growatt Inverter Modbus RTU Protocol" V3.14, "OffGrid Modbus RTU Protocol" V0.26.
"""

from collections.abc import Iterable
from typing import Final

from ...modbus.codecs import U16, Hex, Text
from ...modbus.register import Register
from ...points import Quantity as Q
from .profile import Group, holding_row
from .protocol_2 import HOLDING, identity_row

MAX_WORDS: Final = 45
"""The most words a read may ask for."""

FORBIDDEN: Final[tuple[Group, ...]] = ((30000, 65535),)
"""Nothing of theirs is there, and off-grid models reset when it is touched."""


def narrow_groups(*starts: int) -> tuple[Group, ...]:
    """Return the groups that start at these addresses; here all are 45 words wide."""
    return tuple((start, start + MAX_WORDS - 1) for start in starts)


def same_as_protocol_2(*keys: str) -> tuple[Register, ...]:
    """Return the holding rows that are at the same place in Protocol II.

    Raises ``KeyError`` if it has no such row.
    """
    rows = {row.key: row for row in HOLDING}
    return tuple(rows[key] for key in keys)


def _at_the_old_places() -> Iterable[Register]:
    """Go through the rows of the name plate that Protocol II has elsewhere."""
    # fmt: off
    yield identity_row(23, Text(5), "serial_number", "Serial number (10 characters)", Q.TEXT)
    yield identity_row(28, Hex(2), "module_code", "Module code", Q.TEXT,
                       note="off-grid models: a lock flag, then the power in 0.1 kW")
    yield identity_row(59, Text(8), "manufacturer", "Manufacturer", Q.TEXT)
    yield identity_row(67, Text(4), "firmware_build", "Firmware build", Q.TEXT,
                       note="two of the control board, two of the communication board")
    yield holding_row(72, U16, "clock_weekday", "Clock weekday", Q.CODE, note="0 to 6")
    yield identity_row(73, U16, "modbus_version", "Modbus protocol version", Q.CODE, 0.01)
    # fmt: on


NAME_PLATE: Final[tuple[Register, ...]] = (
    *same_as_protocol_2(
        "firmware_version",
        "control_firmware_version",
        "modbus_address",
        "firmware_update_start",
        "reset_user_data",
        "factory_reset",
        "device_type_code",
        "clock",
    ),
    *_at_the_old_places(),
)
"""Holding registers that say who the inverter is, its clock, and triggers to keep away from."""
