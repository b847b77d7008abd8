"""What a Shine dongle asks an inverter, and when: boot, then the same cycle for ever.

From a recording of a dongle at a MIN 6000TL-XH (USB, 115200 8N1, 2025-09-21). What passed
the recorder is sometimes later than what the dongle sent, as the recorder kept 1 s between
all messages; times are those of the stretches in which it did not have to wait:

* from holding 180 to input 3000: 3.50 s in every undisturbed cycle; from there to the next
  180 four times 1.5 s: 9.5 s in all
* from the first request to holding 180: 2.30 s
* after the first input 3000: 4.9 s, in which it has to do elsewhere
* blocks of 125 words and what identifies the inverter are asked for once more after silence;
  180, the meter and writes never were
* a write without an answer was followed by the next request 2.5 s later (188), or 4.9 to
  5.0 s (the clock)
* an answer that came after about a second was followed by a pause of 1.1 s
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Final

READ_HOLDING: Final = 3
READ_INPUT: Final = 4
WRITE_SINGLE: Final = 6
READ_METER: Final = 0x20

REPEAT: Final = 1.5
"""Seconds of silence after which a request is repeated. In the recording it lies between 1
and 3, as the recorder did not pass on at once what it heard."""

REST: Final = 0.4
"""Seconds that an answer may take before it puts off the next request."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """A request and what follows it. Times are seconds.

    ``word`` is how many registers are read, or what is written to the only one.
    """

    function: int
    address: int
    word: int
    unit: int = 1
    spacing: float = 1.5
    """From this request to the next one."""
    repeats: int = 0
    """How often it is repeated if there is no answer."""
    give_up: float = 3.0
    """From the last of these requests to the next one, if there was no answer."""

    @property
    def is_read(self) -> bool:
        """Whether it reads registers."""
        return self.function != WRITE_SINGLE

    @property
    def pdu(self) -> bytes:
        """The request without unit id and checksum."""
        return (
            bytes((self.function,)) + self.address.to_bytes(2) + self.word.to_bytes(2)
        )

    @property
    def answer_octets(self) -> int:
        """Bytes of the answer with unit id and checksum, if it is not an exception."""
        return 5 + 2 * self.word if self.is_read else 8

    def __str__(self) -> str:
        """Return it as reports show it."""
        if self.is_read:
            last = self.address + self.word - 1
            return f"function {self.function} {self.address}-{last}"
        return f"function {self.function} {self.address} = {self.word}"


def _holding(
    address: int, words: int, spacing: float, *, unit: int = 1, repeats: int = 1
) -> Step:
    return Step(
        function=READ_HOLDING,
        address=address,
        word=words,
        unit=unit,
        spacing=spacing,
        repeats=repeats,
        give_up=1.5,
    )


def _input(address: int, spacing: float = 1.5) -> Step:
    return Step(
        function=READ_INPUT,
        address=address,
        word=125,
        spacing=spacing,
        repeats=1,
        give_up=1.5,
    )


def _write(address: int, word: int, give_up: float) -> Step:
    return Step(
        function=WRITE_SINGLE,
        address=address,
        word=word,
        spacing=1.0,
        give_up=give_up,
    )


_SETTINGS: Final = (
    _holding(180, 20, 1.0, repeats=0),
    _holding(0, 125, 1.0),
    _holding(3000, 125, 1.5),
)
_NOTHING_TO_SEND: Final = _write(188, 0, 2.5)
"""What it writes while it starts, each time that it has read everything."""
_METER: Final = Step(function=READ_METER, address=0, word=100)
_METER_AFTER_WRITE: Final = Step(function=READ_METER, address=0, word=100, spacing=1.2)

BOOT: Final = (
    # Nobody knows yet which unit is there: the inverter answers as unit 1.
    _holding(43, 1, 1.0, unit=0),
    _holding(209, 15, 1.3),
    *_SETTINGS,
    _input(3000, 4.9),
    _input(3125),
    _input(3250),
    _NOTHING_TO_SEND,
    _METER_AFTER_WRITE,
    *_SETTINGS,
    _input(3000),
    _input(3125),
    _input(3250),
    _NOTHING_TO_SEND,
    _METER_AFTER_WRITE,
)
"""From power on until its clock is set."""

CYCLE: Final = (*_SETTINGS, _input(3000), _input(3125), _input(3250), _METER)
"""What it does ever after, in 9.5 s."""

CONTROL: Final = _write(30100, 0, 2.5)
"""What its cloud tries in vain on an inverter without VPP, which refuses it with exception 1:
20 times in the 37 minutes of the whole recording. The word is not known."""

CYCLES_BETWEEN_CONTROL: Final = 11


def clock_steps(now: datetime) -> tuple[Step, ...]:
    """Return the writes that set the inverter's clock: registers 45 to 50, one by one.

    The year has two digits.
    """
    fields = (now.year % 100, now.month, now.day, now.hour, now.minute, now.second)
    return tuple(_write(45 + place, word, 5.0) for place, word in enumerate(fields))
