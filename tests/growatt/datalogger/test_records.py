"""What packets say, and what loggers are told."""

from collections.abc import Callable
from contextlib import suppress
from datetime import datetime
from struct import pack
from typing import Any, Final

from hypothesis import given, strategies as st
import pytest

from custom_components.local_solar.growatt.datalogger.packets import (
    PROTOCOLS,
    Packet,
    Protocol,
    Type,
    encode,
    masked,
    serial_field,
)
from custom_components.local_solar.growatt.datalogger.parameters import (
    CLOCK_FORMAT,
    SECRET,
    WORTH_KNOWING,
    ParameterNumber,
)
from custom_components.local_solar.growatt.datalogger.records import (
    COMMANDS,
    MAX_GROUP_WORDS,
    MAX_WORDS,
    METER_WORDS,
    Answer,
    Block,
    Command,
    MeterLog,
    MeterRecord,
    Parameter,
    Ping,
    Record,
    RecordError,
    RegisterRecord,
    StickRecord,
    Unexplained,
    commanded,
    decode,
    read_holding,
    read_parameters,
    write_holding,
    write_holdings,
    write_parameter,
)
from custom_components.local_solar.modbus.image import Space
from simulators.datalogger import bodies as peer_bodies, packets as peer
from tests.modbus.helpers import HOLDING, INPUT

from . import recordings
from .recordings import (
    ANNOUNCED,
    LIVE,
    RECORDINGS,
    REPORTS,
    Recording,
    each_of,
    packet_of,
    recorded,
)

LOGGER: Final = "XGD0SIM001"
INVERTER: Final = "SNL0CE1234"
STICK: Final = "0ABC123456"
NOW: Final = bytes((26, 11, 21, 15, 40, 7))

OF_REGISTERS: Final = (*(Type.ANNOUNCE, Type.LIVE, Type.BUFFERED, Type.VPP, Type.MORE),)

numbers = st.integers(0, 0xFFFF)
words = st.lists(numbers, min_size=1, max_size=MAX_WORDS)
serials = st.text("ABCXYZ0189", min_size=1, max_size=10)
protocols = st.sampled_from(Protocol)


def made(
    kind: int, tail: bytes, protocol: Protocol = Protocol.LONG_SERIALS, unit: int = 1
) -> Packet:
    """Return a logger's packet: its serial number, and what follows."""
    body = serial_field(LOGGER, protocol) + tail
    return packet_of(encode(5, protocol, unit, kind, body))


def groups(*blocks: tuple[int, list[int]]) -> bytes:
    """Return groups of registers as records have them."""
    return bytes((len(blocks),)) + b"".join(
        pack(f">HH{len(block)}H", first, first + len(block) - 1, *block)
        for first, block in blocks
    )


def record(
    *blocks: tuple[int, list[int]],
    kind: int = Type.LIVE,
    time: bytes = NOW,
    protocol: Protocol = Protocol.LONG_SERIALS,
) -> Packet:
    """Return a record of registers."""
    stamp = time if protocol.has_time else b""
    inverter = serial_field(INVERTER, protocol)
    return made(kind, inverter + stamp + groups(*blocks), protocol, unit=2)


def registers(packet: Packet) -> RegisterRecord:
    """Return what a record of registers says."""
    found = decode(packet)
    assert isinstance(found, RegisterRecord)
    return found


# -- what was recorded ----------------------------------------------------------------------

_TIME: Final = "%Y-%m-%d %H:%M:%S"


def _time_of(told: str) -> datetime | None:
    try:
        return datetime.strptime(told, _TIME)
    except ValueError:
        return None


