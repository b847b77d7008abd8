"""Who a gateway is and what is behind it, whatever its map looks like."""

import asyncio
from collections.abc import Iterable
from contextlib import suppress
from copy import deepcopy
from typing import Final

from hypothesis import given, settings, strategies as st
from modbus_connection import IllegalDataAddressError, ModbusError, ModbusTimeoutError
import pytest

from custom_components.local_solar.outback.block import Family
from custom_components.local_solar.outback.errors import (
    Mate3Error,
    NoDataError,
    NotOutBackError,
)
from custom_components.local_solar.outback.mate3 import Mate3
from custom_components.local_solar.outback.system import System, async_identify
from simulators.mate3.chain import Chain
from simulators.mate3.gateway import SimulatedMate3
from simulators.mate3.systems import VARIANTS
from tests.modbus.helpers import FakeClock
from tests.outback_helpers import CAPTURES, RECORDED, connected, needs_captures, reached

from .helpers import (
    MODEL_OFFSETS,
    SPACING,
    GatewayUnit,
    MapUnit,
    laid_out,
    still,
    time_of,
    wanted_of,
)
from .test_chain import MOST_REQUESTS, maps

MAC_OFFSET: Final = 7
"""Register of block 64110 with the hardware address, as text of 7 registers."""

SERIAL_OFFSET: Final = 51
"""Register of block 1 with the serial number, as text of 16 registers."""

SHORTER_THAN_ANY: Final = 26
"""No block of a device is known to be shorter."""

Known = tuple[Family, int, str]
INVERTER, CONTROLLER, MONITOR = (
    *(Family.INVERTER, Family.CHARGE_CONTROLLER),
    Family.BATTERY_MONITOR,
)

SYSTEMS: Final[dict[str, list[Known]]] = {
    "mate3s": [
        (INVERTER, 1, "GS8048A"),
        (CONTROLLER, 3, "FM80-150VDC"),
        (CONTROLLER, 4, "FM80-150VDC"),
        (MONITOR, 5, "FLEXnet DC"),
    ],
    "mate3-311": [
        (INVERTER, 1, "VFXR3648A"),
        (CONTROLLER, 2, "FM80-150VDC"),
        (MONITOR, 3, "FLEXnet DC"),
    ],
    "fx": [
        (INVERTER, 1, "VFX3048E"),
        (INVERTER, 2, "VFX3048E"),
        (CONTROLLER, 3, "FM80-150VDC"),
        (MONITOR, 4, "FLEXnet DC"),
    ],
    "split-stack": [
        (INVERTER, 1, "GS8048A"),
        (INVERTER, 2, "GS8048A"),
        (INVERTER, 3, "GS8048A"),
        (CONTROLLER, 4, "FM100-300VDC"),
        (CONTROLLER, 5, "FM80-150VDC"),
        (MONITOR, 10, "FLEXnet DC"),
    ],
    "new-firmware": [
        (INVERTER, 1, "GS8048A"),
        (CONTROLLER, 3, "FM80-150VDC"),
        (CONTROLLER, 4, "FM60-150VDC"),
        (MONITOR, 5, "FLEXnet DC"),
    ],
}


def known(system: System) -> list[Known]:
    """Return what is behind a gateway, in short."""
    return [(item.family, item.port, item.model) for item in system.equipment]


async def identify(gateway: SimulatedMate3) -> System:
    """Identify a simulated gateway."""
    return await async_identify(GatewayUnit(gateway))


# -- as it should be -----------------------------------------------------------------------


def test_all_variants_are_held_here() -> None:
    assert set(SYSTEMS) == set(VARIANTS)


@pytest.mark.parametrize("variant", SYSTEMS)
async def test_all_devices_of_a_system_are_found(variant: str) -> None:
    gateway = still(variant)
    system = await identify(gateway)
    assert known(system) == SYSTEMS[variant]
    ids = [item.id for item in system.equipment]
    assert len({*ids, system.id}) == len(ids) + 1
    for item in system.equipment:
        assert item.id == f"{system.id}_{item.family}_{item.port}"
        assert item.live is not None
        assert item.config is not None
        identity = system.identity_of(item)
        assert (identity.via, identity.port) == (system.id, item.port)
        assert identity.model == item.model
        assert identity.firmware
        assert identity.serial_number is None, "owners write what they like there"


@pytest.mark.usefixtures("socket_enabled")
async def test_a_gateway_is_reached_over_a_socket() -> None:
    async with (
        reached(variant="mate3-311") as there,
        connected(there) as unit,
    ):
        assert known(await async_identify(unit)) == SYSTEMS["mate3-311"]


