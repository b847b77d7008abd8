"""Polling a gateway: which values come out, how often what is read, and what is held back."""

import asyncio
from collections.abc import Iterator, Mapping, Sequence
import csv
from datetime import UTC, datetime, time
import struct
from typing import Final

from hypothesis import given, settings, strategies as st
from modbus_connection import (
    IllegalDataAddressError,
    ModbusConnectionError,
    ModbusError,
    ModbusTimeoutError,
)
import pytest

from custom_components.local_solar.modbus.codecs import Integer
from custom_components.local_solar.modbus.image import Space
from custom_components.local_solar.outback.block import Family, Half, Row
from custom_components.local_solar.outback.blocks import BLOCKS
from custom_components.local_solar.outback.codecs import Bit, Shown
from custom_components.local_solar.outback.errors import MapChangedError
from custom_components.local_solar.outback.mate3 import Mate3, Poll
from custom_components.local_solar.outback.system import async_identify
from custom_components.local_solar.points import PointId, Quantity, Rhythm, Visibility
from simulators.mate3.chain import CONFIG_OF, Chain
from simulators.mate3.gateway import SimulatedMate3
from simulators.mate3.systems import VARIANTS
from tests.modbus.helpers import FakeClock
from tests.outback_helpers import CAPTURES, RECORDED, needs_captures

from .helpers import SPACING, GatewayUnit, identified, still, time_of, wanted_of

SHOWN, OFFERED = Visibility.SHOWN, Visibility.OFFERED
PV_POWER, PV_TODAY = "pv_power", "pv_energy_today"

LIVE_SECONDS: Final = 10
SETTINGS_SECONDS: Final = 300
KEPT_SECONDS: Final = 60


class Rig:
    """A gateway that is polled by a clock that is moved by hand."""

    def __init__(self, gateway: SimulatedMate3, clock: FakeClock, mate3: Mate3) -> None:
        """Poll ``gateway``."""
        self.gateway = gateway
        self.clock = clock
        self.mate3 = mate3
        unit = mate3._unit  # noqa: SLF001
        assert isinstance(unit, GatewayUnit)
        self.unit = unit

    def id_of(self, port: int) -> str:
        """Return the id of the device on a port."""
        (found,) = (
            item.id for item in self.mate3.system.equipment if item.port == port
        )
        return found

    async def poll(
        self, wanted: frozenset[PointId] | None = None, after: float = 0
    ) -> Poll:
        """Poll some seconds later; everything unless told what."""
        self.clock.now += after
        return await self.mate3.async_poll(
            wanted_of(self.mate3) if wanted is None else wanted
        )


@pytest.fixture
def clock() -> Iterator[FakeClock]:
    """The time that the driver sees."""
    clock = FakeClock()
    with time_of(clock):
        yield clock


async def rig_of(gateway: SimulatedMate3, clock: FakeClock) -> Rig:
    """Return a gateway that is known and was not polled yet."""
    unit = GatewayUnit(gateway)
    mate3 = await identified(unit)
    unit.reads.clear()
    return Rig(gateway, clock, mate3)


@pytest.fixture
async def home(clock: FakeClock) -> Rig:
    """A house with one inverter, two charge controllers and a battery monitor."""
    return await rig_of(still(), clock)


# -- what the registers say, decoded here once more --------------------------------------------


def plain(row: Row, words: Sequence[int], exponent: int | None) -> object:
    """Decode a row without the integration's codecs, from what its type is documented as."""
    codec = type(row.register.codec).__name__
    word = words[0]
    octets = struct.pack(f">{len(words)}H", *words)
    match codec:
        case "Text":
            text = octets.split(b"\0")[0]
            is_text = text.isascii() and text.decode("latin1").isprintable()
            return text.decode("ascii").strip() or None if text and is_text else None
        case "Address":
            return ".".join(map(str, octets)) if any(octets) else None
        case "Moment":
            seconds = words[1] * 65536 + words[0]
            is_date = 1_000_000_000 <= seconds < 2**31
            return datetime.fromtimestamp(seconds, UTC) if is_date else None
        case "HourAndMinute":
            hour, minute = words
            return time(hour, minute) if hour < 24 and minute < 60 else None
        case "Clock":
            return datetime(*words)  # type: ignore[arg-type]
        case "BitField":
            return None if word > 0x7FFF else word
        case "Bit":
            assert isinstance(row.register.codec, Bit)
            return None if word > 0x7FFF else bool(word & row.register.codec.mask)
        case "Shown":
            return _commanded(row, word)
    assert isinstance(row.register.codec, Integer)
    signed = row.register.codec.signed
    if len(words) == 2:
        number = words[1] * 65536 + words[0]
        return None if number == 0xFFFFFFFF else number
    quantity = row.register.point.quantity
    if not signed and quantity in (Quantity.POWER, Quantity.ENERGY_TODAY):
        if word in (0x7FFF, 0x8000):
            return None
    if word == (0x8000 if signed else 0xFFFF):
        return None
    number = struct.unpack(">h", struct.pack(">H", word))[0] if signed else word
    if row.register.options is not None:
        return row.register.options.get(number)
    return None if exponent is None else number * 10.0**exponent


