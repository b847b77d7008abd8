"""All that is behind a listener: loggers, the inverters that they report, meters.

What is known outlasts connections and restarts. An inverter is told by the serial number
in its records, wherever it appears; what it is, is found out from its announcement and its
first live record, without asking it anything.
"""

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
import logging
import time
from typing import Any, Final, NamedTuple, Protocol

from modbus_connection import ModbusError

from ...points import Value
from ..identify import Identification, IdentificationError, identify
from ..inverter import Inverter
from ..known_inverter import Poll
from .meters import meter_values
from .packets import Packet, Type
from .parameters import ParameterNumber
from .policy import Verdict
from .records import Answer, MeterLog, MeterRecord, Parameter, Record, RegisterRecord
from .session import Session
from .unit import RecordedUnit, StickUnit

_LOGGER = logging.getLogger(__name__)

USUAL_INTERVAL: Final = 300.0
"""Seconds between two live records of a logger that has not told its interval."""

MISSED: Final = 3
"""So many live records may be missing before an inverter counts as silent."""

LEAST_PATIENCE: Final = 180.0

MAX_LOGGERS: Final = 1100
MAX_INVERTERS: Final = 32
"""Behind one logger: as many as its bus takes."""

TOLD_EVERY: Final = 60.0
"""Seconds after which it is told again that the maker's server wants the same."""

SHOWN_EVERY: Final = timedelta(minutes=5)
"""How often the time of the last record is shown anew while there are records."""

ASK_AGAIN_AFTER: Final = 3600.0
"""Seconds after which an inverter that was not announced is asked again what it is."""


@dataclass(slots=True)
class Logger:
    """A logger, connected or not."""

    serial: str
    parameters: dict[int, str] = field(default_factory=dict)
    session: Session | None = None
    last_record: datetime | None = None
    shown_record: datetime | None = None
    """The same, but followed in steps: a state that changes with each record fills logs."""
    clock_offset: float | None = None
    """Seconds by which its clock is ahead, by its last live record."""
    records: int = 0
    rejected: int = 0
    blocked: int = 0
    connections: int = 0

    @property
    def interval(self) -> float:
        """Seconds between two live records, as far as it has told."""
        try:
            minutes = float(self.parameters[ParameterNumber.INTERVAL])
        except KeyError, ValueError:
            return USUAL_INTERVAL
        return 60 * minutes if 0 < minutes < 24 * 60 else USUAL_INTERVAL

    @property
    def patience(self) -> float:
        """Seconds after which an inverter is silent that it does not report any more."""
        return max(LEAST_PATIENCE, MISSED * self.interval)


class Heard(NamedTuple):
    """A record, and when it came, in monotonic seconds."""

    record: RegisterRecord
    at: float


@dataclass(slots=True)
class ReportedInverter:
    """An inverter behind a logger."""

    serial: str
    logger: str
    unit: StickUnit = field(default_factory=StickUnit)
    inverter: Inverter | None = None
    """``None`` as long as it is not known what it is."""
    live_at: float | None = None
    """When its last live record came, in monotonic seconds."""
    announced: Heard | None = None
    """Its announcement, as long as it has not been identified by it."""
    asked_at: float | None = None
    is_elsewhere: bool = False
    """Whether it is reached in another way, which goes first."""


@dataclass(slots=True)
class ReportedMeter:
    """A meter behind a logger. ``id`` is made of serial numbers."""

    id: str
    logger: str
    inverter: str | None
    live_at: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Reported:
    """A record of an inverter, understood."""

    logger: Logger
    inverter: ReportedInverter
    record: RegisterRecord
    poll: Poll

    @property
    def is_buffered(self) -> bool:
        """Whether it is of an earlier time."""
        return self.record.type == Type.BUFFERED


class Owner(Protocol):
    """Who shows what loggers report."""

    def logger_changed(self, logger: Logger) -> None:
        """A logger has appeared, come, gone, or told a parameter."""

    def inverter_identified(self, inverter: ReportedInverter) -> None:
        """It is known, anew or otherwise than before, what an inverter is."""

    def inverter_reported(self, reported: Reported) -> None:
        """An inverter that is known has reported."""

    def meter_appeared(self, meter: ReportedMeter) -> None:
        """A meter has reported for the first time."""

    def meter_reported(
        self, meter: ReportedMeter, values: Mapping[str, Value | None]
    ) -> None:
        """A meter has reported."""

    def logger_encrypts(self, name: str, *, encrypts: bool) -> None:
        """A logger cannot be understood, or can be again. ``name`` may be an address."""

    def server_commanded(self, logger: Logger, verdict: Verdict) -> None:
        """The maker's server has told a logger something that is not for everyday."""

    def is_elsewhere(self, serial: str) -> bool:
        """Return whether an inverter is reached in another way."""


