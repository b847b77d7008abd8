"""Parameters of a datalogger: what it says of itself, and what can be set."""

from datetime import datetime
import math
from typing import Final

from .stick_clock import TEXT

INTERVAL: Final = 4
"""Minutes between live records."""
UPDATE_SERVER: Final = 11
SERVER_ADDRESS: Final = 17
SERVER_PORT: Final = 18
SERVER_NAME: Final = 19
CLOCK: Final = 31
RESTART: Final = 32
WIFI_NAME: Final = 56
WIFI_PASSWORD: Final = 57
SIGNAL: Final = 76
UPDATE_URL: Final = 80

SECRET: Final = "correct-horse-battery"
"""The Wi-Fi password of all simulated sticks: nobody may ask for it or show it."""

_FIRMWARE: Final = {0: "1.0.0.0", 2: "4.0.0.0", 5: "1.7.6.8", 6: "1.0.8.3"}


def parameters_of(
    serial: str, protocol: int, host: str, port: int, interval: float
) -> dict[int, str]:
    """Return those of a stick that reports to a server every ``interval`` seconds."""
    number = sum(serial.encode("ascii")) % 200 + 20
    return {
        INTERVAL: minutes(interval),
        5: "1",
        6: "32",
        7: "X",
        8: serial,
        9: "2.0",
        10: "0",
        UPDATE_SERVER: "ftpuser#ftpuser#198.51.100.9#21#",
        12: "192.0.2.1",
        13: "16" if protocol == 6 else "11",
        14: f"192.0.2.{number}",
        15: "8896",
        16: f"02:00:00:00:00:{number:02X}",
        SERVER_ADDRESS: host,
        SERVER_PORT: str(port),
        SERVER_NAME: host,
        20: "ShineWiFi-X" if protocol == 6 else "ShineWiFi",
        21: _FIRMWARE[protocol],
        22: "1.0",
        25: "255.255.255.0",
        26: "192.0.2.1",
        30: "0",
        CLOCK: "",
        RESTART: "0",
        WIFI_NAME: "greenhouse",
        WIFI_PASSWORD: SECRET,
        SIGNAL: "-58",
        UPDATE_URL: "",
    }


READ_ONLY: Final = frozenset({8, 9, 13, 14, 15, 16, 20, 21, 22, SIGNAL})


def is_allowed(number: int, text: str) -> bool:
    """Tell whether a parameter may have a value."""
    match number:
        case _ if number in READ_ONLY or not text.isascii():
            return False
        case 4:
            return seconds(text) is not None
        case 18:
            return text.isdecimal() and 0 < int(text) <= 0xFFFF
        case 31:
            return time_of(text) is not None
    return True


def seconds(text: str) -> float | None:
    """Return what the interval says, ``None`` if it is none."""
    try:
        found = 60 * float(text)
    except ValueError:
        return None
    return found if 0 < found < math.inf else None


def minutes(interval: float) -> str:
    """Return an interval of seconds as the parameter has it."""
    return f"{interval / 60 if interval < math.inf else 5:g}"


def time_of(text: str) -> datetime | None:
    """Return the time that is to be set, ``None`` if it is none."""
    try:
        return datetime.strptime(text, TEXT)
    except ValueError:
        return None