def _commanded(row: Row, word: int) -> object:
    assert isinstance(row.register.codec, Shown)
    assert row.register.options is not None
    if word > 0x7FFF:
        return None
    for number, mask in row.register.codec.masks:
        if word & mask:
            return row.register.options[number]
    otherwise = row.register.codec.otherwise
    return None if otherwise is None else row.register.options[otherwise]


def decoded_here(chain: Chain, mac: str) -> dict[PointId, object]:
    """Return all that a system holds, by device and key, from its words alone."""
    values: dict[PointId, object] = {}
    for found in chain.blocks:
        if (block := BLOCKS.get(found.did)) is None:
            continue
        device = (
            mac
            if block.family is Family.GATEWAY
            else f"{mac}_{block.family}_{found.port}"
        )
        for row in block.rows:
            if row.end - 1 > len(found.words):
                continue
            exponent: int | None = 0
            if row.scale_factor:
                scale = found.words[block.row(row.scale_factor).offset - 1]
                exponent = scale - 0x10000 if scale > 0x7FFF else scale
                exponent = exponent if abs(exponent) <= 10 else None
            words = found.words[row.offset - 1 : row.end - 1]
            values[device, row.key] = plain(row, words, exponent)
    return values


def assert_same(mate3: Mate3, poll: Poll, expected: Mapping[PointId, object]) -> None:
    """Compare a poll of everything with what was decoded here."""
    found = {
        (device, key): value
        for device, values in poll.snapshot.items()
        for key, value in values.items()
    }
    for point, value in expected.items():
        if isinstance(value, float):
            assert found[point] == pytest.approx(value, rel=1e-12), point
        else:
            assert found[point] == value, point
    # All that the tables promise, and no more than what follows from it.
    rows = {(device, key) for device, known in mate3.rows.items() for key in known}
    assert rows == expected.keys()
    assert rows <= found.keys()
    points = {
        (device.identity.id, point.key)
        for device in mate3.devices
        for point in device.points
    }
    assert found.keys() <= points


DUMPS: Final = sorted(CAPTURES.glob("*.json")) if CAPTURES.is_dir() else []


@needs_captures
@pytest.mark.parametrize("dump", DUMPS, ids=lambda path: path.stem)
async def test_every_field_of_a_dump_is_decoded_as_its_words_say(
    dump: object, clock: FakeClock
) -> None:
    assert isinstance(dump, type(RECORDED))
    rig = await rig_of(still(dump), clock)
    poll = await rig.poll()
    assert poll.failed == {}
    expected = decoded_here(rig.gateway.chain, rig.mate3.system.id)
    assert_same(rig.mate3, poll, expected)


@pytest.mark.parametrize("variant", VARIANTS)
async def test_every_field_of_a_system_is_decoded_as_its_words_say(
    variant: str, clock: FakeClock
) -> None:
    rig = await rig_of(still(variant), clock)
    expected = decoded_here(rig.gateway.chain, rig.mate3.system.id)
    assert_same(rig.mate3, await rig.poll(), expected)


@needs_captures
async def test_the_recorded_system_has_as_many_fields_as_others_found(
    clock: FakeClock,
) -> None:
    rig = await rig_of(still(RECORDED), clock)
    rows = [placed for rows in rig.mate3.rows.values() for placed in rows.values()]
    words = {
        address
        for placed in rows
        for address in range(placed.register.address, placed.register.end)
    }
    # Every register of every known block, and none beyond: 101 is not decoded.
    known = [place for place in rig.mate3.system.places if place.did != 101]
    assert len(words) == sum(place.length + 2 for place in known)
    # 717 were read by another program, without those of these blocks and bits of fields.
    elsewhere = {1, 64120, 64255}
    fields = [
        placed
        for placed in rows
        if placed.place.did not in elsewhere
        and not isinstance(placed.row.register.codec, Bit)
    ]
    assert len(fields) >= 650


def _fields() -> list[dict[str, str]]:
    path = CAPTURES / "expected.csv"
    if not path.is_file():
        return []
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


