"""Time slots of the VPP protocol: a schedule of powers, written as a whole.

Facts: "VPP" V2.03, and another program. All of it is kept in EEPROM.
"""

from typing import Final

from ...modbus.codecs import U16
from ...modbus.register import Register
from ...points import Quantity as Q
from ..time_slots import VPP_SLOT_COUNT, vpp_slot
from .profile import OFFERED, RAW, holding_row
from .slot_rows import EVERYDAY_SLOTS, slot_rows

_FIRST: Final = 30411

VPP_SLOTS: Final[tuple[Register, ...]] = (
    holding_row(
        _FIRST,
        U16,
        "vpp_tou_count",
        "VPP time slots in use",
        Q.COUNT,
        note="at most 20; changes when the last slot is switched off or the next one on",
    ),
    *(
        row
        for n in range(1, VPP_SLOT_COUNT + 1)
        for row in slot_rows(
            _FIRST,
            vpp_slot(n),
            f"vpp_tou{n}",
            "VPP time slot {n}",
            n,
            everyday=n <= EVERYDAY_SLOTS,
            visibility=OFFERED if n <= EVERYDAY_SLOTS else RAW,
            note="written with all others; in force only while 30100 is on",
            notes={
                "enabled": "the first slots are on, as many as 30411 says",
                "end": "23:59 = until midnight",
                "power": "positive = charging",
            },
        )
    ),
)
"""Holding registers 30411 to 30471."""
