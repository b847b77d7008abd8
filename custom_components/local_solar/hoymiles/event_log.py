"""The events of a DTU's inverters: which ones last, which one was the last."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from ..points import Alarm
from .alarms import NONE, AlarmKind, Meaning, decode_word, describe
from .records import AlarmRecord

REMOTE_OFF: Final = 124
"""Code of an inverter that was switched off by command."""


@dataclass(slots=True)
class EventLog:
    """The events of one inverter."""

    three_phase: bool
    is_known: bool = False
    """Whether the DTU has told them at all."""
    _records: list[AlarmRecord] = field(default_factory=list)
    _new: frozenset[int] = frozenset()
    """Numbers of events that came since the list before."""

    def take(self, records: Iterable[AlarmRecord]) -> None:
        """Take in the inverter's events as the DTU lists them now."""
        listed = sorted(records, key=lambda record: (record.number, record.start_time))
        known = {record.number for record in self._records}
        # What the first list holds is not new.
        self._new = (
            frozenset(record.number for record in listed) - known
            if self.is_known
            else frozenset()
        )
        self._records, self.is_known = listed, True

    @property
    def last(self) -> str:
        """Key of the newest event."""
        if not self._records:
            return NONE
        return self._meaning(self._records[-1]).key

    @property
    def lasts(self) -> bool:
        """Whether an event lasts."""
        return any(_lasts(record) for record in self._records)

    @property
    def has_fault(self) -> bool:
        """Whether a fault lasts."""
        return any(
            self._meaning(record).kind is AlarmKind.FAULT
            for record in self._records
            if _lasts(record)
        )

    @property
    def is_switched_off(self) -> bool:
        """Whether the inverter was switched off by command and still is."""
        return any(
            decode_word(record.code).code == REMOTE_OFF
            for record in self._records
            if _lasts(record)
        )

    def alarms(self) -> frozenset[Alarm]:
        """Return the events that last, and those that came and went since the last list."""
        return frozenset(
            self._alarm(record)
            for record in self._records
            if _lasts(record) or record.number in self._new
        )

    def _alarm(self, record: AlarmRecord) -> Alarm:
        meaning = self._meaning(record)
        return Alarm(
            kind=meaning.kind.value,
            code=decode_word(record.code).code,
            subcode=record.number,
            text=meaning.text,
        )

    def _meaning(self, record: AlarmRecord) -> Meaning:
        return describe(decode_word(record.code).code, three_phase=self.three_phase)


def _lasts(record: AlarmRecord) -> bool:
    word = decode_word(record.code)
    return not (record.end_time or word.finished or word.momentary)
