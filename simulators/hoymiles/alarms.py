"""Events of a simulated plant, as a DTU keeps and lists them."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from custom_components.local_solar.hoymiles.messages import Fields

from .inverter import SimulatedInverter

_END_IS_PM: Final = 1 << 12
_START_IS_PM: Final = 1 << 13
_HAS_ENDED: Final = 1 << 14
_IS_MOMENT: Final = 1 << 15

INVERTER_STARTED: Final = 1
REMOTE_OFF: Final = 124


@dataclass(slots=True, kw_only=True)
class SimulatedAlarm:
    """An event of an inverter. The data are what was measured and the threshold."""

    serial: int
    code: int
    number: int
    """Counts on with each event of the plant."""
    start: datetime
    end: datetime | None = None
    is_moment: bool = False
    data: tuple[int, int] = (0, 0)

    @property
    def word(self) -> int:
        """The code with what the bits above it say: ended, before or after noon."""
        word = self.code
        if self.start.hour >= 12:
            word |= _START_IS_PM
        if self.is_moment:
            word |= _IS_MOMENT
        if self.end is not None:
            word |= _HAS_ENDED | (_END_IS_PM if self.end.hour >= 12 else 0)
        return word

    def fields(self, shift: int) -> Fields:
        """Return it as it is listed; ``shift`` is how many seconds the DTU is ahead."""
        return {
            "serial": self.serial,
            "code": self.word,
            "number": self.number,
            "start_time": int(self.start.timestamp()) + shift,
            "end_time": int(self.end.timestamp()) + shift if self.end else 0,
            "data_1": self.data[0],
            "data_2": self.data[1],
        }


class AlarmBook:
    """All events, and the list that the DTU made of them when it was last told to."""

    def __init__(self, inverters: Mapping[int, SimulatedInverter]) -> None:
        """Begin empty."""
        self._inverters = inverters
        self._number = 40
        self.alarms: list[SimulatedAlarm] = []
        self.collected: list[SimulatedAlarm] = []
        """What a client gets to read."""
        self.reported = 0
        """Number of the last event that the cloud has been told."""

    def start(
        self,
        serial: int,
        code: int,
        at: datetime,
        *,
        data: tuple[int, int] = (0, 0),
        is_moment: bool = False,
    ) -> SimulatedAlarm:
        """Note an event that begins, or one that is over at once."""
        self._number += 1
        alarm = SimulatedAlarm(
            serial=serial,
            code=code,
            number=self._number,
            start=at,
            data=data,
            is_moment=is_moment,
        )
        self.alarms.append(alarm)
        self._inverters[serial].warning_count += 1
        return alarm

    def end(self, serial: int, code: int, at: datetime) -> None:
        """Note that events of a code are over."""
        for alarm in self.alarms:
            is_meant = (alarm.serial, alarm.code) == (serial, code)
            if is_meant and alarm.end is None and not alarm.is_moment:
                alarm.end = at

    def clear(self, serial: int) -> None:
        """Forget what an inverter has reported."""
        self.alarms = [alarm for alarm in self.alarms if alarm.serial != serial]
        self._inverters[serial].warning_count = 0

    def collect(self, serials: frozenset[int]) -> None:
        """Make the list of the events of some inverters."""
        self.collected = [alarm for alarm in self.alarms if alarm.serial in serials]
