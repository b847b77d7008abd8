"""Access to the fields of messages whose kinds are known."""

from collections.abc import Mapping

from custom_components.local_solar.hoymiles.messages import Field, Fields


def many(*items: Fields) -> list[Fields]:
    """Return several messages as what a repeated field holds."""
    return list(items)


def integer(fields: Mapping[str, Field], name: str) -> int:
    """Return a number; 0 if it is not there, as the protocol means it."""
    value = fields.get(name, 0)
    return value if isinstance(value, int) else 0


def integers(fields: Mapping[str, Field], name: str) -> list[int]:
    """Return a list of numbers."""
    value = fields.get(name, [])
    if not isinstance(value, list):
        return []
    return [item for item in value if isinstance(item, int)]


def text(fields: Mapping[str, Field], name: str) -> str:
    """Return a text, byte by byte."""
    value = fields.get(name, b"")
    return value.decode("latin-1") if isinstance(value, bytes) else ""
