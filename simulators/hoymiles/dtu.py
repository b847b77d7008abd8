"""A simulated Hoymiles DTU: its state, and what it answers.

``server.py`` lets it listen; ``uplink.py`` lets it report to a cloud.
Facts: field reports and frames of several independent clients, as gathered in the
integration's ``hoymiles`` folder.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from random import Random
from typing import Final

from custom_components.local_solar.hoymiles import frame as frames, messages
from custom_components.local_solar.hoymiles.cipher import SEED_LENGTH, Cipher
from custom_components.local_solar.hoymiles.frame import Extension, Frame
from custom_components.local_solar.hoymiles.messages import Fields
from simulators.clock import SimulatedClock
from simulators.sun import sunshine

from . import replies, storage
from .alarms import AlarmBook, SimulatedAlarm
from .commands import CommandDesk, CommandRecord
from .faults import NO_TROUBLE, Asked, Fault, FaultKind, Trouble, as_fault, trouble_of
from .fields import integer
from .inventory import DEFAULT_INVENTORY, Inventory, as_inventory, packed_version
from .inverter import HISTORY_STEP, SimulatedInverter, SimulatedMeter
from .served import ServedMessages
from .values import Sample, make_sample

REFRESH: Final = 30.0
"""Seconds for which a DTU gives the same values again."""

FAST_REFRESH: Final = 2.0
"""The same after the command that asks for fast data."""

TEMPORARY_LIMIT_FROM: Final = 0x1101
"""Firmware V01.01.01, the first one that knows the temporary limit."""

NO_LIMIT_IN_CONFIG_FROM: Final = 0x1100
"""Firmware V01.01.00, the first one that no longer tells the limit there."""

REFUSAL_TIME: Final = 1800.0
"""Seconds for which a DTU refuses who connected too often."""

_STEP: Final = timedelta(seconds=60)
_FIRST_STEP: Final = timedelta(seconds=300)
_MOST_STEPS: Final = 3000
_SHORTEST_STEP: Final = timedelta(seconds=1)


@dataclass(slots=True)
class Counters:
    """What has happened so far."""

    connections: int = 0
    evictions: int = 0
    """Connections that a newer one ended."""
    refusals: int = 0
    """Times that it began to refuse connections for a while."""
    frames: int = 0
    """Frames that came in sound."""
    bad_frames: int = 0
    """Streams that broke off with something else, such as frames with an old key."""
    pages: int = 0
    """Pages of real data that were asked for."""
    cloud_answers: int = 0
    """Reports that the cloud has answered."""
    uploads_succeeded: int = 0
    uploads_failed: int = 0
    history_uploads: int = 0
    """Of those that succeeded, the ones that made up for a failed one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """A request and its right reply, whatever became of that on the wire."""

    time: datetime
    command: int
    sequence: int
    fields: Fields
    reply: bytes | None
    """The payload before encryption, ``None`` if there is no reply."""
    faults: tuple[str, ...]


