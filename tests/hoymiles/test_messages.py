"""Messages: every one of them there and back, and what must never be among them."""

import ast
from collections.abc import Iterator, Mapping
import importlib.util
import sys
from types import ModuleType
from typing import Any, Final, cast

from google.protobuf import descriptor_pool
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.descriptor_pb2 import FieldDescriptorProto, FileDescriptorProto
from hypothesis import given, settings, strategies as st
import pytest

from custom_components.local_solar.hoymiles import commands, messages
from custom_components.local_solar.hoymiles.commands import Action, Command
from custom_components.local_solar.hoymiles.errors import MessageError
from custom_components.local_solar.hoymiles.messages import Fields
from tests.sources import FOLDER, ROOT, Source, sources

from .test_frame import Captured, good_frames, needs_captures

ALLOWED_ACTIONS: Final = {1, 3, 6, 7, 8, 33, 42, 50, 211}

FORBIDDEN: Final = {
    0xA308: "writes a configuration into inverters",
    0xA310: "writes the configuration of the DTU",
    0xA31D: "starts an update of firmware",
    0x880F: "starts an update of firmware",
    0xC308: "sets the mode of a battery",
}
"""Commands that must not be sent, whatever for."""

INTEGERS: Final = {
    FieldDescriptor.TYPE_INT32: (-(1 << 31), (1 << 31) - 1),
    FieldDescriptor.TYPE_UINT32: (0, (1 << 32) - 1),
    FieldDescriptor.TYPE_INT64: (-(1 << 63), (1 << 63) - 1),
    FieldDescriptor.TYPE_UINT64: (0, (1 << 64) - 1),
}
"""Type of a field -> least and largest value."""

COMPILED: Final = FOLDER / "hoymiles" / "messages.binpb"


def descriptor(name: str) -> Descriptor:
    """Return what the schema says of a message."""
    return cast(Descriptor, messages.parse(name, b"").DESCRIPTOR)


def schema() -> FileDescriptorProto:
    """Return the compiled schema."""
    return FileDescriptorProto.FromString(COMPILED.read_bytes())


def schema_fields() -> Iterator[tuple[str, FieldDescriptorProto]]:
    """Go through all fields with the names of their messages."""
    for message in schema().message_type:
        for field in message.field:
            yield message.name, field


# -- what is drawn --------------------------------------------------------------------


def one_of(field: FieldDescriptor) -> st.SearchStrategy[Any]:
    """Return every value that a field can hold, or every item of it if it is a list."""
    if field.message_type is not None:
        return fields_of(field.message_type)
    if field.type == FieldDescriptor.TYPE_BYTES:
        return st.binary(max_size=20)
    return st.integers(*INTEGERS[field.type])


def fields_of(message: Descriptor) -> st.SearchStrategy[Fields]:
    """Return every set of fields that a message can have."""
    return st.fixed_dictionaries(
        {},
        optional={
            field.name: st.lists(one_of(field), max_size=3)
            if field.is_repeated
            else one_of(field)
            for field in message.fields
        },
    )


def sent(fields: Mapping[str, Any]) -> Fields:
    """Return what is left of fields on the wire: nothing of zeros and what is empty.

    An empty message is told from none, and so are those in lists.
    """
    left: dict[str, Any] = {}
    for name, value in fields.items():
        match value:
            case dict():
                left[name] = sent(value)
            case [dict(), *_]:
                left[name] = [sent(item) for item in value]
            case 0 | b"" | []:
                pass
            case _:
                left[name] = value
    return left


# -- there and back -------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(messages.NAMES))
@settings(max_examples=20)
@given(data=st.data())
def test_every_message_reads_back_as_it_was_made(
    name: str, data: st.DataObject
) -> None:
    fields = data.draw(fields_of(descriptor(name)))
    payload = messages.encode(name, fields)
    assert messages.decode(name, payload) == sent(fields)


@pytest.mark.parametrize("name", sorted(messages.NAMES))
def test_the_limits_of_every_number_are_those_of_its_type(name: str) -> None:
    for field in descriptor(name).fields:
        if field.type not in INTEGERS:
            continue
        least, largest = INTEGERS[field.type]
        for value in (least, largest):
            fields: Fields = {field.name: [value] if field.is_repeated else value}
            assert messages.decode(name, messages.encode(name, fields)) == sent(fields)
        for value in (least - 1, largest + 1, 1 << 70, -(1 << 70)):
            with pytest.raises(MessageError, match=f"{name} cannot be made"):
                messages.encode(
                    name, {field.name: [value] if field.is_repeated else value}
                )


