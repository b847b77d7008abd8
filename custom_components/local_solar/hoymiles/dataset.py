"""Messages as JSON: what diagnostics hold and a simulator can serve.

Numbers stay raw integers. Texts are bytes in the protocol; they become text, or ``hex:``
with hexadecimal digits if they are not UTF-8.
"""

from collections.abc import Mapping
from typing import Final

from .errors import MessageError
from .messages import Field, Fields

type Json = int | str | list[Json] | dict[str, Json]
"""A field in JSON."""

_HEX: Final = "hex:"


def to_json(fields: Mapping[str, Field]) -> dict[str, Json]:
    """Return a message as JSON has it."""
    return {name: _to_json(value) for name, value in fields.items()}


def _to_json(value: Field) -> Json:
    if isinstance(value, int):
        return value
    if isinstance(value, bytes):
        return _as_text(value)
    if isinstance(value, dict):
        return to_json(value)
    return [_to_json(item) for item in value]


def _as_text(value: bytes) -> str:
    try:
        text = value.decode()
    except UnicodeDecodeError:
        return _HEX + value.hex()
    # Who reads it back must not take a text for digits.
    return _HEX + value.hex() if text.startswith(_HEX) else text


def from_json(document: Mapping[str, object]) -> Fields:
    """Return the message that is in a JSON object.

    Raises ``MessageError`` naming the field that is no number, text, list or object.
    """
    return {str(name): _from_json(value, str(name)) for name, value in document.items()}


def _from_json(value: object, place: str) -> Field:
    if isinstance(value, list):
        return _list(value, place)
    return _single(value, place)


def _single(value: object, place: str) -> int | bytes | Fields:
    if isinstance(value, Mapping):
        return {
            str(name): _from_json(item, f"{place}.{name}")
            for name, item in value.items()
        }
    if isinstance(value, str):
        return _as_bytes(value, place)
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    raise MessageError(f"{place} is {value!r}, which no message can hold")


def _as_bytes(text: str, place: str) -> bytes:
    if not text.startswith(_HEX):
        return text.encode()
    try:
        return bytes.fromhex(text.removeprefix(_HEX))
    except ValueError as err:
        raise MessageError(f"{place} is {text!r}, not hexadecimal digits") from err


def _list(values: list[object], place: str) -> list[int] | list[bytes] | list[Fields]:
    """Return a list of things of one kind."""
    items = [_single(value, f"{place}.{n}") for n, value in enumerate(values)]
    numbers = [item for item in items if isinstance(item, int)]
    texts = [item for item in items if isinstance(item, bytes)]
    messages = [item for item in items if isinstance(item, dict)]
    for found in (numbers, texts, messages):
        if len(found) == len(items):
            return found
    raise MessageError(f"{place} is a list of different things")
