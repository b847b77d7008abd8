"""The parameters of a logger: what their numbers mean.

Facts: recorded answers and reports of owners. Values are texts.
"""

from enum import IntEnum
from typing import Final


class ParameterNumber(IntEnum):
    """Parameters that mean something to us."""

    INTERVAL = 4
    """Minutes between two live records; decimals are taken."""
    SERIAL = 8
    UPDATE_SERVER = 11
    LOCAL_ADDRESS = 14
    MAC = 16
    SERVER_ADDRESS = 17
    SERVER_PORT = 18
    SERVER_NAME = 19
    DEVICE_TYPE = 20
    FIRMWARE = 21
    HARDWARE = 22
    TIME_ZONE = 30
    CLOCK = 31
    RESTART = 32
    WIFI_NAME = 56
    WIFI_PASSWORD = 57
    SIGNAL = 76
    FIRMWARE_IMAGE = 80


LAST_NUMBER: Final = 255
"""No logger is known to have more: 97 is the highest number that was seen."""

SECRET: Final = frozenset({ParameterNumber.WIFI_NAME, ParameterNumber.WIFI_PASSWORD})
"""Never asked for, never let through, never shown: the password is told in clear."""

WORTH_KNOWING: Final = (ParameterNumber.INTERVAL, ParameterNumber.FIRMWARE)
"""First and last parameter that are read once in a session, as Growatt's server does."""

CLOCK_FORMAT: Final = "%Y-%m-%d %H:%M:%S"
