"""The messages of ``messages.proto``, loaded from its compiled form.

They live in a pool of their own: other integrations use messages of the same names, and
a pool takes each name once. Nothing is generated, so any protobuf from 6.31 on will do.
Unlike the other modules this one deals in the library's untyped objects; what leaves it
is bytes and plain values.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message import DecodeError, EncodeError
from google.protobuf.message_factory import GetMessageClass

from .errors import MessageError

PACKAGE: Final = "local_solar.hoymiles"

_COMPILED: Final = Path(__file__).with_name("messages.binpb")

type Field = int | bytes | Fields | list[int] | list[bytes] | list[Fields]
type Fields = dict[str, Field]
"""A message: field name -> raw integer, bytes, message, or a list of these."""


def _load() -> Mapping[str, Any]:
    """Return the class of each message."""
    file = DescriptorPool().AddSerializedFile(_COMPILED.read_bytes())
    return {
        name: GetMessageClass(message)
        for name, message in file.message_types_by_name.items()
    }


_CLASSES: Final = _load()

NAMES: Final = tuple(_CLASSES)


def encode(name: str, fields: Mapping[str, Field]) -> bytes:
    """Return the payload of a message.

    Raises ``MessageError`` if a field is unknown or a value does not fit it.
    """
    try:
        payload: bytes = _filled(name, fields).SerializeToString()
    except (KeyError, ValueError, TypeError, AttributeError, EncodeError) as err:
        raise MessageError(f"{name} cannot be made: {err}") from err
    return payload


def _filled(name: str, fields: Mapping[str, Field]) -> Any:
    """Return a message with ``fields``."""
    return _CLASSES[name](**fields)


def decode(name: str, payload: bytes) -> Fields:
    """Return the fields of a message that are set. Raises ``MessageError``."""
    return _as_fields(parse(name, payload))


def parse(name: str, payload: bytes) -> Any:
    """Return a message as the library's object, which must stay in this package.

    Raises ``MessageError``.
    """
    try:
        return _CLASSES[name].FromString(payload)
    except DecodeError as err:
        raise MessageError(f"this is no {name}: {err}") from err


def _as_fields(message: Any) -> Fields:
    fields: Iterable[tuple[FieldDescriptor, Any]] = message.ListFields()
    return {field.name: _as_field(field, value) for field, value in fields}


def _as_field(field: FieldDescriptor, value: Any) -> Field:
    if field.message_type is None:
        return list(value) if field.is_repeated else value
    if field.is_repeated:
        return [_as_fields(item) for item in value]
    return _as_fields(value)
