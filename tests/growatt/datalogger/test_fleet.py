"""Everything behind a listener: loggers, inverters and meters, by their serial numbers."""

import asyncio
from collections.abc import AsyncIterator, Coroutine, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import pytest

from custom_components.local_solar.growatt.datalogger import (
    commands,
    fleet as module,
    session as session_module,
)
from custom_components.local_solar.growatt.datalogger.fleet import (
    LEAST_PATIENCE,
    USUAL_INTERVAL,
    Fleet,
    Logger,
    Reported,
    ReportedInverter,
    ReportedMeter,
)
from custom_components.local_solar.growatt.datalogger.policy import Policy, Verdict
from custom_components.local_solar.growatt.datalogger.server import Server
from custom_components.local_solar.growatt.datalogger.session import Session
from custom_components.local_solar.modbus.image import Space
from custom_components.local_solar.points import Value
from simulators.datalogger import bodies as their_bodies
from simulators.datalogger.bodies import Group
from simulators.datalogger.inverters import SimulatedInverter
from simulators.datalogger.meters import TEXT_MODEL, Meter, words_of
from simulators.datalogger.packets import Kind, Packet, PacketReader
from simulators.datalogger.stick import MeterKind
from simulators.datasets import Table
from tests.simulated import IDENTIFIED

from .helpers import (
    INVERTER,
    LOGGER,
    NOON,
    OTHER_INVERTER,
    OTHER_LOGGER,
    STAMP,
    ping,
    report,
    serving,
    stick_at,
    taken,
    until,
)

NOW: Final = datetime(2026, 6, 21, 10, 0, 30, tzinfo=UTC)
SOC: Final = 3171
"""Input register of the battery's state of charge."""
CHARGE: Final = "battery_soc"


@dataclass
class Owner:
    """Who shows what is reported: takes notes."""

    elsewhere: set[str] = field(default_factory=set)
    changed: list[str] = field(default_factory=list)
    identified: list[str] = field(default_factory=list)
    reports: list[Reported] = field(default_factory=list)
    meters: list[str] = field(default_factory=list)
    metered: list[tuple[str, Mapping[str, Value | None]]] = field(default_factory=list)
    commanded: list[tuple[str, Verdict]] = field(default_factory=list)

    def logger_changed(self, logger: Logger) -> None:
        """Take note."""
        self.changed.append(logger.serial)

    def inverter_identified(self, inverter: ReportedInverter) -> None:
        """Take note."""
        self.identified.append(inverter.serial)

    def inverter_reported(self, reported: Reported) -> None:
        """Take note."""
        self.reports.append(reported)

    def meter_appeared(self, meter: ReportedMeter) -> None:
        """Take note."""
        self.meters.append(meter.id)

    def meter_reported(
        self, meter: ReportedMeter, values: Mapping[str, Value | None]
    ) -> None:
        """Take note."""
        self.metered.append((meter.id, values))

    def logger_encrypts(self, name: str, *, encrypts: bool) -> None:
        """Need not know."""

    def server_commanded(self, logger: Logger, verdict: Verdict) -> None:
        """Take note."""
        self.commanded.append((logger.serial, verdict))

    def is_elsewhere(self, serial: str) -> bool:
        """Return whether an inverter is reached in another way."""
        return serial in self.elsewhere