@needs_captures
@pytest.mark.parametrize(
    "field", _fields(), ids=lambda field: f"{field['nr']}-{field['field']}"
)
async def test_values_are_what_another_program_read(
    field: dict[str, str], clock: FakeClock
) -> None:
    gateway = still(RECORDED)
    words = list(map(int, field["raw_registers"].split()))
    address = int(field["register_address"])
    # The dump has other addresses and names in the place of private ones.
    places = list(gateway.chain.places(address, len(words)))
    for place, word in zip(places, words, strict=True):
        assert place is not None
        block, offset = place
        if field["field"] in ("mac_address", "tcpip_address"):
            block[offset] = word
        assert block[offset] == word
    rig = await rig_of(gateway, clock)
    (found,) = (
        (device, placed)
        for device, rows in rig.mate3.rows.items()
        for placed in rows.values()
        if placed.register.address == address
        and placed.row.name == field["field"]
        and str(placed.place.port or "") == field["port"]
    )
    device, placed = found
    assert placed.place.did == int(field["did"])
    assert placed.place.address == int(field["block_address"])
    poll = await rig.poll()
    value = poll.snapshot[device][placed.row.key]
    if field["value"] == "not_implemented":
        assert value is None
    elif isinstance(value, str):
        assert value == field["value"]
    else:
        assert isinstance(value, int | float)
        assert float(value) == float(field["value"])
    units = {placed.row.register.point.unit, field["unit"] or None}
    assert None in units or len(units) == 1


# -- how often, and how much at once --------------------------------------------------------------


@needs_captures
async def test_a_live_poll_takes_six_requests(clock: FakeClock) -> None:
    rig = await rig_of(still(RECORDED), clock)
    for wanted in (wanted_of(rig.mate3, SHOWN), wanted_of(rig.mate3, SHOWN, OFFERED)):
        await rig.poll(wanted)
        rig.unit.taken_reads()
        await rig.poll(wanted, after=LIVE_SECONDS)
        reads = rig.unit.taken_reads()
        assert len(reads) <= 6
        assert max(count for _, count in reads) <= 100


@needs_captures
async def test_everything_takes_eighteen_requests(clock: FakeClock) -> None:
    rig = await rig_of(still(RECORDED), clock)
    await rig.poll()
    reads = rig.unit.taken_reads()
    assert len(reads) <= 18
    assert max(count for _, count in reads) <= 100


@pytest.mark.parametrize("variant", VARIANTS)
async def test_no_read_is_longer_than_gateways_bear(
    variant: str, clock: FakeClock
) -> None:
    rig = await rig_of(still(variant), clock)
    await rig.poll()
    await rig.mate3.async_dump()
    reads = rig.unit.taken_reads()
    assert max(count for _, count in reads) <= 100
    end = rig.gateway.chain.end
    assert all(40000 <= first < first + count <= end for first, count in reads)


async def test_live_values_are_read_every_ten_seconds_and_settings_every_300(
    home: Rig,
) -> None:
    live = home.gateway.address_of(64111, 14, 3)
    setting = home.gateway.address_of(64112, 11, 3)
    wanted = frozenset({(home.id_of(3), PV_POWER), (home.id_of(3), "absorb_volts")})
    times: dict[int, list[float]] = {live: [], setting: []}
    for second in range(0, 3 * SETTINGS_SECONDS + 1, LIVE_SECONDS):
        home.clock.now = 1000.0 + second
        await home.poll(wanted)
        for first, count in home.unit.taken_reads():
            for address, seen in times.items():
                if first <= address < first + count:
                    seen.append(second)
    assert times[live] == list(range(0, 3 * SETTINGS_SECONDS + 1, LIVE_SECONDS))
    assert times[setting] == [0, 300, 600, 900]


async def test_only_what_is_wanted_is_read(home: Rig) -> None:
    await home.poll(frozenset({(home.id_of(3), PV_POWER)}))
    device = home.gateway.chain.device(3)
    first = home.gateway.chain.address_of(device.live)
    end_of_map = (home.gateway.chain.end - 2, 1)
    assert all(
        first <= address < address + count <= first + len(device.live.words)
        for address, count in home.unit.taken_reads()
        if (address, count) != end_of_map
    )
    poll = await home.poll(frozenset(), after=LIVE_SECONDS)
    assert home.unit.taken_reads() == []
    assert poll.snapshot == {}


async def test_what_is_wanted_later_is_read_at_once(home: Rig) -> None:
    power = frozenset({(home.id_of(3), PV_POWER)})
    await home.poll(power)
    both = power | {(home.id_of(4), PV_POWER)}
    poll = await home.poll(both)
    assert {device for device, values in poll.snapshot.items() if values} == {
        *(home.id_of(3), home.id_of(4))
    }


