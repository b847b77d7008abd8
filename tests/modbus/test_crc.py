"""The checksum."""

from hypothesis import given, strategies as st
import pytest

from custom_components.local_solar.modbus.crc import crc16

BURST = 16
"""Bits next to each other that a checksum of 16 bits never misses, whatever became of them."""

payloads = st.binary(max_size=300)


def bit_by_bit(data: bytes) -> int:
    """Return the checksum as its definition says it: one bit after the other."""
    register = 0xFFFF
    for octet in data:
        register ^= octet
        for _ in range(8):
            low, register = register & 1, register >> 1
            if low:
                register ^= 0xA001
    return register


@pytest.mark.parametrize(
    ("data", "checksum"),
    [
        (b"", 0xFFFF),
        (b"\0", 0x40BF),
        (b"\0\0", 0xB001),
        (b"123456789", 0x4B37),
        (b"12345678", 0x37DD),
    ],
)
def test_known_checksums(data: bytes, checksum: int) -> None:
    assert crc16(data) == checksum == bit_by_bit(data)


@given(payloads)
def test_it_is_the_checksum_of_modbus(data: bytes) -> None:
    assert crc16(data) == bit_by_bit(data)


@pytest.mark.parametrize("length", [65_534, 65_535])
def test_the_longest_payloads_have_one_too(length: int) -> None:
    data = bytes(index * 7 % 251 for index in range(length))
    assert crc16(data) == bit_by_bit(data)


@given(payloads.filter(bool), st.data())
def test_what_is_garbled_within_16_bits_has_another(
    data: bytes, draw: st.DataObject
) -> None:
    burst = draw.draw(st.integers(1, (1 << BURST) - 1))
    at = draw.draw(st.integers(0, 8 * len(data) - 1))
    # The checksum takes the lowest bit of a byte first.
    number = int.from_bytes(data, "little") ^ burst << at
    garbled = (number & (1 << 8 * len(data)) - 1).to_bytes(len(data), "little")
    if garbled != data:
        assert crc16(garbled) != crc16(data)


@given(payloads)
def test_the_checksum_behind_its_data_leaves_nothing(data: bytes) -> None:
    assert crc16(data + crc16(data).to_bytes(2, "little")) == 0