class Rig:
    """A fleet, its owner, and loggers that report to it without sockets."""

    def __init__(self) -> None:
        """Have nobody there yet."""
        self.owner = Owner()
        self.tasks: list[asyncio.Task[None]] = []
        self.sticks: list[Stick] = []
        self.fleet = Fleet(self.owner, lambda: NOW, lambda: NOON, self._start)

    def _start(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(work)
        self.tasks.append(task)
        return task

    async def settled(self) -> None:
        """Wait until everything that was begun is done."""
        while self.tasks:
            await self.tasks.pop()

    def connect(self, logger: str = LOGGER) -> Stick:
        """Let a logger connect."""
        self.sticks.append(Stick(self.fleet, logger))
        return self.sticks[-1]

    @property
    def values(self) -> dict[str, Value | None]:
        """The values of the last report."""
        found: dict[str, Value | None] = {}
        for values in self.owner.reports[-1].poll.snapshot.values():
            found |= values
        return found


class Stick:
    """A logger without a socket. It has its inverters read when it is told to."""

    def __init__(self, fleet: Fleet, logger: str) -> None:
        """Connect."""
        self.logger = logger
        self.answers: dict[int, SimulatedInverter] = {}
        """Inverters that are read on command, by unit."""
        self.read: list[tuple[int, int]] = []
        """Units and first registers that were to be read."""
        self._fleet = fleet
        self._reader = PacketReader()
        self.session = Session(
            taken(ping(logger)),
            "192.0.2.7",
            self._told,
            fleet,
            lambda: NOON,
            answers_itself=False,
        )
        fleet.session_began(self.session)

    def _told(self, data: bytes) -> None:
        for packet in self._reader.feed(data):
            if packet.kind != Kind.READ:
                continue
            span = their_bodies.Span.parse(packet)
            self.read.append((packet.unit, span.first))
            if (inverter := self.answers.get(packet.unit)) is not None:
                words = inverter.read(span.first, span.last)
                answer = their_bodies.Span(self.logger, span.first, span.last, words)
                body = answer.body(6)
                asyncio.get_running_loop().call_soon(self.says, packet.answer(body))

    def says(self, *packets: Packet) -> None:
        """Say something."""
        for packet in packets:
            self.session.take(taken(packet))

    def announces(self, inverter: SimulatedInverter, unit: int = 1) -> None:
        """Announce an inverter."""
        self._reports(Kind.ANNOUNCE, inverter, inverter.announcement(), unit)

    def reports(
        self, inverter: SimulatedInverter, unit: int = 1, kind: Kind = Kind.LIVE
    ) -> None:
        """Report the values of an inverter."""
        self._reports(kind, inverter, inverter.values(), unit)

    def _reports(
        self,
        kind: Kind,
        inverter: SimulatedInverter,
        groups: tuple[Group, ...],
        unit: int,
    ) -> None:
        self.says(
            report(
                kind,
                *groups,
                logger=self.logger,
                inverter=inverter.serial,
                unit=unit,
            )
        )

    def leaves(self) -> None:
        """Hang up."""
        self.session.end()
        self._fleet.session_ended(self.session)


def _inverter(serial: str = INVERTER) -> SimulatedInverter:
    return SimulatedInverter(serial=serial)


def _hold(inverter: SimulatedInverter, address: int, word: int) -> None:
    inverter.unit.dataset.words[Table.INPUT][address] = word


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let nothing wait; sessions ask for nothing by themselves."""
    monkeypatch.setattr(session_module, "OVERHEAR_FOR", 1e6)
    monkeypatch.setattr(session_module, "CLOCK_AFTER", 1e6)
    monkeypatch.setattr(session_module, "ASK_AFTER", 1e6)
    monkeypatch.setattr(commands, "SPACING", 0.0)


@pytest.fixture
async def rig() -> AsyncIterator[Rig]:
    """A fleet without anybody."""
    rig = Rig()
    yield rig
    for stick in rig.sticks:
        stick.session.end()
    for task in rig.tasks:
        task.cancel()


# -- inverters appear --------------------------------------------------------------------


async def test_inverter_is_known_from_its_announcement_and_its_first_record(
    rig: Rig,
) -> None:
    stick, inverter = rig.connect(), _inverter()
    stick.announces(inverter)
    assert rig.owner.identified == []
    stick.reports(inverter)
    await rig.settled()
    assert rig.owner.identified == [INVERTER]
    found = rig.fleet.inverters[INVERTER]
    assert found.inverter is not None
    assert found.inverter.identified.model == IDENTIFIED.model
    assert found.inverter.identified.battery
    assert found.live_at is not None
    assert rig.values[CHARGE] == inverter.unit.dataset.words[Table.INPUT][SOC]
    assert not rig.owner.reports[-1].is_buffered
    assert stick.read == []
    # What was announced is known, too: a setting is shown without being asked for.
    assert found.inverter.image.get(Space.HOLDING, 3, 1) is not None
    logger = rig.fleet.loggers[LOGGER]
    assert (logger.records, logger.rejected, logger.last_record) == (2, 0, NOW)


async def test_inverter_that_was_not_announced_is_asked(rig: Rig) -> None:
    stick, inverter = rig.connect(), _inverter()
    stick.answers[3] = inverter
    stick.reports(inverter, 3)
    stick.reports(inverter, 3)
    await rig.settled()
    assert rig.owner.identified == [INVERTER]
    assert {unit for unit, _ in stick.read} == {3}
    assert rig.owner.reports
    asked = len(stick.read)
    stick.reports(inverter, 3)
    await rig.settled()
    assert len(stick.read) == asked


async def test_inverter_that_does_not_say_what_it_is_is_asked_again_later(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(commands, "INVERTER_TIMEOUT", 0.001)
    stick, inverter = rig.connect(), _inverter()
    for _ in range(3):
        stick.reports(inverter)
        await rig.settled()
    asked = len(stick.read)
    assert asked
    assert rig.owner.identified == []
    assert rig.owner.reports == []
    monkeypatch.setattr(module, "ASK_AGAIN_AFTER", -1.0)
    stick.reports(inverter)
    await rig.settled()
    assert len(stick.read) == 2 * asked


async def test_inverter_of_before_the_restart_needs_no_announcement(rig: Rig) -> None:
    inverter = _inverter()
    rig.fleet.know(ReportedInverter(INVERTER, LOGGER), IDENTIFIED)
    stick = rig.connect()
    stick.reports(inverter)
    await rig.settled()
    assert rig.values[CHARGE] == inverter.unit.dataset.words[Table.INPUT][SOC]
    assert stick.read == []
    # An announcement that says the same is no news.
    stick.announces(inverter)
    stick.reports(inverter)
    await rig.settled()
    assert len(rig.owner.identified) <= 1


@pytest.mark.parametrize("units", [(1, 2), (0x50, 0x51), (1, 4, 9)])
async def test_inverters_of_one_logger_are_told_apart(
    rig: Rig, units: tuple[int, ...]
) -> None:
    stick = rig.connect()
    inverters = {unit: _inverter(f"SNL0CE12{unit:02}") for unit in units}
    for unit, inverter in inverters.items():
        stick.announces(inverter, unit)
        stick.reports(inverter, unit)
    await rig.settled()
    assert sorted(rig.owner.identified) == sorted(i.serial for i in inverters.values())
    stick.answers = inverters
    for unit, inverter in inverters.items():
        found = rig.fleet.inverters[inverter.serial]
        assert found.unit.number == unit
        await found.unit.read_holding_registers(43, 1)
    assert stick.read == [(unit, 43) for unit in units]


async def test_inverter_that_is_reached_otherwise_is_left_alone(rig: Rig) -> None:
    rig.owner.elsewhere.add(INVERTER)
    stick, inverter = rig.connect(), _inverter()
    stick.announces(inverter)
    stick.reports(inverter)
    await rig.settled()
    assert rig.owner.identified == []
    assert rig.owner.reports == []
    assert not rig.fleet.inverters[INVERTER].unit.connected


async def test_numbers_of_loggers_and_inverters_are_bounded(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MAX_LOGGERS", 2)
    monkeypatch.setattr(module, "MAX_INVERTERS", 3)
    for number in range(4):
        stick = rig.connect(f"XGD{number}")
        for place in range(5):
            stick.says(
                report(
                    logger=stick.logger, inverter=f"INV{number}{place}", unit=place + 1
                )
            )
        stick.leaves()
    assert list(rig.fleet.loggers) == ["XGD0", "XGD1"]
    assert len(rig.fleet.inverters) == 6


# -- lines -------------------------------------------------------------------------------


async def _known(rig: Rig, stick: Stick, *inverters: SimulatedInverter) -> None:
    """Let inverters be known, at units from 1 on."""
    for unit, inverter in enumerate(inverters, 1):
        stick.announces(inverter, unit)
        stick.reports(inverter, unit)
    await rig.settled()


def _lost(rig: Rig, serial: str) -> list[str]:
    """Return a list that grows when the line of an inverter breaks."""
    lost: list[str] = []
    rig.fleet.inverters[serial].unit.on_connection_lost(lambda: lost.append(serial))
    return lost


async def test_inverter_stays_itself_at_another_unit(rig: Rig) -> None:
    stick, inverter = rig.connect(), _inverter()
    await _known(rig, stick, inverter)
    found, lost = rig.fleet.inverters[INVERTER], _lost(rig, INVERTER)
    stick.reports(inverter, 7)
    assert rig.fleet.inverters == {INVERTER: found}
    assert (found.unit.connected, found.unit.number) == (True, 7)
    assert lost == [INVERTER]


async def test_inverter_that_is_replaced_has_no_line(rig: Rig) -> None:
    stick, old, new = rig.connect(), _inverter(), _inverter(OTHER_INVERTER)
    await _known(rig, stick, old)
    lost = _lost(rig, INVERTER)
    stick.announces(new)
    assert lost == [INVERTER]
    assert not rig.fleet.inverters[INVERTER].unit.connected
    assert rig.fleet.inverters[OTHER_INVERTER].unit.connected


async def test_inverters_that_change_places_are_both_reached(rig: Rig) -> None:
    stick, one, other = rig.connect(), _inverter(), _inverter(OTHER_INVERTER)
    await _known(rig, stick, one, other)
    stick.announces(one, 2)
    stick.announces(other, 1)
    units = {serial: found.unit for serial, found in rig.fleet.inverters.items()}
    assert {serial: unit.number for serial, unit in units.items()} == {
        INVERTER: 2,
        OTHER_INVERTER: 1,
    }
    assert all(unit.connected for unit in units.values())


async def test_inverter_that_moves_to_another_logger_stays_reached(rig: Rig) -> None:
    first, second = rig.connect(), rig.connect(OTHER_LOGGER)
    moved, other = _inverter(), _inverter(OTHER_INVERTER)
    await _known(rig, first, moved)
    second.announces(moved)
    found = rig.fleet.inverters[INVERTER]
    assert found.logger == OTHER_LOGGER
    lost = _lost(rig, INVERTER)
    # Neither what takes its place nor the end of its old logger concerns it.
    first.announces(other)
    first.leaves()
    assert lost == []
    assert found.unit.is_reached_by(second.session, 1)
    assert not rig.fleet.inverters[OTHER_INVERTER].unit.connected


async def test_buffered_record_gives_nobody_a_line(rig: Rig) -> None:
    stick, old, new = rig.connect(), _inverter(), _inverter(OTHER_INVERTER)
    await _known(rig, stick, new)
    lost = _lost(rig, OTHER_INVERTER)
    stick.reports(old, 1, Kind.BUFFERED)
    assert lost == []
    assert not rig.fleet.inverters[INVERTER].unit.connected
    assert rig.fleet.inverters[OTHER_INVERTER].unit.is_reached_by(stick.session, 1)


async def test_end_of_a_session_ends_the_lines_through_it_alone(rig: Rig) -> None:
    first, second = rig.connect(), rig.connect(OTHER_LOGGER)
    await _known(rig, first, _inverter())
    await _known(rig, second, _inverter(OTHER_INVERTER))
    first.leaves()
    assert not rig.fleet.inverters[INVERTER].unit.connected
    assert rig.fleet.inverters[OTHER_INVERTER].unit.connected
    assert rig.fleet.loggers[LOGGER].session is None
    assert rig.fleet.loggers[OTHER_LOGGER].session is second.session
    assert rig.owner.changed[-1] == LOGGER


async def test_newer_session_of_a_logger_stays_when_the_older_ends(rig: Rig) -> None:
    inverter = _inverter()
    first = rig.connect()
    await _known(rig, first, inverter)
    second = rig.connect()
    second.reports(inverter)
    first.leaves()
    assert rig.fleet.loggers[LOGGER].session is second.session
    assert rig.fleet.inverters[INVERTER].unit.connected


# -- records -----------------------------------------------------------------------------


async def test_buffered_record_is_told_but_not_taken_for_now(rig: Rig) -> None:
    stick, inverter = rig.connect(), _inverter()
    await _known(rig, stick, inverter)
    found = rig.fleet.inverters[INVERTER]
    assert found.inverter is not None
    live_at, before = found.live_at, found.inverter.image.get(Space.INPUT, SOC, 1)
    inputs = await found.unit.read_input_registers(SOC, 1)
    _hold(inverter, SOC, 11)
    stick.reports(inverter, kind=Kind.BUFFERED)
    assert rig.owner.reports[-1].is_buffered
    assert rig.values[CHARGE] == 11
    assert found.live_at == live_at
    assert found.inverter.image.get(Space.INPUT, SOC, 1) == before
    assert await found.unit.read_input_registers(SOC, 1) == inputs
    stick.reports(inverter)
    assert found.inverter.image.get(Space.INPUT, SOC, 1) == [11]


async def test_garbage_with_a_right_checksum_is_counted_and_not_told(rig: Rig) -> None:
    stick, inverter = rig.connect(), _inverter()
    await _known(rig, stick, inverter)
    told, live_at = len(rig.owner.reports), rig.fleet.inverters[INVERTER].live_at
    groups = tuple(
        Group(group.start, (0xAAAA,) * len(group.words)) for group in inverter.values()
    )
    stick.says(report(Kind.LIVE, *groups))
    assert len(rig.owner.reports) == told
    assert rig.fleet.loggers[LOGGER].rejected == 1
    assert rig.fleet.inverters[INVERTER].live_at == live_at


async def test_zeros_are_no_report(rig: Rig) -> None:
    stick, inverter = rig.connect(), _inverter()
    await _known(rig, stick, inverter)
    told = len(rig.owner.reports)
    groups = tuple(Group(g.start, (0,) * len(g.words)) for g in inverter.values())
    stick.says(report(Kind.LIVE, *groups))
    assert len(rig.owner.reports) == told
    assert rig.fleet.loggers[LOGGER].rejected == 0


async def test_what_names_another_logger_is_counted_and_changes_nothing(
    rig: Rig,
) -> None:
    stick, other = rig.connect(), rig.connect(OTHER_LOGGER)
    inverter = _inverter()
    await _known(rig, stick, inverter)
    told = len(rig.owner.reports)
    other.says(report(Kind.LIVE, *inverter.values(), inverter=INVERTER))
    assert rig.fleet.loggers[OTHER_LOGGER].rejected == 1
    assert len(rig.owner.reports) == told
    assert rig.fleet.inverters[INVERTER].unit.is_reached_by(stick.session)


# -- loggers -----------------------------------------------------------------------------


def _parameter(number: int, text: str) -> Packet:
    body = their_bodies.Parameter(LOGGER, number, text).body(6)
    return Packet(kind=Kind.PARAMETER, body=body)


@pytest.mark.parametrize(
    ("text", "interval"),
    [
        *(("5", 300.0), ("0.5", 30.0), ("1", 60.0)),
        *(
            (text, USUAL_INTERVAL)
            for text in ("", "x", "0", "-1", "nan", "inf", "9999")
        ),
    ],
)
async def test_interval_is_what_the_logger_tells(
    rig: Rig, text: str, interval: float
) -> None:
    stick = rig.connect()
    logger = rig.fleet.loggers[LOGGER]
    assert logger.interval == USUAL_INTERVAL
    stick.says(_parameter(4, text))
    assert logger.interval == interval
    assert logger.patience == max(LEAST_PATIENCE, 3 * interval)
    assert rig.owner.changed[-1] == LOGGER


async def test_parameters_outlast_the_session_but_secrets_are_not_kept(
    rig: Rig,
) -> None:
    stick = rig.connect()
    stick.says(_parameter(21, "1.0"), _parameter(57, "secret"), _parameter(999, "x"))
    stick.leaves()
    rig.connect()
    assert rig.fleet.loggers[LOGGER].parameters == {21: "1.0"}


async def test_clock_is_compared(rig: Rig) -> None:
    stick = rig.connect()
    for kind, seconds in ((Kind.LIVE, 90), (Kind.BUFFERED, -5000), (Kind.ANNOUNCE, 7)):
        at = their_bodies.stamp_of(NOON + timedelta(seconds=seconds))
        stick.says(report(kind, stamp=at))
        assert rig.fleet.loggers[LOGGER].clock_offset == 90
    stick.says(report(stamp=bytes(6)))
    assert rig.fleet.loggers[LOGGER].clock_offset == 90


async def test_what_the_cloud_wants_is_counted_and_told(rig: Rig) -> None:
    stick = rig.connect()
    packet = taken(Packet(kind=Kind.WRITE, body=ping().body + bytes((0, 3, 0, 9))))
    for policy in (Policy(), Policy(settings=True)):
        rig.fleet.judged(stick.session, policy.judge(packet))
    assert rig.fleet.loggers[LOGGER].blocked == 1
    assert [verdict.passes for _, verdict in rig.owner.commanded] == [False, True]


# -- meters ------------------------------------------------------------------------------


async def test_meter_of_an_inverter_appears_and_reports(rig: Rig) -> None:
    server = Server(rig.fleet, lambda: NOON)
    async with (
        serving(server),
        stick_at(server.port, inverters=[_inverter()], meter=MeterKind.WORDS) as stick,
    ):
        await stick.wait_until(lambda: stick.is_announced)
        stick.report_meter()
        stick.report_meter()
        await until(lambda: len(rig.owner.metered) == 2)
    (meter,) = rig.owner.meters
    assert rig.owner.metered[0][1]["grid_frequency"] == 50.0
    found = rig.fleet.meters[meter]
    assert (found.logger, found.inverter) == (LOGGER, INVERTER)
    assert found.live_at is not None
    # It stays itself behind another logger.
    body = their_bodies.MeterWords(OTHER_LOGGER, INVERTER, STAMP, words_of(_inverter()))
    rig.connect(OTHER_LOGGER).says(Packet(kind=Kind.METER, body=body.body(6)))
    assert rig.owner.meters == [meter]
    assert found.logger == OTHER_LOGGER


async def test_meters_of_a_logger_are_told_apart_by_their_units(rig: Rig) -> None:
    text = Meter.of(_inverter()).text() + b"0.0,0.0"
    body = their_bodies.MeterLog(LOGGER, TEXT_MODEL, STAMP, text).body(6)
    stick = rig.connect()
    for unit in (0x21, 0x22, 0x21):
        stick.says(Packet(kind=Kind.METER_TEXT, body=body, unit=unit))
    assert len(rig.owner.meters) == 2
    assert len(rig.owner.metered) == 3
    assert {meter.inverter for meter in rig.fleet.meters.values()} == {None}


async def test_number_of_meters_is_bounded(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    stick = rig.connect()
    monkeypatch.setattr(module, "MAX_LOGGERS", 3)
    for number in range(6):
        words = their_bodies.MeterWords(
            LOGGER, f"INV{number}", STAMP, words_of(_inverter())
        )
        stick.says(Packet(kind=Kind.METER, body=words.body(6)))
    assert len(rig.owner.meters) == len(rig.fleet.meters) == 3


async def test_meter_that_cannot_be_true_or_read_is_counted(rig: Rig) -> None:
    stick = rig.connect()
    words = their_bodies.MeterWords(
        LOGGER, INVERTER, their_bodies.ZERO_STAMP, (0xFFFF,) * 100
    )
    text = their_bodies.MeterLog(LOGGER, 0x43, their_bodies.ZERO_STAMP, b"1.0,2.0")
    stick.says(
        Packet(kind=Kind.METER, body=words.body(6)),
        Packet(kind=Kind.METER_TEXT, body=text.body(6), unit=0x22),
    )
    assert rig.fleet.loggers[LOGGER].rejected == 2
    assert rig.owner.meters == []


# -- the whole of it ---------------------------------------------------------------------


async def test_nothing_is_lost_over_a_restart(rig: Rig) -> None:
    inverter = _inverter()
    server = Server(rig.fleet, lambda: NOON)
    await server.start("127.0.0.1", 0)
    port = server.port
    async with stick_at(port, inverters=[inverter]) as stick:
        await stick.wait_until(lambda: stick.is_announced)
        stick.report()
        await until(lambda: rig.owner.identified and rig.owner.reports)
        await server.stop()
        assert not rig.fleet.inverters[INVERTER].unit.connected
        await stick.wait_until(lambda: not stick.connected)
        for soc in range(10, 20):
            _hold(inverter, SOC, soc)
            stick.report()
        anew = Rig()
        known = rig.fleet.inverters[INVERTER].inverter
        assert known is not None
        anew.fleet.know(ReportedInverter(INVERTER, LOGGER), known.identified)
        again = Server(anew.fleet, lambda: NOON)
        await again.start("127.0.0.1", port)
        try:
            await stick.wait_until(lambda: stick.is_announced)
            _hold(inverter, SOC, 50)
            stick.report()
            await stick.wait_until(lambda: not stick.buffered)
            await until(lambda: len(_charges(anew.owner)) == 11)
            await anew.settled()
        finally:
            await again.stop()
    told = _charges(anew.owner)
    assert [charge for is_old, charge in told if is_old] == [*range(10, 20)]
    assert [charge for is_old, charge in told if not is_old] == [50]


def _charges(owner: Owner) -> list[tuple[bool, Value | None]]:
    """Return whether reports are of earlier, and the states of charge in them."""
    return [
        (each.is_buffered, values[CHARGE])
        for each in owner.reports
        for values in each.poll.snapshot.values()
        if CHARGE in values
    ]