async def test_a_point_that_nobody_has_is_not_missed(home: Rig) -> None:
    wanted = frozenset(
        {
            *((home.id_of(3), PV_POWER), (home.id_of(3), "nonsense")),
            *(("nobody", PV_POWER), (home.mate3.system.id, "absorb_volts")),
        }
    )
    poll = await home.poll(wanted)
    assert poll.snapshot[home.id_of(3)][PV_POWER] == 1650


# -- what goes wrong on the way -------------------------------------------------------------------


def lost(
    unit: GatewayUnit, first: int, last: int, error: ModbusError, times: int = 999
) -> None:
    """Lose the answers about some registers so many times."""
    left = [times]

    def before(number: int) -> None:
        address, count = unit.reads[-1]
        if left[0] and address <= last and address + count > first:
            left[0] -= 1
            raise error

    unit.before = before


async def assert_failed_alone(home: Rig, port: int) -> None:
    """Poll, and check that all but what is measured by one device is there."""
    wanted = frozenset(
        (item, key)
        for item, key in wanted_of(home.mate3)
        if key in ("pv_power", "battery_soc", "ac_power", "dc_voltage")
    )
    poll = await home.poll(wanted, after=LIVE_SECONDS)
    assert poll.asleep is None
    for other, key in (
        *((1, "ac_power"), (3, PV_POWER), (4, PV_POWER)),
        (5, "battery_soc"),
    ):
        assert (key in poll.snapshot.get(home.id_of(other), {})) == (other != port)
    assert poll.failed
    home.unit.before = lambda number: None
    poll = await home.poll(wanted, after=LIVE_SECONDS)
    assert poll.failed == {}
    assert None not in poll.snapshot[home.id_of(port)].values()


def fail(home: Rig, port: int, error: ModbusError) -> None:
    """Let all answers about what a device measures be an error."""
    device = home.gateway.chain.device(port)
    first = home.gateway.chain.address_of(device.live)
    lost(home.unit, first, first + len(device.live.words) - 1, error)


@pytest.mark.parametrize("port", [3, 4, 5])
async def test_a_lost_block_leaves_the_others(home: Rig, port: int) -> None:
    await home.poll()
    fail(home, port, ModbusTimeoutError("silent"))
    await assert_failed_alone(home, port)


@pytest.mark.parametrize("port", [3, 4, 5])
async def test_a_refused_block_may_have_moved_and_if_not_leaves_the_others(
    home: Rig, port: int
) -> None:
    await home.poll()
    fail(home, port, IllegalDataAddressError())
    assert "refused" in (await home.poll(after=LIVE_SECONDS)).doubt
    # It was looked for, and is where it was.
    home.mate3.forget()
    assert (await home.poll(after=LIVE_SECONDS)).doubt == ""
    await assert_failed_alone(home, port)


async def test_a_lost_answer_is_asked_for_once_more(home: Rig) -> None:
    first = home.gateway.address_of(64111, 1, 3)
    lost(home.unit, first, first, ModbusTimeoutError("silent"), times=1)
    poll = await home.poll(frozenset({(home.id_of(3), PV_POWER)}))
    assert poll.snapshot[home.id_of(3)][PV_POWER] == 1650
    assert [address for address, _ in home.unit.taken_reads()].count(first) == 2


@pytest.mark.parametrize(
    "error", [ModbusTimeoutError("silent"), ModbusConnectionError("no link")]
)
async def test_a_silent_gateway_is_left_alone(home: Rig, error: ModbusError) -> None:
    await home.poll()
    home.unit.taken_reads()
    lost(home.unit, 0, 0xFFFF, error)
    poll = await home.poll(after=LIVE_SECONDS)
    assert poll.asleep == str(error)
    assert poll.snapshot == {}
    assert len(home.unit.taken_reads()) <= 2
    home.unit.before = lambda number: None
    poll = await home.poll(after=LIVE_SECONDS)
    assert poll.asleep is None
    assert poll.snapshot[home.id_of(3)][PV_POWER] == 1650


# -- no data for a moment -------------------------------------------------------------------------


async def test_a_block_without_data_is_read_once_more(home: Rig) -> None:
    await home.poll()
    home.unit.taken_reads()
    did_at = home.gateway.address_of(64111, 1, 3)
    times = 1

    def blank(address: int, words: list[int]) -> list[int]:
        nonlocal times
        if times and address <= did_at < address + len(words):
            times -= 1
            words[did_at - address] = 0x8000
        return words

    home.unit.answer = blank
    poll = await home.poll(after=LIVE_SECONDS)
    asked = [read for read in home.unit.taken_reads() if read[0] == did_at]
    assert len(asked) == 2
    assert poll.snapshot[home.id_of(3)][PV_POWER] == 1650
    assert poll.snapshot[home.id_of(3)][PV_TODAY] is not None