@each_of(REPORTS)
def test_every_recorded_report_says_what_it_was_published_with(it: Recording) -> None:
    told = it.decoded
    if it.id == "v6-stefa-21":
        with pytest.raises(RecordError, match="spoilt"):
            decode(it.packet)
        return
    found = decode(it.packet)
    assert found.logger == told["datalogger_serial"]
    match found:
        case RegisterRecord():
            assert found.unit == told["unit"]
            assert found.inverter == told["inverter_serial"]
            assert found.at == _time_of(told["timestamp"])
            assert [
                [block.first, block.first + len(block.words) - 1]
                for block in found.blocks
            ] == told["groups"]
        case MeterRecord():
            assert found.inverter == told["inverter_serial"]
            assert found.at == _time_of(told["timestamp"])
            assert 2 * len(found.words) == told["data_bytes"]
            assert found.words[1] == told["values"]["word0_1"]
        case MeterLog():
            assert found.unit == told["unit"]
            assert found.at == _time_of(told["timestamp"])
            # Behind the last number there is one more comma.
            assert len(found.numbers) == told["csv_fields"] - 1
            assert [*found.numbers[:10]] == [float(text) for text in told["csv_first"]]
        case Parameter():
            assert (found.number, found.text) == (told["param"], told["value"])
        case Answer():
            assert found.unit == told["unit"]
            first = told.get("start", told.get("register", told.get("param")))
            assert (found.first, found.last) == (first, told.get("end", first))
            assert found.status == told.get("status")
            value = told.get("values", [told["value"]] if "value" in told else [])
            assert list(found.words) == value
        case Unexplained():
            assert found.type == it.kind == Type.METER_REPORT
        case _:
            assert isinstance(found, Ping)
            assert it.kind == Type.PING


V3: Final[dict[str, tuple[int, int, int]]] = {
    "status": (0, 1, 1),
    "ppv_W": (1, 2, 10),
    "vpv1_V": (3, 1, 10),
    "ipv1_A": (4, 1, 10),
    "ppv1_W": (5, 2, 10),
    "vpv2_V": (7, 1, 10),
    "pac_W": (11, 2, 10),
    "fac_Hz": (13, 1, 100),
    "vac1_V": (14, 1, 10),
    "iac1_A": (15, 1, 10),
    "e_today_kWh": (26, 2, 10),
    "e_total_kWh": (28, 2, 10),
    "temp_C": (32, 1, 10),
}
"""Name in the recordings -> address, words and divisor."""

OFF_GRID: Final[dict[str, tuple[int, int, int]]] = {
    "status": (0, 1, 1),
    "ppv1_W": (3, 2, 10),
    "output_W": (9, 2, 10),
    "output_VA": (11, 2, 10),
    "battery_V": (17, 1, 100),
    "soc": (18, 1, 1),
    "output_V": (22, 1, 10),
    "output_Hz": (23, 1, 100),
    "inv_temp_C": (25, 1, 10),
    "load_pct": (27, 1, 10),
    "pv_energy_today_kWh": (48, 2, 10),
    "pv_energy_total_kWh": (50, 2, 10),
}

BASE: Final[dict[str, tuple[int, int, int]]] = {
    "status": (0, 1, 1),
    "ppv_W": (1, 2, 10),
    "vpv1_V": (3, 1, 10),
    "ppv1_W": (5, 2, 10),
    "vpv2_V": (7, 1, 10),
    "pac_W": (35, 2, 10),
    "fac_Hz": (37, 1, 100),
    "vac1_V": (38, 1, 10),
    "e_today_kWh": (53, 2, 10),
    "e_total_kWh": (55, 2, 10),
    "temp_C": (93, 1, 10),
    "batt_discharge_W": (1009, 2, 10),
    "batt_charge_W": (1011, 2, 10),
    "vbat_V": (1013, 1, 10),
    "soc": (1014, 1, 1),
}

TL_X: Final[dict[str, tuple[int, int, int]]] = {
    "status_raw": (3000, 1, 1),
    "ppv_W": (3001, 2, 10),
    "vpv1_V": (3003, 1, 10),
    "ipv1_A": (3004, 1, 10),
    "ppv1_W": (3005, 2, 10),
    "vpv2_V": (3007, 1, 10),
    "ppv2_W": (3009, 2, 10),
    "pac_W": (3023, 2, 10),
    "fac_Hz": (3025, 1, 100),
    "vac1_V": (3026, 1, 10),
    "e_today_kWh": (3049, 2, 10),
    "e_total_kWh": (3051, 2, 10),
    "epv_total_kWh": (3053, 2, 10),
    "temp_C": (3093, 1, 10),
}