class SimulatedDtu:
    """The state of one DTU. Times are those of its clock, naive and local.

    What is public may be changed by tests at any time.
    """

    def __init__(
        self,
        inventory: Inventory | str = DEFAULT_INVENTORY,
        *,
        clock: SimulatedClock | None = None,
        encrypt: bool = False,
        firmware: str | None = None,
        refresh: float = REFRESH,
        upload_interval: int = 5,
        command_time: float = 4.0,
        shows_limit: bool = True,
        knows_time: bool = True,
        connections_per_minute: int | None = None,
        served: ServedMessages | None = None,
        faults: Iterable[Fault | str] = (),
        seed: int | None = None,
        record: bool = True,
    ) -> None:
        """Switch it on.

        Args:
            inventory: what it is and what is behind it, or the name of one that is known.
            clock: the time that it lives by; the computer's if not given.
            encrypt: whether it wants encrypted requests.
            firmware: version such as ``1.1.1``, if not the inventory's.
            refresh: seconds for which it gives the same values again; 0 for none.
            upload_interval: minutes between two reports to its cloud.
            command_time: seconds that a command takes.
            shows_limit: whether inverters tell their limit.
            knows_time: whether it has had the time from its cloud, or counts from boot.
            connections_per_minute: how many are too many, if any are.
            served: messages to give in the place of its own.
            faults: what goes wrong; see ``faults.py``.
            seed: makes random faults and the encryption's seeds the same in every run.
            record: whether to keep ``requests``.

        Raises:
            SimulatorError: if the inventory, the firmware or a fault is no good.

        """
        self.inventory = as_inventory(inventory)
        if served is not None:
            self.inventory = served.adapted(self.inventory)
        self.clock = clock or SimulatedClock()
        self.firmware = packed_version(firmware or self.inventory.firmware)
        self.encrypt = encrypt and self.inventory.storage is None
        self.refresh = refresh
        self.upload_interval = upload_interval
        self.command_time = command_time
        self.restart_time = 5.0
        """Seconds that a restart by command takes, in which it does not listen."""
        self.inverter_restart_time = 30.0
        """Seconds for which an inverter is away when it restarts."""
        self.shows_limit = shows_limit
        self.has_history = True
        self.knows_time = knows_time
        self.idle_gap = 30.0
        """Seconds that must have passed since the last local client for an upload."""
        self.connections_per_minute = connections_per_minute
        self.served = served
        self.faults = [as_fault(fault) for fault in faults]
        self.random = Random(seed)
        self.record = record
        self.requests: list[Request] = []
        self.counters = Counters()
        self.inverters = {
            spec.serial: SimulatedInverter(spec, place)
            for place, spec in enumerate(self.inventory.inverters)
        }
        self.meters = [SimulatedMeter(spec) for spec in self.inventory.meters]
        self.alarms = AlarmBook(self.inverters)
        self.desk = CommandDesk(self)
        self.profile_reports: list[int] = []
        """Inverters whose grid profile the cloud is to be told."""
        self.config = replies.default_config(self.serial)
        """What the configuration says, apart from what follows from the rest."""
        self.when_restarted: list[Callable[[], None]] = []
        """Told when it restarts: what is connected to it loses the connection."""
        self.history: dict[int, float] = {}
        """Watt-hours of today by number of the step since midnight."""
        self.is_client_connected = False
        self.client_left: datetime | None = None
        self.cipher: Cipher | None = None
        self.clock_offset = 0
        """Seconds that its clock is ahead."""
        self._restarts_soon = False
        self._connected_at: list[datetime] = []
        self._refuses_until: datetime | None = None
        self._silent_until: datetime | None = None
        now = self.clock.now()
        self._at = datetime.combine(now.date(), time())
        self.booted = self._at
        self._fast_data = False
        self._was_asleep = self._is_asleep(self._at)
        self.storage = storage.SimulatedStorage.of(self.inventory, self.clock)
        self._sample: Sample | None = None
        self._boot(self._at)
        self._pass_time(now, _FIRST_STEP)

    # -- what it is -------------------------------------------------------------------

    @property
    def serial(self) -> str:
        """Serial number of the DTU."""
        return self.inventory.dtu

    @property
    def integrated(self) -> bool:
        """Whether it is a part of the inverter."""
        return self.inventory.integrated

    @property
    def has_temporary_limit(self) -> bool:
        """Whether it knows the command for it."""
        return self.integrated and self.firmware >= TEMPORARY_LIMIT_FROM

    @property
    def tells_limit_in_config(self) -> bool:
        """Whether its configuration tells the stored limit."""
        return self.firmware < NO_LIMIT_IN_CONFIG_FROM

    @property
    def encryption_seed(self) -> bytes:
        """The seed of this run, empty if it does not encrypt."""
        return self.cipher.seed if self.cipher else b""

    @property
    def secrets(self) -> tuple[str, ...]:
        """Texts that must not appear in logs and diagnostics."""
        names = ("wifi_password", "ap_password", "apn_password", "wifi_ssid")
        values = [self.config[name] for name in names]
        return tuple(
            value.decode() for value in values if isinstance(value, bytes) and value
        )

    @property
    def commands(self) -> list[CommandRecord]:
        """All commands and other messages that change something, in order."""
        return self.desk.records

    @property
    def fast_data(self) -> bool:
        """Whether it was told to refresh its values all the time."""
        return self._fast_data

    # -- its time ---------------------------------------------------------------------

    @property
    def utc_offset(self) -> int:
        """Seconds that local time is ahead of UTC."""
        offset = self.clock.now().astimezone().utcoffset() or timedelta()
        return int(offset.total_seconds())

    def unix_time(
        self, at: datetime | None = None, trouble: Trouble = NO_TROUBLE
    ) -> int:
        """Return what its clock shows, in seconds of Unix time."""
        at = at or self.clock.now()
        from_boot = trouble.get(FaultKind.NO_CLOCK)
        if from_boot is not None or not self.knows_time:
            return int((at - self.booted).total_seconds()) + int(from_boot or 0)
        return int(at.timestamp()) + self.clock_offset

    def set_time(self, unix_time: int) -> None:
        """Set its clock, as its cloud does."""
        self.knows_time = True
        self.clock_offset = unix_time - int(self.clock.now().timestamp())

    # -- what happens -----------------------------------------------------------------

    def advance(self, seconds: float) -> None:
        """Let simulated seconds pass."""
        self.clock.advance(seconds)
        self.update()

    def update(self) -> None:
        """Bring everything to the clock's time: energy, commands, sunrise."""
        now = self.clock.now()
        while (due := self.desk.next_due()) is not None and due <= now:
            self._pass_time(due)
            self.desk.settle(due)
        if now - self._at >= _SHORTEST_STEP:
            self._pass_time(now)
        if self.storage is not None:
            self.storage.update()

    def restart(self, silent_for: float = 0.0) -> None:
        """Restart it, as if its power had been away.

        Connections break, it does not listen for so many seconds, and what is kept in
        RAM is lost: fast data, running commands, the encryption's seed. An integrated one
        restarts its inverter with it: temporary limit and energy of the day are lost, too.
        """
        self.update()
        now = self.clock.now()
        self._silent_until = now + timedelta(seconds=silent_for)
        self._boot(now)

    def restart_soon(self) -> None:
        """Restart as soon as what is being answered has been sent."""
        self._restarts_soon = True

    def settle(self) -> None:
        """Do what waits for a reply to be sent."""
        if self._restarts_soon:
            self._restarts_soon = False
            self.restart(self.restart_time)

    def set_fast_data(self) -> None:
        """Refresh the values all the time from now on."""
        self._fast_data = True
        self._sample = None

    def start_alarm(
        self,
        code: int,
        serial: int | None = None,
        *,
        data: tuple[int, int] = (0, 0),
        is_moment: bool = False,
    ) -> SimulatedAlarm:
        """Let something happen at an inverter, by default at the first one."""
        return self.alarms.start(
            serial or next(iter(self.inverters)),
            code,
            self.clock.now(),
            data=data,
            is_moment=is_moment,
        )

    def end_alarm(self, code: int, serial: int | None = None) -> None:
        """Let it be over."""
        serial = serial or next(iter(self.inverters))
        self.alarms.end(serial, code, self.clock.now())

    def _boot(self, at: datetime) -> None:
        self.booted = at
        self._fast_data = False
        self._sample = None
        self.desk.forget()
        if self.encrypt:
            self.cipher = Cipher(self.random.randbytes(SEED_LENGTH))
        if self.integrated:
            for inverter in self.inverters.values():
                inverter.temporary_limit = None
                inverter.on = True
                inverter.begin_day()
        for callback in tuple(self.when_restarted):
            callback()

    def _pass_time(self, to: datetime, longest: timedelta = _STEP) -> None:
        """Let the plant work until a moment."""
        longest = max(longest, (to - self._at) / _MOST_STEPS)
        while self._at < to:
            midnight = datetime.combine(self._at.date() + timedelta(days=1), time())
            step = min(longest, to - self._at, midnight - self._at)
            self._work(self._at + step / 2, step / timedelta(hours=1))
            self._at += step
            if self._at == midnight:
                self._begin_day()
            asleep = self._is_asleep(self._at)
            if self._was_asleep and not asleep:
                self._boot(self._at)
            self._was_asleep = asleep

    def _work(self, middle: datetime, hours: float) -> None:
        produced = sum(
            inverter.pass_time(middle, hours) for inverter in self.inverters.values()
        )
        for meter in self.meters:
            meter.pass_time(middle, hours, produced / hours)
        number = (middle.hour * 3600 + middle.minute * 60) // HISTORY_STEP
        self.history[number] = self.history.get(number, 0.0) + produced

    def _begin_day(self) -> None:
        self.history.clear()
        if self.knows_time:
            for inverter in self.inverters.values():
                inverter.begin_day()

    # -- who may connect --------------------------------------------------------------

    def _is_asleep(self, at: datetime) -> bool:
        return self.integrated and not sunshine(at)

    @property
    def is_asleep(self) -> bool:
        """Whether it is an integrated one and there is no sun."""
        return self._is_asleep(self.clock.now())

    @property
    def is_online(self) -> bool:
        """Whether it is awake and not restarting."""
        now = self.clock.now()
        restarting = self._silent_until is not None and now < self._silent_until
        return not (self.is_asleep or restarting)

    @property
    def listens(self) -> bool:
        """Whether it takes connections from the local network."""
        until = self._refuses_until
        refuses = until is not None and self.clock.now() < until
        return self.is_online and not refuses

    def client_connected(self) -> bool:
        """Note that somebody connected. Return whether that is one too many."""
        now = self.clock.now()
        self.counters.connections += 1
        minute_ago = now - timedelta(minutes=1)
        self._connected_at = [at for at in self._connected_at if at > minute_ago] + [
            now
        ]
        most = self.connections_per_minute
        if most is None or len(self._connected_at) <= most:
            self.is_client_connected = True
            return False
        self.counters.refusals += 1
        self._connected_at.clear()
        self._refuses_until = now + timedelta(seconds=REFUSAL_TIME)
        return True

    def client_gone(self) -> None:
        """Note that the last client has left."""
        self.is_client_connected = False
        self.client_left = self.clock.now()

    @property
    def can_upload(self) -> bool:
        """Whether no local client is in the way of the connection to the cloud."""
        if self.is_client_connected:
            return False
        left = self.client_left
        return left is None or self.clock.now() - left >= timedelta(
            seconds=self.idle_gap
        )

    # -- what it says -----------------------------------------------------------------

    def sample(self, *, first_page: bool = True, stuck: bool = False) -> Sample:
        """Return the values that it has gathered, new ones if those are too old.

        They are renewed only when the first page is asked for, so that all pages are of
        one time.
        """
        now = self.clock.now()
        refresh = min(self.refresh, FAST_REFRESH) if self._fast_data else self.refresh
        sample = self._sample
        if sample is None or (
            first_page
            and not stuck
            and (not refresh or now - sample.at >= timedelta(seconds=refresh))
        ):
            sample = self._sample = make_sample(self, now)
        return sample

    def trouble_of(self, frame: Frame, request: Fields) -> Trouble:
        """Return the faults that a request meets."""
        asked = Asked(frame.command, integer(request, "page_index"))
        return trouble_of(asked, self.faults, self.random)

    def parse(self, frame: Frame) -> Fields:
        """Return the fields of a request, none of one that it does not know.

        Raises ``MessageError`` if it is garbled.
        """
        handler = self._handler(frame.command)
        return messages.decode(handler.request, frame.payload) if handler else {}

    def answer(
        self, frame: Frame, request: Fields, trouble: Trouble = NO_TROUBLE
    ) -> Frame | None:
        """Return the reply to a request, ``None`` if there is none."""
        self.update()
        self.counters.frames += 1
        handler = self._handler(frame.command)
        fields = handler.answer(self, request, trouble) if handler else None
        payload = None
        if handler is not None and fields is not None:
            if self.served is not None:
                fields = self.served.instead_of(handler.reply, fields, request)
            payload = None if fields is None else messages.encode(handler.reply, fields)
        if self.record:
            self.requests.append(
                Request(
                    time=self.clock.now(),
                    command=frame.command,
                    sequence=frame.sequence,
                    fields=request,
                    reply=payload,
                    faults=tuple(trouble.met),
                )
            )
        if payload is None:
            return None
        return Frame(
            frames.reply_to(frame.command),
            frame.sequence,
            payload,
            self._extension(frame),
        )

    def _handler(self, command: int) -> replies.Handler | None:
        table = replies.HANDLERS if self.storage is None else storage.HANDLERS
        return table.get(command)

    def _extension(self, frame: Frame) -> Extension | None:
        if frame.extension is None:
            return None
        return Extension(gateway=int(self.serial, 16), number=frame.extension.number)