@pytest.mark.parametrize("words", [1, 2, 3, 28])
async def test_last_values_stand_for_a_minute_and_counters_not_at_all(
    home: Rig, words: int
) -> None:
    wanted = wanted_of(home.mate3, SHOWN, OFFERED)
    before = (await home.poll(wanted)).snapshot[home.id_of(3)]
    home.gateway.lose_data(3, 3600, did=64111, words=words)
    home.gateway.set_word(64111, 14, 9999, 3)
    counters = {
        point.key
        for device in home.mate3.devices
        for point in device.points
        if device.identity.id == home.id_of(3) and point.quantity.is_counter
    }
    assert counters == {"pv_energy_today", "pv_energy_total"}
    live = {
        key
        for device, key in wanted_of(home.mate3, SHOWN, OFFERED, rhythm=Rhythm.LIVE)
        if device == home.id_of(3) and key in home.mate3.rows[device]
    }
    for seconds in range(LIVE_SECONDS, KEPT_SECONDS + 1, LIVE_SECONDS):
        poll = await home.poll(wanted, after=LIVE_SECONDS)
        values = poll.snapshot[home.id_of(3)]
        assert values.keys() & live == live - counters, f"after {seconds} s"
        assert {key: values[key] for key in live - counters} == {
            key: before[key] for key in live - counters
        }
        # A sum with a member that is not there is none.
        assert "pv_energy_today" not in poll.snapshot[home.mate3.system.id]
    poll = await home.poll(wanted, after=LIVE_SECONDS)
    assert not poll.snapshot.get(home.id_of(3), {}).keys() & live
    assert PV_POWER in poll.snapshot[home.id_of(4)]


async def test_kept_values_are_those_read_last(home: Rig) -> None:
    wanted = frozenset({(home.id_of(3), PV_POWER)})
    await home.poll(wanted)
    home.gateway.set_word(64111, 14, 1700, 3)
    await home.poll(wanted, after=LIVE_SECONDS)
    home.gateway.lose_data(3, 3600)
    poll = await home.poll(wanted, after=LIVE_SECONDS)
    assert poll.snapshot[home.id_of(3)] == {PV_POWER: 1700}


async def test_nothing_is_kept_of_a_block_that_was_never_read(home: Rig) -> None:
    home.gateway.lose_data(3, 3600)
    poll = await home.poll(wanted_of(home.mate3, SHOWN))
    assert not poll.snapshot.get(home.id_of(3))


async def test_data_that_comes_back_is_shown_at_once(home: Rig) -> None:
    wanted = wanted_of(home.mate3)
    await home.poll(wanted)
    home.gateway.lose_data(3, 1000)
    await home.poll(wanted, after=LIVE_SECONDS)
    home.gateway.clock.advance(2000)
    home.gateway.set_word(64111, 14, 42, 3)
    poll = await home.poll(wanted, after=LIVE_SECONDS)
    assert poll.snapshot[home.id_of(3)][PV_POWER] == 42
    assert poll.snapshot[home.id_of(3)][PV_TODAY] is not None


async def test_settings_without_data_are_asked_for_again_soon(home: Rig) -> None:
    wanted = frozenset({(home.id_of(3), "absorb_volts")})
    for _ in range(0, SETTINGS_SECONDS, LIVE_SECONDS):
        await home.poll(wanted, after=LIVE_SECONDS)
    home.gateway.lose_data(3, 3600)
    poll = await home.poll(wanted, after=LIVE_SECONDS)
    assert poll.snapshot[home.id_of(3)] == {"absorb_volts": 57.6}
    home.unit.taken_reads()
    await home.poll(wanted, after=LIVE_SECONDS)
    assert home.unit.taken_reads()


# -- a map that changes ---------------------------------------------------------------------------


@pytest.mark.parametrize("did", [64112, 64115, 1, 0, 120, 0xFFFF])
async def test_a_block_of_another_number_is_a_change(home: Rig, did: int) -> None:
    await home.poll()
    home.gateway.chain.block(64111, 3).words[0] = did
    with pytest.raises(MapChangedError, match="did"):
        await home.poll(after=LIVE_SECONDS)


@pytest.mark.parametrize("blank", [0, 1])
async def test_a_block_of_another_kind_is_a_change_though_a_word_of_it_is_blank(
    home: Rig, blank: int
) -> None:
    await home.poll()
    words = home.gateway.chain.block(64111, 3).words
    words[0], words[1] = 120, 25
    words[blank] = 0x8000
    with pytest.raises(MapChangedError):
        await home.poll(after=LIVE_SECONDS)