def _layout(values: dict[str, Any], first: int, last: int) -> dict[str, Any]:
    if first == 3000:
        return TL_X
    if last == 124:
        return BASE
    return OFF_GRID if "battery_V" in values else V3


def _words(found: RegisterRecord) -> dict[int, int]:
    return {
        address: word
        for block in found.blocks
        for address, word in enumerate(block.words, block.first)
    }


@each_of(LIVE)
def test_the_registers_of_a_live_record_hold_what_was_published(it: Recording) -> None:
    values, known = it.decoded["values"], _words(registers(it.packet))
    layout = _layout(values, *it.decoded["groups"][0])
    compared = layout.keys() & values
    assert len(compared) >= 10
    for name in compared:
        address, count, divisor = layout[name]
        number = 0
        for at in range(address, address + count):
            number = number << 16 | known[at]
        assert number / divisor == values[name], name


@each_of(ANNOUNCED)
def test_the_registers_of_an_announcement_hold_what_was_published(
    it: Recording,
) -> None:
    found = registers(it.packet)
    values, known = it.decoded["values"], _words(found)
    assert found.space is HOLDING
    assert known[43] == values["holding_43_dtc"]
    assert [known[at] for at in range(45, 51)] == values["holding_45_50_clock"]
    firmware = b"".join(known[at].to_bytes(2) for at in range(9, 15))
    assert firmware.decode("latin-1").startswith(values["holding_9_14_fw_ascii"][:4])


@each_of([each for each in RECORDINGS if not each.is_whole])
def test_what_was_published_in_part_is_refused(it: Recording) -> None:
    protocol = PROTOCOLS[it.raw[3]]
    packet = Packet(1, protocol, 1, it.kind, masked(it.raw[8:]), it.raw)
    with pytest.raises(RecordError, match="cut short"):
        decode(packet)


def test_no_recording_of_a_kind_is_missed() -> None:
    if RECORDINGS:
        assert {each.kind for each in RECORDINGS} == {*Type} - {
            *(Type.STICK, Type.MORE, Type.SESSION_KEY),
        }


# -- records of registers -------------------------------------------------------------------


@given(
    protocols,
    st.sampled_from(OF_REGISTERS),
    serials,
    serials,
    st.binary(min_size=6, max_size=6),
    st.integers(0, 0xFF),
    st.lists(st.tuples(st.integers(0, 0xFFFF - MAX_WORDS), words), max_size=4),
)
def test_records_that_an_independent_codec_wrote_are_read(
    protocol: Protocol,
    kind: Type,
    logger: str,
    inverter: str,
    stamp: bytes,
    unit: int,
    blocks: list[tuple[int, list[int]]],
) -> None:
    theirs = peer_bodies.Record(
        logger,
        inverter,
        stamp,
        tuple(peer_bodies.Group(first, tuple(block)) for first, block in blocks),
    )
    raw = peer.Packet(
        kind=kind, body=theirs.body(protocol), unit=unit, protocol=protocol
    ).encode()
    found = registers(packet_of(raw))
    assert (found.type, found.unit) == (kind, unit)
    assert (found.logger, found.inverter) == (logger, inverter)
    assert found.space is (Space.HOLDING if kind == Type.ANNOUNCE else Space.INPUT)
    assert found.blocks == tuple((first, tuple(block)) for first, block in blocks)
    if not protocol.has_time:
        assert found.at is None
    elif found.at is not None:
        assert found.at.strftime("%y %m %d %H %M %S") == " ".join(
            f"{number:02d}" for number in (stamp[0] % 100, *stamp[1:])
        )


