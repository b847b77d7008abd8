"""The tables of blocks: whole, without contradictions, and closed where they must be."""

from collections import Counter
from collections.abc import Iterable
from itertools import combinations, pairwise
from typing import Final

import pytest

from custom_components.local_solar.modbus.codecs import S16, U16
from custom_components.local_solar.outback.block import Block, Family, Nominal, Row
from custom_components.local_solar.outback.blocks import BLOCKS
from custom_components.local_solar.outback.codecs import Bit, Shown
from custom_components.local_solar.outback.points import every_point
from custom_components.local_solar.outback.settings import DeviceSettings
from custom_components.local_solar.points import Quantity, Visibility
from custom_components.local_solar.write_errors import (
    NeverWriteError,
    NotASettingError,
    UnknownSettingError,
    WriteError,
)

from .helpers import GatewayUnit, identified, still

# Length that a gateway tells, and the last offset that any of the documents give.
SIZES: Final = {
    1: (65, 67),
    64110: (420, 422),
    64111: (26, 28),
    64112: (88, 90),
    64113: (36, 38),
    64114: (72, 74),
    64115: (59, 61),
    64116: (89, 91),
    64117: (46, 49),
    64118: (76, 78),
    64119: (52, 54),
    64120: (27, 29),
    64255: (56, 58),
}

NEVER: Final = {
    1: (67,),
    64110: (
        *(14, 71, 232, 240, 366),  # secrets and the key that unlocks updates
        *range(22, 34),  # network
        *range(34, 166),
        *(166, *range(197, 232)),  # e-mail
        *(368, 388),  # cloud
        *(404, 421, 422, 328),
    ),
    64112: (67, 69, 71, 72),  # clear logs; calibration
    64114: (48, 49, 50, 54, 55, 56),  # stacking; calibration
    64116: (52, 53, 54, 58, 59, 60, 61, 85, 86, 91),
    64118: (74, 76, 78),
    64119: (36,),
    64113: (25, 26),  # any write clears these
    64115: (40, 41),
    64117: (33, 34),
}
"""DID -> offsets that must not be written, by whatever way."""

INSTALLER: Final = {
    64110: (271, 272, 419),
    64114: (27, 28, 29, 30, 31, 32, 33, 34, 52, 53),
    64116: (28, 29, 30, 31, 33, 34, 35, 36, 37, 56, 57),
    64119: (10, 11, 12, 13, 14, 15, 16, 17),
    64120: (28, 29),
}
"""DID -> offsets that can do harm to the house, the grid or what is known of the battery."""

COMMANDS: Final = {6: {1, 2, 3, 4}, 7: {1, 2}, 8: {1, 2, 3}, 9: {1, 2}, 10: {1, 2, 3}}
"""Offset of a command to all devices -> its words."""

BATTERY_VOLTS: Final = range(9, 18)
"""What any set-point of a 12 V battery may be."""

blocks = pytest.mark.parametrize("block", BLOCKS.values(), ids=map(str, BLOCKS))


def _whole(block: Block) -> list[Row]:
    """Return the rows that show all of their registers, rather than bits of them."""
    return [
        row
        for row in block.rows
        if row.sends_to is None and not isinstance(row.register.codec, Bit)
    ]


def _settings(block: Block) -> list[Row]:
    return [row for row in block.rows if row.setting is not None]


def _touched(row: Row) -> set[int]:
    """Return the offsets that a write of a row changes."""
    first = row.offset if row.sends_to is None else row.sends_to
    words = row.words if row.sends_to is None else 1
    return set(range(first, first + words))


def test_all_blocks_of_the_maker_are_there() -> None:
    assert {did: block.did for did, block in BLOCKS.items()} == {
        did: did for did in SIZES
    }


@blocks
def test_a_block_is_as_long_as_documents_say(block: Block) -> None:
    length, last = SIZES[block.did]
    assert block.length == length
    # Newer or older firmware tells more, which is decoded where the length says so.
    assert max(row.end for row in block.rows) - 1 == last


@blocks
def test_rows_follow_each_other_without_gaps(block: Block) -> None:
    rows = sorted(_whole(block), key=lambda row: row.offset)
    assert rows[0].offset == 1
    for row, following in pairwise(rows):
        assert row.end == following.offset, f"{row.name} and {following.name}"


@blocks
def test_bits_lie_in_a_field_that_is_a_row(block: Block) -> None:
    whole = {row.offset: row for row in _whole(block)}
    masks: Counter[tuple[int, int]] = Counter()
    for row in block.rows:
        if isinstance(codec := row.register.codec, Bit):
            masks[row.offset, codec.mask] += 1
            assert whole[row.offset].words == 1
            assert codec.mask.bit_count() == 1
            assert codec.mask != 0x8000, "this bit says that the field means nothing"
    assert set(masks.values()) <= {1}


