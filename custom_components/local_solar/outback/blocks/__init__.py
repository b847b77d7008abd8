"""The tables of OutBack's blocks, a module for each kind of device.

Facts: the maker's register map of 2019-07 and its application note of 2016-04 (revision 5),
a dump of a MATE3s with firmware 1.4.2, and what users of other firmware have published.
The SunSpec blocks 101 to 103 are left out: the maker's own blocks tell the same, and these
give kilowatts for watts and a fault whenever the AC input is dropped.
"""

from collections.abc import Mapping
from typing import Final

from ..block import Block
from .battery_monitor import BATTERY_MONITOR, BATTERY_MONITOR_CONFIG
from .charge_controller import CHARGE_CONTROLLER, CHARGE_CONTROLLER_CONFIG
from .common import COMMON
from .fx_inverter import FX_INVERTER, FX_INVERTER_CONFIG
from .gateway import GATEWAY
from .optics import OPTICS
from .radian_inverter import RADIAN_CONFIG, SINGLE_PHASE, SPLIT_PHASE
from .system_control import SYSTEM_CONTROL

BLOCKS: Final[Mapping[int, Block]] = {
    block.did: block
    for block in (
        COMMON,
        GATEWAY,
        CHARGE_CONTROLLER,
        CHARGE_CONTROLLER_CONFIG,
        FX_INVERTER,
        FX_INVERTER_CONFIG,
        SPLIT_PHASE,
        RADIAN_CONFIG,
        SINGLE_PHASE,
        BATTERY_MONITOR,
        BATTERY_MONITOR_CONFIG,
        SYSTEM_CONTROL,
        OPTICS,
    )
}
"""Number (DID) -> block."""