@pytest.mark.parametrize(
    ("time", "at"),
    [
        (NOW, datetime(2026, 11, 21, 15, 40, 7)),
        (bytes((51, 2, 5, 13, 4, 23)), datetime(2051, 2, 5, 13, 4, 23)),
        (bytes((24, 2, 29, 0, 0, 0)), datetime(2024, 2, 29)),
        (bytes((255, 12, 31, 23, 59, 59)), datetime(2255, 12, 31, 23, 59, 59)),
        (bytes(6), None),
        (bytes((33, 0, 0, 39, 77, 77)), None),
        (bytes((26, 0, 1, 0, 0, 0)), None),
        (bytes((25, 2, 29, 0, 0, 0)), None),
        (bytes((26, 1, 1, 24, 0, 0)), None),
        (bytes((26, 1, 1, 0, 60, 0)), None),
        (bytes((26, 1, 1, 0, 0, 60)), None),
    ],
)
def test_a_time_is_told_only_if_it_is_one(time: bytes, at: datetime | None) -> None:
    assert registers(record((0, [1]), time=time)).at == at


def test_the_oldest_protocol_tells_no_time() -> None:
    found = registers(record((0, [7, 8]), protocol=Protocol.FIRST))
    assert found.at is None
    assert found.blocks == (Block(0, (7, 8)),)


def test_groups_come_in_any_order_and_number() -> None:
    assert registers(record()).blocks == ()
    found = registers(record((1000, [1]), (1125, [2]), (2, [3])))
    assert [block.first for block in found.blocks] == [1000, 1125, 2]


@pytest.mark.parametrize(
    ("tail", "why"),
    [
        (groups((0, [1, 2])) + b"\0", "1 bytes follow"),
        (groups((0, [1, 2]))[:-1], "cut short"),
        (b"\2" + groups((0, [1, 2]))[1:], "cut short"),
        (b"\1" + pack(">HH", 5, 4), "no group"),
        (b"\1" + pack(">HH", 0, MAX_GROUP_WORDS) + bytes(2050), "no group"),
        (b"\1" + pack(">HH", 0, 0xFFFF), "no group"),
        (b"\1" + pack(">HH", 0xFFFF, 0), "no group"),
    ],
)
def test_groups_that_do_not_fill_the_body_are_refused(tail: bytes, why: str) -> None:
    serial = serial_field(INVERTER, Protocol.LONG_SERIALS)
    with pytest.raises(RecordError, match=why):
        decode(made(Type.LIVE, serial + NOW + tail))


# -- serial numbers -------------------------------------------------------------------------


@pytest.mark.parametrize("protocol", Protocol)
@pytest.mark.parametrize("padding", [b"\0", b" "])
def test_a_serial_number_is_told_without_padding(
    protocol: Protocol, padding: bytes
) -> None:
    for serial in ("XGD0SIM001", "XG1"):
        field = serial.encode().ljust(protocol.serial_bytes, padding)
        packet = packet_of(encode(1, protocol, 1, Type.PING, field))
        assert decode(packet) == Ping(logger=serial)


@pytest.mark.parametrize("kind", [*OF_REGISTERS, Type.PING, 0x77])
@pytest.mark.parametrize(
    "serial", [b"", b" ", b"XGD\0SIM001", b"XGD SIM001", b"XGD0SIM00\xc4", b"\xff" * 10]
)
def test_what_is_no_serial_number_is_refused(kind: int, serial: bytes) -> None:
    good = serial_field(INVERTER, Protocol.PLAIN)
    for first, second in ((serial, good), (good, serial)):
        if kind not in OF_REGISTERS and first == good:
            continue
        body = first.ljust(10, b"\0") + second.ljust(10, b"\0") + NOW + groups((0, [1]))
        with pytest.raises(RecordError, match="no serial number"):
            decode(packet_of(encode(1, Protocol.PLAIN, 1, kind, body)))


# -- every kind -----------------------------------------------------------------------------