@needs_captures
async def test_the_recorded_system_is_identified() -> None:
    system = await identify(still(RECORDED))
    assert system.id.startswith("0090ea")
    assert (system.model, system.firmware) == ("MATE3s", "1.4.2")
    assert system.nominal_voltage == 48.0
    assert known(system) == [
        (INVERTER, 1, "VFXR3048E"),
        (INVERTER, 2, "VFXR3048E"),
        (CONTROLLER, 3, "FM60-150VDC"),
        (CONTROLLER, 4, "FM80-150VDC"),
        (MONITOR, 5, "FLEXnet DC"),
    ]
    identity = system.identity
    assert (identity.id, identity.via, identity.port) == (system.id, None, None)
    assert identity.manufacturer == "OutBack"


@needs_captures
@pytest.mark.parametrize("path", sorted(CAPTURES.glob("*.json")), ids=lambda p: p.stem)
async def test_every_dump_is_identified(path: object) -> None:
    assert isinstance(path, type(RECORDED))
    gateway = still(path)
    system = await identify(gateway)
    devices = gateway.chain.devices()
    assert [item.port for item in system.equipment] == [one.port for one in devices]
    for item, device in zip(system.equipment, devices, strict=True):
        assert item.live is not None
        assert item.live.did == device.did
        assert (item.config is None) == (device.config is None)


async def test_identifying_takes_one_read_of_each_block_more_than_walking() -> None:
    gateway = still("split-stack")
    await async_identify(unit := GatewayUnit(gateway))
    configs = len(SYSTEMS["split-stack"])
    walked = len(gateway.chain.blocks) + 3
    assert unit.requests <= walked + 3 + configs
    assert all(count <= 100 for _, count in unit.reads)


async def test_blocks_are_paired_by_family_and_port_in_any_order() -> None:
    gateway = still("split-stack")
    system = await identify(gateway)
    chain = gateway.chain
    hub = [block for block in chain.blocks if block.port is not None]
    rest = [block for block in chain.blocks if block.port is None]
    chain.blocks = [*rest, *reversed(hub)]
    other = await identify(gateway)
    assert {item.id: item.model for item in other.equipment} == {
        item.id: item.model for item in system.equipment
    }
    for item in other.equipment:
        assert item.config is not None
        assert item.live is not None
        assert item.config.port == item.live.port == item.port


async def test_devices_of_different_families_may_share_a_number() -> None:
    gateway = still()
    chain = gateway.chain
    for block in chain.device(4).blocks:
        block.port = 5
    system = await identify(gateway)
    assert (CONTROLLER, 5, "FM80-150VDC") in known(system)
    assert (MONITOR, 5, "FLEXnet DC") in known(system)


async def test_a_device_without_configuration_is_known_by_its_family() -> None:
    gateway = still()
    gateway.chain.blocks = [
        block for block in gateway.chain.blocks if block.did != 64119
    ]
    system = await identify(gateway)
    (monitor,) = (item for item in system.equipment if item.family is MONITOR)
    assert (monitor.model, monitor.config) == ("", None)
    assert system.identity_of(monitor).model == "FLEXnet DC"


async def test_only_configuration_is_a_device_too() -> None:
    gateway = still()
    gateway.chain.blocks = [
        block for block in gateway.chain.blocks if block.did != 64118
    ]
    system = await identify(gateway)
    (monitor,) = (item for item in system.equipment if item.family is MONITOR)
    assert monitor.live is None
    assert monitor.model == "FLEXnet DC"


# -- what a gateway does not tell -----------------------------------------------------------


def set_text(
    gateway: SimulatedMate3, did: int, offset: int, size: int, text: str
) -> None:
    """Put a text into a block."""
    octets = text.encode("latin1").ljust(2 * size, b"\0")
    for place in range(size):
        word = int.from_bytes(octets[2 * place : 2 * place + 2], "big")
        gateway.set_word(did, offset + place, word)


@pytest.mark.parametrize("mac", ["", "0090EA", "nonsense", "\xff" * 14])
async def test_a_gateway_without_hardware_address_goes_by_its_serial_number(
    mac: str,
) -> None:
    gateway = still()
    set_text(gateway, 64110, MAC_OFFSET, 7, mac)
    set_text(gateway, 1, SERIAL_OFFSET, 16, "MA1909F123")
    system = await identify(gateway)
    assert system.id == system.serial_number == "MA1909F123"