@given(st.sampled_from(sorted(messages.NAMES)), st.binary(max_size=200))
def test_any_payload_is_a_message_or_an_error(name: str, payload: bytes) -> None:
    try:
        fields = messages.decode(name, payload)
    except MessageError:
        with pytest.raises(MessageError, match=f"^this is no {name}: "):
            messages.parse(name, payload)
    else:
        assert messages.decode(name, messages.encode(name, fields)) == sent(fields)


def test_a_payload_that_ends_early_is_an_error() -> None:
    panels: list[Fields] = [{"serial": 1 << 44}]
    payload = messages.encode("RealDataReply", {"panels": panels})
    for end in range(1, len(payload)):
        with pytest.raises(MessageError, match="this is no RealDataReply"):
            messages.decode("RealDataReply", payload[:end])


def test_fields_that_are_not_known_yet_are_left_out() -> None:
    known = messages.encode("RealPanel", {"port": 2})
    newer = known + b"\xf8\x3f\x01" + b"\xfa\x3f\x02hi"
    assert messages.decode("RealPanel", newer) == {"port": 2}


def test_empty_fields_that_are_sent_all_the_same_are_left_out() -> None:
    assert messages.decode("RealPanel", b"\x08\x00\x10\x00") == {}
    assert messages.decode("FeatureInfo", b"\x12\x00") == {}


@given(st.binary(min_size=1, max_size=50))
def test_texts_are_kept_though_they_are_not_utf_8(octets: bytes) -> None:
    payload = messages.encode("ConfigReply", {"meter_kind": octets, "time": 1})
    assert messages.decode("ConfigReply", payload) == {"meter_kind": octets, "time": 1}


@pytest.mark.parametrize(
    ("name", "fields"),
    [
        ("RealPanel", {"watts": 1}),
        ("RealDataReply", {"panels": [{"watts": 1}]}),
        ("RealPanel", {"port": b"1"}),
        ("RealPanel", {"port": "1"}),
        ("RealPanel", {"port": 1.0}),
        ("RealPanel", {"port": True}),
        ("RealPanel", {"port": [1]}),
        ("RealDataReply", {"panels": [{"port": 1 << 31}]}),
        ("RealDataReply", {"panels": {"port": 1}}),
        ("RealDataReply", {"panels": [1]}),
        ("AppInfoReply", {"dtu": 1}),
        ("AppInfoReply", {"dtu": [{}]}),
        ("CommandRequest", {"data": "text"}),
        ("CommandRequest", {"data": 1}),
        ("CommandRequest", {"inverter_serials": 1}),
        ("CommandRequest", {"inverter_serials": [b"1"]}),
        ("CommandRequest", {"storage_serials": [1]}),
        ("NoSuchMessage", {}),
    ],
)
def test_what_does_not_fit_is_an_error_that_names_the_message(
    name: str, fields: dict[str, Any]
) -> None:
    with pytest.raises(MessageError, match=f"^{name} cannot be made: "):
        messages.encode(name, fields)


# -- schema ---------------------------------------------------------------------------


def test_the_compiled_schema_is_up_to_date() -> None:
    pytest.importorskip("grpc_tools", reason="there is no compiler here")
    path = ROOT / "scripts" / "build_messages.py"
    spec = importlib.util.spec_from_file_location("build_messages", path)
    assert spec is not None
    assert spec.loader is not None
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    assert COMPILED == script.COMPILED
    assert script.compiled() == COMPILED.read_bytes()


def test_fields_are_integers_bytes_and_messages_only() -> None:
    """A text that is not UTF-8 would make the whole message unreadable."""
    allowed = {
        *(FieldDescriptorProto.TYPE_INT32, FieldDescriptorProto.TYPE_UINT32),
        *(FieldDescriptorProto.TYPE_INT64, FieldDescriptorProto.TYPE_UINT64),
        *(FieldDescriptorProto.TYPE_BYTES, FieldDescriptorProto.TYPE_MESSAGE),
    }
    assert {field.type for _, field in schema_fields()} == allowed


def test_nothing_is_named_like_a_type_of_text() -> None:
    names = {*messages.NAMES, *(field.name for _, field in schema_fields())}
    assert not {name for name in names if name.lower() in {"string", "str"}}