@pytest.mark.parametrize("length", [25, 27, 0])
async def test_a_block_of_another_length_is_a_change(home: Rig, length: int) -> None:
    await home.poll()
    home.gateway.chain.block(64111, 3).words[1] = length
    with pytest.raises(MapChangedError, match="length"):
        await home.poll(after=LIVE_SECONDS)


@pytest.mark.parametrize("port", [0, 2, 4, 11, 0xFFFF])
async def test_a_block_of_another_port_is_a_change(home: Rig, port: int) -> None:
    await home.poll()
    home.gateway.chain.block(64111, 3).words[2] = port
    with pytest.raises(MapChangedError, match="port"):
        await home.poll(after=LIVE_SECONDS)


async def test_a_device_that_was_added_is_a_change(home: Rig) -> None:
    await home.poll()
    home.gateway.chain.add_device(3, 2)
    with pytest.raises(MapChangedError):
        await home.poll(after=LIVE_SECONDS)


async def test_a_device_that_was_added_at_the_end_is_noticed(home: Rig) -> None:
    assert (await home.poll()).doubt == ""
    home.gateway.chain.add_device(3, 9)
    poll = await home.poll(after=SETTINGS_SECONDS)
    assert "goes on" in poll.doubt
    # All others are where they were.
    assert poll.snapshot[home.id_of(3)][PV_POWER] == 1650


async def test_a_map_that_is_as_before_is_read_anew(home: Rig) -> None:
    await home.poll()
    chain = home.gateway.chain
    first, second = (chain.device(port) for port in (3, 4))
    chain.reorder([4, 3])
    with pytest.raises(MapChangedError):
        await home.poll(after=LIVE_SECONDS)
    chain.reorder([1, 3, 4])
    assert [one.port for one in (first, second)] == [3, 4]
    home.mate3.forget()
    poll = await home.poll()
    assert poll.snapshot[home.id_of(3)][PV_POWER] == 1650
    assert poll.snapshot[home.id_of(4)][PV_POWER] == 1350


def marked(chain: Chain) -> dict[tuple[int, int], int]:
    """Give each device a number of its own, in a register that all of its kind have.

    Return them by the DID of what it measures and its port.
    """
    numbers: dict[tuple[int, int], int] = {}
    for place, device in enumerate(chain.devices(), 1):
        number = 100 + place
        device.live[MARK_OFFSETS[device.did]] = number
        numbers[device.did, device.port] = number
        if device.config is not None:
            device.config[16] = 500 + place
    return numbers


MARK_OFFSETS: Final = {64111: 14, 64113: 22, 64115: 37, 64117: 30, 64118: 28}
"""DID -> offset of the register that is marked."""

MARKS: Final = {
    64111: ("pv_power", 1),
    64113: ("ac_input_frequency", 10),
    64115: ("ac_input_frequency", 10),
    64117: ("ac_input_frequency", 10),
    64118: ("battery_soc", 1),
}
"""DID -> key of the register that is marked, and what it is divided by."""


@st.composite
def systems(draw: st.DrawFn) -> Chain:
    """Draw a system with several devices of a kind, in any order."""
    chain = still(
        draw(st.sampled_from(("mate3s", "fx", "split-stack", "mate3-311")))
    ).chain
    free = [port for port in range(1, 11) if port not in _ports(chain)]
    for port in draw(st.lists(st.sampled_from(free), unique=True, max_size=4)):
        chain.add_device(draw(st.sampled_from(_ports(chain))), port)
    chain.reorder(draw(st.permutations(_ports(chain))))
    return chain


def _ports(chain: Chain) -> list[int]:
    return [device.port for device in chain.devices()]


@st.composite
def changes(draw: st.DrawFn) -> list[tuple[str, int, int]]:
    """Draw what is done to the plugs of a HUB."""
    kinds = st.sampled_from(("swap", "move", "remove", "add", "reorder"))
    numbers = st.integers(0, 9)
    return draw(st.lists(st.tuples(kinds, numbers, numbers), min_size=1, max_size=3))


def carry_out(chain: Chain, kind: str, one: int, other: int) -> None:
    """Do something to the plugs of a HUB, as far as that can be done."""
    ports = _ports(chain)
    free = [port for port in range(1, 11) if port not in ports]
    first, second = ports[one % len(ports)], ports[other % len(ports)]
    match kind:
        case "swap" if first != second:
            chain.swap_ports(first, second)
        case "move" if free:
            chain.move_port(chain.device(first).did, first, free[other % len(free)])
        case "remove" if len(ports) > 1:
            chain.remove_device(first)
        case "add" if free:
            chain.add_device(first, free[other % len(free)])
        case "reorder":
            chain.reorder([*ports[one % len(ports) :], *ports[: one % len(ports)]])