@pytest.mark.parametrize("mac", ["0090EA-E09F2E", "0090eae09f2e"])
async def test_a_hardware_address_may_be_written_in_any_way(mac: str) -> None:
    gateway = still()
    set_text(gateway, 64110, MAC_OFFSET, 7, mac)
    assert (await identify(gateway)).id == "0090eae09f2e"


async def test_a_gateway_that_nothing_tells_from_others_is_not_taken() -> None:
    gateway = still()
    set_text(gateway, 64110, MAC_OFFSET, 7, "")
    set_text(gateway, 1, SERIAL_OFFSET, 16, "")
    with pytest.raises(NoDataError):
        await identify(gateway)


@pytest.mark.parametrize("volts", [0, 11, 61, 480, 0x8000, 0xFFFF])
async def test_an_odd_nominal_voltage_is_none(volts: int) -> None:
    gateway = still()
    gateway.set_word(64110, 406, volts)
    assert (await identify(gateway)).nominal_voltage is None


@pytest.mark.parametrize("kind", [0, 4, 0xFFFF])
async def test_an_unknown_type_of_gateway_is_called_as_it_says(kind: int) -> None:
    gateway = still()
    gateway.set_word(64110, 405, kind)
    assert (await identify(gateway)).model == "MATE3S"


@pytest.mark.parametrize(
    ("length", "model", "volts"),
    [
        *((11, "MATE3S", None), (13, "MATE3S", None), (402, "MATE3S", None)),
        *((404, "MATE3s", 48.0), (405, "MATE3s", 48.0)),
    ],
)
async def test_a_gateway_with_a_short_block_is_taken(
    length: int, model: str, volts: float | None
) -> None:
    chain = still().chain
    block = chain.block(64110)
    del block.words[length + 2 :]
    block.words[1] = length
    system = await async_identify(MapUnit(dict(enumerate(chain.as_words(), 40000))))
    assert (system.model, system.nominal_voltage) == (model, volts)
    assert known(system) == SYSTEMS["mate3s"]


# -- what must be refused -------------------------------------------------------------------


async def test_a_map_of_another_maker_is_refused() -> None:
    other = laid_out([1, 65, *[0x4141] * 65], [103, 50, *[0] * 50])
    with pytest.raises(NotOutBackError, match="1, 103"):
        await async_identify(MapUnit(other))


async def test_an_empty_map_is_refused() -> None:
    with pytest.raises(NotOutBackError):
        await async_identify(MapUnit(laid_out()))


@pytest.mark.parametrize("missing", [1, 64110])
async def test_a_map_without_gateway_or_common_block_is_refused(missing: int) -> None:
    gateway = still()
    words = dict(
        enumerate(
            Chain(
                "test",
                [block for block in gateway.chain.blocks if block.did != missing],
            ).as_words(),
            40000,
        )
    )
    with pytest.raises(NotOutBackError):
        await async_identify(MapUnit(words))


@pytest.mark.parametrize("port", [3, 4, 5])
@pytest.mark.parametrize("words", [1, 3, 30])
async def test_a_map_with_a_gap_is_not_taken_for_a_smaller_system(
    port: int, words: int
) -> None:
    gateway = still()
    gateway.lose_data(port, 3600, words=words)
    with pytest.raises(Mate3Error):
        await identify(gateway)


async def test_a_block_that_goes_while_it_is_looked_at_is_noticed() -> None:
    gateway = still()
    walked = len(gateway.chain.blocks) + 2
    unit = GatewayUnit(gateway)

    def lose(number: int) -> None:
        if number == walked:
            gateway.lose_data(3, 3600)

    unit.before = lose
    with pytest.raises(NoDataError):
        await async_identify(unit)


@pytest.mark.parametrize("at", range(13, 23))
async def test_a_device_that_moves_while_it_is_looked_at_is_noticed(at: int) -> None:
    gateway = still()
    before = await identify(gateway)
    unit = GatewayUnit(gateway)

    def swap(number: int) -> None:
        if number == at:
            gateway.chain.swap_ports(1, 4)

    unit.before = swap
    try:
        system = await async_identify(unit)
    except Mate3Error:
        return
    # Whatever it says is on a port was there, before or after.
    after = await identify(gateway)
    assert set(known(system)) <= set(known(before)) | set(known(after))


@pytest.mark.parametrize("did", [64111, 64112])
async def test_two_devices_on_one_port_are_refused(did: int) -> None:
    gateway = still()
    gateway.chain.block(did, 4).port = 3
    with pytest.raises(NoDataError, match="both of the charge controller on port 3"):
        await identify(gateway)


