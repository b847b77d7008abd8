"""The block that every SunSpec map begins with."""

from typing import Final

from ...modbus.codecs import U16
from ...points import Quantity as Q, Rhythm
from ..block import Block, Family, Half
from ..rows import config_row, header, text
from .reasons import IDENTITY

# fmt: off
COMMON: Final = Block(
    did=1,
    name="common",
    family=Family.GATEWAY,
    half=Half.CONFIG,
    length=65,
    rows=(
        *header(Rhythm.SETTINGS, prefix="common_"),
        text(3, 16, "manufacturer", "Manufacturer"),
        text(19, 16, "model", "Model"),
        text(35, 8, "options", "Options"),
        text(43, 8, "version", "Version"),
        text(51, 16, "serial_number", "Serial number"),
        config_row(67, U16, "device_address", "Device address", Q.CODE, never_write=IDENTITY),
    ),
)

# fmt: on
