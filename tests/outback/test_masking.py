"""A dump gives nothing private away, and can still be served and read."""

from hypothesis import given, settings, strategies as st
import pytest

from custom_components.local_solar.modbus.image import RegisterImage, Space
from custom_components.local_solar.outback.chain import Place
from custom_components.local_solar.outback.masking import mask
from custom_components.local_solar.outback.system import Equipment, async_identify
from simulators.mate3.chain import Chain
from tests.outback_helpers import RECORDED, needs_captures

from .helpers import GatewayUnit, MapUnit, identified, still
from .test_system import set_text

PRIVATE = (
    # DID, offset, registers
    *((64110, 7, 7), (64110, 34, 20), (64110, 54, 16), (64110, 79, 20)),
    *((64110, 101, 25), (64110, 126, 20), (64110, 146, 20), (64110, 167, 30)),
    *((64110, 197, 15), (64110, 212, 20), (64110, 251, 20), (64110, 368, 20)),
    *((64110, 14, 8), (64110, 71, 8), (64110, 232, 8), (64110, 240, 8)),
    (1, 51, 16),
)
"""Texts that tell who and where the owner is, or let others in."""

ADDRESSES = range(22, 34)
"""Network of the gateway: registers of block 64110."""

SECRET = "Xyz7"


async def masked_dump(gateway_words: dict[int, int]) -> dict[int, int]:
    """Return the words of a dump of a map, masked."""
    unit = MapUnit(gateway_words)
    system = await async_identify(unit)
    image = RegisterImage()
    first = min(gateway_words)
    words = [gateway_words[address] for address in sorted(gateway_words)]
    image.store(Space.HOLDING, first, words, 0.0)
    mask(image, system.places)
    return image.words[Space.HOLDING]


@pytest.mark.parametrize(("did", "offset", "size"), PRIVATE)
async def test_what_is_private_is_masked(did: int, offset: int, size: int) -> None:
    gateway = still()
    text = (SECRET * 20)[: 2 * size]
    set_text(gateway, did, offset, size, text)
    words = await masked_dump(dict(enumerate(gateway.chain.as_words(), 40000)))
    address = gateway.address_of(did, offset)
    octets = b"".join(
        words[place].to_bytes(2, "big") for place in range(address, address + size)
    )
    for start in range(len(text) - 3):
        assert text[start : start + 4].encode() not in octets


async def test_the_hardware_address_keeps_only_the_makers_part() -> None:
    gateway = still()
    set_text(gateway, 64110, 7, 7, "0090EA-ABCDEF")
    words = await masked_dump(dict(enumerate(gateway.chain.as_words(), 40000)))
    assert (await async_identify(MapUnit(words))).id == "0090ea000000"


async def test_the_network_of_the_owner_is_masked() -> None:
    gateway = still()
    for offset in ADDRESSES:
        gateway.set_word(64110, offset, 0xC0A8)
    words = await masked_dump(dict(enumerate(gateway.chain.as_words(), 40000)))
    first = gateway.address_of(64110, ADDRESSES.start)
    assert not any(words[first + place] for place in range(len(ADDRESSES)))


def _serial_number_of(item: Equipment) -> tuple[int, int]:
    """Return where the serial number of a device begins, and what is behind it."""
    assert item.config is not None
    assert item.config.block is not None
    row = item.config.block.row("serial_number").at(item.config.address)
    return row.address, row.end


async def test_a_masked_dump_is_still_a_map() -> None:
    gateway = still()
    before = gateway.chain.as_words()
    words = await masked_dump(dict(enumerate(before, 40000)))
    again = Chain.parse(words, "masked")
    assert [block.did for block in again.blocks] == [
        block.did for block in gateway.chain.blocks
    ]
    system = (await identified(GatewayUnit(still()))).system
    masked = await async_identify(MapUnit(words))
    assert [item.model for item in masked.equipment] == [
        item.model for item in system.equipment
    ]
    # What devices measure and are set to is all there, but for their serial numbers.
    serials = {
        address
        for item in system.equipment
        for address in range(*_serial_number_of(item))
    }
    first = gateway.address_of(64120)
    for address, word in enumerate(before, 40000):
        if address >= first and address not in serials:
            assert words[address] == word, address


@needs_captures
async def test_the_recorded_dump_can_be_masked() -> None:
    gateway = still(RECORDED)
    words = await masked_dump(dict(enumerate(gateway.chain.as_words(), 40000)))
    system = await async_identify(MapUnit(words))
    assert system.id == "0090ea000000"
    assert system.serial_number == "MASKED"


@settings(max_examples=50)
@given(
    st.dictionaries(st.integers(40060, 40500), st.integers(0, 0xFFFF)),
    st.integers(0, 420),
)
def test_any_part_of_a_map_can_be_masked(words: dict[int, int], length: int) -> None:
    """Registers that were not read are not made up, and none behind the block change."""
    image = RegisterImage()
    for address, word in words.items():
        image.store(Space.HOLDING, address, [word], 0.0)
    places = (
        Place(did=1, address=40002, length=65),
        Place(did=64110, address=40069, length=420),
    )
    mask(image, places)
    found = image.words[Space.HOLDING]
    assert found.keys() == words.keys()
    for address, word in words.items():
        if address >= 40491:
            assert found[address] == word


def test_what_lies_behind_a_short_block_is_not_masked() -> None:
    image = RegisterImage()
    image.store(Space.HOLDING, 40069, [7] * 420, 0.0)
    mask(image, (Place(did=64110, address=40069, length=100),))
    assert set(list(image.words[Space.HOLDING].values())[102:]) == {7}