class Fleet:
    """Listens to all sessions of a listener."""

    def __init__(
        self,
        owner: Owner,
        utc_now: Callable[[], datetime],
        local_time: Callable[[], datetime],
        create_task: Callable[[Coroutine[Any, Any, None]], asyncio.Task[None]],
    ) -> None:
        """Tell ``owner`` what is reported.

        Args:
            owner: is told.
            utc_now: the time, with a zone.
            local_time: the time by which loggers' clocks go, without one.
            create_task: starts what has to wait.

        """
        self.loggers: dict[str, Logger] = {}
        self.inverters: dict[str, ReportedInverter] = {}
        self.meters: dict[str, ReportedMeter] = {}
        self._owner = owner
        self._utc_now = utc_now
        self._local_time = local_time
        self._create_task = create_task
        self._busy: set[str] = set()
        self._judged: dict[str, tuple[Verdict, float]] = {}
        """What was told last of the maker's server, by logger, and when."""
        self._on_line: dict[tuple[str, int], ReportedInverter] = {}
        """Who is behind each unit of each logger."""

    # -- sessions -----------------------------------------------------------------

    def session_began(self, session: Session) -> None:
        """Know the logger, and that it is there."""
        logger = self._logger(session)
        if logger is None:
            return
        logger.session = session
        logger.connections += 1
        if not session.is_encrypted:
            for name in (session.logger, session.peer):
                self._owner.logger_encrypts(name, encrypts=False)
        self._owner.logger_changed(logger)

    def session_ended(self, session: Session) -> None:
        """Know that a logger has gone, and that nothing behind it can be reached."""
        for inverter in self.inverters.values():
            if inverter.unit.is_reached_by(session):
                inverter.unit.detach()
        logger = self.loggers.get(session.logger)
        if logger is not None and logger.session is session:
            logger.session = None
            logger.shown_record = logger.last_record
            self._owner.logger_changed(logger)

    def encrypted(self, session: Session) -> None:
        """Know that a logger cannot be understood."""
        # It may not even say who it is.
        self._owner.logger_encrypts(session.logger or session.peer, encrypts=True)

    def rejected(self, session: Session, packet: Packet, why: str) -> None:
        """Count what was of no use."""
        if (logger := self._logger(session)) is not None:
            logger.rejected += 1

    def judged(self, session: Session, verdict: Verdict) -> None:
        """Count what was not let through, and tell."""
        if (logger := self._logger(session)) is None:
            return
        if not verdict.passes:
            logger.blocked += 1
        now = time.monotonic()
        last, at = self._judged.get(session.logger, (None, 0.0))
        # A server that repeats itself is counted, and told of now and then.
        if verdict != last or now - at >= TOLD_EVERY:
            self._judged[session.logger] = verdict, now
            self._owner.server_commanded(logger, verdict)

    def _logger(self, session: Session) -> Logger | None:
        """Return the logger of a session, ``None`` if there are too many."""
        logger = self.loggers.get(session.logger)
        if logger is None and session.logger and len(self.loggers) < MAX_LOGGERS:
            logger = self.loggers[session.logger] = Logger(session.logger)
        return logger

    # -- reports ------------------------------------------------------------------

    def reported(self, session: Session, record: Record) -> None:
        """Take in what a logger says."""
        if (logger := self.loggers.get(session.logger)) is None:
            return
        match record:
            case RegisterRecord():
                self._count(logger)
                self._registers(session, logger, record)
            case MeterRecord() | MeterLog():
                self._count(logger)
                self._meter(logger, record)
            case Parameter():
                is_known = logger.parameters.get(record.number) == record.text
                if record.number in session.parameters and not is_known:
                    logger.parameters[record.number] = record.text
                    self._owner.logger_changed(logger)
            case Answer():
                pass
            case _:
                self._count(logger)

    def _count(self, logger: Logger) -> None:
        logger.records += 1
        now = logger.last_record = self._utc_now()
        if logger.shown_record is None or now - logger.shown_record >= SHOWN_EVERY:
            logger.shown_record = now

    def _registers(
        self, session: Session, logger: Logger, record: RegisterRecord
    ) -> None:
        inverter = self._inverter(record)
        if inverter is None or inverter.is_elsewhere:
            return
        if record.type != Type.BUFFERED:
            # One of an earlier time may be of an inverter that has since been replaced.
            self._give_line(session, record.unit, inverter)
        heard = Heard(record, time.monotonic())
        if record.type == Type.ANNOUNCE:
            inverter.announced = heard
        elif record.type == Type.LIVE:
            inverter.unit.reported(record.blocks)
            if record.at is not None:
                offset = record.at - self._local_time()
                logger.clock_offset = offset.total_seconds()
            if self._has_to_be_identified(inverter):
                self._begin_to_identify(logger, inverter, heard)
                return
        self._understand(logger, inverter, heard)

    def _inverter(self, record: RegisterRecord) -> ReportedInverter | None:
        """Return the inverter of a record, ``None`` if there are too many."""
        inverter = self.inverters.get(record.inverter)
        if inverter is None:
            behind = sum(
                other.logger == record.logger for other in self.inverters.values()
            )
            if behind >= MAX_INVERTERS:
                return None
            inverter = ReportedInverter(record.inverter, record.logger)
            self.inverters[record.inverter] = inverter
            inverter.is_elsewhere = self._owner.is_elsewhere(record.inverter)
        return inverter

    def _give_line(
        self, session: Session, number: int, inverter: ReportedInverter
    ) -> None:
        """Let an inverter be reached the way that its record came, and no other by it."""
        line = session.logger, number
        before = self._on_line.get(line)
        if (
            before is not None
            and before is not inverter
            and before.unit.is_reached_by(session, number)
        ):
            before.unit.detach()
        self._on_line[line] = inverter
        inverter.logger = session.logger
        inverter.unit.attach(session, number)

    def _understand(
        self, logger: Logger, inverter: ReportedInverter, heard: Heard
    ) -> None:
        """Tell what a record says, if it is known what the inverter is."""
        if inverter.inverter is None:
            return
        record, at = heard
        poll = inverter.inverter.take_in(
            record.space, record.blocks, at, keep=record.type != Type.BUFFERED
        )
        if poll.asleep is not None:
            return
        if not poll.snapshot:
            logger.rejected += 1
            _LOGGER.debug("%s: rejected, %s", inverter.serial, poll.failed)
            return
        if record.type == Type.LIVE:
            inverter.live_at = at
        self._owner.inverter_reported(
            Reported(logger=logger, inverter=inverter, record=record, poll=poll)
        )

    # -- what an inverter is ------------------------------------------------------

    def _has_to_be_identified(self, inverter: ReportedInverter) -> bool:
        if inverter.serial in self._busy:
            return False
        if inverter.announced is not None:
            return True
        # Loggers announce when they connect. One that has not is asked.
        return inverter.inverter is None and (
            inverter.asked_at is None
            or time.monotonic() - inverter.asked_at > ASK_AGAIN_AFTER
        )

    def _begin_to_identify(
        self, logger: Logger, inverter: ReportedInverter, heard: Heard
    ) -> None:
        self._busy.add(inverter.serial)

        async def do() -> None:
            try:
                await self._async_identify(inverter, heard.record)
            finally:
                self._busy.discard(inverter.serial)
            self._understand(logger, inverter, heard)

        self._create_task(do())

    async def _async_identify(
        self, inverter: ReportedInverter, record: RegisterRecord
    ) -> None:
        """Find out what an inverter is, from what was announced or by asking it."""
        unit: StickUnit | RecordedUnit = inverter.unit
        # What an announcement does not tell once, it does not tell at all.
        announced, inverter.announced = inverter.announced, None
        if announced is not None:
            unit = RecordedUnit(announced.record.blocks, record.blocks)
        else:
            inverter.asked_at = time.monotonic()
        try:
            found = await identify(unit, serial_number=inverter.serial)
            # A command to a battery has to be ended, which a logger may not be there for.
            found = replace(found, vpp=False)
        except (ModbusError, IdentificationError) as err:
            _LOGGER.info(
                "Inverter %s behind logger %s does not say what it is, %s: %s",
                inverter.serial,
                inverter.logger,
                "which was not announced" if announced is None else "as announced",
                err,
            )
            return
        if announced is None and not found.knows_settings:
            return
        if not self._is_news(inverter, found):
            # What it announced was understood when it came, and may have changed since.
            return
        logger = self.loggers.get(inverter.logger)
        if announced is not None and logger is not None:
            self._understand(logger, inverter, announced)

    def _is_news(self, inverter: ReportedInverter, found: Identification) -> bool:
        """Use what was found, unless that was known; return whether it was not."""
        known = inverter.inverter
        if known is not None:
            found = found.after(known.identified, None)
            if not found.differs_from(known.identified):
                return False
        self.know(inverter, found)
        self._owner.inverter_identified(inverter)
        return True

    def know(self, inverter: ReportedInverter, identified: Identification) -> None:
        """Take an inverter for what was found out of it, now or before a restart."""
        inverter.inverter = Inverter(inverter.unit, identified, spacing=0.0)
        self.inverters[inverter.serial] = inverter

    # -- meters -------------------------------------------------------------------

    def _meter(self, logger: Logger, record: MeterRecord | MeterLog) -> None:
        values = meter_values(record)
        if values is None:
            logger.rejected += 1
            return
        if isinstance(record, MeterRecord):
            key, inverter = f"{record.inverter}_meter", record.inverter
        else:
            key, inverter = f"{record.logger}_meter_{record.unit:02x}", None
        meter = self.meters.get(key)
        if meter is None:
            if len(self.meters) >= MAX_LOGGERS:
                return
            meter = self.meters[key] = ReportedMeter(key, record.logger, inverter)
            self._owner.meter_appeared(meter)
        meter.logger, meter.live_at = record.logger, time.monotonic()
        self._owner.meter_reported(meter, values)
