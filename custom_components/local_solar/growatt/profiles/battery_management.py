"""What the battery management of storage and off-grid inverters tells in the same words.

Facts: "OffGrid Modbus RTU Protocol" V0.26, which alone explains the bits.
"""

from collections.abc import Mapping
from typing import Final

from ...modbus.codecs import U16, Bits
from ...modbus.register import Register
from ...points import Quantity as Q
from .profile import OFFERED
from .protocol_2 import NO_YES, diag_row

STATE: Final[Mapping[int, str]] = {
    0: "soft_start",
    1: "standby",
    2: "charging",
    3: "discharging",
}


# fmt: off
def bms_status_rows(address: int, note: str = "") -> tuple[Register, ...]:
    """Return the input rows of the status word at ``address``: the word, its state, its flags."""
    return (
        diag_row(address, U16, "bms_status_word", "BMS status word", Q.CODE, note=note),
        diag_row(address, Bits(0, 2), "bms_status", "BMS state", Q.STATE, 1, OFFERED,
                 options=STATE),
        *(
            diag_row(address, Bits(bit), key, name, Q.FLAG, options=NO_YES)
            for bit, key, name in (
                (3, "bms_balancing", "Cell balancing"),
                (4, "bms_sleeping", "BMS sleeping"),
                (5, "bms_discharge_output", "BMS discharge output"),
                (6, "bms_charge_output", "BMS charge output"),
                (7, "bms_terminal_open", "Battery terminal open"),
                (12, "bms_force_charge", "Forced charge requested"),
            )
        ),
    )
# fmt: on
