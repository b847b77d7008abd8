"""Why some registers must never be written, as it reads behind "must not be changed: it"."""

from typing import Final

CALIBRATION: Final = "calibrates what the device measures and acts on"
CLOCK_IS_KEPT: Final = "is kept by the gateway's time server"
CLOUD: Final = "belongs to the connection with the maker's cloud"
COUNTER_RESET: Final = "clears counters and records for good"
EMAIL: Final = "belongs to the gateway's e-mails"
FIRMWARE: Final = "starts an update of a device's firmware"
HARDWARE: Final = "says how the hardware is built"
IDENTITY: Final = "is an address of the gateway"
NAME: Final = (
    "is of another length in other firmware, which could damage what is behind it"
)
NETWORK: Final = "could cut the gateway off from the network"
RESERVED: Final = "has no known meaning"
SECRET: Final = "is a secret"
STACKING: Final = "says how the inverters are wired together"
WRITE_CLEARS: Final = "is cleared by any write"

RELAY_ORDER: Final = (
    "the maker's documents number on and auto the other way round than everywhere else:"
    " watch the relay's state after a change"
)
"""What to beware of, rather than a reason."""
