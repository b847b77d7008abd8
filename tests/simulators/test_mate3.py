"""What a simulated OutBack gateway does: map, writes, commands, clients, and a day at home."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from datetime import datetime
import json
from pathlib import Path
import re
from typing import Final

from modbus_connection import IllegalDataAddressError, ModbusConnectionError
from modbus_connection.tmodbus import connect_tcp
import pytest

from custom_components.local_solar.outback.blocks import BLOCKS
from simulators.__main__ import main
from simulators.clock import SimulatedClock
from simulators.datasets import Table
from simulators.errors import SimulatorError
from simulators.mate3.chain import (
    BASE,
    CHARGE_CONTROLLER,
    CHARGE_CONTROLLER_CONFIG,
    FLEXNET_DC,
    FLEXNET_DC_CONFIG,
    FX,
    FX_CONFIG,
    GATEWAY,
    RADIAN_CONFIG,
    SINGLE_PHASE,
    SPLIT_PHASE,
    SYSTEM_CONTROL,
    Block,
    Chain,
)
from simulators.mate3.commands import INVERTERS, Generator, Mode, Phase, Status
from simulators.mate3.gateway import VARIANTS, Mate3Simulator, SimulatedMate3
from simulators.mate3.registers import DAILY, PLACES, number, reads
from simulators.mate3.systems import build
from simulators.requests import RefusedError

from .clients import PATIENCE, bare, mbap, read_pdu, tcp_client

CAPTURES: Final = Path(__file__).parents[2].parent / "shared" / "captures" / "outback"
NOON: Final = datetime(2026, 6, 21, 12)
ERROR: Final = PLACES[GATEWAY]["error"].offset

HOME: Final = [
    *((1, 65, None), (64110, 420, None), (64120, 27, None), (102, 50, None)),
    *((64255, 56, None), (64115, 59, 1), (64116, 89, 1), (64111, 26, 3)),
    *((64112, 88, 3), (64111, 26, 4), (64112, 88, 4), (64118, 76, 5), (64119, 52, 5)),
]


def _still(variant: str = "mate3s", at: datetime = NOON) -> SimulatedMate3:
    """Return a gateway whose clock stands still."""
    clock = SimulatedClock(at, speed=0)
    return Mate3Simulator(variant=variant, clock=clock).mate3


def _living(variant: str = "mate3s", at: datetime = NOON) -> SimulatedMate3:
    """Return a gateway with a home, whose clock stands still."""
    clock = SimulatedClock(at, speed=0)
    return Mate3Simulator(variant=variant, live=True, clock=clock).mate3


def _walk(words: Sequence[int]) -> list[tuple[int, int, int | None]]:
    """Return number, length and port of all blocks, as a client finds them."""
    assert tuple(words[:2]) == (0x5375, 0x6E53)
    place, found = 2, []
    while words[place] != 0xFFFF:
        did, length = words[place], words[place + 1]
        port = words[place + 2] if 64111 <= did <= 64119 else None
        found.append((did, length, port))
        place += 2 + length
    assert words[place + 1] == 0
    assert len(words) == place + 2
    return found


def _all_words(mate3: SimulatedMate3) -> list[int]:
    words: list[int] = []
    for start in range(BASE, mate3.chain.end, 100):
        count = min(100, mate3.chain.end - start)
        words += mate3.read(Table.HOLDING, start, count)
    return words


def _write(
    mate3: SimulatedMate3, did: int, offset: int, *words: int, port: int | None = None
) -> int:
    """Write to a register and return the error word after it."""
    address = mate3.address_of(did, offset, port)
    mate3.check_write(address, words, single=len(words) == 1)
    mate3.store(address, words)
    return mate3.word(GATEWAY, ERROR)


def _advance(mate3: SimulatedMate3, seconds: float) -> None:
    mate3.clock.advance(seconds)
    mate3.update()


def _live_block(mate3: SimulatedMate3, did: int, port: int | None = None) -> Block:
    mate3.update()
    return mate3.chain.block(did, port)


def _shown(
    mate3: SimulatedMate3, did: int, name: str, port: int | None = None
) -> float:
    """Return the value of a register, rounded to what it can show."""
    value = number(_live_block(mate3, did, port), name)
    assert value is not None
    return round(value, 3)


@pytest.fixture
async def home() -> AsyncIterator[Mate3Simulator]:
    async with Mate3Simulator(clock=SimulatedClock(NOON, speed=0)) as simulator:
        yield simulator


# --- the map ---


async def test_a_client_finds_the_blocks_of_a_home(home: Mate3Simulator) -> None:
    words: list[int] = []
    async with tcp_client(await home.start_tcp()) as client:
        while len(words) < 1152:
            count = min(100, 1152 - len(words))
            answer = await client.read_holding_registers(
                BASE + len(words), count=count, device_id=1
            )
            assert not answer.isError()
            words += answer.registers
    assert _walk(words) == HOME


@pytest.mark.parametrize("unit", [0, 1, 2, 247, 255])
async def test_any_unit_id_is_answered(home: Mate3Simulator, unit: int) -> None:
    async with bare(await home.start_tcp()) as client:
        answer = await client.ask(mbap(unit, read_pdu(3, BASE, 2)), 13)
    assert answer == mbap(unit, bytes((3, 4)) + b"SunS")


@pytest.mark.parametrize(
    ("address", "count", "code"),
    [
        (BASE, 125, None),
        (40060, 20, None),  # across a border
        (41150, 2, None),
        (41151, 1, None),
        (41151, 2, 2),
        (41152, 1, 2),
        (39999, 2, 2),
        (0, 1, 2),
        (BASE, 126, 3),
    ],
)
async def test_only_registers_of_the_chain_are_read(
    home: Mate3Simulator, address: int, count: int, code: int | None
) -> None:
    async with bare(await home.start_tcp()) as client:
        pdu = read_pdu(3, address, count)
        size = 9 if code else 9 + 2 * count
        answer = await client.ask(mbap(1, pdu), size)
    assert answer[7:9] == (bytes((0x83, code)) if code else bytes((3, 2 * count)))


async def test_there_are_no_input_registers(home: Mate3Simulator) -> None:
    async with tcp_client(await home.start_tcp()) as client:
        answer = await client.read_input_registers(BASE, device_id=1)
    assert answer.exception_code == 1


@pytest.mark.parametrize("variant", VARIANTS)
def test_every_system_is_a_sound_chain(variant: str) -> None:
    mate3 = _still(variant)
    blocks = _walk(_all_words(mate3))
    assert [block[0] for block in blocks[:3]] == [1, 64110, 64120]
    assert Chain.load(mate3.chain.as_dataset()).as_words() == mate3.chain.as_words()
    ports = [device.port for device in mate3.chain.devices()]
    assert len(set(ports)) == len(ports)
    assert all(device.config for device in mate3.chain.devices())


@pytest.mark.parametrize("variant", VARIANTS)
def test_what_systems_show_makes_sense_to_the_integration(variant: str) -> None:
    seen = 0
    for block in build(variant).blocks:
        for row in (
            BLOCKS[block.did].rows_within(len(block.words) - 2)
            if (block.did in BLOCKS)
            else ()
        ):
            words = block.words[row.offset - 1 : row.end - 1]
            options = row.register.options
            raw = row.register.codec.decode(words)
            if row.write_only or options is None or raw in row.register.sentinels:
                continue
            seen += 1
            assert raw in options, (block.did, row.name, raw)
    assert seen > 100


@pytest.mark.parametrize(
    ("variant", "blocks", "absent"),
    [
        ("mate3-311", [(64117, 39, 1), (64116, 84, 1)], 64115),
        ("fx", [(64113, 36, 1), (64114, 72, 1), (64113, 36, 2)], 64116),
        ("split-stack", [(64115, 59, 1), (64115, 59, 2), (64115, 59, 3)], 64117),
        ("new-firmware", [(64120, 25, None), (120, 26, None), (124, 24, None)], 64117),
    ],
)
def test_systems_differ_as_real_ones_do(
    variant: str, blocks: list[tuple[int, int, int | None]], absent: int
) -> None:
    found = _walk(_all_words(_still(variant)))
    assert set(blocks) <= set(found)
    assert absent not in [did for did, _, _ in found]


def test_moving_registers_are_where_the_integration_has_them() -> None:
    compared = 0
    for did, places in PLACES.items():
        if did not in BLOCKS:
            continue
        rows = {row.name: row for row in BLOCKS[did].rows}
        for name, place in places.items():
            if name not in rows or rows[name].sends_to is not None:
                continue
            scale = rows[name].scale_factor
            compared += 1
            assert rows[name].offset == place.offset, (did, name)
            assert (rows[scale].offset if scale else 0) == place.scale, (did, name)
    assert compared > 180


# --- files ---


@pytest.mark.parametrize(
    "wrap",
    [
        lambda words: words,
        lambda words: {"_source": "somewhere", **words},
        lambda words: {"holding": words},
        lambda words: {"data": {"registers": {"holding": words}}},
        lambda words: {"data": {"entry": {}, "registers": words}},
    ],
)
def test_dumps_datasets_and_downloads_are_one_thing(
    tmp_path: Path, wrap: object
) -> None:
    words: dict[str, object] = {
        str(address): word for address, word in enumerate(build().as_words(), BASE)
    }
    words["40075"] = None
    words["40076"] = "**REDACTED**"
    path = tmp_path / "dump.json"
    assert callable(wrap)
    path.write_text(json.dumps(wrap(words)))
    chain = Chain.load(path)
    assert [(block.did, block.port) for block in chain.blocks] == [
        (did, port) for did, _, port in HOME
    ]
    assert chain.block(GATEWAY).words[6:9] == [0, 0, 0x4541]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({40000: 1}, "is no SunSpec map: there is no SunS at 40000"),
        ({40000: 1, 40074: 5}, "is encrypted: 40074 is not 0 and there is no SunS"),
        ({40492: 5000}, "block 64120 at 40491 with length 5000 goes beyond"),
        ({40492: 26}, "goes wrong: the end at 40519 has a length"),
        ({40631: 0}, "block 64115 at 40630 has no port"),
        ({40069: 64109}, "has no block 64110: it is no gateway"),
    ],
)
def test_bad_maps_are_refused_with_one_line_that_names_the_file(
    tmp_path: Path, changes: dict[int, int], message: str
) -> None:
    words = dict(enumerate(build().as_words(), BASE)) | changes
    path = tmp_path / "dump.json"
    path.write_text(json.dumps(words))
    with pytest.raises(SimulatorError, match=re.escape(message)) as caught:
        Mate3Simulator(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)


def test_a_map_that_breaks_off_is_refused() -> None:
    words = build().as_words()[:700]
    with pytest.raises(SimulatorError, match="goes beyond the last register 40699"):
        Mate3Simulator({str(BASE + place): word for place, word in enumerate(words)})
    with pytest.raises(SimulatorError, match="breaks off: there is no block at 40630"):
        Mate3Simulator(
            {str(BASE + place): word for place, word in enumerate(words[:630])}
        )


def test_an_unknown_system_is_refused() -> None:
    with pytest.raises(SimulatorError, match="'x' is not one of mate3s, mate3-311"):
        Mate3Simulator(variant="x")


@pytest.mark.parametrize(
    ("name", "blocks", "words"),
    [
        ("mate3s_dump", 15, 1278),
        ("synthetic_mate3_fw311_short_blocks", 11, 1009),
        ("synthetic_mate3_fx_vfx", 11, 994),
        ("synthetic_mate3s_newfw_split_stack_did120", 19, 1434),
    ],
)
def test_recorded_dumps_are_served_word_by_word(
    name: str, blocks: int, words: int
) -> None:
    path = CAPTURES / f"{name}.json"
    if not path.exists():
        pytest.skip("the recorded dumps are not part of the repository")
    recorded = {int(key): word for key, word in json.loads(path.read_text()).items()}
    mate3 = Mate3Simulator(path, clock=SimulatedClock(NOON, speed=0)).mate3
    served = _all_words(mate3)
    assert dict(enumerate(served, BASE)) == recorded
    assert len(_walk(served)) == blocks
    assert len(served) == words


# --- another lay-out ---


async def test_addresses_shift_under_a_client(home: Mate3Simulator) -> None:
    connection = await connect_tcp("127.0.0.1", port=await home.start_tcp())
    try:
        unit = connection.for_unit(1)
        assert await unit.read_holding_registers(40782, 3) == [64111, 26, 3]
        home.mate3.chain.add_device(like=1, port=2)
        assert await unit.read_holding_registers(40782, 3) == [64115, 59, 2]
        home.mate3.chain.remove_device(5)
        with pytest.raises(IllegalDataAddressError):
            await unit.read_holding_registers(41152 + 152, 1)
    finally:
        await connection.close()


def test_a_device_keeps_its_values_on_another_port() -> None:
    mate3 = _still()
    mate3.set_word(CHARGE_CONTROLLER_CONFIG, 11, 555, port=3)
    mate3.chain.move_port(CHARGE_CONTROLLER, 3, 7)
    blocks = _walk(_all_words(mate3))
    assert blocks[-6:] == [
        *((64111, 26, 4), (64112, 88, 4), (64118, 76, 5), (64119, 52, 5)),
        *((64111, 26, 7), (64112, 88, 7)),
    ]
    assert mate3.word(CHARGE_CONTROLLER_CONFIG, 11, port=7) == 555


def test_swapped_devices_change_places() -> None:
    mate3 = _still()
    mate3.chain.swap_ports(3, 5)
    assert [block for block in _walk(_all_words(mate3)) if block[2]] == [
        *((64115, 59, 1), (64116, 89, 1), (64118, 76, 3), (64119, 52, 3)),
        *((64111, 26, 4), (64112, 88, 4), (64111, 26, 5), (64112, 88, 5)),
    ]


def test_devices_may_stand_in_any_order() -> None:
    mate3 = _still()
    mate3.chain.reorder([5, 3])
    ports = [port for _, _, port in _walk(_all_words(mate3)) if port]
    assert ports == [5, 5, 3, 3, 1, 1, 4, 4]


@pytest.mark.parametrize(
    ("action", "message"),
    [
        (lambda chain: chain.move_port(64111, 9, 2), "nothing is on port 9"),
        (lambda chain: chain.move_port(64117, 3, 2), "on port 3 is a 64111"),
        (lambda chain: chain.move_port(64111, 3, 4), "something is on port 4"),
        (lambda chain: chain.add_device(3, 11), "there is no port 11"),
        (lambda chain: chain.remove_device(2), "nothing is on port 2"),
        (lambda chain: chain.swap_ports(1, 2), "nothing is on port 2"),
        (lambda chain: chain.block(64113, 1), "has no block 64113 on port 1"),
    ],
)
def test_impossible_lay_outs_are_refused(action: object, message: str) -> None:
    chain = build()
    before = chain.as_words()
    assert callable(action)
    with pytest.raises(SimulatorError, match=message):
        action(chain)
    assert chain.as_words() == before


# --- writes ---


async def test_settings_are_written_by_both_functions(home: Mate3Simulator) -> None:
    address = home.mate3.address_of(CHARGE_CONTROLLER_CONFIG, 11, port=4)
    async with tcp_client(await home.start_tcp()) as client:
        assert not (await client.write_register(address, 580, device_id=1)).isError()
        many = await client.write_registers(address + 1, [25, 12], device_id=0)
        assert not many.isError()
        answer = await client.read_holding_registers(address, count=3, device_id=255)
    assert answer.registers == [580, 25, 12]
    assert [request.done for request in home.requests] == [True, True, False]


@pytest.mark.parametrize("address", [39999, 41152, 0])
async def test_writes_outside_the_map_are_refused(
    home: Mate3Simulator, address: int
) -> None:
    async with tcp_client(await home.start_tcp()) as client:
        answer = await client.write_register(address, 1, device_id=1)
    assert answer.exception_code == 2


@pytest.mark.parametrize(
    ("did", "offset", "port"),
    [
        (1, 3, None),
        (GATEWAY, 1, None),
        (GATEWAY, 402, None),
        (SYSTEM_CONTROL, 11, None),
        (CHARGE_CONTROLLER, 14, 3),
        (SPLIT_PHASE, 40, 1),
        (102, 15, None),
        (RADIAN_CONFIG, 76, 1),
    ],
)
def test_writes_to_what_cannot_be_written_are_ignored(
    did: int, offset: int, port: int | None
) -> None:
    mate3 = _still()
    before = mate3.chain.as_words()
    assert _write(mate3, did, offset, 77, port=port) == 0
    assert mate3.chain.as_words() == before


@pytest.mark.parametrize(
    ("did", "offset", "word", "error"),
    [
        (FLEXNET_DC_CONFIG, 14, 101, 1),
        (FLEXNET_DC_CONFIG, 18, 3, 1),
        (SYSTEM_CONTROL, 8, 4, 1),
        (SYSTEM_CONTROL, 8, 0, 2),
        (CHARGE_CONTROLLER_CONFIG, 11, 2000, 1),
        (CHARGE_CONTROLLER_CONFIG, 11, 100, 2),
        (CHARGE_CONTROLLER_CONFIG, 11, 0xFFFF, 4),
        (GATEWAY, 410, 7, 1),
        (GATEWAY, 410, 0xFFFE, 2),
        (GATEWAY, 338, 24, 1),
        (RADIAN_CONFIG, 27, 9, 1),
        (RADIAN_CONFIG, 40, 0, 2),
        (GATEWAY, 394, 13, 1),
        (GATEWAY, 395, 0, 2),
        (GATEWAY, 395, 31, 4),  # of June
    ],
)
def test_bad_values_are_told_by_the_error_word_alone(
    did: int, offset: int, word: int, error: int
) -> None:
    mate3 = _still()
    before = mate3.word(did, offset)
    assert _write(mate3, did, offset, word) == error
    assert mate3.word(did, offset) == before
    # The next good write clears it. Bits of other troubles stay.
    mate3.set_word(GATEWAY, ERROR, error | 0x0200)
    assert _write(mate3, FLEXNET_DC_CONFIG, 14, 95) == 0x0200


def test_a_disabled_schedule_is_a_value() -> None:
    mate3 = _still()
    assert _write(mate3, GATEWAY, 410, 6) == 0
    assert _write(mate3, GATEWAY, 410, 0xFFFF) == 0
    assert mate3.word(GATEWAY, 410) == 0xFFFF


def test_devices_may_have_narrower_limits_than_the_documents() -> None:
    mate3 = _still()
    mate3.limits[CHARGE_CONTROLLER_CONFIG, 11] = (500, 600)
    assert _write(mate3, CHARGE_CONTROLLER_CONFIG, 11, 601, port=3) == 1
    assert _write(mate3, CHARGE_CONTROLLER_CONFIG, 11, 499, port=3) == 2
    assert _write(mate3, CHARGE_CONTROLLER_CONFIG, 11, 600, port=3) == 0
    assert mate3.word(CHARGE_CONTROLLER_CONFIG, 11, port=3) == 600


def test_settings_that_the_equipment_lacks_take_nothing() -> None:
    mate3 = _still("mate3-311")
    assert mate3.word(RADIAN_CONFIG, 47) == 0xFFFF
    assert _write(mate3, RADIAN_CONFIG, 47, 1) == 0
    assert mate3.word(RADIAN_CONFIG, 47) == 0xFFFF


def test_write_only_registers_read_as_before() -> None:
    mate3 = _still()
    assert _write(mate3, GATEWAY, 14, *[0x4141] * 8) == 0
    assert [mate3.word(GATEWAY, offset) for offset in range(14, 22)] == [0xFFFF] * 8
    assert _write(mate3, SYSTEM_CONTROL, 7, 2) == 0
    assert mate3.word(SYSTEM_CONTROL, 7) == 0
    assert _still("fx").word(GATEWAY, 14) == 0


def test_one_write_may_reach_over_several_settings() -> None:
    mate3 = _still()
    assert _write(mate3, CHARGE_CONTROLLER_CONFIG, 10, 9, 570, 9999, 12, port=3) == 1
    words = [mate3.word(CHARGE_CONTROLLER_CONFIG, at, port=3) for at in range(10, 14)]
    assert words == [0, 570, 20, 12]


def test_registers_just_written_may_read_not_available() -> None:
    mate3 = _still()
    mate3.sentinels_after_write = 1.0
    _write(mate3, CHARGE_CONTROLLER_CONFIG, 11, 580, port=3)
    _write(mate3, GATEWAY, 410, 3)
    address = mate3.address_of(CHARGE_CONTROLLER_CONFIG, 11, port=3)
    schedule = mate3.address_of(GATEWAY, 410)
    assert mate3.read(Table.HOLDING, address, 2) == [0xFFFF, 20]
    assert mate3.read(Table.HOLDING, schedule, 1) == [0x8000]
    mate3.clock.advance(1)
    assert mate3.read(Table.HOLDING, address, 1) == [580]
    assert mate3.read(Table.HOLDING, schedule, 1) == [3]


# --- commands ---


@pytest.mark.parametrize(
    ("offset", "word", "gone", "come", "mode"),
    [
        (8, 1, Status.INVERTER_ON, Status.INVERTER_OFF, Mode.OFF),
        (8, 2, Status.INVERTER_ON, Status.INVERTER_SEARCH, Mode.SEARCHING),
        (7, 2, Status.AC_USE, Status(0), Mode.INVERTING),
        (10, 1, Status.CHARGER_AUTO, Status.CHARGER_OFF, Mode.CHARGER_OFF),
        (10, 3, Status.CHARGER_AUTO, Status.CHARGER_ON, Mode.CHARGING),
        (6, 2, Status.BULK, Status.FLOAT, Mode.FLOAT),
        (6, 3, Status.BULK, Status.EQUALIZE, Mode.EQUALIZE),
        (9, 2, Status.GRID_TIE, Status(0), None),
    ],
)
def test_commands_show_in_the_status_and_in_all_inverters(
    offset: int, word: int, gone: Status, come: Status, mode: Mode | None
) -> None:
    mate3 = _still("split-stack")
    before = mate3.commands.status
    assert _write(mate3, SYSTEM_CONTROL, offset, word) == 0
    assert mate3.commands.status == before
    _advance(mate3, mate3.command_delay)
    assert mate3.commands.status == before & ~gone | come
    assert mate3.word(SYSTEM_CONTROL, offset) == 0
    if mode is not None:
        assert {
            reads(block, "inverter_operating_mode")
            for block in mate3.commands.inverters()
        } == {mode}
    states = {reads(block, "ac_input_state") for block in mate3.commands.inverters()}
    if offset == 7:
        assert states == {0}
        assert mate3.word(102, 39) == 7


def test_commands_can_be_taken_back() -> None:
    mate3 = _still()
    before = mate3.commands.status
    mate3.command_delay = 0
    for offset, there, back in ((7, 2, 1), (8, 1, 3), (9, 2, 1), (10, 1, 2), (6, 3, 1)):
        _write(mate3, SYSTEM_CONTROL, offset, there)
        assert mate3.commands.status != before
        _write(mate3, SYSTEM_CONTROL, offset, back)
        assert mate3.commands.status == before
    assert mate3.word(SPLIT_PHASE, 39) == 1


def test_bulk_and_equalize_show_in_charge_controllers() -> None:
    mate3 = _still()
    mate3.command_delay = 0
    for word, state in ((3, Phase.EQUALIZE), (4, Phase.FLOAT), (1, Phase.BULK)):
        _write(mate3, SYSTEM_CONTROL, 6, word)
        states = [mate3.word(CHARGE_CONTROLLER, 13, port=port) for port in (3, 4)]
        assert states == [state, state]


def test_a_mate3_has_the_bit_of_bulk_of_the_older_documents() -> None:
    mate3 = _still("fx")
    mate3.command_delay = 0
    _write(mate3, SYSTEM_CONTROL, 6, 2)
    assert mate3.commands.status & 0x0803 == 0x0002
    _write(mate3, SYSTEM_CONTROL, 6, 1)
    assert mate3.commands.status & 0x0803 == 0x0001


def test_set_points_for_all_reach_each_inverter() -> None:
    mate3 = _still("split-stack")
    _write(mate3, SYSTEM_CONTROL, 14, 580)
    _write(mate3, SYSTEM_CONTROL, 19, 400)
    _advance(mate3, 1)
    assert mate3.word(SYSTEM_CONTROL, 14) == 580
    for port in (1, 2, 3):
        assert mate3.word(RADIAN_CONFIG, 11, port=port) == 580
        assert mate3.word(RADIAN_CONFIG, 22, port=port) == 400


@pytest.mark.parametrize(
    ("variant", "control", "on", "off", "state"),
    [
        (
            "mate3s",
            (CHARGE_CONTROLLER_CONFIG, 34),
            2,
            0,
            (CHARGE_CONTROLLER_CONFIG, 35),
        ),
        ("mate3s", (RADIAN_CONFIG, 41), 2, 1, (SPLIT_PHASE, 27)),
        ("mate3s", (RADIAN_CONFIG, 47), 1, 2, (SPLIT_PHASE, 28)),
        ("mate3s", (FLEXNET_DC_CONFIG, 18), 2, 1, (FLEXNET_DC, 15)),
        ("mate3-311", (RADIAN_CONFIG, 41), 2, 0, (SINGLE_PHASE, 20)),
        ("fx", (FX_CONFIG, 38), 2, 0, (FX, 18)),
    ],
)
def test_switches_show_in_their_outputs(
    variant: str, control: tuple[int, int], on: int, off: int, state: tuple[int, int]
) -> None:
    mate3 = _still(variant)
    _write(mate3, *control, on)
    assert mate3.word(*state) == 0
    _advance(mate3, 1)
    assert mate3.word(*control) == on
    assert mate3.word(*state) == 1
    _write(mate3, *control, off)
    _advance(mate3, 1)
    assert mate3.word(*state) == 0


def test_the_relay_of_a_radian_may_have_another_order() -> None:
    mate3 = _still()
    mate3.command_delay = 0
    mate3.commands.relay_on = 2
    _write(mate3, RADIAN_CONFIG, 47, 1)
    assert mate3.word(SPLIT_PHASE, 28) == 0
    _write(mate3, RADIAN_CONFIG, 47, 2)
    assert mate3.word(SPLIT_PHASE, 28) == 1


def test_a_generator_starts_runs_and_stops() -> None:
    mate3 = _still()
    _write(mate3, SYSTEM_CONTROL, 21, 1)
    _advance(mate3, 1)
    assert mate3.word(SYSTEM_CONTROL, 22) == Generator.STOPPED  # not enabled
    _write(mate3, GATEWAY, 278, 1)
    _write(mate3, SYSTEM_CONTROL, 21, 1)
    _advance(mate3, 0.3)
    assert mate3.word(SYSTEM_CONTROL, 22) == Generator.STARTING
    _advance(mate3, 0.3)
    assert mate3.word(SYSTEM_CONTROL, 22) == Generator.RUNNING
    _advance(mate3, 100_000)
    # Seven hours behind UTC; the low word comes first.
    started = int(
        (datetime(2026, 6, 21, 19, 0, 1) - datetime(1970, 1, 1)).total_seconds()
    )
    words = [mate3.word(SYSTEM_CONTROL, offset) for offset in range(24, 28)]
    assert words[0] + (words[1] << 16) == started
    assert words[2] + (words[3] << 16) == 100_000
    _write(mate3, SYSTEM_CONTROL, 21, 0)
    _advance(mate3, 0.3)
    assert mate3.word(SYSTEM_CONTROL, 22) == Generator.COOL_DOWN
    _advance(mate3, 0.3)
    assert mate3.word(SYSTEM_CONTROL, 22) == Generator.STOPPED


# --- clock ---


def test_the_clock_runs_and_can_be_set() -> None:
    mate3 = _still()
    _advance(mate3, 65)
    clock = [mate3.word(GATEWAY, offset) for offset in range(393, 399)]
    assert clock == [2026, 6, 21, 12, 1, 5]
    assert _write(mate3, GATEWAY, 393, 2027, 1, 31, 23, 59, 58) == 0
    _advance(mate3, 3)
    assert mate3.time == datetime(2027, 2, 1, 0, 0, 1)
    assert _write(mate3, GATEWAY, 396, 5) == 0
    assert mate3.time.hour == 5


def test_the_clock_of_a_dump_goes_on_from_there() -> None:
    chain = build()
    chain.block(GATEWAY).words[392:398] = [2020, 12, 31, 9, 24, 18]
    mate3 = Mate3Simulator(
        chain.as_dataset(), clock=SimulatedClock(NOON, speed=0)
    ).mate3
    _advance(mate3, 42)
    assert mate3.time == datetime(2020, 12, 31, 9, 25)


# --- trouble ---


def test_blocks_without_data_begin_with_0x8000_for_a_while() -> None:
    mate3 = _still()
    live = mate3.address_of(CHARGE_CONTROLLER, port=3)
    config = mate3.address_of(CHARGE_CONTROLLER_CONFIG, port=3)
    mate3.lose_data(3, 2, did=CHARGE_CONTROLLER, words=3)
    assert mate3.read(Table.HOLDING, live, 4) == [0x8000] * 3 + [0xFFFF]
    assert mate3.read(Table.HOLDING, config, 1) == [64112]
    mate3.chain.remove_device(1)  # it stays with the block
    assert mate3.read(Table.HOLDING, live - 152, 1) == [0x8000]
    mate3.clock.advance(2)
    assert mate3.read(Table.HOLDING, live - 152, 3) == [64111, 26, 3]
    with pytest.raises(SimulatorError, match="nothing is on port 9"):
        mate3.lose_data(9, 1)


def test_gaps_go_round_the_devices() -> None:
    mate3 = _still()
    mate3.gaps = 3
    starts = [
        mate3.address_of(did, port=port) for did, port in ((64115, 1), (64111, 3))
    ]
    seen = []
    for seconds in (0, 2, 1, 57):  # at 0, 2, 3 and 60 s
        mate3.clock.advance(seconds)
        seen.append([mate3.read(Table.HOLDING, start, 1)[0] for start in starts])
    assert seen == [
        [0x8000, 64111],
        [0x8000, 64111],
        [64115, 64111],
        [64115, 0x8000],
    ]


def test_an_encrypted_gateway_makes_no_sense() -> None:
    mate3 = _still()
    mate3.encryption_key = 0x1234
    words = _all_words(mate3)
    assert words[74] == 0x1234
    assert tuple(words[:2]) != (0x5375, 0x6E53)


async def test_faults_are_those_of_all_simulators() -> None:
    async with (
        Mate3Simulator(faults=["exception=6,address=40069-40100"]) as simulator,
        tcp_client(await simulator.start_tcp()) as client,
    ):
        answer = await client.read_holding_registers(40069, device_id=1)
        assert answer.exception_code == 6
        assert not (await client.read_holding_registers(BASE, device_id=1)).isError()


# --- clients ---


async def test_a_second_client_is_turned_away(home: Mate3Simulator) -> None:
    port = await home.start_tcp()
    async with tcp_client(port) as first:
        async with bare(port) as second:
            assert await second.ends()
        assert home.door.turned_away == 1
        assert not (await first.read_holding_registers(BASE, device_id=1)).isError()
    async with tcp_client(port) as next_one:
        assert not (await next_one.read_holding_registers(BASE, device_id=1)).isError()
    assert home.door.turned_away == 1


async def test_several_clients_can_be_let_in() -> None:
    async with Mate3Simulator(many_clients=True) as simulator:
        port = await simulator.start_tcp()
        async with tcp_client(port) as first, tcp_client(port) as second:
            for client in (first, second):
                answer = await client.read_holding_registers(BASE, device_id=1)
                assert answer.registers == [0x5375]


async def test_coming_back_at_once_may_fail() -> None:
    async with Mate3Simulator(reconnect_pause=0.3) as simulator:
        port = await simulator.start_tcp()
        async with bare(port) as client:
            assert await client.ask(mbap(1, read_pdu(3, BASE, 1)), 11)
        async with bare(port) as client:
            assert await client.ends()
        assert simulator.door.turned_away == 1
        async with asyncio.timeout(PATIENCE):
            while True:
                turned_away = simulator.door.turned_away
                async with bare(port) as client:
                    client.send(mbap(1, read_pdu(3, BASE, 1)))
                    try:
                        answer = await client.reader.read(11)
                    except ConnectionError:
                        answer = b""
                if answer:
                    break
                assert simulator.door.turned_away == turned_away + 1
                await asyncio.sleep(0.02)


async def test_a_reboot_hangs_up(home: Mate3Simulator) -> None:
    port = await home.start_tcp()
    connection = await connect_tcp("127.0.0.1", port=port)
    try:
        assert await connection.for_unit(1).read_holding_registers(BASE, 1)
        home.reboot(60)
        with pytest.raises(ModbusConnectionError):
            await connection.for_unit(1).read_holding_registers(BASE, 1)
    finally:
        await connection.close()
    async with bare(port) as client:
        assert await client.ends()


# --- a day at home ---


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("hour", [3, 9, 13, 20])
def test_what_lives_belongs_together(variant: str, hour: int) -> None:
    mate3 = _living(variant, NOON.replace(hour=hour, minute=17))
    _advance(mate3, 130)
    monitor = _live_block(mate3, FLEXNET_DC)
    volts = number(monitor, "battery_voltage") or 0
    shunts = [number(monitor, f"shunt_{letter}_current") or 0 for letter in "abc"]
    amps = number(monitor, "battery_current") or 0
    assert 48 < volts < 60
    assert sum(shunts) == pytest.approx(amps, abs=1e-9)
    assert number(monitor, "net_kw") == pytest.approx(volts * amps / 1000, abs=0.0051)
    controllers = [
        device.live
        for device in mate3.chain.devices()
        if device.did == CHARGE_CONTROLLER
    ]
    given = 0.0
    for block in controllers:
        current = number(block, "battery_current") or 0
        given += current
        assert number(block, "battery_voltage") == volts
        assert number(block, "watts") == pytest.approx(volts * current, abs=0.51)
    assert given == pytest.approx(shunts[0], abs=1e-9)
    for block in mate3.commands.inverters():
        powers = [
            number(block, f"{name}_kw")
            for name in ("output", "buy", "sell", "charge", "load")
        ]
        if None not in powers:
            output, buy, sell, charge, load = (power or 0 for power in powers)
            assert load == pytest.approx(output + buy - sell - charge, abs=1e-9)


def test_the_sun_rises_counts_and_sets() -> None:
    mate3 = _living(at=NOON.replace(hour=1))
    assert _shown(mate3, CHARGE_CONTROLLER, "charger_state", 3) == Phase.SILENT
    assert _shown(mate3, CHARGE_CONTROLLER, "watts", 3) == 0
    before = _shown(mate3, CHARGE_CONTROLLER, "lifetime_kwh_hours", 3)
    counted = [0.0]
    for _ in range(22):
        _advance(mate3, 3600)
        counted.append(_shown(mate3, CHARGE_CONTROLLER, "todays_kwh", 3))
    assert counted == sorted(counted)
    assert counted[-1] > 5
    grown = _shown(mate3, CHARGE_CONTROLLER, "lifetime_kwh_hours", 3) - before
    assert grown == pytest.approx(counted[-1], abs=1.1)
    sold = _shown(mate3, SPLIT_PHASE, "ac1_l1_sell_kwh")
    assert sold > 0


def test_counters_of_the_day_begin_anew_at_midnight() -> None:
    mate3 = _living(at=NOON.replace(hour=23, minute=59))
    counters = [
        (device, name)
        for device in mate3.chain.devices()
        for name in DAILY[device.did]
        if not name.startswith(("ac2", "charger"))
    ]
    assert sum(bool(reads(device.live, name)) for device, name in counters) > 10
    _advance(mate3, 61)
    assert not any(reads(device.live, name) for device, name in counters)


def test_one_device_may_be_late_with_a_new_day() -> None:
    mate3 = _living(at=NOON.replace(hour=23, minute=59))
    assert mate3.live is not None
    mate3.live.late[4] = 300
    _advance(mate3, 120)
    today = [_shown(mate3, CHARGE_CONTROLLER, "todays_kwh", port) for port in (3, 4)]
    assert today[0] == 0 < today[1]
    _advance(mate3, 300)
    assert _shown(mate3, CHARGE_CONTROLLER, "todays_kwh", 4) == 0


@pytest.mark.parametrize("live", [False, True])
def test_one_device_may_begin_a_day_alone(live: bool) -> None:
    mate3 = _living() if live else _still()
    mate3.reset_day(4)
    today = [_shown(mate3, CHARGE_CONTROLLER, "todays_kwh", port) for port in (3, 4)]
    assert today[0] > 0 == today[1]
    mate3.reset_day(1)
    assert _shown(mate3, SPLIT_PHASE, "l1_output_kwh") == 0


def test_a_living_home_obeys() -> None:
    mate3 = _living(at=NOON.replace(hour=14))
    assert _shown(mate3, SPLIT_PHASE, "sell_kw") > 0
    _write(mate3, SYSTEM_CONTROL, 9, 2)
    _advance(mate3, 1)
    assert _shown(mate3, SPLIT_PHASE, "sell_kw") == 0
    _write(mate3, SYSTEM_CONTROL, 7, 2)
    _advance(mate3, 1)
    assert _shown(mate3, SPLIT_PHASE, "ac_input_state") == 0
    assert _shown(mate3, SPLIT_PHASE, "inverter_operating_mode") == Mode.INVERTING
    _write(mate3, SYSTEM_CONTROL, 8, 1)
    _advance(mate3, 1)
    assert _shown(mate3, SPLIT_PHASE, "output_kw") == 0
    assert _shown(mate3, SPLIT_PHASE, "inverter_operating_mode") == Mode.OFF


def test_bulk_by_command_charges_from_the_grid() -> None:
    mate3 = _living(at=NOON.replace(hour=2))
    _write(mate3, SYSTEM_CONTROL, 6, 1)
    _advance(mate3, 2)
    assert mate3.commands.status & Status.BULK
    assert _shown(mate3, SPLIT_PHASE, "charge_kw") > 1
    assert _shown(mate3, FLEXNET_DC, "battery_current") > 0
    _write(mate3, SYSTEM_CONTROL, 6, 2)
    _advance(mate3, 2)
    assert not mate3.commands.status & Status.BULK
    assert _shown(mate3, SPLIT_PHASE, "charge_kw") == 0


def test_values_that_equipment_lacks_stay_not_available() -> None:
    mate3 = _living("mate3-311")
    _advance(mate3, 3600)
    assert mate3.word(CHARGE_CONTROLLER, 27) == 0x8000
    assert mate3.word(SINGLE_PHASE, 21) == 0xFFFF
    assert mate3.word(SINGLE_PHASE, 25) == 0x8000
    assert len(_all_words(mate3)) == 1009


def test_a_device_takes_its_counters_to_another_port() -> None:
    mate3 = _living()
    before = _shown(mate3, CHARGE_CONTROLLER, "todays_kwh", 4)
    mate3.chain.move_port(CHARGE_CONTROLLER, 4, 6)
    _advance(mate3, 1)
    assert _shown(mate3, CHARGE_CONTROLLER, "todays_kwh", 6) == before


# --- refusals from outside, and the command ---


def test_registers_that_are_not_there_are_refused() -> None:
    mate3 = _still("mate3-311")
    with pytest.raises(SimulatorError, match="block 64117 has no 42"):
        mate3.word(SINGLE_PHASE, 42)
    with pytest.raises(SimulatorError, match="has no block 64115"):
        mate3.set_word(SPLIT_PHASE, 8, 1)
    with pytest.raises(RefusedError):
        mate3.read(Table.HOLDING, BASE, 1010)
    assert {block.did for block in mate3.commands.inverters()} <= set(INVERTERS)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--dump", "/nowhere.json"), "/nowhere.json: cannot be read: No such file"),
        (("--variant", "x"), "argument --variant: invalid choice: 'x'"),
        (("--variant", "fx", "--dump", "a"), "argument --dump: not allowed with"),
        (("--tcp", "x"), "argument --tcp: 'x' is not HOST:PORT"),
        (("--fault", "crc"), "Modbus TCP has no checksum: there is no fault crc"),
        (("--fault", "fire"), "fault 'fire': 'fire' is not one of"),
        (("--live", "--still"), "--live and --still exclude each other"),
        (("--gaps", "0"), "argument --gaps: '0' is not a number above 0"),
        (("--command-delay", "-1"), "argument --command-delay"),
        (("--capture", "/nowhere/x"), "/nowhere/x: cannot be written"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(
    arguments: Sequence[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(("mate3", "--tcp", "0", *arguments)) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("error: ")
    assert message in captured.err
    assert captured.err.count("\n") == 1


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("--variant", "fx", "--still"),
        ("--encrypted", "--gaps", "--write-sentinels", "--reconnect-pause"),
        ("--many-clients", "--command-delay", "0", "--start", "06:00", "--speed", "60"),
    ],
)
def test_the_command_says_where_it_listens(
    arguments: Sequence[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(("mate3", "--tcp", "0", "--duration", "0.05", *arguments)) == 0
    assert re.fullmatch(r"listening tcp 127\.0\.0\.1:\d+\n", capsys.readouterr().out)


def test_the_help_is_complete(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(("mate3", "--help"))
    assert caught.value.code == 0
    text = capsys.readouterr().out
    assert all(
        option in text
        for option in (
            *(
                "--tcp",
                "--dump",
                "--variant",
                "--live",
                "--still",
                "--start",
                "--speed",
            ),
            *("--many-clients", "--reconnect-pause", "--command-delay", "--gaps"),
            *("--write-sentinels", "--encrypted", "--fault", "--seed", "--capture"),
            *("--duration", *VARIANTS),
        )
    )
