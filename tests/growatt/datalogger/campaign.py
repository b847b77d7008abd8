"""Packets that were garbled in every way, for everything that looks at packets.

``test_fuzz.py`` runs some, the benchmark of dataloggers a million.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
import gc
from random import Random
from struct import pack
from time import perf_counter
import tracemalloc
from typing import Final

from custom_components.local_solar.growatt.datalogger.meters import meter_values
from custom_components.local_solar.growatt.datalogger.packets import (
    Packet,
    Protocol,
    Type,
    encode,
    serial_field,
)
from custom_components.local_solar.growatt.datalogger.policy import Policy
from custom_components.local_solar.growatt.datalogger.records import (
    MeterLog,
    MeterRecord,
    RecordError,
    RegisterRecord,
    decode,
    read_holding,
    read_parameters,
    write_holding,
    write_holdings,
    write_parameter,
)
from custom_components.local_solar.growatt.datalogger.stream import Stream
from custom_components.local_solar.growatt.identify import Identification
from custom_components.local_solar.growatt.known_inverter import KnownInverter
from custom_components.local_solar.growatt.models import Family

LOGGER: Final = "XGD0SIM001"
INVERTER: Final = "SNL0CE1234"

LOOKED_AT_EVERY: Final = 499
"""Packets after which somebody looks at the images."""

CONNECTIONS: Final = 4
"""So many of each protocol, one of which is the server's, are fed by turns."""

MEASURED: Final = 20_000
"""So many of the last packets are measured for the memory that they leave behind, and not
more than a quarter: measuring takes time."""

GROUPS: Final = (
    ((0, 45), (45, 45)),
    ((0, 45), (45, 45), (90, 45)),
    ((0, 125), (125, 125)),
    ((0, 125), (1000, 125), (1125, 125)),
    ((1000, 125), (1125, 125), (2000, 125)),
    ((3000, 125), (3125, 125)),
    ((31000, 125), (31125, 125)),
)
"""First addresses and words of the groups of records."""

SHARP: Final = (
    *(b"\0", b"\xff", b"\x7f", b"\x80", b"\0\0\0\0", b"\xff\xff", b"\0\1", b"\x80\0"),
    *(b"\0\6", b"\0\6\x10\0", b"\0\2\0\3\1\4\0", b"\0\0\0\5", b"Growatt", b",", b"nan"),
)
"""What such formats trip over: ends of ranges, beginnings of packets, the mask."""

type Mutation = Callable[[Random, bytearray], None]


@dataclass(slots=True)
class Outcome:
    """What came of garbled packets."""

    packets: int
    """How many were sent."""
    unexpected: list[str] = field(default_factory=list)
    """Exceptions that are no ``RecordError``, with the bytes that made them."""
    growth_bytes: int = 0
    """Bytes that the last part of them left behind."""
    seconds: float = 0.0
    counts: Counter[str] = field(default_factory=Counter)
    """What became of them."""


# -- good packets ---------------------------------------------------------------------------


def _records(random: Random, protocol: Protocol) -> Iterable[tuple[int, bytes]]:
    """Make records of registers: type and body."""
    serials = serial_field(LOGGER, protocol) + serial_field(INVERTER, protocol)
    stamp = bytes((26, 11, 21, 15, 40, 7)) if protocol.has_time else b""
    kinds = (Type.ANNOUNCE, Type.LIVE, Type.LIVE, Type.BUFFERED, Type.VPP, Type.MORE)
    for groups in GROUPS:
        for kind in kinds:
            most = random.choice((0, 3, 300, 5000, 0xFFFF))
            yield (
                kind,
                serials
                + stamp
                + bytes((len(groups),))
                + b"".join(
                    pack(
                        f">{2 + count}H",
                        first,
                        first + count - 1,
                        *(random.randint(0, most) for _ in range(count)),
                    )
                    for first, count in groups
                ),
            )


