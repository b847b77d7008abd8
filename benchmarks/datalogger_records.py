"""Packets of simulated loggers, made before anything is measured.

They come from the simulator's codec, which is independent of the integration's.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from typing import Final

from simulators.datalogger import parameters
from simulators.datalogger.bodies import (
    Group,
    Parameter,
    Record,
    serial_field,
    stamp_of,
)
from simulators.datalogger.inverters import SimulatedInverter
from simulators.datalogger.packets import Kind, Packet

DATASETS: Final = {
    "MIN TL-XH": "min_6000tl_xh",
    "SPH": "sph_5000",
    "TL3-X": "mod_15000tl3_x",
    "S": "mtls_4200",
}
"""The four layouts of records that there are, and a dataset for each."""

ROUND: Final = 64
"""Records of a logger that differ, by number and time; then they come again."""

PROTOCOL: Final = 6
FIRST_TIME: Final = datetime(2026, 6, 21, 12)


@dataclass(frozen=True, slots=True, kw_only=True)
class LoggerPackets:
    """What one logger sends, and what it is to get for it."""

    logger: str
    inverter: str
    ping: bytes
    announcement: bytes
    interval: bytes
    """Tells how often it reports: who has told is not asked a minute later."""
    announcement_ack: bytes
    records: tuple[bytes, ...]
    acks: tuple[bytes, ...]


@cache
def _inverter(family: str) -> SimulatedInverter:
    return SimulatedInverter(1, DATASETS[family], "SNL0BENCH1")


def words_of(family: str) -> int:
    """Return how many words a live record of a family has."""
    return sum(len(group.words) for group in _inverter(family).values())


@cache
def groups_of(family: str) -> tuple[tuple[Group, ...], tuple[Group, ...]]:
    """Return the registers of an announcement and of a live record."""
    inverter = _inverter(family)
    return inverter.announcement(), inverter.values()


def logger_packets(number: int, family: str, records: int = ROUND) -> LoggerPackets:
    """Return the packets of a logger with one inverter."""
    logger, inverter = f"XGD0B{number:05}", f"SNL0B{number:05}"
    holding, inputs = groups_of(family)

    def packet(
        kind: Kind, transaction: int, groups: Sequence[Group], when: datetime
    ) -> Packet:
        record = Record(logger, inverter, stamp_of(when), tuple(groups))
        body = record.body(PROTOCOL)
        return Packet(kind=kind, body=body, tid=transaction, protocol=PROTOCOL)

    announcement = packet(Kind.ANNOUNCE, 1, holding, FIRST_TIME)
    live = [
        packet(Kind.LIVE, each + 1, inputs, FIRST_TIME + timedelta(seconds=each))
        for each in range(records)
    ]
    interval = Packet(
        kind=Kind.PARAMETER,
        body=Parameter(logger, parameters.INTERVAL, "5").body(PROTOCOL),
        protocol=PROTOCOL,
    )
    ping = Packet(
        kind=Kind.PING, body=serial_field(PROTOCOL, logger), protocol=PROTOCOL
    )
    return LoggerPackets(
        logger=logger,
        inverter=inverter,
        ping=ping.encode(),
        announcement=announcement.encode(),
        interval=interval.encode(),
        announcement_ack=announcement.ack().encode(),
        records=tuple(each.encode() for each in live),
        acks=tuple(each.ack().encode() for each in live),
    )