def test_names_and_numbers_of_fields_are_unique() -> None:
    for message in schema().message_type:
        for values in (
            [field.name for field in message.field],
            [field.number for field in message.field],
        ):
            assert len(set(values)) == len(values), message.name


def test_every_command_has_its_messages() -> None:
    found = [value for value in vars(commands).values() if isinstance(value, Command)]
    assert found
    for command in found:
        assert {command.request, command.reply} <= set(messages.NAMES)


def test_another_schema_with_messages_of_the_same_names_does_not_matter() -> None:
    """As with another integration for DTUs, which has its own in the pool of all."""
    foreign = FileDescriptorProto(
        name=schema().name, package=messages.PACKAGE, syntax="proto3"
    )
    foreign.message_type.add(name="RealPanel").field.add(
        name="watts",
        number=1,
        type=FieldDescriptorProto.TYPE_STRING,
        label=FieldDescriptorProto.LABEL_OPTIONAL,
    )
    pool = descriptor_pool.Default()
    pool.AddSerializedFile(foreign.SerializeToString())
    theirs = pool.FindMessageTypeByName(f"{messages.PACKAGE}.RealPanel")
    ours = loaded_again()
    assert ours.decode("RealPanel", ours.encode("RealPanel", {"port": 1})) == {
        "port": 1
    }
    assert ours.NAMES == messages.NAMES
    assert [field.name for field in theirs.fields] == ["watts"]


def loaded_again() -> ModuleType:
    """Return a second copy of the module."""
    name = f"{messages.__package__}.messages_again"
    spec = importlib.util.spec_from_file_location(name, messages.__file__)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert name not in sys.modules
    return module


# -- captures -------------------------------------------------------------------------


def expected(fields: Mapping[str, Any]) -> Fields:
    """Return fields of the captures as ours: texts as bytes, without what is empty."""

    def as_ours(value: Any) -> Any:
        match value:
            case str() if value.startswith("hex:"):
                return bytes.fromhex(value.removeprefix("hex:"))
            case str():
                return value.encode()
            case list():
                return [as_ours(item) for item in value]
            case dict():
                return {name: as_ours(item) for name, item in value.items()}
        return value

    return sent(as_ours(fields))


@needs_captures
@pytest.mark.parametrize("capture", good_frames(), ids=lambda capture: capture.id)
def test_captured_messages_hold_what_another_decoder_found(capture: Captured) -> None:
    name, fields = capture.message, expected(capture.decoded["fields"])
    assert messages.decode(name, capture.frame().payload) == fields
    assert messages.decode(name, messages.encode(name, fields)) == fields


@needs_captures
def test_captured_messages_have_no_field_that_the_schema_lacks() -> None:
    """What the schema lacks would be lost on the way there and back."""
    for capture in good_frames():
        payload = capture.frame().payload
        again = messages.encode(
            capture.message, messages.decode(capture.message, payload)
        )
        # Some devices send empty fields, which are left out then.
        if capture.id != "real-gwinfo-rep":
            assert again == payload, capture.id


# -- what must not be sent ------------------------------------------------------------


def hoymiles_sources() -> list[Source]:
    """Return the modules of the family."""
    found = [
        source for source in sources().values() if source.parts[:1] == ("hoymiles",)
    ]
    assert len(found) > 5
    return found


def constants(source: Source) -> set[object]:
    """Return the numbers and texts in a module's code."""
    return {
        node.value for node in ast.walk(source.tree) if isinstance(node, ast.Constant)
    }


def test_only_harmless_actions_are_known() -> None:
    assert {action.value for action in Action} == ALLOWED_ACTIONS


def test_no_module_holds_what_is_needed_for_a_request_that_must_not_be_sent() -> None:
    forbidden = {*FORBIDDEN, "SetConfigRequest", "StorageUserSetRequest"}
    held = {source.name: constants(source) & forbidden for source in hoymiles_sources()}
    assert {name: found for name, found in held.items() if found} == {}
    assert 0xA311 in constants(sources()["hoymiles.commands"])


def test_every_command_is_one_of_those_that_may_be_sent() -> None:
    ids = [value.id for value in vars(commands).values() if isinstance(value, Command)]
    assert set(ids) == {
        *(0xA301, 0xA303, 0xA304, 0xA305, 0xA306, 0xA309, 0xA311, 0xA314),
        *(0x2305, 0xDB01, 0xC302, 0xC303),
    }
    assert not set(ids) & FORBIDDEN.keys()