def _others(protocol: Protocol) -> Iterable[tuple[int, bytes]]:
    """Make all other packets of loggers: type and body."""
    logger, inverter = (serial_field(text, protocol) for text in (LOGGER, INVERTER))
    stamp = bytes((26, 11, 21, 15, 40, 7))
    block = pack(">101H", 200, *range(100))
    text = ",".join(f"{number / 10}" for number in range(40)).encode() + b","
    yield Type.PING, logger
    yield Type.METER, logger + inverter + stamp + block
    yield (
        Type.METER_LOG,
        logger + b"\0\x43" + stamp + pack(">H", len(text)) + text,
    )
    yield Type.METER_REPORT, logger + bytes(170)
    yield Type.STICK, logger + inverter + inverter + b"\x14\x7b\0\4\0\1" + b"5"
    yield Type.READ_PARAMETERS, logger + pack(">HH", 4, 1) + b"5"
    yield Type.WRITE_PARAMETER, logger + pack(">HB", 31, 0)
    yield Type.READ_HOLDING, logger + pack(">HHHH", 8, 9, 3600, 1)
    yield Type.WRITE_HOLDING, logger + pack(">HBH", 1, 0, 3)
    yield Type.WRITE_HOLDINGS, logger + pack(">HHB", 1100, 1102, 0)
    yield Type.SESSION_KEY, bytes(range(64))


def _of_loggers(random: Random, protocol: Protocol) -> list[tuple[int, bytes]]:
    return [*_records(random, protocol), *list(_others(protocol)) * 2]


def _of_servers(protocol: Protocol) -> list[tuple[int, bytes]]:
    """Make what a server says: type and body."""
    commands = (
        *(read_parameters(4, 21), read_parameters(57, 57)),
        *(write_parameter(31, "2026-11-21 15:40:00"), write_parameter(17, "192.0.2.1")),
        *(
            read_holding(1, 0, 45),
            write_holding(1, 3, 50),
            write_holdings(1, 3, [1, 2]),
        ),
    )
    logger = serial_field(LOGGER, protocol)
    return [
        *((command.type, logger + command.tail) for command in commands),
        *((kind, b"\0") for kind in (Type.ANNOUNCE, Type.LIVE, Type.BUFFERED)),
        (Type.PING, logger),
    ]


# -- mutations ------------------------------------------------------------------------------


def _flip(random: Random, data: bytearray) -> None:
    if data:
        data[int(random.random() * len(data))] ^= 1 << int(random.random() * 8)


def _place(random: Random, data: bytearray) -> slice:
    """Return a part of some data, which may be nothing and is rarely much."""
    start = int(random.random() * (len(data) + 1))
    return slice(start, start + random.choice((0, 1, 1, 2, 4, 9, 40)))


def _cut(random: Random, data: bytearray) -> None:
    del data[_place(random, data)]


def _end_early(random: Random, data: bytearray) -> None:
    del data[int(random.random() * (len(data) + 1)) :]


def _insert(random: Random, data: bytearray) -> None:
    at = int(random.random() * (len(data) + 1))
    data[at:at] = random.randbytes(random.choice((1, 2, 16)))


def _sharpen(random: Random, data: bytearray) -> None:
    at = int(random.random() * (len(data) + 1))
    sharp = random.choice(SHARP)
    data[at : at + random.choice((0, len(sharp)))] = sharp


def _repeat(random: Random, data: bytearray) -> None:
    part = data[_place(random, data)]
    at = int(random.random() * (len(data) + 1))
    data[at:at] = part * random.choice((1, 1, 2, 30))


def _replace(random: Random, data: bytearray) -> None:
    place = _place(random, data)
    data[place] = random.randbytes(len(data[place]))


MUTATIONS: Final[Sequence[Mutation]] = (
    *(_flip, _flip, _flip, _cut, _end_early, _insert, _sharpen, _repeat, _replace),
)


def _mutate(random: Random, data: bytes) -> bytes:
    changed = bytearray(data)
    for _ in range(random.choice((1, 1, 2, 5))):
        random.choice(MUTATIONS)(random, changed)
    return bytes(changed)


def _mutant(random: Random, protocol: Protocol, kind: int, body: bytes) -> bytes:
    """Return bytes: of a packet garbled within, or on its way, or of none."""
    chance = random.random()
    unit, transaction = (
        random.choice((0, 1, 1, 2, 0x50, 255)),
        random.choice((1, 0x8001)),
    )
    if chance < 0.55:
        # The checksum is right, what it says is not.
        return encode(transaction, protocol, unit, kind, _mutate(random, body)[:4094])
    raw = encode(transaction, protocol, unit, kind, body)
    if chance < 0.7:
        return raw
    if chance < 0.97:
        return _mutate(random, raw)
    return random.randbytes(int(random.random() * 60))