def _kinds(protocol: Protocol) -> list[tuple[Packet, Record]]:
    """Return a packet of every kind, with what it says."""
    inverter, stick = (serial_field(text, protocol) for text in (INVERTER, STICK))
    block = list(range(METER_WORDS))
    text = b"233.1,-7,0.5"
    common: dict[str, Any] = {"logger": LOGGER, "unit": 1}
    at = datetime(2026, 11, 21, 15, 40, 7)
    clock = bytes((26, 11, 21, 15, 40, 7))
    return [
        *(
            (
                record((3000, [1, 2]), (3125, [3]), kind=kind, protocol=protocol),
                RegisterRecord(
                    kind,
                    LOGGER,
                    INVERTER,
                    2,
                    clock if protocol.has_time else b"",
                    HOLDING if kind == Type.ANNOUNCE else INPUT,
                    (Block(3000, (1, 2)), Block(3125, (3,))),
                ),
            )
            for kind in OF_REGISTERS
        ),
        (made(Type.PING, b"", protocol), Ping(logger=LOGGER)),
        (
            made(
                Type.METER,
                inverter + NOW + pack(f">H{METER_WORDS}H", 200, *block),
                protocol,
            ),
            MeterRecord(inverter=INVERTER, at=at, words=tuple(block), **common),
        ),
        (
            made(
                Type.METER_LOG, b"\0\x43" + NOW + pack(">H", len(text)) + text, protocol
            ),
            MeterLog(at=at, numbers=(233.1, -7.0, 0.5), **common),
        ),
        (
            made(Type.STICK, stick + inverter + b"\x14\x7b", protocol),
            StickRecord(logger=LOGGER, stick=STICK, inverter=INVERTER, type_code=5243),
        ),
        (
            made(Type.READ_PARAMETERS, pack(">HH", 4, 3) + b"0.5", protocol),
            Parameter(logger=LOGGER, number=4, text="0.5"),
        ),
        (
            made(Type.WRITE_PARAMETER, pack(">HB", 31, 0), protocol),
            Answer(type=Type.WRITE_PARAMETER, first=31, last=31, status=0, **common),
        ),
        (
            made(Type.READ_HOLDING, pack(">HHHH", 8, 9, 3600, 1), protocol),
            Answer(type=Type.READ_HOLDING, first=8, last=9, words=(3600, 1), **common),
        ),
        (
            made(Type.WRITE_HOLDING, pack(">HBH", 1, 0, 3), protocol),
            Answer(
                type=Type.WRITE_HOLDING,
                first=1,
                last=1,
                words=(3,),
                status=0,
                **common,
            ),
        ),
        (
            made(Type.WRITE_HOLDINGS, pack(">HHB", 1100, 1102, 4), protocol),
            Answer(type=Type.WRITE_HOLDINGS, first=1100, last=1102, status=4, **common),
        ),
        (
            made(Type.METER_REPORT, bytes(99), protocol),
            Unexplained(type=Type.METER_REPORT, logger=LOGGER),
        ),
        (made(0x77, b"\1\2\3", protocol), Unexplained(type=0x77, logger=LOGGER)),
    ]


KINDS: Final = {protocol: _kinds(protocol) for protocol in Protocol}

MAY_END_EARLY: Final = {
    # An answer without values says that there are none.
    Type.READ_HOLDING: lambda width: {width + 4},
    # What nobody has explained may be of any length.
    Type.METER_REPORT: lambda width: set(range(width, width + 200)),
    0x77: lambda width: set(range(width, width + 200)),
}
"""Where bodies of a type may end as well, by the width of a serial number."""


@pytest.mark.parametrize("protocol", Protocol)
def test_every_kind_says_what_it_is_made_of(protocol: Protocol) -> None:
    for packet, said in KINDS[protocol]:
        assert decode(packet) == said