async def test_inverters_of_two_kinds_on_one_port_are_refused() -> None:
    gateway = still("fx")
    stranger = still("mate3-311").chain.device(1)
    assert stranger.config is not None
    gateway.chain.blocks += deepcopy(stranger.blocks)
    with pytest.raises(NoDataError, match="inverter on port 1"):
        await identify(gateway)


@pytest.mark.parametrize("port", [11, 0x7FFF, 0x8000, 0xFFFF])
async def test_a_device_on_no_port_is_refused(port: int) -> None:
    gateway = still()
    for block in gateway.chain.device(3).blocks:
        block.port = port
    with pytest.raises(NoDataError):
        await identify(gateway)


async def test_an_unreadable_model_is_empty_rather_than_odd() -> None:
    gateway = still()
    for place in range(9):
        gateway.set_word(64112, MODEL_OFFSETS[64112] + place, 0xFFFF, 3)
    system = await identify(gateway)
    (controller,) = (
        item for item in system.equipment if (item.family, item.port) == (CONTROLLER, 3)
    )
    assert controller.model == ""
    assert system.identity_of(controller).model == "FLEXmax"


@pytest.mark.parametrize("number", range(26))
async def test_a_link_that_fails_while_it_is_looked_at_is_an_error(number: int) -> None:
    unit = GatewayUnit(still())

    def fail(at: int) -> None:
        if at == number:
            raise ModbusTimeoutError("silent")

    unit.before = fail
    await_it = async_identify(unit)
    if number < 23:
        with pytest.raises(ModbusTimeoutError):
            await await_it
    else:
        await await_it


# -- anything at all ------------------------------------------------------------------------


@st.composite
def spoilt(draw: st.DrawFn) -> dict[int, int]:
    """Draw the map of a real system in which some words are wrong, or the end is missing."""
    chain = still(draw(st.sampled_from(sorted(VARIANTS)))).chain
    words = dict(enumerate(chain.as_words(), 40000))
    headers = [
        chain.address_of(block) + place for block in chain.blocks for place in (0, 1, 2)
    ]
    places = st.one_of(st.sampled_from(headers), st.sampled_from(sorted(words)))
    values = st.one_of(
        st.sampled_from(
            (0, 1, 2, 0x8000, 0xFFFF, 26, 64110, 64111, 64112, 64116, 64118, 64120)
        ),
        st.integers(0, 0xFFFF),
    )
    words |= draw(st.dictionaries(places, values, min_size=1, max_size=6))
    cut = draw(st.one_of(st.none(), st.sampled_from(sorted(words))))
    return {
        address: word for address, word in words.items() if cut is None or address < cut
    }


def most_requests(words: Iterable[int]) -> int:
    """Return a number of requests that no map of so many words is worth more than."""
    return MOST_REQUESTS + MOST_REQUESTS // 2 + len(list(words)) // 10


def _try(unit: MapUnit) -> None:
    """Identify a map, and read all of it if that can be done, as the integration does."""

    async def run() -> None:
        with suppress(Mate3Error, ModbusError):
            system = await async_identify(unit)
            asked = len(unit.reads)
            mate3 = Mate3(unit, system, spacing=SPACING)
            clock = FakeClock()
            with time_of(clock):
                for _ in range(2):
                    poll = await mate3.async_poll(wanted_of(mate3))
                    assert set(poll.snapshot) <= {
                        device.identity.id for device in mate3.devices
                    }
                    clock.now += 10
            assert all(count <= 100 for _, count in unit.reads[asked:])

    asyncio.run(run(), debug=False)


refusals = st.sampled_from((IllegalDataAddressError(), ModbusTimeoutError("silent")))


@pytest.mark.parametrize("part", range(4))
@settings(max_examples=60)
@given(spoilt(), refusals)
def test_a_spoilt_map_is_taken_or_refused_in_bounded_time(
    part: int, words: dict[int, int], refusal: ModbusError
) -> None:
    _try(MapUnit(words, refusal=refusal, most=2 * most_requests(words)))


@pytest.mark.parametrize("part", range(2))
@settings(max_examples=100)
@given(maps(), refusals)
def test_an_invented_map_is_taken_or_refused_in_bounded_time(
    part: int, words: dict[int, int], refusal: ModbusError
) -> None:
    _try(MapUnit(words, refusal=refusal, most=2 * most_requests(words)))