# -- what becomes of them -------------------------------------------------------------------


class _Connection:
    """One connection, and who looks at what comes over it."""

    def __init__(
        self, protocol: Protocol, outcome: Outcome, families: list[Family]
    ) -> None:
        self.protocol = protocol
        self._outcome = outcome
        self._stream = Stream()
        self._inverters = [
            KnownInverter(
                Identification(
                    serial_number=INVERTER,
                    family=family,
                    profile=family,
                    model="an inverter",
                    phases=3,
                    battery=True,
                    rated_power=6000.0,
                )
            )
            for family in families
        ]
        self._turn = 0

    def begin_anew(self) -> None:
        """Be a new connection, and know no words of the inverters behind it.

        Words are as many as there are addresses at most, which is no leak.
        """
        self._stream = Stream()
        for inverter in self._inverters:
            inverter.forget_words()

    def look(self) -> None:
        """Look at the images of all inverters."""
        for inverter in self._inverters:
            _ = inverter.image

    def take(self, data: bytes) -> None:
        """Take in a segment."""
        counts = self._outcome.counts
        if self._stream.given_up:
            counts["given up"] += 1
            self._stream = Stream()
        try:
            items = self._stream.feed(data)
        except Exception as err:  # noqa: BLE001
            self._note(err, data)
            self._stream = Stream()
            return
        for item in items:
            if not isinstance(item, Packet):
                counts["noise"] += 1
            elif not item.is_intact:
                counts["damaged"] += 1
            else:
                try:
                    counts[self.say(item)] += 1
                except RecordError:
                    counts["refused"] += 1
                except Exception as err:  # noqa: BLE001
                    self._note(err, item.raw)

    def _note(self, err: Exception, data: bytes) -> None:
        self._outcome.unexpected.append(f"{err!r} by {data.hex()}")

    def say(self, packet: Packet) -> str:
        """Look at a packet; return what became of it."""
        record = decode(packet)
        if isinstance(record, RegisterRecord):
            self._turn += 1
            inverter = self._inverters[self._turn % len(self._inverters)]
            poll = inverter.take_in(
                record.space, record.blocks, 0.0, keep=record.type != Type.BUFFERED
            )
            if poll.snapshot:
                return "taken"
            return "asleep" if poll.asleep else "garbage"
        if isinstance(record, MeterRecord | MeterLog):
            return "no meter" if meter_values(record) is None else "meter"
        return "understood"


class _ServersConnection(_Connection):
    """What a server says, for whom it is to pass."""

    _POLICIES: Final = (
        Policy(),
        Policy(settings=True),
        Policy(takeover=True),
        Policy(settings=True, takeover=True),
    )

    def say(self, packet: Packet) -> str:
        """Judge a packet; return what became of it."""
        self._turn += 1
        verdict = self._POLICIES[self._turn % 4].judge(packet)
        return "passed" if verdict.passes else "blocked"


def campaign(count: int, seed: int = 1) -> Outcome:
    """Garble so many packets and tell what came of it."""
    random, outcome = Random(seed), Outcome(count)
    families = [*Family]
    lines: list[tuple[_Connection, list[tuple[int, bytes]]]] = []
    for protocol in Protocol:
        samples = _of_loggers(random, protocol)
        lines += [
            (_Connection(protocol, outcome, families[place::3]), samples)
            for place in range(CONNECTIONS - 1)
        ]
        lines.append((_ServersConnection(protocol, outcome, []), _of_servers(protocol)))
    measured_from = count - min(MEASURED, count // 4)
    started = perf_counter()
    for number in range(count):
        if number == measured_from:
            _begin_anew(lines)
            tracemalloc.start()
        connection, samples = lines[number % len(lines)]
        data = _mutant(random, connection.protocol, *random.choice(samples))
        if random.random() < 0.2:
            place = int(random.random() * (len(data) + 1))
            connection.take(data[:place])
            data = data[place:]
        connection.take(data)
        if number % LOOKED_AT_EVERY == 0:
            connection.look()
    _begin_anew(lines)
    outcome.growth_bytes = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    outcome.seconds = perf_counter() - started
    return outcome


def _begin_anew(lines: Iterable[tuple[_Connection, object]]) -> None:
    for connection, _ in lines:
        connection.begin_anew()
    gc.collect()