@pytest.mark.parametrize("protocol", Protocol)
def test_every_kind_cut_short_anywhere_is_refused(protocol: Protocol) -> None:
    for packet, _ in KINDS[protocol]:
        may_end: Callable[[int], set[int]] = MAY_END_EARLY.get(
            packet.type, lambda width: set()
        )
        for length in range(len(packet.body)):
            if length in may_end(protocol.serial_bytes):
                continue
            with pytest.raises(RecordError):
                decode(packet._replace(body=packet.body[:length]))


@given(
    protocols,
    st.sampled_from([*Type]) | st.integers(0, 0xFF),
    st.binary(max_size=400),
    st.booleans(),
    st.booleans(),
)
def test_any_body_is_read_or_refused(
    protocol: Protocol, kind: int, tail: bytes, named: bool, twice: bool
) -> None:
    field = serial_field(LOGGER, protocol)
    body = field * named + field * (named and twice) + tail
    with suppress(RecordError):
        decode(Packet(1, protocol, 1, kind, body, b""))


def test_an_answer_without_values_says_that_there_are_none() -> None:
    found = decode(made(Type.READ_HOLDING, pack(">HH", 4000, 4001)))
    assert isinstance(found, Answer)
    assert (found.first, found.last, found.words) == (4000, 4001, ())


@pytest.mark.parametrize(
    ("first", "last", "count"),
    [(8, 9, 1), (8, 9, 3), (9, 8, 0), (0, MAX_WORDS, MAX_WORDS + 1), (0, 0xFFFF, 0)],
)
def test_values_that_do_not_fit_their_registers_are_refused(
    first: int, last: int, count: int
) -> None:
    tail = pack(f">HH{count}H", first, last, *[7] * count)
    with pytest.raises(RecordError):
        decode(made(Type.READ_HOLDING, tail))


@pytest.mark.parametrize(
    "text", ["", "1,two,3", "1,,3", "nan,1", "1,inf", "-inf", "1e999", "1;2", "ä"]
)
def test_a_meters_text_that_is_no_list_of_numbers_is_refused(text: str) -> None:
    octets = text.encode()
    tail = b"\0\x43" + NOW + pack(">H", len(octets)) + octets
    with pytest.raises(RecordError, match="meter"):
        decode(made(Type.METER_LOG, tail))


@pytest.mark.parametrize(
    "padded", ["1,2.5,-3", "1,2.5,-3,", "1, 2.5, -3\r\n", "1,2.5,-3\0"]
)
def test_a_meters_text_may_be_padded(padded: str) -> None:
    octets = padded.encode()
    tail = b"\0\x43" + NOW + pack(">H", len(octets)) + octets
    found = decode(made(Type.METER_LOG, tail))
    assert isinstance(found, MeterLog)
    assert found.numbers == (1.0, 2.5, -3.0)


@pytest.mark.parametrize("size", [0, 198, 202])
def test_a_meter_block_of_another_size_is_refused(size: int) -> None:
    inverter = serial_field(INVERTER, Protocol.LONG_SERIALS)
    with pytest.raises(RecordError, match="200"):
        decode(made(Type.METER, inverter + NOW + pack(">H", size) + bytes(size)))


def test_a_parameter_that_is_no_text_is_told_as_far_as_it_is() -> None:
    packet = made(Type.READ_PARAMETERS, pack(">HH", 9, 4) + b"A\xff\0\0")
    assert decode(packet) == Parameter(logger=LOGGER, number=9, text="A�")


# -- commands -------------------------------------------------------------------------------


def theirs(command: Command, protocol: Protocol) -> peer.Packet:
    """Return how the independent codec reads a command."""
    raw = command.encode(0x8001, protocol, LOGGER)
    packet = peer.Packet.decode(raw)
    assert (packet.tid, packet.unit, packet.kind) == (
        0x8001,
        command.unit,
        command.type,
    )
    assert packet.logger == LOGGER
    return packet


def about(command: Command, protocol: Protocol) -> tuple[int, int] | None:
    """Return what a relay takes a command to be about."""
    return commanded(packet_of(command.encode(1, protocol, LOGGER)))