@pytest.mark.parametrize("part", range(2))
@settings(max_examples=30)
@given(systems())
def test_devices_of_a_kind_never_mix_their_values(part: int, chain: Chain) -> None:
    numbers = marked(chain)

    clock = FakeClock()

    async def run() -> None:
        mate3 = await identified(GatewayUnit(SimulatedMate3(chain)))
        wanted = wanted_of(mate3, SHOWN)
        # The second time, from what was learnt the first time.
        for _ in range(2):
            clock.now += LIVE_SECONDS
            snapshot = (await mate3.async_poll(wanted)).snapshot
            _assert_marks(mate3, snapshot, numbers)

    with time_of(clock):
        asyncio.run(run(), debug=False)


def _assert_marks(
    mate3: Mate3,
    snapshot: Mapping[str, Mapping[str, object]],
    numbers: Mapping[tuple[int, int], int],
) -> None:
    """Check that values of each device that are there are its own."""
    for item in mate3.system.equipment:
        assert item.live is not None
        key, divisor = MARKS[item.live.did]
        value = snapshot.get(item.id, {}).get(key)
        if value is not None:
            assert value == numbers[item.live.did, item.port] / divisor, str(item)


@pytest.mark.parametrize("part", range(4))
@settings(max_examples=40)
@given(systems(), changes(), st.booleans())
def test_no_value_of_a_block_that_moved_is_ever_returned(
    part: int, chain: Chain, plugging: list[tuple[str, int, int]], some: bool
) -> None:
    """Only what is still at its place has values; ids are of a family and a port."""
    marked(chain)

    clock = FakeClock()

    async def run() -> None:
        mate3 = await identified(unit := GatewayUnit(SimulatedMate3(chain)))
        wanted = wanted_of(mate3, SHOWN)
        if some:
            ids = [item.id for item in mate3.system.equipment]
            wanted = frozenset(point for point in wanted if point[0] in ids[-2:])
        await mate3.async_poll(wanted)
        for kind, one, other in plugging:
            carry_out(chain, kind, one, other)
        truth = {
            (device.did, device.port): device.live[MARK_OFFSETS[device.did]]
            for device in chain.devices()
        }
        for _ in range(14):
            clock.now += LIVE_SECONDS
            try:
                snapshot = (await mate3.async_poll(wanted)).snapshot
            except MapChangedError:
                continue
            for item in mate3.system.equipment:
                assert item.live is not None
                key, divisor = MARKS[item.live.did]
                value = snapshot.get(item.id, {}).get(key)
                if value is not None:
                    assert value == truth[item.live.did, item.port] / divisor
        assert unit.writes == []

    with time_of(clock):
        asyncio.run(run(), debug=False)


# -- what stands for nothing ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("did", "port", "offset", "word", "key"),
    [
        (64111, 3, 9, 0xFFFF, "dc_voltage"),
        (64111, 3, 14, 0xFFFF, "pv_power"),
        (64111, 3, 14, 0x8000, "pv_power"),
        (64111, 3, 14, 0x7FFF, "pv_power"),
        (64111, 3, 19, 0x8000, "pv_energy_today"),
        (64115, 1, 31, 0x8000, "l_module_fet_temperature"),
        (64111, 3, 13, 5, "charger_state"),
        (64111, 3, 13, 0xFFFF, "charger_state"),
        (64111, 3, 4, 0x8000, "dc_voltage"),
        (64111, 3, 4, 11, "dc_voltage"),
        (64115, 1, 22, 13, "status"),
        (64115, 1, 22, 99, "status"),
        (64115, 1, 39, 2, "ac_input"),
        (64115, 1, 23, 0xFFFF, "problem"),
        (64118, 5, 28, 0xFFFF, "battery_soc"),
        (64118, 5, 26, 0x8000, "battery_power"),
        (64118, 5, 26, 0x8000, "battery_charge_power"),
    ],
)
async def test_what_stands_for_nothing_is_none(
    home: Rig, did: int, port: int, offset: int, word: int, key: str
) -> None:
    before = (await home.poll()).snapshot[home.id_of(port)]
    assert before[key] is not None
    home.gateway.set_word(did, offset, word, port)
    if key == "problem":
        home.gateway.set_word(did, offset + 1, word, port)
    after = (await home.poll(after=LIVE_SECONDS)).snapshot[home.id_of(port)]
    assert after[key] is None


@pytest.mark.parametrize(("word", "name"), [(11, "slave_on"), (12, "slave_off")])
async def test_modes_of_other_firmware_are_known(
    home: Rig, word: int, name: str
) -> None:
    home.gateway.set_word(64115, 22, word, 1)
    assert (await home.poll()).snapshot[home.id_of(1)]["status"] == name


