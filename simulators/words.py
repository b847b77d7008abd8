"""Addresses and words as files write them."""

from .errors import SimulatorError


def read_address(key: object, where: str) -> int:
    """Return an address that may stand as text. Raises ``SimulatorError`` saying where."""
    text = str(key)
    if (
        isinstance(key, int | str)
        and not isinstance(key, bool)
        and text.isascii()
        and text.isdecimal()
        and len(text) <= 6
        and int(text) <= 0xFFFF
    ):
        return int(text)
    raise SimulatorError(f"{where}: {key!r} is not an address from 0 to 65535")


def read_word(value: object, where: str) -> int:
    """Return a word, which may be signed. Raises ``SimulatorError`` saying where."""
    if (
        isinstance(value, int)
        and not isinstance(value, bool)
        and -0x8000 <= value <= 0xFFFF
    ):
        return value & 0xFFFF
    raise SimulatorError(
        f"{where}: {value!r} is not a whole number from -32768 to 65535"
    )