@blocks
def test_names_are_unique(block: Block) -> None:
    names = Counter(row.name for row in block.rows)
    assert set(names.values()) == {1}


@pytest.mark.parametrize("variant", ["mate3s", "fx", "mate3-311", "split-stack"])
async def test_keys_are_unique_in_a_device(variant: str) -> None:
    mate3 = await identified(GatewayUnit(still(variant)))
    system = mate3.system
    for places in (
        system.gateway_places,
        *(equipment.places for equipment in system.equipment),
    ):
        keys = Counter(
            row.key
            for place in places
            if place.block is not None
            for row in place.block.rows
        )
        assert {key for key, times in keys.items() if times > 1} == set()
    for device in mate3.devices:
        points = Counter(point.key for point in device.points)
        assert {key for key, times in points.items() if times > 1} == set()


@blocks
def test_scale_factors_are_signed_words_of_the_same_block(block: Block) -> None:
    for row in block.rows:
        if row.scale_factor:
            scale = block.row(row.scale_factor)
            assert scale.register.codec == S16, row.name
            assert scale.setting is None
            assert not scale.scale_factor
            assert row.register.options is None, f"{row.name}: an option has no scale"


@blocks
def test_only_blocks_of_devices_have_a_port(block: Block) -> None:
    assert block.has_port == (block.family is not Family.GATEWAY)
    if block.has_port:
        port = block.row("port_number")
        assert (port.offset, port.words, port.setting) == (3, 1, None)
    for place, name in enumerate(("did", "length"), 1):
        assert (block.row(name).offset, block.row(name).setting) == (place, None)


def test_a_key_means_the_same_wherever_it_is_seen() -> None:
    kinds: dict[str, set[tuple[Quantity, str | None]]] = {}
    for point in every_point():
        if point.visibility is not Visibility.RAW:
            kinds.setdefault(point.key, set()).add((point.quantity, point.unit))
    assert {key: found for key, found in kinds.items() if len(found) > 1} == {}


def test_devices_show_and_offer_no_more_than_owners_can_look_at() -> None:
    for block in BLOCKS.values():
        visible = Counter(row.register.point.visibility.name for row in block.rows)
        assert visible["SHOWN"] <= 30
        assert visible["OFFERED"] <= 100


# -- settings ----------------------------------------------------------------------------


@blocks
def test_no_two_settings_write_the_same_register(block: Block) -> None:
    for one, other in combinations(_settings(block), 2):
        shared = _touched(one) & _touched(other)
        if one.sends_to and one.sends_to == other.sends_to:
            # Bulk and equalizing are commands of one register, but not the same.
            assert not set(_options(one)) & set(_options(other))
        else:
            assert not shared, f"{one.name} and {other.name}"


def _options(row: Row) -> Iterable[int]:
    return row.register.options or {}


@blocks
def test_what_must_never_be_written_has_no_setting(block: Block) -> None:
    forbidden = set(NEVER.get(block.did, ()))
    for row in _settings(block):
        assert not _touched(row) & forbidden, row.name
        assert not row.register.never_write, row.name


@blocks
def test_what_must_never_be_written_says_why(block: Block) -> None:
    forbidden = set(NEVER.get(block.did, ()))
    rows = {
        offset: row for row in _whole(block) for offset in range(row.offset, row.end)
    }
    for offset in forbidden & rows.keys():
        assert rows[offset].register.never_write, f"{offset} {rows[offset].name}"


@blocks
def test_no_setting_is_a_header_a_port_a_scale_or_a_text(block: Block) -> None:
    scales = {row.scale_factor for row in block.rows}
    for row in _settings(block):
        assert row.offset > 2
        assert row.name != "port_number"
        assert row.name not in scales
        assert row.register.point.quantity is not Quantity.TEXT


@blocks
def test_what_can_do_harm_is_for_installers(block: Block) -> None:
    offsets = set(INSTALLER.get(block.did, ()))
    for row in _settings(block):
        assert row.setting is not None
        if _touched(row) & offsets:
            assert row.setting.installer, row.name
            assert not row.setting.everyday, row.name


def test_only_system_control_takes_commands() -> None:
    commands: dict[int, set[int]] = {}
    for block in BLOCKS.values():
        for row in block.rows:
            if row.sends_to is None:
                continue
            assert block.did == 64120
            assert isinstance(row.register.codec, Shown)
            assert row.setting is not None
            assert not row.setting.persistent
            assert not row.setting.everyday
            target = next(
                other for other in _whole(block) if other.offset == row.sends_to
            )
            assert target.write_only
            assert target.setting is None
            commands.setdefault(row.sends_to, set()).update(_options(row))
    assert commands == COMMANDS