@given(protocols, st.integers(1, 0xFF), st.integers(0, 0xFFFF - MAX_WORDS), words)
def test_commands_to_inverters_say_what_they_are_made_of(
    protocol: Protocol, unit: int, first: int, wanted: list[int]
) -> None:
    last = first + len(wanted) - 1
    read = read_holding(unit, first, len(wanted))
    assert peer_bodies.Span.parse(theirs(read, protocol)) == peer_bodies.Span(
        LOGGER, first, last
    )
    write = write_holdings(unit, first, wanted)
    assert peer_bodies.Span.parse(theirs(write, protocol)) == peer_bodies.Span(
        LOGGER, first, last, tuple(wanted)
    )
    single = write_holding(unit, first, wanted[0])
    assert peer_bodies.Single.parse(theirs(single, protocol)) == peer_bodies.Single(
        LOGGER, first, wanted[0]
    )
    for command in (read, write, single):
        assert about(command, protocol) == (command.first, command.last)
    assert (single.first, single.last) == (first, first)


@given(protocols, numbers, numbers, st.text(st.characters(codec="ascii"), max_size=60))
def test_commands_to_loggers_say_what_they_are_made_of(
    protocol: Protocol, first: int, last: int, text: str
) -> None:
    read = read_parameters(first, last)
    assert peer_bodies.Span.parse(theirs(read, protocol)) == peer_bodies.Span(
        LOGGER, first, last
    )
    assert about(read, protocol) == (first, last)
    write = write_parameter(first, text)
    assert peer_bodies.Parameter.parse(
        theirs(write, protocol)
    ) == peer_bodies.Parameter(LOGGER, first, text)
    assert about(write, protocol) == (first, first)
    assert read.unit == write.unit == 1


@pytest.mark.parametrize("protocol", Protocol)
def test_a_command_that_is_not_as_long_as_it_says_is_about_nothing(
    protocol: Protocol,
) -> None:
    for command in (
        read_holding(1, 3, 2),
        write_holding(1, 3, 2),
        write_holdings(1, 3, [1, 2]),
        read_parameters(4, 21),
        write_parameter(31, "2026-11-21 15:40:00"),
    ):
        packet = packet_of(command.encode(1, protocol, LOGGER))
        for length in range(len(packet.body)):
            assert commanded(packet._replace(body=packet.body[:length])) is None
        for more in (b"\0", b"\0\x39\0\x39"):
            assert commanded(packet._replace(body=packet.body + more)) is None


@each_of([each for each in recordings.COMMANDS if each.kind in COMMANDS])
def test_recorded_commands_are_about_what_they_were_published_with(
    it: Recording,
) -> None:
    told = it.decoded
    first = next(
        told[name]
        for name in ("start", "register", "first_param", "param")
        if name in told
    )
    last = told.get("end", told.get("last_param", first))
    assert commanded(it.packet) == (first, last)


def test_the_recorded_setting_of_the_clock_is_ours() -> None:
    recording = recorded("v6-18req-time")
    command = write_parameter(ParameterNumber.CLOCK, recording.decoded["value"])
    assert command.encode(1, Protocol.LONG_SERIALS, "JPCC778A23") == recording.raw
    datetime.strptime(recording.decoded["value"], CLOCK_FORMAT)


def test_commands_are_named_without_values() -> None:
    assert write_holding(1, 3, 80).name == "write holding 3"
    assert write_holdings(1, 1080, [1, 2, 3]).name == "write holding 1080-1082"
    assert read_holding(1, 0, 45).name == "read holding 0-44"
    assert read_parameters(4, 21).name == "read parameter 4-21"
    assert write_parameter(57, "secret").name == "write parameter 57"


def test_what_is_read_once_in_a_session_has_no_secrets() -> None:
    first, last = WORTH_KNOWING
    assert not any(first <= number <= last for number in SECRET)
    assert sorted(SECRET) == [56, 57]
