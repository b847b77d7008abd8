"""What may be given away: values, but nothing that names an owner or his devices."""

from collections.abc import Iterator
import json
from typing import Any, Final

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from hypothesis import example, given, strategies as st
import pytest

from custom_components.local_solar.hoymiles import messages
from custom_components.local_solar.hoymiles.client import Session
from custom_components.local_solar.hoymiles.masking import HEARD, masked_dataset
from custom_components.local_solar.hoymiles.messages import Fields

from .test_client import A301, A303, A309, A311, STICK, make_rig

NAMES_SOMEBODY: Final = (
    *("serial", "password", "ssid", "imei", "sim_number", "seed", "host", "apn"),
    *("gateway", "mac", "token", "address_text", "email"),
)


def is_secret(name: str) -> bool:
    """Return whether a field names somebody or opens something."""
    return any(part in name for part in NAMES_SOMEBODY)


class Filler:
    """Fills all fields of a message, and remembers what must not get out."""

    def __init__(self) -> None:
        """Begin."""
        self.secrets: list[str] = []
        self._count = 0

    def message(self, descriptor: Descriptor) -> Fields:
        """Return all fields of a message."""
        return {field.name: self._field(field) for field in descriptor.fields}

    def _field(self, field: FieldDescriptor) -> Any:
        if field.message_type is not None:
            items = [self.message(field.message_type) for _ in range(2)]
            return items if field.is_repeated else items[0]
        items = [self._value(field) for _ in range(2)]
        return items if field.is_repeated else items[0]

    def _value(self, field: FieldDescriptor) -> Any:
        self._count += 1
        if field.type == FieldDescriptor.TYPE_BYTES:
            text = f"4143931{self._count:05d}"
            if is_secret(field.name):
                self.secrets.append(text)
            else:
                text = f"text {self._count}"
            return text.encode()
        if is_secret(field.name) and field.type in {
            FieldDescriptor.TYPE_INT64,
            FieldDescriptor.TYPE_UINT64,
        }:
            number = 0x141293100000 + self._count
            self.secrets += [str(number), f"{number:012X}"]
            return number
        return self._count


def several(*items: Fields) -> list[Fields]:
    """Return messages as a field has them."""
    return [*items]


def texts(document: object) -> Iterator[str]:
    """Go through all texts and numbers of a document."""
    if isinstance(document, dict):
        for value in document.values():
            yield from texts(value)
    elif isinstance(document, list):
        for item in document:
            yield from texts(item)
    else:
        yield str(document)


@pytest.mark.parametrize("name", HEARD)
def test_no_field_of_any_message_tells_who_it_is(name: str) -> None:
    filler = Filler()
    descriptor = messages.parse(name, b"").DESCRIPTOR
    payload = messages.encode(name, filler.message(descriptor))
    masked = json.dumps(masked_dataset({name: [payload]}))
    assert filler.secrets
    assert [secret for secret in filler.secrets if secret in masked] == []


@pytest.mark.parametrize("encrypt", [False, True])
@pytest.mark.parametrize("inventory", [STICK, "hms-2000dw-4t"])
@pytest.mark.usefixtures("socket_enabled")
async def test_nothing_of_a_session_tells_who_it_is(
    inventory: str, encrypt: bool
) -> None:
    async with make_rig(inventory, encrypt=encrypt) as rig:
        rig.sim.start_alarm(121)

        async def ask(session: Session) -> None:
            await session.async_app_info()
            await session.async_real_data()
            await session.async_real_data(old=True)
            await session.async_config()
            await session.async_network_info()
            await session.async_alarms()

        await rig.client.async_in_session(ask)
        assert {A301, A303, A309, A311} <= {*rig.sim.asked()}
        found = masked_dataset(rig.client.heard)
        text = json.dumps(found)
        serials = [
            *rig.sim.inverters,
            *(meter.spec.serial for meter in rig.sim.meters),
        ]
        for secret in (
            *rig.sim.secrets,
            rig.sim.serial,
            *map(str, serials),
            *(f"{serial:012X}" for serial in serials),
        ):
            assert secret not in text
        if encrypt:
            assert rig.sim.encryption_seed.hex() not in text
        # Values are kept.
        said = [*texts(found)]
        assert "RealDataReply" in text
        for inverter in rig.sim.inverters.values():
            power = inverter.grid(rig.sim.clock.now()).active_power
            assert str(power) in said


def test_one_number_is_masked_the_same_everywhere() -> None:
    serial = 0x141293100001
    info = messages.encode(
        "AppInfoReply",
        {"dtu_serial": b"141293100001", "inverters": several({"serial": serial})},
    )
    data = messages.encode(
        "RealDataReply",
        {
            "single_phase": several({"serial": serial}),
            "panels": several(
                {"serial": serial, "port": 1}, {"serial": serial + 1, "port": 1}
            ),
        },
    )
    document: Any = masked_dataset({"AppInfoReply": [info], "RealDataReply": [data]})
    found = document["messages"]
    masked = found["AppInfoReply"]["inverters"][0]["serial"]
    assert masked != serial
    assert f"{masked:012X}".startswith("1412")
    assert found["AppInfoReply"]["dtu_serial"] == f"{masked:012X}"
    assert found["RealDataReply"]["single_phase"][0]["serial"] == masked
    one, two = (panel["serial"] for panel in found["RealDataReply"]["panels"])
    assert one == masked
    assert two != masked


def test_pages_become_one_message() -> None:
    pages = [
        messages.encode(
            "RealDataReply",
            {
                "page_count": 2,
                "page_index": page,
                "dtu_power": 5 if not page else 0,
                "single_phase": several({"serial": page + 1}),
            },
        )
        for page in range(2)
    ]
    document: Any = masked_dataset({"RealDataReply": pages})
    found = document["messages"]["RealDataReply"]
    assert len(found["single_phase"]) == 2
    assert found["dtu_power"] == 5
    assert "page_count" not in found
    assert "page_index" not in found


@given(
    serial=st.one_of(st.binary(max_size=20), st.text(max_size=20).map(str.encode)),
    number=st.integers(-(1 << 63), (1 << 63) - 1),
)
@example(serial=b"", number=0x0080_0000_0001)
@example(serial=b"123400000001", number=1)
def test_serial_numbers_may_be_anything(serial: bytes, number: int) -> None:
    payload = messages.encode(
        "AppInfoReply", {"dtu_serial": serial, "inverters": several({"serial": number})}
    )
    document: Any = masked_dataset({"AppInfoReply": [payload]})
    found = document["messages"]["AppInfoReply"]
    json.dumps(found)
    if len(serial) > 4:
        assert found["dtu_serial"] != serial.decode("utf-8", "replace")
    if abs(number) > 0xFFFF_FFFF:
        assert found["inverters"][0]["serial"] != number


@given(payload=st.binary(max_size=200))
def test_what_does_not_decode_is_left_out(payload: bytes) -> None:
    for name in HEARD:
        json.dumps(masked_dataset({name: [payload]}))
    assert masked_dataset({}) == {"messages": {}}