@blocks
def test_every_setting_has_limits_options_or_is_a_time(block: Block) -> None:
    for row in _settings(block):
        setting, options = row.setting, row.register.options
        assert setting is not None
        if options is not None:
            assert len(options) >= 2, row.name
            texts = [repr(option) for option in options.values()]
            assert len(set(texts)) == len(texts), f"{row.name}: which one is meant?"
            assert setting.minimum is setting.maximum is setting.step is None
        elif row.register.point.quantity is Quantity.TIME_OF_DAY:
            assert row.words == 2
        else:
            assert setting.minimum is not None, row.name
            assert setting.maximum is not None, row.name
            assert setting.step, row.name
            assert setting.minimum < setting.maximum, row.name


@blocks
@pytest.mark.parametrize("nominal", [None, 12.0, 24.0, 36.0, 48.0, 60.0])
def test_set_points_of_a_battery_suit_its_voltage(
    block: Block, nominal: float | None
) -> None:
    for row in _settings(block):
        if row.nominal is not Nominal.BATTERY:
            assert row.within(nominal) is row
            continue
        assert row.register.point.unit == "V"
        setting = row.within(nominal).setting
        assert setting is not None
        assert setting.minimum is not None
        assert setting.maximum is not None
        least, most = (12, 60) if nominal is None else (nominal, nominal)
        assert setting.minimum >= round(BATTERY_VOLTS.start * least / 12, 1)
        assert setting.maximum <= round(17.04 * most / 12, 1) + 0.05
        # Every battery of this voltage can be charged: lead at 2.5 V a cell.
        assert setting.maximum >= 15 * least / 12
        assert setting.minimum <= 10.5 * least / 12


@blocks
def test_options_fit_into_their_register(block: Block) -> None:
    for row in block.rows:
        options = row.register.options or {}
        if row.register.codec in (U16, S16):
            low, high = (0, 0xFFFE) if row.register.codec == U16 else (-0x7FFF, 0x7FFF)
            assert all(low <= number <= high for number in options), row.name


# -- the driver refuses --------------------------------------------------------------------


@pytest.mark.parametrize("installer", [False, True])
@pytest.mark.parametrize("variant", ["mate3s", "fx", "mate3-311", "new-firmware"])
async def test_the_driver_refuses_what_must_never_be_written(
    variant: str, installer: bool
) -> None:
    mate3 = await identified(unit := GatewayUnit(still(variant)))
    checked = 0
    for device, rows in mate3.rows.items():
        driver = DeviceSettings(unit, mate3, device, installer=installer)
        for key, placed in rows.items():
            offsets = set(range(placed.row.offset, placed.row.end))
            if not offsets & set(NEVER.get(placed.place.did, ())):
                continue
            expected = (NeverWriteError, NotASettingError)
            with pytest.raises(expected):
                driver.setting(key)
            with pytest.raises(expected):
                await driver.async_read(key)
            checked += 1
    assert checked > 20
    assert unit.writes == []


@pytest.mark.parametrize("variant", ["mate3s", "fx", "mate3-311", "new-firmware"])
async def test_no_setting_of_a_system_is_at_a_forbidden_register(variant: str) -> None:
    gateway = still(variant)
    mate3 = await identified(unit := GatewayUnit(gateway))
    forbidden = {
        gateway.chain.address_of(block) + offset - 1
        for block in gateway.chain.blocks
        for offset in NEVER.get(block.did, ())
    }
    headers = {
        gateway.chain.address_of(block) + place
        for block in gateway.chain.blocks
        for place in range(2)
    }
    targets: set[int] = set()
    for device, rows in mate3.rows.items():
        driver = DeviceSettings(unit, mate3, device, installer=True)
        for key, placed in rows.items():
            try:
                address = driver.setting(key).address
            except WriteError:
                continue
            assert address is not None
            targets.update(range(address, address + _words_sent(placed.row)))
    assert targets
    assert not targets & (forbidden | headers)
    assert max(targets) < gateway.chain.end - 2


def _words_sent(row: Row) -> int:
    return len(_touched(row))


@pytest.mark.parametrize("name", ["", "did", "nonsense", "pv_power", "problem"])
async def test_the_driver_knows_only_settings(name: str) -> None:
    mate3 = await identified(unit := GatewayUnit(still()))
    for device in mate3.rows:
        driver = DeviceSettings(unit, mate3, device, installer=True)
        with pytest.raises((UnknownSettingError, NotASettingError)):
            driver.setting(name)