async def test_minus_one_is_a_value_where_numbers_are_signed(home: Rig) -> None:
    home.gateway.set_word(64110, 410, 0xFFFF)
    home.gateway.set_word(64118, 13, 0xFFFF, 5)
    snapshot = (await home.poll()).snapshot
    assert snapshot[home.mate3.system.id]["sched_1_ac_mode"] == "disabled"
    assert snapshot[home.id_of(5)]["battery_current"] == -0.1


# -- single registers -----------------------------------------------------------------------------


async def test_a_register_is_found_by_key_and_by_the_makers_name(home: Rig) -> None:
    for name in ("pv_power", "watts"):
        reading = await home.mate3.async_read_register(home.id_of(4), name)
        assert reading is not None
        assert reading.values == {"pv_power": 1350}
        assert reading.words == (1350,)
        assert reading.address == home.gateway.address_of(64111, 14, 4)
        assert reading.space is Space.HOLDING
    assert await home.mate3.async_read_register(home.id_of(4), "nonsense") is None
    assert await home.mate3.async_read_register("nobody", "watts") is None


async def test_a_register_of_a_block_that_moved_is_not_read(home: Rig) -> None:
    home.gateway.chain.reorder([4, 3])
    with pytest.raises(MapChangedError):
        await home.mate3.async_read_register(home.id_of(4), "watts")


async def test_a_register_of_a_block_without_data_has_no_value(home: Rig) -> None:
    home.gateway.lose_data(4, 3600)
    reading = await home.mate3.async_read_register(home.id_of(4), "watts")
    assert reading is not None
    assert reading.values == {"pv_power": None}


@pytest.mark.parametrize(
    ("first", "count", "allowed"),
    [
        *((40000, 1, True), (39999, 1, False), (0, 100, False)),
        *((41152, 0, True), (40000, 1152, True), (40000, 1153, False)),
        *((65535, 1, False), (40000, 100000, False)),
    ],
)
async def test_only_registers_of_the_map_are_read(
    home: Rig, first: int, count: int, allowed: bool
) -> None:
    assert home.gateway.chain.end == 41152
    assert home.mate3.may_read(first, count) is allowed


async def test_a_dump_holds_the_whole_map(home: Rig) -> None:
    image, missing = await home.mate3.async_dump()
    assert missing == {}
    words = home.gateway.chain.as_words()
    assert image.words[Space.HOLDING] == dict(enumerate(words, 40000))
    # It can be served, and read again.
    again = Chain.parse(image.words[Space.HOLDING], "again")
    assert again.as_words() == words


async def test_a_dump_goes_on_behind_what_is_refused(home: Rig) -> None:
    refusal = IllegalDataAddressError()
    lost(home.unit, 40200, 40200, refusal)
    image, missing = await home.mate3.async_dump()
    assert missing == {"40200-40299": str(refusal)}
    assert 40300 in image.words[Space.HOLDING]


async def test_a_dump_of_a_silent_gateway_is_what_is_known(home: Rig) -> None:
    await home.poll(frozenset({(home.id_of(3), PV_POWER)}))
    lost(home.unit, 0, 0xFFFF, ModbusTimeoutError("silent"))
    home.unit.taken_reads()
    image, missing = await home.mate3.async_dump()
    assert len(home.unit.taken_reads()) == 1
    assert len(missing) == 1
    assert image.words[Space.HOLDING][home.gateway.address_of(64111, 14, 3)] == 1650


# -- devices --------------------------------------------------------------------------------------


@pytest.mark.parametrize("variant", VARIANTS)
async def test_devices_have_the_points_that_their_blocks_tell(variant: str) -> None:
    mate3 = await identified(GatewayUnit(still(variant)))
    for device in mate3.devices:
        keys = {point.key for point in device.points}
        assert keys >= set(mate3.rows[device.identity.id])
    gateway, *others = mate3.devices
    assert gateway.identity.via is None
    assert {other.identity.via for other in others} == {gateway.identity.id}
    assert all(
        place.block is None or place.block.half in Half for place in mate3.system.places
    )


async def test_a_gateway_of_which_nothing_is_behind_is_polled(clock: FakeClock) -> None:
    gateway = still()
    gateway.chain.blocks = [
        block
        for block in gateway.chain.blocks
        if block.did not in {*CONFIG_OF, *CONFIG_OF.values()}
    ]
    unit = GatewayUnit(gateway)
    mate3 = Mate3(unit, await async_identify(unit), spacing=SPACING)
    assert len(mate3.devices) == 1
    poll = await mate3.async_poll(wanted_of(mate3))
    assert poll.failed == {}
    assert poll.snapshot[mate3.system.id]["dc_voltage"] == 52.0
    assert "pv_power" not in poll.snapshot[mate3.system.id]
